//! The conversation with a gateway, told without one.

use super::*;
use crate::command::Token;
use crate::message::Message;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_mqtt::QoS;
use trefoil_mqtt_sn::{ConnAck, PubAck, RegAck};

/// A client and what it sends.
struct Story {
    client: MqttSn,
    out: Units,
    now: Instant,
}

impl Story {
    fn new(options: &Options) -> Story {
        let client = MqttSn::new(options, &Peer::new("mqtt-sn://h:1884"));
        Story { client, out: Units::default(), now: Instant::now() }
    }

    fn connected() -> Story {
        let mut story = Story::new(&Options::default());
        story.client.connect(&Options::default(), &mut story.out);
        story.sent();
        story.hear(&Packet::ConnAck(ConnAck { return_code: ReturnCode::ACCEPTED }));
        story
    }

    /// Takes what was sent.
    fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        self.out.drain(|unit| all.push(unit.to_vec()));
        all
    }

    fn hear(&mut self, packet: &Packet<'_>) -> Option<Delivery> {
        self.try_hear(packet).expect("the gateway may say that")
    }

    fn try_hear(&mut self, packet: &Packet<'_>) -> Result<Option<Delivery>, Error> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).expect("it is short");
        self.client.handle_packet(&bytes, self.now, &mut self.out)
    }

    fn publish(&mut self, topic: &str, qos: QoS) -> oneshot::Receiver<Result<(), Error>> {
        let (done, answer) = oneshot::channel();
        let done = (qos > QoS::AtMostOnce).then_some(done);
        let message = Message::new(topic, "x").qos(qos);
        self.client.handle_command(Command::Publish(message, done), self.now, &mut self.out);
        answer
    }
}

#[test]
fn a_topic_is_registered_once_and_messages_follow_in_order() {
    let mut story = Story::connected();
    let mut first = story.publish("home/temp", QoS::AtLeastOnce);
    story.publish("home/temp", QoS::AtMostOnce);
    assert_eq!(story.sent(), [b"\x0f\x0a\0\0\0\x01home/temp"]);
    story.hear(&Packet::RegAck(RegAck { topic_id: 5, msg_id: 1, return_code: ReturnCode::ACCEPTED }));
    assert_eq!(story.sent(), [b"\x08\x0c\x20\0\x05\0\x02x"]);
    assert!(first.try_recv().is_err(), "not acknowledged yet");
    story.hear(&Packet::PubAck(PubAck { topic_id: 5, msg_id: 2, return_code: ReturnCode::ACCEPTED }));
    assert_eq!(first.try_recv(), Ok(Ok(())));
    assert_eq!(story.sent(), [b"\x08\x0c\0\0\x05\0\0x"]);
    assert!(story.client.is_settled());
}

#[test]
fn what_is_not_answered_is_sent_again_with_its_mark_and_given_up_at_last() {
    let mut story = Story::connected();
    let mut answer = story.publish("ab", QoS::ExactlyOnce);
    assert_eq!(story.sent(), [b"\x08\x0c\x42ab\0\x01x"]);
    let mut resends = 0;
    while let Some(at) = story.client.resend_at() {
        story.client.resend(at, &mut story.out);
        for packet in story.sent() {
            assert_eq!(packet, b"\x08\x0c\xc2ab\0\x01x");
            resends += 1;
        }
    }
    assert_eq!(resends, 4);
    assert!(answer.try_recv().expect("it is decided").is_err());
}

#[test]
fn the_end_of_qos_2_is_waited_for() {
    let mut story = Story::connected();
    let mut answer = story.publish("ab", QoS::ExactlyOnce);
    story.sent();
    story.hear(&Packet::PubRec(1));
    assert_eq!(story.sent(), [b"\x04\x10\0\x01"]);
    story.hear(&Packet::PubRec(1));
    assert!(story.sent().is_empty(), "the PUBREL is on its way, and is sent again in its time");
    story.hear(&Packet::PubComp(1));
    assert_eq!(answer.try_recv(), Ok(Ok(())));
}

#[test]
fn a_message_is_acknowledged_when_it_is_taken_and_delivered_once() {
    let mut story = Story::connected();
    story.hear(&Packet::Register(trefoil_mqtt_sn::Register { topic_id: 9, msg_id: 3, topic: "t/t" }));
    assert_eq!(story.sent(), [b"\x07\x0b\0\x09\0\x03\0"]);
    let publish = |dup, qos, msg_id| {
        Packet::Publish(trefoil_mqtt_sn::Publish {
            dup,
            qos,
            retain: false,
            topic: trefoil_mqtt_sn::TopicId::Registered(9),
            msg_id,
            payload: b"x",
        })
    };
    let (once, twice) = (trefoil_mqtt_sn::QoS::AtLeastOnce, trefoil_mqtt_sn::QoS::ExactlyOnce);
    let token = |delivery: Option<Delivery>| -> Token {
        delivery.and_then(|delivery| delivery.token).expect("it is delivered, to be acknowledged")
    };
    let first = token(story.hear(&publish(false, once, 1)));
    assert!(story.hear(&publish(true, once, 1)).is_none());
    assert!(story.sent().is_empty(), "nobody has taken it yet");
    story.client.handle_taken(first, &mut story.out);
    assert!(story.hear(&publish(true, once, 1)).is_none(), "the acknowledgement got lost");
    assert_eq!(story.sent(), [b"\x07\x0d\0\x09\0\x01\0", b"\x07\x0d\0\x09\0\x01\0"]);
    let second = token(story.hear(&publish(false, twice, 2)));
    story.client.handle_taken(second, &mut story.out);
    assert!(story.hear(&publish(true, twice, 2)).is_none());
    story.hear(&Packet::PubRel(2));
    assert_eq!(story.sent(), [b"\x04\x0f\0\x02", b"\x04\x0f\0\x02", b"\x04\x0e\0\x02"]);
    // An id that is not known is refused, so that the gateway registers it.
    let unknown = trefoil_mqtt_sn::TopicId::Registered(77);
    let Packet::Publish(publish) = publish(false, once, 4) else { unreachable!("it is one") };
    assert!(story.hear(&Packet::Publish(trefoil_mqtt_sn::Publish { topic: unknown, ..publish })).is_none());
    assert_eq!(story.sent(), [b"\x07\x0d\0\x4d\0\x04\x02"]);
}

#[test]
fn a_will_is_told_when_it_is_asked_for() {
    let will = Will { message: Message::new("w/w", "dead").qos(QoS::AtLeastOnce).retain(true), delay_s: 0 };
    let options = Options { will: Some(will), client_id: Some("c".into()), ..Options::default() };
    let mut story = Story::new(&options);
    story.client.connect(&options, &mut story.out);
    story.hear(&Packet::WillTopicReq);
    story.hear(&Packet::WillMsgReq);
    let sent = story.sent();
    assert_eq!(sent, [&b"\x07\x04\x0c\x01\0\x1ec"[..], b"\x06\x07\x30w/w", b"\x06\x09dead"]);
    assert!(!story.client.is_connected());
}

#[test]
fn a_goodbye_is_repeated_a_little_and_not_missed_for_ever() {
    let mut story = Story::connected();
    story.client.begin_end(story.now, &mut story.out);
    assert_eq!(story.sent(), [b"\x02\x18"]);
    let mut repeated = 0;
    while let Some(at) = story.client.resend_at() {
        assert!(at < story.now + Duration::from_secs(5));
        story.client.resend(at, &mut story.out);
        repeated += story.sent().len();
    }
    assert!(repeated == 2 && story.client.is_settled());
    let mut story = Story::connected();
    assert!(story.try_hear(&Packet::Disconnect(None)).is_err(), "the gateway ended it");
}
