//! Both ends of a transfer joined in memory: each test is a short story.

use std::collections::HashMap;
use trefoil_transfer::{
    Arrival, Builder, CHUNK_BYTES, CHUNK_ROOM_BYTES, Entry, Fault, Incoming, Kind, Manifest, Message, Notice,
    Outgoing, Sums, Task, Violation, name::Rules,
};

/// Files by their number, at either end.
type Disk = HashMap<u32, Vec<u8>>;

fn bytes(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|at| (at / 7 % 251) as u8 ^ seed).collect()
}

fn manifest(entries: &[(&str, Kind)]) -> Manifest {
    let mut builder = Builder::new(Rules::Unix);
    for (path, kind) in entries {
        let entry = Entry { path: (*path).into(), kind: kind.clone(), mode: 0o644, modified: (0, 0) };
        builder.push(entry).expect("it may be sent");
    }
    builder.finish()
}

/// Some files of all sizes that mean something, and what they are listed as.
fn files() -> (Disk, Manifest) {
    let sizes = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES * 2 + 1];
    let mut entries = vec![("dir", Kind::Folder), ("dir/link", Kind::Link(b"0".to_vec()))];
    let names: Vec<String> = (0..sizes.len()).map(|number| format!("dir/{number}")).collect();
    let mut disk = Disk::new();
    for (name, size) in names.iter().zip(sizes) {
        disk.insert(entries.len() as u32, bytes(size, entries.len() as u8));
        entries.push((name, Kind::File(Some(size as u64))));
    }
    (disk, manifest(&entries))
}

/// What one connection came to.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Complete,
    Cut,
    Refused(Violation),
    Failed(Fault, String),
}

/// What went over a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traffic {
    records: usize,
    chunks: usize,
    read: usize,
}

/// Joins the two for one connection, which breaks after so many records.
fn join(
    out: &mut Outgoing,
    from: &Disk,
    into: &mut Incoming,
    to: &mut Disk,
    records_max: usize,
) -> (End, Traffic) {
    let mut traffic = Traffic::default();
    into.connected();
    let offer: Vec<Vec<u8>> = out.connected().collect();
    for record in &offer {
        traffic.records += 1;
        if traffic.records > records_max {
            return (End::Cut, traffic);
        }
        if let Err(violation) = into.handle(decode(record)) {
            return (End::Refused(violation), traffic);
        }
    }
    for record in into.accept().collect::<Vec<_>>() {
        if let Err(violation) = out.handle(decode(&record)) {
            return (End::Refused(violation), traffic);
        }
    }
    let mut record = Vec::new();
    loop {
        match out.next(&mut record) {
            Task::Read { file, chunk, bytes } => {
                let rest = &from[&file][(chunk as usize * CHUNK_BYTES).min(from[&file].len())..];
                let count = rest.len().min(bytes);
                record[CHUNK_ROOM_BYTES..][..count].copy_from_slice(&rest[..count]);
                traffic.read += 1;
                match out.was_read(count, &mut record) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(violation) => {
                        let text = violation.to_string();
                        record = Message::Fail { fault: Fault::Source, text: &text }.record();
                    }
                }
            }
            Task::Ended { .. } => continue,
            Task::Wait | Task::Done => panic!("the receiver answers to END at once"),
            Task::Send => {}
        }
        traffic.records += 1;
        if traffic.records > records_max {
            return (End::Cut, traffic);
        }
        match into.handle(decode(&record)) {
            Err(violation) => return (End::Refused(violation), traffic),
            Ok(Arrival::Failed(fault, text)) => return (End::Failed(fault, text), traffic),
            Ok(Arrival::Chunk { file, offset, data }) => {
                traffic.chunks += 1;
                let target = to.entry(file).or_default();
                target.resize(target.len().max(offset as usize + data.len()), 0);
                target[offset as usize..][..data.len()].copy_from_slice(data);
            }
            Ok(Arrival::File { file, bytes }) => to.entry(file).or_default().truncate(bytes as usize),
            Ok(Arrival::End) => break,
            Ok(_) => {}
        }
    }
    let mut record = Vec::new();
    assert_eq!(out.next(&mut record), Task::Wait);
    assert_eq!(out.handle(Message::Complete), Ok(Notice::Nothing));
    assert_eq!(out.next(&mut record), Task::Done);
    assert_eq!(into.handle(Message::Bye), Ok(Arrival::Bye));
    (End::Complete, traffic)
}

fn decode(record: &[u8]) -> Message<'_> {
    Message::decode(&record[4..]).expect("both ends send messages only")
}

/// What a program that starts again finds on its disk.
fn found(to: &Disk, manifest: &Manifest) -> Incoming {
    let mut into = Incoming::new(Rules::Unix);
    let mut again = Outgoing::new(manifest.clone());
    for record in again.connected() {
        into.handle(decode(&record)).expect("the offer is fine");
    }
    for (file, bytes) in to {
        let mut sums = Sums::default();
        let Kind::File(size) = manifest.entries()[*file as usize].kind else {
            panic!("only files are on a disk")
        };
        for chunk in bytes.chunks(CHUNK_BYTES) {
            if chunk.len() == CHUNK_BYTES || size == Some(bytes.len() as u64) {
                sums.push(chunk);
            }
        }
        into.found(*file, sums);
    }
    into
}

#[test]
fn files_of_all_sizes_arrive() {
    let (from, manifest) = files();
    let (mut out, mut into, mut to) = (Outgoing::new(manifest), Incoming::new(Rules::Unix), Disk::new());
    let (end, traffic) = join(&mut out, &from, &mut into, &mut to, usize::MAX);
    assert_eq!((end, to, traffic.chunks), (End::Complete, from, 6));
    assert_eq!(out.done_bytes(), out.manifest().bytes());
}

#[test]
fn a_connection_that_breaks_after_any_record_costs_nothing_twice() {
    let (from, manifest) = files();
    for cut in 0.. {
        let (mut out, mut into, mut to) =
            (Outgoing::new(manifest.clone()), Incoming::new(Rules::Unix), Disk::new());
        let (end, first) = join(&mut out, &from, &mut into, &mut to, cut);
        if end == End::Complete {
            assert!(cut > 10);
            return;
        }
        assert_eq!(end, End::Cut);
        let (end, second) = join(&mut out, &from, &mut into, &mut to, usize::MAX);
        assert_eq!((end, &to), (End::Complete, &from), "cut after {cut} records");
        assert_eq!(first.chunks + second.chunks, 6, "cut after {cut} records");
        // The one that was on its way when the connection broke is read again, and no other.
        assert!(first.read + second.read <= 7, "cut after {cut} records");
    }
}

#[test]
fn a_receiver_that_starts_again_is_sent_what_is_missing_or_wrong() {
    let (from, manifest) = files();
    let large = *from.iter().max_by_key(|(_, bytes)| bytes.len()).expect("there are files").0;
    let mut to = from.clone();
    to.get_mut(&large).expect("it is there")[CHUNK_BYTES + 5] ^= 1;
    let mut into = found(&to, &manifest);
    let mut out = Outgoing::new(manifest);
    let (end, traffic) = join(&mut out, &from, &mut into, &mut to, usize::MAX);
    assert_eq!((end, to, traffic.chunks), (End::Complete, from, 1));
}

#[test]
fn a_sender_that_starts_again_is_told_what_is_there() {
    let (from, manifest) = files();
    let (mut into, mut to) = (Incoming::new(Rules::Unix), Disk::new());
    let mut out = Outgoing::new(manifest.clone());
    let (end, first) = join(&mut out, &from, &mut into, &mut to, 8);
    assert_eq!(end, End::Cut);
    let mut out = Outgoing::new(manifest);
    let (end, second) = join(&mut out, &from, &mut into, &mut to, usize::MAX);
    assert_eq!((end, to), (End::Complete, from));
    assert_eq!(first.chunks + second.chunks, 6);
}

#[test]
fn what_has_no_size_yet_ends_where_it_ends() {
    for size in [0, 1, CHUNK_BYTES, CHUNK_BYTES * 3, CHUNK_BYTES * 3 + 9] {
        for cut in 0.. {
            let manifest = manifest(&[("stdin", Kind::File(None))]);
            let from = Disk::from([(0, bytes(size, 3))]);
            let (mut out, mut into, mut to) =
                (Outgoing::new(manifest), Incoming::new(Rules::Unix), Disk::new());
            let (end, first) = join(&mut out, &from, &mut into, &mut to, cut);
            if end == End::Complete {
                assert_eq!(to, from);
                break;
            }
            let (end, second) = join(&mut out, &from, &mut into, &mut to, usize::MAX);
            assert_eq!((end, to), (End::Complete, from), "{size} bytes, cut after {cut} records");
            assert!(first.chunks + second.chunks <= size.div_ceil(CHUNK_BYTES) + 1);
        }
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_not_sent_as_if_it_had_not() {
    let (from, manifest) = files();
    let large = *from.iter().max_by_key(|(_, bytes)| bytes.len()).expect("there are files").0;
    let mut shorter = from.clone();
    shorter.get_mut(&large).expect("it is there").truncate(CHUNK_BYTES + 1);
    let (mut out, mut into, mut to) =
        (Outgoing::new(manifest.clone()), Incoming::new(Rules::Unix), Disk::new());
    let (end, _) = join(&mut out, &shorter, &mut into, &mut to, usize::MAX);
    assert_eq!(end, End::Failed(Fault::Source, "it is shorter than it was".into()));

    // The receiver has lost its disk between two connections, so the first chunk is read a second time.
    let mut changed = from.clone();
    changed.get_mut(&large).expect("it is there")[7] ^= 1;
    let (mut out, mut to) = (Outgoing::new(manifest), Disk::new());
    let (end, _) = join(&mut out, &from, &mut Incoming::new(Rules::Unix), &mut to, usize::MAX);
    assert_eq!(end, End::Complete);
    let (end, _) = join(&mut out, &changed, &mut Incoming::new(Rules::Unix), &mut Disk::new(), usize::MAX);
    assert_eq!(end, End::Failed(Fault::Source, "it has changed".into()));
}

#[test]
fn another_offer_after_a_break_is_refused() {
    let (from, manifest) = files();
    let (mut into, mut to) = (Incoming::new(Rules::Unix), Disk::new());
    join(&mut Outgoing::new(manifest), &from, &mut into, &mut to, 8);
    let other = self::manifest(&[("other", Kind::File(Some(0)))]);
    let (end, _) =
        join(&mut Outgoing::new(other), &Disk::from([(0, vec![])]), &mut into, &mut to, usize::MAX);
    assert!(matches!(&end, End::Refused(why) if why.to_string().contains("something else")), "{end:?}");
}

/// Says these messages to a receiver that has accepted a file of so many bytes.
fn told(size: u64, messages: &[Message<'_>]) -> Result<(), String> {
    let mut into = Incoming::new(Rules::Unix);
    let mut out = Outgoing::new(manifest(&[("file", Kind::File(Some(size)))]));
    for record in out.connected() {
        into.handle(decode(&record)).expect("the offer is fine");
    }
    into.accept().for_each(drop);
    messages.iter().try_for_each(|message| into.handle(*message).map(drop)).map_err(|error| error.to_string())
}

#[test]
fn a_sender_that_lies_is_caught() {
    let data = bytes(CHUNK_BYTES, 1);
    let mut sums = Sums::default();
    sums.push(&data);
    let (value, hash, zeros) = (sums.values()[0], sums.whole(), [0; 32]);
    let chunk = Message::Chunk { file: 0, chunk: 0, value: &value, data: &data };
    let file = |bytes, hash| Message::File { file: 0, bytes, hash };
    let size = CHUNK_BYTES as u64;
    let end = *blake3::hash(&hash).as_bytes();
    assert_eq!(told(size, &[chunk, file(size, &hash), Message::End(&end)]), Ok(()));
    for (size, messages, why) in [
        (size, vec![chunk, chunk], "not its turn"),
        (size, vec![chunk, file(size, &zeros)], "a wrong hash"),
        (size, vec![chunk, file(size - 1, &hash)], "another size"),
        (size, vec![file(size, &hash)], "another size"),
        (size, vec![chunk, file(size, &hash), Message::End(&zeros)], "hash of the whole is wrong"),
        (size, vec![chunk, Message::End(&end)], "not its turn"),
        (size, vec![Message::Bye], "not its turn"),
        (size, vec![Message::Chunk { file: 0, chunk: 0, value: &zeros, data: &data }], "wrong hash"),
        (size, vec![Message::Chunk { file: 0, chunk: 1, value: &value, data: &data }], "not its turn"),
        (size, vec![Message::Chunk { file: 1, chunk: 0, value: &value, data: &data }], "not its turn"),
        (
            size,
            vec![Message::Chunk { file: 0, chunk: 0, value: &value, data: &data[1..] }],
            "number of bytes",
        ),
        (size - 1, vec![chunk], "number of bytes"),
        (size, vec![Message::Keep { file: 0, first: 0, count: 1 }], "more than there is"),
        (size, vec![Message::Keep { file: 0, first: 0, count: u32::MAX }], "more than there is"),
        (size, vec![Message::Offer { entries: 1, bytes: 1 }], "not its turn"),
        (size, vec![Message::Complete], "not its turn"),
    ] {
        let told = told(size, &messages);
        assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{messages:.0?}: {told:?}, not {why}");
    }
}

#[test]
fn an_offer_is_what_it_promises() {
    let manifest = manifest(&[("a", Kind::File(Some(1))), ("b", Kind::File(Some(2)))]);
    let entries: Vec<u8> = manifest.pieces(4096).flatten().collect();
    let offered = |count, bytes, entries: &[u8]| {
        let mut into = Incoming::new(Rules::Unix);
        into.handle(Message::Offer { entries: count, bytes })?;
        into.handle(Message::Entries(entries)).map(|arrival| arrival == Arrival::Offer)
    };
    assert_eq!(offered(2, 3, &entries), Ok(true));
    assert_eq!(offered(3, 3, &entries), Ok(false));
    assert!(
        offered(1, 3, &entries).is_err() && offered(2, 4, &entries).is_err() && offered(0, 0, b"").is_err()
    );
}

#[test]
fn a_receiver_cannot_ask_for_more_than_there_is() {
    let (_, manifest) = files();
    let said = |messages: &[Message<'_>]| {
        let mut out = Outgoing::new(manifest.clone());
        out.connected().for_each(drop);
        messages.iter().try_for_each(|message| out.handle(*message).map(drop))
    };
    let values = [[1; 32]; 4];
    let last = manifest.entries().len() as u32 - 1;
    let have = |file, first, count| Message::Have { file, first, values: &values[..count] };
    assert_eq!(said(&[have(last, 0, 2), have(last, 2, 1), Message::Accept]), Ok(()));
    for refused in [
        vec![have(last, 0, 4)],
        vec![have(last, 1, 1)],
        vec![have(last + 1, 0, 1)],
        vec![have(0, 0, 1)],
        vec![Message::Accept, have(last, 0, 1)],
        vec![Message::Accept, Message::Accept],
        vec![Message::Complete],
        vec![Message::Bye],
    ] {
        assert!(said(&refused).is_err(), "{refused:.0?}");
    }
}

#[test]
fn a_receiver_may_be_complete_before_the_sender_waits_for_that() {
    let mut out = Outgoing::new(manifest(&[("dir", Kind::Folder)]));
    out.connected().for_each(drop);
    assert_eq!(out.handle(Message::Accept), Ok(Notice::Accepted));
    let mut record = Vec::new();
    assert_eq!(out.next(&mut record), Task::Send);
    assert!(matches!(decode(&record), Message::End(_)));
    assert_eq!(out.handle(Message::Complete), Ok(Notice::Nothing));
    assert_eq!(out.next(&mut record), Task::Done);
    // It is another matter over the next connection.
    out.connected().for_each(drop);
    assert!(out.handle(Message::Complete).is_err());
}
