//! Any bytes to a WebSocket receiver: no panic, little left to the caller, and the same events however they are cut. What
//! comes compressed is inflated within its bound, and an inflater that has failed serves the next message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_websocket::deflate::Inflater;
use trefoil_websocket::{Event, Limits, REST_BYTES_MAX, Receiver, Role, Violation};

const LIMITS: Limits = Limits { frame_bytes_max: 4096, message_bytes_max: 8192 };

/// What a compressor makes of "Hello" (RFC 7692 §7.2.3.1).
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fuzz_target!(|data: &[u8]| {
    let [options, cut, input @ ..] = data else { return };
    let whole = events(*options, input, input.len().max(1));
    let split = events(*options, input, usize::from(*cut).max(1));
    assert_eq!(whole, split);
});

/// All events in `input`, which comes in pieces of `piece_len` bytes, and the violation that ended them.
fn events(options: u8, input: &[u8], piece_len: usize) -> (Vec<String>, Option<Violation>) {
    let role = if options & 1 == 0 { Role::Server } else { Role::Client };
    let receiver = Receiver::new(role, LIMITS);
    let mut receiver = if options & 2 == 0 { receiver } else { receiver.with_deflate() };
    let keeps_context = options & 4 != 0;
    let mut inflater = Inflater::new(9 + (options >> 5), keeps_context);
    let mut message = Vec::new();
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
                Some(Event::Deflated { is_text, payload }) => {
                    match inflater.message(payload, LIMITS.message_bytes_max, &mut message) {
                        Ok(()) => assert!(message.len() <= LIMITS.message_bytes_max),
                        Err(violation) if keeps_context => return (events, Some(violation)),
                        Err(_) => {
                            inflater
                                .message(&HELLO, 5, &mut message)
                                .expect("it has forgotten what was wrong");
                            assert_eq!(message, b"Hello");
                        }
                    }
                    events.push(format!("{is_text} {message:?}"));
                }
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
