//! How fast a checkpoint is made beside the traffic: numbers in, numbers out.
//!
//! What it writes follows what the traffic writes, as in an incremental collector: for each byte that comes, so many are
//! said again that it is through before what comes has used half of the room that there is. So it is always through in
//! time, however busy the disk is, and a sync of the traffic has a few times its own bytes in front of it at most. A low
//! rate by the clock is added, so that it goes on while little comes; that part waits while the disk is behind.

use super::extent::Sizes;

/// What is worth a step.
const STEP_BYTES: u64 = 8 << 10;

/// What one shard says again at a time.
const STEP_BYTES_MAX: u64 = 64 << 10;

/// The rate by the clock.
const BYTES_PER_MS: u64 = 8 << 10;

/// Time counts up to here from one step to the next: what was held up is not made up for all at once.
const LAPSE_MS_MAX: u64 = 4;

/// While so much is on its way to the disk, the clock does not count.
const WAITING_BYTES_MAX: u64 = 1 << 20;

/// So much is said again until somebody waits for it, so that a sync of the traffic never has more of it to do.
const UNSYNCED_BYTES_MAX: u64 = 256 << 10;

/// The rate is a number of such parts for each byte of the traffic.
const PARTS: u64 = 16;

/// The least and the highest rate: half a byte for each byte that comes, and eight.
const RATE_PARTS: (u64, u64) = (PARTS / 2, PARTS * 8);

/// The pace of one checkpoint.
#[derive(Debug)]
pub(super) struct Pace {
    rate_parts: u64,
    /// What the traffic had written when it was last looked, and when that was.
    traffic: u64,
    now_ms: u64,
    /// What may have been said, in parts, and what has been.
    allowed_parts: u64,
    said: u64,
    unsynced: u64,
}

impl Pace {
    /// Of a checkpoint that writes about `to_say` bytes, begun when the traffic had written so much.
    pub(super) fn new(sizes: Sizes, to_say: u64, traffic: u64, now_ms: u64) -> Pace {
        let room = sizes.limit().saturating_sub(sizes.disk).saturating_sub(to_say);
        let rate = to_say.saturating_mul(2 * PARTS) / room.max(1);
        let rate_parts = rate.clamp(RATE_PARTS.0, RATE_PARTS.1);
        Pace { rate_parts, traffic, now_ms, allowed_parts: 0, said: 0, unsynced: 0 }
    }

    /// What may be said now, 0 for nothing yet, with so much of the traffic written and so much waiting for the disk.
    pub(super) fn step(&mut self, traffic: u64, waiting: u64, now_ms: u64) -> u64 {
        let come = traffic.saturating_sub(self.traffic);
        let lapse_ms = now_ms.saturating_sub(self.now_ms).min(LAPSE_MS_MAX);
        let by_clock = if waiting < WAITING_BYTES_MAX { lapse_ms * BYTES_PER_MS } else { 0 };
        self.allowed_parts += come * self.rate_parts + by_clock * PARTS;
        (self.traffic, self.now_ms) = (self.traffic.max(traffic), self.now_ms.max(now_ms));
        match (self.allowed_parts / PARTS).saturating_sub(self.said) {
            ..STEP_BYTES => 0,
            due => due.min(STEP_BYTES_MAX),
        }
    }

    /// So much has been said. Returns whether that is to be synced now, whoever else waits.
    pub(super) fn has_said(&mut self, bytes: u64) -> bool {
        self.said += bytes;
        self.unsynced += bytes;
        let is_much = self.unsynced >= UNSYNCED_BYTES_MAX;
        if is_much {
            self.unsynced = 0;
        }
        is_much
    }

    /// How much has been said.
    pub(super) fn said(&self) -> u64 {
        self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn sizes(disk: u64, live: u64) -> Sizes {
        Sizes { disk: disk * MIB, live: live * MIB, beside: 0, slack: 64 * MIB }
    }

    /// Says all that is to be said while `come` bytes come each millisecond, and gives what has come until then.
    fn run(mut pace: Pace, to_say: u64, come: u64, waiting: u64) -> (u64, u64) {
        let (mut traffic, mut now_ms, mut largest) = (0, 0, 0);
        while pace.said() < to_say {
            (traffic, now_ms) = (traffic + come, now_ms + 1);
            let bytes = pace.step(traffic, waiting, now_ms);
            largest = largest.max(bytes);
            pace.has_said(bytes);
        }
        assert!(largest <= STEP_BYTES_MAX);
        (traffic, now_ms)
    }

    #[test]
    fn it_is_through_before_the_room_is_used_however_busy_the_disk_is() {
        for live in [10, 40, 200, 5000] {
            let sizes = sizes(live / 2 * 3 + 33, live);
            let to_say = if sizes.has_room_for_all() { sizes.live } else { sizes.written_for(sizes.front()) };
            let (traffic, _) = run(Pace::new(sizes, to_say, 0, 0), to_say, 10_000, u64::MAX);
            assert!(sizes.disk + to_say + traffic <= sizes.limit(), "{live}: {traffic} came");
        }
    }

    #[test]
    fn it_is_through_by_the_clock_when_nothing_comes() {
        let to_say = 100 * MIB;
        let (traffic, ms) = run(Pace::new(sizes(333, 200), to_say, 0, 0), to_say, 0, 0);
        assert_eq!((traffic, ms), (0, to_say / BYTES_PER_MS));
    }

    #[test]
    fn the_clock_does_not_count_while_the_disk_is_behind_and_is_not_made_up_for() {
        let mut pace = Pace::new(sizes(333, 200), 50 * MIB, 0, 0);
        assert_eq!(pace.step(0, WAITING_BYTES_MAX, 1000), 0);
        assert_eq!(pace.step(0, 0, 10_000), LAPSE_MS_MAX * BYTES_PER_MS);
        // Without room the rate is the highest: eight bytes for one.
        let mut pace = Pace::new(sizes(500, 200), 50 * MIB, 0, 0);
        assert_eq!(pace.step(2048, u64::MAX, 0), 8 * 2048);
        assert_eq!(pace.step(2048 + 200_000, u64::MAX, 0), STEP_BYTES_MAX);
    }

    #[test]
    fn what_a_sync_of_the_traffic_finds_unsynced_is_bounded() {
        let mut pace = Pace::new(sizes(333, 200), 50 * MIB, 0, 0);
        let synced: Vec<bool> = (0..8).map(|_| pace.has_said(UNSYNCED_BYTES_MAX / 4)).collect();
        assert_eq!(synced, [false, false, false, true, false, false, false, true]);
    }
}
