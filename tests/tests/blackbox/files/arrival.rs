//! What is sent arrives as it was.

use super::{CODE, Place, code_of, names, noise};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};
use trefoil_tests::{Disk, Program, wait_until};

#[test]
fn a_sender_says_a_code_and_the_receiver_gets_the_file() {
    let place = Place::new();
    place.file("report.pdf", b"content");
    let sender = place.send("report.pdf").spawn();
    let code = code_of(&sender);
    let parts: Vec<&str> = code.split('-').collect();
    assert!(parts.len() == 3 && (1..=999).contains(&parts[0].parse::<u32>().unwrap()), "{code}");
    let said = place.receive(&format!("--yes {code}")).run();
    assert!(said.stderr.contains("received 1 file"), "{said}");
    said.success();
    let sent = sender.wait();
    assert!(sent.stderr.contains("sent 1 file, 7 B"), "{sent}");
    sent.success();
    assert_eq!(fs::read(place.to("report.pdf")).unwrap(), b"content");
    assert_eq!(place.received(), ["report.pdf"]);
}

#[test]
fn the_receiver_may_come_first() {
    let place = Place::new();
    place.file("a", b"content");
    let receiver = place.receive(&format!("--yes {CODE}")).spawn();
    wait_until("the receiver waits", || receiver.stderr().contains("waiting"));
    place.send(&format!("--code {CODE} a")).run().success();
    receiver.wait().success();
    assert_eq!(place.received(), ["a"]);
}

#[test]
fn two_senders_do_not_get_into_each_others_way() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.file(name, name.as_bytes());
    }
    let senders = ["a", "b"].map(|name| place.send(&format!("--words 3 {name}")).spawn());
    let codes = senders.each_ref().map(code_of);
    assert!(codes[0] != codes[1] && codes.iter().all(|code| code.split('-').count() == 4), "{codes:?}");
    for code in codes.iter().rev() {
        place.receive(&format!("-y --quiet {code}")).run().success();
    }
    for sender in senders {
        sender.wait().success();
    }
    assert_eq!(place.received(), ["a", "b"]);
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new();
    place.file("a", b"content");
    let sender = place.send(&format!("--quiet --code {CODE} a")).spawn();
    let received = place.receive(&format!("--quiet --yes {CODE}")).run();
    assert_eq!((received.stderr.as_str(), &*received.stdout), ("", &b""[..]));
    let sent = sender.wait();
    assert_eq!((sent.stderr.as_str(), &*sent.stdout), ("", format!("{CODE}\n").as_bytes()));
    assert!(received.status.success() && sent.status.success());
}

/// What a tool that looks at everything would see of a folder: path, kind, permissions, time, content.
fn seen(folder: &Path, below: &Path, seen: &mut Vec<(Vec<u8>, u32, SystemTime, Vec<u8>)>) {
    let mut entries: Vec<_> = fs::read_dir(folder.join(below)).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, below) = (entry.path(), below.join(entry.file_name()));
        let metadata = path.symlink_metadata().unwrap();
        let content = match metadata.file_type() {
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
            kind if kind.is_file() => fs::read(&path).unwrap(),
            _ => Vec::new(),
        };
        let bytes = below.as_os_str().as_bytes().to_vec();
        seen.push((bytes, metadata.mode(), metadata.modified().unwrap(), content));
        if metadata.is_dir() {
            self::seen(folder, &below, seen);
        }
    }
}

#[test]
fn a_folder_arrives_with_everything_in_it() {
    let place = Place::new();
    let odd = |name: &[u8]| place.from("tree").join(OsStr::from_bytes(name));
    for number in 0..300 {
        place.file(&format!("tree/many/{number}"), number.to_string().as_bytes());
    }
    place.file("tree/large", &noise(3_000_001));
    place.file("tree/empty", b"");
    place.file("tree/run.sh", b"#!/bin/sh\n");
    place.file("tree/secret", b"nobody may write it");
    fs::create_dir_all(place.from("tree/hollow/deeper")).unwrap();
    for name in
        [&b"\xff\xfe"[..], b" ", b"-rf", b"a\nb", b"aux.c", "k\u{e4}se \u{2618}".as_bytes(), &[b'x'; 255]]
    {
        fs::write(odd(name), name).unwrap();
    }
    symlink("large", place.from("tree/link")).unwrap();
    symlink("../large", place.from("tree/hollow/up")).unwrap();
    symlink("nowhere", place.from("tree/hollow/dangling")).unwrap();
    fs::set_permissions(place.from("tree/run.sh"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.from("tree/secret"), Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(place.from("tree/hollow"), Permissions::from_mode(0o555)).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, 789_000_000);
    for name in ["tree/large", "tree/hollow", "tree"] {
        fs::File::open(place.from(name)).unwrap().set_modified(then).unwrap();
    }

    let sender = place.send(&format!("--code {CODE} tree")).spawn();
    place.receive(&format!("--yes {CODE}")).run().success();
    sender.wait().success();

    let [mut from, mut to] = [Vec::new(), Vec::new()];
    seen(&place.from(""), Path::new("tree"), &mut from);
    seen(&place.to(""), Path::new("tree"), &mut to);
    assert_eq!(from.len(), to.len());
    for (from, to) in from.into_iter().zip(to) {
        assert_eq!(from, to);
    }
    assert_eq!(fs::metadata(place.to("tree")).unwrap().modified().unwrap(), then);
    assert_eq!(place.received(), ["tree"]);
    // A folder that nobody may write into could not be removed by who is not root.
    for name in [place.from("tree/hollow"), place.to("tree/hollow")] {
        fs::set_permissions(name, Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn permissions_are_given_no_further_than_the_receiver_gives_them() {
    let place = Place::new();
    place.file("run", b"content");
    fs::set_permissions(place.from("run"), Permissions::from_mode(0o4777)).unwrap();
    let sender = place.send(&format!("--code {CODE} run")).spawn();
    let line = format!("umask 027; exec \"$0\" receive --url {} --yes {CODE}", place.url());
    let run = Program::new("sh").args(["-c", &line]).args([trefoil_tests::binary()]);
    run.folder(place.to("")).run().success();
    sender.wait().success();
    assert_eq!(fs::metadata(place.to("run")).unwrap().mode() & 0o7777, 0o750);
}

#[test]
fn standard_input_is_a_file_beside_others() {
    let place = Place::new();
    place.file("a", b"content");
    for input in [noise(1_000_000), Vec::new()] {
        let sender = place.send(&format!("--code {CODE} --name in.bin - a")).stdin(input.clone()).spawn();
        place.receive(&format!("--yes --overwrite {CODE}")).run().success();
        sender.wait().success();
        assert!(fs::read(place.to("in.bin")).unwrap() == input);
        assert_eq!(place.received(), ["a", "in.bin"]);
    }
}

#[test]
fn the_output_folder_is_made_and_may_be_anywhere() {
    let place = Place::new();
    place.file("a", b"content");
    let sender = place.send(&format!("--code {CODE} a")).spawn();
    place.receive(&format!("--yes {CODE} --output new/folder")).run().success();
    sender.wait().success();
    assert_eq!(fs::read(place.to("new/folder/a")).unwrap(), b"content");
}

#[test]
fn what_is_named_by_dots_or_a_link_has_a_name_of_its_own() {
    let place = Place::new();
    place.file("dir/a", b"content");
    symlink("dir/a", place.from("link")).unwrap();
    let sender = place.send(&format!("--code {CODE} dir/. link")).spawn();
    place.receive(&format!("--yes {CODE}")).run().success();
    sender.wait().success();
    assert_eq!(place.received(), ["dir", "link"]);
    assert!(place.to("link").symlink_metadata().unwrap().is_file());
}

/// A receiver that writes to this disk.
fn receiver_on(disk: &Disk, place: &Place) -> Program {
    let program = Program::from(disk.command()).args(["receive", "--yes", "--overwrite", CODE]);
    program.args(["--url", &place.url()]).args(["--output".as_ref(), disk.store().as_os_str()])
}

#[test]
fn a_file_gets_its_name_when_it_is_on_disk() {
    let (place, disk) = (Place::new(), Disk::new());
    place.file("a", b"content");
    let sender = place.send(&format!("--code {CODE} a")).spawn();
    disk.fails("sync hold");
    let receiver = receiver_on(&disk, &place).spawn();
    wait_until("it is being synced", || disk.struck("sync hold") > 0);
    assert_eq!(names(&disk.store()), ["a.trefoil.part"]);
    disk.works();
    receiver.wait().success();
    sender.wait().success();
    assert_eq!(names(&disk.store()), ["a"]);
}

#[test]
fn what_is_not_on_disk_has_not_been_sent() {
    let disk = Disk::new();
    for (fault, what) in [("sync EIO", "a"), ("syncdir EIO", "a"), ("syncdir EIO", "tree")] {
        let place = Place::new();
        place.file("a", b"content");
        place.file("tree/a", b"content");
        disk.fails(fault);
        let sender = place.send(&format!("--code {CODE} {what}")).spawn();
        let failed = receiver_on(&disk, &place).run().failure(1);
        assert!(failed.contains("Input/output error"), "{failed}");
        let told = sender.wait().failure(1);
        assert!(told.contains("the receiver cannot go on"), "{told}");
    }
}
