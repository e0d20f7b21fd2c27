//! What moves between two connections that are joined.
//!
//! Between plain sockets the kernel moves it, through a [pipe](super::pipes). All else is read into the shard's scratch and
//! put into the partner's outbox, and nothing more is read while that holds `limits.stream_buffer_bytes_max`. So a peer that
//! does not read stops its partner, and nobody else.

use super::websocket::OVERLOADED;
use super::{Half, ShardLoop};
use crate::shard::connection::{Input, Link};
use crate::shard::scarce;
use crate::stream::Stream;
use std::io;
use trefoil_hub::ConnectionKey;
use trefoil_json::{Reply, StreamReply, parse_reply};
use trefoil_websocket::{CloseCode, Opcode, encode_header};

/// What one direction of a stream may move in one round; then others have their turn.
const BYTES_PER_TICK: usize = 2 << 20;

/// A direction that brings so much at a time is one of bulk, until one time it brings no more than the other figure. What
/// leaves over at the end of a piece may then wait for the next one (Nagle), since a packet for itself costs more than all else:
/// without this, a GiB took 1.4 times the CPU time. What is not bulk leaves at once.
const BULK_BYTES_MIN: usize = 256 << 10;
const BULK_BYTES_END: usize = 64 << 10;

/// How a stream that is idle is found: its counter is looked at so often in the time that it may be idle.
const LOOKS_PER_IDLE: u64 = 4;

impl Half {
    /// Notes how much came at once, for whoever it goes to.
    fn note_piece(&mut self, bytes: usize, sink: &Stream) {
        let is_bulk = bytes >= BULK_BYTES_MIN || self.is_bulk && bytes > BULK_BYTES_END;
        if is_bulk != std::mem::replace(&mut self.is_bulk, is_bulk)
            && let Some(socket) = sink.tcp_options()
        {
            // What waits leaves with it. Failing costs only time.
            let _ = socket.set_tcp_nodelay(!is_bulk);
        }
    }
}

/// What has come of moving bytes through a pipe.
enum Step {
    /// It cannot be done: copy.
    Copy,
    /// There is no more for now, or the partner takes no more.
    Waits,
    /// There may be more.
    Again,
    /// The connection sends no more, and the partner has taken all that it sent.
    Ended,
    /// One of the two is broken.
    Broken,
}

impl ShardLoop {
    /// Moves what a connection has sent to its partner.
    pub(in crate::shard) fn stream_go_on(&mut self, key: ConnectionKey) {
        let Some(half) = self.half(key) else { return };
        if half.is_broken {
            return self.stream_break(key);
        }
        match self.stream_splice(key) {
            Step::Copy => self.stream_copy(key),
            Step::Waits => {}
            Step::Again => self.note_readable(key),
            Step::Ended => self.stream_settle(key),
            Step::Broken => self.stream_break(key),
        }
    }

    fn stream_splice(&mut self, key: ConnectionKey) -> Step {
        let Some(partner) = self.half(key).map(|half| half.partner) else { return Step::Waits };
        let (net, pipes) = (&mut self.net, &mut self.streams.pipes);
        let pair = net.connections.get2_mut(key.0 as usize, partner.0 as usize);
        let Some((from, to)) = pair else { return Step::Broken };
        let (Link::Stream(source), Link::Stream(sink)) = (&from.link, &to.link) else { return Step::Broken };
        let (Input::Stream(half), Input::Stream(other)) = (&mut from.input, &to.input) else {
            return Step::Waits;
        };
        if half.is_websocket || other.is_websocket || !source.is_plain() || !sink.is_plain() {
            return Step::Copy;
        }
        if !to.outbox.is_empty() || to.held.is_some() {
            // What was copied goes out first.
            return Step::Waits;
        }
        if half.piped_bytes == 0 && (half.has_ended || !half.can_read) {
            return if half.has_ended { Step::Ended } else { Step::Waits };
        }
        let Some(pipe) = half.pipe.take().or_else(|| pipes.take(&net.context.descriptors)) else {
            return Step::Copy;
        };
        let (mut filled, mut drained) = (0, 0);
        let step = loop {
            if half.piped_bytes > 0 {
                if to.is_blocked {
                    break Step::Waits;
                }
                match pipe.drain(sink, half.piped_bytes) {
                    Ok(bytes) => {
                        half.piped_bytes -= bytes;
                        drained += bytes;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.is_blocked = true,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break Step::Broken,
                }
                continue;
            }
            if half.has_ended {
                break Step::Ended;
            }
            if !half.can_read {
                break Step::Waits;
            }
            if filled >= BYTES_PER_TICK {
                break Step::Again;
            }
            match pipe.fill(source) {
                Ok(0) => half.has_ended = true,
                Ok(bytes) => {
                    half.piped_bytes = bytes;
                    filled += bytes;
                    half.note_piece(bytes, sink);
                    if half.is_bulk {
                        // A call that may not wait gives what stood ready when it began, and more comes while it works.
                        let more = pipe.top_up(source, bytes);
                        half.piped_bytes += more;
                        filled += more;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => half.can_read = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break Step::Broken,
            }
        };
        half.joined.count(half.side, drained);
        match half.piped_bytes {
            0 => pipes.give_back(pipe, 0),
            _ => half.pipe = Some(pipe),
        }
        net.stats().bytes_in.add(filled as u64);
        net.stats().bytes_out.add(drained as u64);
        step
    }

    /// Reads once what the partner has room for.
    fn stream_copy(&mut self, key: ConnectionKey) {
        let Some(half) = self.half(key).filter(|half| half.can_read && !half.has_ended || half.is_websocket)
        else {
            return;
        };
        let partner = half.partner;
        let has_room = self.stream_has_room(partner);
        if let Some(connection) = self.net.get_mut(key) {
            connection.is_held = !has_room;
        }
        if !has_room {
            return;
        }
        self.read(key);
        let has_more = self.net.get(key).is_some_and(|connection| connection.is_readable);
        if let Some(half) = self.half_mut(key) {
            half.can_read = has_more;
        }
    }

    /// Whether a connection may be given more.
    fn stream_has_room(&self, key: ConnectionKey) -> bool {
        let bytes_max = self.net.context.limits.stream_buffer_bytes_max;
        self.net.get(key).is_none_or(|connection| connection.waiting().0 < bytes_max)
    }

    /// Takes what has been read of a connection that is joined, or waits for that. Returns how much of it is done with.
    pub(in crate::shard) fn stream_input(&mut self, key: ConnectionKey, input: &mut [u8]) -> usize {
        let (is_websocket, receiver) = match self.net.get_mut(key).map(|connection| &mut connection.input) {
            Some(Input::Stream(half)) => (half.is_websocket, half.receiver.take()),
            Some(Input::StreamWait(waiting)) => (waiting.is_websocket, waiting.receiver.take()),
            _ => return input.len(),
        };
        if !is_websocket {
            if self.half(key).is_none() {
                // It is not read from, and what had been read is kept until it is known what it belongs to.
                return 0;
            }
            self.stream_push(key, input);
            return input.len();
        }
        let Some(mut receiver) = receiver else { return input.len() };
        let used = self.stream_frames(key, &mut receiver, input);
        match self.net.get_mut(key).map(|connection| &mut connection.input) {
            Some(Input::Stream(half)) => half.receiver = Some(receiver),
            Some(Input::StreamWait(waiting)) => waiting.receiver = Some(receiver),
            _ => {}
        }
        used
    }

    /// A WebSocket has sent bytes.
    pub(super) fn stream_bytes(&mut self, key: ConnectionKey, bytes: &[u8]) {
        const BEHIND_THE_END: &str = "bytes came behind {\"end\":true}";
        let bytes_max = self.net.context.limits.stream_buffer_bytes_max;
        match self.net.get_mut(key).map(|connection| &mut connection.input) {
            Some(Input::Stream(half)) if half.has_ended => {
                self.websocket_fail(key, CloseCode::POLICY_VIOLATION, BEHIND_THE_END);
            }
            Some(Input::Stream(_)) => self.stream_push(key, bytes),
            Some(Input::StreamWait(waiting)) if waiting.has_ended => {
                self.websocket_fail(key, CloseCode::POLICY_VIOLATION, BEHIND_THE_END);
            }
            Some(Input::StreamWait(waiting)) if waiting.early.len() + bytes.len() <= bytes_max => {
                waiting.early.extend_from_slice(bytes);
                self.net.relieve(key);
                if self.net.takes_no_new() {
                    // It has not even begun, so it is the first that has to go.
                    self.websocket_fail(key, OVERLOADED, scarce::WHY);
                }
            }
            Some(Input::StreamWait(_)) => {
                let why = "more came before the stream stood than limits.stream_buffer_bytes_max";
                self.websocket_fail(key, CloseCode::MESSAGE_TOO_BIG, why);
            }
            _ => {}
        }
    }

    /// A WebSocket has sent a text.
    pub(super) fn stream_text(&mut self, key: ConnectionKey, text: &str) {
        if !matches!(parse_reply(text.as_bytes()), Ok(Reply::Stream(StreamReply::End))) {
            let why = "bytes go in binary frames, and the only text is {\"end\":true}";
            return self.websocket_fail(key, CloseCode::UNSUPPORTED_DATA, why);
        }
        match self.net.get_mut(key).map(|connection| &mut connection.input) {
            Some(Input::Stream(_)) => self.stream_ended(key),
            Some(Input::StreamWait(waiting)) => waiting.has_ended = true,
            _ => {}
        }
    }

    /// Puts bytes of a connection into its partner's outbox.
    pub(super) fn stream_push(&mut self, key: ConnectionKey, bytes: &[u8]) {
        let Some(half) = self.half(key).filter(|_| !bytes.is_empty()) else { return };
        half.joined.count(half.side, bytes.len());
        let partner = half.partner;
        let is_framed = self.half(partner).is_some_and(|half| half.is_websocket);
        let (durable, net) = (self.net.durable, &mut self.net);
        let Some(to) = net.connections.get_mut(partner.0 as usize) else { return };
        let (rope, batch) = to.rope(0, durable);
        if is_framed {
            rope.append(0, &mut net.pool, |out| encode_header(true, Opcode::Binary, bytes.len(), out));
        }
        rope.copy(bytes, 0, &mut net.pool);
        net.note_held(partner, batch);
        net.mark_dirty(partner);
    }

    /// A connection sends no more.
    pub(in crate::shard) fn stream_ended(&mut self, key: ConnectionKey) {
        if let Some(half) = self.half_mut(key) {
            half.has_ended = true;
            self.stream_settle(key);
        }
    }

    /// Passes the end of a connection's bytes on, if its partner has taken all of them.
    pub(super) fn stream_settle(&mut self, key: ConnectionKey) {
        let Some(half) = self.half(key).filter(|half| half.has_ended && half.piped_bytes == 0) else {
            return;
        };
        let partner = half.partner;
        let Some(to) = self.net.get_mut(partner).filter(|to| to.has_sent_all()) else { return };
        if matches!(&to.link, Link::Stream(sink) if sink.has_unsent()) {
            // TLS has taken it, and the socket not all of it yet.
            return;
        }
        let (Input::Stream(other), Link::Stream(sink)) = (&mut to.input, &mut to.link) else { return };
        if !std::mem::replace(&mut other.is_told, true) {
            if other.is_websocket {
                self.stream_say(partner, &StreamReply::End);
            } else if sink.shutdown_write().is_err() {
                // It has gone meanwhile, and the kernel will say so.
                other.can_read = true;
                self.note_readable(partner);
            }
        }
        self.stream_end_if_over(key);
    }

    /// What waited for a connection has gone out, or some of it: its partner is read from again.
    pub(in crate::shard) fn stream_flushed(&mut self, key: ConnectionKey) {
        let Some(partner) = self.half(key).map(|half| half.partner) else { return };
        let Some(connection) = self.net.get(key) else { return };
        let low = self.net.context.limits.stream_buffer_bytes_max / 2;
        let (bytes, has_sent_all) = (connection.waiting().0, connection.has_sent_all());
        if has_sent_all {
            self.stream_settle(partner);
        }
        if bytes <= low && self.half(partner).is_some_and(|half| half.can_read || half.piped_bytes > 0) {
            self.note_readable(partner);
        }
    }

    /// Begins to look now and then whether anything moves, if that is limited.
    pub(super) fn stream_watch_idle(&mut self, key: ConnectionKey) {
        let idle_s = u64::from(self.net.context.limits.stream_idle_s);
        if idle_s > 0 {
            let at = self.net.now.plus_ms((idle_s * 1000 / LOOKS_PER_IDLE).max(1));
            self.set_deadline(key, Some(at));
        }
    }

    /// Looks whether anything has moved since the last time.
    pub(in crate::shard) fn stream_idle_due(&mut self, key: ConnectionKey) {
        let (now, idle_s) = (self.net.now, self.net.context.limits.stream_idle_s);
        let Some(half) = self.half_mut(key) else { return };
        let moved_bytes = half.joined.moved().iter().sum();
        if moved_bytes != half.moved_bytes {
            (half.moved_bytes, half.moved_at) = (moved_bytes, now);
        }
        if now.since(half.moved_at) >= u64::from(idle_s) * 1000 {
            return self.stream_end_idle(key);
        }
        self.stream_watch_idle(key);
    }
}
