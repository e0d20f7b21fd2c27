//! A stream while tokio drives it.

use super::Stream;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A [`Stream`] while its connection is served beside the shards.
#[derive(Debug)]
pub(crate) enum AsyncStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncStream {
    /// Gives a stream that no shard watches any more to the runtime in which this is called.
    ///
    /// # Errors
    /// When the kernel will not watch it.
    pub(crate) fn new(stream: Stream) -> io::Result<AsyncStream> {
        Ok(match stream {
            Stream::Tcp(stream) => AsyncStream::Tcp(TcpStream::from_std(OwnedFd::from(stream).into())?),
            Stream::Unix(stream) => AsyncStream::Unix(UnixStream::from_std(OwnedFd::from(stream).into())?),
        })
    }

    /// Takes it from the runtime again, for a shard.
    ///
    /// # Errors
    /// When the kernel will not let go of it.
    pub(crate) fn into_stream(self) -> io::Result<Stream> {
        Ok(match self {
            AsyncStream::Tcp(stream) => stream.into_std()?.into(),
            AsyncStream::Unix(stream) => stream.into_std()?.into(),
        })
    }
}

impl AsyncRead for AsyncStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for AsyncStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
