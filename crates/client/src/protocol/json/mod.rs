//! The JSON protocol from the client's side.

mod incoming;
mod outgoing;

use crate::address::{Address, Transport};
use crate::command::Delivery;
use crate::error::{Error, Peer, shown};
use crate::options::Options;
use crate::units::Units;
use incoming::Incoming;
use outgoing::Outgoing;
use tokio::time::Instant;
use trefoil_json::{Code, Refusal, Reply, parse_reply};

/// What asks for a sign of life.
const ALIVE: &str = "\"alive\"";

/// What is answered after everything that was sent before it.
const END: &str = "\"end\"";

/// One conversation in JSON.
#[derive(Debug)]
pub(crate) struct Json {
    peer: Peer,
    /// Whether the hub has answered at all.
    has_heard: bool,
    outgoing: Outgoing,
    incoming: Incoming,
    /// What went wrong with a request that nobody waits for. The one who closes the client hears of it.
    unheard: Option<Error>,
}

impl Json {
    /// `is_lossy`: what is sent may not arrive, and is sent again unless it is answered.
    pub(crate) fn new(options: &Options, is_lossy: bool, unit_bytes_max: usize, peer: &Peer) -> Json {
        Json {
            peer: peer.clone(),
            has_heard: false,
            outgoing: Outgoing::new(options.in_flight_max, is_lossy, unit_bytes_max),
            incoming: Incoming::default(),
            unheard: None,
        }
    }

    pub(crate) fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// Says who the client is, if the handshake of a WebSocket has not said it already.
    pub(crate) fn greet(&mut self, address: &Address, options: &Options, out: &mut Units) {
        match options.text_credentials(address) {
            Ok(Some((user, password))) if address.transport != Transport::WebSocket => {
                out.add(|out| trefoil_json::encode_auth(user, password, None, out));
            }
            _ => self.ping(out),
        }
    }

    pub(crate) fn ping(&mut self, out: &mut Units) {
        out.add(|out| trefoil_json::encode_ping(ALIVE, out));
    }

    /// Takes one text of the hub.
    pub(crate) fn handle_text(&mut self, text: &[u8], out: &mut Units) -> Result<Option<Delivery>, Error> {
        let reply = parse_reply(text)
            .map_err(|error| self.peer.stranger(format!("{} (it said \"{}\")", error.reason, shown(text))))?;
        match reply {
            Reply::Message(message) => return Ok(self.incoming.take_in(message, out)),
            Reply::Ack(id) => self.outgoing.published(id),
            Reply::Sub { qos, ack, .. } => self.outgoing.subscribed(ack, qos.first().copied().unwrap_or(0)),
            Reply::Unsub { ack, .. } => self.outgoing.unsubscribed(ack),
            Reply::Pong(END) => self.outgoing.ended(),
            Reply::Ping(value) => out.add(|out| trefoil_json::encode_pong(value, out)),
            Reply::Answer(answer) => self.outgoing.answered(answer),
            // It says no hello, and asks for neither histories nor streams.
            Reply::Pong(_)
            | Reply::Auth { .. }
            | Reply::Gap { .. }
            | Reply::Hello { .. }
            | Reply::Help { .. }
            | Reply::Presence { .. }
            | Reply::Room { .. }
            | Reply::Join { .. }
            | Reply::Leave { .. }
            | Reply::Stream(_) => {}
            Reply::Error(refusal) => self.refused(&refusal)?,
        }
        self.has_heard = true;
        Ok(None)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.outgoing.is_settled()
    }

    pub(crate) fn begin_end(&mut self, now: Instant, out: &mut Units) {
        self.outgoing.ask_for_end(now, out);
    }

    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.unheard.take().map_or(Ok(()), Err)
    }

    pub(crate) fn fail(&mut self, error: &Error) {
        self.outgoing.fail(error);
    }

    fn refused(&mut self, refusal: &Refusal<'_>) -> Result<(), Error> {
        let reason = shown(refusal.reason.as_bytes());
        if !self.has_heard {
            return Err(self.peer.refused("the connection", reason));
        }
        match refusal.id {
            Some(id) => {
                let is_over = refusal.known_code() == Some(Code::Timeout);
                self.outgoing.refused(id, &reason, is_over, &self.peer);
            }
            None => {
                self.unheard.get_or_insert_with(|| self.peer.refused("a message", reason));
            }
        }
        Ok(())
    }
}
