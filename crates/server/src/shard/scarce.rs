//! What a shard does when memory is short, see [`crate::memory`], or when the disk does not keep up.

use super::ShardLoop;
use super::connection::Connection;
use super::net::Net;
use crate::memory::{NO_NEW, NO_PUBLISH, SESSION_BYTES};
use crate::stats::Kind;
use std::sync::atomic::Ordering;
use trefoil_hub::{ConnectionKey, Message, SessionKey, Time};

/// How often the first shard looks how much memory is taken; when it is short, more often. Shards look by themselves
/// besides, whenever much has come in or gone out.
const LOOK_MS: u64 = 1000;
const LOOK_AGAIN_MS: u64 = 100;

/// What each delivery counts beside its payload when a shard asks itself whether to look.
const DELIVERY_BYTES: u64 = 64;

/// All outboxes together may hold one such part of the limit before those that have more than their share of it are written,
/// even if the tick has not ended.
const EARLY_PART: u64 = 16;

/// No outbox is written early for less.
pub(super) const EARLY_BYTES_MIN: usize = 2048;

/// What a delivery that waits in a session costs beside its message, of which there is one.
const WAITING_BYTES: u64 = 128;

/// What is written down for publishers over HTTP and UDP is handed over when it is so much, and not only at the end of the
/// round, so that the writer knows of it.
const HANDED_OVER_BYTES: usize = 1 << 20;

/// How many messages other shards may have to deliver at a time, at least. A message that waits for every session costs
/// them so often not more than sessions count for beforehand.
pub(super) const FORWARDED_MIN: usize = (SESSION_BYTES / WAITING_BYTES) as usize;

/// Why somebody is sent away.
pub(super) const WHY: &str = "the hub is short of memory (memory_max); try again later";

/// What a shard knows of that.
#[derive(Default)]
pub(super) struct Scarce {
    /// How much had come in and gone out when the shard last looked.
    moved: u64,
    /// How many deliveries waited in its sessions then.
    queued: usize,
    /// When to look next; on the first shard only, if there is a limit.
    pub(super) look_at: Option<Time>,
    /// Publishers of whom the rest of a read waits until other shards have delivered what came before it.
    wait_for_shards: Vec<ConnectionKey>,
    /// Publishers that are not read from.
    paused: Vec<ConnectionKey>,
    /// Too much is on its way to the disk.
    pub(super) is_behind: bool,
    /// Publishers that are not read from for that.
    wait_for_disk: Vec<ConnectionKey>,
}

impl Scarce {
    pub(super) fn new(is_first: bool) -> Scarce {
        Scarce { look_at: is_first.then(Time::default), ..Scarce::default() }
    }
}

impl Scarce {
    /// Whether the rest of what was read from somebody waits for other shards.
    pub(super) fn waits_for_shards(&self) -> bool {
        !self.wait_for_shards.is_empty()
    }
}

impl Net {
    /// Whether nobody may come who is not known.
    pub(super) fn takes_no_new(&self) -> bool {
        self.memory_stage >= NO_NEW
    }

    /// Counts what waits for a connection.
    pub(super) fn weigh_outbox(&mut self, key: ConnectionKey) {
        if !self.is_limited {
            return;
        }
        let Some(connection) = self.connections.get_mut(key.0 as usize) else { return };
        let bytes = connection.held_bytes();
        self.outbox_bytes = (self.outbox_bytes + bytes).saturating_sub(connection.counted_bytes);
        connection.counted_bytes = bytes;
    }

    /// Something has been put into an outbox. Where memory is bounded it is written at once if it is much, and not only at
    /// the end of the tick: one read of a publisher may be for everybody, many times. Whoever takes it leaves nothing
    /// behind; whoever does not is known to be slow from then on.
    pub(super) fn relieve(&mut self, to: ConnectionKey) {
        if !self.is_limited {
            return;
        }
        let Some(connection) = self.get(to) else { return };
        if !connection.is_blocked && connection.outbox.bytes() >= self.early_bytes && !connection.is_udp() {
            // If that fails it fails again when the tick ends, and then the connection is lost.
            let _ = self.write_stream(to);
        }
        self.weigh_outbox(to);
        let step = usize::try_from(self.context.memory.step()).unwrap_or(usize::MAX);
        if self.outbox_bytes.abs_diff(self.outbox_bytes_seen) >= step {
            self.look_at_memory();
        }
    }

    /// Looks how much memory is taken.
    fn look_at_memory(&mut self) {
        self.outbox_bytes_seen = self.outbox_bytes;
        self.stats().outbox_bytes.set(self.outbox_bytes as u64);
        let memory = &self.context.memory;
        memory.look(&self.context);
        self.memory_stage = memory.stage();
        let connections = self.context.connections.load(Ordering::Relaxed).max(1) as u64;
        let share = memory.bytes_max() / EARLY_PART / connections;
        // Others may leave as much for the same sessions at the same time, and half is for what does not come by mail.
        let shards = 2 * self.context.mailboxes.len() as u64;
        let sessions = crate::stats::total(&self.context.stats, |s| &s.sessions).max(1);
        let forwarded = memory.headroom() / shards / (sessions * WAITING_BYTES);
        self.forwarded_max = usize::try_from(forwarded).unwrap_or(usize::MAX).max(FORWARDED_MIN);
        self.early_bytes = usize::try_from(share).unwrap_or(usize::MAX).max(EARLY_BYTES_MIN);
    }
}

impl ShardLoop {
    /// Looks how much memory is taken if much may have changed. To be called often.
    pub(super) fn watch_memory(&mut self) {
        if !self.net.is_limited {
            return;
        }
        let stats = self.net.stats();
        let moved =
            stats.bytes_in.get() + stats.payload_out.get() + DELIVERY_BYTES * stats.messages_out.get();
        let queued = self.hub.backlog().queued().0;
        let came_to_wait = queued.abs_diff(self.scarce.queued) as u64 * WAITING_BYTES;
        if moved.wrapping_sub(self.scarce.moved) + came_to_wait >= self.net.context.memory.step() {
            (self.scarce.moved, self.scarce.queued) = (moved, queued);
            self.look_at_memory();
        }
        self.net.memory_stage = self.net.context.memory.stage();
    }

    /// The same by the clock, and goes on with publishers that have waited.
    pub(super) fn keep_up_with_memory(&mut self) {
        if !self.net.is_limited {
            return;
        }
        let now = self.net.now;
        if self.scarce.look_at.is_some_and(|at| at <= now) {
            self.look_at_memory();
            let is_short = self.net.context.memory.stage() > 0;
            self.scarce.look_at = Some(now.plus_ms(if is_short { LOOK_AGAIN_MS } else { LOOK_MS }));
        }
        self.net.memory_stage = self.net.context.memory.stage();
        if self.net.takes_no_new() {
            self.net.pool.clear();
            self.net.deflate.clear();
            self.net.text = Vec::new();
        }
        if !self.is_far_ahead() {
            let waiting = std::mem::take(&mut self.scarce.wait_for_shards);
            self.read_again(waiting);
        }
        if self.net.memory_stage >= NO_PUBLISH {
            return;
        }
        let paused = std::mem::take(&mut self.scarce.paused);
        self.read_again(paused);
    }

    /// Looks whether the disk has caught up, and goes on with publishers that have waited for that.
    pub(super) fn keep_up_with_disk(&mut self) {
        let scarce = &mut self.scarce;
        if scarce.is_behind {
            scarce.is_behind = self.net.context.keeper.as_ref().is_some_and(|keeper| keeper.is_behind(true));
        }
        if !scarce.is_behind && !scarce.wait_for_disk.is_empty() {
            let waiting = std::mem::take(&mut scarce.wait_for_disk);
            self.read_again(waiting);
        }
    }

    /// Whether a message cannot be taken since too much is on its way to the disk. That is for those who cannot be kept from
    /// sending more, over HTTP and UDP; the others are not read from instead.
    pub(super) fn is_too_much_for_disk(&mut self, publisher: Option<SessionKey>, message: &Message) -> bool {
        let Some(keeper) = &self.net.context.keeper else { return false };
        let connection = publisher.and_then(|session| self.hub.connection(session));
        let can_wait = connection.and_then(|key| self.net.get(key)).is_some_and(|c| !c.is_udp());
        if can_wait || !self.hub.writes_down(message) {
            return false;
        }
        // One round may take in as much of it as a mailbox holds.
        if self.hub.journal_bytes() > HANDED_OVER_BYTES {
            self.hand_batch_over();
        } else {
            self.scarce.is_behind = keeper.is_behind(self.scarce.is_behind);
        }
        self.scarce.is_behind
    }

    fn read_again(&mut self, connections: Vec<ConnectionKey>) {
        for key in connections {
            if let Some(connection) = self.net.get_mut(key) {
                connection.is_paused = false;
                // It may have been read further than it was listened to.
                self.go_on(key);
            }
        }
    }

    /// A connection publishes.
    pub(super) fn note_publisher(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.net.get_mut(key) {
            connection.is_publisher = true;
        }
    }

    fn look_at_memory(&mut self) {
        for at in 0..self.net.dirty.len() {
            self.net.weigh_outbox(self.net.dirty[at]);
        }
        self.net.look_at_memory();
    }

    /// Whether the rest of what has been read from a connection has to wait, since memory has become short by what came
    /// before it in the same read. Where packets come in WebSocket frames a read is taken as a whole.
    pub(super) fn pauses_within(&mut self, key: ConnectionKey) -> bool {
        if !self.net.is_limited {
            return false;
        }
        self.watch_memory();
        let can_wait = |c: &Connection| {
            matches!(c.kind, Kind::Mqtt | Kind::JsonTcp | Kind::FramedTcp) && c.waiting.is_none()
        };
        let is_far_ahead = self.is_far_ahead();
        if !is_far_ahead && self.net.memory_stage < NO_PUBLISH || !self.net.get(key).is_some_and(can_wait) {
            return false;
        }
        if self.is_paused(key) {
            return true;
        }
        if is_far_ahead && let Some(connection) = self.net.get_mut(key) {
            connection.is_paused = true;
            self.scarce.wait_for_shards.push(key);
        }
        is_far_ahead
    }

    /// Whether other shards have so many messages to deliver that there should be no more for now: what comes of them is known
    /// only then, and may be as many deliveries as there are sessions.
    pub(super) fn is_far_ahead(&self) -> bool {
        if !self.net.is_limited || self.stop_at.is_some() {
            return false;
        }
        let own = self.net.number;
        let others = self.net.context.mailboxes.iter().enumerate().filter(|(shard, _)| *shard != own);
        let undelivered = others.map(|(_, mailbox)| mailbox.undelivered()).max().unwrap_or(0);
        undelivered + self.net.forwarded >= self.net.forwarded_max
    }

    /// Whether a connection is not to be read from now: it has published before, and either what it published had to be
    /// kept and the disk is behind; or memory is short and nothing is in flight towards it. Who has yet to acknowledge
    /// something is read from then, or what waits for it could never go.
    pub(super) fn is_paused(&mut self, key: ConnectionKey) -> bool {
        let is_short = self.net.memory_stage >= NO_PUBLISH;
        let Some(connection) = self.net.get(key) else { return false };
        if connection.is_paused {
            // Also if what it waited for has just come about, as other shards may see to at any moment: what has been read of it
            // comes before anything else, or its end would be taken for the end of that.
            return true;
        }
        if !is_short && !self.scarce.is_behind {
            return false;
        }
        let owes = || connection.session.is_some_and(|session| self.hub.has_deliveries(session));
        match connection.is_publisher {
            true if self.scarce.is_behind && connection.needs_disk => {
                self.scarce.wait_for_disk.push(key);
                self.net.stats().store_pauses.add(1);
            }
            true if is_short && !owes() => self.scarce.paused.push(key),
            _ => return false,
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.is_paused = true;
        }
        true
    }
}
