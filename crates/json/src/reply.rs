//! What the hub sends, as a client reads it.

use std::borrow::Cow;
use std::fmt;

use crate::error::{Code, RequestError};
use crate::extras::Extras;
use crate::field::Field;
use crate::hello::Welcome;
use crate::members::{Members, read};
use crate::presence::PresentClient;
use crate::reader::{Outcome, Reader, bad, bad_value};
use crate::request::Limits;
use crate::since::{Followed, Place, followed};
use crate::stream::StreamReply;

/// One text from the hub, borrowed from it wherever it holds no escapes and no base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A message for one of the client's subscriptions.
    Message(Message<'a>),
    /// The hub has accepted the publish with this id.
    Ack(u64),
    /// The hub has taken a subscribe.
    Sub {
        /// The topic filters, in the request's order.
        filters: Vec<Cow<'a, str>>,
        /// The QoS granted for each of them.
        qos: Vec<u8>,
        /// What is there of the histories of the topics.
        followed: Followed,
        /// The request's id, if it had one.
        ack: Option<u64>,
        /// Whether the filters stood in an array.
        many: bool,
    },
    /// Of a topic that is followed some messages are not there any more.
    Gap {
        /// The topic.
        topic: Cow<'a, str>,
        /// The place of the next message, which may be a later one; none if the topic has no history now.
        next: Option<Place>,
    },
    /// Who is on a topic. What was said before does not count any more.
    Presence {
        /// The topic.
        topic: Cow<'a, str>,
        /// How many clients are on it.
        count: u64,
        /// Who they are; none where they are too many to be followed one by one.
        clients: Option<Vec<PresentClient<'a>>>,
        /// These are not all.
        partial: bool,
        /// The id of the question, if it is the answer to one that had one.
        ack: Option<u64>,
    },
    /// A client has come to a topic.
    Join {
        /// The topic.
        topic: Cow<'a, str>,
        /// The client.
        client: PresentClient<'a>,
        /// How many are there now.
        count: u64,
    },
    /// A client has gone from a topic.
    Leave {
        /// The topic.
        topic: Cow<'a, str>,
        /// Its client id.
        client: Cow<'a, str>,
        /// Its connection.
        connection: Cow<'a, str>,
        /// How many are there now.
        count: u64,
    },
    /// The hub has taken an unsubscribe.
    Unsub {
        /// The topic filters, in the request's order.
        filters: Vec<Cow<'a, str>>,
        /// The request's id, if it had one.
        ack: Option<u64>,
        /// Whether the filters stood in an array.
        many: bool,
    },
    /// A token for a datagram channel.
    Room {
        /// The channel.
        room: Cow<'a, str>,
        /// The token.
        token: Cow<'a, str>,
        /// For how many seconds it can be used.
        expires_s: u32,
        /// The request's id, if it had one.
        ack: Option<u64>,
    },
    /// The client is this user from now on.
    Auth {
        /// The user name in the hub's form.
        user: Cow<'a, str>,
        /// The request's id, if it had one.
        ack: Option<u64>,
    },
    /// What the hub says of itself and of the connection.
    Hello {
        /// All that it says.
        welcome: Welcome<'a>,
        /// The request's id, if it had one.
        ack: Option<u64>,
    },
    /// Somebody has answered a request.
    Answer(Answer<'a>),
    /// The answer to a ping: the text of the JSON value that came in it.
    Pong(&'a str),
    /// The hub says that it is there, and would like to hear the same: `{"pong":…}` with this JSON value, or anything.
    Ping(&'a str),
    /// What can be asked for.
    Help {
        /// The text of a JSON object, for people.
        help: &'a str,
        /// The request's id, if it had one.
        ack: Option<u64>,
    },
    /// The hub has refused a request.
    Error(Refusal<'a>),
    /// What the hub says of a stream.
    Stream(StreamReply<'a>),
}

/// A message that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The topic that it was published to.
    pub topic: Cow<'a, str>,
    /// The payload.
    pub payload: Cow<'a, [u8]>,
    /// The QoS of this delivery, 0 or 1.
    pub qos: u8,
    /// At QoS 1, what the client answers with in [`encode_ack`](crate::encode_ack).
    pub id: Option<u64>,
    /// Whether this may have been delivered before.
    pub dup: bool,
    /// Whether it comes because it was retained.
    pub retain: bool,
    /// The other properties.
    pub extras: Extras<'a>,
    /// Where it stands in the history of its topic, if that has one.
    pub place: Option<Place>,
}

/// What somebody has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The id of the request.
    pub id: u64,
    /// The payload.
    pub payload: Cow<'a, [u8]>,
    /// The other properties.
    pub extras: Extras<'a>,
}

/// The hub's answer to a request that it did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// What is wrong, for programs. A later hub may have codes that [`Code`] does not know yet.
    pub code: Cow<'a, str>,
    /// The field at fault, when there is one.
    pub field: Option<Cow<'a, str>>,
    /// What is wrong, for people.
    pub reason: Cow<'a, str>,
    /// The id of the request, when the hub could read one.
    pub id: Option<u64>,
}

impl Refusal<'_> {
    /// The code, if it is one that this version knows.
    pub fn known_code(&self) -> Option<Code> {
        Code::from_name(&self.code)
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

/// The hub, or what was taken for one, sent something that is no message of this protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MalformedReply {
    /// What is wrong with it.
    pub reason: Cow<'static, str>,
}

impl fmt::Display for MalformedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hub sent something that is not of its JSON protocol: {}", self.reason)
    }
}

impl std::error::Error for MalformedReply {}

/// Reads what the hub sent. Members that this version does not know are passed over, so that a later hub may add
/// some.
///
/// ```
/// use trefoil_json::{Reply, parse_reply};
///
/// let Reply::Message(message) = parse_reply(br#"{"topic":"t","data":[1, 2],"qos":1,"id":9}"#)? else { unreachable!() };
/// assert_eq!(message.payload.as_ref(), b"[1, 2]");
/// assert_eq!(message.id, Some(9));
/// # Ok::<(), trefoil_json::MalformedReply>(())
/// ```
pub fn parse_reply(input: &[u8]) -> Result<Reply<'_>, MalformedReply> {
    reply_of(input, None)
}

/// The same with a payload that stands behind the object, if there is one.
pub(crate) fn reply_of<'a>(input: &'a [u8], behind: Option<&'a [u8]>) -> Result<Reply<'a>, MalformedReply> {
    let mut members = Members::default();
    read(input, &mut members).map_err(|reason| MalformedReply { reason })?;
    let reader = Reader { members: &members, limits: LIMITS, behind };
    reader.reply().map_err(|error| MalformedReply { reason: error.reason })
}

/// The length of what came in bounds these, and nothing here recurses.
pub(crate) const LIMITS: Limits =
    Limits { depth_max: usize::MAX, filters_max: usize::MAX, batch_max: usize::MAX };

/// The grammar of replies; the reader has the types of their fields.
impl<'a> Reader<'_, 'a> {
    fn reply(&self) -> Outcome<Reply<'a>> {
        if let Some(field) = self.members.duplicate {
            return Err(bad(field, format!("{} is there twice", field.name())));
        }
        if let Some(topic) = self.topic(Field::Topic)? {
            return self.message(topic).map(Reply::Message);
        }
        if let Some(error) = self.members.get(Field::Error) {
            return self.refusal(error).map(Reply::Error);
        }
        if let Some(pong) = self.json(Field::Pong)? {
            return Ok(Reply::Pong(pong));
        }
        if let Some(ping) = self.json(Field::Ping)? {
            return Ok(Reply::Ping(ping));
        }
        if let Some(id) = self.unsigned(Field::Res, u64::MAX)? {
            return Ok(Reply::Answer(Answer { id, payload: self.payload()?, extras: self.extras()? }));
        }
        // These have an `ack` as well, so they are asked before it.
        let ack = self.unsigned(Field::Ack, u64::MAX)?;
        if self.members.present.contains(Field::Sub) {
            let (filters, many) = self.filters(Field::Sub)?;
            let qos = self.granted(filters.len(), many)?;
            return Ok(Reply::Sub { filters, qos, followed: followed(self)?, ack, many });
        }
        if let Some(reply) = self.presence(ack)? {
            return Ok(reply);
        }
        if let Some(reply) = self.stream_reply(ack)? {
            return Ok(Reply::Stream(reply));
        }
        if let Some(reply) = self.room_token(ack)? {
            return Ok(reply);
        }
        if self.members.present.contains(Field::Unsub) {
            let (filters, many) = self.filters(Field::Unsub)?;
            return Ok(Reply::Unsub { filters, ack, many });
        }
        if let Some(gap) = self.members.get(Field::Gap) {
            return self.gap(gap);
        }
        if let Some(auth) = self.members.get(Field::Auth) {
            return Ok(Reply::Auth { user: self.user(auth)?, ack });
        }
        if let Some(hello) = self.members.get(Field::Hello) {
            return Ok(Reply::Hello { welcome: self.welcome(hello)?, ack });
        }
        if let Some(help) = self.json(Field::Help)? {
            return Ok(Reply::Help { help, ack });
        }
        ack.map(Reply::Ack).ok_or_else(|| {
            RequestError::new(
                Code::UnknownOperation,
                "none of topic, ack, sub, unsub, auth, hello, res, presence, join, leave, room, stream, listen, call, pong, ping, gap, help and error is there",
            )
        })
    }

    fn message(&self, topic: Cow<'a, str>) -> Outcome<Message<'a>> {
        Ok(Message {
            topic,
            payload: self.payload()?,
            qos: self.qos(1)?,
            id: self.id()?,
            dup: self.boolean(Field::Dup, false)?,
            retain: self.boolean(Field::Retain, false)?,
            extras: self.extras()?,
            place: self.place()?,
        })
    }

    fn gap(&self, gap: &'a str) -> Outcome<Reply<'a>> {
        let mut members = Members::default();
        read(gap.as_bytes(), &mut members).map_err(|reason| bad(Field::Gap, format!("gap: {reason}")))?;
        let inner = Reader { members: &members, limits: LIMITS, behind: None };
        let missing = || bad(Field::Topic, "the gap has no topic".to_owned());
        Ok(Reply::Gap { topic: inner.topic(Field::Topic)?.ok_or_else(missing)?, next: inner.place()? })
    }

    fn refusal(&self, error: &'a str) -> Outcome<Refusal<'a>> {
        let mut members = Members::default();
        read(error.as_bytes(), &mut members)
            .map_err(|reason| bad(Field::Error, format!("error: {reason}")))?;
        let inner = Reader { members: &members, limits: LIMITS, behind: None };
        let missing = |field: Field| bad(field, format!("the error has no {}", field.name()));
        Ok(Refusal {
            code: inner.string(Field::Code, Code::BadField)?.ok_or_else(|| missing(Field::Code))?,
            field: inner.plain_string(Field::Culprit)?,
            reason: inner.plain_string(Field::Reason)?.ok_or_else(|| missing(Field::Reason))?,
            id: self.id()?,
        })
    }

    fn user(&self, auth: &'a str) -> Outcome<Cow<'a, str>> {
        let mut members = Members::default();
        read(auth.as_bytes(), &mut members).map_err(|reason| bad(Field::Auth, format!("auth: {reason}")))?;
        let inner = Reader { members: &members, limits: LIMITS, behind: None };
        let missing = || bad(Field::User, "auth has no user".to_owned());
        inner.plain_string(Field::User)?.ok_or_else(missing)
    }

    /// One QoS for each filter, in an array when the filters are in one.
    fn granted(&self, filters: usize, many: bool) -> Outcome<Vec<u8>> {
        if !many {
            return Ok(vec![self.qos(1)?]);
        }
        let json = self.members.get(Field::Qos).unwrap_or("missing");
        let wanted = || bad_value(Field::Qos, json, "an array with 0 or 1 for each filter");
        let granted: Vec<u8> = serde_json::from_str(json).map_err(|_| wanted())?;
        if granted.len() != filters || granted.iter().any(|qos| *qos > 1) {
            return Err(wanted());
        }
        Ok(granted)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reason(input: &str) -> String {
        parse_reply(input.as_bytes()).unwrap_err().reason.into_owned()
    }

    #[test]
    fn members_of_a_later_version_are_passed_over() {
        assert_eq!(parse_reply(br#"{"ack":7,"offset":12,"epoch":"x"}"#), Ok(Reply::Ack(7)));
    }

    #[test]
    fn an_error_may_have_a_code_and_a_reason_of_any_kind() {
        let json = br#"{"error":{"code":"too_new","reason":"nul \u0000","hint":[1]},"id":3}"#;
        let Reply::Error(refusal) = parse_reply(json).unwrap() else { panic!("it is an error") };
        assert_eq!(refusal.known_code(), None);
        assert_eq!(refusal.to_string(), "too_new: nul \0");
        assert_eq!((refusal.field, refusal.id), (None, Some(3)));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        assert_eq!(
            reason("{}"),
            "none of topic, ack, sub, unsub, auth, hello, res, presence, join, leave, room, stream, listen, call, pong, ping, gap, help and error is there"
        );
        assert_eq!(
            reason(r#"{"sub":["a","b"],"qos":[0]}"#),
            "qos is [0]; it must be an array with 0 or 1 for each filter"
        );
        assert_eq!(
            reason(r#"{"sub":["a"]}"#),
            "qos is missing; it must be an array with 0 or 1 for each filter"
        );
        assert_eq!(reason(r#"{"topic":"t","data":1,"data":2}"#), "data is there twice");
        assert_eq!(reason(r#"{"error":{"code":"quota"}}"#), "the error has no reason");
        assert!(reason(r#"{"error":[]}"#).starts_with("error: it starts with ["));
        assert!(reason("HTTP/1.1 400 Bad Request").starts_with("it starts with H"));
    }
}
