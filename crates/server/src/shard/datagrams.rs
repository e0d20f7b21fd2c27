//! Datagrams that come in, and those of JSON: each peer is a connection as long as it is heard from.

use super::ShardLoop;
use super::accept::Listener;
use super::connection::{Form, Input, Link, Peer};
use super::json::help::{Word, datagram_of_json, datagram_of_text};
use super::json::{id_of, unknown};
use super::ways::{Led, Place, Way};
use crate::stats::Kind;
use crate::udp::Inbox;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use trefoil_hub::ConnectionKey;
use trefoil_json::{Code, Limits, Request, RequestError, is_batch, parse_batch};
use trefoil_room::is_room;

/// How often in one tick datagrams are taken from one socket, a batch each time.
const BATCHES_PER_TICK: usize = 8;

impl ShardLoop {
    pub(super) fn receive_datagrams(&mut self, number: usize) {
        if self.reads_nothing() || self.stop_at.is_some() || self.is_parting() {
            // They wait in the kernel, which drops what it cannot hold.
            self.retry_at = Some(self.net.now.plus_ms(super::RETRY_MS));
            return;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        for socket in 0..self.listeners[number].readable().len() {
            if !self.receive_from(number, socket, &mut inbox) {
                self.retry_at = Some(self.net.now);
            }
        }
        self.inbox = inbox;
    }

    /// Takes datagrams from one socket. Returns whether it is empty now.
    fn receive_from(&mut self, number: usize, socket: usize, inbox: &mut Inbox) -> bool {
        let listener = &self.net.context.listeners[number];
        let (is_v4, protocols) = (listener.bind.addr().is_some_and(|at| at.is_ipv4()), listener.protocols);
        for _ in 0..BATCHES_PER_TICK {
            let Some(socket) = self.listeners[number].readable().get(socket) else { return true };
            let is_empty = inbox.receive(socket, is_v4);
            for (from, datagram) in inbox.iter() {
                self.net.stats().bytes_in.add(datagram.len() as u64);
                match self.listeners[number] {
                    Listener::MqttSn(_) => self.sn_receive(number, from, datagram),
                    Listener::Framed(_) => self.framed_receive(number, from, datagram),
                    _ if protocols.rooms && (!protocols.json || is_room(datagram)) => {
                        self.room_receive(number, from, datagram);
                    }
                    _ => self.receive_datagram(number, from, datagram),
                }
            }
            if is_empty {
                return true;
            }
        }
        false
    }

    /// Takes a datagram from the socket: the client of its address may be in another shard.
    fn receive_datagram(&mut self, number: usize, from: SocketAddr, datagram: &[u8]) {
        match self.place(number, from) {
            Some(Place::There { shard, serial }) => {
                let way = Way { shard: self.net.number as u16, serial };
                self.lead(shard, Led { listener: number, from, way, user: None, datagram: datagram.into() });
            }
            None if self.net.context.bans.refuses_address(from.ip()) || self.is_own(number, from) => {}
            _ => self.take_datagram(number, from, datagram, None),
        }
    }

    /// Whether an address is the listener's own, which somebody has written on a datagram: some answers are requests in turn, and
    /// the hub would go on answering itself.
    fn is_own(&self, number: usize, from: SocketAddr) -> bool {
        let Some(own) = self.net.context.listeners[number].bind.addr() else { return false };
        // At every address of this machine it is whatever can be bound here.
        let is_here = || UdpSocket::bind((from.ip(), 0)).is_ok();
        from.port() == own.port() && (from.ip() == own.ip() || own.ip().is_unspecified() && is_here())
    }

    /// Deals with a datagram here. `led`: how it has come here, and whose it is, if the client of its address has moved.
    pub(super) fn take_datagram(
        &mut self,
        number: usize,
        from: SocketAddr,
        datagram: &[u8],
        led: Option<(Way, Option<Arc<str>>)>,
    ) {
        let Some(socket) = self.listeners[number].udp() else { return };
        let known = match self.place(number, from) {
            Some(Place::Here(key)) => Some(key),
            _ => None,
        };
        if datagram.len() > self.net.context.limits.json_bytes_max {
            return answer(
                socket,
                from,
                &RequestError::new(Code::TooLarge, "the datagram is larger than limits.json_bytes_max"),
            );
        }
        let is_proven = known.is_some_and(|key| self.is_proven(key));
        let datagram = match Word::read(datagram) {
            Some(Word::Help(name)) => {
                return send(socket, from, &datagram_of_text(name, datagram.len(), is_proven));
            }
            // A line of help, as it is pasted at netcat.
            Some(Word::Pasted(request)) => request,
            Some(Word::Remark) => return,
            _ => datagram,
        };
        let texts = match is_batch(datagram) {
            true => parse_batch(datagram, Limits::default()).map(|_| None),
            false => trefoil_json::parse(datagram, Limits::default()).map(Some),
        };
        let request = match texts {
            Ok(request) => request,
            // Nobody gets a session for what cannot be read.
            Err(error) => {
                self.net.stats().protocol_errors.add(1);
                if !is_error(datagram) {
                    answer(socket, from, &error);
                }
                return;
            }
        };
        if let Some(Request::Help { operation, id }) = &request {
            return send(
                socket,
                from,
                &datagram_of_json(operation.as_deref(), *id, datagram.len(), is_proven),
            );
        }
        let key = match known {
            Some(key) => key,
            // Nor for what may not be done without a name.
            None if self.needs_name(number)
                && led.as_ref().is_none_or(|(_, user)| user.is_none())
                && !starts_with_auth(request.as_ref(), datagram) =>
            {
                self.net.stats().protocol_errors.add(1);
                answer(socket, from, &unknown().id(request.as_ref().and_then(id_of)));
                return self.end_way(number, from, led.map(|(way, _)| way));
            }
            None if self.admit(number) => self.add_peer(number, from, led.clone()),
            None => {
                self.net.stats().refused.add(1);
                let Some(socket) = self.listeners[number].udp() else { return };
                answer(socket, from, &RequestError::new(Code::Overloaded, "there are too many connections"));
                return self.end_way(number, from, led.map(|(way, _)| way));
            }
        };
        let now = self.net.now;
        if let Some(connection) = self.net.get_mut(key) {
            connection.heard_at = now;
            if let (Link::Udp(peer), Some((way, _))) = (&mut connection.link, led) {
                peer.way = Some(way);
            }
        }
        match request {
            Some(request) => self.json_do(key, &request),
            None => self.json_batch(key, datagram),
        }
        if self.is_leaving.is_some() {
            self.json_lead_away(key, datagram);
        }
    }

    /// Whether nobody may use a listener without saying who it is.
    pub(super) fn needs_name(&self, listener: usize) -> bool {
        self.access().is_some() && !self.net.context.listeners[listener].allow_anonymous
    }

    fn add_peer(
        &mut self,
        number: usize,
        addr: SocketAddr,
        led: Option<(Way, Option<Arc<str>>)>,
    ) -> ConnectionKey {
        let mut peer = Peer::new(addr);
        let (way, user) = led.unzip();
        peer.way = way;
        let key = self.add(Link::Udp(peer), number);
        self.set_place(number, addr, Place::Here(key));
        self.net.stats().accepted.add(1);
        if let Some(connection) = self.net.get_mut(key) {
            connection.user = user.flatten();
        }
        self.set_input(key, Kind::JsonUdp, Input::JsonDatagrams);
        self.json_open(key, Form::JsonDatagram);
        self.set_silence(key, self.net.context.limits.udp_idle_s.saturating_mul(1000));
        key
    }

    fn is_proven(&self, key: ConnectionKey) -> bool {
        let peer = self.net.get(key).map(|connection| &connection.link);
        matches!(peer, Some(Link::Udp(peer)) if peer.is_proven)
    }
}

/// Whether the first thing that somebody says is who it is.
fn starts_with_auth(request: Option<&Request<'_>>, datagram: &[u8]) -> bool {
    let is_auth = |request: &Request<'_>| matches!(request, Request::Auth { .. });
    match request {
        Some(request) => is_auth(request),
        None => parse_batch(datagram, Limits::default()).is_ok_and(|texts| {
            let first = texts.first().map(|text| trefoil_json::parse(text.as_bytes(), Limits::default()));
            first.is_some_and(|request| request.as_ref().is_ok_and(is_auth))
        }),
    }
}

/// Whether a datagram is the error of a hub: this one, if somebody has written its own address on a datagram, or another one. Two
/// that answered each other's errors would never come to an end.
fn is_error(datagram: &[u8]) -> bool {
    datagram.trim_ascii_start().starts_with(b"{\"error\":")
}

/// Sends an error to a peer that has no connection. It is no longer than a few times what came, and carries nothing of
/// anybody else's.
fn answer(socket: &mio::net::UdpSocket, to: SocketAddr, error: &RequestError) {
    let mut text = Vec::new();
    error.encode(&mut text);
    send(socket, to, &text);
}

fn send(socket: &mio::net::UdpSocket, to: SocketAddr, text: &[u8]) {
    // As any datagram it may be lost.
    let _ = socket.send_to(text, to);
}
