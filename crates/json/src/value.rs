//! The text of one JSON value to what a field wants it to be.
//!
//! Every text here has been read once as JSON, so it is known to be one valid value without white space around it;
//! what is left to find is whether it is of the right kind and within its bounds.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserialize, Deserializer, Visitor};

/// The longest topic, topic filter, content type, user property or correlation, in bytes: what MQTT has room for.
pub const STRING_BYTES_MAX: usize = 65_535;

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// Arrays and objects in each other beyond the limit.
    TooDeep,
    /// An escape such as `\ud800` without its other half: no character, and an error to many JSON readers.
    LoneSurrogate,
}

/// Checks valid JSON text for what the grammar allows and careful readers refuse.
pub(crate) fn check_sound(json: &str, depth_max: usize) -> Result<(), Unsound> {
    let bytes = json.as_bytes();
    // What opens no more levels than there may be, in sequence or not, and has no escape, needs no closer look.
    if !has_byte(json, b'\\') && count_opening(bytes) <= depth_max {
        return Ok(());
    }
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        // Valid JSON has a backslash nowhere but in strings.
        if byte == b'\\' {
            at += escape_len(&bytes[at..])?;
            continue;
        }
        in_string ^= byte == b'"';
        // Without a branch on what the byte is, which would be guessed wrongly at every other one.
        let step = if in_string { 0 } else { depth_step(byte) };
        depth = depth.wrapping_add_signed(step);
        if depth > depth_max {
            return Err(Unsound::TooDeep);
        }
        at += 1;
    }
    Ok(())
}

/// Whether an ASCII character is in it: every text of every message is asked this, most often in vain.
pub(crate) fn has_byte(text: &str, byte: u8) -> bool {
    // Without a way out of the middle, so that the compiler can look at sixteen of them at once.
    text.as_bytes().chunks(64).any(|chunk| chunk.iter().fold(false, |found, &other| found | (other == byte)))
}

/// How many arrays and objects begin, at most: those in strings are counted too.
fn count_opening(bytes: &[u8]) -> usize {
    // Sums of a byte each, so that the compiler can add sixteen of them at once. 128 fit without an overflow.
    let opening = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>();
    bytes.chunks(128).map(|chunk| usize::from(opening(chunk))).sum()
}

fn depth_step(byte: u8) -> isize {
    isize::from(byte == b'[') + isize::from(byte == b'{')
        - isize::from(byte == b']')
        - isize::from(byte == b'}')
}

/// The length of the escape that begins here, which is both halves of a surrogate pair where it is one.
fn escape_len(escape: &[u8]) -> Result<usize, Unsound> {
    match escaped_unit(escape) {
        None => Ok(2),
        Some(0xd800..=0xdbff) => match escape.get(6..).and_then(escaped_unit) {
            Some(0xdc00..=0xdfff) => Ok(12),
            _ => Err(Unsound::LoneSurrogate),
        },
        Some(0xdc00..=0xdfff) => Err(Unsound::LoneSurrogate),
        Some(_) => Ok(6),
    }
}

/// The UTF-16 unit of an escape such as `\u00e9`.
fn escaped_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A whole number without sign, fraction or exponent.
pub(crate) fn unsigned(json: &str) -> Option<u64> {
    // `parse` alone would take a plus sign, but JSON has none.
    json.parse().ok()
}

pub(crate) fn boolean(json: &str) -> Option<bool> {
    match json {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Why a value is not the string that was wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotText {
    NoString,
    LoneSurrogate,
}

/// A string without its quotes, borrowed unless there are escapes in it.
pub(crate) fn text(json: &str) -> Result<Cow<'_, str>, NotText> {
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(NotText::NoString)?;
    if !has_byte(inner, b'\\') {
        return Ok(Cow::Borrowed(inner));
    }
    // The text is a valid string by the grammar, so only a surrogate can still be wrong.
    serde_json::from_str::<Text<'_>>(json).map(|text| text.0).map_err(|_| NotText::LoneSurrogate)
}

/// Bytes from base64: the standard alphabet, with or without padding.
pub(crate) fn base64(text: &str) -> Result<Vec<u8>, String> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
    ENGINE.decode(text).map_err(|error| {
        let url_alphabet = text.contains(['-', '_']);
        let hint = if url_alphabet {
            "; this looks like the URL alphabet, but the standard one (+ and /) is wanted"
        } else {
            ""
        };
        format!("{error}{hint}")
    })
}

/// `["a","b"]` to its strings. The error says what is wrong with it.
pub(crate) fn texts(json: &str) -> Result<Vec<Cow<'_, str>>, serde_json::Error> {
    let texts: Vec<Text<'_>> = serde_json::from_str(json)?;
    Ok(texts.into_iter().map(|text| text.0).collect())
}

/// A name and its value.
pub(crate) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// `[["name","value"],…]` to its pairs. The error says what is wrong with it.
pub(crate) fn pairs(json: &str) -> Result<Vec<Pair<'_>>, serde_json::Error> {
    let pairs: Vec<(Text<'_>, Text<'_>)> = serde_json::from_str(json)?;
    Ok(pairs.into_iter().map(|(name, value)| (name.0, value.0)).collect())
}

/// A value as an error quotes it: what does not fit in a line of error is cut.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    match text.char_indices().nth(CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A string that is borrowed where it can be; `Cow` itself never is.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_strings() {
        assert_eq!(check_sound("[[1],[2],[3]]", 2), Ok(()));
        assert_eq!(check_sound("[[[1]]]", 2), Err(Unsound::TooDeep));
        assert_eq!(check_sound(r#"[{"a":["x"]}]"#, 2), Err(Unsound::TooDeep));
        assert_eq!(check_sound(r#"["[[[[","{{{\"{{"]"#, 1), Ok(()));
        assert_eq!(check_sound(r#"["\\",[[1]]]"#, 2), Err(Unsound::TooDeep));
        assert_eq!(check_sound("1", 0), Ok(()));
    }

    #[test]
    fn surrogates_come_in_pairs() {
        for good in
            [r#""\ud83e\udd80""#, r#""\uD83E\uDD80\n""#, r#""\\ud800""#, r#""\u00e9""#, r#"["\u0041"]"#]
        {
            assert_eq!(check_sound(good, 9), Ok(()), "{good}");
        }
        for bad in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\ud800""#,
            r#""\ud800x""#,
            r#""\ud800\n""#,
            r#"["\ud800","\udc00"]"#,
        ] {
            assert_eq!(check_sound(bad, 9), Err(Unsound::LoneSurrogate), "{bad}");
            assert!(bad.starts_with('[') || text(bad) == Err(NotText::LoneSurrogate), "{bad}");
        }
    }

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        assert!(matches!(text("\"plain\""), Ok(Cow::Borrowed("plain"))));
        assert_eq!(text(r#""a\"\u00e9\ud83e\udd80""#).unwrap(), "a\"é🦀");
        assert_eq!(text("1"), Err(NotText::NoString));
        assert_eq!(text(r#""\ud800""#), Err(NotText::LoneSurrogate));
    }

    #[test]
    fn numbers_are_whole() {
        assert_eq!(unsigned("18446744073709551615"), Some(u64::MAX));
        for bad in ["18446744073709551616", "-1", "1.0", "1e3", "\"1\"", "null", "[1]"] {
            assert_eq!(unsigned(bad), None, "{bad}");
        }
    }

    #[test]
    fn base64_goes_with_and_without_padding() {
        for good in ["YQ==", "YQ"] {
            assert_eq!(base64(good).unwrap(), b"a");
        }
        assert_eq!(base64("").unwrap(), b"");
        assert_eq!(base64("+/+/").unwrap(), b"\xfb\xff\xbf");
        assert!(base64("-_-_").unwrap_err().contains("URL alphabet"));
        for bad in ["Y", "YQ=", "YQ==YQ==", "Y Q=", "YR=="] {
            // The engine is indifferent to the number of padding bytes at the end, so `YQ=` is as good as `YQ`.
            assert_eq!(base64(bad).is_ok(), bad == "YQ=", "{bad}");
        }
    }

    #[test]
    fn an_excerpt_is_short_and_cut_between_characters() {
        assert_eq!(excerpt("short"), "short");
        assert_eq!(excerpt(&"é".repeat(50)), format!("{}…", "é".repeat(40)));
    }
}
