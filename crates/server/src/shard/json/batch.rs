//! Several requests in one frame, line or datagram.

use crate::shard::ShardLoop;
use crate::shard::connection::Phase;
use trefoil_hub::ConnectionKey;
use trefoil_json::{Code, Limits, RequestError, parse_batch};

/// So many requests of a batch in a datagram may be refused; then the rest is not looked at. A refusal is much longer than what
/// it refuses, and whoever sent the datagram may have written somebody else's address on it.
const REFUSALS_MAX: u64 = 4;

impl ShardLoop {
    /// Does what the requests of a batch ask for, one after the other. Where one has to wait, those behind it do so, too.
    pub(in crate::shard) fn json_batch(&mut self, key: ConnectionKey, text: &[u8]) {
        let requests = match parse_batch(text, Limits::default()) {
            Ok(requests) => requests,
            Err(error) => return self.json_refuse(key, &error),
        };
        let is_udp = self.net.get(key).is_some_and(|connection| connection.is_udp());
        let refused_before = self.net.stats().protocol_errors.get();
        for (at, request) in requests.iter().enumerate() {
            if is_udp && self.net.stats().protocol_errors.get() - refused_before >= REFUSALS_MAX {
                let why =
                    format!("{REFUSALS_MAX} requests of this batch were refused; the rest is not looked at");
                return self.json_error(key, &RequestError::new(Code::Overloaded, why));
            }
            self.json_one(key, request.as_bytes());
            // Who moves says hello again where it comes to; who waits for an answer to its password has been heard.
            let behind = match (self.is_leaving.is_some(), self.is_waiting(key)) {
                (true, _) => at,
                (_, true) => at + 1,
                _ if self.net.get(key).is_none_or(|c| c.phase != Phase::Open) => return,
                _ => continue,
            };
            return self.json_put_off(key, &requests[behind..]);
        }
    }

    /// Lets requests wait until [`json_go_on`](Self::json_go_on).
    pub(super) fn json_put_off(&mut self, key: ConnectionKey, requests: &[&str]) {
        let Some(connection) = self.net.get_mut(key) else { return };
        if requests.is_empty() {
            return;
        }
        let own = connection.json_own();
        if own.pending.is_empty() {
            own.pending = format!("[{}]", requests.join(",")).into_bytes();
            return;
        }
        // Only datagrams come while others wait.
        let why = "another batch waits for a password to be looked at; send this one again";
        self.json_error(key, &RequestError::new(Code::Overloaded, why));
    }

    /// Does what has been put off. Returns false if the connection is to move to another shard.
    pub(in crate::shard) fn json_go_on(&mut self, key: ConnectionKey) -> bool {
        let own = self.net.get_mut(key).and_then(|connection| connection.json.as_mut());
        let pending = own.map(|own| std::mem::take(&mut own.pending)).unwrap_or_default();
        if !pending.is_empty() {
            self.json_batch(key, &pending);
        }
        self.is_leaving.is_none()
    }

    /// What waits of a batch, for the shard that the connection moves to.
    pub(in crate::shard) fn json_take_pending(&mut self, key: ConnectionKey) -> Vec<u8> {
        let own = self.net.get_mut(key).and_then(|connection| connection.json.as_mut());
        own.map(|own| std::mem::take(&mut own.pending)).unwrap_or_default()
    }
}
