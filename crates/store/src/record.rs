//! The bytes of a segment. All numbers are little-endian.
//!
//! ```text
//! segment: magic 8 | sequence of its first record 8 | salt 4 | crc32c of the above 4 | records…
//! record:  payload length 4 | sequence 8 | behind 4 | crc32c of salt, the above and the payload 4 | payload
//! ```
//!
//! The salt is random. Without it a stranger's payload that looks like a record could pass for one when a torn tail is
//! searched, and so could what an older file has left on the same blocks.

/// What every segment of every version begins with; the version of the format is the byte behind it. All versions
/// keep the layout of the segment's header.
const MAGIC: [u8; 7] = *b"TREFOIL";

/// The version of the format that is written and read.
pub const FORMAT_VERSION: u8 = 1;

/// What is wrong with a segment whose header is whole and begins with another record than its name says. A repair looks
/// for records of the name's numbers in it and leaves those of others aside, so that no record counts twice.
pub(crate) const OTHER_NAME: &str = "its header is whole and has another number than the file's name: perhaps files were \
                                     swapped or renamed; whole records with other numbers than the name says do not count";

pub(crate) const SEGMENT_HEADER_BYTES: usize = 24;
pub(crate) const RECORD_HEADER_BYTES: usize = 20;

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) first_sequence: u64,
    pub(crate) salt: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..7].copy_from_slice(&MAGIC);
        bytes[7] = FORMAT_VERSION;
        bytes[8..16].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header, or why it is none.
    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<SegmentHeader, NoHeader> {
        // The checksum tells a header that somebody wrote like this from one with a damaged version.
        if bytes[..7] != MAGIC || crc32c::crc32c(&bytes[..20]) != u32_at(bytes, 20) {
            return Err(NoHeader::Damaged);
        }
        if bytes[7] != FORMAT_VERSION {
            return Err(NoHeader::Version(bytes[7]));
        }
        Ok(SegmentHeader { first_sequence: u64_at(bytes, 8), salt: u32_at(bytes, 16) })
    }

    /// The salt as it stands there, whether the rest is whole or not.
    pub(crate) fn salt_of(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> u32 {
        u32_at(bytes, 16)
    }
}

/// Why bytes are no header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// They are not as any version wrote them.
    Damaged,
    /// They are whole and of another version.
    Version(u8),
}

/// The beginning of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) payload_bytes: u32,
    pub(crate) sequence: u64,
    /// How far the last sync lay behind when this record was appended: everything up to `sequence - behind` was
    /// durable. 0 makes no such statement.
    pub(crate) behind: u32,
    crc: u32,
}

impl RecordHeader {
    pub(crate) fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> RecordHeader {
        RecordHeader {
            payload_bytes: u32_at(bytes, 0),
            sequence: u64_at(bytes, 4),
            behind: u32_at(bytes, 12),
            crc: u32_at(bytes, 16),
        }
    }

    /// Whether header and payload are as they were written.
    pub(crate) fn is_whole(&self, salt: u32, payload: &[u8]) -> bool {
        self.crc == crc(salt, &self.before_crc(), payload)
    }

    /// The last record that was durable when this one was appended, as far as it says so.
    pub(crate) fn durable(&self) -> u64 {
        if self.behind == 0 { 0 } else { self.sequence.saturating_sub(u64::from(self.behind)) }
    }

    fn before_crc(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[12..].copy_from_slice(&self.behind.to_le_bytes());
        bytes
    }
}

/// Appends a record. The payload's length was checked.
pub(crate) fn encode_record(salt: u32, sequence: u64, durable: u64, payload: &[u8], out: &mut Vec<u8>) {
    let payload_bytes = u32::try_from(payload.len()).expect("the options allow no longer record");
    let behind = u32::try_from(sequence - durable).unwrap_or(0);
    let header = RecordHeader { payload_bytes, sequence, behind, crc: 0 };
    let before_crc = header.before_crc();
    out.extend_from_slice(&before_crc);
    out.extend_from_slice(&crc(salt, &before_crc, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

fn crc(salt: u32, header: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, header), payload)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"))
}

/// The name of a segment: names sort as their records do.
pub(crate) fn segment_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.log")
}

/// The first sequence out of a name, or `None` for a file that is no segment.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    parse_name(name, "log")
}

/// The number out of a name with this extension.
pub(crate) fn parse_name(name: &str, extension: &str) -> Option<u64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_as_described() {
        let header = SegmentHeader { first_sequence: 7, salt: 9 };
        let bytes = header.encode();
        assert_eq!(&bytes[..20], b"TREFOIL\x01\x07\0\0\0\0\0\0\0\x09\0\0\0");
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));

        let mut out = Vec::new();
        encode_record(9, 7, 5, b"abc", &mut out);
        assert_eq!(&out[..16], b"\x03\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0");
        assert_eq!(&out[RECORD_HEADER_BYTES..], b"abc");
        let header = RecordHeader::decode(out[..RECORD_HEADER_BYTES].try_into().expect("a header is there"));
        assert!(header.is_whole(9, b"abc"));
        assert!(!header.is_whole(8, b"abc") && !header.is_whole(9, b"abd"));
        assert_eq!(header.durable(), 5);
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = SegmentHeader { first_sequence: 7, salt: 9 }.encode();
        bytes[7] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Damaged));
        let crc = crc32c::crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Version(2)));
        bytes[0] = b't';
        assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Damaged));
    }

    #[test]
    fn only_segments_have_names_of_segments() {
        assert_eq!(parse_segment_name(&segment_name(42)), Some(42));
        assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
        for other in ["lock", "1.log", "0000000000000000001x.log", "99999999999999999999.log", ""] {
            assert_eq!(parse_segment_name(other), None, "{other}");
        }
    }
}
