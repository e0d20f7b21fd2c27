//! Handshakes: who is let in, and what the others are told.

use std::io::Write;
use trefoil_tests::websocket::{Connection, frame, handshake};
use trefoil_tests::{CONFIG, Exchange, Hub, connect};

/// The status and head of the answer to a request.
fn answer(hub: &Hub, request: &[u8]) -> (u16, String) {
    let mut stream = connect(hub.http_port());
    stream.offer(request);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let said = String::from_utf8_lossy(&stream.rest()).into_owned();
    let status = said.get(9..12).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{said:?} has no status")), said)
}

#[test]
fn requests_that_are_refused() {
    let hub = Hub::start();
    let good = String::from_utf8(handshake("/ws/echo", "")).unwrap();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let without = |line: &str| good.replace(line, "");
    let with = |line: &str| good.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    let cases = [
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("no host", without("Host: localhost\r\n"), 400),
        ("two hosts", with("Host: other"), 400),
        ("Upgrade without Connection", without("Connection: Upgrade\r\n"), 400),
        ("Connection: close", good.replace("Connection: Upgrade", "Connection: close"), 400),
        ("no key", without(key), 400),
        ("two keys", with(key.trim_end()), 400),
        ("a key of 15 bytes", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400),
        ("a key of 17 bytes", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTE="), 400),
        (
            "a key that is no base64",
            good.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ!=="),
            400,
        ),
        ("an empty key", good.replace("dGhlIHNhbXBsZSBub25jZQ==", ""), 400),
        ("no version", without("Sec-WebSocket-Version: 13\r\n"), 400),
        ("version 0", good.replace("Version: 13", "Version: 0"), 426),
        ("version 8", good.replace("Version: 13", "Version: 8"), 426),
        ("version 14", good.replace("Version: 13", "Version: 14"), 426),
        ("two versions", with("Sec-WebSocket-Version: 8"), 400),
        ("a list of protocols that is none", with("Sec-WebSocket-Protocol: a b"), 400),
        ("a list of extensions that is none", with("Sec-WebSocket-Extensions: permessage-deflate;"), 400),
        ("POST", good.replace("GET ", "POST "), 405),
        ("PUT", good.replace("GET ", "PUT "), 405),
        ("no such path", good.replace("/ws/echo", "/ws/nothing"), 404),
        ("a page of another host", with("Origin: http://elsewhere.example"), 403),
        ("no upgrade on /ws", "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), 426),
        ("no upgrade on /mqtt", "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), 426),
        ("no subprotocol on /mqtt", good.replace("/ws/echo", "/mqtt"), 400),
        ("a header that is none", good.replace("Host: localhost", "Host localhost"), 400),
        ("a head above the limit", with(&format!("X-Long: {}", "x".repeat(20_000))), 431),
        ("too many headers", with("X-One: 1\r\n".repeat(100).trim_end()), 431),
    ];
    for (what, request, status) in cases {
        let (found, said) = answer(&hub, request.as_bytes());
        assert_eq!(found, status, "{what}: {said}");
        let header = match status {
            426 => "sec-websocket-version: 13\r\n",
            405 => "allow: get\r\n",
            _ => "connection: close\r\n",
        };
        assert!(said.to_ascii_lowercase().contains(header), "{what}: {said}");
    }
}

#[test]
fn requests_that_are_accepted() {
    let hub = Hub::start();
    for (what, headers) in [
        ("plain", ""),
        ("the same origin", "Origin: http://localhost\r\n"),
        ("unknown headers", "X-Whatever: \u{e9}\r\nCookie: a=b\r\n"),
        ("unknown protocols", "Sec-WebSocket-Protocol: chat, superchat\r\n"),
        ("empty elements", "Sec-WebSocket-Extensions: , ,permessage-deflate,,\r\n"),
    ] {
        let mut connection = Connection::with_headers(hub.http_port(), "/ws/echo", headers);
        assert_eq!(connection.protocol, "", "{what}");
        connection.send_text("one");
        assert_eq!(connection.receive(), Some((0x81, b"one".to_vec())), "{what}");
    }
    let good = String::from_utf8(handshake("/ws/echo", "")).unwrap();
    for (what, request) in [
        ("other case", good.replace("Upgrade: websocket", "UPGRADE: WebSocket").replace("Host", "hOsT")),
        ("a list", good.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade")),
        ("a query", good.replace("/ws/echo", "/ws/echo?token=1")),
    ] {
        // Frames may follow at once, in the same packet.
        let mut stream = connect(hub.http_port());
        stream
            .write_all(&[request.as_bytes(), &frame(0x81, b"early"), &frame(0x88, &[3, 0xe8])].concat())
            .unwrap();
        let said = stream.rest();
        assert!(said.starts_with(b"HTTP/1.1 101 "), "{what}");
        assert!(said.ends_with(b"\x81\x05early\x88\x02\x03\xe8"), "{what}: {}", said.escape_ascii());
    }
}

/// A handshake that does not come to its end is ended.
#[test]
fn slow_handshakes() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nfirst_bytes_timeout_s = 1\n"));
    let request = handshake("/ws", "");
    for length in [20, request.len() - 2] {
        let mut stream = connect(hub.http_port());
        stream.write_all(&request[..length]).unwrap();
        let said = String::from_utf8_lossy(&stream.rest()).into_owned();
        assert!(said.starts_with("HTTP/1.1 408 "), "{length}: {said}");
    }
}
