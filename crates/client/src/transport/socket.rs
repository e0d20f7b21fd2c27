//! The socket of a stream.

use super::Place;
use super::tls::Tls;
use crate::address::Address;
use crate::options::Options;
use std::io;
use tokio::io::{AsyncWriteExt, Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
}

impl Socket {
    pub(crate) async fn connect(address: &Address, to: &Place, options: &Options) -> io::Result<Socket> {
        match to {
            Place::Socket(to) => {
                let socket = TcpStream::connect(to).await?;
                // Writes are joined here already. Without the option messages only take longer.
                let _ = socket.set_nodelay(true);
                if address.is_tls {
                    let tls = Tls::connect(socket, &address.host, options).await?;
                    return Ok(Socket::Tls(Box::new(tls)));
                }
                Ok(Socket::Tcp(socket))
            }
            Place::Path(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }

    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Socket::Tcp(socket) => socket.ready(interest).await,
            Socket::Unix(socket) => socket.ready(interest).await,
            Socket::Tls(tls) => tls.ready(interest).await,
        }
    }

    pub(crate) fn try_read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.try_read(room),
            Socket::Unix(socket) => socket.try_read(room),
            Socket::Tls(tls) => tls.try_read(room),
        }
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.try_write(bytes),
            Socket::Unix(socket) => socket.try_write(bytes),
            Socket::Tls(tls) => tls.try_write(bytes),
        }
    }

    /// Whether it has taken bytes that the system has not.
    pub(crate) fn has_unsent(&self) -> bool {
        matches!(self, Socket::Tls(tls) if tls.has_unsent())
    }

    /// Gives the system what it has not taken, as far as it takes it now.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Tls(tls) => tls.flush(),
            Socket::Tcp(_) | Socket::Unix(_) => Ok(()),
        }
    }

    pub(crate) async fn shut_down(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.shutdown().await,
            Socket::Unix(socket) => socket.shutdown().await,
            Socket::Tls(tls) => tls.shut_down().await,
        }
    }
}
