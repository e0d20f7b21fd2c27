//! Listening in on the hub's end of a client's connections: what it sends, and which answers reach it.
//!
//! A client that loses connections cannot tell whether DUP was right or an id free, since it does not know what got
//! lost. Who listens at the hub's end can.

use crate::durability::{Durability, Promise};
use crate::history::Message;
use crate::wire::{self, Kind, Packet, Publish, Version};
use std::collections::{HashMap, HashSet};

/// What the hub has under way to one client, through all connections of its session.
#[derive(Debug)]
pub struct Tap {
    version: Version,
    /// Most messages above QoS 0 that may be under way at a time.
    window: usize,
    /// In the order in which they were first sent.
    flights: Vec<Flight>,
    input: Vec<u8>,
    /// The hub has crashed: what it had not on disk it does not know any more.
    has_crashed: bool,
    /// It shares subscriptions: what it has not acknowledged at QoS 1 may go to another one.
    pub shares: bool,
    /// What the hub has written may wait for its disk, and get lost before it leaves.
    pub holds: bool,
    /// What it knows after a crash.
    pub promise: Promise,
    /// Packet ids whose PUBREL may come once more since the hub has forgotten the answer.
    completed: HashSet<u16>,
}

#[derive(Debug)]
struct Flight {
    packet_id: u16,
    number: u64,
    qos: u8,
    /// The client has said that it has it (PUBREC).
    is_received: bool,
    /// It has been sent, or released, on the connection that there is now.
    is_sent: bool,
    /// PUBREL has been sent.
    is_released: bool,
    /// The hub may have forgotten that the client has it.
    may_be_received: bool,
    /// It has been published on the connection that there is now, so it takes a place in the window until the end.
    takes_place: bool,
    /// Whether the hub keeps the message.
    is_kept: bool,
    /// It has forgotten the message: all that may follow is PUBREL.
    is_forgotten: bool,
}

/// When a message reached the hub, as often as it did, and how long it is of use.
#[derive(Clone, Default, Debug)]
pub struct Arrivals(HashMap<u64, Vec<(u64, u32)>>);

impl Arrivals {
    /// A PUBLISH has reached the hub.
    pub fn add(&mut self, number: u64, at_ms: u64, expiry_s: Option<u32>) {
        if let Some(seconds) = expiry_s {
            self.0.entry(number).or_default().push((at_ms, seconds));
        }
    }

    /// Whether a message may still go out, and says so with the expiry interval that is left [MQTT-3.3.2-6].
    fn allow(&self, publish: &Publish, number: u64, version: Version, now_ms: u64) -> bool {
        let Some(copies) = self.0.get(&number) else { return publish.expiry_s.is_none() };
        copies.iter().any(|&(at_ms, seconds)| {
            let left_ms = (at_ms + u64::from(seconds) * 1000).saturating_sub(now_ms);
            let says = left_ms.div_ceil(1000) as u32;
            left_ms > 0 && (version == Version::V4 || publish.expiry_s == Some(says))
        })
    }
}

impl Tap {
    /// For a client that has no session yet. `window` is the hub's own limit and, from MQTT 5.0 on, at most the client's
    /// receive maximum.
    pub fn new(version: Version, window: usize) -> Tap {
        Tap {
            version,
            window,
            flights: Vec::new(),
            input: Vec::new(),
            has_crashed: false,
            shares: false,
            holds: false,
            promise: Promise::default(),
            completed: HashSet::new(),
        }
    }

    /// The hub has a new connection for the client. `is_present`: it says that it has kept the session.
    pub fn connected(&mut self, is_present: bool) {
        self.input.clear();
        if !is_present {
            self.flights.clear();
        }
        if self.shares {
            self.flights.retain(|flight| flight.qos == 2);
        }
        for flight in &mut self.flights {
            (flight.is_sent, flight.takes_place) = (false, false);
        }
    }

    /// The hub has crashed. What it has sent at QoS 2 it knows, and that it has sent PUBREL.
    pub fn hub_crashed(&mut self) {
        self.has_crashed = true;
        self.flights.retain(|flight| flight.qos == 2);
        for flight in &mut self.flights {
            flight.may_be_received |= flight.is_received && !flight.is_released;
            flight.is_received &= flight.is_released;
            flight.is_forgotten |= !flight.is_kept;
            flight.may_be_received |= flight.is_forgotten;
        }
    }

    /// Whether the hub has nothing under way.
    pub fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }

    /// What the hub has under way, for people who look for a fault.
    pub fn unfinished(&self) -> String {
        format!("{:?}", self.flights)
    }

    /// What the hub has under way at QoS 1 is not quite known.
    fn is_loose(&self) -> bool {
        self.has_crashed || self.shares || self.holds
    }

    /// What the hub writes.
    ///
    /// # Errors
    /// When it must not write that.
    pub fn sent(&mut self, bytes: &[u8], arrivals: &Arrivals, now_ms: u64) -> Result<(), String> {
        self.input.extend_from_slice(bytes);
        while let Some(packet) = wire::take(&mut self.input, self.version)? {
            match packet {
                Packet::Publish(publish) => self.published(&publish, arrivals, now_ms)?,
                Packet::Ack { kind: Kind::PubRel, packet_id, code: 0 } => self.released(packet_id)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn published(&mut self, publish: &Publish, arrivals: &Arrivals, now_ms: u64) -> Result<(), String> {
        let &Publish { qos, packet_id, dup, .. } = publish;
        let number = Message::number_in(&publish.payload)
            .ok_or_else(|| format!("a message on {} that nobody sent", publish.topic))?;
        if !dup && !arrivals.allow(publish, number, self.version, now_ms) {
            let left = publish.expiry_s;
            return Err(format!("message {number} goes out with an expiry of {left:?} s [MQTT-3.3.2-5]"));
        }
        if qos == 0 {
            return Ok(());
        }
        let known = self.flights.iter().position(|flight| flight.packet_id == packet_id);
        let place = match known {
            None if dup && !self.is_loose() => {
                return Err(format!("{number} has DUP and was not sent before [MQTT-3.3.1-1]"));
            }
            None => {
                let (is_received, is_sent, takes_place) = (false, false, false);
                let (is_released, may_be_received) = (false, false);
                let is_kept = self.promise.of(&publish.topic) != Durability::None;
                self.flights.push(Flight {
                    packet_id,
                    number,
                    qos,
                    is_received,
                    is_released,
                    may_be_received,
                    is_sent,
                    takes_place,
                    is_kept,
                    is_forgotten: false,
                });
                self.flights.len() - 1
            }
            Some(place) => {
                let flight = &self.flights[place];
                if flight.number != number || flight.qos != qos {
                    let old = flight.number;
                    return Err(format!("packet id {packet_id} of {old} in flight is used for {number}"));
                }
                if flight.is_forgotten {
                    return Err(format!("{number} is sent although its message was not kept"));
                }
                if flight.is_received {
                    return Err(format!("{number} is sent again after PUBREC [MQTT-4.3.3-6]"));
                }
                if flight.is_sent {
                    return Err(format!("{number} is sent twice on one connection [MQTT-4.4.0-1]"));
                }
                if !dup {
                    return Err(format!("{number} is sent again without DUP [MQTT-3.3.1-1]"));
                }
                place
            }
        };
        let is_late = |flight: &&Flight| {
            (flight.qos == 2 || !self.is_loose())
                && !flight.is_sent
                && !flight.is_received
                && !flight.may_be_received
        };
        // What the hub had not on disk when it crashed at QoS 1 it may know in another place, or not at all.
        let is_known = qos == 2 || !self.is_loose();
        if let Some(first) = self.flights[..place].iter().find(is_late).filter(|_| is_known) {
            let number_first = first.number;
            let why = "which was sent before [MQTT-4.6.0-1]";
            return Err(format!("{number} overtakes {number_first}, {why}: {:?}", self.flights));
        }
        (self.flights[place].is_sent, self.flights[place].takes_place) = (true, true);
        let under_way = self.flights.iter().filter(|flight| flight.takes_place).count();
        if under_way > self.window {
            return Err(format!("{under_way} messages under way of {} [MQTT-3.3.4-9]", self.window));
        }
        Ok(())
    }

    fn released(&mut self, packet_id: u16) -> Result<(), String> {
        let found = self
            .flights
            .iter_mut()
            .find(|f| f.packet_id == packet_id && (f.is_received || f.may_be_received));
        let Some(flight) = found else {
            let is_taken = self.flights.iter().any(|flight| flight.packet_id == packet_id);
            // It knows of an exchange that begun no further than on its disk, and of no message to begin it with.
            let may_be_forgotten = self.has_crashed && self.promise.forgets_messages() && !is_taken;
            if self.has_crashed && self.completed.contains(&packet_id) || may_be_forgotten {
                return Ok(());
            }
            return Err(format!("PUBREL for packet id {packet_id}, which the client has not received"));
        };
        (flight.is_sent, flight.is_received, flight.is_released) = (true, true, true);
        Ok(())
    }

    /// An answer of the client has reached the hub.
    pub fn answered(&mut self, kind: Kind, packet_id: u16) {
        let Some(at) = self.flights.iter().position(|flight| flight.packet_id == packet_id) else { return };
        let flight = &mut self.flights[at];
        match (kind, flight.qos, flight.is_received) {
            (Kind::PubRec, 2, _) => flight.is_received = true,
            (Kind::PubAck, 1, _) | (Kind::PubComp, 2, true) => {
                if self.flights[at].qos == 2 {
                    self.completed.insert(packet_id);
                }
                self.flights.remove(at);
            }
            _ => {}
        }
    }
}
