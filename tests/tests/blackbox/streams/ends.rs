//! What moves, and how streams end.

use super::{End, limited, listener, noise, pair};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;
use trefoil_tests::{Bystander, CONFIG, Hub, Program, wait_until};

/// Sends all of it, and that there is no more.
fn send(mut end: std::net::TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        end.write_all(&bytes).unwrap();
        end.shutdown(std::net::Shutdown::Write).unwrap();
    })
}

#[test]
fn much_goes_both_ways_at_once_and_comes_as_it_was() {
    const BYTES: usize = 96 << 20;
    let hub = Hub::start();
    let (mut caller, mut listener) = pair(&hub, "bulk");
    let (forth, back) = (noise(BYTES, 1), noise(BYTES / 2 + 1, 2));
    let senders = [
        send(caller.0.try_clone().unwrap(), forth.clone()),
        send(listener.0.try_clone().unwrap(), back.clone()),
    ];
    let reader = thread::spawn(move || listener.rest());
    assert!(caller.rest() == back);
    assert!(reader.join().unwrap() == forth);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    wait_until("the stream is forgotten", || hub.metric("trefoil_streams") == 0);
    assert_eq!(hub.metric("trefoil_stream_bytes_total"), (forth.len() + back.len()) as u64);
    assert_eq!(hub.metric("trefoil_streams_broken_total"), 0);
}

#[test]
fn each_direction_ends_by_itself() {
    let hub = Hub::start();
    for listener_first in [false, true] {
        let (mut first, mut second) = pair(&hub, "half");
        if listener_first {
            std::mem::swap(&mut first, &mut second);
        }
        first.write("question");
        first.end();
        assert_eq!(second.rest(), b"question");
        for part in 0..10 {
            second.write([part; 100]);
            first.expect([part; 100]);
        }
        second.end();
        assert_eq!(first.rest(), b"");
    }
    wait_until("both are forgotten", || hub.metric("trefoil_streams") == 0);
    assert_eq!(hub.metric("trefoil_connections{kind=\"stream\"}"), 0);
    assert_eq!(hub.metric("trefoil_streams_broken_total"), 0);
}

#[test]
fn who_has_ended_before_it_is_joined_has_ended() {
    let hub = Hub::start();
    let (mut caller, mut once) = (End::new(&hub), End::new(&hub));
    caller.say(json!({"connect": "inbox", "wait_s": 600}));
    caller.write("all of it");
    caller.end();
    wait_until("it waits", || hub.metric("trefoil_stream_callers") == 1);
    once.ask(json!({"listen": "inbox", "once": true}));
    once.hear();
    assert_eq!(once.rest(), b"all of it");
    once.write("thanks");
    once.end();
    assert_eq!(caller.hear(), json!({"stream": "inbox"}));
    assert_eq!(caller.rest(), b"thanks");
}

#[test]
fn a_reset_is_passed_on() {
    let hub = Hub::start();
    for listener_first in [false, true] {
        let (mut first, mut second) = pair(&hub, "reset");
        if listener_first {
            std::mem::swap(&mut first, &mut second);
        }
        first.write("half of");
        second.expect("half of");
        first.reset();
        second.is_reset();
    }
    wait_until("both are forgotten", || hub.metric("trefoil_streams") == 0);
    assert_eq!(hub.metric("trefoil_streams_broken_total"), 2);
}

#[test]
fn a_peer_that_is_killed_is_noticed() {
    let hub = Hub::start();
    let mut once = End::new(&hub);
    once.ask(json!({"listen": "killed", "once": true}));
    let mut caller = Program::new("nc").args(["127.0.0.1", &hub.tcp_port().to_string()]).open_stdin().spawn();
    caller.write("{\"connect\":\"killed\"}\n");
    once.hear();
    // What it has not read would have its system send a reset at once.
    caller.lines(1);
    caller.signal("KILL");
    // Its system says that it sends no more, and that it is not there once something comes for it.
    assert_eq!(once.rest(), b"");
    wait_until("the writer is told", || {
        once.0
            .write_all(b"anybody?")
            .is_err_and(|e| matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset))
    });
    wait_until("the stream is forgotten", || hub.metric("trefoil_streams") == 0);
    // One that listens and is killed is found by nobody.
    let mut door = Program::new("nc").args(["127.0.0.1", &hub.tcp_port().to_string()]).open_stdin().spawn();
    door.write("{\"listen\":\"killed\"}\n");
    door.lines(1);
    door.signal("KILL");
    wait_until("it is forgotten", || hub.metric("trefoil_stream_listeners") == 0);
    assert_eq!(End::new(&hub).refused(json!({"connect": "killed"})), "no_listener");
}

#[test]
fn a_peer_that_does_not_read_stops_its_partner_and_nobody_else() {
    const BYTES: usize = 64 << 20;
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let bytes = noise(BYTES, 3);
    // More of them than there are pipes.
    let mut slow: Vec<_> = (0..70)
        .map(|_| {
            let (writer, reader) = pair(&hub, "slow");
            writer.0.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut sent = 0;
            while let Ok(count) = (&writer.0).write(&bytes[sent..]) {
                sent += count;
                assert!(sent < BYTES, "nothing holds the writer back");
            }
            (writer, reader, sent)
        })
        .collect();
    bystander.still_served();
    assert!(hub.resident_bytes() < 200 << 20, "{}", hub.resident_bytes());
    let (fast, mut reader) = pair(&hub, "fast");
    let sender = send(fast.0.try_clone().unwrap(), bytes.clone());
    assert!(reader.rest() == bytes);
    sender.join().unwrap();
    for (writer, reader, sent) in &mut slow {
        // The other direction is none of the reader's business.
        reader.write("still here");
        writer.expect("still here");
        writer.end();
        assert!(reader.rest() == bytes[..*sent]);
    }
    bystander.unharmed();
}

#[test]
fn a_stream_on_which_nothing_moves_is_broken_off() {
    let hub = limited("stream_idle_s = 1");
    let (mut caller, mut once) = pair(&hub, "idle");
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(100));
        once.write("x");
        caller.expect("x");
    }
    assert_eq!(hub.metric("trefoil_streams_idle_total"), 0);
    caller.is_reset();
    once.is_reset();
    assert_eq!(hub.metric("trefoil_streams_idle_total"), 1);
}

#[test]
fn streams_break_when_the_hub_stops() {
    let mut hub = Hub::start();
    let (mut caller, mut once) = pair(&hub, "stop");
    let mut door = listener(&hub, "other");
    let mut waits = End::new(&hub);
    waits.say(json!({"connect": "late", "wait_s": 600}));
    wait_until("it waits", || hub.metric("trefoil_stream_callers") == 1);
    hub.signal("TERM");
    caller.is_reset();
    once.is_reset();
    for end in [&mut door, &mut waits] {
        assert_eq!(super::code(&end.hear()), "unavailable");
    }
    assert!(hub.wait().success());
}

#[test]
fn a_process_that_takes_over_finds_streams_broken_and_names_free() {
    let config = format!("{CONFIG}\n[limits]\ndrain_s = 1\n");
    let mut hub = Hub::with_config(&config);
    let (mut caller, mut once) = pair(&hub, "upgrade");
    hub.upgrade();
    caller.is_reset();
    once.is_reset();
    let (mut caller, mut once) = pair(&hub, "upgrade");
    caller.write("again");
    once.expect("again");
}

#[test]
fn whoever_is_banned_is_cut_off_in_the_middle_of_a_stream() {
    let hub = Hub::with_users(&[("ann", "apple"), ("bob", "pear")], "");
    let end = |user: &str, password: &str| {
        let mut end = End::new(&hub);
        assert_eq!(end.refused(json!({"connect": "a", "id": 1})), "not_authorized");
        let auth = json!({"auth": {"user": user, "password": password}});
        assert_eq!(end.ask(auth), json!({"auth": {"user": user}}));
        end
    };
    let (mut ann, mut bob) = (end("ann", "apple"), end("bob", "pear"));
    bob.ask(json!({"listen": "a", "once": true}));
    ann.ask(json!({"connect": "a"}));
    let joined = bob.hear();
    assert_eq!((&joined["from"]["user"], &joined["stream"]), (&json!("ann"), &json!("a")));
    ann.write("hello");
    bob.expect("hello");
    let ban = json!({"user": "ann"});
    let (status, answer) = crate::bans::ask(&hub, "POST", "/api/v1/bans", Some(&ban), &["-u", "bob:pear"]);
    assert_eq!((status, &answer["disconnected"]), (201, &json!(1)), "{answer}");
    ann.is_reset();
    bob.is_reset();
}

#[test]
fn a_trickle_of_single_bytes_is_not_held_back() {
    let hub = Hub::start();
    let (mut caller, mut once) = pair(&hub, "trickle");
    let mut byte = [0];
    for at in 0..2000u32 {
        caller.write([at as u8]);
        once.0.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [at as u8]);
    }
}
