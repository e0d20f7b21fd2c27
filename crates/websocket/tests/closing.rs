//! The closing handshake: RFC 6455 §5.5.1 and §7.4.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use trefoil_websocket::{CloseCode, Receiver, Role, Violation, encode_close, encode_masked_close};

fn close_body(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

#[test]
fn an_empty_body_says_nothing() {
    assert_eq!(serve(&frame(FIN | CLOSE, b"")), (vec![Owned::Close(None)], None));
}

#[test]
fn code_and_reason() {
    let expected = (vec![Owned::Close(Some((1001, "bye, später".to_owned())))], None);
    let input = close_body(1001, "bye, später".as_bytes());
    assert_eq!(serve(&input), expected);
    assert_eq!(serve_bytewise(&input), expected);
}

#[test]
fn half_a_code_is_refused() {
    assert_eq!(serve(&frame(FIN | CLOSE, b"\x03")), (vec![], Some(Violation::CloseBodyTooShort)));
}

/// Every code that there can be.
#[test]
fn codes_that_must_not_be_sent_are_refused() {
    for code in 0..=u16::MAX {
        let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let expected = match allowed {
            true => (vec![Owned::Close(Some((code, String::new())))], None),
            false => (vec![], Some(Violation::CloseCodeInvalid(code))),
        };
        assert_eq!(serve(&close_body(code, b"")), expected, "code {code}");
        assert_eq!(CloseCode::from_u16(code).map(CloseCode::get), allowed.then_some(code));
    }
}

#[test]
fn a_reason_that_is_not_utf8_is_refused() {
    for reason in [b"\xff".as_slice(), b"fine until \xed\xa0\x80", b"cut \xc3"] {
        assert_eq!(serve(&close_body(1000, reason)), (vec![], Some(Violation::NotUtf8)));
    }
}

/// §1.4: after a close frame, further data is discarded, right or wrong.
#[test]
fn what_follows_a_close_frame_is_discarded() {
    for after in [frame(FIN | PING, b"x"), frame(FIN | CLOSE, b""), frame(TEXT, b"a"), vec![0xff; 300]] {
        let input = [close_body(1000, b""), after].concat();
        assert_eq!(serve(&input), (vec![Owned::Close(Some((1000, String::new())))], None));
    }
}

/// A close frame may come within a fragmented message; the message is given up and its buffer with it.
#[test]
fn a_close_frame_within_a_message_ends_it() {
    let mut receiver = Receiver::new(Role::Server, LIMITS);
    let input =
        [frame(TEXT, b"never "), close_body(1001, b""), frame(FIN | CONTINUATION, b"complete")].concat();
    let (events, violation) = receive_pieces(&mut receiver, [input.as_slice()]);
    assert_eq!((events, violation), (vec![Owned::Close(Some((1001, String::new())))], None));
    assert!(receiver.is_idle());
}

#[test]
fn close_frames_are_encoded() {
    let mut out = Vec::new();
    encode_close(CloseCode::NORMAL, "", &mut out);
    assert_eq!(out, b"\x88\x02\x03\xe8");
    out.clear();
    encode_close(CloseCode::PROTOCOL_ERROR, "no", &mut out);
    assert_eq!(out, b"\x88\x04\x03\xeano");
    out.clear();
    encode_masked_close(CloseCode::GOING_AWAY, "left", MASK, &mut out);
    assert_eq!(out, close_body(1001, b"left"));
}

/// A reason that is too long is cut between two characters, so that what is left is UTF-8 and fits.
#[test]
fn a_long_reason_is_cut_between_characters() {
    for before in 0..4 {
        let reason = "x".repeat(before) + &"🦀".repeat(60);
        let mut out = Vec::new();
        encode_close(CloseCode::POLICY_VIOLATION, &reason, &mut out);
        let mut client = Receiver::new(Role::Client, LIMITS);
        let (events, violation) = receive_pieces(&mut client, [out.as_slice()]);
        assert_eq!(violation, None);
        let [Owned::Close(Some((1008, cut)))] = events.as_slice() else { panic!("{events:?}") };
        assert!(reason.starts_with(cut) && (120..=123).contains(&cut.len()), "{} bytes", cut.len());
    }
}

/// Each violation has the close code that §7.4.1 gives it, and says in words what is wrong.
#[test]
fn violations_have_close_codes_and_words() {
    for (violation, code) in [
        (Violation::NotMasked, 1002),
        (Violation::CloseCodeInvalid(1005), 1002),
        (Violation::NotUtf8, 1007),
        (Violation::FrameTooLarge, 1009),
        (Violation::MessageTooLarge, 1009),
    ] {
        assert_eq!(violation.close_code().get(), code);
    }
    assert_eq!(Violation::CloseCodeInvalid(1005).to_string(), "close code 1005 must not be sent");
}
