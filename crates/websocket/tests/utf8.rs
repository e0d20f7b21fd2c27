//! RFC 6455 §8.1: text is UTF-8, across fragments and pieces, and what is not is refused at its first wrong byte.

mod common;

use common::*;
use trefoil_websocket::{Receiver, Role, Violation};

const NOT_UTF8: (Vec<Owned>, Option<Violation>) = (Vec::new(), Some(Violation::NotUtf8));

/// One of each length, the borders of each length, and non-characters, which are allowed.
const VALID: [&str; 5] = [
    "κόσμε",
    "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
    "\u{d7ff}\u{e000}\u{fffd}",
    "\u{fffe}\u{1fffe}\u{feff}",
    "naïve 🦀🦀🦀 with more than sixty-four bytes, so that the vector code of the checker has its turn as well",
];

/// Sequences that are wrong, and the index of the byte at which one can know.
const INVALID: [(&[u8], usize); 18] = [
    (b"\x80", 0),                     // a continuation byte alone
    (b"\xbf", 0),                     //
    (b"\xc0\x80", 0),                 // overlong NUL
    (b"\xc1\xbf", 0),                 // overlong U+007F
    (b"\xc3(", 1),                    // a lead byte without what follows
    (b"\xe0\x80\x80", 1),             // overlong
    (b"\xe0\x9f\xbf", 1),             //
    (b"\xe2\x82(", 2),                //
    (b"\xed\xa0\x80", 1),             // the first surrogate
    (b"\xed\xbf\xbf", 1),             // the last surrogate
    (b"\xed\xa0\x80\xed\xb0\x80", 1), // a pair of them
    (b"\xf0\x80\x80\x80", 1),         // overlong
    (b"\xf0\x9f\xa6 ", 3),            //
    (b"\xf4\x90\x80\x80", 1),         // above U+10FFFF
    (b"\xf5\x80\x80\x80", 0),         //
    (b"\xf8\x88\x80\x80\x80", 0),     // five bytes, as once allowed
    (b"\xfe", 0),                     //
    (b"\xff", 0),                     //
];

#[test]
fn valid_text_however_it_is_split() {
    for valid in VALID {
        let whole = frame(FIN | TEXT, valid.as_bytes());
        assert_eq!(serve(&whole), (vec![text(valid)], None));
        assert_eq!(serve_bytewise(&whole), (vec![text(valid)], None));
        for at in 0..=valid.len() {
            let (first, second) = valid.as_bytes().split_at(at);
            let fragments = [frame(TEXT, first), frame(FIN | CONTINUATION, second)].concat();
            assert_eq!(serve(&fragments), (vec![text(valid)], None), "{valid:?} split at {at}");
        }
    }
}

/// The wrong byte is refused in a whole frame, and in a frame or fragment that has only come as far as that byte.
#[test]
fn invalid_text_is_refused_at_its_first_wrong_byte() {
    for (invalid, at) in INVALID {
        for before in
            ["", "é", "a text of more than sixty-four bytes stands before it, for the vector code; äöü"]
        {
            let payload = [before.as_bytes(), invalid, b"after"].concat();
            let known = before.len() + at + 1;
            assert_eq!(serve(&frame(FIN | TEXT, &payload)), NOT_UTF8, "{invalid:02x?}");
            assert_eq!(serve(&frame(TEXT, &payload)), NOT_UTF8, "{invalid:02x?} in a first fragment");

            let header_len = 6;
            let all_but = frame(FIN | TEXT, &payload)[..header_len + known - 1].to_vec();
            assert_eq!(serve(&all_but), (vec![], None), "{invalid:02x?} refused before it can be known");
            let just = frame(FIN | TEXT, &payload)[..header_len + known].to_vec();
            assert_eq!(serve(&just), NOT_UTF8, "{invalid:02x?} in half a frame");
            assert_eq!(serve_bytewise(&just), NOT_UTF8, "{invalid:02x?} in half a frame, bytewise");

            let bytewise: Vec<u8> = (payload[..known].iter().enumerate())
                .flat_map(|(i, &byte)| frame(if i == 0 { TEXT } else { CONTINUATION }, &[byte]))
                .collect();
            assert_eq!(serve(&bytewise), NOT_UTF8, "{invalid:02x?} in fragments of a byte");
        }
    }
}

/// A message must not end within a character.
#[test]
fn text_that_ends_within_a_character_is_refused() {
    for cut in ["é", "€", "🦀"] {
        for len in 1..cut.len() {
            let part = &cut.as_bytes()[..len];
            assert_eq!(serve(&frame(FIN | TEXT, part)), NOT_UTF8);
            assert_eq!(serve_bytewise(&frame(FIN | TEXT, part)), NOT_UTF8);
            // In a first fragment it may go on, but the last one, here empty, must complete it.
            assert_eq!(serve(&frame(TEXT, part)), (vec![], None));
            assert_eq!(serve(&[frame(TEXT, part), frame(FIN | CONTINUATION, b"")].concat()), NOT_UTF8);
        }
    }
}

/// Only text is checked.
#[test]
fn binary_messages_and_pings_hold_any_bytes() {
    let bytes: Vec<u8> = (0..=255).rev().collect();
    assert_eq!(serve_bytewise(&frame(FIN | BINARY, &bytes)), (vec![Owned::Binary(bytes.clone())], None));
    assert_eq!(serve(&frame(FIN | PING, &bytes[..125])), (vec![Owned::Ping(bytes[..125].to_vec())], None));
}

/// A control frame between two fragments does not disturb a character that they share.
#[test]
fn a_character_across_fragments_with_a_ping_between() {
    let input =
        [frame(TEXT, b"\xf0\x9f"), frame(FIN | PING, b"\xff"), frame(FIN | CONTINUATION, b"\xa6\x80")]
            .concat();
    assert_eq!(serve(&input), (vec![Owned::Ping(vec![0xff]), text("🦀")], None));
}

/// A client checks what it gets as well.
#[test]
fn a_client_refuses_invalid_text_too() {
    let mut client = Receiver::new(Role::Client, LIMITS);
    assert_eq!(client.receive(&mut [0x81, 0x02, 0xc3, 0x28]), Err(Violation::NotUtf8));
    assert_eq!(Violation::NotUtf8.close_code().get(), 1007);
}
