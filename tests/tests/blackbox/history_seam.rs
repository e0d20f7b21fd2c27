//! The seam of history and live: readers that are cut at random points under load, and hubs that are killed.

use super::history::Events;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use trefoil_tests::{CONFIG, Hub, connect, websocket};

const TOPICS: u64 = 4;

/// How often each reader is cut.
const CUTS: usize = 250;

fn config() -> String {
    format!("{CONFIG}\n[[history]]\nfilter = \"h/#\"\nmessages = 1000000\n")
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A seed that is printed, so that a failure can be had again with `TREFOIL_SEAM_SEED`.
fn seed() -> u64 {
    let seed =
        std::env::var("TREFOIL_SEAM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_127);
    eprintln!("TREFOIL_SEAM_SEED={seed}");
    seed
}

type Acknowledged = Arc<Mutex<BTreeSet<(String, String)>>>;

/// Publishes at QoS 1 over a connection of its own until told to stop, or until the hub is gone. What was acknowledged is
/// noted.
fn publisher(
    hub: &Hub,
    name: String,
    from: u64,
    stop: &Arc<AtomicBool>,
    acknowledged: &Acknowledged,
) -> JoinHandle<u64> {
    let (port, stop, acknowledged) = (hub.tcp_port(), stop.clone(), acknowledged.clone());
    std::thread::spawn(move || {
        let mut stream = BufReader::new(connect(port));
        let mut n = from;
        while !stop.load(Ordering::Relaxed) {
            let mut batch = Vec::new();
            for _ in 0..8 {
                n += 1;
                let topic = format!("h/{}", n % TOPICS);
                let request = json!({ "pub": topic, "data": format!("{name}:{n}"), "qos": 1, "id": n });
                batch.extend(request.to_string().into_bytes());
                batch.push(b'\n');
            }
            if stream.get_mut().write_all(&batch).is_err() {
                return n;
            }
            for _ in 0..8 {
                let mut line = String::new();
                if !stream.read_line(&mut line).is_ok_and(|count| count > 0) {
                    return n;
                }
                let answer: Value = serde_json::from_str(&line).unwrap();
                let Some(ack) = answer["ack"].as_u64() else { return n };
                let said = (format!("h/{}", ack % TOPICS), format!("{name}:{ack}"));
                acknowledged.lock().unwrap().insert(said);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        n
    })
}

/// What a reader has seen, over all of its connections.
#[derive(Default)]
struct Seen {
    began: Option<u64>,
    places: BTreeMap<String, (String, u64)>,
    id: Option<String>,
    got: BTreeMap<String, Vec<(u64, String)>>,
}

impl Seen {
    fn take(&mut self, message: &Value) {
        assert!(message.get("gap").is_none(), "nothing has given way: {message}");
        let topic = message["topic"].as_str().unwrap().to_owned();
        let offset = message["offset"].as_u64().unwrap_or_else(|| panic!("{message} has no place"));
        let epoch = message["epoch"].as_str().unwrap().to_owned();
        let before = self.places.insert(topic.clone(), (epoch.clone(), offset));
        if let Some((known, last)) = before {
            assert_eq!(known, epoch, "the life of the topic goes on");
            assert!(offset > last, "{topic}: {offset} after {last}");
        }
        self.got.entry(topic).or_default().push((offset, message["data"].as_str().unwrap().to_owned()));
    }

    fn since(&self) -> Value {
        let place = |(epoch, offset): &(String, u64)| json!({ "epoch": epoch, "offset": offset });
        let topics: BTreeMap<_, _> = self.places.iter().map(|(topic, at)| (topic, place(at))).collect();
        json!({ "time": self.began, "topics": topics })
    }

    fn count(&self) -> usize {
        self.got.values().map(Vec::len).sum()
    }

    /// Each publisher's messages came in its order, each once.
    fn is_in_order(&self) {
        for (topic, got) in &self.got {
            let mut last: BTreeMap<&str, u64> = BTreeMap::new();
            for (_, said) in got {
                let (name, n) = said.split_once(':').unwrap();
                let n: u64 = n.parse().unwrap();
                let before = last.insert(name, n);
                assert!(before.is_none_or(|before| before < n), "{topic}: {said} after {before:?}");
            }
        }
    }
}

/// A connection of a reader, whatever it speaks.
enum Link {
    WebSocket(websocket::Connection),
    Events(Events),
}

impl Link {
    fn open(hub_port: u16, seen: &mut Seen, is_websocket: bool) -> Link {
        if !is_websocket {
            return Link::Events(Events::new(hub_port, "topic=h/%2B", seen.id.as_deref()));
        }
        let mut socket = websocket::Connection::new(hub_port, "/ws");
        let mut request = json!({ "sub": "h/+", "retained": false, "id": 1 });
        if seen.began.is_some() {
            request["since"] = seen.since();
        }
        socket.send_text(&request.to_string());
        Link::WebSocket(socket)
    }

    /// Takes one more message or answer. False at the end of the connection.
    fn take(&mut self, seen: &mut Seen) -> bool {
        match self {
            Link::WebSocket(socket) => {
                let Some((0x81, text)) = socket.receive() else { return false };
                let value: Value = serde_json::from_slice(&text).unwrap();
                match value.get("sub") {
                    Some(_) => {
                        assert_ne!(value["gap"], json!(true), "{value}");
                        seen.began.get_or_insert(value["time"].as_u64().unwrap());
                    }
                    None => seen.take(&value),
                }
            }
            Link::Events(events) => {
                let Some((id, _, value)) = events.next() else { return false };
                seen.take(&value);
                seen.id = Some(id.expect("each event says where it stands"));
            }
        }
        true
    }
}

/// Reads, and is cut, again and again; then reads on until it has `total` messages.
fn read_and_be_cut(
    port: u16,
    mut random: Random,
    is_websocket: bool,
    is_over: &AtomicBool,
    total: &Mutex<Option<usize>>,
) -> Seen {
    let mut seen = Seen::default();
    // It has to know where it began before it can be cut.
    let mut first = Link::open(port, &mut seen, is_websocket);
    while seen.count() == 0 {
        assert!(first.take(&mut seen));
    }
    drop(first);
    for _ in 0..CUTS {
        let mut link = Link::open(port, &mut seen, is_websocket);
        // Now and then before anything has come, now and then in the middle of what it missed.
        for _ in 0..random.below(4) * random.below(120) {
            assert!(link.take(&mut seen), "the hub has closed the connection");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let wanted = loop {
        if let Some(total) = *total.lock().unwrap() {
            break total;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut link = Link::open(port, &mut seen, is_websocket);
    while seen.count() < wanted {
        assert!(link.take(&mut seen));
    }
    seen
}

#[test]
fn readers_that_are_cut_a_thousand_times_miss_nothing_and_get_nothing_twice() {
    let hub = Hub::with_config(&config());
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
    let total = Mutex::new(None);
    let seed = seed();
    std::thread::scope(|scope| {
        let (port, total) = (hub.http_port(), &total);
        let over: Vec<_> = (0..4).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let readers: Vec<_> = over
            .iter()
            .enumerate()
            .map(|(n, over)| {
                let (over, random) = (over.clone(), Random(seed + n as u64));
                scope.spawn(move || read_and_be_cut(port, random, n % 2 == 0, &over, total))
            })
            .collect();
        // Only once all have subscribed, so that all of them are to get everything.
        let subscribed = || {
            let metrics = super::store::ask(&hub, "GET", "/api/v1/stats").1;
            metrics["subscriptions"].as_u64().unwrap_or_default()
        };
        trefoil_tests::wait_until("all readers have subscribed", || subscribed() >= 4);
        let publishers: Vec<_> =
            (0..4).map(|n| publisher(&hub, format!("p{n}"), 0, &stop, &acknowledged)).collect();
        let is_over = || {
            over.iter()
                .zip(&readers)
                .all(|(over, reader)| over.load(Ordering::Relaxed) || reader.is_finished())
        };
        while !is_over() {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        let published: u64 = publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum();
        assert_eq!(published as usize, acknowledged.lock().unwrap().len());
        *total.lock().unwrap() = Some(published as usize);
        for reader in readers {
            let seen = reader.join().unwrap();
            seen.is_in_order();
            for (topic, got) in &seen.got {
                let offsets: Vec<u64> = got.iter().map(|(offset, _)| *offset).collect();
                assert_eq!(
                    offsets,
                    (1..=got.len() as u64).collect::<Vec<_>>(),
                    "{topic}: no gap, no duplicate"
                );
            }
            let got = seen
                .got
                .iter()
                .flat_map(|(topic, got)| got.iter().map(|(_, said)| (topic.clone(), said.clone())));
            assert_eq!(got.collect::<BTreeSet<_>>(), *acknowledged.lock().unwrap());
        }
    });
}

#[test]
fn a_hub_that_is_killed_keeps_what_it_acknowledged_and_gives_no_place_twice() {
    let mut hub = Hub::with_config(&config());
    let acknowledged = Acknowledged::default();
    let mut random = Random(seed());
    let mut readers = [(true, Seen::default()), (false, Seen::default())];
    // Each topic has something on disk, and each reader a place in it.
    let mut links: Vec<Link> = readers
        .iter_mut()
        .map(|(is_websocket, seen)| Link::open(hub.http_port(), seen, *is_websocket))
        .collect();
    let subscriptions =
        |hub: &Hub| super::store::ask(hub, "GET", "/api/v1/stats").1["subscriptions"].as_u64();
    trefoil_tests::wait_until("both have subscribed", || subscriptions(&hub).unwrap_or_default() >= 2);
    let stop = Arc::new(AtomicBool::new(true));
    let mut numbers = [0; 3];
    let mut places: BTreeMap<(String, u64), String> = BTreeMap::new();
    for round in 0..20 {
        stop.store(false, Ordering::Relaxed);
        let publishers: Vec<_> = numbers
            .iter()
            .enumerate()
            .map(|(n, from)| publisher(&hub, format!("p{n}"), *from, &stop, &acknowledged))
            .collect();
        for ((_, seen), link) in readers.iter_mut().zip(&mut links) {
            let wanted = seen.count() + 8 + random.below(400) as usize;
            while seen.count() < wanted || seen.places.len() < TOPICS as usize {
                assert!(link.take(seen), "round {round}");
            }
        }
        let folder = hub.leave("KILL");
        numbers
            .iter_mut()
            .zip(publishers)
            .for_each(|(number, publisher)| *number = publisher.join().unwrap());
        // What had left the hub comes still, written down or not.
        for ((_, seen), link) in readers.iter_mut().zip(&mut links) {
            while link.take(seen) {}
        }
        hub = Hub::resume(folder, &config());
        links = readers
            .iter_mut()
            .map(|(is_websocket, seen)| Link::open(hub.http_port(), seen, *is_websocket))
            .collect();
    }
    // Behind this nothing is owed any more.
    let numbers = numbers.iter().max().unwrap() + 1000;
    stop.store(false, Ordering::Relaxed);
    let last = publisher(&hub, "last".into(), numbers, &stop, &acknowledged);
    trefoil_tests::wait_until("the last publisher has heard of a message", || {
        acknowledged.lock().unwrap().iter().any(|(_, said)| said.starts_with("last:"))
    });
    stop.store(true, Ordering::Relaxed);
    last.join().unwrap();
    for ((is_websocket, seen), link) in readers.iter_mut().zip(&mut links) {
        let kind = if *is_websocket { "WebSocket" } else { "events" };
        let acknowledged = acknowledged.lock().unwrap().clone();
        let is_missing = |seen: &Seen| {
            let got: BTreeSet<_> = seen
                .got
                .iter()
                .flat_map(|(topic, got)| got.iter().map(|(_, said)| (topic.clone(), said.clone())))
                .collect();
            acknowledged.difference(&got).cloned().collect::<Vec<_>>()
        };
        let ends: BTreeSet<_> = acknowledged.iter().filter(|(_, said)| said.starts_with("last:")).collect();
        let end = |seen: &Seen| {
            let has = |(topic, said): &&(String, String)| {
                seen.got.get(topic).is_some_and(|got| got.iter().any(|(_, other)| other == said))
            };
            ends.iter().copied().all(|one| has(&one))
        };
        while !end(seen) {
            assert!(link.take(seen));
        }
        assert_eq!(is_missing(seen), [], "{kind}");
        seen.is_in_order();
        for (topic, got) in &seen.got {
            for (offset, said) in got {
                let known = places.entry((topic.clone(), *offset)).or_insert_with(|| said.clone());
                assert_eq!(known, said, "{topic}: the place {offset} has two messages");
            }
        }
    }
}
