//! What both ends do once they are joined: carry bytes in two directions at a time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use trefoil_client::streams::Stream;

/// Streams that one end carries at a time; more have to wait for one to end.
pub(crate) const STREAMS_MAX: u64 = 256;
const BUFFER_BYTES: usize = 64 << 10;

/// What an end has carried.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    /// To the local side and from it, in bytes.
    pub(crate) taken: AtomicU64,
    pub(crate) given: AtomicU64,
}

impl Traffic {
    /// How many streams are open now.
    pub(crate) fn open(&self) -> u64 {
        let closed = self.closed.load(Ordering::Relaxed);
        self.opened.load(Ordering::Relaxed).saturating_sub(closed)
    }
}

/// Carries bytes until both directions have ended. Each ends by itself: who has sent all may still be read to.
///
/// # Errors
/// When one side breaks off.
pub(crate) fn join(stream: Stream, local: TcpStream, traffic: &Arc<Traffic>) -> io::Result<()> {
    traffic.opened.fetch_add(1, Ordering::Relaxed);
    let result = carry(stream, local, traffic);
    traffic.closed.fetch_add(1, Ordering::Relaxed);
    result
}

fn carry(stream: Stream, local: TcpStream, traffic: &Arc<Traffic>) -> io::Result<()> {
    local.set_nodelay(true)?;
    let (mut from_stream, mut to_local) = (stream.try_clone()?, local.try_clone()?);
    let counts = traffic.clone();
    let inwards = thread::spawn(move || {
        let copied = copy(&mut from_stream, &mut to_local, &counts.taken);
        // What breaks one direction ends the other, too; what ends it does not.
        let how = if copied.is_ok() { Shutdown::Write } else { Shutdown::Both };
        let _ = to_local.shutdown(how);
        copied
    });
    let (mut from_local, mut to_stream) = (local, stream);
    let outwards = copy(&mut from_local, &mut to_stream, &traffic.given);
    let how = if outwards.is_ok() { Shutdown::Write } else { Shutdown::Both };
    let _ = to_stream.shutdown(how);
    let inwards = inwards.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    outwards.and(inwards)
}

fn copy(from: &mut impl Read, to: &mut impl Write, count: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&buffer[..length])?;
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}
