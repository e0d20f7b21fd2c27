//! The life of an example: a hub, a page, and what it does until somebody ends it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use crate::{File, Hub, HubArguments, Page, stopped};

/// Finds a hub, or starts one with these settings; serves the page, which is told where the hub is (its WebSocket, and the port for all else); and does `live`, until
/// SIGINT or SIGTERM.
///
/// # Errors
/// When there is no hub and none can be started, or the port of the page cannot be had.
pub async fn run(
    arguments: &HubArguments,
    settings: &str,
    page: SocketAddr,
    files: &[File],
    live: impl AsyncFnOnce(&Hub) -> Infallible,
) -> io::Result<()> {
    let hub = arguments.find_or_start_with(settings).await?;
    let configuration = serde_json::json!({ "hub": hub.websocket, "port": hub.address().await?.port() });
    let page = Page::bind(arguments.page_address(page), &configuration, files).await?;
    page.announce(arguments)?;
    let ended = tokio::select! {
        ended = stopped() => ended,
        served = page.serve() => served,
        never = live(&hub) => match never {},
    };
    hub.stop().await;
    ended
}
