//! The histories of topics: what is published enters them, and who follows them is given what it has not got.

use super::Shard;
use super::deliver::{REPLAY_STEPS, ROUND_STEPS, delivery, pending_of};
use crate::history::follower::{Follower, Subscription, Wish, has_wildcard};
use crate::history::{Arriving, Base, Place, Placed, Start, TopicHistory};
use crate::journal::{Durability, Entry, HistoryEntry};
use crate::key::{ConnectionKey, SessionKey};
use crate::message::Message;
use crate::outlet::{Delivered, Delivery, Outlet};
use crate::retained::Cursor;
use crate::slow_reader::SlowReader;
use crate::subscriptions::SubscriptionOptions;
use crate::time::Time;
use crate::topic::{Filter, Topic, matches};
use std::num::NonZeroU64;
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// How many messages are looked up at a time for one receiver.
const CHUNK_MESSAGES: usize = 32;

/// How many topics of a filter are looked up at a time.
const CHUNK_TOPICS: usize = 64;

/// Topics whose histories a shard remembers.
const KNOWN: usize = 256;

/// What a subscriber wants of the histories of its topics before what comes from now on.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Resume {
    /// So many messages of each topic.
    pub last: usize,
    /// What was published from then on: microseconds since 1970.
    pub time: Option<u64>,
    /// What came behind these places. Topics that the filter is not for are passed over.
    pub topics: Vec<(String, Place)>,
}

/// That a subscription follows the histories of its topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Following {
    /// When it began, in microseconds since 1970: a [`Resume::time`] for the topics of which nothing will have come.
    pub time: u64,
    /// Something of what was asked for is not there any more, as far as that is known at once. Each topic of which it turns
    /// out to be so is [told](Outlet::tell_gap).
    pub gap: bool,
}

/// The histories of topics that were published to lately, by the memory that the topics stand in.
#[derive(Default, Debug)]
pub(super) struct Known(Vec<Option<(Topic, Option<Arc<TopicHistory>>)>>);

impl Known {
    fn place(&mut self, topic: &Topic) -> &mut Option<(Topic, Option<Arc<TopicHistory>>)> {
        if self.0.is_empty() {
            self.0.resize(KNOWN, None);
        }
        // Allocations are some tens of bytes apart.
        &mut self.0[(topic.address() >> 5) % KNOWN]
    }
}

impl Shard {
    fn history_of(&mut self, now: Time, topic: &Topic) -> Option<Arc<TopicHistory>> {
        if let Some((known, history)) = self.histories.place(topic)
            && known.is_same(topic)
        {
            return history.clone();
        }
        let history = &self.shared.history;
        let found = history.open(now, topic);
        if found.is_some() || history.rule_of(topic).is_none() {
            *self.histories.place(topic) = Some((topic.clone(), found.clone()));
        } else {
            self.note_partial();
        }
        found
    }

    /// Gives a message its place in the history of its topic, if that has one. What waits for the message to be kept waits
    /// for its place as well: both stand in one record.
    pub(super) fn append(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        number: &mut u64,
    ) -> Option<Placed> {
        if !self.shared.history.is_on() {
            return None;
        }
        let publisher = self.publisher_number(publisher);
        loop {
            let history = self.history_of(now, &message.topic)?;
            let number = self.journal.keep(message, number);
            let arriving = Arriving { message, publisher, number, shard: self.number as u8 };
            let Some((offset, stamp)) = history.append(&self.shared.history, now, &arriving) else {
                // It was forgotten since nothing was left of it.
                *self.histories.place(&message.topic) = None;
                continue;
            };
            if number > 0 {
                let is_synced = self.journal.durability(&message.topic) == Durability::Sync;
                let publisher = publisher.map(NonZeroU64::get);
                let (birth, epoch) = (history.birth(), history.epoch().number());
                self.journal.note(&Entry::History(HistoryEntry::Append {
                    message: number,
                    birth,
                    epoch,
                    offset,
                    stamp,
                    publisher,
                    is_synced,
                }));
            }
            return Some(Placed { history, offset });
        }
    }

    /// A client has come that follows histories, or does not.
    pub(super) fn begin_following(&mut self, key: SessionKey, follows: bool) {
        if follows && self.shared.history.is_on() {
            self.session_mut(key).rare().follower.get_or_insert_default();
        }
    }

    fn follower(&mut self, key: SessionKey) -> Option<&mut Box<Follower>> {
        self.session_mut(key).rare.as_mut()?.follower.as_mut()
    }

    /// A subscription has been made: what is published from now on is followed.
    pub(super) fn follow_new(&mut self, key: SessionKey, pattern: &str, options: SubscriptionOptions) {
        let shared = self.shared.clone();
        let Some(follower) = self.follower(key) else { return };
        if !has_wildcard(pattern) && !shared.history.is_for(pattern) {
            return;
        }
        // Only now: who publishes behind this stamp finds the subscription in the table.
        let base = Base { stamp: shared.history.later_stamp(), time: None, last: 0 };
        let latest = options.slow_reader == Some(SlowReader::LatestPerTopic);
        let wish = Wish { qos: options.qos, no_local: options.no_local, latest };
        follower.subscribe(pattern, Subscription { base, wish });
    }

    pub(super) fn follow_no_more(&mut self, key: SessionKey, pattern: &str) {
        if let Some(follower) = self.follower(key) {
            follower.unsubscribe(pattern);
        }
    }

    /// Whether a topic is one of those that a session's subscription to `filter` is for.
    pub fn is_of_filter(&self, key: SessionKey, filter: &str, topic: &str) -> bool {
        let rewritten = self.rewritten_filter(key, filter);
        matches(rewritten.as_deref().unwrap_or(filter), topic)
    }

    /// Says what a session that has just subscribed to `filter` wants of the histories of its topics. It is sent with the
    /// next [`resume`](Self::resume), in the order of the offsets, and what comes from now on behind it. A topic that another
    /// subscription of the session follows already goes on as it does, unless its place is given.
    ///
    /// None where nothing is followed: the hub keeps no history, the session does not follow, or the subscription is shared.
    pub fn follow_from(
        &mut self,
        now: Time,
        key: SessionKey,
        filter: &str,
        resume: &Resume,
    ) -> Option<Following> {
        let shared = self.shared.clone();
        let history = &shared.history;
        let rewritten = self.rewritten_filter(key, filter);
        let filter = Filter::parse(rewritten.as_deref().unwrap_or(filter), usize::MAX).ok()?;
        if filter.share.is_some() || !history.is_on() {
            return None;
        }
        let pattern = filter.pattern;
        let time = history.stamp(now);
        let mut following = Following { time, gap: resume.time.is_some_and(|t| t <= history.whole_since()) };
        let follower = self.follower(key)?;
        let Some(subscription) = follower.subscription(pattern) else {
            // The one topic that it is for has no history.
            following.gap |= resume.topics.iter().any(|(topic, _)| matches(pattern, topic));
            return Some(following);
        };
        if resume.last > 0 || resume.time.is_some() {
            subscription.base = Base { time: resume.time, last: resume.last, ..subscription.base };
        }
        let followed_max = history.options().followed_max;
        for (topic, place) in resume.topics.iter().filter(|(topic, _)| matches(pattern, topic)) {
            let Some(found) = history.find(topic) else {
                following.gap = true;
                follower.lost.push_back(topic.as_str().into());
                continue;
            };
            let start = found.start_behind(*place);
            following.gap |= start.gap;
            if follower.set(&found, start, followed_max).is_none() {
                following.gap = true;
                follower.lost.push_back(topic.as_str().into());
            }
        }
        if resume.last > 0 || resume.time.is_some() {
            follower.walks.retain(|walk| walk.pattern() != pattern);
            follower.walks.push_back(Cursor::new(pattern));
        }
        Some(following)
    }

    /// Whether a filter is for one topic, and other subscriptions of the session follow that already: what is kept of it could
    /// only be given behind what they have been given of it, or twice.
    pub fn is_followed_already(&mut self, key: SessionKey, filter: &str) -> bool {
        let rewritten = self.rewritten_filter(key, filter);
        let pattern = rewritten.as_deref().unwrap_or(filter);
        let Some(history) = self.shared.history.find(pattern).filter(|_| !has_wildcard(pattern)) else {
            return false;
        };
        let Some(follower) = self.follower(key) else { return false };
        follower.subscription(pattern).is_none() && follower.knows(&history)
    }

    /// Gives a message that has a place to a session that follows: at once if it is the next one there, else the session goes
    /// on from where it is. False if the session does not follow that topic.
    pub(super) fn follow(
        &mut self,
        now: Time,
        key: SessionKey,
        message: &Arc<Message>,
        placed: &Placed,
        out: &mut impl Outlet,
    ) -> bool {
        let Some(to) = self.session(key).connection() else { return false };
        let Some(mut follower) = self.take_follower(key) else { return false };
        let followed_max = self.shared.history.options().followed_max;
        let Some(following) = follower.place(&placed.history, followed_max) else {
            self.put_follower(key, follower);
            self.shared.history.count_unfollowed();
            return false;
        };
        let qos = following.wish.qos.min(message.qos);
        if placed.offset < following.want {
            // It has been given already.
        } else if placed.offset == following.want
            && !following.is_ready
            && self.may_send(key, message, qos, to, out)
            && !message.is_expired(now)
        {
            following.want += 1;
            self.send_placed(key, to, message, placed.place(), qos, out);
        } else {
            following.is_behind = true;
            follower.make_ready(placed.history.birth());
            self.put_follower(key, follower);
            let mut steps = REPLAY_STEPS.min(self.replay_steps);
            let before = steps;
            self.go_on_following(now, key, &mut steps, out);
            self.replay_steps -= before - steps;
            return true;
        }
        self.put_follower(key, follower);
        true
    }

    fn take_follower(&mut self, key: SessionKey) -> Option<Box<Follower>> {
        self.session_mut(key).rare.as_mut()?.follower.take()
    }

    fn put_follower(&mut self, key: SessionKey, follower: Box<Follower>) {
        self.session_mut(key).rare().follower = Some(follower);
    }

    /// Whether a delivery can go out now without overtaking another. If not, the session is resumed when it can.
    fn may_send(
        &self,
        key: SessionKey,
        message: &Message,
        qos: QoS,
        to: ConnectionKey,
        out: &mut impl Outlet,
    ) -> bool {
        if qos == QoS::AtMostOnce {
            return out.has_room(to, Some(message.payload.len()));
        }
        let session = self.session(key);
        session.outgoing.as_ref().is_none_or(|o| o.is_clear(session.window())) && out.has_room(to, None)
    }

    fn send_placed(
        &mut self,
        key: SessionKey,
        to: ConnectionKey,
        message: &Arc<Message>,
        place: Place,
        qos: QoS,
        out: &mut impl Outlet,
    ) {
        let pending = pending_of(message, qos, false, None);
        if qos == QoS::AtMostOnce {
            let delivery = Delivery { place: Some(place), ..delivery(&pending, 0, false, 0) };
            out.deliver(to, message, &delivery);
            return;
        }
        let session = &mut self.sessions[key.index() as usize];
        let outgoing = session.outgoing(&self.backlog);
        let (packet_id, pending) = outgoing.launch(pending);
        let delivery = Delivery { place: Some(place), ..delivery(pending, packet_id, false, 0) };
        if out.deliver(to, message, &delivery) == Delivered::Dropped {
            outgoing.abandon(packet_id);
        }
    }

    /// Goes on with the sessions that were not through when others had their turn.
    pub(super) fn go_on_with_followers(&mut self, now: Time, out: &mut impl Outlet) {
        let mut steps = ROUND_STEPS;
        for _ in 0..self.following.len() {
            if steps == 0 {
                return;
            }
            let Some(key) = self.following.pop_front() else { return };
            if !self.sessions.contains(key.index() as usize) {
                continue;
            }
            // Another session may have its place meanwhile, which is none the worse for that.
            if let Some(follower) = self.follower(key) {
                follower.is_listed = false;
            }
            let mut own = REPLAY_STEPS.min(steps);
            let before = own;
            self.go_on_following(now, key, &mut own, out);
            // One without any step has had its turn as well.
            steps = steps.saturating_sub((before - own).max(1));
        }
    }

    /// Gives a session what it has not got of the histories that it follows, as far as there is room.
    pub(super) fn go_on_following(
        &mut self,
        now: Time,
        key: SessionKey,
        steps: &mut usize,
        out: &mut impl Outlet,
    ) {
        let Some(to) = self.session(key).connection() else { return };
        if self.follower(key).is_none_or(|follower| follower.is_idle()) {
            return;
        }
        let Some(mut follower) = self.take_follower(key) else { return };
        let is_out_of_time = self.follow_in_steps(now, (key, to), &mut follower, steps, out);
        if is_out_of_time && !std::mem::replace(&mut follower.is_listed, true) {
            self.following.push_back(key);
        }
        self.put_follower(key, follower);
    }

    /// Returns whether it stopped since there were no steps left, and nothing else will have it go on.
    fn follow_in_steps(
        &mut self,
        now: Time,
        (key, to): (SessionKey, ConnectionKey),
        follower: &mut Follower,
        steps: &mut usize,
        out: &mut impl Outlet,
    ) -> bool {
        let own = self.publisher_number(Some(key));
        let mut found = Vec::new();
        loop {
            if follower.is_idle() {
                return false;
            }
            if !out.has_room(to, None) {
                return false;
            }
            if *steps == 0 {
                return true;
            }
            if let Some(topic) = follower.lost.pop_front() {
                *steps -= 1;
                self.shared.history.count_gap();
                out.tell_gap(to, &topic, None);
                continue;
            }
            let Some(&birth) = follower.ready.front() else {
                self.walk(follower, steps);
                continue;
            };
            let Some(following) = follower.by_birth(birth) else {
                follower.ready.pop_front();
                continue;
            };
            let (history, wish) = (following.history.clone(), following.wish);
            if wish.latest
                && std::mem::take(&mut following.is_behind)
                && let Some(newest) = history.newest().filter(|newest| *newest > following.want)
            {
                self.counters.dropped_replaced += newest - following.want;
                following.want = newest;
            }
            found.clear();
            let without = own.filter(|_| wish.no_local);
            let chunk = history.read(following.want, CHUNK_MESSAGES.min(*steps), now, without, &mut found);
            if std::mem::take(&mut following.gap) | chunk.gap {
                self.shared.history.count_gap();
                let next = found.first().map_or(chunk.want, |(_, offset)| *offset);
                out.tell_gap(to, history.topic(), Some(Place { epoch: history.epoch(), offset: next }));
            }
            *steps -= found.len().clamp(1, *steps);
            for (message, offset) in found.drain(..) {
                let qos = wish.qos.min(message.qos);
                if !self.may_send(key, &message, qos, to, out) {
                    following.want = offset;
                    return false;
                }
                let place = Place { epoch: history.epoch(), offset };
                self.send_placed(key, to, &message, place, qos, out);
            }
            following.want = chunk.want;
            (following.is_ready, following.is_behind) = (!chunk.is_end, following.is_behind && !chunk.is_end);
            follower.ready.pop_front();
            if !chunk.is_end {
                // The others have their turn.
                follower.ready.push_back(birth);
            }
        }
    }

    /// Looks a few more topics of a filter up.
    fn walk(&mut self, follower: &mut Follower, steps: &mut usize) {
        let Some(mut cursor) = follower.walks.pop_front() else { return };
        let mut found = Vec::new();
        let history = &self.shared.history;
        history.next(&mut cursor, CHUNK_TOPICS, steps, &mut found);
        for topic in found {
            // What is followed already goes on as it does, and what has nothing for the session needs no place.
            if follower.knows(&topic) {
                continue;
            }
            let Some(Start { gap, has_more, .. }) = follower.start(&topic) else { continue };
            if (gap || has_more) && follower.place(&topic, history.options().followed_max).is_none() {
                follower.lost.push_back(topic.topic().as_str().into());
            }
        }
        if !cursor.is_done() {
            follower.walks.push_back(cursor);
        }
    }
}
