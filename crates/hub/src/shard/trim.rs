//! What was kept of sessions under higher limits is brought within those that there are now.

use super::Shard;
use super::slow::Shortage;
use crate::key::SessionKey;
use crate::outgoing::Outgoing;
use crate::slow_reader::SlowReader;
use crate::subscriptions::Audience;
use crate::topic::Topic;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// What was dropped when limits had become lower.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Trimmed {
    /// Messages that waited.
    pub messages: u64,
    /// Sessions that they waited for.
    pub sessions: u64,
}

/// Drops of what waits in sessions all that limits forbid which are lower than those of the start before: to be called with
/// the shards of [`restore`](crate::restore), before anybody connects. Each session loses what its policy, or that of the
/// topic, has it lose: the newest or the oldest; of what is too much in all together those with the most lose first. What
/// is in flight stays, as do subscriptions, retained and delayed messages.
///
/// It is written down as everything that the shards do.
pub fn trim(shards: &mut [Shard]) -> Trimmed {
    let mut losers = HashSet::new();
    let mut wishes: Vec<Wishes> = shards.iter().map(|_| Wishes::default()).collect();
    let mut messages = 0;
    let mut all = Vec::new();
    for (number, shard) in shards.iter_mut().enumerate() {
        let keys: Vec<_> = shard.sessions.iter().map(|(index, _)| SessionKey::new(index as u32)).collect();
        for key in keys {
            let before = messages;
            // An event for each session, so that no record grows beyond what one may have.
            shard.begin_event();
            while shard.is_over(key, Shortage::Session)
                && shard.drop_one(key, Shortage::Session, &mut wishes[number])
            {
                messages += 1;
            }
            if messages > before {
                losers.insert((number, key));
            }
            all.extend(shard.queued(key).map(|queued| (queued, number, key)));
        }
    }
    let is_over = |shards: &[Shard]| shards[0].shared.is_full(0, 0);
    let mut largest = if is_over(shards) { BinaryHeap::from(all) } else { BinaryHeap::new() };
    while is_over(shards)
        && let Some((_, number, key)) = largest.pop()
    {
        let shard = &mut shards[number];
        shard.begin_event();
        if shard.drop_one(key, Shortage::Total, &mut wishes[number]) {
            messages += 1;
            losers.insert((number, key));
            largest.extend(shard.queued(key).map(|queued| (queued, number, key)));
        }
    }
    Trimmed { messages, sessions: losers.len() as u64 }
}

/// What subscriptions say of their policy, by topic: one topic may wait in very many sessions.
#[derive(Default)]
struct Wishes(HashMap<Topic, HashMap<SessionKey, SlowReader>>);

impl Wishes {
    fn of(&mut self, shard: &Shard, session: SessionKey, topic: &Topic) -> Option<SlowReader> {
        if !self.0.contains_key(topic) {
            let mut audience = Audience::default();
            shard.subscriptions.audience(topic, None, &mut audience);
            let said = audience.receivers().iter().filter_map(|to| Some((to.session, to.slow_reader?)));
            self.0.insert(topic.clone(), said.collect());
        }
        self.0[topic].get(&session).copied()
    }
}

impl Shard {
    fn is_over(&self, key: SessionKey, short: Shortage) -> bool {
        let outgoing = self.sessions[key.index() as usize].outgoing.as_ref();
        outgoing.is_some_and(|outgoing| self.shortage(outgoing, 0, 0) == Some(short))
    }

    /// Bytes and messages that wait for a session, if any do.
    fn queued(&self, key: SessionKey) -> Option<(usize, usize)> {
        let (messages, bytes) = self.sessions[key.index() as usize].outgoing.as_ref()?.queued();
        (messages > 0).then_some((bytes, messages))
    }

    /// Drops what the policy gives up. Returns whether there was anything.
    fn drop_one(&mut self, key: SessionKey, short: Shortage, wishes: &mut Wishes) -> bool {
        let session = &self.sessions[key.index() as usize];
        let Some(newest) = session.outgoing.as_deref().and_then(Outgoing::newest) else { return false };
        let rules = &self.shared.limits.slow_readers;
        let wish = wishes.of(self, key, &newest.message.topic);
        match SlowReader::of(wish, &newest.message.topic, rules, session.slow_reader) {
            SlowReader::DropNewest | SlowReader::Disconnect => self.drop_newest(key, short),
            SlowReader::DropOldest | SlowReader::LatestPerTopic => self.drop_oldest(key, short),
        }
    }
}
