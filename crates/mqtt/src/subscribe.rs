//! SUBSCRIBE: a client asks for subscriptions.

use std::fmt;

use crate::property::{Property, Section, misplaced, once, put};
use crate::wire::{Reader, put_packet, put_text, put_with_length};
use crate::{DecodeError, PacketType, PropertyId, QoS, UserProperties, Version};

/// Bits of the options byte.
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING_SHIFT: u8 = 4;

/// A client asks for subscriptions (section 3.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// What SUBACK will repeat.
    pub packet_id: u16,
    /// A number from 1 to 268,435,455 that messages for these subscriptions will carry. MQTT 5.0 only.
    pub subscription_id: Option<u32>,
    /// Name and value pairs. MQTT 5.0 only.
    pub user_properties: UserProperties<'a>,
    /// What to subscribe to; at least one.
    pub filters: Filters<'a>,
}

/// A topic filter with its subscription options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// The topic filter. Only that it is not empty was checked, so that the server can refuse a bad one alone.
    pub filter: &'a str,
    /// The highest QoS at which the client wants messages.
    pub qos: QoS,
    /// Leave out the client's own messages. MQTT 5.0 only.
    pub no_local: bool,
    /// Let messages keep the retain flag that they were published with. MQTT 5.0 only.
    pub retain_as_published: bool,
    /// Whether to send retained messages now. MQTT 5.0 only.
    pub retain_handling: RetainHandling,
}

/// When a subscription brings the retained messages that match it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Whenever it is made, and again when it is renewed.
    #[default]
    Send = 0,
    /// Only when it did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// The topic filters of a SUBSCRIBE.
#[derive(Clone, Copy)]
pub struct Filters<'a>(List<'a>);

#[derive(Clone, Copy)]
enum List<'a> {
    /// A payload that was checked.
    Wire(&'a [u8]),
    /// What a sender wants to subscribe to.
    Values(&'a [SubscribeFilter<'a>]),
}

impl<'a> Subscribe<'a> {
    pub(crate) fn read(mut reader: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut subscribe = Subscribe { packet_id: reader.packet_id()?, ..Subscribe::default() };
        if version.is_v5() {
            let mut section = Section::open(&mut reader)?;
            while let Some(property) = section.next()? {
                match property {
                    Property::SubscriptionId(id) => {
                        once(&mut subscribe.subscription_id, id, PropertyId::SubscriptionId)?;
                    }
                    other => return Err(misplaced(other, PacketType::Subscribe)),
                }
            }
            subscribe.user_properties = section.user_properties();
        }
        subscribe.filters = Filters::read(reader, version)?;
        Ok(subscribe)
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        put_packet(PacketType::Subscribe.first_byte(), out, |out| {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
            if version.is_v5() {
                put_with_length(out, |out| {
                    put(out, self.subscription_id.map(Property::SubscriptionId));
                    self.user_properties.put(out);
                });
            }
            for filter in self.filters.iter() {
                put_text(filter.filter, out);
                out.push(filter.options(version));
            }
        });
    }
}

impl<'a> Filters<'a> {
    fn read(reader: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        // [MQTT-3.8.3-2] [v3 MQTT-3.8.3-3]
        if reader.is_empty() {
            return Err(DecodeError::EmptyPayload);
        }
        let mut rest = reader;
        while !rest.is_empty() {
            SubscribeFilter::read(&mut rest, version)?;
        }
        Ok(Filters(List::Wire(reader.rest())))
    }

    /// The filters, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = SubscribeFilter<'a>> + use<'a> {
        let (wire, values) = match self.0 {
            List::Wire(wire) => (wire, &[][..]),
            List::Values(values) => (&[][..], values),
        };
        let mut reader = Reader::new(wire);
        // The payload was checked when `self` was made (version 5 has all the options that there are), so that an
        // error cannot come up.
        let from_wire = std::iter::from_fn(move || SubscribeFilter::read(&mut reader, Version::V5).ok());
        from_wire.chain(values.iter().copied())
    }
}

/// The filters that a sender wants to subscribe to.
impl<'a> From<&'a [SubscribeFilter<'a>]> for Filters<'a> {
    fn from(values: &'a [SubscribeFilter<'a>]) -> Self {
        Filters(List::Values(values))
    }
}

impl Default for Filters<'_> {
    fn default() -> Self {
        Filters(List::Wire(&[]))
    }
}

impl PartialEq for Filters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Filters<'_> {}

impl fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> SubscribeFilter<'a> {
    fn read(reader: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        // [MQTT-3.8.3-1] [v3 MQTT-3.8.3-1]
        let filter = reader.text()?;
        // [MQTT-4.7.3-1] [v3 MQTT-4.7.3-1]
        if filter.is_empty() {
            return Err(DecodeError::EmptyTopicFilter);
        }
        let options = reader.u8()?;
        // [MQTT-3.8.3-5]; section 3.8.3 of 3.1.1 says the same, when only the QoS was there.
        if options & if version.is_v5() { 0b1100_0000 } else { 0b1111_1100 } != 0 {
            return Err(DecodeError::ReservedSubscriptionOptions { options });
        }
        let no_local = options & NO_LOCAL != 0;
        // [MQTT-3.8.3-4]
        if no_local && filter.starts_with("$share/") {
            return Err(DecodeError::NoLocalOnSharedSubscription);
        }
        Ok(SubscribeFilter {
            filter,
            qos: QoS::from_bits(options & 0b11).ok_or(DecodeError::InvalidSubscriptionQoS)?,
            no_local,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling: RetainHandling::from_bits(options >> RETAIN_HANDLING_SHIFT)
                .ok_or(DecodeError::InvalidRetainHandling)?,
        })
    }

    fn options(&self, version: Version) -> u8 {
        if !version.is_v5() {
            return self.qos as u8;
        }
        let flag = |present, flag| if present { flag } else { 0 };
        self.qos as u8
            | flag(self.no_local, NO_LOCAL)
            | flag(self.retain_as_published, RETAIN_AS_PUBLISHED)
            | (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT
    }
}

impl RetainHandling {
    /// The handling that two bits stand for; `None` for anything above 2.
    pub const fn from_bits(bits: u8) -> Option<RetainHandling> {
        match bits {
            0 => Some(RetainHandling::Send),
            1 => Some(RetainHandling::SendIfNew),
            2 => Some(RetainHandling::DoNotSend),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Packet, ReasonCode, decode};

    fn subscribe(bytes: &[u8], version: Version) -> Result<Subscribe<'_>, DecodeError> {
        match decode(bytes, version)? {
            Packet::Subscribe(packet) => Ok(packet),
            other => panic!("{other:?} is no SUBSCRIBE"),
        }
    }

    /// A version 5 SUBSCRIBE to "a" with this options byte.
    fn options(options: u8) -> Result<SubscribeFilter<'static>, DecodeError> {
        let bytes = [0x82, 7, 0, 1, 0, 0, 1, b'a', options].to_vec().leak();
        subscribe(bytes, Version::V5).map(|packet| packet.filters.iter().next().unwrap())
    }

    #[test]
    fn several_filters_keep_their_order() {
        let wire = [0x82, 13, 0, 10, 0, 3, b'a', b'/', b'b', 1, 0, 2, b'c', b'#', 2];
        let found = subscribe(&wire, Version::V3_1_1).unwrap();
        let filters: Vec<_> = found.filters.iter().map(|filter| (filter.filter, filter.qos)).collect();
        assert_eq!(found.packet_id, 10);
        assert_eq!(filters, [("a/b", QoS::AtLeastOnce), ("c#", QoS::ExactlyOnce)]);
    }

    #[test]
    fn all_options_there_and_back() {
        let filters = [
            SubscribeFilter {
                filter: "a/+",
                qos: QoS::ExactlyOnce,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
            },
            SubscribeFilter { filter: "$share/g/b", ..SubscribeFilter::default() },
        ];
        let packet = Subscribe {
            packet_id: 3,
            subscription_id: Some(268_435_455),
            filters: Filters::from(&filters[..]),
            ..Subscribe::default()
        };
        let mut wire = Vec::new();
        packet.encode(Version::V5, &mut wire);
        assert_eq!(wire[..9], [0x82, 27, 0, 3, 5, 0x0B, 0xFF, 0xFF, 0xFF]);
        assert_eq!(wire[15], 0b10_1110);
        assert_eq!(subscribe(&wire, Version::V5), Ok(packet));
    }

    #[test]
    fn options_are_left_out_before_version_5() {
        let filters = [SubscribeFilter { filter: "a", no_local: true, ..SubscribeFilter::default() }];
        let packet = Subscribe {
            packet_id: 3,
            subscription_id: Some(1),
            filters: Filters::from(&filters[..]),
            ..Subscribe::default()
        };
        let mut wire = Vec::new();
        packet.encode(Version::V3_1_1, &mut wire);
        assert_eq!(wire, [0x82, 6, 0, 3, 0, 1, b'a', 0]);
    }

    #[test]
    fn a_filter_has_to_be_there() {
        // [MQTT-3.8.3-2]
        assert_eq!(subscribe(&[0x82, 2, 0, 1], Version::V3_1_1), Err(DecodeError::EmptyPayload));
        assert_eq!(subscribe(&[0x82, 3, 0, 1, 0], Version::V5), Err(DecodeError::EmptyPayload));
        // [MQTT-4.7.3-1]
        let empty = subscribe(&[0x82, 5, 0, 1, 0, 0, 0], Version::V3_1_1);
        assert_eq!(empty, Err(DecodeError::EmptyTopicFilter));
        assert_eq!(empty.unwrap_err().reason_code(), ReasonCode::MalformedPacket);
        assert_eq!(subscribe(&[0x82, 5, 0, 1, 0, 1, b'a'], Version::V3_1_1), Err(DecodeError::Truncated));
    }

    #[test]
    fn packet_identifier_and_flags() {
        assert_eq!(
            subscribe(&[0x82, 6, 0, 0, 0, 1, b'a', 0], Version::V3_1_1),
            Err(DecodeError::PacketIdZero)
        );
        // [MQTT-3.8.1-1]
        for first_byte in [0x80, 0x81, 0x83, 0x86, 0x8A] {
            assert_eq!(
                subscribe(&[first_byte, 6, 0, 1, 0, 1, b'a', 0], Version::V3_1_1),
                Err(DecodeError::ReservedFlags { first_byte })
            );
        }
        assert!(subscribe(&[0x8A, 6, 0, 1, 0, 1, b'a', 0], Version::V3_1).is_ok());
    }

    #[test]
    fn options_in_their_ranges() {
        assert_eq!(options(0b10_1010).unwrap().retain_handling, RetainHandling::DoNotSend);
        assert_eq!(options(0b00_0011), Err(DecodeError::InvalidSubscriptionQoS));
        assert_eq!(options(0b11_0000), Err(DecodeError::InvalidRetainHandling));
        // [MQTT-3.8.3-5]
        assert_eq!(
            options(0b0100_0000),
            Err(DecodeError::ReservedSubscriptionOptions { options: 0b0100_0000 })
        );
        assert_eq!(
            options(0b1000_0000),
            Err(DecodeError::ReservedSubscriptionOptions { options: 0b1000_0000 })
        );
        for bits in [4, 8, 16, 32, 64, 128] {
            assert_eq!(
                subscribe(&[0x82, 6, 0, 1, 0, 1, b'a', bits], Version::V3_1_1),
                Err(DecodeError::ReservedSubscriptionOptions { options: bits })
            );
        }
    }

    #[test]
    fn no_local_does_not_go_with_sharing() {
        // [MQTT-3.8.3-4]
        let mut wire = [&[0x82, 16, 0, 1, 0, 0, 10][..], b"$share/g/a", &[NO_LOCAL]].concat();
        assert_eq!(subscribe(&wire, Version::V5), Err(DecodeError::NoLocalOnSharedSubscription));
        *wire.last_mut().unwrap() = 0;
        assert!(subscribe(&wire, Version::V5).is_ok());
    }

    #[test]
    fn one_subscription_identifier_and_not_zero() {
        let filter = [0, 1, b'a', 0];
        let property = PropertyId::SubscriptionId;
        let zero = [&[0x82, 9, 0, 1, 2, 0x0B, 0][..], &filter].concat();
        assert_eq!(
            subscribe(&zero, Version::V5),
            Err(DecodeError::InvalidPropertyValue { property, value: 0 })
        );
        let twice = [&[0x82, 11, 0, 1, 4, 0x0B, 1, 0x0B, 2][..], &filter].concat();
        assert_eq!(subscribe(&twice, Version::V5), Err(DecodeError::DuplicateProperty { property }));
        let over_long = [&[0x82, 10, 0, 1, 3, 0x0B, 0x81, 0][..], &filter].concat();
        assert_eq!(subscribe(&over_long, Version::V5), Err(DecodeError::MalformedVariableByteInteger));
    }
}
