//! The doorman: a client that has nothing but a TCP connection and lines of text, as a person at netcat has.
//!
//! What he sends and receives is published as it is, by a second client, so that the page can show it; and what somebody
//! types there he sends.

use std::convert::Infallible;
use std::io;

use example_shared::{Hub, forever};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use trefoil_client::{Client, Message, Options, QoS};

use crate::guests::Guests;

/// Of a line so much is shown.
const SHOWN_CHARS_MAX: usize = 400;

/// Stands at the door as long as the hub is there, and waits for it when it is not.
pub(crate) async fn stand_forever(hub: &Hub) -> Infallible {
    forever("the doorman", async || stand(hub).await).await
}

async fn stand(hub: &Hub) -> io::Result<Infallible> {
    let mut mirror = Client::connect(&hub.mqtt, Options::default()).await.map_err(io::Error::other)?;
    mirror.subscribe("talk-wire/type", QoS::AtMostOnce).await.map_err(io::Error::other)?;
    let (input, mut output) = TcpStream::connect(hub.address().await?).await?.into_split();
    let mut lines = BufReader::new(input).lines();
    for line in [r#"{"hello":{"info":{"name":"doorman"}}}"#, r#"{"sub":"talk","no_local":true}"#] {
        say(&mut output, &mirror, line).await?;
    }
    let mut guests = Guests::default();
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let line = line?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let heard: Value = serde_json::from_str(&line).unwrap_or_default();
                let topic = heard["topic"].as_str().unwrap_or_default();
                // Whoever types a subscription to everything would see each line in the next one, for ever.
                if !topic.starts_with("talk-wire/") {
                    show(&mirror, '<', &line).await?;
                }
                let said = heard["data"].as_str().filter(|_| topic == "talk");
                let answer = said.and_then(|said| guests.answer(said));
                if let Some(text) = answer {
                    let said = json!({"pub": "talk", "data": format!("doorman: {text}")});
                    say(&mut output, &mirror, &said.to_string()).await?;
                }
            }
            typed = mirror.next_message() => {
                let Some(typed) = typed else {
                    return Err(io::Error::other(mirror.error().expect("a connection that has ended says why")));
                };
                let text = String::from_utf8_lossy(&typed.payload);
                say(&mut output, &mirror, text.lines().next().unwrap_or_default()).await?;
            }
        }
    }
}

/// Sends a line, and shows that he does.
async fn say(output: &mut OwnedWriteHalf, mirror: &Client, line: &str) -> io::Result<()> {
    show(mirror, '>', line).await?;
    output.write_all(format!("{line}\n").as_bytes()).await
}

async fn show(mirror: &Client, direction: char, line: &str) -> io::Result<()> {
    let shown: String = line.chars().take(SHOWN_CHARS_MAX).collect();
    let message = Message::new("talk-wire/line", format!("{direction} {shown}"));
    mirror.publish(message).await.map_err(io::Error::other)
}
