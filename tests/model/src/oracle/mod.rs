//! The oracle: reads what happened and says whether every promise was kept.
//!
//! | promise | checked in |
//! | --- | --- |
//! | QoS 0 at most once, QoS 2 exactly once, nothing that nobody sent | `copies` |
//! | QoS 1 at least once, nothing acknowledged is missing | `finish` |
//! | the order of a publisher's messages on a topic | `order` |
//! | nothing that was sent after UNSUBACK | `wants` |
//! | retained messages: once for each subscription, and not an old one | `replays` |
//!
//! It knows only what clients know. Where the outcome hangs on something that no client can see (was a subscription
//! made before its SUBACK got lost?), nothing is promised and nothing is checked.

mod receiver;
mod replays;
#[cfg(test)]
mod tests;

use crate::durability::{Durability, Promise};
use crate::history::{Entry, Event, Message};
use receiver::Receiver;
use replays::{Kept, KeptMessage};
use std::collections::HashMap;

/// What may be missing for a stated reason.
#[derive(Clone, Default, Debug)]
pub struct Allowance {
    /// Deliveries that the hub says it has dropped since a queue was full.
    pub dropped: u64,
    /// What a crash of the hub may cost.
    pub promise: Promise,
}

/// What a history came to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Messages sent, wills not counted.
    pub sent: usize,
    /// Deliveries.
    pub delivered: usize,
    /// Deliveries that were promised, and came.
    pub promised: usize,
    /// Messages sent more than once.
    pub resent: usize,
    /// Deliveries with the DUP flag.
    pub repeated: usize,
    /// Retained deliveries.
    pub retained: usize,
    /// How often a session was lost or let go.
    pub sessions_lost: usize,
}

/// What the oracle knows of a message.
struct Known {
    message: Message,
    publisher: usize,
    /// How often it was sent.
    sends: usize,
    sent_at_ms: u64,
    is_acknowledged: bool,
    is_abandoned: bool,
    is_will: bool,
    /// It was on disk at some time after it was acknowledged, if it is kept at all.
    is_safe: bool,
    /// How often the hub had lost what it is not sure to keep when it was sent.
    number_of_losses: usize,
    /// The place in the history where it was first sent.
    sent_at: usize,
}

/// How often the hub has lost something.
#[derive(Default)]
struct Losses {
    /// Everything.
    all: usize,
    /// What it does not promise to keep.
    crashes: usize,
}

impl Losses {
    /// How often it may have lost the messages on a topic.
    fn of(&self, topic: &str, promise: &Promise) -> usize {
        self.all + if promise.of(topic) == Durability::Sync { 0 } else { self.crashes }
    }
}

/// Checks a history that has come to rest: every client has been connected at last, and nothing is under way.
///
/// # Errors
/// The first promise that was broken, and at which entry.
pub fn check(entries: &[Entry], allowance: Allowance) -> Result<Summary, String> {
    let mut messages: HashMap<u64, Known> = HashMap::new();
    let clients = entries.iter().map(|entry| entry.client + 1).max().unwrap_or(0);
    let mut receivers: Vec<Receiver> = (0..clients).map(|_| Receiver::default()).collect();
    // The last message that the hub took over for retaining, by topic.
    let mut kept = Kept::new();
    // The last message of a topic that was to be retained at QoS 0, and so may or may not be.
    let mut weak: HashMap<String, u64> = HashMap::new();
    let (mut summary, mut losses) = (Summary::default(), Losses::default());
    // What has been acknowledged since the hub last had everything on disk.
    let mut lately: Vec<u64> = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let fault = |why: String| format!("{why}\n  at: {entry}");
        let at = &mut receivers[entry.client];
        match &entry.event {
            Event::Sent(message) | Event::Bequeathed(message) => {
                let is_will = matches!(entry.event, Event::Bequeathed(_));
                summary.sent += usize::from(!is_will);
                let known = Known {
                    message: message.clone(),
                    publisher: entry.client,
                    sends: 1,
                    sent_at_ms: entry.at_ms,
                    is_acknowledged: false,
                    // A will need not be sent ever.
                    is_abandoned: is_will,
                    is_will,
                    is_safe: false,
                    number_of_losses: losses.of(&message.topic, &allowance.promise),
                    sent_at: place,
                };
                if messages.insert(message.number, known).is_some() {
                    return Err(fault(format!(
                        "message {} is sent for the first time twice",
                        message.number
                    )));
                }
                if message.retain && (message.qos == 0 || message.clears) {
                    weak.insert(message.topic.clone(), message.number);
                    if let Some(kept) = kept.get_mut(&message.topic) {
                        kept.may_be_weak = true;
                    }
                }
                if !is_will {
                    receivers.iter_mut().for_each(|receiver| receiver.sent(message));
                }
            }
            Event::Resent(number) => {
                let known = messages.get_mut(number).ok_or_else(|| fault("resent, but never sent".into()))?;
                summary.resent += usize::from(known.sends == 1);
                known.sends += 1;
            }
            Event::Acknowledged(number) => {
                let known =
                    messages.get_mut(number).ok_or_else(|| fault("acknowledged, but not sent".into()))?;
                known.is_acknowledged = true;
                lately.push(*number);
                // The answer may have been under way when the hub lost what it is about.
                if known.message.retain
                    && known.number_of_losses == losses.of(&known.message.topic, &allowance.promise)
                {
                    let kept_message = KeptMessage {
                        number: *number,
                        may_be_weak: known.message.clears
                            || weak.get(&known.message.topic).is_some_and(|weak| weak > number),
                    };
                    kept.insert(known.message.topic.clone(), kept_message);
                }
            }
            Event::Abandoned(number) => {
                if let Some(known) = messages.get_mut(number) {
                    known.is_abandoned = true;
                }
            }
            Event::Subscribing { filter, qos, wants_retained, request } => {
                at.subscribing(filter, *qos, *request, wants_retained.then_some(&kept));
            }
            Event::Subscribed { filter, qos, request } => {
                at.subscribed(filter, *qos, *request).map_err(fault)?
            }
            Event::Unsubscribing { filter } => at.interrupted(filter),
            Event::Unsubscribed { filter } => at.ended(filter, place),
            Event::SessionLost => {
                summary.sessions_lost += 1;
                at.session_lost();
            }
            Event::HubLost => {
                kept.clear();
                losses.all += 1;
                receivers.iter_mut().for_each(Receiver::hub_lost);
            }
            Event::HubSynced => {
                for number in lately.drain(..) {
                    messages.entry(number).and_modify(|known| known.is_safe = true);
                }
                receivers.iter_mut().for_each(|receiver| receiver.hub_synced(place));
            }
            Event::HubCrashed => {
                losses.crashes += 1;
                let is_lost = |number: u64| {
                    let known = messages.get(&number);
                    known.is_some_and(|known| match allowance.promise.of(&known.message.topic) {
                        Durability::Sync => false,
                        Durability::Interval => !known.is_safe,
                        Durability::None => true,
                    })
                };
                // What was there before may be there again.
                kept.retain(|_, kept| !is_lost(kept.number));
                let own = allowance.promise.own;
                receivers.iter_mut().for_each(|receiver| receiver.hub_crashed(own, &is_lost));
            }
            Event::Delivered { number, topic, qos, retain, dup } => {
                let Some(known) = messages.get(number) else {
                    return Err(fault("a message that nobody sent".into()));
                };
                if known.message.topic != *topic {
                    return Err(fault(format!("it was sent to {}", known.message.topic)));
                }
                summary.delivered += 1;
                summary.repeated += usize::from(*dup);
                summary.retained += usize::from(*retain);
                at.wants(*qos, known).map_err(fault)?;
                if *retain {
                    at.replays.came(*number, known, *qos, *dup).map_err(fault)?;
                } else {
                    at.copies(*number, known, *qos).map_err(fault)?;
                    at.order(*number, known, (*qos, *dup), allowance.dropped > 0).map_err(fault)?;
                }
            }
        }
    }
    let end_ms = entries.last().map_or(0, |entry| entry.at_ms);
    finish(&messages, &mut receivers, end_ms, &allowance, &mut summary)?;
    Ok(summary)
}

/// What must have happened by the end.
fn finish(
    messages: &HashMap<u64, Known>,
    receivers: &mut [Receiver],
    end_ms: u64,
    allowance: &Allowance,
    summary: &mut Summary,
) -> Result<(), String> {
    for known in messages.values() {
        let is_open = known.message.qos > 0 && !known.is_acknowledged && !known.is_abandoned;
        if is_open {
            return Err(format!("message {} was never acknowledged", known.message.number));
        }
    }
    let mut missing = Vec::new();
    for (client, receiver) in receivers.iter_mut().enumerate() {
        for (number, came) in receiver.promised() {
            let known = &messages[&number];
            let expires_ms = known.message.expiry_s.map(|s| known.sent_at_ms + u64::from(s) * 1000);
            if came {
                summary.promised += 1;
            } else if known.is_acknowledged && expires_ms.is_none_or(|at| at > end_ms) {
                missing.push(format!("client {client}: {number} on {}", known.message.topic));
            }
        }
        for (filter, topic, number) in receiver.replays.missing() {
            missing.push(format!("client {client}: retained {number} on {topic} for {filter}"));
        }
    }
    if missing.len() as u64 > allowance.dropped {
        missing.sort();
        return Err(format!(
            "{} deliveries are missing, and the hub dropped {}: {missing:#?}",
            missing.len(),
            allowance.dropped
        ));
    }
    Ok(())
}

/// Whether a topic filter matches a topic (MQTT 5.0 §4.7).
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}
