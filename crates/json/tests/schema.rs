//! The schema, the page and the AsyncAPI document say what the code does.

#![allow(clippy::unwrap_used)]

mod schemas;

use schemas::{SCHEMA, Schemas};
use std::collections::BTreeSet;

use serde_json::{Value, json};
use trefoil_json::{
    Caller, Code, Delivery, ExtrasRef, Followed, HelloRequest, Limits, MessageView, Place, PresentClient,
    PublishView, Reply, Request, RequestError, SlowReader, Stay, StreamReply, StreamRequest,
    SubscribeRequest, SubscribeView, VERSION, WAIT_S_MAX, Welcome, encode_ack, encode_answer, encode_ask,
    encode_auth, encode_authenticated, encode_followed, encode_gap, encode_hello, encode_help,
    encode_help_question, encode_join, encode_leave, encode_message, encode_ping, encode_pong,
    encode_presence, encode_presence_count, encode_presence_question, encode_publish, encode_room,
    encode_room_token, encode_subscribe, encode_subscribed, encode_unsubscribe, encode_unsubscribed,
    is_batch, parse, parse_batch, parse_reply,
};

const PAGE: &str = include_str!("../../../docs/json-protocol.md");
const ASYNCAPI: &str = include_str!("../../../docs/json-protocol.asyncapi.yaml");

fn written(encode: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    encode(&mut out);
    String::from_utf8(out).unwrap()
}

fn extras(index: usize) -> ExtrasRef<'static> {
    [
        ExtrasRef::default(),
        ExtrasRef { content_type: Some("text/plain"), ..ExtrasRef::default() },
        ExtrasRef { response_topic: Some("re/\"1\""), correlation: Some(b"\xff"), ..ExtrasRef::default() },
        ExtrasRef {
            content_type: Some(""),
            response_topic: Some("r"),
            correlation: Some(b""),
            expiry_s: Some(u32::MAX),
            user_properties: &[("a", "b"), ("a", "\n"), ("", "")],
        },
    ][index]
}

const PAYLOADS: [&[u8]; 8] =
    [b"", b"text", b"180", b"null", b"{\"a\":\n[1, 2]}", b"\"quoted\"", b"\xff\xfe", br#"{"a":"\ud800"}"#];

#[test]
fn every_encoder_writes_what_the_schema_describes() {
    let schemas = Schemas::load();
    for payload in PAYLOADS {
        for index in 0..4 {
            let place = (index > 1).then_some(Place { epoch: 0x0123_4567_89ab, offset: u64::MAX });
            let view =
                MessageView { topic: "a/é", payload, retain: index % 2 == 1, extras: extras(index), place };
            schemas.check_reply(&written(|out| encode_message(&view, None, out)));
            for dup in [false, true] {
                let delivery = Delivery { qos: 1, id: u64::MAX, dup };
                schemas.check_reply(&written(|out| encode_message(&view, Some(delivery), out)));
            }
            let view = PublishView {
                topic: "a/é",
                payload,
                qos: (index % 2) as u8,
                retain: index > 1,
                id: (index > 0).then_some(7),
                extras: extras(index),
            };
            schemas.check_request(&written(|out| encode_publish(&view, out)));
        }
    }
    for (filters, granted) in [(&["a/#"][..], &[1][..]), (&["a", "b"], &[0, 1])] {
        for id in [None, Some(0)] {
            let slow_reader = id.map(|_| SlowReader::LatestPerTopic);
            let (retained, no_local) = (id.is_none(), id.is_some());
            let view = SubscribeView { filters, qos: 1, retained, no_local, slow_reader, id };
            schemas.check_request(&written(|out| encode_subscribe(&view, out)));
            schemas.check_request(&written(|out| encode_unsubscribe(filters, id, out)));
            schemas.check_request(&written(|out| encode_auth(filters[0], "\u{7}\"", id, out)));
            schemas.check_reply(&written(|out| encode_authenticated(filters[0], id, out)));
            for many in [true, filters.len() > 1] {
                schemas.check_reply(&written(|out| encode_subscribed(filters, granted, id, many, out)));
                let followed = Followed { time: Some(7), gap: id.map(|_| many) };
                let text = written(|out| encode_followed(filters, granted, id, many, followed, out));
                schemas.check_reply(&text);
                schemas.check_reply(&written(|out| encode_unsubscribed(filters, id, many, out)));
            }
        }
    }
    for (index, payload) in PAYLOADS.into_iter().enumerate() {
        let extras = extras(index % 4);
        let view = PublishView {
            topic: "a",
            payload,
            qos: 1,
            retain: true,
            id: Some(7),
            extras: ExtrasRef { response_topic: None, correlation: None, ..extras },
        };
        schemas.check_request(&written(|out| encode_ask(&view, [10, 1, 300][index % 3], out)));
        schemas.check_reply(&written(|out| {
            encode_answer(u64::MAX, payload, &ExtrasRef { correlation: None, ..extras }, false, out)
        }));
    }
    for (client, info, is, id) in [(None, None, false, None), (Some("é"), Some("[1,\n2]"), true, Some(1))] {
        let client = client.map(Into::into);
        let (session_s, resume) = (is.then_some(3600), is.then(|| "6f1e".into()));
        let heartbeat_s = is.then_some(30);
        let hello = HelloRequest { client, info, batch: is, binary: is, session_s, resume, heartbeat_s, id };
        schemas.check_request(&written(|out| encode_hello(&hello, out)));
        let session = is.then(|| Stay { resumed: false, session_s: 3600, resume: Some("6f1e".into()) });
        let welcome = Welcome {
            version: VERSION,
            client: "c".into(),
            connection: "0-1f".into(),
            request_bytes_max: 1,
            session,
            heartbeat_s,
        };
        schemas.check_reply(&written(|out| welcome.encode(id, out)));
    }
    for raw in ["null", "[1,\n\"x\"]"] {
        schemas.check_request(&written(|out| encode_ping(raw, out)));
        schemas.check_reply(&written(|out| encode_pong(raw, out)));
        // A heartbeat of the hub, and what it is answered.
        schemas.check_reply(&written(|out| encode_ping(raw, out)));
        schemas.check_request(&written(|out| encode_pong(raw, out)));
    }
    for name in [None, Some("sub"), Some("hello")] {
        schemas.check_request(&written(|out| encode_help_question(name, out)));
        schemas.check_reply(&written(|out| encode_help(name, name.map(|_| 1), out)));
    }
    schemas.check_reply(r#"{"help":null}"#);
    for next in [None, Some(Place { epoch: (1 << 48) - 1, offset: 1 })] {
        schemas.check_reply(&written(|out| encode_gap("a/é", next, out)));
    }
    for (user, info) in [(None, None), (Some("ann"), Some("{\"name\":\n1}"))] {
        let client = PresentClient {
            client: "a\"nn".into(),
            connection: "1-2f".into(),
            kind: "mqtt".into(),
            user: user.map(Into::into),
            info: info.map(Into::into),
        };
        for (count, id) in [(1, None), (2, Some(0))] {
            let clients = [client.clone()].into_iter();
            schemas.check_reply(&written(|out| encode_presence("a/é", count, clients, id, usize::MAX, out)));
            schemas.check_request(&written(|out| encode_presence_question("a/é", id, out)));
        }
        schemas.check_reply(&written(|out| encode_join("a/é", &client, 7, out)));
    }
    for id in [None, Some(u64::MAX)] {
        schemas.check_request(&written(|out| encode_room("pong/7", id, out)));
        schemas.check_reply(&written(|out| encode_room_token("pong/7", "AQ-_", 3600, id, out)));
    }
    schemas.check_reply(&written(|out| encode_presence_count("a", usize::MAX, out)));
    schemas.check_reply(&written(|out| encode_leave("a", "ann", "1-2f", 0, out)));
    let ann = Caller { client: Some("ann".into()), user: None, peer: Some("[::1]:9".into()) };
    for id in [None, Some(0)] {
        let (name, token) = (|| "a/é b".into(), || "0123456789abcdef0123456789abcdef".into());
        let wait_s = id.map_or(0, |_| WAIT_S_MAX);
        let (exclusive, reason) = (id.is_some(), id.map(|_| "not \"now\"".into()));
        for request in [
            StreamRequest::Connect { name: name(), wait_s, id },
            StreamRequest::Listen { name: name(), exclusive, once: !exclusive, id },
            StreamRequest::Accept { token: token(), id },
            StreamRequest::Refuse { token: token(), reason, id },
        ] {
            schemas.check_request(&written(|out| request.encode(out)));
        }
        for reply in [
            StreamReply::Joined { name: name(), from: id.map(|_| ann.clone()), ack: id },
            StreamReply::Listening { name: name(), ack: id },
            StreamReply::Call { name: name(), token: token(), from: Caller::default() },
            StreamReply::Refused { token: token(), ack: id },
        ] {
            schemas.check_reply(&written(|out| reply.encode(out)));
        }
    }
    let ack = written(|out| encode_ack(u64::MAX, out));
    schemas.check_request(&ack);
    schemas.check_reply(&ack);
    for code in Code::ALL {
        let error = RequestError::new(code, "because");
        schemas.check_reply(&written(|out| error.encode(out)));
        schemas.check_reply(&written(|out| error.field("pub").id(Some(1)).encode(out)));
    }
}

#[test]
fn what_the_code_refuses_the_schema_refuses() {
    let schemas = Schemas::load();
    for text in [
        "{}",
        "[]",
        "1",
        r#"{"data":1}"#,
        r#"{"pub":""}"#,
        r#"{"pub":1}"#,
        r#"{"pub":"a\u0000"}"#,
        r#"{"pub":"t","x":1}"#,
        r#"{"pub":"t","data":1,"data_base64":""}"#,
        r#"{"pub":"t","data_base64":"-_"}"#,
        r#"{"pub":"t","data_base64":"Y"}"#,
        r#"{"pub":"t","qos":2,"id":1}"#,
        r#"{"pub":"t","qos":"1","id":1}"#,
        r#"{"pub":"t","qos":1}"#,
        r#"{"pub":"t","retain":1}"#,
        r#"{"pub":"t","id":-1}"#,
        r#"{"pub":"t","id":1.5}"#,
        r#"{"pub":"t","id":18446744073709551616}"#,
        r#"{"pub":"t","expiry":4294967296}"#,
        r#"{"pub":"t","expiry":null}"#,
        r#"{"pub":"t","response_topic":"a/#"}"#,
        r#"{"pub":"t","user_properties":[["a"]]}"#,
        r#"{"pub":"t","user_properties":{"a":"b"}}"#,
        r#"{"pub":"t","sub":"t"}"#,
        r#"{"pub":"t","retained":true}"#,
        r#"{"sub":[]}"#,
        r#"{"sub":"t","retain":true}"#,
        r#"{"sub":"t","no_local":0}"#,
        r#"{"sub":"t","presence":1}"#,
        r#"{"presence":""}"#,
        r#"{"presence":true}"#,
        r#"{"presence":"t","qos":1}"#,
        r#"{"presence":"t","unsub":"t"}"#,
        r#"{"sub":"t","slow_reader":"drop"}"#,
        r#"{"sub":["a",""]}"#,
        r#"{"sub":"a","since":{}}"#,
        r#"{"sub":"a","since":{"epoch":"0123456789ab"}}"#,
        r#"{"sub":"a","since":{"epoch":"0123456789AB","offset":7}}"#,
        r#"{"sub":"a","since":{"epoch":"0123456789ab","offset":7,"time":1}}"#,
        r#"{"sub":"a","since":{"topics":{"a":7}}}"#,
        r#"{"sub":"a","since":{"topics":{"a/#":{"epoch":"0123456789ab","offset":7}},"x":1}}"#,
        r#"{"sub":"a","since":{"time":1},"history":1}"#,
        r#"{"sub":"a","history":-1}"#,
        r#"{"sub":"a","slow":"drop"}"#,
        r#"{"sub":"a","slow":"drop_newest","slow_reader":"drop_newest"}"#,
        r#"{"req":"t"}"#,
        r#"{"req":"t","id":1,"retain":true}"#,
        r#"{"req":"t","id":1,"response_topic":"r"}"#,
        r#"{"req":"t","id":1,"correlation_base64":""}"#,
        r#"{"req":"t","id":1,"timeout_s":0}"#,
        r#"{"req":"t","id":1,"timeout_s":301}"#,
        r#"{"req":"t","id":1,"data":1,"data_base64":""}"#,
        r#"{"hello":null}"#,
        r#"{"hello":{"client":""}}"#,
        r#"{"hello":{"client":1}}"#,
        r#"{"hello":{"batch":1}}"#,
        r#"{"hello":{"binary":"true"}}"#,
        r#"{"hello":{"user":"ann"}}"#,
        r#"{"hello":{},"qos":1}"#,
        r#"{"hello":{"session_s":1}}"#,
        r#"{"hello":{"client":"c","session_s":-1}}"#,
        r#"{"hello":{"client":"c","session_s":4294967296}}"#,
        r#"{"hello":{"client":"c","resume":"a"}}"#,
        r#"{"hello":{"client":"c","session_s":1,"resume":""}}"#,
        r#"{"hello":{"heartbeat_s":0}}"#,
        r#"{"hello":{"heartbeat_s":3601}}"#,
        r#"{"help":false}"#,
        r#"{"help":"x"}"#,
        r#"{"help":null}"#,
        r#"{"help":true,"sub":"t"}"#,
        r#"{"pong":1,"id":1}"#,
        r#"{"unsub":"t","qos":1}"#,
        r#"{"unsub":null}"#,
        r#"{"auth":null}"#,
        r#"{"auth":{"user":"ann"}}"#,
        r#"{"auth":{"user":"ann","password":7}}"#,
        r#"{"auth":{"user":"ann","password":"x","token":"y"}}"#,
        r#"{"auth":{"user":"ann","password":"x"},"qos":1}"#,
        r#"{"connect":""}"#,
        r#"{"connect":"a/../b"}"#,
        r#"{"connect":"a//b"}"#,
        r#"{"connect":"a\u0000"}"#,
        r#"{"connect":"a/#"}"#,
        r#"{"connect":"a","wait_s":0}"#,
        r#"{"connect":"a","wait_s":3601}"#,
        r#"{"connect":"a","once":true}"#,
        r#"{"listen":"a","wait_s":1}"#,
        r#"{"listen":"a","once":1}"#,
        r#"{"accept":1}"#,
        r#"{"accept":"t","reason":"x"}"#,
        r#"{"refuse":"t","reason":1}"#,
        r#"{"ping":1,"id":1}"#,
        r#"{"ack":"1"}"#,
        r#"{"ack":1,"id":1}"#,
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(!schemas.request.is_valid(&value), "the schema takes {text}");
        assert!(parse(text.as_bytes(), Limits::default()).is_err(), "the code takes {text}");
    }
    for text in [
        "{}",
        r#"{"topic":"t"}"#,
        r#"{"topic":"t","data":1,"data_base64":""}"#,
        r#"{"topic":"t","data":1,"qos":1}"#,
        r#"{"topic":"t","data":1,"dup":true}"#,
        r#"{"topic":"t","data":1,"retain":false}"#,
        r#"{"topic":"t","data_base64":"YQ"}"#,
        r#"{"sub":"t"}"#,
        r#"{"sub":"t","qos":[0]}"#,
        r#"{"sub":["t"],"qos":0}"#,
        r#"{"error":{"code":"x","reason":""}}"#,
        r#"{"error":{"code":"quota"}}"#,
        r#"{"pong":1,"ack":1}"#,
        r#"{"res":1}"#,
        r#"{"res":"1","data":1}"#,
        r#"{"res":1,"data":1,"topic":"t"}"#,
        r#"{"hello":{"version":1,"client":"c","connection":"1"}}"#,
        r#"{"hello":{"version":2,"client":"c","connection":"0-1","limits":{"request_bytes_max":1}}}"#,
        r#"{"hello":{"version":1,"client":"c","connection":"0-1","limits":{"request_bytes_max":1},"resumed":true}}"#,
        r#"{"help":{"operation":"sub"}}"#,
        r#"{"ping":1,"ack":1}"#,
        r#"{"topic":"t","data":1,"offset":7}"#,
        r#"{"gap":{"epoch":"0123456789ab","offset":7}}"#,
        r#"{"gap":{"topic":"t","offset":7}}"#,
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(!schemas.reply.is_valid(&value), "the schema takes {text}");
    }
}

#[test]
fn the_schema_lists_every_error_code() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let listed = &schema["$defs"]["error"]["properties"]["error"]["properties"]["code"]["enum"];
    assert_eq!(listed, &json!(Code::ALL.map(Code::name)));
}

/// An example of the page: a request with the answers that follow it, or answers that follow nothing.
#[derive(Debug, Default)]
struct Example {
    request: Option<&'static str>,
    replies: Vec<&'static str>,
}

fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    let mut in_block = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            in_block = line == "```text";
            // What stands in another block is not an answer to a request in this one.
            examples.push(Example::default());
        } else if in_block {
            if let Some(request) = line.strip_prefix("→ ") {
                examples.push(Example { request: Some(request), replies: Vec::new() });
            } else {
                let reply = line.strip_prefix("← ").unwrap_or_else(|| panic!("{line}: an arrow is missing"));
                examples.last_mut().unwrap().replies.push(reply);
            }
        }
    }
    examples.retain(|example| example.request.is_some() || !example.replies.is_empty());
    examples
}

/// The answer to a question who is on a topic, as the code writes what it says.
fn present(reply: &str) -> String {
    let Reply::Presence { topic, count, clients, ack, .. } = parse_reply(reply.as_bytes()).unwrap() else {
        panic!("{reply} does not say who is there");
    };
    let (count, clients) = (count as usize, clients.unwrap().into_iter());
    written(|out| encode_presence(&topic, count, clients, ack, usize::MAX, out))
}

/// The texts of a frame, line or datagram: an array is taken apart.
fn texts(text: &str) -> Vec<&str> {
    match is_batch(text.as_bytes()) {
        true => {
            parse_batch(text.as_bytes(), Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
        }
        false => vec![text],
    }
}

/// What an answer says of histories, which the text of the request does not.
fn followed(reply: &str) -> Followed {
    match parse_reply(reply.as_bytes()).unwrap() {
        Reply::Sub { followed, .. } => followed,
        _ => Followed::default(),
    }
}

/// The one answer that the code writes, if it writes one, when the hub takes the request. Of what only the hub and others know
/// it says what the page says.
fn answer(request: &Request<'_>, reply: Option<&str>) -> Option<String> {
    let followed = reply.map_or(Followed::default(), followed);
    match request {
        Request::Hello(hello) => {
            let Reply::Hello { welcome, .. } = parse_reply(reply?.as_bytes()).unwrap() else { return None };
            Some(written(|out| welcome.encode(hello.id, out)))
        }
        Request::Ask(ask) => {
            let Reply::Answer(answer) = parse_reply(reply?.as_bytes()).unwrap() else { return None };
            Some(written(|out| encode_answer(ask.id, &answer.payload, &ExtrasRef::default(), false, out)))
        }
        Request::Publish(publish) => publish.id.map(|id| written(|out| encode_ack(id, out))),
        Request::Subscribe(SubscribeRequest { filters, qos, id, many, .. }) => {
            let granted = vec![*qos; filters.len()];
            Some(written(|out| encode_followed(filters, &granted, *id, *many, followed, out)))
        }
        Request::Unsubscribe { filters, id, many } => {
            Some(written(|out| encode_unsubscribed(filters, *id, *many, out)))
        }
        Request::Auth { user, id, .. } => Some(written(|out| encode_authenticated(user, *id, out))),
        Request::Ping(raw) => Some(written(|out| encode_pong(raw, out))),
        Request::Stream(stream) => {
            let Reply::Stream(said) = parse_reply(reply?.as_bytes()).unwrap() else { return None };
            Some(written(|out| stream_answer(stream, said).encode(out)))
        }
        // A token is the hub's own.
        Request::Room { .. } => reply.map(ToOwned::to_owned),
        // What is said there is for people, and the page does not repeat it.
        Request::Help { .. } => reply.map(ToOwned::to_owned),
        Request::Ack(_) | Request::Pong(_) | Request::Presence { .. } => None,
    }
}

/// What a request for a stream is answered with. Who calls is what the page says.
fn stream_answer<'a>(request: &StreamRequest<'a>, said: StreamReply<'a>) -> StreamReply<'a> {
    match (request.clone(), said) {
        (StreamRequest::Connect { name, id, .. }, _) => StreamReply::Joined { name, from: None, ack: id },
        (StreamRequest::Listen { name, id, .. }, _) => StreamReply::Listening { name, ack: id },
        (StreamRequest::Accept { id, .. }, StreamReply::Joined { name, from, .. }) => {
            StreamReply::Joined { name, from, ack: id }
        }
        (StreamRequest::Refuse { token, id, .. }, _) => StreamReply::Refused { token, ack: id },
        (_, said) => said,
    }
}

#[test]
fn the_examples_of_the_page_are_what_the_code_does() {
    let schemas = Schemas::load();
    let hub_only = [
        Code::NotAuthorized,
        Code::Quota,
        Code::Overloaded,
        Code::Unavailable,
        Code::NoResponder,
        Code::Timeout,
        Code::NoListener,
        Code::Refused,
        Code::Taken,
        Code::NoCaller,
    ];
    let mut codes_seen = BTreeSet::new();
    let mut operations_seen = BTreeSet::new();
    let mut batches = 0;
    for Example { request, replies } in examples() {
        for reply in replies.iter().flat_map(|reply| texts(reply)) {
            schemas.check_reply(reply);
        }
        let Some(text) = request else { continue };
        if is_batch(text.as_bytes()) && !replies[0].starts_with("{\"error") {
            batches += 1;
            let mut left = replies.as_slice();
            for text in texts(text) {
                schemas.check_request(text);
                let request = parse(text.as_bytes(), Limits::default()).unwrap();
                if let Some(answer) = answer(&request, left.first().copied()) {
                    assert_eq!(left[0], answer, "{text}");
                    left = &left[1..];
                }
            }
            assert!(left.is_empty(), "{left:?} answers nothing");
            continue;
        }
        let error = replies.first().and_then(|reply| match parse_reply(reply.as_bytes()).unwrap() {
            Reply::Error(refusal) => refusal.known_code(),
            _ => None,
        });
        codes_seen.extend(error.map(Code::name));
        match parse(text.as_bytes(), Limits::default()) {
            Ok(request) => {
                schemas.check_request(text);
                operations_seen.insert(match request {
                    Request::Publish(_) => "pub",
                    Request::Subscribe { .. } => "sub",
                    Request::Unsubscribe { .. } => "unsub",
                    Request::Auth { .. } => "auth",
                    Request::Hello(_) => "hello",
                    Request::Ask(_) => "req",
                    Request::Ping(_) => "ping",
                    Request::Pong(_) => "pong",
                    Request::Help { .. } => "help",
                    Request::Ack(_) => "ack",
                    Request::Presence { .. } => "presence",
                    Request::Room { .. } => "room",
                    Request::Stream(StreamRequest::Connect { .. }) => "connect",
                    Request::Stream(StreamRequest::Listen { .. }) => "listen",
                    Request::Stream(StreamRequest::Accept { .. }) => "accept",
                    Request::Stream(StreamRequest::Refuse { .. }) => "refuse",
                });
                match error {
                    None if matches!(request, Request::Presence { .. }) => {
                        assert_eq!(replies, [present(replies[0])], "{text}");
                    }
                    Some(code) => assert!(hub_only.contains(&code), "{text} is not refused"),
                    None => {
                        assert_eq!(replies, answer(&request, replies.first().copied()).as_slice(), "{text}");
                    }
                }
            }
            Err(error) => assert_eq!(replies, [written(|out| error.encode(out))], "{text}"),
        }
    }
    assert_eq!(
        operations_seen,
        BTreeSet::from([
            "accept", "ack", "auth", "connect", "hello", "help", "listen", "ping", "pong", "presence", "pub",
            "refuse", "req", "room", "sub", "unsub"
        ])
    );
    assert!(batches > 0, "the page has lost its batch");
    assert_eq!(codes_seen, Code::ALL.map(Code::name).into());
}

#[test]
fn the_examples_of_messages_are_as_the_encoder_writes_them() {
    let mut messages = 0;
    for reply in examples().iter().flat_map(|example| &example.replies).flat_map(|reply| texts(reply)) {
        let Reply::Message(message) = parse_reply(reply.as_bytes()).unwrap() else { continue };
        messages += 1;
        let pairs: Vec<(&str, &str)> = message
            .extras
            .user_properties
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
            .collect();
        let extras = ExtrasRef {
            content_type: message.extras.content_type.as_deref(),
            response_topic: message.extras.response_topic.as_deref(),
            correlation: message.extras.correlation.as_deref(),
            expiry_s: message.extras.expiry_s,
            user_properties: &pairs,
        };
        let view = MessageView {
            topic: &message.topic,
            payload: &message.payload,
            retain: message.retain,
            extras,
            place: message.place,
        };
        let delivery = message.id.map(|id| Delivery { qos: message.qos, id, dup: message.dup });
        assert_eq!(written(|out| encode_message(&view, delivery, out)), reply);
    }
    assert!(messages >= 6, "the page has lost its messages: {messages}");
}

#[test]
fn the_asyncapi_document_refers_to_every_message_of_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let refers = |text: &str, prefix: &str| -> BTreeSet<String> {
        let after = text.split(prefix).skip(1);
        after.map(|rest| rest.chars().take_while(|letter| letter.is_ascii_alphabetic()).collect()).collect()
    };
    let mut messages = BTreeSet::new();
    for direction in ["request", "reply"] {
        messages.extend(refers(&schema["$defs"][direction].to_string(), "#/$defs/"));
    }
    assert_eq!(refers(ASYNCAPI, "json-protocol.schema.json#/$defs/"), messages);
    assert_eq!(refers(ASYNCAPI, "#/components/messages/"), messages);
    assert_eq!(refers(ASYNCAPI, "#/channels/clients/messages/"), messages);
}
