//! The bounds of datagram channels, each with its counter.

use super::rooms::start;
use trefoil_tests::rooms::{Peer, control, data, told};
use trefoil_tests::wait_until;

const ROOM_FULL: u8 = 6;
const HUB_FULL: u8 = 7;

#[track_caller]
fn refused(port: u16, room: &str, code: u8) {
    let mut peer = Peer::new(port);
    let answer = peer.try_join(room, "");
    assert_eq!((&answer[..2], answer[6]), (&[0x05, 2][..], code), "{}", answer.escape_ascii());
    assert!(answer.len() <= peer.join.len());
    // It is nobody here, in whatever shard the room is.
    assert_eq!(peer.ask(&data(0, 0, 1, b"")), control(0, 1));
}

#[test]
fn rooms_and_those_in_them_are_bounded() {
    let (hub, port) = start("[rooms]\nrooms_max = 2\npeers_max = 2\n");
    let [one, two] = ["one", "two"].map(|room| Peer::joined(port, room, ""));
    let other = Peer::joined(port, "one", "");
    refused(port, "one", ROOM_FULL);
    for room in ["three", "four", "five"] {
        refused(port, room, HUB_FULL);
    }
    assert_eq!(hub.metric("trefoil_room_refused_total{reason=\"hub_full\"}"), 3);
    assert_eq!(hub.metric("trefoil_room_refused_total{reason=\"room_full\"}"), 1);
    one.expect(&told(4, other.number, 1, None));
    other.send(&control(3, other.nonce));
    one.expect(&told(5, other.number, 0, Some(0)));
    Peer::joined(port, "one", "");
    two.send(&control(3, two.nonce));
    wait_until("its room is closed", || hub.metric("trefoil_rooms") == 1);
    Peer::joined(port, "three", "");
}

#[test]
fn peers_count_as_connections_of_their_listener() {
    let (hub, port) = start("connections_max = 2\n");
    let first = Peer::joined(port, "r", "");
    Peer::joined(port, "r", "");
    refused(port, "r", HUB_FULL);
    refused(port, "s", HUB_FULL);
    assert_eq!(hub.metric("trefoil_rooms"), 1, "a room that nobody could enter is not there");
    first.send(&control(3, first.nonce));
    wait_until("it is gone", || hub.metric("trefoil_room_peers") == 1);
    Peer::joined(port, "s", "");
}

#[test]
fn what_is_too_large_or_too_much_or_for_nobody_is_dropped_and_counted() {
    let (hub, port) = start("[rooms]\ndatagram_bytes_max = 100\nrate_max = 50\n");
    let (ann, bob) = (Peer::joined(port, "r", ""), Peer::joined(port, "r", ""));
    ann.next();
    let dropped = |reason: &str| hub.metric(&format!("trefoil_room_dropped_total{{reason=\"{reason}\"}}"));
    ann.say([1; 93]);
    ann.say([2; 60_000]);
    ann.send(&data(0, 77, 0, b"nobody"));
    ann.send(&data(0, ann.number, 0, b"itself"));
    ann.say([3; 92]);
    assert_eq!(bob.hear(), (ann.number, vec![3; 92]));
    wait_until("it is counted", || dropped("too_large") == 2 && dropped("no_peer") == 2);
    // Five of a second's are spent, and however slow this is, there is never more than one second's at once.
    for n in 0..1000_u32 {
        ann.say(n.to_be_bytes());
    }
    wait_until("they are counted", || hub.metric("trefoil_room_datagrams_in_total") >= 1005);
    assert!(dropped("rate") > 0);
    bob.say("still");
    assert_eq!(ann.hear(), (bob.number, b"still".to_vec()), "others are not concerned");
}

/// Who does not read loses what it does not read, and nobody else anything.
#[test]
fn a_peer_that_does_not_read_holds_nobody_up() {
    let (hub, port) = start("[rooms]\nrate_max = 0\n");
    let (ann, bob, _deaf) =
        (Peer::joined(port, "r", ""), Peer::joined(port, "r", ""), Peer::joined(port, "r", ""));
    ann.next();
    ann.next();
    bob.next();
    let before = hub.resident_bytes();
    for round in 0..3000_u32 {
        let payload = [&round.to_be_bytes()[..], &[0; 1100]].concat();
        ann.say(&payload);
        assert_eq!(bob.hear(), (ann.number, payload));
    }
    assert!(hub.resident_bytes() < before + (4 << 20), "nothing waits for it in the hub");
}
