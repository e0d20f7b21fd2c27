//! The soak: everything comes and goes, over and over, and then all of it is gone. What the hub holds must be what it
//! held before.
//!
//! Each cycle has, at the same time: connections of every kind that end with a word, without one or with a reset;
//! subscriptions, shared ones among them, that are made and ended; retained messages that are set and cleared;
//! sessions that fill up with messages while their clients are away; and readers that do not read. Then every session
//! ends or expires, every retained message is cleared, and the hub comes to rest.

use crate::mqtt::{self, Connect, Message, Will};
use crate::{CONFIG, Hub, connect, wait_until, websocket};
use std::collections::HashSet;
use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use trefoil_model::Random;

/// Messages wait in a store; slow readers lose what their outboxes do not hold; sessions do not last.
const MORE: &str = r#"
[store]
path = "store"
durability = "sync"

[limits]
outbox_bytes_max = "1 MiB"
session_queue_bytes_max = "1 MiB"
session_expiry_s_max = 2
"#;

/// What is done in a cycle. It is counted and not timed, and what there is at one time is bounded, so that all cycles
/// come to the same height, however fast the machine is at the moment.
const CONNECTIONS: usize = 6000;
const SUBSCRIPTIONS: usize = 8000;
const RETAINED: usize = 6000;
const ROUNDS_OF_SLOW_READERS: usize = 60;
const ROUNDS_OF_THE_ABSENT: usize = 60;

/// Client ids of those that come and go, subscriptions of one client, and topics that are retained, at one time.
const NAMES: usize = 300;
const FILTERS: usize = 600;
const TOPICS: usize = 2000;

/// How much memory may stay beyond the level after the first cycle. An allocator does not give everything back, and how
/// much it keeps hangs on how far the threads were apart at the height of a cycle: in ten minutes, eighty cycles, the
/// level rose by 2.3 MiB, half of it within the first twenty. What is left of each connection, session or message by
/// a leak adds up with every cycle: 4 MiB are some 330 bytes of each connection of one cycle, and 4 of eighty.
pub const MEMORY_BYTES_MAX: u64 = 4 << 20;

/// What the hub holds at rest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Level {
    /// Memory of the process.
    pub resident_bytes: u64,
    /// The same, with its part only of what is shared with other processes.
    pub proportional_bytes: u64,
    /// Open files and sockets.
    pub descriptors: u64,
    /// Everything that is counted and must come back to its start: name on `/metrics` and figure.
    pub figures: Vec<(&'static str, u64)>,
}

/// What must come back to its start.
const FIGURES: [&str; 9] = [
    "trefoil_sessions",
    "trefoil_sessions_connected",
    "trefoil_subscriptions",
    "trefoil_shared_subscriptions",
    "trefoil_retained_messages",
    "trefoil_retained_bytes",
    "trefoil_deliveries_queued",
    "trefoil_deliveries_queued_bytes",
    "trefoil_deliveries_in_flight",
];

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident_bytes, proportional_bytes, descriptors, figures } = self;
        let figures: Vec<String> = figures.iter().map(|(_, figure)| figure.to_string()).collect();
        let (resident, proportional) = (resident_bytes / 1024, proportional_bytes / 1024);
        write!(
            f,
            "{resident} KiB resident, {proportional} KiB proportional, {descriptors} descriptors, counts {}",
            figures.join(" ")
        )
    }
}

/// A hub under the soak.
pub struct Soak {
    hub: Hub,
    random: Random,
    cycles: u64,
    start: Level,
    first: Option<Level>,
}

/// What a cycle did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Done {
    /// Connections made.
    pub connections: u64,
    /// Of them, those that were reset.
    pub resets: u64,
    /// Subscriptions made.
    pub subscriptions: u64,
    /// Retained messages set.
    pub retained: u64,
    /// Messages published to slow readers and to sessions that are away.
    pub published: u64,
    /// The most memory that the hub was seen with.
    pub peak_bytes: u64,
}

impl Soak {
    /// Starts the hub. All lots are drawn from the seed.
    pub fn start(seed: u64) -> Self {
        let hub = Hub::with_config(&format!("{CONFIG}{MORE}"));
        let start = level(&hub);
        Self { hub, random: Random::new(seed), cycles: 0, start, first: None }
    }

    /// What the hub held before anybody came.
    pub fn level_at_start(&self) -> &Level {
        &self.start
    }

    /// One cycle.
    pub fn cycle(&mut self) -> (Done, Level) {
        self.cycles += 1;
        let seeds = [(); 7].map(|()| self.random.bits());
        let (hub, cycle) = (&self.hub, self.cycles);
        let port = hub.tcp_port();
        let mut done = std::thread::scope(|scope| {
            let parts = [
                scope.spawn(move || connections(port, cycle, seeds[0])),
                scope.spawn(move || connections(port, cycle, seeds[1])),
                scope.spawn(move || subscriptions(port, 5, seeds[2])),
                scope.spawn(move || subscriptions(port, 4, seeds[3])),
                scope.spawn(move || retained(port, seeds[4])),
                scope.spawn(move || slow_readers(port, seeds[5])),
                scope.spawn(move || absent(port, seeds[6])),
            ];
            let mut peak_bytes = 0;
            while !parts.iter().all(ScopedJoinHandle::is_finished) {
                peak_bytes = peak_bytes.max(hub.resident_bytes());
                std::thread::sleep(Duration::from_millis(20));
            }
            let parts = parts.map(|part| part.join().expect("a part of the soak fails with a message"));
            parts.into_iter().fold(Done { peak_bytes, ..Done::default() }, |sum, part| Done {
                connections: sum.connections + part.connections,
                resets: sum.resets + part.resets,
                subscriptions: sum.subscriptions + part.subscriptions,
                retained: sum.retained + part.retained,
                published: sum.published + part.published,
                ..sum
            })
        });
        let level = level(hub);
        done.peak_bytes = done.peak_bytes.max(level.resident_bytes);
        self.first.get_or_insert_with(|| level.clone());
        (done, level)
    }

    /// Whether a level is what it was before: counts and descriptors as at the start, memory as after the first cycle,
    /// in which the hub's threads have got the memory that they need at their height.
    ///
    /// # Errors
    /// What is not.
    pub fn check(&self, level: &Level) -> Result<(), String> {
        self.check_counts(level)?;
        let first = self.first.as_ref().unwrap_or(&self.start);
        for (what, before, now) in [
            ("resident", first.resident_bytes, level.resident_bytes),
            ("proportional", first.proportional_bytes, level.proportional_bytes),
        ] {
            if now > before + MEMORY_BYTES_MAX {
                return Err(format!("{what} memory: {before} bytes after the first cycle, {now} now"));
            }
        }
        Ok(())
    }

    /// Whether counts and descriptors are as at the start.
    ///
    /// # Errors
    /// What is not.
    pub fn check_counts(&self, level: &Level) -> Result<(), String> {
        if level.figures != self.start.figures {
            return Err(format!("counts: {:?} at the start, {:?} now", self.start.figures, level.figures));
        }
        if level.descriptors != self.start.descriptors {
            let (before, now) = (self.start.descriptors, level.descriptors);
            return Err(format!("descriptors: {before} at the start, {now} now"));
        }
        Ok(())
    }

    /// Measures memory from this level on.
    pub fn measure_from(&mut self, level: Level) {
        self.first = Some(level);
    }
}

/// What the hub holds once it has come to rest, with nobody there.
fn level(hub: &Hub) -> Level {
    // The last session may expire when nothing else has changed for a while. And who has closed a JSON connection may
    // only have ended its own half of it and wait for what it is subscribed to: that it is gone shows with the next
    // message.
    wait_until("every session has ended", || {
        let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "the-last");
        publisher.publish("soak/1", b"is anybody there?");
        publisher.leave();
        hub.stat("sessions") == 0
    });
    let at_rest = hub.at_rest();
    let figures = FIGURES.map(|name| (name, hub.metric(&format!("{name} "))));
    Level {
        resident_bytes: hub.resident_bytes(),
        proportional_bytes: hub.proportional_bytes(),
        descriptors: at_rest.descriptors,
        figures: figures.to_vec(),
    }
}

/// Ends a connection with a word, without one, or with a reset; says whether it was the last.
fn leave(mut stream: TcpStream, goodbye: &[u8], random: &mut Random) -> bool {
    match random.below(3) {
        0 => {
            // The hub may have closed it already.
            let _ = stream.write_all(goodbye);
            false
        }
        1 => false,
        _ => {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket can linger");
            true
        }
    }
}

/// Connections of every kind.
fn connections(port: u16, cycle: u64, seed: u64) -> Done {
    let (mut random, mut done) = (Random::new(seed), Done::default());
    for _ in 0..CONNECTIONS {
        done.connections += 1;
        let mut stream = connect(port);
        let kind = random.below(5);
        let (bytes, goodbye) = match kind {
            0..=2 => {
                let version = 4 + random.below(2) as u8;
                let name = format!("soak-{cycle}-{seed:x}-{}", random.below(NAMES));
                let mut hello = Connect::new(version, &name);
                if random.chance(50) {
                    hello = hello.will(Will::new("soak/wills", &name).qos(1));
                }
                if version == 5 && random.chance(50) {
                    hello = hello.session_expiry_s(random.below(3) as u32);
                }
                let mut bytes = hello.packet();
                let topic = format!("soak/{}", random.below(50));
                bytes.extend(mqtt::subscribe_packet(version, &topic, random.below(3) as u8));
                bytes.extend(Message::new(&topic, vec![b'x'; random.below(2000)]).packet(version));
                done.subscriptions += 1;
                (bytes, vec![0xE0, 0])
            }
            3 => {
                let mut bytes = websocket::handshake("/ws", "");
                bytes.extend(websocket::frame(0x81, br#"{"sub":"soak/1","qos":1}"#));
                done.subscriptions += 1;
                (bytes, websocket::frame(0x88, &[]))
            }
            _ => (
                b"{\"sub\":\"soak/+\",\"qos\":1}\n{\"pub\":\"soak/2\",\"data\":1,\"qos\":1,\"id\":1}\n"
                    .to_vec(),
                Vec::new(),
            ),
        };
        if stream.write_all(&bytes).is_ok() {
            // Some go before anything was answered.
            if random.chance(70) {
                let _ = stream.read(&mut [0; 4096]);
            }
            done.resets += u64::from(leave(stream, &goodbye, &mut random));
        }
    }
    done
}

/// Subscriptions of one client: hundreds at a time, shared ones among them.
fn subscriptions(port: u16, version: u8, seed: u64) -> Done {
    let (mut random, mut done) = (Random::new(seed), Done::default());
    let mut client = mqtt::Connection::new(port, version, &format!("subscriptions-{version}"));
    let mut held: HashSet<String> = HashSet::new();
    for _ in 0..SUBSCRIPTIONS {
        let number = random.below(FILTERS);
        let filter = match number % 3 {
            0 => format!("$share/group/c/{number}/#"),
            1 => format!("c/+/{number}"),
            _ => format!("c/{number}/a/b/c/d"),
        };
        if held.remove(&filter) {
            client.send(&mqtt::unsubscribe_with(version, 2, &[], &[&filter]));
        } else {
            client.send(&mqtt::subscribe_with(version, 2, &[], &[(&filter, 1)]));
            held.insert(filter);
            done.subscriptions += 1;
        }
        let answer = client.receive();
        assert!(matches!(answer.first_byte, 0x90 | 0xB0), "SUBACK or UNSUBACK: {answer:?}");
    }
    leave(client.stream, &[0xE0, 0], &mut random);
    done
}

/// Retained messages that are set, overwritten and cleared; in the end all of them.
fn retained(port: u16, seed: u64) -> Done {
    let (mut random, mut done) = (Random::new(seed), Done::default());
    let mut client = mqtt::Connection::new(port, 5, "retained");
    let mut put = |topic: usize, bytes: usize| {
        let message = Message::new(format!("soak-retained/{topic}"), vec![b'r'; bytes]);
        client.publish_and_wait(&message.qos(1, 1).retain());
    };
    let mut held = HashSet::new();
    for _ in 0..RETAINED {
        let (topic, bytes) = (random.below(TOPICS), random.between(1, 3000));
        if random.chance(30) {
            put(topic, 0);
            held.remove(&topic);
        } else {
            put(topic, bytes);
            held.insert(topic);
            done.retained += 1;
        }
    }
    held.into_iter().for_each(|topic| put(topic, 0));
    done
}

/// Readers that do not read what somebody goes on publishing, until they are gone.
fn slow_readers(port: u16, seed: u64) -> Done {
    let (mut random, mut done) = (Random::new(seed), Done::default());
    let mut publisher = mqtt::Connection::new(port, 4, "publisher-to-slow-readers");
    for _ in 0..ROUNDS_OF_SLOW_READERS {
        let readers: Vec<mqtt::Connection> = (0..4)
            .map(|number| {
                let mut reader = mqtt::Connection::new(port, 5, &format!("slow-{number}"));
                reader.subscribe("slow", random.below(2) as u8);
                reader
            })
            .collect();
        done.connections += 4;
        for _ in 0..random.between(1, 20) {
            publisher.send(&Message::new("slow", vec![b's'; 20_000]).packet(4).repeat(20));
            publisher.ping();
            done.published += 20;
        }
        readers
            .into_iter()
            .for_each(|reader| done.resets += u64::from(leave(reader.stream, &[], &mut random)));
    }
    done
}

/// Sessions that fill up while their clients are away. Some are ended by their clients, others expire.
fn absent(port: u16, seed: u64) -> Done {
    let (mut random, mut done) = (Random::new(seed), Done::default());
    let mut publisher = mqtt::Connection::new(port, 5, "publisher-to-absent");
    for _ in 0..ROUNDS_OF_THE_ABSENT {
        let hello = |number: usize| Connect::new(5, format!("absent-{number}")).session_expiry_s(2);
        for number in 0..5 {
            let (mut client, _) = mqtt::Connection::with(port, &hello(number));
            client.subscribe("absent/#", 1 + random.below(2) as u8);
            leave(client.stream, &[0xE0, 0], &mut random);
        }
        for _ in 0..50 {
            let payload = vec![b'a'; random.below(4000)];
            publisher.publish_and_wait(&Message::new("absent/1", payload).qos(1 + random.below(2) as u8, 1));
            done.published += 1;
        }
        // Comes for what has waited, and goes without a word in the middle of it.
        let (mut client, _) = mqtt::Connection::with(port, &hello(0).resume());
        let _ = client.try_receive();
        leave(client.stream, &[], &mut random);
        // Ends its session.
        let (client, _) = mqtt::Connection::with(port, &Connect::new(5, "absent-1"));
        leave(client.stream, &[0xE0, 0], &mut random);
        done.connections += 7;
    }
    done
}
