//! Messages in fragments, and what may stand between them.

use super::{Case, Cases, close_frame};
use trefoil_tests::Hub;

/// A message in fragments of `size` bytes, with `between` after each but the last.
fn in_fragments(mut case: Case, opcode: u8, payload: &[u8], size: usize, between: &[(u8, &str)]) -> Case {
    let pieces: Vec<_> = payload.chunks(size).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let opcode = if number == 0 { opcode } else { 0 };
        let is_last = number + 1 == pieces.len();
        case = case.frame(opcode | u8::from(is_last) << 7, piece);
        if !is_last {
            for &(first_byte, payload) in between {
                case = case.frame(first_byte, payload);
                if first_byte == 0x89 {
                    case = case.gets(0x8a, payload);
                }
            }
        }
    }
    case.gets(0x80 | opcode, payload)
}

#[test]
fn messages_in_fragments() {
    let mut cases = Cases::default();
    let text = "a text of some length, with a ☘ and a 🦀 in it";
    for opcode in [1, 2] {
        for size in [1, 2, 3, 7, 20, 45] {
            for (between, name) in [
                (&[][..], "nothing"),
                (&[(0x89, "p")], "a ping"),
                (&[(0x8a, "p")], "a pong"),
                (&[(0x89, "p"), (0x8a, ""), (0x89, "")], "pings and a pong"),
            ] {
                let name = format!("opcode {opcode} in fragments of {size} with {name} between");
                cases.add_cut(in_fragments(Case::new(name), opcode, text.as_bytes(), size, between), &[1, 5]);
            }
        }
        let large = vec![b'x'; 300_000];
        let case = in_fragments(Case::new("many large fragments"), opcode, &large, 65_536, &[(0x89, "p")]);
        cases.add_cut(case, &[1000]);
        let case = in_fragments(Case::new("very many small ones"), opcode, &large[..20_000], 2, &[]);
        cases.add_cut(case, &[1000]);
    }
    cases.run(&Hub::start(), 152);
}

#[test]
fn empty_fragments() {
    let mut cases = Cases::default();
    for opcode in [1u8, 2] {
        for filled in 0..4usize {
            // Three fragments, of which one at most has anything in it.
            let mut case = Case::new(format!("opcode {opcode}, fragment {filled} of 3 has something"));
            for number in 0..3 {
                let first_byte = if number == 0 { opcode } else { 0 } | u8::from(number == 2) << 7;
                case = case.frame(first_byte, if number == filled { "x" } else { "" });
            }
            cases.add_cut(case.gets(0x80 | opcode, if filled < 3 { "x" } else { "" }), &[1]);
        }
        let mut case = Case::new(format!("ten thousand empty ones of {opcode}")).frame(opcode, "");
        for _ in 0..10_000 {
            case = case.frame(0x00, "");
        }
        cases.add(case.frame(0x80, "end").gets(0x80 | opcode, "end"));
    }
    cases.run(&Hub::start(), 18);
}

#[test]
fn fragments_out_of_order() {
    let mut cases = Cases::default();
    for fin in [0x80, 0x00] {
        for payload in ["", "x"] {
            let name = format!("continuation of nothing, fin {fin:#x}, \"{payload}\"");
            cases.add_cut(Case::new(format!("{name}, first")).frame(fin, payload).fails(1002), &[1]);
            let after = Case::new(format!("{name}, after a message")).echoed(0x81, "one");
            cases.add_cut(after.frame(fin, payload).fails(1002), &[1]);
            let after = Case::new(format!("{name}, after fragments"));
            let after = after.frame(0x01, "a").frame(0x80, "b").gets(0x81, "ab");
            cases.add_cut(after.frame(fin, payload).fails(1002), &[1]);
        }
        for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let case = Case::new(format!("{second} within {first}, fin {fin:#x}"));
            cases.add_cut(case.frame(first, "a").frame(fin | second, "b").fails(1002), &[1]);
            let case = Case::new(format!("{second} within {first} after a ping, fin {fin:#x}"));
            let case = case.frame(first, "a").frame(0x00, "b").frame(0x89, "p").gets(0x8a, "p");
            cases.add_cut(case.frame(fin | second, "c").fails(1002), &[1]);
        }
    }
    cases.run(&Hub::start(), 56);
}

#[test]
fn a_goodbye_between_fragments() {
    let mut cases = Cases::default();
    for opcode in [1, 2] {
        let case = Case::new(format!("{opcode}")).frame(opcode, "lost").sends(close_frame(1001, ""));
        cases.add_cut(case.frame(0x80, "too late").fails(1001), &[1]);
    }
    cases.run(&Hub::start(), 4);
}
