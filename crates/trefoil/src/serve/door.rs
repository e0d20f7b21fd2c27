//! Where a running hub is asked for an upgrade: a Unix socket with the abstract name `trefoil-PID`, which lies in no
//! folder, and is gone when its process is. Only the hub's own user and root are heard. By the same door a process that is
//! to take over is given connections.
//!
//! Abstract names are Linux's own; `door_elsewhere.rs` stands for this file on other systems.

use super::link::{Link, Word, Words};
use super::passage::{self, Passage};
use super::{Event, Events};
use nix::sys::socket::{UnixCredentials, getsockopt, sockopt};
use nix::unistd::{Uid, geteuid};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

const NAME: &str = "trefoil-";

/// How long somebody at the door may take to say what they want.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens the door. Whoever asks for an upgrade is an [`Event::Asked`]; what comes from the process that this one takes over
/// from, the other end of `predecessor`, is an [`Event::Connections`].
///
/// # Errors
/// When the name is taken, or the system has no socket or thread to give.
pub(super) fn open(events: Events, predecessor: Option<&Link>) -> io::Result<()> {
    let predecessor = predecessor.map(|link| credentials(link.stream())).transpose()?.map(|who| who.pid());
    let door = UnixListener::bind_addr(&address(std::process::id())?)?;
    std::thread::Builder::new().name("door".into()).spawn(move || {
        for caller in door.incoming() {
            match caller.and_then(|caller| admit(caller, &events, predecessor)) {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "somebody at the door is not heard");
                    // Should the system refuse all, then not in a circle.
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    })?;
    Ok(())
}

fn admit(caller: UnixStream, events: &Events, predecessor: Option<i32>) -> io::Result<()> {
    let credentials = credentials(&caller)?;
    let who = Uid::from_raw(credentials.uid());
    if who != geteuid() && !who.is_root() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is another user's"));
    }
    caller.set_read_timeout(Some(PATIENCE))?;
    match Words::new(caller.try_clone()?).next()? {
        Some(Word::Upgrade) => {
            // Nobody to hear it: this process ends.
            let _ = events.send(Event::Asked(Link::new(caller)));
            Ok(())
        }
        Some(Word::Connections) if predecessor == Some(credentials.pid()) => {
            let events = events.clone();
            // On a thread of its own, since others may come to the door meanwhile.
            let taking = move || passage::take(&caller, |all| drop(events.send(Event::Connections(all))));
            std::thread::Builder::new().name("passage".into()).spawn(taking).map(drop)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it asks for something else")),
    }
}

/// Asks a process for an upgrade, and gives the stream on which it says what came of it.
///
/// # Errors
/// When there is no such process, it is no hub, or it is another user's.
pub(crate) fn ask(pid: u32) -> io::Result<UnixStream> {
    let stream = knock(pid)?;
    Link::new(stream.try_clone()?).say(&Word::Upgrade);
    Ok(stream)
}

/// Asks a process that is to take over whether it takes connections too.
///
/// # Errors
/// When it does not.
pub(super) fn passage(pid: u32) -> io::Result<Passage> {
    Passage::new(knock(pid)?)
}

fn knock(pid: u32) -> io::Result<UnixStream> {
    let stream = UnixStream::connect_addr(&address(pid)?)?;
    // Anybody can take a name.
    if u32::try_from(credentials(&stream)?.pid()) != Ok(pid) {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "another process has taken its name"));
    }
    Ok(stream)
}

fn credentials(stream: &UnixStream) -> io::Result<UnixCredentials> {
    Ok(getsockopt(stream, sockopt::PeerCredentials)?)
}

/// The processes that have a door.
///
/// # Errors
/// When the system does not say.
pub(crate) fn all() -> io::Result<Vec<u32>> {
    let mut pids = pids(&std::fs::read_to_string("/proc/net/unix")?);
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn pids(sockets: &str) -> Vec<u32> {
    let names = sockets.lines().filter_map(|line| line.split_whitespace().nth(7));
    names.filter_map(|name| name.strip_prefix('@')?.strip_prefix(NAME)?.parse().ok()).collect()
}

fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("{NAME}{pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_found_among_all_sockets() {
        let sockets = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                       0000000000000000: 00000002 00000000 00010000 0001 01 12345 @trefoil-4711\n\
                       0000000000000000: 00000002 00000000 00010000 0001 01 12346 /run/trefoil-4712\n\
                       0000000000000000: 00000002 00000000 00010000 0001 01 12347\n\
                       0000000000000000: 00000002 00000000 00010000 0001 01 12348 @trefoil-x\n";
        assert_eq!(pids(sockets), [4711]);
    }
}
