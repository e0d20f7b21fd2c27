//! What is left of a configuration once everything in it has been checked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::access::{Auth, Bans};
use crate::extensions::{Delayed, Exclusive, Mqtt, MqttSn, RetainedLimit, Rewrite, Shared, Sys};
use crate::framed::{Dial, Framed};
use crate::limits::Limits;
use crate::network::Network;
use crate::origins::Origins;
use crate::rooms::Rooms;
use crate::store::Store;
use crate::tls::Tls;
use crate::websocket::WebSocket;
use trefoil_hub::{AutomaticSubscription, HistoryRule, SlowReader};

/// A whole configuration, checked: the server may rely on every field without looking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Anybody may connect to any listener, also from other machines. Whoever needs it for one listener only
    /// says so there; by the time a `Config` exists, that has been checked.
    pub allow_anonymous: bool,
    /// Threads that serve connections; 0 means one per core.
    pub shards: usize,
    /// The memory that the hub may take.
    pub memory_max: MemoryMax,
    /// Who may connect.
    pub auth: Auth,
    /// Who may not connect.
    pub bans: Bans,
    /// Where the server accepts. Never empty, and no address (port 0 excepted) occurs twice.
    pub listeners: Vec<Listener>,
    /// Devices that the server connects to.
    pub dial: Vec<Dial>,
    /// How much of everything there may be.
    pub limits: Limits,
    /// How WebSocket messages are compressed.
    pub websocket: WebSocket,
    /// What MQTT clients are told about other servers.
    pub mqtt: Mqtt,
    /// How shared subscriptions choose.
    pub shared: Shared,
    /// Bounds for the retained messages of some topics, in the order in which they are tried.
    pub retained: Vec<RetainedLimit>,
    /// The figures below `$SYS/broker`.
    pub sys: Sys,
    /// Messages to `$delayed/…`.
    pub delayed: Delayed,
    /// Subscriptions to `$exclusive/…`.
    pub exclusive: Exclusive,
    /// Rules that change topics, in the order in which they are tried.
    pub rewrite: Vec<Rewrite>,
    /// What clients are subscribed to when they connect.
    pub subscribe: Vec<AutomaticSubscription>,
    /// What happens to messages for which a receiver is too slow, by topic, in the order in which they are tried: a valid
    /// filter, not of a shared subscription, and what holds for it.
    pub slow_readers: Vec<(String, SlowReader)>,
    /// Of which topics the last messages are kept, in the order in which they are tried: the filters are valid and not of a
    /// shared subscription.
    pub history: Vec<HistoryRule>,
    /// The MQTT-SN gateway.
    pub mqtt_sn: MqttSn,
    /// Datagram channels.
    pub rooms: Rooms,
    /// What is written to standard error.
    pub log: Log,
    /// What outlives the hub.
    pub store: Store,
    /// What was accepted and yet deserves a word: each is one sentence for the person who starts the server.
    pub warnings: Vec<String>,
}

impl Default for Config {
    /// What a server without a configuration does: four listeners, all on loopback.
    fn default() -> Self {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let web = Protocols { http: true, websocket: true, ..Protocols::NONE };
        let listener = |bind: Bind, protocols| Listener {
            bind,
            protocols,
            allow_anonymous: true,
            echo: false,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            allowed_origins: Origins::default(),
            slow_reader: SlowReader::default(),
            connections_max: 0,
            socket_mode: SOCKET_MODE,
            tls: None,
            framed: None,
        };
        let (tcp, udp, http) = (Bind::Tcp(local(1883)), Bind::Udp(local(1883)), Bind::Tcp(local(8080)));
        let devices = Protocols { mqtt_sn: true, ..Protocols::NONE };
        Config {
            allow_anonymous: false,
            shards: 0,
            memory_max: MemoryMax::Unlimited,
            auth: Auth::default(),
            bans: Bans::default(),
            listeners: vec![
                listener(tcp.clone(), Protocols::usual(&tcp)),
                listener(udp.clone(), Protocols::usual(&udp)),
                listener(Bind::Udp(local(1884)), devices),
                listener(http, web),
            ],
            dial: Vec::new(),
            limits: Limits::default(),
            websocket: WebSocket::default(),
            mqtt: Mqtt::default(),
            shared: Shared::default(),
            retained: Vec::new(),
            sys: Sys::default(),
            delayed: Delayed::default(),
            exclusive: Exclusive::default(),
            rewrite: Vec::new(),
            subscribe: Vec::new(),
            slow_readers: Vec::new(),
            history: Vec::new(),
            mqtt_sn: MqttSn::default(),
            rooms: Rooms::default(),
            log: Log::default(),
            store: Store::default(),
            warnings: Vec::new(),
        }
    }
}

/// How much memory the hub may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MemoryMax {
    /// As much as there is.
    #[default]
    Unlimited,
    /// So many bytes, at least one.
    Bytes(u64),
    /// 1 to 100 percent of the machine's memory.
    Percent(u8),
}

/// One address on which the server accepts, and what it speaks there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Transport and address. Port 0 lets the system choose.
    pub bind: Bind,
    /// What is spoken here; at least one.
    pub protocols: Protocols,
    /// Clients that do not say who they are may connect. So they may wherever there are no users.
    pub allow_anonymous: bool,
    /// `/ws/echo` sends every message back, for outside WebSocket test suites. Only together with `websocket`.
    pub echo: bool,
    /// What happens to messages for which a client that connects here is too slow.
    pub slow_reader: SlowReader,
    /// Each connection begins with a header of the PROXY protocol. Only on TCP, and only with trusted proxies.
    pub proxy_protocol: bool,
    /// Who is believed when he says for whom he connects.
    pub trusted_proxies: Vec<Network>,
    /// Pages of other hosts that may use it.
    pub allowed_origins: Origins,
    /// Connections (over UDP: peers) at one time; 0 means as many as the process may open files.
    pub connections_max: usize,
    /// Who may connect to a Unix socket: the permissions of its file.
    pub socket_mode: u32,
    /// Whether TLS is spoken, and with what. Only over streams.
    pub tls: Option<Tls>,
    /// What makes it a framed one, if it speaks that.
    pub framed: Option<Arc<Framed>>,
}

/// The owner and the group may connect to a Unix socket.
pub(crate) const SOCKET_MODE: u32 = 0o660;

/// Transport and address of a listener. Displayed as it is written in the file: `tcp://127.0.0.1:1883`, `unix:///run/trefoil.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// A TCP listener.
    Tcp(SocketAddr),
    /// A UDP socket.
    Udp(SocketAddr),
    /// A Unix socket for streams, at this absolute path.
    Unix(PathBuf),
}

impl Bind {
    /// The address of the network without its transport; a Unix socket has none.
    pub fn addr(&self) -> Option<SocketAddr> {
        match self {
            Bind::Tcp(addr) | Bind::Udp(addr) => Some(*addr),
            Bind::Unix(_) => None,
        }
    }

    /// Whether it carries streams.
    pub fn is_stream(&self) -> bool {
        !matches!(self, Bind::Udp(_))
    }

    /// Whether the system is to choose the port.
    pub fn is_any_port(&self) -> bool {
        self.addr().is_some_and(|addr| addr.port() == 0)
    }

    /// Whether both cannot be open at a time although they are not the same: one is a port on every address of the
    /// machine, the other the same port on one of them.
    pub fn overlaps(&self, other: &Bind) -> bool {
        let (Some(own), Some(others)) = (self.addr(), other.addr()) else { return false };
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && own != others
            && own.port() == others.port()
            && own.port() != 0
            && own.is_ipv4() == others.is_ipv4()
            && (own.ip().is_unspecified() || others.ip().is_unspecified())
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.addr().is_none_or(|addr| addr.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(addr) => write!(f, "tcp://{addr}"),
            Bind::Udp(addr) => write!(f, "udp://{addr}"),
            Bind::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// The protocols of a listener. Displayed as a list: `mqtt, http, websocket, json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Protocols {
    /// MQTT 3.1, 3.1.1 and 5.0 straight on TCP.
    pub mqtt: bool,
    /// HTTP: console, API, server-sent events, metrics.
    pub http: bool,
    /// WebSocket: MQTT on `/mqtt`, JSON on `/ws`.
    pub websocket: bool,
    /// JSON: lines on TCP, datagrams on UDP.
    pub json: bool,
    /// Datagram channels on UDP.
    pub rooms: bool,
    /// MQTT-SN 1.2 on UDP. It has its listener for itself.
    pub mqtt_sn: bool,
    /// Frames of raw sockets. It has its listener for itself.
    pub framed: bool,
}

impl Protocols {
    /// Nothing at all, to start from.
    pub const NONE: Protocols = Protocols {
        mqtt: false,
        http: false,
        websocket: false,
        json: false,
        rooms: false,
        mqtt_sn: false,
        framed: false,
    };

    /// What a listener speaks when its `protocols` are not written down: over a stream all that it can carry, on UDP JSON
    /// and rooms.
    pub fn usual(bind: &Bind) -> Protocols {
        match bind {
            Bind::Tcp(_) | Bind::Unix(_) => {
                Protocols { mqtt: true, http: true, websocket: true, json: true, ..Protocols::NONE }
            }
            Bind::Udp(_) => Protocols { json: true, rooms: true, ..Protocols::NONE },
        }
    }

    /// The names of those that are on, as they are written in the file.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("mqtt", self.mqtt),
            ("http", self.http),
            ("websocket", self.websocket),
            ("json", self.json),
            ("rooms", self.rooms),
            ("mqtt-sn", self.mqtt_sn),
            ("framed", self.framed),
        ];
        all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name)
    }

    /// Whether nothing is on.
    pub fn is_empty(&self) -> bool {
        *self == Protocols::NONE
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Log {
    /// The least important kind of line that is still written.
    pub level: LogLevel,
}

/// How important a line of the log is, from most to least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd and the server went on.
    Warn,
    /// What an operator wants to read afterwards.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All of them, from most to least important.
    pub const ALL: [LogLevel; 5] =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

    /// Its name in the file; `tracing` knows it by the same.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_configured_is_reachable_from_this_machine_only() {
        let config = Config::default();
        assert!(config.listeners.iter().all(|l| l.bind.is_loopback()));
        let shown: Vec<String> =
            config.listeners.iter().map(|l| format!("{}  {}", l.bind, l.protocols)).collect();
        assert_eq!(
            shown,
            [
                "tcp://127.0.0.1:1883  mqtt, http, websocket, json",
                "udp://127.0.0.1:1883  json, rooms",
                "udp://127.0.0.1:1884  mqtt-sn",
                "tcp://127.0.0.1:8080  http, websocket",
            ]
        );
    }

    #[test]
    fn every_address_overlaps_with_each() {
        let tcp = |text: &str| Bind::Tcp(text.parse().expect("an address of this test"));
        let udp = |text: &str| Bind::Udp(text.parse().expect("an address of this test"));
        assert!(tcp("0.0.0.0:1").overlaps(&tcp("127.0.0.1:1")));
        assert!(tcp("[::1]:1").overlaps(&tcp("[::]:1")));
        for (one, other) in [
            (tcp("0.0.0.0:1"), tcp("0.0.0.0:1")),
            (tcp("0.0.0.0:1"), tcp("127.0.0.1:2")),
            (tcp("0.0.0.0:1"), udp("127.0.0.1:1")),
            (tcp("0.0.0.0:1"), tcp("[::1]:1")),
            (tcp("0.0.0.0:0"), tcp("127.0.0.1:0")),
            (tcp("127.0.0.2:1"), tcp("127.0.0.1:1")),
        ] {
            assert!(!one.overlaps(&other), "{one} {other}");
        }
    }

    #[test]
    fn loopback_is_seen_in_every_spelling() {
        for (text, loopback) in [
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.0.1:1", false),
        ] {
            let addr: SocketAddr = text.parse().expect("an address of the list above");
            assert_eq!(Bind::Tcp(addr).is_loopback(), loopback, "{text}");
        }
    }
}
