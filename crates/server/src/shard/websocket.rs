//! WebSocket frames on a connection, and what is spoken inside them.

use super::ShardLoop;
use super::connection::{Connection, Input, MqttInput, Phase};
use crate::stats::Kind;
use trefoil_hub::ConnectionKey;
use trefoil_json::{Code, RequestError};
use trefoil_websocket::{
    CloseCode, Event, Limits, Opcode, Received, Receiver, Role, Violation, encode_close, encode_frame,
};

/// A whole message.
pub(super) enum Message<'a> {
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
            shard.net.answer_message(key, opcode, payload, true);
        })
    }

    /// Takes the frames in `input`; returns how much of it they were.
    pub(super) fn frames(
        &mut self,
        key: ConnectionKey,
        receiver: &mut Receiver,
        input: &mut [u8],
        mut take: impl FnMut(&mut ShardLoop, Message<'_>),
    ) -> usize {
        let bytes_max = receiver.limits().message_bytes_max;
        let (mut consumed, mut inflated_bytes) = (0, 0);
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
                Some(Event::Deflated { is_text, payload }) => {
                    inflated_bytes += self.inflated(key, is_text, payload, bytes_max, &mut take);
                }
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
            if self.net.get(key).is_none_or(|c| c.phase != Phase::Open) || self.gives_way(key, inflated_bytes)
            {
                return consumed;
            }
        }
    }

    /// Takes a compressed message; returns how many bytes it was before.
    fn inflated(
        &mut self,
        key: ConnectionKey,
        is_text: bool,
        payload: &[u8],
        bytes_max: usize,
        take: &mut impl FnMut(&mut ShardLoop, Message<'_>),
    ) -> usize {
        let message = match self.net.inflate(key, payload, bytes_max) {
            Ok(message) => message,
            Err(violation) => {
                self.websocket_fail(key, violation.close_code(), &violation.to_string());
                return 0;
            }
        };
        match simdutf8::basic::from_utf8(&message) {
            _ if !is_text => take(self, Message::Binary(&message)),
            Ok(text) => take(self, Message::Text(text)),
            Err(_) => {
                let violation = Violation::NotUtf8;
                self.websocket_fail(key, violation.close_code(), &violation.to_string());
            }
        }
        let bytes = message.len();
        self.net.deflate.give_back(message);
        bytes
    }

    /// Takes what comes after the hub has said goodbye: only the peer's goodbye counts (RFC 6455 §7.1.2). Returns how much
    /// of the input is done with.
    pub(super) fn goodbye_frames(
        &mut self,
        key: ConnectionKey,
        receiver: &mut Receiver,
        input: &mut [u8],
    ) -> usize {
        let mut consumed = 0;
        // A frame that breaks a rule ends it as well: nothing can be made of what follows.
        while let Ok(Received { consumed: more, event }) = receiver.receive(&mut input[consumed..]) {
            consumed += more;
            match event {
                Some(Event::Close(_)) => break,
                None if more == 0 => return consumed,
                _ => {}
            }
        }
        let Some(connection) = self.net.get_mut(key) else { return input.len() };
        (connection.has_heard_close, connection.input) = (true, Input::Ignored);
        if connection.has_sent_all() {
            self.linger(key);
        }
        input.len()
    }

    /// The peer closes: it gets its close frame back. To MQTT that is a network that fails, to JSON a goodbye.
    fn websocket_closed(&mut self, key: ConnectionKey, code: Option<CloseCode>) {
        self.stream_websocket_closed(key, code);
        match code {
            Some(code) => self.say_close(key, code, ""),
            None => {
                self.net.answer_frame(key, |out| encode_frame(Opcode::Close, b"", out));
                if let Some(connection) = self.net.get_mut(key) {
                    connection.has_said_close = true;
                }
            }
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.has_heard_close = true;
        }
        self.close(key);
    }

    /// The peer broke a rule: it is told, and closed. Nothing that it says after that counts (RFC 6455 §7.1.7).
    pub(super) fn websocket_fail(&mut self, key: ConnectionKey, code: CloseCode, why: &str) {
        self.net.stats().protocol_errors.add(1);
        let is_json = self.net.get(key).is_some_and(|c| c.kind == Kind::JsonWebSocket);
        if is_json && code == CloseCode::MESSAGE_TOO_BIG {
            let why = "the message is larger than limits.json_bytes_max";
            self.json_error(key, &RequestError::new(Code::TooLarge, why));
        }
        self.say_close(key, code, why);
        if let Some(connection) = self.net.get_mut(key) {
            connection.has_heard_close = true;
        }
        self.close(key);
    }

    /// Sends a close frame, if this is a WebSocket that has not had one.
    pub(super) fn say_close(&mut self, key: ConnectionKey, code: CloseCode, why: &str) {
        let Some(connection) = self.net.get(key) else { return };
        if is_websocket(connection.kind) && !connection.has_said_close && connection.phase == Phase::Open {
            self.net.answer_frame(key, |out| encode_close(code, why, out));
            if let Some(connection) = self.net.get_mut(key) {
                connection.has_said_close = true;
            }
        }
    }
}

/// What a connection that is closed is still to be read for: a WebSocket for the peer's close frame, unless that has
/// come or nothing that comes can be relied on.
pub(super) fn goodbye_input(limits: &trefoil_config::Limits, connection: &mut Connection) -> Input {
    let is_websocket = is_websocket(connection.kind) && !connection.has_heard_close;
    match std::mem::replace(&mut connection.input, Input::Ignored) {
        _ if !is_websocket => Input::Ignored,
        Input::MqttWebSocket(receiver, _)
        | Input::JsonWebSocket(receiver)
        | Input::Echo(receiver)
        | Input::Goodbye(receiver) => Input::Goodbye(receiver),
        Input::StreamWait(waiting) => match waiting.into_receiver() {
            Some(receiver) => Input::Goodbye(receiver),
            None => Input::Goodbye(Box::new(receiver_between(limits, connection))),
        },
        // It is being read, and stands between two messages.
        Input::Taken => Input::Goodbye(Box::new(receiver_between(limits, connection))),
        _ => Input::Ignored,
    }
}

/// A receiver for a connection that stands between two messages.
fn receiver_between(limits: &trefoil_config::Limits, connection: &Connection) -> Receiver {
    let bytes_max = limits.packet_bytes_max;
    let limits = Limits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max };
    let receiver = Receiver::new(Role::Server, limits);
    if connection.deflate.window_bits > 0 { receiver.with_deflate() } else { receiver }
}

fn is_websocket(kind: Kind) -> bool {
    matches!(kind, Kind::MqttWebSocket | Kind::JsonWebSocket | Kind::EchoWebSocket | Kind::StreamWebSocket)
}
