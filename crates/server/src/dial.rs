//! Devices that are servers themselves: the hub connects to them, and does so again when a connection ends.
//!
//! One task for each waits, looks the name up, connects, and gives the socket to a shard, where the connection is a framed
//! one like any other. It hears of its end by a channel that the connection drops. The tasks run beside the shards and end
//! with what runs there: before the shards, so that nothing is dialled while the hub stops or hands over.

use crate::beside::Hands;
use crate::context::{Context, ListenerContext};
use crate::framed::Profile;
use crate::mail::{Arrival, Mail, Stage};
use crate::proxied::Proxied;
use crate::shard::{Dialled, FramedInput};
use crate::stats::DialSummary;
use crate::stream::Stream;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use trefoil_config::{Bind, Config, Dial, Protocols};

/// How long a device may take to accept.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The first wait between two attempts.
const RETRY_MIN: Duration = Duration::from_secs(1);

/// How long the log is spared saying again that a device cannot be reached.
const QUIET: Duration = Duration::from_secs(60);

/// A device that the hub connects to.
pub(crate) struct DialContext {
    address: Arc<str>,
    name: String,
    retry_max: Duration,
    is_connected: AtomicBool,
    failures: AtomicU64,
}

impl DialContext {
    pub(crate) fn new(dial: &Dial) -> DialContext {
        DialContext {
            address: dial.address.as_str().into(),
            name: dial.framed.name.clone(),
            retry_max: Duration::from_secs(dial.retry_s_max.into()),
            is_connected: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Attempts that came to nothing.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn summary(&self) -> DialSummary {
        DialSummary {
            address: self.address.to_string(),
            name: self.name.clone(),
            connected: self.is_connected(),
            failures: self.failures(),
        }
    }
}

/// What stands for a device among the listeners, so that its connection is counted like any other.
pub(crate) fn listener_context(dial: &Dial) -> ListenerContext {
    ListenerContext {
        bind: Bind::Tcp(([0, 0, 0, 0], 0).into()),
        protocols: Protocols { framed: true, ..Protocols::NONE },
        // It is the hub that has chosen whom it speaks with.
        allow_anonymous: true,
        echo: false,
        proxy_protocol: false,
        trusted_proxies: Vec::new(),
        allowed_origins: Default::default(),
        slow_reader: dial.slow_reader,
        tls: None,
        connections_max: 0,
        connections: AtomicUsize::new(0),
        framed: Some(Arc::new(Profile::new(dial.framed.clone(), false))),
        is_dial: true,
    }
}

/// Starts to connect to all devices.
pub(crate) fn start(context: &Arc<Context>, config: &Config, hands: &Hands) {
    for number in 0..config.dial.len() {
        let dialler = Dialler { context: context.clone(), number, listener: config.listeners.len() + number };
        let mut stopping = hands.stopping();
        hands.runtime().spawn(async move {
            tokio::select! {
                () = dialler.run() => {}
                // Whoever can tell that it stops is gone only when all is.
                _ = stopping.wait_for(|stops| *stops) => {}
            }
        });
    }
}

struct Dialler {
    context: Arc<Context>,
    number: usize,
    /// Its number among the listeners.
    listener: usize,
}

impl Dialler {
    fn dial(&self) -> &DialContext {
        &self.context.dials[self.number]
    }

    async fn run(&self) {
        let dial = self.dial();
        let (mut wait, mut said_at, mut met_at) = (RETRY_MIN, None::<Instant>, None::<Instant>);
        loop {
            let began = match self.connect().await {
                Ok(ended) => {
                    let began = Instant::now();
                    // One that hangs up again and again fills no log.
                    let is_told = met_at.is_none_or(|at| began.duration_since(at) >= QUIET);
                    if is_told {
                        met_at = Some(began);
                        tracing::info!("connected to {}", dial.address);
                    }
                    dial.is_connected.store(true, Ordering::Relaxed);
                    // It is only ever dropped.
                    let _ = ended.await;
                    dial.is_connected.store(false, Ordering::Relaxed);
                    if is_told {
                        tracing::info!("the connection to {} has ended; it is tried again", dial.address);
                    }
                    Some(began)
                }
                Err(error) => {
                    dial.failures.fetch_add(1, Ordering::Relaxed);
                    if said_at.is_none_or(|at| at.elapsed() >= QUIET) {
                        said_at = Some(Instant::now());
                        tracing::warn!(
                            "cannot connect to {} ({error}); it is tried again and again",
                            dial.address
                        );
                    }
                    None
                }
            };
            if let Some(began) = began {
                said_at = None;
                // A device that hangs up at once is not there any more than one that does not answer.
                if began.elapsed() >= wait {
                    wait = RETRY_MIN;
                }
            }
            tokio::time::sleep(shortened(wait)).await;
            wait = (wait * 2).min(dial.retry_max.max(RETRY_MIN));
        }
    }

    /// Connects, and gives the connection to a shard. What is returned ends with it.
    async fn connect(&self) -> io::Result<oneshot::Receiver<()>> {
        let context = &self.context;
        let addresses = look_up(self.dial().address.clone()).await?;
        let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for address in addresses {
            let connecting = tokio::net::TcpStream::connect(address);
            result = match tokio::time::timeout(CONNECT_MAX, connecting).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
            };
            if result.is_ok() {
                break;
            }
        }
        let stream = Stream::from(result?.into_std()?);
        crate::listener::tune(&stream);
        if context.memory.stage() >= crate::memory::NO_NEW {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "memory is short (memory_max)"));
        }
        let connections_max = context.limits.connections_max;
        if connections_max > 0 && context.connections.load(Ordering::Relaxed) >= connections_max {
            let why = "there are as many connections as there may be (limits.connections_max)";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        let listener = &context.listeners[self.listener];
        let Some(profile) = listener.framed.clone() else { return Err(io::ErrorKind::Unsupported.into()) };
        listener.connections.fetch_add(1, Ordering::Relaxed);
        context.connections.fetch_add(1, Ordering::Relaxed);
        let (ended, has_ended) = oneshot::channel();
        let dialled = Dialled { address: self.dial().address.clone(), _ended: ended };
        let arrival = Arrival {
            stream,
            listener: self.listener,
            input: Vec::new(),
            output: Vec::new(),
            forwarded: Proxied::default(),
            user: None,
            stage: Stage::Framed(Box::new(FramedInput::new(profile, Some(dialled)))),
        };
        // From there it goes to the one that its client id says.
        let shard = self.number % context.mailboxes.len();
        context.stats_beside().accepted.shared_add(1);
        context.mailboxes[shard].post(Mail::Arrival(Box::new(arrival)));
        Ok(has_ended)
    }
}

/// Looks a name up. The system's calls for that block for as long as they like, so that each has a thread of its own; there
/// is one at a time for each device.
async fn look_up(address: Arc<str>) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let (reply, answer) = oneshot::channel();
    let looking_up = move || {
        let found = address.to_socket_addrs().map(Iterator::collect);
        // Nobody waits for it any more when the hub stops.
        let _ = reply.send(found);
    };
    std::thread::Builder::new().name("trefoil-lookup".into()).spawn(looking_up)?;
    answer.await.map_err(io::Error::other)?
}

/// By chance a half of it at least, so that not all devices that went at once are called at once.
fn shortened(wait: Duration) -> Duration {
    let random = crate::access::random::<2>().map_or(0, u16::from_le_bytes);
    wait.mul_f64(0.5 + f64::from(random) / f64::from(u16::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_shortened_by_a_half_at_most() {
        for _ in 0..100 {
            let wait = shortened(Duration::from_secs(8));
            assert!((Duration::from_secs(4)..=Duration::from_secs(8)).contains(&wait), "{wait:?}");
        }
    }
}
