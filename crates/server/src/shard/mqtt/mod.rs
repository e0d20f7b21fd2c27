//! MQTT on a connection: packets in, answers out.

mod authenticate;
mod connect;
mod publish;
mod subscribe;

use super::ShardLoop;
use super::connection::{Form, MqttInput, Phase};
use trefoil_hub::{ConnectionKey, Ending, QoS, SessionKey};
use trefoil_mqtt::{
    Ack, DecodeError, Disconnect, Packet, PacketType, ReasonCode, ReasonProperties, Version, decode, frame,
};
use trefoil_websocket::CloseCode;

/// The first byte of a PUBACK.
const PUBACK: u8 = 0x40;

impl ShardLoop {
    /// Takes the packets in `input`; returns how much of it they were. Stops early when the connection ends, or has to
    /// move to another shard: then its CONNECT is still in the input.
    pub(super) fn mqtt(&mut self, key: ConnectionKey, state: &mut MqttInput, input: &[u8]) -> usize {
        let mut packets = 0;
        let consumed = self.mqtt_packets(key, state, input, &mut packets);
        self.net.stats().packets_in.add(packets);
        if consumed > 0
            && let Some(connection) = self.net.connections.get_mut(key.0 as usize)
        {
            // [MQTT-3.1.2-22] [v3 MQTT-3.1.2-24]: a packet was heard, not only bytes.
            connection.heard_at = self.net.now;
        }
        consumed
    }

    /// The same; adds to `packets` how many there were.
    fn mqtt_packets(
        &mut self,
        key: ConnectionKey,
        state: &mut MqttInput,
        input: &[u8],
        packets: &mut u64,
    ) -> usize {
        let packet_bytes_max = self.net.context.limits.packet_bytes_max;
        if state.version.is_none() && self.is_waiting(key) {
            return 0;
        }
        let mut consumed = 0;
        while self.is_open(key) {
            if consumed > 0 && self.pauses_within(key) {
                return consumed;
            }
            let rest = &input[consumed..];
            let packet = match frame(rest, packet_bytes_max) {
                Ok(Some(found)) if found.len <= rest.len() => &rest[..found.len],
                Ok(_) => return consumed,
                Err(error) => {
                    self.mqtt_refuse(key, state, rest, &error);
                    return input.len();
                }
            };
            match state.version {
                Some(version) => self.mqtt_packet(key, state, version, packet),
                None => self.mqtt_first_packet(key, state, packet),
            }
            if self.is_leaving.is_some() {
                return consumed;
            }
            consumed += packet.len();
            *packets += 1;
            if state.version.is_none() && self.is_waiting(key) {
                return consumed;
            }
        }
        input.len()
    }

    fn mqtt_packet(&mut self, key: ConnectionKey, state: &mut MqttInput, version: Version, packet: &[u8]) {
        let Some(session) = self.net.get(key).and_then(|c| c.session) else { return };
        self.begin_event();
        if packet[0] >> 4 == PacketType::Publish as u8 {
            return self.mqtt_publish(key, session, state, version, packet);
        }
        self.finish_run();
        if let &[PUBACK, 2, high, low] = packet
            && high | low != 0
        {
            // As many come as messages go out at QoS 1, nearly all of this form.
            let packet_id = u16::from_be_bytes([high, low]);
            return self.mqtt_acknowledge(key, session, packet_id, QoS::AtLeastOnce);
        }
        let asked = (version, state.wants_reasons);
        match decode(packet, version) {
            Err(error) => self.mqtt_refuse(key, state, packet, &error),
            // [MQTT-4.4.0-2]: done with, whatever the reason code says.
            Ok(Packet::PubAck(ack)) => self.mqtt_acknowledge(key, session, ack.packet_id, QoS::AtLeastOnce),
            Ok(Packet::PubRec(ack)) => self.mqtt_received(key, session, version, &ack),
            Ok(Packet::PubComp(ack)) => {
                let is_known = self.hub.complete(self.net.now, session, ack.packet_id, &mut self.net);
                self.mqtt_is_of_kind(key, session, ack.packet_id, is_known);
            }
            Ok(Packet::PubRel(ack)) => {
                // [MQTT-4.3.3-11] [MQTT-4.3.3-12] [v3 MQTT-4.3.3-2]
                let was_known = self.hub.release_incoming(session, ack.packet_id);
                self.mqtt_answer(key, version, PacketType::PubComp, ack.packet_id, known(was_known));
            }
            Ok(Packet::Subscribe(subscribe)) => self.mqtt_subscribe(key, session, asked, &subscribe),
            Ok(Packet::Unsubscribe(unsubscribe)) => self.mqtt_unsubscribe(key, session, asked, &unsubscribe),
            // [MQTT-3.12.4-1] [v3 MQTT-3.12.4-1]
            Ok(Packet::PingReq) => {
                self.net.answer(key, |out| out.extend_from_slice(&[0xd0, 0]));
            }
            Ok(Packet::Disconnect(goodbye)) => self.mqtt_disconnect(key, state, &goodbye),
            // [MQTT-3.1.0-2] [v3 MQTT-3.1.0-2]
            Ok(Packet::Connect(_)) => self.mqtt_fail(key, ReasonCode::ProtocolError, "a second CONNECT came"),
            Ok(Packet::Auth(auth)) => self.mqtt_auth(key, state, &auth),
            Ok(_) => self.mqtt_fail(key, ReasonCode::ProtocolError, "a packet came that only servers send"),
        }
    }

    /// The last that a delivery waits for, or a PUBREC that refuses it.
    fn mqtt_acknowledge(&mut self, key: ConnectionKey, session: SessionKey, packet_id: u16, qos: QoS) {
        let is_known = self.hub.acknowledge(self.net.now, session, packet_id, qos, &mut self.net);
        self.mqtt_is_of_kind(key, session, packet_id, is_known);
    }

    fn mqtt_received(&mut self, key: ConnectionKey, session: SessionKey, version: Version, ack: &Ack<'_>) {
        if ack.reason.is_error() {
            // [MQTT-4.3.3-4] [MQTT-4.4.0-2]: refused, so there is nothing to release.
            return self.mqtt_acknowledge(key, session, ack.packet_id, QoS::ExactlyOnce);
        }
        let is_known = self.hub.received(session, ack.packet_id);
        if self.mqtt_is_of_kind(key, session, ack.packet_id, is_known) {
            // [MQTT-4.3.3-4] [v3 MQTT-4.3.3-1] [v3 MQTT-4.6.0-4]; one that nobody knows is answered too, so that the client can let go of it.
            self.mqtt_answer(key, version, PacketType::PubRel, ack.packet_id, known(is_known));
        }
    }

    /// Closes a client that answers a delivery as one of another QoS would be, or out of turn: that is inconsistent with
    /// the state of the session, a protocol error [MQTT-4.13.1-1]. Ids that are not in flight may be left over from
    /// before, so they are no error. Returns whether the connection goes on.
    fn mqtt_is_of_kind(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        packet_id: u16,
        is_known: bool,
    ) -> bool {
        let is_of_kind = is_known || !self.hub.is_in_flight(session, packet_id);
        if !is_of_kind {
            let why = "an acknowledgement came that does not fit the QoS or the state of its message";
            self.mqtt_fail(key, ReasonCode::ProtocolError, why);
        }
        is_of_kind
    }

    /// Answers with a PUBACK, PUBREC, PUBREL or PUBCOMP, at once and so in the order of what is answered
    /// [v3 MQTT-4.6.0-2] [v3 MQTT-4.6.0-3]. PUBREL and PUBCOMP never carry properties, so that none can make them larger
    /// than the client takes [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3].
    fn mqtt_answer(
        &mut self,
        key: ConnectionKey,
        version: Version,
        packet: PacketType,
        packet_id: u16,
        reason: ReasonCode,
    ) {
        self.mqtt_answer_why(key, version, packet, packet_id, (reason, None));
    }

    /// The same with words, for clients that want them [MQTT-3.1.2-29].
    fn mqtt_answer_why(
        &mut self,
        key: ConnectionKey,
        version: Version,
        packet: PacketType,
        packet_id: u16,
        (reason, why): (ReasonCode, Option<&str>),
    ) {
        self.mqtt_answer_with_words(key, why, |properties, out| {
            Ack { packet_id, reason, properties }.encode(packet, version, out);
        });
    }

    /// Answers with a packet that can say in words why. They are left out where the packet would so become larger than the
    /// client takes [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.11.2-1]. User properties are never sent along
    /// [MQTT-3.4.2-3] [MQTT-3.5.2-3] [MQTT-3.9.2-2] [MQTT-3.11.2-2]. A client that does not take it without them either is
    /// not left waiting for it: its connection ends, and with it perhaps the session, and the result is false.
    fn mqtt_answer_with_words(
        &mut self,
        key: ConnectionKey,
        why: Option<&str>,
        encode: impl Fn(ReasonProperties<'_>, &mut Vec<u8>),
    ) -> bool {
        let words = ReasonProperties { reason_string: why, ..ReasonProperties::default() };
        self.settle();
        let is_sent = self.net.answer(key, |out| encode(words, out))
            || self.net.answer(key, |out| encode(ReasonProperties::default(), out));
        if !is_sent {
            self.mqtt_fail(key, ReasonCode::PacketTooLarge, "the answer is longer than the client takes");
        }
        is_sent
    }

    fn mqtt_disconnect(&mut self, key: ConnectionKey, state: &MqttInput, goodbye: &Disconnect<'_>) {
        let expiry_s = goodbye.session_expiry_s;
        if state.session_expiry_s == 0 && expiry_s.is_some_and(|s| s > 0) {
            let why = "DISCONNECT sets a session expiry, but CONNECT had set none";
            return self.mqtt_fail(key, ReasonCode::ProtocolError, why);
        }
        let ending = match goodbye.reason {
            // [MQTT-3.14.4-3] [v3 MQTT-3.14.4-3]
            ReasonCode::Success => Ending::Normal { expiry_s },
            _ => Ending::WithWill { expiry_s },
        };
        self.end_session(key, ending);
        self.finish(key);
    }

    /// A packet broke a rule: the client is told in its version's words and closed [MQTT-4.13.1-1] [v3 MQTT-4.8.0-1].
    fn mqtt_refuse(&mut self, key: ConnectionKey, state: &MqttInput, packet: &[u8], error: &DecodeError) {
        match state.version {
            Some(_) => self.mqtt_fail(key, error.reason_code(), &error.to_string()),
            None => self.mqtt_refuse_connect(
                key,
                trefoil_mqtt::connect_version(packet),
                error.reason_code(),
                error,
            ),
        }
    }

    /// Ends a connection for a reason that MQTT 5 clients are told; others can only be closed. Nothing goes out behind it
    /// [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1].
    pub(super) fn mqtt_fail(&mut self, key: ConnectionKey, reason: ReasonCode, why: &str) {
        let Some(connection) = self.net.get(key) else { return };
        let client_id = connection.session.and_then(|s| self.hub.client_id(s)).map_or("", |id| id);
        tracing::debug!(client_id, reason = reason.name(), why, "an MQTT connection is closed");
        let close = match reason {
            ReasonCode::SessionTakenOver
            | ReasonCode::KeepAliveTimeout
            | ReasonCode::AdministrativeAction => None,
            ReasonCode::QuotaExceeded => Some(CloseCode::POLICY_VIOLATION),
            _ => Some(CloseCode::PROTOCOL_ERROR),
        };
        if close == Some(CloseCode::PROTOCOL_ERROR) {
            self.net.stats().protocol_errors.add(1);
        }
        self.mqtt_end(key, reason, close, why);
    }

    /// Ends a connection for a reason, in a WebSocket with a close code of its own if there is one for it.
    pub(super) fn mqtt_end(
        &mut self,
        key: ConnectionKey,
        reason: ReasonCode,
        close: Option<CloseCode>,
        why: &str,
    ) {
        let Some(connection) = self.net.get(key) else { return };
        // [MQTT-3.14.0-1]: who has had no CONNACK has no form yet.
        let Form::Mqtt(form) = &connection.form else { return self.close(key) };
        if form.version == Version::V5 {
            let mut goodbye = Disconnect::new(reason);
            goodbye.properties.reason_string = Some(why);
            if !self.net.answer(key, |out| goodbye.encode(Version::V5, out)) {
                // [MQTT-3.14.2-3] [MQTT-3.14.2-4]
                goodbye.properties.reason_string = None;
                self.net.answer(key, |out| goodbye.encode(Version::V5, out));
            }
        }
        if let Some(code) = close {
            self.say_close(key, code, why);
        }
        self.close(key);
    }

    fn is_open(&self, key: ConnectionKey) -> bool {
        self.net.get(key).is_some_and(|c| c.phase == Phase::Open)
    }
}

fn known(is_known: bool) -> ReasonCode {
    if is_known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound }
}
