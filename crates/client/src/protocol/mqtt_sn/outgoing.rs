//! What this client asks, one after the other, each until it is answered.

use super::{MqttSn, send};
use crate::command::{Command, Done};
use crate::error::Error;
use crate::message::Message;
use crate::protocol::resend::Resend;
use crate::transport::DATAGRAM_BYTES_MAX;
use crate::units::Units;
use tokio::time::Instant;
use trefoil_mqtt::QoS;
use trefoil_mqtt_sn::{Packet, Publish, Register, ReturnCode, Subscribe, TopicId, Unsubscribe};

/// What stands around a payload or a topic name at most.
const HEAD_BYTES_MAX: usize = 11;

/// A goodbye is for the gateway's sake, and nothing is lost with it: it is said three times at most.
const GOODBYES_MAX: u32 = 2;

/// Something that the gateway has to answer.
#[derive(Debug)]
pub(super) struct Exchange {
    step: Step,
    msg_id: u16,
    resend: Resend,
}

#[derive(Debug)]
enum Step {
    /// REGISTER; then the message is published.
    Register(Message, Option<Done<()>>),
    Publish {
        topic: String,
        topic_id: u16,
        qos: QoS,
        done: Option<Done<()>>,
    },
    /// PUBREL, after PUBREC.
    Release(Option<Done<()>>),
    Subscribe {
        filter: String,
        done: Done<QoS>,
    },
    Unsubscribe(Done<()>),
    Goodbye,
}

/// How far the goodbye is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goodbye {
    NotYet,
    /// To be said when everything before it is answered.
    Wanted,
    Said,
    Answered,
}

impl Step {
    fn fail(self, error: &Error) {
        // Whether anybody still waits does not matter.
        match self {
            Step::Register(_, Some(done))
            | Step::Publish { done: Some(done), .. }
            | Step::Release(Some(done))
            | Step::Unsubscribe(done) => drop(done.send(Err(error.clone()))),
            Step::Subscribe { done, .. } => drop(done.send(Err(error.clone()))),
            Step::Register(_, None) | Step::Publish { done: None, .. } | Step::Release(None) => {}
            Step::Goodbye => {}
        }
    }
}

impl MqttSn {
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < self.queue_max
    }

    pub(crate) fn handle_command(&mut self, command: Command, now: Instant, out: &mut Units) {
        self.queue.push_back(command);
        self.advance(now, out);
    }

    pub(crate) fn resend_at(&self) -> Option<Instant> {
        self.exchange.as_ref().map(|exchange| exchange.resend.at())
    }

    /// Sends again what is due, and gives up what was sent often enough.
    pub(crate) fn resend(&mut self, now: Instant, out: &mut Units) {
        let Some(exchange) = &mut self.exchange else { return };
        let is_goodbye = matches!(exchange.step, Step::Goodbye);
        if is_goodbye && exchange.resend.resends() >= GOODBYES_MAX && exchange.resend.at() <= now {
            self.exchange = None;
            return;
        }
        match exchange.resend.due(now) {
            None => {}
            Some(Ok(packet)) => out.add(|out| out.extend_from_slice(packet)),
            Some(Err(())) => {
                let error = self.peer.timed_out("it has not answered, however often it was asked");
                if let Some(exchange) = self.exchange.take() {
                    self.give_up(exchange.step, error);
                }
                self.advance(now, out);
            }
        }
    }

    pub(crate) fn fail(&mut self, error: &Error) {
        if let Some(exchange) = self.exchange.take() {
            exchange.step.fail(error);
        }
        for command in self.queue.drain(..) {
            match command {
                Command::Publish(_, Some(done))
                | Command::Unsubscribe { done, .. }
                | Command::Close(done) => drop(done.send(Err(error.clone()))),
                Command::Subscribe { done, .. } => drop(done.send(Err(error.clone()))),
                Command::Publish(_, None) => {}
                Command::Ask { done, .. } => drop(done.send(Err(error.clone()))),
            }
        }
    }

    /// Does what comes next, as long as nothing waits for an answer.
    pub(super) fn advance(&mut self, now: Instant, out: &mut Units) {
        while self.exchange.is_none() {
            match self.queue.pop_front() {
                Some(command) => self.begin(command, now, out),
                None if self.goodbye == Goodbye::Wanted => {
                    self.goodbye = Goodbye::Said;
                    self.ask(Step::Goodbye, 0, &Packet::Disconnect(None), now, out);
                }
                None => return,
            }
        }
    }

    /// Takes an answer of the gateway. One that nobody waits for is that of a repetition.
    pub(super) fn answered(&mut self, answer: &Packet<'_>, now: Instant, out: &mut Units) {
        let Some(exchange) = self.exchange.take() else { return };
        let msg_id = exchange.msg_id;
        match (exchange.step, answer) {
            (Step::Register(message, done), Packet::RegAck(ack)) if ack.msg_id == msg_id => {
                if ack.return_code == ReturnCode::ACCEPTED {
                    self.topics.learn(ack.topic_id, &message.topic);
                    return self.publish(message, done, now, out);
                }
                let error = self.refused(&format!("the topic {}", message.topic), ack.return_code);
                self.give_up(Step::Register(message, done), error);
            }
            (Step::Publish { topic, topic_id, done, .. }, Packet::PubAck(ack))
                if ack.msg_id == msg_id && ack.topic_id == topic_id =>
            {
                let result = match ack.return_code {
                    ReturnCode::ACCEPTED => Ok(()),
                    code => {
                        if code == ReturnCode::INVALID_TOPIC_ID {
                            self.topics.forget(&topic);
                        }
                        Err(self.refused(&format!("the message to {topic}"), code))
                    }
                };
                done.map(|done| done.send(result));
            }
            (Step::Publish { qos: QoS::ExactlyOnce, done, .. }, Packet::PubRec(id)) if *id == msg_id => {
                self.ask(Step::Release(done), msg_id, &Packet::PubRel(msg_id), now, out);
            }
            (Step::Release(done), Packet::PubComp(id)) if *id == msg_id => {
                done.map(|done| done.send(Ok(())));
            }
            (Step::Subscribe { filter, done }, Packet::SubAck(ack)) if ack.msg_id == msg_id => {
                let result = match ack.return_code {
                    ReturnCode::ACCEPTED => Ok(granted(ack.qos)),
                    code => Err(self.refused(&format!("the subscription to {filter}"), code)),
                };
                if result.is_ok() && ack.topic_id != 0 {
                    self.topics.learn(ack.topic_id, &filter);
                }
                let _ = done.send(result);
            }
            (Step::Unsubscribe(done), Packet::UnsubAck(id)) if *id == msg_id => drop(done.send(Ok(()))),
            (step, Packet::PubAck(ack)) if ack.return_code != ReturnCode::ACCEPTED && ack.msg_id == 0 => {
                // A message of QoS 0 that nobody waits for.
                let error = self.refused("a message", ack.return_code);
                self.unheard.get_or_insert(error);
                self.exchange = Some(Exchange { step, ..exchange });
            }
            (step, _) => self.exchange = Some(Exchange { step, ..exchange }),
        }
    }

    fn begin(&mut self, command: Command, now: Instant, out: &mut Units) {
        match command {
            Command::Publish(message, done) => {
                if message.payload.len().max(message.topic.len()) + HEAD_BYTES_MAX > DATAGRAM_BYTES_MAX {
                    let error = Error::usage(format!(
                        "a message of {} bytes does not fit into a datagram, which holds {DATAGRAM_BYTES_MAX}; send it \
                         by mqtt://",
                        message.payload.len()
                    ));
                    return self.give_up(Step::Register(message, done), error);
                }
                if self.topics.id(&message.topic).is_some() {
                    return self.publish(message, done, now, out);
                }
                let (msg_id, topic) = (self.next_msg_id(), message.topic.clone());
                let register = Packet::Register(Register { topic_id: 0, msg_id, topic: &topic });
                self.ask(Step::Register(message, done), msg_id, &register, now, out);
            }
            Command::Subscribe { filter, qos: wanted, done, .. } => {
                let msg_id = self.next_msg_id();
                let subscribe =
                    Subscribe { dup: false, qos: qos(wanted), msg_id, topic: self.topics.filter(&filter) };
                let text = filter.clone();
                let packet = Packet::Subscribe(Subscribe { topic: self.topics.filter(&text), ..subscribe });
                self.ask(Step::Subscribe { filter, done }, msg_id, &packet, now, out);
            }
            Command::Unsubscribe { filter, done } => {
                let msg_id = self.next_msg_id();
                let packet = Packet::Unsubscribe(Unsubscribe { msg_id, topic: self.topics.filter(&filter) });
                self.ask(Step::Unsubscribe(done), msg_id, &packet, now, out);
            }
            Command::Ask { done, .. } => {
                // The handle has said so before.
                let _ = done.send(Err(Error::usage("MQTT-SN has no requests")));
            }
            Command::Close(_) => unreachable!("the driver keeps it to itself"),
        }
    }

    /// Publishes to a topic that has an id.
    fn publish(&mut self, message: Message, done: Option<Done<()>>, now: Instant, out: &mut Units) {
        let Some(topic) = self.topics.id(&message.topic) else { return };
        let msg_id = if message.qos == QoS::AtMostOnce { 0 } else { self.next_msg_id() };
        let packet = publish(&message, topic, qos(message.qos), msg_id);
        if message.qos == QoS::AtMostOnce {
            return send(&packet, out);
        }
        let step =
            Step::Publish { topic: message.topic.clone(), topic_id: topic.as_u16(), qos: message.qos, done };
        self.ask(step, msg_id, &packet, now, out);
    }

    fn ask(&mut self, step: Step, msg_id: u16, packet: &Packet<'_>, now: Instant, out: &mut Units) {
        let mut bytes = Vec::new();
        // A filter that is too long for a packet: nothing is sent, and the wait for an answer ends it.
        let _ = packet.encode(&mut bytes);
        out.add(|out| out.extend_from_slice(&bytes));
        mark_as_repeated(packet, &mut bytes);
        self.exchange = Some(Exchange { step, msg_id, resend: Resend::new(bytes.into(), now) });
    }

    fn give_up(&mut self, step: Step, error: Error) {
        if matches!(step, Step::Register(_, None) | Step::Publish { done: None, .. }) {
            self.unheard.get_or_insert(error);
        } else {
            step.fail(&error);
        }
    }

    fn refused(&self, what: &str, code: ReturnCode) -> Error {
        self.peer.refused(what, code)
    }

    fn next_msg_id(&mut self) -> u16 {
        self.last_msg_id = self.last_msg_id.checked_add(1).unwrap_or(1);
        self.last_msg_id
    }
}

/// A message as a packet.
pub(crate) fn publish<'a>(
    message: &'a Message,
    topic: TopicId,
    qos: trefoil_mqtt_sn::QoS,
    msg_id: u16,
) -> Packet<'a> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: message.retain,
        topic,
        msg_id,
        payload: &message.payload,
    })
}

/// What is sent again says so, where the packet has a place for it.
fn mark_as_repeated(packet: &Packet<'_>, bytes: &mut Vec<u8>) {
    let repeated = match *packet {
        Packet::Publish(publish) => Packet::Publish(Publish { dup: true, ..publish }),
        Packet::Subscribe(subscribe) => Packet::Subscribe(Subscribe { dup: true, ..subscribe }),
        _ => return,
    };
    bytes.clear();
    let _ = repeated.encode(bytes);
}

pub(super) fn qos(qos: QoS) -> trefoil_mqtt_sn::QoS {
    match qos {
        QoS::AtMostOnce => trefoil_mqtt_sn::QoS::AtMostOnce,
        QoS::AtLeastOnce => trefoil_mqtt_sn::QoS::AtLeastOnce,
        QoS::ExactlyOnce => trefoil_mqtt_sn::QoS::ExactlyOnce,
    }
}

fn granted(qos: trefoil_mqtt_sn::QoS) -> QoS {
    match qos {
        trefoil_mqtt_sn::QoS::ExactlyOnce => QoS::ExactlyOnce,
        trefoil_mqtt_sn::QoS::AtLeastOnce => QoS::AtLeastOnce,
        trefoil_mqtt_sn::QoS::AtMostOnce | trefoil_mqtt_sn::QoS::MinusOne => QoS::AtMostOnce,
    }
}
