//! The histories of topics: the last messages of each, with a place by which a client that was away goes on where it was.
//!
//! All shards share one [`History`]. A message of a topic that has one is [appended](TopicHistory::append) on the shard of
//! its publisher and gets an *offset* there, which rises by one from message to message and is never given to two messages
//! of one *epoch*. A receiver that follows takes what it is sent by other shards as a hint only: it knows which offset it
//! wants next, and looks up what is missing here ([`Follower`](follower::Follower)).

pub(crate) mod follower;
mod log;

use crate::message::Message;
use crate::retained::walk::{Cursor, Key, Step, compare, key};
use crate::time::Time;
use crate::topic::{HUB_TOPICS, Topic, is_reply};
use foldhash::quality::FixedState;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub(crate) use log::{Base, Kept, Restored, Start};
pub use log::{HistoryPage, HistoryState, PageStart, TopicHistory};

/// How far offsets jump where the end of a history may have been lost: more messages than that cannot have been given an
/// offset and not been written down, since they would have to stand in memory.
pub(crate) const JUMP: u64 = 1 << 32;

/// Microseconds in a millisecond.
const MICROS: u64 = 1000;

/// How many topics one step of a sweep looks at.
const SWEEP_TOPICS: usize = 1000;

/// Which topics have a history, and how much of it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryRule {
    /// For which topics it is; the first rule whose filter matches holds.
    pub filter: String,
    /// Messages of each topic.
    pub messages_max: usize,
    /// How long a message is kept, in milliseconds; none: for ever.
    pub age_ms_max: Option<u64>,
    /// Bytes of each topic.
    pub bytes_max: usize,
}

/// What a [`History`] goes by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryOptions {
    /// Which topics have a history; without any nothing is kept and nothing costs anything.
    pub rules: Vec<HistoryRule>,
    /// Topics that have a history at one time. Messages of further ones are delivered and not kept.
    pub topics_max: usize,
    /// Messages of all histories together. A topic that would go beyond it gives up its own oldest ones.
    pub messages_max: usize,
    /// Bytes of all histories together.
    pub bytes_max: usize,
    /// Topics whose places are remembered for one session.
    pub followed_max: usize,
    /// Milliseconds from 1970 to the zero of [`Time`].
    pub start_ms: u64,
    /// A random number that no other process has, so that epochs differ from those of earlier ones.
    pub random: u64,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        HistoryOptions {
            rules: Vec::new(),
            topics_max: 100_000,
            messages_max: 1_000_000,
            bytes_max: 256 << 20,
            followed_max: 10_000,
            start_ms: 0,
            random: 0,
        }
    }
}

/// A life of a topic's history: another one begins when all of it was lost. Shown as twelve hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Epoch(u64);

impl Epoch {
    const BITS: u32 = 48;

    pub(crate) fn new(random: u64) -> Epoch {
        Epoch(random & ((1 << Epoch::BITS) - 1))
    }

    /// The one that has this number, as far as that is below 2⁴⁸.
    pub fn from_number(number: u64) -> Epoch {
        Epoch::new(number)
    }

    /// As a number below 2⁴⁸.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// A text is no [`Epoch`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoEpoch;

impl FromStr for Epoch {
    type Err = NoEpoch;

    fn from_str(text: &str) -> Result<Epoch, NoEpoch> {
        // Whatever else is read as a number was never given out.
        let is_one = text.len() == 12 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_one {
            return Err(NoEpoch);
        }
        u64::from_str_radix(text, 16).map(Epoch).map_err(|_| NoEpoch)
    }
}

/// The place of a message in the history of its topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The life of the history.
    pub epoch: Epoch,
    /// The number of the message in it, from 1.
    pub offset: u64,
}

/// A message's place, and the history that it stands in.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The history.
    pub history: Arc<TopicHistory>,
    /// The message's offset there.
    pub offset: u64,
}

impl Placed {
    /// The place without the history.
    pub fn place(&self) -> Place {
        Place { epoch: self.history.epoch(), offset: self.offset }
    }
}

/// How much there is, and what has happened since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HistoryFigures {
    /// Topics that have a history now.
    pub topics: usize,
    /// Messages in all of them.
    pub messages: usize,
    /// Bytes of these.
    pub bytes: usize,
    /// Messages that were appended.
    pub appended: u64,
    /// Messages that gave way to the bounds of their rule.
    pub evicted_rule: u64,
    /// Messages that gave way since all histories together were too large.
    pub evicted_total: u64,
    /// Messages that were not kept since there were too many topics.
    pub refused: u64,
    /// Gaps that followers were told of.
    pub gaps: u64,
    /// Messages that were delivered without their place, since a session followed too many topics.
    pub unfollowed: u64,
}

/// The histories of all topics, shared by all shards.
#[derive(Debug)]
pub struct History {
    options: HistoryOptions,
    table: RwLock<BTreeMap<Key, Arc<TopicHistory>>>,
    /// The last stamp that was given: microseconds since 1970, each once.
    stamp: AtomicU64,
    /// How many lives have begun; a later one has a higher number.
    births: AtomicU64,
    /// Whatever was published to a topic with a history after this stamp is in the history, or known to be gone.
    whole_since: AtomicU64,
    /// Something was published since the start that is not there, and nothing is known of it any more.
    lacks: AtomicBool,
    /// That is written down.
    is_partial: AtomicBool,
    totals: Totals,
    refused: AtomicU64,
    gaps: AtomicU64,
    unfollowed: AtomicU64,
    /// Where the next sweep goes on.
    swept: Mutex<Option<Key>>,
}

/// What all histories come to.
#[derive(Default, Debug)]
pub(crate) struct Totals {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    appended: AtomicU64,
    evicted_rule: AtomicU64,
    evicted_total: AtomicU64,
}

impl History {
    /// Without any message.
    pub fn new(options: HistoryOptions) -> History {
        let start = options.start_ms.saturating_mul(MICROS);
        History {
            options,
            table: RwLock::default(),
            stamp: AtomicU64::new(start),
            births: AtomicU64::new(1),
            whole_since: AtomicU64::new(start),
            lacks: AtomicBool::new(false),
            is_partial: AtomicBool::new(false),
            totals: Totals::default(),
            refused: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            unfollowed: AtomicU64::new(0),
            swept: Mutex::default(),
        }
    }

    /// Whether any topic has a history.
    pub fn is_on(&self) -> bool {
        !self.options.rules.is_empty()
    }

    /// Whether a topic has one.
    pub fn is_for(&self, topic: &str) -> bool {
        self.rule_of(topic).is_some()
    }

    pub(crate) fn rule_of(&self, topic: &str) -> Option<usize> {
        if self.options.rules.is_empty() || topic.starts_with(HUB_TOPICS) || is_reply(topic) {
            return None;
        }
        self.options.rules.iter().position(|rule| crate::topic::matches(&rule.filter, topic))
    }

    pub(crate) fn options(&self) -> &HistoryOptions {
        &self.options
    }

    /// The history of a topic, if there is one.
    pub fn find(&self, topic: &str) -> Option<Arc<TopicHistory>> {
        if !self.is_on() {
            return None;
        }
        self.read().get(&*key(topic)).cloned()
    }

    /// The history of a topic, made if there is none; none if the topic has to have none or there are too many.
    pub(crate) fn open(&self, now: Time, topic: &Topic) -> Option<Arc<TopicHistory>> {
        let rule = self.rule_of(topic)?;
        let place = key(topic);
        if let Some(known) = self.read().get(&place) {
            return Some(known.clone());
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table.get(&place) {
            return Some(known.clone());
        }
        if table.len() >= self.options.topics_max {
            drop(table);
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.lack_up_to(self.stamp(now));
            return None;
        }
        let birth = self.births.fetch_add(1, Ordering::Relaxed);
        let epoch = Epoch::new(FixedState::with_seed(self.options.random).hash_one((birth, &**topic)));
        let made = Arc::new(TopicHistory::new(topic.clone(), birth, epoch, rule));
        table.insert(place, made.clone());
        Some(made)
    }

    /// Lives up to this one have been.
    pub(crate) fn set_births(&self, birth: u64) {
        self.births.fetch_max(birth + 1, Ordering::Relaxed);
    }

    /// Puts a history of an earlier start in its place, whatever the limits are now.
    pub(crate) fn restore(&self, now: Time, topic: Topic, rule: usize, restored: Restored) {
        let last = restored.entries.last().map_or(0, |kept| kept.stamp);
        self.stamp.fetch_max(last, Ordering::AcqRel);
        let place = key(&topic);
        let history = TopicHistory::restore(topic, rule, restored, &self.totals);
        history.trim(self, now);
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(place, Arc::new(history));
    }

    /// A stamp that is later than all others: microseconds since 1970, as far as the clock goes on.
    pub(crate) fn stamp(&self, now: Time) -> u64 {
        let wall = self.options.start_ms.saturating_add(now.as_ms()).saturating_mul(MICROS);
        let next = |last: u64| last.saturating_add(1).max(wall);
        let last = self.stamp.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }

    /// The same where nobody knows what time it is: later than all others, and that is all.
    pub(crate) fn later_stamp(&self) -> u64 {
        self.stamp(Time::default())
    }

    /// The stamp up to which messages of an age of `age_ms` were published.
    fn stamp_before(&self, now: Time, age_ms: u64) -> u64 {
        let wall_ms = self.options.start_ms.saturating_add(now.as_ms());
        wall_ms.saturating_sub(age_ms).saturating_mul(MICROS)
    }

    /// From when on nothing is missing that is not known to be gone.
    pub(crate) fn whole_since(&self) -> u64 {
        self.whole_since.load(Ordering::Acquire)
    }

    pub(crate) fn set_whole_since(&self, stamp: u64) {
        self.whole_since.store(stamp, Ordering::Release);
    }

    /// Something that was published up to this stamp is not there, and nothing will be known of it.
    fn lack_up_to(&self, stamp: u64) {
        self.whole_since.fetch_max(stamp, Ordering::AcqRel);
        self.lacks.store(true, Ordering::Release);
    }

    /// Whether it has to be written down now that something is missing of which nothing will be known; true once.
    pub(crate) fn becomes_partial(&self) -> bool {
        self.lacks.load(Ordering::Acquire) && !self.is_partial.swap(true, Ordering::AcqRel)
    }

    /// Stands for what the rules ask for: where it is another one than at the last start, something may be missing.
    pub(crate) fn fingerprint(&self) -> u64 {
        let filters: Vec<&str> = self.options.rules.iter().map(|rule| &*rule.filter).collect();
        FixedState::with_seed(0).hash_one(filters)
    }

    pub(crate) fn count_gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_unfollowed(&self) {
        self.unfollowed.fetch_add(1, Ordering::Relaxed);
    }

    /// How much there is, and what has happened.
    pub fn figures(&self) -> HistoryFigures {
        let totals = &self.totals;
        HistoryFigures {
            topics: if self.is_on() { self.read().len() } else { 0 },
            messages: totals.messages.load(Ordering::Relaxed),
            bytes: totals.bytes.load(Ordering::Relaxed),
            appended: totals.appended.load(Ordering::Relaxed),
            evicted_rule: totals.evicted_rule.load(Ordering::Relaxed),
            evicted_total: totals.evicted_total.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            gaps: self.gaps.load(Ordering::Relaxed),
            unfollowed: self.unfollowed.load(Ordering::Relaxed),
        }
    }

    /// Adds to `found` the histories whose topics match `cursor`'s pattern from where it stands on, and moves it on: at most
    /// `topics_max`, in at most `steps` steps, which are counted down.
    pub(crate) fn next(
        &self,
        cursor: &mut Cursor,
        topics_max: usize,
        steps: &mut usize,
        found: &mut Vec<Arc<TopicHistory>>,
    ) {
        let table = self.read();
        let full = found.len() + topics_max;
        let mut at = std::mem::take(&mut cursor.at);
        let mut is_behind = cursor.is_behind;
        while *steps > 0 && found.len() < full {
            *steps -= 1;
            let start = if is_behind { Bound::Excluded(&*at) } else { Bound::Included(&*at) };
            let Some((place, history)) = table.range::<str, _>((start, Bound::Unbounded)).next() else {
                cursor.done = true;
                return;
            };
            match compare(&cursor.levels, place, &mut at) {
                Step::Match => {
                    found.push(history.clone());
                    at.clear();
                    at.push_str(place);
                    is_behind = true;
                }
                Step::Seek => is_behind = false,
                Step::End => {
                    cursor.done = true;
                    return;
                }
            }
        }
        (cursor.at, cursor.is_behind) = (at, is_behind);
    }

    /// The next histories behind `after`, at most `topics_max`, in their order.
    pub(crate) fn behind(&self, after: Option<&str>, topics_max: usize) -> Vec<Arc<TopicHistory>> {
        let place = after.map(key);
        let start = place.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let table = self.read();
        table.range::<str, _>((start, Bound::Unbounded)).take(topics_max).map(|(_, h)| h.clone()).collect()
    }

    /// Removes what is too old, of some topics. Where there are many topics, those are forgotten of which nothing is left.
    /// Returns whether there are more to be looked at.
    pub fn sweep(&self, now: Time) -> bool {
        if !self.is_on() {
            return false;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let start = swept.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut empty, mut last) = (Vec::new(), None);
        let table = self.read();
        let is_crowded = table.len() > self.options.topics_max / 2;
        for (place, history) in table.range::<str, _>((start, Bound::Unbounded)).take(SWEEP_TOPICS) {
            history.trim(self, now);
            if is_crowded && history.is_empty() {
                empty.push(place.clone());
            }
            last = Some(place.clone());
        }
        drop(table);
        *swept = last;
        let has_more = swept.is_some();
        drop(swept);
        if !empty.is_empty() {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            for place in empty {
                if let Some(last_stamp) = table.get(&place).and_then(|history| history.forget()) {
                    table.remove(&place);
                    self.lack_up_to(last_stamp);
                }
            }
        }
        has_more
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Key, Arc<TopicHistory>>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message brings along when it is appended.
pub(crate) struct Arriving<'a> {
    pub(crate) message: &'a Arc<Message>,
    /// Stands for the client id that published it, if it was a client.
    pub(crate) publisher: Option<NonZeroU64>,
    /// The number by which it is kept for the next start, and the shard that gave it; 0 if it is not.
    pub(crate) number: u64,
    pub(crate) shard: u8,
}
