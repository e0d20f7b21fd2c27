//! Whether the other side is still there.

use std::time::Duration;
use tokio::time::Instant;

/// Decides when to ask the hub for a sign of life, and when to give it up.
///
/// A ping is due when for an interval nothing was sent (the hub would count this client as dead) or nothing was heard
/// (the hub may be).
#[derive(Debug)]
pub(crate) struct KeepAlive {
    /// `None`: never ask.
    interval: Option<Duration>,
    sent_at: Instant,
    heard_at: Instant,
    asked_at: Instant,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    /// Nothing was heard in spite of pings.
    Dead,
}

/// How many intervals without a word it takes; a ping that got lost is no death.
const SILENT_INTERVALS_MAX: u32 = 3;

impl KeepAlive {
    /// `interval_s` is 0 for never.
    pub(crate) fn new(interval_s: u16, now: Instant) -> KeepAlive {
        let interval = (interval_s > 0).then(|| Duration::from_secs(interval_s.into()));
        KeepAlive { interval, sent_at: now, heard_at: now, asked_at: now }
    }

    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent_at = now;
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// What is due. After [`Due::Ping`] the caller sends one.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        let Some(interval) = self.interval else { return Due::Nothing };
        if now >= self.heard_at + interval * SILENT_INTERVALS_MAX {
            return Due::Dead;
        }
        if now < self.ping_at(interval) {
            return Due::Nothing;
        }
        self.asked_at = now;
        Due::Ping
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let interval = self.interval?;
        Some(self.ping_at(interval).min(self.heard_at + interval * SILENT_INTERVALS_MAX))
    }

    fn ping_at(&self, interval: Duration) -> Instant {
        self.sent_at.min(self.heard_at).max(self.asked_at) + interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_leads_to_pings_and_then_to_the_end() {
        let start = Instant::now();
        let mut alive = KeepAlive::new(10, start);
        assert_eq!(alive.due(start + SECOND * 9), Due::Nothing);
        assert_eq!(alive.deadline(), Some(start + SECOND * 10));
        assert_eq!(alive.due(start + SECOND * 10), Due::Ping);
        assert_eq!(alive.due(start + SECOND * 11), Due::Nothing);
        assert_eq!(alive.due(start + SECOND * 20), Due::Ping);
        assert_eq!(alive.due(start + SECOND * 30), Due::Dead);
    }

    #[test]
    fn traffic_in_one_direction_alone_does_not_do() {
        let start = Instant::now();
        let mut alive = KeepAlive::new(10, start);
        alive.heard(start + SECOND * 9);
        assert_eq!(alive.due(start + SECOND * 10), Due::Ping, "the hub has to hear of us");
        alive.sent(start + SECOND * 18);
        alive.heard(start + SECOND * 18);
        assert_eq!(alive.due(start + SECOND * 27), Due::Nothing);
        assert_eq!(alive.due(start + SECOND * 28), Due::Ping);
    }

    #[test]
    fn nobody_is_asked_without_an_interval() {
        let start = Instant::now();
        let mut alive = KeepAlive::new(0, start);
        assert_eq!(alive.due(start + SECOND * 100_000), Due::Nothing);
        assert_eq!(alive.deadline(), None);
    }
}
