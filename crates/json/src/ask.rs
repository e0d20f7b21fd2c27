//! Requests that somebody is to answer: `req`, and its answer, `res`.

use crate::error::{Code, RequestError};
use crate::extras::ExtrasRef;
use crate::field::Field;
use crate::outgoing::{PublishView, encode_publish_to};
use crate::payload::push_payload;
use crate::reader::{Outcome, Reader};
use crate::request::PublishRequest;
use crate::write::push_u64;

/// How long an answer may take unless the request says so, in seconds.
pub const TIMEOUT_S_DEFAULT: u32 = 10;

/// How long an answer may take at most, in seconds.
pub const TIMEOUT_S_MAX: u32 = 300;

/// A request that somebody is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskRequest<'a> {
    /// The message that goes to who answers. It is not retained and has neither response topic nor correlation: the hub
    /// gives it its own.
    pub message: PublishRequest<'a>,
    /// How long the answer may take: 1 to [`TIMEOUT_S_MAX`] seconds.
    pub timeout_s: u32,
    /// What the answer carries as `res`, or the error as `id`.
    pub id: u64,
}

/// Appends `{"res":id,"data":…}`, the answer to the request with this id. `binary`: the payload stands behind it.
pub fn encode_answer(id: u64, payload: &[u8], extras: &ExtrasRef<'_>, binary: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"res\":");
    push_u64(id, out);
    if !binary {
        push_payload(payload, out);
    }
    extras.encode(out);
    out.push(b'}');
}

/// Appends `{"req":…,"data":…,"timeout_s":…}`, the client's. Of the view `retain` is not written, and the id has to be there.
pub fn encode_ask(view: &PublishView<'_>, timeout_s: u32, out: &mut Vec<u8>) {
    encode_publish_to(b"{\"req\":", &PublishView { retain: false, ..*view }, out);
    if timeout_s != TIMEOUT_S_DEFAULT {
        out.extend_from_slice(b",\"timeout_s\":");
        push_u64(timeout_s.into(), out);
    }
    out.push(b'}');
}

impl<'a> Reader<'_, 'a> {
    pub(crate) fn ask(&self) -> Outcome<AskRequest<'a>> {
        let message = self.publish(self.topic(Field::Req)?.unwrap_or_default(), 1)?;
        let Some(id) = message.id else {
            let reason = "req needs an id, by which the answer is known";
            return Err(RequestError::new(Code::MissingField, reason).field(Field::Id.name()));
        };
        let timeout_s = self.unsigned_in(Field::TimeoutS, 1..=TIMEOUT_S_MAX.into())?;
        Ok(AskRequest { message, timeout_s: timeout_s.map_or(TIMEOUT_S_DEFAULT, |given| given as u32), id })
    }
}
