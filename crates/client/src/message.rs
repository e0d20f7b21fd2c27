//! Messages, as programs see them.

use crate::error::Error;
use trefoil_mqtt::QoS;

/// A message: to publish, or as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where it is published.
    pub topic: String,
    /// Any bytes.
    pub payload: Vec<u8>,
    /// How hard its delivery is tried. On a received message: of this delivery.
    pub qos: QoS,
    /// To publish: the topic keeps it for those who subscribe later. Received: it was kept by the topic.
    pub retain: bool,
    /// What travels with it. MQTT 3.1.1 has no place for them and leaves them out.
    pub properties: Properties,
}

/// What travels with a message beside topic and payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// What the payload is; often a media type.
    pub content_type: Option<String>,
    /// Where an answer is expected.
    pub response_topic: Option<String>,
    /// What an answer is to repeat, so that the asker knows to what it belongs.
    pub correlation_data: Option<Vec<u8>>,
    /// For how many (more) seconds the message is worth delivering.
    pub expiry_s: Option<u32>,
    /// Names and values, in their order; a name may stand more than once.
    pub user_properties: Vec<(String, String)>,
}

/// What somebody has answered to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Any bytes.
    pub payload: Vec<u8>,
    /// What travels with it.
    pub properties: Properties,
}

impl Message {
    /// A message of QoS 0 that is not retained.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Message {
        Message { topic: topic.into(), payload: payload.into(), ..Message::default() }
    }

    /// The same message at another QoS.
    pub fn qos(self, qos: QoS) -> Message {
        Message { qos, ..self }
    }

    /// The same message, to be kept by its topic or not.
    pub fn retain(self, retain: bool) -> Message {
        Message { retain, ..self }
    }

    /// Whether every field can be sent at all. So that a mistake in one message does not end the connection.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let topic = &self.topic;
        trefoil_mqtt::validate_topic_name(topic)
            .map_err(|error| Error::usage(format!("the topic {topic:?} cannot be published to: {error}")))?;
        let properties = &self.properties;
        if let Some(topic) = &properties.response_topic {
            trefoil_mqtt::validate_topic_name(topic)
                .map_err(|error| Error::usage(format!("the response topic {topic:?} cannot be: {error}")))?;
        }
        let pairs = properties.user_properties.iter().flat_map(|(name, value)| [name, value]);
        for text in properties.content_type.iter().chain(pairs) {
            trefoil_mqtt::validate_text(text).map_err(|error| {
                Error::usage(format!("a property of the message cannot be sent: {error}"))
            })?;
        }
        if properties.correlation_data.as_ref().is_some_and(|data| data.len() > trefoil_mqtt::FIELD_BYTES_MAX)
        {
            return Err(Error::usage("the correlation data is longer than 65,535 bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_refused_before_it_is_sent() {
        assert!(Message::new("a/b", "x").check().is_ok());
        for topic in ["", "a/#", "+", "nul\0"] {
            let error = Message::new(topic, "x").check().expect_err("no such topic name");
            assert!(error.to_string().starts_with(&format!("the topic {topic:?}")), "{error}");
        }
        let long = "x".repeat(65_536);
        for properties in [
            Properties { content_type: Some(long.clone()), ..Properties::default() },
            Properties { response_topic: Some("a/+".into()), ..Properties::default() },
            Properties { correlation_data: Some(vec![0; 65_536]), ..Properties::default() },
            Properties { user_properties: vec![("k".into(), long)], ..Properties::default() },
        ] {
            assert!(Message { properties, ..Message::new("a", "x") }.check().is_err());
        }
    }
}
