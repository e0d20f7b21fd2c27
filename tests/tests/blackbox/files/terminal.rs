//! What a person at a terminal is asked and shown.

use super::wire::Wire;
use super::{CODE, Place, noise};
use std::fs;
use trefoil_tests::{Program, binary, wait_until};

/// Runs its arguments at a terminal, types what it reads, and ends as they end.
const TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

impl Place {
    fn receive_at_terminal(&self, url: &str, words: &str) -> Program {
        let program = Program::new("python3").args(["-c", TERMINAL]).args([binary()]);
        program.args(["receive", "--url", url]).words(words).folder(self.to(""))
    }
}

#[test]
fn a_person_is_asked_before_anything_is_written() {
    let place = Place::new();
    place.file("a", b"theirs");
    let answer = |typed: &str| {
        let sender = place.send(&format!("--code {CODE} a")).spawn();
        let receiver = place.receive_at_terminal(&place.url(), CODE).stdin(typed).run();
        let shown = String::from_utf8_lossy(&receiver.stdout).into_owned();
        assert!(shown.contains("Receive a (1 file, 6 B)?"), "{shown}");
        (receiver.status.code(), sender.wait().status.code(), shown.contains("Overwrite?"))
    };
    assert_eq!(answer("n\n"), (Some(1), Some(4), false));
    assert!(place.received().is_empty());
    assert_eq!(answer("y\n"), (Some(0), Some(0), false));
    fs::write(place.to("a"), b"mine").unwrap();
    assert_eq!(answer("y\nn\n"), (Some(1), Some(4), true));
    assert_eq!(fs::read(place.to("a")).unwrap(), b"mine");
    assert_eq!(answer("y\ny\n"), (Some(0), Some(0), true));
    assert_eq!(fs::read(place.to("a")).unwrap(), b"theirs");
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let place = Place::new();
    place.file("large", &noise(8 << 20));
    let wire = Wire::start(place.hub.tcp_port());
    wire.hold_after(3 << 20);
    let sender = place.send(&format!("--code {CODE} large")).spawn();
    let receiver = place.receive_at_terminal(&wire.url(), &format!("--yes {CODE}")).open_stdin().spawn();
    wait_until("the bar stands still", || {
        let shown = String::from_utf8_lossy(&receiver.stdout()).into_owned();
        shown.contains("of 8.00 MiB")
            && shown.contains("B/s")
            && shown.contains("left")
            && shown.contains("large")
    });
    wire.go_on();
    receiver.wait().success();
    sender.wait().success();
}
