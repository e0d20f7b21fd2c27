//! Stream sockets: what a shard reads from and writes to, whatever carries it.
//!
//! A [`Stream`] is one value wherever it is. It moves from shard to shard as it is, deregistered on the way, and becomes an
//! [`AsyncStream`] while its connection is served beside the shards.

mod asynchronous;
mod session;
mod tls;

pub(crate) use asynchronous::AsyncStream;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustls::ServerConfig;
use socket2::SockRef;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use tls::Tls;

/// A connected stream socket, nonblocking.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
}

impl Stream {
    /// The same with TLS on it. `first` is what has been read already.
    ///
    /// # Errors
    /// When the configuration makes no connection.
    pub(crate) fn with_tls(self, config: Arc<ServerConfig>, first: &[u8]) -> io::Result<Stream> {
        Ok(Stream::Tls(Box::new(Tls::new(self, config, first)?)))
    }

    /// A stream on another descriptor of a socket that has come from elsewhere; it is made nonblocking, for all who have it.
    ///
    /// # Errors
    /// When it is no stream socket that is connected, or the process may open no more files.
    pub(crate) fn of_socket(socket: BorrowedFd<'_>) -> io::Result<Stream> {
        let at = SockRef::from(&socket);
        at.set_nonblocking(true)?;
        let is_unix = at.local_addr()?.is_unix();
        let socket = socket.try_clone_to_owned()?;
        Ok(match is_unix {
            true => Stream::Unix(UnixStream::from_std(socket.into())),
            false => Stream::Tcp(TcpStream::from_std(socket.into())),
        })
    }

    /// The socket, for another process to go on with; none if that would miss what is not in the socket.
    pub(crate) fn into_socket(self) -> Option<OwnedFd> {
        Some(match self {
            Stream::Tcp(stream) => stream.into(),
            Stream::Unix(stream) => stream.into(),
            Stream::Tls(_) => return None,
        })
    }

    /// Whether [`into_socket`](Self::into_socket) gives one.
    pub(crate) fn is_plain(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => true,
            Stream::Tls(_) => false,
        }
    }

    /// Where the peer is; none for one on this machine that has no address.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().ok(),
            Stream::Unix(_) => None,
            Stream::Tls(tls) => tls.below.peer(),
        }
    }

    /// The TCP socket below, to set its options.
    pub(crate) fn tcp_options(&self) -> Option<SockRef<'_>> {
        match self {
            Stream::Tcp(stream) => Some(SockRef::from(stream)),
            Stream::Unix(_) => None,
            Stream::Tls(tls) => tls.below.tcp_options(),
        }
    }

    /// Whether bytes can be written: with TLS once its handshake is over.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Stream::Tls(tls) => tls.session.is_open(),
            Stream::Tcp(_) | Stream::Unix(_) => true,
        }
    }

    /// Whether a read gives something, or the end, though the socket itself may have nothing.
    pub(crate) fn has_more(&self) -> bool {
        matches!(self, Stream::Tls(tls) if tls.session.has_opened())
    }

    /// Whether it has taken bytes that the socket has not; [`flush`](Write::flush) tries again, which has to be done when the
    /// socket says that it takes more.
    pub(crate) fn has_unsent(&self) -> bool {
        matches!(self, Stream::Tls(tls) if tls.session.has_sealed())
    }

    /// Says that nothing more will be written.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(tls) => tls.shutdown_write(),
        }
    }
}

impl From<std::net::TcpStream> for Stream {
    fn from(stream: std::net::TcpStream) -> Stream {
        Stream::Tcp(TcpStream::from_std(stream))
    }
}

impl From<std::os::unix::net::UnixStream> for Stream {
    fn from(stream: std::os::unix::net::UnixStream) -> Stream {
        Stream::Unix(UnixStream::from_std(stream))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tls(tls) => tls.below.as_fd(),
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
            Stream::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buf),
            Stream::Unix(stream) => stream.write(buf),
            Stream::Tls(tls) => tls.write_vectored(&[IoSlice::new(buf)]),
        }
    }

    #[inline]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(bufs),
            Stream::Unix(stream) => stream.write_vectored(bufs),
            Stream::Tls(tls) => tls.write_vectored(bufs),
        }
    }

    /// Writes what it has taken and the socket has not, as far as the socket takes it now.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tls(tls) => tls.flush(),
            Stream::Tcp(_) | Stream::Unix(_) => Ok(()),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.register(registry, token, interests),
            Stream::Unix(stream) => stream.register(registry, token, interests),
            Stream::Tls(tls) => tls.below.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.reregister(registry, token, interests),
            Stream::Unix(stream) => stream.reregister(registry, token, interests),
            Stream::Tls(tls) => tls.below.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.deregister(registry),
            Stream::Unix(stream) => stream.deregister(registry),
            Stream::Tls(tls) => tls.below.deregister(registry),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_from_elsewhere_is_known_for_what_it_is() {
        let (_here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = Stream::of_socket(there.as_fd()).unwrap();
        assert!(matches!(stream, Stream::Unix(_)) && stream.peer().is_none());
        assert!(stream.tcp_options().is_none());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let mut stream = Stream::of_socket(server.as_fd()).unwrap();
        assert_eq!(stream.peer(), Some(client.local_addr().unwrap()));
        let waits = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(waits.kind(), io::ErrorKind::WouldBlock);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Stream::of_socket(file.as_fd()).is_err());
    }
}
