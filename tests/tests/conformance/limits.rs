//! What CONNECT and CONNACK say about the connection: keep-alive, receive maximum, and what a client wants to be told.
//! Packet sizes and topic aliases are in `sizes`.

use std::time::{Duration, Instant};
use trefoil_tests::mqtt::property::{id, number, pair, section, text};
use trefoil_tests::mqtt::{
    Connect, Connection, Message, VERSIONS, Will, ack, ack_with, packet, string, subscribe_packet,
};
use trefoil_tests::{CONFIG, Hub, wait_until};

fn hub_with(limits: &str) -> Hub {
    Hub::with_config(&format!("{CONFIG}\n[limits]\n{limits}\n"))
}

/// [MQTT-3.1.2-22] [v3 MQTT-3.1.2-24] [MQTT-3.2.2-22]; the client's part is [MQTT-3.1.2-20] [v3 MQTT-3.1.2-23].
#[test]
fn who_is_silent_for_one_and_a_half_keep_alives_is_gone() {
    let hub = Hub::start();
    let mut watcher = Connection::new(hub.tcp_port(), 5, "watcher");
    watcher.subscribe("will", 0);
    for version in VERSIONS {
        let connect = Connect::new(version, "silent").keep_alive_s(2).will(Will::new("will", "silent"));
        let since = Instant::now();
        let (mut silent, answer) = Connection::with(hub.tcp_port(), &connect);
        assert_eq!(answer.properties.number(id::SERVER_KEEP_ALIVE), None);
        silent.expect_end(0x8D);
        assert!(since.elapsed() >= Duration::from_secs(3), "one and a half times two seconds");
        // As if the network had failed.
        assert_eq!(watcher.receive_publish().payload, b"silent");
    }
}

/// [MQTT-3.1.2-22] [v3 MQTT-3.1.2-24]: any packet counts, and nothing less than a packet does.
#[test]
fn packets_keep_a_connection_alive_and_bytes_do_not() {
    let hub = Hub::start();
    for version in VERSIONS {
        let alive_s = |name: &str, seconds| {
            Connection::with(hub.tcp_port(), &Connect::new(version, name).keep_alive_s(seconds)).0
        };
        let (mut pings, mut publishes, mut for_ever) =
            (alive_s("pings", 1), alive_s("publishes", 1), alive_s("0", 0));
        let mut dribbles = alive_s("dribbles", 1);
        // The longest of packets, of which a byte comes now and then.
        dribbles.send(&[0x30, 0xFF, 0x7F, 0, 1, b't']);
        dribbles.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut end = [0; 64];
        wait_until("the connection of which no packet comes is closed", || {
            dribbles.offer(b"x");
            pings.ping();
            publishes.publish("t", b"");
            matches!(std::io::Read::read(&mut dribbles.stream, &mut end), Ok(0))
                || version == 5 && end[..4] == [0xE0, end[1], 0x8D, end[3]]
        });
        for_ever.ping();
        publishes.ping();
    }
}

/// A client that sends a large packet over a slow network is no silent one.
#[test]
fn a_large_packet_may_take_longer_than_the_keep_alive() {
    let hub = Hub::start();
    let connect = Connect::new(5, "slow").keep_alive_s(1);
    let (mut slow, _) = Connection::with(hub.tcp_port(), &connect);
    slow.subscribe("t", 0);
    let message = Message::new("t", vec![b'x'; 100_000]).packet(5);
    for piece in message.chunks(4000) {
        slow.send(piece);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(slow.receive_publish().payload.len(), 100_000);
}

/// [MQTT-3.2.2-21] [MQTT-3.1.2-21]: the keep-alive of the hub is the one that holds, whether or not the client minds.
#[test]
fn the_hub_may_want_a_shorter_keep_alive() {
    let hub = hub_with("keep_alive_s_max = 1");
    for (asked, told) in [(0, Some(1)), (2, Some(1)), (1, None)] {
        let since = Instant::now();
        let (mut silent, answer) =
            Connection::with(hub.tcp_port(), &Connect::new(5, "silent").keep_alive_s(asked));
        assert_eq!(answer.properties.number(id::SERVER_KEEP_ALIVE), told);
        silent.expect_end(0x8D);
        assert!(since.elapsed() >= Duration::from_millis(1500));
    }
}

/// [MQTT-3.1.2-28]; no response information is sent to those who ask for it either.
#[test]
fn response_information_is_for_those_who_ask() {
    let hub = Hub::start();
    for asked in [None, Some(0), Some(1)] {
        let connect = Connect::new(5, "asks");
        let property = |asked| number(id::REQUEST_RESPONSE_INFORMATION, asked);
        let connect = asked.map_or(connect.clone(), |asked| connect.property(property(asked)));
        let (_, answer) = Connection::with(hub.tcp_port(), &connect);
        assert_eq!(answer.properties.text(id::RESPONSE_INFORMATION), None, "asked: {asked:?}");
    }
}

/// [MQTT-3.1.2-29]
#[test]
fn who_wants_no_words_gets_none() {
    // One subscription, and nothing to be retained: so that every answer has something to explain.
    let hub = hub_with("subscriptions_per_session_max = 1\nretained_messages_max = 0");
    for wants in [false, true] {
        let connect =
            Connect::new(5, "words").property(number(id::REQUEST_PROBLEM_INFORMATION, wants.into()));
        let (mut connection, _) = Connection::with(hub.tcp_port(), &connect);
        let mut ids = Vec::new();
        connection.send(&Message::new("$SYS/x", "").qos(1, 1).packet(5));
        ids.push(connection.receive().ack(0x40).properties.ids());
        connection.send(&Message::new("$SYS/x", "").qos(2, 2).packet(5));
        ids.push(connection.receive().ack(0x50).properties.ids());
        connection.send(&Message::new("t", "x").qos(1, 1).retain().packet(5));
        let refused = connection.receive().ack(0x40);
        assert_eq!(refused.reason, 0x97);
        ids.push(refused.properties.ids());
        connection.send(&Message::new("t", "x").qos(2, 3).retain().packet(5));
        ids.push(connection.receive().ack(0x50).properties.ids());
        ids.push(connection.subscribe_with(&[], &[("a", 0), ("b", 0)]).properties.ids());
        for answer in ids {
            assert_eq!(answer, if wants { vec![id::REASON_STRING] } else { vec![] });
        }
        // PUBLISH carries what its publisher gave it, and DISCONNECT may explain.
        connection.send(&Message::new("a", "").property(pair("k", "v")).packet(5));
        assert_eq!(connection.receive_publish().properties.pairs(), [("k", "v")]);
        connection.send(&[0xC1, 0]);
        connection.expect_end(0x81);
    }
}

/// [MQTT-3.3.4-7]: a client that goes beyond the receive maximum of the hub is closed. Before MQTT 5 there is none.
#[test]
fn the_receive_maximum_of_the_hub_is_kept_or_the_connection_ends() {
    let hub = hub_with("receive_max = 3");
    for version in VERSIONS {
        let (mut connection, answer) = Connection::with(hub.tcp_port(), &Connect::new(version, "many"));
        assert_eq!(answer.properties.number(id::RECEIVE_MAX), (version == 5).then_some(3));
        for id in 1..=3 {
            connection.send(&Message::new("t", "").qos(2, id).packet(version));
            connection.receive().ack(0x50);
        }
        // Done with are those at QoS 1, those that are complete, and those that are sent again.
        for id in 1..=20 {
            connection.publish_and_wait(&Message::new("t", "").qos(1, 100 + id));
        }
        connection.send(&Message::new("t", "").qos(2, 2).dup().packet(version));
        connection.receive().ack(0x50);
        connection.send(&ack(0x62, 1));
        connection.receive().ack(0x70);
        connection.send(&Message::new("t", "").qos(2, 4).packet(version));
        connection.receive().ack(0x50);
        connection.send(&Message::new("t", "").qos(2, 5).packet(version));
        if version == 5 {
            connection.expect_end(0x93);
        } else {
            assert_eq!(connection.receive().ack(0x50).packet_id, 5);
        }
    }
    let hub = Hub::start();
    let (_, answer) = Connection::with(hub.tcp_port(), &Connect::new(5, "many"));
    assert_eq!(answer.properties.number(id::RECEIVE_MAX), None, "absent means 65,535");
}

/// [MQTT-3.3.4-9] [MQTT-3.3.4-10]
#[test]
fn the_hub_keeps_the_receive_maximum_of_the_client() {
    let hub = Hub::start();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let connect = Connect::new(5, "few").resume().session_expiry_s(60).property(number(id::RECEIVE_MAX, 2));
    let (mut few, _) = Connection::with(hub.tcp_port(), &connect);
    few.subscribe("t", 2);
    for number in 0..8u8 {
        publisher.publish_and_wait(&Message::new("t", [number]).qos(1 + number % 2, 1));
    }
    let first = few.receive_publish();
    let second = few.receive_publish();
    // Nothing more comes, but all that is no PUBLISH at QoS 1 or 2 goes on.
    few.ping();
    few.send(&subscribe_packet(5, "u", 0));
    few.receive().suback();
    publisher.publish("u", b"at QoS 0");
    assert_eq!(few.receive_publish().payload, b"at QoS 0");
    few.publish_and_wait(&Message::new("v", "").qos(2, 1));
    // PUBACK makes room for one. PUBREC does not: PUBCOMP, or a PUBREC that refuses, does.
    few.send(&ack(0x40, first.packet_id));
    let third = few.receive_publish();
    few.send(&ack(0x50, second.packet_id));
    few.receive().ack(0x62);
    few.ping();
    few.send(&ack(0x70, second.packet_id));
    let fourth = few.receive_publish();
    few.ping();
    few.send(&ack_with(0x50, fourth.packet_id, 0x80));
    let fifth = few.receive_publish();
    few.ping();
    assert_eq!([first, second, third, fourth].map(|m| m.payload), [[0], [1], [2], [3]]);
    assert_eq!(fifth.payload, [4]);
    // The new connection may say another number.
    few.break_off();
    let (mut few, _) = Connection::with(hub.tcp_port(), &connect);
    let again = [few.receive_publish(), few.receive_publish()];
    assert_eq!(again.map(|message| (message.payload, message.dup)), [(vec![2], true), (vec![4], true)]);
    few.ping();
    few.break_off();
    let (mut few, _) = Connection::with(hub.tcp_port(), &Connect::new(5, "few").resume());
    for number in [2, 4, 5, 6, 7] {
        assert_eq!(few.receive_publish().payload, [number]);
    }
    few.ping();
}

/// A SUBSCRIBE is answered with words, too, where the client takes them: section 3.9.2.1.
#[test]
fn user_properties_and_words_of_a_client_change_nothing() {
    let hub = Hub::start();
    let mut connection = Connection::new(hub.tcp_port(), 5, "words");
    let words = [text(id::REASON_STRING, "because"), pair("a", "b"), pair("a", "b")].concat();
    connection.subscribe("t", 1);
    connection.send(&Message::new("t", "").qos(1, 1).packet(5));
    let packet_id = connection.receive_publish().packet_id;
    connection.receive().ack(0x40);
    let answer = [&packet_id.to_be_bytes()[..], &[0], &section(&words)].concat();
    connection.send(&packet(0x40, &answer));
    connection.send(&packet(0x82, &[&[0, 1][..], &section(&pair("a", "b")), &string("u"), &[0]].concat()));
    assert_eq!(connection.receive().suback().codes, [0]);
    connection.ping();
}
