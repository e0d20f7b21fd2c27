//! What the shards of a process know of each other: which of them wants a topic, and the shared subscriptions.
//!
//! A subscription is entered here before it is acknowledged, so whoever publishes after that acknowledgement, on
//! whichever shard, finds it. Only a shard's first subscriber and its last one to leave a filter change the table;
//! all others find the filter there already.

use crate::index::Index;
use crate::key::SessionKey;
use crate::subscriptions::SubscriptionOptions;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use trefoil_mqtt::QoS;

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
}

#[derive(Default, Debug)]
struct Wanted {
    shards: ShardSet,
    groups: Vec<Arc<Group>>,
}

impl Interest {
    /// A table in which nobody wants anything.
    pub fn new(seed: u64) -> Interest {
        Interest {
            index: RwLock::new(Index::new(seed)),
            groups: AtomicUsize::new(0),
            version: AtomicU64::new(1),
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
        self.change(filter, |wanted| wanted.shards = wanted.shards.without(shard));
    }

    /// Which shards want `topic`. Puts the groups that share it into `groups`.
    pub fn of(&self, topic: &str, groups: &mut Vec<Arc<Group>>) -> ShardSet {
        let mut shards = ShardSet::default();
        self.read().matching(topic, |_, wanted| {
            shards.0 |= wanted.shards.0;
            groups.extend(wanted.groups.iter().cloned());
        });
        shards
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

    /// Lets a session take part in a shared subscription, or replaces its options. Returns whether it did not before.
    pub fn join(&self, name: &str, filter: &str, member: Member) -> bool {
        let mut index = self.write();
        let groups = &mut index.entry(filter).1.groups;
        self.changed();
        let group = match groups.iter().find(|g| &*g.name == name) {
            Some(group) => group,
            None => {
                self.groups.fetch_add(1, Ordering::Release);
                groups.push(Arc::new(Group {
                    name: name.into(),
                    members: Mutex::default(),
                    turn: AtomicUsize::new(0),
                }));
                &groups[groups.len() - 1]
            }
        };
        let mut members = group.members();
        match members.iter_mut().find(|m| m.at == member.at) {
            Some(old) => {
                *old = member;
                false
            }
            None => {
                members.push(member);
                true
            }
        }
    }

    /// Ends a session's part in a shared subscription. Returns whether it had one.
    pub fn leave(&self, name: &str, filter: &str, at: Address) -> bool {
        let mut was_member = false;
        self.change(filter, |wanted| {
            let Some(i) = wanted.groups.iter().position(|g| &*g.name == name) else { return };
            let mut members = wanted.groups[i].members();
            let before = members.len();
            members.retain(|m| m.at != at);
            was_member = members.len() < before;
            let is_empty = members.is_empty();
            drop(members);
            if is_empty {
                wanted.groups.swap_remove(i);
                self.groups.fetch_sub(1, Ordering::Release);
            }
        });
        was_member
    }

    /// Enters whether a member has a connection now.
    pub fn set_online(&self, name: &str, filter: &str, at: Address, online: bool) {
        let index = self.read();
        let Some(wanted) = index.find(filter).and_then(|node| index.get(node)) else { return };
        for group in wanted.groups.iter().filter(|g| &*g.name == name) {
            group.members().iter_mut().filter(|m| m.at == at).for_each(|m| m.online = online);
        }
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

/// Where a session is: its shard, and its place there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// The shard that owns it.
    pub shard: usize,
    /// Its place in that shard.
    pub session: SessionKey,
    /// Tells it from a later session at the same place.
    pub serial: u32,
}

/// A session's part in a shared subscription.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Who.
    pub at: Address,
    /// What it asked for.
    pub options: SubscriptionOptions,
    /// Whether it has a connection.
    pub online: bool,
}

/// Subscribers that share a filter: each message goes to one of them [MQTT-4.8.2-4].
#[derive(Debug)]
pub struct Group {
    name: Box<str>,
    members: Mutex<Vec<Member>>,
    turn: AtomicUsize,
}

impl Group {
    /// Whose turn it is, in turn among those who have a connection. If none has one, those whose session waits for
    /// messages of `qos` take turns. `passed` has been asked already and could not.
    pub fn pick(&self, qos: QoS, passed: Option<Address>) -> Option<Member> {
        let members = self.members();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let can = |m: &&Member| Some(m.at) != passed;
        let round = |wanted: &dyn Fn(&Member) -> bool| {
            (0..members.len())
                .map(|i| &members[(turn + i) % members.len()])
                .filter(can)
                .find(|m| wanted(m))
                .copied()
        };
        round(&|m| m.online).or_else(|| {
            let queued = |m: &Member| qos.min(m.options.qos) > QoS::AtMostOnce;
            round(&queued)
        })
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(interest: &Interest, topic: &str) -> Vec<usize> {
        interest.of(topic, &mut Vec::new()).iter().collect()
    }

    #[test]
    fn shards_come_and_go() {
        let interest = Interest::new(1);
        interest.add(0, "a/#");
        interest.add(3, "a/b");
        interest.add(3, "a/+");
        assert_eq!(shards(&interest, "a/b"), [0, 3]);
        interest.remove(3, "a/b");
        assert_eq!(shards(&interest, "a/b"), [0, 3]);
        interest.remove(3, "a/+");
        assert_eq!(shards(&interest, "a/b"), [0]);
        interest.remove(0, "a/#");
        assert!(interest.read().is_empty());
    }

    fn member(session: u32, online: bool) -> Member {
        let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..Default::default() };
        Member { at: Address { shard: 0, session: SessionKey::new(session), serial: 1 }, options, online }
    }

    #[test]
    fn members_take_turns_and_those_who_listen_come_first() {
        let interest = Interest::new(1);
        for i in 0..3 {
            assert!(interest.join("g", "a/#", member(i, true)));
        }
        let mut groups = Vec::new();
        assert!(interest.of("a/b", &mut groups).is_empty());
        let group = groups.pop().expect("one group shares it");
        let pick = |qos| group.pick(qos, None).map(|m| m.at.session.index());
        let mut got: Vec<_> = (0..6).filter_map(|_| pick(QoS::AtMostOnce)).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 0, 1, 1, 2, 2]);

        for i in 0..3 {
            interest.set_online("g", "a/#", member(i, true).at, i == 1);
        }
        assert!((0..5).all(|_| pick(QoS::AtLeastOnce) == Some(1)));
        assert_eq!(group.pick(QoS::AtMostOnce, Some(member(1, true).at)).map(|m| m.at), None);

        interest.set_online("g", "a/#", member(1, true).at, false);
        assert_eq!(pick(QoS::AtMostOnce), None);
        assert!(pick(QoS::AtLeastOnce).is_some());

        for i in 0..3 {
            assert!(interest.leave("g", "a/#", member(i, true).at));
        }
        assert!(!interest.has_groups() && interest.read().is_empty());
    }
}
