//! What is kept of exchanges whose messages are kept less well, and of messages at QoS 0.

use super::keep::Kept;
use super::*;
use crate::QoS;
use crate::journal::{Durability, Keeping};

/// A hub that keeps everything but messages on `none`.
fn mixed() -> Kept {
    let rules = vec![("none".into(), Durability::None)];
    Kept::with(1, Keeping { rules, ..Keeping::default() })
}

fn interval() -> Kept {
    Kept::with(1, Keeping { durability: Durability::Interval, ..Keeping::default() })
}

impl Kept {
    /// Publishes to a topic. Returns what the publisher's answer waits for.
    fn publish(&mut self, topic: &str, qos: QoS) -> u64 {
        let message = Message {
            topic: Topic::new(topic, 8).expect("valid"),
            payload: "x".into(),
            qos,
            retain: topic.ends_with("retained"),
            expires_at: None,
            properties: None,
        };
        let (now, shard) = (self.world.now, &mut self.world.shards[0]);
        shard.begin_event();
        shard.publish(now, None, &Arc::new(message), &mut self.world.out);
        shard.waits_for()
    }

    /// A client whose session is kept, with a subscription.
    fn subscriber(&mut self, filter: &str, qos: QoS) -> Client {
        let client = self.world.lasting(0, "a");
        self.world.subscribe(client, filter, qos);
        client
    }

    /// What came to a client, and under which packet ids.
    fn came(&self, client: Client) -> (Vec<&str>, Vec<u16>) {
        let out = &self.world.out;
        let sent = out.sent.get(&client.connection).into_iter().flatten().map(String::as_str).collect();
        (sent, out.ids.get(&client.connection).cloned().unwrap_or_default())
    }

    /// What the last delivery to a client waits for.
    fn last_waits_for(&self, client: Client) -> u64 {
        self.world.out.waits_for[&client.connection].last().copied().expect("something was delivered")
    }

    /// Time passes.
    fn pass(&mut self, ms: u64) {
        self.world.now = self.world.now.plus_ms(ms);
        self.world.shards[0].handle_time(self.world.now, &mut self.world.out);
    }

    /// What has been handed over is on disk.
    fn sync(&mut self) {
        let last = self.world.shards[0].last_batch();
        self.world.shards[0].on_disk(self.world.now, last, &mut self.world.out);
    }
}

#[test]
fn a_packet_id_is_not_used_again_while_the_client_may_have_it_from_a_message_that_was_not_kept() {
    for with_checkpoint in [false, true] {
        let mut kept = mixed();
        let client = kept.subscriber("#", QoS::ExactlyOnce);
        kept.hand_over();
        kept.publish("none", QoS::ExactlyOnce);
        assert_eq!(kept.came(client).1, [1]);
        assert_eq!(kept.last_waits_for(client), kept.world.shards[0].last_batch());
        assert!(kept.hand_over() < 10, "nothing but the packet id is written down");
        if with_checkpoint {
            let from = kept.log.len();
            let boundary = kept.world.shards[0].shared().next_number();
            kept.world.shards[0].begin_checkpoint(boundary, None);
            assert!(kept.world.shards[0].go_on_with_checkpoint(usize::MAX));
            kept.hand_over();
            kept.log.drain(..from);
        }
        kept.crash(1);
        let client = kept.world.lasting(0, "a");
        assert_eq!(kept.came(client).0, ["pubrel 1"], "the client may let go of it");
        kept.publish("t", QoS::ExactlyOnce);
        assert_eq!(kept.came(client).1, [2]);
        assert!(kept.world.shards[0].complete(kept.world.now, client.session, 1, &mut kept.world.out));
        // What the client has said is kept as well.
        kept.hand_over();
        kept.crash(1);
        let client = kept.world.lasting(0, "a");
        assert_eq!(kept.came(client).0, ["t=x q2 dup"]);
    }
}

#[test]
fn a_packet_id_is_written_down_when_a_message_that_is_not_kept_has_waited_for_it() {
    let mut kept = mixed();
    let client = kept.subscriber("#", QoS::ExactlyOnce);
    kept.hand_over();
    kept.world.out.full.push(client.connection);
    kept.publish("none", QoS::ExactlyOnce);
    assert_eq!(kept.hand_over(), 0);
    kept.world.out.full.clear();
    kept.world.shards[0].resume(kept.world.now, client.session, &mut kept.world.out);
    kept.hand_over();
    kept.crash(1);
    let client = kept.world.lasting(0, "a");
    assert_eq!(kept.came(client).0, ["pubrel 1"]);
}

#[test]
fn what_is_not_kept_leaves_nothing_behind_at_qos_1() {
    let mut kept = mixed();
    let client = kept.subscriber("#", QoS::AtLeastOnce);
    kept.hand_over();
    assert_eq!(kept.publish("none", QoS::ExactlyOnce), 0);
    assert_eq!((kept.came(client).1, kept.last_waits_for(client)), (vec![1], 0));
    assert_eq!(kept.hand_over(), 0);
}

#[test]
fn exchanges_at_qos_2_wait_for_the_disk_also_where_messages_do_not() {
    let mut kept = interval();
    let client = kept.subscriber("#", QoS::ExactlyOnce);
    kept.hand_over();
    assert_eq!(kept.publish("t", QoS::AtLeastOnce), 0);
    assert_eq!(kept.last_waits_for(client), 0);
    assert_eq!(kept.publish("t", QoS::ExactlyOnce), 0);
    let shard = &mut kept.world.shards[0];
    assert_eq!(kept.world.out.waits_for[&client.connection], [0, shard.last_batch()]);
    shard.begin_event();
    assert!(shard.received(client.session, 2));
    assert_eq!(shard.waits_for(), shard.last_batch(), "PUBREL");
    shard.begin_event();
    assert!(shard.take_incoming(client.session, 7));
    assert_eq!(shard.waits_for(), 0, "PUBREC");
    shard.begin_event();
    assert!(shard.release_incoming(client.session, 7));
    assert_eq!(shard.waits_for(), shard.last_batch(), "PUBCOMP");
    kept.hand_over();
    let shard = &mut kept.world.shards[0];
    shard.begin_event();
    kept.world.connect(0, "a");
    assert_eq!(kept.world.shards[0].waits_for(), kept.world.shards[0].last_batch(), "CONNACK");
}

#[test]
fn what_comes_again_at_qos_2_is_acknowledged_when_it_is_on_disk() {
    let rules = vec![("t/#".into(), Durability::Sync)];
    for durability in [Durability::Sync, Durability::Interval, Durability::None] {
        let mut kept = Kept::with(1, Keeping { durability, rules: rules.clone(), ..Keeping::default() });
        let client = kept.world.lasting(0, "a");
        kept.hand_over();
        assert!(kept.world.shards[0].take_incoming(client.session, 1));
        let waited_for = kept.publish("t/retained", QoS::ExactlyOnce);
        assert!(waited_for > 0);
        kept.hand_over();
        let client = kept.world.lasting(0, "a");
        kept.world.shards[0].begin_event();
        assert!(!kept.world.shards[0].take_incoming(client.session, 1));
        assert!(kept.world.shards[0].waits_for() >= waited_for, "{durability:?}");
    }
}

#[test]
fn a_delayed_message_at_qos_0_leaves_when_it_cannot_come_up_again() {
    let mut kept = Kept::new(1);
    kept.subscriber("#", QoS::AtMostOnce);
    for topic in ["$delayed/1/t", "$delayed/1/retained"] {
        assert!(kept.publish(topic, QoS::AtMostOnce) > 0);
    }
    kept.hand_over();
    kept.pass(2000);
    assert!(kept.world.shards[0].leaves_after() > 0);
    assert_eq!(kept.world.shards[0].shared().delayed_size().0, 2, "they have not left");
    assert_eq!(kept.world.shards[0].shared().retained.size().0, 1, "that is kept with it");
    // The hub crashes before that is on disk. They have not left, so they may now.
    kept.crash(1);
    let client = kept.world.lasting(0, "a");
    kept.pass(100);
    assert!(kept.came(client).0.is_empty());
    kept.hand_over();
    kept.sync();
    assert_eq!(kept.came(client).0, ["t=x q0", "retained=x q0"]);
    assert_eq!(kept.world.shards[0].leaves_after(), 0);
    assert_eq!(kept.world.shards[0].shared().delayed_size(), (0, 0));
    kept.crash(1);
    let client = kept.world.lasting(0, "a");
    kept.pass(2000);
    kept.hand_over();
    kept.sync();
    assert!(kept.came(client).0.is_empty(), "{:?}", kept.came(client));
    assert_eq!(kept.world.shards[0].shared().retained.size().0, 1);
}
