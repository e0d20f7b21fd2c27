//! `GET /metrics`: the figures as Prometheus reads them.

mod history;
mod presence;
mod process;
mod rooms;
mod store;
mod streams;
#[cfg(test)]
mod tests;

use super::routes::Site;
use crate::context::Context;
use crate::framed::Fault;
use crate::stats::{Drop, Figure, Kind, Stats, total};
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// What scrapers ask for by name. The page is valid as both.
const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// For everybody else; browsers show it.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures at this moment.
pub(super) async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Response {
    let mut registry = Registry::with_prefix("trefoil");
    registry.register_collector(Box::new(Figures(site.context)));
    let mut text = String::new();
    if let Err(fmt::Error) = encode(&mut text, &registry) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = if accepts.contains(OPEN_METRICS) { OPEN_METRICS_TEXT } else { PROMETHEUS_TEXT };
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// Reads the figures when it is asked, so that counting costs nothing more than it does anyway.
struct Figures(Arc<Context>);

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Figures").field(&self.0.stats).finish()
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let context = &*self.0;
        let (retained_messages, retained_bytes) = context.hub.retained.size();
        let mut page = Page(&mut encoder);
        self.totals(&mut page)?;
        page.gauges("connections", "Connections now, by what they speak.", "kind", self.connections())?;
        page.counters("dropped", "Deliveries dropped, by reason.", "reason", self.dropped())?;
        page.counters(
            "framed_faults",
            "Frames of raw connections, and connections, that came to nothing, by reason.",
            "reason",
            self.framed_faults(),
        )?;
        let connected = context.dials.iter().filter(|dial| dial.is_connected()).count() as i64;
        let waiting = context.dials.len() as i64 - connected;
        let dials = [("connected", connected), ("waiting", waiting)];
        page.gauges(
            "dials",
            "Devices that the hub connects to, by whether it is connected.",
            "state",
            dials,
        )?;
        let failures = context.dials.iter().map(crate::dial::DialContext::failures).sum();
        page.counter("dial_failures", "Attempts to connect to a device that came to nothing.", failures)?;
        page.counters("shard_ticks", "Times that each shard went round its loop.", "shard", self.ticks())?;
        page.gauge("retained_messages", "Retained messages now.", retained_messages as i64)?;
        page.gauge("retained_bytes", "Bytes of all retained messages now.", retained_bytes as i64)?;
        let (delayed_messages, delayed_bytes) = context.hub.delayed_size();
        page.gauge("delayed_messages", "Messages that wait to be published now.", delayed_messages as i64)?;
        page.gauge(
            "delayed_bytes",
            "Bytes of the messages that wait to be published now.",
            delayed_bytes as i64,
        )?;
        let exclusive = context.hub.exclusive_count() as i64;
        page.gauge("exclusive_subscriptions", "Exclusive subscriptions held now.", exclusive)?;
        page.gauge("uptime_seconds", "Seconds since the start.", context.started.elapsed().as_secs() as i64)?;
        page.gauges("build_info", "What is running; always 1.", "version", [(env!("CARGO_PKG_VERSION"), 1)])?;
        history::figures(&context.hub.history, &mut page)?;
        presence::figures(&context.hub.presence, &mut page)?;
        streams::figures(&context.streams, &mut page)?;
        rooms::figures(&context.stats, &mut page)?;
        let (refused, disconnected) = context.bans.figures();
        page.gauge("bans", "Bans now.", context.bans.len() as i64)?;
        page.counter("bans_refused", "Clients and connections refused since they are banned.", refused)?;
        page.counter("bans_disconnected", "Connections ended since they were banned.", disconnected)?;
        if let Some(access) = &context.access {
            let users = access.users();
            let counts = [("file", users.in_file().len() as i64), ("store", users.added().len() as i64)];
            page.gauges("users", "Users, by where they stand.", "source", counts)?;
        }
        let pauses = total(&context.stats, |stats| &stats.store_pauses);
        let refused = total(&context.stats, |stats| &stats.store_refused);
        store::figures(context.keeper.as_deref(), (pauses, refused), &mut page)?;
        let memory = &context.memory;
        page.gauge(
            "memory_stage",
            "What the hub does without since memory is short: 0 to 3.",
            memory.stage().into(),
        )?;
        if memory.is_limited() {
            page.gauge(
                "memory_max_bytes",
                "Memory that the hub may take.",
                memory.bytes_max().cast_signed(),
            )?;
            page.gauge("memory_used_bytes", "What of it was taken lately.", memory.used().cast_signed())?;
        }
        for (name, help, value) in process::figures() {
            page.gauge(name, help, value)?;
        }
        Ok(())
    }
}

impl Figures {
    /// What has no label.
    fn totals(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        type Read = fn(&Stats) -> &Figure;
        const GAUGES: [(&str, &str, Read); 7] = [
            ("sessions", "Sessions now, those without a connection included.", |s| &s.sessions),
            ("sessions_connected", "Sessions that have a connection now.", |s| &s.connected),
            ("subscriptions", "Subscriptions now, not counting shared ones.", |s| &s.subscriptions),
            ("shared_subscriptions", "Parts in shared subscriptions now.", |s| &s.shared_subscriptions),
            ("deliveries_in_flight", "Deliveries sent and not acknowledged now.", |s| &s.in_flight),
            ("deliveries_queued", "Deliveries that wait in sessions now.", |s| &s.queued),
            ("deliveries_queued_bytes", "Bytes of the deliveries that wait in sessions now.", |s| {
                &s.queued_bytes
            }),
        ];
        const COUNTERS: [(&str, &str, Read); 22] = [
            ("connections_accepted", "Connections accepted.", |s| &s.accepted),
            ("connections_refused", "Connections refused since a limit was reached.", |s| &s.refused),
            ("connections_handed_over", "Connections taken over from the process before.", |s| {
                &s.handed_over
            }),
            ("handover_failures", "Connections of the process before that could not go on.", |s| {
                &s.handover_failures
            }),
            ("proxy_refused", "Connections refused where the PROXY protocol is spoken.", |s| {
                &s.proxy_refused
            }),
            ("protocol_errors", "Connections closed since the peer broke its protocol.", |s| {
                &s.protocol_errors
            }),
            ("auth_failures", "Attempts to prove an identity that failed.", |s| &s.auth_failures),
            (
                "auth_throttled",
                "Attempts to prove an identity that were refused unseen: after too many failures, or in too long a queue.",
                |s| &s.auth_throttled,
            ),
            ("messages_in", "Messages that clients published.", |s| &s.messages_in),
            (
                "messages_refused",
                "Messages not published for their delay, their topic as rewritten, or its levels.",
                |s| &s.messages_refused,
            ),
            ("sessions_expired", "Sessions that ended since their client stayed away too long.", |s| {
                &s.expired_sessions
            }),
            ("messages_out", "Deliveries to clients.", |s| &s.messages_out),
            ("bytes_in", "Bytes read from sockets.", |s| &s.bytes_in),
            ("bytes_out", "Bytes written to sockets.", |s| &s.bytes_out),
            ("answers_lost", "Answers to UDP clients that had left, which were not sent.", |s| {
                &s.answers_lost
            }),
            ("mqtt_sn_resends", "Packets sent again to MQTT-SN clients that did not answer.", |s| {
                &s.mqtt_sn_resends
            }),
            ("mqtt_sn_lost", "MQTT-SN clients that fell silent or did not answer.", |s| &s.mqtt_sn_lost),
            ("framed_skipped_bytes", "Bytes of raw connections before start marks.", |s| {
                &s.framed_skipped_bytes
            }),
            ("slow_disconnects", "Connections closed since their clients did not keep up.", |s| {
                &s.slow_disconnects
            }),
            ("not_retained", "Messages not retained since there was no room.", |s| &s.not_retained),
            ("retained_evicted", "Retained messages that gave way to newer ones of their limit.", |s| {
                &s.retained_evicted
            }),
            ("redistributed", "Messages that another member of a shared subscription got instead.", |s| {
                &s.redistributed
            }),
        ];
        for (name, help, read) in GAUGES {
            page.gauge(name, help, total(&self.0.stats, read).cast_signed())?;
        }
        for (name, help, read) in COUNTERS {
            page.counter(name, help, total(&self.0.stats, read))?;
        }
        Ok(())
    }

    fn connections(&self) -> impl Iterator<Item = (&'static str, i64)> {
        Kind::ALL
            .iter()
            .map(|&(k, name)| (name, total(&self.0.stats, |s| &s.connections[k as usize]).cast_signed()))
    }

    fn dropped(&self) -> impl Iterator<Item = (String, u64)> {
        Drop::ALL
            .iter()
            .map(|&(d, name)| (name.to_string(), total(&self.0.stats, |s| &s.dropped[d as usize])))
    }

    fn framed_faults(&self) -> impl Iterator<Item = (String, u64)> {
        Fault::ALL
            .iter()
            .map(|&(f, name)| (name.to_string(), total(&self.0.stats, |s| &s.framed_faults[f as usize])))
    }

    fn ticks(&self) -> impl Iterator<Item = (String, u64)> {
        let shards = &self.0.stats[..self.0.stats.len() - 1];
        shards.iter().enumerate().map(|(number, stats)| (number.to_string(), stats.ticks.get()))
    }
}

/// The page under way.
struct Page<'p, 'e>(&'p mut DescriptorEncoder<'e>);

impl Page<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// `buckets` are upper bounds, each with how many it holds and the one before it does not.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        (sum, count): (f64, u64),
        buckets: &[(f64, u64)],
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, i64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            encoder.encode_family(&[(label, of)])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (String, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (of, value) in values {
            encoder
                .encode_family(&[(label, of.as_str())])?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }
}
