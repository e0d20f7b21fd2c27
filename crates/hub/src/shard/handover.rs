//! Sessions whose connections go to another process and stay open: what that process has to know of them, and how it goes
//! on with it. The client notices nothing, so nothing happens here that a CONNECT would bring about: no will is published,
//! nothing that has been sent is sent again, packet ids and what they stand for stay as they are.
//!
//! A session that is kept comes to the other process by the journal. What waits for it or is in flight is then only named
//! here by its number. All others are written down as a whole, in the form that they would have in a journal.

use super::keep::stored;
use super::restore::{forgotten, pending};
use super::{Ending, Shard};
use crate::journal::{Body, Client, Entry, FilterRef, Image, KeptDelivery, KeptSession, Stored, WillBody};
use crate::journal::{Reader, put_number};
use crate::key::{ConnectionKey, SessionKey};
use crate::message::Message;
use crate::outgoing::{Outgoing, Pending};
use crate::outlet::Outlet;
use crate::presence::ClientKind;
use crate::session::Link;
use crate::shared::Shared;
use crate::slow_reader::SlowReader;
use crate::subscriptions::SubscriptionOptions;
use crate::time::Time;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// What comes first, so that another version does not take it for what it is not.
const FORMAT: u64 = 1;

/// The number of the session in what is written down here, in which there is no other.
const SESSION: u64 = 1;

/// Why a session cannot go on here with its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandoverError {
    /// It should have come by the journal, and has not, or not with all that is in flight.
    NotKept,
    /// There is another session with its client id.
    Taken,
    /// What was written down of it is not of this version.
    Unreadable,
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandoverError::NotKept => "the store does not have its session as it was",
            HandoverError::Taken => "there is another session with its client id",
            HandoverError::Unreadable => "what came with it is of another version",
        })
    }
}

impl std::error::Error for HandoverError {}

impl Shard {
    /// Writes down what another process has to know of a session to go on with its connection; none if that takes more
    /// than `bytes_max`, or the session follows histories. `start_ms` is from 1970 to the zero of [`Time`].
    pub fn write_handover(&self, key: SessionKey, start_ms: u64, bytes_max: usize) -> Option<Vec<u8>> {
        let session = self.session(key);
        if session.rare.as_ref().is_some_and(|rare| rare.follower.is_some()) {
            return None;
        }
        let mut entries = Vec::new();
        self.write_session(key, start_ms, &mut entries);
        let (mut numbers, mut unsent, mut next_packet_id) = (Vec::new(), Vec::new(), 1);
        if let Some(outgoing) = &session.outgoing {
            next_packet_id = outgoing.next_packet_id();
            for standing in outgoing.in_the_air() {
                let delivery = write_message(standing.pending, start_ms, &mut numbers, &mut entries);
                Entry::Fly { session: SESSION, packet_id: standing.packet_id, delivery }.encode(&mut entries);
                if standing.is_received {
                    Entry::Received { session: SESSION, packet_id: standing.packet_id }.encode(&mut entries);
                }
                if !standing.is_sent {
                    unsent.push(u64::from(standing.packet_id));
                }
                if entries.len() > bytes_max {
                    return None;
                }
            }
            for pending in outgoing.in_the_queue() {
                let delivery = write_message(pending, start_ms, &mut numbers, &mut entries);
                Entry::Push { session: SESSION, delivery }.encode(&mut entries);
                if entries.len() > bytes_max {
                    return None;
                }
            }
        }
        let mut record = Vec::with_capacity(entries.len() + 16);
        let fixed =
            [FORMAT, u64::from(session.is_kept), u64::from(session.window_max), u64::from(next_packet_id)];
        fixed.into_iter().for_each(|number| put_number(number, &mut record));
        for list in [&numbers, &unsent] {
            put_number(list.len() as u64, &mut record);
            list.iter().for_each(|&number| put_number(number, &mut record));
        }
        record.append(&mut entries);
        (record.len() <= bytes_max).then_some(record)
    }

    /// Everything but the deliveries.
    fn write_session(&self, key: SessionKey, start_ms: u64, out: &mut Vec<u8>) {
        let at = self.address(key);
        let (session, number) = (self.session(key), SESSION);
        let rare = session.rare.as_ref();
        let client = Client {
            client_id: &session.client_id,
            expiry_s: session.expiry_s,
            identity: rare.and_then(|rare| rare.identity.as_deref()),
            user_name: rare.and_then(|rare| rare.user_name.as_deref()),
        };
        let will = rare.and_then(|rare| rare.will.as_ref());
        let will = will.map(|will| WillBody::of(will, |at| moment(at, start_ms)));
        Entry::Connect { session: number, client, will }.encode(out);
        if session.slow_reader != SlowReader::default() {
            let policy = session.slow_reader;
            Entry::SlowReader { session: number, filter: None, policy }.encode(out);
        }
        let replays = session.outgoing.iter().flat_map(|outgoing| &outgoing.replays);
        for &node in session.filters.nodes() {
            // Those of a session that is kept come by the journal.
            if session.is_kept && !replays.clone().any(|replay| replay.node == node) {
                continue;
            }
            let Some((filter, options)) = self.subscriptions.get(key, node) else { continue };
            let is_exclusive = rare.is_some_and(|rare| rare.exclusives.contains(&*filter));
            write_subscription(FilterRef { share: None, pattern: &filter }, options, is_exclusive, out);
        }
        for group in rare.iter().filter(|_| !session.is_kept).flat_map(|rare| rare.shares.values()) {
            let Some(options) = group.options(at) else { continue };
            let filter = FilterRef { share: Some(group.name()), pattern: group.filter() };
            write_subscription(filter, options, false, out);
        }
        for replay in replays {
            let Some((filter, _)) = self.subscriptions.get(key, replay.node) else { continue };
            let (at, is_behind) = replay.cursor.place();
            let (at, qos, id) = (Some(at), replay.qos, replay.subscription_id);
            Entry::Replay { session: number, filter: &filter, at, is_behind, qos, id }.encode(out);
        }
        for &packet_id in rare.iter().flat_map(|rare| &rare.incoming) {
            Entry::Incoming { session: number, packet_id }.encode(out);
        }
    }

    /// The connection of a session goes to another process, and with it what has been
    /// [written down](Self::write_handover). What is kept stays in the journal, as of a client that is away. Nobody else is
    /// given what was meant for it.
    pub fn let_go(&mut self, now: Time, key: SessionKey, out: &mut impl Outlet) {
        let session = self.session_mut(key);
        if !session.is_kept {
            // It ends here, and has taken with it all that it had.
            (session.expiry_s, session.outgoing) = (0, None);
        }
        self.disconnect(now, key, Ending::HandedOver, out);
    }

    /// Goes on with a session and its connection as another process has [written them down](Self::write_handover). To be
    /// called before any client can come. The caller then calls [`resume`](Self::resume).
    ///
    /// # Errors
    /// When the session cannot go on; nothing has changed then, and the client has to connect anew.
    pub fn take_over(
        &mut self,
        client_id: &str,
        connection: ConnectionKey,
        tag: NonZeroU32,
        start_ms: u64,
        record: &[u8],
    ) -> Result<SessionKey, HandoverError> {
        let Header { is_kept, window_max, next_packet_id, numbers, unsent, entries } = Header::read(record)?;
        let known = self.find(client_id);
        if known.is_some_and(|key| self.session(key).link.is_some() || !is_kept) {
            return Err(HandoverError::Taken);
        }
        let restored = known.filter(|&key| self.session(key).is_kept);
        if is_kept && restored.is_none() {
            return Err(HandoverError::NotKept);
        }
        let image = self.read_entries(restored, start_ms, &numbers, entries)?;
        self.begin_event();
        let key = restored.unwrap_or_else(|| self.open(client_id));
        self.connected += 1;
        let inflight_max = self.shared.limits.inflight_max;
        let session = &mut self.sessions[key.index() as usize];
        (session.link, session.kind) = (Some(Link { key: connection, tag }), ClientKind::Mqtt);
        session.expiry_s = image.expiry_s;
        session.window_max = window_max.clamp(1, inflight_max);
        session.slow_reader = image.slow_reader;
        let is_rare = image.will.is_some()
            || image.identity.is_some()
            || image.user_name.is_some()
            || !image.incoming.is_empty();
        if is_rare || session.rare.is_some() {
            let rare = session.rare();
            (rare.will_at, rare.ends_at) = (None, None);
            rare.identity = image.identity.as_deref().map(Into::into);
            (rare.will, rare.user_name) = (image.will, image.user_name);
            rare.incoming = image.incoming.iter().copied().collect();
        }
        let restored = session.outgoing.take();
        for (filter, subscription) in &image.subscriptions {
            if !is_kept || subscription.replay.is_some() {
                self.restore_subscription(key, filter, subscription);
            }
        }
        self.set_online(key, true);
        let numbered = Numbered(&numbers);
        let deliveries = (image.flights.into_values(), image.queue);
        let shared = self.shared.clone();
        let session = &mut self.sessions[key.index() as usize];
        let outgoing = session.outgoing(&self.backlog);
        for flight in deliveries.0 {
            if let Some(delivery) = flight.delivery {
                let pending = numbered.pending(delivery, &shared);
                outgoing.restore_flight(flight.packet_id, pending, flight.is_received);
            }
        }
        outgoing.go_on_as_sent(next_packet_id, &unsent);
        let mut waiting = HashMap::<u64, usize>::new();
        for pending in restored.iter().flat_map(|restored| restored.in_the_queue()) {
            *waiting.entry(pending.number).or_default() += 1;
        }
        let mut came_along = HashMap::<u64, usize>::new();
        for delivery in deliveries.1 {
            let pending = numbered.pending(delivery, &shared);
            if pending.number > 0 {
                match waiting.get_mut(&pending.number) {
                    Some(count) if *count > 0 => *count -= 1,
                    // It has given way since to what came then, or to limits that are lower here.
                    _ => continue,
                }
                *came_along.entry(pending.number).or_default() += 1;
            }
            outgoing.push(pending);
        }
        // What has come since the other process wrote it down.
        for pending in restored.iter().flat_map(|restored| restored.in_the_queue()) {
            match came_along.get_mut(&pending.number) {
                Some(count) if *count > 0 => *count -= 1,
                _ => outgoing.push(pending.clone()),
            }
        }
        session.slim();
        self.note_connect(key, true);
        Ok(key)
    }

    fn read_entries(
        &self,
        restored: Option<SessionKey>,
        start_ms: u64,
        numbers: &[u64],
        entries: &[u8],
    ) -> Result<KeptSession, HandoverError> {
        let mut image = Image::new(start_ms);
        let outgoing = restored.and_then(|key| self.session(key).outgoing.as_deref());
        let by_number = outgoing.map(messages).unwrap_or_default();
        for (place, number) in numbers.iter().enumerate().filter(|(_, number)| **number > 0) {
            let message = by_number.get(number).cloned().unwrap_or_else(|| forgotten().message);
            image.know(place as u64 + 1, message);
        }
        image.read(entries).map_err(|_| HandoverError::Unreadable)?;
        let session = image.sessions.remove(&SESSION).ok_or(HandoverError::Unreadable)?;
        // What waited may have been dropped since, but what is in flight stays until it is acknowledged.
        let mut in_flight = session.flights.values().filter_map(|flight| flight.delivery.as_ref());
        let is_there = |number| number == 0 || by_number.contains_key(&number);
        match in_flight.all(|delivery| is_there(Numbered(numbers).number(delivery))) {
            true => Ok(session),
            false => Err(HandoverError::NotKept),
        }
    }
}

fn write_subscription(
    filter: FilterRef<'_>,
    options: SubscriptionOptions,
    is_exclusive: bool,
    out: &mut Vec<u8>,
) {
    Entry::Subscribe { session: SESSION, filter, options, is_exclusive }.encode(out);
    if let Some(policy) = options.slow_reader {
        Entry::SlowReader { session: SESSION, filter: Some(filter), policy }.encode(out);
    }
}

/// The messages of deliveries that are kept, by their numbers.
fn messages(outgoing: &Outgoing) -> HashMap<u64, Arc<Message>> {
    let kept = outgoing.pending().filter(|pending| pending.number > 0);
    kept.map(|pending| (pending.number, pending.message.clone())).collect()
}

/// Puts the number of a delivery's message on the list, writes the message down unless that number says all, and gives the
/// delivery as it is written down, with its place on the list.
fn write_message<'a>(
    pending: &'a Pending,
    start_ms: u64,
    numbers: &mut Vec<u64>,
    out: &mut Vec<u8>,
) -> Stored<'a> {
    numbers.push(pending.number);
    let number = numbers.len() as u64;
    if pending.number == 0 {
        let body = Body::of(&pending.message, |at| moment(at, start_ms));
        Entry::Message { number, is_restated: true, body }.encode(out);
    }
    Stored { message: number, ..stored(pending) }
}

fn moment(at: Time, start_ms: u64) -> u64 {
    start_ms.saturating_add(at.as_ms())
}

/// Gives deliveries the numbers back by which their messages are kept.
struct Numbered<'a>(&'a [u64]);

impl Numbered<'_> {
    fn number(&self, delivery: &KeptDelivery) -> u64 {
        let place = usize::try_from(delivery.number).unwrap_or(0).wrapping_sub(1);
        self.0.get(place).copied().unwrap_or(0)
    }

    fn pending(&self, delivery: KeptDelivery, shared: &Shared) -> Pending {
        Pending { number: self.number(&delivery), ..pending(delivery, shared) }
    }
}

/// What stands before the entries.
struct Header<'a> {
    is_kept: bool,
    window_max: u16,
    next_packet_id: u16,
    /// By which the messages of the deliveries are kept, 0 for those that are not.
    numbers: Vec<u64>,
    /// What is in flight and has not been sent on this connection.
    unsent: HashSet<u16>,
    entries: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(record: &'a [u8]) -> Result<Header<'a>, HandoverError> {
        let mut rest = Reader(record);
        let mut read = || -> Result<Header<'a>, crate::Unreadable> {
            if rest.number()? != FORMAT {
                return Err(crate::Unreadable("its format is of another version"));
            }
            let (is_kept, window_max, next_packet_id) =
                (rest.number()? > 0, rest.small()?, rest.small::<u16>()?);
            let numbers = (0..rest.number()?).map(|_| rest.number()).collect::<Result<_, _>>()?;
            let unsent = (0..rest.number()?).map(|_| rest.small()).collect::<Result<_, _>>()?;
            Ok(Header { is_kept, window_max, next_packet_id, numbers, unsent, entries: rest.0 })
        };
        read().map_err(|_| HandoverError::Unreadable)
    }
}
