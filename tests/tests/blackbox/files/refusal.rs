//! Wrong codes, and what the receiver does not want.

use super::peer::{Peer, line};
use super::{CODE, Place, names};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use trefoil_tests::{trefoil, wait_until};
use trefoil_transfer::HandshakeError;

#[test]
fn a_wrong_code_is_refused_and_the_right_one_still_works() {
    let place = Place::new();
    place.file("a", b"content");
    let sender = place.send(&format!("--code {CODE} a")).spawn();
    for left in [2, 1] {
        let refused = place.receive("--yes 7-amber-candle").run().failure(4);
        assert!(refused.contains("the code is wrong"), "{refused}");
        wait_until("the sender says so", || sender.stderr().contains(&format!("after {left} more")));
    }
    assert!(place.received().is_empty());
    place.receive(&format!("--yes {CODE}")).run().success();
    sender.wait().success();
}

#[test]
fn the_third_wrong_code_ends_the_sender() {
    let place = Place::new();
    place.file("a", b"content");
    let sender = place.send(&format!("--code {CODE} a")).spawn();
    sender.lines(1);
    for _ in 0..3 {
        let wrong = Peer::receiver(place.hub.tcp_port(), "7-wrong-guess").err();
        assert_eq!(wrong, Some(HandshakeError::WrongCode));
    }
    let ended = sender.wait().failure(4);
    assert!(ended.contains("three wrong codes"), "{ended}");
}

#[test]
fn who_speaks_something_else_is_no_guess() {
    let place = Place::new();
    place.file("a", b"content");
    let sender = place.send(&format!("--code {CODE} a")).spawn();
    for _ in 0..4 {
        let hello = "{\"connect\":\"$file/7\",\"wait_s\":60,\"id\":1}\nGET / HTTP/1.1\r\nHost: somebody who wants a page\r\n\r\n";
        let caller =
            trefoil_tests::Program::new("nc").args(["-N", "127.0.0.1", &place.hub.tcp_port().to_string()]);
        caller.stdin(hello).run();
    }
    wait_until("the sender has turned them away", || sender.stderr().matches("turned away").count() == 4);
    place.receive(&format!("--yes {CODE}")).run().success();
    sender.wait().success();
}

#[test]
fn nothing_is_overwritten_unless_it_is_said() {
    let place = Place::new();
    place.file("tree/new", b"new");
    place.file("tree/sub/both", b"theirs");
    fs::create_dir_all(place.to("tree/sub")).unwrap();
    fs::write(place.to("tree/sub/both"), b"mine").unwrap();
    fs::write(place.to("tree/mine"), b"mine").unwrap();

    let sender = place.send(&format!("--code {CODE} tree")).spawn();
    let refused = place.receive(&format!("--yes {CODE}")).run().failure(1);
    assert!(refused.contains("not overwritten") && refused.contains("tree"), "{refused}");
    let told = sender.wait().failure(4);
    assert!(told.contains("does not want it"), "{told}");
    assert_eq!(fs::read(place.to("tree/sub/both")).unwrap(), b"mine");
    assert_eq!(
        (place.received(), names(&place.to("tree"))),
        (vec!["tree".into()], vec!["mine".into(), "sub".into()])
    );

    let sender = place.send(&format!("--code {CODE} tree")).spawn();
    place.receive(&format!("--yes --overwrite {CODE}")).run().success();
    sender.wait().success();
    assert_eq!(fs::read(place.to("tree/sub/both")).unwrap(), b"theirs");
    assert_eq!(fs::read(place.to("tree/mine")).unwrap(), b"mine");
    assert_eq!(
        (place.received(), names(&place.to("tree"))),
        (vec!["tree".into()], vec!["mine".into(), "new".into(), "sub".into()])
    );
}

#[test]
fn a_file_takes_the_place_of_a_file_and_of_nothing_else() {
    let place = Place::new();
    place.file("a", b"theirs");
    fs::write(place.folder.path().join("outside"), b"mine").unwrap();
    symlink("../outside", place.to("a")).unwrap();
    let sender = place.send(&format!("--code {CODE} a")).spawn();
    place.receive(&format!("--yes --overwrite {CODE}")).run().success();
    sender.wait().success();
    // The link gave way, not what it led to.
    assert!(place.to("a").symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read(place.folder.path().join("outside")).unwrap(), b"mine");

    fs::remove_file(place.to("a")).unwrap();
    fs::create_dir(place.to("a")).unwrap();
    let sender = place.send(&format!("--code {CODE} a")).spawn();
    let refused = place.receive(&format!("--yes --overwrite {CODE}")).run().failure(1);
    assert!(refused.contains("a is a folder here"), "{refused}");
    sender.wait().failure(1);
    assert_eq!(place.received(), ["a"]);
}

#[test]
fn nobody_is_asked_where_nobody_can_answer() {
    let place = Place::new();
    let refused = place.receive(CODE).run().failure(2);
    assert!(refused.contains("--yes"), "{refused}");
}

#[test]
fn links_that_lead_out_are_not_sent_as_links() {
    let place = Place::new();
    place.file("tree/a", b"content");
    fs::write(place.folder.path().join("outside"), b"outside").unwrap();
    symlink("../../outside", place.from("tree/out")).unwrap();
    let refused = place.send(&format!("--code {CODE} tree")).run().failure(2);
    assert!(refused.contains("leads out") && refused.contains("--links"), "{refused}");
    for (how, expected) in [("skip", vec!["a"]), ("follow", vec!["a", "out"])] {
        let sender = place.send(&format!("--links {how} --code {CODE} tree")).spawn();
        place.receive(&format!("--yes {CODE} -o {how}")).run().success();
        sender.wait().success();
        assert_eq!(names(&place.to(how).join("tree")), expected);
    }
    assert_eq!(fs::read(place.to("follow/tree/out")).unwrap(), b"outside");
}

#[test]
fn what_cannot_be_sent_is_said_before_anybody_is_troubled() {
    let place = Place::new();
    place.file("one/a", b"1");
    place.file("two/a", b"2");
    for (words, code, why) in [
        ("nothing", 1, "cannot read nothing"),
        ("one/a two/a", 2, "is there twice"),
        ("/", 2, "has no name"),
        ("- -", 2, "is there twice"),
        ("--name ../x -", 2, "not safe"),
    ] {
        let refused = place.send(words).run().failure(code);
        assert!(refused.contains(why), "{words}: {refused}");
    }
    let refused = trefoil(["send", "--code", "7-x", "a"]).run().failure(2);
    assert!(refused.contains("could guess"), "{refused}");
    let refused = place.send_by("tcp://127.0.0.1:1", "one").run().failure(3);
    assert!(refused.contains("cannot connect"), "{refused}");
    let refused = place.receive_by("tcp://127.0.0.1:1", &format!("-y {CODE}")).run().failure(3);
    assert!(refused.contains("cannot connect"), "{refused}");
}

#[test]
fn who_waits_long_enough_is_told() {
    let place = Place::new();
    place.file("a", b"content");
    let late = place.receive(&format!("-y {CODE} --wait 1")).run().failure(5);
    assert!(late.contains("no sender has come"), "{late}");
    let late = place.send("a --wait 1").run().failure(5);
    assert!(late.contains("no receiver has come"), "{late}");
}

#[test]
fn areceiver_that_is_refused_says_so_and_calls_again() {
    let place = Place::new();
    let mut sender = trefoil_tests::connect(place.hub.tcp_port());
    sender.write_all(b"{\"listen\":\"$file/7\",\"id\":1}\n").unwrap();
    let receiver = place.receive(&format!("--yes {CODE}")).spawn();
    for _ in 0..2 {
        let token = loop {
            let said: serde_json::Value = serde_json::from_str(&line(&mut sender)).unwrap();
            if let Some(token) = said["token"].as_str() {
                break token.to_owned();
            }
        };
        writeln!(sender, "{}", serde_json::json!({"refuse": token, "reason": "too many"})).unwrap();
    }
    // It pauses after each, since it says this before it does.
    wait_until("it is refused", || receiver.stderr().matches("too many); trying again").count() == 2);
}

#[test]
fn a_number_that_is_taken_is_said() {
    let place = Place::new();
    place.file("a", b"content");
    let first = place.send(&format!("--code {CODE} a")).spawn();
    first.lines(1);
    let refused = place.send("--code 7-other-words --reconnect 1 a").run().failure(4);
    assert!(refused.contains("number"), "{refused}");
    drop(first);
}
