//! The writer on a disk that is slow, full or failing: what it tells, and in which order.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use trefoil_store::{Batch, State, Watch, Writer, WriterOptions};

use crate::disk::{Faults, SimDisk};
use crate::{DEADLINE, open};

/// What a writer has told, and how many calls to the disk there were by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Durable { source: usize, number: u64, calls: usize },
    State(State),
    Checkpoint { ticket: u64, complete: bool },
}

pub(crate) struct Told {
    pub(crate) disk: SimDisk,
    pub(crate) events: Sender<Event>,
    /// Where segments begin, and how many bytes were appended before.
    pub(crate) segments: Sender<(u64, u64)>,
}

impl Watch for Told {
    fn durable(&self, source: usize, number: u64) {
        let _ = self.events.send(Event::Durable { source, number, calls: self.disk.calls() });
    }

    fn state(&self, state: State) {
        let _ = self.events.send(Event::State(state));
    }

    fn segment(&self, first: u64, bytes: u64) {
        let _ = self.segments.send((first, bytes));
    }

    fn checkpoint(&self, ticket: u64, complete: bool) {
        let _ = self.events.send(Event::Checkpoint { ticket, complete });
    }
}

pub(crate) fn start(disk: &SimDisk, interval: Duration, retry: Duration) -> (Writer, Receiver<Event>) {
    let (writer, told, _) = start_with_segments(disk, interval, retry);
    (writer, told)
}

fn start_with_segments(
    disk: &SimDisk,
    interval: Duration,
    retry: Duration,
) -> (Writer, Receiver<Event>, Receiver<(u64, u64)>) {
    let ((events, told), (segments, begun)) = (channel(), channel());
    let watch = Told { disk: disk.clone(), events, segments };
    let writer = Writer::start(open(disk).0, WriterOptions { interval, retry }, watch).unwrap();
    (writer, told, begun)
}

const NEVER: Duration = Duration::MAX;

fn batch(source: usize, number: u64, sync: bool) -> Batch {
    Batch { source, number, records: vec![format!("{source} {number}").into_bytes()], sync }
}

fn next(told: &Receiver<Event>) -> Event {
    told.recv_timeout(DEADLINE).unwrap()
}

fn expect_durable(told: &Receiver<Event>, expected: &[(usize, u64)]) {
    for expected in expected {
        match next(told) {
            Event::Durable { source, number, .. } => assert_eq!((source, number), *expected),
            other => panic!("{other:?} instead of {expected:?}"),
        }
    }
}

fn is_failed(event: &Event, with: &str) -> bool {
    matches!(event, Event::State(State::Failed { why }) if why.contains(with))
}

fn found(disk: &SimDisk) -> Vec<String> {
    let left = SimDisk::new(&disk.seen(), 0);
    open(&left).1.payloads.into_iter().map(|payload| String::from_utf8(payload).unwrap()).collect()
}

fn empty_disk() -> SimDisk {
    SimDisk::new(&BTreeMap::new(), 0)
}

#[test]
fn what_comes_while_the_disk_is_slow_shares_one_sync() {
    let disk = empty_disk();
    let (writer, told) = start(&disk, NEVER, NEVER);
    disk.hold_syncs();
    writer.submit(batch(0, 1, true));
    disk.wait_for_held_sync();
    for number in 2..=5 {
        writer.submit(batch(0, number, number == 3));
        writer.submit(batch(7, number, false));
    }
    // Submitting has waited for nothing, and what waits can be seen.
    assert_eq!(writer.waiting_bytes(), 9 * 3);
    disk.release_syncs();
    expect_durable(&told, &[(0, 1), (0, 5), (7, 5)]);
    writer.stop();
    let figures = writer.figures();
    assert_eq!((figures.syncs, figures.batches, figures.records), (2, 9, 9));
    assert_eq!((figures.waiting_bytes, figures.failures, figures.state), (0, 0, State::Working));
    assert_eq!(figures.appended_bytes, 9 * (20 + 3));
    assert_eq!(figures.sync_times.iter().sum::<u64>(), 2);
    assert_eq!(found(&disk).len(), 9);
}

#[test]
fn what_nobody_waits_for_is_synced_after_the_interval_or_at_the_end() {
    let disk = empty_disk();
    let (writer, told) = start(&disk, Duration::from_millis(1), NEVER);
    writer.submit(batch(0, 1, false));
    expect_durable(&told, &[(0, 1)]);
    drop(writer);
    let (writer, told) = start(&disk, NEVER, NEVER);
    writer.submit(batch(0, 2, false));
    writer.submit(batch(0, 3, false));
    writer.stop();
    expect_durable(&told, &[(0, 3)]);
    writer.submit(batch(0, 4, true));
    drop(writer);
    assert!(told.recv().is_err(), "what is submitted after the end is thrown away");
    assert_eq!(found(&disk), ["0 1", "0 2", "0 3"]);
}

#[test]
fn a_checkpoint_drops_what_was_before_it() {
    let disk = empty_disk();
    let (writer, told) = start(&disk, NEVER, NEVER);
    for number in 1..=50 {
        writer.submit(batch(0, number, false));
    }
    let ticket = writer.checkpoint_begin(None);
    writer.submit(batch(0, 51, false));
    writer.checkpoint_end(ticket);
    writer.submit(batch(0, 52, true));
    expect_durable(&told, &[(0, 51)]);
    assert_eq!(next(&told), Event::Checkpoint { ticket, complete: true });
    expect_durable(&told, &[(0, 52)]);
    assert_eq!(found(&disk), ["0 51", "0 52"]);
    writer.checkpoint_end(ticket);
    assert_eq!(next(&told), Event::Checkpoint { ticket, complete: false });
    // One that holds nothing is refused, and costs nothing.
    let empty = writer.checkpoint_begin(None);
    writer.checkpoint_end(empty);
    assert_eq!(next(&told), Event::Checkpoint { ticket: empty, complete: false });
    writer.stop();
    let figures = writer.figures();
    assert_eq!((figures.checkpoints, figures.state), (1, State::Working));
    assert_eq!(found(&disk), ["0 51", "0 52"]);
}

#[test]
fn a_checkpoint_may_keep_what_stands_behind_the_beginning_of_a_segment() {
    let disk = empty_disk();
    let (writer, told, begun) = start_with_segments(&disk, NEVER, NEVER);
    for number in 1..=50 {
        writer.submit(batch(0, number, true));
        expect_durable(&told, &[(0, number)]);
    }
    let segments = [begun.recv_timeout(DEADLINE).unwrap(), begun.recv_timeout(DEADLINE).unwrap()];
    let [(second, before_second), (first, before)] = segments;
    let a_record = before_second / (second - 1);
    assert!(a_record * (second - 1) <= 260, "{segments:?}");
    assert!(before > before_second && first > second, "{segments:?}");
    let ticket = writer.checkpoint_begin(Some(first));
    writer.submit(batch(0, 51, false));
    writer.checkpoint_end(ticket);
    expect_durable(&told, &[(0, 51)]);
    assert_eq!(next(&told), Event::Checkpoint { ticket, complete: true });
    writer.stop();
    let expected: Vec<String> = (first..=51).map(|number| format!("0 {number}")).collect();
    assert_eq!(found(&disk), expected);
}

/// An error of one kind, from which the writer comes back by a checkpoint.
fn fails_and_heals(faults: Faults, with: &str) {
    let disk = empty_disk();
    let (writer, told) = start(&disk, NEVER, Duration::from_millis(1));
    writer.submit(batch(0, 1, true));
    expect_durable(&told, &[(0, 1)]);
    let before = writer.checkpoint_begin(None);
    disk.state().faults = faults;
    writer.submit(batch(0, 2, true));
    writer.submit(batch(1, 1, false));
    let failed = next(&told);
    assert!(is_failed(&failed, with), "{failed:?}");
    writer.submit(batch(0, 3, true));
    writer.checkpoint_end(before);
    assert_eq!(next(&told), Event::Checkpoint { ticket: before, complete: false });
    disk.state().faults = Faults::default();
    assert_eq!(next(&told), Event::State(State::Healed));
    // This came before the checkpoint, which makes up for it.
    writer.submit(batch(0, 4, true));
    let ticket = writer.checkpoint_begin(None);
    writer.submit(Batch { records: vec![b"all of 0".to_vec()], ..batch(0, 5, true) });
    writer.submit(batch(1, 2, true));
    // As long as the checkpoint is not complete, a crash leaves what was durable before.
    writer.submit(Batch { records: vec![b"all of 1".to_vec()], ..batch(1, 3, true) });
    let figures = loop {
        let figures = writer.figures();
        if figures.batches >= 4 && figures.waiting_bytes == 0 {
            break figures;
        }
        std::thread::yield_now();
    };
    assert_eq!(figures.state, State::Healed);
    assert!(figures.failures > 0 && figures.discarded_batches >= 2, "{figures:?}");
    assert_eq!(found(&disk), ["0 1"]);
    writer.checkpoint_end(ticket);
    assert_eq!(next(&told), Event::Checkpoint { ticket, complete: true });
    assert_eq!(next(&told), Event::State(State::Working));
    expect_durable(&told, &[(0, 5), (1, 3)]);
    assert_eq!(found(&disk), ["all of 0", "1 2", "all of 1"]);
    writer.submit(batch(0, 6, true));
    expect_durable(&told, &[(0, 6)]);
}

#[test]
fn a_write_that_fails_is_healed() {
    fails_and_heals(Faults { write: 1, ..Faults::default() }, "cannot write to");
}

#[test]
fn a_sync_that_fails_is_healed() {
    fails_and_heals(Faults { sync: 1, ..Faults::default() }, "cannot sync");
}

#[test]
fn a_disk_that_fails_at_everything_is_healed() {
    fails_and_heals(Faults { write: 1, sync: 1, other: 1 }, "input/output error");
}

#[test]
fn room_that_cannot_be_reserved_is_a_failure_unless_the_disk_is_full() {
    let disk = empty_disk();
    let (writer, told) = start(&disk, NEVER, Duration::from_millis(1));
    disk.state().faults.other = 1;
    for number in 1..=20 {
        writer.submit(batch(0, number, false));
    }
    let failed = next(&told);
    assert!(is_failed(&failed, "cannot reserve room in"), "{failed:?}");
    disk.state().faults.other = 0;
    assert_eq!(next(&told), Event::State(State::Healed));
}

#[test]
fn a_full_disk_is_told_while_what_was_accepted_still_fits() {
    let disk = empty_disk();
    let (writer, told) = start(&disk, NEVER, Duration::from_millis(1));
    writer.submit(batch(0, 1, true));
    expect_durable(&told, &[(0, 1)]);
    disk.state().room_bytes = 0;
    let (mut number, mut full) = (1, false);
    // The reserve is 64 bytes and a record 20: when the state is told, one or two of them have been taken out of it.
    let small = |number| Batch { records: vec![vec![]], ..batch(0, number, true) };
    while !full {
        number += 1;
        writer.submit(small(number));
        loop {
            match next(&told) {
                Event::State(State::Full) => full = true,
                Event::Durable { number: durable, .. } if durable == number => break,
                other => panic!("{other:?}"),
            }
        }
    }
    number += 1;
    writer.submit(small(number));
    expect_durable(&told, &[(0, number)]);
    disk.state().room_bytes = 10_000;
    assert_eq!(next(&told), Event::State(State::Working));
    assert_eq!(found(&disk).len() as u64, number);
}

#[test]
fn a_reserve_that_runs_out_is_a_failure_that_ends_when_there_is_room() {
    let disk = empty_disk();
    let (writer, told) = start(&disk, NEVER, Duration::from_millis(1));
    disk.state().room_bytes = 0;
    for number in 1..=30 {
        writer.submit(batch(0, number, false));
    }
    let failed = next(&told);
    let failed = if failed == Event::State(State::Full) { next(&told) } else { failed };
    assert!(is_failed(&failed, "the disk is full"), "{failed:?}");
    // Healing gives back what the records had taken that did not become durable, so it may be healed already.
    disk.state().room_bytes = 10_000;
    assert_eq!(next(&told), Event::State(State::Healed));
    let ticket = writer.checkpoint_begin(None);
    writer.submit(Batch { records: vec![b"all".to_vec()], ..batch(0, 31, true) });
    writer.checkpoint_end(ticket);
    assert_eq!(next(&told), Event::Checkpoint { ticket, complete: true });
    assert_eq!(next(&told), Event::State(State::Working));
    expect_durable(&told, &[(0, 31)]);
    assert_eq!(found(&disk), ["all"]);
}

#[test]
fn a_record_that_is_too_large_is_not_left_out_silently() {
    let disk = empty_disk();
    let (writer, told) = start(&disk, NEVER, NEVER);
    writer.submit(Batch { records: vec![vec![0; 101]], ..batch(0, 1, true) });
    let failed = next(&told);
    assert!(is_failed(&failed, "a record has 101 bytes"), "{failed:?}");
    writer.heal();
    assert_eq!(next(&told), Event::State(State::Healed));
}
