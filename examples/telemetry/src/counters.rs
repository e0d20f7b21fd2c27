//! A pair of byte counters with a name, for disks and networks alike.

use std::time::Duration;

use serde::Serialize;

/// Bytes since the machine started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The kernel's name of the disk or interface.
    pub(crate) name: String,
    /// Read or received.
    pub(crate) incoming_bytes: u64,
    /// Written or sent.
    pub(crate) outgoing_bytes: u64,
}

impl Counters {
    /// Machines list many disks and interfaces that never carry anything.
    pub(crate) fn was_used(&self) -> bool {
        self.incoming_bytes > 0 || self.outgoing_bytes > 0
    }
}

/// What is published on `…/disk/NAME` and `…/network/NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Rates {
    /// Read or received since the reading before, for each second.
    pub(crate) in_bytes_per_s: u64,
    /// Written or sent, likewise.
    pub(crate) out_bytes_per_s: u64,
    /// Read or received since the machine started.
    pub(crate) in_bytes: u64,
    /// Written or sent since then.
    pub(crate) out_bytes: u64,
}

/// What happened between two readings. A counter that runs backwards was reset: then nothing happened.
pub(crate) fn rates(before: &Counters, after: &Counters, elapsed: Duration) -> Rates {
    // A span of zero would make every rate endless.
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = |before: u64, after: u64| (after.saturating_sub(before) as f64 / seconds).round() as u64;
    Rates {
        in_bytes_per_s: rate(before.incoming_bytes, after.incoming_bytes),
        out_bytes_per_s: rate(before.outgoing_bytes, after.outgoing_bytes),
        in_bytes: after.incoming_bytes,
        out_bytes: after.outgoing_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(incoming_bytes: u64, outgoing_bytes: u64) -> Counters {
        Counters { name: "eth0".into(), incoming_bytes, outgoing_bytes }
    }

    #[test]
    fn divides_by_the_time_that_passed() {
        let rates = rates(&counters(1000, 500), &counters(3000, 500), Duration::from_millis(500));
        assert_eq!((rates.in_bytes_per_s, rates.out_bytes_per_s), (4000, 0));
        assert_eq!((rates.in_bytes, rates.out_bytes), (3000, 500));
    }

    #[test]
    fn survives_a_reset_and_a_clock_that_stands_still() {
        assert_eq!(rates(&counters(1000, 0), &counters(10, 0), Duration::from_secs(1)).in_bytes_per_s, 0);
        assert_eq!(rates(&counters(0, 0), &counters(1, 0), Duration::ZERO).in_bytes_per_s, 1000);
    }
}
