//! What a message says: bytes, kept in the message itself where they are few.

use bytes::Bytes;
use std::ops::Deref;

/// Payloads up to this size are kept in place. Most messages of devices are shorter, and an allocation of its own would
/// cost more than the copy.
const SHORT_BYTES_MAX: usize = 94;

/// The payload of a message.
#[derive(Clone)]
pub struct Payload(Kind);

#[derive(Clone)]
enum Kind {
    Short(u8, [u8; SHORT_BYTES_MAX]),
    Long(Bytes),
}

impl Payload {
    /// A copy of `bytes`.
    pub fn copy_from_slice(bytes: &[u8]) -> Payload {
        if bytes.len() > SHORT_BYTES_MAX {
            return Payload(Kind::Long(Bytes::copy_from_slice(bytes)));
        }
        let mut short = [0; SHORT_BYTES_MAX];
        short[..bytes.len()].copy_from_slice(bytes);
        Payload(Kind::Short(bytes.len() as u8, short))
    }

    /// The bytes to be shared and not copied, if they are kept so: those of every long payload.
    pub fn shared(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Long(bytes) => Some(bytes),
            Kind::Short(..) => None,
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Short(len, bytes) => &bytes[..usize::from(*len)],
            Kind::Long(bytes) => bytes,
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Payload::copy_from_slice(&[])
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Payload::copy_from_slice(text.as_bytes())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        match bytes.len() {
            0..=SHORT_BYTES_MAX => Payload::copy_from_slice(&bytes),
            _ => Payload(Kind::Long(bytes.into())),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        match bytes.len() {
            0..=SHORT_BYTES_MAX => Payload::copy_from_slice(&bytes),
            _ => Payload(Kind::Long(bytes)),
        }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_kept_as_it_is() {
        for len in [0, 1, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1, 5000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for payload in [
                Payload::copy_from_slice(&bytes),
                Payload::from(bytes.clone()),
                Payload::from(Bytes::from(bytes.clone())),
            ] {
                assert_eq!(*payload, *bytes);
                assert_eq!(payload.shared().is_some(), len > SHORT_BYTES_MAX);
            }
        }
    }
}
