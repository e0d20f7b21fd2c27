//! Opening: reading everything through, and telling a torn tail from damage.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use crate::directory::{Directory, SegmentFile};
use crate::error::Error;
use crate::log::Closed;
use crate::marks::{END, HEAL, Marks, mark_name};
use crate::read::{Found, Segment};
use crate::record::{
    FORMAT_VERSION, NoHeader, OTHER_NAME, SEGMENT_HEADER_BYTES, parse_segment_name, segment_name,
};
use crate::repair::READY;

/// What was found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Segments that are there.
    pub segments: usize,
    /// Records that are there; all of them are durable now.
    pub records: u64,
    /// What a crash left half-written and was cut off. Nothing that had been synced is ever in it.
    pub torn: Option<Torn>,
    /// After an error the log was [healed](crate::Log::heal), and the process ended before the checkpoint that had to
    /// make up for what was lost was complete. So everything from this record on, which had not been called durable,
    /// was dropped.
    pub unhealed: Option<u64>,
}

/// A torn tail that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub file: String,
    /// Where it now ends.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

/// What the segments turned out to be.
pub(crate) struct Scanned<F> {
    /// All segments in order.
    pub(crate) segments: VecDeque<Closed>,
    /// The sequence of the next record.
    pub(crate) next: u64,
    /// Records that count.
    pub(crate) records: u64,
    /// Where they begin, or 0 when no checkpoint says so.
    pub(crate) base: u64,
    /// The least that the next record can be, since the log was closed in order there; 0 when it was not.
    closed: u64,
    /// Segments before which records are known to be lost.
    pub(crate) gaps: BTreeSet<u64>,
    /// The last segment, to go on writing; `None` when one has to be made.
    pub(crate) last: Option<Last<F>>,
    /// Bytes of the last segment that a later record says were synced.
    certain_bytes: u64,
    pub(crate) torn: Option<Torn>,
    pub(crate) unhealed: Option<u64>,
}

/// The segment that is written to.
pub(crate) struct Last<F> {
    pub(crate) file: F,
    pub(crate) salt: u32,
    pub(crate) bytes: u64,
}

/// What is shown every record.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), String>;

/// Reads all segments, shows the records that count, cuts off a torn tail, and makes durable what is left.
pub(crate) fn scan<D: Directory>(directory: &D, visit: Visit<'_>) -> Result<Scanned<D::File>, Error> {
    let io = |doing, file, source| Error::Io { doing, file, source };
    // What the names say must be certain before anything is done about it: a process that was killed may have made a
    // file, such as a mark, without having synced the folder.
    directory.sync().map_err(|error| io("sync", directory.shown(""), error))?;
    let names = directory.list().map_err(|error| io("list", directory.shown(""), error))?;
    if names.iter().any(|name| name == READY) {
        return Err(Error::RepairUnfinished { directory: directory.shown("") });
    }
    let marks = Marks::among(&names);
    let mut segments: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    segments.sort_unstable();
    if let Some(from) = marks.unhealed() {
        drop_unhealed(directory, &marks, from, &mut segments)
            .map_err(|error| io("remove", directory.shown(&segment_name(from)), error))?;
    }
    // What a checkpoint made superfluous and a crash kept from being removed.
    while segments.get(1).is_some_and(|second| *second <= marks.base()) {
        let name = segment_name(segments.remove(0));
        directory.remove(&name).map_err(|error| io("remove", directory.shown(&name), error))?;
    }
    let mut scanned = Scanned {
        segments: VecDeque::with_capacity(segments.len() + 1),
        next: segments.first().copied().or(marks.unhealed()).unwrap_or(1).max(1),
        records: 0,
        base: marks.base(),
        closed: marks.closed(),
        unhealed: marks.unhealed(),
        gaps: marks.gap,
        last: None,
        certain_bytes: 0,
        torn: None,
    };
    for (i, first) in segments.iter().copied().enumerate() {
        if first > scanned.next && scanned.gaps.contains(&first) {
            scanned.next = first;
        }
        let known = scanned.gaps.contains(&first);
        // Without a base a log begins with its first record.
        let begins = scanned.base.max(1);
        if first != scanned.next || (i == 0 && first > begins && !known) {
            let sequence = if i == 0 { begins } else { scanned.next };
            return Err(Error::Missing { sequence, file: directory.shown(&segment_name(first)) });
        }
        scan_segment(directory, first, i + 1 == segments.len(), &mut scanned, visit)?;
    }
    if scanned.base >= scanned.next && scanned.base > 0 {
        let name = segment_name(segments.last().copied().unwrap_or(scanned.base));
        return Err(Error::Missing { sequence: scanned.base, file: directory.shown(&name) });
    }
    scanned.is_complete(directory)?;
    if let Some(last) = &mut scanned.last {
        let shown = directory.shown(&segment_name(segments[segments.len() - 1]));
        renew(&mut last.file, scanned.certain_bytes, last.bytes).map_err(|error| io("sync", shown, error))?;
    }
    open_end(directory, &marks.end)?;
    Ok(scanned)
}

impl<F> Scanned<F> {
    /// Refuses a log that ends before what it was closed with.
    fn is_complete<D: Directory>(&self, directory: &D) -> Result<(), Error> {
        match self.closed > self.next {
            true => Err(Error::CutShort {
                first: self.next,
                last: self.closed - 1,
                directory: directory.shown(""),
            }),
            false => Ok(()),
        }
    }
}

/// Removes what says that the log was closed, durably: from here on it may have a torn tail.
fn open_end<D: Directory>(directory: &D, ends: &BTreeSet<u64>) -> Result<(), Error> {
    for end in ends {
        let name = mark_name(*end, END);
        let removed = directory.remove(&name).and_then(|()| directory.sync());
        removed.map_err(|source| Error::Io { doing: "remove", file: directory.shown(&name), source })?;
    }
    Ok(())
}

/// Makes durable what an earlier process has written without anybody knowing that it was synced. Syncing is not
/// enough: if a sync has failed before, the system shows what it never wrote and takes it for written.
fn renew(file: &mut impl SegmentFile, from: u64, to: u64) -> io::Result<()> {
    let mut bytes = vec![0; (to - from).min(1 << 20) as usize];
    let mut at = from;
    while at < to {
        let len = bytes.len().min((to - at) as usize);
        let read = retry(|| file.read_at(at, &mut bytes[..len]))?;
        let mut written = 0;
        while written < read {
            written += match retry(|| file.write_at(at + written as u64, &bytes[written..read]))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => n,
            };
        }
        match read {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => at += n as u64,
        }
    }
    file.sync()
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Removes what followed an error and never came to count, before the mark that says so.
fn drop_unhealed<D: Directory>(
    directory: &D,
    marks: &Marks,
    from: u64,
    segments: &mut Vec<u64>,
) -> io::Result<()> {
    while let Some(first) = segments.pop_if(|first| *first >= from) {
        directory.remove(&segment_name(first))?;
    }
    directory.sync()?;
    for sequence in &marks.heal {
        directory.remove(&mark_name(*sequence, HEAL))?;
    }
    directory.sync()
}

fn scan_segment<D: Directory>(
    directory: &D,
    first: u64,
    is_last: bool,
    scanned: &mut Scanned<D::File>,
    visit: Visit<'_>,
) -> Result<(), Error> {
    let name = segment_name(first);
    let io = |doing, source| Error::Io { doing, file: directory.shown(&name), source };
    let damaged = |offset, what| Error::Damaged { file: directory.shown(&name), offset, what };
    let file = directory.open(&name).map_err(|error| io("open", error))?;
    let size = file.size().map_err(|error| io("read", error))?;
    let mut segment = match Segment::open(file, size).map_err(|error| io("read", error))? {
        Ok(segment) if segment.first_sequence == first => segment,
        Err(NoHeader::Version(found)) => {
            let file = directory.shown(&name);
            return Err(Error::Version { file, found, supported: FORMAT_VERSION });
        }
        // The header is synced before the first record is written: without records it may be torn.
        _ if is_last && size <= SEGMENT_HEADER_BYTES as u64 => {
            scanned.is_complete(directory)?;
            directory.remove(&name).map_err(|error| io("remove", error))?;
            scanned.torn = Some(Torn { file: directory.shown(&name), offset: 0, bytes: size });
            return Ok(());
        }
        Ok(_) => return Err(damaged(0, OTHER_NAME)),
        _ => return Err(damaged(0, "its header is not as it was written")),
    };
    // Where the records begin of which none says yet that they were synced.
    let mut uncertain = VecDeque::new();
    let is_torn = loop {
        let offset = segment.offset;
        match segment.next().map_err(|error| io("read", error))? {
            Found::Record(header, payload) if header.sequence == scanned.next => {
                scanned.next += 1;
                if is_last {
                    while uncertain.front().is_some_and(|(sequence, _)| *sequence <= header.durable()) {
                        uncertain.pop_front();
                    }
                    uncertain.push_back((header.sequence, offset));
                }
                if header.sequence >= scanned.base {
                    scanned.records += 1;
                    visit(header.sequence, payload).map_err(|why| Error::Refused {
                        sequence: header.sequence,
                        file: directory.shown(&name),
                        why,
                    })?;
                }
            }
            Found::Record(..) => return Err(damaged(offset, "a record has the wrong sequence")),
            Found::End => break false,
            // A segment is synced as a whole before the next one is made.
            Found::Bad(what) if !is_last => return Err(damaged(offset, what)),
            Found::Bad(what) => {
                let was_closed = scanned.closed > scanned.next;
                if was_closed
                    || segment.is_synced_further_on(scanned.next).map_err(|error| io("read", error))?
                {
                    return Err(damaged(offset, what));
                }
                break true;
            }
        }
    };
    if is_last {
        // Before anything is cut off.
        scanned.is_complete(directory)?;
    }
    let end = segment.offset;
    scanned.segments.push_back(Closed { first, bytes: if is_last { 0 } else { end } });
    if is_last {
        // The header is certain once a record behind it is.
        let first_uncertain = uncertain.front().filter(|(sequence, _)| *sequence > first);
        scanned.certain_bytes = first_uncertain.map_or(0, |(_, offset)| *offset);
        let salt = segment.salt;
        let content_end = segment.end_of_content().map_err(|error| io("read", error))?;
        let mut file = segment.into_file();
        // A torn tail, or the zeros that an earlier process had ahead of its records.
        if end < size {
            file.truncate(end).map_err(|error| io("truncate", error))?;
        }
        if is_torn {
            scanned.torn = Some(Torn { file: directory.shown(&name), offset: end, bytes: content_end - end });
        }
        scanned.last = Some(Last { file, salt, bytes: end });
    }
    Ok(())
}
