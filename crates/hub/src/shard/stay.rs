//! Sessions of clients that speak JSON, as far as they outlast their connections.

use super::Shard;
use crate::key::SessionKey;
use crate::time::Time;

impl Shard {
    /// By what the session of a client id is taken up from another address: none if there is no session, or one of a client
    /// that speaks another protocol, or one that ends with its connection.
    pub fn token(&self, now: Time, client_id: &str) -> Option<[u8; 16]> {
        let session = self.session(self.find(client_id)?);
        session.rare.as_ref().filter(|_| !session.is_over(now))?.token
    }

    /// Whether there is a session of a client id, connected or not, whose time is not over.
    pub fn has_live_session(&self, now: Time, client_id: &str) -> bool {
        self.find(client_id).is_some_and(|key| !self.session(key).is_over(now))
    }

    /// For how many seconds a session outlasts its connection.
    pub fn expiry_s(&self, key: SessionKey) -> u32 {
        self.session(key).expiry_s
    }

    /// Changes for how many seconds a session that is kept outlasts its connection, within the hub's limit. Returns what
    /// holds now.
    pub fn set_expiry(&mut self, key: SessionKey, asked_s: u32) -> u32 {
        let expiry_s = asked_s.min(self.shared.limits.session_expiry_s_max);
        if std::mem::replace(&mut self.session_mut(key).expiry_s, expiry_s) != expiry_s {
            self.write_connect(key);
        }
        expiry_s
    }

    /// The answers to a client's requests are given up with its connection.
    pub(super) fn take_no_replies(&mut self, key: SessionKey) {
        let replies = self.session_mut(key).rare.as_mut().and_then(|rare| rare.replies.take());
        let Some(node) = replies.and_then(|topic| self.subscriptions.find(key, &topic)) else { return };
        let filters = &mut self.sessions[key.index() as usize].filters;
        let removed = self.subscriptions.remove(key, filters, node);
        self.tell_of(key, removed);
    }
}
