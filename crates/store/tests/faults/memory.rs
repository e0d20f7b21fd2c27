//! A file system in memory that fails when told to and that can lose power.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use trefoil_store::{Directory, SegmentFile};

/// A folder; clones are the same folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    files: BTreeMap<String, Content>,
    /// Files whose removal is not durable.
    removed: BTreeMap<String, Content>,
    /// Bytes that still fit on the disk.
    pub(crate) room_bytes: Option<usize>,
    /// The most that one write takes.
    pub(crate) write_bytes_max: Option<usize>,
    /// The sync after so many more fails.
    pub(crate) sync_fails_in: Option<usize>,
    /// Every other call is interrupted.
    pub(crate) interrupts: bool,
    interrupted: bool,
    /// Cutting off fails too.
    pub(crate) truncate_fails: bool,
    /// Syncs of files and of the folder so far.
    pub(crate) syncs: usize,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// What a power cut cannot take.
    durable: Vec<u8>,
    /// The name is durable.
    named: bool,
}

/// Bytes that are written to the disk together.
const PAGE_BYTES: usize = 16;

impl Memory {
    /// Power is cut. `chance` decides what of the things that were not synced has reached the disk; what is left is a
    /// folder without faults.
    pub(crate) fn lose_power(&self, mut chance: impl FnMut() -> u8) -> Memory {
        let state = self.0.borrow();
        let mut files = BTreeMap::new();
        for (name, content) in state.files.iter().chain(&state.removed) {
            let certain = content.named && !state.removed.contains_key(name);
            if !certain && chance().is_multiple_of(2) {
                continue;
            }
            let mut bytes = content.durable.clone();
            let same = content.bytes.iter().zip(&bytes).take_while(|(now, durable)| now == durable).count();
            // A file that was cut off and not synced stays as it was.
            if content.bytes.len() >= bytes.len() {
                let kept = same + usize::from(chance()) * (content.bytes.len() - same) / 255;
                bytes.resize(bytes.len().max(kept), 0);
                for (i, page) in content.bytes[same..kept].chunks(PAGE_BYTES).enumerate() {
                    let lost = i > 0 && chance().is_multiple_of(4);
                    if !lost {
                        let at = same + i * PAGE_BYTES;
                        bytes[at..at + page.len()].copy_from_slice(page);
                    }
                }
            }
            files.insert(name.clone(), Content { durable: bytes.clone(), bytes, named: true });
        }
        Memory(Rc::new(RefCell::new(State { files, ..State::default() })))
    }

    /// The process is killed and the system lives: everything that was written is there.
    pub(crate) fn kill(&self) -> Memory {
        let files = self.0.borrow().files.clone();
        Memory(Rc::new(RefCell::new(State { files, ..State::default() })))
    }
}

impl State {
    fn interrupt(&mut self) -> io::Result<()> {
        self.interrupted = self.interrupts && !self.interrupted;
        if self.interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        match &mut self.sync_fails_in {
            Some(0) => Err(io::Error::other("input/output error")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Directory for Memory {
    type File = MemoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let earlier = self.0.borrow_mut().files.insert(name.to_owned(), Content::default());
        assert!(earlier.is_none(), "{name} is there already");
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        Ok(MemoryFile { state: self.0.clone(), name: name.to_owned() })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let content = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        if content.named {
            state.removed.insert(name.to_owned(), content);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.sync()?;
        state.removed.clear();
        state.files.values_mut().for_each(|content| content.named = true);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct MemoryFile {
    state: Rc<RefCell<State>>,
    name: String,
}

impl MemoryFile {
    fn content<T>(&self, f: impl FnOnce(&mut Content) -> T) -> T {
        f(self.state.borrow_mut().files.get_mut(&self.name).expect("the log uses no file that it removed"))
    }
}

impl SegmentFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.content(|content| content.bytes.len() as u64))
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.state.borrow_mut().interrupt()?;
        self.content(|content| {
            let from = content.bytes.get(offset as usize..).unwrap_or_default();
            // Short reads are the rule here.
            let len = from.len().min(buf.len()).min(7);
            buf[..len].copy_from_slice(&from[..len]);
            Ok(len)
        })
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let len = {
            let mut state = self.state.borrow_mut();
            state.interrupt()?;
            let mut len = bytes.len().min(state.write_bytes_max.unwrap_or(usize::MAX));
            if let Some(room) = &mut state.room_bytes {
                if *room == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                len = len.min(*room);
                *room -= len;
            }
            len
        };
        self.content(|content| {
            let at = offset as usize;
            assert!(at <= content.bytes.len(), "there are no holes");
            content.bytes.resize(content.bytes.len().max(at + len), 0);
            content.bytes[at..at + len].copy_from_slice(&bytes[..len]);
        });
        Ok(len)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        if self.state.borrow().truncate_fails {
            return Err(io::Error::other("input/output error"));
        }
        self.content(|content| content.bytes.truncate(bytes as usize));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state.borrow_mut().sync()?;
        self.content(|content| content.durable.clone_from(&content.bytes));
        Ok(())
    }
}
