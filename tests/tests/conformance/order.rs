//! Order and flow control: sections 4.6 and 4.9.

use trefoil_tests::Hub;
use trefoil_tests::mqtt::property::{id, number};
use trefoil_tests::mqtt::{
    Connect, Connection, Message, Publish, VERSIONS, ack, ack_with, subscribe_with, unsubscribe_with,
};

/// A client with a session that outlasts its connections.
fn durable(version: u8, client_id: &str) -> Connect {
    Connect::new(version, client_id).resume().session_expiry_s(3600)
}

fn text(message: &Publish) -> String {
    String::from_utf8(message.payload.clone()).unwrap()
}

/// [MQTT-4.6.0-1] [v3 MQTT-4.6.0-1] What is sent again goes out in the order in which it was first sent, QoS 1 and 2 alike,
/// and before what is new.
#[test]
fn resends_keep_their_order() {
    let hub = Hub::start();
    for version in VERSIONS {
        let connect = durable(version, "subscriber");
        let mut subscriber = Connection::with(hub.tcp_port(), &connect).0;
        subscriber.subscribe("t/#", 2);
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        let mut sent = Vec::new();
        for number in 0..12 {
            let topic = format!("t/{}", number % 3);
            publisher.publish_and_wait(&Message::new(topic, number.to_string()).qos(1 + number % 2, 1));
            sent.push(subscriber.receive_publish());
        }
        for place in [8, 2, 4] {
            let done = sent.remove(place);
            subscriber.send(&ack(if done.qos == 1 { 0x40 } else { 0x50 }, done.packet_id));
            if done.qos == 2 {
                subscriber.receive().ack(0x62);
                subscriber.send(&ack(0x70, done.packet_id));
            }
        }
        subscriber.break_off();
        publisher.publish_and_wait(&Message::new("t/new", "new").qos(1, 1));
        let mut subscriber = Connection::with(hub.tcp_port(), &connect).0;
        for message in sent {
            assert_eq!(subscriber.receive_publish(), Publish { dup: true, ..message });
        }
        assert_eq!(text(&subscriber.receive_publish()), "new");
        subscriber.leave();
        Connection::new(hub.tcp_port(), version, "subscriber").leave();
    }
}

/// [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4] [v3 MQTT-4.6.0-2] [v3 MQTT-4.6.0-3] [v3 MQTT-4.6.0-4] Answers go out in the
/// order of what they answer: PUBACK and PUBREC in that of the PUBLISH, PUBREL in that of the PUBREC.
#[test]
fn answers_keep_the_order_of_what_they_answer() {
    const MESSAGES: u16 = 200;
    let hub = Hub::start();
    for version in VERSIONS {
        let mut subscriber = Connection::new(hub.tcp_port(), version, "subscriber");
        subscriber.subscribe("t/#", 2);
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        // Ids that do not go up, QoS in turn, in one write.
        let ids: Vec<u16> = (0..MESSAGES).map(|n| (n * 311) % 60_013 + 1).collect();
        let qos = |place: usize| if place.is_multiple_of(3) { 2 } else { 1 };
        let messages = ids.iter().enumerate();
        let bytes: Vec<u8> = messages
            .flat_map(|(place, id)| {
                Message::new(format!("t/{}", place % 5), "").qos(qos(place), *id).packet(version)
            })
            .collect();
        publisher.send(&bytes);
        for (place, id) in ids.iter().enumerate() {
            let answer = publisher.receive().ack(if qos(place) == 1 { 0x40 } else { 0x50 });
            assert_eq!(answer.packet_id, *id, "version {version}, message {place}");
        }
        let received: Vec<_> = ids.iter().map(|_| subscriber.receive_publish()).collect();
        let mut at_qos_2: Vec<_> = received.iter().filter(|m| m.qos == 2).map(|m| m.packet_id).collect();
        at_qos_2.rotate_left(20);
        subscriber.send(&at_qos_2.iter().flat_map(|id| ack(0x50, *id)).collect::<Vec<_>>());
        for id in at_qos_2 {
            assert_eq!(subscriber.receive().ack(0x62).packet_id, id);
        }
    }
}

/// [MQTT-4.6.0-5] [MQTT-4.6.0-6] [v3 MQTT-4.6.0-5] [v3 MQTT-4.6.0-6] Every topic is an ordered one: what one client
/// publishes to it at one QoS comes to each receiver in that order, at each QoS that it asks for, with other publishers and
/// other topics in between, and from one shard to another.
#[test]
fn messages_keep_the_order_of_their_publisher() {
    const MESSAGES: usize = 500;
    const PUBLISHERS: usize = 3;
    let hub = Hub::start();
    let port = hub.tcp_port();
    for version in VERSIONS {
        let mut subscribers: Vec<_> = (0..3)
            .flat_map(|wanted| ["a", "b"].map(|name| (wanted, format!("subscriber-{wanted}-{name}"))))
            .map(|(wanted, client_id)| {
                let mut subscriber = Connection::new(port, version, &client_id);
                subscriber.subscribe("t/+", wanted);
                subscriber
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                std::thread::spawn(move || {
                    let mut client = Connection::new(port, version, &format!("publisher-{publisher}"));
                    for number in 0..MESSAGES {
                        let (qos, topic) = (number % 3, format!("t/{}", number % 2));
                        let payload = format!("{publisher} {number:05}");
                        client.send(
                            &Message::new(topic, payload).qos(qos as u8, number as u16 + 1).packet(version),
                        );
                    }
                    // What is answered was taken; PUBREL is left out, it says nothing about order.
                    for _ in (0..MESSAGES).filter(|number| number % 3 > 0) {
                        client.receive();
                    }
                })
            })
            .collect();
        for subscriber in &mut subscribers {
            let mut got: Vec<(String, u8, String)> = Vec::new();
            while got.len() < MESSAGES * PUBLISHERS {
                let packet = subscriber.receive();
                match packet.first_byte >> 4 {
                    3 => {
                        let message = packet.publish();
                        match message.qos {
                            0 => {}
                            1 => subscriber.send(&ack(0x40, message.packet_id)),
                            _ => subscriber.send(&ack(0x50, message.packet_id)),
                        }
                        got.push((message.topic.clone(), message.qos, text(&message)));
                    }
                    _ => subscriber.send(&ack(0x70, packet.ack(0x62).packet_id)),
                }
            }
            for publisher in 0..PUBLISHERS {
                for (topic, qos) in ["t/0", "t/1"].into_iter().flat_map(|t| [(t, 0), (t, 1), (t, 2)]) {
                    let of = |m: &&(String, u8, String)| {
                        m.0 == topic && m.1 == qos && m.2.starts_with(&publisher.to_string())
                    };
                    let payloads: Vec<_> = got.iter().filter(of).map(|m| &m.2).collect();
                    assert!(payloads.is_sorted(), "version {version}, {topic} at QoS {qos}: {payloads:?}");
                }
            }
        }
        publishers.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// [MQTT-4.9.0-1] [MQTT-4.9.0-2] No more messages are in flight than the client's receive maximum, at QoS 1 until PUBACK and
/// at QoS 2 until PUBCOMP or a PUBREC that refuses; each that is done with lets one more out.
#[test]
fn no_more_is_in_flight_than_the_client_takes() {
    let hub = Hub::start();
    for (receive_max, qos) in [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)] {
        let connect = Connect::new(5, "subscriber").property(number(id::RECEIVE_MAX, receive_max));
        let mut subscriber = Connection::with(hub.tcp_port(), &connect).0;
        subscriber.subscribe("t", qos);
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        for number in 0..20 {
            publisher.publish_and_wait(&Message::new("t", number.to_string()).qos(qos, 1));
        }
        let mut in_flight: Vec<_> = (0..receive_max).map(|_| subscriber.receive_publish()).collect();
        subscriber.ping();
        for place in 0..10 {
            let done = in_flight.remove(place % in_flight.len());
            match (qos, place % 2) {
                (1, _) => subscriber.send(&ack(0x40, done.packet_id)),
                (_, 0) => subscriber.send(&ack_with(0x50, done.packet_id, 0x80)),
                _ => {
                    subscriber.send(&ack(0x50, done.packet_id));
                    subscriber.receive().ack(0x62);
                    subscriber.ping();
                    subscriber.send(&ack(0x70, done.packet_id));
                }
            }
            in_flight.push(subscriber.receive_publish());
            subscriber.ping();
        }
    }
}

/// [MQTT-4.9.0-1] A receive maximum of 0 does not exist; without one it is 65,535, or what the hub has in flight at most.
#[test]
fn the_window_has_bounds() {
    let hub = Hub::with_config(&format!("{}\n[limits]\ninflight_max = 2\n", trefoil_tests::CONFIG));
    let none = Connect::new(5, "client").property(number(id::RECEIVE_MAX, 0));
    let (_, answer) = Connection::asking(hub.tcp_port(), &none);
    assert_eq!(answer.map(|answer| answer.code), Some(0x82));
    for (version, properties) in [(3, vec![]), (4, vec![]), (5, vec![]), (5, number(id::RECEIVE_MAX, 65_535))]
    {
        let mut subscriber =
            Connection::with(hub.tcp_port(), &Connect::new(version, "client").property(properties)).0;
        subscriber.subscribe("t", 1);
        let mut publisher = Connection::new(hub.tcp_port(), version, "publisher");
        for _ in 0..3 {
            publisher.publish_and_wait(&Message::new("t", "").qos(1, 1));
        }
        subscriber.receive_publish();
        subscriber.receive_publish();
        subscriber.ping();
    }
}

/// [MQTT-4.9.0-3] With nothing left of the window everything but PUBLISH at QoS 1 and 2 goes on: messages at QoS 0, what
/// the client publishes, subscribes to and ends, its pings, and PUBREL.
#[test]
fn everything_else_goes_on_while_the_window_is_full() {
    let hub = Hub::start();
    let connect = Connect::new(5, "client").property(number(id::RECEIVE_MAX, 1));
    let mut client = Connection::with(hub.tcp_port(), &connect).0;
    client.subscribe("t", 2);
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for payload in ["one", "two"] {
        publisher.publish_and_wait(&Message::new("t", payload).qos(2, 1));
    }
    let message = client.receive_publish();
    client.ping();
    client.publish("t", b"at QoS 0");
    assert_eq!(text(&client.receive_publish()), "at QoS 0");
    client.publish_and_wait(&Message::new("elsewhere", "x").qos(1, 1));
    client.publish_and_wait(&Message::new("elsewhere", "x").qos(2, 1));
    client.send(&subscribe_with(5, 2, &[], &[("u", 0)]));
    assert_eq!(client.receive().suback().codes, [0]);
    client.send(&unsubscribe_with(5, 3, &[], &["u"]));
    assert_eq!(client.receive().suback().codes, [0]);
    client.send(&ack(0x62, 77));
    assert_eq!(client.receive().ack(0x70).reason, 0x92);
    client.send(&ack(0x50, 77));
    assert_eq!(client.receive().ack(0x62).reason, 0x92);
    client.send(&ack(0x50, message.packet_id));
    assert_eq!(client.receive().ack(0x62).reason, 0);
    client.ping();
    client.send(&ack(0x70, message.packet_id));
    assert_eq!(text(&client.receive_publish()), "two");
}
