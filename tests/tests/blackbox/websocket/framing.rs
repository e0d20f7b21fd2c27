//! Messages, pings and pongs, reserved bits and opcodes, masks.

use super::{Case, Cases, frame_with};
use trefoil_tests::Hub;
use trefoil_tests::websocket::frame;

const SIZES: [usize; 9] = [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20];

fn sample(size: usize) -> Vec<u8> {
    (0..size).map(|at| b'a' + (at % 26) as u8).collect()
}

#[test]
fn text_and_binary_messages() {
    let mut cases = Cases::default();
    for size in SIZES {
        for (first_byte, kind) in [(0x81, "text"), (0x82, "binary")] {
            let pieces: &[usize] = if size <= 128 { &[1, 2, 3] } else { &[997, 65_536] };
            cases.add_cut(Case::new(format!("{kind} of {size}")).echoed(first_byte, sample(size)), pieces);
        }
    }
    let every_byte: Vec<u8> = (0..=255).collect();
    cases.add_cut(Case::new("every byte").echoed(0x82, every_byte), &[1]);
    let many = (0..200).fold(Case::new("many at once"), |case, n| case.echoed(0x81, n.to_string()));
    cases.add_cut(many, &[1, 7, 100]);
    cases.run(&Hub::start(), 72);
}

#[test]
fn pings_and_pongs() {
    let mut cases = Cases::default();
    for size in [0, 1, 124, 125] {
        cases.add_cut(
            Case::new(format!("ping of {size}")).frame(0x89, sample(size)).gets(0x8a, sample(size)),
            &[1],
        );
        cases.add_cut(Case::new(format!("pong of {size}")).frame(0x8a, sample(size)), &[1]);
    }
    let bytes = [0x00, 0xff, 0xfe, 0xc3, 0x28];
    cases.add_cut(Case::new("ping of any bytes").frame(0x89, bytes).gets(0x8a, bytes), &[1]);
    cases.add_cut(Case::new("pong, then ping").frame(0x8a, "x").frame(0x89, "y").gets(0x8a, "y"), &[1]);
    let ten = (0..10).fold(Case::new("ten pings"), |case, n| {
        case.frame(0x89, format!("ping {n}")).gets(0x8a, format!("ping {n}"))
    });
    cases.add_cut(ten, &[1, 5]);
    let between = Case::new("between messages").echoed(0x81, "one").frame(0x89, "p").gets(0x8a, "p");
    cases.add_cut(between.echoed(0x82, "two"), &[1]);
    for (first_byte, kind) in [(0x89, "ping"), (0x8a, "pong")] {
        for size in [126, 127, 65_536] {
            cases.add(Case::new(format!("{kind} of {size}")).frame(first_byte, sample(size)).fails(1002));
        }
        cases.add(Case::new(format!("{kind} in fragments")).frame(first_byte & 0x7f, "x").fails(1002));
    }
    cases.run(&Hub::start(), 33);
}

#[test]
fn reserved_bits() {
    let mut cases = Cases::default();
    for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xa] {
        for bits in 1..8u8 {
            let first_byte = 0x80 | bits << 4 | opcode;
            let name = format!("bits {bits:03b} on {opcode:#x}");
            cases.add(Case::new(format!("{name}, first")).frame(first_byte, "x").fails(1002));
            let later = Case::new(format!("{name}, after a message and a ping"));
            let later = later.echoed(0x81, "fine").frame(0x89, "p").gets(0x8a, "p");
            cases.add_cut(later.frame(first_byte, "").fails(1002), &[1]);
        }
    }
    cases.run(&Hub::start(), 126);
}

#[test]
fn reserved_opcodes() {
    let mut cases = Cases::default();
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for fin in [0x80, 0x00] {
            for payload in ["", "payload"] {
                let name = format!("opcode {opcode:#x} with \"{payload}\", fin {fin:#x}");
                cases.add(Case::new(format!("{name}, first")).frame(fin | opcode, payload).fails(1002));
                let later = Case::new(format!("{name}, after a message")).echoed(0x81, "fine");
                cases.add_cut(later.frame(fin | opcode, payload).fails(1002), &[1]);
            }
        }
    }
    cases.run(&Hub::start(), 120);
}

#[test]
fn masks() {
    let mut cases = Cases::default();
    for first_byte in [0x81, 0x82, 0x88, 0x89, 0x8a, 0x80, 0x01] {
        for payload in [&b""[..], b"\x03\xe8"] {
            let bare = frame_with(first_byte, &[payload.len() as u8], None, payload);
            let name = format!("{first_byte:#x} with {} bytes and no mask", payload.len());
            cases.add(Case::new(format!("{name}, first")).sends(&bare).fails(1002));
            cases.add(Case::new(format!("{name}, later")).echoed(0x81, "fine").sends(&bare).fails(1002));
        }
    }
    for mask in [[0; 4], [0xff; 4], [1, 2, 3, 4], [0x80, 0, 0, 0x7f]] {
        let text = "what a mask hides: ☘ and more";
        let masked = frame_with(0x81, &[text.len() as u8], Some(mask), text.as_bytes());
        let case = Case::new(format!("mask {mask:?}")).sends(masked).gets(0x81, text);
        cases.add_cut(case, &[1, 3, 4, 5]);
    }
    // Each fragment has a mask of its own.
    let mut case = Case::new("a mask for each fragment");
    for (number, piece) in [&b"to "[..], b"be or ", b"not ", b"to be"].iter().enumerate() {
        let first_byte = if number == 0 { 0x01 } else { u8::from(number == 3) << 7 };
        let mask = [number as u8, 17, 91, 250 - number as u8];
        case = case.sends(frame_with(first_byte, &[piece.len() as u8], Some(mask), piece));
    }
    cases.add_cut(case.gets(0x81, "to be or not to be"), &[1, 3]);
    cases.run(&Hub::start(), 51);
}

#[test]
fn a_message_after_a_fault_is_not_answered() {
    let mut cases = Cases::default();
    for wrong in [frame(0x83, b""), frame(0xf1, b"x"), vec![0x81, 0x00], frame(0x80, b"x")] {
        let case = Case::new("after a fault").sends(wrong).frame(0x81, "unheard").frame(0x89, "unheard");
        cases.add_cut(case.fails(1002), &[1]);
    }
    cases.run(&Hub::start(), 8);
}
