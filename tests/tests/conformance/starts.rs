//! Sessions as CONNECT and CONNACK speak of them: clean start, session present, expiry, take-over.

use trefoil_tests::mqtt::property::{id, number};
use trefoil_tests::mqtt::{Connect, Connection, Message, VERSIONS, Will, ack, disconnect_with};
use trefoil_tests::{CONFIG, Hub};

/// A client whose session outlives its connection, in the words of its version.
fn lasting(version: u8, client_id: &str) -> Connect {
    // What one version leaves behind is not for the next one.
    let connect = Connect::new(version, format!("{client_id}-{version}")).resume();
    if version == 5 { connect.session_expiry_s(600) } else { connect }
}

/// Session present, which MQTT 3.1 has no place for.
fn present(version: u8) -> u8 {
    u8::from(version > 3)
}

/// [MQTT-3.1.2-4] [v3 MQTT-3.1.2-6] [MQTT-3.1.4-4] [v3 MQTT-3.1.4-3] [MQTT-3.2.2-2] [v3 MQTT-3.2.2-1]
#[test]
fn a_clean_start_begins_with_nothing() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        let (mut before, _) = Connection::with(hub.tcp_port(), &lasting(version, "clean"));
        before.subscribe("t", 2);
        // Something of everything that a session holds: a subscription, both sides of QoS 2, a queue.
        publisher.publish_and_wait(&Message::new("t", "in flight").qos(2, 1));
        before.receive_publish();
        before.send(&Message::new("u", "half").qos(2, 5).packet(version));
        before.receive().ack(0x50);
        before.break_off();
        publisher.publish_and_wait(&Message::new("t", "queued").qos(1, 1));
        let (mut clean, answer) =
            Connection::with(hub.tcp_port(), &Connect::new(version, format!("clean-{version}")));
        assert_eq!(answer.flags, 0);
        clean.ping();
        publisher.publish_and_wait(&Message::new("t", "later").qos(1, 1));
        clean.ping();
        // The packet id is free again, so that this is another message.
        publisher.subscribe("u", 0);
        clean.send(&Message::new("u", "whole").qos(2, 5).packet(version));
        assert_eq!(publisher.receive_publish().payload, b"whole");
        clean.break_off();
        // What began clean, and was not asked to stay, leaves nothing behind.
        let (mut after, answer) = Connection::with(hub.tcp_port(), &lasting(version, "clean"));
        assert_eq!(answer.flags, 0);
        after.ping();
    }
}

/// [MQTT-3.1.2-5] [v3 MQTT-3.1.2-4] [MQTT-3.1.2-23] [MQTT-3.2.2-3] [v3 MQTT-3.2.2-2] [MQTT-3.1.3-2] [v3 MQTT-3.1.3-2]
/// [MQTT-3.1.4-4] [v3 MQTT-3.1.4-3]
#[test]
fn a_session_is_resumed_with_all_that_it_holds() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        publisher.subscribe("u", 0);
        let (mut first, answer) = Connection::with(hub.tcp_port(), &lasting(version, "resumed"));
        assert_eq!(answer.flags, 0);
        first.subscribe("t", 2);
        publisher.publish_and_wait(&Message::new("t", "in flight").qos(2, 1));
        let in_flight = first.receive_publish();
        first.send(&Message::new("u", "half").qos(2, 5).packet(version));
        first.receive().ack(0x50);
        assert_eq!(publisher.receive_publish().payload, b"half");
        first.break_off();
        publisher.publish_and_wait(&Message::new("t", "queued").qos(1, 1));
        // Another client id is another session.
        let (mut other, answer) = Connection::with(hub.tcp_port(), &lasting(version, "resumed2"));
        assert_eq!(answer.flags, 0);
        other.ping();
        let (mut second, answer) = Connection::with(hub.tcp_port(), &lasting(version, "resumed"));
        assert_eq!(answer.flags, present(version));
        let again = second.receive_publish();
        assert_eq!(
            (again.packet_id, again.dup, &*again.payload),
            (in_flight.packet_id, true, &b"in flight"[..])
        );
        assert_eq!(second.receive_publish().payload, b"queued");
        // The message was published before; sent again, it is not published again.
        second.send(&Message::new("u", "half").qos(2, 5).dup().packet(version));
        second.receive().ack(0x50);
        second.send(&ack(0x62, 5));
        second.receive().ack(0x70);
        publisher.ping();
        publisher.publish_and_wait(&Message::new("t", "later").qos(0, 0));
        assert_eq!(second.receive_publish().payload, b"later");
        second.leave();
        other.leave();
    }
}

/// [MQTT-3.1.2-6] [v3 MQTT-3.1.2-4] [MQTT-3.2.2-3] [v3 MQTT-3.2.2-3]
#[test]
fn a_session_that_is_not_there_is_made() {
    let hub = Hub::start();
    for version in VERSIONS {
        let client_id = format!("new-{version}");
        let (mut connection, answer) = Connection::with(hub.tcp_port(), &lasting(version, &client_id));
        assert_eq!((answer.flags, answer.code), (0, 0));
        connection.subscribe("t", 1);
        connection.publish_and_wait(&Message::new("other", "").qos(1, 1));
        connection.leave();
        let (_, answer) = Connection::with(hub.tcp_port(), &lasting(version, &client_id));
        assert_eq!(answer.flags, present(version));
    }
}

/// [MQTT-3.1.2-23], as far as there is an end to it. The will, which waits for longer, tells when the session ends.
#[test]
fn a_session_ends_when_its_time_is_over() {
    let hub = Hub::start();
    let mut watcher = Connection::new(hub.tcp_port(), 5, "watcher");
    watcher.subscribe("ended", 0);
    let ends_s = |seconds| Connect::new(5, "ends").resume().session_expiry_s(seconds);
    let (mut connection, _) =
        Connection::with(hub.tcp_port(), &ends_s(1).will(Will::new("ended", "").delay_s(3600)));
    connection.subscribe("t", 1);
    connection.break_off();
    watcher.receive_publish();
    let (mut connection, answer) = Connection::with(hub.tcp_port(), &ends_s(600));
    assert_eq!(answer.flags, 0);
    // DISCONNECT may say otherwise than CONNECT did.
    connection.send(&disconnect_with(0, &number(id::SESSION_EXPIRY, 0)));
    assert_eq!(connection.ending(), None);
    let (connection, answer) = Connection::with(hub.tcp_port(), &ends_s(0));
    assert_eq!(answer.flags, 0);
    // Without an expiry the session ends with the connection, however that ends.
    connection.break_off();
    let (_, answer) = Connection::with(hub.tcp_port(), &ends_s(0));
    assert_eq!(answer.flags, 0);
}

/// A session lasts as long as the hub allows, which clients of MQTT 5 are told (section 3.2.2.3.2).
#[test]
fn a_session_lasts_no_longer_than_the_hub_allows() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nsession_expiry_s_max = 1\n"));
    let mut watcher = Connection::new(hub.tcp_port(), 5, "watcher");
    watcher.subscribe("ended", 0);
    for (asked, said) in
        [(None, None), (Some(0), None), (Some(1), None), (Some(2), Some(1)), (Some(u32::MAX), Some(1))]
    {
        let connect = Connect::new(5, "asks");
        let connect = asked.map_or(connect.clone(), |seconds| connect.session_expiry_s(seconds));
        let (_, answer) = Connection::with(hub.tcp_port(), &connect);
        assert_eq!(answer.properties.number(id::SESSION_EXPIRY), said, "asked for {asked:?}");
    }
    let will = Will::new("ended", "").delay_s(3600);
    let (connection, _) = Connection::with(hub.tcp_port(), &lasting(5, "ends").will(will));
    connection.break_off();
    watcher.receive_publish();
    let (_, answer) = Connection::with(hub.tcp_port(), &lasting(5, "ends"));
    assert_eq!(answer.flags, 0);
}

/// [MQTT-3.1.4-3] [v3 MQTT-3.1.4-2]
#[test]
fn a_client_that_comes_twice_takes_its_session_over() {
    let hub = Hub::start();
    let named = |connect: Connect| connect.client_id("twice");
    for (version, later) in VERSIONS.into_iter().flat_map(|version| VERSIONS.map(|later| (version, later))) {
        let mut watcher = Connection::new(hub.tcp_port(), 4, "watcher");
        watcher.subscribe("will", 0);
        let will = Will::new("will", "taken over");
        let (mut old, _) = Connection::with(hub.tcp_port(), &named(lasting(version, "x")).will(will));
        old.subscribe("t", 1);
        let (mut new, answer) = Connection::with(hub.tcp_port(), &named(lasting(later, "x")));
        assert_eq!(answer.flags, present(later));
        old.expect_end(0x8E);
        assert_eq!(watcher.receive_publish().payload, b"taken over");
        watcher.publish_and_wait(&Message::new("t", "for the new one").qos(1, 1));
        assert_eq!(new.receive_and_ack().payload, b"for the new one");
        new.leave();
        // With a clean start the session is not taken over but ended.
        let (mut old, _) = Connection::with(hub.tcp_port(), &named(lasting(version, "x")));
        let (mut new, answer) = Connection::with(hub.tcp_port(), &Connect::new(later, "twice"));
        assert_eq!(answer.flags, 0);
        old.expect_end(0x8E);
        watcher.publish_and_wait(&Message::new("t", "for nobody").qos(1, 1));
        new.ping();
        new.leave();
    }
}

/// [MQTT-3.2.0-1] [v3 MQTT-3.2.0-1]: before all that waits in the session.
#[test]
fn connack_comes_first() {
    let hub = Hub::start();
    for version in VERSIONS {
        let (mut connection, _) = Connection::with(hub.tcp_port(), &lasting(version, "first"));
        connection.subscribe("t", 2);
        connection.break_off();
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        for qos in [1, 2] {
            publisher.publish_and_wait(&Message::new("t", "waits").qos(qos, 1));
        }
        // So it does when more is asked for before it is there.
        let mut connection = Connection::open(hub.tcp_port(), version);
        connection.send(&[&lasting(version, "first").packet()[..], &[0xC0, 0]].concat());
        let order: Vec<u8> = (0..4).map(|_| connection.receive().first_byte).collect();
        assert_eq!(order, [0x20, 0x32, 0x34, 0xD0]);
        connection.leave();
    }
}
