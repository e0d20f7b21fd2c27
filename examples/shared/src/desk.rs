//! The desk of an example: where its page is told how things stand, and asks for something.

use std::convert::Infallible;
use std::time::Duration;

use serde_json::Value;
use tokio::time::interval;
use trefoil_client::{Client, Error, Message, Options, QoS};

use crate::forever;

/// Serves at the hub for as long as that is there, and waits for it when it is not: publishes the `state` on this topic
/// with each period, and has what comes on the filters `taken`.
pub async fn desk(
    url: &str,
    filters: &[&str],
    (topic, period): (&str, Duration),
    state: impl Fn() -> Value,
    taken: impl Fn(&Message),
) -> Infallible {
    let serve = async || -> Result<Infallible, Error> {
        let mut client = Client::connect(url, Options::default()).await?;
        for filter in filters {
            client.subscribe(filter, QoS::AtMostOnce).await?;
        }
        let mut ticks = interval(period);
        loop {
            tokio::select! {
                _ = ticks.tick() => client.publish(Message::new(topic, state().to_string())).await?,
                message = client.next_message() => match message {
                    Some(message) => taken(&message),
                    None => return Err(client.error().expect("a connection that has ended says why")),
                },
            }
        }
    };
    forever("desk", serve).await
}
