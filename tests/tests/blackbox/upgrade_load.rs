//! Upgrades, restarts and faults of the disk while clients publish without a pause: no process that serves refuses a
//! connection, nothing acknowledged is lost, QoS 2 comes once, order is kept. In an upgrade MQTT clients stay connected.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use trefoil_model::wire::Version;
use trefoil_model::{Allowance, Client, Event, History, Message, Options, Random, Summary, check};
use trefoil_tests::{Disk, Hub, mqtt, wait_until};

/// How often a process takes over from another, and how often one ends before the next one starts.
const UPGRADES: usize = 6;
const RESTARTS: usize = 2;

/// Messages that come through everywhere between two of them.
const PROGRESS: usize = 100;

/// Messages that a client has under way at most.
const UNDER_WAY_MAX: usize = 10;

/// How long a client waits for bytes before it thinks of something else to do.
const TURN: Duration = Duration::from_millis(2);

/// How long a client waits that has been told that something cannot be kept.
const PATIENCE: Duration = Duration::from_millis(20);

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
    /// Messages that each client has had acknowledged, or given up with a session that has ended.
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
    /// The disk fails at times, and `refusals` counts how often a client was told so.
    has_faults: bool,
    refusals: AtomicUsize,
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

    /// A message that is refused may have been followed by one that is not, and no order is promised when it is sent once
    /// more. So nobody sends a second one before the first is through, where messages are refused.
    fn under_way_max(&self) -> usize {
        if self.has_faults { 1 } else { UNDER_WAY_MAX }
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
            if client.is_ready() && !stage.is_settling() && under_way < stage.under_way_max() {
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
                    let through = new
                        .filter(|entry| matches!(entry.event, Event::Acknowledged(_) | Event::Abandoned(_)));
                    stage.acknowledged[number].fetch_add(through.count(), SeqCst);
                    match taken {
                        Ok(()) => {}
                        // The hub shuts down, or an earlier connection of its own came late.
                        Err(why) if ["0x8b", "0x8e"].iter().any(|code| why.ends_with(code)) => break,
                        // The disk fails. What is refused is sent again on the next connection.
                        Err(why) if stage.has_faults && is_refusal(&why) => {
                            stage.refusals.fetch_add(1, SeqCst);
                            drop(history);
                            std::thread::sleep(PATIENCE);
                            break;
                        }
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
            if !stage.is_settling() && pending.len() < stage.under_way_max() {
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
                if stage.has_faults && answer["error"]["code"] == "quota" {
                    stage.refusals.fetch_add(1, SeqCst);
                    std::thread::sleep(PATIENCE);
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

/// Whether the model's client has been told that something cannot be kept: with 0x97, or in CONNACK of MQTT 3 with 3.
fn is_refusal(why: &str) -> bool {
    why.ends_with("0x97") || why == "CONNACK refuses with 0x3"
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

/// How the play goes on, as whoever disturbs it sees it.
struct Play<'a> {
    stage: &'a Stage,
    config: &'a str,
    has_failed: &'a dyn Fn() -> bool,
}

impl Play<'_> {
    /// Waits until every client has had some more acknowledged.
    fn go_on(&self) {
        let now = self.stage.acknowledged.each_ref().map(|count| count.load(SeqCst));
        wait_until("all clients publish", || {
            let mut counts = self.stage.acknowledged.iter().zip(now);
            counts.all(|(count, before)| count.load(SeqCst) > before + PROGRESS) || (self.has_failed)()
        });
        assert!(!(self.has_failed)(), "a client has given up");
    }

    /// Ends the hub by a signal and starts it again as `start` does.
    fn restart(&self, hub: Hub, signal: &str, start: impl FnOnce(tempfile::TempDir) -> Hub) -> Hub {
        self.stage.is_down.store(true, SeqCst);
        if signal == "KILL" {
            self.stage.history.lock().unwrap().add(0, Event::HubCrashed);
        }
        let hub = start(hub.leave(signal));
        self.stage.is_down.store(false, SeqCst);
        hub
    }
}

/// Lets the clients play while `disturb` does what it does to the hub, and checks every promise.
fn under_load(
    (durability, store): (&str, &str),
    has_faults: bool,
    start: impl FnOnce(&str) -> Hub,
    disturb: impl FnOnce(Hub, &Play<'_>) -> Hub,
) -> (Stage, Summary) {
    let port = free_port();
    let config = format!(
        "shards = 2\n[[listener]]\nbind = \"127.0.0.1:{port}\"\n\
         [store]\npath = {store:?}\ndurability = \"{durability}\"\ninterval_ms = 60000\n\
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
        has_faults,
        refusals: AtomicUsize::new(0),
    };
    let hub = start(&config);
    let verdict = || check(&stage.history.lock().unwrap().entries, Allowance::default());
    let _hub = std::thread::scope(|scope| {
        let _curtain = Curtain(&stage);
        let stage = &stage;
        let mut players: Vec<_> =
            (0..CLIENTS.len()).map(|number| scope.spawn(move || play(stage, number))).collect();
        players.extend(JSON.map(|number| scope.spawn(move || play_json(stage, number))));
        let has_failed = || players.iter().any(|player| player.is_finished());
        let hub = disturb(hub, &Play { stage, config: &config, has_failed: &has_failed });
        stage.is_settling.store(true, SeqCst);
        wait_until("all is acknowledged", || stage.done.load(SeqCst) == players.len());
        let mut last = Ok(Summary::default());
        let deadline = std::time::Instant::now() + trefoil_tests::DEADLINE;
        while std::time::Instant::now() < deadline {
            last = verdict();
            if last.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        last.unwrap_or_else(|why| panic!("{why}"));
        hub
    });
    for (client, number) in stage.retained.lock().unwrap().iter().enumerate() {
        let mut reader = mqtt::Connection::new(port, 5, "reader");
        reader.subscribe(&format!("r/{client}"), 0);
        let found = Message::number_in(&reader.receive_publish().payload);
        assert_eq!(found, Some(*number), "the retained message of client {client}");
    }
    let summary = verdict().unwrap();
    let [connections, refused, refusals] =
        [&stage.connections, &stage.refused, &stage.refusals].map(|count| count.load(SeqCst));
    eprintln!(
        "{durability}: {connections} connections, {refused} refused; {} messages sent, {} of them again; {refusals} times \
         a client was told that something cannot be kept; {} deliveries promised, all came",
        summary.sent, summary.resent, summary.promised
    );
    assert_eq!(refused, 0, "connections refused while a process served");
    (stage, summary)
}

/// The play, with upgrades and restarts.
fn take_over_under_load(durability: &str) -> Summary {
    let (stage, summary) =
        under_load((durability, "trefoil-data"), false, Hub::with_config, |mut hub, play| {
            for round in 0..UPGRADES {
                play.go_on();
                if round % 2 == 0 {
                    hub.upgrade();
                } else {
                    upgrade_by_signal(&mut hub);
                }
                let log = hub.log();
                let handed_over = log.lines().rfind(|line| line.contains(" connections handed over, "));
                let handed_over = handed_over.expect("the log says how many there were");
                let count = format!(" {} connections handed over", CLIENTS.len());
                assert!(handed_over.contains(&count), "{handed_over}");
                if round % (UPGRADES / RESTARTS) == 1 {
                    play.go_on();
                    hub = play.restart(hub, "TERM", |folder| Hub::resume(folder, play.config));
                }
            }
            play.go_on();
            hub
        });
    let connections = stage.connections.into_inner();
    // Those that speak JSON come anew after each upgrade, those that speak MQTT after a restart only.
    let expected = JSON.len() * (UPGRADES + RESTARTS + 1) + CLIENTS.len() * (RESTARTS + 1);
    assert!(connections >= expected, "{connections} connections, {expected} expected");
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

/// The faults that come and go, each of which ends what waits for the disk.
const FAULTS: [&str; 4] = ["sync EIO once", "write EIO", "sync EIO", "write EROFS\nopen EROFS\nunlink EROFS"];

/// How often each of them comes.
const TIMES: usize = 2;

#[test]
fn nor_while_the_disk_fails_time_and_again() {
    let disk = Disk::new();
    let start = |config: &str| disk.hub(config);
    let store = disk.store().display().to_string();
    let (stage, summary) = under_load(("sync", &store), true, start, |mut hub, play| {
        for (round, faults) in FAULTS.iter().cycle().take(FAULTS.len() * TIMES).enumerate() {
            play.go_on();
            disk.struck_by(faults);
            if round % 3 == 2 {
                // Before it has healed.
                hub = play.restart(hub, "KILL", |folder| {
                    disk.works();
                    Hub::launch(folder, play.config, disk.command())
                });
            }
            disk.works();
        }
        play.go_on();
        hub
    });
    assert!(stage.refusals.into_inner() > FAULTS.len(), "the disk was hardly missed: {summary:?}");
}
