//! What can be wrong with a datagram, and with a packet to be sent.

use std::fmt;

/// Why a datagram is not an MQTT-SN packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The datagram ends within the length or before the packet type (§5.2).
    TooShort,
    /// The length that the packet states is not the length of the datagram (§5.2.1).
    Length {
        /// What the packet says.
        stated: usize,
        /// What there is.
        actual: usize,
    },
    /// The packet type (given) is reserved (§5.2.2).
    Type(u8),
    /// The packet is too short or too long for its type (given).
    Body(u8),
    /// CONNECT names another protocol (given) than 1 (§5.3.8). A gateway answers it with "not supported".
    ProtocolId(u8),
    /// The topic id type is the reserved one, or one that this packet or QoS cannot have (§5.3.4, §6.8).
    TopicIdType,
    /// QoS −1 in a packet other than PUBLISH (§5.3.4).
    QoS,
    /// A text is not UTF-8 or has U+0000 in it (MQTT 3.1.1 §1.5.3).
    NotUtf8,
    /// A topic name is empty.
    TopicEmpty,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::TooShort => f.write_str("the datagram is too short for any packet"),
            DecodeError::Length { stated, actual } => {
                write!(f, "the packet says that it has {stated} octets, but the datagram has {actual}")
            }
            DecodeError::Type(packet_type) => write!(f, "packet type {packet_type:#04x} is reserved"),
            DecodeError::Body(packet_type) => {
                write!(f, "the packet has too few or too many octets for its type {packet_type:#04x}")
            }
            DecodeError::ProtocolId(id) => write!(f, "protocol id {id} is not MQTT-SN 1.2's"),
            DecodeError::TopicIdType => f.write_str("the topic id type is not allowed here"),
            DecodeError::QoS => f.write_str("QoS -1 is for PUBLISH only"),
            DecodeError::NotUtf8 => f.write_str("a text is not valid UTF-8"),
            DecodeError::TopicEmpty => f.write_str("a topic name is empty"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A packet that does not fit the lengths of MQTT-SN: 65535 octets, or 252 for the node id of a forwarder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the packet is too long for MQTT-SN")
    }
}

impl std::error::Error for TooLong {}
