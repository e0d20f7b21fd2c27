//! What outlives the hub, and how soon it is on disk.

use crate::extensions::Reader;
use crate::settings::Section;
use crate::sheet::{Answers, Entry};
use std::path::PathBuf;

/// What outlives the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The folder in which it is kept.
    pub path: PathBuf,
    /// When it is on disk.
    pub durability: Durability,
    /// Milliseconds that what nobody waits for may be on its way.
    pub interval_ms: u32,
    /// Bytes by which it may exceed twice what is live before it is made smaller.
    pub slack_bytes: u64,
    /// What holds for some topics, in the order in which they are tried: a valid filter, not of a shared subscription,
    /// and what holds for it.
    pub topics: Vec<(String, Durability)>,
}

/// When something that is to outlive the hub is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    Sync,
    /// Soon.
    Interval,
    /// Never.
    None,
}

impl Store {
    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.durability != Durability::None || self.topics.iter().any(|(_, d)| *d != Durability::None)
    }
}

impl Default for Store {
    fn default() -> Self {
        Store {
            path: PathBuf::from("trefoil-data"),
            durability: Durability::Sync,
            interval_ms: 1000,
            slack_bytes: 64 << 20,
            topics: Vec::new(),
        }
    }
}

impl Reader<'_> {
    pub(crate) fn store(&mut self) -> Store {
        let preset = Store::default();
        let answers = &self.sheet.answers;
        let path = answers.text(Section::Store, "path").map(|(text, _)| PathBuf::from(text));
        let interval_ms = answers.number(Section::Store, "interval_ms").map(|n| n as u32);
        let slack_bytes = answers.number(Section::Store, "slack_bytes");
        let durability = durability(answers, Section::Store);
        let topic = |reader: &mut Self, Entry { answers, .. }: &Entry| {
            let filter = reader.filter(Section::Durability, answers)?;
            Some((filter, durability_of(answers)?))
        };
        Store {
            path: path.unwrap_or(preset.path),
            durability: durability.unwrap_or(preset.durability),
            interval_ms: interval_ms.unwrap_or(preset.interval_ms),
            slack_bytes: slack_bytes.unwrap_or(preset.slack_bytes),
            topics: self.each(Section::Durability, topic),
        }
    }
}

fn durability_of(answers: &Answers) -> Option<Durability> {
    durability(answers, Section::Durability)
}

fn durability(answers: &Answers, section: Section) -> Option<Durability> {
    Some(match answers.words(section, "durability")?.0 {
        ["interval"] => Durability::Interval,
        ["none"] => Durability::None,
        _ => Durability::Sync,
    })
}
