//! One call for each datagram, as every system has it.

use super::{BATCH, DATAGRAM_BYTES_MAX, Outgoing, STRIDE_BYTES, Tally};
use mio::net::UdpSocket;
use std::io::ErrorKind;
use std::net::SocketAddr;

/// Where a datagram goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
}

impl Target {
    pub(crate) fn new(address: SocketAddr) -> Target {
        Target { address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

pub(super) fn receive(
    socket: &UdpSocket,
    _is_v4: bool,
    buffer: &mut [u8],
    came: &mut Vec<(usize, SocketAddr)>,
) -> bool {
    // An error is that of an earlier datagram to a peer which is gone.
    let mut failures = 0;
    while came.len() < BATCH && failures < BATCH {
        let start = came.len() * STRIDE_BYTES;
        match socket.recv_from(&mut buffer[start..start + DATAGRAM_BYTES_MAX]) {
            Ok(one) => came.push(one),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => failures += 1,
        }
    }
    false
}

/// Sends all in their order, as far as the system takes it.
pub(crate) fn send(socket: &UdpSocket, outgoing: &[Outgoing<'_>]) -> Tally {
    let mut tally = Tally::default();
    for several in outgoing {
        let segment_bytes = several.segment_bytes.min(several.bytes.len()).max(1);
        let mut chunks = several.bytes.chunks(segment_bytes);
        for _ in 0..several.count() {
            let bytes = chunks.next().unwrap_or_default();
            match socket.send_to(bytes, several.to.address) {
                Ok(_) => tally.note_sent(&Outgoing { bytes, segment_bytes: usize::MAX, ..*several }),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    tally.full =
                        outgoing.iter().map(Outgoing::count).sum::<usize>() - tally.sent - tally.failed;
                    return tally;
                }
                Err(_) => tally.failed += 1,
            }
        }
    }
    tally
}
