//! Topic names and topic filters: section 4.7.

use trefoil_tests::Hub;
use trefoil_tests::mqtt::{Connection, Message, VERSIONS, packet, string, subscribe_with, unsubscribe_with};

/// Whether a message on `topic` comes to a subscription to `filter`: live and, published before, as a retained one.
fn matches(hub: &Hub, version: u8, filter: &str, topic: &str) -> bool {
    let mut client = Connection::new(hub.tcp_port(), version, "client");
    let mut other = Connection::new(hub.tcp_port(), version, "other-shard");
    client.subscribe_with(&[], &[(filter, 0), ("fence/1", 0), ("fence/2", 0)]);
    let mut live = Vec::new();
    for (publisher, fence) in [(None, "fence/1"), (Some(&mut other), "fence/2")] {
        let bytes =
            [Message::new(topic, "x").packet(version), Message::new(fence, "").packet(version)].concat();
        match publisher {
            Some(other) => other.send(&bytes),
            None => client.send(&bytes),
        }
        let first = client.receive_publish().topic;
        live.push(first != fence);
        if first != fence {
            assert_eq!((&*first, &*client.receive_publish().topic), (topic, fence));
        }
    }
    other.publish_and_wait(&Message::new(topic, "kept").qos(1, 1).retain());
    let mut late = Connection::new(hub.tcp_port(), version, "late");
    late.send(&[subscribe_with(version, 1, &[], &[(filter, 0)]), vec![0xC0, 0]].concat());
    late.receive().suback();
    let next = late.receive();
    let retained = next.first_byte != 0xD0;
    if retained {
        assert_eq!(next.publish().topic, topic);
    }
    other.publish_and_wait(&Message::new(topic, "").qos(1, 1).retain());
    assert!(
        live == [retained, retained],
        "{filter} and {topic}: {live:?} on two shards, {retained} retained"
    );
    retained
}

/// [MQTT-4.7.0-1] [v3 MQTT-4.7.1-1] A topic name has no wildcards in it.
#[test]
fn names_have_no_wildcards() {
    let hub = Hub::start();
    for version in VERSIONS {
        for topic in ["#", "+", "a/+", "a/#", "a+b", "a#", "+/a"] {
            for qos in 0..3 {
                let mut client = Connection::new(hub.tcp_port(), version, "client");
                client.subscribe("#", 0);
                client.offer(&Message::new(topic, "x").qos(qos, 1).packet(version));
                let goodbye = client.ending();
                assert_eq!(goodbye.is_some(), version == 5, "{topic}");
                assert!(goodbye.is_none_or(|goodbye| goodbye.reason >= 0x80));
            }
        }
    }
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [v3 MQTT-4.7.1-2] [v3 MQTT-4.7.1-3] `#` stands alone in the last level and `+` alone in
/// its own. A filter that is otherwise is not well-formed: that breaks the protocol and ends the connection, also if it is
/// not the first of its packet, and also in UNSUBSCRIBE.
#[test]
fn wildcards_take_whole_levels() {
    let hub = Hub::start();
    for version in VERSIONS {
        for filter in
            ["a#", "#/a", "a/#/b", "##", "a/b#", "+a", "a+", "a/+b", "a/b+/c", "++", "#+", "$share/g/a#"]
        {
            for bytes in [
                subscribe_with(version, 1, &[], &[(filter, 0)]),
                subscribe_with(version, 1, &[], &[("fine", 0), (filter, 0)]),
                unsubscribe_with(version, 1, &[], &[filter]),
            ] {
                let mut client = Connection::new(hub.tcp_port(), version, "client");
                client.offer(&bytes);
                client.expect_end(0x81);
            }
        }
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        let fine = ["#", "+", "a/#", "+/#", "a/+", "+/a", "a/+/b", "+/+", "/#", "/+", "+/", "//#"];
        let filters = fine.map(|filter| (filter, 0));
        assert_eq!(client.subscribe_with(&[], &filters).codes, [0; 12]);
    }
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [v3 MQTT-4.7.1-2] [v3 MQTT-4.7.1-3] What filters match: `#` its own level and all below,
/// `+` one level that may be empty, and levels are told apart by every slash.
#[test]
fn filters_match_by_levels() {
    let hub = Hub::start();
    for version in VERSIONS {
        let yes = [
            ("a/b", "a/b"),
            ("a/#", "a"),
            ("a/#", "a/b"),
            ("a/#", "a/b/c"),
            ("a/#", "a/"),
            ("#", "a/b/c"),
            ("#", "/"),
            ("+", "a"),
            ("a/+", "a/"),
            ("+/+", "/a"),
            ("/+", "/a"),
            ("a/+/c", "a//c"),
            ("+/b/#", "a/b"),
            ("a//b", "a//b"),
            ("a/+/#", "a/b/c/d"),
        ];
        let no = [
            ("a", "a/"),
            ("a", "/a"),
            ("a/b", "a/b/c"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("+", "/a"),
            ("+", "a/b"),
            ("/#", "a"),
            ("a/#", "ab"),
            ("a/#", "b/a"),
            ("a//b", "a/b"),
            ("+/b", "a/b/"),
        ];
        for (filter, topic) in yes {
            assert!(matches(&hub, version, filter, topic), "{filter} matches {topic}");
        }
        for (filter, topic) in no {
            assert!(!matches(&hub, version, filter, topic), "{filter} does not match {topic}");
        }
    }
}

/// [MQTT-4.7.2-1] [v3 MQTT-4.7.2-1] A wildcard in the first level does not match a topic that begins with `$`; one further
/// down does, and a `$` elsewhere is a character like any other.
#[test]
fn dollar_topics_are_hidden_from_leading_wildcards() {
    let hub = Hub::start();
    for version in VERSIONS {
        for (filter, topic) in
            [("#", "$own/a"), ("+/a", "$own/a"), ("+/#", "$own/a"), ("#", "$"), ("+", "$"), ("+", "$own")]
        {
            assert!(!matches(&hub, version, filter, topic), "{filter} does not match {topic}");
        }
        for (filter, topic) in [
            ("$own/#", "$own/a"),
            ("$own/+", "$own/a"),
            ("$own/#", "$own"),
            ("$own", "$own"),
            ("+/+", "a/$b"),
            ("#", "a$"),
            ("a/#", "a/$b"),
        ] {
            assert!(matches(&hub, version, filter, topic), "{filter} matches {topic}");
        }
    }
}

/// [MQTT-4.7.3-1] [v3 MQTT-4.7.3-1] Names and filters have at least one character. An empty filter is not well-formed, so
/// it ends the connection; an empty name does so too, where no topic alias stands for it.
#[test]
fn nothing_is_empty() {
    let hub = Hub::start();
    for version in VERSIONS {
        for (bytes, reason) in [
            (Message::new("", "x").packet(version), 0x82),
            (subscribe_with(version, 1, &[], &[("", 0)]), 0x81),
            (subscribe_with(version, 1, &[], &[("a", 0), ("", 0)]), 0x81),
            (unsubscribe_with(version, 1, &[], &[""]), 0x81),
        ] {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.offer(&bytes);
            client.expect_end(reason);
        }
        assert!(matches(&hub, version, " ", " ") && matches(&hub, version, "/", "/"));
    }
}

/// [MQTT-4.7.3-2] [v3 MQTT-4.7.3-2] U+0000 is in neither.
#[test]
fn null_characters_are_refused() {
    let hub = Hub::start();
    for version in VERSIONS {
        for text in ["\0", "a\0", "\0a", "a/\0/b", "a long topic with one at its very end\0"] {
            for bytes in [
                Message::new(text, "x").packet(version),
                subscribe_with(version, 1, &[], &[(text, 0)]),
                unsubscribe_with(version, 1, &[], &[text]),
            ] {
                let mut client = Connection::new(hub.tcp_port(), version, "client");
                client.offer(&bytes);
                client.expect_end(0x81);
            }
        }
    }
}

/// [MQTT-4.7.3-3] [v3 MQTT-4.7.3-3] Up to 65,535 bytes are a name or a filter; more cannot be said, since the length has
/// two bytes: what is said to be longer runs past the end of its packet.
#[test]
fn names_and_filters_have_up_to_65535_bytes() {
    let hub = Hub::start();
    for version in VERSIONS {
        let longest = "é".repeat(32_767) + "x";
        assert_eq!(longest.len(), 65_535);
        assert!(matches(&hub, version, &longest, &longest));
        assert!(matches(&hub, version, "+", &longest));
        assert!(!matches(&hub, version, &longest, &longest[..65_534].replace('é', "e")));
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        for bytes in [
            packet(0x30, &[&[0xff, 0xff][..], "x".repeat(65_534).as_bytes()].concat()),
            packet(0x82, &[&[0, 1], properties, &[0xff, 0xff], "x".repeat(65_534).as_bytes()].concat()),
        ] {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.offer(&bytes);
            client.expect_end(0x81);
        }
    }
}

/// [MQTT-4.7.3-4] [v3 MQTT-4.7.3-4] Nothing is normalized: case, spaces, composed and decomposed characters, look-alikes,
/// byte order marks and characters that nobody knows make different topics, and go out as they came in.
#[test]
fn characters_are_compared_as_they_are() {
    let hub = Hub::start();
    let alike = [
        ["Account", "account"],
        ["a b", "a  b"],
        ["a", "a "],
        ["a", " a"],
        ["\u{c5}", "A\u{30a}"],
        ["\u{212b}", "\u{c5}"],
        ["ﬁ", "fi"],
        ["a", "\u{feff}a"],
        ["a", "а"],
        ["a/b", "a\u{2215}b"],
        ["a", "a\u{200b}"],
        ["%2F", "/"],
        ["a/../b", "b"],
        ["\u{10ffff}", "\u{fffd}"],
    ];
    for version in VERSIONS {
        for [one, other] in alike {
            assert!(matches(&hub, version, one, one) && matches(&hub, version, other, other));
            assert!(
                !matches(&hub, version, one, other) && !matches(&hub, version, other, one),
                "{one} {other}"
            );
        }
    }
    // By the bytes, since a rig that reads strings might be kind to them.
    let mut client = Connection::new(hub.tcp_port(), 4, "client");
    client.subscribe("+", 0);
    let bytes = packet(0x30, &string(b"\xef\xbb\xbf\xf4\x8f\xbf\xbf A\xcc\x8a"));
    client.send(&bytes);
    assert_eq!(client.receive().bytes(), bytes);
}
