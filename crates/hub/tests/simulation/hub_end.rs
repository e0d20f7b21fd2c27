//! The hub's end of all connections: shards, mail between them, and the packets in between. It stands where the server
//! stands in the real hub, without sockets.

use crate::ledger::Ledger;
use crate::link::{Arrival, HubSide, Link};
use crate::net::Net;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use trefoil_hub::{
    Connect, ConnectionKey, Counters, Ending, Keeping, Limits, Message, Payload, QoS, SessionKey, Shard,
    Shared, SlowReader, SubscriptionOptions, Time, Topic, Will,
};
use trefoil_model::wire::Kind;
use trefoil_model::{Arrivals, Message as Model, Tap};
use trefoil_mqtt::{
    ConnAck, ConnAckProperties, Disconnect, Packet, PacketType, Publish, ReasonCode, SubAck, UnsubAck,
    Version, decode, frame,
};

/// A fault to be put in on purpose, to see that it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Every 20th parcel of mail between shards is lost.
    LosesMail,
    /// What comes again at QoS 2 is published again.
    PublishesTwice,
    /// Every 20th message is acknowledged and not published.
    AcknowledgesOnly,
    /// Of the messages that go out one after the other, every 20th overtakes the one before it.
    Overtakes,
    /// A goodbye does not silence the will.
    KeepsWill,
    /// DUP is never set.
    ForgetsDup,
    /// PUBACK and PUBREC do not wait for the disk.
    AcknowledgesEarly,
    /// Deliveries at QoS 2 do not.
    DeliversEarly,
    /// PUBREL does not.
    ReleasesEarly,
    /// PUBCOMP does not.
    CompletesEarly,
    /// SUBACK and UNSUBACK do not.
    SubscribesEarly,
    /// CONNACK does not.
    WelcomesEarly,
    /// Parcels leave a shard before what they rest on is handed over.
    SendsEarly,
    /// What was written before a checkpoint is dropped while it is being made.
    DropsEarly,
    /// What was delayed leaves before it is durable that it is kept no longer.
    LeavesEarly,
    /// Connections are given out while mail is still under way.
    HandsOverEarly,
    /// When the log is read, entries of this kind are passed over.
    Ignores(u8),
}

/// The hub.
pub struct HubEnd {
    pub shards: Vec<Shard>,
    pub net: Net,
    pub keeping: Keeping,
    /// What happens when the queue of a client is full, by client.
    pub slow_readers: Vec<SlowReader>,
    pub dropped_before: u64,
    pub has_dropped_shared: bool,
    /// Shards that have yet to begin with the checkpoint, and those that are at it.
    pub waiting: Vec<usize>,
    pub under_way: Vec<usize>,
}

impl HubEnd {
    pub fn new(
        shards: usize,
        limits: Limits,
        receive_max: u16,
        taps: Vec<Tap>,
        fault: Option<Fault>,
    ) -> HubEnd {
        let shared = Arc::new(Shared::new(shards, 11, limits));
        let net = Net {
            links: BTreeMap::new(),
            mail: (0..shards).map(|_| vec![VecDeque::new(); shards]).collect(),
            here: 0,
            now: Time::default(),
            taps,
            arrivals: Arrivals::default(),
            ledger: Ledger::default(),
            disk: None,
            zero_ms: 0,
            receive_max,
            fault,
            turns: 0,
            held_back: None,
            too_slow: Vec::new(),
            unheard: BTreeSet::new(),
            broken: None,
        };
        HubEnd {
            shards: (0..shards).map(|n| Shard::new(n, shared.clone())).collect(),
            net,
            keeping: Keeping::default(),
            slow_readers: Vec::new(),
            dropped_before: 0,
            has_dropped_shared: false,
            waiting: Vec::new(),
            under_way: Vec::new(),
        }
    }

    /// The process ends and starts again. Today nothing survives that; once there is a store, what it has written
    /// comes back here, and the oracle is no longer told that the sessions are lost.
    pub fn restart(&mut self) {
        let shards = self.shards.len();
        let limits = self.shards[0].shared().limits.clone();
        let shared = Arc::new(Shared::new(shards, 11, limits));
        self.shards = (0..shards).map(|n| Shard::new(n, shared.clone())).collect();
        self.net.mail = (0..shards).map(|_| vec![VecDeque::new(); shards]).collect();
        self.net.held_back = None;
        self.net.ledger.wills.hub_lost();
        self.net.ledger.sessions.clear();
        for link in self.net.links.values_mut() {
            link.hub = None;
            link.down.end();
        }
    }

    pub fn dropped(&self) -> u64 {
        let of = |c: &Counters| c.dropped_queue_full + c.dropped_replaced + c.dropped_total_full;
        let now: u64 = self.shards.iter().map(|shard| of(shard.counters())).sum();
        self.dropped_before + now
    }

    /// Whether messages were dropped for which no member of a shared subscription had room.
    pub fn has_dropped_shared(&self) -> bool {
        self.has_dropped_shared || self.shards.iter().any(|shard| shard.counters().dropped_no_member > 0)
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.net.now = self.net.now.plus_ms(ms);
        for (number, shard) in self.shards.iter_mut().enumerate() {
            self.net.here = number;
            let now = self.net.hub_now();
            shard.handle_time(now, &mut self.net);
        }
        if self.net.fault == Some(Fault::LeavesEarly) {
            (0..self.shards.len()).for_each(|shard| self.let_delayed_out(shard, u64::MAX));
        }
    }

    /// Ends the connections of those who do not keep up. What waits for the disk still goes out, or a client that fills its
    /// own queue would do so again and again: so here the disk is quick.
    pub fn end_slow(&mut self) {
        if !self.net.too_slow.is_empty() && self.net.disk.is_some() {
            (0..self.shards.len()).for_each(|shard| self.end_tick(shard));
            self.sync(u64::MAX);
        }
        for key in std::mem::take(&mut self.net.too_slow) {
            self.lose(key);
        }
    }

    /// Pairs of shards, receiver first, between which mail is under way.
    pub fn mail_under_way(&self) -> Vec<(usize, usize)> {
        let pairs = (0..self.shards.len()).flat_map(|to| (0..self.shards.len()).map(move |from| (to, from)));
        pairs.filter(|&(to, from)| !self.net.mail[to][from].is_empty()).collect()
    }

    /// Delivers the oldest parcel from one shard to another.
    pub fn carry_mail(&mut self, to: usize, from: usize) {
        let Some(parcel) = self.net.mail[to][from].pop_front() else { return };
        if self.net.goes_wrong(Fault::LosesMail) {
            return;
        }
        self.net.here = to;
        let now = self.net.hub_now();
        self.shards[to].handle(now, parcel, &mut self.net);
    }

    /// Reads at most `max` bytes of a connection. Returns whether anything came.
    pub fn read(&mut self, key: u32, max: usize) -> bool {
        let Some(link) = self.net.links.get_mut(&key) else { return false };
        let arrival = link.up.take(max);
        let Some(side) = &mut link.hub else { return false };
        match arrival {
            Arrival::Nothing => false,
            Arrival::End => {
                self.lose(key);
                true
            }
            Arrival::Bytes(bytes) => {
                side.rest.extend(bytes);
                self.packets(key);
                true
            }
        }
    }

    /// The hub finds that a connection is dead.
    pub fn lose(&mut self, key: u32) {
        let shard = self.net.links.get(&key).map(|link| link.shard);
        self.leave(key, Ending::Lost);
        if let Some(shard) = shard {
            self.stamp(shard);
        }
    }

    /// Sends on what waited for room on a connection.
    pub fn resume_if_starved(&mut self, key: u32) {
        let Some(link) = self.net.links.get_mut(&key) else { return };
        let (has_room, shard) = (link.has_room(), link.shard);
        let Some(side) = link.hub.as_mut().filter(|side| side.is_starved && has_room) else { return };
        side.is_starved = false;
        if let Some(session) = side.session {
            self.net.here = shard;
            let now = self.net.hub_now();
            self.shards[shard].resume(now, session, &mut self.net);
        }
    }

    fn packets(&mut self, key: u32) {
        loop {
            let Some(side) = self.net.links.get_mut(&key).and_then(|link| link.hub.as_mut()) else { return };
            let packet: Vec<u8> = match frame(&side.rest, 1 << 20) {
                Ok(Some(found)) if found.len <= side.rest.len() => side.rest.drain(..found.len).collect(),
                Ok(_) => return,
                Err(error) => return self.net.breaks(format!("a good packet is refused: {error}")),
            };
            match decode(&packet, side.version) {
                Ok(packet) => self.packet(key, packet),
                Err(error) => return self.net.breaks(format!("a good packet is refused: {error}")),
            }
        }
    }

    fn packet(&mut self, key: u32, packet: Packet<'_>) {
        let shard = self.net.links.get(&key).map(|link| link.shard);
        self.deal_with(key, packet);
        if let Some(shard) = shard {
            self.stamp(shard);
        }
    }

    /// What has just happened stands in the batch of a shard that is being filled, or in its last one.
    fn stamp(&mut self, shard: usize) {
        if let Some(disk) = &self.net.disk {
            let batch = self.shards[shard].last_batch();
            self.net.ledger.stands_in(shard, batch, disk.record_of(shard, batch));
        }
    }

    fn deal_with(&mut self, key: u32, packet: Packet<'_>) {
        let Some(link) = self.net.links.get_mut(&key) else { return };
        let (number, client) = (link.shard, link.client);
        let Some(HubSide { version, session, .. }) = link.hub else { return };
        self.net.here = number;
        let Some(session) = session else {
            return match packet {
                Packet::Connect(connect) => self.connect(key, number, client, &connect),
                other => self.net.breaks(format!("{other:?} came before CONNECT")),
            };
        };
        self.net.unheard.remove(&client);
        let (now, here) = (self.net.hub_now(), self.net.now);
        let (shard, net) = (&mut self.shards[number], &mut self.net);
        shard.begin_event();
        match packet {
            Packet::Publish(publish) => self.publish(key, number, session, version, &publish),
            Packet::PubAck(ack) => {
                net.taps[client].answered(Kind::PubAck, ack.packet_id);
                shard.acknowledge(now, session, ack.packet_id, QoS::AtLeastOnce, net);
            }
            Packet::PubRec(ack) => {
                net.taps[client].answered(Kind::PubRec, ack.packet_id);
                shard.received(session, ack.packet_id);
                let waits_for = net.unless(Fault::ReleasesEarly, shard.waits_for());
                net.ack(key, PacketType::PubRel, version, ack.packet_id, waits_for);
            }
            Packet::PubComp(ack) => {
                net.taps[client].answered(Kind::PubComp, ack.packet_id);
                shard.complete(now, session, ack.packet_id, net);
            }
            Packet::PubRel(ack) => {
                shard.release_incoming(session, ack.packet_id);
                let waits_for = net.unless(Fault::CompletesEarly, shard.waits_for());
                net.ack(key, PacketType::PubComp, version, ack.packet_id, waits_for);
            }
            Packet::Subscribe(subscribe) => {
                let mut reasons = Vec::new();
                for filter in subscribe.filters.iter() {
                    let options = SubscriptionOptions { qos: filter.qos, ..SubscriptionOptions::default() };
                    match shard.subscribe(session, filter.filter, options, filter.retain_handling) {
                        Ok(qos) => reasons.push(ReasonCode::granted(qos)),
                        Err(error) => return net.breaks(format!("{}: {error}", filter.filter)),
                    }
                }
                let packet_id = subscribe.packet_id;
                let answer = SubAck { packet_id, reasons: (&*reasons).into(), ..SubAck::default() };
                let waits_for = net.unless(Fault::SubscribesEarly, shard.waits_for());
                net.write(key, waits_for, false, |out| answer.encode(version, out));
                shard.resume(now, session, net);
            }
            Packet::Unsubscribe(unsubscribe) => {
                let ended: Vec<ReasonCode> = unsubscribe
                    .filters
                    .iter()
                    .map(|filter| match shard.unsubscribe(now, session, filter, net) {
                        Ok(true) => ReasonCode::Success,
                        _ => ReasonCode::NoSubscriptionExisted,
                    })
                    .collect();
                let packet_id = unsubscribe.packet_id;
                let answer = UnsubAck { packet_id, reasons: (&*ended).into(), ..UnsubAck::default() };
                let waits_for = net.unless(Fault::SubscribesEarly, shard.waits_for());
                net.write(key, waits_for, false, |out| answer.encode(version, out));
            }
            Packet::Disconnect(goodbye) => {
                let expiry_s = goodbye.session_expiry_s;
                let keeps_will = net.fault == Some(Fault::KeepsWill);
                let ending = match goodbye.reason {
                    ReasonCode::Success if !keeps_will => Ending::Normal { expiry_s },
                    _ => Ending::WithWill { expiry_s },
                };
                let with_will = goodbye.reason != ReasonCode::Success;
                net.ledger.ended(client, with_will, here.as_ms());
                self.leave(key, ending);
            }
            other => net.breaks(format!("{other:?} from a client")),
        }
    }

    fn connect(&mut self, key: u32, number: usize, client: usize, connect: &trefoil_mqtt::Connect<'_>) {
        let version = connect.version;
        let expiry_s = match version {
            Version::V5 => connect.properties.session_expiry_s.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => u32::MAX,
        };
        let will = connect.will.map(|will| {
            let message = message(will.topic, will.payload, will.qos, false, None);
            Will { message, expiry_s: None, delay_s: will.delay_s }
        });
        let (now, here) = (self.net.hub_now(), self.net.now);
        let net = &mut self.net;
        self.shards[number].begin_event();
        // Whoever holds the session now is displaced, which ends that connection without a goodbye.
        let holds =
            |link: &Link| link.client == client && link.hub.as_ref().is_some_and(|s| s.session.is_some());
        if net.links.values().any(holds) {
            net.ledger.ended(client, true, here.as_ms());
        }
        net.ledger.connected(client, connect.clean_start, here.as_ms());
        let asked = Connect {
            clean_start: connect.clean_start,
            expiry_s,
            window_max: connect.properties.receive_max.unwrap_or(u16::MAX),
            will,
            slow_reader: self.slow_readers.get(client).copied().unwrap_or_default(),
            ..Connect::new(connect.client_id, ConnectionKey(key))
        };
        let connected = self.shards[number].connect(now, asked, net);
        if let Some(ConnectionKey(old)) = connected.displaced {
            if net
                .links
                .get(&old)
                .and_then(|link| link.hub.as_ref())
                .is_some_and(|s| s.version == Version::V5)
            {
                let goodbye = Disconnect::new(ReasonCode::SessionTakenOver);
                net.write(old, 0, false, |out| goodbye.encode(Version::V5, out));
            }
            net.close(old);
        }
        if let Some(will) = &connect.will {
            let model = Model::number_in(will.payload).unwrap_or_default();
            net.ledger.set_will(client, model, will.delay_s, connected.expiry_s, will.qos as u8);
        }
        net.must_be_present(client, connect.clean_start, connected.present);
        net.ledger.session(client, connected.expiry_s);
        net.taps[client].connected(connected.present);
        if !connected.present {
            net.unheard.insert(client);
        }
        let receive_max = (version == Version::V5).then_some(net.receive_max);
        let answer = ConnAck {
            session_present: connected.present,
            properties: ConnAckProperties { receive_max, ..ConnAckProperties::default() },
            ..ConnAck::default()
        };
        let waits_for = net.unless(Fault::WelcomesEarly, self.shards[number].waits_for());
        net.write(key, waits_for, false, |out| answer.encode(version, out));
        if let Some(side) = net.links.get_mut(&key).and_then(|link| link.hub.as_mut()) {
            (side.version, side.session) = (version, Some(connected.session));
        }
        self.shards[number].resume(now, connected.session, net);
    }

    fn publish(
        &mut self,
        key: u32,
        number: usize,
        session: SessionKey,
        version: Version,
        packet: &Publish<'_>,
    ) {
        let (now, here) = (self.net.hub_now(), self.net.now);
        let (shard, net) = (&mut self.shards[number], &mut self.net);
        let expires_at = packet.properties.expiry_s.map(|seconds| now.plus_s(seconds.into()));
        let came = message(packet.topic, packet.payload, packet.qos, packet.retain, expires_at);
        let model = Model::number_in(packet.payload).unwrap_or_default();
        net.arrivals.add(model, here.as_ms(), packet.properties.expiry_s);
        let id = packet.packet_id;
        let is_new = packet.qos != QoS::ExactlyOnce || shard.take_incoming(session, id);
        if version == Version::V5 && shard.incoming_count(session) > usize::from(net.receive_max) {
            return net.breaks("the client sends more than it may".into());
        }
        let publishes_twice = net.fault == Some(Fault::PublishesTwice);
        if (is_new || publishes_twice) && !net.goes_wrong(Fault::AcknowledgesOnly) {
            let published = shard.publish(now, Some(session), &Arc::new(came), net);
            if let Some(why) = published.refused {
                net.breaks(format!("a good message is refused: {why}"));
            }
        }
        let waits_for = net.unless(Fault::AcknowledgesEarly, shard.waits_for());
        match packet.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => net.ack(key, PacketType::PubAck, version, id, waits_for),
            QoS::ExactlyOnce => net.ack(key, PacketType::PubRec, version, id, waits_for),
        }
    }

    fn leave(&mut self, key: u32, ending: Ending) {
        let Some(link) = self.net.links.get_mut(&key) else { return };
        let (number, client) = (link.shard, link.client);
        let session = link.hub.as_mut().and_then(|side| side.session.take());
        self.net.close(key);
        if let Some(session) = session {
            self.net.ledger.away(client, self.net.now.as_ms());
            if ending == Ending::Lost {
                self.net.ledger.ended(client, true, self.net.now.as_ms());
            }
            self.net.here = number;
            let now = self.net.hub_now();
            self.shards[number].disconnect(now, session, ending, &mut self.net);
        }
    }
}

fn message(topic: &str, payload: &[u8], qos: QoS, retain: bool, expires_at: Option<Time>) -> Message {
    Message {
        topic: Topic::new(topic, 128).expect("clients of the simulation publish to good topics"),
        payload: Payload::copy_from_slice(payload),
        qos,
        retain,
        expires_at,
        properties: None,
    }
}
