//! `GET /api/v1/sessions` and `DELETE /api/v1/sessions/CLIENT_ID`: which sessions are the largest, and the end of one
//! whose client does not come back.

#[cfg(test)]
mod tests;

use super::publish::REPLY_MAX;
use super::refusal::Refusal;
use super::routes::Site;
use crate::context::Context;
use crate::mail::Mail;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use serde::Serialize;
use std::cmp::Reverse;
use tokio::sync::oneshot;
use trefoil_hub::{SessionOrder, SessionReport};
use trefoil_json::Code;

/// How many sessions are listed unless it is said.
const LIMIT: usize = 50;

/// How many may be listed at a time.
const LIMIT_MAX: usize = 1000;

/// How many may be passed over: each shard gathers those as well.
const OFFSET_MAX: usize = 10_000;

const ORDERS: [(&str, SessionOrder); 5] = [
    ("bytes", SessionOrder::Bytes),
    ("messages", SessionOrder::Messages),
    ("in_flight", SessionOrder::InFlight),
    ("subscriptions", SessionOrder::Subscriptions),
    ("away", SessionOrder::Away),
];

/// The list.
#[derive(Serialize)]
pub(super) struct List {
    /// How many sessions there are, those included that are not listed.
    total: usize,
    sessions: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    client_id: String,
    user: Option<String>,
    connected: bool,
    /// For how many seconds the client has been away; null while it is here.
    away_s: Option<u64>,
    /// In how many seconds the session ends; null while the client is here, and if it never ends.
    expires_in_s: Option<u64>,
    /// How long the session outlasts its connection; null for ever.
    expiry_s: Option<u32>,
    /// It survives a restart of the hub.
    kept: bool,
    subscriptions: usize,
    queued_messages: usize,
    queued_bytes: usize,
    in_flight: usize,
}

impl From<SessionReport> for Entry {
    fn from(session: SessionReport) -> Entry {
        Entry {
            client_id: session.client_id.to_string(),
            user: session.identity.as_deref().map(str::to_owned),
            connected: session.is_connected,
            away_s: session.away_ms.map(|ms| ms / 1000),
            expires_in_s: session.ends_in_ms.map(|ms| ms.div_ceil(1000)),
            expiry_s: (session.expiry_s < u32::MAX).then_some(session.expiry_s),
            kept: session.is_kept,
            subscriptions: session.subscriptions,
            queued_messages: session.queued,
            queued_bytes: session.queued_bytes,
            in_flight: session.in_flight,
        }
    }
}

/// That a session has ended.
#[derive(Serialize)]
pub(super) struct Dropped {
    dropped: bool,
}

/// Lists the sessions that come first in an order.
pub(super) async fn list(
    State(site): State<Site>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Json<List>, Refusal> {
    let Asked { order, limit, offset } = read(&asked)?;
    let context = &site.context;
    let mut answers = Vec::new();
    for mailbox in &context.mailboxes {
        let (reply, answer) = oneshot::channel();
        mailbox.post(Mail::Survey { order, sessions_max: offset + limit, reply });
        answers.push(answer);
    }
    let mut sessions = Vec::new();
    let all = async {
        for answer in answers {
            sessions.extend(answer.await.map_err(|_| stopping())?);
        }
        Ok::<(), Refusal>(())
    };
    tokio::time::timeout(REPLY_MAX, all).await.map_err(|_| late())??;
    sessions.sort_by_cached_key(|session| (Reverse(order.rank(session)), session.client_id.clone()));
    let page = sessions.into_iter().skip(offset).take(limit);
    Ok(Json(List { total: context.session_count(), sessions: page.map(Entry::from).collect() }))
}

/// What of the list is wanted.
struct Asked {
    order: SessionOrder,
    limit: usize,
    offset: usize,
}

fn read(asked: &[(String, String)]) -> Result<Asked, Refusal> {
    let bad = |field: &'static str, reason: String| {
        Err(Refusal::new(StatusCode::BAD_REQUEST, Code::BadField, reason).field(field))
    };
    let (mut order, mut limit, mut offset) = (SessionOrder::default(), LIMIT, 0);
    for (name, value) in asked {
        match name.as_str() {
            "sort" => match ORDERS.iter().find(|(order, _)| order == value) {
                Some((_, known)) => order = *known,
                None => {
                    let names = ORDERS.map(|(name, _)| name).join(", ");
                    return bad("sort", format!("there is no order {value:?}; there are {names}"));
                }
            },
            "limit" => match value.parse() {
                Ok(number @ 1..=LIMIT_MAX) => limit = number,
                _ => return bad("limit", format!("it must be a number from 1 to {LIMIT_MAX}")),
            },
            "offset" => match value.parse() {
                Ok(number @ 0..=OFFSET_MAX) => offset = number,
                _ => return bad("offset", format!("it must be a number from 0 to {OFFSET_MAX}")),
            },
            _ => {
                let reason = format!("there is no parameter {name:?}; there are sort, limit and offset");
                return bad("query", reason);
            }
        }
    }
    Ok(Asked { order, limit, offset })
}

/// Ends a session, and its connection if it has one.
pub(super) async fn end(
    State(site): State<Site>,
    Path(client_id): Path<String>,
) -> Result<Json<Dropped>, Refusal> {
    let context: &Context = &site.context;
    let shard = context.hub.shard_of(&client_id);
    let (reply, answer) = oneshot::channel();
    let wanted = client_id.as_str().into();
    context.mailboxes[shard].post(Mail::DropSession { client_id: wanted, reply });
    match tokio::time::timeout(REPLY_MAX, answer).await {
        Ok(Ok(true)) => Ok(Json(Dropped { dropped: true })),
        Ok(Ok(false)) => {
            Err(Refusal::not_found(format!("there is no session with the client id {client_id:?}")))
        }
        Ok(Err(_)) | Err(_) if !context.hub.keeps() => {
            let reason = "the session has ended, but the disk of the store does not take that now: should the hub be \
                          started anew before it does, the session is there again";
            Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, Code::Quota, reason))
        }
        Ok(Err(_)) => Err(stopping()),
        Err(_) => Err(late()),
    }
}

fn stopping() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "the hub is stopping")
        .header(RETRY_AFTER, "1")
}

fn late() -> Refusal {
    let reason = "the hub did not answer in time; it may still do what was asked";
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, Code::Unavailable, reason).header(RETRY_AFTER, "1")
}
