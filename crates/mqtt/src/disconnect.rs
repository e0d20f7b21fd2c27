//! DISCONNECT: the last packet of a connection.

use crate::ack::read_reason;
use crate::property::{Property, Section, misplaced, once, put};
use crate::wire::{Reader, put_packet, put_with_length};
use crate::{DecodeError, PacketType, PropertyId, ReasonCode, ReasonProperties, Version};

/// The last packet of a connection (section 3.14). Before 5.0 only a client sends it, and it says nothing more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; `Success` is the normal end, after which no will is published.
    pub reason: ReasonCode,
    /// A new session expiry, from a client only [MQTT-3.14.2-2].
    pub session_expiry_s: Option<u32>,
    /// Another server to use, from a server only.
    pub server_reference: Option<&'a str>,
    /// More about it.
    pub properties: ReasonProperties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without more words.
    pub fn new(reason: ReasonCode) -> Self {
        Disconnect { reason, ..Disconnect::default() }
    }

    pub(crate) fn read(mut reader: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut disconnect = Disconnect::default();
        if version.is_v5() && !reader.is_empty() {
            disconnect.reason = read_reason(PacketType::Disconnect, &mut reader)?;
            if !reader.is_empty() {
                disconnect.read_properties(Section::open(&mut reader)?)?;
            }
        }
        reader.finish()?;
        Ok(disconnect)
    }

    fn read_properties(&mut self, mut section: Section<'a>) -> Result<(), DecodeError> {
        use {Property as P, PropertyId as Id};
        while let Some(property) = section.next()? {
            match property {
                P::SessionExpiry(seconds) => once(&mut self.session_expiry_s, seconds, Id::SessionExpiry)?,
                P::ServerReference(text) => once(&mut self.server_reference, text, Id::ServerReference)?,
                P::ReasonString(text) => once(&mut self.properties.reason_string, text, Id::ReasonString)?,
                other => return Err(misplaced(other, PacketType::Disconnect)),
            }
        }
        self.properties.user_properties = section.user_properties();
        Ok(())
    }

    /// Appends the packet to `out`, in its shortest form: a normal end without properties is two bytes.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let has_properties =
            self.session_expiry_s.is_some() || self.server_reference.is_some() || !self.properties.is_empty();
        put_packet(PacketType::Disconnect.first_byte(), out, |out| {
            if !version.is_v5() || (self.reason == ReasonCode::Success && !has_properties) {
                return;
            }
            out.push(self.reason as u8);
            if has_properties {
                put_with_length(out, |out| {
                    put(out, self.session_expiry_s.map(Property::SessionExpiry));
                    put(out, self.server_reference.map(Property::ServerReference));
                    self.properties.put(out);
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, decode};

    fn disconnect(bytes: &[u8], version: Version) -> Result<Disconnect<'_>, DecodeError> {
        match decode(bytes, version)? {
            Packet::Disconnect(packet) => Ok(packet),
            other => panic!("{other:?} is no DISCONNECT"),
        }
    }

    #[test]
    fn short_forms() {
        assert_eq!(disconnect(&[0xE0, 0], Version::V5), Ok(Disconnect::default()));
        assert_eq!(disconnect(&[0xE0, 0], Version::V3_1_1), Ok(Disconnect::default()));
        let with_will = Disconnect::new(ReasonCode::DisconnectWithWillMessage);
        assert_eq!(disconnect(&[0xE0, 1, 4], Version::V5), Ok(with_will));
        assert_eq!(disconnect(&[0xE0, 2, 4, 0], Version::V5), Ok(with_will));
        assert_eq!(disconnect(&[0xE0, 1, 0], Version::V3_1_1), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn all_properties_there_and_back() {
        let packet = Disconnect {
            reason: ReasonCode::UseAnotherServer,
            session_expiry_s: Some(7),
            server_reference: Some("other:1883"),
            properties: ReasonProperties { reason_string: Some("moving"), ..ReasonProperties::default() },
        };
        let mut out = Vec::new();
        packet.encode(Version::V5, &mut out);
        assert_eq!(disconnect(&out, Version::V5), Ok(packet));
        out.clear();
        packet.encode(Version::V3_1_1, &mut out);
        Disconnect::default().encode(Version::V5, &mut out);
        Disconnect::new(ReasonCode::ServerShuttingDown).encode(Version::V5, &mut out);
        assert_eq!(out, [0xE0, 0, 0xE0, 0, 0xE0, 1, 0x8B]);
    }

    #[test]
    fn malformed_ones_are_refused() {
        // [MQTT-3.14.1-1]
        assert_eq!(
            disconnect(&[0xE1, 0], Version::V3_1),
            Err(DecodeError::ReservedFlags { first_byte: 0xE1 })
        );
        let (packet, code) = (PacketType::Disconnect, 0x01);
        assert_eq!(
            disconnect(&[0xE0, 1, 1], Version::V5),
            Err(DecodeError::InvalidReasonCode { packet, code })
        );
        let property = PropertyId::SessionExpiry;
        let twice = [0xE0, 12, 0, 10, 0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1];
        assert_eq!(disconnect(&twice, Version::V5), Err(DecodeError::DuplicateProperty { property }));
        let property = PropertyId::ReceiveMaximum;
        assert_eq!(
            disconnect(&[0xE0, 5, 0, 3, 0x21, 0, 1], Version::V5),
            Err(DecodeError::MisplacedProperty { property, packet })
        );
        assert_eq!(disconnect(&[0xE0, 3, 0, 0, 0], Version::V5), Err(DecodeError::TrailingBytes));
    }
}
