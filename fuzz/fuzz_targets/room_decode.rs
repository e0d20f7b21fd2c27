//! Any datagram: no panic, and what is a packet encodes and decodes to the same one; a member takes whatever comes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_room::{Cookies, Data, Member, Packet, Tokens, decode};

fuzz_target!(|datagrams: &[u8]| {
    let mut member = Member::new("room", b"", 1, 0);
    let (mut out, mut now_ms) = (Vec::new(), 0);
    // Several datagrams, each with its length in front.
    let mut rest = datagrams;
    while let Some((&len, behind)) = rest.split_first() {
        let (datagram, behind) = behind.split_at(behind.len().min(len.into()));
        rest = behind;
        now_ms += u64::from(len) * 100;
        member.handle(datagram, now_ms);
        out.clear();
        member.poll_transmit(now_ms, &mut out);
        member.write(Data::to_others(datagram), now_ms, &mut out);
    }
    let Ok(packet) = decode(datagrams) else { return };
    let mut encoded = Vec::new();
    packet.encode(&mut encoded);
    assert!(encoded.len() <= datagrams.len());
    assert_eq!(decode(&encoded), Ok(packet));
    if let Packet::Join(join) = packet {
        let is_right =
            Cookies::new([1; 32]).is_right(&join.cookie, b"a", join.nonce, join.room, join.token, 0);
        assert!(
            !is_right && Tokens::new([1; 32]).check(join.room, join.token, 0).is_err(),
            "nobody guesses that"
        );
    }
});
