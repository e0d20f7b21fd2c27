//! Who listens on which name, and who calls: the book of streams, which all shards share.
//!
//! It is opened for moments: when somebody listens, calls, accepts, refuses or goes away. Once two are joined, they share
//! a shard, and nothing here is touched for their bytes but a counter of their own.
//!
//! The book keeps nobody who has gone: each connection that stands in it says so when it ends. So what is in it is bounded
//! by the connections there may be, and by the limits on how many wait for one listener.

#[cfg(test)]
mod tests;

use crate::stats::Figure;
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use trefoil_config::Limits;
use trefoil_hub::{ConnectionKey, Time};
use trefoil_json::{Code, RequestError};

/// Names on which one connection may listen.
const NAMES_MAX: usize = 64;

/// A connection, wherever it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct End {
    pub(crate) shard: usize,
    pub(crate) key: ConnectionKey,
    pub(crate) serial: u32,
}

/// Who is at an end, as the other is told.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Who {
    pub(crate) client: Option<Arc<str>>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) peer: Option<Arc<str>>,
}

/// What a connection has to be told, or to do.
#[derive(Debug)]
pub(crate) enum Note {
    /// Somebody calls.
    Call { name: Arc<str>, token: Token, from: Who },
    /// The call has come to nothing.
    Failed(RequestError),
    /// Go to this one, and be joined with it.
    Join(End),
    /// Who was on the way to it has been lost.
    Alone,
    /// Somebody listens now, and has until then to accept it.
    Due(Time),
}

/// A note, and whom it is for.
pub(crate) type Letter = (End, Note);

/// By which a caller is accepted or refused: 128 bits that nobody can guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Token(u128);

/// What becomes of a wish to be joined.
#[derive(Debug)]
pub(crate) enum Found {
    /// That one waits for it, and has been taken out of the book.
    Join(End),
    /// It stands in the book; look again at this time. None: whenever somebody calls.
    Waits(Option<Time>),
}

/// Streams: who waits, and who is joined.
#[derive(Default)]
pub(crate) struct Streams {
    book: Mutex<Book>,
    /// Streams joined since the start.
    pub(crate) opened: Figure,
    /// Wishes refused, by the reason.
    pub(crate) refused: Figure,
    /// Streams that ended otherwise than by the wish of both ends: reset, cut, or idle for too long.
    pub(crate) broken: Figure,
    /// Those of them that were idle for too long.
    pub(crate) idle: Figure,
    /// Bytes relayed by streams that have ended.
    pub(crate) bytes: Figure,
}

#[derive(Default)]
struct Book {
    names: HashMap<Arc<str>, Name, RandomState>,
    callers: HashMap<End, Caller, RandomState>,
    tokens: HashMap<Token, End, RandomState>,
    /// The names on which each listens.
    listening: HashMap<End, Vec<Arc<str>>, RandomState>,
    joined: BTreeMap<u64, Arc<Joined>>,
    last_number: u64,
}

#[derive(Default)]
struct Name {
    /// Whose turn is next stands first.
    listeners: VecDeque<Listener>,
    /// Callers for whom there is no listener, the oldest first.
    waiting: VecDeque<End>,
}

struct Listener {
    end: End,
    is_once: bool,
    is_exclusive: bool,
    /// Callers of whom it has been told.
    calls: Vec<End>,
}

struct Caller {
    name: Arc<str>,
    from: Who,
    /// Until when it waits for somebody to listen.
    waits_until: Time,
    called: Option<Called>,
}

/// A listener has been told.
struct Called {
    token: Token,
    listener: End,
    until: Time,
}

/// Two connections that are joined.
#[derive(Debug)]
pub(crate) struct Joined {
    number: u64,
    pub(crate) name: Arc<str>,
    pub(crate) caller: Who,
    pub(crate) listener: Who,
    pub(crate) began: Time,
    /// Bytes from the caller, and from the listener; the shard of the two writes them.
    moved: [AtomicU64; 2],
}

impl Joined {
    /// Counts bytes from one side: 0 the caller's, 1 the listener's.
    pub(crate) fn count(&self, side: usize, bytes: usize) {
        let figure = &self.moved[side];
        figure.store(figure.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
    }

    /// Bytes from the caller, and from the listener.
    pub(crate) fn moved(&self) -> [u64; 2] {
        [0, 1].map(|side: usize| self.moved[side].load(Ordering::Relaxed))
    }
}

/// How many there are now.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    pub(crate) joined: usize,
    pub(crate) listeners: usize,
    /// Callers that wait for a listener, or to be accepted.
    pub(crate) callers: usize,
}

/// A name that somebody listens on, or calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub(crate) name: Arc<str>,
    pub(crate) listeners: usize,
    pub(crate) callers: usize,
}

impl Token {
    /// Reads what a client gave.
    pub(crate) fn read(text: &str) -> Option<Token> {
        let is_token = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_token.then(|| u128::from_str_radix(text, 16).ok().map(Token)).flatten()
    }

    fn new() -> Result<Token, RequestError> {
        let mut bytes = [0; 16];
        let why = "the system gives no randomness for a token; try again";
        getrandom::fill(&mut bytes).map_err(|_| RequestError::new(Code::Unavailable, why))?;
        Ok(Token(u128::from_ne_bytes(bytes)))
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Streams {
    /// Somebody calls a name, and waits until then for somebody to listen.
    ///
    /// # Errors
    /// Why the caller does not get what it wants.
    pub(crate) fn connect(
        &self,
        (name, from): (&Arc<str>, Who),
        end: End,
        (now, waits_until): (Time, Time),
        limits: &Limits,
        letters: &mut Vec<Letter>,
    ) -> Result<Found, RequestError> {
        let mut book = self.open();
        if book.joined.len() >= limits.streams_max {
            return Err(self.refuse(full(limits)));
        }
        let caller = Caller { name: name.clone(), from, waits_until, called: None };
        book.dispatch(end, caller, now, limits, letters).map_err(|error| self.refuse(error))
    }

    /// Somebody listens on a name: it will be told of callers, or with `is_once` joined with the first.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn listen(
        &self,
        name: &Arc<str>,
        end: End,
        (is_exclusive, is_once): (bool, bool),
        now: Time,
        limits: &Limits,
        letters: &mut Vec<Letter>,
    ) -> Result<Found, RequestError> {
        let mut book = self.open();
        let listener = Listener { end, is_once, is_exclusive, calls: Vec::new() };
        book.listen(name, listener, now, limits, letters).map_err(|error| self.refuse(error))
    }

    /// Takes the caller that a token stands for out of the book: who has the token is joined with it.
    pub(crate) fn accept(&self, token: Token) -> Option<(End, Arc<str>)> {
        let mut book = self.open();
        let end = *book.tokens.get(&token)?;
        let caller = book.take_caller(end)?;
        Some((end, caller.name))
    }

    /// Refuses a caller. Whether there was one.
    pub(crate) fn turn_away(&self, token: Token, reason: &str, letters: &mut Vec<Letter>) -> bool {
        let mut book = self.open();
        let Some(&end) = book.tokens.get(&token) else { return false };
        if book.take_caller(end).is_none() {
            return false;
        }
        let reason: Cow<'static, str> = match reason {
            "" => "who listens does not want the call".into(),
            reason => reason.to_owned().into(),
        };
        letters.push((end, Note::Failed(self.refuse(RequestError::new(Code::Refused, reason)))));
        true
    }

    /// The time of a caller may be over: `Ok` says when to look again, none if it does not stand in the book any more and
    /// somebody is on the way to it.
    ///
    /// # Errors
    /// Why its call has come to nothing.
    pub(crate) fn is_due(&self, end: End, now: Time, limits: &Limits) -> Result<Option<Time>, RequestError> {
        let mut book = self.open();
        let Some(caller) = book.callers.get(&end) else { return Ok(None) };
        let until = caller.called.as_ref().map_or(caller.waits_until, |called| called.until);
        if until > now {
            return Ok(Some(until));
        }
        let was_called = caller.called.is_some();
        book.take_caller(end);
        let error = match was_called {
            true => {
                let within_s = limits.stream_accept_s;
                let why =
                    format!("who listens has not accepted within {within_s} s (limits.stream_accept_s)");
                RequestError::new(Code::Timeout, why)
            }
            false => RequestError::new(Code::NoListener, "nobody has come to listen on this name in time"),
        };
        Err(self.refuse(error))
    }

    /// A connection goes away, or wants nothing of streams any more.
    pub(crate) fn leave(&self, end: End, now: Time, limits: &Limits, letters: &mut Vec<Letter>) {
        let mut book = self.open();
        book.take_caller(end);
        for name in book.listening.remove(&end).unwrap_or_default() {
            let Some(entry) = book.names.get_mut(&name) else { continue };
            let at = entry.listeners.iter().position(|listener| listener.end == end);
            let calls = at.and_then(|at| entry.listeners.remove(at)).map(|listener| listener.calls);
            book.forget_if_empty(&name);
            // Who waited for it waits for others, as long as it would have waited for anybody.
            for end in calls.unwrap_or_default() {
                let Some(caller) = book.callers.remove(&end) else { continue };
                caller.called.as_ref().map(|called| book.tokens.remove(&called.token));
                if let Err(error) =
                    book.dispatch_again(end, Caller { called: None, ..caller }, now, limits, letters)
                {
                    letters.push((end, Note::Failed(self.refuse(error))));
                }
            }
        }
    }

    /// Two are joined. None if there are as many as there may be.
    pub(crate) fn join(
        &self,
        name: &Arc<str>,
        (caller, listener): (Who, Who),
        now: Time,
        limits: &Limits,
    ) -> Result<Arc<Joined>, RequestError> {
        let mut book = self.open();
        if book.joined.len() >= limits.streams_max {
            return Err(self.refuse(full(limits)));
        }
        book.last_number += 1;
        let (number, name) = (book.last_number, name.clone());
        let moved = [const { AtomicU64::new(0) }; 2];
        let joined = Arc::new(Joined { number, name, caller, listener, began: now, moved });
        book.joined.insert(number, joined.clone());
        self.opened.shared_add(1);
        Ok(joined)
    }

    /// A stream has ended.
    pub(crate) fn part(&self, joined: &Joined) {
        self.open().joined.remove(&joined.number);
        self.bytes.shared_add(joined.moved().iter().sum::<u64>().cast_signed());
    }

    /// How many there are now.
    pub(crate) fn counts(&self) -> Counts {
        let book = self.open();
        let listeners = book.listening.values().map(Vec::len).sum();
        Counts { joined: book.joined.len(), listeners, callers: book.callers.len() }
    }

    /// Bytes relayed since the start.
    pub(crate) fn bytes_moved(&self) -> u64 {
        let book = self.open();
        let now: u64 = book.joined.values().flat_map(|joined| joined.moved()).sum();
        self.bytes.get().wrapping_add(now)
    }

    /// The names in the book, and the streams that are joined, of each at most so many, in the order of names and of age.
    pub(crate) fn list(&self, max: usize) -> (Vec<Listed>, Vec<Arc<Joined>>) {
        let book = self.open();
        let listed = book.names.iter().map(|(name, entry)| Listed {
            name: name.clone(),
            listeners: entry.listeners.len(),
            callers: entry.waiting.len() + entry.listeners.iter().map(|l| l.calls.len()).sum::<usize>(),
        });
        let mut listed: Vec<Listed> = listed.collect();
        let joined = book.joined.values().take(max).cloned().collect();
        drop(book);
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        listed.truncate(max);
        (listed, joined)
    }

    fn open(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, error: RequestError) -> RequestError {
        self.refused.shared_add(1);
        error
    }
}

impl Book {
    /// Finds somebody for a caller, or lets it wait.
    fn dispatch(
        &mut self,
        end: End,
        mut caller: Caller,
        now: Time,
        limits: &Limits,
        letters: &mut Vec<Letter>,
    ) -> Result<Found, RequestError> {
        let name = caller.name.clone();
        let waiting_max = limits.stream_waiting_max;
        let Some(entry) = self.names.get_mut(&name).filter(|entry| !entry.listeners.is_empty()) else {
            return self.let_wait(end, caller, now, waiting_max);
        };
        for _ in 0..entry.listeners.len() {
            let Some(mut listener) = entry.listeners.pop_front() else { break };
            if listener.is_once {
                self.unlist(listener.end, &name);
                self.forget_if_empty(&name);
                return Ok(Found::Join(listener.end));
            }
            if listener.calls.len() >= waiting_max {
                entry.listeners.push_back(listener);
                continue;
            }
            let token = match Token::new() {
                Ok(token) => token,
                Err(error) => {
                    entry.listeners.push_front(listener);
                    return Err(error);
                }
            };
            let until = now.plus_s(limits.stream_accept_s.into());
            letters.push((listener.end, Note::Call { name, token, from: caller.from.clone() }));
            caller.called = Some(Called { token, listener: listener.end, until });
            listener.calls.push(end);
            entry.listeners.push_back(listener);
            self.tokens.insert(token, end);
            self.callers.insert(end, caller);
            return Ok(Found::Waits(Some(until)));
        }
        Err(too_many_wait(waiting_max))
    }

    /// The same for a caller that has waited: it is told what has changed for it.
    fn dispatch_again(
        &mut self,
        end: End,
        caller: Caller,
        now: Time,
        limits: &Limits,
        letters: &mut Vec<Letter>,
    ) -> Result<(), RequestError> {
        match self.dispatch(end, caller, now, limits, letters)? {
            Found::Join(listener) => letters.push((end, Note::Join(listener))),
            Found::Waits(Some(until)) => letters.push((end, Note::Due(until))),
            Found::Waits(None) => {}
        }
        Ok(())
    }

    fn let_wait(
        &mut self,
        end: End,
        caller: Caller,
        now: Time,
        waiting_max: usize,
    ) -> Result<Found, RequestError> {
        let until = caller.waits_until;
        if until <= now {
            return Err(RequestError::new(Code::NoListener, "nobody listens on this name"));
        }
        let entry = self.names.entry(caller.name.clone()).or_default();
        if entry.waiting.len() >= waiting_max {
            return Err(too_many_wait(waiting_max));
        }
        entry.waiting.push_back(end);
        self.callers.insert(end, caller);
        Ok(Found::Waits(Some(until)))
    }

    fn listen(
        &mut self,
        name: &Arc<str>,
        listener: Listener,
        now: Time,
        limits: &Limits,
        letters: &mut Vec<Letter>,
    ) -> Result<Found, RequestError> {
        let end = listener.end;
        let own = self.listening.get(&end).map_or(&[][..], Vec::as_slice);
        if own.contains(name) {
            let why = "this connection listens on the name already";
            return Err(RequestError::new(Code::Taken, why));
        }
        if own.len() >= NAMES_MAX {
            let why = format!("a connection listens on {NAMES_MAX} names at most");
            return Err(RequestError::new(Code::Quota, why));
        }
        if let Some(entry) = self.names.get_mut(name) {
            let is_alone = entry.listeners.is_empty();
            if !is_alone && (listener.is_exclusive || entry.listeners.iter().any(|other| other.is_exclusive))
            {
                let why = match listener.is_exclusive {
                    true => "somebody listens on the name already",
                    false => "somebody listens on the name and wants to be alone",
                };
                return Err(RequestError::new(Code::Taken, why));
            }
            if listener.is_once
                && let Some(caller) = entry.waiting.pop_front()
            {
                self.callers.remove(&caller);
                self.forget_if_empty(name);
                return Ok(Found::Join(caller));
            }
        }
        self.listening.entry(end).or_default().push(name.clone());
        let entry = self.names.entry(name.clone()).or_default();
        entry.listeners.push_back(listener);
        let waiting = std::mem::take(&mut entry.waiting);
        for end in waiting {
            let Some(caller) = self.callers.remove(&end) else { continue };
            // There is a listener that is no once one; when it has heard of as many as may be, the others are refused.
            if let Err(error) = self.dispatch_again(end, caller, now, limits, letters) {
                letters.push((end, Note::Failed(error)));
            }
        }
        Ok(Found::Waits(None))
    }

    /// Takes a caller out of the book, wherever it stands in there.
    fn take_caller(&mut self, end: End) -> Option<Caller> {
        let caller = self.callers.remove(&end)?;
        let entry = self.names.get_mut(&caller.name);
        match (&caller.called, entry) {
            (Some(called), entry) => {
                self.tokens.remove(&called.token);
                let mut listeners = entry.into_iter().flat_map(|entry| &mut entry.listeners);
                if let Some(listener) = listeners.find(|listener| listener.end == called.listener) {
                    listener.calls.retain(|other| *other != end);
                }
            }
            (None, Some(entry)) => entry.waiting.retain(|other| *other != end),
            (None, None) => {}
        }
        self.forget_if_empty(&caller.name);
        Some(caller)
    }

    fn unlist(&mut self, end: End, name: &str) {
        let Some(names) = self.listening.get_mut(&end) else { return };
        names.retain(|other| **other != *name);
        if names.is_empty() {
            self.listening.remove(&end);
        }
    }

    fn forget_if_empty(&mut self, name: &str) {
        let is_empty = |entry: &Name| entry.listeners.is_empty() && entry.waiting.is_empty();
        if self.names.get(name).is_some_and(is_empty) {
            self.names.remove(name);
        }
    }
}

fn full(limits: &Limits) -> RequestError {
    let max = limits.streams_max;
    RequestError::new(Code::Quota, format!("there are {max} streams already (limits.streams_max); try later"))
}

fn too_many_wait(waiting_max: usize) -> RequestError {
    let why =
        format!("{waiting_max} callers of this name wait already (limits.stream_waiting_max); try later");
    RequestError::new(Code::Quota, why)
}
