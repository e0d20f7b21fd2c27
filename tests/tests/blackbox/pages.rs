//! What pages in browsers meet: pings of the hub, and whether they may connect at all.

use std::io::{Read, Write};
use trefoil_tests::mqtt::{Connect, Will};
use trefoil_tests::{CONFIG, Exchange, Hub, connect, lines, wait_until, websocket};

const PING: (u8, Vec<u8>) = (0x89, vec![]);

fn pong(connection: &mut websocket::Connection) {
    connection.send(&websocket::frame(0x8a, b""));
}

#[test]
fn who_says_nothing_is_pinged_and_who_does_not_answer_is_closed() {
    // Two of those who answer do so in turn, and have twice that for it.
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nwebsocket_ping_s = 3\n"));
    let mut heir = lines::Connection::new(hub.tcp_port());
    heir.ask(r#"{"sub":"gone"}"#);
    let (mut alive, mut echo) = (
        websocket::Connection::new(hub.http_port(), "/ws"),
        websocket::Connection::new(hub.http_port(), "/ws/echo"),
    );
    let mut deaf = websocket::Connection::new(hub.http_port(), "/ws");
    // These move between shards when it is known who they are.
    let mut mortals: Vec<_> = (0..4)
        .map(|n| {
            let mut mortal = websocket::Connection::new(hub.http_port(), "/mqtt");
            let request = Connect::new(5, format!("mortal-{n}")).will(Will::new("gone", n.to_string()));
            mortal.send(&websocket::frame(0x82, &request.packet()));
            assert_eq!(mortal.receive().expect("a CONNACK").1[0], 0x20);
            mortal
        })
        .collect();
    for _ in 0..4 {
        for connection in [&mut alive, &mut echo] {
            assert_eq!(connection.receive(), Some(PING));
            pong(connection);
        }
    }
    // Each has been asked once, and then only the socket closes.
    for silent in mortals.iter_mut().chain([&mut deaf]) {
        assert_eq!(silent.receive(), Some(PING));
        assert_eq!(silent.stream.rest(), b"");
    }
    let mut wills: Vec<_> = (0..4).map(|_| heir.receive()["data"].as_i64().unwrap()).collect();
    wills.sort_unstable();
    assert_eq!(wills, [0, 1, 2, 3]);
    assert_eq!(alive.receive(), Some(PING), "it is still there");
    wait_until("the others are gone", || {
        hub.metric("trefoil_connections{kind=\"json_ws\"}") == 1
            && hub.metric("trefoil_connections{kind=\"mqtt_ws\"}") == 0
    });
}

/// The status that a request from a page of this origin gets.
fn status(port: u16, path: &str, origin: &str) -> String {
    let header = format!("Origin: {origin}\r\n");
    let bytes = match path {
        "/ws" => websocket::handshake(path, &header),
        _ => format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n").into_bytes(),
    };
    let mut stream = connect(port);
    stream.write_all(&bytes).unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

#[test]
fn pages_of_other_hosts_may_use_what_names_their_origin() {
    let hub = Hub::with_config(
        r#"
        allowed_origins = ["https://app.example", "capacitor://localhost"]
        [[listener]]
        bind = "127.0.0.1:0"
        allowed_origins = ["*"]
        protocols = ["http", "websocket", "mqtt"]
        [[listener]]
        bind = "127.0.0.1:0"
        protocols = ["http", "websocket"]
        "#,
    );
    for (path, good) in [("/ws", "101"), ("/healthz", "200"), ("/sse?topic=a", "200")] {
        for origin in
            ["https://app.example", "https://APP.example", "capacitor://localhost", "http://localhost:5173"]
        {
            assert_eq!(status(hub.http_port(), path, origin), good, "{path} from {origin}");
        }
        for origin in
            ["https://app.example:8443", "http://app.example", "https://app.example.evil.example", "null"]
        {
            assert_eq!(status(hub.http_port(), path, origin), "403", "{path} from {origin}");
            assert_eq!(status(hub.tcp_port(), path, origin), good, "{path} from {origin}");
        }
    }
}
