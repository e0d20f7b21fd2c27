//! A smart factory: machines that report every piece they make, and workers that share the inspection of all of them.
//!
//! | topic | payload | who |
//! | --- | --- | --- |
//! | `plant/MACHINE/pieces` | a piece with its number and its measure; QoS 1 | each machine, a thousand times a second |
//! | `$share/workers/plant/+/pieces` | the same, each piece to one worker | the workers subscribe to it |
//! | `plant/MACHINE/request` | what is to be done; answered at the response topic | the page, or anybody |
//! | `plant/alarms/MACHINE/KIND` | an alarm; retained, with a message expiry | the machine |
//! | `plant/crew` | `hire`, `release NAME`, `kill NAME` | the page, or anybody |
//! | `plant/report` | figures, twice a second; retained | this program |
//!
//! Two parties hear of every piece. The recorder ([`recorder`]) has an ordinary subscription and checks that the numbers
//! of each machine come in their order without a gap ([`order`]). The workers ([`crew`]) have a shared one and enter
//! what they have inspected into a ledger ([`ledger`]), which knows whether each piece was handled, and how often.

mod crew;
mod ledger;
mod machine;
mod order;
mod piece;
mod plant;
mod recorder;
mod report;
mod request;
mod shift;
mod summary;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use example_shared::{File, HubArguments, Page, stopped};
use tokio::time::sleep;

use crate::plant::{Plant, Settings};

const FILES: [File; 5] = [
    ("/", include_str!("../web/index.html")),
    ("/plant.css", include_str!("../web/plant.css")),
    ("/plant.js", include_str!("../web/plant.js")),
    ("/alarms.js", include_str!("../web/alarms.js")),
    ("/requests.js", include_str!("../web/requests.js")),
];

/// What the own hub has beside its defaults: room for the pieces of a minute, in case no worker is there.
const HUB_SETTINGS: &str =
    "[limits]\nsession_queue_messages_max = 1000000\nsession_queue_bytes_max = \"256 MiB\"\n";

/// Runs machines, workers that share their pieces, and a page that shows what arrives and whether anything is missing.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8092")]
    page: SocketAddr,
    /// How many machines there are.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    machines: u16,
    /// Pieces that each machine makes in a second, until it is told otherwise.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=i64::from(request::SPEED_MAX)))]
    speed: u32,
    /// How many workers there are at first.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    workers: u16,
    /// End after so many seconds; without it, at Ctrl-C.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,
    /// For how many seconds the alarms of the machines are of interest.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    alarm_valid_s: u32,
    /// No tool wears out by chance.
    #[arg(long)]
    quiet: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let hub = arguments.hub.find_or_start_with(HUB_SETTINGS).await?;
    let configuration = serde_json::json!({ "hub": hub.websocket });
    let page = Page::bind(arguments.hub.page_address(arguments.page), &configuration, &FILES).await?;
    let settings = Settings {
        url: hub.mqtt.clone(),
        machines: arguments.machines,
        speed: arguments.speed,
        alarm_valid_s: arguments.alarm_valid_s,
        quiet: arguments.quiet,
    };
    let plant = Arc::new(Plant::new(settings));
    let ready = || {
        page.announce(&arguments.hub)?;
        // It ends with the program.
        tokio::spawn(page.serve());
        Ok(())
    };
    let summary = shift::run(&plant, arguments.workers, ready, until(arguments.duration)).await;
    let summary = summary.map_err(io::Error::other)?;
    let mut out = io::stdout();
    if arguments.json {
        writeln!(out, "{}", summary.json())?;
    } else {
        writeln!(out, "{summary}")?;
    }
    hub.stop().await;
    if summary.is_sound() { Ok(()) } else { Err(io::Error::other("a piece is missing or out of order")) }
}

/// Resolves at Ctrl-C, or when the time is over.
async fn until(duration_s: Option<u32>) -> io::Result<()> {
    match duration_s {
        None => stopped().await,
        Some(seconds) => tokio::select! {
            ended = stopped() => ended,
            () = sleep(Duration::from_secs(seconds.into())) => Ok(()),
        },
    }
}
