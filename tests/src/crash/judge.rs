//! The judge: reads the evidence and says whether every promise was kept.
//!
//! | promise | checked by |
//! | --- | --- |
//! | acknowledged messages arrive, in order, at QoS 2 once; nothing that nobody sent | the oracle of `tests/model` |
//! | nothing comes for a subscription that has ended | `ended` |
//! | a shared subscription gives each message to one member | `shared` |
//! | delayed messages not before they are due, expired ones not at all | `times` |
//! | what is promised without a sync | `weak` |
//! | histories: each place once and in order, nothing acknowledged is missing, no gap | `places` |
//! | wills: once if the client was lost, never if it said goodbye or came back in time | `wills` |
//!
//! Retained messages and `session present` are checked at once by the clients that see them.

use super::evidence::{Evidence, Fate};
use super::places::{PlacesTally, places};
use super::players::WATCHER;
use super::times::{Times, times};
use super::weak::{WeakTally, weak};
use std::collections::HashMap;
use trefoil_model::{Allowance, Event, Message, Summary, check, matches};

/// What a round came to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    /// From the oracle.
    pub summary: Summary,
    /// Messages that the hub acknowledged.
    pub acknowledged: usize,
    /// Messages for the shared subscription that were acknowledged.
    pub shared: usize,
    /// Copies beyond the first, at QoS 1: one that came with DUP or was published twice.
    pub duplicates: usize,
    /// Wills that had to be published.
    pub wills_due: usize,
    /// Wills that must not be published.
    pub wills_forbidden: usize,
    /// Subscriptions of which the end was acknowledged.
    pub removed: usize,
    /// What came at its time, or did not come any more.
    pub times: Times,
    /// What is promised less.
    pub weak: WeakTally,
    /// What is kept in histories.
    pub places: PlacesTally,
}

/// Judges what has come to rest.
///
/// # Errors
/// The first promise that was broken.
pub fn judge(evidence: &Evidence) -> Result<Tally, String> {
    let summary = check(&evidence.main.entries, Allowance::default())?;
    let sent = Sent::of(evidence);
    ended(evidence, &sent)?;
    let shared = shared(evidence, &sent)?;
    let (wills_due, wills_forbidden) = wills(evidence)?;
    let (times, weak, places) = (times(evidence)?, weak(evidence)?, places(evidence, &sent)?);
    let acknowledged = sent.0.values().filter(|known| known.is_acknowledged).count();
    let (removed, duplicates) = (evidence.removed.len(), duplicates(evidence));
    Ok(Tally {
        summary,
        acknowledged,
        shared,
        duplicates,
        wills_due,
        wills_forbidden,
        removed,
        times,
        weak,
        places,
    })
}

pub(super) struct Known {
    pub(super) message: Message,
    pub(super) publisher: usize,
    /// At which entry it was first sent.
    at: usize,
    pub(super) is_acknowledged: bool,
}

pub(super) struct Sent(pub(super) HashMap<u64, Known>);

impl Sent {
    pub(super) fn of(evidence: &Evidence) -> Sent {
        let mut sent = HashMap::new();
        for (at, entry) in evidence.main.entries.iter().enumerate() {
            match &entry.event {
                Event::Sent(message) | Event::Bequeathed(message) => {
                    let known = Known {
                        message: message.clone(),
                        publisher: entry.client,
                        at,
                        is_acknowledged: false,
                    };
                    sent.insert(message.number, known);
                }
                Event::Acknowledged(number) => {
                    if let Some(known) = sent.get_mut(number) {
                        known.is_acknowledged = true;
                    }
                }
                _ => {}
            }
        }
        Sent(sent)
    }
}

/// Nothing that was sent after the end of a subscription was acknowledged may come because of it.
fn ended(evidence: &Evidence, sent: &Sent) -> Result<(), String> {
    // By client and filter: from which entry to which it may hold.
    let mut spans: HashMap<(usize, &str), Vec<(usize, usize)>> = HashMap::new();
    let mut ends = evidence.removed.iter().peekable();
    for (at, entry) in evidence.main.entries.iter().enumerate() {
        while let Some(end) = ends.next_if(|end| end.at <= at) {
            let last = spans.get_mut(&(end.client, &*end.filter)).and_then(|spans| spans.last_mut());
            last.ok_or("a subscription ended that nobody had asked for")?.1 = end.at;
        }
        match &entry.event {
            Event::Subscribing { filter, .. } => {
                let spans = spans.entry((entry.client, filter)).or_default();
                if spans.last().is_none_or(|span| span.1 < usize::MAX) {
                    spans.push((at, usize::MAX));
                }
            }
            Event::Delivered { number, topic, .. } => {
                let Some(known) = sent.0.get(number) else { continue };
                let is_meant = spans.iter().any(|((client, filter), spans)| {
                    let holds = |span: &(usize, usize)| span.0 <= at && known.at < span.1;
                    *client == entry.client && matches(filter, topic) && spans.iter().rev().any(holds)
                });
                if !is_meant {
                    return Err(format!(
                        "message {number} was sent after the last subscription for it was ended (UNSUBACK)\n  \
                         at: {entry}"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Each message goes to one member: at QoS 2 to one only. Gives how many there were.
fn shared(evidence: &Evidence, sent: &Sent) -> Result<usize, String> {
    let mut copies: HashMap<u64, usize> = HashMap::new();
    for entry in &evidence.group.entries {
        let Event::Delivered { number, topic, qos, .. } = &entry.event else { continue };
        let fault =
            |why: String| format!("shared subscription: {why}\n  at: member {}: {entry}", entry.client);
        let known = sent.0.get(number).ok_or_else(|| fault("a message that nobody sent".into()))?;
        if known.message.topic != *topic || *qos > known.message.qos {
            let Message { topic, qos, .. } = &known.message;
            return Err(fault(format!("it was sent to {topic} at QoS {qos}")));
        }
        let count = copies.entry(*number).or_default();
        *count += 1;
        if known.message.qos == 2 && *count > 1 {
            return Err(fault(format!("message {number} came {count} times at QoS 2")));
        }
    }
    let since = evidence.group_since.unwrap_or(usize::MAX);
    let wanted = |known: &&Known| {
        let Known { message, at, is_acknowledged, .. } = known;
        *is_acknowledged && *at >= since && message.qos > 0 && message.topic.starts_with("s/")
    };
    let wanted: Vec<u64> = sent.0.values().filter(wanted).map(|known| known.message.number).collect();
    let missing = wanted.iter().copied().filter(|number| !copies.contains_key(number)).min();
    match missing {
        Some(number) => Err(format!("shared subscription: message {number} came to none of its members")),
        None => Ok(wanted.len()),
    }
}

/// Gives how many wills had to be published, and how many must not be.
fn wills(evidence: &Evidence) -> Result<(usize, usize), String> {
    let mut copies: HashMap<u64, usize> = HashMap::new();
    for entry in evidence.main.entries.iter().filter(|entry| entry.client == WATCHER) {
        if let Event::Delivered { number, .. } = &entry.event {
            *copies.entry(*number).or_default() += 1;
        }
    }
    let (mut due, mut forbidden) = (0, 0);
    for left in &evidence.wills {
        let count = copies.get(&left.number).copied().unwrap_or(0);
        let (is_right, promise) = match left.fate {
            Fate::Due => (count == 1, "once"),
            Fate::Forbidden => (count == 0, "never"),
            Fate::Unsure => (count <= 1, "once at most"),
        };
        if !is_right {
            return Err(format!(
                "will {} was published {count} times; promised: {promise}, since {}",
                left.number, left.story
            ));
        }
        due += usize::from(left.fate == Fate::Due);
        forbidden += usize::from(left.fate == Fate::Forbidden);
    }
    Ok((due, forbidden))
}

fn duplicates(evidence: &Evidence) -> usize {
    let mut seen: HashMap<(bool, usize, u64), usize> = HashMap::new();
    for (is_group, history) in [(false, &evidence.main), (true, &evidence.group)] {
        for entry in &history.entries {
            if let Event::Delivered { number, qos: 1, .. } = &entry.event {
                *seen.entry((is_group, entry.client, *number)).or_default() += 1;
            }
        }
    }
    seen.values().map(|count| count - 1).sum()
}

#[cfg(test)]
mod tests {
    use super::super::evidence::{Left, Removed};
    use super::*;

    const PUBLISHER: usize = 0;
    const OTHER: usize = 8;

    /// A short story, put together event by event.
    #[derive(Default)]
    struct Story(Evidence);

    impl Story {
        /// The one who listens for wills is there.
        fn begin() -> Story {
            let mut story = Story(Evidence { group_since: Some(0), ..Evidence::default() });
            story.subscribe(WATCHER, "w/#", 2);
            story
        }

        fn subscribe(&mut self, client: usize, filter: &str, qos: u8) {
            let (filter, request) = (String::from(filter), self.0.main.entries.len() as u64);
            let asked = Event::Subscribing { filter: filter.clone(), qos, wants_retained: false, request };
            self.0.main.add(client, asked);
            self.0.main.add(client, Event::Subscribed { filter, qos, request });
        }

        fn end(&mut self, client: usize, filter: &str) {
            self.0.main.add(client, Event::Unsubscribing { filter: filter.into() });
            let at = self.0.main.entries.len();
            self.0.removed.push(Removed { client, filter: filter.into(), at });
        }

        fn publish(&mut self, number: u64, topic: &str, qos: u8) {
            self.0.main.add(PUBLISHER, Event::Sent(message(number, topic, qos)));
            self.0.main.add(PUBLISHER, Event::Acknowledged(number));
        }

        fn leave_will(&mut self, number: u64, fate: Fate) {
            self.0.main.add(OTHER, Event::Bequeathed(message(number, "w/1", 2)));
            self.0.wills.push(Left { number, fate, story: "it says so".into() });
        }

        fn judge(&self, says: &str) {
            match judge(&self.0) {
                Ok(_) => assert_eq!(says, "", "the judge finds nothing"),
                Err(why) => assert!(!says.is_empty() && why.contains(says), "the judge says: {why}"),
            }
        }
    }

    fn message(number: u64, topic: &str, qos: u8) -> Message {
        let (topic, retain, expiry_s, payload_bytes) = (topic.into(), false, None, 0);
        Message { number, topic, qos, retain, expiry_s, payload_bytes, delay_s: None, clears: false }
    }

    fn delivery(number: u64, topic: &str, qos: u8, dup: bool) -> Event {
        Event::Delivered { number, topic: topic.into(), qos, retain: false, dup }
    }

    #[test]
    fn messages_arrive_in_order_and_as_often_as_promised() {
        type Came = &'static [(u64, bool)];
        let cases: [(u8, Came, &str); 9] = [
            (1, &[(1, false), (2, false)], ""),
            (1, &[(1, false), (2, false), (2, true)], ""),
            (1, &[(1, false), (1, false), (2, false)], "without DUP"),
            (1, &[(2, false), (1, false)], "comes for the first time after 2"),
            (1, &[(1, false)], "deliveries are missing"),
            (2, &[(1, false), (2, true)], ""),
            (2, &[(1, false), (2, false), (2, true)], "came 2 times, 1 at most"),
            (2, &[(2, false)], "deliveries are missing"),
            (2, &[(1, false), (2, false), (3, false)], "nobody sent"),
        ];
        for (qos, came, says) in cases {
            let mut story = Story::begin();
            story.publish(1, "w/x", qos);
            story.publish(2, "w/x", qos);
            came.iter()
                .for_each(|(number, dup)| story.0.main.add(WATCHER, delivery(*number, "w/x", qos, *dup)));
            story.judge(says);
        }
    }

    #[test]
    fn nothing_comes_for_a_subscription_that_has_ended() {
        for (ends, sent_before, begins_again, says) in [
            (false, false, false, ""),
            (true, false, false, "UNSUBACK"),
            (true, true, false, ""),
            (true, false, true, ""),
        ] {
            let mut story = Story::begin();
            story.subscribe(OTHER, "t/+", 0);
            if sent_before {
                story.publish(1, "t/0", 1);
            }
            if ends {
                story.end(OTHER, "t/+");
            }
            if !sent_before {
                story.publish(1, "t/0", 1);
            }
            if begins_again {
                story.subscribe(OTHER, "t/#", 0);
            }
            story.0.main.add(OTHER, delivery(1, "t/0", 0, false));
            story.judge(says);
        }
    }

    #[test]
    fn one_member_gets_each_message() {
        for (qos, members, says) in [
            (1, &[0][..], ""),
            (1, &[0, 2], ""),
            (1, &[], "message 1 came to none of its members"),
            (2, &[1], ""),
            (2, &[1, 0], "message 1 came 2 times at QoS 2"),
            (2, &[], "message 1 came to none of its members"),
        ] {
            let mut story = Story::begin();
            story.publish(1, "s/0", qos);
            members.iter().for_each(|member| story.0.group.add(*member, delivery(1, "s/0", qos, false)));
            story.judge(says);
        }
        let mut story = Story::begin();
        story.0.group.add(0, delivery(1, "s/0", 1, false));
        story.judge("nobody sent");
    }

    #[test]
    fn wills_come_once_or_not_at_all() {
        for (fate, copies, says) in [
            (Fate::Due, 1, ""),
            (Fate::Due, 0, "published 0 times; promised: once"),
            (Fate::Due, 2, "came 2 times, 1 at most"),
            (Fate::Forbidden, 0, ""),
            (Fate::Forbidden, 1, "published 1 times; promised: never, since it says so"),
            (Fate::Unsure, 0, ""),
            (Fate::Unsure, 1, ""),
            (Fate::Unsure, 2, "came 2 times, 1 at most"),
        ] {
            let mut story = Story::begin();
            story.leave_will(1, fate);
            (0..copies).for_each(|_| story.0.main.add(WATCHER, delivery(1, "w/1", 2, false)));
            story.judge(says);
        }
    }
}
