//! SASLprep (RFC 4013): one form for all ways to write the same text.

use std::borrow::Cow;
use std::fmt;

/// Why a name or a password cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PrepareError {
    /// There is nothing in it, or nothing that counts.
    Empty,
    /// A character in it is not allowed, such as a control character, or directions of writing are mixed.
    Prohibited,
    /// It is longer than [`PASSWORD_BYTES_MAX`](crate::PASSWORD_BYTES_MAX).
    TooLong,
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PrepareError::Empty => "it is empty",
            PrepareError::Prohibited => "a character in it is not allowed (SASLprep, RFC 4013)",
            PrepareError::TooLong => "it is longer than 1,024 bytes",
        })
    }
}

impl std::error::Error for PrepareError {}

/// The form of a name or a password that all that follows is made of.
///
/// # Errors
/// When it is empty, too long, or has characters in it that nobody can type reliably.
pub fn prepare(text: &str) -> Result<Cow<'_, str>, PrepareError> {
    if text.len() > crate::PASSWORD_BYTES_MAX {
        return Err(PrepareError::TooLong);
    }
    let prepared = stringprep::saslprep(text).map_err(|_| PrepareError::Prohibited)?;
    if prepared.is_empty() { Err(PrepareError::Empty) } else { Ok(prepared) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 4013 §3.
        for (text, prepared) in [
            ("I\u{ad}X", Ok("IX")),
            ("user", Ok("user")),
            ("USER", Ok("USER")),
            ("\u{aa}", Ok("a")),
            ("\u{2168}", Ok("IX")),
            ("\u{7}", Err(PrepareError::Prohibited)),
            ("\u{627}1", Err(PrepareError::Prohibited)),
            ("\u{ad}", Err(PrepareError::Empty)),
            ("", Err(PrepareError::Empty)),
        ] {
            assert_eq!(prepare(text).as_deref(), prepared.as_ref().copied(), "{text:?}");
        }
        assert_eq!(prepare(&"x".repeat(1025)), Err(PrepareError::TooLong));
    }
}
