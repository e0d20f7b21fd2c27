//! Connections that break, programs that are killed, and disks that are full: what has arrived is not sent again.

use super::wire::Wire;
use super::{CODE, LONG, Place, noise};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use trefoil_tests::{Program, binary, wait_until};

/// Large enough that sockets and queues hold only a part of it.
const BYTES: usize = 48 << 20;
/// Where the connection is held up.
const HELD_AT: usize = 36 << 20;
/// What must not be sent again: all that had passed, but for what sockets and queues held.
const SENT_AGAIN_MAX: usize = BYTES - (12 << 20);

#[test]
fn a_connection_that_breaks_is_made_again_by_both() {
    for at_sender in [true, false] {
        let place = Place::new();
        let bytes = noise(BYTES);
        place.file("large", &bytes);
        let wire = Wire::start(place.hub.tcp_port());
        wire.hold_after(HELD_AT);
        let (to_sender, to_receiver) =
            if at_sender { (wire.url(), place.url()) } else { (place.url(), wire.url()) };
        let sender = place.send_by(&to_sender, &format!("--code {CODE} large")).limit(LONG).spawn();
        let receiver = place.receive_by(&to_receiver, &format!("--yes {CODE}")).limit(LONG).spawn();
        wire.wait_held_up();
        let before = wire.passed();
        wire.cut();
        receiver.wait().success();
        sender.wait().success();
        assert!(fs::read(place.to("large")).unwrap() == bytes);
        assert!(wire.passed() - before < SENT_AGAIN_MAX, "{} bytes after {before}", wire.passed() - before);
        assert_eq!(place.received(), ["large"]);
    }
}

#[test]
fn a_receiver_that_was_killed_goes_on() {
    let place = Place::new();
    let bytes = noise(BYTES);
    place.file("dir/large", &bytes);
    place.file("dir/small", b"content");
    let wire = Wire::start(place.hub.tcp_port());
    wire.hold_after(HELD_AT);
    let sender = place.send(&format!("--code {CODE} dir")).limit(LONG).spawn();
    let receiver = place.receive_by(&wire.url(), &format!("--yes {CODE}")).spawn();
    wire.wait_held_up();
    receiver.signal("KILL");
    assert!(!receiver.wait().status.success());
    wire.cut();
    assert_eq!(place.received(), ["dir.trefoil.part"]);
    // What was written is looked at, not believed.
    let part = fs::OpenOptions::new().write(true).open(place.to("dir.trefoil.part/dir/large")).unwrap();
    part.write_all_at(b"something else", 300_000).unwrap();
    let before = wire.passed();
    let again = place.receive_by(&wire.url(), &format!("--yes {CODE}")).limit(LONG).run();
    assert!(again.stderr.contains("going on with"), "{again}");
    again.success();
    sender.wait().success();
    assert!(fs::read(place.to("dir/large")).unwrap() == bytes);
    assert_eq!(fs::read(place.to("dir/small")).unwrap(), b"content");
    assert!(wire.passed() - before < SENT_AGAIN_MAX, "{} bytes after {before}", wire.passed() - before);
    assert_eq!(place.received(), ["dir"]);
}

#[test]
fn what_is_found_and_cannot_be_gone_on_with_is_sent_again() {
    let place = Place::new();
    let bytes = noise(1 << 20);
    for name in ["closed", "linked", "unreadable"] {
        place.file(&format!("dir/{name}"), &bytes);
    }
    // As a run leaves it that has given out permissions and then failed; and with a second name, by which somebody else could
    // change it.
    let part = place.to("dir.trefoil.part/dir");
    fs::create_dir_all(&part).unwrap();
    for (name, mode) in [("closed", 0o444), ("linked", 0o444), ("unreadable", 0o000)] {
        fs::write(part.join(name), &bytes).unwrap();
        fs::set_permissions(part.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::hard_link(part.join("linked"), place.to("another")).unwrap();
    fs::write(part.join("of another offer"), &bytes).unwrap();
    fs::set_permissions(&part, fs::Permissions::from_mode(0o555)).unwrap();
    let sender = place.send(&format!("--code {CODE} dir")).spawn();
    place.receive(&format!("--yes {CODE}")).run().success();
    sender.wait().success();
    for name in ["dir/closed", "dir/linked", "dir/unreadable", "another"] {
        assert!(fs::read(place.to(name)).unwrap() == bytes, "{name}");
    }
    assert_eq!(place.received(), ["another", "dir"]);
    assert_eq!(super::names(&place.to("dir")), ["closed", "linked", "unreadable"]);
}

#[test]
fn a_sender_that_was_killed_goes_on() {
    let place = Place::new();
    let bytes = noise(BYTES);
    place.file("large", &bytes);
    let wire = Wire::start(place.hub.tcp_port());
    wire.hold_after(HELD_AT);
    let receiver = place.receive(&format!("--yes {CODE}")).limit(LONG).spawn();
    let sender = place.send_by(&wire.url(), &format!("--code {CODE} large")).spawn();
    wire.wait_held_up();
    sender.signal("KILL");
    assert!(!sender.wait().status.success());
    wire.cut();
    let before = wire.passed();
    place.send_by(&wire.url(), &format!("--code {CODE} large")).limit(LONG).run().success();
    receiver.wait().success();
    assert!(fs::read(place.to("large")).unwrap() == bytes);
    assert!(wire.passed() - before < SENT_AGAIN_MAX, "{} bytes after {before}", wire.passed() - before);
}

#[test]
fn standard_input_goes_on_too() {
    let place = Place::new();
    let bytes = noise(BYTES);
    let wire = Wire::start(place.hub.tcp_port());
    wire.hold_after(HELD_AT);
    let sender =
        place.send_by(&wire.url(), &format!("--code {CODE} -")).stdin(bytes.clone()).limit(LONG).spawn();
    let receiver = place.receive(&format!("--yes {CODE}")).limit(LONG).spawn();
    wire.wait_held_up();
    wire.cut();
    receiver.wait().success();
    sender.wait().success();
    assert!(fs::read(place.to("stdin")).unwrap() == bytes);
}

#[test]
fn a_hub_that_goes_and_comes_back_is_found_again() {
    let mut place = Place::new();
    let bytes = noise(BYTES);
    place.file("large", &bytes);
    let wire = Wire::start(place.hub.tcp_port());
    let config =
        trefoil_tests::CONFIG.replacen("127.0.0.1:0", &format!("127.0.0.1:{}", place.hub.tcp_port()), 1);
    wire.hold_after(HELD_AT);
    let sender = place.send(&format!("--code {CODE} large")).limit(LONG).spawn();
    let receiver = place.receive_by(&wire.url(), &format!("--yes {CODE}")).limit(LONG).spawn();
    wire.wait_held_up();
    place.hub.signal("KILL");
    place.hub.wait();
    wire.cut();
    place.hub = trefoil_tests::Hub::with_config(&config);
    receiver.wait().success();
    sender.wait().success();
    assert!(fs::read(place.to("large")).unwrap() == bytes);
}

#[test]
fn a_file_that_changes_meanwhile_is_not_received() {
    let place = Place::new();
    let path = place.file("large", &noise(BYTES));
    let wire = Wire::start(place.hub.tcp_port());
    wire.hold_after(HELD_AT);
    let sender = place.send_by(&wire.url(), &format!("--code {CODE} large")).limit(LONG).spawn();
    let receiver = place.receive(&format!("--yes {CODE}")).limit(LONG).spawn();
    wire.wait_held_up();
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all_at(b"x", 0).unwrap();
    wire.cut();
    let failed = sender.wait().failure(1);
    assert!(failed.contains("large cannot be sent: it has changed"), "{failed}");
    let failed = receiver.wait().failure(1);
    assert!(failed.contains("the sender cannot go on: large cannot be sent"), "{failed}");
    assert_eq!(place.received(), ["large.trefoil.part"]);
}

#[test]
fn there_must_be_room_before_anything_is_sent() {
    let place = Place::new();
    // It has no content on this disk, and no disk has room for it.
    fs::File::create(place.from("huge")).unwrap().set_len(8 << 40).unwrap();
    let sender = place.send(&format!("--code {CODE} huge")).spawn();
    let refused = place.receive(&format!("--yes {CODE}")).run().failure(1);
    assert!(refused.contains("not enough room") && refused.contains("TiB are needed"), "{refused}");
    let told = sender.wait().failure(1);
    assert!(told.contains("the receiver cannot go on: there is not enough room"), "{told}");
    assert!(place.received().is_empty());
}

#[test]
fn a_disk_that_takes_no_more_is_said_and_gone_on_from() {
    let place = Place::new();
    let bytes = noise(3 << 20);
    place.file("large", &bytes);
    let sender = place.send(&format!("--code {CODE} large")).spawn();
    // The system takes no more of a file than this, as if the disk were full.
    let line =
        format!("trap '' XFSZ; ulimit -f 2048; exec \"$0\" receive --url {} --yes {CODE}", place.url());
    let limited =
        Program::new("bash").args(["-c", &line]).args([binary()]).folder(place.to("")).run().failure(1);
    assert!(limited.contains("cannot write large") && limited.contains("once there is room"), "{limited}");
    let told = sender.wait().failure(1);
    assert!(told.contains("the receiver cannot go on: cannot write large"), "{told}");
    assert_eq!(place.received(), ["large.trefoil.part"]);
    let sender = place.send(&format!("--code {CODE} large")).spawn();
    place.receive(&format!("--yes {CODE}")).run().success();
    sender.wait().success();
    assert!(fs::read(place.to("large")).unwrap() == bytes);
}

#[test]
fn two_receivers_do_not_write_the_same() {
    let place = Place::new();
    place.file("large", &noise(BYTES));
    let wire = Wire::start(place.hub.tcp_port());
    wire.hold_after(HELD_AT);
    let sender = place.send(&format!("--code {CODE} large")).limit(LONG).spawn();
    let first = place.receive_by(&wire.url(), &format!("--yes {CODE}")).limit(LONG).spawn();
    wire.wait_held_up();
    let second = place.receive(&format!("--yes --reconnect 60 {CODE}")).spawn();
    wait_until("the second is told", || second.stderr().contains("another receiver already"));
    drop(second);
    wire.cut();
    first.wait().success();
    sender.wait().success();
}
