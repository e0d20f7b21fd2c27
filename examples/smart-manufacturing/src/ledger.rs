//! Which pieces were handled, and by whom. In a real plant this is the table of a database whose key is machine and
//! number: it takes each piece once, whoever brings it.

use std::collections::BTreeSet;

/// What was entered for one machine.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// All pieces up to this number are in.
    whole: u64,
    /// Those beyond it that are in. Never more than are on their way at a time.
    beyond: BTreeSet<u64>,
    /// Pieces that failed inspection.
    pub(crate) rejects: u64,
    /// Pieces that were brought although they were in already.
    pub(crate) repeats: u64,
}

impl Ledger {
    /// Enters a piece; whether it was not in yet.
    pub(crate) fn enter(&mut self, n: u64, good: bool) -> bool {
        if n <= self.whole || !self.beyond.insert(n) {
            self.repeats += 1;
            return false;
        }
        self.rejects += u64::from(!good);
        while self.beyond.remove(&(self.whole + 1)) {
            self.whole += 1;
        }
        true
    }

    /// How many different pieces are in.
    pub(crate) fn handled(&self) -> u64 {
        self.whole + self.beyond.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_is_entered_once_in_any_order() {
        let mut ledger = Ledger::default();
        for n in [2, 1, 5, 4, 3] {
            assert!(ledger.enter(n, n != 4));
        }
        assert_eq!((ledger.handled(), ledger.beyond.len(), ledger.rejects), (5, 0, 1));
        for n in [1, 5] {
            assert!(!ledger.enter(n, false));
        }
        assert!(ledger.enter(9, true) && !ledger.enter(9, true));
        assert_eq!((ledger.handled(), ledger.repeats, ledger.rejects), (6, 3, 1));
    }
}
