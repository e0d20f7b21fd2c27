//! AUTH: a step of extended authentication.

use crate::ack::read_reason;
use crate::property::{Property, Section, misplaced, once, put};
use crate::wire::{Reader, put_packet, put_with_length};
use crate::{DecodeError, PacketType, PropertyId, ReasonCode, ReasonProperties, Version};

/// A step of extended authentication (section 3.15). MQTT 5.0 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth<'a> {
    /// `Success`, `ContinueAuthentication` or `ReAuthenticate`.
    pub reason: ReasonCode,
    /// The method. Always there, save in the empty packet that means success.
    pub authentication_method: Option<&'a str>,
    /// What the method has to say.
    pub authentication_data: Option<&'a [u8]>,
    /// More about it.
    pub properties: ReasonProperties<'a>,
}

impl<'a> Auth<'a> {
    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let mut auth = Auth::default();
        // Section 3.15.2.1 lets success without properties be empty.
        if reader.is_empty() {
            return Ok(auth);
        }
        auth.reason = read_reason(PacketType::Auth, &mut reader)?;
        if !reader.is_empty() {
            auth.read_properties(Section::open(&mut reader)?)?;
        }
        reader.finish()?;
        // Section 3.15.2.2.2 wants a method in every other AUTH.
        if auth.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationMethodMissing);
        }
        Ok(auth)
    }

    fn read_properties(&mut self, mut section: Section<'a>) -> Result<(), DecodeError> {
        use {Property as P, PropertyId as Id};
        while let Some(property) = section.next()? {
            match property {
                P::AuthenticationMethod(method) => {
                    once(&mut self.authentication_method, method, Id::AuthenticationMethod)?;
                }
                P::AuthenticationData(data) => {
                    once(&mut self.authentication_data, data, Id::AuthenticationData)?
                }
                P::ReasonString(text) => once(&mut self.properties.reason_string, text, Id::ReasonString)?,
                other => return Err(misplaced(other, PacketType::Auth)),
            }
        }
        self.properties.user_properties = section.user_properties();
        Ok(())
    }

    /// Appends the packet to `out`. Versions before 5.0 have no such packet: then nothing is appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        if !version.is_v5() {
            return;
        }
        put_packet(PacketType::Auth.first_byte(), out, |out| {
            if *self == Auth::default() {
                return;
            }
            out.push(self.reason as u8);
            put_with_length(out, |out| {
                put(out, self.authentication_method.map(Property::AuthenticationMethod));
                put(out, self.authentication_data.map(Property::AuthenticationData));
                self.properties.put(out);
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, decode};

    #[test]
    fn there_and_back() {
        let packet = Auth {
            reason: ReasonCode::ContinueAuthentication,
            authentication_method: Some("SCRAM"),
            authentication_data: Some(&[0, 255]),
            properties: ReasonProperties { reason_string: Some("go on"), ..ReasonProperties::default() },
        };
        let mut out = Vec::new();
        packet.encode(Version::V5, &mut out);
        assert_eq!(decode(&out, Version::V5), Ok(Packet::Auth(packet)));
        out.clear();
        packet.encode(Version::V3_1_1, &mut out);
        assert!(out.is_empty());
        Auth::default().encode(Version::V5, &mut out);
        assert_eq!(out, [0xF0, 0]);
        assert_eq!(decode(&out, Version::V5), Ok(Packet::Auth(Auth::default())));
    }

    #[test]
    fn unknown_before_version_5() {
        let unknown = Err(DecodeError::UnknownPacketType { packet_type: 15 });
        assert_eq!(decode(&[0xF0, 0], Version::V3_1_1), unknown);
        assert_eq!(decode(&[0xF0, 0], Version::V3_1), unknown);
    }

    #[test]
    fn malformed_ones_are_refused() {
        // [MQTT-3.15.1-1]
        assert_eq!(decode(&[0xF2, 0], Version::V5), Err(DecodeError::ReservedFlags { first_byte: 0xF2 }));
        let missing = Err(DecodeError::AuthenticationMethodMissing);
        assert_eq!(decode(&[0xF0, 1, 0x18], Version::V5), missing);
        assert_eq!(decode(&[0xF0, 2, 0x00, 0], Version::V5), missing);
        assert_eq!(decode(&[0xF0, 5, 0x18, 3, 0x16, 0, 0], Version::V5), missing);
        let (packet, code) = (PacketType::Auth, 0x87);
        assert_eq!(
            decode(&[0xF0, 1, 0x87], Version::V5),
            Err(DecodeError::InvalidReasonCode { packet, code })
        );
        let property = PropertyId::AuthenticationMethod;
        let twice = [0xF0, 8, 0x18, 6, 0x15, 0, 0, 0x15, 0, 0];
        assert_eq!(decode(&twice, Version::V5), Err(DecodeError::DuplicateProperty { property }));
        let property = PropertyId::SessionExpiry;
        let misplaced = [0xF0, 7, 0x18, 5, 0x11, 0, 0, 0, 0];
        assert_eq!(decode(&misplaced, Version::V5), Err(DecodeError::MisplacedProperty { property, packet }));
    }
}
