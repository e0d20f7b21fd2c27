//! How a connection comes by its name, its topics and its session.

use super::{Fault, FramedInput, Stage, Target};
use crate::access::Origin;
use crate::access::kept::{CLIENT_ID_IS_BANNED, USER_IS_BANNED};
use crate::mail::{Arrival, Mail, Stage as ArrivalStage};
use crate::shard::ShardLoop;
use crate::shard::access::Unheard;
use crate::shard::connection::{Form, Input, Link, Waiting};
use crate::stats::Kind;
use regex::bytes::Captures;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use trefoil_config::{Framed, Known, Register, Template};
use trefoil_hub::topic::HUB_TOPICS;
use trefoil_hub::{Connect, ConnectionKey, QoS, RetainHandling, SubscriptionOptions, Topic};

/// What the templates have come to for one connection.
pub(super) struct Opening {
    client_id: Box<str>,
    publish: Option<Template>,
    subscribe: Vec<String>,
    pub(super) status: Option<Topic>,
}

impl Opening {
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// # Errors
    /// A topic of it is not valid; why.
    pub(super) fn new(
        settings: &Framed,
        (peer, peer_ip): (&str, &str),
        registered: Option<&Captures<'_>>,
        levels_max: usize,
    ) -> Result<Opening, String> {
        let known = Known { client_id: "", peer, peer_ip, listener: &settings.name };
        let client_id = settings.client_id.name(known, registered);
        if client_id.is_empty() || client_id.len() > usize::from(u16::MAX) {
            return Err("its client id is empty, or longer than 65535 bytes".into());
        }
        let known = Known { client_id: &client_id, ..known };
        let mut text = String::new();
        let mut subscribe = Vec::with_capacity(settings.subscribe.len());
        for template in &settings.subscribe {
            template.topic(known, registered, None, &mut text);
            subscribe.push(text.clone());
        }
        let status = match &settings.status {
            None => None,
            Some(template) => {
                template.topic(known, registered, None, &mut text);
                Some(topic(&text, levels_max)?)
            }
        };
        let publish = settings.publish.as_ref().map(|template| template.fix(known, registered));
        Ok(Opening { publish, subscribe, status, client_id: client_id.into() })
    }

    fn target(&self, levels_max: usize) -> Result<Target, String> {
        let Some(template) = &self.publish else { return Ok(Target::Nowhere) };
        if template.is_of_frame() {
            return Ok(Target::Each(Box::new((template.clone(), None))));
        }
        let mut text = String::new();
        template.topic(Known::default(), None, None, &mut text);
        topic(&text, levels_max).map(Target::Topic)
    }
}

/// A topic that clients may publish to.
pub(super) fn topic(text: &str, levels_max: usize) -> Result<Topic, String> {
    let topic =
        Topic::new(text, levels_max).map_err(|error| format!("its topic {text:?} cannot be: {error}"))?;
    if topic.starts_with(HUB_TOPICS) {
        return Err(format!("its topic {text:?} is below {HUB_TOPICS}, where only the hub publishes"));
    }
    Ok(topic)
}

/// What a registration frame has come to.
enum Registered {
    Known(Opening),
    /// A password has to be looked at first.
    Asks(Opening, String, Vec<u8>),
}

impl ShardLoop {
    /// A connection has come in at a framed listener.
    /// `input` is what has been read of it.
    pub(in crate::shard) fn framed_begin(&mut self, key: ConnectionKey, listener: usize, input: &[u8]) {
        let Some(profile) = self.profile(listener) else { return };
        self.set_input(key, Kind::FramedTcp, Input::Taken);
        let mut framed = Box::new(FramedInput::new(profile, None));
        self.framed_introduce(key, &mut framed);
        self.framed_settled(key, framed, input.to_vec());
    }

    /// A connection has come from another shard, or from who has made it.
    pub(in crate::shard) fn framed_arrive(
        &mut self,
        key: ConnectionKey,
        mut framed: Box<FramedInput>,
    ) -> bool {
        self.set_input(key, Kind::FramedTcp, Input::Taken);
        self.framed_introduce(key, &mut framed);
        self.framed_settled(key, framed, Vec::new())
    }

    /// Gives a connection its input back, or sends it on. Returns whether it is still here.
    fn framed_settled(&mut self, key: ConnectionKey, framed: Box<FramedInput>, rest: Vec<u8>) -> bool {
        if self.is_leaving.is_some() {
            self.leave_framed(key, framed, rest);
            return false;
        }
        self.put_back(key, Input::Framed(framed));
        true
    }

    /// Sends a connection to the shard in `is_leaving`.
    pub(in crate::shard) fn leave_framed(
        &mut self,
        key: ConnectionKey,
        framed: Box<FramedInput>,
        input: Vec<u8>,
    ) {
        let Some(shard) = self.is_leaving.take() else { return };
        let Some(connection) = self.net.get_mut(key) else { return };
        let (user, forwarded) = (connection.user.take(), connection.proxied());
        let Some((stream, listener, output)) = self.take_out(key) else { return };
        let stage = ArrivalStage::Framed(framed);
        let arrival = Arrival { stream, listener, input, output, forwarded, user, stage };
        self.net.mail[shard].push(Mail::Arrival(Box::new(arrival)));
    }

    /// Goes on with a connection as far as it can without having heard anything more of it.
    fn framed_introduce(&mut self, key: ConnectionKey, framed: &mut FramedInput) {
        if self.net.takes_no_new() {
            // There are no words to say why.
            self.net.stats().refused.add(1);
            return self.lose(key);
        }
        if let Stage::Registering = framed.stage {
            if framed.profile.settings.register.is_some() {
                if self.check_barred(key).is_err() {
                    return self.framed_refuse(key, framed, Fault::WrongSecret, Unheard::Barred.why());
                }
                return;
            }
            match self.framed_opening(key, framed, None) {
                Ok(opening) => framed.stage = Stage::Opening(Box::new(opening)),
                Err(why) => return self.framed_refuse(key, framed, Fault::BadTopic, &why),
            }
        }
        self.framed_open(key, framed);
    }

    fn framed_opening(
        &self,
        key: ConnectionKey,
        framed: &FramedInput,
        registered: Option<&Captures<'_>>,
    ) -> Result<Opening, String> {
        let peer_ip = self.address_of(key).map(|ip| ip.to_canonical().to_string()).unwrap_or_default();
        let peer = self.framed_peer(key, framed);
        let levels_max = self.net.context.limits.topic_levels_max;
        Opening::new(&framed.profile.settings, (&peer, &peer_ip), registered, levels_max)
    }

    /// Address and port of a connection's other end, as templates and others get to know them.
    pub(super) fn framed_peer(&self, key: ConnectionKey, framed: &FramedInput) -> String {
        if let Some(dialled) = &framed.dialled {
            return dialled.address.to_string();
        }
        let Some(connection) = self.net.get(key) else { return String::new() };
        if let Some(client) = connection.proxied().peer() {
            return client;
        }
        let addr = match &connection.link {
            Link::Stream(stream) => stream.peer(),
            Link::Udp(peer) => Some(peer.addr),
            Link::Channel(_) => None,
        };
        // Where there are no addresses, something else has to tell one from another.
        addr.map_or_else(
            || format!("local-{}-{:x}", self.net.number, connection.serial),
            |addr| addr.to_string(),
        )
    }

    /// The first frame of a connection that has to say who it is.
    pub(super) fn framed_register(&mut self, key: ConnectionKey, framed: &mut FramedInput, frame: &[u8]) {
        let registered = self.framed_read_registration(key, framed, frame);
        match registered {
            Err((fault, why)) => self.framed_refuse(key, framed, fault, &why),
            Ok(Registered::Known(opening)) => {
                framed.stage = Stage::Opening(Box::new(opening));
                self.framed_open(key, framed);
            }
            Ok(Registered::Asks(opening, user, password)) => {
                framed.stage = Stage::Opening(Box::new(opening));
                if let Err(unheard) = self.ask(key, &user, &password, Waiting::Framed) {
                    self.framed_refuse(key, framed, Fault::WrongSecret, unheard.why());
                }
            }
        }
    }

    fn framed_read_registration(
        &self,
        key: ConnectionKey,
        framed: &FramedInput,
        frame: &[u8],
    ) -> Result<Registered, (Fault, String)> {
        let settings = &framed.profile.settings;
        let Some(register) = &settings.register else { return Err((Fault::Unregistered, String::new())) };
        let captures = self.framed_captures(register, self.address_of(key).into(), frame)?;
        let group = |number: usize| group(&captures, number);
        let opening =
            self.framed_opening(key, framed, Some(&captures)).map_err(|why| (Fault::BadTopic, why))?;
        Ok(match register.user {
            None => Registered::Known(opening),
            Some((user, password)) => {
                let user = String::from_utf8_lossy(group(user)).into_owned();
                Registered::Asks(opening, user, group(password).to_vec())
            }
        })
    }

    /// What a registration frame says of whoever it comes from, if it is one. A wrong secret is written down.
    pub(super) fn framed_captures<'a>(
        &self,
        register: &Register,
        from: Origin,
        frame: &'a [u8],
    ) -> Result<Captures<'a>, (Fault, String)> {
        let Some(captures) = register.pattern.0.captures(frame) else {
            let why = "the first frame is not what `register` asks for".to_owned();
            return Err((Fault::Unregistered, why));
        };
        if let Some((number, secret)) = &register.secret {
            let wrong = |why: &str| (Fault::WrongSecret, why.to_owned());
            self.check_barred_address(from).map_err(|unheard| wrong(unheard.why()))?;
            let is_right = bool::from(group(&captures, *number).ct_eq(secret.0.as_bytes()));
            let user = is_right.then(|| Arc::from(""));
            match self.judge_address(from, user) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(wrong("its secret is wrong")),
                Err(unheard) => return Err(wrong(unheard.why())),
            }
        }
        Ok(captures)
    }

    /// The password of a registration frame has been looked at.
    pub(in crate::shard) fn framed_verdict(
        &mut self,
        key: ConnectionKey,
        user: Result<Option<Arc<str>>, Unheard>,
    ) {
        let Some(connection) = self.net.get_mut(key) else { return };
        let mut framed = match std::mem::replace(&mut connection.input, Input::Taken) {
            Input::Framed(framed) => framed,
            other => {
                connection.input = other;
                return;
            }
        };
        match user {
            Ok(Some(user)) if self.net.context.bans.refuses_user(&user) => {
                self.framed_refuse(key, &mut framed, Fault::Refused, USER_IS_BANNED);
            }
            Ok(Some(user)) => {
                connection_user(self, key, user);
                self.framed_open(key, &mut framed);
            }
            Ok(None) => {
                self.framed_refuse(
                    key,
                    &mut framed,
                    Fault::WrongSecret,
                    "its user name or password is wrong",
                );
            }
            Err(unheard) => self.framed_refuse(key, &mut framed, Fault::WrongSecret, unheard.why()),
        }
        let rest = match self.is_leaving {
            Some(_) => self.net.get_mut(key).map(|c| std::mem::take(&mut c.rest)).unwrap_or_default(),
            None => Vec::new(),
        };
        self.framed_settled(key, framed, rest);
    }

    /// A peer over UDP has been let in.
    pub(super) fn framed_begin_peer(&mut self, key: ConnectionKey, framed: &mut FramedInput) {
        self.framed_open(key, framed);
    }

    /// It has not said who it is in time.
    pub(in crate::shard) fn framed_timeout(&mut self, key: ConnectionKey) {
        self.net.stats().refused.add(1);
        let why = "a connection is refused, it does not say who it is in time (limits.first_bytes_timeout_s)";
        self.framed_fault(key, Fault::Unregistered, &why);
        self.lose(key);
    }

    /// Gives a connection its session, or has it move to the shard of that.
    fn framed_open(&mut self, key: ConnectionKey, framed: &mut FramedInput) {
        let Stage::Opening(opening) = &framed.stage else { return };
        let shard = self.hub.shared().shard_of(&opening.client_id);
        if shard != self.net.number {
            self.is_leaving = Some(shard);
            return;
        }
        let Stage::Opening(opening) = std::mem::replace(&mut framed.stage, Stage::Over) else { return };
        let settings = framed.profile.settings.clone();
        let levels_max = self.net.context.limits.topic_levels_max;
        let target = match opening.target(levels_max) {
            Ok(target) => target,
            Err(why) => return self.framed_refuse(key, framed, Fault::BadTopic, &why),
        };
        self.finish_run();
        self.begin_event();
        let client_id = &*opening.client_id;
        let peer = self.framed_peer(key, framed);
        let will =
            opening.status.as_ref().map(|topic| super::ending::will(&settings, topic, client_id, &peer));
        let user = self.net.get(key).and_then(|connection| connection.user.clone());
        if let Err(why) = self.framed_may_be(client_id, user.as_ref(), will.as_ref()) {
            return self.framed_refuse(key, framed, Fault::Refused, &why);
        }
        self.sn_before_takeover(client_id);
        let connect = Connect {
            user_name: user.as_deref(),
            identity: user.clone(),
            slow_reader: self.slow_reader(key),
            kind: self.client_kind(key),
            tag: self.connection_tag(key),
            will,
            ..Connect::new(client_id, key)
        };
        let connected = self.hub.connect(self.net.now, connect, &mut self.net);
        if let Some(old) = connected.displaced {
            self.displace(old);
        }
        let session = connected.session;
        let profile = framed.profile.clone();
        if let Some(connection) = self.net.get_mut(key) {
            connection.session = Some(session);
            connection.form = Form::Framed(profile);
        }
        framed.stage = Stage::Open(session);
        framed.target = target;
        let options =
            SubscriptionOptions { qos: QoS::AtMostOnce, no_local: true, ..SubscriptionOptions::default() };
        for filter in &opening.subscribe {
            if let Err(error) = self.hub.subscribe(session, filter, options, RetainHandling::Send) {
                let why = format!("it is not subscribed to {filter:?}: {error}");
                self.framed_fault(key, Fault::BadTopic, &why);
            }
        }
        self.set_deadline(key, None);
        let idle_s = match self.net.get(key).is_some_and(|connection| connection.is_udp()) {
            true if settings.idle_s == 0 => self.net.context.limits.udp_idle_s,
            _ => settings.idle_s,
        };
        self.set_silence(key, idle_s.saturating_mul(1000));
        if let Some(topic) = &opening.status {
            let message = super::ending::status(&settings, topic, "online", client_id, &peer, None);
            self.publish(Some(session), &Arc::new(message));
        }
        self.settle();
        self.resume(key, session);
    }

    /// Whether a client may have its name now.
    fn framed_may_be(
        &self,
        client_id: &str,
        user: Option<&Arc<str>>,
        will: Option<&trefoil_hub::Will>,
    ) -> Result<(), String> {
        let context = &self.net.context;
        if context.bans.refuses_client_id(client_id) {
            return Err(CLIENT_ID_IS_BANNED.into());
        }
        if self.hub.is_of_another(self.net.now, client_id, user) {
            return Err(format!("the session of the client id {client_id:?} belongs to another user"));
        }
        if self.hub.cannot_keep_client(client_id, 0, will) {
            return Err("its session or will has to be kept, and cannot be now".into());
        }
        let sessions_max = context.limits.sessions_max;
        if context.session_count() >= sessions_max && !self.hub.has_session(client_id) {
            return Err(format!("there are {sessions_max} sessions already (limits.sessions_max)"));
        }
        Ok(())
    }

    /// Ends a connection that may not come in. There is nothing that it could be told.
    pub(super) fn framed_refuse(
        &mut self,
        key: ConnectionKey,
        framed: &mut FramedInput,
        fault: Fault,
        why: &str,
    ) {
        framed.stage = Stage::Over;
        self.net.stats().refused.add(1);
        self.framed_fault(key, fault, &format!("a connection is refused, {why}"));
        self.close(key);
    }
}

/// What a group has found; nothing where it has no part in what was found.
fn group<'a>(captures: &Captures<'a>, number: usize) -> &'a [u8] {
    captures.get(number).map_or(b"", |found| found.as_bytes())
}

fn connection_user(shard: &mut ShardLoop, key: ConnectionKey, user: Arc<str>) {
    if let Some(connection) = shard.net.get_mut(key) {
        connection.user = Some(user);
    }
}
