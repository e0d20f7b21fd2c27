//! Users: `trefoil passwd`, and how each kind of client says who it is.

use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use trefoil_tests::{Hub, Outcome, Program, lines, node, set_user, trefoil, wait_until, websocket};

fn hub() -> Hub {
    Hub::with_users(&[("ann", "ann's password"), ("bob", "bob:word")], "")
}

/// The status and the headers and body of an answer over HTTP.
fn curl(url: &str, arguments: &[&str]) -> (u16, String) {
    let arguments = [&["-sS", "-i", "-m", "30"], arguments, &[url]].concat();
    let text = Program::new("curl").args(arguments).run().success();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

#[test]
fn mosquitto_says_who_it_is() {
    let hub = hub();
    let publish = |version: &str, credentials: &[&str]| -> Outcome {
        let port = hub.tcp_port().to_string();
        let arguments = ["-p", &port, "-V", version, "-q", "1", "-t", "t", "-m", "x"];
        Program::new("mosquitto_pub").args(arguments).args(credentials).run()
    };
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        publish(version, &["-u", "ann", "-P", "ann's password"]).success();
        publish(version, &["-u", "bob", "-P", "bob:word"]).success();
        for wrong in [&["-u", "ann", "-P", "wrong"][..], &["-u", "nobody", "-P", "x"], &["-u", "ann"], &[]] {
            let outcome = publish(version, wrong);
            assert!(!outcome.status.success(), "{version} {wrong:?}: {outcome}");
            let said = outcome.stderr.to_lowercase();
            assert!(
                said.contains("not authori") || said.contains("bad user name"),
                "{version} {wrong:?}: {said}"
            );
        }
    }
}

#[test]
fn mqtt_js_proves_it_by_scram() {
    node("scram_scenarios", "whoKnowsThePasswordIsLetIn", &hub());
}

#[test]
fn mqtt_js_is_kept_out_by_scram() {
    node("scram_scenarios", "nobodyElseIs", &hub());
}

#[test]
fn http_asks_for_basic_authentication() {
    let hub = hub();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", hub.tcp_port());
    let publish = ["-H", "Content-Type: application/json", "-d", r#"{"topic":"t","data":1}"#];
    let requests: [(&str, &[&str]); 6] = [
        ("/", &[]),
        ("/metrics", &[]),
        ("/api/v1/stats", &[]),
        ("/api/v1/publish", &publish),
        ("/nothing", &[]),
        ("/ws", &[]),
    ];
    for (path, more) in requests {
        for wrong in [&[][..], &["-u", "ann:wrong"], &["-u", "nobody:x"], &["-H", "Authorization: Bearer x"]]
        {
            let (status, text) = curl(&url(path), &[more, wrong].concat());
            assert_eq!(status, 401, "{path} {wrong:?}: {text}");
            assert!(text.contains("Basic realm=\"trefoil\", charset=\"UTF-8\""), "{text}");
        }
        let (status, text) = curl(&url(path), &[more, &["-u", "ann:ann's password"]].concat());
        assert_ne!(status, 401, "{path}: {text}");
        assert_eq!(curl(&url(path), &[more, &["-u", "bob:bob:word"]].concat()).0, status, "{path}");
    }
    for open in ["/healthz", "/livez", "/trefoil.js", "/trefoil.mjs"] {
        assert_eq!(curl(&url(open), &[]).0, 200, "{open}");
    }
    assert_eq!(curl(&url("/sse?topic=t"), &[]).0, 401);
    assert_eq!(curl(&url("/sse?topic=t"), &["-u", "ann:wrong"]).0, 401);
    // A page asks by preflight whether it may send the header.
    let preflight =
        ["-X", "OPTIONS", "-H", "Origin: http://localhost:1", "-H", "Access-Control-Request-Method: POST"];
    let (status, text) = curl(&url("/api/v1/publish"), &preflight);
    assert!(
        status == 204 && text.to_lowercase().contains("allow-headers: content-type, authorization"),
        "{text}"
    );
}

#[test]
fn events_go_to_who_says_who_it_is() {
    let hub = hub();
    let url = format!("http://127.0.0.1:{}/sse?topic=t", hub.tcp_port());
    let events = Program::new("curl").args(["-sSN", "-u", "ann:ann's password", &url]).spawn();
    wait_until("the hub has the subscription", || hub.stat("subscriptions") == 1);
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"auth":{"user":"bob","password":"bob:word"}}"#);
    line.send(r#"{"pub":"t","data":1}"#);
    assert_eq!(events.lines(1), [r#"data: {"topic":"t","data":1}"#]);
}

#[test]
fn a_listener_may_let_in_who_says_nothing_but_not_who_lies() {
    let hub = hub();
    let url = format!("http://127.0.0.1:{}/api/v1/stats", hub.http_port());
    assert_eq!(curl(&url, &[]).0, 200);
    assert_eq!(curl(&url, &["-u", "ann:ann's password"]).0, 200);
    assert_eq!(curl(&url, &["-u", "ann:wrong"]).0, 401);
}

#[test]
fn json_says_it_before_anything_else() {
    let hub = hub();
    let mut line = lines::Connection::new(hub.tcp_port());
    for request in
        [r##"{"sub":"#","id":1}"##, r#"{"pub":"t","data":1,"id":1}"#, r#"{"ping":1}"#, r#"{"unsub":"x"}"#]
    {
        assert_eq!(line.ask(request)["error"]["code"], "not_authorized", "{request}");
    }
    let wrong = line.ask(r#"{"auth":{"user":"ann","password":"wrong"},"id":2}"#);
    assert_eq!((&wrong["error"]["code"], &wrong["id"]), (&json!("not_authorized"), &json!(2)));
    // What stands behind it in the same write waits for it.
    line.send("{\"auth\":{\"user\":\"ann\",\"password\":\"ann's password\"},\"id\":3}\n{\"sub\":\"t\"}\n{\"ping\":3}");
    assert_eq!(line.receive(), json!({"auth": {"user": "ann"}, "ack": 3}));
    assert_eq!(line.receive(), json!({"sub": "t", "qos": 0}));
    assert_eq!(line.receive(), json!({"pong": 3}));
    let other = line.ask(r#"{"auth":{"user":"bob","password":"bob:word"}}"#);
    assert_eq!(other["error"]["code"], "not_authorized", "a connection has one user");
    // Three wrong ones are enough.
    let mut line = lines::Connection::new(hub.tcp_port());
    for _ in 0..3 {
        let wrong = line.ask(r#"{"auth":{"user":"nobody","password":"x"}}"#);
        assert_eq!(wrong["error"]["code"], "not_authorized");
    }
    assert_eq!(line.line(), None);
    // Without users it is said yes to, and means nothing.
    let hub = Hub::start();
    let mut line = lines::Connection::new(hub.tcp_port());
    let answer = line.ask(r#"{"auth":{"user":"ann","password":"x"},"id":1}"#);
    assert_eq!(answer, json!({"auth": {"user": "ann"}, "ack": 1}));
}

#[test]
fn netcat_says_it_and_publishes_in_one_go() {
    let hub = hub();
    let port = hub.tcp_port().to_string();
    let text = "{\"auth\":{\"user\":\"ann\",\"password\":\"ann's password\"}}\n{\"pub\":\"t\",\"data\":1,\"id\":1}\n";
    for text in [text, text.trim_end()] {
        let said = Program::new("nc").args(["-N", "127.0.0.1", &port]).stdin(text).run().success();
        assert_eq!(said, "{\"auth\":{\"user\":\"ann\"}}\n{\"ack\":1}\n");
    }
    let lone = text.lines().next().unwrap();
    let said = Program::new("nc").args(["-N", "127.0.0.1", &port]).stdin(lone).run().success();
    assert_eq!(said, "{\"auth\":{\"user\":\"ann\"}}\n");
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let hub = Hub::with_users(&[("ann", "x")], "[limits]\nfirst_bytes_timeout_s = 1\n");
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(line.ask(r#"{"ping":1}"#)["error"]["code"], "not_authorized");
    assert_eq!(line.line(), None);
}

#[test]
fn datagrams_say_it_too() {
    let hub = hub();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", hub.udp_port())).unwrap();
    socket.set_read_timeout(Some(trefoil_tests::DEADLINE)).unwrap();
    let ask = |text: &str| -> serde_json::Value {
        socket.send(text.as_bytes()).unwrap();
        let mut bytes = [0; 2000];
        let length = socket.recv(&mut bytes).unwrap();
        serde_json::from_slice(&bytes[..length]).unwrap()
    };
    assert_eq!(ask(r#"{"ping":1}"#)["error"]["code"], "not_authorized");
    assert_eq!(hub.stat("sessions"), 0, "nobody gets a session for that");
    assert_eq!(ask(r#"{"auth":{"user":"ann","password":"wrong"}}"#)["error"]["code"], "not_authorized");
    assert_eq!(ask(r#"{"sub":"t","id":4}"#)["id"], 4);
    let answer = ask(r#"{"auth":{"user":"ann","password":"ann's password"},"id":5}"#);
    assert_eq!(answer, json!({"auth": {"user": "ann"}, "ack": 5}));
    assert_eq!(ask(r#"{"ping":1}"#), json!({"pong": 1}));
}

#[test]
fn websockets_say_it_in_the_handshake_or_inside() {
    let hub = hub();
    let port = hub.tcp_port();
    let mut socket = websocket::Connection::new(port, "/ws");
    let receive = |socket: &mut websocket::Connection| -> serde_json::Value {
        serde_json::from_slice(&socket.receive().unwrap().1).unwrap()
    };
    socket.send_text(r#"{"ping":1}"#);
    assert_eq!(receive(&mut socket)["error"]["code"], "not_authorized");
    socket.send_text(r#"{"auth":{"user":"ann","password":"ann's password"}}"#);
    socket.send_text(r#"{"ping":2}"#);
    assert_eq!(receive(&mut socket), json!({"auth": {"user": "ann"}}));
    assert_eq!(receive(&mut socket), json!({"pong": 2}));
    // In the handshake; what is sent behind it at once waits.
    let handshake = |credentials: &str| {
        use base64::Engine;
        let encoded = base64::prelude::BASE64_STANDARD.encode(credentials);
        websocket::handshake("/ws", &format!("Authorization: Basic {encoded}\r\n"))
    };
    let mut exchange = trefoil_tests::connect(port);
    let ping = websocket::frame(0x81, br#"{"ping":3}"#);
    trefoil_tests::Exchange::offer(&mut exchange, &[handshake("bob:bob:word"), ping].concat());
    let mut text = String::new();
    while !text.contains(r#"{"pong":3}"#) {
        let mut bytes = [0; 1000];
        let length = std::io::Read::read(&mut exchange, &mut bytes).unwrap();
        assert!(length > 0, "{text}");
        text += &String::from_utf8_lossy(&bytes[..length]);
    }
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    let mut refused = trefoil_tests::connect(port);
    trefoil_tests::Exchange::offer(&mut refused, &handshake("bob:wrong"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut refused, &mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 401 ") && text.contains("WWW-Authenticate: Basic"), "{text}");
}

#[test]
fn our_own_commands_say_it_everywhere() {
    let hub = hub();
    let (tcp, udp) = (hub.tcp_port(), hub.udp_port());
    std::fs::write(hub.folder().join("secret"), "ann's password\n").unwrap();
    let publish = |url: &str, more: &[&str]| {
        trefoil(["pub", "--url", url, "-q", "1"]).args(more).args(["t", "x"]).folder(hub.folder()).run()
    };
    for place in ["mqtt://AT", "ws://AT/mqtt", "ws://AT/ws", "tcp://AT", "udp://AT"] {
        let port = if place.starts_with("udp") { udp } else { tcp };
        let at = |credentials: &str| place.replace("AT", &format!("{credentials}127.0.0.1:{port}"));
        publish(&at("ann:ann's%20password@"), &[]).success();
        publish(&at(""), &["--user", "bob", "--password", "bob:word"]).success();
        publish(&at(""), &["--user", "ann", "--password-file", "secret"]).success();
        publish(&at(""), &["--user", "ann", "--password", "wrong"]).failure(4);
        publish(&at(""), &[]).failure(4);
        let scram = ["--user", "ann", "--password-file", "secret", "--auth", "scram-sha-256"];
        let is_mqtt = place.contains("mqtt");
        publish(&at(""), &scram).failure_unless(is_mqtt);
    }
    let url = format!("mqtt://127.0.0.1:{tcp}");
    let scram = |user: &str, password: &str| {
        publish(&url, &["--user", user, "--password", password, "--auth", "scram-sha-256"])
    };
    scram("ann", "wrong").failure(4);
    scram("nobody", "ann's password").failure(4);
    publish(&url, &["--auth", "scram-sha-256"]).failure(2);
    publish(&url, &["--user", "ann", "--password-file", "nowhere"]).failure(2);
    publish(&url, &["--user", "ann", "--password", "x", "--auth", "scram-sha-256", "--mqtt", "3.1.1"])
        .failure(2);
}

trait FailureUnless {
    fn failure_unless(self, succeeds: bool);
}

impl FailureUnless for Outcome {
    /// It succeeds, or is an error of usage.
    fn failure_unless(self, succeeds: bool) {
        if succeeds {
            self.success();
        } else {
            self.failure(2);
        }
    }
}

#[test]
fn passwd_adds_changes_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.txt");
    let passwd = |words: &str, input: &str| {
        trefoil(["passwd", "users.txt"]).words(words).folder(folder.path()).stdin(input).run()
    };
    set_user(folder.path(), "ann", "one");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = std::fs::read_to_string(&file).unwrap();
    assert!(first.starts_with("ann:SCRAM-SHA-256$4096:") && !first.contains("one"), "{first}");
    std::fs::write(&file, format!("# who may come\n{first}")).unwrap();
    passwd("bob --stdin --kind argon2id", "two\n").success();
    set_user(folder.path(), "ann", "three");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "# who may come"));
    assert!(lines[1].starts_with("ann:SCRAM") && !first.contains(lines[1]), "{text}");
    assert!(lines[2].starts_with("bob:$argon2id$v=19$"), "{text}");
    for (words, input, code) in [
        ("a:b --stdin", "x\n", 2),
        ("eve --stdin", "\n", 2),
        ("eve --stdin --kind md5", "x\n", 2),
        ("eve --stdin --iterations 10", "x\n", 2),
        ("eve", "x\n", 2),
        ("eve --delete", "", 1),
    ] {
        let said = passwd(words, input).failure(code);
        assert!(!said.is_empty(), "{words}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    passwd("ann --delete", "").success();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("ann") && text.starts_with("# who may come\nbob:"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn an_argon2id_record_takes_passwords_and_no_scram() {
    let hub = Hub::with_users(&[], "");
    let file = trefoil(["passwd", "users.txt", "ann", "--stdin", "--kind", "argon2id"]);
    file.folder(hub.folder()).stdin("right\n").run().success();
    hub.signal("HUP");
    wait_until("it is read", || hub.log().contains("1 users"));
    let url = format!("mqtt://127.0.0.1:{}", hub.tcp_port());
    let publish =
        |more: &[&str]| trefoil(["pub", "--url", &url, "--user", "ann"]).args(more).args(["t", "x"]).run();
    publish(&["--password", "right"]).success();
    publish(&["--password", "wrong"]).failure(4);
    publish(&["--password", "right", "--auth", "scram-sha-256"]).failure(4);
}

#[test]
fn a_file_of_users_that_is_not_right_is_a_mistake_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[auth]\nusers = \"users.txt\"\n[[listener]]\nbind = \"0.0.0.0:0\"\n";
    std::fs::write(folder.path().join("trefoil.toml"), config).unwrap();
    let run = |command: &str| trefoil([command]).folder(folder.path()).run();
    for command in ["check", "serve"] {
        let said = run(command).failure(2);
        assert!(said.contains("users.txt: there is no such file of users"), "{said}");
    }
    std::fs::write(folder.path().join("users.txt"), "# one\nann\n").unwrap();
    for command in ["check", "serve"] {
        let said = run(command).failure(2);
        assert!(said.contains("users.txt:2: a line is a user name, a colon and a record"), "{said}");
    }
    std::fs::write(folder.path().join("users.txt"), "").unwrap();
    set_user(folder.path(), "ann", "x");
    let said = run("check").success();
    assert!(said.contains("tcp://0.0.0.0:0") && said.contains("1 users"), "{said}");
}
