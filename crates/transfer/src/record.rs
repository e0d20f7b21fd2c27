//! Records: a length, and as many encrypted bytes.
//!
//! ```text
//! 4   length of the rest, big-endian
//! …   a message, its last byte says which (encrypted)
//! 16  tag
//! ```
//!
//! The number of a record within its direction is its nonce, so one that is left out, repeated or moved does not open.
//! The length is authenticated with the rest.

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce, Tag};
use std::fmt;

/// What stands before the encrypted bytes.
pub(crate) const HEADER_BYTES: usize = 4;
const TAG_BYTES: usize = 16;

/// The longest record that anybody sends or takes, without its length.
pub const RECORD_BYTES_MAX: usize = crate::CHUNK_BYTES + 1024;

/// Why a record is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Its length cannot be right.
    Length(u32),
    /// It was changed on the way, or is not the next one.
    Forged,
    /// More records than a key may be used for.
    Exhausted,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Length(length) => write!(f, "a record of {length} bytes, which there are none of"),
            RecordError::Forged => f.write_str("a record was changed on the way"),
            RecordError::Exhausted => {
                f.write_str("a key has been used for all records that it may be used for")
            }
        }
    }
}

impl std::error::Error for RecordError {}

/// How many bytes follow a header.
///
/// # Errors
/// When no record is that long or short.
pub fn body_bytes(header: [u8; HEADER_BYTES]) -> Result<usize, RecordError> {
    let length = u32::from_be_bytes(header);
    match length as usize {
        bytes @ 17..=RECORD_BYTES_MAX => Ok(bytes),
        _ => Err(RecordError::Length(length)),
    }
}

/// Encrypts what this end sends.
#[derive(Debug)]
pub struct Sealer {
    key: LessSafeKey,
    next: Counter,
}

impl Sealer {
    pub(crate) fn new(key: LessSafeKey) -> Sealer {
        Sealer { key, next: Counter(0) }
    }

    /// Turns four bytes of room and a message into a record, in place.
    ///
    /// # Errors
    /// When the key has been used up.
    ///
    /// # Panics
    /// When there is no message, or it is longer than a record can be.
    pub fn seal(&mut self, record: &mut Vec<u8>) -> Result<(), RecordError> {
        let body = record.len() - HEADER_BYTES + TAG_BYTES;
        assert!(body > TAG_BYTES && body <= RECORD_BYTES_MAX, "a message of {body} bytes");
        let header = (body as u32).to_be_bytes();
        record[..HEADER_BYTES].copy_from_slice(&header);
        let nonce = self.next.nonce()?;
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut record[HEADER_BYTES..]);
        record.extend_from_slice(tag.map_err(|_| RecordError::Exhausted)?.as_ref());
        Ok(())
    }

    /// The other end of this direction.
    #[cfg(test)]
    pub(crate) fn clone_as_opener(&self) -> Opener {
        Opener::new(self.key.clone())
    }
}

/// Decrypts what the other end sends.
#[derive(Debug)]
pub struct Opener {
    key: LessSafeKey,
    next: Counter,
}

impl Opener {
    pub(crate) fn new(key: LessSafeKey) -> Opener {
        Opener { key, next: Counter(0) }
    }

    /// Opens a record in place, and gives its message.
    ///
    /// # Errors
    /// When it is not exactly what the other end sealed as its next one.
    pub fn open<'a>(
        &mut self,
        header: [u8; HEADER_BYTES],
        body: &'a mut [u8],
    ) -> Result<&'a [u8], RecordError> {
        let nonce = self.next.nonce()?;
        let (message, tag) = body.split_last_chunk_mut::<TAG_BYTES>().ok_or(RecordError::Forged)?;
        let opened =
            self.key.open_in_place_separate_tag(nonce, Aad::from(header), Tag::from(*tag), message, 0..);
        opened.map(|message| &*message).map_err(|_| RecordError::Forged)
    }
}

/// Numbers of records.
#[derive(Debug)]
struct Counter(u64);

impl Counter {
    fn nonce(&mut self) -> Result<Nonce, RecordError> {
        let mut bytes = [0; NONCE_LEN];
        bytes[4..].copy_from_slice(&self.0.to_be_bytes());
        self.0 = self.0.checked_add(1).ok_or(RecordError::Exhausted)?;
        Ok(Nonce::assume_unique_for_key(bytes))
    }
}
