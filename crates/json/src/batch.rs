//! Several objects in one frame, line or datagram: a JSON array of them.

use std::fmt;

use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Code, RequestError};
use crate::members::not_utf8_from;
use crate::reader::Outcome;
use crate::request::Limits;

/// Whether a text is an array, and so a batch if it is anything.
pub fn is_batch(input: &[u8]) -> bool {
    input.trim_ascii_start().first() == Some(&b'[')
}

/// Takes a batch apart: the texts of its objects, in their order. Whether each of them is a good request is not looked at;
/// that they are objects is, so that what is no batch is refused as a whole.
///
/// ```
/// use trefoil_json::{Limits, parse_batch};
///
/// let texts = parse_batch(br#"[{"pub":"a","data":1}, {"ping":null}]"#, Limits::default())?;
/// assert_eq!(texts, [r#"{"pub":"a","data":1}"#, r#"{"ping":null}"#]);
/// # Ok::<(), trefoil_json::RequestError>(())
/// ```
///
/// # Errors
/// [`Code::BadJson`] when it is not an array of one object or more, and [`Code::TooLarge`] when there are more than
/// [`Limits::batch_max`].
pub fn parse_batch(input: &[u8], limits: Limits) -> Result<Vec<&str>, RequestError> {
    let bad_json = |reason: String| RequestError::new(Code::BadJson, reason);
    let text = simdutf8::compat::from_utf8(input).map_err(|error| {
        let at = error.valid_up_to();
        bad_json(not_utf8_from(input[at], at))
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let texts = json
        .deserialize_seq(TextsVisitor(limits.batch_max))
        .map_err(|error| bad_json(format!("it is not JSON: {error}")))?;
    let Some(texts) = texts else { return too_many(limits.batch_max) };
    json.end().map_err(|_| {
        bad_json("there is more after the array; send one array in each line, frame or datagram".to_owned())
    })?;
    if texts.is_empty() {
        return Err(bad_json("the array is empty; a batch has at least one object".to_owned()));
    }
    if let Some((at, other)) = texts.iter().enumerate().find(|(_, text)| !text.starts_with('{')) {
        let start = other.chars().next().map_or_else(String::new, |first| first.escape_debug().to_string());
        let reason = format!(
            "item {} of the array starts with {start}, but a batch has objects only: [{{…}},{{…}}]",
            at + 1
        );
        return Err(bad_json(reason));
    }
    Ok(texts)
}

fn too_many<T>(batch_max: usize) -> Outcome<T> {
    Err(RequestError::new(Code::TooLarge, format!("the array has more than {batch_max} objects")))
}

/// Collects texts until there are too many, and so never has more of them than that.
struct TextsVisitor(usize);

impl<'a> Visitor<'a> for TextsVisitor {
    type Value = Option<Vec<&'a str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(raw) = seq.next_element::<&'a RawValue>()? {
            if texts.len() < self.0 {
                texts.push(raw.get());
            } else {
                // The rest is read as well, since what is not JSON at all is to be called that.
                while seq.next_element::<&'a RawValue>()?.is_some() {}
                return Ok(None);
            }
        }
        Ok(Some(texts))
    }
}
