//! Sizes and durations as people write them, and back.

use std::fmt;

use crate::settings::{Kind, Preset};

const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];
const DURATIONS: &[(&str, u64)] = &[("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];

/// Bytes in `"16 MiB"`, or why it is none.
pub(crate) fn read_bytes(text: &str) -> Result<u64, &'static str> {
    read(text, SIZES, "a size is a whole number and one of B, kB, KiB, MB, MiB, GB, GiB")
}

/// Seconds in `"10 s"`, or why it is none.
pub(crate) fn read_seconds(text: &str) -> Result<u64, &'static str> {
    read(text, DURATIONS, "a duration is a whole number and one of s, min, h, d")
}

fn read(text: &str, units: &[(&str, u64)], why: &'static str) -> Result<u64, &'static str> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let number: u64 = digits.replace('_', "").parse().map_err(|_| why)?;
    let unit = unit.trim_start();
    let factor = if unit.is_empty() {
        1
    } else {
        units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or(why)?
    };
    // A product beyond 64 bits is out of every range; the range check then says so.
    Ok(number.saturating_mul(factor))
}

/// Writes a number with the largest unit that leaves it whole.
fn write(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    match units.iter().find(|(_, factor)| number != 0 && number.is_multiple_of(*factor)) {
        Some((name, factor)) => write!(f, "{} {name}", number / factor),
        None => write!(f, "0"),
    }
}

/// The same for sizes: powers of two only, since a page with both kinds is hard to compare.
const BINARY: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number in the unit of its kind, as a person would write it.
pub(crate) struct Number(pub(crate) u64, pub(crate) Kind);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Kind::Bytes { .. } | Kind::Memory { .. } => write(f, self.0, BINARY),
            Kind::Seconds { .. } => write(f, self.0, DURATIONS),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// A default, as the page and the help show it.
pub(crate) struct Shown(pub(crate) Preset, pub(crate) Kind);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Preset::Bool(value) => write!(f, "{value}"),
            Preset::Number(number) => Number(number, self.1).fmt(f),
            Preset::Text(text) => write!(f, "\"{text}\""),
            Preset::Said(text) => f.write_str(text),
            Preset::Required => f.write_str("none: it must be written"),
        }
    }
}

/// What is allowed, as errors, page and help say it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |min, max| (Number(min, *self), Number(max, *self));
        match *self {
            Kind::Bool => f.write_str("true or false"),
            Kind::Count { min, max } => write!(f, "a whole number from {min} to {max}"),
            Kind::Bytes { min, max } => {
                let (min, max) = range(min, max);
                write!(f, "a size from {min} to {max}, in bytes or as text such as \"16 MiB\"")
            }
            Kind::Memory { max } => write!(
                f,
                "a size of at most {}, in bytes or as text such as \"512 MiB\", or a part of the machine's memory \
                 such as \"80 %\"; 0 is no limit",
                Number(max, *self)
            ),
            Kind::Seconds { min, max } => {
                let (min, max) = range(min, max);
                write!(f, "a duration from {min} to {max}, in seconds or as text such as \"10 s\"")
            }
            Kind::Choice(words) => write_words(f, "one of ", words),
            Kind::Choices(words) => write_words(f, "a list of any of ", words),
            Kind::Networks => {
                f.write_str("a list of addresses and networks such as \"127.0.0.1\" and \"10.0.0.0/8\"")
            }
            Kind::Origins => {
                f.write_str("a list of origins such as \"https://app.example\", or of \"*\" for all")
            }
            Kind::Address => f.write_str(
                "text such as \"127.0.0.1:1883\", \"[::1]:1883\", \"tcp://127.0.0.1:1883\", \
                 \"udp://127.0.0.1:1883\" or \"unix:///run/trefoil.sock\"",
            ),
            Kind::Text => f.write_str("text that is not empty"),
            Kind::Texts => f.write_str("a list of texts, or one text"),
            Kind::Escaped => f.write_str(ESCAPED),
            Kind::EscapedList => write!(f, "a list, or one, of this: {ESCAPED}"),
        }
    }
}

/// How bytes are written.
const ESCAPED: &str = "text in which \\r, \\n, \\t, \\0, \\\\ and \\x02 stand for the bytes of these names, or bytes in \
                       hexadecimal such as \"0x020D\"";

fn write_words(f: &mut fmt::Formatter<'_>, start: &str, words: &[&str]) -> fmt::Result {
    f.write_str(start)?;
    for (i, word) in words.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(f, "{comma}\"{word}\"")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(read_bytes("16 MiB"), Ok(16 << 20));
        assert_eq!(read_bytes(" 2kB "), Ok(2000));
        assert_eq!(read_bytes("1_000"), Ok(1000));
        assert_eq!(read_bytes("99999999999 GiB"), Ok(u64::MAX));
        for bad in ["", "MiB", "-1", "1.5 MiB", "1 mib", "1 s", "99999999999999999999"] {
            assert!(read_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(read_seconds("10 s"), Ok(10));
        assert_eq!(read_seconds("5min"), Ok(300));
        assert_eq!(read_seconds("7 d"), Ok(604_800));
        assert!(read_seconds("10 ms").is_err());
    }

    #[test]
    fn numbers_are_shown_in_their_largest_whole_unit() {
        let bytes = Kind::Bytes { min: 0, max: 1 };
        let seconds = Kind::Seconds { min: 0, max: 1 };
        assert_eq!(Number(1536, bytes).to_string(), "1536 B");
        assert_eq!(Number(4 << 20, bytes).to_string(), "4 MiB");
        assert_eq!(Number(604_800, seconds).to_string(), "7 d");
        assert_eq!(Number(0, seconds).to_string(), "0");
    }
}
