//! When the store is made smaller, and how much of it at a time: numbers in, numbers out.
//!
//! The store is a journal, and what is at its front has mostly been superseded. So a checkpoint says again what of the
//! front is still live, behind everything else, and the front is dropped: never more than it takes to stay below twice
//! what is live and the slack. `docs/decisions/compaction.md` says why, and what that comes to.

/// How large things are, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The store on disk.
    pub(super) disk: u64,
    /// What all that is live takes in it.
    pub(super) live: u64,
    /// What of that is not messages: a checkpoint says it again in any case.
    pub(super) beside: u64,
    /// How much more than twice what is live the store may take.
    pub(super) slack: u64,
}

impl Sizes {
    /// How large the store may become.
    pub(super) fn limit(self) -> u64 {
        self.live.saturating_mul(2).saturating_add(self.slack)
    }

    /// Whether it is time for a checkpoint: early enough that what it writes has room below the limit.
    pub(super) fn is_due(self) -> bool {
        self.disk > (self.live / 2).saturating_mul(3).saturating_add(self.slack / 2)
    }

    /// Whether all may be written anew at once, since that has room below the limit together with half as much that comes
    /// meanwhile. It is what makes most of the work, and what a small store has always room for.
    pub(super) fn has_room_for_all(self) -> bool {
        self.disk.saturating_add((self.live / 2).saturating_mul(3)) <= self.limit()
    }

    /// How much of the front goes at a time where not all does.
    pub(super) fn front(self) -> u64 {
        self.disk / 4
    }

    /// What a checkpoint writes at most that drops so much of the front.
    pub(super) fn written_for(self, front: u64) -> u64 {
        self.live.min(front.saturating_add(self.beside))
    }
}

/// A place in the journal from which on all may stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// The first record there.
    pub(super) first: u64,
    /// Messages with numbers from here on stand there or later.
    pub(super) boundary: u64,
    /// Where it is, in bytes on the scale on which the end of the journal moves on.
    pub(super) at: u64,
}

/// All such places in order.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    pub(super) fn new(marks: Vec<Mark>) -> Marks {
        Marks(marks)
    }

    pub(super) fn push(&mut self, mark: Mark) {
        self.0.push(mark);
    }

    /// The first with at least so many bytes of the journal before it, which goes from `begin` to its end. Those that are
    /// gone are forgotten.
    pub(super) fn behind(&mut self, begin: u64, bytes: u64) -> Option<Mark> {
        self.0.retain(|mark| mark.at > begin);
        self.0.iter().copied().find(|mark| mark.at >= begin.saturating_add(bytes.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(disk: u64, live: u64) -> Sizes {
        Sizes { disk, live, beside: live / 10, slack: 64 }
    }

    #[test]
    fn a_small_store_is_written_anew_as_a_whole() {
        assert!(!sizes(47, 10).is_due());
        assert!(sizes(48, 10).is_due() && sizes(48, 10).has_room_for_all());
        assert_eq!(sizes(48, 10).limit(), 84);
        // 80 live: it is due at 152, and another 80 with 40 that come meanwhile are more than the 224 that there may be.
        assert!(sizes(153, 80).is_due() && !sizes(153, 80).has_room_for_all());
        assert_eq!(sizes(153, 80).front(), 38);
    }

    #[test]
    fn what_goes_at_a_time_has_room_even_if_all_of_it_is_live() {
        for live in [32, 100, 1000, 1_000_000] {
            let sizes = Sizes { beside: 0, ..sizes(live / 2 * 3 + 33, live) };
            assert!(sizes.is_due());
            let written = match sizes.has_room_for_all() {
                true => live,
                false => sizes.written_for(sizes.front()),
            };
            assert!(sizes.disk + written <= sizes.limit(), "{live}");
        }
    }

    #[test]
    fn a_place_is_found_behind_what_goes() {
        let mark = |at| Mark { first: at * 2, boundary: at * 3, at };
        let mut marks = Marks::new([10, 20, 30].map(mark).to_vec());
        marks.push(mark(40));
        assert_eq!(marks.behind(0, 15), Some(mark(20)));
        assert_eq!(marks.behind(20, 0), Some(mark(30)), "what is gone is no place");
        assert_eq!(marks.behind(20, 20), Some(mark(40)));
        assert_eq!(marks.behind(20, 21), None);
        assert_eq!(marks.behind(40, 0), None);
    }
}
