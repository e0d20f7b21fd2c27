//! Requests that somebody is to answer, by every protocol that has words for them.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Hub, next};
use std::time::Duration;
use trefoil_client::{Client, ErrorKind, Message, Options, QoS, Version};

const KINDS: [&str; 5] = ["mqtt", "ws/mqtt", "ws/ws", "tcp", "udp"];

const LONG: Duration = Duration::from_secs(60);

/// Answers requests with their payload twice, until the connection ends.
async fn serve(mut client: Client) {
    while let Some(request) = client.next_message().await {
        let mut answer = Message::new(
            request.properties.response_topic.expect("a request has one"),
            [&request.payload[..], &request.payload].concat(),
        );
        answer.properties.correlation_data = request.properties.correlation_data;
        answer.properties.user_properties = vec![("by".into(), "somebody".into())];
        client.publish(answer).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_kind_asks_every_kind() {
    let hub = Hub::start();
    for to in KINDS {
        let service = hub.connect(to).await;
        service.subscribe("svc", QoS::AtLeastOnce).await.unwrap();
        let serving = tokio::spawn(serve(service));
        for from in KINDS {
            let asker = hub.connect(from).await;
            // Many at a time, each with its own answer.
            let (one, two, three) = tokio::join!(
                asker.request(Message::new("svc", "a"), LONG),
                asker.request(Message::new("svc", &b"\x00\xff"[..]).qos(QoS::AtLeastOnce), LONG),
                asker.request(Message::new("svc", "c"), LONG),
            );
            assert_eq!(one.unwrap().payload, b"aa", "{from} to {to}");
            let two = two.unwrap();
            assert_eq!(two.payload, b"\x00\xff\x00\xff", "{from} to {to}");
            assert_eq!(two.properties.user_properties, [("by".into(), "somebody".into())]);
            assert_eq!(three.unwrap().payload, b"cc", "{from} to {to}");
            asker.close().await.unwrap();
        }
        serving.abort();
        let _ = serving.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_answers() {
    let hub = Hub::start();
    let mut silent = hub.connect("mqtt").await;
    silent.subscribe("silent", QoS::AtLeastOnce).await.unwrap();
    for kind in KINDS {
        let asker = hub.connect(kind).await;
        let nobody = asker.request(Message::new("nobody", "").qos(QoS::AtLeastOnce), LONG).await.unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::Refused, "{kind}: {nobody}");
        assert!(nobody.to_string().contains("nobody is subscribed"), "{nobody}");
        let asked = Message::new("silent", kind).qos(QoS::AtLeastOnce);
        let late = asker.request(asked, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{kind}: {late}");
        assert_eq!(next(&mut silent).await.payload, kind.as_bytes());
        // Whoever gave up is not waited for.
        asker.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_cannot_be_asked_is_not_sent() {
    let hub = Hub::start();
    let asker = hub.connect("tcp").await;
    let mut answered = Message::new("svc", "");
    answered.properties.response_topic = Some("mine".into());
    for message in
        [Message::new("svc", "").retain(true), answered, Message::new("svc", "").qos(QoS::ExactlyOnce)]
    {
        assert_eq!(asker.request(message, LONG).await.unwrap_err().kind(), ErrorKind::Usage);
    }
    let forever = asker.request(Message::new("svc", ""), Duration::from_secs(301)).await.unwrap_err();
    assert_eq!(forever.kind(), ErrorKind::Usage);
    let old = hub.connect_with("mqtt", Options { version: Version::V3_1_1, ..Options::default() }).await;
    assert_eq!(old.request(Message::new("svc", ""), LONG).await.unwrap_err().kind(), ErrorKind::Usage);
}
