//! Datagram channels: who hears what, and what comes of leaving, of silence, of an upgrade.

use serde_json::json;
use std::collections::BTreeSet;
use trefoil_tests::lines::Connection as Lines;
use trefoil_tests::rooms::{JOIN_BYTES, Peer, control, data, join, told};
use trefoil_tests::{Hub, Program, wait_until};

/// Two shards, so that datagrams come in at one and belong to the other about half of the time.
pub(crate) const CONFIG: &str = r#"
shards = 2

[[listener]]
bind = "127.0.0.1:0"

[[listener]]
bind = "udp://127.0.0.1:0"
"#;

/// Flags of DATA.
pub(crate) const NEWEST: u8 = 1;
pub(crate) const DIRECT: u8 = 2;

/// Why somebody has left.
pub(crate) const LEFT: u8 = 0;
pub(crate) const IDLE: u8 = 1;
pub(crate) const REPLACED: u8 = 2;

pub(crate) fn start(more: &str) -> (Hub, u16) {
    let hub = Hub::with_config(&format!("{CONFIG}{more}"));
    let port = hub.udp_port();
    (hub, port)
}

/// What the hub says of its rooms.
pub(crate) fn rooms(hub: &Hub) -> serde_json::Value {
    let url = format!("http://127.0.0.1:{}/api/v1/rooms", hub.http_port());
    serde_json::from_str(&Program::new("curl").args(["-sSf", &url]).run().success()).unwrap()
}

#[test]
fn what_one_says_the_others_hear_or_one_of_them() {
    let (hub, port) = start("");
    let ann = Peer::joined(port, "pong", "");
    assert_eq!((ann.number, ann.others.0), (1, 0));
    let bob = Peer::joined(port, "pong", "");
    ann.expect(&told(4, bob.number, 1, None));
    let eve = Peer::joined(port, "pong", "");
    assert_eq!(eve.others, (2, vec![ann.number, bob.number]));
    for peer in [&ann, &bob] {
        peer.expect(&told(4, eve.number, 2, None));
    }
    let elsewhere = Peer::joined(port, "ping", "");
    ann.send(&data(0, 0, 7, b"to all"));
    for peer in [&bob, &eve] {
        peer.expect(&data(0, ann.number, 7, b"to all"));
    }
    ann.send(&data(0, bob.number, 8, b"to one"));
    ann.send(&data(NEWEST, 0, 9, b""));
    bob.expect(&data(DIRECT, ann.number, 8, b"to one"));
    bob.expect(&data(NEWEST, ann.number, 9, b""));
    eve.expect(&data(NEWEST, ann.number, 9, b""));
    ann.expect_pong();
    elsewhere.expect_pong();
    let address = |peer: &Peer| peer.address();
    let expected = json!({"total": 2, "peers": 4, "rooms": [
        {"room": "ping", "peers": [{"peer": 1, "user": null, "address": address(&elsewhere)}]},
        {"room": "pong", "peers": [
            {"peer": 1, "user": null, "address": address(&ann)},
            {"peer": 2, "user": null, "address": address(&bob)},
            {"peer": 3, "user": null, "address": address(&eve)}]}]});
    wait_until("the figures are written", || rooms(&hub) == expected);

    bob.send(&control(3, bob.nonce + 1));
    bob.expect_pong();
    bob.send(&control(3, bob.nonce));
    for peer in [&ann, &eve] {
        peer.expect(&told(5, bob.number, 1, Some(LEFT)));
    }
    assert_eq!(bob.ask(&data(0, 0, 1, b"still here?")), control(0, 1), "it is not");
    // A number is not given out again at once.
    assert_eq!(Peer::joined(port, "pong", "").number, 4);
}

#[test]
fn every_peer_hears_every_other_wherever_the_kernel_takes_them_in() {
    let (hub, port) = start("");
    let peers: Vec<Peer> = (0..20).map(|_| Peer::joined(port, "crowd", "")).collect();
    for (at, peer) in peers.iter().enumerate() {
        for later in &peers[at + 1..] {
            peer.expect(&told(4, later.number, later.number - 1, None));
        }
    }
    for peer in &peers {
        peer.say(format!("from {}", peer.number));
    }
    for peer in &peers {
        let heard: BTreeSet<_> = (1..peers.len()).map(|_| peer.hear()).collect();
        let others = peers.iter().map(|other| other.number).filter(|other| *other != peer.number);
        assert_eq!(heard, others.map(|other| (other, format!("from {other}").into_bytes())).collect());
        assert!(peer.is_quiet());
    }
    wait_until("all is counted", || hub.metric("trefoil_room_datagrams_out_total") >= 19 * 20);
}

#[test]
fn bursts_arrive_whole_and_in_order() {
    let (_hub, port) = start("[rooms]\nrate_max = 0\n");
    let (ann, bob, eve) =
        (Peer::joined(port, "r", ""), Peer::joined(port, "r", ""), Peer::joined(port, "r", ""));
    ann.next();
    ann.next();
    bob.next();
    let burst: Vec<Vec<u8>> = (0..100).map(|n| vec![n as u8; [50, 50, 50, 700, 700, 3, 0][n % 7]]).collect();
    for payload in &burst {
        ann.say(payload);
        // Another one between them: neither hears itself.
        bob.say(payload);
    }
    let mut heard: [Vec<Vec<u8>>; 2] = Default::default();
    for _ in 0..2 * burst.len() {
        let (from, payload) = eve.hear();
        heard[usize::from(from) - 1].push(payload);
    }
    assert_eq!(heard[0], burst);
    assert_eq!(heard[1], burst);
    for payload in &burst {
        assert_eq!(bob.hear(), (1, payload.clone()));
        assert_eq!(ann.hear(), (2, payload.clone()));
    }
}

#[test]
fn the_stale_is_dropped_where_that_is_asked_for() {
    let (hub, port) = start("");
    let (ann, bob, eve) =
        (Peer::joined(port, "r", ""), Peer::joined(port, "r", ""), Peer::joined(port, "r", ""));
    bob.next();
    for (flags, to, sequence) in [
        (NEWEST, 0, 0xffff_fffe),
        (NEWEST, 0, 0xffff_fffe),
        (NEWEST, 0, 0xffff_fffd),
        (0, 0, 0xffff_fffd),
        (NEWEST, 0, 1),
        (NEWEST, 0, 0),
        (NEWEST, bob.number, 0),
        (NEWEST, bob.number, 0),
        (NEWEST, eve.number, 0),
        (NEWEST, 0, 2),
    ] {
        ann.send(&data(flags, to, sequence, b""));
    }
    let heard = |peer: &Peer, count: usize| -> Vec<(u8, u32)> {
        let one = |datagram: Vec<u8>| (datagram[1], u32::from_be_bytes(datagram[4..8].try_into().unwrap()));
        (0..count).map(|_| one(peer.next())).collect()
    };
    let expected = [(NEWEST, 0xffff_fffe), (0, 0xffff_fffd), (NEWEST, 1), (NEWEST | DIRECT, 0), (NEWEST, 2)];
    assert_eq!(heard(&bob, 5), expected);
    assert_eq!(heard(&eve, 5), expected);
    wait_until("they are counted", || hub.metric("trefoil_room_dropped_total{reason=\"stale\"}") == 4);
}

#[test]
fn who_falls_silent_is_taken_out() {
    let (hub, port) = start("[rooms]\nidle_s = 3\n");
    let (ann, bob) = (Peer::joined(port, "r", ""), Peer::joined(port, "r", ""));
    ann.next();
    let mut gone = None;
    wait_until("one is gone", || {
        ann.expect_pong_or(|datagram| gone = Some(datagram));
        gone.is_some()
    });
    assert_eq!(gone.unwrap(), told(5, bob.number, 0, Some(IDLE)));
    let mut why = told(6, 0, 0, Some(2));
    why[2..6].copy_from_slice(&bob.nonce.to_be_bytes());
    bob.expect(&why);
    assert_eq!(bob.ask(&data(0, 0, 5, b"")), control(0, 5));
    assert_eq!(hub.metric("trefoil_room_idle_total"), 1);
}

#[test]
fn a_room_can_be_watched_on_a_topic() {
    let (hub, port) = start("[[room]]\nfilter = \"pong/#\"\npublish = \"watch/{room}/by/{peer}\"\n");
    let mut watcher = Lines::new(hub.tcp_port());
    watcher.ask(r##"{"sub":"watch/#","id":1}"##);
    let ann = Peer::joined(port, "pong/7", "");
    ann.say("left");
    assert_eq!(watcher.receive(), json!({"topic": "watch/pong/7/by/1", "data": "left"}));
    let bob = Peer::joined(port, "pong/7", "");
    bob.send(&data(0, ann.number, 1, b"in secret"));
    Peer::joined(port, "other", "").say("unheard");
    bob.say("right");
    assert_eq!(watcher.receive(), json!({"topic": "watch/pong/7/by/2", "data": "right"}));
}

#[test]
fn peers_join_again_when_another_process_takes_over() {
    let users = &[("ann", "secret")];
    let mut hub = Hub::with_users(users, "");
    let mut lines = Lines::new(hub.tcp_port());
    lines.ask(r#"{"auth":{"user":"ann","password":"secret"},"id":1}"#);
    let mut ask = |id: u32| lines.ask(format!(r#"{{"room":"r","id":{id}}}"#));
    let tokens: Vec<String> = (2..4).map(|id| ask(id)["token"].as_str().unwrap().to_owned()).collect();
    let port = hub.udp_port();
    let mut ann = Peer::joined(port, "r", &tokens[0]);
    let mut bob = Peer::joined(port, "r", &tokens[1]);
    ann.next();
    hub.upgrade();
    for peer in [&ann, &bob] {
        let mut gone = told(6, 0, 0, Some(0));
        gone[2..6].copy_from_slice(&peer.nonce.to_be_bytes());
        peer.expect(&gone);
        // Who has missed that is told by what it says, with no more bytes.
        let said = data(0, 0, 77, b"");
        assert!(peer.ask(&said) == control(0, 77) && said.len() >= 6);
        assert_eq!(peer.ask(&control(1, 78)), control(0, 78));
    }
    for (peer, token) in [&mut ann, &mut bob].into_iter().zip(&tokens) {
        // The cookie of the process before is worth nothing, but its token is.
        let old = peer.join.clone();
        let challenge = peer.ask(&old);
        assert_eq!((challenge[..2].to_vec(), challenge.len()), (vec![0x05, 0], 22));
        peer.join = join(peer.nonce, &challenge[6..], b"r", token.as_bytes(), JOIN_BYTES);
        let answer = peer.ask(&peer.join);
        peer.welcomed(&answer);
    }
    ann.expect(&told(4, bob.number, 1, None));
    ann.say("again");
    assert_eq!(bob.hear(), (ann.number, b"again".to_vec()));
}

#[test]
fn peers_are_told_when_the_hub_stops() {
    let (mut hub, port) = start("");
    let ann = Peer::joined(port, "r", "");
    hub.signal("TERM");
    hub.wait();
    let mut gone = told(6, 0, 0, Some(1));
    gone[2..6].copy_from_slice(&ann.nonce.to_be_bytes());
    ann.expect(&gone);
}

#[test]
fn json_and_rooms_share_a_port() {
    let (hub, port) = start("");
    let both = Peer::joined(port, "r", "");
    assert_eq!(both.ask(br#"{"ping":1}"#), br#"{"pong":1}"#);
    assert_eq!(hub.metric("trefoil_connections{kind=\"json_udp\"}"), 1);
    both.expect_pong();

    let only = |protocols: &str| {
        let config =
            CONFIG.replace("udp://127.0.0.1:0\"", &format!("udp://127.0.0.1:0\"\nprotocols = [{protocols}]"));
        let hub = Hub::with_config(&config);
        (hub.udp_port(), hub)
    };
    let (port, hub) = only("\"rooms\"");
    let peer = Peer::joined(port, "r", "");
    peer.send(br#"{"ping":1}"#);
    peer.expect_pong();
    wait_until("it is counted", || hub.metric("trefoil_room_malformed_total") == 1);
    let (port, _hub) = only("\"json\"");
    let peer = Peer::new(port);
    let answer = peer.ask(&join(1, &[0; 16], b"r", b"", JOIN_BYTES));
    assert_eq!(answer.first(), Some(&b'{'), "{}", answer.escape_ascii());
}
