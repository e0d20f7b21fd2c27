//! MQTT-SN: topics by every kind of id, every QoS in both directions, and messages that cross to other kinds.

use trefoil_tests::lines::Connection as Lines;
use trefoil_tests::mqtt::Connection as Mqtt;
use trefoil_tests::mqtt_sn::{CLEAN, Device, connect_body, kind, publish_body};
use trefoil_tests::{Hub, Program, Running, wait_until};

/// Two shards, so that datagrams come in at one and belong to the other about half of the time.
pub(crate) const CONFIG: &str = r#"
shards = 2

[[listener]]
bind = "127.0.0.1:0"

[[listener]]
bind = "udp://127.0.0.1:0"
protocols = ["mqtt-sn"]

[mqtt_sn]
gateway_id = 7
resend_s = 1
resends_max = 2

[[mqtt_sn_topic]]
id = 300
topic = "fixed/three"

[[mqtt_sn_topic]]
id = 300
topic = "fixed/own"
client_id = "owner"
"#;

pub(crate) fn start() -> (Hub, u16) {
    let hub = Hub::with_config(CONFIG);
    let port = hub.port_of("mqtt-sn");
    (hub, port)
}

/// mosquitto_sub, subscribed.
pub(crate) fn mosquitto_sub(hub: &Hub, words: &str) -> Running {
    let before = hub.stat("subscriptions");
    let port = hub.tcp_port().to_string();
    let running = Program::new("mosquitto_sub").args(["-p", &port]).words(words).spawn();
    wait_until("the hub has the subscription", || hub.stat("subscriptions") > before);
    running
}

pub(crate) fn mosquitto_pub(hub: &Hub, words: &str) {
    let port = hub.tcp_port().to_string();
    Program::new("mosquitto_pub").args(["-p", &port]).words(words).run().success();
}

#[test]
fn a_gateway_that_is_looked_for_is_found() {
    let (_hub, port) = start();
    assert_eq!(Device::new(port).ask(kind::SEARCHGW, &[0]), (kind::GWINFO, vec![7]));
}

#[test]
fn a_gateway_advertises_itself() {
    let listener = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_read_timeout(Some(trefoil_tests::DEADLINE)).unwrap();
    let to = listener.local_addr().unwrap();
    let settings = format!("gateway_id = 7\nadvertise_s = 1\nadvertise_to = \"udp://{to}\"");
    let hub = Hub::with_config(&CONFIG.replace("gateway_id = 7", &settings));
    for _ in 0..2 {
        let mut datagram = [0; 16];
        let (count, from) = listener.recv_from(&mut datagram).unwrap();
        assert_eq!(datagram[..count], [5, kind::ADVERTISE, 7, 0, 1]);
        assert_eq!(from.port(), hub.port_of("mqtt-sn"));
    }
}

#[test]
fn messages_of_every_qos_reach_mqtt_and_json() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-q 2 -t home/# -C 3 -F %q:%t:%p");
    let mut lines = Lines::new(hub.tcp_port());
    lines.ask(r#"{"sub":"home/#","qos":1}"#);
    let device = Device::connected(port, "sensor");
    let topic = device.register("home/temp");
    device.publish(0, topic, 0, "20");
    device.publish(1, topic, 5, "21");
    device.expect(kind::PUBACK, &[&topic.to_be_bytes()[..], &[0, 5, 0]].concat());
    device.publish(2, topic, 6, "22");
    device.expect(kind::PUBREC, &[0, 6]);
    // The same again is not published again.
    device.publish(2, topic, 6, "22");
    device.expect(kind::PUBREC, &[0, 6]);
    device.send(kind::PUBREL, &[0, 6]);
    device.expect(kind::PUBCOMP, &[0, 6]);
    device.send(kind::PUBREL, &[0, 6]);
    device.expect(kind::PUBCOMP, &[0, 6]);
    assert_eq!(subscriber.wait().success(), "0:home/temp:20\n1:home/temp:21\n2:home/temp:22\n");
    for data in [20, 21, 22] {
        assert_eq!(lines.receive()["data"], data);
    }
}

#[test]
fn messages_of_every_qos_come_from_mqtt() {
    let (hub, port) = start();
    let device = Device::connected(port, "display");
    let id = device.subscribe("home/temp", 2);
    assert_ne!(id, 0);
    mosquitto_pub(&hub, "-t home/temp -m zero -q 0");
    device.expect(kind::PUBLISH, &publish_body(0, id.to_be_bytes(), 0, "zero"));
    mosquitto_pub(&hub, "-t home/temp -m one -q 1");
    assert_eq!(device.take(), (0x20, id, "one".into()));
    mosquitto_pub(&hub, "-t home/temp -m two -q 2");
    let (kind, body) = device.receive();
    assert_eq!((kind, body[0], &body[5..]), (kind::PUBLISH, 0x40, &b"two"[..]));
    let msg_id = [body[3], body[4]];
    device.send(kind::PUBREC, &msg_id);
    device.expect(kind::PUBREL, &msg_id);
    // A PUBREC that is repeated gets its answer again.
    device.send(kind::PUBREC, &msg_id);
    device.expect(kind::PUBREL, &msg_id);
    device.send(kind::PUBCOMP, &msg_id);
    device.expect_nothing();
}

#[test]
fn the_gateway_registers_what_a_wildcard_brings() {
    let (hub, port) = start();
    mosquitto_pub(&hub, "-t home/kept -m before -r -q 1");
    let device = Device::connected(port, "wall");
    assert_eq!(device.subscribe("home/+", 1), 0);
    let kept = device.learn("home/kept");
    assert_eq!(device.take(), (0x30, kept, "before".into()));
    mosquitto_pub(&hub, "-t home/a -m 1 -q 1");
    mosquitto_pub(&hub, "-t home/b -m 2 -q 0");
    let a = device.learn("home/a");
    assert_eq!(device.take(), (0x20, a, "1".into()));
    let b = device.learn("home/b");
    assert_eq!(device.take(), (0, b, "2".into()));
    mosquitto_pub(&hub, "-t home/a -m 3 -q 0");
    assert_eq!(device.take(), (0, a, "3".into()));
    // Known to both from now on.
    device.publish(0, b, 0, "4");
    assert_eq!(device.take(), (0, b, "4".into()));
    device.send(kind::UNSUBSCRIBE, &[&[0, 0, 3], &b"home/+"[..]].concat());
    device.expect(kind::UNSUBACK, &[0, 3]);
    mosquitto_pub(&hub, "-t home/a -m 5 -q 1");
    device.expect_nothing();
}

#[test]
fn predefined_ids_and_short_names() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t fixed/# -t ab -C 3 -F %t:%p");
    let device = Device::connected(port, "any");
    device.send(kind::PUBLISH, &publish_body(0x21, 300u16.to_be_bytes(), 1, "p"));
    device.expect(kind::PUBACK, &[1, 44, 0, 1, 0]);
    device.send(kind::PUBLISH, &publish_body(0x22, *b"ab", 2, "s"));
    device.expect(kind::PUBACK, &[b'a', b'b', 0, 2, 0]);
    let owner = Device::connected(port, "owner");
    owner.send(kind::PUBLISH, &publish_body(0x21, 300u16.to_be_bytes(), 1, "o"));
    owner.expect(kind::PUBACK, &[1, 44, 0, 1, 0]);
    assert_eq!(subscriber.wait().success(), "fixed/three:p\nab:s\nfixed/own:o\n");

    device.send(kind::SUBSCRIBE, &[0x21, 0, 1, 1, 44]);
    device.expect(kind::SUBACK, &[0x20, 1, 44, 0, 1, 0]);
    device.send(kind::SUBSCRIBE, &[0x22, 0, 2, b'a', b'b']);
    device.expect(kind::SUBACK, &[0x20, 0, 0, 0, 2, 0]);
    mosquitto_pub(&hub, "-t fixed/three -m x -q 1");
    assert_eq!(device.take(), (0x21, 300, "x".into()));
    mosquitto_pub(&hub, "-t ab -m y -q 1");
    assert_eq!(device.take(), (0x22, u16::from_be_bytes(*b"ab"), "y".into()));
    device.send(kind::UNSUBSCRIBE, &[0x01, 0, 3, 1, 44]);
    device.expect(kind::UNSUBACK, &[0, 3]);
    device.send(kind::UNSUBSCRIBE, &[0x02, 0, 4, b'a', b'b']);
    device.expect(kind::UNSUBACK, &[0, 4]);
    mosquitto_pub(&hub, "-t fixed/three -m x -q 1");
    mosquitto_pub(&hub, "-t ab -m y -q 1");
    device.expect_nothing();
}

#[test]
fn a_message_without_a_connection() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t fixed/# -t ab -C 2 -F %q:%t:%p");
    let device = Device::new(port);
    device.send(kind::PUBLISH, &publish_body(0x61, 300u16.to_be_bytes(), 0, "p"));
    device.send(kind::PUBLISH, &publish_body(0x62, *b"ab", 0, "s"));
    assert_eq!(subscriber.wait().success(), "0:fixed/three:p\n0:ab:s\n");
    assert_eq!(device.ask(kind::SEARCHGW, &[0]).0, kind::GWINFO, "nothing was answered before");
}

#[test]
fn what_has_no_id_or_cannot_be_is_refused() {
    let (hub, port) = start();
    let device = Device::connected(port, "wrong");
    let invalid = |msg_id: u8| vec![0, 9, 0, msg_id, 2];
    for (qos, msg_id) in [(0, 0), (1, 4), (2, 5)] {
        device.publish(qos, 9, msg_id, "x");
        device.expect(kind::PUBACK, &invalid(msg_id as u8));
    }
    device.send(kind::SUBSCRIBE, &[0x21, 0, 1, 0, 9]);
    device.expect(kind::SUBACK, &[0x20, 0, 0, 0, 1, 2]);
    device.send(kind::SUBSCRIBE, &[&[0x20, 0, 2], &b"a/#/b"[..]].concat());
    device.expect(kind::SUBACK, &[0x20, 0, 0, 0, 2, 3]);
    device.send(kind::REGISTER, &[&[0, 0, 0, 3], &b"a/+"[..]].concat());
    device.expect(kind::REGACK, &[0, 0, 0, 3, 3]);
    // Nobody publishes below $SYS/, so there is no id for it, unless it is for what comes from there.
    device.send(kind::REGISTER, &[&[0, 0, 0, 4], &b"$SYS/x"[..]].concat());
    device.expect(kind::REGACK, &[0, 0, 0, 4, 3]);
    let hubs = device.subscribe("$SYS/x", 0);
    device.send(kind::REGISTER, &[&[0, 0, 0, 5], &b"$SYS/x"[..]].concat());
    device.expect(kind::REGACK, &[0, 0, 0, 5, 3]);
    device.publish(1, hubs, 6, "x");
    device.expect(kind::PUBACK, &[&hubs.to_be_bytes()[..], &[0, 6, 3]].concat());
    // A short name that is no topic.
    for (flags, msg_id) in [(0x02, 0), (0x22, 7), (0x42, 8)] {
        device.send(kind::PUBLISH, &publish_body(flags, *b"a+", msg_id, "x"));
        device.expect(kind::PUBACK, &[b'a', b'+', 0, msg_id as u8, 3]);
    }
    device.send(kind::SUBSCRIBE, &[0x22, 0, 9, b'a', b'+']);
    device.expect(kind::SUBACK, &[0x20, 0, 0, 0, 9, 3]);
    // A client that has forgotten a topic is told again, and then gets the message.
    let id = device.subscribe("t", 1);
    mosquitto_pub(&hub, "-t t -m again -q 1");
    let (kind, body) = device.receive();
    assert_eq!(kind, kind::PUBLISH);
    device.send(kind::PUBACK, &[body[1], body[2], body[3], body[4], 2]);
    assert_eq!(device.learn("t"), id);
    assert_eq!(device.take().2, "again");
}

#[test]
fn bad_packets_are_counted_and_change_nothing() {
    let (hub, port) = start();
    let device = Device::connected(port, "good");
    let errors = || {
        let metrics = Program::new("curl")
            .args(["-sSf", &format!("http://127.0.0.1:{}/metrics", hub.http_port())])
            .run()
            .success();
        let line = metrics.lines().find(|line| line.starts_with("trefoil_protocol_errors_total")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    let bad: [&[u8]; 7] = [
        &[],
        &[1],
        &[9, 0x0c],
        &[2, 0x19],
        &[3, 0x18, 1],
        &[7, 0x0c, 0x60, 0, 1, 0, 0],
        b"\x07\x0a\0\0\0\x01\xff",
    ];
    for datagram in bad {
        device.offer(datagram);
    }
    device.expect_nothing();
    // An empty datagram is none that a socket gives to a program everywhere.
    wait_until("the bad packets are counted", || errors() >= bad.len() as u64 - 1);
    device.send(kind::CONNECT, &[4, 2, 0, 9, b'x']);
    device.expect(kind::CONNACK, &[3]);
    device.send(kind::CONNECT, &connect_body(CLEAN, 60, ""));
    device.expect(kind::CONNACK, &[3]);
    device.expect_nothing();
    // Packets of gateways are not answered, so that no two gateways can answer each other.
    let stranger = Device::new(port);
    for kind in [kind::DISCONNECT, kind::PINGRESP, kind::WILLTOPICREQ] {
        stranger.send(kind, &[]);
    }
    stranger.expect_gateway();
}

#[test]
fn who_has_not_connected_is_told_to() {
    let (_hub, port) = start();
    let device = Device::new(port);
    for (kind, body) in [
        (kind::PINGREQ, &b""[..]),
        (kind::PINGREQ, b"nobody"),
        (kind::PUBLISH, &[0x20, 0, 1, 0, 1, b'x']),
        (kind::SUBSCRIBE, &[0, 0, 1, b't']),
        (kind::REGISTER, &[0, 0, 0, 1, b't', b'/', b't']),
        (kind::PUBREL, &[0, 1]),
    ] {
        assert_eq!(device.ask(kind, body), (kind::DISCONNECT, vec![]), "{kind:#04x}");
    }
    // A goodbye is answered by a goodbye, and then nobody is there any more.
    device.connect(CLEAN, 60, "short");
    assert_eq!(device.ask(kind::DISCONNECT, &[]), (kind::DISCONNECT, vec![]));
    assert_eq!(device.ask(kind::PINGREQ, &[]), (kind::DISCONNECT, vec![]));
}

#[test]
fn a_session_is_kept_or_forgotten_as_the_client_asks() {
    let (hub, port) = start();
    let device = Device::new(port);
    device.connect(0, 60, "keeper");
    device.subscribe("kept/+", 1);
    device.ask(kind::DISCONNECT, &[]);
    mosquitto_pub(&hub, "-t kept/a -m away -q 1");
    device.connect(0, 60, "keeper");
    let id = device.learn("kept/a");
    assert_eq!(device.take(), (0x20, id, "away".into()));
    // What it was told is told again to one that has connected again.
    device.connect(0, 60, "keeper");
    mosquitto_pub(&hub, "-t kept/a -m again -q 1");
    assert_eq!(device.learn("kept/a"), id);
    assert_eq!(device.take(), (0x20, id, "again".into()));
    device.connect(CLEAN, 60, "keeper");
    mosquitto_pub(&hub, "-t kept/a -m gone -q 1");
    device.expect_nothing();
}

#[test]
fn the_client_on_the_page_about_it_works() {
    let (hub, port) = start();
    let page = include_str!("../../../docs/mqtt-sn.md");
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let subscriber = mosquitto_sub(&hub, "-t home/# -C 1 -F %q:%t:%p -q 1");
    let program = program.replace("1884", &port.to_string());
    Program::new("python3").args(["-c", &program]).run().success();
    assert_eq!(subscriber.wait().success(), "1:home/window:open\n");
}

#[test]
fn a_long_message_has_a_long_length() {
    let (hub, port) = start();
    let device = Device::connected(port, "long");
    let id = device.subscribe("long", 0);
    let payload = "x".repeat(1000);
    mosquitto_pub(&hub, &format!("-t long -m {payload}"));
    device.expect(kind::PUBLISH, &publish_body(0, id.to_be_bytes(), 0, &payload));
    device.publish(0, id, 0, &payload);
    device.expect(kind::PUBLISH, &publish_body(0, id.to_be_bytes(), 0, &payload));
}

#[test]
fn clients_over_mqtt_and_mqtt_sn_take_each_others_place() {
    let (hub, port) = start();
    // Enough names that some belong to the shard where the datagrams come in, and some to the other.
    for (number, version) in [4, 5].into_iter().cycle().enumerate().take(8) {
        let name = format!("same-{number}");
        let device = Device::connected(port, &name);
        device.subscribe("t", 1);
        let mut other = Mqtt::new(hub.tcp_port(), version, &name);
        // It hears so at once, and at whatever it says.
        device.expect(kind::DISCONNECT, &[]);
        assert_eq!(device.ask(kind::PINGREQ, &[]), (kind::DISCONNECT, vec![]));
        device.connect(CLEAN, 60, &name);
        match version {
            5 => other.expect_end(0x8E),
            _ => assert!(other.try_receive().is_none(), "it is closed"),
        }
        device.expect_nothing();
    }
}

#[test]
fn who_sleeps_hears_of_it_when_it_wakes() {
    let (hub, port) = start();
    let device = Device::connected(port, "sleeper");
    assert_eq!(device.ask(kind::DISCONNECT, &[0, 60]), (kind::DISCONNECT, vec![]));
    Mqtt::new(hub.tcp_port(), 5, "sleeper").ping();
    device.expect_gateway();
    assert_eq!(device.ask(kind::PINGREQ, b"sleeper"), (kind::DISCONNECT, vec![]));
}
