//! What the examples have in common: a hub to talk to ([`HubArguments`]), a page ([`Page`]), plugs of
//! devices to pull ([`FuseBox`]), a client that tells the page how things stand ([`desk()`]), one that begins again when the
//! hub comes back ([`forever()`]), and an orderly end ([`stopped`]); [`run()`] is all of it at once.

mod desk;
mod forever;
mod fuse_box;
mod hub;
mod page;
mod run;

use std::io;

pub use desk::desk;
pub use forever::forever;
pub use fuse_box::FuseBox;
pub use hub::{Hub, HubArguments};
pub use page::{File, Page};
pub use run::run;

/// Returns when the person at the terminal, or who supervises the program, wants it to end: SIGINT or SIGTERM.
///
/// # Errors
/// When the system does not tell of signals.
pub async fn stopped() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
