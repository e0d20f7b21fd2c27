//! Who a client is: the operation `auth`.

use crate::access::kept::USER_IS_BANNED;
use crate::shard::ShardLoop;
use crate::shard::access::Unheard;
use crate::shard::connection::Waiting;
use std::sync::Arc;
use trefoil_hub::{ConnectionKey, Language};
use trefoil_json::{Code, RequestError};
use trefoil_websocket::CloseCode;

/// Wrong passwords on one connection; then it is closed.
const FAILURES_MAX: u8 = 3;

impl ShardLoop {
    /// Has a password looked at. Where nobody is asked who they are, all are who they say, and it means nothing.
    pub(super) fn json_auth(
        &mut self,
        key: ConnectionKey,
        user: &str,
        password: &str,
        id: Option<u64>,
    ) -> Result<(), RequestError> {
        if self.access().is_none() {
            self.json_answer(key, |out| trefoil_json::encode_authenticated(user, id, out));
            return Ok(());
        }
        if self.is_waiting(key) {
            // Datagrams come all the same, and often the same one again. The answer to the first is on its way.
            return Ok(());
        }
        self.ask(key, user, password.as_bytes(), Waiting::Json(id)).map_err(not_heard)
    }

    /// The password of an `auth` has been looked at.
    pub(in crate::shard) fn json_verdict(
        &mut self,
        key: ConnectionKey,
        id: Option<u64>,
        user: Result<Option<Arc<str>>, Unheard>,
    ) {
        let Some(connection) = self.net.get_mut(key) else { return };
        let refuse = |why: &'static str| RequestError::new(Code::NotAuthorized, why).field("auth").id(id);
        let user = match user {
            Ok(user) => user,
            Err(unheard) => return self.json_error(key, &not_heard(unheard).id(id)),
        };
        let Some(user) = user else {
            connection.failures += 1;
            let is_enough = connection.failures >= FAILURES_MAX;
            self.json_error(key, &refuse("user name or password is wrong"));
            if is_enough {
                self.say_close(key, CloseCode::POLICY_VIOLATION, "too many wrong passwords");
                self.close(key);
            }
            return;
        };
        if connection.user.as_ref().is_some_and(|known| *known != user) {
            return self.json_error(key, &refuse("this connection belongs to another user already"));
        }
        let (session, is_renewed) = (connection.session, connection.user.is_some());
        let name = connection.json.as_ref().and_then(|own| own.client.clone()).filter(|_| session.is_none());
        if self.net.context.bans.refuses_user(&user) {
            return self.json_banned(key, id, USER_IS_BANNED);
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.user = Some(user.clone());
        }
        if let Some(Err(error)) = name.map(|name| self.check_name(key, &name, 0)) {
            self.json_error(key, &error.id(id));
            self.say_close(key, CloseCode::POLICY_VIOLATION, "the client id belongs to another user");
            return self.close(key);
        }
        self.json_answer(key, |out| trefoil_json::encode_authenticated(&user, id, out));
        match session {
            // The session is this user's already.
            Some(_) if is_renewed => {}
            Some(session) => {
                self.finish_run();
                self.hub.identify(session, Language::Json, user);
                self.resume(key, session);
            }
            None => self.json_begin(key),
        }
    }

    /// Tells a client that it is banned, and closes.
    pub(super) fn json_banned(&mut self, key: ConnectionKey, id: Option<u64>, why: &'static str) {
        self.json_answer(key, |out| RequestError::new(Code::NotAuthorized, why).id(id).encode(out));
        self.say_close(key, CloseCode::POLICY_VIOLATION, why);
        if self.net.get(key).is_some_and(|connection| connection.is_udp()) {
            self.flush(key);
        }
        self.close(key);
    }
}

fn not_heard(unheard: Unheard) -> RequestError {
    let code = if unheard == Unheard::Barred { Code::Quota } else { Code::Overloaded };
    RequestError::new(code, unheard.why())
}
