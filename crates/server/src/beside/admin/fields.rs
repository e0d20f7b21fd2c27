//! The members of a JSON object that was sent, taken one after the other.

use super::super::publish::{check_content_type, read_body};
use super::super::refusal::Refusal;
use axum::extract::Request;
use axum::http::StatusCode;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::ops::RangeInclusive;
use trefoil_json::Code;

/// No body of this kind needs more, in bytes.
const BODY_BYTES_MAX: usize = 16_384;

/// The members that have not been taken yet.
pub(super) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// When it is no JSON object, is too large, or has a member twice.
    pub(super) async fn read(request: Request, bytes_max: usize) -> Result<Fields, Refusal> {
        let (head, body) = request.into_parts();
        check_content_type(&head.headers)?;
        let body = read_body(body, bytes_max.min(BODY_BYTES_MAX)).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                Code::BadJson,
                format!("the body is no JSON object as it should be: {error}"),
            )
        })
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1).filter(|value| !value.is_null())
    }

    /// A text, if it is there.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(super::bad_field(name, format!("{name} must be a string"))),
        }
    }

    /// A whole number, if it is there.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        within: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_u64().filter(|number| within.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (least, most) = (within.start(), within.end());
                Err(super::bad_field(name, format!("{name} must be a whole number from {least} to {most}")))
            }
        }
    }

    /// Whether something is so; it is not if nothing is said.
    pub(super) fn is(&mut self, name: &'static str) -> Result<bool, Refusal> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(is)) => Ok(is),
            Some(_) => Err(super::bad_field(name, format!("{name} must be true or false"))),
        }
    }

    /// All that is known has been taken.
    ///
    /// # Errors
    /// When there is more.
    pub(super) fn end(self, known: &str) -> Result<(), Refusal> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let reason = format!("there is no member {name:?} here; there are {known}");
                Err(Refusal::new(StatusCode::BAD_REQUEST, Code::UnknownField, reason).field(name))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format_args!("{name:?} stands in it twice")));
            }
            // No operation has so many.
            if members.len() >= 16 {
                return Err(A::Error::custom("it has too many members"));
            }
            members.push((name, value));
        }
        Ok(Fields(members))
    }
}
