//! What is kept of a password.

use crate::argon2id::Argon2id;
use crate::prepare::{PrepareError, prepare};
use crate::scram::Verifier;
use std::fmt;

/// What is kept of a password. Displayed as it stands in the file of users.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A SCRAM verifier: good for SCRAM and for passwords that are sent.
    Scram(Verifier),
    /// A hash: good for passwords that are sent only.
    Argon2id(Argon2id),
}

/// The kinds of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// See [`Record::Scram`].
    ScramSha256,
    /// See [`Record::Argon2id`].
    Argon2id,
}

/// Why a text is no record. It repeats nothing of the text, which is a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordError {
    /// It begins like no kind of record that is known.
    UnknownKind,
    /// It begins like one, and this is wrong with the rest.
    Malformed(&'static str),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::UnknownKind => f.write_str(
                "the record begins with neither SCRAM-SHA-256$ nor $argon2id$; `trefoil passwd` writes records",
            ),
            RecordError::Malformed(why) => write!(f, "the record is not valid: {why}"),
        }
    }
}

impl std::error::Error for RecordError {}

impl Record {
    /// A SCRAM verifier of a password. `salt` comes from a good source of randomness and has 16 bytes as a rule.
    ///
    /// # Errors
    /// When the password cannot be prepared.
    pub fn scram(password: &str, salt: &[u8], iterations: u32) -> Result<Record, PrepareError> {
        Ok(Record::Scram(Verifier::derive(&prepare(password)?, salt, iterations)))
    }

    /// An Argon2id hash of a password, at the usual cost. `salt` comes from a good source of randomness and has 16
    /// bytes as a rule.
    ///
    /// # Errors
    /// When the password cannot be prepared.
    pub fn argon2id(password: &str, salt: &[u8]) -> Result<Record, PrepareError> {
        Ok(Record::Argon2id(Argon2id::derive(&prepare(password)?, salt)))
    }

    /// Reads a record as it stands in the file of users.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Record, RecordError> {
        if let Some(rest) = text.strip_prefix(Verifier::PREFIX) {
            return Verifier::parse(rest).map(Record::Scram).map_err(RecordError::Malformed);
        }
        if text.starts_with("$argon2id$") {
            return Argon2id::parse(text).map(Record::Argon2id);
        }
        Err(RecordError::UnknownKind)
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Record::Scram(_) => Kind::ScramSha256,
            Record::Argon2id(_) => Kind::Argon2id,
        }
    }

    /// Whether it was made of this prepared password.
    pub(crate) fn check(&self, password: &str) -> bool {
        match self {
            Record::Scram(verifier) => verifier.check(password),
            Record::Argon2id(hash) => hash.check(password),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Scram(verifier) => verifier.fmt(f),
            Record::Argon2id(hash) => hash.fmt(f),
        }
    }
}
