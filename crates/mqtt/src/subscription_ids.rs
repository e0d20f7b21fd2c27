//! Subscription identifiers: which of the receiver's subscriptions a PUBLISH is for.

use std::fmt;

use crate::property::Property;
use crate::wire::{Reader, VARINT_MAX, varint_len};

/// The subscription identifiers of a PUBLISH, each from 1 to 268,435,455.
#[derive(Clone, Copy)]
pub struct SubscriptionIds<'a>(List<'a>);

#[derive(Clone, Copy)]
enum List<'a> {
    /// A property section that was checked, and how many subscription identifiers are in it.
    Wire { section: &'a [u8], count: usize },
    /// What a sender wants to say.
    Values(&'a [u32]),
}

impl<'a> SubscriptionIds<'a> {
    pub(crate) fn in_section(section: &'a [u8], count: usize) -> Self {
        SubscriptionIds(List::Wire { section, count })
    }

    /// The identifiers, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (section, values) = match self.0 {
            List::Wire { section, count } => (if count == 0 { &[][..] } else { section }, &[][..]),
            List::Values(values) => (&[][..], values),
        };
        let mut reader = Reader::new(section);
        let from_wire = std::iter::from_fn(move || {
            while !reader.is_empty() {
                // The section was checked when `self` was made, so that an error cannot come up.
                if let Property::SubscriptionId(id) = Property::read(&mut reader).ok()? {
                    return Some(id);
                }
            }
            None
        });
        from_wire.chain(values.iter().copied())
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            List::Wire { count, .. } => count,
            List::Values(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(crate) fn wire_len(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.iter().map(|id| 1 + varint_len(id as usize)).sum()
    }

    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            self.iter().for_each(|id| Property::SubscriptionId(id).put(out));
        }
    }
}

/// The identifiers that a sender wants to say. Each must be from 1 to 268,435,455; larger ones are not representable.
impl<'a> From<&'a [u32]> for SubscriptionIds<'a> {
    fn from(values: &'a [u32]) -> Self {
        debug_assert!(
            values.iter().all(|&id| id != 0 && id as usize <= VARINT_MAX),
            "subscription id out of range"
        );
        SubscriptionIds(List::Values(values))
    }
}

impl Default for SubscriptionIds<'_> {
    fn default() -> Self {
        SubscriptionIds(List::Values(&[]))
    }
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIds<'_> {}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let section = [0x01, 1, 0x0B, 5, 0x26, 0, 0, 0, 0, 0x0B, 0x80, 0x01];
        let found = SubscriptionIds::in_section(&section, 2);
        let made = SubscriptionIds::from(&[5, 128][..]);
        assert_eq!(found.iter().collect::<Vec<_>>(), [5, 128]);
        assert_eq!(found, made);
        assert_eq!((found.wire_len(), made.wire_len()), (5, 5));
        let mut out = Vec::new();
        found.put(&mut out);
        assert_eq!(out, [0x0B, 5, 0x0B, 0x80, 0x01]);
        assert_eq!(format!("{made:?}"), "[5, 128]");
    }

    #[test]
    fn a_section_without_any_is_the_same_as_none() {
        let found = SubscriptionIds::in_section(&[0x01, 1], 0);
        assert!(found.is_empty());
        assert_eq!(found, SubscriptionIds::default());
        assert_eq!(found.iter().count(), 0);
    }
}
