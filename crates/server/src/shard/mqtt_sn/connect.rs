//! CONNECT with its questions for the will (§6.2, §6.3), and the changes of a will (§6.4).

use super::Stage;
use super::client::{Client, Step, WillTopic, Wish};
use crate::shard::ShardLoop;
use crate::shard::connection::{Form, Input, Link, Peer};
use crate::shard::ways::{Place, Way};
use crate::stats::Kind;
use std::net::SocketAddr;
use trefoil_hub::topic::HUB_TOPICS;
use trefoil_hub::{ClientKind, ConnectionKey, Ending, Language, Message, Payload, SessionKey, Topic, Will};
use trefoil_mqtt_sn::{ConnAck, Connect, Packet, ReturnCode};

impl ShardLoop {
    pub(super) fn sn_connect(&mut self, number: usize, from: SocketAddr, way: Way, connect: &Connect<'_>) {
        if self.net.context.bans.refuses_client_id(connect.client_id) {
            return self.sn_refuse(number, from, way, ReturnCode::NOT_SUPPORTED);
        }
        let Some(key) = self.sn_find_or_add(number, from, connect.client_id) else {
            self.net.stats().refused.add(1);
            return self.sn_refuse(number, from, way, ReturnCode::CONGESTION);
        };
        self.sn_bind(key, number, from, way);
        let wish = Wish {
            client_id: connect.client_id.into(),
            clean: connect.clean_session,
            keep_alive_s: connect.keep_alive_s,
            will: None,
        };
        if !connect.will {
            return self.sn_accept(key, wish, None);
        }
        if let Some(client) = self.sn_client_mut(key) {
            client.stage = Stage::Connecting(Box::new(wish));
        }
        self.sn_ask(key, Step::WillTopic);
    }

    /// The connection of a client id, wherever it was, or a new one. `None`: there are as many as there may be.
    fn sn_find_or_add(&mut self, number: usize, from: SocketAddr, client_id: &str) -> Option<ConnectionKey> {
        if let Some(key) = self.sn_connection(client_id) {
            return Some(key);
        }
        if let Some(Place::Here(key)) = self.place(number, from)
            && let Some(Stage::Connecting(wish)) = self.sn_client(key).map(|client| &client.stage)
            && *wish.client_id == *client_id
        {
            // The question for its will got lost, or the answer.
            return Some(key);
        }
        if !self.admit(number) {
            return None;
        }
        self.net.stats().accepted.add(1);
        let key = self.add(Link::Udp(Peer::new(from)), number);
        self.set_input(key, Kind::MqttSn, Input::Ignored);
        if let Some(connection) = self.net.get_mut(key) {
            connection.form = Form::MqttSn(Box::new(Client::new()));
        }
        Some(key)
    }

    /// The connection of a client that has a session over MQTT-SN.
    pub(super) fn sn_connection(&self, client_id: &str) -> Option<ConnectionKey> {
        let key = self.hub.connection(self.hub.find(client_id)?)?;
        self.sn_client(key).map(|_| key)
    }

    /// WILLTOPIC: then the payload is asked for, unless there is to be no will.
    pub(super) fn sn_will_topic(&mut self, key: ConnectionKey, will: Option<trefoil_mqtt_sn::WillTopic<'_>>) {
        let topic = match will.map(|will| self.sn_topic_of_will(&will)) {
            None => None,
            Some(Some(topic)) => Some(topic),
            Some(None) => return self.sn_refuse_wish(key),
        };
        let Some(Stage::Connecting(wish)) = self.sn_client_mut(key).map(|client| &mut client.stage) else {
            return;
        };
        let has_will = topic.is_some();
        wish.will = topic;
        if has_will {
            return self.sn_ask(key, Step::WillMessage);
        }
        if let Some(wish) = self.sn_take_wish(key) {
            self.sn_accept(key, wish, None);
        }
    }

    /// WILLMSG: the last answer, upon which the client is connected.
    pub(super) fn sn_will_message(&mut self, key: ConnectionKey, payload: &[u8]) {
        if payload.len() > self.net.context.gateway.settings.will_bytes_max {
            return self.sn_refuse_wish(key);
        }
        let Some(mut wish) = self.sn_take_wish(key) else { return };
        let Some(will) = wish.will.take() else {
            // It came before the topic: the client has answered another question, and gets this one again.
            if let Some(client) = self.sn_client_mut(key) {
                client.stage = Stage::Connecting(Box::new(wish));
            }
            return;
        };
        self.sn_accept(key, wish, Some(will_of(will, payload)));
    }

    /// Gives the client its session and says so.
    fn sn_accept(&mut self, key: ConnectionKey, wish: Wish, will: Option<Will>) {
        self.finish_run();
        let now = self.net.now;
        let known = self.hub.find(&wish.client_id);
        if self.hub.is_of_another(now, &wish.client_id, None) {
            // MQTT-SN has no passwords, so that nobody can prove to be the user whose session this is.
            return self.sn_drop(key, ReturnCode::NOT_SUPPORTED);
        }
        let sessions_max = self.net.context.limits.sessions_max;
        if known.is_none() && self.net.context.session_count() >= sessions_max {
            return self.sn_drop(key, ReturnCode::CONGESTION);
        }
        if self.hub.is_of_another(now, &wish.client_id, None) {
            return self.sn_drop(key, ReturnCode::NOT_SUPPORTED);
        }
        let own = self.net.get(key).and_then(|connection| connection.session);
        let expiry_s = if wish.clean { 0 } else { u32::MAX };
        if self.hub.cannot_keep_client(&wish.client_id, expiry_s, will.as_ref()) {
            return self.sn_drop(key, ReturnCode::CONGESTION);
        }
        // A will lasts until another one or a clean session takes its place (§6.3).
        let is_own =
            known.is_some_and(|session| own == Some(session) || self.hub.connection(session).is_none());
        let kept =
            known.filter(|_| is_own && !wish.clean).and_then(|session| self.hub.will(session).cloned());
        if let Some(own) = own {
            self.sn_hold_back(key);
            // It is still here, awake or asleep: no reason for its will to be published.
            self.hub.disconnect(now, own, Ending::Normal { expiry_s: Some(u32::MAX) }, &mut self.net);
        }
        let connected = self.hub.connect(
            now,
            trefoil_hub::Connect {
                clean_start: wish.clean || self.hub.token(now, &wish.client_id).is_some(),
                expiry_s,
                // One message at a time, as the specification has it (§6.13).
                window_max: 1,
                will: will.or(kept),
                language: Some(Language::MqttSn),
                slow_reader: self.slow_reader(key),
                kind: ClientKind::MqttSn,
                tag: self.connection_tag(key),
                ..trefoil_hub::Connect::new(&wish.client_id, key)
            },
            &mut self.net,
        );
        if let Some(old) = connected.displaced {
            self.displace(old);
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.session = Some(connected.session);
            connection.heard_at = now;
        }
        if let Some(client) = self.sn_client_mut(key) {
            client.begin_anew(wish.clean);
            client.stage = Stage::Active;
            client.keep_alive_s = wish.keep_alive_s;
        }
        self.sn_answer(key, &Packet::ConnAck(ConnAck { return_code: ReturnCode::ACCEPTED }));
        if let Some(connection) = self.net.get_mut(key) {
            connection.holds_all = connection.held.is_some();
        }
        self.set_silence(key, u32::from(wish.keep_alive_s) * 1500);
        self.note_weighed(key, connected.session);
        self.sn_go_on(key);
    }

    pub(super) fn sn_update_will_topic(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        will: Option<trefoil_mqtt_sn::WillTopic<'_>>,
    ) {
        let code = match will.map(|will| self.sn_topic_of_will(&will)) {
            None => {
                self.hub.set_will(session, None);
                ReturnCode::ACCEPTED
            }
            Some(Some(topic)) => {
                let payload = self.hub.will(session).map(|will| will.message.payload.clone());
                self.hub.set_will(session, Some(will_of(topic, &payload.unwrap_or_default())));
                ReturnCode::ACCEPTED
            }
            Some(None) => ReturnCode::NOT_SUPPORTED,
        };
        self.sn_answer(key, &Packet::WillTopicResp(code));
    }

    pub(super) fn sn_update_will_message(&mut self, key: ConnectionKey, session: SessionKey, payload: &[u8]) {
        let fits = payload.len() <= self.net.context.gateway.settings.will_bytes_max;
        let code = match self.hub.will(session).cloned().filter(|_| fits) {
            Some(mut will) => {
                will.message.payload = Payload::copy_from_slice(payload);
                self.hub.set_will(session, Some(will));
                ReturnCode::ACCEPTED
            }
            None => ReturnCode::NOT_SUPPORTED,
        };
        self.sn_answer(key, &Packet::WillMsgResp(code));
    }

    /// The topic of a will, if it is one that a client may publish to.
    fn sn_topic_of_will(&self, will: &trefoil_mqtt_sn::WillTopic<'_>) -> Option<WillTopic> {
        let topic = Topic::new(will.topic, self.net.context.limits.topic_levels_max).ok()?;
        let qos = super::qos(will.qos);
        (!topic.starts_with(HUB_TOPICS)).then_some(WillTopic { topic, qos, retain: will.retain })
    }

    /// What the client says of its will cannot be: it is refused, and loses a session that it may have had.
    fn sn_refuse_wish(&mut self, key: ConnectionKey) {
        if self.sn_take_wish(key).is_some() {
            self.net.stats().protocol_errors.add(1);
            self.sn_drop(key, ReturnCode::NOT_SUPPORTED);
        }
    }

    /// Refuses a client that has a connection already.
    fn sn_drop(&mut self, key: ConnectionKey, return_code: ReturnCode) {
        self.sn_answer(key, &Packet::ConnAck(ConnAck { return_code }));
        self.sn_end(key, Ending::Lost);
    }

    fn sn_refuse(&mut self, number: usize, from: SocketAddr, way: Way, return_code: ReturnCode) {
        self.sn_tell(number, from, &Packet::ConnAck(ConnAck { return_code }));
        self.end_way(number, from, Some(way));
    }

    /// The wish of a client that is connecting; it is active from then on.
    fn sn_take_wish(&mut self, key: ConnectionKey) -> Option<Wish> {
        let client = self.sn_client_mut(key)?;
        match std::mem::replace(&mut client.stage, Stage::Active) {
            Stage::Connecting(wish) => Some(*wish),
            other => {
                client.stage = other;
                None
            }
        }
    }
}

fn will_of(topic: WillTopic, payload: &[u8]) -> Will {
    let message = Message {
        topic: topic.topic,
        payload: Payload::copy_from_slice(payload),
        qos: topic.qos,
        retain: topic.retain,
        expires_at: None,
        properties: None,
    };
    Will { message, expiry_s: None, delay_s: 0 }
}
