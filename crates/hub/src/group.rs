//! Shared subscriptions: who of those that share a filter gets a message (MQTT 5.0 §4.8.2).

use crate::key::SessionKey;
use crate::message::Message;
use crate::subscriptions::SubscriptionOptions;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use trefoil_mqtt::QoS;

/// How many members are compared for the least loaded one; where there are more, each message compares others.
const COMPARED_MAX: usize = 16;

/// How a member is chosen among those who have a connection.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Strategy {
    /// In turn; who has messages waiting behind a full window is passed over while another has not.
    #[default]
    RoundRobin,
    /// The one with the fewest messages that were given to it and are not sent, or not acknowledged.
    LeastLoaded,
    /// The same for all messages of a publisher, as long as it is there.
    Sticky,
    /// The same for all messages of a topic, as long as it is there.
    HashTopic,
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

/// How much a session that shares subscriptions has to do, told by its shard and read by all.
#[derive(Default, Debug)]
pub struct Load {
    /// Messages that were given to it and are not sent or not acknowledged. About: what is on its way between two
    /// shards may be missing.
    weight: AtomicU32,
    /// It has messages that wait for room in its window or its outbox.
    is_backed_up: AtomicBool,
    /// Something is stranded in one of its groups, or may be: it looks there when it has nothing else to do.
    is_called: AtomicBool,
}

impl Load {
    pub(crate) fn set_weight(&self, messages: usize) {
        self.weight.store(u32::try_from(messages).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    pub(crate) fn ease(&self) {
        let _ =
            self.weight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |weight| weight.checked_sub(1));
    }

    pub(crate) fn set_backed_up(&self, is_backed_up: bool) {
        if self.is_backed_up.load(Ordering::Relaxed) != is_backed_up {
            self.is_backed_up.store(is_backed_up, Ordering::Relaxed);
        }
    }

    /// Whether it is worth looking for what is stranded: a session may have more groups than could be asked each time.
    pub(crate) fn is_called(&self) -> bool {
        self.is_called.load(Ordering::Relaxed)
    }

    /// Before the groups are asked, so that a call which comes meanwhile is not lost.
    pub(crate) fn answer(&self) {
        self.is_called.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn call(&self) {
        self.is_called.store(true, Ordering::Release);
    }
}

/// A session's part in a shared subscription.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who.
    pub at: Address,
    /// What it asked for.
    pub options: SubscriptionOptions,
    /// Whether it has a connection.
    pub online: bool,
    /// What it has to do.
    pub load: Arc<Load>,
    /// Messages of the group that wait in its session while it has no connection: another may have them.
    pub stranded: usize,
    /// Its session is kept, and what it is given with it.
    pub is_kept: bool,
}

/// What a search for a member goes by.
#[derive(Clone, Copy, Default, Debug)]
pub struct Search {
    /// Stands for the publisher; none if that is not a client.
    pub publisher: Option<u64>,
    /// Who was asked last and could not.
    pub passed: Option<Address>,
    /// How many have been asked.
    pub asked: u8,
}

impl Search {
    /// The search goes on after `passed` could not.
    #[must_use]
    pub fn after(self, passed: Address) -> Search {
        Search { passed: Some(passed), asked: self.asked.saturating_add(1), ..self }
    }
}

/// Subscribers that share a filter: each message goes to one of them [MQTT-4.8.2-4].
#[derive(Debug)]
pub struct Group {
    name: Box<str>,
    filter: Box<str>,
    strategy: Strategy,
    hash: FixedState,
    members: Mutex<Members>,
    has_stranded: AtomicBool,
}

#[derive(Default, Debug)]
struct Members {
    list: Vec<Member>,
    turn: usize,
}

impl Group {
    pub(crate) fn new(name: &str, filter: &str, strategy: Strategy, seed: u64) -> Group {
        Group {
            name: name.into(),
            filter: filter.into(),
            strategy,
            hash: FixedState::with_seed(seed),
            members: Mutex::default(),
            has_stranded: AtomicBool::new(false),
        }
    }

    /// The share name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its members share.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// How its members are chosen.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Who is to get `message`: one of those who have a connection, by the group's strategy. If none has one, those
    /// whose sessions wait for messages of its QoS take turns.
    pub fn pick(&self, message: &Message, search: &Search) -> Option<Member> {
        let mut members = self.members();
        let Members { list, turn } = &mut *members;
        let start = *turn % list.len().max(1);
        // From another one each time, in order of joining.
        let in_turn = || {
            let places = (start..list.len()).chain(0..start).map(|place| (place, &list[place]));
            places.filter(|(_, m)| Some(m.at) != search.passed)
        };
        let online = || in_turn().filter(|(_, m)| m.online);
        let free = || online().find(|(_, m)| !m.load.is_backed_up.load(Ordering::Relaxed));
        let hashed =
            |of: u64| online().max_by_key(|(_, m)| self.hash.hash_one((of, search.asked, key(m.at))));
        let chosen = match (self.strategy, search.publisher) {
            (Strategy::LeastLoaded, _) => {
                online().take(COMPARED_MAX).min_by_key(|(_, m)| m.load.weight.load(Ordering::Relaxed))
            }
            (Strategy::Sticky, Some(publisher)) => hashed(publisher),
            (Strategy::HashTopic, _) => hashed(self.hash.hash_one(&*message.topic)),
            (Strategy::RoundRobin, _) | (Strategy::Sticky, None) => free().or_else(|| online().next()),
        };
        let waits = |(_, m): &(usize, &Member)| message.qos.min(m.options.qos) > QoS::AtMostOnce;
        let (place, chosen) = chosen.or_else(|| in_turn().find(waits))?;
        // Behind who was found, and not only one further: else whoever stands behind members that are away or backed up
        // would get all their turns. Where nobody takes turns the search still begins elsewhere.
        *turn = 1 + if self.strategy == Strategy::RoundRobin { place } else { start };
        chosen.load.weight.fetch_add(1, Ordering::Relaxed);
        Some(chosen.clone())
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members().list.len()
    }

    /// Whether there is nobody in it, as when the last one has just left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who has a connection, at most `members_max` of them, and not `passed`.
    pub fn online(&self, passed: Option<Address>, members_max: usize) -> Vec<Address> {
        let members = self.members();
        let online = members.list.iter().filter(|m| m.online && Some(m.at) != passed);
        online.map(|m| m.at).take(members_max).collect()
    }

    /// What a member asked for.
    pub(crate) fn options(&self, at: Address) -> Option<SubscriptionOptions> {
        self.members().list.iter().find(|m| m.at == at).map(|m| m.options)
    }

    /// Whether the session of any member is kept.
    pub(crate) fn has_kept(&self) -> bool {
        self.members().list.iter().any(|m| m.is_kept)
    }

    /// A session that is a member is kept from now on.
    pub(crate) fn set_kept(&self, at: Address) {
        if let Some(member) = self.members().list.iter_mut().find(|m| m.at == at) {
            member.is_kept = true;
        }
    }

    /// A member without a connection for which messages of the group wait, and the QoS at which `asker` gets them.
    pub fn stranded(&self, asker: Address) -> Option<(Address, QoS)> {
        if !self.has_stranded.load(Ordering::Acquire) {
            return None;
        }
        let members = self.members();
        let qos = members.list.iter().find(|m| m.at == asker)?.options.qos;
        let from = members.list.iter().find(|m| !m.online && m.stranded > 0)?;
        Some((from.at, qos))
    }

    /// Changes how many messages wait for a member without a connection.
    pub fn set_stranded(&self, at: Address, change: impl FnOnce(usize) -> usize) {
        let mut members = self.members();
        if let Some(member) = members.list.iter_mut().find(|m| m.at == at) {
            member.stranded = change(member.stranded);
        }
        self.note_stranded(&members);
    }

    /// Enters whether a member has a connection now.
    pub fn set_online(&self, at: Address, online: bool) {
        let mut members = self.members();
        if let Some(member) = members.list.iter_mut().find(|m| m.at == at) {
            (member.online, member.stranded) = (online, 0);
            member.load.call();
        }
        self.note_stranded(&members);
    }

    /// Returns whether it was not a member before.
    pub(crate) fn join(&self, member: Member) -> bool {
        member.load.call();
        let list = &mut self.members().list;
        match list.iter_mut().find(|m| m.at == member.at) {
            Some(old) => {
                *old = member;
                false
            }
            None => {
                list.push(member);
                true
            }
        }
    }

    /// Returns whether it was a member.
    pub(crate) fn leave(&self, at: Address) -> bool {
        let mut members = self.members();
        let before = members.list.len();
        members.list.retain(|m| m.at != at);
        self.note_stranded(&members);
        members.list.len() < before
    }

    fn note_stranded(&self, members: &Members) {
        let has_stranded = members.list.iter().any(|m| !m.online && m.stranded > 0);
        self.has_stranded.store(has_stranded, Ordering::Release);
        if has_stranded {
            members.list.iter().filter(|m| m.online).for_each(|m| m.load.call());
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(at: Address) -> (usize, usize, u32) {
    (at.shard, at.session.index() as usize, at.serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Topic;
    use std::collections::HashMap;

    fn member(session: u32) -> Member {
        let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..Default::default() };
        let at = Address { shard: 0, session: SessionKey::new(session), serial: 1 };
        Member { at, options, online: true, load: Arc::default(), stranded: 0, is_kept: false }
    }

    fn group(strategy: Strategy, members: u32) -> Group {
        let group = Group::new("g", "a/#", strategy, 1);
        for n in 0..members {
            assert!(group.join(member(n)));
        }
        group
    }

    fn message(topic: &str, qos: QoS) -> Message {
        Message {
            topic: Topic::new(topic, 8).expect("valid"),
            payload: "x".into(),
            qos,
            retain: false,
            expires_at: None,
            properties: None,
        }
    }

    fn picked(group: &Group, topic: &str, publisher: u64) -> Option<u32> {
        let search = Search { publisher: Some(publisher), ..Search::default() };
        group.pick(&message(topic, QoS::AtLeastOnce), &search).map(|m| m.at.session.index())
    }

    fn counts(picks: impl Iterator<Item = Option<u32>>) -> HashMap<u32, usize> {
        let mut counts = HashMap::new();
        picks.flatten().for_each(|m| *counts.entry(m).or_default() += 1);
        counts
    }

    #[test]
    fn members_take_turns_exactly() {
        let group = group(Strategy::RoundRobin, 3);
        let counts = counts((0..300).map(|_| picked(&group, "a", 1)));
        assert!(counts.len() == 3 && counts.values().all(|n| *n == 100), "{counts:?}");
    }

    #[test]
    fn the_turns_of_those_who_are_away_are_divided_among_all() {
        let group = group(Strategy::RoundRobin, 6);
        for n in [1, 2, 3] {
            group.set_online(member(n).at, false);
        }
        let counts = counts((0..300).map(|_| picked(&group, "a", 1)));
        assert!(counts.len() == 3 && counts.values().all(|n| *n == 100), "{counts:?}");
    }

    #[test]
    fn who_is_backed_up_is_passed_over_until_all_are() {
        let group = group(Strategy::RoundRobin, 3);
        let loads: Vec<_> = group.members().list.iter().map(|m| m.load.clone()).collect();
        loads[1].set_backed_up(true);
        let some = counts((0..100).map(|_| picked(&group, "a", 1)));
        assert_eq!(some.get(&1), None);
        loads.iter().for_each(|l| l.set_backed_up(true));
        let all = counts((0..300).map(|_| picked(&group, "a", 1)));
        assert!(all.values().all(|n| *n == 100), "{all:?}");
    }

    #[test]
    fn the_least_loaded_gets_the_next() {
        let group = group(Strategy::LeastLoaded, 4);
        let even = counts((0..400).map(|_| picked(&group, "a", 1)));
        assert!(even.values().all(|n| *n == 100), "{even:?}");
        group.members().list[2].load.set_weight(0);
        assert!((0..100).all(|_| picked(&group, "a", 1) == Some(2)), "it has caught up with none yet");
        group.members().list[2].load.set_weight(usize::MAX);
        assert_eq!(counts((0..300).map(|_| picked(&group, "a", 1))).get(&2), None);
    }

    #[test]
    fn hashed_choices_stay_and_only_those_of_who_leaves_move() {
        for strategy in [Strategy::Sticky, Strategy::HashTopic] {
            let group = group(strategy, 5);
            let choose = |n: u64| match strategy {
                Strategy::Sticky => picked(&group, "a", n),
                _ => picked(&group, &format!("a/{n}"), 1),
            };
            let first: Vec<_> = (0..500).map(choose).collect();
            assert_eq!(first, (0..500).map(choose).collect::<Vec<_>>());
            let shares = counts(first.iter().copied());
            assert!(shares.len() == 5 && shares.values().all(|n| (50..200).contains(n)), "{shares:?}");
            group.leave(member(3).at);
            for (n, before) in first.iter().enumerate() {
                let now = choose(n as u64);
                assert!(now == *before || *before == Some(3) && now != Some(3));
            }
        }
    }

    #[test]
    fn those_who_listen_come_first_and_qos_0_does_not_wait() {
        for strategy in [Strategy::RoundRobin, Strategy::LeastLoaded, Strategy::Sticky, Strategy::HashTopic] {
            let group = group(strategy, 3);
            for n in 0..3 {
                group.set_online(member(n).at, n == 1);
            }
            assert!((0..20).all(|n| picked(&group, "a", n) == Some(1)));
            let other = Search::default().after(member(1).at);
            assert!(group.pick(&message("a", QoS::AtMostOnce), &other).is_none());
            group.set_online(member(1).at, false);
            assert!(group.pick(&message("a", QoS::AtMostOnce), &Search::default()).is_none());
            assert_eq!(counts((0..30).map(|_| picked(&group, "a", 1))).len(), 3);
        }
    }

    #[test]
    fn what_is_stranded_is_known_until_its_member_is_back() {
        let group = group(Strategy::RoundRobin, 2);
        let at = member(0).at;
        let other = member(1).at;
        assert_eq!(group.stranded(other), None);
        group.set_online(at, false);
        group.set_stranded(at, |n| n + 3);
        assert_eq!(group.stranded(other), Some((at, QoS::AtLeastOnce)));
        assert_eq!((group.online(None, 9), group.online(Some(other), 9)), (vec![other], vec![]));
        group.set_online(at, true);
        assert_eq!(group.stranded(other), None);
    }
}
