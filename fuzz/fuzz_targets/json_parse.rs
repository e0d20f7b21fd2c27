//! Any text from a client or from a hub is taken or refused, and what the hub takes comes out again as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_json::{
    ExtrasRef, Limits, MessageView, PublishView, Reply, Request, encode_binary, encode_binary_publish,
    encode_message, encode_publish, is_batch, parse, parse_batch, parse_binary, parse_binary_reply,
    parse_reply,
};

fuzz_target!(|data: &[u8]| {
    let _ = parse_reply(data);
    match parse(data, Limits::default()) {
        Ok(Request::Publish(publish)) => {
            check_publish(&publish.topic, &publish.payload);
            check_message(&publish.topic, &publish.payload);
        }
        Ok(_) => {}
        Err(error) => {
            let mut line = Vec::new();
            error.encode(&mut line);
            assert!(!line.contains(&b'\n'));
            assert!(
                matches!(parse_reply(&line), Ok(Reply::Error(refusal)) if refusal.reason == error.reason)
            );
        }
    }
    check_message("t", data);
    let _ = parse_binary(data, Limits::default());
    let _ = parse_binary_reply(data);
    check_binary("t", data);
    match parse_batch(data, Limits::default()) {
        Ok(texts) => {
            assert!(is_batch(data));
            let again = format!("[{}]", texts.join(","));
            assert_eq!(parse_batch(again.as_bytes(), Limits::default()), Ok(texts));
        }
        Err(error) => assert!(!error.reason.is_empty()),
    }
});

/// A client's half of a publish keeps every byte.
fn check_publish(topic: &str, payload: &[u8]) {
    let mut line = Vec::new();
    encode_publish(&PublishView { topic, payload, ..PublishView::default() }, &mut line);
    let Ok(Request::Publish(again)) = parse(&line, Limits::default()) else {
        panic!("what we write is a publish")
    };
    assert_eq!(again.topic, topic);
    assert_eq!(again.payload.as_ref(), payload);
}

/// In a binary frame every byte stays as it is, in both directions.
fn check_binary(topic: &str, payload: &[u8]) {
    let mut frame = Vec::new();
    assert!(encode_binary_publish(&PublishView { topic, payload, ..PublishView::default() }, &mut frame));
    let Ok(Request::Publish(publish)) = parse_binary(&frame, Limits::default()) else {
        panic!("what we write is a publish")
    };
    assert_eq!(publish.payload.as_ref(), payload);
    let mut frame = Vec::new();
    assert!(encode_binary(&MessageView { topic, payload, ..MessageView::default() }, None, &mut frame));
    let Ok(Reply::Message(message)) = parse_binary_reply(&frame) else {
        panic!("what we write is a message")
    };
    assert_eq!(message.payload.as_ref(), payload);
}

/// A subscriber gets one line, and every byte but the white space that means nothing in JSON.
fn check_message(topic: &str, payload: &[u8]) {
    let mut line = Vec::new();
    let view = MessageView { topic, payload, retain: false, extras: ExtrasRef::default(), place: None };
    encode_message(&view, None, &mut line);
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    let Ok(Reply::Message(message)) = parse_reply(&line) else { panic!("what we write is a message") };
    assert_eq!(message.topic, topic);
    let solid =
        |bytes: &[u8]| bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>();
    assert!(message.payload.as_ref() == payload || solid(&message.payload) == solid(payload));
}
