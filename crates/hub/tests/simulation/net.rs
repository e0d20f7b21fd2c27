//! The way out of the shards: onto connections, into the mail, and what waits for the disk before it leaves.

use crate::disk::Disk;
use crate::hub_end::Fault;
use crate::ledger::Ledger;
use crate::link::{Held, Link};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use trefoil_hub::{ConnectionKey, Delivered, Delivery, Message, Outlet, Parcel, QoS, Time};
use trefoil_model::{Arrivals, Tap};
use trefoil_mqtt::{Ack, MessageProperties, PacketType, Publish, ReasonCode, Version};

/// The way out of the shards.
pub struct Net {
    pub links: BTreeMap<u32, Link>,
    /// Mail under way, by receiver and sender.
    pub mail: Vec<Vec<VecDeque<Parcel>>>,
    /// The shard that is at work.
    pub here: usize,
    pub now: Time,
    pub taps: Vec<Tap>,
    pub arrivals: Arrivals,
    pub ledger: Ledger,
    /// What it writes down; none in worlds in which it keeps nothing.
    pub disk: Option<Disk>,
    /// When the hub's own clock stood at 0.
    pub zero_ms: u64,
    /// Messages above QoS 0 that are taken of a client at a time.
    pub receive_max: u16,
    pub fault: Option<Fault>,
    /// Counts what may go wrong on purpose.
    pub turns: usize,
    pub held_back: Option<(ConnectionKey, Vec<u8>)>,
    /// Connections whose clients do not keep up, and are to end.
    pub too_slow: Vec<u32>,
    /// Clients whose session was new when they were last heard of. If the CONNACK that says so is lost, the next one says
    /// that there is a session, and MQTT has no way to tell the client that it is not the one it knows. So here clients
    /// start clean after that, as careful ones do that count the time for themselves.
    pub unheard: BTreeSet<usize>,
    /// The first rule that the hub broke.
    pub broken: Option<String>,
}

impl Net {
    /// What the hub's own clock says.
    pub fn hub_now(&self) -> Time {
        Time::from_ms(self.now.as_ms() - self.zero_ms)
    }

    pub fn breaks(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    /// Compares whether the hub says that it has a session with whether it should [MQTT-3.1.2-4] [MQTT-3.1.2-23].
    pub fn must_be_present(&mut self, client: usize, is_clean: bool, is_present: bool) {
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
    pub fn goes_wrong(&mut self, fault: Fault) -> bool {
        self.turns += usize::from(self.fault == Some(fault));
        self.fault == Some(fault) && self.turns.is_multiple_of(20)
    }

    /// The hub closes a connection; what it has written still goes out.
    pub fn close(&mut self, key: u32) {
        if let Some(link) = self.links.get_mut(&key) {
            link.hub = None;
            link.held.clear();
            link.down.end();
        }
    }

    /// What something waits for, unless it is a fault that it does not.
    pub fn unless(&self, fault: Fault, waits_for: u64) -> u64 {
        if self.fault == Some(fault) { 0 } else { waits_for }
    }

    pub fn ack(&mut self, key: u32, packet: PacketType, version: Version, packet_id: u16, waits_for: u64) {
        let ack = Ack::new(packet_id, ReasonCode::Success);
        self.write(key, waits_for, false, |out| ack.encode(packet, version, out));
    }

    /// Writes once a batch of the connection's shard is durable, and not before what waits already, unless it `may_pass`.
    pub fn write(&mut self, key: u32, waits_for: u64, may_pass: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        if let (Some(disk), Some(link)) = (&mut self.disk, self.links.get_mut(&key)) {
            let is_welcome = bytes.first().is_some_and(|first| first >> 4 == 2);
            let is_passed_by_none = is_welcome || may_pass;
            let held = Held { bytes, waits_for, is_passed_by_none, at_ms: self.now.as_ms() };
            let waits = !link.held.is_empty() || !disk.may_go(link.shard, &held);
            // Nothing may come before CONNACK.
            if waits && !(may_pass && link.held.iter().all(|held| !held.is_passed_by_none)) {
                disk.figures.held += usize::from(held.waits_for > 0);
                link.held.push_back(held);
                return;
            }
            bytes = held.bytes;
        }
        self.put(key, bytes, self.now.as_ms());
    }

    /// Lets go what has waited for long enough.
    pub fn release_held(&mut self) {
        for key in self.links.keys().copied().collect::<Vec<_>>() {
            while let (Some(disk), Some(link)) = (&self.disk, self.links.get_mut(&key)) {
                let Some(held) = link.held.pop_front_if(|held| disk.may_go(link.shard, held)) else { break };
                self.put(key, held.bytes, held.at_ms);
            }
        }
    }

    pub fn put(&mut self, key: u32, bytes: Vec<u8>, at_ms: u64) {
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
    fn has_room(&mut self, to: ConnectionKey, _: Option<usize>) -> bool {
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

    fn disconnect(&mut self, to: ConnectionKey) {
        self.too_slow.push(to.0);
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
