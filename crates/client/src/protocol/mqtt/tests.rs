//! Short stories between this protocol and a hub that is played by hand.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::address::Address;
use crate::command::Command;
use crate::message::Message;
use crate::session::Session;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use trefoil_mqtt::{Ack, ConnAck, ConnAckProperties, Publish, QoS};

/// A protocol whose hub has said yes, with these properties.
fn connected(properties: ConnAckProperties<'_>) -> (Mqtt, Units) {
    connected_with(&Options::default(), ConnAck { properties, ..ConnAck::default() })
}

/// A protocol with these options, whose hub has answered this.
fn connected_with(options: &Options, connack: ConnAck<'_>) -> (Mqtt, Units) {
    let mut mqtt = new(options);
    let mut out = Units::default();
    mqtt.connect(&Address::parse("mqtt://h").unwrap(), options, &mut out);
    assert_eq!(sent(&mut out), ["CONNECT"]);
    hear(&mut mqtt, &mut out, Packet::ConnAck(connack)).unwrap();
    (mqtt, out)
}

fn new(options: &Options) -> Mqtt {
    let session = options.session.clone().unwrap_or_default();
    Mqtt::new(options, session.take_now(), &Peer::new("mqtt://h:1883"))
}

/// Options with a session that is kept, and the answer of a hub that has kept its half.
fn kept() -> (Options, ConnAck<'static>) {
    let options = Options { session: Some(Session::new()), ..Options::default() };
    (options, ConnAck { session_present: true, ..ConnAck::default() })
}

/// The connection breaks.
fn breaks(mut mqtt: Mqtt) {
    mqtt.end(&Peer::new("mqtt://h:1883").lost("of the test"));
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
    let mut early = new(&Options::default());
    let error = hear(&mut early, &mut out, Packet::PubAck(ack(1))).unwrap_err();
    assert!(error.to_string().contains("PUBACK came before CONNACK"), "{error}");
}

/// What is to be sent, whole: type, identifier, and whether it says that it is a repetition.
fn sent_flights(out: &mut Units) -> Vec<(&'static str, u16, bool)> {
    let mut flights = Vec::new();
    out.drain(|unit| {
        flights.push(match trefoil_mqtt::decode(unit, Version::V5).unwrap() {
            Packet::Publish(publish) => ("PUBLISH", publish.packet_id, publish.dup),
            Packet::PubRel(ack) => ("PUBREL", ack.packet_id, false),
            other => (other.packet_type().name(), 0, false),
        });
    });
    flights
}

#[test]
fn what_was_on_its_way_goes_on_in_the_next_connection() {
    let (options, connack) = kept();
    let (mut mqtt, mut out) = connected_with(&options, connack);
    let mut first = publish(&mut mqtt, &mut out, QoS::ExactlyOnce);
    let mut second = publish(&mut mqtt, &mut out, QoS::AtLeastOnce);
    let mut third = publish(&mut mqtt, &mut out, QoS::ExactlyOnce);
    hear(&mut mqtt, &mut out, Packet::PubRec(ack(1))).unwrap();
    breaks(mqtt);
    for outcome in [&mut first, &mut second, &mut third] {
        assert_eq!(outcome.try_recv(), Err(TryRecvError::Empty), "the receipt outlives the connection");
    }
    let (mut mqtt, mut out) = connected_with(&options, connack);
    assert_eq!(sent_flights(&mut out), [("PUBREL", 1, false), ("PUBLISH", 2, true), ("PUBLISH", 3, true)]);
    // The hub has completed it already, and its answer got lost.
    hear(&mut mqtt, &mut out, Packet::PubComp(Ack::new(1, ReasonCode::PacketIdentifierNotFound))).unwrap();
    hear(&mut mqtt, &mut out, Packet::PubAck(ack(2))).unwrap();
    hear(&mut mqtt, &mut out, Packet::PubRec(ack(3))).unwrap();
    hear(&mut mqtt, &mut out, Packet::PubComp(ack(3))).unwrap();
    for outcome in [&mut first, &mut second, &mut third] {
        assert_eq!(outcome.try_recv(), Ok(Ok(())));
    }
    let _next = publish(&mut mqtt, &mut out, QoS::AtLeastOnce);
    assert_eq!(sent_flights(&mut out), [("PUBREL", 3, false), ("PUBLISH", 4, false)]);
}

#[test]
fn no_more_is_repeated_at_a_time_than_the_hub_takes_now() {
    let (options, connack) = kept();
    let (mut mqtt, mut out) = connected_with(&options, connack);
    let _outcomes = [(); 3].map(|()| publish(&mut mqtt, &mut out, QoS::AtLeastOnce));
    breaks(mqtt);
    let properties = ConnAckProperties { receive_max: Some(2), ..ConnAckProperties::default() };
    let (mut mqtt, mut out) = connected_with(&options, ConnAck { properties, ..connack });
    assert_eq!(sent_flights(&mut out), [("PUBLISH", 1, true), ("PUBLISH", 2, true)]);
    assert!(!mqtt.has_room(), "what is new goes behind what is repeated");
    hear(&mut mqtt, &mut out, Packet::PubAck(ack(1))).unwrap();
    assert_eq!(sent_flights(&mut out), [("PUBLISH", 3, true)]);
    hear(&mut mqtt, &mut out, Packet::PubAck(ack(2))).unwrap();
    assert!(mqtt.has_room());
}

#[test]
fn a_hub_that_has_not_kept_the_session_is_sent_nothing_again() {
    let (options, connack) = kept();
    let (mut mqtt, mut out) = connected_with(&options, connack);
    let mut outcome = publish(&mut mqtt, &mut out, QoS::ExactlyOnce);
    breaks(mqtt);
    let (mqtt, mut out) = connected_with(&options, ConnAck::default());
    assert!(sent(&mut out).is_empty());
    let error = outcome.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Lost, "{error}");
    assert!(mqtt.is_settled());
}

#[test]
fn a_message_that_was_taken_comes_once_over_connections_and_one_that_was_not_comes_again() {
    let (options, connack) = kept();
    let (mut mqtt, mut out) = connected_with(&options, connack);
    let message = |packet_id, dup| {
        Packet::Publish(Publish { topic: "t", qos: QoS::ExactlyOnce, packet_id, dup, ..Publish::default() })
    };
    let taken = hear(&mut mqtt, &mut out, message(7, false)).unwrap().unwrap();
    let left = hear(&mut mqtt, &mut out, message(8, false)).unwrap();
    assert!(left.is_some());
    mqtt.handle_taken(taken.token.unwrap(), &mut out);
    breaks(mqtt);
    let (mut mqtt, mut out) = connected_with(&options, connack);
    assert!(hear(&mut mqtt, &mut out, message(7, true)).unwrap().is_none());
    assert_eq!(sent(&mut out), ["PUBREC"], "the hub did not hear the first one");
    assert!(hear(&mut mqtt, &mut out, message(8, true)).unwrap().is_some());
    breaks(mqtt);
    let (mut mqtt, mut out) = connected_with(&options, ConnAck::default());
    assert!(hear(&mut mqtt, &mut out, message(7, false)).unwrap().is_some(), "another session, another 7");
}

#[test]
fn a_request_does_not_outlive_its_connection() {
    let (options, connack) = kept();
    let (mut mqtt, mut out) = connected_with(&options, connack);
    let (done, mut outcome) = oneshot::channel();
    mqtt.handle_command(
        Command::Subscribe { filter: "f".into(), qos: QoS::AtMostOnce, slow_reader: None, done },
        &mut out,
    );
    breaks(mqtt);
    assert!(outcome.try_recv().unwrap().is_err());
    let (mut mqtt, mut out) = connected_with(&options, connack);
    assert!(sent(&mut out).is_empty());
    assert!(mqtt.is_settled() && mqtt.has_room());
    hear(&mut mqtt, &mut out, Packet::PingResp).unwrap();
}
