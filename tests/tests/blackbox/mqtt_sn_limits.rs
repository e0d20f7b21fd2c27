//! MQTT-SN: every queue and table of the gateway has its bound.

use crate::mqtt_sn::{CONFIG, mosquitto_pub};
use trefoil_tests::mqtt_sn::{CLEAN, Device, connect_body, kind};
use trefoil_tests::{Hub, wait_until};

#[test]
fn there_are_no_more_topics_sessions_and_clients_than_allowed() {
    let limits = "resend_s = 1\ntopics_max = 2\nbuffer_messages_max = 3";
    let config = CONFIG.replace("resend_s = 1", limits) + "\n[limits]\nsubscriptions_per_session_max = 3\n";
    let config =
        config.replace("protocols = [\"mqtt-sn\"]", "protocols = [\"mqtt-sn\"]\nconnections_max = 2");
    let hub = Hub::with_config(&config);
    let port = hub.port_of("mqtt-sn");
    let device = Device::connected(port, "first");
    device.register("a/1");
    device.register("a/2");
    assert_eq!(device.register("a/1"), 1, "known already");
    device.send(kind::REGISTER, b"\0\0\0\x07a/3");
    device.expect(kind::REGACK, &[0, 0, 0, 7, 1]);
    device.send(kind::SUBSCRIBE, b"\x20\0\x07a/3");
    device.expect(kind::SUBACK, &[0x20, 0, 0, 0, 7, 1]);
    // Neither can the gateway give a third one an id: the message is dropped and counted.
    assert_eq!(device.subscribe("a/#", 1), 0);
    mosquitto_pub(&hub, "-t a/3 -m x -q 1");
    mosquitto_pub(&hub, "-t a/1 -m y -q 1");
    assert_eq!(device.take().2, "y");
    assert_eq!(hub.stat("dropped"), 1);
    device.subscribe("b/#", 0);
    device.subscribe("c/#", 0);
    device.send(kind::SUBSCRIBE, b"\0\0\x07d/#");
    device.expect(kind::SUBACK, &[0, 0, 0, 0, 7, 1]);

    // Two clients are as many as the listener takes.
    let second = Device::connected(port, "second");
    let third = Device::new(port);
    third.send(kind::CONNECT, &connect_body(CLEAN, 60, "third"));
    third.expect(kind::CONNACK, &[1]);
    second.ask(kind::DISCONNECT, &[]);
    third.connect(CLEAN, 60, "third");

    // Of what comes at QoS 0 while a client sleeps, three messages are kept.
    device.ask(kind::DISCONNECT, &[0, 30]);
    for n in 0..5 {
        mosquitto_pub(&hub, &format!("-t a/1 -m {n} -q 0"));
    }
    wait_until("the others are counted", || hub.stat("dropped") == 3);
    device.send(kind::PINGREQ, b"first");
    for n in 0..3 {
        assert_eq!(device.take().2, n.to_string());
    }
    device.expect(kind::PINGRESP, &[]);
}

#[test]
fn a_session_too_many_is_refused() {
    let hub = Hub::with_config(&(CONFIG.to_owned() + "\n[limits]\nsessions_max = 1\n"));
    let port = hub.port_of("mqtt-sn");
    let device = Device::connected(port, "one");
    wait_until("the session is counted", || hub.stat("sessions") == 1);
    let other = Device::new(port);
    other.send(kind::CONNECT, &connect_body(CLEAN, 60, "two"));
    other.expect(kind::CONNACK, &[1]);
    device.expect_nothing();
    // It leaves nothing behind.
    assert_eq!(other.ask(kind::PINGREQ, &[]), (kind::DISCONNECT, vec![]));
}
