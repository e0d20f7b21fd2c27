//! The maximum packet size in both directions, and topic aliases towards the client: sections 3.1.2.11.4, 3.1.2.11.5 and
//! 3.2.2.3.6.

use crate::connect::patient_hub;
use trefoil_tests::mqtt::property::{id, number};
use trefoil_tests::mqtt::{
    Connect, Connection, Message, Packet, VERSIONS, Will, ack, subscribe_with, unsubscribe_with,
};
use trefoil_tests::{CONFIG, Hub, wait_until};

fn hub_with(limits: &str) -> Hub {
    Hub::with_config(&format!("{CONFIG}\n[limits]\n{limits}\n"))
}

/// A client that takes packets of so many bytes.
fn taking(hub: &Hub, client_id: &str, bytes: u32) -> Connection {
    let connect = Connect::new(5, client_id).property(number(id::PACKET_BYTES_MAX, bytes));
    Connection::with(hub.tcp_port(), &connect).0
}

fn bytes_of(packet: &Packet) -> usize {
    packet.bytes().len()
}

/// [MQTT-3.1.2-24] [MQTT-3.1.2-25]
#[test]
fn a_message_that_is_too_large_is_dropped_and_counted() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let dropped = || hub.metric("trefoil_dropped_total{reason=\"too_large\"}");
    for qos in 0..3 {
        let mut small = taking(&hub, "small", 64);
        small.subscribe("t", qos);
        // With the bytes around the payload: first byte, length, topic, packet id, length of no properties.
        let around = 2 + 3 + if qos > 0 { 2 } else { 0 } + 1;
        let fits = 64 - around;
        for (length, properties) in [
            (fits, vec![]),
            (fits + 1, vec![]),
            (fits - 2, number(id::PAYLOAD_FORMAT, 1)),
            (fits - 1, number(id::PAYLOAD_FORMAT, 1)),
            (1000, vec![]),
            (200_000, vec![]),
        ] {
            let before = dropped();
            let message = Message::new("t", vec![b'x'; length]).qos(qos, 1).property(&properties);
            publisher.publish_and_wait(&message);
            if length + properties.len() <= fits {
                let message = small.receive();
                assert!(bytes_of(&message) <= 64);
                assert_eq!(message.publish().payload.len(), length);
                match qos {
                    0 => {}
                    1 => small.send(&ack(0x40, message.publish().packet_id)),
                    _ => {
                        small.send(&ack(0x50, message.publish().packet_id));
                        let id = small.receive().ack(0x62).packet_id;
                        small.send(&ack(0x70, id));
                    }
                }
            } else {
                wait_until("the message is counted as dropped", || dropped() > before);
                small.ping();
            }
        }
        // It is as if they had been sent and acknowledged: nothing stands in the way of the next one.
        publisher.publish_and_wait(&Message::new("t", "next").qos(qos, 1));
        assert_eq!(small.receive_and_ack().payload, b"next");
        small.leave();
    }
}

/// [MQTT-3.1.2-24], where the packet grows on its way: with subscription identifiers, as a retained message, in a run
/// of messages, and from a queue.
#[test]
fn what_the_hub_adds_counts_against_the_maximum() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 4, "publisher");
    let message = |length| Message::new("t", vec![b'x'; length]);
    // 2 + 3 + 1 bytes stand around the payload, and each subscription identifier takes 2 to 5.
    for (length, arrives) in [(64 - 6 - 5, true), (64 - 6 - 4, false)] {
        let mut small = taking(&hub, "small", 64);
        small.subscribe_with(&number(id::SUBSCRIPTION_ID, 268_435_455), &[("t", 0)]);
        publisher.send(&message(length).packet(4).repeat(3));
        publisher.publish("t", b"behind");
        for _ in 0..if arrives { 3 } else { 0 } {
            assert_eq!(bytes_of(&small.receive()), 64);
        }
        assert_eq!(small.receive_publish().payload, b"behind");
        small.leave();
    }
    // From MQTT 3 to 5 a message grows by its length of properties.
    for (length, arrives) in [(64 - 6, true), (64 - 5, false)] {
        let mut small = taking(&hub, "small", 64);
        publisher.publish_and_wait(&message(length).retain());
        small.subscribe("t", 0);
        if arrives {
            assert_eq!(bytes_of(&small.receive()), 64);
        }
        small.ping();
        publisher.publish("t", &vec![b'x'; length]);
        if arrives {
            assert_eq!(bytes_of(&small.receive()), 64);
        }
        publisher.ping();
        small.ping();
        small.leave();
    }
    publisher.publish_and_wait(&Message::new("t", "").retain());
    let connect =
        Connect::new(5, "away").resume().session_expiry_s(60).property(number(id::PACKET_BYTES_MAX, 64));
    let (mut away, _) = Connection::with(hub.tcp_port(), &connect);
    away.subscribe("t", 2);
    away.break_off();
    for (qos, length) in [(1, 100), (2, 100), (1, 1)] {
        publisher.publish_and_wait(&message(length).qos(qos, 1));
    }
    let (mut away, _) = Connection::with(hub.tcp_port(), &connect);
    assert_eq!(away.receive_and_ack().payload, b"x");
    away.ping();
}

/// [MQTT-3.1.2-24] [MQTT-3.2.2-19] [MQTT-3.2.2-20] and those of the other answers: what explains is left out where it
/// does not fit.
#[test]
fn answers_are_no_larger_than_the_client_takes() {
    let hub = patient_hub();
    let refused = |bytes_max: u32| {
        let connect = Connect::new(5, "c").will(Will::new("$SYS/x", ""));
        Connection::asking(hub.tcp_port(), &connect.property(number(id::PACKET_BYTES_MAX, bytes_max)))
    };
    let (_, answer) = refused(1000);
    let answer = answer.expect("an answer");
    assert!(answer.properties.text(id::REASON_STRING).is_some_and(|why| !why.is_empty()));
    let (mut connection, answer) = refused(20);
    assert_eq!(answer.map(|a| (a.code, a.properties.is_empty())), Some((0x87, true)));
    assert_eq!(connection.ending(), None);
    let (_, answer) = refused(5);
    assert_eq!(answer.map(|a| a.code), Some(0x87));
    let (_, answer) = refused(4);
    assert_eq!(answer, None);
    // The other way round: nothing may be left out of a CONNACK that accepts.
    let accepted = |bytes_max| Connect::new(5, "").property(number(id::PACKET_BYTES_MAX, bytes_max));
    let (_, answer) = Connection::with(hub.tcp_port(), &accepted(100));
    assert!(answer.properties.text(id::ASSIGNED_CLIENT_ID).is_some());
    let (mut connection, answer) = Connection::asking(hub.tcp_port(), &accepted(20));
    assert_eq!(answer.map(|a| (a.code, a.properties.is_empty())), Some((0x95, true)));
    assert_eq!(connection.ending(), None);

    for bytes_max in [20, 100] {
        let has_words = |packet: &Packet, ids: Vec<u8>| {
            assert!(bytes_of(packet) <= bytes_max as usize, "{packet:?}");
            assert_eq!(ids.contains(&id::REASON_STRING), bytes_max == 100, "{packet:?}");
        };
        let mut small = taking(&hub, "small", bytes_max);
        small.send(&Message::new("$SYS/x", "").qos(1, 1).packet(5));
        let answer = small.receive();
        assert_eq!(answer.ack(0x40).reason, 0x87);
        has_words(&answer, answer.ack(0x40).properties.ids());
        small.send(&Message::new("$SYS/x", "").qos(2, 1).packet(5));
        let answer = small.receive();
        assert_eq!(answer.ack(0x50).reason, 0x87);
        has_words(&answer, answer.ack(0x50).properties.ids());
        small.send(&[0xC1, 0]);
        let goodbye = small.receive();
        assert_eq!(goodbye.disconnect().reason, 0x81);
        has_words(&goodbye, goodbye.disconnect().properties.ids());
    }
    // An answer that has nothing to leave out and does not fit is not sent, and the client not left waiting for it.
    let mut tiny = taking(&hub, "tiny", 14);
    let filters = [("a", 0); 9];
    tiny.send(&subscribe_with(5, 1, &[], &filters[..8]));
    assert_eq!(bytes_of(&tiny.receive()), 13);
    tiny.send(&subscribe_with(5, 1, &[], &[filters, filters].concat()));
    tiny.expect_end(0x95);
    let mut tiny = taking(&hub, "tiny", 14);
    tiny.send(&unsubscribe_with(5, 1, &[], &["a"; 20]));
    tiny.expect_end(0x95);
}

/// [MQTT-3.2.2-15]
#[test]
fn a_packet_above_the_maximum_of_the_hub_ends_the_connection() {
    let hub = hub_with("packet_bytes_max = 1024");
    for version in VERSIONS {
        let (mut connection, answer) = Connection::with(hub.tcp_port(), &Connect::new(version, "large"));
        if version == 5 {
            assert_eq!(answer.properties.number(id::PACKET_BYTES_MAX), Some(1024));
        }
        connection.subscribe("t", 0);
        let around = publish(version, 0).len() + 1;
        connection.send(&publish(version, 1024 - around));
        assert_eq!(connection.receive_publish().payload.len(), 1024 - around);
        // The fixed header is enough to know.
        connection.send(&publish(version, 1025 - around)[..5]);
        connection.expect_end(0x95);
    }
}

fn publish(version: u8, length: usize) -> Vec<u8> {
    Message::new("t", vec![b'x'; length]).packet(version)
}

/// [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-8] [MQTT-3.3.2-10] [MQTT-3.3.2-11]
#[test]
fn the_hub_uses_no_more_topic_aliases_than_the_client_takes() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 4, "publisher");
    for (max, qos) in [(None, 0), (Some(0), 0), (Some(3), 0), (Some(3), 1), (Some(1), 2)] {
        let connect = Connect::new(5, "aliases");
        let connect = max.map_or(connect.clone(), |max| connect.property(number(id::TOPIC_ALIAS_MAX, max)));
        let (mut subscriber, _) = Connection::with(hub.tcp_port(), &connect);
        subscriber.subscribe("a/#", qos);
        let mut known = vec![None; 4];
        let mut shortened = 0;
        for round in 0..30 {
            let topic = format!("a/{}", round % 5);
            publisher.publish_and_wait(&Message::new(&topic, "x").qos(qos, 1));
            let message = subscriber.receive_and_ack();
            let alias = message.properties.number(id::TOPIC_ALIAS);
            if let Some(alias) = alias {
                assert!((1..=max.unwrap_or(0)).contains(&alias), "alias {alias} of {max:?}");
                if message.topic.is_empty() {
                    shortened += 1;
                    assert_eq!(known[alias as usize].as_deref(), Some(&*topic));
                } else {
                    known[alias as usize] = Some(message.topic.clone());
                }
            } else {
                assert_eq!(message.topic, topic);
            }
        }
        // The aliases are of use: each is given once, and then stands for its topic.
        let aliases = max.unwrap_or(0);
        assert_eq!(shortened, aliases * 5);
        subscriber.leave();
    }
}

/// How many aliases the hub gives out is a setting.
#[test]
fn the_hub_may_be_told_to_use_fewer_topic_aliases() {
    for (limit, expected) in [(0, None), (1, Some(1))] {
        let hub = hub_with(&format!("topic_alias_out_max = {limit}"));
        let connect = Connect::new(5, "aliases").property(number(id::TOPIC_ALIAS_MAX, 9));
        let (mut connection, _) = Connection::with(hub.tcp_port(), &connect);
        connection.subscribe("#", 0);
        for (topic, expected) in [("a", expected), ("b", None)] {
            connection.publish(topic, b"");
            assert_eq!(connection.receive_publish().properties.number(id::TOPIC_ALIAS), expected);
        }
    }
}

/// [MQTT-3.1.2-26] [MQTT-3.1.2-25]: an alias stands for one topic, also when a message that has it is dropped.
#[test]
fn a_dropped_message_confuses_no_topic_alias() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for qos in [0, 1] {
        let connect = Connect::new(5, "aliases").property(number(id::TOPIC_ALIAS_MAX, 9));
        let connect = connect.property(number(id::PACKET_BYTES_MAX, 64));
        let (mut subscriber, _) = Connection::with(hub.tcp_port(), &connect);
        subscriber.subscribe("topic/#", qos);
        let mut known: Vec<Option<String>> = vec![None; 10];
        // The last one fits only without an alias, which so waits for a shorter message.
        let (long, just) = (100, 64 - 2 - 9 - 2 * usize::from(qos > 0) - 1);
        let order = [
            ("a", 1),
            ("b", 1),
            ("a", long),
            ("c", 1),
            ("b", 1),
            ("a", 1),
            ("c", 1),
            ("d", just),
            ("e", 1),
            ("d", 1),
            ("e", 1),
            ("d", 1),
        ];
        for (name, length) in order {
            let topic = format!("topic/{name}");
            publisher.publish_and_wait(&Message::new(&topic, vec![b'x'; length]).qos(qos, 1));
            if length == long {
                continue;
            }
            let message = subscriber.receive();
            assert!(bytes_of(&message) <= 64);
            let message = message.publish();
            if message.qos > 0 {
                subscriber.send(&ack(0x40, message.packet_id));
            }
            let alias = message.properties.number(id::TOPIC_ALIAS).map(|alias| alias as usize);
            if let (Some(alias), false) = (alias, message.topic.is_empty()) {
                known[alias] = Some(message.topic.clone());
            }
            let meant =
                if message.topic.is_empty() { known[alias.unwrap()].clone() } else { Some(message.topic) };
            assert_eq!(meant.as_ref(), Some(&topic), "at QoS {qos}");
        }
        subscriber.leave();
    }
}
