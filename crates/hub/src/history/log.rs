//! The history of one topic.

use super::{Arriving, Epoch, History, Place, Totals};
use crate::message::Message;
use crate::time::Time;
use crate::topic::Topic;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The last messages of one topic, in the order of their offsets.
#[derive(Debug)]
pub struct TopicHistory {
    topic: Topic,
    /// Tells this life from others of the topic; a later one has a higher number.
    birth: u64,
    epoch: Epoch,
    rule: usize,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    entries: VecDeque<Kept>,
    bytes: usize,
    /// The offset of the next message.
    next: u64,
    /// What has a lower offset is gone.
    floor: u64,
    /// The stamp of the last message that is gone.
    gone_stamp: u64,
    /// Of what had a lower offset some may have been lost that nobody knows of.
    unsure_below: u64,
    /// The stamp of the last message that came.
    last_stamp: u64,
    /// The table has another one for the topic, or none.
    is_forgotten: bool,
}

/// A message that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) message: Arc<Message>,
    pub(crate) offset: u64,
    pub(crate) stamp: u64,
    pub(crate) publisher: Option<NonZeroU64>,
    pub(crate) number: u64,
    pub(crate) shard: u8,
}

/// A history as it was at an earlier start.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) birth: u64,
    pub(crate) epoch: Epoch,
    pub(crate) next: u64,
    pub(crate) floor: u64,
    pub(crate) unsure_below: u64,
    pub(crate) gone_stamp: u64,
    /// In the order of their offsets.
    pub(crate) entries: Vec<Kept>,
}

/// From where on a subscription wants the messages of the topics of which nothing more exact is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Base {
    /// When it was made.
    pub(crate) stamp: u64,
    /// What was published from this stamp on.
    pub(crate) time: Option<u64>,
    /// So many messages from before that.
    pub(crate) last: usize,
}

/// Where a receiver begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Start {
    /// The offset that it wants first.
    pub(crate) want: u64,
    /// Something of what it asked for is not there any more.
    pub(crate) gap: bool,
    /// There is something for it.
    pub(crate) has_more: bool,
}

/// What is read from a history at a time.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Where to go on.
    pub(crate) want: u64,
    /// Something before the first of these is not there any more.
    pub(crate) gap: bool,
    /// There is nothing more for now.
    pub(crate) is_end: bool,
}

/// How far a history goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryState {
    /// The lowest offset that may be there.
    pub floor: u64,
    /// The offset that the next message gets.
    pub next: u64,
    /// Messages.
    pub messages: usize,
    pub(crate) unsure_below: u64,
    pub(crate) gone_stamp: u64,
}

/// A page of a history.
#[derive(Debug)]
pub struct HistoryPage {
    /// The messages with their offsets, and when they came in microseconds since 1970.
    pub messages: Vec<(Arc<Message>, u64, u64)>,
    /// The place behind the last of them, for the next page.
    pub end: Place,
    /// Something between the place that was asked for and the first of these is not there any more.
    pub gap: bool,
    /// There are more.
    pub has_more: bool,
}

/// Where a page begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageStart {
    /// With the oldest message that there is.
    Oldest,
    /// Behind a place.
    Behind(Place),
    /// So that it ends with the newest message.
    Newest,
}

impl TopicHistory {
    pub(super) fn new(topic: Topic, birth: u64, epoch: Epoch, rule: usize) -> TopicHistory {
        let log = Log {
            entries: VecDeque::new(),
            bytes: 0,
            next: 1,
            floor: 1,
            gone_stamp: 0,
            unsure_below: 0,
            last_stamp: 0,
            is_forgotten: false,
        };
        TopicHistory { topic, birth, epoch, rule, log: Mutex::new(log) }
    }

    pub(super) fn restore(topic: Topic, rule: usize, restored: Restored, totals: &Totals) -> TopicHistory {
        let history = TopicHistory::new(topic, restored.birth, restored.epoch, rule);
        let mut log = history.lock();
        (log.next, log.floor) = (restored.next.max(1), restored.floor.max(1));
        (log.unsure_below, log.gone_stamp) = (restored.unsure_below, restored.gone_stamp);
        log.last_stamp = restored.entries.last().map_or(0, |kept| kept.stamp);
        for kept in restored.entries {
            log.push(kept, totals);
        }
        drop(log);
        history
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The life of the history.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn birth(&self) -> u64 {
        self.birth
    }

    /// Gives a message its place. None if the history has been forgotten meanwhile: there is another one to be asked for.
    pub(crate) fn append(&self, history: &History, now: Time, arriving: &Arriving<'_>) -> Option<(u64, u64)> {
        let mut log = self.lock();
        if log.is_forgotten {
            return None;
        }
        // Under the lock, so that stamps rise with the offsets.
        let stamp = history.stamp(now);
        let offset = log.next;
        log.next += 1;
        log.last_stamp = stamp;
        let Arriving { message, publisher, number, shard } = *arriving;
        log.push(Kept { message: message.clone(), offset, stamp, publisher, number, shard }, &history.totals);
        history.totals.appended.fetch_add(1, Ordering::Relaxed);
        self.keep_bounds(&mut log, history, now);
        let (options, totals) = (history.options(), &history.totals);
        while totals.messages.load(Ordering::Relaxed) > options.messages_max
            || totals.bytes.load(Ordering::Relaxed) > options.bytes_max
        {
            if !log.pop(totals) {
                break;
            }
            totals.evicted_total.fetch_add(1, Ordering::Relaxed);
        }
        Some((offset, stamp))
    }

    /// Removes what is too old.
    pub(super) fn trim(&self, history: &History, now: Time) {
        self.keep_bounds(&mut self.lock(), history, now);
    }

    fn keep_bounds(&self, log: &mut Log, history: &History, now: Time) {
        let rule = &history.options().rules[self.rule];
        let too_old = rule.age_ms_max.map_or(0, |age_ms| history.stamp_before(now, age_ms));
        while log.entries.len() > rule.messages_max
            || log.bytes > rule.bytes_max
            || log.entries.front().is_some_and(|kept| kept.stamp < too_old)
        {
            if !log.pop(&history.totals) {
                break;
            }
            history.totals.evicted_rule.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    /// Ends this life if nothing is left of it. Returns the stamp of its last message then.
    pub(super) fn forget(&self) -> Option<u64> {
        let mut log = self.lock();
        if !log.entries.is_empty() {
            return None;
        }
        log.is_forgotten = true;
        Some(log.last_stamp)
    }

    /// How far it goes.
    pub fn state(&self) -> HistoryState {
        self.lock().state()
    }

    /// Where a subscription begins that says nothing of this topic.
    pub(crate) fn start(&self, base: &Base) -> Start {
        let log = self.lock();
        let after = base.time.map_or(base.stamp, |time| time.saturating_sub(1).min(base.stamp));
        let at = log.entries.partition_point(|kept| kept.stamp <= after);
        let at = at - base.last.min(at);
        let want = log.entries.get(at).map_or(log.next, |kept| kept.offset);
        Start { want, gap: log.gone_stamp > after, has_more: at < log.entries.len() }
    }

    /// Where somebody begins who has had everything up to a place.
    pub(crate) fn start_behind(&self, place: Place) -> Start {
        let log = self.lock();
        if place.epoch != self.epoch {
            // Another life: nothing of this one has been seen.
            return Start { want: log.floor, gap: true, has_more: !log.entries.is_empty() };
        }
        let want = place.offset.saturating_add(1);
        if want > log.next {
            // No message has had this place yet.
            return Start { want: log.next, gap: true, has_more: false };
        }
        let gap = want < log.floor || want < log.unsure_below;
        Start { want: want.max(log.floor), gap, has_more: log.last_offset().is_some_and(|last| last >= want) }
    }

    /// Adds to `found` what is there from the offset `want` on, at most `messages_max`. What has expired, and what
    /// `without` published, is passed over.
    pub(crate) fn read(
        &self,
        want: u64,
        messages_max: usize,
        now: Time,
        without: Option<NonZeroU64>,
        found: &mut Vec<(Arc<Message>, u64)>,
    ) -> Chunk {
        let log = self.lock();
        let gap = want < log.floor;
        let from = log.entries.partition_point(|kept| kept.offset < want);
        let mut chunk = Chunk { want: want.max(log.floor), gap, is_end: true };
        for (place, kept) in log.entries.range(from..).enumerate() {
            // What is passed over counts as well, or the lock would be held for ever.
            if place == messages_max {
                chunk.is_end = false;
                return chunk;
            }
            chunk.want = kept.offset + 1;
            let is_own = without.is_some() && kept.publisher == without;
            if !is_own && !kept.message.is_expired(now) {
                found.push((kept.message.clone(), kept.offset));
            }
        }
        chunk.want = chunk.want.max(log.next);
        chunk
    }

    /// The offset of the newest message.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.lock().last_offset()
    }

    /// A page of at most `messages_max`.
    pub fn page(&self, start: PageStart, messages_max: usize, now: Time) -> HistoryPage {
        let behind = match start {
            PageStart::Behind(place) => Some(self.start_behind(place)),
            PageStart::Oldest | PageStart::Newest => None,
        };
        let log = self.lock();
        let want = behind.as_ref().map_or(0, |start| start.want);
        let from = match start {
            PageStart::Newest => log.entries.len().saturating_sub(messages_max),
            _ => log.entries.partition_point(|kept| kept.offset < want),
        };
        let gap = behind.is_some_and(|start| start.gap || start.want < log.floor);
        let mut offset = want.max(log.floor).saturating_sub(1);
        let mut messages = Vec::new();
        for kept in log.entries.range(from..).take(messages_max) {
            offset = kept.offset;
            if !kept.message.is_expired(now) {
                messages.push((kept.message.clone(), kept.offset, kept.stamp));
            }
        }
        let has_more = log.entries.len() > from + messages_max;
        HistoryPage { messages, end: Place { epoch: self.epoch, offset }, gap, has_more }
    }

    /// What is there from an offset on, at most `messages_max`, as it is written down again.
    pub(crate) fn kept_from(&self, offset: u64, messages_max: usize) -> (HistoryState, Vec<Kept>) {
        let log = self.lock();
        let from = log.entries.partition_point(|kept| kept.offset < offset);
        (log.state(), log.entries.range(from..).take(messages_max).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn push(&mut self, kept: Kept, totals: &Totals) {
        let cost = cost_bytes(&kept.message);
        self.bytes += cost;
        totals.messages.fetch_add(1, Ordering::Relaxed);
        totals.bytes.fetch_add(cost, Ordering::Relaxed);
        self.entries.push_back(kept);
    }

    /// Gives up the oldest message. Returns whether there was one.
    fn pop(&mut self, totals: &Totals) -> bool {
        let Some(kept) = self.entries.pop_front() else { return false };
        let cost = cost_bytes(&kept.message);
        self.bytes -= cost;
        totals.messages.fetch_sub(1, Ordering::Relaxed);
        totals.bytes.fetch_sub(cost, Ordering::Relaxed);
        (self.floor, self.gone_stamp) = (kept.offset + 1, kept.stamp.max(self.gone_stamp));
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        true
    }

    fn state(&self) -> HistoryState {
        HistoryState {
            floor: self.floor,
            next: self.next,
            messages: self.entries.len(),
            unsure_below: self.unsure_below,
            gone_stamp: self.gone_stamp,
        }
    }

    fn last_offset(&self) -> Option<u64> {
        self.entries.back().map(|kept| kept.offset)
    }
}

/// What a message counts in a history.
fn cost_bytes(message: &Message) -> usize {
    message.cost_bytes() + size_of::<Kept>()
}
