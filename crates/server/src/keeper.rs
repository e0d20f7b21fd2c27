//! What outlives the hub: the store with the thread that writes it, and the checkpoints that keep it small.
//!
//! Each shard hands over what it has written down in a tick; the writer joins what all of them have handed over, syncs
//! once, and tells each shard up to which batch it is on disk, as mail. Only then do the answers leave that wait for it
//! (`ShardLoop::let_out`).

mod extent;
mod live;
mod pace;
pub(crate) mod report;

use crate::StartError;
use crate::context::Context;
use crate::mail::Mail;
use extent::{Mark, Marks, Sizes};
use pace::Pace;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trefoil_config::Config;
use trefoil_hub::{Image, Keeping, Shared};
use trefoil_store::{Figures, Log, Options, State, Watch, Writer, WriterOptions};

/// The least that a record may have, whatever the limit of packets is.
const RECORD_BYTES_MIN: usize = 64 << 20;

/// What stands in a record beside the largest packet.
const RECORD_BYTES_BESIDE: usize = 1 << 20;

/// How large the files of the store are: a part of the slack, since one of them may hold little that is live.
const SEGMENTS_IN_SLACK: u64 = 4;

/// The least and the most of that.
const SEGMENT_BYTES: (u64, u64) = (1 << 20, 64 << 20);

/// The size of the store is looked at whenever so small a part of the slack has come.
const LOOKS_IN_SLACK: u64 = 32;

/// A checkpoint follows the last one once the traffic has written so much of what that has: one part of so many. What is
/// live is an estimate, and where it is too low, nothing would come of one after the other.
const REST_PARTS: u64 = 8;

/// While more than this is on its way to the disk, those whose messages it is are not read from; they are again from half
/// of it on.
const BEHIND_BYTES: u64 = 64 << 20;

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
            segment_bytes_max: (config.store.slack_bytes / SEGMENTS_IN_SLACK)
                .clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1),
            ..Options::default()
        };
        let start_ms = clock_ms();
        let mut image = Image::new(start_ms);
        let (log, recovery) = Log::open_with(path, options, |place, record| {
            image.read_at(place, record).map_err(|e| e.to_string())
        })
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
        let marks = marks_of(&self.log, &self.image);
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
        Ok((shared, shards, Some(Restored { log: self.log, marks })))
    }
}

/// The store of a hub that has read it.
pub(crate) struct Restored {
    log: Log,
    marks: Marks,
}

/// Where the segments begin that were found, but for the first.
fn marks_of(log: &Log, image: &Image) -> Marks {
    let mut read = image.marks().iter().peekable();
    let mut at = 0;
    let marks = log.segment_starts().map(|(first, bytes)| {
        while read.next_if(|mark| mark.place < first).is_some() {}
        let boundary = read.peek().map_or(image.next_number(), |mark| mark.boundary);
        let begin = at;
        at += bytes;
        Mark { first, boundary, at: begin }
    });
    Marks::new(marks.skip(1).collect())
}

/// What the writer and the shards know of each other.
pub(crate) struct Keeper {
    writer: OnceLock<Writer>,
    state: Mutex<State>,
    /// The checkpoint that is being made.
    checkpoint: Mutex<Option<Checkpoint>>,
    /// What it rests on when the next one is to be made.
    past: Mutex<Past>,
    /// The first record of the segment that is written to, or of one before.
    place: AtomicU64,
    /// What has been handed over, and how much of that was said again for checkpoints: bytes.
    submitted: AtomicU64,
    said: AtomicU64,
    /// What had been handed over when it was last looked how large the store is.
    looked_at: AtomicU64,
    /// By how much the store may exceed twice what is live.
    slack_bytes: u64,
}

/// What is known of the store and of the checkpoints before.
#[derive(Default)]
struct Past {
    marks: Marks,
    /// Bytes of the store when the writer was started; what it has appended since is counted on from there.
    began_with: u64,
    /// What the last checkpoint has said, and what the traffic had written by then.
    said: u64,
    traffic: u64,
}

/// A checkpoint that is being made.
struct Checkpoint {
    ticket: u64,
    /// How many shards are not through with it.
    left: usize,
    pace: Pace,
}

/// What shards have to know of a checkpoint that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub(crate) ticket: u64,
    /// Messages with numbers below this are written again,
    pub(crate) boundary: u64,
    /// unless they stand behind this place; without one, whatever place they have.
    pub(crate) from: Option<u64>,
}

impl Keeper {
    /// One without a thread that writes.
    pub(crate) fn new(config: &Config) -> Keeper {
        Keeper {
            writer: OnceLock::new(),
            state: Mutex::default(),
            checkpoint: Mutex::default(),
            past: Mutex::default(),
            place: AtomicU64::new(0),
            submitted: AtomicU64::new(0),
            said: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            slack_bytes: config.store.slack_bytes,
        }
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(context: &Arc<Context>, restored: Restored, config: &Config) -> std::io::Result<()> {
        let Some(keeper) = &context.keeper else { return Ok(()) };
        let interval = Duration::from_millis(config.store.interval_ms.into());
        let options = WriterOptions { interval, ..WriterOptions::default() };
        let Restored { log, marks } = restored;
        *keeper.past() = Past { marks, began_with: log.bytes(), ..Past::default() };
        let place = log.segment_starts().last().map_or(0, |(first, _)| first);
        keeper.place.store(place, Ordering::Release);
        let writer = Writer::start(log, options, Listener { context: context.clone() })?;
        let is_first = keeper.writer.set(writer).is_ok();
        debug_assert!(is_first);
        Ok(())
    }

    /// Hands a batch over. With `is_awaited` it is synced at once.
    pub(crate) fn submit(&self, shard: usize, batch: trefoil_hub::Batch, is_awaited: bool) {
        if let Some(writer) = self.writer.get() {
            let trefoil_hub::Batch { number, records } = batch;
            let batch = trefoil_store::Batch { source: shard, number, records, sync: is_awaited };
            self.submitted.fetch_add(writer.submit(batch), Ordering::Relaxed);
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

    /// How much of all that is live a shard may say again now, in bytes; 0 for nothing yet. Nothing while the disk is full,
    /// since what is left there is for what was accepted before.
    pub(crate) fn may_say(&self, ticket: u64, now: trefoil_hub::Time) -> u64 {
        if self.state() == State::Full {
            return 0;
        }
        let waiting = self.writer.get().map_or(0, Writer::waiting_bytes);
        let traffic = self.traffic();
        let mut checkpoint = self.checkpoint();
        let current = checkpoint.as_mut().filter(|current| current.ticket == ticket);
        current.map_or(0, |current| current.pace.step(traffic, waiting, now.as_ms()))
    }

    /// A shard has said so much again. Returns whether that is to be synced at once.
    pub(crate) fn has_said(&self, ticket: u64, bytes: u64) -> bool {
        self.said.fetch_add(bytes, Ordering::Relaxed);
        let mut checkpoint = self.checkpoint();
        let current = checkpoint.as_mut().filter(|current| current.ticket == ticket);
        current.is_some_and(|current| current.pace.has_said(bytes))
    }

    /// Where what is handed over from now on stands at least.
    pub(crate) fn place(&self) -> u64 {
        self.place.load(Ordering::Acquire)
    }

    /// Bytes that were handed over and not said again for a checkpoint.
    fn traffic(&self) -> u64 {
        let said = self.said.load(Ordering::Relaxed);
        self.submitted.load(Ordering::Relaxed).saturating_sub(said)
    }

    /// Whether so much is on its way to the disk that nobody should add to it, if it `was` so before.
    pub(crate) fn is_behind(&self, was: bool) -> bool {
        let limit = if was { BEHIND_BYTES / 2 } else { BEHIND_BYTES };
        self.writer.get().is_some_and(|writer| writer.waiting_bytes() > limit)
    }

    /// Whether so much has come that the store should be [looked after](Self::look_after) before it is time for that.
    pub(crate) fn has_grown(&self) -> bool {
        let grown =
            self.submitted.load(Ordering::Relaxed).wrapping_sub(self.looked_at.load(Ordering::Relaxed));
        grown > self.slack_bytes / LOOKS_IN_SLACK
    }

    /// Begins a checkpoint if the store has become much larger than what is live.
    pub(crate) fn look_after(&self, context: &Context) {
        // Held until it has begun, so that no two shards begin one.
        let mut past = self.past();
        self.looked_at.store(self.submitted.load(Ordering::Relaxed), Ordering::Relaxed);
        if self.state() != State::Working || self.is_making_checkpoint() {
            return;
        }
        let figures = self.figures();
        let sizes = live::sizes(context, figures.disk_bytes, self.slack_bytes);
        let has_rested = self.traffic().saturating_sub(past.traffic) >= past.said / REST_PARTS;
        if !sizes.is_due() || !has_rested {
            return;
        }
        let end = past.began_with + figures.appended_bytes;
        let begin = end.saturating_sub(figures.disk_bytes);
        // In any case, since this forgets the marks that are gone.
        let mark = past.marks.behind(begin, sizes.front()).filter(|_| !sizes.has_room_for_all());
        self.begin_checkpoint(context, sizes, mark.map(|mark| (mark, sizes.written_for(mark.at - begin))));
    }

    /// Whether all that is live is being written anew.
    pub(crate) fn is_making_checkpoint(&self) -> bool {
        self.checkpoint().is_some()
    }

    fn checkpoint(&self) -> MutexGuard<'_, Option<Checkpoint>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a checkpoint of all that stands in the journal.
    fn begin_whole_checkpoint(&self, context: &Context) {
        let sizes = live::sizes(context, self.figures().disk_bytes, self.slack_bytes);
        self.begin_checkpoint(context, sizes, None);
    }

    /// Asks all shards to say again what they keep: with a mark what stands before it, and that is about so many bytes.
    fn begin_checkpoint(&self, context: &Context, sizes: Sizes, front: Option<(Mark, u64)>) {
        let Some(writer) = self.writer.get() else { return };
        let from = front.map(|(mark, _)| mark.first);
        let ticket = writer.checkpoint_begin(from);
        // Only now: what has a number from here on is handed over behind the beginning of the checkpoint.
        let boundary = front.map_or_else(|| context.hub.next_number(), |(mark, _)| mark.boundary);
        let to_say = front.map_or(sizes.live, |(_, bytes)| bytes);
        let pace = Pace::new(sizes, to_say, self.traffic(), context.now().as_ms());
        *self.checkpoint() = Some(Checkpoint { ticket, left: context.mailboxes.len(), pace });
        tracing::debug!(ticket, ?from, ?sizes, to_say, "a checkpoint of the store begins");
        for mailbox in &context.mailboxes {
            mailbox.post(Mail::Checkpoint(Begun { ticket, boundary, from }));
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
                // A checkpoint that was under way is void, and places may come again.
                *keeper.checkpoint() = None;
                keeper.past().marks = Marks::default();
                keeper.place.store(0, Ordering::Release);
                for mailbox in &self.context.mailboxes {
                    mailbox.post(Mail::NotKept);
                }
            }
            State::Healed => {
                tracing::info!("{reason}");
                keeper.begin_whole_checkpoint(&self.context);
            }
        }
    }

    fn segment(&self, first: u64, bytes: u64) {
        let Some(keeper) = self.keeper() else { return };
        // Only now: what has a number from here on is handed over, and so stands, behind the beginning of the segment.
        let boundary = self.context.hub.next_number();
        let mut past = keeper.past();
        let at = past.began_with + bytes;
        past.marks.push(Mark { first, boundary, at });
        keeper.place.store(first, Ordering::Release);
    }

    fn checkpoint(&self, ticket: u64, complete: bool) {
        let Some(keeper) = self.keeper() else { return };
        let ended = keeper.checkpoint().take_if(|current| current.ticket == ticket);
        let said = ended.map_or(0, |ended| ended.pace.said());
        tracing::debug!(ticket, complete, said, "a checkpoint of the store has ended");
        let mut past = keeper.past();
        (past.said, past.traffic) = (said, keeper.traffic());
        drop(past);
        if !complete && keeper.state() == State::Healed {
            keeper.begin_whole_checkpoint(&self.context);
        }
    }
}
