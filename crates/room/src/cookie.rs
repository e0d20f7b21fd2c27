//! Cookies: who can repeat what was sent to an address has that address.
//!
//! The hub keeps nothing for who asks: a cookie is a keyed hash of the address, of what was asked, and of a slot of time,
//! and can be made again when it comes back.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a cookie.
pub const COOKIE_BYTES: usize = 16;

/// How long a cookie is right at least, in milliseconds; at most it is twice that.
pub const COOKIE_MS: u64 = 10_000;

/// A cookie. Zeros are none.
pub type Cookie = [u8; COOKIE_BYTES];

/// What makes cookies, and knows its own.
#[derive(Clone)]
pub struct Cookies {
    key: [u8; 32],
}

impl std::fmt::Debug for Cookies {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

impl Cookies {
    /// With a key that nobody else knows.
    pub fn new(key: [u8; 32]) -> Cookies {
        Cookies { key }
    }

    /// The cookie for who asks at `now_ms` from an address (in whatever bytes say it) to join a room with a token.
    pub fn make(&self, address: &[u8], nonce: u32, room: &str, token: &[u8], now_ms: u64) -> Cookie {
        let hash = self.hash(address, nonce, room, token, now_ms / COOKIE_MS).finalize().into_bytes();
        let (cookie, _) = hash.split_first_chunk().expect("the hash has 32 bytes");
        *cookie
    }

    /// Whether this is the cookie that was made for the same not long ago.
    pub fn is_right(
        &self,
        cookie: &Cookie,
        address: &[u8],
        nonce: u32,
        room: &str,
        token: &[u8],
        now_ms: u64,
    ) -> bool {
        let slot = now_ms / COOKIE_MS;
        [Some(slot), slot.checked_sub(1)].into_iter().flatten().any(|slot| {
            // In constant time, so that nobody finds a cookie out byte by byte.
            self.hash(address, nonce, room, token, slot).verify_truncated_left(cookie).is_ok()
        })
    }

    fn hash(&self, address: &[u8], nonce: u32, room: &str, token: &[u8], slot: u64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key may have any length");
        mac.update(&slot.to_be_bytes());
        mac.update(&nonce.to_be_bytes());
        // With their lengths, so that nothing can be moved from one to the next.
        for part in [address, room.as_bytes(), token] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_of_one_address_one_question_and_one_while() {
        let cookies = Cookies::new([7; 32]);
        let now = 123_456_789;
        let cookie = cookies.make(b"here", 1, "room", b"token", now);
        let is_right = |address: &[u8], nonce, room: &str, token: &[u8], now| {
            cookies.is_right(&cookie, address, nonce, room, token, now)
        };
        assert!(is_right(b"here", 1, "room", b"token", now));
        assert!(is_right(b"here", 1, "room", b"token", now + COOKIE_MS));
        assert!(!is_right(b"here", 1, "room", b"token", now + 2 * COOKIE_MS));
        assert!(!is_right(b"there", 1, "room", b"token", now));
        assert!(!is_right(b"here", 2, "room", b"token", now));
        assert!(!is_right(b"here", 1, "roomt", b"oken", now));
        assert!(!is_right(b"here", 1, "room", b"", now));
        assert!(!Cookies::new([8; 32]).is_right(&cookie, b"here", 1, "room", b"token", now));
        assert!(!cookies.is_right(&[0; COOKIE_BYTES], b"here", 1, "room", b"token", now));
    }
}
