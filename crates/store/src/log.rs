//! The log itself: appending, syncing, segments.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::Path;

use crate::directory::{Directory, Disk, SegmentFile};
use crate::error::Error;
use crate::read::Records;
use crate::record::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, encode_record, segment_name};
use crate::recovery::{Last, Recovery, scan};

/// The bounds of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment that would become larger is closed and the next one begun.
    pub segment_bytes_max: u64,
    /// The largest payload of a record. It must fit into a segment.
    pub record_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes_max: 64 << 20, record_bytes_max: 16 << 20 }
    }
}

/// What is appended waits in memory up to this size; then it is written, and still not synced.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// An append log in one folder. See the [crate] for what it promises.
#[derive(Debug)]
pub struct Log<D: Directory = Disk> {
    pub(crate) directory: D,
    options: Options,
    /// The first sequence of each segment; the last one is written to.
    segments: VecDeque<u64>,
    file: D::File,
    salt: u32,
    /// Bytes of the last segment that are written, whether durable or not.
    written_bytes: u64,
    /// Bytes of the last segment that are durable.
    durable_bytes: u64,
    /// Records that are appended and not written.
    buffer: Vec<u8>,
    next: u64,
    durable: u64,
    /// The error that made it unknowable what is on disk.
    poisoned: Option<String>,
}

impl Log<Disk> {
    /// Opens the log in a folder of the file system, and makes both if they are not there.
    ///
    /// # Errors
    ///
    /// The folder is in use, cannot be read or written, or holds a log that is damaged.
    pub fn open(path: &Path, options: Options) -> Result<(Log, Recovery), Error> {
        Log::open_in(Disk::open(path)?, options)
    }
}

impl<D: Directory> Log<D> {
    /// Opens the log in any [`Directory`].
    ///
    /// # Errors
    ///
    /// As for [`Log::open`].
    pub fn open_in(directory: D, options: Options) -> Result<(Log<D>, Recovery), Error> {
        let overhead = (SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES) as u64;
        let largest = (options.record_bytes_max as u64).saturating_add(overhead);
        if largest > options.segment_bytes_max || u32::try_from(options.record_bytes_max).is_err() {
            return Err(Error::Options("the largest record does not fit into a segment"));
        }
        let scanned = scan(&directory)?;
        let mut segments = VecDeque::from(scanned.segments);
        let next = scanned.next;
        let Last { file, salt, bytes } = match scanned.last {
            Some(last) => last,
            None => {
                segments.push_back(next);
                create_segment(&directory, next)?
            }
        };
        let records = next - segments[0];
        let recovery = Recovery { segments: segments.len(), records, torn: scanned.torn };
        let log = Log {
            directory,
            options,
            segments,
            file,
            salt,
            written_bytes: bytes,
            durable_bytes: bytes,
            buffer: Vec::new(),
            next,
            durable: next - 1,
            poisoned: None,
        };
        Ok((log, recovery))
    }

    /// Adds a record and gives its sequence. It is durable once [`sync`](Log::sync) has returned, and not before.
    ///
    /// # Errors
    ///
    /// The record is too large, and nothing has changed; or the log is poisoned, now or since earlier.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, Error> {
        self.check()?;
        let record_bytes_max = self.options.record_bytes_max;
        if payload.len() > record_bytes_max {
            return Err(Error::RecordTooLarge { record_bytes: payload.len(), record_bytes_max });
        }
        let before = self.written_bytes + self.buffer.len() as u64;
        let after = before + (RECORD_HEADER_BYTES + payload.len()) as u64;
        if after > self.options.segment_bytes_max {
            self.begin_segment()?;
        }
        let sequence = self.next;
        encode_record(self.salt, sequence, self.durable, payload, &mut self.buffer);
        self.next += 1;
        if self.buffer.len() >= BUFFER_BYTES_MAX {
            self.flush()?;
        }
        Ok(sequence)
    }

    /// Makes everything durable that was appended, and gives the sequence of the last durable record.
    ///
    /// # Errors
    ///
    /// Nothing since the last sync may be taken for durable, and the log is poisoned.
    pub fn sync(&mut self) -> Result<u64, Error> {
        self.check()?;
        if self.durable + 1 == self.next {
            return Ok(self.durable);
        }
        self.flush()?;
        if let Err(error) = self.file.sync() {
            return Err(self.poison("sync", error));
        }
        self.durable = self.next - 1;
        self.durable_bytes = self.written_bytes;
        Ok(self.durable)
    }

    /// The durable records from `from` on, or from the first that is still there. Works on a poisoned log too.
    pub fn read(&self, from: u64) -> Records<'_, D> {
        Records::new(self, from)
    }

    /// Removes the segments in which every record is before `sequence`, and gives their number. The segment that is
    /// written to always stays.
    ///
    /// # Errors
    ///
    /// A segment could not be removed; it and all later ones are still there, and the log goes on working.
    pub fn drop_before(&mut self, sequence: u64) -> Result<usize, Error> {
        let mut dropped = 0;
        while self.segments.get(1).is_some_and(|second| *second <= sequence) {
            let first = self.segments[0];
            self.directory.remove(&segment_name(first)).map_err(|error| self.io("remove", first, error))?;
            self.segments.pop_front();
            dropped += 1;
            // After each one: if a later removal survived a crash and an earlier one did not, there would be a hole.
            self.directory.sync().map_err(|error| self.io("sync", first, error))?;
        }
        Ok(dropped)
    }

    /// The first record that is still there, or the next one if there is none.
    pub fn first_sequence(&self) -> u64 {
        self.segments[0]
    }

    /// The sequence that the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The last record that is durable; one less than [`first_sequence`](Log::first_sequence) if there is none.
    pub fn durable_sequence(&self) -> u64 {
        self.durable
    }

    /// The segment of a durable record, and how many bytes of it count if it is the one that is written to.
    pub(crate) fn segment_of(&self, sequence: u64) -> (u64, Option<u64>) {
        let at = self.segments.partition_point(|first| *first <= sequence) - 1;
        let is_last = at + 1 == self.segments.len();
        (self.segments[at], is_last.then_some(self.durable_bytes))
    }

    pub(crate) fn io(&self, doing: &'static str, first: u64, source: io::Error) -> Error {
        Error::Io { doing, file: self.directory.shown(&segment_name(first)), source }
    }

    pub(crate) fn damaged(&self, first: u64, offset: u64, what: &'static str) -> Error {
        Error::Damaged { file: self.directory.shown(&segment_name(first)), offset, what }
    }

    fn check(&self) -> Result<(), Error> {
        match &self.poisoned {
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Writes what is appended, without syncing.
    fn flush(&mut self) -> Result<(), Error> {
        let buffer = std::mem::take(&mut self.buffer);
        if let Err(error) = write_all(&mut self.file, &buffer) {
            return Err(self.poison("write to", error));
        }
        self.written_bytes += buffer.len() as u64;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    /// Closes the segment, durable as a whole, and begins the next one.
    fn begin_segment(&mut self) -> Result<(), Error> {
        self.sync()?;
        match create_segment(&self.directory, self.next) {
            Ok(last) => {
                self.segments.push_back(self.next);
                self.file = last.file;
                self.salt = last.salt;
                self.written_bytes = last.bytes;
                self.durable_bytes = last.bytes;
                Ok(())
            }
            Err(error) => {
                self.poisoned = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// After an error nobody knows which of the bytes since the last sync are on disk, or would be after another
    /// attempt: the system may have forgotten that they were to be written at all. So they are cut off, and the
    /// log takes nothing more.
    fn poison(&mut self, doing: &'static str, source: io::Error) -> Error {
        let error = self.io(doing, self.segments[self.segments.len() - 1], source);
        self.poisoned = Some(error.to_string());
        self.buffer = Vec::new();
        // If this fails too, opening the log again sorts it out: what is whole there counts, as after a crash.
        let _ = self.file.truncate(self.durable_bytes);
        error
    }
}

/// Makes a segment whose header is durable.
fn create_segment<D: Directory>(directory: &D, first_sequence: u64) -> Result<Last<D::File>, Error> {
    let name = segment_name(first_sequence);
    let io = |doing| {
        let file = directory.shown(&name);
        move |source| Error::Io { doing, file, source }
    };
    // A fresh hasher of the standard library is seeded at random, which is all that a salt needs.
    let salt = RandomState::new().build_hasher().finish() as u32;
    let mut file = directory.create(&name).map_err(io("create"))?;
    write_all(&mut file, &SegmentHeader { first_sequence, salt }.encode()).map_err(io("write to"))?;
    file.sync().map_err(io("sync"))?;
    directory.sync().map_err(io("sync"))?;
    Ok(Last { file, salt, bytes: SEGMENT_HEADER_BYTES as u64 })
}

fn write_all(file: &mut impl SegmentFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
