//! Mail for shards: how they, and what runs beside them, reach each other.
//!
//! Each shard has one mailbox. A shard writes to another's once a tick, with all that has come together, and wakes it
//! only if it sleeps: waking costs a system call, and who is awake looks into the mailbox before going to sleep.

use crate::access::kept::Kind as KeptKind;
use crate::access::{Purge, Verdict};
use crate::proxied::Proxied;
use crate::shard::rooms;
use crate::shard::ways::{Led, Parted};
use crate::shard::{Deflate, FramedInput, Opening};
use crate::stream::Stream;
use bytes::Bytes;
use mio::Waker;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use trefoil_hub::{
    ConnectionKey, Message, Parcel, PresenceAnswer, Published, QoS, SessionOrder, SessionReport,
};
use trefoil_websocket::Receiver;

/// Bytes that may wait in one mailbox before shards stop reading from publishers, and publishes from beside are
/// refused.
const MAILBOX_BYTES_MAX: usize = 64 << 20;

/// What each piece of mail counts at least.
const MAIL_BYTES_MIN: usize = 64;

/// One piece of mail.
pub(crate) enum Mail {
    /// A message that this shard has receivers for.
    Parcel(Parcel),
    /// Several messages of one topic, at QoS 0: see [`crate::shard::run`].
    Run(Bytes),
    /// A connection that belongs here.
    Arrival(Box<Arrival>),
    /// A message from beside the shards, and who wants to know what came of it.
    Publish { message: Arc<Message>, reply: oneshot::Sender<Published> },
    /// Which sessions come first in an order.
    Survey { order: SessionOrder, sessions_max: usize, reply: oneshot::Sender<Vec<SessionReport>> },
    /// Who is on a topic?
    Presence { topic: Box<str>, reply: oneshot::Sender<PresenceAnswer> },
    /// End the session of this client id; whether there was one.
    DropSession { client_id: Box<str>, reply: oneshot::Sender<bool> },
    /// Keep a value for a key, and say so once it is on disk; for the first shard.
    Keep { kind: KeptKind, key: Box<str>, value: Box<[u8]>, reply: Option<oneshot::Sender<()>> },
    /// End connections; how many there were.
    Purge { purge: Arc<Purge>, reply: oneshot::Sender<usize> },
    /// A datagram of somebody who belongs here.
    Led(Box<Led>),
    /// Whoever this shard leads an address to is not there any more.
    WayEnded(Box<Parted>),
    /// The address of an MQTT-SN client here has become another's.
    SnUnbound(Box<Parted>),
    /// Somebody who may join a room that is here.
    RoomJoin(Box<rooms::Asking>),
    /// Datagrams of peers in rooms that are here.
    RoomDatagrams(Box<rooms::Bundle>),
    /// A peer that this shard leads an address to is not there any more.
    RoomGone(Box<Parted>),
    /// The address of a peer here has become another's.
    RoomLost(Box<Parted>),
    /// Which rooms are there?
    Rooms { rooms_max: usize, reply: oneshot::Sender<Vec<rooms::RoomReport>> },
    /// What came of a password: `user` is who it belongs to, if it was right. The connection may be gone by now.
    Verdict { connection: ConnectionKey, serial: u32, verdict: Verdict },
    /// Batches of this shard up to this one are on disk.
    Durable(u64),
    /// What was handed over to be written, and is not on disk, will not be.
    NotKept,
    /// Say again all that is kept, for a checkpoint.
    Checkpoint(crate::keeper::Begun),
    /// The shard that sends it has begun the checkpoint with this ticket.
    Fence(u64),
    /// Accept nothing more, and say so when it is done; who is here stays.
    StopListening(std::sync::mpsc::Sender<()>),
    /// Something about a stream, for a connection of this shard.
    Stream(Box<crate::streams::Letter>),
    /// The connections go to another process.
    Handover(crate::handover::Step),
    /// Stop: close listeners, say goodbye to clients, and end when all is sent.
    Stop,
}

impl Mail {
    /// Whether it is a message that may come to wait in many sessions.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self, Mail::Parcel(Parcel::Message { message, .. }) if message.qos > QoS::AtMostOnce)
    }

    fn cost_bytes(&self) -> usize {
        MAIL_BYTES_MIN
            + match self {
                Mail::Parcel(Parcel::Presence(letter)) => letter.cost_bytes(),
                Mail::Parcel(parcel) => parcel.message().map_or(0, |message| message.cost_bytes()),
                Mail::Publish { message, .. } => message.cost_bytes(),
                Mail::Run(wire) => wire.len(),
                Mail::Arrival(arrival) => arrival.input.len(),
                Mail::Keep { key, value, .. } => key.len() + value.len(),
                Mail::RoomDatagrams(bundle) => bundle.bytes(),
                Mail::Led(led) => led.datagram.len(),
                Mail::WayEnded(_)
                | Mail::SnUnbound(_)
                | Mail::RoomJoin(_)
                | Mail::RoomGone(_)
                | Mail::RoomLost(_)
                | Mail::Rooms { .. }
                | Mail::Verdict { .. }
                | Mail::Survey { .. }
                | Mail::Presence { .. }
                | Mail::DropSession { .. }
                | Mail::Purge { .. }
                | Mail::Durable(_)
                | Mail::NotKept
                | Mail::Checkpoint { .. }
                | Mail::Fence(_)
                | Mail::StopListening(_)
                | Mail::Stream(_)
                | Mail::Handover(_)
                | Mail::Stop => 0,
            }
    }
}

/// A connection on its way to a shard.
pub(crate) struct Arrival {
    /// Its socket.
    pub(crate) stream: Stream,
    /// The number of the listener that accepted it.
    pub(crate) listener: usize,
    /// What has been read and not been dealt with.
    pub(crate) input: Vec<u8>,
    /// What has to be written before anything else.
    pub(crate) output: Vec<u8>,
    /// For whom a trusted proxy has made it.
    pub(crate) forwarded: Proxied,
    /// Who it is, if it has proved that already.
    pub(crate) user: Option<Arc<str>>,
    /// What has been found out about it.
    pub(crate) stage: Stage,
}

/// How far a connection has come.
pub(crate) enum Stage {
    /// The first bytes decide.
    First,
    /// It is MQTT; `input` starts with the CONNECT packet.
    Mqtt,
    /// It is MQTT over WebSocket: `input` holds WebSocket frames, `connect` the MQTT bytes that were in earlier ones.
    MqttWebSocket { receiver: Box<Receiver>, connect: Vec<u8>, deflate: Deflate },
    /// It asks for a channel; `input` starts with the body of the request.
    Channel(Opening),
    /// Its bytes are frames.
    Framed(Box<FramedInput>),
    /// It is JSON, over WebSocket if there is a receiver; `requests` is a batch that starts with its hello.
    Json { receiver: Option<Box<Receiver>>, requests: Vec<u8>, deflate: Deflate },
    /// It is to be joined with a connection of this shard.
    Stream(Box<crate::shard::stream::Waiting>, crate::streams::End),
}

/// A shard's mailbox.
pub(crate) struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    /// What waits, for those who ask before they post.
    bytes: AtomicUsize,
    /// How many messages have been posted that the shard has not delivered yet; only if there is a limit on memory.
    undelivered: AtomicUsize,
    waker: Waker,
    is_asleep: AtomicBool,
}

/// There is no room for more mail now.
#[derive(Debug)]
pub(crate) struct Full;

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Mailbox {
        Mailbox {
            mail: Mutex::default(),
            bytes: AtomicUsize::new(0),
            undelivered: AtomicUsize::new(0),
            waker,
            is_asleep: AtomicBool::new(false),
        }
    }

    /// Whether shards should hold back what they have for it.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > MAILBOX_BYTES_MAX
    }

    /// Bytes that wait in it.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many messages of other shards are not delivered yet, as far as they are counted.
    pub(crate) fn undelivered(&self) -> usize {
        self.undelivered.load(Ordering::Relaxed)
    }

    /// So many messages are about to be posted.
    pub(crate) fn count_undelivered(&self, messages: usize) {
        self.undelivered.fetch_add(messages, Ordering::Relaxed);
    }

    /// So many of them are delivered.
    pub(crate) fn count_delivered(&self, messages: usize) {
        self.undelivered.fetch_sub(messages, Ordering::Relaxed);
    }

    /// Posts one piece, whether there is room or not: for what must arrive.
    pub(crate) fn post(&self, mail: Mail) {
        self.post_all(&mut vec![mail]);
    }

    /// Posts a publish from beside the shards.
    ///
    /// # Errors
    /// When the mailbox is full.
    pub(crate) fn publish(&self, message: Arc<Message>) -> Result<oneshot::Receiver<Published>, Full> {
        if self.is_full() {
            return Err(Full);
        }
        let (reply, answer) = oneshot::channel();
        self.post(Mail::Publish { message, reply });
        Ok(answer)
    }

    /// Posts everything in `mail`, in order.
    pub(crate) fn post_all(&self, mail: &mut Vec<Mail>) {
        let bytes = mail.iter().map(Mail::cost_bytes).sum();
        // First, so that a shard which is about to sleep and sees nothing has told so before we look whether it sleeps.
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).append(mail);
        if self.is_asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Makes whoever waits for this shard look again.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a shard cannot be woken; its mail waits until something else wakes it");
        }
    }

    /// Says that the shard goes to sleep and has to be woken. Returns false if there is mail already, so that it must
    /// not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.is_asleep.store(true, Ordering::SeqCst);
        let is_empty = self.is_empty();
        if !is_empty {
            self.wake_up();
        }
        is_empty
    }

    /// Says that the shard need not be woken.
    pub(crate) fn wake_up(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }

    /// Whether there is no mail.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) == 0
    }

    /// Takes all mail; `taken` must be empty and lends its memory.
    pub(crate) fn take(&self, taken: &mut Vec<Mail>) {
        if self.is_empty() {
            return;
        }
        std::mem::swap(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner), taken);
        let bytes = taken.iter().map(Mail::cost_bytes).sum();
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }
}

/// A waker for a shard's poll, and the mailbox around it.
pub(crate) fn mailbox(registry: &mio::Registry, token: mio::Token) -> io::Result<Mailbox> {
    Ok(Mailbox::new(Waker::new(registry, token)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::time::Duration;

    /// Longer than everything else takes, so that a wake-up which is lost is seen as one.
    const LOST: Duration = Duration::from_secs(20);

    #[test]
    fn whoever_sleeps_is_woken_for_each_piece_of_mail() {
        const PIECES: usize = 20_000;
        let mut poll = Poll::new().expect("a poll");
        let mailbox = mailbox(poll.registry(), Token(0)).expect("a waker");
        let (mut events, mut mail, mut got, mut sleeps) = (Events::with_capacity(8), Vec::new(), 0, 0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for n in 0..PIECES {
                        mailbox.post(Mail::Run(Bytes::new()));
                        // Now and then long enough for the other side to have gone to sleep.
                        (0..n % 64).for_each(|_| std::hint::spin_loop());
                        if n % 100 == 0 {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            while got < 2 * PIECES {
                if mailbox.fall_asleep() {
                    sleeps += 1;
                    poll.poll(&mut events, Some(LOST)).expect("it can be waited for");
                    assert!(!events.is_empty(), "after {got} pieces nobody woke the sleeper");
                    mailbox.wake_up();
                }
                mailbox.take(&mut mail);
                got += mail.drain(..).count();
            }
        });
        assert!(mailbox.is_empty() && sleeps > 0);
        assert_eq!(got, 2 * PIECES);
    }

    #[test]
    fn a_full_mailbox_refuses_publishes_from_beside() {
        let poll = Poll::new().expect("a poll");
        let mailbox = mailbox(poll.registry(), Token(0)).expect("a waker");
        mailbox.post(Mail::Run(Bytes::from(vec![0; MAILBOX_BYTES_MAX])));
        assert!(mailbox.is_full());
        let message = Message {
            topic: trefoil_hub::Topic::new("t", 1).expect("valid"),
            payload: trefoil_hub::Payload::default(),
            qos: trefoil_hub::QoS::AtMostOnce,
            retain: false,
            expires_at: None,
            properties: None,
        };
        assert!(mailbox.publish(Arc::new(message)).is_err());
        mailbox.take(&mut Vec::new());
        assert!(!mailbox.is_full());
    }
}
