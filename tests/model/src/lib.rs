//! An MQTT client as a state machine, and the oracle that checks what the hub promised it.
//!
//! Tests that cut connections at random, through virtual links or real sockets, share what is here: the [`Client`],
//! which keeps all that a client has to keep; the [`History`] of what its application saw; [`check`], the oracle, which
//! reads that history and nothing else; and the [`Tap`], which listens at the hub's end of a link. None of it shares a
//! line with the hub or its codec, and none of it has a socket or a clock.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod client;
mod durability;
mod history;
mod oracle;
mod random;
mod tap;
pub mod wire;

pub use client::{Client, Options};
pub use durability::{Durability, Promise};
pub use history::{Entry, Event, History, Message};
pub use oracle::{Allowance, Summary, check, matches};
pub use random::Random;
pub use tap::{Arrivals, Tap};
