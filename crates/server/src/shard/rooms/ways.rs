//! How datagrams find the shard that has their peer.

use super::Place;
use crate::mail::Mail;
use crate::shard::ShardLoop;
use crate::shard::ways::{Parted, Way};
use std::net::SocketAddr;

/// Datagrams on their way to the shard that has their peers.
#[derive(Default)]
pub(crate) struct Bundle {
    /// One behind the other.
    bytes: Vec<u8>,
    /// Of each: where it came in, whence, by which way, and its length.
    heads: Vec<(usize, SocketAddr, u32, usize)>,
    /// The shard where they came in.
    shard: u16,
}

impl Bundle {
    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl ShardLoop {
    /// Takes a datagram along for another shard, unless that has more mail than it can take.
    pub(super) fn room_forward(
        &mut self,
        shard: usize,
        serial: u32,
        (listener, from): (usize, SocketAddr),
        datagram: &[u8],
    ) {
        if self.net.context.mailboxes[shard].is_full() {
            return self.net.stats().rooms.dropped_mailbox.add(1);
        }
        let bundle = &mut self.rooms.bundles[shard];
        bundle.shard = self.net.number as u16;
        bundle.bytes.extend_from_slice(datagram);
        bundle.heads.push((listener, from, serial, datagram.len()));
    }

    /// Hands over what has come together for other shards.
    pub(in crate::shard) fn room_post(&mut self) {
        for shard in 0..self.rooms.bundles.len() {
            self.room_post_to(shard);
        }
    }

    pub(super) fn room_post_to(&mut self, shard: usize) {
        let bundle = &mut self.rooms.bundles[shard];
        if !bundle.heads.is_empty() {
            let bundle = std::mem::take(bundle);
            self.net.mail[shard].push(Mail::RoomDatagrams(Box::new(bundle)));
        }
    }

    /// Takes datagrams that came in at another shard.
    pub(in crate::shard) fn room_take(&mut self, bundle: &Bundle) {
        if self.is_parting() || self.stop_at.is_some() {
            return;
        }
        let mut start = 0;
        for &(listener, from, serial, len) in &bundle.heads {
            let datagram = &bundle.bytes[start..start + len];
            start += len;
            match self.rooms.place(listener, from) {
                Some(Place::Here { room, number }) => self.room_packet(room, number, datagram),
                _ => {
                    self.room_stranger(listener, from, datagram);
                    self.room_part(listener, from, Way { shard: bundle.shard, serial });
                }
            }
        }
    }

    /// Tells the shard where an address comes in that its peer is not here any more.
    pub(super) fn room_part(&mut self, listener: usize, address: SocketAddr, way: Way) {
        if usize::from(way.shard) != self.net.number {
            let parted = Parted { listener, addr: address, serial: way.serial };
            self.net.mail[usize::from(way.shard)].push(Mail::RoomGone(Box::new(parted)));
        }
    }

    /// Tells the shard that had the peer of an address that another one has it now.
    pub(super) fn room_lose(&mut self, shard: u16, listener: usize, address: SocketAddr, serial: u32) {
        self.room_post_to(usize::from(shard));
        let parted = Parted { listener, addr: address, serial };
        self.net.mail[usize::from(shard)].push(Mail::RoomLost(Box::new(parted)));
    }

    /// The peer of an address is gone, or has another address.
    pub(in crate::shard) fn room_forget(&mut self, parted: &Parted) {
        let key = (parted.listener, parted.addr);
        // The address may have been given to another peer meanwhile.
        if matches!(self.rooms.places.get(&key), Some(Place::There { serial, .. }) if *serial == parted.serial)
        {
            self.rooms.places.remove(&key);
        }
    }

    /// An address has become another peer's, of another shard.
    pub(in crate::shard) fn room_lost(&mut self, parted: &Parted) {
        let Some(Place::Here { room, number }) = self.rooms.place(parted.listener, parted.addr) else {
            return;
        };
        let peer = self.rooms.rooms.get(room).and_then(|room| room.members.get(number));
        if peer.is_some_and(|peer| peer.address.way.serial == parted.serial) {
            self.room_remove(room, number, trefoil_room::Left::Replaced, None);
        }
    }
}
