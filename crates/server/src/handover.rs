//! Connections that go from one process to another and stay open: the order in which a server lets go of them, and how the
//! next one goes on.
//!
//! Plain MQTT over TCP or WebSocket can go. Everybody else is told to go and come back, as in a stop, and has the usual time
//! for it, while those who will be handed over are served on. Then the shards stand still: nothing is read any more, what
//! they have for each other and for the disk comes to its end, and what is in the outboxes goes out as far as the sockets
//! take it. What is left goes along. If they do not come to stand still in time, nobody is handed over.

pub(crate) mod record;

use crate::context::Context;
use crate::mail::Mail;
use crate::shard::ShardLoop;
use crate::stats::{self, Kind};
use crate::{SETTLE_MAX, Server, Socket, keeper};
use record::Record;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use trefoil_config::Bind;

/// What comes along with one connection, at most: what waits for its client, and half of a packet.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// The same for all connections together; those beyond it are closed.
const RECORDS_BYTES_MAX: usize = 256 << 20;

/// How often it is looked whether what is waited for has come.
const SETTLE_STEP: Duration = Duration::from_millis(1);

/// How long the shards may take to stand still.
const STILL_MAX: Duration = Duration::from_secs(2);

/// A connection on its way from one process to another.
#[derive(Debug)]
pub struct HandedConnection {
    /// Its socket.
    pub socket: OwnedFd,
    /// What has to be known of it; at most [`RECORD_BYTES_MAX`].
    pub record: Vec<u8>,
}

/// What a server leaves to the process that takes over.
#[derive(Debug)]
pub struct HandedOver {
    /// The sockets of its listeners.
    pub sockets: Vec<Socket>,
    /// Connections that stay open.
    pub connections: Vec<HandedConnection>,
    /// How many clients were told to go, or closed.
    pub closed: usize,
}

/// What a shard is asked to do, one after the other.
pub(crate) enum Step {
    /// Say goodbye to whoever cannot be handed over.
    Part(Sender<()>),
    /// Read nothing more.
    Freeze(Sender<()>),
    /// Say how far it is.
    Look(Sender<Look>),
    /// Give the connections out, with records of at most so many bytes in all.
    Pack(usize, Sender<Vec<HandedConnection>>),
}

/// How far a shard is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Since it was last asked it has neither taken nor sent any mail, and nothing is under way in it.
    pub(crate) is_still: bool,
    /// Connections that have been told to go and have not gone yet.
    pub(crate) closing: usize,
}

impl Server {
    /// As [`stop`](Server::stop), but the sockets of the listeners stay open: who connects meanwhile waits in the kernel
    /// for the process that takes over. Who has been accepted already is served until it has been answered once, if that
    /// does not take too long. Then clients are told to go, except for those whose connections can be handed over, if the
    /// other process takes any.
    ///
    /// When this returns, nothing is held any more but what is returned, for the other process, or for a start of the same
    /// server in case that it fails.
    pub fn hand_over(self, takes_connections: bool) -> HandedOver {
        self.stop_listening();
        let until = Instant::now() + SETTLE_MAX;
        let news = || stats::total(&self.context.stats, |stats| &stats.connections[Kind::New as usize]);
        while (news() > 0 || !self.beside.hands().passwords().is_idle()) && Instant::now() < until {
            std::thread::sleep(SETTLE_STEP);
        }
        let Server { context, sockets, crew, beside, drain, .. } = self;
        // First what needs the shards to answer.
        beside.stop(drain);
        let clients = clients(&context);
        let connections = if takes_connections { gather(&context, drain) } else { Vec::new() };
        crate::end_shards(&context, crew);
        let closed = clients.saturating_sub(connections.len());
        HandedOver { sockets, connections, closed }
    }
}

fn clients(context: &Context) -> usize {
    let kinds = Kind::ALL.iter().filter(|(kind, _)| !matches!(kind, Kind::New | Kind::Http));
    let count = |kind: Kind| stats::total(&context.stats, |stats| &stats.connections[kind as usize]);
    kinds.map(|&(kind, _)| count(kind) as usize).sum()
}

/// Takes the connections out of the shards, as described above.
fn gather(context: &Context, drain: Duration) -> Vec<HandedConnection> {
    ask(context, Step::Part);
    let until = Instant::now() + drain;
    while Instant::now() < until {
        if ask(context, Step::Look).iter().all(|look| look.closing == 0) {
            break;
        }
        std::thread::sleep(SETTLE_STEP);
    }
    ask(context, Step::Freeze);
    let until = Instant::now() + STILL_MAX;
    let shards = context.mailboxes.len();
    loop {
        let looks = ask(context, Step::Look);
        // Whatever one has sent before it said so, another has taken before it says the same.
        if looks.len() == shards && looks.iter().all(|look| look.is_still) {
            break;
        }
        if Instant::now() >= until {
            tracing::warn!(
                "the shards do not come to rest in time: connections are closed, and not handed over"
            );
            return Vec::new();
        }
        std::thread::sleep(SETTLE_STEP);
    }
    let bytes_max = RECORDS_BYTES_MAX / shards;
    ask(context, |reply| Step::Pack(bytes_max, reply)).into_iter().flatten().collect()
}

/// Asks all shards, and gives the answers of those that give any in time.
fn ask<T>(context: &Context, step: impl Fn(Sender<T>) -> Step) -> Vec<T> {
    let (reply, answers) = channel();
    for mailbox in &context.mailboxes {
        mailbox.post(Mail::Handover(step(reply.clone())));
    }
    drop(reply);
    let until = Instant::now() + STILL_MAX;
    let next = |_| answers.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    context.mailboxes.iter().map_while(next).collect()
}

/// Gives connections of another process to the shards that their sessions belong to, before these do anything else. Those
/// that cannot go on are closed.
pub(crate) fn take_over(loops: &mut [ShardLoop], context: &Arc<Context>, connections: Vec<HandedConnection>) {
    if connections.is_empty() {
        return;
    }
    let now = Instant::now();
    loops.iter_mut().for_each(|shard| shard.set_time(now));
    let start_ms = keeper::clock_ms().saturating_sub(context.now().as_ms());
    let (all, mut taken) = (connections.len(), 0);
    for HandedConnection { socket, record } in connections {
        let result = Record::decode(&record).ok_or("what came with it is of another version".to_owned());
        let result = result.and_then(|record| {
            let listener = listener(context, &record.head.listener)?;
            let shard = context.hub.shard_of(&record.head.client_id);
            loops[shard].take_connection(&socket, listener, record, start_ms)
        });
        match result {
            Ok(()) => taken += 1,
            Err(why) => tracing::debug!(why, "a connection cannot go on here and is closed"),
        }
    }
    loops.iter_mut().for_each(ShardLoop::resume_taken);
    let closed = all - taken;
    context.stats_beside().handed_over.add(taken as u64);
    context.stats_beside().handover_failures.add(closed as u64);
    tracing::info!("{taken} connections taken over, {closed} closed");
}

fn listener(context: &Context, bind: &str) -> Result<usize, String> {
    let is_it = |own: &Bind| own.to_string() == bind;
    let found = context.listeners.iter().position(|listener| is_it(&listener.bind));
    found.ok_or_else(|| format!("nobody listens on {bind} any more"))
}
