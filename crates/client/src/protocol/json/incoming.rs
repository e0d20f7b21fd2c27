//! Messages that the hub sends, until they are acknowledged.

use super::Json;
use crate::command::{Delivery, Token};
use crate::message::{Message, Properties};
use crate::units::Units;
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use trefoil_mqtt::QoS;

/// How many ids are remembered, in case that their acknowledgement got lost and the hub sends again.
const TAKEN_MAX: usize = 1024;

/// Which deliveries of QoS 1 are here.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// Not taken yet, hence not acknowledged.
    waiting: HashSet<u64>,
    /// Acknowledged lately.
    taken: VecDeque<u64>,
}

impl Incoming {
    pub(super) fn take_in(
        &mut self,
        message: trefoil_json::Message<'_>,
        out: &mut Units,
    ) -> Option<Delivery> {
        let id = message.id.filter(|_| message.qos > 0);
        if let Some(id) = id {
            if message.dup && self.taken.contains(&id) {
                acknowledge(id, out);
                return None;
            }
            if !self.waiting.insert(id) {
                // It is here already, and will be acknowledged when somebody takes it.
                return None;
            }
        }
        let qos = if id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let token = id.map(|id| Token { id, qos });
        Some(Delivery { message: owned(message, qos), token })
    }
}

impl Json {
    pub(crate) fn handle_taken(&mut self, token: Token, out: &mut Units) {
        let Incoming { waiting, taken } = &mut self.incoming;
        waiting.remove(&token.id);
        if taken.len() == TAKEN_MAX {
            taken.pop_front();
        }
        taken.push_back(token.id);
        acknowledge(token.id, out);
    }
}

fn acknowledge(id: u64, out: &mut Units) {
    out.add(|out| trefoil_json::encode_ack(id, out));
}

fn owned(message: trefoil_json::Message<'_>, qos: QoS) -> Message {
    Message {
        topic: message.topic.into_owned(),
        payload: message.payload.into_owned(),
        qos,
        retain: message.retain,
        properties: properties(message.extras),
    }
}

pub(super) fn properties(extras: trefoil_json::Extras<'_>) -> Properties {
    let user_properties = extras.user_properties.into_iter();
    Properties {
        content_type: extras.content_type.map(Cow::into_owned),
        response_topic: extras.response_topic.map(Cow::into_owned),
        correlation_data: extras.correlation.map(Cow::into_owned),
        expiry_s: extras.expiry_s,
        user_properties: user_properties
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Peer;
    use crate::options::Options;

    #[test]
    fn a_repetition_is_delivered_once_and_acknowledged_each_time_it_was_taken() {
        let mut json = Json::new(&Options::default(), true, 1000, &Peer::new("udp://h:1"));
        let mut out = Units::default();
        let first = br#"{"topic":"t","data":1,"qos":1,"id":9}"#;
        let again = br#"{"topic":"t","data":1,"qos":1,"id":9,"dup":true}"#;
        let token = json.handle_text(first, &mut out).expect("it is well formed").and_then(|d| d.token);
        let token = token.expect("it is delivered, at QoS 1");
        assert!(json.handle_text(again, &mut out).expect("it is well formed").is_none());
        assert!(out.is_empty(), "nobody has taken it yet");
        json.handle_taken(token, &mut out);
        assert!(json.handle_text(again, &mut out).expect("it is well formed").is_none());
        let mut sent = Vec::new();
        out.drain(|unit| sent.push(unit.to_vec()));
        assert_eq!(sent, [br#"{"ack":9}"#, br#"{"ack":9}"#]);
        let reused = json.handle_text(first, &mut out).expect("it is well formed");
        assert!(reused.is_some(), "without dup it is another message");
    }
}
