//! Under systemd: sockets that it has opened, and what it is told. A small harness speaks both protocols; the unit files
//! are looked at by systemd itself.

use command_fds::{CommandFdExt, FdMapping};
use serde_json::Value;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use trefoil_tests::{CONFIG, DEADLINE, Hub, Program, binary, lines, mqtt};

/// The first descriptor that is handed in.
const FIRST: i32 = 3;

/// Starts a program as systemd does with these sockets. Only a shell knows its process number before the program runs.
fn activated(sockets: Vec<OwnedFd>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "LISTEN_PID=$$ WATCHDOG_PID=$$ exec \"$0\" \"$@\""]).arg(binary());
    command.env("LISTEN_FDS", sockets.len().to_string());
    command.env("LISTEN_FDNAMES", vec!["trefoil.socket"; sockets.len()].join(":"));
    let mappings = sockets.into_iter().zip(FIRST..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.fd_mappings(mappings).unwrap();
    command
}

/// A TCP and a UDP socket, and a configuration for them with so many shards.
fn sockets(shards: usize) -> (TcpListener, UdpSocket, String) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "shards = {shards}\n[[listener]]\nbind = \"udp://{}\"\n[[listener]]\nbind = \"{}\"\n",
        udp.local_addr().unwrap(),
        tcp.local_addr().unwrap()
    );
    (tcp, udp, config)
}

#[test]
fn sockets_that_systemd_has_opened_serve_all_shards() {
    for shards in [1, 4] {
        let (tcp, udp, config) = sockets(shards);
        let at = tcp.local_addr().unwrap();
        // Who comes before the hub is there waits, as in systemd.
        let early = TcpStream::connect(at).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let command = activated(vec![tcp.try_clone().unwrap().into(), udp.try_clone().unwrap().into()]);
        // One more that systemd knows nothing of.
        let mut hub =
            Hub::launch(folder, &format!("{config}[[listener]]\nbind = \"127.0.0.1:0\"\n"), command);
        assert_eq!((hub.tcp_port(), hub.udp_port()), (at.port(), udp.local_addr().unwrap().port()));
        let clients: Vec<_> =
            (0..20).map(|number| mqtt::Connection::new(at.port(), 5, &format!("c{number}"))).collect();
        assert_eq!(hub.metric("trefoil_connections{kind=\"mqtt\"}") as usize, clients.len());
        for _ in 0..20 {
            let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
            peer.set_read_timeout(Some(DEADLINE)).unwrap();
            peer.send_to(br#"{"sub":"t","id":1}"#, udp.local_addr().unwrap()).unwrap();
            let mut answer = [0; 1024];
            let (len, from) = peer.recv_from(&mut answer).unwrap();
            let answer: Value = serde_json::from_slice(&answer[..len]).unwrap();
            assert_eq!((&answer["ack"], from), (&Value::from(1), udp.local_addr().unwrap()));
            // A message from any shard comes back by the same socket.
            lines::Connection::new(at.port()).ask(r#"{"pub":"t","data":5,"qos":1,"id":2}"#);
            let mut message = [0; 1024];
            let len = peer.recv(&mut message).unwrap();
            let message: Value = serde_json::from_slice(&message[..len]).unwrap();
            assert_eq!((&message["topic"], &message["data"]), (&Value::from("t"), &Value::from(5)));
        }
        drop((clients, early));
        // The new process gets them from the old one, and not from systemd.
        hub.upgrade();
        mqtt::Connection::new(at.port(), 5, "client").ping();
        // While there is no hub, systemd's own sockets stay open.
        hub.signal("TERM");
        hub.wait();
        TcpStream::connect(at).expect("the socket is open");
    }
}

#[test]
fn a_unix_socket_that_systemd_has_opened_stays_when_the_hub_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let config = format!("{CONFIG}\n[[listener]]\nbind = \"unix://{}\"\n", path.display());
    let mut hub = Hub::launch(folder, &config, activated(vec![socket.try_clone().unwrap().into()]));
    let ask = Program::new("nc").args(["-U", "-N"]).args([&path]).stdin("{\"ping\":1}\n");
    assert_eq!(ask.run().success(), "{\"pong\":1}\n");
    hub.signal("TERM");
    hub.wait();
    std::os::unix::net::UnixStream::connect(&path).expect("the socket is open");
}

#[test]
fn mqtt_sn_clients_of_every_shard_are_answered_from_one_socket() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = udp.local_addr().unwrap();
    let config = format!(
        "shards = 4\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[listener]]\nbind = \"udp://{at}\"\nprotocols = [\"mqtt-sn\"]\n"
    );
    let hub = Hub::launch(tempfile::tempdir().unwrap(), &config, activated(vec![udp.into()]));
    for number in 0..20 {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        let name = format!("device-{number}");
        // CONNECT with a clean session and a keep-alive of a minute.
        let connect = [&[6 + name.len() as u8, 0x04, 0x04, 0x01, 0x00, 60][..], name.as_bytes()].concat();
        peer.send_to(&connect, at).unwrap();
        let mut answer = [0; 16];
        let (len, from) = peer.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..len], from), (&[3, 0x05, 0][..], at), "{name}");
    }
    assert_eq!(hub.metric("trefoil_sessions_connected"), 20);
}

#[test]
fn what_belongs_to_no_listener_is_a_mistake_that_is_named() {
    let (tcp, udp, config) = sockets(1);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let said = fails(&config, vec![tcp.into(), udp.into(), other.into()]);
    assert!(said.contains(&format!("a socket for tcp://{address} was handed in")), "{said}");
    assert!(said.contains("[[listener]]"), "{said}");
    // The same port, but the other kind.
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let said = fails(&format!("[[listener]]\nbind = \"{address}\"\n"), vec![udp.into()]);
    assert!(said.contains(&format!("a socket for udp://{address} was handed in")), "{said}");
}

#[test]
fn what_is_no_socket_to_serve_on_is_a_mistake_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let unix = UnixDatagram::bind(folder.path().join("socket")).unwrap();
    let said = fails(CONFIG, vec![unix.into()]);
    assert!(said.contains("file descriptor 3 that was handed in (trefoil.socket)"), "{said}");
    // As with Accept=yes.
    let (tcp, _, config) = sockets(1);
    let client = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let (accepted, _) = tcp.accept().unwrap();
    let said = fails(&config, vec![accepted.into()]);
    assert!(said.contains("cannot listen on"), "{said}");
    drop(client);
}

/// What the hub says that must not start.
fn fails(config: &str, sockets: Vec<OwnedFd>) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("trefoil.toml"), config).unwrap();
    let outcome = activated(sockets).current_dir(folder.path()).output().unwrap();
    assert!(matches!(outcome.status.code(), Some(1 | 2)), "{outcome:?}");
    String::from_utf8(outcome.stderr).unwrap()
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(binary());
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
    let mappings = vec![FdMapping { parent_fd: tcp.into(), child_fd: FIRST }];
    command.fd_mappings(mappings).unwrap();
    let hub = Hub::launch(tempfile::tempdir().unwrap(), CONFIG, command);
    mqtt::Connection::new(hub.tcp_port(), 5, "client").ping();
}

/// What the service manager is told, message for message.
struct Manager(UnixDatagram);

impl Manager {
    fn next(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let len = self.0.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..len]).lines().map(str::to_owned).collect()
    }

    /// The next message must begin with these lines; gives what `STATUS` says.
    #[track_caller]
    fn expect(&self, lines: &[&str]) -> String {
        let message = self.next();
        let found = message.iter().zip(lines).filter(|(line, wanted)| line.starts_with(*wanted)).count();
        assert_eq!(found, lines.len(), "{message:?}, and not {lines:?}");
        message.iter().find_map(|line| line.strip_prefix("STATUS=")).unwrap_or_default().to_owned()
    }
}

/// A hub under a service manager that wants to hear from it.
fn managed(environment: &[(&str, &str)]) -> (Hub, Manager) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = activated(vec![]);
    command.env_remove("LISTEN_FDS").env("NOTIFY_SOCKET", path).envs(environment.iter().copied());
    (Hub::launch(folder, CONFIG, command), Manager(socket))
}

#[test]
fn the_service_manager_hears_of_every_step_in_order() {
    let (mut hub, manager) = managed(&[]);
    let status = manager.expect(&["READY=1"]);
    assert!(status.contains(&format!("serving tcp://127.0.0.1:{}", hub.tcp_port())), "{status}");
    hub.signal("HUP");
    manager.expect(&["RELOADING=1", "MONOTONIC_USEC="]);
    manager.expect(&["READY=1"]);
    // An upgrade that fails.
    hub.reconfigure("nonsense");
    hub.ask_for_upgrade().run().failure(1);
    manager.expect(&["RELOADING=1", "MONOTONIC_USEC="]);
    let status = manager.expect(&["READY=1"]);
    assert!(status.ends_with("the last upgrade failed"), "{status}");
    // And one that does not: the new process is believed only after the old one has named it.
    hub.reconfigure(CONFIG);
    hub.upgrade();
    manager.expect(&["RELOADING=1", "MONOTONIC_USEC="]);
    manager.expect(&[&format!("MAINPID={}", hub.pid())]);
    let status = manager.expect(&["READY=1"]);
    assert!(status.contains(&format!("serving tcp://127.0.0.1:{}", hub.tcp_port())), "{status}");
    hub.signal("TERM");
    manager.expect(&["STOPPING=1"]);
    hub.wait();
}

#[test]
fn the_watchdog_is_told_by_whichever_process_serves() {
    let (mut hub, manager) = managed(&[("WATCHDOG_USEC", "400000")]);
    let beats = |count| {
        let mut seen = 0;
        while seen < count {
            seen += usize::from(manager.next() == ["WATCHDOG=1"]);
        }
    };
    beats(5);
    hub.upgrade();
    while !manager.next().contains(&"READY=1".to_owned()) {}
    beats(5);
}

#[test]
fn nobody_is_told_of_a_watchdog_that_is_another_process_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = Command::new(binary());
    command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "20000").env("WATCHDOG_PID", "1");
    let (mut hub, manager) = (Hub::launch(folder, CONFIG, command), Manager(socket));
    manager.expect(&["READY=1"]);
    for _ in 0..20 {
        hub.stat("sessions");
    }
    hub.signal("TERM");
    manager.expect(&["STOPPING=1"]);
    hub.wait();
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_files() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systemd");
    let folder = tempfile::tempdir().unwrap();
    // systemd asks for the program to be there.
    for unit in ["trefoil.service", "trefoil.socket"] {
        let text = std::fs::read_to_string(units.join(unit)).unwrap();
        let text = text.replace("/usr/local/bin/trefoil", binary().to_str().unwrap());
        std::fs::write(folder.path().join(unit), text).unwrap();
    }
    let verify = Program::new("systemd-analyze").args(["verify", "trefoil.service", "trefoil.socket"]);
    let outcome = verify.folder(folder.path()).run();
    // Mistakes in a value are only warned of.
    assert!(outcome.status.success() && !outcome.stderr.contains("trefoil."), "{outcome}");
}
