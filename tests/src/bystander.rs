//! A pair of clients that must not notice what others do to the hub.

use crate::{Hub, mqtt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A publisher and a subscriber that exchange numbered messages all the time, one after the other.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    exchanged: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    /// Starts the exchange; returns when the first message has come.
    pub fn start(hub: &Hub) -> Self {
        let mut subscriber = mqtt::Connection::new(hub.tcp_port(), 5, "bystander-subscriber");
        let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "bystander-publisher");
        subscriber.subscribe("bystander", 0);
        let (stop, exchanged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&exchanged));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let number = count.load(Ordering::Relaxed).to_string();
                publisher.publish("bystander", number.as_bytes());
                let packet = subscriber.receive();
                let expected = mqtt::publish_packet(5, "bystander", number.as_bytes());
                assert_eq!(mqtt::packet(packet.first_byte, &packet.body), expected, "message {number}");
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let bystander = Self { stop, exchanged, thread: Some(thread) };
        bystander.still_served();
        bystander
    }

    /// Waits until more messages have passed than had before.
    pub fn still_served(&self) {
        let before = self.exchanged.load(Ordering::Relaxed);
        crate::wait_until("the bystander gets its messages", || {
            self.exchanged.load(Ordering::Relaxed) > before + 10 || self.broken()
        });
        assert!(!self.broken(), "the bystander lost a message or its connection");
    }

    fn broken(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Ends the exchange. Every message must have come, in order and once.
    pub fn unharmed(mut self) {
        self.still_served();
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken here only");
        thread.join().expect("the bystander lost no message");
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
