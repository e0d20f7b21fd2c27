//! Reading, and what is done with the bytes: each protocol takes what it can, and the rest is kept until more has come.

use super::connection::{Input, Link, Phase};
use super::{SCRATCH_BYTES, ShardLoop};
use crate::certificates::ListenerTls;
use crate::detect::{Detected, Refused, begins_tls, detect};
use crate::stats::Kind;
use rustls::ServerConfig;
use std::io::{self, Read};
use std::sync::Arc;
use trefoil_hub::ConnectionKey;

/// What is left of an incomplete packet is put in front of the next read if it is no longer than this; a longer one is
/// read on where it is.
const REST_BYTES_COPIED: usize = SCRATCH_BYTES / 4;

/// What a read adds to a long rest.
const REST_BYTES_READ: usize = SCRATCH_BYTES / 2;

/// A read of so many bytes proves an MQTT client alive in the middle of a packet; fewer prove nothing until the packet is
/// complete, which is what a keep-alive asks for.
const HEARD_BYTES_MIN: usize = 1024;

/// The same from who may send only so many frames in a second.
const THROTTLED_BYTES_READ: usize = 4096;

/// What a peer may go on sending after it has been said goodbye to, so that it finds time to read that.
const DISCARDED_BYTES_MAX: usize = 1 << 20;

impl ShardLoop {
    /// Reads once from each connection that may have something.
    pub(super) fn read_all(&mut self) {
        if self.reads_nothing() {
            return;
        }
        let (outbox_bytes_max, is_frozen) = (self.net.context.limits.outbox_bytes_max, self.is_frozen());
        for key in std::mem::take(&mut self.readable) {
            let Some(connection) = self.net.get_mut(key) else { continue };
            connection.is_readable = false;
            if connection.is_udp() || is_frozen && connection.phase == Phase::Open {
                continue;
            }
            if let Input::Stream(_) = connection.input {
                self.stream_go_on(key);
                continue;
            }
            if connection.waits_unread() && connection.is_half_closed {
                self.probe(key);
            }
            let Some(connection) = self.net.get(key) else { continue };
            if connection.waiting.is_some()
                || connection.waits_unread()
                || matches!(connection.input, Input::ChannelPost(_))
            {
                // Whoever only closed its own side still wants the answer.
                if connection.is_gone {
                    self.lose(key);
                }
                continue;
            }
            if matches!(&connection.input, Input::Framed(framed) if framed.resume_at().is_some()) {
                // It has sent as much as it may, and is read from when its time has come.
                continue;
            }
            if connection.waiting().0 > outbox_bytes_max {
                // Who does not read what it is sent is not read from: see `after_flush`.
                self.net.connections[key.0 as usize].is_held = true;
                continue;
            }
            self.watch_memory();
            if self.is_far_ahead() {
                // What was read before has to be posted first.
                self.note_readable(key);
                continue;
            }
            if self.is_paused(key) {
                continue;
            }
            match self.net.get(key).map(|connection| &connection.link) {
                Some(Link::Channel(_)) => self.channel_go_on(key),
                _ => self.read(key),
            }
        }
    }

    pub(super) fn note_readable(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.is_readable, true) {
            self.readable.push(key);
        }
    }

    pub(super) fn read(&mut self, key: ConnectionKey) {
        let now = self.net.now;
        let Some(connection) = self.net.get_mut(key) else { return };
        let mut rest = std::mem::take(&mut connection.rest);
        let kept = rest.len();
        let in_place = kept > REST_BYTES_COPIED;
        let mut scratch = std::mem::take(&mut self.scratch);
        let room = if in_place {
            rest.resize(kept + REST_BYTES_READ, 0);
            &mut rest[kept..]
        } else {
            scratch[..kept].copy_from_slice(&rest);
            &mut scratch[kept..]
        };
        let room = match &connection.input {
            // What it has to wait with is to be in the kernel.
            Input::Framed(framed) if framed.is_throttled() => {
                let least = room.len().min(THROTTLED_BYTES_READ);
                &mut room[..least]
            }
            _ => room,
        };
        let wanted = room.len();
        let Link::Stream(stream) = &mut connection.link else { return };
        let has_more = std::mem::take(&mut connection.has_more);
        let result = if has_more { Err(io::ErrorKind::Interrupted.into()) } else { stream.read(room) };
        let got = *result.as_ref().unwrap_or(&0);
        let again = match result {
            Ok(0) => {
                rest.truncate(kept);
                connection.rest = rest;
                self.scratch = scratch;
                return self.peer_closed(key);
            }
            Ok(_) => {
                connection.alive_at = now;
                let speaks_mqtt = matches!(connection.kind, Kind::Mqtt | Kind::MqttWebSocket);
                if !speaks_mqtt || got >= HEARD_BYTES_MIN {
                    connection.heard_at = now;
                }
                // A short read means that there is no more, unless the end is near and has to be seen.
                got == wanted || connection.is_half_closed || stream.has_more()
            }
            // It is for the next tick, too, where what is here already comes first.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    self.net.stats().protocol_errors.add(1);
                    tracing::debug!(%error, "a TLS connection ends");
                }
                self.scratch = scratch;
                return self.lose(key);
            }
        };
        // What TLS has answered by itself and the socket did not take.
        connection.is_blocked |= stream.has_unsent();
        if connection.phase != Phase::Open {
            connection.discarded_bytes += got;
            if connection.discarded_bytes > DISCARDED_BYTES_MAX {
                self.scratch = scratch;
                return self.lose(key);
            }
        }
        self.net.stats().bytes_in.add(got as u64);
        let journal_bytes = self.hub.journal_bytes();
        if in_place {
            rest.truncate(kept + got);
            let consumed = self.feed(key, &mut rest);
            rest.drain(..consumed);
        } else {
            let consumed = self.feed(key, &mut scratch[..kept + got]);
            rest.clear();
            rest.extend_from_slice(&scratch[consumed..kept + got]);
        }
        self.scratch = scratch;
        let has_written = self.hub.journal_bytes() > journal_bytes;
        if let Some(connection) = self.net.get_mut(key) {
            // An idle connection owns no buffer.
            connection.rest = if rest.is_empty() { Vec::new() } else { rest };
            connection.needs_disk |= has_written;
            if again {
                self.note_readable(key);
            }
        }
    }

    /// Gives input to whatever the connection speaks. Returns how much of it is done with.
    pub(super) fn feed(&mut self, key: ConnectionKey, input: &mut [u8]) -> usize {
        let mut consumed = 0;
        loop {
            let Some(connection) = self.net.get_mut(key) else { return input.len() };
            let rest = &mut input[consumed..];
            let state = std::mem::replace(&mut connection.input, Input::Taken);
            let (used, again) = match state {
                Input::ProxyHeader => self.proxy_header(key, rest),
                Input::First => self.decide(key, rest),
                Input::HttpHead => self.http_head(key, rest),
                Input::Mqtt(mut state) => {
                    let used = self.mqtt(key, &mut state, rest);
                    (used, self.put_back(key, Input::Mqtt(state)))
                }
                Input::MqttWebSocket(mut receiver, mut state) => {
                    let used = self.mqtt_frames(key, &mut receiver, &mut state, rest);
                    if self.is_leaving.is_some() {
                        self.leave(key, Some((receiver, state)), rest[used..].to_vec());
                        return input.len();
                    }
                    (used, self.put_back(key, Input::MqttWebSocket(receiver, state)))
                }
                Input::JsonLines => {
                    let used = self.json_lines(key, rest);
                    if self.is_leaving.is_some() {
                        self.leave_json(key, None, rest[used..].to_vec());
                        return input.len();
                    }
                    (used, self.put_back(key, Input::JsonLines))
                }
                Input::JsonWebSocket(mut receiver) => {
                    let used = self.json_frames(key, &mut receiver, rest);
                    if self.is_leaving.is_some() {
                        self.leave_json(key, Some(receiver), rest[used..].to_vec());
                        return input.len();
                    }
                    (used, self.put_back(key, Input::JsonWebSocket(receiver)))
                }
                Input::Framed(mut framed) => {
                    let used = self.framed(key, &mut framed, rest);
                    if self.is_leaving.is_some() {
                        self.leave_framed(key, framed, rest[used..].to_vec());
                        return input.len();
                    }
                    let is_timed = framed.next_at().is_some();
                    let again = self.put_back(key, Input::Framed(framed));
                    if is_timed {
                        self.set_timer(key);
                    }
                    (used, again)
                }
                Input::Echo(mut receiver) => {
                    let used = self.echo_frames(key, &mut receiver, rest);
                    (used, self.put_back(key, Input::Echo(receiver)))
                }
                state @ (Input::StreamWait(_) | Input::Stream(_)) => {
                    self.put_back(key, state);
                    (self.stream_input(key, rest), false)
                }
                Input::ChannelBody(incoming) => self.channel_body(key, incoming, rest),
                Input::ChannelReader(reader) => self.channel_interrupt(key, reader, rest),
                state @ (Input::ChannelPost(_) | Input::ChannelOpen(_)) => (0, self.put_back(key, state)),
                Input::Goodbye(mut receiver) => {
                    let used = self.goodbye_frames(key, &mut receiver, rest);
                    (used, self.put_back(key, Input::Goodbye(receiver)))
                }
                state @ (Input::Ignored | Input::JsonDatagrams | Input::Taken) => {
                    self.put_back(key, state);
                    return input.len();
                }
            };
            consumed += used;
            if self.is_leaving.is_some() {
                self.leave(key, None, input[consumed..].to_vec());
                return input.len();
            }
            if !again {
                return consumed;
            }
        }
    }

    /// Gives the connection its input state back, unless it has got another one meanwhile; then there is more to do.
    pub(super) fn put_back(&mut self, key: ConnectionKey, state: Input) -> bool {
        let Some(connection) = self.net.get_mut(key) else { return true };
        if matches!(connection.input, Input::Taken) {
            connection.input = state;
            return false;
        }
        true
    }

    /// Looks at the first bytes. Returns how much of them is done with, and whether they said what the connection speaks.
    fn decide(&mut self, key: ConnectionKey, input: &[u8]) -> (usize, bool) {
        let Some(connection) = self.net.get(key) else { return (0, true) };
        let number = usize::from(connection.listener);
        let listener = &self.net.context.listeners[number];
        let tls = listener.tls.as_ref().filter(|_| !connection.is_tls());
        let is_open = matches!(&connection.link, Link::Stream(stream) if stream.is_open());
        let detected = match tls {
            Some(_) if input.is_empty() => Ok(None),
            Some(tls) if tls.is_required && !begins_tls(input) => Err(Refused::Plain),
            // There it is never a choice.
            Some(_) if listener.framed.is_some() => Err(Refused::Tls),
            _ if listener.framed.is_some() && !is_open => Ok(None),
            // Whoever has connected is there, without having said anything.
            _ if listener.framed.is_some() => {
                self.framed_begin(key, number, input);
                return (0, true);
            }
            _ => detect(input, listener.protocols),
        };
        match detected {
            Ok(None) => {
                self.put_back(key, Input::First);
                return (0, false);
            }
            Err(Refused::Tls) if tls.is_some() => {
                let config = tls.map(ListenerTls::config);
                self.begin_tls(key, config, input);
                return (input.len(), false);
            }
            Ok(Some(Detected::Mqtt)) => self.set_input(key, Kind::Mqtt, Input::Mqtt(Box::default())),
            Ok(Some(Detected::Http)) => self.set_input(key, Kind::New, Input::HttpHead),
            Ok(Some(Detected::Json)) => self.begin_json_lines(key),
            Err(refused) => {
                self.net.stats().protocol_errors.add(1);
                let line = format!("{refused}\r\n");
                self.net.answer(key, |out| out.extend_from_slice(line.as_bytes()));
                self.close(key);
            }
        }
        (0, true)
    }

    /// Goes on inside of TLS, whose first bytes have been read. The first bytes within will decide then.
    fn begin_tls(&mut self, key: ConnectionKey, config: Option<Arc<ServerConfig>>, first: &[u8]) {
        self.put_back(key, Input::First);
        let place = key.0 as usize;
        let (Some(config), Some(mut connection)) = (config, self.net.connections.try_remove(place)) else {
            return;
        };
        let Link::Stream(stream) = connection.link else { unreachable!("only streams are read from") };
        match stream.with_tls(config, first) {
            Ok(stream) => {
                connection.link = Link::Stream(stream);
                let again = self.net.connections.insert(connection);
                debug_assert_eq!(again, place, "the place that was left last is taken first");
                self.note_readable(key);
            }
            Err(error) => {
                tracing::error!(%error, "TLS cannot be spoken");
                self.net.stats().connections[connection.kind as usize].add(1u64.wrapping_neg());
                self.dismiss(usize::from(connection.listener));
            }
        }
    }

    pub(super) fn set_input(&mut self, key: ConnectionKey, kind: Kind, input: Input) {
        let Some(connection) = self.net.connections.get_mut(key.0 as usize) else { return };
        connection.input = input;
        let figures = &self.net.context.stats[self.net.number].connections;
        figures[connection.kind as usize].add(1u64.wrapping_neg());
        figures[kind as usize].add(1);
        connection.kind = kind;
    }

    /// The peer has sent all that it will. What is in its outbox still goes out where the protocol knows half-closed
    /// connections: `echo '{"pub":…}' | nc` closes its side at once and still wants its answer.
    fn peer_closed(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        match (connection.kind, connection.phase) {
            (_, Phase::Lingering) => self.remove(key),
            // Both sides of it may well be closed: it was told of the other end's.
            (Kind::Stream, Phase::Open) => self.stream_ended(key),
            _ if connection.is_gone => self.lose(key),
            (_, Phase::Closing)
                if matches!(connection.input, Input::Goodbye(_)) && connection.has_sent_all() =>
            {
                // It went without its close frame.
                self.remove(key);
            }
            (_, Phase::Closing) => {}
            (Kind::JsonTcp, Phase::Open) => self.end_json_lines(key),
            (Kind::FramedTcp, Phase::Open) => self.framed_peer_closed(key),
            // Answers that only wait for the disk are owed to it as much as those that have gone out.
            _ if connection.held.is_some() => self.close(key),
            // As is whoever has asked for something, has been answered, and asks for nothing more.
            (Kind::Http, Phase::Open) if !connection.outbox.is_empty() => self.finish(key),
            _ => self.lose(key),
        }
    }
}
