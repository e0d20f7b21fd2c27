//! What survives a crash: an append log with group commit.
//!
//! A [`Log`] is a folder of segments, each a file of checksummed, numbered records. [`Log::append`] adds a record and
//! gives its sequence; [`Log::sync`] makes all that was appended durable at once, which is the whole of group commit:
//! a writer appends whatever waits, syncs, and then lets every acknowledgement go. [`Log::read`] gives the durable
//! records from a sequence on. Opening a log reads it through and tells
//! in a [`Recovery`] what was found.
//!
//! What a crash can leave behind and what it cannot are told apart:
//!
//! - a **torn tail** (records that were never synced and are not whole) is cut off and reported;
//! - **damage** (anything wrong with a record that had been synced) is never cut off silently: the log refuses to open
//!   with [`Error::Damaged`], which names the file and the place. For this each record says how many records before it
//!   were not yet synced when it was appended. Damage to the very last records of the log, with none behind
//!   them that was written after a sync, looks like a torn tail and is reported as one, unless the log was
//!   [closed](Log::close) in order before.
//!
//! An error while writing or syncing means that nothing since the last sync is on disk, and that nobody can know what a
//! second attempt would do. The log is then **poisoned**: what was not durable is cut off again as far as that is
//! possible, every later call to append or sync fails, and reading what is durable still works. [`Log::heal`] goes on
//! in a new segment, and counts nothing of it until a checkpoint has made up for what was lost.
//!
//! A **checkpoint** is the caller's whole state as records: [`Log::begin_checkpoint`] before they are appended,
//! [`Log::complete_checkpoint`] after, which in one atomic step makes the log begin there. A **reserve** of room is
//! allocated ahead of what is written, so that a full disk is found out while what was accepted still fits.
//!
//! A [`Writer`] does all of this on a thread of its own for any number of sources; [`writer`] says what its callers
//! have to do. [`check()`] tells what is in a folder and what is lost, and [`repair()`] goes on without that.
//!
//! All file access goes through [`Directory`] and [`SegmentFile`], so that tests can make it fail; [`Disk`] is the
//! real one. The log belongs to one thread, and waiting for a disk is done on it.
//!
//! ```
//! use trefoil_store::{Log, Options};
//!
//! let folder = tempfile::tempdir()?;
//! let (mut log, recovery) = Log::open(folder.path(), Options::default())?;
//! assert_eq!(recovery.records, 0);
//! log.append(b"one")?;
//! log.append(b"two")?;
//! assert_eq!(log.sync()?, 2); // from here on both survive a crash
//! log.append(b"three")?; // and this one may not
//! drop(log);
//!
//! let (log, recovery) = Log::open(folder.path(), Options::default())?;
//! assert_eq!((recovery.records, recovery.torn), (2, None));
//! let second = log.read(2).next().expect("there are two")?;
//! assert_eq!((second.sequence, second.payload.as_slice()), (2, &b"two"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod checkpoint;
mod directory;
mod error;
mod log;
mod marks;
mod read;
mod record;
mod recovery;
mod repair;
mod reserve;
pub mod writer;

pub use check::{Damage, Lost, Report, check, check_with};
pub use directory::{Directory, Disk, SegmentFile, is_there};
pub use error::Error;
pub use log::{Log, Options};
pub use read::{Record, Records};
pub use record::FORMAT_VERSION;
pub use recovery::{Recovery, Torn};
pub use repair::{Repaired, repair};
pub use writer::{Batch, Figures, SYNC_TIMES, State, Watch, Writer, WriterOptions};
