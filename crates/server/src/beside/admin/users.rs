//! `GET` and `POST /api/v1/users`, `PUT` and `DELETE /api/v1/users/NAME`: users beside those of the file.

use super::fields::Fields;
use super::{Change, bad_field, limit, may_change};
use crate::access::kept::{Kind, Purge};
use crate::access::{self, Access, Target, Unchanged};
use crate::beside::access::Asker;
use crate::beside::refusal::Refusal;
use crate::beside::routes::Site;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::{Json, response::IntoResponse, response::Response};
use serde::Serialize;
use serde_json::{Value, json};
use trefoil_auth::{Kind as RecordKind, PASSWORD_BYTES_MAX, Record, check_name, scram};
use trefoil_json::Code;

/// Bytes of the salt of a password.
const SALT_BYTES: usize = 16;

/// The list. It says nothing of passwords.
#[derive(Serialize)]
pub(in crate::beside) struct List {
    /// How many there are, those included that are not listed.
    total: usize,
    /// Whether anybody is asked who they are; where nobody is, there are no users.
    asked: bool,
    /// Those of the store survive a restart of the hub.
    kept: bool,
    users: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    user: String,
    /// `store` for those that can be changed here, `file` for the others.
    source: &'static str,
    /// What is kept of the password: `scram-sha-256` or `argon2id`.
    record: &'static str,
    /// The file has the same user, and that one counts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
}

/// Lists the users, those first that can be changed here.
pub(in crate::beside) async fn list(
    State(site): State<Site>,
    Query(asked): Query<Vec<(String, String)>>,
    Extension(asker): Extension<Asker>,
) -> Result<Json<List>, Refusal> {
    // Their names are half of what it takes to be one of them.
    may_change(&site.context, &asker)?;
    let limit = limit(&asked)?;
    let kept = site.context.keeper.is_some();
    let Some(access) = &site.context.access else {
        return Ok(Json(List { total: 0, asked: false, kept, users: Vec::new() }));
    };
    let users = access.users();
    let record = |kind| match kind {
        RecordKind::ScramSha256 => "scram-sha-256",
        RecordKind::Argon2id => "argon2id",
    };
    let of_store = users.added().map(|(name, kind)| Entry {
        user: name.to_string(),
        source: "store",
        record: record(kind),
        hidden: users.is_in_file(name),
    });
    let of_file = users.in_file().map(|(name, kind)| Entry {
        user: name.to_string(),
        source: "file",
        record: record(kind),
        hidden: false,
    });
    let listed = of_store.chain(of_file).take(limit).collect();
    Ok(Json(List { total: users.len(), asked: true, kept, users: listed }))
}

/// Adds a user.
pub(in crate::beside) async fn add(
    State(site): State<Site>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Result<Response, Refusal> {
    may_change(&site.context, &asker)?;
    let mut fields = Fields::read(request, site.context.limits.http_body_bytes_max).await?;
    let Some(name) = fields.text("user")? else {
        let reason = "who is it? There must be a user";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::MissingField, reason).field("user"));
    };
    change(&site, &asker, &name, access::Change::Add, fields).await
}

/// Gives a user another password, or adds one.
pub(in crate::beside) async fn set(
    State(site): State<Site>,
    Path(name): Path<String>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Result<Response, Refusal> {
    may_change(&site.context, &asker)?;
    let fields = Fields::read(request, site.context.limits.http_body_bytes_max).await?;
    change(&site, &asker, &name, access::Change::Set, fields).await
}

async fn change(
    site: &Site,
    asker: &Asker,
    name: &str,
    change: access::Change,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let access = known(site)?;
    let name = check_name(name).map_err(|why| bad_field("user", why))?;
    let (password, record) = (fields.text("password")?, fields.text("record")?);
    let keep_connections = fields.is("keep_connections")?;
    fields.end("user, password, record and keep_connections")?;
    // Before time is spent on a password in vain.
    if access.users().is_in_file(&name) {
        return Err(unchanged(&name, Unchanged::InFile));
    }
    let record = match (password, record) {
        (Some(password), None) => hash(site, password).await?,
        (None, Some(record)) => Record::parse(&record).map_err(|why| bad_field("record", why.to_string()))?,
        (Some(_), Some(_)) => {
            return Err(bad_field("record", "a user has a password or a record of one, and not both"));
        }
        (None, None) => {
            let reason = "there must be a password, or a record of one as `trefoil passwd` writes it";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::MissingField, reason).field("password"));
        }
    };
    let (changed, disconnected, kept) =
        apply(site, asker, &name, change, Some(record), keep_connections).await?;
    let status = if changed { StatusCode::OK } else { StatusCode::CREATED };
    let body = json!({ "user": name, "changed": changed, "disconnected": disconnected, "kept": kept });
    Ok((status, Json(body)).into_response())
}

/// Deletes a user.
pub(in crate::beside) async fn delete(
    State(site): State<Site>,
    Path(name): Path<String>,
    Query(asked): Query<Vec<(String, String)>>,
    Extension(asker): Extension<Asker>,
) -> Result<Json<Value>, Refusal> {
    may_change(&site.context, &asker)?;
    let mut keep_connections = false;
    for (parameter, value) in &asked {
        keep_connections = match (parameter.as_str(), value.parse()) {
            ("keep_connections", Ok(is)) => is,
            ("keep_connections", Err(_)) => {
                return Err(bad_field("keep_connections", "it must be true or false"));
            }
            _ => {
                let reason = format!("there is no parameter {parameter:?}; there is keep_connections");
                return Err(bad_field("query", reason));
            }
        };
    }
    let name = check_name(&name).map_err(|why| bad_field("user", why))?;
    let (_, disconnected, kept) =
        apply(&site, &asker, &name, access::Change::Delete, None, keep_connections).await?;
    Ok(Json(json!({ "removed": true, "disconnected": disconnected, "kept": kept })))
}

/// Returns whether there was such a user, how many connections have ended, and whether it is kept.
async fn apply(
    site: &Site,
    asker: &Asker,
    name: &str,
    change: access::Change,
    record: Option<Record>,
    keep_connections: bool,
) -> Result<(bool, usize, bool), Refusal> {
    let access = known(site)?;
    let kept = Change::new(site);
    let keep = |name: &str, value| kept.keep(Kind::User, name, value);
    let changed = access.change(name, change, record, keep);
    let (user, was_known) = changed.map_err(|why| unchanged(name, why))?;
    let by = asker.user().map_or("", |by| by);
    let (done, why) = match change {
        access::Change::Delete => ("deleted", "the user was deleted"),
        _ if was_known => ("given another password", "the user was given another password"),
        _ => ("added", ""),
    };
    tracing::info!(by, "the user {user:?} is {done}");
    // One that was hidden behind the file is there as before.
    let is_over = was_known && !keep_connections && !access.users().is_in_file(&user);
    let purge = is_over.then_some(Purge { whom: Target::User(user), is_ban: false, why });
    let is_kept = kept.is_kept();
    Ok((was_known, kept.finish(purge).await?, is_kept))
}

fn known(site: &Site) -> Result<&Access, Refusal> {
    site.context.access.as_ref().ok_or_else(|| {
        Refusal::conflict("this hub asks nobody who they are; name a file of users in [auth], which `trefoil passwd` begins")
    })
}

async fn hash(site: &Site, password: String) -> Result<Record, Refusal> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(bad_field("password", format!("the password is longer than {PASSWORD_BYTES_MAX} bytes")));
    }
    let salt: [u8; SALT_BYTES] = access::random().map_err(|error| {
        let reason = format!("the system gives no randomness: {error}");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, reason)
    })?;
    let hashed =
        site.passwords.work(move || Record::scram(&password, &salt, scram::ITERATIONS_DEFAULT)).await;
    let record = hashed.map_err(|_| {
        let why = "too many passwords wait to be looked at; try again";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, why).retry_after(1)
    })?;
    record.map_err(|why| bad_field("password", format!("the password cannot be used: {why}")))
}

fn unchanged(name: &str, why: Unchanged) -> Refusal {
    match why {
        Unchanged::Name(why) => bad_field("user", why),
        Unchanged::InFile => Refusal::conflict(format!(
            "{name:?} stands in the file of users, which goes before what is changed here; change it there with `trefoil \
             passwd`, and send SIGHUP"
        )),
        Unchanged::Known => {
            Refusal::conflict(format!("there is a user {name:?} already; PUT gives it another password"))
        }
        Unchanged::Unknown => Refusal::not_found(format!("there is no user {name:?}")),
        Unchanged::Full { users_max } => {
            let reason =
                format!("there are {users_max} users beside those of the file already (auth.users_max)");
            Refusal::new(StatusCode::INSUFFICIENT_STORAGE, Code::Quota, reason)
        }
    }
}
