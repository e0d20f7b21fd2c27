//! MQTT-SN: every queue and table of the gateway has its bound.

use crate::mqtt_sn::{CONFIG, mosquitto_pub, mosquitto_sub};
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

#[test]
fn a_device_does_not_take_the_session_of_a_user() {
    let listener =
        "[[listener]]\nbind = \"udp://127.0.0.1:0\"\nprotocols = [\"mqtt-sn\"]\nallow_anonymous = true\n";
    let hub = Hub::with_users(&[("ann", "secret")], listener);
    let port = hub.port_of("mqtt-sn");
    let subscriber = mosquitto_sub(&hub, "-u ann -P secret -i hers -q 1 -t t -C 1");
    let device = Device::new(port);
    device.send(kind::CONNECT, &connect_body(0, 60, "hers"));
    device.expect(kind::CONNACK, &[3]);
    device.connect(CLEAN, 60, "its own");
    let id = device.register("t");
    device.publish(1, id, 1, "still hers");
    device.expect(kind::PUBACK, &[&id.to_be_bytes()[..], &[0, 1, 0]].concat());
    assert_eq!(subscriber.wait().success(), "still hers\n");
}

/// Numbers that look random and are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        (0..self.next() % max).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn packets_in_any_order_and_of_any_content_do_no_harm() {
    const ROUNDS: usize = 6000;
    let hub = Hub::with_config(CONFIG);
    let port = hub.port_of("mqtt-sn");
    let good = Device::connected(port, "good");
    let id = good.subscribe("good", 1);
    let bad: Vec<Device> = (0..6).map(|_| Device::new(port)).collect();
    let mut numbers = Numbers(0x7265_666f_6c74);
    for round in 0..ROUNDS {
        let device = &bad[numbers.next() as usize % bad.len()];
        let kind = (numbers.next() % 0x20) as u8;
        // Names that come again, so that clients meet, take each other's addresses and places, sleep and wake.
        let name = format!("bad-{}", numbers.next() % 4);
        let flags = numbers.next() as u8;
        match kind {
            kind::CONNECT => device.send(kind, &connect_body(flags, (numbers.next() % 3) as u16, &name)),
            kind::PINGREQ => device.send(kind, name.as_bytes()),
            kind::REGISTER | kind::REGACK | kind::SUBSCRIBE | kind::UNSUBSCRIBE | kind::PUBLISH => {
                let small = |n: u64| [0, (n % 4) as u8];
                let (a, b) = (small(numbers.next()), small(numbers.next()));
                let text = ["a/b", "a/#", "ab", "$SYS/x", "bad"][numbers.next() as usize % 5].as_bytes();
                let body = match kind {
                    kind::SUBSCRIBE | kind::UNSUBSCRIBE => [&[flags], &a[..], text].concat(),
                    kind::PUBLISH => [&[flags], &a[..], &b[..], text].concat(),
                    kind::REGACK => [&a[..], &b[..], &[flags % 4]].concat(),
                    _ => [&a[..], &b[..], text].concat(),
                };
                device.send(kind, &body);
            }
            kind => device.send(kind, &numbers.bytes(8)),
        }
        if numbers.next().is_multiple_of(16) {
            device.offer(&numbers.bytes(24));
        }
        while device.try_receive_now().is_some() {}
        if round.is_multiple_of(500) {
            mosquitto_pub(&hub, "-t good -m still -q 1");
            assert_eq!(good.take(), (0x20, id, "still".into()));
        }
    }
    // Whoever takes part again finds its place.
    for (n, device) in bad.iter().enumerate() {
        let name = format!("bad-{}", n % 4);
        wait_until("the device is connected again", || {
            device.send(kind::CONNECT, &connect_body(CLEAN, 60, &name));
            std::iter::from_fn(|| device.try_receive()).any(|packet| packet == (kind::CONNACK, vec![0]))
        });
    }
    good.expect_nothing();
}
