//! The JSON protocol's hello: names, which connections are taken over for, and what the hub says of itself.

use serde_json::{Value, json};
use trefoil_tests::datagrams::Peer;
use trefoil_tests::{Hub, lines, mqtt, wait_until, websocket};

/// With two shards, some of so many names belong to either.
const NAMES: usize = 8;

fn hello(client: &str, id: u64) -> String {
    json!({"hello": {"client": client}, "id": id}).to_string()
}

pub(super) fn text(socket: &mut websocket::Connection) -> Value {
    let (first_byte, payload) = socket.receive().expect("a frame, not the end");
    assert_eq!(first_byte, 0x81, "a text frame: {}", String::from_utf8_lossy(&payload));
    serde_json::from_slice(&payload).unwrap()
}

#[test]
fn the_hub_says_which_connection_it_is() {
    let hub = Hub::start();
    let reply = super::schema::validator("reply");
    let mut line = lines::Connection::new(hub.tcp_port());
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    socket.send_text(r#"{"hello":{},"id":1}"#);
    let by_socket = text(&mut socket);
    let by_line = line.ask(r#"{"hello":{"info":{"any":["thing"]},"batch":false}}"#);
    for value in [&by_socket, &by_line] {
        super::schema::check(&reply, value);
        assert_eq!(value["hello"]["version"], 1);
        assert_eq!(value["hello"]["limits"]["request_bytes_max"], 1 << 20);
    }
    assert!(by_socket["hello"]["client"].as_str().unwrap().starts_with("ws-"));
    assert!(by_line["hello"]["client"].as_str().unwrap().starts_with("tcp-"));
    assert_eq!((&by_socket["ack"], by_line.get("ack")), (&json!(1), None));
    assert_ne!(by_socket["hello"]["connection"], by_line["hello"]["connection"]);
    let again = line.ask(r#"{"hello":{},"id":2}"#);
    assert_eq!((&again["error"]["code"], &again["id"]), (&json!("bad_field"), &json!(2)));
}

#[test]
fn a_name_goes_to_who_came_last() {
    let hub = Hub::start();
    for n in 0..NAMES {
        let name = format!("client-{n}");
        let mut first = lines::Connection::new(hub.tcp_port());
        // What comes behind the hello, in the same write, waits for the connection to have moved.
        first.send(format!("{}\n{}", hello(&name, 1), r#"{"sub":"a","id":2}"#));
        assert_eq!(first.receive()["hello"]["client"], json!(name));
        assert_eq!(first.receive(), json!({"sub": "a", "qos": 0, "ack": 2}));
        assert_eq!(first.ask(r#"{"pub":"a","data":1}"#), json!({"topic": "a", "data": 1}));

        let mut second = websocket::Connection::new(hub.http_port(), "/ws");
        second.send_text(&format!("[{},{}]", hello(&name, 3), r#"{"sub":"b"},{"pub":"b","data":2}"#));
        assert_eq!(text(&mut second)["hello"]["client"], json!(name));
        assert_eq!(text(&mut second), json!({"sub": "b", "qos": 0}));
        assert_eq!(text(&mut second), json!({"topic": "b", "data": 2}));
        assert_eq!(first.receive()["error"]["code"], "unavailable");
        assert_eq!(first.line(), None);

        // MQTT takes it from JSON, and JSON from MQTT.
        let mut third = mqtt::Connection::new(hub.tcp_port(), 5, &name);
        assert_eq!(text(&mut second)["error"]["code"], "unavailable");
        assert_eq!(second.close_code(), Some(1008));
        let mut fourth = lines::Connection::new(hub.tcp_port());
        assert_eq!(fourth.ask(hello(&name, 4))["ack"], 4);
        assert_eq!(third.disconnect_reason(), Some(0x8e));
        assert_eq!(fourth.ask(r#"{"ping":1}"#), json!({"pong": 1}));
    }
}

#[test]
fn a_session_begins_empty_and_ends_with_its_connection() {
    let hub = Hub::start();
    for n in 0..NAMES {
        let name = format!("kept-{n}");
        let request = mqtt::Connect::new(5, &name).resume().session_expiry_s(3600);
        let mut kept = mqtt::Connection::with(hub.tcp_port(), &request).0;
        kept.subscribe("a", 1);
        kept.leave();
        let mut line = lines::Connection::new(hub.tcp_port());
        assert_eq!(line.ask(hello(&name, 1))["ack"], 1);
        assert_eq!(line.ask(r#"{"pub":"a","data":1,"qos":1,"id":2}"#), json!({"ack": 2}));
        assert_eq!(
            line.ask(r#"{"ping":1}"#),
            json!({"pong": 1}),
            "it has none of the subscriptions of before"
        );
        drop(line);
        // Those of the rounds before are there still.
        wait_until("it has ended with its connection", || hub.stat("sessions") == n as u64);
        let (_, answer) = mqtt::Connection::with(hub.tcp_port(), &request);
        assert_eq!(answer.flags & 1, 0, "{name}");
    }
}

#[test]
fn what_hello_cannot_have_is_refused_and_the_rest_goes_on() {
    let hub = Hub::start();
    let mut line = lines::Connection::new(hub.tcp_port());
    let refused = line.ask(r#"{"hello":{"binary":true},"id":1}"#);
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["field"]),
        (&json!("bad_field"), &json!("binary"))
    );
    assert_eq!(line.ask(r#"{"hello":{"client":"x"},"id":2}"#)["ack"], 2);
    let mut late = lines::Connection::new(hub.tcp_port());
    late.ask(r#"{"sub":"a","id":1}"#);
    assert_eq!(late.ask(r#"{"hello":{},"id":2}"#)["error"]["field"], "hello");
    let peer = Peer::new(hub.udp_port());
    assert_eq!(peer.ask(r#"{"hello":{"client":"x"},"id":1}"#)["error"]["field"], "client");
    assert_eq!(peer.ask(r#"{"hello":{"batch":true},"id":2}"#)["ack"], 2);
}

#[test]
fn a_name_waits_for_its_user() {
    let hub = Hub::with_users(&[("ann", "a"), ("bob", "b")], "");
    let auth = |user: &str, password: &str, id: u64| {
        json!({"auth": {"user": user, "password": password}, "id": id}).to_string()
    };
    for n in 0..NAMES {
        let name = format!("hers-{n}");
        let mut hers = lines::Connection::new(hub.tcp_port());
        // In one batch: what stands behind the password waits for it.
        hers.send(format!("[{},{},{}]", auth("ann", "a", 1), hello(&name, 2), r#"{"sub":"a","id":3}"#));
        assert_eq!(hers.receive(), json!({"auth": {"user": "ann"}, "ack": 1}));
        assert_eq!(hers.receive()["hello"]["client"], json!(name));
        assert_eq!(hers.receive()["ack"], 3);

        // Who has said nothing yet takes nobody's place.
        let mut stranger = lines::Connection::new(hub.tcp_port());
        assert_eq!(stranger.ask(hello(&name, 4))["hello"]["client"], json!(name));
        assert_eq!(hers.ask(r#"{"ping":1}"#), json!({"pong": 1}));
        assert_eq!(stranger.ask(r#"{"sub":"a","id":5}"#)["error"]["code"], "not_authorized");
        // Nor does another user.
        let refused = stranger.ask(auth("bob", "b", 6));
        assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!("not_authorized"), &json!(6)));
        assert_eq!(stranger.line(), None);
        let mut other = lines::Connection::new(hub.tcp_port());
        assert_eq!(other.ask(auth("bob", "b", 7))["ack"], 7);
        assert_eq!(other.ask(hello(&name, 8))["error"]["code"], "not_authorized");
        assert_eq!(other.ask(r#"{"sub":"a","id":9}"#)["ack"], 9, "it goes on as it was");
        assert_eq!(hers.ask(r#"{"ping":2}"#), json!({"pong": 2}));

        // The user herself does.
        let mut again = lines::Connection::new(hub.tcp_port());
        assert_eq!(again.ask(hello(&name, 10))["ack"], 10);
        assert_eq!(again.ask(auth("ann", "a", 11))["ack"], 11);
        assert_eq!(hers.receive()["error"]["code"], "unavailable");
        assert_eq!(hers.line(), None);
        assert_eq!(again.ask(r#"{"sub":"a","id":12}"#)["ack"], 12);
    }
}

#[test]
fn a_banned_name_is_refused() {
    let hub = Hub::start();
    let url = format!("http://127.0.0.1:{}/api/v1/bans", hub.http_port());
    for n in 0..NAMES {
        let body = json!({"client_id": format!("bad-{n}")}).to_string();
        let arguments =
            ["-sS", "-f", "-X", "POST", "-H", "Content-Type: application/json", "-d", &body, &url];
        trefoil_tests::Program::new("curl").args(arguments).run().success();
        let mut line = lines::Connection::new(hub.tcp_port());
        let refused = line.ask(hello(&format!("bad-{n}"), 1));
        assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!("not_authorized"), &json!(1)));
        assert_eq!(line.line(), None);
    }
}

#[test]
fn a_user_may_be_renewed_and_not_exchanged() {
    let hub = Hub::with_users(&[("ann", "a"), ("bob", "b")], "");
    let auth = |user: &str, password: &str| json!({"auth": {"user": user, "password": password}}).to_string();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(auth("ann", "a"));
    line.ask(r#"{"sub":"a"}"#);
    assert_eq!(line.ask(auth("ann", "a")), json!({"auth": {"user": "ann"}}));
    assert_eq!(line.ask(auth("ann", "wrong"))["error"]["code"], "not_authorized");
    assert_eq!(line.ask(auth("bob", "b"))["error"]["code"], "not_authorized");
    assert_eq!(line.ask(r#"{"pub":"a","data":1}"#), json!({"topic": "a", "data": 1}));
}

#[test]
fn a_page_says_who_it_is_by_a_subprotocol() {
    let hub = Hub::with_users(&[("ann", "correct horse"), ("bob", "é:?>?>")], "");
    // trefoil.auth. and the base64 of ann:correct horse, and of bob:é:?>?>
    for offer in ["trefoil.auth.YW5uOmNvcnJlY3QgaG9yc2U", "trefoil.auth.Ym9iOsOpOj8-Pz4"] {
        for order in [[offer, "trefoil.v1.json"], ["trefoil.v1.json", offer]] {
            let mut socket = websocket::Connection::offering(hub.tcp_port(), "/ws", &order);
            assert_eq!(socket.protocol, "trefoil.v1.json");
            socket.send_text(r#"{"sub":"a","id":1}"#);
            assert_eq!(text(&mut socket)["ack"], 1);
        }
    }
    for wrong in ["trefoil.auth.YW5uOndyb25n", "trefoil.auth.YW5u", "trefoil.auth."] {
        let mut stream = trefoil_tests::connect(hub.tcp_port());
        let offer = format!("Sec-WebSocket-Protocol: trefoil.v1.json, {wrong}\r\n");
        trefoil_tests::Exchange::offer(&mut stream, &websocket::handshake("/ws", &offer));
        let answer = trefoil_tests::Exchange::rest(&mut stream);
        assert!(answer.starts_with(b"HTTP/1.1 401 "), "{wrong}: {}", String::from_utf8_lossy(&answer));
    }
}
