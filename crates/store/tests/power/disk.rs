//! A disk that remembers every call, fails when told to, and can be asked what a power cut would have left at any time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use fastrand::Rng;
use trefoil_store::{Directory, SegmentFile};

use crate::DEADLINE;
use crate::platter::Platter;

/// A change, or something that makes changes durable.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Create { name: String, file: usize },
    Remove { name: String },
    Write { file: usize, at: usize, bytes: Vec<u8> },
    Truncate { file: usize, len: usize },
    SyncFile { file: usize },
    SyncFileFailed { file: usize },
    SyncFolder,
}

/// One chance in so many that a call fails; 0 never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) write: u32,
    pub(crate) sync: u32,
    /// Creating, removing, cutting off, reserving, and syncing the folder.
    pub(crate) other: u32,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) calls: Vec<Call>,
    names: BTreeMap<String, usize>,
    files: Vec<Content>,
    pub(crate) faults: Faults,
    /// What is free on the disk.
    pub(crate) room_bytes: u64,
    pub(crate) short_writes: bool,
    hold_syncs: bool,
    held_syncs: usize,
    rng: Rng,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// At least as long as the bytes.
    allocated: u64,
}

/// A folder; clones are the same folder.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Syncs are held, or one has come to be.
    held: Condvar,
}

impl SimDisk {
    /// A disk on which lies what a power cut has left.
    pub(crate) fn new(left: &BTreeMap<String, Vec<u8>>, seed: u64) -> SimDisk {
        let content = |bytes: &Vec<u8>| Content { bytes: bytes.clone(), allocated: bytes.len() as u64 };
        let state = State {
            calls: Vec::new(),
            names: left.keys().cloned().zip(0..).collect(),
            files: left.values().map(content).collect(),
            faults: Faults::default(),
            room_bytes: u64::MAX,
            short_writes: false,
            hold_syncs: false,
            held_syncs: 0,
            rng: Rng::with_seed(seed),
        };
        SimDisk(Arc::new(Shared { state: Mutex::new(state), held: Condvar::new() }))
    }

    /// From now on the disk is so slow that syncing files does not end.
    pub(crate) fn hold_syncs(&self) {
        self.state().hold_syncs = true;
    }

    /// Waits until a sync is held.
    pub(crate) fn wait_for_held_sync(&self) {
        let held = self.0.held.wait_timeout_while(self.state(), DEADLINE, |state| state.held_syncs == 0);
        assert!(!held.unwrap().1.timed_out(), "no sync has begun");
    }

    pub(crate) fn release_syncs(&self) {
        self.state().hold_syncs = false;
        self.0.held.notify_all();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn calls(&self) -> usize {
        self.state().calls.len()
    }

    /// The folder as a process sees it.
    pub(crate) fn seen(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(name, file)| (name.clone(), state.files[*file].bytes.clone())).collect()
    }

    /// The platter that this disk began with.
    pub(crate) fn platter(left: &BTreeMap<String, Vec<u8>>) -> Platter {
        Platter::new(left)
    }
}

impl State {
    fn fails(&mut self, one_in: u32) -> io::Result<()> {
        if one_in > 0 && self.rng.u32(..one_in) == 0 {
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }

    fn allocate(&mut self, file: usize, until: u64) -> io::Result<()> {
        let more = until.saturating_sub(self.files[file].allocated);
        if more > self.room_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.room_bytes != u64::MAX {
            self.room_bytes -= more;
        }
        self.files[file].allocated += more;
        Ok(())
    }

    fn free(&mut self, bytes: u64) {
        self.room_bytes = self.room_bytes.saturating_add(bytes);
    }
}

impl Directory for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        let one_in = state.faults.other;
        state.fails(one_in)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.names.insert(name.to_owned(), file);
        state.calls.push(Call::Create { name: name.to_owned(), file });
        Ok(SimFile { disk: self.clone(), file })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let file = *self.state().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), file })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let one_in = state.faults.other;
        state.fails(one_in)?;
        let file = state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let allocated = state.files[file].allocated;
        state.free(allocated);
        state.calls.push(Call::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        let one_in = state.faults.other;
        state.fails(one_in)?;
        state.calls.push(Call::SyncFolder);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl SegmentFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].bytes.len() as u64)
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let from = state.files[self.file].bytes.get(offset as usize..).unwrap_or_default();
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let one_in = state.faults.write;
        state.fails(one_in)?;
        let len = if state.short_writes { state.rng.usize(1..=bytes.len()) } else { bytes.len() };
        let at = offset as usize;
        state.allocate(self.file, (at + len) as u64)?;
        let content = &mut state.files[self.file].bytes;
        assert!(at <= content.len(), "there are no holes");
        content.resize(content.len().max(at + len), 0);
        content[at..at + len].copy_from_slice(&bytes[..len]);
        state.calls.push(Call::Write { file: self.file, at, bytes: bytes[..len].to_vec() });
        Ok(len)
    }

    fn reserve(&mut self, from: u64, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let one_in = state.faults.other;
        state.fails(one_in)?;
        state.allocate(self.file, from + bytes)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let one_in = state.faults.other;
        state.fails(one_in)?;
        let content = &mut state.files[self.file];
        content.bytes.truncate(bytes as usize);
        let freed = content.allocated - bytes;
        content.allocated = bytes;
        state.free(freed);
        state.calls.push(Call::Truncate { file: self.file, len: bytes as usize });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.hold_syncs {
            state.held_syncs += 1;
            self.disk.0.held.notify_all();
            state = self.disk.0.held.wait_while(state, |state| state.hold_syncs).unwrap();
            state.held_syncs -= 1;
        }
        let one_in = state.faults.sync;
        let failed = state.fails(one_in);
        let file = self.file;
        state.calls.push(if failed.is_ok() {
            Call::SyncFile { file }
        } else {
            Call::SyncFileFailed { file }
        });
        failed
    }
}
