//! A hub whose memory is short: it stays within its limit, serves those who keep up, and recovers.

use std::io::{Read, Write};
use std::thread;
use trefoil_tests::mqtt::{self, Connect, Message};
use trefoil_tests::mqtt_sn::{Device, kind, publish_body};
use trefoil_tests::{CONFIG, Hub, connect, lines, wait_until, websocket};

const MEMORY_MAX: u64 = 96 << 20;

fn hub(more: &str) -> Hub {
    Hub::with_config(&format!("memory_max = \"96 MiB\"\n{CONFIG}\n[store]\ndurability = \"none\"\n{more}"))
}

fn stage(hub: &Hub) -> u64 {
    hub.metric("trefoil_memory_stage ")
}

fn check_memory(hub: &Hub) {
    let bytes = hub.resident_bytes();
    assert!(bytes < MEMORY_MAX, "the hub holds {bytes} bytes:\n{}", hub.log());
}

/// What a WebSocket handshake for JSON is answered with.
fn handshake_status(hub: &Hub) -> String {
    let mut stream = connect(hub.http_port());
    stream.write_all(&trefoil_tests::websocket::handshake("/ws", "")).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    String::from_utf8_lossy(&status[9..]).into_owned()
}

#[test]
fn slow_readers_do_not_take_all_the_memory() {
    // Together they may hold twice what there is.
    const READERS: usize = 12;
    let hub = hub("");
    let mut neighbour = mqtt::Connection::new(hub.tcp_port(), 4, "neighbour");
    neighbour.subscribe("neighbour", 0);
    let mut readers = Vec::new();
    for number in 0..READERS {
        let mut reader = mqtt::Connection::new(hub.tcp_port(), 4, &format!("reader-{number}"));
        reader.subscribe(&format!("flood/{number}"), 0);
        readers.push(reader);
    }
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "publisher");
    let shed = || hub.metric("trefoil_dropped_total{reason=\"memory\"}");
    let mut rounds = 0;
    while shed() < 1000 {
        assert!(rounds < 1000, "nothing is shed at stage {}:\n{}", stage(&hub), hub.log());
        for number in 0..READERS {
            publisher.send(&mqtt::publish_packet(4, &format!("flood/{number}"), &[b'x'; 8192]).repeat(8));
        }
        // Who keeps up gets everything.
        publisher.publish("neighbour", rounds.to_string().as_bytes());
        assert_eq!(neighbour.receive_publish().payload, rounds.to_string().into_bytes());
        check_memory(&hub);
        rounds += 1;
    }
    assert_eq!(stage(&hub), 2);
    let refused =
        |version| mqtt::Connection::asking(hub.tcp_port(), &Connect::new(version, "new")).1.unwrap();
    assert_eq!((refused(5).code, refused(4).code), (0x89, 3), "server busy; server unavailable");
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(line.ask(r#"{"sub":"x"}"#)["error"]["code"], "overloaded");
    assert_eq!(line.line(), None);
    assert_eq!(handshake_status(&hub), "503");
    assert!(hub.metric("trefoil_connections_refused_total") >= 4);
    // Without them there is enough.
    drop(readers);
    wait_until("memory is there again", || stage(&hub) == 0);
    mqtt::Connection::new(hub.tcp_port(), 5, "new").ping();
    assert_eq!(handshake_status(&hub), "101");
    let log = hub.log();
    assert!(log.contains("memory is short") && log.contains("everything is as usual again"), "{log}");
    publisher.publish("neighbour", b"last");
    assert_eq!(neighbour.receive_publish().payload, b"last");
}

#[test]
fn publishers_wait_until_those_who_are_away_have_come_back() {
    const SESSIONS: usize = 8;
    const EACH: usize = 200;
    let hub = hub("");
    let session = |number: usize| Connect::new(5, format!("away-{number}")).session_expiry_s(1000);
    for number in 0..SESSIONS {
        let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &session(number));
        client.subscribe(&format!("queue/{number}"), 1);
        client.break_off();
    }
    let device = Device::connected(hub.port_of("mqtt-sn"), "device");
    let topic = device.register("device/out");
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    thread::scope(|scope| {
        let publishing = scope.spawn(move || {
            for message in 0..SESSIONS * EACH {
                let mut payload = format!("{} ", message / SESSIONS).into_bytes();
                payload.resize(65_536, b'x');
                let message = Message::new(format!("queue/{}", message % SESSIONS), payload);
                publisher.publish_and_wait(&message.qos(1, 1));
            }
        });
        wait_until("publishers are not read from", || {
            check_memory(&hub);
            stage(&hub) == 3
        });
        assert!(!publishing.is_finished());
        devices_are_refused(&hub, &device, topic);
        for number in 0..SESSIONS {
            let port = hub.tcp_port();
            scope.spawn(move || {
                // It is let in, since it takes away what is there.
                let (mut client, answer) = mqtt::Connection::with(port, &session(number).resume());
                assert_eq!(answer.flags, 1, "session present");
                for message in 0..EACH {
                    let got = client.receive_and_ack();
                    assert!(got.payload.starts_with(format!("{message} ").as_bytes()));
                }
                client.ping();
            });
        }
    });
    check_memory(&hub);
    wait_until("memory is there again", || stage(&hub) == 0);
    assert_eq!(hub.metric("trefoil_dropped_total{reason=\"queue_full\"}"), 0);
    let mut reader = mqtt::Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("device/out", 0);
    device.publish(1, topic, 9, "taken");
    device.expect(kind::PUBACK, &[&topic.to_be_bytes()[..], &[0, 9, 0]].concat());
    assert_eq!(reader.receive_publish().payload, b"taken");
    assert_eq!(shed(&hub), 2);
}

fn shed(hub: &Hub) -> u64 {
    hub.metric("trefoil_dropped_total{reason=\"memory\"}")
}

/// A device cannot be kept from sending: it is told, where there is an answer.
fn devices_are_refused(hub: &Hub, device: &Device, topic: u16) {
    let id = topic.to_be_bytes();
    for qos in [1, 2] {
        device.publish(qos, topic, 7, "refused");
        device.expect(kind::PUBACK, &[id[0], id[1], 0, 7, 1]);
    }
    device.publish(0, topic, 0, "dropped");
    let stranger = Device::new(hub.port_of("mqtt-sn"));
    stranger.send(kind::PUBLISH, &publish_body(0x62, *b"ab", 0, "dropped"));
    wait_until("both are counted", || shed(hub) == 2);
    device.expect_nothing();
    assert_eq!(stage(hub), 3);
}

/// How many packets fit into what the hub reads from a connection at a time, twice.
fn two_reads(packet: &[u8]) -> Vec<u8> {
    packet.repeat((256 << 10) / packet.len())
}

#[test]
fn one_read_that_is_for_everybody_stays_within_the_limit() {
    // For these the hub writes each message anew, with the number of the subscription; a read of it is 128 MiB.
    const READERS: usize = 1000;
    let hub = hub("");
    let mut readers = Vec::new();
    for number in 0..READERS {
        let mut reader = mqtt::Connection::new(hub.tcp_port(), 5, &format!("reader-{number}"));
        reader.subscribe_with(&number_of_subscription(), &[("flood", 0)]);
        readers.push(reader);
    }
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "publisher");
    let flood = two_reads(&mqtt::publish_packet(4, "flood", &[b'x'; 1000]));
    let watching = std::sync::atomic::AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            while watching.load(std::sync::atomic::Ordering::Relaxed) {
                check_memory(&hub);
            }
        });
        for _ in 0..4 {
            publisher.send(&flood);
            publisher.ping();
        }
        watching.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    check_memory(&hub);
    drop(readers);
    wait_until("memory is there again", || stage(&hub) == 0);
}

fn number_of_subscription() -> Vec<u8> {
    mqtt::property::number(mqtt::property::id::SUBSCRIPTION_ID, 7)
}

#[test]
fn one_read_that_many_sessions_wait_for_stays_within_the_limit() {
    // The publisher's own, and those of other shards, which get all that one read brings by mail.
    for shards in [1, 2, 4] {
        one_read_for_many_sessions(shards);
    }
}

fn one_read_for_many_sessions(shards: usize) {
    const SESSIONS: usize = 200;
    let config = CONFIG.replace("shards = 2", &format!("shards = {shards}"));
    let more = "[store]\ndurability = \"none\"\n[limits]\nsession_queue_messages_max = 100000\n";
    let hub = Hub::with_config(&format!("memory_max = \"96 MiB\"\n{config}\n{more}"));
    let session = |number: usize| Connect::new(5, format!("away-{number}")).session_expiry_s(1000);
    for number in 0..SESSIONS {
        let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &session(number));
        client.subscribe("q", 1);
        client.break_off();
    }
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "publisher");
    // Nearly twenty thousand messages a read, and millions of deliveries of them.
    let packet = Message::new("q", "").qos(1, 1).packet(4);
    publisher.send(&two_reads(&packet));
    wait_until("publishers are not read from", || {
        check_memory(&hub);
        stage(&hub) == 3
    });
    let in_a_read = ((128 << 10) / packet.len() * SESSIONS) as u64;
    for _ in 0..100 {
        check_memory(&hub);
        assert!(hub.metric("trefoil_deliveries_queued ") < in_a_read, "the rest of the read waits");
    }
}

#[test]
fn what_was_read_from_the_store_counts_no_longer_once_it_has_gone() {
    const MESSAGES: usize = 1500;
    let session = Connect::new(5, "away").session_expiry_s(1000);
    let config = format!("{CONFIG}\n[limits]\nsession_queue_bytes_max = \"1 GiB\"\n");
    let hub = Hub::with_config(&config);
    let (mut client, _) = mqtt::Connection::with(hub.tcp_port(), &session);
    client.subscribe("queue", 1);
    client.break_off();
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    for _ in 0..MESSAGES {
        publisher.publish_and_wait(&Message::new("queue", [b'x'; 50_000]).qos(1, 1));
    }
    // What waits is more than twice what there may be from now on.
    let hub = Hub::resume(hub.leave("TERM"), &format!("memory_max = \"32 MiB\"\n{config}"));
    wait_until("publishers are not read from", || stage(&hub) == 3);
    let (mut client, answer) = mqtt::Connection::with(hub.tcp_port(), &session.resume());
    assert_eq!(answer.flags, 1, "session present");
    for _ in 0..MESSAGES {
        client.receive_and_ack();
    }
    client.ping();
    wait_until("memory is there again", || stage(&hub) == 0);
    mqtt::Connection::new(hub.tcp_port(), 5, "new").ping();
}

#[test]
fn what_is_sent_before_a_stream_stands_does_not_take_all_the_memory() {
    const COUNT: usize = 600;
    let hub = hub("");
    let frames = websocket::frame(0x82, &[7; 4 << 10]).repeat(64);
    let path = |number| format!("/stream/nobody/{number}?wait_s=3600");
    let mut callers: Vec<_> =
        (0..COUNT).map(|number| websocket::Connection::new(hub.http_port(), &path(number))).collect();
    for caller in &mut callers {
        // Who has been sent away may not take all of it.
        let _ = caller.stream.write_all(&frames);
    }
    // Those that wait for somebody to listen are sent nothing.
    let has_answer = |caller: &websocket::Connection| {
        caller.stream.set_nonblocking(true).unwrap();
        let has_answer = caller.stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        caller.stream.set_nonblocking(false).unwrap();
        has_answer
    };
    let mut sent_away = None;
    wait_until("some are sent away", || {
        sent_away = callers.iter().position(has_answer);
        sent_away.is_some()
    });
    assert_eq!(callers[sent_away.unwrap()].close_code(), Some(4429));
    // What has been freed is still the process's. All of it would be twice the limit.
    let bytes = hub.resident_bytes();
    assert!(bytes < MEMORY_MAX * 3 / 2, "the hub holds {bytes} bytes:\n{}", hub.log());
    drop(callers);
    wait_until("there is room again", || stage(&hub) == 0);
}
