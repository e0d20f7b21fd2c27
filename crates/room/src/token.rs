//! Tokens: who may join which room, for how long, and who that is.
//!
//! A token is text, so that it can be handed on in JSON, and holds all that it says; the hub keeps nothing of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// The most bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 700;

/// The most bytes of the name of a user in one.
const USER_BYTES_MAX: usize = 480;

/// The layout of tokens.
const LAYOUT: u8 = 1;

const ID_BYTES: usize = 8;
const MAC_BYTES: usize = 16;
/// In front of the user's name: layout, when it expires, number.
const HEAD_BYTES: usize = 1 + 8 + ID_BYTES;

/// What makes tokens, and knows its own.
#[derive(Clone)]
pub struct Tokens {
    key: [u8; 32],
}

impl fmt::Debug for Tokens {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// What a right token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Which token it is: one peer at a time is in the room with it.
    pub id: [u8; ID_BYTES],
    /// Whose it is; empty: nobody's in particular.
    pub user: String,
}

/// Why a token is not right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenError {
    /// It was not made here, or for another room.
    Wrong,
    /// It was right once.
    Expired,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::Wrong => "the token is not one of this hub for this room",
            TokenError::Expired => "the token has expired; ask for another one",
        })
    }
}

impl std::error::Error for TokenError {}

impl Tokens {
    /// With a key that nobody else knows.
    pub fn new(key: [u8; 32]) -> Tokens {
        Tokens { key }
    }

    /// A token for a room, right until `expires_s` (seconds since 1970). `id` tells it from all others. None if the name of
    /// the user is too long.
    pub fn make(&self, room: &str, user: &str, id: [u8; ID_BYTES], expires_s: u64) -> Option<String> {
        if user.len() > USER_BYTES_MAX {
            return None;
        }
        let mut bytes = vec![LAYOUT];
        bytes.extend_from_slice(&expires_s.to_be_bytes());
        bytes.extend_from_slice(&id);
        bytes.extend_from_slice(user.as_bytes());
        let mac = self.mac(room, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..MAC_BYTES]);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a token for a room says at `now_s` (seconds since 1970).
    ///
    /// # Errors
    /// Why it says nothing.
    pub fn check(&self, room: &str, token: &[u8], now_s: u64) -> Result<Grant, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Wrong);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Wrong)?;
        let (said, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(TokenError::Wrong)?;
        self.mac(room, said).verify_truncated_left(mac).map_err(|_| TokenError::Wrong)?;
        let (head, user) = said.split_at_checked(HEAD_BYTES).ok_or(TokenError::Wrong)?;
        let (&[layout], head) = head.split_first_chunk().ok_or(TokenError::Wrong)?;
        let (&expires_s, head) = head.split_first_chunk().ok_or(TokenError::Wrong)?;
        let (&id, _) = head.split_first_chunk().ok_or(TokenError::Wrong)?;
        if layout != LAYOUT {
            return Err(TokenError::Wrong);
        }
        if u64::from_be_bytes(expires_s) <= now_s {
            return Err(TokenError::Expired);
        }
        let user = std::str::from_utf8(user).map_err(|_| TokenError::Wrong)?;
        Ok(Grant { id, user: user.to_owned() })
    }

    fn mac(&self, room: &str, said: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key may have any length");
        mac.update(b"room token");
        mac.update(&(room.len() as u64).to_be_bytes());
        mac.update(room.as_bytes());
        mac.update(said);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_room_and_one_while() {
        let tokens = Tokens::new([1; 32]);
        let token = tokens.make("pong", "ann", [2; 8], 1000).expect("the name is short");
        let grant = Grant { id: [2; 8], user: "ann".into() };
        assert_eq!(tokens.check("pong", token.as_bytes(), 999), Ok(grant));
        assert_eq!(tokens.check("pong", token.as_bytes(), 1000), Err(TokenError::Expired));
        assert_eq!(tokens.check("ping", token.as_bytes(), 0), Err(TokenError::Wrong));
        assert_eq!(Tokens::new([2; 32]).check("pong", token.as_bytes(), 0), Err(TokenError::Wrong));
        for wrong in [&b""[..], b"AAAA", b"\xff", &token.as_bytes()[1..]] {
            assert_eq!(tokens.check("pong", wrong, 0), Err(TokenError::Wrong));
        }
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(tokens.check("pong", &other, 0), Err(TokenError::Wrong), "byte {at}");
        }
    }

    #[test]
    fn the_longest_token_is_within_its_bound() {
        let tokens = Tokens::new([1; 32]);
        let token = tokens
            .make("r", &"u".repeat(USER_BYTES_MAX), [0; 8], u64::MAX)
            .expect("it is as long as it may be");
        assert!(token.len() <= TOKEN_BYTES_MAX && tokens.check("r", token.as_bytes(), 0).is_ok());
        assert_eq!(tokens.make("r", &"u".repeat(USER_BYTES_MAX + 1), [0; 8], 1), None);
    }
}
