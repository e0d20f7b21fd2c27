//! CONNECT and its answer.

use super::{Mqtt, in_words};
use crate::address::Address;
use crate::error::Error;
use crate::message::Message;
use crate::options::{Authentication, Options};
use crate::units::Units;
use trefoil_auth::scram;
use trefoil_mqtt::{
    Auth, ConnAck, Connect, ConnectProperties, MessageProperties, PACKET_BYTES_MAX, QoS, ReasonCode,
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
        let first = self.begin_scram(address, options);
        let (user_name, password) = match first {
            // The exchange says who the client is.
            Some(_) => (None, None),
            None => options.credentials(address),
        };
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
                authentication_method: first.is_some().then_some(scram::NAME),
                authentication_data: first.as_deref(),
                packet_bytes_max: u32::try_from(options.packet_bytes_max).ok().filter(|bytes| *bytes > 0),
                ..ConnectProperties::default()
            },
        };
        out.add(|out| connect.encode(self.version, out));
    }

    /// What SCRAM says first, if the client proves by it who it is.
    fn begin_scram(&mut self, address: &Address, options: &Options) -> Option<Vec<u8>> {
        if options.authentication != Authentication::ScramSha256 {
            return None;
        }
        // `Options::check` has seen that there are both, and that they can be used.
        let (user_name, password) = options.text_credentials(address).ok()??;
        let mut nonce = [0; scram::NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let (exchange, first) = scram::Client::begin(user_name, password, &nonce).ok()?;
        self.scram = Some(exchange);
        Some(first)
    }

    /// AUTH: the hub asks for the proof.
    pub(super) fn challenged(&mut self, auth: &Auth<'_>, out: &mut Units) -> Result<(), Error> {
        let is_expected = auth.reason == ReasonCode::ContinueAuthentication
            && auth.authentication_method == Some(scram::NAME);
        let Some(exchange) = self.scram.as_mut().filter(|_| is_expected) else {
            return Err(self.peer.stranger("AUTH came that nothing asked for"));
        };
        let proof = exchange
            .answer(auth.authentication_data.unwrap_or_default())
            .map_err(|why| self.peer.stranger(why))?;
        let answer = Auth {
            reason: ReasonCode::ContinueAuthentication,
            authentication_method: Some(scram::NAME),
            authentication_data: Some(&proof),
            ..Auth::default()
        };
        out.add(|out| answer.encode(self.version, out));
        Ok(())
    }

    pub(super) fn welcomed(&mut self, connack: &ConnAck<'_>) -> Result<(), Error> {
        let said = &connack.properties;
        if connack.reason != ReasonCode::Success {
            let hint = match connack.reason {
                ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized => {
                    "; check user name and password"
                }
                ReasonCode::BadAuthenticationMethod => {
                    "; the hub has no users, or does not know SCRAM-SHA-256"
                }
                ReasonCode::ClientIdentifierNotValid => "; choose another client id",
                ReasonCode::UnsupportedProtocolVersion => "; choose another version of MQTT",
                _ => "",
            };
            let reason = in_words(connack.reason, said.reason_string);
            return Err(self.peer.refused("the connection", format!("{reason}{hint}")));
        }
        if let Some(exchange) = self.scram.take() {
            // Whoever does not know the password either is not the hub.
            exchange
                .check(said.authentication_data.unwrap_or_default())
                .map_err(|why| self.peer.stranger(why))?;
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
