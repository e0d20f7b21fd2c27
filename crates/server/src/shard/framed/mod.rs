//! Raw sockets whose bytes are cut into frames, and whose frames are messages: framed listeners, and devices that the hub
//! has connected to.
//!
//! A connection is one of the shard like any other, with a session of the hub (`Form::Framed`). What it is called, and
//! which topics it has to do with, is made of the listener's templates once: when it comes, or when its registration frame
//! has ([`begin`]). [`frames`] publishes what comes, [`send`] puts what the session gets into frames. [`ending`] says to
//! others whether it is there. Over UDP a peer is a connection as long as it is heard from ([`datagrams`]).

mod begin;
mod datagrams;
mod ending;
mod frames;
mod send;

pub(super) use send::FramedRun;

use super::ShardLoop;
use crate::framed::{Fault, Profile};
use begin::Opening;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_config::Template;
use trefoil_framing::{Decoder, Telnet};
use trefoil_hub::{ConnectionKey, SessionKey, Time, Topic};

/// How long the log is spared saying the same of one listener again.
const QUIET_S: u64 = 60;

/// How long a window of [`trefoil_config::Framed::rate_max`] is.
const RATE_MS: u64 = 1000;

/// What is remembered between the frames of a connection.
pub(crate) struct FramedInput {
    profile: Arc<Profile>,
    /// None over UDP, where each datagram has one of its own.
    decoder: Option<Box<Decoder>>,
    telnet: Telnet,
    /// So many bytes of what has been read and not been dealt with are out of the telnet protocol already.
    clean_bytes: usize,
    stage: Stage,
    target: Target,
    /// What it has said of itself, [hashed](Profile::registration): so that it is known when it says something else.
    registration: u64,
    /// How many frames it has sent, where there is a limit to that.
    throttle: Option<Box<Throttle>>,
    /// The hub has made the connection.
    dialled: Option<Box<Dialled>>,
}

/// How many frames have come in a second.
#[derive(Default)]
struct Throttle {
    /// When it began.
    since: Time,
    frames: u32,
    /// They are as many as may be, and the connection is read from again then.
    resume_at: Option<Time>,
}

/// A connection that the hub has made.
pub(crate) struct Dialled {
    /// Where to, as it is configured.
    pub(crate) address: Arc<str>,
    /// Dropped when the connection is: whoever made it then makes another one.
    pub(crate) _ended: oneshot::Sender<()>,
}

/// How far it is.
enum Stage {
    /// Its first frame has to say who it is.
    Registering,
    /// What it is called is known; it has yet to come to the shard of its session, or to prove who it is.
    Opening(Box<Opening>),
    Open(SessionKey),
    /// It has been refused.
    Over,
}

/// Where its frames go.
enum Target {
    Nowhere,
    /// The same topic for all.
    Topic(Topic),
    /// What is in a frame decides, too. The last topic is mostly that of the next one.
    Each(Box<(Template, Option<Topic>)>),
}

/// What a shard knows beside its connections.
#[derive(Default)]
pub(super) struct Own {
    /// Until when nothing more is logged of a fault at a listener.
    quiet_until: HashMap<(u16, Fault), Time>,
    /// Kept for its memory.
    text: String,
}

impl FramedInput {
    pub(crate) fn new(profile: Arc<Profile>, dialled: Option<Dialled>) -> FramedInput {
        FramedInput {
            decoder: profile.decoder.clone().filter(|_| !profile.is_udp).map(Box::new),
            throttle: (profile.settings.rate_max > 0).then(Box::default),
            profile,
            telnet: Telnet::default(),
            clean_bytes: 0,
            stage: Stage::Registering,
            target: Target::Nowhere,
            registration: 0,
            dialled: dialled.map(Box::new),
        }
    }

    /// When something has to be done even though nothing comes.
    pub(super) fn next_at(&self) -> Option<Time> {
        let gap = self.decoder.as_deref().and_then(Decoder::deadline);
        // The gap is over when the deadline has passed, and a shard's clock counts whole milliseconds.
        let gap = gap.map(|at| Time::from_ms(u64::try_from(at.as_millis()).unwrap_or(u64::MAX)));
        [gap, self.resume_at()].into_iter().flatten().min()
    }

    /// Whether there is a limit to what it may send in a second.
    pub(super) fn is_throttled(&self) -> bool {
        self.throttle.is_some()
    }

    /// When it is read from again that has sent as much as it may.
    pub(super) fn resume_at(&self) -> Option<Time> {
        self.throttle.as_ref()?.resume_at
    }

    /// Whether it may send a frame now. If not: when it may.
    fn may_send(&mut self, now: Time) -> Result<(), Time> {
        let Some(throttle) = &mut self.throttle else { return Ok(()) };
        let until = throttle.since.plus_ms(RATE_MS);
        if now >= until {
            (throttle.since, throttle.frames) = (now, 0);
        }
        if throttle.frames >= self.profile.settings.rate_max { Err(until) } else { Ok(()) }
    }

    fn count_frame(&mut self) {
        if let Some(throttle) = &mut self.throttle {
            throttle.frames += 1;
        }
    }

    /// It is not read from until then.
    fn wait_until(&mut self, until: Time) {
        if let Some(throttle) = &mut self.throttle {
            throttle.resume_at = Some(until);
        }
    }

    /// Whether it has waited for long enough.
    fn has_waited(&mut self, now: Time) -> bool {
        self.throttle.as_mut().is_some_and(|throttle| throttle.resume_at.take_if(|at| *at <= now).is_some())
    }
}

/// The time as a decoder has it.
fn clock(now: Time) -> Duration {
    Duration::from_millis(now.as_ms())
}

impl ShardLoop {
    /// The listener of a connection as all shards know it, if it is a framed one.
    pub(super) fn profile(&self, listener: usize) -> Option<Arc<Profile>> {
        self.net.context.listeners[listener].framed.clone()
    }

    /// Counts what was wrong with a frame, and says so now and then: a device cannot be told.
    fn framed_fault(&mut self, key: ConnectionKey, fault: Fault, why: &dyn std::fmt::Display) {
        let Some(listener) = self.net.get(key).map(|connection| connection.listener) else { return };
        self.framed_fault_of(usize::from(listener), self.address_of(key), fault, why);
    }

    fn framed_fault_of(
        &mut self,
        listener: usize,
        peer: Option<IpAddr>,
        fault: Fault,
        why: &dyn std::fmt::Display,
    ) {
        self.net.stats().framed_faults[fault as usize].add(1);
        let now = self.net.now;
        let until = self.framed.quiet_until.entry((listener as u16, fault)).or_default();
        if *until > now {
            return;
        }
        *until = now.plus_s(QUIET_S);
        let Some(profile) = self.profile(listener) else { return };
        let peer = peer.map_or_else(|| "somebody".to_owned(), |peer| peer.to_string());
        tracing::warn!(
            "framed connections at {}: {why}; last from {peer}, and counted in \
             trefoil_framed_faults_total{{reason=\"{}\"}}",
            profile.settings.name,
            Fault::ALL[fault as usize].1
        );
    }
}
