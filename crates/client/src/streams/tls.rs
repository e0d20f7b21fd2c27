//! Streams over TLS: a thread that stands between the connection and a pair of sockets, of which the stream has one. So a
//! stream can be cloned, waited for and ended in one direction as any other.

use crate::address::Address;
use crate::options::Options;
use crate::transport::{Place, Socket};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use tokio::io::{AsyncWriteExt, Interest, Ready};
use tokio::net::UnixStream;

/// What is on its way in each direction at most.
const BUFFER_BYTES: usize = 64 << 10;

/// Whether the connection behind a pair of sockets broke.
pub(super) type Broken = Arc<AtomicBool>;

/// Connects, and carries bytes until both directions have ended.
///
/// # Errors
/// When the hub cannot be reached, or its certificate is not to be trusted.
pub(super) fn connect(
    address: &Address,
    to: SocketAddr,
    options: &Options,
) -> io::Result<(std::os::unix::net::UnixStream, Broken)> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    far.set_nonblocking(true)?;
    let broken = Broken::default();
    let (address, options, is_broken) = (address.clone(), options.clone(), broken.clone());
    let (told, result) = mpsc::channel();
    thread::Builder::new().name("stream-tls".into()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(told.send(Err(error))),
        };
        runtime.block_on(async {
            let place = Place::Socket(to);
            let connected =
                tokio::time::timeout(options.timeout, Socket::connect(&address, &place, &options));
            let mut socket = match connected.await {
                Ok(Ok(socket)) => socket,
                Ok(Err(error)) => return drop(told.send(Err(error))),
                Err(_) => return drop(told.send(Err(io::ErrorKind::TimedOut.into()))),
            };
            let mut far = match UnixStream::from_std(far) {
                Ok(far) => far,
                Err(error) => return drop(told.send(Err(error))),
            };
            if told.send(Ok(())).is_ok() && carry(&mut socket, &mut far).await.is_err() {
                // Before the pair is closed, or its end would be taken for the stream's.
                is_broken.store(true, Ordering::Release);
            }
            drop(far);
        });
    })?;
    result.recv().unwrap_or_else(|_| Err(io::Error::other("the thread for TLS is gone")))?;
    Ok((near, broken))
}

/// What is on its way in one direction.
#[derive(Default)]
struct Way {
    bytes: Vec<u8>,
    start: usize,
    has_ended: bool,
    is_told: bool,
}

impl Way {
    fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    fn wants_more(&self) -> bool {
        self.is_empty() && !self.has_ended
    }

    /// Reads once, if there is nothing; whether that changed something.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<bool> {
        if !self.wants_more() {
            return Ok(false);
        }
        self.bytes.resize(BUFFER_BYTES, 0);
        let result = read(&mut self.bytes);
        self.start = 0;
        self.bytes.truncate(*result.as_ref().unwrap_or(&0));
        match result {
            Ok(count) => {
                self.has_ended = count == 0;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes once, if there is something; whether that changed something.
    fn drain(&mut self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(false);
        }
        match write(&self.bytes[self.start..]) {
            Ok(count) => {
                self.start += count;
                Ok(count > 0)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether all has gone and the end of it has yet to be passed on.
    fn is_over(&self) -> bool {
        self.is_empty() && self.has_ended && !self.is_told
    }
}

async fn carry(tls: &mut Socket, near: &mut UnixStream) -> io::Result<()> {
    let (mut up, mut down) = (Way::default(), Way::default());
    loop {
        let mut has_moved = down.fill(|room| tls.try_read(room))?;
        has_moved |= down.drain(|bytes| near.try_write(bytes))?;
        if down.is_over() {
            near.shutdown().await?;
            (down.is_told, has_moved) = (true, true);
        }
        has_moved |= up.fill(|room| near.try_read(room))?;
        has_moved |= up.drain(|bytes| tls.try_write(bytes))?;
        tls.flush()?;
        if up.is_over() && !tls.has_unsent() {
            tls.shut_down().await?;
            (up.is_told, has_moved) = (true, true);
        }
        if up.is_told && down.is_told {
            return Ok(());
        }
        if has_moved {
            continue;
        }
        let near_wants = (up.wants_more(), !down.is_empty());
        let tls_wants = (down.wants_more(), !up.is_empty() || tls.has_unsent());
        tokio::select! {
            ready = wait(near_wants, |interest| near.ready(interest)) => ready?,
            ready = wait(tls_wants, |interest| tls.ready(interest)) => ready?,
        };
    }
}

/// Waits until something can be read or written, whichever is wanted.
async fn wait<F: Future<Output = io::Result<Ready>>>(
    (read, write): (bool, bool),
    ready: impl FnOnce(Interest) -> F,
) -> io::Result<Ready> {
    match (read, write) {
        (true, true) => ready(Interest::READABLE | Interest::WRITABLE).await,
        (true, false) => ready(Interest::READABLE).await,
        (false, true) => ready(Interest::WRITABLE).await,
        (false, false) => std::future::pending().await,
    }
}
