//! Heartbeats of JSON clients: `heartbeat_s` of `hello`. The hub says that it is there when it has said nothing else for so
//! long, and lets go of who says nothing for two and a half times that.

use crate::shard::ShardLoop;
use trefoil_hub::{ConnectionKey, Time};
use trefoil_json::{Code, RequestError, encode_ping};
use trefoil_websocket::CloseCode;

/// How often the hub says that it is there.
pub(super) struct Heartbeat {
    every_s: u32,
    /// When to look whether it has to.
    at: Time,
}

impl Heartbeat {
    pub(super) fn every_s(&self) -> u32 {
        self.every_s
    }

    pub(super) fn at(&self) -> Time {
        self.at
    }
}

impl ShardLoop {
    /// A client wants to hear something that often from now on.
    pub(super) fn json_set_heartbeat(&mut self, key: ConnectionKey, every_s: Option<u32>) {
        let Some(every_s) = every_s else { return };
        let now = self.net.now;
        let Some(connection) = self.net.get_mut(key) else { return };
        let own = connection.json_own();
        own.sent_at = now;
        own.heartbeat = Some(Heartbeat { every_s, at: now.plus_s(every_s.into()) });
        self.set_silence(key, every_s.saturating_mul(2500));
    }

    /// The time has come to look whether anything has been sent lately.
    pub(in crate::shard) fn json_heartbeat_due(&mut self, key: ConnectionKey) {
        let now = self.net.now;
        let own = self.net.get_mut(key).and_then(|connection| connection.json.as_mut());
        let Some(own) = own else { return };
        let sent_at = own.sent_at;
        let Some(heartbeat) = own.heartbeat.as_mut().filter(|heartbeat| heartbeat.at <= now) else { return };
        let every_s = heartbeat.every_s.into();
        let is_silent = sent_at.plus_s(every_s) <= now;
        heartbeat.at = if is_silent { now } else { sent_at }.plus_s(every_s);
        if is_silent {
            self.net.waits_for = 0;
            self.net.put_json(key, |out| encode_ping("null", out));
        }
    }

    /// Whether a client that has been silent for too long is one that the hub has asked to say something; then it is told
    /// why it is let go of.
    pub(in crate::shard) fn json_is_silent(&mut self, key: ConnectionKey) -> bool {
        let own = self.net.get(key).and_then(|connection| connection.json.as_ref());
        if own.is_none_or(|own| own.heartbeat.is_none()) {
            return false;
        }
        let why = "nothing came for two and a half heartbeats";
        self.net.waits_for = 0;
        self.net.put_json(key, |out| RequestError::new(Code::Timeout, why).encode(out));
        self.say_close(key, CloseCode::POLICY_VIOLATION, why);
        self.flush(key);
        self.close(key);
        true
    }
}
