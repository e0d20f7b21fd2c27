//! SUBSCRIBE and UNSUBSCRIBE.

use crate::shard::ShardLoop;
use std::num::NonZeroU32;
use trefoil_hub::{ConnectionKey, SessionKey, SubscribeError, SubscriptionOptions};
use trefoil_mqtt::{ReasonCode, ReasonProperties, SubAck, Subscribe, UnsubAck, Unsubscribe, Version};

impl ShardLoop {
    pub(super) fn mqtt_subscribe(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        (version, wants_reasons): (Version, bool),
        subscribe: &Subscribe<'_>,
    ) {
        if subscribe.filters.iter().any(|f| f.no_local && f.filter.starts_with("$share/")) {
            // [MQTT-3.8.3-4]
            return self.mqtt_fail(
                key,
                ReasonCode::ProtocolError,
                "a shared subscription cannot be no-local",
            );
        }
        let (mut reasons, mut why) = (Vec::new(), None);
        for wanted in subscribe.filters.iter() {
            let options = SubscriptionOptions {
                qos: wanted.qos,
                no_local: wanted.no_local,
                retain_as_published: wanted.retain_as_published,
                id: subscribe.subscription_id.and_then(NonZeroU32::new),
            };
            let made = self.hub.subscribe(session, wanted.filter, options, wanted.retain_handling);
            reasons.push(match made {
                Ok(qos) => ReasonCode::granted(qos),
                Err(error) => {
                    why = Some(format!("{:?}: {error}", wanted.filter));
                    match error {
                        SubscribeError::Filter(_) => ReasonCode::TopicFilterInvalid,
                        SubscribeError::TooMany { .. } => ReasonCode::QuotaExceeded,
                    }
                }
            });
        }
        let properties = explain(why.as_deref(), wants_reasons);
        // [MQTT-3.8.4-1] [MQTT-3.8.4-6]: one answer, with a reason for each filter in order.
        let answer = SubAck { packet_id: subscribe.packet_id, properties, reasons: (&*reasons).into() };
        self.net.answer(key, |out| answer.encode(version, out));
        self.hub.resume(self.net.now, session, &mut self.net);
    }

    pub(super) fn mqtt_unsubscribe(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        (version, wants_reasons): (Version, bool),
        unsubscribe: &Unsubscribe<'_>,
    ) {
        let (mut reasons, mut why) = (Vec::new(), None);
        for filter in unsubscribe.filters.iter() {
            reasons.push(match self.hub.unsubscribe(session, filter) {
                Ok(true) => ReasonCode::Success,
                Ok(false) => ReasonCode::NoSubscriptionExisted,
                Err(error) => {
                    why = Some(format!("{filter:?}: {error}"));
                    ReasonCode::TopicFilterInvalid
                }
            });
        }
        let properties = explain(why.as_deref(), wants_reasons);
        let answer = UnsubAck { packet_id: unsubscribe.packet_id, properties, reasons: (&*reasons).into() };
        self.net.answer(key, |out| answer.encode(version, out));
    }
}

/// The reason string of an answer, for clients that want one [MQTT-3.1.2-29].
fn explain(why: Option<&str>, wants_reasons: bool) -> ReasonProperties<'_> {
    // What quotes a client's own filter could be as long as that.
    let why = why.filter(|why| wants_reasons && why.len() <= 512);
    ReasonProperties { reason_string: why, ..ReasonProperties::default() }
}
