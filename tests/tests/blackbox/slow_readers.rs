//! Readers that do not keep up: each policy loses what it says and nothing else, and others do not notice.

use std::collections::BTreeMap;
use trefoil_tests::mqtt::{self, Connect, Message, property};
use trefoil_tests::{CONFIG, Hub, lines, websocket};

/// Small bounds, so that a test need not send much.
const LIMITS: &str = "
[limits]
outbox_bytes_max = \"64 KiB\"
overflow_messages_max = 10
session_queue_messages_max = 3
inflight_max = 1
";

/// Large enough that the buffers of the kernel are full after some hundred.
const PAYLOAD_BYTES: usize = 8192;

/// Published at a time: no more than the outbox of a reader that keeps up has room for.
const AT_A_TIME: usize = 4;

/// Beyond this many the reader would have all of them, and the hub none to drop.
const MESSAGES_MAX: usize = 20_000;

fn hub(policy: &str, more: &str) -> Hub {
    let config = CONFIG.replace("[[listener]]", &format!("[[listener]]\nslow_reader = \"{policy}\""));
    Hub::with_config(&format!("{config}{LIMITS}{more}"))
}

fn dropped(hub: &Hub, reason: &str) -> u64 {
    hub.metric(&format!("trefoil_dropped_total{{reason=\"{reason}\"}}"))
}

fn slow_disconnects(hub: &Hub) -> u64 {
    hub.metric("trefoil_slow_disconnects_total")
}

/// What the message with this number says.
fn payload(number: usize) -> Vec<u8> {
    let mut bytes = format!("{number} ").into_bytes();
    bytes.resize(PAYLOAD_BYTES, b'x');
    bytes
}

fn number_of(payload: &[u8]) -> usize {
    let text = std::str::from_utf8(payload).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Publishes to `topics` topics in turn at QoS 0 until `is_enough`, never more at a time than a neighbour of the slow
/// reader has had; the neighbour must get all of them in their order. Returns how many there were.
fn flood(hub: &Hub, topics: usize, mut is_enough: impl FnMut() -> bool) -> usize {
    let mut neighbour = mqtt::Connection::new(hub.tcp_port(), 4, "neighbour");
    neighbour.subscribe("flood/#", 0);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "publisher");
    let mut sent = 0;
    while sent < MESSAGES_MAX {
        for number in sent..sent + AT_A_TIME {
            publisher.publish(&format!("flood/{}", number % topics), &payload(number));
        }
        for number in sent..sent + AT_A_TIME {
            assert_eq!(number_of(&neighbour.receive_publish().payload), number);
        }
        sent += AT_A_TIME;
        if sent % (16 * AT_A_TIME) == 0 && is_enough() {
            break;
        }
    }
    sent
}

/// All that a reader gets before the answer to a ping: topic and number.
fn read_all(reader: &mut mqtt::Connection) -> Vec<(String, usize)> {
    reader.send(&[0xC0, 0]);
    let mut all = Vec::new();
    loop {
        let packet = reader.receive();
        if packet.first_byte == 0xD0 {
            return all;
        }
        let publish = packet.publish();
        all.push((publish.topic, number_of(&publish.payload)));
    }
}

fn numbers(read: &[(String, usize)]) -> Vec<usize> {
    read.iter().map(|(_, number)| *number).collect()
}

/// All that a reader gets until there is no more: what the hub still holds for it goes out bit by bit, and the answer to
/// a ping may overtake it.
fn read_until(reader: &mut mqtt::Connection, last: usize) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    while all.last().is_none_or(|(_, number)| *number != last) {
        let publish = reader.receive_publish();
        all.push((publish.topic, number_of(&publish.payload)));
    }
    all
}

#[test]
fn drop_newest_keeps_the_beginning() {
    for version in [4, 5] {
        let hub = hub("drop_newest", "");
        let mut reader = mqtt::Connection::new(hub.tcp_port(), version, "reader");
        reader.subscribe("flood/#", 0);
        let sent = flood(&hub, 1, || dropped(&hub, "outbox_full") > 100);
        let lost = dropped(&hub, "outbox_full") as usize;
        let read = numbers(&read_all(&mut reader));
        assert!(read.is_sorted_by(|a, b| a < b));
        assert_eq!(read.len() + lost, sent);
        assert!(*read.last().unwrap() < sent - 50, "the newest are lost");
    }
}

#[test]
fn drop_oldest_keeps_the_end() {
    for version in [4, 5] {
        let hub = hub("drop_oldest", "");
        let mut reader = mqtt::Connection::new(hub.tcp_port(), version, "reader");
        reader.subscribe("flood/#", 0);
        let sent = flood(&hub, 1, || dropped(&hub, "outbox_full") > 100);
        let lost = dropped(&hub, "outbox_full") as usize;
        let read = numbers(&read_until(&mut reader, sent - 1));
        assert!(read.is_sorted_by(|a, b| a < b));
        assert_eq!(read.len() + lost, sent);
        assert_eq!(read[read.len() - 10..], Vec::from_iter(sent - 10..sent), "as many as may wait");
        // It keeps up again, and gets everything.
        let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "publisher");
        for number in 0..100 {
            publisher.publish("flood/0", &payload(number));
            assert_eq!(number_of(&reader.receive_publish().payload), number);
        }
        assert_eq!(dropped(&hub, "outbox_full") as usize, lost);
    }
}

#[test]
fn latest_per_topic_keeps_the_last_of_each() {
    const TOPICS: usize = 5;
    for version in [4, 5] {
        let hub = hub("latest_per_topic", "");
        let mut reader = mqtt::Connection::new(hub.tcp_port(), version, "reader");
        reader.subscribe("flood/#", 0);
        let sent = flood(&hub, TOPICS, || dropped(&hub, "replaced") > 100);
        let lost = dropped(&hub, "replaced") as usize;
        assert_eq!(dropped(&hub, "outbox_full"), 0);
        // The order among topics is that in which they began to wait.
        let read: Vec<_> = std::iter::repeat_with(|| reader.receive_publish())
            .map(|publish| (publish.topic, number_of(&publish.payload)))
            .take(sent - lost)
            .collect();
        let mut latest = BTreeMap::new();
        for (topic, number) in &read {
            let before = latest.insert(topic.clone(), *number);
            assert!(before.is_none_or(|before| before < *number), "order within a topic");
        }
        let expected = (sent - TOPICS..sent).map(|number| (format!("flood/{}", number % TOPICS), number));
        assert_eq!(latest, BTreeMap::from_iter(expected));
        reader.ping();
    }
}

#[test]
fn disconnect_ends_the_connection_once_the_outbox_is_full() {
    let hub = hub("disconnect", "");
    let mut reader = mqtt::Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("flood/#", 0);
    flood(&hub, 1, || slow_disconnects(&hub) > 0);
    let mut read = Vec::new();
    let goodbye = loop {
        let packet = reader.receive();
        if packet.first_byte == 0xE0 {
            break packet.disconnect();
        }
        read.push(number_of(&packet.publish().payload));
    };
    assert_eq!(goodbye.reason, 0x97, "quota exceeded");
    assert_eq!(read, Vec::from_iter(0..read.len()), "all up to there");
    assert!(reader.try_receive().is_none());
    assert_eq!(slow_disconnects(&hub), 1, "the neighbour and the publisher are still there");
    assert!(dropped(&hub, "outbox_full") > 0);
}

#[test]
fn a_topics_policy_goes_before_the_listeners() {
    let more = "
[[slow_reader]]
filter = \"latest/#\"
policy = \"latest_per_topic\"
[[slow_reader]]
filter = \"oldest\"
policy = \"drop_oldest\"
";
    let hub = hub("drop_newest", more);
    let away = Connect::new(5, "away").session_expiry_s(1000);
    let all = ["latest/a", "latest/b", "oldest", "newest"];
    for (topics, kept, counts) in [
        (&all[..2], ["latest/a=4", "latest/b=5"].as_slice(), (0, 4)),
        (&all[2..3], &["oldest=3", "oldest=4", "oldest=5"], (3, 0)),
        (&all[3..], &["newest=0", "newest=1", "newest=2"], (3, 0)),
    ] {
        let before = (dropped(&hub, "queue_full"), dropped(&hub, "replaced"));
        let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &away);
        topics.iter().for_each(|topic| client.subscribe(topic, 1));
        client.break_off();
        let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
        for number in 0..6 {
            let message = Message::new(topics[number % topics.len()], number.to_string());
            publisher.publish_and_wait(&message.qos(1, 1));
        }
        let (mut client, answer) = mqtt::Connection::with(hub.tcp_port(), &away.clone().resume());
        assert_eq!(answer.flags, 1, "session present");
        let came: Vec<String> = kept
            .iter()
            .map(|_| client.receive_and_ack())
            .map(|m| format!("{}={}", m.topic, String::from_utf8(m.payload).unwrap()))
            .collect();
        assert_eq!(came, kept);
        client.ping();
        let after = (dropped(&hub, "queue_full"), dropped(&hub, "replaced"));
        assert_eq!((after.0 - before.0, after.1 - before.1), counts, "{topics:?}");
        client.leave();
    }
}

#[test]
fn who_is_disconnected_for_its_queue_keeps_its_session() {
    let hub = hub("disconnect", "");
    let connect = Connect::new(5, "worker").session_expiry_s(1000);
    let (mut worker, _) = mqtt::Connection::with(hub.tcp_port(), &connect);
    worker.subscribe("jobs", 1);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    // One is in flight and three wait; there is no room for the fifth.
    for number in 0..5 {
        publisher.publish_and_wait(&Message::new("jobs", number.to_string()).qos(1, 1));
    }
    assert_eq!(worker.receive_publish().payload, b"0");
    worker.expect_end(0x97);
    assert_eq!((slow_disconnects(&hub), dropped(&hub, "queue_full")), (1, 1));
    let (mut worker, answer) = mqtt::Connection::with(hub.tcp_port(), &connect.resume());
    assert_eq!(answer.flags, 1, "session present");
    for number in 0..4 {
        let job = worker.receive_and_ack();
        assert_eq!((job.dup, job.payload), (number == 0, number.to_string().into_bytes()));
    }
    worker.ping();
}

#[test]
fn mqtt_over_websocket_is_told_twice() {
    let hub = hub("disconnect", "");
    let mut socket = websocket::Connection::new(hub.http_port(), "/mqtt");
    socket.send(&websocket::frame(0x82, &mqtt::connect_packet(5, "socket", &[])));
    socket.send(&websocket::frame(0x82, &mqtt::subscribe_packet(5, "jobs", 1)));
    let mut bytes = Vec::new();
    while !bytes.ends_with(&[0x90, 4, 0, 1, 0, 1]) {
        bytes.extend(socket.receive().unwrap().1);
    }
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    for number in 0..5 {
        publisher.publish_and_wait(&Message::new("jobs", number.to_string()).qos(1, 1));
    }
    let mut bytes = Vec::new();
    let code = loop {
        match socket.receive().unwrap() {
            (0x88, payload) => break payload,
            (_, payload) => bytes.extend(payload),
        }
    };
    assert_eq!(code[..2], 1008_u16.to_be_bytes());
    let goodbye = bytes.windows(3).any(|part| part[0] == 0xE0 && part[2] == 0x97);
    assert!(goodbye, "{bytes:?}");
}

#[test]
fn json_subscribers_say_it_themselves() {
    let hub = hub("drop_newest", "");
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    socket.send_text(r#"{"sub":"jobs","qos":1,"slow_reader":"disconnect"}"#);
    socket.receive().unwrap();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"sub":"jobs","qos":1,"slow_reader":"disconnect"}"#);
    let mut latest = lines::Connection::new(hub.tcp_port());
    latest.ask(r#"{"sub":"jobs","qos":1,"slow_reader":"latest_per_topic"}"#);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    for number in 0..5 {
        publisher.publish_and_wait(&Message::new("jobs", number.to_string()).qos(1, 1));
    }
    let text = String::from_utf8(socket.receive().unwrap().1).unwrap();
    assert!(text.contains(r#""topic":"jobs""#), "{text}");
    let text = String::from_utf8(socket.receive().unwrap().1).unwrap();
    assert!(text.contains(r#""code":"quota""#), "{text}");
    assert_eq!(socket.close_code(), Some(1008), "policy violation");
    assert_eq!(line.receive()["topic"], "jobs");
    assert_eq!(line.receive()["error"]["code"], "quota");
    assert_eq!(line.line(), None);
    let first = latest.receive();
    assert_eq!(first["data"], 0);
    latest.send(format!(r#"{{"ack":{}}}"#, first["id"]));
    assert_eq!(latest.receive()["data"], 4);
    assert_eq!((slow_disconnects(&hub), dropped(&hub, "replaced")), (2, 3));
}

#[test]
fn all_queues_together_have_a_bound() {
    let more = "queued_messages_max = 4\n";
    let hub = hub("drop_newest", more);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    let connect = |id: &str| Connect::new(5, id).session_expiry_s(1000);
    for id in ["a", "b"] {
        let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &connect(id));
        client.subscribe(id, 1);
        client.break_off();
        for number in 0..3 {
            publisher.publish_and_wait(&Message::new(id, number.to_string()).qos(1, 1));
        }
    }
    assert_eq!((dropped(&hub, "total_full"), hub.metric("trefoil_deliveries_queued ")), (2, 4));
    for (id, count) in [("a", 3), ("b", 1)] {
        let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &connect(id).resume());
        for number in 0..count {
            assert_eq!(client.receive_and_ack().payload, number.to_string().into_bytes());
        }
        client.ping();
    }
    // There is room again.
    let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &connect("b").resume());
    publisher.publish_and_wait(&Message::new("b", "3").qos(1, 1));
    assert_eq!(client.receive_and_ack().payload, b"3");
}

/// Publishes `topic=0` to `topic=5` to a client that is away, and takes what comes when it is back.
fn what_waits(hub: &Hub, client: &Connect, topic: &str) -> Vec<String> {
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    for number in 0..6 {
        publisher.publish_and_wait(&Message::new(topic, number.to_string()).qos(1, 1));
    }
    publisher.publish_and_wait(&Message::new(format!("{topic}/end"), "").qos(1, 1));
    let (mut client, answer) = mqtt::Connection::with(hub.tcp_port(), client);
    assert_eq!(answer.flags, 1, "session present");
    let mut came = Vec::new();
    while came.len() < 3 {
        let message = client.receive_and_ack();
        if message.topic != topic {
            came.push("end".to_owned());
            break;
        }
        came.push(String::from_utf8(message.payload).unwrap());
    }
    client.ping();
    client.break_off();
    came
}

fn said(policy: &str) -> Vec<u8> {
    property::pair("slow_reader", policy)
}

#[test]
fn mqtt_5_clients_say_it_themselves() {
    let hub = hub("drop_newest", "");
    let away = Connect::new(5, "away").session_expiry_s(1000);
    for (policy, kept) in [
        ("latest_per_topic", ["5", "end"].as_slice()),
        ("drop_oldest", &["4", "5", "end"]),
        ("drop_newest", &["0", "1", "2"]),
    ] {
        let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &away);
        let answer = client.subscribe_with(&said(policy), &[("t", 1), ("t/end", 1)]);
        assert_eq!(answer.codes, [1, 1]);
        client.break_off();
        assert_eq!(what_waits(&hub, &away.clone().resume(), "t"), kept, "{policy}");
    }
    // The subscription is made anew without it.
    let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &away);
    client.subscribe_with(&said("drop_oldest"), &[("t", 1)]);
    client.subscribe("t", 1);
    client.subscribe("t/end", 1);
    client.break_off();
    assert_eq!(what_waits(&hub, &away.clone().resume(), "t"), ["0", "1", "2"]);
    // What is none is refused, and told; other properties mean nothing to the hub.
    let mut client = mqtt::Connection::new(hub.tcp_port(), 5, "client");
    let properties = [property::pair("slow", "x"), said("drop_everything")].concat();
    let answer = client.subscribe_with(&properties, &[("t", 1), ("u", 0)]);
    assert_eq!(answer.codes, [0x83, 0x83], "implementation specific error");
    let why = answer.properties.text(property::id::REASON_STRING).unwrap();
    assert!(why.contains("drop_newest, drop_oldest, latest_per_topic, disconnect"), "{why}");
    client.subscribe_with(&property::pair("slow", "x"), &[("t", 0)]);
    client.publish("t", b"it is there");
    assert_eq!(client.receive_publish().payload, b"it is there");
    client.ping();
}

#[test]
fn policies_outlast_the_hub() {
    const LATEST: &str = "latest_per_topic";
    let config = CONFIG.replace("[[listener]]", &format!("[[listener]]\nslow_reader = \"{LATEST}\""));
    let config = format!("{config}{LIMITS}");
    let mut hub = Hub::with_config(&config);
    let by_listener = Connect::new(5, "listener").session_expiry_s(1000);
    let by_itself = Connect::new(5, "itself").session_expiry_s(1000);
    let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &by_listener);
    client.subscribe("t", 1);
    client.subscribe("t/end", 1);
    client.break_off();
    let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &by_itself);
    client.subscribe_with(&said("drop_oldest"), &[("u", 1), ("u/end", 1)]);
    client.break_off();
    let mqtt_3 = Connect::new(4, "three").resume();
    let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &mqtt_3);
    client.subscribe("v", 1);
    client.subscribe("v/end", 1);
    client.break_off();
    for signal in ["TERM", "KILL"] {
        hub = Hub::resume(hub.leave(signal), &config);
        assert_eq!(what_waits(&hub, &by_listener.clone().resume(), "t"), ["5", "end"], "{signal}");
        assert_eq!(what_waits(&hub, &by_itself.clone().resume(), "u"), ["4", "5", "end"], "{signal}");
        assert_eq!(what_waits(&hub, &mqtt_3, "v"), ["5", "end"], "{signal}");
    }
}
