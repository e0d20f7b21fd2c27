//! A session that follows the histories of topics: which offset it wants next of each.

use super::{Base, Start, TopicHistory};
use crate::retained::Cursor;
use crate::topic::matches;
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// What a session that follows has been given, and what it is still to be given.
///
/// What it may hold is bounded: subscriptions by their own limit, places by `followed_max`, and each place stands among those
/// that are ready at most once.
#[derive(Default, Debug)]
pub(crate) struct Follower {
    /// By topic, of filters without a wildcard.
    exact: HashMap<Box<str>, Subscription, RandomState>,
    wild: Vec<(Box<str>, Subscription)>,
    /// By the birth of the history.
    places: HashMap<u64, Following, RandomState>,
    /// Histories that have something for it, each once.
    pub(crate) ready: VecDeque<u64>,
    /// Filters whose topics are still to be looked through.
    pub(crate) walks: VecDeque<Cursor>,
    /// Topics of which it knew a place, and that have no history any more.
    pub(crate) lost: VecDeque<Box<str>>,
    /// It stands in the list of those that go on when there is time.
    pub(crate) is_listed: bool,
}

/// How a subscription follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) base: Base,
    pub(crate) wish: Wish,
}

/// What a subscription asks for beside the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wish {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    /// When it is too slow it wants the newest message only.
    pub(crate) latest: bool,
}

/// How far the history of one topic has been given.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) history: Arc<TopicHistory>,
    /// The offset that comes next.
    pub(crate) want: u64,
    pub(crate) wish: Wish,
    /// It stands among those that are ready.
    pub(crate) is_ready: bool,
    /// A gap is to be told of first.
    pub(crate) gap: bool,
    /// It did not keep up with what was published.
    pub(crate) is_behind: bool,
}

impl Follower {
    /// A subscription has been made; one that was there goes on as it was but for what it asks for.
    pub(crate) fn subscribe(&mut self, pattern: &str, subscription: Subscription) {
        let known = match self.subscription(pattern) {
            Some(known) => {
                known.wish = subscription.wish;
                true
            }
            None => false,
        };
        if !known {
            match has_wildcard(pattern) {
                true => self.wild.push((pattern.into(), subscription)),
                false => drop(self.exact.insert(pattern.into(), subscription)),
            }
        }
        self.refresh(pattern);
    }

    /// The subscription to a filter.
    pub(crate) fn subscription(&mut self, pattern: &str) -> Option<&mut Subscription> {
        if has_wildcard(pattern) {
            let mut wild = self.wild.iter_mut();
            return wild.find(|(known, _)| **known == *pattern).map(|(_, subscription)| subscription);
        }
        self.exact.get_mut(pattern)
    }

    /// A subscription has ended; topics that no other one is for are followed no more.
    pub(crate) fn unsubscribe(&mut self, pattern: &str) {
        if has_wildcard(pattern) {
            self.wild.retain(|(known, _)| **known != *pattern);
            self.walks.retain(|walk| walk.pattern() != pattern);
        } else {
            self.exact.remove(pattern);
        }
        self.refresh(pattern);
    }

    /// Brings what is followed of a filter's topics in line with what the subscriptions ask for now.
    fn refresh(&mut self, pattern: &str) {
        let mut places = std::mem::take(&mut self.places);
        places.retain(|_, following| {
            let topic = following.history.topic();
            if !matches(pattern, topic) {
                return true;
            }
            match self.wish_for(topic) {
                Some(wish) => following.wish = wish,
                None => return false,
            }
            true
        });
        self.ready.retain(|birth| places.contains_key(birth));
        self.places = places;
    }

    fn of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Subscription> {
        let wild = self.wild.iter().filter(move |(pattern, _)| matches(pattern, topic));
        self.exact.get(topic).into_iter().chain(wild.map(|(_, subscription)| subscription))
    }

    fn wish_for(&self, topic: &str) -> Option<Wish> {
        let wishes = self.of(topic).map(|subscription| subscription.wish);
        wishes.reduce(|one, other| Wish {
            qos: one.qos.max(other.qos),
            no_local: one.no_local && other.no_local,
            latest: one.latest && other.latest,
        })
    }

    /// How far a history has been given. If that is not known yet it begins where the earliest of the subscriptions wants
    /// it to; none if no subscription is for the topic, or as many are followed as may be.
    pub(crate) fn place(
        &mut self,
        history: &Arc<TopicHistory>,
        followed_max: usize,
    ) -> Option<&mut Following> {
        let birth = history.birth();
        if !self.places.contains_key(&birth) {
            let start = self.start(history)?;
            self.set(history, start, followed_max)?;
        }
        self.places.get_mut(&birth)
    }

    /// Where the earliest of the subscriptions wants a history to begin; none if none is for it.
    pub(crate) fn start(&self, history: &TopicHistory) -> Option<Start> {
        let starts = self.of(history.topic()).map(|subscription| history.start(&subscription.base));
        starts.reduce(|one, other| Start {
            want: one.want.min(other.want),
            gap: one.gap || other.gap,
            has_more: one.has_more || other.has_more,
        })
    }

    /// Begins, or begins anew, to follow a history from somewhere; none if no subscription is for the topic, or as many are
    /// followed as may be.
    pub(crate) fn set(
        &mut self,
        history: &Arc<TopicHistory>,
        start: Start,
        followed_max: usize,
    ) -> Option<()> {
        let birth = history.birth();
        let wish = self.wish_for(history.topic())?;
        let was_ready = match self.places.get(&birth) {
            Some(known) => known.is_ready,
            None if self.places.len() >= followed_max => return None,
            None => false,
        };
        let is_ready = was_ready || start.gap || start.has_more;
        if is_ready && !was_ready {
            self.ready.push_back(birth);
        }
        let Start { want, gap, .. } = start;
        let following = Following { history: history.clone(), want, wish, is_ready, gap, is_behind: false };
        self.places.insert(birth, following);
        Some(())
    }

    /// Whether a history is followed already.
    pub(crate) fn knows(&self, history: &TopicHistory) -> bool {
        self.places.contains_key(&history.birth())
    }

    /// How far the history with this birth has been given.
    pub(crate) fn by_birth(&mut self, birth: u64) -> Option<&mut Following> {
        self.places.get_mut(&birth)
    }

    /// There is something in a history that it has not been given.
    pub(crate) fn make_ready(&mut self, birth: u64) {
        if let Some(following) = self.places.get_mut(&birth)
            && !std::mem::replace(&mut following.is_ready, true)
        {
            self.ready.push_back(birth);
        }
    }

    /// Whether there is nothing to go on with.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.walks.is_empty() && self.lost.is_empty()
    }
}

/// Whether a filter is for more than one topic.
pub(crate) fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['+', '#'])
}
