//! `trefoil pub` and `trefoil sub` over MQTT-SN.

use crate::mqtt_sn::{mosquitto_pub, mosquitto_sub, start};
use trefoil_tests::mqtt_sn::Device;
use trefoil_tests::{Hub, Program, Running, trefoil, wait_until};

fn command(hub: &Hub, name: &str, words: &str) -> Program {
    let url = format!("mqtt-sn://127.0.0.1:{}", hub.port_of("mqtt-sn"));
    trefoil([name, "--url", &url, "--topic-id", "300=fixed/three"]).words(words)
}

fn sub(hub: &Hub, words: &str) -> Running {
    let before = hub.stat("subscriptions");
    let running = command(hub, "sub", words).spawn();
    wait_until("the hub has the subscription", || hub.stat("subscriptions") > before);
    running
}

#[test]
fn every_qos_in_both_directions() {
    let (hub, _) = start();
    for qos in 0..3 {
        let from = sub(&hub, &format!("-n 40 --verbose -q {qos} home/#"));
        let to = mosquitto_sub(&hub, &format!("-C 20 -q {qos} -F %q:%t:%p -t home/#"));
        let lines: Vec<String> = (0..20).map(|n| format!("{qos}-{n}")).collect();
        let publish = command(&hub, "pub", &format!("-q {qos} home/out --lines"));
        publish.stdin(lines.join("\n") + "\n").run().success();
        let expected: Vec<String> = lines.iter().map(|line| format!("{qos}:home/out:{line}")).collect();
        assert_eq!(to.wait().success().lines().collect::<Vec<_>>(), expected);
        for line in &lines {
            mosquitto_pub(&hub, &format!("-q {qos} -t home/in -m {line}"));
        }
        let expected: Vec<String> = ["out", "in"]
            .iter()
            .flat_map(|topic| lines.iter().map(move |line| format!("home/{topic} {line}")))
            .collect();
        assert_eq!(from.wait().success().lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn predefined_topics_short_names_and_no_connection() {
    let (hub, _) = start();
    let fixed = sub(&hub, "-n 2 fixed/three");
    let short = sub(&hub, "-n 2 ab");
    command(&hub, "pub", "-q 1 fixed/three connected").run().success();
    command(&hub, "pub", "-q -1 fixed/three alone").run().success();
    command(&hub, "pub", "-q 2 ab connected").run().success();
    command(&hub, "pub", "--qos -1 ab --lines").stdin("alone\n").run().success();
    assert_eq!(fixed.wait().success(), "connected\nalone\n");
    assert_eq!(short.wait().success(), "connected\nalone\n");
    let refused = command(&hub, "pub", "-q -1 too/long x").run();
    assert!(refused.stderr.contains("needs a number that the gateway knows"), "{}", refused.stderr);
    assert!(!refused.status.success());
}

#[test]
fn retained_messages_and_what_the_gateway_refuses() {
    let (hub, _) = start();
    command(&hub, "pub", "-q 1 --retain kept/a stays").run().success();
    let got = command(&hub, "sub", "-n 1 --json kept/+").run().success();
    assert!(got.contains(r#""retain":true"#) && got.contains("stays"), "{got}");
    let refused = command(&hub, "pub", "-q 1 $SYS/x y").run();
    assert!(
        refused.stderr.contains("refused the topic $SYS/x: rejected: not supported"),
        "{}",
        refused.stderr
    );
    let refused = command(&hub, "sub", "a/#/b").run();
    assert!(!refused.status.success(), "{}", refused.stderr);
}

#[test]
fn a_session_that_is_kept() {
    let (hub, _) = start();
    let words = "--client-id keeper --session-expiry 60 -q 1 -n 1 kept/#";
    let first = sub(&hub, words);
    mosquitto_pub(&hub, "-q 1 -t kept/a -m one");
    assert_eq!(first.wait().success(), "one\n");
    mosquitto_pub(&hub, "-q 1 -t kept/a -m two");
    assert_eq!(command(&hub, "sub", words).run().success(), "two\n");
}

#[test]
fn what_mqtt_sn_has_not_is_refused() {
    let (hub, _) = start();
    let refused = command(&hub, "pub", "--user me a x").run();
    assert!(refused.stderr.contains("speaks MQTT-SN, which has no user name"), "{}", refused.stderr);
    let url = format!("mqtt://127.0.0.1:{}", hub.tcp_port());
    let refused = trefoil(["pub", "--url", &url, "-q", "-1", "ab", "x"]).run();
    assert!(refused.stderr.contains("only mqtt-sn:// does without"), "{}", refused.stderr);
}

#[test]
fn a_gateway_that_is_not_there() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt-sn://127.0.0.1:{}", socket.local_addr().unwrap().port());
    let silent = trefoil(["pub", "--url", &url, "--patience", "1", "a", "x"]).run();
    assert!(silent.stderr.contains("did not answer in time"), "{}", silent.stderr);
    drop(socket);
    let closed = trefoil(["pub", "--url", &url, "--patience", "5", "a", "x"]).run();
    assert!(closed.stderr.contains("nothing listens there"), "{}", closed.stderr);
}

#[test]
fn a_client_that_another_has_taken_the_place_of_ends() {
    let (hub, port) = start();
    let mut running = command(&hub, "sub", "--client-id twin --keep-alive 1 t").spawn();
    wait_until("the hub has the subscription", || hub.stat("subscriptions") == 1);
    // Its address is nobody's from now on, and its next ping is answered by a goodbye.
    Device::connected(port, "twin");
    running.close_stdin();
    let outcome = running.wait();
    assert!(outcome.stderr.contains("no connection with this client any more"), "{}", outcome.stderr);
}
