//! The JSON protocol that Trefoil speaks in WebSocket text frames, in lines over TCP and in UDP datagrams.
//!
//! The crate is a codec and nothing else: text goes in and values come out, or the other way round. It knows no
//! socket, no session and no clock, and it does not know where one text ends and the next begins: that is the work
//! of the frame, the line or the datagram around it. `docs/json-protocol.md` describes the protocol for its users.
//!
//! The hub's half:
//!
//! - [`parse`] turns one text into a [`Request`], or into a [`RequestError`] that names the field and the reason;
//!   [`parse_publish`] does so for a publish that comes alone, as the body of an HTTP request.
//! - [`parse_batch`] takes an array of requests apart, and [`parse_binary`] reads one with its payload behind it.
//! - [`encode_message`] writes a [`MessageView`] for a subscriber; [`Delivery`] is what differs from one subscriber
//!   to the next, and can be put at the end of text that was encoded once for all of them.
//! - [`encode_help`] and [`help_text`] say what can be asked for.
//! - [`encode_ack`], [`encode_subscribed`], [`encode_unsubscribed`], [`encode_pong`] and [`RequestError::encode`]
//!   write the answers, [`Welcome::encode`] and [`encode_answer`] those to `hello` and `req`; [`encode_followed`] and
//!   [`encode_gap`] say what is there of the histories of topics, and [`encode_presence`], [`encode_join`] and
//!   [`encode_leave`] who is on one. [`StreamReply::encode`] writes what is said of streams.
//!
//! The client's half:
//!
//! - [`encode_publish`], [`encode_subscribe`], [`encode_unsubscribe`], [`encode_ping`] and, to confirm a delivery,
//!   [`encode_ack`] write requests, [`StreamRequest::encode`] those for streams.
//! - [`parse_reply`] turns what the hub sends into a [`Reply`].
//!
//! Every encoder appends to a `Vec<u8>`, writes one object without a line break, and leaves the end of the line to
//! the caller.
//!
//! ```
//! use trefoil_json::{Delivery, Limits, MessageView, Request, encode_ack, encode_message, parse};
//!
//! let line = br#"{"pub":"kitchen/oven","data":{"celsius":180},"qos":1,"id":7}"#;
//! let Request::Publish(publish) = parse(line, Limits::default())? else { unreachable!() };
//! assert_eq!(publish.payload.as_ref(), br#"{"celsius":180}"#);
//!
//! // The publisher is told that its message was accepted …
//! let mut out = Vec::new();
//! encode_ack(7, &mut out);
//! assert_eq!(out, br#"{"ack":7}"#);
//!
//! // … and a subscriber gets it.
//! let mut out = Vec::new();
//! let view = MessageView { topic: &publish.topic, payload: &publish.payload, ..MessageView::default() };
//! encode_message(&view, Some(Delivery { qos: 1, id: 1, dup: false }), &mut out);
//! assert_eq!(out, br#"{"topic":"kitchen/oven","data":{"celsius":180},"qos":1,"id":1}"#);
//!
//! // What is wrong is said by field and reason.
//! let error = parse(br#"{"sub":"kitchen/#","qso":1,"id":8}"#, Limits::default()).unwrap_err();
//! assert_eq!(error.id, Some(8));
//! assert_eq!(error.reason, "qso is not a field of sub; did you mean qos?");
//! # Ok::<(), trefoil_json::RequestError>(())
//! ```

mod answer;
mod ask;
mod batch;
mod binary;
mod error;
mod extras;
mod field;
mod hello;
mod help;
mod members;
mod message;
mod outgoing;
mod payload;
mod presence;
mod reader;
mod reply;
mod request;
mod room;
mod since;
mod stream;
mod value;
mod write;

pub use answer::{
    encode_ack, encode_authenticated, encode_followed, encode_gap, encode_pong, encode_subscribed,
    encode_unsubscribed,
};
pub use ask::{AskRequest, TIMEOUT_S_DEFAULT, TIMEOUT_S_MAX, encode_answer, encode_ask};
pub use batch::{is_batch, parse_batch};
pub use binary::{
    BINARY_HEADER_BYTES_MAX, encode_binary, encode_binary_header, encode_binary_publish, is_text,
    parse_binary, parse_binary_reply, push_binary_prefix,
};
pub use error::{Code, RequestError};
pub use extras::{Extras, ExtrasRef};
pub use hello::{
    CLIENT_BYTES_MAX, HEARTBEAT_S_MAX, HelloRequest, INFO_BYTES_MAX, RESUME_BYTES_MAX, Stay, VERSION,
    Welcome, encode_hello,
};
pub use help::{encode_help, encode_help_question, help_text};
pub use message::{Delivery, MessageView, encode_message};
pub use outgoing::{
    PublishView, SubscribeView, encode_auth, encode_ping, encode_publish, encode_subscribe,
    encode_unsubscribe,
};
pub use presence::{
    PresentClient, encode_join, encode_leave, encode_presence, encode_presence_count,
    encode_presence_question,
};
pub use reply::{Answer, MalformedReply, Message, Refusal, Reply, parse_reply};
pub use request::{Limits, PublishRequest, Request, SlowReader, SubscribeRequest, parse, parse_publish};
pub use room::{encode_room, encode_room_token};
pub use since::{Followed, Place, Since, parse_epoch, push_epoch};
pub use stream::{
    Caller, REASON_BYTES_MAX, STREAM_NAME_BYTES_MAX, StreamReply, StreamRequest, WAIT_S_MAX,
    check_stream_name,
};
pub use value::STRING_BYTES_MAX;
