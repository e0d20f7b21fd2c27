//! Argon2id (RFC 9106): a hash that costs memory as well as time. It can check a password that was sent, and nothing
//! else: SCRAM needs a verifier of its own.

use crate::record::RecordError;
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use std::fmt;
use subtle::ConstantTimeEq;

/// What a check may cost at most, so that a slip in a file does not stop the hub: memory in KiB, passes, lanes.
const COST_MAX: (u32, u32, u32) = (1 << 20, 64, 16);

const HASH_BYTES: usize = 32;

/// An Argon2id hash with its salt and cost. Displayed in the PHC format: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2id {
    params: Params,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

impl Argon2id {
    /// Hashes a prepared password at the usual cost: 19 MiB, 2 passes. `salt` has 8 to 48 bytes, 16 as a rule.
    pub(crate) fn derive(password: &str, salt: &[u8]) -> Argon2id {
        let mut record = Argon2id::with(Params::DEFAULT, salt, &[0; HASH_BYTES]);
        record.hash = record.hash_of(password.as_bytes());
        record
    }

    /// A record of the same cost that fits no password anybody knows.
    pub(crate) fn made_up(&self, salt: &[u8], hash: &[u8; 32]) -> Argon2id {
        Argon2id::with(self.params.clone(), &salt[..salt.len().min(self.salt.len())], hash)
    }

    fn with(params: Params, salt: &[u8], hash: &[u8]) -> Argon2id {
        assert!((8..=48).contains(&salt.len()), "a salt of {} bytes", salt.len());
        Argon2id { params, salt: salt.into(), hash: hash.into() }
    }

    pub(crate) fn parse(text: &str) -> Result<Argon2id, RecordError> {
        let found =
            PasswordHash::new(text).map_err(|_| RecordError::Malformed("it is not in the PHC format"))?;
        if found.algorithm != argon2::ARGON2ID_IDENT || found.version.is_some_and(|version| version != 19) {
            return Err(RecordError::Malformed("only version 19 of argon2id is known"));
        }
        let (Some(salt), Some(hash)) = (found.salt, found.hash) else {
            return Err(RecordError::Malformed("salt or hash is missing"));
        };
        // Of the length of the hash they need not know.
        let params = Params::try_from(&found)
            .and_then(|p| Ok(Params::new(p.m_cost(), p.t_cost(), p.p_cost(), None)?))
            .map_err(|_| RecordError::Malformed("its parameters are not valid"))?;
        let (memory_max, passes_max, lanes_max) = COST_MAX;
        if params.m_cost() > memory_max || params.t_cost() > passes_max || params.p_cost() > lanes_max {
            return Err(RecordError::Malformed(
                "a check would cost too much: at most m=1048576 (1 GiB), t=64, p=16",
            ));
        }
        if !(8..=48).contains(&salt.as_ref().len()) {
            return Err(RecordError::Malformed("the salt has not 8 to 48 bytes"));
        }
        Ok(Argon2id { params, salt: salt.as_ref().into(), hash: hash.as_bytes().into() })
    }

    /// Whether it is the hash of this prepared password. Costs some ten milliseconds.
    pub(crate) fn check(&self, password: &str) -> bool {
        self.hash_of(password.as_bytes()).ct_eq(&self.hash).into()
    }

    fn hash_of(&self, password: &[u8]) -> Box<[u8]> {
        let mut hash = vec![0; self.hash.len()].into_boxed_slice();
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let done = hasher.hash_password_into(password, &self.salt, &mut hash);
        // Memory may be short; then nothing is known about the password, and so it does not fit.
        if done.is_err() {
            hash = Box::default();
        }
        hash
    }
}

impl fmt::Display for Argon2id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (m, t, p) = (self.params.m_cost(), self.params.t_cost(), self.params.p_cost());
        let (salt, hash) =
            (BASE64_STANDARD_NO_PAD.encode(&self.salt), BASE64_STANDARD_NO_PAD.encode(&self.hash));
        write!(f, "$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}")
    }
}

/// Nothing of the hash goes into logs.
impl fmt::Debug for Argon2id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2id").field("params", &self.params).finish_non_exhaustive()
    }
}
