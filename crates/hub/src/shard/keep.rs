//! What a shard writes down, and how it says all of it again at a checkpoint.

use super::Shard;
use super::slow::{note_left, note_wish};
use crate::history::TopicHistory;
use crate::index::NodeId;
use crate::journal::{Batch, Client, Entry, FilterRef, Ids, Stored};
use crate::key::SessionKey;
use crate::message::Message;
use crate::outgoing::{Pending, Replay, Taken};
use crate::session::Will;
use crate::slow_reader::SlowReader;
use crate::subscriptions::SubscriptionOptions;
use crate::time::Time;
use crate::topic::{Filter, is_reply};
use std::num::NonZeroU64;
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// Retained messages that are said again at a time.
const RETAINED_AT_ONCE: usize = 16;

/// How far a checkpoint has come: everything that is kept is said once more, so that what was written before it is not
/// needed any longer.
#[derive(Debug)]
pub(super) enum Checkpoint {
    /// The place of the next session.
    Sessions(usize),
    /// The number of the next delayed message.
    Delayed(u64),
    /// Behind which of them the facts are still to come; on the first shard only.
    Facts(Option<(u8, Box<str>)>),
    /// Behind which topic the retained messages are still to come; on the first shard only.
    Retained(Option<String>),
    /// Which history is next, and which of its offsets: from one on, and until one; on the first shard only.
    History(Arc<TopicHistory>, u64, u64),
    /// Until what was owed to others when it began has been dealt with: that stands in no other place.
    Debts,
}

impl Shard {
    /// What a client asks for, or another shard has sent, is about to be dealt with: what that comes to is written down
    /// together, and kept as a whole or not at all.
    pub fn begin_event(&mut self) {
        self.journal.begin();
    }

    /// The batch that has to be on disk before what has been done since [`begin_event`](Self::begin_event) may be
    /// acknowledged; 0 for none.
    pub fn waits_for(&self) -> u64 {
        self.journal.waits_for()
    }

    /// What has been written down since the last batch. Whoever takes it hands it over to be written, and then calls
    /// [`handed_over`](Self::handed_over), before any parcel leaves the shard.
    pub fn take_batch(&mut self) -> Option<Batch> {
        self.journal.take()
    }

    /// The last batch is with who writes it.
    pub fn handed_over(&mut self) {
        self.journal.handed();
    }

    /// How many bytes have been written down since the last batch.
    pub fn journal_bytes(&self) -> usize {
        self.journal.bytes()
    }

    /// The number of the last batch with something in it, taken or not.
    pub fn last_batch(&self) -> u64 {
        self.journal.last_batch()
    }

    /// Whether anything is kept for the next start.
    pub fn is_keeping(&self) -> bool {
        self.journal.is_on()
    }

    /// Whether a message would have to be kept on disk if it were published now.
    pub(super) fn has_to_keep(&mut self, message: &Message) -> bool {
        self.journal.is_synced(&message.topic) && self.writes_down(message)
    }

    /// Whether a message would be written down if it were published now, and so add to what is on its way to the disk.
    pub fn writes_down(&self, message: &Message) -> bool {
        if self.journal.durability(&message.topic) == crate::Durability::None {
            return false;
        }
        // An empty one takes the retained message away, and makes room.
        let clears = message.payload.is_empty() && self.shared.clears();
        if (message.retain && !clears) || self.delays(&message.topic).is_some() {
            return true;
        }
        if self.shared.history.is_for(&message.topic) {
            return true;
        }
        if message.qos == QoS::AtMostOnce {
            return false;
        }
        let mut groups = Vec::new();
        let (_, keeping) = self.shared.interest.of(&message.topic, &mut groups);
        !keeping.is_empty() || groups.iter().any(|group| group.has_kept())
    }

    /// Whether a client cannot come now, since its session or will has to be kept, or since one that is kept would end.
    pub fn cannot_keep_client(&self, client_id: &str, expiry_s: u32, will: Option<&Will>) -> bool {
        let is_kept = || self.find(client_id).is_some_and(|session| self.session(session).number > 0);
        let has_will = || will.is_some_and(|will| self.journal.will(will).is_some());
        self.journal.fails() && (expiry_s > 0 || has_will() || is_kept())
    }

    /// Whether a subscription of a session has to be kept, and cannot be now.
    pub(super) fn cannot_keep_subscription(&self, key: SessionKey) -> bool {
        self.journal.fails() && self.session(key).is_kept
    }

    /// The number of a message for a delivery to a session: 0 if that is not kept.
    pub(super) fn kept_number(&mut self, key: SessionKey, message: &Message, number: &mut u64) -> u64 {
        if self.session(key).is_kept { self.journal.keep(message, number) } else { 0 }
    }

    /// A client has come. Its session is kept from now on if it is to outlast its connection; else its will is.
    pub(super) fn note_connect(&mut self, key: SessionKey, was_known: bool) {
        let session = self.session(key);
        let keeps =
            self.journal.is_on() && session.expiry_s > 0 && !session.is_kept && self.journal.keeps_sessions();
        let will = session.rare.as_ref().and_then(|rare| rare.will.as_ref());
        let needs_number = keeps || will.is_some_and(|will| self.journal.will(will).is_some());
        if session.number == 0 && needs_number {
            self.session_mut(key).number = self.journal.number();
        }
        if keeps {
            self.session_mut(key).is_kept = true;
            if was_known {
                return self.keep_all(key);
            }
        }
        self.write_connect(key);
    }

    pub(super) fn write_connect(&mut self, key: SessionKey) {
        // The client is told that there was no session, or none any more.
        self.journal.await_ends();
        let session = &self.sessions[key.index() as usize];
        if session.number == 0 {
            return;
        }
        let rare = session.rare.as_ref();
        let client = Client {
            client_id: &session.client_id,
            // One that is not kept does not outlast the process, whatever it asked for.
            expiry_s: if session.is_kept { session.expiry_s } else { 0 },
            identity: rare.and_then(|rare| rare.identity.as_deref()),
            user_name: rare.and_then(|rare| rare.user_name.as_deref()),
        };
        let will = rare.and_then(|rare| rare.will.as_ref()).and_then(|will| self.journal.will(will));
        let mut record = Vec::new();
        Entry::Connect { session: session.number, client, will }.encode(&mut record);
        if session.is_kept && session.slow_reader != SlowReader::default() {
            let policy = session.slow_reader;
            Entry::SlowReader { session: session.number, filter: None, policy }.encode(&mut record);
        }
        if let Some(token) = rare.and_then(|rare| rare.token).filter(|_| session.is_kept) {
            Entry::Token { session: session.number, token }.encode(&mut record);
        }
        self.journal.write_encoded(&record);
    }

    /// A session that was there is kept from now on, and so is all that it has.
    fn keep_all(&mut self, key: SessionKey) {
        let session = &mut self.sessions[key.index() as usize];
        for filter in self.subscriptions.keep(key, &session.filters) {
            self.shared.interest.set_keeping(self.number, &filter, true);
        }
        if let Some(outgoing) = &mut session.outgoing {
            for pending in outgoing.pending_mut().filter(|pending| pending.qos > QoS::AtMostOnce) {
                self.journal.keep(&pending.message, &mut pending.number);
            }
        }
        let at = self.address(key);
        if let Some(rare) = &self.session(key).rare {
            rare.shares.values().for_each(|group| group.set_kept(at));
        }
        self.restate_session(key);
        self.journal.await_own();
    }

    pub(super) fn note_will(&mut self, key: SessionKey) {
        let session = &self.sessions[key.index() as usize];
        let will = session.rare.as_ref().and_then(|rare| rare.will.as_ref());
        let will = will.and_then(|will| self.journal.will(will));
        if session.number == 0 {
            if will.is_some() {
                // From now on there is something of it to be kept.
                self.sessions[key.index() as usize].number = self.journal.number();
                self.write_connect(key);
                if self.session(key).connection().is_none() {
                    let ends_at = self.session(key).rare.as_ref().and_then(|rare| rare.ends_at);
                    self.note_away(key, ends_at, None);
                }
            }
            return;
        }
        let mut record = Vec::new();
        Entry::Will { session: session.number, will }.encode(&mut record);
        self.journal.write_encoded(&record);
    }

    pub(super) fn note_away(&mut self, key: SessionKey, ends_at: Option<Time>, will_at: Option<Time>) {
        let session = self.session(key).number;
        if session > 0 {
            let moment = |at: Time| self.journal.moment(at);
            let entry = Entry::Away { session, ends_at: ends_at.map(moment), will_at: will_at.map(moment) };
            self.journal.note(&entry);
            note_left(&mut self.journal, &self.sessions[key.index() as usize]);
        }
    }

    pub(super) fn note_end(&mut self, key: SessionKey) {
        let session = self.session(key).number;
        if session > 0 {
            self.journal.write(&Entry::End { session });
            self.journal.ended();
        }
    }

    pub(super) fn note_subscribed(
        &mut self,
        key: SessionKey,
        filter: Filter<'_>,
        options: SubscriptionOptions,
    ) {
        let is_exclusive = self.is_exclusive(key, filter);
        if let Some(session) = self.kept(key) {
            let filter = FilterRef { share: filter.share, pattern: filter.pattern };
            self.journal.write(&Entry::Subscribe { session, filter, options, is_exclusive });
            note_wish(&mut self.journal, session, filter, options);
        }
    }

    /// What the event under way comes to rests on what has been written down of a session that is kept.
    pub(super) fn await_kept(&mut self, key: SessionKey) {
        if self.kept(key).is_some() {
            self.journal.await_own();
        }
    }

    pub(super) fn note_unsubscribed(&mut self, key: SessionKey, filter: Filter<'_>) {
        if let Some(session) = self.kept(key) {
            let filter = FilterRef { share: filter.share, pattern: filter.pattern };
            self.journal.write(&Entry::Unsubscribe { session, filter });
        }
    }

    /// A subscription wants its retained messages. At QoS 0 they are not kept, and yet may take the place of what was.
    pub(super) fn start_replay(&mut self, key: SessionKey, replay: Replay, filter: &str) {
        let (node, qos, id) = (replay.node, replay.qos, replay.subscription_id);
        let session = &mut self.sessions[key.index() as usize];
        let (number, is_kept) = (session.number, session.is_kept);
        let outgoing = session.outgoing(&self.backlog);
        let (at, is_behind) = replay.cursor.place();
        let at = (qos > QoS::AtMostOnce).then(|| at.to_owned());
        let was_owed = outgoing.replays.iter().any(|old| is_owed(old, node));
        outgoing.replay(replay);
        let is_gone = was_owed && !outgoing.replays.iter().any(|old| is_owed(old, node));
        if is_kept && (at.is_some() || is_gone) {
            let at = at.as_deref();
            self.journal.write(&Entry::Replay { session: number, filter, at, is_behind, qos, id });
        }
    }

    pub(super) fn note_landed(&mut self, key: SessionKey, packet_id: u16) {
        if let Some(session) = self.kept(key) {
            self.journal.note(&Entry::Land { session, packet_id });
        }
    }

    pub(super) fn note_received(&mut self, key: SessionKey, packet_id: u16, is_known: bool) {
        if let Some(session) = self.kept(key) {
            if is_known {
                self.journal.note(&Entry::Received { session, packet_id });
            }
            self.journal.await_exchange();
        }
    }

    pub(super) fn note_incoming(&mut self, key: SessionKey, packet_id: u16, is_new: bool) {
        if let Some(session) = self.kept(key) {
            if is_new {
                self.journal.note(&Entry::Incoming { session, packet_id });
            }
            self.journal.await_own();
        }
        if !is_new {
            // The answer of then got lost, perhaps while it waited for the disk.
            self.journal.await_all();
        }
    }

    pub(super) fn note_released(&mut self, key: SessionKey, packet_id: u16, was_known: bool) {
        if let Some(session) = self.kept(key) {
            if was_known {
                self.journal.note(&Entry::Released { session, packet_id });
            }
            self.journal.await_exchange();
        }
    }

    /// Deliveries have been taken back to be given to others.
    pub(super) fn note_taken(&mut self, key: SessionKey, taken: &[Taken]) {
        let Some(session) = self.kept(key) else { return };
        for taken in taken.iter().filter(|taken| taken.pending.number > 0) {
            self.journal.note(&match taken.packet_id {
                Some(packet_id) => Entry::Land { session, packet_id },
                None => dropped(session, &taken.pending),
            });
        }
    }

    /// The number of a session that is kept with all it has.
    fn kept(&self, key: SessionKey) -> Option<u64> {
        let session = self.session(key);
        session.is_kept.then_some(session.number)
    }

    /// A checkpoint begins: [`go_on_with_checkpoint`](Self::go_on_with_checkpoint) says again, bit by bit, all that is
    /// kept, and writes the messages of it again that have a number below `boundary`. That is
    /// [`Shared::next_number`](crate::Shared::next_number) at a moment when everything that was handed over before stands
    /// in the part of the journal that is to be dropped.
    ///
    /// With `from` that is what stands before this place, which lies before the beginning of the checkpoint, and messages
    /// are not written again either that earlier checkpoints have written behind it. Without, it is all that stands before
    /// the checkpoint itself; so it has to be after places were lost, which then may be counted anew.
    pub fn begin_checkpoint(&mut self, boundary: u64, from: Option<u64>) {
        self.journal.begin_restating(boundary, from);
        self.checkpoint = Some(Checkpoint::Sessions(0));
        self.note_meta();
    }

    fn note_meta(&mut self) {
        self.journal.note(&Entry::Meta { seed: self.shared.seed() });
    }

    /// What is written down from now on will stand at this place of the journal or further on. Places are counted by who
    /// writes the journal, and do not come again unless the disk fails.
    pub fn set_place(&mut self, place: u64) {
        self.journal.set_place(place);
    }

    /// Goes on with the checkpoint, until about `bytes_max` have come together for the next batch. Returns whether it is
    /// through with it; it is not as long as others have not dealt with what it owed them when it began. Once all shards
    /// are, and their [last batches](Self::last_batch) of that moment are on disk, what was written before the checkpoint
    /// is not needed any longer.
    pub fn go_on_with_checkpoint(&mut self, bytes_max: usize) -> bool {
        let Some(mut checkpoint) = self.checkpoint.take() else { return true };
        while self.journal.bytes() < bytes_max {
            self.journal.begin();
            checkpoint = match checkpoint {
                Checkpoint::Sessions(place) => self.restate_next_session(place, bytes_max),
                Checkpoint::Delayed(from) => self.restate_delayed(from, bytes_max),
                Checkpoint::Facts(after) => self.restate_facts(after, bytes_max),
                Checkpoint::Retained(after) => self.restate_retained(after),
                Checkpoint::History(history, from, until) => self.restate_history(history, from, until),
                Checkpoint::Debts => {
                    if self.journal.is_clear() {
                        // Behind what those have written who have paid.
                        self.note_meta();
                        self.journal.end_restating();
                        return true;
                    }
                    break;
                }
            };
        }
        self.checkpoint = Some(checkpoint);
        false
    }

    fn restate_next_session(&mut self, place: usize, bytes_max: usize) -> Checkpoint {
        let capacity = self.sessions.capacity();
        let Some(place) = (place..capacity).find(|&at| self.sessions.get(at).is_some_and(|s| s.number > 0))
        else {
            return Checkpoint::Delayed(0);
        };
        if let Some(outgoing) = &self.sessions[place].outgoing {
            for pending in outgoing.pending() {
                if self.journal.is_stale(pending.number) {
                    if self.journal.bytes() >= bytes_max {
                        return Checkpoint::Sessions(place);
                    }
                    self.journal.restate(&pending.message, pending.number);
                }
            }
        }
        self.restate_session(SessionKey::new(place as u32));
        Checkpoint::Sessions(place + 1)
    }

    /// Says all that a session is.
    fn restate_session(&mut self, key: SessionKey) {
        let number = self.session(key).number;
        self.journal.note(&Entry::RestateBegin { session: number });
        self.write_connect(key);
        let at = self.address(key);
        let session = &self.sessions[key.index() as usize];
        let (rare, journal) = (session.rare.as_ref(), &mut self.journal);
        if session.connection().is_none() {
            let ends_at = rare.and_then(|rare| rare.ends_at).map(|at| journal.moment(at));
            let will_at = rare.and_then(|rare| rare.will_at).map(|at| journal.moment(at));
            journal.note(&Entry::Away { session: number, ends_at, will_at });
            note_left(journal, session);
        }
        for &node in session.filters.nodes().iter().filter(|_| session.is_kept) {
            let Some((filter, options)) = self.subscriptions.get(key, node) else { continue };
            if is_reply(&filter) {
                // It ends with the connection.
                continue;
            }
            let is_exclusive = rare.is_some_and(|rare| rare.exclusives.contains(&*filter));
            let filter = FilterRef { share: None, pattern: &filter };
            journal.note(&Entry::Subscribe { session: number, filter, options, is_exclusive });
            note_wish(journal, number, filter, options);
        }
        for group in rare.iter().filter(|_| session.is_kept).flat_map(|rare| rare.shares.values()) {
            let Some(options) = group.options(at) else { continue };
            let filter = FilterRef { share: Some(group.name()), pattern: group.filter() };
            journal.note(&Entry::Subscribe { session: number, filter, options, is_exclusive: false });
            note_wish(journal, number, filter, options);
        }
        if let Some(outgoing) = session.outgoing.as_ref().filter(|_| session.is_kept) {
            for replay in outgoing.replays.iter().filter(|replay| replay.qos > QoS::AtMostOnce) {
                let Some((filter, _)) = self.subscriptions.get(key, replay.node) else { continue };
                let (at, is_behind) = replay.cursor.place();
                let (at, qos, id) = (Some(at), replay.qos, replay.subscription_id);
                journal.note(&Entry::Replay { session: number, filter: &filter, at, is_behind, qos, id });
            }
            for standing in outgoing.in_the_air() {
                let packet_id = standing.packet_id;
                let Some(flown) = flown(number, packet_id, standing.pending) else { continue };
                journal.note(&flown);
                if standing.is_received {
                    journal.note(&Entry::Received { session: number, packet_id });
                }
            }
            for pending in outgoing.in_the_queue().filter(|pending| pending.number > 0) {
                journal.note(&Entry::Push { session: number, delivery: stored(pending) });
            }
        }
        for &packet_id in rare.iter().filter(|_| session.is_kept).flat_map(|rare| &rare.incoming) {
            journal.note(&Entry::Incoming { session: number, packet_id });
        }
        journal.note(&Entry::RestateEnd { session: number });
    }

    fn restate_delayed(&mut self, from: u64, bytes_max: usize) -> Checkpoint {
        for (number, kept) in self.delayed.kept_from(from) {
            if self.journal.bytes() >= bytes_max {
                return Checkpoint::Delayed(number);
            }
            self.journal.restate(&kept.message, number);
            let at = self.journal.moment(kept.at);
            self.journal.note(&Entry::Delay { message: number, at, publisher: kept.publisher });
        }
        if self.number > 0 { Checkpoint::Debts } else { Checkpoint::Facts(None) }
    }

    fn restate_retained(&mut self, mut after: Option<String>) -> Checkpoint {
        let shared = self.shared.clone();
        for found in shared.retained.all_behind(&mut after, RETAINED_AT_ONCE) {
            let number = found.origin.number;
            if number > 0 {
                self.journal.restate(&found.message, number);
                self.journal.keep_foreign(&found.message, number, found.origin.shard.into());
                let publisher = found.origin.publisher.map(NonZeroU64::get);
                self.journal.note(&Entry::Retain { version: found.version, publisher, message: number });
            }
        }
        if after.is_none() {
            self.journal.note(&Entry::SweepEnd);
            return self.begin_restating_history();
        }
        Checkpoint::Retained(after)
    }
}

/// Whether these are the retained messages of a subscription, and kept.
pub(super) fn is_owed(replay: &Replay, node: NodeId) -> bool {
    replay.node == node && replay.qos > QoS::AtMostOnce
}

/// That a delivery which waits is not to be made any more, as it is written down.
pub(super) fn dropped(session: u64, pending: &Pending) -> Entry<'_> {
    let group = pending.group.as_ref().map(|group: &Arc<_>| (group.name(), group.filter()));
    Entry::Drop { session, message: pending.number, group }
}

/// That a delivery has been given a packet id, as it is written down, if it is. At QoS 2 the id is in any case: the client
/// keeps it beyond its connection, so that what it stands for must not be forgotten even where the message may be.
pub(super) fn flown(session: u64, packet_id: u16, pending: &Pending) -> Option<Entry<'_>> {
    match (pending.number, pending.qos) {
        (1.., _) => Some(Entry::Fly { session, packet_id, delivery: stored(pending) }),
        (0, QoS::ExactlyOnce) => Some(Entry::Exchange { session, packet_id }),
        _ => None,
    }
}

/// The same for one that has waited.
pub(super) fn launched(session: u64, packet_id: u16, pending: &Pending) -> Option<Entry<'_>> {
    match pending.number {
        0 => flown(session, packet_id, pending),
        message => Some(Entry::Launch { session, packet_id, message }),
    }
}

/// A delivery as it is written down.
pub(super) fn stored(pending: &Pending) -> Stored<'_> {
    Stored {
        message: pending.number,
        qos: pending.qos,
        retain: pending.retain,
        was_tried: pending.was_tried,
        subscription_ids: Ids::Given(&pending.subscription_ids),
        group: pending.group.as_ref().map(|group: &Arc<_>| (group.name(), group.filter())),
    }
}
