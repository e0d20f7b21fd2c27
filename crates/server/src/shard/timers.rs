//! What the passing of time does: silent connections, unfinished handshakes, resends, statistics.

use super::ShardLoop;
use super::accept::Listener;
use super::connection::{Form, Input, Link, Phase};
use super::ending::LINGER_S;
use crate::stats::{Drop, Kind};
use crate::sys::Figures;
use trefoil_hub::{ConnectionKey, Message, QoS, Time, Topic};
use trefoil_mqtt::ReasonCode;

/// How often statistics are published to those who subscribed to them.
const STATISTICS_S: u64 = 1;
/// Where.
pub(super) const STATISTICS_TOPIC: &str = "$SYS/trefoil/stats";

/// How often expired retained messages are looked for.
const SWEEP_MS: u64 = 10_000;

/// How many are removed at a time, so that nobody waits for it.
const SWEEP_MESSAGES: usize = 1000;

impl ShardLoop {
    pub(super) fn handle_time(&mut self) {
        let now = self.net.now;
        if self.is_frozen() {
            return self.handle_time_frozen();
        }
        let mut due = Vec::new();
        self.timers.expire(now, &mut due);
        for (key, serial) in due {
            let Some(connection) = self.net.get_mut(key).filter(|c| c.serial == serial) else { continue };
            if connection.timer_at.is_some_and(|at| at <= now) {
                connection.timer_at = None;
            }
            match connection.next_deadline() {
                Some(at) if at <= now => self.is_due(key),
                _ => {}
            }
            self.set_timer(key);
        }
        if self.hub.wait_ms(now) == Some(0) {
            self.finish_run();
            let left_after = self.hub.leaves_after();
            self.hub.handle_time(now, &mut self.net);
            self.net.is_awaited |= self.hub.leaves_after() > left_after;
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.retry();
        }
        if self.statistics_at.is_some_and(|at| at <= now) {
            self.statistics_at = Some(now.plus_s(STATISTICS_S));
            self.publish_statistics();
        }
        if self.sn.advertise_at.is_some_and(|at| at <= now) {
            let advertise_s = self.net.context.gateway.settings.advertise_s;
            self.sn.advertise_at = Some(now.plus_s(advertise_s.into()));
            self.sn_advertise();
        }
        self.room_sweep();
        if self.tree.as_ref().is_some_and(|tree| tree.at <= now) {
            self.publish_tree();
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            let swept = self.hub.shared().retained.sweep(now, SWEEP_MESSAGES);
            let is_all = swept < SWEEP_MESSAGES && !self.hub.sweep_histories(now);
            self.sweep_at = Some(now.plus_ms(if is_all { SWEEP_MS } else { 1 }));
        }
    }

    /// Sets when a connection is closed whatever comes.
    pub(super) fn set_deadline(&mut self, key: ConnectionKey, deadline: Option<Time>) {
        if let Some(connection) = self.net.get_mut(key) {
            connection.deadline = deadline;
            self.set_timer(key);
        }
    }

    /// Sets how long a connection may be silent; 0 is for ever.
    pub(super) fn set_silence(&mut self, key: ConnectionKey, silence_ms_max: u32) {
        if let Some(connection) = self.net.get_mut(key) {
            connection.silence_ms_max = silence_ms_max;
            self.set_timer(key);
        }
    }

    /// Sees to it that there is a timer for the connection's next deadline.
    pub(super) fn set_timer(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.connections.get_mut(key.0 as usize) else { return };
        let Some(at) = connection.next_deadline() else { return };
        if connection.timer_at.is_none_or(|set| at < set) {
            connection.timer_at = Some(at);
            self.timers.set(at, (key, connection.serial));
        }
    }

    fn is_due(&mut self, key: ConnectionKey) {
        let now = self.net.now;
        let Some(connection) = self.net.get_mut(key) else { return };
        if connection.deadline.is_some_and(|at| at <= now) {
            if connection.phase == Phase::Closing && connection.held.is_some() {
                // What it is owed waits for the disk, and not for the peer.
                return self.set_deadline(key, Some(now.plus_s(LINGER_S)));
            }
            if connection.is_draining {
                return self.stream_drains_too_slowly(key);
            }
            return match (connection.phase, &connection.input) {
                (Phase::Open, _) if connection.waiting.is_some() => self.give_up_waiting(key),
                (Phase::Open, _) if matches!(connection.form, Form::Sse(_)) => self.sse_beat(key),
                // Nobody has asked for anything more.
                (Phase::Open, Input::HttpHead)
                    if connection.kind == Kind::Http && connection.rest.is_empty() =>
                {
                    self.finish(key);
                }
                (Phase::Open, Input::HttpHead) => self.http_timeout(key),
                (Phase::Open, Input::StreamWait(_)) => self.stream_wait_due(key),
                (Phase::Open, Input::Stream(_)) => self.stream_idle_due(key),
                (Phase::Open, Input::ChannelBody(_)) => self.channel_body_timeout(key),
                (Phase::Open, Input::ChannelReader(_)) => self.channel_reader_is_due(key),
                (Phase::Open, Input::Framed(_)) => self.framed_timeout(key),
                (Phase::Open, Input::ProxyHeader) => {
                    self.refuse_unproxied(key, "the header of the PROXY protocol did not come in time");
                }
                (Phase::Open, _) if matches!(connection.form, Form::Mqtt(_)) => self.mqtt_fail(
                    key,
                    ReasonCode::NotAuthorized,
                    "the re-authentication did not come to its end in time",
                ),
                _ => self.lose(key),
            };
        }
        if connection.phase == Phase::Open && self.ping_due(key) {
            return;
        }
        let Some(connection) = self.net.get_mut(key) else { return };
        if matches!(connection.form, Form::MqttSn(_)) {
            return self.sn_due(key);
        }
        if connection.json.is_some() {
            self.json_asks_due(key);
            self.json_heartbeat_due(key);
        }
        if self.framed_due(key) {
            return;
        }
        let Some(connection) = self.net.get_mut(key) else { return };
        if connection.is_udp() && self.resend_datagrams(key) {
            return;
        }
        let has_reader = self.channel_has_reader(key);
        let Some(connection) = self.net.get_mut(key) else { return };
        if connection.is_paused || has_reader {
            // It may have said something that nobody reads.
            connection.heard_at = now;
        }
        let silence = u64::from(connection.silence_ms_max);
        if silence > 0 && connection.heard_at.plus_ms(silence) <= now {
            // [MQTT-3.1.2-22] [v3 MQTT-3.1.2-24]
            if matches!(connection.form, Form::Mqtt(_)) {
                let why = "nothing came for one and a half keep-alives";
                self.mqtt_fail(key, ReasonCode::KeepAliveTimeout, why);
            } else if !self.json_is_silent(key) {
                self.lose(key);
            }
        }
    }

    /// Sends again what a UDP peer has not acknowledged in time, and gives up what was sent often enough. Returns
    /// whether anything was due.
    fn resend_datagrams(&mut self, key: ConnectionKey) -> bool {
        let now = self.net.now;
        let limits = &self.net.context.limits;
        let (resend_s, resends_max) = (u64::from(limits.udp_resend_s), limits.udp_resends_max);
        let Some(connection) = self.net.connections.get_mut(key.0 as usize) else { return true };
        let (Link::Udp(peer), Some(session)) = (&mut connection.link, connection.session) else {
            return false;
        };
        // What is given up waits in a session that outlasts this, and comes again when the client does.
        let is_kept = self.hub.expiry_s(session) > 0;
        let mut given_up = Vec::new();
        let mut was_due = false;
        while peer.unacknowledged.front().is_some_and(|u| u.resend_at <= now) {
            was_due = true;
            let Some(mut due) = peer.unacknowledged.pop_front() else { break };
            if due.resends >= resends_max && is_kept {
                self.lose(key);
                return true;
            }
            if due.resends >= resends_max {
                given_up.push(due.packet_id);
                continue;
            }
            due.resends += 1;
            due.resend_at = now.plus_s(resend_s);
            connection.outbox.append(0, &mut self.net.pool, |out| out.extend_from_slice(&due.datagram));
            connection.outbox.seal();
            peer.unacknowledged.push_back(due);
        }
        self.net.mark_dirty(key);
        self.net.count_drop(Drop::Unacknowledged, given_up.len() as u64);
        for packet_id in given_up {
            self.hub.acknowledge(now, session, packet_id, QoS::AtLeastOnce, &mut self.net);
        }
        was_due
    }

    pub(super) fn retry(&mut self) {
        for key in std::mem::take(&mut self.unsent) {
            if let Some(connection) = self.net.get_mut(key) {
                connection.is_blocked = false;
                self.net.mark_dirty(key);
            }
        }
        for number in 0..self.listeners.len() {
            if !matches!(self.listeners[number], Listener::Closed) {
                self.listener_is_ready(number);
            }
        }
    }

    /// Says what has changed below `$SYS/broker`, to be retained, so that who asks later is told at once.
    fn publish_tree(&mut self) {
        let figures = Figures::of(&self.net.context);
        let Some(tree) = &mut self.tree else { return };
        for (topic, text) in tree.update(self.net.now, &figures) {
            let Ok(topic) = Topic::new(&topic, usize::MAX) else { continue };
            self.announce(Message {
                topic,
                payload: text.into_bytes().into(),
                qos: QoS::AtMostOnce,
                retain: true,
                expires_at: None,
                properties: None,
            });
        }
    }

    fn publish_statistics(&mut self) {
        let Ok(topic) = Topic::new(STATISTICS_TOPIC, usize::MAX) else { return };
        let Ok(payload) = serde_json::to_vec(&self.net.context.summary()) else { return };
        let message = Message {
            topic,
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            expires_at: None,
            properties: None,
        };
        self.announce(message);
    }
}
