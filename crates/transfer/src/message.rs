//! What stands in a record. The last byte says which message it is; numbers are big-endian.
//!
//! ```text
//!  1 OFFER     sender    entries (4), bytes of them all (8)
//!  2 ENTRIES   sender    entries of the manifest, whole ones
//!  3 CHUNK     sender    file (4), chunk (4), value (32), bytes
//!  4 KEEP      sender    file (4), first chunk (4), count (4)
//!  5 FILE      sender    file (4), bytes (8), hash (32)
//!  6 END       sender    hash of all hashes (32)
//!  7 BYE       sender
//! 16 HAVE      receiver  file (4), first chunk (4), values (32 each)
//! 17 ACCEPT    receiver
//! 18 COMPLETE  receiver
//! 32 PING      both
//! 33 FAIL      both      fault (1), text
//! ```

use crate::record::HEADER_BYTES;
use crate::sums::{CHUNK_BYTES, Cv, Hash};
use std::fmt;

/// Where the bytes of a chunk begin in a record that is about to be sealed.
pub const CHUNK_ROOM_BYTES: usize = HEADER_BYTES + CHUNK_HEAD_BYTES;
const CHUNK_HEAD_BYTES: usize = 8 + size_of::<Cv>();

/// A longer text is cut off, in bytes.
const TEXT_BYTES_MAX: usize = 1000;

/// A message, with what it borrows from its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// So much is offered; [`Message::Entries`] follow.
    Offer {
        /// How many entries follow.
        entries: u32,
        /// The size of all files together, as far as it is known.
        bytes: u64,
    },
    /// Some entries of the manifest.
    Entries(&'a [u8]),
    /// Bytes of a file.
    Chunk {
        /// The number of the entry.
        file: u32,
        /// The number of the chunk in the file.
        chunk: u32,
        /// The value of the chunk.
        value: &'a Cv,
        /// The chunk.
        data: &'a [u8],
    },
    /// Chunks that the receiver has already, and that are right.
    Keep {
        /// The number of the entry.
        file: u32,
        /// The number of the first chunk.
        first: u32,
        /// How many there are.
        count: u32,
    },
    /// A file is at its end.
    File {
        /// The number of the entry.
        file: u32,
        /// Its size.
        bytes: u64,
        /// BLAKE3 of it.
        hash: &'a Hash,
    },
    /// All files have been sent. BLAKE3 of their hashes, one after the other.
    End(&'a Hash),
    /// The sender knows that all has arrived.
    Bye,
    /// What the receiver has of a file.
    Have {
        /// The number of the entry.
        file: u32,
        /// The number of the first chunk.
        first: u32,
        /// The values of that and the next ones.
        values: &'a [Cv],
    },
    /// The receiver wants what was offered, and has said all that it has of it.
    Accept,
    /// The receiver has all under its final name.
    Complete,
    /// This end is still there.
    Ping,
    /// This end gives up.
    Fail {
        /// Why.
        fault: Fault,
        /// The same for a person.
        text: &'a str,
    },
}

/// Why an end gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The receiver does not want it.
    Declined,
    /// The receiver has no room for it.
    NoSpace,
    /// The receiver cannot write it.
    Target,
    /// The sender cannot read it, or it has changed.
    Source,
    /// The other end broke the protocol, or lied.
    Violation,
    /// The sender has another receiver, which it still hears. It may be worth trying again.
    Busy,
}

const FAULTS: [(u8, Fault); 6] = [
    (1, Fault::Declined),
    (2, Fault::NoSpace),
    (3, Fault::Target),
    (4, Fault::Source),
    (5, Fault::Violation),
    (6, Fault::Busy),
];

/// A record that was opened holds no message. The other end made a mistake, or knows more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageError(Option<u8>);

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kind) => write!(f, "the other end sent a message of kind {kind} that cannot be read"),
            None => f.write_str("the other end sent an empty message"),
        }
    }
}

impl std::error::Error for MessageError {}

impl<'a> Message<'a> {
    /// The message with room for a header before it, for [`Sealer::seal`](crate::Sealer::seal).
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut record = Vec::new();
        self.write(&mut record);
        record
    }

    /// The same in a buffer that is used again.
    pub fn write(&self, record: &mut Vec<u8>) {
        record.clear();
        record.extend_from_slice(&[0; HEADER_BYTES]);
        let kind = match self {
            Message::Offer { entries, bytes } => {
                record.extend_from_slice(&entries.to_be_bytes());
                record.extend_from_slice(&bytes.to_be_bytes());
                1
            }
            Message::Entries(entries) => {
                record.extend_from_slice(entries);
                2
            }
            Message::Chunk { file, chunk, value, data } => {
                record.extend_from_slice(&chunk_head(*file, *chunk, value));
                record.extend_from_slice(data);
                3
            }
            Message::Keep { file, first, count } => {
                [file, first, count]
                    .iter()
                    .for_each(|number| record.extend_from_slice(&number.to_be_bytes()));
                4
            }
            Message::File { file, bytes, hash } => {
                record.extend_from_slice(&file.to_be_bytes());
                record.extend_from_slice(&bytes.to_be_bytes());
                record.extend_from_slice(*hash);
                5
            }
            Message::End(hash) => {
                record.extend_from_slice(*hash);
                6
            }
            Message::Bye => 7,
            Message::Have { file, first, values } => {
                record.extend_from_slice(&file.to_be_bytes());
                record.extend_from_slice(&first.to_be_bytes());
                record.extend_from_slice(values.as_flattened());
                16
            }
            Message::Accept => 17,
            Message::Complete => 18,
            Message::Ping => 32,
            Message::Fail { fault, text } => {
                let code = FAULTS.iter().find(|(_, known)| known == fault).map_or(0, |(code, _)| *code);
                record.push(code);
                record.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
                33
            }
        };
        record.push(kind);
    }

    /// Makes a [`Message::Chunk`] of a record whose bytes stand at [`CHUNK_ROOM_BYTES`] already.
    pub(crate) fn finish_chunk(file: u32, chunk: u32, value: &Cv, record: &mut Vec<u8>) {
        record[HEADER_BYTES..CHUNK_ROOM_BYTES].copy_from_slice(&chunk_head(file, chunk, value));
        record.push(3);
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When there is none.
    pub fn decode(plain: &'a [u8]) -> Result<Message<'a>, MessageError> {
        let (kind, rest) = plain.split_last().ok_or(MessageError(None))?;
        Message::decode_kind(*kind, rest).ok_or(MessageError(Some(*kind)))
    }

    fn decode_kind(kind: u8, mut rest: &'a [u8]) -> Option<Message<'a>> {
        let rest = &mut rest;
        let message = match kind {
            1 => Message::Offer { entries: u32(rest)?, bytes: u64::from_be_bytes(*array(rest)?) },
            2 => Message::Entries(all(rest)),
            3 => {
                let (file, chunk, value) = (u32(rest)?, u32(rest)?, array(rest)?);
                let data = Some(all(rest)).filter(|data| (1..=CHUNK_BYTES).contains(&data.len()))?;
                Message::Chunk { file, chunk, value, data }
            }
            4 => Message::Keep { file: u32(rest)?, first: u32(rest)?, count: u32(rest)? },
            5 => Message::File {
                file: u32(rest)?,
                bytes: u64::from_be_bytes(*array(rest)?),
                hash: array(rest)?,
            },
            6 => Message::End(array(rest)?),
            7 => Message::Bye,
            16 => {
                let (file, first) = (u32(rest)?, u32(rest)?);
                let (values, []) = all(rest).as_chunks() else { return None };
                Message::Have { file, first, values }
            }
            17 => Message::Accept,
            18 => Message::Complete,
            32 => Message::Ping,
            33 => {
                let [code] = *array(rest)?;
                let (_, fault) = FAULTS.into_iter().find(|(known, _)| *known == code)?;
                let text = Some(all(rest)).filter(|text| text.len() <= TEXT_BYTES_MAX)?;
                Message::Fail { fault, text: std::str::from_utf8(text).ok()? }
            }
            _ => return None,
        };
        rest.is_empty().then_some(message)
    }
}

fn chunk_head(file: u32, chunk: u32, value: &Cv) -> [u8; CHUNK_HEAD_BYTES] {
    let mut head = [0; CHUNK_HEAD_BYTES];
    head[..4].copy_from_slice(&file.to_be_bytes());
    head[4..8].copy_from_slice(&chunk.to_be_bytes());
    head[8..].copy_from_slice(value);
    head
}

fn array<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(first)
}

fn u32(rest: &mut &[u8]) -> Option<u32> {
    array(rest).map(|bytes| u32::from_be_bytes(*bytes))
}

fn all<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    std::mem::take(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_message_comes_as_it_was_sent() {
        let (value, text) = ([7; 32], "no room");
        for message in [
            Message::Offer { entries: 3, bytes: 1 << 40 },
            Message::Entries(b"abc"),
            Message::Chunk { file: 1, chunk: 2, value: &value, data: b"data" },
            Message::Keep { file: 1, first: 2, count: 3 },
            Message::File { file: 1, bytes: 1 << 40, hash: &value },
            Message::End(&value),
            Message::Bye,
            Message::Have { file: 1, first: 0, values: &[value, [8; 32]] },
            Message::Have { file: 1, first: 0, values: &[] },
            Message::Accept,
            Message::Complete,
            Message::Ping,
            Message::Fail { fault: Fault::NoSpace, text },
        ] {
            let record = message.record();
            assert_eq!(Message::decode(&record[HEADER_BYTES..]), Ok(message));
            // One byte too much or too little is another message, or none.
            let longer = [&[0], &record[HEADER_BYTES..]].concat();
            assert_ne!(Message::decode(&longer), Ok(message));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ä".repeat(2000);
        let record = Message::Fail { fault: Fault::Target, text: &text }.record();
        let Ok(Message::Fail { text: cut, .. }) = Message::decode(&record[HEADER_BYTES..]) else {
            panic!("it is still a message")
        };
        assert!(cut.len() <= TEXT_BYTES_MAX && text.starts_with(cut) && cut.len() > TEXT_BYTES_MAX - 2);
    }

    #[test]
    fn a_chunk_is_the_same_made_in_place() {
        let mut record = vec![0; CHUNK_ROOM_BYTES];
        record.extend_from_slice(b"data");
        Message::finish_chunk(1, 2, &[7; 32], &mut record);
        assert_eq!(record, Message::Chunk { file: 1, chunk: 2, value: &[7; 32], data: b"data" }.record());
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_message_or_none(plain in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = Message::decode(&plain) {
                prop_assert_eq!(&message.record()[HEADER_BYTES..], &plain[..]);
            }
        }
    }
}
