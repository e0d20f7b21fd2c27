//! UNSUBSCRIBE: a client ends subscriptions.

use std::fmt;

use crate::property::{Section, misplaced};
use crate::wire::{Reader, put_packet, put_text, put_with_length};
use crate::{DecodeError, PacketType, UserProperties, Version};

/// A client ends subscriptions (section 3.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// What UNSUBACK will repeat.
    pub packet_id: u16,
    /// Name and value pairs. MQTT 5.0 only.
    pub user_properties: UserProperties<'a>,
    /// The subscriptions to end; at least one.
    pub filters: UnsubscribeFilters<'a>,
}

/// The topic filters of an UNSUBSCRIBE. Only that none is empty was checked.
#[derive(Clone, Copy)]
pub struct UnsubscribeFilters<'a>(List<'a>);

#[derive(Clone, Copy)]
enum List<'a> {
    /// A payload that was checked.
    Wire(&'a [u8]),
    /// What a sender wants to end.
    Values(&'a [&'a str]),
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn read(mut reader: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut user_properties = UserProperties::default();
        if version.is_v5() {
            let mut section = Section::open(&mut reader)?;
            if let Some(property) = section.next()? {
                return Err(misplaced(property, PacketType::Unsubscribe));
            }
            user_properties = section.user_properties();
        }
        let filters = UnsubscribeFilters::read(reader)?;
        Ok(Unsubscribe { packet_id, user_properties, filters })
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        put_packet(PacketType::Unsubscribe.first_byte(), out, |out| {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
            if version.is_v5() {
                put_with_length(out, |out| self.user_properties.put(out));
            }
            self.filters.iter().for_each(|filter| put_text(filter, out));
        });
    }
}

impl<'a> UnsubscribeFilters<'a> {
    fn read(reader: Reader<'a>) -> Result<Self, DecodeError> {
        // [MQTT-3.10.3-2] [v3 MQTT-3.10.3-2]
        if reader.is_empty() {
            return Err(DecodeError::EmptyPayload);
        }
        let mut rest = reader;
        while !rest.is_empty() {
            // [MQTT-3.10.3-1], [v3 MQTT-3.10.3-1], [MQTT-4.7.3-1]
            if rest.text()?.is_empty() {
                return Err(DecodeError::EmptyTopicFilter);
            }
        }
        Ok(UnsubscribeFilters(List::Wire(reader.rest())))
    }

    /// The filters, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (wire, values) = match self.0 {
            List::Wire(wire) => (wire, &[][..]),
            List::Values(values) => (&[][..], values),
        };
        let mut reader = Reader::new(wire);
        // The payload was checked when `self` was made, so that an error can only mean the end.
        std::iter::from_fn(move || reader.text().ok()).chain(values.iter().copied())
    }
}

/// The filters that a sender wants to end.
impl<'a> From<&'a [&'a str]> for UnsubscribeFilters<'a> {
    fn from(values: &'a [&'a str]) -> Self {
        UnsubscribeFilters(List::Values(values))
    }
}

impl Default for UnsubscribeFilters<'_> {
    fn default() -> Self {
        UnsubscribeFilters(List::Wire(&[]))
    }
}

impl PartialEq for UnsubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UnsubscribeFilters<'_> {}

impl fmt::Debug for UnsubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Packet, PropertyId, decode};

    fn unsubscribe(bytes: &[u8], version: Version) -> Result<Unsubscribe<'_>, DecodeError> {
        match decode(bytes, version)? {
            Packet::Unsubscribe(packet) => Ok(packet),
            other => panic!("{other:?} is no UNSUBSCRIBE"),
        }
    }

    #[test]
    fn filters_keep_their_order() {
        let wire = [0xA2, 9, 0, 1, 0, 1, b'a', 0, 2, b'b', b'#'];
        let found = unsubscribe(&wire, Version::V3_1_1).unwrap();
        assert_eq!(found.filters.iter().collect::<Vec<_>>(), ["a", "b#"]);
        let made = Unsubscribe { packet_id: 1, filters: (&["a", "b#"][..]).into(), ..Unsubscribe::default() };
        assert_eq!(found, made);
        let mut out = Vec::new();
        made.encode(Version::V3_1_1, &mut out);
        assert_eq!(out, wire);
        out.clear();
        made.encode(Version::V5, &mut out);
        assert_eq!(out[..5], [0xA2, 10, 0, 1, 0]);
    }

    #[test]
    fn a_filter_has_to_be_there() {
        // [MQTT-3.10.3-2]
        assert_eq!(unsubscribe(&[0xA2, 2, 0, 1], Version::V3_1_1), Err(DecodeError::EmptyPayload));
        assert_eq!(unsubscribe(&[0xA2, 3, 0, 1, 0], Version::V5), Err(DecodeError::EmptyPayload));
        assert_eq!(unsubscribe(&[0xA2, 4, 0, 1, 0, 0], Version::V3_1), Err(DecodeError::EmptyTopicFilter));
        assert_eq!(
            unsubscribe(&[0xA2, 5, 0, 0, 0, 1, b'a'], Version::V3_1_1),
            Err(DecodeError::PacketIdZero)
        );
    }

    #[test]
    fn flags_and_properties() {
        // [MQTT-3.10.1-1]
        for first_byte in [0xA0, 0xA3, 0xAA] {
            assert_eq!(
                unsubscribe(&[first_byte, 5, 0, 1, 0, 1, b'a'], Version::V3_1_1),
                Err(DecodeError::ReservedFlags { first_byte })
            );
        }
        assert!(unsubscribe(&[0xAA, 5, 0, 1, 0, 1, b'a'], Version::V3_1).is_ok());
        let (property, packet) = (PropertyId::SubscriptionId, PacketType::Unsubscribe);
        assert_eq!(
            unsubscribe(&[0xA2, 8, 0, 1, 2, 0x0B, 1, 0, 1, b'a'], Version::V5),
            Err(DecodeError::MisplacedProperty { property, packet })
        );
    }
}
