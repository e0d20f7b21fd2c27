//! Any first bytes, in any pieces: what was said early is never taken back, and a listener speaks only what it may.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_config::Protocols;
use trefoil_server::detect::{Detected, detect};

fuzz_target!(|input: (u8, &[u8])| {
    let (flags, bytes) = input;
    let on = |bit: u8| flags & (1 << bit) != 0;
    let allowed = Protocols {
        mqtt: on(0),
        http: on(1),
        websocket: on(2),
        json: on(3),
        mqtt_sn: on(4),
        rooms: on(5),
        framed: on(6),
    };
    let mut said = None;
    for end in 0..=bytes.len() {
        let now = detect(&bytes[..end], allowed);
        if let Some(said) = said {
            assert_eq!(now, said, "{end} bytes of {bytes:?}");
        }
        if !matches!(now, Ok(None)) {
            said = Some(now);
        }
        match now {
            Ok(Some(Detected::Mqtt)) => assert!(allowed.mqtt),
            Ok(Some(Detected::Http)) => assert!(allowed.http || allowed.websocket),
            Ok(Some(Detected::Json)) => assert!(allowed.json),
            Ok(None) => {}
            Err(refused) => assert!(!refused.to_string().is_empty()),
        }
    }
});
