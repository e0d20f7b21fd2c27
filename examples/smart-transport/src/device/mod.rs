//! Small devices at stops, over MQTT-SN: boards that sleep ([`board`]), and counters of tickets ([`counter`]).
//!
//! Both number what they send or are sent, as vehicles do, so that it can be told in the end that nothing is missing.
//! Their links lose, double and reorder datagrams, and from time to time the hub sees them come from another address.

mod board;
mod counter;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use tokio::sync::watch;

use crate::city::{LINES, STOPS, Stop};
use crate::link::Link;
use crate::sequence::Sequence;
use crate::vehicle::Phase;

/// Stops with a device, in the order in which they get one: boards and counters by turns.
const PLACES: [&str; 8] =
    ["Clover Square", "Ferry", "Station", "Airport", "Bridge", "Stadium", "Market", "Harbour"];

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    /// Shows when the next vehicle comes. Sleeps most of the time.
    Board,
    /// Counts tickets. Is always awake.
    Counter,
}

/// How a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It has not found the gateway yet, or not again.
    Away,
    Awake,
    Asleep,
    /// It has said goodbye.
    Gone,
}

/// One of the devices.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) sort: Sort,
    pub(crate) stop: &'static Stop,
    /// The stop's name, as it stands in topics.
    pub(crate) name: String,
    pub(crate) link: Link,
    memory: Mutex<Memory>,
}

/// What a device knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) state: State,
    /// It has been there once: before that nobody keeps anything for it.
    pub(crate) in_service: bool,
    /// What a board shows.
    pub(crate) text: String,
    /// What a board has been shown.
    pub(crate) shown: Sequence,
    /// Tickets that a counter has sold, and so has to tell.
    pub(crate) sold: u64,
    /// Those of them that the hub has acknowledged.
    pub(crate) told: u64,
    /// How often it has connected.
    pub(crate) connections: u64,
    /// How often a board woke up.
    pub(crate) wakes: u64,
}

impl Device {
    /// The device with that number, at its stop; `link` is its way to the gateway.
    pub(crate) fn new(number: usize, link: Link) -> Device {
        let place = PLACES[number % PLACES.len()];
        let stop = STOPS.iter().find(|stop| stop.name == place).expect("every place is a stop");
        let memory = Memory {
            state: State::Away,
            in_service: false,
            text: String::new(),
            shown: Sequence::default(),
            sold: 0,
            told: 0,
            connections: 0,
            wakes: 0,
        };
        Device {
            sort: if number.is_multiple_of(2) { Sort::Board } else { Sort::Counter },
            stop,
            name: place.to_lowercase().replace(' ', "-"),
            link,
            memory: Mutex::new(memory),
        }
    }

    /// How many there can be.
    pub(crate) const COUNT_MAX: u16 = PLACES.len() as u16;

    /// Works until it has said goodbye.
    pub(crate) async fn run(self: Arc<Self>, phase: watch::Receiver<Phase>) {
        match self.sort {
            Sort::Board => self.show(phase).await,
            Sort::Counter => self.sell(phase).await,
        }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("nothing panics while it holds the lock")
    }

    /// Whether vehicles of that line stop here.
    pub(crate) fn is_on(&self, line: &str) -> bool {
        let line = LINES.iter().find(|other| other.name == line);
        line.is_some_and(|line| line.stops.iter().any(|stop| STOPS[*stop].name == self.stop.name))
    }

    /// What it has to say and nobody has confirmed.
    pub(crate) fn unsettled(&self) -> u64 {
        let memory = self.memory();
        memory.sold - memory.told
    }

    fn gateway(&self) -> SocketAddr {
        self.link.address
    }

    fn client_id(&self) -> String {
        format!("{}-{}", crate::messages::ROOT, self.name)
    }

    fn enter(&self, state: State) {
        let mut memory = self.memory();
        memory.state = state;
        memory.in_service |= state != State::Away;
    }
}
