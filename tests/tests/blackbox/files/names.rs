//! Nothing is written outside the chosen folder, whatever the sender says and whatever stands there.

use super::peer::{Peer, entry, sums};
use super::{CODE, Place, names};
use std::fs;
use std::os::unix::fs::symlink;
use trefoil_transfer::Message;

/// Offers these entries to a receiver, and sends content for the last one if it is so bold to accept.
fn offer(place: &Place, entries: &[Vec<u8>]) -> trefoil_tests::Outcome {
    let receiver = place.receive(&format!("--yes {CODE}")).spawn();
    let mut sender = Peer::sender(place.hub.tcp_port(), CODE);
    sender.say(Message::Offer { entries: entries.len() as u32, bytes: 4 });
    sender.say(Message::Entries(&entries.concat()));
    if sender.is_accepted() {
        let (value, hash) = sums(b"evil");
        let file = entries.len() as u32 - 1;
        sender.say(Message::Chunk { file, chunk: 0, value: &value, data: b"evil" });
        sender.say(Message::File { file, bytes: 4, hash: &hash });
        sender.say(Message::End(blake3_of(&hash)));
        while sender.hear().is_some_and(|heard| heard != "Complete") {}
        sender.say(Message::Bye);
    }
    drop(sender);
    receiver.wait()
}

/// The hash of the only hash.
fn blake3_of(hash: &[u8; 32]) -> &'static [u8; 32] {
    let (_, whole) = sums(hash);
    Box::leak(Box::new(whole))
}

#[test]
fn an_honest_offer_is_taken() {
    let place = Place::new();
    offer(&place, &[entry(1, b"dir", 0, b""), entry(0, b"dir/good", 4, b"")]).success();
    assert_eq!(fs::read(place.to("dir/good")).unwrap(), b"evil");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let long = [b'x'; 300];
    let deep = b"a/".repeat(300);
    let outside = std::env::temp_dir().join("trefoil-evil");
    let absolute = outside.to_str().unwrap().as_bytes();
    let file = |path: &[u8]| vec![entry(0, path, 4, b"")];
    let in_dir = |other: Vec<u8>| vec![entry(1, b"dir", 0, b""), other];
    for (entries, why) in [
        (file(b"../evil"), "not safe"),
        (file(b".."), "not safe"),
        (file(b"."), "not safe"),
        (file(absolute), "not safe"),
        (file(b""), "not safe"),
        (file(b"a\0b"), "not safe"),
        (file(&long), "not safe"),
        (file(&deep), "not safe"),
        (in_dir(entry(0, b"dir/../../evil", 4, b"")), "not safe"),
        (in_dir(entry(0, b"dir//evil", 4, b"")), "not safe"),
        (file(b"dir/evil"), "in no folder"),
        (vec![entry(2, b"l", 0, b".."), entry(0, b"l/evil", 4, b"")], "leads out"),
        (in_dir(entry(2, b"dir/l", 0, b"../..")), "leads out"),
        (in_dir(entry(2, b"dir/l", 0, b"/tmp")), "leads out"),
        (in_dir(entry(2, b"dir/l", 0, b"x/../../..")), "leads out"),
        ([in_dir(entry(2, b"dir/l", 0, b"x")), file(b"dir/l/evil")].concat(), "in no folder"),
        ([in_dir(entry(2, b"dir/l", 0, b"x")), file(b"dir/l")].concat(), "is there twice"),
        (vec![entry(7, b"a", 4, b"")], "cannot be read"),
    ] {
        let place = Place::new();
        let refused = offer(&place, &entries).failure(1);
        assert!(refused.contains(why), "{why}: {refused}");
        assert_eq!(
            (names(place.folder.path()), place.received()),
            (vec!["from".into(), "to".into()], vec![])
        );
    }
    assert!(!outside.exists());
}

#[test]
fn what_is_shown_does_no_harm_to_a_terminal() {
    let place = Place::new();
    let name = b"a\x1b[2J\x07";
    fs::create_dir(place.to("a\u{1b}[2J\u{7}")).unwrap();
    let refused = offer(&place, &[entry(0, name, 4, b"")]).failure(1);
    assert!(refused.contains("a\\u{1b}[2J\\u{7}") && !refused.contains('\u{1b}'), "{refused:?}");
}

#[test]
fn links_that_stand_in_the_folder_are_followed_nowhere() {
    for planted in
        ["tree", "tree/sub", "tree.trefoil.part", "tree.trefoil.part/tree", "tree.trefoil.part/tree/sub"]
    {
        let place = Place::new();
        place.file("tree/sub/a", b"content");
        let outside = place.folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::create_dir_all(place.to(planted).parent().unwrap()).unwrap();
        symlink(&outside, place.to(planted)).unwrap();
        let sender = place.send(&format!("--code {CODE} tree")).spawn();
        let received = place.receive(&format!("--yes --overwrite {CODE}")).run();
        if planted.contains("part") {
            // It was ours, so it gives way.
            received.success();
            sender.wait().success();
            assert_eq!(fs::read(place.to("tree/sub/a")).unwrap(), b"content");
            assert_eq!(place.received(), ["tree"]);
        } else {
            let refused = received.failure(1);
            assert!(refused.contains("is no folder here"), "{refused}");
            sender.wait().failure(1);
        }
        assert_eq!(names(&outside), Vec::<String>::new(), "{planted}");
    }
}

#[test]
fn a_part_that_is_another_file_too_is_not_written_into() {
    let place = Place::new();
    place.file("a", b"content");
    let outside = place.folder.path().join("outside");
    fs::write(&outside, b"mine").unwrap();
    for plant in [|from: &_, to: &_| fs::hard_link(from, to), |from: &_, to: &_| symlink(from, to)] {
        plant(&outside, &place.to("a.trefoil.part")).unwrap();
        let sender = place.send(&format!("--code {CODE} a")).spawn();
        place.receive(&format!("--yes --overwrite {CODE}")).run().success();
        sender.wait().success();
        assert_eq!(
            (fs::read(&outside).unwrap(), fs::read(place.to("a")).unwrap()),
            (b"mine".into(), b"content".into())
        );
    }
}
