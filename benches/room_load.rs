//! One sender and many receivers in a room, and beside the hub the least that could serve them: a loop that reads and
//! writes the same datagrams with the same calls, and knows nothing else.
//!
//! `benches/rooms.py` starts both and reads the CPU time of the server. The result of a load is a line of JSON on standard
//! output.

use clap::{Parser, Subcommand};
use mio::{Events, Interest, Poll, Token};
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrStorage, recvmmsg, sendmsg,
};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, addr::SocketAddrArg, sendmmsg};
use serde_json::json;
use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Datagrams of one call, in and out.
const IN_MAX: usize = 32;
const OUT_MAX: usize = 256;

/// Where each datagram begins in the buffer: larger than any here, and no power of two.
const STRIDE_BYTES: usize = 2048 + 64;

/// What is not there after this long is lost.
const LOST_AFTER: Duration = Duration::from_millis(100);

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// The bare loop
    Floor {
        #[arg(long)]
        port: u16,
        /// Sends what goes to one receiver as segments of one datagram
        #[arg(long)]
        segments: bool,
    },
    /// The load
    Load {
        #[arg(long)]
        port: u16,
        #[arg(long, default_value_t = 100)]
        receivers: usize,
        /// Datagrams that are sent before the next ones are, which waits until all receivers have them
        #[arg(long, default_value_t = 1)]
        window: usize,
        /// Datagrams a second, in place of as many as there can be
        #[arg(long)]
        rate: Option<f64>,
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// Payload bytes
        #[arg(long, default_value_t = 64)]
        size: usize,
    },
}

fn main() -> io::Result<()> {
    match Options::parse().role {
        Role::Floor { port, segments } => floor(port, segments),
        Role::Load { port, receivers, window, rate, seconds, size } => {
            let mut load = Load::join(port, receivers)?;
            load.run(window, rate, Duration::from_secs_f64(seconds), size)
        }
    }
}

/// Datagrams that have come by one call.
struct Inbox {
    headers: MultiHeaders<SockaddrIn>,
    buffer: Vec<u8>,
    came: Vec<(usize, SocketAddr)>,
}

impl Inbox {
    fn new() -> Inbox {
        let headers = MultiHeaders::preallocate(IN_MAX, None);
        Inbox { headers, buffer: vec![0; IN_MAX * STRIDE_BYTES], came: Vec::new() }
    }

    fn receive(&mut self, socket: &impl AsRawFd) -> usize {
        self.came.clear();
        let mut slots: Vec<[IoSliceMut<'_>; 1]> =
            self.buffer.chunks_exact_mut(STRIDE_BYTES).map(|slot| [IoSliceMut::new(slot)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        if let Ok(messages) = recvmmsg(socket.as_raw_fd(), &mut self.headers, slots.iter_mut(), flags, None) {
            let from = |address: Option<SockaddrIn>| SocketAddr::V4(address.expect("UDP has one").into());
            self.came.extend(messages.map(|message| (message.bytes, from(message.address))));
        }
        self.came.len()
    }
}

fn floor(port: u16, segments: bool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut socket = mio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port).into())?;
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    let (mut events, mut inbox) = (Events::with_capacity(8), Inbox::new());
    let mut numbers: HashMap<SocketAddr, usize> = HashMap::new();
    let mut peers: Vec<SocketAddrAny> = Vec::new();
    // What leaves in this round: bytes, and who has sent them.
    let (mut bytes, mut pending): (Vec<u8>, Vec<(usize, usize)>) = (Vec::new(), Vec::new());
    loop {
        poll.poll(&mut events, None)?;
        while inbox.receive(&socket) > 0 {
            for (&(len, from), slot) in inbox.came.iter().zip(inbox.buffer.chunks_exact(STRIDE_BYTES)) {
                let datagram = &slot[..len];
                if datagram[0] == 0x04 {
                    let number = *numbers.entry(from).or_insert(peers.len());
                    if number == peers.len() {
                        peers.push(from.as_any());
                    }
                    let mut welcome = vec![0x05, 0x01];
                    welcome.extend_from_slice(&datagram[2..6]);
                    welcome.extend_from_slice(&(number as u16 + 1).to_be_bytes());
                    welcome.extend_from_slice(&[0, 0, 0, 60, 4, 168]);
                    socket.send_to(&welcome, from)?;
                } else if let Some(&number) = numbers.get(&from) {
                    let start = bytes.len();
                    bytes.extend_from_slice(datagram);
                    bytes[start + 2..start + 4].copy_from_slice(&(number as u16 + 1).to_be_bytes());
                    pending.push((number, len));
                }
            }
            if inbox.came.len() < IN_MAX {
                break;
            }
        }
        send_all(&socket, &peers, &bytes, &pending, segments);
        bytes.clear();
        pending.clear();
    }
}

fn send_all(
    socket: &mio::net::UdpSocket,
    peers: &[SocketAddrAny],
    bytes: &[u8],
    pending: &[(usize, usize)],
    segments: bool,
) {
    let Some(&(sender, len)) = pending.first() else { return };
    let is_one_run = pending.iter().all(|&(number, other)| number == sender && other == len);
    if segments && is_one_run && (2..=64).contains(&pending.len()) {
        let (size, slices) = (len as u16, [IoSlice::new(bytes)]);
        for (_, to) in peers.iter().enumerate().filter(|(number, _)| *number != sender) {
            let to = SocketAddr::try_from(to.clone()).expect("it is one of UDP");
            let (to, control) = (SockaddrStorage::from(to), [ControlMessage::UdpGsoSegments(&size)]);
            let sent = sendmsg(socket.as_raw_fd(), &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&to));
            assert!(sent.is_ok() || sent == Err(Errno::EAGAIN), "{sent:?}");
        }
        return;
    }
    let mut start = 0;
    for &(sender, len) in pending {
        let slice = [IoSlice::new(&bytes[start..start + len])];
        start += len;
        let receivers: Vec<&SocketAddrAny> =
            peers.iter().enumerate().filter(|(number, _)| *number != sender).map(|(_, to)| to).collect();
        for batch in receivers.chunks(OUT_MAX) {
            let mut control: Vec<_> = batch.iter().map(|_| SendAncillaryBuffer::default()).collect();
            let mut messages: Vec<_> = batch
                .iter()
                .zip(&mut control)
                .map(|(to, control)| MMsgHdr::new_with_addr(to, &slice, control))
                .collect();
            let sent = sendmmsg(socket, &mut messages, SendFlags::DONTWAIT);
            assert!(sent.is_ok() || sent == Err(rustix::io::Errno::AGAIN), "{sent:?}");
        }
    }
}

struct Load {
    sender: UdpSocket,
    receivers: Vec<UdpSocket>,
    inbox: Inbox,
    sequence: u32,
}

impl Load {
    fn join(port: u16, receivers: usize) -> io::Result<Load> {
        let join = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            socket.set_read_timeout(Some(Duration::from_secs(10)))?;
            let mut join = [&[0x04, 0x01, 0, 0, 0, 7][..], &[0; 16], b"\x05bench\0\0"].concat();
            let mut answer = [0; 2048];
            while answer[..2] != [0x05, 0x01] {
                socket.send(&join)?;
                let len = socket.recv(&mut answer)?;
                if answer[..2] == [0x05, 0x00] && len == 22 {
                    join[6..22].copy_from_slice(&answer[6..22]);
                }
            }
            Ok(socket)
        };
        let sockets: io::Result<Vec<UdpSocket>> = (0..receivers).map(join).collect();
        Ok(Load { sender: join(0)?, receivers: sockets?, inbox: Inbox::new(), sequence: 0 })
    }

    fn run(&mut self, window: usize, rate: Option<f64>, time: Duration, size: usize) -> io::Result<()> {
        let mut datagram = vec![0x06, 0, 0, 0, 0, 0, 0, 0];
        datagram.resize(8 + size, b'x');
        let start = Instant::now();
        let (mut sent, mut delivered, mut lost) = (0_u64, 0_u64, 0_u64);
        while start.elapsed() < time {
            if let Some(rate) = rate {
                let due = start + Duration::from_secs_f64(sent as f64 / rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            for _ in 0..window {
                self.sequence = self.sequence.wrapping_add(1);
                datagram[4..8].copy_from_slice(&self.sequence.to_be_bytes());
                self.sender.send(&datagram)?;
            }
            sent += window as u64;
            let wanted = window * self.receivers.len();
            let got = self.gather(wanted);
            delivered += got as u64;
            lost += (wanted - got) as u64;
        }
        let seconds = start.elapsed().as_secs_f64();
        let result = json!({"sent": sent, "delivered": delivered, "lost": lost, "seconds": seconds});
        writeln!(io::stdout(), "{result}")
    }

    /// Takes what the receivers have got, until it is so many datagrams or nothing more comes.
    fn gather(&mut self, wanted: usize) -> usize {
        let (mut got, mut last) = (0, Instant::now());
        while got < wanted && last.elapsed() < LOST_AFTER {
            for socket in &self.receivers {
                while self.inbox.receive(socket) > 0 {
                    // Who comes and goes is told as well.
                    let slots = self.inbox.buffer.chunks_exact(STRIDE_BYTES);
                    got += slots.take(self.inbox.came.len()).filter(|slot| slot[0] == 0x06).count();
                    last = Instant::now();
                    if self.inbox.came.len() < IN_MAX {
                        break;
                    }
                }
            }
        }
        got
    }
}
