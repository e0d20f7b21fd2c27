//! What holds for every input.

#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_json::{
    Code, Delivery, ExtrasRef, Limits, MessageView, PublishView, Reply, Request, encode_message,
    encode_publish, parse, parse_batch, parse_binary, parse_binary_reply, parse_reply,
};

/// Text that looks like the protocol more often than random bytes do.
fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(":"),
        Just(","),
        Just("\""),
        Just("\\"),
        Just("\\ud800"),
        Just("\"pub\":"),
        Just("\"sub\":"),
        Just("\"ack\":"),
        Just("\"data\":"),
        Just("\"qos\":1"),
        Just("\"id\":7"),
        Just("\"t\""),
        Just("null"),
        Just("1e9"),
        Just("\"data_base64\":\"YQ==\""),
        Just("\"topic\":"),
        Just("\"error\":{\"code\":\"quota\",\"reason\":\"r\"}"),
        Just("\"user_properties\":[[\"a\",\"b\"]]"),
        Just(" "),
    ];
    vec(piece, 0..12).prop_map(|pieces| format!("{{{}}}", pieces.concat()).into_bytes())
}

/// JSON of any shape, with white space wherever it may stand.
fn json() -> impl Strategy<Value = String> {
    let space = || prop_oneof![4 => Just(""), 1 => Just("\n"), 1 => Just("\r\n"), 1 => Just(" \t")];
    let string = || any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?",
        string(),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let item =
            (space(), inner, space()).prop_map(|(before, json, after)| format!("{before}{json}{after}"));
        let member = (space(), string(), space(), item.clone())
            .prop_map(|(a, name, b, item)| format!("{a}{name}{b}:{item}"));
        prop_oneof![
            vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// What a subscriber receives as payload.
fn delivered(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message(&MessageView { topic: "t", payload, ..MessageView::default() }, None, &mut out);
    assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
    let Reply::Message(message) = parse_reply(&out).unwrap() else { panic!("it is a message") };
    message.payload.into_owned()
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, Limits::default());
        let _ = parse_reply(&bytes);
        let _ = parse_batch(&bytes, Limits::default());
        let _ = parse_binary(&bytes, Limits::default());
        let _ = parse_binary_reply(&bytes);
    }

    #[test]
    fn whatever_is_nearly_a_request_is_taken_or_refused_in_one_line(bytes in nearly_a_request()) {
        let _ = parse_reply(&bytes);
        if let Err(error) = parse(&bytes, Limits::default()) {
            let mut out = Vec::new();
            error.encode(&mut out);
            prop_assert!(!out.contains(&b'\n'));
            let Reply::Error(refusal) = parse_reply(&out).unwrap() else { panic!("it is an error") };
            prop_assert_eq!(refusal.known_code(), Some(error.code));
            prop_assert_eq!(refusal.reason, error.reason);
            prop_assert_eq!(refusal.field, error.field);
            prop_assert_eq!(refusal.id, error.id);
        }
    }

    #[test]
    fn a_request_cut_short_is_bad_json(cut in 1_usize..60) {
        let whole = r#"{"pub":"a/\u0062","data":{"x":[1,2.5,"é"]},"qos":1,"id":7}"#.as_bytes();
        let cut = cut.min(whole.len() - 1);
        prop_assert_eq!(parse(&whole[..cut], Limits::default()).unwrap_err().code, Code::BadJson);
    }

    #[test]
    fn text_is_delivered_to_the_byte(text in any::<String>()) {
        // White space around JSON goes, so a text such as " 1" is the one kind that is not the same.
        let json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let expected = if json && !text.trim().starts_with('"') { text.trim() } else { &text };
        prop_assert_eq!(String::from_utf8(delivered(text.as_bytes())).unwrap(), expected);
    }

    #[test]
    fn bytes_are_delivered_to_the_byte(mut bytes in vec(any::<u8>(), 0..100)) {
        bytes.push(0xff);
        prop_assert_eq!(&delivered(&bytes), &bytes);
    }

    #[test]
    fn json_is_delivered_as_written_but_for_line_breaks(json in json()) {
        let expected = if json.starts_with('"') { json.clone() } else { json.replace(['\n', '\r'], " ") };
        prop_assert_eq!(String::from_utf8(delivered(json.as_bytes())).unwrap(), expected);
    }

    #[test]
    fn json_is_taken_as_written(json in json()) {
        let line = format!("{{\"pub\":\"t\",\"data\":{json}}}");
        let Request::Publish(publish) = parse(line.as_bytes(), Limits::default()).unwrap() else { panic!("it is a publish") };
        let expected = if json.starts_with('"') { serde_json::from_str(&json).unwrap() } else { json };
        prop_assert_eq!(publish.payload.as_ref(), expected.as_bytes());
    }

    #[test]
    fn a_publish_comes_in_as_it_was_written(
        topic in "[^\u{0}+#]{1,20}",
        payload in prop_oneof![vec(any::<u8>(), 0..60), json().prop_map(String::into_bytes)],
        qos in 0_u8..2,
        retain: bool,
        id: u64,
        content_type in proptest::option::of("[^\u{0}]{0,10}"),
        correlation in proptest::option::of(vec(any::<u8>(), 0..10)),
        expiry_s: Option<u32>,
        pairs in vec(("[^\u{0}]{0,5}", "[^\u{0}]{0,5}"), 0..3),
    ) {
        let user_properties: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let extras = ExtrasRef {
            content_type: content_type.as_deref(),
            response_topic: Some("re"),
            correlation: correlation.as_deref(),
            expiry_s,
            user_properties: &user_properties,
        };
        let mut line = Vec::new();
        encode_publish(&PublishView { topic: &topic, payload: &payload, qos, retain, id: Some(id), extras }, &mut line);
        let Request::Publish(publish) = parse(&line, Limits::default()).unwrap() else { panic!("it is a publish") };
        prop_assert_eq!(&publish.topic, &topic);
        prop_assert_eq!(publish.payload.as_ref(), &payload);
        prop_assert_eq!((publish.qos, publish.retain, publish.id), (qos, retain, Some(id)));

        // The same message on its way out has the same properties.
        let mut line = Vec::new();
        let view = MessageView { topic: &topic, payload: b"", retain, extras, place: None };
        encode_message(&view, Some(Delivery { qos: 1, id, dup: retain }), &mut line);
        let Reply::Message(message) = parse_reply(&line).unwrap() else { panic!("it is a message") };
        prop_assert_eq!(&message.topic, &topic);
        prop_assert_eq!((message.qos, message.id, message.dup, message.retain), (1, Some(id), retain, retain));
        prop_assert_eq!(&message.extras, &publish.extras);
        prop_assert_eq!(message.extras.content_type.as_deref(), content_type.as_deref());
        prop_assert_eq!(message.extras.correlation.as_deref(), correlation.as_deref());
        prop_assert_eq!(message.extras.expiry_s, expiry_s);
        prop_assert_eq!(message.extras.user_properties.len(), pairs.len());
    }
}
