//! Each connection needs a descriptor, and systems start programs with a limit that is far below what they allow: for the
//! sake of old ones, which cannot wait for descriptors above 1,023. This one can.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open descriptors to what the system allows this process.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!("may open {maximum:?} descriptors"),
        Err(error) => {
            tracing::warn!("{current:?} descriptors have to be enough: the limit cannot be raised: {error}")
        }
    }
}

/// How many descriptors this process may open.
pub(crate) fn limit() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
