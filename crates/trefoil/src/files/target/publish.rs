//! Giving everything its final name, once all of it is whole and right.

use super::folder::{self, Folder, Found};
use super::{Target, lone_file};
use std::collections::HashSet;
use std::io;
use trefoil_transfer::{Entry, Kind, Manifest, name};

impl Target {
    /// Makes links, gives permissions, and moves everything to where it belongs. Only if `overwrite` something that is
    /// there is replaced: a file by a file, and a folder gets what comes beside what it has.
    ///
    /// All of it is on disk before it gets its names, and these are when this returns: the sender, who is told then, may
    /// delete what it has sent.
    pub(crate) fn publish(mut self, manifest: &Manifest, overwrite: bool) -> io::Result<()> {
        self.open = None;
        for number in std::mem::take(&mut self.bare) {
            let entry = &manifest.entries()[number as usize];
            let (parent, name) = self.place(entry)?;
            if let Some(file) = parent.existing(&name)? {
                folder::dress(&file, entry.mode & !self.mask, entry.modified)?;
            }
        }
        for entry in manifest.entries() {
            if let Kind::Link(target) = &entry.kind {
                let (parent, name) = self.place(entry)?;
                parent.link(&name, target, entry.modified)?;
            }
        }
        self.last = None;
        if let Some(entry) = lone_file(manifest) {
            if let Some(file) = self.root.existing(&self.part)? {
                file.sync_all()?;
            }
            self.root.move_to(&self.part, &self.root, &entry.path, overwrite)?;
            return self.root.sync();
        }
        let Some(staging) = self.staging.take() else { return Ok(()) };
        let mut merged: HashSet<&[u8]> = HashSet::new();
        for top in manifest.tops().filter(|top| overwrite && top.kind == Kind::Folder) {
            if self.root.find(&top.path)? == Found::Folder {
                merged.insert(&top.path);
            }
        }
        // A folder that is moved as a whole is finished first, from the inside out, and appears in one step.
        let is_whole =
            |entry: &&Entry| entry.kind == Kind::Folder && !merged.contains(first_name(&entry.path));
        for entry in manifest.entries().iter().filter(is_whole).rev() {
            staging.below(Some(&entry.path))?.dress(entry.mode & !self.mask, entry.modified)?;
        }
        staging.sync_file_system()?;
        for top in manifest.tops().filter(|top| !merged.contains(&top.path[..])) {
            staging.move_to(&top.path, &self.root, &top.path, overwrite)?;
        }
        if !merged.is_empty() {
            self.merge(&staging, manifest, &merged)?;
            self.root.sync_file_system()?;
        }
        if !self.root.remove_empty(&self.part) {
            self.root.remove(&self.part)?;
        }
        self.root.sync()
    }

    /// Moves what is in some folders, one by one, into folders that are there.
    fn merge(&self, staging: &Folder, manifest: &Manifest, merged: &HashSet<&[u8]>) -> io::Result<()> {
        let entries = || manifest.entries().iter().filter(|entry| merged.contains(first_name(&entry.path)));
        let mut made = Vec::new();
        for entry in entries() {
            let (folder, name) = name::split(&entry.path);
            let to = self.root.below(folder)?;
            if entry.kind == Kind::Folder {
                if to.make(name, entry.mode)? {
                    made.push(entry);
                }
            } else {
                staging.below(folder)?.move_to(name, &to, name, true)?;
            }
        }
        for entry in made.iter().rev() {
            self.root.below(Some(&entry.path))?.dress(entry.mode & !self.mask, entry.modified)?;
        }
        Ok(())
    }
}

fn first_name(path: &[u8]) -> &[u8] {
    name::names(path).next().unwrap_or_default()
}
