//! What holds for every request and every response: who may ask, and what browsers may do with the answer.

use super::origin;
use super::refusal::Refusal;
use super::routes::Site;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST,
    ORIGIN, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use trefoil_config::Origins;
use trefoil_json::Code;

/// The console loads nothing from elsewhere and stands in no foreign frame. It may open WebSockets to other ports and
/// hosts, since that is what it is for.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Answers pages of foreign origins, and preflight requests, on its own; sets the headers that all responses have.
pub(super) async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match &origin {
        Some(origin) if !is_allowed(origin, request.headers(), &site.listener().allowed_origins) => foreign(),
        Some(_) if is_preflight(&request) => preflight(),
        _ => next.run(request).await,
    };
    let is_refused = response.status() == StatusCode::FORBIDDEN;
    let headers = response.headers_mut();
    if let Some(origin) = origin.filter(|_| !is_refused) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    headers.insert(VARY, HeaderValue::from_static("origin"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Figures and answers are true at one moment only; the console sets a rule of its own.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn is_allowed(page: &HeaderValue, headers: &HeaderMap, others: &Origins) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    page.to_str().ok().zip(host).is_some_and(|(page, host)| origin::is_allowed(page, host, others))
}

fn foreign() -> Response {
    let reason = "the Origin of this request is another host than this server's, and pages of other hosts may not \
                  use it; serve the page from the same host name, name its origin in `allowed_origins`, or leave Origin out if this is no browser";
    Refusal::new(StatusCode::FORBIDDEN, Code::NotAuthorized, reason).into_response()
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What a browser asks before it lets a page of another port send JSON.
fn preflight() -> Response {
    const MAY: [(HeaderName, &str); 3] = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "content-type, authorization"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, MAY).into_response()
}

#[cfg(test)]
mod tests {
    use crate::beside::testing::Bench;

    #[tokio::test]
    async fn foreign_pages_are_refused_everywhere() {
        let bench = Bench::new();
        for origin in ["http://evil.example", "null"] {
            for start in ["GET /healthz", "POST /api/v1/publish", "OPTIONS /api/v1/publish", "GET /nothing"] {
                let response =
                    bench.send(start, &[("origin", origin), ("host", "localhost:8080")], "{}").await;
                assert_eq!(response.status, 403, "{start} from {origin}");
                assert_eq!(response.json()["error"]["code"], "not_authorized");
                assert_eq!(response.header("access-control-allow-origin"), None);
            }
        }
        let without_host = bench.send("GET /healthz", &[("origin", "http://localhost")], "").await;
        assert_eq!(without_host.status, 403);
    }

    #[tokio::test]
    async fn pages_of_the_same_host_are_served_and_told_so() {
        let bench = Bench::new();
        let own = [("origin", "http://localhost:5173"), ("host", "127.0.0.1:8080")];
        let response = bench.send("GET /healthz", &own, "").await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("access-control-allow-origin"), Some("http://localhost:5173"));
        assert_eq!(response.header("vary"), Some("origin"));

        let asking = [own[0], own[1], ("access-control-request-method", "POST")];
        let preflight = bench.send("OPTIONS /api/v1/publish", &asking, "").await;
        assert_eq!(preflight.status, 204);
        assert_eq!(preflight.header("access-control-allow-origin"), Some("http://localhost:5173"));
        assert_eq!(preflight.header("access-control-allow-headers"), Some("content-type, authorization"));
        assert_eq!(preflight.body, b"");
    }

    #[tokio::test]
    async fn browsers_are_held_to_what_is_served() {
        let bench = Bench::new();
        for path in ["GET /", "GET /healthz", "GET /nothing"] {
            let response = bench.send(path, &[], "").await;
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(response.header("referrer-policy"), Some("no-referrer"), "{path}");
            let policy = response.header("content-security-policy").expect("a policy");
            assert!(policy.starts_with("default-src 'self'; connect-src 'self' ws: wss:;"), "{policy}");
        }
        assert_eq!(bench.send("GET /healthz", &[], "").await.header("cache-control"), Some("no-store"));
    }
}
