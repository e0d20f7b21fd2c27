//! An MQTT client without sockets and clocks: bytes go in, bytes and [`Event`]s come out.
//!
//! It keeps what clients promise (MQTT 5.0 §4.1, §4.3, §4.4, §4.6), and notices at once when the hub breaks what a
//! client can see for itself: an acknowledgement out of order, a packet id used twice, a window overrun.

use crate::history::{Event, History, Message};
use crate::wire::{self, Connect, Kind, Packet, Publish, Version, Will};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// How a client introduces itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its place in the history.
    pub number: usize,
    /// Its client id.
    pub client_id: String,
    /// What it speaks.
    pub version: Version,
    /// How long its session is to outlast a connection. Before MQTT 5.0: 0 or for ever.
    pub expiry_s: u32,
    /// Messages above QoS 0 that it takes at a time; only MQTT 5.0 can say it.
    pub receive_max: u16,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    options: Options,
    kept: Kept,
    line: Option<Line>,
    /// How often it has asked for subscriptions.
    requests: u64,
}

/// What survives a restart of the client.
#[derive(Default, Debug)]
struct Kept {
    /// Messages above QoS 0 that are not through yet, in order; those that were sent come first.
    outgoing: VecDeque<Outgoing>,
    /// Packet ids of QoS 2 messages that came and are not released, with the message.
    incoming: BTreeMap<u16, u64>,
    last_id: u16,
    /// Its own state was lost, so a session at the hub must be forgotten before it can be used.
    must_start_clean: bool,
    /// The hub has begun a new session and the application has not asked about it yet.
    is_new: bool,
}

#[derive(Debug)]
struct Outgoing {
    message: Message,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Queued,
    Published(u16),
    Released(u16),
}

impl State {
    fn id(self) -> Option<u16> {
        match self {
            State::Queued => None,
            State::Published(id) | State::Released(id) => Some(id),
        }
    }
}

/// One connection.
#[derive(Debug)]
struct Line {
    input: Vec<u8>,
    output: Vec<u8>,
    asked_clean: bool,
    is_accepted: bool,
    /// Messages above QoS 0 that the hub takes at a time.
    window: usize,
    /// Packet ids that the hub has in flight on this connection.
    unfinished: BTreeSet<u16>,
    /// Answers that it has not given yet.
    owed: VecDeque<(Kind, u16)>,
    /// What it waits for, by packet id.
    subscribing: HashMap<u16, (u64, Vec<String>)>,
    /// With the number of requests before.
    unsubscribing: BTreeMap<u16, (u64, String)>,
}

impl Client {
    /// A client that has never been connected.
    pub fn new(options: Options) -> Client {
        // A CONNACK that says that the session is new may get lost, so only a clean start makes sure of it.
        Client { options, kept: Kept { must_start_clean: true, ..Kept::default() }, line: None, requests: 0 }
    }

    /// How it introduces itself.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Lets packet ids begin after this one.
    pub fn set_last_packet_id(&mut self, id: u16) {
        self.kept.last_id = id;
    }

    /// Whether it has a connection that the hub has accepted.
    pub fn is_ready(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.is_accepted)
    }

    /// Whether it has a connection.
    pub fn has_line(&self) -> bool {
        self.line.is_some()
    }

    /// Whether the hub has begun a new session, without subscriptions, since this was last asked.
    pub fn take_new_session(&mut self) -> bool {
        std::mem::take(&mut self.kept.is_new)
    }

    /// Whether nothing is under way: every message is through, every request answered, every answer given.
    pub fn is_idle(&self) -> bool {
        self.kept.outgoing.is_empty()
            && self.kept.incoming.is_empty()
            && self.line.as_ref().is_none_or(|line| {
                line.is_accepted
                    && line.owed.is_empty()
                    && line.subscribing.is_empty()
                    && line.unsubscribing.is_empty()
            })
    }

    /// What it has not got through yet, for people who look for a fault.
    pub fn unfinished(&self) -> String {
        format!("{:?}, received but not released: {:?}", self.kept.outgoing, self.kept.incoming)
    }

    /// Opens a connection. It starts clean when it is to or has to.
    pub fn connect(&mut self, clean: bool, will: Option<(&Will, &Message)>, history: &mut History) {
        let Options { version, expiry_s, receive_max, number, .. } = self.options;
        // Clean session of MQTT 3.1.1 also means that the session ends with the connection.
        let clean = clean || self.kept.must_start_clean || version == Version::V4 && expiry_s == 0;
        if clean {
            self.forget_session(history);
            // Until the hub has answered it is not sure that the hub knows.
            self.kept.must_start_clean = true;
        }
        let mut output = Vec::new();
        let client_id = &self.options.client_id;
        Connect { version, client_id, clean, expiry_s, receive_max, will: will.map(|w| w.0) }
            .put(&mut output);
        if let Some((_, message)) = will {
            history.add(number, Event::Bequeathed(message.clone()));
        }
        self.line = Some(Line {
            input: Vec::new(),
            output,
            asked_clean: clean,
            is_accepted: false,
            window: 0,
            unfinished: BTreeSet::new(),
            owed: VecDeque::new(),
            subscribing: HashMap::new(),
            unsubscribing: BTreeMap::new(),
        });
    }

    /// The connection is gone, with all that was under way.
    pub fn lose(&mut self) {
        self.line = None;
    }

    /// The client starts again; `forgetful`: without what it had kept, messages of the application among it.
    pub fn restart(&mut self, forgetful: bool, history: &mut History) {
        self.line = None;
        if forgetful {
            self.forget_session(history);
            self.kept = Kept { must_start_clean: true, last_id: self.kept.last_id, ..Kept::default() };
        }
    }

    /// Says goodbye and closes its side. What it sent before may still arrive.
    pub fn disconnect(&mut self, with_will: bool) -> Vec<u8> {
        let Some(mut line) = self.line.take() else { return Vec::new() };
        if line.is_accepted {
            wire::put_disconnect(with_will, &mut line.output);
        }
        line.output
    }

    /// Publishes. At QoS 0 a message is lost when there is no connection; above it waits.
    pub fn publish(&mut self, message: Message, history: &mut History) {
        if message.qos > 0 {
            self.kept.outgoing.push_back(Outgoing { message, state: State::Queued });
            return self.pump(history);
        }
        let version = self.options.version;
        let Some(line) = self.line.as_mut().filter(|line| line.is_accepted) else { return };
        publish(&message, 0, false).put(version, &mut line.output);
        history.add(self.options.number, Event::Sent(message));
    }

    /// Asks for subscriptions: filters with the QoS wanted, and whether retained messages are wanted.
    pub fn subscribe(&mut self, filters: &[(&str, u8, bool)], history: &mut History) {
        let (number, version) = (self.options.number, self.options.version);
        let id = self.free_id();
        let Some(line) = self.line.as_mut().filter(|line| line.is_accepted) else { return };
        self.requests += 1;
        let (mut asked, request) = (Vec::new(), self.requests);
        for &(filter, qos, wants_retained) in filters {
            // MQTT 3.1.1 cannot decline retained messages.
            let wants_retained = wants_retained || version == Version::V4;
            asked.push((filter, if wants_retained { qos } else { qos | 0x20 }));
            history.add(number, Event::Subscribing { filter: filter.into(), qos, wants_retained, request });
        }
        wire::put_subscribe(version, id, &asked, &mut line.output);
        let filters = filters.iter().map(|(filter, ..)| (*filter).into()).collect();
        line.subscribing.insert(id, (request, filters));
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, filter: &str, history: &mut History) {
        let id = self.free_id();
        let Some(line) = self.line.as_mut().filter(|line| line.is_accepted) else { return };
        wire::put_unsubscribe(self.options.version, id, filter, &mut line.output);
        line.unsubscribing.insert(id, (self.requests, filter.into()));
        history.add(self.options.number, Event::Unsubscribing { filter: filter.into() });
    }

    /// How many answers it owes.
    pub fn owed(&self) -> usize {
        self.line.as_ref().map_or(0, |line| line.owed.len())
    }

    /// Gives the oldest `count` of the answers that it owes, in order [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4].
    pub fn answer(&mut self, count: usize) {
        let Some(line) = &mut self.line else { return };
        for (kind, id) in line.owed.drain(..count.min(line.owed.len())) {
            if matches!(kind, Kind::PubAck | Kind::PubComp) {
                line.unfinished.remove(&id);
            }
            wire::put_ack(kind, id, &mut line.output);
        }
    }

    /// What it has to send.
    pub fn output(&mut self) -> Vec<u8> {
        self.line.as_mut().map(|line| std::mem::take(&mut line.output)).unwrap_or_default()
    }

    /// Takes bytes from the hub.
    ///
    /// # Errors
    /// When the hub broke a rule.
    pub fn receive(&mut self, bytes: &[u8], history: &mut History) -> Result<(), String> {
        let version = self.options.version;
        let Some(line) = &mut self.line else { return Ok(()) };
        line.input.extend_from_slice(bytes);
        while let Some(line) = &mut self.line {
            let Some(packet) = wire::take(&mut line.input, version)? else { break };
            self.packet(packet, history)?;
        }
        Ok(())
    }

    fn packet(&mut self, packet: Packet, history: &mut History) -> Result<(), String> {
        let Some(line) = &mut self.line else { return Ok(()) };
        if !line.is_accepted && !matches!(packet, Packet::ConnAck { .. }) {
            return Err(format!("{packet:?} came before CONNACK"));
        }
        match packet {
            Packet::ConnAck { session_present, code, receive_max } => {
                self.accepted(session_present, code, receive_max, history)
            }
            Packet::Publish(publish) => self.publish_came(&publish, history),
            Packet::Ack { kind: Kind::PubRel, packet_id, .. } => {
                self.kept.incoming.remove(&packet_id);
                line.owed.push_back((Kind::PubComp, packet_id));
                Ok(())
            }
            Packet::Ack { kind, packet_id, code } => self.acknowledged(kind, packet_id, code, history),
            Packet::SubAck { packet_id, codes } => {
                let found = line.subscribing.remove(&packet_id);
                let (request, asked) = found.ok_or("SUBACK for nothing")?;
                if asked.len() != codes.len() {
                    return Err(format!("SUBACK has {} codes for {} filters", codes.len(), asked.len()));
                }
                for (filter, qos) in asked.into_iter().zip(codes) {
                    if qos > 2 {
                        return Err(format!("SUBACK refuses {filter} with {qos:#x}"));
                    }
                    history.add(self.options.number, Event::Subscribed { filter, qos, request });
                }
                Ok(())
            }
            Packet::UnsubAck { packet_id } => {
                let asked = line.unsubscribing.remove(&packet_id);
                let (requests, filter) = asked.ok_or("UNSUBACK for nothing")?;
                if requests == self.requests {
                    history.add(self.options.number, Event::Unsubscribed { filter });
                }
                Ok(())
            }
            Packet::PingResp => Ok(()),
            Packet::Disconnect { code } => Err(format!("the hub says goodbye with {code:#x}")),
        }
    }

    fn accepted(
        &mut self,
        session_present: bool,
        code: u8,
        receive_max: u16,
        history: &mut History,
    ) -> Result<(), String> {
        let Some(line) = &mut self.line else { return Ok(()) };
        if code != 0 {
            return Err(format!("CONNACK refuses with {code:#x}"));
        }
        if line.is_accepted {
            return Err("a second CONNACK".into());
        }
        if session_present && line.asked_clean {
            return Err("a session is present, but a clean one was asked for [MQTT-3.2.2-2]".into());
        }
        line.is_accepted = true;
        line.window = usize::from(receive_max);
        self.kept.must_start_clean = false;
        if !session_present {
            // [MQTT-3.2.2-5]
            self.forget_session(history);
            self.kept.is_new = true;
        }
        let (number, version) = (self.options.number, self.options.version);
        let Some(line) = &mut self.line else { return Ok(()) };
        for outgoing in &self.kept.outgoing {
            // [MQTT-4.4.0-1] [MQTT-4.6.0-1]
            match outgoing.state {
                State::Queued => {}
                State::Published(id) => {
                    publish(&outgoing.message, id, true).put(version, &mut line.output);
                    history.add(number, Event::Resent(outgoing.message.number));
                }
                State::Released(id) => wire::put_ack(Kind::PubRel, id, &mut line.output),
            }
        }
        self.pump(history);
        Ok(())
    }

    fn publish_came(&mut self, publish: &Publish, history: &mut History) -> Result<(), String> {
        let Some(line) = &mut self.line else { return Ok(()) };
        let Publish { qos, packet_id, dup, retain, .. } = *publish;
        let topic = publish.topic.clone();
        let number = Message::number_in(&publish.payload)
            .ok_or_else(|| format!("a message on {topic} that nobody sent"))?;
        if qos > 0 {
            let is_known = !line.unfinished.insert(packet_id);
            if is_known {
                return Err(format!("packet id {packet_id} comes twice on a connection [MQTT-2.2.1-4]"));
            }
            let limit = usize::from(self.options.receive_max);
            if self.options.version == Version::V5 && line.unfinished.len() > limit {
                return Err(format!("more than {limit} messages in flight [MQTT-3.3.4-9]"));
            }
            line.owed.push_back((if qos == 1 { Kind::PubAck } else { Kind::PubRec }, packet_id));
        }
        if qos == 2 {
            match self.kept.incoming.insert(packet_id, number) {
                None => {}
                // [MQTT-4.3.3-10]: it is the same message once more.
                Some(known) if known == number && dup => return Ok(()),
                Some(known) => {
                    return Err(format!("packet id {packet_id} of message {known} is used for {number}"));
                }
            }
        }
        if number == 0 {
            return Ok(());
        }
        history.add(self.options.number, Event::Delivered { number, topic, qos, retain, dup });
        Ok(())
    }

    fn acknowledged(
        &mut self,
        kind: Kind,
        packet_id: u16,
        code: u8,
        history: &mut History,
    ) -> Result<(), String> {
        let (wanted, qos) = match kind {
            Kind::PubAck => (State::Published(packet_id), 1),
            Kind::PubRec => (State::Published(packet_id), 2),
            _ => (State::Released(packet_id), 2),
        };
        if code >= 0x80 && kind != Kind::PubComp {
            return Err(format!("{kind:?} refuses packet id {packet_id} with {code:#x}"));
        }
        let is_like = |o: &Outgoing| {
            o.message.qos == qos && std::mem::discriminant(&o.state) == std::mem::discriminant(&wanted)
        };
        // [MQTT-4.6.0-2] [MQTT-4.6.0-3]: answers come in the order of what they answer.
        let at =
            self.kept.outgoing.iter().position(is_like).ok_or_else(|| format!("{kind:?} for nothing"))?;
        if self.kept.outgoing[at].state != wanted {
            return Err(format!("{kind:?} for packet id {packet_id} out of turn, or for nothing"));
        }
        let number = self.kept.outgoing[at].message.number;
        if kind != Kind::PubComp {
            history.add(self.options.number, Event::Acknowledged(number));
        }
        if kind == Kind::PubRec {
            self.kept.outgoing[at].state = State::Released(packet_id);
            if let Some(line) = &mut self.line {
                line.owed.push_back((Kind::PubRel, packet_id));
            }
        } else {
            self.kept.outgoing.remove(at);
        }
        self.pump(history);
        Ok(())
    }

    /// Sends what waits, as far as the hub takes it.
    fn pump(&mut self, history: &mut History) {
        loop {
            let in_flight = self.kept.outgoing.iter().filter(|o| o.state != State::Queued).count();
            let is_open = self.line.as_ref().is_some_and(|line| line.is_accepted && in_flight < line.window);
            if !is_open || in_flight == self.kept.outgoing.len() {
                return;
            }
            let id = self.free_id();
            let version = self.options.version;
            let (Some(line), Some(next)) = (&mut self.line, self.kept.outgoing.get_mut(in_flight)) else {
                return;
            };
            next.state = State::Published(id);
            publish(&next.message, id, false).put(version, &mut line.output);
            history.add(self.options.number, Event::Sent(next.message.clone()));
        }
    }

    /// What was sent and not taken over is given up; what the application has yet to send stays.
    fn forget_session(&mut self, history: &mut History) {
        let number = self.options.number;
        history.add(number, Event::SessionLost);
        self.kept.incoming.clear();
        for outgoing in &self.kept.outgoing {
            if matches!(outgoing.state, State::Published(_)) {
                history.add(number, Event::Abandoned(outgoing.message.number));
            }
        }
        self.kept.outgoing.retain(|o| o.state == State::Queued);
    }

    /// A packet id that is not in use [MQTT-2.2.1-3].
    fn free_id(&mut self) -> u16 {
        loop {
            self.kept.last_id = self.kept.last_id.checked_add(1).unwrap_or(1);
            let id = self.kept.last_id;
            let is_taken = self.kept.outgoing.iter().any(|o| o.state.id() == Some(id))
                || self.line.as_ref().is_some_and(|line| {
                    line.subscribing.contains_key(&id) || line.unsubscribing.contains_key(&id)
                });
            if !is_taken {
                return id;
            }
        }
    }
}

fn publish(message: &Message, packet_id: u16, dup: bool) -> Publish {
    Publish {
        dup,
        qos: message.qos,
        retain: message.retain,
        topic: match message.delay_s {
            None => message.topic.clone(),
            Some(seconds) => format!("$delayed/{seconds}/{}", message.topic),
        },
        packet_id,
        expiry_s: message.expiry_s,
        payload: message.payload(),
    }
}
