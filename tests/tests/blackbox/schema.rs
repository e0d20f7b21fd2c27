//! The JSON protocol as it is really spoken, against `docs/json-protocol.schema.json`.

use jsonschema::Validator;
use serde_json::{Value, json};
use trefoil_tests::{Hub, lines, mqtt, websocket};

pub(super) fn validator(part: &str) -> Validator {
    let mut schema: Value =
        serde_json::from_str(include_str!("../../../docs/json-protocol.schema.json")).unwrap();
    let root = schema.as_object_mut().unwrap();
    root.remove("anyOf");
    root.insert("$ref".into(), json!(format!("#/$defs/{part}")));
    jsonschema::validator_for(&schema).unwrap()
}

pub(super) fn check(validator: &Validator, value: &Value) {
    let faults: Vec<String> = validator.iter_errors(value).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{value}: {faults:?}");
}

const REQUESTS: [&str; 12] = [
    r##"{"sub":"#","qos":1,"id":1}"##,
    r#"{"sub":["a","b/+"],"qos":0,"id":2,"retained":false,"no_local":false}"#,
    r#"{"sub":"c","slow_reader":"latest_per_topic"}"#,
    r#"{"pub":"a","data":{"n":[1,2.5,null,true]},"qos":1,"id":18446744073709551615}"#,
    r#"{"pub":"a","data":"text","retain":true,"content_type":"text/plain","response_topic":"r","expiry":1000}"#,
    r#"{"pub":"a","data_base64":"AP8=","correlation_base64":"AAE=","user_properties":[["k","v"],["k","w"]]}"#,
    r#"{"pub":"a"}"#,
    r#"{"ping":{"any":["thing"]}}"#,
    r#"{"ping":null}"#,
    r#"{"unsub":"c","id":3}"#,
    r#"{"unsub":["a","b/+"]}"#,
    r#"{"ack":1}"#,
];

const MISTAKES: [&str; 9] = [
    r#"{"sub":"a","slow_reader":"oldest"}"#,
    r#"{"pub":"a","qos":7,"id":1}"#,
    r#"{"pub":"a","qos":1}"#,
    r#"{"pub":"a","data":1,"data_base64":"AA=="}"#,
    r#"{"pub":7}"#,
    r#"{"sub":[]}"#,
    r#"{"sub":"a","retian":true,"id":4}"#,
    r#"{"unknown":"a"}"#,
    r#"{"pub":"a","user_properties":{"k":"v"}}"#,
];

#[test]
fn requests_and_mistakes_are_told_apart_as_the_schema_does() {
    let request = validator("request");
    for text in REQUESTS {
        check(&request, &serde_json::from_str(text).unwrap());
    }
    for text in MISTAKES {
        assert!(!request.is_valid(&serde_json::from_str(text).unwrap()), "{text}");
    }
}

#[test]
fn everything_that_the_hub_says_is_in_the_schema() {
    let hub = Hub::start();
    let reply = validator("reply");
    let mut other = mqtt::Connection::new(hub.tcp_port(), 5, "other");
    let mut line = lines::Connection::new(hub.tcp_port());
    // The first of them subscribes to everything; only when it is answered may others publish.
    check(&reply, &line.ask(REQUESTS[0]));
    for text in REQUESTS[1..].iter().chain(&MISTAKES) {
        line.send(text);
    }
    other.publish("a", &[0xff, 0xfe]);
    other.publish("a", b"\"quoted\"");
    other.publish("a", b" { \"with\" : \"space\" } ");
    other.publish("a", b"");
    // Four messages each from the line itself and from the other; two more subscriptions, an acknowledgement, two
    // pongs and two unsubscriptions.
    let (mut messages, mut errors, mut others) = (0, 0, 0);
    while messages < 8 || errors < MISTAKES.len() || others < 7 {
        let value = line.receive();
        check(&reply, &value);
        match (value.get("topic"), value.get("error")) {
            (Some(_), _) => messages += 1,
            (_, Some(_)) => errors += 1,
            _ => others += 1,
        }
        if let Some(id) = value.get("id").filter(|_| value.get("topic").is_some()) {
            line.send(json!({ "ack": id }).to_string());
        }
    }
    assert_eq!((messages, errors, others), (8, MISTAKES.len(), 7));
    assert_eq!(line.ask(r#"{"ping":"the end"}"#), json!({"pong": "the end"}));
}

#[test]
fn over_websocket_it_is_the_same() {
    let hub = Hub::start();
    let reply = validator("reply");
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    for text in REQUESTS.iter().chain(&MISTAKES) {
        socket.send_text(text);
    }
    socket.send_text(r#"{"ping":"the end"}"#);
    loop {
        let (first_byte, payload) = socket.receive().expect("a frame");
        assert_eq!(first_byte, 0x81, "text frames only");
        let value: Value = serde_json::from_slice(&payload).unwrap();
        check(&reply, &value);
        if value == json!({"pong": "the end"}) {
            break;
        }
    }
}
