//! Whole connections, over real sockets.

#![allow(clippy::unwrap_used)]

pub(super) mod hub;

use super::testing::next_mail;
use super::{CONNECTIONS_MAX, HandOver};
use crate::mail::{Mail, Stage};
use hub::{Hub, PATIENCE, eventually, eventually_some, pair, read_until};
use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;
use trefoil_config::Limits;
use trefoil_hub::Published;

#[test]
fn requests_follow_each_other_on_one_connection() {
    let hub = Hub::start(Limits::default());
    let mut client = hub.hand_over(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(read_until(&mut client, "{\"status\":\"ok\"}").starts_with("HTTP/1.1 200 OK\r\n"));
    client.write_all(b"GET /api/v1/stats HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(read_until(&mut client, "\"sync_ms_max\":0.0}}").contains("\"http\":1"));
    assert_eq!(hub.counted(), (1, 1, 1));

    drop(client);
    eventually(|| hub.counted() == (0, 0, 0));
}

#[test]
fn a_later_request_for_events_goes_back_to_a_shard() {
    let hub = Hub::start(Limits::default());
    let mut client = hub.hand_over(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(&mut client, "{\"status\":\"ok\"}");
    client
        .write_all(b"GET /sse?topic=a%2F%23 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        .unwrap();
    let mut arrival = hub.arrival();
    assert_eq!(
        arrival.input.escape_ascii().to_string(),
        "GET /sse?topic=a%2F%23 HTTP/1.1\\r\\nhost: x\\r\\naccept: text/event-stream\\r\\n\\r\\n"
    );
    assert!(arrival.output.is_empty() && matches!(arrival.stage, Stage::First));
    // It is alive and on a shard, so that only its kind has changed.
    eventually(|| hub.counted() == (0, 1, 1));
    arrival.stream.write_all(b"from the shard").unwrap();
    assert_eq!(read_until(&mut client, "shard"), "from the shard");
}

#[test]
fn a_websocket_behind_another_request_loses_nothing() {
    let hub = Hub::start(Limits::default());
    let frames = b"\x81\x80abcd and more";
    let upgrade = b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let all = [&b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"[..], upgrade, frames].concat();
    // However it is cut into what a shard has read and what is still to come.
    for cut in [10, 36, 60, all.len() - 3, all.len()] {
        let mut client = hub.hand_over(&all[..cut]);
        client.write_all(&all[cut..]).unwrap();
        let mut arrival = hub.arrival();
        assert!(read_until(&mut client, "\"ok\"}").starts_with("HTTP/1.1 200 OK"), "cut at {cut}");
        let mut input = arrival.input.clone();
        eventually(|| {
            let mut more = [0; 256];
            let n = arrival.stream.read(&mut more).unwrap_or(0);
            input.extend_from_slice(&more[..n]);
            input == [&upgrade[..], frames].concat()
        });
    }
}

#[test]
fn a_shard_gets_the_connection_only_when_all_responses_are_written() {
    let hub = Hub::start(Limits::default());
    const REQUESTS: usize = 4;
    let mut requests = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(REQUESTS);
    requests.extend_from_slice(b"GET /sse?topic=a HTTP/1.1\r\nhost: x\r\n\r\n");
    // The client reads nothing yet, and its socket buffers hold less than those responses.
    let mut client = hub.hand_over_narrow(&requests);
    std::thread::sleep(Duration::from_millis(300));
    assert!(next_mail(&hub.bench.context.mailboxes[0]).is_none());

    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        String::from_utf8(all).unwrap()
    });
    // Closes the connection, so that the reader comes to an end.
    drop(hub.arrival());
    let all = reader.join().unwrap();
    assert_eq!(all.matches("HTTP/1.1 200 OK\r\n").count(), REQUESTS);
    assert!(all.trim_end().ends_with("</html>"));
}

#[test]
fn what_a_shard_handed_over_does_not_go_back_at_once() {
    let hub = Hub::start(Limits::default());
    let mut client = hub.hand_over(b"GET /sse HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(read_until(&mut client, "}}").starts_with("HTTP/1.1 405 "));
    assert!(next_mail(&hub.bench.context.mailboxes[0]).is_none());
}

#[test]
fn a_request_with_a_body_stays() {
    let hub = Hub::start(Limits::default());
    let mut client = hub.hand_over(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    read_until(&mut client, "\"ok\"}");
    client.write_all(b"GET /sse HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody").unwrap();
    assert!(read_until(&mut client, "}}").starts_with("HTTP/1.1 405 "));
    assert!(next_mail(&hub.bench.context.mailboxes[0]).is_none());
}

#[test]
fn broken_and_oversized_requests_are_refused_and_counted() {
    let hub = Hub::start(Limits { http_header_bytes_max: 2048, ..Limits::default() });
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nlarge: {}\r\n\r\n", "x".repeat(4096));
    for (count, (request, status)) in
        [("GET / HTTP/9.9\r\n\r\n", "400"), (large.as_str(), "431")].iter().enumerate()
    {
        let mut client = hub.hand_over(request.as_bytes());
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        eventually(|| hub.bench.context.stats_beside().protocol_errors.get() == count as u64 + 1);
    }
    eventually(|| hub.counted() == (0, 0, 0));
}

#[test]
fn who_says_nothing_more_is_closed() {
    let hub = Hub::start(Limits { first_bytes_timeout_s: 1, ..Limits::default() });
    for start in ["GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", "GET /healthz HTTP/1.1\r\nhos"] {
        let mut client = hub.hand_over(start.as_bytes());
        // Ends, or else the test fails by the timeout of the read.
        client.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn too_many_connections_are_given_back() {
    let hub = Hub::start(Limits::default());
    let hands = hub.beside.hands();
    let all = hands.0.free.clone().try_acquire_many_owned(CONNECTIONS_MAX).unwrap();
    let (_client, server) = pair();
    let hand_over =
        HandOver { stream: server.into(), peer: None, forwarded: None, listener: 0, input: b"GET".to_vec() };
    let given_back = hands.take(hand_over).err().unwrap();
    assert_eq!(given_back.input, b"GET");
    assert_eq!(hub.counted().0, 0);
    drop(all);
    assert!(hands.take(given_back).is_ok());
}

#[test]
fn a_stop_lets_requests_finish() {
    let hub = Hub::start(Limits::default());
    let hands = hub.beside.hands();
    let body = r#"{"topic":"t"}"#;
    let length = body.len();
    let post = format!("POST /api/v1/publish HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    let mut busy = hub.hand_over(post.as_bytes());
    let mut idle = hub.hand_over(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    read_until(&mut idle, "\"ok\"}");
    let Hub { bench, beside } = hub;
    let mail = eventually_some(|| next_mail(&bench.context.mailboxes[0]));

    let stop = std::thread::spawn(move || beside.stop(PATIENCE));
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "an idle connection is closed");
    let Mail::Publish { reply, .. } = mail else { panic!("a publish was sent") };
    reply.send(Published::default()).unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("}"), "{answer}");
    stop.join().unwrap();

    let (_client, server) = pair();
    assert!(
        hands
            .take(HandOver {
                stream: server.into(),
                peer: None,
                forwarded: None,
                listener: 0,
                input: Vec::new()
            })
            .is_err()
    );
    assert_eq!(bench.context.connections.load(Ordering::Relaxed), 0);
}
