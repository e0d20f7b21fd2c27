//! Reason codes: one byte that says how an operation ended.

use crate::{PacketType, QoS};

/// Makes the enum, its names and its way back from a byte out of one table, so that the three cannot disagree.
macro_rules! reason_codes {
    ($first:ident = $first_code:literal $first_name:literal, $($variant:ident = $code:literal $name:literal,)*) => {
        /// The reason codes of MQTT 5.0 (section 2.4). Those from 0x80 on mean failure.
        ///
        /// `Success` also stands for "normal disconnection" in DISCONNECT and "granted QoS 0" in SUBACK, which have the
        /// same number.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            #[doc = $first_name]
            #[default]
            $first = $first_code,
            $(#[doc = $name] $variant = $code,)*
        }

        impl ReasonCode {
            /// The reason code with this number.
            pub const fn from_u8(code: u8) -> Option<ReasonCode> {
                match code {
                    $first_code => Some(ReasonCode::$first),
                    $($code => Some(ReasonCode::$variant),)*
                    _ => None,
                }
            }

            /// The name that the specification gives it.
            pub const fn name(self) -> &'static str {
                match self {
                    ReasonCode::$first => $first_name,
                    $(ReasonCode::$variant => $name,)*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00 "Success",
    GrantedQoS1 = 0x01 "Granted QoS 1",
    GrantedQoS2 = 0x02 "Granted QoS 2",
    DisconnectWithWillMessage = 0x04 "Disconnect with will message",
    NoMatchingSubscribers = 0x10 "No matching subscribers",
    NoSubscriptionExisted = 0x11 "No subscription existed",
    ContinueAuthentication = 0x18 "Continue authentication",
    ReAuthenticate = 0x19 "Re-authenticate",
    UnspecifiedError = 0x80 "Unspecified error",
    MalformedPacket = 0x81 "Malformed packet",
    ProtocolError = 0x82 "Protocol error",
    ImplementationSpecificError = 0x83 "Implementation specific error",
    UnsupportedProtocolVersion = 0x84 "Unsupported protocol version",
    ClientIdentifierNotValid = 0x85 "Client identifier not valid",
    BadUserNameOrPassword = 0x86 "Bad user name or password",
    NotAuthorized = 0x87 "Not authorized",
    ServerUnavailable = 0x88 "Server unavailable",
    ServerBusy = 0x89 "Server busy",
    Banned = 0x8A "Banned",
    ServerShuttingDown = 0x8B "Server shutting down",
    BadAuthenticationMethod = 0x8C "Bad authentication method",
    KeepAliveTimeout = 0x8D "Keep alive timeout",
    SessionTakenOver = 0x8E "Session taken over",
    TopicFilterInvalid = 0x8F "Topic filter invalid",
    TopicNameInvalid = 0x90 "Topic name invalid",
    PacketIdentifierInUse = 0x91 "Packet identifier in use",
    PacketIdentifierNotFound = 0x92 "Packet identifier not found",
    ReceiveMaximumExceeded = 0x93 "Receive maximum exceeded",
    TopicAliasInvalid = 0x94 "Topic alias invalid",
    PacketTooLarge = 0x95 "Packet too large",
    MessageRateTooHigh = 0x96 "Message rate too high",
    QuotaExceeded = 0x97 "Quota exceeded",
    AdministrativeAction = 0x98 "Administrative action",
    PayloadFormatInvalid = 0x99 "Payload format invalid",
    RetainNotSupported = 0x9A "Retain not supported",
    QoSNotSupported = 0x9B "QoS not supported",
    UseAnotherServer = 0x9C "Use another server",
    ServerMoved = 0x9D "Server moved",
    SharedSubscriptionsNotSupported = 0x9E "Shared subscriptions not supported",
    ConnectionRateExceeded = 0x9F "Connection rate exceeded",
    MaximumConnectTime = 0xA0 "Maximum connect time",
    SubscriptionIdentifiersNotSupported = 0xA1 "Subscription identifiers not supported",
    WildcardSubscriptionsNotSupported = 0xA2 "Wildcard subscriptions not supported",
}

impl ReasonCode {
    /// Whether it says that something failed.
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// What SUBACK says when a subscription was made with this QoS.
    pub const fn granted(qos: QoS) -> ReasonCode {
        match qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    /// Whether a packet of this type may carry it (the table in section 2.4), in one direction or the other.
    pub const fn is_for(self, packet: PacketType) -> bool {
        use ReasonCode as R;
        match packet {
            // [MQTT-3.2.2-8]
            PacketType::ConnAck => matches!(
                self as u8,
                0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F
            ),
            // [MQTT-3.4.2-1], [MQTT-3.5.2-1]
            PacketType::PubAck | PacketType::PubRec => {
                matches!(self as u8, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            // [MQTT-3.6.2-1], [MQTT-3.7.2-1]
            PacketType::PubRel | PacketType::PubComp => {
                matches!(self, R::Success | R::PacketIdentifierNotFound)
            }
            // [MQTT-3.9.3-2]
            PacketType::SubAck => matches!(
                self as u8,
                0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2
            ),
            // [MQTT-3.11.3-2]
            PacketType::UnsubAck => matches!(self as u8, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
            // [MQTT-3.14.2-1]
            PacketType::Disconnect => matches!(
                self as u8,
                0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
            ),
            // [MQTT-3.15.2-1]
            PacketType::Auth => matches!(self, R::Success | R::ContinueAuthentication | R::ReAuthenticate),
            _ => false,
        }
    }

    /// The return code of a CONNACK before 5.0 that comes nearest.
    pub(crate) const fn to_v3_return_code(self) -> u8 {
        match self {
            ReasonCode::UnsupportedProtocolVersion => 1,
            ReasonCode::ClientIdentifierNotValid => 2,
            ReasonCode::BadUserNameOrPassword => 4,
            ReasonCode::NotAuthorized | ReasonCode::Banned | ReasonCode::BadAuthenticationMethod => 5,
            other if other.is_error() => 3,
            _ => 0,
        }
    }

    /// What the return code of a CONNACK before 5.0 means.
    pub(crate) const fn from_v3_return_code(code: u8) -> Option<ReasonCode> {
        match code {
            0 => Some(ReasonCode::Success),
            1 => Some(ReasonCode::UnsupportedProtocolVersion),
            2 => Some(ReasonCode::ClientIdentifierNotValid),
            3 => Some(ReasonCode::ServerUnavailable),
            4 => Some(ReasonCode::BadUserNameOrPassword),
            5 => Some(ReasonCode::NotAuthorized),
            _ => None,
        }
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_itself() {
        let known: Vec<u8> = (0..=255).filter(|&code| ReasonCode::from_u8(code).is_some()).collect();
        assert_eq!(known.len(), 43);
        for code in known {
            let reason = ReasonCode::from_u8(code).expect("filtered above");
            assert_eq!(reason as u8, code);
            assert_eq!(reason.is_error(), code >= 128);
        }
    }

    #[test]
    fn return_codes_before_5_survive_the_way_there_and_back() {
        for code in 0..=5 {
            let reason = ReasonCode::from_v3_return_code(code).expect("0 to 5 are known");
            assert_eq!(reason.to_v3_return_code(), code);
        }
        assert_eq!(ReasonCode::from_v3_return_code(6), None);
        assert_eq!(ReasonCode::QuotaExceeded.to_v3_return_code(), 3);
    }

    #[test]
    fn codes_belong_to_their_packets() {
        assert!(ReasonCode::ServerShuttingDown.is_for(PacketType::Disconnect));
        assert!(!ReasonCode::ServerShuttingDown.is_for(PacketType::ConnAck));
        assert!(!ReasonCode::PacketIdentifierInUse.is_for(PacketType::Disconnect));
        assert!(!ReasonCode::PacketIdentifierNotFound.is_for(PacketType::PubAck));
        assert!(ReasonCode::NoSubscriptionExisted.is_for(PacketType::UnsubAck));
        assert!(!ReasonCode::Success.is_for(PacketType::Publish));
    }
}
