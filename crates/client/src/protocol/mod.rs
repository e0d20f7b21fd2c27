//! What units mean: MQTT, MQTT-SN or JSON. No socket and no clock: units and the time go in, units and messages come out.

mod json;
mod mqtt;
mod mqtt_sn;
mod resend;

use crate::address::{self, Address};
use crate::command::{Command, Delivery, Token};
use crate::error::{Error, Peer};
use crate::options::Options;
use crate::units::Units;
use tokio::time::Instant;

pub(crate) use mqtt::Kept as KeptMqtt;
pub(crate) use mqtt_sn::unconnected;

/// The state of a connection above its transport.
#[derive(Debug)]
pub(crate) enum Protocol {
    Mqtt(Box<mqtt::Mqtt>),
    MqttSn(Box<mqtt_sn::MqttSn>),
    Json(Box<json::Json>),
}

impl Protocol {
    /// `unit_bytes_max` is the most that the transport can send at once. Waits until no other connection has the
    /// session.
    pub(crate) async fn new(
        address: &Address,
        options: &Options,
        unit_bytes_max: usize,
        peer: &Peer,
    ) -> Protocol {
        match address.protocol {
            address::Protocol::Mqtt => {
                let session = options.session.clone().unwrap_or_default();
                Protocol::Mqtt(Box::new(mqtt::Mqtt::new(options, session.take().await, peer)))
            }
            address::Protocol::MqttSn => Protocol::MqttSn(Box::new(mqtt_sn::MqttSn::new(options, peer))),
            address::Protocol::Json => {
                let is_lossy = address.transport == address::Transport::Udp;
                Protocol::Json(Box::new(json::Json::new(options, is_lossy, unit_bytes_max, peer)))
            }
        }
    }

    /// The first words, which the hub has to answer before anything else is said. They may be repeated.
    pub(crate) fn greet(&mut self, address: &Address, options: &Options, out: &mut Units) {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.connect(address, options, out),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.connect(options, out),
            Protocol::Json(json) => json.greet(address, options, out),
        }
    }

    /// Whether the hub has answered them.
    pub(crate) fn is_greeted(&self) -> bool {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.welcome().is_some(),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.is_connected(),
            Protocol::Json(json) => json.has_heard(),
        }
    }

    /// Whether the hub has kept the session of an earlier connection.
    pub(crate) fn session_present(&self) -> bool {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.welcome().is_some_and(|welcome| welcome.session_present),
            // MQTT-SN does not say.
            Protocol::MqttSn(_) | Protocol::Json(_) => false,
        }
    }

    /// The keep-alive that the hub wants, if it wants another.
    pub(crate) fn keep_alive_s(&self) -> Option<u16> {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.welcome().and_then(|welcome| welcome.keep_alive_s),
            Protocol::MqttSn(_) | Protocol::Json(_) => None,
        }
    }

    /// Whether the window has room for another command.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.has_room(),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.has_room(),
            Protocol::Json(json) => json.has_room(),
        }
    }

    /// Does what a handle asks. The driver keeps [`Command::Close`] to itself.
    pub(crate) fn handle_command(&mut self, command: Command, now: Instant, out: &mut Units) {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.handle_command(command, out),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.handle_command(command, now, out),
            Protocol::Json(json) => json.handle_command(command, now, out),
        }
    }

    /// Takes a unit that came in; messages go to `inbox`.
    pub(crate) fn handle_unit(
        &mut self,
        unit: &[u8],
        out: &mut Units,
        inbox: &mut impl Extend<Delivery>,
    ) -> Result<(), Error> {
        let delivery = match self {
            Protocol::Mqtt(mqtt) => mqtt.handle_packet(unit, out)?,
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.handle_packet(unit, Instant::now(), out)?,
            Protocol::Json(json) => json.handle_text(unit, out)?,
        };
        inbox.extend(delivery);
        Ok(())
    }

    /// A message was taken: now it can be acknowledged.
    pub(crate) fn handle_taken(&mut self, token: Token, out: &mut Units) {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.handle_taken(token, out),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.handle_taken(token, out),
            Protocol::Json(json) => json.handle_taken(token, out),
        }
    }

    /// Asks for a sign of life.
    pub(crate) fn ping(&mut self, out: &mut Units) {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.ping(out),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.ping(out),
            Protocol::Json(json) => json.ping(out),
        }
    }

    /// When something is to be sent again.
    pub(crate) fn resend_at(&self) -> Option<Instant> {
        match self {
            Protocol::Mqtt(_) => None,
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.resend_at(),
            Protocol::Json(json) => json.resend_at(),
        }
    }

    /// Sends again what is due.
    pub(crate) fn resend(&mut self, now: Instant, out: &mut Units) {
        match self {
            Protocol::Mqtt(_) => {}
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.resend(now, out),
            Protocol::Json(json) => json.resend(now, out),
        }
    }

    /// Asks for what tells that the hub has taken everything, where acknowledgements do not say so.
    pub(crate) fn begin_end(&mut self, now: Instant, out: &mut Units) {
        match self {
            Protocol::Mqtt(_) => {}
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.begin_end(now, out),
            Protocol::Json(json) => json.begin_end(now, out),
        }
    }

    /// Whether everything that was begun has come to its end.
    pub(crate) fn is_settled(&self) -> bool {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.is_settled(),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.is_settled(),
            Protocol::Json(json) => json.is_settled(),
        }
    }

    /// The last words. Returns what went wrong without anybody waiting for it.
    pub(crate) fn say_goodbye(&mut self, out: &mut Units) -> Result<(), Error> {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.say_goodbye(out),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.end(),
            Protocol::Json(json) => json.end(),
        }
    }

    /// Whether the hub closes its side once it has read the goodbye.
    pub(crate) fn hub_closes(&self) -> bool {
        matches!(self, Protocol::Mqtt(_))
    }

    /// The connection is over: tells all who still wait that it did not work, save for what the session keeps.
    pub(crate) fn fail(&mut self, error: &Error) {
        match self {
            Protocol::Mqtt(mqtt) => mqtt.end(error),
            Protocol::MqttSn(mqtt_sn) => mqtt_sn.fail(error),
            Protocol::Json(json) => json.fail(error),
        }
    }
}
