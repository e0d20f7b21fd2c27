//! CONNACK: section 3.2. What it says about sessions is in `starts`, its limits are in `limits`, refusals in `connect`.

use crate::connect::patient_hub;
use trefoil_tests::Hub;
use trefoil_tests::mqtt::property::id;
use trefoil_tests::mqtt::{Connect, Connection, Message, VERSIONS, Will};

/// [MQTT-3.1.4-5] [v3 MQTT-3.1.4-4] [MQTT-3.2.2-1] [MQTT-3.2.0-2]
#[test]
fn a_connect_that_is_right_is_answered_once_with_success() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut connection = Connection::open(hub.tcp_port(), version);
        connection.send(&Connect::new(version, "right").packet());
        let packet = connection.receive();
        // Byte for byte, where there are no properties.
        assert_eq!((packet.first_byte, &packet.body[..2]), (0x20, &[0, 0][..]));
        assert_eq!(packet.body.len() == 2, version < 5);
        packet.connack();
        // The next packet answers the next question.
        connection.ping();
        connection.leave();
        // The flags have no bit but the lowest, with a session and without.
        let lasting = Connect::new(version, format!("lasting-{version}")).resume();
        let lasting = if version == 5 { lasting.session_expiry_s(60) } else { lasting };
        for round in 0..2 {
            let (connection, answer) = Connection::with(hub.tcp_port(), &lasting);
            assert_eq!(answer.flags, if version > 3 { round } else { 0 });
            connection.leave();
        }
    }
}

/// [MQTT-3.2.2-6] [v3 MQTT-3.2.2-4] [MQTT-3.2.2-7] [v3 MQTT-3.2.2-5] [MQTT-3.2.2-8]: also when there is a session.
#[test]
fn a_refusal_has_no_session_present_and_ends_the_connection() {
    let hub = patient_hub();
    for version in VERSIONS {
        let lasting = Connect::new(version, format!("lasting-{version}")).resume();
        let lasting = if version == 5 { lasting.session_expiry_s(60) } else { lasting };
        let (mut first, _) = Connection::with(hub.tcp_port(), &lasting);
        first.subscribe("t", 1);
        let refused = lasting.clone().will(Will::new("$SYS/x", ""));
        let (mut connection, answer) = Connection::asking(hub.tcp_port(), &refused);
        let answer = answer.expect("a CONNACK");
        assert_eq!((answer.flags, answer.code), (0, if version == 5 { 0x87 } else { 5 }));
        assert!(connection.try_receive().is_none());
        // Whoever was refused has taken nothing over.
        first.publish_and_wait(&Message::new("other", ""));
        first.leave();
        let (_, answer) = Connection::with(hub.tcp_port(), &lasting);
        assert_eq!(answer.flags, u8::from(version > 3));
    }
}

/// [v3 MQTT-3.2.2-6]
#[test]
fn what_has_no_return_code_is_closed_without_a_word() {
    let hub = patient_hub();
    for version in [3, 4] {
        for refused in [
            Connect::new(version, "c").flags(3),
            Connect::new(version, "c").will(Will::new("a/#", "")),
            Connect::new(version, "c").will(Will::new("t", "")).flags(0x1E),
        ] {
            let (mut connection, answer) = Connection::asking(hub.tcp_port(), &refused);
            assert_eq!(answer, None);
            assert!(connection.try_receive().is_none());
        }
    }
}

/// [MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.2.2-12] [MQTT-3.2.2-13], and so nothing that [MQTT-3.2.2-11] and
/// [MQTT-3.2.2-14] forbid: all that may be missing is there.
#[test]
fn nothing_is_unavailable() {
    let hub = Hub::start();
    let connect = Connect::new(5, "all").will(Will::new("t/will", "w").qos(2).retain());
    let (mut connection, answer) = Connection::with(hub.tcp_port(), &connect);
    for property in [
        id::QOS_MAX,
        id::RETAIN_AVAILABLE,
        id::WILDCARD_AVAILABLE,
        id::SUBSCRIPTION_ID_AVAILABLE,
        id::SHARED_AVAILABLE,
    ] {
        assert!(answer.properties.number(property).is_none_or(|value| value > 0), "{answer:?}");
    }
    for qos in 0..3 {
        assert_eq!(connection.subscribe_with(&[id::SUBSCRIPTION_ID, 1], &[("t/#", qos)]).codes, [qos]);
    }
    connection.send(&Message::new("t/x", "").qos(2, 1).retain().packet(5));
    assert_eq!(connection.receive_publish().qos, 2);
    assert_eq!(connection.receive().ack(0x50).reason, 0);
    assert_eq!(connection.subscribe_with(&[], &[("$share/g/t", 2)]).codes, [2]);
}
