//! Exclusive subscriptions: `$exclusive/FILTER` is `FILTER`, for one session at a time.

use crate::group::Address;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// With what a filter begins that only one session may hold.
pub(crate) const PREFIX: &str = "$exclusive/";

/// Who holds which filter, in all shards.
#[derive(Default, Debug)]
pub(crate) struct Exclusive(Mutex<HashMap<Box<str>, Address>>);

impl Exclusive {
    /// Takes a filter for a session. Returns whether the session has it now: no other one may have it.
    pub(crate) fn take(&self, filter: &str, at: Address) -> bool {
        match self.table().entry(filter.into()) {
            Entry::Occupied(held) => *held.get() == at,
            Entry::Vacant(free) => {
                free.insert(at);
                true
            }
        }
    }

    /// Gives a filter back.
    pub(crate) fn give_back(&self, filter: &str, at: Address) {
        let mut table = self.table();
        if table.get(filter) == Some(&at) {
            table.remove(filter);
        }
    }

    /// How many filters are held.
    pub(crate) fn len(&self) -> usize {
        self.table().len()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Box<str>, Address>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
