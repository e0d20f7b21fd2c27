//! How lengths are written, and how much there may be.

use super::{Case, Cases, frame_with};
use trefoil_tests::Hub;
use trefoil_tests::websocket::{Connection, frame};

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// A length in two or eight bytes, whether it needs them or not.
fn long(length: u64, bytes: usize) -> Vec<u8> {
    let mut written = vec![if bytes == 2 { 126 } else { 127 }];
    written.extend_from_slice(&length.to_be_bytes()[8 - bytes..]);
    written
}

#[test]
fn lengths_are_in_their_shortest_form() {
    let mut cases = Cases::default();
    for first_byte in [0x81, 0x82, 0x01] {
        for (length, bytes) in [(0, 2), (1, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65_535, 8)] {
            let wrong = frame_with(first_byte, &long(length, bytes), MASK, &vec![b'x'; length as usize]);
            let case = Case::new(format!("{length} in {bytes} bytes on {first_byte:#x}"));
            cases.add(case.sends(wrong).fails(1002));
        }
        let negative = frame_with(first_byte, &long(1 << 63, 8), MASK, b"x");
        cases.add(Case::new("the highest bit").sends(negative).fails(1002));
    }
    for (length, bytes) in [(126, 2), (65_535, 2), (65_536, 8)] {
        let payload = vec![b'x'; length as usize];
        let right = frame_with(0x81, &long(length, bytes), MASK, &payload);
        cases.add(Case::new(format!("{length} in {bytes} bytes")).sends(right).gets(0x81, payload));
    }
    cases.run(&Hub::start(), 27);
}

const SMALL: &str = "shards = 1\n[[listener]]\nbind = \"127.0.0.1:0\"\nprotocols = [\"http\", \"websocket\"]\necho = true\n\
                     [limits]\npacket_bytes_max = 10000\njson_bytes_max = 10000\n";

#[test]
fn messages_have_a_largest_size() {
    let mut cases = Cases::default();
    let full = vec![b'x'; 10_000];
    cases.add_cut(Case::new("just so large").echoed(0x81, &full), &[999]);
    cases.add_cut(
        Case::new("the same in fragments")
            .frame(0x01, &full[..6000])
            .frame(0x80, &full[..4000])
            .gets(0x81, full.clone()),
        &[999],
    );
    for opcode in [1, 2] {
        // The head alone is enough.
        let promised = frame_with(0x80 | opcode, &long(10_001, 2), MASK, b"");
        cases.add(Case::new("one more").sends(promised).fails(1009));
        let much = frame_with(0x80 | opcode, &long(u64::MAX >> 1, 8), MASK, b"");
        cases.add(Case::new("as much as can be said").sends(much).fails(1009));
        let case =
            Case::new("one more in fragments").frame(opcode, &full[..6000]).frame(0x89, "p").gets(0x8a, "p");
        cases.add_cut(case.frame(0x80, &full[..4001]).fails(1009), &[999]);
        let mut case = Case::new("fragments without end").frame(opcode, "");
        for _ in 0..101 {
            case = case.frame(0x00, &full[..100]);
        }
        cases.add_cut(case.fails(1009), &[999]);
    }
    cases.run(&Hub::with_config(SMALL), 16);
}

/// What a message promises is not taken from memory before it has come.
#[test]
fn promises_cost_nothing() {
    let hub = Hub::start();
    let before = hub.resident_bytes();
    let connections: Vec<_> = (0..200)
        .map(|_| {
            let mut connection = Connection::new(hub.http_port(), "/ws/echo");
            // When the ping is answered the hub has read what came with it.
            let promise = frame_with(0x82, &long(4 << 20, 8), MASK, b"x");
            connection.send(&[frame(0x89, b""), promise].concat());
            assert_eq!(connection.receive(), Some((0x8a, vec![])));
            connection
        })
        .collect();
    let each = hub.resident_bytes().saturating_sub(before) / connections.len() as u64;
    assert!(each < 64 << 10, "{each} bytes for a promise of 4 MiB");
}
