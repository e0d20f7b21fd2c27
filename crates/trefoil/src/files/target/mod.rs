//! Where files are received: first under a name that ends with `.trefoil.part`, and when all is whole and right under
//! their own.
//!
//! One file goes into a file, anything else into a folder. What is found there when the same is received again is looked
//! at and not asked for again. Nothing is written outside the chosen folder: each name of a path is opened by itself
//! below the one before, and a link is followed nowhere.

mod conflicts;
mod folder;
mod publish;

pub(crate) use conflicts::Conflicts;

use folder::{Folder, Found};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use trefoil_transfer::{CHUNK_BYTES, Entry, Kind, Manifest, Sums, name};

/// What stands behind the name of something that is not complete.
const PART: &[u8] = b".trefoil.part";

/// A folder, and what is being received into it.
pub(crate) struct Target {
    root: Folder,
    /// The name of what is being received, in the root.
    part: Vec<u8>,
    /// Where the entries are, unless the one entry is a file and has the name of the part.
    staging: Option<Folder>,
    /// Keeps other receivers away.
    _lock: LockedPart,
    /// What the system takes away from the permissions of what this person makes.
    mask: u16,
    /// Whether there was anything before.
    is_new: bool,
    open: Option<(u32, File)>,
    /// The folder that was used last, since the next file is often in the same one.
    last: Option<(Vec<u8>, Folder)>,
    /// Files that must not be written any more once they have their permissions, which so come last.
    bare: Vec<u32>,
}

enum LockedPart {
    File(#[expect(dead_code, reason = "it is held, not used")] File),
    Folder(#[expect(dead_code, reason = "it is held, not used")] Folder),
}

impl Target {
    /// Makes room for what is offered. `mask` are the permission bits that this person does not give.
    pub(crate) fn open(output: &Path, manifest: &Manifest, mask: u16) -> io::Result<Target> {
        std::fs::create_dir_all(output)?;
        let root = Folder::at(output)?;
        let part = part_name(manifest);
        let found = root.find(&part)?;
        let busy = || io::Error::other("another receiver is writing the same");
        let (staging, lock, is_new) = match lone_file(manifest) {
            Some(entry) => {
                let file = root.file(&part, entry.mode)?;
                if !folder::lock(&file)? {
                    return Err(busy());
                }
                (None, LockedPart::File(file), found != Found::File)
            }
            None => {
                if found != Found::Folder {
                    root.remove(&part)?;
                }
                let is_new = root.make(&part, 0o700)?;
                let staging = root.child(&part)?;
                if !folder::lock(&staging)? {
                    return Err(busy());
                }
                (Some(staging.try_clone()?), LockedPart::Folder(staging), is_new)
            }
        };
        let mut target = Target {
            root,
            part,
            staging,
            _lock: lock,
            mask,
            is_new,
            open: None,
            last: None,
            bare: Vec::new(),
        };
        target.furnish(manifest)?;
        Ok(target)
    }

    /// Removes what is left from another transfer, and makes the folders.
    fn furnish(&mut self, manifest: &Manifest) -> io::Result<()> {
        let Some(staging) = &self.staging else { return Ok(()) };
        if !self.is_new {
            let kinds: HashMap<&[u8], &Kind> =
                manifest.entries().iter().map(|entry| (&entry.path[..], &entry.kind)).collect();
            clean(staging, b"", &kinds)?;
        }
        for entry in manifest.entries().iter().filter(|entry| entry.kind == Kind::Folder) {
            let (parent, name) = self.place(entry)?;
            // It needs the permissions of its own only when nothing is put into it any more.
            parent.make(&name, entry.mode)?;
        }
        Ok(())
    }

    /// Looks at what is there from a run before: whole chunks, which need not be right.
    pub(crate) fn found(&mut self, manifest: &Manifest) -> io::Result<Vec<(u32, Sums)>> {
        let mut found = Vec::new();
        if self.is_new {
            return Ok(found);
        }
        let mut room = vec![0; CHUNK_BYTES];
        for (number, entry) in manifest.entries().iter().enumerate() {
            let Kind::File(size) = entry.kind else { continue };
            let (parent, name) = self.place(entry)?;
            let Some(mut file) = parent.own(&name)? else { continue };
            let length = file.metadata()?.len();
            let mut sums = Sums::default();
            let mut left = size.unwrap_or(u64::MAX).min(length);
            while left > 0 {
                let chunk = left.min(CHUNK_BYTES as u64) as usize;
                // The last chunk is one only if the file ends there.
                if chunk < CHUNK_BYTES && size.is_none_or(|size| length < size) {
                    break;
                }
                file.read_exact(&mut room[..chunk])?;
                sums.push(&room[..chunk]);
                left -= chunk as u64;
            }
            if !sums.values().is_empty() {
                found.push((number as u32, sums));
            }
        }
        Ok(found)
    }

    /// How many bytes more can be written here.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        self.root.free_bytes()
    }

    /// Removes what has been made, if nothing was there before.
    pub(crate) fn withdraw(self) {
        if self.is_new {
            // What cannot be removed is empty, and is used or removed the next time.
            let _ = self.root.remove(&self.part);
        }
    }

    /// Writes into a file.
    pub(crate) fn write(&mut self, file: u32, entry: &Entry, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file(file, entry)?.write_all_at(data, offset)
    }

    /// A file is whole and right: gives it its size, permissions and time.
    pub(crate) fn finish(&mut self, file: u32, entry: &Entry, bytes: u64) -> io::Result<()> {
        let mask = self.mask;
        let open = self.file(file, entry)?;
        let length = open.metadata()?.len();
        if length < bytes {
            return Err(io::Error::other("somebody else has changed what was received of it"));
        }
        if length > bytes {
            open.set_len(bytes)?;
        }
        // What this person could not open again must stay open to him until the end, in case it comes to another run.
        let is_bare = entry.mode & 0o600 != 0o600;
        folder::dress(open, if is_bare { 0o600 } else { entry.mode & !mask }, entry.modified)?;
        if is_bare {
            self.bare.push(file);
        }
        self.open = None;
        Ok(())
    }

    fn file(&mut self, number: u32, entry: &Entry) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            let (parent, name) = self.place(entry)?;
            self.open = Some((number, parent.file(&name, entry.mode)?));
        }
        let (_, file) = self.open.as_mut().expect("it was opened just now");
        Ok(file)
    }

    /// The folder that an entry is in while it is received, and its name there.
    fn place(&mut self, entry: &Entry) -> io::Result<(Folder, Vec<u8>)> {
        let Some(staging) = &self.staging else { return Ok((self.root.try_clone()?, self.part.clone())) };
        let (folder, name) = name::split(&entry.path);
        let path = folder.unwrap_or_default();
        match &self.last {
            Some((last, folder)) if last == path => Ok((folder.try_clone()?, name.to_vec())),
            _ => {
                let folder = staging.below(folder)?;
                self.last = Some((path.to_vec(), folder.try_clone()?));
                Ok((folder, name.to_vec()))
            }
        }
    }

    /// The path of what is being received, for the person.
    pub(crate) fn part_path(output: &Path, manifest: &Manifest) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        output.join(std::ffi::OsStr::from_bytes(&part_name(manifest)))
    }
}

/// The only entry, if it is a file.
fn lone_file(manifest: &Manifest) -> Option<&Entry> {
    match manifest.entries() {
        [entry] if matches!(entry.kind, Kind::File(_)) => Some(entry),
        _ => None,
    }
}

/// The same name for the same offer, so that another run finds it.
fn part_name(manifest: &Manifest) -> Vec<u8> {
    let first = manifest.tops().next().map_or(&b"files"[..], |entry| &entry.path);
    // A name that would be too long is cut, and told from others that begin alike by the names of all.
    if first.len() + PART.len() > name::NAME_BYTES_MAX {
        let digest: String = manifest.digest()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        return [&first[..name::NAME_BYTES_MAX - PART.len() - 17], b".", digest.as_bytes(), PART].concat();
    }
    [first, PART].concat()
}

/// Removes what is not among the folders and files that are offered. Links are made anew at the end.
fn clean(folder: &Folder, path: &[u8], kinds: &HashMap<&[u8], &Kind>) -> io::Result<()> {
    folder.open_up();
    for name in folder.names()? {
        let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
        match (kinds.get(&below[..]), folder.find(&name)?) {
            (Some(Kind::Folder), Found::Folder) => clean(&folder.child(&name)?, &below, kinds)?,
            (Some(Kind::File(_)), Found::File) => {}
            _ => folder.remove(&name)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
