//! What can go wrong, in words for the person who has to do something about it.

use std::fmt;
use std::sync::Arc;
use trefoil_json::Code;

/// Why something did not work: what happened, with which hub, and where there is something to do about it, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    /// The hub's address; empty where no hub had a part in it.
    hub: Arc<str>,
    reason: String,
    /// What the hub called it, where it said so in JSON.
    code: Option<Code>,
}

/// Whose fault it is, more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's: a URL, an option, a topic or a message that cannot be.
    Usage,
    /// Nothing answers at the address.
    Connect,
    /// What answers there speaks something else, or breaks the rules of its protocol.
    Protocol,
    /// The hub said no.
    Refused,
    /// The connection was open and broke, or the hub ended it.
    Lost,
    /// The hub took too long.
    TimedOut,
    /// The client was closed before.
    Closed,
}

impl Error {
    /// Whose fault it is, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the hub called the reason, where it said so in a word of its JSON protocol that this version knows: for programs
    /// that go on in another way then.
    pub fn code(&self) -> Option<Code> {
        self.code
    }

    /// The same error with the hub's word for it.
    pub(crate) fn with_code(self, code: Option<Code>) -> Error {
        Error { code, ..self }
    }

    pub(crate) fn usage(reason: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Usage, hub: "".into(), reason: reason.into(), code: None }
    }

    pub(crate) fn closed() -> Error {
        Error { kind: ErrorKind::Closed, hub: "".into(), reason: "the client was closed".into(), code: None }
    }

    /// A connection that breaks before the hub has said a word never was one.
    pub(crate) fn before_greeting(self) -> Error {
        let kind = if self.kind == ErrorKind::Lost { ErrorKind::Connect } else { self.kind };
        Error { kind, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { kind, hub, reason, .. } = self;
        match kind {
            ErrorKind::Usage | ErrorKind::Closed => f.write_str(reason),
            ErrorKind::Connect => write!(f, "cannot connect to {hub}: {reason}"),
            ErrorKind::Protocol => {
                write!(f, "what answers at {hub} does not speak the protocol of this URL: {reason}")
            }
            ErrorKind::Refused => write!(f, "{hub} refused {reason}"),
            ErrorKind::Lost => write!(f, "the connection to {hub} ended: {reason}"),
            ErrorKind::TimedOut => write!(f, "{hub} did not answer in time: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// The hub at the other end, by the name that errors call it.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<str>);

impl Peer {
    pub(crate) fn new(address: &str) -> Peer {
        Peer(address.into())
    }

    pub(crate) fn unreachable(&self, reason: impl fmt::Display) -> Error {
        self.error(ErrorKind::Connect, reason)
    }

    pub(crate) fn stranger(&self, reason: impl fmt::Display) -> Error {
        self.error(ErrorKind::Protocol, reason)
    }

    pub(crate) fn refused(&self, what: impl fmt::Display, reason: impl fmt::Display) -> Error {
        self.error(ErrorKind::Refused, format_args!("{what}: {reason}"))
    }

    pub(crate) fn lost(&self, reason: impl fmt::Display) -> Error {
        self.error(ErrorKind::Lost, reason)
    }

    pub(crate) fn timed_out(&self, what: impl fmt::Display) -> Error {
        self.error(ErrorKind::TimedOut, what)
    }

    fn error(&self, kind: ErrorKind, reason: impl fmt::Display) -> Error {
        Error { kind, hub: self.0.clone(), reason: reason.to_string(), code: None }
    }
}

/// Long texts of others are cut before they go into an error.
pub(crate) fn shown(text: &[u8]) -> String {
    const CHARS_MAX: usize = 160;
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * CHARS_MAX)]);
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.trim().chars().take(CHARS_MAX).map(visible).collect();
    if text.trim().chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_hub() {
        let peer = Peer::new("mqtt://127.0.0.1:1883");
        let error = peer.refused("the subscription to a/#", "Not authorized");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(
            error.to_string(),
            "mqtt://127.0.0.1:1883 refused the subscription to a/#: Not authorized"
        );
    }

    #[test]
    fn what_others_say_is_cut_and_harmless_on_a_terminal() {
        assert_eq!(shown(b"no\x1b[2J\r\n"), "no\u{fffd}[2J");
        assert_eq!(shown(&[b'x'; 1000]).chars().count(), 161);
    }
}
