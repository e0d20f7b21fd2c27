//! A run to its receivers: one copy or one link each.

use super::ShardLoop;
use super::connection::{Connection, Form, Phase};
use super::deflate::{Deflate, Pool};
use super::framed::FramedRun;
use super::json::write::{JOINED_BYTES_MAX, write_binary};
use super::net::{DATAGRAM_BYTES_MAX, Json, Net, write_json};
use super::run::{Size, messages};
use crate::framed::Profile;
use crate::mail::Mail;
use crate::memory::NO_QOS_0;
use crate::outbox::LINK_BYTES_MIN;
use crate::stats::Drop;
use bytes::Bytes;
use std::sync::Arc;
use trefoil_hub::{
    ConnectionKey, Delivery, Message, Outlet, Payload, Refusal, SessionKey, SlowReader, Topic,
};
use trefoil_json::{BINARY_HEADER_BYTES_MAX, MessageView, encode_binary, encode_binary_header, is_text};
use trefoil_mqtt::{Publish, QoS, SubscriptionIds, Version};
use trefoil_websocket::{Opcode, encode_header};

/// A run in the forms that its receivers want, each made when the first of them asks.
pub(super) struct RunForms<'a> {
    wire: &'a [u8],
    size: Size,
    /// Whether it is worth linking: several receivers, and enough bytes.
    links: bool,
    v3: Option<Bytes>,
    v5: Option<Bytes>,
    text: Option<Bytes>,
    /// The same compressed, for each size of window that is asked for.
    deflated: Vec<(u8, Bytes)>,
    line: Option<Bytes>,
    sse: Option<Bytes>,
    /// Texts with a comma behind each, to be joined.
    objects: Option<Bytes>,
    /// Text and binary frames.
    mixed: Option<Bytes>,
    is_text: Option<bool>,
    /// Frames of each listener that has receivers.
    framed: Vec<(Arc<Profile>, FramedRun)>,
    /// The messages one by one.
    messages: Vec<Arc<Message>>,
}

impl<'a> RunForms<'a> {
    /// `shared` is the same bytes as `wire`, if they have been made shareable already.
    pub(super) fn new(wire: &'a [u8], shared: Option<Bytes>, size: Size, receivers: usize) -> RunForms<'a> {
        let links = wire.len() >= LINK_BYTES_MIN && (receivers > 1 || shared.is_some());
        RunForms {
            wire,
            size,
            links,
            v3: shared,
            v5: None,
            text: None,
            deflated: Vec::new(),
            line: None,
            sse: None,
            objects: None,
            mixed: None,
            is_text: None,
            framed: Vec::new(),
            messages: Vec::new(),
        }
    }

    fn v3(&mut self) -> Bytes {
        self.v3.get_or_insert_with(|| Bytes::copy_from_slice(self.wire)).clone()
    }

    fn v5(&mut self) -> &Bytes {
        self.v5.get_or_insert_with(|| {
            let mut out = Vec::with_capacity(self.wire.len() + self.size.count as usize);
            messages(self.wire).for_each(|publish| {
                publish.encode(Version::V5, &mut out);
            });
            out.into()
        })
    }

    fn text(&mut self) -> &Bytes {
        self.text.get_or_insert_with(|| {
            joined(self.wire, |text, out| {
                encode_header(true, Opcode::Text, text.len(), out);
                out.extend_from_slice(text);
            })
        })
    }

    /// Text frames, compressed for everybody with this window who keeps none from message to message.
    fn deflated(&mut self, window_bits: u8, pool: &mut Pool) -> &Bytes {
        let known = self.deflated.iter().position(|(bits, _)| *bits == window_bits);
        let known = known.unwrap_or_else(|| {
            let mut deflate = Deflate::shared(window_bits);
            let frames = joined(self.wire, |text, out| pool.frame(&mut deflate, Opcode::Text, text, out));
            self.deflated.push((window_bits, frames));
            self.deflated.len() - 1
        });
        &self.deflated[known].1
    }

    fn line(&mut self) -> &Bytes {
        self.line.get_or_insert_with(|| {
            joined(self.wire, |text, out| {
                out.extend_from_slice(text);
                out.push(b'\n');
            })
        })
    }

    fn objects(&mut self) -> &Bytes {
        self.objects.get_or_insert_with(|| {
            joined(self.wire, |text, out| {
                out.extend_from_slice(text);
                out.push(b',');
            })
        })
    }

    /// Binary frames for the payloads that are not UTF-8, and text frames for the others.
    fn mixed(&mut self) -> &Bytes {
        self.mixed.get_or_insert_with(|| {
            let (mut text, mut out) = (Vec::new(), Vec::with_capacity(self.wire.len() * 2));
            for publish in messages(self.wire) {
                text.clear();
                let opcode = match encode_frame_of(&publish, &mut text) {
                    true => Opcode::Binary,
                    false => Opcode::Text,
                };
                encode_header(true, opcode, text.len(), &mut out);
                out.extend_from_slice(&text);
            }
            out.into()
        })
    }

    fn framed(&mut self, profile: &Arc<Profile>) -> &FramedRun {
        let known = self.framed.iter().position(|(known, _)| Arc::ptr_eq(known, profile));
        let known = known.unwrap_or_else(|| {
            self.framed.push((profile.clone(), FramedRun::new(profile, self.wire)));
            self.framed.len() - 1
        });
        &self.framed[known].1
    }

    /// Whether all payloads are UTF-8.
    fn is_text(&mut self) -> bool {
        *self.is_text.get_or_insert_with(|| messages(self.wire).all(|publish| is_text(publish.payload)))
    }

    fn messages(&mut self) -> &[Arc<Message>] {
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

    fn sse(&mut self) -> &Bytes {
        self.sse.get_or_insert_with(|| {
            joined(self.wire, |text, out| {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(text);
                out.extend_from_slice(b"\n\n");
            })
        })
    }
}

fn joined(wire: &[u8], mut write: impl FnMut(&[u8], &mut Vec<u8>)) -> Bytes {
    let (mut text, mut out) = (Vec::new(), Vec::with_capacity(wire.len() * 2));
    for publish in messages(wire) {
        text.clear();
        encode(&publish, &mut text);
        write(&text, &mut out);
    }
    out.into()
}

fn encode(publish: &Publish<'_>, out: &mut Vec<u8>) {
    trefoil_json::encode_message(&view(publish), None, out);
}

/// Writes what stands in the frame of a message for somebody who takes binary ones. Returns whether it is one.
fn encode_frame_of(publish: &Publish<'_>, out: &mut Vec<u8>) -> bool {
    let is_binary = !is_text(publish.payload) && encode_binary(&view(publish), None, out);
    if !is_binary {
        encode(publish, out);
    }
    is_binary
}

fn view<'a>(publish: &Publish<'a>) -> MessageView<'a> {
    MessageView { topic: publish.topic, payload: publish.payload, ..MessageView::default() }
}

impl Net {
    /// Delivers a run to a connection, with what the subscriptions that it is for say: their identifiers, and what happens
    /// if there is no room.
    pub(super) fn deliver_run(
        &mut self,
        to: ConnectionKey,
        run: &mut RunForms<'_>,
        subscription_ids: &[u32],
        slow_reader: Option<SlowReader>,
    ) {
        let Some(connection) = self.connections.get(to.0 as usize) else { return };
        if connection.phase != Phase::Open {
            return self.count_drop(Drop::OutboxFull, run.size.count.into());
        }
        let (mut count, mut payload_bytes) = (run.size.count, run.size.payload_bytes);
        let (mut unframed, mut too_large) = (0, 0);
        let whole = match &connection.form {
            Form::None => return,
            Form::Mqtt(form) if form.version != Version::V5 => match run.links {
                true => Whole::Link(run.v3()),
                false => Whole::Copy(run.wire),
            },
            // An empty list of properties takes one byte more, and more than one where the length grows for it.
            Form::Mqtt(form)
                if subscription_ids.is_empty()
                    && form.aliases.is_none()
                    && run.size.packet_bytes + 2 <= connection.packet_bytes_max as usize =>
            {
                Whole::of(run.links, run.v5())
            }
            Form::JsonText if connection.deflate.window_bits == 0 => Whole::of(run.links, run.text()),
            Form::JsonText if !connection.deflate.keeps_context() => {
                let links = run.links;
                let frames = run.deflated(connection.deflate.window_bits, &mut self.deflate);
                Whole::of(links && frames.len() >= LINK_BYTES_MIN, frames)
            }
            Form::JsonLine => Whole::of(run.links, run.line()),
            Form::Sse(_) => Whole::of(run.links, run.sse()),
            Form::JsonShaped(shape) if shape.is_joined => {
                // One text of all is not to be long, and a binary frame cannot stand in it.
                if shape.is_binary && !run.is_text() || run.objects().len() > JOINED_BYTES_MAX {
                    return self.deliver_one_by_one(to, run, subscription_ids, slow_reader);
                }
                Whole::of(run.links, run.objects())
            }
            Form::JsonShaped(_) => Whole::of(run.links, run.mixed()),
            Form::Framed(profile) if !profile.is_udp => {
                let links = run.links;
                let frames = run.framed(profile);
                (count, payload_bytes) = (frames.count, frames.payload_bytes);
                (unframed, too_large) = (frames.unframed, frames.too_large);
                Whole::of(links && frames.bytes.len() >= LINK_BYTES_MIN, &frames.bytes)
            }
            Form::MqttSn(_) => {
                let delivery = of_a_run(subscription_ids, slow_reader);
                for message in run.messages() {
                    self.deliver(to, message, &delivery);
                }
                return;
            }
            // What is compressed for one connection only is so message by message.
            Form::Mqtt(_) | Form::JsonDatagram | Form::JsonText | Form::Framed(_) => {
                return self.deliver_one_by_one(to, run, subscription_ids, slow_reader);
            }
        };
        if connection.overflow.is_some()
            || self.memory_stage >= NO_QOS_0 && connection.is_blocked
            || !self.fits(connection, count as usize, whole.as_slice().len())
        {
            return self.deliver_one_by_one(to, run, subscription_ids, slow_reader);
        }
        self.count_drop(Drop::Unframed, unframed);
        self.count_drop(Drop::TooLarge, too_large);
        if count == 0 {
            return;
        }
        let connection = &mut self.connections[to.0 as usize];
        if connection.is_joined() {
            connection.make_room_in_array(whole.as_slice().len(), &mut self.pool);
            connection.outbox.note_objects(count);
        }
        match whole {
            Whole::Copy(bytes) => connection.open_rope().copy(bytes, count, &mut self.pool),
            Whole::Link(bytes) => connection.open_rope().link(bytes, count),
        }
        self.stats().messages_out.add(count.into());
        self.stats().payload_out.add(payload_bytes as u64);
        self.mark_dirty(to);
        self.relieve(to);
    }

    fn deliver_one_by_one(
        &mut self,
        to: ConnectionKey,
        run: &mut RunForms<'_>,
        subscription_ids: &[u32],
        slow_reader: Option<SlowReader>,
    ) {
        let (mut sent, mut sent_bytes, mut full, mut too_large, mut short) = (0, 0, 0, 0, 0);
        let mut unframed = 0;
        let wire = run.wire;
        for (place, publish) in messages(wire).enumerate() {
            let connection = &self.connections[to.0 as usize];
            if self.memory_stage >= NO_QOS_0 && connection.is_blocked {
                short += 1;
                continue;
            }
            if connection.overflow.is_some() || !self.fits(connection, 1, publish.payload.len()) {
                if self.policy(to, slow_reader, publish.topic) == SlowReader::DropNewest
                    && !self.fits(&self.connections[to.0 as usize], 1, publish.payload.len())
                {
                    full += 1;
                } else if let Some(message) = run.messages().get(place) {
                    self.deliver_late(to, message, &of_a_run(subscription_ids, slow_reader));
                }
                continue;
            }
            if matches!(connection.form, Form::Framed(_)) {
                match self.put_frame(to, publish.payload) {
                    Ok(()) => {
                        sent += 1;
                        sent_bytes += publish.payload.len() as u64;
                    }
                    Err(Drop::TooLarge) => too_large += 1,
                    Err(_) => unframed += 1,
                }
                self.relieve(to);
                continue;
            }
            let connection = &mut self.connections[to.0 as usize];
            let is_sent = match &connection.form {
                Form::Mqtt(_) => send_mqtt(connection, &publish, subscription_ids, &mut self.pool),
                Form::JsonShaped(shape) if shape.is_binary && !is_text(publish.payload) => {
                    self.text.clear();
                    encode_binary_header(&view(&publish), None, &mut self.text);
                    match self.text.len() <= BINARY_HEADER_BYTES_MAX {
                        true => {
                            let pool = &mut self.pool;
                            write_binary(connection, &self.text, publish.payload, 1, pool, |_| false);
                        }
                        false => {
                            self.text.clear();
                            encode(&publish, &mut self.text);
                            let json = Json { text: &self.text, deflated: None, acknowledgement: None };
                            write_json(connection, json, None, &mut self.pool, &mut self.deflate);
                        }
                    }
                    true
                }
                _ => {
                    self.text.clear();
                    encode(&publish, &mut self.text);
                    let fits = !connection.is_udp() || self.text.len() <= DATAGRAM_BYTES_MAX;
                    if fits {
                        let json = Json { text: &self.text, deflated: None, acknowledgement: None };
                        write_json(connection, json, None, &mut self.pool, &mut self.deflate);
                    }
                    fits
                }
            };
            self.relieve(to);
            sent += u64::from(is_sent);
            sent_bytes += if is_sent { publish.payload.len() as u64 } else { 0 };
            too_large += u64::from(!is_sent);
        }
        self.stats().messages_out.add(sent);
        self.stats().payload_out.add(sent_bytes);
        self.count_drop(Drop::OutboxFull, full);
        self.count_drop(Drop::TooLarge, too_large);
        self.count_drop(Drop::Memory, short);
        self.count_drop(Drop::Unframed, unframed);
        self.mark_dirty(to);
    }
}

fn of_a_run(subscription_ids: &[u32], slow_reader: Option<SlowReader>) -> Delivery<'_> {
    Delivery {
        qos: QoS::AtMostOnce,
        retain: false,
        dup: false,
        packet_id: 0,
        subscription_ids,
        waits_for: 0,
        slow_reader,
        place: None,
    }
}

fn send_mqtt(
    connection: &mut Connection,
    publish: &Publish<'_>,
    subscription_ids: &[u32],
    pool: &mut crate::outbox::Pool,
) -> bool {
    let Form::Mqtt(form) = &mut connection.form else { return false };
    let mut publish = *publish;
    publish.subscription_ids = SubscriptionIds::from(subscription_ids);
    let (version, packet_bytes_max) = (form.version, connection.packet_bytes_max as usize);
    let topic = publish.topic;
    if let Some((number, with_topic)) = form.alias(topic) {
        publish.topic_alias = Some(number);
        publish.topic = if with_topic { topic } else { "" };
        if with_topic && publish.encoded_len(version) > packet_bytes_max {
            // It is longer by what introduces the alias, which can wait for a shorter message.
            form.forget_newest_alias(topic);
            publish.topic_alias = None;
        }
    }
    // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
    if publish.encoded_len(version) > packet_bytes_max {
        return false;
    }
    connection.open_rope().append(1, pool, |out| {
        publish.encode(version, out);
    });
    true
}

fn at_most_once(topic: Topic, payload: &[u8]) -> Message {
    Message {
        topic,
        payload: Payload::copy_from_slice(payload),
        qos: QoS::AtMostOnce,
        retain: false,
        expires_at: None,
        properties: None,
    }
}

enum Whole<'a> {
    Copy(&'a [u8]),
    Link(Bytes),
}

impl<'a> Whole<'a> {
    fn of(links: bool, bytes: &'a Bytes) -> Whole<'a> {
        if links { Whole::Link(bytes.clone()) } else { Whole::Copy(bytes) }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Whole::Copy(bytes) => bytes,
            Whole::Link(bytes) => bytes,
        }
    }
}

impl ShardLoop {
    /// Publishes a message at QoS 0 with nothing else to it. `packet` is its PUBLISH packet as MQTT 3.1.1 has it, where
    /// it came as that; the topic is valid. Returns why it is not published, if it is not.
    pub(super) fn publish_plain(
        &mut self,
        publisher: Option<SessionKey>,
        topic: &str,
        payload: &[u8],
        packet: Option<&[u8]>,
    ) -> Option<Refusal> {
        if !self.run.continues(topic, publisher) && !self.begin_run(publisher, topic) {
            return self.publish_alone(publisher, topic, payload);
        }
        match packet {
            Some(packet) => self.run.push_packet(packet),
            None => self.run.push_payload(payload),
        }
        None
    }

    /// Starts a run, unless the topic is one whose messages have to go one by one.
    fn begin_run(&mut self, publisher: Option<SessionKey>, topic: &str) -> bool {
        self.finish_run();
        if self.hub.is_special(topic) {
            return false;
        }
        let mut groups = std::mem::take(&mut self.groups);
        let shards = self.hub.elsewhere(topic, &mut groups);
        let is_shared = !groups.is_empty();
        groups.clear();
        self.groups = groups;
        if is_shared {
            // Its members take turns from message to message.
            return false;
        }
        self.run_shards = shards;
        self.hub.audience(topic, publisher, &mut self.run_audience);
        self.run.begin(topic, publisher);
        true
    }

    fn publish_alone(
        &mut self,
        publisher: Option<SessionKey>,
        topic: &str,
        payload: &[u8],
    ) -> Option<Refusal> {
        let levels_max = self.net.context.limits.topic_levels_max;
        let topic = Topic::new(topic, levels_max).ok()?;
        self.publish(publisher, &Arc::new(at_most_once(topic, payload))).refused
    }

    /// Delivers the run, if there is one: before anything that its receivers must not see first.
    pub(super) fn finish_run(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let mut run = std::mem::take(&mut self.run);
        let shared = (!self.run_shards.is_empty()).then(|| run.share());
        for shard in self.run_shards.iter() {
            self.net.mail[shard].extend(shared.clone().map(Mail::Run));
        }
        self.net.stats().payload_in.add(run.size.payload_bytes as u64);
        let receivers = self.run_audience.receivers().len();
        let mut forms = RunForms::new(run.wire(), shared, run.size, receivers);
        self.deliver_forms(&mut forms);
        run.clear();
        self.run = run;
    }

    /// Delivers a run that another shard sent.
    pub(super) fn deliver_foreign_run(&mut self, wire: Bytes) {
        self.finish_run();
        let Some(first) = messages(&wire).next() else { return };
        self.hub.audience(first.topic, None, &mut self.run_audience);
        let size = Size::of(&wire, first.topic.len());
        let receivers = self.run_audience.receivers().len();
        self.deliver_forms(&mut RunForms::new(&wire, Some(wire.clone()), size, receivers));
    }

    fn deliver_forms(&mut self, forms: &mut RunForms<'_>) {
        for receiver in self.run_audience.receivers() {
            if let Some(to) = self.hub.connection(receiver.session) {
                let ids = self.run_audience.subscription_ids(receiver);
                self.net.deliver_run(to, forms, ids, receiver.slow_reader);
            }
        }
    }
}
