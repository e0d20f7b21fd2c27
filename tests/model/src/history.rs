//! What happened, as the applications at the clients saw it: the only thing that the oracle looks at.

use std::fmt;

/// A message, as the application that publishes it knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Different for each message; of two messages of one client the later one has the higher number.
    pub number: u64,
    /// Where it is published.
    pub topic: String,
    /// The QoS that it is published with.
    pub qos: u8,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Its message expiry interval in seconds.
    pub expiry_s: Option<u32>,
    /// How long its payload is at least.
    pub payload_bytes: usize,
    /// Seconds after which it is to be published.
    pub delay_s: Option<u32>,
    /// It has no payload, so that its topic has no retained message any more.
    pub clears: bool,
}

impl Message {
    /// The payload: its number, and blanks up to its length.
    pub fn payload(&self) -> Vec<u8> {
        if self.clears {
            return Vec::new();
        }
        let mut payload = format!("{} ", self.number).into_bytes();
        payload.resize(payload.len().max(self.payload_bytes), b' ');
        payload
    }

    /// The number of the message with this payload; 0 if that is empty.
    pub fn number_in(payload: &[u8]) -> Option<u64> {
        if payload.is_empty() {
            return Some(0);
        }
        let digits = payload.split(|byte| *byte == b' ').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

/// Something that happened at one client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It sent a message for the first time.
    Sent(Message),
    /// It sent a message again, with DUP.
    Resent(u64),
    /// The hub took a message over: PUBACK, or PUBREC.
    Acknowledged(u64),
    /// The hub lost the session while this message was under way: nothing is promised.
    Abandoned(u64),
    /// It asks for a subscription, or for another QoS of one that it has.
    Subscribing {
        /// The topic filter.
        filter: String,
        /// The highest QoS that it asks for.
        qos: u8,
        /// Whether it wants retained messages.
        wants_retained: bool,
        /// Tells this request from others, and is higher than that of those before.
        request: u64,
    },
    /// The hub made the subscription, with this QoS.
    Subscribed {
        /// The topic filter.
        filter: String,
        /// The QoS granted.
        qos: u8,
        /// To which request this is the answer.
        request: u64,
    },
    /// It no longer wants a subscription.
    Unsubscribing {
        /// The topic filter.
        filter: String,
    },
    /// The hub ended the subscription, and it has not asked for it again.
    Unsubscribed {
        /// The topic filter.
        filter: String,
    },
    /// It has let go of its session, or was told that the hub has none: all subscriptions are gone.
    SessionLost,
    /// The hub has lost everything, retained messages too. Which client this stands beside means nothing.
    HubLost,
    /// The hub has crashed and gone on with what it had promised to keep. Which client this stands beside means nothing.
    HubCrashed,
    /// All that the hub has taken in is on disk. Which client this stands beside means nothing.
    HubSynced,
    /// It connected with this will, which counts as sent should the hub publish it.
    Bequeathed(Message),
    /// A message came.
    Delivered {
        /// Which.
        number: u64,
        /// On which topic.
        topic: String,
        /// At which QoS.
        qos: u8,
        /// With the retain flag.
        retain: bool,
        /// With the DUP flag.
        dup: bool,
    },
}

/// An [`Event`] with its place and time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// At which client.
    pub client: usize,
    /// What.
    pub event: Event,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms  client {}  ", self.at_ms, self.client)?;
        match &self.event {
            Event::Sent(m) if m.clears => write!(f, "clears {} with {} at QoS {}", m.topic, m.number, m.qos),
            Event::Sent(m) => write!(f, "sends {} to {} at QoS {}", m.number, m.topic, m.qos),
            Event::Bequeathed(m) => write!(f, "has a will, {} to {} at QoS {}", m.number, m.topic, m.qos),
            Event::Resent(number) => write!(f, "sends {number} again"),
            Event::Acknowledged(number) => write!(f, "has {number} acknowledged"),
            Event::Abandoned(number) => write!(f, "gives up {number}"),
            Event::Subscribing { filter, qos, .. } => write!(f, "subscribes to {filter} at QoS {qos}"),
            Event::Subscribed { filter, qos, .. } => write!(f, "is subscribed to {filter} at QoS {qos}"),
            Event::Unsubscribing { filter } => write!(f, "unsubscribes from {filter}"),
            Event::Unsubscribed { filter } => write!(f, "is unsubscribed from {filter}"),
            Event::HubCrashed => f.write_str("and all others: the hub has crashed"),
            Event::HubSynced => f.write_str("and all others: the hub has everything on disk"),
            Event::SessionLost => f.write_str("has no session any more"),
            Event::HubLost => f.write_str("and all others: the hub has lost everything"),
            Event::Delivered { number, topic, qos, retain, dup } => {
                let flags = match (retain, dup) {
                    (false, false) => "",
                    (true, false) => ", retained",
                    (false, true) => ", DUP",
                    (true, true) => ", retained, DUP",
                };
                write!(f, "gets {number} on {topic} at QoS {qos}{flags}")
            }
        }
    }
}

/// All that happened, in order.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// The time that new entries get.
    pub now_ms: u64,
    /// What happened.
    pub entries: Vec<Entry>,
}

impl History {
    /// Writes down what happened now.
    pub fn add(&mut self, client: usize, event: Event) {
        self.entries.push(Entry { at_ms: self.now_ms, client, event });
    }
}
