//! Wills: sections 3.1.2.5 to 3.1.2.7, 3.1.3.2 to 3.1.3.4 and 3.14.

use std::time::{Duration, Instant};
use trefoil_tests::mqtt::property::{id, number, pair, text};
use trefoil_tests::mqtt::{Connect, Connection, Message, Publish, VERSIONS, Will, disconnect_with};
use trefoil_tests::{CONFIG, Hub};

/// A client that hears of every will, and of whether they are retained.
fn watcher(hub: &Hub, version: u8) -> Connection {
    let mut watcher = Connection::new(hub.tcp_port(), version, "watcher");
    // At QoS 2, and in MQTT 5 with the retain flag as published.
    watcher.subscribe_with(&[], &[("will/#", if version == 5 { 0x0A } else { 2 })]);
    watcher
}

fn dies(hub: &Hub, connect: &Connect) {
    Connection::with(hub.tcp_port(), connect).0.break_off();
}

/// [MQTT-3.1.2-7] [MQTT-3.1.2-8] [v3 MQTT-3.1.2-8]
#[test]
fn a_will_is_published_however_the_connection_is_lost() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut watcher = watcher(&hub, version);
        let connect = |payload: &str| {
            let will = Will::new("will/t", payload);
            Connection::with(hub.tcp_port(), &Connect::new(version, "dies").keep_alive_s(1).will(will)).0
        };
        // The network fails.
        connect("cut").break_off();
        assert_eq!(watcher.receive_publish().payload, b"cut");
        // The client breaks the protocol.
        let mut connection = connect("breaks it");
        connection.send(&[0xC1, 0]);
        connection.expect_end(0x81);
        assert_eq!(watcher.receive_publish().payload, b"breaks it");
        // The client falls silent.
        connect("silent").expect_end(0x8D);
        assert_eq!(watcher.receive_publish().payload, b"silent");
        // The client connects elsewhere.
        let mut old = connect("elsewhere");
        let new = connect("not yet");
        old.expect_end(0x8E);
        assert_eq!(watcher.receive_publish().payload, b"elsewhere");
        new.leave();
        if version == 5 {
            // The client asks for it.
            let mut connection = connect("asked for");
            connection.send(&disconnect_with(0x04, &[]));
            assert_eq!(connection.ending(), None);
            assert_eq!(watcher.receive_publish().payload, b"asked for");
        }
        watcher.ping();
    }
}

/// [MQTT-3.1.2-8] [v3 MQTT-3.1.2-8] [MQTT-3.1.2-10] [v3 MQTT-3.1.2-10] [v3 MQTT-3.1.2-12]
#[test]
fn a_will_is_forgotten_at_a_goodbye_and_after_it_is_published() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut watcher = watcher(&hub, version);
        let lasting = |client_id| {
            let connect = Connect::new(version, client_id).resume();
            if version == 5 { connect.session_expiry_s(600) } else { connect }
        };
        let will = Will::new("will/t", "never");
        Connection::with(hub.tcp_port(), &lasting("polite").will(will)).0.leave();
        watcher.ping();
        // The session is resumed without a will: there is none of before.
        dies(&hub, &lasting("polite"));
        watcher.ping();
        dies(&hub, &lasting("dies").will(Will::new("will/t", "once")));
        assert_eq!(watcher.receive_publish().payload, b"once");
        dies(&hub, &lasting("dies"));
        watcher.ping();
        // A new will takes the place of the old one.
        let (mut old, _) =
            Connection::with(hub.tcp_port(), &lasting("dies").will(Will::new("will/t", "old")));
        let (new, _) = Connection::with(hub.tcp_port(), &lasting("dies").will(Will::new("will/t", "new")));
        old.expect_end(0x8E);
        assert_eq!(watcher.receive_publish().payload, b"old");
        new.break_off();
        assert_eq!(watcher.receive_publish().payload, b"new");
        watcher.ping();
    }
}

/// [MQTT-3.1.2-9] [v3 MQTT-3.1.2-9] [MQTT-3.1.2-12] [v3 MQTT-3.1.2-14] [MQTT-3.1.2-14] [v3 MQTT-3.1.2-16]
/// [MQTT-3.1.2-15] [v3 MQTT-3.1.2-17] [MQTT-3.2.2-12] [MQTT-3.2.2-13]
#[test]
fn a_will_has_its_topic_payload_qos_and_retain_flag() {
    let hub = Hub::start();
    for version in VERSIONS {
        for (qos, retain) in (0..3).flat_map(|qos| [(qos, false), (qos, true)]) {
            let mut watcher = watcher(&hub, version);
            let topic = format!("will/{version}/{qos}/{retain}");
            let will = Will::new(&topic, [qos]).qos(qos);
            dies(&hub, &Connect::new(version, "dies").will(if retain { will.retain() } else { will }));
            let live = watcher.receive_and_ack();
            assert_eq!((&live.topic, live.qos, &*live.payload), (&topic, qos, &[qos][..]));
            assert_eq!(live.retain, retain && version == 5);
            watcher.leave();
            // Who comes later finds what was to be retained, and nothing else.
            let mut later = Connection::new(hub.tcp_port(), version, "later");
            later.subscribe(&topic, 2);
            if retain {
                let kept = later.receive_and_ack();
                assert_eq!((kept.qos, kept.retain, &*kept.payload), (qos, true, &[qos][..]));
            }
            later.leave();
            let mut cleaner = Connection::new(hub.tcp_port(), version, "cleaner");
            cleaner.publish_and_wait(&Message::new(&topic, "").retain());
        }
        // An empty payload is a payload; retained, it removes what was.
        let mut watcher = watcher(&hub, version);
        watcher.publish_and_wait(&Message::new("other", "kept").retain());
        dies(&hub, &Connect::new(version, "dies").will(Will::new("other", "").retain()));
        watcher.subscribe("other", 0);
        watcher.ping();
    }
}

/// The time that passed while `action` waited for something: never less than what the hub was to wait.
fn waits(at_least_s: u64, since: Instant, action: impl FnOnce() -> Publish) -> Publish {
    let message = action();
    assert!(since.elapsed() >= Duration::from_secs(at_least_s), "the will came before its time");
    message
}

/// [MQTT-3.1.2-8], with a delay: it passes, or the session ends before.
#[test]
fn a_will_waits_for_its_delay_or_the_end_of_its_session() {
    let hub = Hub::start();
    let mut watcher = watcher(&hub, 5);
    let connect = |expiry_s, delay_s| {
        let will = Will::new("will/t", "late").delay_s(delay_s);
        Connect::new(5, "late").resume().session_expiry_s(expiry_s).will(will)
    };
    for (expiry_s, delay_s) in [(600, 1), (1, 600), (u32::MAX, 1)] {
        let (connection, _) = Connection::with(hub.tcp_port(), &connect(expiry_s, delay_s));
        let since = Instant::now();
        connection.break_off();
        waits(1, since, || watcher.receive_publish());
    }
    // A session that ends with its connection takes the delay with it.
    dies(&hub, &connect(0, 600));
    watcher.receive_publish();
    // So does one that is replaced by a clean start.
    dies(&hub, &connect(600, 600));
    watcher.ping();
    Connection::new(hub.tcp_port(), 5, "late").leave();
    watcher.receive_publish();
    // And one whose DISCONNECT asks for the will and ends it.
    let (mut connection, _) = Connection::with(hub.tcp_port(), &connect(600, 600));
    connection.send(&disconnect_with(0x04, &number(id::SESSION_EXPIRY, 0)));
    assert_eq!(connection.ending(), None);
    watcher.receive_publish();
    watcher.ping();
}

/// [MQTT-3.1.3-9] [MQTT-3.1.2-8] [MQTT-3.1.2-10]
#[test]
fn a_client_that_comes_back_in_time_has_no_will_published() {
    let hub = Hub::start();
    let mut watcher = watcher(&hub, 5);
    let connect = |client_id: &str, delay_s| {
        let will = Will::new("will/t", client_id).delay_s(delay_s);
        Connect::new(5, client_id).resume().session_expiry_s(600).will(will)
    };
    dies(&hub, &connect("back", 2));
    let (mut back, answer) = Connection::with(hub.tcp_port(), &connect("back", 2));
    assert_eq!(answer.flags, 1);
    // A session that is taken over is one that the client has come back to.
    let (mut old, _) = Connection::with(hub.tcp_port(), &connect("taken over", 2));
    let (mut new, _) = Connection::with(hub.tcp_port(), &connect("taken over", 2));
    old.expect_end(0x8E);
    // A will that is due later than theirs would have been tells that theirs were not published.
    dies(&hub, &connect("later", 3));
    assert_eq!(watcher.receive_publish().payload, b"later");
    back.ping();
    new.ping();
    watcher.ping();
    // The new connections have wills of their own.
    back.break_off();
    assert_eq!(watcher.receive_publish().payload, b"back");
    new.leave();
}

/// [MQTT-3.1.3-10], and what else travels with a message.
#[test]
fn a_will_has_the_properties_of_a_message() {
    let hub = Hub::start();
    let mut watcher = watcher(&hub, 5);
    let pairs = [pair("b", "1"), pair("a", "2"), pair("b", "0"), pair("a", "2")].concat();
    let will = Will::new("will/t", "{}")
        .property(number(id::PAYLOAD_FORMAT, 1))
        .property(&pairs[..14])
        .property(number(id::MESSAGE_EXPIRY, 3600))
        .property(text(id::CONTENT_TYPE, "json"))
        .property(text(id::RESPONSE_TOPIC, "answers"))
        .property(text(id::CORRELATION_DATA, [0, 255]))
        .property(&pairs[14..])
        .delay_s(0);
    dies(&hub, &Connect::new(5, "dies").will(will));
    let properties = watcher.receive_publish().properties;
    assert_eq!(properties.number(id::PAYLOAD_FORMAT), Some(1));
    assert_eq!(properties.number(id::MESSAGE_EXPIRY), Some(3600));
    assert_eq!(properties.text(id::CONTENT_TYPE), Some("json"));
    assert_eq!(properties.text(id::RESPONSE_TOPIC), Some("answers"));
    assert_eq!(properties.bytes(id::CORRELATION_DATA), Some(&[0, 255][..]));
    assert_eq!(properties.pairs(), [("b", "1"), ("a", "2"), ("b", "0"), ("a", "2")]);
    assert_eq!(properties.ids().len(), 9, "and no other: {properties:?}");
}

/// When the hub stops, it is not the client that went (section 3.1.2.5 leaves it to the server).
#[test]
fn no_will_is_published_when_the_hub_stops() {
    let mut hub = Hub::with_config(CONFIG);
    let mut watcher = watcher(&hub, 5);
    let will = Will::new("will/t", "the hub stopped");
    let (mut connection, _) = Connection::with(hub.tcp_port(), &Connect::new(5, "alive").will(will));
    hub.signal("TERM");
    connection.expect_end(0x8B);
    let last = watcher.receive();
    assert_eq!((last.first_byte, last.disconnect().reason), (0xE0, 0x8B));
    hub.wait();
}
