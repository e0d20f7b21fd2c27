//! Packets as they came in.

use super::property::Properties;

/// One packet as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The version of the connection, which says whether there are properties.
    pub version: u8,
    /// Type and flags.
    pub first_byte: u8,
    /// Everything behind the fixed header.
    pub body: Vec<u8>,
}

/// CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// The byte of flags, of which only the lowest means something: session present.
    pub flags: u8,
    /// Return code or reason code.
    pub code: u8,
    /// Properties of MQTT 5.
    pub properties: Properties,
}

/// PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the specification")]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    /// 0 at QoS 0.
    pub packet_id: u16,
    pub properties: Properties,
    pub payload: Vec<u8>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the specification")]
pub struct Ack {
    pub packet_id: u16,
    /// 0 when the packet ends before it.
    pub reason: u8,
    pub properties: Properties,
}

/// SUBACK or UNSUBACK.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the specification")]
pub struct SubAck {
    pub packet_id: u16,
    pub properties: Properties,
    pub codes: Vec<u8>,
}

/// DISCONNECT or AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the specification")]
pub struct Disconnect {
    /// 0 when the packet ends before it.
    pub reason: u8,
    pub properties: Properties,
}

impl Packet {
    /// The bytes, as they came.
    pub fn bytes(&self) -> Vec<u8> {
        super::packet(self.first_byte, &self.body)
    }

    /// Reads it as a CONNACK.
    pub fn connack(&self) -> ConnAck {
        let mut rest = self.expect(&[0x20]);
        let (flags, code) = (take(&mut rest, 1)[0], take(&mut rest, 1)[0]);
        let answer = ConnAck { flags, code, properties: self.properties(&mut rest) };
        nothing_left(rest);
        answer
    }

    /// Reads it as a PUBLISH.
    pub fn publish(&self) -> Publish {
        assert_eq!(self.first_byte >> 4, 3, "PUBLISH: {self:?}");
        let mut rest = &self.body[..];
        let qos = self.first_byte >> 1 & 3;
        assert!(qos < 3, "QoS 3: {self:?}");
        let topic = text(&mut rest);
        let packet_id = if qos > 0 { two(&mut rest) } else { 0 };
        let properties = self.properties(&mut rest);
        let (dup, retain) = (self.first_byte & 8 != 0, self.first_byte & 1 != 0);
        Publish { dup, qos, retain, topic, packet_id, properties, payload: rest.to_vec() }
    }

    /// Reads it as a PUBACK, PUBREC, PUBREL or PUBCOMP: the one that begins with `first_byte`.
    pub fn ack(&self, first_byte: u8) -> Ack {
        let mut rest = self.expect(&[first_byte]);
        let packet_id = two(&mut rest);
        let Disconnect { reason, properties } = self.reason(rest);
        Ack { packet_id, reason, properties }
    }

    /// Reads it as a SUBACK or UNSUBACK.
    pub fn suback(&self) -> SubAck {
        let mut rest = self.expect(&[0x90, 0xB0]);
        let packet_id = two(&mut rest);
        let properties = self.properties(&mut rest);
        SubAck { packet_id, properties, codes: rest.to_vec() }
    }

    /// Reads it as a DISCONNECT, or as an AUTH.
    pub fn disconnect(&self) -> Disconnect {
        self.reason(self.expect(&[0xE0, 0xF0]))
    }

    fn expect(&self, first_bytes: &[u8]) -> &[u8] {
        assert!(first_bytes.contains(&self.first_byte), "one of {first_bytes:02x?}: {self:02x?}");
        &self.body
    }

    fn properties(&self, rest: &mut &[u8]) -> Properties {
        if self.version == 5 { Properties::take(rest) } else { Properties::default() }
    }

    /// A reason and properties, of which each may be left out.
    fn reason(&self, mut rest: &[u8]) -> Disconnect {
        assert!(self.version == 5 || rest.is_empty(), "MQTT 3 has no reasons: {self:?}");
        let reason = if rest.is_empty() { 0 } else { take(&mut rest, 1)[0] };
        let properties = if rest.is_empty() { Properties::default() } else { self.properties(&mut rest) };
        nothing_left(rest);
        Disconnect { reason, properties }
    }
}

fn nothing_left(rest: &[u8]) {
    assert!(rest.is_empty(), "left over at the end of a packet: {rest:02x?}");
}

pub(super) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at_checked(count).expect("the packet is as long as it says");
    *bytes = rest;
    taken
}

fn two(bytes: &mut &[u8]) -> u16 {
    let taken = take(bytes, 2);
    u16::from_be_bytes([taken[0], taken[1]])
}

pub(super) fn bytes<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = two(bytes).into();
    take(bytes, length)
}

pub(super) fn text(from: &mut &[u8]) -> String {
    String::from_utf8(bytes(from).to_vec()).expect("the hub sends UTF-8")
}

/// A variable byte integer, which must be as short as can be.
pub(super) fn varint(bytes: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, 1)[0];
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            assert!(byte != 0 || shift == 0, "a length in more bytes than it needs");
            return value;
        }
        shift += 7;
    }
}
