//! Arbitrary packets of each version.
//!
//! Packets borrow what they say. Here it is leaked, so that a strategy can give out whole packets; a test run makes a
//! few megabytes of them at most.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use trefoil_mqtt::*;

/// Packets of every type, as they can be said in this version.
pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet<'static>> {
    let mut packets = vec![
        connect(version).prop_map(Packet::Connect).boxed(),
        connack(version).prop_map(Packet::ConnAck).boxed(),
        publish(version).prop_map(Packet::Publish).boxed(),
        ack(version, PacketType::PubAck).prop_map(Packet::PubAck).boxed(),
        ack(version, PacketType::PubRec).prop_map(Packet::PubRec).boxed(),
        ack(version, PacketType::PubRel).prop_map(Packet::PubRel).boxed(),
        ack(version, PacketType::PubComp).prop_map(Packet::PubComp).boxed(),
        subscribe(version).prop_map(Packet::Subscribe).boxed(),
        suback(version).prop_map(Packet::SubAck).boxed(),
        unsubscribe(version).prop_map(Packet::Unsubscribe).boxed(),
        unsuback(version).prop_map(Packet::UnsubAck).boxed(),
        Just(Packet::PingReq).boxed(),
        Just(Packet::PingResp).boxed(),
        disconnect(version).prop_map(Packet::Disconnect).boxed(),
    ];
    if version.is_v5() {
        packets.push(auth().prop_map(Packet::Auth).boxed());
    }
    proptest::strategy::Union::new(packets).boxed()
}

fn connect(version: Version) -> impl Strategy<Value = Connect<'static>> {
    let credentials = (option::of(text()), option::of(bytes())).prop_map(move |(user_name, password)| {
        (user_name, password.filter(|_| version.is_v5() || user_name.is_some()))
    });
    let properties = from_v5_on(version, connect_properties());
    (any::<bool>(), any::<u16>(), text(), option::of(will(version)), credentials, properties).prop_map(
        move |(clean_start, keep_alive_s, client_id, will, (user_name, password), properties)| Connect {
            version,
            clean_start,
            keep_alive_s,
            client_id,
            will,
            user_name,
            password,
            properties,
        },
    )
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties<'static>> {
    let numbers = (
        option::of(any::<u32>()),
        option::of(1..=u16::MAX),
        option::of(1..=u32::MAX),
        option::of(any::<u16>()),
    );
    let authentication = option::of((text(), option::of(bytes())));
    (numbers, any::<(bool, bool)>(), user_properties(), authentication).prop_map(
        |(numbers, requests, user_properties, authentication)| ConnectProperties {
            session_expiry_s: numbers.0,
            receive_max: numbers.1,
            packet_bytes_max: numbers.2,
            topic_alias_max: numbers.3,
            request_response_information: requests.0,
            request_problem_information: requests.1,
            user_properties,
            authentication_method: authentication.map(|(method, _)| method),
            authentication_data: authentication.and_then(|(_, data)| data),
        },
    )
}

fn will(version: Version) -> impl Strategy<Value = Will<'static>> {
    let delay_s = from_v5_on(version, any::<u32>());
    let properties = from_v5_on(version, message_properties());
    (topic(), bytes(), qos(), any::<bool>(), delay_s, properties).prop_map(
        |(topic, payload, qos, retain, delay_s, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            delay_s,
            properties,
        },
    )
}

fn connack(version: Version) -> impl Strategy<Value = ConnAck<'static>> {
    let reason = if version.is_v5() {
        reason(PacketType::ConnAck).boxed()
    } else {
        select(vec![
            ReasonCode::Success,
            ReasonCode::UnsupportedProtocolVersion,
            ReasonCode::ClientIdentifierNotValid,
            ReasonCode::ServerUnavailable,
            ReasonCode::BadUserNameOrPassword,
            ReasonCode::NotAuthorized,
        ])
        .boxed()
    };
    (any::<bool>(), reason, from_v5_on(version, connack_properties())).prop_map(
        move |(session_present, reason, properties)| ConnAck {
            session_present: session_present && !reason.is_error() && version != Version::V3_1,
            reason,
            properties,
        },
    )
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties<'static>> {
    let numbers = (
        option::of(any::<u32>()),
        option::of(1..=u16::MAX),
        option::of(select(vec![QoS::AtMostOnce, QoS::AtLeastOnce])),
        option::of(1..=u32::MAX),
        option::of(any::<u16>()),
        option::of(any::<u16>()),
    );
    let texts =
        (option::of(text()), option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    (numbers, texts, any::<[Option<bool>; 4]>(), option::of(bytes()), user_properties()).prop_map(
        |(numbers, texts, available, authentication_data, user_properties)| ConnAckProperties {
            session_expiry_s: numbers.0,
            receive_max: numbers.1,
            qos_max: numbers.2,
            retain_available: available[0],
            packet_bytes_max: numbers.3,
            assigned_client_id: texts.0,
            topic_alias_max: numbers.4,
            reason_string: texts.1,
            wildcard_subscription_available: available[1],
            subscription_id_available: available[2],
            shared_subscription_available: available[3],
            server_keep_alive_s: numbers.5,
            response_information: texts.2,
            server_reference: texts.3,
            authentication_method: texts.4,
            authentication_data,
            user_properties,
        },
    )
}

/// Messages, with and without everything.
pub(crate) fn publish(version: Version) -> impl Strategy<Value = Publish<'static>> {
    let alias = from_v5_on(version, option::of(1..=u16::MAX));
    let ids = from_v5_on(version, vec(1..=268_435_455_u32, 0..4).prop_map(|ids| leak(ids).into()));
    let properties = from_v5_on(version, message_properties());
    (any::<(bool, bool, bool)>(), qos(), topic(), 1..=u16::MAX, alias, ids, properties, bytes()).prop_map(
        |(
            (dup, retain, by_alias),
            qos,
            topic,
            packet_id,
            topic_alias,
            subscription_ids,
            properties,
            payload,
        )| Publish {
            dup: dup && qos != QoS::AtMostOnce,
            qos,
            retain,
            topic: if by_alias && topic_alias.is_some() { "" } else { topic },
            packet_id: if qos == QoS::AtMostOnce { 0 } else { packet_id },
            topic_alias,
            subscription_ids,
            properties,
            payload,
        },
    )
}

fn message_properties() -> impl Strategy<Value = MessageProperties<'static>> {
    (
        option::of(0..=1_u8),
        option::of(any::<u32>()),
        option::of(text()),
        option::of(topic()),
        option::of(bytes()),
        user_properties(),
    )
        .prop_map(
            |(payload_format, expiry_s, content_type, response_topic, correlation_data, user_properties)| {
                MessageProperties {
                    payload_format,
                    expiry_s,
                    content_type,
                    response_topic,
                    correlation_data,
                    user_properties,
                }
            },
        )
}

fn ack(version: Version, packet: PacketType) -> impl Strategy<Value = Ack<'static>> {
    (1..=u16::MAX, from_v5_on(version, reason(packet)), from_v5_on(version, reason_properties()))
        .prop_map(|(packet_id, reason, properties)| Ack { packet_id, reason, properties })
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe<'static>> {
    let options = from_v5_on(version, (any::<bool>(), any::<bool>(), 0..=2_u8));
    let filter =
        (filter(), qos(), options).prop_map(|(filter, qos, (no_local, retain_as_published, handling))| {
            SubscribeFilter {
                filter,
                qos,
                no_local: no_local && !filter.starts_with("$share/"),
                retain_as_published,
                retain_handling: RetainHandling::from_bits(handling).expect("0 to 2 exist"),
            }
        });
    let id = from_v5_on(version, option::of(1..=268_435_455_u32));
    (1..=u16::MAX, id, from_v5_on(version, user_properties()), vec(filter, 1..5)).prop_map(
        |(packet_id, subscription_id, user_properties, filters)| Subscribe {
            packet_id,
            subscription_id,
            user_properties,
            filters: leak(filters).into(),
        },
    )
}

fn suback(version: Version) -> impl Strategy<Value = SubAck<'static>> {
    let reason = reason(PacketType::SubAck).prop_map(move |reason| {
        if reason.is_error() && !version.is_v5() { ReasonCode::UnspecifiedError } else { reason }
    });
    (1..=u16::MAX, from_v5_on(version, reason_properties()), vec(reason, 1..5)).prop_map(
        |(packet_id, properties, reasons)| SubAck { packet_id, properties, reasons: leak(reasons).into() },
    )
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe<'static>> {
    (1..=u16::MAX, from_v5_on(version, user_properties()), vec(filter(), 1..5)).prop_map(
        |(packet_id, user_properties, filters)| Unsubscribe {
            packet_id,
            user_properties,
            filters: leak(filters).into(),
        },
    )
}

fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck<'static>> {
    let reasons = from_v5_on(version, vec(reason(PacketType::UnsubAck), 1..5));
    (1..=u16::MAX, from_v5_on(version, reason_properties()), reasons).prop_map(
        |(packet_id, properties, reasons)| UnsubAck { packet_id, properties, reasons: leak(reasons).into() },
    )
}

fn disconnect(version: Version) -> impl Strategy<Value = Disconnect<'static>> {
    let said =
        (reason(PacketType::Disconnect), option::of(any::<u32>()), option::of(text()), reason_properties());
    from_v5_on(
        version,
        said.prop_map(|(reason, session_expiry_s, server_reference, properties)| Disconnect {
            reason,
            session_expiry_s,
            server_reference,
            properties,
        }),
    )
}

fn auth() -> impl Strategy<Value = Auth<'static>> {
    let said = (reason(PacketType::Auth), text(), option::of(bytes()), reason_properties());
    option::of(said).prop_map(|said| {
        said.map_or_else(Auth::default, |(reason, method, authentication_data, properties)| Auth {
            reason,
            authentication_method: Some(method),
            authentication_data,
            properties,
        })
    })
}

fn reason_properties() -> impl Strategy<Value = ReasonProperties<'static>> {
    (option::of(text()), user_properties())
        .prop_map(|(reason_string, user_properties)| ReasonProperties { reason_string, user_properties })
}

fn user_properties() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..4).prop_map(|pairs| {
        let mut list = UserPropertiesBuf::new();
        for (name, value) in pairs {
            list.push(name, value).expect("the strings are valid");
        }
        Box::leak(Box::new(list)).as_ref()
    })
}

/// What only version 5 can say; before, it is the default.
fn from_v5_on<T: Default + std::fmt::Debug + 'static>(
    version: Version,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if version.is_v5() { strategy.boxed() } else { Just(()).prop_map(|()| T::default()).boxed() }
}

fn reason(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let allowed = (0..=255).filter_map(ReasonCode::from_u8).filter(|reason| reason.is_for(packet));
    select(allowed.collect::<Vec<_>>())
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

/// Mostly short, sometimes long enough that lengths take two bytes, rarely as long as a field may be.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![40 => 0..12_usize, 4 => 100..400_usize, 1 => Just(FIELD_BYTES_MAX)]
}

fn bytes() -> impl Strategy<Value = &'static [u8]> {
    (len(), any::<u8>()).prop_map(|(len, seed)| {
        leak((0..len).map(|index| (index as u8).wrapping_mul(31).wrapping_add(seed)).collect())
    })
}

fn text() -> impl Strategy<Value = &'static str> {
    let short = vec(any::<char>().prop_filter("no U+0000", |&char| char != '\0'), 0..12)
        .prop_map(|chars| chars.into_iter().collect::<String>());
    let long = len().prop_map(|len| "é".repeat(len / 2));
    prop_oneof![6 => short, 1 => long].prop_map(|text| &*text.leak())
}

fn topic() -> impl Strategy<Value = &'static str> {
    text().prop_map(|text| {
        let topic = text.replace(['+', '#'], "/");
        if topic.is_empty() { "/" } else { topic.leak() }
    })
}

fn filter() -> impl Strategy<Value = &'static str> {
    prop_oneof![topic(), select(vec!["#", "+/a", "$share/group/a/#", "$SYS/#"])]
}

fn leak<T>(values: Vec<T>) -> &'static [T] {
    values.leak()
}
