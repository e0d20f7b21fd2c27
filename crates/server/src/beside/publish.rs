//! `POST /api/v1/publish`: a message by HTTP.

use super::publish_body::{self, PublishBody};
use super::refusal::Refusal;
use super::routes::Site;
use crate::context::Context;
use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::LengthLimitError;
use serde::Serialize;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use trefoil_hub::{Message, Properties, Published, QoS, Time, Topic};
use trefoil_json::Code;

/// How long a body may take to arrive.
const BODY_MAX: Duration = Duration::from_secs(30);

/// How long a shard may take to accept a message. It takes microseconds; this is for a shard that is no longer there.
pub(super) const REPLY_MAX: Duration = Duration::from_secs(20);

/// Topics of the hub itself: what stands there is what the hub says.
const OWN_TOPICS: &str = "$SYS";

/// That a message has been accepted as its QoS asks.
#[derive(Serialize)]
pub(super) struct Accepted {
    accepted: bool,
    /// Whether somebody wants it.
    matched: bool,
}

/// Publishes one message and answers when it is accepted.
pub(super) async fn publish(State(site): State<Site>, request: Request) -> Result<Json<Accepted>, Refusal> {
    let context = &site.context;
    let (head, body) = request.into_parts();
    check_content_type(&head.headers)?;
    let body = read_body(body, context.limits.http_body_bytes_max).await?;
    let message = message(publish_body::parse(&body)?, context)?;
    let published = deliver(context, message).await?;
    match published.not_retained {
        false => Ok(Json(Accepted { accepted: true, matched: published.matched })),
        true => Err(not_retained()),
    }
}

/// curl says that what it sends is a form unless it is told better, and many tools say nothing; the body decides.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    match is_json || kind == "application/x-www-form-urlencoded" {
        true => Ok(()),
        false => {
            let reason =
                "the Content-Type must be application/json; other bytes go into the field data_base64";
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadJson, reason))
        }
    }
}

async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_MAX, to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
            let reason = format!("the body has more than {bytes_max} bytes (limits.http_body_bytes_max)");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, reason))
        }
        Ok(Err(error)) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, Code::BadJson, format!("the body ends early: {error}")))
        }
        Err(_) => {
            let reason = format!("the body did not come within {} seconds", BODY_MAX.as_secs());
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::BadJson, reason))
        }
    }
}

fn message(body: PublishBody, context: &Context) -> Result<Message, Refusal> {
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

async fn deliver(context: &Context, message: Message) -> Result<Published, Refusal> {
    // One topic always goes to the same shard, so that its messages keep their order.
    let shard = context.hub.shard_of(&message.topic);
    let unavailable = |status, code, reason| Refusal::new(status, code, reason).header(RETRY_AFTER, "1");
    let reply = context.mailboxes[shard].publish(Arc::new(message)).map_err(|_| {
        let reason = "too many messages wait to be delivered; try again in a moment";
        unavailable(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, reason)
    })?;
    match tokio::time::timeout(REPLY_MAX, reply).await {
        Ok(Ok(published)) => Ok(published),
        Ok(Err(_)) => {
            Err(unavailable(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "the hub is stopping"))
        }
        Err(_) => {
            let reason = "the hub did not answer in time; the message may still be delivered";
            Err(unavailable(StatusCode::GATEWAY_TIMEOUT, Code::Unavailable, reason))
        }
    }
}

fn not_retained() -> Refusal {
    let reason = "the message was delivered but not retained, since there is no room for more retained messages \
                  (limits.retained_messages_max, limits.retained_bytes_max)";
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, Code::Quota, reason).field("retain")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::beside::testing::Bench;
    use serde_json::json;
    use trefoil_config::{Limits, Protocols};

    const MATCHED: Published = Published { matched: true, not_retained: false };

    #[tokio::test]
    async fn a_message_reaches_its_shard_and_the_answer_comes_back() {
        let bench = Bench::new();
        let body = r#"{"topic":"a/b","data":{"n": 1},"qos":2,"retain":true,"content_type":"application/json",
            "response_topic":"r","correlation_base64":"AQI=","expiry":60,"user_properties":[["k","v"],["k","w"]]}"#;
        let (reply, message) = bench.publish(body, MATCHED).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "accepted": true, "matched": true })));

        let message = message.unwrap();
        assert_eq!((message.topic.as_str(), &message.payload[..]), ("a/b", &br#"{"n": 1}"#[..]));
        assert_eq!((message.qos, message.retain), (QoS::ExactlyOnce, true));
        let expiry_left_s = message.expiry_left_s(Time::from_ms(0)).unwrap();
        assert!((60..=70).contains(&expiry_left_s), "{expiry_left_s} s");
        let properties = message.properties.as_ref().unwrap();
        assert_eq!(properties.content_type.as_deref(), Some("application/json"));
        assert_eq!(properties.response_topic.as_deref(), Some("r"));
        assert_eq!(properties.correlation_data.as_deref(), Some(&[1, 2][..]));
        let user: Vec<_> = properties.user_properties.iter().collect();
        assert_eq!(user, [("k", "v"), ("k", "w")]);
    }

    #[tokio::test]
    async fn what_came_of_it_is_said() {
        let bench = Bench::new();
        let (reply, message) =
            bench.publish(r#"{"topic":"t"}"#, Published { matched: false, ..MATCHED }).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "accepted": true, "matched": false })));
        assert!(message.unwrap().properties.is_none());

        let full = Published { matched: false, not_retained: true };
        let (reply, _) = bench.publish(r#"{"topic":"t","data":1,"retain":true}"#, full).await;
        assert_eq!(reply.status, 507);
        assert_eq!(
            (&reply.json()["error"]["code"], &reply.json()["error"]["field"]),
            (&json!("quota"), &json!("retain"))
        );
    }

    #[tokio::test]
    async fn topics_are_checked_before_anything_is_sent() {
        let bench = Bench::new();
        for (body, status, code, field) in [
            (r#"{"topic":""}"#, 400, "bad_topic", "topic"),
            (r#"{"topic":"a/+"}"#, 400, "bad_topic", "topic"),
            (r#"{"topic":"a","response_topic":"b/#"}"#, 400, "bad_topic", "response_topic"),
            (r#"{"topic":"$SYS/trefoil/stats"}"#, 403, "not_authorized", "topic"),
            (r#"{"topic":"$SYS"}"#, 403, "not_authorized", "topic"),
            (r#"{"topic":"a","user_properties":[["\u0000","v"]]}"#, 400, "bad_field", "user_properties"),
        ] {
            let (reply, message) = bench.publish(body, MATCHED).await;
            let error = &reply.json()["error"];
            assert_eq!(
                (reply.status, &error["code"], &error["field"]),
                (status, &json!(code), &json!(field)),
                "{body}"
            );
            assert!(message.is_none(), "{body}");
        }
    }

    #[tokio::test]
    async fn a_full_mailbox_and_a_shard_that_ends_are_not_waited_for() {
        let bench = Bench::new();
        // Far more than any mailbox takes.
        let input = vec![0; 65 << 20];
        bench.context.mailboxes[0].post(crate::mail::Mail::Run(input.into()));
        let reply = bench.send("POST /api/v1/publish", &[], r#"{"topic":"t"}"#).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        assert_eq!(reply.json()["error"]["code"], "overloaded");

        bench.context.mailboxes[0].take(&mut Vec::new());
        let sent = bench.send("POST /api/v1/publish", &[], r#"{"topic":"t"}"#);
        let end = async { drop(crate::beside::testing::next_mail(&bench.context.mailboxes[0])) };
        let (reply, ()) = tokio::join!(sent, end);
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (503, Some("unavailable")));
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        let limits = Limits { http_body_bytes_max: 1024, ..Limits::default() };
        let bench = Bench::limited(Protocols { http: true, ..Protocols::NONE }, limits);
        let body = format!(r#"{{"topic":"t","data":"{}"}}"#, "x".repeat(1024));
        let reply = bench.send("POST /api/v1/publish", &[], body).await;
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (413, Some("too_large")));
    }

    #[tokio::test]
    async fn the_content_type_may_be_missing_but_not_wrong() {
        let bench = Bench::new();
        for (content_type, status) in [
            ("application/json", 400),
            ("application/json; charset=utf-8", 400),
            ("application/vnd.example+json", 400),
            ("application/x-www-form-urlencoded", 400),
            ("text/xml", 415),
            ("multipart/form-data; boundary=x", 415),
        ] {
            let reply = bench.send("POST /api/v1/publish", &[("content-type", content_type)], "[]").await;
            assert_eq!(reply.status, status, "{content_type}");
        }
    }
}
