//! The calls of Linux.

use super::{BATCH, DATAGRAM_BYTES_MAX, Outgoing, STRIDE_BYTES, Tally};
use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage, recvmmsg,
    sendmsg,
};
use rustix::net::{
    MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, addr::SocketAddrArg, sendmmsg, sendto,
};
use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Datagrams that one call sends.
const SEND_BATCH: usize = 256;

thread_local! {
    /// What the kernel writes addresses to, by their family, since each has its own length.
    static HEADERS_V4: RefCell<MultiHeaders<SockaddrIn>> = RefCell::new(MultiHeaders::preallocate(BATCH, None));
    static HEADERS_V6: RefCell<MultiHeaders<SockaddrIn6>> = RefCell::new(MultiHeaders::preallocate(BATCH, None));
}

/// Whether the kernel has refused to cut a datagram into several: it never will do so on that interface, and is not asked
/// any more.
static REFUSES_SEGMENTS: AtomicBool = AtomicBool::new(false);

/// Where a datagram goes, as the kernel wants it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    raw: SocketAddrAny,
}

impl Target {
    pub(crate) fn new(address: SocketAddr) -> Target {
        Target { address, raw: address.as_any() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

pub(super) fn receive(
    socket: &UdpSocket,
    is_v4: bool,
    buffer: &mut [u8],
    came: &mut Vec<(usize, SocketAddr)>,
) -> bool {
    if is_v4 {
        HEADERS_V4.with_borrow_mut(|headers| {
            let address = |address: SockaddrIn| SocketAddr::V4(address.into());
            receive_with(socket, headers, buffer, came, address)
        })
    } else {
        HEADERS_V6.with_borrow_mut(|headers| {
            let address = |address: SockaddrIn6| SocketAddr::V6(address.into());
            receive_with(socket, headers, buffer, came, address)
        })
    }
}

fn receive_with<S: SockaddrLike + Copy>(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<S>,
    buffer: &mut [u8],
    came: &mut Vec<(usize, SocketAddr)>,
    address: impl Fn(S) -> SocketAddr,
) -> bool {
    let mut rest = buffer.chunks_exact_mut(STRIDE_BYTES);
    let mut slots: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|_| {
        let slot = rest.next().expect("the buffer has a slot for each datagram of a batch");
        [IoSliceMut::new(&mut slot[..DATAGRAM_BYTES_MAX])]
    });
    match recvmmsg(socket.as_raw_fd(), headers, slots.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
        Ok(messages) => {
            let messages = messages.filter_map(|message| Some((message.bytes, address(message.address?))));
            came.extend(messages);
            came.len() < BATCH
        }
        // Another error is that of an earlier datagram to a peer which is gone: there may be more behind it.
        Err(error) => error == Errno::EAGAIN,
    }
}

/// Sends all in their order, as far as the system takes it.
pub(crate) fn send(socket: &UdpSocket, outgoing: &[Outgoing<'_>]) -> Tally {
    let mut tally = Tally::default();
    let mut rest = outgoing;
    while let Some(first) = rest.first() {
        let is_one = first.is_one();
        let same = rest.iter().take_while(|next| next.is_one() == is_one).count();
        let (now, later) = rest.split_at(same);
        rest = later;
        let goes_on = match is_one {
            true => now.chunks(SEND_BATCH).all(|batch| send_batch(socket, batch, &mut tally)),
            false => now.iter().all(|several| send_segments(socket, several, &mut tally)),
        };
        if !goes_on {
            // Nobody waits for room: what does not get through now is lost, as any datagram may be.
            tally.full = outgoing.iter().map(Outgoing::count).sum::<usize>() - tally.sent - tally.failed;
            return tally;
        }
    }
    tally
}

/// Sends single datagrams. Returns whether there may be room for more.
fn send_batch(socket: &UdpSocket, batch: &[Outgoing<'_>], tally: &mut Tally) -> bool {
    if let [one] = batch {
        return send_one(socket, one, tally);
    }
    let slices: Vec<[IoSlice<'_>; 1]> = batch.iter().map(|one| [IoSlice::new(one.bytes)]).collect();
    let mut control: Vec<_> = batch.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let messages = batch.iter().zip(&slices).zip(&mut control);
    let mut messages: Vec<_> =
        messages.map(|((one, slice), control)| MMsgHdr::new_with_addr(&one.to.raw, slice, control)).collect();
    let mut done = 0;
    while done < batch.len() {
        match sendmmsg(socket, &mut messages[done..], SendFlags::DONTWAIT) {
            Ok(0) => return true,
            Ok(count) => {
                batch[done..done + count].iter().for_each(|one| tally.note_sent(one));
                done += count;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => return false,
            // The first of them cannot be sent; the others may be.
            Err(error) => {
                tracing::debug!(%error, to = %batch[done].to.address, "a datagram was not sent");
                tally.failed += 1;
                done += 1;
            }
        }
    }
    true
}

/// The same for one, without lists.
fn send_one(socket: &UdpSocket, one: &Outgoing<'_>, tally: &mut Tally) -> bool {
    loop {
        match sendto(socket, one.bytes, SendFlags::DONTWAIT, &one.to.raw) {
            Ok(_) => tally.note_sent(one),
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => return false,
            Err(error) => {
                tracing::debug!(%error, to = %one.to.address, "a datagram was not sent");
                tally.failed += 1;
            }
        }
        return true;
    }
}

/// Sends several datagrams to one receiver. Returns whether there may be room for more.
fn send_segments(socket: &UdpSocket, several: &Outgoing<'_>, tally: &mut Tally) -> bool {
    let one_by_one = |tally: &mut Tally| {
        let ones: Vec<Outgoing<'_>> = several
            .bytes
            .chunks(several.segment_bytes)
            .map(|bytes| Outgoing { bytes, segment_bytes: usize::MAX, ..*several })
            .collect();
        send_batch(socket, &ones, tally)
    };
    if REFUSES_SEGMENTS.load(Ordering::Relaxed) {
        return one_by_one(tally);
    }
    let segment_bytes = u16::try_from(several.segment_bytes).expect("no datagram is longer");
    let control = [ControlMessage::UdpGsoSegments(&segment_bytes)];
    let (slices, to) = ([IoSlice::new(several.bytes)], SockaddrStorage::from(several.to.address));
    loop {
        match sendmsg(socket.as_raw_fd(), &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&to)) {
            Ok(_) => {
                tally.note_sent(several);
                return true;
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::ENOBUFS) => return false,
            Err(Errno::EIO | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EMSGSIZE) => {
                // Where that was for this receiver alone, the next call without tells.
                let failed = tally.failed;
                let goes_on = one_by_one(tally);
                if tally.failed == failed && !REFUSES_SEGMENTS.swap(true, Ordering::Relaxed) {
                    tracing::info!("the system does not segment datagrams here; each is sent by itself");
                }
                return goes_on;
            }
            Err(error) => {
                tracing::debug!(%error, to = %several.to.address, "datagrams were not sent");
                tally.failed += several.count();
                return true;
            }
        }
    }
}
