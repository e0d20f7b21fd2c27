//! What outlives a connection on the client's side.

use crate::protocol::KeptMqtt;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// What an MQTT client keeps from one connection to the next, as the hub keeps the other half: the messages of QoS 1
/// and 2 that it has sent and that are not acknowledged, and which messages of QoS 2 it has taken and the hub may send
/// again. Without it a message of QoS 2 may come or go twice when a connection breaks in the middle of it.
///
/// A program that connects anew hands the same one to every connection, by
/// [`Options::session`](crate::Options::session). [`Receipt`](crate::Receipt)s of messages that were on their way then
/// outlive the connection and resolve in a later one; they fail when the hub has not kept its half.
///
/// Clones are the same session. One connection at a time has it: the next one waits until the last has ended.
#[derive(Clone, Debug, Default)]
pub struct Session {
    kept: Arc<Mutex<KeptMqtt>>,
}

impl Session {
    /// A session in which nothing has happened.
    pub fn new() -> Session {
        Session::default()
    }

    /// Takes it for one connection, for as long as that lasts.
    pub(crate) async fn take(&self) -> OwnedMutexGuard<KeptMqtt> {
        self.kept.clone().lock_owned().await
    }

    #[cfg(test)]
    pub(crate) fn take_now(&self) -> OwnedMutexGuard<KeptMqtt> {
        self.kept.clone().try_lock_owned().expect("no other connection of the test has it")
    }
}
