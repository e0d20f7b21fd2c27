//! What one shard knows of who is on the topics that its own clients watch, put together from the rolls of all shards;
//! and the questions that its clients have asked.

use super::{
    Letters, Mode, Presence, PresenceAnswer, PresenceError, PresenceNews, PresenceQuestion, PresentClient,
    Watcher, Word,
};
use crate::key::{ConnectionKey, SessionKey};
use crate::outlet::Outlet;
use crate::time::Time;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often watchers are told how many are there, where only the number is told.
const COUNT_MS: u64 = 1000;

/// Questions of one session that may wait for their answer.
const QUESTIONS_MAX: usize = 64;

/// The views of a shard.
#[derive(Debug)]
pub(crate) struct Views {
    shards: usize,
    last_ticket: u64,
    views: HashMap<u64, View, RandomState>,
    by_topic: HashMap<Arc<str>, u64, RandomState>,
    questions: HashMap<u64, Question, RandomState>,
    /// What each session has to do with it.
    parts: HashMap<SessionKey, Part, RandomState>,
    /// Views whose number has changed and is all that is told of them.
    changed: Vec<u64>,
    counted_at: Time,
    /// Kept for its memory.
    told: Vec<ConnectionKey>,
}

/// What a session has to do with presence.
#[derive(Default, Debug)]
struct Part {
    topics: Vec<Arc<str>>,
    questions: Vec<u64>,
    /// It may be behind with one of the topics; else they need not be gone through.
    is_behind: bool,
}

#[derive(Debug)]
struct View {
    topic: Arc<str>,
    mode: Mode,
    /// How many shards have yet to say what they have.
    awaited: usize,
    /// How many clients each shard has.
    counts: Box<[usize]>,
    /// Who they are, if they are listed.
    clients: BTreeMap<Arc<str>, PresentClient>,
    watchers: HashMap<SessionKey, Place, RandomState>,
    /// The number has changed since it was told.
    is_changed: bool,
}

/// One who watches.
#[derive(Debug)]
struct Place {
    connection: ConnectionKey,
    /// What it calls the topic, if that is not what the topic is.
    name: Option<Arc<str>>,
    /// It has to be told the whole: it is new, or its outbox was full.
    is_behind: bool,
}

#[derive(Debug)]
struct Question {
    /// The session, if it is one's.
    session: Option<SessionKey>,
    question: PresenceQuestion,
    awaited: usize,
    answer: PresenceAnswer,
}

impl Views {
    /// For one of so many shards.
    pub(crate) fn new(shards: usize) -> Views {
        Views {
            shards,
            last_ticket: 0,
            views: HashMap::default(),
            by_topic: HashMap::default(),
            questions: HashMap::default(),
            parts: HashMap::default(),
            changed: Vec::new(),
            counted_at: Time::default(),
            told: Vec::new(),
        }
    }

    /// Whether no session watches or asks.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// A session watches a topic from now on. If it does so already it is told the whole anew. It is told, in both cases,
    /// once it is [caught up](Self::catch_up) or all shards have answered.
    pub(crate) fn watch(
        &mut self,
        (session, connection): Watcher,
        topic: &str,
        name: &str,
        presence: &Presence,
        letters: &mut Letters,
    ) -> Result<(), PresenceError> {
        let max = presence.options.watched_max;
        let topics = self.parts.get(&session).map_or(&[][..], |part| &part.topics);
        let is_new = !topics.iter().any(|known| **known == *topic);
        if is_new && topics.len() >= max {
            return Err(presence.refuse(PresenceError::TooMany { max }));
        }
        let ticket = match self.by_topic.get(topic) {
            Some(&ticket) => ticket,
            None => self.open(topic, presence, letters)?,
        };
        let view = self.views.get_mut(&ticket).expect("each ticket of a topic has a view");
        let part = self.parts.entry(session).or_default();
        part.is_behind = true;
        if is_new {
            presence.watchers.fetch_add(1, Ordering::Relaxed);
            part.topics.push(view.topic.clone());
        }
        let name = (name != topic).then(|| name.into());
        view.watchers.insert(session, Place { connection, name, is_behind: true });
        Ok(())
    }

    /// A session does not watch a topic any longer, if it did.
    pub(crate) fn watch_no_more(
        &mut self,
        session: SessionKey,
        topic: &str,
        presence: &Presence,
        letters: &mut Letters,
    ) {
        let Some(part) = self.parts.get_mut(&session) else { return };
        let Some(at) = part.topics.iter().position(|known| **known == *topic) else { return };
        part.topics.swap_remove(at);
        if part.is_empty() {
            self.parts.remove(&session);
        }
        self.leave(session, topic, presence, letters);
    }

    /// A session asks who is on a topic.
    pub(crate) fn ask_for(
        &mut self,
        session: SessionKey,
        topic: &str,
        question: PresenceQuestion,
        presence: &Presence,
        letters: &mut Letters,
    ) -> Result<(), PresenceError> {
        let part = self.parts.entry(session).or_default();
        if part.questions.len() >= QUESTIONS_MAX {
            return Err(presence.refuse(PresenceError::TooManyQuestions { max: QUESTIONS_MAX }));
        }
        // The ticket that the question gets.
        part.questions.push(self.last_ticket + 1);
        self.put(Some(session), topic, question, presence, letters);
        Ok(())
    }

    /// Somebody else does.
    pub(crate) fn ask(
        &mut self,
        topic: &str,
        question: PresenceQuestion,
        presence: &Presence,
        letters: &mut Letters,
    ) {
        self.put(None, topic, question, presence, letters);
    }

    fn put(
        &mut self,
        session: Option<SessionKey>,
        topic: &str,
        question: PresenceQuestion,
        presence: &Presence,
        letters: &mut Letters,
    ) {
        presence.questions.fetch_add(1, Ordering::Relaxed);
        self.last_ticket += 1;
        let (awaited, answer) = (self.shards, PresenceAnswer::default());
        self.questions.insert(self.last_ticket, Question { session, question, awaited, answer });
        write_to_all(self.shards, &topic.into(), self.last_ticket, Mode::Once, letters);
    }

    /// A session's connection has ended: it neither watches nor asks any more.
    pub(crate) fn forget(&mut self, session: SessionKey, presence: &Presence, letters: &mut Letters) {
        let Some(part) = self.parts.remove(&session) else { return };
        for topic in part.topics {
            self.leave(session, &topic, presence, letters);
        }
        for ticket in part.questions {
            self.questions.remove(&ticket);
        }
    }

    /// Tells a session the whole of what it watches and is behind with, as far as there is room.
    pub(crate) fn catch_up(&mut self, session: SessionKey, out: &mut impl Outlet) {
        let Some(part) = self.parts.get_mut(&session).filter(|part| part.is_behind) else { return };
        part.is_behind = false;
        for topic in &part.topics {
            let view = self.by_topic.get(topic).and_then(|ticket| self.views.get_mut(ticket));
            // Who waits for a list is told once all shards have answered, whether it is behind or not.
            let is_known = |view: &&mut View| view.awaited == 0 || view.mode == Mode::Counts;
            let Some(view) = view.filter(is_known) else { continue };
            let View { watchers, clients, counts, mode, .. } = view;
            let Some(place) = watchers.get_mut(&session).filter(|place| place.is_behind) else { continue };
            let listed: Vec<_> = clients.values().collect();
            let count = counts.iter().sum();
            let news =
                if *mode == Mode::Lists { PresenceNews::List(&listed) } else { PresenceNews::Count(count) };
            let name = place.name.as_ref().unwrap_or(topic);
            if !out.tell_presence(&[place.connection], name, &news).is_empty() {
                part.is_behind = true;
                return;
            }
            place.is_behind = false;
        }
    }

    /// Takes what a shard says of one of its rolls.
    pub(crate) fn hear(
        &mut self,
        from: usize,
        word: Word,
        presence: &Presence,
        letters: &mut Letters,
        out: &mut impl Outlet,
    ) {
        let (Word::Roll { ticket, .. }
        | Word::Came { ticket, .. }
        | Word::Went { ticket, .. }
        | Word::Count { ticket, .. }) = word
        else {
            return;
        };
        // Whoever goes on being told with a ticket that is not known has yet to hear that it is over.
        let Some(view) = self.views.get_mut(&ticket) else {
            if let Word::Roll { answer, .. } = word {
                self.hear_answer(ticket, answer, presence, out);
            }
            return;
        };
        let is_live = view.awaited == 0 && view.mode == Mode::Lists;
        match word {
            Word::Roll { answer, .. } => {
                view.counts[from] = answer.count;
                view.clients
                    .extend(answer.clients.into_iter().map(|client| (client.client_id.clone(), client)));
                view.awaited -= 1;
                if view.awaited == 0 {
                    self.complete(ticket, presence, letters, out);
                }
            }
            Word::Came { client, .. } => {
                view.counts[from] += 1;
                view.clients.insert(client.client_id.clone(), client.clone());
                let count = view.count();
                if count > presence.options.clients_max {
                    self.change(ticket, Mode::Counts, presence, letters, out);
                } else if is_live {
                    view.tell(
                        &PresenceNews::Came(&client, count),
                        &mut self.told,
                        &mut self.parts,
                        presence,
                        out,
                    );
                }
            }
            Word::Went { client_id, connection, .. } => {
                view.counts[from] -= 1;
                view.clients.remove(&client_id);
                if is_live {
                    let news = PresenceNews::Went(&client_id, connection, view.count());
                    view.tell(&news, &mut self.told, &mut self.parts, presence, out);
                }
            }
            Word::Count { count, .. } => {
                view.counts[from] = count;
                if view.awaited == 0 {
                    self.weigh(ticket, presence, letters, out);
                }
            }
            Word::Watch { .. } | Word::Unwatch { .. } => {}
        }
    }

    /// When the next numbers are to be told.
    pub(crate) fn due_at(&self) -> Option<Time> {
        (!self.changed.is_empty()).then(|| self.counted_at.plus_ms(COUNT_MS))
    }

    /// Tells the numbers that are due.
    pub(crate) fn tell_counts(&mut self, now: Time, presence: &Presence, out: &mut impl Outlet) {
        if self.changed.is_empty() || now < self.counted_at.plus_ms(COUNT_MS) {
            return;
        }
        self.counted_at = now;
        for ticket in std::mem::take(&mut self.changed) {
            let Some(view) = self.views.get_mut(&ticket) else { continue };
            view.is_changed = false;
            if view.awaited == 0 && view.mode == Mode::Counts {
                view.tell(&PresenceNews::Count(view.count()), &mut self.told, &mut self.parts, presence, out);
            }
        }
    }

    fn hear_answer(
        &mut self,
        ticket: u64,
        answer: PresenceAnswer,
        presence: &Presence,
        out: &mut impl Outlet,
    ) {
        let Some(waiting) = self.questions.get_mut(&ticket) else { return };
        waiting.answer.join(answer, presence.options.clients_max);
        waiting.awaited -= 1;
        if waiting.awaited > 0 {
            return;
        }
        let Some(Question { session, question, answer, .. }) = self.questions.remove(&ticket) else { return };
        if let Some(session) = session
            && let Some(part) = self.parts.get_mut(&session)
        {
            part.questions.retain(|&asked| asked != ticket);
            if part.is_empty() {
                self.parts.remove(&session);
            }
        }
        out.answer_presence(&question, &answer);
    }

    /// All shards have said what they have.
    fn complete(&mut self, ticket: u64, presence: &Presence, letters: &mut Letters, out: &mut impl Outlet) {
        let Some(view) = self.views.get_mut(&ticket) else { return };
        if view.mode == Mode::Counts {
            return self.weigh(ticket, presence, letters, out);
        }
        // Some may have gone since a shard had too many to name them.
        if view.count() > presence.options.clients_max || view.clients.len() < view.count() {
            return self.change(ticket, Mode::Counts, presence, letters, out);
        }
        view.watchers.values_mut().for_each(|place| place.is_behind = false);
        let clients = std::mem::take(&mut view.clients);
        let listed: Vec<_> = clients.values().collect();
        view.tell(&PresenceNews::List(&listed), &mut self.told, &mut self.parts, presence, out);
        view.clients = clients;
    }

    /// Looks whether there are few enough now to be listed, or the number has to be told.
    fn weigh(&mut self, ticket: u64, presence: &Presence, letters: &mut Letters, out: &mut impl Outlet) {
        let Some(view) = self.views.get_mut(&ticket) else { return };
        if view.count() < presence.options.clients_low() {
            return self.change(ticket, Mode::Lists, presence, letters, out);
        }
        if !std::mem::replace(&mut view.is_changed, true) {
            self.changed.push(ticket);
        }
    }

    /// Asks all shards anew, in another way.
    fn change(
        &mut self,
        ticket: u64,
        mode: Mode,
        presence: &Presence,
        letters: &mut Letters,
        out: &mut impl Outlet,
    ) {
        let Some(mut view) = self.views.remove(&ticket) else { return };
        (view.mode, view.awaited, view.is_changed) = (mode, self.shards, false);
        view.clients = BTreeMap::new();
        if mode == Mode::Counts {
            // It is the end of the list, whoever was behind with that.
            view.watchers.values_mut().for_each(|place| place.is_behind = false);
            view.tell(&PresenceNews::Count(view.count()), &mut self.told, &mut self.parts, presence, out);
        }
        self.last_ticket += 1;
        self.by_topic.insert(view.topic.clone(), self.last_ticket);
        write_to_all(self.shards, &view.topic, self.last_ticket, mode, letters);
        self.views.insert(self.last_ticket, view);
    }

    fn open(
        &mut self,
        topic: &str,
        presence: &Presence,
        letters: &mut Letters,
    ) -> Result<u64, PresenceError> {
        let max = presence.options.topics_max;
        if presence.topics.fetch_add(1, Ordering::Relaxed) >= max {
            presence.topics.fetch_sub(1, Ordering::Relaxed);
            return Err(presence.refuse(PresenceError::TooManyOfAll { max }));
        }
        self.last_ticket += 1;
        let topic: Arc<str> = topic.into();
        self.by_topic.insert(topic.clone(), self.last_ticket);
        write_to_all(self.shards, &topic, self.last_ticket, Mode::Lists, letters);
        let view = View {
            topic,
            mode: Mode::Lists,
            awaited: self.shards,
            counts: vec![0; self.shards].into(),
            clients: BTreeMap::new(),
            watchers: HashMap::default(),
            is_changed: false,
        };
        self.views.insert(self.last_ticket, view);
        Ok(self.last_ticket)
    }

    fn leave(&mut self, session: SessionKey, topic: &str, presence: &Presence, letters: &mut Letters) {
        presence.watchers.fetch_sub(1, Ordering::Relaxed);
        let Some(&ticket) = self.by_topic.get(topic) else { return };
        let Some(view) = self.views.get_mut(&ticket) else { return };
        view.watchers.remove(&session);
        if !view.watchers.is_empty() {
            return;
        }
        presence.topics.fetch_sub(1, Ordering::Relaxed);
        for shard in 0..self.shards {
            letters.write(shard, Word::Unwatch { topic: view.topic.clone() });
        }
        self.by_topic.remove(topic);
        self.views.remove(&ticket);
    }
}

impl Part {
    fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.questions.is_empty()
    }
}

impl View {
    fn count(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Tells all watchers that know what was before; who has no room for it is told the whole later.
    fn tell(
        &mut self,
        news: &PresenceNews<'_>,
        to: &mut Vec<ConnectionKey>,
        parts: &mut HashMap<SessionKey, Part, RandomState>,
        presence: &Presence,
        out: &mut impl Outlet,
    ) {
        to.clear();
        let up_to_date = || self.watchers.values().filter(|place| !place.is_behind);
        to.extend(up_to_date().filter(|place| place.name.is_none()).map(|place| place.connection));
        let mut full = out.tell_presence(to, &self.topic, news);
        for place in up_to_date() {
            if let Some(name) = &place.name {
                full.extend(out.tell_presence(&[place.connection], name, news));
            }
        }
        if full.is_empty() {
            return;
        }
        presence.count_behind(full.len());
        full.sort_unstable_by_key(|connection| connection.0);
        for (session, place) in &mut self.watchers {
            if full.binary_search_by_key(&place.connection.0, |full| full.0).is_ok() {
                place.is_behind = true;
                parts.get_mut(session).expect("who watches has a part in it").is_behind = true;
            }
        }
    }
}

fn write_to_all(shards: usize, topic: &Arc<str>, ticket: u64, mode: Mode, letters: &mut Letters) {
    for shard in 0..shards {
        letters.write(shard, Word::Watch { topic: topic.clone(), ticket, mode });
    }
}
