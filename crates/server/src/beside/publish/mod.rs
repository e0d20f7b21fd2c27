//! `POST /api/v1/publish`: a message by HTTP.

#[cfg(test)]
mod tests;

use super::refusal::Refusal;
use super::routes::Site;
use crate::context::Context;
use crate::json_message;
use crate::refused;
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
use trefoil_hub::topic::HUB_TOPICS;
use trefoil_hub::{Message, Published, Time};
use trefoil_json::Code;

/// How long a body may take to arrive.
const BODY_MAX: Duration = Duration::from_secs(30);

/// How long a shard may take to accept a message. It takes microseconds; this is for a shard that is no longer there.
pub(super) const REPLY_MAX: Duration = Duration::from_secs(20);

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
    let message = parse(&body, context)?;
    let published = deliver(context, message).await?;
    if let Some(why) = published.refused {
        let words = refused::publish(why);
        let refusal = Refusal::new(words.http, words.json, why.to_string());
        return Err(match words.http {
            StatusCode::SERVICE_UNAVAILABLE => refusal.header(RETRY_AFTER, "1"),
            _ => refusal.field("topic"),
        });
    }
    match published.not_retained {
        false => Ok(Json(Accepted { accepted: true, matched: published.matched })),
        true => Err(not_retained()),
    }
}

/// Reads a body and checks what only the hub can know: whether the topics are topics, and may be published to.
fn parse(body: &[u8], context: &Context) -> Result<Message, Refusal> {
    let publish = trefoil_json::parse_publish(body, trefoil_json::Limits::default())?;
    let now_ms = u64::try_from(context.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let levels_max = context.limits.topic_levels_max;
    let message = json_message::message(&publish, "topic", levels_max, Time::from_ms(now_ms))?;
    if message.topic.starts_with(HUB_TOPICS) {
        let reason = format!("only the hub publishes below {HUB_TOPICS}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, Code::NotAuthorized, reason).field("topic"));
    }
    Ok(message)
}

/// curl says that what it sends is a form unless it is told better, and many tools say nothing; the body decides.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
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

pub(super) async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    read_limited(body, bytes_max, "limits.http_body_bytes_max").await
}

/// Reads a body of at most `bytes_max` bytes, which is what the setting `limit` says.
pub(super) async fn read_limited(
    body: Body,
    bytes_max: usize,
    limit: &'static str,
) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_MAX, to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
            let reason = format!("the body has more than {bytes_max} bytes ({limit})");
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

async fn deliver(context: &Context, message: Message) -> Result<Published, Refusal> {
    // One topic always goes to the same shard, so that its messages keep their order.
    let shard = context.hub.shard_of(&message.topic);
    let unavailable = |status, code, reason| Refusal::new(status, code, reason).header(RETRY_AFTER, "1");
    if context.memory.stage() >= crate::memory::NO_PUBLISH {
        let reason = "the hub is short of memory; try again later";
        return Err(unavailable(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, reason));
    }
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
