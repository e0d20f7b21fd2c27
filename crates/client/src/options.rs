//! How to connect.

use crate::address::{Address, Protocol, Transport};
use crate::error::Error;
use crate::message::Message;
use crate::session::Session;
use std::path::PathBuf;
use std::time::Duration;
use trefoil_json::SlowReader;
use trefoil_mqtt::{QoS, Version};

/// How to connect. The default is an anonymous MQTT 5.0 client that leaves nothing behind.
///
/// What only MQTT has (client id, session, will) is refused with a URL that chooses JSON; what
/// MQTT-SN does not have (user name, password, will delay) with one that chooses that.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version of MQTT.
    pub version: Version,
    /// The name of the session. Without it the hub makes one up.
    pub client_id: Option<String>,
    /// Who this client claims to be. It goes before one in the URL.
    pub user_name: Option<String>,
    /// The proof of it. With JSON it must be UTF-8.
    pub password: Option<Vec<u8>>,
    /// How to prove it.
    pub authentication: Authentication,
    /// Begin with an empty session, and forget what the hub has kept for this client id.
    pub clean_start: bool,
    /// For how many seconds the hub keeps the session once the connection has ended. MQTT 3.1.1 can only say that it is
    /// to be kept, which is what `clean_start = false` means there.
    pub session_expiry_s: u32,
    /// What this client itself keeps of the session. Without it each connection begins with nothing in flight, whatever
    /// the hub has kept.
    pub session: Option<Session>,
    /// After how many seconds of silence to ask whether the hub is still there; 0 for never.
    pub keep_alive_s: u16,
    /// Topics that have a number at the gateway beforehand, over MQTT-SN.
    pub predefined_topics: Vec<(u16, String)>,
    /// What the hub publishes when the connection ends without a goodbye.
    pub will: Option<Will>,
    /// How long to wait for the connection to stand, and at the end for the last acknowledgements.
    pub timeout: Duration,
    /// Messages of QoS 1 and 2 that are on their way to the hub at a time, not yet acknowledged.
    pub in_flight_max: u16,
    /// Messages that are held until somebody takes them. Then the socket is not read any more.
    pub queue_messages_max: u16,
    /// The largest packet, line or WebSocket message that is taken in.
    pub packet_bytes_max: usize,
    /// The file (PEM) with the certificates of those who may vouch for the hub, with TLS. Without it those count whom the
    /// system trusts.
    pub tls_ca: Option<PathBuf>,
    /// With TLS, take whoever answers for the hub. What is sent is sealed, and whoever stands between can read it.
    pub tls_insecure: bool,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// It sends user name and password: in CONNECT, over WebSocket in the handshake where JSON is spoken, and else in
    /// the first JSON text.
    #[default]
    Password,
    /// It proves that it knows the password, without sending it, and makes the hub prove the same. MQTT 5.0 only.
    ScramSha256,
}

/// What a subscription asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The highest QoS wanted.
    pub qos: QoS,
    /// What the hub does with messages for which this client is too slow; `None`: what the hub is set to. MQTT before 5.0
    /// and MQTT-SN cannot say it.
    pub slow_reader: Option<SlowReader>,
}

/// A message for the case that the connection ends without a goodbye.
#[derive(Clone, Debug, Default)]
pub struct Will {
    /// The message.
    pub message: Message,
    /// How many seconds to wait, in case the client comes back. MQTT 5.0 only.
    pub delay_s: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            version: Version::V5,
            client_id: None,
            user_name: None,
            password: None,
            authentication: Authentication::Password,
            clean_start: true,
            session_expiry_s: 0,
            session: None,
            keep_alive_s: 30,
            predefined_topics: Vec::new(),
            will: None,
            timeout: Duration::from_secs(10),
            in_flight_max: 256,
            queue_messages_max: 1024,
            packet_bytes_max: 64 << 20,
            tls_ca: None,
            tls_insecure: false,
        }
    }
}

impl Options {
    /// Whether these options go with that address and with each other.
    pub(crate) fn check(&self, address: &Address) -> Result<(), Error> {
        if !address.is_tls && (self.tls_ca.is_some() || self.tls_insecure) {
            let why =
                "speaks no TLS, for which a certificate could be looked at; use mqtts://, wss:// or tcps://";
            return Err(Error::usage(format!("{address} {why}")));
        }
        match address.protocol {
            Protocol::Json => return self.check_json(address),
            Protocol::Mqtt if self.authentication == Authentication::ScramSha256 => {
                self.check_scram(address)?
            }
            Protocol::MqttSn => self.check_mqtt_sn(address)?,
            Protocol::Mqtt => {}
        }
        let id = self.client_id.as_deref().unwrap_or_default();
        let texts = [("client id", id), ("user name", self.user_name.as_deref().unwrap_or_default())];
        for (what, text) in texts {
            trefoil_mqtt::validate_text(text)
                .map_err(|error| Error::usage(format!("the {what} cannot be sent: {error}")))?;
        }
        if self.password.as_ref().is_some_and(|password| password.len() > trefoil_mqtt::FIELD_BYTES_MAX) {
            return Err(Error::usage("the password is longer than 65,535 bytes"));
        }
        if id.is_empty() && !(self.clean_start && self.session_expiry_s == 0) {
            return Err(Error::usage(
                "a session that outlives its connection needs a client id to find it by",
            ));
        }
        if !self.version.is_v5() && self.clean_start && self.session_expiry_s > 0 {
            return Err(Error::usage(
                "before MQTT 5 a session is either kept or begun anew: with session_expiry_s goes clean_start = false",
            ));
        }
        if let Some(will) = &self.will {
            will.message.check()?;
            if will.message.payload.len() > trefoil_mqtt::FIELD_BYTES_MAX {
                return Err(Error::usage("the payload of the will is longer than 65,535 bytes"));
            }
        }
        Ok(())
    }

    /// Who the client is, by the options or else by the URL.
    pub(crate) fn credentials<'a>(&'a self, address: &'a Address) -> (Option<&'a str>, Option<&'a [u8]>) {
        let user_name = self.user_name.as_deref().or(address.user_name.as_deref());
        let password = self.password.as_deref().or(address.password.as_deref().map(str::as_bytes));
        (user_name, password)
    }

    /// The same as text, for what can carry nothing else; both or none.
    ///
    /// # Errors
    /// When one is missing, or the password is not UTF-8.
    pub(crate) fn text_credentials<'a>(
        &'a self,
        address: &'a Address,
    ) -> Result<Option<(&'a str, &'a str)>, Error> {
        let (user_name, password) = match self.credentials(address) {
            (None, None) => return Ok(None),
            (Some(user_name), password) => (user_name, password.unwrap_or_default()),
            (None, Some(_)) => return Err(Error::usage("a password needs a user name")),
        };
        let password =
            std::str::from_utf8(password).map_err(|_| Error::usage("the password is not UTF-8"))?;
        Ok(Some((user_name, password)))
    }

    fn check_scram(&self, address: &Address) -> Result<(), Error> {
        if !self.version.is_v5() {
            return Err(Error::usage("SCRAM-SHA-256 needs MQTT 5"));
        }
        let Some((user_name, password)) = self.text_credentials(address)? else {
            return Err(Error::usage("SCRAM-SHA-256 needs user name and password"));
        };
        for (what, text) in [("user name", user_name), ("password", password)] {
            trefoil_auth::prepare(text)
                .map_err(|why| Error::usage(format!("the {what} cannot be used: {why}")))?;
        }
        Ok(())
    }

    /// What MQTT has and MQTT-SN has not.
    fn check_mqtt_sn(&self, address: &Address) -> Result<(), Error> {
        let extra = [
            ("user name", self.user_name.is_some() || address.user_name.is_some()),
            ("password", self.password.is_some() || address.password.is_some()),
            ("SCRAM-SHA-256", self.authentication == Authentication::ScramSha256),
            ("will delay", self.will.as_ref().is_some_and(|will| will.delay_s > 0)),
            ("session that this client keeps", self.session.is_some()),
        ];
        refuse_extra(address, "MQTT-SN", extra)
    }

    fn check_json(&self, address: &Address) -> Result<(), Error> {
        let extra = [
            ("client id", self.client_id.is_some()),
            ("SCRAM-SHA-256", self.authentication == Authentication::ScramSha256),
            (
                "session that outlives its connection",
                !self.clean_start || self.session_expiry_s > 0 || self.session.is_some(),
            ),
            ("will", self.will.is_some()),
        ];
        refuse_extra(address, "JSON", extra)?;
        let Some((user_name, _)) = self.text_credentials(address)? else { return Ok(()) };
        let is_basic = address.transport == Transport::WebSocket;
        if is_basic && user_name.contains(':') {
            return Err(Error::usage("a user name has no : in it, since that ends it"));
        }
        Ok(())
    }
}

fn refuse_extra<const N: usize>(
    address: &Address,
    protocol: &str,
    extra: [(&str, bool); N],
) -> Result<(), Error> {
    match extra.into_iter().find(|(_, wanted)| *wanted) {
        Some((what, _)) => Err(Error::usage(format!(
            "{address} speaks {protocol}, which has no {what}; use mqtt://{}:{} for that",
            address.host_in_url(),
            crate::address::MQTT_PORT
        ))),
        None => Ok(()),
    }
}
