//! A new process takes over from a running hub: nobody is refused, and whatever goes wrong, one of the two serves.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use trefoil_tests::{
    CONFIG, DEADLINE, Exchange, Hub, binary, connect, lines, mqtt, trefoil, wait_until, websocket,
};

/// Upgrades while clients come and go.
const UPGRADES: usize = 6;

/// Clients of each kind that come and go.
const CLIENTS: usize = 8;

/// A JSON publish at QoS 1 and its acknowledgement, from a socket that is connected to the hub.
fn ask(socket: &UdpSocket, id: usize) {
    let request = format!(r#"{{"pub":"t","data":1,"qos":1,"id":{id}}}"#);
    let expected = format!(r#"{{"ack":{id}}}"#);
    let mut answer = [0; 1024];
    socket.send(request.as_bytes()).unwrap();
    loop {
        let len = socket.recv(&mut answer).expect("an answer");
        // What a process before said last, as a goodbye, is passed over.
        if answer[..len] == *expected.as_bytes() {
            return;
        }
    }
}

/// How many connections a process has handed over, if this line of its log says so.
fn handed_over(line: &str) -> Option<usize> {
    line.split_once(" connections handed over, ")?.0.rsplit(' ').next()?.parse().ok()
}

fn udp(hub: &Hub) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", hub.udp_port())).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn get(port: u16, path: &str) -> String {
    let mut stream = connect(port);
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer and a close, not a reset");
    answer
}

#[test]
fn under_load_every_attempt_to_connect_succeeds() {
    let mut hub = Hub::start();
    let (tcp, http) = (hub.tcp_port(), hub.http_port());
    let done = AtomicBool::new(false);
    let [connected, acknowledged, told, closed, requests, sockets] = [const { AtomicUsize::new(0) }; 6];
    let count = |counter: &AtomicUsize| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let goes_on = || !done.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (connected, acknowledged, told, closed) = (&connected, &acknowledged, &told, &closed);
            let version = if client % 2 == 0 { 5 } else { 4 };
            scope.spawn(move || {
                while goes_on() {
                    // Panics if the connection is refused, reset, or closed before CONNACK.
                    let request = mqtt::Connect::new(version, format!("client-{client}"));
                    let (mut client, _) = mqtt::Connection::with(tcp, &request);
                    count(connected);
                    for packet_id in 1..=20 {
                        client.offer(&mqtt::Message::new("load", "x").qos(1, packet_id).packet(version));
                        match client.try_receive().map(|packet| packet.first_byte) {
                            Some(0x40) => count(acknowledged),
                            Some(0xE0) => {
                                count(told);
                                break;
                            }
                            Some(other) => panic!("neither PUBACK nor DISCONNECT: {other:#x}"),
                            None => {
                                count(closed);
                                break;
                            }
                        }
                    }
                }
            });
            let (requests, sockets) = (&requests, &sockets);
            scope.spawn(move || {
                while goes_on() {
                    let answer = get(http, "/healthz");
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
                    count(requests);
                    // Panics unless the handshake succeeds.
                    drop(websocket::Connection::new(http, "/ws"));
                    count(sockets);
                }
            });
        }
        for _ in 0..UPGRADES {
            let before = connected.load(Ordering::Relaxed);
            wait_until("clients have come to the new process", || {
                connected.load(Ordering::Relaxed) > before + 2 * CLIENTS
            });
            hub.upgrade();
        }
        done.store(true, Ordering::Relaxed);
    });
    let [connected, acknowledged, told, closed, requests, sockets] =
        [connected, acknowledged, told, closed, requests, sockets].map(AtomicUsize::into_inner);
    eprintln!(
        "{UPGRADES} upgrades: {connected} MQTT connections, {requests} HTTP requests and {sockets} WebSockets, none \
         refused or reset; {acknowledged} messages acknowledged; {told} MQTT clients were told to go, {closed} closed"
    );
    assert_eq!((told, closed), (0, 0), "who speaks MQTT stays connected");
    let said = hub.log().lines().filter_map(handed_over).collect::<Vec<_>>();
    assert!(said.len() == UPGRADES && said.iter().any(|count| *count > 0), "{said:?}");
}

#[test]
fn who_comes_while_the_old_process_drains_is_served_by_the_new_one() {
    let mut hub = Hub::start();
    let mut deaf = mqtt::Connection::new(hub.tcp_port(), 5, "deaf");
    deaf.subscribe("t", 0);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    // More than the sockets' buffers hold, so that the old process has something to drain.
    for _ in 0..100 {
        publisher.publish("t", &[b'x'; 100_000]);
    }
    publisher.ping();
    let asker = udp(&hub);
    ask(&asker, 1);
    let old = hub.pid();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"ping":1}"#);
    let upgrade = hub.ask_for_upgrade().spawn();
    assert_eq!(line.receive()["error"]["code"], "unavailable");
    // Nobody accepts now: they wait in the kernel, in the queues of all sockets of all shards.
    let waiting: Vec<TcpStream> = (0..50)
        .map(|number| {
            let mut stream = connect(hub.tcp_port());
            stream.write_all(&mqtt::connect_packet(5, &format!("early-{number}"), &[])).unwrap();
            stream
        })
        .collect();
    let late = udp(&hub);
    ask(&late, 2);
    for mut stream in waiting {
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).expect("CONNACK");
        assert_eq!(answer[0], 0x20);
    }
    let said = upgrade.wait().success();
    let new = said.split(' ').nth(1).and_then(|pid| pid.parse().ok()).unwrap();
    assert_eq!(said, format!("process {new} has taken over from {old}\n"));
    hub.follow(new);
    // The old process has sent what it could, and no more.
    assert!(!deaf.stream.rest().is_empty());
    // Who keeps up is served all the while.
    publisher.ping();
    ask(&asker, 3);
}

#[test]
fn another_number_of_shards_gets_all_sockets() {
    let shards = |count| CONFIG.replace("shards = 2", &format!("shards = {count}"));
    let mut hub = Hub::with_config(&shards(3));
    for count in [1, 4, 2, 3] {
        hub.reconfigure(&shards(count));
        hub.upgrade();
        // So many that some come by every socket.
        let clients: Vec<_> =
            (0..30).map(|number| mqtt::Connection::new(hub.tcp_port(), 5, &format!("c{number}"))).collect();
        let peers: Vec<_> = (0..30).map(|_| udp(&hub)).collect();
        peers.iter().enumerate().for_each(|(id, peer)| ask(peer, id));
        assert_eq!(
            hub.metric("trefoil_connections{kind=\"mqtt\"}") as usize,
            clients.len(),
            "{count} shards"
        );
        let last = format!("trefoil_shard_ticks_total{{shard=\"{}\"}}", count - 1);
        assert!(hub.metric(&last) > 0);
    }
}

#[test]
fn the_new_process_has_the_new_configuration() {
    let first = "[[listener]]\nbind = \"127.0.0.1:0\"\n";
    let mut hub = Hub::with_config(&format!("{first}{first}"));
    let (kept, taken_out) = (hub.tcp_port(), hub.http_port());
    // Nobody else uses that address.
    hub.reconfigure(&format!(
        "[[listener]]\nbind = \"127.0.0.1:{kept}\"\n[[listener]]\nbind = \"127.0.0.2:{kept}\"\n\
         [limits]\npacket_bytes_max = 1024\n"
    ));
    hub.upgrade();
    let mut client = mqtt::Connection::new(kept, 5, "client");
    client.offer(&mqtt::publish_packet(5, "t", &[b'x'; 2000]));
    assert_eq!(client.disconnect_reason(), Some(0x95), "the new limit");
    let mut stream = TcpStream::connect(("127.0.0.2", kept)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"{\"ping\":1}\n").unwrap();
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"{\"pong\":1}\n");
    assert!(TcpStream::connect(("127.0.0.1", taken_out)).is_err());
    assert!(hub.log().contains(&format!("tcp://127.0.0.1:{taken_out} is closed")), "{}", hub.log());
}

#[test]
fn a_broken_configuration_leaves_the_old_process_serving() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let hub = Hub::start();
    let mut client = mqtt::Connection::new(hub.tcp_port(), 5, "client");
    let pid = hub.pid();
    for (config, reason) in [
        (format!("{CONFIG}\nshard = 3\n"), "`shard` is not known"),
        ("[[listener]]\nbind = \"127.0.0.1:0\"\n[auth]\nusers = \"nobody.txt\"\n".into(), "nobody.txt"),
        (format!("{CONFIG}\n[[listener]]\nbind = \"{at}\"\n"), "the address is taken"),
    ] {
        hub.reconfigure(&config);
        let said = hub.ask_for_upgrade().run().failure(1);
        assert!(said.starts_with(&format!("the upgrade failed, and process {pid} goes on:\n")), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(hub.log().contains("the upgrade failed, and this process goes on"), "{}", hub.log());
        client.ping();
        mqtt::Connection::new(hub.tcp_port(), 5, "other").ping();
    }
}

/// A hub started by a path of its own, at which something else can be put.
fn replaceable() -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("trefoil");
    std::fs::copy(binary(), &program).unwrap();
    // One socket for each of three listeners, so that the link is descriptor 6.
    let config = "shards = 1\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[listener]]\nbind = \"udp://127.0.0.1:0\"\n\
                  [[listener]]\nbind = \"127.0.0.1:0\"\n";
    Hub::launch(folder, config, Command::new(program))
}

fn replace(hub: &Hub, script: &str) {
    let program = hub.folder().join("trefoil");
    let new = hub.folder().join("trefoil.new");
    std::fs::write(&new, script).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, program).unwrap();
}

#[test]
fn a_program_that_is_no_hub_leaves_the_old_process_serving() {
    let hub = replaceable();
    let mut client = mqtt::Connection::new(hub.tcp_port(), 5, "client");
    for (script, reason) in [
        ("#!/bin/sh\nexit 3\n", "it ended too early (exit status: 3)"),
        ("#!/no/such/interpreter\n", "too early"),
        ("#!/bin/sh\necho what >&6; exec sleep 1000\n", "it did not do what it was started for"),
    ] {
        replace(&hub, script);
        let said = hub.ask_for_upgrade().run().failure(1);
        assert!(said.contains(reason) || said.contains("does not start"), "{said}");
        client.ping();
    }
    std::fs::remove_file(hub.folder().join("trefoil")).unwrap();
    let said = hub.ask_for_upgrade().run().failure(1);
    assert!(said.contains("the upgrade failed"), "{said}");
    client.ping();
}

#[test]
fn a_new_process_that_fails_at_the_last_moment_gives_the_sockets_back() {
    let mut hub = replaceable();
    let mut client = mqtt::Connection::new(hub.tcp_port(), 5, "client");
    let peer = udp(&hub);
    ask(&peer, 1);
    // It waits for somebody to come, who has to be served all the same.
    replace(
        &hub,
        "#!/bin/sh\necho ready >&6; read go <&6; echo \"it heard $go\" >&2\nuntil test -e come; do sleep 0.01; done\nexit 9\n",
    );
    let upgrade = hub.ask_for_upgrade().spawn();
    assert_eq!(client.disconnect_reason(), Some(0x8B));
    wait_until("the new process is told to go", || hub.log().contains("it heard go"));
    let mut early = connect(hub.tcp_port());
    early.write_all(&mqtt::connect_packet(5, "early", &[])).unwrap();
    std::fs::write(hub.folder().join("come"), "").unwrap();
    let said = upgrade.wait().failure(1);
    assert!(said.contains("it ended too early (exit status: 9)"), "{said}");
    let mut answer = [0; 1];
    early.read_exact(&mut answer).expect("CONNACK");
    assert_eq!(answer[0], 0x20);
    ask(&peer, 2);
    // And the next attempt succeeds.
    std::fs::copy(binary(), hub.folder().join("trefoil.copy")).unwrap();
    std::fs::rename(hub.folder().join("trefoil.copy"), hub.folder().join("trefoil")).unwrap();
    hub.upgrade();
    mqtt::Connection::new(hub.tcp_port(), 5, "client").ping();
}

#[test]
fn a_signal_does_the_same_and_a_second_one_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" --pid-file hub.pid"]).arg(binary());
    let mut hub = Hub::launch(folder, CONFIG, command);
    let file = hub.folder().join("hub.pid");
    let written = || std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written(), format!("{}\n", hub.pid()));
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"ping":1}"#);
    let old = hub.pid();
    hub.signal("USR2");
    // It may be gone already.
    let _ = Command::new("sh").args(["-c", &format!("kill -USR2 {old}")]).output().unwrap();
    assert_eq!(line.receive()["error"]["code"], "unavailable");
    wait_until("the file names another process", || written() != format!("{old}\n"));
    hub.follow(written().trim().parse().unwrap());
    mqtt::Connection::new(hub.tcp_port(), 5, "client").ping();
    assert_eq!(hub.log().matches("upgrading: started process").count(), 1, "{}", hub.log());
    // The command finds the process by the file, too.
    let said = trefoil(["upgrade", "--pid-file"]).args([&file]).run().success();
    assert!(said.ends_with(&format!("has taken over from {}\n", hub.pid())), "{said}");
    hub.follow(written().trim().parse().unwrap());
    hub.signal("TERM");
    hub.wait();
    assert_eq!(written(), "", "the file is removed");
}

#[test]
fn a_process_that_is_no_hub_cannot_be_asked() {
    let said = trefoil(["upgrade", "--pid", &std::process::id().to_string()]).run().failure(3);
    assert!(said.contains("is no hub"), "{said}");
    let said = trefoil(["upgrade", "--pid-file", "none"]).run().failure(3);
    assert!(said.contains("none: "), "{said}");
}
