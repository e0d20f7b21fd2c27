//! What is served where.

use super::admin::{bans, users};
use super::passwords::Passwords;
use super::refusal::Refusal;
use super::{access, channel, console, guard, history, metrics, presence, publish, rooms, sessions, streams};
use crate::context::{Context, ListenerContext};
use crate::keeper;
use crate::stats::Summary;
use axum::extract::{Request, State};
use axum::http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// All routes of one listener.
pub(super) fn router(context: &Arc<Context>, passwords: &Passwords, listener: usize) -> Router {
    let site = Site { context: context.clone(), passwords: passwords.clone(), listener };
    let ListenerContext { protocols, echo, .. } = site.listener();
    let mut router: Router<Site> = Router::new();
    if protocols.http {
        router = router
            .route("/api/v1/publish", post(publish::publish))
            .route("/api/v1/stats", get(stats))
            .route("/api/v1/history", get(history::page))
            .route("/api/v1/presence", get(presence::on_topic))
            .route("/api/v1/streams", get(streams::list))
            .route("/api/v1/sessions", get(sessions::list))
            .route("/api/v1/sessions/{*client_id}", delete(sessions::end))
            .route("/api/v1/rooms", get(rooms::list))
            .route("/api/v1/rooms/{*rest}", post(rooms::token))
            .route("/api/v1/bans", get(bans::list).post(bans::set))
            .route("/api/v1/bans/{kind}/{*whom}", delete(bans::take_back))
            .route("/api/v1/users", get(users::list).post(users::add))
            .route("/api/v1/users/{*name}", put(users::set).delete(users::delete))
            .route("/healthz", get(healthz))
            .route("/livez", get(livez))
            .route("/metrics", get(metrics::metrics))
            .route("/sse", any(sse_is_for_get))
            .route("/channel", any(channel::not_so))
            .route("/channel/{*rest}", any(channel::not_so))
            .fallback(console::serve);
    } else {
        router = router.fallback(narrowed);
    }
    let sockets: &[&str] = match (protocols.websocket, echo) {
        (true, true) => &["/mqtt", "/ws", "/ws/echo"],
        (true, false) => &["/mqtt", "/ws"],
        (false, _) => &[],
    };
    for path in sockets {
        router = router.route(path, any(upgrade_required));
    }
    if protocols.websocket {
        router = router.route("/stream/{*name}", any(upgrade_required));
    }
    router
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(site.clone(), access::authenticate))
        .layer(axum::middleware::from_fn_with_state(site.clone(), guard::guard))
        .with_state(site)
}

/// What a listener serves; displayed, it is the list for people who asked for something else.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) context: Arc<Context>,
    pub(super) passwords: Passwords,
    listener: usize,
}

impl Site {
    pub(super) fn listener(&self) -> &ListenerContext {
        &self.context.listeners[self.listener]
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let http = "GET / (console), GET /trefoil.js, GET /trefoil.mjs, POST /api/v1/publish, GET /api/v1/stats, \
                    GET /api/v1/history?topic=TOPIC, \
                    GET /api/v1/streams, GET /api/v1/sessions, DELETE /api/v1/sessions/CLIENT_ID, GET /api/v1/rooms, \
                    POST /api/v1/rooms/NAME/tokens, GET and POST /api/v1/bans, \
                    DELETE /api/v1/bans/KIND/WHOM, GET and POST /api/v1/users, \
                    PUT and DELETE /api/v1/users/NAME, GET /healthz, GET /livez, GET /metrics, \
                    GET /sse?topic=FILTER, POST /channel";
        let ListenerContext { protocols, echo, .. } = self.listener();
        let all = [
            (protocols.http, http),
            (protocols.websocket, "WebSocket on /mqtt (MQTT), /ws (JSON) and /stream/NAME"),
            (protocols.websocket && *echo, "WebSocket on /ws/echo"),
        ];
        for (i, (_, text)) in all.into_iter().filter(|(is_on, _)| *is_on).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{text}")?;
        }
        Ok(())
    }
}

/// Whether all that the hub promises is done at this moment.
async fn healthz(State(site): State<Site>) -> Response {
    let reason = site.context.keeper.as_ref().and_then(|keeper| keeper::report::open_reason(&keeper.state()));
    match reason {
        None => Json(json!({ "status": "ok" })).into_response(),
        Some(reason) => {
            let body = Json(json!({ "status": "degraded", "reason": reason }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// Whether the hub is there: a new start would mend nothing that stands in [`healthz`].
async fn livez() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn stats(State(site): State<Site>) -> Json<Summary> {
    Json(site.context.summary())
}

/// GET goes to a shard and never comes here.
async fn sse_is_for_get(method: Method) -> Refusal {
    let reason = format!("{method} is not served on /sse; GET /sse?topic=FILTER is, and answers with events");
    Refusal::method_not_allowed(Some("GET"), reason)
}

/// A request that does ask for a WebSocket goes to a shard and never comes here.
async fn upgrade_required(request: Request) -> impl IntoResponse {
    let path = request.uri().path();
    let reason = format!("{path} is for WebSocket clients: the request must ask for an upgrade to websocket");
    // RFC 6455 §4.4 wants the version said.
    let refusal = Refusal::upgrade_required(reason).header(UPGRADE, "websocket");
    ([(SEC_WEBSOCKET_VERSION, "13")], refusal)
}

async fn method_not_allowed(State(site): State<Site>, request: Request) -> Response {
    let reason = format!("{} is not served on {}; what is: {site}", request.method(), request.uri().path());
    Refusal::method_not_allowed(None, reason).into_response()
}

async fn narrowed(State(site): State<Site>) -> Refusal {
    let protocols = site.listener().protocols;
    Refusal::not_found(format!(
        "HTTP is not served on this listener, which is configured for: {protocols}; {site}"
    ))
}

#[cfg(test)]
mod tests {
    use crate::beside::testing::Bench;
    use trefoil_config::Protocols;

    #[tokio::test]
    async fn health_and_stats() {
        let bench = Bench::new();
        let health = bench.send("GET /healthz", &[], "").await;
        assert_eq!((health.status, health.body.as_slice()), (200, &br#"{"status":"ok"}"#[..]));
        assert_eq!(bench.send("GET /livez", &[], "").await.status, 200);

        bench.context.stats[0].messages_in.add(3);
        bench.context.stats_beside().bytes_in.add(5);
        let stats = bench.send("GET /api/v1/stats", &[], "").await;
        assert_eq!(stats.header("content-type"), Some("application/json"));
        let stats = stats.json();
        assert_eq!((&stats["messages_in"], &stats["bytes_in"]), (&3.into(), &5.into()));
        assert!(stats["connections"]["mqtt"].is_u64());
        assert_eq!((&stats["store"]["state"], &stats["store"]["disk_bytes"]), (&"off".into(), &0.into()));
    }

    #[tokio::test]
    async fn head_is_get_without_a_body() {
        let bench = Bench::new();
        for path in ["/healthz", "/metrics", "/api/v1/stats"] {
            let response = bench.send(&format!("HEAD {path}"), &[], "").await;
            assert_eq!((response.status, response.body.len()), (200, 0), "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_not_served_is_told_what_is() {
        let bench = Bench::new();
        for (start, status, allow) in [
            ("GET /api/v1/publish", 405, Some("POST")),
            ("DELETE /healthz", 405, Some("GET,HEAD")),
            ("POST /sse", 405, Some("GET")),
            ("GET /api/v2/publish", 404, None),
            ("POST /nothing", 404, None),
        ] {
            let response = bench.send(start, &[], "").await;
            assert_eq!((response.status, response.header("allow")), (status, allow), "{start}");
            let reason = response.json()["error"]["reason"].to_string();
            assert!(reason.contains("GET /sse?topic=FILTER"), "{reason}");
        }
        let socket = bench.send("GET /ws", &[], "").await;
        assert_eq!((socket.status, socket.header("upgrade")), (426, Some("websocket")));
        assert_eq!(bench.send("GET /ws/echo", &[], "").await.status, 404);
    }

    #[tokio::test]
    async fn a_listener_without_http_serves_none() {
        let bench = Bench::with(Protocols { websocket: true, ..Protocols::NONE });
        for start in ["GET /", "GET /healthz", "POST /api/v1/publish", "GET /metrics"] {
            let response = bench.send(start, &[], "").await;
            assert_eq!(response.status, 404, "{start}");
            let reason = response.json()["error"]["reason"].to_string();
            assert!(reason.contains("configured for: websocket"), "{reason}");
        }
        assert_eq!(bench.send("GET /mqtt", &[], "").await.status, 426);
    }
}
