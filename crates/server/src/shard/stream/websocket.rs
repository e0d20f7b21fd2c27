//! Streams over WebSocket: `GET /stream/NAME` says in its path what the client wants.

use super::{Role, Waiting};
use crate::shard::ShardLoop;
use crate::shard::websocket::Message;
use percent_encoding::percent_decode_str;
use std::sync::Arc;
use trefoil_hub::ConnectionKey;
use trefoil_json::{Code, RequestError, WAIT_S_MAX, check_stream_name};
use trefoil_websocket::{CloseCode, Limits, Receiver, Role as Side};

/// What the path and the query of a handshake ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::shard) struct Wish {
    name: Arc<str>,
    what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    Connect { wait_s: u32 },
    Listen { is_exclusive: bool },
    Accept { token: String },
}

impl Wish {
    /// Reads what stands behind `/stream/`, and the query.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::shard) fn read(name: &str, query: &str) -> Result<Wish, &'static str> {
        let name =
            percent_decode_str(name).decode_utf8().map_err(|_| "the name of the stream is not UTF-8")?;
        check_stream_name(&name).map_err(|_| {
            "the name of the stream is empty, longer than 200 bytes, or has control characters, + or # or a level that \
             is empty, . or .. in it"
        })?;
        let (mut wait_s, mut listens, mut is_exclusive, mut token) = (None, false, false, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*key, &*value) {
                ("wait_s", value) => {
                    let number = value.parse().ok().filter(|wait_s| (1..=WAIT_S_MAX).contains(wait_s));
                    wait_s = Some(number.ok_or("wait_s is no number of seconds from 1 to 3600")?);
                }
                ("listen", "" | "true") => listens = true,
                ("exclusive", "" | "true") => is_exclusive = true,
                ("token", value) => token = Some(value.to_owned()),
                _ => {
                    return Err(
                        "a stream has wait_s=SECONDS, or listen with or without exclusive, or token=TOKEN",
                    );
                }
            }
        }
        let what = match (wait_s, listens, token) {
            (None, true, None) => What::Listen { is_exclusive },
            (None, false, Some(token)) if !is_exclusive => What::Accept { token },
            (wait_s, false, None) if !is_exclusive => What::Connect { wait_s: wait_s.unwrap_or(0) },
            _ => return Err("wait_s, listen and token do not go together, and exclusive goes with listen"),
        };
        Ok(Wish { name: (*name).into(), what })
    }
}

impl ShardLoop {
    /// A WebSocket stands that wants to be one end of a stream.
    pub(in crate::shard) fn stream_websocket_open(&mut self, key: ConnectionKey, wish: Wish) {
        let Wish { name, what } = wish;
        let bytes_max = self.net.context.limits.packet_bytes_max;
        let limits = Limits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max };
        let receiver = Some(Box::new(Receiver::new(Side::Server, limits)));
        let who = self.stream_who(key, None);
        let waiting =
            |role, name| Waiting { is_websocket: true, receiver, ..Waiting::new(role, name, who, None) };
        let result = match what {
            What::Connect { wait_s } => {
                let until = self.net.now.plus_s(wait_s.into());
                self.stream_wait(key, waiting(Role::Caller { waits_until: until }, name))
            }
            What::Listen { is_exclusive } => {
                self.stream_wait(key, waiting(Role::Once { is_exclusive }, name))
            }
            What::Accept { token } => {
                let accepted = self.stream_accept(&token);
                // The name that counts is the one that the caller has called.
                let name = accepted.as_ref().map_or(name, |(_, name)| name.clone());
                self.set_waiting(key, waiting(Role::Acceptor, name));
                accepted.map(|(caller, _)| self.streams.moves.push((self.stream_end(key), caller)))
            }
        };
        if let Err(error) = result {
            self.stream_refuse_websocket(key, &error);
        }
    }

    /// Tells a WebSocket why it is not joined, and closes it.
    pub(super) fn stream_refuse_websocket(&mut self, key: ConnectionKey, error: &RequestError) {
        let mut text = Vec::new();
        error.encode(&mut text);
        self.net.answer_text(key, &text);
        let code = CloseCode::from_u16(close_code(error.code)).unwrap_or(CloseCode::POLICY_VIOLATION);
        self.say_close(key, code, &error.reason);
        self.close(key);
    }

    /// Takes the frames of a WebSocket that is an end of a stream, or is to become one.
    pub(super) fn stream_frames(
        &mut self,
        key: ConnectionKey,
        receiver: &mut Receiver,
        input: &mut [u8],
    ) -> usize {
        self.frames(key, receiver, input, |shard, message| match message {
            Message::Binary(bytes) => shard.stream_bytes(key, bytes),
            Message::Text(text) => shard.stream_text(key, text),
        })
    }
}

/// Closes a WebSocket for which the hub has no room.
pub(super) const OVERLOADED: CloseCode =
    CloseCode::from_u16(4429).expect("codes from 4000 on are free to use");

/// The code with which a WebSocket is closed.
fn close_code(code: Code) -> u16 {
    match code {
        Code::NoListener | Code::NoCaller => 4404,
        Code::Refused | Code::NotAuthorized => 4403,
        Code::Taken => 4409,
        Code::Timeout => 4408,
        Code::Quota | Code::Overloaded => OVERLOADED.get(),
        _ => 4400,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<What, &'static str> {
        let (name, query) = path.split_once('?').unwrap_or((path, ""));
        Wish::read(name, query).map(|wish| {
            assert_eq!(&*wish.name, "a/b c");
            wish.what
        })
    }

    #[test]
    fn a_path_says_what_is_wanted() {
        assert_eq!(read("a/b%20c"), Ok(What::Connect { wait_s: 0 }));
        assert_eq!(read("a%2Fb%20c?wait_s=3600"), Ok(What::Connect { wait_s: 3600 }));
        assert_eq!(read("a/b%20c?listen"), Ok(What::Listen { is_exclusive: false }));
        assert_eq!(read("a/b%20c?exclusive&listen=true"), Ok(What::Listen { is_exclusive: true }));
        assert_eq!(read("a/b%20c?token=x"), Ok(What::Accept { token: "x".into() }));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for path in ["", "a/../b", "a%00", "a%0a", "%ff", "a//b", "a/%2e%2e"] {
            assert!(Wish::read(path, "").is_err(), "{path}");
        }
        assert!(Wish::read(&"a".repeat(65_536), "").is_err());
        for query in [
            "wait_s=0",
            "wait_s=x",
            "wait_s=3601",
            "listen=no",
            "listen&token=a",
            "exclusive",
            "listen&wait_s=1",
            "x=1",
        ] {
            assert!(Wish::read("a", query).is_err(), "{query}");
        }
    }
}
