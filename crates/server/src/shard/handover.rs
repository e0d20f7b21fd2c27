//! Connections that go to another process, and those that come from one: see [`crate::handover`].

use super::ShardLoop;
use super::connection::{Aliases, Connection, Form, Input, Link, MqttForm, MqttInput, Phase};
use crate::handover::record::{Head, Promised, Record};
use crate::handover::{HandedConnection, Look, RECORD_BYTES_MAX, Step};
use crate::keeper;
use crate::mail::Mail;
use crate::proxied::Proxied;
use crate::stats::Kind;
use crate::stream::Stream;
use socket2::SockRef;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use trefoil_hub::{ConnectionKey, Ending, SessionKey, Topic};
use trefoil_mqtt::{Disconnect, ReasonCode, Version};
use trefoil_websocket::{Limits, Receiver, Role};

/// What waits in the outbox of a connection that is handed over, at most.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// How far the shard is with handing over.
#[derive(Default)]
pub(super) struct Handover {
    stage: Stage,
    /// Pieces of mail that have been taken or sent since somebody last asked.
    pub(super) mail: u64,
    /// Those that have come from another process and are to be resumed.
    taken: Vec<(ConnectionKey, SessionKey)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Default)]
enum Stage {
    #[default]
    Serving,
    /// Those who stay behind have been told to go.
    Parting,
    /// Nothing is read, and nothing becomes due.
    Frozen,
}

impl ShardLoop {
    pub(super) fn take_step(&mut self, step: Step) {
        // Whoever asks may have lost patience.
        match step {
            Step::Part(reply) => {
                self.part();
                let _ = reply.send(());
            }
            Step::Freeze(reply) => {
                self.handover.stage = Stage::Frozen;
                let _ = reply.send(());
            }
            Step::Look(reply) => {
                let _ = reply.send(self.look());
            }
            Step::Pack(bytes_max, reply) => {
                let _ = reply.send(self.pack_all(bytes_max));
            }
        }
    }

    /// Counts mail that may change something. What comes from the disk changes nothing but what waits for it.
    pub(super) fn note_mail(&mut self, mail: &Mail) {
        let is_counted =
            !matches!(mail, Mail::Handover(_) | Mail::Durable(_) | Mail::Checkpoint { .. } | Mail::Fence(_));
        self.handover.mail += u64::from(is_counted);
    }

    /// Whether no new clients are taken, since the shard hands over.
    pub(super) fn is_parting(&self) -> bool {
        self.handover.stage >= Stage::Parting
    }

    /// Whether the shard stands still, except for those who have been told to go.
    pub(super) fn is_frozen(&self) -> bool {
        self.handover.stage == Stage::Frozen
    }

    /// Says goodbye to whoever cannot be handed over.
    fn part(&mut self) {
        self.handover.stage = Stage::Parting;
        self.rooms_end();
        self.finish_run();
        let stays = self.net.connections.iter().filter(|(_, connection)| !can_go(connection));
        let keys: Vec<_> = stays.map(|(key, _)| ConnectionKey(key as u32)).collect();
        let until = self.net.now.plus_s(self.net.context.limits.drain_s.into());
        keys.iter().for_each(|&key| self.say_goodbye(key));
        self.flush_all();
        for &key in &keys {
            self.end_session(key, Ending::Stopped);
            self.finish(key);
            self.set_deadline(key, Some(until));
        }
    }

    fn look(&mut self) -> Look {
        let is_still = std::mem::take(&mut self.handover.mail) == 0
            && self.net.mail.iter().all(Vec::is_empty)
            && self.net.holding.is_empty()
            && self.last_words.is_empty()
            && self.net.dirty.is_empty()
            && self.held_replies.is_empty();
        let closing = self.net.connections.iter().filter(|(_, c)| c.phase != Phase::Open && !c.is_udp());
        Look { is_still, closing: closing.count() }
    }

    fn pack_all(&mut self, mut bytes_max: usize) -> Vec<HandedConnection> {
        let start_ms = keeper::clock_ms().saturating_sub(self.net.now.as_ms());
        let all = self.net.connections.iter().filter(|(_, connection)| can_go(connection));
        let keys: Vec<_> = all.map(|(key, _)| ConnectionKey(key as u32)).collect();
        let mut packed = Vec::new();
        self.begin_event();
        for key in keys {
            let Some(record) = self.pack(key, start_ms).filter(|record| record.len() <= bytes_max) else {
                continue;
            };
            bytes_max -= record.len();
            let session = self.net.get_mut(key).and_then(|connection| connection.session.take());
            let Some(session) = session else { continue };
            self.hub.let_go(self.net.now, session, &mut self.net);
            packed.extend(self.unplug(key).map(|socket| HandedConnection { socket, record }));
        }
        packed
    }

    /// What another process has to know of a connection; none if that is too much.
    fn pack(&mut self, key: ConnectionKey, start_ms: u64) -> Option<Vec<u8>> {
        let context = self.net.context.clone();
        let connection = self.net.get(key)?;
        let session = connection.session?;
        if connection.held.is_some() || connection.outbox.bytes() > OUTPUT_BYTES_MAX {
            return None;
        }
        let (state, is_websocket) = match &connection.input {
            Input::Mqtt(state) => (state, false),
            Input::MqttWebSocket(_, state) => (state, true),
            _ => return None,
        };
        let Form::Mqtt(form) = &connection.form else { return None };
        let mut output = Vec::with_capacity(connection.outbox.bytes());
        connection.outbox.write_to(&mut output);
        let mut aliases_out = vec![String::new(); form.aliases.as_ref().map_or(0, |a| a.numbers.len())];
        for (topic, number) in form.aliases.iter().flat_map(|aliases| &aliases.numbers) {
            *aliases_out.get_mut(usize::from(*number) - 1)? = topic.to_string();
        }
        let head = Head {
            listener: context.listeners[usize::from(connection.listener)].bind.to_string(),
            is_websocket,
            client_id: self.hub.client_id(session)?.to_string(),
            user: connection.user.as_deref().map(Into::into),
            forwarded: connection.proxied().client(),
            version: form.version as u8,
            packet_bytes_max: connection.packet_bytes_max,
            silence_ms_max: connection.silence_ms_max,
            session_expiry_s: state.session_expiry_s,
            uses_scram: state.uses_scram,
            wants_reasons: state.wants_reasons,
            is_publisher: connection.is_publisher,
            promised: Promised::by(&context.limits),
            aliases_in: state.aliases.iter().map(|topic| topic.as_ref().map(|t| t.to_string())).collect(),
            aliases_max: form.aliases.as_ref().map_or(0, |aliases| aliases.max),
            aliases_out,
            output_messages: u32::try_from(connection.outbox.messages()).ok()?,
            input_bytes: connection.rest.len(),
            partial_bytes: state.partial.len(),
            output_bytes: output.len(),
        };
        let session = self.hub.write_handover(session, start_ms, RECORD_BYTES_MAX)?;
        let (input, partial) = (&connection.rest[..], &state.partial[..]);
        let record = Record { head, input, partial, output: &output, session: &session }.encode()?;
        (record.len() <= RECORD_BYTES_MAX).then_some(record)
    }

    /// Takes a connection out and leaves its socket open.
    fn unplug(&mut self, key: ConnectionKey) -> Option<OwnedFd> {
        let connection = self.net.connections.try_remove(key.0 as usize)?;
        self.net.outbox_bytes = self.net.outbox_bytes.saturating_sub(connection.counted_bytes);
        self.net.stats().connections[connection.kind as usize].add(1u64.wrapping_neg());
        self.dismiss(usize::from(connection.listener));
        let Link::Stream(mut stream) = connection.link else { return None };
        if let Err(error) = self.poll.registry().deregister(&mut stream) {
            tracing::warn!(%error, "a connection is closed since the kernel will not let go of it");
            return None;
        }
        stream.into_socket()
    }

    /// What becomes due while the shard stands still: only the ends of those who have been told to go.
    pub(super) fn handle_time_frozen(&mut self) {
        let mut due = Vec::new();
        self.timers.expire(self.net.now, &mut due);
        for (key, serial) in due {
            let now = self.net.now;
            let Some(connection) = self.net.get_mut(key).filter(|c| c.serial == serial) else { continue };
            connection.timer_at = None;
            if connection.phase == Phase::Open {
                continue;
            }
            match connection.deadline.is_some_and(|at| at <= now) {
                true => self.lose(key),
                false => self.set_timer(key),
            }
        }
        if self.retry_at.is_some_and(|at| at <= self.net.now) {
            self.retry_at = None;
            self.retry();
        }
    }

    /// Goes on with a connection of another process. The caller calls [`resume_taken`](Self::resume_taken) when it has
    /// given all of them.
    ///
    /// # Errors
    /// Why it cannot go on. Its client has been told, as far as that is possible.
    pub(crate) fn take_connection(
        &mut self,
        socket: &OwnedFd,
        listener: usize,
        record: Record<'_>,
        start_ms: u64,
    ) -> Result<(), String> {
        let version = version(record.head.version);
        let stream = Stream::of_socket(socket.as_fd()).map_err(|error| error.to_string());
        let result = stream.and_then(|stream| {
            self.refuses_taken(&stream, listener, &record.head)?;
            let version = version.ok_or("its version of MQTT is none of this hub's")?;
            self.plug_in(stream, listener, &record, version, start_ms)
        });
        if result.is_err() && version == Some(Version::V5) && record.output.is_empty() {
            let mut goodbye = Vec::new();
            Disconnect::new(ReasonCode::ServerShuttingDown).encode(Version::V5, &mut goodbye);
            let is_told = SockRef::from(socket).send(&goodbye);
            tracing::trace!(is_told = is_told.is_ok(), "a client is told to come back");
        }
        result
    }

    /// Whether somebody with that name and from there may not go on.
    fn refuses_taken(&self, stream: &Stream, listener: usize, head: &Head) -> Result<(), String> {
        let context = &self.net.context;
        let own = &context.listeners[listener];
        let (bans, user) = (&context.bans, head.user.as_deref());
        let peer = stream.peer().map(|peer| peer.ip());
        let is_spoken = if head.is_websocket { own.protocols.websocket } else { own.protocols.mqtt };
        let why = if !is_spoken {
            "its listener does not speak its protocol any more"
        } else if user.is_none() && context.access.is_some() && !own.allow_anonymous {
            "it has not said who it is"
        } else if peer.is_some_and(|peer| bans.refuses_address(peer))
            || bans.refuses_client_id(&head.client_id)
            || user.is_some_and(|user| bans.refuses_user(user))
        {
            "it is banned"
        } else if context.mqtt.server_moved {
            "this server has moved"
        } else if head.version == Version::V5 as u8 && !head.promised.is_within(Promised::by(&context.limits))
        {
            "it was promised more than there is now"
        } else {
            return Ok(());
        };
        Err(why.to_owned())
    }

    fn plug_in(
        &mut self,
        stream: Stream,
        listener: usize,
        record: &Record<'_>,
        version: Version,
        start_ms: u64,
    ) -> Result<(), String> {
        let Record { head, input, partial, output, session } = record;
        let context = self.net.context.clone();
        let counters = [&context.listeners[listener].connections, &context.connections];
        for counter in counters {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let key = self.add_stream(stream, listener).ok_or("the kernel will not watch it")?;
        let tag = self.connection_tag(key);
        let session = match self.hub.take_over(&head.client_id, key, tag, start_ms, session) {
            Ok(session) => session,
            Err(error) => {
                self.remove(key);
                return Err(error.to_string());
            }
        };
        let topic = |topic: &Option<String>| topic.as_ref().and_then(|t| Topic::new(t, usize::MAX).ok());
        let state = Box::new(MqttInput {
            version: Some(version),
            partial: partial.to_vec(),
            aliases: head.aliases_in.iter().map(topic).collect(),
            session_expiry_s: head.session_expiry_s,
            uses_scram: head.uses_scram,
            wants_reasons: head.wants_reasons,
            ..MqttInput::default()
        });
        if head.is_websocket {
            let bytes_max = context.limits.packet_bytes_max;
            let limits = Limits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max };
            let receiver = Box::new(Receiver::new(Role::Server, limits));
            self.set_input(key, Kind::MqttWebSocket, Input::MqttWebSocket(receiver, state));
        } else {
            self.set_input(key, Kind::Mqtt, Input::Mqtt(state));
        }
        let numbers = head.aliases_out.iter().zip(1..).map(|(topic, number)| (topic.as_str().into(), number));
        let aliases = (head.aliases_max > 0).then(|| {
            Box::new(Aliases { max: head.aliases_max, numbers: numbers.collect::<HashMap<_, _, _>>() })
        });
        let net = &mut self.net;
        let Some(connection) = net.connections.get_mut(key.0 as usize) else { return Ok(()) };
        connection.session = Some(session);
        connection.user = head.user.as_deref().map(Into::into);
        connection.forwarded =
            head.forwarded.map(|_| Box::new(Proxied { connection: head.forwarded, ..Proxied::default() }));
        connection.form = Form::Mqtt(MqttForm { version, aliases });
        connection.packet_bytes_max = head.packet_bytes_max;
        connection.is_publisher = head.is_publisher;
        connection.rest = input.to_vec();
        if !output.is_empty() {
            connection.outbox.copy(output, head.output_messages, &mut net.pool);
            connection.outbox.mark_framed();
        }
        self.set_deadline(key, None);
        self.set_silence(key, head.silence_ms_max);
        if head.is_websocket {
            self.begin_pings(key);
        }
        self.handover.taken.push((key, session));
        Ok(())
    }

    /// Goes on with those that have been taken over, now that all are there.
    pub(crate) fn resume_taken(&mut self) {
        let taken = std::mem::take(&mut self.handover.taken);
        // The store says that they are away. That they are not is to be on disk soon, whoever waits for it.
        self.net.is_awaited |= !taken.is_empty();
        for (key, session) in taken {
            self.begin_event();
            self.resume(key, session);
            self.net.mark_dirty(key);
            // What came while it was on its way makes no event here.
            self.note_readable(key);
        }
    }
}

fn version(level: u8) -> Option<Version> {
    [Version::V3_1, Version::V3_1_1, Version::V5].into_iter().find(|version| *version as u8 == level)
}

/// Whether a connection can be handed over, as far as that does not change within moments.
fn can_go(connection: &Connection) -> bool {
    let is_ready = |state: &MqttInput| state.version.is_some() && state.scram.is_none();
    let is_ready = match &connection.input {
        Input::Mqtt(state) => is_ready(state),
        Input::MqttWebSocket(receiver, state) => is_ready(state) && receiver.is_idle(),
        _ => false,
    };
    is_ready
        && matches!(&connection.link, Link::Stream(stream) if stream.is_plain())
        && matches!(connection.form, Form::Mqtt(_))
        && connection.phase == Phase::Open
        && connection.session.is_some()
        && connection.waiting.is_none()
        && connection.deadline.is_none()
        && connection.overflow.is_none()
        && connection.outbox.bytes() <= OUTPUT_BYTES_MAX
        && !connection.is_gone
        && !connection.is_too_slow
        && !connection.has_said_close
        // The record says nothing of windows.
        && !connection.deflate.is_agreed()
}
