//! What failures come to, and changes of users beside their file.

use super::*;
use crate::beside::testing::Bench;
use crate::mail::Mail;
use std::cell::RefCell;
use trefoil_auth::scram;

/// Some moment.
fn now() -> Time {
    Time::from_ms(1000)
}

fn access(folder: &tempfile::TempDir, config: trefoil_config::Auth) -> Access {
    let path = folder.path().join("users.txt");
    fs::write(&path, format!("ann:{}\n", record("a"))).expect("a folder of this test");
    let config = trefoil_config::Auth { users: Some(path), ..config };
    Access::open(&config).expect("a good file").expect("a file")
}

fn record(password: &str) -> Record {
    Record::scram(password, b"salt of 16 bytes", scram::ITERATIONS_MIN).expect("a password")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address of this test")
}

/// Has an address fail as often as it may; gives what shards were told of it.
fn fail(bench: &Bench, address: &str) -> (Vec<String>, usize) {
    for _ in 0..3 {
        judge(&bench.context, Some(ip(address)), now(), None);
    }
    let mut mail = Vec::new();
    bench.context.mailboxes[0].take(&mut mail);
    let purges = mail.iter().filter(|mail| matches!(mail, Mail::Purge { .. })).count();
    let kept = mail.into_iter().filter_map(|mail| match mail {
        Mail::Keep { key, .. } => Some(key.into_string()),
        _ => None,
    });
    (kept.collect(), purges)
}

#[test]
fn who_fails_too_often_is_banned_where_that_is_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let auth = trefoil_config::Auth { failures_max: 2, ..Default::default() };
    let bans = trefoil_config::Bans { failures_ban_s: 60, ..Default::default() };
    let bench = Bench::with_access(access(&folder, auth.clone()), &auth, &bans);
    let refuses = |address: &str| bench.context.bans.refuses_address(ip(address));
    judge(&bench.context, Some(ip("192.0.2.7")), now(), None);
    assert!(!refuses("192.0.2.7"), "one failure is none too many");
    assert_eq!(fail(&bench, "192.0.2.7"), (vec!["address:192.0.2.7".to_owned()], 0), "who is here stays");
    assert!(refuses("192.0.2.7") && !refuses("192.0.2.8"));
    assert_eq!(fail(&bench, "2001:db8::7").0, ["address:2001:db8::/64"]);
    assert!(refuses("2001:db8::1234") && !refuses("2001:db8:0:1::"));
    let listed = bench.context.bans.list(&|_, _| {});
    assert!(listed.iter().all(|ban| ban.is_automatic && ban.until_ms == Some(ban.set_at_ms + 60_000)));
    for loopback in ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(fail(&bench, loopback), (Vec::new(), 0), "{loopback}");
        assert!(!refuses(loopback));
    }

    let bench = Bench::with_access(access(&folder, auth.clone()), &auth, &Default::default());
    assert_eq!(fail(&bench, "192.0.2.7"), (Vec::new(), 0), "where it is not set, it is only not listened to");
}

#[test]
fn users_beside_the_file_are_changed_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let access = access(&folder, trefoil_config::Auth { users_max: 2, ..Default::default() });
    let kept = RefCell::new(Vec::new());
    let change = |name: &str, change, record: Option<Record>| {
        let keep = |name: &str, value: Vec<u8>| kept.borrow_mut().push((name.to_owned(), value));
        access.change(name, change, record, keep).map(|(_, was_known)| was_known)
    };
    let some = |password| Some(record(password));
    assert_eq!(change("bob", Change::Delete, None), Err(Unchanged::Unknown));
    assert_eq!(change("b\u{ad}ob", Change::Add, some("b")), Ok(false));
    assert_eq!(change("bob", Change::Add, some("b")), Err(Unchanged::Known));
    assert_eq!(change("bob", Change::Set, some("c")), Ok(true));
    assert_eq!(change("ann", Change::Set, some("c")), Err(Unchanged::InFile));
    assert_eq!(change("ann", Change::Delete, None), Err(Unchanged::InFile));
    assert!(matches!(change("a:b", Change::Set, some("c")), Err(Unchanged::Name(_))));
    assert_eq!(change("eve", Change::Set, some("e")), Ok(false));
    assert_eq!(change("zoe", Change::Set, some("z")), Err(Unchanged::Full { users_max: 2 }));
    assert_eq!(change("eve", Change::Delete, None), Ok(true));
    let (b, c, e) = (record("b").to_string(), record("c").to_string(), record("e").to_string());
    let written = [("bob", b), ("bob", c.clone()), ("eve", e), ("eve", String::new())];
    let written = written.map(|(name, value)| (name.to_owned(), value.into_bytes()));
    assert_eq!(*kept.borrow(), written);

    // The next start reads the last of it, and what it cannot read costs it nothing else.
    let again = self::access(&folder, Default::default());
    again.add_kept([("bob", c.as_bytes()), ("eve", b"nonsense"), ("x:y", c.as_bytes())].into_iter());
    assert!(again.users().check("bob", b"c").is_some() && again.users().get("eve").is_none());
    assert_eq!(again.reload(), Ok(2));
    assert!(again.users().check("bob", b"c").is_some());
}
