//! One message, as every kind of client sends and gets it.

use crate::payload::Payload;
use crate::time::Time;
use crate::topic::Topic;
use trefoil_mqtt::{MessageProperties, QoS, UserPropertiesBuf};

/// A message on its way. Shared (`Arc`) by all who wait for it; never changed once it is in.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it goes.
    pub topic: Topic,
    /// What it says.
    pub payload: Payload,
    /// The QoS that it was published with; each receiver gets at most that [MQTT-3.8.4-8].
    pub qos: QoS,
    /// Whether it was published to be retained.
    pub retain: bool,
    /// When it is no longer delivered (message expiry interval).
    pub expires_at: Option<Time>,
    /// What else travels with it; boxed since most messages have none.
    pub properties: Option<Box<Properties>>,
}

impl Message {
    /// What the message counts against limits in bytes: payload, topic and properties.
    pub fn cost_bytes(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |p| p.cost_bytes());
        self.payload.len() + self.topic.len() + properties + size_of::<Message>()
    }

    /// Whether it must no longer be delivered [MQTT-3.3.2-5].
    pub fn is_expired(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The message expiry interval to send on: what is left of it, in seconds, rounded up [MQTT-3.3.2-6].
    pub fn expiry_left_s(&self, now: Time) -> Option<u32> {
        let left_ms = self.expires_at?.since(now);
        Some(u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX))
    }
}

/// The properties of MQTT 5.0 that a publisher gives a message and receivers get unaltered [MQTT-3.3.2-4] [MQTT-3.3.2-15]
/// [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20].
#[derive(Clone, Default, Debug)]
pub struct Properties {
    /// Payload format indicator: 0 bytes, 1 UTF-8.
    pub payload_format: Option<u8>,
    /// Content type.
    pub content_type: Option<Box<str>>,
    /// Response topic.
    pub response_topic: Option<Box<str>>,
    /// Correlation data.
    pub correlation_data: Option<Box<[u8]>>,
    /// User properties, in order [MQTT-3.3.2-18], also those of a will [MQTT-3.1.3-10].
    pub user_properties: UserPropertiesBuf,
}

impl Properties {
    /// A copy of those of a packet; none if it has none. Its expiry is the [message's](Message::expires_at).
    pub fn copy(properties: &MessageProperties<'_>) -> Option<Box<Properties>> {
        let without_expiry = MessageProperties { expiry_s: None, ..*properties };
        if without_expiry.is_empty() {
            return None;
        }
        Some(Box::new(Properties {
            payload_format: properties.payload_format,
            content_type: properties.content_type.map(Into::into),
            response_topic: properties.response_topic.map(Into::into),
            correlation_data: properties.correlation_data.map(Into::into),
            user_properties: UserPropertiesBuf::from(properties.user_properties),
        }))
    }

    /// The same as those of a packet, without an expiry.
    pub fn as_mqtt(&self) -> MessageProperties<'_> {
        MessageProperties {
            payload_format: self.payload_format,
            expiry_s: None,
            content_type: self.content_type.as_deref(),
            response_topic: self.response_topic.as_deref(),
            correlation_data: self.correlation_data.as_deref(),
            user_properties: self.user_properties.as_ref(),
        }
    }

    fn cost_bytes(&self) -> usize {
        let text = |s: &Option<Box<str>>| s.as_ref().map_or(0, |s| s.len());
        size_of::<Properties>()
            + text(&self.content_type)
            + text(&self.response_topic)
            + self.correlation_data.as_ref().map_or(0, |d| d.len())
            + self.user_properties.as_ref().wire_len()
    }
}
