//! What is sent: walks through what the command line names, and finds what cannot be sent before anybody is troubled.

use crate::failure::Failure;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use trefoil_transfer::{Builder, Entry, Kind, Manifest, ManifestError, name::Rules, name::shown};

/// What is done with symbolic links below a folder that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Links {
    /// Send them as links; those that lead out of the folder are an error
    Keep,
    /// Send what they point to
    Follow,
    /// Leave them out
    Skip,
}

/// Where the bytes of an entry are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this file, which looked like this.
    File(PathBuf, Stamp),
    /// On standard input.
    Input,
    /// It has none.
    Nowhere,
}

/// What changes when a file is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    modified: (i64, i64),
    inode: u64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// What is sent, and where it is: one place for each entry.
pub(crate) struct Offer {
    pub(crate) manifest: Manifest,
    pub(crate) places: Vec<Place>,
    /// What was left out, and why, for the person.
    pub(crate) left_out: Vec<String>,
}

/// Lists what is to be sent. `input_name` is the name that standard input gets.
pub(crate) fn list(paths: &[PathBuf], links: Links, input_name: &str) -> Result<Offer, Failure> {
    let mut walk =
        Walk { builder: Builder::new(Rules::here()), places: Vec::new(), left_out: Vec::new(), links };
    for path in paths {
        if path.as_os_str() == "-" {
            let entry =
                Entry { path: input_name.into(), kind: Kind::File(None), mode: 0o644, modified: now() };
            walk.add(entry, Place::Input, path)?;
            continue;
        }
        // What is named is meant, also by a link.
        let metadata = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
        walk.visit(path, own_name(path)?, &metadata)?;
    }
    Ok(Offer { manifest: walk.builder.finish(), places: walk.places, left_out: walk.left_out })
}

struct Walk {
    builder: Builder,
    places: Vec<Place>,
    left_out: Vec<String>,
    links: Links,
}

impl Walk {
    fn visit(&mut self, path: &Path, name: Vec<u8>, metadata: &Metadata) -> Result<(), Failure> {
        let kind = metadata.file_type();
        let entry = |kind| Entry {
            path: name.clone(),
            kind,
            mode: (metadata.mode() & 0o777) as u16,
            modified: (metadata.mtime(), metadata.mtime_nsec() as u32),
        };
        if kind.is_dir() {
            self.add(entry(Kind::Folder), Place::Nowhere, path)?;
            return self.descend(path, &name);
        }
        if kind.is_file() {
            rustix::fs::access(path, rustix::fs::Access::READ_OK)
                .map_err(|error| cannot_read(path, &error.into()))?;
            let place = Place::File(path.to_owned(), Stamp::of(metadata));
            return self.add(entry(Kind::File(Some(metadata.len()))), place, path);
        }
        if kind.is_symlink() {
            return match self.links {
                Links::Skip => {
                    self.left_out.push(format!("{}: a link", shown(path.as_os_str().as_bytes())));
                    Ok(())
                }
                Links::Follow => {
                    let metadata = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
                    self.visit(path, name, &metadata)
                }
                Links::Keep => {
                    let target = std::fs::read_link(path).map_err(|error| cannot_read(path, &error))?;
                    let target = target.into_os_string().into_vec();
                    // Systems give links all permissions, or none of their own.
                    let entry = Entry { mode: 0o777, ..entry(Kind::Link(target)) };
                    self.add(entry, Place::Nowhere, path)
                }
            };
        }
        self.left_out.push(format!("{}: neither file, folder nor link", shown(path.as_os_str().as_bytes())));
        Ok(())
    }

    fn descend(&mut self, path: &Path, name: &[u8]) -> Result<(), Failure> {
        let unreadable = |error| cannot_read(path, &error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            names.push(entry.map_err(unreadable)?.file_name());
        }
        // In order, so that the same folder makes the same offer when it is sent again.
        names.sort();
        for child in names {
            let below = path.join(&child);
            let metadata = below.symlink_metadata().map_err(|error| cannot_read(&below, &error))?;
            self.visit(&below, [name, b"/", child.as_bytes()].concat(), &metadata)?;
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry, place: Place, path: &Path) -> Result<(), Failure> {
        self.builder.push(entry).map_err(|error| {
            let hint = match &error {
                ManifestError::Link(_) => {
                    "; --links follow sends what it points to, --links skip leaves it out"
                }
                ManifestError::Twice(_) => "; things with the same name have to be sent one after the other",
                ManifestError::Name(..) if self.links == Links::Follow => {
                    "; does a link lead to a folder above it?"
                }
                _ => "",
            };
            Failure::usage(format!("cannot send {}: {error}{hint}", shown(path.as_os_str().as_bytes())))
        })?;
        self.places.push(place);
        Ok(())
    }
}

/// The name that something has at the receiver: the last one of its path, also if that ends with `.` or `..`.
fn own_name(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.file_name().map(OsStr::to_owned);
    let name = match name {
        Some(name) => Some(name),
        None => {
            let whole = path.canonicalize().map_err(|error| cannot_read(path, &error))?;
            whole.file_name().map(OsStr::to_owned)
        }
    };
    name.map(OsStringExt::into_vec).ok_or_else(|| {
        Failure::usage(format!("{} has no name to be received under: send what is in it", path.display()))
    })
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot read {}: {error}", shown(path.as_os_str().as_bytes())))
}

/// Now, as a time of modification.
fn now() -> (i64, u32) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs() as i64, since.subsec_nanos())
}
