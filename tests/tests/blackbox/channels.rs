//! Channels: the JSON protocol over single HTTP requests.

use super::channel_names::ANN;
use super::schema::{check, validator};
use serde_json::{Value, json};
use std::io::Write;
use trefoil_tests::channel::{Answer, Channel, Http, numbered};
use trefoil_tests::{CONFIG, Hub, lines, mqtt, wait_until};

fn hub_with(limits: &str) -> Hub {
    Hub::with_config(&format!("{CONFIG}\n[limits]\n{limits}\n"))
}

#[test]
fn everything_of_the_protocol_goes_over_it() {
    let history = "\n[[history]]\nfilter = \"h/#\"\nmessages = 10\n";
    let hub = Hub::with_config(&format!("{CONFIG}{history}"));
    let reply = validator("reply");
    let mut channel = Channel::open(hub.http_port(), "", r#"{"sub":"c/#","qos":1,"id":1}"#);
    let say = |channel: &mut Channel, request: &str| {
        let answer = channel.ask(request);
        check(&reply, &answer);
        answer
    };
    assert_eq!(channel.receive()["sub"], "c/#");
    // At QoS 1, both ways.
    let mut device = mqtt::Connection::new(hub.tcp_port(), 5, "device");
    device.publish_and_wait(&mqtt::Message::new("c/1", "one").qos(1, 7));
    let message = channel.receive();
    check(&reply, &message);
    assert_eq!((&message["data"], &message["qos"]), (&json!("one"), &json!(1)));
    channel.say(&json!({ "ack": message["id"] }).to_string());
    assert_eq!(say(&mut channel, r#"{"pub":"h/1","data":[1,2],"qos":1,"id":2}"#), json!({ "ack": 2 }));
    // Histories.
    let subscribed = say(&mut channel, r#"{"sub":"h/+","history":5,"id":3}"#);
    let message = channel.receive();
    let both = [&subscribed, &message];
    assert!(both.iter().any(|o| o["sub"] == "h/+") && both.iter().any(|o| o["offset"] == 1), "{both:?}");
    assert_eq!(say(&mut channel, r#"{"unsub":"h/+","id":4}"#), json!({ "unsub": "h/+", "ack": 4 }));
    assert_eq!(say(&mut channel, "{\"ping\":{\"a\":\n[]}}"), json!({ "pong": { "a": [] } }));
    // What is wrong is told on the way back, and the channel goes on.
    assert_eq!(say(&mut channel, r#"{"pub":"t","qos":9}"#)["error"]["field"], "qos");
    assert_eq!(say(&mut channel, "no JSON")["error"]["code"], "bad_json");
    channel.say("");
    channel.say(" \n");
    assert_eq!(say(&mut channel, r#"{"ping":"the end"}"#), json!({ "pong": "the end" }));
    assert_eq!(hub.metric("trefoil_connections{kind=\"poll\"}"), 1);
    let closed = channel.saying.ask(&format!("POST {}/close", channel.path()), "", "");
    assert_eq!(closed.status, 204);
    channel.is_gone();
    assert_eq!(hub.metric("trefoil_connections{kind=\"poll\"}"), 0);
    wait_until("the session has ended", || hub.stat("sessions") == 1);
}

#[test]
fn what_was_answered_comes_again_until_it_is_acknowledged() {
    let hub = Hub::start();
    let mut channel = Channel::open(hub.http_port(), "", r#"{"sub":"r"}"#);
    let first = channel.poll();
    assert_eq!((first.status, first.header("cache-control")), (200, Some("no-store")));
    assert_eq!(first.json(), json!({ "next": 1, "objects": [{ "sub": "r", "qos": 0 }] }));
    assert_eq!(channel.poll().body, first.body, "it has said nothing of having it");
    channel.say(r#"{"pub":"r","data":1}"#);
    let (next, objects) = numbered(&channel.poll().json());
    assert_eq!((next, objects.len()), (2, 2), "with what has come meanwhile");
    channel.after = 1;
    let (next, objects) = numbered(&channel.poll().json());
    assert_eq!((next, &objects[0]["data"], objects.len()), (2, &json!(1), 1));
    // Without a place it is given what has not been acknowledged, and acknowledges nothing.
    let again = channel.hearing.ask(&format!("GET {}", channel.path()), "", "");
    assert_eq!(numbered(&again.json()), (2, objects));
    channel.after = 0;
    let gone = channel.poll();
    assert_eq!((gone.status, gone.code().as_str()), (410, "gone"), "it has said that it has that");
    let mut http = Http::new(hub.http_port());
    let early = http.ask(&format!("GET {}?after=3", channel.path()), "", "");
    assert_eq!((early.status, &early.json()["error"]["field"]), (400, &json!("after")));
}

#[test]
fn a_get_waits_until_something_comes_or_another_one_does() {
    let hub = Hub::start();
    let mut channel = Channel::open(hub.http_port(), "", "");
    let start = format!("GET {}?after=0", channel.path());
    channel.hearing.send(&start, "", "").unwrap();
    // That it waits is seen by what the second one does to it.
    let mut second = Http::new(hub.http_port());
    wait_until("the first one waits", || hub.metric("trefoil_connections{kind=\"http\"}") >= 3);
    second.send(&start, "", "").unwrap();
    assert_eq!(channel.hearing.receive().unwrap().json(), json!({ "next": 0, "objects": [] }));
    channel.say(r#"{"ping":1}"#);
    assert_eq!(second.receive().unwrap().json(), json!({ "next": 1, "objects": [{ "pong": 1 }] }));
    // Who sends another request on the same connection does not wait any more.
    let (path, start) = (channel.path(), format!("GET {}?after=1", channel.path()));
    second.send(&start, "", "").unwrap();
    second.send(&format!("POST {path}"), "", r#"{"ping":2}"#).unwrap();
    assert_eq!(second.receive().unwrap().json(), json!({ "next": 1, "objects": [] }));
    assert_eq!(second.receive().unwrap().status, 204);
    assert_eq!(second.ask(&start, "", "").json(), json!({ "next": 2, "objects": [{ "pong": 2 }] }));
}

#[test]
fn a_get_is_answered_with_nothing_after_a_while() {
    let hub = hub_with("channel_poll_s = 1");
    let mut http = Http::new(hub.http_port());
    let opened = http.ask("POST /channel", "", "").json();
    assert_eq!((&opened["poll_s"], &opened["expires_s"]), (&json!(1), &json!(60)));
    let start = format!("GET /channel/{}?after=0", opened["channel"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(http.ask(&start, "", "").json(), json!({ "next": 0, "objects": [] }));
    }
}

#[test]
fn a_stream_goes_on_where_it_was() {
    let hub = Hub::start();
    let mut channel = Channel::open(hub.http_port(), "", r#"{"sub":"s"}"#);
    let mut publisher = lines::Connection::new(hub.tcp_port());
    channel.receive();
    let mut publish = |from: u64, to: u64| {
        for n in from..to {
            publisher.send(json!({ "pub": "s", "data": n }).to_string());
        }
        publisher.ask(r#"{"ping":null}"#);
    };
    publish(1, 4);
    let mut stream = channel.stream();
    publish(4, 7);
    for n in 1..7 {
        assert_eq!(stream.event(), Some((n + 1, json!({ "topic": "s", "data": n }))));
    }
    assert_eq!(hub.metric("trefoil_connections{kind=\"sse\"}"), 1);
    // It had the first three when it broke.
    channel.after = 4;
    drop(stream);
    publish(7, 9);
    let mut stream = channel.stream();
    for n in 4..9 {
        assert_eq!(stream.event(), Some((n + 1, json!({ "topic": "s", "data": n }))));
    }
    // Another reader takes its place.
    channel.after = 9;
    channel.hearing.send(&format!("GET {}?after=9", channel.path()), "", "").unwrap();
    assert_eq!(stream.event(), None);
    publish(9, 10);
    let (next, objects) = numbered(&channel.hearing.receive().unwrap().json());
    assert_eq!((next, &objects[0]["data"]), (10, &json!(9)));
    assert_eq!(hub.metric("trefoil_connections{kind=\"poll\"}"), 1);
}

#[test]
fn a_stream_ends_when_too_much_is_unacknowledged_and_loses_nothing() {
    let hub = hub_with("channel_resend_bytes_max = 2000");
    let mut channel = Channel::open(hub.http_port(), "", r#"{"sub":"s"}"#);
    channel.receive();
    let mut publisher = lines::Connection::new(hub.tcp_port());
    for n in 0..1000 {
        publisher.send(json!({ "pub": "s", "data": n }).to_string());
        if n % 10 == 0 {
            publisher.ask(r#"{"ping":null}"#);
        }
    }
    publisher.ask(r#"{"ping":null}"#);
    let (mut got, mut streams) = (0, 0);
    while got < 1000 {
        let mut stream = channel.stream();
        streams += 1;
        while got < 1000
            && let Some((id, message)) = stream.event()
        {
            assert_eq!((id, &message["data"]), (channel.after + 1, &json!(got)));
            (got, channel.after) = (got + 1, id);
        }
    }
    assert!(streams > 1, "all of it came in one");
    assert_eq!(hub.stat("dropped"), 0);
}

#[test]
fn requests_on_whatever_connection_find_their_channel() {
    let hub = Hub::with_config(&CONFIG.replace("shards = 2", "shards = 4"));
    let mut channels: Vec<_> = (0..8)
        .map(|n| Channel::open(hub.http_port(), "", &json!({ "sub": format!("m/{n}") }).to_string()))
        .collect();
    for round in 0..10 {
        for (n, channel) in channels.iter_mut().enumerate() {
            // Wherever the kernel puts them.
            (channel.saying, channel.hearing) = (Http::new(hub.http_port()), Http::new(hub.tcp_port()));
            channel.say(&json!({ "pub": format!("m/{}", (n + round) % 8), "data": [n, round] }).to_string());
        }
    }
    let mut all = Vec::new();
    for (n, channel) in channels.iter_mut().enumerate() {
        assert_eq!(channel.receive()["sub"], format!("m/{n}"));
        for _ in 0..10 {
            channel.hearing = Http::new(hub.http_port());
            let message = channel.receive();
            assert_eq!(message["topic"], format!("m/{n}"));
            all.push(message["data"].to_string());
        }
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 80, "each came once");
}

#[test]
fn one_connection_serves_everything_in_turn() {
    let hub = Hub::start();
    let mut http = Http::new(hub.tcp_port());
    assert_eq!(http.ask("GET /healthz", "", "").status, 200);
    let opened = http.ask("POST /channel", "Content-Type: text/plain\r\n", r#"{"sub":"t"}"#).json();
    let path = format!("/channel/{}", opened["channel"].as_str().unwrap());
    for n in 0..5 {
        assert_eq!(http.ask("GET /healthz", "", "").status, 200);
        let chunked = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        let request = json!({ "pub": "t", "data": n }).to_string();
        let (one, two) = request.split_at(7);
        write!(http.stream(), "{chunked}7\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", two.len()).unwrap();
        assert_eq!(http.receive().unwrap().status, 204);
        let answer = http.ask("POST /api/v1/publish", "", r#"{"topic":"u","data":1}"#);
        assert_eq!(answer.status, 200);
        let answer = http.ask(&format!("GET {path}?after={n}"), "", "").json();
        let (next, objects) = numbered(&answer);
        if n == 0 {
            assert_eq!((next, objects.len()), (2, 2), "{answer}");
        }
        assert_eq!(objects.last().unwrap()["data"], n, "{answer}");
    }
    // The body of a request that is asked for first, on a connection that is served beside the shards and on one that is not.
    for before in ["GET /healthz", "POST /channel"] {
        let mut http = Http::new(hub.tcp_port());
        assert_eq!(http.ask(before, "", "").status, 200);
        write!(
            http.stream(),
            "POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
        )
        .unwrap();
        assert_eq!(http.receive_head().unwrap().status, 100, "{before}");
        write!(http.stream(), "{{\"ping\":7}}").unwrap();
        assert_eq!(http.receive().unwrap().status, 204, "{before}");
    }
}

#[test]
fn old_clients_and_those_that_say_so_are_closed() {
    let hub = Hub::start();
    for (version, header, is_kept) in [
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.1", "Connection: x, Close\r\n", false),
        ("1.1", "", true),
    ] {
        let mut http = Http::new(hub.http_port());
        write!(http.stream(), "POST /channel HTTP/{version}\r\nHost: x\r\n{header}Content-Length: 0\r\n\r\n")
            .unwrap();
        let answer = http.receive().unwrap();
        assert_eq!(answer.status, 200);
        if is_kept {
            assert_eq!(http.ask("POST /channel", "", "").status, 200, "{version} {header}");
        } else {
            assert_eq!(answer.header("connection"), Some("close"));
            assert_eq!(http.line(), None, "{version} {header}");
        }
    }
    // Who closes its side when it has asked still gets its answer.
    let mut http = Http::new(hub.http_port());
    http.send("POST /channel", "", "").unwrap();
    http.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(http.receive().unwrap().status, 200);
}

pub(crate) fn status(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[test]
fn what_is_not_served_is_told_why() {
    let hub = hub_with("json_bytes_max = 2000");
    let channel = Channel::open(hub.http_port(), "", "");
    let (path, port) = (channel.path(), hub.http_port());
    let long = "x".repeat(2001);
    let foreign = "Origin: http://evil.example\r\n";
    for (start, headers, body, expected) in [
        ("GET /channel", "", "", (405, "method_not_allowed")),
        ("PUT /channel", "", "", (405, "method_not_allowed")),
        (&format!("DELETE {path}"), "", "", (405, "method_not_allowed")),
        (&format!("GET {path}/close"), "", "", (405, "method_not_allowed")),
        (&format!("POST {path}/open"), "", "", (404, "not_found")),
        ("POST /channel/", "", "", (410, "gone")),
        ("GET /channel/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", "", (410, "gone")),
        ("POST /channel/_____wAAAAAAAAAAAAAAAAAAAAAAAAA", "", "{}", (410, "gone")),
        ("POST /channel/x/close", "", "", (410, "gone")),
        (&format!("GET {path}?after=x"), "", "", (400, "bad_field")),
        (&format!("GET {path}"), "Last-Event-ID: x\r\n", "", (400, "bad_field")),
        (&format!("GET {path}"), "", "{}", (400, "bad_json")),
        (&format!("POST {path}"), "", &long, (413, "too_large")),
        ("POST /channel", "", &long, (413, "too_large")),
        (&format!("POST {path}"), "Content-Length: 1\r\n", "{}", (400, "bad_json")),
        (&format!("POST {path}"), "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", (400, "bad_json")),
        ("POST /channel", foreign, "", (403, "not_authorized")),
        (&format!("POST {path}"), foreign, "{}", (403, "not_authorized")),
        (&format!("GET {path}"), foreign, "", (403, "not_authorized")),
    ] {
        let answer = Http::new(port).ask(start, headers, body);
        assert_eq!(status(&answer), (expected.0, expected.1.to_owned()), "{start} {headers}");
    }
    // Chunks without an end.
    let mut http = Http::new(port);
    write!(http.stream(), "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..2001 {
        let _ = write!(http.stream(), "1\r\nx\r\n");
    }
    assert_eq!(status(&http.receive().unwrap()), (413, "too_large".to_owned()));
    // A page that may is told so, also of what is wrong.
    for (start, expected) in [(format!("POST {path}"), 204), (format!("GET {path}?after=7"), 400)] {
        let answer = Http::new(port).ask(&start, "Origin: http://localhost:5173\r\n", "");
        assert_eq!(answer.status, expected);
        assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:5173"));
    }
}

#[test]
fn what_is_slow_is_ended_or_kept_awake() {
    let hub = hub_with("json_bytes_max = 100000");
    let mut channel = Channel::open(hub.http_port(), "", r#"{"sub":"t"}"#);
    channel.receive();
    let mut slow = Http::new(hub.http_port());
    write!(
        slow.stream(),
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n{{\"pub\":",
        channel.path()
    )
    .unwrap();
    let mut stream = channel.stream();
    // What waits for longer than that is kept awake by comments, also for the proxies on the way.
    let comment = std::iter::from_fn(|| stream.line()).find(|line| line.starts_with(':'));
    assert_eq!(comment.as_deref(), Some(":"));
    let answer = slow.receive().unwrap();
    assert_eq!(answer.status, 408, "{answer:?}");
    // That was idle for too long.
    assert_eq!(channel.saying.line(), None);
    channel.saying = Http::new(hub.http_port());
    channel.say(r#"{"pub":"t","data":"there"}"#);
    assert_eq!(stream.event().unwrap().1["data"], "there");
}

#[test]
fn channels_that_nobody_asks_are_bounded_and_end() {
    // Long enough for all of them to be there at one time, on a busy machine too.
    let hub = hub_with("channels_max = 10000\nchannel_expires_s = 30");
    let mut http = Http::new(hub.http_port());
    for _ in 0..100 {
        (0..100).for_each(|_| http.send("POST /channel", "", r#"{"sub":"abandoned/#"}"#).unwrap());
        (0..100).for_each(|_| assert_eq!(http.receive().unwrap().status, 200));
    }
    let one_more = http.ask("POST /channel", "", "");
    assert_eq!((one_more.status, one_more.header("retry-after")), (503, Some("5")));
    assert_eq!((hub.stat("sessions"), hub.stat("subscriptions")), (10_000, 10_000));
    wait_until("they have ended", || hub.stat("sessions") == 0);
    assert_eq!(hub.metric("trefoil_connections{kind=\"poll\"}"), 0);
    Channel::open(hub.http_port(), "", "");
}

#[test]
fn a_channel_lives_as_long_as_somebody_asks() {
    let hub = hub_with("channel_expires_s = 1\nchannel_poll_s = 3");
    let mut asked = Channel::open(hub.http_port(), "", "");
    // A second is long over when this is answered.
    assert_eq!(asked.poll().json(), json!({ "next": 0, "objects": [] }));
    let mut stream = asked.stream();
    let mut publishing = Channel::open(hub.http_port(), "", "");
    wait_until("publishing alone does not keep it", || {
        let path = publishing.path();
        let mut http = Http::new(hub.http_port());
        http.ask(&format!("POST {path}"), "", r#"{"ping":1}"#).status == 410
    });
    publishing.is_gone();
    asked.say(r#"{"ping":"still here"}"#);
    assert_eq!(stream.event().unwrap().1["pong"], "still here");
    drop(stream);
    wait_until("the other has ended, too", || hub.stat("sessions") == 0);
}

#[test]
fn who_does_not_ask_for_what_comes_is_a_slow_reader() {
    let hub = hub_with("outbox_messages_max = 10");
    let mut channel = Channel::open(hub.http_port(), "", r#"{"sub":"f"}"#);
    let mut ending = Channel::open(hub.http_port(), "", r#"{"sub":"f","slow_reader":"disconnect"}"#);
    let mut latest = Channel::open(hub.http_port(), "", r#"{"sub":"f","slow_reader":"latest_per_topic"}"#);
    let mut publisher = lines::Connection::new(hub.tcp_port());
    for n in 0..100 {
        publisher.send(json!({ "pub": "f", "data": n }).to_string());
        publisher.ask(r#"{"ping":null}"#);
    }
    assert!(hub.stat("dropped") >= 90);
    assert_eq!(channel.receive()["sub"], "f");
    for n in 0..10 {
        assert_eq!(channel.receive()["data"], n, "the outbox holds the oldest");
    }
    assert_eq!(channel.ask(r#"{"ping":1}"#), json!({ "pong": 1 }));
    assert_eq!(latest.receive()["sub"], "f");
    for n in 0..10 {
        assert_eq!(latest.receive()["data"], n);
    }
    assert_eq!(latest.receive()["data"], 99);
    // It gets what was for it, why it has to go, and then nothing.
    let mut last = Value::Null;
    while last.get("error").is_none() {
        last = ending.receive();
    }
    assert_eq!(last["error"]["code"], "quota");
    ending.is_gone();
}

#[test]
fn who_asks_much_and_does_not_listen_has_to_wait() {
    let hub = hub_with("outbox_bytes_max = 100000");
    let mut channel = Channel::open(hub.http_port(), "", "");
    let request = json!({ "ping": "x".repeat(60_000) }).to_string();
    let path = channel.path();
    // The third has no room for its answer, so that it waits; and so do all behind it, up to a bound.
    channel.say(&request);
    channel.say(&request);
    let mut waiting: Vec<_> = (0..17).map(|_| Http::new(hub.http_port())).collect();
    for http in &mut waiting {
        http.send(&format!("POST {path}"), "", &request).unwrap();
    }
    let mut refused = None;
    wait_until("the one that is too much is refused", || {
        refused = waiting.iter_mut().position(|http| {
            http.stream().set_nonblocking(true).unwrap();
            let is_answered = http.stream().peek(&mut [0]).is_ok();
            http.stream().set_nonblocking(false).unwrap();
            is_answered
        });
        refused.is_some()
    });
    let answer = waiting.remove(refused.unwrap()).receive().unwrap();
    assert_eq!(status(&answer), (503, "overloaded".to_owned()));
    for _ in 0..18 {
        assert_eq!(channel.receive()["pong"].as_str().map(str::len), Some(60_000));
    }
    for mut http in waiting {
        assert_eq!(http.receive().unwrap().status, 204);
    }
}

#[test]
fn the_hub_says_goodbye() {
    let mut hub = Hub::start();
    let mut waiting = Channel::open(hub.http_port(), "", "");
    let streamed = Channel::open(hub.http_port(), "", "");
    let mut stream = streamed.stream();
    waiting.hearing.send(&format!("GET {}?after=0", waiting.path()), "", "").unwrap();
    // Those that have opened the channels, both that wait, and the one that asks.
    wait_until("both wait", || hub.metric("trefoil_connections{kind=\"http\"}") >= 5);
    hub.signal("TERM");
    let (_, objects) = numbered(&waiting.hearing.receive().unwrap().json());
    assert_eq!(objects[0]["error"]["code"], "unavailable");
    assert_eq!(stream.event().unwrap().1["error"]["code"], "unavailable");
    assert_eq!(stream.event(), None);
    assert_eq!(hub.wait().code(), Some(0));
}

#[test]
fn who_has_to_go_is_told() {
    let hub = Hub::start();
    let mut channel = Channel::open(hub.http_port(), "", r#"{"sub":"t"}"#);
    channel.receive();
    let listed = Http::new(hub.http_port()).ask("GET /api/v1/sessions", "", "").json();
    let client_id = listed["sessions"][0]["client_id"].as_str().unwrap().to_owned();
    assert!(client_id.starts_with("poll"), "{client_id}");
    let mut admin = Http::new(hub.http_port());
    assert_eq!(admin.ask(&format!("DELETE /api/v1/sessions/{client_id}"), "", "").status, 200);
    let first = channel.poll();
    assert_eq!(first.json()["objects"][0]["error"]["code"], "unavailable");
    assert_eq!(channel.poll().body, first.body, "it may not have come");
    channel.after = 2;
    channel.is_gone();
    let said = Http::new(hub.http_port()).ask(&format!("POST {}", channel.path()), "", "{}");
    assert_eq!(said.status, 410);
}

#[test]
fn several_requests_go_in_one_body_and_answers_come_to_who_asks() {
    let hub = Hub::with_users(&[("ann", "secret")], "");
    let port = hub.tcp_port();
    let hello = json!({ "hello": { "client": "responder" }, "id": 1 });
    let auth = json!({ "auth": { "user": "ann", "password": "secret" }, "id": 2 });
    let sub = json!({ "sub": "svc/add", "id": 3 });
    let mut responder = Channel::open(port, "", &json!([hello, auth, sub]).to_string());
    let said: Vec<_> = (0..3).map(|_| responder.receive()["ack"].clone()).collect();
    assert_eq!(said, [1, 2, 3]);
    let mut asker = Channel::open(port, ANN, r#"{"req":"svc/add","data":[1,2],"id":7}"#);
    let asked = responder.receive();
    assert_eq!((&asked["topic"], &asked["data"]), (&json!("svc/add"), &json!([1, 2])));
    let answer = json!({ "pub": asked["response_topic"], "data": 3, "correlation_base64": asked["correlation_base64"] });
    responder.say(&json!([answer, { "ping": 1 }]).to_string());
    let answer = asker.receive();
    assert_eq!((&answer["res"], &answer["data"]), (&json!(7), &json!(3)));
    assert_eq!(responder.receive(), json!({ "pong": 1 }));
    responder.say("[]");
    assert_eq!(responder.receive()["error"]["code"], "bad_json");
    assert_eq!(responder.ask("[[]]")["error"]["code"], "bad_json");
    assert_eq!(responder.ask(r#"[{"ping":2}]"#), json!({ "pong": 2 }));
}

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
