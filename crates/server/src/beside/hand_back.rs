//! Which requests belong on a shard, and how one that came here gets there.

use axum::http::header::UPGRADE;
use axum::http::{Method, Request};
use bytes::Bytes;
use std::io::Write;

/// Whether a request belongs on a shard: it asks for a WebSocket, or for server-sent events. `path` is without the
/// query; `upgrades` are the values of all `Upgrade` headers.
pub(crate) fn is_for_shard<'a>(
    method: &str,
    path: &str,
    upgrades: impl IntoIterator<Item = &'a [u8]>,
) -> bool {
    let is_websocket = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"websocket");
    (method == Method::GET && path == "/sse")
        || (method == Method::GET || method == Method::POST) && is_channel(path)
        || upgrades.into_iter().any(|value| value.split(|&b| b == b',').any(is_websocket))
}

/// Whether a path, without the query, is that of channels.
pub(crate) fn is_channel(path: &str) -> bool {
    path.strip_prefix("/channel").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// [`is_for_shard`] for a request that was parsed here.
pub(super) fn belongs_elsewhere<B>(request: &Request<B>) -> bool {
    let upgrades = request.headers().get_all(UPGRADE);
    is_for_shard(
        request.method().as_str(),
        request.uri().path(),
        upgrades.iter().map(|value| value.as_bytes()),
    )
}

/// The head of a request as bytes again, the empty line included. Names of headers come out in lower case, which is
/// all that differs from what the client sent.
pub(super) fn write_head<B>(request: &Request<B>) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    // A Vec takes all that is written, so that this cannot fail.
    let _ = write!(head, "{} {} {:?}\r\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_ref());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// All that a shard has to read again: the head, what hyper had read behind it, and what hyper had not read.
pub(super) fn join(mut head: Vec<u8>, read: &Bytes, unread: &Bytes) -> Vec<u8> {
    head.extend_from_slice(read);
    head.extend_from_slice(unread);
    head
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn websockets_and_event_streams_belong_on_a_shard() {
        let none: [&[u8]; 0] = [];
        assert!(is_for_shard("GET", "/sse", none));
        assert!(is_for_shard("GET", "/anything", [&b"websocket"[..]]));
        assert!(is_for_shard("GET", "/ws", [&b"h2c"[..], b"foo, WebSocket"]));
        for (method, path) in
            [("POST", "/sse"), ("HEAD", "/sse"), ("GET", "/sse/"), ("GET", "/ws"), ("GET", "/")]
        {
            assert!(!is_for_shard(method, path, none), "{method} {path}");
        }
        assert!(!is_for_shard("GET", "/ws", [&b"websockets"[..]]));
    }

    #[test]
    fn a_head_is_written_as_it_was_sent() {
        let request = Request::get("/sse?topic=a%2Fb&topic=c")
            .header("host", "localhost:1883")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .body(())
            .unwrap();
        assert!(belongs_elsewhere(&request));
        let head = write_head(&request);
        assert_eq!(
            head,
            b"GET /sse?topic=a%2Fb&topic=c HTTP/1.1\r\nhost: localhost:1883\r\nx-twice: 1\r\nx-twice: 2\r\n\r\n"
        );
        let all = join(head, &Bytes::from_static(b"one"), &Bytes::from_static(b"two"));
        assert!(all.ends_with(b"\r\n\r\nonetwo"));
    }
}
