//! What must hold for every packet and for any bytes at all.

#![allow(clippy::unwrap_used)]

mod arbitrary;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use trefoil_mqtt::{PACKET_BYTES_MAX, Packet, Version, decode, decode_publish, frame};

const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

fn any_packet() -> impl Strategy<Value = (Version, Packet<'static>)> {
    proptest::sample::select(VERSIONS.to_vec())
        .prop_flat_map(|version| arbitrary::packet(version).prop_map(move |packet| (version, packet)))
}

fn wire(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out);
    out
}

/// What decodes can be written again, and then says the same.
fn check_decoded(bytes: &[u8]) {
    for version in VERSIONS {
        if let Ok(packet) = decode(bytes, version) {
            let again = wire(&packet, version);
            assert_eq!(decode(&again, version), Ok(packet));
            if let Packet::Publish(publish) = packet {
                assert_eq!(again.len(), publish.encoded_len(version));
                assert_eq!(decode_publish(bytes, version), Ok(publish));
            }
        }
    }
}

/// One change to a packet.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Mutation::Set(at, byte) => bytes[at.index(len)] = *byte,
            Mutation::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Mutation::Insert(at, byte) => bytes.insert(at.index(len), *byte),
            Mutation::Remove(at) => {
                bytes.remove(at.index(len));
            }
            Mutation::Truncate(at) => bytes.truncate(at.index(len)),
        }
    }
}

/// Puts a fixed header in front that fits, so that changes inside are not all refused for the wrong length.
fn framed(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first_byte];
    let mut len = body.len();
    while len > 0x7F {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(body);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_read_back((version, packet) in any_packet()) {
        let bytes = wire(&packet, version);
        prop_assert_eq!(decode(&bytes, version), Ok(packet));
        prop_assert_eq!(decode(&bytes, version).unwrap().packet_type(), packet.packet_type());
    }

    #[test]
    fn a_packet_is_measured_from_its_first_bytes((version, packet) in any_packet(), more in vec(any::<u8>(), 0..8)) {
        let mut bytes = wire(&packet, version);
        let len = bytes.len();
        let found = frame(&bytes, len).unwrap().unwrap();
        prop_assert_eq!((found.first_byte, found.len), (bytes[0], len));
        prop_assert!(frame(&bytes, len - 1).is_err());
        for end in 0..bytes.len().min(8) {
            let early = frame(&bytes[..end], PACKET_BYTES_MAX).unwrap();
            prop_assert_eq!(early, (end >= found.header_len).then_some(found));
        }
        bytes.extend_from_slice(&more);
        prop_assert_eq!(frame(&bytes, PACKET_BYTES_MAX), Ok(Some(found)));
    }

    #[test]
    fn messages_are_as_long_as_they_say(publish in arbitrary::publish(Version::V5)) {
        for version in VERSIONS {
            let mut out = Vec::new();
            let encoded = publish.encode(version, &mut out);
            prop_assert_eq!(out.len(), publish.encoded_len(version));
            if encoded.packet_id_at > 0 {
                prop_assert_eq!(&out[encoded.packet_id_at..][..2], &publish.packet_id.to_be_bytes());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(first_byte: u8, body in vec(any::<u8>(), 0..200), raw in vec(any::<u8>(), 0..12)) {
        check_decoded(&raw);
        check_decoded(&framed(first_byte, &body));
        if let Ok(Some(found)) = frame(&raw, 100) {
            prop_assert!((2..=5).contains(&found.header_len) && found.header_len <= found.len && found.len <= 100);
        }
    }

    #[test]
    fn changed_packets_are_read_without_panic((version, packet) in any_packet(), mutations in vec(mutation(), 1..4)) {
        let whole = wire(&packet, version);
        let header_len = frame(&whole, PACKET_BYTES_MAX).unwrap().unwrap().header_len;
        let mut body = whole[header_len..].to_vec();
        let mut changed = whole.clone();
        for mutation in &mutations {
            mutation.apply(&mut changed);
            mutation.apply(&mut body);
        }
        check_decoded(&changed);
        check_decoded(&framed(whole[0], &body));
    }
}
