//! The log on a disk that fills up, fails, writes in small pieces, and loses power.
#![allow(clippy::unwrap_used)]

mod memory;

use memory::Memory;
use proptest::prelude::*;
use trefoil_store::{Error, Log, Options};

fn options() -> Options {
    Options { segment_bytes_max: 300, record_bytes_max: 100, ..Options::default() }
}

fn open(memory: &Memory) -> Log<Memory> {
    Log::open_in(memory.clone(), options()).unwrap().0
}

fn payloads(log: &Log<Memory>) -> Vec<Vec<u8>> {
    log.read(0).map(|record| record.unwrap().payload).collect()
}

#[test]
fn short_and_interrupted_writes_are_carried_on() {
    let memory = Memory::default();
    memory.0.borrow_mut().write_bytes_max = Some(3);
    memory.0.borrow_mut().interrupts = true;
    let mut log = open(&memory);
    for i in 0..30 {
        log.append(&[i; 50]).unwrap();
    }
    log.sync().unwrap();
    assert_eq!(payloads(&open(&memory.kill())), (0..30).map(|i| vec![i; 50]).collect::<Vec<_>>());
}

#[test]
fn many_records_cost_one_sync() {
    let memory = Memory::default();
    let (mut log, _) = Log::open_in(memory.clone(), Options::default()).unwrap();
    let before = memory.0.borrow().syncs;
    for _ in 0..10_000 {
        log.append(b"a message").unwrap();
    }
    assert_eq!(log.sync().unwrap(), 10_000);
    assert_eq!(log.sync().unwrap(), 10_000, "nothing new, nothing to do");
    assert_eq!(memory.0.borrow().syncs - before, 1);
}

#[test]
fn a_full_disk_poisons_the_log_and_costs_nothing_that_was_durable() {
    for room_bytes in 0..60 {
        let memory = Memory::default();
        let mut log = open(&memory);
        log.append(b"durable").unwrap();
        log.sync().unwrap();
        memory.0.borrow_mut().room_bytes = Some(room_bytes);
        log.append(b"one").unwrap();
        log.append(&[0; 30]).unwrap();
        let error = log.sync().unwrap_err();
        assert!(matches!(&error, Error::Io { doing: "write to", source, .. }
            if source.kind() == std::io::ErrorKind::StorageFull));

        memory.0.borrow_mut().room_bytes = None;
        for later in [log.append(b"later"), log.sync(), log.append(b"later")] {
            assert!(matches!(later, Err(Error::Poisoned { cause }) if cause == error.to_string()));
        }
        assert_eq!((log.durable_sequence(), payloads(&log)), (1, vec![b"durable".to_vec()]));
        drop(log);
        let mut log = open(&memory);
        assert_eq!(payloads(&log), [b"durable"]);
        assert_eq!((log.append(b"again").unwrap(), log.sync().unwrap()), (2, 2));
    }
}

#[test]
fn a_sync_that_fails_is_never_taken_back() {
    let memory = Memory::default();
    let mut log = open(&memory);
    log.append(b"durable").unwrap();
    log.sync().unwrap();
    log.append(b"lost").unwrap();
    memory.0.borrow_mut().sync_fails_in = Some(0);
    assert!(matches!(log.sync(), Err(Error::Io { doing: "sync", .. })));
    // The system has forgotten about the failed pages: a second sync would succeed and mean nothing.
    memory.0.borrow_mut().sync_fails_in = None;
    assert!(matches!(log.sync(), Err(Error::Poisoned { .. })));
    assert_eq!(log.durable_sequence(), 1);
    drop(log);
    assert_eq!(payloads(&open(&memory)), [b"durable"], "what was not acknowledged is cut off again");
}

#[test]
fn a_disk_that_fails_at_everything_is_sorted_out_by_opening_again() {
    let memory = Memory::default();
    let mut log = open(&memory);
    log.append(b"durable").unwrap();
    log.sync().unwrap();
    memory.0.borrow_mut().truncate_fails = true;
    memory.0.borrow_mut().room_bytes = Some(30);
    log.append(b"whole").unwrap();
    log.append(b"half").unwrap();
    assert!(log.sync().is_err());
    drop(log);
    let (log, recovery) = Log::open_in(memory.kill(), options()).unwrap();
    assert_eq!(payloads(&log), [&b"durable"[..], b"whole"]);
    assert_eq!(recovery.torn.unwrap().bytes, 5);
}

#[test]
fn each_step_of_beginning_a_segment_may_fail() {
    // First the old segment is synced, then the new one, then the folder.
    for fails_in in 0..3 {
        let memory = Memory::default();
        let mut log = open(&memory);
        for i in 0..3 {
            log.append(&[i; 60]).unwrap();
        }
        memory.0.borrow_mut().sync_fails_in = Some(fails_in);
        let error = log.append(&[3; 60]).unwrap_err();
        assert!(matches!(error, Error::Io { doing: "sync", .. }), "{error}");
        assert!(matches!(log.append(b""), Err(Error::Poisoned { .. })));
        let durable = payloads(&log).len();
        assert_eq!(durable, if fails_in == 0 { 0 } else { 3 });
        drop(log);
        let mut log = open(&memory.kill());
        assert_eq!(payloads(&log).len(), durable);
        assert_eq!(log.append(b"").unwrap(), durable as u64 + 1);
        log.sync().unwrap();
    }
}

#[test]
fn opening_makes_durable_what_a_killed_process_left() {
    let memory = Memory::default();
    let (mut log, _) = Log::open_in(
        memory.clone(),
        Options { segment_bytes_max: 4 << 20, record_bytes_max: 2 << 20, ..Options::default() },
    )
    .unwrap();
    // More than the buffer holds is written before any sync.
    log.append(&vec![7; 2 << 20]).unwrap();
    let killed = memory.kill();
    assert_eq!(payloads(&open(&killed)).len(), 1);
    assert_eq!(payloads(&open(&killed.lose_power(|| 0))).len(), 1);
}

#[test]
fn errors_say_what_to_do_next() {
    for (kind, next) in [
        (std::io::ErrorKind::PermissionDenied, "let the user that Trefoil runs as write to the folder"),
        (std::io::ErrorKind::ReadOnlyFilesystem, "it is mounted read-only"),
        (std::io::ErrorKind::StorageFull, "make room on the disk"),
        (std::io::ErrorKind::QuotaExceeded, "make room on the disk"),
    ] {
        let error = Error::Io { doing: "create", file: "1.log".into(), source: kind.into() };
        assert!(error.to_string().contains(next), "{error}");
        assert_eq!(error.is_space(), next.contains("room"));
    }
}

#[test]
fn a_healed_log_goes_on_in_a_new_segment_once_a_checkpoint_is_complete() {
    let memory = Memory::default();
    let mut log = open(&memory);
    log.append(b"durable").unwrap();
    log.sync().unwrap();
    log.append(b"lost").unwrap();
    memory.0.borrow_mut().sync_fails_in = Some(0);
    log.sync().unwrap_err();
    // As long as the disk fails, so does healing, and it can be tried again.
    assert!(matches!(log.heal(), Err(Error::Io { .. })));
    assert!(matches!(log.append(b"more"), Err(Error::Poisoned { .. })));
    memory.0.borrow_mut().sync_fails_in = None;
    log.heal().unwrap();
    assert!(log.is_healing());
    assert_eq!((log.next_sequence(), log.segments()), (2, 2));
    let from = log.begin_checkpoint().unwrap();
    assert_eq!(log.append(b"everything").unwrap(), 2);
    log.sync().unwrap();
    let killed = memory.kill();
    let (_, recovery) = Log::open_in(killed.clone(), options()).unwrap();
    assert_eq!((recovery.records, recovery.unhealed), (1, Some(2)));
    assert_eq!(payloads(&open(&killed)), [b"durable"]);
    assert_eq!(log.complete_checkpoint(from).unwrap(), 1);
    assert!(!log.is_healing());
    assert_eq!(payloads(&open(&memory.kill())), [b"everything"]);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8, usize),
    Sync,
    Checkpoint,
    Kill,
    LosePower(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), 0..100usize).prop_map(|(byte, len)| Step::Append(byte, len)),
        3 => Just(Step::Sync),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Kill),
        2 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Step::LosePower),
    ]
}

proptest! {
    /// Whatever happens, the log holds an unbroken part of what was appended, with everything in it that was synced.
    #[test]
    fn nothing_durable_is_ever_lost(steps in prop::collection::vec(step(), 0..60)) {
        let mut memory = Memory::default();
        let mut log = open(&memory);
        // All payloads by sequence (from 1), how many of them are certain, and the first that must still be there.
        let (mut model, mut certain, mut needed) = (Vec::new(), 0, 1);
        for step in steps {
            match step {
                Step::Append(byte, len) => {
                    model.push(vec![byte; len]);
                    prop_assert_eq!(log.append(&vec![byte; len]).unwrap(), model.len() as u64);
                }
                Step::Sync => {
                    certain = model.len();
                    prop_assert_eq!(log.sync().unwrap(), certain as u64);
                }
                Step::Checkpoint => {
                    let from = log.begin_checkpoint().unwrap();
                    model.push(vec![1; 10]);
                    prop_assert_eq!(log.append(&[1; 10]).unwrap(), from);
                    log.complete_checkpoint(from).unwrap();
                    certain = model.len();
                    needed = from;
                }
                Step::Kill | Step::LosePower(_) => {
                    // A segment that was closed was synced.
                    certain = certain.max(log.durable_sequence() as usize);
                    drop(log);
                    memory = match step {
                        Step::LosePower(dice) => {
                            let mut dice = dice.into_iter().cycle();
                            memory.lose_power(|| dice.next().unwrap())
                        }
                        _ => memory.kill(),
                    };
                    log = open(&memory);
                    let there = log.durable_sequence() as usize;
                    prop_assert!(there >= certain && there <= model.len(), "{} of {}", there, certain);
                    model.truncate(there);
                    certain = there;
                }
            }
            prop_assert!(log.first_sequence() <= needed.max(1));
            let first = log.first_sequence() as usize;
            let expected = model.get(first - 1..log.durable_sequence() as usize).unwrap_or_default();
            prop_assert_eq!(payloads(&log), expected);
        }
    }
}
