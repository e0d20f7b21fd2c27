//! The smart home, seen and switched by outsiders: mosquitto_pub and mosquitto_sub.

use std::collections::BTreeMap;
use trefoil_tests::{Example, Hub, Program, Running, wait_until};

/// Lamps, blinds and heatings; the other devices are sensors.
const FOLLOWERS: usize = 12;
const DEVICES: usize = 18;

fn mosquitto(program: &str, port: u16, arguments: &str) -> Program {
    Program::new(program).args(["-p", &port.to_string(), "-q", "1"]).words(arguments)
}

/// Somebody who hears everything that happens at home.
struct Listener(Running);

impl Listener {
    fn new(port: u16) -> Self {
        Self(mosquitto("mosquitto_sub", port, "-v -t home/#").spawn())
    }

    /// What was heard last on each topic, by what follows `home/`.
    fn topics(&self) -> BTreeMap<String, String> {
        let text = String::from_utf8_lossy(&self.0.stdout()).into_owned();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let message = |line: &str| {
            let (topic, payload) = line.split_once(' ')?;
            Some((topic.strip_prefix("home/")?.to_owned(), payload.to_owned()))
        };
        whole.lines().filter_map(message).collect()
    }

    fn hears(&self, what: &str, condition: impl Fn(&BTreeMap<String, String>) -> bool) {
        wait_until(what, || condition(&self.topics()));
    }

    /// How many devices have this status.
    fn hears_status(&self, status: &str, devices: usize) {
        self.hears(&format!("{devices} devices are {status}"), |topics| {
            let of_device =
                |(topic, payload): &(&String, &String)| topic.ends_with("/status") && *payload == status;
            topics.iter().filter(of_device).count() == devices
        });
    }
}

/// A home where nothing happens by chance, everybody there.
fn home(hub: &Hub) -> (Example, Listener) {
    let example = Example::start("smart-home", hub, "--still");
    let listener = Listener::new(hub.tcp_port());
    listener.hears_status("online", DEVICES);
    (example, listener)
}

#[test]
fn a_scene_from_outside_is_confirmed_by_every_device() {
    let hub = Hub::start();
    let (_home, listener) = home(&hub);
    for scene in ["night", "morning", "movie", "off"] {
        mosquitto("mosquitto_pub", hub.tcp_port(), &format!("-r -t home/scene -m {scene}")).run().success();
        let confirmed = format!("\"scene\":\"{scene}\"");
        listener.hears(&format!("all have confirmed {scene}"), |topics| {
            topics.values().filter(|payload| payload.contains(&confirmed)).count() == FOLLOWERS
        });
        let topics = listener.topics();
        let lamp = match scene {
            "movie" => r#"{"kind":"lamp","on":true,"brightness":15,"#,
            _ => r#"{"kind":"lamp","on":false,"#,
        };
        assert!(topics["living-room/floor-lamp/state"].starts_with(lamp), "{topics:?}");
        if scene == "night" {
            assert!(topics["bedroom/blind/state"].contains(r#""position":0,"#), "{topics:?}");
        }
    }
}

#[test]
fn a_dead_device_is_known_at_once_and_to_those_who_come_late() {
    let hub = Hub::start();
    let (_home, listener) = home(&hub);
    let publish = |arguments: &str| mosquitto("mosquitto_pub", hub.tcp_port(), arguments).run().success();
    publish("-t home/kitchen/blind/power -m off");
    listener.hears("the will", |topics| topics["kitchen/blind/status"] == "offline");
    publish("-r -t home/scene -m night");
    let confirmed = |topics: &BTreeMap<String, String>| {
        topics.values().filter(|payload| payload.contains(r#""scene":"night""#)).count()
    };
    listener.hears("all others have confirmed", |topics| confirmed(topics) == FOLLOWERS - 1);

    // Who comes late gets everything that is retained, and nothing more is said for it.
    let late = Listener::new(hub.tcp_port());
    late.hears("everything", |topics| topics.len() == 2 * DEVICES + 1);
    let topics = late.topics();
    assert_eq!(topics["kitchen/blind/status"], "offline");
    assert_eq!(topics["kitchen/ceiling-lamp/status"], "online");
    assert_eq!(topics["scene"], "night");
    assert_eq!(confirmed(&topics), FOLLOWERS - 1);

    // It comes back, and learns of the scene that it has missed.
    publish("-t home/kitchen/blind/power -m on");
    listener.hears_status("online", DEVICES);
    listener.hears("the blind has confirmed too", |topics| confirmed(topics) == FOLLOWERS);
}

#[test]
fn commands_are_confirmed_and_nonsense_is_refused() {
    let hub = Hub::start();
    let (home, listener) = home(&hub);
    let set = |payload: &str| {
        let publish = mosquitto("mosquitto_pub", hub.tcp_port(), "-t home/hall/ceiling-lamp/set -m");
        publish.args([payload]).run().success();
    };
    set(r#"{"brightness":35}"#);
    let lit = r#"{"kind":"lamp","on":true,"brightness":35}"#;
    listener.hears("the lamp is on", |topics| topics["hall/ceiling-lamp/state"] == lit);
    set(r#"{"brightness":200}"#);
    set("disco");
    wait_until("the lamp has complained twice", || {
        home.stderr().matches("home/hall/ceiling-lamp/set: ").count() == 2
    });
    assert_eq!(listener.topics()["hall/ceiling-lamp/state"], lit);
    home.stop().success();
}

#[test]
fn a_home_that_dies_as_a_whole_leaves_all_its_wills() {
    let hub = Hub::start();
    let (home, listener) = home(&hub);
    // At its end the program is killed.
    drop(home);
    listener.hears_status("offline", DEVICES);
}

#[test]
fn one_command_is_enough() {
    let mut home = Example::start_alone("smart-home", "--still");
    let address = home.after("listening on tcp://127.0.0.1:");
    let port = address.split_once(' ').unwrap().0.parse().unwrap();
    let listener = Listener::new(port);
    listener.hears_status("online", DEVICES);
    home.stop().success();
}
