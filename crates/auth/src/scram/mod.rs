//! SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
//!
//! The server's side is [`ClientFirst`] → [`Challenge`] → done, the client's is one [`Client`] with a method for each
//! message. Nonces are passed in, 18 bytes of good randomness each.

mod client;
mod message;
mod server;
mod verifier;

pub use client::Client;
pub use server::{Challenge, ClientFirst};
pub use verifier::Verifier;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// The name of the mechanism.
pub const NAME: &str = "SCRAM-SHA-256";

/// The fewest iterations that are taken from anybody (RFC 7677 §4).
pub const ITERATIONS_MIN: u32 = 4096;

/// The most, since they are spent on whoever gets the number.
pub const ITERATIONS_MAX: u32 = 2_000_000;

/// What new verifiers are made with: some ten milliseconds on a desktop machine, and bearable on a microcontroller.
pub const ITERATIONS_DEFAULT: u32 = 16_384;

/// Bytes of randomness in a nonce.
pub const NONCE_BYTES: usize = 18;

/// No longer message is looked at, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;

type Key = [u8; 32];

/// Why an exchange failed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ScramError {
    /// A message is not as the RFC writes it.
    Malformed(&'static str),
    /// The client wants to bind the exchange to its channel, which was not offered.
    ChannelBinding,
    /// The message asks for an extension that is not known.
    Extension,
    /// The client wants to act for somebody else.
    Authzid,
    /// The name cannot be prepared.
    Name(crate::PrepareError),
    /// The password cannot be prepared.
    Password(crate::PrepareError),
    /// A nonce is not the one that was sent.
    Nonce,
    /// The number of iterations is out of bounds.
    Iterations(u32),
    /// The client does not know the password, or there is no such user.
    Proof,
    /// The server does not know the verifier: it is not the one that it claims to be.
    Server,
    /// The server refused, and this is what it said.
    Refused(String),
    /// A message came out of turn.
    OutOfTurn,
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScramError::Malformed(why) => write!(f, "a message of SCRAM is malformed: {why}"),
            ScramError::ChannelBinding => f.write_str("channel binding is not offered"),
            ScramError::Extension => f.write_str("an extension of SCRAM that is mandatory is not known"),
            ScramError::Authzid => f.write_str("nobody may act for another user"),
            ScramError::Name(why) => write!(f, "the user name cannot be used: {why}"),
            ScramError::Password(why) => write!(f, "the password cannot be used: {why}"),
            ScramError::Nonce => f.write_str("the nonce is not the one that was sent"),
            ScramError::Iterations(count) => {
                write!(f, "{count} iterations are not within {ITERATIONS_MIN} and {ITERATIONS_MAX}")
            }
            ScramError::Proof => f.write_str("user name or password is wrong"),
            ScramError::Server => {
                f.write_str("the server does not prove that it knows the password's verifier")
            }
            ScramError::Refused(why) => write!(f, "the server refused: {why}"),
            ScramError::OutOfTurn => f.write_str("a message came out of turn"),
        }
    }
}

impl std::error::Error for ScramError {}

fn hmac(key: &[u8], text: &[u8]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn sha256(text: &[u8]) -> Key {
    Sha256::digest(text).into()
}

fn xor(one: &Key, other: &Key) -> Key {
    std::array::from_fn(|i| one[i] ^ other[i])
}

/// What both sides sign.
fn auth_message(client_first_bare: &str, server_first: &str, client_final_without_proof: &str) -> String {
    format!("{client_first_bare},{server_first},{client_final_without_proof}")
}
