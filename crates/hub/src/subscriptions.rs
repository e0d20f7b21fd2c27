//! The subscriptions of one shard's sessions, and who of them wants a message.

use crate::index::{Index, NodeId};
use crate::key::SessionKey;
use foldhash::fast::FixedState;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::num::NonZeroU32;
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
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        SubscriptionOptions { qos: QoS::AtMostOnce, no_local: false, retain_as_published: false, id: None }
    }
}

/// Identifiers of the subscriptions for which a message is delivered; mostly none.
pub(crate) type SubscriptionIds = SmallVec<[u32; 2]>;

#[derive(Clone, Copy, Debug)]
struct Entry {
    session: SessionKey,
    options: SubscriptionOptions,
}

/// Filters of a shard and the sessions that subscribed to them.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    index: Index<Vec<Entry>>,
    /// Where a session's entry stands in its filter's list: so that subscribing and unsubscribing cost the same with
    /// one subscriber and with a million.
    positions: HashMap<(SessionKey, NodeId), u32, FixedState>,
}

/// What adding a subscription changed.
pub(crate) struct Added {
    pub(crate) node: NodeId,
    /// The session had no subscription to this filter yet.
    pub(crate) is_new: bool,
    /// Nobody of this shard had.
    pub(crate) is_first: bool,
}

impl Subscriptions {
    pub(crate) fn new(seed: u64) -> Subscriptions {
        Subscriptions {
            index: Index::new(seed),
            positions: HashMap::with_hasher(FixedState::with_seed(seed)),
        }
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Subscribes, or replaces the options of the subscription that is there [MQTT-3.8.4-3].
    pub(crate) fn add(&mut self, session: SessionKey, filter: &str, options: SubscriptionOptions) -> Added {
        let (node, entries) = self.index.entry(filter);
        let entry = Entry { session, options };
        if let Some(&at) = self.positions.get(&(session, node)) {
            entries[at as usize] = entry;
            return Added { node, is_new: false, is_first: false };
        }
        let at = u32::try_from(entries.len()).expect("there are fewer sessions");
        entries.push(entry);
        self.positions.insert((session, node), at);
        Added { node, is_new: true, is_first: at == 0 }
    }

    /// Where the subscription of a session to `filter` is.
    pub(crate) fn find(&self, session: SessionKey, filter: &str) -> Option<NodeId> {
        let node = self.index.find(filter)?;
        self.positions.contains_key(&(session, node)).then_some(node)
    }

    /// Ends a subscription. Returns the filter if nobody of this shard is subscribed to it any more.
    pub(crate) fn remove(&mut self, session: SessionKey, node: NodeId) -> Option<String> {
        let at = self.positions.remove(&(session, node))? as usize;
        let entries = self.index.get_mut(node)?;
        entries.swap_remove(at);
        if let Some(moved) = entries.get(at) {
            self.positions.insert((moved.session, node), at as u32);
        }
        if !entries.is_empty() {
            return None;
        }
        let filter = self.index.filter(node);
        self.index.remove(node);
        Some(filter)
    }

    /// Fills `audience` with the sessions that want a message on `topic`, each once, with the highest QoS of its
    /// matching subscriptions and the identifiers of all of them [MQTT-3.3.4-2] [MQTT-3.3.4-4].
    pub(crate) fn audience(&self, topic: &str, publisher: Option<SessionKey>, audience: &mut Audience) {
        audience.clear();
        let mut filters = 0;
        self.index.matching(topic, |_, entries| {
            filters += 1;
            for entry in entries {
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

/// One session that wants a message.
#[derive(Clone, Copy, Debug)]
pub struct Receiver {
    /// Who.
    pub session: SessionKey,
    /// The highest QoS that it wants.
    pub qos: QoS,
    /// Whether it wants the retain flag as published.
    pub retain_as_published: bool,
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
        subscriptions.add(one, "a/#", options(QoS::AtMostOnce, 3));
        subscriptions.add(two, "a/+", options(QoS::AtMostOnce, 0));
        subscriptions.add(one, "a/b", options(QoS::ExactlyOnce, 4));
        let mut found = audience(&subscriptions, "a/b");
        found.get_mut(&1).expect("it matches").1.sort_unstable();
        assert_eq!(found[&1], (QoS::ExactlyOnce, vec![3, 4]));
        assert_eq!(found[&2], (QoS::AtMostOnce, vec![]));
        assert_eq!(audience(&subscriptions, "a").len(), 1);
    }

    #[test]
    fn first_and_last_of_a_filter_are_told() {
        let mut subscriptions = Subscriptions::new(1);
        let keys: Vec<_> = (0..100).map(SessionKey::new).collect();
        let added: Vec<_> =
            keys.iter().map(|&k| subscriptions.add(k, "x/y", options(QoS::AtMostOnce, 0))).collect();
        assert_eq!(added.iter().filter(|a| a.is_first).count(), 1);
        assert!(!subscriptions.add(keys[5], "x/y", options(QoS::AtLeastOnce, 0)).is_new);
        assert_eq!(audience(&subscriptions, "x/y")[&5].0, QoS::AtLeastOnce);
        // In an order that moves entries about.
        for (i, &key) in keys.iter().enumerate() {
            let node = subscriptions.find(key, "x/y").expect("still subscribed");
            let last = subscriptions.remove(key, node);
            assert_eq!(last.is_some(), i == 99);
            assert!(subscriptions.find(key, "x/y").is_none());
        }
        assert_eq!(subscriptions.len(), 0);
    }

    #[test]
    fn no_local_leaves_the_publisher_out() {
        let mut subscriptions = Subscriptions::new(1);
        let key = SessionKey::new(1);
        subscriptions.add(key, "a", SubscriptionOptions { no_local: true, ..Default::default() });
        let mut audience = Audience::default();
        subscriptions.audience("a", Some(key), &mut audience);
        assert!(audience.receivers().is_empty());
        subscriptions.audience("a", None, &mut audience);
        assert_eq!(audience.receivers().len(), 1);
    }
}
