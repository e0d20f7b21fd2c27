//! MQTT to the letter: what each normative statement asks for, tried through a socket with bytes written by hand.
//!
//! One module per chapter. A test cites the statements that it fails without, by their identifiers: `[MQTT-…]` those of
//! 5.0, `[v3 MQTT-…]` those of 3.1.1. `cargo xtask conformance` finds what no test cites.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod acks;
mod auth;
mod clock;
mod connack;
mod connect;
mod delivery;
mod disconnect;
mod errors;
mod fixed_header;
mod limits;
mod order;
mod ping;
mod publish;
mod retained;
mod sessions;
mod shared;
mod sizes;
mod starts;
mod strings;
mod subscribe;
mod topics;
mod unsubscribe;
mod websocket;
mod wills;
