//! Time, as it is passed in: nothing in this crate reads a clock.

/// A moment in milliseconds since the hub was started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment `ms` milliseconds after the start.
    pub fn from_ms(ms: u64) -> Time {
        Time(ms)
    }

    /// Milliseconds since the start.
    pub fn as_ms(self) -> u64 {
        self.0
    }

    /// `ms` milliseconds later; the end of time where that is beyond it.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms))
    }

    /// `s` seconds later.
    #[must_use]
    pub fn plus_s(self, s: u64) -> Time {
        self.plus_ms(s.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to this moment; 0 when that is later.
    pub fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
