//! What a room may be called.

use std::fmt;

/// The most bytes in a name.
pub const NAME_BYTES_MAX: usize = 200;

/// Why a text cannot be the name of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    TooLong,
    /// There is a control character in it.
    Control,
    /// There is a wildcard of topic filters in it.
    Wildcard,
    /// A part between slashes is empty, `.` or `..`.
    Segment,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("a room needs a name"),
            NameError::TooLong => write!(f, "the name is longer than {NAME_BYTES_MAX} bytes"),
            NameError::Control => f.write_str("a control character is in the name"),
            NameError::Wildcard => f.write_str("+ and # cannot be in the name"),
            NameError::Segment => f.write_str("a part of the name between slashes is empty, . or .."),
        }
    }
}

impl std::error::Error for NameError {}

/// Whether a room may be called so.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    if name.contains(['+', '#']) {
        return Err(NameError::Wildcard);
    }
    if name.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(NameError::Segment);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["pong", "pong/7", "a b", "ö/…", "...", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Empty),
            (&"x".repeat(NAME_BYTES_MAX + 1) as &str, NameError::TooLong),
            ("a\0", NameError::Control),
            ("a\u{85}", NameError::Control),
            ("a/+", NameError::Wildcard),
            ("#", NameError::Wildcard),
            ("/a", NameError::Segment),
            ("a/", NameError::Segment),
            ("a//b", NameError::Segment),
            ("../a", NameError::Segment),
            ("a/./b", NameError::Segment),
        ] {
            assert_eq!(check_name(bad), Err(why), "{bad:?}");
        }
    }
}
