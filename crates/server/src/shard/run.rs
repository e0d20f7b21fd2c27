//! Runs: messages of one topic that follow each other at QoS 0 with nothing else to them.
//!
//! A busy publisher's messages come many to a read. Who wants them is asked once for all of them, they are joined into
//! one piece of bytes, and each receiver gets that piece with one copy or one link. So a delivery in a large fan-out
//! costs little more than its share of the write.
//!
//! The bytes are PUBLISH packets of MQTT 3.1.1, which are what most receivers want; other forms are made from them once
//! a run and form. A run ends with the tick, or with whatever comes before that could have a say in who gets the next
//! message, or in what order: that is how messages keep the order of their publisher [MQTT-4.6.0-5].

use bytes::Bytes;
use trefoil_hub::SessionKey;
use trefoil_mqtt::{Publish, QoS, Version, decode_publish, frame};

/// A run does not grow beyond this.
const RUN_BYTES_MAX: usize = 256 << 10;

/// Messages of one topic, joined.
#[derive(Default)]
pub(super) struct Run {
    topic: String,
    pub(super) publisher: Option<SessionKey>,
    wire: Vec<u8>,
    pub(super) size: Size,
}

/// How much a run is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Size {
    /// Messages.
    pub(super) count: u32,
    /// Bytes of the largest packet.
    pub(super) packet_bytes: usize,
    /// Bytes of all payloads together.
    pub(super) payload_bytes: usize,
}

impl Size {
    /// That of the packets in a run's bytes, whose topic is so long.
    pub(super) fn of(wire: &[u8], topic_bytes: usize) -> Size {
        let mut size = Size::default();
        packets(wire).for_each(|packet| size.add(packet.len(), topic_bytes));
        size
    }

    /// Counts a packet at QoS 0, in which nothing but its topic stands in front of the payload.
    fn add(&mut self, packet_bytes: usize, topic_bytes: usize) {
        // The fixed header is longer by one byte wherever the length behind it takes another seven bits.
        let head_bytes = match packet_bytes {
            0..=129 => 2,
            130..=16_386 => 3,
            16_387..=2_097_155 => 4,
            _ => 5,
        };
        self.count += 1;
        self.packet_bytes = self.packet_bytes.max(packet_bytes);
        self.payload_bytes += packet_bytes - head_bytes - 2 - topic_bytes;
    }
}

impl Run {
    pub(super) fn is_empty(&self) -> bool {
        self.size.count == 0
    }

    /// Whether a message can go on this run.
    pub(super) fn continues(&self, topic: &str, publisher: Option<SessionKey>) -> bool {
        self.size.count > 0
            && self.publisher == publisher
            && self.topic == topic
            && self.wire.len() < RUN_BYTES_MAX
    }

    /// Starts over with a topic.
    pub(super) fn begin(&mut self, topic: &str, publisher: Option<SessionKey>) {
        self.clear();
        self.topic.push_str(topic);
        self.publisher = publisher;
    }

    /// Adds a packet that came as MQTT 3.1.1 (or 3.1) and so is what goes out.
    pub(super) fn push_packet(&mut self, packet: &[u8]) {
        self.wire.extend_from_slice(packet);
        self.size.add(packet.len(), self.topic.len());
    }

    /// Adds a message that came in another form.
    pub(super) fn push_payload(&mut self, payload: &[u8]) {
        let before = self.wire.len();
        let publish = Publish { topic: &self.topic, payload, qos: QoS::AtMostOnce, ..Publish::default() };
        publish.encode(Version::V3_1_1, &mut self.wire);
        self.size.add(self.wire.len() - before, self.topic.len());
    }

    /// The joined packets, to be shared.
    pub(super) fn share(&mut self) -> Bytes {
        Bytes::copy_from_slice(&self.wire)
    }

    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }

    pub(super) fn clear(&mut self) {
        self.topic.clear();
        self.wire.clear();
        self.size = Size::default();
    }
}

/// The packets of a run's bytes.
pub(super) fn packets(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let packet = frame(rest, usize::MAX).ok()??;
        let (packet, behind) = rest.split_at_checked(packet.len)?;
        rest = behind;
        Some(packet)
    })
}

/// The messages of a run's bytes.
pub(super) fn messages(wire: &[u8]) -> impl Iterator<Item = Publish<'_>> {
    packets(wire).filter_map(|packet| decode_publish(packet, Version::V3_1_1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_comes_apart_again() {
        let mut run = Run::default();
        run.begin("a/b", None);
        run.push_payload(b"1");
        let mut packet = Vec::new();
        Publish { topic: "a/b", payload: b"22", ..Publish::default() }.encode(Version::V3_1, &mut packet);
        run.push_packet(&packet);
        assert!(run.continues("a/b", None) && !run.continues("a", None));
        let payloads: Vec<_> = messages(run.wire()).map(|p| (p.topic, p.payload)).collect();
        assert_eq!(payloads, [("a/b", &b"1"[..]), ("a/b", b"22")]);
        assert_eq!(run.size, Size { count: 2, packet_bytes: packet.len(), payload_bytes: 3 });
        assert_eq!(Size::of(run.wire(), 3), run.size);
    }

    #[test]
    fn payloads_of_every_length_are_counted() {
        for bytes in [0, 1, 122, 123, 16_378, 16_379, 2_097_146, 2_097_147] {
            let mut run = Run::default();
            run.begin("a/b", None);
            run.push_payload(&vec![0; bytes]);
            assert_eq!(run.size.payload_bytes, bytes);
        }
    }
}
