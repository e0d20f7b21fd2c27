//! A shard: one readable loop, which owns its connections and their sessions outright. Which thread goes round it is for
//! the [`crew`](crate::crew) to say.
//!
//! A round is: wait → read and handle all that is ready → take what other shards sent → fire due timers → flush what
//! became dirty. Protocol code is without input and output of its own, so this folder is the only place that touches
//! sockets on the way of a message.

mod accept;
mod access;
mod arrival;
mod channel;
mod connection;
mod datagrams;
mod datagrams_out;
mod deflate;
mod encode;
mod ending;
mod fan_out;
mod follow;
mod forms;
mod framed;
mod handover;
mod http;
mod input;
pub(crate) mod json;
mod keep;
mod last_words;
mod mqtt;
pub(crate) mod mqtt_sn;
mod net;
mod overflow;
mod pings;
mod presence;
mod proxied;
mod purge;
pub(crate) mod rooms;
pub(crate) mod run;
mod scarce;
mod sessions;
mod slow;
mod sse;
mod stop;
pub(crate) mod stream;
mod timers;
mod trail;
pub(crate) mod ways;
mod websocket;
mod write;

pub(crate) use channel::Opening;
pub(crate) use deflate::{Contexts, Deflate};
pub(crate) use follow::json_place;
pub(crate) use framed::{Dialled, FramedInput};
pub(crate) use presence::view;

use crate::beside::Hands;
use crate::context::Context;
use crate::listener::Share;
use crate::mail::{Mail, Mailbox};
use crate::outbox::Pool;
use crate::stats::Drop;
use crate::sys::Tree;
use crate::udp::Inbox;
use accept::Listener;
use datagrams_out::Listed;
use encode::Encodings;
use last_words::LastWords;
use mio::{Events, Interest, Poll, Token};
use net::Net;
use run::Run;
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_hub::group::Group;
use trefoil_hub::interest::ShardSet;
use trefoil_hub::{Audience, ConnectionKey, Message, Published, Refusal, SessionKey, Time, Wheel};

/// What one read may bring. Large enough to join what a busy publisher sends, small enough to stay in the cache until
/// it is handled.
const SCRATCH_BYTES: usize = 128 << 10;

/// How long to wait for room in another shard's mailbox, or for the kernel to take a datagram, before trying again.
const RETRY_MS: u64 = 1;

pub(crate) const WAKER: Token = Token(usize::MAX);

/// One shard's thread.
pub(crate) struct ShardLoop {
    poll: Poll,
    hub: trefoil_hub::Shard,
    net: Net,
    run: Run,
    /// Who wants the run, and its mates in other shards.
    run_audience: Audience,
    run_shards: ShardSet,
    /// Kept for its memory.
    groups: Vec<Arc<Group>>,
    listeners: Vec<Listener>,
    hands: Hands,
    /// Connections that may have something to be read.
    readable: Vec<ConnectionKey>,
    /// Connection and its serial, to be looked at.
    timers: Wheel<(ConnectionKey, u32)>,
    serial: u32,
    scratch: Vec<u8>,
    /// Mail that has been taken; kept for its memory.
    mail: Vec<Mail>,
    /// For names of clients that have none.
    random: u64,
    /// There is mail that has no room yet: nothing is read from anybody until it has.
    holds_mail: bool,
    /// When to try again what the kernel could not do, or there was no time for.
    retry_at: Option<Time>,
    /// Connections have taken nearly all descriptors, as far as the shard knows.
    is_crowded: bool,
    /// Until when nothing more is logged of connections that cannot be accepted.
    quiet_until: Option<Time>,
    /// The same of connections that are refused where the PROXY protocol is spoken.
    proxy_quiet_until: Option<Time>,
    /// UDP peers whose datagrams the kernel did not take.
    unsent: Vec<ConnectionKey>,
    /// When the statistics are published next; on the first shard only.
    statistics_at: Option<Time>,
    /// The figures below `$SYS/broker`; on the first shard only.
    tree: Option<Tree>,
    /// When expired retained messages are looked for next; on the first shard only.
    sweep_at: Option<Time>,
    /// Of the ways of datagrams that begin here.
    way_serial: u32,
    /// Kept for their memory: the UDP peers that something waits for at the end of a tick, and what.
    peers: Vec<ConnectionKey>,
    listed: Listed,
    /// What peers over UDP are still to be told who have left.
    last_words: LastWords,
    /// What is of the MQTT-SN gateway only.
    sn: mqtt_sn::Own,
    /// Datagram channels.
    rooms: rooms::Rooms,
    /// Datagrams that have come; kept for its memory.
    inbox: Inbox,
    /// What is of framed connections only.
    framed: framed::Own,
    /// To which shard the connection that is being read has to move.
    is_leaving: Option<usize>,
    /// When the last connection is closed, if the hub stops.
    stop_at: Option<Time>,
    /// Who runs beside the shards and waits for something to be on disk.
    held_replies: VecDeque<keep::HeldReply>,
    /// Questions about sessions.
    surveys: sessions::Surveys,
    /// Connections that are to be ended.
    purges: purge::Purges,
    /// The checkpoint of the store that is being made.
    checkpoint: Option<keep::Checkpoint>,
    /// The tickets of checkpoints that other shards have begun before this one.
    fences: Vec<u64>,
    /// When to look at the size of the store next; on the first shard only.
    look_at: Time,
    /// What is done without when memory is short.
    scarce: scarce::Scarce,
    /// Connections that go to another process, or come from one.
    handover: handover::Handover,
    /// What is for streams only.
    streams: stream::Own,
}

impl ShardLoop {
    pub(crate) fn new(
        number: usize,
        poll: Poll,
        shares: Vec<Share>,
        hub: trefoil_hub::Shard,
        context: Arc<Context>,
        hands: Hands,
        random: u64,
    ) -> io::Result<ShardLoop> {
        let listeners = shares
            .into_iter()
            .enumerate()
            .map(|(n, share)| {
                let protocols = context.listeners[n].protocols;
                Listener::new(share, protocols, accept::token(n), poll.registry())
            })
            .collect::<io::Result<_>>()?;
        let mail = context.mailboxes.iter().map(|_| Vec::new()).collect();
        let rooms = rooms::Rooms::new(context.mailboxes.len());
        let sn = mqtt_sn::Own::new(number, &context.gateway);
        let is_limited = context.memory.is_limited();
        let deflate = deflate::Pool::new(&context.websocket);
        let tree = if number == 0 { Tree::new(context.sys.interval_s) } else { None };
        Ok(ShardLoop {
            poll,
            hub,
            net: Net {
                number,
                context,
                connections: Slab::new(),
                dirty: Vec::new(),
                mail,
                untimed: Vec::new(),
                answered: Vec::new(),
                too_slow: Vec::new(),
                is_limited,
                memory_stage: 0,
                outbox_bytes: 0,
                outbox_bytes_seen: 0,
                forwarded: 0,
                forwarded_max: scarce::FORWARDED_MIN,
                early_bytes: scarce::EARLY_BYTES_MIN,
                replaced: 0,
                expired: 0,
                pool: Pool::default(),
                encodings: Encodings::default(),
                deflate,
                durable: 0,
                waits_for: 0,
                is_awaited: false,
                holding: VecDeque::new(),
                now: Time::default(),
                text: Vec::new(),
                asked: presence::Asked::default(),
            },
            run: Run::default(),
            run_audience: Audience::default(),
            run_shards: ShardSet::default(),
            groups: Vec::new(),
            listeners,
            hands,
            readable: Vec::new(),
            timers: Wheel::default(),
            serial: 0,
            scratch: vec![0; SCRATCH_BYTES],
            mail: Vec::new(),
            random,
            holds_mail: false,
            retry_at: None,
            is_crowded: false,
            quiet_until: None,
            proxy_quiet_until: None,
            unsent: Vec::new(),
            statistics_at: (number == 0).then(Time::default),
            tree,
            sweep_at: (number == 0).then(Time::default),
            way_serial: 0,
            peers: Vec::new(),
            listed: Listed::default(),
            last_words: LastWords::default(),
            sn,
            rooms,
            inbox: Inbox::default(),
            framed: framed::Own::default(),
            is_leaving: None,
            stop_at: None,
            held_replies: VecDeque::new(),
            surveys: sessions::Surveys::default(),
            purges: purge::Purges::default(),
            checkpoint: None,
            fences: Vec::new(),
            look_at: Time::default(),
            scarce: scarce::Scarce::new(number == 0 && is_limited),
            handover: handover::Handover::default(),
            streams: stream::Own::default(),
        })
    }

    /// Waits for something to do, at most `wait`, for ever if that is none.
    ///
    /// # Errors
    /// When the kernel refuses to say what is ready, which nothing can mend.
    pub(crate) fn wait_ready(&mut self, events: &mut Events, wait: Option<Duration>) -> io::Result<()> {
        let result = self.poll.poll(events, wait);
        self.mailbox().wake_up();
        match result {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads and handles all that is ready, and what is due.
    pub(crate) fn take_in(&mut self, events: &Events, now: Instant) {
        self.set_time(now);
        self.keep_up_with_memory();
        self.keep_up_with_disk();
        self.note(events);
        self.read_all();
        self.handle_time();
        self.finish_run();
        self.go_on_with_checkpoint();
        self.go_on_with_surveys();
        self.go_on_with_purges();
        self.go_on_with_streams();
        self.hand_batch_over();
        self.end_checkpoint();
        self.room_post();
        self.post_mail();
    }

    /// Handles what other shards sent.
    pub(crate) fn take_mail(&mut self) {
        let mut mail = std::mem::take(&mut self.mail);
        self.mailbox().take(&mut mail);
        let messages = if self.net.is_limited { mail.iter().filter(|m| m.is_message()).count() } else { 0 };
        for piece in mail.drain(..) {
            self.note_mail(&piece);
            match piece {
                Mail::Run(wire) => {
                    self.deliver_foreign_run(wire);
                    self.watch_memory();
                }
                other => {
                    self.finish_run();
                    self.take(other);
                    self.watch_memory();
                }
            }
        }
        self.mail = mail;
        self.finish_run();
        self.go_on_with_streams();
        if messages > 0 {
            self.mailbox().count_delivered(messages);
        }
        self.hand_batch_over();
        self.end_checkpoint();
        self.post_mail();
    }

    /// Writes what became dirty: the last step of a round.
    pub(crate) fn give_out(&mut self) {
        self.end_slow();
        self.end_answered();
        self.room_flush();
        self.flush_all();
        while let Some(key) = self.net.untimed.pop() {
            self.set_timer(key);
        }
        // A reader that has caught up, or is gone, may have made more of it.
        self.hand_batch_over();
        self.post_mail();
        self.count();
    }

    /// Tells the shard what time it is.
    pub(crate) fn set_time(&mut self, now: Instant) {
        let since_start = now.saturating_duration_since(self.net.context.started);
        self.net.now = Time::from_ms(since_start.as_millis() as u64);
    }

    /// How long there is nothing to do, unless something comes: for ever if nothing is due.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let now = self.net.now;
        let reads_nothing = self.reads_nothing();
        let has_work = (!self.readable.is_empty() || self.scarce.waits_for_shards()) && !reads_nothing
            || !self.net.dirty.is_empty()
            || !self.surveys.is_empty()
            || !self.purges.is_empty()
            || !self.net.answered.is_empty()
            || self.streams.has_work()
            || !self.net.too_slow.is_empty();
        if has_work || self.is_stopped() {
            return Some(Duration::ZERO);
        }
        let until = |at: Option<Time>| at.map(|at| at.since(now));
        if self.is_frozen() {
            let timers = [self.timers.wait_ms(now), until(self.retry_at), until(self.stop_at)];
            return timers.into_iter().flatten().min().map(Duration::from_millis);
        }
        let retry = (reads_nothing || self.scarce.is_behind).then_some(RETRY_MS);
        let timers = [
            retry,
            self.timers.wait_ms(now),
            self.hub.wait_ms(now),
            until(self.retry_at),
            until(self.statistics_at),
            until(self.tree.as_ref().map(|tree| tree.at)),
            until(self.sweep_at),
            until(self.scarce.look_at),
            until(self.sn.advertise_at),
            until(self.rooms.sweep_at),
            until(self.stop_at),
        ];
        timers.into_iter().flatten().min().map(Duration::from_millis)
    }

    /// Whether nothing is to be read from anybody, since other shards have too much to do as it is: publishers feel it before
    /// memory does.
    fn reads_nothing(&self) -> bool {
        self.holds_mail || self.is_far_ahead()
    }

    /// Where others leave what is for this shard.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.net.context.mailboxes[self.net.number]
    }

    /// What becomes readable when the shard has something to do.
    pub(crate) fn poll_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    /// Writes down what is ready.
    fn note(&mut self, events: &Events) {
        for event in events {
            let token = event.token();
            if token == WAKER {
                continue;
            }
            if let Some(listener) = accept::listener(token) {
                self.listener_is_ready(listener);
                continue;
            }
            let key = ConnectionKey(token.0 as u32);
            let Some(connection) = self.net.get_mut(key) else { continue };
            let mut reader = None;
            if let connection::Input::Stream(half) = &mut connection.input {
                half.can_read |= event.is_readable() || event.is_read_closed();
                half.is_broken |= event.is_error();
                // Its partner has waited for room.
                reader = (event.is_writable() && connection.is_blocked).then(|| half.partner());
            }
            if event.is_readable() || event.is_read_closed() || event.is_write_closed() || event.is_error() {
                connection.is_half_closed |= event.is_read_closed() || event.is_error();
                connection.is_gone |= event.is_write_closed() || event.is_error();
                if !std::mem::replace(&mut connection.is_readable, true) {
                    self.readable.push(key);
                }
            }
            if event.is_writable() && connection.is_blocked {
                connection.is_blocked = false;
                self.net.mark_dirty(key);
            }
            if let Some(reader) = reader {
                self.note_readable(reader);
            }
        }
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Parcel(parcel) => self.hub.handle(self.net.now, parcel, &mut self.net),
            Mail::Arrival(arrival) => self.arrive(*arrival),
            Mail::Publish { message, reply } => {
                self.net.stats().messages_in.add(1);
                self.net.stats().packets_in.add(1);
                self.begin_event();
                let published = self.publish(None, &message);
                self.answer(keep::Answer::Published { reply, published });
            }
            Mail::Survey { order, sessions_max, reply } => self.begin_survey(order, sessions_max, reply),
            Mail::Presence { topic, reply } => self.ask_presence(&topic, reply),
            Mail::DropSession { client_id, reply } => self.drop_session(&client_id, reply),
            Mail::Keep { kind, key, value, reply } => {
                self.begin_event();
                self.hub.set_fact(kind as u8, &key, &value);
                if let Some(reply) = reply {
                    self.answer(keep::Answer::Kept { reply });
                }
            }
            Mail::Purge { purge, reply } => self.begin_purge(purge, reply),
            Mail::Durable(batch) => self.let_out(batch),
            Mail::NotKept => self.give_up_held(),
            Mail::Checkpoint(begun) => self.begin_checkpoint(begun),
            Mail::Fence(ticket) => self.take_fence(ticket),
            Mail::Led(led) => self.take_led(*led),
            Mail::WayEnded(parted) => self.way_ended(&parted),
            Mail::SnUnbound(parted) => self.sn_lose_way(&parted),
            Mail::RoomJoin(asking) => self.room_enter(*asking),
            Mail::RoomDatagrams(bundle) => self.room_take(&bundle),
            Mail::RoomGone(parted) => self.room_forget(&parted),
            Mail::RoomLost(parted) => self.room_lost(&parted),
            Mail::Rooms { rooms_max, reply } => self.report_rooms(rooms_max, reply),
            Mail::Verdict { connection, serial, verdict } => self.take_verdict(connection, serial, verdict),
            Mail::StopListening(done) => {
                self.stop_listening();
                self.rooms_are_succeeded();
                // Nobody waits for it any more if it took too long.
                let _ = done.send(());
            }
            Mail::Stream(letter) => self.take_letter(*letter),
            Mail::Handover(step) => self.take_step(step),
            Mail::Stop => self.begin_stop(),
            Mail::Run(_) => unreachable!("runs are delivered without ending another"),
        }
    }

    /// Posts what has come together for other shards.
    fn post_mail(&mut self) {
        self.holds_mail = false;
        for (shard, mail) in self.net.mail.iter_mut().enumerate() {
            if mail.is_empty() {
                continue;
            }
            let mailbox = &self.net.context.mailboxes[shard];
            if mailbox.is_full() {
                self.holds_mail = true;
                continue;
            }
            if self.net.forwarded > 0 {
                mailbox.count_undelivered(mail.iter().filter(|m| m.is_message()).count());
            }
            self.handover.mail += 1;
            mailbox.post_all(mail);
        }
        if !self.holds_mail {
            self.net.forwarded = 0;
        }
    }

    /// Sends what waits for a session that has just come, or has subscribed.
    fn resume(&mut self, key: ConnectionKey, session: SessionKey) {
        self.hub.resume(self.net.now, session, &mut self.net);
        self.note_weighed(key, session);
    }

    /// Writes down whether the hub is to be told how much is left in the connection's outbox.
    fn note_weighed(&mut self, key: ConnectionKey, session: SessionKey) {
        let is_weighed = self.hub.is_weighed(session);
        if let Some(connection) = self.net.get_mut(key) {
            connection.is_weighed = is_weighed;
        }
    }

    /// Publishes a message that stands for itself.
    fn publish(&mut self, publisher: Option<SessionKey>, message: &Arc<Message>) -> Published {
        self.finish_run();
        if self.is_too_much_for_disk(publisher, message) {
            self.net.stats().store_refused.add(1);
            return self.hub.refuse(Refusal::Behind);
        }
        self.net.stats().payload_in.add(message.payload.len() as u64);
        self.hub.publish(self.net.now, publisher, message, &mut self.net)
    }

    /// Publishes a message of the hub itself.
    fn announce(&mut self, message: Message) {
        self.finish_run();
        self.hub.announce(self.net.now, None, &Arc::new(message), &mut self.net);
    }

    fn count(&mut self) {
        self.net.encodings.clear();
        let (stats, hub) = (self.net.stats(), self.hub.counters());
        stats.ticks.add(1);
        stats.outbox_bytes.set(self.net.outbox_bytes as u64);
        stats.sessions.set(self.hub.session_count() as u64);
        stats.subscriptions.set(self.hub.subscription_count() as u64);
        stats.connected.set(self.hub.connected_count() as u64);
        stats.connects.set(hub.connects);
        stats.expired_sessions.set(hub.expired_sessions);
        stats.shared_subscriptions.set(self.hub.shared_subscription_count() as u64);
        stats.messages_refused.set(hub.refused);
        let backlog = self.hub.backlog();
        let (queued, queued_bytes) = backlog.queued();
        stats.in_flight.set(backlog.in_flight() as u64);
        stats.queued.set(queued as u64);
        stats.queued_bytes.set(queued_bytes as u64);
        stats.not_retained.set(hub.not_retained);
        stats.retained_evicted.set(hub.retained_evicted);
        stats.redistributed.set(hub.redistributed);
        stats.dropped[Drop::QueueFull as usize].set(hub.dropped_queue_full);
        stats.dropped[Drop::TotalFull as usize].set(hub.dropped_total_full);
        stats.dropped[Drop::Expired as usize].set(hub.dropped_expired + self.net.expired);
        stats.dropped[Drop::Replaced as usize].set(hub.dropped_replaced + self.net.replaced);
        stats.dropped[Drop::NoMember as usize].set(hub.dropped_no_member);
    }
}

const READ_AND_WRITE: Interest = Interest::READABLE.add(Interest::WRITABLE);
