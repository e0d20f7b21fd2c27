//! What each QoS promises: sections 4.2 and 4.3.

use crate::clock;
use trefoil_tests::mqtt::property::{id, number};
use trefoil_tests::mqtt::{Connect, Connection, Message, Publish, VERSIONS, ack, ack_with};
use trefoil_tests::{CONFIG, Hub};

/// A client with a session that outlasts its connections.
fn durable(version: u8, client_id: &str) -> Connect {
    Connect::new(version, client_id).resume().session_expiry_s(3600)
}

/// Breaks the connection off and comes back to the session.
fn reconnected(hub: &Hub, client: Connection, connect: &Connect) -> Connection {
    client.break_off();
    let (client, answer) = Connection::with(hub.tcp_port(), connect);
    // MQTT 3.1 says nothing of it.
    assert_eq!(answer.flags, u8::from(connect.version > 3), "session present");
    client
}

/// A subscriber to `t` with a durable session of its own, and a publisher.
fn pair(hub: &Hub, version: u8, qos: u8) -> (Connect, Connection, Connection) {
    Connection::new(hub.tcp_port(), version, "subscriber").leave();
    let connect = durable(version, "subscriber");
    let mut subscriber = Connection::with(hub.tcp_port(), &connect).0;
    subscriber.subscribe("t", qos);
    (connect, subscriber, Connection::new(hub.tcp_port(), version, "publisher"))
}

fn text(message: &Publish) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

/// [MQTT-4.2-1] [v3 MQTT-7.1.1-1] TCP brings all bytes in order, in whatever pieces they are sent; so does WebSocket, by chapter 6.
#[test]
fn bytes_come_whole_and_in_order() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.subscribe("t", 0);
        let payload: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let bytes = Message::new("t", &payload).packet(version);
        for piece in bytes.chunks(10_007) {
            client.send(piece);
        }
        assert!(client.receive_publish().payload == payload);
    }
}

/// [MQTT-4.3.1-1] [v3 MQTT-4.3.1-1] What goes out at QoS 0 has QoS 0 and no DUP, however it came in; it is sent once.
#[test]
fn qos_0_is_sent_without_dup() {
    let hub = Hub::start();
    for version in VERSIONS {
        let (connect, mut subscriber, mut publisher) = pair(&hub, version, 0);
        for qos in 0..3 {
            let message = Message::new("t", "x").qos(qos, 1);
            publisher.publish_and_wait(&if qos > 0 { message.dup() } else { message });
            let message = subscriber.receive_publish();
            assert_eq!((message.qos, message.dup, message.packet_id), (0, false, 0));
        }
        let mut subscriber = reconnected(&hub, subscriber, &connect);
        subscriber.ping();
    }
}

/// [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [v3 MQTT-4.3.2-1] [v3 MQTT-4.3.3-1] A new message goes out
/// with DUP 0, also when its publisher had set it, and with a packet id that is not in use.
#[test]
fn new_messages_have_unused_ids_and_no_dup() {
    let hub = Hub::start();
    for (version, qos) in VERSIONS.into_iter().flat_map(|version| [(version, 1), (version, 2)]) {
        let (_, mut subscriber, mut publisher) = pair(&hub, version, qos);
        let mut in_flight: Vec<u16> = Vec::new();
        for number in 0..60 {
            publisher.publish_and_wait(&Message::new("t", number.to_string()).qos(qos, 1).dup());
            let message = subscriber.receive_publish();
            assert_eq!((message.qos, message.dup, text(&message)), (qos, false, &*number.to_string()));
            assert!(message.packet_id != 0 && !in_flight.contains(&message.packet_id));
            in_flight.push(message.packet_id);
            // Some are done with, in an order that leaves holes; at QoS 2 an id is in use until PUBCOMP.
            if number % 3 == 2 {
                let done = in_flight.swap_remove(number % in_flight.len());
                match qos {
                    1 => subscriber.send(&ack(0x40, done)),
                    _ => {
                        subscriber.send(&ack(0x50, done));
                        subscriber.receive().ack(0x62);
                        subscriber.send(&ack(0x70, done));
                    }
                }
            }
        }
    }
}

/// [MQTT-4.3.2-1] Also when the ids have gone round: the one that is still in use is not given out again.
#[test]
fn an_id_in_use_is_passed_over_when_the_ids_start_again() {
    const BATCH: u16 = 1024;
    let hub = Hub::start();
    let (_, mut subscriber, mut publisher) = pair(&hub, 4, 1);
    let batch: Vec<u8> = (1..=BATCH).flat_map(|id| Message::new("t", "").qos(1, id).packet(4)).collect();
    let mut seen = std::collections::HashSet::new();
    let mut held = 0;
    // One message more than there are ids.
    for _ in 0..64 {
        publisher.send(&batch);
        (0..BATCH).for_each(|_| drop(publisher.receive().ack(0x40)));
        for _ in 0..BATCH.min(u16::MAX - seen.len() as u16) {
            let id = subscriber.receive_publish().packet_id;
            assert!(seen.insert(id), "{id} came before");
            match held {
                0 => held = id,
                _ => subscriber.send(&ack(0x40, id)),
            }
        }
    }
    subscriber.send(&[0xC0, 0]);
    let packet = subscriber.receive();
    if packet.first_byte != 0xD0 {
        assert_ne!(packet.publish().packet_id, held, "it is in flight");
        subscriber.receive();
    }
    subscriber.send(&ack(0x40, held));
    if packet.first_byte == 0xD0 {
        subscriber.receive_publish();
    }
    subscriber.ping();
}

/// [MQTT-4.3.2-3] [v3 MQTT-4.3.2-1] At QoS 1 a message is kept until its PUBACK comes, and no longer.
#[test]
fn qos_1_is_kept_until_it_is_acknowledged() {
    let hub = Hub::start();
    for version in VERSIONS {
        let (connect, mut subscriber, mut publisher) = pair(&hub, version, 1);
        publisher.publish_and_wait(&Message::new("t", "x").qos(1, 1));
        let sent = subscriber.receive_publish();
        for _ in 0..2 {
            subscriber = reconnected(&hub, subscriber, &connect);
            let again = subscriber.receive_publish();
            assert_eq!(again, Publish { dup: true, ..sent.clone() });
        }
        subscriber.send(&ack(0x40, sent.packet_id));
        subscriber.ping();
        let mut subscriber = reconnected(&hub, subscriber, &connect);
        subscriber.ping();
    }
}

/// [MQTT-4.3.2-4] [MQTT-4.3.2-5] [v3 MQTT-4.3.2-2] A PUBLISH at QoS 1 gets a PUBACK with its id when it has been accepted;
/// the same id after that is a new message, with DUP or without.
#[test]
fn qos_1_is_acknowledged_and_each_publish_is_a_message() {
    let hub = Hub::start();
    for version in VERSIONS {
        let (_, mut subscriber, mut publisher) = pair(&hub, version, 1);
        for (number, packet_id) in [(0, 7), (1, 7), (2, 7), (3, 65_535)] {
            let message = Message::new("t", number.to_string()).qos(1, packet_id);
            publisher.send(&if number == 2 { message.dup() } else { message }.packet(version));
            assert_eq!(publisher.receive().ack(0x40).packet_id, packet_id);
            assert_eq!(text(&subscriber.receive_and_ack()), number.to_string());
        }
    }
}

/// [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [v3 MQTT-4.3.3-1] At QoS 2 the PUBLISH is kept until PUBREC,
/// which is answered with PUBREL; from then on PUBREL is kept until PUBCOMP, and PUBLISH is never sent again.
#[test]
fn qos_2_goes_through_its_steps() {
    let hub = Hub::start();
    for version in VERSIONS {
        let (connect, mut subscriber, mut publisher) = pair(&hub, version, 2);
        publisher.publish_and_wait(&Message::new("t", "x").qos(2, 1));
        let sent = subscriber.receive_publish();
        subscriber = reconnected(&hub, subscriber, &connect);
        assert_eq!(subscriber.receive_publish(), Publish { dup: true, ..sent.clone() });
        subscriber.send(&ack(0x50, sent.packet_id));
        assert_eq!(subscriber.receive().ack(0x62).packet_id, sent.packet_id);
        for _ in 0..2 {
            subscriber = reconnected(&hub, subscriber, &connect);
            assert_eq!(subscriber.receive().ack(0x62).packet_id, sent.packet_id);
        }
        // A PUBREC that comes again is answered again.
        subscriber.send(&ack(0x50, sent.packet_id));
        assert_eq!(subscriber.receive().ack(0x62).packet_id, sent.packet_id);
        subscriber.send(&ack(0x70, sent.packet_id));
        subscriber.ping();
        let mut subscriber = reconnected(&hub, subscriber, &connect);
        subscriber.ping();
    }
}

/// [MQTT-4.3.3-7] [MQTT-4.3.3-13] A message that has been sent at QoS 2 is not given up when it expires, neither before
/// PUBREC nor after it; one that has not been sent is.
#[test]
fn what_has_been_sent_does_not_expire() {
    let hub = Hub::start();
    let (_, subscriber, mut publisher) = pair(&hub, 5, 2);
    subscriber.leave();
    let connect = durable(5, "subscriber").property(number(id::RECEIVE_MAX, 2));
    let mut subscriber = Connection::with(hub.tcp_port(), &connect).0;
    for (packet_id, payload) in [(1, "one"), (2, "two"), (3, "three")] {
        let message = Message::new("t", payload).qos(2, packet_id).property(number(id::MESSAGE_EXPIRY, 1));
        publisher.publish_and_wait(&message);
    }
    let (one, two) = (subscriber.receive_publish(), subscriber.receive_publish());
    subscriber.send(&ack(0x50, two.packet_id));
    assert_eq!(subscriber.receive().ack(0x62).packet_id, two.packet_id);
    clock::pass(&hub, 2);
    let mut subscriber = reconnected(&hub, subscriber, &connect);
    assert_eq!(subscriber.receive().ack(0x62).packet_id, two.packet_id);
    let again = subscriber.receive_publish();
    assert_eq!((again.dup, again.packet_id, text(&again)), (true, one.packet_id, "one"));
    subscriber.send(&[ack(0x70, two.packet_id), ack(0x50, one.packet_id)].concat());
    assert_eq!(subscriber.receive().ack(0x62).packet_id, one.packet_id);
    subscriber.send(&ack(0x70, one.packet_id));
    // The third one waited for a place in the window, and its time is over.
    subscriber.ping();
}

/// [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] [v3 MQTT-4.3.3-2] A PUBLISH at QoS 2 gets a PUBREC, as
/// often as it comes before its PUBREL, and is delivered once; PUBREL gets a PUBCOMP; the id is free after that.
#[test]
fn qos_2_is_taken_once() {
    let hub = Hub::start();
    for version in VERSIONS {
        let (_, mut subscriber, publisher) = pair(&hub, version, 2);
        publisher.leave();
        let connect = durable(version, "publisher");
        let mut publisher = Connection::with(hub.tcp_port(), &connect).0;
        let message = |number: u8| Message::new("t", number.to_string()).qos(2, 9);
        for number in 0..3 {
            publisher.send(&message(number).packet(version));
            assert_eq!(publisher.receive().ack(0x50).packet_id, 9);
            for again in [message(number).dup(), message(number)] {
                publisher.send(&again.packet(version));
                let answer = publisher.receive().ack(0x50);
                assert_eq!((answer.packet_id, answer.reason), (9, 0));
            }
            publisher = reconnected(&hub, publisher, &connect);
            publisher.send(&message(number).dup().packet(version));
            assert_eq!(publisher.receive().ack(0x50).packet_id, 9);
            publisher.send(&ack(0x62, 9));
            assert_eq!(publisher.receive().ack(0x70).packet_id, 9);
            assert_eq!(text(&subscriber.receive_and_ack()), number.to_string());
        }
        subscriber.ping();
    }
}

/// [MQTT-4.3.3-13] A message that has expired meanwhile is taken to its end all the same.
#[test]
fn what_comes_in_is_completed_although_it_has_expired() {
    let hub = Hub::start();
    let (_, subscriber, mut publisher) = pair(&hub, 5, 2);
    subscriber.break_off();
    let message = Message::new("t", "x").qos(2, 9).property(number(id::MESSAGE_EXPIRY, 1));
    publisher.send(&message.packet(5));
    assert_eq!(publisher.receive().ack(0x50).reason, 0);
    clock::pass(&hub, 2);
    publisher.send(&message.dup().packet(5));
    let answer = publisher.receive().ack(0x50);
    assert_eq!((answer.packet_id, answer.reason), (9, 0));
    publisher.send(&ack(0x62, 9));
    let answer = publisher.receive().ack(0x70);
    assert_eq!((answer.packet_id, answer.reason), (9, 0));
    let mut subscriber = Connection::with(hub.tcp_port(), &durable(5, "subscriber")).0;
    subscriber.ping();
}

/// [MQTT-4.3.3-9] A PUBREC that refuses leaves nothing behind: the id is that of a new message at once.
#[test]
fn an_id_that_was_refused_is_free() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nretained_messages_max = 0\n"));
    let (_, mut subscriber, mut publisher) = pair(&hub, 5, 2);
    publisher.send(&Message::new("$SYS/mine", "x").qos(2, 9).packet(5));
    assert_eq!(publisher.receive().ack(0x50).reason, 0x87);
    publisher.send(&Message::new("other", "x").qos(2, 9).retain().packet(5));
    assert_eq!(publisher.receive().ack(0x50).reason, 0x97, "no room to retain it");
    publisher.publish_and_wait(&Message::new("t", "new").qos(2, 9));
    assert_eq!(text(&subscriber.receive_and_ack()), "new");
}

/// [MQTT-4.3.3-8] Nor does one that was not taken since too many were under way pass for one that was.
#[test]
fn a_message_beyond_the_receive_maximum_is_not_taken() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nreceive_max = 1\n"));
    let (_, mut subscriber, publisher) = pair(&hub, 5, 2);
    publisher.leave();
    let connect = durable(5, "publisher");
    let mut publisher = Connection::with(hub.tcp_port(), &connect).0;
    publisher.send(&Message::new("t", "one").qos(2, 1).packet(5));
    publisher.receive().ack(0x50);
    publisher.offer(&Message::new("t", "two").qos(2, 2).packet(5));
    publisher.expect_end(0x93);
    let mut publisher = Connection::with(hub.tcp_port(), &connect).0;
    publisher.send(&ack(0x62, 1));
    publisher.receive().ack(0x70);
    publisher.send(&Message::new("t", "two").qos(2, 2).dup().packet(5));
    publisher.receive().ack(0x50);
    assert_eq!(text(&subscriber.receive_publish()), "one");
    assert_eq!(text(&subscriber.receive_publish()), "two");
    subscriber.ping();
}

/// Exactly once, wherever the connections break: after each step of the exchange on each of its sides.
#[test]
fn qos_2_is_exactly_once_with_a_reconnect_after_every_step() {
    let hub = Hub::start();
    for version in VERSIONS {
        for cut in 0..3 {
            let (subscribe, mut subscriber, publisher) = pair(&hub, version, 2);
            publisher.leave();
            let publish = durable(version, "publisher");
            let mut publisher = Connection::with(hub.tcp_port(), &publish).0;
            for number in 0..4_u8 {
                publisher = publish_with_cut(&hub, publisher, &publish, number, cut);
                subscriber = receive_with_cut(&hub, subscriber, &subscribe, number, cut);
            }
            subscriber.ping();
            publisher.leave();
            Connection::new(hub.tcp_port(), version, "publisher").leave();
        }
    }
}

/// Publishes as a client that keeps its state does, with a broken connection after the hub has answered the PUBLISH (0),
/// after PUBREL went out (1), and after both (2).
fn publish_with_cut(hub: &Hub, mut client: Connection, connect: &Connect, number: u8, cut: u8) -> Connection {
    let version = connect.version;
    let message = Message::new("t", number.to_string()).qos(2, 5);
    client.send(&message.packet(version));
    if cut != 1 {
        // It broke before PUBREC was seen, so the PUBLISH goes out again.
        client.ping_past(0x50);
        client = reconnected(hub, client, connect);
        client.send(&message.dup().packet(version));
    }
    client.receive().ack(0x50);
    client.send(&ack(0x62, 5));
    if cut != 0 {
        client.ping_past(0x70);
        client = reconnected(hub, client, connect);
        client.send(&ack(0x62, 5));
    }
    client.receive().ack(0x70);
    client
}

/// Receives as a client that keeps its state does, with a broken connection before PUBREC (0), after it (1), or both (2).
fn receive_with_cut(hub: &Hub, mut client: Connection, connect: &Connect, number: u8, cut: u8) -> Connection {
    let mut message = client.receive_publish();
    if cut != 1 {
        client = reconnected(hub, client, connect);
        message = Publish { dup: false, ..client.receive_publish() };
    }
    assert_eq!((message.dup, text(&message)), (false, &*number.to_string()), "once, and in order");
    client.send(&ack(0x50, message.packet_id));
    if cut != 0 {
        client.ping_past(0x62);
        client = reconnected(hub, client, connect);
    }
    assert_eq!(client.receive().ack(0x62).packet_id, message.packet_id);
    client.send(&ack(0x70, message.packet_id));
    client
}

/// [MQTT-4.4.0-2] An acknowledgement that says that it failed ends the exchange at once: nothing is sent again, and the
/// next message takes the place.
#[test]
fn a_failed_acknowledgement_is_one() {
    let hub = Hub::start();
    let connect = durable(5, "subscriber").property(number(id::RECEIVE_MAX, 1));
    for (qos, first_byte) in [(1, 0x40), (2, 0x50)] {
        for reason in [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] {
            let mut subscriber = Connection::with(hub.tcp_port(), &connect).0;
            subscriber.subscribe("t", qos);
            let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
            publisher.publish_and_wait(&Message::new("t", "one").qos(qos, 1));
            publisher.publish_and_wait(&Message::new("t", "two").qos(qos, 2));
            let one = subscriber.receive_publish();
            subscriber.send(&ack_with(first_byte, one.packet_id, reason));
            // No PUBREL, but the next message.
            assert_eq!(text(&subscriber.receive_and_ack()), "two");
            let mut subscriber = reconnected(&hub, subscriber, &connect);
            subscriber.ping();
            subscriber.leave();
        }
    }
}
