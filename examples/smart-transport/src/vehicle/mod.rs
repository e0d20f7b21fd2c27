//! A vehicle: it drives whether the network is there or not ([`drive`]), and talks when it is ([`talk`]).
//!
//! Between the two stands what is on board: a bounded queue of what has yet to be said, in its order, and the log with
//! which the count of the centre is compared in the end.

mod drive;
mod talk;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use trefoil_client::{Message, QoS, Version};

use crate::city::{Kind, LINES, Line};
use crate::link::Link;
use crate::messages::{Doing, Done, Position, json, topic};

pub(crate) use talk::leaves;

/// What the whole fleet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It drives.
    Service,
    /// It stands, and says what it has yet to say.
    Finish,
    /// It says goodbye.
    Leave,
}

/// How vehicles drive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timetable {
    /// How often a vehicle says where it is.
    pub(crate) period: Duration,
    /// After how many positions it stands.
    pub(crate) positions: Option<u64>,
    /// Positions that wait on board until the network is back.
    pub(crate) queue_max: usize,
}

/// One of the fleet.
#[derive(Debug)]
pub(crate) struct Vehicle {
    pub(crate) name: String,
    pub(crate) line: &'static Line,
    pub(crate) link: Link,
    /// Trams are older: they speak MQTT 3.1.1.
    pub(crate) version: Version,
    /// Where on its line it begins.
    start: usize,
    board: Mutex<Board>,
    /// Something more is to be said.
    news: Notify,
}

/// What is on board.
#[derive(Debug, Default)]
struct Board {
    log: Log,
    to_say: VecDeque<Saying>,
    orders: Vec<Doing>,
}

/// What a vehicle knows of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Positions that were numbered, and so must arrive.
    pub(crate) positions: u64,
    /// Positions that were not even numbered, since the queue was full.
    pub(crate) skipped: u64,
    /// How often each order was carried out. Nothing but QoS 2 keeps that at once.
    pub(crate) executed: BTreeMap<u64, u32>,
    /// What was put into the queue and is not acknowledged by the hub.
    pub(crate) unsettled: u64,
    pub(crate) connections: u64,
    /// The timetable is at its end.
    pub(crate) stands: bool,
}

/// One thing to say.
#[derive(Clone, Debug)]
enum Saying {
    Position(Position),
    Done(Done),
}

impl Saying {
    fn message(&self, vehicle: &str) -> Message {
        match self {
            Saying::Position(position) => {
                Message::new(topic(vehicle, "position"), json(position)).qos(QoS::AtLeastOnce)
            }
            Saying::Done(done) => Message::new(topic(vehicle, "done"), json(done)).qos(QoS::ExactlyOnce),
        }
    }
}

impl Vehicle {
    /// Sends a vehicle out. It is one of as many as there are numbers; `link` is its way to the hub.
    pub(crate) fn new(number: usize, link: Link) -> Vehicle {
        let (line, place) = (&LINES[number % LINES.len()], number / LINES.len());
        let same_kind = LINES.iter().filter(|other| other.kind == line.kind).count();
        let of_kind = LINES[..number % LINES.len()].iter().filter(|other| other.kind == line.kind).count();
        let (kind, version) = match line.kind {
            Kind::Tram => ("tram", Version::V3_1_1),
            Kind::Bus => ("bus", Version::V5),
        };
        Vehicle {
            name: format!("{kind}-{}", place * same_kind + of_kind + 1),
            line,
            link,
            version,
            start: place * 4 + number,
            board: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Drives and talks until it has left. `url` is how the hub is reached over the vehicle's link.
    pub(crate) async fn run(
        self: Arc<Self>,
        url: String,
        timetable: Timetable,
        phase: watch::Receiver<Phase>,
    ) {
        tokio::select! {
            () = self.drive(timetable, phase.clone()) => {}
            () = self.talk(&url, phase) => {}
        }
    }

    pub(crate) fn log(&self) -> Log {
        self.board().log.clone()
    }

    /// What it has to say and nobody has confirmed.
    pub(crate) fn unsettled(&self) -> u64 {
        self.board().log.unsettled
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("nothing panics while it holds the lock")
    }

    /// Puts something behind what waits.
    fn say(&self, board: &mut Board, saying: Saying) {
        board.log.unsettled += 1;
        board.to_say.push_back(saying);
        self.news.notify_one();
    }
}
