//! Where in a journal messages stand, so that a checkpoint need not write those again that stand in what stays.
//!
//! A message gets its number when it is first written down, so numbers tell roughly where that was: a [`Mark`] says from
//! which number on everything stands behind it. What a checkpoint has written again stands further on than its number
//! says, and has to be known one by one.

use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Marks are so far apart at least.
const STEP_BYTES: u64 = 1 << 20;

/// Messages with numbers from `boundary` on were first written down at `place` or later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Counted as whoever reads and writes the journal does.
    pub place: u64,
    /// Beyond all numbers that stand before.
    pub boundary: u64,
    /// Bytes that were read before.
    pub bytes: u64,
}

/// Where messages stand that are further on than their numbers say.
#[derive(Default, Debug)]
pub(crate) struct Places {
    pub(crate) of: HashMap<u64, u64, RandomState>,
    /// The last of these places.
    pub(crate) last: u64,
}

/// What is noted of places while a journal is read.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) marks: Vec<Mark>,
    pub(crate) places: Places,
    /// So far apart are marks at least.
    pub(crate) step_bytes: u64,
    bytes: u64,
    place: u64,
}

impl Default for Noted {
    fn default() -> Self {
        Noted { marks: Vec::new(), places: Places::default(), step_bytes: STEP_BYTES, bytes: 0, place: 0 }
    }
}

impl Noted {
    /// The next record stands here; all numbers so far are below `next_number`.
    pub(crate) fn next_record(&mut self, place: u64, bytes: usize, next_number: u64) {
        self.place = place;
        if self.marks.last().is_none_or(|last| self.bytes >= last.bytes + self.step_bytes) {
            self.marks.push(Mark { place, boundary: next_number, bytes: self.bytes });
        }
        self.bytes += bytes as u64;
    }

    /// A message stands in the record.
    pub(crate) fn message(&mut self, number: u64) {
        if self.marks.last().is_some_and(|last| number < last.boundary) {
            self.places.of.insert(number, self.place);
            self.places.last = self.place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_behind_its_mark_is_noted_one_by_one() {
        let mut noted = Noted::default();
        noted.next_record(1, 1 << 19, 1);
        (1..=3).for_each(|number| noted.message(number));
        noted.next_record(2, 1 << 19, 4);
        noted.message(2);
        assert!(noted.places.of.is_empty(), "a mark too few is no harm: {:?}", noted.marks);
        noted.next_record(3, 10, 5);
        (1..=7).step_by(3).for_each(|number| noted.message(number));
        let of = |place, boundary, bytes| Mark { place, boundary, bytes };
        assert_eq!(noted.marks, [of(1, 1, 0), of(3, 5, 1 << 20)]);
        let mut places: Vec<(u64, u64)> = noted.places.of.into_iter().collect();
        places.sort_unstable();
        assert_eq!((places, noted.places.last), (vec![(1, 3), (4, 3)], 3));
    }
}
