//! A session whose client is away or does not keep up: what waits for it has bounds, and a policy says what goes.

use super::Shard;
use super::keep::{dropped, stored};
use crate::journal::{Entry, FilterRef, Journal};
use crate::key::SessionKey;
use crate::outgoing::{Outgoing, Pending};
use crate::outlet::Outlet;
use crate::session::Session;
use crate::slow_reader::SlowReader;
use crate::subscriptions::SubscriptionOptions;

/// What has been used up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// The session's own queue is full.
    Session,
    /// As much waits in all sessions together as may.
    Total,
}

/// What a subscription that has just been written down asks for when there is no room, if it says anything of it.
pub(super) fn note_wish(
    journal: &mut Journal,
    session: u64,
    filter: FilterRef<'_>,
    options: SubscriptionOptions,
) {
    if let Some(policy) = options.slow_reader {
        journal.note(&Entry::SlowReader { session, filter: Some(filter), policy });
    }
}

/// When the client of a session that never ends has gone; of others it can be told from when they end.
pub(super) fn note_left(journal: &mut Journal, session: &Session) {
    if session.is_kept && session.expiry_s == u32::MAX {
        let at = journal.moment_before(session.left_ms);
        journal.note(&Entry::Left { session: session.number, at });
    }
}

impl Shard {
    /// Whether so much more may not wait for a session, and why.
    pub(super) fn shortage(&self, outgoing: &Outgoing, messages: usize, bytes: usize) -> Option<Shortage> {
        let limits = &self.shared.limits;
        let (own_messages, own_bytes) = outgoing.queued();
        if own_messages + messages > limits.session_queue_messages_max
            || own_bytes + bytes > limits.session_queue_bytes_max
        {
            return Some(Shortage::Session);
        }
        self.shared.is_full(messages, bytes).then_some(Shortage::Total)
    }

    /// The outlet still holds a delivery that it has taken and given no copy of to anybody, and the connection is about to
    /// end: on the next one it goes out for the first time, and not again.
    pub fn held_back(&mut self, session: SessionKey, packet_id: u16) {
        if let Some(outgoing) = &mut self.session_mut(session).outgoing {
            outgoing.hold_back(packet_id);
        }
    }

    /// Sees to it that a delivery may wait, as the policy says. Returns it if it is to be queued: not when it has taken the
    /// place of another, or was dropped.
    pub(super) fn find_room(
        &mut self,
        key: SessionKey,
        mut pending: Pending,
        wish: Option<SlowReader>,
        out: &mut impl Outlet,
    ) -> Option<Pending> {
        let session = &self.sessions[key.index() as usize];
        let rules = &self.shared.limits.slow_readers;
        let policy = SlowReader::of(wish, &pending.message.topic, rules, session.slow_reader);
        if policy == SlowReader::LatestPerTopic && self.is_possible(&pending) {
            pending = self.replace_waiting(key, pending)?;
        }
        let bytes = pending.message.cost_bytes();
        loop {
            let session = &self.sessions[key.index() as usize];
            let (to, outgoing) = (session.connection(), session.outgoing.as_ref()?);
            let Some(short) = self.shortage(outgoing, 1, bytes) else { return Some(pending) };
            let has_own = outgoing.queued().0 > 0;
            match policy {
                SlowReader::DropOldest | SlowReader::LatestPerTopic
                    if has_own && self.is_possible(&pending) =>
                {
                    self.drop_oldest(key, short);
                    continue;
                }
                // Who has nothing waiting is not the one who fills the hub.
                SlowReader::Disconnect if has_own || short == Shortage::Session => {
                    to.into_iter().for_each(|to| out.disconnect(to));
                }
                _ => {}
            }
            self.count_shortage(short);
            return None;
        }
    }

    /// Puts a delivery in the place of the one that waits on the same topic, or returns it if there is none.
    fn replace_waiting(&mut self, key: SessionKey, pending: Pending) -> Option<Pending> {
        let session = &mut self.sessions[key.index() as usize];
        let number = session.number;
        let new = (pending.number > 0).then(|| pending.clone());
        let old = match session.outgoing.as_mut()?.replace(pending) {
            Ok(old) => old,
            Err(pending) => return Some(pending),
        };
        self.counters.dropped_replaced += 1;
        self.note_dropped(number, &old);
        if let Some(new) = new {
            self.journal.note(&Entry::Push { session: number, delivery: stored(&new) });
        }
        // It may be larger than what it replaces.
        while let Some(short) = self.session(key).outgoing.as_ref().and_then(|o| self.shortage(o, 0, 0)) {
            if !self.drop_oldest(key, short) {
                break;
            }
        }
        None
    }

    /// Whether a delivery could wait if nothing else did.
    fn is_possible(&self, pending: &Pending) -> bool {
        let (limits, bytes) = (&self.shared.limits, pending.message.cost_bytes());
        limits.session_queue_messages_max > 0
            && bytes <= limits.session_queue_bytes_max
            && (limits.queued_bytes_max == 0 || bytes <= limits.queued_bytes_max)
    }

    /// Drops what has waited longest for a session. Returns whether there was anything.
    pub(super) fn drop_oldest(&mut self, key: SessionKey, short: Shortage) -> bool {
        self.drop_waiting(key, short, Outgoing::pop)
    }

    /// Drops what has come last of what waits for a session. Returns whether there was anything.
    pub(super) fn drop_newest(&mut self, key: SessionKey, short: Shortage) -> bool {
        self.drop_waiting(key, short, Outgoing::pop_newest)
    }

    fn drop_waiting(
        &mut self,
        key: SessionKey,
        short: Shortage,
        take: fn(&mut Outgoing) -> Option<Pending>,
    ) -> bool {
        let at = self.address(key);
        let session = &mut self.sessions[key.index() as usize];
        let (number, is_away) = (session.number, session.connection().is_none());
        let Some(taken) = session.outgoing.as_mut().and_then(|outgoing| take(outgoing)) else {
            return false;
        };
        if let Some(group) = taken.group.as_ref().filter(|_| is_away) {
            group.set_stranded(at, |n| n.saturating_sub(1));
        }
        self.note_dropped(number, &taken);
        self.count_shortage(short);
        true
    }

    fn note_dropped(&mut self, session: u64, pending: &Pending) {
        if pending.number > 0 {
            self.journal.note(&dropped(session, pending));
        }
    }

    fn count_shortage(&mut self, short: Shortage) {
        match short {
            Shortage::Session => self.counters.dropped_queue_full += 1,
            Shortage::Total => self.counters.dropped_total_full += 1,
        }
    }
}
