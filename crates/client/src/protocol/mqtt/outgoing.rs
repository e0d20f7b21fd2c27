//! What this client sends, until the hub has acknowledged it.

use super::connect::{properties, user_properties};
use super::{Mqtt, in_words};
use crate::command::{Command, Done};
use crate::error::Error;
use crate::message::Message;
use crate::units::Units;
use std::collections::{HashMap, VecDeque};
use trefoil_mqtt::{
    Ack, PacketType, Publish, QoS, ReasonCode, ReasonProperties, SubAck, Subscribe, SubscribeFilter,
    UnsubAck, Unsubscribe, UserPropertiesBuf,
};

/// What waits for an answer.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    waiting: HashMap<u16, Waiting>,
    /// Those of them that were sent in an earlier connection and not yet in this one, in their order.
    to_repeat: VecDeque<u16>,
    /// How many may wait at a time.
    window: usize,
    last_id: u16,
    /// How many messages there were, to tell their order.
    count: u64,
    /// What went wrong with a message whose publisher does not wait. The one who closes the client hears of it.
    pub(super) unheard: Option<Error>,
}

#[derive(Debug)]
enum Waiting {
    Publish(Flight),
    Subscribe { filter: String, done: Done<QoS> },
    Unsubscribe { filter: String, done: Done<()> },
}

/// A message on its way.
#[derive(Debug)]
struct Flight {
    message: Message,
    /// Its place among all that were sent.
    number: u64,
    /// The answer that is expected next.
    step: Step,
    done: Option<Done<()>>,
}

/// The answers to a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// PUBACK: QoS 1 is done.
    Acknowledge,
    /// PUBREC: QoS 2 is half done.
    Receive,
    /// PUBCOMP: QoS 2 is done.
    Complete,
}

impl Outgoing {
    /// What the program allows, at the begin of a connection.
    pub(super) fn widen(&mut self, window: u16) {
        self.window = usize::from(window.max(1));
    }

    /// The hub takes fewer at a time [MQTT-3.3.4-9].
    pub(super) fn narrow(&mut self, window: u16) {
        self.window = self.window.min(usize::from(window));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn fail(&mut self, error: &Error) {
        self.to_repeat.clear();
        for (_, waiting) in self.waiting.drain() {
            waiting.end(Err(error.clone()));
        }
    }

    /// Fails what is no message: no session keeps it.
    pub(super) fn fail_requests(&mut self, error: &Error) {
        for (_, waiting) in self.waiting.extract_if(|_, waiting| !matches!(waiting, Waiting::Publish(_))) {
            waiting.end(Err(error.clone()));
        }
    }

    /// Everything that is not acknowledged is to be sent again, in the order in which it was sent first.
    pub(super) fn rewind(&mut self) {
        let mut flights: Vec<(u64, u16)> = Vec::new();
        for (id, waiting) in &self.waiting {
            if let Waiting::Publish(flight) = waiting {
                flights.push((flight.number, *id));
            }
        }
        flights.sort_unstable();
        self.to_repeat = flights.into_iter().map(|(_, id)| id).collect();
    }

    /// Whether one more may be sent.
    fn has_room(&self) -> bool {
        self.waiting.len() - self.to_repeat.len() < self.window.min(usize::from(u16::MAX) - 1)
    }

    /// An identifier that no other packet in flight has [MQTT-2.2.1-3].
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.last_id) {
                // The window is smaller than the space of identifiers, hence one is free.
                return self.last_id;
            }
        }
    }
}

impl Waiting {
    fn end(self, result: Result<QoS, Error>) {
        // Whether anybody still waits does not matter.
        let _ = match self {
            Waiting::Publish(Flight { done: Some(done), .. }) | Waiting::Unsubscribe { done, .. } => {
                done.send(result.map(drop)).is_ok()
            }
            Waiting::Publish(Flight { done: None, .. }) => true,
            Waiting::Subscribe { done, .. } => done.send(result).is_ok(),
        };
    }
}

impl Mqtt {
    pub(crate) fn has_room(&self) -> bool {
        self.kept.outgoing.to_repeat.is_empty() && self.kept.outgoing.has_room()
    }

    pub(crate) fn handle_command(&mut self, command: Command, out: &mut Units) {
        match command {
            Command::Publish(message, done) => self.publish(message, done, out),
            Command::Subscribe { filter, qos, slow_reader, done } => {
                let packet_id = self.kept.outgoing.next_id();
                let filters = [SubscribeFilter { filter: &filter, qos, ..SubscribeFilter::default() }];
                let mut said = UserPropertiesBuf::new();
                if let Some(policy) = slow_reader {
                    said.push("slow_reader", policy.name()).expect("both are short and plain");
                }
                let (user_properties, filters) = (said.as_ref(), filters[..].into());
                let subscribe = Subscribe { packet_id, user_properties, filters, ..Subscribe::default() };
                out.add(|out| subscribe.encode(self.version, out));
                self.kept.outgoing.waiting.insert(packet_id, Waiting::Subscribe { filter, done });
            }
            Command::Unsubscribe { filter, done } => {
                let packet_id = self.kept.outgoing.next_id();
                let filters = [filter.as_str()];
                let unsubscribe =
                    Unsubscribe { packet_id, filters: filters[..].into(), ..Unsubscribe::default() };
                out.add(|out| unsubscribe.encode(self.version, out));
                self.kept.outgoing.waiting.insert(packet_id, Waiting::Unsubscribe { filter, done });
            }
            Command::Ask { message, done, .. } => self.ask(message, done, out),
            Command::Close(_) => {}
        }
    }

    pub(super) fn publish(&mut self, message: Message, done: Option<Done<()>>, out: &mut Units) {
        let packet_id = if message.qos == QoS::AtMostOnce { 0 } else { self.kept.outgoing.next_id() };
        if let Err(error) = self.send_publish(&message, packet_id, false, out) {
            match done {
                Some(done) => drop(done.send(Err(error))),
                None => self.kept.outgoing.unheard = self.kept.outgoing.unheard.take().or(Some(error)),
            }
            return;
        }
        let step = match message.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => Step::Acknowledge,
            QoS::ExactlyOnce => Step::Receive,
        };
        self.kept.outgoing.count += 1;
        let number = self.kept.outgoing.count;
        let flight = Flight { message, number, step, done };
        self.kept.outgoing.waiting.insert(packet_id, Waiting::Publish(flight));
    }

    fn send_publish(
        &self,
        message: &Message,
        packet_id: u16,
        dup: bool,
        out: &mut Units,
    ) -> Result<(), Error> {
        let user_properties = user_properties(message);
        let publish = Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: &message.topic,
            packet_id,
            properties: properties(message, &user_properties),
            payload: &message.payload,
            ..Publish::default()
        };
        self.can_publish(&publish)?;
        out.add(|out| _ = publish.encode(self.version, out));
        Ok(())
    }

    /// Sends what is left of an earlier connection, as far as the window allows: with the same identifiers, in the same
    /// order [MQTT-4.4.0-1] [MQTT-4.6.0-1].
    pub(super) fn send_again(&mut self, out: &mut Units) {
        while self.kept.outgoing.has_room() {
            let Some(id) = self.kept.outgoing.to_repeat.pop_front() else { return };
            let Some(Waiting::Publish(flight)) = self.kept.outgoing.waiting.get(&id) else { continue };
            if flight.step == Step::Complete {
                self.release(id, out);
            } else if let Err(error) = self.send_publish(&flight.message, id, true, out)
                && let Some(waiting) = self.kept.outgoing.waiting.remove(&id)
            {
                waiting.end(Err(error));
            }
        }
    }

    fn release(&self, packet_id: u16, out: &mut Units) {
        let release = Ack::new(packet_id, ReasonCode::Success);
        out.add(|out| release.encode(PacketType::PubRel, self.version, out));
    }

    /// What the hub has said that it does not take, it need not be sent.
    fn can_publish(&self, publish: &Publish<'_>) -> Result<(), Error> {
        let Some(welcome) = &self.welcome else { return Ok(()) };
        let what = format!("the message to {}", publish.topic);
        // [MQTT-3.2.2-15]
        if publish.encoded_len(self.version) > welcome.packet_bytes_max {
            let max = welcome.packet_bytes_max;
            return Err(self.peer.refused(what, format!("it takes packets of {max} bytes at most")));
        }
        if publish.qos > welcome.qos_max {
            return Err(self.peer.refused(what, format!("it takes QoS {} at most", welcome.qos_max as u8)));
        }
        if publish.retain && !welcome.retain_available {
            return Err(self.peer.refused(what, "it retains nothing"));
        }
        Ok(())
    }

    pub(super) fn acknowledged(
        &mut self,
        packet_id: u16,
        came: Step,
        reason: ReasonCode,
        said: &ReasonProperties<'_>,
        out: &mut Units,
    ) {
        let Some(Waiting::Publish(flight)) = self.kept.outgoing.waiting.get_mut(&packet_id) else { return };
        if flight.step != came {
            // An answer that belongs to nothing; the right one is still to come.
            return;
        }
        self.asks.acknowledged(&flight.message, reason, &self.peer);
        if came == Step::Receive && !reason.is_error() {
            flight.step = Step::Complete;
            return self.release(packet_id, out);
        }
        // With PUBREC the hub has taken the message. That it knows nothing of it at PUBREL means that it has completed
        // it in an earlier connection.
        let result = if reason.is_error() && came != Step::Complete {
            let topic = flight.message.topic.clone();
            Err(self.peer.refused(format!("the message to {topic}"), in_words(reason, said.reason_string)))
        } else {
            Ok(QoS::AtMostOnce)
        };
        if let Some(waiting) = self.kept.outgoing.waiting.remove(&packet_id) {
            waiting.end(result);
        }
        self.send_again(out);
    }

    pub(super) fn subscribed(&mut self, suback: &SubAck<'_>) {
        let waiting = self.kept.outgoing.waiting.remove(&suback.packet_id);
        let Some(Waiting::Subscribe { filter, done }) = waiting else { return };
        let reason = suback.reasons.iter().next().unwrap_or(ReasonCode::UnspecifiedError);
        let result = QoS::from_bits(reason as u8).ok_or_else(|| {
            let reason = in_words(reason, suback.properties.reason_string);
            self.peer.refused(format!("the subscription to {filter}"), reason)
        });
        Waiting::Subscribe { filter, done }.end(result);
    }

    pub(super) fn unsubscribed(&mut self, unsuback: &UnsubAck<'_>) {
        let waiting = self.kept.outgoing.waiting.remove(&unsuback.packet_id);
        let Some(Waiting::Unsubscribe { filter, done }) = waiting else { return };
        // MQTT 3.1.1 has no reasons: it is always fine.
        let reason = unsuback.reasons.iter().next().unwrap_or(ReasonCode::Success);
        let result = if reason.is_error() {
            let reason = in_words(reason, unsuback.properties.reason_string);
            Err(self.peer.refused(format!("the end of the subscription to {filter}"), reason))
        } else {
            Ok(QoS::AtMostOnce)
        };
        Waiting::Unsubscribe { filter, done }.end(result);
    }
}
