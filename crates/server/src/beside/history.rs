//! `GET /api/v1/history?topic=…`: what is kept of a topic, page by page.

use super::refusal::Refusal;
use super::routes::Site;
use crate::json_message;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use trefoil_hub::topic::check_topic;
use trefoil_hub::{Message, PageStart, Place};
use trefoil_json::{Code, encode_message};

/// Messages on a page unless it is said.
const LIMIT: usize = 100;

/// Messages on a page at most.
const LIMIT_MAX: usize = 1000;

/// A page ends with the message that brings it to this size.
const PAGE_BYTES: usize = 4 << 20;

#[derive(PartialEq, Eq, Debug)]
struct Asked {
    topic: String,
    start: PageStart,
    limit: usize,
}

/// A page of what is kept of a topic: from the oldest on, from behind a place, or the newest.
pub(super) async fn page(
    State(site): State<Site>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let context = &site.context;
    let asked = read(&asked, context.limits.topic_levels_max)?;
    let history = &context.hub.history;
    if !history.is_for(&asked.topic) {
        let reason =
            format!("{:?} has no history: no [[history]] of the configuration is for it", asked.topic);
        return Err(Refusal::not_found(reason));
    }
    let now = context.now();
    let mut body = Vec::new();
    body.extend_from_slice(b"{\"messages\":[");
    let (mut gap, mut next, mut more) = (matches!(asked.start, PageStart::Behind(_)), None, false);
    if let Some(found) = history.find(&asked.topic) {
        let page = found.page(asked.start, asked.limit, now);
        (gap, more, next) = (page.gap, page.has_more, Some(page.end));
        let count = page.messages.len();
        for (at, (message, offset, stamp)) in page.messages.into_iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            let place = Place { epoch: found.epoch(), offset };
            encode(&message, place, stamp, now, &mut body);
            if body.len() >= PAGE_BYTES && at + 1 < count {
                (more, next) = (true, Some(place));
                break;
            }
        }
    }
    let next = next.map(|place| format!("\"{}-{}\"", place.epoch, place.offset));
    let next = next.as_deref().unwrap_or("null");
    body.extend_from_slice(format!("],\"gap\":{gap},\"more\":{more},\"next\":{next}}}").as_bytes());
    Ok(([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response())
}

/// A message as the JSON protocol has it, and when it came.
fn encode(message: &Message, place: Place, stamp: u64, now: trefoil_hub::Time, out: &mut Vec<u8>) {
    json_message::view(message, false, Some(place), now, |view| encode_message(view, None, out));
    out.pop();
    out.extend_from_slice(format!(",\"time\":{stamp}}}").as_bytes());
}

fn read(asked: &[(String, String)], levels_max: usize) -> Result<Asked, Refusal> {
    let bad = |field: &'static str, reason: String| {
        Refusal::new(StatusCode::BAD_REQUEST, Code::BadField, reason).field(field)
    };
    let (mut topic, mut start, mut limit) = (None, PageStart::Oldest, LIMIT);
    let number = |name: &'static str, value: &str| match value.parse() {
        Ok(number @ 1..=LIMIT_MAX) => Ok(number),
        _ => Err(bad(name, format!("it must be a number from 1 to {LIMIT_MAX}"))),
    };
    for (name, value) in asked {
        match name.as_str() {
            "topic" => {
                check_topic(value, levels_max).map_err(|error| {
                    let reason = format!("the topic {value:?} is not valid: {error}");
                    Refusal::new(StatusCode::BAD_REQUEST, Code::BadTopic, reason).field("topic")
                })?;
                topic = Some(value.clone());
            }
            "since" => {
                let place = value.split_once('-').and_then(|(epoch, offset)| {
                    Some(Place { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? })
                });
                let wrong = || bad("since", "it must be EPOCH-OFFSET, as `next` of the page before".into());
                start = PageStart::Behind(place.ok_or_else(wrong)?);
            }
            "limit" => limit = number("limit", value)?,
            "last" => (start, limit) = (PageStart::Newest, number("last", value)?),
            _ => {
                let reason =
                    format!("there is no parameter {name:?}; there are topic, since, limit and last");
                return Err(bad("query", reason));
            }
        }
    }
    if asked.iter().any(|(name, _)| name == "last")
        && asked.iter().any(|(name, _)| matches!(&**name, "since" | "limit"))
    {
        return Err(bad(
            "last",
            "it says both where to begin and how many; since and limit do not go with it".into(),
        ));
    }
    let missing = || {
        let reason = "which topic? Ask for /api/v1/history?topic=TOPIC";
        Refusal::new(StatusCode::BAD_REQUEST, Code::MissingField, reason).field("topic")
    };
    Ok(Asked { topic: topic.ok_or_else(missing)?, start, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)]) -> Result<Asked, Refusal> {
        let pairs: Vec<_> = query.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        read(&pairs, 9)
    }

    #[test]
    fn what_is_asked_is_read() {
        let place = Place { epoch: "0123456789ab".parse().expect("it is one"), offset: 7 };
        let all = asked(&[("topic", "a/b"), ("since", "0123456789ab-7"), ("limit", "5")]);
        assert_eq!(all.ok(), Some(Asked { topic: "a/b".into(), start: PageStart::Behind(place), limit: 5 }));
        let last = asked(&[("topic", "a/b"), ("last", "7")]);
        assert_eq!(last.ok(), Some(Asked { topic: "a/b".into(), start: PageStart::Newest, limit: 7 }));
        for wrong in [
            &[][..],
            &[("topic", "a/#")],
            &[("topic", "a"), ("since", "7")],
            &[("topic", "a"), ("since", "x-7")],
            &[("topic", "a"), ("limit", "0")],
            &[("topic", "a"), ("limit", "1001")],
            &[("topic", "a"), ("count", "1")],
            &[("topic", "a"), ("last", "0")],
            &[("topic", "a"), ("last", "5"), ("limit", "5")],
            &[("topic", "a"), ("since", "0123456789ab-7"), ("last", "5")],
        ] {
            assert!(asked(wrong).is_err(), "{wrong:?}");
        }
    }
}
