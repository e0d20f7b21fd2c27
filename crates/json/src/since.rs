//! Places in the histories of topics, and from where on a subscriber wants them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Code, RequestError};
use crate::field::{Field, FieldSet};
use crate::members::{Members, read};
use crate::reader::{Outcome, Reader, bad, bad_value, check_not_empty};
use crate::value::unsigned;
use crate::write::push_u64;

/// Digits of an epoch as it is written.
const EPOCH_DIGITS: usize = 12;

/// The place of a message in the history of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The life of the history, below 2⁴⁸; written as twelve hexadecimal digits.
    pub epoch: u64,
    /// The number of the message in it, from 1. JavaScript is exact up to 2⁵³−1.
    pub offset: u64,
}

/// From where on a subscriber wants what is kept of its topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since<'a> {
    /// What was published from then on, in microseconds since 1970, of the topics that are not in the list.
    pub time: Option<u64>,
    /// What came behind these places, by topic. A place without a topic stands for the one topic that is subscribed to.
    pub topics: Places<'a>,
}

/// Places by topic.
pub(crate) type Places<'a> = Vec<(Cow<'a, str>, Place)>;

impl Place {
    /// Appends `,"epoch":"…","offset":N`.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"epoch\":\"");
        push_epoch(self.epoch, out);
        out.extend_from_slice(b"\",\"offset\":");
        push_u64(self.offset, out);
    }
}

/// Appends the twelve digits of an epoch.
pub fn push_epoch(epoch: u64, out: &mut Vec<u8>) {
    for digit in (0..EPOCH_DIGITS).rev() {
        let nibble = (epoch >> (4 * digit) & 0xf) as u8;
        out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

/// Reads the twelve digits of an epoch; none if the text is none.
pub fn parse_epoch(text: &str) -> Option<u64> {
    let is_one = text.len() == EPOCH_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_one { u64::from_str_radix(text, 16).ok() } else { None }
}

impl<'a> Reader<'_, 'a> {
    /// The `epoch` and `offset` of an object, both or neither.
    pub(crate) fn place(&self) -> Outcome<Option<Place>> {
        let epoch = self.plain_string(Field::Epoch)?;
        let offset = self.unsigned(Field::Offset, u64::MAX)?;
        match (epoch, offset) {
            (None, None) => Ok(None),
            (Some(epoch), Some(offset)) => {
                let wrong = || {
                    bad(Field::Epoch, "epoch must be the twelve hexadecimal digits of a message".to_owned())
                };
                Ok(Some(Place { epoch: parse_epoch(&epoch).ok_or_else(wrong)?, offset }))
            }
            (given, _) => {
                let missing = if given.is_some() { Field::Offset } else { Field::Epoch };
                let reason = format!("{} is missing; a place has both epoch and offset", missing.name());
                Err(RequestError::new(Code::MissingField, reason).field(missing.name()))
            }
        }
    }

    /// The `since` of a subscribe to `filters`.
    pub(crate) fn since(&self, filters: &[Cow<'a, str>], many: bool) -> Outcome<Option<Since<'a>>> {
        let Some(json) = self.members.get(Field::Since) else { return Ok(None) };
        let wrong = |_| {
            bad_value(Field::Since, json, "an object with epoch and offset, or with time, topics or both")
        };
        let mut inner = Members::default();
        read(json.as_bytes(), &mut inner).map_err(wrong)?;
        let inner = Reader { members: &inner, limits: self.limits, behind: None };
        inner.check_fields(
            "since",
            FieldSet::of(&[Field::Epoch, Field::Offset, Field::Time, Field::Topics]),
        )?;
        let (place, time) = (inner.place()?, inner.unsigned(Field::Time, u64::MAX)?);
        let topics = inner.places()?;
        match (place, &topics, time) {
            (Some(place), None, None) => {
                let [topic] = filters else { return Err(not_one_topic()) };
                if many || topic.contains(['+', '#']) {
                    return Err(not_one_topic());
                }
                Ok(Some(Since { time: None, topics: vec![(topic.clone(), place)] }))
            }
            (Some(_), ..) => {
                let reason = "since has a place of its own and time or topics; it can have one or the other";
                Err(bad(Field::Since, reason.to_owned()))
            }
            (None, None, None) => Err(wrong(Cow::Borrowed(""))),
            (None, ..) => Ok(Some(Since { time, topics: topics.unwrap_or_default() })),
        }
    }

    fn places(&self) -> Outcome<Option<Places<'a>>> {
        let Some(json) = self.members.get(Field::Topics) else { return Ok(None) };
        let mut json = serde_json::Deserializer::from_str(json);
        let raw = json.deserialize_map(PlacesVisitor).map_err(|error| {
            bad(Field::Topics, format!("topics must be an object with a place for each topic: {error}"))
        })?;
        if raw.len() > self.limits.filters_max {
            let reason =
                format!("topics has {} topics; {} are the limit", raw.len(), self.limits.filters_max);
            return Err(RequestError::new(Code::TooLarge, reason).field(Field::Topics.name()));
        }
        let mut places = Vec::with_capacity(raw.len());
        for (topic, json) in raw {
            check_not_empty(Field::Topics, &topic)?;
            let mut inner = Members::default();
            let wrong = |_| bad_value(Field::Topics, json, "an object with epoch and offset");
            read(json.as_bytes(), &mut inner).map_err(wrong)?;
            let inner = Reader { members: &inner, limits: self.limits, behind: None };
            inner.check_fields("a place", FieldSet::of(&[Field::Epoch, Field::Offset]))?;
            let place = inner.place()?.ok_or_else(|| wrong(Cow::Borrowed("")))?;
            places.push((Cow::Owned(topic), place));
        }
        Ok(Some(places))
    }
}

fn not_one_topic() -> RequestError {
    let reason = "a place of its own is for one topic; for a filter with wildcards, or several, name the topics: \
                  {\"time\":…,\"topics\":{\"TOPIC\":{\"epoch\":…,\"offset\":…}}}";
    bad(Field::Since, reason.to_owned())
}

struct PlacesVisitor;

impl<'a> Visitor<'a> for PlacesVisitor {
    type Value = Vec<(String, &'a str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut places = Vec::new();
        while let Some(topic) = map.next_key::<String>()? {
            let place: &'a RawValue = map.next_value()?;
            places.push((topic, place.get()));
        }
        Ok(places)
    }
}

/// What the hub says of the histories along with the answer to a subscribe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// When the subscription began, in microseconds since 1970; none where no topic of it can have a history.
    pub time: Option<u64>,
    /// Whether something of what was asked for is not there any more; none if nothing was asked for.
    pub gap: Option<bool>,
}

impl Followed {
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        if let Some(time) = self.time {
            out.extend_from_slice(b",\"time\":");
            push_u64(time, out);
        }
        if let Some(gap) = self.gap {
            out.extend_from_slice(if gap { b",\"gap\":true" } else { b",\"gap\":false" });
        }
    }
}

/// Reads what [`Followed`] writes. A `gap` that is an object is none of an answer.
pub(crate) fn followed(reader: &Reader<'_, '_>) -> Outcome<Followed> {
    let gap = reader.members.get(Field::Gap);
    Ok(Followed {
        time: reader.members.get(Field::Time).and_then(unsigned),
        gap: gap.map(|_| reader.boolean(Field::Gap, false)).transpose()?,
    })
}
