//! Close codes, and the closing handshake from both sides.

use super::{Case, Cases, close_frame};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use trefoil_tests::websocket::{Connection, frame};
use trefoil_tests::{Exchange, Hub};

#[test]
fn codes_that_may_be_sent() {
    let mut cases = Cases::default();
    let codes = (1000..=1003).chain(1007..=1014).chain([3000, 3001, 3999, 4000, 4001, 4998, 4999]);
    for code in codes {
        for reason in ["", "because", "☘"] {
            let case = Case::new(format!("{code} \"{reason}\"")).echoed(0x81, "one");
            let case = case.sends(close_frame(code, reason)).frame(0x81, "unheard").frame(0x89, "unheard");
            cases.add_cut(case.fails(code), &[1]);
        }
    }
    cases.run(&Hub::start(), 114);
}

#[test]
fn codes_that_may_not() {
    let mut cases = Cases::default();
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1099, 1100, 1999, 2000, 2999, 5000, 9999, 65_535];
    for code in codes {
        cases.add_cut(Case::new(format!("{code}")).sends(close_frame(code, "")).fails(1002), &[1]);
        cases.add(Case::new(format!("{code} with a reason")).sends(close_frame(code, "why")).fails(1002));
    }
    cases.run(&Hub::start(), 48);
}

#[test]
fn close_frames() {
    let mut cases = Cases::default();
    cases.add_cut(Case::new("empty").frame(0x88, "").ends_without_code(), &[1]);
    cases.add_cut(Case::new("half a code").frame(0x88, [3]).fails(1002), &[1]);
    cases.add(Case::new("the longest reason").sends(close_frame(1001, "x".repeat(123))).fails(1001));
    for length in [124, 125, 1000] {
        cases.add(
            Case::new(format!("a reason of {length}"))
                .sends(close_frame(1001, "x".repeat(length)))
                .fails(1002),
        );
    }
    for reason in [&b"\xff"[..], b"\xc3", b"fine \xed\xa0\x80"] {
        let case = Case::new(format!("reason {}", reason.escape_ascii()));
        cases.add_cut(case.sends(close_frame(1000, reason)).fails(1007), &[1]);
    }
    cases.add(Case::new("in fragments").frame(0x08, [3, 0xe8]).frame(0x80, "why").fails(1002));
    cases.add(Case::new("twice").sends(close_frame(1001, "")).sends(close_frame(1002, "")).fails(1001));
    cases.run(&Hub::start(), 16);
}

/// The hub says goodbye, and closes nothing before the client has said it, too.
#[test]
fn the_hub_waits_for_the_answer() {
    let hub = Hub::with_config(ONE_SHARD);
    let mut ends = Vec::new();
    // What comes before the goodbye is of no interest any more, however it is cut.
    for before in
        [vec![], frame(0x81, b"{}"), [frame(0x01, b"{"), frame(0x89, b""), frame(0x80, b"}")].concat()]
    {
        let mut connection = Connection::new(hub.http_port(), "/ws");
        connection.send_text("no JSON");
        let (first_byte, error) = connection.receive().unwrap();
        assert!(first_byte == 0x81 && error.starts_with(b"{\"error\""), "{}", error.escape_ascii());
        let (first_byte, goodbye) = connection.receive().unwrap();
        assert_eq!((first_byte, &goodbye[..2]), (0x88, &1007u16.to_be_bytes()[..]));
        // All that the same shard does with it is done when another client of it is answered.
        Connection::new(hub.http_port(), "/ws").send_text("{}");
        hub.stat("uptime_s");
        connection.stream.set_nonblocking(true).unwrap();
        let early = connection.stream.read(&mut [0]).map_err(|error| error.kind());
        ends.push(early);
        connection.stream.set_nonblocking(false).unwrap();
        connection.send(&before);
        connection.send(&close_frame(1007, ""));
        assert_eq!(connection.receive(), None);
    }
    assert_eq!(ends, [Err(ErrorKind::WouldBlock); 3]);
}

/// A client that does not answer, or closes its side without a word, holds nobody up.
#[test]
fn the_hub_does_not_wait_for_ever() {
    let hub = Hub::with_config(ONE_SHARD);
    for closes in [false, true] {
        let mut connection = Connection::new(hub.http_port(), "/ws");
        connection.send_text("no JSON");
        while connection.receive().is_some_and(|(first_byte, _)| first_byte != 0x88) {}
        if closes {
            connection.stream.shutdown(Shutdown::Write).unwrap();
        } else {
            // What is no goodbye does not count as one.
            connection.send(&frame(0x81, b"more"));
        }
        assert_eq!(connection.receive(), None);
    }
    trefoil_tests::wait_until("nobody is connected", || {
        hub.metric("trefoil_connections{kind=\"json_ws\"}") == 0
    });
}

/// After its goodbye the hub takes no more than so much from whoever goes on.
#[test]
fn who_talks_on_after_the_goodbye_is_cut_off() {
    let hub = Hub::with_config(ONE_SHARD);
    let mut connection = Connection::new(hub.http_port(), "/ws");
    connection.send_text("no JSON");
    for _ in 0..64 {
        connection.stream.offer(&frame(0x82, &vec![7; 65_536]));
    }
    assert_eq!(connection.close_code(), Some(1007));
    // Who has heard it finds out that nothing more is taken, long before the hub has waited for long enough.
    let mut connection = Connection::new(hub.http_port(), "/ws");
    connection.send_text("no JSON");
    while connection.receive().is_some_and(|(first_byte, _)| first_byte != 0x88) {}
    let more = frame(0x82, &vec![7; 65_536]);
    let is_cut_off = (0..1024).any(|_| connection.stream.write_all(&more).is_err());
    assert!(is_cut_off, "the hub has taken 64 MiB behind its goodbye");
}

/// When the hub stops, everybody is told 1001, and it waits for the answers.
#[test]
fn the_hub_stops() {
    let mut hub = Hub::with_config(ONE_SHARD);
    let mut connections: Vec<_> =
        ["/ws", "/ws/echo", "/mqtt"].iter().map(|path| Connection::new(hub.http_port(), path)).collect();
    hub.signal("TERM");
    for connection in &mut connections {
        let (first_byte, goodbye) = connection.receive().unwrap();
        assert_eq!((first_byte, &goodbye[..2]), (0x88, &1001u16.to_be_bytes()[..]));
        connection.send(&close_frame(1001, ""));
        assert_eq!(connection.receive(), None);
    }
    assert!(hub.wait().success());
}

const ONE_SHARD: &str =
    "shards = 1\n[[listener]]\nbind = \"127.0.0.1:0\"\nprotocols = [\"http\", \"websocket\"]\necho = true\n";
