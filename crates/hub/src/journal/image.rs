//! What a journal comes to: the state of the hub at its end, put together entry by entry.
//!
//! Old parts of a journal are dropped once a checkpoint has said again what was in them. So the beginning may speak of
//! sessions and messages that are not known: what is said of them is passed over, since whatever of them is still there
//! is said again later.

use super::entry::{Client, Entry, Stored};
use super::facts::Facts;
use super::history::HistoryImage;
use super::known::Messages;
use super::made::{RetainOne as _, countable, message, moment, will_of};
use super::places::{Mark, Noted};
use super::wire::{Reader, Unreadable};
use crate::message::Message;
use crate::session::Will;
use crate::slow_reader::SlowReader;
use crate::subscriptions::{SubscriptionIds, SubscriptionOptions};
use crate::time::Time;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use trefoil_mqtt::QoS;

type Map<K, V> = HashMap<K, V, RandomState>;

/// What a journal comes to.
#[derive(Debug)]
pub struct Image {
    start_ms: u64,
    pub(crate) seed: Option<u64>,
    pub(crate) next_number: u64,
    messages: Messages,
    pub(crate) noted: Noted,
    pub(crate) sessions: Map<u64, KeptSession>,
    pub(crate) retained: Map<Box<str>, KeptRetained>,
    pub(crate) retained_version: u64,
    /// Under way: up to which version everything is said again, and the number of the sweep.
    sweep: Option<u64>,
    sweeps: u64,
    /// Up to this version everything has been said again: what is said of earlier ones from now on is out of date.
    swept: u64,
    pub(crate) delayed: BTreeMap<u64, KeptDelayed>,
    pub(crate) owed: BTreeMap<(u64, Owed), Arc<Message>>,
    pub(crate) history: HistoryImage,
    pub(crate) facts: Facts,
}

/// Who is still to be given a message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Owed {
    /// The sessions of one of so many shards.
    Shard { shard: u64, of: u64 },
    /// A member of a shared subscription.
    Share { name: Box<str>, filter: Box<str> },
}

#[derive(Debug)]
pub(crate) struct KeptSession {
    pub(crate) client_id: Box<str>,
    pub(crate) expiry_s: u32,
    pub(crate) identity: Option<Box<str>>,
    pub(crate) user_name: Option<Box<str>>,
    pub(crate) will: Option<Will>,
    /// Of a client that speaks JSON: by which the session is taken up from another address.
    pub(crate) token: Option<[u8; 16]>,
    pub(crate) slow_reader: SlowReader,
    pub(crate) is_connected: bool,
    pub(crate) ends_at: Option<Time>,
    pub(crate) will_at: Option<Time>,
    /// When its client went, on the clock of [`Time`], which begins with the start of the hub: it may be before that.
    pub(crate) left_ms: Option<i64>,
    pub(crate) subscriptions: Map<KeptFilter, KeptSubscription>,
    pub(crate) incoming: HashSet<u16, RandomState>,
    pub(crate) queue: VecDeque<KeptDelivery>,
    /// In the order in which they were sent.
    pub(crate) flights: BTreeMap<u64, KeptFlight>,
    by_packet_id: Map<u16, u64>,
    flown: u64,
    /// The last packet id that was given out.
    pub(crate) packet_id: u16,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct KeptFilter {
    pub(crate) share: Option<Box<str>>,
    pub(crate) pattern: Box<str>,
}

#[derive(Clone, Debug)]
pub(crate) struct KeptSubscription {
    pub(crate) options: SubscriptionOptions,
    pub(crate) is_exclusive: bool,
    /// The retained messages that are owed; none if none are.
    pub(crate) replay: Option<KeptReplay>,
}

/// Retained messages that are owed to a subscription.
#[derive(Clone, Debug)]
pub(crate) struct KeptReplay {
    /// From where on, and whether from behind there.
    pub(crate) at: String,
    pub(crate) is_behind: bool,
    pub(crate) qos: QoS,
    pub(crate) id: Option<NonZeroU32>,
}

#[derive(Debug)]
pub(crate) struct KeptDelivery {
    pub(crate) message: Arc<Message>,
    pub(crate) number: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) was_tried: bool,
    pub(crate) subscription_ids: SubscriptionIds,
    pub(crate) group: Option<(Box<str>, Box<str>)>,
}

#[derive(Debug)]
pub(crate) struct KeptFlight {
    pub(crate) packet_id: u16,
    /// None: the message was not kept, and all that is left of the exchange is its end.
    pub(crate) delivery: Option<KeptDelivery>,
    pub(crate) is_received: bool,
}

#[derive(Debug)]
pub(crate) struct KeptRetained {
    pub(crate) version: u64,
    pub(crate) publisher: Option<NonZeroU64>,
    /// None: there is none any more. It is remembered since what was said earlier may stand later.
    pub(crate) message: Option<(u64, Arc<Message>)>,
    sweep: u64,
}

#[derive(Debug)]
pub(crate) struct KeptDelayed {
    pub(crate) message: Arc<Message>,
    pub(crate) at: Time,
    pub(crate) publisher: u64,
}

/// How much an image holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ImageSize {
    /// Sessions.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// What waits for them or is in flight.
    pub deliveries: usize,
    /// Retained messages.
    pub retained: usize,
    /// Delayed messages.
    pub delayed: usize,
    /// Messages in the histories of topics.
    pub history: usize,
}

impl Image {
    /// Of an empty journal. `start_ms` is from 1970 to the zero of [`Time`], as the hub is started now.
    pub fn new(start_ms: u64) -> Image {
        Image {
            start_ms,
            seed: None,
            next_number: 1,
            messages: Messages::default(),
            noted: Noted::default(),
            sessions: Map::default(),
            retained: Map::default(),
            retained_version: 0,
            sweep: None,
            sweeps: 0,
            swept: 0,
            delayed: BTreeMap::new(),
            owed: BTreeMap::new(),
            history: HistoryImage::default(),
            facts: Facts::default(),
        }
    }

    /// The seed of the hub that has written the journal; the next one has to have the same.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// Beyond all numbers in the journal.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// How much it holds.
    pub fn size(&self) -> ImageSize {
        let of = |count: fn(&KeptSession) -> usize| self.sessions.values().map(count).sum();
        ImageSize {
            sessions: self.sessions.len(),
            subscriptions: of(|s| s.subscriptions.len()),
            deliveries: of(|s| s.queue.len() + s.flights.len()),
            retained: self.retained.values().filter(|r| r.message.is_some()).count(),
            delayed: self.delayed.len(),
            history: self.history.messages(),
        }
    }

    /// Makes a message known, as if the journal had spoken of it.
    pub(crate) fn know(&mut self, number: u64, message: Arc<Message>) {
        self.messages.know(number, message);
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// When an entry in it is none of this version.
    pub fn read(&mut self, record: &[u8]) -> Result<(), Unreadable> {
        self.read_without(0, record, &[])
    }

    /// Takes the next record, which stands at this place of the journal, counted as whoever writes it does.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_at(&mut self, place: u64, record: &[u8]) -> Result<(), Unreadable> {
        self.read_without(place, record, &[])
    }

    /// The same without entries of these kinds, so that tests can show that each kind is needed.
    #[doc(hidden)]
    pub fn read_without(&mut self, place: u64, record: &[u8], kinds: &[u8]) -> Result<(), Unreadable> {
        self.noted.next_record(place, record.len(), self.next_number);
        let mut rest = Reader(record);
        let mut restated = None;
        while let Some(kind) = rest.0.first() {
            let is_ignored = kinds.contains(kind);
            let entry = Entry::decode(&mut rest)?;
            if is_ignored {
                continue;
            }
            match entry {
                Entry::RestateBegin { session } => restated = Some((session, None)),
                Entry::RestateEnd { .. } => {
                    if let Some((number, Some(session))) = restated.take() {
                        self.sessions.insert(number, session);
                    }
                }
                entry => self.take(entry, &mut restated)?,
            }
        }
        self.messages.forget_some();
        Ok(())
    }

    /// Some of the places of what was read with [`read_at`](Self::read_at), in order.
    pub fn marks(&self) -> &[Mark] {
        &self.noted.marks
    }

    /// The same that looks all the time for messages that are not needed, and notes the place of every record, so that
    /// tests can show that nothing comes to be missing by that.
    #[doc(hidden)]
    pub fn exacting(mut self) -> Image {
        (self.messages, self.noted.step_bytes) = (Messages::exacting(), 0);
        self
    }

    fn take(
        &mut self,
        entry: Entry<'_>,
        restated: &mut Option<(u64, Option<KeptSession>)>,
    ) -> Result<(), Unreadable> {
        match entry {
            Entry::Meta { seed } => self.seed = Some(seed),
            Entry::Message { number, is_restated, body } => {
                self.note_number(number)?;
                self.noted.message(number);
                let start_ms = self.start_ms;
                self.messages.add(number, is_restated, || message(&body, start_ms))?;
            }
            Entry::Owed { message, shard, shards } => {
                self.owe(message, Owed::Shard { shard, of: shards.max(1) });
            }
            Entry::Paid { message, shard } => {
                self.owed
                    .retain_one(message, |owed| matches!(owed, Owed::Shard { shard: s, .. } if *s == shard));
            }
            Entry::OwedShare { message, name, filter } => {
                self.owe(message, Owed::Share { name: name.into(), filter: filter.into() });
            }
            Entry::PaidShare { message, name, filter } => {
                self.owed.remove(&(message, Owed::Share { name: name.into(), filter: filter.into() }));
            }
            Entry::Retain { version, publisher, message } => {
                self.retain(countable(version)?, publisher, message);
            }
            Entry::Unretain { version, topic } => {
                let version = countable(version)?;
                self.set_retained(
                    topic,
                    KeptRetained { version, publisher: None, message: None, sweep: self.sweeps },
                );
            }
            Entry::SweepBegin { version } => {
                // Changes up to there may not have been handed over, and yet nothing else may have their places.
                self.retained_version = self.retained_version.max(countable(version)?);
                self.sweeps += 1;
                self.sweep = Some(version);
            }
            Entry::SweepEnd => {
                if let Some(version) = self.sweep.take() {
                    let sweep = self.sweeps;
                    self.swept = self.swept.max(version);
                    self.retained.retain(|_, r| r.version > version || r.sweep == sweep);
                }
            }
            Entry::Delay { message, at, publisher } => {
                if let Some(known) = self.messages.get(message).cloned() {
                    let at = moment(at, self.start_ms);
                    self.delayed.insert(message, KeptDelayed { message: known, at, publisher });
                }
            }
            Entry::Published { message } => drop(self.delayed.remove(&message)),
            Entry::Fact(fact) => self.facts.set(fact),
            Entry::End { session } => {
                self.note_number(session)?;
                self.sessions.remove(&session);
            }
            Entry::Connect { session, client, will } => {
                self.note_number(session)?;
                let will = will.as_ref().map(|will| will_of(will, self.start_ms)).transpose()?;
                match restated {
                    Some((_, shadow)) => *shadow = Some(KeptSession::new(client, will)),
                    None => match self.sessions.get_mut(&session) {
                        Some(known) => known.come_back(client, will),
                        None => drop(self.sessions.insert(session, KeptSession::new(client, will))),
                    },
                }
            }
            Entry::History(entry) => self.history.take(&entry, &self.messages)?,
            of_a_session => self.take_of_session(&of_a_session, restated)?,
        }
        Ok(())
    }

    fn take_of_session(
        &mut self,
        entry: &Entry<'_>,
        restated: &mut Option<(u64, Option<KeptSession>)>,
    ) -> Result<(), Unreadable> {
        let number = match entry {
            Entry::Away { session, .. }
            | Entry::Will { session, .. }
            | Entry::Subscribe { session, .. }
            | Entry::Unsubscribe { session, .. }
            | Entry::Replay { session, .. }
            | Entry::Push { session, .. }
            | Entry::Fly { session, .. }
            | Entry::Launch { session, .. }
            | Entry::Drop { session, .. }
            | Entry::Tried { session }
            | Entry::Exchange { session, .. }
            | Entry::Received { session, .. }
            | Entry::Land { session, .. }
            | Entry::Incoming { session, .. }
            | Entry::Released { session, .. }
            | Entry::Left { session, .. }
            | Entry::Token { session, .. }
            | Entry::SlowReader { session, .. } => *session,
            _ => return Ok(()),
        };
        let shadow = restated.as_mut().and_then(|(_, shadow)| shadow.as_mut());
        let Some(session) = shadow.or_else(|| self.sessions.get_mut(&number)) else {
            // It is to be said again with all it has, and a message that stands here need not be written again for that.
            if let Entry::Push { delivery, .. } | Entry::Fly { delivery, .. } = entry {
                self.messages.hold(delivery.message);
            }
            return Ok(());
        };
        session.take(entry, &self.messages, self.start_ms)
    }

    fn note_number(&mut self, number: u64) -> Result<(), Unreadable> {
        self.next_number = self.next_number.max(countable(number)? + 1);
        Ok(())
    }

    fn owe(&mut self, message: u64, owed: Owed) {
        if let Some(known) = self.messages.get(message) {
            self.owed.insert((message, owed), known.clone());
        }
    }

    fn retain(&mut self, version: u64, publisher: Option<u64>, number: u64) {
        let Some(message) = self.messages.get(number).cloned() else { return };
        let topic = message.topic.clone();
        let publisher = publisher.and_then(NonZeroU64::new);
        let sweep = self.sweeps;
        self.set_retained(
            &topic,
            KeptRetained { version, publisher, message: Some((number, message)), sweep },
        );
    }

    fn set_retained(&mut self, topic: &str, retained: KeptRetained) {
        self.retained_version = self.retained_version.max(retained.version);
        if self.sweep.is_none() && retained.version <= self.swept {
            return;
        }
        match self.retained.get_mut(topic) {
            // Shards hand over what they write in another order than that in which they changed the table.
            Some(known) if known.version > retained.version => {}
            Some(known) => *known = retained,
            None => drop(self.retained.insert(topic.into(), retained)),
        }
    }
}

impl KeptSession {
    fn new(client: Client<'_>, will: Option<Will>) -> KeptSession {
        KeptSession {
            client_id: client.client_id.into(),
            expiry_s: client.expiry_s,
            identity: client.identity.map(Into::into),
            user_name: client.user_name.map(Into::into),
            will,
            token: None,
            slow_reader: SlowReader::default(),
            is_connected: true,
            ends_at: None,
            will_at: None,
            left_ms: None,
            subscriptions: Map::default(),
            incoming: HashSet::default(),
            queue: VecDeque::new(),
            flights: BTreeMap::new(),
            by_packet_id: Map::default(),
            flown: 0,
            packet_id: 0,
        }
    }

    fn come_back(&mut self, client: Client<'_>, will: Option<Will>) {
        self.expiry_s = client.expiry_s;
        self.identity = client.identity.map(Into::into);
        self.user_name = client.user_name.map(Into::into);
        self.will = will;
        (self.slow_reader, self.token) = (SlowReader::default(), None);
        (self.is_connected, self.ends_at, self.will_at, self.left_ms) = (true, None, None, None);
    }

    fn take(&mut self, entry: &Entry<'_>, messages: &Messages, start_ms: u64) -> Result<(), Unreadable> {
        match entry {
            Entry::Away { ends_at, will_at, .. } => {
                self.is_connected = false;
                self.left_ms = None;
                self.ends_at = ends_at.map(|at| moment(at, start_ms));
                self.will_at = will_at.map(|at| moment(at, start_ms));
                if will_at.is_none() {
                    self.will = None;
                }
            }
            Entry::Will { will, .. } => {
                self.will = will.as_ref().map(|will| will_of(will, start_ms)).transpose()?;
                self.will_at = None;
            }
            Entry::Subscribe { filter, options, is_exclusive, .. } => {
                let filter =
                    KeptFilter { share: filter.share.map(Into::into), pattern: filter.pattern.into() };
                let (options, is_exclusive) = (*options, *is_exclusive);
                let replay = self.subscriptions.get(&filter).and_then(|known| known.replay.clone());
                self.subscriptions.insert(filter, KeptSubscription { options, is_exclusive, replay });
            }
            Entry::Unsubscribe { filter, .. } => {
                let filter =
                    KeptFilter { share: filter.share.map(Into::into), pattern: filter.pattern.into() };
                self.subscriptions.remove(&filter);
            }
            Entry::Replay { filter, at, is_behind, qos, id, .. } => {
                let filter = KeptFilter { share: None, pattern: (*filter).into() };
                if let Some(subscription) = self.subscriptions.get_mut(&filter) {
                    let (is_behind, qos, id) = (*is_behind, *qos, *id);
                    subscription.replay = at.map(|at| KeptReplay { at: at.to_owned(), is_behind, qos, id });
                }
            }
            Entry::Push { delivery, .. } => self.queue.extend(kept(delivery, messages)),
            Entry::Fly { packet_id, delivery, .. } => {
                if let Some(delivery) = kept(delivery, messages) {
                    self.fly(*packet_id, Some(delivery));
                }
            }
            Entry::Launch { packet_id, message, .. } => {
                if let Some(delivery) = self.unqueue(|delivery| delivery.number == *message) {
                    self.fly(*packet_id, Some(delivery));
                }
            }
            Entry::Exchange { packet_id, .. } => self.fly(*packet_id, None),
            Entry::Tried { .. } => self.mark_tried(),
            Entry::Drop { message, group, .. } => {
                let group_of = |delivery: &KeptDelivery| {
                    delivery.group.as_ref().map(|(name, filter)| (&**name, &**filter)) == *group
                };
                self.unqueue(|delivery| delivery.number == *message && group_of(delivery));
            }
            Entry::Received { packet_id, .. } => {
                if let Some(flight) = self.by_packet_id.get(packet_id).and_then(|at| self.flights.get_mut(at))
                {
                    flight.is_received = true;
                }
            }
            Entry::Land { packet_id, .. } => {
                if let Some(at) = self.by_packet_id.remove(packet_id) {
                    self.flights.remove(&at);
                }
            }
            Entry::Incoming { packet_id, .. } => drop(self.incoming.insert(*packet_id)),
            Entry::Released { packet_id, .. } => drop(self.incoming.remove(packet_id)),
            Entry::Left { at, .. } => self.left_ms = at.checked_signed_diff(start_ms),
            Entry::Token { token, .. } => self.token = Some(*token),
            Entry::SlowReader { filter: None, policy, .. } => self.slow_reader = *policy,
            Entry::SlowReader { filter: Some(filter), policy, .. } => {
                let filter =
                    KeptFilter { share: filter.share.map(Into::into), pattern: filter.pattern.into() };
                if let Some(subscription) = self.subscriptions.get_mut(&filter) {
                    subscription.options.slow_reader = Some(*policy);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fly(&mut self, packet_id: u16, delivery: Option<KeptDelivery>) {
        self.flown += 1;
        self.packet_id = packet_id;
        self.by_packet_id.insert(packet_id, self.flown);
        let is_received = delivery.is_none();
        self.flights.insert(self.flown, KeptFlight { packet_id, delivery, is_received });
    }

    /// What waits at QoS 1 may have been sent. At QoS 2 nothing is before it is written down.
    pub(crate) fn mark_tried(&mut self) {
        let at_least_once = self.queue.iter_mut().filter(|delivery| delivery.qos == QoS::AtLeastOnce);
        at_least_once.for_each(|delivery| delivery.was_tried = true);
    }

    fn unqueue(&mut self, is_it: impl Fn(&KeptDelivery) -> bool) -> Option<KeptDelivery> {
        let at = self.queue.iter().position(is_it)?;
        self.queue.remove(at)
    }
}

fn kept(delivery: &Stored<'_>, messages: &Messages) -> Option<KeptDelivery> {
    let message = messages.get(delivery.message)?.clone();
    Some(KeptDelivery {
        message,
        number: delivery.message,
        qos: delivery.qos,
        retain: delivery.retain,
        was_tried: delivery.was_tried,
        subscription_ids: delivery.subscription_ids.as_slice().into(),
        group: delivery.group.map(|(name, filter)| (name.into(), filter.into())),
    })
}
