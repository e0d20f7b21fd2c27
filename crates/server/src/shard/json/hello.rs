//! What a client says of itself: the operation `hello`.

use super::connection_name;
use super::own::Shape;
use crate::access::kept::CLIENT_ID_IS_BANNED;
use crate::shard::ShardLoop;
use crate::shard::connection::Form;
use crate::stats::Kind;
use std::borrow::Cow;
use trefoil_hub::{ConnectionKey, Ending};
use trefoil_json::{Code, HelloRequest, RequestError, VERSION, Welcome};

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
        if connection.has_asked {
            let why = "hello comes once, and before the first sub, unsub, pub and req";
            return Err(RequestError::new(Code::BadField, why).field("hello"));
        }
        if hello.binary && kind != Kind::JsonWebSocket {
            let why = "only a WebSocket has binary frames";
            return Err(RequestError::new(Code::BadField, why).field("binary"));
        }
        if let Some(client) = hello.client.as_deref() {
            if kind == Kind::JsonUdp {
                let why = "over UDP a client is known by its address and port, and has no name of its own";
                return Err(RequestError::new(Code::BadField, why).field("client"));
            }
            if self.net.context.bans.refuses_client_id(client) {
                self.json_banned(key, hello.id, CLIENT_ID_IS_BANNED);
                return Ok(());
            }
            let shard = self.hub.shared().shard_of(client);
            if shard != self.net.number {
                self.end_session(key, Ending::Normal { expiry_s: None });
                self.is_leaving = Some(shard);
                return Ok(());
            }
            if let Err(error) = self.json_take_name(key, client) {
                if self.net.get(key).is_some_and(|c| c.session.is_none()) && !self.is_unknown(key) {
                    // It has come for that name from another shard, and may go on without it.
                    self.json_begin(key);
                }
                return Err(error);
            }
        }
        self.json_note(key, hello, is_lines);
        self.json_welcome(key, hello.id);
        Ok(())
    }

    /// Makes a name the one of the connection: at once, or when it has said who it is.
    fn json_take_name(&mut self, key: ConnectionKey, client: &str) -> Result<(), RequestError> {
        if !self.is_unknown(key) {
            self.check_name(key, client)?;
            self.end_session(key, Ending::Normal { expiry_s: None });
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.json_own().client = Some(client.into());
        }
        if !self.is_unknown(key) {
            self.json_begin(key);
        }
        Ok(())
    }

    /// Whether a client may have a name now.
    pub(super) fn check_name(&self, key: ConnectionKey, client: &str) -> Result<(), RequestError> {
        let user = self.net.get(key).and_then(|connection| connection.user.as_ref());
        if self.hub.is_of_another(self.net.now, client, user) {
            let why = "the session of this client id belongs to another user";
            return Err(RequestError::new(Code::NotAuthorized, why).field("client"));
        }
        if self.hub.cannot_keep_client(client, 0, None) {
            let why = "the session of this client id is kept on disk, and cannot be ended now";
            return Err(RequestError::new(Code::Unavailable, why).field("client"));
        }
        Ok(())
    }

    fn json_note(&mut self, key: ConnectionKey, hello: &HelloRequest<'_>, is_lines: bool) {
        let Some(connection) = self.net.get_mut(key) else { return };
        connection.has_asked = true;
        if let Some(info) = hello.info {
            connection.json_own().info = Some(info.into());
        }
        // A datagram carries one object in any case.
        let is_joined = hello.batch && !connection.is_udp();
        if is_joined || hello.binary {
            // What is there already is whole frames or lines.
            connection.outbox.mark_framed();
            connection.form = Form::JsonShaped(Shape { is_lines, is_joined, is_binary: hello.binary });
        }
    }

    fn json_welcome(&mut self, key: ConnectionKey, id: Option<u64>) {
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
        };
        self.json_answer(key, |out| welcome.encode(id, out));
    }
}
