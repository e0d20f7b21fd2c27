//! Connections go from the old process to the new one: their clients notice nothing, and everything that was under way
//! goes on where it was.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};
use trefoil_tests::mqtt::{self, Connect, Connection, Message, Will, ack, property, publish_packet};
use trefoil_tests::{CONFIG, DEADLINE, Disk, Hub, connect, lines, node, python, wait_until, websocket};

/// With a store, and without one.
const STORES: [&str; 2] = ["sync", "none"];

fn config(durability: &str) -> String {
    format!("{CONFIG}\n[store]\ndurability = \"{durability}\"\n")
}

/// A client that is connected, with a session that ends with its connection or outlasts it.
fn client(hub: &Hub, version: u8, name: &str, is_lasting: bool) -> Connection {
    let mut request = Connect::new(version, name);
    if is_lasting {
        request = request.resume();
        if version == 5 {
            request = request.session_expiry_s(1000);
        }
    }
    Connection::with(hub.tcp_port(), &request).0
}

fn handed_over(hub: &Hub) -> u64 {
    hub.metric("trefoil_connections_handed_over_total")
}

#[test]
fn everything_under_way_goes_on_where_it_was() {
    for durability in STORES {
        let mut hub = Hub::with_config(&config(durability));
        let mut clients = Vec::new();
        for (version, is_lasting) in [(3, true), (4, false), (4, true), (5, false), (5, true)] {
            let name = format!("{version}-{is_lasting}");
            let topic = format!("t/{name}");
            let mut subscriber = client(&hub, version, &format!("s-{name}"), is_lasting);
            subscriber.subscribe(&topic, 2);
            let mut publisher = client(&hub, version, &format!("p-{name}"), is_lasting);
            // In flight to the subscriber: 1 at QoS 1; 2 at QoS 2, of which it has sent PUBREC; 3 at QoS 2.
            publisher.publish_and_wait(&Message::new(&topic, "1").qos(1, 1));
            publisher.publish_and_wait(&Message::new(&topic, "2").qos(2, 2));
            publisher.publish_and_wait(&Message::new(&topic, "3").qos(2, 3));
            for id in 1..=3 {
                assert_eq!(subscriber.receive_publish().packet_id, id);
            }
            subscriber.send(&ack(0x50, 2));
            assert_eq!(subscriber.receive().ack(0x62).packet_id, 2);
            // In flight from the publisher: 7 at QoS 2 without PUBREL, and half of a packet.
            publisher.send(&Message::new(&topic, "4").qos(2, 7).packet(version));
            assert_eq!(publisher.receive().ack(0x50).packet_id, 7);
            assert_eq!(subscriber.receive_publish().packet_id, 4);
            let last = Message::new(&topic, "5").qos(1, 8).packet(version);
            publisher.send(&last[..5]);
            clients.push((version, topic, subscriber, publisher, last));
        }
        for _ in 0..3 {
            hub.upgrade();
        }
        assert_eq!(handed_over(&hub), 2 * clients.len() as u64, "{}", hub.log());
        for (version, topic, mut subscriber, mut publisher, last) in clients {
            // Nothing has come, and nothing is sent again.
            subscriber.ping();
            // The same id again: it is known, and not published once more.
            let again = Message::new(&topic, "4").qos(2, 7).dup().packet(version);
            publisher.send(&[&last[5..], &again].concat());
            assert_eq!(publisher.receive().ack(0x40).packet_id, 8, "the other half of the packet");
            assert_eq!(publisher.receive().ack(0x50).packet_id, 7);
            publisher.send(&ack(0x62, 7));
            let released = publisher.receive().ack(0x70);
            assert_eq!((released.packet_id, released.reason), (7, 0), "PUBREL finds the id in use");
            // What is acknowledged is known, and no id that is in use is given out again.
            subscriber.send(&ack(0x40, 1));
            subscriber.send(&ack(0x70, 2));
            subscriber.send(&ack(0x50, 3));
            let found = subscriber.receive_publish();
            assert_eq!((found.packet_id, &found.payload[..]), (5, &b"5"[..]));
            let release = subscriber.receive().ack(0x62);
            assert_eq!((release.packet_id, release.reason), (3, 0));
            subscriber.send(&ack(0x70, 3));
            subscriber.send(&ack(0x50, 4));
            assert_eq!(subscriber.receive().ack(0x62).packet_id, 4);
            subscriber.send(&ack(0x70, 4));
            subscriber.send(&ack(0x40, 5));
            publisher.publish_and_wait(&Message::new(&topic, "6").qos(2, 7));
            assert_eq!(subscriber.receive_and_ack().payload, b"6");
            subscriber.leave();
            publisher.leave();
        }
        wait_until("all sessions that end with their connection have ended", || {
            hub.metric("trefoil_sessions") == if durability == "sync" { 6 } else { 6 }
        });
    }
}
