//! The opening handshake: RFC 6455 §4.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use trefoil_websocket::handshake::{
    Accepted, ClientHandshake, HandshakeError, Refused, accept, response_len,
};

/// The request of §1.3, without its Host, Origin and protocols.
const ASKS: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

fn ask<'a>(headers: &[(&'a str, &'a str)], supported: &[&'a str]) -> Result<Accepted<'a>, Refused> {
    accept("GET", 1, headers.iter().map(|&(name, value)| (name, value.as_bytes())), supported)
}

/// The request with these headers in place of those of the same name, or added.
fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = [("Host", "server.example.com")].into_iter().chain(ASKS);
    let kept = kept.filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes.iter().copied()).collect()
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    with(&[]).into_iter().filter(|header| header.0 != name).collect()
}

/// The exchange of §1.3.
#[test]
fn the_example_of_the_specification() {
    let headers = with(&[("Origin", "http://example.com"), ("Sec-WebSocket-Protocol", "chat, superchat")]);
    let accepted = ask(&headers, &["superchat", "chat"]).unwrap();
    assert_eq!(accepted.origin, Some("http://example.com"));
    assert_eq!(accepted.protocol, Some("chat"));
    let mut response = Vec::new();
    accepted.write_response(&mut response);
    assert_eq!(
        String::from_utf8(response).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    );
}

/// Names and tokens count in whatever case, as one of a list, over several lines.
#[test]
fn case_and_lists() {
    for changes in [
        [("Connection", "keep-alive, UPGRADE"), ("Upgrade", "WebSocket")].as_slice(),
        &[("Connection", "keep-alive"), ("connection", "\tupgrade ,,")],
        &[("Upgrade", "h2c, websocket")],
        &[("Sec-WebSocket-Version", " 13 ")],
    ] {
        assert!(ask(&with(changes), &[]).is_ok(), "{changes:?}");
    }
    let lower: Vec<_> = with(&[]).into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    let lower: Vec<_> = lower.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert!(ask(&lower, &[]).is_ok());
}

/// The client's order decides; names are told apart by case; none in common is no protocol.
#[test]
fn protocols() {
    for (offered, supported, chosen) in [
        ("mqttv3.1, mqtt", ["mqtt", "mqttv3.1"].as_slice(), Some("mqttv3.1")),
        ("other,mqtt", &["mqtt"], Some("mqtt")),
        ("MQTT", &["mqtt"], None),
        ("other", &["mqtt"], None),
        ("mqtt", &[], None),
    ] {
        let headers = with(&[("Sec-WebSocket-Protocol", offered)]);
        assert_eq!(ask(&headers, supported).unwrap().protocol, chosen, "{offered}");
    }
    let lines = with(&[("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "b")]);
    assert_eq!(ask(&lines, &["b", "a"]).unwrap().protocol, Some("a"));
    assert_eq!(ask(&with(&[]), &["mqtt"]).unwrap().protocol, None);
    assert_eq!(ask(&with(&[("Sec-WebSocket-Protocol", "no token")]), &["mqtt"]).unwrap_err().status, 400);
}

#[test]
fn bad_requests() {
    for name in ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        let refused = ask(&without(name), &[]).unwrap_err();
        assert_eq!(refused.status, 400, "without {name}");
        assert!(refused.reason.contains(name), "{refused}");
    }
    for (name, value) in [
        ("Upgrade", "websockets"),
        ("Upgrade", "web socket"),
        ("Connection", "keep-alive"),
        ("Connection", "upgraded"),
        ("Sec-WebSocket-Key", ""),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZXM="),
        ("Sec-WebSocket-Key", "!!!!IHNhbXBsZSBub25jZQ=="),
    ] {
        assert_eq!(ask(&with(&[(name, value)]), &[]).unwrap_err().status, 400, "{name}: {value}");
    }
    for name in ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin"] {
        let value = if name == "Sec-WebSocket-Key" { ASKS[2].1 } else { "13" };
        assert_eq!(ask(&with(&[(name, value), (name, value)]), &[]).unwrap_err().status, 400, "two {name}");
    }
    let headers = || with(&[]).into_iter().map(|(name, value)| (name, value.as_bytes()));
    assert_eq!(accept("GET", 0, headers(), &[]).unwrap_err().status, 400);
    assert_eq!(
        accept("GET", 1, headers().chain([("Origin", b"\xff".as_slice())]), &[]).unwrap_err().status,
        400
    );
}

/// §4.4: another version is answered with the one that is spoken here.
#[test]
fn another_version() {
    for version in ["8", "12", "14", "0", "-13", "013", "13, 8", ""] {
        let refused = ask(&with(&[("Sec-WebSocket-Version", version)]), &[]).unwrap_err();
        assert_eq!(refused.status, 426, "{version}");
        let mut response = Vec::new();
        refused.write_response(&mut response);
        let response = String::from_utf8(response).unwrap();
        assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{response}");
        assert!(response.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{response}");
        assert!(response.contains("\r\nUpgrade: websocket\r\n"), "{response}");
    }
}

#[test]
fn another_method() {
    for method in ["POST", "HEAD", "get", "CONNECT"] {
        let headers = with(&[]).into_iter().map(|(name, value)| (name, value.as_bytes()));
        let refused = accept(method, 1, headers, &[]).unwrap_err();
        let mut response = Vec::new();
        refused.write_response(&mut response);
        assert_eq!(
            String::from_utf8(response).unwrap(),
            "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 34\r\n\r\n\
             a WebSocket is asked for with GET\n"
        );
    }
}

fn client() -> ClientHandshake {
    let mut client = ClientHandshake::new(*b"the sample nonce");
    client.write_request("h", "/", &["chat"], &mut Vec::new()).unwrap();
    client
}

#[test]
fn the_request_of_a_client() {
    let mut request = Vec::new();
    let mut client = ClientHandshake::new(*b"the sample nonce");
    client.write_request("hub.example:8080", "/ws?x=1", &["mqtt", "mqttv3.1"], &mut request).unwrap();
    assert_eq!(
        String::from_utf8(request).unwrap(),
        "GET /ws?x=1 HTTP/1.1\r\nHost: hub.example:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt, mqttv3.1\r\n\r\n"
    );
}

#[test]
fn a_request_may_say_who_asks_and_nothing_else() {
    let authorized = |value: &str| {
        let mut request = Vec::new();
        let mut client = ClientHandshake::new([0; 16]).authorization(value.to_owned());
        client.write_request("h", "/", &[], &mut request).map(|()| String::from_utf8(request).unwrap())
    };
    assert!(authorized("Basic eDp5").unwrap().ends_with("\r\nAuthorization: Basic eDp5\r\n\r\n"));
    assert_eq!(authorized("Basic x\r\nHost: other"), Err(HandshakeError::BadRequest("authorization")));
}

/// Nothing that a caller passes on from a person can smuggle a header in.
#[test]
fn requests_that_would_be_another() {
    for (host, path, protocol, what) in [
        ("", "/", "p", "host"),
        ("a b", "/", "p", "host"),
        ("a\r\nX: y", "/", "p", "host"),
        ("a", "", "p", "path"),
        ("a", "ws", "p", "path"),
        ("a", "/ HTTP/1.1\r\nX: y", "p", "path"),
        ("a", "/ws#part", "p", "path"),
        ("a", "/", "", "protocol"),
        ("a", "/", "p, q", "protocol"),
        ("a", "/", "p\r\nX: y", "protocol"),
    ] {
        let mut out = Vec::new();
        let result = ClientHandshake::new([0; 16]).write_request(host, path, &[protocol], &mut out);
        assert_eq!(result, Err(HandshakeError::BadRequest(what)));
        assert!(out.is_empty());
    }
}

const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
     Sec-WebSocket-Accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

#[test]
fn the_response_to_a_client() {
    assert_eq!(client().check_response(RESPONSE.as_bytes()), Ok(Some("chat")));
    let silent = RESPONSE.replace("Sec-WebSocket-Protocol: chat\r\n", "");
    assert_eq!(client().check_response(silent.as_bytes()), Ok(None));
    let no_phrase = RESPONSE.replace(" Switching Protocols", "");
    assert_eq!(client().check_response(no_phrase.as_bytes()), Ok(Some("chat")));
}

#[test]
fn responses_that_do_not_fit() {
    use HandshakeError::{BadHeader, NotHttp, Status};
    for (from, to, error) in [
        ("101", "200", Status(200)),
        ("101", "10", NotHttp),
        ("101", "1011", NotHttp),
        ("HTTP/1.1", "HTTP/1.0", NotHttp),
        ("HTTP/1.1", "SSH-2.0", NotHttp),
        ("WebSocket", "h2c", BadHeader("Upgrade")),
        ("upgrade: WebSocket\r\n", "", BadHeader("Upgrade")),
        ("keep-alive, upgrade", "keep-alive", BadHeader("Connection")),
        ("s3pPL", "S3pPL", BadHeader("Sec-WebSocket-Accept")),
        ("Sec-WebSocket-Accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", "", BadHeader("Sec-WebSocket-Accept")),
        ("Protocol: chat", "Protocol: other", BadHeader("Sec-WebSocket-Protocol")),
        (
            "Protocol: chat",
            "Protocol: chat\r\nSec-WebSocket-Protocol: chat",
            BadHeader("Sec-WebSocket-Protocol"),
        ),
        ("Protocol: chat", "Extensions: permessage-deflate", BadHeader("Sec-WebSocket-Extensions")),
    ] {
        let response = RESPONSE.replace(from, to);
        assert_eq!(client().check_response(response.as_bytes()), Err(error), "{from} → {to}");
    }
}

/// The head ends with the blank line; what follows are frames.
#[test]
fn the_end_of_the_head() {
    let all = [RESPONSE.as_bytes(), b"\x81\x00"].concat();
    assert_eq!(response_len(&all), Some(RESPONSE.len()));
    for len in 0..RESPONSE.len() {
        assert_eq!(response_len(&all[..len]), None);
    }
}

proptest! {
    /// Whatever a client asks, in whatever bytes, the server answers in whole HTTP.
    #[test]
    fn any_response_and_any_header(name in "\\PC{0,30}", value in any::<Vec<u8>>(), head in any::<Vec<u8>>()) {
        let headers = with(&[]);
        let headers = headers.iter().map(|&(name, value)| (name, value.as_bytes()));
        if let Err(refused) = accept("GET", 1, headers.chain([(name.as_str(), value.as_slice())]), &["mqtt"]) {
            prop_assert!(refused.status == 400);
        }
        let _ = client().check_response(&head);
        let spoiled = [RESPONSE.as_bytes(), &head].concat();
        let _ = client().check_response(&spoiled);
    }
}
