//! Bans that come, hold, are over and are kept.

use super::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What is on disk, so to speak.
#[derive(Default)]
struct Disk(RefCell<BTreeMap<String, Vec<u8>>>);

impl Disk {
    fn keep(&self, key: String, value: Vec<u8>) {
        match value.is_empty() {
            true => drop(self.0.borrow_mut().remove(&key)),
            false => drop(self.0.borrow_mut().insert(key, value)),
        }
    }

    fn open(&self, config: &trefoil_config::Bans) -> Bans {
        Bans::new(config, self.0.borrow().iter().map(|(key, value)| (key.as_str(), value.as_slice())))
    }
}

fn ban(kind: &str, text: &str) -> Ban {
    let target = Target::read(kind, text).expect("a target of this test");
    let (reason, by) = (Some("mischief".into()), Some("ann".into()));
    Ban {
        target,
        reason,
        by,
        set_at_ms: clock_ms(),
        until_ms: None,
        is_automatic: false,
        refused: AtomicU64::new(0),
    }
}

fn config(bans_max: usize) -> trefoil_config::Bans {
    trefoil_config::Bans { bans_max, ..Default::default() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address of this test")
}

#[test]
fn each_kind_meets_those_that_it_is_for_also_after_a_restart() {
    let (disk, config) = (Disk::default(), config(10));
    let bans = disk.open(&config);
    for (kind, text) in [
        ("client_id", "pump-7"),
        ("client_id", "probe-*"),
        ("user", "bob"),
        ("address", "10.0.0.0/8"),
        ("address", "2001:db8::/64"),
    ] {
        assert_eq!(bans.set(ban(kind, text), &|k, v| disk.keep(k, v)), Ok(false));
    }
    for bans in [&bans, &disk.open(&config)] {
        assert!(bans.refuses_client_id("pump-7") && bans.refuses_client_id("probe-9"));
        assert!(!bans.refuses_client_id("pump-77") && !bans.refuses_client_id("probe"));
        assert!(bans.refuses_user("bob") && bans.refuses_user("b\u{ad}ob") && !bans.refuses_user("Bob"));
        assert!(bans.refuses_address(ip("10.1.2.3")) && bans.refuses_address(ip("::ffff:10.1.2.3")));
        assert!(bans.refuses_address(ip("2001:db8::9")) && !bans.refuses_address(ip("2001:db8:0:1::9")));
        assert!(!bans.refuses_address(ip("11.1.2.3")));
        assert_eq!(bans.figures(), (7, 0));
        let all = bans.list(&|k, v| disk.keep(k, v));
        let met = |text: &str| {
            let ban = all.iter().find(|ban| ban.target.to_string() == text).expect("it is listed");
            (ban.refused.load(Ordering::Relaxed), ban.reason.as_deref(), ban.by.as_deref())
        };
        assert_eq!(met("10.0.0.0/8"), (2, Some("mischief"), Some("ann")));
    }
    let bans = disk.open(&config);
    assert_eq!(
        bans.set(ban("user", "bob"), &|k, v| disk.keep(k, v)),
        Ok(true),
        "it takes the place of the other"
    );
    assert!(bans.remove(&Target::read("user", "bob").expect("one"), &|k, v| disk.keep(k, v)));
    assert!(!bans.remove(&Target::read("user", "bob").expect("one"), &|k, v| disk.keep(k, v)));
    assert!(!bans.refuses_user("bob") && !disk.open(&config).refuses_user("bob"));
    assert!(disk.open(&config).refuses_client_id("pump-7"));
}

#[test]
fn a_ban_is_over_at_its_time_and_leaves_nothing() {
    let (disk, config) = (Disk::default(), config(1));
    let bans = disk.open(&config);
    let until_ms = Some(clock_ms() - 1);
    assert_eq!(bans.set(Ban { until_ms, ..ban("user", "bob") }, &|k, v| disk.keep(k, v)), Ok(false));
    assert!(!bans.refuses_user("bob"));
    // It takes nobody's place, after a restart either.
    let bans = disk.open(&config);
    assert_eq!(bans.set(ban("user", "eve"), &|k, v| disk.keep(k, v)), Ok(false));
    assert_eq!(disk.0.borrow().keys().collect::<Vec<_>>(), ["user:eve"]);
    let until_ms = Some(clock_ms() + 3_600_000);
    assert_eq!(bans.set(Ban { until_ms, ..ban("user", "eve") }, &|k, v| disk.keep(k, v)), Ok(true));
    assert!(bans.refuses_user("eve"));
}

#[test]
fn there_are_only_so_many_and_those_of_the_hub_make_room() {
    let (disk, config) = (Disk::default(), config(4));
    let bans = disk.open(&config);
    let keep: Keep<'_> = &|k, v| disk.keep(k, v);
    let own = |text: &str, set_at_ms| Ban { is_automatic: true, set_at_ms, ..ban("address", text) };
    for (text, at) in [("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3)] {
        assert!(bans.set(own(text, at), keep).is_ok());
    }
    let addresses = || [1, 2, 3].map(|n| bans.refuses_address(ip(&format!("10.0.0.{n}"))));
    assert_eq!(addresses(), [false, true, true], "half of them at most, the newest");
    for name in ["a", "b", "c"] {
        assert_eq!(bans.set(ban("user", name), keep), Ok(false));
    }
    assert_eq!(addresses(), [false, false, true]);
    assert_eq!(bans.set(ban("user", "d"), keep), Ok(false));
    assert_eq!(bans.set(ban("user", "e"), keep), Err(Full { bans_max: 4 }));
    assert_eq!(bans.set(own("10.0.0.4", 4), keep), Err(Full { bans_max: 4 }));
    assert_eq!((bans.len(), disk.0.borrow().len()), (4, 4));
}

#[test]
fn nobody_is_held_to_them_where_that_is_set() {
    let disk = Disk::default();
    disk.open(&config(9)).set(ban("client_id", "*"), &|k, v| disk.keep(k, v)).expect("room");
    let bans = disk.open(&trefoil_config::Bans { apply: false, ..config(9) });
    assert!(!bans.refuses_client_id("pump"));
    assert_eq!(bans.list(&|_, _| {}).len(), 1);
}

#[test]
fn what_cannot_be_read_is_passed_over() {
    let kept: [(&str, &[u8]); 4] = [
        ("nothing", b"{}"),
        ("colour:red", b"{\"set_at_ms\":1}"),
        ("user:eve", b"{"),
        ("user:bob", b"{\"set_at_ms\":1,\"later\":true}"),
    ];
    let bans = Bans::new(&config(9), kept.into_iter());
    assert_eq!(bans.len(), 1);
    assert!(bans.refuses_user("bob"));
}
