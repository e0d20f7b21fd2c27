//! Opening: reading everything through, and telling a torn tail from damage.

use crate::directory::{Directory, SegmentFile};
use crate::error::Error;
use crate::read::{Found, Segment};
use crate::record::{SEGMENT_HEADER_BYTES, parse_segment_name, segment_name};

/// What was found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Segments that are there.
    pub segments: usize,
    /// Records that are there; all of them are durable now.
    pub records: u64,
    /// What a crash left half-written and was cut off. Nothing that had been synced is ever in it.
    pub torn: Option<Torn>,
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
    /// The first sequence of each segment, in order.
    pub(crate) segments: Vec<u64>,
    /// The sequence of the next record.
    pub(crate) next: u64,
    /// The last segment, to go on writing; `None` when one has to be made.
    pub(crate) last: Option<Last<F>>,
    pub(crate) torn: Option<Torn>,
}

/// The segment that is written to.
pub(crate) struct Last<F> {
    pub(crate) file: F,
    pub(crate) salt: u32,
    pub(crate) bytes: u64,
}

/// Reads all segments, cuts off a torn tail, and makes durable what is left.
pub(crate) fn scan<D: Directory>(directory: &D) -> Result<Scanned<D::File>, Error> {
    let io = |doing, file, source| Error::Io { doing, file, source };
    let names = directory.list().map_err(|error| io("list", directory.shown(""), error))?;
    let mut segments: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    segments.sort_unstable();
    let mut scanned = Scanned { next: 1, last: None, torn: None, segments };
    let Some(last) = scanned.segments.last().copied() else { return Ok(scanned) };
    scanned.next = scanned.segments[0];
    for first in scanned.segments.clone() {
        let shown = directory.shown(&segment_name(first));
        if first != scanned.next {
            return Err(Error::Missing { sequence: scanned.next, file: shown });
        }
        scan_segment(directory, first, first == last, &mut scanned)?;
    }
    if let Some(last) = &mut scanned.last {
        // What a crashed process wrote without syncing is readable now and could still be lost with the power.
        let shown = directory.shown(&segment_name(scanned.segments[scanned.segments.len() - 1]));
        last.file.sync().map_err(|error| io("sync", shown, error))?;
    }
    Ok(scanned)
}

fn scan_segment<D: Directory>(
    directory: &D,
    first: u64,
    is_last: bool,
    scanned: &mut Scanned<D::File>,
) -> Result<(), Error> {
    let name = segment_name(first);
    let shown = directory.shown(&name);
    let io = |doing, source| Error::Io { doing, file: directory.shown(&segment_name(first)), source };
    let damaged = |offset, what| Error::Damaged { file: directory.shown(&segment_name(first)), offset, what };
    let file = directory.open(&name).map_err(|error| io("open", error))?;
    let size = file.size().map_err(|error| io("read", error))?;
    let segment = Segment::open(file, size).map_err(|error| io("read", error))?;
    let Some(mut segment) = segment.filter(|segment| segment.first_sequence == first) else {
        // The header is synced before the first record is written: without records it may be torn.
        if is_last && size <= SEGMENT_HEADER_BYTES as u64 {
            directory.remove(&name).map_err(|error| io("remove", error))?;
            scanned.segments.pop();
            scanned.torn = Some(Torn { file: shown, offset: 0, bytes: size });
            return Ok(());
        }
        return Err(damaged(0, "its header is not as it was written"));
    };
    let cut = loop {
        let offset = segment.offset;
        match segment.next().map_err(|error| io("read", error))? {
            Found::Record(header, _) if header.sequence == scanned.next => scanned.next += 1,
            Found::Record(..) => return Err(damaged(offset, "a record has the wrong sequence")),
            Found::End => break None,
            // A segment is synced as a whole before the next one is made.
            Found::Bad(what) if !is_last => return Err(damaged(offset, what)),
            Found::Bad(what) => {
                if segment.is_synced_further_on(scanned.next).map_err(|error| io("read", error))? {
                    return Err(damaged(offset, what));
                }
                break Some(offset);
            }
        }
    };
    if is_last {
        let (salt, bytes) = (segment.salt, cut.unwrap_or(size));
        let mut file = segment.into_file();
        if let Some(offset) = cut {
            file.truncate(offset).map_err(|error| io("truncate", error))?;
            scanned.torn = Some(Torn { file: shown, offset, bytes: size - offset });
        }
        scanned.last = Some(Last { file, salt, bytes });
    }
    Ok(())
}
