//! DISCONNECT: section 3.14.

use trefoil_tests::mqtt::property::{any, id, number, text};
use trefoil_tests::mqtt::{Connect, Connection, Message, VERSIONS, Will, disconnect_with, packet};
use trefoil_tests::{CONFIG, Exchange, Hub, connect};

/// A subscriber to the topic that wills go to, and a client with such a will.
fn with_will(hub: &Hub, version: u8) -> (Connection, Connection) {
    let mut watcher = Connection::new(hub.tcp_port(), version, "watcher");
    watcher.subscribe("will", 0);
    let connect = Connect::new(version, "client").will(Will::new("will", "gone"));
    (watcher, Connection::with(hub.tcp_port(), &connect).0)
}

/// Whether the will has come, now that the connection has ended: a message that is published after it comes after it.
fn came(hub: &Hub, watcher: &mut Connection, version: u8) -> bool {
    // The same client id, so that it comes by the same way as the will.
    let mut client = Connection::new(hub.tcp_port(), version, "client");
    client.publish("will", b"after");
    client.leave();
    let first = watcher.receive_publish();
    if first.payload == b"after" {
        return false;
    }
    assert_eq!((&first.payload[..], &watcher.receive_publish().payload[..]), (&b"gone"[..], &b"after"[..]));
    true
}

/// [MQTT-3.14.0-1] As long as there was no CONNACK that accepts, there is no DISCONNECT: neither for a first packet that is
/// no CONNECT, nor for one that is refused, nor when the hub stops.
#[test]
fn there_is_no_goodbye_before_a_welcome() {
    let mut hub = Hub::start();
    for bytes in [vec![0xC0, 0], Message::new("t", "x").packet(5), disconnect_with(0, &[]), vec![0x00, 0]] {
        let mut stream = connect(hub.tcp_port());
        stream.offer(&bytes);
        let said = stream.rest();
        assert!(!said.starts_with(&[0xE0]), "{said:02x?} to {bytes:02x?}");
    }
    let bad_topic = Connect::new(5, "client").will(Will::new("a/#", ""));
    let (mut refused, answer) = Connection::asking(hub.tcp_port(), &bad_topic);
    assert!(answer.is_some_and(|answer| answer.code >= 0x80));
    assert_eq!(refused.ending(), None);
    // Half a CONNECT is enough to know that this is MQTT, and too little to welcome it.
    let mut half = connect(hub.tcp_port());
    half.offer(&Connect::new(5, "half").packet()[..12]);
    let mut whole = Connection::new(hub.tcp_port(), 5, "whole");
    hub.signal("TERM");
    assert_eq!(whole.disconnect_reason(), Some(0x8B));
    assert_eq!(half.rest(), b"");
    hub.wait();
}

/// [MQTT-3.14.1-1] [v3 MQTT-3.14.1-1] Reserved bits are refused, and the end is then no normal one: the will comes.
#[test]
fn the_flags_are_fixed() {
    let hub = Hub::start();
    for version in VERSIONS {
        for flags in 1..16 {
            let (mut watcher, mut client) = with_will(&hub, version);
            client.offer(&packet(0xE0 | flags, &[]));
            client.expect_end(0x81);
            assert!(came(&hub, &mut watcher, version), "flags {flags}");
        }
    }
}

/// [MQTT-3.14.2-1] [MQTT-3.14.2-2] The hub says why in the codes that there are, and never a session expiry; from a client
/// it takes no others.
#[test]
fn reasons_are_those_that_there_are() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\npacket_bytes_max = 2000\n"));
    let long = Message::new("t", [0; 3000]).packet(5);
    let cases = [
        (packet(0x00, &[]), 0x81),
        (packet(0x20, &[0, 0, 0]), 0x82),
        (Connect::new(5, "again").packet(), 0x82),
        (Message::new("t", "x").alias(0).packet(5), 0x94),
        (long, 0x95),
        (disconnect_with(0x01, &[]), 0x82),
        (disconnect_with(0x7f, &[]), 0x82),
        (disconnect_with(0xff, &[]), 0x82),
    ];
    for (bytes, reason) in cases {
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.offer(&bytes);
        let goodbye = client.ending().expect("a DISCONNECT");
        assert_eq!((goodbye.reason, goodbye.properties.ids()), (reason, vec![id::REASON_STRING]));
    }
}

/// [MQTT-3.14.2-3] [MQTT-3.14.2-4] The words are left out where the packet so becomes larger than the client takes.
#[test]
fn words_are_left_out_where_they_do_not_fit() {
    let hub = Hub::start();
    let goodbye_to = |connect: Connect| {
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.offer(&packet(0x20, &[0, 0, 0]));
        let packet = client.receive();
        (packet.bytes().len(), packet.disconnect())
    };
    let (with_words, goodbye) = goodbye_to(Connect::new(5, "client"));
    assert!(goodbye.properties.text(id::REASON_STRING).is_some());
    let limit = |bytes: usize| number(id::PACKET_BYTES_MAX, bytes as u32);
    let (_, goodbye) = goodbye_to(Connect::new(5, "client").property(limit(with_words)));
    assert!(!goodbye.properties.is_empty(), "it fits just so");
    let (bytes, goodbye) = goodbye_to(Connect::new(5, "client").property(limit(with_words - 1)));
    assert!(bytes < with_words && goodbye.properties.is_empty() && goodbye.reason == 0x82, "{goodbye:?}");
}

/// [MQTT-3.14.4-1] [MQTT-3.14.4-2] Behind the hub's DISCONNECT comes nothing, however much is being published to the
/// client, and then it closes.
#[test]
fn nothing_follows_a_goodbye() {
    let hub = Hub::start();
    let port = hub.tcp_port();
    for qos in 0..3 {
        let mut client = Connection::new(port, 5, "client");
        client.subscribe("t", qos);
        let publisher = std::thread::spawn(move || {
            let mut publisher = Connection::new(port, 5, "publisher");
            for _ in 0..200 {
                publisher.publish_and_wait(&Message::new("t", "x").qos(qos, 1));
            }
        });
        client.receive_publish();
        let mut successor = Connection::new(port, 5, "client");
        let goodbye = client.ending().expect("a DISCONNECT, with nothing behind it and then the end");
        assert_eq!(goodbye.reason, 0x8E);
        publisher.join().unwrap();
        successor.ping();
    }
}

/// [MQTT-3.14.4-3] [v3 MQTT-3.14.4-3] After a normal DISCONNECT, in each of its forms, there is no will.
#[test]
fn a_normal_goodbye_discards_the_will() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut forms = vec![packet(0xE0, &[])];
        if version == 5 {
            forms.extend([
                packet(0xE0, &[0]),
                packet(0xE0, &[0, 0]),
                disconnect_with(0, &text(id::REASON_STRING, "so")),
            ]);
        }
        for form in forms {
            let (mut watcher, mut client) = with_will(&hub, version);
            client.send(&form);
            assert_eq!(client.ending(), None);
            assert!(!came(&hub, &mut watcher, version), "version {version}: {form:02x?}");
        }
    }
}

/// With any other reason there is one: 0x04 asks for it, and an error is no normal end.
#[test]
fn any_other_goodbye_brings_the_will() {
    let hub = Hub::start();
    for reason in [0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99] {
        let (mut watcher, mut client) = with_will(&hub, 5);
        client.send(&disconnect_with(reason, &[]));
        assert_eq!(client.ending(), None);
        assert!(came(&hub, &mut watcher, 5), "{reason:#x}");
    }
}

/// [v3 MQTT-3.14.4-1] [v3 MQTT-3.14.4-2] What a client sends behind its DISCONNECT is not looked at, and the hub closes if
/// the client does not.
#[test]
fn what_follows_a_goodbye_is_not_heard() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut watcher = Connection::new(hub.tcp_port(), version, "watcher");
        watcher.subscribe("t", 0);
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        let unheard = Message::new("t", "unheard").packet(version);
        client.send(&[&[0xE0, 0][..], &unheard, &[0xC0, 0]].concat());
        client.offer(&unheard);
        assert_eq!(client.ending(), None, "neither a PINGRESP nor anything else");
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.publish("t", b"heard");
        assert_eq!(watcher.receive_publish().payload, b"heard");
    }
}

/// A client may change its session expiry with DISCONNECT: to 0, which ends the session at once, or to another time; but
/// not from 0, since a session that was to end with its connection has nobody waiting for it.
#[test]
fn the_session_expiry_can_change_at_the_end() {
    let hub = Hub::start();
    let expiry = |seconds| number(id::SESSION_EXPIRY, seconds);
    for (before, after, present) in
        [(3600, Some(0), 0), (3600, Some(7200), 1), (3600, None, 1), (0, Some(0), 0), (0, None, 0)]
    {
        let connect = Connect::new(5, "client").session_expiry_s(before);
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.send(&disconnect_with(0, &after.map(expiry).unwrap_or_default()));
        assert_eq!(client.ending(), None);
        let (client, answer) = Connection::with(hub.tcp_port(), &Connect::new(5, "client").resume());
        assert_eq!(answer.flags, present, "{before} to {after:?}");
        client.leave();
    }
    for connect in [Connect::new(5, "client"), Connect::new(5, "client").session_expiry_s(0)] {
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.offer(&disconnect_with(0, &expiry(1)));
        client.expect_end(0x82);
    }
}

/// Which properties belong here, and that each comes once.
#[test]
fn properties_of_other_packets_are_refused() {
    let hub = Hub::start();
    let allowed = [id::SESSION_EXPIRY, id::REASON_STRING, id::USER_PROPERTY, id::SERVER_REFERENCE];
    let connect = Connect::new(5, "client").session_expiry_s(10);
    for property in trefoil_tests::mqtt::property::ALL {
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.offer(&disconnect_with(0, &any(property)));
        match allowed.contains(&property) {
            true => assert_eq!(client.ending(), None, "{property:#x}"),
            false => client.expect_end(0x81),
        }
    }
    for property in [id::SESSION_EXPIRY, id::REASON_STRING, id::SERVER_REFERENCE] {
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.offer(&disconnect_with(0, &any(property).repeat(2)));
        client.expect_end(0x82);
    }
    for version in [3, 4] {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.offer(&packet(0xE0, &[0]));
        client.expect_end(0);
    }
}
