//! The walk over the retained messages that match a filter, in steps that a caller can count.
//!
//! Keys are topics with U+0000 in the place of `/`, which no topic has in it. As it sorts before all else, everything
//! below `a` stands together right after `a`, and a filter can skip what it does not want, a subtree at a time.

use std::num::NonZeroU64;

/// A topic as it is sorted.
pub(crate) type Key = Box<str>;

/// The key of a topic.
pub(crate) fn key(topic: &str) -> Key {
    topic.replace('/', "\0").into()
}

/// The topic of a key.
pub(crate) fn topic(key: &str) -> String {
    key.replace('\0', "/")
}

/// How far a walk over the retained messages that match a filter has come. It holds no lock and no message, so that
/// a large set can be given to a slow receiver bit by bit.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub(crate) levels: Box<[Box<str>]>,
    /// Where the walk goes on.
    pub(crate) at: String,
    /// Whether what stands at this very place has been given already.
    pub(crate) is_behind: bool,
    pub(crate) done: bool,
    /// Whose messages it passes over.
    pub(crate) leaves_out: Option<NonZeroU64>,
}

impl Cursor {
    /// Before the first topic that matches `pattern`, a valid filter.
    pub fn new(pattern: &str) -> Cursor {
        let levels: Box<[Box<str>]> = pattern.split('/').map(Into::into).collect();
        Cursor { at: literal_start(&levels), levels, is_behind: false, done: false, leaves_out: None }
    }

    /// The same for a subscriber that does not want what it has published itself.
    #[must_use]
    pub fn without(mut self, publisher: Option<NonZeroU64>) -> Cursor {
        self.leaves_out = publisher;
        self
    }

    /// The same, to go on where another one stood: [`place`](Self::place).
    #[must_use]
    pub(crate) fn from(mut self, at: &str, is_behind: bool) -> Cursor {
        (self.at, self.is_behind) = (at.to_owned(), is_behind);
        self
    }

    /// Where it stands, and whether what stands at this very place has been given already.
    pub(crate) fn place(&self) -> (&str, bool) {
        (&self.at, self.is_behind)
    }

    /// The pattern.
    pub(crate) fn pattern(&self) -> String {
        self.levels.join("/")
    }

    /// The first level of the pattern.
    pub(crate) fn first_level(&self) -> &str {
        self.levels.first().map_or("", |level| level)
    }

    /// Whether there is nothing more to come.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

/// What a key is to a pattern.
#[derive(Debug)]
pub(crate) enum Step {
    Match,
    /// No match before the key that was written down.
    Seek,
    /// No match behind this key.
    End,
}

/// The levels of a pattern before its first wildcard, as a key.
fn literal_start(pattern: &[Box<str>]) -> String {
    let literal = pattern.iter().take_while(|l| !matches!(&***l, "+" | "#"));
    literal.map(|l| &**l).collect::<Vec<_>>().join("\0")
}

/// Compares `key` with `pattern`. Writes where the next match can be into `next`, if the answer is to seek.
pub(crate) fn compare(pattern: &[Box<str>], key: &str, next: &mut String) -> Step {
    let hidden = crate::topic::is_hidden(key);
    let mut start = 0;
    let mut levels = key.split('\0');
    for (depth, wanted) in pattern.iter().enumerate() {
        let wild = matches!(&**wanted, "+" | "#");
        if wild && depth == 0 && hidden {
            // `$` topics stand together: go on behind them [MQTT-4.7.2-1].
            return seek(next, "%", "");
        }
        if &**wanted == "#" {
            return Step::Match;
        }
        let Some(level) = levels.next() else {
            // The topic is too short; what goes on below it comes next.
            return seek(next, key, "\0");
        };
        if !wild && level != &**wanted {
            // Up to here all levels match, so the wanted level is either still to come below the same levels ...
            if level < &**wanted {
                return seek(next, &key[..start], wanted);
            }
            // ... or has been passed, and only another choice for a `+` above can match.
            return past_last_plus(pattern, depth, key, next);
        }
        start += level.len() + 1;
    }
    match levels.next() {
        None => Step::Match,
        // Too deep: everything that shares these levels is.
        Some(_) => past(&key[..start - 1], next),
    }
}

/// Where to go on when the levels of `key` from `depth` on have passed the pattern.
fn past_last_plus(pattern: &[Box<str>], depth: usize, key: &str, next: &mut String) -> Step {
    let Some(plus) = pattern[..depth].iter().rposition(|l| &**l == "+") else { return Step::End };
    let end = key.split('\0').take(plus + 1).map(|l| l.len() + 1).sum::<usize>() - 1;
    past(&key[..end], next)
}

/// Behind everything that is below `levels` (and behind `levels` itself).
fn past(levels: &str, next: &mut String) -> Step {
    // U+0001 is the least character after the separator; a longer name at this level sorts at or behind it.
    seek(next, levels, "\u{1}")
}

fn seek(next: &mut String, levels: &str, more: &str) -> Step {
    next.clear();
    next.push_str(levels);
    next.push_str(more);
    Step::Seek
}
