//! PUBLISH: section 3.3. Retained messages are in `retained`, flow control and sizes in `limits`.

use std::time::Duration;
use trefoil_tests::mqtt::property::{id, number, pair, text};
use trefoil_tests::mqtt::{Connect, Connection, Message, Publish, VERSIONS, ack, packet};
use trefoil_tests::{CONFIG, Hub};

/// A client whose session outlives its connection, in the words of its version.
fn lasting(version: u8) -> Connect {
    let connect = Connect::new(version, format!("lasting-{version}")).resume();
    if version == 5 { connect.session_expiry_s(60) } else { connect }
}

/// [MQTT-3.3.1-1] [MQTT-3.3.1-2] [v3 MQTT-3.3.1-2] [MQTT-3.3.1-3] [v3 MQTT-3.3.1-3]
#[test]
fn dup_says_that_the_hub_sends_again() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        let (mut subscriber, _) = Connection::with(hub.tcp_port(), &lasting(version));
        subscriber.subscribe("t", 2);
        // That the publisher sends again is of no concern to the subscriber.
        publisher.publish_and_wait(&Message::new("t", "0"));
        publisher.publish_and_wait(&Message::new("t", "1").qos(1, 1).dup());
        publisher.publish_and_wait(&Message::new("t", "2").qos(2, 1).dup());
        for payload in [b"0", b"1", b"2"] {
            let message = subscriber.receive_publish();
            assert_eq!((message.dup, &*message.payload), (false, &payload[..]));
        }
        subscriber.break_off();
        publisher.publish_and_wait(&Message::new("t", "3").qos(1, 1).dup());
        let (mut subscriber, _) = Connection::with(hub.tcp_port(), &lasting(version));
        for (dup, payload) in [(true, b"1"), (true, b"2"), (false, b"3")] {
            let message = subscriber.receive_publish();
            assert_eq!((message.dup, &*message.payload), (dup, &payload[..]));
        }
        subscriber.leave();
        // At QoS 0 nothing is sent again, so nobody can say so.
        let mut liar = Connection::new(hub.tcp_port(), version, "liar");
        liar.send(&Message::new("t", "").dup().packet(version));
        liar.expect_end(0x81);
    }
}

/// [MQTT-3.3.1-4] [v3 MQTT-3.3.1-4]
#[test]
fn there_is_no_qos_3() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut connection = Connection::new(hub.tcp_port(), version, "three");
        connection.send(&Message::new("t", "").qos(3, 1).packet(version));
        connection.expect_end(0x81);
    }
}

/// [MQTT-3.3.2-1] [v3 MQTT-3.3.2-1]
#[test]
fn the_topic_comes_first() {
    let hub = Hub::start();
    for version in VERSIONS {
        for (body, reason) in [(&b""[..], 0x81), (b"\0", 0x81), (b"\0\x05topi", 0x81)] {
            let mut connection = Connection::new(hub.tcp_port(), version, "topic");
            connection.send(&packet(0x30, body));
            connection.expect_end(reason);
        }
        // An empty one is none, unless an alias stands for it.
        let mut connection = Connection::new(hub.tcp_port(), version, "topic");
        connection.send(&Message::new("", "x").packet(version));
        connection.expect_end(0x82);
    }
}

/// [MQTT-3.3.2-2] [v3 MQTT-3.3.2-2]
#[test]
fn a_topic_has_no_wildcards() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut watcher = Connection::new(hub.tcp_port(), version, "watcher");
        watcher.subscribe("#", 2);
        for topic in ["#", "+", "a/#", "a/+/b", "a#", "a+b", "longer than eight bytes/#", "$share/g/+"] {
            for qos in 0..3 {
                let mut connection = Connection::new(hub.tcp_port(), version, "wild");
                connection.send(&Message::new(topic, "x").qos(qos, 1).packet(version));
                connection.expect_end(0x90);
            }
        }
        watcher.ping();
    }
}

/// [MQTT-3.3.2-3] [v3 MQTT-3.3.2-3]
#[test]
fn a_message_comes_under_a_topic_that_the_filter_matches() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        for (filter, matching, others) in [
            ("a/b", &["a/b"][..], &["a", "a/b/", "/a/b", "A/b"][..]),
            ("a/+", &["a/", "a/b"], &["a", "a/b/c"]),
            ("a/#", &["a", "a/", "a/b/c"], &["ab", "/a"]),
            ("+", &["a"], &["/a", "a/"]),
        ] {
            let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
            subscriber.subscribe(filter, 1);
            for topic in others.iter().chain(matching) {
                publisher.publish(topic, topic.as_bytes());
                publisher.publish_and_wait(&Message::new(topic, topic).qos(1, 1));
            }
            for topic in matching.iter().flat_map(|topic| [topic, topic]) {
                let message = subscriber.receive_and_ack();
                assert_eq!((&*message.topic, &*message.payload), (*topic, topic.as_bytes()));
            }
            subscriber.ping();
        }
    }
}

/// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn properties_reach_every_subscriber_unaltered() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let lasting = Connect::new(5, "away").resume().session_expiry_s(60);
    let mut away = Connection::with(hub.tcp_port(), &lasting).0;
    away.subscribe("t", 2);
    away.break_off();
    // Two that get the same bytes, one whose packet is its own, one that shares, one before MQTT 5.
    let subscribers = ["one", "two", "own", "shares"].map(|name| {
        let mut subscriber = Connection::new(hub.tcp_port(), 5, name);
        let properties: &[u8] = if name == "own" { &[id::SUBSCRIPTION_ID, 1] } else { &[] };
        subscriber.subscribe_with(properties, &[(if name == "shares" { "$share/g/t" } else { "t" }, 2)]);
        subscriber
    });
    let mut old = Connection::new(hub.tcp_port(), 4, "old");
    old.subscribe("t", 2);
    let mut subscribers = Vec::from(subscribers);
    let formats = [None, Some(0), Some(1)];
    for (qos, format) in (0..3).flat_map(|qos| formats.map(|format| (qos, format))) {
        let pairs = [("z", "1"), ("a", "2"), ("z", "1"), ("", ""), ("z", "0")];
        let mut message = Message::new("t", "\u{feff}text").qos(qos, 1);
        for (name, value) in &pairs[..2] {
            message = message.property(pair(name, value));
        }
        if let Some(format) = format {
            message = message.property(number(id::PAYLOAD_FORMAT, format));
        }
        message = message
            .property(text(id::RESPONSE_TOPIC, "answers/\u{1F340}"))
            .property(text(id::CORRELATION_DATA, [0, 1, 0xFF, 0xED, 0xA0, 0x80]))
            .property(text(id::CONTENT_TYPE, "text/plain; charset=\u{fc}"));
        for (name, value) in &pairs[2..] {
            message = message.property(pair(name, value));
        }
        publisher.publish_and_wait(&message);
        let received: Vec<Publish> = subscribers.iter_mut().map(Connection::receive_and_ack).collect();
        let (mut back, _) = Connection::with(hub.tcp_port(), &lasting);
        let late = (qos > 0).then(|| back.receive_and_ack());
        back.ping();
        back.break_off();
        for message in received.iter().chain(&late) {
            let properties = &message.properties;
            assert_eq!(properties.number(id::PAYLOAD_FORMAT), format);
            assert_eq!(properties.text(id::RESPONSE_TOPIC), Some("answers/\u{1F340}"));
            assert_eq!(properties.bytes(id::CORRELATION_DATA), Some(&[0, 1, 0xFF, 0xED, 0xA0, 0x80][..]));
            assert_eq!(properties.text(id::CONTENT_TYPE), Some("text/plain; charset=\u{fc}"));
            assert_eq!(properties.pairs(), pairs);
            assert_eq!(properties.number(id::MESSAGE_EXPIRY), None);
            assert_eq!(
                (&*message.topic, &*message.payload, message.qos),
                ("t", "\u{feff}text".as_bytes(), qos)
            );
        }
        // What MQTT 3 has no place for is left out, and nothing else.
        assert_eq!(old.receive_and_ack().payload, "\u{feff}text".as_bytes());
    }
}

/// An empty correlation data or content type is one that was sent (section 3.3.2.3).
#[test]
fn empty_properties_are_properties() {
    let hub = Hub::start();
    let mut connection = Connection::new(hub.tcp_port(), 5, "empty");
    connection.subscribe("t", 0);
    let message = Message::new("t", "")
        .property(text(id::CORRELATION_DATA, ""))
        .property(text(id::CONTENT_TYPE, ""))
        .property(number(id::MESSAGE_EXPIRY, u32::MAX));
    connection.send(&message.packet(5));
    let properties = connection.receive_publish().properties;
    assert_eq!(properties.bytes(id::CORRELATION_DATA), Some(&[][..]));
    assert_eq!(properties.text(id::CONTENT_TYPE), Some(""));
    assert_eq!(properties.number(id::MESSAGE_EXPIRY), Some(u32::MAX));
    // The payload need not be what the format says: the hub may look, and does not.
    connection.send(&Message::new("t", [0xFF]).property(number(id::PAYLOAD_FORMAT, 1)).packet(5));
    assert_eq!(connection.receive_publish().payload, [0xFF]);
}

/// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn a_message_expires_while_it_waits() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let connect = Connect::new(5, "away").resume().session_expiry_s(60);
    let mut away = Connection::with(hub.tcp_port(), &connect).0;
    away.subscribe("t", 2);
    away.break_off();
    for (payload, expiry_s, qos) in
        [("a", Some(1), 1), ("b", Some(100), 1), ("c", Some(1), 2), ("d", None, 1)]
    {
        let message = Message::new("t", payload).qos(qos, 1);
        let expiry = |seconds| number(id::MESSAGE_EXPIRY, seconds);
        publisher.publish_and_wait(&expiry_s.map_or(message.clone(), |s| message.property(expiry(s))));
    }
    // Time has to pass; how much more than this passes is of no matter.
    std::thread::sleep(Duration::from_millis(1100));
    let (mut away, _) = Connection::with(hub.tcp_port(), &connect);
    let (b, d) = (away.receive_and_ack(), away.receive_and_ack());
    assert_eq!((&*b.payload, &*d.payload), (&b"b"[..], &b"d"[..]));
    let left_s = b.properties.number(id::MESSAGE_EXPIRY).expect("what is left");
    assert!((1..100).contains(&left_s), "{left_s}");
    assert_eq!(d.properties.number(id::MESSAGE_EXPIRY), None);
    away.ping();
    // What has not waited has all of its time left, at each QoS.
    for qos in 0..3 {
        publisher
            .publish_and_wait(&Message::new("t", "").qos(qos, 1).property(number(id::MESSAGE_EXPIRY, 100)));
        let left_s = away.receive_and_ack().properties.number(id::MESSAGE_EXPIRY);
        assert!(left_s.is_some_and(|left_s| (90..=100).contains(&left_s)), "{left_s:?}");
    }
}

/// [MQTT-3.3.2-7]
#[test]
fn topic_aliases_end_with_the_connection() {
    let hub = Hub::start();
    let mut watcher = Connection::new(hub.tcp_port(), 5, "watcher");
    watcher.subscribe("#", 0);
    let connect = Connect::new(5, "alias").resume().session_expiry_s(60);
    let connect = connect.property(number(id::TOPIC_ALIAS_MAX, 5));
    let (mut first, _) = Connection::with(hub.tcp_port(), &connect);
    first.send(&Message::new("t", "named").alias(1).packet(5));
    first.send(&Message::new("", "short").alias(1).packet(5));
    for payload in [&b"named"[..], b"short"] {
        let message = watcher.receive_publish();
        assert_eq!((&*message.topic, &*message.payload), ("t", payload));
    }
    first.subscribe("own", 1);
    first.publish("own", b"");
    assert_eq!(first.receive_publish().properties.number(id::TOPIC_ALIAS), Some(1));
    assert_eq!(watcher.receive_publish().topic, "own");
    first.break_off();
    let (mut second, answer) = Connection::with(hub.tcp_port(), &connect);
    assert_eq!(answer.flags, 1);
    // The hub's aliases begin anew as well: the topic goes along.
    second.publish("own", b"");
    assert_eq!(second.receive_publish().topic, "own");
    second.send(&Message::new("", "short").alias(1).packet(5));
    second.expect_end(0x82);
    assert_eq!(watcher.receive_publish().topic, "own");
    watcher.ping();
}

/// [MQTT-3.3.2-8] [MQTT-3.3.2-9] [MQTT-3.2.2-17] [MQTT-3.3.2-12]
#[test]
fn topic_aliases_go_from_1_to_the_maximum() {
    let hub = Hub::start();
    let (mut connection, answer) = Connection::with(hub.tcp_port(), &Connect::new(5, "alias"));
    let max = answer.properties.number(id::TOPIC_ALIAS_MAX).expect("a maximum") as u16;
    connection.subscribe("#", 1);
    for alias in 1..=max {
        connection.send(&Message::new(format!("t/{alias}"), "").alias(alias).packet(5));
        assert_eq!(connection.receive_publish().topic, format!("t/{alias}"));
    }
    for alias in (1..=max).rev() {
        connection.send(&Message::new("", "").alias(alias).packet(5));
        assert_eq!(connection.receive_publish().topic, format!("t/{alias}"));
    }
    // Another topic may take an alias over, at any QoS.
    for topic in ["other", ""] {
        connection.send(&Message::new(topic, "").qos(1, 1).alias(max).packet(5));
        let message = connection.receive_and_ack();
        assert_eq!((&*message.topic, message.qos), ("other", 1));
        connection.receive().ack(0x40);
    }
    for alias in [0, max + 1, u16::MAX] {
        for topic in ["t", ""] {
            let mut connection = Connection::new(hub.tcp_port(), 5, "wrong");
            connection.send(&Message::new(topic, "").alias(alias).packet(5));
            connection.expect_end(0x94);
        }
    }
    let mut connection = Connection::new(hub.tcp_port(), 5, "unknown");
    connection.send(&Message::new("", "").alias(max).packet(5));
    connection.expect_end(0x82);
}

/// [MQTT-3.2.2-18]
#[test]
fn a_hub_that_takes_no_topic_alias_says_so_and_gets_none() {
    let hub = Hub::with_config(&format!("{}\n[limits]\ntopic_alias_max = 0\n", trefoil_tests::CONFIG));
    let (mut connection, answer) = Connection::with(hub.tcp_port(), &Connect::new(5, "alias"));
    assert_eq!(answer.properties.number(id::TOPIC_ALIAS_MAX), None);
    connection.send(&Message::new("t", "").alias(1).packet(5));
    connection.expect_end(0x94);
}

/// [MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19]
#[test]
fn a_response_topic_is_a_topic() {
    let hub = Hub::start();
    for topic in ["#", "a/+", "longer than eight bytes/#", ""] {
        let mut connection = Connection::new(hub.tcp_port(), 5, "response");
        connection.send(&Message::new("t", "").property(text(id::RESPONSE_TOPIC, topic)).packet(5));
        connection.expect_end(0x82);
    }
    for property in [id::RESPONSE_TOPIC, id::CONTENT_TYPE] {
        let mut connection = Connection::new(hub.tcp_port(), 5, "response");
        connection.send(&Message::new("t", "").property(text(property, b"a\xFF")).packet(5));
        connection.expect_end(0x81);
    }
    let mut connection = Connection::new(hub.tcp_port(), 5, "format");
    connection.send(&Message::new("t", "").property(number(id::PAYLOAD_FORMAT, 2)).packet(5));
    connection.expect_end(0x82);
}

/// [MQTT-3.3.4-1] [v3 MQTT-3.3.4-1]
#[test]
fn each_qos_has_its_answer() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut connection = Connection::new(hub.tcp_port(), version, "answers");
        connection.publish("t", b"");
        connection.ping();
        connection.send(&Message::new("t", "").qos(1, 1).packet(version));
        connection.receive().ack(0x40);
        connection.send(&Message::new("t", "").qos(2, 1).packet(version));
        connection.receive().ack(0x50);
        connection.send(&ack(0x62, 1));
        connection.receive().ack(0x70);
        connection.ping();
    }
}

/// [v3 MQTT-3.3.5-2]
#[test]
fn before_mqtt_5_what_is_not_allowed_is_acknowledged_all_the_same() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut watcher = Connection::new(hub.tcp_port(), version, "watcher");
        watcher.subscribe("$SYS/x", 0);
        let mut connection = Connection::new(hub.tcp_port(), version, "forbidden");
        connection.publish("$SYS/x", b"");
        connection.send(&Message::new("$SYS/x", "").qos(1, 1).packet(version));
        assert_eq!(connection.receive().ack(0x40).reason, if version == 5 { 0x87 } else { 0 });
        connection.send(&Message::new("$SYS/x", "").qos(2, 1).packet(version));
        assert_eq!(connection.receive().ack(0x50).reason, if version == 5 { 0x87 } else { 0 });
        connection.ping();
        watcher.ping();
    }
}

/// [MQTT-3.3.4-2] [v3 MQTT-3.3.5-1] [MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]
#[test]
fn overlapping_subscriptions_have_one_message_at_the_highest_qos() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        for order in [[0, 2, 1], [2, 1, 0], [1, 0, 2]] {
            let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
            for (filter, qos) in ["a/#", "a/+", "a/b"].into_iter().zip(order) {
                subscriber.subscribe(filter, qos);
            }
            for qos in 0..3 {
                publisher.publish_and_wait(&Message::new("a/b", "x").qos(qos, 1));
                assert_eq!(subscriber.receive_and_ack().qos, qos);
                subscriber.ping();
            }
            subscriber.leave();
        }
    }
    // The identifiers of all that match, and of no others; some subscriptions have none.
    let mut subscriber = Connection::new(hub.tcp_port(), 5, "subscriber");
    for (filter, qos, subscription_id) in
        [("a/#", 1, 7), ("a/+", 2, 268_435_455), ("a/b", 0, 7), ("+/b", 0, 0), ("b", 2, 3), ("a/b/c", 1, 4)]
    {
        let property = number(id::SUBSCRIPTION_ID, subscription_id);
        let properties: &[u8] = if subscription_id > 0 { &property } else { &[] };
        subscriber.subscribe_with(properties, &[(filter, qos)]);
    }
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for (topic, expected) in
        [("a/b", &[7, 7, 268_435_455][..]), ("b", &[3]), ("a/b/c", &[4, 7]), ("c/b", &[])]
    {
        for (qos, retain) in [(0, false), (0, true), (1, false), (2, true)] {
            let message = Message::new(topic, "x").qos(qos, 1);
            publisher.publish_and_wait(&if retain { message.retain() } else { message });
            let message = subscriber.receive_and_ack();
            let mut ids = message.properties.numbers(id::SUBSCRIPTION_ID);
            ids.sort_unstable();
            // Once is enough for two subscriptions with the same identifier.
            let mut once = expected.to_vec();
            once.dedup();
            assert!(ids == expected || ids == once, "{ids:?} for {topic}");
            assert!(message.qos <= qos);
            subscriber.ping();
        }
    }
}

/// [MQTT-3.3.4-6], also in the midst of messages that are right.
#[test]
fn a_client_publishes_no_subscription_identifiers() {
    let hub = Hub::start();
    let mut watcher = Connection::new(hub.tcp_port(), 5, "watcher");
    watcher.subscribe("t", 0);
    let identified = |qos| Message::new("t", "wrong").qos(qos, 1).property([id::SUBSCRIPTION_ID, 1]);
    for qos in 0..3 {
        let mut connection = Connection::new(hub.tcp_port(), 5, "identified");
        connection.send(&identified(qos).packet(5));
        connection.expect_end(0x82);
    }
    let mut connection = Connection::new(hub.tcp_port(), 5, "identified");
    connection.send(&[Message::new("t", "right").packet(5), identified(0).packet(5)].concat());
    connection.expect_end(0x82);
    assert_eq!(watcher.receive_publish().payload, b"right");
    watcher.ping();
}

/// A topic that is well-formed and not accepted (section 3.4.2.1, 3.5.2.1 of 5.0) is refused with its message, and the
/// connection goes on. Before that the server acknowledges [v3 MQTT-3.3.5-2].
#[test]
fn a_message_to_a_topic_that_is_too_deep_is_refused_alone() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\ntopic_levels_max = 3\n"));
    for version in VERSIONS {
        let before = hub.metric("trefoil_messages_refused_total ");
        let mut watcher = Connection::new(hub.tcp_port(), version, "watcher");
        watcher.subscribe("#", 2);
        let mut connection = Connection::new(hub.tcp_port(), version, "deep");
        for (topic, is_taken) in [("a/b/c", true), ("a/b/c/d", false), ("a/b/c", true), ("////", false)] {
            for qos in 0..3 {
                let plain = Message::new(topic, "x");
                let messages = if is_taken { vec![plain] } else { vec![plain.clone(), plain.retain()] };
                for message in messages {
                    connection.send(&message.qos(qos, 7).packet(version));
                    let refused = if version == 5 && !is_taken { 0x90 } else { 0 };
                    match qos {
                        0 => connection.ping(),
                        1 => assert_eq!(connection.receive().ack(0x40).reason, refused),
                        _ => {
                            let answer = connection.receive().ack(0x50);
                            assert_eq!(answer.reason, refused);
                            if version == 5 && !is_taken {
                                let why = answer.properties.text(id::REASON_STRING).unwrap();
                                assert!(why.contains("3 levels"), "{why}");
                            } else {
                                connection.send(&ack(0x62, 7));
                                connection.receive().ack(0x70);
                            }
                        }
                    }
                    if is_taken {
                        assert_eq!(watcher.receive_and_ack().topic, topic);
                    }
                }
            }
        }
        watcher.ping();
        assert_eq!(hub.metric("trefoil_messages_refused_total ") - before, 12);
    }
    // An alias may stand for it, and is no longer what it was.
    let mut watcher = Connection::new(hub.tcp_port(), 5, "watcher");
    watcher.subscribe("alias/#", 0);
    let mut connection = Connection::new(hub.tcp_port(), 5, "deep");
    for (topic, refused) in
        [("alias/b", 0), ("", 0), ("alias/b/c/d", 0x90), ("", 0x90), ("alias/e", 0), ("", 0)]
    {
        connection.send(&Message::new(topic, "x").qos(1, 7).alias(1).packet(5));
        assert_eq!(connection.receive().ack(0x40).reason, refused, "{topic:?}");
    }
    for topic in ["alias/b", "alias/b", "alias/e", "alias/e"] {
        assert_eq!(watcher.receive_publish().topic, topic);
    }
    watcher.ping();
}
