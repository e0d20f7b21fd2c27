//! Names that stay inside the folder that they are received in.
//!
//! A path on the wire is one or more names with `/` between them. It is checked name by name, by the sender's program
//! as well as by the receiver's; what is no plain name is refused and never repaired, since a repaired name might be
//! the name of something else.

use std::fmt;

/// The longest name, in bytes: what file systems take.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 4096;
/// How many names a path may have.
pub const PATH_NAMES_MAX: usize = 256;

/// Which names the receiving system takes for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// `/` and NUL only.
    Unix,
    /// Also separators, devices, streams and wildcards of Windows, and names that it changes silently.
    Windows,
}

impl Rules {
    /// Those of the system that this program runs on.
    #[must_use]
    pub fn here() -> Rules {
        if cfg!(windows) { Rules::Windows } else { Rules::Unix }
    }
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// There is nothing, or nothing between two slashes, or a slash at an end.
    Empty,
    /// `.` or `..`.
    Dots,
    /// A NUL.
    Nul,
    /// A name of more than 255 bytes, or a path of more than 4,096 bytes or 256 names.
    TooLong,
    /// Something that Windows takes for a device, a stream, a separator or a wildcard.
    Reserved,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::Empty => "it is absolute, or has an empty name in it",
            NameError::Dots => "it has . or .. in it",
            NameError::Nul => "it has a NUL in it",
            NameError::TooLong => "it is longer than a path may be",
            NameError::Reserved => "it means something else on this system",
        })
    }
}

impl std::error::Error for NameError {}

/// Checks a path.
///
/// # Errors
/// When it could mean anything but a file below the folder that it is relative to.
pub fn check(path: &[u8], rules: Rules) -> Result<(), NameError> {
    if path.len() > PATH_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    let mut count = 0;
    for name in names(path) {
        count += 1;
        if name.len() > NAME_BYTES_MAX || count > PATH_NAMES_MAX {
            return Err(NameError::TooLong);
        }
        match name {
            b"" => return Err(NameError::Empty),
            b"." | b".." => return Err(NameError::Dots),
            name if name.contains(&0) => return Err(NameError::Nul),
            name if rules == Rules::Windows && is_reserved(name) => return Err(NameError::Reserved),
            _ => {}
        }
    }
    Ok(())
}

/// The names of a path, from the top down.
pub fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

/// The path of the folder that something is in, and its name there. What is at the top is in none.
#[must_use]
pub fn split(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (Some(&path[..at]), &path[at + 1..]),
        None => (None, path),
    }
}

/// A name as it may be shown: what a terminal could take for an order is escaped.
#[must_use]
pub fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // The direction marks could make a name look like another one.
        if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether Windows takes a name for something else, or would change it.
fn is_reserved(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return true };
    if name.contains(|c: char| c < ' ' || "<>:\"\\|?*".contains(c)) || name.ends_with(['.', ' ']) {
        return true;
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$")
        || matches!(
            numbered,
            Some("0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for (path, error) in [
            (&b""[..], NameError::Empty),
            (b"/etc/passwd", NameError::Empty),
            (b"a//b", NameError::Empty),
            (b"a/", NameError::Empty),
            (b"..", NameError::Dots),
            (b"a/../../b", NameError::Dots),
            (b"./a", NameError::Dots),
            (b"a/\0", NameError::Nul),
            (&[b'x'; 256], NameError::TooLong),
            (&b"a/".repeat(2049), NameError::TooLong),
            (&[&b"a/".repeat(256)[..], b"a"].concat(), NameError::TooLong),
        ] {
            for rules in [Rules::Unix, Rules::Windows] {
                assert_eq!(check(path, rules), Err(error), "{}", shown(path));
            }
        }
    }

    #[test]
    fn odd_names_are_names() {
        for path in [&b"..."[..], b".hidden/..b", b" ", b"\xff\xfe", b"a\nb", "käse/☘".as_bytes(), b"-rf"]
        {
            assert_eq!(check(path, Rules::Unix), Ok(()), "{}", shown(path));
        }
    }

    #[test]
    fn windows_has_fewer_names() {
        for path in [
            "con",
            "AUX.c",
            "a/nul .txt",
            "lpt1",
            "COM9.log",
            "a:b",
            "C:",
            "a\\b",
            "a.",
            "a ",
            "what?",
            "a\u{1}",
        ] {
            assert_eq!(check(path.as_bytes(), Rules::Windows), Err(NameError::Reserved), "{path}");
            assert_eq!(check(path.as_bytes(), Rules::Unix), Ok(()), "{path}");
        }
        for path in ["console", "com", "com10", "lpt", "a.con"] {
            assert_eq!(check(path.as_bytes(), Rules::Windows), Ok(()), "{path}");
        }
    }

    #[test]
    fn nothing_that_is_shown_moves_a_cursor() {
        assert_eq!(shown(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(shown("\u{202e}gpj.exe".as_bytes()), "\\u{202e}gpj.exe");
    }

    proptest! {
        #[test]
        fn what_passes_stays_below(path in prop::collection::vec(prop::sample::select(b"./a\0\\".to_vec()), 0..12)) {
            if check(&path, Rules::Unix).is_ok() {
                prop_assert!(!path.starts_with(b"/") && !path.contains(&0));
                prop_assert!(names(&path).all(|name| !name.is_empty() && name != b"." && name != b".."));
            }
        }
    }
}
