//! Topic names and topic filters: what is allowed in them and how they match (MQTT 5.0 §4.7).

use std::fmt;
use std::sync::Arc;

/// The most bytes that a topic name or filter may have [MQTT-4.7.3-3] [v3 MQTT-4.7.3-3].
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// Topics that only the hub publishes to begin with this.
pub const HUB_TOPICS: &str = "$SYS/";

/// Topics to which answers to requests go begin with this. Each is known to one session and to whoever that has asked, so
/// nobody may subscribe to any.
pub const REPLY_TOPICS: &str = "$reply/";

/// Whether a topic is one of [`REPLY_TOPICS`], or a filter for one of them, or their common beginning.
pub fn is_reply(topic: &str) -> bool {
    topic.strip_prefix("$reply").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A valid topic name, shared by all messages and encodings that carry it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Checks and takes a topic name of at most `levels_max` levels.
    ///
    /// # Errors
    /// When the name is empty, too long or too deep, or has a wildcard or U+0000 in it.
    pub fn new(name: &str, levels_max: usize) -> Result<Topic, TopicError> {
        check_topic(name, levels_max)?;
        Ok(Topic(name.into()))
    }

    /// Whether the two are the same piece of memory, and not only the same name.
    pub(crate) fn is_same(&self, other: &Topic) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Where its memory is.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Topic {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A valid topic filter as a client wrote it, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filter<'a> {
    /// The share name, if it is `$share/NAME/FILTER` (MQTT 5.0 §4.8.2).
    pub share: Option<&'a str>,
    /// What topics are matched against.
    pub pattern: &'a str,
}

impl<'a> Filter<'a> {
    /// Checks and takes apart a filter of at most `levels_max` levels.
    ///
    /// # Errors
    /// When the filter is empty, too long or too deep, has U+0000 or a misplaced wildcard in it
    /// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [v3 MQTT-4.7.1-2], or a share name that is empty or has a wildcard in it [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    pub fn parse(text: &'a str, levels_max: usize) -> Result<Filter<'a>, TopicError> {
        let (share, pattern) = match text.strip_prefix("$share/") {
            Some(rest) => {
                let (name, pattern) = rest.split_once('/').ok_or(TopicError::ShareWithoutFilter)?;
                if name.is_empty() || name.contains(['+', '#']) {
                    return Err(TopicError::ShareName);
                }
                (Some(name), pattern)
            }
            None => (None, text),
        };
        check_size(pattern, text.len(), levels_max)?;
        let mut levels = pattern.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('#') && (level.len() > 1 || levels.peek().is_some()) {
                return Err(TopicError::MisplacedHash);
            }
            if level.contains('+') && level.len() > 1 {
                return Err(TopicError::MisplacedPlus);
            }
        }
        Ok(Filter { share, pattern })
    }
}

/// Checks a topic name without keeping it: for messages that are not kept either.
///
/// # Errors
/// As [`Topic::new`].
pub fn check_topic(name: &str, levels_max: usize) -> Result<(), TopicError> {
    check_size(name, name.len(), levels_max)?;
    match name.bytes().any(|b| b == b'+' || b == b'#') {
        true => Err(TopicError::Wildcard),
        false => Ok(()),
    }
}

fn check_size(text: &str, bytes: usize, levels_max: usize) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if bytes > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    // One pass for both: they are looked for in every message's topic.
    let mut levels = 1;
    for b in text.bytes() {
        levels += usize::from(b == b'/');
        if b == 0 {
            return Err(TopicError::Nul);
        }
    }
    if levels > levels_max {
        return Err(TopicError::TooManyLevels { levels_max });
    }
    Ok(())
}

/// Whether a topic is hidden from filters that start with a wildcard [MQTT-4.7.2-1] [v3 MQTT-4.7.2-1].
pub fn is_hidden(topic: &str) -> bool {
    topic.as_bytes().first() == Some(&b'$')
}

/// Whether `topic` matches `pattern`; both valid. For single questions: many filters are asked at once by an
/// [`Index`](crate::index::Index).
pub fn matches(pattern: &str, topic: &str) -> bool {
    if is_hidden(topic) && pattern.starts_with(['+', '#']) {
        return false;
    }
    let (mut patterns, mut levels) = (pattern.split('/'), topic.split('/'));
    loop {
        match (patterns.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(p), Some(l)) if p == "+" || p == l => {}
            _ => return false,
        }
    }
}

/// Why a topic name or a topic filter is not valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TopicError {
    /// It has no characters.
    Empty,
    /// It has more than [`TOPIC_BYTES_MAX`] bytes.
    TooLong,
    /// It has more levels than the hub is set to take.
    TooManyLevels {
        /// The limit.
        levels_max: usize,
    },
    /// It has U+0000 in it.
    Nul,
    /// A topic name has `+` or `#` in it.
    Wildcard,
    /// `#` is not alone in the last level of a filter.
    MisplacedHash,
    /// `+` is not alone in its level of a filter.
    MisplacedPlus,
    /// The share name is empty or has a wildcard in it.
    ShareName,
    /// `$share/NAME` has no filter after it.
    ShareWithoutFilter,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicError::Empty => f.write_str("it is empty; a topic has at least one character"),
            TopicError::TooLong => write!(f, "it is longer than {TOPIC_BYTES_MAX} bytes"),
            TopicError::TooManyLevels { levels_max } => {
                write!(f, "it has more than {levels_max} levels (limits.topic_levels_max)")
            }
            TopicError::Nul => f.write_str("it has U+0000 in it"),
            TopicError::Wildcard => {
                f.write_str("it has + or # in it; those are for filters, a message goes to one topic")
            }
            TopicError::MisplacedHash => f.write_str("# must be alone in the last level, as in a/b/#"),
            TopicError::MisplacedPlus => f.write_str("+ must be alone in its level, as in a/+/c"),
            TopicError::ShareName => {
                f.write_str("the share name in $share/NAME/FILTER is empty or has + or # in it")
            }
            TopicError::ShareWithoutFilter => {
                f.write_str("$share/NAME needs a filter after it: $share/NAME/FILTER")
            }
        }
    }
}

impl std::error::Error for TopicError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(Topic::new("a/b//c", 8).is_ok());
        assert!(Topic::new("/", 8).is_ok());
        assert_eq!(Topic::new("", 8), Err(TopicError::Empty));
        assert_eq!(Topic::new("a/+", 8), Err(TopicError::Wildcard));
        assert_eq!(Topic::new("a\0", 8), Err(TopicError::Nul));
        assert_eq!(Topic::new("a/b/c", 2), Err(TopicError::TooManyLevels { levels_max: 2 }));
        assert_eq!(Topic::new(&"a".repeat(65_536), 8), Err(TopicError::TooLong));
    }

    #[test]
    fn filters() {
        let plain = |pattern| Ok(Filter { share: None, pattern });
        assert_eq!(Filter::parse("a/+/#", 8), plain("a/+/#"));
        assert_eq!(Filter::parse("#", 8), plain("#"));
        assert_eq!(Filter::parse("$shared/x", 8), plain("$shared/x"));
        assert_eq!(Filter::parse("$share/g/a/#", 8), Ok(Filter { share: Some("g"), pattern: "a/#" }));
        assert_eq!(Filter::parse("$share/g//", 8), Ok(Filter { share: Some("g"), pattern: "/" }));
        for (bad, why) in [
            ("a#", TopicError::MisplacedHash),
            ("#/a", TopicError::MisplacedHash),
            ("a/b+", TopicError::MisplacedPlus),
            ("$share/g", TopicError::ShareWithoutFilter),
            ("$share/g/", TopicError::Empty),
            ("$share//a", TopicError::ShareName),
            ("$share/+/a", TopicError::ShareName),
        ] {
            assert_eq!(Filter::parse(bad, 8), Err(why), "{bad}");
        }
    }

    #[test]
    fn topics_for_answers() {
        for topic in ["$reply", "$reply/", "$reply/#", "$reply/+/x", "$reply/0a"] {
            assert!(is_reply(topic), "{topic}");
        }
        for topic in ["$replying", "reply/x", "#", "$SYS/reply", "a/$reply/b", ""] {
            assert!(!is_reply(topic), "{topic}");
        }
        assert!(!matches("#", "$reply/0a") && !matches("+/0a", "$reply/0a"));
    }

    #[test]
    fn matching() {
        for (pattern, topic) in
            [("a/b", "a/b"), ("a/+", "a/"), ("a/#", "a"), ("#", "a/b"), ("+/+", "/a"), ("$SYS/#", "$SYS/a")]
        {
            assert!(matches(pattern, topic), "{pattern} {topic}");
        }
        for (pattern, topic) in
            [("a/b", "a"), ("a/+", "a"), ("a/+", "a/b/c"), ("#", "$SYS/a"), ("+/a", "$SYS/a"), ("a", "a/")]
        {
            assert!(!matches(pattern, topic), "{pattern} {topic}");
        }
    }
}
