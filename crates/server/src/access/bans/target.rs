//! Whom a ban is for.

use std::fmt;
use std::sync::Arc;
use trefoil_auth::check_name;
use trefoil_config::Network;

/// What is banned by client id is no longer, in bytes.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 1024;

/// Whom a ban is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A client id, in which each `*` stands for any text.
    ClientId(Arc<str>),
    /// A user name in its prepared form.
    User(Arc<str>),
    /// An address, or all addresses of a network.
    Address(Network),
}

/// The kinds of targets by their names, as they are in JSON, in paths and in the store.
pub(crate) const KINDS: [&str; 3] = ["client_id", "user", "address"];

impl Target {
    /// Reads a target of one of the [kinds](KINDS).
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(crate) fn read(kind: &str, text: &str) -> Result<Target, String> {
        match kind {
            "client_id" => client_id(text),
            "user" => check_name(text).map(|name| Target::User(name.into())),
            "address" => Network::read(text).map(Target::Address),
            _ => Err(format!("there is no kind of ban {kind:?}; there are {}", KINDS.join(", "))),
        }
    }

    /// Whether it is for this client id.
    pub(crate) fn is_client_id(&self, client_id: &str) -> bool {
        matches!(self, Target::ClientId(pattern) if matches(pattern, client_id))
    }

    /// One of the [kinds](KINDS).
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Target::ClientId(_) => KINDS[0],
            Target::User(_) => KINDS[1],
            Target::Address(_) => KINDS[2],
        }
    }
}

/// Without its kind, as [`Target::read`] takes it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::ClientId(text) | Target::User(text) => f.write_str(text),
            Target::Address(network) => network.fmt(f),
        }
    }
}

fn client_id(text: &str) -> Result<Target, String> {
    if text.is_empty() {
        return Err("a client id has at least one character".into());
    }
    if text.len() > CLIENT_ID_BYTES_MAX {
        return Err(format!(
            "it is longer than {CLIENT_ID_BYTES_MAX} bytes; the beginning of a long client id and a * ban it too"
        ));
    }
    Ok(Target::ClientId(text.into()))
}

/// Whether a text is of a pattern in which each `*` stands for any text, the empty one too. It takes time in proportion to
/// the text, whatever the pattern.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else { return pattern == text };
    let rest = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let Some(mut rest) = rest.map(str::as_bytes) else { return false };
    for part in parts {
        // The first place is as good as any later one.
        let Some(at) = memchr::memmem::find(rest, part.as_bytes()) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, yes, no) in [
            ("pump", &["pump"][..], &["pump-1", "", "Pump"][..]),
            ("pump-*", &["pump-", "pump-1", "pump-*"], &["pump", "a pump-1"]),
            ("*", &["", "x"], &[]),
            ("*-7", &["-7", "a-7"], &["-77"]),
            ("a*b*c", &["abc", "a-b-b-c", "abbc"], &["ac", "acb", "ab"]),
            ("ab*ba", &["abba", "ab-ba"], &["aba"]),
            ("a**c", &["ac", "abc"], &["a"]),
            ("é*", &["é", "éa"], &["e"]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern} {text}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} {text}");
            }
        }
    }

    /// As slow as it can be told.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| slowly(rest, &text[at..])),
            Some((first, rest)) => text.first() == Some(first) && slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab*]{0,7}", text in "[ab*]{0,9}") {
            prop_assert_eq!(matches(&pattern, &text), slowly(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
