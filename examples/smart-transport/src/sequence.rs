//! What has come of a sequence of numbers.

use std::collections::BTreeSet;

/// Counts what arrives of a sequence that is numbered from 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    /// All up to here have come.
    whole_to: u64,
    /// Those that came before one before them.
    ahead: BTreeSet<u64>,
    /// Those that came again. At QoS 1 this is allowed.
    pub(crate) repeated: u64,
    /// How often one came before one before it.
    pub(crate) out_of_order: u64,
}

impl Sequence {
    pub(crate) fn take(&mut self, number: u64) {
        if number <= self.whole_to || self.ahead.contains(&number) {
            self.repeated += 1;
        } else if number == self.whole_to + 1 {
            self.whole_to = number;
            while self.ahead.remove(&(self.whole_to + 1)) {
                self.whole_to += 1;
            }
        } else {
            self.out_of_order += 1;
            self.ahead.insert(number);
        }
    }

    /// How many different ones have come.
    pub(crate) fn count(&self) -> u64 {
        self.whole_to + self.ahead.len() as u64
    }

    /// How many are missing before the last one that has come.
    pub(crate) fn gaps(&self) -> u64 {
        self.ahead.last().map_or(0, |last| last - self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_knows_what_is_missing_repeated_and_out_of_order() {
        let mut sequence = Sequence::default();
        [1, 2, 3, 2, 3, 4].into_iter().for_each(|number| sequence.take(number));
        assert_eq!((sequence.count(), sequence.repeated, sequence.gaps()), (4, 2, 0));
        [7, 8, 8].into_iter().for_each(|number| sequence.take(number));
        assert_eq!((sequence.count(), sequence.repeated, sequence.gaps()), (6, 3, 2));
        assert_eq!(sequence.out_of_order, 2);
        [5, 6].into_iter().for_each(|number| sequence.take(number));
        assert_eq!((sequence.count(), sequence.gaps()), (8, 0));
    }
}
