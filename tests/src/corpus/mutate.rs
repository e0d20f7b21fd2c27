//! The ways in which packets are broken.

use super::Case;
use super::packets::{MARK, Section};
use crate::mqtt::property::{ALL, any};
use crate::mqtt::{packet, variable_byte_integer};

/// What is put in the place of a string: some of it is allowed.
const STRINGS: [(&str, [u8; 4]); 12] = [
    ("an overlong form", [0xC0, 0xAF, b'a', b'a']),
    ("an overlong form of three bytes", [0xE0, 0x80, 0xAF, b'a']),
    ("a surrogate", [0xED, 0xA0, 0x80, b'a']),
    ("a character cut off", [b'a', 0xF0, 0x9F, 0x98]),
    ("a byte that begins nothing", [b'a', 0x80, b'a', b'a']),
    ("a character above U+10FFFF", [0xF4, 0x90, 0x80, 0x80]),
    ("U+0000", [b'a', 0, b'a', b'a']),
    ("a wildcard", [b'a', b'/', b'#', b'a']),
    ("a good wildcard", [b'a', b'a', b'/', b'#']),
    ("a byte order mark", [0xEF, 0xBB, 0xBF, b'a']),
    ("a non-character", [0xEF, 0xBF, 0xBF, b'a']),
    ("a control character", [0x01, 0x1F, 0x7F, b'a']),
];

/// Everything that can be done to the bytes of a packet.
pub(super) fn bytes(name: &str, right: &[u8], all: &mut Vec<Case>) {
    let mut add = |what: String, bytes: Vec<u8>| all.push(Case { name: format!("{name}: {what}"), bytes });
    add("as it is".into(), right.to_vec());
    let head = header_bytes(right);
    let body = &right[head..];
    for length in 0..body.len() {
        add(format!("{length} bytes and no more follow"), right[..head + length].to_vec());
        add(format!("cut to {length} bytes"), packet(right[0], &body[..length]));
    }
    for more in [1, 2, 100] {
        add(format!("{more} bytes more"), packet(right[0], &[body, &vec![0; more]].concat()));
        add(format!("a length that is {more} too much"), with_length(right[0], body.len() + more, body));
        if body.len() >= more {
            add(
                format!("a length that is {more} too little"),
                with_length(right[0], body.len() - more, body),
            );
        }
    }
    for place in 0..right.len() {
        for bit in 0..8 {
            let mut flipped = right.to_vec();
            flipped[place] ^= 1 << bit;
            add(format!("bit {bit} of byte {place} flipped"), flipped);
        }
        for value in [0x00, 0x03, 0x80, 0xFF] {
            let mut changed = right.to_vec();
            changed[place] = value;
            add(format!("byte {place} is {value:#04x}"), changed);
        }
    }
    for length in [vec![0x80 | body.len() as u8 & 0x7F, body.len() as u8 >> 7 | 0x80, 0], vec![0xFF; 4]] {
        add(format!("the remaining length is {length:02x?}"), [&[right[0]], &length[..], body].concat());
    }
    add("a length above the limit".into(), with_length(right[0], 100_000_000, body));
    let marks: Vec<usize> =
        right.windows(4).enumerate().filter(|(_, w)| *w == MARK.as_bytes()).map(|(at, _)| at).collect();
    for at in marks {
        for (what, text) in STRINGS {
            let mut changed = right.to_vec();
            changed[at..at + 4].copy_from_slice(&text);
            add(format!("{what} at byte {at}"), changed);
        }
    }
}

/// Packet types and flags with nothing behind them.
pub(super) fn types(all: &mut Vec<Case>) {
    for first_byte in 0..=255 {
        let name = format!("first byte {first_byte:#04x}: nothing behind it");
        all.push(Case { name, bytes: vec![first_byte, 0] });
        let name = format!("first byte {first_byte:#04x}: two bytes behind it");
        all.push(Case { name, bytes: vec![first_byte, 2, 0, 1] });
    }
}

/// Everything that can be done to a section of properties.
pub(super) fn properties(section: &Section, all: &mut Vec<Case>) {
    let Section { name, allowed, build } = section;
    let mut add = |what: String, properties: &[u8]| {
        all.push(Case { name: format!("{name}: {what}"), bytes: build(properties) });
    };
    for id in ALL {
        add(format!("property {id:#04x}"), &whole(&any(id)));
        add(format!("property {id:#04x} twice"), &whole(&[any(id), any(id)].concat()));
        add(format!("property {id:#04x} without a value"), &whole(&[id]));
        add(format!("property {id:#04x} cut off"), &whole(&any(id)[..any(id).len() - 1]));
        add(
            format!("property {id:#04x} with an id of two bytes"),
            &whole(&[&[id | 0x80, 0], &any(id)[1..]].concat()),
        );
        for value in [0x00, 0x02, 0xFF] {
            let changed = [&[id], &vec![value; any(id).len() - 1][..]].concat();
            add(format!("property {id:#04x} of bytes {value:#04x}"), &whole(&changed));
        }
    }
    for id in (0..=0x7F).filter(|id| !ALL.contains(id)) {
        add(format!("unknown property {id:#04x}"), &whole(&[id, 1]));
    }
    let right = allowed.concat();
    add("all properties".into(), &whole(&right));
    for (number, property) in allowed.iter().enumerate() {
        let again = [&right[..], property].concat();
        add(format!("all properties, and {:#04x} again", allowed[number][0]), &whole(&again));
    }
    for length in (0..right.len() + 4).chain([127, 128, 16_383, 268_435_455]) {
        let mut lying = Vec::new();
        variable_byte_integer(length, &mut lying);
        lying.extend_from_slice(&right);
        add(format!("properties of {} bytes that say {length}", right.len()), &lying);
    }
    for length in [&[0x80, 0x00][..], &[0x80, 0x80, 0x80, 0x80, 0x01], &[0xFF], &[]] {
        add(format!("a length of properties {length:02x?}"), length);
    }
}

/// Properties with their length in front.
fn whole(properties: &[u8]) -> Vec<u8> {
    crate::mqtt::property::section(properties)
}

fn with_length(first_byte: u8, length: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    variable_byte_integer(length, &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

fn header_bytes(packet: &[u8]) -> usize {
    2 + packet[1..].iter().take_while(|byte| **byte >= 0x80).count()
}
