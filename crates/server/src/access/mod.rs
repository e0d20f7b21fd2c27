//! Who may connect: the users, who has failed too often to be one, and who is banned.
//!
//! A shard asks with `shard/access.rs`, what runs beside the shards with `beside/access.rs`. Passwords are looked at by
//! `beside/passwords.rs`, on threads of their own.

pub(crate) mod bans;
mod basic;
mod failures;
pub(crate) mod kept;
#[cfg(test)]
mod tests;

pub(crate) use bans::{Bans, Network, Target};
pub(crate) use basic::{CHALLENGE, Credentials};
pub(crate) use failures::{Failures, Origin, network};
pub(crate) use kept::Purge;

use crate::context::Context;
use bans::Ban;
use kept::Kind;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use trefoil_auth::{Record, Secret, Users, check_name};
use trefoil_hub::Time;

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
    /// How many may be added.
    users_max: usize,
}

/// What a change of the users is to come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// One that is not there is added.
    Add,
    /// One gets another password, or is added.
    Set,
    /// One is deleted.
    Delete,
}

/// Why the users are not changed.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Unchanged {
    /// The name cannot be one.
    Name(String),
    /// The file has this user, and what the file says goes before.
    InFile,
    /// There is one already.
    Known,
    /// There is none.
    Unknown,
    /// As many have been added as may be.
    Full { users_max: usize },
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
        let (users, users_max) = (RwLock::new(Arc::new(users)), config.users_max);
        Ok(Some(Access { path, users, secret, users_max }))
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
        let file = read(&self.path, self.secret.clone())?;
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let new = file.with_added_of(&users);
        let count = new.len();
        *users = Arc::new(new);
        Ok(count)
    }

    /// Adds those that were kept.
    pub(crate) fn add_kept<'a>(&self, kept: impl Iterator<Item = (&'a str, &'a [u8])>) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Users::clone(&users);
        for (name, value) in kept {
            let record = std::str::from_utf8(value).ok().and_then(|text| Record::parse(text).ok());
            let set =
                record.ok_or("its record cannot be read".to_owned()).and_then(|r| new.set(name, Some(r)));
            if let Err(why) = set {
                tracing::warn!("a user of the store is passed over: {name:?}: {why}");
            }
        }
        if new.added().len() > 0 {
            tracing::info!("the store has {} users beside those of the file", new.added().len());
        }
        *users = Arc::new(new);
    }

    /// Changes the users beside the file, and hands over what is to be kept of that: the name, and the record or nothing.
    /// Returns the name in its prepared form, and whether it was a user before.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub(crate) fn change(
        &self,
        name: &str,
        change: Change,
        record: Option<Record>,
        keep: impl FnOnce(&str, Vec<u8>),
    ) -> Result<(Arc<str>, bool), Unchanged> {
        let name = check_name(name).map_err(Unchanged::Name)?;
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let is_known = users.is_added(&name);
        // One that the file hides can be cleared away.
        if users.is_in_file(&name) && !(is_known && change == Change::Delete) {
            return Err(Unchanged::InFile);
        }
        match change {
            Change::Add if is_known => return Err(Unchanged::Known),
            Change::Delete if !is_known => return Err(Unchanged::Unknown),
            Change::Add | Change::Set if !is_known && users.added().len() >= self.users_max => {
                return Err(Unchanged::Full { users_max: self.users_max });
            }
            _ => {}
        }
        let value = record.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut new = Users::clone(&users);
        new.set(&name, record).map_err(Unchanged::Name)?;
        keep(&name, value.into());
        *users = Arc::new(new);
        Ok((name.into(), is_known))
    }
}

/// What somebody has come to who has proved to be `user`, or nobody. A failure is written down, and one too many may be the
/// reason for a ban.
pub(crate) fn judge(
    context: &Context,
    from: impl Into<Origin>,
    now: Time,
    user: Option<Arc<str>>,
) -> Verdict {
    let from = from.into();
    let verdict = context.failures.judge(from, now, user);
    let may_ban = context.bans.failures_ban_s() > 0 && !from.is_forgeable;
    if verdict == Verdict::Wrong
        && let Some(address) = from.address.filter(|_| may_ban)
        && context.failures.is_barred(from, now)
    {
        ban_who_failed(context, address);
    }
    verdict
}

/// Never this machine itself: whoever is here can do worse, and must be able to mend it. Who is connected stays, as when its
/// address is not listened to: neighbours behind a NAT shall not be cut off by a stranger's guesses, and strangers not have
/// the shards look through all connections.
fn ban_who_failed(context: &Context, address: IpAddr) {
    if address.to_canonical().is_loopback() {
        return;
    }
    let bits = if address.to_canonical().is_ipv4() { 32 } else { 64 };
    let (target, set_at_ms) = (Target::Address(Network::of(address, bits)), crate::keeper::clock_ms());
    let ban = Ban {
        target,
        reason: Some("too many attempts to prove an identity have failed".into()),
        by: None,
        set_at_ms,
        until_ms: Some(set_at_ms + u64::from(context.bans.failures_ban_s()) * 1000),
        is_automatic: true,
        refused: Default::default(),
    };
    let keep = |key: String, value| kept::keep(context, Kind::Ban, &key, value, None);
    if context.bans.set(ban, &keep).is_err() {
        tracing::warn!("{address} is not banned for its failures: there are as many bans as there may be");
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
