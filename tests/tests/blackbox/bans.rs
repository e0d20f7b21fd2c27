//! Bans: by client id, by user, by address; who is cut, who is refused, and what is left after a crash.

use super::store_full::Disk;
use serde_json::{Value, json};
use std::net::UdpSocket;
use trefoil_tests::mqtt::property::{id, section, text};
use trefoil_tests::mqtt::{Connect, Connection, Message, packet};
use trefoil_tests::mqtt_sn::{CLEAN, Device, connect_body, kind};
use trefoil_tests::scram::Scram;
use trefoil_tests::{CONFIG, DEADLINE, Hub, Program, lines, python, wait_until, websocket};

/// MQTT 5: Banned, Administrative action, Bad user name or password.
const BANNED: u8 = 0x8a;
const ADMINISTRATIVE: u8 = 0x98;
const WRONG_PASSWORD: u8 = 0x86;

/// What the hub answers over HTTP: status and JSON.
pub(super) fn ask(hub: &Hub, method: &str, path: &str, body: Option<&Value>, more: &[&str]) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{}{path}", hub.http_port());
    let body = body.map(Value::to_string);
    let mut arguments = vec!["-sS", "-m", "60", "-X", method, "-w", "\n%{http_code}", &url];
    arguments.extend(body.iter().flat_map(|body| ["-H", "Content-Type: application/json", "-d", body]));
    let text = Program::new("curl").args(arguments).args(more).run().success();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {body}")))
}

fn post(hub: &Hub, ban: &Value, more: &[&str]) -> (u16, Value) {
    ask(hub, "POST", "/api/v1/bans", Some(ban), more)
}

/// Bans, which must succeed. Gives how many connections were ended.
fn ban(hub: &Hub, ban: Value, more: &[&str]) -> u64 {
    let (status, answer) = post(hub, &ban, more);
    assert!(status == 201 || status == 200, "{ban}: {status} {answer}");
    assert_eq!(answer["kept"], true, "{answer}");
    answer["disconnected"].as_u64().unwrap()
}

fn take_back(hub: &Hub, whom: &str, more: &[&str]) {
    let (status, answer) = ask(hub, "DELETE", &format!("/api/v1/bans/{whom}"), None, more);
    assert_eq!((status, answer), (200, json!({"removed": true, "kept": true})), "{whom}");
}

fn list(hub: &Hub, more: &[&str]) -> Vec<Value> {
    let (status, answer) = ask(hub, "GET", "/api/v1/bans", None, more);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["total"].as_u64().unwrap(), answer["bans"].as_array().unwrap().len() as u64);
    answer["bans"].as_array().unwrap().clone()
}

/// The code of CONNACK.
fn code(hub: &Hub, request: &Connect) -> u8 {
    Connection::asking(hub.tcp_port(), request).1.expect("a CONNACK").code
}

#[test]
fn a_client_id_is_cut_and_refused_in_every_version() {
    let hub = Hub::start();
    let mut five = Connection::new(hub.tcp_port(), 5, "pump-5");
    let mut three = Connection::new(hub.tcp_port(), 4, "pump-3");
    let mut other = Connection::new(hub.tcp_port(), 5, "probe");
    assert_eq!(ban(&hub, json!({"client_id": "pump-*", "reason": "mischief"}), &[]), 2);
    five.expect_end(ADMINISTRATIVE);
    three.expect_end(ADMINISTRATIVE);
    other.ping();
    for (version, client_id, expected) in
        [(5, "pump-5", BANNED), (4, "pump-3", 5), (3, "pump-x", 5), (5, "pump", 0), (5, "", 0)]
    {
        assert_eq!(code(&hub, &Connect::new(version, client_id)), expected, "{version} {client_id}");
    }
    let port = hub.tcp_port().to_string();
    let publish = |client_id: &str| {
        Program::new("mosquitto_pub")
            .args(["-p", &port, "-V", "5", "-i", client_id, "-t", "t", "-m", "x"])
            .run()
    };
    let refused = publish("pump-9");
    assert!(!refused.status.success() && refused.stderr.contains("Banned"), "{refused}");
    assert_eq!(hub.metric("trefoil_bans_disconnected_total"), 2);
    assert_eq!(hub.metric("trefoil_bans_refused_total"), 4);
    assert_eq!(hub.metric("trefoil_bans"), 1);
    let listed = list(&hub, &[]).remove(0);
    assert_eq!((&listed["client_id"], &listed["reason"]), (&json!("pump-*"), &json!("mischief")));
    assert_eq!(
        (&listed["refused"], &listed["by"], &listed["expires_in_s"]),
        (&json!(4), &Value::Null, &Value::Null)
    );
    assert!(
        hub.log().contains("banned: client_id \"pump-*\" until it is taken back: \"mischief\""),
        "{}",
        hub.log()
    );

    // One of them by its name, which holds besides.
    assert_eq!(ban(&hub, json!({"client_id": "pump-9"}), &[]), 0);
    take_back(&hub, "client_id/pump-*", &[]);
    publish("pump-5").success();
    assert!(!publish("pump-9").status.success());
    take_back(&hub, "client_id/pump-9", &[]);
    publish("pump-9").success();
    assert!(list(&hub, &[]).is_empty());
}

#[test]
fn sessions_that_the_hub_names_and_mqtt_over_websocket_are_no_exception() {
    let hub = Hub::start();
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    socket.send_text(r#"{"ping":1}"#);
    socket.receive().unwrap();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"ping":1}"#);
    let mut mqtt = websocket::Connection::new(hub.http_port(), "/mqtt");
    mqtt.send(&websocket::frame(0x82, &Connect::new(5, "ws-mqtt").packet()));
    mqtt.receive().unwrap();
    assert_eq!(ban(&hub, json!({"client_id": "ws-*"}), &[]), 2);
    let (_, said) = socket.receive().unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["error"]["code"], "not_authorized", "{said}");
    assert_eq!(socket.close_code(), Some(1008));
    let goodbye = mqtt.receive().unwrap().1;
    assert_eq!((goodbye[0], goodbye[2]), (0xe0, ADMINISTRATIVE), "DISCONNECT comes first");
    assert_eq!(mqtt.close_code(), Some(1008));
    line.ask(r#"{"ping":1}"#);

    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    let said: Value = serde_json::from_slice(&socket.receive().unwrap().1).unwrap();
    assert_eq!(said["error"]["reason"], "this client id is banned", "{said}");
    assert_eq!(socket.close_code(), Some(1008));
    let mut mqtt = websocket::Connection::new(hub.http_port(), "/mqtt");
    mqtt.send(&websocket::frame(0x82, &Connect::new(5, "ws-mqtt").packet()));
    let answer = mqtt.receive().unwrap().1;
    assert_eq!((answer[0], answer[3]), (0x20, BANNED), "{answer:?}");
    assert_eq!(mqtt.close_code(), Some(1008));

    assert_eq!(ban(&hub, json!({"client_id": "tcp-*"}), &[]), 1);
    assert_eq!(line.receive()["error"]["code"], "not_authorized");
    assert_eq!(line.line(), None);
    ban(&hub, json!({"client_id": "sse-*"}), &[]);
    let url = format!("http://127.0.0.1:{}/sse?topic=t", hub.http_port());
    let status =
        Program::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url]).run().success();
    assert_eq!(status, "403");
}

#[test]
fn devices_of_mqtt_sn_are_cut_and_refused() {
    let hub = Hub::start();
    let port = hub.port_of("mqtt-sn");
    let (device, other) = (Device::connected(port, "pump"), Device::connected(port, "probe"));
    assert_eq!(ban(&hub, json!({"client_id": "pump"}), &[]), 1);
    device.expect(kind::DISCONNECT, &[]);
    device.send(kind::CONNECT, &connect_body(CLEAN, 60, "pump"));
    device.expect(kind::CONNACK, &[3]);
    other.expect_nothing();
    take_back(&hub, "client_id/pump", &[]);
    device.connect(CLEAN, 60, "pump");
}

#[test]
fn an_address_is_cut_off_and_nothing_of_it_is_read() {
    let hub = Hub::start();
    let port = hub.tcp_port().to_string();
    let bystander = Connection::new(hub.tcp_port(), 5, "bystander");
    let subscribe = ["-A", "127.0.0.2", "-p", &port, "-V", "5", "-t", "t"];
    let mqtt = Program::new("mosquitto_sub").args(subscribe).spawn();
    let url = format!("http://127.0.0.1:{}/sse?topic=t", hub.http_port());
    let events = Program::new("curl").args(["-sSN", "--interface", "127.0.0.2", &url]).spawn();
    let mut line = Program::new("nc").args(["-s", "127.0.0.2", "127.0.0.1", &port]).open_stdin().spawn();
    line.write("{\"sub\":\"t\"}\n");
    let udp = datagrams(hub.udp_port());
    udp.send(br#"{"sub":"t","id":1}"#).unwrap();
    assert_eq!(receive(&udp), json!({"sub": "t", "qos": 0, "ack": 1}));
    let device = datagrams(hub.port_of("mqtt-sn"));
    device.send(&[&[14, 4], &connect_body(CLEAN, 60, "device-1")[..]].concat()).unwrap();
    let mut answer = [0; 100];
    assert_eq!((device.recv(&mut answer).unwrap(), &answer[..3]), (3, &[3, 5, 0][..]));
    // Four of them subscribe, and one device and one bystander do not.
    wait_until("all are subscribed", || hub.stat("subscriptions") == 4 && hub.stat("sessions") == 6);

    assert_eq!(ban(&hub, json!({"address": "127.0.0.2"}), &[]), 5);
    assert_eq!(hub.stat("sessions"), 1, "that of the bystander");
    assert!(receive(&udp)["error"]["reason"] == "this address is banned");
    assert_eq!((device.recv(&mut answer).unwrap(), &answer[..2]), (2, &[2, 24][..]), "DISCONNECT");
    assert!(events.wait().stdout.is_empty());
    assert!(line.lines(2)[1].contains("this address is banned"));

    let refused = || hub.metric("trefoil_bans_refused_total");
    let curl = |from: &str| {
        Program::new("curl")
            .args(["-sS", "-m", "60", "--interface", from, &url.replace("/sse?topic=t", "/livez")])
            .run()
    };
    let before = refused();
    assert!(!curl("127.0.0.2").status.success());
    curl("127.0.0.3").success();
    // Datagrams are not answered, so that nobody can have answers sent to somebody else.
    for (socket, datagram) in [(&udp, &br#"{"ping":1}"#[..]), (&device, &[2, 22])] {
        let before = refused();
        socket.send(datagram).unwrap();
        wait_until("it was refused", || refused() > before);
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut answer).is_err(), "without an answer");
    }
    assert!(refused() > before + 2);
    assert_eq!(hub.stat("sessions"), 1);
    let publish = || {
        let arguments = ["-A", "127.0.0.2", "-p", &port, "-V", "5", "-t", "t", "-m", "x"];
        Program::new("mosquitto_pub").args(arguments).run()
    };
    assert!(!publish().status.success());
    take_back(&hub, "address/127.0.0.2", &[]);
    publish().success();
    drop((mqtt, bystander));

    ban(&hub, json!({"address": "127.0.0.2/31"}), &[]);
    assert!(!curl("127.0.0.3").status.success());
    curl("127.0.0.4").success();
    take_back(&hub, "address/127.0.0.2%2F31", &[]);
    curl("127.0.0.3").success();
    ban(&hub, json!({"address": "127.0.0.2/31"}), &[]);
    take_back(&hub, "address/127.0.0.2/31", &[]);
}

#[test]
fn a_connection_that_waits_for_its_next_request_is_served_no_more() {
    let hub = Hub::start();
    let port = hub.http_port().to_string();
    let mut page = Program::new("nc").args(["-s", "127.0.0.2", "127.0.0.1", &port]).open_stdin().spawn();
    let get = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    page.write(get);
    assert!(page.lines(1)[0].starts_with("HTTP/1.1 200 "));
    ban(&hub, json!({"address": "127.0.0.2"}), &[]);
    page.write(get);
    page.close_stdin();
    let said = String::from_utf8(page.wait().stdout).unwrap();
    assert_eq!(said.matches("HTTP/1.1 ").count(), 2, "{said}");
    assert!(said.contains("HTTP/1.1 403 ") && said.contains("this address is banned"), "{said}");
}

/// A peer with another address than that of this machine's usual ones.
fn datagrams(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Value {
    let mut bytes = [0; 2000];
    let length = socket.recv(&mut bytes).unwrap();
    serde_json::from_slice(&bytes[..length]).unwrap()
}

const ANN: [&str; 2] = ["-u", "ann:a"];

#[test]
fn a_user_is_cut_and_refused_by_every_way_in() {
    let hub = Hub::with_users(&[("ann", "a"), ("bob", "b")], "");
    let connect = |user: &str, password: &str| Connect::new(5, user).user(user).password(password);
    let mut bob = Connection::with(hub.tcp_port(), &connect("bob", "b")).0;
    let mut ann = Connection::with(hub.tcp_port(), &connect("ann", "a")).0;
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"auth":{"user":"bob","password":"b"}}"#);
    let url = format!("http://127.0.0.1:{}/sse?topic=t", hub.tcp_port());
    let events = Program::new("curl").args(["-sSN", "-u", "bob:b", &url]).spawn();
    wait_until("the hub has the subscription", || hub.stat("subscriptions") == 1);
    assert_eq!(ask(&hub, "GET", "/api/v1/stats", None, &["-u", "bob:b"]).0, 200);

    assert_eq!(ban(&hub, json!({"user": "bob", "reason": "left"}), &ANN), 3);
    assert_eq!(list(&hub, &ANN)[0]["by"], "ann");
    bob.expect_end(ADMINISTRATIVE);
    assert_eq!(line.receive()["error"]["reason"], "this user is banned");
    assert_eq!(line.line(), None);
    events.wait();
    ann.ping();

    assert_eq!(code(&hub, &connect("bob", "b")), BANNED);
    // Who does not know the password is told nothing.
    assert_eq!(code(&hub, &connect("bob", "x")), WRONG_PASSWORD);
    assert_eq!(code(&hub, &Connect::new(4, "bob").user("bob").password("b")), 5);
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(
        line.ask(r#"{"auth":{"user":"bob","password":"b"},"id":4}"#)["error"]["code"],
        "not_authorized"
    );
    assert_eq!(line.line(), None);
    let (status, answer) = ask(&hub, "GET", "/api/v1/stats", None, &["-u", "bob:b"]);
    assert_eq!((status, &answer["error"]["reason"]), (403, &json!("this user is banned")));
    assert_eq!(ask(&hub, "GET", "/api/v1/stats", None, &["-u", "bob:x"]).0, 401);
    let status =
        Program::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-u", "bob:b", &url]);
    assert_eq!(status.run().success(), "403");
    ann.ping();
    take_back(&hub, "user/bob", &ANN);
    assert_eq!(code(&hub, &connect("bob", "b")), 0);
}

#[test]
fn scram_is_no_way_around_a_ban() {
    let hub = Hub::with_users(&[("ann", "a"), ("bob", "b")], "");
    ban(&hub, json!({"user": "bob"}), &ANN);
    for (user, password, expected) in [("ann", "a", 0), ("bob", "b", BANNED)] {
        let mut scram = Scram::new(user, password);
        let said = |data: &[u8]| {
            let method = text(id::AUTHENTICATION_METHOD, "SCRAM-SHA-256");
            [method, text(id::AUTHENTICATION_DATA, data)].concat()
        };
        let mut connection = Connection::open(hub.tcp_port(), 5);
        connection.send(&Connect::new(5, user).property(said(&scram.first())).packet());
        let challenge = connection.receive().disconnect();
        let last = scram.last(challenge.properties.bytes(id::AUTHENTICATION_DATA).unwrap());
        connection.send(&packet(0xf0, &[&[0x18][..], &section(&said(&last))].concat()));
        assert_eq!(connection.receive().connack().code, expected, "{user}");
    }
}

#[test]
fn paho_and_websockets_understand_what_they_are_told() {
    python("bans_scenarios", "cut_and_refused", &Hub::start());
}

#[test]
fn a_ban_is_over_when_its_time_is() {
    let hub = Hub::start();
    let mut pump = Connection::new(hub.tcp_port(), 5, "pump");
    assert_eq!(ban(&hub, json!({"client_id": "pump", "expires_in_s": 2}), &[]), 1);
    pump.expect_end(ADMINISTRATIVE);
    let listed = list(&hub, &[]);
    assert!(
        listed.is_empty() || (1..=2).contains(&listed[0]["expires_in_s"].as_u64().unwrap()),
        "{listed:?}"
    );
    wait_until("the ban is over", || code(&hub, &Connect::new(5, "pump")) == 0);
    wait_until("it is gone", || hub.metric("trefoil_bans") == 0 || list(&hub, &[]).is_empty());
    assert_eq!(ask(&hub, "DELETE", "/api/v1/bans/client_id/pump", None, &[]).0, 404);
    // One that is set anew holds for as long as is said last.
    ban(&hub, json!({"client_id": "pump", "expires_in_s": 1}), &[]);
    let (status, answer) = post(&hub, &json!({"client_id": "pump"}), &[]);
    assert!(status == 200 && answer["replaced"] == true || status == 201, "{status} {answer}");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(code(&hub, &Connect::new(5, "pump")), BANNED);
}

#[test]
fn bans_are_kept_through_a_crash() {
    let hub = Hub::start();
    ban(&hub, json!({"client_id": "pump-*", "reason": "mischief"}), &[]);
    ban(&hub, json!({"client_id": "probe"}), &[]);
    ban(&hub, json!({"address": "127.0.0.2", "expires_in_s": 3600}), &[]);
    ban(&hub, json!({"address": "127.0.0.3", "expires_in_s": 1}), &[]);
    take_back(&hub, "client_id/probe", &[]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let hub = Hub::resume(hub.leave("KILL"), CONFIG);
    let bans = list(&hub, &[]);
    let whom: Vec<_> = bans.iter().map(|ban| (&ban["client_id"], &ban["address"], &ban["reason"])).collect();
    assert_eq!(
        whom,
        [
            (&Value::Null, &json!("127.0.0.2"), &Value::Null),
            (&json!("pump-*"), &Value::Null, &json!("mischief"))
        ],
        "the newest first"
    );
    assert!((3500..=3600).contains(&bans[0]["expires_in_s"].as_u64().unwrap()), "{bans:?}");
    assert_eq!(code(&hub, &Connect::new(5, "pump-1")), BANNED);
    assert_eq!(code(&hub, &Connect::new(5, "probe")), 0);
    take_back(&hub, "client_id/pump-*", &[]);
    let mut hub = Hub::resume(hub.leave("KILL"), CONFIG);
    assert_eq!(code(&hub, &Connect::new(5, "pump-1")), 0);
    assert_eq!(list(&hub, &[]).len(), 1);
    hub.upgrade();
    assert_eq!(list(&hub, &[]).len(), 1);
}

#[test]
fn without_a_store_they_are_only_remembered_and_the_answer_says_so() {
    let config = format!("{CONFIG}\n[store]\ndurability = \"none\"\n");
    let hub = Hub::with_config(&config);
    let (status, answer) = post(&hub, &json!({"client_id": "pump"}), &[]);
    assert_eq!((status, &answer["kept"]), (201, &json!(false)), "{answer}");
    assert_eq!(code(&hub, &Connect::new(5, "pump")), BANNED);
    assert_eq!(ask(&hub, "GET", "/api/v1/bans", None, &[]).1["kept"], false);
    let hub = Hub::resume(hub.leave("KILL"), &config);
    assert_eq!(code(&hub, &Connect::new(5, "pump")), 0);
}

/// Who floods a hub until its disk is full must be stopped while it is.
#[test]
fn a_ban_holds_while_the_disk_is_full_and_is_kept_as_soon_as_there_is_room() {
    let disk = Disk::mount();
    let path = disk.path().join("store");
    let config = format!("{CONFIG}\n[store]\npath = {path:?}\n");
    let hub = Hub::with_config(&config);
    let request = Connect::new(5, "kept").resume().session_expiry_s(3600);
    let (mut kept, _) = Connection::with(hub.tcp_port(), &request);
    kept.subscribe("kept", 1);
    kept.leave();
    disk.fill();
    let mut flood = Connection::new(hub.tcp_port(), 5, "flood");
    let mut accepts = |id| {
        flood.send(&Message::new("kept", vec![b'x'; 50_000]).qos(1, id).packet(5));
        flood.receive().ack(0x40).reason == 0
    };
    assert!(!(1..200).all(&mut accepts), "the disk was never full");
    // It goes into what is held in reserve, or is only remembered for now.
    let (status, answer) = post(&hub, &json!({"client_id": "flood"}), &[]);
    assert!(status == 201 || status == 507 && answer["error"]["code"] == "quota", "{status} {answer}");
    eprintln!("{status}");
    flood.expect_end(ADMINISTRATIVE);
    assert_eq!(code(&hub, &Connect::new(5, "flood")), BANNED);
    disk.free();
    wait_until("there is room", || ask(&hub, "GET", "/healthz", None, &[]).0 == 200);
    ban(&hub, json!({"client_id": "other"}), &[]);
    let hub = Hub::resume(hub.leave("KILL"), &config);
    assert_eq!(code(&hub, &Connect::new(5, "flood")), BANNED);
    assert_eq!(list(&hub, &[]).len(), 2);
}

#[test]
fn what_is_no_ban_is_refused_with_the_reason() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[bans]\nbans_max = 2\n"));
    let (long_id, long_reason) = ("x".repeat(1025), "x".repeat(1025));
    for (body, status, code, field) in [
        (json!({}), 400, "missing_field", "client_id"),
        (json!({"reason": "x"}), 400, "missing_field", "client_id"),
        (json!({"client_id": "x", "until": 7}), 400, "unknown_field", "until"),
        (json!({"client_id": "x", "address": "10.0.0.1"}), 400, "bad_field", "address"),
        (json!({"client_id": ""}), 400, "bad_field", "client_id"),
        (json!({"client_id": 7}), 400, "bad_field", "client_id"),
        (json!({"client_id": long_id}), 400, "bad_field", "client_id"),
        (json!({"client_id": "x", "reason": long_reason}), 400, "bad_field", "reason"),
        (json!({"client_id": "x", "expires_in_s": 0}), 400, "bad_field", "expires_in_s"),
        (json!({"client_id": "x", "expires_in_s": -1}), 400, "bad_field", "expires_in_s"),
        (json!({"client_id": "x", "expires_in_s": 1.5}), 400, "bad_field", "expires_in_s"),
        (json!({"client_id": "x", "expires_in_s": 1e18 as u64}), 400, "bad_field", "expires_in_s"),
        (json!({"address": "10.0.0.0/33"}), 400, "bad_field", "address"),
        (json!({"address": "10.0.0.7/8"}), 400, "bad_field", "address"),
        (json!({"address": "somewhere.example"}), 400, "bad_field", "address"),
        (json!({"user": "a:b"}), 400, "bad_field", "user"),
    ] {
        let (found, answer) = post(&hub, &body, &[]);
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{body}: {answer}");
        assert_eq!(answer["error"]["field"], field, "{body}: {answer}");
        assert!(!answer["error"]["reason"].as_str().unwrap().is_empty());
    }
    let url = format!("http://127.0.0.1:{}/api/v1/bans", hub.http_port());
    let large = format!("{{\"reason\":\"{}\"}}", "x".repeat(20_000));
    for (body, status) in [
        ("", "400"),
        ("[]", "400"),
        ("{", "400"),
        (r#"{"client_id":"a","client_id":"b"}"#, "400"),
        (&large, "413"),
    ] {
        let said = Program::new("curl").args(["-sS", "-w", "%{http_code}", "-d", body, &url]).run().success();
        assert!(said.ends_with(status), "{said}");
    }
    for (method, path, status) in [
        ("DELETE", "/api/v1/bans/client_id/x", 404),
        ("DELETE", "/api/v1/bans/colour/x", 404),
        ("DELETE", "/api/v1/bans/address/x", 400),
        ("DELETE", "/api/v1/bans", 405),
        ("GET", "/api/v1/bans?limit=0", 400),
        ("GET", "/api/v1/bans?page=2", 400),
        ("PUT", "/api/v1/bans", 405),
    ] {
        assert_eq!(ask(&hub, method, path, None, &[]).0, status, "{method} {path}");
    }
    assert!(list(&hub, &[]).is_empty());

    for (client_id, status) in [("one", 201), ("two", 201), ("three", 507), ("two", 200)] {
        let (found, answer) = post(&hub, &json!({"client_id": client_id}), &[]);
        assert_eq!(found, status, "{client_id}: {answer}");
    }
    assert_eq!(ask(&hub, "GET", "/api/v1/bans?limit=1", None, &[]).1["bans"].as_array().unwrap().len(), 1);
    take_back(&hub, "client_id/one", &[]);
    assert_eq!(post(&hub, &json!({"client_id": "three"}), &[]).0, 201);
}

#[test]
fn nobody_bans_himself_by_mistake_and_who_did_gets_in_again() {
    let users = [("ann", "a"), ("bob", "b")];
    let hub = Hub::with_users(&users, "");
    for body in [json!({"address": "127.0.0.1"}), json!({"address": "0.0.0.0/0"}), json!({"user": "ann"})] {
        let (status, answer) = post(&hub, &body, &ANN);
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "{body}: {answer}");
    }
    assert_eq!(post(&hub, &json!({"address": "::/0"}), &ANN).0, 201, "nobody comes by IPv6 here");
    // Two who ban each other: from elsewhere it is not known to be a mistake.
    assert_eq!(
        post(&hub, &json!({"address": "127.0.0.1"}), &[&ANN[..], &["--interface", "127.0.0.2"]].concat()).0,
        201
    );
    let refused = Program::new("curl")
        .args(["-sS", "-m", "60", &format!("http://127.0.0.1:{}/livez", hub.http_port())])
        .run();
    assert!(!refused.status.success(), "{refused}");
    let config = std::fs::read_to_string(hub.folder().join("trefoil.toml")).unwrap();
    let hub = Hub::resume(hub.leave("KILL"), &format!("{config}\n[bans]\napply = false\n"));
    let (_, answer) = ask(&hub, "GET", "/api/v1/bans", None, &ANN);
    assert_eq!((&answer["applied"], &answer["total"]), (&json!(false), &json!(2)));
    assert!(hub.log().contains("bans.apply"), "{}", hub.log());
    take_back(&hub, "address/127.0.0.1", &ANN);
    let hub = Hub::resume(hub.leave("TERM"), &config);
    assert_eq!(list(&hub, &ANN).len(), 1);
}

#[test]
fn who_is_nobody_bans_nobody_where_there_are_users() {
    let hub = Hub::with_users(&[("ann", "a")], "");
    let body = json!({"client_id": "x"});
    for more in [&[][..], &["-u", "ann:wrong"], &["-u", "nobody:x"]] {
        assert_eq!(post(&hub, &body, more).0, 401, "{more:?}");
        assert_eq!(ask(&hub, "DELETE", "/api/v1/bans/client_id/x", None, more).0, 401, "{more:?}");
    }
    let foreign = ["-u", "ann:a", "-H", "Origin: http://evil.example"];
    assert_eq!(post(&hub, &body, &foreign).0, 403);
    assert!(list(&hub, &ANN).is_empty());
    assert_eq!(post(&hub, &body, &ANN).0, 201);
    // Where nobody is asked, nobody is a user.
    let hub = Hub::start();
    assert_eq!(post(&hub, &json!({"user": "ann"}), &[]).0, 409);
}
