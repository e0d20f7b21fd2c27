//! Channels: the JSON protocol over successive HTTP requests, for those who get nothing else through.
//!
//! A channel is a connection as any other that speaks JSON, but has no socket: what is for it waits in its outbox until
//! somebody asks by a GET, which is a *reader*, and what it says comes as the bodies of POSTs. What a reader has been given
//! is [kept](kept::Kept) until a later one says that it came.

mod ask;
mod body;
mod kept;
mod reader;
mod token;

pub(super) use reader::Reader;

use super::ShardLoop;
use super::connection::{Connection, Form, Input, Link, Phase};
use super::http::{header, values};
use super::scarce;
use crate::access::Credentials;
use crate::beside::origin;
use crate::stats::Kind;
use ask::{Ask, No, Style};
use body::Body;
use kept::Kept;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use token::{Secret, Token};
use trefoil_hub::{ConnectionKey, Ending};
use trefoil_json::{Limits, Request, is_batch, parse, parse_batch};

/// How long the body of a request may take to arrive.
const BODY_S: u64 = 30;

/// Requests of one channel that may wait at one time, each with its own connection: for a password to be looked at, for
/// memory, for the disk, or for a reader.
const POSTS_MAX: usize = 16;

/// How long a channel that has come to its end waits for somebody to fetch the goodbye.
pub(super) const GOODBYE_S: u64 = 10;

/// A connection and its serial.
type Place = (ConnectionKey, u32);

/// What a channel has that other connections have not.
pub(super) struct Channel {
    secret: Secret,
    /// Its first request says what it is called.
    pub(super) is_named: bool,
    /// Where whoever opened it came from.
    pub(super) address: Option<IpAddr>,
    kept: Kept,
    /// Whose GET waits for what comes.
    reader: Option<Place>,
    /// Whose POSTs wait until what they ask can be done, in their order.
    posts: VecDeque<Place>,
}

impl Channel {
    /// Bytes that are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.bytes()
    }
}

/// A request of which more has to come, or which waits its turn.
pub(super) struct Incoming {
    ask: Ask,
    style: Style,
    body: Body,
}

/// The requests of a POST that wait for their channel, or for the shard where that is to be.
pub(super) struct Parked {
    style: Style,
    body: Vec<u8>,
}

/// Somebody who wants a channel, on the way to the shard where it is to be.
pub(crate) struct Opening {
    style: Style,
    /// The first requests, at the beginning of what comes along.
    body_bytes: usize,
}

impl Opening {
    /// The opening that a connection waits to move for, if it does, and what goes along before `input`.
    pub(super) fn of(state: &mut Input, input: Vec<u8>) -> (Option<Opening>, Vec<u8>) {
        match std::mem::replace(state, Input::Ignored) {
            Input::ChannelOpen(parked) => {
                let Parked { style, mut body } = *parked;
                let opening = Opening { style, body_bytes: body.len() };
                body.extend_from_slice(&input);
                (Some(opening), body)
            }
            _ => (None, input),
        }
    }
}

/// The name that the first of some requests gives to whoever asks.
fn name_in(requests: &[u8]) -> Option<String> {
    let first = match is_batch(requests) {
        true => parse_batch(requests, Limits::default()).ok()?.first()?.as_bytes(),
        false => requests,
    };
    match parse(first, Limits::default()) {
        Ok(Request::Hello(hello)) => hello.client.map(Into::into),
        _ => None,
    }
}

impl ShardLoop {
    /// Takes a request whose head is the first `head_bytes` of the input. Returns how much of that is done with, and whether
    /// more can be done.
    pub(super) fn channel_request(
        &mut self,
        key: ConnectionKey,
        request: &httparse::Request<'_, '_>,
        head_bytes: usize,
        input: &[u8],
    ) -> (usize, bool) {
        let (method, target) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
        let headers: &[httparse::Header<'_>] = request.headers;
        let Some(connection) = self.net.get(key) else { return (input.len(), true) };
        let listener = &self.net.context.listeners[usize::from(connection.listener)];
        let (is_served, allowed) = (listener.protocols.http, &listener.allowed_origins);
        let (page, host) = (header(headers, "origin"), header(headers, "host").unwrap_or(""));
        let is_allowed = page.is_none_or(|page| origin::is_allowed(page, host, allowed));
        let style = Style::new(request.version.unwrap_or(0), headers, page.filter(|_| is_allowed));
        let ask = match (is_served, is_allowed) {
            (false, _) => Err(No::not_found("HTTP is not spoken on this listener, only WebSocket")),
            (_, false) => Err(No::foreign()),
            _ => Ask::read(method, target, headers),
        };
        let checked = ask.and_then(|ask| {
            let body = Body::announced(headers, self.net.context.limits.json_bytes_max)?;
            match &ask {
                Ask::Read(_) if !body.is_empty() => Err(No::unwanted_body()),
                Ask::Open if self.net.takes_no_new() => Err(No::overloaded(scarce::WHY)),
                _ => Ok((ask, body)),
            }
        });
        let (ask, body) = match checked {
            Ok(checked) => checked,
            Err(no) => {
                self.channel_refuse(key, style, &no);
                return (input.len(), true);
            }
        };
        match ask.token().map(|token| usize::from(token.shard)) {
            Some(shard) if shard != self.net.number && shard < self.net.context.mailboxes.len() => {
                // All that belongs to a channel is done where it is, so that nothing overtakes anything.
                self.is_leaving = Some(shard);
                return (0, true);
            }
            Some(_) => {}
            None => {
                let credentials = values(headers, "authorization").next().map(Credentials::read);
                // It can still be said in a request.
                if !self.http_authenticate(key, credentials, true) {
                    return (if self.is_waiting(key) { 0 } else { input.len() }, false);
                }
            }
        }
        let rest = &input[head_bytes..];
        let expects = header(headers, "expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue"));
        if expects && rest.is_empty() && !body.is_empty() {
            self.channel_say(key, |out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
        let (used, again) = self.channel_body(key, Box::new(Incoming { ask, style, body }), rest);
        if self.net.get(key).is_some_and(|c| matches!(c.input, Input::ChannelBody(_))) {
            self.set_deadline(key, Some(self.net.now.plus_s(BODY_S)));
        }
        (head_bytes + used, again)
    }

    /// Takes what has come of the body of a request, and answers the request once that is all. Returns how much of the
    /// input is done with, and whether more can be done.
    pub(super) fn channel_body(
        &mut self,
        key: ConnectionKey,
        mut incoming: Box<Incoming>,
        input: &[u8],
    ) -> (usize, bool) {
        let Incoming { ask, style, body } = &mut *incoming;
        match body.take(input) {
            Ok((used, Some(whole))) => {
                self.set_input(key, Kind::Http, Input::Taken);
                self.channel_answer(key, ask.clone(), style.clone(), whole);
                (used, true)
            }
            Ok((used, None)) => {
                self.set_input(key, Kind::Http, Input::ChannelBody(incoming));
                (used, false)
            }
            Err(fault) => {
                self.channel_refuse(key, style.clone(), &fault.into());
                (input.len(), true)
            }
        }
    }

    /// The body of a request is too slow.
    pub(super) fn channel_body_timeout(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        if let Input::ChannelBody(incoming) = std::mem::replace(&mut connection.input, Input::Ignored) {
            self.channel_refuse(key, incoming.style, &No::too_slow());
        }
    }

    fn channel_answer(&mut self, key: ConnectionKey, ask: Ask, style: Style, body: &[u8]) {
        let Some(token) = ask.token() else { return self.channel_open_at_home(key, style, body) };
        let Some(channel) = self.channel_at(token) else {
            return self.channel_refuse(key, style, &No::gone());
        };
        match ask {
            Ask::Open => {}
            Ask::Post(_) => self.channel_post(key, channel, style, body),
            Ask::Close(_) => {
                self.end_session(channel, Ending::Normal { expiry_s: None });
                self.remove(channel);
                self.channel_done(key, &style);
            }
            Ask::Read(read) => self.channel_read(key, channel, style, &read),
        }
    }

    /// The channel that a token names.
    fn channel_at(&self, token: &Token) -> Option<ConnectionKey> {
        let key = ConnectionKey(token.place);
        match &self.net.get(key)?.link {
            Link::Channel(channel) if channel.secret.is(&token.secret) => Some(key),
            _ => None,
        }
    }

    /// Makes a channel where it belongs: who gives itself a name has its session where that says.
    fn channel_open_at_home(&mut self, key: ConnectionKey, style: Style, body: &[u8]) {
        let name = name_in(body);
        let shard = name.as_deref().map_or(self.net.number, |name| self.hub.shared().shard_of(name));
        if shard == self.net.number {
            return self.channel_open(key, style, body, name.is_some());
        }
        let parked = Parked { style, body: body.to_vec() };
        self.set_input(key, Kind::Http, Input::ChannelOpen(Box::new(parked)));
        self.is_leaving = Some(shard);
    }

    /// Somebody has come from another shard for a channel that belongs here. Returns what it has said behind that.
    pub(super) fn channel_arrive(
        &mut self,
        key: ConnectionKey,
        opening: Opening,
        mut input: Vec<u8>,
    ) -> Vec<u8> {
        let behind = input.split_off(opening.body_bytes);
        self.set_input(key, Kind::Http, Input::Taken);
        self.channel_open(key, opening.style, &input, true);
        behind
    }

    /// Makes a channel for whoever asks.
    fn channel_open(&mut self, key: ConnectionKey, style: Style, body: &[u8], is_named: bool) {
        let Some(connection) = self.net.get_mut(key) else { return };
        // The next request on this connection may be somebody else's, where a proxy stands between.
        let user = connection.user.take();
        let listener = usize::from(connection.listener);
        let channels_max = self.net.context.limits.channels_max;
        let is_full = self.net.context.channels.load(Ordering::Relaxed) >= channels_max;
        let Some(secret) = Secret::new() else {
            return self.channel_refuse(key, style, &No::overloaded("the system has no randomness to give"));
        };
        if is_full || !self.admit(listener) {
            self.net.stats().refused.add(1);
            let why = match is_full {
                true => "there are too many channels (limits.channels_max); try again later",
                false => "there are too many connections; try again later",
            };
            return self.channel_refuse(key, style, &No::overloaded(why));
        }
        self.net.context.channels.fetch_add(1, Ordering::Relaxed);
        self.net.stats().accepted.add(1);
        let channel = Channel {
            secret: secret.clone(),
            is_named,
            address: self.address_of(key),
            kept: Kept::default(),
            reader: None,
            posts: VecDeque::new(),
        };
        let made = self.add(Link::Channel(Box::new(channel)), listener);
        if let Some(connection) = self.net.get_mut(made) {
            connection.user = user;
            // There is no reader yet.
            connection.is_blocked = true;
        }
        self.set_input(made, Kind::Poll, Input::Ignored);
        let (poll_s, expires_s) =
            (self.net.context.limits.channel_poll_s, self.net.context.limits.channel_expires_s);
        self.set_silence(made, expires_s.saturating_mul(1000));
        self.json_open(made, Form::JsonLine);
        let shard =
            u16::try_from(self.net.number).expect("there are at most as many shards as bits in a set");
        let token = Token { shard, place: made.0, secret };
        self.channel_say(key, |out| style.opened(&token, poll_s, expires_s, out));
        if !body.trim_ascii().is_empty() {
            self.json_request(made, body);
        }
        self.channel_served(key, &style);
    }

    /// Does what the body of a POST asks, or lets it wait for that.
    fn channel_post(&mut self, key: ConnectionKey, channel: ConnectionKey, style: Style, body: &[u8]) {
        if self.net.get(channel).is_none_or(|c| c.phase != Phase::Open) {
            return self.channel_refuse(key, style, &No::gone());
        }
        let waiting = self.channel_part(channel).map_or(0, |part| part.posts.len());
        if waiting == 0 && self.channel_listens(channel) {
            if !body.trim_ascii().is_empty() {
                self.json_request(channel, body);
            }
            return self.channel_done(key, &style);
        }
        if waiting >= POSTS_MAX {
            let why = "too many requests of this channel wait; send the next one when the last is answered";
            return self.channel_refuse(key, style, &No::overloaded(why));
        }
        self.set_deadline(key, None);
        self.set_input(key, Kind::Http, Input::ChannelPost(Box::new(Parked { style, body: body.to_vec() })));
        let Some(serial) = self.net.get(key).map(|c| c.serial) else { return };
        if let Some(part) = self.channel_part_mut(channel) {
            part.posts.push_back((key, serial));
        }
    }

    /// Whether what a channel says can be listened to now: as on any connection not while a password of it is being looked
    /// at, nor while memory or the disk or its readers are behind.
    fn channel_listens(&mut self, channel: ConnectionKey) -> bool {
        let outbox_bytes_max = self.net.context.limits.outbox_bytes_max;
        let Some(connection) = self.net.get_mut(channel) else { return false };
        if connection.waiting.is_some() {
            return false;
        }
        if connection.waiting().0 > outbox_bytes_max {
            connection.is_held = true;
            return false;
        }
        !self.is_paused(channel)
    }

    /// Goes on with the POSTs that have waited, as far as that goes.
    pub(super) fn channel_go_on(&mut self, channel: ConnectionKey) {
        while self.channel_part(channel).is_some_and(|part| !part.posts.is_empty())
            && self.net.get(channel).is_some_and(|c| c.phase == Phase::Open)
            && self.channel_listens(channel)
        {
            let next = self.channel_part_mut(channel).and_then(|part| part.posts.pop_front());
            let Some((key, parked)) = next.and_then(|place| self.channel_unpark(place)) else { continue };
            if !parked.body.trim_ascii().is_empty() {
                self.json_request(channel, &parked.body);
            }
            self.channel_done(key, &parked.style);
            // The next one may have been read already.
            self.go_on(key);
        }
    }

    /// The POST that waits on a connection, if it still does.
    fn channel_unpark(&mut self, (key, serial): Place) -> Option<(ConnectionKey, Box<Parked>)> {
        let connection = self.net.get_mut(key).filter(|c| c.serial == serial)?;
        match std::mem::replace(&mut connection.input, Input::Taken) {
            Input::ChannelPost(parked) => Some((key, parked)),
            other => {
                connection.input = other;
                None
            }
        }
    }

    /// A channel has ended, and been taken out: whoever still waits for it is told.
    pub(super) fn channel_ended(&mut self, channel: Channel) {
        self.net.context.channels.fetch_sub(1, Ordering::Relaxed);
        if let Some(place) = channel.reader {
            self.channel_dismiss_reader(place);
        }
        for place in channel.posts {
            if let Some((key, parked)) = self.channel_unpark(place) {
                self.channel_refuse(key, parked.style, &No::gone());
            }
        }
    }

    fn channel_part(&self, channel: ConnectionKey) -> Option<&Channel> {
        self.net.get(channel).and_then(Connection::channel)
    }

    fn channel_part_mut(&mut self, channel: ConnectionKey) -> Option<&mut Channel> {
        self.net.get_mut(channel).and_then(Connection::channel_mut)
    }

    /// Appends to what a connection with requests is answered. It waits for no disk: what does has done so in the channel.
    fn channel_say(&mut self, key: ConnectionKey, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.net.connections.get_mut(key.0 as usize) else { return };
        connection.outbox.append(0, &mut self.net.pool, write);
        self.net.mark_dirty(key);
    }

    fn channel_done(&mut self, key: ConnectionKey, style: &Style) {
        self.channel_say(key, |out| style.done(out));
        self.channel_served(key, style);
    }

    fn channel_refuse(&mut self, key: ConnectionKey, style: Style, no: &No) {
        self.net.stats().protocol_errors.add(1);
        // What comes behind it, a body perhaps, is not read.
        let style = style.closing();
        self.channel_say(key, |out| style.refusal(no, out));
        self.finish(key);
    }

    /// A request has been answered: the next one may come.
    fn channel_served(&mut self, key: ConnectionKey, style: &Style) {
        if !style.keeps_alive() {
            return self.finish(key);
        }
        self.set_input(key, Kind::Http, Input::HttpHead);
        let timeout_s = self.net.context.limits.first_bytes_timeout_s;
        self.set_deadline(key, Some(self.net.now.plus_s(timeout_s.into())));
    }
}
