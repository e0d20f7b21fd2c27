//! From a body to a message.

use super::body::PublishBody;
use crate::beside::refusal::Refusal;
use crate::context::Context;
use axum::http::StatusCode;
use trefoil_hub::{Message, Properties, QoS, Time, Topic};
use trefoil_json::Code;

/// Topics of the hub itself: what stands there is what the hub says.
const OWN_TOPICS: &str = "$SYS";

/// Checks what only the hub can know: whether the topics are topics, and may be published to.
pub(super) fn message(body: PublishBody, context: &Context) -> Result<Message, Refusal> {
    let bad_topic = |field: &'static str| {
        move |error| {
            let reason = format!("{field} is no topic: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, Code::BadTopic, reason).field(field)
        }
    };
    let levels_max = context.limits.topic_levels_max;
    let topic = Topic::new(&body.topic, levels_max).map_err(bad_topic("topic"))?;
    if topic.split('/').next() == Some(OWN_TOPICS) {
        let reason = "topics under $SYS/ are the hub's own, and nobody else may publish there";
        return Err(Refusal::new(StatusCode::FORBIDDEN, Code::NotAuthorized, reason).field("topic"));
    }
    if let Some(response_topic) = &body.response_topic {
        trefoil_hub::topic::check_topic(response_topic, levels_max).map_err(bad_topic("response_topic"))?;
    }
    let now_ms = u64::try_from(context.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Message {
        topic,
        qos: QoS::from_bits(body.qos).expect("the body was parsed, so its QoS is 0, 1 or 2"),
        retain: body.retain,
        expires_at: body.expiry_s.map(|s| Time::from_ms(now_ms).plus_s(s.into())),
        properties: properties(&body)?,
        payload: body.payload.into(),
    })
}

/// None when there are none, as with most messages.
fn properties(body: &PublishBody) -> Result<Option<Box<Properties>>, Refusal> {
    let is_plain = body.content_type.is_none()
        && body.response_topic.is_none()
        && body.correlation.is_none()
        && body.user_properties.is_empty();
    if is_plain {
        return Ok(None);
    }
    let mut properties = Properties {
        content_type: body.content_type.as_deref().map(Into::into),
        response_topic: body.response_topic.as_deref().map(Into::into),
        correlation_data: body.correlation.as_deref().map(Into::into),
        ..Properties::default()
    };
    for (name, value) in &body.user_properties {
        properties.user_properties.push(name, value).map_err(|error| {
            Refusal::bad_field("user_properties", format!("a user property cannot be sent: {error}"))
        })?;
    }
    Ok(Some(Box::new(properties)))
}
