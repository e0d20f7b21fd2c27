//! Datagrams in batches: as many with one call as the system can.
//!
//! On Linux `recvmmsg` takes them in, `sendmmsg` sends them out, and what several for one receiver have in common the
//! kernel does once (UDP segmentation offload); elsewhere each is a call of its own.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

use std::net::SocketAddr;
use std::ops::AddAssign;
pub(crate) use system::{Target, send};

/// No datagram is longer.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Datagrams that are taken at once.
pub(crate) const BATCH: usize = 32;

/// A datagram up to this size fits into a packet on any link (RFC 8200 §5). The kernel cuts none out that does not.
pub(crate) const SEGMENT_BYTES_MAX: usize = 1_232;

/// What the kernel cuts into datagrams at most, in datagrams and in bytes.
pub(crate) const SEGMENTS_MAX: usize = 64;
pub(crate) const SEGMENTS_BYTES_MAX: usize = 65_000;

/// Where in the buffer each datagram begins. Most are small, and a distance that is a power of two would have all of them
/// want the same few lines of the cache.
const STRIDE_BYTES: usize = DATAGRAM_BYTES_MAX + 1 + 17 * 64;

/// Datagrams that have come. The memory is the system's until it is written to, so that a slot takes what the largest
/// datagram took that it has had.
#[derive(Default)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    /// The length of each, and whence it came.
    came: Vec<(usize, SocketAddr)>,
}

impl Inbox {
    /// Takes what a socket has, at most [`BATCH`] datagrams, in the place of what was there. `is_v4` says what family the
    /// socket is of. Returns whether it was all.
    pub(crate) fn receive(&mut self, socket: &mio::net::UdpSocket, is_v4: bool) -> bool {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BATCH * STRIDE_BYTES];
        }
        self.came.clear();
        system::receive(socket, is_v4, &mut self.buffer, &mut self.came)
    }

    /// Datagrams that have come, each with whence it came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let slots = self.buffer.chunks_exact(STRIDE_BYTES);
        self.came.iter().zip(slots).map(|(&(len, from), slot)| (from, &slot[..len]))
    }
}

/// What goes to one receiver: a datagram, or several of one size behind each other, of which the last may be shorter.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) to: &'a Target,
    pub(crate) bytes: &'a [u8],
    /// The size of each datagram; that of `bytes` if it is one. Only several have to have any bytes.
    pub(crate) segment_bytes: usize,
}

impl Outgoing<'_> {
    /// How many datagrams it is.
    pub(crate) fn count(&self) -> usize {
        match self.is_one() {
            true => 1,
            false => self.bytes.len().div_ceil(self.segment_bytes),
        }
    }

    fn is_one(&self) -> bool {
        self.segment_bytes >= self.bytes.len()
    }
}

/// What came of sending, which is done in order and ends where the socket has no room. Nothing is kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Datagrams that the system has taken.
    pub(crate) sent: usize,
    /// Their bytes.
    pub(crate) sent_bytes: usize,
    /// Datagrams for which the socket had no room.
    pub(crate) full: usize,
    /// Datagrams that cannot be sent there.
    pub(crate) failed: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.full += other.full;
        self.failed += other.failed;
    }
}

impl Tally {
    fn note_sent(&mut self, outgoing: &Outgoing<'_>) {
        self.sent += outgoing.count();
        self.sent_bytes += outgoing.bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::Duration;

    fn pair(address: &str) -> (mio::net::UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind(address).expect("loopback has ports");
        receiver.set_read_timeout(Some(Duration::from_secs(20))).expect("it may wait");
        let sender = UdpSocket::bind(address).expect("loopback has ports");
        sender.set_nonblocking(true).expect("it need not block");
        (mio::net::UdpSocket::from_std(sender), receiver)
    }

    #[test]
    fn what_is_sent_arrives_in_order_and_whole() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (sender, receiver) = pair(address);
            let to = Target::new(receiver.local_addr().expect("it has one"));
            let (large, segments) = (vec![7; 1000], vec![9; 2500]);
            let one = |bytes| Outgoing { to: &to, bytes, segment_bytes: usize::MAX };
            let outgoing = [
                one(b"a"),
                one(b""),
                one(&large),
                Outgoing { segment_bytes: 1000, ..one(&segments) },
                one(b"z"),
            ];
            let tally = send(&sender, &outgoing);
            assert_eq!(tally, Tally { sent: 7, sent_bytes: 3502, full: 0, failed: 0 }, "{address}");
            let mut buffer = [0; 2000];
            let mut lens = Vec::new();
            for _ in 0..7 {
                let (len, from) = receiver.recv_from(&mut buffer).expect("it arrives");
                assert_eq!(Some(from), sender.local_addr().ok());
                lens.push(len);
            }
            assert_eq!(lens, [1, 0, 1000, 1000, 1000, 500, 1]);
        }
    }

    #[test]
    fn who_cannot_be_reached_is_no_hindrance_to_others() {
        let (sender, receiver) = pair("127.0.0.1:0");
        let good = Target::new(receiver.local_addr().expect("it has one"));
        // Port 0 is nobody's.
        let bad = Target::new("127.0.0.1:0".parse().expect("an address"));
        let one = |to| Outgoing { to, bytes: b"x", segment_bytes: usize::MAX };
        let tally = send(&sender, &[one(&bad), one(&good), one(&bad), one(&good)]);
        assert_eq!(tally, Tally { sent: 2, sent_bytes: 2, full: 0, failed: 2 });
    }

    #[test]
    fn all_that_waits_is_taken_however_large() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (receiver, sender) = pair(address);
            let to = receiver.local_addr().expect("it has one");
            let sizes: Vec<usize> = (0..BATCH).map(|n| if n == 5 { 60_000 } else { n * 40 }).collect();
            for (number, &size) in sizes.iter().enumerate() {
                sender.send_to(&vec![number as u8; size], to).expect("loopback takes it");
            }
            let mut inbox = Inbox::default();
            assert!(!inbox.receive(&receiver, to.is_ipv4()), "a full batch may not be all");
            assert_eq!(inbox.iter().count(), BATCH);
            for (number, (&size, (from, datagram))) in sizes.iter().zip(inbox.iter()).enumerate() {
                assert_eq!(Some(from), sender.local_addr().ok());
                assert!(datagram.len() == size && datagram.iter().all(|&byte| byte == number as u8));
            }
            assert!(inbox.receive(&receiver, to.is_ipv4()) && inbox.iter().count() == 0);
        }
    }
}
