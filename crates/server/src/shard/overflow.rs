//! What a connection is to be sent at QoS 0 and its outbox has no room for: as references, so that it can still be taken
//! back when newer ones come. Only connections have one that do not keep up, and only where a policy asks for it.

use std::collections::VecDeque;
use std::sync::Arc;
use trefoil_hub::{Message, Newest, SlowReader};

/// A delivery that waits.
pub(super) struct Late {
    pub(super) message: Arc<Message>,
    pub(super) retain: bool,
    pub(super) subscription_ids: Box<[u32]>,
}

/// The deliveries of one connection that wait, in order.
#[derive(Default)]
pub(super) struct Overflow {
    queue: VecDeque<Late>,
    newest: Newest,
    bytes: usize,
}

/// How much may wait.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
}

/// How many deliveries were dropped since another came.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Lost {
    /// Those whose place a newer one on the same topic has taken.
    pub(super) replaced: u64,
    /// Those for which there was no room: the oldest, or the new one itself if it is larger than all the room.
    pub(super) full: u64,
}

impl Overflow {
    /// Lets a delivery wait, and drops others as its policy says.
    pub(super) fn push(&mut self, late: Late, policy: SlowReader, bounds: Bounds) -> Lost {
        let (bytes, mut lost) = (late.message.cost_bytes(), Lost::default());
        if bounds.messages_max == 0 || bytes > bounds.bytes_max {
            lost.full += 1;
            return lost;
        }
        self.bytes += bytes;
        let place = self.newest.find(&late.message.topic).filter(|_| policy == SlowReader::LatestPerTopic);
        match place.and_then(|place| self.queue.get_mut(place)) {
            Some(waiting) => {
                self.bytes -= waiting.message.cost_bytes();
                *waiting = late;
                lost.replaced += 1;
            }
            None => {
                self.newest.pushed(&late.message.topic, self.queue.len());
                self.queue.push_back(late);
            }
        }
        while self.queue.len() > bounds.messages_max || self.bytes > bounds.bytes_max {
            self.pop();
            lost.full += 1;
        }
        lost
    }

    /// Bytes of all that waits.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Late> {
        let late = self.queue.pop_front()?;
        self.bytes -= late.message.cost_bytes();
        self.newest.popped(&late.message.topic);
        Some(late)
    }

    /// Bytes of the next one's payload.
    pub(super) fn next_bytes(&self) -> Option<usize> {
        Some(self.queue.front()?.message.payload.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_hub::{QoS, Topic};

    fn late(topic: &str, payload: &str) -> Late {
        let message = Message {
            topic: Topic::new(topic, 9).expect("valid"),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            expires_at: None,
            properties: None,
        };
        Late { message: Arc::new(message), retain: false, subscription_ids: Box::default() }
    }

    fn drain(overflow: &mut Overflow) -> Vec<String> {
        let each = std::iter::from_fn(|| overflow.pop());
        each.map(|late| String::from_utf8_lossy(&late.message.payload).into_owned()).collect()
    }

    #[test]
    fn the_oldest_makes_room() {
        let (mut overflow, bounds) = (Overflow::default(), Bounds { messages_max: 2, bytes_max: 1 << 20 });
        let full: u64 = ["1", "2", "3", "4"]
            .map(|n| overflow.push(late("a", n), SlowReader::DropOldest, bounds).full)
            .iter()
            .sum();
        assert_eq!(full, 2);
        assert_eq!(drain(&mut overflow), ["3", "4"]);
        assert_eq!((overflow.bytes, overflow.next_bytes()), (0, None));
    }

    #[test]
    fn the_newest_of_a_topic_takes_the_place_of_the_one_before() {
        let (mut overflow, bounds) = (Overflow::default(), Bounds { messages_max: 2, bytes_max: 1 << 20 });
        let mut push =
            |topic, payload| overflow.push(late(topic, payload), SlowReader::LatestPerTopic, bounds);
        assert_eq!(push("a", "a1"), Lost::default());
        assert_eq!(push("b", "b1"), Lost::default());
        assert_eq!(push("a", "a2"), Lost { replaced: 1, full: 0 });
        assert_eq!(push("c", "c1"), Lost { replaced: 0, full: 1 });
        assert_eq!(push("b", "b2"), Lost { replaced: 1, full: 0 });
        assert_eq!(drain(&mut overflow), ["b2", "c1"]);
    }

    #[test]
    fn what_is_larger_than_all_room_is_not_let_in() {
        let mut overflow = Overflow::default();
        let bounds = Bounds { messages_max: 9, bytes_max: late("a", "1").message.cost_bytes() };
        assert_eq!(overflow.push(late("a", "1"), SlowReader::LatestPerTopic, bounds), Lost::default());
        let lost = overflow.push(late("a", "22"), SlowReader::LatestPerTopic, bounds);
        assert_eq!(lost, Lost { replaced: 0, full: 1 });
        assert_eq!(drain(&mut overflow), ["1"]);
    }
}
