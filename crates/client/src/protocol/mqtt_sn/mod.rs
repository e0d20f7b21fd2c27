//! MQTT-SN from the client's side, over UDP.
//!
//! One request is on its way at a time, as the protocol asks; what programs hand in meanwhile waits behind it. Whatever
//! is not answered is sent again.

mod incoming;
mod outgoing;
mod topics;

use crate::command::{Command, Delivery};
use crate::error::{Error, Peer, shown};
use crate::message::Message;
use crate::options::{Options, Will};
use crate::random::Random;
use crate::transport::DATAGRAM_BYTES_MAX;
use crate::units::Units;
use incoming::Incoming;
use outgoing::{Exchange, Goodbye};
use std::collections::VecDeque;
use tokio::time::Instant;
use topics::Topics;
use trefoil_mqtt_sn::{Connect, Packet, ReturnCode, WillTopic, decode};

/// One conversation with a gateway.
#[derive(Debug)]
pub(crate) struct MqttSn {
    peer: Peer,
    client_id: String,
    will: Option<Will>,
    is_connected: bool,
    topics: Topics,
    incoming: Incoming,
    /// What the gateway has yet to answer.
    exchange: Option<Exchange>,
    /// What comes after it.
    queue: VecDeque<Command>,
    queue_max: usize,
    last_msg_id: u16,
    goodbye: Goodbye,
    /// What went wrong with a message that nobody waits for. The one who closes the client hears of it.
    unheard: Option<Error>,
}

impl MqttSn {
    pub(crate) fn new(options: &Options, peer: &Peer) -> MqttSn {
        let made_up =
            || format!("trefoil-{:016x}", u64::from_ne_bytes(Random::new().next()))[..23].to_owned();
        MqttSn {
            peer: peer.clone(),
            client_id: options.client_id.clone().filter(|id| !id.is_empty()).unwrap_or_else(made_up),
            will: options.will.clone(),
            is_connected: false,
            topics: Topics::new(&options.predefined_topics),
            incoming: Incoming::default(),
            exchange: None,
            queue: VecDeque::new(),
            queue_max: usize::from(options.in_flight_max.max(1)),
            last_msg_id: 0,
            goodbye: Goodbye::NotYet,
            unheard: None,
        }
    }

    /// CONNECT. If the gateway asks for a will that got lost, it asks again after the next one.
    pub(crate) fn connect(&mut self, options: &Options, out: &mut Units) {
        let connect = Connect {
            will: self.will.is_some(),
            clean_session: options.clean_start && options.session_expiry_s == 0,
            keep_alive_s: options.keep_alive_s,
            client_id: &self.client_id,
        };
        send(&Packet::Connect(connect), out);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Takes one packet of the gateway.
    pub(crate) fn handle_packet(
        &mut self,
        bytes: &[u8],
        now: Instant,
        out: &mut Units,
    ) -> Result<Option<Delivery>, Error> {
        let packet = decode(bytes)
            .map_err(|error| self.peer.stranger(format!("{error} (it said \"{}\")", shown(bytes))))?;
        match packet {
            Packet::WillTopicReq => {
                let topic = self.will.as_ref().map(|will| WillTopic {
                    qos: outgoing::qos(will.message.qos),
                    retain: will.message.retain,
                    topic: &will.message.topic,
                });
                send(&Packet::WillTopic(topic), out);
            }
            Packet::WillMsgReq => {
                let payload = self.will.as_ref().map_or(&[][..], |will| &will.message.payload);
                send(&Packet::WillMsg(payload), out);
            }
            Packet::ConnAck(ack) if ack.return_code == ReturnCode::ACCEPTED => self.is_connected = true,
            Packet::ConnAck(ack) => {
                return Err(self.peer.refused("the connection", ack.return_code));
            }
            // Words for a connection that was here before, or of somebody else.
            _ if !self.is_connected => {}
            Packet::Publish(publish) => return Ok(self.incoming.take_in(&publish, &self.topics, out)),
            Packet::PubRel(msg_id) => self.incoming.release(msg_id, out),
            Packet::Register(register) => {
                self.topics.learn(register.topic_id, register.topic);
                let ack = trefoil_mqtt_sn::RegAck {
                    topic_id: register.topic_id,
                    msg_id: register.msg_id,
                    return_code: ReturnCode::ACCEPTED,
                };
                send(&Packet::RegAck(ack), out);
            }
            Packet::Disconnect(_) if self.goodbye == Goodbye::NotYet => {
                return Err(self.peer.lost("the gateway has no connection with this client any more"));
            }
            Packet::Disconnect(_) => {
                self.goodbye = Goodbye::Answered;
                self.exchange = None;
            }
            answer => {
                self.answered(&answer, now, out);
                self.advance(now, out);
            }
        }
        Ok(None)
    }

    pub(crate) fn handle_taken(&mut self, token: crate::command::Token, out: &mut Units) {
        self.incoming.taken(token, out);
    }

    pub(crate) fn ping(&mut self, out: &mut Units) {
        send(&Packet::PingReq(None), out);
    }

    /// Says goodbye behind everything else; it is settled when that is answered, or was said often enough.
    pub(crate) fn begin_end(&mut self, now: Instant, out: &mut Units) {
        self.goodbye = Goodbye::Wanted;
        self.advance(now, out);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.exchange.is_none() && self.queue.is_empty()
    }

    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.unheard.take().map_or(Ok(()), Err)
    }
}

/// The datagram of a message at QoS −1.
pub(crate) fn unconnected(options: &Options, message: &Message) -> Result<Vec<u8>, Error> {
    use trefoil_mqtt_sn::{QoS, TopicId};
    let topic = match Topics::new(&options.predefined_topics).id(&message.topic) {
        Some(topic @ (TopicId::Predefined(_) | TopicId::Short(_))) => topic,
        _ => {
            return Err(Error::usage(format!(
                "without a connection the topic {:?} needs a number that the gateway knows, or a name of two octets",
                message.topic
            )));
        }
    };
    let mut datagram = Vec::new();
    let encoded = outgoing::publish(message, topic, QoS::MinusOne, 0).encode(&mut datagram);
    match encoded {
        Ok(()) if datagram.len() <= DATAGRAM_BYTES_MAX => Ok(datagram),
        _ => Err(Error::usage("the message does not fit into a datagram")),
    }
}

fn send(packet: &Packet<'_>, out: &mut Units) {
    out.add(|out| {
        // A packet that is too long appends nothing. Sizes were checked when the message was handed in.
        let _ = packet.encode(out);
    });
}

#[cfg(test)]
mod tests;
