//! JSON datagrams to a hub that loses some of them.

#![allow(clippy::unwrap_used)]

use tokio::net::UdpSocket;
use trefoil_client::{Client, Message, Options, QoS};

#[tokio::test]
async fn what_is_not_acknowledged_is_sent_again() {
    let hub = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", hub.local_addr().unwrap());
    let hub = tokio::spawn(async move {
        let mut heard: Vec<String> = Vec::new();
        let mut buffer = [0; 2048];
        loop {
            let (len, from) = hub.recv_from(&mut buffer).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            // Everything has to be said twice.
            let is_new = heard.last() != Some(&text);
            heard.push(text.clone());
            if is_new {
                continue;
            }
            let answer = match text.as_str() {
                r#"{"ping":"alive"}"# => r#"{"pong":"alive"}"#,
                r#"{"ping":"end"}"# => r#"{"pong":"end"}"#,
                _ => r#"{"ack":1}"#,
            };
            hub.send_to(answer.as_bytes(), from).await.unwrap();
            if answer.contains("end") {
                return heard;
            }
        }
    });
    let client = Client::connect(&url, Options::default()).await.unwrap();
    client.publish(Message::new("t", "x").qos(QoS::AtLeastOnce)).await.unwrap();
    client.close().await.unwrap();
    let publish = r#"{"pub":"t","data":"x","qos":1,"id":1}"#;
    let (alive, end) = (r#"{"ping":"alive"}"#, r#"{"ping":"end"}"#);
    assert_eq!(hub.await.unwrap(), [alive, alive, publish, publish, end, end]);
}
