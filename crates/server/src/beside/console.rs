//! The console: static files inside the binary.

use super::refusal::Refusal;
use super::routes::Site;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rust_embed::{Embed, EmbeddedFile};
use std::fmt::Write;

/// The files, in debug builds too, so that a test sees what users see.
#[derive(Embed)]
#[folder = "../../console"]
struct Files;

/// What `/` is.
const INDEX: &str = "index.html";

/// Answers everything that no other route takes: with a file of the console, or by saying what is served.
pub(super) async fn serve(State(site): State<Site>, request: Request) -> Response {
    let path = request.uri().path();
    let name = match path.trim_start_matches('/') {
        "" => INDEX,
        name => name,
    };
    let Some(file) = Files::get(name) else {
        return Refusal::not_found(format!("nothing is served on {path}; what is: {site}")).into_response();
    };
    match *request.method() {
        Method::GET | Method::HEAD => respond(name, &file, request.headers()),
        ref method => {
            let reason = format!("{method} is not served on {path}, which is a file; GET and HEAD are");
            Refusal::method_not_allowed(Some("GET, HEAD"), reason).into_response()
        }
    }
}

fn respond(name: &str, file: &EmbeddedFile, asked: &HeaderMap) -> Response {
    let tag = tag(file);
    // Kept, but asked for each time: after an update nobody sees a mixture of two consoles.
    let kept = [(ETAG, tag.as_str()), (CACHE_CONTROL, "no-cache")];
    let is_known =
        |value: &str| value.split(',').any(|known| matches!(known.trim(), "*") || same(known, &tag));
    if asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(is_known) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    (kept, [(CONTENT_TYPE, content_type(name))], file.data.clone()).into_response()
}

/// Names the content: a new console has new tags.
fn tag(file: &EmbeddedFile) -> String {
    const BYTES: usize = 12;
    file.metadata.sha256_hash()[..BYTES].iter().fold(String::from("\""), |mut tag, byte| {
        // A String takes all that is written, so that this cannot fail.
        let _ = write!(tag, "{byte:02x}");
        tag
    }) + "\""
}

/// Weak comparison, as If-None-Match asks for (RFC 9110 §13.1.2): a proxy that compresses marks the tag as weak.
fn same(known: &str, tag: &str) -> bool {
    let known = known.trim();
    known.strip_prefix("W/").unwrap_or(known) == tag
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beside::testing::Bench;

    #[tokio::test]
    async fn the_console_is_what_stands_at_the_root() {
        let bench = Bench::new();
        let page = bench.send("GET /", &[], "").await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let index = Files::get(INDEX).expect("the console has an index");
        assert_eq!(page.body, index.data.as_ref());

        let head = bench.send("HEAD /", &[], "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(index.data.len().to_string().as_str()));
    }

    #[tokio::test]
    async fn every_file_has_a_type_that_browsers_take() {
        let bench = Bench::new();
        for name in Files::iter() {
            let file = bench.send(&format!("GET /{name}"), &[], "").await;
            assert_eq!(file.status, 200, "{name}");
            assert_ne!(file.header("content-type"), Some("application/octet-stream"), "{name}");
        }
    }

    #[tokio::test]
    async fn a_known_file_is_not_sent_again() {
        let bench = Bench::new();
        let first = bench.send("GET /", &[], "").await;
        let tag = first.header("etag").expect("files have tags").to_string();
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_string()] {
            let again = bench.send("GET /", &[("if-none-match", &known)], "").await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
            assert_eq!(again.header("etag"), Some(tag.as_str()));
        }
        let other = bench.send("GET /", &[("if-none-match", "\"other\"")], "").await;
        assert_eq!(other.status, 200);
    }

    #[tokio::test]
    async fn files_are_only_read_and_others_do_not_exist() {
        let bench = Bench::new();
        let put = bench.send("PUT /index.html", &[], "x").await;
        assert_eq!((put.status, put.header("allow")), (405, Some("GET, HEAD")));
        for path in ["GET /../Cargo.toml", "GET /js/", "GET /%2e%2e/Cargo.toml", "GET /index.html/"] {
            let response = bench.send(path, &[], "").await;
            assert_eq!(response.status, 404, "{path}");
            assert_eq!(response.json()["error"]["code"], "not_found");
        }
    }
}
