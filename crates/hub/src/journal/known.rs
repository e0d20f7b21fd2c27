//! The messages that a journal has spoken of, as far as it may come to speak of them again.

use super::wire::Unreadable;
use crate::message::Message;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// So many are known before those that nobody speaks of any more are looked for.
const MESSAGES_MIN: usize = 1 << 16;

/// Messages by their numbers.
#[derive(Debug)]
pub(super) struct Messages {
    of: HashMap<u64, Known, RandomState>,
    /// From so many on it is looked for those that are not needed.
    count_max: usize,
    count_min: usize,
}

#[derive(Debug)]
struct Known {
    message: Arc<Message>,
    /// Somebody may come to speak of it who has not done so yet.
    is_held: bool,
    /// Nobody did when it was last looked for those that are not needed.
    is_idle: bool,
}

impl Default for Messages {
    fn default() -> Self {
        Messages { of: HashMap::default(), count_max: MESSAGES_MIN, count_min: MESSAGES_MIN }
    }
}

impl Messages {
    /// As if there were little room for them: it is looked for those that are not needed as often as can be.
    pub(super) fn exacting() -> Messages {
        Messages { count_max: 0, count_min: 0, ..Messages::default() }
    }

    /// The message with this number.
    pub(super) fn get(&self, number: u64) -> Option<&Arc<Message>> {
        self.of.get(&number).map(|known| &known.message)
    }

    /// The journal says what message has this number, for the first time or again. Whoever has spoken of it goes on with the
    /// one that there is: of another nobody would seem to speak, and it would be forgotten.
    pub(super) fn add(
        &mut self,
        number: u64,
        is_held: bool,
        read: impl FnOnce() -> Result<Message, Unreadable>,
    ) -> Result<(), Unreadable> {
        match self.of.entry(number) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                (known.is_held, known.is_idle) = (known.is_held || is_held, false);
            }
            Entry::Vacant(place) => {
                place.insert(Known { message: Arc::new(read()?), is_held, is_idle: false });
            }
        }
        Ok(())
    }

    /// Makes a message known that the journal has not spoken of.
    pub(super) fn know(&mut self, number: u64, message: Arc<Message>) {
        self.of.insert(number, Known { message, is_held: true, is_idle: false });
    }

    /// Somebody may come to speak of it who has not done so yet.
    pub(super) fn hold(&mut self, number: u64) {
        if let Some(known) = self.of.get_mut(&number) {
            known.is_held = true;
        }
    }

    /// If there are many, forgets those that nobody has spoken of since this was last done: what shards hand over of a
    /// message may stand in another order than that in which they came to it.
    pub(super) fn forget_some(&mut self) {
        if self.of.len() <= self.count_max {
            return;
        }
        self.of.retain(|_, known| {
            let was_idle = std::mem::replace(&mut known.is_idle, Arc::strong_count(&known.message) == 1);
            known.is_held || !was_idle || !known.is_idle
        });
        self.count_max = self.count_min.max(self.of.len() * 2);
    }
}
