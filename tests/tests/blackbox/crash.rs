//! Nothing that was acknowledged is lost when the hub is killed. `cargo xtask crash` does the same for hours.

use std::io::{Read, Write};
use std::time::{Duration, Instant};
use trefoil_tests::crash::{Cast, Plan, Report, run};
use trefoil_tests::{Hub, lines, websocket};

/// Seeds with everybody that every run takes, and how many kills each has: all together in about a minute.
const SEEDS: [u64; 3] = [1, 2, 3];
const KILLS: usize = 60;

/// Seeds without those who are promised all, and how often the hub ends in each.
const WEAK_SEEDS: [u64; 2] = [4, 8];
const WEAK_KILLS: usize = 30;

fn seeds(usual: &[u64]) -> Vec<u64> {
    let seed = std::env::var("TREFOIL_CRASH_SEED").ok();
    let seeds =
        seed.map_or(usual.to_vec(), |text| vec![text.parse().expect("TREFOIL_CRASH_SEED is a whole number")]);
    eprintln!("seeds {seeds:?}; TREFOIL_CRASH_SEED sets another");
    seeds
}

fn kept(plan: &Plan) -> Report {
    let report = run(plan).unwrap_or_else(|fault| panic!("{fault}"));
    eprintln!("{report}");
    let tally = &report.tally;
    let tried = match plan.cast {
        Cast::Whole => vec![
            tally.summary.resent,
            tally.summary.repeated,
            tally.duplicates,
            tally.wills_due,
            tally.wills_forbidden,
            tally.removed,
            tally.shared,
            tally.times.delayed,
            tally.weak.delivered,
            tally.places.promised,
            report.evidence.places.resumed,
            report.looks,
        ],
        Cast::WeakTopics | Cast::WeakHub => vec![tally.weak.delivered, tally.weak.promised],
    };
    assert!(tried.iter().all(|count| *count > 10), "the round tried little: {tried:?}");
    report
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let reports: Vec<Report> = seeds(&SEEDS).iter().map(|seed| kept(&Plan::new(*seed, KILLS))).collect();
    // What hangs on moments has to be hit in one of them.
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let hit = [
        ("checkpoints", sum(|report| report.checkpoints)),
        ("kills in the middle of a checkpoint", sum(|report| report.kills_in_checkpoints as u64)),
        ("starts killed before the hub listened", sum(|report| report.starts_cut as u64)),
        ("expired messages", sum(|report| report.tally.times.expired as u64)),
        ("expired sessions", sum(|report| report.evidence.sessions_expired)),
        ("sessions before they expired", sum(|report| report.evidence.sessions_kept)),
    ];
    assert!(
        reports[0].tally.weak.stops > 0 || hit.iter().all(|(_, count)| *count > 0),
        "the rounds never came to all of {hit:?}"
    );
}

/// What nobody waits for is on disk after a clean stop, between kills that may cost some of it.
#[test]
fn what_is_not_synced_survives_every_clean_stop() {
    for seed in seeds(&WEAK_SEEDS) {
        kept(&Plan::new(seed, WEAK_KILLS));
    }
}

/// The same clients and the same judge while connections break and the hub lives: what fails here is not the store's.
#[test]
fn what_was_acknowledged_survives_every_broken_connection() {
    kept(&Plan { spares_the_hub: true, cast: Cast::Whole, ..Plan::new(seeds(&SEEDS)[0], 40) });
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

/// A hub that reads a large store when it starts does not lose the time that this takes: what it is told to do later is
/// not done too early after the next start.
#[test]
fn the_time_that_a_start_takes_is_not_lost() {
    const CONFIG: &str = "shards = 1\n\n[[listener]]\nbind = \"127.0.0.1:0\"\n\n[delayed]\nenabled = true\n";
    const DELAY: Duration = Duration::from_secs(3);
    let hub = Hub::with_config(CONFIG);
    let mut client = lines::Connection::new(hub.tcp_port());
    let data = "x".repeat(500_000);
    for id in 0..800 {
        let line =
            format!("{{\"pub\":\"big/{id}\",\"data\":\"{data}\",\"qos\":1,\"retain\":true,\"id\":{id}}}");
        assert_eq!(client.ask(line)["ack"], id);
    }
    let hub = Hub::resume(hub.leave("KILL"), CONFIG);
    let mut client = lines::Connection::new(hub.tcp_port());
    let sent = Instant::now();
    let line = format!("{{\"pub\":\"$delayed/{}/late\",\"data\":1,\"qos\":1,\"id\":1}}", DELAY.as_secs());
    assert_eq!(client.ask(line)["ack"], 1);
    let hub = Hub::resume(hub.leave("KILL"), CONFIG);
    let mut client = lines::Connection::new(hub.tcp_port());
    client.send("{\"sub\":\"late\",\"id\":2}");
    while client.receive()["topic"] != "late" {}
    // The hub reads its clock once a round, and writes milliseconds down.
    let came = sent.elapsed() + Duration::from_millis(20);
    assert!(came >= DELAY, "what was to be published {DELAY:?} later comes after {came:?}");
}
