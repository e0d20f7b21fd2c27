//! What administrators change while the hub runs: [bans] and [users]. Both are kept as all else is.

pub(super) mod bans;
mod fields;
#[cfg(test)]
mod tests;
pub(super) mod users;

use super::access::Asker;
use super::publish::REPLY_MAX;
use super::refusal::Refusal;
use super::routes::Site;
use crate::access::kept::{self, Kind, Purge};
use crate::context::Context;
use axum::http::StatusCode;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_json::Code;

/// How long a change waits for a disk that is known to take nothing now.
const NOT_KEPT_MAX: Duration = Duration::from_secs(2);

/// How many bans or users are listed unless it is said.
const LIMIT: usize = 1000;

/// How many may be listed at a time.
const LIMIT_MAX: usize = 100_000;

/// Where nobody is asked who they are, all may do all. Where somebody is, those who may stay unnamed elsewhere may not
/// say who comes in, nor see who does.
fn may_change(context: &Context, asker: &Asker) -> Result<(), Refusal> {
    match context.access.is_some() && asker.user().is_none() {
        true => Err(Refusal::unauthorized("who sees or changes bans or users has to say who it is")),
        false => Ok(()),
    }
}

/// A change that waits for the disk.
struct Change<'a> {
    context: &'a Context,
    /// Those that are to be waited for.
    replies: std::cell::RefCell<Vec<oneshot::Receiver<()>>>,
}

impl<'a> Change<'a> {
    fn new(site: &'a Site) -> Change<'a> {
        Change { context: &site.context, replies: Default::default() }
    }

    /// Whether what is changed outlasts the hub.
    fn is_kept(&self) -> bool {
        self.context.keeper.is_some()
    }

    fn keep(&self, kind: Kind, key: &str, value: Vec<u8>) {
        let (reply, is_kept) = oneshot::channel();
        kept::keep(self.context, kind, key, value, Some(reply));
        self.replies.borrow_mut().push(is_kept);
    }

    /// Ends these connections, if any are to end, and waits until all is on disk. Returns how many there were.
    ///
    /// # Errors
    /// When the disk does not take it: it holds nevertheless, and may be gone after a restart.
    async fn finish(self, purge: Option<Purge>) -> Result<usize, Refusal> {
        let Change { context, replies } = self;
        let ends = purge.map(|purge| purge.begin(context)).unwrap_or_default();
        let all = async {
            for reply in replies.into_inner() {
                reply.await.map_err(|_| ())?;
            }
            let mut ended = 0;
            for end in ends {
                ended += end.await.map_err(|_| ())?;
            }
            Ok::<usize, ()>(ended)
        };
        let max = if context.hub.keeps() { REPLY_MAX } else { NOT_KEPT_MAX };
        match tokio::time::timeout(max, all).await {
            Ok(Ok(ended)) => Ok(ended),
            _ if !context.hub.keeps() => {
                let reason = "it is done, but the disk of the store does not take it now: should the hub be started anew \
                              before it does, all is as it was before";
                Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, Code::Quota, reason))
            }
            Ok(Err(())) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Err(Refusal::new(status, Code::Unavailable, "the hub is stopping").retry_after(1))
            }
            Err(_) => {
                let reason = "the hub did not answer in time; it may still do what was asked";
                Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, Code::Unavailable, reason).retry_after(1))
            }
        }
    }
}

/// How many may be listed, by a query of `limit=N`.
fn limit(asked: &[(String, String)]) -> Result<usize, Refusal> {
    let mut limit = LIMIT;
    for (name, value) in asked {
        match (name.as_str(), value.parse()) {
            ("limit", Ok(number @ 1..=LIMIT_MAX)) => limit = number,
            ("limit", _) => {
                return Err(bad_field("limit", format!("it must be a number from 1 to {LIMIT_MAX}")));
            }
            _ => return Err(bad_field("query", format!("there is no parameter {name:?}; there is limit"))),
        }
    }
    Ok(limit)
}

fn bad_field(field: &'static str, reason: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, Code::BadField, reason).field(field)
}
