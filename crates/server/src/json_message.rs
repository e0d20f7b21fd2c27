//! From a publish in JSON to a message, and from a message to JSON: the same for WebSocket, lines, datagrams and HTTP.

use crate::shard::json_place;
use trefoil_hub::{Message, Payload, Place, Properties, QoS, Time, Topic, TopicError};
use trefoil_json::{Code, Extras, ExtrasRef, MessageView, PublishRequest, RequestError};
use trefoil_mqtt::UserPropertiesBuf;

/// Makes the message, if its topics are topics. `field` is the one that names the topic.
pub(crate) fn message(
    publish: &PublishRequest<'_>,
    field: &'static str,
    levels_max: usize,
    now: Time,
) -> Result<Message, RequestError> {
    if let Some(topic) = &publish.extras.response_topic {
        trefoil_hub::topic::check_topic(topic, levels_max)
            .map_err(|e| bad_topic("response_topic", topic, &e))?;
    }
    Ok(Message {
        topic: Topic::new(&publish.topic, levels_max).map_err(|e| bad_topic(field, &publish.topic, &e))?,
        payload: Payload::copy_from_slice(&publish.payload),
        qos: QoS::from_bits(publish.qos).unwrap_or(QoS::ExactlyOnce),
        retain: publish.retain,
        expires_at: publish.extras.expiry_s.map(|s| now.plus_s(s.into())),
        properties: properties(&publish.extras)?,
    })
}

/// Gives `encode` what the JSON protocol says of a message.
pub(crate) fn view(
    message: &Message,
    retain: bool,
    place: Option<Place>,
    now: Time,
    encode: impl FnOnce(&MessageView<'_>),
) {
    let properties = message.properties.as_deref();
    let user_properties: Vec<_> = properties.iter().flat_map(|p| p.user_properties.iter()).collect();
    let extras = ExtrasRef {
        content_type: properties.and_then(|p| p.content_type.as_deref()),
        response_topic: properties.and_then(|p| p.response_topic.as_deref()),
        correlation: properties.and_then(|p| p.correlation_data.as_deref()),
        expiry_s: message.expiry_left_s(now),
        user_properties: &user_properties,
    };
    let place = place.map(json_place);
    encode(&MessageView { topic: &message.topic, payload: &message.payload, retain, extras, place });
}

/// Says which topic is wrong, and how.
pub(crate) fn bad_topic(field: &'static str, topic: &str, error: &TopicError) -> RequestError {
    let shown: String = topic.chars().take(80).collect();
    RequestError::new(Code::BadTopic, format!("{shown:?} is not valid: {error}")).field(field)
}

/// None when there are none, as with most messages.
fn properties(extras: &Extras<'_>) -> Result<Option<Box<Properties>>, RequestError> {
    if extras.is_empty() {
        return Ok(None);
    }
    let mut user_properties = UserPropertiesBuf::new();
    for (name, value) in &extras.user_properties {
        user_properties
            .push(name, value)
            .map_err(|e| RequestError::new(Code::BadField, e.to_string()).field("user_properties"))?;
    }
    let properties = Properties {
        payload_format: None,
        content_type: extras.content_type.as_deref().map(Into::into),
        response_topic: extras.response_topic.as_deref().map(Into::into),
        correlation_data: extras.correlation.as_deref().map(Into::into),
        user_properties,
    };
    let has_any = properties.content_type.is_some()
        || properties.response_topic.is_some()
        || properties.correlation_data.is_some()
        || !properties.user_properties.is_empty();
    Ok(has_any.then(|| Box::new(properties)))
}
