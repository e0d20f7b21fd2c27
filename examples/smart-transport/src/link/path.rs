//! What happens to bytes on their way in one direction: when they arrive, and whether. No socket and no clock.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::Quality;

/// The most that a packet of TCP carries.
const SEGMENT_BYTES: usize = 1_400;
/// How long TCP waits before it sends a lost packet again for the first time; each further time twice as long.
const RESEND: Duration = Duration::from_millis(200);
/// What waits longer than this for its turn is thrown away, as routers do. Only datagrams are.
const QUEUE_MAX: Duration = Duration::from_secs(2);

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Path {
    random: Rng,
    /// When the last byte accepted has left; the line is busy until then.
    busy_until: Instant,
    /// Bytes of a stream arrive in their order.
    arrived_at: Instant,
    stalls_at: Option<Instant>,
}

/// What was decided for some bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) arrives_at: Instant,
    pub(super) stalled: bool,
    /// Packets that were lost and sent again.
    pub(super) lost: u64,
}

/// What was decided for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Arrives(Instant),
    /// Much later, so that later ones overtake it.
    ArrivesLate(Instant),
    /// Twice.
    Doubled(Instant, Instant),
}

impl Path {
    pub(super) fn new(random: Rng, now: Instant) -> Path {
        Path { random, busy_until: now, arrived_at: now, stalls_at: None }
    }

    /// When bytes of a stream arrive that set out now.
    pub(super) fn stream(&mut self, bytes: usize, quality: &Quality, now: Instant) -> Passage {
        let stalled = self.stall(quality, now);
        self.occupy(bytes, quality, now);
        let mut lost = 0;
        let mut again = Duration::ZERO;
        for _ in 0..bytes.div_ceil(SEGMENT_BYTES) {
            let mut wait = RESEND;
            while self.strikes(quality.loss_percent) && lost < 16 {
                lost += 1;
                again += wait;
                wait *= 2;
            }
        }
        self.arrived_at = self.arrived_at.max(self.busy_until + self.delay(quality) + again);
        Passage { arrives_at: self.arrived_at, stalled, lost }
    }

    /// What happens to a datagram that sets out now.
    pub(super) fn datagram(&mut self, bytes: usize, quality: &Quality, now: Instant) -> Fate {
        if self.strikes(quality.loss_percent) || self.busy_until > now + QUEUE_MAX {
            return Fate::Lost;
        }
        self.occupy(bytes, quality, now);
        let arrives_at = self.busy_until + self.delay(quality);
        // Half as many as are lost come twice, and as many come late.
        if self.strikes(quality.loss_percent / 2.0) {
            return Fate::Doubled(arrives_at, self.busy_until + self.delay(quality));
        }
        if self.strikes(quality.loss_percent / 2.0) {
            return Fate::ArrivesLate(arrives_at + 2 * self.delay(quality) + Duration::from_millis(50));
        }
        Fate::Arrives(arrives_at)
    }

    fn strikes(&mut self, percent: f64) -> bool {
        percent > 0.0 && self.random.f64() * 100.0 < percent
    }

    fn delay(&mut self, quality: &Quality) -> Duration {
        Duration::from_millis(quality.delay_ms + self.random.u64(0..=quality.jitter_ms))
    }

    /// The line takes one packet after the other.
    fn occupy(&mut self, bytes: usize, quality: &Quality, now: Instant) {
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8_000);
        let takes = bits.checked_div(quality.kbit_per_s).unwrap_or(0);
        self.busy_until = self.busy_until.max(now) + Duration::from_micros(takes);
    }

    /// From time to time nothing passes for a moment.
    fn stall(&mut self, quality: &Quality, now: Instant) -> bool {
        if quality.stall_every_s <= 0.0 {
            self.stalls_at = None;
            return false;
        }
        let stalls_at = match self.stalls_at {
            Some(at) => at,
            None => now + wait(quality.stall_every_s, &mut self.random),
        };
        let stalls = now >= stalls_at;
        if stalls {
            self.busy_until = now.max(self.busy_until) + Duration::from_millis(self.random.u64(300..2_000));
        }
        self.stalls_at = (!stalls).then_some(stalls_at);
        stalls
    }
}

/// How long until something happens that happens every so many seconds in the mean and does not remember the last time.
pub(super) fn wait(mean_s: f64, random: &mut Rng) -> Duration {
    let exponential = -(1.0 - random.f64()).ln();
    Duration::from_secs_f64((mean_s * exponential).clamp(0.01, 100_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Quality = Quality { loss_percent: 30.0, stall_every_s: 1.0, ..fair() };

    const fn fair() -> Quality {
        Quality { delay_ms: 50, jitter_ms: 20, ..Quality::PERFECT }
    }

    fn path(now: Instant) -> Path {
        Path::new(Rng::with_seed(7), now)
    }

    #[test]
    fn a_perfect_network_takes_no_time() {
        let now = Instant::now();
        let passage = path(now).stream(100_000, &Quality::PERFECT, now);
        assert_eq!(passage, Passage { arrives_at: now, stalled: false, lost: 0 });
        assert_eq!(path(now).datagram(100, &Quality::PERFECT, now), Fate::Arrives(now));
    }

    #[test]
    fn delay_jitter_and_bandwidth_add_up() {
        let now = Instant::now();
        let quality = Quality { kbit_per_s: 8, ..fair() };
        let mut path = path(now);
        for number in 1..=10 {
            // A thousand bytes at a thousand a second.
            let due = now + Duration::from_secs(number) + Duration::from_millis(50);
            let arrives_at = path.stream(1_000, &quality, now).arrives_at;
            assert!(arrives_at >= due && arrives_at <= due + Duration::from_millis(20), "{number}");
        }
    }

    #[test]
    fn a_stream_keeps_its_order_and_the_same_seed_decides_the_same() {
        let start = Instant::now();
        let passages = || {
            let mut path = path(start);
            let at = |number: u64| start + Duration::from_millis(20 * number);
            (0..500).map(|number| path.stream(200, &BAD, at(number))).collect::<Vec<_>>()
        };
        let first = passages();
        assert!(first.is_sorted_by_key(|passage| passage.arrives_at));
        assert!(first.iter().any(|passage| passage.stalled));
        assert!(first.iter().any(|passage| passage.lost > 1));
        assert_eq!(first, passages());
    }

    #[test]
    fn datagrams_are_lost_doubled_and_overtaken() {
        let now = Instant::now();
        let mut path = path(now);
        let fates: Vec<Fate> = (0..1_000).map(|_| path.datagram(50, &BAD, now)).collect();
        let share = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        assert!((200..400).contains(&share(|fate| matches!(fate, Fate::Lost))));
        assert!((50..200).contains(&share(|fate| matches!(fate, Fate::Doubled(..)))));
        assert!((50..200).contains(&share(|fate| matches!(fate, Fate::ArrivesLate(_)))));
    }

    #[test]
    fn datagrams_that_would_wait_too_long_are_thrown_away() {
        let now = Instant::now();
        let quality = Quality { kbit_per_s: 8, ..Quality::PERFECT };
        let mut path = path(now);
        let fates = (0..10).map(|_| path.datagram(1_000, &quality, now));
        assert_eq!(fates.filter(|fate| *fate == Fate::Lost).count(), 7);
    }
}
