//! The texts of SCRAM: attributes of one letter, separated by commas (RFC 5802 §7).

use super::{MESSAGE_BYTES_MAX, ScramError};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::borrow::Cow;

/// The attributes of a message, one after the other.
pub(super) struct Attributes<'a> {
    rest: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(text: &'a str) -> Attributes<'a> {
        Attributes { rest: Some(text) }
    }

    /// The value of the next attribute, which must be of this letter.
    pub(super) fn next(&mut self, letter: char) -> Result<&'a str, ScramError> {
        let (found, value) = self.any()?.ok_or(ScramError::Malformed("an attribute is missing"))?;
        match found {
            _ if found == letter => Ok(value),
            // RFC 5802 §5.1: `m` is kept for extensions that whoever does not know them must not pass over.
            'm' => Err(ScramError::Extension),
            _ => Err(ScramError::Malformed("an attribute stands where another one should")),
        }
    }

    /// The next attribute, whatever it is.
    pub(super) fn any(&mut self) -> Result<Option<(char, &'a str)>, ScramError> {
        let Some(rest) = self.rest else { return Ok(None) };
        let (one, rest) = rest.split_once(',').map_or((rest, None), |(one, rest)| (one, Some(rest)));
        self.rest = rest;
        let mut chars = one.chars();
        match (chars.next(), chars.next()) {
            (Some(letter), Some('=')) if letter.is_ascii_alphabetic() => Ok(Some((letter, chars.as_str()))),
            _ => Err(ScramError::Malformed("an attribute is not a letter, =, and a value")),
        }
    }

    /// Passes over optional extensions; nothing but such may follow.
    pub(super) fn extensions(&mut self) -> Result<(), ScramError> {
        while let Some((letter, _)) = self.any()? {
            if letter == 'm' {
                return Err(ScramError::Extension);
            }
        }
        Ok(())
    }
}

/// The text of a message.
pub(super) fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::Malformed("it is too long"));
    }
    let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed("it is not UTF-8"))?;
    if text.contains('\0') {
        return Err(ScramError::Malformed("U+0000 is in it"));
    }
    Ok(text)
}

/// A nonce: characters that can be printed, save the comma.
pub(super) fn check_nonce(nonce: &str) -> Result<&str, ScramError> {
    if nonce.is_empty() || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ScramError::Malformed("the nonce is empty or has characters in it that none has"));
    }
    Ok(nonce)
}

pub(super) fn base64(text: &str) -> Result<Vec<u8>, ScramError> {
    BASE64_STANDARD.decode(text).map_err(|_| ScramError::Malformed("a value is not base64"))
}

/// A name as it stands in a message: `,` and `=` are written `=2C` and `=3D`.
pub(super) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

pub(super) fn unescape(text: &str) -> Result<Cow<'_, str>, ScramError> {
    if text.is_empty() {
        return Err(ScramError::Malformed("a name is empty"));
    }
    if !text.contains('=') {
        return Ok(text.into());
    }
    let mut name = String::with_capacity(text.len());
    let mut parts = text.split('=');
    name.extend(parts.next());
    for part in parts {
        let (escaped, rest) = match part.as_bytes() {
            [b'2', b'C', ..] => (',', &part[2..]),
            [b'3', b'D', ..] => ('=', &part[2..]),
            _ => return Err(ScramError::Malformed("a name has an = in it that is neither =2C nor =3D")),
        };
        name.push(escaped);
        name.push_str(rest);
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_way_there_and_back() {
        for name in ["ann", "a,b", "a=b", "=2C", "=,=", "grün"] {
            assert_eq!(unescape(&escape(name)).as_deref(), Ok(name));
        }
        for bad in ["", "=", "a=2", "a=2c", "a=3E"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }
}
