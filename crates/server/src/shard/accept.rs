//! Listeners of a shard, and the connections that come in by them.

use super::connection::{Connection, Input, Link};
use super::ways::Places;
use super::{READ_AND_WRITE, ShardLoop};
use crate::listener::{Share, tune};
use crate::stats::Kind;
use crate::stream::Stream;
use mio::net::{TcpListener, UdpSocket, UnixListener};
use mio::{Interest, Registry, Token};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering;
use trefoil_config::Protocols;
use trefoil_hub::ConnectionKey;

/// Connections accepted in one tick by one listener, so that those who are here already get their turn.
const ACCEPTS_PER_TICK: usize = 64;

/// How long to wait when the process may open no more files.
const FILES_RETRY_MS: u64 = 100;

/// How long the log is spared saying it again.
const QUIET_S: u64 = 60;

/// A listener of the shard.
pub(super) enum Listener {
    /// More than one where another process has opened more than this one has shards.
    Tcp(Vec<TcpListener>),
    /// The same with a Unix socket, which is one for all shards.
    Unix(Vec<UnixListener>),
    /// JSON, rooms.
    Udp(Datagrams),
    MqttSn(Datagrams),
    /// Frames.
    Framed(Datagrams),
    /// The hub stops.
    Closed,
}

/// The sockets of a listener for datagrams, at least one, all with the same address.
pub(super) struct Datagrams {
    sockets: Vec<UdpSocket>,
    /// Whether what comes in by them is this shard's.
    is_read: bool,
    /// Who has the addresses from which it comes, if not in a room.
    pub(super) places: Places,
}

impl Datagrams {
    /// The one to send from.
    pub(super) fn sender(&self) -> &UdpSocket {
        &self.sockets[0]
    }
}

impl Listener {
    /// On UDP nothing tells protocols apart but the listener.
    pub(super) fn new(
        share: Share,
        protocols: Protocols,
        token: Token,
        registry: &Registry,
    ) -> io::Result<Listener> {
        Ok(match share {
            Share::Tcp(sockets) => {
                let mut sockets: Vec<_> = sockets.into_iter().map(TcpListener::from_std).collect();
                for socket in &mut sockets {
                    registry.register(socket, token, Interest::READABLE)?;
                }
                Listener::Tcp(sockets)
            }
            Share::Unix(sockets) => {
                let mut sockets: Vec<_> = sockets.into_iter().map(UnixListener::from_std).collect();
                for socket in &mut sockets {
                    registry.register(socket, token, Interest::READABLE)?;
                }
                Listener::Unix(sockets)
            }
            Share::Udp { sockets, is_read } => {
                let mut sockets: Vec<_> = sockets.into_iter().map(UdpSocket::from_std).collect();
                let interest = if is_read { READ_AND_WRITE } else { Interest::WRITABLE };
                for socket in &mut sockets {
                    registry.register(socket, token, interest)?;
                }
                let datagrams = Datagrams { sockets, is_read, places: Places::default() };
                match protocols {
                    Protocols { mqtt_sn: true, .. } => Listener::MqttSn(datagrams),
                    Protocols { framed: true, .. } => Listener::Framed(datagrams),
                    _ => Listener::Udp(datagrams),
                }
            }
        })
    }

    /// Takes the next connection of one of its sockets. A peer on this machine has no address.
    fn accept(&self, socket: usize) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Listener::Tcp(sockets) => {
                sockets[socket].accept().map(|(stream, peer)| (Stream::Tcp(stream), Some(peer)))
            }
            Listener::Unix(sockets) => {
                sockets[socket].accept().map(|(stream, _)| (Stream::Unix(stream), None))
            }
            Listener::Udp(_) | Listener::MqttSn(_) | Listener::Framed(_) | Listener::Closed => {
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// The descriptor of one of its sockets, if it accepts.
    fn accepting(&self, socket: usize) -> Option<BorrowedFd<'_>> {
        match self {
            Listener::Tcp(sockets) => Some(sockets[socket].as_fd()),
            Listener::Unix(sockets) => Some(sockets[socket].as_fd()),
            Listener::Udp(_) | Listener::MqttSn(_) | Listener::Framed(_) | Listener::Closed => None,
        }
    }

    /// The socket to send datagrams from, if it takes any.
    pub(super) fn udp(&self) -> Option<&UdpSocket> {
        self.datagrams().map(Datagrams::sender)
    }

    /// The sockets to read datagrams from.
    pub(super) fn readable(&self) -> &[UdpSocket] {
        self.datagrams().filter(|datagrams| datagrams.is_read).map_or(&[], |datagrams| &datagrams.sockets)
    }

    pub(super) fn datagrams(&self) -> Option<&Datagrams> {
        match self {
            Listener::Udp(datagrams) | Listener::MqttSn(datagrams) | Listener::Framed(datagrams) => {
                Some(datagrams)
            }
            Listener::Tcp(_) | Listener::Unix(_) | Listener::Closed => None,
        }
    }

    pub(super) fn datagrams_mut(&mut self) -> Option<&mut Datagrams> {
        match self {
            Listener::Udp(datagrams) | Listener::MqttSn(datagrams) | Listener::Framed(datagrams) => {
                Some(datagrams)
            }
            Listener::Tcp(_) | Listener::Unix(_) | Listener::Closed => None,
        }
    }
}

/// The token of a listener: they count down from the waker's, connections up from 0.
pub(super) fn token(listener: usize) -> Token {
    Token(usize::MAX - 1 - listener)
}

/// The listener of a token, if it is one's.
pub(super) fn listener(token: Token) -> Option<usize> {
    let from_top = usize::MAX - 1 - token.0;
    (from_top < usize::from(u16::MAX)).then_some(from_top)
}

impl ShardLoop {
    pub(super) fn listener_is_ready(&mut self, number: usize) {
        match &self.listeners[number] {
            Listener::Tcp(_) | Listener::Unix(_) => self.accept(number),
            Listener::Udp(_) | Listener::MqttSn(_) | Listener::Framed(_) => {
                self.receive_datagrams(number);
            }
            Listener::Closed => {}
        }
    }

    fn accept(&mut self, number: usize) {
        let sockets = match &self.listeners[number] {
            Listener::Tcp(sockets) => sockets.len(),
            Listener::Unix(sockets) => sockets.len(),
            _ => return,
        };
        for socket in 0..sockets {
            self.accept_from(number, socket);
        }
    }

    fn accept_from(&mut self, number: usize, socket: usize) {
        for _ in 0..ACCEPTS_PER_TICK {
            if self.is_crowded {
                // The number of the next descriptor is known only by taking it.
                let Some(listens) = self.listeners[number].accepting(socket) else { return };
                let next = listens.try_clone_to_owned();
                self.is_crowded =
                    next.is_ok_and(|next| self.net.context.descriptors.is_spare(next.as_raw_fd()));
                if self.is_crowded {
                    return self.cannot_accept(&"nearly all open files are taken");
                }
            }
            match self.listeners[number].accept(socket) {
                // Before anything is read, and without a word: there is no protocol yet.
                Ok((_, Some(peer))) if self.net.context.bans.refuses_address(peer.ip()) => {}
                Ok((_, Some(peer))) if !self.may_connect(number, peer) => {}
                Ok((stream, _)) if self.admit(number) => {
                    self.is_crowded = self.net.context.descriptors.is_spare(stream.as_fd().as_raw_fd());
                    tune(&stream);
                    self.net.stats().accepted.add(1);
                    let own = &self.net.context.listeners[number];
                    let (is_proxied, is_framed) =
                        (own.proxy_protocol, own.framed.is_some() && own.tls.is_none());
                    match self.add_stream(stream, number) {
                        Some(key) if is_proxied => self.set_input(key, Kind::New, Input::ProxyHeader),
                        // Whoever connects is there, without having said anything.
                        Some(key) if is_framed => self.framed_begin(key, number, &[]),
                        _ => {}
                    }
                }
                // There is no protocol yet in which to say why.
                Ok(_) => self.net.stats().refused.add(1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => return self.cannot_accept(&error),
            }
        }
        // There may be more, and the kernel has said so once already.
        self.retry_at = Some(self.net.now);
    }

    /// Tries again in a while.
    fn cannot_accept(&mut self, why: &dyn std::fmt::Display) {
        if self.quiet_until.is_none_or(|until| until <= self.net.now) {
            self.quiet_until = Some(self.net.now.plus_s(QUIET_S));
            tracing::warn!(
                "cannot accept connections for the moment ({why}); is the limit of open files reached?"
            );
        }
        self.retry_at = Some(self.net.now.plus_ms(FILES_RETRY_MS));
    }

    /// Counts a connection in, unless there are as many as there may be.
    pub(super) fn admit(&mut self, listener: usize) -> bool {
        let context = &self.net.context;
        let own = &context.listeners[listener];
        let within = |now: usize, max: usize| max == 0 || now < max;
        // Over TCP there will be words to say why.
        let is_short = self.net.takes_no_new() && matches!(own.bind, trefoil_config::Bind::Udp(_));
        let admitted = !is_short
            && within(own.connections.load(Ordering::Relaxed), own.connections_max)
            && within(context.connections.load(Ordering::Relaxed), context.limits.connections_max);
        if admitted {
            own.connections.fetch_add(1, Ordering::Relaxed);
            context.connections.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Counts a connection out.
    pub(super) fn dismiss(&mut self, listener: usize) {
        let context = &self.net.context;
        context.listeners[listener].connections.fetch_sub(1, Ordering::Relaxed);
        context.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Makes a connection of a stream that has been counted in.
    pub(super) fn add_stream(&mut self, mut stream: Stream, listener: usize) -> Option<ConnectionKey> {
        let key = ConnectionKey(self.net.connections.vacant_key() as u32);
        if let Err(error) = self.poll.registry().register(&mut stream, Token(key.0 as usize), READ_AND_WRITE)
        {
            tracing::warn!(%error, "a connection is dropped since the kernel will not watch it");
            self.dismiss(listener);
            return None;
        }
        let has_unsent = stream.has_unsent();
        self.add(Link::Stream(stream), listener);
        if let Some(connection) = self.net.get_mut(key) {
            connection.is_blocked = has_unsent;
        }
        let timeout_s = self.net.context.limits.first_bytes_timeout_s;
        self.set_deadline(key, Some(self.net.now.plus_s(timeout_s.into())));
        Some(key)
    }

    pub(super) fn add(&mut self, link: Link, listener: usize) -> ConnectionKey {
        self.serial = self.serial.wrapping_add(1);
        let connection = Connection::new(link, listener, self.serial, self.net.now);
        self.net.stats().connections[connection.kind as usize].add(1);
        ConnectionKey(self.net.connections.insert(connection) as u32)
    }
}

/// Whether an error of accept is that of the connection, which is gone again, and not of the listener.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
