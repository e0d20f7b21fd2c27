//! Records and the file of users.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use trefoil_auth::scram::ITERATIONS_MIN;
use trefoil_auth::{Change, Editor, Kind, Record, RecordError, Secret, Users};

const SALT: &[u8; 16] = b"salt of 16 bytes";

fn record(password: &str) -> Record {
    Record::scram(password, SALT, ITERATIONS_MIN).unwrap()
}

fn parse(text: &str) -> Users {
    Users::parse(text, Secret::new([1; 32])).unwrap()
}

#[test]
fn records_are_read_as_they_are_written() {
    for (record, kind) in
        [(record("pencil"), Kind::ScramSha256), (Record::argon2id("pencil", SALT).unwrap(), Kind::Argon2id)]
    {
        let text = record.to_string();
        assert_eq!(Record::parse(&text).as_ref(), Ok(&record), "{text}");
        assert_eq!(record.kind(), kind);
        assert!(!format!("{record:?}").contains(&text[text.len() - 20..]), "keys are not for logs");
    }
}

/// The password of RFC 7677 §3, with its salt; the keys were checked with Python's hashlib.
#[test]
fn a_verifier_is_the_one_that_others_derive() {
    let salt =
        [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
    let record = Record::scram("pencil", &salt, 4096).unwrap();
    assert_eq!(
        record.to_string(),
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
         WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
}

#[test]
fn broken_records_are_refused_without_repeating_them() {
    let good = record("x").to_string();
    for (text, expected) in [
        ("plain text", RecordError::UnknownKind),
        ("$7$101$abc$def", RecordError::UnknownKind),
        ("SCRAM-SHA-1$4096:AAAA$AAAA:AAAA", RecordError::UnknownKind),
    ] {
        assert_eq!(Record::parse(text), Err(expected));
    }
    for text in [
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
        &good.replace("$4096:", "$4095:"),
        &good.replace("$4096:", "$2000001:"),
        &good.replace("$4096:", "$many:"),
        &good[..good.len() - 1],
        "$argon2id$",
        "$argon2id$v=16$m=19456,t=2,p=1$c2FsdCBvZiAxNiBieXRlcw$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=9999999,t=2,p=1$c2FsdCBvZiAxNiBieXRlcw$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiAxNiBieXRlcw",
    ] {
        assert!(matches!(Record::parse(text), Err(RecordError::Malformed(_))), "{text}");
    }
}

#[test]
fn passwords_are_checked_with_either_kind() {
    let hash = Record::argon2id("pencil", SALT).unwrap();
    let users = parse(&format!("# who may come\n\nann:{}\n  bob : {hash}  \r\n", record("pencil")));
    assert_eq!(users.len(), 2);
    for name in ["ann", "bob", "a\u{ad}nn"] {
        assert!(users.check(name, b"pencil").is_some(), "{name}");
        for wrong in [&b"pen"[..], b"", b"\xff\xfe", b"Pencil"] {
            assert_eq!(users.check(name, wrong), None, "{name}");
        }
    }
    assert_eq!(users.check("nobody", b"pencil"), None);
    assert_eq!(users.check("", b"pencil"), None);
    assert_eq!(users.get("a\u{ad}nn").as_deref(), Some("ann"));
    assert_eq!(parse("").check("ann", b"pencil"), None);
}

#[test]
fn mistakes_are_told_by_line_and_all_at_once() {
    let good = record("x");
    let text = format!("# fine\nann:{good}\nbob\n:{good}\nann:{good}\neve:secret\nb\u{7}b:{good}\n");
    let error = Users::parse(&text, Secret::new([1; 32])).unwrap_err();
    let lines: Vec<usize> = error.problems().map(|(line, _)| line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7]);
    let shown = error.to_string();
    assert!(shown.contains("line 5: ann stands in line 2 already"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
    let error = Users::parse(&"nonsense\n".repeat(1000), Secret::new([1; 32])).unwrap_err();
    assert_eq!(error.problems().count(), 21);
}

#[test]
fn users_beside_the_file_come_and_go_and_the_file_goes_before_them() {
    let users = parse(&format!("ann:{}", record("file")));
    let mut more = users.clone();
    more.set("b\u{ad}ob", Some(record("one"))).unwrap();
    more.set("ann", Some(record("added"))).unwrap();
    assert_eq!((users.len(), more.len()), (1, 2));
    assert_eq!(more.check("bob", b"one").as_deref(), Some("bob"));
    assert_eq!(more.check("ann", b"added"), None);
    assert_eq!(more.check("ann", b"file").as_deref(), Some("ann"));
    assert!(
        more.is_in_file("ann") && more.is_added("ann") && more.is_added("bob") && !more.is_in_file("bob")
    );
    assert_eq!(more.added().map(|(name, _)| &**name).collect::<Vec<_>>(), ["bob", "ann"]);

    let mut changed = more.clone();
    changed.set("bob", Some(Record::argon2id("two", SALT).unwrap())).unwrap();
    assert_eq!(changed.check("bob", b"one"), None);
    assert!(changed.check("bob", b"two").is_some());
    assert!(!changed.agree_on("bob", &more) && changed.agree_on("ann", &more));
    assert!(!changed.agree_on("nobody", &more));

    // The file is read again, and now has nobody.
    let mut read_again = parse("").with_added_of(&changed);
    assert!(read_again.check("bob", b"two").is_some() && read_again.check("ann", b"added").is_some());
    read_again.set("bob", None).unwrap();
    assert_eq!((read_again.check("bob", b"two"), read_again.get("bob"), read_again.len()), (None, None, 1));
    assert!(read_again.set("a:b", None).is_err());
}

#[test]
fn what_is_made_up_is_like_the_records_beside_the_file_too() {
    let mut users = parse("");
    users.set("ann", Some(Record::scram("x", &[1; 20], 5000).unwrap())).unwrap();
    let made_up = users.verifier("nobody");
    assert_eq!((made_up.salt().len(), made_up.iterations()), (20, 5000));
}

#[test]
fn an_editor_changes_one_line_and_keeps_the_rest() {
    let (one, two) = (record("one"), record("two"));
    let mut editor = Editor::new("# mine\nann:old\n\n# his\nbob:old\n");
    assert_eq!(editor.set("ann", &one), Ok(Change::Replaced));
    assert_eq!(editor.set("eve", &two), Ok(Change::Added));
    assert_eq!(editor.text(), format!("# mine\nann:{one}\n\n# his\nbob:old\neve:{two}\n"));
    assert!(editor.remove("bob"));
    assert!(!editor.remove("bob"));
    assert_eq!(parse(&editor.text()).len(), 2);
    for bad in ["", "a:b", "#a", " a", "a\u{7}", &"x".repeat(256)] {
        assert!(editor.set(bad, &one).is_err(), "{bad:?}");
    }
    assert_eq!(Editor::new("").text(), "");
}
