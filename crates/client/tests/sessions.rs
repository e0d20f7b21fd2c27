//! What outlives a connection, what its end does, and what waits.

#![allow(clippy::unwrap_used)]

mod common;

use common::{DEADLINE, Hub, next};
use std::collections::VecDeque;
use std::time::Duration;
use trefoil_client::{
    Client, ErrorKind, Message, Options, QoS, Receipt, Session, SlowReader, SubscribeOptions, Version, Will,
};

fn kept(version: Version) -> Options {
    Options {
        version,
        client_id: Some("kept".into()),
        clean_start: false,
        session_expiry_s: 60,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_is_found_again_with_what_was_not_taken() {
    for version in [Version::V3_1_1, Version::V5] {
        let hub = Hub::start();
        let mut client = hub.connect_with("mqtt", kept(version)).await;
        client.subscribe("s", QoS::AtLeastOnce).await.unwrap();
        let publisher = hub.connect("mqtt").await;
        for text in ["taken", "left", "later"] {
            if text == "later" {
                assert_eq!(next(&mut client).await.payload, b"taken");
                client.close().await.unwrap();
                client = hub.connect("mqtt").await;
            }
            publisher.publish(Message::new("s", text).qos(QoS::AtLeastOnce)).await.unwrap();
        }
        drop(client);
        let mut client = hub.connect_with("ws/mqtt", kept(version)).await;
        assert!(client.session_present());
        for text in ["left", "later"] {
            assert_eq!(next(&mut client).await.payload, text.as_bytes(), "{version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_will_is_published_unless_the_client_says_goodbye() {
    let hub = Hub::start();
    let mut watcher = hub.connect("tcp").await;
    watcher.subscribe("will/#", QoS::AtMostOnce).await.unwrap();
    for kind in ["mqtt", "ws/mqtt"] {
        let with_will = |topic: &str| Options {
            will: Some(Will { message: Message::new(topic, "gone"), delay_s: 0 }),
            ..Options::default()
        };
        hub.connect_with(kind, with_will("will/orderly")).await.close().await.unwrap();
        drop(hub.connect_with(kind, with_will("will/abrupt")).await);
        let message = next(&mut watcher).await;
        assert_eq!((message.topic.as_str(), &message.payload[..]), ("will/abrupt", &b"gone"[..]), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pings_keep_a_silent_connection_alive() {
    let hub = Hub::with(|config| config.limits.udp_idle_s = 2);
    let mut clients = Vec::new();
    for kind in ["mqtt", "ws/mqtt", "udp"] {
        let client = hub.connect_with(kind, Options { keep_alive_s: 1, ..Options::default() }).await;
        client.subscribe("k", QoS::AtMostOnce).await.unwrap();
        clients.push(client);
    }
    // Longer than the hub waits without a word.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    hub.connect("mqtt").await.publish(Message::new("k", "there").qos(QoS::AtLeastOnce)).await.unwrap();
    for mut client in clients {
        assert_eq!(next(&mut client).await.payload, b"there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hub_that_falls_silent_is_given_up() {
    // It takes the connection, answers CONNECT, and says nothing more.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let hub = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        socket.writable().await.unwrap();
        socket.try_write(&[0x20, 3, 0, 0, 0]).unwrap();
        socket
    });
    let mut client = Client::connect(&url, Options { keep_alive_s: 1, ..Options::default() }).await.unwrap();
    let ended = tokio::time::timeout(DEADLINE, client.next_message()).await.unwrap();
    assert_eq!(ended, None);
    let error = client.error().unwrap().to_string();
    assert!(error.contains("nothing was heard"), "{error}");
    drop(hub.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_that_nobody_takes_hold_back_the_hub_and_not_the_memory() {
    let hub = Hub::start();
    let options = Options { queue_messages_max: 4, ..Options::default() };
    let mut slow = hub.connect_with("mqtt", options).await;
    slow.subscribe("flood", QoS::AtLeastOnce).await.unwrap();
    let publisher = hub.connect("mqtt").await;
    for number in 0..500 {
        publisher.publish(Message::new("flood", number.to_string()).qos(QoS::AtLeastOnce)).await.unwrap();
    }
    for number in 0..500 {
        assert_eq!(next(&mut slow).await.payload, number.to_string().as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_subscription_says_what_goes_if_it_is_too_slow() {
    let hub = Hub::with(|config| {
        (config.limits.inflight_max, config.limits.session_queue_messages_max) = (1, 3);
    });
    let publisher = hub.connect("mqtt").await;
    for kind in ["mqtt", "ws/mqtt", "ws/ws", "tcp", "udp"] {
        for (policy, kept) in [
            (Some(SlowReader::LatestPerTopic), ["0", "5", "-"].as_slice()),
            (Some(SlowReader::DropOldest), &["0", "4", "5", "-"]),
            (None, &["0", "1", "2", "3"]),
        ] {
            let mut slow = hub.connect(kind).await;
            let options = SubscribeOptions { qos: QoS::AtLeastOnce, slow_reader: policy };
            for filter in ["flood", "end"] {
                assert_eq!(slow.subscribe_with(filter, options).await, Ok(QoS::AtLeastOnce));
            }
            // Nothing is acknowledged before it is taken.
            for number in 0..6 {
                let message = Message::new("flood", number.to_string()).qos(QoS::AtLeastOnce);
                publisher.publish(message).await.unwrap();
            }
            publisher.publish(Message::new("end", "-").qos(QoS::AtLeastOnce)).await.unwrap();
            for payload in kept {
                assert_eq!(next(&mut slow).await.payload, payload.as_bytes(), "{kind} {policy:?}");
            }
            slow.close().await.unwrap();
        }
    }
    let old = hub.connect_with("mqtt", Options { version: Version::V3_1_1, ..Options::default() }).await;
    let options = SubscribeOptions { slow_reader: Some(SlowReader::Disconnect), ..Default::default() };
    let error = old.subscribe_with("t", options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    old.close().await.unwrap();
}

/// A client that vanishes again and again in the middle of its work, in both directions.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn exactly_once_over_connections_that_break() {
    const COUNT: usize = 200;
    for version in [Version::V3_1_1, Version::V5] {
        let hub = Hub::start();
        let mut other = hub.connect("mqtt").await;
        other.subscribe("there", QoS::ExactlyOnce).await.unwrap();
        let options = Options { session: Some(Session::new()), ..kept(version) };
        hub.connect_with("mqtt", options.clone()).await.subscribe("back", QoS::ExactlyOnce).await.unwrap();
        let answers = (0..COUNT).map(|number| Message::new("back", number.to_string()).qos(QoS::ExactlyOnce));
        for answer in answers {
            // Its subscriber is mostly away.
            other.publish(answer).await.unwrap();
        }
        let mut to_send: VecDeque<usize> = (0..COUNT).collect();
        let mut on_the_way: VecDeque<(usize, Receipt)> = VecDeque::new();
        let mut came = Vec::new();
        while came.len() < COUNT || !to_send.is_empty() || !on_the_way.is_empty() {
            let mut client = hub.connect_with("mqtt", options.clone()).await;
            for _ in 0..7 {
                if let Some(number) = to_send.pop_front() {
                    let message = Message::new("there", number.to_string()).qos(QoS::ExactlyOnce);
                    on_the_way.push_back((number, client.send(message).await.unwrap()));
                }
                if came.len() < COUNT {
                    came.push(next(&mut client).await.payload);
                }
            }
            if to_send.is_empty() {
                // What was sent in earlier connections is acknowledged in this one.
                for (_, receipt) in on_the_way.drain(..) {
                    tokio::time::timeout(DEADLINE, receipt).await.unwrap().unwrap();
                }
            }
        }
        let numbers: Vec<Vec<u8>> = (0..COUNT).map(|number| number.to_string().into_bytes()).collect();
        assert_eq!(came, numbers, "{version:?}");
        for number in &numbers {
            assert_eq!(&next(&mut other).await.payload, number, "{version:?}");
        }
    }
}
