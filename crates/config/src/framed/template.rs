//! Topics and names with places in them for what is known of a connection, and of each frame.

use std::borrow::Cow;
use std::fmt::Write as _;

use regex::bytes::{Captures, Regex};

use crate::nearest::did_you_mean;

/// A text with places for what is known of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    ClientId,
    Peer,
    PeerIp,
    Listener,
    /// What a group of the registration frame found.
    Registered(usize),
    /// What a group found in the frame itself.
    Found(usize),
}

/// The fixed names of places.
const FIXED: [(&str, Part); 4] = [
    ("client_id", Part::ClientId),
    ("peer", Part::Peer),
    ("peer_ip", Part::PeerIp),
    ("listener", Part::Listener),
];

/// What stands in a template for a group of a pattern: `{line:NAME}`, or `{NAME}` for short.
const GROUP_PREFIX: &str = "line:";

/// What is known of a connection.
#[derive(Clone, Copy, Default, Debug)]
pub struct Known<'a> {
    /// Its client id.
    pub client_id: &'a str,
    /// Address and port that it comes from.
    pub peer: &'a str,
    /// The address alone.
    pub peer_ip: &'a str,
    /// The name of its listener.
    pub listener: &'a str,
}

/// Which groups a template may name.
#[derive(Clone, Copy, Default)]
pub(crate) struct Groups<'a> {
    pub(crate) registered: Option<&'a Regex>,
    pub(crate) found: Option<&'a Regex>,
}

impl Template {
    /// One that is nothing but this text.
    pub(crate) fn plain(text: &str) -> Template {
        Template(vec![Part::Text(text.into())])
    }

    /// `{listener}-{peer}`: what tells connections apart that say nothing of themselves.
    pub(crate) fn of_peer() -> Template {
        Template(vec![Part::Listener, Part::Text("-".into()), Part::Peer])
    }

    /// What the group of the registration frame found that is called so.
    pub(crate) fn of_group(registered: &Regex, name: &str) -> Option<Template> {
        Some(Template(vec![Part::Registered(group(registered, name)?)]))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Why it is none, as the end of a sentence.
    pub(crate) fn read(text: &str, groups: Groups<'_>) -> Result<Template, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(behind) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = behind;
                continue;
            }
            let Some((name, behind)) = from.strip_prefix('{').and_then(|from| from.split_once('}')) else {
                return Err("each { needs its }, and each } its {; write {{ and }} for the characters".into());
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(place(name, groups)?);
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Template(parts))
    }

    /// Whether it is not the same for all frames of a connection.
    pub fn is_of_frame(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Found(_)))
    }

    /// Whether the client id stands in it.
    pub(crate) fn names_client(&self) -> bool {
        self.0.contains(&Part::ClientId)
    }

    /// The same for one connection: only places for what is in each frame are left.
    pub fn fix(&self, known: Known<'_>, registered: Option<&Captures<'_>>) -> Template {
        let mut fixed: Vec<Part> = Vec::new();
        for part in &self.0 {
            match part {
                Part::Found(group) => fixed.push(Part::Found(*group)),
                part => {
                    let mut text = match fixed.pop_if(|last| matches!(last, Part::Text(_))) {
                        Some(Part::Text(text)) => text.into_string(),
                        _ => String::new(),
                    };
                    part.write(known, registered, None, true, &mut text);
                    fixed.push(Part::Text(text.into()));
                }
            }
        }
        if let Some(Part::Text(text)) = fixed.first_mut()
            && text.starts_with('$')
            && !self.is_of_hub()
        {
            *text = text.replacen('$', "_", 1).into();
        }
        Template(fixed)
    }

    /// Whether it is written so that it begins with what is the hub's own; no value is to reach that.
    fn is_of_hub(&self) -> bool {
        matches!(self.0.first(), Some(Part::Text(text)) if text.starts_with('$'))
    }

    /// The text, with each value made safe for one level of a topic.
    pub fn topic(
        &self,
        known: Known<'_>,
        registered: Option<&Captures<'_>>,
        found: Option<&Captures<'_>>,
        out: &mut String,
    ) {
        out.clear();
        for part in &self.0 {
            part.write(known, registered, found, true, out);
        }
        if out.starts_with('$') && !self.is_of_hub() {
            out.replace_range(..1, "_");
        }
    }

    /// The text with values as they are: for a client id.
    pub fn name(&self, known: Known<'_>, registered: Option<&Captures<'_>>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            part.write(known, registered, None, false, &mut out);
        }
        out
    }

    /// The same as far as it can be told before anybody has said anything.
    pub(crate) fn name_of(&self, peer: &str, listener: &str) -> Option<String> {
        let is_told = |part: &Part| matches!(part, Part::Text(_) | Part::Peer | Part::Listener);
        let known = Known { peer, listener, ..Known::default() };
        self.0.iter().all(is_told).then(|| self.name(known, None))
    }
}

impl Part {
    fn write(
        &self,
        known: Known<'_>,
        registered: Option<&Captures<'_>>,
        found: Option<&Captures<'_>>,
        is_level: bool,
        out: &mut String,
    ) {
        let value: Cow<'_, str> = match self {
            Part::Text(text) => {
                out.push_str(text);
                return;
            }
            Part::ClientId => known.client_id.into(),
            Part::Peer => known.peer.into(),
            Part::PeerIp => known.peer_ip.into(),
            Part::Listener => known.listener.into(),
            Part::Registered(group) => of_group(registered, *group),
            Part::Found(group) => of_group(found, *group),
        };
        match is_level {
            true => push_level(&value, out),
            false => out.extend(value.chars().filter(|c| *c != '\0')),
        }
    }
}

fn of_group<'a>(captures: Option<&Captures<'a>>, group: usize) -> Cow<'a, str> {
    let found = captures.and_then(|captures| captures.get(group));
    found.map_or("".into(), |found| String::from_utf8_lossy(found.as_bytes()))
}

/// Appends what a stranger has said as a part of one level of a topic.
fn push_level(value: &str, out: &mut String) {
    if value.is_empty() {
        out.push('_');
    }
    out.extend(value.chars().map(|c| match c {
        '/' | '+' | '#' => '_',
        c if c.is_control() => '_',
        c => c,
    }));
}

fn place(name: &str, groups: Groups<'_>) -> Result<Part, String> {
    let is_group = name.starts_with(GROUP_PREFIX);
    let short = name.strip_prefix(GROUP_PREFIX).unwrap_or(name);
    if let Some((_, part)) = FIXED.iter().find(|(fixed, _)| !is_group && *fixed == name) {
        return Ok(part.clone());
    }
    if let Some(number) = groups.found.and_then(|pattern| group(pattern, short)) {
        return Ok(Part::Found(number));
    }
    if let Some(number) = groups.registered.and_then(|pattern| group(pattern, short)) {
        return Ok(Part::Registered(number));
    }
    let names = |pattern: Option<&Regex>| -> Vec<String> {
        pattern.into_iter().flat_map(|pattern| pattern.capture_names().flatten().map(String::from)).collect()
    };
    let mut known: Vec<String> = FIXED.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.extend(names(groups.found));
    known.extend(names(groups.registered));
    let hint = did_you_mean(short, known.iter().map(String::as_str));
    let mut why = format!(
        "{{{}}} is not known; ",
        name.chars().take(60).flat_map(char::escape_debug).collect::<String>()
    );
    match hint {
        Some(hint) => why.push_str(&hint),
        None => {
            why.push_str("known are ");
            for (i, name) in known.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                write!(why, "{comma}{{{name}}}").expect("writing to a String cannot fail");
            }
            why.push_str(", and the groups of `register` and `pattern`");
        }
    }
    Err(why)
}

/// The number of a group, by its name or by its number.
fn group(pattern: &Regex, name: &str) -> Option<usize> {
    let by_name = pattern.capture_names().position(|own| own == Some(name));
    by_name.or_else(|| name.parse().ok().filter(|number| *number > 0 && *number < pattern.captures_len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known() -> Known<'static> {
        Known { client_id: "c/1", peer: "192.0.2.1:7", peer_ip: "192.0.2.1", listener: "door" }
    }

    #[test]
    fn values_stay_within_their_level() {
        let register = Regex::new("(?P<id>.*) (?P<place>.*)").expect("valid");
        let pattern = Regex::new("(?-u)^(?P<kind>[^,]*),(.*)").expect("valid");
        let groups = Groups { registered: Some(&register), found: Some(&pattern) };
        let template = Template::read("a/{client_id}/{peer_ip}/{listener}/{line:place}/{kind}/{2}", groups)
            .expect("valid");
        assert!(template.is_of_frame());
        let registered = register.captures(b"7 x/+/#").expect("it matches");
        let found = pattern.captures(b"\xFF,").expect("it matches");
        let mut out = String::new();
        template.topic(known(), Some(&registered), Some(&found), &mut out);
        assert_eq!(out, "a/c_1/192.0.2.1/door/x____/\u{FFFD}/_");
        let fixed = template.fix(known(), Some(&registered));
        assert_eq!(fixed.0.len(), 4, "two places, and what is around them");
        let mut again = String::new();
        fixed.topic(Known::default(), None, Some(&found), &mut again);
        assert_eq!(again, out);
    }

    #[test]
    fn a_value_cannot_begin_a_topic_of_the_hub() {
        let template = Template::read("{client_id}/x", Groups::default()).expect("valid");
        let mut out = String::new();
        template.topic(Known { client_id: "$SYS", ..known() }, None, None, &mut out);
        assert_eq!(out, "_SYS/x");
        // Nor where what is known of a connection is put in once, and the rest for each frame.
        let pattern = Regex::new("(.)").expect("valid");
        let groups = Groups { found: Some(&pattern), ..Groups::default() };
        for (text, topic) in [
            ("{client_id}/{1}", "_SYS/x"),
            ("{1}/{client_id}", "_/$SYS"),
            ("$own/{client_id}/{1}", "$own/$SYS/x"),
        ] {
            let template = Template::read(text, groups).expect("valid");
            let fixed = template.fix(Known { client_id: "$SYS", ..known() }, None);
            let frame = if topic.starts_with("_/") { b"$" } else { b"x" };
            let found = pattern.captures(frame).expect("it matches");
            fixed.topic(Known::default(), None, Some(&found), &mut out);
            assert_eq!(out, topic);
        }
    }

    #[test]
    fn braces_and_slips() {
        let read = |text| Template::read(text, Groups::default());
        assert_eq!(read("a{{b}}").expect("valid").name(known(), None), "a{b}");
        assert_eq!(
            read("{device}").expect_err("none"),
            "{device} is not known; known are {client_id}, {peer}, {peer_ip}, {listener}, and the groups of `register` and `pattern`"
        );
        assert_eq!(
            read("{cliend_id}").expect_err("none"),
            "{cliend_id} is not known; did you mean `client_id`?"
        );
        for bad in ["{", "}", "{peer", "peer}", "{{}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_value_reaches_another_level(client_id in ".{0,20}", peer in "[$/+#\0a]{0,6}") {
            let template = Template::read("{client_id}/{peer}", Groups::default()).expect("valid");
            let mut out = String::new();
            template.topic(Known { client_id: &client_id, peer: &peer, ..known() }, None, None, &mut out);
            prop_assert!(trefoil_hub::topic::check_topic(&out, 128).is_ok());
            prop_assert_eq!(out.split('/').count(), 2);
            prop_assert!(!out.starts_with('$'));
        }
    }
}
