//! The end that receives: what has come, what it has already, and whether what comes is right.

use crate::Violation;
use crate::manifest::{Builder, Kind, Manifest};
use crate::message::{Fault, Message};
use crate::name::{Rules, shown};
use crate::sums::{CHUNK_BYTES, Sums, chunks};
use std::collections::HashMap;

/// How many values stand in one record.
const VALUES_MAX: usize = 2048;

/// What came, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// Nothing that asks for anything.
    Nothing,
    /// The offer is complete: see [`Incoming::manifest`]. It is to be [accepted](Incoming::accept) or not.
    Offer,
    /// These bytes are to be written at that place of the file.
    Chunk {
        /// The number of the entry.
        file: u32,
        /// From where on, in bytes.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// So many bytes that were there already are right.
    Kept {
        /// The number of the entry.
        file: u32,
        /// How many.
        bytes: u64,
    },
    /// The file is whole and right. It has this size.
    File {
        /// The number of the entry.
        file: u32,
        /// Its size, in bytes.
        bytes: u64,
    },
    /// All files are whole and right. [`Message::Complete`] is to be sent once they have their names.
    End,
    /// The sender knows that all has arrived. There is nothing left to do.
    Bye,
    /// The sender has given up.
    Failed(Fault, String),
}

/// A transfer, seen from the receiver. It outlives connections: [`Incoming::connected`] begins with each.
pub struct Incoming {
    rules: Rules,
    manifest: Option<Manifest>,
    /// What is on disk of each file.
    sums: Vec<Sums>,
    /// The last chunk of a file whose size is not known, by its file: if it comes again it may be longer.
    loose: Option<(u32, u32)>,
    /// The sizes that such files turned out to have.
    ended: HashMap<u32, u64>,
    link: Link,
}

enum Link {
    /// The offer has not begun.
    Silent,
    /// It has: so many entries are promised.
    Listing {
        entries: u32,
        bytes: u64,
        builder: Box<Builder>,
    },
    /// It has been made, and waits for an answer.
    Offered,
    Files(Box<Position>),
    Ended,
}

/// Where the sender is.
#[derive(Default)]
struct Position {
    file: u32,
    /// The chunk that comes next.
    chunk: u32,
    /// How many bytes of the file there are before it.
    bytes: u64,
    hashes: blake3::Hasher,
}

impl Incoming {
    /// A transfer to a system with these rules for names.
    #[must_use]
    pub fn new(rules: Rules) -> Incoming {
        Incoming {
            rules,
            manifest: None,
            sums: Vec::new(),
            loose: None,
            ended: HashMap::new(),
            link: Link::Silent,
        }
    }

    /// A connection with the sender begins.
    pub fn connected(&mut self) {
        if let Some((file, chunk)) = self.loose.take() {
            self.sums[file as usize].truncate(chunk as usize);
        }
        self.link = Link::Silent;
    }

    /// What is offered, once that is known.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Says what is there of a file from a run before. It need not be right: the sender is asked.
    ///
    /// # Panics
    /// When nothing has been offered, or not as many files.
    pub fn found(&mut self, file: u32, sums: Sums) {
        self.sums[file as usize] = sums;
    }

    /// Accepts the offer: gives the records to be sealed and sent.
    ///
    /// # Panics
    /// When nothing has been offered.
    pub fn accept(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        assert!(matches!(self.link, Link::Offered), "an offer can be accepted once");
        self.link = Link::Files(Box::default());
        let have = self.sums.iter().enumerate().flat_map(|(file, sums)| {
            sums.values().chunks(VALUES_MAX).enumerate().map(move |(index, values)| {
                Message::Have { file: file as u32, first: (index * VALUES_MAX) as u32, values }.record()
            })
        });
        have.chain(std::iter::once_with(|| Message::Accept.record()))
    }

    /// Takes a message of the sender.
    ///
    /// # Errors
    /// When it is none that an honest sender sends now, or what it says is not true. Nothing of it may be used then.
    pub fn handle<'a>(&mut self, message: Message<'a>) -> Result<Arrival<'a>, Violation> {
        match message {
            Message::Ping => return Ok(Arrival::Nothing),
            Message::Fail { fault, text } => return Ok(Arrival::Failed(fault, text.to_owned())),
            _ => {}
        }
        let Incoming { rules, manifest, sums, loose, ended, link } = self;
        match (link, message) {
            (link @ Link::Silent, Message::Offer { entries, bytes }) => {
                *link = Link::Listing { entries, bytes, builder: Box::new(Builder::new(*rules)) };
                self.listed()
            }
            (Link::Listing { builder, .. }, Message::Entries(entries)) => {
                builder.push_encoded(entries)?;
                self.listed()
            }
            (Link::Files(position), message) => {
                let Some(manifest) = manifest else { return Err(out_of_turn()) };
                let arrival = position.handle(manifest, sums, ended, message)?;
                match arrival {
                    Arrival::End => self.link = Link::Ended,
                    Arrival::Chunk { file, data, .. }
                        if data.len() < CHUNK_BYTES && is_open_ended(manifest, file) =>
                    {
                        *loose = Some((file, position.chunk - 1));
                    }
                    Arrival::File { file, bytes } if is_open_ended(manifest, file) => {
                        ended.insert(file, bytes);
                        *loose = None;
                    }
                    _ => {}
                }
                Ok(arrival)
            }
            (Link::Ended, Message::Bye) => Ok(Arrival::Bye),
            _ => Err(out_of_turn()),
        }
    }

    /// Whether the list is complete by now.
    fn listed(&mut self) -> Result<Arrival<'static>, Violation> {
        let Link::Listing { entries, bytes, builder } = &mut self.link else { return Err(out_of_turn()) };
        match builder.len().cmp(&(*entries as usize)) {
            std::cmp::Ordering::Less => return Ok(Arrival::Nothing),
            std::cmp::Ordering::Equal if *entries > 0 => {}
            _ => return Err(Violation::new("the sender offers another number of files than it lists")),
        }
        let promised = *bytes;
        let manifest = std::mem::replace(builder, Box::new(Builder::new(self.rules))).finish();
        if manifest.bytes() != promised {
            return Err(Violation::new("the sender offers another number of bytes than it lists"));
        }
        match &self.manifest {
            Some(before) if *before != manifest => {
                return Err(Violation::new(
                    "the sender offers something else than before the connection broke",
                ));
            }
            Some(_) => {}
            None => {
                self.sums = vec![Sums::default(); manifest.entries().len()];
                self.manifest = Some(manifest);
            }
        }
        self.link = Link::Offered;
        Ok(Arrival::Offer)
    }
}

fn is_open_ended(manifest: &Manifest, file: u32) -> bool {
    matches!(manifest.entries()[file as usize].kind, Kind::File(None))
}

fn out_of_turn() -> Violation {
    Violation::new("the sender sent something that is not its turn")
}

impl Position {
    fn handle<'a>(
        &mut self,
        manifest: &Manifest,
        sums: &mut [Sums],
        ended: &HashMap<u32, u64>,
        message: Message<'a>,
    ) -> Result<Arrival<'a>, Violation> {
        // What is no file has nothing to come.
        let is_file =
            |file: u32| manifest.entries().get(file as usize).is_none_or(|e| matches!(e.kind, Kind::File(_)));
        while !is_file(self.file) {
            self.file += 1;
        }
        let entry = manifest.entries().get(self.file as usize);
        if let (Message::End(hash), None) = (message, entry) {
            let is_right = self.hashes.finalize() == blake3::Hash::from_bytes(*hash);
            return if is_right {
                Ok(Arrival::End)
            } else {
                Err(Violation::new("the hash of the whole is wrong"))
            };
        }
        let Some(entry) = entry else { return Err(out_of_turn()) };
        let lie = |what: &str| Violation(format!("{what} of {:?}", shown(&entry.path)));
        let Kind::File(size) = entry.kind else { return Err(out_of_turn()) };
        let size = size.or(ended.get(&self.file).copied());
        let sums = &mut sums[self.file as usize];
        match message {
            Message::Chunk { file, chunk, value, data } if (file, chunk) == (self.file, self.chunk) => {
                let most = size.unwrap_or(u64::MAX) - self.bytes;
                if !self.is_full()
                    || data.len() as u64 > most
                    || (data.len() < CHUNK_BYTES && size.is_some() && data.len() as u64 != most)
                {
                    return Err(lie("the sender sends another number of bytes than it offered"));
                }
                let sum = Sums::of(chunk, data);
                if sum.value != *value {
                    return Err(lie("the sender sends a chunk with a wrong hash"));
                }
                sums.set(chunk, sum);
                let offset = self.bytes;
                self.advance(1, data.len() as u64)?;
                Ok(Arrival::Chunk { file, offset, data })
            }
            Message::Keep { file, first, count } if (file, first) == (self.file, self.chunk) => {
                let last = u64::from(first) + u64::from(count);
                if count == 0
                    || !self.is_full()
                    || last > sums.values().len() as u64
                    || size.is_some_and(|size| last > chunks(size))
                {
                    return Err(lie("the sender says that there is more than there is"));
                }
                let end = last * CHUNK_BYTES as u64;
                let bytes = size.map_or(end, |size| end.min(size)) - self.bytes;
                self.advance(count, bytes)?;
                Ok(Arrival::Kept { file, bytes })
            }
            Message::File { file, bytes, hash } if file == self.file => {
                if bytes != self.bytes || size.is_some_and(|size| size != bytes) {
                    return Err(lie("the sender says another size at the end"));
                }
                sums.truncate(self.chunk as usize);
                if sums.whole() != *hash {
                    return Err(lie("the sender says a wrong hash"));
                }
                self.hashes.update(hash);
                *self = Position { file: self.file + 1, hashes: self.hashes.clone(), ..Position::default() };
                Ok(Arrival::File { file, bytes })
            }
            _ => Err(out_of_turn()),
        }
    }

    /// Whether all chunks before were whole ones, so that another may follow.
    fn is_full(&self) -> bool {
        self.bytes == u64::from(self.chunk) * CHUNK_BYTES as u64
    }

    fn advance(&mut self, count: u32, bytes: u64) -> Result<(), Violation> {
        let chunk = self.chunk.checked_add(count);
        self.chunk =
            chunk.ok_or_else(|| Violation::new("the sender sends more chunks than a file can have"))?;
        self.bytes += bytes;
        Ok(())
    }
}
