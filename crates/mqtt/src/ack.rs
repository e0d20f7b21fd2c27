//! PUBACK, PUBREC, PUBREL and PUBCOMP, which look alike, and the properties that all answers share.

use crate::property::{Property, Section, misplaced, once, put};
use crate::wire::{Reader, put_packet, put_with_length};
use crate::{DecodeError, PacketType, PropertyId, ReasonCode, UserProperties, Version};

/// What an answer may say beside its reason code. MQTT 5.0 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonProperties<'a> {
    /// The reason in words, for people.
    pub reason_string: Option<&'a str>,
    /// Name and value pairs.
    pub user_properties: UserProperties<'a>,
}

impl<'a> ReasonProperties<'a> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }

    /// Reads the property section of a packet that has these properties and no others.
    pub(crate) fn read(packet: PacketType, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = ReasonProperties::default();
        let mut section = Section::open(reader)?;
        while let Some(property) = section.next()? {
            match property {
                Property::ReasonString(text) => {
                    once(&mut properties.reason_string, text, PropertyId::ReasonString)?;
                }
                other => return Err(misplaced(other, packet)),
            }
        }
        properties.user_properties = section.user_properties();
        Ok(properties)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put(out, self.reason_string.map(Property::ReasonString));
        self.user_properties.put(out);
    }
}

/// An answer to a PUBLISH (sections 3.4 to 3.7): PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The packet identifier of the PUBLISH [MQTT-2.2.1-5] [v3 MQTT-2.3.1-6].
    pub packet_id: u16,
    /// How it went. Before 5.0 only success can be said.
    pub reason: ReasonCode,
    /// More about it. MQTT 5.0 only.
    pub properties: ReasonProperties<'a>,
}

impl<'a> Ack<'a> {
    /// An answer without more words.
    pub fn new(packet_id: u16, reason: ReasonCode) -> Self {
        Ack { packet_id, reason, properties: ReasonProperties::default() }
    }

    #[inline]
    pub(crate) fn read(
        packet: PacketType,
        mut reader: Reader<'a>,
        version: Version,
    ) -> Result<Self, DecodeError> {
        let mut ack = Ack::new(reader.packet_id()?, ReasonCode::Success);
        if !version.is_v5() || reader.is_empty() {
            reader.finish()?;
            return Ok(ack);
        }
        ack.reason = read_reason(packet, &mut reader)?;
        if !reader.is_empty() {
            ack.properties = ReasonProperties::read(packet, &mut reader)?;
        }
        reader.finish()?;
        Ok(ack)
    }

    /// Appends the packet to `out`, in its shortest form: a success without properties is four bytes.
    ///
    /// `packet` says which of the four it is.
    #[inline]
    pub fn encode(&self, packet: PacketType, version: Version, out: &mut Vec<u8>) {
        debug_assert!(
            matches!(
                packet,
                PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp
            ),
            "{packet} is no acknowledgement"
        );
        let [high, low] = self.packet_id.to_be_bytes();
        if !version.is_v5() || (self.reason == ReasonCode::Success && self.properties.is_empty()) {
            out.extend_from_slice(&[packet.first_byte(), 2, high, low]);
        } else if self.properties.is_empty() {
            out.extend_from_slice(&[packet.first_byte(), 3, high, low, self.reason as u8]);
        } else {
            put_packet(packet.first_byte(), out, |out| {
                out.extend_from_slice(&[high, low, self.reason as u8]);
                put_with_length(out, |out| self.properties.put(out));
            });
        }
    }
}

/// Reads a reason code that the packet may carry.
#[inline]
pub(crate) fn read_reason(packet: PacketType, reader: &mut Reader<'_>) -> Result<ReasonCode, DecodeError> {
    let code = reader.u8()?;
    ReasonCode::from_u8(code)
        .filter(|reason| reason.is_for(packet))
        .ok_or(DecodeError::InvalidReasonCode { packet, code })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Packet, UserPropertiesBuf, decode};

    const TYPES: [PacketType; 4] =
        [PacketType::PubAck, PacketType::PubRec, PacketType::PubRel, PacketType::PubComp];

    fn ack(bytes: &[u8], version: Version) -> Result<Ack<'_>, DecodeError> {
        match decode(bytes, version)? {
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => Ok(ack),
            other => panic!("{other:?} is no acknowledgement"),
        }
    }

    #[test]
    fn the_three_forms_of_version_5() {
        assert_eq!(ack(&[0x40, 2, 1, 2], Version::V5), Ok(Ack::new(0x0102, ReasonCode::Success)));
        assert_eq!(
            ack(&[0x40, 3, 0, 1, 0x10], Version::V5),
            Ok(Ack::new(1, ReasonCode::NoMatchingSubscribers))
        );
        assert_eq!(ack(&[0x62, 4, 0, 1, 0x92, 0], Version::V5).unwrap().reason as u8, 0x92);
        let long = [0x50, 14, 0, 1, 0x97, 10, 0x1F, 0, 1, b'x', 0x26, 0, 0, 0, 1, b'v'];
        let found = ack(&long, Version::V5).unwrap();
        assert_eq!(found.properties.reason_string, Some("x"));
        assert_eq!(found.properties.user_properties.iter().collect::<Vec<_>>(), [("", "v")]);
    }

    #[test]
    fn before_version_5_there_is_only_the_packet_identifier() {
        assert_eq!(ack(&[0x70, 2, 0, 9], Version::V3_1_1), Ok(Ack::new(9, ReasonCode::Success)));
        assert_eq!(ack(&[0x40, 3, 0, 9, 0], Version::V3_1_1), Err(DecodeError::TrailingBytes));
        let mut out = Vec::new();
        Ack::new(9, ReasonCode::QuotaExceeded).encode(PacketType::PubAck, Version::V3_1, &mut out);
        assert_eq!(out, [0x40, 2, 0, 9]);
    }

    #[test]
    fn a_packet_identifier_is_there_and_not_zero() {
        for packet in TYPES {
            for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
                assert_eq!(ack(&[packet.first_byte(), 2, 0, 0], version), Err(DecodeError::PacketIdZero));
                assert_eq!(ack(&[packet.first_byte(), 1, 0], version), Err(DecodeError::Truncated));
            }
        }
    }

    #[test]
    fn reserved_flags_are_refused() {
        // [MQTT-3.6.1-1] wants 0010 in PUBREL, the others want 0000.
        for packet in TYPES {
            for flags in 0..16 {
                let first_byte = (packet as u8) << 4 | flags;
                let wire = [first_byte, 2, 0, 1];
                let result = ack(&wire, Version::V3_1_1);
                if first_byte == packet.first_byte() {
                    assert!(result.is_ok());
                } else {
                    assert_eq!(result, Err(DecodeError::ReservedFlags { first_byte }));
                }
            }
        }
        // MQTT 3.1 has DUP in PUBREL.
        assert!(ack(&[0x6A, 2, 0, 1], Version::V3_1).is_ok());
        assert!(ack(&[0x60, 2, 0, 1], Version::V3_1).is_err());
    }

    #[test]
    fn reason_codes_of_other_packets_are_refused() {
        let refused = |packet, code| Err(DecodeError::InvalidReasonCode { packet, code });
        assert_eq!(ack(&[0x40, 3, 0, 1, 0x01], Version::V5), refused(PacketType::PubAck, 0x01));
        assert_eq!(ack(&[0x50, 3, 0, 1, 0x92], Version::V5), refused(PacketType::PubRec, 0x92));
        assert_eq!(ack(&[0x62, 3, 0, 1, 0x10], Version::V5), refused(PacketType::PubRel, 0x10));
        assert_eq!(ack(&[0x70, 3, 0, 1, 0xFF], Version::V5), refused(PacketType::PubComp, 0xFF));
    }

    #[test]
    fn properties_are_the_reason_string_once_and_user_properties() {
        let twice = [0x40, 12, 0, 1, 0, 8, 0x1F, 0, 1, b'a', 0x1F, 0, 1, b'b'];
        let property = PropertyId::ReasonString;
        assert_eq!(ack(&twice, Version::V5), Err(DecodeError::DuplicateProperty { property }));
        let misplaced = [0x40, 6, 0, 1, 0, 2, 0x01, 1];
        let (property, packet) = (PropertyId::PayloadFormat, PacketType::PubAck);
        assert_eq!(ack(&misplaced, Version::V5), Err(DecodeError::MisplacedProperty { property, packet }));
        assert_eq!(ack(&[0x40, 5, 0, 1, 0, 0, 9], Version::V5), Err(DecodeError::TrailingBytes));
        assert_eq!(ack(&[0x40, 4, 0, 1, 0, 9], Version::V5), Err(DecodeError::Truncated));
    }

    #[test]
    fn written_in_the_shortest_form() {
        let mut out = Vec::new();
        Ack::new(1, ReasonCode::Success).encode(PacketType::PubRel, Version::V5, &mut out);
        Ack::new(2, ReasonCode::PacketIdentifierNotFound).encode(PacketType::PubComp, Version::V5, &mut out);
        assert_eq!(out, [0x62, 2, 0, 1, 0x70, 3, 0, 2, 0x92]);
        let mut user = UserPropertiesBuf::new();
        user.push("n", "v").unwrap();
        let properties = ReasonProperties { reason_string: None, user_properties: user.as_ref() };
        let with_properties = Ack { packet_id: 3, reason: ReasonCode::Success, properties };
        out.clear();
        with_properties.encode(PacketType::PubAck, Version::V5, &mut out);
        assert_eq!(out, [0x40, 11, 0, 3, 0, 7, 0x26, 0, 1, b'n', 0, 1, b'v']);
        assert_eq!(ack(&out, Version::V5), Ok(with_properties));
    }
}
