//! The file that says which process is the hub.

use std::io;
use std::path::{Path, PathBuf};

/// Writes the number of this process, whole or not at all.
pub(super) fn write(path: &Path) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    std::fs::write(&new, format!("{}\n", std::process::id()))?;
    std::fs::rename(&new, path)
}

/// The number that stands in it.
pub(crate) fn read(path: &Path) -> io::Result<u32> {
    let text = std::fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it holds no process number"))
}

/// Removes it, if it is still of this process.
pub(super) fn remove(path: &Path) {
    if read(path).is_ok_and(|pid| pid == std::process::id()) {
        let _ = std::fs::remove_file(path);
    }
}
