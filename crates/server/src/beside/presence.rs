//! `GET /api/v1/presence?topic=…`: who is on a topic now.

use super::publish::REPLY_MAX;
use super::refusal::Refusal;
use super::routes::Site;
use crate::mail::Mail;
use crate::shard::view;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;
use trefoil_hub::topic::check_topic;
use trefoil_json::{Code, encode_presence};

/// The object that a client of the JSON protocol gets.
pub(super) async fn on_topic(
    State(site): State<Site>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let context = &site.context;
    let topic = read(&asked, context.limits.topic_levels_max)?;
    let (reply, answer) = oneshot::channel();
    // Any shard can answer; the same question goes to the same one.
    let shard = context.hub.shard_of(topic);
    context.mailboxes[shard].post(Mail::Presence { topic: topic.into(), reply });
    let answer = match tokio::time::timeout(REPLY_MAX, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => return Err(unavailable(StatusCode::SERVICE_UNAVAILABLE, "the hub is stopping")),
        Err(_) => {
            return Err(unavailable(
                StatusCode::GATEWAY_TIMEOUT,
                "the hub did not answer in time; ask again",
            ));
        }
    };
    let mut body = Vec::new();
    encode_presence(topic, answer.count, answer.clients.iter().map(view), None, usize::MAX, &mut body);
    Ok(([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response())
}

fn unavailable(status: StatusCode, why: &'static str) -> Refusal {
    Refusal::new(status, Code::Unavailable, why).header(RETRY_AFTER, "1")
}

fn read(asked: &[(String, String)], levels_max: usize) -> Result<&str, Refusal> {
    let bad = |code, field: &'static str, reason: String| {
        Refusal::new(StatusCode::BAD_REQUEST, code, reason).field(field)
    };
    let topic = match asked {
        [(name, topic)] if name == "topic" => topic,
        [] => {
            let reason = "which topic? Ask for /api/v1/presence?topic=TOPIC".into();
            return Err(bad(Code::MissingField, "topic", reason));
        }
        _ => {
            let reason = "there is one parameter, topic, and it is there once".into();
            return Err(bad(Code::BadField, "query", reason));
        }
    };
    check_topic(topic, levels_max).map_err(|error| {
        bad(Code::BadTopic, "topic", format!("the topic {topic:?} is not valid: {error}"))
    })?;
    Ok(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_is_asked_for() {
        let asked = |query: &[(&str, &str)]| {
            let pairs: Vec<_> = query.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            read(&pairs, 9).map(str::to_owned).ok()
        };
        assert_eq!(asked(&[("topic", "room/7")]).as_deref(), Some("room/7"));
        for wrong in [
            &[][..],
            &[("topic", "a/#")],
            &[("topic", "")],
            &[("topics", "a")],
            &[("topic", "a"), ("topic", "b")],
        ] {
            assert_eq!(asked(wrong), None, "{wrong:?}");
        }
    }
}
