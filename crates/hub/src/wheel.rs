//! A timer wheel: deadlines that cost a few bytes each and nothing while they wait.

use crate::time::Time;

const SLOTS: usize = 1024;
/// How exact the wheel is, and so how late a timer may fire.
const SLOT_MS: u64 = 64;

/// Timers by deadline. There is no way to cancel one: who gets a timer that no longer holds ignores it, or sets
/// it again for the deadline that holds now. So a connection that is heard from every second needs one entry and
/// not one for each thing heard.
#[derive(Debug)]
pub struct Wheel<T> {
    slots: Vec<Vec<(Time, T)>>,
    /// A bit for each slot that has timers in it, since the loop asks for the next one before each sleep.
    occupied: [u64; SLOTS / 64],
    /// All slots up to this tick have been emptied.
    done_tick: u64,
    len: usize,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; SLOTS / 64],
            done_tick: 0,
            len: 0,
        }
    }
}

impl<T> Wheel<T> {
    /// Sets a timer.
    pub fn set(&mut self, at: Time, what: T) {
        let tick = (at.as_ms() / SLOT_MS + 1).max(self.done_tick + 1);
        let slot = (tick % SLOTS as u64) as usize;
        self.slots[slot].push((at, what));
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Moves all that is due at `now` to the end of `due`.
    pub fn expire(&mut self, now: Time, due: &mut Vec<T>) {
        let now_tick = now.as_ms() / SLOT_MS;
        if self.is_empty() {
            self.done_tick = self.done_tick.max(now_tick);
            return;
        }
        // After a long pause each slot is looked at once and not once a round.
        let from = self.done_tick.max(now_tick.saturating_sub(SLOTS as u64));
        for tick in from + 1..=now_tick {
            let index = (tick % SLOTS as u64) as usize;
            let slot = &mut self.slots[index];
            for i in (0..slot.len()).rev() {
                if slot[i].0 <= now {
                    due.push(slot.swap_remove(i).1);
                    self.len -= 1;
                }
            }
            if slot.is_empty() {
                self.occupied[index / 64] &= !(1 << (index % 64));
                if slot.capacity() > 64 {
                    *slot = Vec::new();
                }
            }
        }
        self.done_tick = self.done_tick.max(now_tick);
    }

    /// Milliseconds from `now` until it is worth calling [`expire`](Self::expire) again; none while no timer is set.
    pub fn wait_ms(&self, now: Time) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let tick = self.done_tick + self.slots_to_next();
        Some((tick * SLOT_MS).saturating_sub(now.as_ms()))
    }

    /// How many slots after the last emptied one the next occupied one is.
    fn slots_to_next(&self) -> u64 {
        let first = ((self.done_tick + 1) % SLOTS as u64) as usize;
        let words = self.occupied.len();
        // The first word is looked at twice: from the first slot on, and at the end of the round from its start.
        for step in 0..=words {
            let word = (first / 64 + step) % words;
            let seen_before = if step == 0 { (1u64 << (first % 64)) - 1 } else { 0 };
            let bits = self.occupied[word] & !seen_before;
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                return ((slot + SLOTS - first) % SLOTS) as u64 + 1;
            }
        }
        SLOTS as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Everything fires once, not early, and at most a slot late.
        #[test]
        fn fires_on_time(deadlines in proptest::collection::vec(0u64..200_000, 1..40), step in 1u64..5_000) {
            let mut wheel = Wheel::default();
            for (i, &ms) in deadlines.iter().enumerate() {
                wheel.set(Time::from_ms(ms), i);
            }
            let mut fired = vec![None; deadlines.len()];
            let mut now = 0;
            while !wheel.is_empty() {
                prop_assert!(now < 300_000, "a timer never fires");
                let mut due = Vec::new();
                wheel.expire(Time::from_ms(now), &mut due);
                for i in due {
                    prop_assert_eq!(fired[i].replace(now), None);
                }
                now += step;
            }
            for (at, want) in fired.iter().zip(&deadlines) {
                let at = at.expect("the wheel is empty, so all have fired");
                prop_assert!(at >= *want && at <= want + SLOT_MS + step, "{at} for {want}");
            }
        }

        /// Sleeping as long as the wheel says never misses a deadline by more than a slot.
        #[test]
        fn waits_no_longer_than_it_may(deadlines in proptest::collection::vec(0u64..200_000, 1..20)) {
            let mut wheel = Wheel::default();
            for &ms in &deadlines {
                wheel.set(Time::from_ms(ms), ms);
            }
            let (mut now, mut rounds) = (Time::default(), 0);
            while let Some(wait) = wheel.wait_ms(now) {
                now = now.plus_ms(wait.max(1));
                let mut due = Vec::new();
                wheel.expire(now, &mut due);
                for ms in due {
                    prop_assert!(now.as_ms() >= ms && now.as_ms() <= ms + 2 * SLOT_MS);
                }
                rounds += 1;
                prop_assert!(rounds < 10_000);
            }
        }
    }
}
