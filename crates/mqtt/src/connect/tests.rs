//! The rules of CONNECT, each with bytes written by hand.

use super::*;
use crate::{Packet, ReasonCode, UserPropertiesBuf, decode};

/// Puts the fixed header in front of a body.
fn packet(body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    [&[0x10, body.len() as u8], &body[..]].concat()
}

/// A CONNECT of 3.1.1 with these flags, keep alive 60 and this payload.
fn v311(flags: u8, payload: &[u8]) -> Vec<u8> {
    packet(&[&[0, 4], b"MQTT", &[4, flags, 0, 60], payload])
}

/// A CONNECT of 5.0 with a clean start, this property section and the client id "c".
fn v5(section: &[u8]) -> Vec<u8> {
    packet(&[&[0, 4], b"MQTT", &[5, 2, 0, 60, section.len() as u8], section, &[0, 1, b'c']])
}

/// A CONNECT of 5.0 with a will that has this property section.
fn v5_will(section: &[u8]) -> Vec<u8> {
    let will = [&[section.len() as u8], section, &[0, 1, b'w', 0, 0]].concat();
    packet(&[&[0, 4], b"MQTT", &[5, 6, 0, 60, 0, 0, 1, b'c'], &will])
}

/// The version passed in does not matter to CONNECT.
fn connect(bytes: &[u8]) -> Result<Connect<'_>, DecodeError> {
    match decode(bytes, Version::V3_1)? {
        Packet::Connect(packet) => Ok(packet),
        other => panic!("{other:?} is no CONNECT"),
    }
}

fn refusal(bytes: &[u8]) -> DecodeError {
    connect(bytes).unwrap_err()
}

fn written(connect: &Connect<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    connect.encode(connect.version, &mut out);
    out
}

#[test]
fn each_version_has_its_name_and_level() {
    let old = packet(&[&[0, 6], b"MQIsdp", &[3, 2, 0, 60, 0, 1, b'c']]);
    for (wire, version) in
        [(old, Version::V3_1), (v311(2, &[0, 1, b'c']), Version::V3_1_1), (v5(&[]), Version::V5)]
    {
        let found = connect(&wire).unwrap();
        let expected =
            Connect { version, clean_start: true, keep_alive_s: 60, client_id: "c", ..Connect::default() };
        assert_eq!(found, expected);
        assert_eq!(written(&found), wire);
        assert_eq!(connect_version(&wire), Some(version));
    }
}

#[test]
fn levels_that_do_not_exist_are_told_apart_from_other_protocols() {
    let levels: [(&[u8], u8, Version); 7] = [
        (b"MQTT", 6, Version::V5),
        (b"MQTT", 255, Version::V5),
        (b"MQTT", 3, Version::V3_1_1),
        (b"MQTT", 0, Version::V3_1_1),
        // What a mosquitto bridge tries first.
        (b"MQTT", 0x84, Version::V3_1_1),
        (b"MQIsdp", 4, Version::V3_1_1),
        (b"MQIsdp", 0x83, Version::V3_1_1),
    ];
    for (name, level, answer) in levels {
        // What follows may look different in a version that we do not know.
        let wire = packet(&[&[0, name.len() as u8], name, &[level, 0xFF]]);
        assert_eq!(refusal(&wire), DecodeError::UnsupportedProtocolLevel { level });
        assert_eq!(refusal(&wire).reason_code(), ReasonCode::UnsupportedProtocolVersion);
        assert_eq!(connect_version(&wire), Some(answer));
    }
    for name in [&b"MQTt"[..], b"", b"MQIsdpX", b"HTTP", &[0xFF; 4]] {
        let wire = packet(&[&[0, name.len() as u8], name, &[4, 2, 0, 60, 0, 0]]);
        assert_eq!(refusal(&wire), DecodeError::UnknownProtocolName);
        assert_eq!(connect_version(&wire), None);
    }
}

#[test]
fn a_refusal_finds_its_version_in_a_broken_packet() {
    assert_eq!(connect_version(&v5(&[0xFF])), Some(Version::V5));
    // Longer than anybody wants, and not all there.
    assert_eq!(
        connect_version(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, b'M', b'Q', b'T', b'T', 5]),
        Some(Version::V5)
    );
    assert_eq!(connect_version(&[0x10, 20, 0, 4, b'M', b'Q', b'T', b'T']), None);
    assert_eq!(connect_version(&[0xC0, 0]), None);
    assert_eq!(connect_version(&[]), None);
}

#[test]
fn reserved_bits() {
    // [MQTT-3.1.2-3]
    assert_eq!(refusal(&v311(0x03, &[0, 1, b'c'])), DecodeError::ReservedConnectFlag);
    let mut wire = v311(0x02, &[0, 1, b'c']);
    for first_byte in [0x11, 0x12, 0x14, 0x18] {
        wire[0] = first_byte;
        assert_eq!(refusal(&wire), DecodeError::ReservedFlags { first_byte });
    }
}

#[test]
fn will_flags() {
    // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    for flags in [0x08, 0x10, 0x18, 0x20] {
        assert_eq!(refusal(&v311(flags, &[0, 1, b'c'])), DecodeError::WillFlagsWithoutWill);
    }
    // [MQTT-3.1.2-12]
    assert_eq!(refusal(&v311(0x1C, &[0, 1, b'c', 0, 1, b'w', 0, 0])), DecodeError::InvalidQoS);
    let wire = v311(0x34, &[0, 1, b'c', 0, 1, b'w', 0, 2, 0, 0xFF]);
    let found = connect(&wire).unwrap();
    let will =
        Will { topic: "w", payload: &[0, 0xFF], qos: QoS::ExactlyOnce, retain: true, ..Will::default() };
    assert_eq!(found.will, Some(will));
    assert_eq!(written(&found), wire);
}

#[test]
fn a_will_has_a_topic_and_a_payload() {
    // [MQTT-3.1.2-9]
    assert_eq!(refusal(&v311(0x04, &[0, 1, b'c'])), DecodeError::Truncated);
    assert_eq!(refusal(&v311(0x04, &[0, 1, b'c', 0, 1, b'w'])), DecodeError::Truncated);
    // [MQTT-4.7.3-1], [MQTT-3.3.2-2]
    assert_eq!(refusal(&v311(0x04, &[0, 1, b'c', 0, 0, 0, 0])), DecodeError::EmptyTopicName);
    assert_eq!(refusal(&v311(0x04, &[0, 1, b'c', 0, 1, b'#', 0, 0])), DecodeError::WildcardInTopicName);
    // [MQTT-3.1.3-11]
    assert_eq!(refusal(&v311(0x04, &[0, 1, b'c', 0, 1, 0xFF, 0, 0])), DecodeError::InvalidUtf8);
}

#[test]
fn user_name_and_password() {
    let wire = v311(0xC0, &[0, 1, b'c', 0, 1, b'u', 0, 2, 0, 0xFF]);
    let found = connect(&wire).unwrap();
    assert_eq!((found.user_name, found.password), (Some("u"), Some(&[0, 0xFF][..])));
    assert_eq!(written(&found), wire);
    // [MQTT-3.1.2-17], [MQTT-3.1.2-19]
    assert_eq!(refusal(&v311(0x80, &[0, 1, b'c'])), DecodeError::Truncated);
    assert_eq!(refusal(&v311(0xC0, &[0, 1, b'c', 0, 1, b'u'])), DecodeError::Truncated);
    // [MQTT-3.1.2-16], [MQTT-3.1.2-18]
    assert_eq!(refusal(&v311(0x00, &[0, 1, b'c', 0, 1, b'u'])), DecodeError::TrailingBytes);
    assert_eq!(refusal(&v311(0x80, &[0, 1, b'c', 0, 1, b'u', 0, 1, b'p'])), DecodeError::TrailingBytes);
    // [MQTT-3.1.3-12]
    assert_eq!(refusal(&v311(0x80, &[0, 1, b'c', 0, 1, 0])), DecodeError::NullCharacter);
}

#[test]
fn a_password_alone_needs_version_5() {
    let payload = [0, 1, b'c', 0, 1, b'p'];
    assert_eq!(refusal(&v311(0x40, &payload)), DecodeError::PasswordWithoutUserName);
    let old = packet(&[&[0, 6], b"MQIsdp", &[3, 0x40, 0, 60], &payload]);
    assert_eq!(refusal(&old), DecodeError::PasswordWithoutUserName);
    let new = packet(&[&[0, 4], b"MQTT", &[5, 0x40, 0, 60, 0], &payload]);
    let found = connect(&new).unwrap();
    assert_eq!((found.user_name, found.password), (None, Some(&b"p"[..])));
    assert_eq!(written(&found), new);
    // A sender of 3.1.1 leaves it out rather than break the rule.
    let out = written(&Connect { version: Version::V3_1_1, ..found });
    assert_eq!(out, v311(0, &[0, 1, b'c']));
}

#[test]
fn version_3_1_may_end_before_the_user_name() {
    let wire = packet(&[&[0, 6], b"MQIsdp", &[3, 0xC0, 0, 60, 0, 1, b'c']]);
    let found = connect(&wire).unwrap();
    assert_eq!((found.user_name, found.password), (None, None));
    let wire = packet(&[&[0, 6], b"MQIsdp", &[3, 0xC0, 0, 60, 0, 1, b'c', 0, 1, b'u']]);
    assert_eq!(connect(&wire).unwrap().user_name, Some("u"));
}

#[test]
fn client_identifiers() {
    assert_eq!(connect(&v311(0x02, &[0, 0])).unwrap().client_id, "");
    // [MQTT-3.1.3-3], [MQTT-3.1.3-4]
    assert_eq!(refusal(&v311(0x02, &[])), DecodeError::Truncated);
    assert_eq!(refusal(&v311(0x02, &[0, 1, 0x80])), DecodeError::InvalidUtf8);
    assert_eq!(refusal(&v311(0x02, &[0, 3, 0xED, 0xA0, 0x80])), DecodeError::InvalidUtf8);
    assert_eq!(refusal(&v311(0x02, &[0, 1, 0])), DecodeError::NullCharacter);
}

#[test]
fn all_properties_there_and_back() {
    let mut user = UserPropertiesBuf::new();
    user.push("k", "v").unwrap();
    let properties = ConnectProperties {
        session_expiry_s: Some(u32::MAX),
        receive_max: Some(1),
        packet_bytes_max: Some(1),
        topic_alias_max: Some(0),
        request_response_information: true,
        request_problem_information: false,
        user_properties: user.as_ref(),
        authentication_method: Some("SCRAM"),
        authentication_data: Some(&[0, 255]),
    };
    let will = Will {
        topic: "w",
        delay_s: 5,
        properties: MessageProperties {
            payload_format: Some(0),
            expiry_s: Some(1),
            content_type: Some(""),
            response_topic: Some("r"),
            correlation_data: Some(&[]),
            user_properties: user.as_ref(),
        },
        ..Will::default()
    };
    let packet = Connect {
        client_id: "c",
        will: Some(will),
        user_name: Some("u"),
        password: Some(b"p"),
        properties,
        ..Connect::default()
    };
    let wire = written(&packet);
    assert_eq!(connect(&wire), Ok(packet));
    assert!(
        connect(&written(&Connect { version: Version::V3_1_1, ..packet }))
            .unwrap()
            .properties
            .user_properties
            .is_empty()
    );
}

#[test]
fn what_is_absent_has_its_default() {
    let wire = v5(&[]);
    let found = connect(&wire).unwrap().properties;
    assert!(found.request_problem_information && !found.request_response_information);
    let spelled_out = v5(&[0x17, 1, 0x19, 0]);
    assert_eq!(connect(&spelled_out).unwrap().properties, found);
}

#[test]
fn properties_once() {
    let twice: [(&[u8], PropertyId); 7] = [
        (&[0x11, 0, 0, 0, 0], PropertyId::SessionExpiry),
        (&[0x21, 0, 1], PropertyId::ReceiveMaximum),
        (&[0x27, 0, 0, 0, 1], PropertyId::MaximumPacketSize),
        (&[0x22, 0, 0], PropertyId::TopicAliasMaximum),
        (&[0x19, 0], PropertyId::RequestResponseInformation),
        (&[0x17, 1], PropertyId::RequestProblemInformation),
        (&[0x15, 0, 0], PropertyId::AuthenticationMethod),
    ];
    for (bytes, property) in twice {
        assert!(connect(&v5(bytes)).is_ok());
        assert_eq!(refusal(&v5(&[bytes, bytes].concat())), DecodeError::DuplicateProperty { property });
    }
    let property = PropertyId::WillDelay;
    let delay = [0x18, 0, 0, 0, 0];
    assert_eq!(refusal(&v5_will(&[delay, delay].concat())), DecodeError::DuplicateProperty { property });
}

#[test]
fn values_that_are_not_allowed() {
    let refused: [(&[u8], PropertyId, u32); 4] = [
        (&[0x21, 0, 0], PropertyId::ReceiveMaximum, 0),
        (&[0x27, 0, 0, 0, 0], PropertyId::MaximumPacketSize, 0),
        (&[0x19, 2], PropertyId::RequestResponseInformation, 2),
        (&[0x17, 2], PropertyId::RequestProblemInformation, 2),
    ];
    for (bytes, property, value) in refused {
        assert_eq!(refusal(&v5(bytes)), DecodeError::InvalidPropertyValue { property, value });
        assert_eq!(refusal(&v5(bytes)).reason_code(), ReasonCode::ProtocolError);
    }
    assert_eq!(refusal(&v5(&[0x16, 0, 0])), DecodeError::AuthenticationDataWithoutMethod);
}

#[test]
fn properties_in_their_place() {
    let packet = PacketType::Connect;
    let misplaced = |property| DecodeError::MisplacedProperty { property, packet };
    assert_eq!(refusal(&v5(&[0x18, 0, 0, 0, 0])), misplaced(PropertyId::WillDelay));
    assert_eq!(refusal(&v5(&[0x01, 0])), misplaced(PropertyId::PayloadFormat));
    assert_eq!(refusal(&v5(&[0x24, 1])), misplaced(PropertyId::MaximumQoS));
    assert_eq!(refusal(&v5_will(&[0x11, 0, 0, 0, 0])), misplaced(PropertyId::SessionExpiry));
    assert_eq!(refusal(&v5_will(&[0x23, 0, 1])), misplaced(PropertyId::TopicAlias));
    assert_eq!(refusal(&v5_will(&[0x0B, 1])), misplaced(PropertyId::SubscriptionId));
    assert!(connect(&v5_will(&[0x01, 1, 0x18, 0, 0, 0, 9])).is_ok());
}

#[test]
fn cut_anywhere_it_is_truncated() {
    let body = [&v311(0xC4, &[0, 1, b'c', 0, 1, b'w', 0, 1, b'm', 0, 1, b'u', 0, 1, b'p'])[2..]].concat();
    assert!(connect(&packet(&[&body])).is_ok());
    for len in 0..body.len() {
        assert_eq!(refusal(&packet(&[&body[..len]])), DecodeError::Truncated, "{len}");
    }
    assert_eq!(refusal(&packet(&[&body, &[0]])), DecodeError::TrailingBytes);
}
