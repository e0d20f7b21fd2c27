//! Retained messages: which of them belong to which subscription.
//!
//! A delivery does not say which subscription it is for. Where several could be meant, all that counts is that there is
//! one way of giving each delivery to a subscription, and each subscription that was promised something its delivery.

use super::{Known, matches};
use std::collections::HashMap;

/// The retained messages that one client's subscriptions bring.
#[derive(Default)]
pub(super) struct Replays {
    replays: Vec<Replay>,
    given: Vec<Given>,
    has_crashed: bool,
}

/// What the hub has taken over for retaining, by topic.
pub(super) type Kept = HashMap<String, KeptMessage>;

/// The last message of a topic that was acknowledged, also if all that it did was to clear the topic.
#[derive(Clone, Copy)]
pub(super) struct KeptMessage {
    pub(super) number: u64,
    /// One at QoS 0 may have taken its place, which may get lost on its way to whoever subscribes.
    pub(super) may_be_weak: bool,
}

/// The retained messages for one subscription.
struct Replay {
    filter: String,
    qos: u8,
    /// What was the hub's to keep when the subscription was asked for, by topic.
    kept: Kept,
    /// The subscription was acknowledged, and still holds.
    is_promised: bool,
}

/// A delivery with the retain flag.
struct Given {
    topic: String,
    number: u64,
    qos: u8,
    published_qos: u8,
    may_be_old: bool,
    /// The subscriptions that were asked for before it came; those after it cannot be meant.
    asked: usize,
    /// The one that it is given to.
    replay: Option<usize>,
}

impl Replay {
    fn fits(&self, given: &Given) -> bool {
        let is_new_enough = |kept: &KeptMessage| given.may_be_old || kept.number <= given.number;
        matches(&self.filter, &given.topic)
            && given.qos == self.qos.min(given.published_qos)
            && self.kept.get(&given.topic).is_none_or(is_new_enough)
    }
}

impl Replays {
    pub(super) fn asked(&mut self, filter: &str, qos: u8, kept: &Kept) -> usize {
        let kept = kept.iter().filter(|(topic, _)| matches(filter, topic));
        let kept = kept.map(|(topic, kept)| (topic.clone(), *kept)).collect();
        self.replays.push(Replay { filter: filter.into(), qos, kept, is_promised: false });
        self.replays.len() - 1
    }

    /// The subscription was made that [`asked`](Self::asked) gave this place for.
    pub(super) fn granted(&mut self, place: usize) {
        self.replays[place].is_promised = true;
    }

    pub(super) fn interrupted(&mut self, filter: &str) {
        self.replays.iter_mut().filter(|r| r.filter == filter).for_each(|r| r.is_promised = false);
    }

    pub(super) fn session_lost(&mut self) {
        self.replays.clear();
        self.given.clear();
    }

    /// A message is sent that may be retained, at QoS 0.
    pub(super) fn weaken(&mut self, topic: &str) {
        let kept = self.replays.iter_mut().filter_map(|replay| replay.kept.get_mut(topic));
        kept.for_each(|kept| kept.may_be_weak = true);
    }

    pub(super) fn hub_lost(&mut self) {
        self.replays.iter_mut().for_each(|replay| replay.kept.clear());
    }

    /// What came and was not written down may come again.
    pub(super) fn hub_crashed(&mut self, is_lost: &impl Fn(u64) -> bool) {
        self.has_crashed = true;
        self.replays.iter_mut().for_each(|replay| replay.kept.retain(|_, kept| !is_lost(kept.number)));
    }

    /// A retained message comes once for each subscription that wants it, and none that is older than what the hub had
    /// when it was asked [MQTT-3.3.1-9].
    pub(super) fn came(&mut self, number: u64, known: &Known, qos: u8, dup: bool) -> Result<(), String> {
        let topic = &known.message.topic;
        self.given.push(Given {
            topic: topic.clone(),
            number,
            qos,
            published_qos: known.message.qos,
            // To the hub, what is sent again at QoS 1 may come after a message that was sent after it at QoS 2.
            may_be_old: known.sends > 1 && known.message.qos == 1,
            asked: self.replays.len(),
            replay: None,
        });
        if dup && qos == 1 {
            // It may have come before, so it is given to a subscription only should one miss it.
            return Ok(());
        }
        let last = &self.given[self.given.len() - 1];
        if self.has_crashed && qos < 2 && self.replays.iter().any(|replay| replay.fits(last)) {
            return Ok(());
        }
        let mut tried = vec![false; self.replays.len()];
        if self.give(self.given.len() - 1, &mut tried) {
            return Ok(());
        }
        Err(format!("no subscription asks for retained message {number} (again, or so old a one)"))
    }

    /// Finds a subscription for a delivery; others may have to move.
    fn give(&mut self, given: usize, tried: &mut [bool]) -> bool {
        for replay in 0..self.given[given].asked {
            if tried[replay] || !self.replays[replay].fits(&self.given[given]) {
                continue;
            }
            tried[replay] = true;
            let topic = &self.given[given].topic;
            let holder = self.given.iter().position(|g| g.replay == Some(replay) && g.topic == *topic);
            if holder.is_none_or(|holder| self.give(holder, tried)) {
                self.given[given].replay = Some(replay);
                return true;
            }
        }
        false
    }

    /// Retained messages that were promised and did not come: filter, topic, message.
    pub(super) fn missing(&mut self) -> Vec<(String, String, u64)> {
        let mut missing = Vec::new();
        for number in 0..self.replays.len() {
            let topics: Vec<String> = self.replays[number].kept.keys().cloned().collect();
            for topic in topics {
                if !self.promises(number, &topic) {
                    continue;
                }
                let mut tried = vec![false; self.given.len()];
                if !self.take(number, &topic, &mut tried) {
                    let replay = &self.replays[number];
                    missing.push((replay.filter.clone(), topic.clone(), replay.kept[&topic].number));
                }
            }
        }
        missing
    }

    /// Whether a subscription has been promised the retained message of a topic. Who asks again for the same filter has
    /// asked for all of them once: what a broken connection left over of the first time is not sent as well.
    fn promises(&self, replay: usize, topic: &str) -> bool {
        let (later, replay) = (&self.replays[replay + 1..], &self.replays[replay]);
        if later.iter().any(|later| later.filter == replay.filter) {
            return false;
        }
        replay.is_promised && replay.qos > 0 && replay.kept.get(topic).is_some_and(|kept| !kept.may_be_weak)
    }

    /// Finds a delivery for a subscription that has been promised one, if it has none.
    fn take(&mut self, replay: usize, topic: &str, tried: &mut [bool]) -> bool {
        if self.given.iter().any(|given| given.replay == Some(replay) && given.topic == topic) {
            return true;
        }
        for given in 0..self.given.len() {
            let candidate = &self.given[given];
            let is_possible = candidate.topic == topic && replay < candidate.asked;
            if tried[given] || !is_possible || !self.replays[replay].fits(candidate) {
                continue;
            }
            tried[given] = true;
            let holder = candidate.replay;
            self.given[given].replay = Some(replay);
            let needs_it = |at: &usize| self.promises(*at, topic);
            let Some(loser) = holder.filter(needs_it) else { return true };
            if self.take(loser, topic, tried) {
                return true;
            }
            self.given[given].replay = holder;
        }
        false
    }
}
