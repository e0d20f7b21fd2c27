//! What the page is told and may ask for: a client of the hub like any other.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use example_shared::desk;
use serde_json::{Value, json};
use tokio::sync::Notify;
use trefoil_client::Message;

use crate::machine::{Machine, Network};
use crate::transfer::{self, Parcel, Transfer};

const PERIOD: Duration = Duration::from_millis(250);

pub(crate) struct Desk {
    network: Network,
    trefoil: PathBuf,
    first: Parcel,
    transfer: Arc<Transfer>,
    again: Notify,
}

impl Desk {
    pub(crate) fn new(network: Network, trefoil: PathBuf, first: Parcel) -> Desk {
        Desk { network, trefoil, first, transfer: Arc::default(), again: Notify::new() }
    }

    /// Sends one file, or one after the other whenever somebody asks for it. Returns what the only one came to.
    pub(crate) async fn transfers(&self, only_one: bool) -> Value {
        let mut parcel = self.first;
        loop {
            transfer::run(&self.trefoil, &self.network, parcel, &self.transfer).await;
            if only_one {
                return self.transfer.json();
            }
            self.again.notified().await;
            parcel = Parcel { number: parcel.number + 1, seed: parcel.seed + 1, ..parcel };
        }
    }

    /// Serves for as long as the hub is there, and waits for it when it is not.
    pub(crate) async fn run_forever(&self, url: &str) -> Infallible {
        let filters = ["file-drop/cut", "file-drop/rate", "file-drop/again"];
        desk(url, &filters, ("file-drop/state", PERIOD), || self.state(), |message| self.take(message)).await
    }

    fn take(&self, message: &Message) {
        match &*message.topic {
            "file-drop/cut" => {
                self.network.cut();
                self.transfer.was_cut();
            }
            "file-drop/rate" => {
                if let Ok(rate) = serde_json::from_slice(&message.payload) {
                    self.network.set_rate(rate);
                }
            }
            // It is kept until the transfer that is under way has ended, once.
            _ => self.again.notify_one(),
        }
    }

    fn state(&self) -> Value {
        let machine = |machine: &Machine| {
            let seen = &machine.relay.seen;
            json!({
                "address": machine.relay.address.to_string(),
                "bytes": seen.bytes.load(Ordering::Relaxed),
                "connections": seen.connections.load(Ordering::Relaxed),
                "last": seen.last(),
            })
        };
        json!({
            "transfer": self.transfer.json(),
            "rate": self.network.rate(),
            "cut": self.network.is_cut(),
            "ann": machine(&self.network.ann),
            "bob": machine(&self.network.bob),
        })
    }
}
