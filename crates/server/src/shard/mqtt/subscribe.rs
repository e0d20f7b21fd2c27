//! SUBSCRIBE and UNSUBSCRIBE.

use crate::shard::ShardLoop;
use std::num::NonZeroU32;
use trefoil_hub::{ConnectionKey, SessionKey, SubscribeError, SubscriptionOptions};
use trefoil_mqtt::{ReasonCode, SubAck, Subscribe, UnsubAck, Unsubscribe, Version};

impl ShardLoop {
    pub(super) fn mqtt_subscribe(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        version: Version,
        subscribe: &Subscribe<'_>,
    ) {
        if subscribe.filters.iter().any(|f| f.no_local && f.filter.starts_with("$share/")) {
            // [MQTT-3.8.3-4]
            return self.mqtt_fail(key, ReasonCode::ProtocolError, "a shared subscription cannot be no-local");
        }
        let mut reasons = Vec::new();
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
                Err(SubscribeError::Filter(_)) => ReasonCode::TopicFilterInvalid,
                Err(SubscribeError::TooMany { .. }) => ReasonCode::QuotaExceeded,
            });
        }
        // [MQTT-3.8.4-1] [MQTT-3.8.4-6]: one answer, with a reason for each filter in order.
        let answer = SubAck { packet_id: subscribe.packet_id, reasons: (&*reasons).into(), ..SubAck::default() };
        self.net.answer(key, |out| answer.encode(version, out));
        self.hub.resume(self.net.now, session, &mut self.net);
    }

    pub(super) fn mqtt_unsubscribe(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        version: Version,
        unsubscribe: &Unsubscribe<'_>,
    ) {
        let mut reasons = Vec::new();
        for filter in unsubscribe.filters.iter() {
            reasons.push(match self.hub.unsubscribe(session, filter) {
                Ok(true) => ReasonCode::Success,
                Ok(false) => ReasonCode::NoSubscriptionExisted,
                Err(_) => ReasonCode::TopicFilterInvalid,
            });
        }
        let answer = UnsubAck { packet_id: unsubscribe.packet_id, reasons: (&*reasons).into(), ..UnsubAck::default() };
        self.net.answer(key, |out| answer.encode(version, out));
    }
}
