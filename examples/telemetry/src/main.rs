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
//! It also serves the page that draws them; the page gets the values from the hub, not from here.

mod counters;
mod cpu;
mod disk;
mod memory;
mod network;
mod sampler;

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;
use example_shared::{File, HubArguments, run};
use tokio::time::{MissedTickBehavior, interval, sleep};
use trefoil_client::{Client, Error, Message, Options, Will};

use sampler::{Sampler, Texts, topic_level};

const PERIOD: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(2);
const FILES: [File; 4] = [
    ("/", include_str!("../web/index.html")),
    ("/telemetry.css", include_str!("../web/telemetry.css")),
    ("/telemetry.js", include_str!("../web/telemetry.js")),
    ("/chart.js", include_str!("../web/chart.js")),
];
/// Soon after the program has died, its status says so.
const KEEP_ALIVE_S: u16 = 5;

/// Publishes this machine's load over MQTT once a second, and serves a page that shows it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
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
    let root = format!("telemetry/{}", arguments.host.as_deref().map_or_else(host_name, topic_level));
    run(&arguments.hub, "", arguments.page, &FILES, async |hub| publish_forever(&hub.mqtt, &root).await).await
}

/// Publishes as long as the hub is there, and waits for it when it is not.
async fn publish_forever(url: &str, root: &str) -> Infallible {
    loop {
        let Err(error) = publish(url, root).await;
        // Nobody reads this program's errors after it has lost its terminal, so a failure to write them is none.
        let _ = writeln!(io::stderr(), "{error}; trying again");
        sleep(RETRY).await;
    }
}

/// Publishes until the connection ends.
async fn publish(url: &str, root: &str) -> Result<Infallible, Error> {
    let retained = |topic: &str, payload: &str| Message::new(format!("{root}/{topic}"), payload).retain(true);
    let options = Options {
        client_id: Some(root.replace('/', "-")),
        keep_alive_s: KEEP_ALIVE_S,
        will: Some(Will { message: retained("status", "offline"), ..Will::default() }),
        ..Options::default()
    };
    let mut client = Client::connect(url, options).await?;
    client.publish(retained("status", "online")).await?;
    let mut sampler = Sampler::new(&Texts::read(), Instant::now());
    let mut seconds = interval(PERIOD);
    // After the machine has slept, one reading is enough.
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    seconds.tick().await;
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            // Without a subscription no message comes; that the waiting ends says that the connection did.
            _ = client.next_message() => {}
        }
        if let Some(error) = client.error() {
            return Err(error);
        }
        for reading in sampler.sample(&Texts::read(), Instant::now()) {
            client.publish(retained(&reading.topic, &reading.payload)).await?;
        }
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    topic_level(name.trim())
}
