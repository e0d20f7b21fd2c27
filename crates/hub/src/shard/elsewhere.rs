//! Which other shards a message goes to.

use super::Shard;
use crate::group::Group;
use crate::interest::ShardSet;
use crate::topic::Topic;
use std::sync::Arc;

impl Shard {
    /// Which other shards want `topic`, and into `groups` who shares it.
    pub fn elsewhere(&self, topic: &str, groups: &mut Vec<Arc<Group>>) -> ShardSet {
        groups.clear();
        let interest = &self.shared.interest;
        if self.shared.shards() == 1 && !interest.has_groups() {
            return ShardSet::default();
        }
        interest.of(topic, groups).0.without(self.number)
    }

    /// As [`elsewhere`](Self::elsewhere), from memory if nothing has changed since this topic was last asked for: a
    /// publisher's messages go to the same topic again and again, and the table is shared with other cores.
    pub(super) fn remembered_elsewhere(
        &mut self,
        topic: &Topic,
        groups: &mut Vec<Arc<Group>>,
    ) -> (ShardSet, ShardSet) {
        groups.clear();
        let interest = &self.shared.interest;
        if self.shared.shards() == 1 && !interest.has_groups() {
            return Default::default();
        }
        let version = interest.version();
        if let Some(found) = self.routes.get(topic, version) {
            return found;
        }
        let (shards, keeping) = interest.of(topic, groups);
        let found = (shards.without(self.number), keeping);
        if groups.is_empty() {
            self.routes.set(topic, version, found);
        }
        found
    }
}
