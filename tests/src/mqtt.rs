//! MQTT by hand: packets written byte for byte, for what no client library would send.

use crate::connect;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A packet with its fixed header: `body` behind `first_byte` and the remaining length.
pub fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    variable_byte_integer(body.len(), &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// MQTT's variable byte integer.
pub fn variable_byte_integer(mut value: usize, out: &mut Vec<u8>) {
    loop {
        let low = (value % 128) as u8;
        value /= 128;
        out.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

/// A string with its length in front.
pub fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let length = u16::try_from(text.len()).expect("a short string");
    [&length.to_be_bytes(), text].concat()
}

/// CONNECT with a clean start. `version` is 3, 4 or 5; `properties` are those of MQTT 5, without their length.
pub fn connect_packet(version: u8, client_id: &str, properties: &[u8]) -> Vec<u8> {
    let name = if version == 3 { "MQIsdp" } else { "MQTT" };
    let mut body = [&string(name)[..], &[version, 0x02, 0, 60]].concat();
    if version == 5 {
        variable_byte_integer(properties.len(), &mut body);
        body.extend_from_slice(properties);
    }
    body.extend(string(client_id));
    packet(0x10, &body)
}

/// SUBSCRIBE to one filter with packet id 1.
pub fn subscribe_packet(version: u8, filter: &str, qos: u8) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    packet(0x82, &[&[0, 1], properties, &string(filter), &[qos]].concat())
}

/// PUBLISH at QoS 0.
pub fn publish_packet(version: u8, topic: &str, payload: &[u8]) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    packet(0x30, &[&string(topic), properties, payload].concat())
}

/// One packet as it came in.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet {
    /// Type and flags.
    pub first_byte: u8,
    /// Everything behind the fixed header.
    pub body: Vec<u8>,
}

/// A connection that speaks MQTT because somebody writes it by hand.
pub struct Connection {
    /// The socket, for bytes that are no packets.
    pub stream: TcpStream,
    version: u8,
}

impl Connection {
    /// Connects with a client id and a clean start.
    pub fn new(port: u16, version: u8, client_id: &str) -> Self {
        let mut connection = Self { stream: connect(port), version };
        connection.send(&connect_packet(version, client_id, &[]));
        let answer = connection.receive();
        assert_eq!((answer.first_byte, answer.body[1]), (0x20, 0), "CONNACK: {answer:?}");
        connection
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the hub takes what is sent");
    }

    /// The next packet.
    pub fn receive(&mut self) -> Packet {
        self.try_receive().expect("a packet, not the end of the connection")
    }

    /// The next packet; `None` when the hub has closed.
    pub fn try_receive(&mut self) -> Option<Packet> {
        let mut first_byte = [0];
        if self.stream.read(&mut first_byte).ok()? == 0 {
            return None;
        }
        let (mut length, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some(Packet { first_byte: first_byte[0], body })
    }

    /// Subscribes and waits for the answer.
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        self.send(&subscribe_packet(self.version, filter, qos));
        let answer = self.receive();
        assert_eq!((answer.first_byte, answer.body.last()), (0x90, Some(&qos)), "SUBACK: {answer:?}");
    }

    /// Publishes at QoS 0.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.send(&publish_packet(self.version, topic, payload));
    }

    /// Waits for the answer to a ping: all that was sent before it has then been handled.
    pub fn ping(&mut self) {
        self.send(&[0xC0, 0]);
        let answer = self.receive();
        assert_eq!(answer.first_byte, 0xD0, "PINGRESP: {answer:?}");
    }

    /// The reason code of the DISCONNECT that ends the connection. Messages before it are passed over.
    pub fn disconnect_reason(&mut self) -> Option<u8> {
        let mut reason = None;
        while let Some(packet) = self.try_receive() {
            if packet.first_byte == 0xE0 {
                reason = Some(packet.body.first().copied().unwrap_or(0));
            }
        }
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_the_specification_has_them() {
        for (value, bytes) in [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (16_384, &[0x80, 0x80, 1])] {
            let mut out = Vec::new();
            variable_byte_integer(value, &mut out);
            assert_eq!(out, bytes);
        }
        assert_eq!(publish_packet(4, "a", b"x"), [0x30, 4, 0, 1, b'a', b'x']);
    }
}
