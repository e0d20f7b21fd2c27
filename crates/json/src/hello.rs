//! What two sides say of themselves when a connection begins.

use std::borrow::Cow;

use crate::answer::push_ack_and_end;
use crate::error::{Code, RequestError};
use crate::field::{Field, FieldSet};
use crate::members::{Members, read};
use crate::outgoing::push_id;
use crate::reader::{Outcome, Reader, bad, bad_value};
use crate::write::{push_json, push_str, push_u64};

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// The longest client id, in bytes.
pub const CLIENT_BYTES_MAX: usize = 256;

/// The longest `info`, in bytes as it is written.
pub const INFO_BYTES_MAX: usize = 1024;

/// How long the hub may be asked to be silent at most before it says something, in seconds.
pub const HEARTBEAT_S_MAX: u32 = 3600;

/// The longest token by which a session is taken up from another address, in bytes.
pub const RESUME_BYTES_MAX: usize = 64;

/// What a client says of itself: all of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelloRequest<'a> {
    /// The client id that it gives itself: 1 to [`CLIENT_BYTES_MAX`] bytes, no U+0000.
    pub client: Option<Cow<'a, str>>,
    /// Any JSON value, as it was written; at most [`INFO_BYTES_MAX`] bytes.
    pub info: Option<&'a str>,
    /// Whether the hub may send several objects as an array.
    pub batch: bool,
    /// Whether messages come in binary frames whose payloads are not UTF-8.
    pub binary: bool,
    /// For how many seconds the session is to outlast its connection. None: it begins empty and ends with it.
    pub session_s: Option<u32>,
    /// The token that came with the session, by which it is taken up from another address.
    pub resume: Option<Cow<'a, str>>,
    /// After how many seconds without anything else the hub says that it is there: 1 to [`HEARTBEAT_S_MAX`].
    pub heartbeat_s: Option<u32>,
    /// What the answer carries as `ack`.
    pub id: Option<u64>,
}

/// What the hub says of itself and of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The version of the protocol that the hub speaks.
    pub version: u64,
    /// The client id that the connection has, given by whomever.
    pub client: Cow<'a, str>,
    /// Which connection this is: no other one of the hub, as long as it runs, is called that.
    pub connection: Cow<'a, str>,
    /// The longest line, frame or datagram that the hub takes.
    pub request_bytes_max: u64,
    /// What the hub says of the session, if the client has asked for one that outlasts its connection.
    pub session: Option<Stay<'a>>,
    /// After how many seconds without anything else the hub says that it is there, if it was asked to.
    pub heartbeat_s: Option<u32>,
}

/// How a session outlasts its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay<'a> {
    /// It was there already, and has kept what was subscribed to and what came.
    pub resumed: bool,
    /// For how many seconds it will outlast the connection: what was asked for, within the hub's limit.
    pub session_s: u32,
    /// By which it is taken up from another address; none if it ends with the connection.
    pub resume: Option<Cow<'a, str>>,
}

impl Stay<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.resumed { b",\"resumed\":true" } else { b",\"resumed\":false" });
        out.extend_from_slice(b",\"session_s\":");
        push_u64(self.session_s.into(), out);
        if let Some(token) = &self.resume {
            out.extend_from_slice(b",\"resume\":");
            push_str(token, out);
        }
    }
}

impl Welcome<'_> {
    /// Appends `{"hello":{…},"ack":id}`.
    pub fn encode(&self, id: Option<u64>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"hello\":{\"version\":");
        push_u64(self.version, out);
        out.extend_from_slice(b",\"client\":");
        push_str(&self.client, out);
        out.extend_from_slice(b",\"connection\":");
        push_str(&self.connection, out);
        out.extend_from_slice(b",\"limits\":{\"request_bytes_max\":");
        push_u64(self.request_bytes_max, out);
        out.push(b'}');
        if let Some(session) = &self.session {
            session.encode(out);
        }
        if let Some(heartbeat_s) = self.heartbeat_s {
            out.extend_from_slice(b",\"heartbeat_s\":");
            push_u64(heartbeat_s.into(), out);
        }
        out.push(b'}');
        push_ack_and_end(id, out);
    }
}

/// Appends `{"hello":{…},"id":…}`, the client's. `info` must be valid JSON text.
pub fn encode_hello(hello: &HelloRequest<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"hello\":{");
    let start = out.len();
    if let Some(client) = &hello.client {
        out.extend_from_slice(b",\"client\":");
        push_str(client, out);
    }
    if let Some(info) = hello.info {
        out.extend_from_slice(b",\"info\":");
        push_json(info, out);
    }
    if hello.batch {
        out.extend_from_slice(b",\"batch\":true");
    }
    if hello.binary {
        out.extend_from_slice(b",\"binary\":true");
    }
    if let Some(session_s) = hello.session_s {
        out.extend_from_slice(b",\"session_s\":");
        push_u64(session_s.into(), out);
    }
    if let Some(token) = &hello.resume {
        out.extend_from_slice(b",\"resume\":");
        push_str(token, out);
    }
    if let Some(heartbeat_s) = hello.heartbeat_s {
        out.extend_from_slice(b",\"heartbeat_s\":");
        push_u64(heartbeat_s.into(), out);
    }
    if out.len() > start {
        out.remove(start);
    }
    out.push(b'}');
    push_id(hello.id, out);
    out.push(b'}');
}

impl<'a> Reader<'_, 'a> {
    pub(crate) fn hello(&self) -> Outcome<HelloRequest<'a>> {
        let json = self.members.get(Field::Hello).unwrap_or_default();
        let mut inner = Members::default();
        read(json.as_bytes(), &mut inner).map_err(|_| bad_value(Field::Hello, json, "an object"))?;
        let inner = Reader { members: &inner, limits: self.limits, behind: None };
        let fields = FieldSet::of(&[
            Field::Client,
            Field::Info,
            Field::Batch,
            Field::Binary,
            Field::SessionS,
            Field::Resume,
            Field::HeartbeatS,
        ]);
        inner.check_fields("hello", fields)?;
        let client = inner.topic_like(Field::Client, CLIENT_BYTES_MAX)?;
        let info = inner.json(Field::Info)?;
        if info.is_some_and(|info| info.len() > INFO_BYTES_MAX) {
            let reason = format!("info is longer than {INFO_BYTES_MAX} bytes");
            return Err(RequestError::new(Code::TooLarge, reason).field(Field::Info.name()));
        }
        let session_s = inner.unsigned(Field::SessionS, u32::MAX.into())?.map(|given| given as u32);
        let resume = inner.topic_like(Field::Resume, RESUME_BYTES_MAX)?;
        if resume.is_some() && session_s.is_none() {
            let reason =
                "resume takes a session up, so it needs session_s, which says for how long it is kept";
            return Err(RequestError::new(Code::MissingField, reason).field(Field::SessionS.name()));
        }
        if session_s.is_some_and(|given| given > 0) && client.is_none() {
            let reason =
                "a session that outlasts its connection needs a client id, by which it is found: client";
            return Err(RequestError::new(Code::MissingField, reason).field(Field::Client.name()));
        }
        let heartbeat_s = inner.unsigned_in(Field::HeartbeatS, 1..=HEARTBEAT_S_MAX.into())?;
        Ok(HelloRequest {
            client,
            info,
            batch: inner.boolean(Field::Batch, false)?,
            binary: inner.boolean(Field::Binary, false)?,
            session_s,
            resume,
            heartbeat_s: heartbeat_s.map(|given| given as u32),
            id: self.id()?,
        })
    }

    /// A name that is not empty, of at most `bytes_max`.
    fn topic_like(&self, field: Field, bytes_max: usize) -> Outcome<Option<Cow<'a, str>>> {
        let text = self.string(field, Code::BadField)?;
        match &text {
            Some(text) if text.is_empty() => Err(bad(field, format!("{} is empty", field.name()))),
            Some(text) if text.len() > bytes_max => {
                let reason = format!("{} is longer than {bytes_max} bytes", field.name());
                Err(RequestError::new(Code::TooLarge, reason).field(field.name()))
            }
            _ => Ok(text),
        }
    }

    /// The hub's half, as a client reads it.
    pub(crate) fn welcome(&self, json: &'a str) -> Outcome<Welcome<'a>> {
        let missing = |field: Field| bad(field, format!("hello has no {}", field.name()));
        let mut inner = Members::default();
        read(json.as_bytes(), &mut inner).map_err(|reason| bad(Field::Hello, format!("hello: {reason}")))?;
        let inner = Reader { members: &inner, limits: self.limits, behind: None };
        let limits = inner.members.get(Field::Limits).ok_or_else(|| missing(Field::Limits))?;
        let mut members = Members::default();
        read(limits.as_bytes(), &mut members)
            .map_err(|reason| bad(Field::Limits, format!("limits: {reason}")))?;
        let limits = Reader { members: &members, limits: self.limits, behind: None };
        let number =
            |reader: &Reader<'_, '_>, field| reader.unsigned(field, u64::MAX)?.ok_or_else(|| missing(field));
        Ok(Welcome {
            version: number(&inner, Field::Version)?,
            client: inner.plain_string(Field::Client)?.ok_or_else(|| missing(Field::Client))?,
            connection: inner.plain_string(Field::Connection)?.ok_or_else(|| missing(Field::Connection))?,
            request_bytes_max: number(&limits, Field::RequestBytesMax)?,
            session: inner.stay()?,
            heartbeat_s: inner.unsigned(Field::HeartbeatS, HEARTBEAT_S_MAX.into())?.map(|given| given as u32),
        })
    }

    fn stay(&self) -> Outcome<Option<Stay<'a>>> {
        let Some(session_s) = self.unsigned(Field::SessionS, u32::MAX.into())? else { return Ok(None) };
        Ok(Some(Stay {
            resumed: self.boolean(Field::Resumed, false)?,
            session_s: session_s as u32,
            resume: self.plain_string(Field::Resume)?,
        }))
    }
}
