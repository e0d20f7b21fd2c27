//! Requests that somebody is to answer: MQTT 5.0 §4.10. The program has subscribed to the topic for answers before.

use super::Mqtt;
use crate::command::Done;
use crate::error::{Error, Peer};
use crate::message::{Answer, Message};
use crate::units::Units;
use std::collections::HashMap;
use trefoil_mqtt::ReasonCode;

/// The requests that wait for their answers, by what these repeat.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Where answers go; empty as long as nothing was asked.
    topic: String,
    waiting: HashMap<Vec<u8>, Ask>,
}

#[derive(Debug)]
struct Ask {
    topic: String,
    done: Done<Answer>,
}

impl Asks {
    /// Whether nobody waits for an answer any more.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.values().all(|ask| ask.done.is_closed())
    }

    /// Whether a topic is that of the answers.
    pub(super) fn is_for(&self, topic: &str) -> bool {
        !self.topic.is_empty() && self.topic == topic
    }

    /// Gives a message to who has asked for it. Who answers again, or too late, speaks to nobody.
    pub(super) fn answer(&mut self, message: Message) {
        let correlation = message.properties.correlation_data.as_deref().unwrap_or_default();
        if let Some(ask) = self.waiting.remove(correlation) {
            let _ = ask.done.send(Ok(Answer { payload: message.payload, properties: message.properties }));
        }
    }

    /// The hub has acknowledged a message, and perhaps said that nobody got it.
    pub(super) fn acknowledged(&mut self, message: &Message, reason: ReasonCode, peer: &Peer) {
        if reason != ReasonCode::NoMatchingSubscribers {
            return;
        }
        let correlation = message.properties.correlation_data.as_deref().unwrap_or_default();
        if let Some(ask) = self.waiting.remove(correlation) {
            let error =
                peer.refused(format!("the request to {}", ask.topic), "nobody is subscribed to this topic");
            let _ = ask.done.send(Err(error));
        }
    }

    pub(super) fn fail(&mut self, error: &Error) {
        for (_, ask) in self.waiting.drain() {
            let _ = ask.done.send(Err(error.clone()));
        }
    }
}

impl Mqtt {
    pub(super) fn ask(&mut self, message: Message, done: Done<Answer>, out: &mut Units) {
        self.asks.waiting.retain(|_, ask| !ask.done.is_closed());
        let correlation = message.properties.correlation_data.clone().unwrap_or_default();
        self.asks.topic = message.properties.response_topic.clone().unwrap_or_default();
        self.asks.waiting.insert(correlation.clone(), Ask { topic: message.topic.clone(), done });
        // What goes wrong with it is for who has asked.
        let before = self.kept.outgoing.unheard.take();
        self.publish(message, None, out);
        if let Some(error) = std::mem::replace(&mut self.kept.outgoing.unheard, before)
            && let Some(ask) = self.asks.waiting.remove(&correlation)
        {
            let _ = ask.done.send(Err(error));
        }
    }
}
