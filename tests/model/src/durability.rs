//! How well a hub keeps what it has taken over, as far as it says so.

use crate::oracle::matches;

/// When something is on disk.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Durability {
    /// Before it is acknowledged.
    #[default]
    Sync,
    /// Some time after that.
    Interval,
    /// Never.
    None,
}

/// What a hub promises to keep beyond its end.
#[derive(Clone, Default, Debug)]
pub struct Promise {
    /// Sessions and their subscriptions, and all messages that no rule is for.
    pub own: Durability,
    /// Messages by topic; the first filter that matches counts.
    pub rules: Vec<(String, Durability)>,
}

impl Promise {
    /// How well messages on a topic are kept.
    pub fn of(&self, topic: &str) -> Durability {
        let rule = self.rules.iter().find(|(filter, _)| matches(filter, topic));
        rule.map_or(self.own, |(_, durability)| *durability)
    }

    /// Whether there are messages that are not kept.
    pub fn forgets_messages(&self) -> bool {
        self.rules.iter().any(|(_, durability)| *durability == Durability::None)
    }
}
