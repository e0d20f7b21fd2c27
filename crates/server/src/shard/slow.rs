//! Readers that do not keep up: what becomes of deliveries at QoS 0 that find the outbox full, and of the connection.

use super::ShardLoop;
use super::connection::{Form, Phase};
use super::net::Net;
use super::overflow::{Bounds, Late};
use crate::memory::NO_QOS_0;
use crate::stats::{Drop, Kind};
use std::sync::Arc;
use trefoil_hub::{ConnectionKey, Delivered, Delivery, Message, Outlet, QoS, SlowReader};
use trefoil_json::{Code, RequestError};
use trefoil_mqtt::ReasonCode;
use trefoil_websocket::CloseCode;

/// How long it may take to read what is in its outbox, with the goodbye behind it.
const GOODBYE_S: u64 = 10;

const WHY: &str = "the client does not read as fast as messages come, and is set to be disconnected then";

impl Net {
    /// What happens to messages on `topic` that find no room in a connection's outbox.
    pub(super) fn policy(&self, to: ConnectionKey, wish: Option<SlowReader>, topic: &str) -> SlowReader {
        let context = &self.context;
        let listener = self.get(to).map(|connection| usize::from(connection.listener));
        let preset = listener.map_or(SlowReader::default(), |number| context.listeners[number].slow_reader);
        SlowReader::of(wish, topic, &context.hub.limits.slow_readers, preset)
    }

    /// Does with a delivery at QoS 0 as the policy says: there is no room in the outbox, or others wait already.
    pub(super) fn deliver_late(
        &mut self,
        to: ConnectionKey,
        message: &Arc<Message>,
        delivery: &Delivery<'_>,
    ) -> Delivered {
        let policy = self.policy(to, delivery.slow_reader, &message.topic);
        let Some(connection) = self.get(to) else { return Delivered::Dropped };
        let is_open = connection.phase == Phase::Open;
        if self.memory_stage >= NO_QOS_0 && connection.is_blocked {
            self.count_drop(Drop::Memory, 1);
            return Delivered::Dropped;
        }
        match policy {
            SlowReader::DropOldest | SlowReader::LatestPerTopic
                if is_open
                    && (connection.overflow.is_some()
                        || !self.fits(connection, 1, message.payload.len())) =>
            {
                let limits = &self.context.limits;
                let bounds = Bounds {
                    messages_max: limits.overflow_messages_max,
                    bytes_max: limits.overflow_bytes_max,
                };
                let late = Late {
                    message: message.clone(),
                    retain: delivery.retain,
                    subscription_ids: delivery.subscription_ids.into(),
                };
                let Some(connection) = self.get_mut(to) else { return Delivered::Dropped };
                let lost = connection.overflow.get_or_insert_default().push(late, policy, bounds);
                self.replaced += lost.replaced;
                self.count_drop(Drop::OutboxFull, lost.full);
                Delivered::Sent
            }
            // Only others wait, for whom another policy holds, or memory is short and this one keeps up.
            _ if is_open && self.fits(connection, 1, message.payload.len()) => {
                self.deliver_now(to, message, delivery)
            }
            _ => {
                if policy == SlowReader::Disconnect {
                    self.disconnect(to);
                }
                self.count_drop(Drop::OutboxFull, 1);
                Delivered::Dropped
            }
        }
    }

    /// Sends what has waited for room in an outbox, as far as there is some. A quarter is left for QoS 1 and 2.
    fn catch_up(&mut self, to: ConnectionKey) {
        let limits = &self.context.limits;
        let (messages_high, bytes_high) =
            (limits.outbox_messages_max - limits.outbox_messages_max / 4, limits.outbox_bytes_max / 4 * 3);
        loop {
            let Some(connection) = self.connections.get_mut(to.0 as usize) else { return };
            let Some(overflow) = &connection.overflow else { return };
            let Some(bytes) = overflow.next_bytes().filter(|_| connection.phase == Phase::Open) else {
                connection.overflow = None;
                return;
            };
            let (waiting_bytes, waiting_messages) = connection.waiting();
            let has_room = connection.has_sent_all()
                || waiting_messages < messages_high && waiting_bytes + bytes <= bytes_high;
            if !has_room {
                return;
            }
            let Some(late) = connection.overflow.as_mut().and_then(|overflow| overflow.pop()) else { return };
            if late.message.is_expired(self.now) {
                self.expired += 1;
                continue;
            }
            let delivery = Delivery {
                qos: QoS::AtMostOnce,
                retain: late.retain,
                dup: false,
                packet_id: 0,
                subscription_ids: &late.subscription_ids,
                waits_for: 0,
                slow_reader: None,
                place: None,
            };
            self.deliver_now(to, &late.message, &delivery);
        }
    }
}

impl ShardLoop {
    /// What a connection's listener says of messages for which there is no room.
    pub(super) fn slow_reader(&self, key: ConnectionKey) -> SlowReader {
        let listener = self.net.get(key).map(|connection| usize::from(connection.listener));
        listener.map_or(SlowReader::default(), |number| self.net.context.listeners[number].slow_reader)
    }

    /// An outbox has become half empty: what has waited for that comes next.
    pub(super) fn refill(&mut self, key: ConnectionKey) {
        self.net.catch_up(key);
    }

    /// Ends the connections of which a policy says that they are to end.
    pub(super) fn end_slow(&mut self) {
        for (key, serial) in std::mem::take(&mut self.net.too_slow) {
            let Some(connection) = self.net.get(key).filter(|c| c.serial == serial) else { continue };
            if connection.phase != Phase::Open {
                continue;
            }
            self.net.stats().slow_disconnects.add(1);
            self.net.waits_for = 0;
            let Some(connection) = self.net.get_mut(key) else { continue };
            connection.overflow = None;
            match (&connection.form, connection.kind) {
                (Form::Mqtt(_), _) => self.mqtt_fail(key, ReasonCode::QuotaExceeded, WHY),
                (Form::MqttSn(_) | Form::None, _) | (_, Kind::JsonUdp) => self.lose(key),
                (Form::Framed(_), _) => self.framed_end(key, "too_slow"),
                (Form::Sse(_), _) => self.close(key),
                _ => {
                    self.json_answer(key, |out| RequestError::new(Code::Quota, WHY).encode(out));
                    self.say_close(key, CloseCode::POLICY_VIOLATION, WHY);
                    self.close(key);
                }
            }
            // Who is slow needs longer than others to get to the goodbye.
            if self.net.get(key).is_some_and(|c| c.serial == serial && c.phase == Phase::Closing) {
                self.set_deadline(key, Some(self.net.now.plus_s(GOODBYE_S)));
            }
        }
    }
}
