//! The way out of a shard under measurement.

use std::sync::Arc;
use trefoil_hub::{ConnectionKey, Delivered, Delivery, Message, Outlet, Parcel, QoS};

/// Bytes that an outbox holds before it starts over: a few dozen messages, as between two writes of a busy server.
const OUTBOX_BYTES_MAX: usize = 4 << 10;

/// Copies each message behind the others of its connection, as a server does that encodes a message once: so a fan-out
/// costs here what it costs in memory traffic, and only the system calls are missing.
#[derive(Default)]
pub struct CopyingOutlet {
    outboxes: Vec<Vec<u8>>,
    /// What waits for an acknowledgement: the connection and the packet id.
    pub in_flight: Vec<(ConnectionKey, u16)>,
    /// Messages delivered.
    pub delivered: u64,
}

impl CopyingOutlet {
    fn outbox(&mut self, to: ConnectionKey) -> &mut Vec<u8> {
        let at = to.0 as usize;
        if at >= self.outboxes.len() {
            self.outboxes.resize_with(at + 1, Vec::new);
        }
        let outbox = &mut self.outboxes[at];
        if outbox.len() > OUTBOX_BYTES_MAX {
            outbox.clear();
        }
        outbox
    }
}

impl Outlet for CopyingOutlet {
    fn has_room(&mut self, _: ConnectionKey, _: Option<usize>) -> bool {
        true
    }

    fn deliver(&mut self, to: ConnectionKey, message: &Arc<Message>, delivery: &Delivery<'_>) -> Delivered {
        let outbox = self.outbox(to);
        outbox.extend_from_slice(message.topic.as_bytes());
        outbox.extend_from_slice(&delivery.packet_id.to_be_bytes());
        outbox.extend_from_slice(&message.payload);
        if delivery.qos != QoS::AtMostOnce {
            self.in_flight.push((to, delivery.packet_id));
        }
        self.delivered += 1;
        Delivered::Sent
    }

    fn release(&mut self, to: ConnectionKey, packet_id: u16, _: u64) {
        self.outbox(to).extend_from_slice(&packet_id.to_be_bytes());
    }

    fn forward(&mut self, _: usize, _: Parcel) {
        // A hub with one shard has nobody to forward to.
    }
}
