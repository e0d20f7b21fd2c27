//! What a client says of itself: the operation `hello`.

use super::connection_name;
use super::heartbeat::Heartbeat;
use super::own::Shape;
use crate::access::kept::CLIENT_ID_IS_BANNED;
use crate::shard::ShardLoop;
use crate::shard::connection::Form;
use crate::stats::Kind;
use std::borrow::Cow;
use trefoil_hub::{ConnectionKey, Ending};
use trefoil_json::{Code, HelloRequest, RequestError, Stay, VERSION, Welcome};

impl ShardLoop {
    /// Takes what a client says of itself. Where it gives itself a name whose session belongs to another shard, nothing is
    /// done yet but `is_leaving` is set: the connection moves, and says it again there.
    pub(super) fn json_hello(
        &mut self,
        key: ConnectionKey,
        hello: &HelloRequest<'_>,
    ) -> Result<(), RequestError> {
        let Some(connection) = self.net.get(key) else { return Ok(()) };
        let (kind, form) = (connection.kind, &connection.form);
        let is_lines = matches!(form, Form::JsonLine);
        if self.says_hello_again(key, hello) {
            return self.json_hello_again(key, hello);
        }
        if connection.has_asked {
            let why = "hello comes once, and before the first sub, unsub, pub and req";
            return Err(RequestError::new(Code::BadField, why).field("hello"));
        }
        if hello.binary && kind != Kind::JsonWebSocket {
            let why = "only a WebSocket has binary frames";
            return Err(RequestError::new(Code::BadField, why).field("binary"));
        }
        if hello.heartbeat_s.is_some() && connection.channel().is_some() {
            let why = "a channel has no heartbeats of its own; its answers come within the time that it was asked for";
            return Err(RequestError::new(Code::BadField, why).field("heartbeat_s"));
        }
        if let Some(client) = hello.client.as_deref() {
            if kind == Kind::JsonUdp && hello.session_s.is_none_or(|session_s| session_s == 0) {
                let why = "over UDP a client is known by its address and port, and has no name of its own but for a session \
                           that outlasts its connection: with session_s above 0";
                return Err(RequestError::new(Code::BadField, why).field("client"));
            }
            if connection.channel().is_some_and(|channel| !channel.is_named) {
                let why = "a channel gets its client id when it is opened, by a hello that is the first request in the body \
                           of POST /channel";
                return Err(RequestError::new(Code::BadField, why).field("client"));
            }
            if self.net.context.bans.refuses_client_id(client) {
                self.json_banned(key, hello.id, CLIENT_ID_IS_BANNED);
                return Ok(());
            }
            self.may_stay(key, hello)?;
            let shard = self.hub.shared().shard_of(client);
            if shard != self.net.number {
                self.end_session(key, Ending::Normal { expiry_s: None });
                self.is_leaving = Some(shard);
                return Ok(());
            }
            if let Err(error) = self.json_take_name(key, client, hello) {
                if self.net.get(key).is_some_and(|c| c.session.is_none()) && !self.is_unknown(key) {
                    // It has come for that name from another shard, and may go on without it.
                    self.json_begin(key);
                }
                return Err(error);
            }
        }
        self.json_note(key, hello, is_lines);
        self.json_set_heartbeat(key, hello.heartbeat_s);
        let stay = self.json_stay(key, hello.session_s.is_some());
        self.json_welcome(key, hello.id, stay);
        self.json_resume(key);
        Ok(())
    }

    /// Makes a name the one of the connection: at once, or when it has said who it is.
    fn json_take_name(
        &mut self,
        key: ConnectionKey,
        client: &str,
        hello: &HelloRequest<'_>,
    ) -> Result<(), RequestError> {
        if self.is_unknown(key) {
            if let Some(connection) = self.net.get_mut(key) {
                connection.json_own().client = Some(client.into());
            }
            return Ok(());
        }
        let session_s = hello.session_s.unwrap_or(0);
        self.check_name(key, client, session_s)?;
        let wish = self.json_wish(key, client, hello)?;
        self.end_session(key, Ending::Normal { expiry_s: None });
        if let Some(connection) = self.net.get_mut(key) {
            connection.json_own().client = Some(client.into());
        }
        match &wish {
            Some(wish) => self.json_begin_to_stay(key, wish, hello),
            None => self.json_begin(key),
        }
        Ok(())
    }

    /// Whether a client may have a name now, with a session that outlasts its connection by so many seconds.
    pub(super) fn check_name(
        &self,
        key: ConnectionKey,
        client: &str,
        session_s: u32,
    ) -> Result<(), RequestError> {
        let user = self.net.get(key).and_then(|connection| connection.user.as_ref());
        if self.hub.is_of_another(self.net.now, client, user) {
            let why = "the session of this client id belongs to another user";
            return Err(RequestError::new(Code::NotAuthorized, why).field("client"));
        }
        if self.hub.cannot_keep_client(client, session_s, None) {
            let why = "the session of this client id is or would be kept on disk, which takes nothing now";
            return Err(RequestError::new(Code::Unavailable, why).field("client"));
        }
        Ok(())
    }

    /// What a client has said of itself.
    pub(super) fn json_info(&self, key: ConnectionKey) -> Option<std::sync::Arc<str>> {
        let info = self.net.get(key)?.json.as_ref()?.info.as_deref()?;
        Some(info.into())
    }

    fn json_note(&mut self, key: ConnectionKey, hello: &HelloRequest<'_>, is_lines: bool) {
        let Some(connection) = self.net.get_mut(key) else { return };
        connection.has_asked = true;
        if let Some(info) = hello.info {
            connection.json_own().info = Some(info.into());
        }
        // One that stays has been told when it came.
        let session =
            connection.session.filter(|_| connection.json.as_ref().is_none_or(|own| own.stay.is_none()));
        let info = hello.info.map(Into::into);
        // A datagram carries one object in any case, and what comes on a channel comes in arrays of its own.
        let is_joined = hello.batch && !connection.is_udp() && connection.channel().is_none();
        if is_joined || hello.binary {
            // What is there already is whole frames or lines.
            connection.outbox.mark_framed();
            connection.form = Form::JsonShaped(Shape { is_lines, is_joined, is_binary: hello.binary });
        }
        if let (Some(_), Some(session)) = (&info, session) {
            self.hub.set_presence_info(session, info);
            self.resume(key, session);
        }
    }

    /// Answers hello.
    pub(super) fn json_welcome(&mut self, key: ConnectionKey, id: Option<u64>, stay: Option<Stay<'static>>) {
        let Some(connection) = self.net.get(key) else { return };
        let session =
            connection.session.and_then(|session| self.hub.client_id(session)).map(ToString::to_string);
        let noted =
            || connection.json.as_ref().and_then(|own| own.client.as_deref().map(ToString::to_string));
        let client = match session.or_else(noted) {
            Some(client) => client,
            None => {
                // It has yet to say who it is; this is what it will be called then.
                let client = self.assign_client_id(self.json_kind(key));
                if let Some(connection) = self.net.get_mut(key) {
                    connection.json_own().client = Some(client.as_str().into());
                }
                client
            }
        };
        let Some(connection) = self.net.get(key) else { return };
        let welcome = Welcome {
            version: VERSION,
            client: Cow::Owned(client),
            connection: Cow::Owned(connection_name(self.net.number, connection.serial)),
            request_bytes_max: self.net.context.limits.json_bytes_max as u64,
            session: stay,
            heartbeat_s: connection
                .json
                .as_ref()
                .and_then(|own| own.heartbeat.as_ref())
                .map(Heartbeat::every_s),
        };
        self.json_answer(key, |out| welcome.encode(id, out));
    }
}
