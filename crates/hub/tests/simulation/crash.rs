//! The end of the hub's process, and how another one goes on from what is on the disk.

use crate::disk::{BEGINNING_MS, Disk};
use crate::hub_end::{Fault, HubEnd};
use crate::keeping;
use crate::ledger::Ledger;
use std::collections::VecDeque;
use std::sync::Arc;
use trefoil_hub::{DelayLimits, Extensions, Keeping, Shared, restore};
use trefoil_model::{Promise, Random, Tap};

impl HubEnd {
    /// From now on it keeps on a disk what is to be kept.
    pub fn keep(&mut self, promise: &Promise, random: &mut Random) {
        let mut disk = Disk::new(self.shards.len());
        if let Some(Fault::Ignores(kind)) = self.net.fault {
            disk.ignored = vec![kind];
        }
        (self.net.disk, self.net.ledger) = (Some(disk), Ledger::keeping(promise));
        self.net.taps.iter_mut().for_each(|tap| tap.promise = promise.clone());
        self.keeping = keeping::keeping(promise);
        self.start(self.shards.len(), random);
    }

    /// The process ends, whatever it was at, and after a while another one goes on from what is on the disk.
    pub fn crash(&mut self, random: &mut Random) {
        for link in self.net.links.values_mut() {
            link.hub = None;
            link.held.clear();
            link.down.cut(random);
        }
        self.net.taps.iter_mut().for_each(Tap::hub_crashed);
        let away_ms = if random.chance(70) { random.below(3000) } else { random.below(40_000) } as u64;
        self.net.now = self.net.now.plus_ms(away_ms);
        let shards = if random.chance(40) { random.between(1, 4) } else { self.shards.len() };
        self.start(shards, random);
        // It may happen again before what was made of the image is on the disk.
        while random.chance(15) {
            self.start(shards, random);
        }
    }

    fn start(&mut self, shards: usize, random: &mut Random) {
        if let Some(end) = self.go_on_with(shards, random) {
            self.net.ledger.crashed(end, self.net.now.as_ms());
        }
    }

    /// Another process goes on with so many shards, from what is left of the log. Returns how much that is.
    pub fn go_on_with(&mut self, shards: usize, random: &mut Random) -> Option<u64> {
        self.net.zero_ms =
            self.net.now.as_ms() - random.below(1000).min(self.net.now.as_ms() as usize) as u64;
        (self.dropped_before, self.has_dropped_shared) = (self.dropped(), self.has_dropped_shared());
        self.waiting.clear();
        self.under_way.clear();
        let start_ms = BEGINNING_MS + self.net.zero_ms;
        let limits = self.shards[0].shared().limits.clone();
        let hub_now = self.net.hub_now();
        let disk = self.net.disk.as_mut()?;
        let end = disk.crash(shards, random);
        let image = match disk.image(start_ms) {
            Ok(image) => image,
            Err(why) => {
                self.net.breaks(format!("the log cannot be read: {why}"));
                return None;
            }
        };
        let seed = image.seed().unwrap_or(11);
        let delays = DelayLimits { messages_max: 1000, bytes_max: 1 << 24, delay_s_max: 100 };
        let extensions = Extensions { delayed: Some(delays), ..Extensions::default() };
        let keeping = Keeping { start_ms, ..self.keeping.clone() };
        let shared = Shared::new(shards, seed, limits).with_extensions(extensions);
        let shared = Arc::new(shared.with_keeping(keeping, image.next_number()));
        let (shards, record) = restore(image, &shared, hub_now);
        disk.begin(record);
        self.net.mail = (0..shards.len()).map(|_| vec![VecDeque::new(); shards.len()]).collect();
        self.shards = shards;
        Some(end)
    }

    /// What a shard has come to since this was last called is handed over.
    pub fn end_tick(&mut self, shard: usize) {
        let net = &mut self.net;
        let Some(disk) = &mut net.disk else { return };
        if let Some(batch) = self.shards[shard].take_batch() {
            let number = batch.number;
            let record = disk.append(shard, batch);
            self.shards[shard].handed_over();
            net.ledger.handed(shard, number, record);
        }
        for (to, parcel) in std::mem::take(&mut disk.staged[shard]) {
            net.mail[to][shard].push_back(parcel);
        }
    }

    /// Whether a shard has something to hand over.
    pub fn has_staged(&self, shard: usize) -> bool {
        let disk = self.net.disk.as_ref();
        disk.is_some_and(|disk| {
            let last = self.shards[shard].last_batch();
            !disk.staged[shard].is_empty() || disk.record_of(shard, last).is_none() && last > 0
        })
    }

    /// More of what was handed over becomes durable, and what has waited for that goes out.
    pub fn sync(&mut self, records: u64) {
        if let Some(disk) = &mut self.net.disk {
            disk.sync(records);
            disk.end_checkpoint();
            let durable: Vec<u64> = (0..self.shards.len()).map(|shard| disk.durable_batch(shard)).collect();
            self.net.release_held();
            for (shard, durable) in durable.into_iter().enumerate() {
                self.let_delayed_out(shard, durable);
            }
        }
    }

    /// What was delayed in a shard leaves, as far as it has waited for a batch up to `durable`.
    pub fn let_delayed_out(&mut self, shard: usize, durable: u64) {
        self.net.here = shard;
        let now = self.net.hub_now();
        self.shards[shard].on_disk(now, durable, &mut self.net);
    }

    /// Whether all that has been taken in is durable.
    pub fn is_all_durable(&self) -> bool {
        self.net.disk.as_ref().is_some_and(|disk| disk.unsynced() == 0)
            && (0..self.shards.len()).all(|shard| !self.has_staged(shard))
    }

    /// A checkpoint begins or goes on.
    pub fn checkpoint(&mut self, bytes: usize, random: &mut Random) {
        let shared = self.shards[0].shared().clone();
        let Some(disk) = &mut self.net.disk else { return };
        if random.chance(20) {
            disk.mark(&shared);
        }
        if disk.begin_checkpoint(&shared, random) {
            self.waiting = (0..self.shards.len()).collect();
        }
        let Some((boundary, from)) = disk.boundary() else { return };
        let place = disk.end();
        if !self.waiting.is_empty() && random.chance(50) {
            let shard = self.waiting.swap_remove(random.below(self.waiting.len()));
            self.shards[shard].begin_checkpoint(boundary, from);
            self.shards[shard].set_place(place);
            self.under_way.push(shard);
            if self.net.fault == Some(Fault::DropsEarly) {
                disk.through(shard, 0);
            }
        } else if !self.under_way.is_empty() {
            let at = random.below(self.under_way.len());
            let shard = self.under_way[at];
            self.shards[shard].set_place(place);
            let is_said = self.shards[shard].go_on_with_checkpoint(bytes);
            if is_said {
                self.under_way.swap_remove(at);
                disk.through(shard, self.shards[shard].last_batch());
            }
        }
    }
}
