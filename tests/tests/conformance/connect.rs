//! CONNECT as a packet: section 3.1, without what its fields do, which is in `starts`, `wills` and `limits`.

use trefoil_tests::mqtt::property::{id, number, pair};
use trefoil_tests::mqtt::{
    Connect, Connection, Message, VERSIONS, Will, packet, string, subscribe_packet, unsubscribe_with,
};
use trefoil_tests::{CONFIG, Exchange, Hub, connect, websocket};

/// A hub that closes nobody for being slow to say what it wants: what closes then is what was refused.
pub(crate) fn patient_hub() -> Hub {
    Hub::with_config(&format!("{CONFIG}\n[limits]\nfirst_bytes_timeout_s = 3600\n"))
}

/// CONNECT is refused: with this code in MQTT 5, and without a word before, unless there is a return code.
fn refused(hub: &Hub, request: &Connect, code_5: u8, code_3: Option<u8>) {
    let (mut connection, answer) = Connection::asking(hub.tcp_port(), request);
    let expected = if request.version == 5 { Some(code_5) } else { code_3 };
    assert_eq!(answer.as_ref().map(|a| a.code), expected, "{request:?}");
    // No session is present where none is begun.
    assert_eq!(answer.map_or(0, |a| a.flags), 0, "{request:?}");
    assert!(connection.try_receive().is_none(), "the refusal is the last word: {request:?}");
}

/// The bytes end a connection inside of a WebSocket, without any packet before that.
fn closed_inside(hub: &Hub, bytes: &[u8]) {
    let mut inside = websocket::Connection::new(hub.http_port(), "/mqtt");
    inside.send(&websocket::frame(0x82, bytes));
    let (first_byte, payload) = inside.receive().expect("a close frame");
    assert_eq!((first_byte, &payload[..2]), (0x88, &1002u16.to_be_bytes()[..]), "{bytes:02x?}");
    assert!(inside.stream.rest().is_empty(), "behind a close frame comes the end");
}

/// [MQTT-3.1.0-1] [v3 MQTT-3.1.0-1]
#[test]
fn the_first_packet_is_connect() {
    let hub = patient_hub();
    for version in VERSIONS {
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.subscribe("#", 2);
        for bytes in [
            Message::new("t", "x").packet(version),
            Message::new("t", "x").qos(1, 1).packet(version),
            subscribe_packet(version, "t", 0),
            unsubscribe_with(version, 1, &[], &["t"]),
            vec![0xC0, 0],
            vec![0xE0, 0],
            packet(0xF0, &[]),
        ] {
            let mut stream = connect(hub.tcp_port());
            stream.offer(&bytes);
            let said = stream.rest();
            assert!(said.is_empty() || said.is_ascii(), "no packet answers {bytes:02x?}: {said:02x?}");
            // Inside of a WebSocket it is known beforehand that MQTT is meant.
            closed_inside(&hub, &bytes);
        }
        subscriber.ping();
    }
}

/// [MQTT-3.1.0-2] [v3 MQTT-3.1.0-2] [MQTT-3.2.0-2]
#[test]
fn a_second_connect_ends_the_connection() {
    let hub = patient_hub();
    for version in VERSIONS {
        let will = Will::new("will", version.to_string());
        let mut watcher = Connection::new(hub.tcp_port(), version, "watcher");
        watcher.subscribe("will", 0);
        for second in [Connect::new(version, "again"), Connect::new(version, "other").resume()] {
            let (mut connection, _) =
                Connection::with(hub.tcp_port(), &Connect::new(version, "again").will(will.clone()));
            connection.send(&second.packet());
            // Nothing but DISCONNECT comes: no CONNACK.
            let goodbye = connection.try_receive().map(|packet| packet.disconnect().reason);
            assert_eq!(goodbye, (version == 5).then_some(0x82));
            assert!(connection.try_receive().is_none());
            assert_eq!(watcher.receive_publish().payload, version.to_string().as_bytes());
        }
    }
}

/// [MQTT-3.1.2-1] [v3 MQTT-3.1.2-1]
#[test]
fn other_protocol_names_are_not_served() {
    let hub = patient_hub();
    for version in VERSIONS {
        for name in ["", "mqtt", "MQTt", "MQT", "MQTTT", "MQIsdP", "MQIsdpx", "\u{feff}MQTT", "HTTP"] {
            let mut stream = connect(hub.tcp_port());
            stream.offer(&Connect::new(version, "c").name(name).packet());
            let said = stream.rest();
            assert!(said.is_empty() || said.is_ascii() && said[0] != 0x20, "{name}: {said:02x?}");
            // Inside of a WebSocket there is no other protocol that it could be.
            closed_inside(&hub, &Connect::new(version, "c").name(name).packet());
        }
    }
}

/// [MQTT-3.1.2-2] [v3 MQTT-3.1.2-2]
#[test]
fn other_protocol_levels_are_refused_in_the_nearest_form() {
    let hub = patient_hub();
    for name in ["MQTT", "MQIsdp"] {
        for level in [0, 1, 2, 3, 4, 5, 6, 7, 64, 127, 0x83, 0x84, 255] {
            if [("MQIsdp", 3), ("MQTT", 4), ("MQTT", 5)].contains(&(name, level)) {
                continue;
            }
            let mut stream = connect(hub.tcp_port());
            // Whether there are properties cannot be known from a level that does not exist.
            for properties in [&[][..], &[0]] {
                let body = [&string(name)[..], &[level, 2, 0, 60], properties, &string("c")].concat();
                stream.offer(&packet(0x10, &body));
                let said = stream.rest();
                // Clients of old levels read a return code, clients of new ones a reason code and a length.
                if level & 0x7F < 5 {
                    assert_eq!(said, [0x20, 2, 0, 1], "{name} {level}");
                } else {
                    assert_eq!((said[0], &said[2..4]), (0x20, &[0, 0x84][..]), "{name} {level}");
                    assert_eq!(usize::from(said[1]), said.len() - 2, "one packet and the end");
                }
                stream = connect(hub.tcp_port());
            }
        }
    }
}

/// [MQTT-3.1.2-3] [v3 MQTT-3.1.2-3]
#[test]
fn the_reserved_flag_is_zero() {
    let hub = patient_hub();
    for version in VERSIONS {
        let connect = Connect::new(version, "reserved").user("u").password("p").will(Will::new("t", ""));
        let flags = connect.right_flags();
        Connection::with(hub.tcp_port(), &connect.clone().flags(flags)).0.ping();
        refused(&hub, &connect.flags(flags | 1), 0x81, None);
    }
}

/// [MQTT-3.1.2-9] [v3 MQTT-3.1.2-9] [MQTT-3.1.2-16] [v3 MQTT-3.1.2-18] [MQTT-3.1.2-17] [v3 MQTT-3.1.2-19]
/// [MQTT-3.1.2-18] [v3 MQTT-3.1.2-20] [MQTT-3.1.2-19] [v3 MQTT-3.1.2-21] [MQTT-3.1.4-1] [v3 MQTT-3.1.4-1]
#[test]
fn the_payload_has_what_the_flags_announce() {
    let hub = patient_hub();
    let (will, password, user) = (0x04, 0x40, 0x80);
    for version in VERSIONS {
        let plain = Connect::new(version, "payload");
        let with_user = plain.clone().user("u");
        let with_both = with_user.clone().password("p");
        let with_will = plain.clone().will(Will::new("t", "w"));
        for right in [&plain, &with_user, &with_both, &with_will] {
            Connection::with(hub.tcp_port(), right).0.ping();
        }
        let mut wrong = vec![
            // Too little: the will, or a part of it.
            plain.clone().flags(2 | will),
            plain.clone().flags(2 | will).more(string("t")),
            // Too much: fields that no flag announces.
            with_user.clone().flags(2),
            with_both.clone().flags(2),
            with_both.clone().flags(2 | user),
            with_will.clone().flags(2),
            plain.clone().more(string("u")),
            plain.clone().more([0]),
        ];
        if version > 3 {
            // Too little: user name or password. MQTT 3.1 lets the packet end before them.
            wrong.push(plain.clone().flags(2 | user));
            wrong.push(with_user.clone().flags(2 | user | password));
        }
        for request in wrong {
            refused(&hub, &request, 0x81, None);
        }
    }
}

/// [v3 MQTT-3.1.2-22]; MQTT 5 has no such rule.
#[test]
fn a_password_without_a_user_name_is_for_mqtt_5() {
    let hub = patient_hub();
    for version in VERSIONS {
        let connect = Connect::new(version, "password").password("p");
        match version {
            5 => Connection::with(hub.tcp_port(), &connect).0.ping(),
            _ => refused(&hub, &connect, 0, None),
        }
    }
}

/// [MQTT-3.1.2-11] [v3 MQTT-3.1.2-13] [MQTT-3.1.2-12] [v3 MQTT-3.1.2-14] [MQTT-3.1.2-13] [v3 MQTT-3.1.2-15]
/// [v3 MQTT-3.1.2-11]
#[test]
fn the_flags_of_the_will_fit_together() {
    let hub = patient_hub();
    for version in VERSIONS {
        for flags in (0..0x40u8).filter(|flags| flags & 3 == 2) {
            let (has_will, qos) = (flags & 4 > 0, flags >> 3 & 3);
            let connect = Connect::new(version, "will").flags(flags);
            let connect = if has_will { connect.will(Will::new("t", "")) } else { connect };
            if if has_will { qos < 3 } else { flags == 2 } {
                Connection::with(hub.tcp_port(), &connect).0.leave();
            } else {
                refused(&hub, &connect, 0x81, None);
            }
        }
        // Without the flag there are no fields of a will either.
        refused(&hub, &Connect::new(version, "will").will(Will::new("t", "w")).flags(2), 0x81, None);
    }
}

/// [MQTT-3.1.3-1] [v3 MQTT-3.1.3-1]
#[test]
fn the_payload_has_its_order() {
    let hub = Hub::with_users(&[("the/user", "the/password")], "");
    let proven = |connect: Connect| connect.user("the/user").password("the/password");
    for version in VERSIONS {
        let (mut watcher, _) = Connection::with(hub.tcp_port(), &proven(Connect::new(version, "watcher")));
        watcher.subscribe("the/#", 0);
        let mut will = Will::new("the/topic", "the payload");
        let mut connect = proven(Connect::new(version, "the client"));
        if version == 5 {
            will = will.property(pair("the", "property"));
            connect = connect.property(pair("another", "property"));
        }
        let (connection, _) = Connection::with(hub.tcp_port(), &connect.will(will));
        connection.break_off();
        let message = watcher.receive_publish();
        assert_eq!((&*message.topic, &*message.payload), ("the/topic", &b"the payload"[..]));
        // User name and password the other way round are another user.
        let swapped = Connect::new(version, "the client").user("the/password").password("the/user");
        refused(&hub, &swapped, 0x86, Some(4));
        let expected = if version == 5 { vec![("the", "property")] } else { vec![] };
        assert_eq!(message.properties.pairs(), expected);
    }
}

/// [MQTT-3.1.3-3] [v3 MQTT-3.1.3-3]
#[test]
fn there_is_a_client_id() {
    let hub = patient_hub();
    for version in VERSIONS {
        let whole = Connect::new(version, "").packet();
        // Without the two bytes of its length, which is all that an empty one is.
        let mut connection = Connection::open(hub.tcp_port(), version);
        connection.send(&packet(0x10, &whole[2..whole.len() - 2]));
        assert_eq!(connection.try_receive().map(|p| p.connack().code), (version == 5).then_some(0x81));
        assert_eq!(connection.ending(), None);
    }
}

/// [MQTT-3.1.3-5] [v3 MQTT-3.1.3-5]; and [MQTT-3.1.3-8]: longer and stranger ones are not rejected either.
#[test]
fn client_ids_of_all_kinds_are_welcome() {
    const ALPHABET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let hub = patient_hub();
    for version in VERSIONS {
        let singles = ALPHABET.split("").filter(|one| !one.is_empty());
        let words = [&ALPHABET[..23], &ALPHABET[23..46], &ALPHABET[39..]];
        for client_id in singles.chain(words) {
            Connection::new(hub.tcp_port(), version, client_id).ping();
        }
        let long = "x".repeat(65_535);
        for client_id in [ALPHABET, &long, " ", "a/b/#", "$share/+", "\u{1F340}", "\"'\\;--"] {
            Connection::new(hub.tcp_port(), version, client_id).ping();
        }
    }
}

/// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] [v3 MQTT-3.1.3-6]
#[test]
fn who_has_no_client_id_gets_one() {
    let hub = patient_hub();
    let mut names = Vec::new();
    for _ in 0..10 {
        let connect = Connect::new(5, "").session_expiry_s(60);
        let (mut connection, answer) = Connection::with(hub.tcp_port(), &connect);
        let name = answer.properties.text(id::ASSIGNED_CLIENT_ID).expect("a client id").to_owned();
        assert!(!name.is_empty() && !names.contains(&name), "{name}");
        connection.subscribe("t", 1);
        connection.break_off();
        // It is treated as if the client had sent that name: the session is there under it.
        let (_, answer) =
            Connection::with(hub.tcp_port(), &Connect::new(5, &name).resume().session_expiry_s(60));
        assert_eq!((answer.flags, answer.properties.text(id::ASSIGNED_CLIENT_ID)), (1, None));
        names.push(name);
    }
    // In 3.1.1 nobody is told, but each is a client of its own.
    let mut connections: Vec<_> = (0..5).map(|_| Connection::new(hub.tcp_port(), 4, "")).collect();
    connections.iter_mut().for_each(|connection| connection.subscribe("t", 0));
    connections.iter_mut().for_each(Connection::ping);
    // In 5.0 a session may also be resumed from nothing, as a new one.
    let (_, answer) = Connection::with(hub.tcp_port(), &Connect::new(5, "").resume());
    assert_eq!(answer.flags, 0);
    assert!(answer.properties.text(id::ASSIGNED_CLIENT_ID).is_some());
}

/// [v3 MQTT-3.1.3-7] [v3 MQTT-3.1.3-8] [v3 MQTT-3.1.3-9] [v3 MQTT-3.2.2-4] [v3 MQTT-3.2.2-5]
#[test]
fn a_session_that_stays_needs_a_name_before_mqtt_5() {
    let hub = patient_hub();
    refused(&hub, &Connect::new(4, "").resume(), 0, Some(2));
    // MQTT 3.1 knows no empty client id at all.
    refused(&hub, &Connect::new(3, "").resume(), 0, Some(2));
    refused(&hub, &Connect::new(3, ""), 0, Some(2));
}

/// [MQTT-3.1.4-1] [v3 MQTT-3.1.4-1] [MQTT-3.2.2-7] [MQTT-3.2.2-8]: whatever is wrong in the packet.
#[test]
fn a_connect_that_is_malformed_is_refused() {
    let hub = patient_hub();
    for version in VERSIONS {
        let connect = Connect::new(version, "cut").will(Will::new("t", "w")).user("u");
        let whole = connect.packet();
        let body = &whole[2..];
        // Cut at every byte behind the level: the length is that of what is there, but a field is not.
        for end in string("MQTT").len().max(string("MQIsdp").len()) + 1..body.len() {
            // In MQTT 3.1 user name and password may be missing as a whole.
            if version == 3 && end == body.len() - string("u").len() {
                continue;
            }
            let mut connection = Connection::open(hub.tcp_port(), version);
            connection.send(&packet(0x10, &body[..end]));
            let code = connection.try_receive().map(|packet| packet.connack().code);
            assert_eq!(code, (version == 5).then_some(0x81), "cut at {end} in version {version}");
            assert_eq!(connection.ending(), None);
        }
        refused(&hub, &connect.more([0]), 0x81, None);
        refused(&hub, &Connect::new(version, "c").will(Will::new("a/+", "")), 0x90, None);
        refused(&hub, &Connect::new(version, "c").will(Will::new("", "")), 0x90, None);
    }
    for wrong in [
        number(id::RECEIVE_MAX, 0),
        number(id::PACKET_BYTES_MAX, 0),
        number(id::REQUEST_PROBLEM_INFORMATION, 2),
        number(id::REQUEST_RESPONSE_INFORMATION, 2),
        [id::AUTHENTICATION_DATA, 0, 1, b'x'].to_vec(),
    ] {
        refused(&hub, &Connect::new(5, "c").property(wrong), 0x82, None);
    }
    let will = |property: Vec<u8>| Connect::new(5, "c").will(Will::new("t", "").property(property));
    refused(&hub, &will(number(id::PAYLOAD_FORMAT, 2)), 0x82, None);
    refused(&hub, &will(number(id::WILL_DELAY, 1).repeat(2)), 0x82, None);
}

/// [MQTT-3.1.4-2]: what is well-formed may be refused for other reasons, in words that its version has.
#[test]
fn a_connect_that_asks_for_too_much_is_refused() {
    let hub = patient_hub();
    for version in VERSIONS {
        // Nobody speaks for the hub.
        refused(&hub, &Connect::new(version, "c").will(Will::new("$SYS/x", "")), 0x87, Some(5));
    }
}

/// [MQTT-3.1.4-6] [v3 MQTT-3.1.4-5]
#[test]
fn what_comes_behind_a_refused_connect_is_not_looked_at() {
    let hub = patient_hub();
    for version in VERSIONS {
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.subscribe("#", 2);
        let messages = [Message::new("t", "x"), Message::new("t", "y").qos(1, 1).retain()];
        let messages: Vec<u8> = messages.iter().flat_map(|message| message.packet(version)).collect();
        let connect = Connect::new(version, "refused");
        for refused in [connect.clone().flags(3), connect.clone().will(Will::new("$SYS/x", ""))] {
            let mut connection = Connection::open(hub.tcp_port(), version);
            connection.offer(&[refused.packet(), messages.clone()].concat());
            while let Some(packet) = connection.try_receive() {
                assert_ne!(packet.connack().code, 0);
            }
        }
        subscriber.ping();
        subscriber.subscribe("t", 2);
        subscriber.ping();
        // Behind one that is accepted it is: clients need not wait for CONNACK.
        let mut connection = Connection::open(hub.tcp_port(), version);
        connection.send(&[connect.packet(), messages].concat());
        assert_eq!(connection.receive().connack().code, 0);
        assert_eq!(subscriber.receive_publish().payload, b"x");
        assert_eq!(subscriber.receive_publish().payload, b"y");
        assert_eq!(connection.receive().ack(0x40).packet_id, 1);
        connection.publish_and_wait(&Message::new("t", "").retain());
    }
}
