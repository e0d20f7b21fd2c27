//! Close codes and the body of a close frame (RFC 6455 §5.5.1, §7.4).

use std::fmt;

use crate::Violation;

/// A code that may stand in a close frame: 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 §7.4, and the three that
/// were registered after it).
///
/// The codes that only stand for something that happened (1005, 1006, 1015) cannot be made into one, so that they
/// can neither be sent nor be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the server goes down, or the page was left.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke a rule of the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: the peer sent a kind of data that is not accepted here.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// 1007: a message does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008: a rule of this server forbids it; for when no other code fits.
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// 1009: a message is too big to be processed.
    pub const MESSAGE_TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: the client wanted an extension that the server did not agree to.
    pub const EXTENSION_REQUIRED: CloseCode = CloseCode(1010);
    /// 1011: the server cannot go on for a reason of its own.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);

    /// The close code of this number, or `None` if it must not stand in a frame.
    pub const fn from_u16(code: u16) -> Option<CloseCode> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The body of a close frame that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// Why the peer closes.
    pub code: CloseCode,
    /// The same for people; often empty, at most 123 bytes.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// Reads the (unmasked) payload of a close frame. An empty one says nothing: `None`.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Option<CloseFrame<'a>>, Violation> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(Violation::CloseBodyTooShort),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::from_u16(code).ok_or(Violation::CloseCodeInvalid(code))?;
        let reason = str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
        Ok(Some(CloseFrame { code, reason }))
    }
}
