//! What goes wrong, and what a person is told.

#![allow(clippy::unwrap_used)]

mod common;

use common::{DEADLINE, Hub};
use std::time::Duration;
use trefoil_client::{Authentication, Client, Error, ErrorKind, Message, Options, QoS, Version};
use trefoil_config::Protocols;

async fn refusal(url: &str, options: Options) -> Error {
    Client::connect(url, options).await.expect_err("it must not connect")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_nobody_listens_the_error_names_the_address_and_a_way_out() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    for kind in ["mqtt", "ws", "tcp", "udp"] {
        let url = format!("{kind}://127.0.0.1:{port}");
        let error = refusal(&url, Options::default()).await;
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(error.to_string().starts_with(&format!("cannot connect to {url}")), "{error}");
        assert!(error.to_string().contains("trefoil serve"), "{error}");
    }
    let error = refusal("mqtt://no-such-host.invalid", Options::default()).await;
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_says_nothing_is_not_waited_for_for_ever() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let ports =
        [("mqtt", silent.local_addr()), ("ws", silent.local_addr()), ("udp", silent_udp.local_addr())];
    for (kind, address) in ports {
        let options = Options { timeout: Duration::from_millis(500), ..Options::default() };
        let error = refusal(&format!("{kind}://{}", address.unwrap()), options).await;
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_listener_for_something_else_is_recognised() {
    let narrow = |protocols: Protocols| Hub::with(|config| config.listeners[0].protocols = protocols);
    let web = narrow(Protocols { http: true, websocket: true, ..Protocols::NONE });
    let mqtt = narrow(Protocols { mqtt: true, ..Protocols::NONE });
    for url in [web.url("mqtt"), web.url("tcp"), mqtt.url("tcp"), mqtt.url("ws")] {
        let error = refusal(&url, Options::default()).await;
        assert!(
            matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Connect | ErrorKind::Refused),
            "{error}"
        );
        assert!(error.to_string().contains(&url), "{error}");
    }
    let error = refusal(&web.url("ws/nowhere"), Options::default()).await;
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("/nowhere"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn options_that_do_not_go_with_the_url_are_refused_before_anything_is_sent() {
    for options in [
        Options { client_id: Some("x".into()), ..Options::default() },
        Options { authentication: Authentication::ScramSha256, ..Options::default() },
        Options { session_expiry_s: 5, ..Options::default() },
    ] {
        let error = refusal("tcp://127.0.0.1:1", options).await;
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains("mqtt://127.0.0.1:1883"), "{error}");
    }
    let odd =
        [("tcp", None, Some(&b"x"[..])), ("udp", Some("x"), Some(b"\xff")), ("ws", Some("a:b"), Some(b"x"))];
    for (scheme, user_name, password) in odd {
        let options = Options {
            user_name: user_name.map(Into::into),
            password: password.map(Into::into),
            ..Options::default()
        };
        let error = refusal(&format!("{scheme}://127.0.0.1:1"), options).await;
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    let unnamed = Options { clean_start: false, ..Options::default() };
    assert!(refusal("mqtt://127.0.0.1:1", unnamed).await.to_string().contains("client id"));
    let old = Options {
        version: Version::V3_1_1,
        client_id: Some("x".into()),
        session_expiry_s: 5,
        ..Options::default()
    };
    assert!(refusal("mqtt://127.0.0.1:1", old).await.to_string().contains("clean_start"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bad_topics_and_filters_cost_no_connection() {
    let hub = Hub::start();
    for kind in ["mqtt", "ws/ws", "tcp", "udp"] {
        let client = hub.connect(kind).await;
        for topic in ["", "a/#", "nul\0"] {
            let error = client.publish(Message::new(topic, "x")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{kind}: {error}");
        }
        for filter in ["", "a/#/b", "$share//a"] {
            let error = client.subscribe(filter, QoS::AtMostOnce).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{kind}: {error}");
            assert!(error.to_string().contains(filter), "{kind}: {error}");
        }
        let deep = ["a"; 200].join("/");
        let error = client.subscribe(&deep, QoS::AtMostOnce).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{kind}: {error}");
        client.publish(Message::new("still/there", "x").qos(QoS::AtLeastOnce)).await.unwrap();
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn json_has_no_qos_2() {
    let hub = Hub::start();
    let client = hub.connect("tcp").await;
    let error = client.publish(Message::new("t", "x").qos(QoS::ExactlyOnce)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("QoS 2"), "{error}");
    assert_eq!(client.subscribe("t", QoS::ExactlyOnce).await, Ok(QoS::AtLeastOnce));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_only_the_hub_may_publish_is_refused() {
    let hub = Hub::start();
    for kind in ["mqtt", "ws/ws", "tcp", "udp"] {
        let client = hub.connect(kind).await;
        let error = client.publish(Message::new("$SYS/mine", "x").qos(QoS::AtLeastOnce)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{kind}: {error}");
    }
    // At QoS 0 nobody waits for an answer; JSON gives one all the same, and the end brings it.
    for kind in ["ws/ws", "tcp", "udp"] {
        let client = hub.connect(kind).await;
        client.publish(Message::new("$SYS/mine", "x")).await.unwrap();
        let error = client.close().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{kind}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_too_large_for_the_way_is_refused() {
    let hub = Hub::with(|config| config.limits.packet_bytes_max = 10_000);
    let client = hub.connect("mqtt").await;
    let error = client.publish(Message::new("t", vec![0; 10_000]).qos(QoS::AtLeastOnce)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && error.to_string().contains("10000 bytes"), "{error}");
    client.publish(Message::new("t", vec![0; 9_000]).qos(QoS::AtLeastOnce)).await.unwrap();
    client.publish(Message::new("t", vec![0; 10_000])).await.unwrap();
    assert_eq!(client.close().await.unwrap_err().kind(), ErrorKind::Refused);

    let client = hub.connect("udp").await;
    let error = client.publish(Message::new("t", vec![0; 65_000]).qos(QoS::AtLeastOnce)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("datagram"), "{error}");
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_end_of_the_hub_is_the_end_of_the_client_and_says_why() {
    for kind in ["mqtt", "ws/mqtt", "ws/ws", "tcp"] {
        let mut hub = Hub::start();
        let mut client = hub.connect(kind).await;
        client.subscribe("t", QoS::AtMostOnce).await.unwrap();
        tokio::task::spawn_blocking(move || hub.stop()).await.unwrap();
        let ended = tokio::time::timeout(DEADLINE, client.next_message()).await.expect("it ends in time");
        assert_eq!(ended, None, "{kind}");
        let error = client.error().expect("it has a reason");
        assert_eq!(error.kind(), ErrorKind::Lost, "{kind}: {error}");
        if kind == "mqtt" {
            assert!(error.to_string().contains("Server shutting down"), "{error}");
        }
        assert_eq!(client.publish(Message::new("t", "x")).await.unwrap_err(), error, "{kind}");
    }
}
