//! Any bytes to a WebSocket receiver: no panic, little left to the caller, and the same events however they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_websocket::{Limits, REST_BYTES_MAX, Receiver, Role, Violation};

const LIMITS: Limits = Limits { frame_bytes_max: 4096, message_bytes_max: 8192 };

fuzz_target!(|data: &[u8]| {
    let [options, cut, input @ ..] = data else { return };
    let role = if options & 1 == 0 { Role::Server } else { Role::Client };
    let whole = events(role, input, input.len().max(1));
    let split = events(role, input, usize::from(*cut).max(1));
    assert_eq!(whole, split);
});

/// All events in `input`, which comes in pieces of `piece_len` bytes, and the violation that ended them.
fn events(role: Role, input: &[u8], piece_len: usize) -> (Vec<String>, Option<Violation>) {
    let mut receiver = Receiver::new(role, LIMITS);
    let (mut events, mut rest) = (Vec::new(), Vec::new());
    for piece in input.chunks(piece_len) {
        let mut scratch = std::mem::take(&mut rest);
        scratch.extend_from_slice(piece);
        let mut taken = 0;
        loop {
            let received = match receiver.receive(&mut scratch[taken..]) {
                Ok(received) => received,
                Err(violation) => return (events, Some(violation)),
            };
            taken += received.consumed;
            match received.event {
                Some(event) => events.push(format!("{event:?}")),
                None if received.consumed == 0 => break,
                None => {}
            }
        }
        rest = scratch.split_off(taken);
        assert!(rest.len() <= REST_BYTES_MAX);
    }
    (events, None)
}
