//! What peers say.

use super::{Pending, Place};
use crate::memory::NO_PUBLISH;
use crate::shard::ShardLoop;
use std::net::SocketAddr;
use trefoil_room::{Control, Data, DecodeError, Dropped, Left, Packet, Receivers, Refusal, VERSION, decode};

/// What a JOIN begins with.
const JOIN: u8 = 0x04;

impl ShardLoop {
    /// Takes a datagram from the socket, or what might be one of a room's.
    pub(in crate::shard) fn room_receive(&mut self, listener: usize, from: SocketAddr, datagram: &[u8]) {
        let place = self.rooms.place(listener, from);
        let is_join = datagram.first() == Some(&JOIN);
        match place {
            Some(Place::There { shard, serial }) if !is_join => {
                self.room_forward(usize::from(shard), serial, (listener, from), datagram);
            }
            Some(Place::Here { room, number }) if !is_join => self.room_packet(room, number, datagram),
            None if self.net.context.bans.refuses_address(from.ip()) => {}
            None if !is_join => self.room_stranger(listener, from, datagram),
            _ => match decode(datagram) {
                Ok(Packet::Join(join)) => self.room_ask(listener, from, &join, datagram.len()),
                Err(DecodeError::Version { nonce, .. }) => {
                    let text = format!("version {VERSION} is spoken here");
                    self.room_refuse(listener, from, nonce, (Refusal::Version, &text), datagram.len());
                }
                _ => self.net.stats().rooms.malformed.add(1),
            },
        }
    }

    /// Takes what somebody in a room says.
    pub(super) fn room_packet(&mut self, room: usize, number: u16, datagram: &[u8]) {
        self.net.stats().rooms.datagrams_in.add(1);
        let now_ms = self.net.now.as_ms();
        let Some(open) = self.rooms.rooms.get_mut(room) else { return };
        match decode(datagram) {
            Ok(Packet::Data(data)) => return self.room_data(room, number, &data),
            Ok(Packet::Control(Control::Ping(ping))) => {
                open.members.heard(number, now_ms);
                // Behind what has come before it, so that the answer says that all that was is on its way.
                let pending = Pending { start: 0, len: 0, from: 0, to: number };
                return self.room_send(room, pending, |out| Control::Pong(ping).encode(out));
            }
            Ok(Packet::Control(Control::Pong(_))) => return open.members.heard(number, now_ms),
            // Whoever does not know the nonce is somebody else who gives the peer's address for its own.
            Ok(Packet::Control(Control::Leave(nonce)))
                if open.members.get(number).is_some_and(|peer| peer.nonce == nonce) =>
            {
                return self.room_remove(room, number, Left::Left, None);
            }
            _ => {}
        }
        self.net.stats().rooms.malformed.add(1);
    }

    fn room_data(&mut self, room: usize, number: u16, data: &Data<'_>) {
        let limits = self.net.context.lobby.limits;
        let open = &mut self.rooms.rooms[room];
        let to = match open.members.data(number, data, &limits, self.net.now.as_ms()) {
            Ok(Receivers::Others) => 0,
            Ok(Receivers::One(to)) => to,
            Err(why) => {
                let stats = &self.net.stats().rooms;
                return match why {
                    Dropped::Rate => stats.dropped_rate.add(1),
                    Dropped::TooLarge => stats.dropped_too_large.add(1),
                    Dropped::Stale => stats.dropped_stale.add(1),
                    Dropped::NoPeer => stats.dropped_no_peer.add(1),
                };
            }
        };
        let is_mirrored = to == 0 && !open.mirror.is_empty();
        let out = Data { direct: to > 0, peer: number, ..*data };
        self.room_send(room, Pending { start: 0, len: 0, from: number, to }, |bytes| out.encode(bytes));
        if is_mirrored {
            self.room_publish(room, number, data.payload);
        }
    }

    /// Publishes what was said to where others can watch.
    fn room_publish(&mut self, room: usize, number: u16, payload: &[u8]) {
        if self.net.memory_stage >= NO_PUBLISH {
            return self.net.stats().rooms.dropped_mirror.add(1);
        }
        let mut topic = std::mem::take(&mut self.rooms.topic);
        topic.clear();
        let mut digits = itoa::Buffer::new();
        for (at, part) in self.rooms.rooms[room].mirror.iter().enumerate() {
            if at > 0 {
                topic.push_str(digits.format(number));
            }
            topic.push_str(part);
        }
        self.begin_event();
        self.net.stats().messages_in.add(1);
        if self.publish_plain(None, &topic, payload, None).is_some() {
            self.net.stats().rooms.dropped_mirror.add(1);
        }
        self.rooms.topic = topic;
    }

    /// Something came from an address that nobody has. It is told so where it could be somebody's who is forgotten, with no
    /// more bytes than came.
    pub(super) fn room_stranger(&self, listener: usize, from: SocketAddr, datagram: &[u8]) {
        let number = match decode(datagram) {
            Ok(Packet::Data(data)) => data.sequence,
            Ok(Packet::Control(Control::Ping(number))) => number,
            // It goes, or goes on talking to somebody before.
            Ok(Packet::Control(Control::Leave(_) | Control::Pong(_))) => return,
            _ => return self.net.stats().rooms.malformed.add(1),
        };
        self.net.stats().rooms.resets.add(1);
        self.room_tell(listener, from, &Packet::Control(Control::Reset(number)));
    }
}
