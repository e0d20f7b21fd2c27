//! A life of a log that a seed draws: what was done, what came of it, and which calls to the disk that took.

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;
use trefoil_store::{Error, Log};

use crate::disk::{Call, Faults, SimDisk};
use crate::model::{Candidate, Found, Model};
use crate::open;

/// One call to the log.
pub(crate) struct Step {
    pub(crate) calls: Range<usize>,
    /// How the log may be found while this is not done,
    pub(crate) before: Vec<Candidate>,
    /// and once it is.
    pub(crate) after: Vec<Candidate>,
}

pub(crate) struct History {
    pub(crate) began_with: BTreeMap<String, Vec<u8>>,
    pub(crate) calls: Vec<Call>,
    pub(crate) steps: Vec<Step>,
    /// How the log may be found at the end.
    pub(crate) end: Vec<Candidate>,
}

impl History {
    /// A life on what the last one has left.
    pub(crate) fn run(
        left: &BTreeMap<String, Vec<u8>>,
        known: Option<Vec<Candidate>>,
        rng: &mut Rng,
    ) -> History {
        let disk = SimDisk::new(left, rng.u64(..));
        let before =
            known.unwrap_or_else(|| Model::new(Found { first: 1, payloads: Vec::new() }).candidates());
        let mut life = Life::begin(disk, before, rng);
        for _ in 0..rng.u8(1..40) {
            life.step(rng);
        }
        let calls = life.disk.state().calls.clone();
        let end = life.model.candidates();
        History { began_with: left.clone(), calls, steps: life.steps, end }
    }
}

struct Life {
    disk: SimDisk,
    log: Option<Log<SimDisk>>,
    model: Model,
    steps: Vec<Step>,
    /// Where the checkpoint begins that is under way.
    checkpoint: Option<u64>,
    faults: Faults,
}

impl Life {
    fn begin(disk: SimDisk, before: Vec<Candidate>, rng: &mut Rng) -> Life {
        let (log, found) = open(&disk);
        assert!(before.iter().any(|candidate| candidate.matches(&found)), "{found:?} of {before:?}");
        let model = Model::new(found);
        let steps = vec![Step { calls: 0..disk.calls(), before, after: model.candidates() }];
        let mut faults = Faults::default();
        if rng.bool() {
            let one_in = rng.u32(2..30);
            faults = Faults { write: rng.u32(..one_in), sync: rng.u32(..one_in), other: rng.u32(..one_in) };
        }
        disk.state().short_writes = rng.bool();
        disk.state().room_bytes = if rng.u8(..4) == 0 { rng.u64(..1500) } else { u64::MAX };
        disk.state().faults = faults;
        Life { disk, log: Some(log), model, steps, checkpoint: None, faults }
    }

    fn step(&mut self, rng: &mut Rng) {
        let before = self.model.candidates();
        let from = self.disk.calls();
        let poisoned = self.log().poisoned().is_some();
        match rng.u8(..40) {
            _ if poisoned && rng.bool() => self.heal(),
            // What follows an error matters most here.
            0..10 if self.log().is_healing() && self.checkpoint.is_none() => {
                self.checkpoint = self.log().begin_checkpoint().ok();
            }
            0..4 if self.log().is_healing() => self.complete(rng),
            0..20 => {
                let payload = vec![rng.u8(..); rng.usize(..90)];
                match self.log().append(&payload) {
                    Ok(sequence) => {
                        assert_eq!(sequence, self.model.next());
                        self.model.appended(payload);
                    }
                    // Some of it may be there.
                    Err(Error::Io { .. }) => self.model.appended(payload),
                    Err(Error::Full { .. }) => assert!(!self.log().has_reserve()),
                    Err(error) => assert!(poisoned, "{error}"),
                }
            }
            20..27 => {
                if self.log().sync().is_ok() {
                    self.model.synced();
                }
            }
            27..30 => drop(self.log().flush()),
            30..33 => self.checkpoint = self.log().begin_checkpoint().ok(),
            33..36 => self.complete(rng),
            36 => {
                let room_bytes = rng.u64(..1500);
                self.disk.state().room_bytes = room_bytes;
                let _ = self.log().try_reserve();
            }
            37 => self.close(),
            _ => self.reopen(),
        }
        let calls = from..self.disk.calls();
        self.steps.push(Step { calls, before, after: self.model.candidates() });
    }

    fn log(&mut self) -> &mut Log<SimDisk> {
        self.log.as_mut().expect("it is open between steps")
    }

    fn heal(&mut self) {
        if self.log().heal().is_ok() {
            let from = self.log().next_sequence();
            self.model.healed(from);
            self.checkpoint = None;
        }
    }

    fn complete(&mut self, rng: &mut Rng) {
        let Some(begun) = self.checkpoint.take() else { return };
        // Some of what lies before it may be kept.
        let first = self.log().first_sequence();
        let from =
            if rng.bool() && !self.log().is_healing() { rng.u64(first.min(begun)..=begun) } else { begun };
        match self.log().complete_checkpoint(from) {
            Ok(_) => self.model.checkpoint(from, true),
            Err(Error::EmptyCheckpoint { .. }) => self.model.synced(),
            Err(Error::Poisoned { .. }) => {}
            Err(_) if self.log().poisoned().is_none() => {
                self.model.synced();
                self.model.checkpoint(from, false);
            }
            Err(_) => {}
        }
    }

    /// The process ends in order, if the disk lets it, and a new one begins.
    fn close(&mut self) {
        let synced = self.log().sync().is_ok();
        if synced {
            self.model.synced();
        }
        let closed = self.log.take().expect("it is open between steps").close();
        assert!(synced || closed.is_err(), "what cannot be synced is not closed in order");
        let healing = self.model.is_healing();
        self.open_again(healing);
    }

    /// The process is killed and a new one begins.
    fn reopen(&mut self) {
        let healing = self.log().is_healing();
        self.log = None;
        self.open_again(healing);
    }

    fn open_again(&mut self, healing: bool) {
        let durable = self.model.durable();
        self.disk.state().faults = Faults::default();
        // A segment whose header was torn has to be made anew, and there must be room for that.
        let room_bytes = self.disk.state().room_bytes.max(64);
        self.disk.state().room_bytes = room_bytes;
        let (log, found) = open(&self.disk);
        let candidates = self.model.candidates();
        assert!(candidates.iter().any(|one| one.matches(&found)), "{found:?} of {candidates:?}");
        assert!(healing || log.durable_sequence() >= durable);
        self.disk.state().faults = self.faults;
        self.model = Model::new(found);
        self.log = Some(log);
        self.checkpoint = None;
    }
}
