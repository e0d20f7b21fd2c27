//! Unix sockets: all that TCP carries, and a file that has to be there, belong to somebody, and give way.

use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use trefoil_tests::{CONFIG, DEADLINE, Hub, Program, lines, mqtt, python_program, trefoil};

/// A folder for a hub, and the configuration of one with a Unix socket in it beside the usual listeners.
fn place(more: &str) -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    let config = format!("{CONFIG}\n[[listener]]\nbind = \"unix://{}\"\n{more}", path.display());
    (folder, path, config)
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn line(stream: &mut BufReader<UnixStream>) -> serde_json::Value {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn every_protocol_is_spoken_with_clients_that_are_not_ours() {
    let (folder, path, config) = place("");
    let hub = Hub::resume(folder, &config);
    let socket = path.to_str().unwrap();
    let reader = Program::new("mosquitto_sub").args(["--unix", socket, "-t", "room/#", "-C", "3"]);
    let reader = reader.spawn();
    trefoil_tests::wait_until("it has subscribed", || hub.metric("trefoil_subscriptions") == 1);
    let run = Program::new("nc").args(["-U", "-N", socket]);
    let answer = run.stdin("{\"pub\":\"room/nc\",\"data\":\"by nc\",\"qos\":1,\"id\":7}\n").run().success();
    assert_eq!(answer, "{\"ack\":7}\n");
    Program::new("mosquitto_pub")
        .args(["--unix", socket, "-t", "room/m", "-m", "by mosquitto"])
        .run()
        .success();
    let body = r#"{"topic":"room/http","data":"by curl"}"#;
    let curl = Program::new("curl").args(["-sSf", "--unix-socket", socket, "--json", body]);
    curl.args(["http://hub/api/v1/publish"]).run().success();
    let found = reader.wait().success();
    for text in ["by nc", "by mosquitto", "by curl"] {
        assert!(found.lines().any(|line| line == text), "{text}: {found}");
    }
    let websocket = python_program("unix_scenarios", "websocket", &hub).env("TREFOIL_SOCKET", socket);
    websocket.run().success();
}

#[test]
fn the_program_speaks_json_lines_there() {
    let (folder, path, config) = place("");
    let hub = Hub::resume(folder, &config);
    let url = format!("unix://{}", path.display());
    let reader = trefoil(["sub", "--url", &url, "room/#", "--count", "1"]).spawn();
    let mut watcher = lines::Connection::new(hub.tcp_port());
    trefoil_tests::wait_until("it has subscribed", || hub.metric("trefoil_subscriptions") == 1);
    trefoil(["pub", "--url", &url, "room/door", "open"]).run().success();
    assert!(reader.wait().success().contains("open"));
    assert_eq!(watcher.ask(r#"{"ping":1}"#), json!({"pong": 1}));
    let said = trefoil(["pub", "--url", "unix://relative", "a", "b"]).run().failure(2);
    assert!(said.contains("absolute path"), "{said}");
}

#[test]
fn a_file_that_is_left_behind_gives_way_and_a_hub_that_listens_does_not() {
    let (folder, path, config) = place("socket_mode = \"600\"\n");
    let hub = Hub::resume(folder, &config);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    let other = tempfile::tempdir().unwrap();
    let second = other.path().join("trefoil.toml");
    fs::write(&second, format!("[[listener]]\nbind = \"unix://{}\"\n", path.display())).unwrap();
    let start = || trefoil(["serve", "--config", second.to_str().unwrap()]).folder(other.path()).run();
    let said = start().failure(1);
    assert!(said.contains("the address is taken"), "{said}");
    // A hub that is killed leaves its file there.
    let folder = hub.leave("KILL");
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    UnixStream::connect(&path).expect_err("nobody listens");
    let mut hub = Hub::resume(folder, &config.replace("600", "666"));
    assert_eq!(mode(&path), 0o666);
    let mut client = BufReader::new(connect(&path));
    client.get_mut().write_all(b"{\"ping\":1}\n").unwrap();
    assert_eq!(line(&mut client), json!({"pong": 1}));
    // One that stops takes it away.
    hub.signal("TERM");
    hub.wait();
    assert!(!path.exists());
    fs::write(&path, "precious").unwrap();
    let said = start().failure(1);
    assert!(said.contains("no socket"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn an_upgrade_keeps_socket_and_connections() {
    let (folder, path, config) = place("");
    let mut hub = Hub::resume(folder, &config);
    let mut stays = connect(&path);
    stays.write_all(&mqtt::connect_packet(4, "stays", &[])).unwrap();
    let mut connack = [0; 4];
    stays.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    stays.write_all(&mqtt::subscribe_packet(4, "t", 0)).unwrap();
    stays.read_exact(&mut [0; 5]).unwrap();
    let mut told = BufReader::new(connect(&path));
    told.get_mut().write_all(b"{\"sub\":\"t\",\"id\":1}\n").unwrap();
    line(&mut told);
    hub.upgrade();
    assert!(hub.log().contains(" 1 connections handed over"), "{}", hub.log());
    // Who speaks JSON is told to come back, and finds the new process at the same path.
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    let mut again = BufReader::new(connect(&path));
    again.get_mut().write_all(b"{\"pub\":\"t\",\"data\":1,\"qos\":1,\"id\":2}\n").unwrap();
    assert_eq!(line(&mut again), json!({"ack": 2}));
    let mut publish = [0; 6];
    stays.read_exact(&mut publish).unwrap();
    assert_eq!(&publish, b"\x30\x04\0\x01t1");
}

#[test]
fn what_cannot_be_is_a_mistake_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trefoil.toml");
    for (settings, words) in [
        ("bind = \"unix://hub.sock\"", "absolute path"),
        ("bind = \"unix:///run/\"", "absolute path"),
        ("bind = \"unix:///hub.sock\"\nsocket_mode = \"999\"", "three octal digits"),
        ("bind = \"127.0.0.1:0\"\nsocket_mode = \"660\"", "is for Unix sockets"),
        ("bind = \"unix:///hub.sock\"\nproxy_protocol = true", "leave it out"),
        ("bind = \"unix:///hub.sock\"\nprotocols = [\"mqtt-sn\"]", "begins with udp://"),
    ] {
        fs::write(&file, format!("[[listener]]\n{settings}\n")).unwrap();
        let said = trefoil(["check", file.to_str().unwrap()]).run().failure(2);
        assert!(said.contains(words), "{settings}: {said}");
    }
    let path = format!("/{}", "x".repeat(120));
    fs::write(&file, format!("[[listener]]\nbind = \"unix://{path}\"\n")).unwrap();
    let said = trefoil(["check", file.to_str().unwrap()]).run().failure(2);
    assert!(said.contains("at most 103 bytes"), "{said}");
    let path = folder.path().join("nowhere").join("hub.sock");
    let url = format!("unix://{}", path.display());
    fs::write(&file, format!("[[listener]]\nbind = \"{url}\"\n")).unwrap();
    let said = trefoil(["serve", "--config", file.to_str().unwrap()]).run().failure(1);
    assert!(said.contains("the folder is not there; make it"), "{said}");
    let said = trefoil(["pub", "--url", &url, "t", "x"]).run().failure(3);
    assert!(said.contains("there is no such file; is the hub running?"), "{said}");
}
