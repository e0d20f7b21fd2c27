//! MQTT-SN: what is not answered is sent again, and who never answers is lost.

use crate::mqtt_sn::{mosquitto_pub, mosquitto_sub, start};
use trefoil_tests::mqtt::{Connect, Connection};
use trefoil_tests::mqtt_sn::{CLEAN, Device, WILL, connect_body, kind};

#[test]
fn each_packet_that_is_not_answered_is_sent_again() {
    let (hub, port) = start();
    let device = Device::connected(port, "deaf");
    device.subscribe("home/#", 2);
    mosquitto_pub(&hub, "-t home/x -m two -q 2");
    let register = device.receive();
    assert_eq!((register.0, &register.1[4..]), (kind::REGISTER, &b"home/x"[..]));
    assert_eq!(device.receive(), register, "the same again");
    let [a, b, c, d] = [register.1[0], register.1[1], register.1[2], register.1[3]];
    device.send(kind::REGACK, &[a, b, c, d, 0]);
    let (kind, mut publish) = device.receive();
    assert_eq!((kind, publish[0]), (kind::PUBLISH, 0x40));
    publish[0] |= 0x80;
    assert_eq!(device.receive(), (kind::PUBLISH, publish.clone()), "the same again, marked as such");
    device.send(kind::PUBREC, &publish[3..5]);
    device.expect(kind::PUBREL, &publish[3..5]);
    device.expect(kind::PUBREL, &publish[3..5]);
    device.send(kind::PUBCOMP, &publish[3..5]);
    device.expect_nothing();
}

#[test]
fn a_client_that_never_answers_is_lost() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t wills -C 1");
    let device = Device::new(port);
    device.send(kind::CONNECT, &connect_body(CLEAN | WILL, 600, "mute"));
    // The questions for the will are repeated as well.
    device.expect(kind::WILLTOPICREQ, &[]);
    device.expect(kind::WILLTOPICREQ, &[]);
    device.send(kind::WILLTOPIC, b"\0wills");
    device.expect(kind::WILLMSGREQ, &[]);
    device.expect(kind::WILLMSGREQ, &[]);
    device.send(kind::WILLMSG, b"mute");
    device.expect(kind::CONNACK, &[0]);
    device.subscribe("t", 1);
    mosquitto_pub(&hub, "-t t -m x -q 1");
    for flags in [0x20, 0xa0, 0xa0] {
        assert_eq!(device.receive().1[0], flags);
    }
    device.expect(kind::DISCONNECT, &[]);
    assert_eq!(subscriber.wait().success(), "mute\n");
}

#[test]
fn a_client_that_falls_silent_is_lost_after_one_and_a_half_keep_alives() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t wills -C 1");
    let device = Device::new(port);
    device.send(kind::CONNECT, &connect_body(CLEAN | WILL, 1, "silent"));
    device.expect(kind::WILLTOPICREQ, &[]);
    device.send(kind::WILLTOPIC, b"\0wills");
    device.expect(kind::WILLMSGREQ, &[]);
    device.send(kind::WILLMSG, b"silent");
    device.expect(kind::CONNACK, &[0]);
    assert_eq!(subscriber.wait().success(), "silent\n");
    device.expect(kind::DISCONNECT, &[]);
}

#[test]
fn congestion_is_waited_out_and_a_refusal_ends_it() {
    let (hub, port) = start();
    let device = Device::connected(port, "busy");
    device.subscribe("t", 1);
    mosquitto_pub(&hub, "-t t -m first -q 1");
    let (_, body) = device.receive();
    let ack = |code| [&body[1..5], &[code]].concat();
    device.send(kind::PUBACK, &ack(1));
    let (_, again) = device.receive();
    assert_eq!(again[0], 0xa0, "after a while it comes again");
    device.send(kind::PUBACK, &ack(3));
    mosquitto_pub(&hub, "-t t -m second -q 1");
    assert_eq!(device.take().2, "second");
    device.expect_nothing();
}

#[test]
fn an_answer_to_nothing_is_answered_once_and_holds_up_nothing() {
    let (hub, port) = start();
    let device = Device::connected(port, "late");
    device.subscribe("t", 1);
    device.send(kind::PUBREC, &[0, 77]);
    device.expect(kind::PUBREL, &[0, 77]);
    mosquitto_pub(&hub, "-t t -m first -q 1");
    assert_eq!(device.take().2, "first");
    device.expect_nothing();
}

/// The flags of the message that comes next, and its payload. It is not acknowledged.
fn flags(device: &Device) -> (u8, String) {
    let (kind, body) = device.receive();
    assert_eq!(kind, kind::PUBLISH, "{body:02x?}");
    (body[0], String::from_utf8(body[5..].to_vec()).unwrap())
}

#[test]
fn what_only_its_topic_was_sent_of_comes_for_the_first_time() {
    let (hub, port) = start();
    for (qos, first, again) in [(1, 0x20, 0xa0), (2, 0x40, 0xc0)] {
        let name = format!("forgetful-{qos}");
        let device = Device::new(port);
        device.connect(0, 60, &name);
        device.subscribe("home/#", qos);
        mosquitto_pub(&hub, &format!("-t home/x -m one -q {qos}"));
        assert_eq!(device.receive().0, kind::REGISTER);
        // It begins anew instead of an answer; then all of it is lost.
        device.connect(0, 60, &name);
        assert_eq!(device.receive().0, kind::REGISTER);
        device.connect(0, 60, &name);
        device.learn("home/x");
        assert_eq!(flags(&device), (first, "one".into()));
        // Now it has been there.
        device.connect(0, 60, &name);
        device.learn("home/x");
        assert_eq!(flags(&device), (again, "one".into()));
        device.connect(CLEAN, 60, &name);
    }
    // The same where the client is lost, and where it comes back over MQTT.
    let device = Device::new(port);
    device.connect(0, 600, "mute");
    device.subscribe("home/#", 1);
    mosquitto_pub(&hub, "-t home/x -m two -q 1");
    while device.receive().0 != kind::DISCONNECT {}
    device.connect(0, 60, "mute");
    assert_eq!(device.receive().0, kind::REGISTER);
    let request = Connect::new(5, "mute").resume().session_expiry_s(9);
    let (mut mqtt, answer) = Connection::with(hub.tcp_port(), &request);
    assert_eq!(answer.flags, 1, "session present");
    let message = mqtt.receive_publish();
    assert_eq!((message.dup, message.payload), (false, b"two".to_vec()));
    let (mut mqtt, _) = Connection::with(hub.tcp_port(), &request);
    assert!(mqtt.receive_and_ack().dup);
    mqtt.ping();
}
