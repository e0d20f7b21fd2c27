//! Server-sent events: `GET /sse?topic=FILTER&topic=…`.

use super::ShardLoop;
use super::connection::{Form, Input};
use super::http::header;
use crate::access::kept::CLIENT_ID_IS_BANNED;
use crate::beside::origin;
use crate::stats::Kind;
use std::borrow::Cow;
use trefoil_hub::{Connect, ConnectionKey, Filter, RetainHandling, SubscriptionOptions};

/// How often a comment is sent, so that proxies do not take the stream for dead.
const BEAT_S: u64 = 15;

impl ShardLoop {
    pub(super) fn sse_begin(&mut self, key: ConnectionKey, path: &str, headers: &[httparse::Header<'_>]) {
        // Nothing that another client waits for keeps the head back, behind which the events go.
        self.begin_event();
        let Some(connection) = self.net.get(key) else { return };
        let listener = &self.net.context.listeners[usize::from(connection.listener)];
        if !listener.protocols.http {
            return self.http_refuse(
                key,
                "404 Not Found",
                "HTTP is not spoken on this listener, only WebSocket",
            );
        }
        let origin = header(headers, "origin");
        let (host, allowed) = (header(headers, "host").unwrap_or(""), &listener.allowed_origins);
        if origin.is_some_and(|o| !origin::is_allowed(o, host, allowed)) {
            return self.http_refuse(key, "403 Forbidden", "a page of another origin may not read this");
        }
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let pairs = form_urlencoded::parse(query.as_bytes());
        let filters: Vec<_> = pairs.filter(|(name, _)| name == "topic").map(|(_, filter)| filter).collect();
        if filters.is_empty() {
            let why = "which topics? Ask for /sse?topic=FILTER, for instance /sse?topic=home/%23 for home/#";
            return self.http_refuse(key, "400 Bad Request", why);
        }
        // Where a script connects anew and cannot set the header, it says so in the address.
        let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "last_event_id");
        let asked = asked.map(|(_, id)| id);
        let id = header(headers, "last-event-id").or(asked.as_deref()).filter(|id| !id.is_empty());
        let levels_max = self.net.context.limits.topic_levels_max;
        for filter in &filters {
            if let Err(error) = Filter::parse(filter, levels_max) {
                let why = format!("the filter {filter:?} is not valid: {error}");
                return self.http_refuse(key, "400 Bad Request", &why);
            }
        }
        let client_id = self.assign_client_id("sse");
        if self.net.context.bans.refuses_client_id(&client_id) {
            return self.http_say_no(key, "403 Forbidden", "", CLIENT_ID_IS_BANNED);
        }
        self.set_input(key, Kind::Sse, Input::Ignored);
        let allow =
            origin.map_or(String::new(), |o| format!("Access-Control-Allow-Origin: {o}\r\nVary: Origin\r\n"));
        // The one in the middle asks nginx and its like to pass each event on at once, and not to gather pages of them.
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nCache-Control: no-store\r\n{allow}Connection: close\r\n\r\n"
        );
        self.net.answer(key, |out| out.extend_from_slice(head.as_bytes()));
        self.sse_subscribe(key, &client_id, &filters, id);
        self.set_deadline(key, Some(self.net.now.plus_s(BEAT_S)));
    }

    fn sse_subscribe(
        &mut self,
        key: ConnectionKey,
        client_id: &str,
        filters: &[Cow<'_, str>],
        id: Option<&str>,
    ) {
        self.finish_run();
        let identity = self.net.get(key).and_then(|c| c.user.clone());
        let slow_reader = self.slow_reader(key);
        let (kind, tag) = (self.client_kind(key), self.connection_tag(key));
        let connect =
            Connect { identity, slow_reader, follows: true, kind, tag, ..Connect::new(client_id, key) };
        let connected = self.hub.connect(self.net.now, connect, &mut self.net);
        if let Some(connection) = self.net.get_mut(key) {
            connection.session = Some(connected.session);
            connection.form = Form::Sse(None);
        }
        for filter in filters {
            let made = self.hub.subscribe(
                connected.session,
                filter,
                SubscriptionOptions::default(),
                RetainHandling::Send,
            );
            if let Err(error) = made {
                let line = format!(": {filter} is not subscribed: {error}\n\n");
                self.net.answer(key, |out| out.extend_from_slice(line.as_bytes()));
            }
        }
        self.sse_follow(key, connected.session, filters, id);
        self.resume(key, connected.session);
    }

    pub(super) fn sse_beat(&mut self, key: ConnectionKey) {
        self.net.answer(key, |out| out.extend_from_slice(b":\n\n"));
        self.set_deadline(key, Some(self.net.now.plus_s(BEAT_S)));
    }
}
