//! What goes beyond the protocols, for one shard's sessions: topics that change, messages that wait, subscriptions that
//! come by themselves or are held by one session alone.

use super::{Published, Shard, SubscribeError};
use crate::delayed::{self, DelayError, DelayLimits, Delayed, Due};
use crate::extensions::{AutomaticSubscription, Language};
use crate::journal::Entry;
use crate::key::SessionKey;
use crate::message::Message;
use crate::outlet::Outlet;
use crate::rewrite::Names;
use crate::session::Will;
use crate::time::Time;
use crate::topic::{Filter, HUB_TOPICS, Topic, TopicError, is_reply};
use std::fmt;
use std::sync::Arc;

/// Delayed messages published in one round, so that those who are due at once keep nobody else waiting.
const DELAYED_PER_ROUND: usize = 512;

/// Why a valid message is not published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The hub takes no topics like its own: it has too many levels.
    Topic(TopicError),
    /// What a rule makes of its topic is not valid.
    Rewritten(TopicError),
    /// It would come to a topic that only the hub publishes to.
    HubTopic,
    /// It is to be published later, and is not taken for that.
    Delayed(DelayError),
    /// It would have to be kept, and cannot be for now: the disk is full, or fails.
    NotKept,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Topic(error) => error.fmt(f),
            Refusal::Rewritten(error) => write!(f, "what a rule makes of the topic is not valid: {error}"),
            Refusal::HubTopic => write!(f, "only the hub publishes below {HUB_TOPICS}"),
            Refusal::Delayed(error) => error.fmt(f),
            Refusal::NotKept => {
                f.write_str("it would have to be kept on disk, which is full or fails; try again later")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Shard {
    /// Whether messages to `topic` must go to [`publish`](Self::publish) one by one, since a rule may change the topic, they
    /// may have to wait, each gets a place in the topic's history, or it is an answer.
    pub fn is_special(&self, topic: &str) -> bool {
        let extensions = &self.shared.extensions;
        is_reply(topic)
            || self.delays(topic).is_some()
            || self.shared.history.is_for(topic)
            || extensions.rewrites.publish.iter().any(|rule| rule.is_for(topic))
    }

    /// What a client's topic becomes by the rules, if it changes.
    pub(super) fn rewritten(
        &self,
        publisher: Option<SessionKey>,
        message: &Message,
    ) -> Option<Result<Arc<Message>, Refusal>> {
        if self.shared.extensions.rewrites.publish.is_empty() {
            return None;
        }
        let topic = self.rewritten_topic(&message.topic, self.names(publisher))?;
        Some(topic.map(|topic| Arc::new(Message { topic, ..message.clone() })))
    }

    fn rewritten_topic(&self, topic: &str, names: Names<'_>) -> Option<Result<Topic, Refusal>> {
        let text = self.shared.extensions.rewrites.topic(topic, self.delays(topic).is_some(), names)?;
        if text.starts_with(HUB_TOPICS) {
            return Some(Err(Refusal::HubTopic));
        }
        Some(Topic::new(&text, self.shared.limits.topic_levels_max).map_err(Refusal::Rewritten))
    }

    /// A will by the rules; none if what they make of it is not valid.
    pub(super) fn rewritten_will(&mut self, mut will: Will, names: Names<'_>) -> Option<Will> {
        match self.rewritten_topic(&will.message.topic, names) {
            None => {}
            Some(Ok(topic)) => will.message.topic = topic,
            Some(Err(_)) => {
                self.counters.refused += 1;
                return None;
            }
        }
        Some(will)
    }

    pub(super) fn rewritten_filter(&self, key: SessionKey, filter: &str) -> Option<String> {
        let rewrites = &self.shared.extensions.rewrites;
        if rewrites.subscribe.is_empty() {
            return None;
        }
        rewrites.filter(filter, self.names(Some(key)))
    }

    fn names(&self, session: Option<SessionKey>) -> Names<'_> {
        let Some(session) = session.map(|key| self.session(key)) else { return Names::default() };
        let rare = session.rare.as_ref();
        // Who it proved to be goes before who it says it is.
        let user_name = rare.and_then(|rare| rare.identity.as_deref().or(rare.user_name.as_deref()));
        Names { client_id: Some(&session.client_id), user_name }
    }

    pub(super) fn remember_user_name(&mut self, key: SessionKey, user_name: Option<&str>) {
        if let Some(name) = user_name
            && self.shared.extensions.rewrites.uses_user_name()
        {
            self.session_mut(key).rare().user_name = Some(name.into());
        }
    }

    /// Says who the client of a session is, which proved it only after it had connected. It now gets the automatic
    /// subscriptions that ask for a user name.
    pub fn identify(&mut self, key: SessionKey, language: Language, identity: Arc<str>) {
        let client_id = self.session(key).client_id.clone();
        let names = Names { client_id: Some(&client_id), user_name: Some(&identity) };
        self.subscribe_as(key, names, |wanted| wanted.is_for(language) && wanted.uses_user_name());
        self.session_mut(key).rare().identity = Some(identity);
        self.write_connect(key);
    }

    pub(super) fn subscribe_automatically(&mut self, key: SessionKey, language: Language, names: Names<'_>) {
        self.subscribe_as(key, names, |wanted| wanted.is_for(language));
    }

    /// What cannot be had is left out: the client did not ask for it, so nobody waits for an answer.
    fn subscribe_as(
        &mut self,
        key: SessionKey,
        names: Names<'_>,
        is_wanted: impl Fn(&AutomaticSubscription) -> bool,
    ) {
        let shared = self.shared.clone();
        for wanted in shared.extensions.subscribe.iter().filter(|wanted| is_wanted(wanted)) {
            if let Some(filter) = wanted.filter_for(names) {
                let _ = self.subscribe_to(key, &filter, wanted.options, wanted.retain_handling);
            }
        }
    }

    pub(super) fn is_exclusive(&self, key: SessionKey, filter: Filter<'_>) -> bool {
        let rare = self.session(key).rare.as_ref();
        filter.share.is_none() && rare.is_some_and(|rare| rare.exclusives.contains(filter.pattern))
    }

    pub(super) fn take_exclusive(
        &mut self,
        key: SessionKey,
        filter: Filter<'_>,
    ) -> Result<(), SubscribeError> {
        if !self.shared.extensions.exclusive {
            return Err(SubscribeError::ExclusiveOff);
        }
        if filter.share.is_some() {
            return Err(SubscribeError::ExclusiveShare);
        }
        if self.is_exclusive(key, filter) {
            return Ok(());
        }
        // Both would be one subscription, and whoever ends one of them would lose the other.
        if self.is_subscribed(key, filter) {
            return Err(SubscribeError::NotExclusively);
        }
        if !self.shared.exclusive.take(filter.pattern, self.address(key)) {
            return Err(SubscribeError::Taken);
        }
        self.session_mut(key).rare().exclusives.insert(filter.pattern.into());
        Ok(())
    }

    pub(super) fn give_back_exclusive(&mut self, key: SessionKey, filter: Filter<'_>) {
        let at = self.address(key);
        let Some(rare) = &mut self.session_mut(key).rare else { return };
        if rare.exclusives.remove(filter.pattern) {
            self.shared.exclusive.give_back(filter.pattern, at);
        }
    }

    /// Counts a message that is not published, and gives what is said of it.
    pub fn refuse(&mut self, why: Refusal) -> Published {
        self.counters.refused += 1;
        Published { refused: Some(why), ..Published::default() }
    }

    /// The bounds for messages that wait, if one to `topic` is to wait.
    pub(super) fn delays(&self, topic: &str) -> Option<DelayLimits> {
        self.shared.extensions.delayed.filter(|_| topic.starts_with(delayed::PREFIX))
    }

    pub(super) fn publish_later(
        &mut self,
        now: Time,
        publisher: Option<SessionKey>,
        message: &Message,
        limits: DelayLimits,
    ) -> Published {
        let (levels_max, waiting) = (self.shared.limits.topic_levels_max, &self.shared.delayed);
        let (at, message) = match Delayed::<()>::accept(now, message, levels_max, limits, waiting) {
            Ok(accepted) => accepted,
            Err(error) => return self.refuse(Refusal::Delayed(error)),
        };
        let mut number = 0;
        let kept_publisher = publisher.map_or(0, |key| self.session(key).number);
        if self.journal.keep(&message, &mut number) > 0 {
            let at = self.journal.moment(at);
            self.journal.note(&Entry::Delay { message: number, at, publisher: kept_publisher });
        }
        let publisher = publisher.map(|key| (key, self.session(key).serial));
        self.delayed.hold(at, Due { publisher, message, number }, kept_publisher);
        Published { matched: true, ..Published::default() }
    }

    /// Publishes what has waited for long enough.
    pub(super) fn publish_delayed(&mut self, now: Time, out: &mut impl Outlet) {
        for due in self.delayed.due(now, DELAYED_PER_ROUND, &self.shared.delayed) {
            self.begin_event();
            if due.number > 0 {
                self.journal.note(&Entry::Published { message: due.number });
            }
            let publisher = self.publisher_of(&due);
            if due.leaves_late() {
                // [MQTT-4.3.1-1]: it could leave, and come up again after a crash. What it retains is kept with this.
                let mut number = due.number;
                self.retain_if_asked(publisher, &due.message, &mut number);
                self.delayed.leave_after(self.journal.last_batch(), due);
            } else {
                self.announce_numbered(now, publisher, &due.message, due.number, out);
            }
        }
    }

    /// The batch that has to be on disk before all that has been due leaves; 0 if nothing waits for one. Nobody else waits
    /// for it, so the caller sees to it that it is written, and then says so with [`on_disk`](Self::on_disk).
    pub fn leaves_after(&self) -> u64 {
        self.delayed.leaves_after()
    }

    /// Batches up to `durable` are on disk: messages at QoS 0 leave that had been delayed and are not kept any longer.
    pub fn on_disk(&mut self, now: Time, durable: u64, out: &mut impl Outlet) {
        let shared = self.shared.clone();
        while let Some(due) = self.delayed.next_leaving(durable, &shared.delayed) {
            self.begin_event();
            let publisher = self.publisher_of(&due);
            self.deliver_everywhere(now, publisher, &due.message, 0, out);
        }
    }

    /// Who has published a message. It may be gone, and another one in its place.
    fn publisher_of(&self, due: &Due<Option<(SessionKey, u32)>>) -> Option<SessionKey> {
        let (key, serial) = due.publisher?;
        self.sessions.get(key.index() as usize).is_some_and(|s| s.serial == serial).then_some(key)
    }
}
