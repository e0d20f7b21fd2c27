//! mosquitto_pub, mosquitto_sub and mosquitto_rr.

use trefoil_tests::{Hub, Program, Running};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

fn mosquitto(program: &str, hub: &Hub, arguments: &str) -> Program {
    Program::new(program).args(["-h", "127.0.0.1", "-p", &hub.tcp_port().to_string()]).words(arguments)
}

fn publish(hub: &Hub, arguments: &str) -> Program {
    mosquitto("mosquitto_pub", hub, arguments)
}

/// Starts mosquitto_sub and returns when the hub has its subscriptions, which must be the only new ones.
fn subscribe(hub: &Hub, arguments: &str) -> Running {
    let before = hub.stat("subscriptions");
    let running = mosquitto("mosquitto_sub", hub, arguments).spawn();
    let wanted = before + arguments.matches("-t ").count() as u64;
    trefoil_tests::wait_until("the hub has the subscriptions", || hub.stat("subscriptions") >= wanted);
    running
}

#[test]
fn every_version_at_every_qos() {
    let hub = Hub::start();
    let lines: Vec<String> = (0..200).map(|number| format!("message {number} ☘")).collect();
    for version in VERSIONS {
        for qos in 0..3 {
            let subscriber =
                subscribe(&hub, &format!("-V {version} -q {qos} -t all/+/{version} -C 200 -F %q:%r:%t:%p"));
            let publisher = publish(&hub, &format!("-V {version} -q {qos} -t all/{qos}/{version} -l"));
            publisher.stdin(lines.join("\n") + "\n").run().success();
            let expected: Vec<String> =
                lines.iter().map(|line| format!("{qos}:0:all/{qos}/{version}:{line}")).collect();
            assert_eq!(subscriber.wait().success().lines().collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn the_lower_qos_of_both_ends_holds() {
    let hub = Hub::start();
    let subscriber = subscribe(&hub, "-V mqttv5 -q 1 -t lower -C 3 -F %q");
    for qos in 0..3 {
        publish(&hub, &format!("-V mqttv5 -q {qos} -t lower -m x")).run().success();
    }
    assert_eq!(subscriber.wait().success(), "0\n1\n1\n");
}

#[test]
fn bytes_pass_as_they_are() {
    let hub = Hub::start();
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let file = hub.folder().join("bytes");
    std::fs::write(&file, &bytes).unwrap();
    for version in VERSIONS {
        let subscriber = subscribe(&hub, &format!("-V {version} -q 2 -t bytes -C 1 -N"));
        publish(&hub, &format!("-V {version} -q 2 -t bytes -f")).args([&file]).run().success();
        let outcome = subscriber.wait();
        assert!(outcome.stdout == bytes, "{} bytes came", outcome.stdout.len());
    }
}

#[test]
fn retained_messages_wait_and_can_be_removed() {
    let hub = Hub::start();
    for (topic, text) in [("kept/a", "one"), ("kept/a", "two"), ("kept/b", "three")] {
        publish(&hub, &format!("-q 1 -r -t {topic} -m {text}")).run().success();
    }
    let found = mosquitto("mosquitto_sub", &hub, "-t kept/# -C 2 -F %r:%t:%p").run().success();
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, ["1:kept/a:two", "1:kept/b:three"]);
    publish(&hub, "-q 1 -r -n -t kept/a").run().success();
    // With --retained-only it ends at the first message that is not.
    let late = subscribe(&hub, "-t kept/# --retained-only -F %t:%p");
    publish(&hub, "-t kept/live -m live").run().success();
    assert_eq!(late.wait().success(), "kept/b:three\n");
}

#[test]
fn a_will_tells_of_a_client_that_was_killed() {
    let hub = Hub::start();
    let watch = subscribe(&hub, "-q 1 -t gone/# -C 1 -F %t:%p");
    let client =
        subscribe(&hub, "-i patient -t x --will-topic gone/patient --will-payload away --will-qos 1");
    client.signal("KILL");
    assert_eq!(watch.wait().success(), "gone/patient:away\n");
}

#[test]
fn a_session_waits_for_its_client() {
    let hub = Hub::start();
    for (version, more) in [("mqttv31", ""), ("mqttv311", ""), ("mqttv5", "-x 3600")] {
        let session = format!("-V {version} -c -i keeper-{version} -q 1 -t kept/{version} {more}");
        mosquitto("mosquitto_sub", &hub, &format!("{session} -E")).run().success();
        let publisher = publish(&hub, &format!("-V {version} -q 1 -t kept/{version} -l"));
        publisher.stdin("one\ntwo\nthree\n").run().success();
        let found = mosquitto("mosquitto_sub", &hub, &format!("{session} -C 3")).run().success();
        assert_eq!(found, "one\ntwo\nthree\n");
    }
}

#[test]
fn a_shared_subscription_divides_the_work() {
    let hub = Hub::start();
    let members: Vec<Running> = (0..2)
        .map(|_| {
            let member =
                mosquitto("mosquitto_sub", &hub, "-V mqttv5 -q 1 -t $share/group/work -t ready -F %p")
                    .spawn();
            // A shared subscription is not in the figures, so the member is asked whether it is there.
            trefoil_tests::wait_until("the member hears", || {
                publish(&hub, "-q 1 -t ready -m ready").run().success();
                !member.stdout().is_empty()
            });
            member
        })
        .collect();
    let work: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    publish(&hub, "-V mqttv5 -q 1 -t work -l").stdin(work.join("\n") + "\n").run().success();
    publish(&hub, "-q 1 -t ready -m end").run().success();
    let mut found = Vec::new();
    for member in &members {
        let text = || String::from_utf8(member.stdout()).unwrap();
        trefoil_tests::wait_until("the member has all", || text().ends_with("end\n"));
        let share: Vec<String> =
            text().lines().filter(|line| line.parse::<u32>().is_ok()).map(str::to_owned).collect();
        assert!(!share.is_empty(), "a member got nothing");
        found.extend(share);
    }
    found.sort();
    assert_eq!(found, work);
}

#[test]
fn properties_arrive() {
    let hub = Hub::start();
    let subscriber = subscribe(&hub, "-V mqttv5 -t p -C 1 -F %C|%R|%D|%E|%F|%P|%p");
    let properties = "-D publish content-type text/plain -D publish response-topic answer/here \
                      -D publish correlation-data abc -D publish message-expiry-interval 1000 \
                      -D publish payload-format-indicator 1 -D publish user-property leaf three";
    publish(&hub, &format!("-V mqttv5 -t p -m text {properties}")).run().success();
    let found = subscriber.wait().success();
    let fields: Vec<&str> = found.trim_end().split('|').collect();
    let expiry: u32 = fields[3].parse().unwrap();
    assert!((1..=1000).contains(&expiry), "{found}");
    assert_eq!(
        [&fields[..3], &fields[4..]].concat(),
        ["text/plain", "answer/here", "abc", "1", "leaf:three", "text"]
    );
}

#[test]
fn a_question_gets_its_answer() {
    let hub = Hub::start();
    let answerer = subscribe(&hub, "-V mqttv5 -t question -C 1 -F %R");
    let asker = mosquitto("mosquitto_rr", &hub, "-V mqttv5 -t question -e answer/to/me -m why").spawn();
    let response_topic = answerer.wait().success();
    assert_eq!(response_topic, "answer/to/me\n");
    publish(&hub, &format!("-V mqttv5 -t {} -m because", response_topic.trim())).run().success();
    assert_eq!(asker.wait().success(), "because\n");
}
