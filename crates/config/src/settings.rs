//! What a setting is. The file, the environment, the reference page and the help all read the one table of them;
//! nothing about a setting is said anywhere else.

use std::fmt;

use crate::framed::keys as framed;
use crate::table;

/// Where a setting stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Before the first section.
    Top,
    /// In each `[[listener]]`.
    Listener,
    /// `[tls]`.
    Tls,
    /// In each `[[dial]]`.
    Dial,
    /// `[auth]`.
    Auth,
    /// `[bans]`.
    Bans,
    /// `[limits]`.
    Limits,
    /// `[websocket]`.
    WebSocket,
    /// `[mqtt]`.
    Mqtt,
    /// `[shared]`.
    Shared,
    /// In each `[[retained]]`.
    Retained,
    /// `[sys]`.
    Sys,
    /// `[delayed]`.
    Delayed,
    /// `[exclusive]`.
    Exclusive,
    /// In each `[[rewrite]]`.
    Rewrite,
    /// In each `[[subscribe]]`.
    Subscribe,
    /// `[mqtt_sn]`.
    MqttSn,
    /// In each `[[mqtt_sn_topic]]`.
    MqttSnTopic,
    /// `[log]`.
    Log,
    /// `[store]`.
    Store,
    /// In each `[[durability]]`.
    Durability,
    /// In each `[[slow_reader]]`.
    SlowReader,
    /// In each `[[history]]`.
    History,
    /// `[rooms]`.
    Rooms,
    /// In each `[[room]]`.
    Room,
}

impl Section {
    /// All of them, in the order of the reference page.
    pub const ALL: [Section; 25] = [
        Section::Top,
        Section::Listener,
        Section::Tls,
        Section::Dial,
        Section::Auth,
        Section::Bans,
        Section::Limits,
        Section::WebSocket,
        Section::Mqtt,
        Section::Shared,
        Section::Retained,
        Section::Sys,
        Section::Delayed,
        Section::Exclusive,
        Section::Rewrite,
        Section::Subscribe,
        Section::MqttSn,
        Section::MqttSnTopic,
        Section::Log,
        Section::Store,
        Section::Durability,
        Section::SlowReader,
        Section::History,
        Section::Rooms,
        Section::Room,
    ];

    /// Its name between the brackets; empty for [`Section::Top`].
    pub fn name(self) -> &'static str {
        match self {
            Section::Top => "",
            Section::Listener => "listener",
            Section::Tls => "tls",
            Section::Dial => "dial",
            Section::Auth => "auth",
            Section::Bans => "bans",
            Section::Limits => "limits",
            Section::WebSocket => "websocket",
            Section::Mqtt => "mqtt",
            Section::Shared => "shared",
            Section::Retained => "retained",
            Section::Sys => "sys",
            Section::Delayed => "delayed",
            Section::Exclusive => "exclusive",
            Section::Rewrite => "rewrite",
            Section::Subscribe => "subscribe",
            Section::MqttSn => "mqtt_sn",
            Section::MqttSnTopic => "mqtt_sn_topic",
            Section::Log => "log",
            Section::Store => "store",
            Section::Durability => "durability",
            Section::SlowReader => "slow_reader",
            Section::History => "history",
            Section::Rooms => "rooms",
            Section::Room => "room",
        }
    }

    /// What one of them is called, if there may be several: those are written in two brackets, and the names of
    /// their variables have a number.
    pub fn one(self) -> Option<&'static str> {
        match self {
            Section::Listener => Some("listener"),
            Section::Dial => Some("device to connect to"),
            Section::Retained => Some("limit of retained messages"),
            Section::Rewrite => Some("rewrite rule"),
            Section::Subscribe => Some("automatic subscription"),
            Section::MqttSnTopic => Some("predefined topic"),
            Section::Durability => Some("durability of some topics"),
            Section::SlowReader => Some("policy for slow readers of some topics"),
            Section::History => Some("history of some topics"),
            Section::Room => Some("topic of some rooms"),
            _ => None,
        }
    }
}

/// As it stands in the file: `[limits]`, `[[listener]]`; "the top level" for what is before the first section.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.one()) {
            (Section::Top, _) => f.write_str("the top level"),
            (_, Some(_)) => write!(f, "[[{}]]", self.name()),
            (_, None) => write!(f, "[{}]", self.name()),
        }
    }
}

/// What may be written as a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from `min` to `max`.
    Count {
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// A size: bytes as a number, or text such as `"16 MiB"`.
    Bytes {
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// An amount of memory: a size, or a part of the machine's, such as `"80 %"`. 0 is no limit.
    Memory {
        /// The most bytes that are allowed.
        max: u64,
    },
    /// A duration: seconds as a number, or text such as `"10 s"`.
    Seconds {
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of some of these words.
    Choices(&'static [&'static str]),
    /// A list of addresses and networks.
    Networks,
    /// A list of origins of web pages.
    Origins,
    /// A transport and an address.
    Address,
    /// Any text.
    Text,
    /// A list of any texts, or one.
    Texts,
    /// Bytes: as text with escapes, or in hexadecimal.
    Escaped,
    /// A list of such, or one.
    EscapedList,
}

/// What holds when a setting is not written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// This truth value.
    Bool(bool),
    /// This number, in the unit of the [`Kind`].
    Number(u64),
    /// This text.
    Text(&'static str),
    /// What this sentence says.
    Said(&'static str),
    /// Nothing: it must be written.
    Required,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Where it stands.
    pub section: Section,
    /// Its name there.
    pub key: &'static str,
    /// What may be written.
    pub kind: Kind,
    /// What holds when nothing is.
    pub preset: Preset,
    /// What it is for, for a person who reads it for the first time.
    pub help: &'static str,
}

impl Setting {
    /// The environment variable that sets it; where there may be several, `N` stands for the number of one, counted
    /// from 0.
    pub fn environment(&self) -> String {
        self.environment_of("N")
    }

    /// The variable of the one with this number, if there may be several.
    pub(crate) fn environment_of(&self, number: &str) -> String {
        let (section, key) = (self.section.name().to_uppercase(), self.key.to_uppercase());
        match (self.section, self.section.one()) {
            (Section::Top, _) => format!("TREFOIL_{key}"),
            (_, Some(_)) => format!("TREFOIL_{section}_{number}_{key}"),
            (_, None) => format!("TREFOIL_{section}_{key}"),
        }
    }

    /// The table, in the order of the reference page.
    pub fn all() -> impl Iterator<Item = &'static Setting> {
        let before = table::BEFORE_LIMITS.iter().chain(crate::limits::TABLE);
        let framed = framed::LISTENER.iter().chain(framed::DIAL_ONLY).chain(&framed::DIAL);
        before
            .chain(framed)
            .chain(crate::websocket::TABLE)
            .chain(crate::tls::TABLE)
            .chain(table::AFTER_LIMITS)
            .chain(crate::rooms::TABLE)
    }

    /// Those of one section.
    pub fn of(section: Section) -> impl Iterator<Item = &'static Setting> {
        Setting::all().filter(move |setting| setting.section == section)
    }

    /// The one with this name in this section.
    pub fn find(section: Section, key: &str) -> Option<&'static Setting> {
        Setting::of(section).find(|setting| setting.key == key)
    }
}

/// Help for one setting: name, meaning, what is allowed, what holds otherwise, environment variable.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.section == Section::Top { "" } else { "." };
        writeln!(f, "{}{dot}{}", self.section.name(), self.key)?;
        writeln!(f, "    {}", self.help)?;
        writeln!(f, "    allowed: {}", self.kind)?;
        writeln!(f, "    default: {}", crate::units::Shown(self.preset, self.kind))?;
        write!(f, "    environment: {}", self.environment())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_settings_share_a_place_or_a_variable() {
        let mut names: Vec<String> = Setting::all().map(Setting::environment).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_preset_lies_within_its_bounds() {
        for setting in Setting::all() {
            if let (
                Kind::Count { min, max } | Kind::Bytes { min, max } | Kind::Seconds { min, max },
                Preset::Number(preset),
            ) = (setting.kind, setting.preset)
            {
                assert!((min..=max).contains(&preset), "{}", setting.key);
            }
        }
    }

    #[test]
    fn help_of_a_setting_says_all_there_is_to_know() {
        let setting = Setting::find(Section::Limits, "packet_bytes_max").expect("it is in the table");
        assert_eq!(
            setting.to_string(),
            "limits.packet_bytes_max\n    The largest MQTT packet and the largest WebSocket message that is taken \
             in.\n    allowed: a size from 1 KiB to 256 MiB, in bytes or as text such as \"16 MiB\"\n    default: \
             4 MiB\n    environment: TREFOIL_LIMITS_PACKET_BYTES_MAX"
        );
    }
}
