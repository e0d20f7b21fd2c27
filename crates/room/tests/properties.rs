//! Whatever is encoded is decoded to the same, whatever comes does no harm, and a member reaches its room through any loss.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_room::*;

/// The parts of which any packet can be made; the packets borrow from them.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    flags: (bool, bool),
    numbers: (u16, u16, u16),
    long: u32,
    code: u8,
    cookie: Cookie,
    text: String,
    bytes: Vec<u8>,
}

fn parts() -> impl Strategy<Value = Parts> {
    (
        0..12u8,
        any::<(bool, bool)>(),
        (1..=u16::MAX, any::<u16>(), 1..=u16::MAX),
        any::<u32>(),
        any::<u8>(),
        any::<Cookie>(),
        "\\PC{1,60}",
        vec(any::<u8>(), 0..600),
    )
        .prop_map(|(kind, flags, numbers, long, code, cookie, text, bytes)| Parts {
            kind,
            flags,
            numbers,
            long,
            code,
            cookie,
            text,
            bytes,
        })
}

fn packet(parts: &Parts) -> Packet<'_> {
    let Parts { numbers: (peer, peers, heartbeat_s), long: nonce, cookie, .. } = *parts;
    let even = parts.bytes.len() / 2 * 2;
    match parts.kind {
        0 => Packet::Join(Join { nonce, cookie, room: &parts.text, token: &parts.bytes }),
        1 => Packet::Challenge { nonce, cookie },
        2 => {
            let others = &parts.bytes[..even];
            let welcome = Welcome { peer, peers, heartbeat_s, payload_bytes_max: 9, others };
            Packet::Welcome { nonce, welcome }
        }
        3 => {
            let all = Refusal::ALL.map(|(refusal, _)| refusal);
            let known = all.into_iter().find(|refusal| refusal.code() == parts.code);
            let refusal = known.unwrap_or(Refusal::Other(parts.code));
            Packet::Refused { nonce, refusal, text: &parts.text }
        }
        4 => {
            let (newest, direct) = parts.flags;
            Packet::Data(Data { newest, direct, peer: peers, sequence: nonce, payload: &parts.bytes })
        }
        5 => Packet::Control(Control::Reset(nonce)),
        6 => Packet::Control(Control::Ping(nonce)),
        7 => Packet::Control(Control::Pong(nonce)),
        8 => Packet::Control(Control::Leave(nonce)),
        9 => Packet::Control(Control::Joined { peer, peers }),
        10 => Packet::Control(Control::Left { peer, peers, why: Left::Idle }),
        _ => Packet::Control(Control::Gone { nonce, why: Gone::Idle }),
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(parts in parts()) {
        let (packet, mut out) = (packet(&parts), Vec::new());
        packet.encode(&mut out);
        prop_assert!(is_room(&out));
        prop_assert_eq!(decode(&out), Ok(packet));
    }

    /// Half of a packet is another packet only where the rest is free text.
    #[test]
    fn no_cut_does_harm(parts in parts(), cut in 0..700usize) {
        let mut out = Vec::new();
        packet(&parts).encode(&mut out);
        out.truncate(cut);
        if let Ok(packet) = decode(&out) {
            let mut again = Vec::new();
            packet.encode(&mut again);
            prop_assert_eq!(decode(&again), Ok(packet));
        }
    }

    #[test]
    fn any_bytes(first in 0x03..0x09u8, mut bytes in vec(any::<u8>(), 0..80)) {
        bytes.insert(0, first);
        if let Ok(packet) = decode(&bytes) {
            let mut again = Vec::new();
            packet.encode(&mut again);
            prop_assert!(again.len() <= bytes.len());
            prop_assert_eq!(decode(&again), Ok(packet));
        }
    }

    /// Whatever is lost on the way, a member that goes on asking comes in, and nobody sends it more than it has sent
    /// before its address is known to be its own.
    #[test]
    fn a_member_comes_in_through_any_loss(losses in vec(any::<bool>(), 0..40)) {
        let cookies = Cookies::new([5; 32]);
        let mut member = Member::new("room", b"", 77, 0);
        let (mut losses, mut now_ms) = (losses.into_iter(), 0);
        let (mut sent, mut got) = (0, 0);
        while !member.is_in() {
            now_ms = member.next_deadline_ms().unwrap().max(now_ms);
            let mut datagram = Vec::new();
            prop_assert!(member.poll_transmit(now_ms, &mut datagram));
            sent += datagram.len();
            if losses.next().unwrap_or(false) {
                continue;
            }
            let Ok(Packet::Join(join)) = decode(&datagram) else { panic!("it asks for nothing else") };
            let mut answer = Vec::new();
            if cookies.is_right(&join.cookie, b"here", join.nonce, join.room, join.token, now_ms) {
                let welcome =
                    Welcome { peer: 1, peers: 0, heartbeat_s: 10, payload_bytes_max: 99, others: &[] };
                Packet::Welcome { nonce: join.nonce, welcome }.encode(&mut answer);
            } else {
                let cookie = cookies.make(b"here", join.nonce, join.room, join.token, now_ms);
                Packet::Challenge { nonce: join.nonce, cookie }.encode(&mut answer);
                prop_assert!(answer.len() <= datagram.len());
                got += answer.len();
            }
            if !losses.next().unwrap_or(false) {
                member.handle(&answer, now_ms);
            }
            prop_assert!(now_ms < 1_000_000, "it never comes in");
        }
        prop_assert!(got <= sent);
    }
}
