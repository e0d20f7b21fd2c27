//! A file from one machine to another, with the connection cut in the middle.
//!
//! ```text
//!   Ann's machine, 127.0.0.2          the hub          Bob's machine, 127.0.0.3
//!   trefoil send film.bin  ─ relay ─→  joins  ←─ relay ─  trefoil receive 7-amber-canoe
//!                           slow, cut                slow, cut
//! ```
//!
//! The two machines are loopback addresses with a folder each, and what runs there are the commands that anybody types
//! ([`transfer`]). Between them and the hub stand relays ([`relay`]) that make the network slow, and cut it.
//!
//! | topic | payload | |
//! | --- | --- | --- |
//! | `file-drop/state` | how far it is, what the relays have carried, what the commands have said | four times a second |
//! | `file-drop/cut` | anything: cut the network now | by the page |
//! | `file-drop/rate` | MiB a second, on each way | by the page |
//! | `file-drop/again` | anything: send another file | by the page |

mod desk;
mod folder;
mod machine;
mod program;
mod relay;
mod transfer;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use example_shared::{File, Hub, HubArguments, Page, stopped};
use serde_json::{Value, json};

use desk::Desk;
use machine::Network;
use transfer::Parcel;

const FILES: [File; 3] = [
    ("/", include_str!("../web/index.html")),
    ("/drop.css", include_str!("../web/drop.css")),
    ("/drop.js", include_str!("../web/drop.js")),
];

/// Sends a file from one machine to another and cuts the connection in the middle.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8101")]
    page: SocketAddr,
    /// The program `trefoil`. Without it the one beside this program, the one that a shell finds, or one that is built
    /// now.
    #[arg(long, value_name = "FILE")]
    trefoil: Option<PathBuf>,
    /// How large the file is.
    #[arg(long, value_name = "MIB", default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=4096))]
    mib: u32,
    /// How much passes on each way.
    #[arg(long, value_name = "MIB/S", default_value_t = 4.0)]
    rate: f64,
    /// Where the network is cut by itself, in parts of a hundred of the file; 0 for nowhere.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=99))]
    cut_at: u8,
    /// End after one file, and print how it was as a line of JSON. The exit code says whether it arrived whole.
    #[arg(long)]
    once: bool,
    /// What is in the file: the same seed makes the same one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let trefoil = program::find(arguments.trefoil.as_deref()).await?;
    let hub = arguments.hub.find_or_start().await?;
    let ended = serve(&arguments, trefoil, &hub).await;
    hub.stop().await;
    let Some(result) = ended? else { return Ok(ExitCode::SUCCESS) };
    writeln!(io::stdout(), "{result}")?;
    Ok(if result["whole"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(arguments: &Arguments, trefoil: PathBuf, hub: &Hub) -> io::Result<Option<Value>> {
    let configuration = json!({ "hub": hub.websocket });
    let page = Page::bind(arguments.hub.page_address(arguments.page), &configuration, &FILES).await?;
    let network = Network::open(hub.address().await?, arguments.rate).await?;
    let Arguments { mib, seed, cut_at, .. } = *arguments;
    let desk = Desk::new(network, trefoil, Parcel { number: 1, mib, seed, cut_at });
    page.announce(&arguments.hub)?;
    tokio::select! {
        ended = stopped() => ended.map(|()| None),
        served = page.serve() => served.map(|()| None),
        never = desk.run_forever(&hub.mqtt) => match never {},
        result = desk.transfers(arguments.once) => Ok(Some(result)),
    }
}
