//! What a round leaves behind for the judge.

use trefoil_model::History;

/// What happened, as the clients saw it.
#[derive(Clone, Default, Debug)]
pub struct Evidence {
    /// At all clients, apart from the members of the shared subscription.
    pub main: History,
    /// At the members of the shared subscription.
    pub group: History,
    /// From which entry of `main` on the shared subscription is there for all that is sent.
    pub group_since: Option<usize>,
    /// Subscriptions of which the hub has acknowledged the end.
    pub removed: Vec<Removed>,
    /// Wills, and what had to become of them.
    pub wills: Vec<Left>,
    /// At which entry of `main` the hub was killed.
    pub kills: Vec<usize>,
    /// Retained messages that were looked at and found to be right.
    pub retained_seen: u64,
    /// When clients connected, in milliseconds since the beginning, before they did so.
    pub visits: Vec<(usize, u64)>,
    /// At the clients of topics that are not synced before they are acknowledged.
    pub weak: Weak,
    /// At those who read topics with a history.
    pub places: Places,
    /// Sessions with an expiry that had to be gone, and were.
    pub sessions_expired: u64,
    /// Sessions with an expiry that had to be there, and were.
    pub sessions_kept: u64,
}

/// What clients saw that are promised less.
#[derive(Clone, Default, Debug)]
pub struct Weak {
    /// Apart from all others.
    pub history: History,
    /// In which life of the hub each entry of the history happened.
    pub lives: Vec<usize>,
    /// How the lives of the hub ended; the last one has not.
    pub ends: Vec<End>,
    /// From which entry on a client had all its subscriptions in a life: client, life, entry.
    pub steady: Vec<(usize, usize, usize)>,
}

impl Weak {
    /// Says in which life of the hub that happened which was written down last.
    pub fn mark(&mut self, life: usize) {
        self.lives.resize(self.history.entries.len(), life);
    }
}

/// What readers of topics with a history saw.
#[derive(Clone, Default, Debug)]
pub struct Places {
    /// All that came.
    pub came: Vec<Placed>,
    /// Who was told of a gap, and where.
    pub gaps: Vec<(usize, String)>,
    /// How often somebody went on behind a place and was told that nothing is missing.
    pub resumed: usize,
}

/// A message with its place.
#[derive(Clone, Debug)]
pub struct Placed {
    /// To whom it came.
    pub reader: usize,
    /// The topic.
    pub topic: String,
    /// Which life of the topic's history.
    pub epoch: String,
    /// Where in it.
    pub offset: u64,
    /// The number of the message.
    pub number: u64,
}

/// How the hub ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// By SIGKILL.
    Killed,
    /// By SIGTERM.
    Stopped,
}

/// A subscription that has ended.
#[derive(Clone, Debug)]
pub struct Removed {
    /// Whose it was.
    pub client: usize,
    /// Its filter.
    pub filter: String,
    /// At which entry of `main` the UNSUBACK came.
    pub at: usize,
}

/// A will that somebody left.
#[derive(Clone, Debug)]
pub struct Left {
    /// The number of its message.
    pub number: u64,
    /// What has to become of it.
    pub fate: Fate,
    /// How it came to that, for people who look for a fault.
    pub story: String,
}

/// What has to become of a will.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It has to be published, once.
    Due,
    /// It must not be published.
    Forbidden,
    /// Nobody can say what the hub knew: once at most.
    Unsure,
}
