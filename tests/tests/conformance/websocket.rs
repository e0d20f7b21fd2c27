//! MQTT over WebSocket: chapter 6.

use trefoil_tests::mqtt::{Connect, Message, VERSIONS, subscribe_with};
use trefoil_tests::websocket::{Connection, frame, handshake};
use trefoil_tests::{Exchange, Hub, connect};

/// A connection that has been welcomed.
fn welcomed(hub: &Hub, version: u8) -> Connection {
    let mut client = Connection::new(hub.http_port(), "/mqtt");
    client.send(&frame(0x82, &Connect::new(version, "client").packet()));
    let (first_byte, connack) = client.receive().expect("a frame");
    assert_eq!((first_byte, connack[0], connack[3]), (0x82, 0x20, 0));
    client
}

/// The bytes of the frames that come until there are so many; each frame must be a binary one.
fn bytes(client: &mut Connection, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let (first_byte, payload) = client.receive().expect("a frame");
        assert_eq!(first_byte, 0x82, "a whole binary frame");
        bytes.extend(payload);
    }
    bytes
}

/// [MQTT-6.0.0-1] [v3 MQTT-6.0.0-1] MQTT comes and goes in binary frames; another data frame ends the connection.
#[test]
fn frames_are_binary() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = welcomed(&hub, version);
        client.send(&frame(0x82, &[0xC0, 0]));
        assert_eq!(client.receive(), Some((0x82, vec![0xD0, 0])));
        client.send(&frame(0x81, &[0xC0 & 0x7f, 0]));
        assert_eq!(client.close_code(), Some(1003));
        // Also as the first frame, and with text that would be a packet.
        let mut client = Connection::new(hub.http_port(), "/mqtt");
        client.send(&frame(0x81, &Connect::new(version, "client").packet()));
        assert_eq!(client.close_code(), Some(1003));
    }
}

/// [MQTT-6.0.0-2] [v3 MQTT-6.0.0-2] Where a frame ends means nothing: packets come in pieces of any size, and many in one.
#[test]
fn packets_are_not_aligned_with_frames() {
    let hub = Hub::start();
    for version in VERSIONS {
        let script = [
            Connect::new(version, "client").packet(),
            subscribe_with(version, 1, &[], &[("t", 0)]),
            Message::new("t", "payload").packet(version),
            vec![0xC0, 0],
        ]
        .concat();
        let mut answers = Vec::new();
        for piece in [1, 2, 3, 7, script.len()] {
            let mut client = Connection::new(hub.http_port(), "/mqtt");
            let frames: Vec<u8> = script.chunks(piece).flat_map(|bytes| frame(0x82, bytes)).collect();
            client.send(&frames);
            let mut said = bytes(&mut client, 1);
            while !said.ends_with(&[0xD0, 0]) {
                said.extend(bytes(&mut client, 1));
            }
            answers.push(said);
        }
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:02x?}");
        let message = Message::new("t", "payload").packet(version);
        assert!(answers[0].windows(message.len()).any(|bytes| bytes == message));
        // In fragments of one message, with a ping of WebSocket between them and an empty one.
        let mut client = welcomed(&hub, version);
        client.send(&[frame(0x02, &[0xC0]), frame(0x89, b"?"), frame(0x00, &[]), frame(0x80, &[0])].concat());
        assert_eq!(client.receive(), Some((0x8A, b"?".to_vec())));
        assert_eq!(client.receive(), Some((0x82, vec![0xD0, 0])));
    }
}

/// [MQTT-6.0.0-3] [v3 MQTT-6.0.0-3] A client that does not offer `mqtt` gets no WebSocket; one that offers the old name
/// only gets one for MQTT 3.1 only.
#[test]
fn the_subprotocol_is_needed() {
    let hub = Hub::start();
    for offered in ["", "Sec-WebSocket-Protocol: chat\r\n", "Sec-WebSocket-Protocol: MQTT\r\n"] {
        let mut stream = connect(hub.http_port());
        stream.offer(&handshake("/mqtt", offered));
        assert!(stream.rest().starts_with(b"HTTP/1.1 400 "), "{offered}");
    }
    for version in VERSIONS {
        let mut client = Connection::offering(hub.http_port(), "/mqtt", &["mqttv3.1"]);
        client.send(&frame(0x82, &Connect::new(version, "client").packet()));
        let (_, connack) = client.receive().expect("a frame");
        let code = match version {
            3 => 0,
            4 => 1,
            _ => 0x84,
        };
        assert_eq!((connack[0], connack[3]), (0x20, code), "version {version}");
    }
}

/// [MQTT-6.0.0-4] [v3 MQTT-6.0.0-4] The hub takes `mqtt`, wherever in the list and in whichever header it stands.
#[test]
fn the_subprotocol_is_mqtt() {
    let hub = Hub::start();
    for offered in [&["mqtt"][..], &["mqttv3.1", "mqtt"], &["mqtt", "mqttv3.1"], &["chat", "mqtt", "other"]] {
        for path in ["/mqtt", "/"] {
            assert_eq!(Connection::offering(hub.http_port(), path, offered).protocol, "mqtt", "{offered:?}");
        }
    }
    let mut stream = connect(hub.http_port());
    let headers = "Sec-WebSocket-Protocol: mqttv3.1\r\nSec-WebSocket-Protocol: mqtt\r\n";
    stream.offer(&handshake("/", headers));
    stream.offer(&frame(0x88, &[]));
    let said = String::from_utf8_lossy(&stream.rest()).into_owned();
    assert!(said.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{said}");
}

/// A rule of MQTT that is broken inside a frame ends the connection as it does elsewhere, and then WebSocket's.
#[test]
fn broken_rules_end_both_connections() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = welcomed(&hub, version);
        client.send(&frame(0x82, &[0xC1, 0]));
        if version == 5 {
            let (first_byte, goodbye) = client.receive().expect("a frame");
            assert_eq!((first_byte, goodbye[0], goodbye[2]), (0x82, 0xE0, 0x81));
        }
        assert_eq!(client.close_code(), Some(1002));
    }
}
