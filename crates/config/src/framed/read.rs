//! From the answers of a section to a [`Framed`], or to what is wrong with it.

use super::keys::{self, LENGTHS};
use super::template::{Groups, Known, Template};
use super::{Framed, Pattern, Register, Secret};
use crate::problem::Place as Where;
use crate::settings::Section;
use crate::sheet::Answers;
use regex::bytes::{Regex, RegexBuilder};
use std::sync::Arc;
use std::time::Duration;
use trefoil_framing::{Framing, LengthForm, LengthPrefix};
use trefoil_hub::topic::{HUB_TOPICS, check_topic};
use trefoil_hub::{Filter, QoS};

/// A compiled expression takes no more memory.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What one datagram carries at most.
const DATAGRAM_BYTES_MAX: usize = 65_507;

const NAME_CHARS_MAX: usize = 64;

/// Where a section stands, and what holds around it.
pub(crate) struct Place<'a> {
    /// The section, and where it begins.
    pub(crate) section: Section,
    pub(crate) at: &'a Where,
    pub(crate) is_udp: bool,
    /// The name if none is written.
    pub(crate) address: String,
    pub(crate) levels_max: usize,
    /// Clients can say who they are.
    pub(crate) has_users: bool,
    /// `protocols` says that it is a framed one.
    pub(crate) is_named: bool,
}

/// Reads what makes a section a framed one. None when it is no framed one, or something is wrong with it: what goes to
/// `fail`.
pub(crate) fn read(
    answers: &Answers,
    place: &Place<'_>,
    fail: &mut dyn FnMut(&Where, String),
) -> Option<Framed> {
    let mut reader = Reader { answers, place, fail, is_wrong: false };
    let framed = reader.framed();
    framed.filter(|_| !reader.is_wrong)
}

struct Reader<'a, 'f> {
    answers: &'a Answers,
    place: &'a Place<'a>,
    fail: &'f mut dyn FnMut(&Where, String),
    is_wrong: bool,
}

impl<'a> Reader<'a, '_> {
    fn framed(&mut self) -> Option<Framed> {
        let Some(framing_name) = self.framing_name() else {
            self.without_framing();
            return None;
        };
        let frame_bytes_max = self.number("frame_bytes_max").unwrap_or(64 << 10) as usize;
        let framing = self.framing(framing_name, frame_bytes_max);
        let name = self.name();
        let register = self.register();
        let pattern = self.pattern("pattern");
        let register_regex = register.as_ref().map(|register| &register.pattern.0);
        let once = Groups { registered: register_regex, found: None };
        let each = Groups { found: pattern.as_ref(), ..once };
        let client_id = self.client_id(once);
        let publish = self.topic("publish", each);
        let status = self.topic("status", once);
        let subscribe = self.subscribe(once);
        let nothing = ["publish", "subscribe"].iter().all(|key| !self.was_written(key));
        if nothing {
            let why = "neither `publish` nor `subscribe` is written, so that nothing would come of a connection; write \
                       where frames go, as in publish = \"devices/{client_id}\"";
            self.fail_at(self.place.at, why.into());
        }
        if let Some((true, at)) = self.answers.bool(self.place.section, "telnet")
            && self.place.is_udp
        {
            self.fail_at(at, "`telnet` is a protocol of TCP; leave it out".into());
        }
        let framed = Framed {
            name,
            framing: framing?,
            frame_bytes_max: if self.place.is_udp {
                frame_bytes_max.min(DATAGRAM_BYTES_MAX)
            } else {
                frame_bytes_max
            },
            starts_with: self.bytes("starts_with").map(|(bytes, _)| Arc::from(bytes)),
            strip: self.bytes("strip").map_or(Vec::new(), |(bytes, _)| bytes.to_vec()),
            ignore: self.answers.byte_list(self.place.section, "ignore").unwrap_or_default().to_vec(),
            telnet: self.bool("telnet"),
            publish,
            subscribe,
            qos: qos(self.number("qos").unwrap_or(0)),
            retain: self.bool("retain"),
            rate_max: self.number("rate_max").unwrap_or(0) as u32,
            idle_s: self.number("idle_s").unwrap_or(0) as u32,
            register,
            pattern: pattern.map(Pattern),
            client_id,
            status,
            status_qos: qos(self.number("status_qos").unwrap_or(1)),
        };
        if framed.framing.is_some() && framed.decoder().is_none() {
            let why = framed.framing.clone().and_then(|framing| {
                let decoder = trefoil_framing::Decoder::new(framing, framed.frame_bytes_max);
                let mark = framed.starts_with.clone().unwrap_or_default();
                decoder.and_then(|decoder| decoder.starting_with(mark)).err()
            });
            let why = why.map_or_else(|| "the framing contradicts itself".to_owned(), |why| why.to_string());
            self.fail_at(self.place.at, format!("this framing cannot be: {why}"));
        }
        Some(framed)
    }

    fn framing_name(&self) -> Option<&'static str> {
        let written =
            self.answers.words(self.place.section, "framing").and_then(|(words, _)| words.first().copied());
        written
            .or((self.place.is_named && self.place.is_udp && !self.was_written("framing"))
                .then_some("datagram"))
    }

    /// It is no framed one: no key of one may stand there.
    fn without_framing(&mut self) {
        let section = self.place.section;
        if self.was_written("framing") {
            return;
        }
        if self.place.is_named || section == Section::Dial {
            let why = "it has no `framing`, so that nothing tells one frame from the next; write one, such as framing = \"line\"";
            return self.fail_at(self.place.at, why.into());
        }
        for setting in &keys::LISTENER {
            if let Some(at) = self.answers.place(section, setting.key) {
                let why = format!(
                    "`{}` is for framed listeners, and this one has no `framing`; write one, such as framing = \"line\", or \
                     leave it out",
                    setting.key
                );
                self.fail_at(at, why);
            }
        }
    }

    /// `Some(None)` is a frame for each datagram.
    fn framing(&mut self, name: &'static str, frame_bytes_max: usize) -> Option<Option<Framing>> {
        const OWN: [(&str, &str); 6] = [
            ("delimiter", "delimiter"),
            ("length", "length"),
            ("length_counts_itself", "length"),
            ("length_at", "length"),
            ("frame_bytes", "fixed"),
            ("gap_ms", "idle_gap"),
        ];
        for (key, of) in OWN {
            if let Some(at) = self.answers.place(self.place.section, key).filter(|_| of != name) {
                let why = format!(
                    "`{key}` is for framing = \"{of}\", and this one is \"{name}\"; leave one of them out"
                );
                self.fail_at(at, why);
            }
        }
        let framing = match name {
            "line" => Framing::Line,
            "slip" => Framing::Slip,
            "cobs" => Framing::Cobs,
            "delimiter" => {
                let Some((bytes, at)) = self.bytes("delimiter") else {
                    return self.lacks(name, "delimiter", "delimiter = \"\\r\"");
                };
                if bytes.len() > trefoil_framing::DELIMITER_BYTES_MAX {
                    let most = trefoil_framing::DELIMITER_BYTES_MAX;
                    self.fail_at(
                        at,
                        format!("`delimiter` has {} bytes; it may have {most} at most", bytes.len()),
                    );
                    return None;
                }
                Framing::Delimiter(bytes.to_vec())
            }
            "length" => {
                let Some((words, _)) = self.answers.words(self.place.section, "length") else {
                    return self.lacks(name, "length", "length = \"u16be\"");
                };
                let form = LENGTHS.iter().position(|word| words.contains(word)).unwrap_or(0);
                let forms = [
                    LengthForm::U8,
                    LengthForm::U16Be,
                    LengthForm::U16Le,
                    LengthForm::U32Be,
                    LengthForm::U32Le,
                    LengthForm::Varint,
                ];
                let length = LengthPrefix { form: forms[form], inclusive: self.bool("length_counts_itself") };
                match self.number("length_at") {
                    Some(head_bytes) => Framing::LengthField { head_bytes: head_bytes as usize, length },
                    None => Framing::LengthPrefix(length),
                }
            }
            "fixed" => {
                let Some(frame_bytes) = self.number("frame_bytes") else {
                    return self.lacks(name, "frame_bytes", "frame_bytes = 16");
                };
                if frame_bytes as usize > frame_bytes_max
                    && let Some(at) = self.answers.place(self.place.section, "frame_bytes")
                {
                    let why = format!(
                        "`frame_bytes` is {frame_bytes}, more than `frame_bytes_max`, which is {frame_bytes_max}"
                    );
                    self.fail_at(at, why);
                    return None;
                }
                Framing::Fixed { frame_bytes: frame_bytes as usize }
            }
            "idle_gap" => {
                let Some(gap_ms) = self.number("gap_ms") else {
                    return self.lacks(name, "gap_ms", "gap_ms = 50");
                };
                if self.place.is_udp {
                    self.fail_at(
                        self.place.at,
                        "framing = \"idle_gap\" is for streams; over UDP each datagram is by itself".into(),
                    );
                }
                if let Some(at) = self.answers.place(self.place.section, "rate_max")
                    && self.number("rate_max").is_some_and(|frames| frames > 0)
                {
                    let why = "`rate_max` has a connection wait unread, and with framing = \"idle_gap\" what comes meanwhile would \
                               become one frame; leave one of them out";
                    self.fail_at(at, why.into());
                }
                Framing::IdleGap { gap: Duration::from_millis(gap_ms) }
            }
            _ => {
                if !self.place.is_udp {
                    let why = "framing = \"datagram\" is for UDP; a stream has none, choose another framing";
                    self.fail_at(self.place.at, why.into());
                }
                return Some(None);
            }
        };
        Some(Some(framing))
    }

    fn lacks<T>(&mut self, framing: &str, key: &'static str, example: &str) -> Option<T> {
        if !self.was_written(key) {
            let why = format!("framing = \"{framing}\" needs `{key}`, as in {example}");
            self.fail_at(self.place.at, why);
        }
        None
    }

    fn name(&mut self) -> String {
        let Some((name, at)) = self.answers.text(self.place.section, "name") else {
            return self.place.address.clone();
        };
        if name.chars().count() > NAME_CHARS_MAX
            || name.contains(['/', '+', '#'])
            || name.chars().any(char::is_control)
        {
            let why = format!(
                "`name` is {name:?}; it may have {NAME_CHARS_MAX} characters, none of them /, + or #"
            );
            self.fail_at(at, why);
        }
        name.to_owned()
    }

    fn pattern(&mut self, key: &'static str) -> Option<Regex> {
        let (text, at) = self.answers.text(self.place.section, key)?;
        let built = RegexBuilder::new(text).unicode(false).size_limit(PATTERN_BYTES_MAX).build();
        built
            .map_err(|error| {
                self.fail_at(at, format!("`{key}` is {text:?}; it is no regular expression: {error}"))
            })
            .ok()
    }

    fn register(&mut self) -> Option<Register> {
        let section = self.place.section;
        let secret = self.answers.text(section, "secret");
        let Some(pattern) = self.pattern("register") else {
            if let Some((_, at)) = secret.filter(|_| !self.was_written("register")) {
                let why = "`secret` is what the first frame has to say, and no `register` says where; write one, such as \
                           register = '^(?<client_id>\\w+) (?<secret>\\w+)$'";
                self.fail_at(at, why.into());
            }
            return None;
        };
        let at = self.answers.place(section, "register").unwrap_or(self.place.at);
        let group = |name: &str| pattern.capture_names().position(|own| own == Some(name));
        let secret = match (group("secret"), secret) {
            (Some(group), Some((text, _))) => Some((group, Secret(text.to_owned()))),
            (None, None) => None,
            (None, Some((_, at))) => {
                self.fail_at(
                    at,
                    "`secret` is set, and `register` has no group (?<secret>…) to hold against it".into(),
                );
                None
            }
            (Some(_), None) => {
                self.fail_at(
                    at,
                    "`register` has a group `secret`; write what it has to find as `secret`".into(),
                );
                None
            }
        };
        let user = match (group("user"), group("password")) {
            (Some(_), Some(_)) if self.place.is_udp => {
                let why = "`register` has the groups `user` and `password`, and over UDP nobody looks at them; let peers say a \
                           `secret`";
                self.fail_at(at, why.into());
                None
            }
            (Some(user), Some(password)) if self.place.has_users => Some((user, password)),
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.fail_at(
                    at,
                    "`register` has the groups `user` and `password`; name a file of users in [auth]".into(),
                );
                None
            }
            _ => {
                self.fail_at(
                    at,
                    "`register` has one of the groups `user` and `password`; it needs both, or none".into(),
                );
                None
            }
        };
        Some(Register { pattern: Pattern(pattern), secret, user })
    }

    fn client_id(&mut self, groups: Groups<'_>) -> Template {
        if let Some((text, at)) = self.answers.text(self.place.section, "client_id") {
            match Template::read(text, groups) {
                Ok(template) if template.names_client() => {
                    self.fail_at(at, format!("`client_id` is {text:?}; it cannot name itself"));
                }
                Ok(template) => return template,
                Err(why) => self.fail_at(at, format!("`client_id` is {text:?}; {why}")),
            }
            return Template::plain("");
        }
        let of_group = groups.registered.and_then(|pattern| Template::of_group(pattern, "client_id"));
        of_group.unwrap_or_else(Template::of_peer)
    }

    fn topic(&mut self, key: &'static str, groups: Groups<'_>) -> Option<Template> {
        let (text, at) = self.answers.text(self.place.section, key)?;
        let template = self.template(key, text, at, groups)?;
        let mut example = String::new();
        template.topic(EXAMPLE, None, None, &mut example);
        if let Err(error) = check_topic(&example, self.place.levels_max) {
            self.fail_at(at, format!("`{key}` is {text:?}; {error}"));
        } else if example.starts_with(HUB_TOPICS) {
            self.fail_at(at, format!("`{key}` is {text:?}; only the hub publishes below {HUB_TOPICS}"));
        }
        Some(template)
    }

    fn subscribe(&mut self, groups: Groups<'_>) -> Vec<Template> {
        let Some((texts, at)) = self.answers.texts(self.place.section, "subscribe") else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for text in texts {
            let Some(template) = self.template("subscribe", text, at, groups) else { continue };
            let mut example = String::new();
            template.topic(EXAMPLE, None, None, &mut example);
            if let Err(error) = Filter::parse(&example, self.place.levels_max) {
                self.fail_at(at, format!("an entry of `subscribe` is {text:?}; {error}"));
            }
            all.push(template);
        }
        all
    }

    fn template(&mut self, key: &str, text: &str, at: &Where, groups: Groups<'_>) -> Option<Template> {
        let read = Template::read(text, groups);
        read.map_err(|why| self.fail_at(at, format!("`{key}` is {text:?}; {why}"))).ok()
    }

    fn was_written(&self, key: &'static str) -> bool {
        self.answers.was_written(self.place.section, key)
    }

    fn number(&self, key: &'static str) -> Option<u64> {
        self.answers.number(self.place.section, key)
    }

    fn bool(&self, key: &'static str) -> bool {
        self.answers.bool(self.place.section, key).is_some_and(|(value, _)| value)
    }

    fn bytes(&self, key: &'static str) -> Option<(&'a [u8], &'a Where)> {
        self.answers.bytes(self.place.section, key)
    }

    fn fail_at(&mut self, at: &Where, why: String) {
        self.is_wrong = true;
        (self.fail)(at, why);
    }
}

/// Values stand for one level or a part of one, so that what is around them must be valid by itself.
const EXAMPLE: Known<'static> = Known { client_id: "c", peer: "p", peer_ip: "p", listener: "l" };

fn qos(number: u64) -> QoS {
    if number == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}
