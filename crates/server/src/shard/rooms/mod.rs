//! Datagram channels: rooms over UDP. `docs/rooms.md` has the protocol, the crate `trefoil_room` its bytes and rules.
//!
//! A room lives in one shard, by its name, and that shard alone knows who is in it and sends to them: a datagram for a
//! hundred peers is one list of them, whose entries leave with a few calls at the end of the tick ([`flush`]). The kernel
//! gives the datagrams of an address to one shard, which may be another: it looks at who asks to join ([`entry`]), without
//! keeping anything for them, and once they are in it sends on, in one piece of mail a tick, what comes from there
//! ([`Place::There`]). Answers do not go back that way, since every shard has a socket with the same address.
//!
//! Nothing is queued and nothing sent again. What is pending is so until the tick ends.

mod data;
mod entry;
mod figures;
mod flush;
mod lobby;
mod members;
mod report;
mod ways;

pub(crate) use entry::Asking;
pub(crate) use figures::{DROPPED, RoomFigures};
pub(crate) use lobby::{Lobby, Ungranted};
pub(crate) use report::RoomReport;
pub(crate) use ways::Bundle;

use super::ShardLoop;
use super::ways::Way;
use crate::udp::Target;
use foldhash::fast::RandomState;
use slab::Slab;
use std::collections::HashMap;
use std::net::SocketAddr;
use trefoil_hub::Time;
use trefoil_room::Room;

/// How often it is looked who has fallen silent.
const SWEEP_MS: u64 = 1000;

/// Who is remembered to have left, so that nobody brings it back with a JOIN that was seen on its way. Beyond them nobody is.
const LEFT_MAX: usize = 4096;

/// What a shard has of rooms.
pub(super) struct Rooms {
    rooms: Slab<OpenRoom>,
    by_name: HashMap<Box<str>, usize>,
    /// By the listener and the address where a peer's datagrams come in, seeded: both come from strangers.
    places: HashMap<(usize, SocketAddr), Place, RandomState>,
    /// The JOIN by which somebody had come who has left, and until when its cookie is right.
    left: HashMap<(usize, SocketAddr), (u32, Time), RandomState>,
    /// What comes from addresses whose peers other shards have, by shard, until the tick ends.
    bundles: Vec<Bundle>,
    /// Rooms with something to be sent.
    touched: Vec<usize>,
    /// When it is looked next who has fallen silent.
    pub(super) sweep_at: Option<Time>,
    /// Another process takes over: who is told to go may come back.
    is_succeeded: bool,
    /// Kept for its memory.
    topic: String,
}

/// A room that somebody is in.
struct OpenRoom {
    name: Box<str>,
    members: Room<Seat>,
    /// The topic on which it is heard too, in the parts between which the number of a peer stands.
    mirror: Vec<Box<str>>,
    /// The bytes of all that is pending, one behind the other.
    bytes: Vec<u8>,
    pending: Vec<Pending>,
    is_touched: bool,
}

/// A datagram that leaves at the end of the tick.
#[derive(Clone, Copy)]
struct Pending {
    start: usize,
    len: usize,
    /// Who does not get it; 0 is nobody.
    from: u16,
    /// Who alone gets it; 0 are all.
    to: u16,
}

/// Where a peer is.
#[derive(Clone, Debug)]
struct Seat {
    listener: usize,
    target: Target,
    /// How its datagrams come here.
    way: Way,
}

/// Where the peer of an address is.
#[derive(Clone, Copy)]
enum Place {
    /// In a room of this shard.
    Here { room: usize, number: u16 },
    /// In one of another shard.
    There { shard: u16, serial: u32 },
}

impl Rooms {
    pub(super) fn new(shards: usize) -> Rooms {
        Rooms {
            rooms: Slab::new(),
            by_name: HashMap::new(),
            places: HashMap::default(),
            left: HashMap::default(),
            bundles: (0..shards).map(|_| Bundle::default()).collect(),
            touched: Vec::new(),
            sweep_at: None,
            is_succeeded: false,
            topic: String::new(),
        }
    }

    fn place(&self, listener: usize, address: SocketAddr) -> Option<Place> {
        self.places.get(&(listener, address)).copied()
    }
}

impl ShardLoop {
    /// Looks who has fallen silent.
    pub(super) fn room_sweep(&mut self) {
        let now = self.net.now;
        if self.rooms.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        let limits = self.net.context.lobby.limits;
        let idle = |(key, room): (usize, &OpenRoom)| {
            let idle: Vec<u16> = room.members.idle(&limits, now.as_ms()).collect();
            idle.into_iter().map(move |number| (key, number)).collect::<Vec<_>>()
        };
        let idle: Vec<(usize, u16)> = self.rooms.rooms.iter().flat_map(idle).collect();
        for (room, number) in idle {
            self.net.stats().rooms.idle.add(1);
            self.room_remove(room, number, trefoil_room::Left::Idle, Some(trefoil_room::Gone::Idle));
        }
        self.rooms.left.retain(|_, (_, until)| *until > now);
        let is_over = self.rooms.rooms.is_empty() && self.rooms.left.is_empty();
        self.rooms.sweep_at = (!is_over).then(|| now.plus_ms(SWEEP_MS));
    }

    /// Sees to it that it will be looked.
    fn room_sweep_soon(&mut self) {
        if self.rooms.sweep_at.is_none() {
            self.rooms.sweep_at = Some(self.net.now.plus_ms(SWEEP_MS));
        }
    }

    /// Another process will have the sockets.
    pub(super) fn rooms_are_succeeded(&mut self) {
        self.rooms.is_succeeded = true;
    }

    /// Tells everybody to go: to where another process answers, if one takes over.
    pub(super) fn rooms_end(&mut self) {
        let why = match self.rooms.is_succeeded {
            true => trefoil_room::Gone::Restart,
            false => trefoil_room::Gone::Stop,
        };
        let all = |(key, room): (usize, &OpenRoom)| {
            room.members.peers().iter().map(|peer| (key, peer.number)).collect::<Vec<_>>()
        };
        let all: Vec<(usize, u16)> = self.rooms.rooms.iter().flat_map(all).collect();
        for (room, number) in all {
            // Nobody is told of the others, since all go.
            self.room_take_out(room, number, Some(why));
        }
        self.rooms.places.clear();
        self.rooms.sweep_at = None;
    }
}
