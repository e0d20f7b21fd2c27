//! Sessions and what they keep: sections 4.1, 4.4 and 4.5.

use crate::clock;
use trefoil_tests::mqtt::property::{id, number};
use trefoil_tests::mqtt::{Connect, Connection, Message, Publish, VERSIONS, ack};
use trefoil_tests::{Hub, wait_until};

/// A client with a session that outlasts its connections.
fn durable(version: u8, client_id: &str) -> Connect {
    Connect::new(version, client_id).resume().session_expiry_s(3600)
}

fn text(message: &Publish) -> String {
    String::from_utf8(message.payload.clone()).unwrap()
}

/// [MQTT-4.1.0-1] [v3 MQTT-4.1.0-2] As long as the connection is open, the session is kept whatever its expiry: what the
/// client subscribed to, what is in flight to it, and which ids of QoS 2 it has used.
#[test]
fn a_session_lasts_as_long_as_its_connection() {
    let hub = Hub::start();
    let connects = [
        Connect::new(3, "client-3"),
        Connect::new(4, "client-4"),
        Connect::new(5, "client-5"),
        Connect::new(5, "client-6").session_expiry_s(1),
    ];
    let mut clients = connects.map(|connect| (connect.version, Connection::with(hub.tcp_port(), &connect).0));
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let mut in_flight = Vec::new();
    for (version, client) in &mut clients {
        client.subscribe("t", 1);
        client.send(&Message::new("other", "x").qos(2, 1).packet(*version));
        client.receive().ack(0x50);
    }
    publisher.publish_and_wait(&Message::new("t", "one").qos(1, 1));
    for (_, client) in &mut clients {
        in_flight.push(client.receive_publish().packet_id);
    }
    clock::pass(&hub, 2);
    let mut other = Connection::new(hub.tcp_port(), 5, "other");
    other.subscribe("other", 2);
    publisher.publish_and_wait(&Message::new("t", "two").qos(1, 1));
    for ((version, client), in_flight) in clients.iter_mut().zip(in_flight) {
        let message = client.receive_publish();
        assert_eq!(text(&message), "two");
        assert_ne!(message.packet_id, in_flight);
        client.send(&Message::new("other", "x").qos(2, 1).dup().packet(*version));
        client.receive().ack(0x50);
    }
    publisher.publish_and_wait(&Message::new("other", "fence").qos(2, 1));
    assert_eq!(text(&other.receive_publish()), "fence", "nothing was published twice");
}

/// [v3 MQTT-7.0.0-2] A client that knows nothing but the specification, and says no more than it must, is served: with the
/// shortest CONNECT there is, and no word of any extension in either direction.
#[test]
fn nothing_beyond_the_specification_is_needed() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut subscriber = Connection::new(hub.tcp_port(), version, "s");
        let mut publisher = Connection::new(hub.tcp_port(), version, "p");
        subscriber.subscribe("t", 2);
        for qos in 0..3 {
            publisher.publish_and_wait(&Message::new("t", "x").qos(qos, 1));
            let message = subscriber.receive_and_ack();
            assert_eq!((message.qos, message.properties.is_empty()), (qos, true));
        }
        subscriber.ping();
        subscriber.leave();
        publisher.leave();
    }
}

/// [v3 MQTT-4.1.0-1] [MQTT-4.5.0-1] [v3 MQTT-4.5.0-1] A session that outlasts its connection keeps its subscriptions, and
/// gets what is published to them at QoS 1 and 2 while its client is away, on whichever shard, once each.
#[test]
fn a_session_gets_messages_while_its_client_is_away() {
    let hub = Hub::start();
    for version in VERSIONS {
        let client_id = format!("subscriber-{version}");
        let mut subscriber = Connection::with(hub.tcp_port(), &durable(version, &client_id)).0;
        subscriber.subscribe("t/#", 2);
        subscriber.subscribe("t/+", 1);
        subscriber.leave();
        let mut wanted = Vec::new();
        for name in ["one", "two", "three", "four"] {
            let mut publisher = Connection::new(hub.tcp_port(), version, name);
            for qos in 0..3 {
                let payload = format!("{name} {qos}");
                publisher.publish_and_wait(&Message::new("t/a", &payload).qos(qos, 1));
                publisher.publish_and_wait(&Message::new("elsewhere", &payload).qos(qos, 1));
                if qos > 0 {
                    wanted.push((qos, payload));
                }
            }
        }
        let (mut subscriber, answer) = Connection::with(hub.tcp_port(), &durable(version, &client_id));
        assert_eq!(answer.flags, u8::from(version > 3));
        let mut found: Vec<_> = (0..wanted.len())
            .map(|_| subscriber.receive_publish())
            .map(|message| {
                assert!(!message.dup);
                (message.qos, text(&message))
            })
            .collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "version {version}");
        subscriber.ping();
    }
}

/// [MQTT-4.1.0-2] When the connection is closed and the session expiry has passed, the session is gone with all that it
/// had: at once, when the expiry is 0 or the session was to be a clean one.
#[test]
fn a_session_ends_when_its_time_is_over() {
    let hub = Hub::start();
    let resume = |version| Connect::new(version, "client").resume().session_expiry_s(1);
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for (connect, present) in [
        (Connect::new(3, "client"), 0),
        (Connect::new(4, "client"), 0),
        (Connect::new(5, "client"), 0),
        (Connect::new(5, "client").session_expiry_s(0), 0),
        // This one has time.
        (Connect::new(5, "client").session_expiry_s(3600), 1),
    ] {
        let mut client = Connection::with(hub.tcp_port(), &connect).0;
        client.subscribe("t", 1);
        client.break_off();
        publisher.publish_and_wait(&Message::new("t", "x").qos(1, 1));
        let (mut client, answer) = Connection::with(hub.tcp_port(), &resume(connect.version));
        if connect.version > 3 {
            assert_eq!(answer.flags, present, "{connect:?}");
        }
        if present == 1 {
            client.receive_and_ack();
        }
        client.ping();
        client.leave();
    }
    let mut client = Connection::with(hub.tcp_port(), &resume(5)).0;
    client.subscribe("t", 1);
    let before = hub.stat("sessions");
    client.leave();
    wait_until("the session has ended", || hub.stat("sessions") < before);
    publisher.publish_and_wait(&Message::new("t", "x").qos(1, 1));
    let (mut client, answer) = Connection::with(hub.tcp_port(), &resume(5));
    assert_eq!(answer.flags, 0);
    client.ping();
}

/// [MQTT-4.4.0-1] [v3 MQTT-4.4.0-1] When a client comes back to its session, every PUBLISH that it has not acknowledged
/// goes out again, and every PUBREL that it has not completed, with their ids; at no other time is anything sent twice.
#[test]
fn what_is_unacknowledged_is_sent_again_and_only_then() {
    let hub = Hub::start();
    for version in VERSIONS {
        let connect = durable(version, "subscriber");
        let mut subscriber = Connection::with(hub.tcp_port(), &connect).0;
        subscriber.subscribe("t", 2);
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        let mut sent = Vec::new();
        for (number, qos) in [1, 2, 2, 1, 2, 1].into_iter().enumerate() {
            publisher.publish_and_wait(&Message::new("t", number.to_string()).qos(qos, 1));
            sent.push(subscriber.receive_publish());
        }
        subscriber.send(&[ack(0x50, sent[1].packet_id), ack(0x40, sent[3].packet_id)].concat());
        assert_eq!(subscriber.receive().ack(0x62).packet_id, sent[1].packet_id);
        subscriber.send(&[ack(0x50, sent[4].packet_id), ack(0x70, sent[4].packet_id)].concat());
        assert_eq!(subscriber.receive().ack(0x62).packet_id, sent[4].packet_id);
        if version == 5 {
            clock::pass(&hub, 2);
        }
        subscriber.ping();
        subscriber.break_off();
        let mut subscriber = Connection::with(hub.tcp_port(), &connect).0;
        assert_eq!(subscriber.receive().ack(0x62).packet_id, sent[1].packet_id);
        for place in [0, 2, 5] {
            assert_eq!(subscriber.receive_publish(), Publish { dup: true, ..sent[place].clone() });
        }
        subscriber.ping();
        subscriber.leave();
        // A clean start is no coming back.
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.ping();
        subscriber.leave();
    }
}

/// [MQTT-4.4.0-1] A client that takes fewer at a time than before gets them bit by bit, in their order; what has been
/// released does not wait for that.
#[test]
fn a_smaller_window_is_kept_when_things_are_sent_again() {
    let hub = Hub::start();
    let mut subscriber = Connection::with(hub.tcp_port(), &durable(5, "subscriber")).0;
    subscriber.subscribe("t", 2);
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    let mut sent = Vec::new();
    for number in 0..6 {
        publisher.publish_and_wait(&Message::new("t", number.to_string()).qos(2, 1));
        sent.push(subscriber.receive_publish());
    }
    for place in [1, 5] {
        subscriber.send(&ack(0x50, sent[place].packet_id));
        subscriber.receive().ack(0x62);
    }
    subscriber.break_off();
    let narrow = durable(5, "subscriber").property(number(id::RECEIVE_MAX, 1));
    let mut subscriber = Connection::with(hub.tcp_port(), &narrow).0;
    for place in [1, 5] {
        assert_eq!(subscriber.receive().ack(0x62).packet_id, sent[place].packet_id);
        subscriber.send(&ack(0x70, sent[place].packet_id));
    }
    for place in [0, 2, 3, 4] {
        let again = subscriber.receive_publish();
        assert_eq!(again, Publish { dup: true, ..sent[place].clone() });
        subscriber.ping();
        subscriber.send(&ack(0x50, again.packet_id));
        subscriber.receive().ack(0x62);
        subscriber.ping();
        subscriber.send(&ack(0x70, again.packet_id));
    }
    subscriber.ping();
}

/// [MQTT-4.5.0-2] [v3 MQTT-4.5.0-2] A client that does not acknowledge what it gets keeps its place in the window taken:
/// it gets no more than that, while others get everything.
#[test]
fn who_does_not_acknowledge_gets_no_more() {
    let hub = Hub::with_config(&format!("{}\n[limits]\ninflight_max = 3\n", trefoil_tests::CONFIG));
    for version in VERSIONS {
        let mut silent = Connection::new(hub.tcp_port(), version, "silent");
        let mut good = Connection::new(hub.tcp_port(), version, "good");
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        silent.subscribe("t", 1);
        good.subscribe("t", 1);
        for number in 0..10 {
            publisher.publish_and_wait(&Message::new("t", number.to_string()).qos(1, 1));
            assert_eq!(text(&good.receive_and_ack()), number.to_string());
        }
        let got: Vec<_> = (0..3).map(|_| silent.receive_publish()).collect();
        assert_eq!(got.iter().map(text).collect::<Vec<_>>(), ["0", "1", "2"]);
        silent.ping();
        silent.send(&ack(0x40, got[0].packet_id));
        assert_eq!(text(&silent.receive_publish()), "3");
    }
}
