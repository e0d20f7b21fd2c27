//! What the hub counts, and where it can be read while it runs.

use crate::keeper::report::StoreSummary;
use crate::shard::rooms::RoomFigures;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a delivery was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Drop {
    /// The receiver's outbox was full.
    OutboxFull,
    /// The receiver takes no packet of that size.
    TooLarge,
    /// The session's queue was full.
    QueueFull,
    /// The message had expired.
    Expired,
    /// No member of a shared subscription could take it.
    NoMember,
    /// A datagram was not acknowledged, however often it was sent.
    Unacknowledged,
    /// An MQTT-SN client has as many topic ids as it may have.
    NoTopicId,
    /// A newer one on the same topic came while it waited.
    Replaced,
    /// As much waited in all sessions together as may.
    TotalFull,
    /// It answers a request that nobody waits for.
    NoRequest,
    /// Memory was short, and the receiver's socket took no more.
    Memory,
    /// The receiver's framing cannot carry it.
    Unframed,
}

impl Drop {
    pub(crate) const ALL: [(Drop, &'static str); 12] = [
        (Drop::OutboxFull, "outbox_full"),
        (Drop::TooLarge, "too_large"),
        (Drop::QueueFull, "queue_full"),
        (Drop::Expired, "expired"),
        (Drop::NoMember, "no_member"),
        (Drop::Unacknowledged, "unacknowledged"),
        (Drop::NoTopicId, "no_topic_id"),
        (Drop::Replaced, "replaced"),
        (Drop::TotalFull, "total_full"),
        (Drop::NoRequest, "no_request"),
        (Drop::Memory, "memory"),
        (Drop::Unframed, "unframed"),
    ];
}

/// The kinds of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Kind {
    /// Whose first bytes have not come yet.
    New,
    Mqtt,
    MqttWebSocket,
    JsonWebSocket,
    EchoWebSocket,
    JsonTcp,
    JsonUdp,
    /// Joined with another connection.
    Stream,
    /// The same over WebSocket, or on its way there.
    StreamWebSocket,
    MqttSn,
    /// Frames over TCP, whoever made the connection.
    FramedTcp,
    FramedUdp,
    Sse,
    /// A channel whose readers are answered one by one.
    Poll,
    Http,
}

impl Kind {
    pub(crate) const ALL: [(Kind, &'static str); 15] = [
        (Kind::New, "new"),
        (Kind::Mqtt, "mqtt"),
        (Kind::MqttWebSocket, "mqtt_ws"),
        (Kind::JsonWebSocket, "json_ws"),
        (Kind::EchoWebSocket, "echo_ws"),
        (Kind::JsonTcp, "json_tcp"),
        (Kind::JsonUdp, "json_udp"),
        (Kind::Stream, "stream"),
        (Kind::StreamWebSocket, "stream_ws"),
        (Kind::MqttSn, "mqtt_sn"),
        (Kind::FramedTcp, "framed_tcp"),
        (Kind::FramedUdp, "framed_udp"),
        (Kind::Sse, "sse"),
        (Kind::Poll, "poll"),
        (Kind::Http, "http"),
    ];
}

/// A number that one thread writes and all may read.
#[derive(Default, Debug)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Only the owner adds, so that no locked instruction is needed on the way of a message.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// For what several threads count.
    pub(crate) fn shared_add(&self, n: i64) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// The figures of one shard, or of what runs beside the shards.
#[derive(Default, Debug)]
pub(crate) struct Stats {
    /// Connections now, by [`Kind`].
    pub(crate) connections: [Figure; Kind::ALL.len()],
    /// Connections accepted since the start.
    pub(crate) accepted: Figure,
    /// Connections refused since a limit was reached.
    pub(crate) refused: Figure,
    /// Connections refused where the PROXY protocol is spoken.
    pub(crate) proxy_refused: Figure,
    /// Connections closed since the peer broke its protocol.
    pub(crate) protocol_errors: Figure,
    /// Times that a publisher was not read from, since too much was on its way to the disk.
    pub(crate) store_pauses: Figure,
    /// Messages over HTTP and UDP that were refused for that.
    pub(crate) store_refused: Figure,
    /// Attempts to prove an identity that failed.
    pub(crate) auth_failures: Figure,
    /// Attempts that were not looked at, since their address had failed too often or there were too many.
    pub(crate) auth_throttled: Figure,
    /// Connections taken over from another process.
    pub(crate) handed_over: Figure,
    /// Connections of another process that could not go on.
    pub(crate) handover_failures: Figure,
    /// Sessions now.
    pub(crate) sessions: Figure,
    /// Sessions that have a connection now.
    pub(crate) connected: Figure,
    /// Clients that have come.
    pub(crate) connects: Figure,
    /// Sessions that ended since their client stayed away for too long.
    pub(crate) expired_sessions: Figure,
    /// Parts in shared subscriptions now.
    pub(crate) shared_subscriptions: Figure,
    /// Deliveries sent and not acknowledged now.
    pub(crate) in_flight: Figure,
    /// Deliveries that wait in sessions now.
    pub(crate) queued: Figure,
    /// Their bytes.
    pub(crate) queued_bytes: Figure,
    /// Subscriptions now, not counting shared ones.
    pub(crate) subscriptions: Figure,
    /// Messages published by clients.
    pub(crate) messages_in: Figure,
    /// Deliveries to clients.
    pub(crate) messages_out: Figure,
    /// Packets and requests of clients, those that publish among them.
    pub(crate) packets_in: Figure,
    /// Packets to clients that deliver nothing.
    pub(crate) answers: Figure,
    /// Answers to UDP peers that have left, which were not sent.
    pub(crate) answers_lost: Figure,
    /// Bytes of the payloads of messages that clients published.
    pub(crate) payload_in: Figure,
    /// Bytes of the payloads of deliveries.
    pub(crate) payload_out: Figure,
    /// Messages not published since no rule or delay allows it.
    pub(crate) messages_refused: Figure,
    /// Bytes read from sockets.
    pub(crate) bytes_in: Figure,
    /// Bytes written to sockets.
    pub(crate) bytes_out: Figure,
    /// Connections closed since they did not keep up and their policy says so.
    pub(crate) slow_disconnects: Figure,
    /// Bytes that wait in outboxes now; counted only if there is a limit on memory.
    pub(crate) outbox_bytes: Figure,
    /// Deliveries dropped, by [`Drop`].
    pub(crate) dropped: [Figure; Drop::ALL.len()],
    /// Messages not retained since the table was full.
    pub(crate) not_retained: Figure,
    /// Retained messages that gave way to newer ones.
    pub(crate) retained_evicted: Figure,
    /// Messages that went from one member of a shared subscription to another.
    pub(crate) redistributed: Figure,
    /// Packets sent again to MQTT-SN clients that did not answer.
    pub(crate) mqtt_sn_resends: Figure,
    /// MQTT-SN clients that fell silent or did not answer.
    pub(crate) mqtt_sn_lost: Figure,
    /// What is of rooms.
    pub(crate) rooms: RoomFigures,
    /// Frames, or bytes, that came to nothing, by [`Fault`](crate::framed::Fault).
    pub(crate) framed_faults: [Figure; crate::framed::Fault::ALL.len()],
    /// Bytes before start marks.
    pub(crate) framed_skipped_bytes: Figure,
    /// Times that the shard went round its loop.
    pub(crate) ticks: Figure,
}

/// All figures at one moment, added up: what `$SYS/trefoil/stats` and `/api/v1/stats` say.
#[derive(Serialize, Default, Debug)]
pub(crate) struct Summary {
    pub(crate) uptime_s: u64,
    pub(crate) version: &'static str,
    pub(crate) listeners: Vec<ListenerSummary>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) dials: Vec<DialSummary>,
    pub(crate) connections: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) sessions: u64,
    pub(crate) subscriptions: u64,
    pub(crate) retained: u64,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) dropped: u64,
    pub(crate) auth_failures: u64,
    pub(crate) store: StoreSummary,
}

/// Where the hub listens.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct ListenerSummary {
    pub(crate) bind: String,
    pub(crate) protocols: Vec<&'static str>,
}

/// A device that the hub connects to.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct DialSummary {
    pub(crate) address: String,
    pub(crate) name: String,
    pub(crate) connected: bool,
    /// Attempts that came to nothing.
    pub(crate) failures: u64,
}

/// Adds up one figure.
pub(crate) fn total(all: &[Stats], figure: impl Fn(&Stats) -> &Figure) -> u64 {
    all.iter().map(|s| figure(s).get()).fold(0, u64::wrapping_add)
}

impl Summary {
    /// Adds up what all have counted.
    pub(crate) fn of(
        all: &[Stats],
        (listeners, dials): (Vec<ListenerSummary>, Vec<DialSummary>),
        uptime_s: u64,
        retained: usize,
        store: StoreSummary,
    ) -> Summary {
        let sum = |figure: fn(&Stats) -> &Figure| total(all, figure);
        let connections = Kind::ALL.iter().filter(|(kind, _)| *kind != Kind::New);
        Summary {
            uptime_s,
            version: env!("CARGO_PKG_VERSION"),
            listeners,
            dials,
            connections: connections
                .map(|&(k, name)| (name, total(all, |s| &s.connections[k as usize])))
                .collect(),
            sessions: sum(|s| &s.sessions),
            subscriptions: sum(|s| &s.subscriptions),
            retained: retained as u64,
            messages_in: sum(|s| &s.messages_in),
            messages_out: sum(|s| &s.messages_out),
            bytes_in: sum(|s| &s.bytes_in),
            bytes_out: sum(|s| &s.bytes_out),
            auth_failures: sum(|s| &s.auth_failures),
            dropped: Drop::ALL.iter().map(|&(d, _)| total(all, |s| &s.dropped[d as usize])).sum(),
            store,
        }
    }
}
