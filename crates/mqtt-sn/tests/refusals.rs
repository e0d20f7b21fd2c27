//! Datagrams that are no packets, and what is said of each.

use trefoil_mqtt_sn::{DecodeError, decode};

#[test]
fn too_short_for_any_packet() {
    for datagram in [b"".as_slice(), b"\x02", b"\x00", b"\x01", b"\x01\x00", b"\x01\x00\x04"] {
        assert_eq!(decode(datagram), Err(DecodeError::TooShort), "{datagram:02x?}");
    }
}

/// A datagram is one whole packet: neither less nor more.
#[test]
fn lengths_that_lie() {
    for (datagram, stated) in [
        (b"\x00\x17".as_slice(), 0),
        (b"\x03\x17", 3),
        (b"\x02\x17\x00", 2),
        (b"\xff\x17", 255),
        (b"\x01\x00\x00\x17", 0),
        (b"\x01\x00\x03\x17", 3),
        (b"\x01\xff\xff\x17", 65_535),
        (b"\x09\xfe\x00\xaa\x02\x16", 9),
    ] {
        assert_eq!(
            decode(datagram),
            Err(DecodeError::Length { stated, actual: datagram.len() }),
            "{datagram:02x?}"
        );
    }
}

#[test]
fn reserved_types() {
    for packet_type in [0x03, 0x11, 0x19].into_iter().chain(0x1e..=0xfd).chain([0xff]) {
        assert_eq!(decode(&[2, packet_type]), Err(DecodeError::Type(packet_type)));
    }
}

/// Every packet with a fixed form, cut short after each octet and with one too many.
#[test]
fn bodies_of_the_wrong_length() {
    let fixed = [
        b"\x05\x00\x07\x03\x84".as_slice(),
        b"\x03\x01\x02",
        b"\x03\x05\x00",
        b"\x02\x06",
        b"\x02\x08",
        b"\x07\x0b\x12\x34\x00\x05\x00",
        b"\x07\x0d\x12\x34\x09\x08\x02",
        b"\x04\x0e\x09\x08",
        b"\x04\x0f\x09\x08",
        b"\x04\x10\x09\x08",
        b"\x07\x12\x21\x00\x05\x00\x07",
        b"\x07\x12\x02\x00\x05ab",
        b"\x08\x13\x20\x00\x09\x00\x05\x00",
        b"\x07\x14\x01\x00\x06\x00\x07",
        b"\x04\x15\x00\x06",
        b"\x02\x17",
        b"\x04\x18\x0e\x10",
        b"\x03\x1b\x00",
        b"\x03\x1d\x00",
    ];
    for packet in fixed {
        assert!(decode(packet).is_ok(), "{packet:02x?}");
        let wrong = DecodeError::Body(packet[1]);
        for len in 2..packet.len() {
            let cut = [&[len as u8], &packet[1..len]].concat();
            // DISCONNECT without a duration is a packet of its own.
            if cut != [2, 0x18] {
                assert_eq!(decode(&cut), Err(wrong), "{cut:02x?}");
            }
        }
        let longer = [&[packet[0] + 1], &packet[1..], &[0]].concat();
        assert_eq!(decode(&longer), Err(wrong), "{longer:02x?}");
    }
}

/// Packets that end in a text or payload, cut short before it begins.
#[test]
fn bodies_that_end_too_early() {
    for (packet, fixed_len) in [
        (b"\x09\x04\x00\x01\x00\x3cdev".as_slice(), 6),
        (b"\x07\x02\x07\x0a\x00\x00\x01", 3),
        (b"\x09\x0a\x00\x00\x00\x05a/b", 6),
        (b"\x09\x0c\x00\x12\x34\x00\x0021", 7),
        (b"\x08\x12\x00\x00\x05a/#", 5),
        (b"\x08\x14\x00\x00\x06a/#", 5),
    ] {
        for len in 2..fixed_len {
            let cut = [&[len as u8], &packet[1..len]].concat();
            assert_eq!(decode(&cut), Err(DecodeError::Body(packet[1])), "{cut:02x?}");
        }
    }
}

#[test]
fn topics_that_are_empty() {
    for datagram in [b"\x06\x0a\x00\x00\x00\x05".as_slice(), b"\x05\x12\x00\x00\x05", b"\x05\x14\x00\x00\x05"]
    {
        assert_eq!(decode(datagram), Err(DecodeError::TopicEmpty), "{datagram:02x?}");
    }
}

#[test]
fn texts_that_are_not_utf8() {
    for text in [b"\xff\xff\xff".as_slice(), b"a\0b", b"\xed\xa0\x80", b"ab\xc3"] {
        for head in [
            b"\x04\x00\x01\x00\x3c".as_slice(),
            b"\x07\x00",
            b"\x0a\x00\x00\x00\x05",
            b"\x12\x00\x00\x05",
            b"\x14\x00\x00\x05",
            b"\x16",
            b"\x1a\x00",
        ] {
            let len = (1 + head.len() + text.len()) as u8;
            let datagram = [&[len], head, text].concat();
            assert_eq!(decode(&datagram), Err(DecodeError::NotUtf8), "{datagram:02x?}");
        }
    }
    for datagram in
        [b"\x07\x0c\x02\xff\xff\x00\x00", b"\x07\x12\x02\x00\x05a\0", b"\x07\x14\x02\x00\x05\xc3a"]
    {
        assert_eq!(decode(datagram), Err(DecodeError::NotUtf8), "{datagram:02x?}");
    }
}

#[test]
fn topic_id_types() {
    for datagram in [b"\x07\x0c\x03ab\x00\x00", b"\x07\x12\x03\x00\x05ab", b"\x07\x14\x03\x00\x05ab"] {
        assert_eq!(decode(datagram), Err(DecodeError::TopicIdType), "{datagram:02x?}");
    }
    // §6.8: a publish without a connection cannot have an id that was registered on one.
    assert_eq!(decode(b"\x07\x0c\x60\x00\x01\x00\x00"), Err(DecodeError::TopicIdType));
}

/// QoS −1 is a level of PUBLISH only.
#[test]
fn qos_minus_one_elsewhere() {
    for datagram in [
        b"\x06\x12\x60\x00\x05a".as_slice(),
        b"\x08\x13\x60\x00\x09\x00\x05\x00",
        b"\x04\x07\x60a",
        b"\x04\x1a\x60a",
    ] {
        assert_eq!(decode(datagram), Err(DecodeError::QoS), "{datagram:02x?}");
    }
}

#[test]
fn another_protocol() {
    for id in [0, 2, 255] {
        assert_eq!(decode(&[7, 4, 0, id, 0, 60, b'a']), Err(DecodeError::ProtocolId(id)));
    }
    assert_eq!(DecodeError::ProtocolId(2).to_string(), "protocol id 2 is not MQTT-SN 1.2's");
}

#[test]
fn forwarded_packets_that_are_none() {
    for datagram in [
        b"\x03\xfe\x00".as_slice(),      // nothing inside
        b"\x02\xfe\x02\x16",             // no control octet
        b"\x01\x00\x05\xfe\x00\x02",     // the long form, which a forwarder does not have
        b"\x00\xfe\x00\x02\x16",         // no length at all
        b"\x01\xfe\x00\xfe\x00\x02\x16", // a length that ends before the type
    ] {
        let error = decode(datagram).expect_err("it is no packet");
        assert!(
            matches!(error, DecodeError::Body(0xfe) | DecodeError::Length { .. }),
            "{datagram:02x?}: {error}"
        );
    }
}
