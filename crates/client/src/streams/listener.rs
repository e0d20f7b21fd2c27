//! Whoever listens on a name: told of callers on one connection, joined with each of them on another.

use super::dial::{self, Dial, Line, Socket, is_timeout};
use super::{Caller, Stream};
use crate::error::{Error, shown};
use crate::options::Options;
use crate::transport::in_words;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_json::{Reply, StreamReply, StreamRequest, encode_ping};

/// The hub is asked whether it is there when it has been silent for so long; when it is for as long again, it is gone.
const PING_EVERY: Duration = Duration::from_secs(30);

/// No line of the hub about streams is longer.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Listens on a name.
#[derive(Debug)]
pub struct Listener {
    dial: Arc<Dial>,
    line: Line,
    name: String,
    /// What has been read and is not a whole line.
    partial: Vec<u8>,
    /// Calls that came and nobody has taken.
    calls: VecDeque<(String, Caller)>,
    heard_at: Instant,
    is_pinged: bool,
}

/// Somebody who calls, and waits to be accepted for some seconds (`limits.stream_accept_s` of the hub). Who drops it without
/// either lets the caller wait for nothing.
#[derive(Debug)]
pub struct Call {
    dial: Arc<Dial>,
    /// The connection that was told of the call.
    control: Arc<Socket>,
    name: String,
    token: String,
    from: Caller,
}

impl Listener {
    /// Begins to listen on a name. Several listeners on one name take turns, unless one of them is `exclusive`.
    ///
    /// # Errors
    /// As [`Client::connect`](crate::Client::connect), and [`ErrorKind::Refused`](crate::ErrorKind::Refused) with the
    /// [code](Error::code) `taken` when somebody listens there already and either of the two wants to be alone.
    pub fn bind(address: &str, options: Options, name: &str, exclusive: bool) -> Result<Listener, Error> {
        let dial = Dial::new(address, &options)?;
        dial::check_name(name)?;
        let mut line = dial.open()?;
        line.say(&StreamRequest::Listen { name: name.into(), exclusive, once: false, id: Some(1) })?;
        line.expect(&format!("to listen on {name:?}"), |reply| {
            matches!(reply, StreamReply::Listening { .. }).then_some(())
        })?;
        Ok(Listener {
            dial: Arc::new(dial),
            line,
            name: name.into(),
            partial: Vec::new(),
            calls: VecDeque::new(),
            heard_at: Instant::now(),
            is_pinged: false,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the next call.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) when the connection to the hub ends: then nobody listens any more.
    #[allow(
        clippy::should_implement_trait,
        reason = "it fails for good at the first error, which an iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Call, Error> {
        loop {
            if let Some(call) = self.next_within(PING_EVERY)? {
                return Ok(call);
            }
        }
    }

    /// The same, but waits no longer than `patience`.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Call>, Error> {
        let until = Instant::now() + patience;
        loop {
            if let Some((token, from)) = self.calls.pop_front() {
                let (dial, control, name) = (self.dial.clone(), self.line.socket.clone(), self.name.clone());
                return Ok(Some(Call { dial, control, name, token, from }));
            }
            let now = Instant::now();
            let silent = now.saturating_duration_since(self.heard_at);
            if silent >= 2 * PING_EVERY {
                return Err(self.line.peer.lost("the hub does not answer any more"));
            }
            if silent >= PING_EVERY && !self.is_pinged {
                let mut ping = Vec::new();
                encode_ping("1", &mut ping);
                self.line.send(ping)?;
                self.is_pinged = true;
            }
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                return Ok(None);
            }
            let next_look = if self.is_pinged { 2 * PING_EVERY } else { PING_EVERY };
            self.read(left.min(next_look - silent.min(next_look)).max(Duration::from_millis(1)))?;
        }
    }

    /// Reads what comes within a time.
    fn read(&mut self, patience: Duration) -> Result<(), Error> {
        self.line.be_patient(patience)?;
        let mut room = [0; 4096];
        match self.line.socket.read(&mut room) {
            Ok(0) => return Err(self.line.peer.lost("the hub closed it")),
            Ok(count) => {
                (self.heard_at, self.is_pinged) = (Instant::now(), false);
                self.partial.extend_from_slice(&room[..count]);
            }
            Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(self.line.peer.lost(in_words(&error))),
        }
        while let Some(end) = self.partial.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.take(&line)?;
        }
        if self.partial.len() > LINE_BYTES_MAX {
            return Err(self.line.peer.stranger(format!("it said \"{}\"", shown(&self.partial))));
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Error> {
        match self.line.parse(line)? {
            Reply::Stream(StreamReply::Call { token, from, .. }) => {
                self.calls.push_back((token.into_owned(), from.into()));
                Ok(())
            }
            // A caller may go away while it is refused. All else that is said of no request ends the connection.
            Reply::Error(refusal) if refusal.id == Some(REFUSE_ID) => Ok(()),
            Reply::Error(refusal) => Err(self.line.peer.lost(shown(refusal.reason.as_bytes()))),
            _ => Ok(()),
        }
    }
}

/// The id of what refuses callers.
const REFUSE_ID: u64 = 2;

impl Call {
    /// Who calls.
    pub fn from(&self) -> &Caller {
        &self.from
    }

    /// The name that was called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Accepts: a connection of its own becomes the stream.
    ///
    /// # Errors
    /// As [`connect`](super::connect); with the [code](Error::code) `no_caller` when the caller has gone meanwhile.
    pub fn accept(self) -> Result<Stream, Error> {
        let mut line = match self.dial.open() {
            Ok(line) => line,
            Err(error) => {
                // The caller need not wait until its time is over. If that cannot be said either, the hub tells it.
                let _ = self.refuse("who listens cannot connect to the hub once more for this call");
                return Err(error);
            }
        };
        line.say(&StreamRequest::Accept { token: self.token.as_str().into(), id: Some(1) })?;
        line.expect("the caller", |reply| matches!(reply, StreamReply::Joined { .. }).then_some(()))?;
        line.into_stream(&self.name)
    }

    /// Refuses the caller, who is told the reason.
    ///
    /// # Errors
    /// When the connection to the hub has broken.
    pub fn refuse(self, reason: &str) -> Result<(), Error> {
        let end = reason.floor_char_boundary(trefoil_json::REASON_BYTES_MAX);
        let (token, reason) = (self.token.as_str().into(), Some(reason[..end].into()));
        let mut text = Vec::new();
        StreamRequest::Refuse { token, reason, id: Some(REFUSE_ID) }.encode(&mut text);
        text.push(b'\n');
        self.control.write_all(&text).map_err(|error| self.dial.peer.lost(in_words(&error)))
    }
}
