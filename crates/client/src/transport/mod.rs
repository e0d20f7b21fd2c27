//! What stands around packets and texts on the way: nothing, lines, WebSocket frames, datagrams.
//!
//! Every transport waits in [`Transport::ready`] and then moves bytes without waiting, so that one task can serve both
//! directions. A unit is one MQTT packet or one JSON text.

mod cutter;
mod input;
mod socket;
mod stream;
mod tcp;
mod tls;
mod udp;
mod websocket;

use crate::address::{self, Address};
use crate::error::{Error, Peer};
use crate::options::Options;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{Interest, Ready};

pub(crate) use socket::Socket;
pub(crate) use stream::in_words;
pub(crate) use udp::DATAGRAM_BYTES_MAX;

/// A connected socket and what is spoken around the units.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(tcp::Tcp),
    WebSocket(Box<websocket::WebSocket>),
    Udp(udp::Udp),
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Socket(SocketAddr),
    /// A Unix socket.
    Path(PathBuf),
}

/// Where units that came in go.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Error>;

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    /// The other side sends no more.
    Ended,
}

impl Transport {
    /// Connects to one of the addresses that the host's name stands for.
    pub(crate) async fn connect(
        address: &Address,
        to: &Place,
        options: &Options,
        peer: &Peer,
    ) -> Result<Transport, Error> {
        Ok(match address.transport {
            address::Transport::Tcp | address::Transport::Unix => {
                Transport::Tcp(tcp::Tcp::connect(address, to, options, peer).await?)
            }
            address::Transport::WebSocket => {
                let connected = websocket::WebSocket::connect(address, to, options, peer).await?;
                Transport::WebSocket(Box::new(connected))
            }
            address::Transport::Udp => match to {
                Place::Socket(to) => Transport::Udp(udp::Udp::connect(*to, peer).await?),
                Place::Path(_) => return Err(peer.unreachable("datagrams do not go to a path")),
            },
        })
    }

    /// Waits until it can be read or written, whichever of the two is wanted.
    pub(crate) async fn ready(&self, read: bool, write: bool) -> io::Result<Ready> {
        let interest = match (read, write) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => return std::future::pending().await,
        };
        match self {
            Transport::Tcp(tcp) => tcp.stream.socket.ready(interest).await,
            Transport::WebSocket(websocket) => websocket.stream.socket.ready(interest).await,
            Transport::Udp(udp) => udp.ready(interest).await,
        }
    }

    /// Reads once, without waiting, and gives whole units to `sink`.
    pub(crate) fn receive(&mut self, sink: Sink<'_>) -> Result<Stage, Error> {
        match self {
            Transport::Tcp(tcp) => tcp.receive(sink),
            Transport::WebSocket(websocket) => websocket.receive(sink),
            Transport::Udp(udp) => udp.receive(sink),
        }
    }

    /// Puts a unit behind what waits to be sent.
    pub(crate) fn push(&mut self, unit: &[u8]) {
        match self {
            Transport::Tcp(tcp) => tcp.push(unit),
            Transport::WebSocket(websocket) => websocket.push(unit),
            Transport::Udp(udp) => udp.push(unit),
        }
    }

    /// Sends what waits, as far as it goes without waiting.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        match self {
            Transport::Tcp(tcp) => tcp.stream.flush(),
            Transport::WebSocket(websocket) => websocket.stream.flush(),
            Transport::Udp(udp) => udp.flush(),
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn waiting_bytes(&self) -> usize {
        match self {
            Transport::Tcp(tcp) => tcp.stream.waiting_bytes(),
            Transport::WebSocket(websocket) => websocket.stream.waiting_bytes(),
            Transport::Udp(udp) => udp.waiting_bytes(),
        }
    }

    /// The largest unit that can be sent.
    pub(crate) fn unit_bytes_max(&self) -> usize {
        match self {
            Transport::Udp(_) => udp::DATAGRAM_BYTES_MAX,
            _ => usize::MAX,
        }
    }

    /// Puts the transport's own goodbye behind what waits, if it has one.
    pub(crate) fn say_goodbye(&mut self) {
        if let Transport::WebSocket(websocket) = self {
            websocket.say_goodbye();
        }
    }

    /// Says that nothing more will be sent. Returns whether to wait for the other side to close, where `hub_closes`
    /// says whether its protocol lets it do so.
    pub(crate) async fn shut_down(&mut self, hub_closes: bool) -> bool {
        match self {
            Transport::Tcp(tcp) => tcp.stream.shut_down().await && hub_closes,
            // The answer to the close frame comes first; it is the hub that closes the socket (RFC 6455 §7.1.1).
            Transport::WebSocket(_) => true,
            Transport::Udp(_) => false,
        }
    }
}
