//! Retained messages: the last one of each topic, and those that match a filter (MQTT 5.0 §3.3.1.3).

pub(crate) mod walk;

use crate::message::Message;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use walk::{Key, Step, compare, key};

pub use walk::Cursor;

/// How many entries are passed in order before it is worth looking the next wanted one up from the root.
const PASS_MAX: usize = 4;

/// The retained messages of the hub, shared by all shards: who subscribes gets what has been acknowledged a moment
/// before on any of them.
#[derive(Debug)]
pub struct Retained {
    table: RwLock<Table>,
    messages_max: usize,
    bytes_max: usize,
    quotas: Box<[Quota]>,
}

/// How much may be retained below a filter. When more comes, the oldest that it counts give way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Which topics it counts; the first quota whose filter matches a topic counts it, and no other.
    pub filter: String,
    /// Messages at one time.
    pub messages_max: usize,
    /// Bytes at one time.
    pub bytes_max: usize,
}

/// What one quota has counted.
#[derive(Default, Debug)]
struct Used {
    /// In the order in which they were set: the oldest are evicted first.
    order: BTreeMap<u64, Key>,
    bytes: usize,
}

#[derive(Default, Debug)]
struct Table {
    messages: BTreeMap<Key, Entered>,
    bytes: usize,
    /// Those that expire, in that order, so that nobody has to look at all the others.
    expiring: BTreeSet<(Time, Key)>,
    used: Box<[Used]>,
    /// How often anything was set or removed.
    version: u64,
}

#[derive(Debug)]
struct Entered {
    message: Arc<Message>,
    /// Which quota counts it.
    counted: Option<u32>,
    origin: Origin,
    /// The place of its setting among all settings and removals.
    version: u64,
}

/// Where a retained message comes from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Origin {
    /// Stands for the client id that published it, if it was a client.
    pub publisher: Option<NonZeroU64>,
    /// The number by which it is kept for the next start; 0 if it is not.
    pub number: u64,
    /// The shard that has given it the number.
    pub shard: u8,
}

/// What setting a retained message came to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SetOutcome {
    /// The place of the change among all changes.
    pub version: u64,
    /// There was no room. What the topic had is gone all the same: it is no longer the last one.
    pub is_full: bool,
    /// The topic has no retained message now.
    pub is_gone: bool,
    /// Topics whose messages gave way to a quota, and the places of these changes.
    pub evicted: Vec<(String, u64)>,
}

/// A retained message that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The message.
    pub message: Arc<Message>,
    /// Where it comes from.
    pub origin: Origin,
    /// The place of its setting among all changes.
    pub version: u64,
}

impl Retained {
    /// An empty table with its limits.
    pub fn new(messages_max: usize, bytes_max: usize) -> Retained {
        Retained { table: RwLock::default(), messages_max, bytes_max, quotas: Box::default() }
    }

    /// The same with quotas, of which the first that matches a topic counts.
    #[must_use]
    pub fn with_quotas(mut self, quotas: &[Quota]) -> Retained {
        self.write().used = quotas.iter().map(|_| Used::default()).collect();
        self.quotas = quotas.into();
        self
    }

    /// Keeps a message as the retained one of its topic, whatever its QoS [MQTT-3.3.1-5] [v3 MQTT-3.3.1-5]
    /// [v3 MQTT-3.3.1-7]; an empty payload removes what is there [MQTT-3.3.1-6] [v3 MQTT-3.3.1-10] and is not kept
    /// [MQTT-3.3.1-7] [v3 MQTT-3.3.1-11]. Returns how many others gave way to a quota.
    ///
    /// # Errors
    /// When the table is full, or the message alone is larger than its quota. What the topic had is gone all the same: it
    /// is no longer the last one [v3 MQTT-3.3.1-7].
    pub fn set(&self, message: &Arc<Message>) -> Result<usize, Full> {
        let outcome = self.set_from(message, Origin::default());
        if outcome.is_full { Err(Full) } else { Ok(outcome.evicted.len()) }
    }

    /// The same, remembering where it comes from.
    pub fn set_from(&self, message: &Arc<Message>, origin: Origin) -> SetOutcome {
        let key = key(&message.topic);
        let quota = self.quotas.iter().position(|q| crate::topic::matches(&q.filter, &message.topic));
        let cost = message.cost_bytes();
        let is_empty = message.payload.is_empty();
        let is_too_large = quota.is_some_and(|q| cost > self.quotas[q].bytes_max);
        let mut table = self.write();
        table.version += 1;
        let version = table.version;
        let gone = SetOutcome { version, is_full: !is_empty, is_gone: true, evicted: Vec::new() };
        if is_empty || is_too_large {
            table.remove(&key);
            return gone;
        }
        let (count, freed) = match table.messages.get(&key) {
            Some(old) => (table.messages.len() - 1, old.message.cost_bytes()),
            None => (table.messages.len(), 0),
        };
        if count >= self.messages_max || table.bytes - freed + cost > self.bytes_max {
            table.remove(&key);
            return gone;
        }
        table.enter(key, message, origin, quota, version);
        let evicted = quota.map(|q| table.evict(q, &self.quotas[q])).unwrap_or_default();
        SetOutcome { version, is_full: false, is_gone: false, evicted }
    }

    /// Enters a message that was kept from an earlier start, whatever the limits are now, and goes on counting changes
    /// from `version`.
    pub(crate) fn restore(&self, message: &Arc<Message>, origin: Origin, version: u64) {
        let quota = self.quotas.iter().position(|q| crate::topic::matches(&q.filter, &message.topic));
        let mut table = self.write();
        table.version = table.version.max(version);
        table.enter(key(&message.topic), message, origin, quota, version);
    }

    /// How many changes there have been.
    pub(crate) fn version(&self) -> u64 {
        self.read().version
    }

    /// Goes on counting changes from `version`.
    pub(crate) fn set_version(&self, version: u64) {
        let mut table = self.write();
        table.version = table.version.max(version);
    }

    /// The next messages behind `after`, at most `messages_max` of them, whatever their topics; `after` moves on. None
    /// when there are no more.
    pub(crate) fn all_behind(&self, after: &mut Option<String>, messages_max: usize) -> Vec<Found> {
        let table = self.read();
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = table.messages.range::<str, _>((start, Bound::Unbounded)).take(messages_max);
        let (mut found, mut last) = (Vec::new(), None);
        for (key, entered) in next {
            found.push(Found::of(entered));
            last = Some(key);
        }
        *after = last.map(|key| key.to_string());
        found
    }

    /// How many messages there are, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let table = self.read();
        (table.messages.len(), table.bytes)
    }

    /// Adds to `found` what matches `cursor`'s pattern from where it stands on, and moves it on: at most `messages_max`
    /// of them, and in at most `steps` steps, which are counted down; a step takes about a microsecond. Expired ones
    /// are passed over. There is more to come as long as the cursor is not [done](Cursor::is_done).
    pub fn next(
        &self,
        cursor: &mut Cursor,
        messages_max: usize,
        steps: &mut usize,
        now: Time,
        found: &mut Vec<Found>,
    ) {
        let table = self.read();
        let full = found.len() + messages_max;
        let mut target = std::mem::take(&mut cursor.at);
        let mut rest = table.from(&target, cursor.is_behind);
        // What stands right before `rest`, if that has been found; else `target` is where it stands.
        let (mut is_behind, mut last) = (cursor.is_behind, None);
        while *steps > 0 && found.len() < full {
            *steps -= 1;
            let Some((key, entered)) = rest.next() else {
                cursor.done = true;
                return;
            };
            match compare(&cursor.levels, key, &mut target) {
                Step::Match => {
                    let is_own = cursor.leaves_out.is_some() && entered.origin.publisher == cursor.leaves_out;
                    if !is_own && !entered.message.is_expired(now) {
                        found.push(Found::of(entered));
                    }
                    (is_behind, last) = (true, Some(key));
                }
                Step::Seek => {
                    // A step that did not lead on would never end.
                    debug_assert!(target.as_str() > &**key);
                    (is_behind, last) = (false, None);
                    rest = table.seek(rest, &target);
                }
                Step::End => {
                    cursor.done = true;
                    return;
                }
            }
        }
        cursor.is_behind = is_behind;
        if let Some(key) = last {
            target.clear();
            target.push_str(key);
        }
        cursor.at = target;
    }

    /// Removes what has expired, but at most `messages_max`. Returns how many it removed.
    pub fn sweep(&self, now: Time, messages_max: usize) -> usize {
        let is_due = |table: &Table| table.expiring.first().is_some_and(|(at, _)| *at <= now);
        if !is_due(&self.read()) {
            return 0;
        }
        let mut table = self.write();
        let mut removed = 0;
        while removed < messages_max && is_due(&table) {
            let Some((_, key)) = table.expiring.pop_first() else { break };
            table.remove(&key);
            removed += 1;
        }
        removed
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn of(entered: &Entered) -> Found {
        Found { message: entered.message.clone(), origin: entered.origin, version: entered.version }
    }
}

/// There is no room for one more retained message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

type Rest<'a> = std::collections::btree_map::Range<'a, Key, Entered>;

impl Table {
    fn from(&self, key: &str, is_behind: bool) -> Rest<'_> {
        let start = if is_behind { Bound::Excluded(key) } else { Bound::Included(key) };
        self.messages.range::<str, _>((start, Bound::Unbounded))
    }

    /// Moves to the first entry at or behind `target`, which is behind where `rest` stands.
    fn seek<'a>(&'a self, mut rest: Rest<'a>, target: &str) -> Rest<'a> {
        for _ in 0..PASS_MAX {
            let here = rest.clone();
            match rest.next() {
                Some((key, _)) if &**key < target => {}
                _ => return here,
            }
        }
        self.from(target, false)
    }

    /// Enters a message for which there is room, in the place of an older one.
    fn enter(
        &mut self,
        key: Key,
        message: &Arc<Message>,
        origin: Origin,
        quota: Option<usize>,
        version: u64,
    ) {
        self.remove(&key);
        let cost = message.cost_bytes();
        self.bytes += cost;
        if let Some(at) = message.expires_at {
            self.expiring.insert((at, key.clone()));
        }
        let counted = quota.map(|quota| {
            self.used[quota].order.insert(version, key.clone());
            self.used[quota].bytes += cost;
            quota as u32
        });
        self.messages.insert(key, Entered { message: message.clone(), counted, origin, version });
    }

    fn remove(&mut self, key: &str) {
        let Some((key, old)) = self.messages.remove_entry(key) else { return };
        let cost = old.message.cost_bytes();
        self.bytes -= cost;
        if let Some(quota) = old.counted {
            let used = &mut self.used[quota as usize];
            used.order.remove(&old.version);
            used.bytes -= cost;
        }
        if let Some(at) = old.message.expires_at {
            self.expiring.remove(&(at, key));
        }
    }

    /// Removes the oldest that `quota` counts until it is kept. What was set last fits alone, so it stays. Returns topics
    /// and the places of these changes.
    fn evict(&mut self, number: usize, quota: &Quota) -> Vec<(String, u64)> {
        let mut evicted = Vec::new();
        loop {
            let used = &mut self.used[number];
            if used.order.len() <= quota.messages_max && used.bytes <= quota.bytes_max {
                return evicted;
            }
            let Some((_, oldest)) = used.order.pop_first() else { return evicted };
            self.remove(&oldest);
            self.version += 1;
            evicted.push((walk::topic(&oldest), self.version));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Topic, matches};
    use proptest::prelude::*;
    use trefoil_mqtt::QoS;

    fn message(topic: &str, payload: &str) -> Arc<Message> {
        Arc::new(Message {
            topic: Topic::new(topic, 128).expect("valid"),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: true,
            expires_at: None,
            properties: None,
        })
    }

    fn all(retained: &Retained, pattern: &str, at_once: usize, steps: usize) -> Vec<String> {
        let (mut cursor, mut found) = (Cursor::new(pattern), Vec::new());
        while !cursor.is_done() {
            let (before, mut left) = (found.len(), steps);
            retained.next(&mut cursor, at_once, &mut left, Time::default(), &mut found);
            assert!(found.len() - before <= at_once && found.len() - before <= steps - left);
        }
        found.iter().map(|f| f.message.topic.to_string()).collect()
    }

    fn payload_of(retained: &Retained, topic: &str, now: Time) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        retained.next(&mut Cursor::new(topic), 9, &mut 9, now, &mut found);
        found.first().map(|f| f.message.payload.to_vec())
    }

    #[test]
    fn last_one_stays_and_empty_one_removes() {
        let retained = Retained::new(10, 10_000);
        retained.set(&message("a", "1")).expect("room");
        retained.set(&message("a", "2")).expect("room");
        assert_eq!(payload_of(&retained, "a", Time::default()).as_deref(), Some(&b"2"[..]));
        retained.set(&message("a", "")).expect("removing needs no room");
        assert_eq!(retained.size(), (0, 0));
        retained.set(&message("a", "")).expect("nothing there");
    }

    #[test]
    fn limits_hold() {
        let retained = Retained::new(2, 100_000);
        retained.set(&message("a", "1")).expect("room");
        retained.set(&message("b", "1")).expect("room");
        assert_eq!(retained.set(&message("c", "1")), Err(Full));
        retained.set(&message("b", "2")).expect("a new value for a topic that is there");
        let retained = Retained::new(10, message("0", "x").cost_bytes());
        assert_eq!((0..10).filter(|i| retained.set(&message(&i.to_string(), "x")).is_err()).count(), 9);
    }

    #[test]
    fn expired_ones_are_not_given_and_swept() {
        let retained = Retained::new(10, 10_000);
        let mut short = (*message("a", "1")).clone();
        short.expires_at = Some(Time::from_ms(1000));
        retained.set(&Arc::new(short)).expect("room");
        retained.set(&message("b", "1")).expect("room");
        let now = Time::from_ms(1000);
        assert_eq!(payload_of(&retained, "a", now), None);
        assert_eq!((retained.sweep(now, 9), retained.size().0), (1, 1));
    }

    #[test]
    fn a_sweep_removes_what_is_due_and_no_more_than_asked_for() {
        let retained = Retained::new(100, 100_000);
        let expiring = |topic: &str, at_ms: u64| {
            let message =
                Message { expires_at: Some(Time::from_ms(at_ms)), ..(*message(topic, "1")).clone() };
            retained.set(&Arc::new(message)).expect("room");
        };
        for n in 0..10 {
            expiring(&n.to_string(), n);
        }
        // Another message for the topic counts from its own time on.
        expiring("0", 1000);
        retained.set(&message("1", "stays")).expect("room");
        assert_eq!(retained.sweep(Time::from_ms(5), 3), 3);
        assert_eq!(retained.sweep(Time::from_ms(5), 3), 1);
        assert_eq!(retained.sweep(Time::from_ms(5), 3), 0);
        assert_eq!(retained.size().0, 6);
        assert_eq!(retained.sweep(Time::from_ms(1000), 9), 5);
        assert_eq!(all(&retained, "#", 9, 9), ["1"]);
    }

    #[test]
    fn the_oldest_of_a_quota_give_way() {
        let cost = message("a/0", "x").cost_bytes();
        let quotas = [
            Quota { filter: "a/#".into(), messages_max: 2, bytes_max: usize::MAX },
            Quota { filter: "+/0".into(), messages_max: 9, bytes_max: 2 * cost },
        ];
        let retained = Retained::new(100, 100_000).with_quotas(&quotas);
        let set = |topic: &str| retained.set(&message(topic, "x"));
        assert_eq!((set("a/0"), set("a/1"), set("c/1")), (Ok(0), Ok(0), Ok(0)));
        // It is no longer the oldest when it has been set again.
        assert_eq!((set("a/0"), set("a/2")), (Ok(0), Ok(1)));
        assert_eq!(all(&retained, "a/+", 9, 9), ["a/0", "a/2"]);
        retained.set(&message("a/0", "")).expect("removing needs no room");
        assert_eq!(set("a/3"), Ok(0));
        // `a/0` is counted by the first one that matches.
        assert_eq!((set("a/0"), set("b/0"), set("c/0"), set("d/0")), (Ok(1), Ok(0), Ok(0), Ok(1)));
        assert_eq!(all(&retained, "+/0", 9, 9), ["a/0", "c/0", "d/0"]);
        assert_eq!(retained.set(&message("e/0", &"large".repeat(cost))), Err(Full));
        assert_eq!(all(&retained, "#", 9, 9).len(), 5);
    }

    #[test]
    fn a_walk_that_finds_nothing_can_be_paused_as_well() {
        let retained = Retained::new(1000, 1_000_000);
        for n in 0..100 {
            retained.set(&message(&format!("{n}/a"), "x")).expect("room");
        }
        let (mut cursor, mut found, mut pauses) = (Cursor::new("+/b"), Vec::new(), 0);
        while !cursor.is_done() {
            retained.next(&mut cursor, 64, &mut 10, Time::default(), &mut found);
            pauses += 1;
        }
        assert!(found.is_empty() && pauses >= 10, "{pauses}");
    }

    fn level() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec!["a", "a!", "ab", "b", "", "$a", "z", "\u{1}", "é"])
    }

    proptest! {
        /// A cursor finds what asking each topic finds, whatever the chunks, each once.
        #[test]
        fn finds_exactly_what_matches(
            topics in proptest::collection::btree_set(proptest::collection::vec(level(), 1..5), 1..40),
            pattern in proptest::collection::vec(prop_oneof![level(), Just("+"), Just("+")], 1..5),
            hash in any::<bool>(),
            at_once in 1usize..5,
            steps in 1usize..9,
        ) {
            let mut pattern = pattern.join("/");
            if hash {
                pattern.push_str("/#");
            }
            let retained = Retained::new(1000, 1_000_000);
            let topics: Vec<String> = topics.iter().map(|t| t.join("/")).filter(|t| !t.is_empty()).collect();
            for topic in &topics {
                retained.set(&message(topic, "x")).expect("room");
            }
            let mut expected: Vec<String> = topics.into_iter().filter(|t| matches(&pattern, t)).collect();
            let mut found = all(&retained, &pattern, at_once, steps);
            expected.sort();
            found.sort();
            prop_assert_eq!(found, expected, "{}", pattern);
        }
    }
}
