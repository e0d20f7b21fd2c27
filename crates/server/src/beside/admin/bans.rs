//! `GET` and `POST /api/v1/bans`, and `DELETE /api/v1/bans/KIND/WHOM`: who may not connect.

use super::fields::Fields;
use super::{Change, bad_field, limit, may_change};
use crate::access::bans::{Ban, Full, KINDS, REASON_BYTES_MAX};
use crate::access::kept::Kind;
use crate::access::{Purge, Target};
use crate::beside::access::{Asker, Caller};
use crate::beside::refusal::Refusal;
use crate::beside::routes::Site;
use crate::keeper::clock_ms;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONNECTION;
use axum::{Json, response::IntoResponse, response::Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;
use trefoil_json::Code;

/// The longest ban that is not for ever, in seconds: a hundred years.
const EXPIRES_IN_S_MAX: u64 = 100 * 365 * 86_400;

/// The list.
#[derive(Serialize)]
pub(in crate::beside) struct List {
    /// How many there are, those included that are not listed.
    total: usize,
    /// Whether anybody is held to them.
    applied: bool,
    /// They survive a restart of the hub.
    kept: bool,
    bans: Vec<Value>,
}

fn entry(ban: &Ban, now_ms: u64) -> Value {
    let mut entry = Map::new();
    entry.insert(ban.target.kind().into(), ban.target.to_string().into());
    let expires_in_s = ban.until_ms.map(|until| until.saturating_sub(now_ms).div_ceil(1000));
    for (name, value) in [
        ("reason", json!(ban.reason)),
        ("by", json!(ban.by)),
        ("automatic", json!(ban.is_automatic)),
        ("set_at", json!(ban.set_at_ms / 1000)),
        ("expires_in_s", json!(expires_in_s)),
        ("refused", json!(ban.refused.load(Ordering::Relaxed))),
    ] {
        entry.insert(name.into(), value);
    }
    entry.into()
}

/// Lists the bans, the newest first.
pub(in crate::beside) async fn list(
    State(site): State<Site>,
    Query(asked): Query<Vec<(String, String)>>,
    Extension(asker): Extension<Asker>,
) -> Result<Json<List>, Refusal> {
    may_change(&site.context, &asker)?;
    let limit = limit(&asked)?;
    let context = &site.context;
    let keep = |key: String, value| crate::access::kept::keep(context, Kind::Ban, &key, value, None);
    let bans = context.bans.list(&keep);
    let now_ms = clock_ms();
    Ok(Json(List {
        total: bans.len(),
        applied: context.bans.is_applied(),
        kept: context.keeper.is_some(),
        bans: bans.iter().take(limit).map(|ban| entry(ban, now_ms)).collect(),
    }))
}

/// Bans somebody, and ends what connections there are.
pub(in crate::beside) async fn set(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Result<Response, Refusal> {
    let context = &site.context;
    may_change(context, &asker)?;
    let mut fields = Fields::read(request, context.limits.http_body_bytes_max).await?;
    let target = read_target(&mut fields)?;
    let reason = fields.text("reason")?.filter(|reason| !reason.is_empty());
    let expires_in_s = fields.number("expires_in_s", 1..=EXPIRES_IN_S_MAX)?;
    fields.end("client_id, user, address, reason and expires_in_s")?;
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(bad_field("reason", format!("it is longer than {REASON_BYTES_MAX} bytes")));
    }
    check_own(&site, &target, &caller, &asker)?;
    let set_at_ms = clock_ms();
    let ban = Ban {
        target: target.clone(),
        reason,
        by: asker.user().map(|user| user.to_string()),
        set_at_ms,
        until_ms: expires_in_s.map(|s| set_at_ms + s * 1000),
        is_automatic: false,
        refused: Default::default(),
    };
    let shown = entry(&ban, set_at_ms);
    let change = Change::new(&site);
    let set = context.bans.set(ban, &|key, value| change.keep(Kind::Ban, &key, value));
    let replaced = set.map_err(|Full { bans_max }| {
        let reason = format!("there are {bans_max} bans already (bans.bans_max); take one back, or ban a network or a client id with *");
        Refusal::new(StatusCode::INSUFFICIENT_STORAGE, Code::Quota, reason)
    })?;
    let kept = change.is_kept();
    let purge = context.bans.is_applied().then(|| Purge::banned(target));
    let disconnected = change.finish(purge).await?;
    let status = if replaced { StatusCode::OK } else { StatusCode::CREATED };
    let body = json!({ "ban": shown, "replaced": replaced, "disconnected": disconnected, "kept": kept });
    Ok((status, Json(body)).into_response())
}

fn read_target(fields: &mut Fields) -> Result<Target, Refusal> {
    let mut found = None;
    for kind in KINDS {
        let Some(text) = fields.text(kind)? else { continue };
        let target = Target::read(kind, &text).map_err(|why| bad_field(kind, why))?;
        if found.replace(target).is_some() {
            return Err(bad_field(
                kind,
                "a ban is for a client_id, a user or an address, and for one of them only",
            ));
        }
    }
    found.ok_or_else(|| {
        let reason = "who is banned? There must be a client_id, a user or an address";
        Refusal::new(StatusCode::BAD_REQUEST, Code::MissingField, reason).field("client_id")
    })
}

/// Nobody shall lock himself out by mistake.
fn check_own(site: &Site, target: &Target, caller: &Caller, asker: &Asker) -> Result<(), Refusal> {
    match target {
        Target::Address(network) if caller.address().is_some_and(|address| network.contains(address)) => {
            Err(Refusal::conflict(
                "this request comes from that address itself; ban it from another one if it is meant",
            ))
        }
        Target::User(name) if asker.user() == Some(name) => {
            Err(Refusal::conflict("this is the user who asks; another one can do it if it is meant"))
        }
        Target::User(_) if site.context.access.is_none() => {
            let reason = "this hub asks nobody who they are, so that nobody is a user; name a file of users in [auth], or ban \
                          a client id or an address";
            Err(Refusal::conflict(reason))
        }
        _ => Ok(()),
    }
}

/// Takes a ban back.
pub(in crate::beside) async fn take_back(
    State(site): State<Site>,
    Path((kind, text)): Path<(String, String)>,
    Extension(asker): Extension<Asker>,
) -> Result<Json<Value>, Refusal> {
    let context = &site.context;
    may_change(context, &asker)?;
    if !KINDS.contains(&kind.as_str()) {
        let reason = format!("there is no kind of ban {kind:?}; there are {}", KINDS.join(", "));
        return Err(Refusal::not_found(reason));
    }
    let target = Target::read(&kind, &text).map_err(|why| {
        let field = KINDS.into_iter().find(|known| *known == kind).unwrap_or("kind");
        bad_field(field, why)
    })?;
    let change = Change::new(&site);
    let was_there = context.bans.remove(&target, &|key, value| change.keep(Kind::Ban, &key, value));
    if !was_there {
        return Err(Refusal::not_found(format!("there is no ban of the {kind} {text:?}")));
    }
    let kept = change.is_kept();
    change.finish(None).await?;
    Ok(Json(json!({ "removed": true, "kept": kept })))
}

/// What a request is told that comes from somebody who is banned.
pub(in crate::beside) fn banned(why: &'static str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, Code::NotAuthorized, why).header(CONNECTION, "close")
}
