//! PUBLISH from a client.

use crate::refused;
use crate::shard::ShardLoop;
use crate::shard::connection::MqttInput;
use std::borrow::Cow;
use std::sync::Arc;
use trefoil_hub::topic::{self, HUB_TOPICS};
use trefoil_hub::{ConnectionKey, Message, Payload, Properties, Published, QoS, Refusal, SessionKey, Topic};
use trefoil_mqtt::{PacketType, Publish, ReasonCode, Version, decode_publish};

/// What a message came to that had been published before.
const DONE: Published = Published { matched: true, not_retained: false, refused: None };

/// What ends the connection.
type Fault = (ReasonCode, String);

impl ShardLoop {
    pub(super) fn mqtt_publish(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        state: &mut MqttInput,
        version: Version,
        packet: &[u8],
    ) {
        let publish = match decode_publish(packet, version) {
            Ok(publish) => publish,
            Err(error) => return self.mqtt_refuse(key, state, packet, &error),
        };
        let is_plain = publish.qos == QoS::AtMostOnce
            && !publish.retain
            && publish.properties.is_empty()
            && publish.subscription_ids.is_empty();
        if is_plain && publish.topic_alias.is_none() && self.run.continues(publish.topic, Some(session)) {
            // As most messages of a busy publisher: nothing is left to be asked.
            self.net.stats().messages_in.add(1);
            return match version {
                Version::V5 => self.run.push_payload(publish.payload),
                _ => self.run.push_packet(packet),
            };
        }
        let topic = match self.resolve(state, &publish) {
            Ok(topic) => topic,
            Err((reason, why)) => return self.mqtt_fail(key, reason, &why),
        };
        self.note_publisher(key);
        self.net.stats().messages_in.add(1);
        if topic.starts_with(HUB_TOPICS) {
            return self.refuse_hub_topic(key, version, state.wants_reasons, &publish);
        }
        if state.last_topic.as_ref() != Some(&topic) {
            let levels_max = self.net.context.limits.topic_levels_max;
            if let Err(error) = topic::check_topic(&topic, levels_max) {
                return self.refuse_topic(key, (version, state.wants_reasons), &publish, error);
            }
            state.last_topic = Some(topic.clone());
        }
        if is_plain {
            let packet = (version != Version::V5).then_some(packet);
            // If it is refused, nobody waits to hear that.
            self.publish_plain(Some(session), &topic, publish.payload, packet);
            return;
        }
        let message = Arc::new(Message {
            topic,
            payload: Payload::copy_from_slice(publish.payload),
            qos: publish.qos,
            retain: publish.retain,
            expires_at: publish.properties.expiry_s.map(|s| self.net.now.plus_s(s.into())),
            properties: Properties::copy(&publish.properties),
        });
        // [MQTT-3.3.4-1] [v3 MQTT-3.3.4-1]
        match publish.qos {
            QoS::AtMostOnce => {
                self.publish(Some(session), &message);
            }
            QoS::AtLeastOnce => {
                // [MQTT-4.3.2-4] [MQTT-4.3.2-5] [v3 MQTT-4.3.2-2]: each one is a message, whatever its id and DUP.
                let published = self.publish(Some(session), &message);
                let asked = (version, state.wants_reasons);
                self.mqtt_answer_publish(key, asked, PacketType::PubAck, publish.packet_id, published);
            }
            QoS::ExactlyOnce => {
                let asked = (version, state.wants_reasons);
                self.publish_exactly_once(key, session, asked, publish.packet_id, &message);
            }
        }
    }

    fn publish_exactly_once(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        (version, wants_reasons): (Version, bool),
        packet_id: u16,
        message: &Arc<Message>,
    ) {
        let receive_max = usize::from(self.net.context.limits.receive_max);
        let is_new = self.hub.take_incoming(session, packet_id);
        // Before MQTT 5 there is no such bound, and packet ids are the only one.
        if is_new && version == Version::V5 && self.hub.incoming_count(session) > receive_max {
            // [MQTT-3.3.4-7] is the client's to keep. The message is not published, so it must not pass for one that is
            // when the client sends it again.
            self.hub.release_incoming(session, packet_id);
            let why = "more QoS 2 messages are under way than the receive maximum allows";
            return self.mqtt_fail(key, ReasonCode::ReceiveMaximumExceeded, why);
        }
        // It is published when it comes; from then on the packet id stands for having been published, whether the message
        // has expired since or not [MQTT-4.3.3-13].
        let published = if is_new { self.publish(Some(session), message) } else { DONE };
        if reason(published) as u8 >= 0x80 {
            // [MQTT-4.3.3-9]: what is refused is not remembered.
            self.hub.release_incoming(session, packet_id);
        }
        // [MQTT-4.3.3-8] [MQTT-4.3.3-10] [v3 MQTT-4.3.3-2]
        let asked = (version, wants_reasons);
        self.mqtt_answer_publish(key, asked, PacketType::PubRec, packet_id, published);
    }

    /// Answers with a PUBACK or PUBREC, in words if something is wrong and the client wants them.
    fn mqtt_answer_publish(
        &mut self,
        key: ConnectionKey,
        (version, wants_reasons): (Version, bool),
        packet: PacketType,
        packet_id: u16,
        published: Published,
    ) {
        if version != Version::V5 && published.refused == Some(Refusal::NotKept) {
            // [v3 MQTT-3.3.5-2]: there are no words for it, and an acknowledgement would promise that it is kept. The
            // client sends it again on its next connection.
            return self.mqtt_fail(
                key,
                ReasonCode::QuotaExceeded,
                "the message has to be kept, and cannot be now",
            );
        }
        let why = words(published).filter(|_| wants_reasons);
        self.mqtt_answer_why(key, version, packet, packet_id, (reason(published), why.as_deref()));
    }

    /// The topic of a publish, by its name or its alias.
    fn resolve(&mut self, state: &mut MqttInput, publish: &Publish<'_>) -> Result<Topic, Fault> {
        // [MQTT-3.3.4-6]
        if !publish.subscription_ids.is_empty() {
            return Err((ReasonCode::ProtocolError, "a client sends no subscription identifiers".into()));
        }
        let topic = match state.last_topic.as_ref().filter(|last| ***last == *publish.topic) {
            Some(last) => Some(last.clone()),
            None if publish.topic.is_empty() => None,
            None => {
                // One with too many levels is well-formed, and an alias may stand for it: only messages to it are refused.
                let topic = Topic::new(publish.topic, usize::MAX).map_err(|error| {
                    (ReasonCode::TopicNameInvalid, format!("the topic is not valid: {error}"))
                })?;
                Some(topic)
            }
        };
        match publish.topic_alias {
            Some(alias) => self.resolve_alias(state, alias, topic),
            None => topic.ok_or((ReasonCode::TopicNameInvalid, topic::TopicError::Empty.to_string())),
        }
    }

    fn resolve_alias(&self, state: &mut MqttInput, alias: u16, topic: Option<Topic>) -> Result<Topic, Fault> {
        let max = self.net.context.limits.topic_alias_max;
        if alias == 0 || alias > max {
            // [MQTT-3.3.2-9] [MQTT-3.2.2-17] [MQTT-3.2.2-18]; all others are taken [MQTT-3.3.2-12].
            let why = format!("topic alias {alias} is not between 1 and the maximum, {max}");
            return Err((ReasonCode::TopicAliasInvalid, why));
        }
        let place = usize::from(alias) - 1;
        match topic {
            Some(topic) => {
                if state.aliases.len() <= place {
                    state.aliases.resize(place + 1, None);
                }
                state.aliases[place] = Some(topic.clone());
                Ok(topic)
            }
            None => state.aliases.get(place).cloned().flatten().ok_or_else(|| {
                (ReasonCode::ProtocolError, format!("topic alias {alias} stands for no topic yet"))
            }),
        }
    }

    /// The hub does not take messages to this topic, which is well-formed (MQTT 5.0 §3.4.2.1, §3.5.2.1). Before MQTT 5 an
    /// acknowledgement cannot say no [v3 MQTT-3.3.5-2], and at QoS 0 there is none.
    fn refuse_topic(
        &mut self,
        key: ConnectionKey,
        asked: (Version, bool),
        publish: &Publish<'_>,
        error: topic::TopicError,
    ) {
        let published = self.hub.refuse(Refusal::Topic(error));
        let packet = match publish.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => PacketType::PubAck,
            QoS::ExactlyOnce => PacketType::PubRec,
        };
        self.mqtt_answer_publish(key, asked, packet, publish.packet_id, published);
    }

    /// Those topics are the hub's own: the message is not published, and who waits for an answer is told.
    fn refuse_hub_topic(
        &mut self,
        key: ConnectionKey,
        version: Version,
        wants_reasons: bool,
        publish: &Publish<'_>,
    ) {
        // Before MQTT 5 an acknowledgement cannot say no [v3 MQTT-3.3.5-2].
        let why = wants_reasons.then_some("only the hub publishes below $SYS/");
        let packet = match publish.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => PacketType::PubAck,
            QoS::ExactlyOnce => PacketType::PubRec,
        };
        self.mqtt_answer_why(key, version, packet, publish.packet_id, (ReasonCode::NotAuthorized, why));
    }
}

fn reason(published: Published) -> ReasonCode {
    if let Some(why) = published.refused {
        refused::publish(why).mqtt
    } else if published.not_retained {
        ReasonCode::QuotaExceeded
    } else if published.matched {
        ReasonCode::Success
    } else {
        ReasonCode::NoMatchingSubscribers
    }
}

/// What a publisher is told in words; the rest is in the code.
fn words(published: Published) -> Option<Cow<'static, str>> {
    const NO_ROOM: &str =
        "delivered, but there is no room to retain it (limits.retained_messages_max, _bytes_max)";
    let refused = published.refused.map(|why| why.to_string().into());
    refused.or(published.not_retained.then_some(NO_ROOM.into()))
}
