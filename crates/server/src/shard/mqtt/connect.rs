//! CONNECT and its answer.

use super::authenticate::Proof;
use crate::access::kept::{CLIENT_ID_IS_BANNED, USER_IS_BANNED};
use crate::shard::ShardLoop;
use crate::shard::connection::{Aliases, Form, MqttForm, MqttInput};
use crate::shard::scarce;
use std::collections::HashMap;
use trefoil_auth::scram;
use trefoil_hub::topic::HUB_TOPICS;
use trefoil_hub::{ConnectionKey, Language, Message, Payload, Properties, Topic, TopicError, Will};
use trefoil_mqtt::{ConnAck, ConnAckProperties, Connect, Packet, ReasonCode, Version, decode};
use trefoil_websocket::CloseCode;

/// A client that may connect.
struct Client<'a> {
    id: &'a str,
    /// The hub has given it the id.
    is_assigned: bool,
    proof: Proof,
}

impl ShardLoop {
    pub(super) fn mqtt_first_packet(&mut self, key: ConnectionKey, state: &mut MqttInput, packet: &[u8]) {
        if let Some(run) = state.scram.take() {
            return self.mqtt_before_connack(key, state, *run, packet);
        }
        match decode(packet, Version::V5) {
            Ok(Packet::Connect(connect)) => self.mqtt_connect(key, state, packet, &connect, None),
            // [MQTT-3.1.0-1] [v3 MQTT-3.1.0-1]: there is no version yet in which to say why.
            Ok(_) => {
                self.net.stats().protocol_errors.add(1);
                self.say_close(key, CloseCode::PROTOCOL_ERROR, "the first MQTT packet must be CONNECT");
                self.close(key);
            }
            Err(error) => {
                let version = trefoil_mqtt::connect_version(packet);
                self.mqtt_refuse_connect(key, version, error.reason_code(), &error);
            }
        }
    }

    /// Looks at a CONNECT: once when it comes, and where the client has to prove who it is once more with the proof.
    pub(super) fn mqtt_connect(
        &mut self,
        key: ConnectionKey,
        state: &mut MqttInput,
        packet: &[u8],
        connect: &Connect<'_>,
        proof: Option<Proof>,
    ) {
        let version = connect.version;
        if let Some(connection) = self.net.get_mut(key) {
            connection.packet_bytes_max = connect.properties.packet_bytes_max.unwrap_or(u32::MAX);
        }
        if self.net.context.mqtt.server_moved {
            let reason =
                if version == Version::V5 { ReasonCode::ServerMoved } else { ReasonCode::ServerUnavailable };
            return self.mqtt_refuse_connect(key, Some(version), reason, &"this server has moved");
        }
        if let Err((reason, why)) = check(connect) {
            return self.mqtt_refuse_connect(key, Some(version), reason, &why);
        }
        if state.is_old && version != Version::V3_1 {
            // [MQTT-6.0.0-3]
            let why = "the WebSocket subprotocol mqttv3.1 is for MQTT 3.1; later ones need mqtt";
            return self.mqtt_refuse_connect(
                key,
                Some(version),
                ReasonCode::UnsupportedProtocolVersion,
                &why,
            );
        }
        let will = match connect.will.map(|w| will(&w, self.net.context.limits.topic_levels_max)).transpose()
        {
            Ok(will) => will,
            Err(error) => {
                let why = format!("the will's topic is not valid: {error}");
                return self.mqtt_refuse_connect(key, Some(version), ReasonCode::TopicNameInvalid, &why);
            }
        };
        if will.as_ref().is_some_and(|will| will.message.topic.starts_with(HUB_TOPICS)) {
            let why = format!("the will's topic is below {}, where only the hub publishes", HUB_TOPICS);
            return self.mqtt_refuse_connect(key, Some(version), ReasonCode::NotAuthorized, &why);
        }
        // [MQTT-3.1.3-6] [v3 MQTT-3.1.3-6]
        let assigned = connect.client_id.is_empty().then(|| self.assign_client_id("mqtt"));
        let client_id = assigned.as_deref().unwrap_or(connect.client_id);
        let shard = self.hub.shared().shard_of(client_id);
        if shard != self.net.number {
            self.is_leaving = Some(shard);
            return;
        }
        if self.net.context.bans.refuses_client_id(client_id) {
            return self.mqtt_deny(key, version, ReasonCode::Banned, CLIENT_ID_IS_BANNED);
        }
        let Some(proof) = proof.or_else(|| self.mqtt_authenticate(key, state, packet, connect)) else {
            return;
        };
        if proof.user.as_ref().is_some_and(|user| self.net.context.bans.refuses_user(user)) {
            return self.mqtt_deny(key, version, ReasonCode::Banned, USER_IS_BANNED);
        }
        if self.hub.is_of_another(self.net.now, client_id, proof.user.as_ref()) {
            let why = "the session of this client id belongs to another user";
            return self.mqtt_deny(key, version, ReasonCode::NotAuthorized, why);
        }
        let expiry_s = asked_expiry_s(connect).min(self.net.context.limits.session_expiry_s_max);
        if self.hub.cannot_keep_client(client_id, expiry_s, will.as_ref()) {
            return self.mqtt_deny_unkept(key, version);
        }
        // Who has a session takes from it what waits there, or ends it.
        if self.net.takes_no_new() && !self.hub.has_session(client_id) {
            self.net.stats().refused.add(1);
            let reason =
                if version == Version::V5 { ReasonCode::ServerBusy } else { ReasonCode::ServerUnavailable };
            return self.mqtt_refuse_connect(key, Some(version), reason, &scarce::WHY);
        }
        let sessions_max = self.net.context.limits.sessions_max;
        if self.net.context.session_count() >= sessions_max && !self.hub.has_session(client_id) {
            let reason = match version {
                Version::V5 if self.net.context.mqtt.server_reference.is_some() => {
                    ReasonCode::UseAnotherServer
                }
                Version::V5 => ReasonCode::QuotaExceeded,
                _ => ReasonCode::ServerUnavailable,
            };
            // [v3 MQTT-4.8.0-2]
            let why = format!("there are {sessions_max} sessions already (limits.sessions_max)");
            return self.mqtt_refuse_connect(key, Some(version), reason, &why);
        }
        let client = Client { id: client_id, is_assigned: assigned.is_some(), proof };
        self.mqtt_accept(key, state, connect, client, will);
    }

    fn mqtt_accept(
        &mut self,
        key: ConnectionKey,
        state: &mut MqttInput,
        connect: &Connect<'_>,
        client: Client<'_>,
        will: Option<Will>,
    ) {
        let Client { id: client_id, is_assigned, proof } = client;
        self.finish_run();
        self.begin_event();
        let (version, properties, limits) = (connect.version, &connect.properties, &self.net.context.limits);
        let asked_expiry_s = asked_expiry_s(connect);
        let expiry_s = asked_expiry_s.min(limits.session_expiry_s_max);
        let keep_alive_s = keep_alive_s(connect, limits.keep_alive_s_max);
        let aliases = aliases(properties.topic_alias_max.unwrap_or(0).min(limits.topic_alias_out_max));
        let mut answer = ConnAck {
            session_present: false,
            // [MQTT-3.1.4-5] [v3 MQTT-3.1.4-4]
            reason: ReasonCode::Success,
            // What is absent has the meaning that fits: every QoS [MQTT-3.2.2-9] [MQTT-3.2.2-12], retained messages
            // [MQTT-3.2.2-13], wildcards and all else is there. Response information [MQTT-3.1.2-28] and user properties
            // [MQTT-3.2.2-20] are never sent.
            properties: ConnAckProperties {
                session_expiry_s: (expiry_s != asked_expiry_s).then_some(expiry_s),
                receive_max: (limits.receive_max < u16::MAX).then_some(limits.receive_max),
                packet_bytes_max: u32::try_from(limits.packet_bytes_max).ok(),
                topic_alias_max: (limits.topic_alias_max > 0).then_some(limits.topic_alias_max),
                // [MQTT-3.1.3-7] [MQTT-3.2.2-16]
                assigned_client_id: is_assigned.then_some(client_id),
                server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
                // [MQTT-4.12.0-5] [MQTT-4.12.0-6]
                authentication_method: proof.scram_final.is_some().then_some(scram::NAME),
                authentication_data: proof.scram_final.as_deref(),
                ..ConnAckProperties::default()
            },
        };
        if answer.encoded_len(version) > properties.packet_bytes_max.unwrap_or(u32::MAX) as usize {
            let why = "CONNACK is longer than the client takes";
            return self.mqtt_refuse_connect(key, Some(version), ReasonCode::PacketTooLarge, &why);
        }
        self.sn_before_takeover(client_id);
        let connected = self.hub.connect(
            self.net.now,
            trefoil_hub::Connect {
                // [MQTT-3.1.4-4] [v3 MQTT-3.1.4-3]
                // A session that JSON has left is none of MQTT's.
                clean_start: connect.clean_start || self.hub.token(self.net.now, client_id).is_some(),
                expiry_s,
                // [MQTT-3.3.4-9]
                window_max: properties.receive_max.unwrap_or(u16::MAX),
                will,
                user_name: proof.user.as_deref().or(connect.user_name),
                language: Some(Language::Mqtt),
                identity: proof.user.clone(),
                slow_reader: self.slow_reader(key),
                tag: self.connection_tag(key),
                ..trefoil_hub::Connect::new(client_id, key)
            },
            &mut self.net,
        );
        if let Some(old) = connected.displaced {
            self.displace(old);
        }
        // [MQTT-3.2.2-3] [v3 MQTT-3.2.2-2] [v3 MQTT-3.2.2-3]
        answer.session_present = connected.present;
        self.settle();
        // [MQTT-3.2.0-1] [v3 MQTT-3.2.0-1]: the first packet, and the only one of its kind [MQTT-3.2.0-2].
        self.net.answer(key, |out| answer.encode(version, out));
        if let Some(connection) = self.net.get_mut(key) {
            connection.holds_all = connection.held.is_some();
        }
        state.version = Some(version);
        state.uses_scram = proof.scram_final.is_some();
        state.session_expiry_s = connected.expiry_s;
        state.wants_reasons = properties.request_problem_information;
        if let Some(connection) = self.net.get_mut(key) {
            connection.session = Some(connected.session);
            connection.user = proof.user.clone();
            connection.form = Form::Mqtt(MqttForm { version, aliases });
        }
        self.set_deadline(key, None);
        // [MQTT-3.1.2-22] [v3 MQTT-3.1.2-24]: one and a half times the keep-alive, which is the client's unless CONNACK
        // has said another one [MQTT-3.2.2-22].
        self.set_silence(key, u32::from(keep_alive_s) * 1500);
        self.resume(key, connected.session);
    }

    /// Refuses a client: with CONNACK in its version, if it is known, and then by closing [MQTT-3.2.2-7]
    /// [v3 MQTT-3.2.2-5] [MQTT-4.13.2-1]. What it has sent behind CONNECT is not looked at [MQTT-3.1.4-6] [v3 MQTT-3.1.4-5].
    pub(super) fn mqtt_refuse_connect(
        &mut self,
        key: ConnectionKey,
        version: Option<Version>,
        reason: ReasonCode,
        why: &dyn std::fmt::Display,
    ) {
        self.net.stats().protocol_errors.add(1);
        self.mqtt_say_no(key, version, reason, why);
        self.say_close(key, CloseCode::PROTOCOL_ERROR, &why.to_string());
        self.close(key);
    }

    /// As [`mqtt_refuse_connect`](Self::mqtt_refuse_connect), for a client that broke no rule.
    pub(super) fn mqtt_deny(&mut self, key: ConnectionKey, version: Version, reason: ReasonCode, why: &str) {
        self.mqtt_say_no(key, Some(version), reason, &why);
        self.say_close(key, CloseCode::POLICY_VIOLATION, why);
        self.close(key);
    }

    /// Refuses a client of whom something has to be kept while the disk takes nothing.
    pub(in crate::shard) fn mqtt_deny_unkept(&mut self, key: ConnectionKey, version: Version) {
        let reason = match version {
            Version::V5 => ReasonCode::QuotaExceeded,
            _ => ReasonCode::ServerUnavailable,
        };
        self.mqtt_deny(key, version, reason, "the session or will has to be kept, and cannot be now");
    }

    fn mqtt_say_no(
        &mut self,
        key: ConnectionKey,
        version: Option<Version>,
        reason: ReasonCode,
        why: &dyn std::fmt::Display,
    ) {
        tracing::debug!(reason = reason.name(), %why, "an MQTT client is refused");
        if let Some(version) = version.filter(|v| *v == Version::V5 || has_v3_return_code(reason)) {
            let why = why.to_string();
            let mut answer = ConnAck { reason, ..ConnAck::default() };
            answer.properties.reason_string = Some(&why);
            let context = self.net.context.clone();
            if matches!(reason, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved) {
                answer.properties.server_reference = context.mqtt.server_reference.as_deref();
            }
            if !self.net.answer(key, |out| answer.encode(version, out)) {
                // [MQTT-3.2.2-19]
                (answer.properties.reason_string, answer.properties.server_reference) = (None, None);
                self.net.answer(key, |out| answer.encode(version, out));
            }
        }
    }

    /// A name for a client that has none, such that its session belongs to this shard.
    pub(in crate::shard) fn assign_client_id(&mut self, kind: &str) -> String {
        loop {
            // SplitMix64: names must not repeat, and that strangers guess one gives them nothing.
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.random;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let name = format!("{kind}-{:016x}", z ^ (z >> 31));
            // [MQTT-3.2.2-16]
            if self.hub.shared().shard_of(&name) == self.net.number && !self.hub.has_session(&name) {
                return name;
            }
        }
    }
}

/// What a well-formed CONNECT may still be refused for [MQTT-3.1.4-2]. No client id is too long or too strange
/// [MQTT-3.1.3-5] [v3 MQTT-3.1.3-5].
fn check(connect: &Connect<'_>) -> Result<(), (ReasonCode, String)> {
    if connect.version != Version::V5 && connect.client_id.is_empty() && !connect.clean_start {
        // [v3 MQTT-3.1.3-7] [v3 MQTT-3.1.3-8] [v3 MQTT-3.1.3-9]; MQTT 5 has no such rule [MQTT-3.1.3-8].
        let why = "a client without a client id must ask for a clean session".to_string();
        return Err((ReasonCode::ClientIdentifierNotValid, why));
    }
    if connect.version == Version::V3_1 && connect.client_id.is_empty() {
        let why = "MQTT 3.1 needs a client id of at least one character".to_string();
        return Err((ReasonCode::ClientIdentifierNotValid, why));
    }
    Ok(())
}

fn will(will: &trefoil_mqtt::Will<'_>, levels_max: usize) -> Result<Will, TopicError> {
    let message = Message {
        topic: Topic::new(will.topic, levels_max)?,
        payload: Payload::copy_from_slice(will.payload),
        qos: will.qos,
        retain: will.retain,
        expires_at: None,
        properties: Properties::copy(&will.properties),
    };
    Ok(Will { message, expiry_s: will.properties.expiry_s, delay_s: will.delay_s })
}

/// For how long the session is to outlast its connection [MQTT-3.1.2-23] [v3 MQTT-3.1.2-4] [v3 MQTT-3.1.2-6].
fn asked_expiry_s(connect: &Connect<'_>) -> u32 {
    match connect.version {
        Version::V5 => connect.properties.session_expiry_s.unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => u32::MAX,
    }
}

/// The keep-alive that holds: what the client asks for, unless the hub wants it shorter, which only MQTT 5 can say.
fn keep_alive_s(connect: &Connect<'_>, max: u16) -> u16 {
    let asked = connect.keep_alive_s;
    let is_too_long = max > 0 && (asked == 0 || asked > max);
    if connect.version == Version::V5 && is_too_long { max } else { asked }
}

/// [MQTT-3.1.2-27]: none at all for a client that takes none.
fn aliases(max: u16) -> Option<Box<Aliases>> {
    (max > 0).then(|| Box::new(Aliases { max, numbers: HashMap::default() }))
}

/// Whether CONNACK of MQTT 3 has a return code for it; for the rest the connection is only closed [v3 MQTT-3.2.2-6]
/// [v3 MQTT-3.1.4-1].
fn has_v3_return_code(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::UnsupportedProtocolVersion
            | ReasonCode::ClientIdentifierNotValid
            | ReasonCode::ServerUnavailable
            | ReasonCode::BadUserNameOrPassword
            | ReasonCode::NotAuthorized
            | ReasonCode::Banned
    )
}
