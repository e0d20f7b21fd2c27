//! What leaves over UDP at the end of a tick: with as few calls as there can be.
//!
//! Each datagram of each outbox is listed, with those of one size for one peer as one piece, and the list goes to the
//! kernel in [batches](crate::udp). What the socket has no room for stays where it was.

use super::connection::Link;
use super::{RETRY_MS, ShardLoop};
use crate::stats::Kind;
use crate::udp::{self, Outgoing, SEGMENT_BYTES_MAX, SEGMENTS_BYTES_MAX, SEGMENTS_MAX, Target};
use trefoil_hub::ConnectionKey;

/// What is listed before it is sent, but for the last outbox. It is kept for the next tick.
const LISTED_BYTES_MAX: usize = 256 << 10;
const LISTED_MAX: usize = 4096;

/// Datagrams on their way to the kernel.
#[derive(Default)]
pub(super) struct Listed {
    bytes: Vec<u8>,
    targets: Vec<Target>,
    entries: Vec<Entry>,
    /// Whose they are, with how many.
    owners: Vec<(ConnectionKey, usize)>,
}

/// One datagram, or several of one size of which the last may be shorter, with the place of its target.
struct Entry {
    target: usize,
    start: usize,
    len: usize,
    segment_bytes: usize,
    count: usize,
}

impl Entry {
    /// Whether a datagram of `len` bytes may stand behind those that are in it.
    fn takes(&self, target: usize, len: usize) -> bool {
        self.target == target
            && self.len == self.segment_bytes * self.count
            && (1..=self.segment_bytes).contains(&len)
            && self.segment_bytes <= SEGMENT_BYTES_MAX
            && self.count < SEGMENTS_MAX
            && self.len + len <= SEGMENTS_BYTES_MAX
    }
}

impl Listed {
    fn is_full(&self) -> bool {
        self.bytes.len() >= LISTED_BYTES_MAX || self.entries.len() >= LISTED_MAX
    }

    /// Lists what waits for a connection.
    fn add<'a>(&mut self, owner: ConnectionKey, to: Target, datagrams: impl Iterator<Item = &'a [u8]>) {
        let target = self.targets.len();
        self.targets.push(to);
        let mut count = 0;
        for datagram in datagrams {
            count += 1;
            match self.entries.last_mut() {
                Some(entry) if entry.takes(target, datagram.len()) => {
                    entry.len += datagram.len();
                    entry.count += 1;
                }
                _ => self.entries.push(Entry {
                    target,
                    start: self.bytes.len(),
                    len: datagram.len(),
                    segment_bytes: datagram.len(),
                    count: 1,
                }),
            }
            self.bytes.extend_from_slice(datagram);
        }
        self.owners.push((owner, count));
    }

    fn outgoing(&self) -> Vec<Outgoing<'_>> {
        let outgoing = |entry: &Entry| Outgoing {
            to: &self.targets[entry.target],
            bytes: &self.bytes[entry.start..][..entry.len],
            segment_bytes: if entry.count == 1 { usize::MAX } else { entry.segment_bytes },
        };
        self.entries.iter().map(outgoing).collect()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(LISTED_BYTES_MAX);
        self.targets.clear();
        self.entries.clear();
        self.owners.clear();
    }
}

impl ShardLoop {
    /// Sends what waits for these UDP peers.
    pub(super) fn flush_datagrams(&mut self, keys: &[ConnectionKey]) {
        let mut listed = std::mem::take(&mut self.listed);
        for listener in 0..self.listeners.len() {
            if self.listeners[listener].udp().is_none() {
                continue;
            }
            for &key in keys {
                let Some(connection) = self.net.connections.get_mut(key.0 as usize) else { continue };
                let Link::Udp(peer) = &connection.link else { continue };
                if usize::from(connection.listener) != listener {
                    continue;
                }
                if let Some(own) = &mut connection.json {
                    own.sent_at = self.net.now;
                }
                listed.add(key, Target::new(peer.addr), connection.outbox.datagrams());
                if listed.is_full() {
                    self.send_listed(listener, &mut listed);
                }
            }
            self.send_listed(listener, &mut listed);
        }
        self.listed = listed;
    }

    /// Sends what is listed, and takes out of the outboxes what needs no further attempt: it has been sent, or cannot be,
    /// and is lost as any datagram may be; at QoS 1 it is sent again.
    fn send_listed(&mut self, listener: usize, listed: &mut Listed) {
        let Some(socket) = self.listeners[listener].udp() else { return };
        let tally = udp::send(socket, &listed.outgoing());
        self.net.stats().bytes_out.add(tally.sent_bytes as u64);
        let mut done = tally.sent + tally.failed;
        for &(key, count) in &listed.owners {
            let gone = count.min(done);
            done -= gone;
            let Some(connection) = self.net.connections.get_mut(key.0 as usize) else { continue };
            for _ in 0..gone {
                connection.outbox.drop_first(&mut self.net.pool);
            }
            if gone < count {
                connection.is_blocked = true;
                self.unsent.push(key);
                self.retry_at = Some(self.net.now.plus_ms(RETRY_MS));
            } else if connection.kind == Kind::MqttSn {
                // There may be a million of them that sleep.
                connection.outbox.slim();
            }
        }
        listed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_one_size_for_one_peer_are_one_piece() {
        let to = || Target::new("127.0.0.1:7".parse().expect("an address"));
        let mut listed = Listed::default();
        let datagrams: [&[u8]; 7] = [b"aa", b"bb", b"c", b"dd", b"eee", b"", b"f"];
        listed.add(ConnectionKey(1), to(), datagrams.into_iter());
        listed.add(ConnectionKey(2), to(), [b"g".as_slice()].into_iter());
        let pieces: Vec<(&[u8], usize)> = listed.outgoing().iter().map(|o| (o.bytes, o.count())).collect();
        let expected: [(&[u8], usize); 6] =
            [(b"aabbc", 3), (b"dd", 1), (b"eee", 1), (b"", 1), (b"f", 1), (b"g", 1)];
        assert_eq!(pieces, expected);
        assert_eq!(listed.owners, [(ConnectionKey(1), 7), (ConnectionKey(2), 1)]);
    }

    #[test]
    fn no_piece_is_larger_than_the_kernel_cuts() {
        let to = || Target::new("127.0.0.1:7".parse().expect("an address"));
        for size in [1, 1_200, 1_300, 40_000] {
            let mut listed = Listed::default();
            let datagram = vec![0; size];
            listed.add(ConnectionKey(1), to(), std::iter::repeat_n(datagram.as_slice(), 200));
            let outgoing = listed.outgoing();
            assert_eq!(outgoing.iter().map(Outgoing::count).sum::<usize>(), 200);
            for piece in outgoing {
                assert!(piece.count() <= SEGMENTS_MAX && piece.bytes.len() <= SEGMENTS_BYTES_MAX);
                assert!(piece.count() == 1 || size <= SEGMENT_BYTES_MAX);
            }
        }
    }
}
