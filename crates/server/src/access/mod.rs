//! Who may connect: the users, and who has failed too often to be one.
//!
//! A shard asks with `shard/access.rs`, what runs beside the shards with `beside/access.rs`. Passwords are looked at by
//! `beside/passwords.rs`, on threads of their own.

mod basic;
mod failures;

pub(crate) use basic::{CHALLENGE, Credentials};
pub(crate) use failures::{Failures, network};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use trefoil_auth::{Secret, Users};

/// A file of users is no larger: a million of them fit.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What is found out about somebody who says who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is this user.
    Right(Arc<str>),
    /// It is nobody.
    Wrong,
    /// Its address has failed too often by now: what it said is not looked at.
    Barred,
}

/// The users, and who failed.
#[derive(Debug)]
pub(crate) struct Access {
    path: PathBuf,
    users: RwLock<Arc<Users>>,
    secret: Secret,
    pub(crate) failures: Failures,
}

impl Access {
    /// Reads the file that the configuration names, if it names one.
    ///
    /// # Errors
    /// Why that cannot be, with the file's name and the line.
    pub(crate) fn open(config: &trefoil_config::Auth) -> Result<Option<Access>, String> {
        let Some(path) = config.users.clone() else { return Ok(None) };
        // New at each start: what is made up for unknown users changes then, which tells them from known ones to
        // nobody who has not asked before and after.
        let secret =
            Secret::new(random().map_err(|error| format!("the system gives no randomness: {error}"))?);
        let users = read(&path, secret.clone())?;
        let failures = Failures::new(config.failures_max, config.failures_window_s);
        Ok(Some(Access { path, users: RwLock::new(Arc::new(users)), secret, failures }))
    }

    /// The users as of now.
    pub(crate) fn users(&self) -> Arc<Users> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again. Returns how many users there are.
    ///
    /// # Errors
    /// Why that cannot be; those of before stay.
    pub(crate) fn reload(&self) -> Result<usize, String> {
        let users = read(&self.path, self.secret.clone())?;
        let count = users.len();
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
        Ok(count)
    }
}

/// Reads a file of users.
///
/// # Errors
/// Why that cannot be: each line that is wrong with the file's name and its number.
pub(crate) fn read(path: &Path, secret: Secret) -> Result<Users, String> {
    let shown = path.display();
    let size = fs::metadata(path).map_err(|error| cannot_read(path, &error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{shown}: it is larger than 256 MiB, which no file of users is"));
    }
    let text = fs::read_to_string(path).map_err(|error| cannot_read(path, &error))?;
    warn_of_readers(path);
    Users::parse(&text, secret).map_err(|error| {
        let lines: Vec<String> =
            error.problems().map(|(line, why)| format!("{shown}:{line}: {why}")).collect();
        lines.join("\n")
    })
}

fn cannot_read(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{path}: there is no such file of users; `trefoil passwd {path} NAME` begins one")
        }
        io::ErrorKind::InvalidData => format!("{path}: it is not text in UTF-8"),
        _ => format!("{path}: cannot read it: {error}"),
    }
}

/// Whoever can read the file can try passwords out at leisure.
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let is_open = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    if is_open {
        tracing::warn!("{}: other users of this machine can read it; chmod 600 is better", path.display());
    }
}

/// Good randomness.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    Ok(bytes)
}
