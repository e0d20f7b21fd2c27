//! How two connections part.
//!
//! A stream ends well when both ends have said that they send no more and both know that of each other. All else is a
//! stream that breaks: what is left of the other end is reset, so that nobody takes a part for the whole.

use super::{Half, Waiting};
use crate::shard::ShardLoop;
use crate::shard::connection::{Connection, Input, Link};
use crate::streams::End;
use std::time::Duration;
use trefoil_hub::ConnectionKey;
use trefoil_websocket::{CloseCode, Receiver};

/// What a WebSocket is told when its partner breaks off.
const GONE: (u16, &str) = (4410, "the other end broke off");

impl ShardLoop {
    /// Ends a stream of which both ends have ended and know it.
    pub(super) fn stream_end_if_over(&mut self, key: ConnectionKey) {
        let is_over = |half: &Half| half.has_ended && half.is_told;
        let Some(half) = self.half(key).filter(|half| is_over(half)) else { return };
        let partner = half.partner;
        if !self.half(partner).is_some_and(is_over) {
            return;
        }
        for end in [key, partner] {
            let Some(half) = self.stream_take_half(end) else { continue };
            if end == key {
                self.net.context.streams.part(&half.joined);
            }
            let is_plain = |link: &Link| matches!(link, Link::Stream(stream) if stream.is_plain());
            let is_out = self.net.get(end).is_some_and(|connection| is_plain(&connection.link));
            // What TLS says at the end may have to wait for its socket.
            match is_out && !half.is_websocket {
                true => self.remove(end),
                false => self.stream_finish(end),
            }
        }
    }

    /// One of two connections is broken: the other is reset.
    pub(super) fn stream_break(&mut self, key: ConnectionKey) {
        let Some(half) = self.stream_take_half(key) else { return };
        self.stream_reset(key, &half, GONE);
        self.stream_bereave(&half, GONE);
    }

    /// Nothing has moved for too long.
    pub(super) fn stream_end_idle(&mut self, key: ConnectionKey) {
        const IDLE: (u16, &str) = (4408, "nothing has moved for limits.stream_idle_s");
        let Some(half) = self.stream_take_half(key) else { return };
        self.net.context.streams.idle.shared_add(1);
        self.stream_reset(key, &half, IDLE);
        self.stream_bereave(&half, IDLE);
    }

    /// A WebSocket has said goodbye. If it has sent all that it wanted, its partner gets that, and then the end.
    pub(in crate::shard) fn stream_websocket_closed(&mut self, key: ConnectionKey, code: Option<CloseCode>) {
        let Some(half) = self.stream_take_half(key) else { return };
        if code.is_none_or(|code| code == CloseCode::NORMAL) {
            self.net.context.streams.part(&half.joined);
            if self.stream_take_half(half.partner).is_some() {
                self.stream_finish(half.partner);
            }
        } else {
            self.stream_bereave(&half, GONE);
        }
    }

    /// A connection is about to be closed for reasons of its own, or waits for nothing any more. Returns whether it is gone
    /// already.
    pub(in crate::shard) fn stream_forget(&mut self, key: ConnectionKey) -> bool {
        let Some(connection) = self.net.get_mut(key) else { return true };
        let listens = connection.json.as_mut().is_some_and(|own| std::mem::take(&mut own.is_listening));
        if listens || matches!(connection.input, Input::StreamWait(_)) {
            self.stream_leave_book(key);
        }
        let Some(half) = self.stream_take_half(key) else { return false };
        self.stream_bereave(&half, GONE);
        if !half.is_websocket {
            self.stream_reset(key, &half, GONE);
        }
        !half.is_websocket
    }

    /// A connection is not there any more.
    pub(in crate::shard) fn stream_gone(&mut self, key: ConnectionKey, connection: &mut Connection) {
        if connection.is_draining {
            self.net.context.streams.broken.shared_add(1);
            reset_when_closed(&connection.link);
        }
        let listens = connection.json.as_ref().is_some_and(|own| own.is_listening);
        match std::mem::replace(&mut connection.input, Input::Ignored) {
            Input::Stream(mut half) => {
                if let Some(pipe) = half.pipe.take() {
                    self.streams.pipes.give_back(pipe, half.piped_bytes);
                }
                self.stream_bereave(&half, GONE);
            }
            Input::StreamWait(_) => self.stream_leave_ended(key, connection.serial),
            other => {
                connection.input = other;
                if listens {
                    self.stream_leave_ended(key, connection.serial);
                }
            }
        }
    }

    /// Closes a connection whose partner has ended well. What that has sent goes out first, however slowly it is read, as
    /// it would if the partner were still there.
    fn stream_finish(&mut self, key: ConnectionKey) {
        self.finish(key);
        let Some(connection) = self.net.get_mut(key).filter(|connection| !connection.has_sent_all()) else {
            return;
        };
        connection.is_draining = true;
        self.stream_drained(key);
    }

    /// Some of what is left for a connection has gone out.
    pub(in crate::shard) fn stream_drained(&mut self, key: ConnectionKey) {
        if self.stop_at.is_some() {
            return;
        }
        let idle_s = u64::from(self.net.context.limits.stream_idle_s);
        self.set_deadline(key, (idle_s > 0).then(|| self.net.now.plus_s(idle_s)));
    }

    /// The hub has stopped, and what is left for some connections does not go out any more.
    pub(crate) fn reset_what_drains(&self) {
        let draining = self.net.connections.iter().filter(|(_, connection)| connection.is_draining);
        draining.for_each(|(_, connection)| reset_when_closed(&connection.link));
    }

    /// Nothing of what is left for a connection has gone out for too long.
    pub(in crate::shard) fn stream_drains_too_slowly(&mut self, key: ConnectionKey) {
        self.net.context.streams.idle.shared_add(1);
        self.lose(key);
    }

    /// Takes a connection out of the book.
    pub(super) fn stream_leave_book(&mut self, key: ConnectionKey) {
        let serial = self.stream_end(key).serial;
        self.stream_leave_ended(key, serial);
    }

    fn stream_leave_ended(&mut self, key: ConnectionKey, serial: u32) {
        let (context, end) = (self.net.context.clone(), End { shard: self.net.number, key, serial });
        context.streams.leave(end, self.net.now, &context.limits, &mut self.streams.letters);
    }

    /// The other of two connections goes without having said so: this one is reset.
    fn stream_bereave(&mut self, half: &Half, why: (u16, &'static str)) {
        let streams = &self.net.context.streams;
        streams.part(&half.joined);
        streams.broken.shared_add(1);
        if let Some(other) = self.stream_take_half(half.partner) {
            self.stream_reset(half.partner, &other, why);
        }
    }

    /// Closes a connection so that its peer sees that something is missing.
    fn stream_reset(&mut self, key: ConnectionKey, half: &Half, (code, why): (u16, &'static str)) {
        if half.is_websocket {
            let code = CloseCode::from_u16(code).unwrap_or(CloseCode::GOING_AWAY);
            self.say_close(key, code, why);
            return self.finish(key);
        }
        if let Some(connection) = self.net.get(key) {
            reset_when_closed(&connection.link);
        }
        self.remove(key);
    }

    /// Makes a connection one that is not joined, and is to be closed.
    fn stream_take_half(&mut self, key: ConnectionKey) -> Option<Box<Half>> {
        let connection = self.net.get_mut(key)?;
        if !matches!(connection.input, Input::Stream(_)) {
            return None;
        }
        let Input::Stream(mut half) = std::mem::replace(&mut connection.input, Input::Ignored) else {
            return None;
        };
        connection.input = match half.receiver.take() {
            Some(receiver) => Input::Goodbye(receiver),
            // It is being read.
            None if half.is_websocket => Input::Taken,
            None => Input::Ignored,
        };
        if let Some(pipe) = half.pipe.take() {
            self.streams.pipes.give_back(pipe, half.piped_bytes);
        }
        Some(half)
    }
}

/// Has the peer see that something is missing when the socket is closed.
fn reset_when_closed(link: &Link) {
    if let Link::Stream(stream) = link
        && let Some(socket) = stream.tcp_options()
    {
        // A socket that lingers for no time is reset when it is closed.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

impl Waiting {
    /// What reads its frames, to wait for the peer's goodbye; none while it does so.
    pub(in crate::shard) fn into_receiver(self) -> Option<Box<Receiver>> {
        self.receiver
    }
}
