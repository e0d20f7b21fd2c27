//! The hub's end of all connections: shards, mail between them, and the packets in between. It stands where the server
//! stands in the real hub, without sockets.

use crate::disk::{BEGINNING_MS, Disk};
use crate::ledger::Ledger;
use crate::link::{Arrival, Held, HubSide, Link};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use trefoil_hub::{
    Connect, ConnectionKey, DelayLimits, Delivered, Delivery, Ending, Extensions, Keeping, Limits, Message,
    Outlet, Parcel, Payload, QoS, SessionKey, Shard, Shared, SubscriptionOptions, Time, Topic, Will, restore,
};
use trefoil_model::wire::Kind;
use trefoil_model::{Arrivals, Message as Model, Random, Tap};
use trefoil_mqtt::{
    Ack, ConnAck, ConnAckProperties, Disconnect, MessageProperties, Packet, PacketType, Publish, ReasonCode,
    SubAck, UnsubAck, Version, decode, frame,
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
    /// When the log is read, entries of this kind are passed over.
    Ignores(u8),
}

/// The hub.
pub struct HubEnd {
    pub shards: Vec<Shard>,
    pub net: Net,
    keeping: Keeping,
    dropped_before: u64,
    has_dropped_shared: bool,
    /// Shards that have yet to begin with the checkpoint, and those that are at it.
    waiting: Vec<usize>,
    under_way: Vec<usize>,
}

/// The way out of the shards.
pub struct Net {
    pub links: BTreeMap<u32, Link>,
    /// Mail under way, by receiver and sender.
    mail: Vec<Vec<VecDeque<Parcel>>>,
    /// The shard that is at work.
    here: usize,
    pub now: Time,
    pub taps: Vec<Tap>,
    pub arrivals: Arrivals,
    pub ledger: Ledger,
    /// What it writes down; none in worlds in which it keeps nothing.
    pub disk: Option<Disk>,
    /// When the hub's own clock stood at 0.
    zero_ms: u64,
    /// Messages above QoS 0 that are taken of a client at a time.
    receive_max: u16,
    fault: Option<Fault>,
    /// Counts what may go wrong on purpose.
    turns: usize,
    held_back: Option<(ConnectionKey, Vec<u8>)>,
    /// Clients whose session was new when they were last heard of. If the CONNACK that says so is lost, the next one says
    /// that there is a session, and MQTT has no way to tell the client that it is not the one it knows. So here clients
    /// start clean after that, as careful ones do that count the time for themselves.
    pub unheard: BTreeSet<usize>,
    /// The first rule that the hub broke.
    pub broken: Option<String>,
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
            unheard: BTreeSet::new(),
            broken: None,
        };
        HubEnd {
            shards: (0..shards).map(|n| Shard::new(n, shared.clone())).collect(),
            net,
            keeping: Keeping::default(),
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
        let now: u64 = self.shards.iter().map(|shard| shard.counters().dropped_queue_full).sum();
        self.dropped_before + now
    }

    /// Whether messages were dropped for which no member of a shared subscription had room.
    pub fn has_dropped_shared(&self) -> bool {
        self.has_dropped_shared || self.shards.iter().any(|shard| shard.counters().dropped_no_member > 0)
    }

    /// From now on it keeps on a disk what is to be kept.
    pub fn keep(&mut self, keeping: Keeping, random: &mut Random) {
        let mut disk = Disk::new(self.shards.len());
        if let Some(Fault::Ignores(kind)) = self.net.fault {
            disk.ignored = vec![kind];
        }
        (self.net.disk, self.net.ledger) = (Some(disk), Ledger::keeping());
        self.keeping = keeping;
        self.start(self.shards.len(), random);
    }

    /// The process ends, whatever it was at, and after a while another one goes on from what is on the disk.
    pub fn crash(&mut self, random: &mut Random) {
        for link in self.net.links.values_mut() {
            link.hub = None;
            link.held.clear();
            link.down.cut(random);
        }
        self.net.taps.iter_mut().for_each(Tap::hub_crashed);
        let away_ms = if random.chance(70) { random.below(3000) } else { random.below(40_000) } as u64;
        self.net.now = self.net.now.plus_ms(away_ms);
        let shards = if random.chance(40) { random.between(1, 4) } else { self.shards.len() };
        self.start(shards, random);
        // It may happen again before what was made of the image is on the disk.
        while random.chance(15) {
            self.start(shards, random);
        }
    }

    fn start(&mut self, shards: usize, random: &mut Random) {
        self.net.zero_ms =
            self.net.now.as_ms() - random.below(1000).min(self.net.now.as_ms() as usize) as u64;
        (self.dropped_before, self.has_dropped_shared) = (self.dropped(), self.has_dropped_shared());
        self.waiting.clear();
        self.under_way.clear();
        let start_ms = BEGINNING_MS + self.net.zero_ms;
        let limits = self.shards[0].shared().limits.clone();
        let hub_now = self.net.hub_now();
        let Some(disk) = &mut self.net.disk else { return };
        let end = disk.crash(shards, random);
        let image = match disk.image(start_ms) {
            Ok(image) => image,
            Err(why) => return self.net.breaks(format!("the log cannot be read: {why}")),
        };
        let seed = image.seed().unwrap_or(11);
        let delays = DelayLimits { messages_max: 1000, bytes_max: 1 << 24, delay_s_max: 100 };
        let extensions = Extensions { delayed: Some(delays), ..Extensions::default() };
        let keeping = Keeping { start_ms, ..self.keeping.clone() };
        let shared = Shared::new(shards, seed, limits).with_extensions(extensions);
        let shared = Arc::new(shared.with_keeping(keeping, image.next_number()));
        let (shards, record) = restore(image, &shared, hub_now);
        disk.begin(record);
        self.net.mail = (0..shards.len()).map(|_| vec![VecDeque::new(); shards.len()]).collect();
        self.shards = shards;
        self.net.ledger.crashed(end, self.net.now.as_ms());
    }

    /// What a shard has come to since this was last called is handed over.
    pub fn end_tick(&mut self, shard: usize) {
        let net = &mut self.net;
        let Some(disk) = &mut net.disk else { return };
        if let Some(batch) = self.shards[shard].take_batch() {
            let number = batch.number;
            let record = disk.append(shard, batch);
            self.shards[shard].handed_over();
            net.ledger.handed(shard, number, record);
        }
        for (to, parcel) in std::mem::take(&mut disk.staged[shard]) {
            net.mail[to][shard].push_back(parcel);
        }
    }

    /// Whether a shard has something to hand over.
    pub fn has_staged(&self, shard: usize) -> bool {
        let disk = self.net.disk.as_ref();
        disk.is_some_and(|disk| {
            let last = self.shards[shard].last_batch();
            !disk.staged[shard].is_empty() || disk.record_of(shard, last).is_none() && last > 0
        })
    }

    /// More of what was handed over becomes durable, and what has waited for that goes out.
    pub fn sync(&mut self, records: u64) {
        if let Some(disk) = &mut self.net.disk {
            disk.sync(records);
            disk.end_checkpoint();
            self.net.release_held();
        }
    }

    /// A checkpoint begins or goes on.
    pub fn checkpoint(&mut self, bytes: usize, random: &mut Random) {
        let shared = self.shards[0].shared().clone();
        let Some(disk) = &mut self.net.disk else { return };
        if disk.begin_checkpoint(&shared) {
            self.waiting = (0..self.shards.len()).collect();
        }
        let Some(boundary) = disk.boundary() else { return };
        if !self.waiting.is_empty() && random.chance(50) {
            let shard = self.waiting.swap_remove(random.below(self.waiting.len()));
            self.shards[shard].begin_checkpoint(boundary);
            self.under_way.push(shard);
            if self.net.fault == Some(Fault::DropsEarly) {
                disk.through(shard, 0);
            }
        } else if !self.under_way.is_empty() {
            let at = random.below(self.under_way.len());
            let shard = self.under_way[at];
            if self.shards[shard].go_on_with_checkpoint(bytes) {
                self.under_way.swap_remove(at);
                disk.through(shard, self.shards[shard].last_batch());
            }
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.net.now = self.net.now.plus_ms(ms);
        for (number, shard) in self.shards.iter_mut().enumerate() {
            self.net.here = number;
            let now = self.net.hub_now();
            shard.handle_time(now, &mut self.net);
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
            client_id: connect.client_id,
            connection: ConnectionKey(key),
            clean_start: connect.clean_start,
            expiry_s,
            window_max: connect.properties.receive_max.unwrap_or(u16::MAX),
            will,
            user_name: None,
            language: None,
            identity: None,
            slow_reader: trefoil_hub::SlowReader::default(),
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

impl Net {
    /// What the hub's own clock says.
    fn hub_now(&self) -> Time {
        Time::from_ms(self.now.as_ms() - self.zero_ms)
    }

    pub fn breaks(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    /// Compares whether the hub says that it has a session with whether it should [MQTT-3.1.2-4] [MQTT-3.1.2-23].
    fn must_be_present(&mut self, client: usize, is_clean: bool, is_present: bool) {
        let Some((expiry_s, away_ms)) = self.ledger.sessions.get(&client).copied() else {
            return if is_present {
                self.breaks(format!("client {client} has a session from nowhere"))
            };
        };
        let gone_ms = self.now.as_ms() - away_ms.unwrap_or(self.now.as_ms());
        let should_be = !is_clean && expiry_s > 0 && gone_ms < u64::from(expiry_s) * 1000;
        if is_present != should_be {
            let what = if is_present { "a session that is over" } else { "no session although it should" };
            self.breaks(format!("client {client} has {what}: away for {gone_ms} ms of {expiry_s} s"));
        }
    }

    /// Whether this is the time for a fault that was asked for.
    fn goes_wrong(&mut self, fault: Fault) -> bool {
        self.turns += usize::from(self.fault == Some(fault));
        self.fault == Some(fault) && self.turns.is_multiple_of(20)
    }

    /// The hub closes a connection; what it has written still goes out.
    fn close(&mut self, key: u32) {
        if let Some(link) = self.links.get_mut(&key) {
            link.hub = None;
            link.held.clear();
            link.down.end();
        }
    }

    /// What something waits for, unless it is a fault that it does not.
    fn unless(&self, fault: Fault, waits_for: u64) -> u64 {
        if self.fault == Some(fault) { 0 } else { waits_for }
    }

    fn ack(&mut self, key: u32, packet: PacketType, version: Version, packet_id: u16, waits_for: u64) {
        let ack = Ack::new(packet_id, ReasonCode::Success);
        self.write(key, waits_for, false, |out| ack.encode(packet, version, out));
    }

    /// Writes once a batch of the connection's shard is durable, and not before what waits already, unless it `may_pass`.
    fn write(&mut self, key: u32, waits_for: u64, may_pass: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        if let (Some(disk), Some(link)) = (&mut self.disk, self.links.get_mut(&key)) {
            let is_welcome = bytes.first().is_some_and(|first| first >> 4 == 2);
            let held = Held { bytes, waits_for, is_welcome, at_ms: self.now.as_ms() };
            let waits = !link.held.is_empty() || !disk.may_go(link.shard, &held);
            // Nothing may come before CONNACK.
            if waits && !(may_pass && link.held.iter().all(|held| !held.is_welcome)) {
                disk.figures.held += usize::from(held.waits_for > 0);
                link.held.push_back(held);
                return;
            }
            bytes = held.bytes;
        }
        self.put(key, bytes, self.now.as_ms());
    }

    /// Lets go what has waited for long enough.
    fn release_held(&mut self) {
        for key in self.links.keys().copied().collect::<Vec<_>>() {
            while let (Some(disk), Some(link)) = (&self.disk, self.links.get_mut(&key)) {
                let Some(held) = link.held.pop_front_if(|held| disk.may_go(link.shard, held)) else { break };
                self.put(key, held.bytes, held.at_ms);
            }
        }
    }

    fn put(&mut self, key: u32, bytes: Vec<u8>, at_ms: u64) {
        let (Some(link), false) = (self.links.get_mut(&key), self.broken.is_some()) else { return };
        if link.hub.as_ref().is_some_and(|side| side.session.is_some()) {
            let tap = &mut self.taps[link.client];
            if let Err(why) = tap.sent(&bytes, &self.arrivals, at_ms) {
                self.broken = Some(format!("client {}: {why}", link.client));
            }
        }
        link.down.put(&bytes);
    }
}

impl Outlet for Net {
    fn has_room(&mut self, to: ConnectionKey) -> bool {
        let Some(link) = self.links.get_mut(&to.0) else { return false };
        let has_room = link.has_room();
        if let Some(side) = &mut link.hub {
            side.is_starved |= !has_room;
        }
        has_room
    }

    fn deliver(&mut self, to: ConnectionKey, message: &Arc<Message>, delivery: &Delivery<'_>) -> Delivered {
        let has_room = self.links.get(&to.0).is_some_and(Link::has_room);
        if delivery.qos == QoS::AtMostOnce && !has_room {
            return Delivered::Dropped;
        }
        let Some(version) = self.links.get(&to.0).and_then(|link| Some(link.hub.as_ref()?.version)) else {
            self.breaks("a delivery to a connection that is gone".into());
            return Delivered::Dropped;
        };
        let forgets_dup = self.fault == Some(Fault::ForgetsDup);
        let publish = Publish {
            dup: delivery.dup && !forgets_dup,
            qos: delivery.qos,
            retain: delivery.retain,
            topic: &message.topic,
            packet_id: delivery.packet_id,
            properties: MessageProperties {
                expiry_s: message.expiry_left_s(self.hub_now()),
                ..MessageProperties::default()
            },
            payload: &message.payload,
            ..Publish::default()
        };
        let mut bytes = Vec::new();
        publish.encode(version, &mut bytes);
        if delivery.qos == QoS::AtMostOnce && self.held_back.is_none() && self.goes_wrong(Fault::Overtakes) {
            self.held_back = Some((to, bytes));
            return Delivered::Sent;
        }
        let waits_for = self.unless(Fault::DeliversEarly, delivery.waits_for);
        let may_pass = delivery.qos == QoS::AtMostOnce;
        self.write(to.0, waits_for, may_pass, |out| out.extend_from_slice(&bytes));
        if let Some((to, bytes)) = self.held_back.take() {
            self.write(to.0, 0, true, |out| out.extend_from_slice(&bytes));
        }
        Delivered::Sent
    }

    fn release(&mut self, to: ConnectionKey, packet_id: u16, waits_for: u64) {
        let version = self.links.get(&to.0).and_then(|link| Some(link.hub.as_ref()?.version));
        let waits_for = self.unless(Fault::ReleasesEarly, waits_for);
        self.ack(to.0, PacketType::PubRel, version.unwrap_or_default(), packet_id, waits_for);
    }

    fn forward(&mut self, shard: usize, parcel: Parcel) {
        let from = self.here;
        if let Some(disk) = self.disk.as_mut().filter(|_| self.fault != Some(Fault::SendsEarly)) {
            disk.staged[from].push((shard, parcel));
            return;
        }
        self.mail[shard][from].push_back(parcel);
    }
}
