//! The deliveries of a session that wait for a place in the window, or have not left though they have one.

use super::{Outgoing, Pending, State};
use crate::slow_reader::Newest;
use std::collections::VecDeque;
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// A queue grows by no more places than that at a time.
const QUEUE_STEP: usize = 256;

impl Outgoing {
    /// How much waits: messages and bytes.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.backlog.queued_bytes())
    }

    /// How many deliveries are in flight or wait.
    pub(crate) fn len(&self) -> usize {
        self.flights.len() + self.queue.len()
    }

    /// Lets a delivery wait. The caller has checked the bounds.
    pub(crate) fn push(&mut self, pending: Pending) {
        self.backlog.pushed(&pending.message);
        if let Some(newest) = &mut self.newest {
            newest.pushed(&pending.message.topic, self.queue.len());
        }
        if self.queue.len() == self.queue.capacity() {
            // What one message makes grow in many sessions at a time must not take twice the memory with that.
            self.queue.reserve_exact(self.queue.len().clamp(4, QUEUE_STEP));
        }
        self.queue.push_back(pending);
    }

    /// Puts a delivery in the place of the one that waits on the same topic, so that no topic is kept from its turn by
    /// being in demand. Returns that one.
    ///
    /// # Errors
    /// The delivery, if there is no such one. What came by a shared subscription stands for itself.
    pub(crate) fn replace(&mut self, pending: Pending) -> Result<Pending, Pending> {
        if self.newest.is_none() {
            self.find_newest();
        }
        let place = self.newest.as_ref().and_then(|newest| newest.find(&pending.message.topic));
        let waiting = place.and_then(|place| self.queue.get_mut(place));
        let Some(waiting) = waiting.filter(|waiting| waiting.is_of_the_group_of(&pending)) else {
            return Err(pending);
        };
        self.backlog.popped(&waiting.message);
        self.backlog.pushed(&pending.message);
        Ok(std::mem::replace(waiting, pending))
    }

    /// How long the payload is of what has waited longest, if that goes out at QoS 0.
    pub(crate) fn next_once_bytes(&self) -> Option<usize> {
        let front = self.queue.front().filter(|front| front.qos == QoS::AtMostOnce)?;
        Some(front.message.payload.len())
    }

    /// Takes off what has waited longest. What is in flight is not among it.
    pub(crate) fn pop(&mut self) -> Option<Pending> {
        let pending = self.queue.pop_front()?;
        self.backlog.popped(&pending.message);
        if let Some(newest) = &mut self.newest {
            newest.popped(&pending.message.topic);
        }
        if self.queue.is_empty() {
            self.newest = None;
            if self.queue.capacity() > 1024 {
                self.queue = VecDeque::new();
            }
        }
        Some(pending)
    }

    /// What has come last of what waits.
    pub(crate) fn newest(&self) -> Option<&Pending> {
        self.queue.back()
    }

    /// Takes off what has come last of what waits.
    pub(crate) fn pop_newest(&mut self) -> Option<Pending> {
        let pending = self.queue.pop_back()?;
        self.backlog.popped(&pending.message);
        // Another one on its topic may stand further in front.
        self.newest = None;
        Some(pending)
    }

    /// A delivery that counts as sent has not left yet, and the connection is about to end.
    pub(crate) fn hold_back(&mut self, packet_id: u16) {
        if let Some(at) = self.sent_place(packet_id)
            && let Some(flight) = self.flights[at].as_mut().filter(|f| f.state == State::Published)
        {
            flight.was_seen = false;
        }
    }

    pub(super) fn find_newest(&mut self) {
        let mut newest = Box::<Newest>::default();
        for (place, pending) in self.queue.iter().enumerate() {
            newest.pushed(&pending.message.topic, place);
        }
        self.newest = Some(newest);
    }
}

impl Pending {
    fn is_of_the_group_of(&self, other: &Pending) -> bool {
        match (&self.group, &other.group) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (own, others) => own.is_none() && others.is_none(),
        }
    }
}
