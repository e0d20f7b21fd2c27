//! The one table of settings. The file, the environment, the reference page and the help all read it; nothing
//! about a setting is said anywhere else.

use std::fmt;

/// Where a setting stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Before the first section.
    Top,
    /// In each `[[listener]]`.
    Listener,
    /// `[limits]`.
    Limits,
    /// `[log]`.
    Log,
    /// `[store]`.
    Store,
}

impl Section {
    /// All of them, in the order of the reference page.
    pub const ALL: [Section; 5] =
        [Section::Top, Section::Listener, Section::Limits, Section::Log, Section::Store];

    /// Its name between the brackets; empty for [`Section::Top`].
    pub fn name(self) -> &'static str {
        match self {
            Section::Top => "",
            Section::Listener => "listener",
            Section::Limits => "limits",
            Section::Log => "log",
            Section::Store => "store",
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
    /// A transport and an address.
    Address,
    /// Any text.
    Text,
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
    /// The environment variable that sets it; `N` stands for the number of a listener, counted from 0.
    pub fn environment(&self) -> String {
        let key = self.key.to_uppercase();
        match self.section {
            Section::Top => format!("TREFOIL_{key}"),
            Section::Listener => format!("TREFOIL_LISTENER_N_{key}"),
            other => format!("TREFOIL_{}_{key}", other.name().to_uppercase()),
        }
    }

    /// The table, in the order of the reference page.
    pub fn all() -> impl Iterator<Item = &'static Setting> {
        BEFORE_LIMITS.iter().chain(crate::limits::TABLE).chain(AFTER_LIMITS)
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

/// The protocol that is known, accepted and not served yet.
pub(crate) const MQTT_SN: &str = "mqtt-sn";

const BEFORE_LIMITS: &[Setting] = &[
    Setting {
        section: Section::Top,
        key: "allow_anonymous",
        kind: Kind::Bool,
        preset: Preset::Bool(false),
        help: "Lets anybody who can reach a listener connect to it. Without it every listener must be on a \
               loopback address, where only this machine can reach it.",
    },
    Setting {
        section: Section::Top,
        key: "shards",
        kind: Kind::Count { min: 0, max: 64 },
        preset: Preset::Number(0),
        help: "Threads that serve connections. 0 means one per core.",
    },
    Setting {
        section: Section::Listener,
        key: "bind",
        kind: Kind::Address,
        preset: Preset::Required,
        help: "Where to accept. Without `tcp://` or `udp://` it is TCP. Port 0 lets the system choose a free \
               port, which is printed at start.",
    },
    Setting {
        section: Section::Listener,
        key: "protocols",
        kind: Kind::Choices(&["mqtt", "http", "websocket", "json", MQTT_SN]),
        preset: Preset::Said(
            "all that the transport carries: `mqtt`, `http`, `websocket` and `json` on TCP, \
                              `json` on UDP",
        ),
        help: "What is spoken here. On TCP the first bytes of a connection tell them apart: `mqtt` is MQTT 3.1, \
               3.1.1 and 5.0; `http` the console, the API, server-sent events and metrics; `websocket` MQTT on \
               `/mqtt` and JSON on `/ws`; `json` one JSON object per line. On UDP `json` is one JSON object per \
               datagram. A listener with `mqtt-sn` (UDP only) is accepted with a warning and not opened by this \
               version.",
    },
    Setting {
        section: Section::Listener,
        key: "echo",
        kind: Kind::Bool,
        preset: Preset::Bool(false),
        help: "Also answers on `/ws/echo`, where every WebSocket message comes straight back. For outside test \
               suites. Needs `websocket` among the protocols.",
    },
    Setting {
        section: Section::Listener,
        key: "allow_anonymous",
        kind: Kind::Bool,
        preset: Preset::Said("what the top level says"),
        help: "The same as at the top level, for this listener only.",
    },
    Setting {
        section: Section::Listener,
        key: "connections_max",
        kind: Kind::Count { min: 0, max: 100_000_000 },
        preset: Preset::Number(0),
        help: "Connections (over UDP: peers) of this listener at one time. 0 means as many as the process may \
               open files.",
    },
];

const AFTER_LIMITS: &[Setting] = &[
    Setting {
        section: Section::Log,
        key: "level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        preset: Preset::Text("info"),
        help: "The least important kind of line that is still written to standard error.",
    },
    Setting {
        section: Section::Store,
        key: "path",
        kind: Kind::Text,
        preset: Preset::Text("trefoil-data"),
        help: "The folder of the store. It has no effect yet: this version keeps everything in memory and says \
               so at start.",
    },
    Setting {
        section: Section::Store,
        key: "durability",
        kind: Kind::Choice(&["sync", "interval", "none"]),
        preset: Preset::Text("sync"),
        help: "When an acknowledgement may go out. It has no effect yet: this version keeps everything in memory \
               and says so at start.",
    },
];

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
