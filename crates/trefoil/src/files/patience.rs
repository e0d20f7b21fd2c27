//! Trying again after a while, and for how long.

use std::time::{Duration, Instant};

/// The first pause; each one is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(200);
/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long it is worth trying since something went well.
pub(crate) struct Patience {
    allowed: Duration,
    until: Instant,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new(allowed: Duration) -> Patience {
        Patience { allowed, until: Instant::now() + allowed, pause: PAUSE }
    }

    /// Something went well: the time begins anew.
    pub(crate) fn renew(&mut self) {
        *self = Patience::new(self.allowed);
    }

    /// How long it is, in all.
    pub(crate) fn allowed(&self) -> Duration {
        self.allowed
    }

    /// How long is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Pauses before the next attempt. `false` if there should be none.
    pub(crate) fn pause(&mut self) -> bool {
        if self.left().is_zero() {
            return false;
        }
        std::thread::sleep(self.pause.min(self.left()));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}
