//! CONNECT and its answer.

use super::{Mqtt, in_words};
use crate::address::Address;
use crate::error::Error;
use crate::message::Message;
use crate::options::Options;
use crate::units::Units;
use trefoil_mqtt::{
    ConnAck, Connect, ConnectProperties, MessageProperties, PACKET_BYTES_MAX, QoS, ReasonCode,
    UserPropertiesBuf, Will,
};

/// What the hub said of the connection.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) session_present: bool,
    pub(crate) keep_alive_s: Option<u16>,
    pub(super) packet_bytes_max: usize,
    pub(super) qos_max: QoS,
    pub(super) retain_available: bool,
}

impl Mqtt {
    pub(crate) fn connect(&mut self, address: &Address, options: &Options, out: &mut Units) {
        let user_name = options.user_name.as_deref().or(address.user_name.as_deref());
        let password = options.password.as_deref().or(address.password.as_deref().map(str::as_bytes));
        let will_properties =
            options.will.as_ref().map(|will| user_properties(&will.message)).unwrap_or_default();
        let will = options.will.as_ref().map(|will| Will {
            topic: &will.message.topic,
            payload: &will.message.payload,
            qos: will.message.qos,
            retain: will.message.retain,
            delay_s: will.delay_s,
            properties: properties(&will.message, &will_properties),
        });
        let connect = Connect {
            version: self.version,
            clean_start: options.clean_start,
            keep_alive_s: options.keep_alive_s,
            client_id: options.client_id.as_deref().unwrap_or_default(),
            will,
            user_name,
            password,
            properties: ConnectProperties {
                session_expiry_s: (options.session_expiry_s > 0).then_some(options.session_expiry_s),
                // As many as there is room for until somebody takes them.
                receive_max: Some(options.queue_messages_max.max(1)),
                packet_bytes_max: u32::try_from(options.packet_bytes_max).ok().filter(|bytes| *bytes > 0),
                ..ConnectProperties::default()
            },
        };
        out.add(|out| connect.encode(self.version, out));
    }

    pub(super) fn welcomed(&mut self, connack: &ConnAck<'_>) -> Result<(), Error> {
        let said = &connack.properties;
        if connack.reason != ReasonCode::Success {
            let hint = match connack.reason {
                ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized => {
                    "; check user name and password"
                }
                ReasonCode::ClientIdentifierNotValid => "; choose another client id",
                ReasonCode::UnsupportedProtocolVersion => "; choose another version of MQTT",
                _ => "",
            };
            let reason = in_words(connack.reason, said.reason_string);
            return Err(self.peer.refused("the connection", format!("{reason}{hint}")));
        }
        if let Some(max) = said.receive_max {
            self.kept.outgoing.narrow(max);
        }
        self.welcome = Some(Welcome {
            session_present: connack.session_present,
            keep_alive_s: said.server_keep_alive_s,
            packet_bytes_max: said.packet_bytes_max.map_or(PACKET_BYTES_MAX, |bytes| bytes as usize),
            qos_max: said.qos_max.unwrap_or(QoS::ExactlyOnce),
            retain_available: said.retain_available.unwrap_or(true),
        });
        Ok(())
    }
}

/// The pairs in the form in which packets carry them. They were checked when the message was handed in.
pub(super) fn user_properties(message: &Message) -> UserPropertiesBuf {
    let mut buf = UserPropertiesBuf::new();
    for (name, value) in &message.properties.user_properties {
        let pushed = buf.push(name, value);
        debug_assert!(pushed.is_ok(), "Message::check lets nothing through that cannot be sent");
    }
    buf
}

pub(super) fn properties<'a>(
    message: &'a Message,
    user_properties: &'a UserPropertiesBuf,
) -> MessageProperties<'a> {
    let properties = &message.properties;
    MessageProperties {
        payload_format: None,
        expiry_s: properties.expiry_s,
        content_type: properties.content_type.as_deref(),
        response_topic: properties.response_topic.as_deref(),
        correlation_data: properties.correlation_data.as_deref(),
        user_properties: user_properties.as_ref(),
    }
}
