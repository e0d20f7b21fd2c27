//! What connected clients ask for: topics, subscriptions, messages (§6.5 to §6.9).

use super::Stage;
use crate::memory::NO_PUBLISH;
use crate::refused;
use crate::shard::ShardLoop;
use crate::stats::Drop;
use std::sync::Arc;
use trefoil_hub::topic::HUB_TOPICS;
use trefoil_hub::{
    ConnectionKey, Message, Payload, QoS, Refusal, RetainHandling, SessionKey, SubscriptionOptions, Topic,
    topic,
};
use trefoil_mqtt_sn::{
    Packet, PubAck, Publish, RegAck, Register, ReturnCode, SubAck, Subscribe, TopicFilter, TopicId,
    Unsubscribe,
};

impl ShardLoop {
    /// Takes a packet from the address of a client.
    pub(super) fn sn_packet(&mut self, key: ConnectionKey, packet: &Packet<'_>) {
        let now = self.net.now;
        let Some(connection) = self.net.get_mut(key) else { return };
        let session = connection.session;
        let Some(stage) = self.sn_client(key).map(|client| &client.stage) else { return };
        let is_answer = matches!(
            packet,
            Packet::PubAck(_)
                | Packet::PubRec(_)
                | Packet::PubComp(_)
                | Packet::RegAck(_)
                | Packet::Disconnect(_)
        );
        match stage {
            Stage::Asleep { .. } if !is_answer => {
                // A client that sleeps says who it is before it says anything else (§6.14). This may be another device,
                // whose address was that client's; one that is awake again has to connect in any case.
                self.sn_answer(key, &Packet::Disconnect(None));
                return self.sn_unbind(key);
            }
            Stage::Connecting(_) => {
                return match packet {
                    Packet::WillTopic(will) => self.sn_will_topic(key, *will),
                    Packet::WillMsg(payload) => self.sn_will_message(key, payload),
                    Packet::Disconnect(_) => self.sn_disconnect(key, None),
                    _ => {}
                };
            }
            _ => {}
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.heard_at = now;
        }
        let Some(session) = session else { return };
        if let Packet::Publish(publish) = packet {
            return self.sn_publish(key, session, publish);
        }
        self.finish_run();
        match packet {
            Packet::Register(register) => self.sn_register(key, register),
            Packet::Subscribe(subscribe) => self.sn_subscribe(key, session, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.sn_unsubscribe(key, session, unsubscribe),
            Packet::RegAck(_) | Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_) => {
                self.sn_answered(key, session, packet);
            }
            Packet::PubRel(msg_id) => {
                self.hub.release_incoming(session, *msg_id);
                self.sn_answer(key, &Packet::PubComp(*msg_id));
            }
            Packet::PingReq(_) => self.sn_answer(key, &Packet::PingResp),
            Packet::Disconnect(duration_s) => self.sn_disconnect(key, *duration_s),
            Packet::WillTopicUpd(will) => self.sn_update_will_topic(key, session, *will),
            Packet::WillMsgUpd(payload) => self.sn_update_will_message(key, session, payload),
            // The answer to its last question got lost, and the client has answered again: it is connected.
            Packet::WillMsg(_) | Packet::WillTopic(_) => {
                let return_code = ReturnCode::ACCEPTED;
                self.sn_answer(key, &Packet::ConnAck(trefoil_mqtt_sn::ConnAck { return_code }));
            }
            _ => self.net.stats().protocol_errors.add(1),
        }
    }

    fn sn_answered(&mut self, key: ConnectionKey, session: SessionKey, packet: &Packet<'_>) {
        if let Packet::PubRec(msg_id) = packet {
            if !self.hub.received(session, *msg_id) {
                // Left over from before: it is answered, and nothing depends on it.
                return self.sn_answer(key, &Packet::PubRel(*msg_id));
            }
            self.settle();
            return self.net.release_mqtt_sn(key, *msg_id, self.net.waits_for);
        }
        let settled = self.net.with_client(key, 0, |client, gateway, now, send| {
            let at = (&gateway.settings, now);
            match packet {
                Packet::RegAck(ack) => {
                    client.registered((ack.topic_id, ack.msg_id), ack.return_code, at, send)
                }
                Packet::PubAck(ack) => {
                    client.acknowledge(ack.topic_id, ack.msg_id, ack.return_code, at, send)
                }
                Packet::PubComp(msg_id) => client.complete(*msg_id),
                _ => super::Settled::Nothing,
            }
        });
        if let Some(settled) = settled {
            self.sn_settle(key, settled);
        }
    }

    fn sn_register(&mut self, key: ConnectionKey, register: &Register<'_>) {
        // Whoever asks for an id wants to publish (§6.5), and nobody may there.
        let is_for_hub = register.topic.starts_with(HUB_TOPICS);
        let given =
            if is_for_hub { Err(ReturnCode::NOT_SUPPORTED) } else { self.sn_give_id(key, register.topic) };
        let (topic_id, return_code) = match given {
            Ok(id) => (id, ReturnCode::ACCEPTED),
            Err(code) => (0, code),
        };
        self.sn_answer(key, &Packet::RegAck(RegAck { topic_id, msg_id: register.msg_id, return_code }));
    }

    /// Gives a topic an id that the client is about to be told.
    fn sn_give_id(&mut self, key: ConnectionKey, name: &str) -> Result<u16, ReturnCode> {
        let context = self.net.context.clone();
        let topic =
            Topic::new(name, context.limits.topic_levels_max).map_err(|_| ReturnCode::NOT_SUPPORTED)?;
        let client = self.sn_client_mut(key).ok_or(ReturnCode::CONGESTION)?;
        let max = context.gateway.settings.topics_max;
        let id = client.topics.register(&topic, max).ok_or(ReturnCode::CONGESTION)?;
        client.topics.set_told(id, true);
        Ok(id)
    }

    fn sn_subscribe(&mut self, key: ConnectionKey, session: SessionKey, subscribe: &Subscribe<'_>) {
        let qos = super::qos(subscribe.qos);
        let (topic_id, return_code) = match self.sn_subscribe_to(key, session, subscribe.topic, qos) {
            Ok(id) => (id, ReturnCode::ACCEPTED),
            Err(code) => (0, code),
        };
        let answer = SubAck { qos: subscribe.qos, topic_id, msg_id: subscribe.msg_id, return_code };
        self.sn_answer(key, &Packet::SubAck(answer));
        self.note_weighed(key, session);
        self.sn_go_on(key);
    }

    /// Subscribes; returns the id under which messages will come, 0 if there is none yet.
    fn sn_subscribe_to(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        wanted: TopicFilter<'_>,
        qos: QoS,
    ) -> Result<u16, ReturnCode> {
        let predefined;
        let filter = match &wanted {
            TopicFilter::Name(name) => name,
            TopicFilter::Short(name) => name.as_str(),
            TopicFilter::Predefined(id) => {
                predefined = self.sn_predefined(session, *id).ok_or(ReturnCode::INVALID_TOPIC_ID)?;
                predefined.as_str()
            }
        };
        let is_one_topic = !filter.contains(['+', '#'])
            && !["$share/", "$exclusive/"].iter().any(|prefix| filter.starts_with(prefix));
        let id = match wanted {
            TopicFilter::Predefined(id) => id,
            TopicFilter::Name(name) if is_one_topic => self.sn_give_id(key, name)?,
            TopicFilter::Name(_) | TopicFilter::Short(_) => 0,
        };
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        self.hub
            .subscribe(session, filter, options, RetainHandling::Send)
            .map_err(|error| refused::subscribe(error).mqtt_sn)?;
        if let TopicFilter::Predefined(id) = wanted
            && let Some(topic) = self.sn_predefined(session, id)
            && let Some(client) = self.sn_client_mut(key)
        {
            client.topics.set_predefined(id, topic);
        }
        Ok(id)
    }

    fn sn_unsubscribe(&mut self, key: ConnectionKey, session: SessionKey, unsubscribe: &Unsubscribe<'_>) {
        let predefined;
        let filter = match &unsubscribe.topic {
            TopicFilter::Name(name) => name,
            TopicFilter::Short(name) => name.as_str(),
            TopicFilter::Predefined(id) => {
                predefined = self.sn_predefined(session, *id);
                predefined.as_deref().unwrap_or_default()
            }
        };
        // Whether there was such a subscription cannot be said.
        let _ = self.hub.unsubscribe(self.net.now, session, filter, &mut self.net);
        self.sn_answer(key, &Packet::UnsubAck(unsubscribe.msg_id));
    }

    fn sn_publish(&mut self, key: ConnectionKey, session: SessionKey, publish: &Publish<'_>) {
        let topic = match publish.topic {
            TopicId::Registered(id) => {
                self.sn_client(key).and_then(|client| client.topics.topic(id)).cloned()
            }
            TopicId::Predefined(id) => self.sn_predefined(session, id),
            TopicId::Short(name) => self.sn_short(name.as_str()),
        };
        let topic_id = publish.topic.as_u16();
        let puback = |return_code| Packet::PubAck(PubAck { topic_id, msg_id: publish.msg_id, return_code });
        let Some(topic) = topic else {
            // A short name is no id that registering it could mend.
            let code = match publish.topic {
                TopicId::Short(_) => ReturnCode::NOT_SUPPORTED,
                TopicId::Registered(_) | TopicId::Predefined(_) => ReturnCode::INVALID_TOPIC_ID,
            };
            return self.sn_answer(key, &puback(code));
        };
        self.net.stats().messages_in.add(1);
        if topic.starts_with(HUB_TOPICS) {
            return self.sn_answer(key, &puback(ReturnCode::NOT_SUPPORTED));
        }
        let qos = super::qos(publish.qos);
        if qos == QoS::ExactlyOnce {
            self.finish_run();
            if !self.hub.take_incoming(session, publish.msg_id) {
                return self.sn_answer(key, &Packet::PubRec(publish.msg_id));
            }
        }
        let is_short = self.net.memory_stage >= NO_PUBLISH;
        if is_short && qos == QoS::AtMostOnce {
            // Nobody waits for an answer, and a device that got one would not know to which message.
            return self.net.count_drop(Drop::Memory, 1);
        }
        let receive_max = usize::from(self.net.context.limits.receive_max);
        let code = match is_short || self.hub.incoming_count(session) > receive_max {
            // There is no connection that one could stop reading from.
            true => ReturnCode::CONGESTION,
            false => self.sn_publish_message(Some(session), topic, qos, publish),
        };
        let answer = match (qos, code) {
            (QoS::AtMostOnce, ReturnCode::ACCEPTED) => return,
            (QoS::ExactlyOnce, ReturnCode::ACCEPTED) => Packet::PubRec(publish.msg_id),
            (QoS::ExactlyOnce, _) => {
                // What is refused is not remembered.
                self.hub.release_incoming(session, publish.msg_id);
                puback(code)
            }
            _ => puback(code),
        };
        self.sn_answer(key, &answer);
    }

    /// A message of QoS −1 from somebody who has no connection (§6.8).
    pub(super) fn sn_publish_alone(&mut self, publish: &Publish<'_>) {
        let topic = match publish.topic {
            TopicId::Registered(_) => None,
            TopicId::Predefined(id) => self.net.context.gateway.predefined(None, id).cloned(),
            TopicId::Short(name) => self.sn_short(name.as_str()),
        };
        match topic.filter(|topic| !topic.starts_with(HUB_TOPICS)) {
            Some(_) if self.net.memory_stage >= NO_PUBLISH => {
                self.net.stats().messages_in.add(1);
                self.net.count_drop(Drop::Memory, 1);
            }
            Some(topic) => {
                self.net.stats().messages_in.add(1);
                self.sn_publish_message(None, topic, QoS::AtMostOnce, publish);
            }
            // Nobody waits for an answer.
            None => self.net.stats().protocol_errors.add(1),
        }
    }

    fn sn_publish_message(
        &mut self,
        publisher: Option<SessionKey>,
        topic: Topic,
        qos: QoS,
        publish: &Publish<'_>,
    ) -> ReturnCode {
        let code = |refused: Option<Refusal>| {
            refused.map_or(ReturnCode::ACCEPTED, |why| refused::publish(why).mqtt_sn)
        };
        if qos == QoS::AtMostOnce && !publish.retain {
            return code(self.publish_plain(publisher, &topic, publish.payload, None));
        }
        let message = Message {
            topic,
            payload: Payload::copy_from_slice(publish.payload),
            qos,
            retain: publish.retain,
            expires_at: None,
            properties: None,
        };
        code(self.publish(publisher, &Arc::new(message)).refused)
    }

    fn sn_predefined(&self, session: SessionKey, id: u16) -> Option<Topic> {
        let client_id = self.hub.client_id(session).map(|client_id| &**client_id);
        self.net.context.gateway.predefined(client_id, id).cloned()
    }

    /// A topic of two octets, if it is a valid one.
    fn sn_short(&self, name: &str) -> Option<Topic> {
        topic::check_topic(name, self.net.context.limits.topic_levels_max).ok()?;
        Topic::new(name, usize::MAX).ok()
    }
}
