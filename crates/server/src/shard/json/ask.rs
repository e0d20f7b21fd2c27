//! Requests that somebody is to answer: the operation `req`.
//!
//! A connection that asks gets a topic of its own, which nobody can guess, and subscribes to it. It goes along with each
//! request as its response topic, and with it a correlation: the id of the request, and a number that nobody can guess
//! either, so that who answers one request cannot answer others in the name of somebody else. So who answers may speak any
//! protocol, and may be anywhere.

use super::publish::check_publish;
use crate::json_message::{self, bad_topic};
use crate::refused;
use crate::shard::ShardLoop;
use crate::shard::connection::{Connection, Form, Input, Link};
use crate::shard::net::{DATAGRAM_BYTES_MAX, Net};
use crate::stats::{Drop, Kind};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use trefoil_hub::topic::{REPLY_TOPICS, is_reply};
use trefoil_hub::{ConnectionKey, Delivered, Ending, Message, SessionKey, Time, Topic};
use trefoil_json::{AskRequest, Code, ExtrasRef, RequestError, encode_answer, is_text};

/// Requests that wait for an answer, of one connection.
pub(in crate::shard) const ASKS_MAX: usize = 1024;

/// The requests of a connection that wait for an answer.
pub(in crate::shard) struct Asks {
    /// Where answers go.
    topic: Topic,
    waiting: HashMap<u64, Ask, foldhash::fast::RandomState>,
    /// When the first of them is over, or earlier: who is answered does not change it.
    next_at: Option<Time>,
}

struct Ask {
    /// What stands in the correlation beside the id.
    nonce: u64,
    /// Over UDP its topic and payload, hashed: there the same request may come again, and another one under its id.
    content: u64,
    ends_at: Time,
}

impl Asks {
    /// When to look whether one is over.
    pub(in crate::shard) fn next_at(&self) -> Option<Time> {
        self.next_at
    }

    fn new() -> Result<Asks, RequestError> {
        let topic = format!("{REPLY_TOPICS}{:032x}", u128::from_ne_bytes(random()?));
        let topic = Topic::new(&topic, usize::MAX).expect("digits behind a word are a topic");
        Ok(Asks { topic, waiting: HashMap::default(), next_at: None })
    }

    fn put(&mut self, id: u64, ask: Ask) {
        self.next_at = Some(self.next_at.map_or(ask.ends_at, |next| next.min(ask.ends_at)));
        self.waiting.insert(id, ask);
    }

    /// Takes the request that a correlation belongs to, with its id.
    fn take(&mut self, correlation: &[u8]) -> Option<(u64, Ask)> {
        let (id, nonce) = read_correlation(correlation)?;
        self.waiting.get(&id).filter(|ask| ask.nonce == nonce)?;
        self.waiting.remove(&id).map(|ask| (id, ask))
    }

    /// Takes the requests that are over, in the order of their ids.
    fn take_over(&mut self, now: Time) -> Vec<u64> {
        let mut over: Vec<u64> =
            self.waiting.extract_if(|_, ask| ask.ends_at <= now).map(|(id, _)| id).collect();
        over.sort_unstable();
        self.next_at = self.waiting.values().map(|ask| ask.ends_at).min();
        over
    }

    fn take_all(&mut self) -> Vec<u64> {
        self.next_at = None;
        let mut all: Vec<u64> = self.waiting.drain().map(|(id, _)| id).collect();
        all.sort_unstable();
        all
    }
}

impl ShardLoop {
    /// Sends a request to whoever is subscribed to its topic.
    pub(super) fn json_ask(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        ask: &AskRequest<'_>,
    ) -> Result<(), RequestError> {
        let (now, levels_max) = (self.net.now, self.net.context.limits.topic_levels_max);
        trefoil_hub::topic::check_topic(&ask.message.topic, levels_max)
            .map_err(|e| bad_topic("req", &ask.message.topic, &e))?;
        check_publish("req", &ask.message.topic)?;
        if is_reply(&ask.message.topic) {
            let why = "below $reply are the topics to which answers go; nobody answers there";
            return Err(RequestError::new(Code::NotAuthorized, why).field("req"));
        }
        self.check_memory(key)?;
        let mut message = json_message::message(&ask.message, "req", levels_max, now)?;
        let nonce = u64::from_ne_bytes(random()?);
        let Some(connection) = self.net.get_mut(key) else { return Ok(()) };
        let is_udp = connection.is_udp();
        let own = connection.json_own();
        let is_new = own.asks.is_none();
        let asks = match &mut own.asks {
            Some(asks) => asks,
            none => none.insert(Box::new(Asks::new()?)),
        };
        let topic = asks.topic.clone();
        if is_new {
            self.finish_run();
            self.hub.take_replies(session, &topic);
        }
        let Some(connection) = self.net.get_mut(key) else { return Ok(()) };
        let Some(asks) = connection.json.as_mut().and_then(|own| own.asks.as_mut()) else { return Ok(()) };
        let hash = || asks.waiting.hasher().hash_one((&*message.topic, &*message.payload));
        let content = if is_udp { hash() } else { 0 };
        if let Some(waiting) = asks.waiting.get(&ask.id) {
            // A datagram may come twice, and its answer comes to the first.
            let is_same = is_udp && waiting.content == content;
            let why = format!("the request {} waits for its answer; give this one another id", ask.id);
            return if is_same { Ok(()) } else { Err(RequestError::new(Code::BadField, why).field("id")) };
        }
        if let Link::Udp(peer) = &connection.link
            && let Some(text) = peer.answered.get(ask.id, content).map(Box::<[u8]>::from)
        {
            // It comes again since the answer has got lost.
            self.json_answer(key, |out| out.extend_from_slice(&text));
            return Ok(());
        }
        if asks.waiting.len() >= ASKS_MAX {
            let why = format!("{ASKS_MAX} requests of this connection wait for an answer");
            return Err(RequestError::new(Code::Quota, why).field("req"));
        }
        // It waits before it is sent, since who answers may be this connection itself and do so at once.
        asks.put(ask.id, Ask { nonce, content, ends_at: now.plus_s(ask.timeout_s.into()) });
        let properties = message.properties.get_or_insert_default();
        properties.response_topic = Some((&*topic).into());
        properties.correlation_data = Some(correlation(ask.id, nonce).as_slice().into());
        self.note_publisher(key);
        self.net.stats().messages_in.add(1);
        let published = self.publish(Some(session), &Arc::new(message));
        let refused = match published.refused {
            Some(why) => Some(RequestError::new(refused::publish(why).json, why.to_string()).field("req")),
            None if !published.matched => {
                Some(RequestError::new(Code::NoResponder, "nobody is subscribed to this topic").field("req"))
            }
            None => None,
        };
        let Some(error) = refused else {
            self.set_timer(key);
            return Ok(());
        };
        match self.net.get_mut(key).and_then(Connection::asks).and_then(|asks| asks.waiting.remove(&ask.id)) {
            Some(_) => Err(error),
            None => Ok(()),
        }
    }

    /// Ends the requests that have waited for long enough.
    pub(in crate::shard) fn json_asks_due(&mut self, key: ConnectionKey) {
        let now = self.net.now;
        let Some(asks) = self.net.get_mut(key).and_then(Connection::asks) else { return };
        if asks.next_at.is_none_or(|at| at > now) {
            return;
        }
        let over = asks.take_over(now);
        self.net.waits_for = 0;
        self.fail_asks(key, &over, Code::Timeout, "nobody has answered in time");
        self.end_if_answered(key);
    }

    /// The hub stops, and nobody will be answered any more.
    pub(in crate::shard) fn json_give_up_asks(&mut self, key: ConnectionKey) {
        let Some(asks) = self.net.get_mut(key).and_then(Connection::asks) else { return };
        let all = asks.take_all();
        self.fail_asks(key, &all, Code::Unavailable, "the hub stops");
    }

    fn fail_asks(&mut self, key: ConnectionKey, ids: &[u64], code: Code, why: &'static str) {
        for id in ids {
            let error = RequestError::new(code, why).id(Some(*id));
            self.net.put_json(key, |out| error.encode(out));
        }
    }

    /// Connections that have been answered to, and may wait for nothing more.
    pub(in crate::shard) fn end_answered(&mut self) {
        while let Some(key) = self.net.answered.pop() {
            self.end_if_answered(key);
        }
    }

    /// Ends a connection that sends nothing more, has been answered to all that it asked, and listens to nothing else.
    fn end_if_answered(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        let is_over = connection.kind == Kind::JsonTcp && matches!(connection.input, Input::Ignored);
        let waits = connection.asks().is_some_and(|asks| !asks.waiting.is_empty());
        let session = connection.session.filter(|_| is_over && !waits);
        if session.is_some_and(|session| self.hub.subscription_count_of(session) <= 1) {
            self.end_session(key, Ending::Normal { expiry_s: None });
            self.finish(key);
        }
    }
}

impl Net {
    /// Brings a message to who has asked for it, if its topic is the one to which the answers to this connection go. It is
    /// given up if the connection does not read what it is sent, which is told to it in a few bytes.
    pub(in crate::shard) fn take_answer(
        &mut self,
        to: ConnectionKey,
        message: &Message,
    ) -> Option<Delivered> {
        let asks = self.get_mut(to).and_then(Connection::asks)?;
        if *asks.topic != *message.topic {
            return None;
        }
        let properties = message.properties.as_deref();
        let correlation = properties.and_then(|properties| properties.correlation_data.as_deref());
        // Another has answered before, or the time was over: whoever answers too late speaks to nobody.
        let Some((id, ask)) = correlation.and_then(|correlation| asks.take(correlation)) else {
            self.count_drop(Drop::NoRequest, 1);
            return Some(Delivered::Dropped);
        };
        if asks.waiting.is_empty() {
            self.answered.push(to);
        }
        let connection = self.get(to)?;
        let is_udp = connection.is_udp();
        if !self.fits(connection, 1, message.payload.len()) {
            self.count_drop(Drop::OutboxFull, 1);
            let why = "the answer has come, but you do not read as fast as it would be sent";
            let error = RequestError::new(Code::Overloaded, why).id(Some(id));
            self.put_json(to, |out| error.encode(out));
            return Some(Delivered::Dropped);
        }
        let is_binary = matches!(&connection.form, Form::JsonShaped(shape) if shape.is_binary);
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let in_frame = is_binary && !is_text(&message.payload);
        answer(id, message, self.now, in_frame, &mut text);
        if in_frame && text.len() <= trefoil_json::BINARY_HEADER_BYTES_MAX {
            self.put_binary(to, &text, message, 1);
        } else {
            if in_frame {
                text.clear();
                answer(id, message, self.now, false, &mut text);
            }
            if is_udp && text.len() > DATAGRAM_BYTES_MAX {
                let why = "the answer is longer than a datagram";
                text.clear();
                RequestError::new(Code::TooLarge, why).id(Some(id)).encode(&mut text);
            }
            if let Some(Link::Udp(peer)) = self.get_mut(to).map(|connection| &mut connection.link) {
                peer.answered.note((id, ask.content), &text);
            }
            self.put_json(to, |out| out.extend_from_slice(&text));
        }
        self.text = text;
        self.stats().messages_out.add(1);
        self.stats().payload_out.add(message.payload.len() as u64);
        Some(Delivered::Sent)
    }
}

/// Appends the JSON text of an answer.
fn answer(id: u64, message: &Message, now: Time, is_binary: bool, out: &mut Vec<u8>) {
    json_message::view(message, false, None, now, |view| {
        let extras = ExtrasRef { correlation: None, ..view.extras };
        encode_answer(id, view.payload, &extras, is_binary, out);
    });
}

fn correlation(id: u64, nonce: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    bytes[8..].copy_from_slice(&nonce.to_be_bytes());
    bytes
}

fn read_correlation(bytes: &[u8]) -> Option<(u64, u64)> {
    let (id, nonce) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*id), u64::from_be_bytes(nonce.try_into().ok()?)))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], RequestError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        RequestError::new(Code::Unavailable, format!("the system has no random numbers: {error}"))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks() -> Asks {
        Asks::new().expect("random numbers")
    }

    #[test]
    fn topics_for_answers_are_topics_that_nobody_guesses() {
        let (one, other) = (asks(), asks());
        assert!(is_reply(&one.topic) && one.topic.len() == REPLY_TOPICS.len() + 32);
        assert!(*one.topic != *other.topic);
    }

    #[test]
    fn an_answer_is_for_the_request_whose_correlation_it_has() {
        let mut asks = asks();
        asks.put(7, Ask { nonce: 1, content: 0, ends_at: Time::from_ms(5) });
        for wrong in [&correlation(7, 2)[..], &correlation(8, 1), &correlation(7, 1)[..15], b""] {
            assert!(asks.take(wrong).is_none());
        }
        assert_eq!(asks.take(&correlation(7, 1)).map(|(id, _)| id), Some(7));
        assert!(asks.take(&correlation(7, 1)).is_none());
    }

    #[test]
    fn each_request_has_a_time_of_its_own() {
        let mut asks = asks();
        for (id, ms) in [(3, 10), (1, 10), (2, 20)] {
            asks.put(id, Ask { nonce: 0, content: 0, ends_at: Time::from_ms(ms) });
        }
        assert_eq!(asks.next_at(), Some(Time::from_ms(10)));
        assert_eq!(asks.take_over(Time::from_ms(10)), [1, 3]);
        assert_eq!(asks.next_at(), Some(Time::from_ms(20)));
        assert_eq!(asks.take_all(), [2]);
        assert_eq!(asks.next_at(), None);
    }
}
