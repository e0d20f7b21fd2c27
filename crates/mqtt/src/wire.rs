//! The data types of section 1.5: integers, strings, binary data, variable byte integers.

use crate::DecodeError;

/// The longest string or binary field, whose length is two bytes: so long can topic names and filters be
/// [MQTT-4.7.3-3] [v3 MQTT-4.7.3-3].
pub const FIELD_BYTES_MAX: usize = 65_535;

/// The largest variable byte integer (section 1.5.5), which is also the largest remaining length.
pub(crate) const VARINT_MAX: usize = 268_435_455;

/// Checks that a string may be sent as a UTF-8 encoded string: at most 65,535 bytes and no U+0000 [MQTT-1.5.4-2].
///
/// # Errors
/// [`DecodeError::FieldTooLong`] or [`DecodeError::NullCharacter`].
pub fn validate_text(text: &str) -> Result<(), DecodeError> {
    if text.len() > FIELD_BYTES_MAX {
        return Err(DecodeError::FieldTooLong);
    }
    if text.as_bytes().contains(&0) {
        return Err(DecodeError::NullCharacter);
    }
    Ok(())
}

/// Checks that a string may be sent as a topic name: a valid string, not empty [MQTT-4.7.3-1], without wildcards
/// [MQTT-3.3.2-2].
///
/// # Errors
/// Those of [`validate_text`], [`DecodeError::EmptyTopicName`] or [`DecodeError::WildcardInTopicName`].
pub fn validate_topic_name(topic: &str) -> Result<(), DecodeError> {
    validate_text(topic)?;
    if topic.is_empty() {
        return Err(DecodeError::EmptyTopicName);
    }
    if has_wildcard(topic) {
        return Err(DecodeError::WildcardInTopicName);
    }
    Ok(())
}

/// Checks that a string may be sent as a topic filter: a valid string, not empty, with wildcards only where they can be
/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [v3 MQTT-4.7.1-2] [v3 MQTT-4.7.1-3], and with a share name and a filter behind it if it begins with `$share/` [MQTT-4.8.2-1]
/// [MQTT-4.8.2-2].
///
/// # Errors
/// Those of [`validate_text`], [`DecodeError::EmptyTopicFilter`] or [`DecodeError::MalformedTopicFilter`].
pub fn validate_topic_filter(filter: &str) -> Result<(), DecodeError> {
    validate_text(filter)?;
    let pattern = match filter.strip_prefix("$share/") {
        Some(rest) => match rest.split_once('/') {
            Some((name, pattern)) if !name.is_empty() && !has_wildcard(name) => pattern,
            _ => return Err(DecodeError::MalformedTopicFilter),
        },
        None => filter,
    };
    if pattern.is_empty() {
        return Err(DecodeError::EmptyTopicFilter);
    }
    let above = pattern.strip_suffix('#').filter(|above| above.is_empty() || above.ends_with('/'));
    let is_allowed = |level: &str| level == "+" || !has_wildcard(level);
    if above.unwrap_or(pattern).split('/').all(is_allowed) {
        Ok(())
    } else {
        Err(DecodeError::MalformedTopicFilter)
    }
}

/// Whether there is a `+` or `#` in it.
#[inline]
pub(crate) fn has_wildcard(text: &str) -> bool {
    contains_any(text.as_bytes(), [b'+', b'#'])
}

/// Whether one of these bytes is among them, eight at a time: topics are too short for wider vectors to pay.
#[inline]
fn contains_any<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word_has_any = |word: u64| {
        wanted.iter().fold(0, |found, &byte| {
            // The highest bit of the lowest byte that is equal stays set; of the others it may, but then one is equal.
            let difference = word ^ (ONES * u64::from(byte));
            found | (difference.wrapping_sub(ONES) & !difference & (ONES << 7))
        }) != 0
    };
    let (words, rest) = bytes.as_chunks::<8>();
    if words.iter().any(|&word| word_has_any(u64::from_le_bytes(word))) {
        return true;
    }
    match bytes.last_chunk::<8>() {
        // The last eight bytes overlap what was looked at already, which is quicker than one byte after the other.
        Some(&last) => word_has_any(u64::from_le_bytes(last)),
        None => rest.iter().any(|byte| wanted.contains(byte)),
    }
}

/// What is left to read of a packet or of a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// All that is left.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The end of a packet whose last field has a length of its own.
    #[inline]
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        let (&first, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(first))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        let (&first, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(first))
    }

    /// A packet identifier where one has to be [MQTT-2.2.1-3] [v3 MQTT-2.3.1-1].
    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<u16, DecodeError> {
        match self.u16()? {
            0 => Err(DecodeError::PacketIdZero),
            id => Ok(id),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (first, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 encoded string. Surrogates are ill-formed [MQTT-1.5.4-1] [v3 MQTT-1.5.3-1]; a byte order mark is a character
    /// like any other [MQTT-1.5.4-3] [v3 MQTT-1.5.3-3].
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.utf8()?;
        // [MQTT-1.5.4-2] [v3 MQTT-1.5.3-2] [MQTT-4.7.3-2] [v3 MQTT-4.7.3-2]
        if contains_any(text.as_bytes(), [0]) { Err(DecodeError::NullCharacter) } else { Ok(text) }
    }

    /// A topic name, which may be empty: a string without wildcards [MQTT-3.3.2-2] [v3 MQTT-3.3.2-2]
    /// [MQTT-4.7.0-1] [v3 MQTT-4.7.1-1] and without U+0000.
    #[inline]
    pub(crate) fn topic_name(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.utf8()?;
        // One look for all three bytes, since nearly always there is none.
        if contains_any(text.as_bytes(), [0, b'+', b'#']) {
            let null = text.as_bytes().contains(&0);
            return Err(if null { DecodeError::NullCharacter } else { DecodeError::WildcardInTopicName });
        }
        Ok(text)
    }

    #[inline]
    fn utf8(&mut self) -> Result<&'a str, DecodeError> {
        simdutf8::basic::from_utf8(self.binary()?).map_err(|_| DecodeError::InvalidUtf8)
    }

    /// A variable byte integer in its shortest form [MQTT-1.5.5-1].
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 && index > 0 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(DecodeError::MalformedVariableByteInteger)
    }
}

/// Bytes that a variable byte integer takes.
#[inline]
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

#[inline]
pub(crate) fn put_varint(value: usize, out: &mut Vec<u8>) {
    let mut value = value.min(VARINT_MAX);
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The part of a string that fits into a field. Callers check what they send; cutting keeps the packet well-formed if
/// one did not.
#[inline]
pub(crate) fn fitting_text(text: &str) -> &str {
    if text.len() <= FIELD_BYTES_MAX { text } else { &text[..text.floor_char_boundary(FIELD_BYTES_MAX)] }
}

/// The part of binary data that fits into a field, as for strings.
#[inline]
pub(crate) fn fitting_binary(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(FIELD_BYTES_MAX)]
}

#[inline]
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_binary(fitting_text(text).as_bytes(), out);
}

#[inline]
pub(crate) fn put_binary(bytes: &[u8], out: &mut Vec<u8>) {
    let bytes = fitting_binary(bytes);
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Writes a whole packet: first byte, remaining length, and what `body` appends. A packet that no remaining length can
/// announce is taken back, so that what stands in `out` is always a sequence of whole packets.
pub(crate) fn put_packet(first_byte: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(first_byte);
    if !put_with_length(out, body) {
        out.truncate(start);
    }
}

/// Writes what `body` appends, with its length as a variable byte integer in front; false when that is too long.
///
/// Room is left for one byte of length, which nearly always does; otherwise the body moves up.
pub(crate) fn put_with_length(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> bool {
    let at = out.len();
    out.push(0);
    body(out);
    let len = out.len() - at - 1;
    if len <= 0x7F {
        out[at] = len as u8;
        return true;
    }
    if len > VARINT_MAX {
        return false;
    }
    let end = out.len();
    put_varint(len, out);
    let length_bytes = out.len() - end;
    // The length now stands behind the body: turn it to the front and drop the byte that was kept free.
    out[at..].rotate_right(length_bytes);
    out.remove(at + length_bytes);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
        Reader::new(bytes).text()
    }

    #[test]
    fn strings_are_well_formed_utf8() {
        assert_eq!(text(&[0, 5, b'A', 0xF0, 0xAA, 0x9B, 0x94]), Ok("A\u{2A6D4}"));
        // U+D800 and U+DFFF, encoded as if they were characters [MQTT-1.5.4-1].
        assert_eq!(text(&[0, 3, 0xED, 0xA0, 0x80]), Err(DecodeError::InvalidUtf8));
        assert_eq!(text(&[0, 3, 0xED, 0xBF, 0xBF]), Err(DecodeError::InvalidUtf8));
        // An over-long slash, a lone continuation byte, a cut sequence, a code point above U+10FFFF.
        assert_eq!(text(&[0, 2, 0xC0, 0xAF]), Err(DecodeError::InvalidUtf8));
        assert_eq!(text(&[0, 1, 0x80]), Err(DecodeError::InvalidUtf8));
        assert_eq!(text(&[0, 2, 0xE2, 0x82]), Err(DecodeError::InvalidUtf8));
        assert_eq!(text(&[0, 4, 0xF4, 0x90, 0x80, 0x80]), Err(DecodeError::InvalidUtf8));
    }

    #[test]
    fn strings_have_no_null_character() {
        assert_eq!(text(&[0, 3, b'a', 0, b'b']), Err(DecodeError::NullCharacter));
        // Over-long U+0000 is not even well-formed.
        assert_eq!(text(&[0, 2, 0xC0, 0x80]), Err(DecodeError::InvalidUtf8));
    }

    #[test]
    fn byte_order_marks_and_odd_characters_stay() {
        assert_eq!(text(&[0, 4, 0xEF, 0xBB, 0xBF, b'a']), Ok("\u{FEFF}a"));
        assert_eq!(text(&[0, 3, 0xEF, 0xBF, 0xBF]), Ok("\u{FFFF}"));
        assert_eq!(text(&[0, 1, 0x01]), Ok("\u{1}"));
    }

    #[test]
    fn bytes_are_found_wherever_they_stand() {
        for len in 0..40 {
            let mut bytes = vec![0x81; len];
            assert!(!contains_any(&bytes, [0, b'+', b'#']), "{len}");
            for at in 0..len {
                for wanted in [0, b'+', b'#'] {
                    bytes[at] = wanted;
                    assert!(contains_any(&bytes, [0, b'+', b'#']), "{wanted} at {at} of {len}");
                    assert!(!contains_any(&bytes, [1, b'*', b'$']), "{wanted} at {at} of {len}");
                }
                bytes[at] = 0x80;
            }
        }
    }

    #[test]
    fn fields_end_inside_the_packet() {
        assert_eq!(text(&[0]), Err(DecodeError::Truncated));
        assert_eq!(text(&[0, 2, b'a']), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[1, 2, 3]).u32(), Err(DecodeError::Truncated));
    }

    #[test]
    fn variable_byte_integers_are_as_short_as_can_be() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, VARINT_MAX] {
            let mut wire = Vec::new();
            put_varint(value, &mut wire);
            assert_eq!(wire.len(), varint_len(value));
            assert_eq!(Reader::new(&wire).varint(), Ok(value as u32));
        }
        let malformed = Err(DecodeError::MalformedVariableByteInteger);
        assert_eq!(Reader::new(&[0x80, 0x00]).varint(), malformed);
        assert_eq!(Reader::new(&[0xFF, 0xFF, 0xFF, 0xFF, 0x01]).varint(), malformed);
        assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated));
    }

    #[test]
    fn lengths_are_put_in_front_of_what_they_measure() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            let body: Vec<u8> = (0..len).map(|index| index as u8).collect();
            let mut out = b"before".to_vec();
            assert!(put_with_length(&mut out, |out| out.extend_from_slice(&body)));
            let mut reader = Reader::new(&out[6..]);
            assert_eq!(reader.varint(), Ok(len as u32));
            assert_eq!(reader.rest(), body);
        }
    }

    #[test]
    fn a_packet_that_cannot_be_announced_is_not_written() {
        let mut out = vec![0; 6];
        // Zeroed memory that nobody touches is free, where growing the vector would not be.
        put_packet(0x30, &mut out, |out| *out = vec![0; out.len() + VARINT_MAX + 1]);
        assert_eq!(out.len(), 6);
        put_packet(0x30, &mut out, |out| out.push(9));
        assert_eq!(out[6..], [0x30, 1, 9]);
    }

    #[test]
    fn what_is_to_be_sent_can_be_checked() {
        assert_eq!(validate_text("a\0"), Err(DecodeError::NullCharacter));
        assert_eq!(validate_text(&"x".repeat(65_536)), Err(DecodeError::FieldTooLong));
        assert_eq!(validate_text(&"x".repeat(65_535)), Ok(()));
        assert_eq!(validate_topic_name(""), Err(DecodeError::EmptyTopicName));
        assert_eq!(validate_topic_name("a/+"), Err(DecodeError::WildcardInTopicName));
        assert_eq!(validate_topic_name("$SYS/a b"), Ok(()));
        for filter in ["#", "+", "/", "a/+/#", "+/#", "//", "$share/g/#", "$share/g//", "$share", "$SYS/#"] {
            assert_eq!(validate_topic_filter(filter), Ok(()), "{filter}");
        }
        for filter in ["a#", "#/a", "##", "a/#/b", "a+", "+a/b", "$share/g", "$share//a", "$share/+/a"] {
            assert_eq!(validate_topic_filter(filter), Err(DecodeError::MalformedTopicFilter), "{filter}");
        }
        assert_eq!(validate_topic_filter("$share/g/"), Err(DecodeError::EmptyTopicFilter));
    }

    #[test]
    fn too_long_fields_are_cut_between_characters() {
        let long = format!("{}é", "x".repeat(65_534));
        let mut out = Vec::new();
        put_text(&long, &mut out);
        assert_eq!(out.len(), 2 + 65_534);
        assert_eq!(Reader::new(&out).text().map(str::len), Ok(65_534));
    }
}
