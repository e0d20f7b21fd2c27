//! URLs, as far as they are needed here.

use crate::error::{Error, ErrorKind, Peer};
use std::net::{SocketAddr, ToSocketAddrs};
use std::{fmt, io};

/// The port of the listener that speaks everything.
pub(crate) const MQTT_PORT: u16 = 1883;
/// The port of the listener that speaks MQTT-SN.
const MQTT_SN_PORT: u16 = 1884;
const HTTP_PORT: u16 = 80;
/// The port of MQTT over TLS.
const MQTTS_PORT: u16 = 8883;
const HTTPS_PORT: u16 = 443;

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) transport: Transport,
    /// Whether TLS is below that.
    pub(crate) is_tls: bool,
    pub(crate) protocol: Protocol,
    /// A name or an address; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With its query; only WebSocket has one.
    pub(crate) path: String,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<String>,
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
    Udp,
    /// A Unix socket; the host is its path.
    Unix,
}

/// What the bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Mqtt,
    MqttSn,
    Json,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none, or one of a kind that is not known here. The error never repeats a password.
    pub(crate) fn parse(url: &str) -> Result<Address, Error> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Error::usage(format!(
                "{url:?} is not an address: write mqtt://, mqtt-sn://, ws://, tcp:// or udp:// before the host, as in mqtt://127.0.0.1:1883, or unix:// before the path of a socket"
            )));
        };
        if scheme.eq_ignore_ascii_case("unix") {
            return unix(rest);
        }
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        let bad = |reason: &str| Error::usage(format!("{scheme}://{host}{path} is not an address: {reason}"));
        let (transport, port) = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => (Transport::Tcp, MQTT_PORT),
            "udp" => (Transport::Udp, MQTT_PORT),
            "mqtt-sn" => (Transport::Udp, MQTT_SN_PORT),
            "ws" => (Transport::WebSocket, HTTP_PORT),
            "mqtts" | "tcps" => (Transport::Tcp, MQTTS_PORT),
            "wss" => (Transport::WebSocket, HTTPS_PORT),
            "http" | "https" => {
                return Err(bad("a client speaks WebSocket there; write ws:// or wss:// instead"));
            }
            _ => {
                return Err(bad(
                    "it begins with none of mqtt://, mqtts://, mqtt-sn://, ws://, wss://, tcp://, tcps://, udp:// and unix://",
                ));
            }
        };
        let (host, port) = host_and_port(host, port).map_err(|reason| bad(&reason))?;
        let path = path_of(transport, path).map_err(|reason| bad(&reason))?;
        let protocol = match transport {
            Transport::Tcp if scheme.to_ascii_lowercase().starts_with("mqtt") => Protocol::Mqtt,
            Transport::WebSocket if path.split('?').next().is_some_and(|path| path.ends_with("/mqtt")) => {
                Protocol::Mqtt
            }
            Transport::Udp if scheme.eq_ignore_ascii_case("mqtt-sn") => Protocol::MqttSn,
            Transport::Tcp | Transport::WebSocket | Transport::Udp | Transport::Unix => Protocol::Json,
        };
        let (user_name, password) =
            match credentials.map(|c| c.split_once(':').map_or((c, None), |(u, p)| (u, Some(p)))) {
                Some((user, password)) => (Some(decoded(user)), password.map(decoded)),
                None => (None, None),
            };
        let [user_name, password] = [user_name, password].map(Option::transpose);
        let is_tls = ["mqtts", "tcps", "wss"].iter().any(|tls| scheme.eq_ignore_ascii_case(tls));
        Ok(Address {
            transport,
            is_tls,
            protocol,
            host,
            port,
            path,
            user_name: user_name.map_err(bad)?,
            password: password.map_err(bad)?,
        })
    }

    /// Tries the addresses of the host one after the other, and gives the error of the last one.
    ///
    /// # Errors
    /// When the name stands for no address, and what `attempt` fails with.
    pub(crate) async fn try_each<T, F: Future<Output = Result<T, Error>>>(
        &self,
        peer: &Peer,
        attempt: impl Fn(SocketAddr) -> F,
    ) -> Result<T, Error> {
        let found = self.found(tokio::net::lookup_host((self.host.as_str(), self.port)).await, peer)?;
        let mut last = self.nowhere(peer);
        for to in found {
            match attempt(to).await {
                Ok(done) => return Ok(done),
                // Who has answered has answered for all addresses of the hub.
                Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::Usage) => {
                    return Err(error);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The same where the thread may wait.
    ///
    /// # Errors
    /// As [`try_each`](Self::try_each).
    pub(crate) fn try_each_waiting<T>(
        &self,
        peer: &Peer,
        attempt: impl Fn(SocketAddr) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let found = self.found((self.host.as_str(), self.port).to_socket_addrs(), peer)?;
        let mut last = self.nowhere(peer);
        for to in found {
            match attempt(to) {
                Ok(done) => return Ok(done),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn found<T>(&self, found: io::Result<T>, peer: &Peer) -> Result<T, Error> {
        found.map_err(|error| peer.unreachable(format!("the name {} is not known ({error})", self.host)))
    }

    fn nowhere(&self, peer: &Peer) -> Error {
        peer.unreachable(format!("the name {} stands for no address", self.host))
    }

    /// The host as it stands in a URL: an IPv6 address in brackets.
    pub(crate) fn host_in_url(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

/// The URL again, without user name and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.transport, self.protocol) {
            (Transport::Tcp, Protocol::Mqtt) => "mqtt",
            (Transport::Tcp, Protocol::Json | Protocol::MqttSn) => "tcp",
            (Transport::WebSocket, _) => "ws",
            (Transport::Udp, Protocol::MqttSn) => "mqtt-sn",
            (Transport::Udp, _) => "udp",
            (Transport::Unix, _) => return write!(f, "unix://{}", self.host),
        };
        let s = if self.is_tls { "s" } else { "" };
        write!(f, "{scheme}{s}://{}:{}{}", self.host_in_url(), self.port, self.path)
    }
}

/// A Unix socket at a path, where JSON lines are spoken.
fn unix(path: &str) -> Result<Address, Error> {
    if !path.starts_with('/') || path.contains('\0') {
        let why = "is not an address: a Unix socket has an absolute path, as in unix:///run/trefoil.sock";
        return Err(Error::usage(format!("unix://{path} {why}")));
    }
    Ok(Address {
        transport: Transport::Unix,
        is_tls: false,
        protocol: Protocol::Json,
        host: path.into(),
        port: 0,
        path: String::new(),
        user_name: None,
        password: None,
    })
}

fn host_and_port(text: &str, default: u16) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("its [ has no ]")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("{host} is not an IPv6 address"));
            }
            let port = match rest.strip_prefix(':') {
                None if !rest.is_empty() => return Err(format!("{rest:?} cannot follow the host")),
                port => port,
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(format!("an IPv6 address stands in brackets, as in [{text}]"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("it names no host".into());
    }
    if let Some(bad) =
        host.chars().find(|c| c.is_control() || c.is_whitespace() || "\"<>\\^`{|}%".contains(*c))
    {
        return Err(format!("a host has no {bad:?} in it"));
    }
    match port {
        None | Some("") => Ok((host.into(), default)),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => Err(format!("the port {port:?} is not a number from 1 to 65535")),
            Ok(port) => Ok((host.into(), port)),
        },
    }
}

fn path_of(transport: Transport, path: &str) -> Result<String, String> {
    let path = path.split('#').next().unwrap_or_default();
    match (transport, path) {
        (Transport::WebSocket, "" | "/") => Ok("/ws".into()),
        (Transport::WebSocket, path) if !path.starts_with('/') => Ok(format!("/{path}")),
        (Transport::WebSocket, path) => Ok(path.into()),
        (_, "" | "/") => Ok(String::new()),
        (_, path) => Err(format!("only ws:// has a path; leave {path:?} out")),
    }
}

/// Takes `%41` back to `A`.
fn decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits =
            rest.split_first_chunk::<2>().filter(|(digits, _)| digits.iter().all(u8::is_ascii_hexdigit));
        let (digits, tail) =
            digits.ok_or("after % in user name or password two hexadecimal digits are expected")?;
        let nibble = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
        bytes.push(nibble(digits[0]) << 4 | nibble(digits[1]));
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| "user name or password is not UTF-8")
}

#[cfg(test)]
mod tests;
