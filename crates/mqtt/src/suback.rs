//! SUBACK and UNSUBACK: the server's answers, with a reason code for each topic filter.

use std::fmt;

use crate::wire::{Reader, put_packet, put_with_length};
use crate::{DecodeError, PacketType, ReasonCode, ReasonProperties, Version};

/// The server's answer to SUBSCRIBE (section 3.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The packet identifier of the SUBSCRIBE [MQTT-2.2.1-6] [v3 MQTT-2.3.1-7].
    pub packet_id: u16,
    /// More about it. MQTT 5.0 only.
    pub properties: ReasonProperties<'a>,
    /// One for each topic filter, in the same order [MQTT-3.9.3-1] [v3 MQTT-3.9.3-1]. Before 5.0 every failure is written as 0x80.
    pub reasons: Reasons<'a>,
}

/// The server's answer to UNSUBSCRIBE (section 3.11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The packet identifier of the UNSUBSCRIBE [MQTT-2.2.1-6] [v3 MQTT-2.3.1-7].
    pub packet_id: u16,
    /// More about it. MQTT 5.0 only.
    pub properties: ReasonProperties<'a>,
    /// One for each topic filter, in the same order [MQTT-3.11.3-1]. Before 5.0 there are none.
    pub reasons: Reasons<'a>,
}

/// The reason codes of a SUBACK or UNSUBACK.
#[derive(Clone, Copy)]
pub struct Reasons<'a>(List<'a>);

#[derive(Clone, Copy)]
enum List<'a> {
    /// A payload that was checked.
    Wire(&'a [u8]),
    /// What a sender wants to say.
    Values(&'a [ReasonCode]),
}

impl<'a> SubAck<'a> {
    pub(crate) fn read(mut reader: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let (packet_id, properties) = read_start(PacketType::SubAck, &mut reader, version)?;
        let allowed = |reason: ReasonCode| {
            // [MQTT-3.9.3-2]; before 5.0 there were four of them.
            reason.is_for(PacketType::SubAck)
                && (version.is_v5() || !reason.is_error() || reason == ReasonCode::UnspecifiedError)
        };
        let reasons = Reasons::read(PacketType::SubAck, reader, allowed)?;
        Ok(SubAck { packet_id, properties, reasons })
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        put_packet(PacketType::SubAck.first_byte(), out, |out| {
            put_start(self.packet_id, &self.properties, version, out);
            // [v3 MQTT-3.9.3-2]
            out.extend(self.reasons.iter().map(|reason| {
                if reason.is_error() && !version.is_v5() {
                    ReasonCode::UnspecifiedError as u8
                } else {
                    reason as u8
                }
            }));
        });
    }
}

impl<'a> UnsubAck<'a> {
    pub(crate) fn read(mut reader: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet = PacketType::UnsubAck;
        let (packet_id, properties) = read_start(packet, &mut reader, version)?;
        let reasons = if version.is_v5() {
            Reasons::read(packet, reader, |reason| reason.is_for(packet))?
        } else {
            reader.finish()?;
            Reasons::default()
        };
        Ok(UnsubAck { packet_id, properties, reasons })
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        put_packet(PacketType::UnsubAck.first_byte(), out, |out| {
            put_start(self.packet_id, &self.properties, version, out);
            if version.is_v5() {
                out.extend(self.reasons.iter().map(|reason| reason as u8));
            }
        });
    }
}

fn read_start<'a>(
    packet: PacketType,
    reader: &mut Reader<'a>,
    version: Version,
) -> Result<(u16, ReasonProperties<'a>), DecodeError> {
    let packet_id = reader.packet_id()?;
    let properties =
        if version.is_v5() { ReasonProperties::read(packet, reader)? } else { ReasonProperties::default() };
    Ok((packet_id, properties))
}

fn put_start(packet_id: u16, properties: &ReasonProperties<'_>, version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(&packet_id.to_be_bytes());
    if version.is_v5() {
        // [MQTT-2.2.2-1]: also when there are none.
        put_with_length(out, |out| properties.put(out));
    }
}

impl<'a> Reasons<'a> {
    fn read(
        packet: PacketType,
        reader: Reader<'a>,
        allowed: impl Fn(ReasonCode) -> bool,
    ) -> Result<Self, DecodeError> {
        let codes = reader.rest();
        if codes.is_empty() {
            return Err(DecodeError::EmptyPayload);
        }
        match codes.iter().find(|&&code| !ReasonCode::from_u8(code).is_some_and(&allowed)) {
            Some(&code) => Err(DecodeError::InvalidReasonCode { packet, code }),
            None => Ok(Reasons(List::Wire(codes))),
        }
    }

    /// The reason codes, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> + use<'a> {
        let (wire, values) = match self.0 {
            List::Wire(wire) => (wire, &[][..]),
            List::Values(values) => (&[][..], values),
        };
        wire.iter().filter_map(|&code| ReasonCode::from_u8(code)).chain(values.iter().copied())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self.0 {
            List::Wire(wire) => wire.len(),
            List::Values(values) => values.len(),
        }
    }

    /// Whether there are none, as in an UNSUBACK before 5.0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The reason codes that a sender wants to say.
impl<'a> From<&'a [ReasonCode]> for Reasons<'a> {
    fn from(values: &'a [ReasonCode]) -> Self {
        Reasons(List::Values(values))
    }
}

impl Default for Reasons<'_> {
    fn default() -> Self {
        Reasons(List::Wire(&[]))
    }
}

impl PartialEq for Reasons<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Reasons<'_> {}

impl fmt::Debug for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Packet, decode};

    fn suback(bytes: &[u8], version: Version) -> Result<Vec<u8>, DecodeError> {
        match decode(bytes, version)? {
            Packet::SubAck(packet) => Ok(packet.reasons.iter().map(|reason| reason as u8).collect()),
            other => panic!("{other:?} is no SUBACK"),
        }
    }

    #[test]
    fn each_version_has_its_codes() {
        assert_eq!(suback(&[0x90, 6, 0, 1, 0, 1, 2, 0x80], Version::V3_1_1), Ok(vec![0, 1, 2, 0x80]));
        assert_eq!(suback(&[0x90, 5, 0, 1, 0, 2, 0xA2], Version::V5), Ok(vec![2, 0xA2]));
        let packet = PacketType::SubAck;
        for code in [3, 4, 0x83, 0x8F, 0x81] {
            let refused = Err(DecodeError::InvalidReasonCode { packet, code });
            assert_eq!(suback(&[0x90, 3, 0, 1, code], Version::V3_1_1), refused);
        }
        for code in [3, 4, 0x10, 0x81, 0xFF] {
            let refused = Err(DecodeError::InvalidReasonCode { packet, code });
            assert_eq!(suback(&[0x90, 4, 0, 1, 0, code], Version::V5), refused);
        }
    }

    #[test]
    fn failures_before_version_5_are_all_the_same() {
        let reasons = [ReasonCode::GrantedQoS1, ReasonCode::TopicFilterInvalid];
        let packet = SubAck { packet_id: 1, reasons: Reasons::from(&reasons[..]), ..SubAck::default() };
        let mut out = Vec::new();
        packet.encode(Version::V3_1_1, &mut out);
        assert_eq!(out, [0x90, 4, 0, 1, 1, 0x80]);
        out.clear();
        packet.encode(Version::V5, &mut out);
        assert_eq!(out, [0x90, 5, 0, 1, 0, 1, 0x8F]);
    }

    #[test]
    fn unsuback_has_codes_from_version_5_on() {
        let reasons = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
        let packet = UnsubAck { packet_id: 1, reasons: Reasons::from(&reasons[..]), ..UnsubAck::default() };
        let mut out = Vec::new();
        packet.encode(Version::V5, &mut out);
        assert_eq!(out, [0xB0, 5, 0, 1, 0, 0, 0x11]);
        assert_eq!(decode(&out, Version::V5), Ok(Packet::UnsubAck(packet)));
        out.clear();
        packet.encode(Version::V3_1_1, &mut out);
        assert_eq!(out, [0xB0, 2, 0, 1]);
        let Packet::UnsubAck(found) = decode(&out, Version::V3_1_1).unwrap() else { panic!("no UNSUBACK") };
        assert!(found.reasons.is_empty());
        assert_eq!(decode(&[0xB0, 3, 0, 1, 0], Version::V3_1_1), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn malformed_answers_are_refused() {
        assert_eq!(suback(&[0x90, 2, 0, 1], Version::V3_1_1), Err(DecodeError::EmptyPayload));
        assert_eq!(decode(&[0xB0, 3, 0, 1, 0], Version::V5), Err(DecodeError::EmptyPayload));
        assert_eq!(suback(&[0x90, 3, 0, 0, 0], Version::V3_1_1), Err(DecodeError::PacketIdZero));
        assert_eq!(
            suback(&[0x91, 3, 0, 1, 0], Version::V3_1),
            Err(DecodeError::ReservedFlags { first_byte: 0x91 })
        );
    }
}
