//! CONNACK: the server's answer to CONNECT.

use crate::ack::read_reason;
use crate::property::{Property, Section, misplaced, once, put};
use crate::wire::{Reader, put_packet, put_with_length};
use crate::{DecodeError, PacketType, QoS, ReasonCode, UserProperties, Version};

const SESSION_PRESENT: u8 = 1;

/// The server's answer to CONNECT (section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the server has kept the client's session. Written only with a success [MQTT-3.2.2-6], and not in 3.1,
    /// which has no place for it.
    pub session_present: bool,
    /// Success, or why not. Before 5.0 it is written as the return code that comes nearest.
    pub reason: ReasonCode,
    /// More about the connection. MQTT 5.0 only.
    pub properties: ConnAckProperties<'a>,
}

/// The properties of CONNACK (section 3.2.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties<'a> {
    /// For how many seconds the session outlives the connection, if not for as long as the client asked.
    pub session_expiry_s: Option<u32>,
    /// How many messages of QoS 1 and 2 the server takes at a time; absent means 65,535.
    pub receive_max: Option<u16>,
    /// The highest QoS that the server takes, 0 or 1; absent (or 2, which is not written) means 2.
    pub qos_max: Option<QoS>,
    /// Whether there are retained messages; absent means yes.
    pub retain_available: Option<bool>,
    /// The longest packet that the server takes; absent means no limit.
    pub packet_bytes_max: Option<u32>,
    /// The client identifier that the server gave to a client without one.
    pub assigned_client_id: Option<&'a str>,
    /// The highest topic alias that the server takes; absent means none.
    pub topic_alias_max: Option<u16>,
    /// The reason in words, for people.
    pub reason_string: Option<&'a str>,
    /// Whether topic filters may have wildcards; absent means yes.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether subscriptions may have identifiers; absent means yes.
    pub subscription_id_available: Option<bool>,
    /// Whether there are shared subscriptions; absent means yes.
    pub shared_subscription_available: Option<bool>,
    /// The keep alive that the client is to use instead of its own.
    pub server_keep_alive_s: Option<u16>,
    /// What response topics can be made of.
    pub response_information: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// The method of extended authentication.
    pub authentication_method: Option<&'a str>,
    /// What the method has to say last.
    pub authentication_data: Option<&'a [u8]>,
    /// Name and value pairs.
    pub user_properties: UserProperties<'a>,
}

impl<'a> ConnAck<'a> {
    pub(crate) fn read(mut reader: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let flags = reader.u8()?;
        // In 3.1 the byte is there but means nothing.
        let flags = if version == Version::V3_1 { 0 } else { flags };
        // [MQTT-3.2.2-1]
        if flags & !SESSION_PRESENT != 0 {
            return Err(DecodeError::ReservedConnAckFlags { flags });
        }
        let session_present = flags == SESSION_PRESENT;
        let mut properties = ConnAckProperties::default();
        let reason = if version.is_v5() {
            let reason = read_reason(PacketType::ConnAck, &mut reader)?;
            properties = ConnAckProperties::read(Section::open(&mut reader)?)?;
            reason
        } else {
            let code = reader.u8()?;
            let packet = PacketType::ConnAck;
            ReasonCode::from_v3_return_code(code).ok_or(DecodeError::InvalidReasonCode { packet, code })?
        };
        reader.finish()?;
        // [MQTT-3.2.2-6]
        if session_present && reason != ReasonCode::Success {
            return Err(DecodeError::SessionPresentOnRefusal);
        }
        Ok(ConnAck { session_present, reason, properties })
    }

    /// Bytes that [`ConnAck::encode`] appends.
    pub fn encoded_len(&self, version: Version) -> usize {
        let mut out = Vec::new();
        self.encode(version, &mut out);
        out.len()
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        // [MQTT-3.2.2-6] [v3 MQTT-3.2.2-4]
        let session_present =
            self.session_present && self.reason == ReasonCode::Success && version != Version::V3_1;
        put_packet(PacketType::ConnAck.first_byte(), out, |out| {
            // [MQTT-3.2.2-1]
            out.push(u8::from(session_present));
            if version.is_v5() {
                out.push(self.reason as u8);
                put_with_length(out, |out| self.properties.put(out));
            } else {
                out.push(self.reason.to_v3_return_code());
            }
        });
    }
}

impl<'a> ConnAckProperties<'a> {
    fn read(mut section: Section<'a>) -> Result<Self, DecodeError> {
        use Property as P;
        let mut found = ConnAckProperties::default();
        while let Some(property) = section.next()? {
            let id = property.id();
            match property {
                P::SessionExpiry(value) => once(&mut found.session_expiry_s, value, id)?,
                P::ReceiveMaximum(value) => once(&mut found.receive_max, value, id)?,
                P::MaximumQoS(value) => {
                    let invalid = DecodeError::InvalidPropertyValue { property: id, value: u32::from(value) };
                    once(&mut found.qos_max, QoS::from_bits(value).ok_or(invalid)?, id)?;
                }
                P::RetainAvailable(value) => once(&mut found.retain_available, value, id)?,
                P::MaximumPacketSize(value) => once(&mut found.packet_bytes_max, value, id)?,
                P::AssignedClientId(value) => once(&mut found.assigned_client_id, value, id)?,
                P::TopicAliasMaximum(value) => once(&mut found.topic_alias_max, value, id)?,
                P::ReasonString(value) => once(&mut found.reason_string, value, id)?,
                P::WildcardSubscriptionAvailable(value) => {
                    once(&mut found.wildcard_subscription_available, value, id)?;
                }
                P::SubscriptionIdAvailable(value) => once(&mut found.subscription_id_available, value, id)?,
                P::SharedSubscriptionAvailable(value) => {
                    once(&mut found.shared_subscription_available, value, id)?;
                }
                P::ServerKeepAlive(value) => once(&mut found.server_keep_alive_s, value, id)?,
                P::ResponseInformation(value) => once(&mut found.response_information, value, id)?,
                P::ServerReference(value) => once(&mut found.server_reference, value, id)?,
                P::AuthenticationMethod(value) => once(&mut found.authentication_method, value, id)?,
                P::AuthenticationData(value) => once(&mut found.authentication_data, value, id)?,
                other => return Err(misplaced(other, PacketType::ConnAck)),
            }
        }
        found.user_properties = section.user_properties();
        Ok(found)
    }

    fn put(&self, out: &mut Vec<u8>) {
        let qos_max = self.qos_max.filter(|&qos| qos != QoS::ExactlyOnce);
        put(out, self.session_expiry_s.map(Property::SessionExpiry));
        put(out, self.receive_max.map(Property::ReceiveMaximum));
        put(out, qos_max.map(|qos| Property::MaximumQoS(qos as u8)));
        put(out, self.retain_available.map(Property::RetainAvailable));
        put(out, self.packet_bytes_max.map(Property::MaximumPacketSize));
        put(out, self.assigned_client_id.map(Property::AssignedClientId));
        put(out, self.topic_alias_max.map(Property::TopicAliasMaximum));
        put(out, self.reason_string.map(Property::ReasonString));
        put(out, self.wildcard_subscription_available.map(Property::WildcardSubscriptionAvailable));
        put(out, self.subscription_id_available.map(Property::SubscriptionIdAvailable));
        put(out, self.shared_subscription_available.map(Property::SharedSubscriptionAvailable));
        put(out, self.server_keep_alive_s.map(Property::ServerKeepAlive));
        put(out, self.response_information.map(Property::ResponseInformation));
        put(out, self.server_reference.map(Property::ServerReference));
        put(out, self.authentication_method.map(Property::AuthenticationMethod));
        put(out, self.authentication_data.map(Property::AuthenticationData));
        self.user_properties.put(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, PropertyId, decode};

    fn connack(bytes: &[u8], version: Version) -> Result<ConnAck<'_>, DecodeError> {
        match decode(bytes, version)? {
            Packet::ConnAck(packet) => Ok(packet),
            other => panic!("{other:?} is no CONNACK"),
        }
    }

    fn written(packet: &ConnAck<'_>, version: Version) -> Vec<u8> {
        let mut out = Vec::new();
        packet.encode(version, &mut out);
        out
    }

    #[test]
    fn refusals_before_version_5_have_a_return_code() {
        use ReasonCode as R;
        let codes = [
            (R::Success, 0),
            (R::UnsupportedProtocolVersion, 1),
            (R::ClientIdentifierNotValid, 2),
            (R::ServerUnavailable, 3),
            (R::ServerBusy, 3),
            (R::BadUserNameOrPassword, 4),
            (R::NotAuthorized, 5),
        ];
        for (reason, code) in codes {
            let packet = ConnAck { reason, ..ConnAck::default() };
            assert_eq!(written(&packet, Version::V3_1_1), [0x20, 2, 0, code]);
        }
        assert_eq!(connack(&[0x20, 2, 0, 4], Version::V3_1).map(|p| p.reason), Ok(R::BadUserNameOrPassword));
        let (packet, code) = (PacketType::ConnAck, 6);
        assert_eq!(
            connack(&[0x20, 2, 0, 6], Version::V3_1_1),
            Err(DecodeError::InvalidReasonCode { packet, code })
        );
    }

    #[test]
    fn session_present_goes_with_success_only() {
        assert_eq!(connack(&[0x20, 2, 1, 0], Version::V3_1_1).map(|p| p.session_present), Ok(true));
        assert_eq!(connack(&[0x20, 2, 1, 0], Version::V3_1).map(|p| p.session_present), Ok(false));
        assert_eq!(connack(&[0x20, 2, 1, 5], Version::V3_1_1), Err(DecodeError::SessionPresentOnRefusal));
        assert_eq!(connack(&[0x20, 3, 1, 0x87, 0], Version::V5), Err(DecodeError::SessionPresentOnRefusal));
        let packet = ConnAck { session_present: true, reason: ReasonCode::Banned, ..ConnAck::default() };
        assert_eq!(written(&packet, Version::V5), [0x20, 3, 0, 0x8A, 0]);
    }

    #[test]
    fn reserved_flags_are_refused() {
        // [MQTT-3.2.2-1]
        for flags in [2, 3, 0x80] {
            let refused = Err(DecodeError::ReservedConnAckFlags { flags });
            assert_eq!(connack(&[0x20, 2, flags, 0], Version::V3_1_1), refused);
            assert_eq!(connack(&[0x20, 3, flags, 0, 0], Version::V5), refused);
        }
        assert!(matches!(connack(&[0x21, 2, 0, 0], Version::V3_1_1), Err(DecodeError::ReservedFlags { .. })));
    }

    #[test]
    fn all_properties_there_and_back() {
        let packet = ConnAck {
            session_present: true,
            reason: ReasonCode::Success,
            properties: ConnAckProperties {
                session_expiry_s: Some(u32::MAX),
                receive_max: Some(20),
                qos_max: Some(QoS::AtLeastOnce),
                retain_available: Some(false),
                packet_bytes_max: Some(1 << 20),
                assigned_client_id: Some("auto-1"),
                topic_alias_max: Some(10),
                reason_string: Some("welcome"),
                wildcard_subscription_available: Some(true),
                subscription_id_available: Some(true),
                shared_subscription_available: Some(false),
                server_keep_alive_s: Some(0),
                response_information: Some("answers/"),
                server_reference: Some("other:1883"),
                authentication_method: Some("SCRAM"),
                authentication_data: Some(&[0, 1, 255]),
                user_properties: UserProperties::default(),
            },
        };
        let wire = written(&packet, Version::V5);
        assert_eq!(connack(&wire, Version::V5), Ok(packet));
        assert_eq!(written(&packet, Version::V3_1_1), [0x20, 2, 1, 0]);
        assert_eq!(written(&packet, Version::V3_1), [0x20, 2, 0, 0]);
    }

    #[test]
    fn properties_once_and_in_their_place() {
        let (property, packet) = (PropertyId::TopicAlias, PacketType::ConnAck);
        assert_eq!(
            connack(&[0x20, 6, 0, 0, 3, 0x23, 0, 1], Version::V5),
            Err(DecodeError::MisplacedProperty { property, packet })
        );
        let property = PropertyId::MaximumQoS;
        assert_eq!(
            connack(&[0x20, 7, 0, 0, 4, 0x24, 1, 0x24, 1], Version::V5),
            Err(DecodeError::DuplicateProperty { property })
        );
        assert_eq!(
            connack(&[0x20, 5, 0, 0, 2, 0x24, 2], Version::V5),
            Err(DecodeError::InvalidPropertyValue { property, value: 2 })
        );
    }

    #[test]
    fn nothing_missing_and_nothing_left_over() {
        assert_eq!(connack(&[0x20, 2, 0, 0], Version::V5), Err(DecodeError::Truncated));
        assert_eq!(connack(&[0x20, 1, 0], Version::V3_1_1), Err(DecodeError::Truncated));
        assert_eq!(connack(&[0x20, 3, 0, 0, 0], Version::V3_1_1), Err(DecodeError::TrailingBytes));
    }
}
