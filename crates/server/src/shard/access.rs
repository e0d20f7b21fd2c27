//! Who a client is: questions that a shard asks what runs beside it, and their answers.
//!
//! A connection whose password is being looked at is not read from: what it sends meanwhile waits in the kernel, and what
//! was read already in [`rest`](super::connection::Connection::rest).

use super::ShardLoop;
use super::connection::{Input, Link, Wait, Waiting};
use super::json::unknown;
use crate::access::kept::USER_IS_BANNED;
use crate::access::{self, Access, CHALLENGE, Credentials, Origin, Verdict};
use crate::beside::passwords::Question;
use crate::mail::Mail;
use std::net::IpAddr;
use std::sync::Arc;
use trefoil_auth::Users;
use trefoil_hub::ConnectionKey;
use trefoil_json::RequestError;

/// Why a client is not even listened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unheard {
    /// Its address has failed too often.
    Barred,
    /// Too many passwords wait already.
    Busy,
}

impl Unheard {
    pub(super) fn why(self) -> &'static str {
        match self {
            Unheard::Barred => "too many attempts from this address have failed (auth.failures_max); wait",
            Unheard::Busy => "too many passwords wait to be looked at; try again",
        }
    }
}

impl ShardLoop {
    /// The users, if clients have to be any.
    pub(super) fn access(&self) -> Option<&Access> {
        self.net.context.access.as_ref()
    }

    /// Whether a client may do nothing until it has said who it is.
    pub(super) fn is_unknown(&self, key: ConnectionKey) -> bool {
        let context = &self.net.context;
        context.access.is_some()
            && self.net.get(key).is_some_and(|c| {
                c.user.is_none() && !context.listeners[usize::from(c.listener)].allow_anonymous
            })
    }

    /// Whether a client may be an end of the stream with this name. There are no permissions on names: whoever may connect may
    /// use any of them.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn may_use_stream(&self, key: ConnectionKey, _name: &str) -> Result<(), RequestError> {
        if self.is_unknown(key) { Err(unknown()) } else { Ok(()) }
    }

    /// Whether a password of the client is being looked at.
    pub(super) fn is_waiting(&self, key: ConnectionKey) -> bool {
        self.net.get(key).is_some_and(|c| c.waiting.is_some())
    }

    /// Where the client comes from.
    pub(super) fn address_of(&self, key: ConnectionKey) -> Option<IpAddr> {
        let connection = self.net.get(key)?;
        if let Some(client) = connection.proxied().client() {
            return Some(client);
        }
        match &connection.link {
            Link::Stream(stream) => stream.peer().map(|addr| addr.ip()),
            Link::Udp(peer) => Some(peer.addr.ip()),
            Link::Channel(channel) => channel.address,
        }
    }

    /// The same, and whether anybody may have written that on what came.
    fn origin_of(&self, key: ConnectionKey) -> Origin {
        let is_forgeable = self.net.get(key).is_some_and(|connection| connection.is_udp());
        Origin { address: self.address_of(key), is_forgeable }
    }

    /// Whether the client's address has failed too often.
    pub(super) fn check_barred(&self, key: ConnectionKey) -> Result<(), Unheard> {
        self.check_barred_address(self.origin_of(key))
    }

    /// The same for who has no connection yet.
    pub(super) fn check_barred_address(&self, from: impl Into<Origin>) -> Result<(), Unheard> {
        if self.net.context.failures.is_barred(from, self.net.now) {
            self.net.stats().auth_throttled.add(1);
            return Err(Unheard::Barred);
        }
        Ok(())
    }

    /// What a client has come to who has proved to be `user`, or nobody. A failure is written down.
    pub(super) fn judge(
        &self,
        key: ConnectionKey,
        user: Option<Arc<str>>,
    ) -> Result<Option<Arc<str>>, Unheard> {
        self.judge_address(self.origin_of(key), user)
    }

    /// The same for who has no connection yet.
    pub(super) fn judge_address(
        &self,
        from: impl Into<Origin>,
        user: Option<Arc<str>>,
    ) -> Result<Option<Arc<str>>, Unheard> {
        self.count_verdict(access::judge(&self.net.context, from, self.net.now, user))
    }

    fn count_verdict(&self, verdict: Verdict) -> Result<Option<Arc<str>>, Unheard> {
        match verdict {
            Verdict::Right(user) => Ok(Some(user)),
            Verdict::Wrong => {
                self.net.stats().auth_failures.add(1);
                Ok(None)
            }
            Verdict::Barred => {
                self.net.stats().auth_throttled.add(1);
                Err(Unheard::Barred)
            }
        }
    }

    /// Has a password looked at. The connection waits until [`Mail::Verdict`] comes.
    pub(super) fn ask(
        &mut self,
        key: ConnectionKey,
        user_name: &str,
        password: &[u8],
        waiting: Waiting,
    ) -> Result<(), Unheard> {
        self.check_barred(key)?;
        let context = self.net.context.clone();
        let Some(access) = &context.access else { return Ok(()) };
        let Some(serial) = self.net.get(key).map(|c| c.serial) else { return Ok(()) };
        let (asker, users) = (Arc::new(()), access.users());
        let question = Question {
            users: users.clone(),
            user_name: user_name.into(),
            password: password.into(),
            from: self.origin_of(key),
            asker: Arc::downgrade(&asker),
        };
        let (shard, posted) = (self.net.number, context.clone());
        let asked = self.hands.passwords().ask(question, move |verdict| {
            posted.mailboxes[shard].post(Mail::Verdict { connection: key, serial, verdict });
        });
        if asked.is_err() {
            self.net.stats().auth_throttled.add(1);
            return Err(Unheard::Busy);
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.waiting = Some(Box::new(Wait { what: waiting, users, _asker: asker }));
        }
        Ok(())
    }

    /// A password has been looked at.
    pub(super) fn take_verdict(&mut self, key: ConnectionKey, serial: u32, verdict: Verdict) {
        let Some(connection) = self.net.get_mut(key).filter(|c| c.serial == serial) else { return };
        let Some(waiting) = connection.waiting.take() else { return };
        let verdict = match verdict {
            // Another password may have been set meanwhile, or the user deleted.
            Verdict::Right(user) if self.has_changed(&user, &waiting.users) => Verdict::Wrong,
            verdict => verdict,
        };
        let user = self.count_verdict(verdict);
        self.answer_waiting(key, waiting.what, user);
        self.go_on(key);
    }

    /// The client's time is over before its password was looked at: it is told why.
    pub(super) fn give_up_waiting(&mut self, key: ConnectionKey) {
        let Some(wait) = self.net.get_mut(key).and_then(|c| c.waiting.take()) else { return };
        self.net.stats().auth_throttled.add(1);
        self.answer_waiting(key, wait.what, Err(Unheard::Busy));
        // Whoever could go on by asking again has had its time, too.
        self.close(key);
    }

    /// Whether a user is not what it was among `then`.
    pub(super) fn has_changed(&self, user: &str, then: &Arc<Users>) -> bool {
        let Some(now) = self.access().map(Access::users) else { return false };
        !Arc::ptr_eq(&now, then) && !now.agree_on(user, then)
    }

    fn answer_waiting(&mut self, key: ConnectionKey, what: Waiting, user: Result<Option<Arc<str>>, Unheard>) {
        match what {
            Waiting::Mqtt(connect) => self.mqtt_verdict(key, &connect, user),
            Waiting::Json(id) => self.json_verdict(key, id, user),
            Waiting::Http => self.http_verdict(key, user),
            Waiting::Framed => self.framed_verdict(key, user),
        }
    }

    /// Reads on after a wait, first what has been read already.
    pub(super) fn go_on(&mut self, key: ConnectionKey) {
        if !self.json_go_on(key) {
            if self.net.get(key).is_some_and(|connection| connection.is_udp()) {
                return self.json_lead_away(key, &[]);
            }
            let rest = self.net.get_mut(key).map(|connection| std::mem::take(&mut connection.rest));
            return self.leave_json_again(key, rest.unwrap_or_default());
        }
        let Some(connection) = self.net.get_mut(key).filter(|connection| connection.waiting.is_none()) else {
            return;
        };
        let mut rest = std::mem::take(&mut connection.rest);
        let consumed = self.feed(key, &mut rest);
        if let Some(connection) = self.net.get_mut(key) {
            connection.rest = rest.split_off(consumed);
            self.note_readable(key);
        }
    }

    /// Looks whether an HTTP request says who asks. Returns false when it is not to be answered, or not yet.
    /// `credentials` is what it says, and in there none if that cannot be read; `has_other_way`: the client can still say it
    /// later.
    pub(super) fn http_authenticate(
        &mut self,
        key: ConnectionKey,
        credentials: Option<Option<Credentials>>,
        has_other_way: bool,
    ) -> bool {
        if self.access().is_none() || self.net.get(key).is_some_and(|c| c.user.is_some()) {
            return true;
        }
        let Some(credentials) = credentials else {
            let may = has_other_way || !self.is_unknown(key);
            if !may {
                self.http_challenge(key, "say who you are: user name and password, by Basic authentication");
            }
            return may;
        };
        let Some(Credentials { user_name, password }) = credentials else {
            let why = "the Authorization header, or the subprotocol in its place, is not that of Basic authentication";
            self.http_challenge(key, why);
            return false;
        };
        match self.ask(key, &user_name, &password, Waiting::Http) {
            Ok(()) => {
                self.put_back(key, Input::HttpHead);
            }
            Err(unheard) => self.http_unheard(key, unheard),
        }
        false
    }

    fn http_unheard(&mut self, key: ConnectionKey, unheard: Unheard) {
        let status = match unheard {
            Unheard::Barred => "429 Too Many Requests",
            Unheard::Busy => "503 Service Unavailable",
        };
        let after_s = match unheard {
            Unheard::Barred => self.net.context.failures.barred_s(self.address_of(key), self.net.now),
            Unheard::Busy => 1,
        };
        self.net.stats().protocol_errors.add(1);
        self.http_say_no(key, status, &format!("Retry-After: {after_s}\r\n"), unheard.why());
    }

    /// The head is read again when the password was right, and then finds the user there.
    fn http_verdict(&mut self, key: ConnectionKey, user: Result<Option<Arc<str>>, Unheard>) {
        if let Ok(Some(user)) = &user
            && self.net.context.bans.refuses_user(user)
        {
            return self.http_say_no(key, "403 Forbidden", "", USER_IS_BANNED);
        }
        match (user, self.net.get_mut(key)) {
            (Err(unheard), _) => self.http_unheard(key, unheard),
            (Ok(Some(user)), Some(connection)) => connection.user = Some(user),
            _ => self.http_challenge(key, "user name or password is wrong"),
        }
    }

    fn http_challenge(&mut self, key: ConnectionKey, why: &str) {
        let header = format!("WWW-Authenticate: {CHALLENGE}\r\n");
        self.http_say_no(key, "401 Unauthorized", &header, why);
    }
}
