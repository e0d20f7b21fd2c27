//! Lives of a writer with two sources that keep their side of every bargain, on a disk that fails now and then; with a
//! power cut after every call. The threads take turns as they like, so a seed does not repeat a life exactly.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use fastrand::Rng;
use trefoil_store::{Batch, State, Writer};

use crate::disk::{Faults, SimDisk};
use crate::writer::{Event, start};
use crate::{DEADLINE, open};

const SOURCES: usize = 2;

/// What a source knows of itself: how many batches it has made.
type Reached = [u64; SOURCES];

/// A record: one more batch, or the whole state.
fn record(whole: bool, source: usize, number: u64) -> Vec<u8> {
    [&[u8::from(whole), source as u8][..], &number.to_le_bytes()].concat()
}

/// What comes back from a log: it must be without holes, except before a source's whole state.
fn replay(disk: &SimDisk) -> Reached {
    let mut reached = [Some(0); SOURCES];
    for payload in open(disk).1.payloads {
        let number = u64::from_le_bytes(payload[2..10].try_into().unwrap());
        let reached = &mut reached[payload[1] as usize];
        *reached = (payload[0] == 1 || *reached == Some(number - 1)).then_some(number);
    }
    reached.map(|reached| reached.expect("a source is not whole"))
}

struct Hub {
    disk: SimDisk,
    writer: Writer,
    told: Receiver<Event>,
    submitted: Reached,
    durable: Reached,
    /// What was called durable, and after which call.
    promises: Vec<(usize, usize, u64)>,
    checkpoint: Option<u64>,
    healings: usize,
}

impl Hub {
    fn submit(&mut self, source: usize, whole: bool, sync: bool) {
        self.submitted[source] += 1;
        let number = self.submitted[source];
        self.writer.submit(Batch { source, number, records: vec![record(whole, source, number)], sync });
    }

    fn checkpoint(&mut self, rng: &mut Rng) {
        let ticket = self.writer.checkpoint_begin(None);
        for source in 0..SOURCES {
            for _ in 0..rng.u8(..3) {
                self.submit(rng.usize(..SOURCES), false, rng.bool());
            }
            self.submit(source, true, rng.bool());
        }
        self.writer.checkpoint_end(ticket);
        self.checkpoint = Some(ticket);
    }

    fn hear(&mut self, event: Event, rng: &mut Rng) {
        match event {
            Event::Durable { source, number, calls } => {
                assert!(number > self.durable[source] && number <= self.submitted[source]);
                self.durable[source] = number;
                self.promises.push((calls, source, number));
            }
            Event::State(State::Healed) => {
                self.healings += 1;
                self.checkpoint(rng);
            }
            Event::State(_) => {}
            Event::Checkpoint { ticket, complete } => {
                assert!(complete || self.checkpoint.is_some());
                self.checkpoint = self.checkpoint.filter(|last| *last != ticket);
            }
        }
    }

    fn step(&mut self, rng: &mut Rng) {
        match rng.u8(..20) {
            0..12 => {
                for _ in 0..rng.u8(1..5) {
                    self.submit(rng.usize(..SOURCES), false, rng.u8(..4) == 0);
                }
            }
            12..14 if self.checkpoint.is_none() => self.checkpoint(rng),
            14 => {
                let faults = Faults { write: rng.u32(..10), sync: rng.u32(..10), other: rng.u32(..10) };
                self.disk.state().faults = faults;
            }
            15 => self.disk.state().room_bytes = rng.u64(..2_000),
            16 => {
                self.disk.state().faults = Faults::default();
                self.disk.state().room_bytes = u64::MAX;
            }
            17 => self.writer.heal(),
            _ => {
                if let Ok(event) = self.told.recv_timeout(Duration::from_millis(2)) {
                    self.hear(event, rng);
                }
            }
        }
        while let Ok(event) = self.told.try_recv() {
            self.hear(event, rng);
        }
    }

    /// The disk works again, and everything becomes durable.
    fn settle(&mut self, rng: &mut Rng) {
        self.disk.state().faults = Faults::default();
        self.disk.state().room_bytes = u64::MAX;
        (0..SOURCES).for_each(|source| self.submit(source, false, true));
        while self.durable != self.submitted {
            let event = self.told.recv_timeout(DEADLINE).expect("everything becomes durable");
            self.hear(event, rng);
        }
        self.writer.stop();
    }
}

fn live(left: &BTreeMap<String, Vec<u8>>, began_with: Reached, rng: &mut Rng) -> (Hub, usize) {
    let disk = SimDisk::new(left, rng.u64(..));
    disk.state().short_writes = rng.bool();
    let (writer, told) = start(&disk, Duration::from_millis(1), Duration::from_millis(1));
    let (submitted, durable) = (began_with, began_with);
    let mut hub =
        Hub { disk, writer, told, submitted, durable, promises: vec![], checkpoint: None, healings: 0 };
    for _ in 0..rng.u8(1..40) {
        hub.step(rng);
    }
    hub.settle(rng);
    let mut platter = SimDisk::platter(left);
    let calls = hub.disk.state().calls.clone();
    for (call, done) in calls.iter().zip(1..) {
        platter.apply(call, rng);
        let cut = SimDisk::new(&platter.cut(rng), 0);
        let reached = replay(&cut);
        let mut promised = began_with;
        for (_, source, number) in hub.promises.iter().filter(|(calls, ..)| *calls <= done) {
            promised[*source] = *number;
        }
        let kept =
            (0..SOURCES).all(|source| (promised[source]..=hub.submitted[source]).contains(&reached[source]));
        assert!(kept, "after {done} calls {reached:?} were found of {promised:?}");
    }
    let healings = hub.healings;
    (hub, healings)
}

#[test]
fn no_power_cut_loses_what_a_writer_called_durable() {
    let seed = std::env::var("TREFOIL_POWER_SEED").map_or_else(|_| 0, |seed| seed.parse().expect("a number"));
    let mut rng = Rng::with_seed(seed);
    let mut healings = 0;
    for life in 0..LIVES {
        let (first, healed) = live(&BTreeMap::new(), [0; SOURCES], &mut rng);
        healings += healed;
        let left = first.disk.seen();
        let reached = replay(&SimDisk::new(&left, 0));
        assert_eq!(reached, first.submitted, "life {life}");
        healings += live(&left, reached, &mut rng).1;
    }
    assert!(healings > 0, "the disk has never failed");
}

/// As many as take some seconds.
const LIVES: usize = 100;
