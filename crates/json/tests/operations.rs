//! What a conversation has beside publish and subscribe: hello, requests with answers, batches and binary frames.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use trefoil_json::{
    Answer, AskRequest, BINARY_HEADER_BYTES_MAX, CLIENT_BYTES_MAX, Code, Delivery, Extras, ExtrasRef,
    HelloRequest, INFO_BYTES_MAX, Limits, MessageView, PublishRequest, PublishView, Reply, Request,
    RequestError, SlowReader, Stay, TIMEOUT_S_DEFAULT, VERSION, Welcome, encode_answer, encode_ask,
    encode_binary, encode_binary_header, encode_binary_publish, encode_hello, is_batch, is_text, parse,
    parse_batch, parse_binary, parse_binary_reply, parse_reply, push_binary_prefix,
};

fn ok(text: &str) -> Request<'_> {
    parse(text.as_bytes(), Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> RequestError {
    parse(text.as_bytes(), Limits::default()).expect_err(text)
}

fn written(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

#[test]
fn hello_may_say_nothing_and_everything() {
    assert_eq!(ok(r#"{"hello":{}}"#), Request::Hello(HelloRequest::default()));
    let hello = HelloRequest {
        client: Some("a\"b".into()),
        info: Some(r#"{"name": "Ann"}"#),
        batch: true,
        binary: true,
        session_s: Some(3600),
        resume: Some("0f".into()),
        heartbeat_s: Some(30),
        id: Some(4),
    };
    let text = r#"{"hello":{"info":{"name": "Ann"},"client":"a\"b","binary":true,"batch":true,"heartbeat_s":30,"resume":"0f","session_s":3600},"id":4}"#;
    assert_eq!(ok(text), Request::Hello(hello.clone()));
    for hello in [hello, HelloRequest::default(), HelloRequest { binary: true, ..HelloRequest::default() }] {
        let text = String::from_utf8(written(|out| encode_hello(&hello, out))).unwrap();
        assert_eq!(ok(&text), Request::Hello(hello));
    }
}

#[test]
fn hello_has_bounds() {
    let client = |bytes: usize| format!(r#"{{"hello":{{"client":"{}"}},"id":1}}"#, "c".repeat(bytes));
    assert!(matches!(ok(&client(CLIENT_BYTES_MAX)), Request::Hello(_)));
    let error = refused(&client(CLIENT_BYTES_MAX + 1));
    assert_eq!((error.code, error.field.as_deref(), error.id), (Code::TooLarge, Some("client"), Some(1)));
    let info = |bytes: usize| format!(r#"{{"hello":{{"info":"{}"}}}}"#, "i".repeat(bytes - 2));
    assert!(matches!(ok(&info(INFO_BYTES_MAX)), Request::Hello(_)));
    assert_eq!(refused(&info(INFO_BYTES_MAX + 1)).code, Code::TooLarge);
    assert_eq!(refused(r#"{"hello":{"client":""}}"#).reason, "client is empty");
    assert_eq!(refused(r#"{"hello":{"client":"\u0000"}}"#).code, Code::BadField);
    assert_eq!(refused(r#"{"hello":7}"#).reason, "hello is 7; it must be an object");
    let error = refused(r#"{"hello":{"batched":true}}"#);
    assert_eq!(error.reason, "batched is not a field of hello; did you mean batch?");
}

#[test]
fn the_hub_says_hello_too() {
    let welcome = Welcome {
        version: VERSION,
        client: "ann".into(),
        connection: "2-4f1c".into(),
        request_bytes_max: 1_048_576,
        session: None,
        heartbeat_s: None,
    };
    let text = written(|out| welcome.encode(Some(1), out));
    let expected = br#"{"hello":{"version":1,"client":"ann","connection":"2-4f1c","limits":{"request_bytes_max":1048576}},"ack":1}"#;
    assert_eq!(text, expected);
    assert_eq!(parse_reply(&text), Ok(Reply::Hello { welcome: welcome.clone(), ack: Some(1) }));
    let stay = Stay { resumed: true, session_s: 60, resume: Some("0f".into()) };
    let welcome = Welcome { session: Some(stay), heartbeat_s: Some(30), ..welcome };
    let text = written(|out| welcome.encode(None, out));
    assert!(text.ends_with(br#"},"resumed":true,"session_s":60,"resume":"0f","heartbeat_s":30}}"#));
    assert_eq!(parse_reply(&text), Ok(Reply::Hello { welcome, ack: None }));
    let error = parse_reply(br#"{"hello":{"version":1,"client":"a","connection":"0-1"}}"#).unwrap_err();
    assert_eq!(error.reason, "hello has no limits");
}

#[test]
fn a_request_has_a_time_and_an_id() {
    let message = PublishRequest {
        topic: "svc".into(),
        payload: Cow::Borrowed(b"[1, 2]"),
        qos: 0,
        retain: false,
        id: Some(7),
        extras: Extras::default(),
    };
    let ask = AskRequest { message, timeout_s: TIMEOUT_S_DEFAULT, id: 7 };
    assert_eq!(ok(r#"{"req":"svc","data":[1, 2],"id":7}"#), Request::Ask(ask));
    let Request::Ask(ask) = ok(r#"{"req":"svc","id":1,"timeout_s":300,"qos":1,"content_type":"t"}"#) else {
        panic!("it is a request");
    };
    assert_eq!((ask.timeout_s, ask.message.qos, ask.message.extras.content_type), (300, 1, Some("t".into())));
    let error = refused(r#"{"req":"svc"}"#);
    assert_eq!((error.code, error.field.as_deref()), (Code::MissingField, Some("id")));
    let error = refused(r#"{"req":"svc","id":1,"timeout_s":0}"#);
    assert_eq!(error.reason, "timeout_s is 0; it must be a whole number from 1 to 300");
    let error = refused(r#"{"req":"svc","id":1,"timeout_s":301}"#);
    assert_eq!(error.reason, "timeout_s is 301; it must be a whole number from 1 to 300");
    for wrong in ["retain\":true", "response_topic\":\"r", "correlation_base64\":\"", "res\":1"] {
        let quote = if wrong.ends_with(['1', 'e']) { "" } else { "\"" };
        let error = refused(&format!(r#"{{"req":"svc","id":1,"{wrong}{quote}}}"#));
        assert_eq!((error.code, error.id), (Code::UnknownField, Some(1)), "{wrong}");
    }
    let view = PublishView { topic: "svc", payload: b"x", qos: 1, id: Some(9), ..PublishView::default() };
    let text = written(|out| encode_ask(&view, 5, out));
    assert_eq!(text, br#"{"req":"svc","data":"x","qos":1,"id":9,"timeout_s":5}"#);
}

#[test]
fn an_answer_has_the_id_of_its_request() {
    let extras = ExtrasRef { content_type: Some("text/plain"), ..ExtrasRef::default() };
    let text = written(|out| encode_answer(7, b"3", &extras, false, out));
    assert_eq!(text, br#"{"res":7,"data":3,"content_type":"text/plain"}"#);
    let extras = Extras { content_type: Some("text/plain".into()), ..Extras::default() };
    assert_eq!(parse_reply(&text), Ok(Reply::Answer(Answer { id: 7, payload: Cow::Borrowed(b"3"), extras })));
}

#[test]
fn slow_is_short_for_slow_reader() {
    let Request::Subscribe(subscribe) = ok(r#"{"sub":"a","slow":"latest_per_topic"}"#) else {
        panic!("it is a subscribe");
    };
    assert_eq!(subscribe.slow_reader, Some(SlowReader::LatestPerTopic));
    let error = refused(r#"{"sub":"a","slow":"oldest"}"#);
    assert_eq!(error.field.as_deref(), Some("slow"));
    let error = refused(r#"{"sub":"a","slow":"drop_newest","slow_reader":"drop_newest"}"#);
    assert_eq!(error.reason, "slow and slow_reader are both there; they are two names of the same");
}

#[test]
fn a_batch_is_taken_apart() {
    let batch =
        |text: &'static str| parse_batch(text.as_bytes(), Limits { batch_max: 3, ..Limits::default() });
    assert_eq!(batch(r#" [ {"a":[1]} ,{}, {"b":"]"} ] "#).unwrap(), [r#"{"a":[1]}"#, "{}", r#"{"b":"]"}"#]);
    for (text, code, reason) in [
        ("[]", Code::BadJson, "the array is empty; a batch has at least one object"),
        (
            "[{},[{}]]",
            Code::BadJson,
            "item 2 of the array starts with [, but a batch has objects only: [{…},{…}]",
        ),
        (
            "[null]",
            Code::BadJson,
            "item 1 of the array starts with n, but a batch has objects only: [{…},{…}]",
        ),
        ("[{},{},{},{}]", Code::TooLarge, "the array has more than 3 objects"),
        (
            "[{}][{}]",
            Code::BadJson,
            "there is more after the array; send one array in each line, frame or datagram",
        ),
        ("[{}", Code::BadJson, "it is not JSON: EOF while parsing a list at line 1 column 3"),
        ("[{},{},{},{},", Code::BadJson, "it is not JSON: EOF while parsing a value at line 1 column 13"),
    ] {
        let error = batch(text).unwrap_err();
        assert_eq!((error.code, &*error.reason), (code, reason), "{text}");
    }
    let error = parse_batch(b"[{}\xff]", Limits::default()).unwrap_err();
    assert_eq!(error.reason, "it is not UTF-8: byte 0xff at offset 3; send binary data as data_base64");
    assert!(is_batch(b" \n[") && !is_batch(b"{[") && !is_batch(b""));
}

fn frame(header: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    push_binary_prefix(header.len(), &mut frame);
    frame.extend_from_slice(header.as_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn a_binary_frame_has_its_payload_behind_it() {
    let bytes = frame(r#"{"pub":"a","qos":1,"id":3}"#, b"\xff{");
    let Request::Publish(publish) = parse_binary(&bytes, Limits::default()).unwrap() else {
        panic!("it is a publish");
    };
    assert_eq!((&*publish.topic, &*publish.payload, publish.id), ("a", &b"\xff{"[..], Some(3)));
    assert!(matches!(publish.payload, Cow::Borrowed(_)));
    let bytes = frame(r#"{"req":"a","id":3}"#, b"");
    assert!(
        matches!(parse_binary(&bytes, Limits::default()), Ok(Request::Ask(ask)) if ask.message.payload.is_empty())
    );
}

#[test]
fn a_binary_frame_that_is_none_is_refused() {
    let reason = |bytes: &[u8]| {
        let error = parse_binary(bytes, Limits::default()).unwrap_err();
        (error.code, error.reason.into_owned(), error.id)
    };
    let shape = "it must be 1, two bytes of length, JSON, payload";
    assert_eq!(reason(b""), (Code::BadJson, format!("the binary frame is empty; {shape}"), None));
    assert_eq!(
        reason(b"\x02\0\0"),
        (Code::BadJson, format!("the binary frame starts with 2; {shape}"), None)
    );
    assert_eq!(
        reason(b"\x01\0"),
        (
            Code::BadJson,
            "the binary frame ends before its header: 1, two bytes of length, JSON, payload".into(),
            None
        )
    );
    assert_eq!(
        reason(b"\x01\x01\0{}"),
        (Code::BadJson, "the header has 256 bytes, but only 2 follow its length".into(), None)
    );
    assert_eq!(reason(&frame("", b"{}")).0, Code::BadJson);
    let (code, reason_of_two, id) = reason(&frame(r#"{"pub":"a","data":1,"id":3}"#, b"x"));
    assert_eq!((code, id), (Code::BadField, Some(3)));
    assert_eq!(reason_of_two, "data is there, but the payload of a binary frame stands behind its header");
    let (code, reason, _) = reason(&frame(r#"{"sub":"a"}"#, b""));
    assert_eq!((code, &*reason), (Code::BadField, "sub has no payload; send it as text"));
}

#[test]
fn messages_go_in_binary_frames_and_come_out_again() {
    let extras = ExtrasRef { content_type: Some("x"), ..ExtrasRef::default() };
    let view = MessageView { topic: "a", payload: b"\xff\0", extras, ..MessageView::default() };
    let delivery = Delivery { qos: 1, id: 9, dup: true };
    let bytes = written(|out| assert!(encode_binary(&view, Some(delivery), out)));
    let header = written(|out| encode_binary_header(&view, Some(delivery), out));
    assert_eq!(bytes, frame(r#"{"topic":"a","content_type":"x","qos":1,"id":9,"dup":true}"#, b"\xff\0"));
    assert_eq!(bytes, frame(std::str::from_utf8(&header).unwrap(), b"\xff\0"));
    let Reply::Message(message) = parse_binary_reply(&bytes).unwrap() else { panic!("it is a message") };
    assert_eq!((&*message.payload, message.id, message.dup), (&b"\xff\0"[..], Some(9), true));
    let bytes = frame(r#"{"res":1}"#, b"\xff");
    assert!(matches!(parse_binary_reply(&bytes), Ok(Reply::Answer(answer)) if *answer.payload == *b"\xff"));
    assert!(!is_text(b"\xff") && is_text("é".as_bytes()) && is_text(b""));
}

#[test]
fn a_header_that_is_too_long_is_not_written() {
    let topic = "t".repeat(BINARY_HEADER_BYTES_MAX - 12);
    let view = MessageView { topic: &topic, payload: b"\xff", ..MessageView::default() };
    assert_eq!(
        written(|out| assert!(encode_binary(&view, None, out))).len(),
        3 + BINARY_HEADER_BYTES_MAX + 1
    );
    let topic = format!("{topic}t");
    let view = MessageView { topic: &topic, ..view };
    assert_eq!(written(|out| assert!(!encode_binary(&view, None, out))), b"");
    let view = PublishView { topic: &topic, payload: b"\xff", id: Some(u64::MAX), ..PublishView::default() };
    assert_eq!(written(|out| assert!(!encode_binary_publish(&view, out))), b"");
}

#[test]
fn a_publish_in_a_binary_frame_is_the_same_publish() {
    let view = PublishView { topic: "a", payload: b"\xff", qos: 1, id: Some(2), ..PublishView::default() };
    let bytes = written(|out| assert!(encode_binary_publish(&view, out)));
    assert_eq!(bytes, frame(r#"{"pub":"a","qos":1,"id":2}"#, b"\xff"));
}
