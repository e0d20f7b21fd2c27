//! WebSocket connections that say nothing are pinged (RFC 6455 §5.5.2), so that proxies do not take them for dead, and a
//! peer that is gone is noticed.
//!
//! All that it takes is the time when something last came, and the timer that each connection has in any case.

use super::ShardLoop;
use super::connection::Connection;
use trefoil_hub::ConnectionKey;
use trefoil_websocket::{Opcode, encode_frame};

impl ShardLoop {
    /// From now on the peer is pinged when it is silent, if the limits say so.
    pub(super) fn begin_pings(&mut self, key: ConnectionKey) {
        let every_s = self.net.context.limits.websocket_ping_s;
        if every_s == 0 {
            return;
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.ping_at = Some(connection.alive_at.plus_s(every_s.into()));
            self.set_timer(key);
        }
    }

    /// The time has come to look whether a WebSocket peer is there: it is pinged when it has been silent for
    /// `limits.websocket_ping_s`, and closed when it has been for twice that. Returns whether it has been closed.
    pub(super) fn ping_due(&mut self, key: ConnectionKey) -> bool {
        let (now, every_ms) = (self.net.now, u64::from(self.net.context.limits.websocket_ping_s) * 1000);
        let reads_nothing = self.reads_nothing();
        let Some(connection) = self.net.get_mut(key).filter(|c| c.ping_at.is_some_and(|at| at <= now)) else {
            return false;
        };
        if reads_nothing || is_unread(connection) {
            connection.alive_at = now;
        }
        let silent_ms = now.since(connection.alive_at);
        if silent_ms >= 2 * every_ms {
            tracing::debug!("a WebSocket peer does not answer and is closed");
            // To MQTT it is a network that fails.
            self.lose(key);
            return true;
        }
        let next_ms = if silent_ms >= every_ms { 2 * every_ms } else { every_ms };
        connection.ping_at = Some(connection.alive_at.plus_ms(next_ms));
        if silent_ms >= every_ms {
            self.net.answer_frame(key, |out| encode_frame(Opcode::Ping, b"", out));
        }
        false
    }
}

/// Whether an answer of the peer would not be seen: the hub does not read from it, or it has yet to take what came before
/// the ping. Who does not keep up is for the policy of slow readers.
fn is_unread(connection: &Connection) -> bool {
    connection.is_paused || connection.is_held || connection.is_blocked || connection.waiting.is_some()
}
