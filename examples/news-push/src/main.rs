//! News: a page on which one writes an article, a thousand readers who get it at once, and a count of how long that took.
//!
//! | topic | payload | |
//! | --- | --- | --- |
//! | `news/articles` | `{"id": …, "title": …, "text": …, "at": …}` | retained; in the history |
//! | `news/reach` | `{"id": …, "readers": …, "of": …, "ms": …}`: how many of the program's readers have it, and how long the last took after the first | in the history |
//!
//! The readers (module [`crowd`]) are WebSocket clients like any page, each with a connection of its own. What they tell
//! each other they could not: the count is made inside this program, and published like everything else.

mod crowd;
mod reach;

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use example_shared::{File, HubArguments, run};

const FILES: [File; 4] = [
    ("/", include_str!("../web/index.html")),
    ("/news.css", include_str!("../web/news.css")),
    ("/news.js", include_str!("../web/news.js")),
    ("/article.js", include_str!("../web/article.js")),
];

/// With it the last articles are there for whoever comes later.
const SETTINGS: &str = "[[history]]\nfilter = \"news/#\"\nmessages = 200\n";

/// Opens a crowd of readers, and serves a page to write for them and to read with them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8096")]
    page: SocketAddr,
    /// How many readers listen beside the page. Each needs a descriptor, and another one in a hub that the program starts
    /// itself: see `ulimit -n`.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    readers: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    run(&arguments.hub, SETTINGS, arguments.page, &FILES, async |hub| {
        crowd::run(&hub.websocket, arguments.readers).await
    })
    .await
}
