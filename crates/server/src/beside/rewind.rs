//! A socket with bytes that were read from it before.

use crate::context::Context;
use crate::stream::AsyncStream;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket that first gives the bytes that were read from it before, and counts what it moves.
pub(super) struct Rewind {
    input: Bytes,
    stream: AsyncStream,
    context: Arc<Context>,
    flow: Arc<Flow>,
}

/// What whoever drives a connection has to know of its socket, while hyper owns that.
#[derive(Default)]
pub(super) struct Flow {
    /// Something was read or written since this was last cleared.
    moved: AtomicBool,
    /// hyper has bytes that the socket would not take. It flushes only when it has none.
    unwritten: AtomicBool,
}

impl Flow {
    /// Whether anything was read or written since the last call.
    pub(super) fn take_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }

    /// Whether responses wait until the socket takes more.
    pub(super) fn is_unwritten(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed)
    }
}

impl Rewind {
    pub(super) fn new(input: Vec<u8>, stream: AsyncStream, context: Arc<Context>, flow: Arc<Flow>) -> Rewind {
        Rewind { input: input.into(), stream, context, flow }
    }

    /// What nobody has read yet, and the socket.
    pub(super) fn into_parts(self) -> (Bytes, AsyncStream) {
        (self.input, self.stream)
    }

    /// Notes what came of a write.
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.flow.unwritten.store(true, Ordering::Relaxed);
        if let Poll::Ready(Ok(n)) = written {
            self.flow.moved.store(true, Ordering::Relaxed);
            self.context.stats_beside().bytes_out.shared_add(n as i64);
        }
        written
    }
}

impl AsyncRead for Rewind {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.input.is_empty() {
            let n = self.input.len().min(buf.remaining());
            buf.put_slice(&self.input[..n]);
            self.input.advance(n);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let n = buf.filled().len() - before;
        if n > 0 {
            self.flow.moved.store(true, Ordering::Relaxed);
            self.context.stats_beside().bytes_in.shared_add(n as i64);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewind {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        self.flow.unwritten.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::beside::testing::Bench;
    use crate::beside::tests::hub::pair;
    use std::io::{Read, Write};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_was_read_before_comes_first_and_is_not_counted_again() {
        let (bench, (mut client, server)) = (Bench::new(), pair());
        let flow = Arc::new(Flow::default());
        let stream = AsyncStream::new(server.into()).unwrap();
        let mut io = Rewind::new(b"before ".to_vec(), stream, bench.context.clone(), flow.clone());
        client.write_all(b"after").unwrap();
        let mut all = [0; 12];
        io.read_exact(&mut all[..3]).await.unwrap();
        assert!(!flow.take_moved());
        io.read_exact(&mut all[3..]).await.unwrap();
        assert_eq!(&all, b"before after");
        assert!(flow.take_moved());
        assert_eq!(bench.context.stats_beside().bytes_in.get(), 5);
        assert!(io.into_parts().0.is_empty());
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_is_known() {
        let (bench, (mut client, server)) = (Bench::new(), pair());
        let flow = Arc::new(Flow::default());
        let stream = AsyncStream::new(server.into()).unwrap();
        let mut io = Rewind::new(Vec::new(), stream, bench.context.clone(), flow.clone());
        let too_much = vec![7; 64 << 20];
        let written = async {
            io.write_all(&too_much).await.unwrap();
            io.flush().await.unwrap();
        };
        tokio::pin!(written);
        tokio::time::timeout(std::time::Duration::from_millis(50), &mut written).await.unwrap_err();
        assert!(flow.is_unwritten());
        let reader = std::thread::spawn(move || client.read_exact(&mut vec![0; 64 << 20]).unwrap());
        written.await;
        assert!(!flow.is_unwritten());
        reader.join().unwrap();
        assert_eq!(bench.context.stats_beside().bytes_out.get(), 64 << 20);
    }
}
