//! `[rooms]` and `[[room]]`: datagram channels.

use crate::extensions::Reader;
use crate::settings::Kind::{Bytes, Count, Seconds, Text};
use crate::settings::{Preset, Section, Setting};
use crate::sheet::{Answers, Entry};
use crate::table::setting;
use trefoil_hub::Filter;
use trefoil_hub::topic::{HUB_TOPICS, check_topic};

/// Stands for the name of the room in `publish`.
pub const ROOM: &str = "{room}";
/// Stands for the number of the peer in `publish`.
pub const PEER: &str = "{peer}";

/// What holds for datagram channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rooms {
    /// Only rooms whose names match this filter can be joined; a valid one.
    pub names: String,
    /// Rooms at one time.
    pub rooms_max: usize,
    /// Peers of one room at one time.
    pub peers_max: u16,
    /// The largest datagram, with the protocol's own bytes.
    pub datagram_bytes_max: usize,
    /// Datagrams a second of one peer; 0 is no limit.
    pub rate_max: u32,
    /// How long a peer may say nothing.
    pub idle_s: u32,
    /// How long a token can be used.
    pub token_s: u32,
    /// Which rooms are also to be heard on topics, in the order in which they are tried.
    pub mirrors: Vec<RoomMirror>,
}

/// Rooms that are also to be heard on topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMirror {
    /// Which rooms; a valid filter, not of a shared subscription.
    pub filter: String,
    /// The topic, with [`ROOM`] and [`PEER`] in it; valid with whatever stands for them.
    pub publish: String,
}

pub(crate) const TABLE: &[Setting] = &[
    setting(
        Section::Rooms,
        "names",
        Text,
        Preset::Text("#"),
        "A topic filter: only rooms whose names match it can be joined.",
    ),
    setting(
        Section::Rooms,
        "rooms_max",
        Count { min: 0, max: 1_000_000 },
        Preset::Number(1000),
        "Rooms at one time. A room is there as long as somebody is in it.",
    ),
    setting(
        Section::Rooms,
        "peers_max",
        Count { min: 1, max: 65_535 },
        Preset::Number(256),
        "Peers in one room at one time.",
    ),
    setting(
        Section::Rooms,
        "datagram_bytes_max",
        Bytes { min: 64, max: 65_000 },
        Preset::Number(1200),
        "The largest datagram, with the 8 bytes in front of the payload. What is larger is dropped. 1,200 bytes get through \
         every network in one piece.",
    ),
    setting(
        Section::Rooms,
        "rate_max",
        Count { min: 0, max: 10_000_000 },
        Preset::Number(1000),
        "Datagrams a second that one peer may send; what is more is dropped. 0 is no limit.",
    ),
    setting(
        Section::Rooms,
        "idle_s",
        Seconds { min: 3, max: 3600 },
        Preset::Number(30),
        "After this long without a word a peer is taken out of its room. Peers are told to say something three times as often.",
    ),
    setting(
        Section::Rooms,
        "token_s",
        Seconds { min: 1, max: 31_536_000 },
        Preset::Number(3600),
        "How long a token for a room can be used. Who is in the room by then stays.",
    ),
    setting(
        Section::Room,
        "filter",
        Text,
        Preset::Required,
        "For which rooms it is. Of several whose filters match a room's name, the first holds.",
    ),
    setting(
        Section::Room,
        "publish",
        Text,
        Preset::Required,
        "The topic to which each datagram for all of the room is published too, at QoS 0, so that others can watch. `{room}` \
         stands for the name of the room, `{peer}` for the number of the peer who sends.",
    ),
];

impl Default for Rooms {
    fn default() -> Rooms {
        rooms(&Answers::default())
    }
}

fn rooms(answers: &Answers) -> Rooms {
    let number = |key| answers.number_or_preset(Section::Rooms, key);
    // The table's bounds fit all of them.
    Rooms {
        names: answers.text(Section::Rooms, "names").map_or("#", |(text, _)| text).to_owned(),
        rooms_max: number("rooms_max") as usize,
        peers_max: number("peers_max") as u16,
        datagram_bytes_max: number("datagram_bytes_max") as usize,
        rate_max: number("rate_max") as u32,
        idle_s: number("idle_s") as u32,
        token_s: number("token_s") as u32,
        mirrors: Vec::new(),
    }
}

impl Reader<'_> {
    pub(crate) fn rooms(&mut self) -> Rooms {
        let sheet = self.sheet;
        if let Some((text, place)) = sheet.answers.text(Section::Rooms, "names")
            && let Err(error) = Filter::parse(text, self.levels_max)
        {
            self.fail(place, format!("`names` is {text:?}; {error}"));
        }
        let mirror = |reader: &mut Self, Entry { answers, .. }: &Entry| {
            let filter = reader.filter(Section::Room, answers)?;
            let (publish, place) = answers.text(Section::Room, "publish")?;
            let example = publish.replace(ROOM, "room").replace(PEER, "1");
            if let Err(error) = check_topic(&example, reader.levels_max) {
                reader.fail(place, format!("`publish` is {publish:?}; {error}"));
                return None;
            }
            if publish.starts_with(HUB_TOPICS) {
                let reason =
                    format!("`publish` is {publish:?}; only the hub itself publishes below {HUB_TOPICS}");
                reader.fail(place, reason);
                return None;
            }
            Some(RoomMirror { filter, publish: publish.to_owned() })
        };
        let mirrors = self.each(Section::Room, mirror);
        Rooms { mirrors, ..rooms(&sheet.answers) }
    }
}
