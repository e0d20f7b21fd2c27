//! What is offered: names, sizes, times and permissions of everything that is sent.
//!
//! ```text
//! 1  kind: 0 file, 1 folder, 2 symbolic link
//! 2  permission bits
//! 8  modification time, seconds since 1970, signed
//! 4  and nanoseconds
//! 8  size of a file; all ones if the sender does not know it yet
//! 2  length of the path, and the path
//! 2  length of the target, and the target (a link only)
//! ```
//!
//! A folder stands before what is in it.

use crate::name::{self, NameError, Rules};
use crate::{link, sums};
use std::collections::HashMap;
use std::fmt;

/// No more entries than this are sent or taken.
pub const ENTRIES_MAX: u32 = 1_000_000;
/// A longer manifest is neither sent nor taken, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 << 20;

/// Larger files are refused: the number of their chunks would not fit its field.
const FILE_BYTES_MAX: u64 = (u32::MAX as u64) * sums::CHUNK_BYTES as u64;
const UNKNOWN: u64 = u64::MAX;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of this size; `None` if it ends where it ends.
    File(Option<u64>),
    /// A folder.
    Folder,
    /// A symbolic link with this target.
    Link(Vec<u8>),
}

/// A file, a folder or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Names with `/` between them, from what was named at the sender on down.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, at most 0o777.
    pub mode: u16,
    /// When it was changed last: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
}

impl Entry {
    fn encode(&self, target: &mut Vec<u8>) {
        let (kind, size) = match self.kind {
            Kind::File(size) => (0, size.unwrap_or(UNKNOWN)),
            Kind::Folder => (1, 0),
            Kind::Link(_) => (2, 0),
        };
        target.push(kind);
        target.extend_from_slice(&self.mode.to_be_bytes());
        target.extend_from_slice(&self.modified.0.to_be_bytes());
        target.extend_from_slice(&self.modified.1.to_be_bytes());
        target.extend_from_slice(&size.to_be_bytes());
        let mut text = |bytes: &[u8]| {
            target.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            target.extend_from_slice(bytes);
        };
        text(&self.path);
        if let Kind::Link(link) = &self.kind {
            text(link);
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Entry> {
        let kind = take::<1>(bytes)?[0];
        let mode = u16::from_be_bytes(take(bytes)?);
        let modified = (i64::from_be_bytes(take(bytes)?), u32::from_be_bytes(take(bytes)?));
        let size = u64::from_be_bytes(take(bytes)?);
        let path = text(bytes)?;
        let kind = match (kind, size) {
            (0, UNKNOWN) => Kind::File(None),
            (0, size) => Kind::File(Some(size)),
            (1, 0) => Kind::Folder,
            (2, 0) => Kind::Link(text(bytes)?),
            _ => return None,
        };
        Some(Entry { path, kind, mode, modified })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn text(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(take(bytes)?));
    let (first, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(first.to_vec())
}

/// Why something cannot be sent, or what was offered is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// The path is not one that stays below the folder.
    Name(Vec<u8>, NameError),
    /// The same path twice.
    Twice(Vec<u8>),
    /// It is in no folder that stands before it.
    NoFolder(Vec<u8>),
    /// A link that leads out of what is sent.
    Link(Vec<u8>),
    /// A size, mode or time that there is none of.
    Field(Vec<u8>),
    /// More entries or bytes than there may be.
    TooMuch,
    /// Bytes that are no entry.
    Garbled,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Vec<u8>| format!("{:?}", name::shown(path));
        match self {
            ManifestError::Name(path, error) => {
                write!(f, "the name {} is not safe: {error}", shown(path))
            }
            ManifestError::Twice(path) => write!(f, "{} is there twice", shown(path)),
            ManifestError::NoFolder(path) => write!(f, "{} is in no folder that is sent", shown(path)),
            ManifestError::Link(path) => {
                write!(f, "the link {} leads out of what is sent", shown(path))
            }
            ManifestError::Field(path) => {
                write!(f, "size, permissions or time of {} cannot be right", shown(path))
            }
            ManifestError::TooMuch => write!(
                f,
                "more than {ENTRIES_MAX} files and folders, or names of more than {} MiB in all",
                MANIFEST_BYTES_MAX >> 20
            ),
            ManifestError::Garbled => f.write_str("the list of files cannot be read"),
        }
    }
}

impl std::error::Error for ManifestError {}

/// All that is offered, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
    digest: [u8; 32],
    bytes: u64,
}

impl Manifest {
    /// The entries. A folder stands before what is in it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The size of all files together whose size is known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files there are.
    #[must_use]
    pub fn files(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.kind, Kind::File(_))).count()
    }

    /// What was named at the sender: the entries that are in no folder.
    pub fn tops(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.path.contains(&b'/'))
    }

    /// BLAKE3 of all entries: two offers of the same are the same.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The entries as they are sent, in pieces of at most about that size.
    pub fn pieces(&self, piece_bytes: usize) -> impl Iterator<Item = Vec<u8>> {
        let mut entries = self.entries.iter().peekable();
        std::iter::from_fn(move || {
            entries.peek()?;
            let mut piece = Vec::new();
            while piece.len() < piece_bytes
                && let Some(entry) = entries.next()
            {
                entry.encode(&mut piece);
            }
            Some(piece)
        })
    }
}

/// A manifest that is being put together, from a disk or from what came.
pub struct Builder {
    rules: Rules,
    manifest: Manifest,
    digest: blake3::Hasher,
    encoded_bytes: usize,
    is_folder: HashMap<Vec<u8>, bool>,
}

impl Builder {
    /// Begins, with the rules for names of the system that receives.
    #[must_use]
    pub fn new(rules: Rules) -> Builder {
        Builder {
            rules,
            manifest: Manifest::default(),
            digest: blake3::Hasher::new(),
            encoded_bytes: 0,
            is_folder: HashMap::new(),
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.manifest.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.manifest.entries.is_empty()
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When it must not be among these.
    pub fn push(&mut self, entry: Entry) -> Result<(), ManifestError> {
        name::check(&entry.path, self.rules)
            .map_err(|error| ManifestError::Name(entry.path.clone(), error))?;
        if self.len() >= ENTRIES_MAX as usize {
            return Err(ManifestError::TooMuch);
        }
        if let (Some(folder), _) = name::split(&entry.path)
            && self.is_folder.get(folder) != Some(&true)
        {
            return Err(ManifestError::NoFolder(entry.path));
        }
        match &entry.kind {
            Kind::File(Some(size)) if *size > FILE_BYTES_MAX => return Err(ManifestError::Field(entry.path)),
            Kind::Link(target) if !link::stays_inside(&entry.path, target) => {
                return Err(ManifestError::Link(entry.path));
            }
            _ => {}
        }
        if entry.mode > 0o777 || entry.modified.1 >= 1_000_000_000 {
            return Err(ManifestError::Field(entry.path));
        }
        if self.is_folder.insert(entry.path.clone(), entry.kind == Kind::Folder).is_some() {
            return Err(ManifestError::Twice(entry.path));
        }
        if let Kind::File(Some(size)) = entry.kind {
            let sum = self.manifest.bytes.checked_add(size);
            self.manifest.bytes = sum.ok_or_else(|| ManifestError::Field(entry.path.clone()))?;
        }
        let mut encoded = Vec::with_capacity(64);
        entry.encode(&mut encoded);
        self.encoded_bytes += encoded.len();
        if self.encoded_bytes > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooMuch);
        }
        self.digest.update(&encoded);
        self.manifest.entries.push(entry);
        Ok(())
    }

    /// Adds what came.
    ///
    /// # Errors
    /// When these are no entries, or must not be among these.
    pub fn push_encoded(&mut self, mut bytes: &[u8]) -> Result<(), ManifestError> {
        while !bytes.is_empty() {
            self.push(Entry::decode(&mut bytes).ok_or(ManifestError::Garbled)?)?;
        }
        Ok(())
    }

    /// The manifest.
    #[must_use]
    pub fn finish(self) -> Manifest {
        Manifest { digest: *self.digest.finalize().as_bytes(), ..self.manifest }
    }
}

#[cfg(test)]
mod tests;
