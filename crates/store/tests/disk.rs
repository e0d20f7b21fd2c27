//! The log on a real file system: what it keeps, what it cuts off, what it refuses.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use trefoil_store::{Error, Log, Options, Recovery, Torn};

fn small() -> Options {
    Options { segment_bytes_max: 200, record_bytes_max: 100, zeros_bytes: 0, ..Options::default() }
}

fn open(path: &Path) -> (Log, Recovery) {
    Log::open(path, small()).unwrap()
}

/// A log of these payloads, each synced on its own.
fn log_of(path: &Path, payloads: &[&str]) {
    let (mut log, _) = open(path);
    for payload in payloads {
        log.append(payload.as_bytes()).unwrap();
        log.sync().unwrap();
    }
}

fn contents(log: &Log, from: u64) -> Vec<(u64, String)> {
    log.read(from)
        .map(|record| record.unwrap())
        .map(|r| (r.sequence, String::from_utf8(r.payload).unwrap()))
        .collect()
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

#[test]
fn records_come_back_in_order_and_from_any_sequence() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), &["one", "", "three"]);
    let (mut log, recovery) = open(folder.path());
    assert_eq!(recovery, Recovery { segments: 1, records: 3, torn: None, unhealed: None });
    assert_eq!(log.append(b"four").unwrap(), 4);
    assert_eq!(contents(&log, 1).len(), 3, "what is not synced is not given out");
    assert_eq!(log.sync().unwrap(), 4);
    assert_eq!(contents(&log, 2), [(2, "".into()), (3, "three".into()), (4, "four".into())]);
    assert_eq!(contents(&log, 5), []);
    assert_eq!(contents(&log, u64::MAX), []);
}

#[test]
fn segments_keep_their_bound_and_a_checkpoint_drops_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path());
    for i in 1..=20 {
        assert_eq!(log.append(format!("record {i:02}").as_bytes()).unwrap(), i);
    }
    log.sync().unwrap();
    // 24 bytes of header and 29 for each record: six to a segment.
    let sizes: Vec<u64> =
        segments(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    assert_eq!(sizes, [198, 198, 198, 82]);
    assert_eq!(contents(&log, 1).len(), 20);

    let from = log.begin_checkpoint().unwrap();
    assert_eq!(log.append(b"record 21").unwrap(), from);
    assert_eq!(log.complete_checkpoint(from).unwrap(), 4);
    assert_eq!((log.first_sequence(), log.next_sequence()), (21, 22));
    assert_eq!(contents(&log, 1), [(21, "record 21".into())]);
    drop(log);
    let (log, recovery) = open(folder.path());
    assert_eq!(recovery, Recovery { segments: 1, records: 1, torn: None, unhealed: None });
    assert_eq!((log.first_sequence(), log.next_sequence()), (21, 22));
}

#[test]
fn a_tail_cut_at_any_byte_is_cut_off_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (mut log, _) = open(folder.path());
        log.append(b"synced").unwrap();
        log.sync().unwrap();
        log.append(b"torn one").unwrap();
        log.append(b"torn two").unwrap();
        log.sync().unwrap();
    }
    let file = segments(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let ends = [24, 24 + 26, 24 + 26 + 28, 24 + 26 + 28 + 28];
    assert_eq!(whole.len(), ends[3]);
    for len in 0..whole.len() {
        fs::write(&file, &whole[..len]).unwrap();
        let (mut log, recovery) = open(folder.path());
        let kept = ends.iter().filter(|end| **end <= len).count();
        let end = if kept == 0 { 0 } else { ends[kept - 1] };
        // Zeros at its end may as well be those that are written ahead; a header has none ahead of it.
        let content = whole[..len].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let bytes = if kept == 0 { len } else { content.saturating_sub(end) };
        let torn = Torn { file: file.display().to_string(), offset: end as u64, bytes: bytes as u64 };
        // A header that is not whole is nothing, even when nothing of it is there.
        let is_torn = len != end || len == 0;
        let records = kept.saturating_sub(1) as u64;
        assert_eq!(
            recovery,
            Recovery { segments: 1, records, torn: is_torn.then_some(torn), unhealed: None },
            "cut at {len}"
        );
        // It goes on where it ends.
        assert_eq!(log.append(b"new").unwrap(), records + 1);
        log.sync().unwrap();
        assert_eq!(contents(&log, records + 1), [(records + 1, "new".into())]);
        drop(log);
        assert_eq!(open(folder.path()).1.records, records + 1);
    }
}

#[test]
fn any_changed_bit_of_what_was_synced_before_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), &["first", "second", "third"]);
    let file = segments(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let third = whole.len() - 25;
    for at in 0..third {
        for bit in [0x01, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            fs::write(&file, &changed).unwrap();
            match Log::open(folder.path(), small()) {
                Err(Error::Damaged { file: named, offset, .. }) => {
                    assert_eq!(named, file.display().to_string());
                    assert!(
                        offset as usize <= at && at < offset as usize + 30,
                        "{at} was reported at {offset}"
                    );
                }
                other => panic!("byte {at} was changed, and: {other:?}"),
            }
            assert_eq!(fs::read(&file).unwrap(), changed, "a damaged log is left as it is");
        }
    }
}

#[test]
fn damage_in_an_earlier_segment_is_refused_even_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), &["a"; 20]);
    let file = segments(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let error = Log::open(folder.path(), small()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is damaged at byte {}: a record is not whole; `trefoil store check` tells what is lost, and \
             `trefoil store repair` goes on without it",
            file.display(),
            whole.len() - 21
        )
    );
}

#[test]
fn a_missing_segment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), &["a"; 20]);
    let files = segments(folder.path());
    fs::remove_file(&files[1]).unwrap();
    match Log::open(folder.path(), small()) {
        Err(Error::Missing { sequence, file }) => {
            assert_eq!((sequence, file), (9, files[2].display().to_string()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payload_that_looks_like_a_record_does_not_pass_for_one() {
    let folder = tempfile::tempdir().unwrap();
    // A stranger knows the format, and puts a record into a payload that claims the one before it was durable.
    let other = tempfile::tempdir().unwrap();
    log_of(other.path(), &["x", "y", "z"]);
    let forged = fs::read(segments(other.path()).remove(0)).unwrap()[24..].to_vec();
    {
        let (mut log, _) = open(folder.path());
        log.append(&forged).unwrap();
        log.sync().unwrap();
    }
    let file = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[24] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (_, recovery) = open(folder.path());
    assert_eq!(recovery.records, 0);
    assert!(recovery.torn.is_some());
}

#[test]
fn a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(folder.path());
    assert!(matches!(Log::open(folder.path(), small()), Err(Error::InUse { .. })));
    drop(log);
    open(folder.path());
}

#[test]
fn bounds_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path());
    assert!(matches!(
        log.append(&[0; 101]),
        Err(Error::RecordTooLarge { record_bytes: 101, record_bytes_max: 100 })
    ));
    assert_eq!(log.append(&[0; 100]).unwrap(), 1);
    drop(log);
    let options = Options { record_bytes_max: usize::MAX, ..small() };
    assert!(matches!(Log::open(folder.path(), options), Err(Error::Options(_))));
}

#[test]
fn a_record_that_is_larger_than_a_segment_has_one_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 100, record_bytes_max: 1000, ..small() };
    let (mut log, _) = Log::open(folder.path(), options.clone()).unwrap();
    for record in [&[1; 500][..], &[2; 10], &[3; 10], &[4; 500], &[5; 10]] {
        log.append(record).unwrap();
    }
    log.sync().unwrap();
    let segments: Vec<(u64, u64)> = log.segment_starts().collect();
    assert_eq!(segments.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [1, 2, 4, 5]);
    assert_eq!(segments.iter().map(|(_, bytes)| bytes).sum::<u64>(), log.bytes());
    drop(log);
    let (log, recovery) = Log::open(folder.path(), options).unwrap();
    assert_eq!((recovery.records, log.segments()), (5, 4));
    assert_eq!(log.segment_starts().collect::<Vec<_>>(), segments);
}

#[test]
fn records_beyond_a_smaller_bound_are_still_read() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), &[&"x".repeat(100)]);
    let options = Options { segment_bytes_max: 100, record_bytes_max: 10, ..Options::default() };
    let (mut log, recovery) = Log::open(folder.path(), options).unwrap();
    assert_eq!((recovery.records, recovery.torn), (1, None));
    log.append(b"next").unwrap();
    log.sync().unwrap();
    assert_eq!(contents(&log, 1).len(), 2);
}

#[test]
fn damage_that_comes_while_the_log_is_open_is_seen_by_readers() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path());
    log.append(b"one").unwrap();
    log.append(b"two").unwrap();
    log.sync().unwrap();
    let file = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    let mut records = log.read(1);
    assert!(records.next().unwrap().is_ok());
    assert!(matches!(records.next(), Some(Err(Error::Damaged { offset: 47, .. }))));
    assert!(records.next().is_none());
}

#[test]
fn large_logs_are_written_in_pieces_and_read_through_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let payload = |i: u64| vec![i as u8; (i * 7919 % 300_000) as usize];
    let (mut log, _) = Log::open(folder.path(), Options::default()).unwrap();
    for i in 1..=100 {
        log.append(&payload(i)).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    let (log, recovery) = Log::open(folder.path(), Options::default()).unwrap();
    assert_eq!(recovery.records, 100);
    for (record, i) in log.read(1).zip(1..) {
        let record = record.unwrap();
        assert_eq!(record.sequence, i);
        assert!(record.payload == payload(i));
    }
}

#[test]
fn opening_shows_every_record_that_counts() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    let mut seen = Vec::new();
    let (mut log, _) = Log::open_with(folder.path(), small(), |sequence, payload| {
        seen.push((sequence, payload.to_vec()));
        Ok(())
    })
    .unwrap();
    assert_eq!((seen.len(), &seen[9]), (10, &(10, b"j".to_vec())));
    assert_eq!(log.bytes(), 2 * 24 + 10 * 21);
    let from = log.begin_checkpoint().unwrap();
    assert_eq!((from, log.segments()), (11, 3));
    log.append(b"all").unwrap();
    assert_eq!(log.complete_checkpoint(from).unwrap(), 2);
    assert_eq!((log.segments(), log.bytes(), log.appended_bytes()), (1, 24 + 23, 23));
    drop(log);
    let refused = Log::open_with(folder.path(), small(), |_, _| Err("not understood".to_owned()));
    let error = refused.unwrap_err();
    assert!(matches!(&error, Error::Refused { sequence: 11, why, .. } if why == "not understood"), "{error}");
    assert_eq!(contents(&open(folder.path()).0, 1), [(11, "all".into())], "refusing has changed nothing");
}

#[test]
fn the_reserve_is_kept_ahead_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes_max: 1 << 20,
        record_bytes_max: 1 << 19,
        reserve_bytes: 256 << 10,
        zeros_bytes: 0,
    };
    let (mut log, _) = Log::open(folder.path(), options.clone()).unwrap();
    for _ in 0..30 {
        log.append(&[7; 100_000]).unwrap();
        assert!(log.has_reserve());
    }
    log.sync().unwrap();
    assert!(log.try_reserve().unwrap());
    let sizes: Vec<u64> =
        segments(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    assert_eq!(sizes, [24 + 10 * 100_020; 3], "the reserve makes no file longer");
    assert_eq!(log.bytes(), sizes.iter().sum::<u64>());
    drop(log);
    assert_eq!(Log::open(folder.path(), options).unwrap().1.torn, None);
}

/// Steps of 100 bytes, and a reserve of 256.
fn with_zeros() -> Options {
    Options { segment_bytes_max: 300, record_bytes_max: 200, reserve_bytes: 256, zeros_bytes: 100 }
}

#[test]
fn records_are_written_over_zeros_that_are_there_already() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder.path(), with_zeros()).unwrap();
    let file = segments(folder.path()).remove(0);
    let mut append = |bytes: usize| {
        log.append(&vec![7; bytes]).unwrap();
        log.sync().unwrap();
        fs::metadata(&file).unwrap().len()
    };
    // 24 bytes of header, and 20 before each payload.
    assert_eq!([append(10), append(10), append(10)], [100, 100, 200]);
    assert_eq!(append(90), 224, "a write that is larger than a step has no zeros behind it");
    assert_eq!(append(10), 300);
    drop(log);
    assert_eq!(
        fs::metadata(&file).unwrap().len(),
        254,
        "a log that is closed leaves its records and nothing else"
    );
}

#[test]
fn zeros_behind_the_records_are_no_damage_and_not_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder.path(), with_zeros()).unwrap();
    for _ in 0..20 {
        log.append(b"ten bytes!").unwrap();
        log.sync().unwrap();
    }
    let last = segments(folder.path()).len() - 1;
    assert_eq!(contents(&log, 1).len(), 20);
    drop(log);
    // As if nothing had been cut off when the process, or the power, went.
    for file in segments(folder.path()) {
        let mut bytes = fs::read(&file).unwrap();
        bytes.resize(bytes.len() + 5000, 0);
        fs::write(&file, bytes).unwrap();
    }
    let report = trefoil_store::check(folder.path()).unwrap();
    assert_eq!((report.records, report.torn, report.damage), (20, None, Vec::new()));
    let (mut log, recovery) = Log::open(folder.path(), with_zeros()).unwrap();
    assert_eq!((recovery.records, recovery.torn), (20, None));
    log.append(b"next").unwrap();
    log.sync().unwrap();
    assert_eq!(contents(&log, 1).len(), 21);
    drop(log);

    // What is half-written before the zeros is torn, and only that is counted.
    let file = segments(folder.path()).remove(last);
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes.extend(&[9; 30]);
    bytes.resize(end + 5000, 0);
    fs::write(&file, &bytes).unwrap();
    let torn = Some(Torn { file: file.display().to_string(), offset: end as u64, bytes: 30 });
    assert_eq!(trefoil_store::check(folder.path()).unwrap().torn, torn);
    assert_eq!(Log::open(folder.path(), with_zeros()).unwrap().1.torn, torn);

    // A record that has become zeros is damage, since one behind it says that it was synced.
    let mut bytes = fs::read(&file).unwrap();
    bytes[24..54].fill(0);
    fs::write(&file, &bytes).unwrap();
    assert!(matches!(Log::open(folder.path(), with_zeros()), Err(Error::Damaged { offset: 24, .. })));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Log::open(&file.join("log"), small()).unwrap_err();
    assert!(matches!(error, Error::Io { doing: "open", .. }));
    assert!(error.to_string().contains("file/log/lock"), "{error}");
}
