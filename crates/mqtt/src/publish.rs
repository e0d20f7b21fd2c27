//! PUBLISH: a message on its way. The hot path of the crate.

use crate::packet::open;
use crate::property::{Property, Section, misplaced, once};
use crate::wire::{Reader, VARINT_MAX, fitting_text, put_text, put_varint, varint_len};
use crate::{DecodeError, MessageProperties, PacketType, PropertyId, QoS, SubscriptionIds, Version};

const RETAIN: u8 = 0b0001;
const DUP: u8 = 0b1000;

/// A message (section 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether it may have been sent before. Never set at QoS 0.
    pub dup: bool,
    /// How hard the sender tries.
    pub qos: QoS,
    /// From a client: keep the message for later subscribers. From a server: it was kept.
    pub retain: bool,
    /// The topic name; empty only when a topic alias stands for it.
    pub topic: &'a str,
    /// Which of the messages in flight this is; 0 at QoS 0, which has none.
    pub packet_id: u16,
    /// A number that stands for the topic name from now on, from 1. MQTT 5.0 only.
    pub topic_alias: Option<u16>,
    /// The receiver's subscriptions that this message is for. Only a server may send them [MQTT-3.3.4-6], which the one
    /// who knows who is speaking has to check. MQTT 5.0 only.
    pub subscription_ids: SubscriptionIds<'a>,
    /// What travels with the message. MQTT 5.0 only.
    pub properties: MessageProperties<'a>,
    /// The message itself; may be empty.
    pub payload: &'a [u8],
}

/// Where the parts of an encoded PUBLISH stand that differ between receivers of the same message.
///
/// The first byte, with DUP, QoS and retain, is at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Offset of the two bytes of the packet identifier from the start of the packet; 0 at QoS 0, which has none.
    pub packet_id_at: usize,
}

/// Decodes exactly one packet that is known to be a PUBLISH.
///
/// # Errors
/// The first rule that the packet breaks.
#[inline]
pub fn decode_publish<'a>(bytes: &'a [u8], version: Version) -> Result<Publish<'a>, DecodeError> {
    let (first_byte, reader) = open(bytes)?;
    if first_byte >> 4 != PacketType::Publish as u8 {
        return Err(match PacketType::from_first_byte(first_byte) {
            Some(packet_type) => DecodeError::UnexpectedPacketType { packet_type },
            None => DecodeError::UnknownPacketType { packet_type: 0 },
        });
    }
    Publish::read(first_byte, reader, version)
}

impl<'a> Publish<'a> {
    #[inline]
    pub(crate) fn read(
        first_byte: u8,
        mut reader: Reader<'a>,
        version: Version,
    ) -> Result<Self, DecodeError> {
        // [MQTT-3.3.1-4] [v3 MQTT-3.3.1-4]
        let qos = QoS::from_bits(first_byte >> 1 & 0b11).ok_or(DecodeError::InvalidQoS)?;
        let dup = first_byte & DUP != 0;
        // [MQTT-3.3.1-2] [v3 MQTT-3.3.1-2]
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::DupAtQoS0);
        }
        // [MQTT-3.3.2-1] [v3 MQTT-3.3.2-1]
        let topic = reader.topic_name()?;
        // [MQTT-2.2.1-2] [v3 MQTT-2.3.1-5]
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { reader.packet_id()? };
        let mut publish = Publish {
            dup,
            qos,
            retain: first_byte & RETAIN != 0,
            topic,
            packet_id,
            topic_alias: None,
            subscription_ids: SubscriptionIds::default(),
            properties: MessageProperties::default(),
            payload: &[],
        };
        if version.is_v5() {
            publish.read_properties(Section::open(&mut reader)?)?;
        }
        // [MQTT-4.7.3-1]; in 5.0 an alias may stand for the name.
        if topic.is_empty() && publish.topic_alias.is_none() {
            return Err(if version.is_v5() {
                DecodeError::TopicNameAndAliasMissing
            } else {
                DecodeError::EmptyTopicName
            });
        }
        publish.payload = reader.rest();
        Ok(publish)
    }

    #[inline]
    fn read_properties(&mut self, mut section: Section<'a>) -> Result<(), DecodeError> {
        if section.all().is_empty() {
            return Ok(());
        }
        let mut subscription_ids = 0;
        while let Some(property) = section.next()? {
            match self.properties.accept(property)? {
                None => {}
                // [MQTT-3.3.2-8]
                Some(Property::TopicAlias(0)) => {
                    let property = PropertyId::TopicAlias;
                    return Err(DecodeError::InvalidPropertyValue { property, value: 0 });
                }
                Some(Property::TopicAlias(alias)) => {
                    once(&mut self.topic_alias, alias, PropertyId::TopicAlias)?
                }
                Some(Property::SubscriptionId(_)) => subscription_ids += 1,
                Some(other) => return Err(misplaced(other, PacketType::Publish)),
            }
        }
        self.subscription_ids = SubscriptionIds::in_section(section.all(), subscription_ids);
        self.properties.user_properties = section.user_properties();
        Ok(())
    }

    /// Appends the packet to `out` and says where a copy of it can be changed for the next receiver.
    ///
    /// A packet longer than [`PACKET_BYTES_MAX`](crate::PACKET_BYTES_MAX) cannot be expressed: then nothing is appended.
    /// The packet identifier may be 0 here if it is patched in later.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Encoded {
        let properties_len = if version.is_v5() { self.properties_len() } else { 0 };
        let remaining = self.remaining_len(version, properties_len);
        if remaining > VARINT_MAX {
            return Encoded { packet_id_at: 0 };
        }
        out.reserve(1 + varint_len(remaining) + remaining);
        let start = out.len();
        out.push(self.first_byte());
        put_varint(remaining, out);
        put_text(self.topic, out);
        let mut packet_id_at = 0;
        if self.qos != QoS::AtMostOnce {
            packet_id_at = out.len() - start;
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if version.is_v5() {
            // [MQTT-2.2.2-1]
            put_varint(properties_len, out);
            if properties_len > 0 {
                self.put_properties(out);
            }
        }
        out.extend_from_slice(self.payload);
        Encoded { packet_id_at }
    }

    /// Bytes that [`Publish::encode`] appends.
    #[inline]
    pub fn encoded_len(&self, version: Version) -> usize {
        let properties_len = if version.is_v5() { self.properties_len() } else { 0 };
        let remaining = self.remaining_len(version, properties_len);
        1 + varint_len(remaining) + remaining
    }

    /// The first byte of the packet, for patching it into an encoded one.
    #[inline]
    pub fn first_byte(&self) -> u8 {
        // [MQTT-3.3.1-2] [v3 MQTT-3.3.1-2] [MQTT-4.3.1-1] [v3 MQTT-4.3.1-1]: DUP means nothing at QoS 0.
        let dup = if self.dup && self.qos != QoS::AtMostOnce { DUP } else { 0 };
        PacketType::Publish.first_byte() | dup | (self.qos as u8) << 1 | u8::from(self.retain)
    }

    #[inline]
    fn remaining_len(&self, version: Version, properties_len: usize) -> usize {
        let packet_id_len = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let section_len = if version.is_v5() { varint_len(properties_len) + properties_len } else { 0 };
        2 + fitting_text(self.topic).len() + packet_id_len + section_len + self.payload.len()
    }

    #[inline]
    fn properties_len(&self) -> usize {
        let alias_len = if self.topic_alias.is_some() { 3 } else { 0 };
        alias_len + self.subscription_ids.wire_len() + self.properties.wire_len()
    }

    fn put_properties(&self, out: &mut Vec<u8>) {
        crate::property::put(out, self.topic_alias.map(Property::TopicAlias));
        self.subscription_ids.put(out);
        self.properties.put(out);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
