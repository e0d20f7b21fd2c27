//! MQTT by hand: packets written byte for byte, for what no client library would send.
//!
//! [`Connect`], [`Message`] and [`Will`] build packets that are right unless a test makes them wrong; [`property`] writes
//! properties; [`Packet`] and what it reads itself as show what came in, and panic when that is not well-formed.

pub mod property;
mod read;
mod write;

pub use read::{Ack, ConnAck, Disconnect, Packet, Publish, SubAck};
pub use write::{Connect, Message, Will, ack, ack_with, disconnect_with, subscribe_with, unsubscribe_with};

use crate::connect;
use crate::socket::or_end;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The versions, by their protocol levels: 3.1, 3.1.1 and 5.0.
pub const VERSIONS: [u8; 3] = [3, 4, 5];

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
    Connect::new(version, client_id).property(properties).packet()
}

/// SUBSCRIBE to one filter with packet id 1.
pub fn subscribe_packet(version: u8, filter: &str, qos: u8) -> Vec<u8> {
    subscribe_with(version, 1, &[], &[(filter, qos)])
}

/// PUBLISH at QoS 0.
pub fn publish_packet(version: u8, topic: &str, payload: &[u8]) -> Vec<u8> {
    Message::new(topic, payload).packet(version)
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
        Self::with(port, &Connect::new(version, client_id)).0
    }

    /// Connects, and must be accepted.
    pub fn with(port: u16, request: &Connect) -> (Self, ConnAck) {
        let (connection, answer) = Self::asking(port, request);
        let answer = answer.expect("a CONNACK, not the end of the connection");
        assert_eq!(answer.code, 0, "CONNACK: {answer:?}");
        (connection, answer)
    }

    /// Asks to connect; gives the answer, if there is one.
    pub fn asking(port: u16, request: &Connect) -> (Self, Option<ConnAck>) {
        // What is not of a known version is answered in that of MQTT 5, or not at all.
        let mut connection = Self::open(port, request.version);
        connection.send(&request.packet());
        let answer = connection.try_receive().map(|packet| packet.connack());
        (connection, answer)
    }

    /// Only the socket: what is sent first is up to the test.
    pub fn open(port: u16, version: u8) -> Self {
        Self { stream: connect(port), version }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the hub takes what is sent");
    }

    /// Sends bytes that the hub may close at.
    pub fn offer(&mut self, bytes: &[u8]) {
        crate::Exchange::offer(&mut self.stream, bytes);
    }

    /// The next packet.
    pub fn receive(&mut self) -> Packet {
        self.try_receive().expect("a packet, not the end of the connection")
    }

    /// The next packet; `None` when the hub has closed.
    pub fn try_receive(&mut self) -> Option<Packet> {
        let first_byte = self.byte()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                assert!(byte > 0 || shift == 7, "a remaining length in more bytes than it needs");
                break;
            }
        }
        let mut body = vec![0; length];
        or_end(self.stream.read_exact(&mut body))?;
        Some(Packet { version: self.version, first_byte, body })
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        or_end(self.stream.read_exact(&mut byte)).map(|()| byte[0])
    }

    /// Subscribes and waits for the answer.
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        self.send(&subscribe_packet(self.version, filter, qos));
        let answer = self.receive();
        assert_eq!((answer.first_byte, answer.body.last()), (0x90, Some(&qos)), "SUBACK: {answer:?}");
    }

    /// Subscribes with options and properties, and gives the answer.
    pub fn subscribe_with(&mut self, properties: &[u8], filters: &[(&str, u8)]) -> SubAck {
        self.send(&subscribe_with(self.version, 1, properties, filters));
        self.receive().suback()
    }

    /// Publishes at QoS 0.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.send(&publish_packet(self.version, topic, payload));
    }

    /// Sends a message and waits until the hub has taken it; at QoS 2 until it is complete.
    pub fn publish_and_wait(&mut self, message: &Message) {
        let bytes = message.packet(self.version);
        self.send(&bytes);
        match bytes[0] >> 1 & 3 {
            0 => self.ping(),
            1 => drop(self.receive().ack(0x40)),
            _ => {
                let packet_id = self.receive().ack(0x50).packet_id;
                self.send(&ack(0x62, packet_id));
                self.receive().ack(0x70);
            }
        }
    }

    /// The next packet, which must be a PUBLISH.
    pub fn receive_publish(&mut self) -> Publish {
        self.receive().publish()
    }

    /// The next packet, which must be a PUBLISH; it is acknowledged as its QoS asks for.
    pub fn receive_and_ack(&mut self) -> Publish {
        let message = self.receive_publish();
        match message.qos {
            0 => {}
            1 => self.send(&ack(0x40, message.packet_id)),
            _ => {
                self.send(&ack(0x50, message.packet_id));
                assert_eq!(self.receive().ack(0x62).packet_id, message.packet_id);
                self.send(&ack(0x70, message.packet_id));
            }
        }
        message
    }

    /// Waits for the answer to a ping: all that was sent before it has then been handled, and nothing else came.
    pub fn ping(&mut self) {
        self.send(&[0xC0, 0]);
        let answer = self.receive();
        assert_eq!(answer.first_byte, 0xD0, "PINGRESP: {answer:?}");
    }

    /// As [`ping`](Self::ping), with one packet before the answer that is passed over, as if the network had lost it.
    pub fn ping_past(&mut self, first_byte: u8) {
        self.send(&[0xC0, 0]);
        let (lost, answer) = (self.receive(), self.receive());
        assert_eq!((lost.first_byte, answer.first_byte), (first_byte, 0xD0), "{lost:?} {answer:?}");
    }

    /// The reason code of the DISCONNECT that ends the connection. Messages before it are passed over.
    pub fn disconnect_reason(&mut self) -> Option<u8> {
        self.ending().map(|goodbye| goodbye.reason)
    }

    /// Reads until the hub closes, which it must; gives the DISCONNECT that came last, if one came.
    pub fn ending(&mut self) -> Option<Disconnect> {
        let mut goodbye = None;
        while let Some(packet) = self.try_receive() {
            assert!(goodbye.is_none(), "behind DISCONNECT came {packet:?}");
            goodbye = (packet.first_byte == 0xE0).then(|| packet.disconnect());
        }
        goodbye
    }

    /// The hub must close: with this reason in MQTT 5, without a word in MQTT 3.
    pub fn expect_end(&mut self, reason: u8) {
        let expected = (self.version == 5).then_some(reason);
        assert_eq!(self.disconnect_reason(), expected, "the reason in DISCONNECT");
    }

    /// Says goodbye as a client should, and waits for the end.
    pub fn leave(mut self) {
        self.send(&[0xE0, 0]);
        assert_eq!(self.ending(), None, "nothing answers DISCONNECT");
    }

    /// Breaks the connection off as a network would, and waits until the hub has noticed.
    pub fn break_off(mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("the connection is there");
        self.ending();
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
