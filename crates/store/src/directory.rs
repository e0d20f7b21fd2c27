//! The file system, as narrow as the log needs it, so that a test can stand in for it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A folder that holds segments.
pub trait Directory {
    /// A file in it.
    type File: SegmentFile;

    /// The names of all files in it, in any order.
    ///
    /// # Errors
    ///
    /// As the file system has them; so for all the others here.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file that must not be there yet.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that is there, for reading and for writing at its end.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes durable which files there are.
    fn sync(&self) -> io::Result<()>;

    /// How errors name a file in it.
    fn shown(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// A file of records.
pub trait SegmentFile {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads from `offset` on; fewer bytes than asked for, or none at its end, are no error.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes at `offset`, which is not behind its end, and says how many bytes it took, which may be fewer.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Allocates room on the disk for `bytes` from `from` on without making the file longer, so that writing there
    /// cannot find the disk full. Where the file system has no such thing it does nothing, and that is no error.
    fn reserve(&mut self, from: u64, bytes: u64) -> io::Result<()> {
        let _ = (from, bytes);
        Ok(())
    }

    /// Cuts it off, and gives back what was reserved behind.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;

    /// Makes durable what was written and how long it is.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the real file system, locked against a second process for as long as it is open.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// Closing it releases the lock.
    _lock: Option<File>,
    read_only: bool,
}

impl Disk {
    /// Opens a folder, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be made or opened, or another process has it ([`Error::InUse`]).
    pub fn open(path: &Path) -> Result<Disk, Error> {
        let lock_path = path.join("lock");
        let io = |source| Error::Io { doing: "open", file: lock_path.display().to_string(), source };
        if path.exists() && !path.is_dir() {
            return Err(Error::NoFolder { path: path.display().to_string() });
        }
        make_folder(path).map_err(io)?;
        let lock = private().write(true).create(true).truncate(false).open(&lock_path).map_err(io)?;
        Disk::lock(&lock, path)?;
        give_to_owner(&lock, path);
        Ok(Disk { path: path.to_owned(), _lock: Some(lock), read_only: false })
    }

    /// Opens a folder that is there to look at it only: it may be mounted read-only.
    pub(crate) fn look(path: &Path) -> Result<Disk, Error> {
        let io = |source| Error::Io { doing: "open", file: path.display().to_string(), source };
        if path.exists() && !path.is_dir() {
            return Err(Error::NoFolder { path: path.display().to_string() });
        }
        std::fs::read_dir(path).map_err(io)?;
        let lock = match File::open(path.join("lock")) {
            Ok(lock) => Some(lock),
            // Nobody has opened it as a log yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(error)),
        };
        if let Some(lock) = &lock {
            Disk::lock(lock, path)?;
        }
        Ok(Disk { path: path.to_owned(), _lock: lock, read_only: true })
    }

    fn lock(lock: &File, path: &Path) -> Result<(), Error> {
        match lock.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { directory: path.display().to_string() }),
            Err(TryLockError::Error(source)) => {
                Err(Error::Io { doing: "lock", file: path.join("lock").display().to_string(), source })
            }
        }
    }
}

/// Whether there is a log in a folder, whatever it is like. Nothing is opened for that.
pub fn is_there(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|name| crate::record::parse_segment_name(&name).is_some())
}

impl Directory for Disk {
    type File = DiskFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not Unicode is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<DiskFile> {
        let path = self.path.join(name);
        private().read(true).write(true).create_new(true).open(path).map(DiskFile)
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        OpenOptions::new().read(true).write(!self.read_only).open(self.path.join(name)).map(DiskFile)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    #[cfg(unix)]
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Only Unix has folders that can be synced; elsewhere the file system sees to it.
    #[cfg(not(unix))]
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn shown(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

/// How files are made: nobody but the user that the process runs as may read them, since messages are in them.
#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    OpenOptions::new()
}

/// Makes a folder that only its owner may enter, and those above it as usual. One that is there stays as it is.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut folder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    match folder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Leaves the lock to whoever owns the folder when somebody else, such as root for a repair, has made it. Only root can
/// do that; for anybody else the folder's owner is either himself or has allowed it by other means.
#[cfg(unix)]
fn give_to_owner(lock: &File, path: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    if let (Ok(lock_is), Ok(folder)) = (lock.metadata(), path.metadata())
        && lock_is.uid() != folder.uid()
    {
        let _ = std::os::unix::fs::fchown(lock, Some(folder.uid()), Some(folder.gid()));
    }
}

#[cfg(not(unix))]
fn give_to_owner(_: &File, _: &Path) {}

/// The first of the folder and the files in it that the user of this process cannot write to, with the reason, which
/// keeps a hub of the same user from starting. Only Linux is asked.
pub(crate) fn refuses_writing(path: &Path, names: &[String]) -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Access, access};
        let paths = std::iter::once(path.to_owned()).chain(names.iter().map(|name| path.join(name)));
        for path in paths {
            if let Err(error) = access(&path, Access::WRITE_OK | Access::READ_OK) {
                return Some(format!("{}: {}", path.display(), io::Error::from(error)));
            }
        }
    }
    let _ = (path, names);
    None
}

/// A file of the real file system.
#[derive(Debug)]
pub struct DiskFile(File);

impl SegmentFile for DiskFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buf, offset)
    }

    #[cfg(not(unix))]
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        use std::io::{Read as _, Seek as _};
        self.0.seek(io::SeekFrom::Start(offset))?;
        self.0.read(buf)
    }

    #[cfg(unix)]
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset)
    }

    #[cfg(not(unix))]
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        use std::io::{Seek as _, Write as _};
        self.0.seek(io::SeekFrom::Start(offset))?;
        self.0.write(bytes)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&mut self, from: u64, bytes: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        use rustix::process::{Resource, getrlimit};
        // The system looks at this limit only when the file becomes longer, which is too late.
        if getrlimit(Resource::Fsize).current.is_some_and(|limit| from.saturating_add(bytes) > limit) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        loop {
            match fallocate(&self.0, FallocateFlags::KEEP_SIZE, from, bytes) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                result => return result.map_err(io::Error::from),
            }
        }
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
