//! MQTT-SN clients that sleep: what comes meanwhile waits for them.

use crate::mqtt_sn::{mosquitto_pub, start};
use trefoil_tests::mqtt_sn::{CLEAN, Device, connect_body, kind, publish_body};

#[test]
fn messages_wait_for_a_client_that_sleeps() {
    let (hub, port) = start();
    let device = Device::connected(port, "sleeper");
    let id = device.subscribe("door", 2);
    assert_eq!(device.ask(kind::DISCONNECT, &[0, 30]), (kind::DISCONNECT, vec![]));
    for qos in 0..3 {
        mosquitto_pub(&hub, &format!("-t door -m {qos} -q {qos}"));
    }
    assert_eq!(device.try_receive(), None, "it sleeps");
    device.send(kind::PINGREQ, b"sleeper");
    device.expect(kind::PUBLISH, &publish_body(0, id.to_be_bytes(), 0, "0"));
    assert_eq!(device.take(), (0x20, id, "1".into()));
    let (kind, body) = device.receive();
    assert_eq!((kind, body[0], &body[5..]), (kind::PUBLISH, 0x40, &b"2"[..]));
    device.send(kind::PUBREC, &body[3..5]);
    device.expect(kind::PUBREL, &body[3..5]);
    device.send(kind::PUBCOMP, &body[3..5]);
    device.expect(kind::PINGRESP, &[]);
    // It sleeps again, as long as before; and again nothing comes until it asks.
    mosquitto_pub(&hub, "-t door -m later -q 1");
    assert_eq!(device.try_receive(), None, "it sleeps again");
    device.send(kind::PINGREQ, b"sleeper");
    assert_eq!(device.take(), (0x20, id, "later".into()));
    device.expect(kind::PINGRESP, &[]);
    // Nothing waits.
    assert_eq!(device.ask(kind::PINGREQ, b"sleeper"), (kind::PINGRESP, vec![]));
}

#[test]
fn a_client_wakes_up_by_connecting() {
    let (hub, port) = start();
    let device = Device::new(port);
    device.connect(0, 60, "riser");
    device.subscribe("home/#", 1);
    device.ask(kind::DISCONNECT, &[0, 30]);
    mosquitto_pub(&hub, "-t home/x -m held -q 0");
    mosquitto_pub(&hub, "-t home/x -m queued -q 1");
    device.connect(0, 60, "riser");
    let id = device.learn("home/x");
    device.expect(kind::PUBLISH, &publish_body(0, id.to_be_bytes(), 0, "held"));
    assert_eq!(device.take(), (0x20, id, "queued".into()));
    mosquitto_pub(&hub, "-t home/x -m now -q 0");
    device.expect(kind::PUBLISH, &publish_body(0, id.to_be_bytes(), 0, "now"));
    // A clean session begins with nothing.
    device.ask(kind::DISCONNECT, &[0, 30]);
    mosquitto_pub(&hub, "-t home/x -m held -q 0");
    device.connect(CLEAN, 60, "riser");
    device.expect_nothing();
}

#[test]
fn a_message_that_was_not_acknowledged_comes_again_at_the_next_waking() {
    let (hub, port) = start();
    let device = Device::connected(port, "tired");
    let id = device.subscribe("t", 1);
    device.ask(kind::DISCONNECT, &[0, 60]);
    mosquitto_pub(&hub, "-t t -m heavy -q 1");
    device.send(kind::PINGREQ, b"tired");
    // It goes to sleep without a word: sent twice more, and then it is left alone, and is not lost.
    for flags in [0x20, 0xa0, 0xa0] {
        let (kind, body) = device.receive();
        assert_eq!((kind, body[0], &body[5..]), (kind::PUBLISH, flags, &b"heavy"[..]));
    }
    trefoil_tests::wait_until("the gateway lets it sleep", || {
        // A repeated question while it counts as awake would bring the message at once, in the same state.
        device.send(kind::PINGREQ, b"tired");
        device.receive().1[0] == 0xa0
    });
    assert_eq!(device.take(), (0xa0, id, "heavy".into()));
}

#[test]
fn a_client_that_sleeps_too_long_is_lost() {
    let (hub, port) = start();
    let subscriber = crate::mqtt_sn::mosquitto_sub(&hub, "-t wills -C 1");
    let device = Device::new(port);
    device.send(kind::CONNECT, &connect_body(CLEAN | trefoil_tests::mqtt_sn::WILL, 60, "dozer"));
    device.expect(kind::WILLTOPICREQ, &[]);
    device.send(kind::WILLTOPIC, b"\0wills");
    device.expect(kind::WILLMSGREQ, &[]);
    device.send(kind::WILLMSG, b"overslept");
    device.expect(kind::CONNACK, &[0]);
    // One second of sleep: lost after one and a half.
    device.ask(kind::DISCONNECT, &[0, 1]);
    assert_eq!(subscriber.wait().success(), "overslept\n");
    assert_eq!(device.ask(kind::PINGREQ, b"dozer"), (kind::DISCONNECT, vec![]));
}

#[test]
fn a_client_that_asks_in_time_is_not_lost() {
    let (hub, port) = start();
    let device = Device::connected(port, "regular");
    device.subscribe("t", 1);
    device.ask(kind::DISCONNECT, &[0, 2]);
    for n in 0..4 {
        mosquitto_pub(&hub, &format!("-t t -m {n} -q 1"));
        // Longer in all than three seconds, which would be its end.
        std::thread::sleep(std::time::Duration::from_secs(1));
        device.send(kind::PINGREQ, b"regular");
        assert_eq!(device.take().2, n.to_string());
        device.expect(kind::PINGRESP, &[]);
    }
}

#[test]
fn members_of_a_shared_subscription_that_sleep_are_passed_over() {
    let (hub, port) = start();
    let awake = Device::connected(port, "awake");
    let asleep = Device::connected(port, "asleep");
    for device in [&awake, &asleep] {
        assert_eq!(device.subscribe("$share/g/work", 1), 0);
    }
    asleep.ask(kind::DISCONNECT, &[0, 30]);
    mosquitto_pub(&hub, "-t work -m 0 -q 1");
    awake.learn("work");
    assert_eq!(awake.take().2, "0");
    for n in 1..4 {
        mosquitto_pub(&hub, &format!("-t work -m {n} -q 1"));
        assert_eq!(awake.take().2, n.to_string());
    }
    assert_eq!(asleep.ask(kind::PINGREQ, b"asleep"), (kind::PINGRESP, vec![]));
}
