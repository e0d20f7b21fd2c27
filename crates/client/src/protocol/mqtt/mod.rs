//! MQTT from the client's side.

mod ask;
mod connect;
mod incoming;
mod outgoing;

use crate::command::Delivery;
use crate::error::{Error, Peer, shown};
use crate::options::Options;
use crate::units::Units;
use ask::Asks;
use connect::Welcome;
use outgoing::{Outgoing, Step};
use std::collections::HashSet;
use tokio::sync::OwnedMutexGuard;
use trefoil_auth::scram;
use trefoil_mqtt::{Disconnect, Packet, ReasonCode, Version};

/// One MQTT connection.
#[derive(Debug)]
pub(crate) struct Mqtt {
    version: Version,
    peer: Peer,
    /// What CONNACK said. `None`: it has not come yet.
    welcome: Option<Welcome>,
    /// The exchange by which both sides prove that they know the password, until CONNACK.
    scram: Option<scram::Client>,
    /// What the next connection finds, if the program keeps it.
    kept: OwnedMutexGuard<Kept>,
    keeps_session: bool,
    /// Requests that somebody is to answer.
    asks: Asks,
    /// Messages of QoS 2 that came in and that nobody has taken yet: their repetitions are none. They are not kept,
    /// since the messages are not.
    untaken: HashSet<u16>,
}

/// The client's half of a session.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    outgoing: Outgoing,
    /// Messages of QoS 2 that were taken and acknowledged by PUBREC, and whose PUBREL has not come.
    received: HashSet<u16>,
}

impl Mqtt {
    pub(crate) fn new(options: &Options, mut kept: OwnedMutexGuard<Kept>, peer: &Peer) -> Mqtt {
        kept.outgoing.widen(options.in_flight_max);
        Mqtt {
            version: options.version,
            peer: peer.clone(),
            welcome: None,
            scram: None,
            kept,
            keeps_session: options.session.is_some(),
            asks: Asks::default(),
            untaken: HashSet::new(),
        }
    }

    pub(crate) fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Takes one packet of the hub.
    pub(crate) fn handle_packet(&mut self, bytes: &[u8], out: &mut Units) -> Result<Option<Delivery>, Error> {
        let packet = trefoil_mqtt::decode(bytes, self.version)
            .map_err(|error| self.peer.stranger(format!("{error} (it said \"{}\")", shown(bytes))))?;
        let packet = match packet {
            Packet::ConnAck(connack) if self.welcome.is_none() => {
                self.welcomed(&connack)?;
                self.resume(connack.session_present, out);
                return Ok(None);
            }
            Packet::Auth(auth) if self.welcome.is_none() => {
                self.challenged(&auth, out)?;
                return Ok(None);
            }
            other if self.welcome.is_none() => {
                return Err(self.peer.stranger(format!("{} came before CONNACK", other.packet_type())));
            }
            other => other,
        };
        match packet {
            Packet::Publish(publish) => return self.handle_publish(&publish, out),
            Packet::PubAck(ack) => {
                self.acknowledged(ack.packet_id, Step::Acknowledge, ack.reason, &ack.properties, out)
            }
            Packet::PubRec(ack) => {
                self.acknowledged(ack.packet_id, Step::Receive, ack.reason, &ack.properties, out)
            }
            Packet::PubComp(ack) => {
                self.acknowledged(ack.packet_id, Step::Complete, ack.reason, &ack.properties, out)
            }
            Packet::PubRel(ack) => self.handle_release(ack.packet_id, out),
            Packet::SubAck(suback) => self.subscribed(&suback),
            Packet::UnsubAck(unsuback) => self.unsubscribed(&unsuback),
            Packet::PingResp => {}
            Packet::Disconnect(disconnect) => return Err(self.disconnected(&disconnect)),
            other => {
                return Err(self.peer.stranger(format!("{} is not for a client now", other.packet_type())));
            }
        }
        Ok(None)
    }

    pub(crate) fn ping(&mut self, out: &mut Units) {
        out.add(|out| Packet::PingReq.encode(self.version, out));
    }

    /// Nothing of ours waits for an answer, and the hub waits for none of ours.
    pub(crate) fn is_settled(&self) -> bool {
        self.kept.outgoing.is_empty() && self.kept.received.is_empty() && self.asks.is_settled()
    }

    pub(crate) fn say_goodbye(&mut self, out: &mut Units) -> Result<(), Error> {
        let goodbye = Disconnect::new(ReasonCode::Success);
        out.add(|out| goodbye.encode(self.version, out));
        self.kept.outgoing.unheard.take().map_or(Ok(()), Err)
    }

    /// The connection is over, and with it what does not belong to the session.
    pub(crate) fn end(&mut self, error: &Error) {
        self.asks.fail(error);
        if self.keeps_session {
            self.kept.outgoing.fail_requests(error);
        } else {
            self.kept.outgoing.fail(error);
        }
    }

    /// Goes on where the last connection ended, or gives it up if the hub has not kept the session [MQTT-3.2.2-5].
    fn resume(&mut self, session_present: bool, out: &mut Units) {
        if session_present {
            self.kept.outgoing.rewind();
            self.send_again(out);
        } else {
            self.kept.received.clear();
            self.kept.outgoing.fail(&self.peer.lost("the hub has not kept the session"));
        }
    }

    fn disconnected(&self, disconnect: &Disconnect<'_>) -> Error {
        let reason = in_words(disconnect.reason, disconnect.properties.reason_string);
        self.peer.lost(format!("the hub ended it: {reason}"))
    }
}

/// A reason code, with the words that came with it.
fn in_words(code: ReasonCode, words: Option<&str>) -> String {
    match words {
        Some(words) => format!("{} ({})", code.name(), shown(words.as_bytes())),
        None => code.name().to_owned(),
    }
}

#[cfg(test)]
mod tests;
