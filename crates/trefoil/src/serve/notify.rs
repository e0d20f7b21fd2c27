//! What the service manager is told (`sd_notify`), if there is one that wants to know.

use sd_notify::NotifyState;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trefoil_server::{Pulse, Server};

/// The hub serves, or goes on doing so.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The hub reads something again, or makes room for another process; [`ready`] follows from one of them.
pub(super) fn reloading(status: &str) {
    // systemd wants both in one message.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status(status)]),
        Err(error) => tracing::warn!(%error, "the system does not know the time"),
    }
}

/// The hub stops.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Another process is the hub from now on.
pub(super) fn main_pid(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// What a person reads in `systemctl status`.
pub(super) fn serving(server: &Server) -> String {
    let binds: Vec<String> = server.listening().iter().map(|listener| listener.bind.to_string()).collect();
    format!("serving {}", binds.join(", "))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told ($NOTIFY_SOCKET)");
    }
}

/// Tells the service manager again and again that all is well, as long as it is.
#[derive(Clone)]
pub(super) struct Watchdog(Arc<Mutex<Option<Pulse>>>);

impl Watchdog {
    /// Starts it, if the service manager wants to hear from it. Until it has something to [`watch`](Watchdog::watch), all
    /// is well.
    pub(super) fn start() -> io::Result<Watchdog> {
        let watchdog = Watchdog(Arc::default());
        if let Some(every) = sd_notify::watchdog_enabled() {
            let own = watchdog.clone();
            std::thread::Builder::new().name("watchdog".into()).spawn(move || own.run(every))?;
        }
        Ok(watchdog)
    }

    /// From now on all is well only as long as the shards of this server go round.
    pub(super) fn watch(&self, server: &Server) {
        *self.watched() = Some(server.pulse());
    }

    /// The shards end. What follows has limits of its own.
    pub(super) fn rest(&self) {
        *self.watched() = None;
    }

    fn run(&self, every: Duration) {
        loop {
            // A shard has half the time to go round once, however the beats fall.
            std::thread::sleep(every / 4);
            if self.watched().as_mut().is_none_or(Pulse::beat) {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::warn!("a shard does not go round, so the watchdog is not told that all is well");
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, Option<Pulse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
