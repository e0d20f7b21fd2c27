//! The server: shards with their loop, listeners and protocols on sockets; beside them HTTP API, console and metrics.
//!
//! [`Server::start`] opens the listeners of a [`Config`], starts a thread for each shard and a
//! small runtime beside them, and returns; [`Server::stop`] says goodbye to all clients and ends it. A process that takes
//! over from another does it in two steps, [`Server::prepare`] and [`Prepared::start`], with the sockets that
//! [`Server::hand_over`] leaves open in the other one.
//!
//! Inside, a `ShardLoop` (module `shard`) owns its connections and, in a [`trefoil_hub::Shard`], their sessions. It reads,
//! finds out what a connection speaks ([`detect`]), feeds the protocol, and flushes at the end of its tick what became
//! dirty. What crosses from shard to shard goes by `mail`. HTTP requests that become neither a WebSocket nor a stream
//! of events are handed over to what runs `beside`.
//!
//! What goes beyond a protocol's specification is off unless it is configured, and nobody has to use it
//! [v3 MQTT-7.0.0-2].
//!
//! ```
//! use trefoil_config::{Bind, Config};
//!
//! let mut config = Config::default();
//! config.listeners.truncate(1);
//! config.store.durability = trefoil_config::Durability::None;
//! config.listeners[0].bind = Bind::Tcp("127.0.0.1:0".parse()?);
//! let server = trefoil_server::Server::start(&config)?;
//! println!("listening on {}", server.listening()[0].bind);
//! server.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod beside;
mod certificates;
mod context;
mod crew;
mod descriptors;
pub mod detect;
mod dial;
mod framed;
mod handover;
mod inherited;
mod json_message;
mod keeper;
mod listener;
mod mail;
mod memory;
mod outbox;
mod proxied;
mod pulse;
mod refused;
mod shard;
mod start_error;
mod stats;
pub mod store;
mod stream;
mod streams;
mod sys;
mod udp;

use access::kept::Kind as KeptKind;
use access::{Access, Bans};
use beside::Beside;
use certificates::ListenerTls;
use context::{Context, ListenerContext};
pub use handover::{HandedConnection, HandedOver, RECORD_BYTES_MAX};
use inherited::Inherited;
use keeper::{Keeper, Opened};
pub use listener::Socket;
use listener::unix::SocketFile;
use mail::Mail;
pub use pulse::Pulse;
use shard::ShardLoop;
use shard::mqtt_sn::Gateway;
use shard::rooms::Lobby;
pub use start_error::StartError;
use stats::Stats;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use trefoil_config::{Bind, Config, Listener, Protocols, SharedStrategy};
use trefoil_hub::group::Strategy;
use trefoil_hub::retained::Quota;

/// How long [`Server::hand_over`] waits at most for a shard to stop accepting, and for clients that have just come and have
/// said nothing yet.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// A running server.
pub struct Server {
    context: Arc<Context>,
    listening: Vec<Listening>,
    /// The sockets of the listeners once more, so that they can be given to another process, and stay open meanwhile.
    sockets: Vec<Socket>,
    /// The files of Unix sockets that this process has made. Others are whoever's who has handed the sockets in.
    socket_files: Vec<SocketFile>,
    crew: Vec<JoinHandle<io::Result<()>>>,
    beside: Beside,
    drain: Duration,
}

/// A server of which all is checked and open that can be while another process still serves on the same sockets.
///
/// Clients that connect wait in the kernel. Dropping it closes its own descriptors of the sockets, which costs nobody a
/// connection while another process has them too.
pub struct Prepared<'a> {
    config: &'a Config,
    access: Option<Access>,
    shards: usize,
    listening: Vec<Listening>,
    /// By listener.
    sockets: Vec<Vec<Socket>>,
    /// By listener.
    certificates: Vec<Option<ListenerTls>>,
    /// Those of Unix sockets that were opened here.
    socket_files: Vec<SocketFile>,
    unwanted: Vec<Bind>,
}

/// Where sockets come from that were open before the server started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// From a service manager: each has to be a listener's.
    Manager,
    /// From a process with another configuration: those of listeners that this one does not have are closed.
    Predecessor,
}

/// An open listener.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Its address, with the port that the system chose where 0 was asked for.
    pub bind: Bind,
    /// What it speaks.
    pub protocols: Protocols,
    /// Whether clients may connect that do not say who they are.
    pub allow_anonymous: bool,
}

impl Server {
    /// Opens the listeners and starts all threads. When this returns, connections are accepted.
    ///
    /// # Errors
    /// When a listener cannot be opened, the file of users is not right, or the system has no thread to give.
    pub fn start(config: &Config) -> Result<Server, StartError> {
        Server::prepare(config, Vec::new(), Origin::Manager)?.start()
    }

    /// Does all of [`start`](Server::start) that can be done while another process serves on the same sockets. Those in
    /// `inherited` become the sockets of the listeners with their address; the others are opened.
    ///
    /// # Errors
    /// When a listener cannot be opened, a socket is none to accept on or no listener's, or the file of users is not
    /// right.
    pub fn prepare(
        config: &Config,
        inherited: Vec<Socket>,
        origin: Origin,
    ) -> Result<Prepared<'_>, StartError> {
        let access = Access::open(&config.auth).map_err(StartError::Users)?;
        let certificates = certificates::open(&config.listeners).map_err(StartError::Certificate)?;
        let shards = shard_count(config.shards);
        let mut inherited = Inherited::new(inherited).map_err(StartError::System)?;
        let found = inherited.of(config.listeners.iter().map(|listener| &listener.bind));
        let unwanted = inherited.left();
        if origin == Origin::Manager && !unwanted.is_empty() {
            return Err(StartError::Unwanted(unwanted));
        }
        let (mut listening, mut sockets, mut socket_files) = (Vec::new(), Vec::new(), Vec::new());
        for (listener, found) in config.listeners.iter().zip(found) {
            let bind = &listener.bind;
            let is_found = !found.is_empty();
            let opened = if !is_found {
                listener::open(bind, shards, listener.socket_mode)
            } else {
                found.iter().try_for_each(listener::prepare).map(|()| found)
            };
            let opened = opened.map_err(|error| StartError::Listen { bind: bind.clone(), error })?;
            let bound = opened[0].bind().map_err(StartError::System)?;
            if listener.protocols.mqtt_sn {
                let sockets: Vec<_> = opened.iter().filter_map(Socket::udp).collect();
                shard::mqtt_sn::join(&sockets, &bound, &config.mqtt_sn);
            }
            if let Bind::Unix(path) = &bound
                && !is_found
            {
                socket_files.extend(SocketFile::at(path));
            }
            let Listener { protocols, allow_anonymous, .. } = *listener;
            listening.push(Listening { bind: bound, protocols, allow_anonymous });
            sockets.push(opened);
        }
        Ok(Prepared { config, access, shards, listening, sockets, certificates, socket_files, unwanted })
    }
}

impl Prepared<'_> {
    /// The addresses of sockets of a [`Origin::Predecessor`] that are no listener's. They have been closed here.
    pub fn unwanted(&self) -> &[Bind] {
        &self.unwanted
    }

    /// Starts all threads. When this returns, connections are accepted. What only one process at a time may hold is
    /// opened here and nowhere before: whoever held it has to have let go.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(self) -> Result<Server, StartError> {
        self.start_with(Vec::new())
    }

    /// As [`start`](Self::start), and goes on with connections of the process before. Those that cannot go on here are
    /// closed.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start_with(self, connections: Vec<HandedConnection>) -> Result<Server, StartError> {
        let mut shares: Vec<Vec<listener::Share>> = (0..self.shards).map(|_| Vec::new()).collect();
        for sockets in &self.sockets {
            let dealt = listener::deal(sockets, self.shards).map_err(StartError::System)?;
            shares.iter_mut().zip(dealt).for_each(|(shares, share)| shares.push(share));
        }
        // What comes out of the store is counted as what it is, and must not be among what is always there.
        let memory = memory::Memory::new(self.config.memory_max);
        // The store takes the time of day at this moment too, for all that is counted from here on. How long it takes to
        // read must not come between.
        let started = Instant::now();
        let store = Opened::open(self.config)?;
        // The hasher of the standard library is seeded by the system.
        let random = RandomState::new().hash_one(std::process::id());
        let seed = store.as_ref().and_then(Opened::seed).unwrap_or(random);
        let shared = trefoil_hub::Shared::new(self.shards, seed, hub_limits(self.config))
            .with_extensions(extensions(self.config))
            .with_presence(presence(&self.config.limits))
            .with_history(history(
                self.config,
                store.as_ref().map_or_else(keeper::clock_ms, Opened::start_ms),
            ));
        let hub = match store {
            Some(store) => store.restore(self.config, shared).map_err(StartError::Store)?,
            None => hub_without_store(shared),
        };
        self.run(shares, hub, memory, started, connections).map_err(StartError::System)
    }

    fn run(
        self,
        shares: Vec<Vec<listener::Share>>,
        (shared, hubs, log): Hub,
        memory: memory::Memory,
        started: Instant,
        connections: Vec<HandedConnection>,
    ) -> io::Result<Server> {
        let Prepared { config, access, shards, listening, sockets, socket_files, certificates, .. } = self;
        if let Some(access) = &access {
            access.add_kept(hubs[0].facts(KeptKind::User as u8));
        }
        let bans = Bans::new(&config.bans, hubs[0].facts(KeptKind::Ban as u8));
        let (lobby, new_room_key) = Lobby::open(config, &hubs[0])?;
        let polls = (0..shards).map(|_| mio::Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let mailboxes =
            polls.iter().map(|p| mail::mailbox(p.registry(), shard::WAKER)).collect::<io::Result<_>>()?;
        let context = Arc::new(Context {
            limits: config.limits.clone(),
            websocket: config.websocket.clone(),
            contexts: shard::Contexts::default(),
            mqtt: config.mqtt.clone(),
            gateway: Gateway::new(config),
            lobby,
            sys: config.sys.clone(),
            access,
            bans,
            failures: access::Failures::new(config.auth.failures_max, config.auth.failures_window_s),
            listeners: config
                .listeners
                .iter()
                .zip(&listening)
                .zip(certificates)
                .map(|((l, at), tls)| listener_context(l, at.bind.clone(), tls))
                .chain(config.dial.iter().map(dial::listener_context))
                .collect(),
            dials: config.dial.iter().map(dial::DialContext::new).collect(),
            hub: shared,
            mailboxes,
            keeper: log.is_some().then(|| Arc::new(Keeper::new(config))),
            // One more for what runs beside the shards.
            stats: (0..=shards).map(|_| Stats::default()).collect(),
            connections: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            streams: crate::streams::Streams::default(),
            descriptors: descriptors::Descriptors::new(shards),
            memory,
            started,
        });
        if let Some(log) = log {
            Keeper::start(&context, log, config)?;
        }
        if let Some(key) = new_room_key {
            access::kept::keep(&context, KeptKind::RoomKey, "", key.to_vec(), None);
        }
        let beside = Beside::start(context.clone())?;
        let mut loops = Vec::new();
        for (number, ((poll, shares), hub)) in polls.into_iter().zip(shares).zip(hubs).enumerate() {
            let random = RandomState::new().hash_one(number);
            let context = context.clone();
            loops.push(ShardLoop::new(number, poll, shares, hub, context, beside.hands(), random)?);
        }
        handover::take_over(&mut loops, &context, connections);
        dial::start(&context, config, &beside.hands());
        let crew = crew::start(loops, &context)?;
        let drain = Duration::from_secs(config.limits.drain_s.into());
        let sockets = sockets.into_iter().flatten().collect();
        Ok(Server { context, listening, sockets, socket_files, crew, beside, drain })
    }
}

impl Server {
    /// The open listeners.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Reads the file of users again. Returns how many there are, or `None` when the configuration names no file.
    /// Connections that stand already go on standing.
    ///
    /// # Errors
    /// What is wrong with the file; the users of before stay.
    pub fn reload_users(&self) -> Result<Option<usize>, String> {
        self.context.access.as_ref().map(Access::reload).transpose()
    }

    /// Reads the certificates again. Returns for each whether it could be read: what is wrong with it, while the one of before
    /// stays, or nothing. Connections that stand already go on standing.
    pub fn reload_certificates(&self) -> Vec<Result<(), String>> {
        certificates::reload(self.context.listeners.iter().filter_map(|listener| listener.tls.as_ref()))
    }

    /// Further descriptors of the sockets of all listeners, for a process that takes over.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn sockets(&self) -> io::Result<Vec<Socket>> {
        self.sockets.iter().map(Socket::try_clone).collect()
    }

    /// Why no other process could go on with the store now, if none could: the disk fails, or has failed and what this
    /// process knows is not on it yet.
    pub fn store_failure(&self) -> Option<String> {
        let state = self.context.keeper.as_ref()?.state();
        let is_bad = matches!(state, trefoil_store::State::Failed { .. } | trefoil_store::State::Healed);
        keeper::report::reason(&state).filter(|_| is_bad)
    }

    /// What tells whether the shards still go round.
    pub fn pulse(&self) -> Pulse {
        Pulse::new(&self.context)
    }

    /// Stops: listeners close, clients are told, what waits in outboxes goes out within the configured limit. Blocks
    /// until all threads have ended.
    pub fn stop(mut self) {
        // The shards have descriptors of their own. With these they close for good, so that nobody waits in vain.
        self.sockets.clear();
        self.socket_files.iter().for_each(SocketFile::remove);
        let Server { context, crew, beside, drain, .. } = self;
        // First what needs the shards to answer.
        beside.stop(drain);
        end_shards(&context, crew);
    }

    /// Returns when no shard accepts any more.
    fn stop_listening(&self) {
        let (done, is_done) = mpsc::channel();
        for mailbox in &self.context.mailboxes {
            mailbox.post(Mail::StopListening(done.clone()));
        }
        for _ in &self.context.mailboxes {
            if is_done.recv_timeout(SETTLE_MAX).is_err() {
                tracing::error!("a shard does not stop accepting");
            }
        }
    }
}

/// Stops the shards, and then what writes for them.
fn end_shards(context: &Context, crew: Vec<JoinHandle<io::Result<()>>>) {
    for mailbox in &context.mailboxes {
        mailbox.post(Mail::Stop);
    }
    let mut is_in_order = true;
    for thread in crew {
        match thread.join() {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => tracing::error!(%error, "a shard ended early"),
            Err(_) => tracing::error!("a shard panicked"),
        }
        is_in_order = false;
    }
    // Last, since the shards have written down how all this ended.
    if let Some(keeper) = &context.keeper {
        if is_in_order {
            keeper.close(context.hub.closing_record());
        }
        keeper.stop();
    }
}

/// Whether a file of users could be read, and how many there are.
///
/// # Errors
/// What is wrong with it: each line of the text names file and line.
pub fn check_users(path: &std::path::Path) -> Result<usize, String> {
    access::read(path, trefoil_auth::Secret::new([0; 32])).map(|users| users.len())
}

/// Whether the certificates of listeners could be used.
///
/// # Errors
/// What is wrong with one: the text names the file.
pub fn check_certificates(config: &Config) -> Result<(), String> {
    certificates::open(&config.listeners).map(|_| ())
}

/// What the shards share, the shards, and where they write what is to outlive them.
type Hub = (Arc<trefoil_hub::Shared>, Vec<trefoil_hub::Shard>, Option<keeper::Restored>);

fn hub_without_store(shared: trefoil_hub::Shared) -> Hub {
    let shared = Arc::new(shared);
    let shards = (0..shared.shards()).map(|n| trefoil_hub::Shard::new(n, shared.clone())).collect();
    (shared, shards, None)
}

fn shard_count(configured: usize) -> usize {
    let wanted = match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    wanted.min(trefoil_hub::interest::SHARDS_MAX)
}

fn listener_context(
    listener: &trefoil_config::Listener,
    bind: Bind,
    tls: Option<ListenerTls>,
) -> ListenerContext {
    ListenerContext {
        bind,
        protocols: listener.protocols,
        allow_anonymous: listener.allow_anonymous,
        echo: listener.echo,
        proxy_protocol: listener.proxy_protocol,
        trusted_proxies: listener.trusted_proxies.clone(),
        allowed_origins: listener.allowed_origins.clone(),
        slow_reader: listener.slow_reader,
        // A device may begin with any byte, or with none at all, so that nothing but the setting tells TLS there.
        tls: tls.filter(|tls| listener.framed.is_none() || tls.is_required),
        connections_max: listener.connections_max,
        connections: AtomicUsize::new(0),
        framed: listener
            .framed
            .clone()
            .map(|framed| Arc::new(framed::Profile::new(framed, matches!(listener.bind, Bind::Udp(_))))),
        is_dial: false,
    }
}

fn extensions(config: &Config) -> trefoil_hub::Extensions {
    let rules = |is_for: fn(&trefoil_config::Rewrite) -> bool| {
        config.rewrite.iter().filter(|rewrite| is_for(rewrite)).map(|rewrite| rewrite.rule.clone()).collect()
    };
    let trefoil_config::Delayed { enabled, messages_max, bytes_max, delay_s_max } = config.delayed;
    trefoil_hub::Extensions {
        rewrites: trefoil_hub::Rewrites {
            publish: rules(|rewrite| rewrite.publish),
            subscribe: rules(|rewrite| rewrite.subscribe),
        },
        subscribe: config.subscribe.clone(),
        delayed: enabled.then_some(trefoil_hub::DelayLimits { messages_max, bytes_max, delay_s_max }),
        exclusive: config.exclusive.enabled,
    }
}

/// `start_ms` is from 1970 to the start.
fn history(config: &Config, start_ms: u64) -> trefoil_hub::HistoryOptions {
    let limits = &config.limits;
    trefoil_hub::HistoryOptions {
        rules: config.history.clone(),
        topics_max: limits.history_topics_max,
        messages_max: limits.history_messages_max,
        bytes_max: limits.history_bytes_max,
        followed_max: limits.history_followed_max,
        start_ms,
        random: RandomState::new().hash_one(start_ms),
    }
}

fn presence(limits: &trefoil_config::Limits) -> trefoil_hub::PresenceOptions {
    trefoil_hub::PresenceOptions {
        clients_max: limits.presence_clients_max,
        watched_max: limits.presence_watched_max,
        topics_max: limits.presence_topics_max,
    }
}

fn hub_limits(config: &trefoil_config::Config) -> trefoil_hub::Limits {
    let limits = &config.limits;
    let quota = |limit: &trefoil_config::RetainedLimit| Quota {
        filter: limit.filter.clone(),
        messages_max: limit.messages_max.unwrap_or(usize::MAX),
        bytes_max: limit.bytes_max.unwrap_or(usize::MAX),
    };
    trefoil_hub::Limits {
        topic_levels_max: limits.topic_levels_max,
        subscriptions_per_session_max: limits.subscriptions_per_session_max,
        inflight_max: limits.inflight_max,
        session_queue_messages_max: limits.session_queue_messages_max,
        session_queue_bytes_max: limits.session_queue_bytes_max,
        queued_messages_max: limits.queued_messages_max,
        queued_bytes_max: limits.queued_bytes_max,
        weighs_in_flight: config.memory_max != trefoil_config::MemoryMax::Unlimited,
        slow_readers: config.slow_readers.clone(),
        session_expiry_s_max: limits.session_expiry_s_max,
        retained_messages_max: limits.retained_messages_max,
        retained_bytes_max: limits.retained_bytes_max,
        retained_quotas: config.retained.iter().map(quota).collect(),
        share_strategy: match config.shared.strategy {
            SharedStrategy::RoundRobin => Strategy::RoundRobin,
            SharedStrategy::LeastLoaded => Strategy::LeastLoaded,
            SharedStrategy::Sticky => Strategy::Sticky,
            SharedStrategy::HashTopic => Strategy::HashTopic,
        },
    }
}
