//! What outlives the hub, what does not start it, and what is never written.

use serde_json::Value;
use std::path::{Path, PathBuf};
use trefoil_tests::mqtt::{Connect, Connection, Message, Will, ack, property};
use trefoil_tests::{CONFIG, Hub, Program, lines, trefoil, wait_until};

/// Longer than any test.
const EXPIRY_S: u32 = 3600;

fn lasting(hub: &Hub, client_id: &str) -> (Connection, bool) {
    let request = Connect::new(5, client_id).resume().session_expiry_s(EXPIRY_S);
    let (connection, answer) = Connection::with(hub.tcp_port(), &request);
    (connection, answer.flags & 1 == 1)
}

fn publish(hub: &Hub, messages: &[Message]) {
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    messages.iter().for_each(|message| publisher.publish_and_wait(message));
    publisher.leave();
}

/// What the hub answers to a GET or to a request by another method: status and JSON.
pub(super) fn ask(hub: &Hub, method: &str, path: &str) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{}{path}", hub.http_port());
    let text = Program::new("curl").args(["-sS", "-X", method, "-w", "\n%{http_code}", &url]).run().success();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// `trefoil store check` or `repair` of the store in a hub's folder.
fn store(action: &str, folder: &Path) -> Program {
    trefoil(["store", action, "trefoil-data"]).folder(folder)
}

/// A start that must fail; gives what it says.
fn refused(folder: &Path) -> String {
    trefoil(["serve", "--config", "trefoil.toml"]).folder(folder).run().failure(6)
}

/// The one file of the store that holds records.
fn segment(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder.join("trefoil-data")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    logs.remove(0)
}

/// Gives the hub something of every kind to keep.
fn fill(hub: &Hub) {
    let (mut client, is_present) = lasting(hub, "lasting");
    assert!(!is_present);
    client.subscribe("q/#", 2);
    publish(
        hub,
        &[
            Message::new("q/1", "one").qos(1, 1),
            Message::new("q/2", "two").qos(2, 2),
            Message::new("q/3", "three").qos(2, 3),
            Message::new("r", "retained").retain().qos(1, 4),
        ],
    );
    // One stays in flight as it was sent, one is half done, one is done with.
    let sent = [client.receive_publish(), client.receive_publish(), client.receive_publish()];
    assert_eq!(sent.each_ref().map(|m| (m.packet_id, m.dup)), [(1, false), (2, false), (3, false)]);
    client.send(&ack(0x50, 2));
    assert_eq!(client.receive().ack(0x62).packet_id, 2);
    client.ping();
    client.break_off();
    // It comes while nobody is there.
    publish(hub, &[Message::new("q/4", "four").qos(1, 5)]);
}

/// Checks that what [`fill`] gave is there, with packet ids and DUP.
fn is_filled(hub: &Hub) {
    let (mut client, is_present) = lasting(hub, "lasting");
    assert!(is_present, "the session is there");
    let release = client.receive();
    assert_eq!(release.ack(0x62).packet_id, 2);
    client.send(&ack(0x70, 2));
    for (packet_id, dup, payload) in [(1, true, "one"), (3, true, "three"), (4, false, "four")] {
        let message = client.receive_publish();
        assert_eq!((message.packet_id, message.dup), (packet_id, dup), "{payload}");
        assert_eq!(message.payload, payload.as_bytes());
    }
    client.ping();
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("r", 0);
    let message = reader.receive_publish();
    assert_eq!((message.payload.as_slice(), message.retain), (&b"retained"[..], true));
}

#[test]
fn a_restart_keeps_sessions_retained_messages_and_what_is_in_flight() {
    let hub = Hub::start();
    fill(&hub);
    let hub = Hub::resume(hub.leave("TERM"), CONFIG);
    is_filled(&hub);
}

#[test]
fn so_does_a_kill() {
    let hub = Hub::start();
    fill(&hub);
    let hub = Hub::resume(hub.leave("KILL"), CONFIG);
    is_filled(&hub);
}

#[test]
fn the_will_of_a_client_that_was_there_is_published_after_a_kill() {
    let hub = Hub::start();
    let (mut heir, _) = lasting(&hub, "heir");
    heir.subscribe("will", 1);
    let request = Connect::new(5, "mortal").will(Will::new("will", "gone").qos(1));
    let (_mortal, _) = Connection::with(hub.tcp_port(), &request);
    let hub = Hub::resume(hub.leave("KILL"), CONFIG);
    let (mut heir, is_present) = lasting(&hub, "heir");
    assert!(is_present);
    assert_eq!(heir.receive_and_ack().payload, b"gone");
}

#[test]
fn a_second_hub_on_the_same_folder_is_refused() {
    let hub = Hub::start();
    fill(&hub);
    let serve = trefoil(["serve", "--config", "trefoil.toml"]).folder(hub.folder()).run().failure(1);
    for said in [serve, store("check", hub.folder()).run().failure(1)] {
        assert!(said.contains("trefoil-data is in use by another process"), "{said}");
    }
    let said = store("repair", hub.folder()).run().failure(1);
    assert!(said.contains("in use"), "{said}");
    is_filled(&hub);
}

#[test]
fn damage_is_refused_and_named_and_repaired() {
    let hub = Hub::start();
    fill(&hub);
    let folder = hub.leave("TERM");
    let path = folder.path();
    let checked = store("check", path).run().success();
    assert!(
        checked.contains("1 sessions with 1 subscriptions") && checked.contains("It is fine"),
        "{checked}"
    );
    let file = segment(path);
    let mut bytes = std::fs::read(&file).unwrap();
    // Behind the first record, whose header is 20 bytes behind the 24 of the file.
    let first = u32::from_le_bytes(bytes[24..28].try_into().unwrap()) as usize;
    bytes[24 + 20 + first + 20 + 1] ^= 0x40;
    std::fs::write(&file, bytes).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let said = refused(path);
    assert!(
        said.contains(&format!("{name} is damaged at byte")) && said.contains("trefoil store check"),
        "{said}"
    );
    let said = store("check", path).run().failure(1);
    assert!(
        said.contains("record 2 lost")
            && said.contains(&format!("trefoil store repair {}/trefoil-data", path.display())),
        "{said}"
    );
    let said = store("repair", path).run().success();
    assert!(said.contains("record 2 lost") && said.contains(&format!("{name}.damaged")), "{said}");
    assert!(said.trim_end().ends_with("It is fine: the hub starts with it."), "{said}");
    let said = store("repair", path).run().success();
    assert!(said.starts_with("There was nothing to repair."), "{said}");
    let hub = Hub::resume(folder, CONFIG);
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("r", 0);
    assert_eq!(reader.receive_publish().payload, b"retained");
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 })
    })
}

#[test]
fn a_newer_format_is_refused_and_a_torn_tail_is_not() {
    let hub = Hub::start();
    fill(&hub);
    // A clean stop leaves the records and nothing behind them.
    let folder = hub.leave("TERM");
    let file = segment(folder.path());
    let whole = std::fs::read(&file).unwrap();
    let mut newer = whole.clone();
    newer[7] += 1;
    let crc = crc32c(&newer[..20]);
    newer[20..24].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&file, newer).unwrap();
    let is_told = |said: &str| said.contains("is of format version 2, and this program has version 1");
    for said in [refused(folder.path()), store("check", folder.path()).run().failure(1)] {
        assert!(is_told(&said), "{said}");
    }
    let said = store("repair", folder.path()).run().failure(1);
    assert!(is_told(&said), "{said}");
    // Half a record, and the zeros that a hub which was killed has had ahead of it.
    std::fs::write(&file, [&whole[..], b"half a record", &[0; 5000]].concat()).unwrap();
    let said = store("check", folder.path()).run().success();
    assert!(said.contains("13 bytes half-written"), "{said}");
    let hub = Hub::resume(folder, CONFIG);
    assert!(hub.log().contains("13 bytes that a crash had left half-written"), "{}", hub.log());
    is_filled(&hub);
}

#[test]
fn the_store_is_found_by_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hub.toml"), "[store]\npath = \"kept\"\n").unwrap();
    let check = |arguments: &[&str]| trefoil(arguments).folder(folder.path()).run();
    let said = check(&["store", "check", "--config", "hub.toml"]).failure(1);
    // It says where it has looked, and from where the path counts.
    let kept = folder.path().join("kept");
    assert!(said.contains(&format!("cannot open {}", kept.display())), "{said}");
    assert!(said.contains("counts from the folder where the hub is started"), "{said}");
    let said = check(&["store", "repair"]).failure(1);
    assert!(said.contains("trefoil-data: No such file"), "{said}");
    assert!(!folder.path().join("trefoil-data").exists(), "a repair makes no store");
    std::fs::create_dir(folder.path().join("kept")).unwrap();
    for action in ["check", "repair"] {
        let said = check(&["store", action, "kept"]).failure(1);
        assert!(said.contains(&format!("There is no store in {}.", kept.display())), "{said}");
        assert!(said.contains("`[store] path`"), "{said}");
    }
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 0, "nothing is left there");
    check(&["store", "check", "kept", "--config", "hub.toml"]).failure(2);
    check(&["store"]).failure(2);
}

#[test]
fn without_durability_there_is_no_folder() {
    let config = format!("{CONFIG}\n[store]\ndurability = \"none\"\n");
    let hub = Hub::with_config(&config);
    fill(&hub);
    assert_eq!(ask(&hub, "GET", "/api/v1/stats").1["store"]["state"], "off");
    assert_eq!(hub.metric("trefoil_store_state{state=\"off\"}"), 1);
    let folder = hub.leave("TERM");
    assert!(!folder.path().join("trefoil-data").exists());
    let hub = Hub::resume(folder, &config);
    assert!(!lasting(&hub, "lasting").1);
}

#[test]
fn a_store_that_is_not_used_any_more_is_told_of() {
    let hub = Hub::start();
    fill(&hub);
    let config = format!("{CONFIG}\n[store]\ndurability = \"none\"\n");
    let hub = Hub::resume(hub.leave("TERM"), &config);
    assert!(hub.log().contains("trefoil-data stays as it is and nothing of it is read"), "{}", hub.log());
    assert!(!lasting(&hub, "lasting").1);
}

#[test]
fn what_a_rule_does_not_keep_any_more_does_not_come_back() {
    let hub = Hub::start();
    publish(&hub, &[Message::new("a", "1").retain().qos(1, 1), Message::new("b", "1").retain().qos(1, 2)]);
    let config = format!("{CONFIG}[[durability]]\nfilter = \"#\"\ndurability = \"none\"\n");
    let hub = Hub::resume(hub.leave("TERM"), &config);
    publish(&hub, &[Message::new("a", "2").retain().qos(1, 1), Message::new("b", "").retain().qos(1, 2)]);
    let hub = Hub::resume(hub.leave("TERM"), CONFIG);
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    publish(&hub, &[Message::new("c", "last").retain().qos(1, 1)]);
    reader.subscribe("+", 0);
    assert_eq!(reader.receive_publish().topic, "c");
}

#[test]
fn a_store_that_was_stopped_in_order_is_refused_when_its_end_is_gone() {
    let hub = Hub::start();
    fill(&hub);
    let folder = hub.leave("TERM");
    let file = segment(folder.path());
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 3]).unwrap();
    let said = refused(folder.path());
    assert!(said.contains("is damaged at byte") && said.contains("trefoil store check"), "{said}");
    let said = store("check", folder.path()).run().failure(1);
    assert!(said.contains("it was whole when the log was closed"), "{said}");
    // A hub that was killed may leave such an end.
    std::fs::write(&file, whole).unwrap();
    let folder = Hub::resume(folder, CONFIG).leave("KILL");
    let file = segment(folder.path());
    let bytes = std::fs::read(&file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(&file, &bytes[..end - 3]).unwrap();
    store("check", folder.path()).run().success();
    is_filled(&Hub::resume(folder, CONFIG));
}

#[test]
fn what_is_in_the_way_of_the_store_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("trefoil.toml"), CONFIG).unwrap();
    std::fs::write(folder.path().join("trefoil-data"), "").unwrap();
    for said in [refused(folder.path()), store("check", folder.path()).run().failure(1)] {
        assert!(said.contains("trefoil-data is no folder"), "{said}");
    }
    std::fs::remove_file(folder.path().join("trefoil-data")).unwrap();
    std::fs::create_dir_all(folder.path().join("trefoil-data/00000000000000000001.log")).unwrap();
    let serve = trefoil(["serve", "--config", "trefoil.toml"]).folder(folder.path()).run().failure(1);
    for said in [serve, store("check", folder.path()).run().failure(1)] {
        assert!(said.contains("a folder has the name of a file of the store"), "{said}");
    }
}

#[test]
#[cfg(unix)]
fn nobody_else_reads_the_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let hub = Hub::start();
    fill(&hub);
    let folder = hub.folder().join("trefoil-data");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn each_topic_is_as_durable_as_its_filter_says() {
    let config = format!(
        "{CONFIG}\n[[durability]]\nfilter = \"q/live/#\"\ndurability = \"none\"\n\n[[durability]]\nfilter = \"q/soon/#\"\n\
         durability = \"interval\"\n"
    );
    let hub = Hub::with_config(&config);
    let (mut client, _) = lasting(&hub, "lasting");
    client.subscribe("q/#", 1);
    let before = hub.metric("trefoil_store_appended_bytes_total");
    publish(
        &hub,
        &[
            Message::new("q/live/1", [b'x'; 10_000]).qos(1, 1),
            Message::new("q/live/2", "r").retain().qos(1, 2),
        ],
    );
    assert_eq!(hub.metric("trefoil_store_appended_bytes_total"), before, "nothing of it is written");
    publish(&hub, &[Message::new("q/soon", "soon").qos(1, 3), Message::new("q/sync", "at once").qos(1, 4)]);
    // What is synced takes all that was there before along.
    let hub = Hub::resume(hub.leave("KILL"), &config);
    let (mut client, is_present) = lasting(&hub, "lasting");
    assert!(is_present);
    let topics = [client.receive_and_ack().topic, client.receive_and_ack().topic];
    assert_eq!(topics, ["q/soon", "q/sync"]);
    client.ping();
}

#[test]
fn a_packet_id_of_a_message_that_is_not_kept_is_not_used_for_another_one() {
    let config = format!("{CONFIG}[[durability]]\nfilter = \"none\"\ndurability = \"none\"\n");
    let hub = Hub::with_config(&config);
    let (mut client, _) = lasting(&hub, "lasting");
    client.subscribe("#", 2);
    publish(&hub, &[Message::new("none", "lost").qos(2, 1)]);
    // The client has it, and will take the next PUBLISH with its packet id for the same once more.
    assert_eq!(client.receive_publish().packet_id, 1);
    let hub = Hub::resume(hub.leave("KILL"), &config);
    let (mut client, is_present) = lasting(&hub, "lasting");
    assert!(is_present);
    let release = client.receive();
    assert_eq!(release.ack(0x62).packet_id, 1);
    publish(&hub, &[Message::new("kept", "comes").qos(2, 1)]);
    let message = client.receive_publish();
    assert_eq!((message.packet_id, message.dup, &message.payload[..]), (2, false, &b"comes"[..]));
    client.send(&ack(0x70, 1));
    client.ping();
}

#[test]
fn a_delayed_message_at_qos_0_does_not_come_again_after_a_kill() {
    let config = format!("{CONFIG}[delayed]\nenabled = true\n");
    let hub = Hub::with_config(&config);
    let (mut client, _) = lasting(&hub, "lasting");
    client.subscribe("#", 0);
    publish(&hub, &[Message::new("$delayed/0/t", "once")]);
    assert_eq!(client.receive_publish().payload, b"once");
    let hub = Hub::resume(hub.leave("KILL"), &config);
    let (mut client, is_present) = lasting(&hub, "lasting");
    assert!(is_present);
    publish(&hub, &[Message::new("$delayed/1/t", "another").qos(1, 1)]);
    assert_eq!(client.receive_publish().payload, b"another", "what was due earlier would come before");
}

#[test]
fn what_only_clean_sessions_want_is_not_written() {
    let hub = Hub::start();
    let (mut kept, _) = lasting(&hub, "kept");
    kept.subscribe("kept/#", 1);
    let mut clean = Connection::new(hub.tcp_port(), 5, "clean");
    clean.subscribe("live/#", 2);
    let mut reader = lines::Connection::new(hub.tcp_port());
    reader.ask(r##"{"sub":"live/#","qos":1}"##);
    let mut publisher = Connection::new(hub.tcp_port(), 4, "publisher");
    publisher.ping();
    let figures =
        || ["appended_bytes", "syncs", "batches"].map(|f| hub.metric(&format!("trefoil_store_{f}_total")));
    let before = figures();
    for id in 1..=50 {
        publisher
            .publish_and_wait(&Message::new("live/x", "for those who are here").qos(1 + (id % 2) as u8, id));
        clean.receive_and_ack();
        let message = reader.receive();
        reader.send(format!(r#"{{"ack":{}}}"#, message["id"]));
    }
    publisher.publish_and_wait(&Message::new("nobody/wants", "it").qos(1, 99));
    publisher.publish_and_wait(&Message::new("kept/at/0", "is not kept"));
    assert_eq!(figures(), before);
    publisher.publish_and_wait(&Message::new("kept/at/1", "is").qos(1, 100));
    wait_until("it is counted", || figures()[0] > before[0] && figures()[1] > before[1]);
}

#[test]
fn figures_tell_what_the_store_does() {
    let hub = Hub::start();
    fill(&hub);
    let stats = ask(&hub, "GET", "/api/v1/stats").1;
    let store = &stats["store"];
    assert_eq!((&store["state"], &store["segments"]), (&"working".into(), &1.into()), "{stats}");
    assert!(store.get("reason").is_none(), "{stats}");
    for figure in ["syncs", "batches", "records", "appended_bytes", "disk_bytes"] {
        assert!(store[figure].as_u64() > Some(0), "{figure} in {stats}");
    }
    for figure in ["failures", "discarded_batches", "waiting_bytes"] {
        assert_eq!(store[figure].as_u64(), Some(0), "{figure} in {stats}");
    }
    assert_eq!(hub.metric("trefoil_store_state{state=\"working\"}"), 1);
    let syncs = hub.metric("trefoil_store_syncs_total");
    assert!(syncs > 0 && hub.metric("trefoil_store_sync_seconds_bucket{le=\"+Inf\"}") >= syncs);
    assert!(hub.metric("trefoil_store_disk_bytes") > 0 && hub.metric("trefoil_store_segments") == 1);
}

#[test]
fn sessions_are_listed_and_ended_for_good() {
    let hub = Hub::start();
    for name in ["small", "large", "pump/7"] {
        let (mut client, _) = lasting(&hub, name);
        client.subscribe(&format!("to/{name}"), 1);
        client.leave();
    }
    for id in 1..=5 {
        publish(&hub, &[Message::new("to/large", [b'x'; 1000]).qos(1, id)]);
    }
    publish(&hub, &[Message::new("to/small", "x").qos(1, 9)]);
    let (mut here, _) = lasting(&hub, "here");
    here.subscribe("to/here", 1);
    let (status, list) = ask(&hub, "GET", "/api/v1/sessions?sort=bytes&limit=2");
    assert_eq!((status, list["sessions"].as_array().map(Vec::len)), (200, Some(2)), "{list}");
    let [large, small] = [&list["sessions"][0], &list["sessions"][1]];
    assert_eq!((&large["client_id"], &small["client_id"]), (&"large".into(), &"small".into()), "{list}");
    assert_eq!((&large["queued_messages"], &large["subscriptions"]), (&5.into(), &1.into()), "{list}");
    assert!(large["queued_bytes"].as_u64() > Some(5000) && large["kept"] == true, "{list}");
    assert!(large["connected"] == false && large["away_s"].is_u64(), "{list}");
    assert!(large["expires_in_s"].as_u64().is_some_and(|s| s <= EXPIRY_S.into() && s > 0), "{list}");
    wait_until("all are counted", || ask(&hub, "GET", "/api/v1/sessions").1["total"] == 4);

    let end = |client_id: &str| ask(&hub, "DELETE", &format!("/api/v1/sessions/{client_id}"));
    assert_eq!(end("nobody").0, 404);
    for client_id in ["large", "pump%2F7", "here"] {
        assert_eq!(end(client_id).0, 200, "{client_id}");
    }
    here.expect_end(0x98);
    assert_eq!(end("large").0, 404);
    let foreign =
        ["-H", "Origin: http://evil.example", "-X", "DELETE", "-o", "/dev/null", "-w", "%{http_code}"];
    let url = format!("http://127.0.0.1:{}/api/v1/sessions/small", hub.http_port());
    assert_eq!(Program::new("curl").args(["-sS", &url]).args(foreign).run().success(), "403");

    let hub = Hub::resume(hub.leave("KILL"), CONFIG);
    for (client_id, is_there) in [("large", false), ("pump/7", false), ("here", false), ("small", true)] {
        assert_eq!(lasting(&hub, client_id).1, is_there, "{client_id}");
    }
}

#[test]
fn sessions_are_listed_by_pages() {
    let hub = Hub::start();
    for name in 0..25 {
        let (mut client, _) = lasting(&hub, &format!("{name:02}"));
        client.subscribe("to/all", 1);
        client.leave();
    }
    publish(&hub, &[Message::new("to/all", "x").qos(1, 1)]);
    wait_until("all are counted", || ask(&hub, "GET", "/api/v1/sessions").1["total"] == 25);
    for order in ["messages", "bytes", "away"] {
        let mut found = Vec::new();
        for offset in [0, 10, 20, 30] {
            let path = format!("/api/v1/sessions?sort={order}&limit=10&offset={offset}");
            let (status, list) = ask(&hub, "GET", &path);
            assert_eq!((status, &list["total"]), (200, &25.into()), "{list}");
            let page = list["sessions"].as_array().unwrap().clone();
            found.extend(page.iter().map(|session| session["client_id"].as_str().unwrap().to_owned()));
        }
        if order != "away" {
            assert!(found.is_sorted(), "equals go by their client id: {found:?}");
        }
        found.sort();
        assert_eq!(found, Vec::from_iter((0..25).map(|name| format!("{name:02}"))), "{order}");
    }
    let (status, error) = ask(&hub, "GET", "/api/v1/sessions?offset=10001");
    assert_eq!((status, &error["error"]["field"]), (400, &"offset".into()), "{error}");
}

#[test]
fn how_long_a_client_is_away_is_known_of_sessions_that_never_end() {
    let config = format!("{CONFIG}\n[limits]\nsession_expiry_s_max = 4294967295\n");
    let hub = Hub::with_config(&config);
    let connects = [Connect::new(5, "five").session_expiry_s(u32::MAX), Connect::new(4, "four").resume()];
    for connect in &connects {
        Connection::with(hub.tcp_port(), connect).0.leave();
    }
    let away_s = |hub: &Hub, client_id: &str| {
        let list = ask(hub, "GET", "/api/v1/sessions?sort=away").1;
        let sessions = list["sessions"].as_array().unwrap();
        let session = sessions.iter().find(|session| session["client_id"] == client_id).unwrap();
        assert!(session["expiry_s"].is_null() && session["expires_in_s"].is_null(), "{session}");
        session["away_s"].as_u64().unwrap_or_else(|| panic!("{session}"))
    };
    wait_until("time goes by", || away_s(&hub, "five") >= 3);
    // A start does not begin it anew.
    let hub = Hub::resume(hub.leave("KILL"), &config);
    assert!(away_s(&hub, "five") >= 3 && away_s(&hub, "four") >= 3);
    // One that was here when the hub was killed has been away since the start.
    let here = Connection::with(hub.tcp_port(), &connects[1].clone().resume()).0;
    let hub = Hub::resume(hub.leave("KILL"), &config);
    assert!(away_s(&hub, "four") < away_s(&hub, "five"));
    drop(here);
}

#[test]
fn clients_of_every_kind_are_told_that_their_session_has_ended() {
    let hub = Hub::start();
    let mut json = lines::Connection::new(hub.tcp_port());
    json.ask(r#"{"sub":"t"}"#);
    let mut old = Connection::new(hub.tcp_port(), 4, "old");
    old.subscribe("t", 0);
    let list = ask(&hub, "GET", "/api/v1/sessions?sort=subscriptions").1;
    let names: Vec<&str> =
        list["sessions"].as_array().unwrap().iter().filter_map(|s| s["client_id"].as_str()).collect();
    assert_eq!(names.len(), 2, "{list}");
    for name in names {
        assert_eq!(ask(&hub, "DELETE", &format!("/api/v1/sessions/{name}")).0, 200, "{name}");
    }
    assert_eq!(json.receive()["error"]["code"], "unavailable");
    assert_eq!(json.line(), None);
    old.expect_end(0x98);
    wait_until("none is left", || hub.stat("sessions") == 0);
    assert_eq!(hub.metric("trefoil_protocol_errors_total"), 0);
}

#[test]
fn limits_that_have_become_lower_trim_what_waits() {
    let own = ("session_queue_messages_max = 5", "queue_full", 5_u16);
    let total = ("queued_messages_max = 6", "total_full", 3);
    for (limits, reason, left) in [own, total] {
        let hub = Hub::start();
        for (client_id, policy) in [("newest", "drop_newest"), ("oldest", "drop_oldest")] {
            let (mut client, _) = lasting(&hub, client_id);
            client.subscribe_with(&property::pair("slow_reader", policy), &[("kept/#", 1)]);
            client.leave();
        }
        let message = |number: u16| Message::new("kept/x", number.to_string()).qos(1, number + 1);
        publish(&hub, &(0..20).map(message).collect::<Vec<_>>());
        let hub = Hub::resume(hub.leave("KILL"), &format!("{CONFIG}\n[limits]\n{limits}\n"));
        let dropped = 40 - 2 * u64::from(left);
        assert_eq!(hub.metric(&format!("trefoil_dropped_total{{reason=\"{reason}\"}}")), dropped);
        let said = format!("{dropped} messages that waited for 2 sessions are dropped");
        assert!(hub.log().contains(&said), "{}", hub.log());
        // It has been written down: who starts with other limits again does not find them.
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        publisher.publish_and_wait(&Message::new("r", "synced").retain().qos(1, 1));
        let hub = Hub::resume(hub.leave("KILL"), CONFIG);
        for (client_id, expected) in [("newest", 0..left), ("oldest", 20 - left..20)] {
            let (mut client, is_present) = lasting(&hub, client_id);
            assert!(is_present);
            for number in expected {
                assert_eq!(client.receive_and_ack().payload, number.to_string().as_bytes(), "{client_id}");
            }
            client.ping();
        }
    }
}
