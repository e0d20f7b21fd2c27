//! Any packet: which type it is, and the way to the decoder and encoder of that type.

use std::fmt;

use crate::wire::{Reader, put_packet};
use crate::{
    Ack, Auth, ConnAck, Connect, DecodeError, Disconnect, PACKET_BYTES_MAX, Publish, SubAck, Subscribe,
    UnsubAck, Unsubscribe, Version, frame,
};

/// The fifteen packet types; the number is the upper half of a packet's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// A client asks to connect.
    Connect = 1,
    /// The server's answer to CONNECT.
    ConnAck = 2,
    /// A message.
    Publish = 3,
    /// QoS 1: the message has come.
    PubAck = 4,
    /// QoS 2, first answer: the message has come.
    PubRec = 5,
    /// QoS 2: the sender lets go of the message.
    PubRel = 6,
    /// QoS 2: done.
    PubComp = 7,
    /// A client asks for subscriptions.
    Subscribe = 8,
    /// The server's answer to SUBSCRIBE.
    SubAck = 9,
    /// A client ends subscriptions.
    Unsubscribe = 10,
    /// The server's answer to UNSUBSCRIBE.
    UnsubAck = 11,
    /// Are you there?
    PingReq = 12,
    /// I am.
    PingResp = 13,
    /// The last packet of a connection.
    Disconnect = 14,
    /// A step of extended authentication. MQTT 5.0 only.
    Auth = 15,
}

impl PacketType {
    /// The type that a packet's first byte announces; `None` for the forbidden 0.
    pub const fn from_first_byte(first_byte: u8) -> Option<PacketType> {
        use PacketType as T;
        Some(match first_byte >> 4 {
            1 => T::Connect,
            2 => T::ConnAck,
            3 => T::Publish,
            4 => T::PubAck,
            5 => T::PubRec,
            6 => T::PubRel,
            7 => T::PubComp,
            8 => T::Subscribe,
            9 => T::SubAck,
            10 => T::Unsubscribe,
            11 => T::UnsubAck,
            12 => T::PingReq,
            13 => T::PingResp,
            14 => T::Disconnect,
            15 => T::Auth,
            _ => return None,
        })
    }

    /// The name as the specification writes it.
    pub const fn name(self) -> &'static str {
        match self {
            PacketType::Connect => "CONNECT",
            PacketType::ConnAck => "CONNACK",
            PacketType::Publish => "PUBLISH",
            PacketType::PubAck => "PUBACK",
            PacketType::PubRec => "PUBREC",
            PacketType::PubRel => "PUBREL",
            PacketType::PubComp => "PUBCOMP",
            PacketType::Subscribe => "SUBSCRIBE",
            PacketType::SubAck => "SUBACK",
            PacketType::Unsubscribe => "UNSUBSCRIBE",
            PacketType::UnsubAck => "UNSUBACK",
            PacketType::PingReq => "PINGREQ",
            PacketType::PingResp => "PINGRESP",
            PacketType::Disconnect => "DISCONNECT",
            PacketType::Auth => "AUTH",
        }
    }

    /// The first byte of a packet whose flags are fixed, which is any but PUBLISH [MQTT-2.1.3-1] [MQTT-3.15.1-1]
    /// [v3 MQTT-2.2.2-1].
    pub(crate) const fn first_byte(self) -> u8 {
        let flags = match self {
            // [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [v3 MQTT-3.6.1-1], [v3 MQTT-3.8.1-1], [v3 MQTT-3.10.1-1]
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
            _ => 0,
        };
        (self as u8) << 4 | flags
    }

    /// Whether the flags in the first byte are those that this type has to have; in DISCONNECT they are all reserved
    /// [MQTT-3.14.1-1] [v3 MQTT-3.14.1-1].
    const fn allows(self, first_byte: u8, version: Version) -> bool {
        /// MQTT 3.1 lets a sender mark the packets that it repeats.
        const DUP: u8 = 0b1000;
        let expected = self.first_byte();
        first_byte == expected
            || matches!(self, PacketType::Publish)
            || (matches!(version, Version::V3_1) && expected & 0b0010 != 0 && first_byte == expected | DUP)
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A packet that borrows from the bytes it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The variants say no more than the types in them.
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

/// Decodes exactly one packet, as [`frame()`] has measured it. A CONNECT says its version itself; for all others it is
/// the one that the connection was opened with.
///
/// # Errors
/// The first rule that the packet breaks.
#[inline]
pub fn decode<'a>(bytes: &'a [u8], version: Version) -> Result<Packet<'a>, DecodeError> {
    let (first_byte, reader) = open(bytes)?;
    let Some(packet_type) = PacketType::from_first_byte(first_byte) else {
        return Err(DecodeError::UnknownPacketType { packet_type: 0 });
    };
    // [MQTT-2.1.3-1] [v3 MQTT-2.2.2-2]
    if !packet_type.allows(first_byte, version) {
        return Err(DecodeError::ReservedFlags { first_byte });
    }
    Ok(match packet_type {
        PacketType::Publish => Packet::Publish(Publish::read(first_byte, reader, version)?),
        PacketType::PubAck => Packet::PubAck(Ack::read(packet_type, reader, version)?),
        PacketType::PubRec => Packet::PubRec(Ack::read(packet_type, reader, version)?),
        PacketType::PubRel => Packet::PubRel(Ack::read(packet_type, reader, version)?),
        PacketType::PubComp => Packet::PubComp(Ack::read(packet_type, reader, version)?),
        PacketType::Connect => Packet::Connect(Connect::read(reader)?),
        PacketType::ConnAck => Packet::ConnAck(ConnAck::read(reader, version)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::read(reader, version)?),
        PacketType::SubAck => Packet::SubAck(SubAck::read(reader, version)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::read(reader, version)?),
        PacketType::UnsubAck => Packet::UnsubAck(UnsubAck::read(reader, version)?),
        PacketType::PingReq => reader.finish().map(|()| Packet::PingReq)?,
        PacketType::PingResp => reader.finish().map(|()| Packet::PingResp)?,
        PacketType::Disconnect => Packet::Disconnect(Disconnect::read(reader, version)?),
        // AUTH came with 5.0; before, its number was reserved.
        PacketType::Auth if !version.is_v5() => {
            return Err(DecodeError::UnknownPacketType { packet_type: 15 });
        }
        PacketType::Auth => Packet::Auth(Auth::read(reader)?),
    })
}

/// Parts the first byte from what comes after the fixed header, and makes sure that the bytes are one whole packet.
#[inline]
pub(crate) fn open(bytes: &[u8]) -> Result<(u8, Reader<'_>), DecodeError> {
    let found = frame(bytes, PACKET_BYTES_MAX)?.ok_or(DecodeError::Truncated)?;
    if found.len != bytes.len() {
        return Err(if found.len > bytes.len() {
            DecodeError::Truncated
        } else {
            DecodeError::TrailingBytes
        });
    }
    Ok((found.first_byte, Reader::new(&bytes[found.header_len..])))
}

impl Packet<'_> {
    /// The type of the packet.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::PubAck(_) => PacketType::PubAck,
            Packet::PubRec(_) => PacketType::PubRec,
            Packet::PubRel(_) => PacketType::PubRel,
            Packet::PubComp(_) => PacketType::PubComp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }

    /// Appends the packet to `out`; a CONNECT in the version that it announces, all others in the given one.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match self {
            Packet::Connect(packet) => packet.encode(packet.version, out),
            Packet::ConnAck(packet) => packet.encode(version, out),
            Packet::Publish(packet) => {
                packet.encode(version, out);
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
                ack.encode(self.packet_type(), version, out);
            }
            Packet::Subscribe(packet) => packet.encode(version, out),
            Packet::SubAck(packet) => packet.encode(version, out),
            Packet::Unsubscribe(packet) => packet.encode(version, out),
            Packet::UnsubAck(packet) => packet.encode(version, out),
            Packet::PingReq | Packet::PingResp => put_packet(self.packet_type().first_byte(), out, |_| ()),
            Packet::Disconnect(packet) => packet.encode(version, out),
            Packet::Auth(packet) => packet.encode(version, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

    #[test]
    fn pings_are_two_bytes() {
        for version in VERSIONS {
            for (packet, wire) in [(Packet::PingReq, [0xC0, 0]), (Packet::PingResp, [0xD0, 0])] {
                let mut out = Vec::new();
                packet.encode(version, &mut out);
                assert_eq!(out, wire);
                assert_eq!(decode(&wire, version), Ok(packet));
                assert_eq!(decode(&[wire[0], 1, 0], version), Err(DecodeError::TrailingBytes));
                let first_byte = wire[0] | 1;
                assert_eq!(decode(&[first_byte, 0], version), Err(DecodeError::ReservedFlags { first_byte }));
            }
        }
    }

    #[test]
    fn types_and_first_bytes_agree() {
        assert_eq!(PacketType::from_first_byte(0x0F), None);
        for number in 1..=15 {
            let packet_type = PacketType::from_first_byte(number << 4).expect("1 to 15 exist");
            assert_eq!(packet_type as u8, number);
            assert_eq!(PacketType::from_first_byte(packet_type.first_byte()), Some(packet_type));
        }
    }

    #[test]
    fn flags_are_looked_at_before_the_body() {
        // [MQTT-2.1.3-1]: of the sixteen forms of each type but PUBLISH, one is right.
        for version in [Version::V3_1_1, Version::V5] {
            for packet_type in (1..=15).filter_map(|number| PacketType::from_first_byte(number << 4)) {
                let refused = (0..16)
                    .map(|flags| (packet_type as u8) << 4 | flags)
                    .filter(|&first_byte| {
                        decode(&[first_byte, 0], version) == Err(DecodeError::ReservedFlags { first_byte })
                    })
                    .count();
                assert_eq!(refused, if packet_type == PacketType::Publish { 0 } else { 15 }, "{packet_type}");
            }
        }
    }

    #[test]
    fn the_bytes_are_one_packet_exactly() {
        assert_eq!(decode(&[], Version::V5), Err(DecodeError::Truncated));
        assert_eq!(decode(&[0xC0], Version::V5), Err(DecodeError::Truncated));
        assert_eq!(decode(&[0x40, 2, 0], Version::V5), Err(DecodeError::Truncated));
        assert_eq!(decode(&[0xC0, 0, 0xC0, 0], Version::V5), Err(DecodeError::TrailingBytes));
        assert_eq!(decode(&[0x00, 0], Version::V5), Err(DecodeError::UnknownPacketType { packet_type: 0 }));
    }
}
