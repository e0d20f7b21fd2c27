//! Upgrades and restarts while clients publish without a pause: nobody is refused, nothing acknowledged is lost, QoS 2
//! comes once, order is kept.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use trefoil_model::wire::Version;
use trefoil_model::{Allowance, Client, Event, History, Message, Options, Random, Summary, check};
use trefoil_tests::{Hub, mqtt, wait_until};

/// How often a process takes over from another, and how often one ends before the next one starts.
const UPGRADES: usize = 6;
const RESTARTS: usize = 2;

/// Messages that come through everywhere between two of them.
const PROGRESS: usize = 100;

/// Messages that a client has under way at most.
const UNDER_WAY_MAX: usize = 10;

/// How long a client waits for bytes before it thinks of something else to do.
const TURN: Duration = Duration::from_millis(2);

/// A client publishes to topics of all, and sets a retained message that nobody else sets.
const TOPICS: [&str; 3] = ["t/0", "t/1", "t/2"];

/// What the clients with lasting sessions subscribe to: filter, QoS, and whether retained messages are wanted.
type Filters = &'static [(&'static str, u8, bool)];
const CLIENTS: [(Version, Filters); 4] = [
    (Version::V5, &[("t/#", 2, false)]),
    (Version::V4, &[("t/#", 2, false)]),
    (Version::V5, &[("t/1", 1, false), ("t/+", 2, false)]),
    (Version::V4, &[("t/0", 2, false), ("t/2", 1, false)]),
];

/// Clients that publish in JSON, with `id`; in the history they are behind the others.
const JSON: std::ops::Range<usize> = CLIENTS.len()..CLIENTS.len() + 2;

/// What the threads of the clients share.
struct Stage {
    port: u16,
    history: Mutex<History>,
    number: AtomicUsize,
    /// Messages that each client has had acknowledged.
    acknowledged: [AtomicUsize; JSON.end],
    /// The last retained message that each client has sent.
    retained: Mutex<[u64; JSON.end]>,
    /// No process is there that listens.
    is_down: AtomicBool,
    /// Nothing new is published.
    is_settling: AtomicBool,
    done: AtomicUsize,
    is_over: AtomicBool,
    connections: AtomicUsize,
    refused: AtomicUsize,
}

impl Stage {
    fn connect(&self) -> Option<TcpStream> {
        let was_down = self.is_down.load(SeqCst);
        match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            Ok(stream) => {
                // A port that nobody listens on may be given to the very connection that asks for it.
                let is_own = stream.local_addr().ok() == stream.peer_addr().ok();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(TURN)).unwrap();
                self.connections.fetch_add(1, SeqCst);
                (!is_own).then_some(stream)
            }
            Err(_) => {
                if !was_down && !self.is_down.load(SeqCst) {
                    self.refused.fetch_add(1, SeqCst);
                }
                std::thread::sleep(TURN);
                None
            }
        }
    }

    fn draw(&self, client: usize, random: &mut Random, qos_max: usize) -> Message {
        let retain = random.chance(20);
        let topic = if retain { format!("r/{client}") } else { (*random.one_of(&TOPICS)).into() };
        let number = self.number.fetch_add(1, SeqCst) as u64 + 1;
        if retain {
            self.retained.lock().unwrap()[client] = number;
        }
        let (qos, payload_bytes) = (1 + random.below(qos_max) as u8, random.below(100));
        Message { number, topic, qos, retain, expiry_s: None, payload_bytes, delay_s: None, clears: false }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    fn is_settling(&self) -> bool {
        self.is_settling.load(SeqCst)
    }
}

/// Ends the play, however this test ends.
struct Curtain<'a>(&'a Stage);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, SeqCst);
    }
}

/// A client with a lasting session, from connection to connection.
fn play(stage: &Stage, number: usize) {
    let (version, filters) = CLIENTS[number];
    let client_id = format!("lasting-{number}");
    let options = Options { number, client_id, version, expiry_s: u32::MAX, receive_max: u16::MAX };
    let mut client = Client::new(options);
    let mut random = Random::new(number as u64);
    // Of MQTT 3 the first session ends with its connection, as one with a clean start does.
    let (mut sent, mut is_done, mut sessions) = (0, false, 0);
    while !stage.is_over() {
        let Some(mut stream) = stage.connect() else { continue };
        client.connect(false, None, &mut stage.history.lock().unwrap());
        let mut buffer = [0; 4096];
        while !stage.is_over() {
            let mut history = stage.history.lock().unwrap();
            if client.is_ready() && client.take_new_session() {
                sessions += 1;
                assert!(sessions <= 2, "client {number} has lost its session");
                client.subscribe(filters, &mut history);
            }
            let under_way = sent - stage.acknowledged[number].load(SeqCst);
            if client.is_ready() && !stage.is_settling() && under_way < UNDER_WAY_MAX {
                client.publish(stage.draw(number, &mut random, 2), &mut history);
                sent += 1;
            }
            drop(history);
            client.answer(client.owed());
            if stream.write_all(&client.output()).is_err() {
                break;
            }
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let mut history = stage.history.lock().unwrap();
                    let before = history.entries.len();
                    let taken = client.receive(&buffer[..count], &mut history);
                    let new = history.entries[before..].iter();
                    let acknowledged = new.filter(|entry| matches!(entry.event, Event::Acknowledged(_)));
                    stage.acknowledged[number].fetch_add(acknowledged.count(), SeqCst);
                    match taken {
                        Ok(()) => {}
                        // The hub shuts down, or an earlier connection of its own came late.
                        Err(why) if ["0x8b", "0x8e"].iter().any(|code| why.ends_with(code)) => break,
                        Err(why) => panic!("client {number}: {why}"),
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            let is_through = stage.is_settling() && client.is_idle();
            if is_through && !std::mem::replace(&mut is_done, true) {
                stage.done.fetch_add(1, SeqCst);
            }
        }
        client.lose();
    }
}

/// A JSON publisher: what is not acknowledged is sent again on the next connection.
fn play_json(stage: &Stage, number: usize) {
    let mut random = Random::new(number as u64);
    let mut pending: VecDeque<Message> = VecDeque::new();
    let note = |event| stage.history.lock().unwrap().add(number, event);
    while !(stage.is_over() || stage.is_settling() && pending.is_empty()) {
        let Some(mut stream) = stage.connect() else { continue };
        let (mut input, mut buffer, mut output) = (Vec::new(), [0; 4096], String::new());
        for message in &pending {
            note(Event::Resent(message.number));
            output.push_str(&json(message));
        }
        'connection: while !(stage.is_over() || stage.is_settling() && pending.is_empty()) {
            if !stage.is_settling() && pending.len() < UNDER_WAY_MAX {
                let message = Message { payload_bytes: 0, ..stage.draw(number, &mut random, 1) };
                note(Event::Sent(message.clone()));
                output.push_str(&json(&message));
                pending.push_back(message);
            }
            if stream.write_all(output.as_bytes()).is_err() {
                break;
            }
            output.clear();
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => input.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = input.drain(..=end).collect();
                let answer: serde_json::Value = serde_json::from_slice(&line).unwrap();
                if answer["error"]["code"] == "unavailable" {
                    break 'connection;
                }
                let first = pending.pop_front().expect("an answer that is waited for");
                assert_eq!(answer, serde_json::json!({"ack": first.number}), "client {number}");
                note(Event::Acknowledged(first.number));
                stage.acknowledged[number].fetch_add(1, SeqCst);
            }
        }
        // What it has sent comes in before anything that it sends on another connection.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        while !matches!(stream.read(&mut buffer), Ok(0)) && !stage.is_over() {
            if stream.take_error().unwrap().is_some() {
                break;
            }
        }
    }
    stage.done.fetch_add(1, SeqCst);
}

fn json(message: &Message) -> String {
    let Message { number, topic, qos, retain, .. } = message;
    let line = serde_json::json!({
        "pub": topic, "data": format!("{number} "), "qos": qos, "retain": retain, "id": number
    });
    format!("{line}\n")
}

/// A port that is free now, and that the system gives to nobody who asks for any port.
fn free_port() -> u16 {
    let first = 20_000 + std::process::id() as u16 % 10_000;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (first..32_000).find(is_free).expect("a free port")
}

/// Lets a new process take over by a signal, and follows it.
fn upgrade_by_signal(hub: &mut Hub) {
    let said = |hub: &Hub| hub.log().matches(" serves; this one ends").count();
    let before = said(hub);
    hub.signal("USR2");
    wait_until("another process serves", || said(hub) > before);
    let log = hub.log();
    let (before, _) = log.rsplit_once(" serves; this one ends").unwrap();
    hub.follow(before.rsplit(' ').next().unwrap().parse().unwrap());
}

/// The play, with upgrades and restarts; gives what it came to.
fn take_over_under_load(durability: &str) -> Summary {
    let port = free_port();
    let config = format!(
        "shards = 2\n[[listener]]\nbind = \"127.0.0.1:{port}\"\n\
         [store]\ndurability = \"{durability}\"\ninterval_ms = 60000\n\
         [limits]\nsession_queue_messages_max = 1000000\nsession_queue_bytes_max = \"1 GiB\"\n"
    );
    let stage = Stage {
        port,
        history: Mutex::default(),
        number: AtomicUsize::new(0),
        acknowledged: [const { AtomicUsize::new(0) }; JSON.end],
        retained: Mutex::default(),
        is_down: AtomicBool::new(false),
        is_settling: AtomicBool::new(false),
        done: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        connections: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
    };
    let mut hub = Hub::with_config(&config);
    let verdict = || check(&stage.history.lock().unwrap().entries, Allowance::default());
    let _hub = std::thread::scope(|scope| {
        let _curtain = Curtain(&stage);
        let stage = &stage;
        let mut players: Vec<_> =
            (0..CLIENTS.len()).map(|number| scope.spawn(move || play(stage, number))).collect();
        players.extend(JSON.map(|number| scope.spawn(move || play_json(stage, number))));
        let has_failed = || !stage.is_settling() && players.iter().any(|player| player.is_finished());
        let go_on = || {
            let now = stage.acknowledged.each_ref().map(|count| count.load(SeqCst));
            wait_until("all clients publish", || {
                let counts = stage.acknowledged.iter().zip(now);
                counts.into_iter().all(|(count, before)| count.load(SeqCst) > before + PROGRESS)
                    || has_failed()
            });
            assert!(!has_failed(), "a client has given up");
        };
        for round in 0..UPGRADES {
            go_on();
            if round % 2 == 0 { hub.upgrade() } else { upgrade_by_signal(&mut hub) }
            if round % (UPGRADES / RESTARTS) == 1 {
                go_on();
                stage.is_down.store(true, SeqCst);
                let folder = hub.leave("TERM");
                hub = Hub::resume(folder, &config);
                stage.is_down.store(false, SeqCst);
            }
        }
        go_on();
        stage.is_settling.store(true, SeqCst);
        wait_until("all is acknowledged", || stage.done.load(SeqCst) == players.len());
        wait_until("every promise is kept", || verdict().is_ok());
        hub
    });
    for (client, number) in stage.retained.lock().unwrap().iter().enumerate() {
        let mut reader = mqtt::Connection::new(port, 5, "reader");
        reader.subscribe(&format!("r/{client}"), 0);
        let found = Message::number_in(&reader.receive_publish().payload);
        assert_eq!(found, Some(*number), "the retained message of client {client}");
    }
    let summary = verdict().unwrap();
    let (connections, refused) = (stage.connections.into_inner(), stage.refused.into_inner());
    eprintln!(
        "{durability}: {UPGRADES} upgrades, {RESTARTS} restarts: {connections} connections, {refused} refused; {} messages \
         sent, {} of them again; {} deliveries promised, all came",
        summary.sent, summary.resent, summary.promised
    );
    assert_eq!(refused, 0, "connections refused while a process served");
    assert!(connections >= (UPGRADES + RESTARTS) * JSON.end, "{connections} connections");
    summary
}

#[test]
fn nothing_acknowledged_is_lost_under_sync() {
    let summary = take_over_under_load("sync");
    assert!(summary.resent > 0, "nothing was under way when a process ended: {summary:?}");
}

/// Nothing is synced in time by itself: all rests on how the hub ends.
#[test]
fn nor_under_interval() {
    take_over_under_load("interval");
}
