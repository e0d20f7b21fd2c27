//! Messages of the gateway, until they are acknowledged.

use super::send;
use super::topics::Topics;
use crate::command::{Delivery, Token};
use crate::message::{Message, Properties};
use crate::units::Units;
use std::collections::HashMap;
use trefoil_mqtt::QoS;
use trefoil_mqtt_sn::{Packet, PubAck, Publish, ReturnCode};

/// Which messages of QoS 1 and 2 are here, by message id. The gateway has one on its way at a time.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    waiting: HashMap<u16, State>,
    /// The last message of QoS 1 that was acknowledged: when it comes again, the acknowledgement got lost.
    last: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has taken it yet, so it is not acknowledged.
    Untaken,
    /// Taken, and acknowledged by PUBREC; the PUBREL has not come.
    Received,
}

impl Incoming {
    pub(super) fn take_in(
        &mut self,
        publish: &Publish<'_>,
        topics: &Topics,
        out: &mut Units,
    ) -> Option<Delivery> {
        let (topic_id, msg_id) = (publish.topic.as_u16(), publish.msg_id);
        let Some(topic) = topics.name(&publish.topic) else {
            // The gateway then registers the topic and sends the message once more.
            acknowledge(topic_id, msg_id, ReturnCode::INVALID_TOPIC_ID, out);
            return None;
        };
        let qos = match publish.qos {
            trefoil_mqtt_sn::QoS::AtLeastOnce => QoS::AtLeastOnce,
            trefoil_mqtt_sn::QoS::ExactlyOnce => QoS::ExactlyOnce,
            trefoil_mqtt_sn::QoS::AtMostOnce | trefoil_mqtt_sn::QoS::MinusOne => QoS::AtMostOnce,
        };
        if qos > QoS::AtMostOnce {
            match self.waiting.get(&msg_id) {
                Some(State::Untaken) => return None,
                Some(State::Received) => {
                    send(&Packet::PubRec(msg_id), out);
                    return None;
                }
                None if publish.dup && qos == QoS::AtLeastOnce && self.last == Some(msg_id) => {
                    acknowledge(topic_id, msg_id, ReturnCode::ACCEPTED, out);
                    return None;
                }
                None => self.waiting.insert(msg_id, State::Untaken),
            };
        }
        let token = (qos > QoS::AtMostOnce)
            .then_some(Token { id: u64::from(topic_id) << 16 | u64::from(msg_id), qos });
        let message = Message {
            topic,
            payload: publish.payload.to_vec(),
            qos,
            retain: publish.retain,
            properties: Properties::default(),
        };
        Some(Delivery { message, token })
    }

    /// Acknowledges a message that somebody has taken.
    pub(super) fn taken(&mut self, token: Token, out: &mut Units) {
        let (topic_id, msg_id) = ((token.id >> 16) as u16, token.id as u16);
        if token.qos == QoS::ExactlyOnce {
            self.waiting.insert(msg_id, State::Received);
            send(&Packet::PubRec(msg_id), out);
        } else {
            self.waiting.remove(&msg_id);
            self.last = Some(msg_id);
            acknowledge(topic_id, msg_id, ReturnCode::ACCEPTED, out);
        }
    }

    /// PUBREL. One that is not known is answered too: the gateway may not have heard the first answer.
    pub(super) fn release(&mut self, msg_id: u16, out: &mut Units) {
        self.waiting.remove(&msg_id);
        send(&Packet::PubComp(msg_id), out);
    }
}

fn acknowledge(topic_id: u16, msg_id: u16, return_code: ReturnCode, out: &mut Units) {
    send(&Packet::PubAck(PubAck { topic_id, msg_id, return_code }), out);
}
