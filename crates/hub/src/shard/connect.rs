//! What a client says when it comes, and what it comes to.

use crate::extensions::Language;
use crate::key::{ConnectionKey, SessionKey};
use crate::presence::ClientKind;
use crate::session::Will;
use crate::slow_reader::SlowReader;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A client that comes (MQTT 5.0 §3.1).
#[derive(Debug)]
pub struct Connect<'a> {
    /// The name it gives itself, or was given.
    pub client_id: &'a str,
    /// Where it is reached.
    pub connection: ConnectionKey,
    /// Whether an earlier session is to be forgotten.
    pub clean_start: bool,
    /// Seconds that the session is to outlast the connection.
    pub expiry_s: u32,
    /// Deliveries in flight that the client takes (receive maximum).
    pub window_max: u16,
    /// What to publish if it goes without a goodbye.
    pub will: Option<Will>,
    /// The user name, if it gave one.
    pub user_name: Option<&'a str>,
    /// What it speaks, if automatic subscriptions are for it.
    pub language: Option<Language>,
    /// Who it proved to be, if anybody asked. The caller has made sure that no session of
    /// [another](crate::Shard::is_of_another) has this client id.
    pub identity: Option<Arc<str>>,
    /// What happens when its queue is full, unless its subscription or the topic says otherwise. It is kept with the
    /// session, until its client comes again.
    pub slow_reader: SlowReader,
    /// It follows the histories of topics: what it is sent of them carries its place, and nothing of them is dropped.
    pub follows: bool,
    /// What it is, for those who watch who is on a topic.
    pub kind: ClientKind,
    /// By which its session is taken up from another address, if it speaks JSON and the session is to outlast the
    /// connection. With it the session is that of a JSON client, and without it is not any more.
    pub token: Option<[u8; 16]>,
    /// Tells its connection from all others of this shard.
    pub tag: NonZeroU32,
    /// What it says of itself, as JSON.
    pub info: Option<Arc<str>>,
}

impl<'a> Connect<'a> {
    /// A client whose session starts clean and ends with its connection.
    pub fn new(client_id: &'a str, connection: ConnectionKey) -> Connect<'a> {
        Connect {
            client_id,
            connection,
            clean_start: true,
            expiry_s: 0,
            window_max: u16::MAX,
            will: None,
            user_name: None,
            language: None,
            identity: None,
            slow_reader: SlowReader::default(),
            follows: false,
            kind: ClientKind::default(),
            token: None,
            tag: NonZeroU32::MIN,
            info: None,
        }
    }
}

/// What came of a [`Connect`].
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    /// The session.
    pub session: SessionKey,
    /// It was there before [MQTT-3.2.2-3].
    pub present: bool,
    /// The connection that the session had until now; it is to be closed [MQTT-3.1.4-3].
    pub displaced: Option<ConnectionKey>,
    /// Seconds that the session will outlast its connection: what was asked for, within the hub's limit.
    pub expiry_s: u32,
}
