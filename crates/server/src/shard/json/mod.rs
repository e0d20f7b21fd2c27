//! The JSON protocol on a connection: text frames, lines and datagrams.

pub(super) mod answered;
pub(super) mod ask;
mod auth;
mod batch;
mod heartbeat;
mod hello;
pub(super) mod help;
pub(crate) mod led;
pub(super) mod own;
pub(super) mod pace;
mod publish;
mod room;
mod stay;
mod subscribe;
pub(super) mod write;

use super::ShardLoop;
use super::connection::{Form, Input, Link};
use super::scarce;
use crate::access::kept::CLIENT_ID_IS_BANNED;
use crate::stats::Kind;
use help::Word;
use stay::Wish;
use trefoil_hub::{Connect, Connected, ConnectionKey, Ending, Language, QoS, SessionKey};
use trefoil_json::{Code, Limits, Request, RequestError, is_batch};
use trefoil_websocket::{CloseCode, Receiver};

impl ShardLoop {
    pub(super) fn begin_json_lines(&mut self, key: ConnectionKey) {
        self.set_input(key, Kind::JsonTcp, Input::JsonLines);
        if self.net.takes_no_new() {
            self.net.stats().refused.add(1);
            self.json_answer(key, |out| RequestError::new(Code::Overloaded, scarce::WHY).encode(out));
            return self.close(key);
        }
        self.json_open(key, Form::JsonLine);
    }

    /// Begins to speak JSON: with a session, unless the client has yet to say who it is.
    pub(super) fn json_open(&mut self, key: ConnectionKey, form: Form) {
        if let Some(connection) = self.net.get_mut(key) {
            connection.form = form;
        }
        if self.is_unknown(key) {
            // There is no more time for that than for anything else at the beginning.
            let timeout_s = self.net.context.limits.first_bytes_timeout_s;
            self.set_deadline(key, Some(self.net.now.plus_s(timeout_s.into())));
        } else {
            self.json_begin(key);
        }
    }

    /// Gives a connection a session of its own, which ends with it.
    fn json_begin(&mut self, key: ConnectionKey) {
        if let Some(connected) = self.json_connect(key, None) {
            self.resume(key, connected.session);
        }
    }

    /// Gives a connection the session that it wishes for; without a wish, one that ends with it.
    fn json_connect(&mut self, key: ConnectionKey, wish: Option<&Wish>) -> Option<Connected> {
        self.finish_run();
        self.set_deadline(key, None);
        let connection = self.net.get_mut(key)?;
        let user = connection.user.clone();
        let noted = connection.json.as_mut().and_then(|own| own.client.take());
        let client_id = noted.map_or_else(|| self.assign_client_id(self.json_kind(key)), Into::into);
        if self.net.context.bans.refuses_client_id(&client_id) {
            self.json_banned(key, None, CLIENT_ID_IS_BANNED);
            return None;
        }
        self.sn_before_takeover(&client_id);
        let connect = Connect {
            user_name: user.as_deref(),
            language: Some(Language::Json),
            identity: user.clone(),
            slow_reader: self.slow_reader(key),
            // What is kept for a client that is away is no place in a history.
            follows: wish.is_none(),
            clean_start: wish.is_none_or(|wish| !wish.resumes),
            expiry_s: wish.map_or(0, |wish| wish.session_s),
            token: wish.map(|wish| wish.token),
            kind: self.client_kind(key),
            tag: self.connection_tag(key),
            info: self.json_info(key),
            ..Connect::new(&client_id, key)
        };
        let connected = self.hub.connect(self.net.now, connect, &mut self.net);
        if let Some(old) = connected.displaced {
            self.displace(old);
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.session = Some(connected.session);
        }
        Some(connected)
    }

    /// What the names of connections begin with that have none of their own.
    fn json_kind(&self, key: ConnectionKey) -> &'static str {
        match self.net.get(key).map(|connection| connection.kind) {
            Some(Kind::JsonUdp) => "udp",
            Some(Kind::JsonWebSocket) => "ws",
            Some(Kind::Poll | Kind::Sse) => "poll",
            _ => "tcp",
        }
    }

    /// Takes a connection in that has moved here for its name, with the batch of requests that begins with it.
    pub(super) fn json_arrive(
        &mut self,
        key: ConnectionKey,
        receiver: Option<Box<Receiver>>,
        requests: &[u8],
    ) {
        let (kind, form, input) = match receiver {
            Some(receiver) => (Kind::JsonWebSocket, Form::JsonText, Input::JsonWebSocket(receiver)),
            None => (Kind::JsonTcp, Form::JsonLine, Input::JsonLines),
        };
        self.set_input(key, kind, Input::Taken);
        if let Some(connection) = self.net.get_mut(key) {
            connection.form = form;
        }
        self.json_batch(key, requests);
        self.put_back(key, input);
    }

    /// Takes the whole lines in `input`; returns how much of it they were.
    pub(super) fn json_lines(&mut self, key: ConnectionKey, input: &[u8]) -> usize {
        let json_bytes_max = self.net.context.limits.json_bytes_max;
        let mut consumed = 0;
        while self.is_leaving.is_none()
            && self.net.get(key).is_some_and(|c| matches!(c.input, Input::Taken) && c.waiting.is_none())
        {
            if consumed > 0 && self.pauses_within(key) {
                return consumed;
            }
            let rest = &input[consumed..];
            let end = memchr::memchr(b'\n', rest);
            if end.unwrap_or(rest.len()) > json_bytes_max {
                let why = format!("a line is longer than {json_bytes_max} bytes (limits.json_bytes_max)");
                self.json_error(key, &RequestError::new(Code::TooLarge, why));
                self.close(key);
                return input.len();
            }
            let Some(end) = end else { return consumed };
            consumed += end + 1;
            self.json_line(key, &rest[..end]);
        }
        let goes_on = self.is_waiting(key)
            || self.is_leaving.is_some()
            || self.net.get(key).is_some_and(|connection| connection.waits_unread());
        if goes_on { consumed } else { input.len() }
    }

    fn json_line(&mut self, key: ConnectionKey, line: &[u8]) {
        match Word::read(line) {
            Some(word) => self.json_word(key, word),
            None if line.trim_ascii().is_empty() => {}
            None => self.json_request(key, line),
        }
    }

    /// The peer sends no more lines. If it listens, it goes on listening; but whoever has a session that outlasts the
    /// connection has gone, and will come back.
    pub(super) fn end_json_lines(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        let last = std::mem::take(&mut connection.rest);
        self.json_line(key, &last);
        if self.is_leaving.is_some() {
            return self.leave_json(key, None, Vec::new());
        }
        let Some(connection) = self.net.get_mut(key).filter(|c| c.waiting.is_none()) else { return };
        let is_kept = connection.json.as_ref().is_some_and(|own| own.stay.is_some());
        if !is_kept && connection.session.is_some_and(|session| self.hub.has_subscriptions(session)) {
            connection.input = Input::Ignored;
            return self.probe(key);
        }
        self.end_session(key, Ending::Normal { expiry_s: None });
        self.finish(key);
    }

    /// Asks the system of a peer that has closed its side, now and then, whether it still listens.
    pub(in crate::shard) fn probe(&self, key: ConnectionKey) {
        if let Some(Link::Stream(stream)) = self.net.get(key).map(|connection| &connection.link) {
            crate::listener::probe(stream, self.net.context.limits.half_closed_probe_s);
        }
    }

    /// Takes one request, or a batch of them.
    pub(super) fn json_request(&mut self, key: ConnectionKey, text: &[u8]) {
        if is_batch(text) {
            return self.json_batch(key, text);
        }
        self.json_one(key, text);
        if self.is_leaving.is_some() {
            // It says hello again where it comes to.
            let text = String::from_utf8_lossy(text);
            self.json_put_off(key, &[&*text]);
        }
    }

    fn json_one(&mut self, key: ConnectionKey, text: &[u8]) {
        match trefoil_json::parse(text, Limits::default()) {
            Ok(request) => self.json_do(key, &request),
            Err(error) => {
                let error = self.json_with_hint(key, error);
                self.json_refuse(key, &error);
            }
        }
    }

    /// Takes one request whose payload stands behind it.
    pub(super) fn json_binary(&mut self, key: ConnectionKey, frame: &[u8]) {
        match trefoil_json::parse_binary(frame, Limits::default()) {
            Ok(request) => self.json_do(key, &request),
            Err(error) => self.json_refuse(key, &error),
        }
    }

    /// Refuses what cannot be read.
    fn json_refuse(&mut self, key: ConnectionKey, error: &RequestError) {
        self.json_error(key, error);
        // Who does not send JSON at all speaks another protocol; who errs in a field is only told.
        if error.code == Code::BadJson {
            self.close_json(key);
        }
    }

    /// Does what a request asks for.
    pub(super) fn json_do(&mut self, key: ConnectionKey, request: &Request<'_>) {
        self.begin_event();
        let before = match request {
            Request::Auth { user, password, id } => self.json_auth(key, user, password, *id),
            Request::Hello(hello) => self.json_hello(key, hello),
            Request::Help { operation, id } => {
                self.json_help(key, operation.as_deref(), *id);
                return;
            }
            // That it came is all that it is for.
            Request::Pong(_) => return,
            _ if self.is_unknown(key) => Err(unknown()),
            _ => return self.json_do_known(key, request),
        };
        if let Err(error) = before {
            self.json_error(key, &error.id(id_of(request)));
        }
    }

    /// Does what may be done by those only of whom it is known who they are.
    fn json_do_known(&mut self, key: ConnectionKey, request: &Request<'_>) {
        let Some(connection) = self.net.get_mut(key) else { return };
        connection.has_asked |= !matches!(request, Request::Ping(_) | Request::Ack(_));
        let Some(session) = connection.session else { return };
        self.net.stats().packets_in.add(1);
        let done = match request {
            Request::Auth { .. } | Request::Hello(_) | Request::Help { .. } | Request::Pong(_) => Ok(()),
            Request::Publish(publish) => self.json_publish(key, session, publish),
            Request::Ask(ask) => self.json_ask(key, session, ask),
            Request::Subscribe(subscribe) => {
                self.json_take_turn(key).and_then(|()| self.json_subscribe(key, session, subscribe))
            }
            Request::Unsubscribe { filters, id, many } => {
                self.json_take_turn(key).and_then(|()| self.json_unsubscribe(session, filters)).map(|()| {
                    self.json_answer(key, |out| trefoil_json::encode_unsubscribed(filters, *id, *many, out));
                })
            }
            Request::Stream(stream) => self.json_stream(key, session, stream),
            Request::Presence { topic, id } => self.json_presence(session, topic, *id),
            Request::Room { room, id } => self.json_room(key, room, *id),
            Request::Ping(raw) => {
                self.json_answer(key, |out| trefoil_json::encode_pong(raw, out));
                Ok(())
            }
            Request::Ack(id) => {
                self.json_acknowledge(key, session, *id);
                Ok(())
            }
        };
        if let Err(error) = done {
            self.json_error(key, &error.id(id_of(request)));
        }
    }

    fn json_acknowledge(&mut self, key: ConnectionKey, session: SessionKey, id: u64) {
        // An id that is not waited for may be that of a resend which crossed its acknowledgement.
        let Ok(packet_id) = u16::try_from(id) else { return };
        if let Some(Link::Udp(peer)) = self.net.get_mut(key).map(|c| &mut c.link) {
            peer.unacknowledged.retain(|u| u.packet_id != packet_id);
        }
        self.finish_run();
        self.hub.acknowledge(self.net.now, session, packet_id, QoS::AtLeastOnce, &mut self.net);
    }

    pub(super) fn json_error(&mut self, key: ConnectionKey, error: &RequestError) {
        self.net.stats().protocol_errors.add(1);
        self.json_answer(key, |out| error.encode(out));
    }

    /// Sends a text in whatever stands around it here.
    pub(super) fn json_answer(&mut self, key: ConnectionKey, write: impl FnOnce(&mut Vec<u8>)) {
        self.settle();
        self.net.put_json(key, write);
    }

    fn close_json(&mut self, key: ConnectionKey) {
        match self.net.get(key).map(|c| &c.link) {
            // There is nothing to close; the next datagram, or request, may be better.
            Some(Link::Udp(_) | Link::Channel(_)) | None => {}
            Some(_) => {
                self.say_close(key, CloseCode::INVALID_PAYLOAD, "a message is not JSON");
                self.close(key);
            }
        }
    }
}

/// What somebody is told who has yet to say who it is.
pub(super) fn unknown() -> RequestError {
    let why = "say who you are first: {\"auth\":{\"user\":…,\"password\":…}}";
    RequestError::new(Code::NotAuthorized, why)
}

pub(super) fn id_of(request: &Request<'_>) -> Option<u64> {
    match request {
        Request::Publish(publish) => publish.id,
        Request::Ask(ask) => Some(ask.id),
        Request::Hello(hello) => hello.id,
        Request::Subscribe(subscribe) => subscribe.id,
        Request::Stream(stream) => stream.id(),
        Request::Unsubscribe { id, .. }
        | Request::Auth { id, .. }
        | Request::Presence { id, .. }
        | Request::Room { id, .. }
        | Request::Help { id, .. } => *id,
        Request::Ping(_) | Request::Pong(_) | Request::Ack(_) => None,
    }
}

/// How a connection is called towards its client and others: by its shard, and its number there.
pub(super) fn connection_name(shard: usize, serial: u32) -> String {
    format!("{shard}-{serial:x}")
}
