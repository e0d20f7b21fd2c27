//! What the shards of a process know of each other: which of them wants a topic, and the shared subscriptions.
//!
//! A subscription is entered here before it is acknowledged, so whoever publishes after that acknowledgement, on
//! whichever shard, finds it. Only a shard's first subscriber and its last one to leave a filter change the table;
//! all others find the filter there already.

use crate::group::{Address, Group, Member, Strategy};
use crate::index::Index;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The most shards that a process may have: a set of them is a word.
pub const SHARDS_MAX: usize = 64;

/// Which shards want a topic.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ShardSet(u64);

impl ShardSet {
    /// The set without `shard`.
    #[must_use]
    pub fn without(self, shard: usize) -> ShardSet {
        ShardSet(self.0 & !(1 << shard))
    }

    /// Whether `shard` is in it.
    pub fn contains(self, shard: usize) -> bool {
        self.0 & 1 << shard != 0
    }

    /// Whether no shard is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The shards in it.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (next < 64).then_some(next as usize)
        })
    }
}

/// The table that maps filters to shards and to groups of sharing subscribers.
#[derive(Debug)]
pub struct Interest {
    index: RwLock<Index<Wanted>>,
    /// How many groups there are. While there are none, a hub with one shard needs not look here at all.
    groups: AtomicUsize,
    /// Goes up with every change, so that shards can remember what they have found.
    version: AtomicU64,
    strategy: Strategy,
    seed: u64,
}

#[derive(Default, Debug)]
struct Wanted {
    shards: ShardSet,
    /// Those of them in which a session wants it that is kept.
    keeping: ShardSet,
    /// By share name: there may be as many as strangers like to invent.
    groups: BTreeMap<Box<str>, Arc<Group>>,
}

impl Interest {
    /// A table in which nobody wants anything, for groups that choose their members by `strategy`.
    pub fn new(seed: u64, strategy: Strategy) -> Interest {
        Interest {
            index: RwLock::new(Index::new(seed)),
            groups: AtomicUsize::new(0),
            version: AtomicU64::new(1),
            strategy,
            seed,
        }
    }

    /// Enters that `shard` wants `filter`.
    pub fn add(&self, shard: usize, filter: &str) {
        self.write().entry(filter).1.shards.0 |= 1 << shard;
        // Before whoever subscribed is told, so that what others remember does not outlive that.
        self.changed();
    }

    /// Enters that `shard` no longer wants `filter`.
    pub fn remove(&self, shard: usize, filter: &str) {
        self.change(filter, |wanted| {
            wanted.shards = wanted.shards.without(shard);
            wanted.keeping = wanted.keeping.without(shard);
        });
    }

    /// Enters whether a session of `shard`, which wants `filter`, is kept.
    pub fn set_keeping(&self, shard: usize, filter: &str, is_keeping: bool) {
        self.change(filter, |wanted| {
            wanted.keeping = wanted.keeping.without(shard);
            wanted.keeping.0 |= u64::from(is_keeping) << shard;
        });
    }

    /// Which shards want `topic`, and which of them for a session that is kept. Puts the groups that share it into
    /// `groups`.
    pub fn of(&self, topic: &str, groups: &mut Vec<Arc<Group>>) -> (ShardSet, ShardSet) {
        let (mut shards, mut keeping) = (ShardSet::default(), ShardSet::default());
        self.read().matching(topic, |_, wanted| {
            shards.0 |= wanted.shards.0;
            keeping.0 |= wanted.keeping.0;
            groups.extend(wanted.groups.values().cloned());
        });
        (shards, keeping)
    }

    /// A shared subscription, if somebody takes part in it.
    pub fn group(&self, name: &str, filter: &str) -> Option<Arc<Group>> {
        let index = self.read();
        index.get(index.find(filter)?)?.groups.get(name).cloned()
    }

    /// How often the table has changed. What was found after asking for this holds as long as it says the same.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether any subscription is shared.
    pub fn has_groups(&self) -> bool {
        self.groups.load(Ordering::Acquire) > 0
    }

    /// Lets a session take part in a shared subscription, or replaces its options. Returns the group, and whether it
    /// was not in it before.
    pub fn join(&self, name: &str, filter: &str, member: Member) -> (Arc<Group>, bool) {
        let mut index = self.write();
        let groups = &mut index.entry(filter).1.groups;
        self.changed();
        let group = match groups.get(name) {
            Some(group) => group.clone(),
            None => {
                self.groups.fetch_add(1, Ordering::Release);
                let group = Arc::new(Group::new(name, filter, self.strategy, self.seed));
                groups.insert(name.into(), group.clone());
                group
            }
        };
        let is_new = group.join(member);
        (group, is_new)
    }

    /// Ends a session's part in a shared subscription.
    pub fn leave(&self, group: &Arc<Group>, at: Address) {
        // Under the table's lock, so that nobody joins a group that is being removed.
        self.change(group.filter(), |wanted| {
            group.leave(at);
            let is_it = wanted.groups.get(group.name()).is_some_and(|g| Arc::ptr_eq(g, group));
            if is_it && group.is_empty() {
                wanted.groups.remove(group.name());
                self.groups.fetch_sub(1, Ordering::Release);
            }
        });
    }

    fn change(&self, filter: &str, change: impl FnOnce(&mut Wanted)) {
        let mut index = self.write();
        let Some(node) = index.find(filter) else { return };
        let Some(wanted) = index.get_mut(node) else { return };
        change(wanted);
        if wanted.shards.is_empty() && wanted.groups.is_empty() {
            index.remove(node);
        }
        self.changed();
    }

    fn read(&self) -> RwLockReadGuard<'_, Index<Wanted>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index<Wanted>> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SessionKey;
    use crate::subscriptions::SubscriptionOptions;

    fn shards(interest: &Interest, topic: &str) -> Vec<usize> {
        interest.of(topic, &mut Vec::new()).0.iter().collect()
    }

    #[test]
    fn shards_come_and_go() {
        let interest = Interest::new(1, Strategy::RoundRobin);
        interest.add(0, "a/#");
        interest.add(3, "a/b");
        interest.add(3, "a/+");
        assert_eq!(shards(&interest, "a/b"), [0, 3]);
        interest.set_keeping(3, "a/b", true);
        assert!(interest.of("a/b", &mut Vec::new()).1.contains(3));
        interest.set_keeping(3, "a/b", false);
        assert!(interest.of("a/b", &mut Vec::new()).1.is_empty());
        interest.remove(3, "a/b");
        assert_eq!(shards(&interest, "a/b"), [0, 3]);
        interest.remove(3, "a/+");
        assert_eq!(shards(&interest, "a/b"), [0]);
        interest.remove(0, "a/#");
        assert!(interest.read().is_empty());
    }

    #[test]
    fn groups_are_there_while_they_have_members() {
        let interest = Interest::new(1, Strategy::RoundRobin);
        let member = |n| Member {
            at: Address { shard: 0, session: SessionKey::new(n), serial: 1 },
            options: SubscriptionOptions::default(),
            online: true,
            load: Arc::default(),
            stranded: 0,
            is_kept: false,
        };
        let (group, is_new) = interest.join("g", "a/#", member(0));
        assert!(is_new && !interest.join("g", "a/#", member(0)).1);
        let (same, is_new) = interest.join("g", "a/#", member(1));
        assert!(is_new && Arc::ptr_eq(&group, &same));
        let mut groups = Vec::new();
        assert!(interest.of("a/b", &mut groups).0.is_empty() && groups.len() == 1 && interest.has_groups());
        interest.leave(&group, member(0).at);
        assert!(interest.has_groups());
        interest.leave(&group, member(1).at);
        assert!(!interest.has_groups() && interest.read().is_empty());
    }
}
