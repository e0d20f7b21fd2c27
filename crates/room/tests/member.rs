//! Short stories of one member, told with a made-up clock.
#![allow(clippy::unwrap_used)]

use trefoil_room::*;

const WELCOME: Welcome<'_> =
    Welcome { peer: 2, peers: 1, heartbeat_s: 10, payload_bytes_max: 1192, others: &[0, 1] };

fn encoded(packet: Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn control(control: Control) -> Vec<u8> {
    encoded(Packet::Control(control))
}

fn joined() -> Member {
    let mut member = Member::new("pong", b"", 9, 0);
    transmitted(&mut member, 0).unwrap();
    let welcome = encoded(Packet::Welcome { nonce: 9, welcome: WELCOME });
    assert_eq!(member.handle(&welcome, 0), Some(Event::Welcome(WELCOME)));
    assert_eq!(member.handle(&welcome, 0), None, "once is enough");
    member
}

fn transmitted(member: &mut Member, now_ms: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    member.poll_transmit(now_ms, &mut out).then_some(out)
}

#[test]
fn it_asks_again_with_the_cookie_and_less_and_less_often() {
    let mut member = Member::new("pong", b"tok", 9, 0);
    let first = transmitted(&mut member, 0).unwrap();
    assert_eq!(transmitted(&mut member, 249), None);
    assert_eq!(transmitted(&mut member, 250), Some(first));
    assert_eq!(member.next_deadline_ms(), Some(750));
    let challenge = |nonce| encoded(Packet::Challenge { nonce, cookie: [7; 16] });
    assert_eq!(member.handle(&challenge(8), 300), None);
    assert_eq!(transmitted(&mut member, 300), None, "that was for somebody else");
    assert_eq!(member.handle(&challenge(9), 300), None);
    let second = transmitted(&mut member, 300).unwrap();
    let Ok(Packet::Join(join)) = decode(&second) else { panic!("{second:?}") };
    assert_eq!((join.cookie, join.token), ([7; 16], &b"tok"[..]));
    member.handle(&challenge(9), 301);
    assert_eq!(transmitted(&mut member, 301), None, "the same challenge makes it ask no more");
}

#[test]
fn it_says_that_it_is_there_and_notices_that_nobody_answers() {
    let mut member = joined();
    assert_eq!(member.next_deadline_ms(), Some(10_000));
    assert_eq!(transmitted(&mut member, 9_999), None);
    let ping = transmitted(&mut member, 10_000).unwrap();
    let Ok(Packet::Control(Control::Ping(number))) = decode(&ping) else { panic!("{ping:?}") };
    assert_eq!(member.handle(&control(Control::Pong(number)), 10_050), None);
    let mut out = Vec::new();
    member.write(Data::to_others(b"x"), 15_000, &mut out);
    assert_eq!(transmitted(&mut member, 24_999), None, "whatever it says is a sign of life");
    assert!(transmitted(&mut member, 25_000).is_some() && transmitted(&mut member, 35_000).is_some());
    let again = transmitted(&mut member, 40_050).unwrap();
    let Ok(Packet::Join(join)) = decode(&again) else { panic!("{again:?}") };
    assert_eq!((join.nonce, join.cookie), (9, [0; 16]), "it is the same member");
}

#[test]
fn it_joins_again_when_it_is_forgotten() {
    let mut member = joined();
    let mut out = Vec::new();
    member.write(Data::to_others(b"x"), 0, &mut out);
    assert_eq!(member.handle(&control(Control::Reset(99)), 1), None, "it has sent nothing with that number");
    assert_eq!(member.handle(&control(Control::Reset(1)), 1), Some(Event::Forgotten));
    assert!(!member.is_in() && transmitted(&mut member, 1).is_some());

    let mut member = joined();
    let gone = |nonce, why| control(Control::Gone { nonce, why });
    assert_eq!(member.handle(&gone(8, Gone::Restart), 1), None);
    assert_eq!(member.handle(&gone(9, Gone::Restart), 1), Some(Event::Gone(Gone::Restart)));
    let join = transmitted(&mut member, 1).unwrap();
    assert!(matches!(decode(&join), Ok(Packet::Join(join)) if join.nonce == 10), "it is a new stay");

    let mut member = joined();
    assert_eq!(member.handle(&gone(9, Gone::Replaced), 1), Some(Event::Gone(Gone::Replaced)));
    assert!(
        member.is_out() && member.next_deadline_ms().is_none() && transmitted(&mut member, 99_999).is_none()
    );
}

#[test]
fn what_came_too_late_is_dropped_where_that_is_asked_for() {
    let mut member = joined();
    let data = |peer, sequence, newest, direct| {
        encoded(Packet::Data(Data { newest, direct, peer, sequence, payload: b"" }))
    };
    let mut came = |datagram: Vec<u8>| member.handle(&datagram, 0).is_some();
    assert!(came(data(1, 5, true, false)));
    assert!(!came(data(1, 5, true, false)) && !came(data(1, 4, true, false)));
    assert!(came(data(1, 4, false, false)), "without the flag all come");
    assert!(came(data(1, 4, true, true)) && came(data(3, 1, true, false)), "each goes by itself");
    assert!(came(control(Control::Joined { peer: 1, peers: 2 })));
    assert!(came(data(1, 1, true, false)), "the number is another member's now");
}

#[test]
fn it_answers_and_leaves() {
    let mut member = joined();
    assert_eq!(member.handle(&control(Control::Ping(5)), 3), None);
    assert_eq!(transmitted(&mut member, 3), Some(control(Control::Pong(5))));
    let mut out = Vec::new();
    member.leave(&mut out);
    assert_eq!(out, control(Control::Leave(9)));
    out.clear();
    member.leave(&mut out);
    assert!(out.is_empty());
    assert_eq!(member.handle(&encoded(Packet::Data(Data::to_others(b""))), 4), None);

    let mut member = Member::new("pong", b"", 9, 0);
    let refused = encoded(Packet::Refused { nonce: 9, refusal: Refusal::Token, text: "no" });
    assert_eq!(member.handle(&refused, 0), Some(Event::Refused { refusal: Refusal::Token, text: "no" }));
    assert!(member.is_out());
}
