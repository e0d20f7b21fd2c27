//! The server's side of the handshake (RFC 6455 §4.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{accept_key, tokens};
use crate::deflate::Agreed;

/// A request that asks for a WebSocket as RFC 6455 §4.2.1 wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The subprotocol that both sides speak: the first of the client's that is among the supported ones.
    pub protocol: Option<&'a str>,
    /// The page that opens the connection, as a browser names it; whether it may is for the caller to say.
    pub origin: Option<&'a str>,
    /// What was agreed on about compression. It is for the caller to [negotiate](crate::deflate::negotiate) and to set.
    pub deflate: Option<Agreed>,
    accept_key: [u8; 28],
}

/// A request that is answered with an error. A caller may make one of its own, such as 403 for an origin or 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status: 405 for a method other than GET, 426 for another version of WebSocket, 400 for the rest.
    pub status: u16,
    /// Why, for people, in one line.
    pub reason: &'static str,
}

/// Checks a request for a WebSocket.
///
/// `http_minor` is 1 for HTTP/1.1. Header names count in whatever case. `supported_protocols` are the subprotocols
/// spoken at this path; a request that asks for none of them is accepted with none, and it is for the caller to
/// refuse it if it must have one.
///
/// # Errors
///
/// [`Refused`] with the status that fits.
pub fn accept<'a>(
    method: &str,
    http_minor: u8,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    supported_protocols: &[&'a str],
) -> Result<Accepted<'a>, Refused> {
    if method != "GET" {
        return Err(Refused { status: 405, reason: "a WebSocket is asked for with GET" });
    }
    if http_minor < 1 {
        return Err(bad_request("a WebSocket needs HTTP/1.1"));
    }
    let request = Request::collect(headers, supported_protocols)?;
    if request.host.is_none() {
        return Err(bad_request("the Host header is missing"));
    }
    if !request.upgrade {
        return Err(bad_request("a WebSocket is asked for with Upgrade: websocket"));
    }
    if !request.connection {
        return Err(bad_request("a WebSocket is asked for with Connection: Upgrade"));
    }
    match request.version {
        None => return Err(bad_request("the Sec-WebSocket-Version header is missing")),
        Some(b"13") => {}
        Some(_) => {
            return Err(Refused { status: 426, reason: "only version 13 of WebSocket is spoken here" });
        }
    }
    let key = request.key.ok_or(bad_request("the Sec-WebSocket-Key header is missing"))?;
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return Err(bad_request("Sec-WebSocket-Key is not the base64 of 16 bytes"));
    }
    Ok(Accepted {
        protocol: request.protocol,
        origin: request.origin,
        deflate: None,
        accept_key: accept_key(key),
    })
}

/// The headers that matter.
#[derive(Default)]
struct Request<'a> {
    host: Option<&'a [u8]>,
    upgrade: bool,
    connection: bool,
    version: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    origin: Option<&'a str>,
    protocol: Option<&'a str>,
}

impl<'a> Request<'a> {
    fn collect(
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        supported_protocols: &[&'a str],
    ) -> Result<Request<'a>, Refused> {
        let mut request = Request::default();
        for (name, value) in headers {
            let value = value.trim_ascii();
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            if is("upgrade") {
                request.upgrade |= tokens::has(value, "websocket");
            } else if is("connection") {
                request.connection |= tokens::has(value, "upgrade");
            } else if is("host") {
                once(&mut request.host, value, "there is more than one Host header")?;
            } else if is("sec-websocket-version") {
                once(&mut request.version, value, "there is more than one Sec-WebSocket-Version header")?;
            } else if is("sec-websocket-key") {
                once(&mut request.key, value, "there is more than one Sec-WebSocket-Key header")?;
            } else if is("origin") {
                let origin = str::from_utf8(value).map_err(|_| bad_request("Origin is not UTF-8"))?;
                once(&mut request.origin, origin, "there is more than one Origin header")?;
            } else if is("sec-websocket-protocol") {
                for offered in tokens::elements(value) {
                    if !tokens::is_token(offered) {
                        return Err(bad_request("Sec-WebSocket-Protocol is not a list of tokens"));
                    }
                    let mut supported = supported_protocols.iter().copied();
                    let supported = supported.find(|supported| supported.as_bytes() == offered);
                    request.protocol = request.protocol.or(supported);
                }
            }
        }
        Ok(request)
    }
}

/// Sets what may be there once only.
fn once<T>(place: &mut Option<T>, value: T, reason: &'static str) -> Result<(), Refused> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad_request(reason)),
    }
}

fn bad_request(reason: &'static str) -> Refused {
    Refused { status: 400, reason }
}

impl Accepted<'_> {
    /// Appends the whole response; frames follow it at once.
    pub fn write_response(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        );
        out.extend_from_slice(b"Sec-WebSocket-Accept: ");
        out.extend_from_slice(&self.accept_key);
        if let Some(protocol) = self.protocol {
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(protocol.as_bytes());
        }
        if let Some(agreed) = &self.deflate {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            out.extend_from_slice(agreed.header().as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

impl Refused {
    /// Appends the whole response, with the reason as its body. The connection is to be closed after it.
    pub fn write_response(&self, out: &mut Vec<u8>) {
        let phrase = match self.status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            426 => "Upgrade Required",
            429 => "Too Many Requests",
            503 => "Service Unavailable",
            _ => "Error",
        };
        let headers = match self.status {
            405 => "Allow: GET\r\nConnection: close\r\n",
            // RFC 9110 §15.5.22 wants the Upgrade header here, and RFC 6455 §4.4 the version.
            426 => "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n",
            _ => "Connection: close\r\n",
        };
        let (status, reason) = (self.status, self.reason);
        let response = format!(
            "HTTP/1.1 {status} {phrase}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{reason}\n",
            reason.len() + 1,
        );
        out.extend_from_slice(response.as_bytes());
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for Refused {}
