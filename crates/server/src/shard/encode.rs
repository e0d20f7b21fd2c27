//! One message in bytes, once for each form however many receivers it has.

use super::deflate::Pool;
use crate::json_message::view;
use crate::outbox::LINK_BYTES_MIN;
use std::sync::Arc;
use trefoil_hub::{Delivery, Message, Place, Properties, Time};
use trefoil_json::{encode_binary_header, is_text};
use trefoil_mqtt::{Publish, QoS, SubscriptionIds, Version};

/// The encodings of the message that is being delivered. A message's first receiver gets it written straight into the
/// outbox, since it may be the only one; they are made when a second one comes.
#[derive(Default)]
pub(super) struct Encodings {
    /// Of which message; held, so that no other one can have its address.
    message: Option<Arc<Message>>,
    mqtt: [Option<Encoded>; 4],
    /// With the place that it has in the history of its topic, for those who follow that.
    json: Option<(Option<Place>, Vec<u8>)>,
    /// All of that but its last byte, compressed, for one size of window; empty if that is not worth it.
    deflated: Option<(u8, Vec<u8>)>,
    /// The same without the payload, and perhaps as it is when it comes because it was retained; none if it is text, so that
    /// it needs no binary frame.
    json_header: Option<(Option<Place>, bool, Option<Vec<u8>>)>,
}

/// A PUBLISH packet with the flags and packet id still to be put in.
pub(super) struct Encoded {
    /// The packet, without its payload if that is long enough to be linked.
    pub(super) head: Vec<u8>,
    /// Where the packet id is; 0 at QoS 0.
    packet_id_at: usize,
    /// The length of the whole packet.
    pub(super) packet_bytes: usize,
    /// The payload is to be linked behind the head.
    pub(super) links_payload: bool,
}

impl Encodings {
    /// Whether this is the first time that the message is asked for.
    pub(super) fn is_first(&mut self, message: &Arc<Message>) -> bool {
        let is_known = self.message.as_ref().is_some_and(|m| Arc::ptr_eq(m, message));
        if !is_known {
            self.message = Some(message.clone());
            self.mqtt = [const { None }; 4];
            (self.json, self.deflated, self.json_header) = (None, None, None);
        }
        !is_known
    }

    /// The packet of a message for all receivers of a version that get it at QoS 0, or for all that get it above.
    pub(super) fn mqtt(&mut self, message: &Arc<Message>, version: Version, acknowledged: bool) -> &Encoded {
        debug_assert!(self.message.as_ref().is_some_and(|m| Arc::ptr_eq(m, message)));
        let form = usize::from(version == Version::V5) * 2 + usize::from(acknowledged);
        self.mqtt[form].get_or_insert_with(|| {
            let qos = if acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            Encoded::new(message, version, qos, None)
        })
    }

    /// The JSON text of a message for all receivers that get it without the retain flag, and for those to whom it goes
    /// compressed with a window of so many bits all of it but its last byte in that form.
    pub(super) fn json(
        &mut self,
        message: &Arc<Message>,
        place: Option<Place>,
        now: Time,
        (window_bits, pool): (u8, &mut Pool),
    ) -> (&[u8], Option<&[u8]>) {
        self.is_first(message);
        // Hardly anybody gets it without its place where others get it with that.
        if self.json.take_if(|(known, _)| *known != place).is_some() {
            self.deflated = None;
        }
        let (_, text) = self.json.get_or_insert_with(|| {
            let mut text = Vec::new();
            json(message, false, place, now, &mut text);
            (place, text)
        });
        if window_bits == 0 {
            return (text, None);
        }
        // Hardly anybody asks for another size than the others.
        self.deflated.take_if(|(known, _)| *known != window_bits);
        let (_, deflated) = self.deflated.get_or_insert_with(|| {
            let without_end = text.len().saturating_sub(1);
            (window_bits, pool.beginning(window_bits, &text[..without_end]))
        });
        (text, Some(deflated).filter(|deflated| !deflated.is_empty()).map(|deflated| deflated.as_slice()))
    }

    /// The header of the binary frame in which a message goes to those who want that; none if its payload is text.
    pub(super) fn json_header(
        &mut self,
        message: &Arc<Message>,
        retain: bool,
        place: Option<Place>,
        now: Time,
    ) -> Option<&[u8]> {
        self.is_first(message);
        self.json_header.take_if(|(known, is_retained, _)| (*known, *is_retained) != (place, retain));
        let (_, _, header) = self.json_header.get_or_insert_with(|| {
            let header = (!is_text(&message.payload)).then(|| {
                let mut header = Vec::new();
                view(message, retain, place, now, |view| encode_binary_header(view, None, &mut header));
                header
            });
            (place, retain, header)
        });
        header.as_deref()
    }

    /// Forgets the message, so that its memory is not held while nothing happens.
    pub(super) fn clear(&mut self) {
        if self.message.is_some() {
            *self = Encodings::default();
        }
    }
}

/// What differs from receiver to receiver in a PUBLISH packet of MQTT 5.0 beside flags and packet id.
pub(super) struct Extra<'a> {
    pub(super) subscription_ids: &'a [u32],
    /// The topic alias, and whether the topic goes along.
    pub(super) alias: Option<(u16, bool)>,
    pub(super) now: Time,
}

impl Encoded {
    /// Encodes a message; with `extra`, for one receiver.
    pub(super) fn new(message: &Message, version: Version, qos: QoS, extra: Option<&Extra<'_>>) -> Encoded {
        let mut publish = plain(message, qos);
        if let Some(extra) = extra {
            publish.properties.expiry_s = message.expiry_left_s(extra.now);
            publish.topic_alias = extra.alias.map(|(number, _)| number);
            publish.topic = if let Some((_, false)) = extra.alias { "" } else { publish.topic };
            publish.subscription_ids = SubscriptionIds::from(extra.subscription_ids);
        }
        let mut head = Vec::with_capacity(publish.encoded_len(version));
        let packet_id_at = publish.encode(version, &mut head).packet_id_at;
        let packet_bytes = head.len();
        let links_payload = message.payload.len() >= LINK_BYTES_MIN && message.payload.shared().is_some();
        if links_payload {
            head.truncate(packet_bytes - message.payload.len());
        }
        Encoded { head, packet_id_at, packet_bytes, links_payload }
    }

    /// Appends the head with the flags and packet id of a delivery. DUP is that of the delivery, not of the message that
    /// came in [MQTT-3.3.1-3] [v3 MQTT-3.3.1-3].
    pub(super) fn write_head(&self, delivery: &Delivery<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        out[start] =
            0x30 | u8::from(delivery.dup) << 3 | (delivery.qos as u8) << 1 | u8::from(delivery.retain);
        if self.packet_id_at > 0 {
            let at = start + self.packet_id_at;
            out[at..at + 2].copy_from_slice(&delivery.packet_id.to_be_bytes());
        }
    }
}

/// The PUBLISH packet of a message, without what differs from receiver to receiver.
pub(super) fn plain(message: &Message, qos: QoS) -> Publish<'_> {
    Publish {
        qos,
        topic: &message.topic,
        packet_id: u16::from(qos > QoS::AtMostOnce),
        properties: message.properties.as_deref().map(Properties::as_mqtt).unwrap_or_default(),
        payload: &message.payload,
        ..Publish::default()
    }
}

/// Appends the JSON text of a message.
pub(super) fn json(message: &Message, retain: bool, place: Option<Place>, now: Time, out: &mut Vec<u8>) {
    view(message, retain, place, now, |view| trefoil_json::encode_message(view, None, out));
}
