//! The ways in which a connection ends.

use super::ShardLoop;
use super::channel;
use super::connection::{Form, Input, Link, Phase};
use super::sessions::Dismissal;
use super::websocket::goodbye_input;
use trefoil_hub::{ConnectionKey, Ending};
use trefoil_json::Code;
use trefoil_mqtt::ReasonCode;
use trefoil_websocket::CloseCode;

/// How long the peer may take to read a goodbye and close its side.
pub(super) const LINGER_S: u64 = 2;

/// The same while the hub stops and somebody waits for that.
const STOP_LINGER_S: u64 = 1;

impl ShardLoop {
    /// Ends the session's hold on a connection, or the session.
    pub(super) fn end_session(&mut self, key: ConnectionKey, ending: Ending) {
        self.finish_run();
        self.sn_hold_back(key);
        let Some(connection) = self.net.get_mut(key) else { return };
        if let Some(session) = connection.session.take() {
            self.hub.disconnect(self.net.now, session, ending, &mut self.net);
        }
    }

    /// The network failed, or the peer went without a goodbye.
    pub(super) fn lose(&mut self, key: ConnectionKey) {
        self.end_session(key, Ending::Lost);
        self.remove(key);
    }

    /// The client id of a connection has come again elsewhere, and the hub has taken the session from it already: it is told,
    /// and closed [MQTT-3.1.4-3] [v3 MQTT-3.1.4-2].
    pub(super) fn displace(&mut self, key: ConnectionKey) {
        const WHY: &str = "the client id has connected again elsewhere";
        let Some(connection) = self.net.get_mut(key) else { return };
        connection.session = None;
        match &connection.form {
            Form::MqttSn(_) => self.sn_taken_over(key),
            Form::JsonText | Form::JsonLine | Form::JsonDatagram | Form::JsonShaped(_) => {
                let (code, close) = (Code::Unavailable, CloseCode::POLICY_VIOLATION);
                self.dismiss_client(key, Dismissal { code, close, why: WHY });
            }
            // There are no words to say why.
            Form::Framed(_) => self.close(key),
            Form::Mqtt(_) | Form::Sse(_) | Form::None => {
                self.mqtt_fail(key, ReasonCode::SessionTakenOver, WHY);
            }
        }
    }

    /// Closes a connection once what is in its outbox is sent. The caller has said in the protocol's words why.
    pub(super) fn close(&mut self, key: ConnectionKey) {
        self.end_session(key, Ending::Lost);
        self.finish(key);
    }

    /// As [`close`](Self::close), for a connection whose session has ended already.
    pub(super) fn finish(&mut self, key: ConnectionKey) {
        let deadline_s = match self.net.get(key).map(|connection| &connection.link) {
            None => return,
            Some(Link::Udp(_)) => return self.remove(key),
            // Its goodbye is fetched.
            Some(Link::Channel(_)) if self.stop_at.is_none() => channel::GOODBYE_S,
            Some(Link::Channel(_)) => {
                self.channel_flush(key);
                return self.remove(key);
            }
            Some(Link::Stream(_)) => LINGER_S,
        };
        if self.stream_forget(key) {
            return;
        }
        let deadline = self.net.now.plus_s(deadline_s);
        let Some(connection) = self.net.get_mut(key) else { return };
        if connection.phase == Phase::Open {
            connection.silence_ms_max = 0;
            self.say_close(key, CloseCode::NORMAL, "");
            self.net.mark_dirty(key);
            if let Some(connection) = self.net.connections.get_mut(key.0 as usize) {
                connection.input = goodbye_input(&self.net.context.limits, connection);
                connection.phase = Phase::Closing;
            }
        }
        self.set_deadline(key, Some(deadline));
    }

    /// All is sent. A WebSocket waits for the peer's close frame before anything is closed below it, as long as it waits for
    /// anybody.
    pub(super) fn all_is_sent(&mut self, key: ConnectionKey) {
        let is_stopping = self.stop_at.is_some();
        let linger_s = if is_stopping { STOP_LINGER_S } else { LINGER_S };
        let deadline = self.net.now.plus_s(linger_s);
        let Some(connection) = self.net.get_mut(key) else { return };
        let has_drained = std::mem::take(&mut connection.is_draining);
        if !matches!(connection.input, Input::Goodbye(_)) || connection.is_half_closed {
            return self.linger(key);
        }
        if is_stopping || has_drained {
            self.set_deadline(key, Some(deadline));
        }
    }

    /// Now the peer closes its side, or is given up after a while.
    pub(super) fn linger(&mut self, key: ConnectionKey) {
        let deadline = self.net.now.plus_s(if self.stop_at.is_some() { STOP_LINGER_S } else { LINGER_S });
        let Some(connection) = self.net.get_mut(key) else { return };
        if matches!(connection.link, Link::Channel(_)) {
            connection.phase = Phase::Lingering;
            if self.channel_has_reader(key) {
                // It waits for nothing any more.
                self.remove(key);
            }
            return;
        }
        let Link::Stream(stream) = &mut connection.link else { return };
        connection.phase = Phase::Lingering;
        connection.deadline = Some(deadline);
        if stream.shutdown_write().is_err() || connection.is_half_closed {
            return self.remove(key);
        }
        self.set_timer(key);
    }

    /// Forgets a connection and closes its socket.
    pub(super) fn remove(&mut self, key: ConnectionKey) {
        let Some(mut connection) = self.net.connections.try_remove(key.0 as usize) else { return };
        self.net.outbox_bytes = self.net.outbox_bytes.saturating_sub(connection.counted_bytes);
        debug_assert!(connection.session.is_none(), "a session does not lose its connection unseen");
        self.net.stats().connections[connection.kind as usize].add(1u64.wrapping_neg());
        let listener = usize::from(connection.listener);
        self.dismiss(listener);
        let held = connection.held.take();
        self.stream_gone(key, &mut connection);
        if let Input::ChannelReader(reader) = &connection.input {
            self.channel_forget(reader, key);
        }
        match connection.link {
            // Closing would end it too, but only once nothing else holds the socket.
            Link::Stream(mut stream) => {
                let _ = self.poll.registry().deregister(&mut stream);
            }
            Link::Channel(channel) => self.channel_ended(*channel),
            Link::Udp(peer) => {
                let way = match connection.form {
                    Form::MqttSn(client) => client.way,
                    _ => peer.way,
                };
                if let Some(held) = held {
                    self.keep_last_words(listener, peer.addr, *held);
                }
                self.clear_place(listener, peer.addr, key);
                self.end_way(listener, peer.addr, way);
            }
        }
    }
}
