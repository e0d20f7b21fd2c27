//! One port for everything: what the first bytes decide.

use std::io::{Read, Write};
use std::net::TcpStream;
use trefoil_tests::{Exchange, Hub, connect, lines, mqtt, websocket};

const NARROW: &str = r#"
[[listener]]
bind = "127.0.0.1:0"
protocols = ["mqtt"]

[[listener]]
bind = "127.0.0.1:0"
protocols = ["json"]

[[listener]]
bind = "127.0.0.1:0"
protocols = ["websocket"]

[[listener]]
bind = "127.0.0.1:0"
protocols = ["http"]

[limits]
first_bytes_timeout_s = 1
"#;

/// The status line of the answer to a request.
fn http_status(port: u16, path: &str) -> String {
    let mut stream = connect(port);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let text = String::from_utf8_lossy(&stream.rest()).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn every_protocol_is_spoken_on_one_port() {
    let hub = Hub::start();
    let port = hub.tcp_port();
    let mut line = lines::Connection::new(port);
    line.ask(r#"{"sub":"t"}"#);
    for version in [3, 4, 5] {
        mqtt::Connection::new(port, version, "one").publish("t", b"mqtt");
        assert_eq!(line.receive()["data"], "mqtt");
    }
    let mut socket = websocket::Connection::new(port, "/ws");
    socket.send_text(r#"{"pub":"t","data":"websocket"}"#);
    assert_eq!(line.receive()["data"], "websocket");
    assert_eq!(http_status(port, "/healthz"), "HTTP/1.1 200 OK");
}

#[test]
fn first_bytes_may_come_one_at_a_time() {
    let hub = Hub::start();
    let mut watch = lines::Connection::new(hub.tcp_port());
    watch.ask(r#"{"sub":"t"}"#);
    for bytes in [
        [mqtt::connect_packet(5, "slow", &[]), mqtt::publish_packet(5, "t", b"slow")].concat(),
        b"\r\n{\"pub\":\"t\",\"data\":\"slow\"}\n".to_vec(),
        [websocket::handshake("/ws", ""), websocket::frame(0x81, br#"{"pub":"t","data":"slow"}"#)].concat(),
    ] {
        let mut stream = connect(hub.tcp_port());
        for byte in bytes {
            stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(watch.receive()["data"], "slow");
    }
}

#[test]
fn nonsense_gets_one_clear_line_and_a_close() {
    let hub = Hub::start();
    for nonsense in [
        &b"HELO example.org\r\n"[..],
        b"\x00\x01\x02\x03",
        b"[1,2]\n",
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let mut stream = connect(hub.tcp_port());
        stream.write_all(nonsense).unwrap();
        let said = String::from_utf8(stream.rest()).unwrap();
        assert_eq!(said.lines().count(), 1, "{said:?} to {nonsense:?}");
        assert!(said.ends_with('\n') && said.len() > 20, "{said:?} to {nonsense:?}");
    }
}

#[test]
fn a_silent_connection_is_closed() {
    let hub = Hub::with_config("[[listener]]\nbind = \"127.0.0.1:0\"\n[limits]\nfirst_bytes_timeout_s = 1\n");
    let unfinished: [&[u8]; 4] = [
        b"",
        b"\x10",
        b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n",
        &mqtt::connect_packet(5, "unfinished", &[])[..9],
    ];
    for bytes in unfinished {
        let mut stream = connect(hub.tcp_port());
        stream.write_all(bytes).unwrap();
        stream.rest();
    }
    // One that has said who it is may be silent for longer.
    let mut patient = mqtt::Connection::new(hub.tcp_port(), 5, "patient");
    let mut silent = connect(hub.tcp_port());
    silent.rest();
    patient.ping();
}

#[test]
fn a_narrowed_listener_speaks_what_it_is_told_and_no_more() {
    let hub = Hub::with_config(NARROW);
    let [mqtt_port, json_port, websocket_port, http_port] =
        ["mqtt", "json", "websocket", "http"].map(|p| hub.port_of(p));
    mqtt::Connection::new(mqtt_port, 5, "one").ping();
    assert_eq!(lines::Connection::new(json_port).ask(r#"{"ping":1}"#)["pong"], 1);
    websocket::Connection::new(websocket_port, "/ws");
    assert_eq!(http_status(http_port, "/healthz"), "HTTP/1.1 200 OK");

    let connect_packet = mqtt::connect_packet(5, "one", &[]);
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let upgrade = websocket::handshake("/ws", "");
    let line = b"{\"ping\":1}\n";
    for (port, refused) in [
        (mqtt_port, [&request[..], &line[..], &upgrade[..]]),
        (json_port, [&request[..], &connect_packet[..], &upgrade[..]]),
        (websocket_port, [&request[..], &line[..], &connect_packet[..]]),
        (http_port, [&upgrade[..], &line[..], &connect_packet[..]]),
    ] {
        for bytes in refused {
            let mut stream: TcpStream = connect(port);
            stream.write_all(bytes).unwrap();
            let said = String::from_utf8_lossy(&stream.rest()).into_owned();
            let shown = String::from_utf8_lossy(bytes);
            assert!(
                !said.starts_with("HTTP/1.1 101") && !said.starts_with("HTTP/1.1 200"),
                "{shown}: {said}"
            );
            assert!(said.contains("listener") || said.starts_with("HTTP/1.1 4"), "{shown}: {said}");
        }
    }
}

#[test]
fn a_half_closed_connection_still_gets_its_answer() {
    let hub = Hub::start();
    let mut stream = connect(hub.tcp_port());
    stream.write_all(b"{\"ping\":1}\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "{\"pong\":1}\n");
}
