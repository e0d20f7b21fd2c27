//! Whatever is encoded is decoded to the same, and whatever comes does no harm.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_mqtt_sn::*;

/// The parts of which any packet can be made; the packets borrow from them.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    flags: (bool, bool),
    qos: QoS,
    topic_kind: u8,
    ids: (u16, u16),
    octet: u8,
    name: String,
    short: String,
    bytes: Vec<u8>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let qos = proptest::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
    (
        0..28u8,
        any::<(bool, bool)>(),
        qos,
        0..3u8,
        any::<(u16, u16)>(),
        any::<u8>(),
        "\\PC{1,300}",
        "[!-~]{2}|[é-ÿ]",
        prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 230..300)],
    )
        .prop_map(|(kind, flags, qos, topic_kind, ids, octet, name, short, bytes)| Parts {
            kind,
            flags,
            qos,
            topic_kind,
            ids,
            octet,
            name,
            short,
            bytes,
        })
}

fn packet(parts: &Parts) -> Packet<'_> {
    let Parts { flags, qos, ids: (topic_id, msg_id), octet, .. } = *parts;
    let (topic, payload, return_code) = (parts.name.as_str(), parts.bytes.as_slice(), ReturnCode(octet));
    let short = ShortName::new(&parts.short).unwrap();
    let (id, filter) = match parts.topic_kind {
        0 => (TopicId::Registered(topic_id), TopicFilter::Name(topic)),
        1 => (TopicId::Predefined(topic_id), TopicFilter::Predefined(topic_id)),
        _ => (TopicId::Short(short), TopicFilter::Short(short)),
    };
    let will = flags.0.then_some(WillTopic { qos, retain: flags.1, topic });
    match parts.kind {
        0 => Packet::Advertise(Advertise { gateway_id: octet, interval_s: topic_id }),
        1 => Packet::SearchGw(octet),
        2 => Packet::GwInfo(GwInfo { gateway_id: octet, address: payload }),
        3 => {
            let (will, clean_session) = flags;
            Packet::Connect(Connect { will, clean_session, keep_alive_s: topic_id, client_id: topic })
        }
        4 => Packet::ConnAck(ConnAck { return_code }),
        5 => Packet::WillTopicReq,
        6 => Packet::WillTopic(will),
        7 => Packet::WillMsgReq,
        8 => Packet::WillMsg(payload),
        9 => Packet::Register(Register { topic_id, msg_id, topic }),
        10 => Packet::RegAck(RegAck { topic_id, msg_id, return_code }),
        11 => {
            let unconnected = octet < 64 && parts.topic_kind != 0;
            let qos = if unconnected { QoS::MinusOne } else { qos };
            Packet::Publish(Publish { dup: flags.0, qos, retain: flags.1, topic: id, msg_id, payload })
        }
        12 => Packet::PubAck(PubAck { topic_id, msg_id, return_code }),
        13 => Packet::PubComp(msg_id),
        14 => Packet::PubRec(msg_id),
        15 => Packet::PubRel(msg_id),
        16 => Packet::Subscribe(Subscribe { dup: flags.0, qos, msg_id, topic: filter }),
        17 => Packet::SubAck(SubAck { qos, topic_id, msg_id, return_code }),
        18 => Packet::Unsubscribe(Unsubscribe { msg_id, topic: filter }),
        19 => Packet::UnsubAck(msg_id),
        20 => Packet::PingReq(flags.0.then_some(topic)),
        21 => Packet::PingResp,
        22 => Packet::Disconnect(flags.0.then_some(topic_id)),
        23 => Packet::WillTopicUpd(will),
        24 => Packet::WillTopicResp(return_code),
        25 => Packet::WillMsgUpd(payload),
        26 => Packet::WillMsgResp(return_code),
        _ => Packet::Encapsulated(Encapsulated {
            radius: octet & 3,
            node_id: &payload[..payload.len().min(252)],
            packet: topic.as_bytes(),
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn encode_and_decode(parts in parts()) {
        let packet = packet(&parts);
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).unwrap();
        prop_assert_eq!(decode(&bytes), Ok(packet));
    }

    /// A packet that lost its end is no packet; only a forwarder's may lose some of what is inside it.
    #[test]
    fn cut_short(parts in parts(), cut in any::<proptest::sample::Index>()) {
        let packet = packet(&parts);
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).unwrap();
        let cut = decode(&bytes[..cut.index(bytes.len())]);
        prop_assert!(cut.is_err() || matches!(packet, Packet::Encapsulated(_)));
    }

    /// Any bytes: no panic, and what is a packet encodes and decodes to the same one.
    #[test]
    fn any_bytes(mut bytes in vec(any::<u8>(), 0..300), honest in any::<bool>(), packet_type in 0..0x20u8) {
        if honest && let (len @ 2..=255, [first, second, ..]) = (bytes.len(), bytes.as_mut_slice()) {
            (*first, *second) = (len as u8, packet_type);
        }
        if let Ok(packet) = decode(&bytes) {
            let mut again = Vec::new();
            packet.encode(&mut again).unwrap();
            prop_assert_eq!(decode(&again), Ok(packet));
        }
    }
}
