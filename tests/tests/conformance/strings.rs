//! Strings and numbers: chapter 1.

use crate::connect::patient_hub;
use trefoil_tests::Hub;
use trefoil_tests::mqtt::property::{any, id, number, pair, section, text};
use trefoil_tests::mqtt::{
    Connect, Connection, Message, VERSIONS, Will, packet, string, subscribe_with, unsubscribe_with,
};

/// A packet with a string of the test's choice in it.
type Field = (&'static str, fn(u8, &[u8]) -> Vec<u8>);

/// Fields of CONNECT in every version.
const CONNECT_FIELDS: [Field; 3] = [
    ("client id", |version, text| Connect::new(version, text).packet()),
    ("will topic", |version, text| Connect::new(version, "c").will(Will::new(text, "")).packet()),
    ("user name", |version, text| Connect::new(version, "c").user(text).packet()),
];

/// Fields of CONNECT in MQTT 5.
const CONNECT_FIELDS_5: [Field; 5] = [
    ("user property of CONNECT", |_, text| Connect::new(5, "c").property(pair("a", text)).packet()),
    ("content type of the will", |_, string| with_will(&text(id::CONTENT_TYPE, string))),
    ("response topic of the will", |_, string| with_will(&text(id::RESPONSE_TOPIC, string))),
    ("name of a user property of the will", |_, text| with_will(&pair(text, "b"))),
    ("user property of the will", |_, text| with_will(&pair("a", text))),
];

/// Fields of other packets in every version.
const FIELDS: [Field; 3] = [
    ("topic", |version, text| Message::new(text, "").packet(version)),
    ("topic filter of SUBSCRIBE", |version, text| with_filter(version, text, 0x82)),
    ("topic filter of UNSUBSCRIBE", |version, text| with_filter(version, text, 0xA2)),
];

/// Fields of other packets in MQTT 5.
const FIELDS_5: [Field; 8] = [
    ("content type", |_, string| with(&text(id::CONTENT_TYPE, string))),
    ("response topic", |_, string| with(&text(id::RESPONSE_TOPIC, string))),
    ("name of a user property", |_, text| with(&pair(text, "b"))),
    ("value of a user property", |_, text| with(&pair("a", text))),
    ("user property of SUBSCRIBE", |_, text| subscribe_with(5, 1, &pair("a", text), &[("a", 0)])),
    ("user property of UNSUBSCRIBE", |_, text| unsubscribe_with(5, 1, &pair("a", text), &["a"])),
    ("reason string of PUBACK", |_, string| {
        packet(0x40, &[&[0, 9, 0][..], &section(&text(id::REASON_STRING, string))].concat())
    }),
    ("user property of PUBREC", |_, text| {
        packet(0x50, &[&[0, 9, 0x80][..], &section(&pair("a", text))].concat())
    }),
];

fn with(properties: &[u8]) -> Vec<u8> {
    Message::new("t", "").property(properties).packet(5)
}

fn with_will(properties: &[u8]) -> Vec<u8> {
    Connect::new(5, "c").will(Will::new("t", "").property(properties)).packet()
}

fn with_filter(version: u8, filter: &[u8], first_byte: u8) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    let options: &[u8] = if first_byte == 0x82 { &[0] } else { &[] };
    packet(first_byte, &[&[0, 1], properties, &string(filter), options].concat())
}

fn fields(version: u8, all: &'static [Field], in_5: &'static [Field]) -> impl Iterator<Item = Field> {
    all.iter().chain(in_5.iter().filter(move |_| version == 5)).copied()
}

/// Every field refuses these strings: CONNECT is not accepted, and other packets end the connection.
fn refused_everywhere(strings: &[&[u8]]) {
    let hub = patient_hub();
    for version in VERSIONS {
        for (string, (name, bytes)) in strings
            .iter()
            .flat_map(|s| fields(version, &CONNECT_FIELDS, &CONNECT_FIELDS_5).map(move |f| (s, f)))
        {
            let mut connection = Connection::open(hub.tcp_port(), version);
            connection.send(&bytes(version, string));
            let answer = connection.try_receive().map(|packet| packet.connack());
            let expected = (version == 5).then_some(0x81);
            assert_eq!(answer.map(|a| a.code), expected, "{name} in version {version}: {string:?}");
            assert_eq!(connection.ending(), None, "the refusal is the last word");
        }
        for (string, (name, bytes)) in
            strings.iter().flat_map(|s| fields(version, &FIELDS, &FIELDS_5).map(move |f| (s, f)))
        {
            let mut connection = Connection::new(hub.tcp_port(), version, "refused");
            connection.send(&bytes(version, string));
            let expected = (version == 5).then_some(0x81);
            assert_eq!(connection.disconnect_reason(), expected, "{name} in version {version}: {string:?}");
        }
    }
}

/// [MQTT-1.5.4-1] [v3 MQTT-1.5.3-1], in the fields that have statements of their own: [MQTT-1.5.7-1] [MQTT-3.1.3-4]
/// [v3 MQTT-3.1.3-4] [MQTT-3.1.3-11] [v3 MQTT-3.1.3-10] [MQTT-3.1.3-12] [v3 MQTT-3.1.3-11] [MQTT-3.3.2-1]
/// [v3 MQTT-3.3.2-1] [MQTT-3.3.2-13] [MQTT-3.3.2-19]
#[test]
fn ill_formed_utf8_is_refused_in_every_string() {
    refused_everywhere(&[
        b"a\xED\xA0\x80",    // U+D800, which is no character
        b"\xED\xBF\xBF",     // U+DFFF
        b"\xC0\xAF",         // a slash in two bytes
        b"a\x80b",           // a byte that only continues
        b"a\xE2\x82",        // cut off
        b"\xF4\x90\x80\x80", // above U+10FFFF
    ]);
}

/// [MQTT-1.5.4-2] [v3 MQTT-1.5.3-2]
#[test]
fn the_null_character_is_refused_in_every_string() {
    refused_everywhere(&[b"a\0b", b"\0"]);
}

/// What only looks odd is welcome: control characters and code points that Unicode keeps for other uses SHOULD be
/// avoided by clients, and a receiver MAY refuse them. This one takes them, unaltered.
#[test]
fn odd_characters_are_taken_in_every_string() {
    let hub = Hub::start();
    for version in VERSIONS {
        for text in ["\u{1}\u{7f}\u{9f}", "\u{fffe}\u{ffff}\u{1ffff}\u{fdd0}", "\u{feff}a", "\u{10ffff}"] {
            for (name, bytes) in fields(version, &CONNECT_FIELDS, &CONNECT_FIELDS_5) {
                let mut connection = Connection::open(hub.tcp_port(), version);
                connection.send(&bytes(version, text.as_bytes()));
                assert_eq!(connection.receive().connack().code, 0, "{name} in version {version}: {text:?}");
            }
            let mut connection = Connection::new(hub.tcp_port(), version, "odd");
            connection.subscribe("#", 0);
            connection.publish(text, b"odd");
            assert_eq!(connection.receive_publish().topic, text);
        }
    }
}

/// [MQTT-1.5.4-3] [v3 MQTT-1.5.3-3]
#[test]
fn a_byte_order_mark_is_a_character_like_any_other() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut with_mark = Connection::new(hub.tcp_port(), version, "with");
        let mut without = Connection::new(hub.tcp_port(), version, "without");
        // The mark is part of client ids as well: this is another client.
        let mut publisher = Connection::new(hub.tcp_port(), version, "\u{feff}with");
        with_mark.subscribe("\u{feff}t\u{feff}", 1);
        without.subscribe("t", 1);
        let mark = "\u{feff}m";
        let mut message = Message::new("\u{feff}t\u{feff}", "\u{feff}payload").qos(1, 7);
        if version == 5 {
            message = message.property(text(id::CONTENT_TYPE, mark)).property(pair(mark, mark));
        }
        publisher.publish_and_wait(&message);
        let received = with_mark.receive_and_ack();
        assert_eq!(received.topic, "\u{feff}t\u{feff}");
        assert_eq!(received.payload, "\u{feff}payload".as_bytes());
        if version == 5 {
            assert_eq!(received.properties.text(id::CONTENT_TYPE), Some(mark));
            assert_eq!(received.properties.pairs(), [(mark, mark)]);
        }
        with_mark.ping();
        without.ping();
    }
}

/// [MQTT-1.5.5-1]
#[test]
fn numbers_take_no_more_bytes_than_they_need() {
    let hub = Hub::start();
    // 3.1.1 has the rule in its section 2.2.3, without an identifier.
    for version in VERSIONS {
        for ping in
            [&[0xC0, 0x80, 0x00][..], &[0xC0, 0x80, 0x80, 0x00], &[0xC0, 0x80, 0x80, 0x80, 0x80, 0x00]]
        {
            let mut connection = Connection::new(hub.tcp_port(), version, "long");
            connection.send(ping);
            connection.expect_end(0x81);
        }
        let mut connection = Connection::open(hub.tcp_port(), version);
        let connect = Connect::new(version, "long").packet();
        connection.send(&[&[0x10, connect[1] | 0x80, 0x00], &connect[2..]].concat());
        assert!(connection.try_receive().is_none(), "nothing is said to a CONNECT of unknown length");
    }
    let subscribe = |properties: &[u8]| packet(0x82, &[&[0, 1], properties, &string("a"), &[0]].concat());
    let publish = |properties: &[u8]| packet(0x30, &[&string("a")[..], properties].concat());
    for bytes in [
        subscribe(&[0x80, 0x00]),
        subscribe(&[3, id::SUBSCRIPTION_ID, 0x81, 0x00]),
        subscribe(&[6, id::SUBSCRIPTION_ID, 0x80, 0x80, 0x80, 0x80, 0x01]),
        publish(&[0x80, 0x00]),
        publish(&[4, id::PAYLOAD_FORMAT | 0x80, 0x00, 1, 0]),
    ] {
        let mut connection = Connection::new(hub.tcp_port(), 5, "long");
        connection.send(&bytes);
        connection.expect_end(0x81);
    }
}

/// [MQTT-1.5.5-1], in what the hub sends: whoever receives panics at a length that is too long.
#[test]
fn lengths_of_every_size_are_sent_as_short_as_can_be() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut connection = Connection::new(hub.tcp_port(), version, "lengths");
        connection.subscribe("t", 0);
        for length in
            [0, 100, 122, 123, 124, 125, 126, 16_376, 16_378, 16_379, 16_380, 16_381, 16_382, 300_000]
        {
            connection.publish("t", &vec![b'x'; length]);
            assert_eq!(connection.receive_publish().payload.len(), length);
        }
    }
    let mut connection = Connection::new(hub.tcp_port(), 5, "ids");
    for subscription_id in [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455] {
        connection.subscribe_with(&number(id::SUBSCRIPTION_ID, subscription_id), &[("t", 0)]);
        connection.publish("t", b"");
        assert_eq!(connection.receive_publish().properties.numbers(id::SUBSCRIPTION_ID), [subscription_id]);
    }
}

/// [MQTT-1.5.7-1], as far as names that come twice are concerned: they are no error, and none is lost.
#[test]
fn user_properties_are_pairs_of_strings_that_may_repeat() {
    let hub = Hub::start();
    let mut connection = Connection::new(hub.tcp_port(), 5, "pairs");
    connection.subscribe("t", 0);
    let pairs = [pair("a", "1"), pair("a", "2"), pair("", ""), pair("a", "1")].concat();
    connection.send(&Message::new("t", "").property(pairs).packet(5));
    let expected = [("a", "1"), ("a", "2"), ("", ""), ("a", "1")];
    assert_eq!(connection.receive_publish().properties.pairs(), expected);
    // A name without a value ends inside the section, and a value that ends behind it is none.
    for broken in [&any(id::USER_PROPERTY)[..4], &[id::USER_PROPERTY, 0, 1, b'a', 0, 9, b'b']] {
        let mut connection = Connection::new(hub.tcp_port(), 5, "pairs");
        connection.send(&Message::new("t", "").property(broken).packet(5));
        connection.expect_end(0x81);
    }
}
