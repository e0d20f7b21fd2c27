//! UNSUBSCRIBE and UNSUBACK: sections 3.10 and 3.11.

use trefoil_tests::mqtt::property::{any, id, number};
use trefoil_tests::mqtt::{Connect, Connection, Message, VERSIONS, ack, packet, string, unsubscribe_with};
use trefoil_tests::{CONFIG, Hub};

/// Ends subscriptions and gives the codes of the answer, of which MQTT 3 has none.
fn unsubscribe(client: &mut Connection, version: u8, filters: &[&str]) -> Vec<u8> {
    client.send(&unsubscribe_with(version, 5, &[], filters));
    let answer = client.receive();
    assert_eq!((answer.first_byte, answer.suback().packet_id), (0xB0, 5));
    answer.suback().codes
}

/// The codes as this version has them.
fn codes(version: u8, codes: &[u8]) -> Vec<u8> {
    if version == 5 { codes.to_vec() } else { Vec::new() }
}

/// [MQTT-3.10.1-1] [v3 MQTT-3.10.1-1] The flags are 0010; MQTT 3.1 knows DUP beside them.
#[test]
fn the_flags_are_fixed() {
    let hub = Hub::start();
    for version in VERSIONS {
        let right = unsubscribe_with(version, 1, &[], &["t"]);
        for flags in (0..16).filter(|flags| *flags != 2 && (version, *flags) != (3, 10)) {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.offer(&[&[0xA0 | flags], &right[1..]].concat());
            client.expect_end(0x81);
        }
    }
}

/// [MQTT-3.10.3-1] [v3 MQTT-3.10.3-1] Filters are well-formed UTF-8, without U+0000, one behind the other.
#[test]
fn filters_are_utf8() {
    let hub = Hub::start();
    let bad: [&[u8]; 4] = [&[b'a', 0xff], &[0xed, 0xa0, 0x80], &[0xc0, 0xaf], b"a\0b"];
    for version in VERSIONS {
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        let mut cases: Vec<_> = bad.iter().map(string).collect();
        // A byte between two filters, and one behind the last.
        cases.push([&string("a")[..], &[7], &string("b")].concat());
        cases.push([&string("a")[..], &[0]].concat());
        for filters in cases {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.offer(&packet(0xA2, &[&[0, 1], properties, &filters].concat()));
            client.expect_end(0x81);
        }
    }
}

/// [MQTT-3.10.3-2] [v3 MQTT-3.10.3-2] There is at least one filter.
#[test]
fn there_is_a_filter() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.offer(&unsubscribe_with(version, 1, &[], &[]));
        client.expect_end(0x82);
    }
}

/// [MQTT-3.10.4-1] [v3 MQTT-3.10.4-1] Filters are compared character by character, wildcards like any other; the one that
/// is the same ends, and no other.
#[test]
fn filters_are_compared_character_by_character() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.subscribe("a/+", 0);
        for other in ["a/b", "a/#", "A/+", "a/+/", " a/+", "#", "/a/+", "$share/g/a/+"] {
            assert_eq!(unsubscribe(&mut client, version, &[other]), codes(version, &[0x11]), "{other}");
        }
        client.publish("a/b", b"still");
        assert_eq!(client.receive_publish().payload, b"still");
        assert_eq!(unsubscribe(&mut client, version, &["a/+"]), codes(version, &[0]));
        client.publish("a/b", b"no more");
        client.ping();
        assert_eq!(unsubscribe(&mut client, version, &["a/+"]), codes(version, &[0x11]));
    }
}

/// [MQTT-3.10.4-2] [v3 MQTT-3.10.4-2] Once UNSUBACK is there, no message is added, on whichever shard it is published; what
/// another filter matches still comes.
#[test]
fn nothing_new_comes_for_a_filter_that_has_ended() {
    let hub = Hub::start();
    for version in VERSIONS {
        for qos in 0..3 {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.subscribe("t/#", qos);
            client.subscribe("t/other", qos);
            unsubscribe(&mut client, version, &["t/#"]);
            for name in ["one", "two", "three", "four"] {
                let mut publisher = Connection::new(hub.tcp_port(), version, name);
                publisher.publish_and_wait(&Message::new("t/a", "no").qos(qos, 1));
                publisher.publish_and_wait(&Message::new("t/other", "yes").qos(qos, 1));
                assert_eq!(client.receive_and_ack().payload, b"yes");
            }
        }
    }
}

/// [MQTT-3.10.4-2] [v3 MQTT-3.10.4-2] Nor are retained messages that nobody has looked up yet: what has been may still come.
#[test]
fn retained_messages_stop_coming() {
    const MESSAGES: usize = 1000;
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for number in 0..MESSAGES {
        publisher.publish_and_wait(&Message::new(format!("t/{number:03}"), "x").qos(1, 1).retain());
    }
    let connect = Connect::new(5, "client").property(number(id::RECEIVE_MAX, 1));
    let mut client = Connection::with(hub.tcp_port(), &connect).0;
    client.subscribe("t/#", 1);
    client.receive_and_ack();
    client.send(&[unsubscribe_with(5, 5, &[], &["t/#"]), vec![0xC0, 0]].concat());
    let mut came = 1;
    // One message for each acknowledgement, before the answer to the ping behind it, until there are no more.
    loop {
        let before_pong = std::iter::from_fn(|| Some(client.receive()).filter(|p| p.first_byte != 0xD0));
        let messages: Vec<_> = before_pong.filter(|p| p.first_byte != 0xB0).collect();
        let [message] = &messages[..] else { break };
        came += 1;
        client.send(&[ack(0x40, message.publish().packet_id), vec![0xC0, 0]].concat());
    }
    assert!(came < MESSAGES / 2, "{came} came");
}

/// [MQTT-3.10.4-3] [v3 MQTT-3.10.4-3] What is in flight is brought to its end, also on a later connection.
#[test]
fn what_is_in_flight_is_completed() {
    let hub = Hub::start();
    for version in VERSIONS {
        let durable = Connect::new(version, "client").resume().session_expiry_s(3600);
        let mut client = Connection::with(hub.tcp_port(), &durable).0;
        client.subscribe("t", 2);
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        publisher.publish_and_wait(&Message::new("t", "one").qos(1, 1));
        publisher.publish_and_wait(&Message::new("t", "two").qos(2, 2));
        let (one, two) = (client.receive_publish(), client.receive_publish());
        unsubscribe(&mut client, version, &["t"]);
        client.break_off();
        let mut client = Connection::with(hub.tcp_port(), &durable).0;
        for sent in [one, two] {
            let again = client.receive_and_ack();
            assert_eq!(
                (again.dup, again.packet_id, again.qos, again.payload),
                (true, sent.packet_id, sent.qos, sent.payload)
            );
        }
        client.ping();
        client.leave();
        let mut client = Connection::with(hub.tcp_port(), &durable).0;
        client.ping();
        client.leave();
        // The session is not needed by the next version.
        Connection::new(hub.tcp_port(), version, "client").leave();
    }
}

/// [MQTT-3.10.4-4] [MQTT-3.10.4-5] [v3 MQTT-3.10.4-4] [v3 MQTT-3.10.4-5] Each UNSUBSCRIBE gets an UNSUBACK with its packet
/// id, also when there was nothing to end.
#[test]
fn every_unsubscribe_is_answered_with_its_id() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.subscribe("t", 0);
        let ids = [1, 2, 0x0102, 65_535, 1];
        for packet_id in ids {
            client.send(&unsubscribe_with(version, packet_id, &[], &["t"]));
        }
        for packet_id in ids {
            let answer = client.receive();
            assert_eq!((answer.first_byte, answer.suback().packet_id), (0xB0, packet_id));
        }
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.offer(&unsubscribe_with(version, 0, &[], &["t"]));
        client.expect_end(0x81);
    }
}

/// [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2] [v3 MQTT-3.10.4-6] Many filters in one packet are as many packets with
/// one each, but with one answer, which has a code for each of them in their order.
#[test]
fn several_filters_are_as_several_packets() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\ntopic_levels_max = 3\n"));
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.subscribe_with(&[], &[("a", 0), ("b/#", 0), ("c", 0), ("$share/g/d", 0)]);
        let filters = ["a", "never", "b/#", "a", "1/2/3/4", "$share/g/d"];
        let found = unsubscribe(&mut client, version, &filters);
        assert_eq!(found, codes(version, &[0, 0x11, 0, 0x11, 0x8F, 0]));
        for topic in ["a", "b", "b/x", "d"] {
            client.publish(topic, b"no");
        }
        client.publish("c", b"yes");
        assert_eq!(client.receive_publish().payload, b"yes");
        client.ping();
    }
}

/// [MQTT-3.11.2-1] [MQTT-3.11.2-2] Why a filter failed is said in words, unless UNSUBACK so becomes larger than the client
/// takes.
#[test]
fn words_are_left_out_where_they_do_not_fit() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\ntopic_levels_max = 3\n"));
    let answer_to = |connect: Connect| {
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.send(&unsubscribe_with(5, 1, &[], &["a/b/c/d"]));
        let packet = client.receive();
        (packet.bytes().len(), packet.suback())
    };
    let (with_words, answer) = answer_to(Connect::new(5, "client"));
    assert!(answer.properties.text(id::REASON_STRING).is_some_and(|words| words.contains("levels")));
    let limit = number(id::PACKET_BYTES_MAX, with_words as u32 - 1);
    let (bytes, answer) = answer_to(Connect::new(5, "client").property(limit));
    assert!(bytes < with_words && answer.properties.is_empty(), "{answer:?}");
    assert_eq!(answer.codes, [0x8F]);
}

/// User properties are the only ones that belong here.
#[test]
fn properties_of_other_packets_are_refused() {
    let hub = Hub::start();
    for property in trefoil_tests::mqtt::property::ALL {
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.offer(&unsubscribe_with(5, 1, &any(property), &["t"]));
        match property {
            id::USER_PROPERTY => assert_eq!(client.receive().suback().codes, [0x11]),
            _ => client.expect_end(0x81),
        }
    }
}

/// A client whose window is full gets its answers all the same, and UNSUBSCRIBE drops nothing that waits at QoS 2 midway.
#[test]
fn a_full_window_does_not_hold_up_the_answer() {
    let hub = Hub::start();
    let connect = Connect::new(5, "client").property(number(id::RECEIVE_MAX, 1));
    let mut client = Connection::with(hub.tcp_port(), &connect).0;
    client.subscribe("t", 2);
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    publisher.publish_and_wait(&Message::new("t", "one").qos(2, 1));
    let message = client.receive_publish();
    client.send(&ack(0x50, message.packet_id));
    assert_eq!(client.receive().ack(0x62).packet_id, message.packet_id);
    assert_eq!(unsubscribe(&mut client, 5, &["t"]), [0]);
    client.send(&ack(0x70, message.packet_id));
    client.ping();
}
