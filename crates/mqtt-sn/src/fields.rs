//! Fields that several packets share (§5.3).

use std::fmt;

use crate::DecodeError;

/// The flags octet (§5.3.4).
pub(crate) mod flag {
    pub(crate) const DUP: u8 = 0x80;
    pub(crate) const QOS_SHIFT: u8 = 5;
    pub(crate) const RETAIN: u8 = 0x10;
    pub(crate) const WILL: u8 = 0x08;
    pub(crate) const CLEAN_SESSION: u8 = 0x04;
    pub(crate) const TOPIC_ID_TYPE: u8 = 0x03;
    /// The topic id types: a full name or the id that was registered for it, a predefined id, a short name.
    pub(crate) const NORMAL: u8 = 0;
    pub(crate) const PREDEFINED: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
}

/// How surely a message is to arrive. The discriminant is what stands in the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum QoS {
    /// 0: at most once.
    AtMostOnce = 0b00,
    /// 1: at least once.
    AtLeastOnce = 0b01,
    /// 2: exactly once.
    ExactlyOnce = 0b10,
    /// −1: at most once, published without a connection (§6.8). Only PUBLISH has it.
    MinusOne = 0b11,
}

impl QoS {
    pub(crate) fn from_flags(flags: u8) -> QoS {
        match flags >> flag::QOS_SHIFT & 0b11 {
            0b00 => QoS::AtMostOnce,
            0b01 => QoS::AtLeastOnce,
            0b10 => QoS::ExactlyOnce,
            _ => QoS::MinusOne,
        }
    }

    /// The QoS in packets other than PUBLISH, which cannot have −1.
    pub(crate) fn with_connection(flags: u8) -> Result<QoS, DecodeError> {
        match QoS::from_flags(flags) {
            QoS::MinusOne => Err(DecodeError::QoS),
            qos => Ok(qos),
        }
    }

    pub(crate) fn to_flags(self) -> u8 {
        (self as u8) << flag::QOS_SHIFT
    }
}

/// How a request went (§5.3.10). Codes of 4 and above are reserved; they mean that it was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReturnCode(pub u8);

impl ReturnCode {
    /// 0: accepted.
    pub const ACCEPTED: ReturnCode = ReturnCode(0);
    /// 1: rejected, the gateway has too much to do; to be tried again later.
    pub const CONGESTION: ReturnCode = ReturnCode(1);
    /// 2: rejected, the topic id is not known; to be registered again.
    pub const INVALID_TOPIC_ID: ReturnCode = ReturnCode(2);
    /// 3: rejected, not supported.
    pub const NOT_SUPPORTED: ReturnCode = ReturnCode(3);
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("accepted"),
            1 => f.write_str("rejected: congestion"),
            2 => f.write_str("rejected: invalid topic id"),
            3 => f.write_str("rejected: not supported"),
            code => write!(f, "rejected: reserved code {code}"),
        }
    }
}

/// A topic name of exactly two octets, which fits where a topic id would stand (§3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShortName([u8; 2]);

impl ShortName {
    /// The short name that is this text, if it has two octets and no U+0000.
    pub fn new(name: &str) -> Option<ShortName> {
        ShortName::from_octets(name.as_bytes().try_into().ok()?).ok()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("it is checked where it is made")
    }

    pub(crate) fn from_octets(octets: [u8; 2]) -> Result<ShortName, DecodeError> {
        text(&octets)?;
        Ok(ShortName(octets))
    }

    pub(crate) fn octets(self) -> [u8; 2] {
        self.0
    }
}

/// What a message is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicId {
    /// An id that was registered, or given in a SUBACK, for a name on this connection.
    Registered(u16),
    /// An id that client and gateway know beforehand.
    Predefined(u16),
    /// The name itself.
    Short(ShortName),
}

impl TopicId {
    /// The two octets as they stand in the packet, which is how PUBACK repeats them.
    pub fn as_u16(self) -> u16 {
        match self {
            TopicId::Registered(id) | TopicId::Predefined(id) => id,
            TopicId::Short(name) => u16::from_be_bytes(name.octets()),
        }
    }

    pub(crate) fn from_wire(flags: u8, octets: [u8; 2]) -> Result<TopicId, DecodeError> {
        match flags & flag::TOPIC_ID_TYPE {
            flag::NORMAL => Ok(TopicId::Registered(u16::from_be_bytes(octets))),
            flag::PREDEFINED => Ok(TopicId::Predefined(u16::from_be_bytes(octets))),
            flag::SHORT => ShortName::from_octets(octets).map(TopicId::Short),
            _ => Err(DecodeError::TopicIdType),
        }
    }

    pub(crate) fn to_flags(self) -> u8 {
        match self {
            TopicId::Registered(_) => flag::NORMAL,
            TopicId::Predefined(_) => flag::PREDEFINED,
            TopicId::Short(_) => flag::SHORT,
        }
    }
}

/// What a subscription names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicFilter<'a> {
    /// A topic name, or a filter with wildcards; never empty.
    Name(&'a str),
    /// An id that client and gateway know beforehand.
    Predefined(u16),
    /// A name of two octets.
    Short(ShortName),
}

impl TopicFilter<'_> {
    pub(crate) fn to_flags(self) -> u8 {
        match self {
            TopicFilter::Name(_) => flag::NORMAL,
            TopicFilter::Predefined(_) => flag::PREDEFINED,
            TopicFilter::Short(_) => flag::SHORT,
        }
    }
}

/// Text as MQTT has it: UTF-8, without U+0000.
pub(crate) fn text(octets: &[u8]) -> Result<&str, DecodeError> {
    match str::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(DecodeError::NotUtf8),
    }
}
