//! A run in the forms that its receivers want: each is made once, when the first of them asks.

use super::deflate::{Deflate, Pool};
use super::framed::FramedRun;
use super::run::{Size, messages};
use crate::framed::Profile;
use crate::outbox::LINK_BYTES_MIN;
use bytes::Bytes;
use std::sync::Arc;
use trefoil_hub::{Message, Payload, Topic};
use trefoil_json::{MessageView, encode_binary, is_text};
use trefoil_mqtt::{Publish, QoS, Version};
use trefoil_websocket::{Opcode, encode_frame};

pub(super) struct RunForms<'a> {
    pub(super) wire: &'a [u8],
    pub(super) size: Size,
    /// It goes to several receivers of this shard, so that what is made for one serves others.
    has_several: bool,
    /// Whether it is worth linking: several receivers, and enough bytes.
    pub(super) links: bool,
    v3: Option<Bytes>,
    v5: Option<Bytes>,
    /// WebSocket frames: with what is in them, and the size of the window with which they are compressed.
    frames: Vec<(Frames, u8, Bytes)>,
    line: Option<Bytes>,
    sse: Option<Bytes>,
    /// Texts with a comma behind each, to be joined.
    objects: Option<Bytes>,
    is_text: Option<bool>,
    /// Frames of each listener that has receivers.
    framed: Vec<(Arc<Profile>, FramedRun)>,
    /// The messages one by one.
    messages: Vec<Arc<Message>>,
}

/// What WebSocket frames there are of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// A text for each message.
    Texts,
    /// The same, but a binary frame for each message whose payload is not UTF-8.
    Mixed,
    /// All packets in one, as MQTT 3.1.1 has them.
    PacketsV3,
    /// As MQTT 5.0 has them.
    PacketsV5,
}

/// All of a run, in a form.
pub(super) enum Whole<'a> {
    Copy(&'a [u8]),
    Link(Bytes),
}

impl Whole<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Whole::Copy(bytes) => bytes.len(),
            Whole::Link(bytes) => bytes.len(),
        }
    }
}

impl<'a> RunForms<'a> {
    /// `shared` is the same bytes as `wire`, if they have been made shareable already.
    pub(super) fn new(wire: &'a [u8], shared: Option<Bytes>, size: Size, receivers: usize) -> RunForms<'a> {
        let has_several = receivers > 1;
        let links = wire.len() >= LINK_BYTES_MIN && (has_several || shared.is_some());
        RunForms {
            wire,
            size,
            has_several,
            links,
            v3: shared,
            v5: None,
            frames: Vec::new(),
            line: None,
            sse: None,
            objects: None,
            is_text: None,
            framed: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Packets of MQTT 3.1.1.
    pub(super) fn v3(&mut self) -> Whole<'_> {
        match self.links {
            true => Whole::Link(self.shared_v3()),
            false => Whole::Copy(self.wire),
        }
    }

    /// Packets of MQTT 5.0.
    pub(super) fn v5(&mut self) -> Whole<'_> {
        let bytes = self.v5.get_or_insert_with(|| {
            let mut out = Vec::with_capacity(self.wire.len() + self.size.count as usize);
            messages(self.wire).for_each(|publish| {
                publish.encode(Version::V5, &mut out);
            });
            out.into()
        });
        whole(self.links, bytes)
    }

    /// Whether MQTT packets are to be put into frames once for all receivers that get them in frames, and not together with
    /// what else leaves for one of them in the same tick.
    ///
    /// A frame more in a tick is something more that a client has to look at. So only those get one to whom nothing else
    /// goes so far, or whose frames are compressed: to do that for each receiver costs more than all else together.
    pub(super) fn frames_packets(&self, window_bits: u8, nothing_waits: bool, pool: &Pool) -> bool {
        self.has_several && (nothing_waits || window_bits > 0 && pool.wants(self.wire.len()))
    }

    /// WebSocket frames, compressed with a window of so many bits for everybody who keeps none from message to message; with 0
    /// they are not.
    pub(super) fn frames(&mut self, what: Frames, window_bits: u8, pool: &mut Pool) -> Whole<'_> {
        let known = self.frames.iter().position(|(known, bits, _)| (*known, *bits) == (what, window_bits));
        let known = known.unwrap_or_else(|| {
            let frames = self.make_frames(what, window_bits, pool);
            self.frames.push((what, window_bits, frames));
            self.frames.len() - 1
        });
        whole(self.links, &self.frames[known].2)
    }

    fn make_frames(&mut self, what: Frames, window_bits: u8, pool: &mut Pool) -> Bytes {
        let mut deflate = Deflate::shared(window_bits);
        let packets = match what {
            Frames::Texts => {
                return joined(self.wire, |text, out| pool.frame(&mut deflate, Opcode::Text, text, out));
            }
            Frames::Mixed => {
                return self.mixed(|text, out| pool.frame(&mut deflate, Opcode::Text, text, out));
            }
            Frames::PacketsV3 => self.v3(),
            Frames::PacketsV5 => self.v5(),
        };
        let mut out = Vec::new();
        pool.frame(&mut deflate, Opcode::Binary, packets.as_slice(), &mut out);
        out.into()
    }

    /// Binary frames for the payloads that are not UTF-8, and those that `frame_text` makes for the others.
    fn mixed(&self, mut frame_text: impl FnMut(&[u8], &mut Vec<u8>)) -> Bytes {
        let (mut text, mut out) = (Vec::new(), Vec::with_capacity(self.wire.len() * 2));
        for publish in messages(self.wire) {
            text.clear();
            match encode_frame_of(&publish, &mut text) {
                true => encode_frame(Opcode::Binary, &text, &mut out),
                false => frame_text(&text, &mut out),
            }
        }
        out.into()
    }

    pub(super) fn line(&mut self) -> Whole<'_> {
        let bytes = self.line.get_or_insert_with(|| {
            joined(self.wire, |text, out| {
                out.extend_from_slice(text);
                out.push(b'\n');
            })
        });
        whole(self.links, bytes)
    }

    pub(super) fn objects(&mut self) -> Whole<'_> {
        let bytes = self.objects.get_or_insert_with(|| {
            joined(self.wire, |text, out| {
                out.extend_from_slice(text);
                out.push(b',');
            })
        });
        whole(self.links, bytes)
    }

    pub(super) fn sse(&mut self) -> Whole<'_> {
        let bytes = self.sse.get_or_insert_with(|| {
            joined(self.wire, |text, out| {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(text);
                out.extend_from_slice(b"\n\n");
            })
        });
        whole(self.links, bytes)
    }

    pub(super) fn framed(&mut self, profile: &Arc<Profile>) -> &FramedRun {
        let known = self.framed.iter().position(|(known, _)| Arc::ptr_eq(known, profile));
        let known = known.unwrap_or_else(|| {
            self.framed.push((profile.clone(), FramedRun::new(profile, self.wire)));
            self.framed.len() - 1
        });
        &self.framed[known].1
    }

    /// Whether all payloads are UTF-8.
    pub(super) fn is_text(&mut self) -> bool {
        *self.is_text.get_or_insert_with(|| messages(self.wire).all(|publish| is_text(publish.payload)))
    }

    pub(super) fn messages(&mut self) -> &[Arc<Message>] {
        if self.messages.is_empty() {
            let mut topic = None;
            let each = messages(self.wire).filter_map(|publish| {
                // A run has one topic, which is valid.
                let topic = topic.get_or_insert_with(|| Topic::new(publish.topic, usize::MAX));
                Some(Arc::new(at_most_once(topic.clone().ok()?, publish.payload)))
            });
            self.messages = each.collect();
        }
        &self.messages
    }

    fn shared_v3(&mut self) -> Bytes {
        self.v3.get_or_insert_with(|| Bytes::copy_from_slice(self.wire)).clone()
    }
}

impl Whole<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Whole::Copy(bytes) => bytes,
            Whole::Link(bytes) => bytes,
        }
    }
}

/// Compressed, a run may be too short to be worth linking.
pub(super) fn whole(links: bool, bytes: &Bytes) -> Whole<'_> {
    if links && bytes.len() >= LINK_BYTES_MIN { Whole::Link(bytes.clone()) } else { Whole::Copy(bytes) }
}

fn joined(wire: &[u8], mut write: impl FnMut(&[u8], &mut Vec<u8>)) -> Bytes {
    let (mut text, mut out) = (Vec::new(), Vec::with_capacity(wire.len() * 2));
    for publish in messages(wire) {
        text.clear();
        encode_text(&publish, &mut text);
        write(&text, &mut out);
    }
    out.into()
}

/// Appends the JSON text of a message.
pub(super) fn encode_text(publish: &Publish<'_>, out: &mut Vec<u8>) {
    trefoil_json::encode_message(&view(publish), None, out);
}

/// Writes what stands in the frame of a message for somebody who takes binary ones. Returns whether it is one.
fn encode_frame_of(publish: &Publish<'_>, out: &mut Vec<u8>) -> bool {
    let is_binary = !is_text(publish.payload) && encode_binary(&view(publish), None, out);
    if !is_binary {
        encode_text(publish, out);
    }
    is_binary
}

pub(super) fn view<'a>(publish: &Publish<'a>) -> MessageView<'a> {
    MessageView { topic: publish.topic, payload: publish.payload, ..MessageView::default() }
}

/// A message of a run.
pub(super) fn at_most_once(topic: Topic, payload: &[u8]) -> Message {
    Message {
        topic,
        payload: Payload::copy_from_slice(payload),
        qos: QoS::AtMostOnce,
        retain: false,
        expires_at: None,
        properties: None,
    }
}
