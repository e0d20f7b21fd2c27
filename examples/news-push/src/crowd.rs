//! The readers: WebSocket clients, each with a connection of its own, that do nothing but read.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{interval, sleep};
use trefoil_client::{Client, Error, Message, Options, QoS};

use crate::reach::Reach;

const ARTICLES: &str = "news/articles";
const RETRY: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(1);

/// Readers come one after another, so fast that a thousand are there within seconds.
const BETWEEN: Duration = Duration::from_millis(1);

/// An article id is what the page made, and no longer.
const ID_BYTES_MAX: usize = 64;

/// Opens the readers, and publishes how far each article came.
pub(crate) async fn run(url: &str, readers: u32) -> Infallible {
    let (arrivals, mut arrived) = channel(1024);
    let crowd = tokio::spawn(gather(url.to_owned(), readers, arrivals));
    let mut reach = Reach::new(readers);
    loop {
        let Err(error) = tell(url, &mut reach, &mut arrived).await;
        debug_assert!(!crowd.is_finished() || readers == 0, "the readers read for ever");
        // Nobody reads this program's errors after it has lost its terminal, so a failure to write is none.
        let _ = writeln!(io::stderr(), "the count of readers: {error}; trying again");
        sleep(RETRY).await;
    }
}

async fn gather(url: String, readers: u32, arrivals: Sender<(String, Instant)>) {
    let mut crowd = tokio::task::JoinSet::new();
    for number in 1..=readers {
        crowd.spawn(read_forever(url.clone(), number == 1, arrivals.clone()));
        sleep(BETWEEN).await;
    }
    let _ = writeln!(io::stdout(), "{readers} readers are on their way");
    crowd.join_all().await;
}

/// Reads as long as the hub is there, and waits for it when it is not. What goes wrong for all is told by the first.
async fn read_forever(url: String, is_first: bool, arrivals: Sender<(String, Instant)>) {
    loop {
        let Err(error) = read(&url, &arrivals).await;
        if is_first {
            let _ = writeln!(io::stderr(), "the first reader: {error}; trying again");
        }
        sleep(RETRY).await;
    }
}

async fn read(url: &str, arrivals: &Sender<(String, Instant)>) -> Result<Infallible, Error> {
    let mut client = Client::connect(url, Options::default()).await?;
    client.subscribe(ARTICLES, QoS::AtLeastOnce).await?;
    while let Some(message) = client.next_message().await {
        // A retained one is old news to the crowd.
        if let Some(id) = id_of(&message).filter(|_| !message.retain) {
            // It waits when the count is behind; a count that has ended takes the readers with it.
            let _ = arrivals.send((id, Instant::now())).await;
        }
    }
    Err(client.error().expect("a connection that has ended says why"))
}

fn id_of(message: &Message) -> Option<String> {
    let article: Value = serde_json::from_slice(&message.payload).ok()?;
    article["id"].as_str().filter(|id| id.len() <= ID_BYTES_MAX).map(str::to_owned)
}

async fn tell(
    url: &str,
    reach: &mut Reach,
    arrived: &mut Receiver<(String, Instant)>,
) -> Result<Infallible, Error> {
    let mut client = Client::connect(url, Options::default()).await?;
    let mut looks = interval(LOOK);
    loop {
        let told = tokio::select! {
            Some((id, at)) = arrived.recv() => reach.arrived(&id, at).into_iter().collect(),
            _ = looks.tick() => reach.overdue(Instant::now()),
            // Without a subscription no message comes; that the waiting ends says that the connection did.
            _ = client.next_message() => Vec::new(),
        };
        if let Some(error) = client.error() {
            return Err(error);
        }
        for reached in told {
            client.publish(Message::new("news/reach", reached.to_string()).qos(QoS::AtLeastOnce)).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_article() {
        let id = |payload: &str| id_of(&Message::new(ARTICLES, payload));
        assert_eq!(id(r#"{"id":"7","title":"x"}"#).as_deref(), Some("7"));
        assert_eq!(id("news"), None);
        assert_eq!(id(r#"{"id":7}"#), None);
        assert_eq!(id(&format!(r#"{{"id":"{}"}}"#, "x".repeat(65))), None);
    }
}
