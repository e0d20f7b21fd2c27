//! Who may not connect, although he could: by client id, by user, by address.
//!
//! A shard asks when somebody comes, and never for a message; what has come before a ban is ended by a
//! [`Purge`](super::Purge). While there are no bans, asking is one look at a number.

mod rules;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use target::{KINDS, Target};
pub(crate) use trefoil_config::Network;

use crate::keeper::clock_ms;
use rules::Rules;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use trefoil_auth::check_name;

/// What is said of a ban is no longer, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1024;

/// How long the log is spared saying that somebody who is banned has come.
const QUIET_MS: u64 = 10_000;

/// One ban.
#[derive(Debug)]
pub(crate) struct Ban {
    pub(crate) target: Target,
    pub(crate) reason: Option<String>,
    /// The user who set it; none if the hub did by itself, or asks nobody who they are.
    pub(crate) by: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) set_at_ms: u64,
    /// Until when it holds, in milliseconds since 1970; none for ever.
    pub(crate) until_ms: Option<u64>,
    /// The hub has set it by itself.
    pub(crate) is_automatic: bool,
    /// How often it has met somebody since the start.
    pub(crate) refused: AtomicU64,
}

/// A ban as it is kept, its target being the key.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    by: Option<String>,
    set_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    until_ms: Option<u64>,
    #[serde(default)]
    automatic: bool,
}

impl Ban {
    /// Whether it is not over.
    pub(crate) fn holds(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until| now_ms < until)
    }

    fn key(&self) -> String {
        key(&self.target)
    }

    fn value(&self) -> Vec<u8> {
        let kept = Kept {
            reason: self.reason.clone(),
            by: self.by.clone(),
            set_at_ms: self.set_at_ms,
            until_ms: self.until_ms,
            automatic: self.is_automatic,
        };
        serde_json::to_vec(&kept).expect("texts and numbers are JSON")
    }

    fn read(key: &str, value: &[u8]) -> Result<Ban, String> {
        let (kind, text) = key.split_once(':').ok_or("its key has no kind")?;
        let target = Target::read(kind, text)?;
        let kept: Kept = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        let Kept { reason, by, set_at_ms, until_ms, automatic: is_automatic } = kept;
        Ok(Ban { target, reason, by, set_at_ms, until_ms, is_automatic, refused: AtomicU64::new(0) })
    }
}

/// For the log.
impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.target.kind(), self.target.to_string())?;
        match self.until_ms {
            Some(until) => write!(f, " for {} s", until.saturating_sub(self.set_at_ms).div_ceil(1000))?,
            None => f.write_str(" until it is taken back")?,
        }
        if let Some(by) = &self.by {
            write!(f, ", by {by:?}")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason:?}"))
    }
}

fn key(target: &Target) -> String {
    format!("{}:{target}", target.kind())
}

/// What has to be written down of a change: keys with their values, an empty one for what is not there any more.
pub(crate) type Keep<'a> = &'a dyn Fn(String, Vec<u8>);

/// There are as many bans as there may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) bans_max: usize,
}

/// All bans.
#[derive(Debug)]
pub(crate) struct Bans {
    is_applied: bool,
    bans_max: usize,
    failures_ban_s: u32,
    rules: RwLock<Rules>,
    /// How many there are of each kind, so that nobody takes the lock for nothing.
    client_ids: AtomicUsize,
    users: AtomicUsize,
    addresses: AtomicUsize,
    /// How often somebody was refused for one.
    refused: AtomicU64,
    /// How many connections were ended for one.
    disconnected: AtomicU64,
    /// Until when refusals are not worth a line of the log.
    quiet_until_ms: AtomicU64,
}

impl Bans {
    /// With those that were kept.
    pub(crate) fn new<'a>(
        config: &trefoil_config::Bans,
        kept: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Bans {
        let bans = Bans {
            is_applied: config.apply,
            bans_max: config.bans_max,
            failures_ban_s: config.failures_ban_s,
            rules: RwLock::default(),
            client_ids: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
            addresses: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            disconnected: AtomicU64::new(0),
            quiet_until_ms: AtomicU64::new(0),
        };
        let mut rules = bans.write();
        for (key, value) in kept {
            match Ban::read(key, value) {
                Ok(ban) => drop(rules.set(Arc::new(ban))),
                Err(why) => tracing::warn!("a ban of the store is passed over: {key:?}: {why}"),
            }
        }
        bans.count(&rules);
        drop(rules);
        let len = bans.len();
        if len > 0 && !config.apply {
            tracing::warn!("the store has {len} bans, and nobody is held to them (bans.apply)");
        } else if len > 0 {
            tracing::info!("the store has {len} bans");
        }
        bans
    }

    /// Whether anybody is held to them.
    pub(crate) fn is_applied(&self) -> bool {
        self.is_applied
    }

    /// How many there are, those included that are over and have not been cleared away.
    pub(crate) fn len(&self) -> usize {
        let kinds = [&self.client_ids, &self.users, &self.addresses];
        kinds.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How often somebody was refused, and how many connections were ended.
    pub(crate) fn figures(&self) -> (u64, u64) {
        (self.refused.load(Ordering::Relaxed), self.disconnected.load(Ordering::Relaxed))
    }

    /// Connections have been ended for a ban.
    pub(crate) fn count_disconnected(&self, count: u64) {
        self.disconnected.fetch_add(count, Ordering::Relaxed);
    }

    /// For how long addresses are banned that have failed too often; 0: they are not.
    pub(crate) fn failures_ban_s(&self) -> u32 {
        self.failures_ban_s
    }

    /// Whether a client that gives itself this id is refused. That is counted, as it is for the others.
    pub(crate) fn refuses_client_id(&self, client_id: &str) -> bool {
        self.refuses(&self.client_ids, |rules, now_ms| rules.client_id(client_id, now_ms))
    }

    /// Whether somebody is refused who is this user, or says so where nobody is asked for a proof.
    pub(crate) fn refuses_user(&self, name: &str) -> bool {
        self.refuses(&self.users, |rules, now_ms| rules.user(&check_name(name).ok()?, now_ms))
    }

    /// Whether somebody from this address is refused.
    pub(crate) fn refuses_address(&self, address: IpAddr) -> bool {
        self.refuses(&self.addresses, |rules, now_ms| rules.address(address.to_canonical(), now_ms))
    }

    fn refuses(&self, count: &AtomicUsize, find: impl FnOnce(&Rules, u64) -> Option<&Arc<Ban>>) -> bool {
        if !self.is_applied || count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let now_ms = clock_ms();
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let Some(ban) = find(&rules, now_ms) else { return false };
        ban.refused.fetch_add(1, Ordering::Relaxed);
        self.refused.fetch_add(1, Ordering::Relaxed);
        let quiet_until = self.quiet_until_ms.load(Ordering::Relaxed);
        if quiet_until <= now_ms {
            self.quiet_until_ms.store(now_ms + QUIET_MS, Ordering::Relaxed);
            let refused = ban.refused.load(Ordering::Relaxed);
            tracing::info!("refused, {refused} so far: {ban}; more of this is not logged for a while");
        }
        true
    }

    /// Sets a ban, in place of one for the same. Returns whether there was one.
    ///
    /// # Errors
    /// When there are too many. The hub's own ones make room: the oldest of them goes for a newer one.
    pub(crate) fn set(&self, ban: Ban, keep: Keep<'_>) -> Result<bool, Full> {
        let mut rules = self.write();
        clear(&mut rules, keep);
        let is_known = rules.get(&ban.target).is_some();
        if !is_known {
            self.make_room(&mut rules, ban.is_automatic, keep)?;
        }
        tracing::info!("banned: {ban}");
        keep(ban.key(), ban.value());
        rules.set(Arc::new(ban));
        self.count(&rules);
        Ok(is_known)
    }

    fn make_room(&self, rules: &mut Rules, is_automatic: bool, keep: Keep<'_>) -> Result<(), Full> {
        let of_hub = || rules.all().filter(|ban| ban.is_automatic);
        let is_full = match is_automatic {
            true => of_hub().count() >= self.bans_max / 2 || rules.all().count() >= self.bans_max,
            false => rules.all().count() >= self.bans_max,
        };
        if is_full {
            let oldest = of_hub().min_by_key(|ban| ban.set_at_ms).cloned();
            let oldest = oldest.ok_or(Full { bans_max: self.bans_max })?;
            rules.remove(&oldest.target);
            keep(oldest.key(), Vec::new());
        }
        Ok(())
    }

    /// Takes a ban back. Returns whether there was one that held.
    pub(crate) fn remove(&self, target: &Target, keep: Keep<'_>) -> bool {
        let mut rules = self.write();
        clear(&mut rules, keep);
        let removed = rules.remove(target);
        if let Some(ban) = &removed {
            tracing::info!("a ban is taken back: {ban}");
            keep(ban.key(), Vec::new());
        }
        self.count(&rules);
        removed.is_some()
    }

    /// All that hold, the newest first.
    pub(crate) fn list(&self, keep: Keep<'_>) -> Vec<Arc<Ban>> {
        let mut rules = self.write();
        clear(&mut rules, keep);
        self.count(&rules);
        let mut all: Vec<_> = rules.all().cloned().collect();
        drop(rules);
        all.sort_by_cached_key(|ban| (std::cmp::Reverse(ban.set_at_ms), ban.key()));
        all
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rules> {
        self.rules.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, rules: &Rules) {
        let of = |kind: &str| rules.all().filter(|ban| ban.target.kind() == kind).count();
        let counts = [&self.client_ids, &self.users, &self.addresses];
        for (count, kind) in counts.into_iter().zip(KINDS) {
            count.store(of(kind), Ordering::Relaxed);
        }
    }
}

/// Clears away what is over.
fn clear(rules: &mut Rules, keep: Keep<'_>) {
    let now_ms = clock_ms();
    let over: Vec<_> = rules.all().filter(|ban| !ban.holds(now_ms)).cloned().collect();
    for ban in over {
        rules.remove(&ban.target);
        keep(ban.key(), Vec::new());
    }
}
