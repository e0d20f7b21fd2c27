//! How much room the store takes while what is in it is replaced.

use std::collections::BTreeMap;
use std::path::Path;
use trefoil_tests::mqtt::{Connection, Message};
use trefoil_tests::{CONFIG, Hub, wait_until};

/// The least that is allowed is 1 MiB; with four the files of the store are that large.
const SLACK: u64 = 4 << 20;

const TOPICS: u32 = 2000;
const PAYLOAD_BYTES: usize = 8 << 10;

/// Messages between two looks at the store.
const BETWEEN: usize = 16;

/// Beside records a file holds its header and zeros ahead of what is written.
const ZEROS: u64 = 256 << 10;

/// Publishes retained messages, and knows what is retained and how large the store has been.
struct Load {
    publisher: Connection,
    /// The number of the last message on each topic.
    last: BTreeMap<u32, u32>,
    number: u32,
    /// The state of a linear congruential generator.
    random: u32,
    largest: u64,
    /// At this size the load waits for the checkpoint that is due.
    pauses_at: u64,
}

impl Load {
    fn new(hub: &Hub) -> Load {
        let publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        Load { publisher, last: BTreeMap::new(), number: 0, random: 1, largest: 0, pauses_at: u64::MAX }
    }

    fn publish(&mut self, hub: &Hub, topics: impl Iterator<Item = u32>) {
        let topics: Vec<u32> = topics.collect();
        for topics in topics.chunks(BETWEEN) {
            let mut packets = Vec::new();
            for (&topic, packet_id) in topics.iter().zip(1..) {
                self.number += 1;
                self.last.insert(topic, self.number);
                let message = Message::new(format!("t/{topic}"), payload(self.number));
                packets.extend(message.retain().qos(1, packet_id).packet(5));
            }
            self.publisher.send(&packets);
            for packet_id in (1..).take(topics.len()) {
                assert_eq!(self.publisher.receive().ack(0x40).packet_id, packet_id);
            }
            let bytes = store_bytes(hub.folder());
            self.largest = self.largest.max(bytes);
            // Threads that get no time for long are no matter of the store: nobody is ahead of a checkpoint for ever.
            if bytes > self.pauses_at {
                wait_until("the checkpoint is complete", || {
                    hub.metric("trefoil_store_checkpoint_under_way") == 0
                });
            }
        }
    }

    /// One of so many topics.
    fn draw(&mut self, among: u32) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.random >> 8) % among
    }

    fn replace(&mut self, hub: &Hub, among: u32, count: u32) {
        let topics: Vec<u32> = (0..count).map(|_| self.draw(among)).collect();
        self.publish(hub, topics.into_iter());
    }
}

fn payload(number: u32) -> Vec<u8> {
    format!("{number:0PAYLOAD_BYTES$}").into_bytes()
}

/// The length of all files in a hub's store.
fn store_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder.join("trefoil-data")).unwrap();
    // One may have been removed since.
    files.filter_map(|entry| entry.unwrap().metadata().ok()).map(|file| file.len()).sum()
}

#[test]
fn the_store_stays_below_twice_what_is_live_and_the_slack() {
    let config = format!("{CONFIG}\n[store]\nslack_bytes = {SLACK}\n");
    let hub = Hub::with_config(&config);
    let mut load = Load::new(&hub);
    load.publish(&hub, 0..TOPICS);
    let live = store_bytes(hub.folder());
    assert!(live > u64::from(TOPICS) * PAYLOAD_BYTES as u64, "{live}");
    let limit = 2 * live + SLACK + ZEROS;
    load.pauses_at = live / 4 * 7 + SLACK / 2;
    load.replace(&hub, TOPICS, TOPICS * 2);
    let checkpoints = hub.metric("trefoil_store_checkpoints_total");
    assert!(checkpoints > 2, "{checkpoints} checkpoints");
    assert!(load.largest <= limit, "{} of at most {limit} bytes, {live} of them live", load.largest);
    // Another process goes on with what it finds. Here most stay as they are, and are always in the way.
    let hub = Hub::resume(hub.leave("KILL"), &config);
    load.publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    load.replace(&hub, TOPICS / 4, TOPICS * 2);
    let checkpoints = hub.metric("trefoil_store_checkpoints_total");
    assert!(checkpoints > 2, "{checkpoints} checkpoints");
    assert!(load.largest <= limit, "{} of at most {limit} bytes, {live} of them live", load.largest);
    let hub = Hub::resume(hub.leave("KILL"), &config);
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("t/#", 0);
    for _ in 0..TOPICS {
        let message = reader.receive_publish();
        let topic: u32 = message.topic.trim_start_matches("t/").parse().unwrap();
        let expected = load.last.remove(&topic).expect("each comes once");
        assert_eq!(message.payload, payload(expected), "t/{topic}");
    }
}
