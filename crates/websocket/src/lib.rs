//! RFC 6455 and RFC 7692: WebSocket framing, handshake and compression, without sockets.
//!
//! The crate touches no socket, no clock and no source of randomness: bytes go in, events and bytes come out.
//!
//! - [`handshake`] opens a connection. A server gives [`handshake::accept`] the parsed request and writes what comes
//!   back; a client uses [`handshake::ClientHandshake`].
//! - [`Receiver`] turns the bytes that follow into [`Event`]s and refuses whatever RFC 6455 forbids with a
//!   [`Violation`], which knows the [`CloseCode`] that the peer is to be told.
//! - [`encode_header`], [`encode_frame`] and [`encode_close`] write frames of a server, [`encode_masked`] and
//!   [`encode_masked_close`] those of a client.
//!
//! - [`deflate`] is compression: what is agreed on in the handshake, and the two halves of the work, apart from the rest
//!   so that one compressor can serve all connections of a thread.
//!
//! # Example
//!
//! A server that answers every message with the same message:
//!
//! ```
//! use trefoil_websocket::{Event, Limits, Opcode, Receiver, Role, Violation};
//! use trefoil_websocket::{encode_close, encode_frame, encode_masked};
//!
//! fn serve(receiver: &mut Receiver, input: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Violation> {
//!     let mut taken = 0;
//!     loop {
//!         let received = receiver.receive(&mut input[taken..])?;
//!         taken += received.consumed;
//!         match received.event {
//!             Some(Event::Text(text)) => encode_frame(Opcode::Text, text.as_bytes(), out),
//!             Some(Event::Binary(bytes)) => encode_frame(Opcode::Binary, bytes, out),
//!             Some(Event::Ping(payload)) => encode_frame(Opcode::Pong, payload, out),
//!             Some(Event::Pong(_)) => {}
//!             Some(Event::Deflated { .. }) => unreachable!("compression was not agreed on"),
//!             Some(Event::Close(close)) => match close {
//!                 Some(close) => encode_close(close.code, "", out),
//!                 None => encode_frame(Opcode::Close, b"", out),
//!             },
//!             // No event and nothing taken: the rest is half a header, to be kept for the next read.
//!             None if received.consumed == 0 => return Ok(taken),
//!             None => {}
//!         }
//!     }
//! }
//!
//! let limits = Limits { frame_bytes_max: 65_536, message_bytes_max: 65_536 };
//! let mut receiver = Receiver::new(Role::Server, limits);
//! let (mut input, mut out) = (Vec::new(), Vec::new());
//! encode_masked(Opcode::Text, "héllo".as_bytes(), [1, 2, 3, 4], &mut input);
//! assert_eq!(serve(&mut receiver, &mut input, &mut out), Ok(input.len()));
//! assert_eq!(out, b"\x81\x06h\xc3\xa9llo");
//!
//! // A frame that a client did not mask ends the connection with 1002.
//! let refused = serve(&mut receiver, &mut [0x81, 0x00], &mut out).unwrap_err();
//! assert_eq!(refused.close_code().get(), 1002);
//! ```

mod close;
pub mod deflate;
mod encode;
pub mod handshake;
mod header;
mod mask;
mod message;
mod receiver;
mod violation;

pub use close::{CloseCode, CloseFrame};
pub use encode::{
    HEADER_BYTES_MAX, encode_close, encode_deflated_header, encode_frame, encode_header, encode_masked,
    encode_masked_close, encode_masked_frame,
};
pub use header::{CONTROL_BYTES_MAX, Opcode};
pub use receiver::{Event, Limits, REST_BYTES_MAX, Received, Receiver, Role};
pub use violation::Violation;
