//! Requests that somebody is to answer, over the JSON protocol.

use super::json_hello::text;
use serde_json::{Value, json};
use trefoil_tests::datagrams::Peer;
use trefoil_tests::{Hub, lines, mqtt, websocket};

/// The publish that answers a message.
fn answer(message: &Value, data: &Value) -> String {
    json!({
        "pub": message["response_topic"], "correlation_base64": message["correlation_base64"], "data": data,
        "content_type": "application/json", "user_properties": [["by", "somebody"]],
    })
    .to_string()
}

#[test]
fn who_is_subscribed_answers_whatever_it_speaks() {
    let hub = Hub::start();
    // Several connections of each kind, so that the two meet within a shard and across.
    let mut services: Vec<_> = (0..4).map(|_| lines::Connection::new(hub.tcp_port())).collect();
    for (n, service) in services.iter_mut().enumerate() {
        service.ask(json!({"sub": format!("svc/{n}")}).to_string());
        let mut line = lines::Connection::new(hub.tcp_port());
        let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
        let peer = Peer::new(hub.udp_port());
        let ask = |id: u64| json!({"req": format!("svc/{n}"), "data": {"n": [1, 2]}, "id": id}).to_string();
        line.send(ask(7));
        socket.send_text(&ask(7));
        peer.send(ask(u64::MAX));
        for _ in 0..3 {
            let message = service.receive();
            assert_eq!(
                (&message["topic"], &message["data"]),
                (&json!(format!("svc/{n}")), &json!({"n": [1, 2]}))
            );
            assert!(message["response_topic"].as_str().unwrap().starts_with("$reply/"));
            service.send(answer(&message, &json!({"sum": 3})));
        }
        let expected = |id: u64| {
            json!({
                "res": id, "data": {"sum": 3}, "content_type": "application/json", "user_properties": [["by", "somebody"]],
            })
        };
        assert_eq!(line.receive(), expected(7));
        assert_eq!(text(&mut socket), expected(7));
        assert_eq!(peer.receive(), expected(u64::MAX));
        // The id may be used again.
        line.send(ask(7));
        let message = service.receive();
        service.send(answer(&message, &json!(null)));
        assert_eq!(line.receive()["data"], json!(null));
    }
}

#[test]
fn mqtt_5_answers() {
    use mqtt::property::id::{CORRELATION_DATA, RESPONSE_TOPIC};
    let hub = Hub::start();
    for n in 0..4 {
        let mut service = mqtt::Connection::new(hub.tcp_port(), 5, &format!("service-{n}"));
        service.subscribe("svc/mqtt", 1);
        let mut line = lines::Connection::new(hub.tcp_port());
        line.send(r#"{"req":"svc/mqtt","data":"question","qos":1,"id":1}"#);
        let question = service.receive_and_ack();
        assert_eq!(question.payload, b"question");
        let topic = question.properties.text(RESPONSE_TOPIC).unwrap().to_owned();
        let correlation = question.properties.bytes(CORRELATION_DATA).unwrap().to_owned();
        let length = u16::try_from(correlation.len()).unwrap().to_be_bytes();
        let property = [&[CORRELATION_DATA], &length[..], &correlation].concat();
        for qos in [1, 0] {
            let message = mqtt::Message::new(&topic, b"\xff\0").qos(qos, 9).property(&property);
            service.send(&message.packet(5));
            if qos == 1 {
                assert_eq!(service.receive().first_byte, 0x40);
            }
        }
        assert_eq!(line.receive(), json!({"res": 1, "data_base64": "/wA="}));
        // The second answer is nobody's.
        service.ping();
        assert_eq!(line.ask(r#"{"ping":1}"#), json!({"pong": 1}));
        service.leave();
    }
    assert_eq!(hub.metric(r#"trefoil_dropped_total{reason="no_request"}"#), 4);
}

#[test]
fn http_answers() {
    let hub = Hub::start();
    let mut service = lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc"}"#);
    let mut line = lines::Connection::new(hub.tcp_port());
    line.send(r#"{"req":"svc","id":3}"#);
    let message = service.receive();
    let body = json!({
        "topic": message["response_topic"], "correlation_base64": message["correlation_base64"], "data": "by HTTP",
    });
    let url = format!("http://127.0.0.1:{}/api/v1/publish", hub.http_port());
    let arguments = ["-sS", "-f", "-H", "Content-Type: application/json", "-d", &body.to_string(), &url];
    trefoil_tests::Program::new("curl").args(arguments).run().success();
    assert_eq!(line.receive(), json!({"res": 3, "data": "by HTTP"}));
}

#[test]
fn nobody_and_too_late() {
    let hub = Hub::start();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"pub":"svc/none","data":"retained","retain":true,"id":1}"#);
    let refused = line.ask(r#"{"req":"svc/none","id":2}"#);
    assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!("no_responder"), &json!(2)));

    let mut silent: Vec<_> = (0..4).map(|_| lines::Connection::new(hub.tcp_port())).collect();
    for (n, silent) in silent.iter_mut().enumerate() {
        silent.ask(json!({"sub": format!("svc/{n}")}).to_string());
        line.send(json!({"req": format!("svc/{n}"), "timeout_s": 1, "id": n}).to_string());
    }
    let messages: Vec<_> = silent.iter_mut().map(lines::Connection::receive).collect();
    let mut ids: Vec<_> = (0..4)
        .map(|_| {
            let error = line.receive();
            assert_eq!(error["error"]["code"], "timeout");
            error["id"].as_u64().unwrap()
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3]);
    for (silent, message) in silent.iter_mut().zip(&messages) {
        silent.send(answer(message, &json!("too late")));
        silent.ask(r#"{"ping":1}"#);
    }
    assert_eq!(line.ask(r#"{"ping":1}"#), json!({"pong": 1}));
}

#[test]
fn nobody_else_gets_an_answer_and_nobody_forges_one() {
    let hub = Hub::start();
    let mut service = lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc"}"#);
    let mut spy = lines::Connection::new(hub.tcp_port());
    let mut old_spy = mqtt::Connection::new(hub.tcp_port(), 4, "spy");
    spy.ask(r##"{"sub":["#","+/+"]}"##);
    old_spy.subscribe("#", 0);
    let mut line = lines::Connection::new(hub.tcp_port());
    line.send(r#"{"req":"svc","data":1,"id":5}"#);
    let message = service.receive();
    assert_eq!(spy.receive()["data"], 1);
    let topic = message["response_topic"].as_str().unwrap();
    for filter in ["$reply/#", "$reply/+", topic, &format!("$share/g/{topic}"), "$share/g/$reply/#"] {
        let refused = spy.ask(json!({"sub": filter, "id": 1}).to_string());
        assert_eq!(refused["error"]["code"], "not_authorized", "{filter}");
        for version in [4, 5] {
            let mut other = mqtt::Connection::new(hub.tcp_port(), version, "other");
            other.send(&mqtt::subscribe_with(version, 2, &[], &[(filter, 0)]));
            let expected = if version == 5 { 0x87 } else { 0x80 };
            assert_eq!(other.receive().suback().codes, [expected], "{filter}");
        }
    }
    // The same topic with another correlation, or none, answers nothing; nor is what is sent there retained.
    for correlation in ["AAAAAAAAAAUAAAAAAAAAAA==", "AAAAAAAAAAU=", ""] {
        let forged = json!({"pub": topic, "data": "forged", "correlation_base64": correlation, "retain": true, "id": 6});
        assert_eq!(spy.ask(forged.to_string()), json!({"ack": 6}));
    }
    spy.ask(json!({"pub": topic, "data": "forged", "id": 7}).to_string());
    assert_eq!(line.ask(r#"{"ping":1}"#), json!({"pong": 1}));
    assert_eq!(hub.stat("retained"), 0);
    assert_eq!(line.ask(json!({"req": topic, "id": 8}).to_string())["error"]["code"], "not_authorized");
    service.send(answer(&message, &json!("true")));
    assert_eq!(line.receive()["data"], json!(true));
    assert_eq!(spy.ask(r#"{"ping":1}"#), json!({"pong": 1}), "nobody else got it");
    old_spy.receive_publish();
    old_spy.ping();
}

#[test]
fn as_many_wait_as_may() {
    let hub = Hub::start();
    let mut service = lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc"}"#);
    let mut line = lines::Connection::new(hub.tcp_port());
    for id in 0..1024 {
        line.send(json!({"req": "svc", "id": id}).to_string());
    }
    assert_eq!(line.ask(r#"{"req":"svc","id":7}"#)["error"]["code"], "bad_field", "7 waits already");
    assert_eq!(line.ask(r#"{"req":"svc","id":5000}"#)["error"]["code"], "quota");
    let first = service.receive();
    service.send(answer(&first, &json!("room")));
    assert_eq!(line.receive()["res"], 0);
    line.send(r#"{"req":"svc","id":5000}"#);
    for _ in 0..1024 {
        let message = service.receive();
        service.send(answer(&message, &json!("done")));
    }
    let mut ids: Vec<_> = (0..1024).map(|_| line.receive()["res"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..1024).chain([5000]).collect::<Vec<u64>>());
}

#[test]
fn a_datagram_that_comes_twice_asks_once() {
    let hub = Hub::start();
    let mut service = lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc"}"#);
    let peer = Peer::new(hub.udp_port());
    for _ in 0..3 {
        peer.send(br#"{"req":"svc","id":1}"#);
    }
    assert_eq!(peer.ask(br#"{"ping":1}"#), json!({"pong": 1}));
    let message = service.receive();
    service.send(answer(&message, &json!("x".repeat(70_000))));
    assert_eq!(peer.receive()["error"]["code"], "too_large");
    assert_eq!(service.ask(r#"{"ping":1}"#), json!({"pong": 1}), "it was asked once");
}

#[test]
fn another_request_under_the_same_id_is_not_the_same_again() {
    let hub = Hub::start();
    let mut service = lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc/#"}"#);
    // A program that is started anew counts from the beginning, and may well have the port of before.
    let peer = Peer::new(hub.udp_port());
    for (topic, data, result) in [("svc/add", 1, "one"), ("svc/add", 2, "two"), ("svc/take", 2, "three")] {
        let request = json!({"req": topic, "data": data, "id": 1}).to_string();
        peer.send(&request);
        let message = service.receive();
        assert_eq!((&message["topic"], &message["data"]), (&json!(topic), &json!(data)));
        // As long as it waits, no other one may have its id.
        let other = peer.ask(r#"{"req":"svc/other","id":1}"#);
        assert_eq!((&other["error"]["code"], &other["error"]["field"]), (&json!("bad_field"), &json!("id")));
        service.send(answer(&message, &json!(result)));
        assert_eq!(peer.receive()["data"], result);
        assert_eq!(peer.ask(&request)["data"], result);
    }
    assert_eq!(service.ask(r#"{"ping":1}"#), json!({"pong": 1}));
}

#[test]
fn who_sends_nothing_more_waits_for_its_answers_and_no_longer() {
    let hub = Hub::start();
    let mut service = lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc"}"#);
    let mut answered = lines::Connection::new(hub.tcp_port());
    answered.send(r#"{"req":"svc","id":1}"#);
    answered.end_input();
    let message = service.receive();
    service.send(answer(&message, &json!(1)));
    assert_eq!(answered.receive()["res"], 1);
    assert_eq!(answered.line(), None);
    let mut unanswered = lines::Connection::new(hub.tcp_port());
    unanswered.send(r#"{"req":"svc","id":2,"timeout_s":1}"#);
    unanswered.end_input();
    assert_eq!(unanswered.receive()["error"]["code"], "timeout");
    assert_eq!(unanswered.line(), None);
}

#[test]
fn when_the_hub_stops_all_that_waits_is_told() {
    let mut hub = Hub::start();
    let mut service = lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc"}"#);
    let mut line = lines::Connection::new(hub.tcp_port());
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    line.send(r#"{"req":"svc","id":1}"#);
    socket.send_text(r#"{"req":"svc","id":2}"#);
    service.receive();
    service.receive();
    hub.signal("TERM");
    hub.wait();
    assert_eq!(line.receive()["id"], 1);
    let told = text(&mut socket);
    assert_eq!((&told["error"]["code"], &told["id"]), (&json!("unavailable"), &json!(2)));
    assert_eq!(socket.close_code(), Some(1001));
}
