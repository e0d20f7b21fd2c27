//! What a process is handed when it is started: sockets, by the protocol of systemd (`LISTEN_FDS`), and in an upgrade the
//! link to the process that it takes over from.

use super::link::{LINK_NAME, Link};
use crate::failure::Failure;
use listenfd::ListenFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use trefoil_server::Socket;

/// The names of what is handed in, separated by colons.
pub(super) const NAMES: &str = "LISTEN_FDNAMES";

/// The number of the first descriptor that is handed in.
pub(super) const FIRST: usize = 3;

/// What was handed in.
#[derive(Default)]
pub(super) struct Inherited {
    pub(super) sockets: Vec<Socket>,
    /// The process that this one takes over from.
    pub(super) predecessor: Option<Link>,
}

/// Takes what was handed in. To be called before there is a second thread, since it changes the environment.
pub(super) fn take() -> Result<Inherited, Failure> {
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut names = names.split(':');
    let mut inherited = Inherited::default();
    let mut handed_in = ListenFd::from_env();
    for place in 0..handed_in.len() {
        let name = names.next().unwrap_or_default();
        if name == LINK_NAME {
            inherited.predecessor = Some(link(&mut handed_in, place)?);
        } else if let Ok(Some(socket)) = handed_in.take_tcp_listener(place) {
            inherited.sockets.push(Socket::Tcp(socket));
        } else if let Ok(Some(socket)) = handed_in.take_udp_socket(place) {
            inherited.sockets.push(Socket::Udp(socket));
        } else if let Ok(Some(socket)) = handed_in.take_unix_listener(place) {
            inherited.sockets.push(Socket::Unix(socket));
        } else {
            return Err(Failure::usage(format!(
                "file descriptor {} that was handed in ({}) is no TCP, UDP or Unix socket for streams; a .socket \
                 unit for Trefoil has ListenStream= with an address and a port or a path, and ListenDatagram= with an \
                 address and a port, and nothing else",
                FIRST + place,
                if name.is_empty() { "without a name" } else { name },
            )));
        }
    }
    Ok(inherited)
}

/// The crate has no word for a connected socket, but a descriptor is a descriptor.
fn link(handed_in: &mut ListenFd, place: usize) -> Result<Link, Failure> {
    let no_link = |why: String| Failure::failed(format!("cannot talk to the process before: {why}"));
    let socket = handed_in.take_unix_listener(place).map_err(|error| no_link(error.to_string()))?;
    let socket = socket.ok_or_else(|| no_link("nothing was handed in".into()))?;
    Ok(Link::new(UnixStream::from(OwnedFd::from(socket))))
}
