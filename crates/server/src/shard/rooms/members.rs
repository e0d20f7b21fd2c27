//! Who goes, and what the others are told.

use super::{LEFT_MAX, OpenRoom, Pending, Place, Seat};
use crate::access::{Purge, Target as Whom};
use crate::shard::ShardLoop;
use trefoil_room::{COOKIE_MS, Control, Gone, Left, Packet, Peer};

impl OpenRoom {
    /// How many others each one in it sees.
    pub(super) fn others(&self) -> u16 {
        u16::try_from(self.members.peers().len().saturating_sub(1)).unwrap_or(u16::MAX)
    }
}

impl ShardLoop {
    /// Takes somebody out of a room, tells it why if there is a reason, and tells the others.
    pub(super) fn room_remove(&mut self, room: usize, number: u16, why: Left, gone: Option<Gone>) {
        self.room_take_out(room, number, gone);
        if self.rooms.rooms.contains(room) {
            self.room_announce_left(room, number, why);
        }
    }

    /// The same without a word to the others. The room is closed behind the last one.
    pub(super) fn room_take_out(&mut self, room: usize, number: u16, gone: Option<Gone>) {
        let Some(open) = self.rooms.rooms.get_mut(room) else { return };
        let Some(peer) = open.members.remove(number) else { return };
        let is_empty = open.members.peers().is_empty();
        self.room_lose_peer(&peer, gone);
        if is_empty {
            self.room_close(room);
        }
        self.room_sweep_soon();
    }

    /// Forgets somebody who is in no room any more, and tells it why if there is a reason.
    pub(super) fn room_lose_peer(&mut self, peer: &Peer<Seat>, gone: Option<Gone>) {
        let at = (peer.address.listener, peer.address.target.address());
        self.rooms.left.remove(&at);
        if self.rooms.left.len() < LEFT_MAX {
            let until = self.net.now.plus_ms(2 * COOKIE_MS);
            self.rooms.left.insert(at, (peer.nonce, until));
        }
        self.net.stats().rooms.peers.shared_add(-1);
        self.room_vacate(&peer.address, gone.map(|why| (peer.nonce, why)));
    }

    fn room_close(&mut self, room: usize) {
        let open = self.rooms.rooms.remove(room);
        self.rooms.by_name.remove(&open.name);
        self.net.context.lobby.dismiss();
        self.net.stats().rooms.open.set(self.rooms.rooms.len() as u64);
    }

    /// Nobody is at an address any more; whoever was may be told why.
    pub(super) fn room_vacate(&mut self, seat: &Seat, gone: Option<(u32, Gone)>) {
        let (listener, address) = (seat.listener, seat.target.address());
        if matches!(self.rooms.place(listener, address), Some(Place::Here { .. })) {
            self.rooms.places.remove(&(listener, address));
        }
        self.dismiss(listener);
        self.room_part(listener, address, seat.way);
        if let Some((nonce, why)) = gone {
            self.room_tell(listener, address, &Packet::Control(Control::Gone { nonce, why }));
        }
    }

    pub(super) fn room_announce_left(&mut self, room: usize, peer: u16, why: Left) {
        let peers = self.rooms.rooms[room].others();
        self.room_announce(room, peer, Control::Left { peer, peers, why });
    }

    /// Tells all in a room but one, in the order of all else.
    pub(super) fn room_announce(&mut self, room: usize, but: u16, control: Control) {
        self.room_send(room, Pending { start: 0, len: 0, from: but, to: 0 }, |out| control.encode(out));
    }

    /// Takes out who is banned, or is no user any more.
    pub(in crate::shard) fn room_purge(&mut self, purge: &Purge) -> usize {
        let is_meant = |user: &str, seat: &Seat| match &purge.whom {
            Whom::ClientId(_) => false,
            Whom::User(name) => **name == *user,
            Whom::Address(network) => network.contains(seat.target.address().ip()),
        };
        let mut meant = Vec::new();
        for (key, room) in &self.rooms.rooms {
            let peers = room.members.peers().iter().filter(|peer| is_meant(&peer.user, &peer.address));
            meant.extend(peers.map(|peer| (key, peer.number)));
        }
        for &(room, number) in &meant {
            self.room_remove(room, number, Left::Removed, Some(Gone::Removed));
        }
        meant.len()
    }
}
