//! JSON sessions that outlast their connections.

use super::json_hello::text;
use serde_json::{Value, json};
use trefoil_tests::datagrams::Peer;
use trefoil_tests::{CONFIG, Disk, Hub, lines, mqtt, wait_until, websocket};

/// With two shards, some of so many names belong to either.
const NAMES: usize = 6;

/// Longer than any test.
const SESSION_S: u32 = 3600;

fn hello(client: &str) -> String {
    json!({"hello": {"client": client, "session_s": SESSION_S}, "id": 1}).to_string()
}

fn hello_with(client: &str, token: &Value) -> String {
    json!({"hello": {"client": client, "session_s": SESSION_S, "resume": token}, "id": 1}).to_string()
}

/// Who has come, and whether it found its session. Gives the token, too.
fn come(hub: &Hub, client: &str) -> (lines::Connection, bool, Value) {
    let mut line = lines::Connection::new(hub.tcp_port());
    let answer = line.ask(hello(client));
    super::schema::check(&super::schema::validator("reply"), &answer);
    assert_eq!(answer["hello"]["session_s"], SESSION_S, "{answer}");
    (line, answer["hello"]["resumed"].as_bool().unwrap(), answer["hello"]["resume"].clone())
}

fn publish(hub: &Hub, topic: &str, data: u64) {
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(line.ask(json!({"pub": topic, "data": data, "qos": 1, "id": 9}).to_string())["ack"], 9);
}

fn ack(message: &Value) -> String {
    json!({"ack": message["id"]}).to_string()
}

#[test]
fn what_comes_while_a_client_is_away_waits_for_it() {
    let hub = Hub::start();
    for n in 0..NAMES {
        let (name, topic) = (format!("reader-{n}"), format!("t/{n}"));
        let (mut reader, resumed, token) = come(&hub, &name);
        assert!(!resumed);
        assert_eq!(token.as_str().unwrap().len(), 32);
        reader.ask(json!({"sub": topic, "qos": 1, "id": 2}).to_string());
        publish(&hub, &topic, 1);
        let first = reader.receive();
        assert_eq!((&first["data"], &first["dup"]), (&json!(1), &Value::Null));
        drop(reader);
        wait_until("the hub notices", || hub.metric("trefoil_connections{kind=\"json_tcp\"}") == 0);
        publish(&hub, &topic, 2);

        // By WebSocket, which makes no difference; the answer to hello comes before all that has waited.
        let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
        socket.send_text(&hello(&name));
        let answer = text(&mut socket);
        assert_eq!((&answer["hello"]["resumed"], &answer["hello"]["resume"]), (&json!(true), &token));
        let again = text(&mut socket);
        assert_eq!((&again["data"], &again["dup"], &again["id"]), (&json!(1), &json!(true), &first["id"]));
        let second = text(&mut socket);
        assert_eq!((&second["data"], &second["dup"]), (&json!(2), &Value::Null));
        socket.send_text(&format!("[{},{}]", ack(&again), ack(&second)));
        socket.send_text(r#"{"ping":1}"#);
        assert_eq!(text(&mut socket), json!({"pong": 1}));
        // Who comes by lines takes it from there, and nothing comes again.
        let (mut line, resumed, _) = come(&hub, &name);
        assert!(resumed);
        assert_eq!(text(&mut socket)["error"]["code"], "unavailable");
        assert_eq!(line.ask(r#"{"ping":2}"#), json!({"pong": 2}));
        publish(&hub, &topic, 3);
        assert_eq!(line.receive()["data"], 3);
        // The end of it.
        let over = line.ask(r#"{"hello":{"session_s":0},"id":3}"#);
        assert_eq!((&over["hello"]["session_s"], &over["hello"]["resume"]), (&json!(0), &Value::Null));
        drop(line);
        wait_until("it ends with its connection", || hub.stat("sessions") == 0);
    }
}

fn survives(end: &str) {
    let hub = Hub::start();
    let mut tokens = Vec::new();
    for n in 0..NAMES {
        let (mut reader, _, token) = come(&hub, &format!("kept-{n}"));
        reader.ask(json!({"sub": ["kept/#", "$share/g/shared"], "qos": 1, "id": 2}).to_string());
        publish(&hub, &format!("kept/{n}"), 1);
        while reader.receive()["topic"] != json!(format!("kept/{n}")) {}
        tokens.push(token);
    }
    wait_until("all are gone", || hub.metric("trefoil_connections{kind=\"json_tcp\"}") == 0);
    publish(&hub, "kept/all", 2);
    let hub = Hub::resume(hub.leave(end), CONFIG);
    for (n, token) in tokens.iter().enumerate() {
        let (mut reader, resumed, now) = come(&hub, &format!("kept-{n}"));
        assert!(resumed);
        assert_eq!(now, *token, "by the same token");
        // All that it has not acknowledged, in order; what had been sent says so.
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last: &(Value, Value)| last.0 != "kept/all") {
            let message = reader.receive();
            seen.push((message["topic"].clone(), message["dup"].clone()));
            reader.send(ack(&message));
        }
        let own: Vec<(Value, Value)> =
            (n..NAMES).map(|n| (json!(format!("kept/{n}")), json!(true))).collect();
        assert_eq!(seen[..1], own[..1], "{seen:?}");
        assert_eq!(seen.len(), own.len() + 1, "{seen:?}");
    }
}

#[test]
fn a_session_is_there_after_a_restart() {
    survives("TERM");
}

#[test]
fn a_session_is_there_after_a_kill() {
    survives("KILL");
}

#[test]
fn a_session_goes_on_in_the_next_process() {
    let mut hub = Hub::start();
    let (mut reader, _, token) = come(&hub, "x");
    reader.ask(r#"{"sub":"a","qos":1,"id":2}"#);
    hub.upgrade();
    publish(&hub, "a", 1);
    let (mut reader, resumed, now) = come(&hub, "x");
    assert!(resumed && now == token);
    assert_eq!(reader.receive()["data"], 1);
}

#[test]
fn the_session_of_another_kind_ends() {
    let hub = Hub::start();
    for n in 0..NAMES {
        let name = format!("both-{n}");
        let (mut line, ..) = come(&hub, &name);
        line.ask(r#"{"sub":"a","qos":1,"id":2}"#);
        // MQTT takes the client id, and begins anew.
        let request = mqtt::Connect::new(5, &name).resume().session_expiry_s(SESSION_S);
        let (mut client, answer) = mqtt::Connection::with(hub.tcp_port(), &request);
        assert_eq!(answer.flags & 1, 0, "{name}");
        assert_eq!(line.receive()["error"]["code"], "unavailable");
        client.subscribe("b", 2);
        // JSON takes it back, and begins anew as well.
        let (mut line, resumed, _) = come(&hub, &name);
        assert!(!resumed);
        assert_eq!(client.disconnect_reason(), Some(0x8e));
        publish(&hub, "a", 1);
        publish(&hub, "b", 1);
        assert_eq!(line.ask(r#"{"ping":1}"#), json!({"pong": 1}), "neither has left a subscription");
        line.ask(r#"{"hello":{"session_s":0}}"#);
    }
}

#[test]
fn a_session_belongs_to_its_user() {
    let hub = Hub::with_users(&[("ann", "a"), ("bob", "b")], "");
    let auth = |user: &str, password: &str| json!({"auth": {"user": user, "password": password}}).to_string();
    let mut early = lines::Connection::new(hub.tcp_port());
    assert_eq!(early.ask(hello("hers"))["error"]["code"], "not_authorized");
    for n in 0..NAMES {
        let name = format!("hers-{n}");
        let mut hers = lines::Connection::new(hub.tcp_port());
        hers.ask(auth("ann", "a"));
        let token = hers.ask(hello(&name))["hello"]["resume"].clone();
        drop(hers);
        let mut his = lines::Connection::new(hub.tcp_port());
        his.ask(auth("bob", "b"));
        assert_eq!(his.ask(hello_with(&name, &token))["error"]["code"], "not_authorized");
        // Over UDP, password and name in one datagram; the client moves to where its session is.
        let peer = Peer::new(hub.udp_port());
        let both = format!("[{},{}]", auth("ann", "a"), hello_with(&name, &token));
        assert_eq!(peer.ask(both), json!({"auth": {"user": "ann"}}));
        assert_eq!(peer.receive()["hello"]["resumed"], true);
        assert_eq!(peer.ask(r#"{"sub":"a","id":3}"#)["ack"], 3);
    }
}

#[test]
fn over_udp_a_session_is_taken_up_from_another_address_by_its_token_only() {
    let hub = Hub::start();
    for n in 0..NAMES {
        let (name, topic) = (format!("peer-{n}"), format!("u/{n}"));
        let first = Peer::new(hub.udp_port());
        assert_eq!(
            first.ask(r#"{"hello":{"client":"x"},"id":1}"#)["error"]["field"],
            "client",
            "without a session there is no name"
        );
        let answer = first.ask(hello(&name));
        assert_eq!(answer["hello"]["resumed"], false);
        let token = answer["hello"]["resume"].clone();
        assert_eq!(first.ask(json!({"sub": topic, "qos": 1, "id": 2}).to_string())["ack"], 2);
        // Said again from there, since it may have been lost.
        assert_eq!(first.ask(hello(&name))["hello"]["resumed"], true);
        publish(&hub, &topic, 1);
        let message = first.receive();
        assert_eq!(message["data"], 1);

        let thief = Peer::new(hub.udp_port());
        for stolen in [hello(&name), hello_with(&name, &json!("0".repeat(32)))] {
            let refused = thief.ask(stolen);
            assert_eq!(
                (&refused["error"]["code"], &refused["error"]["field"]),
                (&json!("not_authorized"), &json!("resume"))
            );
        }
        // The thief may be somebody else, and is another client then.
        let other = format!("thief-{n}");
        assert_eq!(thief.ask(hello(&other))["hello"]["client"], other);

        let second = Peer::new(hub.udp_port());
        assert_eq!(second.ask(hello_with(&name, &token))["hello"]["resumed"], true);
        let again = second.receive();
        assert_eq!((&again["data"], &again["dup"]), (&json!(1), &json!(true)));
        second.send(ack(&again));
        assert_eq!(first.receive()["error"]["code"], "unavailable");
        // It ends when its client says so.
        assert_eq!(second.ask(r#"{"hello":{"session_s":0},"id":4}"#)["hello"]["session_s"], 0);
        thief.ask(r#"{"hello":{"session_s":0},"id":4}"#);
        wait_until("both have ended", || hub.stat("sessions") == 0);
    }
}

#[test]
fn what_a_datagram_client_does_not_acknowledge_waits_in_its_session() {
    let limits = "[limits]\nudp_resend_s = 1\nudp_resends_max = 1\nudp_idle_s = 3600\n";
    let hub = Hub::with_config(&format!("{CONFIG}\n{limits}"));
    let peer = Peer::new(hub.udp_port());
    let token = peer.ask(hello("deaf"))["hello"]["resume"].clone();
    peer.ask(r#"{"sub":"t","qos":1,"id":2}"#);
    publish(&hub, "t", 1);
    assert_eq!((peer.receive()["dup"].clone(), peer.receive()["dup"].clone()), (Value::Null, json!(true)));
    wait_until("the peer is given up", || hub.metric("trefoil_connections{kind=\"json_udp\"}") == 0);
    assert_eq!(hub.stat("sessions"), 1);
    assert_eq!(peer.ask(hello_with("deaf", &token))["hello"]["resumed"], true);
    let again = peer.receive();
    assert_eq!((&again["data"], &again["dup"]), (&json!(1), &json!(true)));
}

#[test]
fn a_session_is_none_that_follows_histories() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[[history]]\nfilter = \"h/#\"\nmessages = 10\n"));
    let (mut reader, ..) = come(&hub, "x");
    for option in [r#""history":5"#, r#""since":{"time":1}"#] {
        let refused = reader.ask(format!(r#"{{"sub":"h/1",{option},"id":2}}"#));
        assert_eq!(refused["error"]["code"], "bad_field", "{refused}");
    }
    reader.ask(r#"{"sub":"h/1","qos":1,"presence":true,"id":3}"#);
    assert_eq!(reader.receive()["count"], 1, "who is there is told as to everybody");
    // Requests and what comes of them are the connection's, and leave nothing in the session.
    reader.ask(r#"{"req":"nobody","id":4}"#);
    drop(reader);
    wait_until("the hub notices", || hub.metric("trefoil_connections{kind=\"json_tcp\"}") == 0);
    publish(&hub, "h/1", 1);
    let (mut reader, resumed, _) = come(&hub, "x");
    assert!(resumed);
    let message = reader.receive();
    assert_eq!((&message["data"], &message["offset"]), (&json!(1), &Value::Null));
    assert_eq!(hub.metric("trefoil_subscriptions"), 1);
}

/// The next objects, which come alone or in arrays.
fn objects(count: usize, mut next: impl FnMut() -> Value) -> Vec<Value> {
    let mut all = Vec::new();
    while all.len() < count {
        match next() {
            Value::Array(some) => all.extend(some),
            one => all.push(one),
        }
    }
    all
}

/// What waits for nothing is in order, and whole, while the answer to hello waits for the disk.
#[test]
fn messages_at_qos_0_may_come_before_an_answer_to_hello_that_waits_for_the_disk() {
    let disk = Disk::new();
    let hub = disk.hub(&disk.config());
    let mut publisher = lines::Connection::new(hub.tcp_port());
    publisher.ask(r#"{"sub":"here","id":1}"#);
    for (n, wishes) in [json!({}), json!({"batch": true})].into_iter().enumerate() {
        for by_lines in [true, false] {
            let (name, topic) = (format!("early-{n}-{by_lines}"), format!("t/{n}/{by_lines}"));
            let (mut before, ..) = come(&hub, &name);
            before.ask(json!({"sub": topic, "id": 2}).to_string());
            drop(before);
            wait_until("the hub notices", || hub.metric("trefoil_connections{kind=\"json_tcp\"}") == 1);
            disk.fails("sync hold");
            let mut hello = json!({"hello": {"client": name, "session_s": SESSION_S}, "id": 1});
            hello["hello"].as_object_mut().unwrap().extend(wishes.as_object().unwrap().clone());
            // It is known to be there once it speaks.
            let here = r#"{"pub":"here"}"#;
            let mut next: Box<dyn FnMut() -> Value> = if by_lines {
                let mut line = lines::Connection::new(hub.tcp_port());
                line.send(format!("{hello}\n{here}"));
                Box::new(move || line.receive())
            } else {
                let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
                socket.send_text(&hello.to_string());
                socket.send_text(here);
                Box::new(move || text(&mut socket))
            };
            assert_eq!(publisher.receive()["topic"], "here");
            // Some that can be delivered together, one that cannot, and some more.
            let publish = |data: u64| json!({"pub": topic, "data": data});
            let alone = json!({"pub": topic, "data": 3, "content_type": "text/plain"});
            let all = [publish(1), publish(2), alone, publish(4), publish(5)].map(|one| one.to_string());
            publisher.send(all.join("\n"));
            let data: Vec<Value> =
                objects(5, &mut next).iter().map(|object| object["data"].clone()).collect();
            assert_eq!(data, [1, 2, 3, 4, 5].map(|data| json!(data)));
            disk.works();
            assert_eq!(objects(1, &mut next)[0]["hello"]["resumed"], true);
            publisher.send(publish(6).to_string());
            assert_eq!(objects(1, &mut next)[0]["data"], 6);
        }
    }
}
