//! Histories across starts: what a checkpoint says of them, and how they are put back.

use super::Shard;
use super::keep::Checkpoint;
use crate::history::{HistoryState, TopicHistory};
use crate::journal::{Durability, Entry, HistoryEntry, HistoryImage, KeptHistory, kept_topic};
use crate::shared::Shared;
use crate::time::Time;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Messages of a history that are said again at a time.
const MESSAGES_AT_ONCE: usize = 16;

impl Shared {
    /// What a hub that ends in order writes down last, once all that its shards have written down is with who writes it;
    /// empty if it has nothing to say.
    pub fn closing_record(&self) -> Vec<u8> {
        if !self.history.is_on() || self.keeping.is_none() {
            return Vec::new();
        }
        Entry::History(HistoryEntry::Closed { whole_since: self.history.whole_since() }).to_bytes()
    }
}

impl Shard {
    /// Removes what is too old from the histories of some topics. Returns whether there are more to be looked at.
    pub fn sweep_histories(&mut self, now: Time) -> bool {
        let has_more = self.shared.history.sweep(now);
        self.note_partial();
        has_more
    }

    /// Writes down, once, that something was published that is not there and of which nothing is known any more.
    pub(super) fn note_partial(&mut self) {
        if self.journal.is_on() && self.shared.history.becomes_partial() {
            self.journal.note(&Entry::History(HistoryEntry::Partial));
        }
    }

    /// A checkpoint has come to the histories.
    pub(super) fn begin_restating_history(&mut self) -> Checkpoint {
        let history = &self.shared.history;
        if !history.is_on() {
            return Checkpoint::Debts;
        }
        let opened = opened(&self.shared, false, history.later_stamp());
        self.journal.note(&Entry::History(opened));
        self.next_history(None)
    }

    fn next_history(&self, after: Option<&str>) -> Checkpoint {
        match self.shared.history.behind(after, 1).pop() {
            Some(next) => {
                // What comes later stands behind the beginning of the checkpoint anyway.
                let until = next.state().next;
                Checkpoint::History(next, 0, until)
            }
            None => Checkpoint::Debts,
        }
    }

    /// Says again a few messages of a history. How far it goes is said with each of these steps: what gave way since the last
    /// one is missing in between, and must not be taken for there.
    pub(super) fn restate_history(
        &mut self,
        history: Arc<TopicHistory>,
        from: u64,
        until: u64,
    ) -> Checkpoint {
        let is_kept = self.journal.durability(history.topic()) != Durability::None;
        if !is_kept {
            return self.next_history(Some(history.topic()));
        }
        let (state, kept) = history.kept_from(from, MESSAGES_AT_ONCE);
        let (birth, epoch) = (history.birth(), history.epoch().number());
        let HistoryState { floor, next, unsure_below, gone_stamp, .. } = state;
        let is_synced = self.journal.is_synced(history.topic());
        let topic = history.topic();
        self.journal.note(&Entry::History(HistoryEntry::Topic {
            topic,
            birth,
            epoch,
            next,
            floor,
            unsure_below,
            gone_stamp,
            is_synced,
        }));
        for kept in kept.iter().filter(|kept| kept.number > 0) {
            self.journal.restate(&kept.message, kept.number);
            self.journal.keep_foreign(&kept.message, kept.number, kept.shard.into());
            self.journal.note(&Entry::History(HistoryEntry::Append {
                message: kept.number,
                birth,
                epoch,
                offset: kept.offset,
                stamp: kept.stamp,
                publisher: kept.publisher.map(NonZeroU64::get),
                is_synced,
            }));
        }
        match kept.last() {
            Some(last) if from < until => Checkpoint::History(history, last.offset + 1, until),
            _ => self.next_history(Some(history.topic())),
        }
    }
}

/// That the hub has started.
fn opened(shared: &Shared, jumps: bool, stamp: u64) -> HistoryEntry<'static> {
    let history = &shared.history;
    HistoryEntry::Opened { jumps, stamp, rules: history.fingerprint(), whole_since: history.whole_since() }
}

/// Puts the histories back that a journal has left. Returns what has changed with the start: it has to be on disk before any
/// place is given.
pub(super) fn restore_history(shared: &Shared, mut image: HistoryImage, now: Time) -> Vec<u8> {
    let history = &shared.history;
    if !history.is_on() && !image.is_known() {
        return Vec::new();
    }
    let stamp = history.stamp(now);
    let jumps = !image.is_closed;
    let is_whole = image.rules == Some(history.fingerprint())
        && !(jumps && image.is_partial)
        && shared.keeping.as_ref().is_some_and(|keeping| keeping.keeps_all(jumps));
    history.set_whole_since(if is_whole { image.whole_since } else { stamp });
    image.open(jumps, stamp);
    let mut record = Entry::History(opened(shared, jumps, stamp)).to_bytes();
    history.set_births(image.birth_max);
    for (name, kept) in image.topics {
        let (topic, rule) = (kept_topic(&name), history.rule_of(&name));
        match (topic, rule) {
            (Some(topic), Some(rule)) => history.restore(now, topic, rule, kept.restored()),
            // Nothing is kept of it from now on, so that a later start must not go on with it.
            _ => record.extend(forget(&name, &kept)),
        }
    }
    record
}

fn forget(topic: &str, kept: &KeptHistory) -> Vec<u8> {
    Entry::History(HistoryEntry::Forget { topic, birth: kept.birth() }).to_bytes()
}
