//! Both ends over a pair of sockets.

use super::channel::Channel;
use super::offer::{self, Links, Offer};
use super::progress::Progress;
use super::receive::Receiver;
use super::source::Source;
use super::{Stop, link::Link, send};
use crate::arguments::{Arguments, Command, Receive};
use clap::Parser;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use trefoil_transfer::{Ciphers, Code, Fault, Handshake, Keys, Message, Outgoing, Role, Step};

/// The keys of a sender and a receiver.
fn keys() -> [Keys; 2] {
    let code: Code = "7-amber-canoe".parse().expect("it is a code");
    let (mut sender, hello) = Handshake::begin(Role::Sender, &code, Ciphers::all(), [1; 32]);
    let (mut receiver, answer) = Handshake::begin(Role::Receiver, &code, Ciphers::all(), [2; 32]);
    let Ok(Step::Send(proof)) = receiver.handle(&hello) else { panic!("the receiver proves first") };
    let Ok(Step::Wait) = sender.handle(&answer) else { panic!("the sender waits") };
    let Ok(Step::Done { send: Some(verdict), keys: sender }) = sender.handle(&proof) else {
        panic!("it is right")
    };
    let Ok(Step::Done { keys: receiver, .. }) = receiver.handle(&verdict) else { panic!("it is right") };
    [*sender, *receiver]
}

fn channels() -> [Channel; 2] {
    let (one, other) = UnixStream::pair().expect("the system has sockets");
    let [sender, receiver] = keys();
    [(one, sender), (other, receiver)].map(|(link, keys)| Channel::start(link, keys).expect("threads start"))
}

fn arguments(output: &Path) -> Receive {
    let output = output.to_str().expect("it is UTF-8");
    let line = ["trefoil", "receive", "7-amber-canoe", "--yes", "--output", output];
    match Arguments::try_parse_from(line).map(|arguments| arguments.command) {
        Ok(Some(Command::Receive(receive))) => *receive,
        other => panic!("{other:?}"),
    }
}

fn offer(folder: &Path) -> (Outgoing, Source) {
    let Offer { manifest, places, .. } =
        offer::list(&[folder.to_owned()], Links::Keep, "stdin").expect("it can be sent");
    (Outgoing::new(manifest), Source::new(places, Box::new(std::io::empty())))
}

#[test]
fn a_folder_passes_a_pair_of_sockets() {
    let [from, to] = [0; 2].map(|_| tempfile::tempdir().expect("there is room for a folder"));
    let tree = from.path().join("tree");
    std::fs::create_dir(&tree).expect("there is room");
    let large: Vec<u8> = (0..5_000_000_u32).map(|number| (number / 3) as u8).collect();
    std::fs::write(tree.join("large"), &large).expect("there is room");
    let (mut outgoing, mut source) = offer(&tree);
    let [sending, receiving] = channels();
    let sender = std::thread::spawn(move || {
        send::give(sending, &mut outgoing, &mut source, &mut Progress::new(true))
            .map(|()| outgoing.done_bytes())
    });
    let arguments = arguments(to.path());
    Receiver::new(&arguments).take(receiving, &mut Progress::new(true)).expect("everything arrives");
    assert_eq!(sender.join().expect("it does not panic").expect("everything is sent"), 5_000_000);
    assert!(std::fs::read(to.path().join("tree/large")).expect("it is there") == large);
}

#[test]
fn the_last_words_arrive_before_the_end() {
    let [one, other] = channels();
    let listener = std::thread::spawn(move || {
        let received = other.receive().expect("something comes");
        let message = format!("{:?}", received.message());
        (message, other.receive().map(drop).expect_err("nothing more comes"))
    });
    one.close(&Message::Fail { fault: Fault::NoSpace, text: "the disk is full" });
    let (message, end) = listener.join().expect("it does not panic");
    assert!(message.contains("the disk is full"), "{message}");
    assert!(matches!(end, Stop::Broken(_)), "{end:?}");
}

#[test]
fn few_of_many_buffers_are_kept() {
    let [one, other] = channels();
    let listener = std::thread::spawn(move || (0..100).all(|_| other.receive().map(drop).is_ok()));
    for _ in 0..100 {
        one.send(Message::Entries(&[0; 1000]).record()).expect("it is open");
    }
    assert!(listener.join().expect("it does not panic"), "all arrive");
    let kept = (0..100).filter(|_| one.buffer().capacity() > 0).count();
    assert!((1..10).contains(&kept), "{kept} of 100");
}

#[test]
fn a_sender_hears_why_the_receiver_gave_up_while_it_sends() {
    let [one, other] = channels();
    let listener =
        std::thread::spawn(move || other.close(&Message::Fail { fault: Fault::Declined, text: "no" }));
    let end = loop {
        if let Err(end) = one.send(Message::Entries(&[0; 100_000]).record()) {
            break end;
        }
    };
    listener.join().expect("it does not panic");
    assert!(
        matches!(&end, Stop::Fatal(failure) if failure.message().contains("does not want it")),
        "{end:?}"
    );
}

#[test]
fn a_byte_that_changes_on_the_way_ends_the_connection() {
    let (one, mut middle) = UnixStream::pair().expect("the system has sockets");
    let (mut beyond, other) = UnixStream::pair().expect("the system has sockets");
    let [sender, receiver] = keys();
    let one = Channel::start(one, sender).expect("threads start");
    let other = Channel::start(other, receiver).expect("threads start");
    one.send(Message::Accept.record()).expect("it is open");
    let mut record = [0; 21];
    middle.read_exact(&mut record).expect("the record comes");
    record[7] ^= 1;
    beyond.write_all(&record).expect("it is open");
    let end = other.receive().map(drop).expect_err("it is not what was sent");
    assert!(matches!(&end, Stop::Broken(why) if why.contains("changed on the way")), "{end:?}");
}

#[test]
fn a_stranger_is_not_waited_for_once_it_has_gone() {
    let (one, other) = UnixStream::pair().expect("the system has sockets");
    let [sender, _] = keys();
    let channel = Channel::start(one, sender).expect("threads start");
    other.end(Shutdown::Both);
    drop(other);
    assert!(matches!(channel.receive().map(drop), Err(Stop::Broken(_))));
}
