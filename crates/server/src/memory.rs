//! How much memory the hub has taken, and what it does without when that is nearly all that it may.
//!
//! What counts is the lower of two figures: what the system says that the process holds, which is the truth but stays
//! high after a peak, since freed memory is kept to be used again; and what the hub knows to hold, counted generously.

use crate::context::Context;
use crate::stats::{Figure, total};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use trefoil_config::MemoryMax;

/// From this stage on, nobody comes who has no session yet.
pub(crate) const NO_NEW: u8 = 1;
/// From this stage on, QoS 0 is dropped for everybody whose socket takes no more.
pub(crate) const NO_QOS_0: u8 = 2;
/// At this stage publishers are not read from.
pub(crate) const NO_PUBLISH: u8 = 3;

/// In percent of the limit: where each stage begins, and below which it ends.
const BEGINS: [u64; 3] = [80, 90, 95];
const ENDS: [u64; 3] = [75, 85, 90];

/// What things cost the process beside the bytes of messages; rather too much than too little.
const CONNECTION_BYTES: u64 = 4096;
pub(crate) const SESSION_BYTES: u64 = 2048;
const SUBSCRIPTION_BYTES: u64 = 256;
const MESSAGE_BYTES: u64 = 256;

/// The memory of the hub. None of it is looked at unless there is a limit.
#[derive(Debug)]
pub(crate) struct Memory {
    /// 0 is no limit.
    bytes_max: u64,
    /// What the process held before it read the store, and before it did anything else.
    base: u64,
    used: AtomicU64,
    stage: AtomicU8,
    looking: Mutex<()>,
}

impl Memory {
    /// To be called before anything is taken that [`known_bytes`] counts.
    pub(crate) fn new(wish: MemoryMax) -> Memory {
        let bytes_max = match wish {
            MemoryMax::Unlimited => 0,
            MemoryMax::Bytes(bytes) => bytes,
            MemoryMax::Percent(percent) => machine_bytes() / 100 * u64::from(percent),
        };
        Memory {
            bytes_max,
            base: resident_bytes().unwrap_or(0),
            used: AtomicU64::new(0),
            stage: AtomicU8::new(0),
            looking: Mutex::default(),
        }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.bytes_max > 0
    }

    /// The limit; 0 for none.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What counted when somebody last looked.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What was left of the limit then.
    pub(crate) fn headroom(&self) -> u64 {
        self.bytes_max.saturating_sub(self.used())
    }

    /// How much the hub does without.
    pub(crate) fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    /// After how many bytes that have come and gone a shard looks again.
    pub(crate) fn step(&self) -> u64 {
        self.bytes_max / 256
    }

    /// Looks how much is taken, and says so if that changes anything.
    pub(crate) fn look(&self, context: &Context) {
        let _looking = match self.looking.try_lock() {
            Ok(looking) => looking,
            // Somebody else is about to say the same.
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
        };
        let known = self.base + known_bytes(context) / 4 * 5;
        let used = resident_bytes().map_or(known, |resident| resident.min(known));
        self.used.store(used, Ordering::Relaxed);
        let before = self.stage();
        let stage = next_stage(before, used, self.bytes_max);
        if stage == before {
            return;
        }
        self.stage.store(stage, Ordering::Relaxed);
        let max = self.bytes_max;
        let what = match stage {
            0 => "everything is as usual again",
            NO_NEW => "new connections are refused",
            NO_QOS_0 => "new connections are refused, and slow readers get no QoS 0",
            _ => "new connections are refused, slow readers get no QoS 0, and publishers are not read from",
        };
        match stage > before {
            true => tracing::warn!(stage, used, max, "memory is short: {what}"),
            false => tracing::info!(stage, used, max, "memory is less short: {what}"),
        }
        context.mailboxes.iter().for_each(crate::mail::Mailbox::wake);
    }
}

/// A stage begins at once and ends only some way below, so that it is not entered and left all the time.
fn next_stage(now: u8, used: u64, max: u64) -> u8 {
    let above =
        |percents: [u64; 3]| percents.iter().filter(|p| used / 100 * 100 >= max / 100 * **p).count() as u8;
    above(BEGINS).max(now.min(above(ENDS)))
}

/// What the hub knows to hold.
fn known_bytes(context: &Context) -> u64 {
    let sum = |figure: fn(&crate::stats::Stats) -> &Figure| total(&context.stats, figure);
    let (queued, queued_bytes) = context.hub.queued();
    let (in_flight, in_flight_bytes) = context.hub.in_flight();
    let (retained, retained_bytes) = context.hub.retained.size();
    let (delayed, delayed_bytes) = context.hub.delayed_size();
    let mail: usize = context.mailboxes.iter().map(crate::mail::Mailbox::bytes).sum();
    let messages = (queued + in_flight + retained + delayed) as u64;
    (queued_bytes + in_flight_bytes + retained_bytes + delayed_bytes + mail) as u64
        + messages * MESSAGE_BYTES
        + sum(|s| &s.outbox_bytes)
        + context.connections.load(Ordering::Relaxed) as u64 * CONNECTION_BYTES
        + sum(|s| &s.sessions) * SESSION_BYTES
        + (sum(|s| &s.subscriptions) + sum(|s| &s.shared_subscriptions)) * SUBSCRIPTION_BYTES
}

/// What the process holds of the machine's memory, where the system says so.
fn resident_bytes() -> Option<u64> {
    // Unlike /proc/self/statm it does not count in pages, whose size differs from machine to machine.
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The memory of the machine, or of the container if that has less; where neither is known, no bound at all.
fn machine_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kibibytes(&text, "MemTotal:")).unwrap_or(0);
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    machine.min(container)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_begin_at_once_and_end_further_down() {
        let mut stage = 0;
        for (used, expected) in [
            (79_000, 0),
            (80_000, 1),
            (76_000, 1),
            (74_000, 0),
            (96_000, 3),
            (91_000, 3),
            (89_000, 2),
            (86_000, 2),
            (84_000, 1),
            (95_000, 3),
            (10_000, 0),
        ] {
            stage = next_stage(stage, used, 100_000);
            assert_eq!(stage, expected, "at {used}");
        }
    }

    #[test]
    fn the_system_says_how_much_there_is() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 0));
        assert!(machine_bytes() > 0);
        assert!(!Memory::new(MemoryMax::Unlimited).is_limited());
        assert_eq!(Memory::new(MemoryMax::Bytes(5)).bytes_max(), 5);
        assert_eq!(Memory::new(MemoryMax::Percent(50)).bytes_max(), machine_bytes() / 100 * 50);
    }
}
