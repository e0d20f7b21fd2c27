//! What comes from the page, and what goes there beside the game: hands on paddles, the loss that is wanted, counts.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use example_shared::desk;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use trefoil_client::Message;

use crate::player::{SIDES, Tally};
use crate::relay::Counts;

const PERIOD: Duration = Duration::from_millis(500);

pub(crate) struct Desk {
    pub(crate) hands: [watch::Sender<Option<(f64, Instant)>>; 2],
    pub(crate) loss: watch::Sender<f64>,
    pub(crate) counts: [Arc<Counts>; 2],
    pub(crate) tallies: [Arc<Tally>; 2],
}

impl Desk {
    /// Serves for as long as the hub is there, and waits for it when it is not.
    pub(crate) async fn run_forever(&self, url: &str) -> Infallible {
        let filters = ["pong/hand/+", "pong/loss"];
        desk(url, &filters, ("pong/net", PERIOD), || self.state(), |message| self.take(message)).await
    }

    fn take(&self, message: &Message) {
        let value: Option<f64> = serde_json::from_slice(&message.payload).ok();
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        if message.topic == "pong/loss" {
            self.loss.send_replace(value.clamp(0.0, 100.0));
        }
        let side = SIDES.iter().position(|side| message.topic.strip_prefix("pong/hand/") == Some(side));
        if let Some(side) = side {
            self.hands[side].send_replace(Some((value.clamp(0.0, 1.0), Instant::now())));
        }
    }

    /// What has become of the datagrams.
    pub(crate) fn state(&self) -> Value {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [left, right] = [0, 1].map(|side| {
            let (counts, tally) = (&self.counts[side], &self.tallies[side]);
            json!({
                "passed": read(&counts.passed),
                "lost": read(&counts.lost),
                "late": read(&counts.late),
                "received": read(&tally.received),
                "missed": read(&tally.missed),
            })
        });
        json!({ "loss": *self.loss.borrow(), "left": left, "right": right })
    }
}
