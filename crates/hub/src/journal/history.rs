//! What is written down of the histories of topics, and what it comes to.
//!
//! Each message of a history has one entry with its place, which stands in the record that holds the message. What gives way
//! to the bounds of a history is not written down: the next start goes by its own bounds.
//!
//! **No place is given twice.** A history is found again with all places that were written down. If the hub ended without
//! saying so ([`HistoryEntry::Closed`]), others may have been given and shown that were not. So the next start does not go on
//! behind the last known one but [`JUMP`] further on, and writes that down ([`HistoryEntry::Opened`]) before it gives any.
//! As many messages do not fit into what is not yet written down, so all places from there on are new. A history of which
//! nothing was written down begins anew with another epoch.

use super::entry::Entry;
use super::known::Messages;
use super::wire::{Reader, Unreadable, put_bytes, put_number, put_optional};
use crate::history::{Epoch, JUMP, Kept, Restored};
use crate::message::Message;
use crate::topic::Topic;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;

/// One thing that happened to a history.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HistoryEntry<'a> {
    /// A message has been given a place. `is_synced`: what was acknowledged of the topic had been written down before.
    Append {
        message: u64,
        birth: u64,
        epoch: u64,
        offset: u64,
        stamp: u64,
        publisher: Option<u64>,
        is_synced: bool,
    },
    /// How far the history of a topic goes: what is below `floor` is gone. Said at checkpoints.
    Topic {
        topic: &'a str,
        birth: u64,
        epoch: u64,
        next: u64,
        floor: u64,
        unsure_below: u64,
        gone_stamp: u64,
        is_synced: bool,
    },
    /// The topic has no history any more.
    Forget { topic: &'a str, birth: u64 },
    /// The hub has started, with other places if it `jumps`. From `whole_since` on nothing is missing that is not known to
    /// be gone, as long as the rules are those that `rules` stands for.
    Opened { jumps: bool, stamp: u64, rules: u64, whole_since: u64 },
    /// It has ended, and all that it had given is written down.
    Closed { whole_since: u64 },
    /// Something was published since the start that is not kept for lack of room.
    Partial,
}

/// The kind of all entries that are of histories.
pub(super) const KIND: u8 = 40;

impl<'a> HistoryEntry<'a> {
    /// Appends what is behind the kind.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut numbers = |kind: u8, numbers: &[u64]| {
            out.push(kind);
            numbers.iter().for_each(|&n| put_number(n, out));
        };
        match *self {
            HistoryEntry::Append { message, birth, epoch, offset, stamp, publisher, is_synced } => {
                numbers(if is_synced { 1 } else { 2 }, &[message, birth, epoch, offset, stamp]);
                put_optional(publisher, out);
            }
            HistoryEntry::Topic { topic, birth, epoch, next, floor, unsure_below, gone_stamp, is_synced } => {
                let kind = if is_synced { 3 } else { 4 };
                numbers(kind, &[birth, epoch, next, floor, unsure_below, gone_stamp]);
                put_bytes(topic.as_bytes(), out);
            }
            HistoryEntry::Forget { topic, birth } => {
                numbers(5, &[birth]);
                put_bytes(topic.as_bytes(), out);
            }
            HistoryEntry::Opened { jumps, stamp, rules, whole_since } => {
                numbers(if jumps { 6 } else { 7 }, &[stamp, rules, whole_since]);
            }
            HistoryEntry::Closed { whole_since } => numbers(8, &[whole_since]),
            HistoryEntry::Partial => numbers(9, &[]),
        }
    }

    /// Takes what is behind the kind off `record`.
    pub(super) fn decode(record: &mut Reader<'a>) -> Result<HistoryEntry<'a>, Unreadable> {
        Ok(match record.byte()? {
            kind @ (1 | 2) => HistoryEntry::Append {
                message: record.number()?,
                birth: record.number()?,
                epoch: record.number()?,
                offset: record.number()?,
                stamp: record.number()?,
                publisher: record.optional()?,
                is_synced: kind == 1,
            },
            kind @ (3 | 4) => HistoryEntry::Topic {
                birth: record.number()?,
                epoch: record.number()?,
                next: record.number()?,
                floor: record.number()?,
                unsure_below: record.number()?,
                gone_stamp: record.number()?,
                topic: record.text()?,
                is_synced: kind == 3,
            },
            5 => HistoryEntry::Forget { birth: record.number()?, topic: record.text()? },
            kind @ (6 | 7) => HistoryEntry::Opened {
                jumps: kind == 6,
                stamp: record.number()?,
                rules: record.number()?,
                whole_since: record.number()?,
            },
            8 => HistoryEntry::Closed { whole_since: record.number()? },
            9 => HistoryEntry::Partial,
            _ => return Err(Unreadable("its kind is not known")),
        })
    }
}

/// The histories at the end of a journal.
#[derive(Debug)]
pub(crate) struct HistoryImage {
    pub(crate) topics: HashMap<Box<str>, KeptHistory, RandomState>,
    pub(crate) birth_max: u64,
    /// All places that were given are known.
    pub(crate) is_closed: bool,
    pub(crate) is_partial: bool,
    pub(crate) rules: Option<u64>,
    pub(crate) whole_since: u64,
}

impl Default for HistoryImage {
    fn default() -> Self {
        HistoryImage {
            topics: HashMap::default(),
            birth_max: 0,
            is_closed: true,
            is_partial: false,
            rules: None,
            whole_since: 0,
        }
    }
}

/// The history of one topic.
#[derive(Debug)]
pub(crate) struct KeptHistory {
    birth: u64,
    epoch: u64,
    next: u64,
    floor: u64,
    unsure_below: u64,
    gone_stamp: u64,
    is_synced: bool,
    entries: BTreeMap<u64, Placed>,
}

#[derive(Debug)]
struct Placed {
    message: Arc<Message>,
    number: u64,
    stamp: u64,
    publisher: Option<u64>,
}

impl HistoryImage {
    /// Whether anything has ever been said of histories.
    pub(crate) fn is_known(&self) -> bool {
        self.rules.is_some() || !self.topics.is_empty()
    }

    /// Messages in all histories.
    pub(crate) fn messages(&self) -> usize {
        self.topics.values().map(|history| history.entries.len()).sum()
    }

    /// Takes the next entry.
    pub(super) fn take(&mut self, entry: &HistoryEntry<'_>, messages: &Messages) -> Result<(), Unreadable> {
        match *entry {
            HistoryEntry::Append { message: number, birth, epoch, offset, stamp, publisher, is_synced } => {
                self.is_closed = false;
                let Some(message) = messages.get(number) else { return Ok(()) };
                if offset >= u64::MAX / 2 {
                    return Err(Unreadable("an offset is too large"));
                }
                let Some(history) = self.life(&message.topic, birth, epoch) else { return Ok(()) };
                history.next = history.next.max(offset + 1);
                history.is_synced = is_synced;
                if offset >= history.floor {
                    let message = message.clone();
                    history.entries.insert(offset, Placed { message, number, stamp, publisher });
                }
            }
            HistoryEntry::Topic { topic, birth, epoch, next, floor, unsure_below, gone_stamp, is_synced } => {
                self.is_closed = false;
                if next >= u64::MAX / 2 {
                    return Err(Unreadable("an offset is too large"));
                }
                let Some(history) = self.life(topic, birth, epoch) else { return Ok(()) };
                history.next = history.next.max(next);
                history.floor = history.floor.max(floor);
                history.entries = history.entries.split_off(&history.floor);
                history.unsure_below = history.unsure_below.max(unsure_below);
                history.gone_stamp = history.gone_stamp.max(gone_stamp);
                history.is_synced = is_synced;
            }
            HistoryEntry::Forget { topic, birth } => {
                if self.topics.get(topic).is_some_and(|history| history.birth <= birth) {
                    self.topics.remove(topic);
                }
            }
            HistoryEntry::Opened { jumps, stamp, rules, whole_since } => {
                self.open(jumps, stamp);
                (self.rules, self.whole_since) = (Some(rules), whole_since);
            }
            HistoryEntry::Closed { whole_since } => {
                (self.is_closed, self.is_partial, self.whole_since) = (true, false, whole_since);
            }
            HistoryEntry::Partial => self.is_partial = true,
        }
        Ok(())
    }

    /// The history of a topic in this life, if that is the last one.
    fn life(&mut self, topic: &str, birth: u64, epoch: u64) -> Option<&mut KeptHistory> {
        self.birth_max = self.birth_max.max(birth);
        let is_older = self.topics.get(topic).is_some_and(|known| known.birth < birth);
        if is_older || !self.topics.contains_key(topic) {
            let begun = KeptHistory {
                birth,
                epoch,
                next: 1,
                floor: 1,
                unsure_below: 0,
                gone_stamp: 0,
                is_synced: true,
                entries: BTreeMap::new(),
            };
            self.topics.insert(topic.into(), begun);
        }
        // Shards hand over what they write in another order than that in which topics were forgotten and came again.
        self.topics.get_mut(topic).filter(|known| known.birth == birth)
    }

    /// The hub starts: where places may have been given that are not known, others begin.
    pub(crate) fn open(&mut self, jumps: bool, stamp: u64) {
        self.is_closed = false;
        self.is_partial = false;
        for history in self.topics.values_mut().filter(|_| jumps) {
            history.next += JUMP;
            if !history.is_synced {
                // What was acknowledged need not have been written down.
                history.unsure_below = history.next;
                history.gone_stamp = history.gone_stamp.max(stamp);
            }
        }
    }
}

impl KeptHistory {
    pub(crate) fn birth(&self) -> u64 {
        self.birth
    }

    /// What becomes of it at this start.
    pub(crate) fn restored(self) -> Restored {
        let entries = self.entries.into_iter().map(|(offset, placed)| Kept {
            message: placed.message,
            offset,
            stamp: placed.stamp,
            publisher: placed.publisher.and_then(NonZeroU64::new),
            number: placed.number,
            shard: 0,
        });
        Restored {
            birth: self.birth,
            epoch: Epoch::new(self.epoch),
            next: self.next,
            floor: self.floor,
            unsure_below: self.unsure_below,
            gone_stamp: self.gone_stamp,
            entries: entries.collect(),
        }
    }
}

/// A topic as it was written down; how many levels it may have may have been changed since.
pub(crate) fn topic(name: &str) -> Option<Topic> {
    Topic::new(name, usize::MAX).ok()
}

impl Entry<'_> {
    /// As it is written down.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        bytes
    }
}
