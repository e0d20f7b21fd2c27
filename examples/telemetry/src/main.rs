//! This machine's own load, live: published over MQTT, shown in a browser over WebSocket.
//!
//! Once a second the program reads `/proc` ([`sampler`]) and publishes each value, retained, on a topic of its own:
//!
//! | topic | payload |
//! | --- | --- |
//! | `telemetry/HOST/cpu/N` | how busy core N is, in percent |
//! | `telemetry/HOST/memory` | bytes in total, in use, available, and of swap in use |
//! | `telemetry/HOST/disk/NAME`, `…/network/NAME` | bytes in and out, for each second and since the start |
//! | `telemetry/HOST/status` | `online`, or `offline` through the will |
//!
//! It also serves the page that draws them ([`page`]); the page gets the values from the hub, not from here.

mod counters;
mod cpu;
mod disk;
mod memory;
mod network;
mod page;
mod publisher;
mod sampler;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::time::{MissedTickBehavior, interval, sleep};

use page::Page;
use publisher::Publisher;
use sampler::{Sampler, Texts, topic_level};

const PERIOD: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(2);

/// Publishes this machine's load over MQTT once a second, and serves a page that shows it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The hub's MQTT address.
    #[arg(long, default_value = "127.0.0.1:1883")]
    mqtt: String,
    /// The hub's WebSocket, as the browser reaches it.
    #[arg(long, default_value = "ws://127.0.0.1:8080/ws")]
    websocket: String,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8090")]
    page: SocketAddr,
    /// The name under which to publish; by default this machine's own.
    #[arg(long)]
    host: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let page = Page::bind(arguments.page, &arguments.websocket).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot serve the page on {}: {error}", arguments.page))
    })?;
    writeln!(io::stdout(), "the page is at http://{}/", page.address()?)?;
    let root = format!("telemetry/{}", arguments.host.as_deref().map_or_else(host_name, topic_level));
    tokio::select! {
        served = page.serve() => served,
        never = publish_forever(&arguments.mqtt, &root) => match never {},
    }
}

/// Publishes as long as the hub is there, and waits for it when it is not.
async fn publish_forever(address: &str, root: &str) -> std::convert::Infallible {
    loop {
        let error = publish(address, root).await;
        // Nobody reads this program's errors after it has lost its terminal, so a failure to write them is none.
        let _ = writeln!(io::stderr(), "hub at {address}: {error}; trying again");
        sleep(RETRY).await;
    }
}

/// Publishes until something fails, and gives that.
async fn publish(address: &str, root: &str) -> io::Error {
    let client_id = root.replace('/', "-");
    let mut publisher = match Publisher::connect(address, &client_id, &format!("{root}/status")).await {
        Ok(publisher) => publisher,
        Err(error) => return error,
    };
    let mut sampler = Sampler::new(&Texts::read(), Instant::now());
    let mut seconds = interval(PERIOD);
    // After the machine has slept, one reading is enough.
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    seconds.tick().await;
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            error = publisher.ended() => return error,
        }
        for reading in sampler.sample(&Texts::read(), Instant::now()) {
            publisher.publish(&format!("{root}/{}", reading.topic), reading.payload.as_bytes());
        }
        if let Err(error) = publisher.flush().await {
            return error;
        }
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    topic_level(name.trim())
}
