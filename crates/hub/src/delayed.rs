//! Messages that are published later: what is published to `$delayed/SECONDS/TOPIC` goes to `TOPIC` after that time.
//!
//! A message waits in the shard that took it in; how much may wait is counted for all shards together.

use crate::message::Message;
use crate::time::Time;
use crate::topic::{HUB_TOPICS, Topic, TopicError};
use crate::wheel::Wheel;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use trefoil_mqtt::QoS;

/// With what a topic begins whose message is to wait.
pub(crate) const PREFIX: &str = "$delayed/";

/// How much may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DelayLimits {
    /// Messages at one time.
    pub messages_max: usize,
    /// Bytes at one time, of messages with their topics and properties.
    pub bytes_max: usize,
    /// Seconds that a message may wait.
    pub delay_s_max: u32,
}

/// Why a message is not taken to be published later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DelayError {
    /// The topic does not name seconds and then a topic.
    Form,
    /// What it is to be published to is a delay again.
    Twice,
    /// What it is to be published to is not valid.
    Topic(TopicError),
    /// It is to be published where only the hub publishes.
    HubTopic,
    /// It is to wait for longer than it may.
    TooLong {
        /// The limit.
        delay_s_max: u32,
    },
    /// As many messages wait as may.
    TooMany {
        /// The limit.
        messages_max: usize,
    },
    /// As many bytes wait as may.
    TooMuch {
        /// The limit.
        bytes_max: usize,
    },
}

impl fmt::Display for DelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DelayError::Form => f.write_str("a delayed message goes to $delayed/SECONDS/TOPIC"),
            DelayError::Twice => {
                write!(f, "a delayed message is not delayed again: {PREFIX} stands there twice")
            }
            DelayError::Topic(error) => write!(f, "the topic behind the delay is not valid: {error}"),
            DelayError::HubTopic => write!(f, "only the hub publishes below {HUB_TOPICS}"),
            DelayError::TooLong { delay_s_max } => {
                write!(f, "a message waits for at most {delay_s_max} seconds (delayed.delay_s_max)")
            }
            DelayError::TooMany { messages_max } => {
                write!(f, "{messages_max} delayed messages wait already (delayed.messages_max)")
            }
            DelayError::TooMuch { bytes_max } => {
                write!(f, "more than {bytes_max} bytes of delayed messages would wait (delayed.bytes_max)")
            }
        }
    }
}

impl std::error::Error for DelayError {}

/// How much waits in all shards.
#[derive(Default, Debug)]
pub(crate) struct Waiting {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// Messages and bytes that wait now.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Counts a message in that was kept from an earlier start, whatever the limits are now.
    pub(crate) fn restore(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take_in(&self, bytes: usize, limits: DelayLimits) -> Result<(), DelayError> {
        let DelayLimits { messages_max, bytes_max, .. } = limits;
        let raise = |of: &AtomicUsize, by: usize, max: usize| {
            of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(by).filter(|n| *n <= max))
                .is_ok()
        };
        if !raise(&self.messages, 1, messages_max) {
            return Err(DelayError::TooMany { messages_max });
        }
        if !raise(&self.bytes, bytes, bytes_max) {
            self.messages.fetch_sub(1, Ordering::Relaxed);
            return Err(DelayError::TooMuch { bytes_max });
        }
        Ok(())
    }

    fn let_go(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The delayed messages of one shard; `P` says who published them.
#[derive(Debug)]
pub(crate) struct Delayed<P> {
    wheel: Wheel<Held<P>>,
    /// Those that are due and for which there was no time yet, in order.
    ready: VecDeque<Held<P>>,
    /// Messages that are due at the same time go out in the order in which they came.
    taken: u64,
    /// Those that are kept for the next start, by the numbers that stand for them.
    kept: BTreeMap<u64, Kept>,
    /// Those that are kept no longer, and leave once it is on disk that they are not: each with the batch that says so.
    /// They count as waiting.
    leaving: VecDeque<(u64, Due<P>)>,
}

/// A message that waits and is kept for the next start.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) at: Time,
    /// The number of the session that published it; 0 if that is not kept.
    pub(crate) publisher: u64,
    pub(crate) message: Arc<Message>,
}

#[derive(Debug)]
struct Held<P> {
    at: Time,
    order: u64,
    due: Due<P>,
}

/// A message that waits, or has waited.
#[derive(Debug)]
pub(crate) struct Due<P> {
    pub(crate) publisher: P,
    pub(crate) message: Arc<Message>,
    /// The number by which it is kept; 0 if it is not.
    pub(crate) number: u64,
}

impl<P> Due<P> {
    /// Whether it may leave only when it cannot come up again after a crash: at QoS 0 it is published at most once.
    pub(crate) fn leaves_late(&self) -> bool {
        self.number > 0 && self.message.qos == QoS::AtMostOnce
    }
}

impl<P> Default for Delayed<P> {
    fn default() -> Self {
        Delayed {
            wheel: Wheel::default(),
            ready: VecDeque::new(),
            taken: 0,
            kept: BTreeMap::new(),
            leaving: VecDeque::new(),
        }
    }
}

impl<P> Delayed<P> {
    /// What a message whose topic begins with [`PREFIX`] becomes, and when it is due. It is counted as waiting, and has to
    /// be [held](Self::hold).
    pub(crate) fn accept(
        now: Time,
        message: &Message,
        levels_max: usize,
        limits: DelayLimits,
        waiting: &Waiting,
    ) -> Result<(Time, Arc<Message>), DelayError> {
        let (delay_s, topic) = parse(&message.topic, limits.delay_s_max)?;
        let topic = Topic::new(topic, levels_max).map_err(DelayError::Topic)?;
        if topic.starts_with(HUB_TOPICS) {
            return Err(DelayError::HubTopic);
        }
        let delay_ms = u64::from(delay_s) * 1000;
        let message = Message {
            topic,
            // It cannot grow old before anybody could get it: its time begins when it is published.
            expires_at: message.expires_at.map(|at| at.plus_ms(delay_ms)),
            ..message.clone()
        };
        waiting.take_in(message.cost_bytes(), limits)?;
        Ok((now.plus_ms(delay_ms), Arc::new(message)))
    }

    /// Lets a message wait. `kept_publisher` stands for who published it, if that and the message are kept.
    pub(crate) fn hold(&mut self, at: Time, due: Due<P>, kept_publisher: u64) {
        self.taken += 1;
        if due.number > 0 {
            let kept = Kept { at, publisher: kept_publisher, message: due.message.clone() };
            self.kept.insert(due.number, kept);
        }
        self.wheel.set(at, Held { at, order: self.taken, due });
    }

    /// The next ones that are kept, from the number `from` on.
    pub(crate) fn kept_from(&self, from: u64) -> impl Iterator<Item = (u64, &Kept)> {
        self.kept.range(from..).map(|(&number, kept)| (number, kept))
    }

    /// What is due, in order, but at most `messages_max`: as many as may wait can be due at once. What
    /// [leaves late](Due::leaves_late) goes on waiting, in [`leave_after`](Self::leave_after).
    pub(crate) fn due(&mut self, now: Time, messages_max: usize, waiting: &Waiting) -> Vec<Due<P>> {
        let mut due = Vec::new();
        self.wheel.expire(now, &mut due);
        due.sort_unstable_by_key(|held| (held.at, held.order));
        self.ready.extend(due);
        let count = self.ready.len().min(messages_max);
        let due: Vec<_> = self.ready.drain(..count).map(|held| held.due).collect();
        for due in &due {
            if !due.leaves_late() {
                waiting.let_go(due.message.cost_bytes());
            }
            self.kept.remove(&due.number);
        }
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        due
    }

    /// Lets a message that is not kept any longer wait until this batch is on disk.
    pub(crate) fn leave_after(&mut self, batch: u64, due: Due<P>) {
        self.leaving.push_back((batch, due));
    }

    /// The batch that the last of these waits for; 0 if there is none.
    pub(crate) fn leaves_after(&self) -> u64 {
        self.leaving.back().map_or(0, |(batch, _)| *batch)
    }

    /// The next of these if its batch is among those up to `durable`, which are on disk.
    pub(crate) fn next_leaving(&mut self, durable: u64, waiting: &Waiting) -> Option<Due<P>> {
        let (_, due) = self.leaving.pop_front_if(|(batch, _)| *batch <= durable)?;
        waiting.let_go(due.message.cost_bytes());
        if self.leaving.is_empty() {
            self.leaving = VecDeque::new();
        }
        Some(due)
    }

    /// Milliseconds until it is worth asking for what is [`due`](Self::due); none while nothing waits.
    pub(crate) fn wait_ms(&self, now: Time) -> Option<u64> {
        if self.ready.is_empty() { self.wheel.wait_ms(now) } else { Some(0) }
    }
}

/// Seconds and topic of `$delayed/SECONDS/TOPIC`.
fn parse(topic: &str, delay_s_max: u32) -> Result<(u32, &str), DelayError> {
    let rest = topic.strip_prefix(PREFIX).ok_or(DelayError::Form)?;
    let (seconds, topic) = rest.split_once('/').ok_or(DelayError::Form)?;
    if seconds.is_empty() || !seconds.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DelayError::Form);
    }
    // Digits alone: what does not fit is too long.
    let delay_s = seconds.parse().unwrap_or(u32::MAX);
    if delay_s > delay_s_max {
        return Err(DelayError::TooLong { delay_s_max });
    }
    // It would come out on a topic that nobody is to get anything from.
    if topic.starts_with(PREFIX) {
        return Err(DelayError::Twice);
    }
    Ok((delay_s, topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_topics() {
        assert_eq!(parse("$delayed/0/a", 10), Ok((0, "a")));
        assert_eq!(parse("$delayed/010//a/b", 10), Ok((10, "/a/b")));
        for bad in [
            "$delayed/",
            "$delayed/5",
            "$delayed//a",
            "$delayed/-1/a",
            "$delayed/5s/a",
            "$delayed/+5/a",
            "x/5/a",
        ] {
            assert_eq!(parse(bad, 10), Err(DelayError::Form), "{bad}");
        }
        for long in ["$delayed/11/a", "$delayed/99999999999999999999/a"] {
            assert_eq!(parse(long, 10), Err(DelayError::TooLong { delay_s_max: 10 }), "{long}");
        }
        assert_eq!(parse("$delayed/5/", 10), Ok((5, "")));
        for twice in ["$delayed/1/$delayed/1/a", "$delayed/1/$delayed/", "$delayed/1/$delayed/x"] {
            assert_eq!(parse(twice, 10), Err(DelayError::Twice), "{twice}");
        }
        assert_eq!(parse("$delayed/1/a/$delayed/1/a", 10), Ok((1, "a/$delayed/1/a")));
    }
}
