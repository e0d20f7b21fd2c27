//! curl: publishing, server-sent events, health, figures and the console page.

use serde_json::{Value, json};
use trefoil_tests::{Hub, Program, lines, wait_until};

fn curl(hub: &Hub, path: &str) -> Program {
    Program::new("curl").args(["-sS", "-N", &format!("http://127.0.0.1:{}{path}", hub.http_port())])
}

/// Body and status of an answer.
fn answer(program: Program) -> (String, u16) {
    let text = program.args(["-w", "\n%{http_code}"]).run().success();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (body.to_owned(), status.parse().unwrap())
}

fn publish(hub: &Hub, body: &str) -> (String, u16) {
    let program =
        curl(hub, "/api/v1/publish").args(["-H", "Content-Type: application/json", "--data-binary", "@-"]);
    answer(program.stdin(body))
}

#[test]
fn what_is_published_arrives() {
    let hub = Hub::start();
    let mut reader = lines::Connection::new(hub.tcp_port());
    reader.ask(r##"{"sub":"#","qos":1}"##);
    for (body, expected) in [
        (r#"{"topic":"h","data":"text"}"#, json!({"topic": "h", "data": "text"})),
        (r#"{"topic":"h","data":{"n":1}}"#, json!({"topic": "h", "data": {"n": 1}})),
        (r#"{"topic":"h","data_base64":"AP8="}"#, json!({"topic": "h", "data_base64": "AP8="})),
        (r#"{"topic":"h"}"#, json!({"topic": "h", "data": ""})),
    ] {
        let (text, status) = publish(&hub, body);
        assert_eq!(status, 200, "{body}: {text}");
        assert_eq!(reader.receive(), expected);
    }
    let (text, status) = publish(&hub, r#"{"topic":"h","data":1,"qos":1,"retain":true}"#);
    assert_eq!(status, 200, "{text}");
    let message = reader.receive();
    assert_eq!((&message["data"], &message["qos"]), (&json!(1), &json!(1)));
    let mut late = lines::Connection::new(hub.tcp_port());
    late.send(r#"{"sub":"h"}"#);
    let both = [late.receive(), late.receive()];
    assert!(both.contains(&json!({"topic": "h", "data": 1, "retain": true})), "{both:?}");
}

#[test]
fn what_cannot_be_published_is_refused_by_field_and_reason() {
    let hub = Hub::start();
    for (body, field) in [
        ("{", Value::Null),
        (r#"{"data":1}"#, json!("topic")),
        (r##"{"topic":"a/#"}"##, json!("topic")),
        (r#"{"topic":"a","qos":3}"#, json!("qos")),
        (r#"{"topic":"a","data_base64":"*"}"#, json!("data_base64")),
        (r#"{"topic":"a","retian":true}"#, json!("retian")),
    ] {
        let (text, status) = publish(&hub, body);
        assert_eq!(status, 400, "{body}: {text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["error"].get("field").unwrap_or(&Value::Null), &field, "{body}: {text}");
        assert!(value["error"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{text}");
    }
    let (_, status) = answer(curl(&hub, "/api/v1/publish"));
    assert_eq!(status, 405);
    let (_, status) = answer(curl(&hub, "/nowhere"));
    assert_eq!(status, 404);
    let large = format!(r#"{{"topic":"a","data":"{}"}}"#, "x".repeat(5_000_000));
    assert_eq!(publish(&hub, &large).1, 413);
}

#[test]
fn events_come_as_they_are_published() {
    let hub = Hub::start();
    assert_eq!(publish(&hub, r#"{"topic":"e/kept","data":"kept","retain":true,"qos":1}"#).1, 200);
    let events = curl(&hub, "/sse?topic=e/%2B&topic=other").args(["-D", "/dev/stderr"]).spawn();
    let messages = |running: &trefoil_tests::Running| {
        let text = String::from_utf8(running.stdout()).unwrap();
        let data = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        data.filter_map(|line| line.strip_prefix("data: "))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let messages: &dyn Fn(&trefoil_tests::Running) -> Vec<Value> = &messages;
    wait_until("the retained message comes", || messages(&events).len() == 1);
    assert_eq!(messages(&events), [json!({"topic": "e/kept", "data": "kept", "retain": true})]);
    publish(&hub, r#"{"topic":"e/live","data":"two\nlines"}"#);
    publish(&hub, r#"{"topic":"unheard","data":0}"#);
    publish(&hub, r#"{"topic":"other","data":[1]}"#);
    wait_until("the others come", || messages(&events).len() == 3);
    let expected = [json!({"topic": "e/live", "data": "two\nlines"}), json!({"topic": "other", "data": [1]})];
    assert_eq!(messages(&events)[1..], expected);
    let head = events.stderr().to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("x-accel-buffering: no"), "a proxy would gather events: {head}");
    for path in ["/sse", "/sse?topic=", "/sse?topic=a/%23/b"] {
        assert_eq!(answer(curl(&hub, path)).1, 400, "{path}");
    }
}

#[test]
fn health_and_figures() {
    let hub = Hub::start();
    assert_eq!(answer(curl(&hub, "/healthz")).1, 200);
    let mut one = lines::Connection::new(hub.tcp_port());
    one.ask(r#"{"sub":"f"}"#);
    for number in 0..5 {
        one.send(format!(r#"{{"pub":"f","data":{number}}}"#));
        one.receive();
    }
    let (text, status) = answer(curl(&hub, "/api/v1/stats"));
    assert_eq!(status, 200);
    let stats: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(stats["connections"]["json_tcp"], 1, "{text}");
    assert_eq!(
        (&stats["messages_in"], &stats["messages_out"], &stats["dropped"]),
        (&json!(5), &json!(5), &json!(0))
    );
    assert_eq!((&stats["sessions"], &stats["subscriptions"]), (&json!(1), &json!(1)));
    assert!(stats["version"].is_string() && stats["uptime_s"].is_u64(), "{text}");
    let (text, status) = answer(curl(&hub, "/metrics"));
    assert_eq!(status, 200);
    let figures: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(figures.len() > 10, "{text}");
    for line in figures {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("trefoil_") || name.starts_with("process_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn the_console_page_is_there_on_both_ports() {
    let hub = Hub::start();
    for port in [hub.tcp_port(), hub.http_port()] {
        let page = Program::new("curl").args(["-sSf", &format!("http://127.0.0.1:{port}/")]).run().success();
        assert!(page.contains("<html") && page.contains("Trefoil"), "{page}");
    }
}

#[test]
fn the_feed_of_figures_is_a_topic() {
    let hub = Hub::start();
    let mut one = lines::Connection::new(hub.tcp_port());
    one.ask(r#"{"sub":"$SYS/trefoil/stats"}"#);
    let message = one.receive();
    assert_eq!(message["topic"], "$SYS/trefoil/stats");
    assert!(message["data"]["connections"]["json_tcp"].as_u64() >= Some(1), "{message}");
    // The hub's own topics are not in `#` [MQTT-4.7.2-1], and nobody else may publish there.
    let refused = one.ask(r#"{"pub":"$SYS/trefoil/stats","data":1,"qos":1,"id":1}"#);
    let refused = if refused.get("topic").is_some() { one.receive() } else { refused };
    assert_eq!(refused["error"]["code"], "not_authorized", "{refused}");
}
