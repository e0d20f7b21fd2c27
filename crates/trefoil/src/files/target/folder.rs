//! A folder by its handle: everything in it is named by one name, and no link is followed.

use rustix::fs::{
    self, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, Timespec, Timestamps,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use trefoil_transfer::name;

/// What is under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    File,
    Folder,
    /// A link, a device or the like.
    Other,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a file is opened: itself and not what a link says, and without waiting for anybody should it be a pipe.
const OPEN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl Folder {
    /// The folder at a path that the person at this machine chose, which may well lead through links.
    pub(super) fn at(path: &Path) -> io::Result<Folder> {
        Ok(Folder(fs::open(path, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty())?))
    }

    pub(super) fn try_clone(&self) -> io::Result<Folder> {
        self.0.try_clone().map(Folder)
    }

    pub(super) fn child(&self, name: &[u8]) -> io::Result<Folder> {
        Ok(Folder(fs::openat(&self.0, os(name), FOLDER, Mode::empty())?))
    }

    /// The folder at a path below this one; itself for none.
    pub(super) fn below(&self, path: Option<&[u8]>) -> io::Result<Folder> {
        let Some(path) = path else { return self.try_clone() };
        let mut names = name::names(path);
        let first = self.child(names.next().unwrap_or_default())?;
        names.try_fold(first, |folder, name| folder.child(name))
    }

    /// Makes a folder; gives whether it had not been there.
    pub(super) fn make(&self, name: &[u8], mode: u16) -> io::Result<bool> {
        match fs::mkdirat(&self.0, os(name), Mode::from_raw_mode((mode | 0o700).into())) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn find(&self, name: &[u8]) -> io::Result<Found> {
        match fs::statat(&self.0, os(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Found::File,
                FileType::Directory => Found::Folder,
                _ => Found::Other,
            }),
            Err(rustix::io::Errno::NOENT) => Ok(Found::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// A file to write into, made if it is not there. What is there must be a file with this one name only: another name
    /// of it could be anywhere.
    pub(super) fn file(&self, name: &[u8], mode: u16) -> io::Result<File> {
        let flags = OPEN.union(OFlags::RDWR).union(OFlags::CREATE);
        let mode = Mode::from_raw_mode((mode | 0o600).into());
        let open = || -> io::Result<(File, bool)> {
            let file = File::from(fs::openat(&self.0, os(name), flags, mode)?);
            let stat = fs::fstat(&file)?;
            let is_ours =
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
            Ok((file, is_ours))
        };
        if let Ok((file, true)) = open() {
            return Ok(file);
        }
        self.remove(name)?;
        match open()? {
            (file, true) => Ok(file),
            _ => Err(io::Error::other("something else is put in its place again and again")),
        }
    }

    /// A file to go on with: one that [`file`](Self::file) would open, and not replace. `None` if there is none.
    pub(super) fn own(&self, name: &[u8]) -> io::Result<Option<File>> {
        let Some(file) = self.existing(name).ok().flatten() else { return Ok(None) };
        let stat = fs::fstat(&file)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        // A run before this one may have come as far as to give it the permissions of its own.
        let is_closed = !mode.contains(Mode::RUSR | Mode::WUSR);
        if stat.st_nlink != 1 || is_closed && fs::fchmod(&file, mode | Mode::RUSR | Mode::WUSR).is_err() {
            return Ok(None);
        }
        let can_write = fs::openat(&self.0, os(name), OPEN.union(OFlags::RDWR), Mode::empty()).is_ok();
        Ok(can_write.then_some(file))
    }

    /// A file to read; `None` if there is none.
    pub(super) fn existing(&self, name: &[u8]) -> io::Result<Option<File>> {
        if self.find(name)? != Found::File {
            return Ok(None);
        }
        let flags = OPEN.union(OFlags::RDONLY);
        Ok(Some(File::from(fs::openat(&self.0, os(name), flags, Mode::empty())?)))
    }

    /// Makes a link in place of whatever is there.
    pub(super) fn link(&self, name: &[u8], target: &[u8], modified: (i64, u32)) -> io::Result<()> {
        self.remove(name)?;
        fs::symlinkat(os(target), &self.0, os(name))?;
        // There are file systems on which links have no time of their own.
        let _ = fs::utimensat(&self.0, os(name), &times(modified), AtFlags::SYMLINK_NOFOLLOW);
        Ok(())
    }

    /// Lets things be put into a folder that a run before this one has given its permissions already. What cannot be done
    /// then says so itself.
    pub(super) fn open_up(&self) {
        if let Ok(stat) = fs::fstat(&self.0) {
            let mode = Mode::from_raw_mode(stat.st_mode);
            let _ = if mode.contains(Mode::RWXU) { Ok(()) } else { fs::fchmod(&self.0, mode | Mode::RWXU) };
        }
    }

    /// Gives this folder its permissions and its time.
    pub(super) fn dress(&self, mode: u16, modified: (i64, u32)) -> io::Result<()> {
        fs::fchmod(&self.0, Mode::from_raw_mode(mode.into()))?;
        fs::futimens(&self.0, &times(modified))?;
        Ok(())
    }

    /// Moves something to another folder; if something has that name there already it is an error, or replaced.
    pub(super) fn move_to(&self, name: &[u8], to: &Folder, as_name: &[u8], replace: bool) -> io::Result<()> {
        if replace {
            return Ok(fs::renameat(&self.0, os(name), &to.0, os(as_name))?);
        }
        match fs::renameat_with(&self.0, os(name), &to.0, os(as_name), RenameFlags::NOREPLACE) {
            // Not every file system and kernel can do both in one step.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match to.find(as_name)? {
                Found::Nothing => Ok(fs::renameat(&self.0, os(name), &to.0, os(as_name))?),
                _ => Err(io::ErrorKind::AlreadyExists.into()),
            },
            other => Ok(other?),
        }
    }

    /// Removes whatever has this name, with all that is in it.
    pub(super) fn remove(&self, name: &[u8]) -> io::Result<()> {
        match self.find(name)? {
            Found::Nothing => return Ok(()),
            Found::File | Found::Other => return Ok(fs::unlinkat(&self.0, os(name), AtFlags::empty())?),
            Found::Folder => {}
        }
        let folder = self.child(name)?;
        folder.open_up();
        for child in folder.names()? {
            folder.remove(&child)?;
        }
        Ok(fs::unlinkat(&self.0, os(name), AtFlags::REMOVEDIR)?)
    }

    /// Removes a folder if nothing is in it; gives whether it is gone.
    pub(super) fn remove_empty(&self, name: &[u8]) -> bool {
        fs::unlinkat(&self.0, os(name), AtFlags::REMOVEDIR).is_ok()
    }

    /// What is in it.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// Waits until the names in it are on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        match File::from(self.0.try_clone()?).sync_all() {
            // Not every file system can do that for a folder.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }

    /// Waits until everything that was written to its file system is on disk. It is one wait for any number of files;
    /// one for each would take longer than to receive them where they are small.
    pub(super) fn sync_file_system(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        fs::syncfs(&self.0)?;
        #[cfg(not(target_os = "linux"))]
        fs::sync();
        Ok(())
    }

    /// How many bytes more can be written here.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(&self.0)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes what no two receivers may have at a time; `false` if another one has it.
pub(super) fn lock(what: &impl AsFd) -> io::Result<bool> {
    match fs::flock(what, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives a file its permissions and its time.
pub(super) fn dress(file: &File, mode: u16, modified: (i64, u32)) -> io::Result<()> {
    fs::fchmod(file, Mode::from_raw_mode(mode.into()))?;
    fs::futimens(file, &times(modified))?;
    Ok(())
}

fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn os(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}
