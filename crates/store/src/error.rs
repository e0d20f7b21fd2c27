//! What can go wrong with a log, and what to do about it.

use std::fmt;
use std::io;

/// Why a log could not be opened, written or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The options contradict themselves: the caller's fault.
    Options(&'static str),
    /// Another process has the folder open.
    InUse {
        /// The folder.
        directory: String,
    },
    /// The file system refused. While writing or syncing, this poisons the log.
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// To which file.
        file: String,
        /// What the file system said.
        source: io::Error,
    },
    /// What had been durable has changed: the disk's fault, or somebody's who wrote to the file.
    Damaged {
        /// The segment.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A segment between others is gone.
    Missing {
        /// The first record that is not there.
        sequence: u64,
        /// The next segment that is there.
        file: String,
    },
    /// A record has more bytes than allowed. The log is as it was.
    RecordTooLarge {
        /// The bytes of the record.
        record_bytes: usize,
        /// What is allowed.
        record_bytes_max: usize,
    },
    /// An earlier error made it unknowable what is on disk. Open the log again.
    Poisoned {
        /// That error.
        cause: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Options(what) => write!(f, "the log cannot be opened like this: {what}"),
            Error::InUse { directory } => {
                write!(f, "{directory} is in use by another process; stop it or choose another folder")
            }
            Error::Io { doing, file, source } => write!(f, "cannot {doing} {file}: {source}"),
            Error::Damaged { file, offset, what } => write!(
                f,
                "{file} is damaged at byte {offset}: {what}; restore the folder from a backup, or move it away to \
                 start with an empty one"
            ),
            Error::Missing { sequence, file } => write!(
                f,
                "record {sequence} is missing: the next one there is in {file}; restore the folder from a backup, or \
                 move it away to start with an empty one"
            ),
            Error::RecordTooLarge { record_bytes, record_bytes_max } => {
                write!(f, "a record has {record_bytes} bytes; at most {record_bytes_max} are allowed")
            }
            Error::Poisoned { cause } => {
                write!(
                    f,
                    "the log takes nothing more since an earlier error ({cause}); repair that and open it again"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
