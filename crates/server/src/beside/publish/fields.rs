//! The values of a publish: each read as what it has to be, or refused by its name.

use super::members::{FIELDS, Members};
use super::nearest::nearest;
use crate::beside::refusal::Refusal;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use trefoil_json::{Code, STRING_BYTES_MAX};

/// Fields that are all known, each there once at most.
pub(super) struct Fields<'a>([Option<&'a str>; FIELDS.len()]);

impl<'a> Fields<'a> {
    /// Refuses what nobody would read.
    pub(super) fn check(members: Members<'a>) -> Result<Fields<'a>, Refusal> {
        if let Some(name) = members.unknown {
            let hint = match nearest(&name, &FIELDS) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("there are {}", FIELDS.join(", ")),
            };
            let reason = format!("{} is not a field of a publish; {hint}", excerpt(&name));
            return Err(
                Refusal::new(StatusCode::BAD_REQUEST, Code::UnknownField, reason).field(excerpt(&name))
            );
        }
        match members.twice {
            Some(name) => Err(Refusal::bad_field(name, format!("{name} is there twice"))),
            None => Ok(Fields(members.known)),
        }
    }

    /// The JSON text of a field, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0[FIELDS.iter().position(|known| *known == name)?]
    }

    /// A field as serde reads it.
    pub(super) fn value<T: Deserialize<'a>>(
        &self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, Refusal> {
        let Some(json) = self.get(name) else { return Ok(None) };
        let value = serde_json::from_str(json).map_err(|_| {
            Refusal::bad_field(name, format!("{name} is {}; it must be {expected}", excerpt(json)))
        })?;
        Ok(Some(value))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        self.value(name, "a string")
    }

    /// A string that fits into an MQTT packet [MQTT-1.5.4-2].
    pub(super) fn short_text(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        let text = self.text(name)?;
        match text.as_ref().is_some_and(|text| text.len() > STRING_BYTES_MAX || text.contains('\0')) {
            true => Err(Refusal::bad_field(
                name,
                format!("{name} has U+0000 in it or more than {STRING_BYTES_MAX} bytes"),
            )),
            false => Ok(text),
        }
    }

    pub(super) fn qos(&self) -> Result<Option<u8>, Refusal> {
        let expected = "0, 1 or 2";
        match self.value::<u8>("qos", expected)? {
            Some(qos @ 3..) => Err(Refusal::bad_field("qos", format!("qos is {qos}; it must be {expected}"))),
            qos => Ok(qos),
        }
    }

    /// A string stands for its text; everything else for itself, exactly as it was written.
    pub(super) fn data(&self) -> Result<Option<Vec<u8>>, Refusal> {
        match self.get("data") {
            Some(json) if json.starts_with('"') => {
                Ok(self.value::<String>("data", "valid Unicode")?.map(Into::into))
            }
            json => Ok(json.map(Into::into)),
        }
    }

    /// Bytes from base64, with or without padding.
    pub(super) fn base64(&self, name: &'static str) -> Result<Option<Vec<u8>>, Refusal> {
        const CONFIG: GeneralPurposeConfig =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        const ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
        let Some(text) = self.text(name)? else { return Ok(None) };
        let bytes = ENGINE.decode(&text).map_err(|error| {
            Refusal::bad_field(name, format!("{name} is not base64 of the standard alphabet: {error}"))
        })?;
        match name == "correlation_base64" && bytes.len() > STRING_BYTES_MAX {
            true => Err(Refusal::bad_field(name, format!("{name} has more than {STRING_BYTES_MAX} bytes"))),
            false => Ok(Some(bytes)),
        }
    }
}

/// As much of a value as helps to find it.
fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
