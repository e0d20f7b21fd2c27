//! What the sessions of a shard have yet to bring to their clients, counted as it comes and goes: a shard may have more
//! sessions than it could ask one by one.

use crate::message::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Deliveries of all sessions of a shard. One thread at a time changes the numbers.
#[derive(Default, Debug)]
pub struct Backlog {
    in_flight: AtomicUsize,
    in_flight_bytes: AtomicUsize,
    /// Whether the bytes of what is in flight are counted, which costs something with each delivery.
    weighs: bool,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
}

/// What one session adds to the backlog of its shard; with it goes what it has added.
#[derive(Default, Debug)]
pub(crate) struct Share {
    of: Arc<Backlog>,
    in_flight: usize,
    in_flight_bytes: usize,
    queued: usize,
    queued_bytes: usize,
}

impl Backlog {
    /// Deliveries that have been sent, now or on an earlier connection, and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Nothing yet.
    pub(crate) fn new(weighs: bool) -> Backlog {
        Backlog { weighs, ..Backlog::default() }
    }

    /// Bytes of these; 0 unless [`Limits::weighs_in_flight`](crate::Limits::weighs_in_flight) asks for them.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes.load(Ordering::Relaxed)
    }

    /// Deliveries that wait, and their bytes.
    pub fn queued(&self) -> (usize, usize) {
        (self.queued.load(Ordering::Relaxed), self.queued_bytes.load(Ordering::Relaxed))
    }
}

impl Share {
    pub(crate) fn new(of: Arc<Backlog>) -> Share {
        Share { of, ..Share::default() }
    }

    /// One more is in flight.
    pub(crate) fn launched(&mut self, message: &Message) {
        self.in_flight += 1;
        set(&self.of.in_flight, |n| n + 1);
        if self.of.weighs {
            let bytes = message.cost_bytes();
            self.in_flight_bytes += bytes;
            set(&self.of.in_flight_bytes, |n| n + bytes);
        }
    }

    /// One is no longer in flight.
    pub(crate) fn landed(&mut self, message: &Message) {
        self.in_flight -= 1;
        set(&self.of.in_flight, |n| n - 1);
        if self.of.weighs {
            let bytes = message.cost_bytes();
            self.in_flight_bytes -= bytes;
            set(&self.of.in_flight_bytes, |n| n - bytes);
        }
    }

    /// One more waits.
    pub(crate) fn pushed(&mut self, message: &Message) {
        let bytes = message.cost_bytes();
        (self.queued, self.queued_bytes) = (self.queued + 1, self.queued_bytes + bytes);
        set(&self.of.queued, |n| n + 1);
        set(&self.of.queued_bytes, |n| n + bytes);
    }

    /// One no longer waits.
    pub(crate) fn popped(&mut self, message: &Message) {
        let bytes = message.cost_bytes();
        (self.queued, self.queued_bytes) = (self.queued - 1, self.queued_bytes - bytes);
        set(&self.of.queued, |n| n - 1);
        set(&self.of.queued_bytes, |n| n - bytes);
    }

    /// Deliveries in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Bytes that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        set(&self.of.in_flight, |n| n - self.in_flight);
        set(&self.of.in_flight_bytes, |n| n - self.in_flight_bytes);
        set(&self.of.queued, |n| n - self.queued);
        set(&self.of.queued_bytes, |n| n - self.queued_bytes);
    }
}

/// Only the shard that owns it changes a number, so that no locked instruction is needed on the way of a message.
fn set(number: &AtomicUsize, change: impl FnOnce(usize) -> usize) {
    number.store(change(number.load(Ordering::Relaxed)), Ordering::Relaxed);
}
