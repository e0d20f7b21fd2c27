//! Messages that the hub sends, until they are acknowledged.

use super::Mqtt;
use crate::command::{Delivery, Token};
use crate::error::Error;
use crate::message::{Message, Properties};
use crate::units::Units;
use trefoil_mqtt::{Ack, PacketType, Publish, QoS, ReasonCode};

impl Mqtt {
    pub(super) fn handle_publish(
        &mut self,
        publish: &Publish<'_>,
        out: &mut Units,
    ) -> Result<Option<Delivery>, Error> {
        if publish.topic.is_empty() {
            // No alias was allowed in CONNECT [MQTT-3.1.2-27].
            return Err(self.peer.stranger("it uses a topic alias that it was not allowed"));
        }
        if self.asks.is_for(publish.topic) && publish.qos < QoS::ExactlyOnce {
            self.asks.answer(message(publish));
            if publish.qos == QoS::AtLeastOnce {
                self.answer(PacketType::PubAck, publish.packet_id, out);
            }
            return Ok(None);
        }
        let token = match publish.qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(Token { id: publish.packet_id.into(), qos: publish.qos }),
            // A repetition of what is here already [MQTT-4.3.3-10].
            QoS::ExactlyOnce if self.kept.received.contains(&publish.packet_id) => {
                self.answer(PacketType::PubRec, publish.packet_id, out);
                return Ok(None);
            }
            QoS::ExactlyOnce if !self.untaken.insert(publish.packet_id) => return Ok(None),
            QoS::ExactlyOnce => Some(Token { id: publish.packet_id.into(), qos: publish.qos }),
        };
        Ok(Some(Delivery { message: message(publish), token }))
    }

    /// The hub lets go of a message of QoS 2. Also one that is not known is answered: the hub may not have heard the
    /// first answer.
    pub(super) fn handle_release(&mut self, packet_id: u16, out: &mut Units) {
        self.untaken.remove(&packet_id);
        self.kept.received.remove(&packet_id);
        self.answer(PacketType::PubComp, packet_id, out);
    }

    /// Acknowledges a message that somebody has taken. Messages are taken in the order in which they came, as
    /// acknowledgements have to be sent [MQTT-4.6.0-2].
    pub(crate) fn handle_taken(&mut self, token: Token, out: &mut Units) {
        let Ok(packet_id) = u16::try_from(token.id) else { return };
        if token.qos == QoS::ExactlyOnce {
            self.untaken.remove(&packet_id);
            self.kept.received.insert(packet_id);
            self.answer(PacketType::PubRec, packet_id, out);
        } else {
            self.answer(PacketType::PubAck, packet_id, out);
        }
    }

    fn answer(&self, packet: PacketType, packet_id: u16, out: &mut Units) {
        let ack = Ack::new(packet_id, ReasonCode::Success);
        out.add(|out| ack.encode(packet, self.version, out));
    }
}

fn message(publish: &Publish<'_>) -> Message {
    let properties = &publish.properties;
    let user_properties = properties.user_properties.iter();
    Message {
        topic: publish.topic.to_owned(),
        payload: publish.payload.to_vec(),
        qos: publish.qos,
        retain: publish.retain,
        properties: Properties {
            content_type: properties.content_type.map(str::to_owned),
            response_topic: properties.response_topic.map(str::to_owned),
            correlation_data: properties.correlation_data.map(<[u8]>::to_vec),
            expiry_s: properties.expiry_s,
            user_properties: user_properties
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        },
    }
}
