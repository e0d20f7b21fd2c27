//! The ends of connections of those who are banned, or are users no more.

use super::ShardLoop;
use super::connection::Phase;
use super::sessions::Dismissal;
use crate::access::{Purge, Target};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;
use trefoil_hub::ConnectionKey;
use trefoil_json::Code;
use trefoil_websocket::CloseCode;

/// How many connections are looked at in one round, so that nobody waits for it.
const PURGE_STEPS: usize = 4096;

/// Purges that have not come to their end.
#[derive(Default)]
pub(super) struct Purges(VecDeque<Purging>);

struct Purging {
    purge: Arc<Purge>,
    reply: oneshot::Sender<usize>,
    /// The place of the next connection. Who comes behind it is refused already.
    place: usize,
    ended: usize,
}

impl Purges {
    /// Whether there is nothing to go on with.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ShardLoop {
    /// Connections are to be ended.
    pub(super) fn begin_purge(&mut self, purge: Arc<Purge>, reply: oneshot::Sender<usize>) {
        let mut purging = Purging { purge, reply, place: 0, ended: 0 };
        let purge = purging.purge.clone();
        match &purge.whom {
            // There is at most one, and it is found by name.
            Target::ClientId(text) if !text.contains('*') => {
                let connection = self.hub.find(text).and_then(|session| self.hub.connection(session));
                purging.ended += connection.map_or(0, |key| self.purge_one(key, &purge));
                return self.end_purge(purging);
            }
            Target::Address(network) => self.forget_ways(|address| network.contains(address)),
            _ => {}
        }
        purging.ended += self.room_purge(&purge);
        self.purges.0.push_back(purging);
    }

    /// Goes on with the oldest of them, if there is any.
    pub(super) fn go_on_with_purges(&mut self) {
        let Some(mut purging) = self.purges.0.pop_front() else { return };
        let purge = purging.purge.clone();
        let end = self.net.connections.capacity().min(purging.place + PURGE_STEPS);
        for place in purging.place..end {
            let key = ConnectionKey(place as u32);
            if self.is_meant(key, &purge) {
                purging.ended += self.purge_one(key, &purge);
            }
        }
        purging.place = end;
        if end < self.net.connections.capacity() {
            return self.purges.0.push_front(purging);
        }
        self.end_purge(purging);
    }

    fn end_purge(&self, purging: Purging) {
        if purging.purge.is_ban {
            self.net.context.bans.count_disconnected(purging.ended as u64);
        }
        // Whoever asked may have gone meanwhile.
        let _ = purging.reply.send(purging.ended);
    }

    fn is_meant(&self, key: ConnectionKey, purge: &Purge) -> bool {
        let Some(connection) = self.net.get(key) else { return false };
        match &purge.whom {
            Target::ClientId(_) => {
                let client_id = connection.session.and_then(|session| self.hub.client_id(session));
                client_id.is_some_and(|client_id| purge.whom.is_client_id(client_id))
            }
            Target::User(name) => connection.user.as_ref() == Some(name),
            Target::Address(network) => self.address_of(key).is_some_and(|address| network.contains(address)),
        }
    }

    /// Ends a connection, and says how many that were: none if it ends already.
    fn purge_one(&mut self, key: ConnectionKey, purge: &Purge) -> usize {
        if self.net.get(key).is_none_or(|connection| connection.phase != Phase::Open) {
            return 0;
        }
        self.begin_event();
        self.finish_run();
        self.dismiss_client(
            key,
            Dismissal { code: Code::NotAuthorized, close: CloseCode::POLICY_VIOLATION, why: purge.why },
        );
        1
    }

    /// Nothing goes on to another shard any more that comes from one of these addresses.
    fn forget_ways(&mut self, is_meant: impl Fn(std::net::IpAddr) -> bool) {
        for listener in &mut self.listeners {
            if let Some(datagrams) = listener.datagrams_mut() {
                datagrams.places.forget_ways(&is_meant);
            }
        }
    }
}
