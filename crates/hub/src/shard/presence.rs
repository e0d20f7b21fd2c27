//! Who is on a topic: what this shard's sessions have to do with it, as those who are there and as those who watch.

use super::{Ending, Shard};
use crate::exclusive;
use crate::key::SessionKey;
use crate::outlet::Outlet;
use crate::presence::roll::RollKey;
use crate::presence::{
    ClientKind, ConnectionName, Letter, PresenceAsker, PresenceError, PresenceQuestion, PresentClient, Word,
};
use crate::session::{Link, Session};
use crate::time::Time;
use crate::topic::{Filter, TopicError, is_reply};
use std::sync::Arc;

/// How many subscribers are looked at in one round for those who begin to watch: some tenths of a millisecond.
pub(super) const ROUND_STEPS: usize = 4096;

impl Shard {
    /// A session that has just subscribed to `filter` watches from now on who is on that topic. It is told with the next
    /// [`resume`](Self::resume), or when all shards have answered, and until it unsubscribes or its connection ends. If it
    /// watches already it is told anew.
    ///
    /// # Errors
    /// When the filter is not that of one topic, or too many are watched.
    pub fn watch_presence(&mut self, key: SessionKey, filter: &str) -> Result<(), PresenceError> {
        let Some(connection) = self.session(key).connection() else { return Ok(()) };
        let topic = self.presence_topic(key, filter)?;
        let (shared, letters) = (&self.shared, &mut self.letters);
        self.views.watch((key, connection), &topic, filter, &shared.presence, letters)
    }

    /// Whether [`watch_presence`](Self::watch_presence) could take a filter, whatever else is watched.
    ///
    /// # Errors
    /// When it could not.
    pub fn check_presence(&self, key: SessionKey, filter: &str) -> Result<(), PresenceError> {
        self.presence_topic(key, filter).map(|_| ())
    }

    /// A session asks who is on a topic. The answer comes by [`Outlet::answer_presence`], at once or when all shards have
    /// answered, unless its connection ends before.
    ///
    /// # Errors
    /// When it is not one topic, or too many questions of the session wait for their answers.
    pub fn ask_presence(
        &mut self,
        now: Time,
        key: SessionKey,
        topic: &str,
        id: Option<u64>,
        out: &mut impl Outlet,
    ) -> Result<(), PresenceError> {
        let Some(connection) = self.session(key).connection() else { return Ok(()) };
        let rewritten = self.presence_topic(key, topic)?;
        let question =
            PresenceQuestion { topic: topic.into(), asker: PresenceAsker::Client { connection, id } };
        let (presence, letters) = (&self.shared.presence, &mut self.letters);
        self.views.ask_for(key, &rewritten, question, presence, letters)?;
        self.tell_presence(now, out);
        Ok(())
    }

    /// Somebody who is no client asks who is on a topic, to be answered in the same way by `number`.
    pub fn ask_presence_from_outside(&mut self, now: Time, topic: &str, number: u64, out: &mut impl Outlet) {
        let question = PresenceQuestion { topic: topic.into(), asker: PresenceAsker::Outside(number) };
        self.views.ask(topic, question, &self.shared.presence, &mut self.letters);
        self.tell_presence(now, out);
    }

    /// A client says something else of itself than when it came: JSON, or nothing.
    pub fn set_presence_info(&mut self, key: SessionKey, info: Option<Arc<str>>) {
        self.strike_all(key);
        self.session_mut(key).rare().info = info;
        self.note_presence(key);
    }

    /// A client goes on over something else than what it came by.
    pub fn set_client_kind(&mut self, key: SessionKey, kind: ClientKind) {
        if self.session(key).kind != kind {
            self.strike_all(key);
            self.session_mut(key).kind = kind;
            self.note_presence(key);
        }
    }

    /// What the connection of a session is called, while it has one.
    pub fn connection_name(&self, key: SessionKey) -> Option<ConnectionName> {
        let link = self.sessions.get(key.index() as usize)?.link?;
        Some(ConnectionName { shard: self.number, tag: link.tag.get() })
    }

    /// Takes what has come together to those whom it is for.
    pub(super) fn tell_presence(&mut self, now: Time, out: &mut impl Outlet) {
        while let Some((to, letter)) = self.letters.pop() {
            if to == self.number {
                self.take_letter(now, letter, out);
            } else {
                out.forward(to, crate::Parcel::Presence(Box::new(letter)));
            }
        }
    }

    pub(super) fn take_letter(&mut self, now: Time, letter: Letter, out: &mut impl Outlet) {
        let Letter { from, word } = letter;
        match word {
            Word::Watch { topic, ticket, mode } => {
                let roll = self.open_roll(&topic);
                self.rolls.read(roll, from, ticket, mode);
                self.make_rolls(now);
                self.answer_roll(now, roll);
            }
            Word::Unwatch { topic } => {
                if let Some(roll) = self.subscriptions.find_roll(&topic) {
                    let ended = self.rolls.read_no_more(now, roll, from);
                    ended.into_iter().for_each(|node| self.subscriptions.end_roll(node));
                }
            }
            said => self.views.hear(from, said, &self.shared.presence, &mut self.letters, out),
        }
    }

    /// Tells a session what it is behind with.
    pub(super) fn catch_up_with_presence(&mut self, key: SessionKey, out: &mut impl Outlet) {
        if !self.views.is_empty() {
            self.views.catch_up(key, out);
        }
    }

    pub(super) fn presence_wait_ms(&self, now: Time) -> Option<u64> {
        let due = [self.rolls.due_at(), self.views.due_at()];
        due.into_iter().flatten().min().map(|at| at.since(now))
    }

    /// Does what is due.
    pub(super) fn go_on_with_presence(&mut self, now: Time, out: &mut impl Outlet) {
        // Whoever asks again and again between two rounds waits for the next one.
        self.roll_steps = ROUND_STEPS;
        self.make_rolls(now);
        self.rolls.tell_counts(now, &mut self.letters);
        self.views.tell_counts(now, &self.shared.presence, out);
        while let Some(node) = self.rolls.end_idle(now) {
            self.subscriptions.end_roll(node);
        }
        self.tell_presence(now, out);
    }

    /// A session has a connection, and is on the topics that it is subscribed to.
    pub(super) fn note_presence(&mut self, key: SessionKey) {
        for roll in self.rolls_of(key) {
            self.enter(roll, key);
        }
    }

    /// A session has lost its connection. When the hub stops all go, and nobody needs to be told; and who goes on in another
    /// process has not gone.
    pub(super) fn note_presence_lost(&mut self, key: SessionKey, link: Link, ending: Ending) {
        if matches!(ending, Ending::Stopped | Ending::HandedOver) {
            return;
        }
        for roll in self.rolls_of(key) {
            self.strike_link(roll, key, link);
        }
        if !self.views.is_empty() {
            self.views.forget(key, &self.shared.presence, &mut self.letters);
        }
    }

    /// A session is about to be called something else.
    pub(super) fn strike_all(&mut self, key: SessionKey) {
        for roll in self.rolls_of(key) {
            self.strike(roll, key);
        }
    }

    /// A session has subscribed to a topic that there is a roll of, or come with its subscription.
    pub(super) fn enter(&mut self, roll: RollKey, key: SessionKey) {
        let Some(link) = self.session(key).link else { return };
        let (number, session) = (self.number, &self.sessions[key.index() as usize]);
        let client = || present_client(number, session, link);
        self.rolls.came(roll, key, client, &self.shared.presence, &mut self.letters);
    }

    /// A session that may have a connection is not subscribed to a topic any longer.
    pub(super) fn strike(&mut self, roll: RollKey, key: SessionKey) {
        if let Some(link) = self.session(key).link {
            self.strike_link(roll, key, link);
        }
    }

    pub(super) fn watch_presence_no_more(&mut self, key: SessionKey, topic: &str) {
        if !self.views.is_empty() {
            self.views.watch_no_more(key, topic, &self.shared.presence, &mut self.letters);
        }
    }

    fn strike_link(&mut self, roll: RollKey, key: SessionKey, link: Link) {
        let connection = ConnectionName { shard: self.number, tag: link.tag.get() };
        let client_id = &self.sessions[key.index() as usize].client_id;
        self.rolls.went(roll, key, (client_id, connection), &self.shared.presence, &mut self.letters);
    }

    /// The rolls of the topics that a session is subscribed to.
    fn rolls_of(&self, key: SessionKey) -> Vec<RollKey> {
        if self.rolls.is_empty() {
            return Vec::new();
        }
        let nodes = self.session(key).filters.nodes();
        nodes.iter().filter_map(|&node| self.subscriptions.roll_of(node)).collect()
    }

    /// The roll of a topic, begun if there is none.
    fn open_roll(&mut self, topic: &str) -> RollKey {
        let node = match self.subscriptions.roll(topic) {
            (_, Some(roll)) => return *roll,
            (node, None) => node,
        };
        let subscribers = self.subscriptions.subscribers(node);
        let roll = self.rolls.begin(node, subscribers, self.shared.seed());
        *self.subscriptions.roll(topic).1 = Some(roll);
        roll
    }

    /// Goes on with rolls whose subscribers have not all been looked at.
    fn make_rolls(&mut self, now: Time) {
        while self.roll_steps > 0 {
            let subscriptions = &self.subscriptions;
            let Some((roll, node, unseen)) = self.rolls.next_to_make(|node| subscriptions.subscribers(node))
            else {
                return;
            };
            let left = unseen.saturating_sub(self.roll_steps);
            // One without subscribers has had its turn as well.
            self.roll_steps = self.roll_steps.saturating_sub((unseen - left).max(1));
            let sessions = &self.sessions;
            let seen = subscriptions.some_subscribers(node, left..unseen);
            let present = seen.filter(|key| sessions[key.index() as usize].link.is_some());
            if self.rolls.enter(roll, left, present) {
                self.answer_roll(now, roll);
            }
        }
    }

    fn answer_roll(&mut self, now: Time, roll: RollKey) {
        let (number, sessions) = (self.number, &self.sessions);
        let client = |key: SessionKey| {
            let session = sessions.get(key.index() as usize)?;
            Some(present_client(number, session, session.link?))
        };
        let clients_max = self.shared.presence.options().clients_max;
        let ended = self.rolls.answer(now, roll, clients_max, client, &mut self.letters);
        ended.into_iter().for_each(|node| self.subscriptions.end_roll(node));
    }

    /// The topic that a session means, by the rules for filters.
    fn presence_topic(&self, key: SessionKey, filter: &str) -> Result<String, PresenceError> {
        let rewritten = self.rewritten_filter(key, filter);
        let filter = rewritten.as_deref().unwrap_or(filter);
        let filter = filter.strip_prefix(exclusive::PREFIX).unwrap_or(filter);
        let parsed = Filter::parse(filter, self.shared.limits.topic_levels_max);
        let parsed = parsed.map_err(|_: TopicError| PresenceError::NotATopic)?;
        if parsed.share.is_some() || parsed.pattern.contains(['+', '#']) || is_reply(parsed.pattern) {
            return Err(PresenceError::NotATopic);
        }
        Ok(parsed.pattern.to_owned())
    }
}

fn present_client(shard: usize, session: &Session, link: Link) -> PresentClient {
    PresentClient {
        client_id: session.client_id.clone(),
        connection: ConnectionName { shard, tag: link.tag.get() },
        kind: session.kind,
        user: session.identity().cloned(),
        info: session.rare.as_ref().and_then(|rare| rare.info.clone()),
    }
}
