//! What the gateway keeps for one client, and the conversation with it: no socket, no clock, no hub. Packets go out
//! through a function that the caller gives; what they mean for the session is told by what the methods return.

use super::topics::{Topics, Wire};
use crate::shard::ways::Way;
use crate::stats::Drop;
use std::collections::VecDeque;
use std::sync::Arc;
use trefoil_config::MqttSn;
use trefoil_hub::{Message, QoS, Time, Topic};
use trefoil_mqtt_sn::{Packet, Publish, Register, ReturnCode};

/// The largest payload and the longest topic name that fit a datagram over IPv4 with everything around them.
const BYTES_MAX: usize = 65_507 - 11;

/// Where packets for the client go.
pub(super) type Send<'a> = &'a mut dyn FnMut(&Packet<'_>);

/// One client. A million of them may sleep, so what few have is boxed, and what none has at rest takes no memory.
pub(in crate::shard) struct Client {
    pub(super) stage: Stage,
    pub(super) topics: Topics,
    /// What the client has yet to answer. There is one at a time, as the specification asks of both sides.
    pub(super) exchange: Option<Exchange>,
    /// Messages at QoS 0 that could not be sent yet; most clients have none.
    held: Option<Box<Held>>,
    /// How its address leads here; `None` when the address is another client's by now.
    pub(in crate::shard) way: Option<Way>,
    pub(super) keep_alive_s: u16,
    register_id: u16,
}

/// Messages that could not be sent yet; never empty.
#[derive(Default)]
struct Held {
    flights: VecDeque<Flight>,
    bytes: usize,
}

/// How far a client is.
pub(super) enum Stage {
    /// It is asked for its will.
    Connecting(Box<Wish>),
    Active,
    /// It gets nothing until it asks, or until it connects again.
    Asleep {
        duration_s: u16,
    },
    /// It has asked and gets what has come together.
    Awake {
        duration_s: u16,
    },
}

/// What a client that is still connecting has asked for.
pub(super) struct Wish {
    pub(super) client_id: Box<str>,
    pub(super) clean: bool,
    pub(super) keep_alive_s: u16,
    /// The will's topic, once it is known.
    pub(super) will: Option<WillTopic>,
}

/// All of a will but its payload.
pub(super) struct WillTopic {
    pub(super) topic: Topic,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

/// Something that the client has to answer.
pub(super) struct Exchange {
    pub(super) step: Step,
    pub(super) resend_at: Time,
    pub(super) resends: u32,
}

/// What it is.
pub(super) enum Step {
    /// WILLTOPICREQ, to be answered by WILLTOPIC.
    WillTopic,
    /// WILLMSGREQ, to be answered by WILLMSG.
    WillMessage,
    /// REGISTER, to be answered by REGACK; then the message goes out.
    Register { topic_id: u16, msg_id: u16, then: Flight },
    /// PUBLISH at QoS 1 or 2, to be answered by PUBACK or PUBREC.
    Publish(Flight),
    /// PUBREL, to be answered by PUBCOMP.
    Release(u16),
}

/// A message for the client.
pub(super) struct Flight {
    pub(super) message: Arc<Message>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) packet_id: u16,
}

/// What an answer of the client means for its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Settled {
    /// Nothing.
    Nothing,
    /// The delivery has arrived.
    Arrived { packet_id: u16, qos: QoS },
    /// The client does not want it: it is done with all the same, and counted.
    Refused { packet_id: u16, qos: QoS },
}

/// What the passing of time has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    /// Something was sent again.
    Resent,
    /// It was sent as often as it may be.
    GivenUp,
}

impl Client {
    pub(super) fn new() -> Client {
        Client {
            stage: Stage::Active,
            topics: Topics::default(),
            exchange: None,
            held: None,
            way: None,
            keep_alive_s: 0,
            register_id: 0,
        }
    }

    /// Whether it can be sent something now.
    pub(super) fn is_reachable(&self) -> bool {
        self.way.is_some() && matches!(self.stage, Stage::Active | Stage::Awake { .. })
    }

    /// Whether a delivery above QoS 0 can begin now.
    pub(in crate::shard) fn has_room(&self) -> bool {
        self.is_reachable() && self.is_idle()
    }

    /// Whether nothing is under way and nothing is held.
    pub(super) fn is_idle(&self) -> bool {
        self.exchange.is_none() && self.held.is_none()
    }

    /// The packet id of a message above QoS 0 that has not been sent yet, since its topic is still being registered.
    pub(super) fn unsent(&self) -> Option<u16> {
        match &self.exchange {
            Some(Exchange { step: Step::Register { then, .. }, .. }) if !then.dup && then.packet_id > 0 => {
                Some(then.packet_id)
            }
            _ => None,
        }
    }

    /// When something is to be sent again.
    pub(in crate::shard) fn resend_at(&self) -> Option<Time> {
        let waits = self.way.is_some() && !matches!(self.stage, Stage::Asleep { .. });
        self.exchange.as_ref().filter(|_| waits).map(|exchange| exchange.resend_at)
    }

    /// Sends a message, or holds it until it can be sent.
    ///
    /// # Errors
    /// Why it was dropped instead.
    pub(super) fn deliver(
        &mut self,
        flight: Flight,
        settings: &MqttSn,
        now: Time,
        send: Send<'_>,
    ) -> Result<(), Drop> {
        if flight.message.payload.len() > BYTES_MAX || flight.message.topic.len() > BYTES_MAX {
            return Err(Drop::TooLarge);
        }
        let is_free = self.exchange.is_none() || self.is_known(&flight.message.topic);
        let is_first = self.held.is_none() && self.is_reachable();
        if flight.qos > QoS::AtMostOnce || is_free && is_first {
            return self.begin(flight, settings, now, send);
        }
        let bytes = flight.message.cost_bytes();
        let (messages, held_bytes) = self.held.as_ref().map_or((0, 0), |h| (h.flights.len(), h.bytes));
        if messages >= settings.buffer_messages_max || held_bytes + bytes > settings.buffer_bytes_max {
            return Err(Drop::OutboxFull);
        }
        let held = self.held.get_or_insert_default();
        held.bytes += bytes;
        held.flights.push_back(flight);
        Ok(())
    }

    /// Sends what was held, as far as it goes. Returns how many of the messages had to be dropped.
    pub(super) fn go_on(&mut self, settings: &MqttSn, now: Time, send: Send<'_>) -> u64 {
        let mut dropped = 0;
        while self.is_reachable() && self.exchange.is_none() {
            let Some(held) = &mut self.held else { break };
            let Some(flight) = held.flights.pop_front() else { break };
            held.bytes -= flight.message.cost_bytes();
            if held.flights.is_empty() {
                self.held = None;
            }
            let is_sent = !flight.message.is_expired(now) && self.begin(flight, settings, now, send).is_ok();
            dropped += u64::from(!is_sent);
        }
        dropped
    }

    /// Asks for the will's topic or payload.
    pub(super) fn ask(&mut self, step: Step, settings: &MqttSn, now: Time, send: Send<'_>) {
        self.set(step, settings, now);
        self.send_step(send);
    }

    /// Sends PUBREL for a delivery at QoS 2.
    pub(super) fn release(&mut self, packet_id: u16, settings: &MqttSn, now: Time, send: Send<'_>) {
        let is_other = match &self.exchange {
            None => false,
            Some(Exchange { step: Step::Publish(flight), .. }) => flight.packet_id != packet_id,
            Some(Exchange { step: Step::Release(id), .. }) => *id != packet_id,
            Some(_) => true,
        };
        if is_other {
            // A PUBREC that comes late: it is answered, and nothing depends on it.
            return send(&Packet::PubRel(packet_id));
        }
        self.set(Step::Release(packet_id), settings, now);
        self.send_step(send);
    }

    /// PUBACK (§5.4.13), for a message of any QoS.
    pub(super) fn acknowledge(
        &mut self,
        topic_id: u16,
        msg_id: u16,
        code: ReturnCode,
        (settings, now): (&MqttSn, Time),
        send: Send<'_>,
    ) -> Settled {
        if code == ReturnCode::INVALID_TOPIC_ID {
            self.topics.set_told(topic_id, false);
        }
        let Some(Exchange { step: Step::Publish(flight), resends, .. }) = &self.exchange else {
            return Settled::Nothing;
        };
        let (packet_id, qos, resends) = (flight.packet_id, flight.qos, *resends);
        if packet_id != msg_id || code == ReturnCode::CONGESTION {
            // Sent again after a while if it is congestion.
            return Settled::Nothing;
        }
        if code == ReturnCode::ACCEPTED && qos == QoS::ExactlyOnce {
            return Settled::Nothing;
        }
        let Some(Exchange { step: Step::Publish(flight), .. }) = self.exchange.take() else {
            return Settled::Nothing;
        };
        if code == ReturnCode::ACCEPTED {
            return Settled::Arrived { packet_id, qos };
        }
        // It has forgotten the topic (§6.5): it is told, and gets the message once more, as often as resends go.
        if code == ReturnCode::INVALID_TOPIC_ID
            && resends < settings.resends_max
            && self.begin(flight, settings, now, send).is_ok()
        {
            if let Some(exchange) = &mut self.exchange {
                exchange.resends = resends + 1;
            }
            return Settled::Nothing;
        }
        Settled::Refused { packet_id, qos }
    }

    /// PUBCOMP.
    pub(super) fn complete(&mut self, msg_id: u16) -> Settled {
        match &self.exchange {
            Some(Exchange { step: Step::Release(id), .. }) if *id == msg_id => {
                self.exchange = None;
                Settled::Arrived { packet_id: msg_id, qos: QoS::ExactlyOnce }
            }
            _ => Settled::Nothing,
        }
    }

    /// REGACK: if the client has taken the id, the message that waits for it goes out.
    pub(super) fn registered(
        &mut self,
        (topic_id, msg_id): (u16, u16),
        code: ReturnCode,
        (settings, now): (&MqttSn, Time),
        send: Send<'_>,
    ) -> Settled {
        match &self.exchange {
            Some(Exchange { step: Step::Register { topic_id: id, msg_id: of, .. }, .. })
                if (*id, *of) == (topic_id, msg_id) && code != ReturnCode::CONGESTION => {}
            _ => return Settled::Nothing,
        }
        let Some(Exchange { step: Step::Register { then, .. }, resends, .. }) = self.exchange.take() else {
            return Settled::Nothing;
        };
        if code == ReturnCode::ACCEPTED {
            self.topics.set_told(topic_id, true);
            // The topic is known now, so this sends.
            let _ = self.begin(then, settings, now, send);
            if let Some(exchange) = &mut self.exchange {
                exchange.resends = resends;
            }
            return Settled::Nothing;
        }
        Settled::Refused { packet_id: then.packet_id, qos: then.qos }
    }

    /// Sends again what was not answered in time.
    pub(super) fn resend(&mut self, settings: &MqttSn, now: Time, send: Send<'_>) -> Due {
        if self.resend_at().is_none_or(|at| at > now) {
            return Due::Nothing;
        }
        let Some(exchange) = &mut self.exchange else { return Due::Nothing };
        if exchange.resends >= settings.resends_max {
            return Due::GivenUp;
        }
        exchange.resends += 1;
        self.repeat(settings, now, send);
        Due::Resent
    }

    /// Sends once more what was not answered before.
    pub(super) fn repeat(&mut self, settings: &MqttSn, now: Time, send: Send<'_>) {
        let Some(mut exchange) = self.exchange.take() else { return };
        if let Step::Publish(mut flight) = exchange.step {
            flight.dup = true;
            // It registers again, should the client have said meanwhile that it has forgotten the topic.
            let _ = self.begin(flight, settings, now, send);
            if let Some(begun) = &mut self.exchange {
                begun.resends = exchange.resends;
            }
            return;
        }
        exchange.resend_at = now.plus_s(settings.resend_s.into());
        self.exchange = Some(exchange);
        self.send_step(send);
    }

    /// A client that comes back from sleep has all the time again to answer.
    pub(super) fn forgive(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.resends = 0;
        }
    }

    /// Everything begins anew with CONNECT; `clean`, or it keeps what was held and what it registered.
    pub(super) fn begin_anew(&mut self, clean: bool) {
        self.exchange = None;
        if clean {
            self.topics = Topics::default();
            self.held = None;
        } else {
            self.topics.forget_told();
        }
    }

    fn is_known(&self, topic: &Topic) -> bool {
        matches!(self.topics.wire(topic), Wire::Known(_))
    }

    /// Sends a message, or first the REGISTER that it needs.
    fn begin(&mut self, flight: Flight, settings: &MqttSn, now: Time, send: Send<'_>) -> Result<(), Drop> {
        let topic = &flight.message.topic;
        let topic_id = match self.topics.wire(topic) {
            Wire::Known(topic) if flight.qos == QoS::AtMostOnce => {
                send(&Packet::Publish(publish(&flight, topic)));
                return Ok(());
            }
            Wire::Known(_) => {
                self.set(Step::Publish(flight), settings, now);
                self.send_step(send);
                return Ok(());
            }
            Wire::Untold(id) => id,
            Wire::Unknown => self.topics.register(topic, settings.topics_max).ok_or(Drop::NoTopicId)?,
        };
        self.register_id = self.register_id.checked_add(1).unwrap_or(1);
        self.set(Step::Register { topic_id, msg_id: self.register_id, then: flight }, settings, now);
        self.send_step(send);
        Ok(())
    }

    fn set(&mut self, step: Step, settings: &MqttSn, now: Time) {
        let resend_at = now.plus_s(settings.resend_s.into());
        self.exchange = Some(Exchange { step, resend_at, resends: 0 });
    }

    fn send_step(&self, send: Send<'_>) {
        let Some(exchange) = &self.exchange else { return };
        match &exchange.step {
            Step::WillTopic => send(&Packet::WillTopicReq),
            Step::WillMessage => send(&Packet::WillMsgReq),
            Step::Register { topic_id, msg_id, then } => send(&Packet::Register(Register {
                topic_id: *topic_id,
                msg_id: *msg_id,
                topic: &then.message.topic,
            })),
            Step::Publish(flight) => {
                if let Wire::Known(topic) = self.topics.wire(&flight.message.topic) {
                    send(&Packet::Publish(publish(flight, topic)));
                }
            }
            Step::Release(packet_id) => send(&Packet::PubRel(*packet_id)),
        }
    }
}

fn publish(flight: &Flight, topic: trefoil_mqtt_sn::TopicId) -> Publish<'_> {
    Publish {
        dup: flight.dup,
        qos: match flight.qos {
            QoS::AtMostOnce => trefoil_mqtt_sn::QoS::AtMostOnce,
            QoS::AtLeastOnce => trefoil_mqtt_sn::QoS::AtLeastOnce,
            QoS::ExactlyOnce => trefoil_mqtt_sn::QoS::ExactlyOnce,
        },
        retain: flight.retain,
        topic,
        msg_id: flight.packet_id,
        payload: &flight.message.payload,
    }
}

#[cfg(test)]
mod tests;
