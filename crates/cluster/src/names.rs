//! The subjects of one cluster.

use std::fmt;

use crate::escape::{END, Wildcards, escape_level, unescape_level};

/// The longest subject. A NATS server takes 4,096 bytes in one line of its protocol unless it is configured otherwise,
/// and the line has to hold a reply subject and the lengths as well.
pub const SUBJECT_BYTES_MAX: usize = 3500;

/// The longest name of a node or a namespace.
pub const NAME_BYTES_MAX: usize = 64;

/// The first token of all subjects of one cluster, so that several can share a NATS server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(String);

/// The name of a node: one to [`NAME_BYTES_MAX`] ASCII letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

/// Topics that a wildcard in the first level may match.
const ORDINARY: &str = "t";
/// Topics that begin with `$`.
const SYSTEM: &str = "s";
/// Interests.
const INTEREST: &str = "i";

impl Namespace {
    /// A namespace of this name: one to [`NAME_BYTES_MAX`] ASCII letters, digits, `-` and `_`.
    ///
    /// # Errors
    ///
    /// The name has other characters, or none, or too many.
    pub fn new(name: &str) -> Result<Namespace, NameError> {
        check_name(name).map(|()| Namespace(name.to_owned()))
    }

    /// The subject on which a message with this topic is published.
    ///
    /// # Errors
    ///
    /// It is no topic name, or its subject would be too long.
    pub fn topic_subject(&self, topic: &str) -> Result<String, NameError> {
        if topic.is_empty() || topic.contains(['+', '#', '\0']) {
            return Err(NameError::Topic);
        }
        self.below_root(topic, Wildcards::None)
    }

    /// The subject to subscribe to in order to get exactly the messages whose topics this filter matches.
    ///
    /// # Errors
    ///
    /// It is no topic filter, or its subject would be too long.
    pub fn filter_subject(&self, filter: &str) -> Result<String, NameError> {
        check_filter(filter)?;
        self.below_root(filter, Wildcards::Live)
    }

    /// The subject on which a node says that it wants this filter.
    ///
    /// # Errors
    ///
    /// It is no topic filter, or its subject would be too long.
    pub fn interest_subject(&self, node: &NodeName, filter: &str) -> Result<String, NameError> {
        check_filter(filter)?;
        let mut subject = format!("{}.{INTEREST}.{}", self.0, node.0);
        push_levels(filter, Wildcards::Escaped, &mut subject);
        check_length(subject)
    }

    /// The subject to subscribe to in order to hear what one node wants, or what all want.
    pub fn interests_subject(&self, node: Option<&NodeName>) -> String {
        format!("{}.{INTEREST}.{}.>", self.0, node.map_or("*", NodeName::as_str))
    }

    /// The topic of a message that came on this subject; `None` when no topic has this subject.
    pub fn topic_of(&self, subject: &str) -> Option<String> {
        let topic = self.levels_of(subject, Wildcards::None)?;
        self.topic_subject(&topic).is_ok_and(|same| same == subject).then_some(topic)
    }

    /// The filter to which this subject subscribes; `None` when no filter has this subject.
    pub fn filter_of(&self, subject: &str) -> Option<String> {
        let filter = self.levels_of(subject, Wildcards::Live)?;
        self.filter_subject(&filter).is_ok_and(|same| same == subject).then_some(filter)
    }

    /// Which node wants which filter, by this subject; `None` when no interest has it.
    pub fn interest_of(&self, subject: &str) -> Option<(NodeName, String)> {
        let (node, tokens) = self.strip(subject, INTEREST)?.split_once('.')?;
        let node = NodeName::new(node).ok()?;
        let filter = levels(tokens, Wildcards::Escaped)?;
        self.interest_subject(&node, &filter).is_ok_and(|same| same == subject).then_some((node, filter))
    }

    /// A topic, or a filter with live wildcards, below the token for its kind.
    fn below_root(&self, levels: &str, wildcards: Wildcards) -> Result<String, NameError> {
        // [MQTT-4.7.2-1]: wildcards in the first level do not match topics that begin with `$`.
        let root = if levels.starts_with('$') { SYSTEM } else { ORDINARY };
        let mut subject = format!("{}.{root}", self.0);
        push_levels(levels, wildcards, &mut subject);
        if !subject.ends_with('>') {
            subject.push('.');
            subject.push_str(END);
        }
        check_length(subject)
    }

    fn levels_of(&self, subject: &str, wildcards: Wildcards) -> Option<String> {
        let tokens = self.strip(subject, ORDINARY).or_else(|| self.strip(subject, SYSTEM))?;
        let tokens = tokens.strip_suffix(END).and_then(|tokens| tokens.strip_suffix('.')).unwrap_or(tokens);
        levels(tokens, wildcards)
    }

    /// What stands behind the namespace and a token.
    fn strip<'a>(&self, subject: &'a str, token: &str) -> Option<&'a str> {
        let rest = subject.strip_prefix(&self.0)?.strip_prefix('.')?;
        rest.strip_prefix(token)?.strip_prefix('.')
    }
}

impl NodeName {
    /// A node of this name.
    ///
    /// # Errors
    ///
    /// The name has other characters than are allowed, or none, or too many.
    pub fn new(name: &str) -> Result<NodeName, NameError> {
        check_name(name).map(|()| NodeName(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_levels(levels: &str, wildcards: Wildcards, subject: &mut String) {
    for level in levels.split('/') {
        subject.push('.');
        escape_level(level, wildcards, subject);
    }
}

fn levels(tokens: &str, wildcards: Wildcards) -> Option<String> {
    let mut levels = String::with_capacity(tokens.len());
    for (i, token) in tokens.split('.').enumerate() {
        if i > 0 {
            levels.push('/');
        }
        unescape_level(token, wildcards, &mut levels)?;
    }
    Some(levels)
}

fn check_name(name: &str) -> Result<(), NameError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits && plain { Ok(()) } else { Err(NameError::Name) }
}

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.7.3-2].
fn check_filter(filter: &str) -> Result<(), NameError> {
    let mut levels = filter.split('/').peekable();
    let mut is_filter = !filter.is_empty() && !filter.contains('\0');
    while let Some(level) = levels.next() {
        is_filter &= match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            other => !other.contains(['+', '#']),
        };
    }
    if is_filter { Ok(()) } else { Err(NameError::Filter) }
}

fn check_length(subject: String) -> Result<String, NameError> {
    let subject_bytes = subject.len();
    if subject_bytes > SUBJECT_BYTES_MAX { Err(NameError::TooLong { subject_bytes }) } else { Ok(subject) }
}

/// Why a name, topic or filter has no subject: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name of a node or namespace has other characters than are allowed, or none, or too many.
    Name,
    /// It is no topic name of MQTT.
    Topic,
    /// It is no topic filter of MQTT.
    Filter,
    /// The subject would be longer than [`SUBJECT_BYTES_MAX`].
    TooLong {
        /// So long it would be.
        subject_bytes: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Name => {
                write!(f, "a name must have 1 to {NAME_BYTES_MAX} characters out of A-Z, a-z, 0-9, - and _")
            }
            NameError::Topic => {
                f.write_str("a topic must not be empty and must not contain +, # or the null character")
            }
            NameError::Filter => f.write_str(
                "a filter must not be empty or contain the null character, + and # must be whole levels, and # the last",
            ),
            NameError::TooLong { subject_bytes } => write!(
                f,
                "the NATS subject would have {subject_bytes} bytes and may have {SUBJECT_BYTES_MAX}; shorten the topic"
            ),
        }
    }
}

impl std::error::Error for NameError {}
