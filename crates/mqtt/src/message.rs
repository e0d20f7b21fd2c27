//! The properties of a message, wherever it travels.

use crate::property::{Property, once, put};
use crate::wire::has_wildcard;
use crate::{DecodeError, PropertyId, UserProperties};

/// The properties that belong to the message itself and travel with it, in PUBLISH and in a will. MQTT 5.0 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties<'a> {
    /// 0: the payload is bytes, 1: the payload is UTF-8. Not compared with the payload here.
    pub payload_format: Option<u8>,
    /// After how many seconds the message is of no use any more.
    pub expiry_s: Option<u32>,
    /// What the payload is, in words that the applications agree on; often a MIME type.
    pub content_type: Option<&'a str>,
    /// The topic on which an answer is awaited.
    pub response_topic: Option<&'a str>,
    /// What the answer is to repeat, so that the asker knows to what it belongs.
    pub correlation_data: Option<&'a [u8]>,
    /// Name and value pairs of the applications.
    pub user_properties: UserProperties<'a>,
}

impl<'a> MessageProperties<'a> {
    /// Whether there are none, so that the message is the same in every version.
    pub fn is_empty(&self) -> bool {
        *self == MessageProperties::default()
    }

    /// Takes a property if it is one of a message, and gives it back otherwise.
    #[inline]
    pub(crate) fn accept(&mut self, property: Property<'a>) -> Result<Option<Property<'a>>, DecodeError> {
        match property {
            Property::PayloadFormat(format) => {
                once(&mut self.payload_format, format, PropertyId::PayloadFormat)?
            }
            Property::MessageExpiry(seconds) => once(&mut self.expiry_s, seconds, PropertyId::MessageExpiry)?,
            Property::ContentType(text) => once(&mut self.content_type, text, PropertyId::ContentType)?,
            Property::ResponseTopic(topic) => {
                // [MQTT-3.3.2-14], [MQTT-4.7.3-1]
                if topic.is_empty() || has_wildcard(topic) {
                    return Err(DecodeError::InvalidResponseTopic);
                }
                once(&mut self.response_topic, topic, PropertyId::ResponseTopic)?;
            }
            Property::CorrelationData(data) => {
                once(&mut self.correlation_data, data, PropertyId::CorrelationData)?
            }
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    #[inline]
    pub(crate) fn wire_len(&self) -> usize {
        self.each().into_iter().flatten().map(|property| property.wire_len()).sum::<usize>()
            + self.user_properties.wire_len()
    }

    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.each().into_iter().for_each(|property| put(out, property));
        self.user_properties.put(out);
    }

    #[inline]
    fn each(&self) -> [Option<Property<'a>>; 5] {
        [
            self.payload_format.map(Property::PayloadFormat),
            self.expiry_s.map(Property::MessageExpiry),
            self.content_type.map(Property::ContentType),
            self.response_topic.map(Property::ResponseTopic),
            self.correlation_data.map(Property::CorrelationData),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_as_it_is_written() {
        let properties = MessageProperties {
            payload_format: Some(1),
            expiry_s: Some(60),
            content_type: Some("text/plain"),
            response_topic: Some("answers/1"),
            correlation_data: Some(&[1, 2, 3]),
            ..MessageProperties::default()
        };
        let mut out = Vec::new();
        properties.put(&mut out);
        assert_eq!(out.len(), properties.wire_len());
        assert!(!properties.is_empty());
        assert!(MessageProperties::default().is_empty());
    }
}
