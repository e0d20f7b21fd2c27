//! What whoever runs the hub has it keep, beside all that is MQTT: the first shard has it.

use super::Shard;
use super::keep::Checkpoint;
use crate::journal::{Entry, Fact};

impl Shard {
    /// Keeps a value for a key from now on, in place of the one before; an empty one takes it away. It is written down if
    /// anything is, and [`waits_for`](Self::waits_for) names the batch that it stands in, whatever else has to be on disk
    /// before it is acknowledged: such changes are rare. `kind` tells those of one owner from those of others.
    ///
    /// # Panics
    /// On another shard than the first.
    pub fn set_fact(&mut self, kind: u8, key: &str, value: &[u8]) {
        assert_eq!(self.number, 0, "facts are the first shard's");
        let fact = Fact { kind, key, value };
        self.facts.set(fact);
        if self.journal.is_on() {
            self.journal.write_anyway(&Entry::Fact(fact));
        }
    }

    /// The values of a kind, with their keys, in the order of these. Only the first shard has any.
    pub fn facts(&self, kind: u8) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.facts.behind(None);
        all.filter(move |fact| fact.kind == kind).map(|fact| (fact.key, fact.value))
    }

    /// Says some of them again at a checkpoint.
    pub(super) fn restate_facts(&mut self, after: Option<(u8, Box<str>)>, bytes_max: usize) -> Checkpoint {
        let mut last = after.clone();
        for fact in self.facts.behind(after.as_ref()) {
            if self.journal.bytes() >= bytes_max {
                return Checkpoint::Facts(last);
            }
            self.journal.note(&Entry::Fact(fact));
            last = Some((fact.kind, fact.key.into()));
        }
        // All changes of retained messages up to here are in their table.
        self.journal.note(&Entry::SweepBegin { version: self.shared.retained.version() });
        Checkpoint::Retained(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Image, Keeping};
    use crate::shared::{Limits, Shared};
    use crate::time::Time;
    use std::sync::Arc;

    fn all(shard: &Shard, kind: u8) -> Vec<(String, Vec<u8>)> {
        shard.facts(kind).map(|(key, value)| (key.to_owned(), value.to_vec())).collect()
    }

    fn shared() -> Shared {
        Shared::new(2, 7, Limits::default()).with_keeping(Keeping::default(), 1)
    }

    fn read(records: &[Vec<u8>]) -> Image {
        let mut image = Image::new(0);
        records.iter().for_each(|record| image.read(record).expect("it was written a moment ago"));
        image
    }

    #[test]
    fn the_last_value_is_there_after_a_restart_and_after_a_checkpoint() {
        let mut shard = Shard::new(0, Arc::new(shared()));
        for (kind, key, value) in
            [(1, "a", "old"), (1, "b", "gone"), (2, "a", "other"), (1, "a", "new"), (1, "b", "")]
        {
            shard.begin_event();
            shard.set_fact(kind, key, value.as_bytes());
            assert_ne!(shard.waits_for(), 0, "it is acknowledged once it is on disk");
        }
        let one = [("a".to_owned(), b"new".to_vec())];
        let two = [("a".to_owned(), b"other".to_vec())];
        let written = shard.take_batch().expect("something was written").records;
        shard.handed_over();
        let (mut shards, _) = crate::restore(read(&written), &Arc::new(shared()), Time::default());
        assert_eq!((all(&shards[0], 1), all(&shards[0], 2)), (one.to_vec(), two.to_vec()));
        assert!(all(&shards[1], 1).is_empty());

        // What stands before the checkpoint is dropped, so that all must be said again, in however small steps.
        shards[0].take_batch();
        shards[0].begin_checkpoint(1, None);
        let mut said = Vec::new();
        while !shards[0].go_on_with_checkpoint(1) {
            said.extend(shards[0].take_batch().into_iter().flat_map(|batch| batch.records));
            shards[0].handed_over();
        }
        said.extend(shards[0].take_batch().into_iter().flat_map(|batch| batch.records));
        let (shards, _) = crate::restore(read(&said), &Arc::new(shared()), Time::default());
        assert_eq!((all(&shards[0], 1), all(&shards[0], 2)), (one.to_vec(), two.to_vec()));
    }

    #[test]
    fn where_nothing_is_kept_they_are_only_remembered() {
        let mut shard = Shard::new(0, Arc::new(Shared::new(1, 7, Limits::default())));
        shard.begin_event();
        shard.set_fact(1, "a", b"x");
        assert_eq!((shard.waits_for(), all(&shard, 1).len()), (0, 1));
        assert!(shard.take_batch().is_none());
    }
}
