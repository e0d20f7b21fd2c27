//! What a server keeps of a password: enough to check a proof, and not enough to make one.

use super::{ITERATIONS_MAX, ITERATIONS_MIN, Key, hmac, sha256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// Salts are no longer, in bytes.
const SALT_BYTES_MAX: usize = 64;

/// What a server keeps of a password (RFC 5802 §3). Displayed as PostgreSQL writes it:
/// `SCRAM-SHA-256$iterations:salt$stored key:server key`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Box<[u8]>,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

impl Verifier {
    /// How a record of this kind begins.
    pub(crate) const PREFIX: &str = "SCRAM-SHA-256$";

    /// Of a prepared password. Costs what the iterations cost.
    pub(crate) fn derive(password: &str, salt: &[u8], iterations: u32) -> Verifier {
        assert!((ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations), "{iterations} iterations");
        assert!((1..=SALT_BYTES_MAX).contains(&salt.len()), "a salt of {} bytes", salt.len());
        let salted = salted_password(password, salt, iterations);
        Verifier {
            iterations,
            salt: salt.into(),
            stored_key: sha256(&client_key(&salted)),
            server_key: server_key(&salted),
        }
    }

    /// One that no password fits, of keys that nobody has a password for.
    pub(crate) fn made_up(iterations: u32, salt: &[u8], stored_key: Key, server_key: Key) -> Verifier {
        Verifier { iterations, salt: salt.into(), stored_key, server_key }
    }

    /// How often a guess has to be hashed.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Reads what stands behind [`PREFIX`](Self::PREFIX).
    pub(crate) fn parse(rest: &str) -> Result<Verifier, &'static str> {
        let parts = rest
            .split_once('$')
            .and_then(|(cost, keys)| Some((cost.split_once(':')?, keys.split_once(':')?)));
        let Some(((iterations, salt), (stored_key, server_key))) = parts else {
            return Err("it is not of the form SCRAM-SHA-256$iterations:salt$stored-key:server-key");
        };
        let iterations: u32 = iterations.parse().map_err(|_| "the iterations are not a number")?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err("the iterations are not within 4096 and 2000000");
        }
        let bytes = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| "a part of it is not base64");
        let key = |text| Key::try_from(bytes(text)?).map_err(|_| "a key has not 32 bytes");
        let salt = bytes(salt)?;
        if !(1..=SALT_BYTES_MAX).contains(&salt.len()) {
            return Err("the salt has not 1 to 64 bytes");
        }
        let (stored_key, server_key) = (key(stored_key)?, key(server_key)?);
        Ok(Verifier { iterations, salt: salt.into(), stored_key, server_key })
    }

    /// Whether it was derived from this prepared password.
    pub(crate) fn check(&self, password: &str) -> bool {
        let salted = salted_password(password, &self.salt, self.iterations);
        sha256(&client_key(&salted)).ct_eq(&self.stored_key).into()
    }
}

pub(super) fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Key {
    pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, iterations)
}

pub(super) fn client_key(salted: &Key) -> Key {
    hmac(salted, b"Client Key")
}

pub(super) fn server_key(salted: &Key) -> Key {
    hmac(salted, b"Server Key")
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let (salt, stored_key, server_key) =
            (text(&self.salt), text(&self.stored_key), text(&self.server_key));
        write!(f, "{}{}:{salt}${stored_key}:{server_key}", Verifier::PREFIX, self.iterations)
    }
}

/// Nothing of the keys goes into logs.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}
