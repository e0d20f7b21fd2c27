//! What this client sends, until the hub has acknowledged it.

use super::connect::{properties, user_properties};
use super::{Mqtt, in_words};
use crate::command::{Command, Done};
use crate::error::Error;
use crate::message::Message;
use crate::units::Units;
use std::collections::HashMap;
use trefoil_mqtt::{
    Ack, PacketType, Publish, QoS, ReasonCode, ReasonProperties, SubAck, Subscribe, SubscribeFilter,
    UnsubAck, Unsubscribe,
};

/// What waits for an answer.
#[derive(Debug)]
pub(super) struct Outgoing {
    waiting: HashMap<u16, Waiting>,
    /// How many may wait at a time.
    window: usize,
    last_id: u16,
    /// What went wrong with a message whose publisher does not wait. The one who closes the client hears of it.
    pub(super) unheard: Option<Error>,
}

#[derive(Debug)]
enum Waiting {
    /// `step` is the answer that is expected next.
    Publish {
        topic: String,
        step: Step,
        done: Option<Done<()>>,
    },
    Subscribe {
        filter: String,
        done: Done<QoS>,
    },
    Unsubscribe {
        filter: String,
        done: Done<()>,
    },
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
    pub(super) fn new(window: u16) -> Outgoing {
        Outgoing { waiting: HashMap::new(), window: usize::from(window.max(1)), last_id: 0, unheard: None }
    }

    /// The hub takes fewer at a time [MQTT-3.3.4-9].
    pub(super) fn narrow(&mut self, window: u16) {
        self.window = self.window.min(usize::from(window));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn fail(&mut self, error: &Error) {
        for (_, waiting) in self.waiting.drain() {
            waiting.end(Err(error.clone()));
        }
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
            Waiting::Publish { done: Some(done), .. } | Waiting::Unsubscribe { done, .. } => {
                done.send(result.map(drop)).is_ok()
            }
            Waiting::Publish { done: None, .. } => true,
            Waiting::Subscribe { done, .. } => done.send(result).is_ok(),
        };
    }
}

impl Mqtt {
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.waiting.len() < self.outgoing.window.min(usize::from(u16::MAX) - 1)
    }

    pub(crate) fn handle_command(&mut self, command: Command, out: &mut Units) {
        match command {
            Command::Publish(message, done) => self.publish(message, done, out),
            Command::Subscribe { filter, qos, done } => {
                let packet_id = self.outgoing.next_id();
                let filters = [SubscribeFilter { filter: &filter, qos, ..SubscribeFilter::default() }];
                let subscribe = Subscribe { packet_id, filters: filters[..].into(), ..Subscribe::default() };
                out.add(|out| subscribe.encode(self.version, out));
                self.outgoing.waiting.insert(packet_id, Waiting::Subscribe { filter, done });
            }
            Command::Unsubscribe { filter, done } => {
                let packet_id = self.outgoing.next_id();
                let filters = [filter.as_str()];
                let unsubscribe =
                    Unsubscribe { packet_id, filters: filters[..].into(), ..Unsubscribe::default() };
                out.add(|out| unsubscribe.encode(self.version, out));
                self.outgoing.waiting.insert(packet_id, Waiting::Unsubscribe { filter, done });
            }
            Command::Close(_) => {}
        }
    }

    fn publish(&mut self, message: Message, done: Option<Done<()>>, out: &mut Units) {
        let user_properties = user_properties(&message);
        let mut publish = Publish {
            qos: message.qos,
            retain: message.retain,
            topic: &message.topic,
            properties: properties(&message, &user_properties),
            payload: &message.payload,
            ..Publish::default()
        };
        if let Err(error) = self.can_publish(&publish) {
            match done {
                Some(done) => drop(done.send(Err(error))),
                None => self.outgoing.unheard = self.outgoing.unheard.take().or(Some(error)),
            }
            return;
        }
        let packet_id = if message.qos == QoS::AtMostOnce { 0 } else { self.outgoing.next_id() };
        publish.packet_id = packet_id;
        out.add(|out| _ = publish.encode(self.version, out));
        let step = match message.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => Step::Acknowledge,
            QoS::ExactlyOnce => Step::Receive,
        };
        self.outgoing.waiting.insert(packet_id, Waiting::Publish { topic: message.topic, step, done });
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
        let Some(Waiting::Publish { topic, step, .. }) = self.outgoing.waiting.get_mut(&packet_id) else {
            return;
        };
        if *step != came {
            // An answer that belongs to nothing; the right one is still to come.
            return;
        }
        if came == Step::Receive && !reason.is_error() {
            *step = Step::Complete;
            let release = Ack::new(packet_id, ReasonCode::Success);
            return out.add(|out| release.encode(PacketType::PubRel, self.version, out));
        }
        let result = if reason.is_error() {
            Err(self.peer.refused(format!("the message to {topic}"), in_words(reason, said.reason_string)))
        } else {
            Ok(QoS::AtMostOnce)
        };
        if let Some(waiting) = self.outgoing.waiting.remove(&packet_id) {
            waiting.end(result);
        }
    }

    pub(super) fn subscribed(&mut self, suback: &SubAck<'_>) {
        let waiting = self.outgoing.waiting.remove(&suback.packet_id);
        let Some(Waiting::Subscribe { filter, done }) = waiting else { return };
        let reason = suback.reasons.iter().next().unwrap_or(ReasonCode::UnspecifiedError);
        let result = QoS::from_bits(reason as u8).ok_or_else(|| {
            let reason = in_words(reason, suback.properties.reason_string);
            self.peer.refused(format!("the subscription to {filter}"), reason)
        });
        Waiting::Subscribe { filter, done }.end(result);
    }

    pub(super) fn unsubscribed(&mut self, unsuback: &UnsubAck<'_>) {
        let waiting = self.outgoing.waiting.remove(&unsuback.packet_id);
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
