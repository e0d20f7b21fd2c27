//! Rooms to talk in, for browsers, MQTT clients and whoever has netcat.
//!
//! | topic | payload | |
//! | --- | --- | --- |
//! | `chat/ROOM/said` | `{"id": …, "from": …, "text": …, "at": …}` | in the history |
//! | `chat/ROOM/typing` | `{"from": …}`: somebody writes something | forgotten after three seconds |
//!
//! There is no chat server: rooms are topics, what was said is their history, and who is in a room is who has subscribed to
//! it, which the hub knows. All that this program adds is the page, and a parrot (module [`parrot`]) to talk to.

mod parrot;

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use example_shared::{File, HubArguments, run};

const FILES: [File; 5] = [
    ("/", include_str!("../web/index.html")),
    ("/chat.css", include_str!("../web/chat.css")),
    ("/chat.js", include_str!("../web/chat.js")),
    ("/room.js", include_str!("../web/room.js")),
    ("/people.js", include_str!("../web/people.js")),
];

/// With it whoever comes into a room reads what was said before.
const SETTINGS: &str = "[[history]]\nfilter = \"chat/+/said\"\nmessages = 500\n";

/// Serves a page with rooms to talk in, and keeps a parrot in one of them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8097")]
    page: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    run(&arguments.hub, SETTINGS, arguments.page, &FILES, async |hub| parrot::live_forever(&hub.mqtt).await)
        .await
}
