//! What lies in the two folders: a file that is made, and what has arrived of it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use fastrand::Rng;
use sha2::{Digest, Sha256};

const PIECE_BYTES: usize = 1 << 20;

/// Makes a file of so many MiB that cannot be compressed.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn make(path: &Path, mib: u32, seed: u64) -> io::Result<()> {
    let mut rng = Rng::with_seed(seed);
    let mut file = BufWriter::new(File::create(path)?);
    let mut piece = vec![0; PIECE_BYTES];
    for _ in 0..mib {
        rng.fill(&mut piece);
        file.write_all(&piece)?;
    }
    file.flush()
}

/// SHA-256 of a file, in hexadecimal digits. It is not what the transfer itself goes by, so that the two do not agree by
/// a common mistake.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut piece) = (File::open(path)?, Sha256::new(), vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => hasher.update(&piece[..length]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The names of what lies there.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, seed) in [("one", 1), ("again", 1), ("other", 2)] {
            make(&at(name), 2, seed).unwrap();
        }
        assert_eq!(fs::metadata(at("one")).unwrap().len(), 2 << 20);
        assert_eq!(hash(&at("one")).unwrap(), hash(&at("again")).unwrap());
        assert_ne!(hash(&at("one")).unwrap(), hash(&at("other")).unwrap());
        assert_eq!(names(folder.path()), ["again", "one", "other"]);
        fs::write(at("abc"), "abc").unwrap();
        assert!(hash(&at("abc")).unwrap().starts_with("ba7816bf8f01cfea"), "as the standard says");
    }
}
