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
    /// Where the folder of the log should be is something else.
    NoFolder {
        /// What is no folder.
        path: String,
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
    /// A segment before others is gone.
    Missing {
        /// The first record that is not there.
        sequence: u64,
        /// The next segment that is there.
        file: String,
    },
    /// The log was closed in order, and its last records are gone since.
    CutShort {
        /// The first record that is not there.
        first: u64,
        /// The last one.
        last: u64,
        /// The folder.
        directory: String,
    },
    /// A segment was written in another version of the format.
    Version {
        /// The segment.
        file: String,
        /// Its version.
        found: u8,
        /// The version that this program reads and writes.
        supported: u8,
    },
    /// A repair was interrupted. Repairing again completes it.
    RepairUnfinished {
        /// The folder.
        directory: String,
    },
    /// Whoever was shown the records refused one.
    Refused {
        /// Its sequence.
        sequence: u64,
        /// Its segment.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The disk is full, and the record does not fit into what was reserved. The log is as it was.
    Full {
        /// The segment that could not be made larger, or the folder.
        file: String,
    },
    /// A checkpoint that begins where nothing was appended since. The log is as it was.
    EmptyCheckpoint {
        /// Where it begins.
        from: u64,
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
            Error::NoFolder { path } => {
                write!(f, "{path} is no folder, and the store has to be one; name another, or move this away")
            }
            Error::Io { doing, file, source } => {
                write!(f, "cannot {doing} {file}: {source}{}", next_step(source))
            }
            Error::Damaged { file, offset, what } => write!(
                f,
                "{file} is damaged at byte {offset}: {what}; `trefoil store check` tells what is lost, and \
                 `trefoil store repair` goes on without it"
            ),
            Error::Missing { sequence, file } => write!(
                f,
                "record {sequence} is missing: the next one there is in {file}; `trefoil store check` tells what is \
                 lost, and `trefoil store repair` goes on without it"
            ),
            Error::CutShort { first, last, directory } => write!(
                f,
                "records {first} to {last}, with which the log in {directory} was closed, are missing at its end; \
                 `trefoil store check` tells what is lost, and `trefoil store repair` goes on without it"
            ),
            Error::Version { file, found, supported } => write!(
                f,
                "{file} is of format version {found}, and this program has version {supported}; run the version of \
                 Trefoil that wrote it, or choose another folder"
            ),
            Error::RepairUnfinished { directory } => {
                write!(f, "a repair of {directory} was interrupted; run `trefoil store repair` again")
            }
            Error::Refused { sequence, file, why } => {
                write!(f, "record {sequence} in {file} cannot be used: {why}")
            }
            Error::Full { file } => {
                write!(
                    f,
                    "the disk is full: {file} cannot become larger; make room, and it goes on by itself"
                )
            }
            Error::EmptyCheckpoint { from } => {
                write!(f, "a checkpoint at record {from} holds nothing")
            }
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

/// What helps against an error of the file system, where that is known.
fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let the user that Trefoil runs as write to the folder and its files"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; it is mounted read-only, which a system also does after errors of the disk: see its log"
        }
        io::ErrorKind::IsADirectory => "; a folder has the name of a file of the store: move it away",
        kind if is_space(kind) => "; make room on the disk",
        _ => "",
    }
}

/// Whether there was no room: on the disk, in the user's share of it, or in what a file may have.
pub(crate) fn is_space(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

impl Error {
    /// Whether opening again cannot help as long as nobody does something about what is in the folder.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Error::NoFolder { .. }
                | Error::Damaged { .. }
                | Error::Missing { .. }
                | Error::CutShort { .. }
                | Error::Version { .. }
                | Error::RepairUnfinished { .. }
                | Error::Refused { .. }
        )
    }

    /// Whether there was no room on the disk.
    pub fn is_space(&self) -> bool {
        match self {
            Error::Full { .. } => true,
            Error::Io { source, .. } => is_space(source.kind()),
            _ => false,
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
