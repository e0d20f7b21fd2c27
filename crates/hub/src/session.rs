//! What is kept for a client id: it may outlive the connection (MQTT 5.0 §4.1).

use crate::backlog::Backlog;
use crate::group::{Group, Load};
use crate::history::follower::Follower;
use crate::key::ConnectionKey;
use crate::message::Message;
use crate::outgoing::Outgoing;
use crate::presence::ClientKind;
use crate::slow_reader::SlowReader;
use crate::subscriptions::Filters;
use crate::time::Time;
use crate::topic::Topic;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

/// A message to publish when the connection ends without a goodbye (MQTT 5.0 §3.1.2.5).
#[derive(Clone, Debug)]
pub struct Will {
    /// What to publish; when it expires is counted from its publication.
    pub message: Message,
    /// Its message expiry interval in seconds.
    pub expiry_s: Option<u32>,
    /// Seconds to wait for the client to come back first.
    pub delay_s: u32,
}

/// Where a session's client is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) key: ConnectionKey,
    /// Tells the connection from all others of the shard, those before it with the same key included.
    pub(crate) tag: NonZeroU32,
}

/// One session. What few sessions have is boxed, since a hub may have a million that only wait.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: Arc<str>,
    /// Tells this session from others that had the same key before it.
    pub(crate) serial: u32,
    /// By what it is written down; 0 if it is not.
    pub(crate) number: u64,
    /// It is kept with its subscriptions and what waits for it; else, if it has a number, only its will is.
    pub(crate) is_kept: bool,
    pub(crate) link: Option<Link>,
    pub(crate) kind: ClientKind,
    /// How long it outlasts its connection, in seconds; `u32::MAX` is for ever.
    pub(crate) expiry_s: u32,
    /// Most deliveries in flight: what the client takes, but not more than the hub's own limit.
    pub(crate) window_max: u16,
    /// When its client went, in milliseconds on the clock of [`Time`], where it may have been before that began.
    pub(crate) left_ms: i64,
    /// What happens when its queue is full and nobody says anything more exact.
    pub(crate) slow_reader: SlowReader,
    pub(crate) filters: Filters,
    pub(crate) outgoing: Option<Box<Outgoing>>,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What most sessions do not have.
#[derive(Default, Debug)]
pub(crate) struct Rare {
    /// Who the client proved to be; nobody else gets the session.
    pub(crate) identity: Option<Arc<str>>,
    pub(crate) will: Option<Will>,
    /// When the will is published, while the client is away.
    pub(crate) will_at: Option<Time>,
    /// When the session ends, while the client is away.
    pub(crate) ends_at: Option<Time>,
    /// The timer that is set for either of them: however often the client comes and goes, there is one.
    pub(crate) timer_at: Option<Time>,
    /// Its shared subscriptions by `NAME/FILTER`, and what these go by.
    pub(crate) shares: HashMap<Box<str>, Arc<Group>, RandomState>,
    pub(crate) load: Option<Arc<Load>>,
    /// Filters that it holds exclusively.
    pub(crate) exclusives: HashSet<Box<str>, RandomState>,
    /// How far it has been given the histories of topics, if it follows them.
    pub(crate) follower: Option<Box<Follower>>,
    /// Of a client that speaks JSON, and whose session outlasts its connections: by which it is taken up from another
    /// address.
    pub(crate) token: Option<[u8; 16]>,
    /// Where the answers to the client's requests go, as long as its connection lasts.
    pub(crate) replies: Option<Topic>,
    /// The user name, where a rule asks for it.
    pub(crate) user_name: Option<Box<str>>,
    /// What the client says of itself, as JSON.
    pub(crate) info: Option<Arc<str>>,
    /// Packet ids of QoS 2 messages that came in and whose PUBREL has not [MQTT-4.3.3-10].
    pub(crate) incoming: HashSet<u16, RandomState>,
}

impl Session {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn outgoing(&mut self, backlog: &Arc<Backlog>) -> &mut Outgoing {
        self.outgoing.get_or_insert_with(|| Box::new(Outgoing::new(backlog)))
    }

    /// Where the client is reached, while it is here.
    pub(crate) fn connection(&self) -> Option<ConnectionKey> {
        self.link.map(|link| link.key)
    }

    pub(crate) fn window(&self) -> usize {
        usize::from(self.window_max)
    }

    pub(crate) fn subscription_count(&self) -> usize {
        self.filters.len() + self.rare.as_ref().map_or(0, |r| r.shares.len())
    }

    /// Who the client proved to be.
    pub(crate) fn identity(&self) -> Option<&Arc<str>> {
        self.rare.as_ref()?.identity.as_ref()
    }

    /// Whether the client has been away for as long as the session was to outlast its connection.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.rare.as_ref().and_then(|rare| rare.ends_at).is_some_and(|at| at <= now)
    }

    /// When there is something to be done while the client is away.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let rare = self.rare.as_ref()?;
        rare.will_at.into_iter().chain(rare.ends_at).min()
    }

    /// Gives memory back that the session no longer needs: all of it when the client is away, and what only a lookup
    /// of retained messages took when it is there, but not what its next delivery takes again.
    pub(crate) fn slim(&mut self) {
        let is_away = self.link.is_none();
        if self.outgoing.as_ref().is_some_and(|o| o.is_empty() && (is_away || o.was_never_used())) {
            self.outgoing = None;
        }
    }
}
