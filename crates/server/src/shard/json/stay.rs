//! Sessions that outlast their connections: `session_s` of `hello`.
//!
//! The hub keeps such a session as it keeps an MQTT client's, in memory and on disk. What it has beside is a token, which says
//! that it is a JSON client's, and lets somebody take it up from another address where addresses prove nothing.

use crate::shard::ShardLoop;
use crate::shard::connection::Link;
use crate::stats::Kind;
use std::borrow::Cow;
use std::fmt::Write;
use subtle::ConstantTimeEq;
use trefoil_hub::{ConnectionKey, Ending};
use trefoil_json::{Code, HelloRequest, RequestError, Stay};

/// The session that a client is to have.
pub(super) struct Wish {
    pub(super) session_s: u32,
    pub(super) token: [u8; 16],
    /// It is there already.
    pub(super) resumes: bool,
    /// The client has shown the token.
    is_proven: bool,
}

impl ShardLoop {
    /// Whether somebody may ask for a session at all, wherever it is.
    pub(super) fn may_stay(&self, key: ConnectionKey, hello: &HelloRequest<'_>) -> Result<(), RequestError> {
        if hello.session_s.is_some() && self.is_unknown(key) {
            let why = "a session belongs to who you are: say that first, with auth";
            return Err(RequestError::new(Code::NotAuthorized, why).field("session_s"));
        }
        Ok(())
    }

    /// What session a client id is to have: none if it is one that ends with the connection.
    pub(super) fn json_wish(
        &self,
        key: ConnectionKey,
        client: &str,
        hello: &HelloRequest<'_>,
    ) -> Result<Option<Wish>, RequestError> {
        let now = self.net.now;
        let (known, is_there) = (self.hub.token(now, client), self.hub.has_live_session(now, client));
        let is_udp = self.net.get(key).is_some_and(|connection| connection.is_udp());
        let refuse = |why| Err(RequestError::new(Code::NotAuthorized, why).field("resume"));
        let is_proven = match (hello.resume.as_deref(), known) {
            (Some(given), Some(token)) if is_same(given, &token) => true,
            (Some(_), _) if is_there => {
                return refuse("this is not the token of the session of this client id");
            }
            // Whoever sends a datagram can write any address on it.
            (None, _) if is_there && is_udp => {
                return refuse(
                    "the client id has a session, which is taken up over UDP by the token that came with it: resume",
                );
            }
            _ => false,
        };
        let session_s = hello.session_s.unwrap_or(0);
        if session_s == 0 {
            return Ok(None);
        }
        let sessions_max = self.net.context.limits.sessions_max;
        if !is_there && self.net.context.session_count() >= sessions_max {
            let why = format!("there are {sessions_max} sessions already (limits.sessions_max)");
            return Err(RequestError::new(Code::Quota, why).field("session_s"));
        }
        let token = match known {
            Some(token) => token,
            None => super::ask::random()?,
        };
        Ok(Some(Wish { session_s, token, resumes: known.is_some(), is_proven }))
    }

    /// Gives a connection the session of its name.
    pub(super) fn json_begin_to_stay(&mut self, key: ConnectionKey, wish: &Wish, hello: &HelloRequest<'_>) {
        let Some(connection) = self.net.get_mut(key) else { return };
        connection.json_own().info = hello.info.map(Into::into);
        if let Link::Udp(peer) = &mut connection.link {
            peer.is_proven |= wish.is_proven;
        }
        let Some(connected) = self.json_connect(key, Some(wish)) else { return };
        if let Some(connection) = self.net.get_mut(key) {
            connection.json_own().stay = Some(connected.present);
        }
    }

    /// What is said of the session in the answer to hello, if it was asked for.
    pub(super) fn json_stay(&self, key: ConnectionKey, is_asked: bool) -> Option<Stay<'static>> {
        let connection = self.net.get(key).filter(|_| is_asked)?;
        let kept = connection.json.as_ref().and_then(|own| own.stay).zip(connection.session);
        let Some((resumed, session)) = kept else {
            return Some(Stay { resumed: false, session_s: 0, resume: None });
        };
        let session_s = self.hub.expiry_s(session);
        let token = self.hub.client_id(session).and_then(|client| self.hub.token(self.net.now, client));
        let resume = token.filter(|_| session_s > 0).map(|token| Cow::Owned(text(&token)));
        Some(Stay { resumed, session_s, resume })
    }

    /// Sends what has waited in a session that has been taken up, behind the answer to its hello.
    pub(super) fn json_resume(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        let is_kept = connection.json.as_ref().is_some_and(|own| own.stay.is_some());
        let Some(session) = connection.session.filter(|_| is_kept) else { return };
        connection.holds_all = connection.held.is_some();
        self.resume(key, session);
    }

    /// Whether this is hello said again by who has such a session already: over UDP since it does not know whether the first
    /// one came, or to have the session kept for another time.
    pub(super) fn says_hello_again(&self, key: ConnectionKey, hello: &HelloRequest<'_>) -> bool {
        let Some(connection) = self.net.get(key) else { return false };
        let is_kept = connection.json.as_ref().is_some_and(|own| own.stay.is_some());
        let Some(session) = connection.session.filter(|_| is_kept && hello.session_s.is_some()) else {
            return false;
        };
        let client = self.hub.client_id(session);
        hello.client.as_deref().is_none_or(|named| client.is_some_and(|client| **client == *named))
    }

    pub(super) fn json_hello_again(
        &mut self,
        key: ConnectionKey,
        hello: &HelloRequest<'_>,
    ) -> Result<(), RequestError> {
        let session = self.net.get(key).and_then(|connection| connection.session);
        let Some((session, asked_s)) = session.zip(hello.session_s) else { return Ok(()) };
        let client = self.hub.client_id(session).map(ToString::to_string).unwrap_or_default();
        if let Some(given) = hello.resume.as_deref() {
            let token = self.hub.token(self.net.now, &client);
            if !token.is_some_and(|token| is_same(given, &token)) {
                let why = "this is not the token of the session of this client id";
                return Err(RequestError::new(Code::NotAuthorized, why).field("resume"));
            }
            if let Some(Link::Udp(peer)) = self.net.get_mut(key).map(|connection| &mut connection.link) {
                peer.is_proven = true;
            }
        }
        self.finish_run();
        self.hub.set_expiry(session, asked_s);
        if let Some(connection) = self.net.get_mut(key) {
            connection.json_own().stay = Some(true);
        }
        self.json_set_heartbeat(key, hello.heartbeat_s);
        let stay = self.json_stay(key, true);
        let ends =
            asked_s == 0 && self.net.get(key).is_some_and(|connection| connection.kind == Kind::JsonUdp);
        self.json_welcome(key, hello.id, stay);
        if ends {
            // Over UDP there is no connection whose end would be that of the session, and nothing that could hold the answer
            // back until the end of it is on disk.
            let net = &mut self.net;
            if let Some(connection) = net.connections.get_mut(key.0 as usize) {
                connection.let_out(u64::MAX, &mut net.pool);
            }
            self.flush(key);
            self.end_session(key, Ending::Normal { expiry_s: None });
            self.finish(key);
        }
        Ok(())
    }
}

/// The token as it is written in JSON.
fn text(token: &[u8; 16]) -> String {
    token.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compares in a time that does not tell how much of it was right.
fn is_same(given: &str, token: &[u8; 16]) -> bool {
    given.as_bytes().ct_eq(text(token).as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_all_of_its_digits() {
        let token = [0x0f; 16];
        assert_eq!(text(&token), "0f".repeat(16));
        assert!(is_same(&"0f".repeat(16), &token));
        for wrong in ["", "0f", &"0F".repeat(16), &format!("{}0e", "0f".repeat(15)), &"0f".repeat(17)] {
            assert!(!is_same(wrong, &token), "{wrong}");
        }
    }
}
