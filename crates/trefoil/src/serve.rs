//! `trefoil serve`: the hub, until a signal asks it to stop.

use crate::arguments::Serve;
use crate::banner;
use crate::failure::Failure;
use crate::logging;
use crate::settings::Settings;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use trefoil_server::{Server, StartError};

/// What a shell adds to the number of the signal that ended a process.
const ENDED_BY_SIGNAL: i32 = 128;

pub(crate) fn run(arguments: &Serve) -> Result<(), Failure> {
    let settings = Settings::read(arguments.config.as_deref())?;
    logging::start(settings.config.log.level)?;
    tracing::info!("configured by {}", settings.source());
    for warning in &settings.config.warnings {
        tracing::warn!("{warning}");
    }
    // Before anything is open: a signal that comes during the start stops the hub as cleanly as a later one.
    let mut signals =
        signals().map_err(|error| Failure::failed(format!("cannot watch for signals: {error}")))?;
    let server = Server::start(&settings.config).map_err(start_failure)?;
    if settings.config.listeners.iter().all(|listener| listener.bind.is_loopback()) {
        tracing::info!("every listener is on a loopback address: only this machine can reach the hub");
    }
    if let Err(error) = banner::write(server.listening(), &mut io::stdout().lock()) {
        // Nobody reads standard output: no reason not to serve.
        tracing::debug!(%error, "standard output is closed");
    }
    for signal in signals.forever() {
        if signal == SIGHUP {
            read_again(&server);
        } else {
            tracing::info!("stopping ({}); once more to stop at once", name(signal));
            break;
        }
    }
    server.stop();
    tracing::info!("stopped");
    Ok(())
}

/// What is wrong with a file is a mistake in the configuration.
fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Users(why) => Failure::usage(why),
        error => Failure::failed(error),
    }
}

/// SIGHUP: what may change while the hub runs is read again.
fn read_again(server: &Server) {
    match server.reload_users() {
        Ok(Some(count)) => tracing::info!("the file of users is read again: {count} users"),
        Ok(None) => tracing::info!("there is nothing to read again (SIGHUP): no file of users is configured"),
        Err(why) => tracing::error!("the file of users is not right, so those of before stay: {why}"),
    }
}

/// The signals that are waited for. After the first one that asks for a stop, the next ends the process on the spot.
fn signals() -> io::Result<Signals> {
    let asked_before = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the flag is still down when the first signal passes the first of the two.
        flag::register_conditional_shutdown(signal, ENDED_BY_SIGNAL + signal, asked_before.clone())?;
        flag::register(signal, asked_before.clone())?;
    }
    Signals::new([SIGTERM, SIGINT, SIGHUP])
}

fn name(signal: i32) -> &'static str {
    if signal == SIGINT { "SIGINT" } else { "SIGTERM" }
}
