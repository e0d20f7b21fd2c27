//! How errors are handled: section 4.13 of MQTT 5.0, and 4.8 of MQTT 3.1.1.

use trefoil_tests::mqtt::{Connect, Connection, Message, VERSIONS, Will, ack, disconnect_with, packet};
use trefoil_tests::{Bystander, CONFIG, Hub};

/// [MQTT-4.13.1-1] [v3 MQTT-4.8.0-1] A malformed packet and a protocol error end the connection, in MQTT 5 with a reason;
/// the will comes, and nobody else notices.
#[test]
fn who_breaks_the_protocol_is_closed() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    for version in VERSIONS {
        let mut watcher = Connection::new(hub.tcp_port(), version, "watcher");
        watcher.subscribe("will", 1);
        let cases = [
            ("packet type 0", packet(0x00, &[]), 0x81),
            ("a length that does not end", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x7f], 0x81),
            ("QoS 3", Message::new("t", "x").qos(3, 1).packet(version), 0x81),
            ("packet id 0", Message::new("t", "x").qos(1, 0).packet(version), 0x81),
            ("a packet that ends in a topic", packet(0x30, &[0, 9, b't']), 0x81),
            ("a second CONNECT", Connect::new(version, "client").packet(), 0x82),
            ("a CONNACK", packet(0x20, if version == 5 { &[0, 0, 0] } else { &[0, 0] }), 0x82),
            ("a SUBACK", packet(0x90, if version == 5 { &[0, 1, 0, 0] } else { &[0, 1, 0] }), 0x82),
            ("an UNSUBACK", packet(0xB0, if version == 5 { &[0, 1, 0, 0] } else { &[0, 1] }), 0x82),
            ("a PINGRESP", packet(0xD0, &[]), 0x82),
            // AUTH is for MQTT 5, and there for who named a method.
            ("an AUTH", packet(0xF0, &[]), 0x82),
        ];
        for (what, bytes, reason) in cases {
            let connect = Connect::new(version, "client").will(Will::new("will", what).qos(1));
            let mut client = Connection::with(hub.tcp_port(), &connect).0;
            client.offer(&[&bytes[..], &[0xC0, 0]].concat());
            client.expect_end(reason);
            assert_eq!(watcher.receive_and_ack().payload, what.as_bytes());
        }
    }
    bystander.unharmed();
}

/// [MQTT-4.13.2-1] A reason of 0x80 or above in CONNACK or DISCONNECT means the end, whoever says it.
#[test]
fn a_failure_is_the_end() {
    let mut hub = Hub::start();
    for connect in [
        Connect::new(5, "client").will(Will::new("a/#", "")),
        Connect::new(5, "client").will(Will::new("$SYS/x", "")),
        Connect::new(5, "client").flags(0x03),
    ] {
        let (mut client, answer) = Connection::asking(hub.tcp_port(), &connect);
        assert!(answer.is_some_and(|answer| answer.code >= 0x80), "{connect:?}");
        client.offer(&[0xC0, 0]);
        assert_eq!(client.try_receive(), None);
    }
    for reason in [0x80, 0x81, 0x82, 0x95] {
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.offer(&[disconnect_with(reason, &[]), vec![0xC0, 0]].concat());
        assert_eq!(client.try_receive(), None);
    }
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    hub.signal("TERM");
    client.expect_end(0x8B);
    hub.wait();
}

/// [MQTT-4.13.2-1] An answer that says that something failed is not the end: it is about one packet.
#[test]
fn a_failed_answer_is_not_the_end() {
    let hub = Hub::start();
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    client.send(&Message::new("$SYS/x", "").qos(1, 1).packet(5));
    assert_eq!(client.receive().ack(0x40).reason, 0x87);
    client.send(&ack(0x62, 9));
    assert_eq!(client.receive().ack(0x70).reason, 0x92);
    let deep = ["a"; 200].join("/");
    assert_eq!(client.subscribe_with(&[], &[(&deep, 0)]).codes, [0x8F]);
    client.ping();
}

/// [v3 MQTT-4.8.0-2] Where the hub itself is at a limit when a packet comes, that connection ends, and nobody else's: a
/// session too many. (A session too many is the one such case before MQTT 5.)
#[test]
fn a_transient_error_ends_that_connection_only() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nsessions_max = 3\n"));
    let mut first = Connection::new(hub.tcp_port(), 4, "first");
    let mut clients: Vec<_> = ["second", "third"].map(|id| Connection::new(hub.tcp_port(), 4, id)).into();
    trefoil_tests::wait_until("the hub has counted them", || hub.stat("sessions") == 3);
    for version in VERSIONS {
        let (mut late, answer) = Connection::asking(hub.tcp_port(), &Connect::new(version, "late"));
        let code = if version == 5 { 0x97 } else { 3 };
        assert_eq!(answer.map(|answer| answer.code), Some(code));
        assert_eq!(late.try_receive(), None);
    }
    first.subscribe("t", 1);
    for client in &mut clients {
        client.publish_and_wait(&Message::new("t", "x").qos(1, 1));
        first.receive_and_ack();
    }
}
