//! A connection between a client and the hub: bytes under way in both directions, and what becomes of them when it
//! breaks.

use std::collections::VecDeque;
use trefoil_hub::SessionKey;
use trefoil_model::Random;
use trefoil_mqtt::Version;

/// One direction.
#[derive(Default, Debug)]
pub struct Pipe {
    bytes: VecDeque<u8>,
    /// Nothing follows what is under way.
    is_ended: bool,
}

/// What the receiver finds when it looks.
pub enum Arrival {
    Bytes(Vec<u8>),
    End,
    Nothing,
}

impl Pipe {
    pub fn put(&mut self, bytes: &[u8]) {
        if !self.is_ended {
            self.bytes.extend(bytes);
        }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// At most `max` bytes, or the end when nothing is left before it.
    pub fn take(&mut self, max: usize) -> Arrival {
        let count = max.min(self.bytes.len());
        match (count, self.is_ended && self.bytes.is_empty()) {
            (_, true) => Arrival::End,
            (0, false) => Arrival::Nothing,
            _ => Arrival::Bytes(self.bytes.drain(..count).collect()),
        }
    }

    /// The sender has closed; what it sent still arrives.
    pub fn end(&mut self) {
        self.is_ended = true;
    }

    /// The network broke: of what is under way only the beginning arrives.
    pub fn cut(&mut self, random: &mut Random) {
        let arrives = random.below(self.bytes.len() + 1);
        self.bytes.truncate(arrives);
        self.is_ended = true;
    }

    /// As [`cut`](Self::cut), but the receiver is not told: it waits for more.
    pub fn go_silent(&mut self, random: &mut Random) {
        self.cut(random);
        self.is_ended = false;
    }
}

/// A connection.
#[derive(Debug)]
pub struct Link {
    /// Which client's.
    pub client: usize,
    /// The shard that it belongs to.
    pub shard: usize,
    /// To the hub.
    pub up: Pipe,
    /// To the client.
    pub down: Pipe,
    /// How much may be under way to the client before the hub takes its outbox for full.
    pub room_bytes: usize,
    /// What must not leave before the disk has what it rests on, and what stays behind that.
    pub held: VecDeque<Held>,
    /// The hub's end.
    pub hub: Option<HubSide>,
}

/// Something that waits for the disk.
#[derive(Debug)]
pub struct Held {
    pub bytes: Vec<u8>,
    /// The batch of the connection's shard; 0 for none.
    pub waits_for: u64,
    /// What comes after it at QoS 0 must not leave before it: it is a CONNACK, or at QoS 0 as well.
    pub is_passed_by_none: bool,
    /// When it was written.
    pub at_ms: u64,
}

/// What the hub knows of a connection.
#[derive(Debug)]
pub struct HubSide {
    pub rest: Vec<u8>,
    pub version: Version,
    pub session: Option<SessionKey>,
    /// It was asked for room and had none.
    pub is_starved: bool,
}

impl Link {
    pub fn new(client: usize, shard: usize, room_bytes: usize) -> Link {
        let version = Version::V5;
        let hub = HubSide { rest: Vec::new(), version, session: None, is_starved: false };
        Link {
            client,
            shard,
            up: Pipe::default(),
            down: Pipe::default(),
            room_bytes,
            held: VecDeque::new(),
            hub: Some(hub),
        }
    }

    pub fn has_room(&self) -> bool {
        let held: usize = self.held.iter().map(|held| held.bytes.len()).sum();
        self.down.len() + held < self.room_bytes
    }
}
