//! Group commit on a thread of its own.
//!
//! Any number of *sources* submit batches of records; the writer takes all that waits, appends it, syncs once if any of
//! it asks for that, and tells its [`Watch`] up to which number each source is durable. Submitting waits for no disk.
//! What waits is bounded by the callers: they see [`Writer::waiting_bytes`] and stop taking in what would add to it.
//!
//! # Checkpoints
//!
//! The log is a journal: from time to time the callers write down their whole state, so that what lies before can go.
//!
//! 1. Somebody calls [`Writer::checkpoint_begin`], which gives a ticket at once.
//! 2. *After that*, every source submits its whole state, in as many batches as it likes, with ordinary batches
//!    before, between and after. At least one record of it all has to be there.
//! 3. When all sources have done so, somebody calls [`Writer::checkpoint_end`] with the ticket.
//! 4. [`Watch::checkpoint`] tells that it is complete: in one step that is atomic also for a crash, the log begins at
//!    the first record that was submitted after step 1.
//!
//! So whoever reads the log from its beginning finds, if a checkpoint was ever complete, for each source first
//! batches that were submitted between step 1 and its state, then its state, then everything after it. A source's
//! state replaces what was read of that source before. A checkpoint that was begun later and is not complete only
//! repeats what is known.
//!
//! A checkpoint may also keep the newer part of what lies before it: with a record from which on all is to stay
//! ([`Watch::segment`] tells where segments begin), the log begins at that record in step 4. Sources then need not say
//! again what they know to stand there, as long as whoever reads the log makes their state of both.
//!
//! # When the disk is full
//!
//! In [`State::Full`] the reserve cannot be extended. What is submitted is still written and called durable, out of the
//! reserve; the callers refuse what needs the disk, and submit only what makes the state smaller. The writer tries the
//! reserve again every [`WriterOptions::retry`] and goes back to [`State::Working`] by itself. If the reserve runs out
//! too, the writer fails.
//!
//! # When the disk fails
//!
//! After any other error nothing that was not durable is written ever again, and the memory of the callers is ahead
//! of the log. That is made up for like this:
//!
//! 1. [`State::Failed`]: batches are thrown away and not called durable. Callers refuse what needs the disk; what
//!    they had submitted and was not called durable stays without an acknowledgement.
//! 2. Every [`WriterOptions::retry`], or when [`Writer::heal`] is called, the log is healed. Once that succeeds there is
//!    [`State::Healed`]: the disk works. Batches are still thrown away, since what they change is not in the log.
//! 3. The callers answer [`State::Healed`] with a checkpoint as above: begin, *then* each source's whole state, end.
//!    Each source goes on numbering where it was. From the beginning of the checkpoint on batches are written; none is
//!    called durable yet.
//! 4. When the checkpoint is complete, [`Watch::checkpoint`] says so, then comes [`State::Working`] (or
//!    [`State::Full`]), then [`Watch::durable`] with the last number that each source had submitted before
//!    `checkpoint_end` was reached: this covers all that was thrown away since the failure, since the state contains it.
//!
//! Tickets from before the failure are void: [`Watch::checkpoint`] says so when they are ended. If the disk fails again
//! before step 4, everything begins at step 1. A crash before step 4 leaves the log as it was durable before the first
//! failure, whatever was written since; a crash after it leaves the checkpoint.

mod figures;
mod thread;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::directory::Directory;
use crate::log::Log;

pub use figures::{Figures, SYNC_TIMES};

/// What one source made in one go. Each record is there as a whole or not at all after a crash; a batch need not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who made it: a small number, such as that of a shard.
    pub source: usize,
    /// Its number, which rises from batch to batch of its source.
    pub number: u64,
    /// Its records, in order. None may be larger than [`Options::record_bytes_max`](crate::Options::record_bytes_max):
    /// the writer could only leave it out, and so it fails instead.
    pub records: Vec<Vec<u8>>,
    /// Somebody waits for it: it is synced at once, with all that was submitted before. Without this, it is
    /// durable after [`WriterOptions::interval`], or with whatever is synced earlier.
    pub sync: bool,
}

/// What the writer tells. All of this is called on the writer's thread, which writes nothing in the meantime.
pub trait Watch: Send + 'static {
    /// Everything that `source` submitted up to `number` survives a crash.
    fn durable(&self, source: usize, number: u64);

    /// The writer is in another state. It begins in [`State::Working`], and tells of that only when it comes back.
    fn state(&self, state: State);

    /// Records from `first` on stand in a new segment. `bytes` of records had been appended to the log by then since it
    /// was opened; what is submitted from now on stands there or later, unless the log fails.
    fn segment(&self, first: u64, bytes: u64) {
        let _ = (first, bytes);
    }

    /// A checkpoint that was ended is `complete`, or it is not and nothing has changed; another can be begun.
    fn checkpoint(&self, ticket: u64, complete: bool) {
        let _ = (ticket, complete);
    }
}

/// How the writer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// What is submitted becomes durable.
    #[default]
    Working,
    /// The disk is full: what needs it is refused by the callers, and what makes the state smaller is still written.
    Full,
    /// Nothing is written.
    Failed {
        /// The error.
        why: String,
    },
    /// The disk works again, and a checkpoint has to make up for what was not written.
    Healed,
}

/// How a writer behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// How long batches without `sync` may stay without a sync; [`Duration::MAX`] for ever.
    pub interval: Duration,
    /// How long after a failure, or after finding the disk full, it is tried again.
    pub retry: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions { interval: Duration::from_secs(1), retry: Duration::from_secs(1) }
    }
}

/// A log with a thread that writes it. Dropping it stops it.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub fn start<D>(log: Log<D>, options: WriterOptions, watch: impl Watch) -> io::Result<Writer>
    where
        D: Directory + Send + 'static,
        D::File: Send,
    {
        let shared = Arc::new(Shared::default());
        let worker = thread::Worker::new(log, options, watch, shared.clone());
        let thread =
            std::thread::Builder::new().name("trefoil-store".to_owned()).spawn(move || worker.run())?;
        Ok(Writer { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a batch over, and gives the payload bytes of its records. After [`stop`](Writer::stop) it is thrown away.
    pub fn submit(&self, batch: Batch) -> u64 {
        let bytes = batch.records.iter().map(Vec::len).sum::<usize>() as u64;
        self.push(Item::Batch(batch), bytes);
        bytes
    }

    /// Payload bytes that are submitted and not yet written, or thrown away.
    pub fn waiting_bytes(&self) -> u64 {
        self.shared.lock().waiting_bytes
    }

    /// Begins a checkpoint and gives its ticket, without waiting: what is submitted after this is part of it. With `from`
    /// all stays that stands there or later; after a failure nothing but the checkpoint itself does. See the head of this
    /// module.
    pub fn checkpoint_begin(&self, from: Option<u64>) -> u64 {
        let mut waiting = self.shared.lock();
        waiting.ticket += 1;
        let ticket = waiting.ticket;
        self.shared.push(waiting, Item::Begin { ticket, from }, 0);
        ticket
    }

    /// Ends a checkpoint: once everything that was submitted before this is durable, what lies before the checkpoint
    /// is dropped. [`Watch::checkpoint`] tells the outcome.
    pub fn checkpoint_end(&self, ticket: u64) {
        self.push(Item::End(ticket), 0);
    }

    /// Tries at once what is otherwise tried every [`WriterOptions::retry`]: to heal, or to have the reserve again.
    pub fn heal(&self) {
        self.push(Item::Heal, 0);
    }

    /// How things are, as of the last time that the thread went to sleep or to the disk.
    pub fn figures(&self) -> Figures {
        let waiting = self.shared.lock();
        Figures { waiting_bytes: waiting.waiting_bytes, ..waiting.figures.clone() }
    }

    /// Writes and syncs what was submitted, and ends the thread. Not to be called from a [`Watch`].
    pub fn stop(&self) {
        self.push(Item::Stop, 0);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // That a watch has panicked was said where it did.
            let _ = thread.join();
        }
    }

    fn push(&self, item: Item, bytes: u64) {
        self.shared.push(self.shared.lock(), item, bytes);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread is asked for, in order.
#[derive(Debug)]
enum Item {
    Batch(Batch),
    Begin { ticket: u64, from: Option<u64> },
    End(u64),
    Heal,
    Stop,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    items: Vec<Item>,
    waiting_bytes: u64,
    ticket: u64,
    /// The thread waits and has to be woken.
    asleep: bool,
    stopped: bool,
    figures: Figures,
}

impl Shared {
    /// A watch that panicked has left the queue as it was.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, item: Item, bytes: u64) {
        if waiting.stopped {
            return;
        }
        waiting.waiting_bytes += bytes;
        waiting.items.push(item);
        let asleep = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.wake.notify_one();
        }
    }
}
