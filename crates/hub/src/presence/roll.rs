//! What one shard knows of who of its own clients is on a topic, while anybody wants to know.

use super::{ConnectionName, Letters, Mode, Presence, PresenceAnswer, PresentClient, Word};
use crate::index::NodeId;
use crate::key::SessionKey;
use crate::time::Time;
use foldhash::fast::FixedState;
use slab::Slab;
use std::collections::{HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

/// How often others are told how many are there, where only the number is wanted.
const COUNT_MS: u64 = 250;

/// How long a roll is kept that nobody wants any more, since who asks once mostly asks again.
const IDLE_MS: u64 = 10_000;

/// How many such rolls are kept.
const IDLE_MAX: usize = 1024;

/// Names a roll in the index of subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RollKey(NonZeroU32);

impl RollKey {
    fn new(place: usize) -> RollKey {
        let number = u32::try_from(place + 1).ok().and_then(NonZeroU32::new);
        RollKey(number.expect("there are as many rolls as may be watched, or a few more"))
    }

    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The rolls of a shard.
#[derive(Default, Debug)]
pub(crate) struct Rolls {
    rolls: Slab<Roll>,
    serial: u64,
    /// Those that are being made: not all subscribers of the topic have been looked at.
    making: VecDeque<RollKey>,
    /// Those of which a number is to be told.
    changed: Vec<RollKey>,
    /// When the last numbers were told.
    counted_at: Time,
    /// Those that nobody wants, with their serials, and when they end.
    idle: VecDeque<(Time, RollKey, u64)>,
}

#[derive(Debug)]
struct Roll {
    node: NodeId,
    /// Tells this roll from others that were at its place before.
    serial: u64,
    /// Connected subscribers of the topic: all of them once none is left to be looked at.
    present: HashSet<SessionKey, FixedState>,
    /// How many subscribers, from the first on, have not been looked at.
    unseen: usize,
    /// Those who wait for it to be made.
    waiting: Vec<Reader>,
    /// Those who are told what changes; one at most for each shard.
    readers: Vec<Reader>,
    is_changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    shard: usize,
    ticket: u64,
    mode: Mode,
    /// The number it was told last.
    told: usize,
}

impl Rolls {
    /// Whether nobody wants to know anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.rolls.is_empty()
    }

    /// Begins a roll of the topic at `node`, to which `subscribers` sessions of the shard are subscribed.
    pub(crate) fn begin(&mut self, node: NodeId, subscribers: usize, seed: u64) -> RollKey {
        self.serial += 1;
        let key = RollKey::new(self.rolls.insert(Roll {
            node,
            serial: self.serial,
            present: HashSet::with_hasher(FixedState::with_seed(seed)),
            unseen: subscribers,
            waiting: Vec::new(),
            readers: Vec::new(),
            is_changed: false,
        }));
        if subscribers > 0 {
            self.making.push_back(key);
        }
        key
    }

    /// A shard wants to know of a roll's topic. It is answered when the roll is [made](Self::answer).
    pub(crate) fn read(&mut self, key: RollKey, shard: usize, ticket: u64, mode: Mode) {
        let roll = &mut self.rolls[key.place()];
        if mode != Mode::Once {
            roll.forget(shard);
        }
        roll.waiting.push(Reader { shard, ticket, mode, told: 0 });
    }

    /// A shard does not want to know of a roll's topic any longer.
    pub(crate) fn read_no_more(&mut self, now: Time, key: RollKey, shard: usize) -> Option<NodeId> {
        self.rolls[key.place()].forget(shard);
        self.let_lie(now, key)
    }

    /// The next roll that is being made: where its topic is, and how many subscribers are to be looked at, from the first
    /// on, the last of them first: so that one which takes another's place is looked at twice, perhaps, and never missed.
    pub(crate) fn next_to_make(
        &mut self,
        subscribers: impl Fn(NodeId) -> usize,
    ) -> Option<(RollKey, NodeId, usize)> {
        let key = *self.making.front()?;
        let roll = &mut self.rolls[key.place()];
        roll.unseen = roll.unseen.min(subscribers(roll.node));
        Some((key, roll.node, roll.unseen))
    }

    /// Subscribers of the [next roll](Self::next_to_make) have been looked at; `unseen` are left. Returns whether it is made.
    pub(crate) fn enter(
        &mut self,
        key: RollKey,
        unseen: usize,
        present: impl Iterator<Item = SessionKey>,
    ) -> bool {
        let roll = &mut self.rolls[key.place()];
        roll.present.extend(present);
        roll.unseen = unseen;
        if unseen == 0 {
            let made = self.making.pop_front();
            debug_assert_eq!(made, Some(key), "the next to make is at the front");
        }
        unseen == 0
    }

    /// Answers those who waited for a roll, if it is made. Returns the topic's place if nobody wants the roll any more and
    /// it has ended.
    pub(crate) fn answer(
        &mut self,
        now: Time,
        key: RollKey,
        clients_max: usize,
        client: impl Fn(SessionKey) -> Option<PresentClient>,
        letters: &mut Letters,
    ) -> Option<NodeId> {
        let roll = &mut self.rolls[key.place()];
        if roll.unseen > 0 {
            return None;
        }
        let count = roll.present.len();
        for mut reader in std::mem::take(&mut roll.waiting) {
            let listed = match reader.mode {
                Mode::Lists if count <= clients_max => count,
                Mode::Once => clients_max,
                Mode::Lists | Mode::Counts => 0,
            };
            let clients = roll.present.iter().take(listed).filter_map(|&session| client(session)).collect();
            let answer = PresenceAnswer { count, clients };
            letters.write(reader.shard, Word::Roll { ticket: reader.ticket, answer });
            if reader.mode != Mode::Once {
                reader.told = count;
                roll.readers.push(reader);
            }
        }
        self.let_lie(now, key)
    }

    /// A client has come to a topic that there is a roll of.
    pub(crate) fn came(
        &mut self,
        key: RollKey,
        session: SessionKey,
        client: impl FnOnce() -> PresentClient,
        presence: &Presence,
        letters: &mut Letters,
    ) {
        let roll = &mut self.rolls[key.place()];
        if !roll.present.insert(session) || roll.unseen > 0 {
            return;
        }
        presence.count_event();
        if roll.readers.iter().any(|reader| reader.mode == Mode::Lists) {
            let client = client();
            for &Reader { shard, ticket, .. } in roll.readers.iter().filter(|r| r.mode == Mode::Lists) {
                letters.write(shard, Word::Came { ticket, client: client.clone() });
            }
        }
        self.note_changed(key);
    }

    /// A client has gone, or its subscription has ended.
    pub(crate) fn went(
        &mut self,
        key: RollKey,
        session: SessionKey,
        (client_id, connection): (&Arc<str>, ConnectionName),
        presence: &Presence,
        letters: &mut Letters,
    ) {
        let roll = &mut self.rolls[key.place()];
        if !roll.present.remove(&session) || roll.unseen > 0 {
            return;
        }
        presence.count_event();
        for &Reader { shard, ticket, .. } in roll.readers.iter().filter(|r| r.mode == Mode::Lists) {
            letters.write(shard, Word::Went { ticket, client_id: client_id.clone(), connection });
        }
        self.note_changed(key);
    }

    /// When the next numbers are to be told, or an idle roll ends.
    pub(crate) fn due_at(&self) -> Option<Time> {
        let counts = (!self.changed.is_empty()).then(|| self.counted_at.plus_ms(COUNT_MS));
        let idle = self.idle.front().map(|(at, ..)| *at);
        [counts, idle].into_iter().flatten().min()
    }

    /// Whether subscribers of some topic have yet to be looked at.
    pub(crate) fn is_making(&self) -> bool {
        !self.making.is_empty()
    }

    /// Tells the numbers that are due.
    pub(crate) fn tell_counts(&mut self, now: Time, letters: &mut Letters) {
        if self.changed.is_empty() || now < self.counted_at.plus_ms(COUNT_MS) {
            return;
        }
        self.counted_at = now;
        for key in std::mem::take(&mut self.changed) {
            // Another may be at its place, which is none the worse for that.
            let Some(roll) = self.rolls.get_mut(key.place()) else { continue };
            roll.is_changed = false;
            let count = roll.present.len();
            for reader in roll.readers.iter_mut().filter(|r| r.mode == Mode::Counts && r.told != count) {
                reader.told = count;
                letters.write(reader.shard, Word::Count { ticket: reader.ticket, count });
            }
        }
    }

    /// Ends the next roll that nobody has wanted for long enough, and says where its topic is.
    pub(crate) fn end_idle(&mut self, now: Time) -> Option<NodeId> {
        while let Some((_, key, serial)) = self.idle.pop_front_if(|(at, ..)| *at <= now) {
            if let Some(node) = self.end_if_idle(key, serial) {
                return Some(node);
            }
        }
        None
    }

    fn let_lie(&mut self, now: Time, key: RollKey) -> Option<NodeId> {
        let roll = &self.rolls[key.place()];
        if !roll.is_idle() {
            return None;
        }
        // One that was let lie before has as long from now on.
        self.idle.retain(|(_, other, serial)| *other != key || *serial != roll.serial);
        self.idle.push_back((now.plus_ms(IDLE_MS), key, roll.serial));
        if self.idle.len() <= IDLE_MAX {
            return None;
        }
        let (_, key, serial) = self.idle.pop_front()?;
        self.end_if_idle(key, serial)
    }

    fn end_if_idle(&mut self, key: RollKey, serial: u64) -> Option<NodeId> {
        let roll = self.rolls.get(key.place()).filter(|roll| roll.serial == serial && roll.is_idle())?;
        let (node, is_made) = (roll.node, roll.unseen == 0);
        if !is_made {
            self.making.retain(|&making| making != key);
        }
        self.rolls.remove(key.place());
        Some(node)
    }

    fn note_changed(&mut self, key: RollKey) {
        let roll = &mut self.rolls[key.place()];
        let counts = roll.readers.iter().any(|reader| reader.mode == Mode::Counts);
        if counts && !std::mem::replace(&mut roll.is_changed, true) {
            self.changed.push(key);
        }
    }
}

impl Roll {
    fn is_idle(&self) -> bool {
        self.readers.is_empty() && self.waiting.is_empty()
    }

    /// Forgets what a shard wanted to go on knowing.
    fn forget(&mut self, shard: usize) {
        self.waiting.retain(|reader| reader.shard != shard || reader.mode == Mode::Once);
        self.readers.retain(|reader| reader.shard != shard);
    }
}
