//! Ends that know the code and do not keep to what they say.

use super::peer::{Peer, entry, sums};
use super::{CODE, Place, noise};
use trefoil_transfer::{CHUNK_BYTES, Message};

/// A receiver to which a file of so many bytes was offered, and the sender that offered it.
fn offered(place: &Place, bytes: u64) -> (Peer, trefoil_tests::Running) {
    let receiver = place.receive(&format!("--yes --reconnect 1 {CODE}")).spawn();
    let mut sender = Peer::sender(place.hub.tcp_port(), CODE);
    sender.say(Message::Offer { entries: 1, bytes });
    sender.say(Message::Entries(&entry(0, b"a", bytes, b"")));
    assert!(sender.is_accepted());
    (sender, receiver)
}

#[test]
fn a_sender_that_lies_about_size_or_hash_leaves_nothing_under_the_final_name() {
    let data = noise(CHUNK_BYTES);
    let (value, hash) = sums(&data);
    let (_, end) = sums(&hash);
    let zeros = [0; 32];
    let size = data.len() as u64;
    let chunk = Message::Chunk { file: 0, chunk: 0, value: &value, data: &data };
    let file = |bytes, hash| Message::File { file: 0, bytes, hash };
    for (bytes, messages, why) in [
        (size, vec![Message::Chunk { file: 0, chunk: 0, value: &zeros, data: &data }], "wrong hash"),
        (size, vec![chunk, file(size, &zeros)], "wrong hash"),
        (size, vec![chunk, file(size, &hash), Message::End(&zeros)], "hash of the whole is wrong"),
        (size + 1, vec![chunk, file(size, &hash)], "another size"),
        (size, vec![chunk, file(size + 1, &hash)], "another size"),
        (size - 1, vec![chunk], "another number of bytes"),
        (size, vec![Message::Keep { file: 0, first: 0, count: 1 }, file(size, &hash)], "more than there is"),
        (size, vec![Message::End(&end)], "not its turn"),
        (size, vec![Message::Bye], "not its turn"),
    ] {
        let place = Place::new();
        let (mut sender, receiver) = offered(&place, bytes);
        messages.iter().for_each(|message| sender.say(*message));
        let heard = sender.hear().unwrap();
        assert!(heard.contains("Violation") && heard.contains(why), "{heard}");
        drop(sender);
        let refused = receiver.wait().failure(1);
        assert!(refused.contains(why), "{why}: {refused}");
        assert!(!place.to("a").exists());
    }
}

#[test]
fn an_offer_of_another_size_than_its_list_is_refused() {
    let place = Place::new();
    let receiver = place.receive(&format!("--yes {CODE}")).spawn();
    let mut sender = Peer::sender(place.hub.tcp_port(), CODE);
    sender.say(Message::Offer { entries: 1, bytes: 5 });
    sender.say(Message::Entries(&entry(0, b"a", 4, b"")));
    assert!(sender.hear().unwrap().contains("another number of bytes"));
    drop(sender);
    receiver.wait().failure(1);
    assert!(place.received().is_empty());
}

#[test]
fn what_is_no_record_ends_the_connection_and_is_not_written() {
    for bytes in [&b"\xff\xff\xff\xff"[..], &[0, 0, 0, 20], &[&[0, 0, 0, 20][..], &[7; 20]].concat(), b""] {
        let place = Place::new();
        let (mut sender, receiver) = offered(&place, 4);
        sender.say_raw(bytes);
        drop(sender);
        let lost = receiver.wait().failure(3);
        assert!(lost.contains("has not come back"), "{lost}");
        assert_eq!(place.received(), ["a.trefoil.part"]);
    }
}

#[test]
fn a_receiver_that_lies_gets_nothing_more() {
    for messages in [
        vec![Message::Complete],
        vec![Message::Have { file: 0, first: 0, values: &[[0; 32]; 2] }],
        vec![Message::Have { file: 1, first: 0, values: &[] }],
        vec![Message::Bye],
    ] {
        let place = Place::new();
        place.file("a", b"content");
        let sender = place.send(&format!("--code {CODE} a")).spawn();
        let mut receiver = Peer::receiver(place.hub.tcp_port(), CODE).unwrap();
        messages.iter().for_each(|message| receiver.say(*message));
        while receiver.hear().is_some_and(|heard| !heard.contains("Violation")) {}
        drop(receiver);
        sender.wait().failure(1);
    }
}
