//! What is on the disk itself, and what a power cut may make of the rest.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::disk::Call;

/// The durable state of a folder, and the changes that are not durable.
#[derive(Clone, Debug)]
pub(crate) struct Platter {
    names: BTreeMap<String, usize>,
    name_changes: Vec<(String, Option<usize>)>,
    files: Vec<File>,
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Platter {
    pub(crate) fn new(left: &BTreeMap<String, Vec<u8>>) -> Platter {
        let file = |bytes: &Vec<u8>| File { durable: bytes.clone(), changes: Vec::new() };
        Platter {
            names: left.keys().cloned().zip(0..).collect(),
            name_changes: Vec::new(),
            files: left.values().map(file).collect(),
        }
    }

    pub(crate) fn apply(&mut self, call: &Call, rng: &mut Rng) {
        match call {
            Call::Create { name, file } => {
                assert_eq!(*file, self.files.len());
                self.files.push(File::default());
                self.name_changes.push((name.clone(), Some(*file)));
            }
            Call::Remove { name } => self.name_changes.push((name.clone(), None)),
            Call::Write { file, at, bytes } => {
                self.files[*file].changes.push(Change::Write { at: *at, bytes: bytes.clone() });
            }
            Call::Truncate { file, len } => self.files[*file].changes.push(Change::Truncate(*len)),
            Call::SyncFile { file } => {
                let file = &mut self.files[*file];
                file.changes.drain(..).for_each(|change| change.make(&mut file.durable));
            }
            // The system counts the data as clean from here on: some of it is on the disk, and the rest will never
            // be. That a file was cut off is kept in the journal of the file system and is tried again.
            Call::SyncFileFailed { file } => {
                let file = &mut self.files[*file];
                for change in std::mem::take(&mut file.changes) {
                    match change {
                        Change::Write { .. } => change.make_some(&mut file.durable, rng),
                        Change::Truncate(_) => file.changes.push(change),
                    }
                }
            }
            Call::SyncFolder => {
                for (name, file) in std::mem::take(&mut self.name_changes) {
                    rename(&mut self.names, name, file);
                }
            }
        }
    }

    /// Power is cut: what was not durable is there or not, in any combination.
    pub(crate) fn cut(&self, rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
        let mut names = self.names.clone();
        let taste = rng.u8(..4);
        let keeps = |rng: &mut Rng| match taste {
            0 => false,
            1 => true,
            _ => rng.bool(),
        };
        for (name, file) in &self.name_changes {
            if keeps(rng) {
                rename(&mut names, name.clone(), *file);
            }
        }
        let taste = rng.u8(..5);
        let content = |file: usize, rng: &mut Rng| {
            let mut bytes = self.files[file].durable.clone();
            let changes = &self.files[file].changes;
            // Nothing, everything, everything up to some place, or anything.
            let whole = match taste {
                0 => return bytes,
                1 => changes.len(),
                2 => rng.usize(..=changes.len()),
                _ => 0,
            };
            for (i, change) in changes.iter().cloned().enumerate() {
                match change {
                    change if i < whole => change.make(&mut bytes),
                    Change::Truncate(_) if taste == 2 || rng.bool() => {}
                    Change::Truncate(_) => change.make(&mut bytes),
                    Change::Write { .. } if taste == 2 && i > whole => {}
                    Change::Write { .. } => change.make_some(&mut bytes, rng),
                }
            }
            bytes
        };
        names.into_iter().map(|(name, file)| (name, content(file, rng))).collect()
    }
}

fn rename(names: &mut BTreeMap<String, usize>, name: String, file: Option<usize>) {
    match file {
        Some(file) => names.insert(name, file),
        None => names.remove(&name),
    };
}

impl Change {
    fn make(self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes: written } => {
                let end = at + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[at..end].copy_from_slice(&written);
            }
            Change::Truncate(len) => bytes.truncate(len),
        }
    }

    /// Some of the blocks of a write reach the disk, and the length with or without them.
    fn make_some(self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        let Change::Write { at, bytes: written } = self else { return self.make(bytes) };
        let block_bytes = [1, 5, 16, 64, 512][rng.usize(..5)];
        let one_in = rng.u8(1..5);
        for (i, block) in written.chunks(block_bytes).enumerate() {
            if rng.u8(..one_in) == 0 {
                let at = at + i * block_bytes;
                Change::Write { at, bytes: block.to_vec() }.make(bytes);
            }
        }
        if rng.bool() {
            bytes.resize(bytes.len().max(at + written.len()), 0);
        }
    }
}
