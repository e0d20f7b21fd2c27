//! Each packet of MQTT-SN 1.2 in bytes written by hand, read and written.
#![allow(clippy::unwrap_used)]

use trefoil_mqtt_sn::*;

/// The bytes decode to the packet, and the packet encodes to the bytes.
#[track_caller]
fn same(bytes: &[u8], packet: Packet<'_>) {
    assert_eq!(decode(bytes), Ok(packet));
    let mut out = b"before".to_vec();
    packet.encode(&mut out).unwrap();
    assert_eq!(&out[..6], b"before");
    assert_eq!(&out[6..], bytes);
}

#[test]
fn gateways() {
    same(b"\x05\x00\x07\x03\x84", Packet::Advertise(Advertise { gateway_id: 7, interval_s: 900 }));
    same(b"\x03\x01\x02", Packet::SearchGw(2));
    same(b"\x03\x02\x07", Packet::GwInfo(GwInfo { gateway_id: 7, address: b"" }));
    same(b"\x07\x02\x07\x0a\x00\x00\x01", Packet::GwInfo(GwInfo { gateway_id: 7, address: &[10, 0, 0, 1] }));
}

#[test]
fn connecting() {
    let connect = Connect { will: false, clean_session: false, keep_alive_s: 60, client_id: "dev" };
    same(b"\x09\x04\x00\x01\x00\x3cdev", Packet::Connect(connect));
    same(b"\x09\x04\x04\x01\x00\x3cdev", Packet::Connect(Connect { clean_session: true, ..connect }));
    same(b"\x09\x04\x08\x01\x00\x3cdev", Packet::Connect(Connect { will: true, ..connect }));
    same(
        b"\x06\x04\x00\x01\xff\xff",
        Packet::Connect(Connect { keep_alive_s: 65_535, client_id: "", ..connect }),
    );
    same(b"\x03\x05\x00", Packet::ConnAck(ConnAck { return_code: ReturnCode::ACCEPTED }));
    same(b"\x03\x05\x01", Packet::ConnAck(ConnAck { return_code: ReturnCode::CONGESTION }));
    same(b"\x03\x05\x03", Packet::ConnAck(ConnAck { return_code: ReturnCode::NOT_SUPPORTED }));
}

#[test]
fn wills() {
    same(b"\x02\x06", Packet::WillTopicReq);
    let will = WillTopic { qos: QoS::AtLeastOnce, retain: true, topic: "gone" };
    same(b"\x07\x07\x30gone", Packet::WillTopic(Some(will)));
    same(b"\x02\x07", Packet::WillTopic(None));
    same(b"\x02\x08", Packet::WillMsgReq);
    same(b"\x05\x09bye", Packet::WillMsg(b"bye"));
    same(b"\x02\x09", Packet::WillMsg(b""));
    let will = WillTopic { qos: QoS::ExactlyOnce, retain: false, topic: "gone" };
    same(b"\x07\x1a\x40gone", Packet::WillTopicUpd(Some(will)));
    same(b"\x02\x1a", Packet::WillTopicUpd(None));
    same(b"\x03\x1b\x00", Packet::WillTopicResp(ReturnCode::ACCEPTED));
    same(b"\x05\x1cbye", Packet::WillMsgUpd(b"bye"));
    same(b"\x03\x1d\x03", Packet::WillMsgResp(ReturnCode::NOT_SUPPORTED));
}

/// Flags without a topic, as some clients send them, are no will either.
#[test]
fn a_will_topic_of_flags_alone_is_none() {
    assert_eq!(decode(b"\x03\x07\x30"), Ok(Packet::WillTopic(None)));
    assert_eq!(decode(b"\x03\x1a\x00"), Ok(Packet::WillTopicUpd(None)));
}

#[test]
fn registering() {
    same(b"\x09\x0a\x00\x00\x00\x05a/b", Packet::Register(Register { topic_id: 0, msg_id: 5, topic: "a/b" }));
    same(
        b"\x09\x0a\x12\x34\x00\x05a/b",
        Packet::Register(Register { topic_id: 0x1234, msg_id: 5, topic: "a/b" }),
    );
    let ack = RegAck { topic_id: 0x1234, msg_id: 5, return_code: ReturnCode::ACCEPTED };
    same(b"\x07\x0b\x12\x34\x00\x05\x00", Packet::RegAck(ack));
}

#[test]
fn publishing() {
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: TopicId::Registered(0x1234),
        msg_id: 0,
        payload: b"21",
    };
    same(b"\x09\x0c\x00\x12\x34\x00\x0021", Packet::Publish(publish));
    same(b"\x07\x0c\x00\x12\x34\x00\x00", Packet::Publish(Publish { payload: b"", ..publish }));
    same(b"\x09\x0c\x10\x12\x34\x00\x0021", Packet::Publish(Publish { retain: true, ..publish }));
    let sure = Publish { qos: QoS::AtLeastOnce, msg_id: 0x0908, ..publish };
    same(b"\x09\x0c\x20\x12\x34\x09\x0821", Packet::Publish(sure));
    same(b"\x09\x0c\xa0\x12\x34\x09\x0821", Packet::Publish(Publish { dup: true, ..sure }));
    same(b"\x09\x0c\x40\x12\x34\x09\x0821", Packet::Publish(Publish { qos: QoS::ExactlyOnce, ..sure }));
    same(
        b"\x09\x0c\x01\x00\x07\x00\x0021",
        Packet::Publish(Publish { topic: TopicId::Predefined(7), ..publish }),
    );
    let short = TopicId::Short(ShortName::new("ab").unwrap());
    same(b"\x09\x0c\x02ab\x00\x0021", Packet::Publish(Publish { topic: short, ..publish }));
    same(
        b"\x09\x0c\x62ab\x00\x0021",
        Packet::Publish(Publish { topic: short, qos: QoS::MinusOne, ..publish }),
    );
}

#[test]
fn acknowledging() {
    let ack = PubAck { topic_id: 0x1234, msg_id: 0x0908, return_code: ReturnCode::INVALID_TOPIC_ID };
    same(b"\x07\x0d\x12\x34\x09\x08\x02", Packet::PubAck(ack));
    same(b"\x04\x0e\x09\x08", Packet::PubComp(0x0908));
    same(b"\x04\x0f\x09\x08", Packet::PubRec(0x0908));
    same(b"\x04\x10\x09\x08", Packet::PubRel(0x0908));
    let short = ShortName::new("ab").unwrap();
    assert_eq!(TopicId::Short(short).as_u16().to_be_bytes(), *b"ab");
}

#[test]
fn subscribing() {
    let subscribe =
        Subscribe { dup: false, qos: QoS::AtMostOnce, msg_id: 5, topic: TopicFilter::Name("a/#") };
    same(b"\x08\x12\x00\x00\x05a/#", Packet::Subscribe(subscribe));
    same(
        b"\x08\x12\xc0\x00\x05a/#",
        Packet::Subscribe(Subscribe { dup: true, qos: QoS::ExactlyOnce, ..subscribe }),
    );
    let predefined = TopicFilter::Predefined(7);
    same(
        b"\x07\x12\x21\x00\x05\x00\x07",
        Packet::Subscribe(Subscribe { qos: QoS::AtLeastOnce, topic: predefined, ..subscribe }),
    );
    let short = TopicFilter::Short(ShortName::new("é").unwrap());
    same(b"\x07\x12\x02\x00\x05\xc3\xa9", Packet::Subscribe(Subscribe { topic: short, ..subscribe }));
    let ack = SubAck { qos: QoS::AtLeastOnce, topic_id: 9, msg_id: 5, return_code: ReturnCode::ACCEPTED };
    same(b"\x08\x13\x20\x00\x09\x00\x05\x00", Packet::SubAck(ack));

    same(
        b"\x08\x14\x00\x00\x06a/#",
        Packet::Unsubscribe(Unsubscribe { msg_id: 6, topic: TopicFilter::Name("a/#") }),
    );
    same(b"\x07\x14\x01\x00\x06\x00\x07", Packet::Unsubscribe(Unsubscribe { msg_id: 6, topic: predefined }));
    same(b"\x07\x14\x02\x00\x06\xc3\xa9", Packet::Unsubscribe(Unsubscribe { msg_id: 6, topic: short }));
    same(b"\x04\x15\x00\x06", Packet::UnsubAck(6));
}

#[test]
fn staying_and_leaving() {
    same(b"\x02\x16", Packet::PingReq(None));
    same(b"\x05\x16dev", Packet::PingReq(Some("dev")));
    same(b"\x02\x17", Packet::PingResp);
    same(b"\x02\x18", Packet::Disconnect(None));
    same(b"\x04\x18\x0e\x10", Packet::Disconnect(Some(3600)));
    same(b"\x04\x18\x00\x00", Packet::Disconnect(Some(0)));
}

/// §5.5: the length is that of the head, and the packet inside has its own.
#[test]
fn forwarders() {
    let inner = b"\x02\x16";
    let encapsulated = Encapsulated { radius: 2, node_id: &[0xaa, 0xbb], packet: inner };
    same(b"\x05\xfe\x02\xaa\xbb\x02\x16", Packet::Encapsulated(encapsulated));
    same(
        b"\x03\xfe\x00\x02\x16",
        Packet::Encapsulated(Encapsulated { radius: 0, node_id: b"", packet: inner }),
    );
    let longest = [b"\xff\xfe\x03".as_slice(), &[1; 252], inner].concat();
    same(&longest, Packet::Encapsulated(Encapsulated { radius: 3, node_id: &[1; 252], packet: inner }));
    let too_long = Packet::Encapsulated(Encapsulated { radius: 3, node_id: &[1; 253], packet: inner });
    let mut out = b"before".to_vec();
    assert_eq!(too_long.encode(&mut out), Err(TooLong));
    assert_eq!(out, b"before");
}

/// §5.2.1: a length of one octet up to 255, of three above it, up to 65535.
#[test]
fn lengths() {
    let payload = vec![b'x'; 65_536];
    for (payload_len, head) in [
        (0, b"\x02\x09".as_slice()),
        (253, b"\xff\x09"),
        (254, b"\x01\x01\x02\x09"),
        (65_531, b"\x01\xff\xff\x09"),
    ] {
        let payload = &payload[..payload_len];
        same(&[head, payload].concat(), Packet::WillMsg(payload));
    }
    let mut out = b"before".to_vec();
    assert_eq!(Packet::WillMsg(&payload[..65_532]).encode(&mut out), Err(TooLong));
    assert_eq!(out, b"before");
}

/// The long form of a length is allowed where the short one would do.
#[test]
fn a_long_length_for_a_short_packet() {
    assert_eq!(decode(b"\x01\x00\x04\x17"), Ok(Packet::PingResp));
    assert_eq!(decode(b"\x01\x00\x06\x10\x09\x08"), Ok(Packet::PubRel(0x0908)));
}

/// Flags that a packet has no use for are passed over.
#[test]
fn flags_without_use() {
    let plain = decode(b"\x09\x04\x00\x01\x00\x3cdev");
    assert_eq!(decode(b"\x09\x04\xf3\x01\x00\x3cdev"), plain);
    let plain = decode(b"\x08\x14\x00\x00\x06a/#");
    assert_eq!(decode(b"\x08\x14\xfc\x00\x06a/#"), plain);
}

#[test]
fn short_names_have_two_octets() {
    assert_eq!(ShortName::new("ab").unwrap().as_str(), "ab");
    for name in ["", "a", "abc", "€", "a\0"] {
        assert_eq!(ShortName::new(name), None, "{name:?}");
    }
}

#[test]
fn return_codes_in_words() {
    assert_eq!(ReturnCode::ACCEPTED.to_string(), "accepted");
    assert_eq!(ReturnCode(9).to_string(), "rejected: reserved code 9");
}
