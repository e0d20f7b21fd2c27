//! What is kept of bans and users, and how connections end that they are about.

use super::Target;
use crate::context::Context;
use crate::mail::Mail;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is kept for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A ban.
    Ban = 1,
    /// A user.
    User = 2,
    /// The key of tokens for rooms, so that they outlast the process.
    RoomKey = 3,
}

/// Has the first shard keep a value, in the order in which this is called; an empty one says that there is none any more.
/// The reply comes once it is on disk, and not at all if it cannot be written.
pub(crate) fn keep(
    context: &Context,
    kind: Kind,
    key: &str,
    value: Vec<u8>,
    reply: Option<oneshot::Sender<()>>,
) {
    let (key, value) = (key.into(), value.into());
    context.mailboxes[0].post(Mail::Keep { kind, key, value, reply });
}

/// Which connections are to end, and what their clients are told.
#[derive(Debug)]
pub(crate) struct Purge {
    pub(crate) whom: Target,
    /// For a ban, and not for another reason.
    pub(crate) is_ban: bool,
    pub(crate) why: &'static str,
}

impl Purge {
    /// For a ban.
    pub(crate) fn banned(whom: Target) -> Purge {
        let why = match whom {
            Target::ClientId(_) => CLIENT_ID_IS_BANNED,
            Target::User(_) => USER_IS_BANNED,
            Target::Address(_) => ADDRESS_IS_BANNED,
        };
        Purge { whom, is_ban: true, why }
    }

    /// Has all shards end these connections. Each answers with how many there were.
    pub(crate) fn begin(self, context: &Context) -> Vec<oneshot::Receiver<usize>> {
        let purge = Arc::new(self);
        let begin = |mailbox: &crate::mail::Mailbox| {
            let (reply, answer) = oneshot::channel();
            mailbox.post(Mail::Purge { purge: purge.clone(), reply });
            answer
        };
        context.mailboxes.iter().map(begin).collect()
    }
}

/// What those are told who are refused for a ban.
pub(crate) const CLIENT_ID_IS_BANNED: &str = "this client id is banned";
pub(crate) const USER_IS_BANNED: &str = "this user is banned";
pub(crate) const ADDRESS_IS_BANNED: &str = "this address is banned";
