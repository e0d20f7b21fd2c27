//! A JSON object to its members, before anything is known of their values.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What may be said of a message.
pub(super) const FIELDS: [&str; 10] = [
    "topic",
    "data",
    "data_base64",
    "qos",
    "retain",
    "content_type",
    "response_topic",
    "correlation_base64",
    "expiry",
    "user_properties",
];

/// An object taken apart, its values not looked into.
#[derive(Default)]
pub(super) struct Members<'a> {
    /// The JSON text of each field that is there, in the order of [`FIELDS`].
    pub(super) known: [Option<&'a str>; FIELDS.len()],
    /// The first name that is none of them.
    pub(super) unknown: Option<String>,
    /// A field that is there twice.
    pub(super) twice: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap;
        impl<'de> Visitor<'de> for OfMap {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<String>()? {
                    let Some(at) = FIELDS.iter().position(|known| *known == name) else {
                        members.unknown.get_or_insert(name);
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value: &RawValue = map.next_value()?;
                    if members.known[at].replace(value.get()).is_some() {
                        members.twice = Some(FIELDS[at]);
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(OfMap)
    }
}
