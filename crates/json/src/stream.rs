//! Streams: two connections that are joined by a name, so that from then on the bytes of each go to the other.

use std::borrow::Cow;

use crate::answer::push_ack_and_end;
use crate::error::{Code, RequestError};
use crate::field::Field;
use crate::members::{Members, read};
use crate::outgoing::push_id;
use crate::reader::{Outcome, Reader, bad, bad_value};
use crate::reply::LIMITS;
use crate::write::{push_str, push_u64};

/// The longest name of a stream, in bytes.
pub const STREAM_NAME_BYTES_MAX: usize = 200;

/// The longest time that a caller can wait for somebody to listen, in seconds.
pub const WAIT_S_MAX: u32 = 3600;

/// The longest reason for which a caller is refused, in bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// What a client asks of the hub's streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRequest<'a> {
    /// `{"connect":…}`: this connection is to become one with somebody who listens on the name.
    Connect {
        /// The name, which [`check_stream_name`] has found good.
        name: Cow<'a, str>,
        /// For how long to wait for somebody to listen, in seconds; 0: not at all.
        wait_s: u32,
        /// What the answer carries as `ack`.
        id: Option<u64>,
    },
    /// `{"listen":…}`: the client wants to hear of callers.
    Listen {
        /// The name, which [`check_stream_name`] has found good.
        name: Cow<'a, str>,
        /// Nobody else may listen on the name.
        exclusive: bool,
        /// This connection itself becomes the stream of the first caller.
        once: bool,
        /// What the answer carries as `ack`.
        id: Option<u64>,
    },
    /// `{"accept":…}`: this connection becomes the stream of that caller.
    Accept {
        /// What the call carried.
        token: Cow<'a, str>,
        /// What the answer carries as `ack`.
        id: Option<u64>,
    },
    /// `{"refuse":…}`: the caller is not wanted.
    Refuse {
        /// What the call carried.
        token: Cow<'a, str>,
        /// What the caller is told, at most [`REASON_BYTES_MAX`] bytes.
        reason: Option<Cow<'a, str>>,
        /// What the answer carries as `ack`.
        id: Option<u64>,
    },
}

/// Who is at the other end of a stream, as far as the hub knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Its client id; a WebSocket of `/stream` has none.
    pub client: Option<Cow<'a, str>>,
    /// Who it is, where the hub knows users.
    pub user: Option<Cow<'a, str>>,
    /// The address that it comes from.
    pub peer: Option<Cow<'a, str>>,
}

/// What the hub says of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamReply<'a> {
    /// The connection is joined: on lines all that follows is the other end's, from the next byte on.
    Joined {
        /// The name of the stream.
        name: Cow<'a, str>,
        /// Who the other end is; only those are told who listened.
        from: Option<Caller<'a>>,
        /// The request's id, if it had one.
        ack: Option<u64>,
    },
    /// The client will hear of callers.
    Listening {
        /// The name.
        name: Cow<'a, str>,
        /// The request's id, if it had one.
        ack: Option<u64>,
    },
    /// Somebody calls.
    Call {
        /// The name that it calls.
        name: Cow<'a, str>,
        /// By which it is accepted or refused.
        token: Cow<'a, str>,
        /// Who it is.
        from: Caller<'a>,
    },
    /// The caller has been refused.
    Refused {
        /// The token of its call.
        token: Cow<'a, str>,
        /// The request's id, if it had one.
        ack: Option<u64>,
    },
    /// The other end sends no more; only over WebSocket, where the connection itself cannot say it.
    End,
}

/// Whether a name can be that of a stream: 1 to [`STREAM_NAME_BYTES_MAX`] bytes without control characters and wildcards, and
/// between its slashes neither nothing nor `.` nor `..`.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that begins with the name.
pub fn check_stream_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > STREAM_NAME_BYTES_MAX {
        return Err("is longer than 200 bytes");
    }
    if name.contains(char::is_control) {
        return Err("has a control character in it");
    }
    if name.contains(['+', '#']) {
        return Err("has + or # in it, which are wildcards; a stream has one name");
    }
    if name.split('/').any(|level| matches!(level, "" | "." | "..")) {
        return Err("has an empty level, . or .. between its slashes");
    }
    Ok(())
}

impl StreamRequest<'_> {
    /// Appends the request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let id = match self {
            StreamRequest::Connect { name, wait_s, id } => {
                push_member(b"{\"connect\":", name, out);
                if *wait_s > 0 {
                    out.extend_from_slice(b",\"wait_s\":");
                    push_u64((*wait_s).into(), out);
                }
                id
            }
            StreamRequest::Listen { name, exclusive, once, id } => {
                push_member(b"{\"listen\":", name, out);
                if *exclusive {
                    out.extend_from_slice(b",\"exclusive\":true");
                }
                if *once {
                    out.extend_from_slice(b",\"once\":true");
                }
                id
            }
            StreamRequest::Accept { token, id } => {
                push_member(b"{\"accept\":", token, out);
                id
            }
            StreamRequest::Refuse { token, reason, id } => {
                push_member(b"{\"refuse\":", token, out);
                if let Some(reason) = reason {
                    push_member(b",\"reason\":", reason, out);
                }
                id
            }
        };
        push_id(*id, out);
        out.push(b'}');
    }

    /// The request's id, if it has one.
    pub fn id(&self) -> Option<u64> {
        match self {
            StreamRequest::Connect { id, .. }
            | StreamRequest::Listen { id, .. }
            | StreamRequest::Accept { id, .. }
            | StreamRequest::Refuse { id, .. } => *id,
        }
    }
}

impl StreamReply<'_> {
    /// Appends the reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let ack = match self {
            StreamReply::Joined { name, from, ack } => {
                push_member(b"{\"stream\":", name, out);
                if let Some(from) = from {
                    from.encode(out);
                }
                ack
            }
            StreamReply::Listening { name, ack } => {
                push_member(b"{\"listen\":", name, out);
                ack
            }
            StreamReply::Call { name, token, from } => {
                push_member(b"{\"call\":", name, out);
                push_member(b",\"token\":", token, out);
                from.encode(out);
                &None
            }
            StreamReply::Refused { token, ack } => {
                push_member(b"{\"refuse\":", token, out);
                ack
            }
            StreamReply::End => {
                out.extend_from_slice(b"{\"end\":true");
                &None
            }
        };
        push_ack_and_end(*ack, out);
    }
}

impl Caller<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"from\":{");
        let start = out.len();
        let members: [(&[u8], &Option<Cow<'_, str>>); 3] =
            [(b"\"client\":", &self.client), (b"\"user\":", &self.user), (b"\"peer\":", &self.peer)];
        for (name, value) in members {
            let Some(value) = value else { continue };
            if out.len() > start {
                out.push(b',');
            }
            push_member(name, value, out);
        }
        out.push(b'}');
    }
}

fn push_member(before: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    push_str(value, out);
}

impl<'a> Reader<'_, 'a> {
    pub(crate) fn stream_request(&self, operation: Field) -> Outcome<StreamRequest<'a>> {
        let id = self.id()?;
        Ok(match operation {
            Field::Connect => {
                let wait_s = self.unsigned_in(Field::WaitS, 1..=WAIT_S_MAX.into())?;
                let wait_s = wait_s.map_or(0, |given| given as u32);
                StreamRequest::Connect { name: self.stream_name(Field::Connect)?, wait_s, id }
            }
            Field::Listen => StreamRequest::Listen {
                name: self.stream_name(Field::Listen)?,
                exclusive: self.boolean(Field::Exclusive, false)?,
                once: self.boolean(Field::Once, false)?,
                id,
            },
            Field::Accept => StreamRequest::Accept { token: self.member(Field::Accept)?, id },
            _ => {
                let reason = self.plain_string(Field::Reason)?;
                if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
                    let why = format!("reason is longer than {REASON_BYTES_MAX} bytes");
                    return Err(RequestError::new(Code::TooLarge, why).field(Field::Reason.name()));
                }
                StreamRequest::Refuse { token: self.member(Field::Refuse)?, reason, id }
            }
        })
    }

    /// What the hub says of streams, if it is that.
    pub(crate) fn stream_reply(&self, ack: Option<u64>) -> Outcome<Option<StreamReply<'a>>> {
        let present = self.members.present;
        Ok(Some(if present.contains(Field::Stream) {
            let from = self.members.get(Field::From).map(caller).transpose()?;
            StreamReply::Joined { name: self.member(Field::Stream)?, from, ack }
        } else if present.contains(Field::Listen) {
            StreamReply::Listening { name: self.member(Field::Listen)?, ack }
        } else if present.contains(Field::Call) {
            let from = self.members.get(Field::From).map(caller).transpose()?.unwrap_or_default();
            StreamReply::Call { name: self.member(Field::Call)?, token: self.member(Field::Token)?, from }
        } else if present.contains(Field::Refuse) {
            StreamReply::Refused { token: self.member(Field::Refuse)?, ack }
        } else if self.boolean(Field::End, false)? {
            StreamReply::End
        } else {
            return Ok(None);
        }))
    }

    fn stream_name(&self, field: Field) -> Outcome<Cow<'a, str>> {
        let name = self.member(field)?;
        check_stream_name(&name).map_err(|why| bad(field, format!("the name of the stream {why}")))?;
        Ok(name)
    }

    fn member(&self, field: Field) -> Outcome<Cow<'a, str>> {
        self.plain_string(field)?.ok_or_else(|| {
            RequestError::new(Code::MissingField, format!("{} is missing", field.name())).field(field.name())
        })
    }
}

fn caller(json: &str) -> Outcome<Caller<'_>> {
    let mut members = Members::default();
    read(json.as_bytes(), &mut members).map_err(|_| bad_value(Field::From, json, "an object"))?;
    let inner = Reader { members: &members, limits: LIMITS, behind: None };
    Ok(Caller {
        client: inner.plain_string(Field::Client)?,
        user: inner.plain_string(Field::User)?,
        peer: inner.plain_string(Field::Peer)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Limits, Reply, Request, parse, parse_reply};

    #[test]
    fn requests_are_read_as_they_were_written() {
        let (name, token) = (Cow::from("a/ü b"), Cow::from("t0"));
        for request in [
            StreamRequest::Connect { name: name.clone(), wait_s: 0, id: None },
            StreamRequest::Connect { name: name.clone(), wait_s: 3600, id: Some(7) },
            StreamRequest::Listen { name: name.clone(), exclusive: true, once: false, id: Some(1) },
            StreamRequest::Listen { name, exclusive: false, once: true, id: None },
            StreamRequest::Accept { token: token.clone(), id: Some(2) },
            StreamRequest::Refuse { token: token.clone(), reason: None, id: None },
            StreamRequest::Refuse { token, reason: Some("not \"now\"".into()), id: Some(u64::MAX) },
        ] {
            let mut out = Vec::new();
            request.encode(&mut out);
            assert_eq!(parse(&out, Limits::default()), Ok(Request::Stream(request)));
        }
    }

    #[test]
    fn replies_are_read_as_they_were_written() {
        let ann = Caller { client: Some("ann".into()), user: None, peer: Some("[::1]:9".into()) };
        for reply in [
            StreamReply::Joined { name: "s".into(), from: None, ack: Some(1) },
            StreamReply::Joined { name: "s".into(), from: Some(ann.clone()), ack: None },
            StreamReply::Joined { name: "s".into(), from: Some(Caller::default()), ack: None },
            StreamReply::Listening { name: "s".into(), ack: Some(2) },
            StreamReply::Call { name: "s".into(), token: "t".into(), from: ann },
            StreamReply::Refused { token: "t".into(), ack: Some(3) },
            StreamReply::End,
        ] {
            let mut out = Vec::new();
            reply.encode(&mut out);
            assert_eq!(parse_reply(&out), Ok(Reply::Stream(reply)));
        }
    }

    #[test]
    fn names_are_checked() {
        let long = "x".repeat(STREAM_NAME_BYTES_MAX);
        for good in ["a", "a/b", "$file/7", "...", "ssh to Ann's machine", "é🦀", &long] {
            assert_eq!(check_stream_name(good), Ok(()), "{good}");
        }
        let too_long = "x".repeat(STREAM_NAME_BYTES_MAX + 1);
        for bad in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a\0", "a\n", "a/+", "#", &too_long] {
            assert!(check_stream_name(bad).is_err(), "{bad:?}");
            let line = format!("{{\"connect\":{},\"id\":1}}", serde_json::to_string(bad).unwrap());
            let error = parse(line.as_bytes(), Limits::default()).unwrap_err();
            assert_eq!((error.code, error.id), (Code::BadField, Some(1)), "{bad:?}");
            assert_eq!(error.field.as_deref(), Some("connect"));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, code, field) in [
            (r#"{"connect":1}"#, Code::BadField, "connect"),
            (r#"{"connect":"a","wait_s":0}"#, Code::BadField, "wait_s"),
            (r#"{"connect":"a","wait_s":3601}"#, Code::BadField, "wait_s"),
            (r#"{"connect":"a","once":true}"#, Code::UnknownField, "once"),
            (r#"{"listen":"a","once":1}"#, Code::BadField, "once"),
            (r#"{"listen":"a","connect":"b"}"#, Code::BadField, "listen"),
            (r#"{"accept":["a"]}"#, Code::BadField, "accept"),
            (r#"{"refuse":"a","reason":false}"#, Code::BadField, "reason"),
        ] {
            let error = parse(line.as_bytes(), Limits::default()).unwrap_err();
            assert_eq!((error.code, error.field.as_deref()), (code, Some(field)), "{line}");
        }
        let long = format!(r#"{{"refuse":"a","reason":"{}"}}"#, "x".repeat(REASON_BYTES_MAX + 1));
        assert_eq!(parse(long.as_bytes(), Limits::default()).unwrap_err().code, Code::TooLarge);
    }
}
