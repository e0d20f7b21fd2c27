//! What is promised of topics that are not synced before they are acknowledged, and under `durability = "interval"`.
//!
//! A kill may cost anything there. What is left:
//!
//! | promise | holds |
//! | --- | --- |
//! | nothing comes that nobody sent | always |
//! | a publisher's messages on a topic come for the first time in their order | always |
//! | at QoS 2 a message does not come twice | within a life of the hub; under `interval` also across a clean stop |
//! | what was acknowledged in a life of the hub comes, to all who were subscribed then | under `interval`, if that life ended with a clean stop |

use super::evidence::{End, Evidence, Weak};
use std::collections::{BTreeMap, HashMap};
use trefoil_model::{Event, Message, matches};

/// What was judged.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct WeakTally {
    /// Deliveries.
    pub delivered: usize,
    /// Those that a clean stop had to keep, and that came.
    pub promised: usize,
    /// Clean stops.
    pub stops: usize,
}

struct Known<'a> {
    message: &'a Message,
    publisher: usize,
    /// At which entry it was sent first.
    first_at: usize,
    /// At which entry it was sent last, before it was acknowledged.
    sent_at: usize,
    /// In which life it was acknowledged.
    acknowledged: Option<usize>,
}

/// Finds a broken promise.
pub(super) fn weak(evidence: &Evidence) -> Result<WeakTally, String> {
    let Weak { history, lives, ends, steady } = &evidence.weak;
    let mut sent: HashMap<u64, Known> = HashMap::new();
    // By receiver, publisher, topic, QoS published and delivered: the newest that came.
    let mut newest: HashMap<(usize, usize, &str, u8, u8), u64> = HashMap::new();
    // By receiver and message: the lives in which it came.
    let mut came: BTreeMap<(usize, u64), Vec<usize>> = BTreeMap::new();
    // By receiver: since which entry its subscriptions are there. What was sent before, and again after, may have reached
    // the hub both before and after they were made.
    let mut subscribed: HashMap<usize, usize> = HashMap::new();
    // By receiver: what it has asked for.
    let mut filters: HashMap<usize, Vec<(&str, u8)>> = HashMap::new();
    let mut tally =
        WeakTally { stops: ends.iter().filter(|end| **end == End::Stopped).count(), ..WeakTally::default() };
    for ((at, entry), &life) in history.entries.iter().enumerate().zip(lives) {
        let fault = |why: String| format!("without a sync: {why}\n  at: {entry}, in life {life} of the hub");
        match &entry.event {
            Event::Sent(message) => {
                let known =
                    Known { message, publisher: entry.client, first_at: at, sent_at: at, acknowledged: None };
                sent.insert(message.number, known);
            }
            Event::Resent(number) => {
                if let Some(known) = sent.get_mut(number).filter(|known| known.acknowledged.is_none()) {
                    known.sent_at = at;
                }
            }
            Event::Acknowledged(number) => {
                let known = sent.get_mut(number).ok_or_else(|| fault("acknowledged, but not sent".into()))?;
                known.acknowledged = Some(life);
            }
            Event::Subscribing { filter, qos, .. } => {
                filters.entry(entry.client).or_default().push((filter, *qos));
                subscribed.remove(&entry.client);
            }
            Event::Subscribed { .. } => {
                subscribed.insert(entry.client, at);
            }
            Event::Delivered { number, topic, qos, .. } => {
                let known = sent.get(number).ok_or_else(|| fault("a message that nobody sent".into()))?;
                if known.message.topic != *topic || *qos > known.message.qos {
                    let Message { topic, qos, .. } = known.message;
                    return Err(fault(format!("it was sent to {topic} at QoS {qos}")));
                }
                tally.delivered += 1;
                let copies = came.entry((entry.client, *number)).or_default();
                let is_ordered = subscribed.get(&entry.client).is_some_and(|since| *since < known.first_at);
                if copies.is_empty() && is_ordered {
                    let stream = (entry.client, known.publisher, &**topic, known.message.qos, *qos);
                    let newest = newest.entry(stream).or_default();
                    if *newest > *number {
                        return Err(fault(format!(
                            "message {number} comes for the first time after {newest}"
                        )));
                    }
                    *newest = *number;
                }
                let stays = topic.starts_with("i/");
                let is_excused = |before: &usize| {
                    let between = ends.get(*before..life).unwrap_or_default();
                    if stays { between.contains(&End::Killed) } else { !between.is_empty() }
                };
                if *qos == 2 && !copies.iter().all(is_excused) {
                    return Err(fault(format!(
                        "message {number} comes again at QoS 2, without a kill in between"
                    )));
                }
                copies.push(life);
            }
            _ => {}
        }
    }
    for known in sent.values() {
        let Known { message, sent_at, acknowledged: Some(life), .. } = known else { continue };
        let Message { number, topic, qos, .. } = message;
        if *qos == 0 || !topic.starts_with("i/") || ends.get(*life) != Some(&End::Stopped) {
            continue;
        }
        for &(client, _, _) in steady.iter().filter(|(_, steady, at)| steady == life && at <= sent_at) {
            let asked = filters.get(&client).into_iter().flatten();
            if asked.clone().all(|(filter, qos)| !matches(filter, topic) || *qos == 0) {
                continue;
            }
            if !came.contains_key(&(client, *number)) {
                return Err(format!(
                    "without a sync: message {number} was acknowledged in life {life} of the hub, which ended with a \
                     clean stop, and weak {client} does not get it"
                ));
            }
            tally.promised += 1;
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages 1 and 2 are sent and acknowledged in life 0. Client 2 has asked for its subscription, and has it or not.
    fn story(topic: &str, qos: u8, ends: &[End], is_subscribed: bool) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.weak.ends = ends.to_vec();
        evidence.weak.steady = vec![(2, 0, 0)];
        let asked = Event::Subscribing { filter: "#".into(), qos: 2, wants_retained: false, request: 1 };
        happens(&mut evidence, 2, 0, asked);
        if is_subscribed {
            happens(&mut evidence, 2, 0, Event::Subscribed { filter: "#".into(), qos: 2, request: 1 });
        }
        for number in [1, 2] {
            let (topic, payload_bytes) = (topic.into(), 0);
            let (retain, expiry_s, delay_s, clears) = (false, None, None, false);
            let message = Message { number, topic, qos, retain, expiry_s, payload_bytes, delay_s, clears };
            happens(&mut evidence, 0, 0, Event::Sent(message));
            happens(&mut evidence, 0, 0, Event::Acknowledged(number));
        }
        evidence
    }

    fn happens(evidence: &mut Evidence, client: usize, life: usize, event: Event) {
        evidence.weak.history.add(client, event);
        evidence.weak.mark(life);
    }

    fn comes(evidence: &mut Evidence, topic: &str, qos: u8, copies: &[(u64, usize)]) {
        for &(number, life) in copies {
            let (topic, retain, dup) = (topic.into(), false, false);
            happens(evidence, 2, life, Event::Delivered { number, topic, qos, retain, dup });
        }
    }

    #[test]
    fn a_kill_excuses_and_a_clean_stop_does_not() {
        use End::{Killed, Stopped};
        type Copies = &'static [(u64, usize)];
        let cases: [(&str, u8, &[End], Copies, &str); 11] = [
            ("i/0", 1, &[Killed], &[], ""),
            ("i/0", 1, &[Stopped], &[], "does not get it"),
            ("n/0", 1, &[Stopped], &[], ""),
            ("i/0", 1, &[Stopped], &[(1, 0), (2, 1)], ""),
            ("i/0", 1, &[Stopped], &[(1, 0), (1, 1), (2, 1)], ""),
            ("i/0", 2, &[Killed], &[(1, 0), (1, 1), (2, 1)], ""),
            ("i/0", 2, &[Stopped], &[(1, 0), (1, 1), (2, 1)], "comes again at QoS 2"),
            ("n/0", 2, &[Stopped], &[(1, 0), (1, 1), (2, 1)], ""),
            ("n/0", 2, &[Killed], &[(1, 1), (1, 1)], "comes again at QoS 2"),
            ("n/0", 1, &[Killed], &[(2, 0), (1, 1)], "for the first time after"),
            ("n/0", 1, &[Killed], &[(3, 0)], "nobody sent"),
        ];
        for (topic, qos, ends, copies, says) in cases {
            let mut evidence = story(topic, qos, ends, true);
            comes(&mut evidence, topic, qos, copies);
            match weak(&evidence) {
                Ok(_) => assert_eq!(says, "", "{topic} {qos} {ends:?} {copies:?}"),
                Err(why) => {
                    assert!(!says.is_empty() && why.contains(says), "{topic} {ends:?} {copies:?}: {why}")
                }
            }
        }
    }

    #[test]
    fn what_crosses_a_subscription_may_come_in_any_order() {
        for (is_subscribed, is_fine) in [(true, false), (false, true)] {
            let mut evidence = story("n/0", 1, &[], is_subscribed);
            comes(&mut evidence, "n/0", 1, &[(2, 0), (1, 0)]);
            assert_eq!(weak(&evidence).is_ok(), is_fine, "{is_subscribed}");
        }
    }
}
