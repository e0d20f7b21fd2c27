//! Streams: two clients that are joined by a name at the hub, so that what each writes the other reads.
//!
//! One [listens](Listener::bind) on a name and the other [connects](connect) to it; both dial the hub, so that neither has
//! to be reachable. A [`Stream`] is used as a `TcpStream` is: it reads and writes, can be cloned for a second thread, and
//! each direction ends by itself. These calls wait, so they belong on threads and not into an async runtime.
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use trefoil_client::{Options, streams};
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = "tcp://127.0.0.1:1883";
//! let mut listener = streams::Listener::bind(hub, Options::default(), "shed/camera", false)?;
//! std::thread::spawn(move || -> Result<(), trefoil_client::Error> {
//!     let mut caller = streams::connect(hub, &Options::default(), "shed/camera", None)?;
//!     let _ = caller.write_all(b"smile");
//!     Ok(())
//! });
//! let mut stream = listener.next()?.accept()?;
//! let mut text = String::new();
//! stream.read_to_string(&mut text)?;
//! assert_eq!(text, "smile");
//! # Ok(())
//! # }
//! ```

mod dial;
mod listener;
mod tls;

pub use listener::{Call, Listener};

use crate::error::Error;
use crate::options::Options;
use dial::{Dial, Socket};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use trefoil_json::{StreamReply, StreamRequest, WAIT_S_MAX};

/// Who is at the other end, as far as the hub knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Its client id, if it has one.
    pub client: Option<String>,
    /// Who it is, where the hub knows users.
    pub user: Option<String>,
    /// The address from which it reaches the hub.
    pub peer: Option<String>,
}

/// One end of a stream.
///
/// It closes when the last of its clones is dropped. Reading returns 0 when the other end sends no more, and fails with
/// `ConnectionReset` when that went away without having said so.
#[derive(Debug)]
pub struct Stream {
    socket: Arc<Socket>,
    name: Arc<str>,
}

/// Connects to whoever listens on a name. If nobody does, it waits for somebody, at most for `wait` and at most for an hour.
///
/// # Errors
/// As [`Client::connect`](crate::Client::connect), and [`ErrorKind::Refused`](crate::ErrorKind::Refused) with the
/// [code](Error::code) `no_listener`, `refused`, `quota` or `timeout`.
pub fn connect(
    address: &str,
    options: &Options,
    name: &str,
    wait: Option<Duration>,
) -> Result<Stream, Error> {
    let dial = Dial::new(address, options)?;
    dial::check_name(name)?;
    let wait_s = wait.map_or(0, |wait| wait.as_millis().div_ceil(1000).min(WAIT_S_MAX.into()) as u32);
    let mut line = dial.open()?;
    line.say(&StreamRequest::Connect { name: name.into(), wait_s, id: Some(1) })?;
    // The hub answers when its own time for a listener is over, which begins when somebody listens.
    line.be_patient(Duration::from_secs(wait_s.into()) + dial::ACCEPT_PATIENCE)?;
    let what = format!("the stream {name:?}");
    let name = line.expect(&what, |reply| match reply {
        StreamReply::Joined { name, .. } => Some(name.into_owned()),
        _ => None,
    })?;
    line.into_stream(&name)
}

impl Stream {
    /// The name at which both ends met.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Another handle for the same end, for a second thread.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(Stream { socket: self.socket.clone(), name: self.name.clone() })
    }

    /// Ends one or both directions. After [`Shutdown::Write`] the other end reads 0 once it has read all that was written,
    /// and can go on writing.
    ///
    /// # Errors
    /// As [`TcpStream::shutdown`](std::net::TcpStream::shutdown).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// How long a read may wait; `None`: for ever.
    ///
    /// # Errors
    /// When the duration is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }

    /// How long a write may wait; `None`: for ever.
    ///
    /// # Errors
    /// When the duration is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(timeout)
    }
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        (&*self).read(room)
    }
}

impl Read for &Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.socket.read(room)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.socket.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Stream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<trefoil_json::Caller<'_>> for Caller {
    fn from(caller: trefoil_json::Caller<'_>) -> Caller {
        let owned = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
        Caller { client: owned(caller.client), user: owned(caller.user), peer: owned(caller.peer) }
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let peer = self.peer.as_deref().unwrap_or("an unknown address");
        match self.user.as_deref().or(self.client.as_deref()) {
            Some(name) => write!(f, "{name} at {peer}"),
            None => f.write_str(peer),
        }
    }
}
