//! Smart transport: what vehicles on a bad network say and are told, seen by outsiders.

use serde_json::Value;
use trefoil_tests::{Example, Hub, Program, Running, wait_until};

/// Faults of every kind, and all of it over soon.
const BAD: &str = "--loss 15 --delay-ms 10 --jitter-ms 20 --kbit-per-s 500 --stall-every-s 2 --cut-every-s 1";
/// As fast as vehicles go here.
const FAST: &str = "--every-ms 10 --tunnel-every-s 0 --devices 0";

fn mosquitto(program: &str, hub: &Hub, arguments: &str) -> Program {
    Program::new(program).args(["-p", &hub.tcp_port().to_string()]).words(arguments)
}

fn ask(hub: &Hub, what: &str, data: &str) {
    let topic = format!("transport/centre/{what}");
    mosquitto("mosquitto_pub", hub, "-q 1").args(["-t", &topic, "-m", data]).run().success();
}

/// What the example has counted, from its last line.
fn summary(stdout: &str) -> Value {
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

fn count(summary: &Value, path: &str) -> u64 {
    let value = summary.pointer(path).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("no {path} in {summary}"))
}

/// Whoever hears what is said of a vehicle.
struct Listener(Running);

impl Listener {
    fn new(hub: &Hub, topic: &str) -> Self {
        Self(mosquitto("mosquitto_sub", hub, &format!("-q 2 -t {topic} -F %p")).spawn())
    }

    /// Waits until it is said for this time.
    fn hears(&self, what: &str, times: usize) {
        wait_until(&format!("\"{what}\" is said {times} times"), || {
            let text = String::from_utf8_lossy(&self.0.stdout()).into_owned();
            text.lines().filter(|line| *line == what).count() >= times
        });
    }
}

#[test]
fn a_bad_network_loses_nothing_and_doubles_no_order() {
    // So many orders over connections that break so often that some of them break in the middle of one: a client that
    // keeps nothing of its session carries out dozens of them twice.
    let bad = "--loss 10 --delay-ms 30 --jitter-ms 20 --kbit-per-s 500 --stall-every-s 5 --cut-every-s 0.7";
    let cities = [1, 2].map(|seed| {
        let hub = Hub::start();
        let arguments =
            format!("{bad} {FAST} --order-every-ms 4 --vehicles 6 --positions 300 --seed {seed} --json");
        (Example::start("smart-transport", &hub, &arguments), hub)
    });
    for (example, _hub) in cities {
        let counted = summary(&example.wait().success());
        assert_eq!(counted["sound"], true, "{counted}");
        assert_eq!((count(&counted, "/published"), count(&counted, "/received")), (1800, 1800), "{counted}");
        for nothing in ["/missing", "/out_of_order", "/skipped", "/orders/missing", "/orders/executed_twice"]
        {
            assert_eq!(count(&counted, nothing), 0, "{nothing} in {counted}");
        }
        assert_eq!(count(&counted, "/orders/given"), count(&counted, "/orders/confirmed"), "{counted}");
        // It was bad enough that something had to be mended.
        for something in ["/link/cuts", "/link/packets_lost", "/orders/given", "/repeated"] {
            assert!(count(&counted, something) > 0, "{something} in {counted}");
        }
        assert!(count(&counted, "/connections") > 6, "{counted}");
    }
}

#[test]
fn an_order_given_in_a_tunnel_is_carried_out_once() {
    let hub = Hub::start();
    let quiet =
        "--loss 0 --cut-every-s 0 --stall-every-s 0 --order-every-ms 0 --tunnel-every-s 0 --devices 0";
    let example =
        Example::start("smart-transport", &hub, &format!("{quiet} --vehicles 4 --every-ms 50 --json"));
    let contact = Listener::new(&hub, "transport/vehicles/tram-2/contact");
    let done = Listener::new(&hub, "transport/vehicles/tram-2/done");
    contact.hears("in contact", 1);
    // The hub gives it up after three of them; the rest is for the orders.
    ask(&hub, "tunnel", r#"{"vehicle":"tram-2","s":9}"#);
    contact.hears("out of contact", 1);
    for _ in 0..3 {
        ask(&hub, "order", r#"{"vehicle":"tram-2","do":"turn back"}"#);
    }
    contact.hears("in contact", 2);
    for id in 1..=3 {
        done.hears(&format!(r#"{{"id":{id},"times":1}}"#), 1);
    }
    let counted = summary(&example.stop().success());
    assert_eq!(counted["sound"], true, "{counted}");
    assert_eq!(count(&counted, "/orders/given_while_away"), 3, "{counted}");
    assert!(count(&counted, "/contact_losses") >= 1, "{counted}");
    assert_eq!(count(&counted, "/link/tunnels"), 1, "{counted}");
}

/// Somebody else who keeps a session gets everything as well, although away all the time.
#[test]
fn an_outsider_who_is_away_misses_nothing() {
    let hub = Hub::start();
    let session =
        "-i outsider -c -V mqttv5 -x 3600 -q 1 -t transport/vehicles/+/position -t the/end -F %t:%p";
    mosquitto("mosquitto_sub", &hub, &format!("{session} -E")).run().success();
    let arguments = format!("{BAD} {FAST} --vehicles 3 --positions 100 --json");
    let counted = summary(&Example::start("smart-transport", &hub, &arguments).wait().success());
    mosquitto("mosquitto_pub", &hub, "-q 1 -t the/end -m all").run().success();
    let outsider = mosquitto("mosquitto_sub", &hub, session).spawn();
    let heard = || String::from_utf8_lossy(&outsider.stdout()).into_owned();
    wait_until("the outsider has heard the end", || heard().contains("the/end:all\n"));
    let heard = heard();
    let mut last = std::collections::BTreeMap::<&str, u64>::new();
    let mut repeated = 0;
    for line in heard.lines().filter(|line| line.starts_with("transport/")) {
        let (topic, payload) = line.split_once(":{").unwrap();
        let position: Value = serde_json::from_str(&format!("{{{payload}")).unwrap();
        let (number, last) = (count(&position, "/n"), last.entry(topic).or_default());
        assert!(number <= *last + 1, "{number} of {topic} came after {last}");
        repeated += u64::from(number <= *last);
        *last = number.max(*last);
    }
    assert_eq!(last.into_values().collect::<Vec<_>>(), [100, 100, 100]);
    assert_eq!(repeated, count(&counted, "/repeated"), "both have heard the same");
}

/// Boards that sleep and counters of tickets, over datagrams that get lost, doubled and reordered, from addresses that
/// change.
#[test]
fn devices_at_stops_miss_nothing() {
    let hub = Hub::start_with_devices();
    let address = format!("--mqtt-sn 127.0.0.1:{}", hub.port_of("mqtt-sn"));
    let bad = "--loss 10 --delay-ms 10 --jitter-ms 20 --stall-every-s 0 --cut-every-s 4 --tunnel-every-s 0";
    let arguments = format!("{address} {bad} --vehicles 2 --devices 4 --every-ms 100 --json");
    let tickets = mosquitto("mosquitto_sub", &hub, "-q 1 -t transport/stops/+/ticket -F %t:%p").spawn();
    let notices = mosquitto("mosquitto_sub", &hub, "-q 1 -t transport/stops/+/board -F %t:%p").spawn();
    let example = Example::start("smart-transport", &hub, &arguments);
    for (heard, stop, what) in [
        (&tickets, "ferry", "ticket"),
        (&tickets, "airport", "ticket"),
        (&notices, "clover-square", "board"),
        (&notices, "station", "board"),
    ] {
        wait_until(&format!("a sixth {what} of {stop}"), || {
            String::from_utf8_lossy(&heard.stdout())
                .contains(&format!("transport/stops/{stop}/{what}:{{\"n\":6"))
        });
    }
    let counted = summary(&example.stop().success());
    assert_eq!(counted["sound"], true, "{counted}");
    assert_eq!((count(&counted, "/devices/boards"), count(&counted, "/devices/counters")), (2, 2));
    assert!(count(&counted, "/devices/published") >= 4 * 6, "{counted}");
    assert_eq!(count(&counted, "/devices/missing"), 0, "{counted}");
    for something in ["wakes", "datagrams_lost", "datagrams_doubled", "datagrams_overtaken"] {
        assert!(count(&counted, &format!("/devices/{something}")) > 0, "{something} in {counted}");
    }
}

#[test]
fn it_starts_its_own_hub() {
    let example = Example::start_alone("smart-transport", "--vehicles 2 --positions 3 --every-ms 20");
    let text = example.wait().success();
    assert!(text.contains("positions: 6 published, 6 received, 0 missing, 0 out of order"), "{text}");
    assert!(text.ends_with("nothing is missing\n"), "{text}");
}

/// The check is a real one: positions that somebody else invents do not count as the vehicle's.
#[test]
fn what_does_not_agree_is_told() {
    let hub = Hub::start();
    let example = Example::start(
        "smart-transport",
        &hub,
        "--vehicles 2 --devices 0 --every-ms 20 --order-every-ms 0 --json",
    );
    let heard = Listener::new(&hub, "transport/vehicles/bus-9/position");
    let invent = |vehicle: &str| {
        let topic = format!("transport/vehicles/{vehicle}/position");
        let payload = r#"{"n":1000000,"line":"T1","x":1,"y":1}"#;
        mosquitto("mosquitto_pub", &hub, "-q 1").args(["-t", &topic, "-m", payload]).run().success();
    };
    ["tram-1", "bus-9"].into_iter().for_each(invent);
    wait_until("it was said", || {
        invent("bus-9");
        !heard.0.stdout().is_empty()
    });
    let outcome = example.stop();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    let counted = summary(std::str::from_utf8(&outcome.stdout).unwrap());
    assert_eq!((&counted["sound"], count(&counted, "/out_of_order")), (&Value::Bool(false), 1), "{counted}");
}
