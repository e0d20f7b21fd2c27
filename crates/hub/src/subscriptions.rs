//! The subscriptions of one shard's sessions, and who of them wants a message.

use crate::index::{Index, NodeId};
use crate::key::SessionKey;
use crate::presence::roll::RollKey;
use crate::slow_reader::SlowReader;
use foldhash::fast::FixedState;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::Range;
use trefoil_mqtt::QoS;

/// What a subscriber asked for along with a filter (MQTT 5.0 §3.8.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriptionOptions {
    /// The highest QoS to deliver with.
    pub qos: QoS,
    /// Not what this session publishes itself.
    pub no_local: bool,
    /// Deliver with the retain flag that the message was published with.
    pub retain_as_published: bool,
    /// The subscription identifier, sent along with each delivery [MQTT-3.3.4-3].
    pub id: Option<NonZeroU32>,
    /// What happens when its deliveries find no room; none: what holds for the topic or the session.
    pub slow_reader: Option<SlowReader>,
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        SubscriptionOptions {
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            id: None,
            slow_reader: None,
        }
    }
}

/// Identifiers of the subscriptions for which a message is delivered; mostly none.
pub(crate) type SubscriptionIds = SmallVec<[u32; 2]>;

#[derive(Clone, Copy, Debug)]
struct Entry {
    session: SessionKey,
    options: SubscriptionOptions,
    is_kept: bool,
}

/// Who subscribed to a filter.
#[derive(Default, Debug)]
struct Entries {
    list: Vec<Entry>,
    /// How many of them are sessions that are kept.
    kept: u32,
    /// Where it is written down who of them is connected, while anybody wants to know.
    roll: Option<RollKey>,
}

/// Filters of a shard and the sessions that subscribed to them.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    index: Index<Entries>,
    /// Where each subscription stands: so that subscribing and unsubscribing cost the same with one and with a million,
    /// be it subscribers of a filter or filters of a subscriber.
    places: HashMap<(SessionKey, NodeId), Place, FixedState>,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// In its filter's list of entries.
    entry: u32,
    /// In its session's list of filters.
    listed: u32,
}

/// The filters of one session, in no particular order.
#[derive(Default, Debug)]
pub(crate) struct Filters(Vec<NodeId>);

impl Filters {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Where they are.
    pub(crate) fn nodes(&self) -> &[NodeId] {
        &self.0
    }
}

/// What adding a subscription changed.
pub(crate) struct Added {
    /// Where the filter is.
    pub(crate) node: NodeId,
    /// The session had no subscription to this filter yet.
    pub(crate) is_new: bool,
    /// Nobody of this shard had.
    pub(crate) is_first: bool,
    /// No session of this shard that is kept had.
    pub(crate) is_first_kept: bool,
    /// Where the session is to be written down if it is new.
    pub(crate) roll: Option<RollKey>,
}

/// What the end of a subscription left behind.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Removed {
    /// The filter, if nobody of this shard is subscribed to it any more.
    pub(crate) last: Option<String>,
    /// The filter, if others are, but no session that is kept is any more.
    pub(crate) last_kept: Option<String>,
    /// Where the session may be written down.
    pub(crate) roll: Option<RollKey>,
}

impl Subscriptions {
    pub(crate) fn new(seed: u64) -> Subscriptions {
        Subscriptions { index: Index::new(seed), places: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Subscribes, or replaces the options of the subscription that is there [MQTT-3.8.4-3].
    pub(crate) fn add(
        &mut self,
        session: SessionKey,
        filters: &mut Filters,
        filter: &str,
        options: SubscriptionOptions,
        is_kept: bool,
    ) -> Added {
        let (node, entries) = self.index.entry(filter);
        let (entry, roll) = (Entry { session, options, is_kept }, entries.roll);
        if let Some(place) = self.places.get(&(session, node)) {
            // Whether it is kept is known since the session is.
            entries.list[place.entry as usize] = entry;
            return Added { node, is_new: false, is_first: false, is_first_kept: false, roll };
        }
        let place = Place { entry: count(entries.list.len()), listed: count(filters.0.len()) };
        entries.list.push(entry);
        entries.kept += u32::from(is_kept);
        let is_first_kept = is_kept && entries.kept == 1;
        filters.0.push(node);
        self.places.insert((session, node), place);
        Added { node, is_new: true, is_first: place.entry == 0, is_first_kept, roll }
    }

    /// The session is kept from now on. Returns the filters to which no other such session of this shard is subscribed.
    pub(crate) fn keep(&mut self, session: SessionKey, filters: &Filters) -> Vec<String> {
        let mut first = Vec::new();
        for &node in &filters.0 {
            let Some(place) = self.places.get(&(session, node)) else { continue };
            let Some(entries) = self.index.get_mut(node) else { continue };
            if !std::mem::replace(&mut entries.list[place.entry as usize].is_kept, true) {
                entries.kept += 1;
                if entries.kept == 1 {
                    first.push(self.index.filter(node));
                }
            }
        }
        first
    }

    /// What a subscription is to, and what was asked for along with it.
    pub(crate) fn get(&self, session: SessionKey, node: NodeId) -> Option<(String, SubscriptionOptions)> {
        let place = self.places.get(&(session, node))?;
        let entry = self.index.get(node)?.list.get(place.entry as usize)?;
        Some((self.index.filter(node), entry.options))
    }

    /// Where the subscription of a session to `filter` is; the filter is the same character by character [MQTT-3.10.4-1]
    /// [v3 MQTT-3.10.4-1].
    pub(crate) fn find(&self, session: SessionKey, filter: &str) -> Option<NodeId> {
        let node = self.index.find(filter)?;
        self.places.contains_key(&(session, node)).then_some(node)
    }

    /// Ends a subscription.
    pub(crate) fn remove(&mut self, session: SessionKey, filters: &mut Filters, node: NodeId) -> Removed {
        self.try_remove(session, filters, node).unwrap_or_default()
    }

    fn try_remove(&mut self, session: SessionKey, filters: &mut Filters, node: NodeId) -> Option<Removed> {
        let place = self.places.remove(&(session, node))?;
        filters.0.swap_remove(place.listed as usize);
        if let Some(&moved) = filters.0.get(place.listed as usize)
            && let Some(its) = self.places.get_mut(&(session, moved))
        {
            its.listed = place.listed;
        }
        let entries = self.index.get_mut(node)?;
        let was_kept = entries.list.swap_remove(place.entry as usize).is_kept;
        entries.kept -= u32::from(was_kept);
        let (is_last, is_last_kept) = (entries.list.is_empty(), was_kept && entries.kept == 0);
        let roll = entries.roll;
        if let Some(moved) = entries.list.get(place.entry as usize)
            && let Some(its) = self.places.get_mut(&(moved.session, node))
        {
            its.entry = place.entry;
        }
        if is_last {
            let last = Some(self.index.filter(node));
            if roll.is_none() {
                self.index.remove(node);
            }
            return Some(Removed { last, last_kept: None, roll });
        }
        Some(Removed { last: None, last_kept: is_last_kept.then(|| self.index.filter(node)), roll })
    }

    /// Ends one of a session's subscriptions, whichever; none when it has none. Returns as [`remove`](Self::remove).
    pub(crate) fn remove_any(&mut self, session: SessionKey, filters: &mut Filters) -> Option<Removed> {
        let node = *filters.0.last()?;
        Some(self.remove(session, filters, node))
    }

    /// Where `filter` is, whether anybody subscribed to it or not, and where its subscribers are written down, if they are.
    /// It stays there until [`end_roll`](Self::end_roll) is called.
    pub(crate) fn roll(&mut self, filter: &str) -> (NodeId, &mut Option<RollKey>) {
        let (node, entries) = self.index.entry(filter);
        (node, &mut entries.roll)
    }

    /// Where the subscribers of `filter` are written down, if they are.
    pub(crate) fn find_roll(&self, filter: &str) -> Option<RollKey> {
        self.roll_of(self.index.find(filter)?)
    }

    /// The same for the filter at a place.
    pub(crate) fn roll_of(&self, node: NodeId) -> Option<RollKey> {
        self.index.get(node)?.roll
    }

    /// Nobody is to be written down for the filter at a place any more.
    pub(crate) fn end_roll(&mut self, node: NodeId) {
        let Some(entries) = self.index.get_mut(node) else { return };
        entries.roll = None;
        if entries.list.is_empty() {
            self.index.remove(node);
        }
    }

    /// How many subscribed to the filter at a place.
    pub(crate) fn subscribers(&self, node: NodeId) -> usize {
        self.index.get(node).map_or(0, |entries| entries.list.len())
    }

    /// Some of them, by their places among them.
    pub(crate) fn some_subscribers(
        &self,
        node: NodeId,
        places: Range<usize>,
    ) -> impl Iterator<Item = SessionKey> {
        let list = self.index.get(node).and_then(|entries| entries.list.get(places)).unwrap_or_default();
        list.iter().map(|entry| entry.session)
    }

    /// Fills `audience` with the sessions that want a message on `topic`, each once, with the highest QoS of its
    /// matching subscriptions and the identifiers of all of them [MQTT-3.3.4-2] [v3 MQTT-3.3.5-1] [MQTT-3.3.4-4]
    /// [MQTT-3.3.4-5]. Nobody else gets it [MQTT-3.3.2-3] [v3 MQTT-3.3.2-3].
    pub(crate) fn audience(&self, topic: &str, publisher: Option<SessionKey>, audience: &mut Audience) {
        audience.clear();
        let mut filters = 0;
        self.index.matching(topic, |_, entries| {
            filters += 1;
            for entry in &entries.list {
                // [MQTT-3.8.3-3]
                if !(entry.options.no_local && publisher == Some(entry.session)) {
                    audience.add(entry);
                }
            }
        });
        if filters > 1 {
            audience.merge();
        }
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("memory ends before four billion subscriptions")
}

/// One session that wants a message.
#[derive(Clone, Copy, Debug)]
pub struct Receiver {
    /// Who.
    pub session: SessionKey,
    /// The highest QoS that it wants.
    pub qos: QoS,
    /// Whether it wants the retain flag as published.
    pub retain_as_published: bool,
    /// What its subscriptions say of deliveries that find no room.
    pub slow_reader: Option<SlowReader>,
    first_id: u32,
    ids: u32,
}

/// Who wants a message: a list to be used again for the next one.
#[derive(Default, Debug)]
pub struct Audience {
    receivers: Vec<Receiver>,
    ids: Vec<u32>,
}

impl Audience {
    /// The receivers.
    pub fn receivers(&self) -> &[Receiver] {
        &self.receivers
    }

    /// The subscription identifiers to send to one of them.
    pub fn subscription_ids(&self, receiver: &Receiver) -> &[u32] {
        &self.ids[receiver.first_id as usize..][..receiver.ids as usize]
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.receivers.clear();
        self.ids.clear();
    }

    fn add(&mut self, entry: &Entry) {
        let first_id = self.ids.len() as u32;
        self.ids.extend(entry.options.id.map(NonZeroU32::get));
        self.receivers.push(Receiver {
            session: entry.session,
            qos: entry.options.qos,
            retain_as_published: entry.options.retain_as_published,
            slow_reader: entry.options.slow_reader,
            first_id,
            ids: self.ids.len() as u32 - first_id,
        });
    }

    /// Makes one receiver of those of the same session.
    fn merge(&mut self) {
        self.receivers.sort_by_key(|r| r.session);
        let repeated = self.receivers.windows(2).any(|pair| pair[0].session == pair[1].session);
        if !repeated {
            return;
        }
        let (receivers, ids) = (std::mem::take(&mut self.receivers), std::mem::take(&mut self.ids));
        for r in receivers {
            let own = &ids[r.first_id as usize..][..r.ids as usize];
            match self.receivers.last_mut() {
                Some(last) if last.session == r.session => {
                    last.qos = last.qos.max(r.qos);
                    last.retain_as_published |= r.retain_as_published;
                    last.slow_reader = last.slow_reader.max(r.slow_reader);
                    last.ids += r.ids;
                }
                _ => self.receivers.push(Receiver { first_id: self.ids.len() as u32, ..r }),
            }
            self.ids.extend_from_slice(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn options(qos: QoS, id: u32) -> SubscriptionOptions {
        SubscriptionOptions { qos, id: NonZeroU32::new(id), ..Default::default() }
    }

    fn audience(subscriptions: &Subscriptions, topic: &str) -> BTreeMap<u32, (QoS, Vec<u32>)> {
        let mut audience = Audience::default();
        subscriptions.audience(topic, None, &mut audience);
        let all = audience.receivers().iter();
        let all: Vec<_> =
            all.map(|r| (r.session.index(), (r.qos, audience.subscription_ids(r).to_vec()))).collect();
        assert_eq!(all.len(), all.iter().map(|r| r.0).collect::<std::collections::BTreeSet<_>>().len());
        all.into_iter().collect()
    }

    #[test]
    fn overlapping_filters_make_one_receiver() {
        let mut subscriptions = Subscriptions::new(1);
        let (one, two) = (SessionKey::new(1), SessionKey::new(2));
        let (mut ones, mut twos) = (Filters::default(), Filters::default());
        subscriptions.add(one, &mut ones, "a/#", options(QoS::AtMostOnce, 3), false);
        subscriptions.add(two, &mut twos, "a/+", options(QoS::AtMostOnce, 0), false);
        subscriptions.add(one, &mut ones, "a/b", options(QoS::ExactlyOnce, 4), false);
        let mut found = audience(&subscriptions, "a/b");
        found.get_mut(&1).expect("it matches").1.sort_unstable();
        assert_eq!(found[&1], (QoS::ExactlyOnce, vec![3, 4]));
        assert_eq!(found[&2], (QoS::AtMostOnce, vec![]));
        assert_eq!(audience(&subscriptions, "a").len(), 1);
    }

    #[test]
    fn first_and_last_of_a_filter_are_told() {
        let mut subscriptions = Subscriptions::new(1);
        let mut all: Vec<_> = (0..100).map(|n| (SessionKey::new(n), Filters::default())).collect();
        let mut firsts = 0;
        for (key, filters) in &mut all {
            for filter in ["x/y", "x/+", "x"] {
                firsts += u32::from(
                    subscriptions.add(*key, filters, filter, options(QoS::AtMostOnce, 0), false).is_first,
                );
            }
        }
        assert_eq!(firsts, 3);
        let (key, filters) = &mut all[5];
        assert!(!subscriptions.add(*key, filters, "x/y", options(QoS::AtLeastOnce, 0), false).is_new);
        assert_eq!(audience(&subscriptions, "x/y")[&5].0, QoS::AtLeastOnce);
        // In an order that moves entries about.
        for (i, (key, filters)) in all.iter_mut().enumerate() {
            let node = subscriptions.find(*key, "x/y").expect("still subscribed");
            assert_eq!(subscriptions.remove(*key, filters, node).last.is_some(), i == 99);
            assert!(subscriptions.find(*key, "x/y").is_none() && filters.len() == 2);
            while let Some(last) = subscriptions.remove_any(*key, filters) {
                assert_eq!(last.last.is_some(), i == 99);
            }
            assert_eq!(filters.len(), 0);
        }
        assert_eq!(subscriptions.len(), 0);
    }

    #[test]
    fn no_local_leaves_the_publisher_out() {
        let mut subscriptions = Subscriptions::new(1);
        let key = SessionKey::new(1);
        let options = SubscriptionOptions { no_local: true, ..Default::default() };
        subscriptions.add(key, &mut Filters::default(), "a", options, false);
        let mut audience = Audience::default();
        subscriptions.audience("a", Some(key), &mut audience);
        assert!(audience.receivers().is_empty());
        subscriptions.audience("a", None, &mut audience);
        assert_eq!(audience.receivers().len(), 1);
    }
}
