//! Several objects at once, and bytes as they are, over the JSON protocol.

use super::json_hello::text;
use serde_json::{Value, json};
use trefoil_tests::datagrams::Peer;
use trefoil_tests::{Hub, lines, mqtt, websocket};

/// Frames of a client that has asked for arrays: objects in the order in which they came, and how many frames there were.
struct Joined {
    socket: websocket::Connection,
    objects: std::collections::VecDeque<Value>,
    frames: usize,
    arrays: usize,
    longest: usize,
}

impl Joined {
    fn new(hub: &Hub, hello: &str) -> Joined {
        let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
        socket.send_text(hello);
        assert_eq!(text(&mut socket)["hello"]["version"], 1);
        Joined { socket, objects: Default::default(), frames: 0, arrays: 0, longest: 0 }
    }

    /// The next object; a binary frame is its header, with its payload as `payload`.
    fn next(&mut self) -> Value {
        if let Some(object) = self.objects.pop_front() {
            return object;
        }
        let (first_byte, payload) = self.socket.receive().expect("a frame, not the end");
        self.frames += 1;
        if first_byte == 0x82 {
            return binary(&payload);
        }
        assert_eq!(first_byte, 0x81);
        self.longest = self.longest.max(payload.len());
        match serde_json::from_slice(&payload).unwrap() {
            Value::Array(objects) => {
                assert!(objects.len() > 1, "what comes alone has no brackets");
                self.arrays += 1;
                self.objects.extend(objects);
                self.next()
            }
            object => object,
        }
    }
}

/// The header of a binary frame, with its payload as `payload`.
fn binary(frame: &[u8]) -> Value {
    let [1, high, low, rest @ ..] = frame else { panic!("no binary frame of version 1: {frame:?}") };
    let (header, payload) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
    let mut header: Value = serde_json::from_slice(header).unwrap();
    assert_eq!((header.get("data"), header.get("data_base64")), (None, None));
    header["payload"] = json!(payload);
    header
}

fn binary_frame(header: &Value, payload: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let length = u16::try_from(header.len()).unwrap().to_be_bytes();
    websocket::frame(0x82, &[&[1], &length[..], header.as_bytes(), payload].concat())
}

#[test]
fn requests_of_a_batch_are_done_in_their_order() {
    const BATCH: &str = r#"[{"sub":"a","id":1}, {"pub":"a","data":1}, {"pub":"a","qos":7,"id":2},
        {"pub":"a","data":[2],"qos":1,"id":3}, {"ping":null}, {"unsub":"a"}]"#;
    let hub = Hub::start();
    let check = |mut next: Box<dyn FnMut() -> Value>| {
        let mut found: Vec<Value> = (0..7).map(|_| next()).collect();
        // Messages come between the answers, but not before that of the subscription, nor in another order.
        let messages: Vec<Value> = found.extract_if(1.., |value| value.get("topic").is_some()).collect();
        assert_eq!(messages, [json!({"topic": "a", "data": 1}), json!({"topic": "a", "data": [2]})]);
        assert_eq!(found[0], json!({"sub": "a", "qos": 0, "ack": 1}));
        assert_eq!((&found[1]["error"]["code"], &found[1]["id"]), (&json!("bad_field"), &json!(2)));
        assert_eq!(found[2..], [json!({"ack": 3}), json!({"pong": null}), json!({"unsub": "a"})]);
    };
    let in_one_line = BATCH.replace('\n', " ");
    let mut line = lines::Connection::new(hub.tcp_port());
    line.send(&in_one_line);
    check(Box::new(move || line.receive()));
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    socket.send_text(BATCH);
    check(Box::new(move || text(&mut socket)));
    let peer = Peer::new(hub.udp_port());
    peer.send(BATCH);
    check(Box::new(move || peer.receive()));
}

#[test]
fn what_is_no_batch_is_refused_as_a_whole() {
    let hub = Hub::start();
    let mut probe = lines::Connection::new(hub.tcp_port());
    probe.ask(r#"{"sub":"a"}"#);
    for wrong in
        ["[]", r#"[{"pub":"a"},[{"pub":"a"}]]"#, r#"[{"pub":"a"},7]"#, r#"[{"pub":"a"}"#, r#"[{"pub":"a"}]x"#]
    {
        let mut line = lines::Connection::new(hub.tcp_port());
        assert_eq!(line.ask(wrong)["error"]["code"], "bad_json", "{wrong}");
        assert_eq!(line.line(), None, "{wrong}");
    }
    let mut line = lines::Connection::new(hub.tcp_port());
    let pings = |count: usize| format!("[{}]", vec![r#"{"ping":1}"#; count].join(","));
    assert_eq!(line.ask(pings(1025))["error"]["code"], "too_large");
    line.send(pings(1024));
    for _ in 0..1024 {
        assert_eq!(line.receive(), json!({"pong": 1}));
    }
    // Nothing of all that was published.
    assert_eq!(probe.ask(r#"{"ping":1}"#), json!({"pong": 1}));
}

#[test]
fn a_datagram_does_not_draw_many_refusals() {
    let hub = Hub::with_users(&[("ann", "a")], "");
    let peer = Peer::new(hub.udp_port());
    let many = |first: &str| format!("[{first}{}]", ",{}".repeat(500));
    // Who has said nothing yet gets one; who gives a wrong password a few.
    assert_eq!(peer.ask(many("{}"))["error"]["code"], "not_authorized");
    peer.send(many(r#"{"auth":{"user":"ann","password":"b"}}"#));
    let codes: Vec<Value> = (0..6).map(|_| peer.receive()["error"]["code"].clone()).collect();
    let mut expected = vec![json!("not_authorized")];
    expected.extend(vec![json!("unknown_operation"); 4]);
    expected.push(json!("overloaded"));
    assert_eq!(codes, expected);
    assert_eq!(peer.ask(br#"{"auth":{"user":"ann","password":"a"}}"#), json!({"auth": {"user": "ann"}}));
}

#[test]
fn messages_that_leave_together_are_joined() {
    const MESSAGES: u64 = 500;
    let hub = Hub::start();
    let mut joined = Joined::new(&hub, r#"{"hello":{"batch":true}}"#);
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(line.ask(r#"{"hello":{"batch":true},"id":1}"#)["ack"], 1);
    let mut alone = lines::Connection::new(hub.tcp_port());
    joined.socket.send_text(r##"{"sub":"#","qos":1}"##);
    assert_eq!(joined.next()["sub"], "#");
    line.ask(r##"{"sub":"#"}"##);
    alone.ask(r##"{"sub":"#"}"##);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    // At QoS 0, some too long to be copied, and at QoS 1.
    let payload =
        |n: u64| json!({"n": n, "x": "x".repeat(if n.is_multiple_of(50) { 3000 } else { 3 })}).to_string();
    let mut bytes = Vec::new();
    for n in 0..MESSAGES {
        let topic = format!("t/{}", n / 100);
        let message = mqtt::Message::new(topic, payload(n)).qos(u8::from(n % 100 > 90), (n + 1) as u16);
        bytes.extend(message.packet(5));
    }
    publisher.send(&bytes);
    let mut lines = 0;
    let mut waiting = std::collections::VecDeque::new();
    for n in 0..MESSAGES {
        let message = joined.next();
        assert_eq!(message["data"]["n"], n);
        if let Some(id) = message.get("id") {
            joined.socket.send_text(&json!({ "ack": id }).to_string());
        }
        if waiting.is_empty() {
            lines += 1;
            match line.receive() {
                Value::Array(objects) => waiting.extend(objects),
                object => waiting.push_back(object),
            }
        }
        assert_eq!(waiting.pop_front().unwrap()["data"]["n"], n);
        assert_eq!(alone.receive()["data"]["n"], n);
    }
    assert!(joined.frames < MESSAGES as usize / 4, "{} frames", joined.frames);
    assert!(joined.arrays > 0 && lines < MESSAGES / 4, "{lines} lines");
    assert!(joined.longest <= 64 << 10, "{} bytes", joined.longest);
    // Answers are joined, too, and a pong of WebSocket's does not stand in the middle of anything.
    joined.socket.send(
        &[
            websocket::frame(0x81, br#"[{"ping":1},{"ping":2}]"#),
            websocket::frame(0x89, b"p"),
            websocket::frame(0x81, br#"{"ping":3}"#),
        ]
        .concat(),
    );
    let mut found = Vec::new();
    while found.len() < 4 {
        let (first_byte, payload) = joined.socket.receive().unwrap();
        match (first_byte, serde_json::from_slice(&payload)) {
            (0x8a, _) => found.push(json!("p")),
            (_, Ok(Value::Array(objects))) => found.extend(objects),
            (_, object) => found.push(object.unwrap()),
        }
    }
    assert_eq!(found, [json!({"pong": 1}), json!({"pong": 2}), json!("p"), json!({"pong": 3})]);
}

#[test]
fn an_array_is_not_made_long() {
    let hub = Hub::start();
    let mut joined = Joined::new(&hub, r#"{"hello":{"batch":true}}"#);
    joined.socket.send_text(r#"{"sub":"a"}"#);
    joined.next();
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    let long = "y".repeat(40_000);
    let bytes: Vec<u8> = (0..6).flat_map(|_| mqtt::publish_packet(5, "a", long.as_bytes())).collect();
    publisher.send(&bytes);
    for _ in 0..6 {
        assert_eq!(joined.next()["data"].as_str().unwrap().len(), long.len());
    }
    assert_eq!((joined.arrays, joined.frames), (0, 7));
    publisher.publish("a", "z".repeat(200_000).as_bytes());
    assert_eq!(joined.next()["data"].as_str().unwrap().len(), 200_000);
}

#[test]
fn bytes_travel_as_they_are_in_both_directions() {
    let hub = Hub::start();
    for hello in [r#"{"hello":{"binary":true}}"#, r#"{"hello":{"binary":true,"batch":true}}"#] {
        let mut one = Joined::new(&hub, hello);
        one.socket.send_text(r#"{"sub":"b/#","qos":1,"retained":false}"#);
        one.next();
        let mut plain = websocket::Connection::new(hub.http_port(), "/ws");
        // Also from one who has not said hello.
        plain.send_text(r#"{"sub":"b/plain"}"#);
        text(&mut plain);
        plain.send(&binary_frame(&json!({"pub": "b/plain", "content_type": "x"}), b"\xff\0{"));
        assert_eq!(text(&mut plain), json!({"topic": "b/plain", "data_base64": "/wB7", "content_type": "x"}));
        let expected = json!({"topic": "b/plain", "content_type": "x", "payload": [0xff, 0, b'{']});
        assert_eq!(one.next(), expected);
        // Text comes as text, whatever it came in, and an empty payload as well.
        plain.send(&binary_frame(&json!({"pub": "b", "qos": 1, "id": 3}), b"{\"n\":1}"));
        assert_eq!(text(&mut plain), json!({"ack": 3}));
        let message = one.next();
        assert_eq!((&message["data"], &message["qos"]), (&json!({"n": 1}), &json!(1)));
        one.socket.send_text(&json!({"ack": message["id"]}).to_string());
        // Long and short, alone and many in one read, at both QoS.
        let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
        let payload = |n: u8| vec![if n.is_multiple_of(3) { b'a' } else { 0xff }; usize::from(n) * 40];
        let bytes: Vec<u8> = (1..100)
            .flat_map(|n| mqtt::Message::new("b/m", payload(n)).qos(u8::from(n > 50), n.into()).packet(5))
            .collect();
        publisher.send(&bytes);
        for n in 1..100_u8 {
            let message = one.next();
            if n.is_multiple_of(3) {
                assert_eq!(message["data"].as_str().unwrap().len(), payload(n).len());
            } else {
                assert_eq!(message["payload"], json!(payload(n)));
            }
            if let Some(id) = message.get("id") {
                one.socket.send_text(&json!({ "ack": id }).to_string());
            }
        }
        // What is retained, and what somebody answers.
        publisher.send(&mqtt::Message::new("b/kept", b"\xfe").retain().packet(5));
        assert_eq!(one.next(), json!({"topic": "b/kept", "payload": [0xfe]}));
        let mut late = Joined::new(&hub, hello);
        late.socket.send_text(r#"{"sub":"b/kept"}"#);
        let both = [late.next(), late.next()];
        assert!(both.contains(&json!({"topic": "b/kept", "retain": true, "payload": [0xfe]})), "{both:?}");
        late.socket.send(&binary_frame(&json!({"req": "b/svc", "id": 8}), b"\xfd"));
        let question = one.next();
        assert_eq!(question["payload"], json!([0xfd]));
        let header = json!({
            "pub": question["response_topic"], "correlation_base64": question["correlation_base64"],
        });
        one.socket.send(&binary_frame(&header, b"\xfc"));
        assert_eq!(late.next(), json!({"res": 8, "payload": [0xfc]}));
    }
}

#[test]
fn a_binary_frame_that_is_none_ends_the_connection() {
    let hub = Hub::start();
    for wrong in [&b""[..], b"\x02\0\x02{}", b"\x01\0", b"\x01\0\x03{}", b"\x01\0\x02{x", b"{\"ping\":1}"] {
        let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
        socket.send(&websocket::frame(0x82, wrong));
        assert_eq!(text(&mut socket)["error"]["code"], "bad_json");
        assert_eq!(socket.close_code(), Some(1007));
    }
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    socket.send(&binary_frame(&json!({"sub": "a", "id": 1}), b""));
    assert_eq!(text(&mut socket)["error"]["field"], "sub");
    socket.send(&binary_frame(&json!({"pub": "a", "data": 1, "id": 2}), b""));
    assert_eq!(text(&mut socket)["id"], 2);
    socket.send_text(r#"{"ping":1}"#);
    assert_eq!(text(&mut socket), json!({"pong": 1}));
}
