//! Streams over TLS: a thread that stands between the connection and a pair of sockets, of which the stream has one. So a
//! stream can be cloned, waited for and ended in one direction as any other.

use crate::address::Address;
use crate::options::Options;
use crate::transport::{Place, Socket};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest, Ready};
use tokio::net::UnixStream;

/// What is on its way in each direction at most.
const BUFFER_BYTES: usize = 64 << 10;

/// How long whoever lets go of a stream waits for the hub to take what was written.
const LINGER: Duration = Duration::from_secs(10);

/// What is behind a pair of sockets. Letting go of the last one waits until all that was written has gone, since the process
/// may end then, and its threads with it.
#[derive(Debug)]
pub(super) struct Bridge {
    is_broken: Arc<AtomicBool>,
    has_gone: Mutex<mpsc::Receiver<()>>,
}

impl Bridge {
    /// Whether the connection broke.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // The thread says so, or has ended.
        let _ = self.has_gone.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(LINGER);
    }
}

/// Connects, and carries bytes until both directions have ended.
///
/// # Errors
/// When the hub cannot be reached, or its certificate is not to be trusted.
pub(super) fn connect(
    address: &Address,
    to: SocketAddr,
    options: &Options,
) -> io::Result<(std::os::unix::net::UnixStream, Arc<Bridge>)> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    far.set_nonblocking(true)?;
    let (gone, has_gone) = mpsc::channel();
    let bridge = Bridge { is_broken: Arc::default(), has_gone: Mutex::new(has_gone) };
    let (address, options, is_broken) = (address.clone(), options.clone(), bridge.is_broken.clone());
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
            if told.send(Ok(())).is_ok() && carry(&mut socket, &mut far, &gone).await.is_err() {
                // Before the pair is closed, or its end would be taken for the stream's.
                is_broken.store(true, Ordering::Release);
            }
            drop(far);
        });
    })?;
    result.recv().unwrap_or_else(|_| Err(io::Error::other("the thread for TLS is gone")))?;
    Ok((near, Arc::new(bridge)))
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

async fn carry(tls: &mut Socket, near: &mut UnixStream, gone: &mpsc::Sender<()>) -> io::Result<()> {
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
            // Nobody may wait for it yet.
            let _ = gone.send(());
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
