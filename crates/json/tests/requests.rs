//! What a client may ask, and what it is told when it asks wrongly.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use trefoil_json::{
    Code, Extras, Limits, Place, PublishRequest, Request, RequestError, STRING_BYTES_MAX, Since, SlowReader,
    SubscribeRequest, parse,
};

fn ok(text: &str) -> Request<'_> {
    parse(text.as_bytes(), Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn publish(text: &str) -> PublishRequest<'_> {
    match ok(text) {
        Request::Publish(publish) => publish,
        other => panic!("{text}: {other:?}"),
    }
}

fn refused(input: impl AsRef<[u8]>) -> RequestError {
    match parse(input.as_ref(), Limits::default()) {
        Ok(request) => panic!("{}: {request:?}", String::from_utf8_lossy(input.as_ref())),
        Err(error) => error,
    }
}

/// Checks code, field, id and the whole reason.
#[track_caller]
fn refuses(
    text: &str,
    code: Code,
    field: impl Into<Option<&'static str>>,
    id: impl Into<Option<u64>>,
    reason: &str,
) {
    let error = refused(text);
    assert_eq!(error.reason, reason, "{text}");
    assert_eq!((error.code, error.field.as_deref(), error.id), (code, field.into(), id.into()), "{text}");
}

#[test]
fn a_publish_has_defaults() {
    let expected = PublishRequest {
        topic: "a/b".into(),
        payload: Cow::Borrowed(b""),
        qos: 0,
        retain: false,
        id: None,
        extras: Extras::default(),
    };
    assert_eq!(publish(r#" {"pub":"a/b"} "#), expected);
    assert!(expected.extras.is_empty());
}

#[test]
fn a_publish_has_all_of_its_fields() {
    let text = r#"{"user_properties":[["k","v"],["k","\u00e9"]],"expiry":4294967295,"correlation_base64":"AAH/",
        "response_topic":"re","content_type":"text/plain","id":18446744073709551615,"retain":true,"qos":1,
        "data":"x","pub":"\u0074"}"#;
    let expected = PublishRequest {
        topic: "t".into(),
        payload: Cow::Borrowed(b"x"),
        qos: 1,
        retain: true,
        id: Some(u64::MAX),
        extras: Extras {
            content_type: Some("text/plain".into()),
            response_topic: Some("re".into()),
            correlation: Some(Cow::Borrowed(&[0, 1, 255])),
            expiry_s: Some(u32::MAX),
            user_properties: vec![("k".into(), "v".into()), ("k".into(), "é".into())],
        },
    };
    assert_eq!(publish(text), expected);
}

#[test]
fn payloads_are_kept_as_they_were_written() {
    for (data, payload) in [
        (r#""data":"text""#, "text"),
        (r#""data":"""#, ""),
        (r#""data":"{\"a\":\n1}""#.replace("\\n", "\\u000a").as_str(), "{\"a\":\n1}"),
        (r#""data":null"#, "null"),
        (r#""data": 1.50e+3 "#, "1.50e+3"),
        (r#""data":123456789012345678901234567890"#, "123456789012345678901234567890"),
        (
            "\"data\":\t{ \"b\" : 1,\n\"a\":\"\\u00e9\", \"b\":2 }\t",
            "{ \"b\" : 1,\n\"a\":\"\\u00e9\", \"b\":2 }",
        ),
        (r#""data_base64":"aGk=""#, "hi"),
        (r#""data_base64":"aGk""#, "hi"),
        (r#""data_base64":"a\u0047k""#, "hi"),
        (r#""data_base64":"""#, ""),
    ] {
        let text = format!("{{\"pub\":\"t\",{data}}}");
        assert_eq!(String::from_utf8_lossy(&publish(&text).payload), payload, "{text}");
    }
    assert_eq!(publish(r#"{"pub":"t","data_base64":"\/\/4="}"#).payload.as_ref(), b"\xff\xfe");
}

#[test]
fn what_holds_no_escape_is_borrowed() {
    let request = publish(r#"{"pub":"t","data":"plain","content_type":"c"}"#);
    assert!(matches!(request.topic, Cow::Borrowed(_)));
    assert!(matches!(request.payload, Cow::Borrowed(_)));
    assert!(matches!(request.extras.content_type, Some(Cow::Borrowed(_))));
    assert!(matches!(publish(r#"{"pub":"t","data":["\n"]}"#).payload, Cow::Borrowed(br#"["\n"]"#)));
}

#[test]
fn a_subscription_can_begin_in_a_history() {
    let begins = |text: &'static str| match ok(text) {
        Request::Subscribe(subscribe) => (subscribe.since, subscribe.history),
        other => panic!("{text}: {other:?}"),
    };
    let at = |offset| Place { epoch: 0x0123_4567_89ab, offset };
    let one = Since { time: None, topics: vec![("a".into(), at(7))] };
    assert_eq!(begins(r#"{"sub":"a","since":{"offset":7,"epoch":"0123456789ab"}}"#), (Some(one), 0));
    let all = Since { time: Some(5), topics: vec![("a".into(), at(7)), ("é".into(), at(0))] };
    let text = r#"{"sub":["a","+"],"since":{"time":5,"topics":{"a":{"epoch":"0123456789ab","offset":7},"\u00e9":{"epoch":"0123456789ab","offset":0}}}}"#;
    assert_eq!(begins(text), (Some(all), 0));
    assert_eq!(begins(r#"{"sub":"a/+","history":9}"#), (None, 9));
    for (text, field) in [
        (r#"{"sub":"a","since":{}}"#, "since"),
        (r#"{"sub":"a","since":7}"#, "since"),
        (r#"{"sub":"a","since":{"epoch":"0123456789ab"}}"#, "offset"),
        (r#"{"sub":"a","since":{"offset":7}}"#, "epoch"),
        (r#"{"sub":"a","since":{"epoch":"0123456789AB","offset":7}}"#, "epoch"),
        (r#"{"sub":"a","since":{"epoch":"123","offset":7}}"#, "epoch"),
        (r#"{"sub":"a","since":{"epoch":"0123456789ab","offset":-1}}"#, "offset"),
        (r#"{"sub":"a/+","since":{"epoch":"0123456789ab","offset":7}}"#, "since"),
        (r#"{"sub":["a"],"since":{"epoch":"0123456789ab","offset":7}}"#, "since"),
        (r#"{"sub":"a","since":{"epoch":"0123456789ab","offset":7,"time":1}}"#, "since"),
        (r#"{"sub":"a","since":{"topics":[]}}"#, "topics"),
        (r#"{"sub":"a","since":{"topics":{"a":7}}}"#, "topics"),
        (r#"{"sub":"a","since":{"topics":{"":{"epoch":"0123456789ab","offset":7}}}}"#, "topics"),
        (r#"{"sub":"a","since":{"time":1},"history":1}"#, "history"),
        (r#"{"sub":"a","history":-1}"#, "history"),
    ] {
        assert_eq!(refused(text).field.as_deref(), Some(field), "{text}");
    }
}

#[test]
fn the_other_operations() {
    let subscribe = Request::Subscribe(SubscribeRequest {
        filters: vec!["a/#".into()],
        qos: 0,
        retained: true,
        no_local: false,
        slow_reader: None,
        since: None,
        history: 0,
        presence: false,
        id: None,
        many: false,
    });
    assert_eq!(ok(r#"{"sub":"a/#"}"#), subscribe);
    let subscribe = Request::Subscribe(SubscribeRequest {
        filters: vec!["a".into(), "+/b".into()],
        qos: 1,
        retained: false,
        no_local: true,
        slow_reader: Some(SlowReader::LatestPerTopic),
        since: None,
        history: 0,
        presence: true,
        id: Some(3),
        many: true,
    });
    assert_eq!(
        ok(
            r#"{"sub":["a","\u002b/b"],"qos":1,"retained":false,"no_local":true,"slow_reader":"latest_per_topic","presence":true,"id":3}"#
        ),
        subscribe
    );
    let unsubscribe = Request::Unsubscribe { filters: vec!["a".into()], id: Some(0), many: true };
    assert_eq!(ok(r#"{"unsub":["a"],"id":0}"#), unsubscribe);
    let presence = Request::Presence { topic: "room/7".into(), id: Some(3) };
    assert_eq!(ok(r#"{"presence":"room/7","id":3}"#), presence);
    assert_eq!(ok(r#"{"ping":null}"#), Request::Ping("null"));
    assert_eq!(ok("{\"ping\" : [1, \"x\"] }\r\n"), Request::Ping("[1, \"x\"]"));
    assert_eq!(ok(r#"{"ack":9}"#), Request::Ack(9));
}

#[test]
fn text_that_is_no_object_is_bad_json() {
    use Code::BadJson;
    refuses("", BadJson, None, None, "it is empty, but a message is one JSON object: {…}");
    refuses(" \r\n", BadJson, None, None, "it is empty, but a message is one JSON object: {…}");
    refuses("[1]", BadJson, None, None, "it starts with [, but a message is one JSON object: {…}");
    refuses("hello", BadJson, None, None, "it starts with h, but a message is one JSON object: {…}");
    refuses(
        "\u{feff}{}",
        BadJson,
        None,
        None,
        "it starts with \\u{feff}, but a message is one JSON object: {…}",
    );
    refuses("{", BadJson, None, None, "it is not JSON: EOF while parsing an object at line 1 column 1");
    refuses("{\"pub\":t}", BadJson, None, None, "it is not JSON: expected ident at line 1 column 9");
    refuses("{'pub':1}", BadJson, None, None, "it is not JSON: key must be a string at line 1 column 2");
    refuses(r#"{"pub":"t",}"#, BadJson, None, None, "it is not JSON: trailing comma at line 1 column 12");
    refuses(
        "{\"pub\":\"a\nb\"}",
        BadJson,
        None,
        None,
        "it is not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 9",
    );
    let more = "there is more after the object; send one object in each line, frame or datagram";
    refuses(r#"{"ack":1}{"ack":2}"#, BadJson, None, None, more);
    refuses("{\"ack\":1}\n{\"ack\":2}\n", BadJson, None, None, more);
}

#[test]
fn the_id_is_carried_wherever_it_could_be_read() {
    refuses(
        r#"{"id":7,"pub":"t","data":"#,
        Code::BadJson,
        None,
        7,
        "it is not JSON: EOF while parsing a value at line 1 column 25",
    );
    refuses(r#"{"qos":2,"pub":"t","id":8}"#, Code::BadField, "qos", 8, "qos is 2; it must be 0 or 1");
    assert_eq!(refused(b"{\"id\":9,\"pub\":\"\xff\"}").id, Some(9));
    assert_eq!(refused(b"{\"pub\":\"\xff\",\"id\":9}").id, None);
}

#[test]
fn invalid_utf8_is_bad_json_and_says_where() {
    let error = refused(b"{\"pub\":\"\xc3\x28\"}");
    assert_eq!((error.code, error.field), (Code::BadJson, None));
    assert_eq!(error.reason, "it is not UTF-8: byte 0xc3 at offset 8; send binary data as data_base64");
    assert_eq!(refused(b"\x80").code, Code::BadJson);
    // An object that is good up to the bad byte after it.
    assert_eq!(refused(b"{\"ack\":1}\xff").code, Code::BadJson);
}

#[test]
fn an_operation_must_be_named_and_only_one() {
    use Code::{BadField, UnknownOperation};
    let none = "no operation is named: one of pub, sub, unsub, req, ping, pong, ack, auth, hello, presence, room, connect, listen, accept, refuse, help";
    refuses("{}", UnknownOperation, None, None, none);
    refuses(r#"{"id":1,"data":2}"#, UnknownOperation, None, 1, none);
    refuses(
        r#"{"publish":"t","id":1}"#,
        UnknownOperation,
        "publish",
        1,
        &format!("{none}; did you mean pub where it says publish?"),
    );
    refuses(
        r#"{"PING":1}"#,
        UnknownOperation,
        "PING",
        None,
        &format!("{none}; did you mean ping where it says PING?"),
    );
    refuses(
        r#"{"topic":"t","data":1}"#,
        UnknownOperation,
        "topic",
        None,
        &format!("{none}; to publish, say pub where it says topic"),
    );
    refuses(
        r#"{"sub":"t","pub":"t"}"#,
        BadField,
        "sub",
        None,
        "pub and sub are both there; a request has one operation",
    );
}

#[test]
fn fields_that_an_operation_does_not_have_are_refused() {
    use Code::{BadField, UnknownField};
    refuses(
        r#"{"pub":"t","qso":1,"id":2}"#,
        UnknownField,
        "qso",
        2,
        "qso is not a field of pub; did you mean qos?",
    );
    refuses(r#"{"pub":"t","payload":1}"#, UnknownField, "payload", None, "payload is not a field of pub");
    refuses(
        r#"{"sub":"t","retain":true}"#,
        UnknownField,
        "retain",
        None,
        "retain is not a field of sub; did you mean retained?",
    );
    refuses(r#"{"ping":1,"id":3}"#, UnknownField, "id", 3, "id is not a field of ping");
    refuses(r#"{"pub":"t","data":1,"data":2}"#, BadField, "data", None, "data is there twice");
    refuses(r#"{"pub":"t","\u0070ub":"t"}"#, BadField, "pub", None, "pub is there twice");
    refuses(
        r#"{"pub":"t","data":1,"data_base64":""}"#,
        BadField,
        "data_base64",
        None,
        "data and data_base64 are both there; a message has one payload",
    );
    let long = "x".repeat(1000);
    let error = refused(format!(r#"{{"pub":"t","{long}":1}}"#));
    assert_eq!(error.field.unwrap(), format!("{}…", &long[..40]));
}

#[test]
fn values_of_the_wrong_kind_are_named_with_what_is_wanted() {
    use Code::{BadField, MissingField};
    refuses(r#"{"pub":7}"#, BadField, "pub", None, "pub is 7; it must be a string");
    refuses(r#"{"pub":"t","qos":"1"}"#, BadField, "qos", None, "qos is \"1\"; it must be 0 or 1");
    refuses(r#"{"pub":"t","qos":7,"id":7}"#, BadField, "qos", 7, "qos is 7; it must be 0 or 1");
    refuses(
        r#"{"pub":"t","qos":1}"#,
        MissingField,
        "id",
        None,
        "qos 1 needs an id, by which the message is acknowledged",
    );
    refuses(r#"{"pub":"t","retain":1}"#, BadField, "retain", None, "retain is 1; it must be true or false");
    let id = "it must be a whole number from 0 to 18446744073709551615";
    refuses(r#"{"pub":"t","id":-1}"#, BadField, "id", None, &format!("id is -1; {id}"));
    refuses(r#"{"pub":"t","id":"a"}"#, BadField, "id", None, &format!("id is \"a\"; {id}"));
    refuses(r#"{"ack":null}"#, BadField, "ack", None, &format!("ack is null; {id}"));
    refuses(
        r#"{"pub":"t","expiry":4294967296}"#,
        BadField,
        "expiry",
        None,
        "expiry is 4294967296; it must be a whole number from 0 to 4294967295",
    );
    refuses(r#"{"sub":{},"id":1}"#, BadField, "sub", 1, "sub is {}; it must be a string");
    refuses(
        r#"{"sub":[],"id":1}"#,
        BadField,
        "sub",
        1,
        "sub is an empty array; name at least one topic filter",
    );
    refuses(
        r#"{"unsub":["a",1]}"#,
        BadField,
        "unsub",
        None,
        "unsub must be a string or an array of strings: invalid type: integer `1`, expected a string at line 1 column 6",
    );
    refuses(
        r#"{"pub":"t","user_properties":{"a":"b"}}"#,
        BadField,
        "user_properties",
        None,
        "user_properties must be an array of pairs of strings, [[name, value], …]: \
         invalid type: map, expected a sequence at line 1 column 0",
    );
    assert_eq!(refused(r#"{"pub":"t","user_properties":[["a"]]}"#).field.unwrap(), "user_properties");
    assert_eq!(refused(r#"{"pub":"t","user_properties":[["a","b","c"]]}"#).field.unwrap(), "user_properties");
    refuses(
        r#"{"pub":"t","data_base64":"-_8="}"#,
        BadField,
        "data_base64",
        None,
        "data_base64 is not base64: Invalid symbol 45, offset 0.; this looks like the URL alphabet, \
         but the standard one (+ and /) is wanted",
    );
}

#[test]
fn topics_that_mqtt_cannot_carry_are_refused() {
    use Code::BadTopic;
    refuses(r#"{"pub":""}"#, BadTopic, "pub", None, "pub is empty");
    refuses(r#"{"sub":["a",""]}"#, BadTopic, "sub", None, "sub is empty");
    refuses(r#"{"pub":"a\u0000"}"#, BadTopic, "pub", None, "pub has the character U+0000 in it");
    refuses(
        r#"{"pub":"a","response_topic":"r/+"}"#,
        BadTopic,
        "response_topic",
        None,
        "response_topic has a wildcard in it",
    );
    refuses(
        r#"{"pub":"a","response_topic":""}"#,
        BadTopic,
        "response_topic",
        None,
        "response_topic is empty",
    );
    refuses(
        r#"{"pub":"a","content_type":"\u0000"}"#,
        Code::BadField,
        "content_type",
        None,
        "content_type has the character U+0000 in it",
    );
    let longest = "x".repeat(STRING_BYTES_MAX);
    assert_eq!(publish(&format!(r#"{{"pub":"{longest}"}}"#)).topic, longest);
    refuses(&format!(r#"{{"pub":"{longest}x"}}"#), BadTopic, "pub", None, "pub is longer than 65535 bytes");
    refuses(
        &format!(r#"{{"pub":"t","user_properties":[["a","{longest}x"]]}}"#),
        Code::TooLarge,
        "user_properties",
        None,
        "user_properties is longer than 65535 bytes",
    );
}

#[test]
fn half_a_surrogate_pair_is_refused_in_every_string() {
    let reason = |field| {
        format!(
            r"{field} has half of a surrogate pair (an escape from \ud800 to \udfff) without the other half"
        )
    };
    refuses(r#"{"pub":"\ud83e"}"#, Code::BadField, "pub", None, &reason("pub"));
    refuses(r#"{"pub":"t","data":"\udd80"}"#, Code::BadField, "data", None, &reason("data"));
    refuses(r#"{"pub":"t","data":{"a":"\ud83e"},"id":1}"#, Code::BadField, "data", 1, &reason("data"));
    refuses(r#"{"ping":["\ud83ex"]}"#, Code::BadField, "ping", None, &reason("ping"));
    assert_eq!(refused(r#"{"sub":["\ud83e"]}"#).field.unwrap(), "sub");
    assert_eq!(refused(r#"{"pub":"t","user_properties":[["\ud83e",""]]}"#).field.unwrap(), "user_properties");
    assert_eq!(publish(r#"{"pub":"t","data":"\ud83e\udd80"}"#).payload.as_ref(), "🦀".as_bytes());
}

#[test]
fn nesting_and_counts_are_bounded() {
    let nested = |levels: usize| {
        format!(r#"{{"id":1,"pub":"t","data":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    assert_eq!(publish(&nested(64)).payload.len(), 128);
    refuses(&nested(65), Code::TooLarge, "data", 1, "data is nested deeper than 64 levels");
    refuses(&nested(100_000), Code::TooLarge, "data", 1, "data is nested deeper than 64 levels");
    assert_eq!(refused("[".repeat(100_000)).code, Code::BadJson);
    assert_eq!(refused(r#"{"a":"#.repeat(100_000)).code, Code::BadJson);
    for field in ["pub", "qos", "id", "user_properties", "x"] {
        let abyss = format!(r#"{{"{field}":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let error = refused(&abyss);
        assert!(error.reason.len() < 300, "{}", error.reason);
    }
    let limits = Limits { filters_max: 2, ..Limits::default() };
    assert!(parse(br#"{"sub":["a","b"]}"#, limits).is_ok());
    let error = parse(br#"{"sub":["a","b","c"],"id":1}"#, limits).unwrap_err();
    assert_eq!((error.code, error.id), (Code::TooLarge, Some(1)));
    assert_eq!(error.reason, "sub has 3 topic filters; at most 2 go into one request");
}

#[test]
fn who_a_client_is() {
    let auth = Request::Auth { user: "ann".into(), password: "p\"w".into(), id: Some(1) };
    assert_eq!(ok(r#"{"auth":{"user":"ann","password":"p\"w"},"id":1}"#), auth);
    for (text, code, field) in [
        (r#"{"auth":"ann:secret"}"#, Code::BadField, "auth"),
        (r#"{"auth":{"user":"ann","password":"secret"}"#, Code::BadJson, ""),
        (r#"{"auth":{"user":"ann","pasword":"secret"}}"#, Code::UnknownField, "pasword"),
        (r#"{"auth":{"user":"ann"}}"#, Code::MissingField, "password"),
        (r#"{"auth":{"user":"ann","password":["secret"]}}"#, Code::BadField, "password"),
        (r#"{"auth":{"user":"ann","user":"eve","password":"secret"}}"#, Code::BadField, "user"),
        (r#"{"user":"ann","password":"secret"}"#, Code::UnknownOperation, ""),
    ] {
        let error = parse(text.as_bytes(), Limits::default()).unwrap_err();
        assert_eq!((error.code, error.field.as_deref().unwrap_or_default()), (code, field), "{text}");
        assert!(!error.reason.contains("secret"), "{}", error.reason);
    }
}
