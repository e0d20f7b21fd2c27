//! User properties: name and value pairs that the protocol carries but does not read.

use std::borrow::Cow;
use std::fmt;

use crate::property::Property;
use crate::wire::Reader;
use crate::{DecodeError, PropertyId, validate_text};

/// The user properties of a packet, checked, and left as the bytes they came in.
///
/// They keep their order [MQTT-3.3.2-18] and their duplicates, and are copied on without being taken apart.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    /// From the first user property to the end of the last. Other properties may stand in between.
    span: &'a [u8],
    /// Bytes of the user properties alone; equal to the length of the span when nothing stands in between.
    wire_len: usize,
}

impl<'a> UserProperties<'a> {
    /// Takes user properties from their wire form: each with its identifier byte, nothing else in between.
    ///
    /// # Errors
    /// When that is not what the bytes are.
    pub fn from_wire(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let property = Property::read(&mut reader)?;
            if property.id() != PropertyId::UserProperty {
                return Err(DecodeError::UnknownProperty { id: property.id() as u32 });
            }
        }
        Ok(UserProperties { span: bytes, wire_len: bytes.len() })
    }

    pub(crate) fn spanning(span: &'a [u8], wire_len: usize) -> Self {
        UserProperties { span, wire_len }
    }

    /// Names and values, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut reader = Reader::new(self.span);
        std::iter::from_fn(move || {
            while !reader.is_empty() {
                // The bytes were checked when `self` was made, so that an error cannot come up.
                if let Property::User(name, value) = Property::read(&mut reader).ok()? {
                    return Some((name, value));
                }
            }
            None
        })
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.wire_len == 0
    }

    /// Bytes that they take in a packet, identifier bytes included.
    #[inline]
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }

    /// The wire form, which [`UserProperties::from_wire`] takes back. Borrowed, unless the sender put other properties
    /// in between.
    pub fn as_wire(&self) -> Cow<'a, [u8]> {
        if self.is_contiguous() {
            return Cow::Borrowed(self.span);
        }
        let mut out = Vec::with_capacity(self.wire_len);
        self.put(&mut out);
        Cow::Owned(out)
    }

    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if self.is_contiguous() {
            out.extend_from_slice(self.span);
        } else {
            self.iter().for_each(|(name, value)| Property::User(name, value).put(out));
        }
    }

    fn is_contiguous(&self) -> bool {
        self.span.len() == self.wire_len
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.wire_len == other.wire_len && self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// User properties that own their bytes: to build some for a packet, or to keep those of one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserPropertiesBuf {
    wire: Vec<u8>,
}

impl UserPropertiesBuf {
    /// None yet.
    pub const fn new() -> Self {
        UserPropertiesBuf { wire: Vec::new() }
    }

    /// Adds one at the end.
    ///
    /// # Errors
    /// When the name or the value contains U+0000 or is longer than 65,535 bytes [MQTT-1.5.7-1].
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), DecodeError> {
        validate_text(name)?;
        validate_text(value)?;
        Property::User(name, value).put(&mut self.wire);
        Ok(())
    }

    /// Lends them to a packet.
    #[allow(clippy::should_implement_trait)] // `AsRef` cannot give back a struct that borrows.
    pub fn as_ref(&self) -> UserProperties<'_> {
        UserProperties { span: &self.wire, wire_len: self.wire.len() }
    }

    /// Names and values, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.as_ref().iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// The wire form.
    pub fn as_wire(&self) -> &[u8] {
        &self.wire
    }
}

impl From<UserProperties<'_>> for UserPropertiesBuf {
    fn from(properties: UserProperties<'_>) -> Self {
        UserPropertiesBuf { wire: properties.as_wire().into_owned() }
    }
}

impl fmt::Debug for UserPropertiesBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::property::Section;

    const A: &[u8] = &[0x26, 0, 1, b'a', 0, 1, b'1'];
    const B: &[u8] = &[0x26, 0, 1, b'b', 0, 0];

    #[test]
    fn a_list_is_built_and_taken_back() {
        let mut list = UserPropertiesBuf::new();
        list.push("a", "1").unwrap();
        list.push("b", "").unwrap();
        assert_eq!(list.as_wire(), [A, B].concat());
        let again = UserProperties::from_wire(list.as_wire()).unwrap();
        assert_eq!(again.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "")]);
        assert_eq!(again, list.as_ref());
        assert_eq!(format!("{again:?}"), r#"[("a", "1"), ("b", "")]"#);
    }

    #[test]
    fn other_properties_in_between_are_skipped_and_not_copied() {
        let wire = [&[0x01, 1][..], A, &[0x02, 0, 0, 0, 9], B, &[0x03, 0, 0]].concat();
        let mut section = Section::new(&wire);
        let mut others = 0;
        while section.next().unwrap().is_some() {
            others += 1;
        }
        let found = section.user_properties();
        assert_eq!(others, 3);
        assert_eq!(found.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "")]);
        assert_eq!(found.wire_len(), A.len() + B.len());
        assert_eq!(found.as_wire(), [A, B].concat());
        assert_eq!(UserPropertiesBuf::from(found).as_ref(), found);
    }

    #[test]
    fn strings_that_may_not_be_sent_are_refused() {
        let mut list = UserPropertiesBuf::new();
        assert_eq!(list.push("a\0", ""), Err(DecodeError::NullCharacter));
        assert_eq!(list.push("", &"x".repeat(65_536)), Err(DecodeError::FieldTooLong));
        assert!(list.is_empty());
    }

    #[test]
    fn the_wire_form_has_user_properties_only() {
        assert_eq!(UserProperties::from_wire(&A[..5]), Err(DecodeError::Truncated));
        assert_eq!(UserProperties::from_wire(&[0x01, 1]), Err(DecodeError::UnknownProperty { id: 1 }));
    }
}
