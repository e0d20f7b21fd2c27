//! MQTT-SN: an address is not a client. Behind a NAT it may become another device's from one datagram to the next.

use crate::mqtt_sn::{mosquitto_pub, mosquitto_sub, start};
use trefoil_tests::mqtt_sn::{CLEAN, Device, WILL, connect_body, kind};
use trefoil_tests::wait_until;

/// Enough names that some belong to the shard where the datagrams come in, and some to the other.
const ROUNDS: usize = 8;

#[test]
fn a_device_gets_nothing_of_the_one_that_had_its_address_before() {
    let (hub, port) = start();
    for n in 0..ROUNDS {
        let (old, new) = (format!("old-{n}"), format!("new-{n}"));
        let address = Device::connected(port, &old);
        address.subscribe(&format!("secret/{n}"), 1);
        // The NAT gives the address to another device.
        address.connect(CLEAN, 60, &new);
        address.subscribe(&format!("open/{n}"), 1);
        mosquitto_pub(&hub, &format!("-t secret/{n} -m secret -q 1"));
        mosquitto_pub(&hub, &format!("-t secret/{n} -m secret -q 0"));
        mosquitto_pub(&hub, &format!("-t open/{n} -m open -q 1"));
        assert_eq!(address.take().2, "open", "and nothing else");
        address.expect_nothing();
        // The first one comes back from elsewhere, and has missed nothing.
        let elsewhere = Device::new(port);
        assert_eq!(elsewhere.ask(kind::PINGREQ, old.as_bytes()), (kind::PINGRESP, vec![]));
        let messages: Vec<_> = (0..2).map(|_| elsewhere.take().2).collect();
        assert_eq!(messages, ["secret", "secret"]);
        address.expect_nothing();
    }
}

#[test]
fn a_client_takes_its_session_along_to_another_address() {
    let (hub, port) = start();
    for n in 0..ROUNDS {
        let name = format!("mover-{n}");
        let first = Device::new(port);
        first.connect(0, 60, &name);
        first.subscribe("t", 1);
        let second = Device::new(port);
        second.connect(0, 60, &name);
        mosquitto_pub(&hub, "-t t -m here -q 1");
        second.learn("t");
        assert_eq!(second.take().2, "here");
        // The address that it had is nobody's now.
        wait_until("the old address is nobody's", || {
            first.ask(kind::PINGREQ, &[]) == (kind::DISCONNECT, vec![])
        });
        second.expect_nothing();
        assert_eq!(second.ask(kind::DISCONNECT, &[]), (kind::DISCONNECT, vec![]));
        second.connect(CLEAN, 60, &name);
    }
}

#[test]
fn a_client_that_sleeps_wakes_up_at_another_address() {
    let (hub, port) = start();
    for n in 0..ROUNDS {
        let name = format!("wanderer-{n}");
        let first = Device::connected(port, &name);
        let id = first.subscribe("t", 1);
        first.ask(kind::DISCONNECT, &[0, 30]);
        mosquitto_pub(&hub, "-t t -m waiting -q 1");
        let second = Device::new(port);
        second.send(kind::PINGREQ, name.as_bytes());
        assert_eq!(second.take(), (0x20, id, "waiting".into()));
        second.expect(kind::PINGRESP, &[]);
        assert_eq!(first.try_receive(), None);
        second.ask(kind::DISCONNECT, &[]);
    }
}

#[test]
fn a_ping_in_the_name_of_another_gets_nothing() {
    let (hub, port) = start();
    for n in 0..ROUNDS {
        let address = Device::connected(port, &format!("here-{n}"));
        address.subscribe("t", 1);
        // A device that has no session pings from the address: it is told to connect, and the address is nobody's.
        assert_eq!(address.ask(kind::PINGREQ, format!("lost-{n}").as_bytes()), (kind::DISCONNECT, vec![]));
        wait_until("the address is nobody's", || {
            address.ask(kind::PINGREQ, &[]) == (kind::DISCONNECT, vec![])
        });
        mosquitto_pub(&hub, "-t t -m secret -q 1");
        mosquitto_pub(&hub, "-t t -m secret -q 0");
        address.expect_gateway();
        // Who had it is not lost for that.
        address.connect(0, 60, &format!("here-{n}"));
        address.learn("t");
        assert_eq!((address.take().2, address.take().2), ("secret".into(), "secret".into()));
        address.ask(kind::DISCONNECT, &[]);
    }
}

#[test]
fn what_comes_from_the_address_of_a_client_that_sleeps_is_not_its_own() {
    let (hub, port) = start();
    for n in 0..ROUNDS {
        let name = format!("asleep-{n}");
        let address = Device::connected(port, &name);
        let id = address.subscribe("t", 1);
        address.ask(kind::DISCONNECT, &[0, 30]);
        mosquitto_pub(&hub, "-t t -m mine -q 1");
        // Another device believes that it is connected. It gets nothing, and publishes nothing in the other's name.
        address.publish(1, id, 1, "forged");
        address.expect(kind::DISCONNECT, &[]);
        assert_eq!(address.ask(kind::PINGREQ, &[]), (kind::DISCONNECT, vec![]));
        let elsewhere = Device::new(port);
        elsewhere.send(kind::PINGREQ, name.as_bytes());
        assert_eq!(elsewhere.take(), (0x20, id, "mine".into()));
        elsewhere.expect(kind::PINGRESP, &[]);
        assert_eq!(elsewhere.ask(kind::DISCONNECT, &[]), (kind::DISCONNECT, vec![]));
    }
}

#[test]
fn a_client_whose_address_is_taken_has_its_keep_alive_to_come_back() {
    let (hub, port) = start();
    let subscriber = mosquitto_sub(&hub, "-t wills/# -C 2");
    for n in 0..2 {
        let address = Device::new(port);
        address.send(kind::CONNECT, &connect_body(CLEAN | WILL, 1, &format!("robbed-{n}")));
        address.expect(kind::WILLTOPICREQ, &[]);
        address.send(kind::WILLTOPIC, b"\0wills/a");
        address.expect(kind::WILLMSGREQ, &[]);
        address.send(kind::WILLMSG, n.to_string().as_bytes());
        address.expect(kind::CONNACK, &[0]);
        address.connect(CLEAN, 60, &format!("robber-{n}"));
    }
    let mut wills: Vec<_> = subscriber.wait().success().lines().map(str::to_owned).collect();
    wills.sort();
    assert_eq!(wills, ["0", "1"]);
}
