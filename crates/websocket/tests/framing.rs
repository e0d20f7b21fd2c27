//! RFC 6455 §5, rule by rule, with bytes written by hand.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use trefoil_websocket::{
    Event, Limits, Opcode, Received, Receiver, Role, Violation, encode_frame, encode_header, encode_masked,
    encode_masked_frame,
};

/// The examples of §5.7.
#[test]
fn examples_of_the_specification() {
    let client = |input: &[u8]| receive_pieces(&mut Receiver::new(Role::Client, LIMITS), [input]);
    let hello = (vec![text("Hello")], None);
    assert_eq!(client(b"\x81\x05\x48\x65\x6c\x6c\x6f"), hello);
    assert_eq!(serve(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), hello);
    assert_eq!(client(b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"), hello);
    assert_eq!(client(b"\x89\x05\x48\x65\x6c\x6c\x6f"), (vec![Owned::Ping(b"Hello".to_vec())], None));
    assert_eq!(
        serve(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        (vec![Owned::Pong(b"Hello".to_vec())], None)
    );
    let medium = [b"\x82\x7e\x01\x00".as_slice(), &[7; 256]].concat();
    assert_eq!(client(&medium), (vec![Owned::Binary(vec![7; 256])], None));
    let large = [b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00".as_slice(), &[7; 65_536]].concat();
    assert_eq!(client(&large), (vec![Owned::Binary(vec![7; 65_536])], None));
}

/// The encoders write the same examples.
#[test]
fn examples_of_the_specification_encoded() {
    let mut out = Vec::new();
    encode_frame(Opcode::Text, b"Hello", &mut out);
    assert_eq!(out, b"\x81\x05Hello");
    out.clear();
    encode_masked(Opcode::Text, b"Hello", MASK, &mut out);
    assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    out.clear();
    encode_header(false, Opcode::Text, 3, &mut out);
    encode_header(true, Opcode::Continuation, 2, &mut out);
    assert_eq!(out, b"\x01\x03\x80\x02");
    out.clear();
    encode_masked_frame(false, Opcode::Binary, b"", MASK, &mut out);
    assert_eq!(out, b"\x02\x80\x37\xfa\x21\x3d");
}

/// The shortest form of a length, on both sides of each border.
#[test]
fn lengths_encoded_in_their_shortest_form() {
    for (len, expected) in [
        (0, b"\x82\x00".as_slice()),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ] {
        let mut out = Vec::new();
        encode_header(true, Opcode::Binary, len, &mut out);
        assert_eq!(out, expected, "length {len}");
    }
}

/// §5.2: a length that would fit a shorter form, or that has its most significant bit set.
#[test]
fn lengths_in_another_form_are_refused() {
    for (input, violation) in [
        (b"\x82\xfe\x00\x7d".as_slice(), Violation::LengthNotMinimal),
        (b"\x82\xfe\x00\x00", Violation::LengthNotMinimal),
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", Violation::LengthNotMinimal),
        (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", Violation::LengthNegative),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", Violation::LengthNegative),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", Violation::FrameTooLarge),
    ] {
        assert_eq!(serve(input), (vec![], Some(violation)), "{input:02x?}");
    }
}

/// §5.2: each reserved bit and each reserved opcode, refused with the first byte.
#[test]
fn reserved_bits_and_opcodes_are_refused_at_once() {
    for bits in 1..8u8 {
        assert_eq!(serve(&[FIN | bits << 4 | TEXT]), (vec![], Some(Violation::ReservedBits)));
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        assert_eq!(serve(&[FIN | opcode]), (vec![], Some(Violation::Opcode(opcode))));
        assert_eq!(serve(&[opcode]), (vec![], Some(Violation::Opcode(opcode))));
    }
}

/// §5.1: a client must mask, a server must not; known with the second byte.
#[test]
fn masks_on_the_wrong_side_are_refused() {
    assert_eq!(serve(b"\x81\x05"), (vec![], Some(Violation::NotMasked)));
    let mut client = Receiver::new(Role::Client, LIMITS);
    assert_eq!(client.receive(&mut [0x81, 0x85]), Err(Violation::Masked));
}

/// §5.5: at most 125 bytes and in one frame.
#[test]
fn control_frames_stay_small_and_whole() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(serve(&[opcode]), (vec![], Some(Violation::ControlFragmented)));
        assert_eq!(serve(&[FIN | opcode, 0x80 | 126]), (vec![], Some(Violation::ControlTooLong)));
        assert_eq!(serve(&[FIN | opcode, 0x80 | 127]), (vec![], Some(Violation::ControlTooLong)));
    }
    let largest = frame(FIN | PING, &[0xfe; 125]);
    assert_eq!(serve(&largest), (vec![Owned::Ping(vec![0xfe; 125])], None));
    assert_eq!(serve_bytewise(&largest), (vec![Owned::Ping(vec![0xfe; 125])], None));
}

/// §5.4: fragments are joined, control frames may stand between them and come at once.
#[test]
fn fragments_with_control_frames_between() {
    let input = [
        frame(TEXT, b"fra"),
        frame(FIN | PING, b"1"),
        frame(CONTINUATION, b""),
        frame(CONTINUATION, b"gmen"),
        frame(FIN | PONG, b"2"),
        frame(FIN | CONTINUATION, b"ts"),
        frame(FIN | BINARY, b"next"),
    ]
    .concat();
    let events = vec![
        Owned::Ping(b"1".to_vec()),
        Owned::Pong(b"2".to_vec()),
        text("fragments"),
        Owned::Binary(b"next".to_vec()),
    ];
    assert_eq!(serve(&input), (events.clone(), None));
    assert_eq!(serve_bytewise(&input), (events, None));
}

/// §5.4: empty fragments make an empty message.
#[test]
fn empty_messages() {
    assert_eq!(serve(&frame(FIN | TEXT, b"")), (vec![text("")], None));
    assert_eq!(serve_bytewise(&frame(FIN | BINARY, b"")), (vec![Owned::Binary(vec![])], None));
    let fragments = [frame(TEXT, b""), frame(CONTINUATION, b""), frame(FIN | CONTINUATION, b"")].concat();
    assert_eq!(serve(&fragments), (vec![text("")], None));
}

/// §5.4: what is out of sequence.
#[test]
fn fragments_out_of_sequence_are_refused() {
    for first in [CONTINUATION, FIN | CONTINUATION] {
        assert_eq!(serve(&frame(first, b"x")), (vec![], Some(Violation::ContinuationUnexpected)));
        // Not after a complete message either.
        let input = [frame(TEXT, b"a"), frame(FIN | CONTINUATION, b"b"), frame(first, b"x")].concat();
        assert_eq!(serve(&input), (vec![text("ab")], Some(Violation::ContinuationUnexpected)));
    }
    for second in [TEXT, FIN | TEXT, BINARY, FIN | BINARY] {
        let input = [frame(TEXT, b"a"), frame(second, b"b")].concat();
        assert_eq!(serve(&input), (vec![], Some(Violation::MessageInterrupted)));
    }
}

/// §10.4: limits hold by the length that a frame announces, before any of it is taken.
#[test]
fn limits_are_checked_with_the_header() {
    let limits = Limits { frame_bytes_max: 200, message_bytes_max: 300 };
    let serve = |input: &[u8]| receive_pieces(&mut Receiver::new(Role::Server, limits), [input]);
    assert_eq!(serve(&frame(FIN | BINARY, &[1; 200])), (vec![Owned::Binary(vec![1; 200])], None));
    assert_eq!(serve(&frame(FIN | BINARY, &[1; 201])[..4]), (vec![], Some(Violation::FrameTooLarge)));
    assert_eq!(serve(&frame(BINARY, &[1; 201])[..4]), (vec![], Some(Violation::FrameTooLarge)));

    let fits = [frame(BINARY, &[1; 200]), frame(FIN | CONTINUATION, &[1; 100])].concat();
    assert_eq!(serve(&fits), (vec![Owned::Binary(vec![1; 300])], None));
    let first = frame(BINARY, &[1; 200]);
    let too_large = [first.as_slice(), &frame(CONTINUATION, &[1; 101])[..6]].concat();
    assert_eq!(serve(&too_large), (vec![], Some(Violation::MessageTooLarge)));

    let message_is_less = Limits { frame_bytes_max: 300, message_bytes_max: 200 };
    let mut receiver = Receiver::new(Role::Server, message_is_less);
    let (_, violation) = receive_pieces(&mut receiver, [&frame(FIN | TEXT, &[b'a'; 201])[..8]]);
    assert_eq!(violation, Some(Violation::MessageTooLarge));
    assert_eq!(violation.unwrap().close_code().get(), 1009);
}

/// A frame that announces much is not believed: the buffer grows with what comes.
#[test]
fn a_promise_of_much_is_taken_as_it_comes() {
    let limits = Limits { frame_bytes_max: usize::MAX, message_bytes_max: usize::MAX };
    let mut receiver = Receiver::new(Role::Server, limits);
    let mut input = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00some".to_vec();
    let received = receiver.receive(&mut input).unwrap();
    assert_eq!(received, Received { consumed: 18, event: None });
    assert_eq!(receiver.needed(), Some(i64::MAX as usize - 4));
}

/// A whole, unfragmented message is a slice of the input.
#[test]
fn an_unfragmented_message_is_not_copied() {
    for first in [FIN | TEXT, FIN | BINARY] {
        let mut input = frame(first, b"where it came");
        let range = input.as_ptr_range();
        let mut receiver = Receiver::new(Role::Server, LIMITS);
        let payload = match receiver.receive(&mut input).unwrap().event {
            Some(Event::Text(text)) => text.as_bytes(),
            Some(Event::Binary(bytes)) => bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(payload, b"where it came");
        assert!(range.contains(&payload.as_ptr()));
        assert!(receiver.is_idle());
    }
}

/// An idle connection costs a few words; the buffer of a joined message goes with the next call.
#[test]
fn an_idle_receiver_is_small() {
    assert!(size_of::<Receiver>() <= 32);
    let mut receiver = Receiver::new(Role::Server, LIMITS);
    let mut input = frame(FIN | TEXT, b"in two parts");
    let (first, second) = input.split_at_mut(9);
    assert_eq!(receiver.receive(first).unwrap(), Received { consumed: 9, event: None });
    assert_eq!(receiver.needed(), Some(9));
    let received = receiver.receive(second).unwrap();
    assert_eq!(received, Received { consumed: 9, event: Some(Event::Text("in two parts")) });
    assert!(!receiver.is_idle());
    assert_eq!(receiver.receive(&mut []).unwrap(), Received { consumed: 0, event: None });
    assert!(receiver.is_idle());
}

/// After a violation nothing comes any more, whatever is sent.
#[test]
fn after_a_violation_input_is_discarded() {
    let mut receiver = Receiver::new(Role::Server, LIMITS);
    receive_pieces(&mut receiver, [frame(BINARY, b"half a message").as_slice()]);
    assert_eq!(receiver.receive(&mut [0xff]), Err(Violation::ReservedBits));
    assert!(receiver.is_idle());
    let mut more = frame(FIN | TEXT, b"more");
    let len = more.len();
    assert_eq!(receiver.receive(&mut more), Ok(Received { consumed: len, event: None }));
}

/// A large frame in small pieces: each byte is looked at once. With quadratic work this test would take minutes.
#[test]
fn a_large_frame_in_small_pieces_costs_linear_work() {
    let limits = Limits { frame_bytes_max: 16 << 20, message_bytes_max: 16 << 20 };
    let payload = "äöü€".repeat((16 << 20) / 9);
    let mut receiver = Receiver::new(Role::Server, limits);
    let input = frame(FIN | TEXT, payload.as_bytes());
    let (events, violation) = receive_pieces(&mut receiver, input.chunks(100));
    assert_eq!(violation, None);
    assert!(events == [Owned::Text(payload)]);
}
