//! A disk that fails on demand, for the hub's store.
//!
//! The hub is the real binary on a real file system. Between the two stands a small library in C (`disk.c`, which says
//! what it can do) that the dynamic linker loads in front of the C library: it makes the calls fail that the test names
//! in a file, and loses what a failed sync would lose.

use crate::{CONFIG, Hub, binary, wait_until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder for a store, on a disk that does what [`Disk::fails`] says.
pub struct Disk {
    folder: tempfile::TempDir,
    /// How often it was said what fails.
    said: AtomicUsize,
}

impl Disk {
    /// A disk on which nothing fails.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/disk/disk.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", source, "-o"]);
        let outcome = compiler.arg(folder.path().join("disk.so")).output().expect("a C compiler, `cc`");
        assert!(outcome.status.success(), "{compiler:?}: {}", String::from_utf8_lossy(&outcome.stderr));
        let disk = Self { folder, said: AtomicUsize::new(0) };
        disk.works();
        disk
    }

    /// Where the hub's store is.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// [`CONFIG`] with the store on this disk.
    pub fn config(&self) -> String {
        format!("{CONFIG}\n[store]\npath = {:?}\n", self.store())
    }

    /// Starts a hub with this configuration, which has the store on this disk.
    pub fn hub(&self, config: &str) -> Hub {
        Hub::launch(tempfile::tempdir().unwrap(), config, self.command())
    }

    /// The binary, with this disk below it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.env("LD_PRELOAD", self.folder.path().join("disk.so"));
        command.env("DISK_FOLDER", self.store()).env("DISK_FAULTS", self.faults());
        command
    }

    /// From now on these calls fail, and no others: lines as `disk.c` has them.
    pub fn fails(&self, faults: &str) {
        let new = self.folder.path().join("faults.new");
        // The number tells one time from the next where both say the same, and no call came between them.
        let said = self.said.fetch_add(1, Ordering::Relaxed);
        std::fs::write(&new, format!("# {said}\n{faults}")).unwrap();
        std::fs::rename(new, self.faults()).unwrap();
    }

    /// From now on nothing fails.
    pub fn works(&self) {
        self.fails("");
    }

    /// How often a fault has struck so far, by its line without `once`. One that holds a call strikes again and again.
    pub fn struck(&self, fault: &str) -> usize {
        let log = std::fs::read_to_string(self.faults().with_extension("struck")).unwrap_or_default();
        log.lines().filter(|line| *line == fault).count()
    }

    /// From now on this fault is there; waits until it has struck.
    pub fn struck_by(&self, faults: &str) {
        let fault = faults.lines().next().expect("a fault").trim_end_matches(" once");
        let before = self.struck(fault);
        self.fails(faults);
        wait_until(&format!("`{fault}` has struck"), || self.struck(fault) > before);
    }

    fn faults(&self) -> PathBuf {
        self.folder.path().join("faults")
    }

    /// The names of the store's files that end with this.
    pub fn files(&self, extension: &str) -> Vec<PathBuf> {
        let has = |path: &Path| path.extension().is_some_and(|found| found == extension);
        let files = std::fs::read_dir(self.store()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| has(path)).collect();
        files.sort();
        files
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}
