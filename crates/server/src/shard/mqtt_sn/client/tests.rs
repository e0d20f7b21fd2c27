//! The conversation with a client, told without a socket; and what must hold however it goes.

use super::*;
use proptest::prelude::*;
use trefoil_hub::Payload;
use trefoil_mqtt_sn::decode;

fn settings() -> MqttSn {
    MqttSn {
        resend_s: 10,
        resends_max: 2,
        topics_max: 4,
        buffer_messages_max: 3,
        buffer_bytes_max: 1000,
        ..MqttSn::default()
    }
}

fn active() -> Client {
    let mut client = Client::new();
    client.way = Some(Way { shard: 0, serial: 0 });
    client
}

fn flight(topic: &str, qos: QoS, packet_id: u16) -> Flight {
    let message = Message {
        topic: Topic::new(topic, 8).expect("valid"),
        payload: Payload::copy_from_slice(b"x"),
        qos,
        retain: false,
        expires_at: None,
        properties: None,
    };
    Flight { message: Arc::new(message), qos, retain: false, dup: false, packet_id }
}

/// What a client is sent, as it stands on the wire.
#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Sent {
    fn push(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).expect("it fits");
        self.0.push(bytes);
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0)
    }
}

#[test]
fn messages_without_acknowledgement_wait_for_their_topic_in_order() {
    let (mut client, settings, mut sent, now) = (active(), settings(), Sent::default(), Time::default());
    for _ in 0..2 {
        let held = client.deliver(flight("a/b", QoS::AtMostOnce, 0), &settings, now, &mut |p| sent.push(p));
        assert_eq!(held, Ok(()));
    }
    assert_eq!(sent.take(), [b"\x09\x0a\0\x01\0\x01a/b"]);
    assert!(!client.has_room() && !client.is_idle());
    let settled = client.registered((1, 1), ReturnCode::ACCEPTED, (&settings, now), &mut |p| sent.push(p));
    assert_eq!((settled, client.go_on(&settings, now, &mut |p| sent.push(p))), (Settled::Nothing, 0));
    assert_eq!(sent.take(), [b"\x08\x0c\0\0\x01\0\0x", b"\x08\x0c\0\0\x01\0\0x"]);
    assert!(client.has_room() && client.is_idle());
}

#[test]
fn what_a_client_is_held_for_is_bounded() {
    let (mut client, settings, now) = (active(), settings(), Time::default());
    client.stage = Stage::Asleep { duration_s: 9 };
    let mut deliver = || client.deliver(flight("ab", QoS::AtMostOnce, 0), &settings, now, &mut |_| {});
    let outcomes: Vec<_> = (0..4).map(|_| deliver()).collect();
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Err(Drop::OutboxFull)]);
    for n in 0..4 {
        assert_eq!(client.topics.register(&Topic::new(&format!("t/{n}"), 8).expect("valid"), 4), Some(n + 1));
    }
    client.stage = Stage::Awake { duration_s: 9 };
    assert_eq!(client.go_on(&settings, now, &mut |_| {}), 0);
    let refused = client.deliver(flight("t/4", QoS::AtMostOnce, 0), &settings, now, &mut |_| {});
    assert_eq!(refused, Err(Drop::NoTopicId));
}

#[test]
fn an_answer_that_does_not_come_is_asked_for_so_often_and_no_more() {
    let (mut client, settings, mut sent) = (active(), settings(), Sent::default());
    let mut now = Time::default();
    let begun = client.deliver(flight("ab", QoS::AtLeastOnce, 7), &settings, now, &mut |p| sent.push(p));
    assert_eq!(begun, Ok(()));
    assert_eq!(sent.take(), [b"\x08\x0c\x22ab\0\x07x"]);
    for _ in 0..2 {
        assert_eq!(client.resend(&settings, now, &mut |p| sent.push(p)), Due::Nothing);
        now = client.resend_at().expect("it waits for an answer");
        assert_eq!(client.resend(&settings, now, &mut |p| sent.push(p)), Due::Resent);
        assert_eq!(sent.take(), [b"\x08\x0c\xa2ab\0\x07x"]);
    }
    now = client.resend_at().expect("it waits for an answer");
    assert_eq!(client.resend(&settings, now, &mut |p| sent.push(p)), Due::GivenUp);
    // Who sleeps is not asked.
    client.stage = Stage::Asleep { duration_s: 9 };
    assert_eq!(
        (client.resend_at(), client.resend(&settings, now, &mut |p| sent.push(p))),
        (None, Due::Nothing)
    );
    assert_eq!(sent.take(), Vec::<Vec<u8>>::new());
}

/// One thing that happens to a client.
#[derive(Clone, Debug)]
enum Event {
    Deliver { topic: u8, qos: u8 },
    Register { code: u8 },
    Acknowledge { code: u8, right: bool },
    Receive,
    Complete,
    Pass { s: u8 },
    Sleep,
    Wake,
    Lose,
    Bind,
    Anew { clean: bool },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0u8..7, 0u8..3).prop_map(|(topic, qos)| Event::Deliver { topic, qos }),
        4 => (0u8..5).prop_map(|code| Event::Register { code: code.saturating_sub(1) }),
        4 => (0u8..5, any::<bool>()).prop_map(|(code, right)| Event::Acknowledge { code: code.saturating_sub(1), right }),
        3 => Just(Event::Receive),
        3 => Just(Event::Complete),
        2 => (0u8..30).prop_map(|s| Event::Pass { s }),
        1 => Just(Event::Sleep),
        1 => Just(Event::Wake),
        1 => Just(Event::Lose),
        2 => Just(Event::Bind),
        1 => any::<bool>().prop_map(|clean| Event::Anew { clean }),
    ]
}

proptest! {
    /// However client and gateway talk past each other: one message above QoS 0 is under way at a time and each is
    /// settled at most once, bounds hold, nothing is sent to who cannot be reached, and no message goes out under an id
    /// that the client was not told.
    #[test]
    fn any_order_of_events(events in proptest::collection::vec(event(), 1..200)) {
        let (mut client, settings, mut now) = (active(), settings(), Time::default());
        let (mut next_id, mut under_way) = (0u16, None::<u16>);
        let mut told = std::collections::HashSet::new();
        for event in events {
            let mut sent = Sent::default();
            let reachable = client.is_reachable();
            let mut settled = Settled::Nothing;
            let at = (&settings, now);
            let mut send = |p: &Packet<'_>| sent.push(p);
            match event {
                Event::Deliver { topic, qos } => {
                    let qos = QoS::from_bits(qos).expect("below 3");
                    let acknowledged = qos > QoS::AtMostOnce;
                    if acknowledged && !client.has_room() {
                        continue;
                    }
                    next_id += u16::from(acknowledged);
                    let id = if acknowledged { next_id } else { 0 };
                    let begun = client.deliver(flight(&format!("topic/{topic}"), qos, id), &settings, now, &mut send);
                    if acknowledged && begun.is_ok() {
                        prop_assert!(under_way.replace(id).is_none());
                    }
                }
                Event::Register { code } => {
                    let ids = match client.exchange.as_ref().map(|e| &e.step) {
                        Some(Step::Register { topic_id, msg_id, .. }) => (*topic_id, *msg_id),
                        _ => (1, 1),
                    };
                    if code == 0 && matches!(client.exchange.as_ref().map(|e| &e.step), Some(Step::Register { .. })) {
                        told.insert(ids.0);
                    }
                    settled = client.registered(ids, ReturnCode(code), at, &mut send);
                }
                Event::Acknowledge { code, right } => {
                    let (topic, id) = match client.exchange.as_ref().map(|e| &e.step) {
                        Some(Step::Publish(f)) => match client.topics.wire(&f.message.topic) {
                            Wire::Known(topic) => (topic.as_u16(), f.packet_id),
                            _ => (1, f.packet_id),
                        },
                        _ => (1, 1),
                    };
                    if code == 2 {
                        told.remove(&topic);
                    }
                    let id = if right { id } else { id.wrapping_add(1) };
                    settled = client.acknowledge(topic, id, ReturnCode(code), at, &mut send);
                }
                Event::Receive => {
                    if let Some(Step::Publish(f)) = client.exchange.as_ref().map(|e| &e.step)
                        && f.qos == QoS::ExactlyOnce
                    {
                        let id = f.packet_id;
                        client.release(id, &settings, now, &mut send);
                    }
                }
                Event::Complete => settled = client.complete(under_way.unwrap_or(1)),
                Event::Pass { s } => {
                    now = now.plus_s(s.into());
                    if client.resend(&settings, now, &mut send) == Due::GivenUp {
                        // Lost: it has to connect again.
                        client.begin_anew(true);
                        under_way = None;
                        told.clear();
                    }
                }
                Event::Sleep => client.stage = Stage::Asleep { duration_s: 9 },
                Event::Wake => {
                    client.stage = Stage::Awake { duration_s: 9 };
                    client.forgive();
                    if reachable || client.way.is_some() {
                        client.repeat(&settings, now, &mut send);
                    }
                }
                Event::Lose => client.way = None,
                Event::Bind => client.way = Some(Way { shard: 0, serial: 1 }),
                Event::Anew { clean } => {
                    client.begin_anew(clean);
                    client.stage = Stage::Active;
                    under_way = None;
                    told.clear();
                }
            }
            match settled {
                Settled::Nothing => {}
                Settled::Arrived { packet_id, qos } | Settled::Refused { packet_id, qos } => {
                    if qos > QoS::AtMostOnce {
                        prop_assert_eq!(under_way.take(), Some(packet_id));
                    }
                }
            }
            client.go_on(&settings, now, &mut |p| sent.push(p));
            if let Some(held) = &client.held {
                prop_assert!((1..=settings.buffer_messages_max).contains(&held.flights.len()));
                let bytes: usize = held.flights.iter().map(|f| f.message.cost_bytes()).sum();
                prop_assert_eq!(bytes, held.bytes);
                prop_assert!(bytes <= settings.buffer_bytes_max);
            }
            for bytes in sent.take() {
                let packet = decode(&bytes).expect("what is sent is well formed");
                if let Packet::Publish(publish) = packet {
                    prop_assert!(told.contains(&publish.topic.as_u16()), "{publish:?} without a REGISTER");
                }
            }
            if client.has_room() {
                prop_assert!(under_way.is_none());
            }
        }
    }
}
