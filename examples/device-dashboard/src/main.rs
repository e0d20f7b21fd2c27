//! A greenhouse with a station at each bed: sensors come in over MQTT, gauges and charts go out over WebSocket, and the
//! switch of a pump goes back to the device.
//!
//! | topic | payload | |
//! | --- | --- | --- |
//! | `greenhouse/BED/sensor/temperature` | °C | once a second |
//! | `greenhouse/BED/sensor/humidity` | % of the air | once a second |
//! | `greenhouse/BED/sensor/soil` | % of water in the soil | once a second |
//! | `greenhouse/BED/pump` | `on` or `off`, as the station has it | retained |
//! | `greenhouse/BED/pump/set` | `on` or `off`: what somebody wants | |
//! | `greenhouse/BED/status` | `online`, or `offline` through the will | retained |
//! | `greenhouse/BED/plug` | `off` kills the station without a goodbye, `on` brings it back | |

mod climate;
mod station;

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use example_shared::{File, FuseBox, HubArguments, run};

const FILES: [File; 5] = [
    ("/", include_str!("../web/index.html")),
    ("/dashboard.css", include_str!("../web/dashboard.css")),
    ("/dashboard.js", include_str!("../web/dashboard.js")),
    ("/station.js", include_str!("../web/station.js")),
    ("/instruments.js", include_str!("../web/instruments.js")),
];

/// With it a page that comes has the last two minutes at once.
const SETTINGS: &str = "[[history]]\nfilter = \"greenhouse/+/sensor/#\"\nmessages = 120\n";

const BEDS: [&str; 6] = ["tomatoes", "cucumbers", "peppers", "basil", "strawberries", "seedlings"];

/// Runs the stations of a greenhouse as MQTT clients, and serves a page that shows and switches them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8095")]
    page: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    run(&arguments.hub, SETTINGS, arguments.page, &FILES, async |hub| {
        let plugs = BEDS.map(|bed| (bed, station::plug_in(&hub.mqtt, bed)));
        FuseBox::new("greenhouse", "plug", plugs).run(&hub.mqtt).await
    })
    .await
}
