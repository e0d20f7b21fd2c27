//! One level of a topic or filter as one token of a subject, and back.

/// The token behind the last level of every topic.
pub(crate) const END: &str = "=";
const EMPTY: &str = "=e";
const PLUS: &str = "=p";
const HASH: &str = "=h";

/// What the wildcards of a filter become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wildcards {
    /// There must be none: it is a topic.
    None,
    /// Wildcards of NATS: the subject is subscribed to.
    Live,
    /// Tokens like others: the subject is published to.
    Escaped,
}

/// Appends a level.
pub(crate) fn escape_level(level: &str, wildcards: Wildcards, out: &mut String) {
    match (level, wildcards) {
        ("", _) => out.push_str(EMPTY),
        ("+", Wildcards::Live) => out.push('*'),
        ("#", Wildcards::Live) => out.push('>'),
        ("+", Wildcards::Escaped) => out.push_str(PLUS),
        ("#", Wildcards::Escaped) => out.push_str(HASH),
        _ => {
            for byte in level.bytes() {
                if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
                    out.push(byte.into());
                } else {
                    out.extend(['=', hex_digit(byte >> 4), hex_digit(byte & 0xF)]);
                }
            }
        }
    }
}

/// Appends the level that a token stands for; `None` when it stands for none. Takes more than [`escape_level`] writes:
/// the caller compares.
pub(crate) fn unescape_level(token: &str, wildcards: Wildcards, out: &mut String) -> Option<()> {
    match (token, wildcards) {
        (EMPTY, _) => {}
        ("*", Wildcards::Live) | (PLUS, Wildcards::Escaped) => out.push('+'),
        (">", Wildcards::Live) | (HASH, Wildcards::Escaped) => out.push('#'),
        _ => {
            let mut level = Vec::with_capacity(token.len());
            let mut bytes = token.bytes();
            while let Some(byte) = bytes.next() {
                level.push(match byte {
                    b'=' => hex_value(bytes.next()?)? << 4 | hex_value(bytes.next()?)?,
                    plain => plain,
                });
            }
            out.push_str(std::str::from_utf8(&level).ok()?);
        }
    }
    Some(())
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(value)])
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
