//! Sockets to accept on. MQTT is served on streams, which keep order and lose nothing [MQTT-4.2-1] [v3 MQTT-7.1.1-1].

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use trefoil_config::Bind;

/// Connections that the kernel holds until they are accepted. The kernel has a limit of its own, often 4096.
const BACKLOG: i32 = 4096;

/// Bytes of datagrams that the kernel is asked to hold for each socket until the shard takes them.
const RECEIVE_BYTES: usize = 4 << 20;

/// After this long without a word from a peer the kernel asks whether it is still there: protocols without a
/// keep-alive of their own would never notice a machine that was switched off.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// One listener's socket for each shard: the kernel spreads connections (and UDP peers) among them.
pub(crate) enum Sockets {
    Tcp(Vec<std::net::TcpListener>),
    Udp(Vec<std::net::UdpSocket>),
}

/// Opens a listener for `shards` shards. Returns its address, with the real port where 0 was asked for.
///
/// # Errors
/// When the address is taken, not of this machine, or not allowed.
pub(crate) fn open(bind: Bind, shards: usize) -> io::Result<(Bind, Sockets)> {
    Ok(match bind {
        Bind::Tcp(addr) => {
            let sockets = open_all(addr, Type::STREAM, shards)?;
            for socket in &sockets {
                socket.listen(BACKLOG)?;
            }
            let sockets: Vec<std::net::TcpListener> = sockets.into_iter().map(Into::into).collect();
            (Bind::Tcp(sockets[0].local_addr()?), Sockets::Tcp(sockets))
        }
        Bind::Udp(addr) => {
            let sockets = open_all(addr, Type::DGRAM, shards)?;
            for socket in &sockets {
                // What does not fit is lost, so as much as the kernel gives; less is no error.
                let _ = socket.set_recv_buffer_size(RECEIVE_BYTES);
            }
            let sockets: Vec<std::net::UdpSocket> = sockets.into_iter().map(Into::into).collect();
            (Bind::Udp(sockets[0].local_addr()?), Sockets::Udp(sockets))
        }
    })
}

fn open_all(addr: SocketAddr, kind: Type, shards: usize) -> io::Result<Vec<Socket>> {
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

fn socket(addr: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if kind == Type::STREAM {
        // So that a restart need not wait for connections of the process before to be forgotten.
        socket.set_reuse_address(true)?;
    }
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Settings of an accepted socket. Failing to make them costs comfort only.
pub(crate) fn tune(stream: &mio::net::TcpStream) {
    // Writes are joined here already; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream)
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_error_even_among_friends() {
        let any = "127.0.0.1:0".parse().expect("an address");
        for bind in [Bind::Tcp(any), Bind::Udp(any)] {
            let (bound, sockets) = open(bind, 2).expect("port 0 is always free");
            assert_ne!(bound.addr().port(), 0);
            let again = open(bound, 2).err().expect("it is taken");
            assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
            drop(sockets);
            open(bound, 2).expect("free again");
        }
    }
}
