//! What a published message does to the retained message of its topic.

use super::Shard;
use crate::journal::{Durability, Entry};
use crate::key::SessionKey;
use crate::message::Message;
use crate::retained::Origin;
use crate::topic::{HUB_TOPICS, is_reply};
use std::num::NonZeroU64;
use std::sync::Arc;

impl Shard {
    /// Enters a retained message, or removes one [MQTT-3.3.1-8] [v3 MQTT-3.3.1-12]. Returns whether there was room.
    pub(super) fn retain_if_asked(
        &mut self,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        number: &mut u64,
    ) -> bool {
        // Who asked gets an answer now or not at all.
        if !message.retain || is_reply(&message.topic) {
            return true;
        }
        let level = message.topic.split('/').next().unwrap_or_default();
        let publisher = self.publisher_number(publisher);
        let is_own = message.topic.starts_with(HUB_TOPICS);
        let kept = match is_own || message.payload.is_empty() {
            true => 0,
            false => self.journal.keep(message, number),
        };
        let origin = Origin { publisher, number: kept, shard: self.number as u8 };
        let outcome = self.shared.retained_below(level).set_from(message, origin);
        self.counters.retained_evicted += outcome.evicted.len() as u64;
        self.counters.not_retained += u64::from(outcome.is_full);
        if !is_own && self.journal.durability(&message.topic) != Durability::None {
            let version = outcome.version;
            self.journal.await_message(&message.topic);
            self.journal.note(&match outcome.is_gone {
                true => Entry::Unretain { version, topic: &message.topic },
                false => {
                    let publisher = publisher.map(NonZeroU64::get);
                    Entry::Retain { version, publisher, message: kept }
                }
            });
        } else if !is_own && outcome.was_kept {
            // It was kept by other rules than there are now. If it stayed on disk it would come back with the next start,
            // and take the place of a later one.
            self.journal.note(&Entry::Unretain { version: outcome.version, topic: &message.topic });
        }
        if !is_own {
            for (topic, version) in &outcome.evicted {
                self.journal.note(&Entry::Unretain { version: *version, topic });
            }
        }
        !outcome.is_full
    }
}
