//! One connection: its socket, what it speaks, and what it has yet to be sent.

use super::channel::{Channel, Incoming, Parked, Reader};
use super::deflate::Deflate;
use super::framed::FramedInput;
use super::json::answered::Answered;
use super::json::ask::Asks;
use super::json::own::{Own, Shape};
use super::json::pace::Turns;
use super::mqtt_sn::Client;
use super::overflow::Overflow;
use super::stream::{Half, Waiting as StreamWaiting};
use super::trail::Trail;
use super::ways::Way;
use crate::framed::Profile;
use crate::outbox::{Outbox, Pool};
use crate::proxied::Proxied;
use crate::stats::Kind;
use crate::stream::Stream;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use trefoil_auth::Users;
use trefoil_auth::scram::Challenge;
use trefoil_hub::{SessionKey, Time, Topic};
use trefoil_mqtt::Version;
use trefoil_websocket::Receiver;

/// A connection of the shard, idle ones among a hundred thousand others: what only some have is boxed.
pub(super) struct Connection {
    pub(super) link: Link,
    /// The number of the listener that accepted it.
    pub(super) listener: u16,
    /// Tells it from another connection at the same place, for timers.
    pub(super) serial: u32,
    pub(super) kind: Kind,
    pub(super) input: Input,
    /// What has been read and is not complete; empty most of the time.
    pub(super) rest: Vec<u8>,
    pub(super) form: Form,
    /// The largest packet that an MQTT client takes [MQTT-3.1.2-24]; `u32::MAX` unless it said so.
    pub(super) packet_bytes_max: u32,
    pub(super) outbox: Outbox,
    /// How WebSocket messages are compressed.
    pub(super) deflate: Deflate,
    /// What the outbox has no room for; most have none.
    pub(super) overflow: Option<Box<Overflow>>,
    /// What may only go out once something is on disk.
    pub(super) held: Option<Box<Held>>,
    /// CONNACK is among what is held, so that nothing goes out before it; or the answer to a hello that takes a session up, so
    /// that nothing of what has waited in that does.
    pub(super) holds_all: bool,
    pub(super) session: Option<SessionKey>,
    /// Who the client proved to be.
    pub(super) user: Option<Arc<str>>,
    /// For whom a trusted proxy has made it; most come by themselves.
    pub(super) forwarded: Option<Box<Proxied>>,
    /// It has asked for something in JSON, so that it is too late to say hello.
    pub(super) has_asked: bool,
    /// What only some have that speak JSON.
    pub(super) json: Option<Box<Own>>,
    /// Its password is being looked at, and it is not read from; what to do then.
    pub(super) waiting: Option<Box<Wait>>,
    /// When something last came in.
    pub(super) heard_at: Time,
    /// When bytes of any kind last came in.
    pub(super) alive_at: Time,
    /// When to look whether a WebSocket peer is still there.
    pub(super) ping_at: Option<Time>,
    /// How long it may be silent, in milliseconds; 0 is for ever.
    pub(super) silence_ms_max: u32,
    /// When it is closed whatever comes; for handshakes and goodbyes.
    pub(super) deadline: Option<Time>,
    pub(super) phase: Phase,
    /// It stands in the list of those to be flushed.
    pub(super) is_dirty: bool,
    /// The socket takes no more; it says when it does.
    pub(super) is_blocked: bool,
    /// The hub wanted to send more than the outbox takes and waits to be resumed.
    pub(super) is_starved: bool,
    /// The hub is told how much is left in the outbox after each write.
    pub(super) is_weighed: bool,
    /// There may be more to read than was read so far; it stands in the list of those to be read.
    pub(super) is_readable: bool,
    /// What has been read of it and not been dealt with is more than the beginning of something: it comes before more is
    /// read.
    pub(super) has_more: bool,
    /// It has published something.
    pub(super) is_publisher: bool,
    /// What it has sent had to be kept on disk.
    pub(super) needs_disk: bool,
    /// It is not read from, since memory is short or the disk is behind.
    pub(super) is_paused: bool,
    /// What it counts in the bytes of all outboxes.
    pub(super) counted_bytes: usize,
    /// It does not keep up, and is to be ended for that.
    pub(super) is_too_slow: bool,
    /// It is not read from, since it does not read what it is sent.
    pub(super) is_held: bool,
    /// It was an end of a stream, and what the other end has sent before it ended still has to go out.
    pub(super) is_draining: bool,
    /// A WebSocket close frame has been sent; nothing may follow it.
    pub(super) has_said_close: bool,
    /// The peer has sent its WebSocket close frame, or what it sends cannot be told to be one.
    pub(super) has_heard_close: bool,
    /// The peer has closed its writing side: reading has to go on until it says so.
    pub(super) is_half_closed: bool,
    /// Both sides are closed, or the connection is broken: nothing more can be sent either.
    pub(super) is_gone: bool,
    /// How often it gave a wrong password.
    pub(super) failures: u8,
    /// Bytes thrown away since nothing was expected any more.
    pub(super) discarded_bytes: usize,
    /// For when a timer is set, the earliest if there are several.
    pub(super) timer_at: Option<Time>,
}

/// What a connection may only be sent once batches of its shard are on disk: with the numbers of these, rising.
#[derive(Default)]
pub(super) struct Held(VecDeque<(u64, Outbox)>);

impl Held {
    /// What waits for each batch.
    pub(super) fn into_ropes(self) -> impl Iterator<Item = (u64, Outbox)> {
        self.0.into_iter()
    }

    /// Bytes and messages of it.
    pub(super) fn size(&self) -> (usize, usize) {
        let sum = |of: fn(&Outbox) -> usize| self.0.iter().map(|(_, rope)| of(rope)).sum();
        (sum(Outbox::bytes), sum(Outbox::messages))
    }
}

/// Where bytes come from and go to.
pub(super) enum Link {
    Stream(Stream),
    Udp(Box<Peer>),
    /// None of its own: requests over other connections, one after the other.
    Channel(Box<Channel>),
}

/// A UDP peer, a connection as long as it is heard from.
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    /// Deliveries at QoS 1 that it has not acknowledged.
    pub(super) unacknowledged: VecDeque<Unacknowledged>,
    /// What it has been answered lately.
    pub(super) answered: Answered,
    /// It has said something that only who is sent what goes to this address can know.
    pub(super) is_proven: bool,
    /// How often it has subscribed lately, as long as it has not.
    pub(super) turns: Turns,
    /// The shard whose socket gets what it sends, if that is another one.
    pub(super) way: Option<Way>,
}

impl Peer {
    pub(super) fn new(addr: SocketAddr) -> Box<Peer> {
        let (unacknowledged, answered) = (VecDeque::new(), Answered::default());
        let (is_proven, turns) = (false, Turns::default());
        Box::new(Peer { addr, unacknowledged, answered, is_proven, turns, way: None })
    }
}

pub(super) struct Unacknowledged {
    pub(super) packet_id: u16,
    pub(super) datagram: Box<[u8]>,
    pub(super) resend_at: Time,
    pub(super) resends: u32,
}

/// How its input is read.
pub(super) enum Input {
    /// A header of the PROXY protocol comes first.
    ProxyHeader,
    /// The first bytes decide.
    First,
    /// The head of an HTTP request.
    HttpHead,
    Mqtt(Box<MqttInput>),
    MqttWebSocket(Box<Receiver>, Box<MqttInput>),
    JsonLines,
    JsonWebSocket(Box<Receiver>),
    JsonDatagrams,
    Framed(Box<FramedInput>),
    Echo(Box<Receiver>),
    /// The body of a request to a channel.
    ChannelBody(Box<Incoming>),
    /// The body of a request for a channel that belongs to another shard.
    ChannelOpen(Box<Parked>),
    /// Requests that wait for their channel; nothing is read meanwhile.
    ChannelPost(Box<Parked>),
    /// A request that waits for what comes on a channel.
    ChannelReader(Box<Reader>),
    /// It waits to be joined with another connection.
    StreamWait(Box<StreamWaiting>),
    /// It is joined with another connection, to which all goes that it sends.
    Stream(Box<Half>),
    /// A WebSocket that has been said goodbye to: all that counts is the peer's close frame.
    Goodbye(Box<Receiver>),
    /// Nothing is expected; what comes is thrown away.
    Ignored,
    /// It is being read at this moment, further down the stack.
    Taken,
}

/// A wait for a password to be looked at.
pub(super) struct Wait {
    pub(super) what: Waiting,
    /// The users among whom it is looked for.
    pub(super) users: Arc<Users>,
    /// What tells whoever looks at passwords that the connection is still there.
    pub(super) _asker: Arc<()>,
}

/// What a connection wanted whose password is being looked at.
pub(super) enum Waiting {
    /// This CONNECT packet.
    Mqtt(Box<[u8]>),
    /// A request with this id.
    Json(Option<u64>),
    /// A request whose head is to be read again.
    Http,
    /// What is in the connection's input.
    Framed,
}

/// A client in the middle of proving who it is (MQTT 5.0 §4.12).
pub(super) struct Scram {
    /// The CONNECT packet that waits for it; none when the connection stands already.
    pub(super) connect: Option<Box<[u8]>>,
    /// What it was asked; none when it has yet to begin.
    pub(super) challenge: Option<Challenge>,
    /// The users of when it was asked.
    pub(super) users: Option<Arc<Users>>,
}

/// What is remembered between the packets of an MQTT client.
#[derive(Default)]
pub(super) struct MqttInput {
    /// None until CONNECT has come.
    pub(super) version: Option<Version>,
    /// It came by WebSocket and the client offered the subprotocol of MQTT 3.1 only.
    pub(super) is_old: bool,
    /// MQTT bytes that came in WebSocket frames and are no whole packet yet.
    pub(super) partial: Vec<u8>,
    /// Topic aliases of the client, number 1 first. They end with the connection [MQTT-3.3.2-7].
    pub(super) aliases: Vec<Option<Topic>>,
    /// The topic of the last publish: mostly that of the next one too, which so needs no check and no copy.
    pub(super) last_topic: Option<Topic>,
    pub(super) session_expiry_s: u32,
    /// CONNECT named SCRAM as its authentication method.
    pub(super) uses_scram: bool,
    /// It is under way.
    pub(super) scram: Option<Box<Scram>>,
    /// Whether the client wants reason strings [MQTT-3.1.2-29].
    pub(super) wants_reasons: bool,
}

/// How messages are put into bytes for it.
pub(super) enum Form {
    /// It is sent no messages.
    None,
    Mqtt(MqttForm),
    /// A WebSocket text frame for each message.
    JsonText,
    /// A line for each message.
    JsonLine,
    /// As it has asked for it in JSON's hello.
    JsonShaped(Shape),
    /// A datagram for each message.
    JsonDatagram,
    /// A server-sent event for each message, with how far the stream has come, if any of its topics may have a history.
    Sse(Option<Box<Trail>>),
    /// A datagram for each packet.
    MqttSn(Box<Client>),
    /// A frame for each message.
    Framed(Arc<Profile>),
}

pub(super) struct MqttForm {
    pub(super) version: Version,
    /// Topic aliases towards the client, if it takes any.
    pub(super) aliases: Option<Box<Aliases>>,
}

/// Topic aliases towards a client.
pub(super) struct Aliases {
    pub(super) max: u16,
    pub(super) numbers: HashMap<Box<str>, u16, foldhash::fast::RandomState>,
}

impl MqttForm {
    /// The alias for a topic, and whether the topic has to go along with it: the first so many topics of a connection
    /// get one, and keep it; none beyond the client's maximum [MQTT-3.1.2-26] [MQTT-3.3.2-11], and never 0
    /// [MQTT-3.3.2-8].
    pub(super) fn alias(&mut self, topic: &str) -> Option<(u16, bool)> {
        let aliases = self.aliases.as_mut()?;
        if let Some(&number) = aliases.numbers.get(topic) {
            return Some((number, false));
        }
        if aliases.numbers.len() >= usize::from(aliases.max) {
            return None;
        }
        let number = aliases.numbers.len() as u16 + 1;
        aliases.numbers.insert(topic.into(), number);
        Some((number, true))
    }

    /// Takes an alias back that [`alias`](Self::alias) has just made, when the client was not told of it.
    pub(super) fn forget_newest_alias(&mut self, topic: &str) {
        if let Some(aliases) = &mut self.aliases {
            // Numbers are given out by how many there are, so only the newest may go.
            let number = aliases.numbers.remove(topic);
            debug_assert_eq!(number.map(usize::from), Some(aliases.numbers.len() + 1));
        }
    }
}

/// How far a connection is from its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Open,
    /// What is in the outbox goes out, then the writing side is closed.
    Closing,
    /// The writing side is closed; the peer's last bytes are read and thrown away, since closing the socket under them
    /// would destroy what was sent before it was read.
    Lingering,
}

impl Connection {
    pub(super) fn new(link: Link, listener: usize, serial: u32, now: Time) -> Connection {
        Connection {
            link,
            listener: u16::try_from(listener).expect("nobody configures so many listeners"),
            serial,
            kind: Kind::New,
            input: Input::First,
            rest: Vec::new(),
            form: Form::None,
            packet_bytes_max: u32::MAX,
            outbox: Outbox::default(),
            deflate: Deflate::default(),
            overflow: None,
            held: None,
            holds_all: false,
            session: None,
            user: None,
            forwarded: None,
            has_asked: false,
            json: None,
            waiting: None,
            heard_at: now,
            alive_at: now,
            ping_at: None,
            silence_ms_max: 0,
            deadline: None,
            phase: Phase::Open,
            is_dirty: false,
            is_blocked: false,
            is_starved: false,
            is_weighed: false,
            is_readable: false,
            has_more: false,
            is_publisher: false,
            needs_disk: false,
            is_paused: false,
            counted_bytes: 0,
            is_too_slow: false,
            is_held: false,
            is_draining: false,
            has_said_close: false,
            has_heard_close: false,
            is_half_closed: false,
            is_gone: false,
            failures: 0,
            discarded_bytes: 0,
            timer_at: None,
        }
    }

    /// Where to put what may go out once the batch `waits_for` is on disk, when `durable` are: at once, or behind all else
    /// that waits for such a thing. Returns the batch that it waits for; 0 for none.
    pub(super) fn rope(&mut self, waits_for: u64, durable: u64) -> (&mut Outbox, u64) {
        if waits_for <= durable && self.held.is_none() {
            return (&mut self.outbox, 0);
        }
        let held = &mut self.held.get_or_insert_default().0;
        let last = held.back().map_or(0, |(batch, _)| *batch);
        if held.is_empty() || last < waits_for {
            held.push_back((waits_for, Outbox::default()));
        }
        let (batch, rope) = held.back_mut().expect("one has been pushed if there was none");
        (rope, *batch)
    }

    /// Where to put what waits for nothing: behind what is held, if CONNACK is among that, or a topic alias may be that
    /// the client has not been told. To JSON the answer to hello is one like any other, and what is joined with others is so
    /// in the outbox only.
    pub(super) fn open_rope(&mut self) -> &mut Outbox {
        let comes_behind = match &self.form {
            Form::Mqtt(form) => self.holds_all || form.aliases.is_some(),
            Form::MqttSn(_) => self.holds_all,
            _ => false,
        };
        match &mut self.held {
            Some(held) if comes_behind => match held.0.back_mut() {
                Some((_, rope)) => rope,
                None => &mut self.outbox,
            },
            _ => &mut self.outbox,
        }
    }

    /// What only some have that speak JSON, made if there is none.
    pub(super) fn json_own(&mut self) -> &mut Own {
        self.json.get_or_insert_default()
    }

    /// Its requests to which somebody is to answer.
    pub(super) fn asks(&mut self) -> Option<&mut Asks> {
        self.json.as_mut()?.asks.as_deref_mut()
    }

    /// Lets out what has waited for batches up to `durable`. Returns whether there was any.
    pub(super) fn let_out(&mut self, durable: u64, pool: &mut Pool) -> bool {
        let are_datagrams = self.is_udp();
        let mut any = false;
        if self.is_joined() && self.held.is_some() {
            // What is held is whole already.
            self.join(pool);
        }
        let Some(held) = &mut self.held else { return false };
        while let Some((_, rope)) = held.0.pop_front_if(|(batch, _)| *batch <= durable) {
            self.outbox.take_from(rope, are_datagrams, pool);
            any = true;
        }
        if held.0.is_empty() {
            (self.held, self.holds_all) = (None, false);
        }
        if any && self.is_joined() {
            self.outbox.mark_framed();
        }
        any
    }

    /// Bytes and messages that wait in it, whatever for.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let (bytes, messages) = self.held.as_ref().map_or((0, 0), |held| held.size());
        (bytes + self.outbox.bytes(), messages + self.outbox.messages())
    }

    /// Bytes that wait for it, wherever.
    pub(super) fn held_bytes(&self) -> usize {
        let overflow = self.overflow.as_ref().map_or(0, |overflow| overflow.bytes());
        let early = match &self.input {
            Input::StreamWait(waiting) => waiting.early_bytes(),
            _ => 0,
        };
        self.waiting().0 + overflow + early + self.channel().map_or(0, Channel::kept_bytes)
    }

    /// Whether nothing waits in it.
    pub(super) fn has_sent_all(&self) -> bool {
        self.outbox.is_empty() && self.held.is_none()
    }

    /// Whether its bytes are sealed on the way.
    pub(super) fn is_tls(&self) -> bool {
        matches!(&self.link, Link::Stream(stream) if !stream.is_plain())
    }

    pub(super) fn is_udp(&self) -> bool {
        matches!(self.link, Link::Udp(_))
    }

    /// For whom it is, as far as trusted proxies have said.
    pub(super) fn proxied(&self) -> Proxied {
        self.forwarded.as_deref().copied().unwrap_or_default()
    }

    /// What is a channel's only.
    pub(super) fn channel(&self) -> Option<&Channel> {
        match &self.link {
            Link::Channel(channel) => Some(channel),
            _ => None,
        }
    }

    pub(super) fn channel_mut(&mut self) -> Option<&mut Channel> {
        match &mut self.link {
            Link::Channel(channel) => Some(channel),
            _ => None,
        }
    }

    pub(super) fn is_mqtt_in_websocket(&self) -> bool {
        self.kind == Kind::MqttWebSocket
    }

    /// When it has to be looked at, unless something comes in before.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let silence =
            (self.silence_ms_max > 0).then(|| self.heard_at.plus_ms(u64::from(self.silence_ms_max)));
        let resend = match (&self.link, &self.form) {
            (_, Form::MqttSn(client)) => client.resend_at(),
            (Link::Udp(peer), _) => peer.unacknowledged.front().map(|u| u.resend_at),
            (Link::Stream(_) | Link::Channel(_), _) => None,
        };
        let ping = self.ping_at.filter(|_| self.phase == Phase::Open);
        let ask = self.json.as_ref().and_then(|own| own.next_at());
        let frames = match &self.input {
            Input::Framed(framed) => framed.next_at(),
            _ => None,
        };
        [silence, self.deadline, ping, resend, ask, frames].into_iter().flatten().min()
    }
}
