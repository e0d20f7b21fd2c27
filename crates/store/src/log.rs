//! The log itself: opening, appending, syncing, segments.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::Path;

use crate::directory::{Directory, Disk, SegmentFile};
use crate::error::Error;
use crate::marks::mark_name;
use crate::read::Records;
use crate::record::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, encode_record, segment_name};
use crate::recovery::{Last, Recovery, scan};

/// The bounds of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment that would become larger is closed and the next one begun. A record that is larger has a segment to
    /// itself, and while the disk is too full to begin one, the last one grows beyond this.
    pub segment_bytes_max: u64,
    /// The largest payload of a record.
    pub record_bytes_max: usize,
    /// At least this much room is kept allocated ahead of what is written, so that a full disk is found out while
    /// records that were accepted earlier still fit. 0 reserves nothing.
    pub reserve_bytes: u64,
    /// Zeros are written and synced ahead of the records in steps of this, within the reserve. A record that lands on
    /// them changes neither the length of the file nor what is allocated to it, so that a sync has nothing but the
    /// record to write. 0 writes none.
    pub zeros_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_bytes_max: 64 << 20,
            record_bytes_max: 16 << 20,
            reserve_bytes: 4 << 20,
            zeros_bytes: 256 << 10,
        }
    }
}

/// What is appended waits in memory up to this size; then it is written, and still not synced.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// An append log in one folder. See the [crate] for what it promises.
#[derive(Debug)]
pub struct Log<D: Directory = Disk> {
    pub(crate) directory: D,
    pub(crate) options: Options,
    /// All segments in order; the last one is written to.
    pub(crate) segments: VecDeque<Closed>,
    pub(crate) file: D::File,
    salt: u32,
    /// Bytes of the last segment that are written, whether durable or not.
    pub(crate) written_bytes: u64,
    /// Up to where the last segment has zeros ahead of its records; less than what is written if it has none.
    pub(crate) zeroed_bytes: u64,
    /// Bytes of the last segment that are durable.
    pub(crate) durable_bytes: u64,
    /// Up to where the last segment has room allocated.
    pub(crate) reserved_bytes: u64,
    /// The reserve could not be extended when that was last tried.
    pub(crate) full: bool,
    /// Records that are appended and not written.
    pub(crate) buffer: Vec<u8>,
    pub(crate) next: u64,
    pub(crate) durable: u64,
    /// What lies before does not count.
    pub(crate) base: u64,
    /// From where on nothing counts until a checkpoint is complete.
    pub(crate) healing: Option<u64>,
    /// Segments before which records are known to be lost.
    pub(crate) gaps: BTreeSet<u64>,
    pub(crate) appended_bytes: u64,
    /// The error that made it unknowable what is on disk.
    pub(crate) poisoned: Option<String>,
}

/// A segment by the sequence of its first record. The bytes of the last one are not kept here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) first: u64,
    pub(crate) bytes: u64,
}

impl Log<Disk> {
    /// Opens the log in a folder of the file system, and makes both if they are not there.
    ///
    /// # Errors
    ///
    /// The folder is in use, cannot be read or written, or holds a log that is damaged or of another version.
    pub fn open(path: &Path, options: Options) -> Result<(Log, Recovery), Error> {
        Log::open_with(path, options, |_, _| Ok(()))
    }

    /// Opens the log and shows every record that counts to `visit`, in order, while they are checked: its sequence
    /// and its payload. An error that `visit` gives ends the opening with [`Error::Refused`].
    ///
    /// # Errors
    ///
    /// As for [`Log::open`], and what `visit` refuses.
    pub fn open_with(
        path: &Path,
        options: Options,
        visit: impl FnMut(u64, &[u8]) -> Result<(), String>,
    ) -> Result<(Log, Recovery), Error> {
        Log::open_in_with(Disk::open(path)?, options, visit)
    }
}

impl<D: Directory> Log<D> {
    /// Opens the log in any [`Directory`].
    ///
    /// # Errors
    ///
    /// As for [`Log::open`].
    pub fn open_in(directory: D, options: Options) -> Result<(Log<D>, Recovery), Error> {
        Log::open_in_with(directory, options, |_, _| Ok(()))
    }

    /// Opens the log in any [`Directory`], as [`Log::open_with`] does.
    ///
    /// # Errors
    ///
    /// As for [`Log::open_with`].
    pub fn open_in_with(
        directory: D,
        options: Options,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), String>,
    ) -> Result<(Log<D>, Recovery), Error> {
        if u32::try_from(options.record_bytes_max).is_err() {
            return Err(Error::Options("the largest record is larger than records can be"));
        }
        let mut scanned = scan(&directory, &mut visit)?;
        let Last { file, salt, bytes } = match scanned.last {
            Some(last) => last,
            None => {
                scanned.segments.push_back(Closed { first: scanned.next, bytes: 0 });
                create_segment(&directory, scanned.next)?
            }
        };
        let recovery = Recovery {
            segments: scanned.segments.len(),
            records: scanned.records,
            torn: scanned.torn,
            unhealed: scanned.unhealed,
        };
        let mut log = Log {
            reserved_bytes: if options.reserve_bytes == 0 { u64::MAX } else { bytes },
            directory,
            options,
            segments: scanned.segments,
            file,
            salt,
            written_bytes: bytes,
            zeroed_bytes: bytes,
            durable_bytes: bytes,
            full: false,
            buffer: Vec::new(),
            next: scanned.next,
            durable: scanned.next - 1,
            base: scanned.base,
            healing: None,
            gaps: scanned.gaps,
            appended_bytes: 0,
            poisoned: None,
        };
        // A disk that is full already is no reason not to open: what is there can be read and served.
        log.try_reserve()?;
        Ok((log, recovery))
    }

    /// Adds a record and gives its sequence. It is durable once [`sync`](Log::sync) has returned, and not before.
    ///
    /// # Errors
    ///
    /// The record is too large ([`Error::RecordTooLarge`]) or the disk too full for it ([`Error::Full`]), and nothing
    /// has changed; or the log is poisoned, now or since earlier.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, Error> {
        self.check()?;
        let record_bytes_max = self.options.record_bytes_max;
        if payload.len() > record_bytes_max {
            return Err(Error::RecordTooLarge { record_bytes: payload.len(), record_bytes_max });
        }
        let bytes = (RECORD_HEADER_BYTES + payload.len()) as u64;
        // While the disk is full the last segment goes on: its reserve is what there is.
        let is_begun = self.position() > SEGMENT_HEADER_BYTES as u64;
        if is_begun && self.position() + bytes > self.options.segment_bytes_max && !self.full {
            self.begin_segment()?;
        }
        self.keep_reserve(bytes)?;
        let sequence = self.next;
        encode_record(self.salt, sequence, self.durable, payload, &mut self.buffer);
        self.next += 1;
        self.appended_bytes += bytes;
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

    /// Writes what is appended without syncing: it then survives the end of the process, but no power cut.
    ///
    /// # Errors
    ///
    /// As for [`Log::sync`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.check()?;
        let buffer = std::mem::take(&mut self.buffer);
        if let Err(error) = write_all(&mut self.file, self.written_bytes, &buffer) {
            return Err(self.poison("write to", error));
        }
        self.written_bytes += buffer.len() as u64;
        self.write_zeros(buffer.len() as u64)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    /// The durable records from `from` on, or from the first that is still there. Works on a poisoned log too.
    pub fn read(&self, from: u64) -> Records<'_, D> {
        Records::new(self, from)
    }

    /// The first record that is still there, or the next one if there is none.
    pub fn first_sequence(&self) -> u64 {
        self.segments[0].first.max(self.base)
    }

    /// The sequence that the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The last record that is durable; one less than [`first_sequence`](Log::first_sequence) if there is none.
    pub fn durable_sequence(&self) -> u64 {
        self.durable
    }

    /// Segments that are there.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The first record of each segment that is there, and the bytes of the segment as [`bytes`](Log::bytes) has them, in
    /// order.
    pub fn segment_starts(&self) -> impl Iterator<Item = (u64, u64)> {
        let last = self.segments.len() - 1;
        let bytes = move |at: usize, closed: u64| if at == last { self.position() } else { closed };
        self.segments.iter().enumerate().map(move |(at, segment)| (segment.first, bytes(at, segment.bytes)))
    }

    /// Bytes of all segments, with what waits in memory and without the reserve.
    pub fn bytes(&self) -> u64 {
        let closed: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        closed + self.position()
    }

    /// Bytes of the records that were appended since the log was opened.
    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes
    }

    /// The error that poisoned the log.
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// The segment of a durable record, how many bytes of it count if it is the one that is written to, and the one
    /// after it.
    pub(crate) fn segment_of(&self, sequence: u64) -> (u64, Option<u64>, Option<u64>) {
        let at = self.segments.partition_point(|segment| segment.first <= sequence) - 1;
        let following = self.segments.get(at + 1).map(|segment| segment.first);
        (self.segments[at].first, following.is_none().then_some(self.durable_bytes), following)
    }

    pub(crate) fn io(&self, doing: &'static str, first: u64, source: io::Error) -> Error {
        Error::Io { doing, file: self.directory.shown(&segment_name(first)), source }
    }

    pub(crate) fn damaged(&self, first: u64, offset: u64, what: &'static str) -> Error {
        Error::Damaged { file: self.directory.shown(&segment_name(first)), offset, what }
    }

    /// The first record of the segment that is written to, and the bytes of its records.
    pub(crate) fn current_segment(&self) -> (u64, u64) {
        (self.current(), self.position() - SEGMENT_HEADER_BYTES as u64)
    }

    /// Where the next record goes in the last segment.
    pub(crate) fn position(&self) -> u64 {
        self.written_bytes + self.buffer.len() as u64
    }

    /// The first sequence of the segment that is written to.
    pub(crate) fn current(&self) -> u64 {
        self.segments[self.segments.len() - 1].first
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.poisoned {
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Closes the segment, durable as a whole, and begins the next one; false when the disk is too full for one, and
    /// the last one goes on.
    pub(crate) fn begin_segment(&mut self) -> Result<bool, Error> {
        self.sync()?;
        match self.create_segment(self.next) {
            Ok((last, reserved_bytes)) => {
                self.free_reserve();
                let closed = self.segments.len() - 1;
                self.segments[closed].bytes = self.written_bytes;
                self.enter_segment(last, reserved_bytes);
                Ok(true)
            }
            Err(error) if error.is_space() => {
                self.full = true;
                self.remove_attempt(self.next)?;
                Ok(false)
            }
            Err(error) => {
                self.poisoned = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// Makes the segment that begins at `first`, with its reserve, and says up to where it has room.
    pub(crate) fn create_segment(&self, first: u64) -> Result<(Last<D::File>, u64), Error> {
        let mut last = create_segment(&self.directory, first)?;
        if self.options.reserve_bytes == 0 {
            return Ok((last, u64::MAX));
        }
        last.file
            .reserve(last.bytes, self.options.reserve_bytes)
            .map_err(|error| self.io("reserve room in", first, error))?;
        let reserved_bytes = last.bytes + self.options.reserve_bytes;
        Ok((last, reserved_bytes))
    }

    /// Goes on in a new segment.
    pub(crate) fn enter_segment(&mut self, last: Last<D::File>, reserved_bytes: u64) {
        self.segments.push_back(Closed { first: self.next, bytes: 0 });
        self.file = last.file;
        self.salt = last.salt;
        self.written_bytes = last.bytes;
        self.zeroed_bytes = last.bytes;
        self.durable_bytes = last.bytes;
        self.reserved_bytes = reserved_bytes;
    }

    /// Removes what an attempt to begin a segment has left. Before the last segment may go on, that must be durable:
    /// the numbers of the records that it takes now would be those of the new one.
    fn remove_attempt(&mut self, first: u64) -> Result<(), Error> {
        let removed = match self.directory.remove(&segment_name(first)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.directory.sync(),
        };
        removed.map_err(|error| {
            let error = self.io("remove", first, error);
            self.poisoned = Some(error.to_string());
            error
        })
    }

    /// After an error nobody knows which of the bytes since the last sync are on disk, or would be after another
    /// attempt: the system may have forgotten that they were to be written at all. So they are cut off, and the
    /// log takes nothing more.
    pub(crate) fn poison(&mut self, doing: &'static str, source: io::Error) -> Error {
        let error = self.io(doing, self.current(), source);
        self.abandon(error.to_string());
        error
    }

    /// Gives up what is not durable.
    pub(crate) fn abandon(&mut self, cause: String) {
        self.poisoned = Some(cause);
        self.buffer = Vec::new();
        // If this fails too, opening the log again sorts it out: what is whole there counts, as after a crash.
        let _ = self.file.truncate(self.durable_bytes);
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
    write_all(&mut file, 0, &SegmentHeader { first_sequence, salt }.encode()).map_err(io("write to"))?;
    file.sync().map_err(io("sync"))?;
    directory.sync().map_err(io("sync"))?;
    Ok(Last { file, salt, bytes: SEGMENT_HEADER_BYTES as u64 })
}

/// Makes a mark that is durable, or makes one durable that is there already.
pub(crate) fn create_mark<D: Directory>(directory: &D, sequence: u64, kind: &str) -> Result<(), Error> {
    let name = mark_name(sequence, kind);
    let made = match directory.create(&name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => directory.sync(),
    };
    made.map_err(|source| Error::Io { doing: "create", file: directory.shown(&name), source })
}

pub(crate) fn write_all(file: &mut impl SegmentFile, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
