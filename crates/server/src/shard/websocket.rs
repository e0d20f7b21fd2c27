//! WebSocket frames on a connection, and what is spoken inside them.

use super::ShardLoop;
use super::connection::{MqttInput, Phase};
use crate::stats::Kind;
use trefoil_hub::ConnectionKey;
use trefoil_json::{Code, RequestError};
use trefoil_websocket::{CloseCode, Event, Opcode, Receiver, encode_close, encode_frame};

/// A whole message.
enum Message<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

impl ShardLoop {
    /// MQTT in binary frames; where one ends means nothing to MQTT [MQTT-6.0.0-2]
    /// [v3 MQTT-6.0.0-2].
    pub(super) fn mqtt_frames(
        &mut self,
        key: ConnectionKey,
        receiver: &mut Receiver,
        state: &mut MqttInput,
        input: &mut [u8],
    ) -> usize {
        self.frames(key, receiver, input, |shard, message| match message {
            Message::Binary(bytes) => shard.mqtt_bytes(key, state, bytes),
            // [MQTT-6.0.0-1] [v3 MQTT-6.0.0-1]
            Message::Text(_) => {
                shard.websocket_fail(key, CloseCode::UNSUPPORTED_DATA, "MQTT goes in binary frames")
            }
        })
    }

    /// Takes MQTT bytes that came in a frame; what is no whole packet waits for the next.
    pub(super) fn mqtt_bytes(&mut self, key: ConnectionKey, state: &mut MqttInput, bytes: &[u8]) {
        if state.partial.is_empty() {
            let used = self.mqtt(key, state, bytes);
            state.partial.extend_from_slice(&bytes[used..]);
            return;
        }
        let mut partial = std::mem::take(&mut state.partial);
        partial.extend_from_slice(bytes);
        let used = self.mqtt(key, state, &partial);
        partial.drain(..used);
        state.partial = partial;
    }

    /// JSON in text frames, or in binary ones with a payload behind it.
    pub(super) fn json_frames(
        &mut self,
        key: ConnectionKey,
        receiver: &mut Receiver,
        input: &mut [u8],
    ) -> usize {
        self.frames(key, receiver, input, |shard, message| match message {
            Message::Text(text) => shard.json_request(key, text.as_bytes()),
            Message::Binary(frame) => shard.json_binary(key, frame),
        })
    }

    /// Everything back as it came, for outside test suites.
    pub(super) fn echo_frames(
        &mut self,
        key: ConnectionKey,
        receiver: &mut Receiver,
        input: &mut [u8],
    ) -> usize {
        self.frames(key, receiver, input, |shard, message| {
            let (opcode, payload) = match message {
                Message::Text(text) => (Opcode::Text, text.as_bytes()),
                Message::Binary(bytes) => (Opcode::Binary, bytes),
            };
            shard.net.answer(key, |out| encode_frame(opcode, payload, out));
        })
    }

    /// Takes the frames in `input`; returns how much of it they were.
    fn frames(
        &mut self,
        key: ConnectionKey,
        receiver: &mut Receiver,
        input: &mut [u8],
        mut take: impl FnMut(&mut ShardLoop, Message<'_>),
    ) -> usize {
        let mut consumed = 0;
        loop {
            let received = match receiver.receive(&mut input[consumed..]) {
                Ok(received) => received,
                Err(violation) => {
                    self.websocket_fail(key, violation.close_code(), &violation.to_string());
                    return input.len();
                }
            };
            consumed += received.consumed;
            match received.event {
                Some(Event::Text(text)) => take(self, Message::Text(text)),
                Some(Event::Binary(bytes)) => take(self, Message::Binary(bytes)),
                Some(Event::Ping(payload)) => {
                    self.net.answer_frame(key, |out| encode_frame(Opcode::Pong, payload, out));
                }
                Some(Event::Pong(_)) => {}
                Some(Event::Close(close)) => {
                    let code = close.map(|c| c.code);
                    self.websocket_closed(key, code);
                }
                None if received.consumed == 0 => return consumed,
                None => {}
            }
            if self.is_leaving.is_some() || self.is_waiting(key) {
                return consumed;
            }
            if self.net.get(key).is_none_or(|c| c.phase != Phase::Open) {
                return input.len();
            }
        }
    }

    /// The peer closes: it gets its close frame back. To MQTT that is a network that fails, to JSON a goodbye.
    fn websocket_closed(&mut self, key: ConnectionKey, code: Option<CloseCode>) {
        match code {
            Some(code) => self.say_close(key, code, ""),
            None => {
                self.net.answer_frame(key, |out| encode_frame(Opcode::Close, b"", out));
                if let Some(connection) = self.net.get_mut(key) {
                    connection.has_said_close = true;
                }
            }
        }
        self.close(key);
    }

    /// The peer broke a rule: it is told, and closed.
    fn websocket_fail(&mut self, key: ConnectionKey, code: CloseCode, why: &str) {
        self.net.stats().protocol_errors.add(1);
        let is_json = self.net.get(key).is_some_and(|c| c.kind == Kind::JsonWebSocket);
        if is_json && code == CloseCode::MESSAGE_TOO_BIG {
            let why = "the message is larger than limits.json_bytes_max";
            self.json_error(key, &RequestError::new(Code::TooLarge, why));
        }
        self.say_close(key, code, why);
        self.close(key);
    }

    /// Sends a close frame, if this is a WebSocket that has not had one.
    pub(super) fn say_close(&mut self, key: ConnectionKey, code: CloseCode, why: &str) {
        let Some(connection) = self.net.get(key) else { return };
        let is_websocket =
            matches!(connection.kind, Kind::MqttWebSocket | Kind::JsonWebSocket | Kind::EchoWebSocket);
        if is_websocket && !connection.has_said_close && connection.phase == Phase::Open {
            self.net.answer_frame(key, |out| encode_close(code, why, out));
            if let Some(connection) = self.net.get_mut(key) {
                connection.has_said_close = true;
            }
        }
    }
}
