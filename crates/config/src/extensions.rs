//! What goes beyond the protocols: the settings of each extension, and their reading.

use std::collections::HashSet;
use std::net::SocketAddr;

use trefoil_hub::topic::check_topic;
use trefoil_hub::{
    AutomaticSubscription, CLIENT_ID, Filter, QoS, RetainHandling, RewriteError, RewriteRule, SlowReader,
    SubscriptionOptions, USER_NAME,
};

use crate::model::Bind;
use crate::problem::{Place, Problem};
use crate::settings::Section;
use crate::sheet::{Answers, Entry, Sheet};

/// What MQTT clients are told about other servers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Mqtt {
    /// Other servers that clients may use instead.
    pub server_reference: Option<String>,
    /// Every client shall go there for good. Only together with a reference.
    pub server_moved: bool,
}

/// How shared subscriptions choose.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Shared {
    /// Who gets the next message.
    pub strategy: SharedStrategy,
}

/// Who of a shared subscription gets the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SharedStrategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one for whom least waits.
    LeastLoaded,
    /// Always the same one, while it is there.
    Sticky,
    /// The one that the topic chooses.
    HashTopic,
}

/// How many messages may be retained below a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedLimit {
    /// Which topics are counted together; a valid filter, not of a shared subscription.
    pub filter: String,
    /// Messages at one time; `None` without a bound of their own.
    pub messages_max: Option<usize>,
    /// Bytes together; `None` without a bound of their own.
    pub bytes_max: Option<usize>,
}

/// The figures below `$SYS/broker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sys {
    /// How often they are brought up to date; 0 means that there are none.
    pub interval_s: u32,
}

/// Messages to `$delayed/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delayed {
    /// Whether they are taken.
    pub enabled: bool,
    /// Messages that may wait at one time.
    pub messages_max: usize,
    /// Bytes that may wait at one time.
    pub bytes_max: usize,
    /// The longest delay.
    pub delay_s_max: u32,
}

/// Subscriptions to `$exclusive/…`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Exclusive {
    /// Whether they are taken.
    pub enabled: bool,
}

/// A rule that changes topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The rule.
    pub rule: RewriteRule,
    /// Topics of messages are rewritten.
    pub publish: bool,
    /// Filters of subscriptions are rewritten.
    pub subscribe: bool,
}

/// The MQTT-SN gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSn {
    /// By which clients tell this gateway from others.
    pub gateway_id: u8,
    /// How often it advertises itself; 0 means never.
    pub advertise_s: u16,
    /// Where it advertises itself.
    pub advertise_to: Option<SocketAddr>,
    /// How long it waits for an answer before it sends again.
    pub resend_s: u32,
    /// How often it sends again before it takes a client for lost.
    pub resends_max: u32,
    /// Topics that have an id for one client.
    pub topics_max: u16,
    /// Messages of QoS 0 that are kept for one client.
    pub buffer_messages_max: usize,
    /// Bytes of them.
    pub buffer_bytes_max: usize,
    /// The largest payload of a will.
    pub will_bytes_max: usize,
    /// Topics that have a number beforehand.
    pub topics: Vec<MqttSnTopic>,
}

/// A topic that has a number beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSnTopic {
    /// The number.
    pub id: u16,
    /// The topic; a valid one.
    pub topic: String,
    /// The only client for which it holds.
    pub client_id: Option<String>,
}

impl Default for Sys {
    fn default() -> Self {
        sys(&Answers::default())
    }
}

impl Default for Delayed {
    fn default() -> Self {
        delayed(&Answers::default())
    }
}

impl Default for MqttSn {
    fn default() -> Self {
        mqtt_sn(&Answers::default())
    }
}

fn sys(answers: &Answers) -> Sys {
    Sys { interval_s: answers.number_or_preset(Section::Sys, "interval_s") as u32 }
}

fn delayed(answers: &Answers) -> Delayed {
    let number = |key| answers.number_or_preset(Section::Delayed, key);
    Delayed {
        enabled: answers.bool_or_preset(Section::Delayed, "enabled"),
        messages_max: number("messages_max") as usize,
        bytes_max: number("bytes_max") as usize,
        delay_s_max: number("delay_s_max") as u32,
    }
}

fn mqtt_sn(answers: &Answers) -> MqttSn {
    let number = |key| answers.number_or_preset(Section::MqttSn, key);
    MqttSn {
        gateway_id: number("gateway_id") as u8,
        advertise_s: number("advertise_s") as u16,
        advertise_to: answers.bind(Section::MqttSn, "advertise_to").and_then(|(bind, _)| bind.addr()),
        resend_s: number("resend_s") as u32,
        resends_max: number("resends_max") as u32,
        topics_max: number("topics_max") as u16,
        buffer_messages_max: number("buffer_messages_max") as usize,
        buffer_bytes_max: number("buffer_bytes_max") as usize,
        will_bytes_max: number("will_bytes_max") as usize,
        topics: Vec::new(),
    }
}

/// A policy for slow readers, if one was written.
pub(crate) fn slow_reader(answers: &Answers, section: Section, key: &'static str) -> Option<SlowReader> {
    let (words, _) = answers.words(section, key)?;
    SlowReader::from_name(words.first()?)
}

/// Reads the answers to the extensions. What does not go together goes to `problems`.
pub(crate) struct Reader<'a> {
    pub(crate) sheet: &'a Sheet,
    pub(crate) levels_max: usize,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    pub(crate) fn mqtt(&mut self) -> Mqtt {
        let answers = &self.sheet.answers;
        let server_reference =
            answers.text(Section::Mqtt, "server_reference").map(|(text, _)| text.to_owned());
        let server_moved = answers.bool(Section::Mqtt, "server_moved");
        if let (None, Some((true, place))) = (&server_reference, server_moved) {
            let reason = "`server_moved` sends every client elsewhere; write where to, as in server_reference = \
                          \"hub.example.org:1883\"";
            self.fail(place, reason.into());
        }
        Mqtt { server_reference, server_moved: server_moved.is_some_and(|(moved, _)| moved) }
    }

    pub(crate) fn shared(&self) -> Shared {
        let strategy = match self.sheet.answers.words(Section::Shared, "strategy") {
            Some((["least_loaded"], _)) => SharedStrategy::LeastLoaded,
            Some((["sticky"], _)) => SharedStrategy::Sticky,
            Some((["hash_topic"], _)) => SharedStrategy::HashTopic,
            _ => SharedStrategy::RoundRobin,
        };
        Shared { strategy }
    }

    pub(crate) fn retained(&mut self) -> Vec<RetainedLimit> {
        let limit = |reader: &mut Self, Entry { answers, .. }: &Entry| {
            let number = |key| answers.number(Section::Retained, key).map(|number| number as usize);
            Some(RetainedLimit {
                filter: reader.filter(Section::Retained, answers)?,
                messages_max: number("messages_max"),
                bytes_max: number("bytes_max"),
            })
        };
        self.each(Section::Retained, limit)
    }

    pub(crate) fn sys(&self) -> Sys {
        sys(&self.sheet.answers)
    }

    pub(crate) fn delayed(&self) -> Delayed {
        delayed(&self.sheet.answers)
    }

    pub(crate) fn exclusive(&self) -> Exclusive {
        Exclusive { enabled: self.sheet.answers.bool_or_preset(Section::Exclusive, "enabled") }
    }

    pub(crate) fn rewrite(&mut self) -> Vec<Rewrite> {
        let rule = |reader: &mut Self, Entry { answers, .. }: &Entry| {
            let on =
                |word| answers.words(Section::Rewrite, "on").is_none_or(|(words, _)| words.contains(&word));
            let filter = reader.filter(Section::Rewrite, answers)?;
            let (pattern, pattern_place) = answers.text(Section::Rewrite, "pattern")?;
            let (topic, topic_place) = answers.text(Section::Rewrite, "topic")?;
            let rule = match RewriteRule::new(&filter, pattern, topic) {
                Ok(rule) => rule,
                Err(error) => {
                    let (place, key, text) = match error {
                        RewriteError::Group { .. } => (topic_place, "topic", topic),
                        _ => (pattern_place, "pattern", pattern),
                    };
                    reader.fail(place, format!("`{key}` is {text:?}; {error}"));
                    return None;
                }
            };
            Some(Rewrite { rule, publish: on("publish"), subscribe: on("subscribe") })
        };
        self.each(Section::Rewrite, rule)
    }

    pub(crate) fn subscribe(&mut self) -> Vec<AutomaticSubscription> {
        let subscription = |reader: &mut Self, Entry { answers, .. }: &Entry| {
            const SECTION: Section = Section::Subscribe;
            let (text, place) = answers.text(SECTION, "filter")?;
            // Names stand for one level or a part of one, so that what is around them must be valid by itself.
            let example = text.replace(CLIENT_ID, "c").replace(USER_NAME, "u");
            reader.check(place, "filter", text, Filter::parse(&example, reader.levels_max).map(drop))?;
            let on =
                |word| answers.words(SECTION, "protocols").is_none_or(|(words, _)| words.contains(&word));
            Some(AutomaticSubscription {
                filter: text.to_owned(),
                options: SubscriptionOptions {
                    qos: match answers.number_or_preset(SECTION, "qos") {
                        0 => QoS::AtMostOnce,
                        1 => QoS::AtLeastOnce,
                        _ => QoS::ExactlyOnce,
                    },
                    no_local: answers.bool_or_preset(SECTION, "no_local"),
                    retain_as_published: answers.bool_or_preset(SECTION, "retain_as_published"),
                    ..SubscriptionOptions::default()
                },
                retain_handling: match answers.number_or_preset(SECTION, "retain_handling") {
                    0 => RetainHandling::Send,
                    1 => RetainHandling::SendIfNew,
                    _ => RetainHandling::DoNotSend,
                },
                mqtt: on("mqtt"),
                json: on("json"),
                mqtt_sn: on("mqtt-sn"),
            })
        };
        self.each(Section::Subscribe, subscription)
    }

    pub(crate) fn slow_readers(&mut self) -> Vec<(String, SlowReader)> {
        let rule = |reader: &mut Self, Entry { answers, .. }: &Entry| {
            let filter = reader.filter(Section::SlowReader, answers)?;
            Some((filter, slow_reader(answers, Section::SlowReader, "policy")?))
        };
        self.each(Section::SlowReader, rule)
    }

    pub(crate) fn mqtt_sn(&mut self) -> MqttSn {
        let answers = &self.sheet.answers;
        if let Some((Bind::Tcp(addr), place)) = answers.bind(Section::MqttSn, "advertise_to") {
            self.fail(place, format!("`advertise_to` is tcp://{addr}; write it with udp:// in front"));
        }
        let topic = |reader: &mut Self, Entry { answers, .. }: &Entry| {
            const SECTION: Section = Section::MqttSnTopic;
            let (topic, place) = answers.text(SECTION, "topic")?;
            reader.check(place, "topic", topic, check_topic(topic, reader.levels_max))?;
            Some(MqttSnTopic {
                id: answers.number(SECTION, "id")? as u16,
                topic: topic.to_owned(),
                client_id: answers.text(SECTION, "client_id").map(|(text, _)| text.to_owned()),
            })
        };
        let topics = self.each(Section::MqttSnTopic, topic);
        let mut seen = HashSet::new();
        for entry in self.sheet.list(Section::MqttSnTopic) {
            let id = entry.answers.number(Section::MqttSnTopic, "id");
            let of = entry.answers.text(Section::MqttSnTopic, "client_id").map(|(text, _)| text);
            if let Some(id) = id.filter(|id| !seen.insert((*id, of))) {
                self.fail(&entry.place, format!("the id {id} stands for another predefined topic already"));
            }
        }
        MqttSn { topics, ..mqtt_sn(answers) }
    }

    /// All sections of one name, but for those that are refused.
    pub(crate) fn each<T>(
        &mut self,
        section: Section,
        read: impl Fn(&mut Self, &Entry) -> Option<T>,
    ) -> Vec<T> {
        let sheet = self.sheet;
        sheet.list(section).iter().filter_map(|entry| read(self, entry)).collect()
    }

    /// The `filter` of a section, if it is a valid one that is not of a shared subscription.
    pub(crate) fn filter(&mut self, section: Section, answers: &Answers) -> Option<String> {
        let (text, place) = answers.text(section, "filter")?;
        self.check(place, "filter", text, Filter::parse(text, self.levels_max).map(drop))?;
        if text.starts_with("$share/") {
            self.fail(place, "`filter` chooses topics; leave `$share/NAME/` out".into());
            return None;
        }
        Some(text.to_owned())
    }

    fn check(
        &mut self,
        place: &Place,
        key: &str,
        text: &str,
        checked: Result<(), trefoil_hub::TopicError>,
    ) -> Option<()> {
        checked.map_err(|error| self.fail(place, format!("`{key}` is {text:?}; {error}"))).ok()
    }

    pub(crate) fn fail(&mut self, place: &Place, reason: String) {
        self.problems.push(Problem { place: place.clone(), reason });
    }
}
