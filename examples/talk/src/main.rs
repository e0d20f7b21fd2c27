//! One room for netcat, a browser and an MQTT client.
//!
//! | topic | payload | |
//! | --- | --- | --- |
//! | `talk` | `NAME: what NAME says`, as plain text | in the history |
//! | `talk-wire/line` | a line that the doorman's connection has sent (`> …`) or received (`< …`) | in the history |
//! | `talk-wire/type` | a line for that connection to send | |
//!
//! A message is a line of text, so that it can be typed by hand in each of the three, and who is in the room is who has
//! subscribed to its topic. Beside the page this program has a doorman (module [`doorman`]), who is connected as netcat is,
//! by nothing but TCP.

mod doorman;
mod guests;

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use example_shared::{File, HubArguments, run};

const FILES: [File; 4] = [
    ("/", include_str!("../web/index.html")),
    ("/talk.css", include_str!("../web/talk.css")),
    ("/talk.js", include_str!("../web/talk.js")),
    ("/wire.js", include_str!("../web/wire.js")),
];

/// With it whoever comes reads what was said before.
const SETTINGS: &str = "[[history]]\nfilter = \"talk\"\nmessages = 200\n\
                        [[history]]\nfilter = \"talk-wire/line\"\nmessages = 100\n";

/// Serves a page on which people talk, and keeps a doorman there who is connected as netcat is.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8098")]
    page: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    run(&arguments.hub, SETTINGS, arguments.page, &FILES, async |hub| doorman::stand_forever(hub).await).await
}
