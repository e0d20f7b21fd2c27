//! Datagram channels: named rooms over UDP in which each datagram goes to the others, and nothing is queued or sent again.
//!
//! The crate knows no socket and no clock: datagrams and milliseconds go in, datagrams and decisions come out.
//! `docs/rooms.md` describes the protocol byte by byte for its users.
//!
//! - [`decode()`] reads a datagram into a [`Packet`], which borrows from it; [`Packet::encode`] appends one to a buffer.
//! - [`Cookies`] are how a hub that remembers nothing knows that a sender has the address which it gives; [`Tokens`] say
//!   who may join which room.
//! - [`Room`] is the hub's half: who is in a room, and where a datagram goes.
//! - [`Member`] is the other half: it joins, says often enough that it is there, and joins again when the hub has
//!   forgotten it.
//!
//! ```
//! use trefoil_room::{Data, Member, Packet, Event, Welcome, decode};
//!
//! let mut member = Member::new("pong/7", b"", 0x1234_5678, 0);
//! let mut out = Vec::new();
//! assert!(member.poll_transmit(0, &mut out), "it asks to join");
//! let Packet::Join(join) = decode(&out)? else { panic!("another packet") };
//! assert_eq!((join.room, join.nonce), ("pong/7", 0x1234_5678));
//!
//! let mut answer = Vec::new();
//! let welcome = Welcome { peer: 2, peers: 1, heartbeat_s: 10, payload_bytes_max: 1192, others: &[0, 1] };
//! Packet::Welcome { nonce: join.nonce, welcome }.encode(&mut answer);
//! assert!(matches!(member.handle(&answer, 1), Some(Event::Welcome(welcome)) if welcome.peer == 2));
//!
//! let mut datagram = Vec::new();
//! member.write(Data::to_others(b"left paddle up"), 2, &mut datagram);
//! assert_eq!(datagram, b"\x06\x00\x00\x00\x00\x00\x00\x01left paddle up");
//! # Ok::<(), trefoil_room::DecodeError>(())
//! ```

mod cookie;
mod decode;
mod encode;
mod member;
mod name;
mod packet;
mod room;
mod sequence;
mod token;

pub use cookie::{COOKIE_BYTES, COOKIE_MS, Cookie, Cookies};
pub use decode::{DecodeError, decode};
pub use member::{Event, Member};
pub use name::{NAME_BYTES_MAX, NameError, check_name};
pub use packet::{
    Control, DATA_HEADER_BYTES, Data, FIRST_BYTES, Gone, JOIN_BYTES_MIN, Join, Left, Packet, Refusal,
    VERSION, Welcome, is_room,
};
pub use room::{Dropped, Entering, Entry, Peer, Receivers, Room, RoomLimits};
pub use sequence::is_newer;
pub use token::{Grant, TOKEN_BYTES_MAX, TokenError, Tokens};
