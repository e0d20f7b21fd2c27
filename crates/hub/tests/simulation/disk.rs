//! What the hub writes down, on a disk that keeps as much of it as a seed says.
//!
//! All shards write into one log, in the order in which they hand their batches over. Behind the mark up to which it is
//! durable any number of further records may be left after a crash, but none without those before it.

use crate::link::Held;
use std::collections::VecDeque;
use trefoil_hub::{Batch, Image, Parcel, Shared, Unreadable};
use trefoil_model::Random;

/// Milliseconds from 1970 to the beginning of the world.
pub const BEGINNING_MS: u64 = 1_700_000_000_000;

/// The log, and what waits for it.
pub struct Disk {
    log: VecDeque<Vec<u8>>,
    /// The number of the first record that is still there.
    first: u64,
    /// Records below this number are durable.
    durable: u64,
    shards: Vec<Written>,
    /// Parcels of shards that have not handed over what they rest on yet.
    pub staged: Vec<Vec<(usize, Parcel)>>,
    checkpoint: Option<Checkpoint>,
    /// Places, and the numbers from which on what is written stands behind them.
    marks: Vec<(u64, u64)>,
    /// Kinds of entries that are passed over when the log is read: a fault that is put in on purpose.
    pub ignored: Vec<u8>,
    pub figures: Figures,
}

/// How often it happened.
#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    pub crashes: usize,
    pub checkpoints: usize,
    /// Those that left some of what was written before them.
    pub partial: usize,
    pub records_lost: usize,
    pub held: usize,
}

#[derive(Default)]
struct Written {
    /// Batches with the number of their last record, those that are not durable yet.
    batches: VecDeque<(u64, u64)>,
    durable_batch: u64,
    last: (u64, u64),
}

struct Checkpoint {
    /// Records from here on are enough once it is complete.
    from: u64,
    /// They begin before it does.
    is_partial: bool,
    /// The last batch of each shard that is through.
    through: Vec<Option<u64>>,
    boundary: u64,
}

impl Disk {
    pub fn new(shards: usize) -> Disk {
        Disk {
            log: VecDeque::new(),
            first: 0,
            durable: 0,
            shards: (0..shards).map(|_| Written::default()).collect(),
            staged: (0..shards).map(|_| Vec::new()).collect(),
            checkpoint: None,
            marks: Vec::new(),
            ignored: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// The number of the next record.
    pub fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// Takes the record that a start begins with.
    pub fn begin(&mut self, record: Vec<u8>) -> u64 {
        self.log.push_back(record);
        self.end() - 1
    }

    /// Takes a batch. Returns the number of its last record.
    pub fn append(&mut self, shard: usize, batch: Batch) -> u64 {
        self.log.extend(batch.records);
        let last = self.end() - 1;
        let written = &mut self.shards[shard];
        written.batches.push_back((batch.number, last));
        written.last = (batch.number, last);
        last
    }

    /// The record that the last batch of a shard ends with, if this is it.
    pub fn record_of(&self, shard: usize, batch: u64) -> Option<u64> {
        let (last, record) = self.shards[shard].last;
        (batch <= last).then_some(record)
    }

    /// More becomes durable: up to `records` further ones.
    pub fn sync(&mut self, records: u64) {
        self.durable = self.end().min(self.durable.saturating_add(records));
        for written in &mut self.shards {
            while let Some((batch, _)) = written.batches.pop_front_if(|(_, last)| *last < self.durable) {
                written.durable_batch = batch;
            }
        }
    }

    pub fn unsynced(&self) -> u64 {
        self.end() - self.durable
    }

    pub fn may_go(&self, shard: usize, held: &Held) -> bool {
        held.waits_for <= self.shards[shard].durable_batch
    }

    /// The last batch of a shard that is durable.
    pub fn durable_batch(&self, shard: usize) -> u64 {
        self.shards[shard].durable_batch
    }

    pub fn is_durable(&self, shard: usize, batch: u64) -> bool {
        batch <= self.shards[shard].durable_batch
    }

    /// What is written from now on stands here, and has numbers from here on.
    pub fn mark(&mut self, shared: &Shared) {
        self.marks.push((self.end(), shared.next_number()));
    }

    /// A checkpoint may begin if none is under way. Everything that was handed over stands before it; what stands behind
    /// some earlier mark may stay.
    pub fn begin_checkpoint(&mut self, shared: &Shared, random: &mut Random) -> bool {
        if self.checkpoint.is_some() {
            return false;
        }
        let through = vec![None; self.shards.len()];
        self.marks.retain(|(place, _)| *place > self.first);
        let is_partial = !self.marks.is_empty() && random.chance(75);
        let (from, boundary) = match is_partial {
            true => *random.one_of(&self.marks),
            false => (self.end(), shared.next_number()),
        };
        self.mark(shared);
        self.checkpoint = Some(Checkpoint { from, is_partial, through, boundary });
        true
    }

    /// The boundary of the checkpoint that is under way, and from where on the log stays, if that is before it.
    pub fn boundary(&self) -> Option<(u64, Option<u64>)> {
        let checkpoint = self.checkpoint.as_ref()?;
        Some((checkpoint.boundary, checkpoint.is_partial.then_some(checkpoint.from)))
    }

    /// A shard is through with the checkpoint, once this batch of it is durable.
    pub fn through(&mut self, shard: usize, batch: u64) {
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.through[shard].get_or_insert(batch);
        }
    }

    /// Drops what a complete checkpoint has made superfluous.
    pub fn end_checkpoint(&mut self) {
        let Some(checkpoint) = &self.checkpoint else { return };
        let is_done =
            |(shard, batch): (usize, &Option<u64>)| batch.is_some_and(|b| self.is_durable(shard, b));
        if checkpoint.through.iter().enumerate().all(is_done) {
            let count = checkpoint.from - self.first;
            self.log.drain(..count as usize);
            self.first = checkpoint.from;
            self.figures.checkpoints += 1;
            self.figures.partial += usize::from(checkpoint.is_partial);
            self.checkpoint = None;
        }
    }

    /// The process ends; a prefix of the log is left, for a hub with so many shards. Returns the number of records.
    pub fn crash(&mut self, shards: usize, random: &mut Random) -> u64 {
        let unsure = self.unsynced() as usize;
        let kept = match random.below(3) {
            0 => 0,
            1 => unsure,
            _ => random.below(unsure + 1),
        };
        self.figures.crashes += 1;
        self.figures.records_lost += unsure - kept;
        self.log.truncate((self.durable - self.first) as usize + kept);
        self.durable = self.end();
        self.shards = (0..shards).map(|_| Written::default()).collect();
        self.staged = (0..shards).map(|_| Vec::new()).collect();
        self.checkpoint = None;
        self.marks.clear();
        self.end()
    }

    /// What is left comes to this.
    pub fn image(&mut self, start_ms: u64) -> Result<Image, Unreadable> {
        let mut image = Image::new(start_ms).exacting();
        for (place, record) in (self.first..).zip(&self.log) {
            image.read_without(place, record, &self.ignored)?;
        }
        self.marks = image.marks().iter().map(|mark| (mark.place, mark.boundary)).collect();
        Ok(image)
    }
}
