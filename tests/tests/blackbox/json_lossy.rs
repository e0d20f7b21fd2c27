//! Everything that JSON lines have, over datagrams of which many get lost.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use trefoil_tests::datagrams::{Lossy, Peer};
use trefoil_tests::{CONFIG, DEADLINE, Hub, lines, wait_until};

/// Of a hundred datagrams, in each direction.
const LOSS_PERCENT: usize = 30;

/// Messages of a test; with so many some are lost for sure.
const MESSAGES: u64 = 40;

fn hub() -> (Hub, Lossy) {
    let limits = "[limits]\nudp_resend_s = 1\nudp_resends_max = 100\nudp_idle_s = 3600\n";
    let history = "[[history]]\nfilter = \"h/#\"\nmessages = 1000\n";
    let hub = Hub::with_config(&format!("{CONFIG}\n{limits}\n{history}"));
    let lossy = Lossy::start(hub.udp_port(), LOSS_PERCENT, 7);
    (hub, lossy)
}

fn is_ack(id: u64) -> impl Fn(&Value) -> bool {
    move |value| value["ack"] == json!(id)
}

/// Takes messages at QoS 1 until there are so many different ones, and acknowledges each as often as it comes. Gives their
/// payloads in the order in which they came first.
fn take(peer: &Peer, came: Vec<Value>, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut waiting = came.into_iter();
    let started = std::time::Instant::now();
    while seen.len() < count {
        assert!(started.elapsed() < DEADLINE * 2, "only {} of {count} have come", seen.len());
        let next = waiting.next().or_else(|| peer.receive_within(Duration::from_millis(200)));
        let Some(message) = next.filter(|value| value["topic"].is_string()) else { continue };
        peer.send(json!({"ack": message["id"]}).to_string());
        let data = message["data"].as_u64().expect("a number");
        if !seen.contains(&data) {
            seen.push(data);
        }
    }
    seen
}

#[test]
fn what_is_published_at_qos_1_arrives() {
    let (hub, lossy) = hub();
    let (reader, writer) = (Peer::new(lossy.port()), Peer::new(lossy.port()));
    let (_, mut came) = reader.insist(r#"{"sub":"t","qos":1,"id":1}"#, is_ack(1));
    for n in 1..=MESSAGES {
        writer.insist(json!({"pub": "t", "data": n, "qos": 1, "id": n}).to_string(), is_ack(n));
    }
    while let Some(value) = reader.receive_within(Duration::from_millis(1)) {
        came.push(value);
    }
    let all: BTreeSet<u64> = take(&reader, came, MESSAGES as usize).into_iter().collect();
    assert_eq!(all, (1..=MESSAGES).collect());
    assert!(lossy.lost() > 0);
    drop(hub);
}

#[test]
fn requests_are_sent_on_once_and_answered() {
    let (hub, lossy) = hub();
    let mut service = lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc","id":1}"#);
    let served = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while seen.last() != Some(&MESSAGES) {
            let message = service.receive();
            seen.push(message["data"].as_u64().unwrap());
            let answer = json!({
                "pub": message["response_topic"], "correlation_base64": message["correlation_base64"],
                "data": message["data"].as_u64().unwrap() * 2,
            });
            service.send(answer.to_string());
        }
        seen
    });
    let peer = Peer::new(lossy.port());
    for n in 1..=MESSAGES {
        let request = json!({"req": "svc", "data": n, "timeout_s": 300, "id": n}).to_string();
        let (answer, _) = peer.insist(request, |value| value["res"] == json!(n));
        assert_eq!(answer["data"], n * 2);
    }
    assert_eq!(served.join().unwrap(), (1..=MESSAGES).collect::<Vec<_>>(), "each was asked once");
    let (none, _) = peer.insist(r#"{"req":"nobody","id":1000}"#, |value| value["id"] == 1000);
    assert_eq!(none["error"]["code"], "no_responder");
    assert!(lossy.lost() > 0);
}

#[test]
fn a_datagram_client_answers_requests() {
    let (hub, lossy) = hub();
    let service = Peer::new(lossy.port());
    service.insist(r#"{"sub":"svc","qos":1,"id":1}"#, is_ack(1));
    let mut asker = lines::Connection::new(hub.tcp_port());
    for n in 1..=10u64 {
        asker.send(json!({"req": "svc", "data": n, "qos": 1, "timeout_s": 300, "id": n}).to_string());
        let message = loop {
            let Some(value) = service.receive_within(Duration::from_millis(200)) else { continue };
            if value["topic"] == "svc" {
                service.send(json!({"ack": value["id"]}).to_string());
                if value["data"] == json!(n) {
                    break value;
                }
            }
        };
        let answer = json!({
            "pub": message["response_topic"], "correlation_base64": message["correlation_base64"], "data": n * 2,
            "qos": 1, "id": n,
        });
        service.insist(answer.to_string(), is_ack(n));
        assert_eq!(asker.receive(), json!({"res": n, "data": n * 2}));
    }
}

#[test]
fn a_history_is_resumed_without_a_gap() {
    let (hub, lossy) = hub();
    let mut writer = lines::Connection::new(hub.tcp_port());
    let publish = |writer: &mut lines::Connection, from: u64, to: u64| {
        for n in from..=to {
            assert_eq!(writer.ask(json!({"pub": "h/1", "data": n, "qos": 1, "id": n}).to_string())["ack"], n);
        }
    };
    publish(&mut writer, 1, MESSAGES);
    let first = Peer::new(lossy.port());
    let subscribe = json!({"sub": "h/1", "qos": 1, "history": 1000, "retained": false, "id": 1}).to_string();
    let (_, came) = first.insist(subscribe, is_ack(1));
    let got = take(&first, came, MESSAGES as usize / 2);
    // Another address goes on from the place that the first one had: that of the last message of those it had without a gap.
    let had = (1..).take_while(|n| got.contains(n)).last().unwrap_or(0);
    let second = Peer::new(lossy.port());
    let page: Value = {
        let mut line = lines::Connection::new(hub.tcp_port());
        line.ask(json!({"sub": "h/1", "history": 1000, "id": 1}).to_string());
        line.receive()
    };
    let place = json!({"epoch": page["epoch"], "offset": page["offset"].as_u64().unwrap() - 1 + had});
    publish(&mut writer, MESSAGES + 1, MESSAGES + 5);
    let subscribe = json!({"sub": "h/1", "qos": 1, "since": place, "id": 2}).to_string();
    let (answer, came) = second.insist(subscribe, is_ack(2));
    assert_eq!(answer["gap"], false);
    let rest: BTreeSet<u64> = take(&second, came, (MESSAGES + 5 - had) as usize).into_iter().collect();
    assert_eq!(rest, (had + 1..=MESSAGES + 5).collect());
}

#[test]
fn who_is_there_is_known_by_asking_again() {
    let (hub, lossy) = hub();
    let watcher = Peer::new(lossy.port());
    let subscribe = r#"{"sub":"room","presence":true,"id":1}"#;
    watcher.insist(subscribe, is_ack(1));
    let mut others: Vec<lines::Connection> =
        (0..10).map(|_| lines::Connection::new(hub.tcp_port())).collect();
    others.iter_mut().for_each(|other| drop(other.ask(r#"{"sub":"room","id":1}"#)));
    // Some of the events have got lost; the list comes again with the same subscription.
    let (list, _) = watcher.insist(subscribe, |value| value["presence"] == "room" && value["count"] == 11);
    assert_eq!(list["clients"].as_array().unwrap().len(), 11);
    let (answer, _) = watcher.insist(r#"{"presence":"room","id":2}"#, is_ack(2));
    assert_eq!(answer["count"], 11);
}

#[test]
fn a_session_is_taken_up_and_nothing_of_it_is_lost() {
    let (hub, lossy) = hub();
    let hello = |token: Option<&Value>| {
        let mut hello = json!({"hello": {"client": "meter", "session_s": 3600}, "id": 1});
        if let Some(token) = token {
            hello["hello"]["resume"] = token.clone();
        }
        hello.to_string()
    };
    let mut writer = lines::Connection::new(hub.tcp_port());
    let mut publish = |from: u64, to: u64| {
        for n in from..=to {
            assert_eq!(writer.ask(json!({"pub": "t", "data": n, "qos": 1, "id": n}).to_string())["ack"], n);
        }
    };
    let first = Peer::new(lossy.port());
    let (answer, _) = first.insist(hello(None), is_ack(1));
    let token = answer["hello"]["resume"].clone();
    first.insist(r#"{"sub":"t","qos":1,"id":2}"#, is_ack(2));
    publish(1, 10);
    let before: BTreeSet<u64> = take(&first, Vec::new(), 5).into_iter().collect();
    // A new address.
    let second = Peer::new(lossy.port());
    let (answer, came) = second.insist(hello(Some(&token)), is_ack(1));
    assert_eq!(answer["hello"]["resumed"], true);
    publish(11, 20);
    let mut all = before;
    let mut came = Some(came);
    wait_until("all have come", || {
        let batch = take(&second, came.take().unwrap_or_default(), 1);
        all.extend(batch);
        all.len() == 20
    });
    assert_eq!(all, (1..=20).collect());
}
