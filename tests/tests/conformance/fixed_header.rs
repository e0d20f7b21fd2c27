//! Fixed header, packet identifiers, properties: chapter 2.

use std::collections::HashSet;
use trefoil_tests::mqtt::property::{ALL, any, id, number, section};
use trefoil_tests::mqtt::{
    Connect, Connection, Message, VERSIONS, Will, ack, packet, string, subscribe_with, unsubscribe_with,
};
use trefoil_tests::{Exchange, Hub};

/// [MQTT-2.1.3-1] [v3 MQTT-2.2.2-1] [v3 MQTT-2.2.2-2]
#[test]
fn reserved_flags_are_as_they_have_to_be() {
    let hub = Hub::start();
    for version in VERSIONS {
        let right = [
            ack(0x40, 1),
            ack(0x50, 1),
            ack(0x62, 1),
            ack(0x70, 1),
            subscribe_with(version, 1, &[], &[("t", 0)]),
            unsubscribe_with(version, 1, &[], &["t"]),
            vec![0xC0, 0],
            vec![0xE0, 0],
        ];
        for (bytes, flags) in right.iter().flat_map(|bytes| (0..16).map(move |flags| (bytes, flags))) {
            let first_byte = bytes[0] & 0xF0 | flags;
            // MQTT 3.1 lets clients mark these when they repeat them.
            let marked = version == 3 && bytes[0] & 0x0F == 2 && first_byte == bytes[0] | 8;
            if first_byte == bytes[0] || marked {
                continue;
            }
            let mut connection = Connection::new(hub.tcp_port(), version, "flags");
            connection.send(&[&[first_byte], &bytes[1..]].concat());
            let expected = (version == 5).then_some(0x81);
            assert_eq!(connection.disconnect_reason(), expected, "{first_byte:#04x} in version {version}");
        }
        for flags in 1..16 {
            let mut connect = Connect::new(version, "flags").packet();
            connect[0] |= flags;
            let mut connection = Connection::open(hub.tcp_port(), version);
            connection.offer(&connect);
            assert_ne!(connection.stream.rest().first(), Some(&0x20), "CONNECT with flags {flags:#x}");
        }
    }
}

/// Types that do not exist, or that only servers send (sections 2.1.2 and 4.13).
#[test]
fn packets_that_no_client_sends_end_the_connection() {
    let hub = Hub::start();
    for version in VERSIONS {
        let from_servers =
            [packet(0x20, &[0, 0]), packet(0x90, &[0, 1, 0]), packet(0xB0, &[0, 1]), packet(0xD0, &[])];
        let unknown = [packet(0x00, &[]), packet(0x0F, &[])];
        for bytes in from_servers.into_iter().chain(unknown) {
            let mut connection = Connection::new(hub.tcp_port(), version, "types");
            connection.send(&bytes);
            let reason = connection.disconnect_reason();
            let is_told = reason.is_some_and(|reason| [0x81, 0x82].contains(&reason));
            assert_eq!(is_told, version == 5, "{bytes:02x?} in version {version}: {reason:?}");
        }
        if version < 5 {
            let mut connection = Connection::new(hub.tcp_port(), version, "types");
            connection.send(&packet(0xF0, &[]));
            connection.expect_end(0);
        }
    }
}

/// [MQTT-2.2.1-2] [v3 MQTT-2.3.1-5]
#[test]
fn there_is_no_packet_id_at_qos_0() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut connection = Connection::new(hub.tcp_port(), version, "none");
        connection.subscribe("t", 2);
        // What looks like one is part of the payload, or of the properties.
        connection.publish("t", &[0, 1, b'x']);
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        let expected = [&string("t")[..], properties, &[0, 1, b'x']].concat();
        let packet = connection.receive();
        assert_eq!((packet.first_byte, &packet.body), (0x30, &expected));
        connection.ping();
    }
}

/// [MQTT-2.2.1-3] [v3 MQTT-2.3.1-1]
#[test]
fn packet_id_0_ends_the_connection() {
    let hub = Hub::start();
    for version in VERSIONS {
        for bytes in [
            Message::new("t", "").qos(1, 0).packet(version),
            Message::new("t", "").qos(2, 0).packet(version),
            subscribe_with(version, 0, &[], &[("t", 0)]),
            unsubscribe_with(version, 0, &[], &["t"]),
            ack(0x40, 0),
            ack(0x50, 0),
            ack(0x62, 0),
            ack(0x70, 0),
        ] {
            let mut connection = Connection::new(hub.tcp_port(), version, "zero");
            connection.send(&bytes);
            connection.expect_end(0x81);
        }
    }
}

/// [MQTT-2.2.1-3] [v3 MQTT-2.3.1-2]: a client that gives an id to a second message while the first is under way has its
/// second one taken for the first.
#[test]
fn a_packet_id_in_use_stands_for_the_message_that_uses_it() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.subscribe("t", 0);
        let mut connection = Connection::new(hub.tcp_port(), version, "twice");
        connection.send(&Message::new("t", "first").qos(2, 5).packet(version));
        assert_eq!(connection.receive().ack(0x50).packet_id, 5);
        connection.send(&Message::new("t", "second").qos(2, 5).packet(version));
        assert_eq!(connection.receive().ack(0x50).packet_id, 5);
        connection.send(&ack(0x62, 5));
        assert_eq!(connection.receive().ack(0x70).packet_id, 5);
        connection.publish_and_wait(&Message::new("t", "third").qos(2, 5));
        assert_eq!(subscriber.receive_publish().payload, b"first");
        assert_eq!(subscriber.receive_publish().payload, b"third");
    }
}

/// [MQTT-2.2.1-4] [v3 MQTT-2.3.1-4] [v3 MQTT-2.3.1-1]
#[test]
fn the_hub_uses_no_packet_id_twice() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.subscribe("t", 2);
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        let mut in_flight = HashSet::new();
        for round in 0..300u16 {
            let qos = 1 + (round % 2) as u8;
            publisher.publish_and_wait(&Message::new("t", round.to_string()).qos(qos, 1));
            let message = subscriber.receive_publish();
            assert!(message.packet_id > 0 && in_flight.insert((message.packet_id, qos)), "{message:?}");
            let ids: HashSet<u16> = in_flight.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids.len(), in_flight.len(), "QoS 1 and 2 share their ids");
            // Acknowledged out of order, and some never.
            if round % 3 == 0
                && let Some(&(id, qos)) = in_flight.iter().next()
            {
                in_flight.remove(&(id, qos));
                if qos == 1 {
                    subscriber.send(&ack(0x40, id));
                } else {
                    subscriber.send(&ack(0x50, id));
                    assert_eq!(subscriber.receive().ack(0x62).packet_id, id);
                    subscriber.send(&ack(0x70, id));
                }
            }
        }
    }
}

/// [v3 MQTT-2.3.1-3] [v3 MQTT-2.3.1-4] [MQTT-2.2.1-4]: what is sent again keeps its id.
#[test]
fn what_is_sent_again_keeps_its_packet_id() {
    let hub = Hub::start();
    for version in VERSIONS {
        let connect = Connect::new(version, format!("again-{version}")).resume();
        let connect = if version == 5 { connect.session_expiry_s(60) } else { connect };
        let (mut subscriber, _) = Connection::with(hub.tcp_port(), &connect);
        subscriber.subscribe("t", 2);
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        for qos in [1, 2, 1] {
            publisher.publish_and_wait(&Message::new("t", [qos]).qos(qos, 9));
        }
        let first: Vec<_> = (0..3).map(|_| subscriber.receive_publish()).collect();
        subscriber.break_off();
        let (mut subscriber, answer) = Connection::with(hub.tcp_port(), &connect);
        assert!(version == 3 || answer.flags == 1);
        for before in first {
            let again = subscriber.receive_publish();
            assert!(again.dup && !before.dup);
            assert_eq!(
                (again.packet_id, again.qos, again.payload),
                (before.packet_id, before.qos, before.payload)
            );
        }
        subscriber.ping();
    }
}

/// [MQTT-2.2.1-5] [v3 MQTT-2.3.1-6] [MQTT-2.2.1-6] [v3 MQTT-2.3.1-7]
#[test]
fn answers_carry_the_packet_id_of_what_they_answer() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut connection = Connection::new(hub.tcp_port(), version, "ids");
        for id in [1, 0x0100, 0xABCD, u16::MAX] {
            connection.send(&subscribe_with(version, id, &[], &[("t", 2), ("u", 1)]));
            assert_eq!(connection.receive().suback().packet_id, id);
            connection.send(&Message::new("x", "").qos(1, id).packet(version));
            assert_eq!(connection.receive().ack(0x40).packet_id, id);
            connection.send(&Message::new("x", "").qos(2, id).packet(version));
            assert_eq!(connection.receive().ack(0x50).packet_id, id);
            connection.send(&ack(0x62, id));
            assert_eq!(connection.receive().ack(0x70).packet_id, id);
            connection.send(&unsubscribe_with(version, id, &[], &["t", "u"]));
            let answer = connection.receive();
            assert_eq!((answer.first_byte, answer.suback().packet_id), (0xB0, id));
        }
        // PUBREL for a delivery.
        connection.subscribe("t", 2);
        connection.publish_and_wait(&Message::new("other", "").qos(1, 1));
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        for _ in 0..3 {
            publisher.publish_and_wait(&Message::new("t", "").qos(2, 77));
        }
        let ids: Vec<u16> = (0..3).map(|_| connection.receive_publish().packet_id).collect();
        for id in ids.into_iter().rev() {
            connection.send(&ack(0x50, id));
            assert_eq!(connection.receive().ack(0x62).packet_id, id);
        }
    }
}

/// [MQTT-2.2.2-1]
#[test]
fn no_properties_are_a_length_of_zero() {
    let hub = Hub::start();
    let mut connection = Connection::new(hub.tcp_port(), 5, "zero");
    connection.send(&subscribe_with(5, 7, &[], &[("t", 1)]));
    assert_eq!(connection.receive().bytes(), [0x90, 4, 0, 7, 0, 1]);
    connection.send(&Message::new("t", "x").qos(1, 3).packet(5));
    assert_eq!(connection.receive().bytes(), [0x32, 7, 0, 1, b't', 0, 1, 0, b'x']);
    assert_eq!(connection.receive().bytes(), [0x40, 2, 0, 3]);
    connection.send(&unsubscribe_with(5, 8, &[], &["t"]));
    assert_eq!(connection.receive().bytes(), [0xB0, 4, 0, 8, 0, 0]);
    // Without the length, what follows is taken for it.
    for bytes in [packet(0x82, &[&[0, 1][..], &string("t"), &[0]].concat()), packet(0x30, &string("t"))] {
        let mut connection = Connection::new(hub.tcp_port(), 5, "zero");
        connection.send(&bytes);
        let reason = connection.disconnect_reason();
        assert!(reason.is_some_and(|reason| reason >= 0x80), "{bytes:02x?}: {reason:?}");
    }
}

/// Which properties a packet may carry (section 2.2.2.2): all others end the connection.
#[test]
fn every_property_has_its_packets() {
    const MESSAGE: [u8; 6] = [
        id::PAYLOAD_FORMAT,
        id::MESSAGE_EXPIRY,
        id::CONTENT_TYPE,
        id::RESPONSE_TOPIC,
        id::CORRELATION_DATA,
        id::USER_PROPERTY,
    ];
    const CONNECT: [u8; 8] = [
        id::SESSION_EXPIRY,
        id::RECEIVE_MAX,
        id::PACKET_BYTES_MAX,
        id::TOPIC_ALIAS_MAX,
        id::REQUEST_RESPONSE_INFORMATION,
        id::REQUEST_PROBLEM_INFORMATION,
        id::USER_PROPERTY,
        id::AUTHENTICATION_METHOD,
    ];
    const REASON: [u8; 2] = [id::REASON_STRING, id::USER_PROPERTY];
    let hub = Hub::start();
    for property in ALL {
        let written = any(property);
        let in_connect = Connect::new(5, "c").property(&written);
        let in_will = Connect::new(5, "c").will(Will::new("w", "").property(&written));
        // Authentication data belongs to a method, which is known nowhere; both are looked at elsewhere.
        for (name, connect, allowed) in [
            ("CONNECT", in_connect, CONNECT.contains(&property)),
            ("the will", in_will, MESSAGE.contains(&property) || property == id::WILL_DELAY),
        ] {
            let of_authentication = [id::AUTHENTICATION_METHOD, id::AUTHENTICATION_DATA].contains(&property);
            // A client that takes no packet longer than one byte cannot be answered.
            if name == "CONNECT" && (of_authentication || property == id::PACKET_BYTES_MAX) {
                continue;
            }
            let (_, answer) = Connection::asking(hub.tcp_port(), &connect);
            let expected = if allowed { 0 } else { 0x81 };
            assert_eq!(answer.map(|a| a.code), Some(expected), "property {property:#04x} in {name}");
        }
        let published = [&MESSAGE[..], &[id::TOPIC_ALIAS]].concat();
        let packets = [
            ("PUBLISH", Message::new("t", "").property(&written).packet(5), &published[..]),
            ("PUBACK", packet(0x40, &[&[0, 9, 0][..], &section(&written)].concat()), &REASON),
            ("PUBREC", packet(0x50, &[&[0, 9, 0x80][..], &section(&written)].concat()), &REASON),
            ("PUBREL", packet(0x62, &[&[0, 9, 0][..], &section(&written)].concat()), &REASON),
            ("PUBCOMP", packet(0x70, &[&[0, 9, 0][..], &section(&written)].concat()), &REASON),
            (
                "SUBSCRIBE",
                subscribe_with(5, 1, &written, &[("t", 0)]),
                &[id::SUBSCRIPTION_ID, id::USER_PROPERTY],
            ),
            ("UNSUBSCRIBE", unsubscribe_with(5, 1, &written, &["t"]), &[id::USER_PROPERTY]),
        ];
        for (name, bytes, allowed) in packets {
            let mut connection = Connection::new(hub.tcp_port(), 5, "property");
            connection.send(&[&bytes[..], &[0xE0, 0]].concat());
            let reason = connection.disconnect_reason();
            // A subscription identifier has its place in PUBLISH, only not from a client.
            let is_own = (name, property) == ("PUBLISH", id::SUBSCRIPTION_ID);
            let expected = if is_own { Some(0x82) } else { (!allowed.contains(&property)).then_some(0x81) };
            assert_eq!(reason, expected, "property {property:#04x} in {name}");
        }
    }
}

/// A property that may be there once (section 2.2.2.2) may not be there twice, and one that does not exist may not be
/// there at all.
#[test]
fn doubled_and_unknown_properties_end_the_connection() {
    let hub = Hub::start();
    for property in
        [id::PAYLOAD_FORMAT, id::MESSAGE_EXPIRY, id::CONTENT_TYPE, id::RESPONSE_TOPIC, id::TOPIC_ALIAS]
    {
        let mut connection = Connection::new(hub.tcp_port(), 5, "twice");
        connection.send(&Message::new("t", "").property(any(property).repeat(2)).packet(5));
        connection.expect_end(0x82);
    }
    let mut connection = Connection::new(hub.tcp_port(), 5, "twice");
    let twice = number(id::SUBSCRIPTION_ID, 1).repeat(2);
    connection.send(&subscribe_with(5, 1, &twice, &[("t", 0)]));
    connection.expect_end(0x82);
    for property in
        [id::SESSION_EXPIRY, id::RECEIVE_MAX, id::TOPIC_ALIAS_MAX, id::REQUEST_PROBLEM_INFORMATION]
    {
        let connect = Connect::new(5, "twice").property(any(property).repeat(2));
        let (mut connection, answer) = Connection::asking(hub.tcp_port(), &connect);
        assert_eq!(answer.map(|a| a.code), Some(0x82), "property {property:#04x}");
        assert_eq!(connection.ending(), None);
    }
    for unknown in [0x00, 0x04, 0x14, 0x2B, 0x7F] {
        let mut connection = Connection::new(hub.tcp_port(), 5, "unknown");
        connection.send(&Message::new("t", "").property([unknown, 0]).packet(5));
        connection.expect_end(0x81);
    }
}
