//! A disk that fails, hangs, or takes less than it is given: see `tests/src/disk`.

use crate::store::ask;
use crate::store_full::{lasting, post};
use std::collections::BTreeSet;
use std::io::Write as _;
use trefoil_tests::datagrams::Peer;
use trefoil_tests::mqtt::{Connect, Connection, Message, Will};
use trefoil_tests::mqtt_sn::{CLEAN, Device, connect_body, kind};
use trefoil_tests::{Bystander, Disk, Exchange, Hub, Program, Running, connect, lines, wait_until};

/// Everything that writes.
const READ_ONLY: &str = "write EROFS\nopen EROFS\nunlink EROFS\nftruncate EROFS";
const DEAD: &str = "sync EIO\nsyncdir EIO\nwrite EIO\nopen EIO\nunlink EIO\nftruncate EIO";

fn at_1(publisher: &mut Connection, id: u16, payload: &str) -> u8 {
    publisher.send(&Message::new("kept/x", payload).qos(1, id).packet(5));
    publisher.receive().ack(0x40).reason
}

fn spawn_post(hub: &Hub, body: &str) -> Running {
    let url = format!("http://127.0.0.1:{}/api/v1/publish", hub.http_port());
    Program::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", body, &url])
        .spawn()
}

/// A publisher of each kind that waits for an acknowledgement.
struct Waiting {
    at_1: Connection,
    at_2: Connection,
    old: Connection,
    json: lines::Connection,
    http: Running,
}

/// What they have sent.
const WAITING: [&str; 5] = ["at 1", "at 2", "old", "json", "http"];

impl Waiting {
    /// Each sends a message that has to be kept; returns when the hub has published all of them.
    fn send(hub: &Hub) -> Waiting {
        let mut watcher = Connection::new(hub.tcp_port(), 5, "watcher");
        watcher.subscribe("kept/#", 1);
        let mut waiting = Waiting {
            at_1: Connection::new(hub.tcp_port(), 5, "waits-at-1"),
            at_2: Connection::new(hub.tcp_port(), 5, "waits-at-2"),
            old: Connection::new(hub.tcp_port(), 4, "waits-old"),
            json: lines::Connection::new(hub.tcp_port()),
            http: spawn_post(hub, r#"{"topic":"kept/x","data":"http","qos":1}"#),
        };
        waiting.at_1.send(&Message::new("kept/x", "at 1").qos(1, 1).packet(5));
        waiting.at_2.send(&Message::new("kept/x", "at 2").qos(2, 1).packet(5));
        waiting.old.send(&Message::new("kept/x", "old").qos(1, 1).packet(4));
        waiting.json.send(r#"{"pub":"kept/x","data":"json","qos":1,"id":1}"#);
        let come: BTreeSet<Vec<u8>> = WAITING.iter().map(|_| watcher.receive_and_ack().payload).collect();
        assert_eq!(come, WAITING.iter().map(|payload| payload.as_bytes().to_vec()).collect());
        waiting
    }

    /// Nobody is told that the message is kept: each hears that it is not, before anything else.
    fn are_refused(mut self) {
        for client in [&mut self.at_1, &mut self.at_2] {
            assert_eq!(client.receive().disconnect().reason, 0x97);
            assert_eq!(client.try_receive(), None);
        }
        assert_eq!(self.old.try_receive(), None);
        assert_eq!(self.json.receive()["error"]["code"], "quota");
        assert_eq!(self.json.line(), None);
        assert_eq!(self.http.wait().success(), "507");
    }

    /// Each gets its acknowledgement.
    fn are_acknowledged(mut self) {
        self.at_1.receive().ack(0x40);
        self.at_2.receive().ack(0x50);
        self.old.receive().ack(0x40);
        assert_eq!(self.json.receive(), serde_json::json!({"ack": 1}));
        assert_eq!(self.http.wait().success(), "200");
    }
}

/// What has to be kept is refused to everybody in words of the protocol, and nothing of it is published.
fn refuses_what_has_to_be_kept(hub: &Hub) {
    let mut publisher = Connection::new(hub.tcp_port(), 5, "refused");
    assert_eq!(at_1(&mut publisher, 1, "refused"), 0x97);
    publisher.send(&Message::new("kept/x", "refused").qos(2, 2).packet(5));
    assert_eq!(publisher.receive().ack(0x50).reason, 0x97);
    publisher.send(&Message::new("r", "refused").retain().qos(1, 3).packet(5));
    assert_eq!(publisher.receive().ack(0x40).reason, 0x97);
    publisher.ping();
    let mut json = lines::Connection::new(hub.tcp_port());
    let answer = json.ask(r#"{"pub":"kept/x","data":"refused","qos":1,"id":1}"#);
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&1.into(), &"quota".into()), "{answer}");
    assert_eq!(post(hub, r#"{"topic":"kept/x","data":"refused","qos":1}"#), 507);
    let mut old = Connection::new(hub.tcp_port(), 4, "refused-old");
    old.send(&Message::new("kept/x", "refused").qos(1, 1).packet(4));
    assert_eq!(old.try_receive(), None);
}

/// What does not need the disk goes on, with clients that are not ours.
fn serves_what_needs_no_disk(hub: &Hub) {
    let port = hub.tcp_port().to_string();
    for qos in ["0", "1", "2"] {
        let before = hub.stat("subscriptions");
        let subscriber = ["-p", &port, "-V", "5", "-t", "live", "-q", qos, "-C", "1"];
        let subscriber = Program::new("mosquitto_sub").args(subscriber).spawn();
        wait_until("mosquitto_sub is subscribed", || hub.stat("subscriptions") > before);
        let publisher = ["-p", &port, "-V", "5", "-t", "live", "-q", qos, "-m", "goes on"];
        Program::new("mosquitto_pub").args(publisher).run().success();
        assert!(subscriber.wait().success().ends_with("goes on\n"));
        wait_until("mosquitto_sub is gone", || hub.stat("subscriptions") == before);
    }
    let mut json = lines::Connection::new(hub.tcp_port());
    assert_eq!(json.ask(r#"{"pub":"live","data":1,"qos":1,"id":1}"#), serde_json::json!({"ack": 1}));
    assert_eq!(post(hub, r#"{"topic":"live","data":1,"qos":1}"#), 200);
}

fn says_that_it_failed(hub: &Hub) {
    let (status, health) = ask(hub, "GET", "/healthz");
    assert_eq!((status, &health["status"]), (503, &"degraded".into()), "{health}");
    assert!(health["reason"].as_str().is_some_and(|r| r.contains("cannot be written")), "{health}");
    assert_eq!(ask(hub, "GET", "/livez").0, 200);
    assert_eq!(hub.metric("trefoil_store_state{state=\"failed\"}"), 1);
    assert_eq!(hub.metric("trefoil_store_state{state=\"working\"}"), 0);
    assert_eq!(ask(hub, "GET", "/api/v1/stats").1["store"]["state"], "failed");
    assert!(hub.log().contains("the store cannot be written"), "{}", hub.log());
}

fn is_working(hub: &Hub) {
    wait_until("the hub goes on by itself", || ask(hub, "GET", "/healthz").0 == 200);
    assert_eq!(hub.metric("trefoil_store_state{state=\"working\"}"), 1);
    assert_eq!(hub.metric("trefoil_store_state{state=\"failed\"}"), 0);
}

/// A hub with a lasting session for `kept/#`, and something in it.
fn begin(disk: &Disk) -> Hub {
    let hub = disk.hub(&disk.config());
    let (mut kept, _) = lasting(&hub, "kept");
    kept.subscribe("kept/#", 2);
    kept.leave();
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    publisher.publish_and_wait(&Message::new("kept/x", "before at 1").qos(1, 1));
    publisher.publish_and_wait(&Message::new("kept/x", "before at 2").qos(2, 2));
    publisher.publish_and_wait(&Message::new("r", "before").retain().qos(1, 3));
    hub
}

const BEFORE: [&str; 2] = ["before at 1", "before at 2"];

/// Kills the hub, starts it again, and gives what is in the lasting session then.
fn killed(disk: &Disk, hub: Hub) -> (Hub, Vec<String>) {
    let hub = Hub::launch(hub.leave("KILL"), &disk.config(), disk.command());
    let (mut kept, is_present) = lasting(&hub, "kept");
    assert!(is_present, "the session is there");
    let mut payloads = Vec::new();
    // What a ping is answered behind has come by then.
    kept.send(&[0xC0, 0]);
    loop {
        let packet = kept.receive();
        match packet.first_byte {
            0xD0 => break,
            0x62 => kept.send(&trefoil_tests::mqtt::ack(0x70, packet.ack(0x62).packet_id)),
            _ => {
                let message = packet.publish();
                payloads.push(String::from_utf8(message.payload).unwrap());
                let first_byte = [0x40, 0x50][usize::from(message.qos) - 1];
                kept.send(&trefoil_tests::mqtt::ack(first_byte, message.packet_id));
            }
        }
    }
    (hub, payloads)
}

fn retained(hub: &Hub) -> Vec<u8> {
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("r", 0);
    reader.receive_publish().payload
}

/// A disk that hangs in one call, which then fails with all that `faults` has; gives the hub, which has said so.
fn fail(disk: &Disk, call: &str, faults: &str) -> Hub {
    let hub = begin(disk);
    let bystander = Bystander::start(&hub);
    disk.fails(&format!("{call} hold"));
    let waiting = Waiting::send(&hub);
    disk.struck_by(faults);
    waiting.are_refused();
    says_that_it_failed(&hub);
    refuses_what_has_to_be_kept(&hub);
    serves_what_needs_no_disk(&hub);
    bystander.unharmed();
    hub
}

/// The same, and what becomes of it when the disk works again.
fn fail_and_heal(call: &str, faults: &str) {
    let disk = Disk::new();
    let hub = fail(&disk, call, faults);
    disk.works();
    is_working(&hub);
    assert_eq!(disk.files("heal"), [] as [std::path::PathBuf; 0], "healing is over");
    assert!(!disk.files("base").is_empty(), "all that is live stands behind a mark");
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    publisher.publish_and_wait(&Message::new("kept/x", "after at 1").qos(1, 1));
    publisher.publish_and_wait(&Message::new("kept/x", "after at 2").qos(2, 2));
    publisher.publish_and_wait(&Message::new("r", "after").retain().qos(1, 3));
    let mut json = lines::Connection::new(hub.tcp_port());
    assert_eq!(json.ask(r#"{"pub":"kept/x","data":"json","qos":1,"id":1}"#), serde_json::json!({"ack": 1}));
    let (hub, payloads) = killed(&disk, hub);
    // What nobody was told of may be there, once.
    let told: Vec<_> = payloads.iter().filter(|payload| !WAITING.contains(&payload.as_str())).collect();
    assert_eq!(told, [BEFORE[0], BEFORE[1], "after at 1", "after at 2"]);
    assert_eq!(payloads.last().unwrap(), "json");
    assert_eq!(retained(&hub), b"after");
}

#[test]
fn a_sync_that_fails_acknowledges_nothing_and_the_hub_goes_on_when_it_works() {
    fail_and_heal("sync", "sync EIO");
}

#[test]
fn so_does_a_write_that_fails() {
    fail_and_heal("write", "write EIO");
}

#[test]
fn so_does_a_disk_that_becomes_read_only() {
    fail_and_heal("write", READ_ONLY);
}

#[test]
fn so_does_a_disk_that_does_nothing_any_more() {
    fail_and_heal("sync", DEAD);
}

/// Asks to connect with a session that lasts, or with another that has to be kept.
fn knock(hub: &Hub, request: &Connect) -> Connection {
    let mut connection = Connection::open(hub.tcp_port(), request.version);
    connection.send(&request.packet());
    connection
}

fn is_refused(mut connection: Connection, code: u8) {
    assert_eq!(connection.receive().connack().code, code);
    assert_eq!(connection.try_receive(), None);
}

#[test]
fn who_has_to_be_kept_is_refused_by_a_disk_that_fails_and_others_come() {
    let disk = Disk::new();
    let hub = begin(&disk);
    let (mut here, _) = lasting(&hub, "here");
    let lasts = Connect::new(5, "lasts").resume().session_expiry_s(3600);
    let old = Connect::new(4, "old").resume();
    let mortal = Connect::new(5, "mortal").will(Will::new("will", "gone").qos(1));
    let mut heir = Connection::new(hub.tcp_port(), 5, "heir");
    heir.subscribe("will", 1);
    let (leaves, _) = Connection::with(hub.tcp_port(), &mortal.clone().client_id("leaves"));
    // Their CONNACK waits for the sync, and so nothing else may come before it when that fails.
    disk.fails("sync hold");
    let knocking = [&lasts, &old, &mortal].map(|request| knock(&hub, request));
    wait_until("all three have a session", || hub.stat("sessions") == 7);
    disk.struck_by("sync EIO");
    for (connection, code) in knocking.into_iter().zip([0x97, 3, 0x97]) {
        is_refused(connection, code);
    }
    says_that_it_failed(&hub);
    for (request, code) in [(&lasts, 0x97), (&old, 3), (&mortal, 0x97)] {
        is_refused(knock(&hub, request), code);
    }
    // A clean start would have to end the session that is there.
    is_refused(knock(&hub, &Connect::new(5, "kept")), 0x97);
    assert_eq!(here.subscribe_with(&[], &[("other", 1)]).codes, [0x97]);
    here.ping();
    // What ends cannot be written either, and keeps nobody out.
    leaves.leave();
    for number in 0..10 {
        Connection::new(hub.tcp_port(), 5, &format!("clean-{number}")).ping();
        lines::Connection::new(hub.tcp_port()).ask(r#"{"ping":1}"#);
    }
    heir.ping();
    disk.works();
    is_working(&hub);
    let (_, is_present) = lasting(&hub, "lasts");
    assert!(is_present, "it was made, only nobody was told of it");
    assert_eq!(here.subscribe_with(&[], &[("other", 1)]).codes, [1]);
    let (hub, payloads) = killed(&disk, hub);
    assert_eq!(payloads, BEFORE);
    assert_eq!(Connection::with(hub.tcp_port(), &lasts).1.flags, 1, "a session is present");
}

#[test]
fn a_message_at_qos_2_is_not_acknowledged_later_without_the_disk() {
    let disk = Disk::new();
    let hub = begin(&disk);
    let (mut publisher, _) = lasting(&hub, "publisher-2");
    let mut watcher = Connection::new(hub.tcp_port(), 5, "watcher");
    watcher.subscribe("kept/#", 1);
    disk.fails("sync hold");
    publisher.send(&Message::new("kept/x", "once").qos(2, 7).packet(5));
    assert_eq!(watcher.receive_and_ack().payload, b"once");
    disk.struck_by("sync EIO");
    assert_eq!(publisher.receive().disconnect().reason, 0x97);
    is_refused(knock(&hub, &Connect::new(5, "publisher-2").resume().session_expiry_s(3600)), 0x97);
    disk.works();
    is_working(&hub);
    let (mut publisher, is_present) = lasting(&hub, "publisher-2");
    assert!(is_present);
    publisher.publish_and_wait(&Message::new("kept/x", "once").dup().qos(2, 7));
    watcher.ping();
    let (_hub, payloads) = killed(&disk, hub);
    assert_eq!(payloads, [BEFORE[0], BEFORE[1], "once"]);
}

/// Linux reports an error once, and the next sync succeeds and has written nothing.
#[test]
fn a_sync_that_fails_once_is_not_tried_again_as_if_nothing_had_been() {
    let disk = Disk::new();
    let hub = begin(&disk);
    for round in 0..3 {
        disk.fails("sync hold");
        let waiting = Waiting::send(&hub);
        disk.struck_by("sync EIO once");
        waiting.are_refused();
        is_working(&hub);
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        assert_eq!(at_1(&mut publisher, 1, &format!("round {round}")), 0);
    }
    disk.works();
    let (_hub, payloads) = killed(&disk, hub);
    let told: Vec<_> = payloads.iter().filter(|payload| !WAITING.contains(&payload.as_str())).collect();
    assert_eq!(told, [BEFORE[0], BEFORE[1], "round 0", "round 1", "round 2"]);
}

#[test]
fn who_is_killed_while_the_disk_fails_has_what_was_acknowledged() {
    for (call, faults) in [("sync", "sync EIO"), ("write", "write EIO\nftruncate EIO"), ("sync", DEAD)] {
        let disk = Disk::new();
        let hub = fail(&disk, call, faults);
        let folder = hub.leave("KILL");
        disk.works();
        let hub = Hub::launch(folder, &disk.config(), disk.command());
        let (mut kept, is_present) = lasting(&hub, "kept");
        assert!(is_present);
        for expected in BEFORE {
            assert_eq!(kept.receive_and_ack().payload, expected.as_bytes());
        }
        assert_eq!(retained(&hub), b"before");
        assert_eq!(ask(&hub, "GET", "/healthz").0, 200);
    }
}

#[test]
fn each_step_of_healing_may_fail_first() {
    let disk = Disk::new();
    let hub = begin(&disk);
    disk.fails("sync hold");
    let waiting = Waiting::send(&hub);
    disk.struck_by("sync EIO");
    waiting.are_refused();
    for faults in
        ["unlink EIO", "ftruncate EIO", "open EIO", "open EROFS", "write EIO", "syncdir EIO", "sync EIO"]
    {
        if faults != "unlink EIO" {
            disk.struck_by(faults);
        }
        says_that_it_failed(&hub);
        refuses_what_has_to_be_kept(&hub);
    }
    disk.works();
    is_working(&hub);
    let (_hub, payloads) = killed(&disk, hub);
    assert_eq!(payloads[..2], BEFORE);
}

#[test]
fn a_disk_that_hangs_lets_acknowledgements_wait_and_nothing_else() {
    let disk = Disk::new();
    let hub = begin(&disk);
    let mut clean = Connection::new(hub.tcp_port(), 5, "clean");
    clean.subscribe("live", 1);
    let syncs = hub.metric("trefoil_store_syncs_total");
    disk.fails("sync hold");
    let waiting = Waiting::send(&hub);
    let mut many = Connection::new(hub.tcp_port(), 5, "many");
    for id in 1..=20 {
        many.send(&Message::new("kept/x", format!("many {id}")).qos(1, id).packet(5));
    }
    let mut publisher = Connection::new(hub.tcp_port(), 5, "live-publisher");
    for number in 0..200_u16 {
        publisher.publish_and_wait(&Message::new("live", number.to_string()).qos(1, number + 1));
        assert_eq!(clean.receive_and_ack().payload, number.to_string().as_bytes());
    }
    serves_what_needs_no_disk(&hub);
    assert_eq!(ask(&hub, "GET", "/healthz").0, 200, "a slow disk is no broken one");
    for stream in [&waiting.at_1.stream, &waiting.at_2.stream, &waiting.old.stream, &many.stream] {
        stream.set_nonblocking(true).unwrap();
        let nothing = stream.peek(&mut [0]).expect_err("an acknowledgement of what is not on disk");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
        stream.set_nonblocking(false).unwrap();
    }
    assert_eq!(hub.metric("trefoil_store_syncs_total"), syncs);
    disk.works();
    waiting.are_acknowledged();
    for id in 1..=20 {
        assert_eq!(many.receive().ack(0x40).packet_id, id);
    }
    let more = hub.metric("trefoil_store_syncs_total") - syncs;
    assert!(more <= 6, "{more} syncs for 25 messages that waited for the disk together");
    let (_hub, payloads) = killed(&disk, hub);
    assert_eq!(payloads.len(), 2 + 5 + 20);
}

#[test]
fn a_device_that_leaves_while_the_disk_hangs_is_answered_all_the_same() {
    let disk = Disk::new();
    // In one shard, since what one client waits for must not be waited for by another.
    let hub =
        disk.hub(&(disk.config().replace("shards = 2", "shards = 1") + "\n[limits]\nsessions_max = 2\n"));
    let (mut kept, _) = lasting(&hub, "kept");
    kept.subscribe("rr", 1);
    kept.leave();
    let device = Device::connected(hub.port_of("mqtt-sn"), "device");
    disk.fails("sync hold");
    device.send(kind::PUBLISH, &[0x22, b'r', b'r', 0, 1, b'x']);
    let refused = Device::new(hub.port_of("mqtt-sn"));
    refused.send(kind::CONNECT, &connect_body(CLEAN, 60, "one too many"));
    refused.expect(kind::CONNACK, &[1]);
    device.send(kind::DISCONNECT, &[]);
    wait_until("the device's session has ended", || hub.stat("sessions") == 1);
    assert_eq!(device.try_receive(), None, "an acknowledgement of what is not on disk");
    disk.works();
    device.expect(kind::PUBACK, &[b'r', b'r', 0, 1, 0]);
    device.expect(kind::DISCONNECT, &[]);
    assert_eq!(hub.metric("trefoil_answers_lost_total"), 0);
}

#[test]
fn writes_that_take_less_than_they_are_given_are_noticed_by_nobody() {
    let disk = Disk::new();
    disk.fails("write short");
    let hub = begin(&disk);
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let payloads: Vec<String> = (0..40_usize).map(|n| format!("{n} ").repeat(1 + n * 400)).collect();
    for (id, payload) in payloads.iter().enumerate() {
        publisher.publish_and_wait(&Message::new("kept/x", payload).qos(1 + id as u8 % 2, 1 + id as u16));
    }
    assert!(disk.struck("write short") > 40, "each write was cut short");
    assert_eq!(hub.metric("trefoil_store_failures_total"), 0);
    assert!(!hub.log().contains("ERROR"), "{}", hub.log());
    let (_hub, found) = killed(&disk, hub);
    assert_eq!(found[..2], BEFORE);
    assert_eq!(found[2..], payloads);
}

/// What may wait for the disk, and what may have been read before that was noticed.
const WAITING_BYTES_MAX: u64 = (64 << 20) + (8 << 20);

/// Over HTTP and UDP nobody can be made to wait: what has to be kept is refused, and nothing else.
fn refuses_who_cannot_wait(hub: &Hub) {
    let refused = || hub.metric("trefoil_store_refused_total");
    let before = refused();
    assert_eq!(post(hub, r#"{"topic":"r","data":"http","retain":true}"#), 503);
    assert_eq!(post(hub, r#"{"topic":"kept/x","data":"http","qos":1}"#), 503);
    let peer = Peer::new(hub.udp_port());
    for text in
        [r#"{"pub":"r","data":1,"retain":true,"id":1}"#, r#"{"pub":"kept/x","data":1,"qos":1,"id":1}"#]
    {
        let answer = peer.ask(text);
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&1.into(), &"overloaded".into()), "{answer}");
    }
    assert_eq!(peer.ask(r#"{"pub":"live","data":1,"qos":1,"id":2}"#), serde_json::json!({"ack": 2}));
    let device = Device::connected(hub.port_of("mqtt-sn"), "device");
    // To the topic `rr`: retained at QoS 0, 1 and 2; and one that nobody keeps.
    for (flags, id) in [(0x12, 0), (0x32, 1), (0x52, 2)] {
        device.send(kind::PUBLISH, &[flags, b'r', b'r', 0, id, b'x']);
        device.expect(kind::PUBACK, &[b'r', b'r', 0, id, 1]);
    }
    device.send(kind::PUBLISH, &[0x22, b'r', b'r', 0, 3, b'x']);
    device.expect(kind::PUBACK, &[b'r', b'r', 0, 3, 0]);
    assert_eq!(refused() - before, 7);
}

#[test]
fn who_publishes_more_than_the_disk_takes_is_not_read_from_and_others_are() {
    let disk = Disk::new();
    let hub = begin(&disk);
    let (tcp, bystander) = (hub.tcp_port(), Bystander::start(&hub));
    disk.fails("sync hold");
    let waiting = Waiting::send(&hub);
    // None of them waits for anything: at QoS 0, and at QoS 1 as MQTT 3 has no word to stop them.
    let payload = "x".repeat(50_000);
    let at_0 = Message::new("r", &payload).retain().packet(4);
    let at_1 = Message::new("kept/y", &payload).qos(1, 1).packet(4);
    let json = format!("{{\"pub\":\"r\",\"data\":\"{payload}\",\"retain\":true}}\n").into_bytes();
    let mqtt = |client_id| Connection::new(tcp, 4, client_id).stream;
    let floods = [(at_0, mqtt("floods at 0")), (at_1, mqtt("floods at 1")), (json, connect(tcp))];
    let bytes_waiting = || hub.metric("trefoil_store_waiting_bytes");
    std::thread::scope(|scope| {
        for (bytes, mut stream) in floods {
            let mut reader = stream.try_clone().unwrap();
            scope.spawn(move || {
                // Each offers more than may wait of all.
                (0..2000).for_each(|_| stream.write_all(&bytes).expect("the hub reads on in the end"));
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            });
            scope.spawn(move || reader.rest());
        }
        wait_until("none of the three is read from", || hub.metric("trefoil_store_pauses_total") >= 3);
        assert!(bytes_waiting() < WAITING_BYTES_MAX, "{} bytes wait for the disk", bytes_waiting());
        serves_what_needs_no_disk(&hub);
        refuses_who_cannot_wait(&hub);
        assert!(bytes_waiting() < WAITING_BYTES_MAX, "{} bytes wait for the disk", bytes_waiting());
        disk.works();
    });
    waiting.are_acknowledged();
    bystander.unharmed();
    wait_until("nothing waits any more", || bytes_waiting() == 0);
}

/// Neither process could open the store, and nobody would serve.
#[test]
fn no_process_takes_over_while_the_disk_fails() {
    let disk = Disk::new();
    let mut hub = fail(&disk, "sync", DEAD);
    let pid = hub.pid();
    let bystander = Bystander::start(&hub);
    let said = hub.ask_for_upgrade().run().failure(1);
    assert!(said.contains("the upgrade failed") && said.contains("the store cannot be written"), "{said}");
    hub.signal("USR2");
    wait_until("the signal is answered, too", || {
        hub.log().matches("the upgrade failed, and this process goes on").count() == 2
    });
    bystander.unharmed();
    serves_what_needs_no_disk(&hub);
    assert_eq!(hub.pid(), pid);
    disk.works();
    is_working(&hub);
    hub.upgrade();
    let (_hub, payloads) = killed(&disk, hub);
    assert_eq!(payloads[..2], BEFORE);
}
