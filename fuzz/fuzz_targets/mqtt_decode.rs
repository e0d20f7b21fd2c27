//! Any bytes as a stream of MQTT packets, in each version. What decodes is written again and must say the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_mqtt::{Packet, Version, connect_version, decode, decode_publish, frame};

const PACKET_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let mut rest = data;
        while let Ok(Some(found)) = frame(rest, PACKET_BYTES_MAX) {
            assert!(found.header_len <= found.len && found.len <= PACKET_BYTES_MAX);
            let Some((bytes, after)) = rest.split_at_checked(found.len) else { break };
            check(bytes, version);
            rest = after;
        }
    }
});

fn check(bytes: &[u8], version: Version) {
    let packet = match decode(bytes, version) {
        Ok(packet) => packet,
        Err(error) => {
            // Whoever closes the connection needs all three.
            let _ = (error.to_string(), error.reason_code(), connect_version(bytes));
            return;
        }
    };
    let mut again = Vec::new();
    packet.encode(version, &mut again);
    assert_eq!(decode(&again, version), Ok(packet));
    if let Packet::Publish(publish) = packet {
        assert_eq!(again.len(), publish.encoded_len(version));
        assert_eq!(decode_publish(bytes, version), Ok(publish));
    }
}
