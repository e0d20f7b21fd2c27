//! Three devices that speak neither MQTT nor WebSocket, on a map and a chart. What the hub is told of them is
//! [`settings`]: how their bytes are cut into frames, and which topics these go to and come from.
//!
//! ```text
//!   pump   registers, a length in front     ─TCP→  the hub            site/pump-7/raw      ←→  the translator
//!   ferry  NMEA 0183, a line each           ─TCP→  cuts into          site/ferry/nmea/RMC      (translator) makes values
//!   gauge  eight bytes behind a start mark  ←TCP─  frames, dials      site/gauge/raw           of frames, and frames of
//!                                                                     site/*/command           what somebody sets
//! ```
//!
//! | topic | payload | |
//! | --- | --- | --- |
//! | `site/DEVICE/status` | `{"status":"online", …}`, by the hub | retained |
//! | `site/DEVICE/raw`, `site/DEVICE/nmea/KIND` | a frame, as the device has sent it | |
//! | `site/DEVICE/command` | a frame for the device | |
//! | `site/DEVICE/values` | what the frame says, as JSON | in the history |
//! | `site/DEVICE/set` | what somebody wants: `{"rpm":1500}`, `{"hold":true}`, `{"light":true}` | |
//! | `site/DEVICE/answer` | what the device has said to it | |
//! | `site/DEVICE/plug` | `off` pulls the device's cable, `on` puts it back | |

mod device;
mod gauge;
mod nmea;
mod registers;
mod settings;
mod track;
mod translator;

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use example_shared::{File, FuseBox, HubArguments, Page, stopped};
use tokio::net::TcpListener;

use device::ferry::Ferry;
use device::gauge::Gauge;
use device::plug_in;
use device::pump::Pump;

const FILES: [File; 5] = [
    ("/", include_str!("../web/index.html")),
    ("/site.css", include_str!("../web/site.css")),
    ("/site.js", include_str!("../web/site.js")),
    ("/map.js", include_str!("../web/map.js")),
    ("/chart.js", include_str!("../web/chart.js")),
];

/// Runs a pump, a ferry and a gauge that know nothing of MQTT, and serves a page that shows and sets them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8099")]
    page: SocketAddr,
    /// With `--mqtt`: that hub's listener for pumps.
    #[arg(long, value_name = "HOST:PORT", default_value_t = settings::PUMPS, requires = "mqtt")]
    pumps: SocketAddr,
    /// With `--mqtt`: that hub's listener for ferries.
    #[arg(long, value_name = "HOST:PORT", default_value_t = settings::FERRIES, requires = "mqtt")]
    ferries: SocketAddr,
    /// Where the gauge waits to be connected to; with `--mqtt`: by that hub.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    gauge: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    // It has to be there before the hub, which is told where it is.
    let gauge = TcpListener::bind(arguments.gauge).await?;
    let gauge_address = gauge.local_addr()?;
    let hub = match arguments.hub.mqtt {
        Some(_) => arguments.hub.find_or_start().await?,
        None => arguments.hub.start_own(|is_usual| settings::text(is_usual, gauge_address)).await?,
    };
    let (pumps, ferries) = match hub.more[..] {
        [pumps, ferries] => (pumps, ferries),
        _ => (arguments.pumps, arguments.ferries),
    };
    let configuration = serde_json::json!({
        "hub": hub.websocket,
        "shore": track::shore().map(|point| [point.lat, point.lon]).collect::<Vec<_>>(),
    });
    let page = Page::bind(arguments.hub.page_address(arguments.page), &configuration, &FILES).await?;
    writeln!(
        io::stdout(),
        "pumps connect to {pumps}, ferries to {ferries}; the hub connects to {gauge_address}"
    )?;
    page.announce(&arguments.hub)?;
    let plugs =
        [plug_in(Pump::new(pumps)), plug_in(Ferry::new(ferries)), plug_in(Gauge::new(gauge_address, gauge))];
    let fuses = FuseBox::new("site", "plug", plugs);
    let ended = tokio::select! {
        ended = stopped() => ended,
        served = page.serve() => served,
        never = fuses.run(&hub.mqtt) => match never {},
        never = translator::run_forever(&hub.mqtt) => match never {},
    };
    // Devices that go on without a hub would only complain.
    drop(fuses);
    hub.stop().await;
    ended
}
