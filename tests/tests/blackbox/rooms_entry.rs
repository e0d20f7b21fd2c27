//! How peers come into rooms: cookies, tokens, and what becomes of those who have none, or somebody else's.

use super::bans::ask;
use super::rooms::{REPLACED, start};
use serde_json::json;
use trefoil_tests::lines::Connection as Lines;
use trefoil_tests::rooms::{JOIN_BYTES, Peer, control, data, join, told};
use trefoil_tests::{Hub, wait_until};

/// Codes of REFUSED.
const VERSION: u8 = 1;
const NAME: u8 = 2;
const TOKEN: u8 = 3;
const EXPIRED: u8 = 4;
const THROTTLED: u8 = 5;
const REPLAYED: u8 = 8;

#[track_caller]
fn refused(answer: &[u8], nonce: u32, code: u8, asked_bytes: usize) {
    assert_eq!(answer[..2], [0x05, 2], "{}", answer.escape_ascii());
    assert_eq!((&answer[2..6], answer[6]), (&nonce.to_be_bytes()[..], code), "{}", answer.escape_ascii());
    assert!(answer.len() <= asked_bytes);
    std::str::from_utf8(&answer[7..]).unwrap();
}

/// A token for a room.
fn token(lines: &mut Lines, room: &str) -> String {
    let answer = lines.ask(json!({"room": room, "id": 9}).to_string());
    assert_eq!((&answer["room"], &answer["ack"]), (&json!(room), &json!(9)), "{answer}");
    assert!(answer["expires_s"].as_u64().unwrap() > 0);
    answer["token"].as_str().unwrap().to_owned()
}

fn known(hub: &Hub, user: &str) -> Lines {
    let mut lines = Lines::new(hub.tcp_port());
    lines.ask(json!({"auth": {"user": user, "password": "secret"}, "id": 1}).to_string());
    lines
}

/// Whoever gives another's address for its own has no cookie for it: whatever it sends, the other one gets no more.
#[test]
fn without_a_cookie_nobody_is_sent_more_than_came() {
    let (hub, port) = start("");
    let victim = Peer::joined(port, "r", "");
    victim.say("somebody is in the room");
    let long_name = [&b"x"[..]; 200].concat();
    let mut attempts: Vec<Vec<u8>> = Vec::new();
    for padded in [0, 22, 26, 30, 40, JOIN_BYTES, 1200, 9000] {
        for cookie in [[0; 16], [0xaa; 16]] {
            for room in [&b"r"[..], b"new", b"", b"../x", b"a//b", b"a\0", b"+", b"\xff", &long_name] {
                for token in [&b""[..], b"token"] {
                    attempts.push(join(7, &cookie, room, token, padded));
                }
            }
        }
    }
    let whole = join(7, &[0; 16], b"r", b"", 0);
    // An empty datagram is none of rooms.
    attempts.extend((1..whole.len()).map(|len| whole[..len].to_vec()));
    for version in [0, 2, 255] {
        attempts.extend([6, 7, 8, 30, 200].map(|len| {
            let mut other = join(7, &[0; 16], b"r", b"", len);
            other[1] = version;
            other[..len.min(other.len())].to_vec()
        }));
    }
    for first in 0x04..=0x07 {
        for second in 0..=8 {
            attempts.extend((2..40).map(|len| {
                let mut any = vec![1; len];
                (any[0], any[1]) = (first, second);
                any
            }));
        }
    }
    for flags in [0, 1, 2, 0xff] {
        attempts.extend([&b""[..], b"x", &[0; 1000]].map(|payload| data(flags, 0, 3, payload)));
    }
    let sender = Peer::new(port);
    let (mut sent, mut got) = (0, 0);
    for attempt in &attempts {
        sender.send(attempt);
        sent += attempt.len();
        let answers = sender.all_until_now();
        let answered: usize = answers.iter().map(Vec::len).sum();
        assert!(
            answers.len() <= 1 && answered <= attempt.len(),
            "{answered} bytes for {}: {:?}",
            attempt.len(),
            attempt.escape_ascii().to_string()
        );
        got += answered;
    }
    // The questions that the test itself asks are answered with as many bytes as they have.
    let (all_sent, all_got) = sender.bytes.get();
    assert!(got > 0 && got <= sent && all_got <= all_sent, "{all_got} bytes for {all_sent}");
    assert_eq!(hub.metric("trefoil_room_peers"), 1, "nobody came in");
    victim.expect_pong();
}

#[test]
fn a_cookie_is_of_one_address_and_one_question() {
    let (hub, port) = start("");
    let (ann, eve) = (Peer::new(port), Peer::new(port));
    let cookie = ann.cookie("r", "");
    let with = |nonce: u32, room: &[u8], token: &[u8]| join(nonce, &cookie, room, token, 64);
    let good = with(ann.nonce, b"r", b"");
    assert_eq!(eve.ask(&good)[..2], [0x05, 0], "another address");
    assert_eq!(ann.ask(&with(1, b"r", b""))[..2], [0x05, 0], "another nonce");
    assert_eq!(ann.ask(&with(ann.nonce, b"s", b""))[..2], [0x05, 0], "another room");
    assert_eq!(ann.ask(&with(ann.nonce, b"r", b"x"))[..2], [0x05, 0], "another token");
    assert_eq!(ann.ask(&good)[..2], [0x05, 1]);
    wait_until("they are counted", || hub.metric("trefoil_room_challenges_total") == 5);
}

#[test]
fn a_join_that_comes_again_changes_nothing() {
    let (_hub, port) = start("");
    let watcher = Peer::joined(port, "r", "");
    let ann = Peer::joined(port, "r", "");
    watcher.expect(&told(4, ann.number, 1, None));
    for _ in 0..3 {
        let again = ann.ask(&ann.join);
        assert_eq!((&again[..2], &again[6..8]), (&[0x05, 1][..], &ann.number.to_be_bytes()[..]));
    }
    ann.say("marker");
    assert_eq!(watcher.hear(), (ann.number, b"marker".to_vec()), "nobody was told anything");
    ann.send(&control(3, ann.nonce));
    watcher.expect(&told(5, ann.number, 0, Some(0)));
    // Who has seen it on its way, and who was late, bring nobody back.
    refused(&ann.ask(&ann.join), ann.nonce, REPLAYED, ann.join.len());
    ann.nothing();
    watcher.expect_pong();
}

#[test]
fn an_address_that_becomes_anothers_is_anothers() {
    let (hub, port) = start("");
    let watcher = Peer::joined(port, "r", "");
    let mut ann = Peer::joined(port, "r", "");
    let before = ann.number;
    watcher.expect(&told(4, before, 1, None));
    ann.nonce += 1;
    let answer = ann.try_join("r", "");
    ann.welcomed(&answer);
    assert_ne!(ann.number, before);
    watcher.expect(&told(5, before, 0, Some(REPLACED)));
    watcher.expect(&told(4, ann.number, 1, None));
    // To rooms of every shard, and back.
    for room in ["a", "b", "c", "d", "e", "f", "g", "r"] {
        ann.nonce += 1;
        let answer = ann.try_join(room, "");
        ann.welcomed(&answer);
        ann.expect_pong();
    }
    watcher.expect(&told(5, 3, 0, Some(REPLACED)));
    watcher.expect(&told(4, ann.number, 1, None));
    watcher.say("found");
    assert_eq!(ann.hear(), (watcher.number, b"found".to_vec()));
    wait_until("the rooms are closed", || hub.metric("trefoil_rooms") == 1);
    assert_eq!(hub.metric("trefoil_room_peers"), 2);
}

#[test]
fn a_token_lets_in_and_nothing_else_does() {
    let hub = Hub::with_users(&[("ann", "secret"), ("bob", "secret")], "[rooms]\nnames = \"open/#\"\n");
    let port = hub.udp_port();
    let mut lines = known(&hub, "ann");
    let good = token(&mut lines, "open/r");
    let try_join = |token: &str| {
        let mut peer = Peer::new(port);
        let answer = peer.try_join("open/r", token);
        (peer, answer)
    };
    let wrong = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { "Q" } else { "A" });
    let other = token(&mut lines, "open/other");
    for bad in ["", "wrong", &wrong, &other] {
        let (peer, answer) = try_join(bad);
        refused(&answer, peer.nonce, TOKEN, peer.join.len());
        peer.nothing();
    }
    let (mut ann, answer) = try_join(&good);
    ann.welcomed(&answer);
    let url = "/api/v1/rooms/open/r/tokens";
    let (status, given) = ask(&hub, "POST", url, None, &["-u", "bob:secret"]);
    assert_eq!((status, &given["room"]), (200, &json!("open/r")));
    let (mut bob, answer) = try_join(given["token"].as_str().unwrap());
    bob.welcomed(&answer);
    ann.expect(&told(4, bob.number, 1, None));

    let (status, listed) = ask(&hub, "GET", "/api/v1/rooms", None, &["-u", "ann:secret"]);
    let users: Vec<_> =
        listed["rooms"][0]["peers"].as_array().unwrap().iter().map(|peer| &peer["user"]).collect();
    assert_eq!((status, users), (200, vec![&json!("ann"), &json!("bob")]));
    // The listener for figures lets in who does not say who it is, but not for that.
    assert_eq!(ask(&hub, "GET", "/api/v1/rooms", None, &[]).0, 401);
    assert_eq!(ask(&hub, "POST", url, None, &[]).0, 401);
    for (path, status) in [("closed", 403), ("open/..", 400), ("open/%00", 400), (&"x".repeat(201), 400)] {
        let path = format!("/api/v1/rooms/{path}/tokens");
        let (found, answer) = ask(&hub, "POST", &path, None, &["-u", "bob:secret", "--path-as-is"]);
        assert_eq!(found, status, "{answer}");
    }
    assert_eq!(ask(&hub, "POST", "/api/v1/rooms/open/r", None, &["-u", "bob:secret"]).0, 404);
    for (room, code) in
        [("closed", "not_authorized"), ("../x", "bad_field"), ("", "bad_field"), ("a\0", "bad_field")]
    {
        let answer = lines.ask(json!({"room": room, "id": 5}).to_string());
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &json!(5)), "{answer}");
    }
    assert_eq!(
        lines.ask(json!({"room": "x".repeat(65_000), "id": 6}).to_string())["error"]["code"],
        "bad_field"
    );
    let mut stranger = Lines::new(hub.tcp_port());
    assert_eq!(stranger.ask(r#"{"room":"open/r","id":1}"#)["error"]["code"], "not_authorized");
}

#[test]
fn a_token_is_one_peers_at_a_time() {
    let hub = Hub::with_users(&[("ann", "secret")], "");
    let port = hub.udp_port();
    let mut lines = known(&hub, "ann");
    let (own, others) = (token(&mut lines, "r"), token(&mut lines, "r"));
    let watcher = Peer::joined(port, "r", &others);
    let first = Peer::joined(port, "r", &own);
    watcher.expect(&told(4, first.number, 1, None));
    // The same peer whose address has changed: nobody notices.
    let mut moved = Peer::new(port);
    moved.nonce = first.nonce;
    let answer = moved.try_join("r", &own);
    moved.welcomed(&answer);
    assert_eq!(moved.number, first.number);
    moved.say("from elsewhere");
    assert_eq!(watcher.hear(), (first.number, b"from elsewhere".to_vec()));
    assert_eq!(first.ask(&data(0, 0, 4, b"")), control(0, 4), "nobody is there any more");
    // Another one with the same token is in its place.
    let other = Peer::joined(port, "r", &own);
    watcher.expect(&told(5, moved.number, 1, Some(REPLACED)));
    watcher.expect(&told(4, other.number, 1, None));
    let mut gone = told(6, 0, 0, Some(3));
    gone[2..6].copy_from_slice(&moved.nonce.to_be_bytes());
    moved.expect(&gone);
}

#[test]
fn who_guesses_tokens_is_not_listened_to() {
    let hub = Hub::with_users(
        &[("ann", "secret")],
        "failures_max = 3\nfailures_window_s = 3600\n[rooms]\ntoken_s = 1\n",
    );
    let port = hub.udp_port();
    let expired = token(&mut known(&hub, "ann"), "r");
    let again = |code: u8, token: &str| {
        let mut peer = Peer::new(port);
        let answer = peer.try_join("r", token);
        let is_it = answer[..2] == [0x05, 2] && answer[6] == code;
        if is_it {
            refused(&answer, peer.nonce, code, peer.join.len());
        }
        is_it
    };
    wait_until("it has expired", || again(EXPIRED, &expired));
    for _ in 0..3 {
        assert!(again(TOKEN, "guess"));
    }
    assert!(again(THROTTLED, "guess") && again(THROTTLED, &expired));
    assert_eq!(hub.metric("trefoil_room_refused_total{reason=\"token\"}"), 3);
    assert!(hub.metric("trefoil_auth_failures_total") >= 3);
}

#[test]
fn what_cannot_be_said_is_refused_with_the_reason() {
    let (hub, port) = start("");
    let mut peer = Peer::new(port);
    for name in ["..", "a/../b", "/", "a/", "+", "x/#", "a\nb", "a\0b"] {
        let asked = join(peer.nonce, &[0; 16], name.as_bytes(), b"", JOIN_BYTES);
        refused(&peer.ask(&asked), peer.nonce, NAME, asked.len());
    }
    let mut other = join(peer.nonce, &[0; 16], b"r", b"", JOIN_BYTES);
    other[1] = 2;
    refused(&peer.ask(&other), peer.nonce, VERSION, other.len());
    assert_eq!(hub.metric("trefoil_room_refused_total{reason=\"name\"}"), 8);
    let answer = peer.try_join(&"x".repeat(200), "");
    peer.welcomed(&answer);
}

#[test]
fn the_banned_are_taken_out_and_not_let_in() {
    let hub = Hub::with_users(&[("ann", "secret"), ("bob", "secret")], "");
    let port = hub.udp_port();
    let tokens = ["ann", "bob"].map(|user| token(&mut known(&hub, user), "r"));
    let [ann, bob] = [0, 1].map(|at| Peer::joined(port, "r", &tokens[at]));
    ann.next();
    let ban = json!({"user": "bob"});
    let (status, answer) = ask(&hub, "POST", "/api/v1/bans", Some(&ban), &["-u", "ann:secret"]);
    assert!(status == 201 && answer["disconnected"] == 1, "{answer}");
    ann.expect(&told(5, bob.number, 0, Some(3)));
    let mut gone = told(6, 0, 0, Some(4));
    gone[2..6].copy_from_slice(&bob.nonce.to_be_bytes());
    bob.expect(&gone);
    let mut again = Peer::new(port);
    let answer = again.try_join("r", &tokens[1]);
    refused(&answer, again.nonce, TOKEN, again.join.len());
}
