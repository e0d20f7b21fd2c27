//! Nothing that was acknowledged is lost when the hub is killed. `cargo xtask crash` does the same for hours.

use std::io::{Read, Write};
use trefoil_tests::crash::{Plan, Report, run};
use trefoil_tests::{Hub, websocket};

/// Seeds that every run takes.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Kills of each seed: hundreds together, in about a minute.
const KILLS: usize = 100;

fn seeds() -> Vec<u64> {
    let seed = std::env::var("TREFOIL_CRASH_SEED").ok();
    seed.map_or(SEEDS.to_vec(), |text| vec![text.parse().expect("TREFOIL_CRASH_SEED is a whole number")])
}

fn kept(plan: &Plan) -> Report {
    let report = run(plan).unwrap_or_else(|fault| panic!("{fault}"));
    eprintln!("{report}");
    let tally = report.tally;
    let tried = [
        tally.summary.resent,
        tally.summary.repeated,
        tally.duplicates,
        tally.wills_due,
        tally.wills_forbidden,
        tally.removed,
        tally.shared,
        report.looks,
    ];
    assert!(tried.iter().all(|count| *count > 10), "the round tried little: {tried:?}");
    report
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let seeds = seeds();
    eprintln!("seeds {seeds:?}; TREFOIL_CRASH_SEED sets another");
    for seed in seeds {
        kept(&Plan::new(seed, KILLS));
    }
}

/// The same clients and the same judge while connections break and the hub lives: what fails here is not the store's.
#[test]
fn what_was_acknowledged_survives_every_broken_connection() {
    kept(&Plan { spares_the_hub: true, ..Plan::new(seeds()[0], 40) });
}

/// A handshake is answered in clear while others wait for the disk.
#[test]
fn a_handshake_does_not_wait_for_what_others_keep() {
    const TRIES: usize = 200;
    let hub = Hub::with_config("shards = 1\n\n[[listener]]\nbind = \"127.0.0.1:0\"\n");
    let mut publisher = trefoil_tests::connect(hub.tcp_port());
    for number in 0..TRIES {
        let mut stream = trefoil_tests::connect(hub.tcp_port());
        let request = websocket::handshake("/mqtt", "Sec-WebSocket-Protocol: mqtt\r\n");
        let line = format!("{{\"pub\":\"kept/{number}\",\"data\":1,\"qos\":1,\"retain\":true,\"id\":1}}\n");
        publisher.write_all(line.as_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(String::from_utf8_lossy(&begin), "HTTP/1.1 101", "at handshake {number}");
        let mut answer = [0; 10];
        publisher.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"{\"ack\":1}\n");
    }
}
