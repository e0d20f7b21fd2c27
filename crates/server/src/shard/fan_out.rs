//! A run to its receivers: one copy or one link each.

use super::ShardLoop;
use super::connection::{Connection, Form, Phase};
use super::forms::{Frames, RunForms, Whole, at_most_once, encode_text, view, whole};
use super::json::write::{JOINED_BYTES_MAX, write_binary};
use super::net::{DATAGRAM_BYTES_MAX, Json, Net, write_json};
use super::run::{Size, messages};
use crate::mail::Mail;
use crate::memory::NO_QOS_0;
use crate::stats::Drop;
use bytes::Bytes;
use std::sync::Arc;
use trefoil_hub::{ConnectionKey, Delivery, Outlet, Refusal, SessionKey, SlowReader, Topic};
use trefoil_json::{BINARY_HEADER_BYTES_MAX, encode_binary_header, is_text};
use trefoil_mqtt::{Publish, QoS, SubscriptionIds, Version};

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
        let size = run.size;
        let (bits, pool) = (connection.deflate.window_bits, &mut self.deflate);
        // What is put into a window that is kept is so for one connection, message by message or tick by tick.
        let keeps_context = connection.deflate.keeps_context();
        let mut is_framed = false;
        let (mut count, mut payload_bytes) = (size.count, size.payload_bytes);
        let (mut unframed, mut too_large) = (0, 0);
        let whole = match &connection.form {
            Form::None => return,
            // An empty list of properties takes one byte more, and more than one where the length grows for it.
            Form::Mqtt(form)
                if form.version != Version::V5
                    || subscription_ids.is_empty()
                        && form.aliases.is_none()
                        && size.packet_bytes + 2 <= connection.packet_bytes_max as usize =>
            {
                is_framed = connection.is_mqtt_in_websocket()
                    && connection.held.is_none()
                    && !keeps_context
                    && run.frames_packets(bits, connection.outbox.is_empty(), pool);
                match (is_framed, form.version) {
                    (false, Version::V5) => run.v5(),
                    (false, _) => run.v3(),
                    (true, Version::V5) => run.frames(Frames::PacketsV5, bits, pool),
                    (true, _) => run.frames(Frames::PacketsV3, bits, pool),
                }
            }
            Form::JsonText if !keeps_context => run.frames(Frames::Texts, bits, pool),
            Form::JsonLine => run.line(),
            Form::Sse(_) => run.sse(),
            Form::JsonShaped(shape) if shape.is_joined => {
                // One text of all is not to be long, and a binary frame cannot stand in it.
                if shape.is_binary && !run.is_text() || run.objects().len() > JOINED_BYTES_MAX {
                    return self.deliver_one_by_one(to, run, subscription_ids, slow_reader);
                }
                run.objects()
            }
            Form::JsonShaped(_) if !keeps_context => run.frames(Frames::Mixed, bits, pool),
            Form::Framed(profile) if !profile.is_udp => {
                let links = run.links;
                let frames = run.framed(profile);
                (count, payload_bytes) = (frames.count, frames.payload_bytes);
                (unframed, too_large) = (frames.unframed, frames.too_large);
                whole(links, &frames.bytes)
            }
            Form::MqttSn(_) => {
                let delivery = of_a_run(subscription_ids, slow_reader);
                for message in run.messages() {
                    self.deliver(to, message, &delivery);
                }
                return;
            }
            Form::Mqtt(_) | Form::JsonDatagram | Form::JsonText | Form::JsonShaped(_) | Form::Framed(_) => {
                return self.deliver_one_by_one(to, run, subscription_ids, slow_reader);
            }
        };
        if connection.overflow.is_some()
            || self.memory_stage >= NO_QOS_0 && connection.is_blocked
            || !self.fits(connection, size.count as usize, whole.len())
        {
            return self.deliver_one_by_one(to, run, subscription_ids, slow_reader);
        }
        // Of frames only: everybody else gets all of it.
        if count < size.count {
            self.count_drop(Drop::Unframed, unframed);
            self.count_drop(Drop::TooLarge, too_large);
            if count == 0 {
                return;
            }
        }
        let connection = &mut self.connections[to.0 as usize];
        if connection.is_joined() {
            connection.make_room_in_array(whole.len(), &mut self.pool);
            connection.outbox.note_objects(size.count);
        }
        if is_framed {
            Net::frame_packets(connection, &mut self.deflate, &mut self.pool);
        }
        match whole {
            Whole::Copy(bytes) => connection.open_rope().copy(bytes, count, &mut self.pool),
            Whole::Link(bytes) => connection.open_rope().link(bytes, count),
        }
        if is_framed {
            connection.outbox.mark_framed();
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
                            encode_text(&publish, &mut self.text);
                            let json = Json { text: &self.text, deflated: None, acknowledgement: None };
                            write_json(connection, json, None, &mut self.pool, &mut self.deflate);
                        }
                    }
                    true
                }
                _ => {
                    self.text.clear();
                    encode_text(&publish, &mut self.text);
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
