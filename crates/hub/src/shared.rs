//! What all shards of a process share.

use crate::backlog::Backlog;
use crate::delayed::Waiting;
use crate::exclusive::Exclusive;
use crate::extensions::Extensions;
use crate::group::Strategy;
use crate::history::{History, HistoryOptions};
use crate::interest::{Interest, SHARDS_MAX};
use crate::journal::Keeping;
use crate::presence::{Presence, PresenceOptions};
use crate::retained::{Quota, Retained};
use crate::slow_reader::SlowReader;
use crate::topic::HUB_TOPICS;
use foldhash::quality::FixedState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bounds of the hub, each named with its unit.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Levels of a topic or filter.
    pub topic_levels_max: usize,
    /// Subscriptions of one session.
    pub subscriptions_per_session_max: usize,
    /// Deliveries above QoS 0 that a session may have in flight.
    pub inflight_max: u16,
    /// Messages that wait in a session.
    pub session_queue_messages_max: usize,
    /// Bytes that wait in a session.
    pub session_queue_bytes_max: usize,
    /// Messages that wait in all sessions together; 0 for no such bound. Shards that queue at the same moment may go
    /// beyond it by one each.
    pub queued_messages_max: usize,
    /// Bytes that wait in all sessions together; 0 for no such bound.
    pub queued_bytes_max: usize,
    /// Whether the bytes of what is in flight are counted: see [`Shared::in_flight`].
    pub weighs_in_flight: bool,
    /// What happens to messages that find no room, by topic; the first filter that matches counts.
    pub slow_readers: Vec<(String, SlowReader)>,
    /// Seconds that a session may outlast its connection.
    pub session_expiry_s_max: u32,
    /// Retained messages.
    pub retained_messages_max: usize,
    /// Bytes of retained messages.
    pub retained_bytes_max: usize,
    /// Retained messages below filters.
    pub retained_quotas: Vec<Quota>,
    /// How members of shared subscriptions are chosen.
    pub share_strategy: Strategy,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            topic_levels_max: 128,
            subscriptions_per_session_max: 100_000,
            inflight_max: 1000,
            session_queue_messages_max: 10_000,
            session_queue_bytes_max: 16 << 20,
            queued_messages_max: 0,
            queued_bytes_max: 0,
            weighs_in_flight: false,
            slow_readers: Vec::new(),
            session_expiry_s_max: 7 * 24 * 3600,
            retained_messages_max: 2_000_000,
            retained_bytes_max: 1 << 30,
            retained_quotas: Vec::new(),
            share_strategy: Strategy::default(),
        }
    }
}

/// What all shards of a process share: who wants what, the retained messages, and the limits.
#[derive(Debug)]
pub struct Shared {
    /// Which shards want a topic.
    pub interest: Interest,
    /// The retained messages.
    pub retained: Retained,
    /// The histories of topics.
    pub history: History,
    /// Who is on which topic.
    pub presence: Presence,
    /// The limits.
    pub limits: Limits,
    /// What goes beyond the protocols.
    pub extensions: Extensions,
    /// The retained messages of the hub itself, which no limit of clients' messages is for.
    own_retained: Retained,
    pub(crate) delayed: Waiting,
    pub(crate) exclusive: Exclusive,
    /// What is kept for the next start; none: nothing is.
    pub(crate) keeping: Option<Keeping>,
    /// Whether what has to be kept can be.
    keeps: AtomicBool,
    /// Whether what makes less of it can be written down: it can when the disk is only full.
    clears: AtomicBool,
    /// The next number for what is written down.
    pub(crate) numbers: AtomicU64,
    /// The highest number of a message that each shard has handed over to be written.
    pub(crate) handed: Box<[AtomicU64]>,
    /// What the sessions of each shard have yet to bring to their clients.
    pub(crate) backlogs: Box<[Arc<Backlog>]>,
    /// How often a shard has been through with a checkpoint.
    checkpoints: AtomicU64,
    shards: usize,
    seed: u64,
}

impl Shared {
    /// For `shards` shards (1 to [`SHARDS_MAX`]). `seed` is a random number, so that no stranger can choose topics or
    /// client ids that collide.
    ///
    /// # Panics
    /// When there are no shards or too many.
    pub fn new(shards: usize, seed: u64, limits: Limits) -> Shared {
        assert!((1..=SHARDS_MAX).contains(&shards), "a hub has 1 to {SHARDS_MAX} shards, not {shards}");
        let retained = Retained::new(limits.retained_messages_max, limits.retained_bytes_max)
            .with_quotas(&limits.retained_quotas);
        let backlog = || Arc::new(Backlog::new(limits.weighs_in_flight));
        let backlogs = (0..shards).map(|_| backlog()).collect();
        Shared {
            interest: Interest::new(seed, limits.share_strategy),
            retained,
            history: History::new(HistoryOptions::default()),
            presence: Presence::default(),
            limits,
            extensions: Extensions::default(),
            own_retained: Retained::new(usize::MAX, usize::MAX),
            delayed: Waiting::default(),
            exclusive: Exclusive::default(),
            keeping: None,
            keeps: AtomicBool::new(true),
            clears: AtomicBool::new(true),
            numbers: AtomicU64::new(1),
            handed: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            backlogs,
            checkpoints: AtomicU64::new(0),
            shards,
            seed,
        }
    }

    /// The same with extensions.
    #[must_use]
    pub fn with_extensions(self, extensions: Extensions) -> Shared {
        Shared { extensions, ..self }
    }

    /// The same with histories of topics.
    #[must_use]
    pub fn with_history(self, options: HistoryOptions) -> Shared {
        Shared { history: History::new(options), ..self }
    }

    /// The same with other bounds of presence.
    #[must_use]
    pub fn with_presence(self, options: PresenceOptions) -> Shared {
        Shared { presence: Presence::new(options), ..self }
    }

    /// The same for a hub whose shards [write down](crate::Batch) what is to outlive it. `next_number` is beyond all
    /// numbers of earlier starts: see [`Image::next_number`](crate::Image::next_number).
    #[must_use]
    pub fn with_keeping(self, keeping: Keeping, next_number: u64) -> Shared {
        // What has an earlier number stands in the journal already.
        let next = next_number.max(1);
        let handed = self.handed.iter().map(|_| AtomicU64::new(next - 1)).collect();
        Shared { keeping: Some(keeping), numbers: AtomicU64::new(next), handed, ..self }
    }

    /// Says whether what has to be kept can be: while it cannot, messages that would have to are refused.
    pub fn set_keeps(&self, keeps: bool) {
        self.keeps.store(keeps, Ordering::Relaxed);
    }

    /// Says whether what is kept can be made less: while it can, retained messages are cleared, whatever
    /// [`set_keeps`](Self::set_keeps) was told.
    pub fn set_clears(&self, clears: bool) {
        self.clears.store(clears, Ordering::Relaxed);
    }

    /// Whether what is kept can be made less.
    pub(crate) fn clears(&self) -> bool {
        self.clears.load(Ordering::Relaxed)
    }

    /// Whether what is written down comes to disk. If not, it does once the disk works again, and nothing may wait for
    /// that which can be refused.
    pub(crate) fn writes(&self) -> bool {
        self.keeps() || self.clears()
    }

    /// Whether what has to be kept can be.
    pub fn keeps(&self) -> bool {
        self.keeps.load(Ordering::Relaxed)
    }

    /// Beyond all numbers that have been given out so far: the boundary of a checkpoint that begins now.
    pub fn next_number(&self) -> u64 {
        self.numbers.load(Ordering::SeqCst)
    }

    /// How many checkpoints all shards are through with.
    pub(crate) fn checkpoints_done(&self) -> u64 {
        self.checkpoints.load(Ordering::Acquire) / self.shards as u64
    }

    pub(crate) fn checkpoint_done(&self) {
        self.checkpoints.fetch_add(1, Ordering::AcqRel);
    }

    /// Where the retained messages are of the topics, or of the filters, that begin with this level. Those of the hub
    /// stand by themselves: nobody else publishes there, and no filter matches both them and others.
    pub(crate) fn retained_below(&self, level: &str) -> &Retained {
        if HUB_TOPICS.strip_suffix('/') == Some(level) { &self.own_retained } else { &self.retained }
    }

    /// How many delayed messages wait, and their bytes.
    pub fn delayed_size(&self) -> (usize, usize) {
        self.delayed.size()
    }

    /// How much waits in all sessions together: messages and bytes.
    pub fn queued(&self) -> (usize, usize) {
        let each = self.backlogs.iter().map(|backlog| backlog.queued());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Whether so much more may not wait in all sessions together.
    pub(crate) fn is_full(&self, messages: usize, bytes: usize) -> bool {
        let (messages_max, bytes_max) = (self.limits.queued_messages_max, self.limits.queued_bytes_max);
        if messages_max == 0 && bytes_max == 0 {
            return false;
        }
        let (all_messages, all_bytes) = self.queued();
        messages_max > 0 && all_messages + messages > messages_max
            || bytes_max > 0 && all_bytes + bytes > bytes_max
    }

    /// How much has been sent by all sessions together and not been acknowledged: messages, and their bytes where the limits
    /// ask for them to be counted.
    pub fn in_flight(&self) -> (usize, usize) {
        let each = self.backlogs.iter().map(|backlog| (backlog.in_flight(), backlog.in_flight_bytes()));
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// How many exclusive subscriptions are held.
    pub fn exclusive_count(&self) -> usize {
        self.exclusive.len()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The shard that owns the session of a client id.
    pub fn shard_of(&self, client_id: &str) -> usize {
        (FixedState::with_seed(self.seed).hash_one(client_id) % self.shards as u64) as usize
    }

    /// The random number that it was made with.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}
