//! Reads what is sent, chunk by chunk.

use super::offer::{Place, Stamp};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use trefoil_transfer::CHUNK_BYTES;

/// How many chunks of standard input are kept, in case the connection breaks while they are under way: 32 MiB, more than
/// sockets and queues between two ends hold.
const KEPT_CHUNKS: usize = 128;

/// The files.
pub(crate) struct Source {
    places: Vec<Place>,
    open: Option<(u32, File)>,
    input: Input,
}

/// Standard input, which can be read once only.
struct Input {
    reader: Box<dyn Read + Send>,
    /// The chunk that would be read next.
    next: u32,
    kept: VecDeque<Vec<u8>>,
}

impl Source {
    pub(crate) fn new(places: Vec<Place>, input: Box<dyn Read + Send>) -> Source {
        Source { places, open: None, input: Input { reader: input, next: 0, kept: VecDeque::new() } }
    }

    /// Reads a chunk into the room for it, which is as long as the chunk should be. Gives how long it is.
    pub(crate) fn read(&mut self, file: u32, chunk: u32, room: &mut [u8]) -> io::Result<usize> {
        match &self.places[file as usize] {
            Place::Input => self.input.read(chunk, room),
            Place::Nowhere => Ok(0),
            Place::File(path, stamp) => {
                let open = match self.open.take() {
                    Some((number, open)) if number == file => open,
                    _ => open(path, *stamp)?,
                };
                let (_, open) = self.open.insert((file, open));
                read_at(open, u64::from(chunk) * CHUNK_BYTES as u64, room)
            }
        }
    }

    /// A file has been sent: it must still be what it was when it was listed.
    pub(crate) fn check_end(&mut self, file: u32) -> io::Result<()> {
        let open = self.open.take().filter(|(number, _)| *number == file);
        let Place::File(path, stamp) = &self.places[file as usize] else { return Ok(()) };
        let metadata = match open {
            Some((_, file)) => file.metadata()?,
            None => std::fs::metadata(path)?,
        };
        if Stamp::of(&metadata) == *stamp { Ok(()) } else { Err(changed()) }
    }
}

fn open(path: &Path, stamp: Stamp) -> io::Result<File> {
    // Should it be a pipe by now, opening it must not wait for somebody who writes.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if Stamp::of(&file.metadata()?) != stamp {
        return Err(changed());
    }
    // Only a hint, so it does not matter if the system does not know it or cannot take it.
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    Ok(file)
}

fn changed() -> io::Error {
    io::Error::other("it has changed since it was listed")
}

fn read_at(file: &File, offset: u64, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match file.read_at(&mut room[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Input {
    fn read(&mut self, chunk: u32, room: &mut [u8]) -> io::Result<usize> {
        if chunk < self.next {
            let back = (self.next - chunk) as usize;
            let index = self.kept.len().checked_sub(back);
            let kept = index.and_then(|index| self.kept.get(index)).ok_or_else(|| {
                io::Error::other("the receiver has lost what was read long ago, and it cannot be read twice")
            })?;
            let count = kept.len().min(room.len());
            room[..count].copy_from_slice(&kept[..count]);
            return Ok(count);
        }
        let mut filled = 0;
        while filled < room.len() {
            match self.reader.read(&mut room[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut spare = match self.kept.len() {
            KEPT_CHUNKS => self.kept.pop_front().unwrap_or_default(),
            _ => Vec::new(),
        };
        spare.clear();
        spare.extend_from_slice(&room[..filled]);
        self.kept.push_back(spare);
        self.next += 1;
        Ok(filled)
    }
}
