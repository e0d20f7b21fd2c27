//! Reading: one segment record by record, and the whole log from a sequence on.

use std::io;

use crate::directory::{Directory, SegmentFile};
use crate::error::Error;
use crate::log::Log;
use crate::record::{
    NoHeader, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name,
};

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number; the first record of a log has 1, and each following one more.
    pub sequence: u64,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// The durable records of a log from a sequence on, in order. Ends after the first error.
pub struct Records<'a, D: Directory> {
    log: &'a Log<D>,
    next: u64,
    segment: Option<Segment<D::File>>,
    failed: bool,
}

impl<'a, D: Directory> Records<'a, D> {
    pub(crate) fn new(log: &'a Log<D>, from: u64) -> Self {
        Records { log, next: from.max(log.first_sequence()), segment: None, failed: false }
    }

    fn read(&mut self) -> Result<Record, Error> {
        loop {
            let (first, end, following) = self.log.segment_of(self.next);
            if self.segment.as_ref().is_none_or(|segment| segment.first_sequence != first) {
                self.segment = Some(self.open(first, end)?);
            }
            let segment = self.segment.as_mut().expect("it was opened above");
            let offset = segment.offset;
            let io = |source| self.log.io("read", first, source);
            match segment.next().map_err(io)? {
                // A segment is read from its beginning: what was not asked for is passed over.
                Found::Record(header, _) if header.sequence < self.next => {}
                Found::Record(header, payload) if header.sequence == self.next => {
                    self.next += 1;
                    return Ok(Record { sequence: header.sequence, payload: payload.to_vec() });
                }
                Found::Record(..) => {
                    return Err(self.log.damaged(first, offset, "a record has the wrong sequence"));
                }
                // A repair has said that the records up to the next segment are lost.
                Found::End if following.is_some_and(|following| self.log.gaps.contains(&following)) => {
                    self.next = following.unwrap_or(self.next);
                }
                Found::End => {
                    return Err(self.log.damaged(first, offset, "the segment is shorter than it was"));
                }
                Found::Bad(what) => return Err(self.log.damaged(first, offset, what)),
            }
        }
    }

    fn open(&self, first: u64, end: Option<u64>) -> Result<Segment<D::File>, Error> {
        let io = |source| self.log.io("read", first, source);
        let file = self.log.directory.open(&segment_name(first)).map_err(io)?;
        let end = match end {
            Some(end) => end,
            None => file.size().map_err(io)?,
        };
        match Segment::open(file, end).map_err(io)? {
            Ok(segment) if segment.first_sequence == first => Ok(segment),
            _ => Err(self.log.damaged(first, 0, "its header is not as it was written")),
        }
    }
}

impl<D: Directory> Iterator for Records<'_, D> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.next > self.log.durable_sequence() {
            return None;
        }
        let record = self.read();
        self.failed = record.is_err();
        Some(record)
    }
}

/// One segment, read from its beginning.
pub(crate) struct Segment<F> {
    window: Window<F>,
    pub(crate) first_sequence: u64,
    pub(crate) salt: u32,
    /// Where the next record begins.
    pub(crate) offset: u64,
}

/// What is at the place of the next record.
pub(crate) enum Found<'a> {
    Record(RecordHeader, &'a [u8]),
    /// Nothing, or only zeros that were written ahead of the records.
    End,
    /// Bytes that are no record, and why.
    Bad(&'static str),
}

impl<F: SegmentFile> Segment<F> {
    /// A segment of which `end` bytes count, if it begins with a header.
    pub(crate) fn open(file: F, end: u64) -> io::Result<Result<Self, NoHeader>> {
        let mut window = Window { file, end, start: 0, bytes: Vec::new() };
        let header = match window.get(0, SEGMENT_HEADER_BYTES)? {
            Some(bytes) => SegmentHeader::decode(bytes.try_into().expect("as many were asked for")),
            None => Err(NoHeader::Damaged),
        };
        Ok(header.map(|header| Segment {
            window,
            first_sequence: header.first_sequence,
            salt: header.salt,
            offset: SEGMENT_HEADER_BYTES as u64,
        }))
    }

    /// A segment whose header is not as it was written, by the salt that stands there; `None` if it has none.
    pub(crate) fn open_damaged(file: F, end: u64, first_sequence: u64) -> io::Result<Option<Self>> {
        let mut window = Window { file, end, start: 0, bytes: Vec::new() };
        let salt = window
            .get(0, SEGMENT_HEADER_BYTES)?
            .map(|bytes| SegmentHeader::salt_of(bytes.try_into().expect("as many were asked for")));
        let offset = SEGMENT_HEADER_BYTES as u64;
        Ok(salt.map(|salt| Segment { window, first_sequence, salt, offset }))
    }

    /// Reads on. The place only moves past a record that is whole.
    pub(crate) fn next(&mut self) -> io::Result<Found<'_>> {
        if self.offset == self.window.end {
            return Ok(Found::End);
        }
        let (offset, salt) = (self.offset, self.salt);
        let header = match record_at(&mut self.window, offset, salt)? {
            Ok(header) => header,
            Err(_) if self.end_of_content()? == offset => return Ok(Found::End),
            Err(what) => return Ok(Found::Bad(what)),
        };
        let payload_bytes = header.payload_bytes as usize;
        match self.window.get(offset + RECORD_HEADER_BYTES as u64, payload_bytes)? {
            Some(payload) => {
                self.offset += (RECORD_HEADER_BYTES + payload_bytes) as u64;
                Ok(Found::Record(header, payload))
            }
            None => Ok(Found::Bad("a record is not whole")),
        }
    }

    /// Where that ends which follows the place where reading stopped, without zeros behind it.
    pub(crate) fn end_of_content(&mut self) -> io::Result<u64> {
        self.window.end_of_content(self.offset)
    }

    /// Whether a record behind the place where reading stopped was appended after record `sequence` had been synced.
    pub(crate) fn is_synced_further_on(&mut self, sequence: u64) -> io::Result<bool> {
        let max = self.sequence_max(sequence);
        let found = self.search(|header| header.sequence <= max && header.durable() >= sequence)?;
        Ok(found.is_some())
    }

    /// Goes to the next whole record behind the place where reading stopped that can be one of this segment: it is
    /// `sequence` or a later one, and before `before`. False, and no move, if there is none.
    pub(crate) fn resume(&mut self, sequence: u64, before: u64) -> io::Result<bool> {
        let max = self.sequence_max(sequence).min(before.saturating_sub(1));
        let found = self.search(|header| (sequence..=max).contains(&header.sequence))?;
        self.offset = found.unwrap_or(self.offset);
        Ok(found.is_some())
    }

    /// So many records fit into what is left; a higher number cannot be one of them.
    fn sequence_max(&self, sequence: u64) -> u64 {
        sequence.saturating_add((self.window.end - self.offset) / RECORD_HEADER_BYTES as u64)
    }

    /// Where the next whole record begins behind this place whose header is `possible`.
    fn search(&mut self, possible: impl Fn(&RecordHeader) -> bool) -> io::Result<Option<u64>> {
        let mut offset = self.offset + 1;
        while let Some(bytes) = self.window.get(offset, RECORD_HEADER_BYTES)? {
            let header = RecordHeader::decode(bytes.try_into().expect("as many were asked for"));
            if possible(&header) && record_at(&mut self.window, offset, self.salt)?.is_ok() {
                return Ok(Some(offset));
            }
            offset += 1;
        }
        Ok(None)
    }

    pub(crate) fn into_file(self) -> F {
        self.window.file
    }
}

/// The header of the whole record at `offset`, or why there is none.
fn record_at<F: SegmentFile>(
    window: &mut Window<F>,
    offset: u64,
    salt: u32,
) -> io::Result<Result<RecordHeader, &'static str>> {
    let Some(bytes) = window.get(offset, RECORD_HEADER_BYTES)? else {
        return Ok(Err("a record's header is not whole"));
    };
    let header = RecordHeader::decode(bytes.try_into().expect("as many were asked for"));
    let whole = RECORD_HEADER_BYTES + header.payload_bytes as usize;
    // The window gives nothing beyond the end of the file, so a wrong length costs no memory.
    let Some(bytes) = window.get(offset, whole)? else { return Ok(Err("a record is not whole")) };
    let payload = &bytes[RECORD_HEADER_BYTES..];
    Ok(if header.is_whole(salt, payload) { Ok(header) } else { Err("a checksum does not match") })
}

/// Reading ahead: this many bytes at a time, or one record when that is larger.
const WINDOW_BYTES: usize = 1 << 20;

/// A part of a file in memory.
struct Window<F> {
    file: F,
    /// What lies behind does not count.
    end: u64,
    /// Where `bytes` stand in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl<F: SegmentFile> Window<F> {
    /// `len` bytes from `offset` on, or `None` when the file has fewer.
    fn get(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let left = self.end.saturating_sub(offset);
        if (len as u64) > left {
            return Ok(None);
        }
        let within = offset >= self.start && offset + len as u64 <= self.start + self.bytes.len() as u64;
        if !within && !self.load(offset, (len.max(WINDOW_BYTES) as u64).min(left) as usize, len)? {
            return Ok(None);
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.bytes[at..at + len]))
    }

    /// Where the zeros begin that are at the end; `offset` if there is nothing else from there on.
    fn end_of_content(&mut self, offset: u64) -> io::Result<u64> {
        let (mut at, mut content) = (offset, offset);
        while at < self.end {
            let len = (self.end - at).min(4096) as usize;
            let Some(bytes) = self.get(at, len)? else { break };
            let last = bytes.iter().rposition(|byte| *byte != 0);
            content = last.map_or(content, |last| at + last as u64 + 1);
            at += len as u64;
        }
        Ok(content)
    }

    /// Reads up to `len` bytes; false when not even `needed` are there, which means that the file has shrunk.
    fn load(&mut self, offset: u64, len: usize, needed: usize) -> io::Result<bool> {
        self.start = offset;
        self.bytes.resize(len, 0);
        let mut read = 0;
        while read < len {
            match self.file.read_at(offset + read as u64, &mut self.bytes[read..]) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(read);
        Ok(read >= needed)
    }
}
