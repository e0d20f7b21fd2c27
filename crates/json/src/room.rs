//! Tokens for datagram channels: `room`, and its answer.

use crate::error::RequestError;
use crate::field::Field;
use crate::outgoing::push_id;
use crate::reader::{Outcome, Reader, bad};
use crate::reply::Reply;
use crate::request::Request;
use crate::write::{push_str, push_u64};
use crate::{Code, answer};

/// Appends `{"room":…}`, by which a client asks for a token.
pub fn encode_room(room: &str, id: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"room\":");
    push_str(room, out);
    push_id(id, out);
    out.push(b'}');
}

/// Appends `{"room":…,"token":…,"expires_s":…,"ack":id}`, the answer: the token can be used for so many seconds.
pub fn encode_room_token(room: &str, token: &str, expires_s: u32, id: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"room\":");
    push_str(room, out);
    out.extend_from_slice(b",\"token\":");
    push_str(token, out);
    out.extend_from_slice(b",\"expires_s\":");
    push_u64(expires_s.into(), out);
    answer::push_ack_and_end(id, out);
}

impl<'a> Reader<'_, 'a> {
    pub(crate) fn room(&self) -> Outcome<Request<'a>> {
        let room = self.plain_string(Field::Room)?.unwrap_or_default();
        Ok(Request::Room { room, id: self.id()? })
    }

    pub(crate) fn room_token(&self, ack: Option<u64>) -> Outcome<Option<Reply<'a>>> {
        let Some(room) = self.plain_string(Field::Room)? else { return Ok(None) };
        let missing =
            |field: Field| -> RequestError { bad(field, format!("the answer has no {}", field.name())) };
        let token = self.string(Field::Token, Code::BadField)?.ok_or_else(|| missing(Field::Token))?;
        let expires_s =
            self.unsigned(Field::ExpiresS, u32::MAX.into())?.ok_or_else(|| missing(Field::ExpiresS))?;
        Ok(Some(Reply::Room { room, token, expires_s: expires_s as u32, ack }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, parse, parse_reply};

    #[test]
    fn a_token_is_asked_for_and_given() {
        let mut out = Vec::new();
        encode_room("pong/7", Some(3), &mut out);
        assert_eq!(out, br#"{"room":"pong/7","id":3}"#);
        assert_eq!(parse(&out, Limits::default()), Ok(Request::Room { room: "pong/7".into(), id: Some(3) }));
        out.clear();
        encode_room_token("pong/7", "AQ", 3600, Some(3), &mut out);
        assert_eq!(out, br#"{"room":"pong/7","token":"AQ","expires_s":3600,"ack":3}"#);
        let given = Reply::Room { room: "pong/7".into(), token: "AQ".into(), expires_s: 3600, ack: Some(3) };
        assert_eq!(parse_reply(&out), Ok(given));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = parse(br#"{"room":7}"#, Limits::default()).expect_err("it is no text");
        assert_eq!(error.field.as_deref(), Some("room"));
        assert!(parse_reply(br#"{"room":"a","ack":1}"#).is_err());
    }
}
