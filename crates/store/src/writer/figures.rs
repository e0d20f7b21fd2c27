//! What a writer counts.

use std::time::Duration;

use crate::writer::State;

/// The bounds of [`Figures::sync_times`]: a sync counts for the first bound that it does not exceed, and for the place
/// behind the last one if it exceeds all.
pub const SYNC_TIMES: [Duration; 12] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// How a writer is and what it has done since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How it is.
    pub state: State,
    /// Syncs that succeeded and had something to make durable.
    pub syncs: u64,
    /// How many of them took how long; the bounds are [`SYNC_TIMES`].
    pub sync_times: [u64; SYNC_TIMES.len() + 1],
    /// How long all of them took.
    pub sync_time_sum: Duration,
    /// How long the longest took.
    pub sync_time_max: Duration,
    /// Batches that were appended.
    pub batches: u64,
    /// Records that were appended.
    pub records: u64,
    /// Bytes of these records in the log.
    pub appended_bytes: u64,
    /// Batches that were thrown away, since the disk had failed.
    pub discarded_batches: u64,
    /// Bytes of the segments that are there, without the reserve.
    pub disk_bytes: u64,
    /// Segments that are there.
    pub segments: u64,
    /// Payload bytes that are submitted and not yet written.
    pub waiting_bytes: u64,
    /// Errors of the disk, attempts to heal among them.
    pub failures: u64,
    /// Checkpoints that are complete.
    pub checkpoints: u64,
}

impl Figures {
    pub(super) fn count_sync(&mut self, time: Duration) {
        self.syncs += 1;
        self.sync_time_sum += time;
        self.sync_time_max = self.sync_time_max.max(time);
        let place = SYNC_TIMES.iter().position(|bound| time <= *bound).unwrap_or(SYNC_TIMES.len());
        self.sync_times[place] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_counts_once() {
        let mut figures = Figures::default();
        for micros in [0, 100, 101, 2_000_000, 3_000_000] {
            figures.count_sync(Duration::from_micros(micros));
        }
        assert_eq!(figures.sync_times, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((figures.syncs, figures.sync_time_max), (5, Duration::from_secs(3)));
    }
}
