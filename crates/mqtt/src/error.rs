//! Why a packet was refused.

use std::fmt;

use crate::{PacketType, PropertyId, ReasonCode};

/// The rule that a received packet broke. It is always the sender's fault; its connection should be closed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The packet is longer than the receiver takes.
    PacketTooLarge {
        /// Bytes of the whole packet, header included.
        packet_bytes: usize,
        /// The limit that was given.
        packet_bytes_max: usize,
    },
    /// A variable byte integer has more than four bytes, or more than its value needs.
    MalformedVariableByteInteger,
    /// The packet type does not exist, or not in this version.
    UnknownPacketType {
        /// The upper four bits of the first byte.
        packet_type: u8,
    },
    /// The packet is a valid one, but not of the type that was asked for.
    UnexpectedPacketType {
        /// The type that came.
        packet_type: PacketType,
    },
    /// The flags in the first byte are not those that the type has to have.
    ReservedFlags {
        /// The first byte of the packet.
        first_byte: u8,
    },
    /// A field reaches past the end of the packet.
    Truncated,
    /// Bytes are left over after the last field.
    TrailingBytes,
    /// A string is not well-formed UTF-8.
    InvalidUtf8,
    /// A string contains U+0000.
    NullCharacter,
    /// A string or binary field that is to be sent is longer than 65,535 bytes.
    FieldTooLong,
    /// PUBLISH or the will has both QoS bits set.
    InvalidQoS,
    /// PUBLISH has DUP set at QoS 0.
    DupAtQoS0,
    /// The packet identifier is 0.
    PacketIdZero,
    /// The protocol name of CONNECT is neither `MQTT` nor `MQIsdp`.
    UnknownProtocolName,
    /// The protocol level of CONNECT is not one that goes with its protocol name.
    UnsupportedProtocolLevel {
        /// The level that was asked for.
        level: u8,
    },
    /// Bit 0 of the flags of CONNECT is set.
    ReservedConnectFlag,
    /// CONNECT has a QoS or the retain flag for a will, but no will.
    WillFlagsWithoutWill,
    /// CONNECT has a password but no user name, which only 5.0 allows.
    PasswordWithoutUserName,
    /// A reserved bit of the acknowledge flags of CONNACK is set.
    ReservedConnAckFlags {
        /// The flags that came.
        flags: u8,
    },
    /// CONNACK refuses the connection and yet has a session present.
    SessionPresentOnRefusal,
    /// The topic name is empty.
    EmptyTopicName,
    /// The topic name is empty and there is no topic alias in its place.
    TopicNameAndAliasMissing,
    /// The topic name contains `+` or `#`.
    WildcardInTopicName,
    /// The response topic is empty or contains `+` or `#`.
    InvalidResponseTopic,
    /// SUBSCRIBE or UNSUBSCRIBE has no topic filter, SUBACK or (in 5.0) UNSUBACK no reason code.
    EmptyPayload,
    /// A topic filter is empty.
    EmptyTopicFilter,
    /// A topic filter has a wildcard where none can be, or `$share/` without a share name or a filter behind it.
    MalformedTopicFilter,
    /// A reserved bit of the subscription options is set.
    ReservedSubscriptionOptions {
        /// The options byte.
        options: u8,
    },
    /// The subscription options ask for QoS 3.
    InvalidSubscriptionQoS,
    /// The subscription options ask for retain handling 3.
    InvalidRetainHandling,
    /// A shared subscription asks for no-local.
    NoLocalOnSharedSubscription,
    /// There is no property with this identifier.
    UnknownProperty {
        /// The identifier that came.
        id: u32,
    },
    /// The property does not belong into this packet.
    MisplacedProperty {
        /// The property.
        property: PropertyId,
        /// The packet (CONNECT also for the properties of its will).
        packet: PacketType,
    },
    /// The property may be there only once.
    DuplicateProperty {
        /// The property.
        property: PropertyId,
    },
    /// The property has a value that it must not have.
    InvalidPropertyValue {
        /// The property.
        property: PropertyId,
        /// The value that came.
        value: u32,
    },
    /// The reason code does not exist or does not belong into this packet.
    InvalidReasonCode {
        /// The packet.
        packet: PacketType,
        /// The code that came.
        code: u8,
    },
    /// There is authentication data but no authentication method.
    AuthenticationDataWithoutMethod,
    /// AUTH has no authentication method.
    AuthenticationMethodMissing,
}

impl DecodeError {
    /// What to tell the peer in DISCONNECT, or in CONNACK when it was the CONNECT that failed.
    pub const fn reason_code(&self) -> ReasonCode {
        use DecodeError as E;
        match self {
            E::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            E::UnknownProtocolName | E::UnsupportedProtocolLevel { .. } => {
                ReasonCode::UnsupportedProtocolVersion
            }
            E::EmptyTopicName | E::WildcardInTopicName => ReasonCode::TopicNameInvalid,
            E::InvalidPropertyValue { property: PropertyId::TopicAlias, .. } => ReasonCode::TopicAliasInvalid,
            E::UnexpectedPacketType { .. }
            | E::SessionPresentOnRefusal
            | E::TopicNameAndAliasMissing
            | E::InvalidResponseTopic
            | E::EmptyPayload
            | E::InvalidSubscriptionQoS
            | E::InvalidRetainHandling
            | E::NoLocalOnSharedSubscription
            | E::DuplicateProperty { .. }
            | E::InvalidPropertyValue { .. }
            | E::InvalidReasonCode { .. }
            | E::AuthenticationDataWithoutMethod
            | E::AuthenticationMethodMissing => ReasonCode::ProtocolError,
            E::MalformedVariableByteInteger
            | E::UnknownPacketType { .. }
            | E::ReservedFlags { .. }
            | E::Truncated
            | E::TrailingBytes
            | E::InvalidUtf8
            | E::NullCharacter
            | E::FieldTooLong
            | E::InvalidQoS
            | E::DupAtQoS0
            | E::PacketIdZero
            | E::ReservedConnectFlag
            | E::WillFlagsWithoutWill
            | E::PasswordWithoutUserName
            | E::ReservedConnAckFlags { .. }
            | E::ReservedSubscriptionOptions { .. }
            // "Topic filter invalid" is for those that are well-formed.
            | E::EmptyTopicFilter
            | E::MalformedTopicFilter
            | E::UnknownProperty { .. }
            | E::MisplacedProperty { .. } => ReasonCode::MalformedPacket,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use DecodeError as E;
        let plain = match self {
            E::PacketTooLarge { packet_bytes, packet_bytes_max } => {
                return write!(f, "packet of {packet_bytes} bytes; the limit is {packet_bytes_max}");
            }
            E::UnknownPacketType { packet_type } => return write!(f, "unknown packet type {packet_type}"),
            E::UnexpectedPacketType { packet_type } => {
                return write!(f, "{packet_type} does not belong here");
            }
            E::ReservedFlags { first_byte } => {
                return write!(f, "wrong flags in first byte {first_byte:#04x}");
            }
            E::UnsupportedProtocolLevel { level } => return write!(f, "unsupported protocol level {level}"),
            E::ReservedConnAckFlags { flags } => {
                return write!(f, "reserved bits in acknowledge flags {flags:#04x}");
            }
            E::ReservedSubscriptionOptions { options } => {
                return write!(f, "reserved bits in subscription options {options:#04x}");
            }
            E::UnknownProperty { id } => return write!(f, "unknown property {id:#04x}"),
            E::MisplacedProperty { property, packet } => {
                return write!(f, "property '{property}' does not belong into {packet}");
            }
            E::DuplicateProperty { property } => return write!(f, "property '{property}' is there twice"),
            E::InvalidPropertyValue { property, value } => {
                return write!(f, "property '{property}' must not be {value}");
            }
            E::InvalidReasonCode { packet, code } => {
                return write!(f, "{packet} has no reason code {code:#04x}");
            }
            E::MalformedVariableByteInteger => "variable byte integer has too many bytes",
            E::Truncated => "a field reaches past the end of the packet",
            E::TrailingBytes => "bytes are left over after the last field",
            E::InvalidUtf8 => "a string is not well-formed UTF-8",
            E::NullCharacter => "a string contains U+0000",
            E::FieldTooLong => "a field is longer than 65535 bytes",
            E::InvalidQoS => "QoS 3 does not exist",
            E::DupAtQoS0 => "DUP is set at QoS 0",
            E::PacketIdZero => "the packet identifier is 0",
            E::UnknownProtocolName => "the protocol name is not MQTT",
            E::ReservedConnectFlag => "the reserved flag of CONNECT is set",
            E::WillFlagsWithoutWill => "will QoS or will retain is set, but there is no will",
            E::PasswordWithoutUserName => "there is a password but no user name",
            E::SessionPresentOnRefusal => "a refusal has no session present",
            E::EmptyTopicName => "the topic name is empty",
            E::TopicNameAndAliasMissing => "there is neither a topic name nor a topic alias",
            E::WildcardInTopicName => "the topic name contains a wildcard",
            E::InvalidResponseTopic => "the response topic is empty or contains a wildcard",
            E::EmptyPayload => "the payload is empty",
            E::EmptyTopicFilter => "a topic filter is empty",
            E::MalformedTopicFilter => "a topic filter has a misplaced wildcard or no share name",
            E::InvalidSubscriptionQoS => "the subscription asks for QoS 3",
            E::InvalidRetainHandling => "the subscription asks for retain handling 3",
            E::NoLocalOnSharedSubscription => "a shared subscription cannot be no-local",
            E::AuthenticationDataWithoutMethod => "there is authentication data but no authentication method",
            E::AuthenticationMethodMissing => "there is no authentication method",
        };
        f.write_str(plain)
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_and_which_reason_fits() {
        let error = DecodeError::InvalidPropertyValue { property: PropertyId::TopicAlias, value: 0 };
        assert_eq!(error.to_string(), "property 'topic alias' must not be 0");
        assert_eq!(error.reason_code(), ReasonCode::TopicAliasInvalid);
        let error =
            DecodeError::MisplacedProperty { property: PropertyId::TopicAlias, packet: PacketType::Connect };
        assert_eq!(error.to_string(), "property 'topic alias' does not belong into CONNECT");
        assert_eq!(error.reason_code(), ReasonCode::MalformedPacket);
        assert_eq!(DecodeError::EmptyPayload.reason_code(), ReasonCode::ProtocolError);
        let error = DecodeError::UnsupportedProtocolLevel { level: 6 };
        assert_eq!(error.reason_code(), ReasonCode::UnsupportedProtocolVersion);
    }
}
