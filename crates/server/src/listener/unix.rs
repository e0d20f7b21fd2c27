//! Unix sockets: files that somebody may have left behind.

use socket2::{Domain, SockAddr, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Opens a socket at a path, where the one of a process that has ended without removing it gives way. Nobody can connect
/// to it before its file has the permissions in `mode`, and it is made to listen.
///
/// # Errors
/// When somebody listens there, when the path is another file's, or when the folder is not there or not writable.
pub(super) fn open(path: &Path, mode: u32) -> io::Result<UnixListener> {
    make_way(path)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(socket.into())
}

/// Removes a socket on which nobody listens.
fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            let why = "there is a file at this path that is no socket; remove it, or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let caller = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Where the queue of who listens is full it would wait for its turn, and with it whoever starts the hub.
    caller.set_nonblocking(true)?;
    match caller.connect(&SockAddr::unix(path)?) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // That is the queue of whoever listens, which is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

/// The file of an open socket.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device, number and birth of the file: another process may have put its own in its place, and numbers come again.
    identity: Identity,
}

impl SocketFile {
    /// The file at the path of a socket that is open in this process.
    pub(crate) fn at(path: &Path) -> Option<SocketFile> {
        Some(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }

    /// Removes it, for nobody listens on it any more.
    pub(crate) fn remove(&self) {
        if identity(&self.path) == Some(self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("{}: this socket cannot be removed: {error}", self.path.display());
        }
    }
}

type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> Option<Identity> {
    let there = fs::symlink_metadata(path).ok()?;
    Some((there.dev(), there.ino(), there.mtime(), there.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_whose_owner_accepts_nobody_is_taken_as_any_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.sock");
        let socket = open(&path, 0o600).expect("nobody has it");
        socket2::SockRef::from(&socket).listen(0).expect("it is bound");
        let callers: Vec<_> = std::iter::repeat_with(|| {
            let caller = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            caller.set_nonblocking(true).expect("it is one");
            caller.connect(&SockAddr::unix(&path).expect("a path")).map(|()| caller)
        })
        .map_while(Result::ok)
        .collect();
        assert!(!callers.is_empty(), "at least one fits into the queue");
        assert_eq!(open(&path, 0o600).expect_err("it is taken").kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[test]
    fn a_socket_that_is_left_behind_gives_way_and_nothing_else_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.sock");
        let socket = open(&path, 0o600).expect("nobody has it");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        socket2::SockRef::from(&socket).listen(1).expect("it is bound");
        assert_eq!(open(&path, 0o600).expect_err("it is taken").kind(), io::ErrorKind::AddrInUse);
        let first = SocketFile::at(&path).expect("it is there");
        let beside = folder.path().join("other.sock");
        let second = open(&beside, 0o660).expect("nobody has it");
        fs::rename(&beside, &path).expect("it is a file");
        first.remove();
        assert!(path.exists(), "it is another one's now");
        SocketFile::at(&path).expect("it is there").remove();
        assert!(!path.exists());
        let third = open(&path, 0o660).expect("nobody has it");
        drop((socket, second, third));
        open(&path, 0o660).expect("nobody listens any more");
        fs::remove_file(&path).expect("it is there");
        fs::write(&path, "mine").expect("a file");
        assert_eq!(open(&path, 0o600).expect_err("it is a file").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("it is still there"), b"mine");
    }
}
