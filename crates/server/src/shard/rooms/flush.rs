//! What leaves at the end of the tick: each datagram once in memory, and a list of who gets it.

use super::{OpenRoom, Pending};
use crate::shard::ShardLoop;
use crate::udp::{self, Outgoing, SEGMENT_BYTES_MAX, SEGMENTS_BYTES_MAX, SEGMENTS_MAX, Tally};
use std::net::SocketAddr;
use trefoil_room::Packet;

/// How many datagrams are listed before they are sent.
const LIST_MAX: usize = 4096;

impl Pending {
    fn is_for(&self, number: u16) -> bool {
        if self.to == 0 { self.from != number } else { self.to == number }
    }
}

impl OpenRoom {
    /// What is pending for each of those who came by a listener, listed and handed to `send` from time to time.
    fn list<'a>(&'a self, listener: usize, mut send: impl FnMut(&[Outgoing<'a>])) {
        let mut list: Vec<Outgoing<'a>> = Vec::new();
        let peers = self.members.peers().iter().filter(|peer| peer.address.listener == listener);
        if let [one] = self.pending[..] {
            let bytes = &self.bytes[one.start..][..one.len];
            for peer in peers.filter(|peer| one.is_for(peer.number)) {
                list.push(Outgoing { to: &peer.address.target, bytes, segment_bytes: usize::MAX });
            }
            return send(&list);
        }
        for peer in peers {
            let mut rest = self.pending.iter().filter(|pending| pending.is_for(peer.number)).peekable();
            while let Some(first) = rest.next() {
                let (mut end, mut count) = (first.start + first.len, 1);
                let mut is_open = (1..=SEGMENT_BYTES_MAX).contains(&first.len);
                // Those that stand behind each other in memory and are of one size are one piece for the kernel; the last
                // may be shorter.
                while let Some(next) = rest.next_if(|next| {
                    is_open
                        && next.start == end
                        && (1..=first.len).contains(&next.len)
                        && count < SEGMENTS_MAX
                        && next.start + next.len - first.start <= SEGMENTS_BYTES_MAX
                }) {
                    is_open = next.len == first.len;
                    (end, count) = (next.start + next.len, count + 1);
                }
                let segment_bytes = if count == 1 { usize::MAX } else { first.len };
                list.push(Outgoing {
                    to: &peer.address.target,
                    bytes: &self.bytes[first.start..end],
                    segment_bytes,
                });
            }
            if list.len() >= LIST_MAX {
                send(&list);
                list.clear();
            }
        }
        send(&list);
    }
}

impl ShardLoop {
    /// Has something leave for those in a room at the end of the tick.
    pub(super) fn room_send(&mut self, room: usize, pending: Pending, write: impl FnOnce(&mut Vec<u8>)) {
        let open = &mut self.rooms.rooms[room];
        if open.members.peers().iter().all(|peer| !pending.is_for(peer.number)) {
            return;
        }
        let start = open.bytes.len();
        write(&mut open.bytes);
        open.pending.push(Pending { start, len: open.bytes.len() - start, ..pending });
        if !std::mem::replace(&mut open.is_touched, true) {
            self.rooms.touched.push(room);
        }
    }

    /// Sends all that is pending. What the sockets do not take is lost.
    pub(in crate::shard) fn room_flush(&mut self) {
        let mut touched = std::mem::take(&mut self.rooms.touched);
        for room in touched.drain(..) {
            // It may have been closed since.
            let Some(open) = self.rooms.rooms.get(room) else { continue };
            let mut total = Tally::default();
            for (number, listener) in self.listeners.iter().enumerate() {
                let Some(socket) = listener.udp() else { continue };
                open.list(number, |list| total += udp::send(socket, list));
            }
            let open = &mut self.rooms.rooms[room];
            open.pending.clear();
            open.bytes.clear();
            open.is_touched = false;
            self.room_count(total);
        }
        self.rooms.touched = touched;
    }

    fn room_count(&self, tally: Tally) {
        let stats = self.net.stats();
        stats.rooms.datagrams_out.add(tally.sent as u64);
        stats.rooms.dropped_full.add(tally.full as u64);
        stats.rooms.dropped_failed.add(tally.failed as u64);
        stats.bytes_out.add(tally.sent_bytes as u64);
    }

    /// Sends one packet at once.
    pub(super) fn room_tell(&self, listener: usize, to: SocketAddr, packet: &Packet<'_>) {
        let Some(socket) = self.listeners[listener].udp() else { return };
        let mut bytes = Vec::with_capacity(64);
        packet.encode(&mut bytes);
        // As any datagram it may be lost.
        if let Ok(sent) = socket.send_to(&bytes, to) {
            self.net.stats().bytes_out.add(sent as u64);
        }
    }
}
