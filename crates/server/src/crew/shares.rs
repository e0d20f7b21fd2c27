//! Who holds what: how threads share shards out among themselves, and over again when more or fewer of them work.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};
use std::thread::Thread;

/// Things, each held by one thread at a time. Thread `n` of `k` that work holds `n`, `n + k`, and so on.
pub(super) struct Shares<T> {
    things: Vec<Mutex<T>>,
    /// How many threads work, from 1 to the number of things.
    working: AtomicUsize,
    /// Each thread, once it is known: whom to wake when the shares have changed.
    threads: Vec<OnceLock<Thread>>,
}

impl<T> Shares<T> {
    /// As many threads as things; the first one works.
    pub(super) fn new(things: Vec<T>) -> Shares<T> {
        Shares {
            working: AtomicUsize::new(1),
            threads: things.iter().map(|_| OnceLock::new()).collect(),
            things: things.into_iter().map(Mutex::new).collect(),
        }
    }

    /// How many things there are.
    pub(super) fn len(&self) -> usize {
        self.things.len()
    }

    /// How many threads work.
    pub(super) fn working(&self) -> usize {
        self.working.load(Ordering::Acquire)
    }

    /// Changes how many threads work, unless another thread has just done so. Returns whether it has.
    pub(super) fn set_working(&self, from: usize, to: usize) -> bool {
        let changed = self.working.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if changed {
            self.wake_all();
        }
        changed
    }

    /// Makes a thread known. Whoever is not does not learn that the shares have changed.
    pub(super) fn introduce(&self, number: usize, thread: &Thread) {
        self.threads[number].get_or_init(|| thread.clone());
    }

    /// Makes all threads look around that are parked.
    pub(super) fn wake_all(&self) {
        self.threads.iter().filter_map(OnceLock::get).for_each(Thread::unpark);
    }

    /// Takes the share of thread `number` of `working`, which must be the thread that calls. Waits until those who held it
    /// before have let go; gives up when `goes_on` says no or the number at work is another one by then.
    ///
    /// It must not simply wait for one lock after the other. The number may change again meanwhile: then what it waits
    /// for belongs to somebody who has no reason to let go of it, and what it has got already is somebody else's.
    pub(super) fn take(
        &self,
        number: usize,
        working: usize,
        goes_on: impl Fn() -> bool,
    ) -> Option<Held<'_, T>> {
        let mut held = Held { things: Vec::new(), shares: self };
        for thing in self.things.iter().skip(number).step_by(working) {
            let guard = loop {
                if self.working() != working || !goes_on() {
                    return None;
                }
                match thing.try_lock() {
                    Ok(guard) => break guard,
                    Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                    // Both who changes the number and who lets go wake all afterwards, so neither is missed: a thread
                    // that is woken before it parks does not park.
                    Err(TryLockError::WouldBlock) => std::thread::park(),
                }
            };
            held.things.push(guard);
        }
        Some(held)
    }
}

/// What a thread holds. Whoever waits for it is woken when it is dropped.
pub(super) struct Held<'a, T> {
    things: Vec<MutexGuard<'a, T>>,
    shares: &'a Shares<T>,
}

impl<'a, T> Deref for Held<'a, T> {
    type Target = [MutexGuard<'a, T>];

    fn deref(&self) -> &Self::Target {
        &self.things
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.things
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.things.clear();
        self.shares.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    /// Longer than everything else takes, so that what never comes is seen as that.
    const LOST: Duration = Duration::from_secs(20);

    #[test]
    fn who_waits_for_what_has_become_anothers_gives_up() {
        let shares = Arc::new(Shares::new(vec![(); 4]));
        assert!(shares.set_working(1, 3));
        let (say, said) = mpsc::channel();
        // As with three at work, the first thread wants the first and the last; the fourth still has the last.
        let last = shares.things[3].lock().expect("nobody has panicked");
        let (theirs, sender) = (shares.clone(), say.clone());
        let first = std::thread::spawn(move || {
            theirs.introduce(0, &std::thread::current());
            let looked = AtomicU64::new(0);
            let held = theirs.take(0, 3, || {
                // The second look is at the last one, which it then waits for.
                if looked.fetch_add(1, Ordering::Relaxed) == 1 {
                    sender.send("waits").expect("the test listens");
                }
                true
            });
            sender.send(if held.is_some() { "holds" } else { "gives up" }).expect("the test listens");
        });
        assert_eq!(said.recv_timeout(LOST), Ok("waits"));
        // Four at work: the fourth thread has what is its own.
        assert!(shares.set_working(3, 4));
        assert_eq!(said.recv_timeout(LOST), Ok("gives up"));
        first.join().expect("it has not panicked");
        assert!(shares.things[0].try_lock().is_ok(), "it has kept what it had got");
        drop(last);
        assert!(shares.take(0, 4, || false).is_none());
        assert_eq!(shares.take(0, 4, || true).map(|held| held.len()), Some(1));
    }

    #[test]
    fn whatever_number_works_everything_is_seen_to_again() {
        const COUNT: usize = 8;
        const CHANGES: usize = 3_000;
        let shares = Arc::new(Shares::new((0..COUNT).collect()));
        let ends = Arc::new(AtomicBool::new(false));
        // How often each thing has been seen to.
        let turns: Arc<Vec<AtomicU64>> = Arc::new((0..COUNT).map(|_| AtomicU64::new(0)).collect());
        let start = |number: usize| {
            let (shares, ends, turns) = (shares.clone(), ends.clone(), turns.clone());
            std::thread::spawn(move || {
                shares.introduce(number, &std::thread::current());
                while !ends.load(Ordering::Acquire) {
                    let working = shares.working();
                    if number >= working {
                        std::thread::park();
                        continue;
                    }
                    let goes_on = || !ends.load(Ordering::Acquire);
                    let Some(held) = shares.take(number, working, goes_on) else { continue };
                    while shares.working() == working && goes_on() {
                        held.iter().for_each(|thing| _ = turns[**thing].fetch_add(1, Ordering::Release));
                        std::thread::park_timeout(Duration::from_micros(50));
                    }
                }
            })
        };
        let threads: Vec<_> = (0..COUNT).map(start).collect();
        let (say, said) = mpsc::channel();
        let theirs = shares.clone();
        let changer = std::thread::spawn(move || {
            let mut random = 1_usize;
            for change in 0..CHANGES {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                theirs.set_working(theirs.working(), 1 + (random >> 33) % COUNT);
                // Mostly while they are still at the change before; now and then once they have settled.
                if change % 8 == 7 {
                    let before: Vec<u64> = turns.iter().map(|t| t.load(Ordering::Acquire)).collect();
                    while turns.iter().zip(&before).any(|(t, before)| t.load(Ordering::Acquire) == *before) {
                        std::thread::yield_now();
                    }
                    say.send(()).expect("the test listens");
                }
            }
        });
        for settled in 0..CHANGES / 8 {
            let came = said.recv_timeout(LOST);
            assert!(came.is_ok(), "after {settled} times that all were seen to, nobody sees to one");
        }
        changer.join().expect("it has not panicked");
        ends.store(true, Ordering::Release);
        shares.wake_all();
        threads.into_iter().for_each(|thread| thread.join().expect("it has not panicked"));
    }
}
