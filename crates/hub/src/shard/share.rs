//! Shared subscriptions: each message to one member of a group, and to another one if that member goes away.
//!
//! What waits in the session of a member that lost its connection stays there, marked as stranded, and members that
//! have nothing waiting fetch it bit by bit: so it goes to who can work on it, nobody's queue overflows, and it is
//! there for its first receiver should nobody else take it. A QoS 2 message that has been sent once stays with its
//! receiver [MQTT-4.8.2-4] [MQTT-4.8.2-5].

use super::Shard;
use crate::group::{Address, Group, Member, Search};
use crate::journal::{Debt, Entry};
use crate::key::SessionKey;
use crate::message::Message;
use crate::outgoing::{Pending, Taken};
use crate::outlet::{Outlet, Parcel};
use crate::subscriptions::SubscriptionIds;
use crate::time::Time;
use foldhash::quality::FixedState;
use std::hash::BuildHasher;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// How many members are asked to take a message before it is given up.
const ASKED_MAX: u8 = 16;

/// How many stranded messages are fetched at a time.
const FETCH_MESSAGES: usize = 64;

/// How many members are told at once that there is something to fetch; each goes on as long as there is.
const TOLD_MAX: usize = 64;

/// A message for one member of a group.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The message.
    pub message: Arc<Message>,
    /// The number by which it is kept; 0 if it is not, or if on its way to another shard nothing is owed of it.
    pub number: u64,
    /// It is written down that a member is still to be found for it.
    pub debt: Option<Debt>,
    /// The group, to choose another member if this one cannot take it.
    pub group: Arc<Group>,
    /// How far the search for a member has come.
    pub search: Search,
}

impl Shard {
    /// Gives a message to one member of a group.
    pub(super) fn share(&mut self, now: Time, mut turn: Turn, out: &mut impl Outlet) {
        let Some(member) = turn.group.pick(&turn.message, &turn.search) else {
            return self.give_up(turn);
        };
        let shard = member.at.shard;
        if shard == self.number {
            return self.take_turn(now, turn, member, out);
        }
        let is_kept = member.is_kept && turn.message.qos.min(member.options.qos) > QoS::AtMostOnce;
        // What was owed before a checkpoint began is so still, and has to stand behind that.
        let is_noted = turn.debt.is_some() && !self.journal.is_early(turn.number);
        if (is_kept || turn.debt.is_some())
            && !is_noted
            && self.journal.keep(&turn.message, &mut turn.number) > 0
        {
            if let Some(debt) = turn.debt.replace(self.journal.debt()) {
                self.journal.pay(debt);
            }
            let (message, name, filter) = (turn.number, turn.group.name(), turn.group.filter());
            self.journal.note(&Entry::OwedShare { message, name, filter });
        }
        if turn.debt.is_none() {
            // The journal may forget it while it is under way: who keeps it after all writes it anew.
            turn.number = 0;
        }
        out.forward(shard, Parcel::Turn(turn, member));
    }

    /// No member can take it.
    fn give_up(&mut self, mut turn: Turn) {
        self.counters.dropped_no_member += 1;
        self.note_shared(&mut turn);
    }

    /// Nothing is owed of it any more.
    fn note_shared(&mut self, turn: &mut Turn) {
        if let Some(debt) = turn.debt.take() {
            self.journal.pay(debt);
            let (message, name, filter) = (turn.number, turn.group.name(), turn.group.filter());
            self.journal.note(&Entry::PaidShare { message, name, filter });
        }
    }

    /// It is the turn of a member that belongs to this shard. If it cannot take the message, another one is asked: it
    /// ended while the message was on its way, or it has no room.
    pub(super) fn take_turn(&mut self, now: Time, mut turn: Turn, member: Member, out: &mut impl Outlet) {
        let (search, group) = (turn.search, turn.group.clone());
        if self.is_there(member.at) {
            let (options, message) = (&member.options, turn.message.clone());
            // [MQTT-4.8.2-3]
            let qos = message.qos.min(options.qos);
            let mut pending = Pending {
                message: message.clone(),
                number: 0,
                qos,
                retain: message.retain && options.retain_as_published,
                was_tried: self.were_connected.contains(&member.at.session),
                subscription_ids: options.id.map(NonZeroU32::get).into_iter().collect::<SubscriptionIds>(),
                group: Some(group.clone()),
            };
            // Of a single member it is known at once that nobody else could take it: its policy says what goes.
            let members = group.len();
            let is_last =
                members <= 1 || search.asked >= ASKED_MAX.min(u8::try_from(members).unwrap_or(u8::MAX));
            if is_last || self.can_take(member.at.session, &pending, out) {
                if qos > QoS::AtMostOnce {
                    pending.number = self.kept_number(member.at.session, &message, &mut turn.number);
                }
                self.note_shared(&mut turn);
                self.deliver_shared(now, member.at.session, pending, options.slow_reader, out);
                if qos > QoS::AtMostOnce && self.session(member.at.session).connection().is_none() {
                    // It was chosen since nobody else was there. Who has come since then found nothing to fetch.
                    self.call_to_fetch(now, group.online(search.passed, 1), out);
                }
                return;
            }
        }
        if search.asked >= ASKED_MAX {
            return self.give_up(turn);
        }
        turn.search = search.after(member.at);
        self.share(now, turn, out);
    }

    /// Stands for a publisher where its messages are to stay together.
    pub(super) fn publisher_hash(&self, publisher: Option<SessionKey>) -> Option<u64> {
        let client_id = &self.session(publisher?).client_id;
        Some(FixedState::with_seed(self.shared.seed()).hash_one(client_id))
    }

    /// The same for what is retained, which may outlast the session: a client with the same client id has the same number.
    pub(super) fn publisher_number(&self, publisher: Option<SessionKey>) -> Option<NonZeroU64> {
        NonZeroU64::new(self.publisher_hash(publisher)? | 1)
    }

    /// Tells how many messages have left for a session's connection and are still in its outbox, for groups that look
    /// for the least loaded member.
    pub fn weigh(&self, key: SessionKey, outbox_messages: usize) {
        let session = self.session(key);
        if let Some(load) = session.rare.as_ref().and_then(|r| r.load.as_ref()) {
            load.set_weight(outbox_messages + session.outgoing.as_ref().map_or(0, |o| o.len()));
        }
    }

    /// A delivery to the session is done.
    pub(super) fn ease(&self, key: SessionKey) {
        if let Some(load) = self.session(key).rare.as_ref().and_then(|r| r.load.as_ref()) {
            load.ease();
        }
    }

    /// Whether a session is a member of a group that asks for its [weight](Self::weigh).
    pub fn is_weighed(&self, key: SessionKey) -> bool {
        // All groups of a hub go by the same.
        let any = self.session(key).rare.as_ref().and_then(|rare| rare.shares.values().next());
        any.is_some_and(|group| group.strategy() == crate::group::Strategy::LeastLoaded)
    }

    /// The connection of a session is gone: whatever it got from groups and has not acknowledged, others may have.
    pub(super) fn strand(&mut self, now: Time, key: SessionKey, out: &mut impl Outlet) {
        let at = self.address(key);
        let session = self.session(key);
        let (Some(rare), Some(outgoing)) = (&session.rare, &session.outgoing) else { return };
        if rare.shares.is_empty() {
            return;
        }
        let mut idle = Vec::new();
        for (group, stranded) in outgoing.count_shared() {
            group.set_stranded(at, |_| stranded);
            idle.extend(group.online(None, TOLD_MAX.min(stranded.div_ceil(FETCH_MESSAGES))));
        }
        self.call_to_fetch(now, idle, out);
    }

    fn call_to_fetch(&mut self, now: Time, members: Vec<Address>, out: &mut impl Outlet) {
        for member in members {
            if member.shard == self.number {
                self.handle_fetch(now, member, out);
            } else {
                out.forward(member.shard, Parcel::Fetch(member));
            }
        }
    }

    /// A session leaves a group and remains: what waits for it goes to others, if there are any.
    pub(super) fn leave_group(
        &mut self,
        now: Time,
        key: SessionKey,
        group: Arc<Group>,
        out: &mut impl Outlet,
    ) {
        let at = self.address(key);
        self.shared.interest.leave(&group, at);
        let is_away = self.session(key).connection().is_none();
        if group.is_empty() {
            return;
        }
        let Some(outgoing) = &mut self.session_mut(key).outgoing else { return };
        let taken = outgoing.take_shared(usize::MAX, is_away, |g| Arc::ptr_eq(g, &group));
        self.note_taken(key, &taken);
        self.share_again(now, taken, Search::default().after(at), out);
    }

    /// A member has nothing waiting: it takes what is stranded with others.
    pub(super) fn fetch(&mut self, now: Time, key: SessionKey, out: &mut impl Outlet) {
        let session = self.session(key);
        let Some(rare) = &session.rare else { return };
        let Some(load) = rare.load.as_ref().filter(|load| load.is_called()) else { return };
        let has_work = session.outgoing.as_ref().is_some_and(|o| o.queued().0 > 0);
        if has_work || session.connection().is_none() {
            return;
        }
        load.answer();
        let at = self.address(key);
        let groups: Vec<_> =
            rare.shares.values().filter_map(|g| Some((g.stranded(at)?, g.clone()))).collect();
        if !groups.is_empty() {
            // There may be more than it gets now.
            load.call();
        }
        for ((from, qos), group) in groups {
            // At QoS 0 it acknowledges nothing, and so would not come back for the rest.
            let messages_max = if qos == QoS::AtMostOnce { usize::MAX } else { FETCH_MESSAGES };
            if from.shard == self.number {
                self.redistribute(now, from, group, messages_max, out);
            } else {
                out.forward(from.shard, Parcel::Redistribute { group, from, messages_max });
            }
        }
    }

    /// Somebody has nothing waiting and may take what is stranded here.
    pub(super) fn handle_fetch(&mut self, now: Time, at: Address, out: &mut impl Outlet) {
        if self.is_there(at) {
            self.fetch(now, at.session, out);
        }
    }

    /// Gives some of what waits in the session of an absent member to others.
    pub(super) fn redistribute(
        &mut self,
        now: Time,
        from: Address,
        group: Arc<Group>,
        messages_max: usize,
        out: &mut impl Outlet,
    ) {
        if !self.is_there(from) || self.session(from.session).connection().is_some() {
            return;
        }
        let Some(outgoing) = &mut self.session_mut(from.session).outgoing else { return };
        let taken = outgoing.take_shared(messages_max, true, |g| Arc::ptr_eq(g, &group));
        self.note_taken(from.session, &taken);
        group.set_stranded(from, |n| if taken.is_empty() { 0 } else { n.saturating_sub(taken.len()) });
        self.share_again(now, taken, Search::default().after(from), out);
    }

    /// Gives what was meant for one member to others.
    pub(super) fn share_again(
        &mut self,
        now: Time,
        taken: Vec<Taken>,
        search: Search,
        out: &mut impl Outlet,
    ) {
        for Pending { message, number, group, .. } in taken.into_iter().map(|taken| taken.pending) {
            if message.is_expired(now) {
                self.counters.dropped_expired += 1;
            } else if let Some(group) = group {
                self.counters.redistributed += 1;
                self.share(now, Turn { message, number, debt: None, group, search }, out);
            }
        }
    }

    pub(super) fn is_there(&self, at: Address) -> bool {
        self.sessions.get(at.session.index() as usize).is_some_and(|s| s.serial == at.serial)
    }
}
