//! Retained messages: section 3.3.1.3.

use std::time::Duration;
use trefoil_tests::mqtt::property::{id, number, pair, text};
use trefoil_tests::mqtt::{Connection, Message, Publish, VERSIONS};
use trefoil_tests::{CONFIG, Hub};

/// What somebody who subscribes now is sent at once.
fn found(hub: &Hub, version: u8, filter: &str) -> Vec<Publish> {
    let mut later = Connection::new(hub.tcp_port(), version, "later");
    later.subscribe(filter, 2);
    later.send(&[0xC0, 0]);
    let mut found = Vec::new();
    loop {
        let packet = later.receive();
        if packet.first_byte == 0xD0 {
            return found;
        }
        found.push(packet.publish());
    }
}

fn payloads(hub: &Hub, version: u8, filter: &str) -> Vec<Vec<u8>> {
    found(hub, version, filter).into_iter().map(|message| message.payload).collect()
}

/// [MQTT-3.3.1-5] [v3 MQTT-3.3.1-5] [v3 MQTT-3.3.1-6] [v3 MQTT-3.3.1-7] [v3 MQTT-3.3.1-8]
#[test]
fn the_last_retained_message_of_a_topic_is_kept() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        // Each takes the place of the one before, whatever their QoS: also one at QoS 0.
        for qos in [2, 1, 0, 2, 0, 1] {
            publisher.publish_and_wait(&Message::new("t", [qos]).qos(qos, 1).retain());
            let kept = found(&hub, version, "t");
            assert_eq!(kept.len(), 1);
            assert_eq!((kept[0].retain, kept[0].qos, &*kept[0].payload), (true, qos, &[qos][..]));
        }
        // Topics do not get into each other's way.
        for topic in ["t/a", "T", "/t", "t/"] {
            publisher.publish_and_wait(&Message::new(topic, topic).retain());
        }
        assert_eq!(payloads(&hub, version, "t"), [[1]]);
        assert_eq!(found(&hub, version, "t/#").len(), 3);
        for topic in ["t", "t/a", "T", "/t", "t/"] {
            publisher.publish_and_wait(&Message::new(topic, "").retain());
        }
        // They are no part of the publisher's session.
        publisher.publish_and_wait(&Message::new("stays", "x").retain());
        publisher.leave();
        assert_eq!(payloads(&hub, version, "#"), [b"x"]);
        Connection::new(hub.tcp_port(), version, "publisher")
            .publish_and_wait(&Message::new("stays", "").retain());
    }
}

/// [MQTT-3.3.1-6] [v3 MQTT-3.3.1-10] [MQTT-3.3.1-7] [v3 MQTT-3.3.1-11]
#[test]
fn an_empty_payload_removes_what_is_retained() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.subscribe("t", 2);
        for qos in 0..3 {
            publisher.publish_and_wait(&Message::new("t", "x").qos(qos, 1).retain());
            assert_eq!(subscriber.receive_and_ack().payload, b"x");
            // It is a message as any other for those who are there.
            publisher.publish_and_wait(&Message::new("t", "").qos(qos, 1).retain());
            let empty = subscriber.receive_and_ack();
            assert_eq!((empty.qos, empty.retain, &*empty.payload), (qos, false, &[][..]));
            assert_eq!(found(&hub, version, "#").len(), 0);
        }
        // Without the flag it removes nothing.
        publisher.publish_and_wait(&Message::new("t", "x").retain());
        publisher.publish_and_wait(&Message::new("t", ""));
        assert_eq!(payloads(&hub, version, "t"), [b"x"]);
        publisher.publish_and_wait(&Message::new("t", "").retain());
    }
}

/// [MQTT-3.3.1-8] [v3 MQTT-3.3.1-12]
#[test]
fn without_the_flag_nothing_is_stored_removed_or_replaced() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        for qos in 0..3 {
            publisher.publish_and_wait(&Message::new("never", "x").qos(qos, 1));
            publisher.publish_and_wait(&Message::new("kept", "kept").retain());
            publisher.publish_and_wait(&Message::new("kept", "other").qos(qos, 1));
            assert_eq!(payloads(&hub, version, "#"), [b"kept"]);
        }
    }
}

/// [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
#[test]
fn retain_handling_says_when_retained_messages_are_sent() {
    let hub = Hub::start();
    let mut subscriber = Connection::new(hub.tcp_port(), 5, "subscriber");
    subscriber.publish_and_wait(&Message::new("t/1", "1").retain());
    subscriber.publish_and_wait(&Message::new("t/2", "2").retain());
    let (always, if_new, never) = (0x00, 0x10, 0x20);
    for filter in ["t/+", "$share/g/t/+"] {
        let is_shared = filter.starts_with('$');
        for (handling, comes) in [
            (never, false),
            (never, false),
            (if_new, false),
            (always, true),
            (always, true),
            (if_new, false),
            (never, false),
        ] {
            assert_eq!(subscriber.subscribe_with(&[], &[(filter, handling)]).codes, [0]);
            // Nobody in particular is meant by a shared subscription: it gets none.
            for _ in 0..if comes && !is_shared { 2 } else { 0 } {
                assert!(subscriber.receive_publish().retain);
            }
            subscriber.ping();
        }
        subscriber.send(&trefoil_tests::mqtt::unsubscribe_with(5, 1, &[], &[filter]));
        subscriber.receive().suback();
        subscriber.subscribe_with(&[], &[(filter, if_new)]);
        for _ in 0..if is_shared { 0 } else { 2 } {
            assert!(subscriber.receive_publish().retain);
        }
        subscriber.ping();
    }
}

/// [v3 MQTT-3.3.1-6], again: before MQTT 5 they are sent for every SUBSCRIBE.
#[test]
fn before_mqtt_5_every_subscribe_brings_the_retained_messages() {
    let hub = Hub::start();
    for version in [3, 4] {
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.publish_and_wait(&Message::new("t", "x").retain());
        for _ in 0..3 {
            subscriber.subscribe("t", 1);
            let message = subscriber.receive_publish();
            assert_eq!((message.retain, message.qos, &*message.payload), (true, 0, &b"x"[..]));
        }
        subscriber.ping();
    }
}

/// [MQTT-3.3.1-12] [MQTT-3.3.1-13] [v3 MQTT-3.3.1-9]
#[test]
fn the_retain_flag_is_as_the_subscription_asks() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let as_published = 0x08;
    for version in VERSIONS {
        let mut plain = Connection::new(hub.tcp_port(), version, "plain");
        plain.subscribe("t", 2);
        let mut asks = Connection::new(hub.tcp_port(), 5, "asks");
        asks.subscribe_with(&[], &[("t", 2 | as_published)]);
        let mut shares = Connection::new(hub.tcp_port(), 5, "shares");
        shares.subscribe_with(&[], &[("$share/g/t", 2 | as_published)]);
        for (qos, retain) in (0..3).flat_map(|qos| [(qos, false), (qos, true)]) {
            let message = Message::new("t", "x").qos(qos, 1);
            publisher.publish_and_wait(&if retain { message.retain() } else { message });
            let flags = [plain.receive_and_ack(), asks.receive_and_ack(), shares.receive_and_ack()]
                .map(|message| (message.qos, message.retain));
            assert_eq!(flags, [(qos, false), (qos, retain), (qos, retain)]);
        }
        publisher.publish_and_wait(&Message::new("t", "").retain());
    }
}

/// [MQTT-3.3.2-6] [MQTT-3.3.2-5], for a message that is kept; what else it says is kept as it is.
#[test]
fn a_retained_message_keeps_its_properties_and_expires() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let message = Message::new("t", "x")
        .retain()
        .property(number(id::MESSAGE_EXPIRY, 1000))
        .property(text(id::CONTENT_TYPE, "text"))
        .property(pair("a", "b"));
    publisher.publish_and_wait(&message);
    publisher.publish_and_wait(&Message::new("short", "x").retain().property(number(id::MESSAGE_EXPIRY, 1)));
    publisher.publish_and_wait(&Message::new("none", "x").retain());
    // Time has to pass; how much more than this passes is of no matter.
    std::thread::sleep(Duration::from_millis(1100));
    let kept = found(&hub, 5, "#");
    let mut topics: Vec<_> = kept.iter().map(|message| &*message.topic).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["none", "t"]);
    let message = kept.iter().find(|message| message.topic == "t").unwrap();
    let left_s = message.properties.number(id::MESSAGE_EXPIRY).unwrap();
    assert!((1..1000).contains(&left_s), "{left_s}");
    assert_eq!(message.properties.text(id::CONTENT_TYPE), Some("text"));
    assert_eq!(message.properties.pairs(), [("a", "b")]);
    let other = kept.iter().find(|message| message.topic == "none").unwrap();
    assert!(other.properties.is_empty());
}

/// [MQTT-3.3.1-5] [v3 MQTT-3.3.1-7]: where there is no room for the new message, the old one is not the last one either.
#[test]
fn a_message_that_cannot_be_kept_leaves_no_older_one() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nretained_bytes_max = 2000\n"));
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        publisher.publish_and_wait(&Message::new("t", "fits").retain());
        assert_eq!(payloads(&hub, version, "t"), [b"fits"]);
        publisher.publish_and_wait(&Message::new("t", vec![b'x'; 3000]).retain());
        assert_eq!(found(&hub, version, "t"), []);
        publisher.publish_and_wait(&Message::new("t", "fits again").qos(1, 1).retain());
        assert_eq!(payloads(&hub, version, "t"), [b"fits again"]);
    }
}
