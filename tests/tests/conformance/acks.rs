//! PUBACK, PUBREC, PUBREL and PUBCOMP: sections 3.4 to 3.7.

use trefoil_tests::Hub;
use trefoil_tests::mqtt::property::{any, id, number, pair, section, text};
use trefoil_tests::mqtt::{Connect, Connection, Message, VERSIONS, ack, ack_with, packet};

/// What PUBACK and PUBREC may say.
const PUBLISHED: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// A client that takes no packets above 16 bytes: enough for an answer, not for an answer in words.
fn tight(hub: &Hub, client_id: &str) -> Connection {
    let connect = Connect::new(5, client_id).property(number(id::PACKET_BYTES_MAX, 16));
    Connection::with(hub.tcp_port(), &connect).0
}

/// [MQTT-3.4.2-1] [MQTT-3.4.2-2] [MQTT-3.4.2-3] PUBACK says how it went, and never in more bytes than the client takes.
#[test]
fn puback_says_how_it_went() {
    let hub = Hub::start();
    let mut subscriber = Connection::new(hub.tcp_port(), 5, "subscriber");
    subscriber.subscribe("wanted", 0);
    let mut publisher = tight(&hub, "publisher");
    for (topic, reason) in [("wanted", 0x00), ("nobody", 0x10), ("$SYS/mine", 0x87)] {
        publisher.send(&Message::new(topic, "x").qos(1, 7).packet(5));
        let answer = publisher.receive();
        assert!(answer.bytes().len() <= 16, "{answer:?}");
        assert_eq!(answer.ack(0x40).reason, reason, "{topic}");
        assert!(PUBLISHED.contains(&reason));
    }
}

/// [MQTT-3.5.2-1] [MQTT-3.5.2-2] [MQTT-3.5.2-3] So does PUBREC.
#[test]
fn pubrec_says_how_it_went() {
    let hub = Hub::start();
    let mut subscriber = Connection::new(hub.tcp_port(), 5, "subscriber");
    subscriber.subscribe("wanted", 0);
    let mut publisher = tight(&hub, "publisher");
    for (packet_id, topic, reason) in [(1, "wanted", 0x00), (2, "nobody", 0x10), (3, "$SYS/mine", 0x87)] {
        publisher.send(&Message::new(topic, "x").qos(2, packet_id).packet(5));
        let answer = publisher.receive();
        assert!(answer.bytes().len() <= 16, "{answer:?}");
        let answer = answer.ack(0x50);
        assert_eq!((answer.packet_id, answer.reason), (packet_id, reason), "{topic}");
        assert!(PUBLISHED.contains(&reason));
    }
}

/// [MQTT-3.6.2-1] [MQTT-3.6.2-2] [MQTT-3.6.2-3] PUBREL answers a PUBREC for what was sent with success, and for what was
/// not with 0x92, so that the client can let go of it; in MQTT 3 it has no way to say so.
#[test]
fn pubrel_says_whether_the_message_is_known() {
    let hub = Hub::start();
    for version in VERSIONS {
        let connect = Connect::new(version, "receiver").property(number(id::PACKET_BYTES_MAX, 16));
        let mut receiver = Connection::with(hub.tcp_port(), &connect).0;
        receiver.subscribe("t", 2);
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        publisher.publish_and_wait(&Message::new("t", "x").qos(2, 1));
        let message = receiver.receive_publish();
        receiver.send(&ack(0x50, message.packet_id));
        let known = receiver.receive().ack(0x62);
        assert_eq!((known.packet_id, known.reason), (message.packet_id, 0));
        receiver.send(&ack(0x50, 999));
        let answer = receiver.receive();
        assert!(answer.bytes().len() <= 16, "{answer:?}");
        let unknown = answer.ack(0x62);
        let expected = if version == 5 { 0x92 } else { 0 };
        assert_eq!((unknown.packet_id, unknown.reason), (999, expected), "version {version}");
    }
}

/// [MQTT-3.7.2-1] [MQTT-3.7.2-2] [MQTT-3.7.2-3] PUBCOMP answers a PUBREL in the same way.
#[test]
fn pubcomp_says_whether_the_message_is_known() {
    let hub = Hub::start();
    for version in VERSIONS {
        let connect = Connect::new(version, "sender").property(number(id::PACKET_BYTES_MAX, 16));
        let mut sender = Connection::with(hub.tcp_port(), &connect).0;
        sender.send(&Message::new("t", "x").qos(2, 3).packet(version));
        sender.receive().ack(0x50);
        sender.send(&ack(0x62, 3));
        let known = sender.receive().ack(0x70);
        assert_eq!((known.packet_id, known.reason), (3, 0));
        // It is released now, so that it is not known any more.
        sender.send(&ack(0x62, 3));
        let answer = sender.receive();
        assert!(answer.bytes().len() <= 16, "{answer:?}");
        let unknown = answer.ack(0x70);
        let expected = if version == 5 { 0x92 } else { 0 };
        assert_eq!((unknown.packet_id, unknown.reason), (3, expected), "version {version}");
    }
}

/// [MQTT-3.6.1-1] [v3 MQTT-3.6.1-1] The flags of PUBREL are 0010; MQTT 3.1 knows DUP beside them.
#[test]
fn the_flags_of_pubrel_are_fixed() {
    let hub = Hub::start();
    for version in VERSIONS {
        for flags in (0..16).filter(|flags| *flags != 2 && (version, *flags) != (3, 10)) {
            let mut sender = Connection::new(hub.tcp_port(), version, "sender");
            sender.send(&Message::new("t", "x").qos(2, 1).packet(version));
            sender.receive().ack(0x50);
            sender.offer(&ack(0x60 | flags, 1));
            sender.expect_end(0x81);
        }
    }
}

/// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] A reason that the packet cannot have is a protocol error.
#[test]
fn reasons_of_other_packets_are_refused() {
    let hub = Hub::start();
    for (first_byte, reasons) in [
        (0x40, [0x01, 0x92, 0xff]),
        (0x50, [0x04, 0x92, 0xff]),
        (0x62, [0x10, 0x80, 0xff]),
        (0x70, [0x10, 0x80, 0xff]),
    ] {
        for reason in reasons {
            let mut client = Connection::new(hub.tcp_port(), 5, "client");
            client.offer(&ack_with(first_byte, 1, reason));
            client.expect_end(0x82);
        }
    }
}

/// An acknowledgement is as short as its sender likes: without reason, without properties, or with all of it; none of
/// them does harm when nothing is known of its message, except that PUBREC and PUBREL are answered.
#[test]
fn every_form_of_an_acknowledgement_is_read() {
    let hub = Hub::start();
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    let words = [text(id::REASON_STRING, "why"), pair("a", "1"), pair("a", "2")].concat();
    for (first_byte, answer) in [(0x40, None), (0x50, Some(0x62)), (0x62, Some(0x70)), (0x70, None)] {
        let long = packet(first_byte, &[&[0, 9, 0][..], &section(&words)].concat());
        let forms = [ack(first_byte, 9), ack_with(first_byte, 9, 0), packet(first_byte, &[0, 9, 0, 0]), long];
        for form in forms {
            client.send(&form);
            if let Some(answer) = answer {
                assert_eq!(client.receive().ack(answer).packet_id, 9);
            }
            client.ping();
        }
    }
}

/// What else can be wrong with one: no packet id, id 0, bytes behind the end, properties of other packets.
#[test]
fn malformed_acknowledgements_end_the_connection() {
    let hub = Hub::start();
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        for version in VERSIONS {
            let mut cases =
                vec![packet(first_byte, &[]), packet(first_byte, &[0]), packet(first_byte, &[0, 0])];
            match version {
                5 => cases.push(packet(first_byte, &[0, 1, 0, 0, 9])),
                // A reason is for MQTT 5.
                _ => cases.push(ack_with(first_byte, 1, 0)),
            }
            for bytes in cases {
                let mut client = Connection::new(hub.tcp_port(), version, "client");
                client.offer(&bytes);
                client.expect_end(0x81);
            }
        }
        for property in trefoil_tests::mqtt::property::ALL {
            if [id::REASON_STRING, id::USER_PROPERTY].contains(&property) {
                continue;
            }
            let mut client = Connection::new(hub.tcp_port(), 5, "client");
            client.offer(&packet(first_byte, &[&[0, 1, 0][..], &section(&any(property))].concat()));
            client.expect_end(0x81);
        }
        let twice = [text(id::REASON_STRING, "a"), text(id::REASON_STRING, "b")].concat();
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.offer(&packet(first_byte, &[&[0, 1, 0][..], &section(&twice)].concat()));
        client.expect_end(0x82);
    }
}

/// [MQTT-4.13.1-1] [v3 MQTT-4.8.0-1] An acknowledgement that does not fit the QoS of the message in flight, or comes out
/// of turn, is inconsistent with the state of the session.
#[test]
fn acknowledgements_of_the_wrong_kind_end_the_connection() {
    let hub = Hub::start();
    for version in VERSIONS {
        for (qos, wrong) in [(1, 0x50), (1, 0x70), (2, 0x40), (2, 0x70)] {
            let mut receiver = Connection::new(hub.tcp_port(), version, "receiver");
            receiver.subscribe("t", qos);
            let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
            publisher.publish_and_wait(&Message::new("t", "x").qos(qos, 1));
            let message = receiver.receive_publish();
            receiver.offer(&ack(wrong, message.packet_id));
            receiver.expect_end(0x82);
        }
    }
}
