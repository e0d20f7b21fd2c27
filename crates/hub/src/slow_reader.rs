//! What becomes of messages for a receiver that does not keep up, and of what waits for it.

use crate::topic::{Topic, matches};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// What happens to messages for which there is no room. Of several subscriptions of a session that match a message and
/// say something of it, the one holds that says what comes last here. Their numbers are written down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum SlowReader {
    /// The newest is dropped.
    #[default]
    DropNewest = 0,
    /// What has waited longest is dropped.
    DropOldest = 1,
    /// Of what waits on one topic only the newest is left; should there be too many topics, as `DropOldest`.
    LatestPerTopic = 2,
    /// The connection ends. Whoever has none loses the newest.
    Disconnect = 3,
}

impl SlowReader {
    /// All of them by number, and their names in the configuration and in the JSON protocol.
    pub const ALL: [(SlowReader, &str); 4] = [
        (SlowReader::DropNewest, "drop_newest"),
        (SlowReader::DropOldest, "drop_oldest"),
        (SlowReader::LatestPerTopic, "latest_per_topic"),
        (SlowReader::Disconnect, "disconnect"),
    ];

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<SlowReader> {
        SlowReader::ALL.iter().find(|(_, known)| *known == name).map(|(policy, _)| *policy)
    }

    /// What holds for a message on `topic`: what the subscription says, else the first of the `rules` whose filter
    /// matches, else `preset`. Only asked when there is no room.
    pub fn of(
        wish: Option<SlowReader>,
        topic: &str,
        rules: &[(String, SlowReader)],
        preset: SlowReader,
    ) -> SlowReader {
        let rule = || rules.iter().find(|(filter, _)| matches(filter, topic)).map(|(_, policy)| *policy);
        wish.or_else(rule).unwrap_or(preset)
    }
}

/// Where the newest message of each topic stands in a queue that is filled at the back and emptied at the front.
#[derive(Default, Debug)]
pub struct Newest {
    /// Counted from the first that ever stood in the queue.
    places: HashMap<Topic, u64, RandomState>,
    /// How many have left it.
    left: u64,
}

impl Newest {
    /// Its place in the queue.
    pub fn find(&self, topic: &Topic) -> Option<usize> {
        self.places.get(topic).map(|place| (place - self.left) as usize)
    }

    /// One has come to this place, which is the last.
    pub fn pushed(&mut self, topic: &Topic, place: usize) {
        self.places.insert(topic.clone(), self.left + place as u64);
    }

    /// The first has left.
    pub fn popped(&mut self, topic: &Topic) {
        if self.places.get(topic) == Some(&self.left) {
            self.places.remove(topic);
        }
        self.left += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_closest_holds() {
        let rules = [("a/+".to_owned(), SlowReader::DropOldest), ("#".to_owned(), SlowReader::Disconnect)];
        let of = |wish, topic| SlowReader::of(wish, topic, &rules, SlowReader::DropNewest);
        assert_eq!(of(Some(SlowReader::LatestPerTopic), "a/b"), SlowReader::LatestPerTopic);
        assert_eq!(of(None, "a/b"), SlowReader::DropOldest);
        assert_eq!(of(None, "c"), SlowReader::Disconnect);
        let preset = SlowReader::of(None, "c", &rules[..1], SlowReader::LatestPerTopic);
        assert_eq!(preset, SlowReader::LatestPerTopic);
        assert!(SlowReader::ALL.iter().all(|(policy, name)| SlowReader::from_name(name) == Some(*policy)));
        assert!(SlowReader::ALL.iter().zip(0..).all(|((policy, _), number)| *policy as u8 == number));
    }

    #[test]
    fn places_move_up_as_the_queue_does() {
        let topic = |name| Topic::new(name, 9).expect("valid");
        let (a, b) = (topic("a"), topic("b"));
        let mut newest = Newest::default();
        newest.pushed(&a, 0);
        newest.pushed(&b, 1);
        newest.pushed(&a, 2);
        assert_eq!((newest.find(&a), newest.find(&b)), (Some(2), Some(1)));
        newest.popped(&a);
        assert_eq!((newest.find(&a), newest.find(&b)), (Some(1), Some(0)));
        newest.popped(&b);
        newest.popped(&a);
        assert_eq!((newest.find(&a), newest.find(&b)), (None, None));
        newest.pushed(&b, 0);
        assert_eq!(newest.find(&b), Some(0));
    }
}
