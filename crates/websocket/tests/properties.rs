//! Whatever comes, and however it is cut.

mod common;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_websocket::{Limits, Opcode, Receiver, Role, encode_frame, encode_header, encode_masked_frame};

const SMALL: Limits = Limits { frame_bytes_max: 300, message_bytes_max: 500 };

/// Frames as a client sends them, mostly right: valid sequences have to be common to get far.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        3 => "[aé€🦀]{0,60}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..330),
    ];
    let first = prop_oneof![
        8 => proptest::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        1 => Just(0x88),
        1 => any::<u8>(),
    ];
    vec((first, payload).prop_map(|(first, payload)| frame(first, &payload)), 0..12)
        .prop_map(|frames| frames.concat())
}

/// `input` in pieces whose lengths are those of `cuts`, again and again.
fn pieces<'a>(mut input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &cut in cuts.iter().cycle() {
        if input.is_empty() {
            break;
        }
        let (piece, rest) = input.split_at(cut.min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

proptest! {
    /// Cutting the input anywhere changes neither the events nor the violation.
    #[test]
    fn splits_change_nothing(input in frames(), cuts in vec(1usize..90, 1..20)) {
        let whole = receive_pieces(&mut Receiver::new(Role::Server, SMALL), [input.as_slice()]);
        let split = receive_pieces(&mut Receiver::new(Role::Server, SMALL), pieces(&input, &cuts));
        prop_assert_eq!(whole, split);
    }

    /// Any bytes at all: no panic, and the same however they are cut.
    #[test]
    fn any_bytes(input in vec(any::<u8>(), 0..200), cut in 1usize..20, server in any::<bool>()) {
        let role = if server { Role::Server } else { Role::Client };
        let whole = receive_pieces(&mut Receiver::new(role, SMALL), [input.as_slice()]);
        let split = receive_pieces(&mut Receiver::new(role, SMALL), input.chunks(cut));
        prop_assert_eq!(whole, split);
    }

    /// What a client encodes, in fragments of any size, the server gets.
    #[test]
    fn client_to_server(
        text in "\\PC{0,400}", fragment in 1usize..100, mask in any::<[u8; 4]>(), cut in 1usize..70,
    ) {
        let mut input = Vec::new();
        let mut fragments = text.as_bytes().chunks(fragment).peekable();
        let mut opcode = Opcode::Text;
        while let Some(piece) = fragments.next() {
            encode_masked_frame(fragments.peek().is_none(), opcode, piece, mask, &mut input);
            opcode = Opcode::Continuation;
        }
        let (events, violation) = receive_pieces(&mut Receiver::new(Role::Server, LIMITS), input.chunks(cut));
        prop_assert_eq!(violation, None);
        let expected = if text.is_empty() { vec![] } else { vec![Owned::Text(text)] };
        prop_assert_eq!(events, expected);
    }

    /// What a server encodes the client gets, for every form of the length.
    #[test]
    fn server_to_client(
        messages in vec(prop_oneof![vec(any::<u8>(), 0..200), vec(any::<u8>(), 65_400..65_700)], 0..4),
        cut in 1usize..70_000,
    ) {
        let mut input = Vec::new();
        for message in &messages {
            encode_frame(Opcode::Binary, message, &mut input);
            encode_header(true, Opcode::Ping, 0, &mut input);
        }
        let (events, violation) = receive_pieces(&mut Receiver::new(Role::Client, LIMITS), input.chunks(cut));
        prop_assert_eq!(violation, None);
        let expected: Vec<Owned> =
            messages.into_iter().flat_map(|message| [Owned::Binary(message), Owned::Ping(vec![])]).collect();
        prop_assert_eq!(events, expected);
    }
}
