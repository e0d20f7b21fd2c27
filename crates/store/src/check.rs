//! Looking at a log without changing it: what is there, and what is lost.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::directory::{Directory, Disk, SegmentFile, refuses_writing};
use crate::error::Error;
use crate::marks::{END, Marks, mark_name};
use crate::read::{Found, Segment};
use crate::record::{
    FORMAT_VERSION, NoHeader, OTHER_NAME, SEGMENT_HEADER_BYTES, parse_segment_name, segment_name,
};
use crate::recovery::Torn;
use crate::repair::READY;

/// What is in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Segments that are there.
    pub segments: usize,
    /// Records that are whole and count.
    pub records: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// What a crash left half-written. This is no damage: opening cuts it off.
    pub torn: Option<Torn>,
    /// From here on nothing counts, since healing was not completed. This is no damage: opening drops it.
    pub unhealed: Option<u64>,
    /// What the user who looks cannot write to, and why; a hub that this user starts is refused by it.
    pub read_only: Option<String>,
    /// What is wrong with that which had been durable, in order. A log without any can be opened.
    pub damage: Vec<Damage>,
}

/// A stretch of a segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The segment.
    pub file: String,
    /// Where the stretch begins.
    pub offset: u64,
    /// How long it is; 0 where something is gone.
    pub bytes: u64,
    /// What is wrong there.
    pub what: &'static str,
    /// The records that are lost, if any that count are.
    pub lost: Option<Lost>,
}

/// Records that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first.
    pub first: u64,
    /// The last; `None` when nothing behind it can be read, so that nobody knows how many there were.
    pub last: Option<u64>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(f, "record {last}"),
            Some(last) => write!(f, "records {} to {last}", self.first),
            None => write!(f, "record {} and all after it", self.first),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}; ", self.file, self.offset, self.what)?;
        match self.lost {
            Some(lost) => write!(f, "{lost} lost"),
            None => write!(f, "no record lost"),
        }
    }
}

/// Looks at the log in a folder, and changes nothing.
///
/// # Errors
///
/// The folder is in use or cannot be read, is of another version, or a repair of it was interrupted.
pub fn check(path: &Path) -> Result<Report, Error> {
    check_with(path, |_, _| {})
}

/// The same, and shows every record that is whole and counts to `visit`, in order: its sequence and its payload.
///
/// # Errors
///
/// As for [`check`].
pub fn check_with(path: &Path, mut visit: impl FnMut(u64, &[u8])) -> Result<Report, Error> {
    let disk = Disk::look(path)?;
    let mut report = survey_with(&disk, &mut visit)?.report;
    let mut names = disk.list().unwrap_or_default();
    names.retain(|name| name == "lock" || parse_segment_name(name).is_some());
    report.read_only = refuses_writing(path, &names);
    Ok(report)
}

/// A report, and what a repair needs to know beyond it.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) report: Report,
    pub(crate) pieces: Vec<Piece>,
    /// Segments of which not everything can be kept as it is.
    pub(crate) damaged: BTreeSet<u64>,
    /// The first record that counts, or 0.
    pub(crate) base: u64,
    /// The marks of a log that was closed in order.
    pub(crate) ends: BTreeSet<u64>,
}

/// An unbroken run of whole records in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The segment by its name.
    pub(crate) segment: u64,
    pub(crate) salt: u32,
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Records before it are lost, and no mark says so yet.
    pub(crate) after_gap: bool,
}

pub(crate) fn survey<D: Directory>(directory: &D) -> Result<Survey, Error> {
    survey_with(directory, &mut |_, _| {})
}

fn survey_with<D: Directory>(directory: &D, visit: &mut dyn FnMut(u64, &[u8])) -> Result<Survey, Error> {
    let io = |error| Error::Io { doing: "list", file: directory.shown(""), source: error };
    let names = directory.list().map_err(io)?;
    if names.iter().any(|name| name == READY) {
        return Err(Error::RepairUnfinished { directory: directory.shown("") });
    }
    let marks = Marks::among(&names);
    let (base, until) = (marks.base(), marks.unhealed().unwrap_or(u64::MAX));
    let mut segments: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    segments.retain(|first| *first < until);
    segments.sort_unstable();
    while segments.get(1).is_some_and(|second| *second <= base) {
        segments.remove(0);
    }
    let ends = marks.end.clone();
    let mut surveyor = Surveyor {
        directory,
        marks,
        // Without a base a log begins with its first record.
        next: base.max(1),
        gap: false,
        visit,
        survey: Survey {
            report: Report::default(),
            pieces: Vec::new(),
            damaged: BTreeSet::new(),
            base,
            ends,
        },
    };
    surveyor.survey.report.unhealed = surveyor.marks.unhealed();
    surveyor.survey.report.segments = segments.len();
    for (i, first) in segments.iter().enumerate() {
        surveyor.segment(*first, segments.get(i + 1).copied(), i == 0)?;
    }
    surveyor.end(segments.last().copied());
    let mut survey = surveyor.survey;
    if base > 0 && !survey.pieces.iter().any(|piece| piece.next > base) && survey.report.damage.is_empty() {
        let lost = Some(Lost { first: base, last: None });
        let file = directory.shown(&segment_name(base));
        survey.report.damage.push(Damage { file, offset: 0, bytes: 0, what: "it is gone", lost });
    }
    Ok(survey)
}

struct Surveyor<'a, D> {
    directory: &'a D,
    marks: Marks,
    /// The record that should come next.
    next: u64,
    /// Records before it are lost, and no mark says so.
    gap: bool,
    /// Is shown each record that counts.
    visit: &'a mut dyn FnMut(u64, &[u8]),
    survey: Survey,
}

impl<D: Directory> Surveyor<'_, D> {
    fn segment(&mut self, first: u64, following: Option<u64>, is_first: bool) -> Result<(), Error> {
        let name = segment_name(first);
        let io = |source| Error::Io { doing: "read", file: self.directory.shown(&name), source };
        let size = self.directory.open(&name).and_then(|file| file.size()).map_err(io)?;
        self.survey.report.bytes += size;
        if first > self.next && !self.marks.gap.contains(&first) {
            self.damage(first, 0, 0, "what should be before it is gone", Some(first));
            self.gap = true;
        }
        if first > self.next || is_first {
            self.next = first;
        }
        let Some(mut segment) = self.open(first, following, size)? else { return Ok(()) };
        let io = |source| Error::Io { doing: "read", file: self.directory.shown(&name), source };
        loop {
            let Some((offset, what)) = self.piece(first, &mut segment)? else { return Ok(()) };
            if following.is_none() && !segment.is_synced_further_on(self.next).map_err(io)? {
                let bytes = segment.end_of_content().map_err(io)? - offset;
                let file = self.directory.shown(&name);
                self.survey.report.torn = Some(Torn { file, offset, bytes });
                return Ok(());
            }
            self.survey.damaged.insert(first);
            // A record that only has the wrong number is right there and not behind.
            segment.offset = offset - 1;
            let found = segment.resume(self.next, following.unwrap_or(u64::MAX)).map_err(io)?;
            let until = if found { segment.offset } else { size };
            let next = if found { self.peek(&mut segment).map_err(io)? } else { following };
            self.damage(first, offset, until - offset, what, next);
            self.gap |= next != Some(self.next);
            self.next = next.unwrap_or(self.next);
            if !found {
                return Ok(());
            }
        }
    }

    /// Reads a run of records; says where and why it ends before the end of the segment.
    fn piece(
        &mut self,
        first: u64,
        segment: &mut Segment<D::File>,
    ) -> Result<Option<(u64, &'static str)>, Error> {
        let (from, begun) = (segment.offset, self.next);
        let ended = loop {
            let offset = segment.offset;
            match segment.next() {
                Ok(Found::Record(header, payload)) if header.sequence == self.next => {
                    self.next += 1;
                    if header.sequence >= self.survey.base {
                        self.survey.report.records += 1;
                        (self.visit)(header.sequence, payload);
                    }
                }
                Ok(Found::Record(..)) => {
                    segment.offset = offset;
                    break Some((offset, "a record has the wrong sequence"));
                }
                Ok(Found::End) => break None,
                Ok(Found::Bad(what)) => break Some((offset, what)),
                Err(source) => {
                    let file = self.directory.shown(&segment_name(first));
                    return Err(Error::Io { doing: "read", file, source });
                }
            }
        };
        if self.next > begun {
            let after_gap = std::mem::take(&mut self.gap);
            let (salt, to) = (segment.salt, segment.offset);
            self.survey.pieces.push(Piece {
                segment: first,
                salt,
                first: begun,
                next: self.next,
                from,
                to,
                after_gap,
            });
        }
        Ok(ended)
    }

    /// The segment, whatever its header is like; `None` when nothing of it can be read.
    fn open(
        &mut self,
        first: u64,
        following: Option<u64>,
        size: u64,
    ) -> Result<Option<Segment<D::File>>, Error> {
        let name = segment_name(first);
        let io = |source| Error::Io { doing: "read", file: self.directory.shown(&name), source };
        let file = self.directory.open(&name).map_err(io)?;
        let mut what = "its header is not as it was written";
        match Segment::open(file, size).map_err(io)? {
            Ok(segment) if segment.first_sequence == first => return Ok(Some(segment)),
            Ok(_) => what = OTHER_NAME,
            Err(NoHeader::Version(found)) => {
                let file = self.directory.shown(&name);
                return Err(Error::Version { file, found, supported: FORMAT_VERSION });
            }
            _ if following.is_none() && size <= SEGMENT_HEADER_BYTES as u64 => {
                let file = self.directory.shown(&name);
                self.survey.report.torn = Some(Torn { file, offset: 0, bytes: size });
                return Ok(None);
            }
            _ => {}
        }
        self.survey.damaged.insert(first);
        let file = self.directory.open(&name).map_err(io)?;
        if let Some(mut segment) = Segment::open_damaged(file, size, first).map_err(io)? {
            segment.offset -= 1;
            let readable = segment.resume(first, following.unwrap_or(u64::MAX)).map_err(io)?;
            segment.offset = SEGMENT_HEADER_BYTES as u64;
            if readable {
                self.damage(first, 0, SEGMENT_HEADER_BYTES as u64, what, Some(self.next));
                return Ok(Some(segment));
            }
        }
        self.damage(first, 0, size, what, following);
        self.gap = true;
        self.next = following.unwrap_or(self.next);
        Ok(None)
    }

    /// What there was when the log was closed in order, and is no more at its end, is lost.
    fn end(&mut self, last: Option<u64>) {
        let closed = self.marks.closed();
        if closed <= self.next {
            return;
        }
        // Nothing could be read from some place on: now it is known up to where that was.
        let open_end = self.survey.report.damage.last_mut().and_then(|damage| damage.lost.as_mut());
        if let Some(lost) = open_end.filter(|lost| lost.last.is_none()) {
            lost.last = Some(closed - 1);
            return;
        }
        let lost = Some(Lost { first: self.next, last: Some(closed - 1) });
        let damage = match self.survey.report.torn.take() {
            Some(Torn { file, offset, bytes }) => {
                self.survey.damaged.extend(last);
                Damage { file, offset, bytes, what: "it was whole when the log was closed", lost }
            }
            None => Damage {
                file: self.directory.shown(&mark_name(closed, END)),
                offset: 0,
                bytes: 0,
                what: "what was last when the log was closed is gone",
                lost,
            },
        };
        self.survey.report.damage.push(damage);
    }

    /// The sequence of the record that is next.
    fn peek(&self, segment: &mut Segment<D::File>) -> std::io::Result<Option<u64>> {
        let offset = segment.offset;
        let sequence = match segment.next()? {
            Found::Record(header, _) => Some(header.sequence),
            _ => None,
        };
        segment.offset = offset;
        Ok(sequence)
    }

    /// Everything from the record that should come next up to `before` is lost.
    fn damage(&mut self, first: u64, offset: u64, bytes: u64, what: &'static str, before: Option<u64>) {
        let lost_first = self.next.max(self.survey.base);
        let lost = before
            .is_none_or(|before| before > lost_first)
            .then(|| Lost { first: lost_first, last: before.map(|before| before - 1) });
        let file = self.directory.shown(&segment_name(first));
        self.survey.report.damage.push(Damage { file, offset, bytes, what, lost });
    }
}
