//! How two connections come together: the one that has just acted goes to the shard of the one that waits.

use super::{Half, Role, Waiting, told};
use crate::mail::{Arrival, Mail, Stage};
use crate::shard::ShardLoop;
use crate::shard::connection::{Connection, Form, Input, Phase};
use crate::stats::Kind;
use crate::streams::{End, Joined, Letter, Note};
use std::sync::Arc;
use trefoil_hub::{ConnectionKey, Ending, Time};
use trefoil_json::{Code, RequestError, StreamReply};

/// How long somebody may be on the way to a connection whose own time is over.
const GRACE_S: u64 = 5;

/// A round goes on with what comes of what it has done, but not without end.
const PASSES_MAX: usize = 8;

impl ShardLoop {
    /// Does what has come together for streams: outside the handling of any connection, since it concerns several.
    pub(in crate::shard) fn go_on_with_streams(&mut self) {
        if !self.streams.held.is_empty() {
            let held = std::mem::take(&mut self.streams.held);
            self.streams.moves.extend(held);
        }
        for _ in 0..PASSES_MAX {
            if !self.streams.has_work() {
                return;
            }
            for (to, note) in std::mem::take(&mut self.streams.letters) {
                match to.shard == self.net.number {
                    true => self.stream_note(to, note),
                    false => self.net.mail[to.shard].push(Mail::Stream(Box::new((to, note)))),
                }
            }
            for (end, partner) in std::mem::take(&mut self.streams.moves) {
                self.stream_move(end, partner);
            }
        }
    }

    /// A letter has come from another shard.
    pub(in crate::shard) fn take_letter(&mut self, letter: Letter) {
        self.stream_note(letter.0, letter.1);
    }

    fn stream_note(&mut self, to: End, note: Note) {
        if self.net.get(to.key).is_none_or(|c| c.serial != to.serial || c.phase != Phase::Open) {
            if let Note::Join(partner) = note {
                self.streams.letters.push((partner, Note::Alone));
            }
            return;
        }
        let key = to.key;
        match note {
            Note::Call { name, token, from } => {
                let listens = |c: &Connection| c.json.as_ref().is_some_and(|own| own.is_listening);
                if !self.net.get(key).is_some_and(listens) {
                    // It has become a stream meanwhile, and what it is sent is that. The caller has been given to others when
                    // it went out of the book.
                    return;
                }
                let (name, token) = ((*name).into(), token.to_string().into());
                let call = StreamReply::Call { name, token, from: told(&from) };
                self.begin_event();
                self.json_answer(key, |out| call.encode(out));
            }
            Note::Failed(error) => self.stream_fail(key, error),
            Note::Join(partner) => {
                self.set_deadline(key, None);
                self.streams.moves.push((to, partner));
            }
            Note::Alone => self.stream_alone(key),
            Note::Due(until) => {
                let waits = self.waiting_mut(key).is_some_and(|w| matches!(w.role, Role::Caller { .. }));
                let is_first = |at: Time| until < at;
                if waits && self.net.get(key).is_some_and(|c| c.deadline.is_none_or(is_first)) {
                    self.set_deadline(key, Some(until));
                }
            }
        }
    }

    fn stream_move(&mut self, end: End, partner: End) {
        let connection = self.net.get(end.key).filter(|connection| connection.serial == end.serial);
        let Some(connection) = connection.filter(|c| matches!(c.input, Input::StreamWait(_))) else {
            self.streams.letters.push((partner, Note::Alone));
            return;
        };
        if connection.held.is_some() {
            // What it is owed for what it did before goes out first.
            return self.streams.held.push((end, partner));
        }
        match partner.shard == self.net.number {
            true => self.stream_join(end.key, partner),
            false => self.stream_leave(end.key, partner),
        }
    }

    /// Sends a connection to the shard of its partner.
    fn stream_leave(&mut self, key: ConnectionKey, partner: End) {
        self.stream_part_from_json(key);
        let Some(connection) = self.net.get_mut(key) else { return };
        let Input::StreamWait(waiting) = std::mem::replace(&mut connection.input, Input::Ignored) else {
            return;
        };
        let (user, input) = (connection.user.take(), std::mem::take(&mut connection.rest));
        let forwarded = connection.proxied();
        let Some((stream, listener, output)) = self.take_out(key) else {
            self.streams.letters.push((partner, Note::Alone));
            return;
        };
        let stage = Stage::Stream(waiting, partner);
        let arrival = Arrival { stream, listener, input, output, forwarded, user, stage };
        self.net.mail[partner.shard].push(Mail::Arrival(Box::new(arrival)));
    }

    /// Takes a connection in that has come to be joined with one of this shard.
    pub(in crate::shard) fn stream_arrive(
        &mut self,
        key: ConnectionKey,
        waiting: Waiting,
        partner: End,
        output: &[u8],
    ) {
        let is_websocket = waiting.is_websocket;
        if let Some(connection) = self.net.connections.get_mut(key.0 as usize) {
            connection.outbox.copy(output, 0, &mut self.net.pool);
        }
        self.net.mark_dirty(key);
        self.set_waiting(key, waiting);
        self.set_deadline(key, None);
        if is_websocket {
            self.begin_pings(key);
        }
        self.streams.moves.push((self.stream_end(key), partner));
    }

    /// It does not arrive: the other one is to know.
    pub(in crate::shard) fn stream_lost_on_the_way(&mut self, partner: End) {
        self.streams.letters.push((partner, Note::Alone));
    }

    /// Joins two connections of this shard.
    fn stream_join(&mut self, key: ConnectionKey, partner: End) {
        let other = partner.key;
        let is_there =
            self.net.get(other).is_some_and(|c| c.serial == partner.serial && c.phase == Phase::Open);
        let (Some(waiting), true) = (self.waiting_mut(key), is_there) else { return self.stream_alone(key) };
        let is_caller = matches!(waiting.role, Role::Caller { .. });
        let (name, who) = (waiting.name.clone(), waiting.who.clone());
        let Some(waiting) = self.waiting_mut(other) else { return self.stream_alone(key) };
        let other_who = waiting.who.clone();
        let (caller, listener) = if is_caller { (key, other) } else { (other, key) };
        let (calls, listens) = if is_caller { (who, other_who) } else { (other_who, who) };
        let context = self.net.context.clone();
        match context.streams.join(&name, (calls, listens), self.net.now, &context.limits) {
            Ok(joined) => {
                self.stream_become(caller, listener, 0, &joined);
                self.stream_become(listener, caller, 1, &joined);
                self.stream_begin(caller);
                self.stream_begin(listener);
                self.stream_watch_idle(caller);
            }
            Err(error) => {
                self.stream_fail(key, error.clone());
                self.stream_fail(other, error);
            }
        }
    }

    /// Tells a connection that it is joined. What goes out behind that is its partner's.
    fn stream_become(
        &mut self,
        key: ConnectionKey,
        partner: ConnectionKey,
        side: usize,
        joined: &Arc<Joined>,
    ) {
        let Some(waiting) = self.waiting_mut(key) else { return };
        let Waiting { ack, is_websocket, .. } = *waiting;
        let (receiver, has_ended) = (waiting.receiver.take(), waiting.has_ended);
        let early = std::mem::take(&mut waiting.early);
        let from = (side == 1).then(|| told(&joined.caller));
        let reply = StreamReply::Joined { name: (*joined.name).into(), from, ack };
        match is_websocket {
            true => self.stream_say(key, &reply),
            false => {
                self.begin_event();
                self.json_answer(key, |out| reply.encode(out));
            }
        }
        self.stream_part_from_json(key);
        let half = Half {
            partner,
            joined: joined.clone(),
            side,
            is_websocket,
            receiver,
            early,
            can_read: true,
            is_broken: false,
            pipe: None,
            piped_bytes: 0,
            is_bulk: false,
            has_ended,
            is_told: false,
            moved_at: self.net.now,
            moved_bytes: 0,
        };
        let kind = if is_websocket { Kind::StreamWebSocket } else { Kind::Stream };
        self.set_input(key, kind, Input::Stream(Box::new(half)));
        self.set_silence(key, 0);
        self.set_deadline(key, None);
    }

    /// Gives what a connection has sent already to its partner, and reads on.
    fn stream_begin(&mut self, key: ConnectionKey) {
        let Some(half) = self.half_mut(key) else { return };
        let mut early = std::mem::take(&mut half.early);
        if !half.is_websocket
            && let Some(connection) = self.net.get_mut(key)
        {
            // Where frames are read, the rest is the beginning of one.
            early = std::mem::take(&mut connection.rest);
        }
        self.stream_push(key, &early);
        self.note_readable(key);
        self.stream_settle(key);
    }

    /// Ends what a connection was as a client of the JSON protocol.
    fn stream_part_from_json(&mut self, key: ConnectionKey) {
        self.json_give_up_asks(key);
        let Some(connection) = self.net.connections.get_mut(key.0 as usize) else { return };
        if connection.is_joined() {
            connection.join(&mut self.net.pool);
        }
        let listens = connection.json.take().is_some_and(|own| own.is_listening);
        if listens {
            self.stream_leave_book(key);
        }
        self.end_session(key, Ending::Normal { expiry_s: None });
        if let Some(connection) = self.net.get_mut(key) {
            connection.form = Form::None;
            connection.is_publisher = false;
        }
    }

    /// Who was to be joined with a connection is not there.
    fn stream_alone(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        let Input::StreamWait(mut waiting) = std::mem::replace(&mut connection.input, Input::Taken) else {
            return;
        };
        // Who comes next has all the time that the one before had.
        waiting.is_awaited = false;
        let asked = self.stream_ask(key, &waiting);
        if let Some(connection) = self.net.get_mut(key) {
            connection.input = Input::StreamWait(waiting);
        }
        match asked {
            Ok(found) => self.stream_found(key, found),
            Err(error) => self.stream_fail(key, error),
        }
    }

    /// Tells a connection that it is not joined. One of lines goes on with JSON.
    pub(super) fn stream_fail(&mut self, key: ConnectionKey, error: RequestError) {
        let Some(waiting) = self.waiting_mut(key) else { return };
        let error = error.id(waiting.ack);
        if waiting.is_websocket {
            return self.stream_refuse_websocket(key, &error);
        }
        self.set_deadline(key, None);
        self.set_input(key, Kind::JsonTcp, Input::JsonLines);
        if self.net.get(key).is_some_and(|connection| matches!(connection.form, Form::None)) {
            // It has come from another shard for this, and its session has ended there.
            self.json_open(key, Form::JsonLine);
        }
        self.begin_event();
        self.json_answer(key, |out| error.encode(out));
        self.go_on(key);
    }

    /// The time of a connection is over that waits to be joined.
    pub(in crate::shard) fn stream_wait_due(&mut self, key: ConnectionKey) {
        let (context, end, now) = (self.net.context.clone(), self.stream_end(key), self.net.now);
        match context.streams.is_due(end, now, &context.limits) {
            Ok(Some(until)) => self.set_deadline(key, Some(until)),
            Ok(None) => {
                let Some(waiting) = self.waiting_mut(key) else { return };
                if std::mem::replace(&mut waiting.is_awaited, true) {
                    let why = "the other end has not come; call again";
                    return self.stream_fail(key, RequestError::new(Code::Timeout, why));
                }
                self.set_deadline(key, Some(now.plus_s(GRACE_S)));
            }
            Err(error) => self.stream_fail(key, error),
        }
    }
}
