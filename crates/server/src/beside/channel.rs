//! Requests to channels, which live on the shards, on a connection that is served beside them: it goes back to a shard, with
//! the body of the request if that has one.

use super::hand_back::{is_channel, write_head};
use super::publish::read_limited;
use super::refusal::Refusal;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING};
use axum::http::{Method, Request};

/// Whether a request may have a body, and belongs on a shard all the same.
pub(super) fn has_body<B>(request: &Request<B>) -> bool {
    request.method() == Method::POST && is_channel(request.uri().path())
}

/// The request as bytes again, body included, which then has a length.
pub(super) async fn write(request: Request<Body>, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let (mut head, body) = request.into_parts();
    let body = read_limited(body, bytes_max, "limits.json_bytes_max").await?;
    for name in [TRANSFER_ENCODING, TRAILER, EXPECT] {
        head.headers.remove(name);
    }
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    let mut bytes = write_head(&Request::from_parts(head, ()));
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// What shards serve never comes here.
pub(super) async fn not_so(method: Method) -> Refusal {
    let reason = format!(
        "{method} is not served on channels; POST /channel, GET and POST /channel/TOKEN, and POST /channel/TOKEN/close are"
    );
    Refusal::method_not_allowed(Some("GET, POST"), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beside::testing::Bench;

    #[tokio::test]
    async fn a_request_goes_back_with_its_body() {
        let chunked = Request::post("/channel/x?y=1")
            .header("host", "localhost")
            .header("transfer-encoding", "chunked")
            .header("expect", "100-continue")
            .body(Body::from("{\"ping\":1}"))
            .expect("a request");
        assert!(has_body(&chunked));
        let bytes = write(chunked, 10).await.expect("it is short enough");
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            "POST /channel/x?y=1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{\"ping\":1}"
        );
        let long = Request::post("/channel").body(Body::from("{\"ping\":10}")).expect("a request");
        assert!(write(long, 10).await.is_err());
        let other = Request::post("/channels").body(()).expect("a request");
        assert!(!has_body(&other));
    }

    #[tokio::test]
    async fn other_methods_are_told_which() {
        let bench = Bench::new();
        for start in ["PUT /channel", "DELETE /channel/x", "HEAD /channel/x/close"] {
            let response = bench.send(start, &[], "").await;
            assert_eq!((response.status, response.header("allow")), (405, Some("GET, POST")), "{start}");
        }
        let asking = [
            ("origin", "http://localhost:5173"),
            ("host", "localhost:8080"),
            ("access-control-request-method", "POST"),
        ];
        assert_eq!(bench.send("OPTIONS /channel/x", &asking, "").await.status, 204);
    }
}
