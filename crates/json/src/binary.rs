//! Binary frames of a WebSocket: a payload as it is behind a header that says all else in JSON.
//!
//! Byte 0 is the version, 1. Bytes 1 and 2 are the length of the header, the high one first. The header is the object that
//! would come in a text frame, without `data` and `data_base64`. What follows it up to the end of the frame is the payload.

use std::borrow::Cow;

use crate::error::{Code, RequestError};
use crate::members::{Members, read};
use crate::message::{Delivery, MessageView, encode_head};
use crate::outgoing::{PublishView, encode_publish_head};
use crate::reader::Reader;
use crate::reply::{MalformedReply, Reply, reply_of};
use crate::request::{Limits, Request};

/// The longest header, in bytes.
pub const BINARY_HEADER_BYTES_MAX: usize = u16::MAX as usize;

const VERSION: u8 = 1;

/// What stands before the header.
const PREFIX_BYTES: usize = 3;

/// Whether a payload is UTF-8, and so comes as `data`; any other comes as `data_base64`, or in a binary frame to those who
/// want it.
pub fn is_text(payload: &[u8]) -> bool {
    simdutf8::basic::from_utf8(payload).is_ok()
}

/// Reads one request that came in a binary frame.
///
/// # Errors
/// As [`parse`](crate::parse), and for a header that is none, an operation that has no payload, or a payload that stands in
/// the header as well.
pub fn parse_binary(input: &[u8], limits: Limits) -> Result<Request<'_>, RequestError> {
    let (header, payload) = split(input).map_err(|reason| RequestError::new(Code::BadJson, reason))?;
    let mut members = Members::default();
    let request = match read(header, &mut members) {
        Ok(()) => Reader { members: &members, limits, behind: Some(payload) }.request_with_payload(),
        Err(reason) => Err(RequestError::new(Code::BadJson, reason)),
    };
    request.map_err(|error| error.id(members.id()))
}

/// Reads what the hub sent in a binary frame.
///
/// # Errors
/// When it is none of its messages.
pub fn parse_binary_reply(input: &[u8]) -> Result<Reply<'_>, MalformedReply> {
    let (header, payload) = split(input).map_err(|reason| MalformedReply { reason })?;
    reply_of(header, Some(payload))
}

/// Appends a binary frame's content for a subscriber. Returns false, with nothing appended, if the header would be longer
/// than [`BINARY_HEADER_BYTES_MAX`].
pub fn encode_binary(view: &MessageView<'_>, delivery: Option<Delivery>, out: &mut Vec<u8>) -> bool {
    framed(view.payload, out, |out| encode_binary_header(view, delivery, out))
}

/// Appends the header of such a frame alone: an object, to the end of which [`Delivery::encode_tail`] can be put.
pub fn encode_binary_header(view: &MessageView<'_>, delivery: Option<Delivery>, out: &mut Vec<u8>) {
    encode_head(view, out);
    match delivery {
        Some(delivery) => delivery.encode_tail(out),
        None => out.push(b'}'),
    }
}

/// Appends what stands before a header of `header_bytes`, at most [`BINARY_HEADER_BYTES_MAX`].
///
/// # Panics
/// When it is longer.
pub fn push_binary_prefix(header_bytes: usize, out: &mut Vec<u8>) {
    let len = u16::try_from(header_bytes).expect("the caller has checked that the header is no longer");
    out.push(VERSION);
    out.extend_from_slice(&len.to_be_bytes());
}

/// Appends a binary frame's content that publishes. Returns false, with nothing appended, if the header would be longer than
/// [`BINARY_HEADER_BYTES_MAX`].
pub fn encode_binary_publish(view: &PublishView<'_>, out: &mut Vec<u8>) -> bool {
    framed(view.payload, out, |out| {
        encode_publish_head(view, out);
        out.push(b'}');
    })
}

fn framed(payload: &[u8], out: &mut Vec<u8>, header: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    push_binary_prefix(0, out);
    header(out);
    let header_bytes = out.len() - start - PREFIX_BYTES;
    let Ok(len) = u16::try_from(header_bytes) else {
        out.truncate(start);
        return false;
    };
    out[start + 1..start + PREFIX_BYTES].copy_from_slice(&len.to_be_bytes());
    out.extend_from_slice(payload);
    true
}

/// Header and payload.
fn split(input: &[u8]) -> Result<(&[u8], &[u8]), Cow<'static, str>> {
    match input {
        [VERSION, high, low, rest @ ..] => {
            let header_bytes = usize::from(u16::from_be_bytes([*high, *low]));
            rest.split_at_checked(header_bytes).ok_or_else(|| {
                format!("the header has {header_bytes} bytes, but only {} follow its length", rest.len())
                    .into()
            })
        }
        [VERSION, ..] => {
            Err("the binary frame ends before its header: 1, two bytes of length, JSON, payload".into())
        }
        [other, ..] => {
            let reason = format!(
                "the binary frame starts with {other}; it must be 1, two bytes of length, JSON, payload"
            );
            Err(reason.into())
        }
        [] => Err("the binary frame is empty; it must be 1, two bytes of length, JSON, payload".into()),
    }
}
