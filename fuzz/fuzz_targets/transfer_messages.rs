//! What somebody says who knows the code: both ends take it or refuse it, and what is taken stays within what was offered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_transfer::{
    Arrival, Builder, CHUNK_BYTES, CHUNK_ROOM_BYTES, Entry, Incoming, Kind, Message, Notice, Outgoing, Task,
    name, name::Rules, stays_inside,
};

const FILE_BYTES: u64 = CHUNK_BYTES as u64 + 3;

fuzz_target!(|messages: Vec<&[u8]>| {
    receive(&messages);
    send(&messages);
});

fn receive(messages: &[&[u8]]) {
    let mut incoming = Incoming::new(Rules::Unix);
    incoming.connected();
    for bytes in messages {
        let Ok(message) = Message::decode(bytes) else { continue };
        assert_eq!(&message.record()[4..], *bytes);
        match incoming.handle(message) {
            Err(_) => return,
            Ok(Arrival::Offer) => {
                let manifest = incoming.manifest().expect("it has been offered").clone();
                for entry in manifest.entries() {
                    assert!(name::check(&entry.path, Rules::Unix).is_ok() && entry.mode <= 0o777);
                    if let Kind::Link(target) = &entry.kind {
                        assert!(stays_inside(&entry.path, target));
                    }
                }
                incoming.accept().for_each(drop);
            }
            Ok(Arrival::Chunk { file, offset, data }) => {
                let manifest = incoming.manifest().expect("it has been offered");
                match manifest.entries()[file as usize].kind {
                    Kind::File(Some(size)) => assert!(offset + data.len() as u64 <= size),
                    Kind::File(None) => {}
                    _ => panic!("only files have content"),
                }
            }
            Ok(_) => {}
        }
    }
}

fn send(messages: &[&[u8]]) {
    let mut builder = Builder::new(Rules::Unix);
    for (path, kind) in [("a", Kind::File(Some(FILE_BYTES))), ("b", Kind::File(None))] {
        builder
            .push(Entry { path: path.into(), kind, mode: 0o644, modified: (0, 0) })
            .expect("it may be sent");
    }
    let mut outgoing = Outgoing::new(builder.finish());
    outgoing.connected().for_each(drop);
    let mut record = Vec::new();
    let mut is_accepted = false;
    for bytes in messages {
        let Ok(message) = Message::decode(bytes) else { continue };
        match outgoing.handle(message) {
            Err(_) => return,
            Ok(Notice::Accepted) => is_accepted = true,
            Ok(_) => {}
        }
        if is_accepted && let Task::Read { file, chunk, bytes } = outgoing.next(&mut record) {
            let size = if file == 0 { FILE_BYTES } else { 5 };
            let left = size.saturating_sub(u64::from(chunk) * CHUNK_BYTES as u64).min(bytes as u64) as usize;
            record[CHUNK_ROOM_BYTES..][..left].fill(7);
            outgoing.was_read(left, &mut record).expect("the files do not change");
        }
    }
}
