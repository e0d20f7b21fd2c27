//! `trefoil send` and `trefoil receive` through a hub: what arrives, what is refused, and what the hub gets to see.

mod arrival;
mod lies;
mod names;
mod peer;
mod refusal;
mod resume;
mod secrecy;
mod terminal;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;
use trefoil_tests::{Hub, Program, Running, trefoil};

/// A hub, and a folder for each end.
struct Place {
    hub: Hub,
    folder: tempfile::TempDir,
}

/// A code that tests choose, so that the ends can begin in any order.
const CODE: &str = "7-amber-canoe";

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("from")).unwrap();
        std::fs::create_dir(folder.path().join("to")).unwrap();
        Place { hub: Hub::start(), folder }
    }

    fn from(&self, name: &str) -> PathBuf {
        self.folder.path().join("from").join(name)
    }

    fn to(&self, name: &str) -> PathBuf {
        self.folder.path().join("to").join(name)
    }

    /// Makes a file to send.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.from(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.hub.tcp_port())
    }

    fn send(&self, words: &str) -> Program {
        self.send_by(&self.url(), words)
    }

    fn send_by(&self, url: &str, words: &str) -> Program {
        trefoil(["send", "--url", url]).words(words).folder(self.from(""))
    }

    fn receive(&self, words: &str) -> Program {
        self.receive_by(&self.url(), words)
    }

    fn receive_by(&self, url: &str, words: &str) -> Program {
        trefoil(["receive", "--url", url]).words(words).folder(self.to(""))
    }

    /// What is in the folder of the receiver.
    fn received(&self) -> Vec<String> {
        names(&self.to(""))
    }
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The code that a sender has printed.
fn code_of(sender: &Running) -> String {
    sender.lines(1).remove(0)
}

/// Bytes that nobody can guess or compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes.div_ceil(8)).flat_map(|_| next()).take(bytes).collect()
}

/// How long an end may take that waits for the other one to come back.
const LONG: Duration = Duration::from_secs(120);
