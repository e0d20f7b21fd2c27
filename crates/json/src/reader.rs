//! The members of an object, each read as the type that its field has. Requests and replies share these.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::error::{Code, RequestError};
use crate::extras::Extras;
use crate::field::{Field, FieldSet};
use crate::members::Members;
use crate::request::Limits;
use crate::value::{
    NotText, Pair, STRING_BYTES_MAX, Unsound, base64, boolean, check_sound, excerpt, has_byte, pairs, text,
    texts, unsigned,
};

pub(crate) type Outcome<T> = Result<T, RequestError>;

/// The members of an object on their way to a request or a reply.
pub(crate) struct Reader<'m, 'a> {
    pub(crate) members: &'m Members<'a>,
    pub(crate) limits: Limits,
    /// The payload, where it stands behind the object.
    pub(crate) behind: Option<&'a [u8]>,
}

const EXTRAS: FieldSet = FieldSet::of(&[
    Field::ContentType,
    Field::ResponseTopic,
    Field::CorrelationBase64,
    Field::Expiry,
    Field::UserProperties,
]);

impl<'a> Reader<'_, 'a> {
    pub(crate) fn payload(&self) -> Outcome<Cow<'a, [u8]>> {
        match (self.members.get(Field::Data), self.members.get(Field::DataBase64)) {
            (None, None) => Ok(Cow::Borrowed(self.behind.unwrap_or_default())),
            (Some(_), _) if self.behind.is_some() => Err(twice(Field::Data)),
            (_, Some(_)) if self.behind.is_some() => Err(twice(Field::DataBase64)),
            (None, Some(_)) => Ok(Cow::Owned(self.base64(Field::DataBase64)?.unwrap_or_default())),
            (Some(data), None) if data.starts_with('"') => {
                Ok(match text(data).map_err(|_| lone_surrogate(Field::Data))? {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                })
            }
            (Some(_), None) => Ok(Cow::Borrowed(self.json(Field::Data)?.unwrap_or_default().as_bytes())),
            (Some(_), Some(_)) => Err(bad(
                Field::DataBase64,
                "data and data_base64 are both there; a message has one payload".to_owned(),
            )),
        }
    }

    pub(crate) fn extras(&self) -> Outcome<Extras<'a>> {
        // Most messages have none of these, and one test finds that.
        if self.members.present.intersection(EXTRAS) == FieldSet::default() {
            return Ok(Extras::default());
        }
        let correlation = self.base64(Field::CorrelationBase64)?;
        if correlation.as_ref().is_some_and(|bytes| bytes.len() > STRING_BYTES_MAX) {
            return Err(too_long(Field::CorrelationBase64, Code::TooLarge));
        }
        Ok(Extras {
            content_type: self.string(Field::ContentType, Code::BadField)?,
            response_topic: self.string(Field::ResponseTopic, Code::BadTopic)?,
            correlation: correlation.map(Cow::Owned),
            expiry_s: self.unsigned(Field::Expiry, u32::MAX.into())?.map(|seconds| seconds as u32),
            user_properties: self.user_properties()?,
        })
    }

    pub(crate) fn user_properties(&self) -> Outcome<Vec<Pair<'a>>> {
        let Some(json) = self.members.get(Field::UserProperties) else {
            return Ok(Vec::new());
        };
        let pairs = pairs(json).map_err(|error| {
            bad(
                Field::UserProperties,
                format!("user_properties must be an array of pairs of strings, [[name, value], …]: {error}"),
            )
        })?;
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            check_string(Field::UserProperties, text, Code::BadField)?;
        }
        Ok(pairs)
    }

    pub(crate) fn filters(&self, field: Field) -> Outcome<(Vec<Cow<'a, str>>, bool)> {
        let json = self.members.get(field).unwrap_or_default();
        if !json.starts_with('[') {
            let filter = self.topic(field)?.unwrap_or_default();
            return Ok((vec![filter], false));
        }
        let filters = texts(json).map_err(|error| {
            bad(field, format!("{} must be a string or an array of strings: {error}", field.name()))
        })?;
        if filters.is_empty() {
            return Err(bad(
                field,
                format!("{} is an empty array; name at least one topic filter", field.name()),
            ));
        }
        if filters.len() > self.limits.filters_max {
            let reason = format!(
                "{} has {} topic filters; at most {} go into one request",
                field.name(),
                filters.len(),
                self.limits.filters_max
            );
            return Err(RequestError::new(Code::TooLarge, reason).field(field.name()));
        }
        for filter in &filters {
            check_not_empty(field, filter)?;
            check_string(field, filter, Code::BadTopic)?;
        }
        Ok((filters, true))
    }

    /// A QoS up to `qos_max`, which is 1 or 2.
    pub(crate) fn qos(&self, qos_max: u8) -> Outcome<u8> {
        match self.members.get(Field::Qos) {
            None | Some("0") => Ok(0),
            Some("1") => Ok(1),
            Some("2") if qos_max == 2 => Ok(2),
            Some(json) => Err(bad_value(Field::Qos, json, if qos_max == 2 { "0, 1 or 2" } else { "0 or 1" })),
        }
    }

    pub(crate) fn id(&self) -> Outcome<Option<u64>> {
        self.unsigned(Field::Id, u64::MAX)
    }

    pub(crate) fn unsigned(&self, field: Field, max: u64) -> Outcome<Option<u64>> {
        self.unsigned_in(field, 0..=max)
    }

    pub(crate) fn unsigned_in(&self, field: Field, range: RangeInclusive<u64>) -> Outcome<Option<u64>> {
        let Some(json) = self.members.get(field) else {
            return Ok(None);
        };
        match unsigned(json) {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let wanted = format!("a whole number from {} to {}", range.start(), range.end());
                Err(bad_value(field, json, &wanted))
            }
        }
    }

    pub(crate) fn boolean(&self, field: Field, default: bool) -> Outcome<bool> {
        match self.members.get(field) {
            None => Ok(default),
            Some(json) => boolean(json).ok_or_else(|| bad_value(field, json, "true or false")),
        }
    }

    pub(crate) fn topic(&self, field: Field) -> Outcome<Option<Cow<'a, str>>> {
        let topic = self.string(field, Code::BadTopic)?;
        if let Some(topic) = &topic {
            check_not_empty(field, topic)?;
        }
        Ok(topic)
    }

    /// A string that MQTT subscribers can be sent; `code` says what it is called when they cannot.
    pub(crate) fn string(&self, field: Field, code: Code) -> Outcome<Option<Cow<'a, str>>> {
        let Some(json) = self.members.get(field) else {
            return Ok(None);
        };
        let text = text(json).map_err(|error| not_text(field, json, error))?;
        check_string(field, &text, code)?;
        Ok(Some(text))
    }

    /// A string that goes nowhere but to people, so that anything may be in it.
    pub(crate) fn plain_string(&self, field: Field) -> Outcome<Option<Cow<'a, str>>> {
        let json = self.members.get(field);
        json.map(|json| text(json).map_err(|error| not_text(field, json, error))).transpose()
    }

    pub(crate) fn base64(&self, field: Field) -> Outcome<Option<Vec<u8>>> {
        let Some(json) = self.members.get(field) else {
            return Ok(None);
        };
        let text = text(json).map_err(|error| not_text(field, json, error))?;
        let bytes =
            base64(&text).map_err(|error| bad(field, format!("{} is not base64: {error}", field.name())))?;
        Ok(Some(bytes))
    }

    /// Any JSON value, as the text that it was written in.
    pub(crate) fn json(&self, field: Field) -> Outcome<Option<&'a str>> {
        let Some(json) = self.members.get(field) else {
            return Ok(None);
        };
        match check_sound(json, self.limits.depth_max) {
            Ok(()) => Ok(Some(json)),
            Err(Unsound::LoneSurrogate) => Err(lone_surrogate(field)),
            Err(Unsound::TooDeep) => {
                let reason =
                    format!("{} is nested deeper than {} levels", field.name(), self.limits.depth_max);
                Err(RequestError::new(Code::TooLarge, reason).field(field.name()))
            }
        }
    }
}

/// A payload stands in the header of a binary frame, and another one behind it.
fn twice(field: Field) -> RequestError {
    bad(
        field,
        format!("{} is there, but the payload of a binary frame stands behind its header", field.name()),
    )
}

pub(crate) fn check_not_empty(field: Field, topic: &str) -> Outcome<()> {
    if topic.is_empty() { Err(bad_topic(field, "is empty")) } else { Ok(()) }
}

/// [MQTT-1.5.4-2] forbids U+0000 in strings, and their length has two bytes on the wire.
fn check_string(field: Field, text: &str, code: Code) -> Outcome<()> {
    if text.len() > STRING_BYTES_MAX {
        return Err(too_long(field, if code == Code::BadTopic { code } else { Code::TooLarge }));
    }
    if has_byte(text, 0) {
        let reason = format!("{} has the character U+0000 in it", field.name());
        return Err(RequestError::new(code, reason).field(field.name()));
    }
    Ok(())
}

pub(crate) fn bad(field: Field, reason: String) -> RequestError {
    RequestError::new(Code::BadField, reason).field(field.name())
}

pub(crate) fn bad_value(field: Field, json: &str, wanted: &str) -> RequestError {
    bad(field, format!("{} is {}; it must be {wanted}", field.name(), excerpt(json)))
}

pub(crate) fn bad_topic(field: Field, what: &str) -> RequestError {
    RequestError::new(Code::BadTopic, format!("{} {what}", field.name())).field(field.name())
}

fn too_long(field: Field, code: Code) -> RequestError {
    let reason = format!("{} is longer than {STRING_BYTES_MAX} bytes", field.name());
    RequestError::new(code, reason).field(field.name())
}

fn not_text(field: Field, json: &str, error: NotText) -> RequestError {
    match error {
        NotText::NoString => bad_value(field, json, "a string"),
        NotText::LoneSurrogate => lone_surrogate(field),
    }
}

fn lone_surrogate(field: Field) -> RequestError {
    let reason = format!(
        r"{} has half of a surrogate pair (an escape from \ud800 to \udfff) without the other half",
        field.name()
    );
    bad(field, reason)
}
