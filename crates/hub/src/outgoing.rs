//! What a session has yet to bring to its client: deliveries in flight, those that wait for a place in the window,
//! and retained messages still to be fetched.

mod handover;
mod waiting;

use crate::backlog::{Backlog, Share};
use crate::group::Group;
use crate::index::NodeId;
use crate::message::Message;
use crate::retained::Cursor;
use crate::slow_reader::Newest;
use crate::subscriptions::SubscriptionIds;
use crate::time::Time;
use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// Packet ids go from 1 to this and start again.
const PACKET_IDS: usize = 65_535;

/// From so many lookups of retained messages on those that were asked for again are looked for.
const REPLAYS_GATHERED: usize = 16;

/// A message for one session, and how it is to be delivered.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) message: Arc<Message>,
    /// By what the message is written down, if this delivery is; else 0.
    pub(crate) number: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// It may have been sent before the hub was started, and nothing is known of that.
    pub(crate) was_tried: bool,
    pub(crate) subscription_ids: SubscriptionIds,
    /// The shared subscription that it came by.
    pub(crate) group: Option<Arc<Group>>,
}

/// A subscription's retained messages that have not been looked up yet.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) cursor: Cursor,
    /// Which subscription it is for.
    pub(crate) node: NodeId,
    /// It was asked for on an earlier connection.
    pub(crate) is_left_over: bool,
    pub(crate) qos: QoS,
    pub(crate) subscription_id: Option<NonZeroU32>,
}

/// Deliveries of one session, in order.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Deliveries that have a packet id, in order of their ids, which follow each other from `first_id` on; so an id
    /// says where its delivery stands. Acknowledged ones leave a hole until they are the first.
    flights: VecDeque<Option<Flight>>,
    first_id: u16,
    /// The PUBREL packets of those before this place have been sent on this connection, as far as they are owed.
    rerelease_at: usize,
    /// Those before this place have been sent on this connection.
    resend_at: usize,
    /// How many have been sent on this connection and wait for the last acknowledgement.
    outstanding: usize,
    queue: VecDeque<Pending>,
    /// Where the newest of each topic waits, from when somebody first asks until nothing waits.
    newest: Option<Box<Newest>>,
    /// Counts along what is in flight and what waits.
    backlog: Share,
    pub(crate) replays: VecDeque<Replay>,
    /// The shard goes on with the replays when it has time.
    pub(crate) is_replaying: bool,
}

#[derive(Debug)]
struct Flight {
    pending: Pending,
    state: State,
    /// On this connection.
    is_sent: bool,
    /// The receiver can have seen it, on this connection or on an earlier one.
    was_seen: bool,
}

impl Flight {
    /// Whether another member of its group may get it: QoS 2 is completed with whom it was sent to [MQTT-4.8.2-4].
    fn may_move(&self) -> bool {
        self.pending.qos == QoS::AtLeastOnce && self.state == State::Published
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    /// Sent; the receiver owes a PUBACK or PUBREC.
    Published,
    /// The receiver has it; it owes a PUBCOMP.
    Released,
}

/// A delivery that was taken back, so that another member of its group may get it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) pending: Pending,
    /// The packet id that it had been given.
    pub(crate) packet_id: Option<u16>,
}

/// What goes out next.
pub(crate) enum Next<'a> {
    Publish {
        packet_id: u16,
        /// It has been given the packet id just now.
        is_new: bool,
        dup: bool,
        pending: &'a Pending,
    },
    /// At QoS 0 it leaves the queue with this.
    PublishOnce(Pending),
    Release {
        packet_id: u16,
    },
}

impl Default for Outgoing {
    fn default() -> Self {
        Outgoing {
            flights: VecDeque::new(),
            first_id: 1,
            rerelease_at: 0,
            resend_at: 0,
            outstanding: 0,
            queue: VecDeque::new(),
            newest: None,
            backlog: Share::default(),
            replays: VecDeque::new(),
            is_replaying: false,
        }
    }
}

impl Outgoing {
    /// For a session of the shard that counts in `backlog`.
    pub(crate) fn new(backlog: &Arc<Backlog>) -> Outgoing {
        Outgoing { backlog: Share::new(backlog.clone()), ..Outgoing::default() }
    }

    /// Whether nothing is under way or waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.queue.is_empty() && self.replays.is_empty()
    }

    /// Whether no delivery has ever had a packet id.
    pub(crate) fn was_never_used(&self) -> bool {
        self.flights.capacity() == 0 && self.first_id == 1
    }

    /// How many have been sent, now or on an earlier connection, and not acknowledged.
    pub(crate) fn in_flight(&self) -> usize {
        self.backlog.in_flight()
    }

    /// Whether a delivery may go out now without overtaking another [MQTT-4.6.0-6] [v3 MQTT-4.6.0-5] [v3 MQTT-4.6.0-6].
    pub(crate) fn is_clear(&self, window: usize) -> bool {
        self.queue.is_empty()
            && self.resend_at == self.flights.len()
            && self.outstanding < window
            && self.flights.len() < PACKET_IDS
    }

    /// Gives a delivery a packet id that is free [MQTT-2.2.1-4] [v3 MQTT-2.3.1-4] and takes it as sent. [`is_clear`](Self::is_clear) has been asked.
    pub(crate) fn launch(&mut self, pending: Pending) -> (u16, &Pending) {
        debug_assert!(self.resend_at == self.flights.len() && self.flights.len() < PACKET_IDS);
        // [MQTT-4.3.2-1] [MQTT-4.3.3-1]: the ids in use all stand before this place.
        let packet_id = self.id_at(self.flights.len());
        // [MQTT-4.3.2-3] [MQTT-4.3.3-3] [v3 MQTT-4.3.2-1] [v3 MQTT-4.3.3-1]: it stays here until it is acknowledged.
        self.backlog.launched(&pending.message);
        self.flights.push_back(Some(Flight {
            pending,
            state: State::Published,
            is_sent: true,
            was_seen: true,
        }));
        (self.rerelease_at, self.resend_at) = (self.flights.len(), self.flights.len());
        self.outstanding += 1;
        let flight = self.flights.back().and_then(Option::as_ref).expect("it has just been added");
        (packet_id, &flight.pending)
    }

    /// What may go out now: first what has to be sent again, then what waits. It counts as sent with this. `expired` is
    /// called with each delivery found to be too old; what has been sent before is never too old [MQTT-4.3.3-7].
    ///
    /// PUBREL packets come first, since the window is for PUBLISH packets and must not hold up others [MQTT-4.9.0-3].
    /// Among each other both kinds keep the order in which they were sent [MQTT-4.6.0-1] [v3 MQTT-4.6.0-1]
    /// [v3 MQTT-4.6.0-4].
    pub(crate) fn next(
        &mut self,
        window: usize,
        now: Time,
        mut expired: impl FnMut(&Pending),
    ) -> Option<Next<'_>> {
        while self.rerelease_at < self.flights.len() {
            let at = self.rerelease_at;
            self.rerelease_at += 1;
            if let Some(flight) =
                self.flights[at].as_mut().filter(|f| !f.is_sent && f.state == State::Released)
            {
                flight.is_sent = true;
                self.outstanding += 1;
                return Some(Next::Release { packet_id: self.id_at(at) });
            }
        }
        while self.resend_at < self.flights.len() {
            let (at, packet_id) = (self.resend_at, self.id_at(self.resend_at));
            if self.flights[at].as_ref().is_none_or(|f| f.is_sent) {
                self.resend_at += 1;
                continue;
            }
            if self.outstanding >= window {
                return None;
            }
            self.resend_at += 1;
            self.outstanding += 1;
            let flight = self.flights[at].as_mut()?;
            flight.is_sent = true;
            let dup = std::mem::replace(&mut flight.was_seen, true) || flight.pending.was_tried;
            return Some(Next::Publish { packet_id, is_new: false, dup, pending: &flight.pending });
        }
        loop {
            let front = self.queue.front()?;
            let too_old = front.message.is_expired(now);
            let once = front.qos == QoS::AtMostOnce;
            // [MQTT-4.9.0-1] [MQTT-4.9.0-2]
            if !too_old && !once && (self.outstanding >= window || self.flights.len() >= PACKET_IDS) {
                return None;
            }
            let pending = self.pop()?;
            if too_old {
                expired(&pending);
            } else if once {
                return Some(Next::PublishOnce(pending));
            } else {
                // [MQTT-4.3.2-2] [MQTT-4.3.3-2]
                let (packet_id, pending) = self.launch(pending);
                return Some(Next::Publish { packet_id, is_new: true, dup: pending.was_tried, pending });
            }
        }
    }

    /// PUBACK, or a PUBREC that refuses: the delivery is done. Returns whether there was such a one.
    pub(crate) fn acknowledge(&mut self, packet_id: u16, qos: QoS) -> bool {
        let Some(at) = self.sent_place(packet_id) else { return false };
        let fits = |f: &Flight| f.pending.qos == qos && f.state == State::Published;
        let found = self.flights[at].as_ref().is_some_and(fits);
        if found {
            self.land(at);
        }
        found
    }

    /// PUBREC: from now on it is released and never published again, and PUBREL is owed until PUBCOMP [MQTT-4.3.3-5]
    /// [MQTT-4.3.3-6]. Returns whether the id is known.
    pub(crate) fn receive(&mut self, packet_id: u16) -> bool {
        let Some(at) = self.sent_place(packet_id) else { return false };
        match &mut self.flights[at] {
            Some(flight) if flight.pending.qos == QoS::ExactlyOnce => {
                flight.state = State::Released;
                true
            }
            _ => false,
        }
    }

    /// Whether a delivery has this id and has been sent on this connection, whatever it waits for.
    pub(crate) fn is_in_flight(&self, packet_id: u16) -> bool {
        self.sent_place(packet_id).is_some()
    }

    /// PUBCOMP: done. Returns whether there was such a delivery.
    pub(crate) fn complete(&mut self, packet_id: u16) -> bool {
        let Some(at) = self.sent_place(packet_id) else { return false };
        let found = self.flights[at].as_ref().is_some_and(|f| f.state == State::Released);
        if found {
            self.land(at);
        }
        found
    }

    /// A subscription wants its retained messages. What is left over of the same from an earlier connection is among them.
    pub(crate) fn replay(&mut self, replay: Replay) {
        if self.replays.front().is_some_and(|oldest| oldest.is_left_over) {
            self.replays.retain(|old| !old.is_left_over || old.node != replay.node);
        }
        // A client that subscribes to the same again and again and takes nothing gets all of it once. Only now and then, so
        // that one which subscribes to much does not have all of it gone through each time.
        if self.replays.len() >= REPLAYS_GATHERED && self.replays.len().is_power_of_two() {
            self.gather_replays();
        }
        self.replays.push_back(replay);
    }

    /// Leaves for each subscription what was asked for last.
    fn gather_replays(&mut self) {
        let mut seen = HashSet::new();
        for replay in std::mem::take(&mut self.replays).into_iter().rev() {
            if seen.insert(replay.node) {
                self.replays.push_front(replay);
            }
        }
    }

    /// A subscription has ended: its retained messages that have not been looked up yet are not wanted any more.
    pub(crate) fn stop_replay(&mut self, node: NodeId) {
        self.replays.retain(|replay| replay.node != node);
    }

    /// The connection is gone: what is in flight has to be sent again on the next one [MQTT-4.4.0-1]
    /// [v3 MQTT-4.4.0-1].
    pub(crate) fn detach(&mut self) {
        (self.rerelease_at, self.resend_at) = (0, 0);
        self.outstanding = 0;
        self.flights.iter_mut().flatten().for_each(|flight| flight.is_sent = false);
        // What a subscription above QoS 0 is owed of the retained messages is owed as well when the client comes back, for
        // each filter once.
        self.replays.retain(|replay| replay.qos > QoS::AtMostOnce);
        self.gather_replays();
        self.replays.iter_mut().for_each(|replay| replay.is_left_over = true);
    }

    /// How many deliveries of each group another member could get instead.
    pub(crate) fn count_shared(&self) -> Vec<(Arc<Group>, usize)> {
        let flights = self.flights.iter().flatten().filter(|f| f.may_move()).map(|f| &f.pending);
        // There may be as many groups as deliveries.
        let (mut counts, mut places) = (Vec::<(Arc<Group>, usize)>::new(), HashMap::new());
        for group in flights.chain(&self.queue).filter_map(|p| p.group.as_ref()) {
            let place = *places.entry(Arc::as_ptr(group)).or_insert(counts.len());
            match counts.get_mut(place) {
                Some((_, count)) => *count += 1,
                None => counts.push((group.clone(), 1)),
            }
        }
        counts
    }

    /// Takes deliveries of groups back, at most `messages_max`, in order: those that wait and, if the connection is gone,
    /// those at QoS 1 that were not acknowledged.
    pub(crate) fn take_shared(
        &mut self,
        messages_max: usize,
        is_away: bool,
        is_wanted: impl Fn(&Arc<Group>) -> bool,
    ) -> Vec<Taken> {
        let is_wanted = |p: &Pending| p.group.as_ref().is_some_and(&is_wanted);
        let mut taken = Vec::new();
        if is_away {
            debug_assert!(self.resend_at == 0 && self.outstanding == 0);
            for at in 0..self.flights.len() {
                let packet_id = Some(self.id_at(at));
                if taken.len() < messages_max
                    && let Some(flight) = self.flights[at].take_if(|f| f.may_move() && is_wanted(&f.pending))
                {
                    self.backlog.landed(&flight.pending.message);
                    taken.push(Taken { pending: flight.pending, packet_id });
                }
            }
            while let Some(None) = self.flights.front() {
                self.flights.pop_front();
                self.first_id = next_id(self.first_id);
            }
        }
        let queue = std::mem::take(&mut self.queue);
        for pending in queue {
            if taken.len() < messages_max && is_wanted(&pending) {
                self.backlog.popped(&pending.message);
                taken.push(Taken { pending, packet_id: None });
            } else {
                self.queue.push_back(pending);
            }
        }
        if self.newest.take().is_some() && !self.queue.is_empty() {
            self.find_newest();
        }
        taken
    }

    /// A delivery that turned out to be impossible (too large for the receiver) ends as if it were acknowledged.
    pub(crate) fn abandon(&mut self, packet_id: u16) {
        if let Some(at) = self.sent_place(packet_id) {
            self.land(at);
        }
    }

    /// All deliveries: those in flight, and then those that wait.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.flights.iter().flatten().map(|flight| &flight.pending).chain(&self.queue)
    }

    /// The same, so that what is to be kept from now on can be given its number.
    pub(crate) fn pending_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.flights.iter_mut().flatten().map(|flight| &mut flight.pending).chain(&mut self.queue)
    }

    /// Puts a delivery back in flight that was so before the start of the hub: one after the other, in the order of their
    /// sending.
    pub(crate) fn restore_flight(&mut self, packet_id: u16, pending: Pending, is_received: bool) {
        if self.flights.is_empty() {
            self.first_id = packet_id.max(1);
        }
        // Ids between that and the one before were acknowledged, or nothing was written down of what they were for.
        let at = self.place_of(packet_id);
        while self.flights.len() < at {
            self.flights.push_back(None);
        }
        self.backlog.launched(&pending.message);
        let state = if is_received { State::Released } else { State::Published };
        let flight = Some(Flight { pending, state, is_sent: false, was_seen: true });
        match self.flights.get_mut(at) {
            Some(place) => *place = flight,
            None => self.flights.push_back(flight),
        }
    }

    /// Goes on behind the last packet id that was given out.
    pub(crate) fn restore_last_id(&mut self, packet_id: u16) {
        if packet_id == 0 {
            return;
        }
        if self.flights.is_empty() {
            self.first_id = next_id(packet_id);
        }
    }

    fn land(&mut self, at: usize) {
        if let Some(flight) = self.flights[at].take() {
            self.backlog.landed(&flight.pending.message);
        }
        self.outstanding -= 1;
        while let Some(None) = self.flights.front() {
            self.flights.pop_front();
            self.first_id = next_id(self.first_id);
            // One that is sent again may be done with before those in front of it have been.
            self.resend_at = self.resend_at.saturating_sub(1);
            self.rerelease_at = self.rerelease_at.saturating_sub(1);
        }
        if self.flights.is_empty() && self.flights.capacity() > 1024 {
            self.flights = VecDeque::new();
        }
    }

    fn id_at(&self, place: usize) -> u16 {
        ((usize::from(self.first_id) - 1 + place) % PACKET_IDS) as u16 + 1
    }

    /// The place that belongs to an id.
    fn place_of(&self, packet_id: u16) -> usize {
        (usize::from(packet_id) + PACKET_IDS - usize::from(self.first_id)) % PACKET_IDS
    }

    /// Where the delivery with this id stands, if it has been sent on this connection.
    fn sent_place(&self, packet_id: u16) -> Option<usize> {
        let at = self.place_of(packet_id);
        let flight = self.flights.get(at)?.as_ref()?;
        (packet_id != 0 && flight.is_sent).then_some(at)
    }
}

fn next_id(id: u16) -> u16 {
    if usize::from(id) == PACKET_IDS { 1 } else { id + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Topic;
    use proptest::prelude::*;

    fn pending(n: u32, qos: QoS) -> Pending {
        let message = Message {
            topic: Topic::new("t", 8).expect("valid"),
            payload: n.to_string().as_str().into(),
            qos,
            retain: false,
            expires_at: None,
            properties: None,
        };
        Pending {
            message: Arc::new(message),
            number: 0,
            qos,
            retain: false,
            was_tried: false,
            subscription_ids: SubscriptionIds::new(),
            group: None,
        }
    }

    fn send(outgoing: &mut Outgoing, window: usize) -> Vec<(u16, bool, Option<String>)> {
        let mut sent = Vec::new();
        while let Some(next) = outgoing.next(window, Time::default(), |_| {}) {
            sent.push(match next {
                Next::Publish { packet_id, dup, pending, .. } => {
                    (packet_id, dup, Some(String::from_utf8_lossy(&pending.message.payload).into_owned()))
                }
                Next::PublishOnce(p) => {
                    (0, false, Some(String::from_utf8_lossy(&p.message.payload).into_owned()))
                }
                Next::Release { packet_id } => (packet_id, false, None),
            });
        }
        sent
    }

    #[test]
    fn what_was_in_flight_is_sent_again_in_order() {
        let mut outgoing = Outgoing::default();
        for n in 0..4 {
            outgoing.push(pending(n, if n == 1 { QoS::ExactlyOnce } else { QoS::AtLeastOnce }));
        }
        assert_eq!(send(&mut outgoing, 3).len(), 3);
        assert!(outgoing.receive(2));
        assert!(outgoing.acknowledge(1, QoS::AtLeastOnce));
        outgoing.detach();
        assert!(!outgoing.acknowledge(3, QoS::AtLeastOnce), "not sent on this connection yet");
        let again = send(&mut outgoing, 9);
        assert_eq!(again, [(2, false, None), (3, true, Some("2".into())), (4, false, Some("3".into()))]);
        assert!(outgoing.complete(2) && !outgoing.complete(2));
        assert!(outgoing.acknowledge(4, QoS::AtLeastOnce) && outgoing.acknowledge(3, QoS::AtLeastOnce));
        assert!(outgoing.is_empty());
    }

    #[test]
    fn the_window_does_not_hold_up_a_release() {
        let mut outgoing = Outgoing::default();
        (0..4).for_each(|n| outgoing.push(pending(n, QoS::ExactlyOnce)));
        send(&mut outgoing, 4);
        assert!(outgoing.receive(2) && outgoing.receive(4));
        outgoing.detach();
        assert_eq!(send(&mut outgoing, 1), [(2, false, None), (4, false, None)]);
        assert!(outgoing.complete(4) && outgoing.complete(2));
        let first = (1, true, Some("0".into()));
        assert_eq!(send(&mut outgoing, 1), [first]);
        assert!(outgoing.receive(1) && outgoing.complete(1));
        assert_eq!(send(&mut outgoing, 1), [(3, true, Some("2".into()))]);
        assert!(outgoing.receive(3) && outgoing.complete(3) && outgoing.is_empty());
    }

    #[test]
    fn an_acknowledgement_of_the_wrong_kind_changes_nothing() {
        let mut outgoing = Outgoing::default();
        outgoing.push(pending(0, QoS::ExactlyOnce));
        send(&mut outgoing, 1);
        assert!(!outgoing.acknowledge(1, QoS::AtLeastOnce) && !outgoing.complete(1) && !outgoing.receive(9));
        assert!(outgoing.receive(1) && outgoing.receive(1), "a PUBREC may come twice");
        assert!(outgoing.complete(1));
    }

    proptest! {
        /// Ids in flight are never used twice, the window holds, and everything arrives once and in order of sending.
        #[test]
        fn windows_and_ids(window in 1usize..20, steps in proptest::collection::vec((0u8..4, any::<u16>()), 1..400), first in any::<u16>()) {
            let mut outgoing = Outgoing { first_id: first.max(1), ..Default::default() };
            let (mut n, mut flying, mut got) = (0, Vec::new(), Vec::new());
            for (what, which) in steps {
                match what {
                    0 | 1 => {
                        outgoing.push(pending(n, QoS::AtLeastOnce));
                        n += 1;
                    }
                    2 if !flying.is_empty() => {
                        let id = flying.swap_remove(usize::from(which) % flying.len());
                        prop_assert!(outgoing.acknowledge(id, QoS::AtLeastOnce));
                    }
                    _ => {}
                }
                for (id, dup, payload) in send(&mut outgoing, window) {
                    prop_assert!(id != 0 && !dup && !flying.contains(&id));
                    flying.push(id);
                    got.push(payload.and_then(|p| p.parse::<u32>().ok()));
                }
                prop_assert!(flying.len() <= window);
            }
            prop_assert!(got.iter().enumerate().all(|(i, n)| *n == Some(i as u32)));
        }
    }
}
