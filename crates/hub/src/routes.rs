//! What a shard remembers of the interest table: which other shards want the topics that it publishes to.

use crate::interest::ShardSet;
use crate::topic::Topic;

/// Topics remembered; one that falls on the place of another takes it.
const PLACES: usize = 1024;

/// Topics by the memory they stand in: a publisher keeps the topic of its last message, so that the next one is known by
/// comparing two addresses.
#[derive(Default, Debug)]
pub(crate) struct Routes(Vec<Option<Route>>);

#[derive(Clone, Debug)]
struct Route {
    /// Held, so that no other topic can stand in its memory.
    topic: Topic,
    version: u64,
    shards: ShardSet,
    keeping: ShardSet,
}

impl Routes {
    /// What is remembered of a topic, if it was found at this version of the table: which shards want it, and which of
    /// them for a session that is kept.
    pub(crate) fn get(&self, topic: &Topic, version: u64) -> Option<(ShardSet, ShardSet)> {
        let route = self.0.get(place(topic))?.as_ref()?;
        (route.version == version && route.topic.is_same(topic)).then_some((route.shards, route.keeping))
    }

    /// Remembers what was found at a version of the table.
    pub(crate) fn set(&mut self, topic: &Topic, version: u64, (shards, keeping): (ShardSet, ShardSet)) {
        if self.0.is_empty() {
            self.0.resize(PLACES, None);
        }
        self.0[place(topic)] = Some(Route { topic: topic.clone(), version, shards, keeping });
    }
}

fn place(topic: &Topic) -> usize {
    // Allocations are some tens of bytes apart.
    (topic.address() >> 5) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_topic_at_the_same_version_is_known() {
        let (mut routes, topic) = (Routes::default(), Topic::new("a/b", 8).expect("valid"));
        assert_eq!(routes.get(&topic, 1), None);
        routes.set(&topic, 1, Default::default());
        assert_eq!(routes.get(&topic.clone(), 1), Some(Default::default()));
        assert_eq!(routes.get(&topic, 2), None);
        assert_eq!(routes.get(&Topic::new("a/b", 8).expect("valid"), 1), None);
    }
}
