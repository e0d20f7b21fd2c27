use super::*;
use trefoil_transfer::{Builder, name::Rules};

fn manifest(paths: &[&[u8]]) -> Manifest {
    let mut builder = Builder::new(Rules::Unix);
    for path in paths {
        let entry = Entry { path: path.to_vec(), kind: Kind::File(Some(3)), mode: 0o640, modified: (1, 2) };
        builder.push(entry).expect("it may be sent");
    }
    builder.finish()
}

#[test]
fn a_name_leaves_room_for_what_stands_behind_it() {
    assert_eq!(part_name(&manifest(&[b"a", b"b"])), b"a.trefoil.part");
    let longest = [b'x'; name::NAME_BYTES_MAX];
    let [one, other] = [&[&longest[..]][..], &[&longest[..], b"b"]].map(|paths| part_name(&manifest(paths)));
    assert!(one.len() == name::NAME_BYTES_MAX && other.len() == name::NAME_BYTES_MAX && one != other);
    assert!(one.ends_with(PART) && name::check(&one, Rules::Unix).is_ok());
}

#[test]
fn what_is_found_is_what_was_written() {
    let output = tempfile::tempdir().expect("there is room for a folder");
    let manifest = manifest(&[b"a", b"b"]);
    let mut target = Target::open(output.path(), &manifest, 0o022).expect("the folder is empty");
    assert!(target.found(&manifest).expect("nothing is there").is_empty());
    let busy = Target::open(output.path(), &manifest, 0o022).err().expect("it is being written");
    assert!(busy.to_string().contains("another receiver"), "{busy}");
    target.write(1, &manifest.entries()[1], 0, b"abc").expect("there is room");
    drop(target);

    let mut target = Target::open(output.path(), &manifest, 0o022).expect("the other one has gone");
    let mut expected = Sums::default();
    expected.push(b"abc");
    assert_eq!(target.found(&manifest).expect("it can be read"), [(1, expected)]);
    for (file, entry) in manifest.entries().iter().enumerate() {
        target.write(file as u32, entry, 0, b"abc").expect("there is room");
        target.finish(file as u32, entry, 3).expect("it is there");
    }
    target.publish(&manifest, false).expect("nothing is in the way");
    assert_eq!(std::fs::read(output.path().join("b")).expect("it is there"), b"abc");
    assert_eq!(std::fs::read_dir(output.path()).expect("it is there").count(), 2);
}

#[test]
fn what_appears_meanwhile_is_not_replaced() {
    let output = tempfile::tempdir().expect("there is room for a folder");
    let manifest = manifest(&[b"a"]);
    let mut target = Target::open(output.path(), &manifest, 0o022).expect("the folder is empty");
    target.write(0, &manifest.entries()[0], 0, b"abc").expect("there is room");
    target.finish(0, &manifest.entries()[0], 3).expect("it is there");
    std::fs::write(output.path().join("a"), b"mine").expect("there is room");
    let refused = target.publish(&manifest, false).expect_err("a is in the way");
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(output.path().join("a")).expect("it is there"), b"mine");
    assert_eq!(std::fs::read(output.path().join("a.trefoil.part")).expect("it is kept"), b"abc");
}
