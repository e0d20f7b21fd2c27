//! Short stories between this protocol and a hub that is played by hand.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::address::Address;
use crate::command::Command;
use crate::message::Message;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use trefoil_mqtt::{Ack, ConnAck, ConnAckProperties, Publish, QoS};

/// A protocol whose hub has said yes, with these properties.
fn connected(properties: ConnAckProperties<'_>) -> (Mqtt, Units) {
    let options = Options::default();
    let mut mqtt = Mqtt::new(&options, &Peer::new("mqtt://h:1883"));
    let mut out = Units::default();
    mqtt.connect(&Address::parse("mqtt://h").unwrap(), &options, &mut out);
    assert_eq!(sent(&mut out), ["CONNECT"]);
    hear(&mut mqtt, &mut out, Packet::ConnAck(ConnAck { properties, ..ConnAck::default() })).unwrap();
    (mqtt, out)
}

fn hear(mqtt: &mut Mqtt, out: &mut Units, packet: Packet<'_>) -> Result<Option<Delivery>, Error> {
    let mut bytes = Vec::new();
    packet.encode(Version::V5, &mut bytes);
    mqtt.handle_packet(&bytes, out)
}

/// What is to be sent, by name.
fn sent(out: &mut Units) -> Vec<&'static str> {
    let mut names = Vec::new();
    out.drain(|unit| names.push(trefoil_mqtt::decode(unit, Version::V5).unwrap().packet_type().name()));
    names
}

fn publish(mqtt: &mut Mqtt, out: &mut Units, qos: QoS) -> oneshot::Receiver<Result<(), Error>> {
    let (done, outcome) = oneshot::channel();
    mqtt.handle_command(Command::Publish(Message::new("t", "x").qos(qos), Some(done)), out);
    outcome
}

fn ack(packet_id: u16) -> Ack<'static> {
    Ack::new(packet_id, ReasonCode::Success)
}

#[test]
fn a_message_of_qos_2_is_done_after_four_packets() {
    let (mut mqtt, mut out) = connected(ConnAckProperties::default());
    let mut outcome = publish(&mut mqtt, &mut out, QoS::ExactlyOnce);
    assert_eq!(sent(&mut out), ["PUBLISH"]);
    hear(&mut mqtt, &mut out, Packet::PubComp(ack(1))).unwrap();
    assert_eq!(outcome.try_recv(), Err(TryRecvError::Empty), "PUBCOMP before PUBREC ends nothing");
    hear(&mut mqtt, &mut out, Packet::PubRec(ack(1))).unwrap();
    assert_eq!(sent(&mut out), ["PUBREL"]);
    assert!(!mqtt.is_settled());
    hear(&mut mqtt, &mut out, Packet::PubComp(ack(1))).unwrap();
    assert_eq!(outcome.try_recv(), Ok(Ok(())));
    assert!(mqtt.is_settled());
}

#[test]
fn a_refused_message_says_why() {
    let (mut mqtt, mut out) = connected(ConnAckProperties::default());
    for (qos, packet) in [
        (QoS::AtLeastOnce, Packet::PubAck(Ack::new(1, ReasonCode::QuotaExceeded))),
        (QoS::ExactlyOnce, Packet::PubRec(Ack::new(2, ReasonCode::QuotaExceeded))),
    ] {
        let mut outcome = publish(&mut mqtt, &mut out, qos);
        hear(&mut mqtt, &mut out, packet).unwrap();
        let error = outcome.try_recv().unwrap().unwrap_err().to_string();
        assert_eq!(error, "mqtt://h:1883 refused the message to t: Quota exceeded");
    }
}

#[test]
fn a_message_that_comes_is_acknowledged_when_it_is_taken() {
    let (mut mqtt, mut out) = connected(ConnAckProperties::default());
    let message = Publish { topic: "t", qos: QoS::ExactlyOnce, packet_id: 7, ..Publish::default() };
    let delivery = hear(&mut mqtt, &mut out, Packet::Publish(message)).unwrap().unwrap();
    let again = Publish { dup: true, ..message };
    assert!(hear(&mut mqtt, &mut out, Packet::Publish(again)).unwrap().is_none());
    assert!(sent(&mut out).is_empty(), "nobody has taken it yet");
    mqtt.handle_taken(delivery.token.unwrap(), &mut out);
    assert!(hear(&mut mqtt, &mut out, Packet::Publish(again)).unwrap().is_none());
    assert_eq!(sent(&mut out), ["PUBREC", "PUBREC"]);
    assert!(!mqtt.is_settled());
    hear(&mut mqtt, &mut out, Packet::PubRel(ack(7))).unwrap();
    assert_eq!(sent(&mut out), ["PUBCOMP"]);
    assert!(mqtt.is_settled());
    assert!(hear(&mut mqtt, &mut out, Packet::Publish(message)).unwrap().is_some(), "the id is free again");
}

#[test]
fn no_more_is_on_its_way_than_the_hub_takes() {
    let (mut mqtt, mut out) =
        connected(ConnAckProperties { receive_max: Some(2), ..ConnAckProperties::default() });
    let _first = publish(&mut mqtt, &mut out, QoS::AtLeastOnce);
    assert!(mqtt.has_room());
    let _second = publish(&mut mqtt, &mut out, QoS::AtLeastOnce);
    assert!(!mqtt.has_room());
    hear(&mut mqtt, &mut out, Packet::PubAck(ack(1))).unwrap();
    assert!(mqtt.has_room());
}

#[test]
fn what_the_hub_does_not_take_is_not_sent() {
    let properties = ConnAckProperties {
        qos_max: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        ..ConnAckProperties::default()
    };
    let (mut mqtt, mut out) = connected(properties);
    let mut outcome = publish(&mut mqtt, &mut out, QoS::ExactlyOnce);
    assert!(outcome.try_recv().unwrap().unwrap_err().to_string().contains("QoS 1 at most"));
    let kept = Message::new("t", "x").retain(true);
    mqtt.handle_command(Command::Publish(kept, None), &mut out);
    assert!(sent(&mut out).is_empty());
    let unheard = mqtt.say_goodbye(&mut out).unwrap_err().to_string();
    assert!(unheard.contains("it retains nothing"), "{unheard}");
}

#[test]
fn a_hub_that_breaks_the_rules_is_left() {
    let (mut mqtt, mut out) = connected(ConnAckProperties::default());
    for packet in [
        Packet::PingReq,
        Packet::ConnAck(ConnAck::default()),
        Packet::Publish(Publish { topic: "", topic_alias: Some(1), ..Publish::default() }),
    ] {
        let error = hear(&mut mqtt, &mut out, packet).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Protocol, "{error}");
    }
    let early = Mqtt::new(&Options::default(), &Peer::new("mqtt://h:1883"));
    let error = hear(&mut { early }, &mut out, Packet::PubAck(ack(1))).unwrap_err();
    assert!(error.to_string().contains("PUBACK came before CONNACK"), "{error}");
}
