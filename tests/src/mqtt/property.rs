//! The properties of MQTT 5: identifiers, writers, and what a packet was found to carry.

/// Identifiers.
#[allow(missing_docs, reason = "the names are those of the specification")]
pub mod id {
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_ID: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const SERVER_REFERENCE: u8 = 0x1C;
    pub const REASON_STRING: u8 = 0x1F;
    pub const RECEIVE_MAX: u8 = 0x21;
    pub const TOPIC_ALIAS_MAX: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const QOS_MAX: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const PACKET_BYTES_MAX: u8 = 0x27;
    pub const WILDCARD_AVAILABLE: u8 = 0x28;
    pub const SUBSCRIPTION_ID_AVAILABLE: u8 = 0x29;
    pub const SHARED_AVAILABLE: u8 = 0x2A;
}

/// What stands behind an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Byte,
    Two,
    Four,
    Varint,
    Text,
    Bytes,
    Pair,
}

/// Every identifier there is.
pub const ALL: [u8; 27] = [
    0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x11, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1C, 0x1F,
    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A,
];

fn kind(id: u8) -> Kind {
    match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Kind::Byte,
        0x13 | 0x21 | 0x22 | 0x23 => Kind::Two,
        0x02 | 0x11 | 0x18 | 0x27 => Kind::Four,
        0x0B => Kind::Varint,
        0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => Kind::Text,
        0x09 | 0x16 => Kind::Bytes,
        0x26 => Kind::Pair,
        other => panic!("there is no property {other:#x}"),
    }
}

/// A property with a number, in as many bytes as that property has.
pub fn number(id: u8, value: u32) -> Vec<u8> {
    let mut out = vec![id];
    match kind(id) {
        Kind::Byte => out.push(u8::try_from(value).unwrap()),
        Kind::Two => out.extend(u16::try_from(value).unwrap().to_be_bytes()),
        Kind::Four => out.extend(value.to_be_bytes()),
        Kind::Varint => super::variable_byte_integer(value as usize, &mut out),
        other => panic!("property {id:#x} is no number but {other:?}"),
    }
    out
}

/// A property with a string or with bytes.
pub fn text(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[id], &super::string(value)[..]].concat()
}

/// A user property.
pub fn pair(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[id::USER_PROPERTY], &super::string(name)[..], &super::string(value)].concat()
}

/// A property that is right in itself, whether or not the packet may carry it.
pub fn any(id: u8) -> Vec<u8> {
    match kind(id) {
        Kind::Text | Kind::Bytes => text(id, "x"),
        Kind::Pair => pair("x", "y"),
        Kind::Byte | Kind::Two | Kind::Four | Kind::Varint => number(id, 1),
    }
}

/// Properties with their length in front.
pub fn section(properties: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    super::variable_byte_integer(properties.len(), &mut out);
    out.extend_from_slice(properties);
    out
}

/// The value of a property that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(u32),
    Bytes(Vec<u8>),
    Pair(String, String),
}

/// The properties of a packet that came in, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Vec<(u8, Value)>);

impl Properties {
    /// Reads a section off the front. Panics when it is not well-formed.
    pub(super) fn take(bytes: &mut &[u8]) -> Self {
        let length = super::read::varint(bytes);
        let mut section = super::read::take(bytes, length);
        let mut found = Vec::new();
        while !section.is_empty() {
            let id = super::read::take(&mut section, 1)[0];
            let mut big_endian = |bytes| {
                super::read::take(&mut section, bytes).iter().fold(0, |all, &byte| all << 8 | u32::from(byte))
            };
            let value = match kind(id) {
                Kind::Byte => Value::Number(big_endian(1)),
                Kind::Two => Value::Number(big_endian(2)),
                Kind::Four => Value::Number(big_endian(4)),
                Kind::Varint => Value::Number(super::read::varint(&mut section) as u32),
                Kind::Text => Value::Bytes(super::read::text(&mut section).into_bytes()),
                Kind::Bytes => Value::Bytes(super::read::bytes(&mut section).to_vec()),
                Kind::Pair => {
                    let name = super::read::text(&mut section);
                    Value::Pair(name, super::read::text(&mut section))
                }
            };
            let is_new = !found.iter().any(|(other, _)| *other == id);
            assert!(is_new || [id::USER_PROPERTY, id::SUBSCRIPTION_ID].contains(&id), "{id:#x} came twice");
            found.push((id, value));
        }
        Self(found)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The identifiers, in their order.
    pub fn ids(&self) -> Vec<u8> {
        self.0.iter().map(|(id, _)| *id).collect()
    }

    /// The number of a property.
    pub fn number(&self, id: u8) -> Option<u32> {
        self.numbers(id).first().copied()
    }

    /// All numbers of a property that may come several times.
    pub fn numbers(&self, id: u8) -> Vec<u32> {
        let numbers = self.0.iter().filter(|(other, _)| *other == id).filter_map(|(_, value)| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        });
        numbers.collect()
    }

    /// The bytes of a property.
    pub fn bytes(&self, id: u8) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| *other == id).and_then(|(_, value)| match value {
            Value::Bytes(bytes) => Some(&bytes[..]),
            _ => None,
        })
    }

    /// The string of a property.
    pub fn text(&self, id: u8) -> Option<&str> {
        self.bytes(id).map(|bytes| std::str::from_utf8(bytes).unwrap())
    }

    /// The user properties, in their order.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter().filter_map(|(_, value)| match value {
            Value::Pair(name, value) => Some((name.as_str(), value.as_str())),
            _ => None,
        });
        pairs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_there_and_back() {
        let bytes =
            section(&[number(id::TOPIC_ALIAS, 7), text(id::CORRELATION_DATA, [0]), pair("a", "b")].concat());
        let mut rest = &bytes[..];
        let properties = Properties::take(&mut rest);
        assert!(rest.is_empty());
        assert_eq!(properties.ids(), [id::TOPIC_ALIAS, id::CORRELATION_DATA, id::USER_PROPERTY]);
        assert_eq!(
            (properties.number(id::TOPIC_ALIAS), properties.bytes(id::CORRELATION_DATA)),
            (Some(7), Some(&[0][..]))
        );
        assert_eq!(properties.pairs(), [("a", "b")]);
        for id in ALL {
            assert_eq!(Properties::take(&mut &section(&any(id))[..]).ids(), [id]);
        }
    }
}
