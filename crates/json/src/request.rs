//! What a client asks of the hub.

use std::borrow::Cow;

use crate::ask::AskRequest;
use crate::error::{Code, RequestError};
use crate::extras::Extras;
use crate::field::{Field, FieldSet, nearest};
use crate::hello::HelloRequest;
use crate::members::{Members, read};
use crate::reader::{Outcome, Reader, bad, bad_topic, check_not_empty};
use crate::since::Since;
use crate::stream::StreamRequest;

pub(crate) const DEPTH_MAX_DEFAULT: usize = 64;

/// Bounds on a request beside its length, which the line, frame or datagram around it bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many arrays and objects may stand in each other in `data` and `ping`, in levels. 64 by default.
    pub depth_max: usize,
    /// How many topic filters one subscribe or unsubscribe may name. 1024 by default.
    pub filters_max: usize,
    /// How many requests may stand in one batch. 1024 by default.
    pub batch_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { depth_max: DEPTH_MAX_DEFAULT, filters_max: 1024, batch_max: 1024 }
    }
}

/// One request, borrowed from its text wherever it holds no escapes and no base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `{"pub":…}`
    Publish(PublishRequest<'a>),
    /// `{"sub":…}`
    Subscribe(SubscribeRequest<'a>),
    /// `{"unsub":…}`
    Unsubscribe {
        /// The topic filters, at least one. Their syntax is not checked here.
        filters: Vec<Cow<'a, str>>,
        /// What the answer carries as `ack`.
        id: Option<u64>,
        /// Whether the filters stood in an array, so that the answer has an array too.
        many: bool,
    },
    /// `{"presence":…}`: who is on this topic?
    Presence {
        /// The topic, not empty. Whether there are wildcards in it is not checked here.
        topic: Cow<'a, str>,
        /// What the answer carries as `ack`.
        id: Option<u64>,
    },
    /// `{"room":…}`: a token for a datagram channel.
    Room {
        /// Its name, any text.
        room: Cow<'a, str>,
        /// What the answer carries as `ack`.
        id: Option<u64>,
    },
    /// `{"ping":…}`: any JSON value, as its text, which the answer repeats.
    Ping(&'a str),
    /// `{"pong":…}`: any JSON value, in answer to a ping of the hub.
    Pong(&'a str),
    /// `{"help":…}`: what can be asked for?
    Help {
        /// The operation that more is to be said of; none: what there is.
        operation: Option<Cow<'a, str>>,
        /// What the answer carries as `ack`.
        id: Option<u64>,
    },
    /// `{"auth":{"user":…,"password":…}}`: who the client is.
    Auth {
        /// The user name, any text.
        user: Cow<'a, str>,
        /// The password, any text.
        password: Cow<'a, str>,
        /// What the answer carries as `ack`.
        id: Option<u64>,
    },
    /// `{"hello":{…}}`: what the client says of itself.
    Hello(HelloRequest<'a>),
    /// `{"req":…}`: a message that somebody is to answer.
    Ask(AskRequest<'a>),
    /// `{"ack":…}`: the client has taken the delivery with this id.
    Ack(u64),
    /// `{"connect":…}` and what else belongs to streams.
    Stream(StreamRequest<'a>),
}

/// What a client wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeRequest<'a> {
    /// The topic filters, at least one. Their syntax is not checked here.
    pub filters: Vec<Cow<'a, str>>,
    /// The highest QoS wanted, 0 or 1.
    pub qos: u8,
    /// Whether retained messages are wanted at once.
    pub retained: bool,
    /// Whether the client's own messages are to be left out.
    pub no_local: bool,
    /// What happens to messages for which the client is too slow; none: what the hub is set to.
    pub slow_reader: Option<SlowReader>,
    /// From where on the client wants what is kept of the topics; none: only what comes.
    pub since: Option<Since<'a>>,
    /// How many of the last messages of each topic it wants first.
    pub history: u32,
    /// Whether it wants to know who is on the topics, and who comes and goes.
    pub presence: bool,
    /// What the answer carries as `ack`.
    pub id: Option<u64>,
    /// Whether the filters stood in an array, so that the answer has an array too.
    pub many: bool,
}

/// What happens to messages for which a subscriber is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowReader {
    /// The newest is dropped.
    DropNewest,
    /// The oldest that waits is dropped.
    DropOldest,
    /// Of what waits on one topic the newest is left.
    LatestPerTopic,
    /// The connection ends.
    Disconnect,
}

impl SlowReader {
    /// All of them.
    pub const ALL: [SlowReader; 4] =
        [SlowReader::DropNewest, SlowReader::DropOldest, SlowReader::LatestPerTopic, SlowReader::Disconnect];

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            SlowReader::DropNewest => "drop_newest",
            SlowReader::DropOldest => "drop_oldest",
            SlowReader::LatestPerTopic => "latest_per_topic",
            SlowReader::Disconnect => "disconnect",
        }
    }
}

/// A message that a client publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRequest<'a> {
    /// The topic: not empty, no U+0000, at most [`STRING_BYTES_MAX`](crate::STRING_BYTES_MAX) bytes. Whether there are wildcards in it is
    /// not checked here.
    pub topic: Cow<'a, str>,
    /// The payload: the text of a JSON string, or any other JSON value as it was written, or the bytes behind
    /// `data_base64`, or nothing.
    pub payload: Cow<'a, [u8]>,
    /// 0 or 1; 2 only where there is no session, as over HTTP.
    pub qos: u8,
    /// Whether the message is to be retained.
    pub retain: bool,
    /// What the acknowledgement carries. At QoS 1 there always is one.
    pub id: Option<u64>,
    /// The other properties.
    pub extras: Extras<'a>,
}

/// Reads one request: one JSON object and nothing else but white space around it.
pub fn parse(input: &[u8], limits: Limits) -> Result<Request<'_>, RequestError> {
    let mut members = Members::default();
    let request = match read(input, &mut members) {
        Ok(()) => Reader { members: &members, limits, behind: None }.request(),
        Err(reason) => Err(RequestError::new(Code::BadJson, reason)),
    };
    request.map_err(|error| error.id(members.id()))
}

/// Reads a publish that stands for itself, where nothing else can be asked: the same fields with `topic` in the place of
/// `pub`, any QoS of MQTT, and no `id`, since the answer needs none.
///
/// ```
/// use trefoil_json::{Limits, parse_publish};
///
/// let publish = parse_publish(br#"{"topic":"a/b","data":1,"qos":2}"#, Limits::default())?;
/// assert_eq!((&*publish.topic, &*publish.payload, publish.qos), ("a/b", &b"1"[..], 2));
/// # Ok::<(), trefoil_json::RequestError>(())
/// ```
pub fn parse_publish(input: &[u8], limits: Limits) -> Result<PublishRequest<'_>, RequestError> {
    let mut members = Members::default();
    read(input, &mut members).map_err(|reason| RequestError::new(Code::BadJson, reason))?;
    let reader = Reader { members: &members, limits, behind: None };
    reader.check_fields("a publish", LONE_PUBLISH)?;
    let Some(topic) = reader.topic(Field::Topic)? else {
        let reason = "topic is missing; it says where the message goes";
        return Err(RequestError::new(Code::MissingField, reason).field(Field::Topic.name()));
    };
    reader.publish(topic, 2)
}

const LONE_PUBLISH: FieldSet =
    fields_of(Field::Pub).without(FieldSet::of(&[Field::Pub, Field::Id])).with(Field::Topic);

const OPERATIONS: FieldSet = FieldSet::of(&[
    Field::Pub,
    Field::Sub,
    Field::Unsub,
    Field::Ping,
    Field::Ack,
    Field::Auth,
    Field::Hello,
    Field::Req,
    Field::Presence,
    Field::Connect,
    Field::Listen,
    Field::Accept,
    Field::Refuse,
    Field::Room,
    Field::Pong,
    Field::Help,
]);

#[cfg(test)]
pub(crate) fn operations() -> FieldSet {
    OPERATIONS
}

/// The fields that an operation has, itself among them.
pub(crate) const fn fields_of(operation: Field) -> FieldSet {
    use Field::*;
    match operation {
        Pub => FieldSet::of(&[
            Pub,
            Data,
            DataBase64,
            Qos,
            Retain,
            Id,
            ContentType,
            ResponseTopic,
            CorrelationBase64,
            Expiry,
            UserProperties,
        ]),
        Sub => FieldSet::of(&[Sub, Qos, Id, Retained, NoLocal, SlowReader, Slow, Since, History, Presence]),
        Unsub => FieldSet::of(&[Unsub, Id]),
        Auth => FieldSet::of(&[Auth, Id]),
        Hello => FieldSet::of(&[Hello, Id]),
        Req => FieldSet::of(&[Req, Data, DataBase64, Qos, Id, TimeoutS, ContentType, Expiry, UserProperties]),
        Presence => FieldSet::of(&[Presence, Id]),
        Connect => FieldSet::of(&[Connect, WaitS, Id]),
        Listen => FieldSet::of(&[Listen, Exclusive, Once, Id]),
        Accept => FieldSet::of(&[Accept, Id]),
        Refuse => FieldSet::of(&[Refuse, Reason, Id]),
        Room => FieldSet::of(&[Room, Id]),
        Help => FieldSet::of(&[Help, Id]),
        other => FieldSet::of(&[other]),
    }
}

/// The grammar of requests; the reader has the types of their fields.
impl<'a> Reader<'_, 'a> {
    pub(crate) fn request(&self) -> Outcome<Request<'a>> {
        let operation = self.operation()?;
        self.check_fields(operation.name(), fields_of(operation))?;
        match operation {
            Field::Pub => self.acknowledged_publish().map(Request::Publish),
            Field::Sub => self.subscribe().map(Request::Subscribe),
            Field::Unsub => self.unsubscribe(),
            Field::Auth => self.auth(),
            Field::Hello => self.hello().map(Request::Hello),
            Field::Req => self.ask().map(Request::Ask),
            Field::Presence => self.presence_question(),
            Field::Connect | Field::Listen | Field::Accept | Field::Refuse => {
                self.stream_request(operation).map(Request::Stream)
            }
            Field::Room => self.room(),
            Field::Help => self.help(),
            Field::Pong => self.json(Field::Pong).map(|pong| Request::Pong(pong.unwrap_or_default())),
            Field::Ping => self.json(Field::Ping).map(|ping| Request::Ping(ping.unwrap_or_default())),
            _ => self.unsigned(Field::Ack, u64::MAX).map(|id| Request::Ack(id.unwrap_or_default())),
        }
    }

    /// A request of the kinds that carry a payload.
    pub(crate) fn request_with_payload(&self) -> Outcome<Request<'a>> {
        let operation = self.operation()?;
        if !matches!(operation, Field::Pub | Field::Req) {
            let reason = format!("{} has no payload; send it as text", operation.name());
            return Err(bad(operation, reason));
        }
        self.request()
    }

    /// The one member that says what is asked.
    fn operation(&self) -> Outcome<Field> {
        let mut named = self.members.present.intersection(OPERATIONS);
        if named.contains(Field::Sub) {
            // There it is one of the wishes.
            named = named.without(FieldSet::of(&[Field::Presence]));
        }
        let mut operations = named.iter();
        let Some(operation) = operations.next() else {
            return Err(self.no_operation());
        };
        match operations.next() {
            None => Ok(operation),
            Some(second) => Err(bad(
                second,
                format!(
                    "{} and {} are both there; a request has one operation",
                    operation.name(),
                    second.name()
                ),
            )),
        }
    }

    fn no_operation(&self) -> RequestError {
        let reason = "no operation is named: one of pub, sub, unsub, req, ping, pong, ack, auth, hello, presence, room, connect, listen, accept, refuse, help";
        let meant = self.members.unknown.as_deref().and_then(|name| Some((name, nearest(name, OPERATIONS)?)));
        match meant {
            Some((name, operation)) => {
                let reason = format!("{reason}; did you mean {} where it says {name}?", operation.name());
                RequestError::new(Code::UnknownOperation, reason).field(name.to_owned())
            }
            // Somebody sends a request in the shape of a delivery.
            None if self.members.present.contains(Field::Topic) => RequestError::new(
                Code::UnknownOperation,
                format!("{reason}; to publish, say pub where it says topic"),
            )
            .field(Field::Topic.name()),
            None => RequestError::new(Code::UnknownOperation, reason),
        }
    }

    /// Refuses members that stand twice and members that the operation does not have.
    pub(crate) fn check_fields(&self, operation: &str, allowed: FieldSet) -> Outcome<()> {
        if let Some(field) = self.members.duplicate {
            return Err(bad(field, format!("{} is there twice", field.name())));
        }
        let of_others = self.members.present.without(allowed).first().map(Field::name);
        let Some(name) = self.members.unknown.as_deref().or(of_others) else {
            return Ok(());
        };
        let mut reason = format!("{name} is not a field of {operation}");
        if let Some(meant) = nearest(name, allowed.without(self.members.present)) {
            reason += &format!("; did you mean {}?", meant.name());
        }
        Err(RequestError::new(Code::UnknownField, reason).field(name.to_owned()))
    }

    // What is asked for most often is not to be moved once more on its way out.
    #[inline(always)]
    fn acknowledged_publish(&self) -> Outcome<PublishRequest<'a>> {
        let publish = self.publish(self.topic(Field::Pub)?.unwrap_or_default(), 1)?;
        if publish.qos == 1 && publish.id.is_none() {
            let reason = "qos 1 needs an id, by which the message is acknowledged";
            return Err(RequestError::new(Code::MissingField, reason).field(Field::Id.name()));
        }
        Ok(publish)
    }

    pub(crate) fn publish(&self, topic: Cow<'a, str>, qos_max: u8) -> Outcome<PublishRequest<'a>> {
        let payload = self.payload()?;
        let qos = self.qos(qos_max)?;
        let id = self.id()?;
        let retain = self.boolean(Field::Retain, false)?;
        let extras = self.extras()?;
        if let Some(topic) = &extras.response_topic {
            check_not_empty(Field::ResponseTopic, topic)?;
            // [MQTT-3.3.2-14]: an answer goes to one topic.
            if topic.contains(['+', '#']) {
                return Err(bad_topic(Field::ResponseTopic, "has a wildcard in it"));
            }
        }
        Ok(PublishRequest { topic, payload, qos, retain, id, extras })
    }

    fn subscribe(&self) -> Outcome<SubscribeRequest<'a>> {
        let (filters, many) = self.filters(Field::Sub)?;
        let since = self.since(&filters, many)?;
        let history = self.unsigned(Field::History, u32::MAX.into())?;
        if since.is_some() && history.is_some() {
            let reason = "since and history are both there; a subscription begins in one place";
            return Err(bad(Field::History, reason.to_owned()));
        }
        Ok(SubscribeRequest {
            since,
            history: history.unwrap_or_default() as u32,
            presence: self.boolean(Field::Presence, false)?,
            filters,
            qos: self.qos(1)?,
            retained: self.boolean(Field::Retained, true)?,
            no_local: self.boolean(Field::NoLocal, false)?,
            slow_reader: self.slow_reader()?,
            id: self.id()?,
            many,
        })
    }

    fn slow_reader(&self) -> Outcome<Option<SlowReader>> {
        let (long, short) = (self.plain_string(Field::SlowReader)?, self.plain_string(Field::Slow)?);
        if long.is_some() && short.is_some() {
            let reason = "slow and slow_reader are both there; they are two names of the same";
            return Err(bad(Field::Slow, reason.to_owned()));
        }
        let field = if short.is_some() { Field::Slow } else { Field::SlowReader };
        let Some(name) = long.or(short) else { return Ok(None) };
        let found = SlowReader::ALL.into_iter().find(|policy| policy.name() == name);
        let wrong = || {
            let names = SlowReader::ALL.map(SlowReader::name).join(", ");
            bad(field, format!("{} must be one of {names}", field.name()))
        };
        found.map(Some).ok_or_else(wrong)
    }

    fn auth(&self) -> Outcome<Request<'a>> {
        let mut inner = Members::default();
        let json = self.members.get(Field::Auth).unwrap_or_default();
        read(json.as_bytes(), &mut inner).map_err(|_| {
            // What is wrong is not repeated in full: there may be a password in it.
            bad(Field::Auth, "auth must be an object with user and password".to_owned())
        })?;
        let inner = Reader { members: &inner, limits: self.limits, behind: None };
        inner.check_fields("auth", FieldSet::of(&[Field::User, Field::Password]))?;
        let text = |field: Field| {
            let missing = || {
                RequestError::new(Code::MissingField, format!("auth has no {}", field.name()))
                    .field(field.name())
            };
            // The value is not repeated either.
            let wrong = |_| bad(field, format!("{} must be a string", field.name()));
            inner.plain_string(field).map_err(wrong)?.ok_or_else(missing)
        };
        Ok(Request::Auth { user: text(Field::User)?, password: text(Field::Password)?, id: self.id()? })
    }

    fn unsubscribe(&self) -> Outcome<Request<'a>> {
        let (filters, many) = self.filters(Field::Unsub)?;
        Ok(Request::Unsubscribe { filters, id: self.id()?, many })
    }
}
