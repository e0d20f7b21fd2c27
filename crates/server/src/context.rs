//! What every thread of the server knows.

use crate::access::{Access, Bans};
use crate::keeper::Keeper;
use crate::keeper::report::StoreSummary;
use crate::mail::Mailbox;
use crate::shard::mqtt_sn::Gateway;
use crate::shard::rooms::Lobby;
use crate::stats::{ListenerSummary, Stats, Summary};
use std::sync::atomic::AtomicUsize;
use std::time::Instant;
use trefoil_config::{Bind, Limits, Mqtt, Network, Origins, Protocols, Sys, WebSocket};

/// What every thread of the server knows.
pub(crate) struct Context {
    /// The limits of the configuration.
    pub(crate) limits: Limits,
    /// How WebSocket messages are compressed.
    pub(crate) websocket: WebSocket,
    /// The windows that are kept for that from message to message.
    pub(crate) contexts: crate::shard::Contexts,
    /// What MQTT clients are told about other servers.
    pub(crate) mqtt: Mqtt,
    /// What all shards know of the MQTT-SN gateway.
    pub(crate) gateway: Gateway,
    /// What all shards know of rooms.
    pub(crate) lobby: Lobby,
    /// The figures below `$SYS/broker`.
    pub(crate) sys: Sys,
    /// Who may connect; `None`: nobody is asked.
    pub(crate) access: Option<Access>,
    /// Who may not.
    pub(crate) bans: Bans,
    /// Who has failed too often to prove who it is.
    pub(crate) failures: crate::access::Failures,
    /// The listeners, by number, and behind them a number for each device that the hub connects to.
    pub(crate) listeners: Vec<ListenerContext>,
    /// These devices.
    pub(crate) dials: Vec<crate::dial::DialContext>,
    /// What the shards share of the hub.
    pub(crate) hub: std::sync::Arc<trefoil_hub::Shared>,
    /// The shards' mailboxes, by number.
    pub(crate) mailboxes: Vec<Mailbox>,
    /// The figures of each shard, and last those of what runs beside them.
    pub(crate) stats: Vec<Stats>,
    /// What is kept for the next start; `None`: nothing is.
    pub(crate) keeper: Option<std::sync::Arc<Keeper>>,
    /// Connections now, of all listeners.
    pub(crate) connections: AtomicUsize,
    /// Those of them that are channels.
    pub(crate) channels: AtomicUsize,
    /// Who listens and who calls, and who is joined.
    pub(crate) streams: crate::streams::Streams,
    /// How many open files there may be.
    pub(crate) descriptors: crate::descriptors::Descriptors,
    /// How much memory there may be, and how much there is.
    pub(crate) memory: crate::memory::Memory,
    /// When the server started: the zero of all [`trefoil_hub::Time`].
    pub(crate) started: Instant,
}

/// What every thread knows of a listener.
pub(crate) struct ListenerContext {
    /// Its address, with the real port.
    pub(crate) bind: Bind,
    /// What may be spoken there.
    pub(crate) protocols: Protocols,
    /// Clients that do not say who they are may connect.
    pub(crate) allow_anonymous: bool,
    /// Whether `/ws/echo` answers.
    pub(crate) echo: bool,
    /// Each connection begins with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// Who is believed when he says for whom he connects.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Pages of other hosts that may use it.
    pub(crate) allowed_origins: Origins,
    /// How TLS is spoken, if it is.
    pub(crate) tls: Option<crate::certificates::ListenerTls>,
    /// What happens to messages for which its connections have no room.
    pub(crate) slow_reader: trefoil_hub::SlowReader,
    /// Most connections at one time.
    pub(crate) connections_max: usize,
    /// Connections now.
    pub(crate) connections: AtomicUsize,
    /// What a framed one does with bytes.
    pub(crate) framed: Option<std::sync::Arc<crate::framed::Profile>>,
    /// It is no listener: the hub has made its connections itself.
    pub(crate) is_dial: bool,
}

impl Context {
    /// The figures of what runs beside the shards.
    pub(crate) fn stats_beside(&self) -> &Stats {
        &self.stats[self.stats.len() - 1]
    }

    /// The time now, on threads that are no shards.
    pub(crate) fn now(&self) -> trefoil_hub::Time {
        trefoil_hub::Time::from_ms(self.started.elapsed().as_millis() as u64)
    }

    /// How many sessions there are, of all shards, as of their last round.
    pub(crate) fn session_count(&self) -> usize {
        crate::stats::total(&self.stats, |s| &s.sessions) as usize
    }

    /// All figures added up.
    pub(crate) fn summary(&self) -> Summary {
        let listener = |l: &ListenerContext| ListenerSummary {
            bind: l.bind.to_string(),
            protocols: l.protocols.names().collect(),
        };
        let listeners = self.listeners.iter().filter(|l| !l.is_dial).map(listener).collect();
        let dials = self.dials.iter().map(crate::dial::DialContext::summary).collect();
        let (uptime_s, retained) = (self.started.elapsed().as_secs(), self.hub.retained.size().0);
        Summary::of(
            &self.stats,
            (listeners, dials),
            uptime_s,
            retained,
            StoreSummary::of(self.keeper.as_deref()),
        )
    }
}
