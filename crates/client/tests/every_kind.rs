//! Publishing and receiving through every kind of listener at every QoS.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Hub, next};
use trefoil_client::{Message, Options, Properties, QoS, Version};

const KINDS: [&str; 5] = ["mqtt", "ws/mqtt", "ws/ws", "tcp", "udp"];

fn levels(kind: &str) -> &'static [QoS] {
    if kind.ends_with("mqtt") {
        &[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]
    } else {
        &[QoS::AtMostOnce, QoS::AtLeastOnce]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_message_goes_from_every_kind_to_every_kind_at_every_qos() {
    let hub = Hub::start();
    for from in KINDS {
        for to in KINDS {
            for qos in levels(from).iter().copied().filter(|qos| levels(to).contains(qos)) {
                let (publisher, mut subscriber) = (hub.connect(from).await, hub.connect(to).await);
                let granted = subscriber.subscribe("a/+", qos).await.unwrap();
                assert_eq!(granted, qos, "{to}");
                let sent =
                    [&b"plain"[..], "ümläut ☘".as_bytes(), b"\x00\xff\xfe", b"", b"{\"not\": \"touched\"}"];
                for payload in sent {
                    publisher.publish(Message::new("a/b", payload).qos(qos)).await.unwrap();
                }
                for payload in sent {
                    let message = next(&mut subscriber).await;
                    assert_eq!(message.payload, payload, "{from} to {to} at {qos:?}");
                    assert_eq!((message.topic.as_str(), message.qos), ("a/b", qos), "{from} to {to}");
                }
                publisher.close().await.unwrap();
                subscriber.close().await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn both_versions_of_mqtt_are_spoken() {
    let hub = Hub::start();
    for kind in ["mqtt", "ws/mqtt"] {
        for version in [Version::V3_1_1, Version::V5] {
            let mut client = hub.connect_with(kind, Options { version, ..Options::default() }).await;
            assert!(!client.session_present());
            for qos in levels(kind) {
                assert_eq!(client.subscribe("v", *qos).await, Ok(*qos));
                client.publish(Message::new("v", "x").qos(*qos)).await.unwrap();
                assert_eq!(next(&mut client).await.qos, *qos);
            }
            client.unsubscribe("v").await.unwrap();
            client.publish(Message::new("v", "nobody").qos(QoS::AtLeastOnce)).await.unwrap();
            client.subscribe("w", QoS::AtMostOnce).await.unwrap();
            client.publish(Message::new("w", "last")).await.unwrap();
            assert_eq!(next(&mut client).await.payload, b"last");
            client.close().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn properties_and_retained_messages_cross() {
    let hub = Hub::start();
    for (from, to) in [("mqtt", "tcp"), ("tcp", "ws/mqtt"), ("ws/ws", "mqtt"), ("mqtt", "udp")] {
        let topic = format!("{from}-{to}").replace('/', "-");
        let properties = Properties {
            content_type: Some("text/plain".into()),
            response_topic: Some("answers".into()),
            correlation_data: Some(vec![0, 255]),
            expiry_s: Some(100),
            user_properties: vec![("k".into(), "1".into()), ("k".into(), "2".into())],
        };
        let sent = Message { properties, ..Message::new(&topic, "kept") }.qos(QoS::AtLeastOnce).retain(true);
        let (publisher, mut subscriber) = (hub.connect(from).await, hub.connect(to).await);
        publisher.publish(sent.clone()).await.unwrap();
        subscriber.subscribe(&topic, QoS::AtLeastOnce).await.unwrap();
        let mut got = next(&mut subscriber).await;
        assert!(got.properties.expiry_s.is_some_and(|s| (1..=100).contains(&s)), "{got:?}");
        got.properties.expiry_s = Some(100);
        assert_eq!(got, sent, "{from} to {to}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_messages_are_on_their_way_at_a_time_and_stay_in_order() {
    const COUNT: usize = 3000;
    let hub = Hub::start();
    for kind in KINDS {
        // Nobody paces datagrams of QoS 0: what exceeds the receiver's buffer is lost.
        for qos in levels(kind).iter().copied().filter(|qos| kind != "udp" || *qos > QoS::AtMostOnce) {
            let (publisher, _unused) = hub.connect(kind).await.split();
            let (subscription, mut receiver) = hub.connect("mqtt").await.split();
            subscription.subscribe("many", qos).await.unwrap();
            let publishing = tokio::spawn(async move {
                let mut receipts = Vec::new();
                for number in 0..COUNT {
                    receipts.push(
                        publisher.send(Message::new("many", number.to_string()).qos(qos)).await.unwrap(),
                    );
                }
                for receipt in receipts {
                    receipt.await.unwrap();
                }
                publisher.close().await.unwrap();
            });
            for number in 0..COUNT {
                let message = tokio::time::timeout(common::DEADLINE, receiver.next_message()).await;
                let message = message.expect("it comes in time").expect("the connection stands");
                assert_eq!(message.payload, number.to_string().as_bytes(), "{kind} at {qos:?}");
            }
            publishing.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn large_messages_pass() {
    let hub = Hub::start();
    for kind in KINDS {
        // As base64 within the limit of a JSON object, of a datagram the more so.
        let size = if kind == "udp" { 40_000 } else { 700_000 };
        let payload: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let mut client = hub.connect(kind).await;
        client.subscribe("large", QoS::AtLeastOnce).await.unwrap();
        client.publish(Message::new("large", payload.clone()).qos(QoS::AtLeastOnce)).await.unwrap();
        assert!(next(&mut client).await.payload == payload, "{kind}");
        client.close().await.unwrap();
    }
}
