//! A disk that fills up, and has room again; and one that is read-only.

use crate::store::ask;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use trefoil_tests::mqtt::{Connect, Connection, Message};
use trefoil_tests::{CONFIG, Hub, Program, lines, trefoil, wait_until};

/// Room for the store with its reserve, and little more.
const DISK: &str = "size=16m";

/// A small disk in memory; it is taken away again.
pub(super) struct Disk(tempfile::TempDir);

impl Disk {
    pub(super) fn mount() -> Disk {
        let folder = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", DISK, "tmpfs"], folder.path());
        Disk(folder)
    }

    /// From now on nothing can be written to it, though root asks.
    fn make_read_only(&self) {
        mount(&["-o", "remount,ro"], self.path());
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes all room that is left.
    pub(super) fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    pub(super) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

fn mount(arguments: &[&str], at: &Path) {
    let outcome = Command::new("mount").args(arguments).arg(at).output().expect("the program mount");
    assert!(
        outcome.status.success(),
        "this test needs a small disk and may not mount one; run it as root, in a container with CAP_SYS_ADMIN: {}",
        String::from_utf8_lossy(&outcome.stderr)
    );
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

pub(super) fn lasting(hub: &Hub, client_id: &str) -> (Connection, bool) {
    let request = Connect::new(5, client_id).resume().session_expiry_s(3600);
    let (connection, answer) = Connection::with(hub.tcp_port(), &request);
    (connection, answer.flags & 1 == 1)
}

pub(super) fn post(hub: &Hub, body: &str) -> u16 {
    let url = format!("http://127.0.0.1:{}/api/v1/publish", hub.http_port());
    let text = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", body, &url];
    Program::new("curl").args(text).run().success().parse().unwrap()
}

/// Publishes at QoS 1, and gives the reason in PUBACK.
fn reason(publisher: &mut Connection, id: u16, payload: &[u8]) -> u8 {
    publisher.send(&Message::new("kept/x", payload).qos(1, id).packet(5));
    publisher.receive().ack(0x40).reason
}

#[test]
fn a_full_disk_refuses_what_needs_it_and_nothing_else_until_there_is_room() {
    let disk = Disk::mount();
    let path = disk.path().join("store");
    let config = format!("{CONFIG}\n[store]\npath = {path:?}\n");
    let hub = Hub::with_config(&config);
    let (mut kept, _) = lasting(&hub, "kept");
    kept.subscribe("kept/#", 1);
    kept.leave();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    publisher.publish_and_wait(&Message::new("r", "old").retain().qos(1, 1));
    assert_eq!(ask(&hub, "GET", "/healthz").0, 200);

    disk.fill();
    let accepted = (2..200).take_while(|&id| reason(&mut publisher, id, &[b'x'; 50_000]) == 0).count();
    assert!(accepted < 198, "the disk was never full");
    assert_eq!(reason(&mut publisher, 300, b"x"), 0x97);
    // QoS 2 is refused with PUBREC, and JSON and HTTP in their words.
    publisher.send(&Message::new("kept/x", "x").qos(2, 301).packet(5));
    assert_eq!(publisher.receive().ack(0x50).reason, 0x97);
    publisher.send(&Message::new("r", "new").retain().qos(1, 302).packet(5));
    assert_eq!(publisher.receive().ack(0x40).reason, 0x97);
    let mut json = lines::Connection::new(hub.tcp_port());
    let answer = json.ask(r#"{"pub":"kept/x","data":1,"qos":1,"id":1}"#);
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&1.into(), &"quota".into()), "{answer}");
    assert_eq!(post(&hub, r#"{"topic":"kept/x","data":1,"qos":1}"#), 507);
    // MQTT 3 has no word for it: the connection ends without an acknowledgement, and the client will try again.
    let mut old = Connection::new(hub.tcp_port(), 4, "old");
    old.send(&Message::new("kept/x", "x").qos(1, 1).packet(4));
    assert_eq!(old.try_receive(), None);
    // It is said wherever somebody may look.
    let (status, health) = ask(&hub, "GET", "/healthz");
    assert_eq!((status, &health["status"]), (503, &"degraded".into()), "{health}");
    assert!(health["reason"].as_str().is_some_and(|reason| reason.contains("is full")), "{health}");
    assert_eq!(ask(&hub, "GET", "/livez").0, 200);
    assert_eq!(hub.metric("trefoil_store_state{state=\"full\"}"), 1);
    assert_eq!(ask(&hub, "GET", "/api/v1/stats").1["store"]["state"], "full");
    assert!(hub.log().contains("the disk of the store is full"), "{}", hub.log());
    // What does not need the disk goes on, and so does what makes room.
    let mut clean = Connection::new(hub.tcp_port(), 5, "clean");
    clean.subscribe("live", 1);
    publisher.publish_and_wait(&Message::new("live", "goes on").qos(1, 303));
    assert_eq!(clean.receive_and_ack().payload, b"goes on");
    assert_eq!(post(&hub, r#"{"topic":"live","data":"at 0"}"#), 200);
    assert_eq!(clean.receive_and_ack().payload, b"at 0");
    publisher.send(&Message::new("r", "").retain().qos(1, 304).packet(5));
    assert_eq!(publisher.receive().ack(0x40).reason & 0x80, 0, "a retained message is cleared");

    disk.free();
    wait_until("the hub goes on by itself", || ask(&hub, "GET", "/healthz").0 == 200);
    assert_eq!(reason(&mut publisher, 305, b"last"), 0);
    assert_eq!(hub.metric("trefoil_store_state{state=\"working\"}"), 1);
    let hub = Hub::resume(hub.leave("KILL"), &config);
    let (mut kept, is_present) = lasting(&hub, "kept");
    assert!(is_present);
    (0..accepted).for_each(|_| assert_eq!(kept.receive_and_ack().payload.len(), 50_000));
    assert_eq!(kept.receive_and_ack().payload, b"last");
    kept.ping();
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("r", 0);
    reader.ping();
    drop(hub);
}

#[test]
fn a_hub_is_upgraded_and_starts_on_a_full_disk() {
    let disk = Disk::mount();
    let path = disk.path().join("store");
    let config = format!("{CONFIG}\n[store]\npath = {path:?}\n");
    let mut hub = Hub::with_config(&config);
    let (mut kept, _) = lasting(&hub, "kept");
    kept.subscribe("kept/#", 1);
    kept.leave();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    disk.fill();
    let accepted = (1..200).take_while(|&id| reason(&mut publisher, id, &[b'x'; 50_000]) == 0).count();
    assert!(accepted < 199, "the disk was never full");
    // Part of the reserve is used up now, and the next process has to make do with what is left of it.
    for how in ["upgrade", "TERM", "KILL"] {
        match how {
            "upgrade" => hub.upgrade(),
            signal => hub = Hub::resume(hub.leave(signal), &config),
        }
        assert_eq!(ask(&hub, "GET", "/healthz").1["status"], "degraded", "{how}");
        assert_eq!(hub.metric("trefoil_store_state{state=\"full\"}"), 1);
        let (mut kept, is_present) = lasting(&hub, "kept");
        assert!(is_present, "{how}");
        assert_eq!(kept.receive_publish().payload.len(), 50_000);
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        assert_eq!(reason(&mut publisher, 1, b"refused"), 0x97);
    }
    disk.free();
    wait_until("the hub goes on by itself", || ask(&hub, "GET", "/healthz").0 == 200);
    let (mut kept, _) = lasting(&hub, "kept");
    (0..accepted).for_each(|_| assert_eq!(kept.receive_and_ack().payload.len(), 50_000));
    kept.ping();
}

/// As `ulimit -f` has it: the system sends SIGXFSZ with the error, which would end the process.
#[test]
fn a_limit_of_what_a_file_may_have_is_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("prlimit");
    command.arg("--fsize=12582912:unlimited").arg(trefoil_tests::binary());
    let hub = Hub::launch(folder, CONFIG, command);
    let (mut kept, _) = lasting(&hub, "kept");
    kept.subscribe("kept/#", 1);
    kept.leave();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let accepted = (1..400).take_while(|&id| reason(&mut publisher, id, &[b'x'; 50_000]) == 0).count();
    assert!(accepted < 399, "the limit was never reached");
    assert_eq!(reason(&mut publisher, 400, b"x"), 0x97);
    assert_eq!(post(&hub, r#"{"topic":"kept/x","data":1,"qos":1}"#), 507);
    assert_eq!(hub.metric("trefoil_store_state{state=\"full\"}"), 1);
    let mut clean = Connection::new(hub.tcp_port(), 5, "clean");
    clean.subscribe("live", 1);
    publisher.publish_and_wait(&Message::new("live", "goes on").qos(1, 401));
    assert_eq!(clean.receive_and_ack().payload, b"goes on");
    Program::new("prlimit").args(["--fsize=unlimited", "--pid", &hub.pid().to_string()]).run().success();
    wait_until("the hub goes on by itself", || ask(&hub, "GET", "/healthz").0 == 200);
    assert_eq!(reason(&mut publisher, 402, b"last"), 0);
    let hub = Hub::resume(hub.leave("KILL"), CONFIG);
    let (mut kept, is_present) = lasting(&hub, "kept");
    assert!(is_present);
    (0..accepted).for_each(|_| assert_eq!(kept.receive_and_ack().payload.len(), 50_000));
    assert_eq!(kept.receive_and_ack().payload, b"last");
    kept.ping();
}

#[test]
fn a_disk_that_is_read_only_at_the_start_is_named_with_what_to_do() {
    let disk = Disk::mount();
    let path = disk.path().join("store");
    let config = format!("{CONFIG}\n[store]\npath = {path:?}\n");
    let hub = Hub::with_config(&config);
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    publisher.publish_and_wait(&Message::new("r", "kept").retain().qos(1, 1));
    let folder = hub.leave("TERM");
    disk.make_read_only();
    let refused = |path: &Path| {
        let config = format!("{CONFIG}\n[store]\npath = {path:?}\n");
        std::fs::write(folder.path().join("trefoil.toml"), config).unwrap();
        trefoil(["serve", "--config", "trefoil.toml"]).folder(folder.path()).run().failure(1)
    };
    for path in [path.clone(), disk.path().join("new")] {
        let said = refused(&path);
        assert!(said.contains(&format!("{}", path.display())), "{said}");
        assert!(said.contains("it is mounted read-only"), "{said}");
    }
    // Looking at it is possible all the same, and does not promise that the hub starts.
    let checked = trefoil(["store", "check"]).args([&path]).run().success();
    assert!(checked.contains("It is whole. A hub does not start with it"), "{checked}");
    assert!(checked.contains("Read-only file system"), "{checked}");
}
