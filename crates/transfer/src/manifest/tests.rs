use super::*;
use proptest::prelude::*;

fn entry(path: &str, kind: Kind) -> Entry {
    Entry { path: path.into(), kind, mode: 0o644, modified: (1_700_000_000, 5) }
}

fn build(entries: &[Entry]) -> Result<Manifest, ManifestError> {
    let mut builder = Builder::new(Rules::Unix);
    entries.iter().cloned().try_for_each(|entry| builder.push(entry))?;
    Ok(builder.finish())
}

#[test]
fn a_manifest_comes_as_it_was_sent_in_pieces_of_any_size() {
    let entries = [
        entry("a", Kind::Folder),
        entry("a/b", Kind::File(Some(12))),
        entry("a/l", Kind::Link(b"b".to_vec())),
        entry("c", Kind::File(None)),
        Entry { path: b"\xff".to_vec(), modified: (-1, 999_999_999), mode: 0o777, kind: Kind::File(Some(3)) },
    ];
    let manifest = build(&entries).expect("it is fine");
    assert_eq!((manifest.bytes(), manifest.files(), manifest.tops().count()), (15, 3, 3));
    for piece_bytes in [1, 60, 4096] {
        let mut builder = Builder::new(Rules::Unix);
        for piece in manifest.pieces(piece_bytes) {
            builder.push_encoded(&piece).expect("it comes as it was sent");
        }
        assert_eq!(builder.finish(), manifest);
    }
}

#[test]
fn what_does_not_belong_is_refused() {
    use ManifestError as E;
    let folder = entry("a", Kind::Folder);
    let file = |path: &str| entry(path, Kind::File(Some(1)));
    let path = |path: &str| path.as_bytes().to_vec();
    for (entries, error) in [
        (vec![file("../a")], E::Name(path("../a"), NameError::Dots)),
        (vec![file("/a")], E::Name(path("/a"), NameError::Empty)),
        (vec![file("a/b")], E::NoFolder(path("a/b"))),
        (vec![file("a"), file("a/b")], E::NoFolder(path("a/b"))),
        (vec![folder.clone(), file("a")], E::Twice(path("a"))),
        (vec![entry("l", Kind::Link(path("a")))], E::Link(path("l"))),
        (vec![folder.clone(), entry("a/l", Kind::Link(path("../x")))], E::Link(path("a/l"))),
        (
            vec![folder.clone(), entry("a/l", Kind::Link(path("b"))), file("a/l/x")],
            E::NoFolder(path("a/l/x")),
        ),
        (vec![entry("a", Kind::File(Some(u64::MAX - 1)))], E::Field(path("a"))),
        (vec![Entry { mode: 0o4755, ..file("a") }], E::Field(path("a"))),
        (vec![Entry { modified: (0, 1_000_000_000), ..file("a") }], E::Field(path("a"))),
    ] {
        assert_eq!(build(&entries), Err(error));
    }
}

#[test]
fn sizes_that_do_not_fit_together_are_refused() {
    let large = |index: u32| entry(&index.to_string(), Kind::File(Some(FILE_BYTES_MAX)));
    let mut builder = Builder::new(Rules::Unix);
    let refused = (0..20_000).find_map(|index| builder.push(large(index)).err());
    assert!(matches!(refused, Some(ManifestError::Field(_))), "{refused:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_a_manifest_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut builder = Builder::new(Rules::Unix);
        if builder.push_encoded(&bytes).is_ok() {
            let again: Vec<u8> = builder.finish().pieces(4096).flatten().collect();
            prop_assert_eq!(again, bytes);
        }
    }
}
