//! Whole clients of rooms: `trefoil room`, and the one in Python that stands in `docs/rooms.md`; over a good network and a bad
//! one.

use super::rooms::{rooms, start};
use trefoil_tests::rooms::Lossy;
use trefoil_tests::{Hub, Program, Running, trefoil, wait_until};

/// `trefoil room`, in the room.
fn member(hub: &Hub, port: u16, words: &str) -> Running {
    let before = peers(hub);
    let url = format!("udp://127.0.0.1:{port}");
    let running = trefoil(["room", "--url", &url, "--patience", "60"]).words(words).open_stdin().spawn();
    wait_until("it is in the room", || peers(hub) > before);
    running
}

fn peers(hub: &Hub) -> u64 {
    hub.metric("trefoil_room_peers")
}

/// The client of the manual, in the room.
fn manual(hub: &Hub, port: u16, room: &str) -> Running {
    let text = include_str!("../../../docs/rooms.md");
    let (_, behind) = text.split_once("```python\n").unwrap();
    let (code, _) = behind.split_once("```").unwrap();
    assert!(code.lines().filter(|line| !line.trim().is_empty()).count() <= 40, "forty lines are promised");
    let before = peers(hub);
    let running =
        Program::new("python3").args(["-c", code, "127.0.0.1", &port.to_string(), room]).open_stdin().spawn();
    wait_until("it is in the room", || peers(hub) > before);
    running
}

#[test]
fn lines_become_datagrams_and_datagrams_lines() {
    let (hub, port) = start("");
    let mut ann = member(&hub, port, "-v pong/7");
    let watcher = member(&hub, port, "--listen -v pong/7");
    let mut bob = member(&hub, port, "--to 1 pong/7");
    ann.write("to all\n");
    assert_eq!(watcher.lines(1), ["1 to all"]);
    bob.write("to one\n\n");
    assert_eq!(ann.lines(2), ["3 to one", "3 "]);
    bob.close_stdin();
    assert_eq!(bob.wait().success(), "to all\n");
    wait_until("it has said goodbye", || peers(&hub) == 2);
    wait_until("they are told", || watcher.stderr().contains("peer 3 is gone (Left); 1 others are here\n"));
    assert!(watcher.stderr().contains("this is peer 2; others: [1]\npeer 3 has joined; 2 others are here\n"));
    ann.signal("INT");
    ann.wait().success();
    wait_until("it has said goodbye", || peers(&hub) == 1);
}

#[test]
fn the_client_of_the_manual_works() {
    let (mut hub, port) = start("[rooms]\nidle_s = 3\n");
    let mut python = manual(&hub, port, "r");
    let mut ann = member(&hub, port, "r");
    ann.write("hello\nworld\n");
    assert_eq!(python.lines(2), ["2 hello", "2 world"]);
    python.write("of old\n\n");
    assert_eq!(ann.lines(2), ["of old", ""]);
    // Both come back by themselves when another process takes over, and stay though they say nothing.
    hub.upgrade();
    wait_until("both are in the room", || peers(&hub) == 2);
    let idle_before = hub.metric("trefoil_room_idle_total");
    wait_until("each has said that it is there", || hub.metric("trefoil_room_datagrams_in_total") >= 10);
    assert_eq!((peers(&hub), hub.metric("trefoil_room_idle_total")), (2, idle_before));
    python.write("again\n");
    assert_eq!(ann.lines(3)[2], "again");
    python.close_stdin();
    python.wait().success();
    wait_until("it has said goodbye", || peers(&hub) == 1);
    assert_eq!(rooms(&hub)["rooms"][0]["room"], "r");
}

#[test]
fn users_get_a_token_and_others_are_told_why_not() {
    let hub = Hub::with_users(&[("ann", "secret")], "");
    let url = format!("udp://127.0.0.1:{}", hub.udp_port());
    let token_url = format!("tcp://127.0.0.1:{}", hub.tcp_port());
    let room = || trefoil(["room", "--url", &url, "--token-url", &token_url, "r"]);
    let ann = ["--user", "ann", "--password"];
    let waiting = room().args(ann).args(["secret", "--listen", "-n", "1"]).spawn();
    wait_until("it is in the room", || peers(&hub) == 1);
    room().args(ann).args(["secret"]).stdin("hi\n").run().success();
    assert_eq!(waiting.wait().success(), "hi\n");
    let said = room().args(ann).args(["wrong"]).run().failure(4);
    assert!(said.contains("user name or password is wrong"), "{said}");
    let said = room().run().failure(4);
    assert!(said.contains("refused to let this in to the room \"r\": a token is needed"), "{said}");
    let said = room().args(["--token", "guess"]).run().failure(4);
    assert!(said.contains("the token is not one of this hub for this room"), "{said}");
    let said = trefoil(["room", "--url", "tcp://127.0.0.1:1", "r"]).run().failure(2);
    assert!(said.contains("rooms are at udp:// addresses"), "{said}");
    let said = trefoil(["room", "--url", &url, "a/../b"]).run().failure(2);
    assert!(said.contains("is not the name of a room"), "{said}");
}

#[test]
fn who_cannot_go_on_leaves_the_room() {
    let (hub, port) = start("");
    let url = format!("udp://127.0.0.1:{port}");
    let said = trefoil(["room", "--url", &url, "r"]).stdin("x".repeat(3000)).run().failure(2);
    assert!(said.contains("3000 bytes do not fit into a datagram"), "{said}");
    wait_until("it has left", || peers(&hub) == 0);
    assert_eq!(hub.metric("trefoil_room_idle_total"), 0);
}

#[test]
fn a_bad_network_costs_what_it_loses_and_nothing_comes_out_of_order_that_must_not() {
    let (hub, port) = start("");
    let network = Lossy::start(port, 200, 7);
    let mut ann = member(&hub, network.port(), "--newest -W 300 r");
    let bob = member(&hub, network.port(), "--listen -n 200 r");
    let (mut said, mut bob) = (0, Some(bob));
    wait_until("two hundred have come through", || {
        ann.write(format!("{said}\n"));
        said += 1;
        bob.as_mut().unwrap().has_ended()
    });
    let heard: Vec<u32> =
        bob.take().unwrap().wait().success().lines().map(|line| line.parse().unwrap()).collect();
    assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
    assert!(heard.len() == 200 && network.lost() > 0, "{} lost", network.lost());
    ann.close_stdin();
    ann.wait().success();
}
