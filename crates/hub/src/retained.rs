//! Retained messages: the last one of each topic, and those that match a filter (MQTT 5.0 §3.3.1.3).

use crate::message::Message;
use crate::time::Time;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The retained messages of the hub, shared by all shards: who subscribes gets what has been acknowledged a moment
/// before on any of them.
#[derive(Debug)]
pub struct Retained {
    table: RwLock<Table>,
    messages_max: usize,
    bytes_max: usize,
}

#[derive(Default, Debug)]
struct Table {
    messages: BTreeMap<Key, Arc<Message>>,
    bytes: usize,
}

/// A topic with U+0000 in the place of `/`, which no topic has in it. As it sorts before all else, everything below
/// `a` stands together right after `a`, and a filter can skip what it does not want.
type Key = Box<str>;

fn key(topic: &str) -> Key {
    topic.replace('/', "\0").into()
}

impl Retained {
    /// An empty table with its limits.
    pub fn new(messages_max: usize, bytes_max: usize) -> Retained {
        Retained { table: RwLock::default(), messages_max, bytes_max }
    }

    /// Keeps a message as the retained one of its topic; an empty payload removes what is there [MQTT-3.3.1-6]
    /// [MQTT-3.3.1-7].
    ///
    /// # Errors
    /// When the table is full.
    pub fn set(&self, message: &Arc<Message>) -> Result<(), Full> {
        let key = key(&message.topic);
        let mut table = self.write();
        let table = &mut *table;
        let room = table.messages.len() < self.messages_max;
        let cost = message.cost_bytes();
        match table.messages.entry(key) {
            Entry::Occupied(old) if message.payload.is_empty() => table.bytes -= old.remove().cost_bytes(),
            Entry::Vacant(_) if message.payload.is_empty() => {}
            Entry::Occupied(mut old) => {
                let freed = old.get().cost_bytes();
                if table.bytes - freed + cost > self.bytes_max {
                    return Err(Full);
                }
                table.bytes = table.bytes - freed + cost;
                old.insert(message.clone());
            }
            Entry::Vacant(place) => {
                if !room || table.bytes + cost > self.bytes_max {
                    return Err(Full);
                }
                table.bytes += cost;
                place.insert(message.clone());
            }
        }
        Ok(())
    }

    /// How many messages there are, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let table = self.read();
        (table.messages.len(), table.bytes)
    }

    /// At most `messages_max` messages that match `cursor`'s pattern, from where it stands on; the cursor is moved
    /// behind them. Fewer than asked for means that there are no more. Expired ones are passed over.
    pub fn next(&self, cursor: &mut Cursor, messages_max: usize, now: Time) -> Vec<Arc<Message>> {
        let table = self.read();
        let mut found = Vec::new();
        while !cursor.done && found.len() < messages_max {
            match table.first_match(&cursor.levels, cursor.after.as_deref()) {
                Some((key, message)) => {
                    cursor.after = Some(key.clone());
                    if !message.is_expired(now) {
                        found.push(message.clone());
                    }
                }
                None => cursor.done = true,
            }
        }
        found
    }

    /// Removes what has expired; returns how many.
    pub fn sweep(&self, now: Time) -> usize {
        if !self.read().messages.values().any(|m| m.is_expired(now)) {
            return 0;
        }
        let mut table = self.write();
        let before = table.messages.len();
        let mut freed = 0;
        table.messages.retain(|_, m| {
            let keep = !m.is_expired(now);
            freed += if keep { 0 } else { m.cost_bytes() };
            keep
        });
        table.bytes -= freed;
        before - table.messages.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is no room for one more retained message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// How far a walk over the retained messages that match a filter has come. It holds no lock and no message, so that
/// a large set can be given to a slow receiver bit by bit.
#[derive(Clone, Debug)]
pub struct Cursor {
    levels: Box<[Box<str>]>,
    after: Option<Key>,
    done: bool,
}

impl Cursor {
    /// Before the first topic that matches `pattern`, a valid filter.
    pub fn new(pattern: &str) -> Cursor {
        Cursor { levels: pattern.split('/').map(Into::into).collect(), after: None, done: false }
    }

    /// Whether there is nothing more to come.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

impl Table {
    /// The first match behind `after`. Each try either matches or says from which key on the next match can be, so
    /// what a filter does not want is skipped a subtree at a time.
    fn first_match(&self, pattern: &[Box<str>], after: Option<&str>) -> Option<(&Key, &Arc<Message>)> {
        let mut from = match after {
            Some(after) => Bound::Excluded(after.to_string()),
            None => Bound::Included(literal_start(pattern)),
        };
        loop {
            let bounds = (from.as_ref().map(String::as_str), Bound::Unbounded);
            let (key, message) = self.messages.range::<str, _>(bounds).next()?;
            match compare(pattern, key) {
                Step::Match => return Some((key, message)),
                Step::Seek(next) => {
                    // A step that did not lead on would never end.
                    debug_assert!(next.as_str() > &**key);
                    from = Bound::Included(next);
                }
                Step::End => return None,
            }
        }
    }
}

enum Step {
    Match,
    /// No match before this key.
    Seek(String),
    /// No match behind this key.
    End,
}

/// The levels of a pattern before its first wildcard, as a key.
fn literal_start(pattern: &[Box<str>]) -> String {
    let literal = pattern.iter().take_while(|l| !matches!(&***l, "+" | "#"));
    literal.map(|l| &**l).collect::<Vec<_>>().join("\0")
}

fn compare(pattern: &[Box<str>], key: &str) -> Step {
    let hidden = crate::topic::is_hidden(key);
    let mut start = 0;
    let mut levels = key.split('\0');
    for (depth, wanted) in pattern.iter().enumerate() {
        let wild = matches!(&**wanted, "+" | "#");
        if wild && depth == 0 && hidden {
            // `$` topics stand together: go on behind them.
            return Step::Seek("%".into());
        }
        if &**wanted == "#" {
            return Step::Match;
        }
        let Some(level) = levels.next() else {
            // The topic is too short; what goes on below it comes next.
            return Step::Seek(format!("{key}\0"));
        };
        if !wild && level != &**wanted {
            // Up to here all levels match, so the wanted level is either still to come below the same levels ...
            if level < &**wanted {
                let next = format!("{}{wanted}", &key[..start]);
                return Step::Seek(next);
            }
            // ... or has been passed, and only another choice for a `+` above can match.
            return past_last_plus(pattern, depth, key);
        }
        start += level.len() + 1;
    }
    match levels.next() {
        None => Step::Match,
        // Too deep: everything that shares these levels is.
        Some(_) => past(&key[..start - 1]),
    }
}

/// Where to go on when the levels of `key` from `depth` on have passed the pattern.
fn past_last_plus(pattern: &[Box<str>], depth: usize, key: &str) -> Step {
    let Some(plus) = pattern[..depth].iter().rposition(|l| &**l == "+") else { return Step::End };
    let end = key.split('\0').take(plus + 1).map(|l| l.len() + 1).sum::<usize>() - 1;
    past(&key[..end])
}

/// Behind everything that is below `levels` (and behind `levels` itself).
fn past(levels: &str) -> Step {
    // U+0001 is the least character after the separator; a longer name at this level sorts at or behind it.
    Step::Seek(format!("{levels}\u{1}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Topic, matches};
    use proptest::prelude::*;
    use trefoil_mqtt::QoS;

    fn message(topic: &str, payload: &'static str) -> Arc<Message> {
        Arc::new(Message {
            topic: Topic::new(topic, 128).expect("valid"),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: true,
            expires_at: None,
            properties: None,
        })
    }

    fn all(retained: &Retained, pattern: &str, at_once: usize) -> Vec<String> {
        let (mut cursor, mut found) = (Cursor::new(pattern), Vec::new());
        while !cursor.is_done() {
            found.extend(
                retained.next(&mut cursor, at_once, Time::default()).iter().map(|m| m.topic.to_string()),
            );
        }
        found
    }

    #[test]
    fn last_one_stays_and_empty_one_removes() {
        let retained = Retained::new(10, 10_000);
        retained.set(&message("a", "1")).expect("room");
        retained.set(&message("a", "2")).expect("room");
        let mut cursor = Cursor::new("a");
        assert_eq!(*retained.next(&mut cursor, 9, Time::default())[0].payload, *b"2");
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
        let now = Time::from_ms(1000);
        assert!(retained.next(&mut Cursor::new("#"), 9, now).is_empty());
        assert_eq!((retained.sweep(now), retained.size()), (1, (0, 0)));
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
            let mut found = all(&retained, &pattern, at_once);
            expected.sort();
            found.sort();
            prop_assert_eq!(found, expected, "{}", pattern);
        }
    }
}
