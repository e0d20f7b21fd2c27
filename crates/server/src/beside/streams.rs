//! `GET /api/v1/streams`: who listens and who calls, and what is joined now.

use super::refusal::Refusal;
use super::routes::Site;
use crate::streams::{Joined, Listed, Who};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use trefoil_hub::Time;
use trefoil_json::Code;

/// Names, and streams, unless it is said how many.
const LIMIT: usize = 100;

/// The same at most.
const LIMIT_MAX: usize = 1000;

/// The names in their order, and the streams that are joined, the oldest first; and how many there are of each.
pub(super) async fn list(
    State(site): State<Site>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let limit = read(&asked)?;
    let (streams, now) = (&site.context.streams, site.context.now());
    let counts = streams.counts();
    let (listed, joined) = streams.list(limit);
    let names: Vec<Value> = listed.iter().map(name).collect();
    let joined: Vec<Value> = joined.iter().map(|joined| stream(joined, now)).collect();
    Ok(Json(json!({
        "streams": joined,
        "names": names,
        "joined": counts.joined,
        "listeners": counts.listeners,
        "callers": counts.callers,
    })))
}

fn name(listed: &Listed) -> Value {
    json!({ "name": &*listed.name, "listeners": listed.listeners, "callers": listed.callers })
}

fn stream(joined: &Joined, now: Time) -> Value {
    let [from_caller, from_listener] = joined.moved();
    json!({
        "name": &*joined.name,
        "caller": who(&joined.caller),
        "listener": who(&joined.listener),
        "bytes_from_caller": from_caller,
        "bytes_from_listener": from_listener,
        "seconds": now.since(joined.began) / 1000,
    })
}

fn who(who: &Who) -> Value {
    let members = [("client", &who.client), ("user", &who.user), ("peer", &who.peer)];
    let known =
        members.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into())));
    Value::Object(known.collect::<Map<_, _>>())
}

fn read(asked: &[(String, String)]) -> Result<usize, Refusal> {
    let bad = |field: &'static str, reason: String| {
        Refusal::new(StatusCode::BAD_REQUEST, Code::BadField, reason).field(field)
    };
    match asked {
        [] => Ok(LIMIT),
        [(name, value)] if name == "limit" => {
            let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.ok_or_else(|| bad("limit", format!("limit is a number from 1 to {LIMIT_MAX}")))
        }
        _ => Err(bad("query", "there is one parameter, limit, and it is there once".into())),
    }
}

#[cfg(test)]
mod tests {
    use crate::beside::testing::Bench;
    use crate::streams::Who;

    #[tokio::test]
    async fn what_is_joined_is_listed() {
        let bench = Bench::new();
        let empty = bench.send("GET /api/v1/streams", &[], "").await.json();
        assert_eq!((&empty["joined"], &empty["streams"]), (&0.into(), &serde_json::json!([])));
        let (streams, limits) = (&bench.context.streams, &bench.context.limits);
        let ann = Who { client: Some("ann".into()), ..Who::default() };
        let joined = streams.join(&"shed".into(), (ann, Who::default()), bench.context.now(), limits);
        joined.expect("there is room").count(0, 7);
        let list = bench.send("GET /api/v1/streams?limit=1", &[], "").await.json();
        let stream = &list["streams"][0];
        assert_eq!((&stream["name"], &stream["caller"]["client"]), (&"shed".into(), &"ann".into()));
        assert_eq!((&stream["bytes_from_caller"], &stream["bytes_from_listener"]), (&7.into(), &0.into()));
        for query in ["limit=0", "limit=1001", "limit=x", "name=a", "limit=1&limit=2"] {
            assert_eq!(bench.send(&format!("GET /api/v1/streams?{query}"), &[], "").await.status, 400);
        }
    }
}
