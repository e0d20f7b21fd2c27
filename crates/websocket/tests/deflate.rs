//! Compression: RFC 7692.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_websocket::deflate::{Agreed, Deflater, Inflater, Policy, negotiate};
use trefoil_websocket::handshake::Refused;
use trefoil_websocket::{Opcode, Receiver, Role, Violation, encode_deflated_header};

const DEFLATED: u8 = 0x40;

const PLAIN: Policy =
    Policy { window_bits_max: 15, keeps_server_context: false, keeps_client_context: false };
const KEEPING: Policy =
    Policy { window_bits_max: 15, keeps_server_context: true, keeps_client_context: true };

fn answer(offers: &[&str], policy: &Policy) -> Result<Option<String>, Refused> {
    negotiate(offers.iter().map(|offer| offer.as_bytes()), policy).map(|agreed| agreed.map(|a| a.header()))
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut out = Vec::new();
    Inflater::new(15, false).message(payload, 1 << 20, &mut out).map(|()| out)
}

#[test]
fn what_is_agreed_on() {
    let both = "; server_no_context_takeover; client_no_context_takeover";
    for (offers, plain, keeping) in [
        (vec!["permessage-deflate"], Some(both), Some("")),
        (vec!["Permessage-Deflate"], Some(both), Some("")),
        (vec!["permessage-deflate; client_max_window_bits"], Some(both), Some("")),
        (
            vec!["permessage-deflate; server_no_context_takeover"],
            Some(both),
            Some("; server_no_context_takeover"),
        ),
        (
            vec!["permessage-deflate; client_no_context_takeover"],
            Some(both),
            Some("; client_no_context_takeover"),
        ),
        (
            vec!["permessage-deflate; server_max_window_bits=\"10\"; client_max_window_bits=12"],
            Some(
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=12",
            ),
            Some("; server_max_window_bits=10; client_max_window_bits=12"),
        ),
        (
            vec!["permessage-deflate; server_max_window_bits=8"],
            Some("; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8"),
            Some("; server_max_window_bits=8"),
        ),
        // The first that can be met, wherever it stands.
        (vec!["x-other, permessage-deflate; x, permessage-deflate"], Some(both), Some("")),
        (
            vec!["x-other", "permessage-deflate; server_max_window_bits=15"],
            Some("; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"),
            Some("; server_max_window_bits=15"),
        ),
        (
            vec!["permessage-deflate; server_no_context_takeover, permessage-deflate"],
            Some(both),
            Some("; server_no_context_takeover"),
        ),
        (vec![], None, None),
        (vec!["x-webkit-deflate-frame"], None, None),
    ] {
        let expected = |rest: Option<&str>| Ok(rest.map(|rest| format!("permessage-deflate{rest}")));
        assert_eq!(answer(&offers, &PLAIN), expected(plain), "{offers:?}");
        assert_eq!(answer(&offers, &KEEPING), expected(keeping), "{offers:?}");
    }
}

/// A parameter that is unknown, repeated or has a value that it must not have (§5.1, §7.1).
#[test]
fn offers_that_are_passed_over() {
    for parameters in [
        "x",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=1000",
        "server_max_window_bits=ten",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=015",
        "client_max_window_bits; client_max_window_bits=10",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(answer(&[&offer], &KEEPING), Ok(None), "{offer}");
        let second = format!("{offer}, permessage-deflate; server_max_window_bits=9");
        let expected = "permessage-deflate; server_max_window_bits=9";
        assert_eq!(answer(&[&second], &KEEPING), Ok(Some(expected.to_owned())), "{second}");
    }
}

#[test]
fn what_is_no_list_of_extensions_is_refused() {
    for header in
        ["permessage-deflate;", "permessage deflate", "permessage-deflate; server_max_window_bits=\"10"]
    {
        assert_eq!(answer(&[header], &PLAIN).unwrap_err().status, 400, "{header}");
        assert_eq!(answer(&["permessage-deflate", header], &PLAIN).unwrap_err().status, 400, "{header}");
    }
}

#[test]
fn a_policy_makes_windows_smaller() {
    let policy = Policy { window_bits_max: 11, ..KEEPING };
    for (offer, server, client) in [
        ("", 11, None),
        ("; client_max_window_bits", 11, Some(11)),
        ("; client_max_window_bits=9; server_max_window_bits=10", 10, Some(9)),
        ("; client_max_window_bits=15; server_max_window_bits=15", 11, Some(11)),
    ] {
        let offer = format!("permessage-deflate{offer}");
        let agreed = negotiate([offer.as_bytes()].into_iter(), &policy).unwrap().unwrap();
        let expected = Agreed {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: Some(server),
            client_max_window_bits: client,
        };
        assert_eq!(agreed, expected, "{offer}");
    }
}

/// Every example of §7.2.3.
#[test]
fn the_examples_of_the_specification() {
    for (payload, what) in [
        (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], "one block"),
        (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], "without compression"),
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "a last block"),
        (&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], "two blocks"),
    ] {
        assert_eq!(inflate(payload).as_deref(), Ok(&b"Hello"[..]), "{what}");
    }
    assert_eq!(inflate(&[0x00]).as_deref(), Ok(&b""[..]));

    let mut keeping = Inflater::new(15, true);
    let mut out = Vec::new();
    for payload in [&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x00, 0x11, 0x00, 0x00]] {
        keeping.message(payload, 100, &mut out).unwrap();
        assert_eq!(out, b"Hello");
    }
    // The second one means nothing by itself.
    assert_eq!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(Violation::NotDeflate));
}

#[test]
fn what_no_compressor_makes() {
    for (payload, what) in [
        (&[0xff][..], "a kind of block that there is not"),
        (
            &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            "a length that contradicts itself",
        ),
        (&[0xf2, 0x48, 0xcd, 0xc9], "a block that is cut off"),
        (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48], "a stored block that is cut off"),
    ] {
        assert_eq!(inflate(payload), Err(Violation::NotDeflate), "{what}");
    }
    assert_eq!(Violation::NotDeflate.close_code().get(), 1007);
}

#[test]
fn bombs_are_bounded() {
    let mut payload = Vec::new();
    Deflater::new(9, 15, false).message(&vec![0; 64 << 20], &mut payload);
    assert!(payload.len() < 70_000);
    for bytes_max in [0, 1, 1000, 1 << 20] {
        let mut out = Vec::new();
        let refused = Inflater::new(15, false).message(&payload, bytes_max, &mut out);
        assert_eq!(refused, Err(Violation::MessageTooLarge));
        assert!(out.capacity() <= 2 * (bytes_max + 1024), "{} for {bytes_max}", out.capacity());
    }
    // What has just so many bytes is none.
    let mut exact = Vec::new();
    Deflater::new(9, 15, false).message(&[7; 5000], &mut exact);
    let mut out = Vec::new();
    assert_eq!(Inflater::new(15, false).message(&exact, 5000, &mut out), Ok(()));
    assert_eq!(Inflater::new(15, false).message(&exact, 4999, &mut out), Err(Violation::MessageTooLarge));
}

/// An inflater that has failed on one message serves the next.
#[test]
fn an_inflater_outlives_what_was_wrong() {
    let (mut inflater, mut out) = (Inflater::new(15, false), Vec::new());
    let good = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for bad in [&[0xff][..], &[0xf2, 0x48, 0xcd, 0xc9]] {
        assert!(inflater.message(bad, 100, &mut out).is_err());
        inflater.message(&good, 100, &mut out).unwrap();
        assert_eq!(out, b"Hello");
    }
}

/// Where the first reserved bit may stand: on the first frame of a message, where it was agreed on (§6).
#[test]
fn the_bit_that_says_it() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let receive =
        |input: &[u8]| receive_pieces(&mut Receiver::new(Role::Server, LIMITS).with_deflate(), [input]);
    let is_told = |is_text| (vec![Owned::Deflated(is_text, hello.to_vec())], None);
    assert_eq!(receive(&frame(FIN | DEFLATED | TEXT, &hello)), is_told(true));
    assert_eq!(receive(&frame(FIN | DEFLATED | BINARY, &hello)), is_told(false));
    let pieces =
        [frame(DEFLATED | TEXT, &hello[..3]), frame(CONTINUATION, b""), frame(FIN, &hello[3..])].concat();
    assert_eq!(receive(&pieces), is_told(true));
    let bad = (vec![], Some(Violation::ReservedBits));
    for first in
        [FIN | DEFLATED | PING, FIN | DEFLATED | CLOSE, FIN | DEFLATED, FIN | 0x20 | TEXT, FIN | 0x60 | TEXT]
    {
        assert_eq!(receive(&frame(first, &hello)), bad, "{first:#x}");
    }
    assert_eq!(receive(&[frame(DEFLATED | TEXT, b""), frame(FIN | DEFLATED, b"")].concat()), bad);
    assert_eq!(serve(&frame(FIN | DEFLATED | TEXT, &hello)), bad);
    // Both kinds may come on one connection.
    let mixed = [frame(FIN | TEXT, b"plain"), frame(FIN | DEFLATED | TEXT, &hello)].concat();
    assert_eq!(receive(&mixed), (vec![text("plain"), Owned::Deflated(true, hello.to_vec())], None));
}

#[test]
fn the_head_of_a_compressed_frame() {
    for (len, head) in [(7, vec![0xc1, 7]), (300, vec![0xc1, 126, 1, 44])] {
        let mut out = Vec::new();
        encode_deflated_header(Opcode::Text, len, &mut out);
        assert_eq!(out, head);
    }
}

proptest! {
    /// Whatever was agreed on, in fragments of any size and cut anywhere: what goes in comes out.
    #[test]
    fn there_and_back(
        messages in vec(prop_oneof![
            "[aé€🦀]{0,60}".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..2000),
            (any::<u8>(), 0usize..100_000).prop_map(|(byte, len)| vec![byte; len]),
            (0usize..4000).prop_map(|len| (0..len).flat_map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect()),
        ], 0..6),
        level in 1u8..=9, bits in 8u8..=15, keeps: bool, fragment in 1usize..3000, cut in 1usize..5000,
    ) {
        let mut deflater = Deflater::new(level, bits, keeps);
        let mut input = Vec::new();
        for message in &messages {
            let mut payload = Vec::new();
            deflater.message(message, &mut payload);
            let mut first = DEFLATED | BINARY;
            let mut fragments = payload.chunks(fragment).peekable();
            while let Some(piece) = fragments.next() {
                input.extend(frame(first | if fragments.peek().is_none() { FIN } else { 0 }, piece));
                first = CONTINUATION;
            }
        }
        let limits = trefoil_websocket::Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
        let mut receiver = Receiver::new(Role::Server, limits).with_deflate();
        let (events, violation) = receive_pieces(&mut receiver, input.chunks(cut));
        prop_assert_eq!(violation, None);
        let (mut inflater, mut out) = (Inflater::new(bits, keeps), Vec::new());
        prop_assert_eq!(events.len(), messages.len());
        for (event, message) in events.iter().zip(&messages) {
            let Owned::Deflated(false, payload) = event else { panic!("{event:?}") };
            inflater.message(payload, 1 << 20, &mut out).unwrap();
            prop_assert_eq!(&out, message);
        }
    }

    /// Any bytes at all: no panic, no more than the bound, and the inflater goes on.
    #[test]
    fn any_payload(payload in vec(any::<u8>(), 0..300), bytes_max in 0usize..5000, keeps: bool) {
        let (mut inflater, mut out) = (Inflater::new(15, keeps), Vec::new());
        if inflater.message(&payload, bytes_max, &mut out).is_ok() {
            prop_assert!(out.len() <= bytes_max);
        }
        if !keeps {
            inflater.message(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5, &mut out).unwrap();
            prop_assert_eq!(&out, b"Hello");
        }
    }
}
