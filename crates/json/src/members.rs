//! One JSON object to its members, each with its value as the exact text that stood there.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::field::{Field, FieldSet};
use crate::value::{excerpt, unsigned};

/// So many members are kept: more than any operation has, and fewer than there are names, since all of them are laid out
/// anew for each text.
const VALUES_MAX: usize = 16;

/// The members of an object by field. No value is looked into, so that an error in one of them does not hide the id
/// that stands after it.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    /// What was there.
    pub(crate) present: FieldSet,
    /// The first member that the protocol does not know.
    pub(crate) unknown: Option<String>,
    /// The first field that stands twice.
    pub(crate) duplicate: Option<Field>,
    /// JSON texts in the order in which they stood.
    values: [&'a str; VALUES_MAX],
    count: usize,
    /// Where in `values` the text of each field is that is present.
    places: [u8; Field::ALL.len()],
}

impl Default for Members<'_> {
    fn default() -> Self {
        Members {
            present: FieldSet::default(),
            unknown: None,
            duplicate: None,
            values: [""; VALUES_MAX],
            count: 0,
            places: [0; Field::ALL.len()],
        }
    }
}

impl<'a> Members<'a> {
    /// The JSON text of a member.
    pub(crate) fn get(&self, field: Field) -> Option<&'a str> {
        self.present.contains(field).then(|| self.values[usize::from(self.places[field as usize])])
    }

    /// The id, if there is one and it is good.
    pub(crate) fn id(&self) -> Option<u64> {
        unsigned(self.get(Field::Id)?)
    }

    fn put(&mut self, field: Field, value: &'a str) {
        if self.present.contains(field) {
            self.duplicate.get_or_insert(field);
        } else {
            self.present.insert(field);
            // What has more members has some that do not belong together, whatever their values are: these stay empty, as
            // the last place does.
            let place = self.count.min(VALUES_MAX - 1);
            if place < VALUES_MAX - 1 {
                self.values[place] = value;
                self.count += 1;
            }
            self.places[field as usize] = place as u8;
        }
    }
}

/// Reads an object. When it is broken, the reason is returned, and `members` has what stood before the fault.
pub(crate) fn read<'a>(input: &'a [u8], members: &mut Members<'a>) -> Result<(), Cow<'static, str>> {
    let Ok(text) = simdutf8::basic::from_utf8(input) else {
        return Err(not_utf8(input, members));
    };
    match text.trim_ascii_start().chars().next() {
        Some('{') => {}
        Some(other) => {
            let start = other.escape_debug();
            return Err(format!("it starts with {start}, but a message is one JSON object: {{…}}").into());
        }
        None => return Err("it is empty, but a message is one JSON object: {…}".into()),
    }
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(MembersVisitor(members)).map_err(|error| format!("it is not JSON: {error}"))?;
    json.end()
        .map_err(|_| "there is more after the object; send one object in each line, frame or datagram".into())
}

/// Says where the text stops being UTF-8, and reads the part before that for the sake of the id.
fn not_utf8<'a>(input: &'a [u8], members: &mut Members<'a>) -> Cow<'static, str> {
    let good_len = std::str::from_utf8(input).map_or_else(|error| error.valid_up_to(), str::len);
    let (good, bad) = input.split_at(good_len);
    // Whatever is wrong with that part, and be it nothing, the text as a whole is broken by what comes after it.
    let _ = read(good, members);
    not_utf8_from(bad.first().copied().unwrap_or_default(), good.len()).into()
}

/// That a text is not UTF-8 from this byte on.
pub(crate) fn not_utf8_from(byte: u8, offset: usize) -> String {
    format!("it is not UTF-8: byte 0x{byte:02x} at offset {offset}; send binary data as data_base64")
}

struct MembersVisitor<'m, 'a>(&'m mut Members<'a>);

impl<'a> Visitor<'a> for MembersVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let value: &'a RawValue = map.next_value()?;
            match name {
                Name::Known(field) => self.0.put(field, value.get()),
                Name::Unknown(name) => {
                    self.0.unknown.get_or_insert(name);
                }
            }
        }
        Ok(())
    }
}

enum Name {
    Known(Field),
    Unknown(String),
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Field::from_name(name).map_or_else(|| Name::Unknown(excerpt(name)), Name::Known))
    }
}
