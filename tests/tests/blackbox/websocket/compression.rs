//! permessage-deflate: every combination of parameters, and what is wrong with compressed messages.

use super::{Case, Cases, close_frame};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use trefoil_tests::Hub;
use trefoil_tests::websocket::{Connection, frame};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate";
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// "Hello" in compressed form (RFC 7692, section 7.2.3.1).
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// The client's half of it, by another library's names for the same things.
pub(super) struct Codec {
    pub(super) compress: Compress,
    pub(super) decompress: Decompress,
    pub(super) resets_compress: bool,
    pub(super) resets_decompress: bool,
}

impl Codec {
    pub(super) fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        if self.resets_compress {
            self.compress.reset();
        }
        let mut out = Vec::with_capacity(message.len() * 2 + 1000);
        self.compress.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    pub(super) fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.resets_decompress {
            self.decompress.reset(false);
        }
        let mut out = Vec::with_capacity(4 << 20);
        self.decompress.decompress_vec(&[payload, &TAIL].concat(), &mut out, FlushDecompress::Sync).unwrap();
        out
    }
}

/// What a client may say of windows: `None` is nothing, 0 the parameter without a value.
const SERVER_BITS: [Option<u8>; 9] =
    [None, Some(8), Some(9), Some(10), Some(11), Some(12), Some(13), Some(14), Some(15)];
const CLIENT_BITS: [Option<u8>; 9] =
    [None, Some(0), Some(8), Some(9), Some(10), Some(12), Some(13), Some(14), Some(15)];

/// Offers every combination of parameters to a hub whose settings are `more`, and talks as is agreed on.
fn every_combination(keeps: bool, bits_max: u8) {
    let contexts_max = if keeps { 10_000 } else { 0 };
    let hub = Hub::with_config(&format!(
        "{}\n[websocket]\ncontexts_max = {contexts_max}\nwindow_bits_max = {bits_max}\ncompression_bytes_min = 0\n",
        trefoil_tests::CONFIG
    ));
    let texts: Vec<String> =
        (0..4).map(|n| format!("{{\"quote\":{n},\"text\":\"{}\"}}", "on and on ".repeat(60))).collect();
    let mut count = 0;
    for server_resets in [false, true] {
        for client_resets in [false, true] {
            for server_bits in SERVER_BITS {
                for client_bits in CLIENT_BITS {
                    let mut offer = OFFER.to_owned();
                    let mut expected = "permessage-deflate".to_owned();
                    let flag = |offer: &mut String, is_set: bool, name: &str| {
                        offer.push_str(&if is_set { format!("; {name}") } else { String::new() });
                    };
                    flag(&mut offer, server_resets, "server_no_context_takeover");
                    flag(&mut offer, client_resets, "client_no_context_takeover");
                    flag(&mut expected, server_resets || !keeps, "server_no_context_takeover");
                    flag(&mut expected, client_resets || !keeps, "client_no_context_takeover");
                    if let Some(bits) = server_bits {
                        offer.push_str(&format!("; server_max_window_bits={bits}"));
                    }
                    let server = server_bits.unwrap_or(15).min(bits_max);
                    if server_bits.is_some() || bits_max < 15 {
                        expected.push_str(&format!("; server_max_window_bits={server}"));
                    }
                    let client = match client_bits {
                        None => 15,
                        Some(0) => {
                            offer.push_str("; client_max_window_bits");
                            bits_max
                        }
                        Some(bits) => {
                            offer.push_str(&format!("; client_max_window_bits={bits}"));
                            bits.min(bits_max)
                        }
                    };
                    if client < 15 {
                        expected.push_str(&format!("; client_max_window_bits={client}"));
                    }
                    let mut connection =
                        Connection::with_headers(hub.http_port(), "/ws/echo", &format!("{offer}\r\n"));
                    assert_eq!(connection.extensions, expected, "{offer}");
                    let mut codec = Codec {
                        compress: Compress::new_with_window_bits(Compression::new(6), false, client.max(9)),
                        decompress: Decompress::new_with_window_bits(false, server.max(9)),
                        resets_compress: client_resets || !keeps,
                        resets_decompress: server_resets || !keeps,
                    };
                    for (number, text) in texts.iter().enumerate() {
                        let payload = codec.deflate(text.as_bytes());
                        if number % 2 == 0 {
                            connection.send(&frame(0xc1, &payload));
                        } else {
                            let (first, second) = payload.split_at(payload.len() / 2);
                            connection
                                .send(&[frame(0x41, first), frame(0x89, b"p"), frame(0x80, second)].concat());
                            assert_eq!(connection.receive(), Some((0x8a, b"p".to_vec())));
                        }
                        let (first_byte, payload) = connection.receive().unwrap();
                        assert_eq!(first_byte, 0xc1, "{offer}");
                        assert!(payload.len() < text.len() / 2, "{} bytes for {offer}", payload.len());
                        assert_eq!(codec.inflate(&payload), text.as_bytes(), "{offer}");
                    }
                    // Not every message has to be compressed.
                    connection.send(&frame(0x81, b"plain"));
                    let (first_byte, payload) = connection.receive().unwrap();
                    let plain = if first_byte == 0xc1 { codec.inflate(&payload) } else { payload };
                    assert_eq!(plain, b"plain", "{offer}");
                    connection.send(&close_frame(1000, ""));
                    assert_eq!(connection.close_code(), Some(1000));
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 324);
}

#[test]
fn every_combination_without_contexts() {
    every_combination(false, 15);
}

#[test]
fn every_combination_with_contexts() {
    every_combination(true, 15);
}

#[test]
fn every_combination_with_smaller_windows() {
    every_combination(true, 11);
}

#[test]
fn what_is_not_agreed_on() {
    let hub = Hub::start();
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for (offer, expected) in [
        ("permessage-deflate; server_max_window_bits", ""),
        ("permessage-deflate; server_max_window_bits=7", ""),
        ("permessage-deflate; server_max_window_bits=16", ""),
        ("permessage-deflate; client_max_window_bits=7", ""),
        ("permessage-deflate; client_max_window_bits=016", ""),
        ("permessage-deflate; server_no_context_takeover=1", ""),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""),
        ("permessage-deflate; unknown", ""),
        ("x-webkit-deflate-frame", ""),
        ("permessage-bzip2, permessage-deflate", both),
        ("permessage-deflate; unknown, permessage-deflate", both),
        ("PERMESSAGE-DEFLATE", both),
        ("permessage-deflate; client_max_window_bits=\"15\"", both),
    ] {
        let mut connection = Connection::with_headers(
            hub.http_port(),
            "/ws/echo",
            &format!("Sec-WebSocket-Extensions: {offer}\r\n"),
        );
        assert_eq!(connection.extensions, expected, "{offer}");
        // Where it was not agreed on, the bit that says it is reserved.
        connection.send(&frame(0xc1, &HELLO));
        let code = if expected.is_empty() { connection.close_code() } else { None };
        assert_eq!(code, expected.is_empty().then_some(1002), "{offer}");
    }
    let off = Hub::with_config(&format!("{}\n[websocket]\ncompression = false\n", trefoil_tests::CONFIG));
    assert_eq!(Connection::with_headers(off.http_port(), "/ws/echo", &format!("{OFFER}\r\n")).extensions, "");
}

#[test]
fn compressed_messages() {
    let case = |name: &str| Case::new(name).asking(OFFER);
    let mut cases = Cases::default();
    cases.add_cut(case("one block").frame(0xc1, HELLO).gets(0x81, "Hello"), &[1, 3]);
    cases.add_cut(case("binary").frame(0xc2, HELLO).gets(0x82, "Hello"), &[1]);
    cases.add_cut(
        case("in fragments").frame(0x41, &HELLO[..3]).frame(0x80, &HELLO[3..]).gets(0x81, "Hello"),
        &[1],
    );
    let with_ping = case("a ping between").frame(0x41, &HELLO[..3]).frame(0x89, "p").gets(0x8a, "p");
    cases.add_cut(with_ping.frame(0x00, "").frame(0x80, &HELLO[3..]).gets(0x81, "Hello"), &[1]);
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o', 0x00];
    cases.add(case("without compression").frame(0xc1, stored).gets(0x81, "Hello"));
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    cases.add(case("a last block").frame(0xc1, last).gets(0x81, "Hello"));
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    cases.add(case("two blocks").frame(0xc1, two).gets(0x81, "Hello"));
    cases.add(case("nothing, as the RFC says it").frame(0xc1, [0]).gets(0x81, ""));
    cases.add(case("nothing, as zlib says it").frame(0xc1, [2, 0]).gets(0x81, ""));
    cases.add(case("nothing in no bytes").frame(0xc1, "").gets(0x81, ""));
    cases.add(case("plain").echoed(0x81, "plain"));
    cases.add(
        case("both kinds").echoed(0x81, "plain").frame(0xc1, HELLO).gets(0x81, "Hello").echoed(0x82, "x"),
    );

    cases.add(case("garbage").frame(0xc1, [0xff; 9]).fails(1007));
    cases.add(case("cut off").frame(0xc1, &HELLO[..4]).fails(1007));
    cases.add(
        case("a reference to before the beginning").frame(0xc1, [0xf2, 0x00, 0x11, 0x00, 0x00]).fails(1007),
    );
    let not_text = [0x00, 0x02, 0x00, 0xfd, 0xff, 0xc3, 0x28, 0x00];
    cases.add(case("text that is not UTF-8").frame(0xc1, not_text).fails(1007));
    cases.add(case("the same in binary").frame(0xc2, not_text).gets(0x82, [0xc3, 0x28]));
    for first_byte in [0xc8, 0xc9, 0xca, 0xc0, 0xa1, 0x91, 0xe1, 0xd1, 0xf2] {
        cases.add(case(&format!("first byte {first_byte:#x}")).frame(first_byte, HELLO).fails(1002));
    }
    let again = case("the bit on a later fragment").frame(0x41, &HELLO[..3]).frame(0xc0, &HELLO[3..]);
    cases.add(again.fails(1002));
    cases.add(case("the bit on the second fragment only").frame(0x01, "a").frame(0xc0, "b").fails(1002));
    cases.run(&Hub::start(), 33);
}

/// A few bytes that become many are refused as soon as they are too many.
#[test]
fn bombs() {
    let hub = Hub::with_config(&format!(
        "{}\n[limits]\npacket_bytes_max = 1000000\njson_bytes_max = 1000000\n",
        trefoil_tests::CONFIG
    ));
    let bomb = |bytes: usize| {
        let mut codec = Codec {
            compress: Compress::new_with_window_bits(Compression::new(9), false, 15),
            decompress: Decompress::new(false),
            resets_compress: true,
            resets_decompress: true,
        };
        codec.deflate(&vec![b' '; bytes])
    };
    let (fits, too_large, huge) = (bomb(1_000_000), bomb(1_000_001), bomb(256 << 20));
    assert!(huge.len() < 300_000);
    let before = hub.resident_bytes();
    for path in ["/ws/echo", "/ws"] {
        for payload in [&too_large, &huge] {
            for pieces in [1, 10] {
                let mut connection = Connection::with_headers(hub.http_port(), path, &format!("{OFFER}\r\n"));
                for (number, piece) in payload.chunks(payload.len().div_ceil(pieces)).enumerate() {
                    let first = if number == 0 { 0x41 } else { 0 };
                    connection.send(&frame(first, piece));
                }
                connection.send(&frame(0x80, b""));
                assert_eq!(connection.close_code(), Some(1009), "{path}, {} bytes", payload.len());
            }
        }
    }
    let mut connection = Connection::with_headers(hub.http_port(), "/ws/echo", &format!("{OFFER}\r\n"));
    connection.send(&frame(0xc2, &fits));
    assert_eq!(connection.receive().map(|(first_byte, _)| first_byte), Some(0xc2));
    let more = hub.resident_bytes().saturating_sub(before);
    assert!(more < 32 << 20, "{more} bytes more are resident");
}

/// Many bombs in one read: each is inflated, in order, by turns.
#[test]
fn who_sends_bombs_takes_turns() {
    let hub =
        Hub::with_config(&format!("{}\n[websocket]\ncompression_bytes_min = 0\n", trefoil_tests::CONFIG));
    let mut codec = Codec {
        compress: Compress::new_with_window_bits(Compression::new(9), false, 15),
        decompress: Decompress::new(false),
        resets_compress: true,
        resets_decompress: true,
    };
    let mut connection = Connection::with_headers(hub.http_port(), "/ws/echo", &format!("{OFFER}\r\n"));
    let all: Vec<u8> =
        (0..60u8).flat_map(|n| frame(0xc2, &codec.deflate(&[vec![n], vec![0; 900_000]].concat()))).collect();
    connection.send(&all);
    for n in 0..60 {
        let (first_byte, payload) = connection.receive().unwrap();
        let message = codec.inflate(&payload);
        assert_eq!((first_byte, message.len(), message[0]), (0xc2, 900_001, n));
    }
    connection.send(&close_frame(1000, ""));
    assert_eq!(connection.close_code(), Some(1000));
}

/// Who keeps windows is counted, and beyond that nobody gets one.
#[test]
fn contexts_are_counted() {
    let hub = Hub::with_config(&format!("{}\n[websocket]\ncontexts_max = 4\n", trefoil_tests::CONFIG));
    let open = || Connection::with_headers(hub.http_port(), "/ws/echo", &format!("{OFFER}\r\n"));
    let (one, two, three) = (open(), open(), open());
    assert_eq!(
        (one.extensions.as_str(), two.extensions.as_str()),
        ("permessage-deflate", "permessage-deflate")
    );
    let none = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(three.extensions, none);
    drop(one);
    trefoil_tests::wait_until("its windows are free", || open().extensions == "permessage-deflate");
}

/// MQTT in compressed frames: the packets of a tick in one, after a move between shards, too.
#[test]
fn mqtt() {
    let hub = Hub::with_config(&format!(
        "{}\n[websocket]\nmqtt_compression = true\ncontexts_max = 100\n",
        trefoil_tests::CONFIG
    ));
    for number in 0..8 {
        let offer = "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
        let mut connection = Connection::with_headers(hub.http_port(), "/mqtt", offer);
        assert_eq!(connection.extensions, "permessage-deflate");
        let mut codec = Codec {
            compress: Compress::new(Compression::new(6), false),
            decompress: Decompress::new(false),
            resets_compress: false,
            resets_decompress: false,
        };
        let mut came = Vec::new();
        let mut compressed = 0;
        let payload = "reading ".repeat(100);
        // The client id decides about the shard.
        let packets = [
            trefoil_tests::mqtt::connect_packet(4, &format!("client {number}"), &[]),
            trefoil_tests::mqtt::packet(0x82, b"\x00\x01\x00\x01t\x00"),
        ];
        let publish = trefoil_tests::mqtt::packet(0x30, format!("\0\x01t{payload}").as_bytes());
        for packet in packets.iter().chain([&publish, &publish, &publish]) {
            connection.send(&frame(0xc2, &codec.deflate(packet)));
        }
        while came.len() < 4 + 5 + 3 * publish.len() {
            let (first_byte, payload) = connection.receive().unwrap();
            compressed += usize::from(first_byte == 0xc2);
            came.extend(if first_byte == 0xc2 { codec.inflate(&payload) } else { payload });
        }
        assert_eq!(came, [b"\x20\x02\x00\x00\x90\x03\x00\x01\x00".to_vec(), publish.repeat(3)].concat());
        assert!(compressed > 0);
    }
}
