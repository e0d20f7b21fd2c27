//! Sockets to accept on, and to take datagrams from. MQTT is served on streams, which keep order and lose nothing [MQTT-4.2-1] [v3 MQTT-7.1.1-1].

pub(crate) mod unix;

use crate::stream::Stream;
use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;
use trefoil_config::Bind;

/// Connections that the kernel holds until they are accepted. The kernel has a limit of its own, often 4096.
const BACKLOG: i32 = 4096;

/// Bytes of datagrams that the kernel is asked to hold for each socket until the shard takes them.
const RECEIVE_BYTES: usize = 4 << 20;

/// Bytes of datagrams that the kernel is asked to hold for each socket until the network takes them: what is said in a room
/// leaves for all of it at once.
const SEND_BYTES: usize = 1 << 20;

/// After this long without a word from a peer the kernel asks whether it is still there: protocols without a
/// keep-alive of their own would never notice a machine that was switched off.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A socket that a server accepts on, or takes datagrams from.
#[derive(Debug)]
pub enum Socket {
    /// One that accepts.
    Tcp(TcpListener),
    /// One for datagrams.
    Udp(UdpSocket),
    /// One that accepts from this machine.
    Unix(UnixListener),
}

impl Socket {
    /// Its own address.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn bind(&self) -> io::Result<Bind> {
        Ok(match self {
            Socket::Tcp(socket) => Bind::Tcp(socket.local_addr()?),
            Socket::Udp(socket) => Bind::Udp(socket.local_addr()?),
            Socket::Unix(socket) => match socket.local_addr()?.as_pathname() {
                Some(path) => Bind::Unix(path.to_owned()),
                None => return Err(io::Error::other("a Unix socket that is handed in has no path")),
            },
        })
    }

    /// It, if it is for datagrams.
    pub(crate) fn udp(&self) -> Option<&UdpSocket> {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => None,
            Socket::Udp(socket) => Some(socket),
        }
    }

    /// A second descriptor of the same socket: what waits in it comes out of either, once.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn try_clone(&self) -> io::Result<Socket> {
        Ok(match self {
            Socket::Tcp(socket) => Socket::Tcp(socket.try_clone()?),
            Socket::Udp(socket) => Socket::Udp(socket.try_clone()?),
            Socket::Unix(socket) => Socket::Unix(socket.try_clone()?),
        })
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        match socket {
            Socket::Tcp(socket) => socket.into(),
            Socket::Udp(socket) => socket.into(),
            Socket::Unix(socket) => socket.into(),
        }
    }
}

/// One shard's part of a listener.
pub(crate) enum Share {
    /// Sockets to accept on, at least one.
    Tcp(Vec<TcpListener>),
    /// Sockets for datagrams, at least one; the first is the one to answer from. What comes in by them is another
    /// shard's unless `is_read`.
    Udp { sockets: Vec<UdpSocket>, is_read: bool },
    /// The same as TCP for a Unix socket.
    Unix(Vec<UnixListener>),
}

/// Opens a listener for `shards` shards: one socket for each, among which the kernel spreads connections and UDP peers; a
/// Unix socket is one for all, with `mode` as the permissions of its file. All have the same address, with the real port where 0 was asked for.
///
/// # Errors
/// When the address is taken, not of this machine, or not allowed.
pub(crate) fn open(bind: &Bind, shards: usize, mode: u32) -> io::Result<Vec<Socket>> {
    let opened: Vec<Socket> = match bind {
        Bind::Tcp(addr) => {
            let sockets = open_all(*addr, Type::STREAM, shards)?;
            sockets.into_iter().map(|socket| Socket::Tcp(socket.into())).collect()
        }
        Bind::Udp(addr) => {
            let sockets = open_all(*addr, Type::DGRAM, shards)?;
            sockets.into_iter().map(|socket| Socket::Udp(socket.into())).collect()
        }
        Bind::Unix(path) => vec![Socket::Unix(unix::open(path, mode)?)],
    };
    opened.iter().try_for_each(prepare)?;
    Ok(opened)
}

/// Makes a socket one that a shard can use.
///
/// # Errors
/// When it is one that a client has connected to, and not one to accept on.
pub(crate) fn prepare(socket: &Socket) -> io::Result<()> {
    match socket {
        Socket::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            SockRef::from(socket).listen(BACKLOG)
        }
        Socket::Unix(socket) => {
            socket.set_nonblocking(true)?;
            SockRef::from(socket).listen(BACKLOG)
        }
        Socket::Udp(socket) => {
            // What does not fit is lost, so as much as the kernel gives; less is no error.
            let _ = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BYTES);
            let _ = SockRef::from(socket).set_send_buffer_size(SEND_BYTES);
            socket.set_nonblocking(true)
        }
    }
}

/// Deals the sockets of a listener out to the shards, each at least once, however many there are of either.
///
/// A socket that accepts may have several shards that do so. All datagrams of a socket go to one shard, since its peers
/// are that shard's connections; the others have it only to answer from.
///
/// # Errors
/// When the process may open no more files.
pub(crate) fn deal(sockets: &[Socket], shards: usize) -> io::Result<Vec<Share>> {
    assert!(!sockets.is_empty(), "a listener has a socket");
    let mut shares = Vec::new();
    for shard in 0..shards {
        let is_read = shard < sockets.len();
        let own = sockets.iter().skip(if is_read { shard } else { shard % sockets.len() });
        let (mut tcp, mut udp, mut unix) = (Vec::new(), Vec::new(), Vec::new());
        for socket in own.step_by(shards) {
            match socket.try_clone()? {
                Socket::Tcp(socket) => tcp.push(socket),
                Socket::Udp(socket) => udp.push(socket),
                Socket::Unix(socket) => unix.push(socket),
            }
        }
        shares.push(match () {
            () if !udp.is_empty() => Share::Udp { sockets: udp, is_read },
            () if !unix.is_empty() => Share::Unix(unix),
            () => Share::Tcp(tcp),
        });
    }
    Ok(shares)
}

fn open_all(addr: SocketAddr, kind: Type, shards: usize) -> io::Result<Vec<socket2::Socket>> {
    // Sockets that share a port would share it with another process of the same user too. So first a socket that
    // shares with nobody has to find the port free.
    let probe = socket(addr, kind)?;
    probe.bind(&addr.into())?;
    let addr = probe.local_addr()?.as_socket().unwrap_or(addr);
    drop(probe);
    let one = || {
        let socket = socket(addr, kind)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.bind(&addr.into())?;
        Ok(socket)
    };
    (0..shards).map(|_| one()).collect()
}

fn socket(addr: SocketAddr, kind: Type) -> io::Result<socket2::Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = socket2::Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if kind == Type::STREAM {
        // So that a restart need not wait for connections of the process before to be forgotten.
        socket.set_reuse_address(true)?;
    }
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Settings of an accepted socket. Failing to make them costs comfort only.
pub(crate) fn tune(stream: &Stream) {
    let Some(socket) = stream.tcp_options() else { return };
    // Writes are joined here already; waiting for more would only delay them.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4));
}

/// How often a peer that has closed its side and went on listening is asked in vain.
const PROBES_MAX: u32 = 3;

/// The peer sends no more. Whether it still listens or has closed its socket as a whole looks the same from here, until
/// something is sent: a system answers such questions for sockets that somebody still has, and for a while (60 s on Linux)
/// for others.
pub(crate) fn probe(stream: &Stream, every_s: u32) {
    let every = Duration::from_secs(every_s.into());
    let keepalive = TcpKeepalive::new().with_time(every).with_interval(every).with_retries(PROBES_MAX);
    let _ = stream.tcp_options().map(|socket| socket.set_tcp_keepalive(&keepalive));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of either kind that has ports.
    fn any() -> [Bind; 2] {
        let any = "127.0.0.1:0".parse().expect("an address");
        [Bind::Tcp(any), Bind::Udp(any)]
    }

    #[test]
    fn a_taken_port_is_an_error_even_among_friends() {
        for bind in any() {
            let sockets = open(&bind, 2, 0).expect("port 0 is always free");
            let bound = sockets[0].bind().expect("it has an address");
            assert_ne!(bound.addr().expect("it has one").port(), 0);
            let again = open(&bound, 2, 0).expect_err("it is taken");
            assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
            drop(sockets);
            open(&bound, 2, 0).expect("free again");
        }
    }

    #[test]
    fn every_socket_is_read_and_every_shard_has_one() {
        for bind in any() {
            for (sockets, shards, read) in [(1, 3, [1, 1, 1]), (3, 3, [1, 1, 1]), (5, 3, [2, 2, 1])] {
                let sockets = open(&bind, sockets, 0).expect("port 0 is always free");
                let shares = deal(&sockets, shards).expect("files can be opened");
                let counts: Vec<usize> = shares
                    .iter()
                    .map(|share| match share {
                        Share::Tcp(sockets) => sockets.len(),
                        Share::Udp { sockets, .. } => sockets.len(),
                        Share::Unix(sockets) => sockets.len(),
                    })
                    .collect();
                assert_eq!(counts, read);
                let readers =
                    shares.iter().filter(|share| matches!(share, Share::Udp { is_read: true, .. })).count();
                let expected = if matches!(bind, Bind::Udp(_)) { sockets.len().min(shards) } else { 0 };
                assert_eq!(readers, expected, "the datagrams of a socket are read by one shard");
            }
        }
    }
}
