//! Shared subscriptions: section 4.8.2.

use trefoil_tests::Hub;
use trefoil_tests::mqtt::property::{id, number};
use trefoil_tests::mqtt::{
    Connect, Connection, Message, Publish, VERSIONS, ack, ack_with, subscribe_with, unsubscribe_with,
};

/// A client with a session that outlasts its connections.
fn durable(client_id: &str) -> Connect {
    Connect::new(5, client_id).resume().session_expiry_s(3600)
}

fn text(message: &Publish) -> String {
    String::from_utf8(message.payload.clone()).unwrap()
}

/// [MQTT-4.8.2-1] [MQTT-4.8.2-2] A shared subscription is `$share/`, a name of at least one character and without `/`, `+`
/// and `#`, a slash, and a filter. Anything else that begins with `$share/` is not well-formed.
#[test]
fn the_form_is_fixed() {
    let hub = Hub::start();
    for filter in [
        "$share/",
        "$share//a",
        "$share/g",
        "$share/g/",
        "$share/+/a",
        "$share/g+/a",
        "$share/#/a",
        "$share/#",
    ] {
        for bytes in [subscribe_with(5, 1, &[], &[(filter, 0)]), unsubscribe_with(5, 1, &[], &[filter])] {
            let mut client = Connection::new(hub.tcp_port(), 5, "client");
            client.offer(&bytes);
            client.expect_end(0x81);
        }
        // Before MQTT 5 nothing is wrong with such a filter by the book. It is refused, and no more.
        for version in [3, 4] {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            assert_eq!(client.subscribe_with(&[], &[(filter, 0), ("t", 0)]).codes, [0x80, 0], "{filter}");
            client.send(&unsubscribe_with(version, 1, &[], &[filter]));
            assert_eq!(client.receive().first_byte, 0xB0);
        }
    }
    for version in VERSIONS {
        for (filter, topic) in [
            ("$share/g/a", "a"),
            ("$share/ /a", "a"),
            ("$share/$share/a", "a"),
            ("$share/g//", "/"),
            ("$share/g//a", "/a"),
            ("$share/é/a/+", "a/b"),
            ("$share/g/#", "a/b"),
            ("$share/g/$own/#", "$own/a"),
        ] {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.subscribe(filter, 0);
            client.publish(topic, b"x");
            assert_eq!(client.receive_publish().topic, topic, "{filter}");
        }
        // Without the slash it is an ordinary one, and so is what begins otherwise.
        for topic in ["$share", "$Share/g/a", "$shared/g/a"] {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.subscribe(topic, 0);
            client.publish(topic, b"x");
            assert_eq!(client.receive_publish().topic, topic);
        }
    }
}

/// Each message goes to one member of each group; groups, and subscriptions that are not shared, do not touch each other;
/// a leading wildcard behind the name does not match `$` topics either.
#[test]
fn each_group_gets_each_message_once() {
    const MESSAGES: usize = 30;
    let hub = Hub::start();
    let mut members = ["a", "b", "c"].map(|name| {
        let mut member = Connection::new(hub.tcp_port(), 5, name);
        assert_eq!(member.subscribe_with(&[], &[("$share/g/t/#", 1), ("fence", 1)]).codes, [1, 1]);
        member
    });
    let mut others = ["$share/h/t/+", "t/#", "$share/h/#"].map(|filter| {
        let mut other = Connection::new(hub.tcp_port(), 5, filter);
        other.subscribe(filter, 1);
        other
    });
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    publisher.publish_and_wait(&Message::new("$own", "hidden").qos(1, 1));
    let wanted: Vec<_> = (0..MESSAGES).map(|number| format!("{number:02}")).collect();
    for payload in &wanted {
        publisher.publish_and_wait(&Message::new("t/a", payload).qos(1, 1));
        others.iter_mut().for_each(|other| assert_eq!(&text(&other.receive_and_ack()), payload));
    }
    publisher.publish_and_wait(&Message::new("fence", "fence").qos(1, 1));
    let mut got = Vec::new();
    for member in &mut members {
        let before = got.len();
        got.extend(std::iter::from_fn(|| {
            Some(text(&member.receive_and_ack())).filter(|text| text != "fence")
        }));
        assert!(got.len() > before, "nobody gets nothing");
    }
    got.sort();
    assert_eq!(got, wanted);
}

/// [MQTT-4.8.2-3] Each member gets messages at the QoS that was granted to it, or their own if that is lower.
#[test]
fn each_member_has_its_qos() {
    let hub = Hub::start();
    for (granted, published) in (0..3).flat_map(|g| (0..3).map(move |p| (g, p))) {
        let mut member = Connection::new(hub.tcp_port(), 5, "member");
        member.subscribe("$share/g/t", granted);
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        publisher.publish_and_wait(&Message::new("t", "x").qos(published, 1));
        assert_eq!(member.receive_and_ack().qos, granted.min(published));
    }
    // In one group, each by its own.
    let mut members = [0, 1, 2].map(|qos| {
        let mut member = Connection::new(hub.tcp_port(), 5, &format!("member-{qos}"));
        member.subscribe("$share/mixed/t", qos);
        (qos, member)
    });
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for _ in 0..members.len() {
        publisher.publish_and_wait(&Message::new("t", "x").qos(2, 1));
    }
    for (qos, member) in &mut members {
        assert_eq!(member.receive_and_ack().qos, *qos, "round robin: one for each");
    }
}

/// [MQTT-4.8.2-4] A message at QoS 2 whose delivery has begun belongs to its member: it is completed when the member comes
/// back, and goes to nobody else meanwhile, wherever the exchange was broken off.
#[test]
fn a_delivery_at_qos_2_is_completed_by_its_member() {
    let hub = Hub::start();
    for is_received in [false, true] {
        let mut member = Connection::with(hub.tcp_port(), &durable("member")).0;
        member.subscribe("$share/g/t", 2);
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        publisher.publish_and_wait(&Message::new("t", "begun").qos(2, 1));
        let begun = member.receive_publish();
        if is_received {
            member.send(&ack(0x50, begun.packet_id));
            member.receive().ack(0x62);
        }
        let mut other = Connection::new(hub.tcp_port(), 5, "other");
        other.subscribe("$share/g/t", 2);
        member.break_off();
        publisher.publish_and_wait(&Message::new("t", "new").qos(2, 1));
        assert_eq!(text(&other.receive_and_ack()), "new", "that one is not begun");
        let mut member = Connection::with(hub.tcp_port(), &durable("member")).0;
        if is_received {
            assert_eq!(member.receive().ack(0x62).packet_id, begun.packet_id);
        } else {
            assert_eq!(member.receive_publish(), Publish { dup: true, ..begun.clone() });
            member.send(&ack(0x50, begun.packet_id));
            member.receive().ack(0x62);
        }
        member.send(&ack(0x70, begun.packet_id));
        member.ping();
        other.ping();
        Connection::new(hub.tcp_port(), 5, "member").leave();
    }
}

/// [MQTT-4.8.2-5] If the member's session ends instead, nobody else gets that message.
#[test]
fn a_delivery_at_qos_2_ends_with_its_session() {
    let hub = Hub::start();
    for is_received in [false, true] {
        let mut member = Connection::with(hub.tcp_port(), &durable("member")).0;
        member.subscribe("$share/g/t", 2);
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        publisher.publish_and_wait(&Message::new("t", "begun").qos(2, 1));
        let begun = member.receive_publish();
        if is_received {
            member.send(&ack(0x50, begun.packet_id));
            member.receive().ack(0x62);
        }
        let mut other = Connection::new(hub.tcp_port(), 5, "other");
        other.subscribe("$share/g/t", 2);
        member.break_off();
        // The session ends with a clean start.
        let (mut again, answer) = Connection::with(hub.tcp_port(), &Connect::new(5, "member"));
        assert_eq!(answer.flags, 0);
        again.ping();
        publisher.publish_and_wait(&Message::new("t", "new").qos(2, 1));
        assert_eq!(text(&other.receive_and_ack()), "new");
        other.ping();
    }
}

/// [MQTT-4.8.2-6] A member that refuses a message has had it: nobody else gets it.
#[test]
fn a_refused_message_goes_to_nobody_else() {
    let hub = Hub::start();
    for (qos, first_byte) in [(1, 0x40), (2, 0x50)] {
        let connect = Connect::new(5, "member").property(number(id::RECEIVE_MAX, 1));
        let mut member = Connection::with(hub.tcp_port(), &connect).0;
        member.subscribe("$share/g/t", qos);
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        publisher.publish_and_wait(&Message::new("t", "refused").qos(qos, 1));
        let refused = member.receive_publish();
        let mut other = Connection::new(hub.tcp_port(), 5, "other");
        other.subscribe("$share/g/t", qos);
        member.send(&ack_with(first_byte, refused.packet_id, 0x80));
        member.ping();
        other.ping();
        // Nor after the member has gone.
        member.break_off();
        publisher.publish_and_wait(&Message::new("t", "new").qos(qos, 1));
        assert_eq!(text(&other.receive_and_ack()), "new");
        other.ping();
    }
}
