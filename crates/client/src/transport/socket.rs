//! The socket of a stream.

use super::Place;
use std::io;
use tokio::io::{AsyncWriteExt, Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) async fn connect(to: &Place) -> io::Result<Socket> {
        match to {
            Place::Socket(to) => {
                let socket = TcpStream::connect(to).await?;
                // Writes are joined here already. Without the option messages only take longer.
                let _ = socket.set_nodelay(true);
                Ok(Socket::Tcp(socket))
            }
            Place::Path(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }

    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Socket::Tcp(socket) => socket.ready(interest).await,
            Socket::Unix(socket) => socket.ready(interest).await,
        }
    }

    pub(super) fn try_read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.try_read(room),
            Socket::Unix(socket) => socket.try_read(room),
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.try_write(bytes),
            Socket::Unix(socket) => socket.try_write(bytes),
        }
    }

    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.shutdown().await,
            Socket::Unix(socket) => socket.shutdown().await,
        }
    }
}
