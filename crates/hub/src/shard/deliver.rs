//! From a publish to the receivers, and from their acknowledgements to the next delivery.

use super::Shard;
use crate::interest::{Address, Group, Member, ShardSet};
use crate::key::SessionKey;
use crate::message::Message;
use crate::outgoing::{Next, Pending};
use crate::outlet::{Delivered, Delivery, Outlet, Parcel};
use crate::subscriptions::{Audience, SubscriptionIds};
use crate::time::Time;
use crate::topic::Topic;
use std::num::NonZeroU32;
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// How many retained messages are looked up at a time for one receiver.
const REPLAY_MESSAGES: usize = 64;

/// What came of a publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// Somebody wants the message.
    pub matched: bool,
    /// It was to be retained, but there is no room for it.
    pub not_retained: bool,
}

impl Shard {
    /// Publishes a message: keeps it if it is to be retained, and delivers it to all who want it, here and through
    /// other shards.
    pub fn publish(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        out: &mut impl Outlet,
    ) -> Published {
        let not_retained = message.retain && self.shared.retained.set(message).is_err();
        self.counters.not_retained += u64::from(not_retained);
        let local = self.deliver_here(now, publisher, message, out);
        let mut groups = std::mem::take(&mut self.groups);
        let others = self.remembered_elsewhere(&message.topic, &mut groups);
        for shard in others.iter() {
            out.forward(shard, Parcel::Message(message.clone()));
        }
        let matched = local || !others.is_empty() || !groups.is_empty();
        for group in groups.drain(..) {
            self.deliver_shared(now, group, message, None, out);
        }
        self.groups = groups;
        Published { matched, not_retained }
    }

    /// Takes what another shard sent.
    pub fn handle(&mut self, now: Time, parcel: Parcel, out: &mut impl Outlet) {
        match parcel {
            Parcel::Message(message) => {
                self.deliver_here(now, None, &message, out);
            }
            Parcel::Shared { message, member, group } => {
                self.deliver_to_member(now, member, group, &message, out)
            }
        }
    }

    /// Who of this shard wants a message on `topic`, for a caller that delivers many at once at QoS 0. Receivers that
    /// have no connection are in it as well.
    pub fn audience(&self, topic: &str, publisher: Option<SessionKey>, audience: &mut Audience) {
        self.subscriptions.audience(topic, publisher, audience);
    }

    /// Which other shards want `topic`, and into `groups` who shares it.
    pub fn elsewhere(&self, topic: &str, groups: &mut Vec<Arc<Group>>) -> ShardSet {
        groups.clear();
        let interest = &self.shared.interest;
        if self.shared.shards() == 1 && !interest.has_groups() {
            return ShardSet::default();
        }
        interest.of(topic, groups).without(self.number)
    }

    /// As [`elsewhere`](Self::elsewhere), from memory if nothing has changed since this topic was last asked for: a
    /// publisher's messages go to the same topic again and again, and the table is shared with other cores.
    fn remembered_elsewhere(&mut self, topic: &Topic, groups: &mut Vec<Arc<Group>>) -> ShardSet {
        let version = self.shared.interest.version();
        if let Some(shards) = self.routes.get(topic, version) {
            return shards;
        }
        let shards = self.elsewhere(topic, groups);
        if groups.is_empty() {
            self.routes.set(topic, version, shards);
        }
        shards
    }

    /// Where a session is reached, if it is.
    pub fn connection(&self, session: SessionKey) -> Option<crate::ConnectionKey> {
        self.sessions.get(session.index() as usize)?.connection
    }

    /// Sends what waits for a session, as far as its window and its outbox have room: to be called when it has been
    /// connected, when it has subscribed, and when the outbox that refused a message has room again.
    pub fn resume(&mut self, now: Time, key: SessionKey, out: &mut impl Outlet) {
        self.send_waiting(now, key, out);
        self.session_mut(key).slim();
    }

    fn send_waiting(&mut self, now: Time, key: SessionKey, out: &mut impl Outlet) {
        let session = &mut self.sessions[key.index() as usize];
        let (Some(to), Some(outgoing)) = (session.connection, &mut session.outgoing) else { return };
        let window = usize::from(session.window_max);
        let expired = &mut self.counters.dropped_expired;
        loop {
            if outgoing.is_clear(window) && outgoing.replays.is_empty() || !out.has_room(to) {
                return;
            }
            match outgoing.next(window, now, || *expired += 1) {
                Some(Next::Publish { packet_id, dup, pending }) => {
                    let delivery = delivery(pending, packet_id, dup);
                    if out.deliver(to, &pending.message, &delivery) == Delivered::Dropped {
                        outgoing.abandon(packet_id);
                    }
                }
                Some(Next::PublishOnce(pending)) => {
                    out.deliver(to, &pending.message, &delivery(&pending, 0, false));
                }
                Some(Next::Release { packet_id }) => out.release(to, packet_id),
                None => {
                    if outgoing.queued().0 > 0 {
                        // The window is full.
                        return;
                    }
                    let Some(replay) = outgoing.replays.front_mut() else { return };
                    let found = self.shared.retained.next(&mut replay.cursor, REPLAY_MESSAGES, now);
                    let (qos, id) = (replay.qos, replay.subscription_id);
                    if replay.cursor.is_done() {
                        outgoing.replays.pop_front();
                    }
                    for message in found {
                        outgoing.push(pending_of(&message, qos, true, id));
                    }
                }
            }
        }
    }

    /// PUBACK of a delivery at QoS 1, or a PUBREC with an error at QoS 2 [MQTT-4.3.3-4]. Returns whether it was known.
    pub fn acknowledge(
        &mut self,
        now: Time,
        key: SessionKey,
        packet_id: u16,
        qos: QoS,
        out: &mut impl Outlet,
    ) -> bool {
        let known = self.session_mut(key).outgoing.as_mut().is_some_and(|o| o.acknowledge(packet_id, qos));
        if known {
            self.resume(now, key, out);
        }
        known
    }

    /// Whether a delivery with this packet id is in flight on the session's connection. An acknowledgement of one that was
    /// not known and yet has such an id is of the wrong kind.
    pub fn is_in_flight(&self, key: SessionKey, packet_id: u16) -> bool {
        self.session(key).outgoing.as_ref().is_some_and(|o| o.is_in_flight(packet_id))
    }

    /// PUBREC of a delivery at QoS 2. Returns whether it is known; if so the caller answers with PUBREL.
    pub fn received(&mut self, key: SessionKey, packet_id: u16) -> bool {
        self.session_mut(key).outgoing.as_mut().is_some_and(|o| o.receive(packet_id))
    }

    /// PUBCOMP of a delivery at QoS 2. Returns whether it was known.
    pub fn complete(&mut self, now: Time, key: SessionKey, packet_id: u16, out: &mut impl Outlet) -> bool {
        let known = self.session_mut(key).outgoing.as_mut().is_some_and(|o| o.complete(packet_id));
        if known {
            self.resume(now, key, out);
        }
        known
    }

    /// A QoS 2 publish with this packet id has come in. Returns whether it is new; if not it was published before and
    /// must not be again [MQTT-4.3.3-10].
    pub fn take_incoming(&mut self, key: SessionKey, packet_id: u16) -> bool {
        self.session_mut(key).rare().incoming.insert(packet_id)
    }

    /// How many QoS 2 publishes of the session wait for their PUBREL.
    pub fn incoming_count(&self, key: SessionKey) -> usize {
        self.session(key).rare.as_ref().map_or(0, |r| r.incoming.len())
    }

    /// PUBREL: the packet id may be used for a new message. Returns whether it was in use.
    pub fn release_incoming(&mut self, key: SessionKey, packet_id: u16) -> bool {
        self.session_mut(key).rare.as_mut().is_some_and(|r| r.incoming.remove(&packet_id))
    }

    fn deliver_here(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        out: &mut impl Outlet,
    ) -> bool {
        let mut audience = std::mem::take(&mut self.audience);
        self.subscriptions.audience(&message.topic, publisher, &mut audience);
        for receiver in audience.receivers() {
            let qos = receiver.qos.min(message.qos);
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            let retain = message.retain && receiver.retain_as_published;
            self.deliver_to(
                now,
                receiver.session,
                message,
                qos,
                retain,
                audience.subscription_ids(receiver),
                out,
            );
        }
        let matched = !audience.receivers().is_empty();
        self.audience = audience;
        matched
    }

    fn deliver_shared(
        &mut self,
        now: Time,
        group: Arc<Group>,
        message: &Arc<Message>,
        passed: Option<Address>,
        out: &mut impl Outlet,
    ) {
        match group.pick(message.qos, passed) {
            None => self.counters.dropped_no_member += 1,
            Some(member) if member.at.shard == self.number => {
                self.deliver_to_member(now, member, group, message, out)
            }
            Some(member) => {
                let message = message.clone();
                out.forward(member.at.shard, Parcel::Shared { message, member, group });
            }
        }
    }

    fn deliver_to_member(
        &mut self,
        now: Time,
        member: Member,
        group: Arc<Group>,
        message: &Arc<Message>,
        out: &mut impl Outlet,
    ) {
        let here = self.sessions.get(member.at.session.index() as usize);
        if here.is_none_or(|s| s.serial != member.at.serial) {
            // It ended while the message was on its way, and has left the group: another one's turn.
            return self.deliver_shared(now, group, message, Some(member.at), out);
        }
        let (qos, retain) =
            (message.qos.min(member.options.qos), message.retain && member.options.retain_as_published);
        let ids: SubscriptionIds = member.options.id.map(NonZeroU32::get).into_iter().collect();
        self.deliver_to(now, member.at.session, message, qos, retain, &ids, out);
    }

    #[allow(clippy::too_many_arguments)]
    fn deliver_to(
        &mut self,
        now: Time,
        key: SessionKey,
        message: &Arc<Message>,
        qos: QoS,
        retain: bool,
        subscription_ids: &[u32],
        out: &mut impl Outlet,
    ) {
        let limits = &self.shared.limits;
        let session = &mut self.sessions[key.index() as usize];
        if qos == QoS::AtMostOnce {
            if let Some(to) = session.connection {
                let delivery = Delivery { qos, retain, dup: false, packet_id: 0, subscription_ids };
                out.deliver(to, message, &delivery);
            }
            return;
        }
        let window = session.window();
        let connection = session.connection;
        let outgoing = session.outgoing();
        let pending =
            Pending { message: message.clone(), qos, retain, subscription_ids: subscription_ids.into() };
        if let Some(to) = connection
            && outgoing.is_clear(window)
            && out.has_room(to)
        {
            let packet_id = outgoing.launch(pending);
            let delivery = Delivery { qos, retain, dup: false, packet_id, subscription_ids };
            if out.deliver(to, message, &delivery) == Delivered::Dropped {
                outgoing.abandon(packet_id);
            }
            return;
        }
        let (messages, bytes) = outgoing.queued();
        if messages >= limits.session_queue_messages_max
            || bytes + message.cost_bytes() > limits.session_queue_bytes_max
        {
            self.counters.dropped_queue_full += 1;
            return;
        }
        let was_idle = messages == 0;
        outgoing.push(pending);
        if was_idle && connection.is_some() {
            self.resume(now, key, out);
        }
    }
}

fn delivery(pending: &Pending, packet_id: u16, dup: bool) -> Delivery<'_> {
    let Pending { qos, retain, subscription_ids, .. } = pending;
    Delivery { qos: *qos, retain: *retain, dup, packet_id, subscription_ids }
}

fn pending_of(message: &Arc<Message>, qos: QoS, retain: bool, id: Option<NonZeroU32>) -> Pending {
    Pending {
        message: message.clone(),
        qos: message.qos.min(qos),
        retain,
        subscription_ids: id.map(NonZeroU32::get).into_iter().collect(),
    }
}
