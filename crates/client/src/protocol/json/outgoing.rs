//! What this client sends, until the hub has answered it.

use super::incoming::properties;
use super::{END, Json};
use crate::command::{Command, Done};
use crate::error::{Error, Peer};
use crate::message::{Answer, Message};
use crate::protocol::resend::Resend;
use crate::units::Units;
use std::collections::BTreeMap;
use tokio::time::Instant;
use trefoil_json::{ExtrasRef, PublishView, SubscribeView, TIMEOUT_S_MAX};
use trefoil_mqtt::QoS;

/// Over UDP no more is on its way than the other side's socket surely holds.
const LOSSY_WINDOW_MAX: usize = 32;

/// The question for the end is answered by a pong, which has no id.
const END_ID: u64 = u64::MAX;

/// What waits for an answer, by id.
#[derive(Debug)]
pub(super) struct Outgoing {
    waiting: BTreeMap<u64, Waiting>,
    window: usize,
    is_lossy: bool,
    unit_bytes_max: usize,
    last_id: u64,
    /// The text that is being written.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Waiting {
    what: What,
    /// `None` where nothing gets lost.
    resend: Option<Resend>,
}

#[derive(Debug)]
enum What {
    Publish { topic: String, done: Option<Done<()>> },
    Subscribe { filter: String, done: Done<QoS> },
    Unsubscribe { filter: String, done: Done<()> },
    Ask { topic: String, done: Done<Answer> },
    End,
}

impl What {
    fn end(self, result: Result<QoS, Error>) {
        // Whether anybody still waits does not matter.
        let _ = match self {
            What::Publish { done: Some(done), .. } | What::Unsubscribe { done, .. } => {
                done.send(result.map(drop)).is_ok()
            }
            What::Subscribe { done, .. } => done.send(result).is_ok(),
            // What it is answered is sent by who takes that in.
            What::Ask { done, .. } => done.send(result.map(|_| Answer::default())).is_ok(),
            What::Publish { done: None, .. } | What::End => true,
        };
    }

    fn is_given_up(&self) -> bool {
        matches!(self, What::Ask { done, .. } if done.is_closed())
    }

    fn name(&self) -> String {
        match self {
            What::Publish { topic, .. } => format!("the message to {topic}"),
            What::Subscribe { filter, .. } => format!("the subscription to {filter}"),
            What::Unsubscribe { filter, .. } => format!("the end of the subscription to {filter}"),
            What::Ask { topic, .. } => format!("the request to {topic}"),
            What::End => "the goodbye".into(),
        }
    }
}

impl Outgoing {
    pub(super) fn new(window: u16, is_lossy: bool, unit_bytes_max: usize) -> Outgoing {
        let window = usize::from(window.max(1));
        Outgoing {
            waiting: BTreeMap::new(),
            window: if is_lossy { window.min(LOSSY_WINDOW_MAX) } else { window },
            is_lossy,
            unit_bytes_max,
            last_id: 0,
            scratch: Vec::new(),
        }
    }

    /// Whether nothing waits any more but requests whose askers do not.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.values().all(|waiting| waiting.what.is_given_up())
    }

    pub(super) fn published(&mut self, id: u64) {
        self.finish(id, Ok(QoS::AtMostOnce));
    }

    pub(super) fn subscribed(&mut self, id: Option<u64>, qos: u8) {
        let qos = QoS::from_bits(qos).unwrap_or(QoS::AtMostOnce);
        self.finish(id.unwrap_or_default(), Ok(qos));
    }

    pub(super) fn unsubscribed(&mut self, id: Option<u64>) {
        self.finish(id.unwrap_or_default(), Ok(QoS::AtMostOnce));
    }

    pub(super) fn ended(&mut self) {
        self.finish(END_ID, Ok(QoS::AtMostOnce));
    }

    pub(super) fn answered(&mut self, answer: trefoil_json::Answer<'_>) {
        if !matches!(self.waiting.get(&answer.id), Some(Waiting { what: What::Ask { .. }, .. })) {
            return;
        }
        if let Some(Waiting { what: What::Ask { done, .. }, .. }) = self.waiting.remove(&answer.id) {
            let (payload, properties) = (answer.payload.into_owned(), properties(answer.extras));
            // Whether anybody still waits does not matter.
            let _ = done.send(Ok(Answer { payload, properties }));
        }
    }

    /// `is_over`: the hub has waited for long enough.
    pub(super) fn refused(&mut self, id: u64, reason: &str, is_over: bool, peer: &Peer) {
        if let Some(waiting) = self.waiting.get(&id) {
            let error = match is_over {
                true => peer.timed_out(format!("{}: {reason}", waiting.what.name())),
                false => peer.refused(waiting.what.name(), reason),
            };
            self.finish(id, Err(error));
        }
    }

    pub(super) fn fail(&mut self, error: &Error) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            waiting.what.end(Err(error.clone()));
        }
    }

    /// Asks for what is answered after everything else.
    pub(super) fn ask_for_end(&mut self, now: Instant, out: &mut Units) {
        self.send(END_ID, What::End, now, out, |out| trefoil_json::encode_ping(END, out));
    }

    /// An answer may come twice, or after its request was given up: ids are not used again.
    fn finish(&mut self, id: u64, result: Result<QoS, Error>) {
        if let Some(waiting) = self.waiting.remove(&id) {
            waiting.what.end(result);
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends a text that is answered.
    fn send(&mut self, id: u64, what: What, now: Instant, out: &mut Units, write: impl FnOnce(&mut Vec<u8>)) {
        match self.write(out, write) {
            Ok(()) => {
                let resend = self.is_lossy.then(|| Resend::new(self.scratch.as_slice().into(), now));
                self.waiting.insert(id, Waiting { what, resend });
            }
            Err(error) => what.end(Err(error)),
        }
    }

    fn write(&mut self, out: &mut Units, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.scratch.clear();
        write(&mut self.scratch);
        if self.scratch.len() > self.unit_bytes_max {
            return Err(Error::usage(format!(
                "a message of {} bytes does not fit into a datagram, which holds {}; send it by tcp:// or mqtt://",
                self.scratch.len(),
                self.unit_bytes_max
            )));
        }
        out.add(|out| out.extend_from_slice(&self.scratch));
        Ok(())
    }
}

impl Json {
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.waiting.len() < self.outgoing.window
    }

    pub(crate) fn handle_command(&mut self, command: Command, now: Instant, out: &mut Units) {
        let outgoing = &mut self.outgoing;
        match command {
            Command::Publish(message, None) => {
                if let Err(error) = outgoing.write(out, |out| encode_publish(&message, None, out)) {
                    self.unheard.get_or_insert(error);
                }
            }
            Command::Publish(message, done) => {
                let id = outgoing.next_id();
                let what = What::Publish { topic: message.topic.clone(), done };
                outgoing.send(id, what, now, out, |out| encode_publish(&message, Some(id), out));
            }
            Command::Subscribe { filter, qos, slow_reader, done } => {
                let id = outgoing.next_id();
                let text = filter.clone();
                outgoing.send(id, What::Subscribe { filter, done }, now, out, |out| {
                    // The protocol has QoS 0 and 1; the answer says which of them is granted.
                    let qos = (qos as u8).min(1);
                    let filters = [text.as_str()];
                    let view = SubscribeView {
                        filters: &filters,
                        qos,
                        slow_reader,
                        id: Some(id),
                        ..SubscribeView::default()
                    };
                    trefoil_json::encode_subscribe(&view, out);
                });
            }
            Command::Unsubscribe { filter, done } => {
                let id = outgoing.next_id();
                let text = filter.clone();
                outgoing.send(id, What::Unsubscribe { filter, done }, now, out, |out| {
                    trefoil_json::encode_unsubscribe(&[&text], Some(id), out);
                });
            }
            Command::Ask { message, timeout, done } => {
                outgoing.waiting.retain(|_, waiting| !waiting.what.is_given_up());
                let id = outgoing.next_id();
                let what = What::Ask { topic: message.topic.clone(), done };
                let timeout_s = timeout.as_millis().div_ceil(1000).clamp(1, TIMEOUT_S_MAX.into()) as u32;
                outgoing.send(id, what, now, out, |out| {
                    with_view(&message, Some(id), |view| trefoil_json::encode_ask(view, timeout_s, out));
                });
                if let Some(waiting) = outgoing.waiting.get_mut(&id) {
                    waiting.resend = waiting.resend.take().map(|resend| resend.until(now + timeout));
                }
            }
            Command::Close(_) => {}
        }
    }

    pub(crate) fn resend_at(&self) -> Option<Instant> {
        self.outgoing.waiting.values().filter_map(|waiting| waiting.resend.as_ref()).map(Resend::at).min()
    }

    /// Sends again what was not answered, and gives up what was sent often enough.
    pub(crate) fn resend(&mut self, now: Instant, out: &mut Units) {
        let mut given_up = Vec::new();
        for (&id, waiting) in &mut self.outgoing.waiting {
            match waiting.resend.as_mut().map(|resend| resend.due(now)) {
                Some(Some(Ok(text))) => out.add(|out| out.extend_from_slice(text)),
                Some(Some(Err(()))) => given_up.push(id),
                Some(None) | None => {}
            }
        }
        for id in given_up {
            if let Some(waiting) = self.outgoing.waiting.remove(&id) {
                let error = self.peer.timed_out(format!("{} was not acknowledged", waiting.what.name()));
                if matches!(waiting.what, What::End) {
                    self.unheard.get_or_insert(error);
                } else {
                    waiting.what.end(Err(error));
                }
            }
        }
    }
}

fn encode_publish(message: &Message, id: Option<u64>, out: &mut Vec<u8>) {
    with_view(message, id, |view| trefoil_json::encode_publish(view, out));
}

fn with_view(message: &Message, id: Option<u64>, write: impl FnOnce(&PublishView<'_>)) {
    let properties = &message.properties;
    let pairs = properties.user_properties.iter();
    let pairs: Vec<(&str, &str)> = pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let view = PublishView {
        topic: &message.topic,
        payload: &message.payload,
        qos: (message.qos as u8).min(1),
        retain: message.retain,
        id,
        extras: ExtrasRef {
            content_type: properties.content_type.as_deref(),
            response_topic: properties.response_topic.as_deref(),
            correlation: properties.correlation_data.as_deref(),
            expiry_s: properties.expiry_s,
            user_properties: &pairs,
        },
    };
    write(&view);
}
