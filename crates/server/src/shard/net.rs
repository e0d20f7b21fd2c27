//! The connections of a shard, and the way out of its hub into their outboxes.

use super::connection::{Connection, Form, Link, Phase, Unacknowledged};
use super::deflate;
use super::encode::{Encoded, Encodings, Extra, json, plain};
use super::presence::Asked;
use crate::context::Context;
use crate::mail::Mail;
use crate::memory::NO_QOS_0;
use crate::outbox::{LINK_BYTES_MIN, Outbox, Pool};
use crate::stats::{Drop, Kind, Stats};
use slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;
use trefoil_hub::{
    ConnectionKey, Delivered, Delivery, Message, Outlet, Parcel, Place, PresenceAnswer, PresenceNews,
    PresenceQuestion, QoS, Time, Topic,
};
use trefoil_json::BINARY_HEADER_BYTES_MAX;
use trefoil_mqtt::Version;
use trefoil_websocket::Opcode;

/// What one datagram can carry over IPv4.
pub(super) const DATAGRAM_BYTES_MAX: usize = 65_507;

/// What an acknowledged delivery adds to a message's JSON text at most: `,"qos":1,"id":65535,"dup":true`.
const JSON_TAIL_BYTES: usize = 32;

/// What the shard sends with.
pub(super) struct Net {
    pub(super) number: usize,
    pub(super) context: Arc<Context>,
    pub(super) connections: Slab<Connection>,
    /// Those whose outboxes have something to be flushed at the end of the tick.
    pub(super) dirty: Vec<ConnectionKey>,
    /// Mail for the other shards, by number, posted at the end of the tick.
    pub(super) mail: Vec<Vec<Mail>>,
    /// UDP peers with a delivery to be sent again if it is not acknowledged, for which a timer has to be set.
    pub(super) untimed: Vec<ConnectionKey>,
    /// Connections that have been answered to the last of their requests.
    pub(super) answered: Vec<ConnectionKey>,
    /// Connections with their serials, to be ended since they do not keep up.
    pub(super) too_slow: Vec<(ConnectionKey, u32)>,
    /// There is a limit on memory.
    pub(super) is_limited: bool,
    /// What is done without since memory is short: see [`crate::memory`].
    pub(super) memory_stage: u8,
    /// Bytes that wait for all connections; counted only if there is a limit on memory.
    pub(super) outbox_bytes: usize,
    /// How many that were when somebody last looked how much memory is taken.
    pub(super) outbox_bytes_seen: usize,
    /// If there is such a limit: how many messages have been left in `mail`, and how many other shards may have to deliver at
    /// a time.
    pub(super) forwarded: usize,
    pub(super) forwarded_max: usize,
    /// If there is such a limit: an outbox with so many bytes is written before the tick ends.
    pub(super) early_bytes: usize,
    /// Deliveries dropped while they waited for room in an outbox: since newer ones came, and since they had expired. The
    /// sessions have counts of their own.
    pub(super) replaced: u64,
    pub(super) expired: u64,
    pub(super) pool: Pool,
    pub(super) encodings: Encodings,
    pub(super) deflate: deflate::Pool,
    /// Batches of the shard up to this one are on disk.
    pub(super) durable: u64,
    /// Answers to what is being dealt with have to wait for this batch; 0 for none.
    pub(super) waits_for: u64,
    /// Something waits for a batch, which so has to be on disk soon.
    pub(super) is_awaited: bool,
    /// Connections that have something held, in the order of the batches that it waits for.
    pub(super) holding: VecDeque<(u64, ConnectionKey, u32)>,
    /// The time of this tick.
    pub(super) now: Time,
    /// Kept for its memory.
    pub(super) text: Vec<u8>,
    /// Questions who is on a topic.
    pub(super) asked: Asked,
}

impl Net {
    pub(super) fn stats(&self) -> &Stats {
        &self.context.stats[self.number]
    }

    pub(super) fn get(&self, key: ConnectionKey) -> Option<&Connection> {
        self.connections.get(key.0 as usize)
    }

    pub(super) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.connections.get_mut(key.0 as usize)
    }

    /// Appends an answer of the protocol, which has no bound of its own: each is caused by something that was read, and
    /// nothing more is read from who does not read (see `ShardLoop::reads`). To an MQTT client it is one packet; where
    /// that is longer than the client takes nothing is sent, and the answer is false [MQTT-3.1.2-24].
    /// No window of deliveries stands in its way [MQTT-3.3.4-10].
    pub(super) fn answer(&mut self, key: ConnectionKey, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(connection) = self.connections.get_mut(key.0 as usize) else { return true };
        let (packet_bytes_max, is_udp) = (connection.packet_bytes_max, connection.is_udp());
        let (rope, batch) = connection.rope(self.waits_for, self.durable);
        if packet_bytes_max < u32::MAX {
            let mut packet = Vec::new();
            write(&mut packet);
            if packet.len() > packet_bytes_max as usize {
                self.note_held(key, batch);
                return false;
            }
            rope.copy(&packet, 0, &mut self.pool);
        } else {
            rope.append(0, &mut self.pool, write);
        }
        if is_udp {
            rope.seal();
        }
        let is_http = matches!(connection.kind, Kind::New | Kind::Http | Kind::EchoWebSocket);
        let is_of_protocol = !is_http && !matches!(connection.form, Form::Sse(_));
        self.note_held(key, batch);
        // What HTTP says is none of any protocol's messages.
        if is_of_protocol {
            self.stats().answers.add(1);
        }
        self.mark_dirty(key);
        true
    }

    /// Remembers that a connection waits for a batch, if it does.
    pub(super) fn note_held(&mut self, key: ConnectionKey, batch: u64) {
        if batch == 0 {
            return;
        }
        self.is_awaited = true;
        let Some(serial) = self.get(key).map(|connection| connection.serial) else { return };
        let entry = (batch, key, serial);
        if self.holding.back() != Some(&entry) {
            self.holding.push_back(entry);
        }
    }

    /// Appends a WebSocket frame that must not stand in another one.
    pub(super) fn answer_frame(&mut self, key: ConnectionKey, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.connections.get_mut(key.0 as usize) else { return };
        if connection.is_mqtt_in_websocket() {
            Net::frame_packets(connection, &mut self.deflate, &mut self.pool);
        } else if connection.is_joined() {
            connection.join(&mut self.pool);
        }
        connection.outbox.append(0, &mut self.pool, write);
        connection.outbox.mark_framed();
        self.mark_dirty(key);
    }

    pub(super) fn mark_dirty(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0 as usize) else { return };
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(key);
        }
    }

    pub(super) fn count_drop(&self, why: Drop, deliveries: u64) {
        self.stats().dropped[why as usize].add(deliveries);
    }

    /// Whether one more message of `bytes` fits into an outbox.
    pub(super) fn fits(&self, connection: &Connection, messages: usize, bytes: usize) -> bool {
        let limits = &self.context.limits;
        let (waiting_bytes, waiting_messages) = connection.waiting();
        // The first message always fits, or one above the bound could never be delivered.
        connection.has_sent_all()
            || waiting_messages + messages <= limits.outbox_messages_max
                && waiting_bytes + bytes <= limits.outbox_bytes_max
    }

    fn send_mqtt(
        &mut self,
        to: ConnectionKey,
        message: &Arc<Message>,
        delivery: &Delivery<'_>,
    ) -> Result<(), Drop> {
        let connection = &mut self.connections[to.0 as usize];
        let packet_bytes_max = connection.packet_bytes_max as usize;
        let Form::Mqtt(form) = &mut connection.form else { return Err(Drop::TooLarge) };
        let version = form.version;
        let acknowledged = delivery.qos > QoS::AtMostOnce;
        let is_plain = version != Version::V5
            || delivery.subscription_ids.is_empty() && message.expires_at.is_none() && form.aliases.is_none();
        if is_plain && message.payload.len() < LINK_BYTES_MIN && self.encodings.is_first(message) {
            let mut publish = plain(message, delivery.qos);
            (publish.dup, publish.retain, publish.packet_id) =
                (delivery.dup, delivery.retain, delivery.packet_id);
            if connection.packet_bytes_max < u32::MAX && publish.encoded_len(version) > packet_bytes_max {
                // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
                return Err(Drop::TooLarge);
            }
            let (rope, batch) = rope_for(connection, delivery, self.durable);
            rope.append(1, &mut self.pool, |out| {
                publish.encode(version, out);
            });
            self.note_held(to, batch);
            return Ok(());
        }
        let own;
        let encoded = if is_plain {
            self.encodings.is_first(message);
            self.encodings.mqtt(message, version, acknowledged)
        } else {
            let (subscription_ids, now) = (delivery.subscription_ids, self.now);
            let encode = |alias| {
                let extra = Extra { subscription_ids, alias, now };
                Encoded::new(message, version, delivery.qos, Some(&extra))
            };
            let alias = form.alias(&message.topic);
            let with_alias = encode(alias);
            own = if with_alias.packet_bytes > packet_bytes_max && alias.is_some_and(|(_, is_new)| is_new) {
                // It is longer by what introduces the alias, which can wait for a shorter message.
                form.forget_newest_alias(&message.topic);
                encode(None)
            } else {
                with_alias
            };
            &own
        };
        if encoded.packet_bytes > packet_bytes_max {
            return Err(Drop::TooLarge);
        }
        let (rope, batch) = rope_for(connection, delivery, self.durable);
        rope.append(1, &mut self.pool, |out| encoded.write_head(delivery, out));
        if let (true, Some(payload)) = (encoded.links_payload, message.payload.shared()) {
            rope.link(payload.clone(), 0);
        }
        self.note_held(to, batch);
        Ok(())
    }

    fn send_json(
        &mut self,
        to: ConnectionKey,
        message: &Arc<Message>,
        delivery: &Delivery<'_>,
    ) -> Result<(), Drop> {
        let acknowledgement = (delivery.qos > QoS::AtMostOnce).then(|| trefoil_json::Delivery {
            qos: 1,
            id: delivery.packet_id.into(),
            dup: delivery.dup,
        });
        if matches!(&self.connections[to.0 as usize].form, Form::JsonShaped(shape) if shape.is_binary)
            && self.send_json_binary(to, message, delivery, acknowledgement)
        {
            return Ok(());
        }
        let own;
        let connection = &self.connections[to.0 as usize];
        // What is joined with others is not compressed, and what is put into a window that is kept is so for that alone.
        let is_shared = !connection.deflate.keeps_context() && !connection.is_joined();
        let window_bits = if is_shared { connection.deflate.window_bits } else { 0 };
        let (text, deflated) = if delivery.retain {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            json(message, true, None, self.now, &mut text);
            own = text;
            (own.as_slice(), None)
        } else {
            own = Vec::new();
            self.encodings.json(message, delivery.place, self.now, (window_bits, &mut self.deflate))
        };
        let connection = &mut self.connections[to.0 as usize];
        let fits = !connection.is_udp() || text.len() + JSON_TAIL_BYTES <= DATAGRAM_BYTES_MAX;
        if fits {
            let place = delivery.place.map(|place| (&message.topic, place));
            let json = Json { text, deflated, acknowledgement };
            write_json(connection, json, place, &mut self.pool, &mut self.deflate);
        }
        if let (Link::Udp(peer), true, true) = (&mut connection.link, fits, delivery.packet_id > 0) {
            let mut datagram = Vec::new();
            // As it is if it is sent again.
            let again = acknowledgement.map(|delivery| trefoil_json::Delivery { dup: true, ..delivery });
            close_json(text, again, &mut datagram);
            let resend_at = self.now.plus_s(self.context.limits.udp_resend_s.into());
            let packet_id = delivery.packet_id;
            peer.unacknowledged.push_back(Unacknowledged {
                packet_id,
                datagram: datagram.into(),
                resend_at,
                resends: 0,
            });
            self.untimed.push(to);
        }
        if delivery.retain {
            self.text = own;
        }
        if fits { Ok(()) } else { Err(Drop::TooLarge) }
    }

    /// Sends a message in a binary frame, if that is what it comes in: its payload is not UTF-8, and all else fits into the
    /// header.
    fn send_json_binary(
        &mut self,
        to: ConnectionKey,
        message: &Arc<Message>,
        delivery: &Delivery<'_>,
        acknowledgement: Option<trefoil_json::Delivery>,
    ) -> bool {
        let place = delivery.place.filter(|_| !delivery.retain);
        let shared = self.encodings.json_header(message, delivery.retain, place, self.now);
        let Some(shared) = shared.filter(|h| h.len() + JSON_TAIL_BYTES <= BINARY_HEADER_BYTES_MAX) else {
            return false;
        };
        let mut header = std::mem::take(&mut self.text);
        header.clear();
        close_json(shared, acknowledgement, &mut header);
        self.put_binary(to, &header, message, 1);
        self.text = header;
        true
    }

    /// Puts a delivery into an outbox that has room for it.
    pub(super) fn deliver_now(
        &mut self,
        to: ConnectionKey,
        message: &Arc<Message>,
        delivery: &Delivery<'_>,
    ) -> Delivered {
        let Some(connection) = self.get(to) else { return Delivered::Dropped };
        let sent = match &connection.form {
            Form::None => return Delivered::Dropped,
            Form::Mqtt(_) => self.send_mqtt(to, message, delivery),
            Form::MqttSn(_) => self.send_mqtt_sn(to, message, delivery),
            Form::Framed(_) => self.send_framed(to, message),
            _ => self.send_json(to, message, delivery),
        };
        match sent {
            Ok(()) => {
                self.stats().messages_out.add(1);
                self.stats().payload_out.add(message.payload.len() as u64);
                self.mark_dirty(to);
                self.relieve(to);
                Delivered::Sent
            }
            Err(why) => {
                self.count_drop(why, 1);
                Delivered::Dropped
            }
        }
    }
}

impl Outlet for Net {
    fn has_room(&mut self, to: ConnectionKey, once_bytes: Option<usize>) -> bool {
        let Some(connection) = self.get(to) else { return false };
        let is_ready = match &connection.form {
            Form::MqttSn(client) => client.has_room(),
            Form::Mqtt(_) => true,
            // What waits in a session comes behind the answer to its hello.
            _ => !connection.holds_all,
        };
        // At QoS 0 it would go behind what waits for the outbox, or be dropped while memory is short.
        let is_late = connection.overflow.is_some() || self.memory_stage >= NO_QOS_0 && connection.is_blocked;
        let has_room = is_ready
            && connection.phase == Phase::Open
            && !(is_late && once_bytes.is_some())
            && self.fits(connection, 1, once_bytes.unwrap_or(1).max(1));
        if !has_room && let Some(connection) = self.get_mut(to) {
            connection.is_starved = true;
        }
        has_room
    }

    fn deliver(&mut self, to: ConnectionKey, message: &Arc<Message>, delivery: &Delivery<'_>) -> Delivered {
        let Some(connection) = self.get(to) else { return Delivered::Dropped };
        if connection.json.is_some()
            && let Some(delivered) = self.take_answer(to, message)
        {
            return delivered;
        }
        let Some(connection) = self.get(to) else { return Delivered::Dropped };
        // Above QoS 0, and for what is followed, the hub has asked for room before.
        if delivery.qos == QoS::AtMostOnce
            && delivery.place.is_none()
            && (connection.phase != Phase::Open
                || connection.overflow.is_some()
                || self.memory_stage >= NO_QOS_0
                || !self.fits(connection, 1, message.payload.len()))
        {
            return self.deliver_late(to, message, delivery);
        }
        self.deliver_now(to, message, delivery)
    }

    fn tell_gap(&mut self, to: ConnectionKey, topic: &str, next: Option<Place>) {
        self.say_gap(to, topic, next);
    }

    fn tell_presence(
        &mut self,
        to: &[ConnectionKey],
        name: &str,
        news: &PresenceNews<'_>,
    ) -> Vec<ConnectionKey> {
        self.say_presence(to, name, news)
    }

    fn answer_presence(&mut self, question: &PresenceQuestion, answer: &PresenceAnswer) {
        self.reply_presence(question, answer);
    }

    fn disconnect(&mut self, to: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(to.0 as usize) else { return };
        if connection.phase == Phase::Open && !std::mem::replace(&mut connection.is_too_slow, true) {
            self.too_slow.push((to, connection.serial));
        }
    }

    fn release(&mut self, to: ConnectionKey, packet_id: u16, waits_for: u64) {
        if self.get(to).is_some_and(|connection| matches!(connection.form, Form::MqttSn(_))) {
            return self.release_mqtt_sn(to, packet_id, waits_for);
        }
        let [high, low] = packet_id.to_be_bytes();
        let before = std::mem::replace(&mut self.waits_for, waits_for);
        self.answer(to, |out| out.extend_from_slice(&[0x62, 2, high, low]));
        self.waits_for = before;
    }

    fn forward(&mut self, shard: usize, parcel: Parcel) {
        let mail = Mail::Parcel(parcel);
        self.forwarded += usize::from(self.is_limited && mail.is_message());
        self.mail[shard].push(mail);
    }
}

/// Where a delivery goes. Above QoS 0 it does not overtake what waits for the disk.
fn rope_for<'a>(
    connection: &'a mut Connection,
    delivery: &Delivery<'_>,
    durable: u64,
) -> (&'a mut Outbox, u64) {
    match delivery.qos {
        QoS::AtMostOnce => (connection.open_rope(), 0),
        _ => connection.rope(delivery.waits_for, durable),
    }
}

/// A message as JSON text.
pub(super) struct Json<'a> {
    pub(super) text: &'a [u8],
    /// All of it but its last byte, compressed for the connection.
    pub(super) deflated: Option<&'a [u8]>,
    pub(super) acknowledgement: Option<trefoil_json::Delivery>,
}

/// Appends a message's JSON text to an outbox in the connection's form.
pub(super) fn write_json(
    connection: &mut Connection,
    json: Json<'_>,
    place: Option<(&Topic, Place)>,
    pool: &mut Pool,
    compressors: &mut deflate::Pool,
) {
    let Json { text, deflated, acknowledgement } = json;
    if matches!(&connection.form, Form::JsonShaped(shape) if shape.is_joined) {
        let bytes_max = text.len() + JSON_TAIL_BYTES;
        return connection.push_object(1, bytes_max, pool, |out| close_json(text, acknowledgement, out));
    }
    let Connection { form, outbox, deflate, .. } = connection;
    outbox.append(1, pool, |out| {
        let start = out.len();
        match form {
            // The head's length depends on the text's.
            Form::JsonText | Form::JsonShaped(_) if acknowledgement.is_some() || deflated.is_some() => {
                let at = if deflated.is_some() { text.len() - 1 } else { 0 };
                let mut body = Vec::with_capacity(text.len() - at + JSON_TAIL_BYTES);
                close_json(&text[at..], acknowledgement, &mut body);
                match deflated {
                    Some(deflated) => deflate::Pool::frame_joined(deflated, &body, out),
                    None => compressors.frame(deflate, Opcode::Text, &body, out),
                }
            }
            Form::JsonText | Form::JsonShaped(_) => compressors.frame(deflate, Opcode::Text, text, out),
            Form::Sse(trail) => {
                if let (Some(trail), Some((topic, place))) = (trail, place) {
                    trail.sent(topic, place);
                    out.extend_from_slice(b"id: ");
                    trail.write(out);
                    out.push(b'\n');
                }
                out.extend_from_slice(b"data: ");
                close_json(text, acknowledgement, out);
                out.extend_from_slice(b"\n\n");
            }
            Form::JsonLine => {
                close_json(text, acknowledgement, out);
                out.push(b'\n');
            }
            Form::JsonDatagram | Form::None | Form::Mqtt(_) | Form::MqttSn(_) | Form::Framed(_) => {
                close_json(text, acknowledgement, out)
            }
        }
        debug_assert!(out.len() > start);
    });
    if connection.is_udp() {
        connection.outbox.seal();
    }
}

fn close_json(text: &[u8], acknowledgement: Option<trefoil_json::Delivery>, out: &mut Vec<u8>) {
    match acknowledgement {
        None => out.extend_from_slice(text),
        Some(delivery) => {
            out.extend_from_slice(&text[..text.len() - 1]);
            delivery.encode_tail(out);
        }
    }
}
