//! MQTT that is wrong: the offender is told as its version allows and closed; nobody else notices.

use std::io::Write;
use trefoil_tests::mqtt::{Connection, connect_packet, packet, publish_packet, string, subscribe_packet};
use trefoil_tests::{Bystander, Exchange, Hub, connect};

/// Sends bytes after CONNECT at MQTT 5 and gives the reason code of the DISCONNECT that must follow.
fn reason_after(hub: &Hub, name: &str, bytes: &[u8]) -> Option<u8> {
    let mut connection = Connection::new(hub.tcp_port(), 5, name);
    connection.stream.offer(bytes);
    connection.disconnect_reason()
}

#[test]
fn malformed_packets_after_connect() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let (malformed, protocol_error) = (0x81, 0x82);
    let cases: [(&str, Vec<u8>, u8); 18] = [
        ("packet type 0", packet(0x00, b""), malformed),
        ("a length of five bytes", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], malformed),
        ("QoS 3", packet(0x36, &[&string("t")[..], &[0, 1, 0]].concat()), malformed),
        ("a topic cut off", packet(0x30, &[0, 10, b'a']), malformed),
        ("a topic that is not UTF-8", packet(0x30, &[&string([0xff, 0xfe])[..], &[0]].concat()), malformed),
        ("a topic with U+0000", packet(0x30, &[&string("a\0b")[..], &[0]].concat()), malformed),
        (
            "a topic with a surrogate",
            packet(0x30, &[&string([0xed, 0xa0, 0x80])[..], &[0]].concat()),
            malformed,
        ),
        ("a topic with a wildcard", publish_packet(5, "a/#", b""), 0x90),
        ("an empty topic without alias", publish_packet(5, "", b""), protocol_error),
        ("a topic alias of 0", packet(0x30, &[&string("t")[..], &[3, 0x23, 0, 0]].concat()), 0x94),
        (
            "an unknown topic alias",
            packet(0x30, &[&string("")[..], &[3, 0x23, 0, 9]].concat()),
            protocol_error,
        ),
        ("an unknown property", packet(0x30, &[&string("t")[..], &[2, 0x7f, 0]].concat()), malformed),
        ("properties longer than the packet", packet(0x30, &[&string("t")[..], &[50]].concat()), malformed),
        ("packet id 0", packet(0x32, &[&string("t")[..], &[0, 0, 0]].concat()), malformed),
        ("a SUBSCRIBE without filters", packet(0x82, &[0, 1, 0]), protocol_error),
        (
            "a SUBSCRIBE with wrong flags",
            packet(0x80, &[&[0, 1, 0][..], &string("t"), &[0]].concat()),
            malformed,
        ),
        ("a second CONNECT", connect_packet(5, "second", &[]), protocol_error),
        ("a CONNACK from a client", packet(0x20, &[0, 0, 0]), protocol_error),
    ];
    for (what, bytes, reason) in cases {
        assert_eq!(reason_after(&hub, "offender", &bytes), Some(reason), "{what}");
    }
    bystander.unharmed();
}

#[test]
fn malformed_packets_before_mqtt_5_just_close() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    for version in [3, 4] {
        for bytes in [packet(0x00, b""), packet(0x36, b"\0\x01t\0\x01"), publish_packet(version, "a/+", b"")]
        {
            let mut connection = Connection::new(hub.tcp_port(), version, "offender");
            connection.stream.offer(&bytes);
            assert_eq!(connection.stream.rest(), b"");
        }
    }
    bystander.unharmed();
}

#[test]
fn a_connect_that_cannot_be() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let refusal = |bytes: &[u8]| {
        let mut stream = connect(hub.tcp_port());
        stream.write_all(bytes).unwrap();
        stream.rest()
    };
    // Unacceptable protocol version: 1 as MQTT 3.1.1 has it, 0x84 as MQTT 5 has it.
    let unknown_version = packet(0x10, &[&string("MQTT")[..], &[9, 2, 0, 60, 0], &string("x")].concat());
    let said = refusal(&unknown_version);
    assert!(said.first() == Some(&0x20) && matches!(said.get(3), Some(1 | 0x84)), "{said:?}");
    // Reserved flag set [MQTT-3.1.2-3].
    let reserved = packet(0x10, &[&string("MQTT")[..], &[5, 3, 0, 60, 0], &string("x")].concat());
    let said = refusal(&reserved);
    assert!(said.is_empty() || said[3] == 0x81, "{said:?}");
    // MQTT 3.1.1 without a client id and without a clean session: 2, identifier rejected [MQTT-3.1.3-8].
    let nameless = packet(0x10, &[&string("MQTT")[..], &[4, 0, 0, 60], &string("")].concat());
    assert_eq!(refusal(&nameless), [0x20, 2, 0, 2]);
    // A client id that is not UTF-8 [MQTT-3.1.3-4].
    let bad_name = packet(0x10, &[&string("MQTT")[..], &[5, 2, 0, 60, 0], &string([0xc3, 0x28])].concat());
    let said = refusal(&bad_name);
    assert!(said.is_empty() || matches!(said[3], 0x81 | 0x85), "{said:?}");
    bystander.unharmed();
}

#[test]
fn a_packet_above_the_limit() {
    let hub = Hub::with_config(&format!("{}\n[limits]\npacket_bytes_max = 10000\n", trefoil_tests::CONFIG));
    let bystander = Bystander::start(&hub);
    // The length alone is enough: nothing is read, or set aside, for what it announces.
    assert_eq!(reason_after(&hub, "announcer", &[0x30, 0xff, 0xff, 0xff, 0x7f]), Some(0x95));
    assert_eq!(reason_after(&hub, "sender", &publish_packet(5, "t", &[0; 20_000])), Some(0x95));
    // A CONNECT of such a size is no client at all.
    let mut stream = connect(hub.tcp_port());
    stream.offer(&[&[0x10, 0xff, 0xff, 0xff, 0x7f][..], &string("MQTT"), &[5]].concat());
    stream.rest();
    // CONNACK says the limit [MQTT-3.2.2-15].
    let mut stream = connect(hub.tcp_port());
    stream.write_all(&[connect_packet(5, "reader", &[]), vec![0xE0, 0]].concat()).unwrap();
    let connack = stream.rest();
    assert!(connack.windows(5).any(|bytes| bytes == [0x27, 0, 0, 0x27, 0x10]), "{connack:?}");
    bystander.unharmed();
}

#[test]
fn a_connection_that_breaks_off_in_the_middle_of_a_packet() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let whole =
        [connect_packet(5, "cut", &[]), subscribe_packet(5, "t", 1), publish_packet(5, "t", b"payload")]
            .concat();
    for length in 1..whole.len() {
        connect(hub.tcp_port()).write_all(&whole[..length]).unwrap();
    }
    bystander.unharmed();
}

#[test]
fn a_client_that_stays_silent_for_longer_than_its_keep_alive() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let mut stream = connect(hub.tcp_port());
    let connect_packet = packet(0x10, &[&string("MQTT")[..], &[5, 2, 0, 1, 0], &string("silent")].concat());
    stream.write_all(&connect_packet).unwrap();
    let said = stream.rest();
    // 0x8D: keep-alive timeout [MQTT-3.1.2-22].
    assert!(said.windows(3).any(|bytes| bytes[0] == 0xE0 && bytes[2] == 0x8D), "{said:?}");
    bystander.unharmed();
}

#[test]
fn more_in_flight_than_was_agreed() {
    let hub = Hub::with_config(&format!("{}\n[limits]\nreceive_max = 3\n", trefoil_tests::CONFIG));
    let bystander = Bystander::start(&hub);
    // QoS 2 stays in flight until PUBREL: the fourth is one too many (0x93) [MQTT-3.3.4-7].
    let publish = |id: u8| packet(0x34, &[&string("t")[..], &[0, id, 0]].concat());
    let bytes: Vec<u8> = (1..=4).flat_map(publish).collect();
    assert_eq!(reason_after(&hub, "eager", &bytes), Some(0x93));
    bystander.unharmed();
}

#[test]
fn a_will_cannot_speak_for_the_hub() {
    let hub = Hub::start();
    // CONNECT of 3.1.1 with clean session and a retained will to `$SYS/x`.
    let body = b"\0\x04MQTT\x04\x26\0\x3c\0\x01w\0\x06$SYS/x\0\x01y";
    let mut stream = trefoil_tests::connect(hub.tcp_port());
    stream.offer(&[&[0x10, body.len() as u8], &body[..]].concat());
    assert_eq!(stream.rest(), [0x20, 2, 0, 5], "not authorized, and the end");
}
