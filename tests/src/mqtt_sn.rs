//! A small device that speaks MQTT-SN by hand: datagrams as bytes, the length put in front.

use crate::DEADLINE;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// Packet types, as they stand in a packet.
#[allow(missing_docs, reason = "the names are those of the specification")]
pub mod kind {
    pub const ADVERTISE: u8 = 0x00;
    pub const SEARCHGW: u8 = 0x01;
    pub const GWINFO: u8 = 0x02;
    pub const CONNECT: u8 = 0x04;
    pub const CONNACK: u8 = 0x05;
    pub const WILLTOPICREQ: u8 = 0x06;
    pub const WILLTOPIC: u8 = 0x07;
    pub const WILLMSGREQ: u8 = 0x08;
    pub const WILLMSG: u8 = 0x09;
    pub const REGISTER: u8 = 0x0a;
    pub const REGACK: u8 = 0x0b;
    pub const PUBLISH: u8 = 0x0c;
    pub const PUBACK: u8 = 0x0d;
    pub const PUBCOMP: u8 = 0x0e;
    pub const PUBREC: u8 = 0x0f;
    pub const PUBREL: u8 = 0x10;
    pub const SUBSCRIBE: u8 = 0x12;
    pub const SUBACK: u8 = 0x13;
    pub const UNSUBSCRIBE: u8 = 0x14;
    pub const UNSUBACK: u8 = 0x15;
    pub const PINGREQ: u8 = 0x16;
    pub const PINGRESP: u8 = 0x17;
    pub const DISCONNECT: u8 = 0x18;
    pub const WILLTOPICUPD: u8 = 0x1a;
    pub const WILLTOPICRESP: u8 = 0x1b;
    pub const WILLMSGUPD: u8 = 0x1c;
    pub const WILLMSGRESP: u8 = 0x1d;
}

/// Flags of CONNECT.
pub const CLEAN: u8 = 0x04;
/// The client has a will.
pub const WILL: u8 = 0x08;

/// A UDP socket that talks to the gateway: a device with an address of its own.
pub struct Device {
    socket: UdpSocket,
}

impl Device {
    /// A device that has said nothing yet.
    pub fn new(port: u16) -> Device {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("port 0 is always free");
        socket.connect((Ipv4Addr::LOCALHOST, port)).expect("a loopback address");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        Device { socket }
    }

    /// A device that is connected, with a clean session and a keep-alive of a minute.
    pub fn connected(port: u16, client_id: &str) -> Device {
        let device = Device::new(port);
        device.connect(CLEAN, 60, client_id);
        device
    }

    /// Sends CONNECT and takes the CONNACK.
    pub fn connect(&self, flags: u8, keep_alive_s: u16, client_id: &str) {
        self.send(kind::CONNECT, &connect_body(flags, keep_alive_s, client_id));
        self.expect(kind::CONNACK, &[0]);
    }

    /// Sends a packet.
    pub fn send(&self, kind: u8, body: &[u8]) {
        let len = body.len() + 2;
        let packet = match u8::try_from(len) {
            Ok(len) => [&[len, kind], body].concat(),
            Err(_) => {
                let [high, low] = u16::try_from(len + 2).expect("it fits").to_be_bytes();
                [&[1, high, low, kind], body].concat()
            }
        };
        self.offer(&packet);
    }

    /// Sends any bytes.
    pub fn offer(&self, datagram: &[u8]) {
        self.socket.send(datagram).expect("the gateway's port is open");
    }

    /// The next packet: its type and what follows.
    pub fn receive(&self) -> (u8, Vec<u8>) {
        let mut buffer = [0; 65_536];
        let count = self.socket.recv(&mut buffer).expect("a datagram before the deadline");
        unpack(&buffer[..count])
    }

    /// The next packet, which must be this one.
    pub fn expect(&self, kind: u8, body: &[u8]) {
        let got = self.receive();
        assert_eq!(
            got,
            (kind, body.to_vec()),
            "expected {kind:#04x} {body:02x?}, got {:#04x} {:02x?}",
            got.0,
            got.1
        );
    }

    /// Sends a packet and takes the one that follows.
    pub fn ask(&self, kind: u8, body: &[u8]) -> (u8, Vec<u8>) {
        self.send(kind, body);
        self.receive()
    }

    /// Nothing but the answer to a ping comes: all that was sent to it before is here.
    pub fn expect_nothing(&self) {
        self.send(kind::PINGREQ, &[]);
        self.expect(kind::PINGRESP, &[]);
    }

    /// Nothing but the answer to a search for a gateway comes.
    pub fn expect_gateway(&self) {
        assert_eq!(self.ask(kind::SEARCHGW, &[0]).0, kind::GWINFO);
    }

    /// What has come already, or comes within a moment.
    pub fn try_receive(&self) -> Option<(u8, Vec<u8>)> {
        std::thread::sleep(Duration::from_millis(1));
        self.try_receive_now()
    }

    /// What has come already.
    pub fn try_receive_now(&self) -> Option<(u8, Vec<u8>)> {
        let mut buffer = [0; 65_536];
        self.socket.set_nonblocking(true).expect("a socket");
        let received = self.socket.recv(&mut buffer);
        self.socket.set_nonblocking(false).expect("a socket");
        match received {
            Ok(count) => Some(unpack(&buffer[..count])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("the gateway's port is closed: {error}"),
        }
    }

    /// Registers a topic; gives its id.
    pub fn register(&self, topic: &str) -> u16 {
        let (kind, body) = self.ask(kind::REGISTER, &[&[0, 0, 0, 9], topic.as_bytes()].concat());
        assert_eq!((kind, &body[2..]), (kind::REGACK, &[0, 9, 0][..]));
        u16::from_be_bytes([body[0], body[1]])
    }

    /// Subscribes by name; gives the topic id of the answer.
    pub fn subscribe(&self, filter: &str, qos: u8) -> u16 {
        let (kind, body) = self.ask(kind::SUBSCRIBE, &[&[qos << 5, 0, 8], filter.as_bytes()].concat());
        assert_eq!((kind, body[0], &body[3..]), (kind::SUBACK, qos << 5, &[0, 8, 0][..]));
        u16::from_be_bytes([body[1], body[2]])
    }

    /// Takes the REGISTER of the gateway for a topic, and acknowledges it; gives the id.
    pub fn learn(&self, topic: &str) -> u16 {
        let (kind, body) = self.receive();
        assert_eq!((kind, &body[4..]), (kind::REGISTER, topic.as_bytes()), "{kind:#04x} {body:02x?}");
        self.send(kind::REGACK, &[body[0], body[1], body[2], body[3], 0]);
        u16::from_be_bytes([body[0], body[1]])
    }

    /// Publishes to a registered topic.
    pub fn publish(&self, qos: u8, topic_id: u16, msg_id: u16, payload: &str) {
        self.send(kind::PUBLISH, &publish_body(qos << 5, topic_id.to_be_bytes(), msg_id, payload));
    }

    /// Takes a message at QoS 1, and acknowledges it. Gives flags, topic id and payload.
    pub fn take(&self) -> (u8, u16, String) {
        let (kind, body) = self.receive();
        assert_eq!(kind, kind::PUBLISH, "{kind:#04x} {body:02x?}");
        if body[0] & 0x60 == 0x20 {
            self.send(kind::PUBACK, &[body[1], body[2], body[3], body[4], 0]);
        }
        let payload = String::from_utf8(body[5..].to_vec()).expect("text");
        (body[0], u16::from_be_bytes([body[1], body[2]]), payload)
    }
}

/// What follows the type of a CONNECT.
pub fn connect_body(flags: u8, keep_alive_s: u16, client_id: &str) -> Vec<u8> {
    [&[flags, 1], &keep_alive_s.to_be_bytes()[..], client_id.as_bytes()].concat()
}

/// What follows the type of a PUBLISH.
pub fn publish_body(flags: u8, topic: [u8; 2], msg_id: u16, payload: &str) -> Vec<u8> {
    [&[flags], &topic[..], &msg_id.to_be_bytes()[..], payload.as_bytes()].concat()
}

/// Type and what follows of a packet.
pub(crate) fn unpack(datagram: &[u8]) -> (u8, Vec<u8>) {
    match datagram {
        [1, high, low, kind, body @ ..] => {
            assert_eq!(usize::from(u16::from_be_bytes([*high, *low])), datagram.len());
            (*kind, body.to_vec())
        }
        [len, kind, body @ ..] => {
            assert_eq!(usize::from(*len), datagram.len());
            (*kind, body.to_vec())
        }
        _ => panic!("no packet: {datagram:02x?}"),
    }
}
