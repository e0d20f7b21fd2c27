//! Configuration through the binary: mistakes by line and reason, environment variables, a port that is taken.

use std::net::TcpListener;
use trefoil_tests::{Hub, lines, mqtt, trefoil};

/// Checks a file with `trefoil check` and gives its exit code and what it said.
fn check(text: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trefoil.toml");
    std::fs::write(&file, text).unwrap();
    let outcome = trefoil(["check"]).args([&file]).run();
    (
        outcome.status.code().unwrap(),
        format!("{}{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr),
    )
}

#[test]
fn a_good_file_is_good() {
    let (code, said) = check(trefoil_tests::CONFIG);
    assert_eq!(code, 0, "{said}");
    assert_eq!(check("").0, 0);
}

#[test]
fn mistakes_are_named_with_line_reason_and_nearest_key() {
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\n";
    for (text, line, words) in [
        ("shrads = 2\n".to_owned(), 1, &["shrads", "shards"][..]),
        (format!("{listener}protocls = [\"mqtt\"]\n"), 3, &["protocls", "protocols"]),
        (format!("{listener}protocols = [\"mqttt\"]\n"), 3, &["mqttt", "mqtt"]),
        (format!("{listener}[limits]\npacket_byte_max = 1\n"), 4, &["packet_byte_max", "packet_bytes_max"]),
        ("shards = \"two\"\n".to_owned(), 1, &["shards"]),
        ("shards = 100000\n".to_owned(), 1, &["shards", "64"]),
        ("[[listener]]\nbind = \"127.0.0.1\"\n".to_owned(), 2, &["bind"]),
        ("[[listener]]\nbind = \"0.0.0.0:0\"\n".to_owned(), 2, &["allow_anonymous"]),
        (
            "[[listener]]\nbind = \"udp://127.0.0.1:0\"\nprotocols = [\"http\"]\n".to_owned(),
            3,
            &["udp", "http"],
        ),
        ("shards = \n".to_owned(), 1, &[]),
    ] {
        let (code, said) = check(&text);
        assert_ne!(code, 0, "{text}: {said}");
        assert!(said.contains(&format!("trefoil.toml:{line}:")), "{text}: {said}");
        for word in words {
            assert!(said.to_lowercase().contains(word), "{text}: {said}");
        }
    }
}

#[test]
fn all_mistakes_are_named_at_once_and_serve_refuses_them_too() {
    let text = "shrads = 2\n[limits]\npacket_byte_max = 1\n";
    let (code, said) = check(text);
    assert!(said.contains("shrads") && said.contains("packet_byte_max"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), text).unwrap();
    let outcome = trefoil(["serve", "--config", "bad.toml"]).folder(folder.path()).run();
    assert!(outcome.stdout.is_empty(), "{outcome}");
    let said = outcome.failure(code);
    assert!(said.contains("shrads") && said.contains("packet_byte_max"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let outcome = trefoil(["check", "nowhere.toml"]).run();
    assert!(!outcome.status.success() && outcome.stderr.contains("nowhere.toml"), "{outcome}");
}

#[test]
fn the_environment_overrides_the_file() {
    let hub =
        Hub::with_config_and_environment(trefoil_tests::CONFIG, &[("TREFOIL_LIMITS_JSON_BYTES_MAX", "1024")]);
    let mut line = lines::Connection::new(hub.tcp_port());
    let long = format!("{{\"ping\":\"{}\"}}", "x".repeat(2000));
    assert_eq!(line.ask(long)["error"]["code"], "too_large");
    drop(hub);
    let outcome = trefoil(["serve"]).env("TREFOIL_LIMITS_JSON_BYTES_MX", "1024").run();
    assert!(!outcome.status.success(), "{outcome}");
    assert!(outcome.stderr.contains("TREFOIL_LIMITS_JSON_BYTES_MAX"), "{outcome}");
}

#[test]
fn a_taken_port_is_an_error_that_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.toml"), format!("[[listener]]\nbind = \"{address}\"\n")).unwrap();
    let outcome = trefoil(["serve", "--config", "t.toml"]).folder(folder.path()).run();
    assert!(!outcome.status.success(), "{outcome}");
    assert!(outcome.stderr.contains(&address.to_string()), "{outcome}");
}

#[test]
fn a_second_hub_on_the_same_port_is_refused() {
    let hub = Hub::start();
    let address = format!("127.0.0.1:{}", hub.tcp_port());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.toml"), format!("[[listener]]\nbind = \"{address}\"\n")).unwrap();
    let outcome = trefoil(["serve", "--config", "t.toml"]).folder(folder.path()).run();
    assert!(!outcome.status.success() && outcome.stderr.contains(&address), "{outcome}");
    mqtt::Connection::new(hub.tcp_port(), 5, "still-served").ping();
}

#[test]
fn help_is_there_for_every_command() {
    for command in [&[][..], &["serve"], &["pub"], &["sub"], &["check"]] {
        let text = trefoil(command).args(["--help"]).run().success();
        assert!(text.lines().count() > 5, "{command:?}: {text}");
    }
    let outcome = trefoil(["srve"]).run();
    assert!(!outcome.status.success() && outcome.stderr.contains("serve"), "{outcome}");
}
