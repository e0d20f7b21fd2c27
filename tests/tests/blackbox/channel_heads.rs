//! What channels ask of requests, and sessions that outlast them.

use std::io::Write;
use trefoil_tests::channel::{Channel, Http};
use trefoil_tests::{Hub, lines};

#[test]
fn a_request_that_can_be_taken_for_another_is_refused() {
    let hub = Hub::start();
    let origin = "Origin: http://localhost\r\n";
    for (host, headers) in [
        ("", ""),
        ("Host: localhost\r\nHost: 127.0.0.1\r\n", ""),
        ("Host: localhost\r\n", &*format!("{origin}{origin}")),
    ] {
        let mut http = Http::new(hub.http_port());
        let head = format!("POST /channel HTTP/1.1\r\n{host}{headers}Content-Length: 0\r\n\r\n");
        http.stream().write_all(head.as_bytes()).unwrap();
        assert_eq!(http.receive().unwrap().status, 400, "{head}");
    }
    // HTTP/1.0 has no such header, and one origin is one.
    let mut http = Http::new(hub.http_port());
    http.stream().write_all(b"POST /channel HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(http.receive().unwrap().status, 200);
    let opened = Http::new(hub.http_port()).ask("POST /channel", origin, "");
    assert_eq!(opened.status, 200);
}

#[test]
fn a_session_outlasts_its_channel() {
    let hub = Hub::start();
    let hello = r#"{"hello":{"client":"page","session_s":3600},"id":1}"#;
    let mut channel = Channel::open(hub.http_port(), "", hello);
    assert_eq!(channel.receive()["hello"]["resumed"], false);
    channel.ask(r#"{"sub":"c","qos":1,"id":2}"#);
    channel.saying.ask(&format!("POST {}/close", channel.path()), "", "");
    channel.is_gone();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"pub":"c","data":1,"qos":1,"id":3}"#);
    let mut channel = Channel::open(hub.http_port(), "", hello);
    assert_eq!(channel.receive()["hello"]["resumed"], true);
    assert_eq!(channel.receive()["data"], 1);
    let beats = channel.ask(r#"{"hello":{"heartbeat_s":1},"id":4}"#);
    assert_eq!(beats["error"]["code"], "bad_field");
}
