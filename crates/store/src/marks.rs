//! Marks: empty files beside the segments whose names say from which record on something counts.
//!
//! A mark is made and removed as a whole, so one of them is what makes a change of several files atomic.
//!
//! | name | means |
//! | --- | --- |
//! | `N.base` | records before N count no more: a checkpoint that begins at N is complete. The highest one counts |
//! | `N.heal` | records from N on do not count yet: they follow an error, and the checkpoint that has to make up for what was lost is not complete. Void once there is a base at N or higher |
//! | `N.gap` | the records right before N are known to be lost: a repair could not read them |
//! | `N.end` | the log was closed in order when N was its next record: all before it are there. Opening removes it before anything is appended; void when the log goes further |

use std::collections::BTreeSet;

use crate::record::parse_name;

pub(crate) const BASE: &str = "base";
pub(crate) const HEAL: &str = "heal";
pub(crate) const GAP: &str = "gap";
pub(crate) const END: &str = "end";

/// All marks of a folder.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) base: BTreeSet<u64>,
    pub(crate) heal: BTreeSet<u64>,
    pub(crate) gap: BTreeSet<u64>,
    pub(crate) end: BTreeSet<u64>,
}

impl Marks {
    pub(crate) fn among(names: &[String]) -> Marks {
        let of = |kind| names.iter().filter_map(|name| parse_name(name, kind)).collect();
        Marks { base: of(BASE), heal: of(HEAL), gap: of(GAP), end: of(END) }
    }

    /// The first record that counts, or 0 when no checkpoint has said so.
    pub(crate) fn base(&self) -> u64 {
        self.base.last().copied().unwrap_or(0)
    }

    /// What comes behind the last record that was there when the log was closed in order, or 0 when it was not.
    pub(crate) fn closed(&self) -> u64 {
        self.end.last().copied().unwrap_or(0)
    }

    /// From where on nothing counts, since healing was not completed.
    pub(crate) fn unhealed(&self) -> Option<u64> {
        let base = self.base();
        self.heal.iter().copied().find(|sequence| *sequence > base)
    }
}

/// The name of a mark: names sort as their records do.
pub(crate) fn mark_name(sequence: u64, kind: &str) -> String {
    format!("{sequence:020}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn healing_is_over_once_a_checkpoint_begins_there() {
        let marks = |names: &[(u64, &str)]| {
            Marks::among(&names.iter().map(|(at, kind)| mark_name(*at, kind)).collect::<Vec<_>>())
        };
        assert_eq!(marks(&[(7, HEAL)]).unhealed(), Some(7));
        assert_eq!(marks(&[(7, HEAL), (5, BASE)]).unhealed(), Some(7));
        assert_eq!(marks(&[(7, HEAL), (7, BASE)]).unhealed(), None);
        assert_eq!(marks(&[(7, HEAL), (9, HEAL), (8, BASE)]).unhealed(), Some(9));
        assert_eq!(marks(&[(3, BASE), (9, BASE), (4, GAP)]).base(), 9);
    }
}
