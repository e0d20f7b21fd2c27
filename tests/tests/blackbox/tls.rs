//! TLS, with clients that are not ours: on the port that speaks everything, and beside it.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use trefoil_tests::{
    Authority, CONFIG, Hub, Program, connect, lines, mqtt, python_program, trefoil, wait_until,
};

/// A hub with a certificate, and the file of who vouches for it.
pub(crate) fn hub(more: &str) -> (Hub, PathBuf, Authority) {
    hub_with(&format!("{CONFIG}\n[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n{more}"))
}

pub(crate) fn hub_with(config: &str) -> (Hub, PathBuf, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("one who vouches");
    authority.vouch_for_hub(folder.path());
    let ca = authority.introduce(folder.path(), "ca.pem");
    (Hub::resume(folder, config), ca, authority)
}

fn mosquitto(hub: &Hub, program: &str, ca: &std::path::Path, arguments: &str) -> Program {
    let port = hub.tcp_port().to_string();
    Program::new(program)
        .args(["-h", "127.0.0.1", "-p", &port])
        .args(["--cafile"])
        .args([ca])
        .words(arguments)
}

/// Runs a scenario of `tests/python/tls_scenarios.py`.
pub(crate) fn python(scenario: &str, hub: &Hub, ca: &std::path::Path) {
    let program = python_program("tls_scenarios", scenario, hub).env("TREFOIL_CA", ca.to_str().unwrap());
    program.run().success();
}

fn curl(ca: &std::path::Path) -> Program {
    Program::new("curl").args(["-sS", "--cacert"]).args([ca])
}

#[test]
fn one_port_speaks_everything_with_tls_and_without() {
    let (hub, ca, _) = hub("");
    let port = hub.tcp_port();
    let reader = mosquitto(&hub, "mosquitto_sub", &ca, "-t room/# -C 4 -V 5").spawn();
    wait_until("it has subscribed", || hub.metric("trefoil_subscriptions") == 1);
    mosquitto(&hub, "mosquitto_pub", &ca, "-t room/a -m by-mosquitto").run().success();
    let plain = port.to_string();
    Program::new("mosquitto_pub").args(["-p", &plain]).words("-t room/b -m without-tls").run().success();
    let body = r#"{"topic":"room/c","data":"by curl"}"#;
    let url = format!("https://localhost:{port}/api/v1/publish");
    curl(&ca).args(["-f", "--json", body, &url]).run().success();
    let at = format!("127.0.0.1:{port}");
    let openssl = Program::new("openssl").args(["s_client", "-quiet", "-verify_return_error", "-CAfile"]);
    let openssl = openssl.args([&ca]).args(["-connect", &at]).open_stdin();
    let mut openssl = openssl.spawn();
    openssl.write("{\"pub\":\"room/d\",\"data\":\"by openssl\",\"qos\":1,\"id\":7}\n");
    assert_eq!(openssl.lines(1), ["{\"ack\":7}"]);
    openssl.close_stdin();
    let found = reader.wait().success();
    assert_eq!(found.lines().collect::<Vec<_>>(), ["by-mosquitto", "without-tls", "by curl", "by openssl"]);
    python("websocket", &hub, &ca);
    python("lines", &hub, &ca);
}

#[test]
fn http_goes_on_over_one_connection_and_over_to_what_runs_beside_the_shards() {
    let (hub, ca, _) = hub("");
    python("http_and_back", &hub, &ca);
    let url = |path: &str| format!("https://127.0.0.1:{}{path}", hub.http_port());
    let console = curl(&ca).args(["-f", &url("/")]).run().success();
    assert!(console.contains("<html"), "{console}");
    let refused = curl(&ca).args(["-o", "/dev/null", "-w", "%{http_code}", &url("/nowhere")]).run().success();
    assert_eq!(refused, "404");
}

#[test]
fn large_messages_and_slow_readers_lose_nothing() {
    let (hub, ca, _) = hub("");
    python("large_messages", &hub, &ca);
    python("a_slow_reader", &hub, &ca);
}

#[test]
fn connections_move_to_the_shard_of_their_session() {
    let (hub, ca, _) = hub("");
    let readers: Vec<_> = (0..8)
        .map(|n| mosquitto(&hub, "mosquitto_sub", &ca, &format!("-i moves-{n} -t moves -C 1 -q 1")).spawn())
        .collect();
    wait_until("all have subscribed", || hub.metric("trefoil_subscriptions") == 8);
    mosquitto(&hub, "mosquitto_pub", &ca, "-i publisher -t moves -m here -q 1").run().success();
    for reader in readers {
        assert_eq!(reader.wait().success(), "here\n");
    }
}

#[test]
fn the_program_speaks_tls_and_looks_at_the_certificate() {
    let (hub, ca, _) = hub("");
    let port = hub.tcp_port();
    let ca = ca.to_str().unwrap();
    // MQTT first: it says goodbye, while JSON lines that end are a listener that goes on listening.
    for scheme in ["mqtts", "tcps"] {
        let url = format!("{scheme}://localhost:{port}");
        let reader = trefoil(["sub", "--url", &url, "--ca", ca, "t", "--count", "1"]).spawn();
        wait_until("it has subscribed", || hub.metric("trefoil_subscriptions") == 1);
        let wss = format!("wss://127.0.0.1:{port}/ws");
        trefoil(["pub", "--url", &wss, "--ca", ca, "t", "over wss"]).run().success();
        assert!(reader.wait().success().contains("over wss"), "{scheme}");
        if scheme == "mqtts" {
            wait_until("it has gone", || hub.metric("trefoil_subscriptions") == 0);
        }
    }
    let url = format!("mqtts://localhost:{port}");
    let said = trefoil(["pub", "--url", &url, "t", "x"]).run().failure(3);
    assert!(said.contains("--ca FILE"), "{said}");
    trefoil(["pub", "--url", &url, "--insecure", "t", "x"]).run().success();
    let named = format!("mqtts://127.0.0.2:{port}");
    let said = trefoil(["pub", "--url", &named, "--ca", ca, "t", "x"]).run().failure(3);
    assert!(said.contains("cannot connect"), "{said}");
    let said = trefoil(["pub", "--url", &format!("mqtt://localhost:{port}"), "--ca", ca, "t", "x"]).run();
    assert!(said.failure(2).contains("speaks no TLS"));
    let said = trefoil(["pub", "--url", &url, "--ca", "/nowhere", "t", "x"]).run().failure(3);
    assert!(said.contains("/nowhere"), "{said}");
}

#[test]
fn a_certificate_that_vouches_for_itself_is_made_as_the_page_says() {
    let page = fs::read_to_string("../docs/security.md").unwrap();
    let command = page.split("```").find_map(|block| block.strip_prefix("sh\nopenssl req")).unwrap();
    let of_authority = command.replace(" -addext basicConstraints=critical,CA:FALSE", "");
    for (command, is_right) in [(command, true), (&of_authority, false)] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("cd '{}' && openssl req{command}", folder.path().display());
        Program::new("sh").args(["-c", &script]).run().success();
        let ca = folder.path().join("ca.pem");
        let ca = ca.to_str().unwrap();
        let hub =
            Hub::resume(folder, &format!("{CONFIG}\n[tls]\ncertificate = 'cert.pem'\nkey = 'key.pem'\n"));
        let url = format!("mqtts://localhost:{}", hub.tcp_port());
        let told = trefoil(["pub", "--url", &url, "--ca", ca, "t", "x"]).run();
        match is_right {
            true => drop(told.success()),
            false => assert!(told.failure(3).contains("make it one with CA:FALSE")),
        }
    }
}

#[test]
fn a_megabyte_goes_through_the_program() {
    let (hub, ca, _) = hub("");
    let ca = ca.to_str().unwrap();
    let url = format!("mqtts://localhost:{}", hub.tcp_port());
    let reader = trefoil(["sub", "--url", &url, "--ca", ca, "t", "--count", "1"]).spawn();
    wait_until("it has subscribed", || hub.metric("trefoil_subscriptions") == 1);
    let payload = "0123456789abcdef".repeat(1 << 16);
    trefoil(["pub", "--url", &url, "--ca", ca, "t", "--file", "-"]).stdin(payload.clone()).run().success();
    assert!(reader.wait().success().contains(&payload));
}

#[test]
fn certificates_are_read_again_and_what_is_wrong_changes_nothing() {
    let (hub, ca, _) = hub("");
    let folder = hub.folder().to_owned();
    let publish = |ca: &std::path::Path| mosquitto(&hub, "mosquitto_pub", ca, "-t t -m x").run();
    let mut stays = mosquitto(&hub, "mosquitto_sub", &ca, "-t stays -C 1").spawn();
    wait_until("it has subscribed", || hub.metric("trefoil_subscriptions") == 1);
    let next = Authority::new("another who vouches");
    next.vouch_for_hub(&folder);
    let next_ca = next.introduce(&folder, "next.pem");
    publish(&ca).success();
    hub.signal("HUP");
    wait_until("it is read again", || hub.log().contains("a certificate is read again"));
    publish(&next_ca).success();
    assert!(publish(&ca).has_failed());
    fs::write(folder.join("cert.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    hub.signal("HUP");
    wait_until("it is refused", || hub.log().contains("a certificate is not right, so that of before stays"));
    publish(&next_ca).success();
    assert!(!stays.has_ended());
    lines::Connection::new(hub.tcp_port()).ask(r#"{"pub":"stays","data":1,"qos":1,"id":1}"#);
    assert_eq!(stays.wait().success(), "1\n");
}

#[test]
fn after_an_upgrade_clients_come_back() {
    let (mut hub, ca, _) = hub("");
    let mut plain = mqtt::Connection::new(hub.tcp_port(), 5, "plain");
    let mut sealed = mosquitto(&hub, "mosquitto_sub", &ca, "-i sealed -t t -C 1 -q 1 -c").spawn();
    wait_until("it has subscribed", || hub.metric("trefoil_subscriptions") == 1);
    hub.upgrade();
    assert!(hub.log().contains(" 1 connections handed over, 1 closed"), "{}", hub.log());
    plain.ping();
    // mosquitto_sub connects again by itself.
    wait_until("it is back", || hub.metric("trefoil_sessions_connected") == 2);
    assert!(!sealed.has_ended());
    mosquitto(&hub, "mosquitto_pub", &ca, "-t t -m again -q 1").run().success();
    assert_eq!(sealed.wait().success(), "again\n");
}

#[test]
fn a_header_of_the_proxy_protocol_comes_before() {
    let config = r#"
[[listener]]
bind = "127.0.0.1:0"
proxy_protocol = true
trusted_proxies = ["127.0.0.1"]
[[listener]]
bind = "127.0.0.1:0"
protocols = ["http"]
[tls]
certificate = "cert.pem"
key = "key.pem"
"#;
    let (hub, ca, _) = hub_with(config);
    python("behind_a_proxy", &hub, &ca);
}

#[test]
fn where_tls_is_required_nothing_else_is_spoken() {
    let config = r#"
[[listener]]
bind = "127.0.0.1:0"
tls = "required"
certificate = "cert.pem"
key = "key.pem"
[[listener]]
bind = "127.0.0.1:0"
"#;
    let (hub, ca, _) = hub_with(config);
    mosquitto(&hub, "mosquitto_pub", &ca, "-t t -m x").run().success();
    for first in ["{\"ping\":1}\n", "GET / HTTP/1.1\r\n\r\n", "\x10\x10\0\x04MQTT"] {
        let mut stream = connect(hub.tcp_port());
        stream.write_all(first.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("nothing but TLS"), "{first:?}: {answer}");
    }
    // The other listener has no certificate.
    let port = hub.http_port().to_string();
    let said = Program::new("curl").args(["-sSk", &format!("https://127.0.0.1:{port}/")]).run();
    assert!(said.has_failed());
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let one = Authority::new("one");
    one.vouch_for_hub(folder.path());
    let path = |name: &str| folder.path().join(name);
    fs::rename(path("key.pem"), path("other.pem")).unwrap();
    one.vouch_for_hub(folder.path());
    fs::write(path("empty.pem"), "").unwrap();
    fs::write(path("broken.pem"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    let tls =
        |certificate: &str, key: &str| format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let listener = |more: &str| format!("[[listener]]\nbind = \"{more}\n");
    for (config, words) in [
        (tls("nowhere.pem", "key.pem"), "nowhere.pem: cannot read it"),
        (tls("cert.pem", "nowhere.pem"), "nowhere.pem: cannot read it"),
        (tls("empty.pem", "key.pem"), "empty.pem: there is no certificate in it"),
        (tls("cert.pem", "cert.pem"), "cert.pem: there is no private key in it"),
        (tls("broken.pem", "key.pem"), "broken.pem: this is not PEM"),
        (tls("cert.pem", "other.pem"), "other.pem: this is not the private key of cert.pem"),
        ("[tls]\ncertificate = \"cert.pem\"\n".into(), "`certificate` needs the file of its private key"),
        ("[tls]\nkey = \"key.pem\"\n".into(), "`key` is the private key of a `certificate`"),
        (listener("127.0.0.1:0\"\ntls = \"required\""), "needs a certificate"),
        (listener("udp://127.0.0.1:0\"\ntls = \"optional\""), "carries datagrams"),
        (listener("127.0.0.1:0\"\ntls = true"), "\"off\", \"optional\", \"required\""),
        (
            listener("127.0.0.1:0\"\ntls = \"off\"\ncertificate = \"cert.pem\"\nkey = \"key.pem\""),
            "does not speak TLS",
        ),
    ] {
        fs::write(path("trefoil.toml"), &config).unwrap();
        for command in ["check", "serve"] {
            let said = trefoil([command]).folder(folder.path()).run().failure(2);
            assert!(said.contains(words), "{command}, {config}: {said}");
        }
    }
    fs::write(path("trefoil.toml"), tls("cert.pem", "key.pem")).unwrap();
    let said = trefoil(["check"]).folder(folder.path()).run().success();
    assert!(
        said.contains("tcp://127.0.0.1:1883  mqtt, http, websocket, json, anonymous, TLS")
            || said.contains("json, TLS"),
        "{said}"
    );
}
