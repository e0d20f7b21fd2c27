//! What outlives the hub: the store with the thread that writes it, and the checkpoints that keep it small.
//!
//! Each shard hands over what it has written down in a tick; the writer joins what all of them have handed over, syncs
//! once, and tells each shard up to which batch it is on disk, as mail. Only then do the answers leave that wait for it
//! (`ShardLoop::let_out`).

pub(crate) mod report;

use crate::StartError;
use crate::context::Context;
use crate::mail::Mail;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trefoil_config::Config;
use trefoil_hub::{Image, Keeping, Shared};
use trefoil_store::{Figures, Log, Options, State, Watch, Writer, WriterOptions};

/// The least that a record may have, whatever the limit of packets is.
const RECORD_BYTES_MIN: usize = 64 << 20;

/// What stands in a record beside the largest packet.
const RECORD_BYTES_BESIDE: usize = 1 << 20;

/// A checkpoint waits while so much is on its way to the disk.
const WAITING_BYTES_MAX: u64 = 1 << 20;

/// While more than this is on its way to the disk, those whose messages it is are not read from; they are again from half
/// of it on.
const BEHIND_BYTES: u64 = 64 << 20;

/// About what a session takes in the store beside what it has.
const SESSION_BYTES: u64 = 256;

/// About what a subscription takes there.
const SUBSCRIPTION_BYTES: u64 = 64;

/// About what a delivery takes there beside its message.
const DELIVERY_BYTES: u64 = 32;

/// For what is in flight where its bytes are not counted: about what a message takes.
const MESSAGE_BYTES: u64 = 256;

/// Milliseconds since 1970.
pub(crate) fn clock_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// The store, opened and read, before there are shards.
pub(crate) struct Opened {
    log: Log,
    image: Image,
    start_ms: u64,
}

impl Opened {
    /// Opens the store of a configuration; `None` when nothing is to be kept.
    ///
    /// # Errors
    /// What is wrong with the store, and what to do about it.
    pub(crate) fn open(config: &Config) -> Result<Option<Opened>, StartError> {
        let path = &crate::store::absolute(&config.store.path);
        if !config.store.is_on() {
            if trefoil_store::is_there(path) {
                tracing::warn!(
                    "durability is none: the store in {} stays as it is and nothing of it is read; once durability is \
                     another again, its sessions and messages come back as they were then. Remove the folder if they \
                     are not to",
                    path.display()
                );
            }
            return Ok(None);
        }
        let record_bytes_max =
            RECORD_BYTES_MIN.max(config.limits.packet_bytes_max.saturating_add(RECORD_BYTES_BESIDE));
        let options = Options {
            record_bytes_max,
            segment_bytes_max: record_bytes_max as u64 + RECORD_BYTES_BESIDE as u64,
            ..Options::default()
        };
        let start_ms = clock_ms();
        let mut image = Image::new(start_ms);
        let (log, recovery) =
            Log::open_with(path, options, |_, record| image.read(record).map_err(|e| e.to_string()))
                .map_err(|error| match error.is_lasting() {
                    true => StartError::Unusable(error.to_string()),
                    false => StartError::Store(error.to_string()),
                })?;
        if let Some(torn) = recovery.torn {
            tracing::warn!(
                "{} was cut off at byte {}: {} bytes that a crash had left half-written, and that nobody was told of",
                torn.file,
                torn.offset,
                torn.bytes
            );
        }
        let size = image.size();
        if recovery.records > 0 {
            tracing::info!(
                "the store {} holds {} sessions with {} subscriptions and {} messages for them, {} retained and {} \
                 delayed messages",
                path.display(),
                size.sessions,
                size.subscriptions,
                size.deliveries,
                size.retained,
                size.delayed
            );
        }
        Ok(Some(Opened { log, image, start_ms }))
    }

    /// Milliseconds from 1970 to the moment that counts as the start.
    pub(crate) fn start_ms(&self) -> u64 {
        self.start_ms
    }

    /// The seed that the hub has to have.
    pub(crate) fn seed(&self) -> Option<u64> {
        self.image.seed()
    }

    /// What the shards share, and the hub's own shards, as they were left.
    ///
    /// # Errors
    /// When what has changed with that cannot be written.
    pub(crate) fn restore(mut self, config: &Config, shared: Shared) -> Result<crate::Hub, String> {
        let durability = |durability| match durability {
            trefoil_config::Durability::Sync => trefoil_hub::Durability::Sync,
            trefoil_config::Durability::Interval => trefoil_hub::Durability::Interval,
            trefoil_config::Durability::None => trefoil_hub::Durability::None,
        };
        let keeping = Keeping {
            durability: durability(config.store.durability),
            rules: config.store.topics.iter().map(|(filter, d)| (filter.clone(), durability(*d))).collect(),
            start_ms: self.start_ms,
        };
        let shared = Arc::new(shared.with_keeping(keeping, self.image.next_number()));
        let (mut shards, record) = trefoil_hub::restore(self.image, &shared, trefoil_hub::Time::default());
        self.log.append(&record).and_then(|_| self.log.sync()).map_err(|error| error.to_string())?;
        let trimmed = trefoil_hub::trim(&mut shards);
        if trimmed.messages > 0 {
            tracing::warn!(
                "{} messages that waited for {} sessions are dropped, since limits are lower than at the last start \
                 (limits.session_queue_messages_max, session_queue_bytes_max, queued_messages_max, queued_bytes_max)",
                trimmed.messages,
                trimmed.sessions
            );
        }
        Ok((shared, shards, Some(self.log)))
    }
}

/// What the writer and the shards know of each other.
pub(crate) struct Keeper {
    writer: OnceLock<Writer>,
    state: Mutex<State>,
    /// The checkpoint that is being made.
    checkpoint: Mutex<Option<Checkpoint>>,
    /// How many checkpoints were complete when somebody last looked, and how large the store was after the last of them.
    last: Mutex<(u64, u64)>,
    /// By how much the store may exceed twice what is live before a checkpoint makes it smaller.
    slack_bytes: u64,
}

/// A checkpoint that is being made.
struct Checkpoint {
    ticket: u64,
    /// How many shards are not through with it.
    left: usize,
}

impl Keeper {
    /// One without a thread that writes.
    pub(crate) fn new(config: &Config) -> Keeper {
        Keeper {
            writer: OnceLock::new(),
            state: Mutex::default(),
            checkpoint: Mutex::default(),
            last: Mutex::default(),
            slack_bytes: config.store.slack_bytes,
        }
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(context: &Arc<Context>, log: Log, config: &Config) -> std::io::Result<()> {
        let Some(keeper) = &context.keeper else { return Ok(()) };
        let interval = Duration::from_millis(config.store.interval_ms.into());
        let options = WriterOptions { interval, ..WriterOptions::default() };
        let writer = Writer::start(log, options, Listener { context: context.clone() })?;
        let is_first = keeper.writer.set(writer).is_ok();
        debug_assert!(is_first);
        Ok(())
    }

    /// Hands a batch over. With `is_awaited` it is synced at once.
    pub(crate) fn submit(&self, shard: usize, batch: trefoil_hub::Batch, is_awaited: bool) {
        if let Some(writer) = self.writer.get() {
            let trefoil_hub::Batch { number, records } = batch;
            writer.submit(trefoil_store::Batch { source: shard, number, records, sync: is_awaited });
        }
    }

    /// How the writer is.
    pub(crate) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has done so far.
    pub(crate) fn figures(&self) -> Figures {
        self.writer.get().map(Writer::figures).unwrap_or_default()
    }

    /// Whether a checkpoint may go on: not while much else is on its way to the disk, and not while that is full, since
    /// what is left there is for what was accepted before.
    pub(crate) fn has_room(&self) -> bool {
        let is_idle = self.writer.get().is_none_or(|writer| writer.waiting_bytes() < WAITING_BYTES_MAX);
        is_idle && self.state() != State::Full
    }

    /// Whether so much is on its way to the disk that nobody should add to it, if it `was` so before.
    pub(crate) fn is_behind(&self, was: bool) -> bool {
        let limit = if was { BEHIND_BYTES / 2 } else { BEHIND_BYTES };
        self.writer.get().is_some_and(|writer| writer.waiting_bytes() > limit)
    }

    /// Begins a checkpoint if the store has become much larger than what is live.
    pub(crate) fn look_after(&self, context: &Context) {
        if self.state() != State::Working || self.is_making_checkpoint() {
            return;
        }
        let figures = self.figures();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != figures.checkpoints {
            *last = (figures.checkpoints, figures.disk_bytes);
        }
        // What is live is an estimate. Where it is far too low, one checkpoint must not follow the other for nothing.
        let has_grown = figures.disk_bytes > last.1.saturating_add(self.slack_bytes);
        drop(last);
        let live = live_bytes(context);
        if has_grown && figures.disk_bytes > live.saturating_mul(2).saturating_add(self.slack_bytes) {
            self.begin_checkpoint(context);
        }
    }

    /// Whether all that is live is being written anew.
    pub(crate) fn is_making_checkpoint(&self) -> bool {
        self.checkpoint().is_some()
    }

    fn checkpoint(&self) -> MutexGuard<'_, Option<Checkpoint>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all shards to say again all that they keep.
    fn begin_checkpoint(&self, context: &Context) {
        let Some(writer) = self.writer.get() else { return };
        let ticket = writer.checkpoint_begin();
        // Only now: what has a number from here on is handed over behind the beginning of the checkpoint.
        let boundary = context.hub.next_number();
        *self.checkpoint() = Some(Checkpoint { ticket, left: context.mailboxes.len() });
        tracing::debug!(ticket, "a checkpoint of the store begins");
        for mailbox in &context.mailboxes {
            mailbox.post(Mail::Checkpoint { ticket, boundary });
        }
    }

    /// A shard has handed over all that it keeps.
    pub(crate) fn shard_is_through(&self, ticket: u64) {
        let mut checkpoint = self.checkpoint();
        // One that the failure of the disk has made void is nobody's business any more.
        let Some(current) = checkpoint.as_mut().filter(|current| current.ticket == ticket) else { return };
        current.left -= 1;
        let is_through = current.left == 0;
        drop(checkpoint);
        if is_through && let Some(writer) = self.writer.get() {
            writer.checkpoint_end(ticket);
        }
    }

    /// Writes down last how the hub has ended. Where the disk does not take all, it has not ended in order.
    pub(crate) fn close(&self, record: Vec<u8>) {
        if let Some(writer) = self.writer.get()
            && !record.is_empty()
            && self.state() == State::Working
        {
            writer.submit(trefoil_store::Batch {
                source: 0,
                number: u64::MAX,
                records: vec![record],
                sync: true,
            });
        }
    }

    /// Writes what waits, and ends the thread.
    pub(crate) fn stop(&self) {
        if let Some(writer) = self.writer.get() {
            writer.stop();
        }
    }
}

/// About what a checkpoint would write. It is too much where sessions are not kept, and where a message waits for several.
fn live_bytes(context: &Context) -> u64 {
    let total =
        |of: fn(&crate::stats::Stats) -> &crate::stats::Figure| crate::stats::total(&context.stats, of);
    let (queued, queued_bytes) = context.hub.queued();
    let (in_flight, in_flight_bytes) = context.hub.in_flight();
    let in_flight_bytes = match in_flight_bytes {
        0 => in_flight as u64 * MESSAGE_BYTES,
        counted => counted as u64,
    };
    let (_, retained_bytes) = context.hub.retained.size();
    let messages = queued_bytes as u64
        + in_flight_bytes
        + retained_bytes as u64
        + context.hub.delayed_size().1 as u64
        + context.hub.history.figures().bytes as u64;
    messages
        + (queued + in_flight) as u64 * DELIVERY_BYTES
        + total(|s| &s.sessions) * SESSION_BYTES
        + (total(|s| &s.subscriptions) + total(|s| &s.shared_subscriptions)) * SUBSCRIPTION_BYTES
}

/// Takes what the writer tells to the shards.
struct Listener {
    context: Arc<Context>,
}

impl Listener {
    fn keeper(&self) -> Option<&Arc<Keeper>> {
        self.context.keeper.as_ref()
    }
}

impl Watch for Listener {
    fn durable(&self, source: usize, number: u64) {
        self.context.mailboxes[source].post(Mail::Durable(number));
    }

    fn state(&self, state: State) {
        let Some(keeper) = self.keeper() else { return };
        *keeper.state.lock().unwrap_or_else(PoisonError::into_inner) = state.clone();
        self.context.hub.set_keeps(state == State::Working);
        self.context.hub.set_clears(matches!(state, State::Working | State::Full));
        let reason = report::reason(&state).unwrap_or_default();
        match state {
            State::Working => tracing::info!("the store works again: what needs the disk is accepted"),
            State::Full => tracing::error!("{reason}"),
            State::Failed { .. } => {
                tracing::error!("{reason}");
                // A checkpoint that was under way is void.
                *keeper.checkpoint() = None;
                for mailbox in &self.context.mailboxes {
                    mailbox.post(Mail::NotKept);
                }
            }
            State::Healed => {
                tracing::info!("{reason}");
                keeper.begin_checkpoint(&self.context);
            }
        }
    }

    fn checkpoint(&self, ticket: u64, complete: bool) {
        let Some(keeper) = self.keeper() else { return };
        keeper.checkpoint().take_if(|current| current.ticket == ticket);
        tracing::debug!(ticket, complete, "a checkpoint of the store has ended");
        if !complete && keeper.state() == State::Healed {
            keeper.begin_checkpoint(&self.context);
        }
    }
}
