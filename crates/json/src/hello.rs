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
        out.extend_from_slice(b"}}");
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
        let fields = FieldSet::of(&[Field::Client, Field::Info, Field::Batch, Field::Binary]);
        inner.check_fields("hello", fields)?;
        let client = inner.topic_like(Field::Client, CLIENT_BYTES_MAX)?;
        let info = inner.json(Field::Info)?;
        if info.is_some_and(|info| info.len() > INFO_BYTES_MAX) {
            let reason = format!("info is longer than {INFO_BYTES_MAX} bytes");
            return Err(RequestError::new(Code::TooLarge, reason).field(Field::Info.name()));
        }
        Ok(HelloRequest {
            client,
            info,
            batch: inner.boolean(Field::Batch, false)?,
            binary: inner.boolean(Field::Binary, false)?,
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
        })
    }
}
