//! The process that is to take over: the program at the path of this one, started with the same arguments and
//! environment, and with the sockets.

use super::inherit::{FIRST, NAMES};
use super::link::{LINK_NAME, Link, Word};
use super::{Event, Events};
use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use trefoil_server::Socket;

/// How long a new process may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long it takes at most until a process that has closed all that it had open has ended.
const ENDING_MAX: Duration = Duration::from_millis(200);

/// How often to look whether it has ended.
const END_STEP: Duration = Duration::from_millis(5);

/// Of what is handed on; the sockets need none, since they are found by their address.
const SOCKET_NAME: &str = "trefoil";

/// Variables that hold for the process that they were made for and not for one that it starts.
const OWN_VARIABLES: [&str; 4] = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS_FIRST_FD", "WATCHDOG_PID"];

/// A process that is to take over.
pub(super) struct Successor {
    /// By which its words are told from those of one before it.
    pub(super) serial: u64,
    /// Until when it has to be ready.
    pub(super) ready_until: Instant,
    child: Child,
    link: Link,
}

impl Successor {
    /// Starts it. What it says comes as [`Event::Successor`].
    pub(super) fn start(program: &Path, sockets: Vec<Socket>, events: &Events) -> io::Result<Successor> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let (own, others) = UnixStream::pair()?;
        let mut names = vec![SOCKET_NAME; sockets.len()];
        names.push(LINK_NAME);
        let descriptors: Vec<OwnedFd> =
            sockets.into_iter().map(OwnedFd::from).chain([OwnedFd::from(others)]).collect();
        let mut arguments = std::env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = arguments.next() {
            std::os::unix::process::CommandExt::arg0(&mut command, name);
        }
        command.args(arguments).env("LISTEN_FDS", names.len().to_string()).env(NAMES, names.join(":"));
        for name in OWN_VARIABLES {
            command.env_remove(name);
        }
        let mappings = descriptors
            .into_iter()
            .zip(FIRST..)
            .map(|(parent_fd, number)| FdMapping { parent_fd, child_fd: number as i32 })
            .collect();
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        let mut child = command.spawn()?;
        // The other end is closed here, so that it is noticed when the process ends.
        drop(command);
        let (link, serial) = (Link::new(own), SERIAL.fetch_add(1, Ordering::Relaxed));
        let events = events.clone();
        let listens = link.listen(move |word| {
            // Nobody to hear it: this process ends.
            let _ = events.send(Event::Successor(serial, word));
        });
        if let Err(error) = listens {
            end(&mut child);
            return Err(error);
        }
        Ok(Successor { serial, ready_until: Instant::now() + READY_MAX, child, link })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn say(&self, word: &Word) {
        self.link.say(word);
    }

    /// Asks it to stop, as whoever stops this process wants.
    pub(super) fn ask_to_stop(&self) {
        let Ok(pid) = i32::try_from(self.child.id()) else { return };
        if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGTERM) {
            tracing::warn!(%error, "the new process cannot be told to stop");
        }
    }

    /// Whether it has ended, or does so within moments.
    pub(super) fn has_ended(&mut self) -> bool {
        let until = Instant::now() + ENDING_MAX;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => std::thread::sleep(END_STEP),
                result => return matches!(result, Ok(Some(_))),
            }
        }
    }

    /// Ends it if it does not end by itself within `patience`, and says how it ended.
    pub(super) fn end(mut self, patience: Duration) -> String {
        let until = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("it ended too early ({status})"),
                Ok(None) if Instant::now() < until => std::thread::sleep(END_STEP),
                _ => break,
            }
        }
        end(&mut self.child);
        "it did not do what it was started for".into()
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Where this program lies, by the name by which it was started: what that name stands for may be another file when it is
/// needed. To be called at the start, since a program that has been replaced is not found any more.
pub(super) fn own_path() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let search = std::env::var_os("PATH").unwrap_or_default();
    let is_own = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == own);
    Ok(candidates(&name, &search).find(is_own).unwrap_or(own))
}

fn candidates<'a>(name: &'a Path, search: &'a OsStr) -> Box<dyn Iterator<Item = PathBuf> + 'a> {
    if name.components().count() == 1 && !name.has_root() {
        Box::new(std::env::split_paths(search).map(move |folder| folder.join(name)))
    } else {
        Box::new(std::path::absolute(name).into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_searched_for_and_a_path_is_not() {
        let found = |name: &str| candidates(Path::new(name), OsStr::new("/a:/b/c")).collect::<Vec<_>>();
        assert_eq!(found("trefoil"), [Path::new("/a/trefoil"), Path::new("/b/c/trefoil")]);
        assert_eq!(found("/opt/trefoil"), [Path::new("/opt/trefoil")]);
        let here = std::env::current_dir().expect("there is one");
        assert_eq!(found("bin/trefoil"), [here.join("bin/trefoil")]);
    }
}
