//! What runs beside the shards: all HTTP that is neither a WebSocket nor server-sent events.
//!
//! One small tokio runtime serves it, so that a large body, a slow reader of the console or a scrape of the metrics
//! never keeps a message waiting. A shard that finds such a request gives socket and bytes to its [`Hands`]; from then
//! on [`connection`] drives it, and [`routes`] says what is served. Should a later request on the same connection ask
//! for a WebSocket or for server-sent events, the connection goes back to a shard as an
//! [`Arrival`](crate::mail::Arrival).

mod access;
mod admin;
mod channel;
mod connection;
mod console;
mod guard;
pub(crate) mod hand_back;
mod history;
mod metrics;
pub(crate) mod origin;
pub(crate) mod passwords;
mod presence;
mod publish;
mod refusal;
mod rewind;
mod rooms;
mod routes;
mod sessions;
mod streams;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::context::Context;
use crate::stream::Stream;
use axum::Router;
use connection::Counted;
use passwords::Passwords;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, watch};

/// Connections served beside the shards at one time. Each may hold a request body, so that this also bounds memory.
const CONNECTIONS_MAX: u32 = 4096;

/// Threads of the runtime: what it does is rare and short, and the cores belong to the shards.
const THREADS: usize = 2;

/// How long [`Beside::stop`] waits for its threads once nothing is left to serve.
const THREADS_END: Duration = Duration::from_secs(1);

/// The runtime beside the shards.
pub(crate) struct Beside {
    runtime: Runtime,
    hands: Hands,
    stopping: watch::Sender<bool>,
}

/// What a shard holds to give connections away.
#[derive(Clone)]
pub(crate) struct Hands(Arc<Reception>);

/// A connection that a shard gives away.
pub(crate) struct HandOver {
    /// Its socket, nonblocking.
    pub(crate) stream: Stream,
    /// Whose it is, for the log.
    pub(crate) peer: Option<SocketAddr>,
    /// For whom a trusted proxy has made it, by the PROXY protocol.
    pub(crate) forwarded: Option<IpAddr>,
    /// The number of the listener that accepted it.
    pub(crate) listener: usize,
    /// What has been read already, the head of the first request included.
    pub(crate) input: Vec<u8>,
}

/// What it takes to serve one more connection.
struct Reception {
    context: Arc<Context>,
    runtime: Handle,
    /// What is served, by listener.
    routers: Vec<Router>,
    passwords: Passwords,
    /// A permit for each connection that may still come.
    free: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Beside {
    /// Starts the runtime.
    ///
    /// # Errors
    /// When the system refuses threads or a poll.
    pub(crate) fn start(context: Arc<Context>) -> io::Result<Beside> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(passwords::THREADS)
            .thread_name("trefoil-beside")
            .enable_io()
            .enable_time()
            .build()?;
        let (stopping, is_stopping) = watch::channel(false);
        let passwords = Passwords::new(context.clone(), runtime.handle().clone());
        let reception = Reception {
            runtime: runtime.handle().clone(),
            routers: (0..context.listeners.len())
                .map(|listener| routes::router(&context, &passwords, listener))
                .collect(),
            free: Arc::new(Semaphore::new(CONNECTIONS_MAX as usize)),
            stopping: is_stopping,
            passwords,
            context,
        };
        Ok(Beside { runtime, hands: Hands(Arc::new(reception)), stopping })
    }

    /// For the shards.
    pub(crate) fn hands(&self) -> Hands {
        self.hands.clone()
    }

    /// Takes no more connections, lets those that are being served finish their request for at most `drain`, and ends.
    pub(crate) fn stop(self, drain: Duration) {
        // On a thread of its own, since a runtime must not be waited for on a thread of another one, and whoever has
        // this server in a program may call from one.
        let ending = std::thread::spawn(move || self.end(drain));
        if ending.join().is_err() {
            tracing::error!("what runs beside the shards did not end in order");
        }
    }

    fn end(self, drain: Duration) {
        self.stopping.send_replace(true);
        let free = &self.hands.0.free;
        let all_ended = async { tokio::time::timeout(drain, free.acquire_many(CONNECTIONS_MAX)).await };
        if self.runtime.block_on(all_ended).is_err() {
            let left = CONNECTIONS_MAX as usize - free.available_permits();
            tracing::info!(left, "HTTP connections are closed before they have ended");
        }
        self.runtime.shutdown_timeout(THREADS_END);
    }
}

impl Hands {
    /// Where tasks run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Whether they are to end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.clone()
    }

    /// Where passwords are looked at.
    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// Takes a connection. Never blocks.
    ///
    /// # Errors
    /// Gives it back when too many are being served, or when the server stops.
    pub(crate) fn take(&self, hand_over: HandOver) -> Result<(), HandOver> {
        let reception = &self.0;
        if *reception.stopping.borrow() {
            return Err(hand_over);
        }
        let Ok(permit) = reception.free.clone().try_acquire_owned() else { return Err(hand_over) };
        let router = reception.routers[hand_over.listener].clone();
        let stopping = reception.stopping.clone();
        // Counted here and not in the task, so that it is never counted nowhere.
        let counted = Counted::new(reception.context.clone(), hand_over.listener);
        reception.runtime.spawn(async move {
            connection::serve(counted, router, stopping, hand_over).await;
            drop(permit);
        });
        Ok(())
    }
}
