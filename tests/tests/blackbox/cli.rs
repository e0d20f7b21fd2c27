//! `trefoil pub` and `trefoil sub` over every kind of address: payloads, pipes and exit codes.

use serde_json::{Value, json};
use trefoil_tests::{Hub, Program, Running, binary, trefoil, wait_until};

/// How each listener is reached.
fn urls(hub: &Hub) -> [String; 5] {
    let (tcp, http, udp) = (hub.tcp_port(), hub.http_port(), hub.udp_port());
    [
        format!("mqtt://127.0.0.1:{tcp}"),
        format!("ws://127.0.0.1:{http}/mqtt"),
        format!("ws://127.0.0.1:{http}/ws"),
        format!("tcp://127.0.0.1:{tcp}"),
        format!("udp://127.0.0.1:{udp}"),
    ]
}

fn publish(url: &str, words: &str) -> Program {
    trefoil(["pub", "--url", url]).words(words)
}

/// Starts `trefoil sub` and returns when the hub has its one subscription.
fn subscribe(hub: &Hub, url: &str, words: &str) -> Running {
    let before = hub.stat("subscriptions");
    let running = trefoil(["sub", "--url", url]).words(words).spawn();
    wait_until("the hub has the subscription", || hub.stat("subscriptions") > before);
    running
}

#[test]
fn lines_pass_from_every_address_to_every_address() {
    let hub = Hub::start();
    let lines: Vec<String> = (0..50).map(|number| format!("line {number} ☘ \"quoted\" {{}}")).collect();
    let text = lines.join("\n") + "\n";
    for (to, target) in urls(&hub).iter().enumerate() {
        for (from, source) in urls(&hub).iter().enumerate() {
            let topic = format!("cli/{from}/{to}");
            let reader = subscribe(&hub, target, &format!("-q 1 -n 50 {topic}"));
            publish(source, &format!("-q 1 {topic} -")).stdin(text.clone()).run().success();
            assert_eq!(reader.wait().success(), text, "{source} to {target}");
        }
    }
}

#[test]
fn both_versions_of_mqtt() {
    let hub = Hub::start();
    let url = &urls(&hub)[0];
    for version in ["3.1.1", "5"] {
        for qos in 0..3 {
            let reader = subscribe(&hub, url, &format!("--mqtt {version} -q {qos} -n 1 -v versions/+"));
            publish(url, &format!("--mqtt {version} -q {qos} versions/{qos} payload")).run().success();
            assert_eq!(reader.wait().success(), format!("versions/{qos} payload\n"));
        }
    }
}

#[test]
fn a_file_passes_as_it_is() {
    let hub = Hub::start();
    let bytes: Vec<u8> = (0..=255).cycle().take(30_000).collect();
    let file = hub.folder().join("bytes");
    std::fs::write(&file, &bytes).unwrap();
    for url in urls(&hub) {
        let reader = subscribe(&hub, &url, "--raw -q 1 -n 1 file");
        publish(&url, "-q 1 --file").args([&file]).args(["file"]).run().success();
        let outcome = reader.wait();
        assert!(outcome.stdout == bytes, "{url}: {} bytes came", outcome.stdout.len());
    }
}

#[test]
fn messages_as_json_lines() {
    let hub = Hub::start();
    for url in urls(&hub) {
        let reader = subscribe(&hub, &url, "--json -n 3 j/+");
        for (topic, payload) in [("j/a", "text"), ("j/b", "{\"n\":[1,2.50]}"), ("j/c", "12")] {
            publish(&urls(&hub)[0], topic).args([payload]).run().success();
        }
        let found: Vec<Value> =
            reader.wait().success().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let shown: Vec<_> = found.iter().map(|message| (&message["topic"], &message["data"])).collect();
        let expected = [
            (json!("j/a"), json!("text")),
            (json!("j/b"), json!({"n": [1, 2.5]})),
            (json!("j/c"), json!(12)),
        ];
        let expected: Vec<_> = expected.iter().map(|(topic, data)| (topic, data)).collect();
        assert_eq!(shown, expected, "{url}");
    }
}

#[test]
fn a_retained_message_waits_and_an_empty_one_clears_it() {
    let hub = Hub::start();
    for url in urls(&hub) {
        publish(&url, "-q 1 -r kept state").run().success();
        assert_eq!(trefoil(["sub", "--url", &url]).words("-n 1 kept").run().success(), "state\n", "{url}");
        publish(&url, "-q 1 -r kept").args([""]).run().success();
        assert_eq!(hub.stat("retained"), 0, "{url}");
    }
}

#[test]
fn a_session_waits_for_its_client() {
    let hub = Hub::start();
    let url = &urls(&hub)[0];
    let session = "--client-id keeper --session-expiry 3600 -q 1";
    let reader = subscribe(&hub, url, &format!("{session} kept/+"));
    reader.signal("INT");
    reader.wait();
    publish(url, "-q 1 kept/x -").stdin("one\ntwo\n").run().success();
    let found = trefoil(["sub", "--url", url]).words(&format!("{session} -n 2 kept/+")).run().success();
    assert_eq!(found, "one\ntwo\n");
}

#[test]
fn a_pipe_that_ends_ends_it() {
    let hub = Hub::start();
    let script = "\"$0\" sub --url \"$1\" t | head -n 1";
    let before = hub.stat("subscriptions");
    let reader = Program::new("sh").args(["-c", script]).args([&binary()]).args([&urls(&hub)[0]]).spawn();
    wait_until("the hub has the subscription", || hub.stat("subscriptions") > before);
    // The second line finds nobody who reads it.
    let mut publisher = publish(&urls(&hub)[0], "-q 1 t -").open_stdin().spawn();
    publisher.write("first\n");
    reader.lines(1);
    publisher.write("second\n");
    let outcome = reader.wait();
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.success(), "first\n");
}

#[test]
fn exit_codes_mean_something() {
    let hub = Hub::start();
    let nobody = "mqtt://127.0.0.1:1";
    for url in urls(&hub) {
        let refused = trefoil(["sub", "--url", &url, "a/#/b"]).run();
        assert!(
            matches!(refused.status.code(), Some(2 | 4)) && refused.stderr.contains("a/#/b"),
            "{url}: {refused}"
        );
        trefoil(["sub", "--url", &url, "-W", "1", "silence"]).run().failure(5);
    }
    let said = publish(nobody, "t x").run().failure(3);
    assert!(said.contains("127.0.0.1:1"), "{said}");
    let said = trefoil(["sub", "--url", nobody, "t"]).run().failure(3);
    assert!(said.contains("127.0.0.1:1"), "{said}");
    for words in ["pub", "sub", "pub --qos 3 t x", "sub --url gopher://x t", "pub --url 127.0.0.1:1883 t x"] {
        let outcome = trefoil(words.split(' ')).run();
        assert_eq!(outcome.status.code(), Some(2), "{words}: {outcome}");
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{words}: {outcome}");
    }
    let said = publish(nobody, "--file /nowhere/at/all t").run().failure(1);
    assert!(said.contains("/nowhere/at/all"), "{said}");
}

#[test]
fn the_end_of_the_hub_is_said() {
    for number in 0..4 {
        let mut hub = Hub::start();
        let url = urls(&hub)[number].clone();
        let reader = subscribe(&hub, &url, "t");
        hub.signal("TERM");
        let said = reader.wait().failure(3);
        assert!(!said.is_empty(), "{url}");
        assert_eq!(hub.wait().code(), Some(0));
    }
}

#[test]
fn both_signals_end_a_subscription_without_fuss() {
    let hub = Hub::start();
    for signal in ["INT", "TERM"] {
        for url in urls(&hub) {
            let reader = subscribe(&hub, &url, "t");
            reader.signal(signal);
            let outcome = reader.wait();
            assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), ""), "{url}: {outcome}");
        }
    }
}

#[test]
fn a_subscriber_says_what_goes_if_it_is_too_slow() {
    let limits = "\n[limits]\nsession_queue_messages_max = 3\n";
    let hub = Hub::with_config(&format!("{}{limits}", trefoil_tests::CONFIG));
    let url = &urls(&hub)[0];
    for (policy, kept) in [
        ("", "0\n1\n2\n"),
        ("--slow-reader drop_oldest", "4\n5\nend\n"),
        ("--slow-reader latest_per_topic", "5\nend\n"),
    ] {
        let session = format!("-q 1 --client-id reader --session-expiry 100 {policy}");
        let reader = subscribe(&hub, url, &format!("{session} flood flood/end"));
        reader.signal("INT");
        reader.wait().success();
        for number in 0..6 {
            publish(url, &format!("-q 1 flood {number}")).run().success();
        }
        publish(url, "-q 1 flood/end end").run().success();
        let count = kept.lines().count();
        let got =
            trefoil(["sub", "--url", url]).words(&format!("{session} -n {count} flood flood/end")).run();
        assert_eq!(got.success(), kept, "{policy}");
        let forget = trefoil(["sub", "--url", url]).words("--client-id reader -W 0.001 none").run();
        forget.failure(5);
    }
    let old = trefoil(["sub", "--url", url]).words("--mqtt 3.1.1 --slow-reader drop_oldest t").run();
    assert!(old.failure(2).contains("only MQTT 5 and JSON can say"));
    let bad = trefoil(["sub", "--url", url]).words("--slow-reader drop_all t").run();
    assert!(bad.failure(2).contains("latest_per_topic"));
}

#[test]
fn a_request_is_answered_over_every_protocol_that_has_them() {
    let hub = Hub::start();
    let mut service = trefoil_tests::lines::Connection::new(hub.tcp_port());
    service.ask(r#"{"sub":"svc","id":1}"#);
    let serving = std::thread::spawn(move || {
        for _ in 0..5 {
            let request = service.receive();
            let answer = serde_json::json!({
                "pub": request["response_topic"], "correlation_base64": request["correlation_base64"],
                "data": format!("{} to you", request["data"].as_str().unwrap()),
            });
            service.send(answer.to_string());
        }
        service
    });
    let urls = [
        format!("mqtt://127.0.0.1:{}", hub.tcp_port()),
        format!("ws://127.0.0.1:{}/mqtt", hub.http_port()),
        format!("ws://127.0.0.1:{}/ws", hub.http_port()),
        format!("tcp://127.0.0.1:{}", hub.tcp_port()),
        format!("udp://127.0.0.1:{}", hub.udp_port()),
    ];
    for url in &urls {
        let found = trefoil(["req", "--url", url, "svc", "good morning", "-W", "60"]).run().success();
        assert_eq!(found, "good morning to you\n", "{url}");
        let nobody = trefoil(["req", "--url", url, "nobody", "-W", "60"]).run().failure(4);
        assert!(nobody.contains("nobody is subscribed to this topic"), "{nobody}");
    }
    let mut service = serving.join().unwrap();
    for url in &urls {
        trefoil(["req", "--url", url, "svc", "x", "--timeout", "0.2"]).run().failure(5);
        assert_eq!(service.receive()["data"], "x");
    }
    trefoil(["req", "--url", &urls[0], "--mqtt", "3.1.1", "svc"]).run().failure(2);
    trefoil(["req", "--url", &urls[0], "svc", "--timeout", "301"]).run().failure(2);
}
