//! A stream while tokio drives it.

use super::Stream;
use super::session::Session;
use super::tls::Tls;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A [`Stream`] while its connection is served beside the shards.
#[derive(Debug)]
pub(crate) enum AsyncStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<AsyncTls>),
}

/// A socket with TLS on it.
pub(crate) struct AsyncTls {
    below: AsyncStream,
    session: Session,
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
            Stream::Tls(tls) => {
                let Tls { below, session, .. } = *tls;
                AsyncStream::Tls(Box::new(AsyncTls { below: AsyncStream::new(below)?, session }))
            }
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
            AsyncStream::Tls(tls) => {
                let AsyncTls { below, session } = *tls;
                Stream::Tls(Box::new(Tls { below: below.into_stream()?, session, is_ending: false }))
            }
        })
    }
}

impl AsyncRead for AsyncStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            AsyncStream::Tls(tls) => tls.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for AsyncStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            AsyncStream::Tls(tls) => tls.poll_write(cx, &[IoSlice::new(buf)]),
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
            AsyncStream::Tls(tls) => tls.poll_write(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            AsyncStream::Tls(tls) => tls.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            AsyncStream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            AsyncStream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            AsyncStream::Tls(tls) => tls.poll_shutdown(cx),
        }
    }
}

impl AsyncTls {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut socket = Polled { stream: &mut self.below, cx };
        let result = self.session.read(&mut socket, buf.initialize_unfilled());
        as_poll(cx, result).map_ok(|count| buf.advance(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut socket = Polled { stream: &mut self.below, cx };
        let result = self.session.write(&mut socket, bufs);
        as_poll(cx, result)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.flush(&mut Polled { stream: &mut self.below, cx })?;
        match self.session.has_sealed() {
            // The socket has said that it takes no more for now.
            true => Poll::Pending,
            false => Pin::new(&mut self.below).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.close();
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.below).poll_shutdown(cx)
    }
}

impl fmt::Debug for AsyncTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncTls").field("below", &self.below).finish_non_exhaustive()
    }
}

/// A socket while a task looks at it: what would wait wakes the task later.
struct Polled<'a, 'b, 'c> {
    stream: &'a mut AsyncStream,
    cx: &'b mut Context<'c>,
}

impl Read for Polled<'_, '_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut buf) {
            Poll::Ready(result) => result.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Polled<'_, '_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.stream).poll_write(self.cx, buf) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn as_poll<T>(cx: &mut Context<'_>, result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        result => Poll::Ready(result),
    }
}
