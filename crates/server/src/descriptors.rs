//! How many open files the process may have, and how many of them connections leave to others.
//!
//! The store opens a file whenever a segment is full, and an upgrade needs some, too. If connections took all that there are,
//! it would fail as a disk does. So accepting stops while there are still a few.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Left for the store, which needs two at a time, for an upgrade, files of users, and a few at one time of whatever comes.
const SPARE: usize = 16;

/// Of a low limit at most such a part is left.
const SPARE_PART: usize = 4;

/// The descriptors of the process.
#[derive(Debug)]
pub(crate) struct Descriptors {
    /// How many connections leave to others; each shard may accept one more before it knows.
    spare: usize,
    /// From this number on they are left; the system gives the lowest number that is free.
    first_spare: AtomicUsize,
}

impl Descriptors {
    /// For so many threads that accept connections.
    pub(crate) fn new(shards: usize) -> Descriptors {
        let descriptors = Descriptors { spare: SPARE + shards, first_spare: AtomicUsize::new(0) };
        descriptors.look();
        descriptors
    }

    /// Whether whoever got this one has got one that should be left to others. The limit may have been raised meanwhile.
    pub(crate) fn is_spare(&self, descriptor: RawFd) -> bool {
        let is_spare = || descriptor.unsigned_abs() as usize >= self.first_spare.load(Ordering::Relaxed);
        is_spare() && {
            self.look();
            is_spare()
        }
    }

    /// Asks for the limit.
    fn look(&self) {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        self.first_spare.store(limit - self.spare.min(limit / SPARE_PART), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_left_to_others() {
        let descriptors = Descriptors::new(2);
        let first = descriptors.first_spare.load(Ordering::Relaxed);
        let first = RawFd::try_from(first).expect("a limit of open files");
        assert!(first > 0 && !descriptors.is_spare(first - 1) && descriptors.is_spare(first));
        // One that was true once is found out not to be.
        descriptors.first_spare.store(0, Ordering::Relaxed);
        assert!(!descriptors.is_spare(first - 1));
    }
}
