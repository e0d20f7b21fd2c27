//! One shard: its sessions and all that happens to them.

mod connect;
mod deliver;
mod elsewhere;
mod ending;
mod extended;
mod facts;
mod handover;
mod history;
mod history_kept;
mod inspect;
mod keep;
mod presence;
mod restore;
mod retain;
mod share;
mod slow;
mod stay;
mod subscribe_error;
#[cfg(test)]
mod tests;
mod trim;

use crate::backlog::Backlog;
use crate::delayed::Delayed;
use crate::exclusive;
use crate::group::{Address, Group, Member};
use crate::journal::{Facts, Journal};
use crate::key::SessionKey;
use crate::outgoing::Replay;
use crate::outlet::Outlet;
use crate::presence::roll::Rolls;
use crate::presence::view::Views;
use crate::presence::{ClientKind, Letters};
use crate::retained::Cursor;
use crate::rewrite::Names;
use crate::routes::Routes;
use crate::session::{Link, Session, Will};
use crate::shared::Shared;
use crate::slow_reader::SlowReader;
use crate::subscriptions::{Added, Audience, Filters, Removed, SubscriptionOptions, Subscriptions};
use crate::time::Time;
use crate::topic::{Filter, Topic, TopicError, is_reply};
use crate::wheel::Wheel;
use foldhash::fast::FixedState;
use slab::Slab;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use trefoil_mqtt::{QoS, RetainHandling};

pub use connect::{Connect, Connected};
pub use deliver::Published;
pub use ending::Ending;
pub use extended::Refusal;
pub use handover::HandoverError;
pub use history::{Following, Resume};
pub use inspect::{SessionOrder, SessionReport, SessionSurvey};
pub use restore::restore;
pub use share::Turn;
pub use subscribe_error::SubscribeError;
pub use trim::{Trimmed, trim};

/// The sessions of one thread, their subscriptions, and what they have yet to be sent.
///
/// Its methods come in three kinds: what clients do, which may deliver through the [`Outlet`]; what other shards send
/// ([`handle`](Self::handle)); and the passing of time ([`handle_time`](Self::handle_time)).
#[derive(Debug)]
pub struct Shard {
    number: usize,
    shared: Arc<Shared>,
    sessions: Slab<Session>,
    by_client_id: HashMap<Arc<str>, SessionKey, FixedState>,
    subscriptions: Subscriptions,
    /// When wills are due and sessions end, by key and serial.
    timers: Wheel<(SessionKey, u32)>,
    /// Messages to be published later, and the key and serial of the session that sent each.
    delayed: Delayed<Option<(SessionKey, u32)>>,
    serial: u32,
    /// Sessions that have a connection.
    connected: usize,
    shared_subscriptions: usize,
    backlog: Arc<Backlog>,
    counters: Counters,
    /// Kept for its memory.
    audience: Audience,
    /// Kept for its memory.
    groups: Vec<Arc<Group>>,
    routes: Routes,
    /// Sessions whose retained messages go on when there is time.
    replaying: VecDeque<SessionKey>,
    /// Sessions that go on with the histories they follow when there is time.
    following: VecDeque<SessionKey>,
    /// The histories of topics that have been published to.
    histories: history::Known,
    /// How far the search for retained messages may still go before the next round.
    replay_steps: usize,
    journal: Journal,
    /// While the shard is restored: sessions whose clients were connected when the hub ended, and may have been sent what
    /// nothing was written down of.
    were_connected: HashSet<SessionKey>,
    /// How far the checkpoint has come that is being made.
    checkpoint: Option<keep::Checkpoint>,
    /// What others have it keep; on the first shard only.
    facts: Facts,
    /// Who of its clients is on topics of which anybody wants to know.
    rolls: Rolls,
    /// Who is on the topics of which its clients want to know.
    views: Views,
    letters: Letters,
    /// How many subscribers of such topics may still be looked at before the next round.
    roll_steps: usize,
}

/// What the shard has counted since it was made.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counters {
    /// Deliveries dropped since the session's queue was full.
    pub dropped_queue_full: u64,
    /// Deliveries dropped since newer ones on the same topic came.
    pub dropped_replaced: u64,
    /// Deliveries dropped since as much waited in all sessions together as may.
    pub dropped_total_full: u64,
    /// Deliveries dropped since the message had expired.
    pub dropped_expired: u64,
    /// Messages for a shared subscription of which no member could take them.
    pub dropped_no_member: u64,
    /// Messages not retained since the table was full.
    pub not_retained: u64,
    /// Retained messages that gave way to newer ones, since their quota was used up.
    pub retained_evicted: u64,
    /// Messages that were meant for one member of a shared subscription and went to another.
    pub redistributed: u64,
    /// Messages that were not published for a [`Refusal`].
    pub refused: u64,
    /// Clients that have come.
    pub connects: u64,
    /// Sessions that ended since their client stayed away for too long.
    pub expired_sessions: u64,
}

impl Shard {
    /// Shard `number` of those that share `shared`.
    pub fn new(number: usize, shared: Arc<Shared>) -> Shard {
        let seed = shared.seed();
        Shard {
            number,
            sessions: Slab::new(),
            by_client_id: HashMap::with_hasher(FixedState::with_seed(seed)),
            subscriptions: Subscriptions::new(seed),
            timers: Wheel::default(),
            delayed: Delayed::default(),
            serial: 0,
            connected: 0,
            shared_subscriptions: 0,
            backlog: shared.backlogs[number].clone(),
            counters: Counters::default(),
            audience: Audience::default(),
            groups: Vec::new(),
            routes: Routes::default(),
            replaying: VecDeque::new(),
            following: VecDeque::new(),
            histories: history::Known::default(),
            replay_steps: deliver::ROUND_STEPS,
            journal: Journal::new(number, shared.clone()),
            were_connected: HashSet::new(),
            checkpoint: None,
            facts: Facts::default(),
            rolls: Rolls::default(),
            views: Views::new(shared.shards()),
            letters: Letters::of(number),
            roll_steps: presence::ROUND_STEPS,
            shared,
        }
    }

    /// What the shards share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How many sessions it has, with and without a connection.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many subscriptions its sessions have, shared ones not counted.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// How many sessions have a connection.
    pub fn connected_count(&self) -> usize {
        self.connected
    }

    /// How many parts its sessions have in shared subscriptions.
    pub fn shared_subscription_count(&self) -> usize {
        self.shared_subscriptions
    }

    /// What its sessions have yet to bring to their clients.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// What it has counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The client id of a session.
    pub fn client_id(&self, session: SessionKey) -> Option<&Arc<str>> {
        Some(&self.sessions.get(session.index() as usize)?.client_id)
    }

    /// The session of a client id, connected or not.
    pub fn find(&self, client_id: &str) -> Option<SessionKey> {
        self.by_client_id.get(client_id).copied()
    }

    /// Whether a client id has a session, connected or not.
    pub fn has_session(&self, client_id: &str) -> bool {
        self.by_client_id.contains_key(client_id)
    }

    /// The will of a session, unless it waits to be published already.
    pub fn will(&self, session: SessionKey) -> Option<&Will> {
        let rare = self.session(session).rare.as_ref()?;
        rare.will.as_ref().filter(|_| rare.will_at.is_none())
    }

    /// Gives a session another will, or none. In MQTT-SN a will outlasts its connection (MQTT-SN 1.2 §6.3) and may be
    /// changed on the way (§6.4); without a connection it lies still until there is one that ends without a goodbye.
    pub fn set_will(&mut self, session: SessionKey, will: Option<Will>) {
        let rare = self.session_mut(session).rare();
        (rare.will, rare.will_at) = (will, None);
        self.note_will(session);
    }

    /// Says whether the client of a session takes messages now: while it sleeps, shared subscriptions pass it over.
    pub fn set_available(&mut self, session: SessionKey, available: bool) {
        self.set_online(session, available);
    }

    /// Whether a client id has a session that belongs to another identity, or to nobody where `identity` is somebody.
    pub fn is_of_another(&self, now: Time, client_id: &str, identity: Option<&Arc<str>>) -> bool {
        let session = self.by_client_id.get(client_id).map(|&key| self.session(key));
        session.is_some_and(|session| !session.is_over(now) && session.identity() != identity)
    }

    /// Whether a session has any subscription, shared ones counted.
    pub fn has_subscriptions(&self, session: SessionKey) -> bool {
        self.session(session).subscription_count() > 0
    }

    /// How many subscriptions a session has, shared ones counted.
    pub fn subscription_count_of(&self, session: SessionKey) -> usize {
        self.session(session).subscription_count()
    }

    /// A client comes: its session is found by the client id [MQTT-3.1.3-2] [v3 MQTT-3.1.3-2] or made [MQTT-3.1.2-6], and
    /// taken from the connection that had it. After the caller has answered it calls [`resume`](Self::resume), which sends
    /// what waits [MQTT-3.1.2-5].
    pub fn connect(&mut self, now: Time, connect: Connect<'_>, out: &mut impl Outlet) -> Connected {
        let expiry_s = connect.expiry_s.min(self.shared.limits.session_expiry_s_max);
        let names = Names { client_id: Some(connect.client_id), user_name: connect.user_name };
        let will = connect.will.and_then(|will| self.rewritten_will(will, names));
        let mut displaced = None;
        if let Some(&old) = self.by_client_id.get(connect.client_id) {
            displaced = self.session(old).connection();
            // [MQTT-3.1.4-3]: the old connection ends without a goodbye, so its will is due, now or later.
            self.disconnect(now, old, Ending::Lost, out);
            // [MQTT-4.1.0-2]: what is over is not resumed, and the timer may be a little late.
            let is_over = self.sessions.get(old.index() as usize).is_some_and(|s| s.is_over(now));
            self.counters.expired_sessions += u64::from(is_over);
            // [MQTT-3.1.2-4] [v3 MQTT-3.1.2-6] [MQTT-3.2.2-2] [v3 MQTT-3.2.2-1]
            if connect.clean_start || is_over {
                self.end(now, old, out);
            }
        }
        let known = self.by_client_id.get(connect.client_id).copied();
        let key = known.unwrap_or_else(|| self.open(connect.client_id));
        let inflight_max = self.shared.limits.inflight_max;
        let session = self.session_mut(key);
        session.link = Some(Link { key: connect.connection, tag: connect.tag });
        session.kind = connect.kind;
        self.connected += 1;
        self.counters.connects += 1;
        let session = &mut self.sessions[key.index() as usize];
        session.expiry_s = expiry_s;
        session.window_max = connect.window_max.clamp(1, inflight_max);
        session.slow_reader = connect.slow_reader;
        // [MQTT-3.1.3-9]
        if let Some(rare) = &mut session.rare {
            (rare.will_at, rare.ends_at, rare.will, rare.user_name) = (None, None, None, None);
            (rare.info, rare.token) = (None, None);
        }
        // [MQTT-3.1.2-7] [v3 MQTT-3.1.2-8]
        if will.is_some() {
            session.rare().will = will;
        }
        if connect.token.is_some() {
            session.rare().token = connect.token;
        }
        if connect.identity.is_some() {
            session.rare().identity = connect.identity;
        }
        if connect.info.is_some() {
            session.rare().info = connect.info;
        }
        self.remember_user_name(key, connect.user_name);
        self.begin_following(key, connect.follows);
        self.note_connect(key, known.is_some());
        self.set_online(key, true);
        if let Some(language) = connect.language {
            self.subscribe_automatically(key, language, names);
        }
        self.note_presence(key);
        self.tell_presence(now, out);
        Connected { session: key, present: known.is_some(), displaced, expiry_s }
    }

    /// Subscribes, with whatever wildcards [v3 MQTT-3.8.3-2]; a subscription to the same filter is replaced [MQTT-3.8.4-3]. Retained messages go out with the
    /// next [`resume`](Self::resume). Returns the QoS granted.
    ///
    /// # Errors
    /// When the filter is not valid, the session has too many subscriptions, another one holds an exclusive one, or the
    /// session itself has the subscription and only one of the two is exclusive.
    pub fn subscribe(
        &mut self,
        key: SessionKey,
        filter: &str,
        options: SubscriptionOptions,
        retained: RetainHandling,
    ) -> Result<QoS, SubscribeError> {
        if self.cannot_keep_subscription(key) {
            return Err(SubscribeError::NotKept);
        }
        let rewritten = self.rewritten_filter(key, filter);
        self.subscribe_to(key, rewritten.as_deref().unwrap_or(filter), options, retained)
    }

    fn subscribe_to(
        &mut self,
        key: SessionKey,
        filter: &str,
        options: SubscriptionOptions,
        retained: RetainHandling,
    ) -> Result<QoS, SubscribeError> {
        let limits = &self.shared.limits;
        let exclusive = filter.strip_prefix(exclusive::PREFIX);
        let filter = exclusive.unwrap_or(filter);
        let parsed = Filter::parse(filter, limits.topic_levels_max).map_err(SubscribeError::Filter)?;
        if is_reply(parsed.pattern) {
            return Err(SubscribeError::Replies);
        }
        let max = limits.subscriptions_per_session_max;
        if self.session(key).subscription_count() >= max && !self.is_subscribed(key, parsed) {
            return Err(SubscribeError::TooMany { max });
        }
        if exclusive.is_some() {
            self.take_exclusive(key, parsed)?;
        } else if self.is_exclusive(key, parsed) {
            return Err(SubscribeError::Exclusively);
        }
        let Some(share) = parsed.share else {
            let added = self.subscribe_own(key, parsed.pattern, options);
            self.note_subscribed(key, parsed, options);
            self.follow_new(key, parsed.pattern, options);
            // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [v3 MQTT-3.3.1-6] [MQTT-3.8.4-4]
            let send = match retained {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => added.is_new,
                RetainHandling::DoNotSend => false,
            };
            if send {
                // [MQTT-3.8.3-3]: also what was retained before.
                let own = if options.no_local { self.publisher_number(Some(key)) } else { None };
                let cursor = Cursor::new(parsed.pattern).without(own);
                let replay = Replay {
                    cursor,
                    node: added.node,
                    is_left_over: false,
                    qos: options.qos,
                    subscription_id: options.id,
                };
                self.start_replay(key, replay, parsed.pattern);
            }
            return Ok(options.qos);
        };
        self.join_group(key, share, parsed.pattern, options);
        self.note_subscribed(key, parsed, options);
        Ok(options.qos)
    }

    /// Lets a session have the messages to one topic below [`REPLY_TOPICS`](crate::topic::REPLY_TOPICS), at QoS 0, until it
    /// ends. The caller has made the topic up, such that nobody can guess it, and tells it only to those who are to answer.
    pub fn take_replies(&mut self, key: SessionKey, topic: &Topic) {
        debug_assert!(is_reply(topic));
        self.subscribe_own(key, topic, SubscriptionOptions::default());
        self.session_mut(key).rare().replies = Some(topic.clone());
    }

    fn join_group(&mut self, key: SessionKey, share: &str, pattern: &str, options: SubscriptionOptions) {
        let at = self.address(key);
        let session = self.session_mut(key);
        let online = session.connection().is_some();
        let is_kept = session.is_kept;
        let load = session.rare().load.get_or_insert_default().clone();
        let member = Member { at, options, online, load, stranded: 0, is_kept };
        let (group, is_new) = self.shared.interest.join(share, pattern, member);
        if is_new {
            self.shared_subscriptions += 1;
            self.session_mut(key).rare().shares.insert(share_key(share, pattern), group);
        }
    }

    /// Ends a subscription. Returns whether there was one. What waits for it goes out still [MQTT-3.10.4-3]
    /// [v3 MQTT-3.10.4-3], unless it was shared and others can have it.
    ///
    /// # Errors
    /// When the filter is not valid.
    pub fn unsubscribe(
        &mut self,
        now: Time,
        key: SessionKey,
        filter: &str,
        out: &mut impl Outlet,
    ) -> Result<bool, TopicError> {
        let rewritten = self.rewritten_filter(key, filter);
        let filter = rewritten.as_deref().unwrap_or(filter);
        let exclusive = filter.strip_prefix(exclusive::PREFIX);
        let filter = Filter::parse(exclusive.unwrap_or(filter), self.shared.limits.topic_levels_max)?;
        if self.is_exclusive(key, filter) != exclusive.is_some() {
            // What is held exclusively has another name than what is not.
            return Ok(false);
        }
        self.give_back_exclusive(key, filter);
        // Its end may have been written down for an answer that got lost.
        self.await_kept(key);
        if let Some(name) = filter.share {
            let shares = self.session_mut(key).rare.as_mut().map(|rare| &mut rare.shares);
            let group = shares.and_then(|shares| shares.remove(&share_key(name, filter.pattern)));
            let Some(group) = group else { return Ok(false) };
            self.shared_subscriptions -= 1;
            self.note_unsubscribed(key, filter);
            self.leave_group(now, key, group, out);
            return Ok(true);
        }
        // [MQTT-3.10.4-2] [v3 MQTT-3.10.4-2]
        let Some(node) = self.subscriptions.find(key, filter.pattern) else { return Ok(false) };
        let session = &mut self.sessions[key.index() as usize];
        if let Some(outgoing) = &mut session.outgoing {
            outgoing.stop_replay(node);
        }
        let filters = &mut session.filters;
        let removed = self.subscriptions.remove(key, filters, node);
        self.tell_of(key, removed);
        self.watch_presence_no_more(key, filter.pattern);
        self.tell_presence(now, out);
        self.follow_no_more(key, filter.pattern);
        self.note_unsubscribed(key, filter);
        Ok(true)
    }

    /// Tells the other shards what the end of a subscription changes for them.
    fn tell_of(&mut self, key: SessionKey, removed: Removed) {
        if let Some(roll) = removed.roll {
            self.strike(roll, key);
        }
        if let Some(filter) = removed.last {
            self.shared.interest.remove(self.number, &filter);
        } else if let Some(filter) = removed.last_kept {
            self.shared.interest.set_keeping(self.number, &filter, false);
        }
    }

    fn subscribe_own(&mut self, key: SessionKey, pattern: &str, options: SubscriptionOptions) -> Added {
        let session = &mut self.sessions[key.index() as usize];
        let is_kept = session.is_kept;
        let added = self.subscriptions.add(key, &mut session.filters, pattern, options, is_kept);
        if added.is_first {
            self.shared.interest.add(self.number, pattern);
        }
        if added.is_first_kept {
            self.shared.interest.set_keeping(self.number, pattern, true);
        }
        if let Some(roll) = added.roll.filter(|_| added.is_new) {
            self.enter(roll, key);
        }
        added
    }

    fn is_subscribed(&self, key: SessionKey, filter: Filter<'_>) -> bool {
        match filter.share {
            Some(name) => {
                let rare = self.session(key).rare.as_ref();
                rare.is_some_and(|rare| rare.shares.contains_key(&share_key(name, filter.pattern)))
            }
            None => self.subscriptions.find(key, filter.pattern).is_some(),
        }
    }

    fn set_online(&mut self, key: SessionKey, online: bool) {
        let at = self.address(key);
        if let Some(rare) = &self.session(key).rare {
            rare.shares.values().for_each(|group| group.set_online(at, online));
        }
    }

    fn open(&mut self, client_id: &str) -> SessionKey {
        let client_id: Arc<str> = client_id.into();
        self.serial = self.serial.wrapping_add(1);
        let index = self.sessions.insert(Session {
            client_id: client_id.clone(),
            serial: self.serial,
            number: 0,
            is_kept: false,
            link: None,
            kind: ClientKind::default(),
            expiry_s: 0,
            window_max: 1,
            left_ms: 0,
            slow_reader: SlowReader::default(),
            filters: Filters::default(),
            outgoing: None,
            rare: None,
        });
        let key = SessionKey::new(u32::try_from(index).expect("memory ends before four billion sessions"));
        self.by_client_id.insert(client_id, key);
        key
    }

    fn address(&self, key: SessionKey) -> Address {
        Address { shard: self.number, session: key, serial: self.session(key).serial }
    }

    /// A key is given out with its session and not used by a caller after the session's end.
    fn session(&self, key: SessionKey) -> &Session {
        &self.sessions[key.index() as usize]
    }

    fn session_mut(&mut self, key: SessionKey) -> &mut Session {
        &mut self.sessions[key.index() as usize]
    }
}

/// A share name has no slash in it, so no two subscriptions have the same key.
fn share_key(name: &str, filter: &str) -> Box<str> {
    format!("{name}/{filter}").into()
}
