//! Checking and repairing a log whose files were damaged.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use trefoil_store::{Error, Log, Lost, Options, check, repair};

fn options() -> Options {
    Options { segment_bytes_max: 200, record_bytes_max: 100, ..Options::default() }
}

/// A log of records that hold their sequences, four to a segment, each synced on its own.
fn log_of(path: &Path, records: u64) -> Vec<PathBuf> {
    let (mut log, _) = Log::open(path, options()).unwrap();
    for sequence in 1..=records {
        log.append(format!("this is record {sequence:05}").as_bytes()).unwrap();
        log.sync().unwrap();
    }
    segments(path)
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

/// The sequences that opening shows, each with what was appended under it, and that reading shows too.
fn open(path: &Path) -> Vec<u64> {
    let mut sequences = Vec::new();
    let (log, recovery) = Log::open_with(path, options(), |sequence, payload| {
        assert_eq!(payload, format!("this is record {sequence:05}").as_bytes());
        sequences.push(sequence);
        Ok(())
    })
    .unwrap();
    assert_eq!(recovery.records, sequences.len() as u64);
    let read: Vec<u64> = log.read(1).map(|record| record.unwrap().sequence).collect();
    assert_eq!(read, sequences);
    sequences
}

/// Checks that opening refuses, repairs, and gives what is lost by the report; everything else must be there.
fn repaired(path: &Path, records: u64) -> Vec<Lost> {
    let error = Log::open(path, options()).unwrap_err().to_string();
    assert!(error.contains("`trefoil store check`") && error.contains("`trefoil store repair`"), "{error}");
    let report = check(path).unwrap();
    let repaired = repair(path).unwrap();
    assert_eq!(repaired.report, report);
    assert!(repaired.moved.iter().all(|file| Path::new(file).exists()), "{repaired:?}");
    let lost: Vec<Lost> = report.damage.iter().filter_map(|damage| damage.lost).collect();
    let is_lost = |sequence: u64| {
        lost.iter().any(|lost| lost.first <= sequence && lost.last.is_none_or(|last| sequence <= last))
    };
    let kept: Vec<u64> = (1..=records).filter(|sequence| !is_lost(*sequence)).collect();
    assert_eq!(report.records, kept.len() as u64, "{report:?}");
    let after = check(path).unwrap();
    assert_eq!((&after.damage[..], after.records), (&[][..], report.records), "{report:?}");
    assert_eq!(open(path), kept, "{report:?}");
    assert_eq!(repair(path).unwrap().moved, [] as [String; 0], "there is nothing left to repair");
    lost
}

fn one(first: u64, last: u64) -> Vec<Lost> {
    vec![Lost { first, last: Some(last) }]
}

#[test]
fn a_whole_log_has_nothing_to_repair() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 10);
    let report = check(folder.path()).unwrap();
    assert_eq!((report.segments, report.records, report.bytes), (3, 10, 3 * 24 + 10 * 40));
    assert_eq!((report.torn, report.damage), (None, vec![]));
    assert_eq!(repair(folder.path()).unwrap().moved, [] as [String; 0]);
    assert_eq!(open(folder.path()).len(), 10);
}

#[test]
fn any_changed_byte_costs_the_record_that_it_is_in() {
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 10);
    let whole: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for (segment, bytes) in whole.iter().enumerate() {
        // The very last record has none behind it that says it was synced: what is wrong with it is a torn tail.
        let end = if segment == 2 { bytes.len() - 40 } else { bytes.len() };
        for at in 0..end {
            let again = tempfile::tempdir().unwrap();
            for (i, (file, bytes)) in files.iter().zip(&whole).enumerate() {
                let mut bytes = bytes.clone();
                if i == segment {
                    bytes[at] ^= 0x40;
                }
                fs::write(again.path().join(file.file_name().unwrap()), bytes).unwrap();
            }
            let lost = repaired(again.path(), 10);
            let first = segment as u64 * 4 + 1;
            match at {
                // With the salt no record can be recognised; all else of a header can be done without.
                16..20 if segment == 2 => assert_eq!(lost, [Lost { first, last: None }]),
                16..20 => assert_eq!(lost, one(first, first + 3)),
                0..24 => assert_eq!(lost, []),
                _ => {
                    let record = first + (at as u64 - 24) / 40;
                    assert_eq!(lost, one(record, record), "byte {at} of segment {segment}");
                }
            }
        }
    }
}

#[test]
fn what_is_gone_is_reported_and_the_rest_is_kept() {
    // A segment between others,
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 12);
    fs::remove_file(&files[1]).unwrap();
    assert_eq!(repaired(folder.path(), 12), one(5, 8));
    // the first of all, which nothing but the number of the next one tells of,
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 12);
    fs::remove_file(&files[0]).unwrap();
    let error = Log::open(folder.path(), options()).unwrap_err();
    assert!(matches!(error, Error::Missing { sequence: 1, .. }), "{error}");
    assert_eq!(repaired(folder.path(), 12), one(1, 4));
    // the end of one,
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 12);
    fs::OpenOptions::new().write(true).open(&files[1]).unwrap().set_len(24 + 40 + 13).unwrap();
    assert_eq!(repaired(folder.path(), 12), one(6, 8));
    // one of which nothing is left,
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 12);
    fs::write(&files[1], "").unwrap();
    assert_eq!(repaired(folder.path(), 12), one(5, 8));
    // and some records in the middle, with bytes too many for them.
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 12);
    let mut bytes = fs::read(&files[1]).unwrap();
    bytes.splice(24 + 40..24 + 120, [7; 300]);
    fs::write(&files[1], bytes).unwrap();
    assert_eq!(repaired(folder.path(), 12), one(6, 7));
}

#[test]
fn a_repaired_log_goes_on_and_is_dropped_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 12);
    fs::remove_file(&files[1]).unwrap();
    repaired(folder.path(), 12);
    let (mut log, _) = Log::open(folder.path(), options()).unwrap();
    let from = log.begin_checkpoint().unwrap();
    assert_eq!(log.append(b"this is record 00013").unwrap(), 13);
    log.complete_checkpoint(from).unwrap();
    drop(log);
    assert_eq!(open(folder.path()), [13]);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "the segment, its mark and the lock: {left:?}");
}

#[test]
fn what_no_longer_counted_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder.path(), Options::default()).unwrap();
    for sequence in 1..=3 {
        log.append(format!("this is record {sequence:05}").as_bytes()).unwrap();
    }
    let from = log.begin_checkpoint().unwrap();
    log.append(b"the state").unwrap();
    log.complete_checkpoint(from).unwrap();
    drop(log);
    let file = segments(folder.path()).pop().unwrap();
    fs::write(file, [0; 100]).unwrap();
    let error = Log::open(folder.path(), options()).unwrap_err();
    assert!(matches!(error, Error::Damaged { offset: 0, .. }), "{error}");
    let report = repair(folder.path()).unwrap().report;
    assert_eq!(report.damage[0].lost, Some(Lost { first: 4, last: None }));
    assert_eq!(report.damage[0].lost.unwrap().to_string(), "record 4 and all after it");
    assert_eq!(open(folder.path()), []);
}

#[test]
fn a_torn_tail_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 6);
    let bytes = fs::read(&files[1]).unwrap();
    fs::write(&files[1], &bytes[..bytes.len() - 1]).unwrap();
    let report = check(folder.path()).unwrap();
    assert_eq!((report.records, report.damage), (5, vec![]));
    assert_eq!(report.torn.unwrap().bytes, 39);
    assert_eq!(fs::read(&files[1]).unwrap().len(), bytes.len() - 1, "checking changes nothing");
    assert_eq!(open(folder.path()), [1, 2, 3, 4, 5]);
}

#[test]
fn another_version_is_refused_by_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = log_of(folder.path(), 1).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[7] = 9;
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    let expected = format!(
        "{} is of format version 9, and this program has version 1; run the version of Trefoil that wrote it, or \
         choose another folder",
        file.display()
    );
    assert_eq!(Log::open(folder.path(), options()).unwrap_err().to_string(), expected);
    assert_eq!(check(folder.path()).unwrap_err().to_string(), expected);
    assert_eq!(repair(folder.path()).unwrap_err().to_string(), expected);
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_log_in_use_and_a_folder_that_is_not_there_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(folder.path(), options()).unwrap();
    assert!(matches!(check(folder.path()), Err(Error::InUse { .. })));
    assert!(matches!(repair(folder.path()), Err(Error::InUse { .. })));
    drop(log);
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(check(&nowhere), Err(Error::Io { doing: "open", .. })));
    assert!(matches!(repair(&nowhere), Err(Error::Io { doing: "open", .. })));
    assert!(!nowhere.exists());
}

/// What is there of a log of twelve records, closed in order, when this is done to its files.
fn closed(harm: impl Fn(&[PathBuf])) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 11);
    let (mut log, _) = Log::open(folder.path(), options()).unwrap();
    log.append(b"this is record 00012").unwrap();
    // It is synced by closing.
    log.close().unwrap();
    harm(&segments(folder.path()));
    folder
}

#[test]
fn what_is_gone_at_the_end_of_a_closed_log_is_damage() {
    let whole = closed(|_| {});
    assert_eq!(check(whole.path()).unwrap().damage, []);
    assert_eq!(open(whole.path()).len(), 12);
    let cut = |len: u64| {
        closed(|files| fs::OpenOptions::new().write(true).open(&files[2]).unwrap().set_len(len).unwrap())
    };
    let is_cut_short = |folder: &Path, first: u64| {
        let error = Log::open(folder, options()).unwrap_err();
        assert!(matches!(error, Error::CutShort { first: at, last: 12, .. } if at == first), "{error}");
        assert_eq!(repaired(folder, 12), one(first, 12));
    };
    // The last segment, all of them, records at the end, the header of the last one.
    is_cut_short(closed(|files| fs::remove_file(&files[2]).unwrap()).path(), 9);
    is_cut_short(closed(|files| files.iter().for_each(|file| fs::remove_file(file).unwrap())).path(), 1);
    is_cut_short(cut(24 + 3 * 40).path(), 12);
    is_cut_short(cut(24).path(), 9);
    is_cut_short(cut(5).path(), 9);
    // In the middle of a record, what is left of it is kept beside the log.
    let folder = cut(24 + 2 * 40 + 7);
    let error = Log::open(folder.path(), options()).unwrap_err();
    assert!(matches!(error, Error::Damaged { offset: 104, .. }), "{error}");
    assert_eq!(repaired(folder.path(), 12), one(11, 12));
    assert!(folder.path().join("00000000000000000009.log.damaged").exists());
    // Nothing of the last segment can be read, and still it is known what was in it.
    let folder = closed(|files| fs::write(&files[2], [7; 100]).unwrap());
    assert_eq!(repaired(folder.path(), 12), one(9, 12));
}

#[test]
fn a_log_that_is_open_may_have_a_torn_tail_however_it_was_closed_before() {
    let folder = closed(|_| {});
    drop(Log::open(folder.path(), options()).unwrap());
    let file = segments(folder.path()).pop().unwrap();
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(24 + 2 * 40 + 7).unwrap();
    assert_eq!(check(folder.path()).unwrap().damage, []);
    assert_eq!(open(folder.path()).len(), 10);
}

#[test]
fn swapped_files_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 12);
    let other = folder.path().join("other");
    fs::rename(&files[0], &other).unwrap();
    fs::rename(&files[1], &files[0]).unwrap();
    fs::rename(&other, &files[1]).unwrap();
    let report = check(folder.path()).unwrap();
    let said =
        report.damage.iter().filter(|damage| damage.to_string().contains("perhaps files were swapped"));
    assert_eq!(said.count(), 2, "{report:?}");
    let error = Log::open(folder.path(), options()).unwrap_err().to_string();
    assert!(error.contains("perhaps files were swapped"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_repair_keeps_the_mode_of_what_it_replaces() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let files = log_of(folder.path(), 12);
    let mut bytes = fs::read(&files[1]).unwrap();
    bytes[24 + 25] ^= 1;
    fs::write(&files[1], bytes).unwrap();
    fs::set_permissions(&files[1], fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(repaired(folder.path(), 12), one(5, 5));
    for name in ["00000000000000000006.log", "00000000000000000006.gap"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{name}");
    }
}
