//! The rules of PUBLISH, each with bytes written by hand.

use super::*;
use crate::{Packet, ReasonCode, UserPropertiesBuf, decode};

const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

fn written(publish: &Publish<'_>, version: Version) -> Vec<u8> {
    let mut out = b"before".to_vec();
    publish.encode(version, &mut out);
    assert_eq!(out.len() - 6, publish.encoded_len(version));
    out.split_off(6)
}

/// A version 5 PUBLISH to "a" at QoS 0 with this property section.
fn with_properties(section: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x30, 4 + section.len() as u8, 0, 1, b'a', section.len() as u8];
    bytes.extend_from_slice(section);
    bytes
}

fn refusal(section: &[u8]) -> DecodeError {
    decode_publish(&with_properties(section), Version::V5).unwrap_err()
}

#[test]
fn each_qos_in_each_version() {
    let publish = Publish { topic: "a/b", payload: b"hi", ..Publish::default() };
    let old = [0x30, 7, 0, 3, b'a', b'/', b'b', b'h', b'i'];
    assert_eq!(written(&publish, Version::V3_1), old);
    assert_eq!(decode_publish(&old, Version::V3_1_1), Ok(publish));

    let publish = Publish { qos: QoS::ExactlyOnce, dup: true, retain: true, packet_id: 0x1234, ..publish };
    let new = [0x3D, 10, 0, 3, b'a', b'/', b'b', 0x12, 0x34, 0, b'h', b'i'];
    assert_eq!(written(&publish, Version::V5), new);
    assert_eq!(decode_publish(&new, Version::V5), Ok(publish));
    assert_eq!(decode(&new, Version::V5), Ok(Packet::Publish(publish)));
}

#[test]
fn an_empty_payload_is_a_payload() {
    let bytes = [0x31, 3, 0, 1, b'a'];
    assert_eq!(decode_publish(&bytes, Version::V3_1_1).unwrap().payload, b"");
}

#[test]
fn flags_that_do_not_exist() {
    for version in VERSIONS {
        // [MQTT-3.3.1-4]
        assert_eq!(decode_publish(&[0x36, 5, 0, 1, b'a', 0, 1], version), Err(DecodeError::InvalidQoS));
        assert_eq!(decode_publish(&[0x3F, 5, 0, 1, b'a', 0, 1], version), Err(DecodeError::InvalidQoS));
        // [MQTT-3.3.1-2]
        assert_eq!(decode_publish(&[0x38, 4, 0, 1, b'a', 0], version), Err(DecodeError::DupAtQoS0));
    }
    // A sender that asks for it does not get it either.
    let publish = Publish { topic: "a", dup: true, ..Publish::default() };
    assert_eq!(written(&publish, Version::V3_1_1)[0], 0x30);
}

#[test]
fn a_packet_identifier_where_one_is_needed() {
    for version in VERSIONS {
        assert_eq!(decode_publish(&[0x32, 6, 0, 1, b'a', 0, 0, 0], version), Err(DecodeError::PacketIdZero));
        assert_eq!(decode_publish(&[0x34, 4, 0, 1, b'a', 9], version), Err(DecodeError::Truncated));
    }
    // [MQTT-2.2.1-2]: at QoS 0 the same bytes are payload.
    assert_eq!(decode_publish(&[0x30, 5, 0, 1, b'a', 0, 1], Version::V3_1_1).unwrap().payload, [0, 1]);
}

#[test]
fn topic_names() {
    for version in VERSIONS {
        for bytes in [[0x30, 4, 0, 1, b'+', 0], [0x30, 4, 0, 1, b'#', 0]] {
            let error = decode_publish(&bytes, version).unwrap_err();
            assert_eq!(error, DecodeError::WildcardInTopicName);
            assert_eq!(error.reason_code(), ReasonCode::TopicNameInvalid);
        }
        assert_eq!(decode_publish(&[0x30, 4, 0, 1, 0xFF, 0], version), Err(DecodeError::InvalidUtf8));
        assert_eq!(decode_publish(&[0x30, 4, 0, 1, 0, 0], version), Err(DecodeError::NullCharacter));
        assert_eq!(decode_publish(&[0x30, 4, 0, 3, b'a', b'b'], version), Err(DecodeError::Truncated));
    }
    // [MQTT-4.7.3-1]
    assert_eq!(decode_publish(&[0x30, 2, 0, 0], Version::V3_1_1), Err(DecodeError::EmptyTopicName));
}

#[test]
fn an_alias_may_stand_for_the_name() {
    let with_alias = [0x30, 6, 0, 0, 3, 0x23, 0, 7];
    assert_eq!(decode_publish(&with_alias, Version::V5).unwrap().topic_alias, Some(7));
    let without = decode_publish(&[0x30, 3, 0, 0, 0], Version::V5).unwrap_err();
    assert_eq!(without, DecodeError::TopicNameAndAliasMissing);
    assert_eq!(without.reason_code(), ReasonCode::ProtocolError);
    // [MQTT-3.3.2-8]
    let zero = refusal(&[0x23, 0, 0]);
    assert_eq!(zero, DecodeError::InvalidPropertyValue { property: PropertyId::TopicAlias, value: 0 });
    assert_eq!(zero.reason_code(), ReasonCode::TopicAliasInvalid);
}

#[test]
fn all_properties_there_and_back() {
    let mut user = UserPropertiesBuf::new();
    user.push("k", "1").unwrap();
    user.push("k", "2").unwrap();
    let publish = Publish {
        topic: "a",
        qos: QoS::AtLeastOnce,
        packet_id: 1,
        topic_alias: Some(2),
        subscription_ids: (&[1, 268_435_455][..]).into(),
        properties: MessageProperties {
            payload_format: Some(1),
            expiry_s: Some(3),
            content_type: Some("text/plain"),
            response_topic: Some("r"),
            correlation_data: Some(&[0, 255]),
            user_properties: user.as_ref(),
        },
        payload: b"x",
        ..Publish::default()
    };
    let wire = written(&publish, Version::V5);
    assert_eq!(decode_publish(&wire, Version::V5), Ok(publish));
    // What version 3.1.1 has no place for is left out.
    assert_eq!(written(&publish, Version::V3_1_1), [0x32, 6, 0, 1, b'a', 0, 1, b'x']);
}

#[test]
fn properties_once_except_two_kinds() {
    let twice: [(&[u8], PropertyId); 6] = [
        (&[0x01, 0], PropertyId::PayloadFormat),
        (&[0x02, 0, 0, 0, 1], PropertyId::MessageExpiry),
        (&[0x03, 0, 0], PropertyId::ContentType),
        (&[0x08, 0, 1, b'r'], PropertyId::ResponseTopic),
        (&[0x09, 0, 0], PropertyId::CorrelationData),
        (&[0x23, 0, 1], PropertyId::TopicAlias),
    ];
    for (bytes, property) in twice {
        let error = refusal(&[bytes, bytes].concat());
        assert_eq!(error, DecodeError::DuplicateProperty { property });
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
    }
    let wire = with_properties(&[0x0B, 1, 0x26, 0, 0, 0, 0, 0x0B, 2, 0x26, 0, 0, 0, 0]);
    let publish = decode_publish(&wire, Version::V5).unwrap();
    assert_eq!(publish.subscription_ids.iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(publish.properties.user_properties.iter().count(), 2);
    // Written again they are sorted by kind, and mean the same.
    assert_eq!(decode_publish(&written(&publish, Version::V5), Version::V5), Ok(publish));
}

#[test]
fn properties_of_other_packets() {
    for id in [0x11, 0x12, 0x13, 0x15, 0x17, 0x18, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x27, 0x2A] {
        let property = PropertyId::from_u32(u32::from(id)).unwrap();
        let values: [&[u8]; 3] = [&[id, 1], &[id, 0, 1, b'x'], &[id, 0, 0, 0, 1]];
        let refused = values.iter().any(|section| {
            refusal(section) == DecodeError::MisplacedProperty { property, packet: PacketType::Publish }
        });
        assert!(refused, "{property}");
    }
    assert_eq!(refusal(&[0x04, 1]), DecodeError::UnknownProperty { id: 4 });
}

#[test]
fn property_values() {
    let property = PropertyId::PayloadFormat;
    assert_eq!(refusal(&[0x01, 2]), DecodeError::InvalidPropertyValue { property, value: 2 });
    // [MQTT-3.3.2-14], [MQTT-4.7.3-1]
    assert_eq!(refusal(&[0x08, 0, 0]), DecodeError::InvalidResponseTopic);
    assert_eq!(refusal(&[0x08, 0, 1, b'#']), DecodeError::InvalidResponseTopic);
    // [MQTT-3.3.2-19]
    assert_eq!(refusal(&[0x03, 0, 1, 0xC0]), DecodeError::InvalidUtf8);
    // [MQTT-1.5.7-1]
    assert_eq!(refusal(&[0x26, 0, 1, 0, 0, 0]), DecodeError::NullCharacter);
    // The payload format is taken at its word.
    let mut wire = with_properties(&[0x01, 1]);
    wire[1] += 1;
    wire.push(0xFF);
    assert_eq!(decode_publish(&wire, Version::V5).unwrap().payload, [0xFF]);
}

#[test]
fn the_property_section_ends_inside_the_packet() {
    assert_eq!(decode_publish(&[0x30, 3, 0, 1, b'a'], Version::V5), Err(DecodeError::Truncated));
    assert_eq!(decode_publish(&[0x30, 5, 0, 1, b'a', 2, 1], Version::V5), Err(DecodeError::Truncated));
    // A property that would need bytes from behind the section.
    assert_eq!(decode_publish(&[0x30, 6, 0, 1, b'a', 1, 1, 1], Version::V5), Err(DecodeError::Truncated));
    let malformed = DecodeError::MalformedVariableByteInteger;
    assert_eq!(decode_publish(&[0x30, 5, 0, 1, b'a', 0x80, 0], Version::V5), Err(malformed));
}

#[test]
fn copies_can_be_patched() {
    let publish = Publish { topic: "a/b", qos: QoS::AtLeastOnce, payload: &[7; 200], ..Publish::default() };
    for version in VERSIONS {
        let mut wire = Vec::new();
        let encoded = publish.encode(version, &mut wire);
        let resent = Publish { dup: true, packet_id: 0xABCD, ..publish };
        wire[0] = resent.first_byte();
        wire[encoded.packet_id_at..][..2].copy_from_slice(&0xABCD_u16.to_be_bytes());
        assert_eq!(decode_publish(&wire, version), Ok(resent));
    }
    let at_most_once = Publish { qos: QoS::AtMostOnce, ..publish };
    assert_eq!(at_most_once.encode(Version::V5, &mut Vec::new()).packet_id_at, 0);
}

#[test]
fn offsets_count_from_the_start_of_the_packet() {
    let publish = Publish { topic: "abc", qos: QoS::AtLeastOnce, packet_id: 9, ..Publish::default() };
    let mut out = vec![0; 100];
    assert_eq!(publish.encode(Version::V3_1_1, &mut out).packet_id_at, 7);
    assert_eq!(out[107..109], [0, 9]);
}

#[test]
fn longer_than_a_packet_can_be() {
    // Zeroed memory that nobody touches is free.
    let payload = vec![0; VARINT_MAX];
    let publish = Publish { topic: "a", payload: &payload, ..Publish::default() };
    let mut out = Vec::new();
    publish.encode(Version::V3_1_1, &mut out);
    assert!(out.is_empty());
    assert!(publish.encoded_len(Version::V3_1_1) > crate::PACKET_BYTES_MAX);
}

#[test]
fn only_for_publish() {
    let packet_type = PacketType::PingReq;
    assert_eq!(
        decode_publish(&[0xC0, 0], Version::V5),
        Err(DecodeError::UnexpectedPacketType { packet_type })
    );
}
