//! Each packet in bytes written by hand, as in `docs/rooms.md`, read and written.
#![allow(clippy::unwrap_used)]

use trefoil_room::*;

/// The bytes decode to the packet, and the packet encodes to the bytes.
#[track_caller]
fn same(bytes: &[u8], packet: Packet<'_>) {
    assert_eq!(decode(bytes), Ok(packet));
    let mut out = b"before".to_vec();
    packet.encode(&mut out);
    assert_eq!(&out[6..], bytes);
}

const COOKIE: Cookie = *b"sixteen bytes OK";

#[test]
fn joining() {
    let join = Join { nonce: 0x0102_0304, cookie: COOKIE, room: "pong/7", token: b"t0" };
    same(b"\x04\x01\x01\x02\x03\x04sixteen bytes OK\x06pong/7\x00\x02t0", Packet::Join(join));
    let shortest = Join { nonce: 0, cookie: [0; 16], room: "a", token: b"" };
    let mut out = Vec::new();
    Packet::Join(shortest).encode(&mut out);
    assert_eq!(out.len(), JOIN_BYTES_MIN);
    out.clear();
    join.encode_padded(64, &mut out);
    assert_eq!((out.len(), decode(&out)), (64, Ok(Packet::Join(join))));
    *out.last_mut().unwrap() = 1;
    assert_eq!(decode(&out), Err(DecodeError::Padding));
}

#[test]
fn answers() {
    same(
        b"\x05\x00\x01\x02\x03\x04sixteen bytes OK",
        Packet::Challenge { nonce: 0x0102_0304, cookie: COOKIE },
    );
    let welcome =
        Welcome { peer: 3, peers: 2, heartbeat_s: 10, payload_bytes_max: 1192, others: &[0, 1, 0, 2] };
    assert_eq!(welcome.others().collect::<Vec<_>>(), [1, 2]);
    same(
        b"\x05\x01\x01\x02\x03\x04\x00\x03\x00\x02\x00\x0a\x04\xa8\x00\x01\x00\x02",
        Packet::Welcome { nonce: 0x0102_0304, welcome },
    );
    let refused = Packet::Refused { nonce: 1, refusal: Refusal::Token, text: "no" };
    same(b"\x05\x02\x00\x00\x00\x01\x03no", refused);
    same(
        b"\x05\x02\x00\x00\x00\x01\x63",
        Packet::Refused { nonce: 1, refusal: Refusal::Other(99), text: "" },
    );
}

#[test]
fn data() {
    let data = Data { sequence: 7, ..Data::to_others(b"hi") };
    same(b"\x06\x00\x00\x00\x00\x00\x00\x07hi", Packet::Data(data));
    same(b"\x06\x01\x00\x05\x00\x00\x00\x07", Packet::Data(Data { peer: 5, payload: b"", ..data }.newest()));
    same(b"\x06\x02\x00\x05\x00\x00\x00\x07hi", Packet::Data(Data { peer: 5, direct: true, ..data }));
}

#[test]
fn control() {
    let same = |bytes, control| same(bytes, Packet::Control(control));
    same(b"\x07\x00\x00\x00\x00\x07", Control::Reset(7));
    same(b"\x07\x01\x00\x00\x00\x07", Control::Ping(7));
    same(b"\x07\x02\x00\x00\x00\x07", Control::Pong(7));
    same(b"\x07\x03\x01\x02\x03\x04", Control::Leave(0x0102_0304));
    same(b"\x07\x04\x00\x03\x00\x02", Control::Joined { peer: 3, peers: 2 });
    same(b"\x07\x05\x00\x03\x00\x01\x01", Control::Left { peer: 3, peers: 1, why: Left::Idle });
    same(b"\x07\x06\x01\x02\x03\x04\x00", Control::Gone { nonce: 0x0102_0304, why: Gone::Restart });
}

#[test]
fn what_is_no_packet() {
    use DecodeError::*;
    for (bytes, why) in [
        (&b""[..], TooShort),
        (b"\x03", Kind(3)),
        (b"{\"pub\":1}", Kind(b'{')),
        (b"\x04\x02\x00\x00\x00\x09", Version { version: 2, nonce: 9 }),
        (b"\x04\x01\x01\x02\x03\x04sixteen bytes O", TooShort),
        (b"\x04\x01\x01\x02\x03\x04sixteen bytes OK\x00\x00\x00", Zero),
        (b"\x04\x01\x01\x02\x03\x04sixteen bytes OK\xffpong", TooShort),
        (b"\x04\x01\x01\x02\x03\x04sixteen bytes OK\x01\xff\x00\x00", NotUtf8),
        (b"\x04\x01\x01\x02\x03\x04sixteen bytes OK\x01a\xff\xfft", TooShort),
        (b"\x05\x00\x01\x02\x03\x04sixteen bytes OK!", TooLong),
        (b"\x05\x01\x01\x02\x03\x04\x00\x00\x00\x00\x00\x01\x00\x01", Zero),
        (b"\x05\x01\x01\x02\x03\x04\x00\x01\x00\x00\x00\x01\x00\x01\x00", TooShort),
        (b"\x05\x09\x00\x00\x00\x01", Unknown(9)),
        (b"\x06\x00\x00\x00\x00\x00\x00", TooShort),
        (b"\x06\x80\x00\x00\x00\x00\x00\x00", Flags(0x80)),
        (b"\x07\x00\x00\x00\x00\x01\x00", TooLong),
        (b"\x07\x01\x00", TooShort),
        (b"\x07\x04\x00\x00\x00\x01", Zero),
        (b"\x07\x77\x00\x00\x00\x01", Unknown(0x77)),
    ] {
        assert_eq!(decode(bytes), Err(why), "{}", bytes.escape_ascii());
    }
}
