//! Shards that go on where an earlier process ended, however that was.

use super::Shard;
use super::history_kept::restore_history;
use crate::delayed::Due;
use crate::group::Search;
use crate::journal::{
    Entry, Image, KeptDelivery, KeptFilter, KeptFlight, KeptRetained, KeptSession, KeptSubscription, Owed,
};
use crate::key::{ConnectionKey, SessionKey};
use crate::message::Message;
use crate::outgoing::{Pending, Replay};
use crate::outlet::{Delivered, Delivery, Outlet, Parcel};
use crate::payload::Payload;
use crate::retained::{Cursor, Origin};
use crate::subscriptions::{Audience, SubscriptionIds};
use crate::time::Time;
use crate::topic::{Filter, Topic};
use crate::{Shared, group::Group};
use foldhash::quality::FixedState;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use trefoil_mqtt::QoS;

use super::Turn;

/// Makes the shards of a hub that goes on where an earlier one ended. `shared` is new, and made
/// [with](Shared::with_keeping) the image's seed and next number.
///
/// Clients that were connected are taken for lost at `now`: their wills are due and their sessions end as if the network
/// had failed. What one shard still owed another is dealt with.
///
/// The record that is returned says what has changed with that. It has to be on disk before anything else is written.
pub fn restore(image: Image, shared: &Arc<Shared>, now: Time) -> (Vec<Shard>, Vec<u8>) {
    let mut shards: Vec<Shard> = (0..shared.shards()).map(|n| Shard::new(n, shared.clone())).collect();
    let Image { sessions, retained, retained_version, delayed, owed, history, facts, noted, .. } = image;
    let found = Arc::new(noted.places);
    shards.iter_mut().for_each(|shard| shard.journal.set_found(found.clone()));
    shards[0].facts = facts;
    restore_retained(shared, retained, retained_version);
    let opened = restore_history(shared, history, now);
    // By client id, so that the same image always makes the same shards.
    let mut sessions: Vec<(u64, KeptSession)> = sessions.into_iter().collect();
    sessions.sort_unstable_by(|a, b| (&a.1.client_id, b.0).cmp(&(&b.1.client_id, a.0)));
    let (mut keys, mut deliveries) = (HashMap::new(), Vec::new());
    for (number, mut session) in sessions {
        let shard = shared.shard_of(&session.client_id);
        let waiting = Deliveries::take(&mut session);
        if let Some(key) = shards[shard].restore_session(number, session, now) {
            keys.insert(number, (shard, key));
            deliveries.push((shard, key, waiting));
        }
    }
    // What came by shared subscriptions finds them only now.
    for (shard, key, waiting) in deliveries {
        shards[shard].restore_deliveries(key, waiting);
    }
    for (number, kept) in delayed {
        let (shard, publisher) = match keys.get(&kept.publisher) {
            Some(&(shard, key)) => (shard, Some((key, shards[shard].session(key).serial))),
            None => (0, None),
        };
        shared.delayed.restore(kept.message.cost_bytes());
        let due = Due { publisher, message: kept.message, number };
        shards[shard].delayed.hold(kept.at, due, kept.publisher);
    }
    for shard in &shards {
        shard.count_stranded();
    }
    let mut out = NobodyConnected::default();
    Entry::Meta { seed: shared.seed() }.encode(&mut out.record);
    out.record.extend(opened);
    for number in 0..shards.len() {
        shards[number].publish_due_wills(now, &mut out);
        carry(&mut shards, now, &mut out);
    }
    for ((number, debt), message) in owed {
        settle(&mut shards, shared, now, (number, &message), &debt, &mut out);
    }
    out.hand_over(&mut shards);
    shards.iter_mut().for_each(|shard| shard.were_connected = HashSet::new());
    (shards, out.record)
}

fn restore_retained(
    shared: &Shared,
    retained: HashMap<Box<str>, KeptRetained, impl BuildHasher>,
    version: u64,
) {
    // In the order in which they were set, so that the oldest give way first as before.
    let mut retained: Vec<KeptRetained> = retained.into_values().filter(|r| r.message.is_some()).collect();
    retained.sort_unstable_by_key(|retained| retained.version);
    for KeptRetained { version, publisher, message, .. } in retained {
        if let Some((number, message)) = message {
            let origin = Origin { publisher, number, shard: 0 };
            shared.retained.restore(&message, origin, version);
        }
    }
    shared.retained.set_version(version);
}

/// Pays what was owed when the process ended.
fn settle(
    shards: &mut [Shard],
    shared: &Shared,
    now: Time,
    (number, message): (u64, &Arc<Message>),
    debt: &Owed,
    out: &mut NobodyConnected,
) {
    match debt {
        Owed::Shard { shard, of } => {
            let hash = FixedState::with_seed(shared.seed());
            for own in shards.iter_mut() {
                own.settle(now, number, message, |client_id| hash.hash_one(client_id) % of == *shard, out);
            }
            shards[0].journal.note(&Entry::Paid { message: number, shard: *shard });
        }
        Owed::Share { name, filter } => {
            if let Some(group) = shared.interest.group(name, filter) {
                let message = message.clone();
                let debt = Some(shards[0].journal.debt());
                let turn = Turn { message, number, debt, group, search: Search::default() };
                shards[0].share(now, turn, out);
                carry(shards, now, out);
            } else {
                shards[0].journal.note(&Entry::PaidShare { message: number, name, filter });
            }
        }
    }
}

/// Brings the mail between shards to where it goes.
fn carry(shards: &mut [Shard], now: Time, out: &mut NobodyConnected) {
    while let Some((shard, parcel)) = out.parcels.pop_front() {
        // What a parcel rests on stands before what comes of it.
        out.hand_over(shards);
        shards[shard].handle(now, parcel, out);
    }
}

impl Shard {
    /// Publishes the wills that are due. A client that is back before the next round of timers would silence them.
    fn publish_due_wills(&mut self, now: Time, out: &mut NobodyConnected) {
        let mut due: Vec<SessionKey> = Vec::new();
        for (index, session) in &self.sessions {
            let will_at = session.rare.as_ref().and_then(|rare| rare.will_at);
            if will_at.is_some_and(|at| at <= now) {
                due.push(SessionKey::new(index as u32));
            }
        }
        for key in due {
            self.publish_waiting_will(now, key, out);
        }
    }

    fn restore_session(&mut self, number: u64, kept: KeptSession, now: Time) -> Option<SessionKey> {
        if self.by_client_id.contains_key(&*kept.client_id) {
            // One client id has one session, the last one that was made.
            self.journal.note(&Entry::End { session: number });
            return None;
        }
        let key = self.open(&kept.client_id);
        let session = self.session_mut(key);
        session.number = number;
        session.is_kept = kept.expiry_s > 0;
        session.expiry_s = kept.expiry_s;
        session.window_max = u16::MAX;
        session.slow_reader = kept.slow_reader;
        // An older store does not say it of those that never end.
        let counted = kept.ends_at.map(|at| at.as_ms() as i64 - i64::from(kept.expiry_s) * 1000);
        let left_ms = kept.left_ms.or(counted).filter(|_| !kept.is_connected);
        session.left_ms = left_ms.unwrap_or(now.as_ms() as i64);
        let mut ends_at = kept.ends_at;
        let mut will_at = kept.will_at;
        if kept.expiry_s == 0 {
            // Only its will was kept, or its client wanted no more than that.
            ends_at = Some(now);
            will_at = kept.will.as_ref().filter(|_| kept.is_connected || will_at.is_some()).map(|_| now);
        } else if kept.is_connected {
            ends_at = (kept.expiry_s < u32::MAX).then(|| now.plus_s(kept.expiry_s.into()));
            will_at = kept.will.as_ref().map(|will| now.plus_s(will.delay_s.min(kept.expiry_s).into()));
        }
        // What most sessions do not have is not made for them.
        let is_rare = ends_at.is_some()
            || kept.will.is_some()
            || kept.identity.is_some()
            || kept.user_name.is_some()
            || kept.token.is_some()
            || !kept.incoming.is_empty();
        if is_rare {
            let rare = session.rare();
            rare.identity = kept.identity.as_deref().map(Into::into);
            (rare.user_name, rare.token) = (kept.user_name, kept.token);
            rare.incoming = kept.incoming.iter().copied().collect();
            (rare.will, rare.will_at, rare.ends_at) = (kept.will, will_at, ends_at);
            self.set_timer(key);
        }
        if kept.is_connected {
            self.note_away(key, ends_at, will_at);
            self.journal.note(&Entry::Tried { session: number });
            self.were_connected.insert(key);
        }
        for (filter, subscription) in kept.subscriptions {
            self.restore_subscription(key, &filter, &subscription);
        }
        Some(key)
    }

    fn restore_deliveries(&mut self, key: SessionKey, waiting: Deliveries) {
        let shared = &self.shared;
        let pending = |delivery| pending(delivery, shared);
        let session = &mut self.sessions[key.index() as usize];
        if waiting.flights.is_empty() && waiting.queue.is_empty() && waiting.packet_id == 0 {
            return;
        }
        let outgoing = session.outgoing(&self.backlog);
        for flight in waiting.flights.into_values() {
            let delivery = flight.delivery.map_or_else(forgotten, pending);
            outgoing.restore_flight(flight.packet_id, delivery, flight.is_received);
        }
        outgoing.restore_last_id(waiting.packet_id);
        waiting.queue.into_iter().for_each(|delivery| outgoing.push(pending(delivery)));
    }

    pub(super) fn restore_subscription(
        &mut self,
        key: SessionKey,
        filter: &KeptFilter,
        kept: &KeptSubscription,
    ) {
        let options = kept.options;
        let pattern = Filter { share: filter.share.as_deref(), pattern: &filter.pattern };
        if let Some(name) = pattern.share {
            self.join_group(key, name, pattern.pattern, options);
            return;
        }
        if kept.is_exclusive && self.shared.exclusive.take(pattern.pattern, self.address(key)) {
            self.session_mut(key).rare().exclusives.insert(pattern.pattern.into());
        }
        let added = self.subscribe_own(key, pattern.pattern, options);
        if let Some(kept) = &kept.replay {
            let own = if options.no_local { self.publisher_number(Some(key)) } else { None };
            let replay = Replay {
                cursor: Cursor::new(pattern.pattern).without(own).from(&kept.at, kept.is_behind),
                node: added.node,
                is_left_over: true,
                qos: kept.qos,
                subscription_id: kept.id,
            };
            let session = &mut self.sessions[key.index() as usize];
            session.outgoing(&self.backlog).replay(replay);
        }
    }

    /// Tells the groups what of theirs waits in sessions, all of which are without a connection.
    fn count_stranded(&self) {
        for (index, session) in &self.sessions {
            let Some(outgoing) = &session.outgoing else { continue };
            let at = self.address(SessionKey::new(index as u32));
            for (group, stranded) in outgoing.count_shared() {
                group.set_stranded(at, |_| stranded);
            }
        }
    }

    /// Gives a message to the sessions that want it and had not got it yet.
    fn settle(
        &mut self,
        now: Time,
        number: u64,
        message: &Arc<Message>,
        is_theirs: impl Fn(&str) -> bool,
        out: &mut NobodyConnected,
    ) {
        let mut audience = Audience::default();
        self.subscriptions.audience(&message.topic, None, &mut audience);
        for receiver in audience.receivers() {
            let qos = receiver.qos.min(message.qos);
            let session = self.session(receiver.session);
            if session.is_kept && qos > QoS::AtMostOnce && is_theirs(&session.client_id) {
                let pending = Pending {
                    message: message.clone(),
                    number,
                    qos,
                    retain: message.retain && receiver.retain_as_published,
                    was_tried: self.were_connected.contains(&receiver.session),
                    subscription_ids: audience.subscription_ids(receiver).into(),
                    group: None::<Arc<Group>>,
                };
                self.deliver_pending(now, receiver.session, pending, None, out);
            }
        }
    }
}

/// A delivery as it waits, or is in flight.
pub(super) fn pending(delivery: KeptDelivery, shared: &Shared) -> Pending {
    Pending {
        message: delivery.message,
        number: delivery.number,
        qos: delivery.qos,
        retain: delivery.retain,
        was_tried: delivery.was_tried,
        subscription_ids: delivery.subscription_ids,
        group: delivery.group.as_ref().and_then(|(name, filter)| shared.interest.group(name, filter)),
    }
}

/// Stands for a delivery at QoS 2 whose message was not kept. The client is only asked to end the exchange.
pub(super) fn forgotten() -> Pending {
    let message = Message {
        topic: Topic::new("forgotten", usize::MAX).expect("it is one level without wildcards"),
        payload: Payload::copy_from_slice(&[]),
        qos: QoS::ExactlyOnce,
        retain: false,
        expires_at: None,
        properties: None,
    };
    Pending {
        message: Arc::new(message),
        number: 0,
        qos: QoS::ExactlyOnce,
        retain: false,
        was_tried: false,
        subscription_ids: SubscriptionIds::new(),
        group: None,
    }
}

/// What a session has yet to bring to its client.
struct Deliveries {
    flights: BTreeMap<u64, KeptFlight>,
    queue: VecDeque<KeptDelivery>,
    packet_id: u16,
}

impl Deliveries {
    fn take(session: &mut KeptSession) -> Deliveries {
        if session.is_connected {
            session.mark_tried();
        }
        Deliveries {
            flights: std::mem::take(&mut session.flights),
            queue: std::mem::take(&mut session.queue),
            packet_id: session.packet_id,
        }
    }
}

/// The way out while nobody is connected.
#[derive(Default)]
struct NobodyConnected {
    parcels: VecDeque<(usize, Parcel)>,
    /// What the shards have written down.
    record: Vec<u8>,
}

impl NobodyConnected {
    fn hand_over(&mut self, shards: &mut [Shard]) {
        for shard in shards {
            self.record.append(&mut shard.journal.take_all());
        }
    }
}

impl Outlet for NobodyConnected {
    fn has_room(&mut self, _: ConnectionKey, _: Option<usize>) -> bool {
        false
    }

    fn deliver(&mut self, _: ConnectionKey, _: &Arc<Message>, _: &Delivery<'_>) -> Delivered {
        Delivered::Dropped
    }

    fn release(&mut self, _: ConnectionKey, _: u16, _: u64) {}

    fn forward(&mut self, shard: usize, parcel: Parcel) {
        self.parcels.push_back((shard, parcel));
    }
}
