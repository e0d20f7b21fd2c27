//! SUBSCRIBE and SUBACK: sections 3.8 and 3.9.

use trefoil_tests::mqtt::property::{any, id, number};
use trefoil_tests::mqtt::{
    Connect, Connection, Message, Publish, VERSIONS, Will, packet, string, subscribe_with,
};
use trefoil_tests::{CONFIG, Hub};

/// Subscription options.
const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;
const RETAIN_HANDLING: u8 = 0x10;

/// A hub that takes filters of at most three levels: a fourth makes a filter well-formed and yet refused.
fn shallow() -> Hub {
    Hub::with_config(&format!("{CONFIG}\n[limits]\ntopic_levels_max = 3\n"))
}

fn payload(message: &Publish) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

/// [MQTT-3.8.1-1] [v3 MQTT-3.8.1-1] The flags are 0010; MQTT 3.1 knows DUP beside them.
#[test]
fn the_flags_are_fixed() {
    let hub = Hub::start();
    for version in VERSIONS {
        let right = subscribe_with(version, 1, &[], &[("t", 0)]);
        for flags in (0..16).filter(|flags| *flags != 2 && (version, *flags) != (3, 10)) {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.offer(&[&[0x80 | flags], &right[1..]].concat());
            client.expect_end(0x81);
        }
    }
}

/// [MQTT-3.8.3-1] [v3 MQTT-3.8.3-1] Filters are well-formed UTF-8, without U+0000.
#[test]
fn filters_are_utf8() {
    let hub = Hub::start();
    let bad: [&[u8]; 4] = [&[b'a', 0xff], &[0xed, 0xa0, 0x80], &[0xc0, 0xaf], b"a\0b"];
    for version in VERSIONS {
        for filter in bad {
            let properties: &[u8] = if version == 5 { &[0] } else { &[] };
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.offer(&packet(0x82, &[&[0, 1], properties, &string(filter), &[0]].concat()));
            client.expect_end(0x81);
        }
    }
}

/// [MQTT-3.8.3-2] [v3 MQTT-3.8.3-3] There is at least one filter, and every filter has its options.
#[test]
fn there_is_a_filter() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.offer(&subscribe_with(version, 1, &[], &[]));
        client.expect_end(0x82);
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.offer(&packet(0x82, &[&[0, 1], properties, &string("a")].concat()));
        client.expect_end(0x81);
    }
}

/// [v3 MQTT-3.8.3-2] Filters with wildcards are taken, and match.
#[test]
fn wildcards_are_supported() {
    let hub = Hub::start();
    for version in VERSIONS {
        for filter in ["+", "#", "a/+", "a/#", "+/b", "+/+", "+/#", "a/b/#", "/+", "+/"] {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            let topic = match filter {
                "+" => "a",
                "/+" => "/b",
                "+/" => "a/",
                _ => "a/b",
            };
            client.subscribe(filter, 0);
            client.publish(topic, b"x");
            assert_eq!(client.receive_publish().topic, topic, "{filter}");
        }
    }
}

/// [MQTT-3.8.3-3] With no-local a client does not get what it publishes itself, by whatever QoS; it gets what others do.
#[test]
fn no_local_leaves_out_the_own_messages() {
    let hub = Hub::start();
    for qos in 0..3 {
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        let mut other = Connection::new(hub.tcp_port(), 5, "other");
        assert_eq!(client.subscribe_with(&[], &[("t", NO_LOCAL | 2), ("fence", 2)]).codes, [2, 2]);
        client.publish_and_wait(&Message::new("t", "own").qos(qos, 1));
        client.send(&Message::new("fence", "own").packet(5));
        assert_eq!(client.receive_publish().topic, "fence", "at QoS {qos} the own message comes not");
        other.publish_and_wait(&Message::new("t", "other").qos(qos, 1));
        assert_eq!(payload(&client.receive_and_ack()), "other");
    }
}

/// [MQTT-3.8.3-3] Nor does it get its own will, when it has come back by then: a will belongs to the client id too.
#[test]
fn no_local_leaves_out_the_own_will() {
    let hub = Hub::start();
    let connect = Connect::new(5, "client").session_expiry_s(3600).will(Will::new("t", "own").qos(1));
    let mut client = Connection::with(hub.tcp_port(), &connect).0;
    client.subscribe_with(&[], &[("t", NO_LOCAL | 1)]);
    client.break_off();
    let again = Connect::new(5, "client").resume().session_expiry_s(3600);
    let (mut client, answer) = Connection::with(hub.tcp_port(), &again);
    assert_eq!(answer.flags, 1);
    let mut other = Connection::new(hub.tcp_port(), 5, "other");
    other.publish_and_wait(&Message::new("t", "other").qos(1, 1));
    assert_eq!(payload(&client.receive_publish()), "other");
}

/// [MQTT-3.8.3-3] Nor what it has published to be retained, on whichever of its connections.
#[test]
fn no_local_leaves_out_the_own_retained_messages() {
    let hub = Hub::start();
    let mut other = Connection::new(hub.tcp_port(), 5, "other");
    other.publish_and_wait(&Message::new("t/other", "other").qos(1, 1).retain());
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    client.publish_and_wait(&Message::new("t/own", "own").qos(1, 1).retain());
    client.leave();
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    for (options, topics) in [(NO_LOCAL, &["t/other"][..]), (0, &["t/other", "t/own"])] {
        client.subscribe_with(&[], &[("t/#", options)]);
        topics.iter().for_each(|topic| assert_eq!(client.receive_publish().topic, *topic));
        client.ping();
    }
    // Once somebody else has replaced it, it is not its own any more.
    other.publish_and_wait(&Message::new("t/own", "not its own").qos(1, 1).retain());
    client.receive_publish();
    client.subscribe_with(&[], &[("t/own", NO_LOCAL)]);
    assert_eq!(payload(&client.receive_publish()), "not its own");
}

/// [MQTT-3.8.3-4] [MQTT-4.13.1-1] No-local and a shared subscription do not go together.
#[test]
fn no_local_on_a_shared_subscription_is_an_error() {
    let hub = Hub::start();
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    client.offer(&subscribe_with(5, 1, &[], &[("$share/g/t", NO_LOCAL | 1)]));
    client.expect_end(0x82);
}

/// [MQTT-3.8.3-5] Reserved bits of the options are 0; QoS 3 and retain handling 3 do not exist.
#[test]
fn options_that_do_not_exist_are_refused() {
    let hub = Hub::start();
    for (options, reason) in [(0x40, 0x81), (0x80, 0x81), (0xC0, 0x81), (0x03, 0x82), (0x30, 0x82)] {
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.offer(&subscribe_with(5, 1, &[], &[("fine", 0), ("t", options)]));
        client.expect_end(reason);
    }
    // Before MQTT 5 there is the QoS and nothing else.
    for version in [3, 4] {
        for options in [0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.offer(&subscribe_with(version, 1, &[], &[("t", options)]));
            client.expect_end(0);
        }
    }
}

/// [MQTT-3.8.4-1] [MQTT-3.8.4-2] [v3 MQTT-3.8.4-1] [v3 MQTT-3.8.4-2] Each SUBSCRIBE gets a SUBACK with its packet id.
#[test]
fn every_subscribe_is_answered_with_its_id() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        let ids = [1, 2, 0x0102, 0xff00, 65_535, 1];
        for packet_id in ids {
            client.send(&subscribe_with(version, packet_id, &[], &[("t", 0)]));
        }
        for packet_id in ids {
            let answer = client.receive();
            assert_eq!((answer.first_byte, answer.suback().packet_id), (0x90, packet_id));
        }
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.offer(&subscribe_with(version, 0, &[], &[("t", 0)]));
        client.expect_end(0x81);
    }
}

/// [MQTT-3.8.4-3] A second subscription to the same filter takes the place of the first: its QoS, its options and its
/// identifier hold from then on, and messages come once.
#[test]
fn the_same_filter_replaces_its_subscription() {
    let hub = Hub::start();
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    client.subscribe_with(&number(id::SUBSCRIPTION_ID, 1), &[("t", NO_LOCAL)]);
    client.subscribe_with(&number(id::SUBSCRIPTION_ID, 2), &[("t", 2)]);
    client.send(&Message::new("t", "first").qos(1, 1).packet(5));
    let packets = [client.receive(), client.receive()];
    let message = packets.iter().find(|p| p.first_byte >> 4 == 3).expect("no-local is gone").publish();
    assert_eq!((message.qos, message.properties.numbers(id::SUBSCRIPTION_ID)), (1, vec![2]));
    client.subscribe_with(&[], &[("t", 0)]);
    client.publish("t", b"second");
    let message = client.receive_publish();
    assert_eq!((message.qos, message.properties.is_empty()), (0, true));
    client.ping();
}

/// [MQTT-3.8.4-4] Nothing is lost and nothing comes twice while a subscription is replaced again and again.
#[test]
fn replacing_a_subscription_loses_nothing() {
    const MESSAGES: u32 = 2000;
    let hub = Hub::start();
    for version in VERSIONS {
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.subscribe("t/#", 1);
        let port = hub.tcp_port();
        let publisher = std::thread::spawn(move || {
            let mut publisher = Connection::new(port, version, "publisher");
            for number in 0..MESSAGES {
                publisher.send(&Message::new("t", number.to_string()).qos(1, 1).packet(version));
                publisher.receive().ack(0x40);
            }
        });
        let mut expected = 0;
        while expected < MESSAGES {
            let packet = subscriber.receive();
            if packet.first_byte == 0x90 {
                continue;
            }
            let message = packet.publish();
            assert_eq!(payload(&message), expected.to_string(), "version {version}");
            expected += 1;
            let again = subscribe_with(version, 1, &[], &[("t/#", 1 + (expected % 2) as u8)]);
            subscriber.send(&[trefoil_tests::mqtt::ack(0x40, message.packet_id), again].concat());
        }
        publisher.join().unwrap();
    }
}

/// [MQTT-3.8.4-4] Retained messages come by the retain handling: 0 always, 1 only if the subscription is new, 2 never.
/// Before MQTT 5 they always come.
#[test]
fn retained_messages_come_as_the_retain_handling_says() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.publish_and_wait(&Message::new("t", "kept").qos(1, 1).retain());
        let mut comes = |filter: &str, options: u8| {
            client.send(&subscribe_with(version, 1, &[], &[(filter, options)]));
            client.receive().suback();
            client.send(&[0xC0, 0]);
            let packet = client.receive();
            if packet.first_byte == 0xD0 {
                return false;
            }
            let message = packet.publish();
            assert!(message.retain && payload(&message) == "kept");
            assert_eq!(client.receive().first_byte, 0xD0, "it comes once");
            true
        };
        assert!(comes("t", 0) && comes("t", 0), "new, and again");
        if version == 5 {
            assert!(!comes("t", RETAIN_HANDLING), "there already");
            assert!(comes("+", RETAIN_HANDLING), "new");
            assert!(!comes("+", RETAIN_HANDLING | RETAIN_AS_PUBLISHED), "new options do not make it new");
            assert!(!comes("#", 2 * RETAIN_HANDLING) && !comes("#", 2 * RETAIN_HANDLING));
            assert!(comes("#", 0));
        }
    }
}

/// [MQTT-3.8.4-4] A connection that breaks while retained messages are on their way loses none of them: the session goes on
/// with them, though its client does not ask again; if it does, they come from the start.
#[test]
fn retained_messages_go_on_after_a_broken_connection() {
    const MESSAGES: usize = 300;
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for number in 0..MESSAGES {
        publisher.publish_and_wait(&Message::new(format!("t/{number:03}"), "x").qos(1, 1).retain());
    }
    for version in VERSIONS {
        let connect = Connect::new(version, "client").resume().session_expiry_s(3600);
        let connect = connect.property(number(id::RECEIVE_MAX, 10));
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.subscribe("t/#", 1);
        let mut expected = 0;
        while expected < MESSAGES {
            for _ in 0..37.min(MESSAGES - expected) {
                assert_eq!(client.receive_and_ack().topic, format!("t/{expected:03}"), "version {version}");
                expected += 1;
            }
            // So that the acknowledgements have been seen.
            client.send(&[0xC0, 0]);
            while client.receive().first_byte != 0xD0 {}
            client.break_off();
            client = Connection::with(hub.tcp_port(), &connect).0;
        }
        client.ping();
        client.leave();
        Connection::new(hub.tcp_port(), version, "client").leave();
    }
}

/// [MQTT-3.8.4-5] [v3 MQTT-3.8.4-4] Many filters in one packet are as many packets with one each: retained messages come
/// for each of them, the last of the same filter holds, and there is one answer.
#[test]
fn several_filters_are_as_several_packets() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.publish_and_wait(&Message::new("t/1", "kept").qos(1, 1).retain());
        client.send(&subscribe_with(version, 8, &[], &[("t/1", 1), ("+/1", 0), ("t/1", 0)]));
        let answer = client.receive().suback();
        assert_eq!((answer.packet_id, answer.codes), (8, vec![1, 0, 0]));
        for qos in [1, 0, 0] {
            let message = client.receive_and_ack();
            assert_eq!((message.qos, message.retain), (qos, true));
        }
        client.ping();
        client.send(&Message::new("t/1", "new").qos(1, 1).packet(version));
        let packets = [client.receive(), client.receive()];
        let message = packets.iter().find(|p| p.first_byte >> 4 == 3).expect("it comes").publish();
        assert_eq!((message.qos, payload(&message)), (0, "new"), "the later QoS of t/1 holds");
        client.ping();
    }
}

/// [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2] [v3 MQTT-3.9.3-1] [v3 MQTT-3.9.3-2] SUBACK has a code for
/// each filter, in their order: the QoS that was granted, or that it failed and, in MQTT 5, why.
#[test]
fn every_filter_has_its_code() {
    let hub = shallow();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        let filters = [("a", 2), ("b/c/d/e", 2), ("c", 0), ("d/#", 1), ("+/+/+/+", 0), ("e", 2)];
        let refused = if version == 5 { 0x8F } else { 0x80 };
        assert_eq!(client.subscribe_with(&[], &filters).codes, [2, refused, 0, 1, refused, 2]);
        // What was granted holds, what was refused does not.
        client.publish("d/x", b"");
        assert_eq!(client.receive_publish().topic, "d/x");
    }
}

/// [MQTT-3.8.4-8] A message comes with its own QoS or that of the subscription, whichever is lower; retained ones too.
#[test]
fn the_lower_qos_counts() {
    let hub = Hub::start();
    for version in VERSIONS {
        for (published, wanted) in (0..3).flat_map(|p| (0..3).map(move |w| (p, w))) {
            let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
            let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
            subscriber.subscribe("t", wanted);
            publisher.publish_and_wait(&Message::new("t", "live").qos(published, 1));
            assert_eq!(subscriber.receive_and_ack().qos, published.min(wanted));
            publisher.publish_and_wait(&Message::new("kept", "kept").qos(published, 1).retain());
            subscriber.subscribe("kept", wanted);
            assert_eq!(subscriber.receive_and_ack().qos, published.min(wanted));
        }
    }
}

/// [MQTT-3.9.2-1] [MQTT-3.9.2-2] Why a filter failed is said in words, unless SUBACK so becomes larger than the client
/// takes, or the client wants no words.
#[test]
fn words_are_left_out_where_they_do_not_fit() {
    let hub = shallow();
    let answer_to = |connect: Connect| {
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.send(&subscribe_with(5, 1, &[], &[("a/b/c/d", 0)]));
        let packet = client.receive();
        (packet.bytes().len(), packet.suback())
    };
    let (with_words, answer) = answer_to(Connect::new(5, "client"));
    assert!(answer.properties.text(id::REASON_STRING).is_some_and(|words| words.contains("levels")));
    let limit = |bytes: usize| number(id::PACKET_BYTES_MAX, bytes as u32);
    let (_, answer) = answer_to(Connect::new(5, "client").property(limit(with_words)));
    assert!(!answer.properties.is_empty(), "it fits just so");
    let (bytes, answer) = answer_to(Connect::new(5, "client").property(limit(with_words - 1)));
    assert!(bytes < with_words && answer.properties.is_empty(), "{answer:?}");
    assert_eq!(answer.codes, [0x8F]);
    let silent = number(id::REQUEST_PROBLEM_INFORMATION, 0);
    assert!(answer_to(Connect::new(5, "client").property(silent)).1.properties.is_empty());
}

/// Subscription identifiers go from 1 to 268,435,455, once in a packet.
#[test]
fn subscription_identifiers_have_bounds() {
    let hub = Hub::start();
    for value in [1, 127, 128, 268_435_455] {
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.subscribe_with(&number(id::SUBSCRIPTION_ID, value), &[("t", 0)]);
        client.publish("t", b"");
        assert_eq!(client.receive_publish().properties.numbers(id::SUBSCRIPTION_ID), [value]);
    }
    let twice = [number(id::SUBSCRIPTION_ID, 1), number(id::SUBSCRIPTION_ID, 1)].concat();
    let five_bytes = [id::SUBSCRIPTION_ID, 0xff, 0xff, 0xff, 0xff, 0x01].to_vec();
    for (properties, reason) in [(number(id::SUBSCRIPTION_ID, 0), 0x82), (twice, 0x82), (five_bytes, 0x81)] {
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.offer(&subscribe_with(5, 1, &properties, &[("t", 0)]));
        client.expect_end(reason);
    }
}

/// No other properties belong here.
#[test]
fn properties_of_other_packets_are_refused() {
    let hub = Hub::start();
    for property in trefoil_tests::mqtt::property::ALL {
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.offer(&subscribe_with(5, 1, &any(property), &[("t", 0)]));
        match property {
            id::SUBSCRIPTION_ID | id::USER_PROPERTY => assert_eq!(client.receive().suback().codes, [0]),
            _ => client.expect_end(0x81),
        }
    }
}

/// A message that several filters match comes once: with the highest QoS of them, the identifiers of all of them that have
/// one, and the retain flag as published if one of them wants that.
#[test]
fn overlapping_subscriptions_bring_one_copy() {
    let hub = Hub::start();
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    client.subscribe_with(&number(id::SUBSCRIPTION_ID, 3), &[("t/#", 0)]);
    client.subscribe_with(&number(id::SUBSCRIPTION_ID, 9), &[("t/+", 2), ("+/a", 1)]);
    client.subscribe_with(&[], &[("t/a", 1 | RETAIN_AS_PUBLISHED)]);
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    publisher.publish_and_wait(&Message::new("t/a", "x").qos(2, 1).retain());
    let message = client.receive_and_ack();
    let mut ids = message.properties.numbers(id::SUBSCRIPTION_ID);
    ids.sort_unstable();
    // The two filters of the second packet have its identifier each.
    assert_eq!((message.qos, message.retain, ids), (2, true, vec![3, 9, 9]));
    client.ping();
    publisher.publish_and_wait(&Message::new("t/b/c", "x").qos(2, 1));
    let message = client.receive_publish();
    assert_eq!((message.qos, message.properties.numbers(id::SUBSCRIPTION_ID)), (0, vec![3]));
}
