//! What others have the hub keep for them: a value for a key, of which the hub knows no more than that the last one counts.

use super::wire::{Reader, Unreadable, put_bytes};
use std::collections::BTreeMap;
use std::ops::Bound;

/// The kind of [`Entry::Fact`](super::Entry::Fact).
pub(super) const FACT: u8 = 50;

/// A value for a key. An empty one says that there is none any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fact<'a> {
    /// Whose it is: keys of different kinds have nothing to do with each other.
    pub(crate) kind: u8,
    pub(crate) key: &'a str,
    pub(crate) value: &'a [u8],
}

impl<'a> Fact<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[FACT, self.kind]);
        put_bytes(self.key.as_bytes(), out);
        put_bytes(self.value, out);
    }

    pub(super) fn decode(record: &mut Reader<'a>) -> Result<Fact<'a>, Unreadable> {
        Ok(Fact { kind: record.byte()?, key: record.text()?, value: record.bytes()? })
    }
}

/// All facts, in the order of kind and key.
#[derive(Default, Debug)]
pub(crate) struct Facts(BTreeMap<(u8, Box<str>), Box<[u8]>>);

impl Facts {
    pub(crate) fn set(&mut self, fact: Fact<'_>) {
        let key = (fact.kind, fact.key.into());
        match fact.value.is_empty() {
            true => drop(self.0.remove(&key)),
            false => drop(self.0.insert(key, fact.value.into())),
        }
    }

    /// Those behind a place, or all of them.
    pub(crate) fn behind(&self, place: Option<&(u8, Box<str>)>) -> impl Iterator<Item = Fact<'_>> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        let facts = self.0.range((from, Bound::Unbounded));
        facts.map(|((kind, key), value)| Fact { kind: *kind, key, value })
    }
}
