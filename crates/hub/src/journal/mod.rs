//! The journal: what a shard writes down of all that must outlive the process.
//!
//! Whatever changes what is to be kept (sessions that outlast their connection, what waits for them, retained and delayed
//! messages, wills) leaves an [`Entry`] in the shard's [`Journal`]. The caller takes what has come together at the end of
//! a tick as a [`Batch`], has it written, and lets nothing out before that says it was done: see
//! [`Shard::waits_for`](crate::Shard::waits_for). Once the process has ended, an [`Image`] is made of all batches, and
//! shards of the image.
//!
//! An *event* is what one request of a client, or one piece of mail, comes to. Its entries stand in one record, which is
//! read as a whole or not at all.

mod entry;
mod facts;
mod history;
mod image;
mod known;
mod made;
mod places;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use entry::{Body, Client, Entry, FilterRef, Ids, Stored, WillBody};
pub(crate) use facts::{Fact, Facts};
pub(crate) use history::{HistoryEntry, HistoryImage, KeptHistory, topic as kept_topic};
pub use image::{Image, ImageSize};
pub(crate) use image::{
    KeptDelivery, KeptFilter, KeptFlight, KeptRetained, KeptSession, KeptSubscription, Owed,
};
pub use places::Mark;
pub(crate) use places::Places;
pub use wire::Unreadable;
pub(crate) use wire::{Reader, put_number};

use crate::message::{Message, Properties};
use crate::session::Will;
use crate::shared::Shared;
use crate::time::Time;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use trefoil_mqtt::{Publish, QoS};

/// A record is closed with the event that brings it to this size.
const RECORD_BYTES: usize = 256 << 10;

/// How many numbers a shard takes at a time for what it writes down. Few, since a checkpoint of the front of the journal
/// goes by numbers, and what a shard still has may be lower than what others have long written.
const NUMBERS_AT_ONCE: u64 = 256;

/// When what is written down has to be on disk.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Durability {
    /// Before it is acknowledged.
    #[default]
    Sync,
    /// Soon.
    Interval,
    /// Never: it is not written down.
    None,
}

/// What is kept how.
#[derive(Clone, Default, Debug)]
pub struct Keeping {
    /// For all that no rule is for; none is for sessions and their subscriptions.
    pub durability: Durability,
    /// For messages by topic; the first filter that matches counts.
    pub rules: Vec<(String, Durability)>,
    /// Milliseconds from 1970 to the zero of [`Time`].
    pub start_ms: u64,
}

impl Keeping {
    /// Whether nothing that was acknowledged is missing at the next start, on whatever topic: after an end in order, unless
    /// something is not kept at all; else only if all is on disk before.
    pub(crate) fn keeps_all(&self, has_crashed: bool) -> bool {
        let all = self.rules.iter().map(|(_, durability)| *durability).chain([self.durability]);
        let mut all = all.map(|durability| match has_crashed {
            true => durability == Durability::Sync,
            false => durability != Durability::None,
        });
        all.all(|keeps| keeps)
    }

    fn of(&self, topic: &str) -> Durability {
        let rule = self.rules.iter().find(|(filter, _)| crate::topic::matches(filter, topic));
        rule.map_or(self.durability, |(_, durability)| *durability)
    }
}

/// What a shard has written down in a tick.
#[derive(Debug)]
pub struct Batch {
    /// Rises by one from batch to batch of a shard.
    pub number: u64,
    /// Each to be kept as a whole.
    pub records: Vec<Vec<u8>>,
}

/// What one shard writes down.
#[derive(Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    shard: usize,
    records: Vec<Vec<u8>>,
    open: Vec<u8>,
    /// The number of the batch that is being filled.
    batch: u64,
    /// What the event under way has come to must be on disk before it is acknowledged.
    is_awaited: bool,
    /// So must this batch.
    awaited: u64,
    /// The last batch that says that a session has ended.
    ended: u64,
    numbers: Range<u64>,
    /// The highest number that an entry of this batch has given to a message.
    newest: u64,
    /// While a checkpoint is made: messages below this number are written again, once, unless they stand in what stays.
    boundary: u64,
    /// Where that begins which stays once the checkpoint is complete.
    from: u64,
    /// What is written down now will stand here or later.
    place: u64,
    /// Where messages stand that were written again, as far as that is behind `from`.
    restated: HashMap<u64, u64, RandomState>,
    /// The same of what was found at the start.
    found: Arc<Places>,
    /// How many checkpoints have begun.
    checkpoints: u64,
    /// The end of one stands in the batch that is being filled.
    is_through: bool,
    /// Goes with what is owed to other shards from now on, and went with it until the last checkpoint began.
    debt: Debt,
    earlier_debt: Debt,
    /// Debts of others that have been paid in the batch that is being filled.
    paid: Vec<Debt>,
}

/// Goes along with a message that is owed to another shard, so that who has written that down knows when it is no longer
/// so: before that a checkpoint of its must not be complete.
#[derive(Clone, Default, Debug)]
pub struct Debt(Arc<()>);

impl Journal {
    pub(crate) fn new(shard: usize, shared: Arc<Shared>) -> Journal {
        Journal {
            shared,
            shard,
            records: Vec::new(),
            open: Vec::new(),
            batch: 1,
            is_awaited: false,
            awaited: 0,
            ended: 0,
            numbers: 0..0,
            newest: 0,
            boundary: 0,
            from: 0,
            place: 0,
            restated: HashMap::default(),
            found: Arc::default(),
            checkpoints: 0,
            is_through: false,
            debt: Debt::default(),
            earlier_debt: Debt::default(),
            paid: Vec::new(),
        }
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_on(&self) -> bool {
        self.shared.keeping.is_some()
    }

    /// How a message on `topic` is kept.
    pub(crate) fn durability(&self, topic: &str) -> Durability {
        self.shared.keeping.as_ref().map_or(Durability::None, |keeping| keeping.of(topic))
    }

    /// How what is not a message is kept.
    fn own_durability(&self) -> Durability {
        self.shared.keeping.as_ref().map_or(Durability::None, |keeping| keeping.durability)
    }

    /// An event begins.
    pub(crate) fn begin(&mut self) {
        self.is_awaited = false;
        self.awaited = 0;
        if self.boundary > 0 && self.shared.checkpoints_done() >= self.checkpoints {
            self.boundary = 0;
        }
        if self.open.len() >= RECORD_BYTES {
            self.records.push(std::mem::take(&mut self.open));
        }
    }

    /// Writes down what its caller has to wait for, if things are to be on disk before they are acknowledged.
    pub(crate) fn write(&mut self, entry: &Entry<'_>) {
        self.note(entry);
        self.await_own();
    }

    /// The same with an entry that is encoded already.
    pub(crate) fn write_encoded(&mut self, entry: &[u8]) {
        self.open.extend_from_slice(entry);
        self.await_own();
    }

    /// Writes down what its caller has to wait for, whatever the durability is.
    pub(crate) fn write_anyway(&mut self, entry: &Entry<'_>) {
        self.note(entry);
        self.is_awaited = true;
    }

    /// Whether sessions are kept.
    pub(crate) fn keeps_sessions(&self) -> bool {
        self.own_durability() != Durability::None
    }

    /// Writes down what nobody has to wait for.
    pub(crate) fn note(&mut self, entry: &Entry<'_>) {
        entry.encode(&mut self.open);
    }

    /// What the event under way comes to rests on what has been written down before.
    pub(crate) fn await_own(&mut self) {
        self.is_awaited |= self.is_sync();
    }

    /// What the event under way comes to is the next step of an exchange at QoS 2 that is kept with its session. It waits
    /// for the disk whatever the durability is: of a message something may be lost, but not what a packet id stands for,
    /// or a later message would be taken for one that came before.
    pub(crate) fn await_exchange(&mut self) {
        self.is_awaited |= self.keeps_sessions();
    }

    /// What the event under way comes to rests on all that has been written down before, whatever that is.
    pub(crate) fn await_all(&mut self) {
        self.is_awaited = true;
    }

    /// A session has ended.
    pub(crate) fn ended(&mut self) {
        self.ended = self.last_batch();
    }

    /// What the event under way comes to rests on the ends of sessions: packet ids of one that is over must not come back
    /// into use, whatever the durability is. While nothing comes to disk it does not rest on them, or nobody could come
    /// once any session has ended.
    pub(crate) fn await_ends(&mut self) {
        if self.keeps_sessions() && self.shared.writes() {
            self.awaited = self.ended;
        }
    }

    /// Whether what is not a message has to be on disk before it is acknowledged, and cannot be now.
    pub(crate) fn fails(&self) -> bool {
        self.is_sync() && !self.shared.writes()
    }

    fn is_sync(&self) -> bool {
        self.own_durability() == Durability::Sync
    }

    /// What the event under way comes to rests on a message.
    pub(crate) fn await_message(&mut self, topic: &str) {
        self.is_awaited |= self.durability(topic) == Durability::Sync;
    }

    /// Writes a message down, unless that has been done, and gives its number; 0 if it is not to be kept. The event under
    /// way rests on it.
    pub(crate) fn keep(&mut self, message: &Message, number: &mut u64) -> u64 {
        let durability = self.durability(&message.topic);
        if *number == 0 && durability != Durability::None {
            *number = self.number();
            self.newest = *number;
            self.write_message(message, *number, false);
        } else {
            self.restate(message, *number);
        }
        self.is_awaited |= durability == Durability::Sync;
        *number
    }

    /// What goes along with a message that has just been written down as owed.
    pub(crate) fn debt(&self) -> Debt {
        self.debt.clone()
    }

    /// Something owed has been dealt with, or somebody else has written down that he owes it.
    pub(crate) fn pay(&mut self, debt: Debt) {
        self.paid.push(debt);
    }

    /// Writes a message down again that another shard may not have handed over yet, so that what is said of it here finds
    /// it. `shard` is the one that has given it its number.
    pub(crate) fn keep_foreign(&mut self, message: &Message, number: u64, shard: usize) {
        if number > 0 && shard != self.shard && number > self.shared.handed[shard].load(Ordering::Acquire) {
            self.write_message(message, number, false);
        }
    }

    /// While a checkpoint is made, by this shard or by one of the others: writes a message again that stands in what is to
    /// be dropped, since somebody is about to speak of it.
    pub(crate) fn restate(&mut self, message: &Message, number: u64) {
        if self.is_stale(number) {
            self.restated.insert(number, self.place);
            self.write_message(message, number, true);
        }
    }

    /// Whether a message was first written down in what the checkpoint that is being made drops.
    pub(crate) fn is_early(&self, number: u64) -> bool {
        number > 0 && number < self.boundary
    }

    /// Whether [`restate`](Self::restate) would write it.
    pub(crate) fn is_stale(&self, number: u64) -> bool {
        let place = || self.restated.get(&number).or_else(|| self.found.of.get(&number));
        self.is_early(number) && place().is_none_or(|place| *place < self.from)
    }

    /// What is written down from now on will stand at this place or later.
    pub(crate) fn set_place(&mut self, place: u64) {
        self.place = place;
    }

    /// What is known of the places of messages from before the start.
    pub(crate) fn set_found(&mut self, found: Arc<Places>) {
        self.found = found;
    }

    /// A checkpoint begins, for all that has a number below `boundary` and stands before `from`; with none, for all that
    /// does not stand behind its beginning.
    pub(crate) fn begin_restating(&mut self, boundary: u64, from: Option<u64>) {
        self.boundary = boundary;
        self.from = from.unwrap_or(0);
        // Places are counted anew after a failure of the disk, and then nothing that was known of them counts.
        self.restated.retain(|_, place| from.is_some_and(|from| *place >= from));
        if self.restated.capacity() > 4 * self.restated.len() {
            self.restated.shrink_to_fit();
        }
        if from.is_none_or(|from| from > self.found.last) {
            self.found = Arc::default();
        }
        self.checkpoints += 1;
        // What is given out from now on is behind the boundary.
        self.numbers = 0..0;
        self.earlier_debt = std::mem::take(&mut self.debt);
    }

    /// Whether nothing is owed any more that was so when the checkpoint began.
    pub(crate) fn is_clear(&self) -> bool {
        Arc::strong_count(&self.earlier_debt.0) == 1
    }

    /// The shard is through with its checkpoint. Until all are, and have handed that over, messages may come here that do not
    /// stand in the journal again yet.
    pub(crate) fn end_restating(&mut self) {
        self.is_through = true;
    }

    fn write_message(&mut self, message: &Message, number: u64, is_restated: bool) {
        let body = self.body(message);
        Entry::Message { number, is_restated, body }.encode(&mut self.open);
    }

    /// A number that nothing else has, not even after the next start.
    pub(crate) fn number(&mut self) -> u64 {
        if self.numbers.is_empty() {
            let first = self.shared.numbers.fetch_add(NUMBERS_AT_ONCE, Ordering::Relaxed);
            self.numbers = first..first + NUMBERS_AT_ONCE;
        }
        self.numbers.next().expect("numbers have just been taken")
    }

    /// The batch that has to be on disk before the event under way may be answered; 0 for none.
    pub(crate) fn waits_for(&self) -> u64 {
        if self.is_awaited { self.last_batch() } else { self.awaited }
    }

    /// The batch that holds the last of what was written down.
    pub(crate) fn last_batch(&self) -> u64 {
        if self.is_empty() { self.batch - 1 } else { self.batch }
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty() && self.records.is_empty()
    }

    /// How many bytes have come together for the batch that is being filled.
    pub(crate) fn bytes(&self) -> usize {
        self.open.len() + self.records.iter().map(Vec::len).sum::<usize>()
    }

    /// What has been written down since the last batch. Once it has been handed over, call [`handed`](Self::handed).
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.is_empty() {
            return None;
        }
        if !self.open.is_empty() {
            // What has grown large once is not held for ever.
            let capacity = self.open.len().min(RECORD_BYTES);
            self.records.push(std::mem::replace(&mut self.open, Vec::with_capacity(capacity)));
        }
        let batch = Batch { number: self.batch, records: std::mem::take(&mut self.records) };
        self.batch += 1;
        Some(batch)
    }

    /// What has been written down since the last batch, without making a batch of it.
    pub(crate) fn take_all(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.records).concat();
        all.append(&mut self.open);
        all
    }

    /// The last batch is with who writes it: what others write from now on stands behind it.
    pub(crate) fn handed(&mut self) {
        self.shared.handed[self.shard].store(self.newest, Ordering::Release);
        self.paid.clear();
        if std::mem::take(&mut self.is_through) {
            self.shared.checkpoint_done();
        }
    }

    /// A moment as it is written down.
    pub(crate) fn moment(&self, at: Time) -> u64 {
        self.shared.keeping.as_ref().map_or(0, |keeping| keeping.start_ms.saturating_add(at.as_ms()))
    }

    /// The same for one that may lie before the zero of [`Time`].
    pub(crate) fn moment_before(&self, at_ms: i64) -> u64 {
        self.shared.keeping.as_ref().map_or(0, |keeping| keeping.start_ms.saturating_add_signed(at_ms))
    }

    /// Whether a message on `topic` has to be on disk before it is acknowledged.
    pub(crate) fn is_synced(&self, topic: &str) -> bool {
        self.durability(topic) == Durability::Sync
    }

    /// A message as it is written down.
    pub(crate) fn body<'a>(&self, message: &'a Message) -> Body<'a> {
        Body::of(message, |at| self.moment(at))
    }

    /// A will as it is written down; none if its topic is not kept.
    pub(crate) fn will<'a>(&self, will: &'a Will) -> Option<WillBody<'a>> {
        let is_kept = self.durability(&will.message.topic) != Durability::None;
        is_kept.then(|| WillBody::of(will, |at| self.moment(at)))
    }
}

impl<'a> Body<'a> {
    /// `moment` puts a time into milliseconds since 1970.
    pub(crate) fn of(message: &'a Message, moment: impl FnOnce(Time) -> u64) -> Body<'a> {
        let publish = Publish {
            qos: message.qos,
            retain: message.retain,
            topic: &message.topic,
            packet_id: u16::from(message.qos > QoS::AtMostOnce),
            properties: message.properties.as_deref().map(Properties::as_mqtt).unwrap_or_default(),
            payload: &message.payload,
            ..Publish::default()
        };
        Body { publish, expires_at: message.expires_at.map(moment) }
    }
}

impl<'a> WillBody<'a> {
    /// `moment` puts a time into milliseconds since 1970.
    pub(crate) fn of(will: &'a Will, moment: impl FnOnce(Time) -> u64) -> WillBody<'a> {
        WillBody {
            body: Body::of(&will.message, moment),
            expiry_s: will.expiry_s.map(u64::from),
            delay_s: will.delay_s,
        }
    }
}
