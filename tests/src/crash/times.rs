//! Promises about time: a delayed message does not come before it is due, and an expired one does not come any more.
//!
//! A moment at which a client saw something is only ever a bound: what it sent reached the hub later, and what reached it
//! had left the hub before. So nothing here depends on how fast anything was.

use super::evidence::Evidence;
use super::players::EXPIRY;
use std::collections::HashMap;
use trefoil_model::{Event, Message};

/// The hub reads its clock once a round, so that a delay may seem to begin a little before the message was sent.
const ROUND_MS: u64 = 200;

/// What was judged.
#[derive(Clone, Copy, Default, Debug)]
pub struct Times {
    /// Deliveries of messages that were to be published later.
    pub delayed: usize,
    /// Messages that had expired while their receiver was away, and did not come.
    pub expired: usize,
}

/// Finds what came too early or too late.
pub(super) fn times(evidence: &Evidence) -> Result<Times, String> {
    let mut sent: HashMap<u64, (&Message, u64)> = HashMap::new();
    let mut acknowledged: HashMap<u64, u64> = HashMap::new();
    let mut came: HashMap<u64, u64> = HashMap::new();
    let mut visits =
        evidence.visits.iter().filter(|(client, _)| *client == EXPIRY).map(|visit| visit.1).peekable();
    let (mut visit_ms, mut times) = (0, Times::default());
    for entry in &evidence.main.entries {
        match &entry.event {
            Event::Sent(message) => {
                sent.insert(message.number, (message, entry.at_ms));
            }
            Event::Acknowledged(number) => {
                acknowledged.entry(*number).or_insert(entry.at_ms);
            }
            Event::Delivered { number, dup, .. } => {
                let Some((message, sent_ms)) = sent.get(number) else { continue };
                if let Some(delay_s) = message.delay_s {
                    times.delayed += 1;
                    let due_ms = sent_ms + u64::from(delay_s) * 1000;
                    if entry.at_ms + ROUND_MS < due_ms {
                        return Err(format!(
                            "message {number} comes before it is due: it was sent at {sent_ms} ms, to be published {delay_s} s \
                             later\n  at: {entry}"
                        ));
                    }
                }
                if entry.client != EXPIRY {
                    continue;
                }
                while let Some(at) = visits.next_if(|at| *at <= entry.at_ms) {
                    visit_ms = at;
                }
                came.insert(*number, entry.at_ms);
                // What had been sent before it expired is sent again.
                let expires_ms = expiry_ms(message, acknowledged.get(number));
                if !dup && expires_ms.is_some_and(|at| at + ROUND_MS < visit_ms) {
                    return Err(format!(
                        "message {number} comes to a client that connected at {visit_ms} ms, when it had expired at \
                         {expires_ms:?} ms\n  at: {entry}"
                    ));
                }
            }
            _ => {}
        }
    }
    let is_expired = |(number, (message, _)): &(&u64, &(&Message, u64))| {
        expiry_ms(message, acknowledged.get(number)).is_some() && !came.contains_key(number)
    };
    times.expired = sent.iter().filter(is_expired).count();
    Ok(times)
}

/// When a message has expired for sure, if it is one that expires soon and the hub had it by then.
fn expiry_ms(message: &Message, acknowledged: Option<&u64>) -> Option<u64> {
    let expiry_s = message.expiry_s.filter(|seconds| *seconds < 60)?;
    acknowledged.map(|at| at + u64::from(expiry_s) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_model::Entry;

    fn message(delay_s: Option<u32>, expiry_s: Option<u32>) -> Message {
        let (number, topic, qos) = (1, "e/0".into(), 2);
        Message { number, topic, qos, retain: false, expiry_s, payload_bytes: 0, delay_s, clears: false }
    }

    /// A message that is sent at 1000 ms and acknowledged at 1500 ms comes at `at_ms`, to a client that connected at
    /// `visit_ms`.
    fn judge(message: Message, visit_ms: u64, at_ms: u64, dup: bool) -> Result<Times, String> {
        let mut evidence = Evidence { visits: vec![(EXPIRY, 0), (EXPIRY, visit_ms)], ..Evidence::default() };
        let delivered =
            Event::Delivered { number: 1, topic: message.topic.clone(), qos: 2, retain: false, dup };
        for (at_ms, client, event) in
            [(1000, 0, Event::Sent(message)), (1500, 0, Event::Acknowledged(1)), (at_ms, EXPIRY, delivered)]
        {
            evidence.main.entries.push(Entry { at_ms, client, event });
        }
        times(&evidence)
    }

    #[test]
    fn what_is_delayed_comes_when_it_is_due() {
        judge(message(Some(2), None), 0, 3000, false).expect("it is due");
        judge(message(Some(2), None), 0, 9000, false).expect("it is late, perhaps since the hub was down");
        let why = judge(message(Some(2), None), 0, 2500, false).expect_err("too early");
        assert!(why.contains("before it is due"), "{why}");
    }

    #[test]
    fn what_has_expired_does_not_come_to_who_connects_later() {
        judge(message(None, Some(1)), 2000, 9000, false)
            .expect("it may have been sent at once and read late");
        judge(message(None, Some(1)), 3000, 3100, true).expect("it was sent before it expired");
        judge(message(None, Some(3600)), 3000, 3100, false).expect("it has not expired");
        let why = judge(message(None, Some(1)), 3000, 3100, false).expect_err("too late");
        assert!(why.contains("had expired"), "{why}");
    }
}
