//! Power cuts: whatever a disk may make of what was not synced, at any moment, everything that was called durable is
//! found again, and nothing that was never appended.
#![allow(clippy::unwrap_used)]

mod disk;
mod history;
mod lives;
mod model;
mod platter;
mod writer;

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use trefoil_store::{Log, Options};

use crate::disk::SimDisk;
use crate::history::History;
use crate::model::{Candidate, Found};

/// How long anything may take that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Small enough that a short history goes through all there is.
pub(crate) fn options() -> Options {
    Options { segment_bytes_max: 260, record_bytes_max: 100, reserve_bytes: 64, zeros_bytes: 48 }
}

/// Opens the log and reads what counts.
pub(crate) fn open(disk: &SimDisk) -> (Log<SimDisk>, Found) {
    let (mut first, mut payloads) = (None, Vec::new());
    let opened = Log::open_in_with(disk.clone(), options(), |sequence, payload| {
        assert_eq!(sequence, *first.get_or_insert(sequence) + payloads.len() as u64);
        payloads.push(payload.to_vec());
        Ok(())
    });
    let (log, recovery) = opened.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(recovery.records, payloads.len() as u64);
    let first = first.unwrap_or(log.next_sequence());
    (log, Found { first, payloads })
}

/// Whether what a power cut has left is one of these.
fn check(left: &BTreeMap<String, Vec<u8>>, candidates: &[&[Candidate]], rng: &mut Rng) {
    let disk = SimDisk::new(left, rng.u64(..));
    let (mut log, found) = open(&disk);
    let matches = candidates.iter().any(|some| some.iter().any(|candidate| candidate.matches(&found)));
    assert!(matches, "found {found:?}\nof {candidates:?}\nin {:?}", left.keys());
    if rng.u8(..8) == 0 {
        let next = log.append(b"new").unwrap();
        assert_eq!(next, found.first + found.payloads.len() as u64);
        log.sync().unwrap();
        drop(log);
        let again = open(&SimDisk::new(&disk.seen(), 0)).1;
        assert_eq!(again.first, found.first);
        assert_eq!(again.payloads.last().unwrap(), b"new");
        assert_eq!(again.payloads.len(), found.payloads.len() + 1);
    }
}

/// Tries a power cut after every call of a history.
fn cut_everywhere(history: &History, rng: &mut Rng) -> usize {
    let mut platter = SimDisk::platter(&history.began_with);
    let mut cuts = 0;
    let mut at = 0;
    for step in &history.steps {
        for (call, done) in step.calls.clone().zip(1..) {
            platter.apply(&history.calls[call], rng);
            let inside = done < step.calls.len();
            let candidates: &[&[Candidate]] =
                if inside { &[&step.before, &step.after] } else { &[&step.after] };
            check(&platter.cut(rng), candidates, rng);
            cuts += 1;
        }
        at = step.calls.end;
    }
    assert_eq!(at, history.calls.len());
    cuts
}

fn run(seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let mut left = BTreeMap::new();
    let mut found = None;
    let mut cuts = 0;
    for _ in 0..rng.u8(1..4) {
        let history = History::run(&left, found, &mut rng);
        cuts += cut_everywhere(&history, &mut rng);
        // The next life begins with what this one has left.
        let mut platter = SimDisk::platter(&left);
        history.calls.iter().for_each(|call| platter.apply(call, &mut rng));
        left = platter.cut(&mut rng);
        found = Some(history.end);
    }
    cuts
}

#[test]
fn no_power_cut_loses_what_was_durable() {
    let given = std::env::var("TREFOIL_POWER_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = given.map_or(0..HISTORIES, |seed: u64| seed..seed + 1);
    let mut cuts = 0;
    for seed in seeds.clone() {
        let result = std::panic::catch_unwind(|| run(seed));
        cuts += result.unwrap_or_else(|_| panic!("repeat this with TREFOIL_POWER_SEED={seed}"));
    }
    assert!(cuts as u64 > seeds.end - seeds.start, "the power was cut {cuts} times");
}

/// As many as take some seconds without optimisation.
const HISTORIES: u64 = 3_000;
