//! One message to many WebSockets, each of which gets it in the way that it agreed on.

use super::compression::Codec;
use flate2::{Compress, Compression, Decompress};
use serde_json::Value;
use trefoil_tests::mqtt::{self, Message, Packet, Publish};
use trefoil_tests::websocket::{Connection, frame};
use trefoil_tests::{CONFIG, Hub};

/// What readers of the same thing offer.
const OFFERS: [&str; 5] = [
    "",
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=9\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=12\r\n",
];

/// Somebody who has shaken hands.
struct Reader {
    connection: Connection,
    codec: Codec,
}

impl Reader {
    fn new(hub: &Hub, path: &str, headers: &str) -> Reader {
        let connection = Connection::with_headers(hub.http_port(), path, headers);
        let codec = Codec {
            compress: Compress::new(Compression::new(6), false),
            decompress: Decompress::new(false),
            resets_compress: true,
            resets_decompress: connection.extensions.contains("server_no_context_takeover"),
        };
        Reader { connection, codec }
    }

    /// Somebody who has subscribed by the last of `requests`, each of which is answered.
    fn json(hub: &Hub, offer: &str, requests: &[&str]) -> Reader {
        let mut reader = Reader::new(hub, "/ws", offer);
        for request in requests {
            reader.connection.send_text(request);
            let (_, answer) = reader.receive_json();
            assert!(answer.get("error").is_none(), "{answer}");
        }
        reader
    }

    /// The next frame, and whether it came compressed.
    fn receive(&mut self) -> (bool, Vec<u8>) {
        let (first_byte, payload) = self.connection.receive().unwrap();
        let is_compressed = first_byte & 0x40 != 0;
        (is_compressed, if is_compressed { self.codec.inflate(&payload) } else { payload })
    }

    fn receive_json(&mut self) -> (bool, Value) {
        let (is_compressed, text) = self.receive();
        (is_compressed, serde_json::from_slice(&text).unwrap())
    }
}

/// JSON messages to receivers of every kind: with windows of several sizes, with one of their own, and without
/// compression; many at a time, acknowledged and not; also to those who would take binary frames.
#[test]
fn json() {
    for hello in [None, Some(r#"{"hello":{"binary":true}}"#)] {
        let hub = Hub::with_config(&format!("{CONFIG}\n[websocket]\ncontexts_max = 4\n"));
        for qos in [0, 1] {
            let sub = format!("{{\"sub\":\"many/{qos}\",\"qos\":{qos}}}");
            let requests: Vec<&str> = hello.into_iter().chain([sub.as_str()]).collect();
            let mut readers: Vec<_> =
                OFFERS.iter().map(|offer| Reader::json(&hub, offer, &requests)).collect();
            let mut publisher = Connection::new(hub.http_port(), "/ws");
            let data = |n: usize| format!("no {n} {}", "and so on ".repeat(n * 7 % 100));
            let publish = |n| {
                let data = data(n);
                format!("{{\"pub\":\"many/{qos}\",\"data\":\"{data}\",\"qos\":{qos},\"id\":{n}}}")
            };
            let frames: Vec<u8> = (0..100).flat_map(|n| frame(0x81, publish(n).as_bytes())).collect();
            publisher.send(&frames);
            let mut compressed = [0; 5];
            for (number, reader) in readers.iter_mut().enumerate() {
                for n in 0..100 {
                    let (is_compressed, message) = reader.receive_json();
                    compressed[number] += usize::from(is_compressed);
                    assert_eq!(message["data"], data(n), "{}", OFFERS[number]);
                    if qos == 1 {
                        reader.connection.send_text(&format!("{{\"ack\":{}}}", message["id"]));
                    }
                }
            }
            assert_eq!(compressed[0], 0);
            assert!(compressed[1..].iter().all(|&count| count > 50), "{hello:?}, QoS {qos}: {compressed:?}");
        }
    }
}

/// Who comes to a topic is told to all that follow it.
#[test]
fn presence() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[websocket]\ncontexts_max = 4\n"));
    let sub = r#"{"sub":"room","presence":true}"#;
    let mut readers: Vec<_> =
        OFFERS.iter().flat_map(|offer| [0, 1].map(|_| (offer, Reader::json(&hub, offer, &[sub])))).collect();
    let mut guest = Connection::new(hub.http_port(), "/ws");
    let info = "here I am ".repeat(60);
    guest.send_text(&format!("{{\"hello\":{{\"client\":\"guest\",\"info\":\"{info}\"}}}}"));
    guest.send_text("{\"sub\":\"room\"}");
    for (offer, reader) in &mut readers {
        let (is_compressed, came) = loop {
            let (is_compressed, object) = reader.receive_json();
            if object["join"] == "room" && object["client"] == "guest" {
                break (is_compressed, object);
            }
        };
        assert_eq!(came["info"], info, "{offer}");
        let is_shared = reader.connection.extensions.contains("server_no_context_takeover");
        assert_eq!(is_compressed, is_shared, "{offer}");
    }
}

/// Somebody who speaks MQTT, with bytes that are no whole packet yet.
struct MqttReader {
    reader: Reader,
    version: u8,
    rest: Vec<u8>,
    compressed: usize,
}

impl MqttReader {
    fn new(hub: &Hub, offer: &str, version: u8, client_id: &str) -> MqttReader {
        let headers = format!("Sec-WebSocket-Protocol: mqtt\r\n{offer}");
        let reader = Reader::new(hub, "/mqtt", &headers);
        let mut reader = MqttReader { reader, version, rest: Vec::new(), compressed: 0 };
        reader.send(&mqtt::connect_packet(version, client_id, &[]));
        assert_eq!(reader.receive().connack().code, 0);
        reader.send(&mqtt::subscribe_packet(version, "many/#", 1));
        assert_eq!(reader.receive().suback().codes, [1]);
        reader
    }

    fn send(&mut self, packet: &[u8]) {
        self.reader.connection.send(&frame(0x82, packet));
    }

    fn receive(&mut self) -> Packet {
        loop {
            if let Some((packet, packet_bytes)) = self.first_packet() {
                self.rest.drain(..packet_bytes);
                return packet;
            }
            let (is_compressed, payload) = self.reader.receive();
            self.compressed += usize::from(is_compressed);
            self.rest.extend(payload);
        }
    }

    fn first_packet(&self) -> Option<(Packet, usize)> {
        let (mut length, mut head_bytes) = (0, 1);
        loop {
            let byte = *self.rest.get(head_bytes)?;
            length |= usize::from(byte & 0x7f) << (7 * (head_bytes - 1));
            head_bytes += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let body = self.rest.get(head_bytes..head_bytes + length)?.to_vec();
        Some((Packet { version: self.version, first_byte: self.rest[0], body }, head_bytes + length))
    }
}

/// MQTT messages to receivers of both versions: many at a time and one by one, on several topics and on one, acknowledged and
/// not, short and long. What is put into frames once for all stands between what is so for each.
#[test]
fn mqtt_packets() {
    let hub = Hub::with_config(&format!(
        "{CONFIG}\n[websocket]\nmqtt_compression = true\ncontexts_max = 8\n[limits]\nreceive_max = 1000\n"
    ));
    let mut readers = Vec::new();
    for (number, offer) in OFFERS.iter().enumerate() {
        for version in [4, 5] {
            readers
                .push((offer, MqttReader::new(&hub, offer, version, &format!("reader {number} {version}"))));
        }
    }
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    let topic = |n: u16| format!("many/{}", if n < 200 { 0 } else { n / 3 % 4 });
    let payload = |n: u16| format!("no {n} {}", "and so on ".repeat(usize::from(n) * 7 % 150));
    let qos = |n: u16| u8::from(n % 20 == 7);
    let count = 400;
    let packets: Vec<_> =
        (1..=count).map(|n| Message::new(topic(n), payload(n)).qos(qos(n), n).packet(5)).collect();
    let (at_once, one_by_one) = packets.split_at(350);
    publisher.send(&at_once.concat());
    for packet in one_by_one {
        publisher.send(packet);
    }
    for (offer, reader) in &mut readers {
        for n in 1..=count {
            let Publish { topic: name, payload: bytes, qos: at, packet_id, .. } = reader.receive().publish();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!((name, text, at), (topic(n), payload(n), qos(n)), "{n} to {offer}");
            if packet_id > 0 {
                reader.send(&mqtt::ack(0x40, packet_id));
            }
        }
        assert_eq!(reader.compressed > 0, !offer.is_empty(), "{offer}");
    }
}
