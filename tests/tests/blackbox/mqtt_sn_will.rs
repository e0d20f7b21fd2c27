//! MQTT-SN wills: asked for when a client connects, changed on the way, and kept with its session.

use crate::mqtt_sn::{mosquitto_sub, start};
use trefoil_tests::Program;
use trefoil_tests::mqtt_sn::{CLEAN, Device, WILL, connect_body, kind};

fn connect_with_will(device: &Device, flags: u8, client_id: &str, topic: &[u8], payload: &[u8]) {
    device.send(kind::CONNECT, &connect_body(flags | WILL, 1, client_id));
    device.expect(kind::WILLTOPICREQ, &[]);
    device.send(kind::WILLTOPIC, topic);
    device.expect(kind::WILLMSGREQ, &[]);
    device.send(kind::WILLMSG, payload);
    device.expect(kind::CONNACK, &[0]);
}

#[test]
fn a_will_is_published_with_its_qos_and_retained() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t w/# -q 2 -C 1 -F %q:%t:%p");
    connect_with_will(&Device::new(port), CLEAN, "gone", b"\x30w/a", b"dead");
    assert_eq!(subscriber.wait().success(), "1:w/a:dead\n");
    let port = hub.tcp_port().to_string();
    let late = Program::new("mosquitto_sub").args(["-p", &port]).words("-t w/# -C 1 -F %r:%p").run();
    assert_eq!(late.success(), "1:dead\n");
}

#[test]
fn a_goodbye_leaves_the_will_unpublished() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t w/# -C 1");
    let device = Device::new(port);
    connect_with_will(&device, CLEAN, "polite", b"\0w/a", b"never");
    device.ask(kind::DISCONNECT, &[]);
    // Later in any case than the will would have come.
    connect_with_will(&device, CLEAN, "rude", b"\0w/a", b"rude");
    assert_eq!(subscriber.wait().success(), "rude\n");
}

#[test]
fn a_will_can_be_changed_and_taken_back() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t w/# -C 2 -F %t:%p");
    let device = Device::new(port);
    connect_with_will(&device, CLEAN, "changing", b"\0w/a", b"one");
    assert_eq!(device.ask(kind::WILLTOPICUPD, b"\0w/b"), (kind::WILLTOPICRESP, vec![0]));
    assert_eq!(device.ask(kind::WILLMSGUPD, b"two"), (kind::WILLMSGRESP, vec![0]));
    device.expect(kind::DISCONNECT, &[]);
    // None at all: nothing comes when this one is lost, only what follows.
    connect_with_will(&device, CLEAN, "changing", b"\0w/a", b"three");
    assert_eq!(device.ask(kind::WILLTOPICUPD, b""), (kind::WILLTOPICRESP, vec![0]));
    assert_eq!(device.ask(kind::WILLMSGUPD, b"four"), (kind::WILLMSGRESP, vec![3]), "there is no will");
    device.expect(kind::DISCONNECT, &[]);
    connect_with_will(&device, CLEAN, "changing", b"\0w/c", b"five");
    assert_eq!(subscriber.wait().success(), "w/b:two\nw/c:five\n");
}

#[test]
fn an_empty_will_topic_is_no_will() {
    let (_hub, port) = start();
    let device = Device::new(port);
    device.send(kind::CONNECT, &connect_body(CLEAN | WILL, 60, "undecided"));
    device.expect(kind::WILLTOPICREQ, &[]);
    device.send(kind::WILLTOPIC, &[]);
    device.expect(kind::CONNACK, &[0]);
    assert_eq!(device.ask(kind::WILLMSGUPD, b"x"), (kind::WILLMSGRESP, vec![3]));
}

#[test]
fn a_will_stays_with_a_session_that_is_kept() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t w/# -C 2");
    let device = Device::new(port);
    connect_with_will(&device, 0, "heir", b"\0w/a", b"kept");
    device.ask(kind::DISCONNECT, &[]);
    // Without a word of the will: the old one holds, each time that it is lost.
    for _ in 0..2 {
        device.connect(0, 1, "heir");
        device.expect(kind::DISCONNECT, &[]);
    }
    assert_eq!(subscriber.wait().success(), "kept\nkept\n");
    device.connect(CLEAN, 60, "heir");
    assert_eq!(device.ask(kind::WILLMSGUPD, b"x"), (kind::WILLMSGRESP, vec![3]), "a clean session has none");
}

#[test]
fn connecting_again_publishes_no_will() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t w/# -C 1");
    let device = Device::new(port);
    connect_with_will(&device, CLEAN, "twice", b"\0w/a", b"first");
    // As a client does whose CONNACK got lost, or that has slept.
    connect_with_will(&device, CLEAN, "twice", b"\0w/a", b"second");
    assert_eq!(subscriber.wait().success(), "second\n");
}

#[test]
fn a_will_that_cannot_be_is_refused() {
    let (_hub, port) = start();
    for (topic, payload) in [(&b"\0w/#"[..], None), (b"\0$SYS/x", None), (b"\0w", Some(vec![b'x'; 5000]))] {
        let device = Device::new(port);
        device.send(kind::CONNECT, &connect_body(CLEAN | WILL, 60, "refused"));
        device.expect(kind::WILLTOPICREQ, &[]);
        device.send(kind::WILLTOPIC, topic);
        if let Some(payload) = payload {
            device.expect(kind::WILLMSGREQ, &[]);
            device.send(kind::WILLMSG, &payload);
        }
        device.expect(kind::CONNACK, &[3]);
        assert_eq!(device.ask(kind::PINGREQ, &[]), (kind::DISCONNECT, vec![]));
    }
}
