//! From a publish to the receivers, and from their acknowledgements to the next delivery.

use super::keep::{dropped, flown, is_owed, launched, stored};
use super::{Refusal, Shard, Turn};
use crate::group::{Search, Strategy};
use crate::history::Placed;
use crate::journal::{Entry, Journal};
use crate::key::SessionKey;
use crate::message::Message;
use crate::outgoing::{Next, Pending};
use crate::outlet::{Delivered, Delivery, Outlet, Parcel};
use crate::retained::Found;
use crate::slow_reader::SlowReader;
use crate::subscriptions::Audience;
use crate::time::Time;
use std::num::NonZeroU32;
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// How many retained messages are looked up at a time for one receiver.
const REPLAY_MESSAGES: usize = 64;

/// How far the search for them goes for one receiver before others have their turn.
pub(super) const REPLAY_STEPS: usize = 256;

/// How far it goes for all receivers together in one round: one or two milliseconds.
pub(super) const ROUND_STEPS: usize = 1024;

/// What came of a publish.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Published {
    /// Somebody wants the message.
    pub matched: bool,
    /// It was to be retained, but there is no room for it.
    pub not_retained: bool,
    /// It was not published at all.
    pub refused: Option<Refusal>,
}

impl Shard {
    /// Publishes a client's message, now or later, to its topic or to what the rules make of it.
    pub fn publish(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        out: &mut impl Outlet,
    ) -> Published {
        if !self.shared.keeps() && self.has_to_keep(message) {
            return self.refuse(Refusal::NotKept);
        }
        match self.rewritten(publisher, message) {
            None => self.publish_as_it_is(now, publisher, message, out),
            Some(Ok(message)) => self.publish_as_it_is(now, publisher, &message, out),
            Some(Err(why)) => self.refuse(why),
        }
    }

    pub(super) fn publish_as_it_is(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        out: &mut impl Outlet,
    ) -> Published {
        match self.delays(&message.topic) {
            None => self.announce(now, publisher, message, out),
            Some(limits) => self.publish_later(now, publisher, message, limits),
        }
    }

    /// Publishes a message as it is and at once, as the hub does with its own: keeps it if it is to be retained, and
    /// delivers it to all who want it, here and through other shards.
    pub fn announce(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        out: &mut impl Outlet,
    ) -> Published {
        self.announce_numbered(now, publisher, message, 0, out)
    }

    /// The same for a message that has perhaps a number by which it is kept.
    pub(super) fn announce_numbered(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        mut number: u64,
        out: &mut impl Outlet,
    ) -> Published {
        let has_room = self.retain_if_asked(publisher, message, &mut number);
        let matched = self.deliver_everywhere(now, publisher, message, number, out);
        Published { matched, not_retained: !has_room, refused: None }
    }

    /// Gives a message its place in the history of its topic, if that has one, and delivers it to all who want it, here and
    /// through other shards. Returns whether there is anybody.
    pub(super) fn deliver_everywhere(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        mut number: u64,
        out: &mut impl Outlet,
    ) -> bool {
        let placed = self.append(now, publisher, message, &mut number);
        let local = self.deliver_here(now, publisher, (message, placed.as_ref()), &mut number, out);
        let mut groups = std::mem::take(&mut self.groups);
        let (others, keeping) = self.remembered_elsewhere(&message.topic, &mut groups);
        for shard in others.iter() {
            let is_owed = message.qos > QoS::AtMostOnce
                && keeping.contains(shard)
                && self.journal.keep(message, &mut number) > 0;
            let debt = is_owed.then(|| {
                let (shard, shards) = (shard as u64, self.shared.shards() as u64);
                self.journal.note(&Entry::Owed { message: number, shard, shards });
                self.journal.debt()
            });
            let (message, placed) = (message.clone(), placed.clone());
            // What is not owed may be forgotten by the journal while it is under way: who keeps it after all writes it anew.
            let number = if is_owed { number } else { 0 };
            out.forward(shard, Parcel::Message { message, number, debt, placed });
        }
        let matched = local || !others.is_empty() || !groups.is_empty();
        for group in groups.drain(..) {
            let publisher = match group.strategy() {
                Strategy::Sticky => self.publisher_hash(publisher),
                _ => None,
            };
            let search = Search { publisher, ..Search::default() };
            self.share(now, Turn { message: message.clone(), number, debt: None, group, search }, out);
        }
        self.groups = groups;
        matched
    }

    /// Takes what another shard sent.
    pub fn handle(&mut self, now: Time, parcel: Parcel, out: &mut impl Outlet) {
        match parcel {
            Parcel::Message { message, mut number, debt, placed } => {
                self.begin_event();
                self.deliver_here(now, None, (&message, placed.as_ref()), &mut number, out);
                if let Some(debt) = debt {
                    self.journal.note(&Entry::Paid { message: number, shard: self.number as u64 });
                    self.journal.pay(debt);
                }
            }
            Parcel::Turn(turn, member) => {
                self.begin_event();
                self.take_turn(now, turn, member, out);
            }
            Parcel::Fetch(at) => self.handle_fetch(now, at, out),
            Parcel::Redistribute { group, from, messages_max } => {
                self.redistribute(now, from, group, messages_max, out);
            }
            Parcel::Presence(letter) => self.take_letter(now, *letter, out),
        }
        self.tell_presence(now, out);
    }

    /// Who of this shard wants a message on `topic`, for a caller that delivers many at once at QoS 0. Receivers that
    /// have no connection are in it as well.
    pub fn audience(&self, topic: &str, publisher: Option<SessionKey>, audience: &mut Audience) {
        self.subscriptions.audience(topic, publisher, audience);
    }

    /// Where a session is reached, if it is.
    pub fn connection(&self, session: SessionKey) -> Option<crate::ConnectionKey> {
        self.sessions.get(session.index() as usize)?.connection()
    }

    /// Sends what waits for a session, as far as its window and its outbox have room: to be called when it has been
    /// connected, when it has subscribed, and when the outbox that refused a message has room again.
    pub fn resume(&mut self, now: Time, key: SessionKey, out: &mut impl Outlet) {
        let mut steps = REPLAY_STEPS.min(self.replay_steps);
        let before = steps;
        self.resume_for(now, key, &mut steps, out);
        self.replay_steps -= before - steps;
        self.tell_presence(now, out);
        self.catch_up_with_presence(key, out);
    }

    /// Goes on with retained messages that were left for later, so that a filter which matches a million of them, or
    /// finds none among a million, keeps nobody else waiting.
    pub(super) fn go_on_replaying(&mut self, now: Time, out: &mut impl Outlet) {
        // Whoever subscribes again and again between two rounds waits for the next one.
        self.replay_steps = ROUND_STEPS;
        self.go_on_with_followers(now, out);
        let mut steps = ROUND_STEPS;
        for _ in 0..self.replaying.len() {
            if steps == 0 {
                return;
            }
            let Some(key) = self.replaying.pop_front() else { return };
            let Some(session) = self.sessions.get_mut(key.index() as usize) else { continue };
            if let Some(outgoing) = &mut session.outgoing {
                outgoing.is_replaying = false;
                let mut own = REPLAY_STEPS.min(steps);
                let before = own;
                self.resume_for(now, key, &mut own, out);
                // One without any step has had its turn as well.
                steps -= (before - own).max(1);
            }
        }
    }

    fn resume_for(&mut self, now: Time, key: SessionKey, steps: &mut usize, out: &mut impl Outlet) {
        self.send_waiting(now, key, steps, out);
        self.session_mut(key).slim();
        self.go_on_following(now, key, steps, out);
        self.note_load(key);
        self.fetch(now, key, out);
    }

    fn send_waiting(&mut self, now: Time, key: SessionKey, steps: &mut usize, out: &mut impl Outlet) {
        let session = &mut self.sessions[key.index() as usize];
        let (number, is_kept) = (session.number, session.is_kept);
        let (Some(to), Some(outgoing)) = (session.connection(), &mut session.outgoing) else { return };
        let window = usize::from(session.window_max);
        let (expired, journal) = (&mut self.counters.dropped_expired, &mut self.journal);
        let mut found = Vec::new();
        loop {
            if outgoing.is_clear(window) && outgoing.replays.is_empty() {
                return;
            }
            if !out.has_room(to, outgoing.next_once_bytes()) {
                return;
            }
            let mut drop = |pending: &Pending, journal: &mut Journal| {
                *expired += 1;
                if pending.number > 0 {
                    journal.note(&dropped(number, pending));
                }
            };
            match outgoing.next(window, now, |pending| drop(pending, journal)) {
                Some(Next::Publish { packet_id, is_new, dup, pending }) => {
                    if is_new && is_kept {
                        launched(number, packet_id, pending).iter().for_each(|entry| journal.note(entry));
                    }
                    let delivery = delivery(pending, packet_id, dup, waits_for(pending, is_kept, journal));
                    if out.deliver(to, &pending.message, &delivery) == Delivered::Dropped {
                        outgoing.abandon(packet_id);
                        if is_kept {
                            journal.note(&Entry::Land { session: number, packet_id });
                        }
                    }
                }
                Some(Next::PublishOnce(pending)) => {
                    out.deliver(to, &pending.message, &delivery(&pending, 0, false, 0));
                }
                Some(Next::Release { packet_id }) => {
                    out.release(to, packet_id, if is_kept { journal.last_batch() } else { 0 });
                }
                None => {
                    if outgoing.queued().0 > 0 || outgoing.replays.is_empty() {
                        // The window is full.
                        return;
                    }
                    if *steps == 0 {
                        if !std::mem::replace(&mut outgoing.is_replaying, true) {
                            self.replaying.push_back(key);
                        }
                        return;
                    }
                    let Some(replay) = outgoing.replays.front_mut() else { return };
                    let retained = self.shared.retained_below(replay.cursor.first_level());
                    retained.next(&mut replay.cursor, REPLAY_MESSAGES, steps, now, &mut found);
                    let (qos, id) = (replay.qos, replay.subscription_id);
                    let replay = &outgoing.replays[0];
                    // Who asked again for the same has it written down from where that begins.
                    let is_last = !outgoing.replays.iter().skip(1).any(|later| is_owed(later, replay.node));
                    if is_kept
                        && qos > QoS::AtMostOnce
                        && is_last
                        && let Some((filter, _)) = self.subscriptions.get(key, replay.node)
                    {
                        let (at, is_behind) = replay.cursor.place();
                        let at = (!replay.cursor.is_done()).then_some(at);
                        let filter = &filter;
                        journal.note(&Entry::Replay { session: number, filter, at, is_behind, qos, id });
                    }
                    if replay.cursor.is_done() {
                        outgoing.replays.pop_front();
                    }
                    for Found { message, origin, .. } in found.drain(..) {
                        // [v3 MQTT-3.3.1-8]
                        let mut pending = pending_of(&message, qos, true, id);
                        if is_kept && pending.qos > QoS::AtMostOnce && origin.number > 0 {
                            journal.keep_foreign(&message, origin.number, origin.shard.into());
                            journal.restate(&message, origin.number);
                            pending.number = origin.number;
                            journal.note(&Entry::Push { session: number, delivery: stored(&pending) });
                        }
                        outgoing.push(pending);
                    }
                }
            }
        }
    }

    /// PUBACK of a delivery at QoS 1, or a PUBREC with an error at QoS 2 [MQTT-4.3.3-4]: it is done, and nobody else gets
    /// it instead [MQTT-4.8.2-6]. Returns whether it was known.
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
            self.note_landed(key, packet_id);
            self.ease(key);
            self.resume(now, key, out);
        }
        known
    }

    /// Whether a delivery with this packet id is in flight on the session's connection. An acknowledgement of one that was
    /// not known and yet has such an id is of the wrong kind.
    pub fn is_in_flight(&self, key: SessionKey, packet_id: u16) -> bool {
        self.session(key).outgoing.as_ref().is_some_and(|o| o.is_in_flight(packet_id))
    }

    /// Whether anything above QoS 0 is in flight to a session or waits for it.
    pub fn has_deliveries(&self, key: SessionKey) -> bool {
        self.session(key).outgoing.as_ref().is_some_and(|o| !o.is_empty())
    }

    /// PUBREC of a delivery at QoS 2. Returns whether it is known; if so the caller answers with PUBREL.
    pub fn received(&mut self, key: SessionKey, packet_id: u16) -> bool {
        let known = self.session_mut(key).outgoing.as_mut().is_some_and(|o| o.receive(packet_id));
        self.note_received(key, packet_id, known);
        known
    }

    /// PUBCOMP of a delivery at QoS 2. Returns whether it was known.
    pub fn complete(&mut self, now: Time, key: SessionKey, packet_id: u16, out: &mut impl Outlet) -> bool {
        let known = self.session_mut(key).outgoing.as_mut().is_some_and(|o| o.complete(packet_id));
        if known {
            self.note_landed(key, packet_id);
            self.ease(key);
            self.resume(now, key, out);
        }
        known
    }

    /// A QoS 2 publish with this packet id has come in. Returns whether it is new; if not it was published before and
    /// must not be again [MQTT-4.3.3-10].
    pub fn take_incoming(&mut self, key: SessionKey, packet_id: u16) -> bool {
        let is_new = self.session_mut(key).rare().incoming.insert(packet_id);
        self.note_incoming(key, packet_id, is_new);
        is_new
    }

    /// How many QoS 2 publishes of the session wait for their PUBREL.
    pub fn incoming_count(&self, key: SessionKey) -> usize {
        self.session(key).rare.as_ref().map_or(0, |r| r.incoming.len())
    }

    /// PUBREL: the packet id may be used for a new message. Returns whether it was in use.
    pub fn release_incoming(&mut self, key: SessionKey, packet_id: u16) -> bool {
        let was_known = self.session_mut(key).rare.as_mut().is_some_and(|r| r.incoming.remove(&packet_id));
        self.note_released(key, packet_id, was_known);
        was_known
    }

    /// Gives a message to all sessions of this shard that want it, connected or not [MQTT-4.5.0-1] [v3 MQTT-4.5.0-1].
    fn deliver_here(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        (message, placed): (&Arc<Message>, Option<&Placed>),
        number: &mut u64,
        out: &mut impl Outlet,
    ) -> bool {
        let mut audience = std::mem::take(&mut self.audience);
        self.subscriptions.audience(&message.topic, publisher, &mut audience);
        for receiver in audience.receivers() {
            let qos = receiver.qos.min(message.qos);
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13] [v3 MQTT-3.3.1-9]
            let retain = message.retain && receiver.retain_as_published;
            if let Some(placed) = placed
                && self.follow(now, receiver.session, message, placed, out)
            {
                continue;
            }
            self.deliver_to(
                now,
                receiver.session,
                (message, number),
                qos,
                retain,
                (audience.subscription_ids(receiver), receiver.slow_reader),
                out,
            );
        }
        let matched = !audience.receivers().is_empty();
        self.audience = audience;
        matched
    }

    #[allow(clippy::too_many_arguments)]
    fn deliver_to(
        &mut self,
        now: Time,
        key: SessionKey,
        (message, number): (&Arc<Message>, &mut u64),
        qos: QoS,
        retain: bool,
        (subscription_ids, slow_reader): (&[u32], Option<SlowReader>),
        out: &mut impl Outlet,
    ) {
        if self.drops_expired(now, message) {
            return;
        }
        if qos == QoS::AtMostOnce {
            if let Some(to) = self.session(key).connection() {
                let delivery = Delivery {
                    qos,
                    retain,
                    dup: false,
                    packet_id: 0,
                    subscription_ids,
                    waits_for: 0,
                    slow_reader,
                    place: None,
                };
                out.deliver(to, message, &delivery);
            }
            return;
        }
        let subscription_ids = subscription_ids.into();
        let number = self.kept_number(key, message, number);
        let pending = Pending {
            message: message.clone(),
            number,
            qos,
            retain,
            was_tried: false,
            subscription_ids,
            group: None,
        };
        self.deliver_pending(now, key, pending, slow_reader, out);
    }

    /// Delivers to a member of a shared subscription that can take it.
    pub(super) fn deliver_shared(
        &mut self,
        now: Time,
        key: SessionKey,
        pending: Pending,
        slow_reader: Option<SlowReader>,
        out: &mut impl Outlet,
    ) {
        if self.drops_expired(now, &pending.message) {
            return;
        }
        if pending.qos > QoS::AtMostOnce {
            self.deliver_pending(now, key, pending, slow_reader, out);
        } else if let Some(to) = self.session(key).connection() {
            let delivery = Delivery { slow_reader, ..delivery(&pending, 0, false, 0) };
            out.deliver(to, &pending.message, &delivery);
        }
    }

    /// Whether a message is of no use any more [MQTT-3.3.2-5]; its way here, by mail, may have taken too long.
    fn drops_expired(&mut self, now: Time, message: &Message) -> bool {
        let is_expired = message.is_expired(now);
        self.counters.dropped_expired += u64::from(is_expired);
        is_expired
    }

    /// Whether a member of a shared subscription can take one more message, at once or later.
    pub(super) fn can_take(&mut self, key: SessionKey, pending: &Pending, out: &mut impl Outlet) -> bool {
        let session = self.session(key);
        if pending.qos == QoS::AtMostOnce {
            return session.connection().is_some_and(|to| out.has_room(to, None));
        }
        session.outgoing.as_ref().is_none_or(|o| self.shortage(o, 1, pending.message.cost_bytes()).is_none())
    }

    /// Delivers above QoS 0: at once if nothing waits, else behind what does.
    pub(super) fn deliver_pending(
        &mut self,
        now: Time,
        key: SessionKey,
        pending: Pending,
        slow_reader: Option<SlowReader>,
        out: &mut impl Outlet,
    ) {
        let session = &mut self.sessions[key.index() as usize];
        let (window, connection, number) = (session.window(), session.connection(), session.number);
        let is_kept = session.is_kept;
        let outgoing = session.outgoing(&self.backlog);
        let journal = &mut self.journal;
        if let Some(to) = connection
            && outgoing.is_clear(window)
            && out.has_room(to, None)
        {
            let (packet_id, pending) = outgoing.launch(pending);
            if is_kept {
                flown(number, packet_id, pending).iter().for_each(|entry| journal.note(entry));
            }
            let delivery = delivery(pending, packet_id, false, waits_for(pending, is_kept, journal));
            if out.deliver(to, &pending.message, &delivery) == Delivered::Dropped {
                outgoing.abandon(packet_id);
                if is_kept {
                    journal.note(&Entry::Land { session: number, packet_id });
                }
            }
            return;
        }
        let Some(pending) = self.find_room(key, pending, slow_reader, out) else { return };
        let group = pending.group.clone();
        let at = self.address(key);
        let session = &mut self.sessions[key.index() as usize];
        let outgoing = session.outgoing(&self.backlog);
        let was_idle = outgoing.queued().0 == 0;
        if pending.number > 0 {
            self.journal.note(&Entry::Push { session: number, delivery: stored(&pending) });
        }
        outgoing.push(pending);
        if connection.is_none() {
            if let Some(group) = group {
                group.set_stranded(at, |n| n + 1);
            }
        } else if was_idle {
            self.send_waiting(now, key, &mut 0, out);
            self.session_mut(key).slim();
        }
        self.note_load(key);
    }

    /// Tells the groups of a session whether it is behind.
    fn note_load(&self, key: SessionKey) {
        let session = self.session(key);
        if let Some(load) = session.rare.as_ref().and_then(|r| r.load.as_ref()) {
            load.set_backed_up(session.outgoing.as_ref().is_some_and(|o| o.queued().0 > 0));
        }
    }
}

/// At QoS 2 the receiver must not see a packet id of which nothing would be known after a crash, nor a message that would
/// be taken in again.
fn waits_for(pending: &Pending, is_kept: bool, journal: &Journal) -> u64 {
    if is_kept && pending.qos == QoS::ExactlyOnce { journal.last_batch() } else { 0 }
}

pub(super) fn delivery(pending: &Pending, packet_id: u16, dup: bool, waits_for: u64) -> Delivery<'_> {
    let Pending { qos, retain, subscription_ids, .. } = pending;
    Delivery {
        qos: *qos,
        retain: *retain,
        dup,
        packet_id,
        subscription_ids,
        waits_for,
        slow_reader: None,
        place: None,
    }
}

pub(super) fn pending_of(message: &Arc<Message>, qos: QoS, retain: bool, id: Option<NonZeroU32>) -> Pending {
    Pending {
        message: message.clone(),
        number: 0,
        qos: message.qos.min(qos),
        retain,
        was_tried: false,
        subscription_ids: id.map(NonZeroU32::get).into_iter().collect(),
        group: None,
    }
}
