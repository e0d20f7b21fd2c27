//! The histories of topics: what a client is given that was away, over WebSocket, as events and page by page.

use super::schema::{check, validator};
use super::store::ask;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use trefoil_tests::mqtt::{Connection, Message};
use trefoil_tests::{CONFIG, Hub, Program, connect, lines};

fn config(more: &str) -> String {
    format!("{CONFIG}\n[[history]]\nfilter = \"h/#\"\n{more}\n")
}

fn publish(hub: &Hub, topic: &str, payloads: impl IntoIterator<Item = String>) {
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for (n, payload) in payloads.into_iter().enumerate() {
        publisher.publish_and_wait(&Message::new(topic, payload).qos(1, n as u16 % 60_000 + 1));
    }
    publisher.leave();
}

fn numbers(from: u64, to: u64) -> impl Iterator<Item = String> {
    (from..=to).map(|n| n.to_string())
}

/// A stream of events.
pub(super) struct Events(BufReader<TcpStream>);

/// One of them: its id, the name if it has one, and what it says.
pub(super) type Event = (Option<String>, Option<String>, Value);

impl Events {
    pub(super) fn new(port: u16, query: &str, last_event_id: Option<&str>) -> Events {
        let mut stream = connect(port);
        let id = last_event_id.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        write!(stream, "GET /sse?{query} HTTP/1.1\r\nHost: localhost\r\n{id}\r\n").unwrap();
        let mut events = Events(BufReader::new(stream));
        let mut line = String::new();
        events.0.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            events.0.read_line(&mut line).unwrap();
        }
        events
    }

    /// The next event; none at the end of the stream.
    pub(super) fn next(&mut self) -> Option<Event> {
        let (mut id, mut name) = (None, None);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("event: ") {
                name = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("data: ") {
                return Some((id, name, serde_json::from_str(text).unwrap()));
            }
        }
    }
}

#[test]
fn who_was_away_goes_on_where_it_was_or_is_told_of_a_gap() {
    let hub = Hub::with_config(&config("messages = 10"));
    let reply = validator("reply");
    let mut reader = lines::Connection::new(hub.tcp_port());
    let first = reader.ask(r#"{"sub":"h/t","id":1}"#);
    check(&reply, &first);
    assert!(first["time"].is_u64() && first.get("gap").is_none(), "{first}");
    publish(&hub, "h/t", numbers(1, 5));
    let mut last = Value::Null;
    for n in 1..=5 {
        last = reader.receive();
        check(&reply, &last);
        assert_eq!((&last["data"], &last["offset"]), (&json!(n), &json!(n)));
    }
    drop(reader);
    publish(&hub, "h/t", numbers(6, 8));
    let since = json!({ "epoch": last["epoch"], "offset": last["offset"] });
    let mut reader = lines::Connection::new(hub.tcp_port());
    let request = json!({ "sub": "h/t", "since": since, "id": 2 }).to_string();
    check(&validator("request"), &serde_json::from_str(&request).unwrap());
    let answer = reader.ask(&request);
    check(&reply, &answer);
    assert_eq!(answer["gap"], json!(false));
    publish(&hub, "h/t", numbers(9, 9));
    for n in 6..=9 {
        assert_eq!(reader.receive()["offset"], json!(n));
    }
    drop(reader);
    publish(&hub, "h/t", numbers(10, 30));
    let mut reader = lines::Connection::new(hub.tcp_port());
    let answer = reader.ask(&request);
    assert_eq!(answer["gap"], json!(true), "5 of the next are gone");
    let gap = reader.receive();
    check(&reply, &gap);
    assert_eq!(gap, json!({ "gap": { "topic": "h/t", "epoch": last["epoch"], "offset": 21 } }));
    for n in 21..=30 {
        assert_eq!(reader.receive()["data"], json!(n));
    }
    let other = json!({ "epoch": "000000000000", "offset": 30 });
    let answer = reader.ask(json!({ "sub": "h/t", "since": other }).to_string());
    assert_eq!(answer["gap"], json!(true), "that is another life");
}

#[test]
fn the_last_messages_come_first_and_topics_without_a_history_are_as_ever() {
    let hub = Hub::with_config(&config("messages = 10"));
    for topic in ["h/a", "h/b", "other"] {
        publish(&hub, topic, numbers(1, 4));
    }
    let mut reader = lines::Connection::new(hub.tcp_port());
    let answer = reader.ask(r#"{"sub":["h/#","other"],"history":2,"qos":1}"#);
    assert!(answer.get("gap").is_none(), "{answer}");
    publish(&hub, "other", numbers(5, 5));
    publish(&hub, "h/a", numbers(5, 5));
    let mut got = Vec::new();
    while got.len() < 6 {
        let message = reader.receive();
        reader.send(json!({ "ack": message["id"] }).to_string());
        got.push(format!("{} {} {}", message["topic"], message["data"], message["offset"]));
    }
    got.sort();
    let expected =
        [r#""h/a" 3 3"#, r#""h/a" 4 4"#, r#""h/a" 5 5"#, r#""h/b" 3 3"#, r#""h/b" 4 4"#, r#""other" 5 null"#];
    assert_eq!(got, expected);
    for wrong in [
        r#"{"sub":"h/#","since":{"epoch":"0123456789ab","offset":1}}"#,
        r#"{"sub":"h/a","since":{"topics":{"h/b":{"epoch":"0123456789ab","offset":1}}}}"#,
        r##"{"sub":"h/a","since":{"topics":{"#":{"epoch":"0123456789ab","offset":1}}}}"##,
    ] {
        let answer = reader.ask(wrong);
        assert!(answer["error"]["reason"].is_string(), "{wrong}: {answer}");
    }
    let answer = reader.ask(r#"{"sub":"other","since":{"epoch":"0123456789ab","offset":1}}"#);
    assert_eq!(answer["gap"], json!(true), "nothing is kept there");
}

#[test]
fn a_stream_of_events_goes_on_behind_the_last_event() {
    let hub = Hub::with_config(&config("messages = 10"));
    let query = "topic=h/a&topic=h/%2B/c";
    let mut events = Events::new(hub.http_port(), query, None);
    publish(&hub, "h/a", numbers(1, 2));
    publish(&hub, "h/b b/c", numbers(1, 1));
    let mut id = None;
    for (topic, n) in [("h/a", 1), ("h/a", 2), ("h/b b/c", 1)] {
        let (own, name, message) = events.next().unwrap();
        assert_eq!((&message["topic"], &message["data"], name), (&json!(topic), &json!(n), None));
        id = own;
    }
    drop(events);
    // Of this topic nothing had come while the client was there.
    publish(&hub, "h/new/c", numbers(1, 1));
    publish(&hub, "h/b b/c", numbers(2, 2));
    publish(&hub, "h/a", numbers(3, 3));
    let mut events = Events::new(hub.http_port(), query, id.as_deref());
    let mut got: Vec<String> =
        (0..3).map(|_| events.next().unwrap().2).map(|m| format!("{} {}", m["topic"], m["data"])).collect();
    got.sort();
    assert_eq!(got, [r#""h/a" 3"#, r#""h/b b/c" 2"#, r#""h/new/c" 1"#]);
    publish(&hub, "h/a", numbers(4, 20));
    let mut events = Events::new(hub.http_port(), query, id.as_deref());
    let mut gaps: Vec<Value> = Vec::new();
    while gaps.is_empty() {
        let (_, name, event) = events.next().unwrap();
        gaps.extend((name.as_deref() == Some("gap")).then_some(event));
    }
    assert_eq!((&gaps[0]["gap"]["topic"], &gaps[0]["gap"]["offset"]), (&json!("h/a"), &json!(11)));
    let (_, name, _) = Events::new(hub.http_port(), "topic=h/a", Some("nonsense")).next().unwrap();
    assert_eq!(name.as_deref(), Some("gap"));
}

#[test]
fn a_history_is_read_page_by_page() {
    let hub = Hub::with_config(&config("messages = 1000"));
    publish(&hub, "h/t", numbers(1, 250));
    let (mut since, mut got) = (String::new(), Vec::new());
    loop {
        let (status, page) = ask(&hub, "GET", &format!("/api/v1/history?topic=h/t&limit=100{since}"));
        assert_eq!((status, &page["gap"]), (200, &json!(false)));
        for message in page["messages"].as_array().unwrap() {
            assert!(message["time"].is_u64() && message["epoch"].is_string(), "{message}");
            got.push(message["data"].as_u64().unwrap());
            assert_eq!(message["offset"], json!(got.len()));
        }
        since = format!("&since={}", page["next"].as_str().unwrap());
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(got, (1..=250).collect::<Vec<u64>>());
    let (_, page) = ask(&hub, "GET", &format!("/api/v1/history?topic=h/t{since}"));
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["gap"]), (0, &json!(false)));
    let (_, page) = ask(&hub, "GET", "/api/v1/history?topic=h/t&since=000000000000-5");
    assert_eq!(page["gap"], json!(true));
    let (_, page) = ask(&hub, "GET", "/api/v1/history?topic=h/t&last=2");
    let newest: Vec<_> = page["messages"].as_array().unwrap().iter().map(|m| &m["data"]).collect();
    assert_eq!(
        (newest, &page["more"], &page["gap"]),
        (vec![&json!(249), &json!(250)], &json!(false), &json!(false))
    );
    assert!(page["next"].as_str().unwrap().ends_with("-250"), "{page}");
    assert_eq!(ask(&hub, "GET", "/api/v1/history?topic=h/none").1["messages"], json!([]));
    for (path, status) in [("topic=other", 404), ("", 400), ("topic=h/%23", 400), ("topic=h/t&since=7", 400)]
    {
        assert_eq!(ask(&hub, "GET", &format!("/api/v1/history?{path}")).0, status, "{path}");
    }
    let metrics =
        Program::new("curl").args(["-sS", &format!("http://127.0.0.1:{}/metrics", hub.http_port())]);
    let metrics = metrics.run().success();
    assert!(metrics.contains("trefoil_history_messages 250\n"), "{metrics}");
}

#[test]
fn who_may_not_subscribe_may_not_look_back_either() {
    let hub = Hub::with_users(&[("ann", "secret")], "[[history]]\nfilter = \"#\"\nmessages = 5\n");
    let url = format!("http://127.0.0.1:{}/api/v1/history?topic=t", hub.tcp_port());
    let status = |user: &[&str]| {
        let curl = Program::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url]);
        curl.args(user.iter().copied()).run().success()
    };
    assert_eq!((status(&[]).as_str(), status(&["-u", "ann:secret"]).as_str()), ("401", "200"));
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(line.ask(r#"{"sub":"t","history":5}"#)["error"]["code"], json!("not_authorized"));
}

#[test]
fn a_slow_reader_misses_nothing_while_the_history_has_it() {
    // Its outbox holds a few messages only.
    let more = "messages = 100000\n[limits]\noutbox_messages_max = 10\noutbox_bytes_max = \"8 KiB\"";
    let hub = Hub::with_config(&config(more));
    let mut reader = lines::Connection::new(hub.tcp_port());
    reader.ask(r#"{"sub":"h/t"}"#);
    // More than the sockets between hold.
    publish(&hub, "h/t", (0..3000).map(|n| format!("{n} {}", "x".repeat(4000))));
    for n in 1..=3000 {
        assert_eq!(reader.receive()["offset"], json!(n));
    }
}

#[test]
fn histories_outlive_the_hub() {
    let text = config("messages = 100");
    let hub = Hub::with_config(&text);
    publish(&hub, "h/t", numbers(1, 5));
    let (_, before) = ask(&hub, "GET", "/api/v1/history?topic=h/t");
    let hub = Hub::resume(hub.leave("TERM"), &text);
    publish(&hub, "h/t", numbers(6, 6));
    let (_, page) = ask(&hub, "GET", "/api/v1/history?topic=h/t");
    assert_eq!(page["messages"][0], before["messages"][0]);
    assert_eq!(page["messages"][5]["offset"], json!(6), "an end in order leaves nothing open");
    let hub = Hub::resume(hub.leave("KILL"), &text);
    publish(&hub, "h/t", numbers(7, 7));
    let next = page["next"].as_str().unwrap();
    let (_, page) = ask(&hub, "GET", &format!("/api/v1/history?topic=h/t&since={next}"));
    assert_eq!((&page["gap"], &page["messages"][0]["data"]), (&json!(false), &json!(7)));
    assert_eq!(page["messages"][0]["epoch"], before["messages"][0]["epoch"]);
    assert_eq!(page["messages"][0]["offset"], json!((1u64 << 32) + 7), "no place is given twice");
}

#[test]
fn what_is_followed_already_does_not_begin_anew() {
    let hub = Hub::with_config(&config("messages = 100"));
    publish(&hub, "h/1", numbers(1, 3));
    let mut line = lines::Connection::new(hub.tcp_port());
    // Nothing of the topic has come yet: then both get it, once.
    line.ask(r#"{"sub":"h/+","id":1}"#);
    assert_eq!(line.ask(r#"{"sub":"h/1","history":2,"id":2}"#)["ack"], 2);
    assert_eq!((line.receive()["data"].clone(), line.receive()["data"].clone()), (json!(2), json!(3)));
    line.ask(r#"{"unsub":"h/1","id":3}"#);
    // What has come would come again, or behind what is newer.
    let refused = line.ask(r#"{"sub":"h/1","history":3,"id":4}"#);
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["field"]),
        (&json!("bad_field"), &json!("history"))
    );
    // The first subscription goes on as it did.
    publish(&hub, "h/1", numbers(4, 4));
    let message = line.receive();
    assert_eq!(message["data"], 4);
    // By its place it is asked for in so many words.
    let place = json!({"epoch": message["epoch"], "offset": message["offset"].as_u64().unwrap() - 2});
    assert_eq!(line.ask(json!({"sub": "h/1", "since": place, "id": 5}).to_string())["ack"], 5);
    assert_eq!((line.receive()["data"].clone(), line.receive()["data"].clone()), (json!(3), json!(4)));
    let shared = line.ask(r#"{"sub":"$share/g/h/1","history":3,"id":6}"#);
    assert_eq!(
        (&shared["error"]["code"], &shared["error"]["field"]),
        (&json!("bad_field"), &json!("history"))
    );
}
