//! From what somebody wrote, in a file or in a variable, to a value that its setting allows.

use std::fmt;
use std::net::SocketAddr;

use crate::model::Bind;
use crate::nearest::did_you_mean;
use crate::network::Network;
use crate::origins::Origins;
use crate::problem::{Place, Problem};
use crate::settings::{Kind, Setting};
use crate::units::{read_bytes, read_seconds};

/// Something that was written, not yet held against its setting.
pub(crate) enum Raw<'a> {
    Bool(bool),
    /// Beyond 64 bits it is kept as text only, to be shown.
    Integer(Option<i64>, String),
    Text(&'a str),
    List(Vec<(Raw<'a>, Place)>),
    /// What no setting takes, by the name that an error shall give it.
    Other(&'static str),
    /// Text of an environment variable: its kind decides what it is.
    Untyped(&'a str),
}

/// How many entries of a list are looked at. Lists choose among a handful of words or name a few networks, so a longer one
/// is a mistake and need not be read to its end.
pub(crate) const LIST_ENTRIES_MAX: usize = 64;

/// A value that its setting allows.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Bool(bool),
    Number(u64),
    /// 1 to 100.
    Percent(u8),
    Word(&'static str),
    Words(Vec<&'static str>),
    Networks(Vec<Network>),
    Origins(Origins),
    Bind(Bind),
    Text(String),
    Texts(Vec<String>),
    Bytes(Vec<u8>),
    ByteList(Vec<Vec<u8>>),
}

/// Holds `raw` against `setting`. What is wrong goes to `problems`, a list's entries one by one.
pub(crate) fn read(
    setting: &Setting,
    raw: &Raw<'_>,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    match setting.kind {
        Kind::Choices(words) => {
            let read = |entry: &Raw<'_>| match read_single(Kind::Choice(words), entry) {
                Ok(Value::Word(word)) => Ok(word),
                Err(Wrong::Because(why)) => Err(why),
                _ => Err(format!("it must be {}", Kind::Choice(words))),
            };
            return read_list(setting, read, raw, place, problems).map(Value::Words);
        }
        Kind::Networks => {
            let read = |entry: &Raw<'_>| Network::read(text_of(entry)?);
            return read_list(setting, read, raw, place, problems).map(Value::Networks);
        }
        Kind::Origins => {
            let read = |entry: &Raw<'_>| Origins::read(text_of(entry)?);
            let listed = read_list(setting, read, raw, place, problems)?;
            let all = listed.iter().any(|origin| origin == "*");
            return Some(Value::Origins(Origins { all, listed }));
        }
        Kind::Texts | Kind::EscapedList => {
            // A list of one may be written as that one.
            let one;
            let raw = match raw {
                Raw::Text(text) => {
                    one = Raw::List(vec![(Raw::Text(text), place.clone())]);
                    &one
                }
                raw => raw,
            };
            return match setting.kind {
                Kind::Texts => read_list(setting, text_with_blanks, raw, place, problems).map(Value::Texts),
                _ => read_list(setting, escaped, raw, place, problems).map(Value::ByteList),
            };
        }
        _ => {}
    }
    let reason = match read_single(setting.kind, raw) {
        Ok(value) => return Some(value),
        Err(Wrong::Kind) => format!("`{}` is {raw}; it must be {}", setting.key, setting.kind),
        Err(Wrong::Because(why)) => format!("`{}` is {raw}; {why}", setting.key),
    };
    problems.push(Problem { place: place.clone(), reason });
    None
}

enum Wrong {
    /// It is not what the setting takes, or not in its range.
    Kind,
    /// It is nearly that, and this is what is missing.
    Because(String),
}

fn read_single(kind: Kind, raw: &Raw<'_>) -> Result<Value, Wrong> {
    let text = match raw {
        Raw::Text(text) | Raw::Untyped(text) => Some(text.trim()),
        _ => None,
    };
    match kind {
        Kind::Bool => match raw {
            Raw::Bool(value) => Ok(Value::Bool(*value)),
            Raw::Untyped(text) => text.trim().parse().map(Value::Bool).map_err(|_| Wrong::Kind),
            _ => Err(Wrong::Kind),
        },
        Kind::Count { min, max } => in_range(number(raw, |_| None), min, max),
        Kind::Bytes { min, max } => in_range(number(raw, |text| read_bytes(text).ok()), min, max),
        Kind::Memory { max } => match text.and_then(percent) {
            Some(percent) => Ok(Value::Percent(percent)),
            None => in_range(number(raw, |text| read_bytes(text).ok()), 0, max),
        },
        Kind::Seconds { min, max } => in_range(number(raw, |text| read_seconds(text).ok()), min, max),
        Kind::Choice(words) => {
            let text = text.ok_or(Wrong::Kind)?;
            word(words, text).map(Value::Word)
        }
        Kind::Address => bind(text.ok_or(Wrong::Kind)?).map(Value::Bind).map_err(Wrong::Because),
        Kind::Text => match raw {
            // In a file, blanks at the ends are meant.
            Raw::Text(text) if !text.is_empty() => Ok(Value::Text((*text).to_owned())),
            Raw::Untyped(text) if !text.trim().is_empty() => Ok(Value::Text(text.trim().to_owned())),
            _ => Err(Wrong::Kind),
        },
        Kind::Escaped => match raw {
            Raw::Text(_) | Raw::Untyped(_) => escaped(raw).map(Value::Bytes).map_err(Wrong::Because),
            _ => Err(Wrong::Kind),
        },
        Kind::Choices(_) | Kind::Networks | Kind::Origins | Kind::Texts | Kind::EscapedList => {
            unreachable!("lists are read by read_list")
        }
    }
}

fn percent(text: &str) -> Option<u8> {
    text.strip_suffix('%')?.trim_end().parse().ok().filter(|percent| (1..=100).contains(percent))
}

fn number(raw: &Raw<'_>, with_unit: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    match raw {
        Raw::Integer(number, _) => number.and_then(|n| n.try_into().ok()),
        Raw::Text(text) => with_unit(text),
        Raw::Untyped(text) => text.trim().parse().ok().or_else(|| with_unit(text)),
        _ => None,
    }
}

fn in_range(number: Option<u64>, min: u64, max: u64) -> Result<Value, Wrong> {
    number.filter(|n| (min..=max).contains(n)).map(Value::Number).ok_or(Wrong::Kind)
}

fn word(words: &'static [&'static str], text: &str) -> Result<&'static str, Wrong> {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    match did_you_mean(text, words.iter().copied()) {
        Some(hint) => Err(Wrong::Because(format!("{hint} It must be {}", Kind::Choice(words)))),
        None => Err(Wrong::Kind),
    }
}

fn text_of<'a>(raw: &'a Raw<'_>) -> Result<&'a str, String> {
    match raw {
        Raw::Text(text) | Raw::Untyped(text) => Ok(text.trim()),
        _ => Err("it must be text".into()),
    }
}

fn text_with_blanks(raw: &Raw<'_>) -> Result<String, String> {
    match raw {
        Raw::Text(text) if !text.is_empty() => Ok((*text).to_owned()),
        Raw::Text(_) => Err("it must not be empty".into()),
        _ => Err("it must be text".into()),
    }
}

/// Bytes as people write them.
fn escaped(raw: &Raw<'_>) -> Result<Vec<u8>, String> {
    let text = match raw {
        Raw::Text(text) => text,
        Raw::Untyped(text) => text.trim(),
        _ => return Err("it must be text".into()),
    };
    let bytes = match text.strip_prefix("0x") {
        Some(digits) => {
            let digits: Vec<char> = digits.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let pairs = digits.chunks(2).map(|pair| hex(pair.first().copied(), pair.get(1).copied()));
            pairs.collect::<Option<Vec<u8>>>().ok_or("behind 0x each byte has two hexadecimal digits")?
        }
        None => unescape(text)?,
    };
    if bytes.is_empty() { Err("it must have at least one byte".into()) } else { Ok(bytes) }
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let (mut bytes, mut chars) = (Vec::new(), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match chars.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                hex(chars.next(), chars.next()).ok_or("\\x is followed by two hexadecimal digits")?
            }
            other => {
                let shown = other.map_or(String::new(), |c| c.escape_debug().to_string());
                return Err(format!(
                    "\\{shown} stands for nothing; known are \\r, \\n, \\t, \\0, \\x02 and \\\\"
                ));
            }
        });
    }
    Ok(bytes)
}

fn hex(high: Option<char>, low: Option<char>) -> Option<u8> {
    Some((high?.to_digit(16)? << 4 | low?.to_digit(16)?) as u8)
}

fn read_list<T: PartialEq>(
    setting: &Setting,
    read: impl Fn(&Raw<'_>) -> Result<T, String>,
    raw: &Raw<'_>,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Option<Vec<T>> {
    let mut fail = |place: &Place, reason| problems.push(Problem { place: place.clone(), reason });
    let key = setting.key;
    let parts: Vec<(Raw<'_>, Place)>;
    let entries: &[(Raw<'_>, Place)] = match raw {
        Raw::List(entries) => entries,
        Raw::Untyped(text) => {
            let texts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts = texts.take(LIST_ENTRIES_MAX + 1).map(|part| (Raw::Text(part), place.clone())).collect();
            &parts
        }
        _ => {
            fail(place, format!("`{key}` is {raw}; it must be {}", setting.kind));
            return None;
        }
    };
    if entries.is_empty() || entries.len() > LIST_ENTRIES_MAX {
        let what = if entries.is_empty() { "an empty list" } else { "a list with far too many entries" };
        fail(place, format!("`{key}` is {what}; it must be {}, and at least one", setting.kind));
        return None;
    }
    let mut found = Vec::new();
    let mut whole = true;
    for (entry, place) in entries {
        match read(entry) {
            Ok(value) if !found.contains(&value) => found.push(value),
            Ok(_) => {}
            Err(why) => {
                whole = false;
                fail(place, format!("an entry of `{key}` is {entry}; {why}"));
            }
        }
    }
    whole.then_some(found)
}

/// A transport and an address, or what is wrong with it and what to do.
fn bind(text: &str) -> Result<Bind, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    if scheme == "unix" {
        return unix(rest);
    }
    let transport = match scheme {
        "tcp" => Bind::Tcp,
        "udp" => Bind::Udp,
        "ws" | "http" | "mqtt" => {
            return Err(format!(
                "a listener is `tcp://`, `udp://` or `unix://`; for {scheme} write \"tcp://{}\" and the protocol into `protocols`",
                Clipped(rest)
            ));
        }
        "wss" | "https" | "mqtts" => {
            return Err(format!(
                "a listener is `tcp://`, `udp://` or `unix://`; for {scheme} write \"tcp://{}\", the protocol into \
                 `protocols`, and name a certificate in [tls]",
                Clipped(rest)
            ));
        }
        other => {
            let hint = did_you_mean(other, ["tcp", "udp", "unix"].into_iter());
            return Err(format!(
                "\"{}\" is no transport; {}write `tcp://`, `udp://` or `unix://`",
                Clipped(other),
                hint.map(|hint| hint + " ").unwrap_or_default()
            ));
        }
    };
    let addr = match rest.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse::<SocketAddr>(),
        None => rest.parse::<SocketAddr>(),
    };
    addr.map(transport).map_err(|_| explain(rest))
}

/// The longest path that the system takes for a socket: 108 bytes on Linux, 104 elsewhere, of which the last ends it.
const PATH_BYTES_MAX: usize = 103;

/// A Unix socket at a path.
fn unix(path: &str) -> Result<Bind, String> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err(
            "a Unix socket has the absolute path of a file, as in \"unix:///run/trefoil.sock\"".into()
        );
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(format!(
            "the path of a Unix socket has at most {PATH_BYTES_MAX} bytes, and this has {}",
            path.len()
        ));
    }
    Ok(Bind::Unix(path.into()))
}

/// Why `rest` is no address and port.
fn explain(rest: &str) -> String {
    let is_ip = |host: &str| host.parse::<std::net::IpAddr>().is_ok();
    let bare_v6 = |host: &str| host.parse::<std::net::Ipv6Addr>().is_ok();
    if bare_v6(rest) || rest.rsplit_once(':').is_some_and(|(host, _)| bare_v6(host)) {
        return "write an IPv6 address in brackets and a port after it, as in \"[::1]:1883\"".into();
    }
    if is_ip(rest) || rest == "localhost" || (rest.starts_with('[') && rest.ends_with(']')) {
        return format!("the port is missing, as in \"{}:1883\"", Clipped(rest));
    }
    match rest.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_err() => {
            format!("\"{}\" is no port; a port is a whole number from 0 to 65535", Clipped(port))
        }
        Some((host, _))
            if !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || ".-_".contains(c)) =>
        {
            format!(
                "\"{}\" is no IP address; write one, such as 127.0.0.1, or 0.0.0.0 for every interface",
                Clipped(host)
            )
        }
        _ => format!("it must be {}", Kind::Address),
    }
}

/// Text of strangers in an error: escaped, and never longer than a line bears.
struct Clipped<'a>(&'a str);

impl fmt::Display for Clipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 60;
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(CHARS_MAX) {
            write!(f, "{}", c.escape_debug())?;
        }
        if chars.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// What was written, as an error shows it.
impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Bool(value) => write!(f, "{value}"),
            Raw::Integer(_, text) => Clipped(text).fmt(f),
            Raw::Text(text) | Raw::Untyped(text) => write!(f, "\"{}\"", Clipped(text)),
            Raw::List(_) => f.write_str("a list"),
            Raw::Other(what) => f.write_str(what),
        }
    }
}
