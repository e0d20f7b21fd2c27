//! Presence: who is on a topic now. That are the connected clients, of whatever kind, with a subscription to exactly this
//! topic; filters with wildcards and shared subscriptions do not count.
//!
//! It costs nothing where nobody asks. Whoever does has a [`View`](view) in its own shard, which asks every shard for the
//! topic's [`Roll`](roll): a shard makes one when it is first asked, answers with all who are there, and from then on
//! tells of each who comes or goes. Shards reach each other by [`Letter`]s, whose order is kept from each shard to each
//! other; so a view is what the rolls together are, a moment ago, and list and events have no gap between them.
//!
//! With more clients than may be listed a view knows how many there are and no more. A client id belongs to one shard, so
//! that nobody stands on two rolls.

pub(crate) mod roll;
pub(crate) mod view;

use crate::key::ConnectionKey;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What kind of client is on a topic. MQTT is that over whatever carries it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ClientKind {
    /// MQTT 3.1, 3.1.1 or 5.0, over TCP, TLS or WebSocket.
    #[default]
    Mqtt,
    /// JSON over WebSocket.
    WebSocket,
    /// JSON lines.
    Tcp,
    /// JSON datagrams.
    Udp,
    /// MQTT-SN.
    MqttSn,
    /// Frames over TCP, UDP or a Unix socket.
    Raw,
    /// A stream of server-sent events.
    Sse,
    /// JSON by plain HTTP requests.
    Poll,
}

impl ClientKind {
    /// Its name in what clients are told.
    pub fn name(self) -> &'static str {
        match self {
            ClientKind::Mqtt => "mqtt",
            ClientKind::WebSocket => "websocket",
            ClientKind::Tcp => "tcp",
            ClientKind::Udp => "udp",
            ClientKind::MqttSn => "mqtt_sn",
            ClientKind::Raw => "raw",
            ClientKind::Sse => "sse",
            ClientKind::Poll => "poll",
        }
    }
}

/// Tells a connection from all others of this hub since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionName {
    /// The shard.
    pub shard: usize,
    /// What the shard calls it.
    pub tag: u32,
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.shard, self.tag)
    }
}

/// A client that is on a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresentClient {
    /// Its client id.
    pub client_id: Arc<str>,
    /// Its connection.
    pub connection: ConnectionName,
    /// What it is.
    pub kind: ClientKind,
    /// Who it proved to be.
    pub user: Option<Arc<str>>,
    /// What it says of itself, as JSON.
    pub info: Option<Arc<str>>,
}

/// Something that those are told who watch a topic.
#[derive(Clone, Copy, Debug)]
pub enum PresenceNews<'a> {
    /// Who is there. What was said before does not count any more.
    List(&'a [&'a PresentClient]),
    /// Too many are there to be listed: this many. What was said of single ones before does not count any more.
    Count(usize),
    /// Somebody has come; how many are there now.
    Came(&'a PresentClient, usize),
    /// A client with this connection has gone; how many are there now.
    Went(&'a str, ConnectionName, usize),
}

/// A question who is on a topic.
#[derive(Clone, Debug)]
pub struct PresenceQuestion {
    /// What the asker calls the topic.
    pub topic: Arc<str>,
    /// Who asks.
    pub asker: PresenceAsker,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresenceAsker {
    /// A client of the shard.
    Client {
        /// Where it is reached.
        connection: ConnectionKey,
        /// What it wants to know the answer by.
        id: Option<u64>,
    },
    /// Somebody else, who is known to the outlet by this number.
    Outside(u64),
}

/// The answer to a question.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PresenceAnswer {
    /// How many clients are on the topic.
    pub count: usize,
    /// Who they are, as many as may be listed, by client id.
    pub clients: Vec<PresentClient>,
}

impl PresenceAnswer {
    /// Takes in what another shard says, of clients of its own.
    pub fn join(&mut self, other: PresenceAnswer, clients_max: usize) {
        self.count += other.count;
        self.clients.extend(other.clients);
        self.clients.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        self.clients.truncate(clients_max);
    }
}

/// Why somebody may not watch a topic, or ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresenceError {
    /// It is no topic: it has wildcards, or is shared, or a rule makes such a filter of it.
    NotATopic,
    /// The session watches as many topics as it may.
    TooMany {
        /// How many that are.
        max: usize,
    },
    /// As many topics are watched, by all sessions together, as may be.
    TooManyOfAll {
        /// How many that are.
        max: usize,
    },
    /// So many questions of the session have not been answered yet.
    TooManyQuestions {
        /// How many that are.
        max: usize,
    },
}

impl fmt::Display for PresenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PresenceError::NotATopic => {
                f.write_str("presence is of one topic: without wildcards, and not of a shared subscription")
            }
            PresenceError::TooMany { max } => {
                write!(
                    f,
                    "it is known already who is on {max} topics (limits.presence_watched_max); unsubscribe from one"
                )
            }
            PresenceError::TooManyOfAll { max } => {
                write!(
                    f,
                    "the presence of {max} topics is watched already (limits.presence_topics_max); try again later"
                )
            }
            PresenceError::TooManyQuestions { max } => {
                write!(f, "{max} questions have not been answered yet; wait for an answer")
            }
        }
    }
}

impl std::error::Error for PresenceError {}

/// Bounds of presence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PresenceOptions {
    /// Clients that are listed, of one topic; with more of them only their number is told.
    pub clients_max: usize,
    /// Topics that one session may watch.
    pub watched_max: usize,
    /// Topics that may be watched in all shards together; one that is watched in two shards counts twice.
    pub topics_max: usize,
}

impl Default for PresenceOptions {
    fn default() -> Self {
        PresenceOptions { clients_max: 1000, watched_max: 1024, topics_max: 100_000 }
    }
}

impl PresenceOptions {
    /// A topic that had too many clients is listed again when it has fewer than this, so that one which comes and goes
    /// makes no list each time.
    pub(crate) fn clients_low(&self) -> usize {
        self.clients_max / 5 * 4 + self.clients_max % 5 * 4 / 5
    }
}

/// What all shards share of presence.
#[derive(Default, Debug)]
pub struct Presence {
    options: PresenceOptions,
    topics: AtomicUsize,
    watchers: AtomicUsize,
    events: AtomicU64,
    behind: AtomicU64,
    questions: AtomicU64,
    refused: AtomicU64,
}

/// The figures of presence at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PresenceFigures {
    /// Topics that are watched, counted in each shard.
    pub topics: usize,
    /// Topics that sessions watch, added up.
    pub watchers: usize,
    /// Clients that have come and gone on watched topics.
    pub events: u64,
    /// Times that a watcher's outbox was full, so that it has to be told the whole anew.
    pub behind: u64,
    /// Questions that were asked.
    pub questions: u64,
    /// Wishes to watch, and questions, that went beyond a limit.
    pub refused: u64,
}

impl Presence {
    pub(crate) fn new(options: PresenceOptions) -> Presence {
        Presence { options, ..Presence::default() }
    }

    /// The bounds.
    pub fn options(&self) -> &PresenceOptions {
        &self.options
    }

    /// The figures.
    pub fn figures(&self) -> PresenceFigures {
        PresenceFigures {
            topics: self.topics.load(Ordering::Relaxed),
            watchers: self.watchers.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            behind: self.behind.load(Ordering::Relaxed),
            questions: self.questions.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    fn count_behind(&self, watchers: usize) {
        self.behind.fetch_add(watchers as u64, Ordering::Relaxed);
    }

    fn refuse(&self, why: PresenceError) -> PresenceError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        why
    }
}

/// What shards write to each other of presence.
#[derive(Clone, Debug)]
pub struct Letter {
    pub(crate) from: usize,
    pub(crate) word: Word,
}

impl Letter {
    /// Bytes that it counts while it waits.
    pub fn cost_bytes(&self) -> usize {
        const CLIENT_BYTES: usize = 128;
        match &self.word {
            Word::Watch { topic, .. } | Word::Unwatch { topic } => topic.len(),
            Word::Roll { answer, .. } => answer.clients.len() * CLIENT_BYTES,
            Word::Came { .. } => CLIENT_BYTES,
            Word::Went { .. } | Word::Count { .. } => 0,
        }
    }
}

/// How much a shard wants to know of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Who is there, and who comes and goes from then on.
    Lists,
    /// How many are there, from then on.
    Counts,
    /// Who is there, once.
    Once,
}

/// What one shard tells another.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// Tell me of this topic, with this ticket. It takes the place of what the same shard wanted to know before, unless it
    /// is a question.
    Watch { topic: Arc<str>, ticket: u64, mode: Mode },
    /// Tell me nothing more of this topic.
    Unwatch { topic: Arc<str> },
    /// The first answer, or the only one. To who wants to list them it names all clients, or none if they are too many.
    Roll { ticket: u64, answer: PresenceAnswer },
    /// A client has come.
    Came { ticket: u64, client: PresentClient },
    /// A client has gone.
    Went { ticket: u64, client_id: Arc<str>, connection: ConnectionName },
    /// So many are there now.
    Count { ticket: u64, count: usize },
}

/// Letters that wait to be taken to their shards, in order: emptied after each thing that happens.
#[derive(Default, Debug)]
pub(crate) struct Letters {
    own: usize,
    waiting: VecDeque<(usize, Letter)>,
}

impl Letters {
    /// Of the shard with this number.
    pub(crate) fn of(own: usize) -> Letters {
        Letters { own, waiting: VecDeque::new() }
    }

    pub(crate) fn pop(&mut self) -> Option<(usize, Letter)> {
        self.waiting.pop_front()
    }

    fn write(&mut self, to: usize, word: Word) {
        self.waiting.push_back((to, Letter { from: self.own, word }));
    }
}

/// Who watches, and where it is told.
type Watcher = (crate::key::SessionKey, ConnectionKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_listed_again_when_a_fifth_has_gone() {
        let low = |clients_max| PresenceOptions { clients_max, ..PresenceOptions::default() }.clients_low();
        assert_eq!([1000, 7, 5, 1, 0].map(low), [800, 5, 4, 0, 0]);
    }
}
