//! Channels whose answers are cut at random points, again and again: no object is missing and none comes twice.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use trefoil_tests::channel::{Channel, Http, numbered};
use trefoil_tests::proxy::Proxy;
use trefoil_tests::{CONFIG, Hub, lines, or_end};

/// How often the answers to each reader are cut.
const CUTS: u64 = 150;

/// Bytes that a connection lives for at most.
const LIFE_BYTES: usize = 12_000;

/// A seed that is printed, so that a failure can be had again with `TREFOIL_SEAM_SEED`.
fn seed() -> u64 {
    let seed =
        std::env::var("TREFOIL_SEAM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_127);
    eprintln!("TREFOIL_SEAM_SEED={seed}");
    seed
}

/// What has come to a reader.
struct Seen {
    /// The number of the next object.
    after: u64,
    messages: Vec<u64>,
    /// What it is to come to before it is over.
    is_over: bool,
}

impl Seen {
    fn take(&mut self, object: &Value) {
        self.after += 1;
        match object["data"].as_u64() {
            Some(n) => self.messages.push(n),
            None => self.is_over |= object["data"] == "the end",
        }
        assert!(object.get("error").is_none(), "{object}");
    }

    /// Asks once. The answer may be lost, or be cut off.
    fn poll(&mut self, http: &mut Http, path: &str) -> Option<()> {
        http.send(&format!("GET {path}?after={}", self.after), "", "").ok()?;
        let answer = or_end(http.receive())?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let (next, objects) = numbered(&answer.json());
        assert_eq!(next, self.after + objects.len() as u64, "numbers rise by one");
        objects.iter().for_each(|object| self.take(object));
        Some(())
    }

    /// Reads a stream to its end.
    fn stream(&mut self, http: &mut Http, path: &str) -> Option<()> {
        let headers = format!("Accept: text/event-stream\r\nLast-Event-ID: {}\r\n", self.after);
        http.send(&format!("GET {path}?after=0"), &headers, "").ok()?;
        let answer = or_end(http.receive_head())?;
        assert_eq!(answer.status, 200, "{answer:?}");
        while !self.is_over {
            let (id, object) = http.event()?;
            assert_eq!(id, self.after + 1, "numbers rise by one");
            self.take(&object);
        }
        Some(())
    }
}

#[derive(Clone, Copy)]
enum Way {
    Polls,
    Streams,
    Both,
}

/// Reads through a bad network until the end has come.
fn read(proxy: &Proxy, channel: &Channel, way: Way) -> Seen {
    let (mut seen, mut turn) = (Seen { after: 0, messages: Vec::new(), is_over: false }, 0);
    let mut http = Http::new(proxy.port());
    while !seen.is_over {
        turn += 1;
        let is_stream = match way {
            Way::Polls => false,
            Way::Streams => true,
            Way::Both => turn % 3 == 0,
        };
        let is_whole = match is_stream {
            true => seen.stream(&mut http, &channel.path()).filter(|()| false),
            false => seen.poll(&mut http, &channel.path()),
        };
        if is_whole.is_none() {
            http = Http::new(proxy.port());
        }
    }
    seen
}

#[test]
fn answers_that_are_cut_hundreds_of_times_lose_nothing_and_repeat_nothing() {
    // What is kept is little, so that streams end by themselves, too.
    let config = format!(
        "{}\n[limits]\nchannel_resend_bytes_max = 20000\n",
        CONFIG.replace("shards = 2", "shards = 3")
    );
    let hub = Hub::with_config(&config);
    let seed = seed();
    let is_enough = AtomicBool::new(false);
    let ways = [Way::Polls, Way::Streams, Way::Both, Way::Polls];
    let readers: Vec<_> = ways
        .into_iter()
        .zip(seed..)
        .map(|(way, seed)| {
            let proxy = Proxy::start(hub.http_port(), LIFE_BYTES, seed);
            let channel = Channel::open(hub.http_port(), "", r#"{"sub":"load"}"#);
            (way, proxy, channel)
        })
        .collect();
    std::thread::scope(|scope| {
        let cuts = |readers: &[(Way, Proxy, Channel)]| {
            readers.iter().map(|(_, proxy, _)| proxy.cuts()).min().unwrap()
        };
        let publisher = scope.spawn(|| {
            let mut line = lines::Connection::new(hub.tcp_port());
            let mut n = 0;
            while !is_enough.load(Ordering::Relaxed) {
                for _ in 0..10 {
                    line.send(json!({ "pub": "load", "data": n }).to_string());
                    n += 1;
                }
                line.ask(r#"{"ping":null}"#);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            line.send(r#"{"pub":"load","data":"the end"}"#);
            line.ask(r#"{"ping":null}"#);
            n
        });
        let reading: Vec<_> = readers
            .iter()
            .map(|(way, proxy, channel)| scope.spawn(move || read(proxy, channel, *way)))
            .collect();
        while cuts(&readers) < CUTS && reading.iter().all(|reading| !reading.is_finished()) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        is_enough.store(true, Ordering::Relaxed);
        let published: u64 = publisher.join().unwrap();
        readers.iter().for_each(|(_, proxy, _)| proxy.calm_down());
        for reading in reading {
            let seen = reading.join().unwrap();
            assert!(seen.messages.iter().copied().eq(0..published), "{} of {published}", seen.messages.len());
            assert_eq!(seen.after, published + 2, "with the answer and the end");
        }
        assert!(cuts(&readers) >= CUTS);
    });
    assert_eq!(hub.stat("dropped"), 0);
}
