//! The thread: one round after the other of taking, appending, syncing and telling.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Batch, Figures, Item, Shared, State, Watch, WriterOptions};
use crate::directory::Directory;
use crate::error::Error;
use crate::log::Log;

pub(super) struct Worker<D: Directory, W> {
    log: Log<D>,
    options: WriterOptions,
    watch: W,
    shared: Arc<Shared>,
    mode: Mode,
    told: State,
    /// The last number of each source that was submitted and not called durable.
    reached: BTreeMap<usize, u64>,
    /// Where the checkpoints begin that are not ended, and from where on all stays.
    tickets: BTreeMap<u64, (u64, u64)>,
    /// The segment that was told last.
    segment: u64,
    /// When what is not synced has to be.
    sync_at: Option<Instant>,
    /// When the disk is tried again.
    retry_at: Option<Instant>,
    figures: Figures,
}

enum Mode {
    Writing,
    Failed { why: String },
    Healed { begun: bool },
}

impl<D: Directory, W: Watch> Worker<D, W> {
    pub(super) fn new(log: Log<D>, options: WriterOptions, watch: W, shared: Arc<Shared>) -> Self {
        let mut worker = Worker {
            log,
            options,
            watch,
            shared,
            mode: Mode::Writing,
            told: State::Working,
            reached: BTreeMap::new(),
            tickets: BTreeMap::new(),
            segment: 0,
            sync_at: None,
            retry_at: None,
            figures: Figures::default(),
        };
        worker.segment = worker.log.current_segment().0;
        worker.publish_figures(0);
        worker
    }

    pub(super) fn run(mut self) {
        self.tell_state();
        let mut done_bytes = 0;
        loop {
            self.publish_figures(done_bytes);
            let (items, bytes) = self.take();
            if !self.round(items) {
                self.shared.lock().stopped = true;
                self.publish_figures(bytes);
                // That it fails is no news: whatever is not durable has been told so, and the next start finds a log
                // as a killed process leaves it.
                let _ = self.log.close();
                return;
            }
            done_bytes = bytes;
        }
    }

    /// Waits until there is something to do, and takes all of it.
    fn take(&self) -> (Vec<Item>, u64) {
        let mut waiting = self.shared.lock();
        let until = [self.sync_at, self.retry_at].into_iter().flatten().min();
        while waiting.items.is_empty() {
            waiting.asleep = true;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            waiting = match left {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let woken = self.shared.wake.wait_timeout(waiting, left);
                    woken.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
                None => {
                    let woken = self.shared.wake.wait(waiting);
                    woken.unwrap_or_else(std::sync::PoisonError::into_inner)
                }
            };
        }
        waiting.asleep = false;
        (std::mem::take(&mut waiting.items), waiting.waiting_bytes)
    }

    /// Does what was asked for; false when that was to stop.
    fn round(&mut self, items: Vec<Item>) -> bool {
        let (mut sync, mut stop, mut retry) = (false, false, false);
        for item in items {
            match item {
                Item::Batch(batch) => {
                    sync |= batch.sync;
                    self.batch(&batch);
                }
                Item::Begin { ticket, from } => self.begin(ticket, from),
                Item::End(ticket) => self.end(ticket),
                Item::Heal => retry = true,
                Item::Stop => stop = true,
            }
        }
        let now = Instant::now();
        if sync || stop || self.sync_at.is_some_and(|at| at <= now) {
            self.sync();
        } else if self.is_writing() {
            let flushed = self.log.flush();
            self.fail_on(flushed);
        }
        if !stop && (retry || self.retry_at.is_some_and(|at| at <= now)) {
            self.retry();
        }
        self.tell_state();
        self.tell_segment();
        !stop
    }

    fn batch(&mut self, batch: &Batch) {
        self.reached.insert(batch.source, batch.number);
        if !self.is_writing() {
            self.figures.discarded_batches += 1;
            return;
        }
        for record in &batch.records {
            let appended = self.log.append(record);
            if !self.fail_on(appended) {
                self.figures.discarded_batches += 1;
                return;
            }
        }
        self.figures.batches += 1;
        self.figures.records += batch.records.len() as u64;
        if self.sync_at.is_none() {
            self.sync_at = Instant::now().checked_add(self.options.interval);
        }
    }

    fn begin(&mut self, ticket: u64, from: Option<u64>) {
        if matches!(self.mode, Mode::Failed { .. }) {
            return;
        }
        match self.log.begin_checkpoint() {
            Ok(begun) => {
                let is_whole = matches!(self.mode, Mode::Healed { .. });
                let from = from.filter(|_| !is_whole).unwrap_or(begun);
                self.tickets.insert(ticket, (begun, from));
                if let Mode::Healed { begun } = &mut self.mode {
                    *begun = true;
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    fn end(&mut self, ticket: u64) {
        let Some((begun, from)) = self.tickets.remove(&ticket) else {
            self.watch.checkpoint(ticket, false);
            return;
        };
        self.sync();
        if !self.is_writing() {
            self.watch.checkpoint(ticket, false);
            return;
        }
        match self.log.complete_checkpoint(from) {
            Ok(_) => {
                self.figures.checkpoints += 1;
                // An earlier checkpoint that is still under way is superfluous.
                self.tickets.retain(|_, (later, _)| *later > begun);
                self.watch.checkpoint(ticket, true);
                if let Mode::Healed { .. } = self.mode {
                    self.mode = Mode::Writing;
                    self.tell_state();
                    self.release();
                }
            }
            Err(error) => {
                // While healing there is no way on without the checkpoint.
                if matches!(self.mode, Mode::Healed { .. }) || self.log.poisoned().is_some() {
                    self.fail(&error);
                } else {
                    self.figures.failures += 1;
                }
                self.watch.checkpoint(ticket, false);
            }
        }
    }

    /// Syncs, and tells what is durable unless a checkpoint has to be complete first.
    fn sync(&mut self) {
        if !self.is_writing() {
            return;
        }
        self.sync_at = None;
        let before = self.log.durable_sequence();
        let begun = Instant::now();
        let synced = self.log.sync();
        if self.log.durable_sequence() > before {
            self.figures.count_sync(begun.elapsed());
        }
        if self.fail_on(synced) && matches!(self.mode, Mode::Writing) {
            self.release();
        }
    }

    fn release(&mut self) {
        // Whoever is told of it finds it counted.
        self.publish_figures(0);
        for (source, number) in std::mem::take(&mut self.reached) {
            self.watch.durable(source, number);
        }
    }

    fn retry(&mut self) {
        self.retry_at = None;
        if let Mode::Failed { .. } = self.mode {
            match self.log.heal() {
                Ok(()) => self.mode = Mode::Healed { begun: false },
                Err(_) => {
                    self.figures.failures += 1;
                    self.retry_later();
                }
            }
        } else if !self.log.has_reserve() {
            let reserved = self.log.try_reserve();
            self.fail_on(reserved);
        }
    }

    /// Whether what is submitted goes to the log.
    fn is_writing(&self) -> bool {
        matches!(self.mode, Mode::Writing | Mode::Healed { begun: true })
    }

    /// True when it succeeded.
    fn fail_on<T>(&mut self, result: Result<T, Error>) -> bool {
        result.map_err(|error| self.fail(&error)).is_ok()
    }

    fn fail(&mut self, error: &Error) {
        // An error that has changed nothing leaves the log writable, and a record would be missing from it.
        if self.log.poisoned().is_none() {
            self.log.abandon(error.to_string());
        }
        self.figures.failures += 1;
        self.mode = Mode::Failed { why: error.to_string() };
        self.tickets.clear();
        self.sync_at = None;
        self.retry_later();
        self.tell_state();
    }

    fn retry_later(&mut self) {
        self.retry_at = Instant::now().checked_add(self.options.retry);
    }

    fn tell_state(&mut self) {
        let state = match &self.mode {
            Mode::Failed { why } => State::Failed { why: why.clone() },
            Mode::Healed { .. } => State::Healed,
            Mode::Writing if self.log.has_reserve() => State::Working,
            Mode::Writing => State::Full,
        };
        if !self.log.has_reserve() && self.retry_at.is_none() {
            self.retry_later();
        }
        if state != self.told {
            self.told = state.clone();
            self.figures.state = state.clone();
            self.publish_figures(0);
            self.watch.state(state);
        }
    }

    fn tell_segment(&mut self) {
        // One that was begun before a failure is void with that, and the next one may begin at the same record.
        if !self.is_writing() {
            self.segment = 0;
            return;
        }
        let (first, bytes) = self.log.current_segment();
        if self.segment != first {
            self.segment = first;
            self.watch.segment(first, self.log.appended_bytes().saturating_sub(bytes));
        }
    }

    /// Makes the figures visible, and takes what was done off what waits.
    fn publish_figures(&mut self, done_bytes: u64) {
        self.figures.appended_bytes = self.log.appended_bytes();
        self.figures.disk_bytes = self.log.bytes();
        self.figures.segments = self.log.segments() as u64;
        let mut waiting = self.shared.lock();
        waiting.waiting_bytes -= done_bytes;
        waiting.figures = self.figures.clone();
    }
}
