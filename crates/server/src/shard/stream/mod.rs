//! Streams: connections that are joined by a name, so that from then on the bytes of each go to the other.
//!
//! [`crate::streams`] has the book of who listens and who calls. What is here happens in a shard: the wishes of clients
//! (this file), how two connections come together in one shard ([`join`]), what moves between them ([`relay`]) and how
//! they part ([`ending`]). A WebSocket says what it wants in the path of its handshake ([`websocket`]).

mod ending;
mod join;
mod pipes;
mod relay;
mod websocket;

pub(super) use websocket::Wish;

use super::ShardLoop;
use super::connection::{Connection, Input, Link};
use super::scarce;
use crate::stats::Kind;
use crate::streams::{End, Found, Joined, Letter, Token, Who};
use pipes::{Pipe, Pipes};
use std::sync::Arc;
use trefoil_hub::{ConnectionKey, SessionKey, Time};
use trefoil_json::{Caller, Code, RequestError, StreamReply, StreamRequest};
use trefoil_websocket::Receiver;

/// A connection that waits to be joined with another.
pub(crate) struct Waiting {
    role: Role,
    name: Arc<str>,
    who: Who,
    /// The id of its request.
    ack: Option<u64>,
    is_websocket: bool,
    /// What reads its frames; none for lines, and while it does so.
    receiver: Option<Box<Receiver>>,
    /// What a WebSocket has sent already.
    early: Vec<u8>,
    /// A WebSocket has said already that it sends no more.
    has_ended: bool,
    /// Its time is over, but somebody is on the way to it.
    is_awaited: bool,
}

/// What a connection waits as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Caller {
        waits_until: Time,
    },
    /// It listens for one caller.
    Once {
        is_exclusive: bool,
    },
    Acceptor,
}

/// One of two connections that are joined.
pub(super) struct Half {
    /// The other one, in the same shard; as long as this is here, that is.
    partner: ConnectionKey,
    joined: Arc<Joined>,
    /// 0: it called; 1: it listened.
    side: usize,
    is_websocket: bool,
    /// What reads its frames; none for plain bytes, and while it does so.
    receiver: Option<Box<Receiver>>,
    /// What a WebSocket has sent before it was joined; taken on at once.
    early: Vec<u8>,
    /// The kernel has said that there is something to be read, and not yet that there is no more.
    pub(super) can_read: bool,
    /// The connection is broken, as the kernel says.
    pub(super) is_broken: bool,
    /// What has been read of it and its partner's socket has not taken; none if nothing is in there.
    pipe: Option<Pipe>,
    piped_bytes: usize,
    /// So much comes of it at a time that its partner's system may join what is left of one with the next.
    is_bulk: bool,
    /// It sends no more.
    has_ended: bool,
    /// It has been told that the partner sends no more.
    is_told: bool,
    /// When something was last seen to have moved, and how much had by then; of the caller only.
    moved_at: Time,
    moved_bytes: u64,
}

impl Half {
    /// The other one.
    pub(super) fn partner(&self) -> ConnectionKey {
        self.partner
    }
}

/// What of a shard is for streams only.
#[derive(Default)]
pub(super) struct Own {
    /// Connections, and to whom each is to go.
    moves: Vec<(End, End)>,
    /// Those of them that have something to be sent which waits for the disk.
    held: Vec<(End, End)>,
    letters: Vec<Letter>,
    pipes: Pipes,
}

impl Own {
    /// Whether there is something to go on with.
    pub(super) fn has_work(&self) -> bool {
        !self.moves.is_empty() || !self.letters.is_empty()
    }
}

impl ShardLoop {
    /// Does what a client asks of streams.
    pub(super) fn json_stream(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        request: &StreamRequest<'_>,
    ) -> Result<(), RequestError> {
        let Some(connection) = self.net.get(key) else { return Ok(()) };
        if !matches!(connection.link, Link::Stream(_)) {
            let why = "streams are for connections: TCP, TLS and Unix sockets, and WebSocket";
            return Err(RequestError::new(Code::BadField, why));
        }
        if self.net.takes_no_new() && !matches!(request, StreamRequest::Refuse { .. }) {
            return Err(RequestError::new(Code::Overloaded, scarce::WHY));
        }
        let is_lines = connection.kind == Kind::JsonTcp;
        let becomes_one =
            !matches!(request, StreamRequest::Refuse { .. } | StreamRequest::Listen { once: false, .. });
        if becomes_one && !is_lines {
            let why = "a connection of /ws cannot become a stream; open a WebSocket on /stream/NAME for that";
            return Err(RequestError::new(Code::BadField, why));
        }
        let who = self.stream_who(key, Some(session));
        match request {
            StreamRequest::Connect { name, wait_s, id } => {
                let role = Role::Caller { waits_until: self.net.now.plus_s((*wait_s).into()) };
                self.stream_wait(key, Waiting::new(role, (**name).into(), who, *id))
            }
            StreamRequest::Listen { name, exclusive, once: true, id } => {
                let role = Role::Once { is_exclusive: *exclusive };
                self.stream_wait(key, Waiting::new(role, (**name).into(), who, *id))
            }
            StreamRequest::Listen { name, exclusive, once: false, id } => {
                self.stream_listen(key, &(**name).into(), *exclusive, *id)
            }
            StreamRequest::Accept { token, id } => {
                let (caller, name) = self.stream_accept(token)?;
                let waiting = Waiting::new(Role::Acceptor, name, who, *id);
                self.set_waiting(key, waiting);
                self.streams.moves.push((self.stream_end(key), caller));
                Ok(())
            }
            StreamRequest::Refuse { token, reason, id } => {
                let reason = reason.as_deref().unwrap_or_default();
                let context = self.net.context.clone();
                let was_there = Token::read(token)
                    .is_some_and(|token| context.streams.turn_away(token, reason, &mut self.streams.letters));
                if !was_there {
                    return Err(no_caller());
                }
                let reply = StreamReply::Refused { token: token.as_ref().into(), ack: *id };
                self.json_answer(key, |out| reply.encode(out));
                Ok(())
            }
        }
    }

    /// Takes the caller with a token out of the book.
    fn stream_accept(&self, token: &str) -> Result<(End, Arc<str>), RequestError> {
        let token = Token::read(token).ok_or_else(no_caller)?;
        self.net.context.streams.accept(token).ok_or_else(no_caller)
    }

    fn stream_listen(
        &mut self,
        key: ConnectionKey,
        name: &Arc<str>,
        is_exclusive: bool,
        id: Option<u64>,
    ) -> Result<(), RequestError> {
        self.may_use_stream(key, name)?;
        let (context, end, now) = (self.net.context.clone(), self.stream_end(key), self.net.now);
        let letters = &mut self.streams.letters;
        context.streams.listen(name, end, (is_exclusive, false), now, &context.limits, letters)?;
        if let Some(connection) = self.net.get_mut(key) {
            connection.json_own().is_listening = true;
        }
        let reply = StreamReply::Listening { name: (**name).into(), ack: id };
        self.json_answer(key, |out| reply.encode(out));
        Ok(())
    }

    /// Looks into the book for a connection that is to be joined. It is not read from until that is done, or has failed:
    /// what follows may be the stream's.
    fn stream_wait(&mut self, key: ConnectionKey, waiting: Waiting) -> Result<(), RequestError> {
        let found = match self.stream_ask(key, &waiting) {
            Ok(found) => found,
            Err(error) => {
                if waiting.is_websocket {
                    // It is read until it has said goodbye.
                    self.set_waiting(key, waiting);
                }
                return Err(error);
            }
        };
        if let Role::Once { .. } = waiting.role {
            let reply = StreamReply::Listening { name: (*waiting.name).into(), ack: waiting.ack };
            match waiting.is_websocket {
                true => self.stream_say(key, &reply),
                false => self.json_answer(key, |out| reply.encode(out)),
            }
        }
        // The answer that carries the id of a listener is given, and the next one has none.
        let ack = waiting.ack.filter(|_| !matches!(waiting.role, Role::Once { .. }));
        self.set_waiting(key, Waiting { ack, ..waiting });
        self.stream_found(key, found);
        Ok(())
    }

    fn stream_ask(&mut self, key: ConnectionKey, waiting: &Waiting) -> Result<Found, RequestError> {
        self.may_use_stream(key, &waiting.name)?;
        let (context, end, now) = (self.net.context.clone(), self.stream_end(key), self.net.now);
        let (streams, limits, letters) = (&context.streams, &context.limits, &mut self.streams.letters);
        match waiting.role {
            Role::Caller { waits_until } => {
                let called = (&waiting.name, waiting.who.clone());
                streams.connect(called, end, (now, waits_until), limits, letters)
            }
            Role::Once { is_exclusive } => {
                streams.listen(&waiting.name, end, (is_exclusive, true), now, limits, letters)
            }
            Role::Acceptor => Err(no_caller()),
        }
    }

    fn stream_found(&mut self, key: ConnectionKey, found: Found) {
        match found {
            Found::Join(partner) => {
                self.set_deadline(key, None);
                self.streams.moves.push((self.stream_end(key), partner));
            }
            Found::Waits(until) => self.set_deadline(key, until),
        }
    }

    fn set_waiting(&mut self, key: ConnectionKey, waiting: Waiting) {
        let kind = if waiting.is_websocket { Kind::StreamWebSocket } else { Kind::JsonTcp };
        self.set_input(key, kind, Input::StreamWait(Box::new(waiting)));
    }

    /// How a connection of this shard is called in the book.
    fn stream_end(&self, key: ConnectionKey) -> End {
        let serial = self.net.get(key).map_or(0, |connection| connection.serial);
        End { shard: self.net.number, key, serial }
    }

    /// What the other end is told of a connection.
    fn stream_who(&self, key: ConnectionKey, session: Option<SessionKey>) -> Who {
        let Some(connection) = self.net.get(key) else { return Who::default() };
        let client = session.and_then(|session| self.hub.client_id(session)).map(|id| id.to_string().into());
        let peer = match (connection.proxied().peer(), &connection.link) {
            (Some(client), _) => Some(client.into()),
            (None, Link::Stream(stream)) => stream.peer().map(|peer| peer.to_string().into()),
            _ => None,
        };
        Who { client, user: connection.user.clone(), peer }
    }

    /// Sends what is said of a stream to a WebSocket.
    fn stream_say(&mut self, key: ConnectionKey, reply: &StreamReply<'_>) {
        let mut text = Vec::new();
        reply.encode(&mut text);
        self.net.answer_text(key, &text);
    }

    fn half(&self, key: ConnectionKey) -> Option<&Half> {
        match &self.net.get(key)?.input {
            Input::Stream(half) => Some(half),
            _ => None,
        }
    }

    fn half_mut(&mut self, key: ConnectionKey) -> Option<&mut Half> {
        match &mut self.net.get_mut(key)?.input {
            Input::Stream(half) => Some(half),
            _ => None,
        }
    }

    fn waiting_mut(&mut self, key: ConnectionKey) -> Option<&mut Waiting> {
        match &mut self.net.get_mut(key)?.input {
            Input::StreamWait(waiting) => Some(waiting),
            _ => None,
        }
    }
}

impl Waiting {
    fn new(role: Role, name: Arc<str>, who: Who, ack: Option<u64>) -> Waiting {
        Waiting {
            role,
            name,
            who,
            ack,
            is_websocket: false,
            receiver: None,
            early: Vec::new(),
            has_ended: false,
            is_awaited: false,
        }
    }

    /// What of it waits in the hub.
    pub(super) fn early_bytes(&self) -> usize {
        self.early.capacity()
    }
}

impl Connection {
    /// Whether it waits to be joined with another, and is not read from meanwhile.
    pub(super) fn waits_unread(&self) -> bool {
        matches!(&self.input, Input::StreamWait(waiting) if !waiting.is_websocket)
    }
}

/// Who is at an end, in the words of the protocol.
fn told(who: &Who) -> Caller<'_> {
    let text = |text: &'_ Option<Arc<str>>| text.as_deref().map(|text| text.to_owned().into());
    Caller { client: text(&who.client), user: text(&who.user), peer: text(&who.peer) }
}

fn no_caller() -> RequestError {
    RequestError::new(
        Code::NoCaller,
        "no caller waits with this token: it has been used, or the caller has gone",
    )
}
