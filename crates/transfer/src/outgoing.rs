//! The end that has the files: what to read, what to send, and what has been sent already.

use crate::Violation;
use crate::manifest::{Kind, Manifest};
use crate::message::{CHUNK_ROOM_BYTES, Fault, Message};
use crate::sums::{CHUNK_BYTES, Cv, Sums, chunks};
use std::collections::HashMap;

/// How long a piece of the manifest is, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// No receiver has more chunks than this of a file whose size nobody knows: 1 TiB of it.
const OPEN_ENDED_CHUNKS_MAX: u64 = 1 << 22;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The record is to be sealed and sent.
    Send,
    /// This chunk is to be read into the record, from [`CHUNK_ROOM_BYTES`] on, for [`Outgoing::was_read`].
    Read {
        /// The number of the entry.
        file: u32,
        /// The number of the chunk.
        chunk: u32,
        /// How many bytes it has. Of a file whose size is not known it has as many, or fewer if it is the last.
        bytes: usize,
    },
    /// The file ends here: it must have no more bytes than were read, and not have changed. [`Outgoing::next`] goes on.
    Ended {
        /// The number of the entry.
        file: u32,
    },
    /// All has been sent. The receiver has yet to say that it is complete.
    Wait,
    /// The receiver has everything. [`Message::Bye`] is to be sent, and then there is nothing left to do.
    Done,
}

/// What the receiver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Nothing to act on at once; [`Outgoing::next`] knows what it changes.
    Nothing,
    /// It wants what was offered. [`Outgoing::next`] has something to do.
    Accepted,
    /// It has given up.
    Failed(Fault, String),
}

/// A transfer, seen from the sender. It outlives connections: [`Outgoing::connected`] begins with each.
pub struct Outgoing {
    manifest: Manifest,
    /// What was read of each file until now, so that nothing is read again that the receiver has.
    known: Vec<Sums>,
    /// How many bytes the files whose size is not known turned out to have.
    ended: HashMap<u32, u64>,
    link: Link,
}

/// What belongs to one connection.
#[derive(Default)]
struct Link {
    is_accepted: bool,
    have: HashMap<u32, Vec<Cv>>,
    file: u32,
    chunk: u32,
    /// How many chunks before the present one the receiver has and may keep.
    kept: u32,
    /// What was just asked to be read.
    reading: bool,
    is_ended: bool,
    hashes: blake3::Hasher,
    is_all_sent: bool,
    /// The receiver has everything, and has said so.
    is_complete: bool,
    done_bytes: u64,
}

impl Outgoing {
    /// A transfer of these.
    #[must_use]
    pub fn new(manifest: Manifest) -> Outgoing {
        let known = vec![Sums::default(); manifest.entries().len()];
        Outgoing { manifest, known, ended: HashMap::new(), link: Link::default() }
    }

    /// What is sent.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A connection with the receiver begins: gives the records of the offer, ready to be sealed.
    pub fn connected(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.link = Link::default();
        let entries = self.manifest.entries().len() as u32;
        let head = Message::Offer { entries, bytes: self.manifest.bytes() }.record();
        let pieces = self.manifest.pieces(PIECE_BYTES).map(|piece| Message::Entries(&piece).record());
        std::iter::once(head).chain(pieces)
    }

    /// How many bytes the receiver has, or has been sent over this connection.
    #[must_use]
    pub fn done_bytes(&self) -> u64 {
        self.link.done_bytes
    }

    /// Takes a message of the receiver.
    ///
    /// # Errors
    /// When it is none that a receiver sends now.
    pub fn handle(&mut self, message: Message<'_>) -> Result<Notice, Violation> {
        match message {
            Message::Ping => Ok(Notice::Nothing),
            Message::Fail { fault, text } => Ok(Notice::Failed(fault, text.to_owned())),
            Message::Have { file, first, values } if !self.link.is_accepted => {
                self.has(file, first, values).map(|()| Notice::Nothing)
            }
            Message::Accept if !self.link.is_accepted => {
                self.link.is_accepted = true;
                Ok(Notice::Accepted)
            }
            Message::Complete if self.link.is_all_sent => {
                self.link.is_complete = true;
                Ok(Notice::Nothing)
            }
            _ => Err(Violation::new("the receiver sent something that is not its turn")),
        }
    }

    fn has(&mut self, file: u32, first: u32, values: &[Cv]) -> Result<(), Violation> {
        let refuse = || Violation::new("the receiver says that it has more of a file than there is");
        let entry = self.manifest.entries().get(file as usize).ok_or_else(refuse)?;
        let most = match entry.kind {
            Kind::File(Some(bytes)) => chunks(bytes),
            Kind::File(None) => OPEN_ENDED_CHUNKS_MAX,
            _ => 0,
        };
        let have = self.link.have.entry(file).or_default();
        if first as usize != have.len() || (have.len() + values.len()) as u64 > most {
            return Err(refuse());
        }
        have.extend_from_slice(values);
        Ok(())
    }

    /// What to do next, once the receiver has accepted. The record is for the message or the chunk.
    ///
    /// # Panics
    /// Before that, and when a chunk that was to be read was not given.
    pub fn next(&mut self, record: &mut Vec<u8>) -> Task {
        assert!(
            self.link.is_accepted && !self.link.reading,
            "the receiver has accepted, and the chunk was given"
        );
        loop {
            let Some(entry) = self.manifest.entries().get(self.link.file as usize) else {
                return self.end(record);
            };
            let Kind::File(size) = entry.kind else {
                self.link.file += 1;
                continue;
            };
            let (file, chunk) = (self.link.file, self.link.chunk);
            let bytes = match size.or(self.ended.get(&file).copied()) {
                Some(size) => size
                    .saturating_sub(u64::from(chunk) * CHUNK_BYTES as u64)
                    .min(CHUNK_BYTES as u64) as usize,
                None => CHUNK_BYTES,
            };
            if bytes == 0 {
                return self.end_file(record);
            }
            // What was read before and is there need not be read again.
            let known = self.known[file as usize].values().get(chunk as usize);
            if known.is_some() && known == self.theirs() {
                self.keep(bytes);
                continue;
            }
            if self.link.kept > 0 {
                self.write_keep(record);
                return Task::Send;
            }
            self.link.reading = true;
            record.resize(CHUNK_ROOM_BYTES + bytes, 0);
            return Task::Read { file, chunk, bytes };
        }
    }

    /// Takes the chunk that was to be read: so many bytes of it stand in the record. Says whether there is a record to be
    /// sealed and sent now.
    ///
    /// # Errors
    /// When it is not what it was when it was read before, or the file is shorter than it was.
    ///
    /// # Panics
    /// When no chunk was to be read.
    pub fn was_read(&mut self, bytes: usize, record: &mut Vec<u8>) -> Result<bool, Violation> {
        assert!(std::mem::take(&mut self.link.reading), "a chunk was to be read");
        let (file, chunk) = (self.link.file, self.link.chunk);
        let is_open_ended = matches!(self.manifest.entries()[file as usize].kind, Kind::File(None))
            && !self.ended.contains_key(&file);
        let asked = record.len() - CHUNK_ROOM_BYTES;
        if bytes < asked {
            if !is_open_ended {
                return Err(Violation::new("it is shorter than it was"));
            }
            self.ended.insert(file, u64::from(chunk) * CHUNK_BYTES as u64 + bytes as u64);
            if bytes == 0 {
                return Ok(false);
            }
        }
        record.truncate(CHUNK_ROOM_BYTES + bytes);
        let sum = Sums::of(chunk, &record[CHUNK_ROOM_BYTES..]);
        if self.known[file as usize].values().get(chunk as usize).is_some_and(|known| *known != sum.value) {
            return Err(Violation::new("it has changed"));
        }
        self.known[file as usize].set(chunk, sum);
        if self.theirs() == Some(&sum.value) {
            self.keep(bytes);
            return Ok(false);
        }
        Message::finish_chunk(file, chunk, &sum.value, record);
        self.link.chunk += 1;
        self.link.done_bytes += bytes as u64;
        Ok(true)
    }

    /// The value of the present chunk as the receiver has it.
    fn theirs(&self) -> Option<&Cv> {
        self.link.have.get(&self.link.file)?.get(self.link.chunk as usize)
    }

    fn keep(&mut self, bytes: usize) {
        self.link.kept += 1;
        self.link.chunk += 1;
        self.link.done_bytes += bytes as u64;
    }

    fn write_keep(&mut self, record: &mut Vec<u8>) {
        let count = std::mem::take(&mut self.link.kept);
        Message::Keep { file: self.link.file, first: self.link.chunk - count, count }.write(record);
    }

    fn end_file(&mut self, record: &mut Vec<u8>) -> Task {
        let file = self.link.file;
        if self.link.kept > 0 {
            self.write_keep(record);
            return Task::Send;
        }
        if !std::mem::replace(&mut self.link.is_ended, true) {
            return Task::Ended { file };
        }
        let bytes = match self.manifest.entries()[file as usize].kind {
            Kind::File(Some(bytes)) => bytes,
            _ => self.ended.get(&file).copied().unwrap_or_default(),
        };
        let sums = &mut self.known[file as usize];
        sums.truncate(chunks(bytes) as usize);
        let hash = sums.whole();
        self.link.hashes.update(&hash);
        Message::File { file, bytes, hash: &hash }.write(record);
        (self.link.file, self.link.chunk, self.link.is_ended) = (file + 1, 0, false);
        Task::Send
    }

    fn end(&mut self, record: &mut Vec<u8>) -> Task {
        if self.link.is_complete {
            return Task::Done;
        }
        if std::mem::replace(&mut self.link.is_all_sent, true) {
            return Task::Wait;
        }
        Message::End(self.link.hashes.finalize().as_bytes()).write(record);
        Task::Send
    }
}
