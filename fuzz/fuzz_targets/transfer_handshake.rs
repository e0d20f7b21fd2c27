//! What somebody says who has yet to prove that he knows the code: neither end panics, and none believes him.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_transfer::{Ciphers, Code, Handshake, HandshakeError, Role, Step, body_bytes};

fuzz_target!(|input: (bool, &str, &[u8])| {
    let (is_sender, code, mut bytes) = input;
    if let Ok(code) = code.parse::<Code>() {
        assert_eq!(code.to_string().parse(), Ok(code));
    }
    if let Some(header) = bytes.first_chunk::<4>() {
        assert!(
            body_bytes(*header).is_ok_and(|length| length <= trefoil_transfer::RECORD_BYTES_MAX)
                || body_bytes(*header).is_err()
        );
    }
    let role = if is_sender { Role::Sender } else { Role::Receiver };
    let code = "7-amber-canoe".parse().expect("it is a code");
    let (mut handshake, hello) = Handshake::begin(role, &code, Ciphers::all(), [7; 32]);
    assert_ne!(handshake.handle(&hello).err(), None, "our own words prove nothing");
    let (mut handshake, _) = Handshake::begin(role, &code, Ciphers::all(), [7; 32]);
    while let Some((first, rest)) = bytes.split_at_checked(handshake.wants_bytes()) {
        bytes = rest;
        match handshake.handle(first) {
            Ok(Step::Done { .. }) => panic!("nobody proves a code that he does not know"),
            Ok(_) => {}
            Err(HandshakeError::WrongCode) | Err(_) => return,
        }
    }
});
