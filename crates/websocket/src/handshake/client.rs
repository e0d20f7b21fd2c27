//! The client's side of the handshake (RFC 6455 §4.1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{accept_key, tokens};

/// A client's handshake under way.
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    key: String,
    authorization: Option<String>,
    offered: Vec<String>,
}

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The caller's host, path or protocol (named) cannot stand in a request.
    BadRequest(&'static str),
    /// The response is not HTTP/1.1.
    NotHttp,
    /// The server answered with this status instead of 101.
    Status(u16),
    /// This header of the response is missing or not what it must be.
    BadHeader(&'static str),
}

impl ClientHandshake {
    /// Begins one. The nonce must be new and random for each connection.
    pub fn new(nonce: [u8; 16]) -> ClientHandshake {
        ClientHandshake { key: STANDARD.encode(nonce), authorization: None, offered: Vec::new() }
    }

    /// Says who the client is: the value of the `Authorization` header, such as `Basic …`.
    pub fn authorization(mut self, value: String) -> ClientHandshake {
        self.authorization = Some(value);
        self
    }

    /// Appends the request. `host` has the port unless it is 80, `path` the query if there is one; `protocols` are
    /// those that the client speaks, the best first.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::BadRequest`] if one of them has characters that would make it another request.
    pub fn write_request(
        &mut self,
        host: &str,
        path: &str,
        protocols: &[&str],
        out: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HandshakeError::BadRequest("host"));
        }
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(HandshakeError::BadRequest("path"));
        }
        if !protocols.iter().all(|protocol| tokens::is_token(protocol.as_bytes())) {
            return Err(HandshakeError::BadRequest("protocol"));
        }
        let authorization = match &self.authorization {
            None => String::new(),
            Some(value) if value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) => {
                format!("Authorization: {value}\r\n")
            }
            Some(_) => return Err(HandshakeError::BadRequest("authorization")),
        };
        self.offered = protocols.iter().map(|&protocol| protocol.to_owned()).collect();
        let offer = match protocols {
            [] => String::new(),
            _ => format!("Sec-WebSocket-Protocol: {}\r\n", protocols.join(", ")),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n{offer}{authorization}\r\n",
            self.key,
        );
        out.extend_from_slice(request.as_bytes());
        Ok(())
    }

    /// Checks the head of the response, as [`response_len`] measured it, and returns the subprotocol agreed on.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] if the server refused, or if its answer is not one to this request (§4.1): another key, or
    /// a subprotocol or extension that was not asked for.
    pub fn check_response<'a>(&self, head: &'a [u8]) -> Result<Option<&'a str>, HandshakeError> {
        let mut lines =
            head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        match status(lines.next().unwrap_or_default())? {
            101 => {}
            status => return Err(HandshakeError::Status(status)),
        }

        let (mut upgrade, mut connection, mut accepted) = (false, false, false);
        let mut protocol = None;
        for line in lines {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            if is("upgrade") {
                upgrade |= value.eq_ignore_ascii_case(b"websocket");
            } else if is("connection") {
                connection |= tokens::has(value, "upgrade");
            } else if is("sec-websocket-accept") {
                if value != accept_key(self.key.as_bytes()) {
                    return Err(HandshakeError::BadHeader("Sec-WebSocket-Accept"));
                }
                accepted = true;
            } else if is("sec-websocket-protocol") {
                let chosen =
                    str::from_utf8(value).ok().filter(|value| self.offered.iter().any(|one| one == value));
                let bad = HandshakeError::BadHeader("Sec-WebSocket-Protocol");
                if chosen.is_none() || protocol.is_some() {
                    return Err(bad);
                }
                protocol = chosen;
            } else if is("sec-websocket-extensions") && !value.is_empty() {
                return Err(HandshakeError::BadHeader("Sec-WebSocket-Extensions"));
            }
        }
        match (upgrade, connection, accepted) {
            (true, true, true) => Ok(protocol),
            (false, ..) => Err(HandshakeError::BadHeader("Upgrade")),
            (_, false, _) => Err(HandshakeError::BadHeader("Connection")),
            (.., false) => Err(HandshakeError::BadHeader("Sec-WebSocket-Accept")),
        }
    }
}

/// The length of a response's head, blank line included; `None` if it is not all there. Frames may follow it.
pub fn response_len(input: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    input.windows(END.len()).position(|window| window == END).map(|at| at + END.len())
}

fn status(line: &[u8]) -> Result<u16, HandshakeError> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").ok_or(HandshakeError::NotHttp)?;
    match rest {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']
        | [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
            Ok(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => Err(HandshakeError::NotHttp),
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::BadRequest(what) => write!(f, "the {what} cannot stand in an HTTP request"),
            HandshakeError::NotHttp => f.write_str("the server did not answer in HTTP/1.1"),
            HandshakeError::Status(status) => {
                write!(f, "the server refused the WebSocket with HTTP status {status}")
            }
            HandshakeError::BadHeader(name) => {
                write!(f, "the server's {name} header does not fit the request")
            }
        }
    }
}

impl std::error::Error for HandshakeError {}
