//! Any datagram: no panic, and what is a packet encodes and decodes to the same one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_mqtt_sn::decode;

fuzz_target!(|datagram: &[u8]| {
    let Ok(packet) = decode(datagram) else { return };
    let mut encoded = Vec::new();
    packet.encode(&mut encoded).expect("the shortest form of what was decoded is no longer");
    assert!(encoded.len() <= datagram.len());
    assert_eq!(decode(&encoded), Ok(packet));
});
