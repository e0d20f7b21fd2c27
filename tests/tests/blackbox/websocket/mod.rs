//! Framing, closing and compression of WebSocket, case by case, over real sockets against `/ws/echo`.
//!
//! A case says what is sent, in which pieces, and which frames must come back before the connection ends. By default the
//! client says goodbye at the end and gets it back, so that a case whose frames are all in order ends with 1000.

mod case;
mod closing;
mod compression;
mod fragmentation;
mod framing;
mod handshake;
mod lengths;
mod text;
mod to_many;

pub(crate) use case::{Case, Cases, close_frame, frame_with};
