//! Properties (section 2.2.2): what each is called, how its value looks, which values it may have.

use std::fmt;

use crate::wire::{Reader, fitting_binary, fitting_text, put_binary, put_text, put_varint, varint_len};
use crate::{DecodeError, PacketType, UserProperties};

/// Makes the enum, its names and its way back from a number out of one table, so that the three cannot disagree.
macro_rules! property_ids {
    ($($variant:ident = $id:literal $name:literal,)*) => {
        /// The properties of MQTT 5.0, by their identifiers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum PropertyId {
            $(#[doc = $name] $variant = $id,)*
        }

        impl PropertyId {
            /// The property with this identifier.
            pub const fn from_u32(id: u32) -> Option<PropertyId> {
                match id {
                    $($id => Some(PropertyId::$variant),)*
                    _ => None,
                }
            }

            /// The name that the specification gives it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(PropertyId::$variant => $name,)*
                }
            }
        }
    };
}

property_ids! {
    PayloadFormat = 0x01 "payload format indicator",
    MessageExpiry = 0x02 "message expiry interval",
    ContentType = 0x03 "content type",
    ResponseTopic = 0x08 "response topic",
    CorrelationData = 0x09 "correlation data",
    SubscriptionId = 0x0B "subscription identifier",
    SessionExpiry = 0x11 "session expiry interval",
    AssignedClientId = 0x12 "assigned client identifier",
    ServerKeepAlive = 0x13 "server keep alive",
    AuthenticationMethod = 0x15 "authentication method",
    AuthenticationData = 0x16 "authentication data",
    RequestProblemInformation = 0x17 "request problem information",
    WillDelay = 0x18 "will delay interval",
    RequestResponseInformation = 0x19 "request response information",
    ResponseInformation = 0x1A "response information",
    ServerReference = 0x1C "server reference",
    ReasonString = 0x1F "reason string",
    ReceiveMaximum = 0x21 "receive maximum",
    TopicAliasMaximum = 0x22 "topic alias maximum",
    TopicAlias = 0x23 "topic alias",
    MaximumQoS = 0x24 "maximum QoS",
    RetainAvailable = 0x25 "retain available",
    UserProperty = 0x26 "user property",
    MaximumPacketSize = 0x27 "maximum packet size",
    WildcardSubscriptionAvailable = 0x28 "wildcard subscription available",
    SubscriptionIdAvailable = 0x29 "subscription identifier available",
    SharedSubscriptionAvailable = 0x2A "shared subscription available",
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Property<'a> {
    PayloadFormat(u8),
    MessageExpiry(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionId(u32),
    SessionExpiry(u32),
    AssignedClientId(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelay(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQoS(u8),
    RetainAvailable(bool),
    User(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

/// The shapes that values have on the wire.
enum Value<'a> {
    Byte(u8),
    TwoBytes(u16),
    FourBytes(u32),
    VariableByte(u32),
    Text(&'a str),
    Binary(&'a [u8]),
    Pair(&'a str, &'a str),
}

impl<'a> Property<'a> {
    /// Reads one property. Values that a property may have in no packet are refused here.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let number = reader.varint()?;
        let id = PropertyId::from_u32(number).ok_or(DecodeError::UnknownProperty { id: number })?;
        let invalid = |value| DecodeError::InvalidPropertyValue { property: id, value };
        let not_zero = |value: u32| if value == 0 { Err(invalid(0)) } else { Ok(value) };
        let not_zero16 = |value: u16| if value == 0 { Err(invalid(0)) } else { Ok(value) };
        let flag = |byte: u8| if byte > 1 { Err(invalid(u32::from(byte))) } else { Ok(byte == 1) };
        Ok(match id {
            PropertyId::PayloadFormat => Property::PayloadFormat(u8::from(flag(reader.u8()?)?)),
            PropertyId::MessageExpiry => Property::MessageExpiry(reader.u32()?),
            PropertyId::ContentType => Property::ContentType(reader.text()?),
            PropertyId::ResponseTopic => Property::ResponseTopic(reader.text()?),
            PropertyId::CorrelationData => Property::CorrelationData(reader.binary()?),
            PropertyId::SubscriptionId => Property::SubscriptionId(not_zero(reader.varint()?)?),
            PropertyId::SessionExpiry => Property::SessionExpiry(reader.u32()?),
            PropertyId::AssignedClientId => Property::AssignedClientId(reader.text()?),
            PropertyId::ServerKeepAlive => Property::ServerKeepAlive(reader.u16()?),
            PropertyId::AuthenticationMethod => Property::AuthenticationMethod(reader.text()?),
            PropertyId::AuthenticationData => Property::AuthenticationData(reader.binary()?),
            PropertyId::RequestProblemInformation => Property::RequestProblemInformation(flag(reader.u8()?)?),
            PropertyId::WillDelay => Property::WillDelay(reader.u32()?),
            PropertyId::RequestResponseInformation => {
                Property::RequestResponseInformation(flag(reader.u8()?)?)
            }
            PropertyId::ResponseInformation => Property::ResponseInformation(reader.text()?),
            PropertyId::ServerReference => Property::ServerReference(reader.text()?),
            PropertyId::ReasonString => Property::ReasonString(reader.text()?),
            PropertyId::ReceiveMaximum => Property::ReceiveMaximum(not_zero16(reader.u16()?)?),
            PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(reader.u16()?),
            // That it must not be 0 is a rule of PUBLISH, with a reason code of its own.
            PropertyId::TopicAlias => Property::TopicAlias(reader.u16()?),
            PropertyId::MaximumQoS => Property::MaximumQoS(u8::from(flag(reader.u8()?)?)),
            PropertyId::RetainAvailable => Property::RetainAvailable(flag(reader.u8()?)?),
            PropertyId::UserProperty => Property::User(reader.text()?, reader.text()?),
            PropertyId::MaximumPacketSize => Property::MaximumPacketSize(not_zero(reader.u32()?)?),
            PropertyId::WildcardSubscriptionAvailable => {
                Property::WildcardSubscriptionAvailable(flag(reader.u8()?)?)
            }
            PropertyId::SubscriptionIdAvailable => Property::SubscriptionIdAvailable(flag(reader.u8()?)?),
            PropertyId::SharedSubscriptionAvailable => {
                Property::SharedSubscriptionAvailable(flag(reader.u8()?)?)
            }
        })
    }

    pub(crate) fn id(&self) -> PropertyId {
        self.parts().0
    }

    /// Bytes on the wire, identifier included.
    #[inline]
    pub(crate) fn wire_len(&self) -> usize {
        1 + match self.parts().1 {
            Value::Byte(_) => 1,
            Value::TwoBytes(_) => 2,
            Value::FourBytes(_) => 4,
            Value::VariableByte(value) => varint_len(value as usize),
            Value::Text(text) => 2 + fitting_text(text).len(),
            Value::Binary(bytes) => 2 + fitting_binary(bytes).len(),
            Value::Pair(name, value) => 4 + fitting_text(name).len() + fitting_text(value).len(),
        }
    }

    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let (id, value) = self.parts();
        out.push(id as u8);
        match value {
            Value::Byte(value) => out.push(value),
            Value::TwoBytes(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::FourBytes(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::VariableByte(value) => put_varint(value as usize, out),
            Value::Text(text) => put_text(text, out),
            Value::Binary(bytes) => put_binary(bytes, out),
            Value::Pair(name, value) => {
                put_text(name, out);
                put_text(value, out);
            }
        }
    }

    #[inline]
    fn parts(&self) -> (PropertyId, Value<'a>) {
        use {Property as P, PropertyId as Id, Value as V};
        match *self {
            P::PayloadFormat(value) => (Id::PayloadFormat, V::Byte(value)),
            P::MessageExpiry(value) => (Id::MessageExpiry, V::FourBytes(value)),
            P::ContentType(value) => (Id::ContentType, V::Text(value)),
            P::ResponseTopic(value) => (Id::ResponseTopic, V::Text(value)),
            P::CorrelationData(value) => (Id::CorrelationData, V::Binary(value)),
            P::SubscriptionId(value) => (Id::SubscriptionId, V::VariableByte(value)),
            P::SessionExpiry(value) => (Id::SessionExpiry, V::FourBytes(value)),
            P::AssignedClientId(value) => (Id::AssignedClientId, V::Text(value)),
            P::ServerKeepAlive(value) => (Id::ServerKeepAlive, V::TwoBytes(value)),
            P::AuthenticationMethod(value) => (Id::AuthenticationMethod, V::Text(value)),
            P::AuthenticationData(value) => (Id::AuthenticationData, V::Binary(value)),
            P::RequestProblemInformation(value) => (Id::RequestProblemInformation, V::Byte(u8::from(value))),
            P::WillDelay(value) => (Id::WillDelay, V::FourBytes(value)),
            P::RequestResponseInformation(value) => {
                (Id::RequestResponseInformation, V::Byte(u8::from(value)))
            }
            P::ResponseInformation(value) => (Id::ResponseInformation, V::Text(value)),
            P::ServerReference(value) => (Id::ServerReference, V::Text(value)),
            P::ReasonString(value) => (Id::ReasonString, V::Text(value)),
            P::ReceiveMaximum(value) => (Id::ReceiveMaximum, V::TwoBytes(value)),
            P::TopicAliasMaximum(value) => (Id::TopicAliasMaximum, V::TwoBytes(value)),
            P::TopicAlias(value) => (Id::TopicAlias, V::TwoBytes(value)),
            P::MaximumQoS(value) => (Id::MaximumQoS, V::Byte(value)),
            P::RetainAvailable(value) => (Id::RetainAvailable, V::Byte(u8::from(value))),
            P::User(name, value) => (Id::UserProperty, V::Pair(name, value)),
            P::MaximumPacketSize(value) => (Id::MaximumPacketSize, V::FourBytes(value)),
            P::WildcardSubscriptionAvailable(value) => {
                (Id::WildcardSubscriptionAvailable, V::Byte(u8::from(value)))
            }
            P::SubscriptionIdAvailable(value) => (Id::SubscriptionIdAvailable, V::Byte(u8::from(value))),
            P::SharedSubscriptionAvailable(value) => {
                (Id::SharedSubscriptionAvailable, V::Byte(u8::from(value)))
            }
        }
    }
}

/// Writes a property if there is one; made for `put(out, value.map(Property::Kind))`.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, property: Option<Property<'_>>) {
    if let Some(property) = property {
        property.put(out);
    }
}

/// Keeps the value of a property that may be there only once.
#[inline]
pub(crate) fn once<T>(slot: &mut Option<T>, value: T, property: PropertyId) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::DuplicateProperty { property }),
    }
}

/// The property section of a packet while it is being read.
///
/// User properties are allowed in every section and any number of times. So `next` passes them by, and only remembers
/// where they stand.
pub(crate) struct Section<'a> {
    all: &'a [u8],
    reader: Reader<'a>,
    user_start: usize,
    user_end: usize,
    user_bytes: usize,
}

impl<'a> Section<'a> {
    /// Reads the property length and cuts the section off.
    #[inline]
    pub(crate) fn open(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = reader.varint()?;
        Ok(Self::new(reader.take(len as usize)?))
    }

    #[inline]
    pub(crate) fn new(all: &'a [u8]) -> Self {
        Section { all, reader: Reader::new(all), user_start: 0, user_end: 0, user_bytes: 0 }
    }

    /// The next property that is not a user property.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        while !self.reader.is_empty() {
            let start = self.all.len() - self.reader.len();
            let property = Property::read(&mut self.reader)?;
            if property.id() != PropertyId::UserProperty {
                return Ok(Some(property));
            }
            if self.user_bytes == 0 {
                self.user_start = start;
            }
            self.user_end = self.all.len() - self.reader.len();
            self.user_bytes += self.user_end - start;
        }
        Ok(None)
    }

    /// The user properties that `next` has passed by.
    #[inline]
    pub(crate) fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::spanning(&self.all[self.user_start..self.user_end], self.user_bytes)
    }

    /// The whole section, for lists that skip what is not theirs.
    #[inline]
    pub(crate) fn all(&self) -> &'a [u8] {
        self.all
    }
}

/// The error for a property that exists but not here. Section 2.2.2.2 calls that malformed.
#[cold]
pub(crate) fn misplaced(property: Property<'_>, packet: PacketType) -> DecodeError {
    DecodeError::MisplacedProperty { property: property.id(), packet }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Property<'_>, DecodeError> {
        Property::read(&mut Reader::new(bytes))
    }

    #[test]
    fn there_are_27_properties() {
        assert_eq!((0..=u32::from(u8::MAX)).filter_map(PropertyId::from_u32).count(), 27);
        assert_eq!(PropertyId::from_u32(0x26), Some(PropertyId::UserProperty));
    }

    #[test]
    fn unknown_identifiers_are_refused() {
        for id in [0x00, 0x04, 0x0A, 0x14, 0x1B, 0x1D, 0x20, 0x2B, 0x7F] {
            assert_eq!(read(&[id, 0, 0, 0, 0]), Err(DecodeError::UnknownProperty { id: u32::from(id) }));
        }
        assert_eq!(read(&[0x80, 0x01]), Err(DecodeError::UnknownProperty { id: 128 }));
        // The identifier is a variable byte integer too, and as such has one form only.
        assert_eq!(read(&[0x81, 0x00, 0x00]), Err(DecodeError::MalformedVariableByteInteger));
    }

    #[test]
    fn values_stay_in_their_ranges() {
        let refused: &[(&[u8], PropertyId, u32)] = &[
            (&[0x21, 0, 0], PropertyId::ReceiveMaximum, 0),
            (&[0x27, 0, 0, 0, 0], PropertyId::MaximumPacketSize, 0),
            (&[0x0B, 0], PropertyId::SubscriptionId, 0),
            (&[0x01, 2], PropertyId::PayloadFormat, 2),
            (&[0x17, 2], PropertyId::RequestProblemInformation, 2),
            (&[0x19, 255], PropertyId::RequestResponseInformation, 255),
            (&[0x24, 2], PropertyId::MaximumQoS, 2),
            (&[0x25, 2], PropertyId::RetainAvailable, 2),
            (&[0x28, 2], PropertyId::WildcardSubscriptionAvailable, 2),
            (&[0x29, 2], PropertyId::SubscriptionIdAvailable, 2),
            (&[0x2A, 2], PropertyId::SharedSubscriptionAvailable, 2),
        ];
        for &(bytes, property, value) in refused {
            assert_eq!(read(bytes), Err(DecodeError::InvalidPropertyValue { property, value }));
        }
        assert_eq!(read(&[0x22, 0, 0]), Ok(Property::TopicAliasMaximum(0)));
        assert_eq!(read(&[0x13, 0, 0]), Ok(Property::ServerKeepAlive(0)));
        assert_eq!(read(&[0x0B, 0xFF, 0xFF, 0xFF, 0x7F]), Ok(Property::SubscriptionId(268_435_455)));
    }

    #[test]
    fn values_cut_short_are_refused() {
        for bytes in
            [&[0x01][..], &[0x02, 0, 0, 0], &[0x21, 1], &[0x03, 0, 2, b'a'], &[0x26, 0, 1, b'n', 0], &[0x0B]]
        {
            assert_eq!(read(bytes), Err(DecodeError::Truncated), "{bytes:?}");
        }
    }
}
