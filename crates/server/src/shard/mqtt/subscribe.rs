//! SUBSCRIBE and UNSUBSCRIBE.

use crate::refused;
use crate::shard::ShardLoop;
use std::num::NonZeroU32;
use trefoil_hub::{ConnectionKey, Filter, SessionKey, SlowReader, SubscriptionOptions, TopicError};
use trefoil_mqtt::{ReasonCode, SubAck, Subscribe, UnsubAck, Unsubscribe, Version};

/// The longest reason string: what quotes a client's own filter could be as long as that.
const WORDS_BYTES_MAX: usize = 512;

/// The user property of a SUBSCRIBE that says what happens to messages for which the client is too slow.
const SLOW_READER: &str = "slow_reader";

impl ShardLoop {
    pub(super) fn mqtt_subscribe(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        (version, wants_reasons): (Version, bool),
        subscribe: &Subscribe<'_>,
    ) {
        let mut filters = subscribe.filters.iter().map(|f| f.filter);
        if let Some(why) = filters.find_map(|filter| ill_formed(filter, version)) {
            return self.mqtt_fail(key, ReasonCode::MalformedPacket, &why);
        }
        let (mut reasons, mut why) = (Vec::new(), None);
        let slow_reader = slow_reader(subscribe);
        for wanted in subscribe.filters.iter() {
            let slow_reader = match &slow_reader {
                Ok(policy) => *policy,
                Err(error) => {
                    why = Some(error.clone());
                    reasons.push(ReasonCode::ImplementationSpecificError);
                    continue;
                }
            };
            let options = SubscriptionOptions {
                qos: wanted.qos,
                no_local: wanted.no_local,
                retain_as_published: wanted.retain_as_published,
                id: subscribe.subscription_id.and_then(NonZeroU32::new),
                slow_reader,
            };
            let made = self.hub.subscribe(session, wanted.filter, options, wanted.retain_handling);
            reasons.push(match made {
                // [MQTT-3.2.2-10]
                Ok(qos) => ReasonCode::granted(qos),
                Err(error) => {
                    why = Some(format!("{:?}: {error}", wanted.filter));
                    refused::subscribe(error).mqtt
                }
            });
        }
        // One answer, with a reason for each filter in order: [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6]
        // [MQTT-3.8.4-7] [v3 MQTT-3.8.4-1] [v3 MQTT-3.8.4-2] [v3 MQTT-3.8.4-4].
        let (packet_id, reasons) = (subscribe.packet_id, (&*reasons).into());
        let why = words(why.as_deref(), wants_reasons);
        let is_sent = self.mqtt_answer_with_words(key, why, |properties, out| {
            SubAck { packet_id, properties, reasons }.encode(version, out);
        });
        if is_sent {
            self.resume(key, session);
        }
    }

    pub(super) fn mqtt_unsubscribe(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        (version, wants_reasons): (Version, bool),
        unsubscribe: &Unsubscribe<'_>,
    ) {
        if let Some(why) = unsubscribe.filters.iter().find_map(|filter| ill_formed(filter, version)) {
            return self.mqtt_fail(key, ReasonCode::MalformedPacket, &why);
        }
        let (mut reasons, mut why) = (Vec::new(), None);
        for filter in unsubscribe.filters.iter() {
            reasons.push(match self.hub.unsubscribe(self.net.now, session, filter, &mut self.net) {
                Ok(true) => ReasonCode::Success,
                Ok(false) => ReasonCode::NoSubscriptionExisted,
                Err(error) => {
                    why = Some(format!("{filter:?}: {error}"));
                    ReasonCode::TopicFilterInvalid
                }
            });
        }
        // [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [v3 MQTT-3.10.4-4] [v3 MQTT-3.10.4-5] [v3 MQTT-3.10.4-6]
        let (packet_id, reasons) = (unsubscribe.packet_id, (&*reasons).into());
        self.mqtt_answer_with_words(key, words(why.as_deref(), wants_reasons), |properties, out| {
            UnsubAck { packet_id, properties, reasons }.encode(version, out);
        });
    }
}

/// What a client wants to happen if it is too slow. Of several user properties that say it the last one holds.
fn slow_reader(subscribe: &Subscribe<'_>) -> Result<Option<SlowReader>, String> {
    let mut said = subscribe.user_properties.iter().filter(|(name, _)| *name == SLOW_READER);
    said.try_fold(None, |_, (_, value)| match SlowReader::from_name(value) {
        Some(policy) => Ok(Some(policy)),
        None => {
            let names = SlowReader::ALL.map(|(_, name)| name).join(", ");
            Err(format!("the user property {SLOW_READER} must be one of {names}"))
        }
    })
}

/// Why no topic filter can look like this, if it cannot. Such a filter breaks the protocol, so that the connection has to
/// be closed [MQTT-4.13.1-1] [v3 MQTT-4.8.0-1]; "topic filter invalid" in an answer is for one that is well-formed and yet
/// refused. Before MQTT 5 there are no shared subscriptions by the book, so that nothing is wrong with such a filter by it:
/// there a bad share name only fails its subscription.
fn ill_formed(filter: &str, version: Version) -> Option<String> {
    match Filter::parse(filter, usize::MAX) {
        Ok(_) => None,
        Err(TopicError::ShareName | TopicError::ShareWithoutFilter | TopicError::Empty)
            if version != Version::V5 =>
        {
            None
        }
        Err(why) => Some(format!("a topic filter is not well-formed: {why}")),
    }
}

/// The reason string of an answer, for clients that want one [MQTT-3.1.2-29].
fn words(why: Option<&str>, wants_reasons: bool) -> Option<&str> {
    why.filter(|why| wants_reasons && why.len() <= WORDS_BYTES_MAX)
}
