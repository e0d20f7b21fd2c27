//! A smart home: rooms full of devices, each an MQTT client of its own, and a page for the telephone in one's hand.
//!
//! | topic | payload | who |
//! | --- | --- | --- |
//! | `home/ROOM/DEVICE/state` | what it is and how it stands, as JSON; retained | the device |
//! | `home/ROOM/DEVICE/status` | `online`, or `offline` through the will; retained | the device, or the hub for it |
//! | `home/ROOM/DEVICE/set` | what is to change, as JSON | the page, or anybody |
//! | `home/scene` | `morning`, `movie`, `night` or `off`; retained | the page, or anybody |
//! | `home/ROOM/DEVICE/power` | `off` pulls the plug of a device, `on` puts it back | the page, or anybody |
//!
//! Whoever subscribes to `home/#` learns at once how everything stands, since all of it is retained. A device that
//! gets a command or hears of a scene does what it says and confirms by its state. One whose plug is pulled
//! (module [`device`]) says no goodbye; what everybody then hears is its will.

mod device;
mod house;
mod kind;
mod scene;

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use example_shared::{File, FuseBox, HubArguments, run};

const FILES: [File; 5] = [
    ("/", include_str!("../web/index.html")),
    ("/home.css", include_str!("../web/home.css")),
    ("/home.js", include_str!("../web/home.js")),
    ("/devices.js", include_str!("../web/devices.js")),
    ("/icons.svg", include_str!("../web/icons.svg")),
];

/// Runs the devices of a home as MQTT clients, and serves a page that shows and switches them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8091")]
    page: SocketAddr,
    /// Nobody is at home: no door opens and nobody walks past a sensor by chance.
    #[arg(long)]
    still: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    run(&arguments.hub, "", arguments.page, &FILES, async |hub| {
        let plugs = house::DEVICES.iter().map(|(place, kind)| {
            (*place, device::plug_in(&hub.mqtt, place, kind.unpack(), !arguments.still))
        });
        FuseBox::new("home", "power", plugs).run(&hub.mqtt).await
    })
    .await
}
