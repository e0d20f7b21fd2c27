//! A market: a thousand prices that wander, thousands of changes a second, and a page that shows the latest of each.
//!
//! | topic | payload | |
//! | --- | --- | --- |
//! | `market/SYMBOL/open` | `{"name": …, "price": …}`: what it is and where the day began | retained |
//! | `market/SYMBOL/price` | the price, a number | one for each change |
//! | `market/rate` | how many changes a second the exchange made | once a second |
//!
//! The prices are made up (module [`walk`]). The page asks for `latest_per_topic`: of what it has not read yet the hub
//! keeps the latest price of each symbol, so a page that is busy or far away is never behind, it only sees fewer steps.

mod exchange;
mod symbol;
mod walk;

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use example_shared::{File, HubArguments, run};

use exchange::Exchange;

const FILES: [File; 6] = [
    ("/", include_str!("../web/index.html")),
    ("/quotes.css", include_str!("../web/quotes.css")),
    ("/quotes.js", include_str!("../web/quotes.js")),
    ("/board.js", include_str!("../web/board.js")),
    ("/tile.js", include_str!("../web/tile.js")),
    ("/gauge.js", include_str!("../web/gauge.js")),
];

/// With it a page that comes has a line of each symbol at once.
const SETTINGS: &str = "[[history]]\nfilter = \"market/+/price\"\nmessages = 60\n";

/// Publishes prices that wander, and serves a page that shows the latest of each.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8094")]
    page: SocketAddr,
    /// How many symbols are traded.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    symbols: u16,
    /// How many prices change each second, all symbols together.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(0..=200_000))]
    changes: u32,
    /// Draw the same prices again: any number.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let rng = arguments.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
    let mut exchange = Exchange::new(arguments.symbols, arguments.changes, rng);
    run(&arguments.hub, SETTINGS, arguments.page, &FILES, async |hub| exchange.run(&hub.mqtt).await).await
}
