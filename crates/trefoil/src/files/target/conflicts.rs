//! What is there already under the names of what is offered.

use super::PART;
use super::folder::{Folder, Found};
use std::collections::HashSet;
use std::io;
use std::path::Path;
use trefoil_transfer::{Kind, Manifest, name};

/// What would have to give way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Conflicts {
    /// What was named at the sender and exists here.
    pub(crate) existing: Vec<Vec<u8>>,
    /// What cannot be replaced, and why, for the person.
    pub(crate) impossible: Vec<String>,
}

impl Conflicts {
    /// Looks into the folder that is received into, which need not be there.
    pub(crate) fn find(output: &Path, manifest: &Manifest) -> io::Result<Conflicts> {
        let mut conflicts = Conflicts::default();
        let root = match Folder::at(output) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(conflicts),
            Err(error) => return Err(error),
        };
        let mut folders: HashSet<&[u8]> = HashSet::new();
        for entry in manifest.entries() {
            let (folder, own_name) = name::split(&entry.path);
            if folder.is_some_and(|folder| !folders.contains(folder)) {
                continue;
            }
            let found = root.below(folder)?.find(own_name)?;
            if found == Found::Nothing {
                continue;
            }
            if folder.is_none() {
                conflicts.existing.push(entry.path.clone());
            }
            let shown = name::shown(&entry.path);
            match (&entry.kind, found) {
                (Kind::Folder, Found::Folder) => {
                    folders.insert(&entry.path);
                }
                (Kind::Folder, _) => conflicts.impossible.push(format!("{shown} is no folder here")),
                (_, Found::Folder) => conflicts.impossible.push(format!("{shown} is a folder here")),
                (_, _) => {}
            }
        }
        if manifest.tops().any(|entry| entry.path.ends_with(PART)) {
            conflicts
                .impossible
                .push("a name that ends with .trefoil.part is what is not complete here".into());
        }
        Ok(conflicts)
    }
}
