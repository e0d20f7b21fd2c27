//! What only some connections have that speak JSON.

use super::ask::Asks;
use super::heartbeat::Heartbeat;
use trefoil_hub::Time;

/// What a connection has said in `hello`, and what it waits for.
#[derive(Default)]
pub(in crate::shard) struct Own {
    /// The client id that it gave itself, or was told that it has, before it had said who it is.
    pub(super) client: Option<Box<str>>,
    /// What it says of itself, as JSON text: for others to see who are on the same topics.
    pub(in crate::shard) info: Option<Box<str>>,
    /// Requests that came in a batch and have to wait, as a batch: for a password to be looked at, or for another shard.
    pub(super) pending: Vec<u8>,
    /// Requests to which somebody is to answer.
    pub(in crate::shard) asks: Option<Box<Asks>>,
    /// It is told of callers of streams.
    pub(in crate::shard) is_listening: bool,
    /// The session outlasts the connection. Whether it was there before.
    pub(super) stay: Option<bool>,
    /// How often the hub is to say that it is there.
    pub(super) heartbeat: Option<Heartbeat>,
    /// When something was last sent.
    pub(in crate::shard) sent_at: Time,
}

impl Own {
    /// When there is something to be done if nothing happens before.
    pub(in crate::shard) fn next_at(&self) -> Option<Time> {
        let asks = self.asks.as_ref().and_then(|asks| asks.next_at());
        asks.into_iter().chain(self.heartbeat.as_ref().map(Heartbeat::at)).min()
    }
}

/// In what shape a connection wants what it is sent, where that is not the plain one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::shard) struct Shape {
    /// It is one of lines, and else a WebSocket.
    pub(in crate::shard) is_lines: bool,
    /// Objects that leave together are joined into one array.
    pub(in crate::shard) is_joined: bool,
    /// Payloads that are not UTF-8 come in binary frames.
    pub(in crate::shard) is_binary: bool,
}
