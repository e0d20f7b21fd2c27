//! A web server on a machine that nobody can reach, opened in a browser through a stream of the hub.
//!
//! ```text
//!   here (module door)                 the hub                        the workshop, behind NAT (module workshop)
//!   browser ─ 127.0.0.1:8102 ─ dials ─→ stream workshop/web ←─ dials ─ the listening end ─ its web server
//! ```
//!
//! Both ends dial the hub, so that nobody has to be reachable but the hub. The two ends are what `trefoil connect` and
//! `trefoil listen` are (module [`tunnel`]), and the page is served by the workshop.

mod door;
mod tunnel;
mod workshop;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser;
use example_shared::{File, Hub, HubArguments, Page, stopped};
use serde_json::json;

use tunnel::Traffic;

const FILES: [File; 3] = [
    ("/", include_str!("../web/index.html")),
    ("/workshop.css", include_str!("../web/workshop.css")),
    ("/workshop.js", include_str!("../web/workshop.js")),
];

/// Under this name the workshop listens.
const NAME: &str = "workshop/web";

/// Opens the web server of a machine behind NAT through a stream of the hub.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where the workshop's web server is opened here.
    #[arg(long, default_value = "127.0.0.1:8102")]
    page: SocketAddr,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let hub = arguments.hub.find_or_start().await?;
    let ended = serve(&arguments, &hub).await;
    hub.stop().await;
    ended
}

async fn serve(arguments: &Arguments, hub: &Hub) -> io::Result<()> {
    // Any port will do, since nobody but the listening end beside it knows.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let traffic = Arc::new(Traffic::default());
    let page = Page::bind(nowhere, &json!({ "stream": NAME }), &FILES).await?;
    let server = page.address()?;
    let page = workshop::add_to(page, traffic.clone());
    let address = format!("tcp://{}", hub.address().await?);
    workshop::listen(address.clone(), NAME, server, traffic)?;
    let door = door::open(arguments.hub.page_address(arguments.page), address, NAME)?;
    let mut out = io::stdout();
    writeln!(out, "the workshop's web server is at {server}, and nobody outside knows")?;
    writeln!(out, "the page is at http://{door}/")?;
    tokio::select! {
        ended = stopped() => ended,
        served = page.serve() => served,
    }
}
