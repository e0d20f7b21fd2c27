//! Raw sockets whose bytes are cut into frames. What each scenario does is in `tests/python/framed_scenarios.py`.

use std::io::{Read, Write};
use std::net::TcpListener;
use trefoil_tests::{CONFIG, DEADLINE, Hub, Program, python_program, wait_until};

/// Beside [`CONFIG`]: the name of a listener, and its keys. Those whose name begins with `udp` are for datagrams.
const LISTENERS: &[(&str, &str)] = &[
    ("line", "framing = 'line'\nframe_bytes_max = 100"),
    ("delimiter", "framing = 'delimiter'\ndelimiter = '||'"),
    ("return", "framing = 'delimiter'\ndelimiter = '0x0D'"),
    ("u8", "framing = 'length'\nlength = 'u8'"),
    ("u16be", "framing = 'length'\nlength = 'u16be'"),
    ("u16le_own", "framing = 'length'\nlength = 'u16le'\nlength_counts_itself = true"),
    ("u32be", "framing = 'length'\nlength = 'u32be'"),
    ("u32le", "framing = 'length'\nlength = 'u32le'"),
    ("varint", "framing = 'length'\nlength = 'varint'"),
    ("modbus", "framing = 'length'\nlength = 'u16be'\nlength_at = 4"),
    ("fixed", "framing = 'fixed'\nframe_bytes = 4"),
    ("idle_gap", "framing = 'idle_gap'\ngap_ms = 100"),
    ("slip", "framing = 'slip'"),
    ("cobs", "framing = 'cobs'"),
    ("stx", "framing = 'delimiter'\ndelimiter = '\\x03'\nstarts_with = '\\x02'\nstrip = '\\x02'"),
    ("marked", "framing = 'length'\nlength = 'u8'\nstarts_with = '\\x7e'\nframe_bytes_max = 100"),
    ("telnet", "framing = 'delimiter'\ndelimiter = '\\r\\n'\ntelnet = true"),
    (
        "nmea",
        "framing = 'line'\nstarts_with = '$'\nstrip = ' '\nignore = 'PING'\npublish = 'up/nmea/{type}'\n\
         pattern = '^\\$(?<type>[A-Z]+),'",
    ),
    (
        "register",
        "framing = 'line'\nregister = '^HELLO (?<client_id>\\S+) (?<hall>\\S+) (?<secret>\\S+)$'\nsecret = 's3cret'\n\
         pattern = '^(?<what>\\w+) '\npublish = 'reg/{client_id}/{line:hall}/{what}'\nsubscribe = 'reg/{client_id}/down'",
    ),
    ("status", "framing = 'line'\nclient_id = 'meter'\nstatus = 'status/{client_id}'"),
    ("idle", "framing = 'line'\nclient_id = 'idle'\nstatus = 'status/idle'\nidle_s = 1"),
    (
        "kept",
        "framing = 'line'\nclient_id = 'meter2'\npublish = 'kept/meter'\nsubscribe = ['wanted/meter', 'kept/meter']\n\
         qos = 1\nretain = true",
    ),
    ("rate", "framing = 'line'\nrate_max = 10"),
    ("rate_udp", "framing = 'datagram'\nrate_max = 10"),
    ("udp", "framing = 'datagram'\npublish = 'up/udp/{peer}'"),
    ("udp_slip", "framing = 'slip'"),
    ("udp_marked", "framing = 'line'\nstarts_with = '$'"),
    ("udp_idle", "framing = 'datagram'\nidle_s = 1"),
    (
        "udp_lines",
        "framing = 'line'\nregister = '^ID (?<client_id>\\w+) (?<secret>\\w+)$'\nsecret = 's3cret'\n\
         publish = 'up/udp_lines/{client_id}'\nsubscribe = 'down/udp_lines/{client_id}'",
    ),
];

fn config(names: impl Fn(&str) -> bool) -> String {
    let mut config = CONFIG.to_owned();
    for (name, keys) in LISTENERS.iter().filter(|(name, _)| names(name)) {
        let bind = if name.contains("udp") { "udp://127.0.0.1:0" } else { "127.0.0.1:0" };
        let preset = |key: &str, value: &str| match keys.contains(&format!("{key} = ")) {
            true => String::new(),
            false => format!("{key} = '{value}'\n"),
        };
        let (up, down) =
            (preset("publish", &format!("up/{name}")), preset("subscribe", &format!("down/{name}")));
        config += &format!("\n[[listener]]\nbind = '{bind}'\nname = '{name}'\n{up}{down}{keys}\n");
    }
    config
}

/// The ports of the framed listeners of a hub with these names, as the scenarios take them.
fn framed(hub: &Hub, names: impl Fn(&str) -> bool) -> String {
    let names = LISTENERS.iter().map(|(name, _)| *name).filter(|name| names(name));
    let ports = hub.ports_of("framed");
    let entries: Vec<String> = names.zip(ports).map(|(name, port)| format!("{name}={port}")).collect();
    entries.join(",")
}

fn run(scenario: &str, hub: &Hub, framed: &str) {
    // The last TCP listener is none for HTTP here.
    let http = format!("http={}", hub.port_of("http, websocket"));
    let program = python_program("framed_scenarios", scenario, hub);
    program.args([http]).env("FRAMED", framed).run().success();
}

fn scenario(name: &str, more: &str) {
    let hub = Hub::with_config(&format!("{}{more}", config(|_| true)));
    run(name, &hub, &framed(&hub, |_| true));
}

macro_rules! scenarios {
    ($($scenario:ident)*) => {
        $(#[test]
        fn $scenario() {
            scenario(stringify!($scenario), "");
        })*
    };
}

scenarios! {
    every_framing_both_ways byte_by_byte what_a_framing_cannot_carry frames_that_are_too_long
    the_last_frame_of_a_stream registration one_client_id_one_connection telnet heartbeats_and_blanks status_topic
    idle_connections_end what_is_published no_more_than_the_rate datagrams silent_peers lines_in_datagrams datagrams_of_nothing_but_marks
    a_peer_that_says_again_who_it_is presence a_slow_device
}

#[test]
fn too_many_wrong_secrets() {
    scenario("too_many_wrong_secrets", "\n[auth]\nfailures_max = 3\n");
}

#[test]
fn silence_instead_of_a_registration() {
    scenario("silence_instead_of_a_registration", "\n[limits]\nfirst_bytes_timeout_s = 1\n");
}

#[test]
fn users_and_passwords() {
    let keys = "\n[[listener]]\nbind = '127.0.0.1:0'\nframing = 'line'\npublish = 'user/{client_id}'\n\
                register = '^(?<user>\\w+) (?<client_id>\\S+) (?<password>\\S+)$'\n";
    let hub = Hub::with_users(&[("ann", "secret"), ("bob", "hunter2")], keys);
    run("users_and_passwords", &hub, &format!("user={}", hub.ports_of("framed")[0]));
}

#[test]
fn a_device_in_tls_is_there_before_it_says_anything() {
    let keys = "\n[[listener]]\nbind = '127.0.0.1:0'\ntls = 'required'\nframing = 'line'\npublish = 'up/tls'\n\
                subscribe = 'down/tls'\n[[listener]]\nbind = '127.0.0.1:0'\nframing = 'line'\npublish = 'up/plain'\n\
                subscribe = 'down/tls'\n[tls]\ncertificate = 'cert.pem'\nkey = 'key.pem'\n";
    let (hub, ca, _) = crate::tls::hub_with(&format!("{CONFIG}{keys}"));
    let mut client = trefoil_tests::lines::Connection::new(hub.tcp_port());
    client.ask("{\"pub\":\"down/tls\",\"data\":\"hello\",\"retain\":true,\"qos\":1,\"id\":1}");
    client.ask("{\"sub\":\"up/#\",\"id\":2}");
    let [tls, plain] = hub.ports_of("framed")[..] else { panic!("there are two") };
    let at = format!("127.0.0.1:{tls}");
    let openssl = Program::new("openssl").args(["s_client", "-quiet", "-verify_return_error", "-CAfile"]);
    let mut openssl = openssl.args([&ca]).args(["-connect", &at]).open_stdin().spawn();
    assert_eq!(openssl.lines(1), ["hello"]);
    openssl.write("by openssl\n");
    assert_eq!(client.receive(), serde_json::json!({"topic": "up/tls", "data": "by openssl"}));
    // Where TLS is not asked for, any first byte is the device's own.
    let mut device = trefoil_tests::connect(plain);
    let mut found = [0; 6];
    device.read_exact(&mut found).unwrap();
    assert_eq!(&found, b"hello\n");
    device.write_all(b"\x16abc\n").unwrap();
    assert_eq!(client.receive()["data"], "\u{16}abc");
}

#[test]
fn devices_on_a_unix_socket_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    let keys = format!(
        "\n[[listener]]\nbind = 'unix://{}'\nname = 'here'\nframing = 'line'\npublish = 'up/{{client_id}}'\n\
         subscribe = 'down'\n",
        path.display()
    );
    let hub = Hub::resume(folder, &format!("{CONFIG}{keys}"));
    let mut client = trefoil_tests::lines::Connection::new(hub.tcp_port());
    client.ask("{\"sub\":\"up/#\",\"id\":1}");
    let mut devices = [0, 1].map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap());
    let topics = [0, 1].map(|number| {
        devices[number].write_all(b"here\n").unwrap();
        client.receive()["topic"].as_str().unwrap().to_owned()
    });
    assert!(topics[0] != topics[1] && topics.iter().all(|topic| topic.starts_with("up/here-")), "{topics:?}");
    client.ask("{\"pub\":\"down\",\"data\":\"go\",\"qos\":1,\"id\":2}");
    for device in &mut devices {
        device.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut found = [0; 3];
        device.read_exact(&mut found).unwrap();
        assert_eq!(&found, b"go\n");
    }
}

/// A port of this machine that nobody listens on; the next one to ask for one gets another.
#[test]
fn what_fails_over_udp_is_counted_by_itself() {
    let keys = "failures_max = 2\n[[listener]]\nbind = 'udp://127.0.0.1:0'\nname = 'far'\nframing = 'line'\n\
                register = '^ID (?<client_id>\\w+) (?<secret>\\w+)$'\nsecret = 's3cret'\npublish = 'up/{client_id}'\n";
    let hub = Hub::with_users(&[("ann", "secret")], keys);
    // Anybody may have written this address on them.
    let stranger = trefoil_tests::datagrams::Peer::new(hub.ports_of("framed")[0]);
    for _ in 0..2 {
        stranger.send("ID meter wrong\nreading");
    }
    wait_until("both are counted", || hub.metric("trefoil_auth_failures_total") == 2);
    let password = r#"{"auth":{"user":"ann","password":"secret"}}"#;
    let peer = trefoil_tests::datagrams::Peer::new(hub.udp_port());
    assert_eq!(peer.ask(password)["error"]["code"], "quota");
    // Whoever has the address can still say who it is where an address is proved.
    let mut client = trefoil_tests::lines::Connection::new(hub.tcp_port());
    assert_eq!(client.ask(password)["auth"]["user"], "ann");
}

#[test]
fn devices_behind_a_proxy_and_one_address_are_told_apart() {
    let keys = "\n[[listener]]\nbind = '127.0.0.1:0'\nproxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\n\
                name = 'far'\nframing = 'line'\npublish = 'up/{client_id}/{peer_ip}'\n";
    let hub = Hub::with_config(&format!("{CONFIG}{keys}"));
    let mut client = trefoil_tests::lines::Connection::new(hub.tcp_port());
    client.ask("{\"sub\":\"up/#\",\"id\":1}");
    let port = hub.ports_of("framed")[0];
    let mut devices = [4711, 4712].map(|from| {
        let mut device = trefoil_tests::connect(port);
        write!(device, "PROXY TCP4 192.0.2.9 10.0.0.1 {from} 4001\r\n").unwrap();
        device
    });
    for round in 0..2 {
        for (device, from) in devices.iter_mut().zip([4711, 4712]) {
            writeln!(device, "{round}").unwrap();
            let expected = format!("up/far-192.0.2.9:{from}/192.0.2.9");
            assert_eq!(client.receive(), serde_json::json!({"topic": expected, "data": round}));
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn dial_config(port: u16) -> String {
    format!(
        "{CONFIG}\n[[dial]]\naddress = '127.0.0.1:{port}'\nname = 'plc'\nframing = 'delimiter'\ndelimiter = '\\r'\n\
         client_id = 'plc'\npublish = 'up/plc'\nsubscribe = 'down/plc'\nstatus = 'status/plc'\nretry_s_max = 1\n"
    )
}

#[test]
fn dialled() {
    let port = free_port();
    let hub = Hub::with_config(&dial_config(port));
    run("dialled", &hub, &format!("dial={port}"));
}

#[test]
fn a_device_is_dialled_again_by_the_process_that_takes_over() {
    let device = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut hub = Hub::with_config(&dial_config(device.local_addr().unwrap().port()));
    let mut watcher = trefoil_tests::lines::Connection::new(hub.tcp_port());
    watcher.ask("{\"sub\":\"status/plc\",\"id\":1}");
    let (mut first, _) = device.accept().unwrap();
    assert_eq!(watcher.receive()["data"]["status"], "online");
    hub.upgrade();
    first.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(first.read(&mut [0]).unwrap(), 0, "the process before hangs up");
    let (mut second, _) = device.accept().unwrap();
    let mut watcher = trefoil_tests::lines::Connection::new(hub.tcp_port());
    watcher.ask("{\"sub\":\"up/plc\",\"id\":1}");
    second.write_all(b"21.5\r").unwrap();
    assert_eq!(watcher.receive()["data"], 21.5);
}

#[test]
fn what_a_device_is_after_a_crash_is_what_its_will_says() {
    let text = config(|name| name == "status");
    let hub = Hub::with_config(&text);
    let device = trefoil_tests::connect(hub.ports_of("framed")[0]);
    let mut watcher = trefoil_tests::lines::Connection::new(hub.tcp_port());
    watcher.ask("{\"sub\":\"status/meter\",\"id\":1}");
    assert_eq!(watcher.receive()["data"]["status"], "online");
    let folder = hub.leave("KILL");
    drop(device);
    let hub = Hub::launch(folder, &text, std::process::Command::new(trefoil_tests::binary()));
    let mut watcher = trefoil_tests::lines::Connection::new(hub.tcp_port());
    watcher.send("{\"sub\":\"status/meter\"}");
    // The subscription is confirmed first; the will may have been retained before, or come a moment later.
    let mut last = watcher.receive();
    while last["data"]["status"] != "lost" {
        last = watcher.receive();
    }
    assert_eq!(last["data"]["client"], "meter");
}

#[test]
fn a_hub_that_stops_says_that_devices_are_offline() {
    let text = config(|name| name == "status");
    let hub = Hub::with_config(&text);
    let mut device = trefoil_tests::connect(hub.ports_of("framed")[0]);
    let mut watcher = trefoil_tests::lines::Connection::new(hub.tcp_port());
    watcher.ask("{\"sub\":\"status/meter\",\"id\":1}");
    assert_eq!(watcher.receive()["data"]["status"], "online");
    let folder = hub.leave("TERM");
    assert_eq!(device.read(&mut [0]).unwrap(), 0);
    let hub = Hub::launch(folder, &text, std::process::Command::new(trefoil_tests::binary()));
    let mut watcher = trefoil_tests::lines::Connection::new(hub.tcp_port());
    watcher.ask("{\"sub\":\"status/meter\",\"id\":1}");
    let retained = watcher.receive();
    assert_eq!(retained["data"]["status"], "offline");
    assert_eq!(retained["data"]["reason"], "hub_stopped");
}
