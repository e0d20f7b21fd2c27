//! HTTP on a shard: the head of a request says whether it becomes a WebSocket or a stream of events, which live here, or
//! is handed over to what runs beside the shards.

use super::ShardLoop;
use super::connection::{Form, Input, MqttInput};
use super::deflate;
use super::scarce;
use super::stream::Wish;
use crate::access::Credentials;
use crate::beside::hand_back::{is_channel, is_for_shard};
use crate::beside::{HandOver, origin};
use crate::stats::Kind;
use std::io::Write;
use trefoil_hub::ConnectionKey;
use trefoil_websocket::handshake::{self, Refused};
use trefoil_websocket::{Limits, Receiver, Role};

/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// Subprotocols of MQTT over WebSocket: the one of the specification [MQTT-6.0.0-3] [v3 MQTT-6.0.0-3], and the one that MQTT 3.1 had before.
const MQTT_PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// The subprotocol of JSON over WebSocket; it may be left out.
const JSON_PROTOCOLS: [&str; 1] = ["trefoil.v1.json"];
/// That of streams; it may be left out, too.
const STREAM_PROTOCOLS: [&str; 1] = ["trefoil.v1.stream"];
/// What stands before the name of a stream.
const STREAM_PATH: &str = "/stream/";
/// What a client offers beside it that cannot set headers: user name and password follow.
const AUTH_PROTOCOL: &[u8] = b"trefoil.auth.";

type Headers<'a> = [httparse::Header<'a>];

impl ShardLoop {
    /// Reads the head of a request. Returns how much of the input is done with, and whether more can be done.
    pub(super) fn http_head(&mut self, key: ConnectionKey, input: &[u8]) -> (usize, bool) {
        // What is answered does not wait for the disk because of what somebody else asked before: the answer to a
        // handshake has to be out before what follows it is put into frames.
        self.begin_event();
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(input) {
            Ok(httparse::Status::Complete(len)) if len <= self.net.context.limits.http_header_bytes_max => {
                let (method, path) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
                let minor = request.version.unwrap_or(0);
                let plain_path = path.split('?').next().unwrap_or(path);
                let upgrades = values(request.headers, "upgrade");
                if !is_for_shard(method, plain_path, upgrades.clone()) {
                    self.hand_over(key, input);
                    return (input.len(), true);
                }
                let is_upgrade = upgrades.count() > 0;
                if !self.take_forwarded(key, request.headers) {
                    return (input.len(), true);
                }
                if let Some(why) = ambiguous(minor, !is_upgrade && is_channel(plain_path), request.headers) {
                    self.http_refuse(key, "400 Bad Request", why);
                    return (input.len(), true);
                }
                if !is_upgrade && is_channel(plain_path) {
                    return self.channel_request(key, &request, len, input);
                }
                if self.net.takes_no_new() && !(is_upgrade && matches!(plain_path, "/mqtt" | "/")) {
                    // Who speaks MQTT is told in its words.
                    self.net.stats().refused.add(1);
                    self.http_say_no(key, "503 Service Unavailable", "Retry-After: 5\r\n", scarce::WHY);
                    return (input.len(), true);
                }
                // Who speaks MQTT or JSON in a WebSocket can say who it is in there.
                let has_other_way =
                    is_upgrade && plain_path != "/ws/echo" && !plain_path.starts_with(STREAM_PATH);
                let credentials = credentials(plain_path, request.headers);
                if !self.http_authenticate(key, credentials, has_other_way) {
                    let consumed = if self.is_waiting(key) { 0 } else { input.len() };
                    return (consumed, false);
                }
                if is_upgrade {
                    self.websocket_begin(key, (method, minor), path, request.headers);
                } else {
                    self.sse_begin(key, path, request.headers);
                }
                (len, true)
            }
            Ok(httparse::Status::Partial) if input.len() <= self.net.context.limits.http_header_bytes_max => {
                self.put_back(key, Input::HttpHead);
                (0, false)
            }
            Err(httparse::Error::TooManyHeaders) | Ok(_) => {
                let why = "the head of the request is larger than limits.http_header_bytes_max, or has too many headers";
                self.http_refuse(key, "431 Request Header Fields Too Large", why);
                (input.len(), true)
            }
            Err(error) => {
                self.http_refuse(key, "400 Bad Request", &format!("this is no HTTP request: {error}"));
                (input.len(), true)
            }
        }
    }

    pub(super) fn http_timeout(&mut self, key: ConnectionKey) {
        self.http_refuse(key, "408 Request Timeout", "the head of the request did not come in time");
    }

    /// Answers with an error and closes.
    pub(super) fn http_refuse(&mut self, key: ConnectionKey, status: &str, why: &str) {
        self.net.stats().protocol_errors.add(1);
        self.http_say_no(key, status, "", why);
    }

    /// The same with a header, to somebody who broke no rule.
    pub(super) fn http_say_no(&mut self, key: ConnectionKey, status: &str, header: &str, why: &str) {
        let response = format!(
            "HTTP/1.1 {status}\r\n{header}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}\n",
            why.len() + 1
        );
        self.net.answer(key, |out| out.extend_from_slice(response.as_bytes()));
        self.close(key);
    }

    fn websocket_begin(
        &mut self,
        key: ConnectionKey,
        (method, minor): (&str, u8),
        path: &str,
        headers: &Headers<'_>,
    ) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let wish = path.strip_prefix(STREAM_PATH).map(|name| Wish::read(name, query)).transpose();
        let wish = match wish {
            Ok(wish) => wish,
            Err(reason) => return self.websocket_refuse(key, Refused { status: 400, reason }),
        };
        let Some(connection) = self.net.get(key) else { return };
        let listener = &self.net.context.listeners[usize::from(connection.listener)];
        let (is_spoken, echo, allowed) =
            (listener.protocols.websocket, listener.echo, &listener.allowed_origins);
        let offers = |protocol: &str| offered(headers).any(|offered| offered == protocol.as_bytes());
        // [MQTT-6.0.0-4] [v3 MQTT-6.0.0-4]: whoever offers both gets the one of the specification, in whatever order.
        let mqtt = if offers(MQTT_PROTOCOLS[0]) { &MQTT_PROTOCOLS[..1] } else { &MQTT_PROTOCOLS[1..] };
        let (kind, protocols): (_, &[&str]) = match path {
            _ if !is_spoken => {
                let why = "WebSocket is not spoken on this listener";
                return self.websocket_refuse(key, Refused { status: 404, reason: why });
            }
            "/ws" => (Kind::JsonWebSocket, &JSON_PROTOCOLS),
            path if path.starts_with(STREAM_PATH) => (Kind::StreamWebSocket, &STREAM_PROTOCOLS),
            "/ws/echo" if echo => (Kind::EchoWebSocket, &[]),
            "/mqtt" => (Kind::MqttWebSocket, mqtt),
            // Where other brokers serve MQTT on any path, clients ask for this one.
            "/" if offers(mqtt[0]) => (Kind::MqttWebSocket, mqtt),
            _ => {
                let why = "no WebSocket here: /ws speaks JSON, /mqtt speaks MQTT, /stream/NAME is a stream";
                return self.websocket_refuse(key, Refused { status: 404, reason: why });
            }
        };
        let extensions = values(headers, "sec-websocket-extensions");
        let host = header(headers, "host").unwrap_or("");
        let headers = headers.iter().map(|h| (h.name, h.value));
        let mut accepted = match handshake::accept(method, minor, headers, protocols) {
            Ok(accepted) => accepted,
            Err(refused) => return self.websocket_refuse(key, refused),
        };
        if kind == Kind::MqttWebSocket && accepted.protocol.is_none() {
            let why = "MQTT over WebSocket needs Sec-WebSocket-Protocol: mqtt";
            return self.websocket_refuse(key, Refused { status: 400, reason: why });
        }
        if accepted.origin.is_some_and(|origin| !origin::is_allowed(origin, host, allowed)) {
            let why = "a page of another origin may not connect";
            return self.websocket_refuse(key, Refused { status: 403, reason: why });
        }
        let deflate;
        (accepted.deflate, deflate) = match deflate::agree(&self.net.context, kind, extensions) {
            Ok(agreed) => agreed,
            Err(refused) => return self.websocket_refuse(key, refused),
        };
        let is_deflated = accepted.deflate.is_some();
        self.net.answer(key, |out| accepted.write_response(out));
        if let Some(connection) = self.net.get_mut(key) {
            connection.deflate = deflate;
        }
        let is_old_mqtt = accepted.protocol == Some(MQTT_PROTOCOLS[1]);
        self.set_deadline(key, None);
        match wish {
            Some(wish) => self.stream_websocket_open(key, wish),
            None => self.websocket_open(key, kind, is_old_mqtt, is_deflated),
        }
        self.begin_pings(key);
    }

    fn websocket_open(&mut self, key: ConnectionKey, kind: Kind, is_old_mqtt: bool, is_deflated: bool) {
        let limits = &self.net.context.limits;
        let bytes_max = match kind {
            Kind::JsonWebSocket => limits.json_bytes_max,
            _ => limits.packet_bytes_max,
        };
        let limits = Limits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max };
        let receiver = Receiver::new(Role::Server, limits);
        let receiver = Box::new(if is_deflated { receiver.with_deflate() } else { receiver });
        match kind {
            Kind::MqttWebSocket => {
                if let Some(connection) = self.net.get_mut(key) {
                    connection.outbox.mark_framed();
                }
                let timeout_s = self.net.context.limits.first_bytes_timeout_s;
                self.set_deadline(key, Some(self.net.now.plus_s(timeout_s.into())));
                let state = Box::new(MqttInput { is_old: is_old_mqtt, ..MqttInput::default() });
                self.set_input(key, kind, Input::MqttWebSocket(receiver, state));
            }
            Kind::JsonWebSocket => {
                self.set_input(key, kind, Input::JsonWebSocket(receiver));
                self.json_open(key, Form::JsonText);
            }
            _ => self.set_input(key, kind, Input::Echo(receiver)),
        }
    }

    fn websocket_refuse(&mut self, key: ConnectionKey, refused: Refused) {
        self.net.stats().protocol_errors.add(1);
        self.net.answer(key, |out| refused.write_response(out));
        self.close(key);
    }

    fn hand_over(&mut self, key: ConnectionKey, input: &[u8]) {
        let forwarded = self.net.get(key).and_then(|c| c.proxied().connection);
        let Some((stream, listener, _)) = self.take_out(key) else { return };
        let peer = stream.peer();
        let hand_over = HandOver { peer, forwarded, stream, listener, input: input.to_vec() };
        if let Err(mut back) = self.hands.take(hand_over) {
            // The socket has just been read from, so a line finds room in it; if not, closing says it too.
            let _ = back.stream.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            self.dismiss(listener);
        }
    }
}

/// What a request says about who asks, if it says anything: in the header for that, or in a subprotocol where JSON is spoken.
fn credentials(path: &str, headers: &Headers<'_>) -> Option<Option<Credentials>> {
    if let Some(header) = values(headers, "authorization").next() {
        return Some(Credentials::read(header));
    }
    let encoded = offered(headers).find_map(|offered| offered.strip_prefix(AUTH_PROTOCOL));
    encoded.filter(|_| path == "/ws" || path.starts_with(STREAM_PATH)).map(Credentials::read_url)
}

/// The subprotocols that a client offers.
fn offered<'a>(headers: &Headers<'a>) -> impl Iterator<Item = &'a [u8]> {
    let lists = values(headers, "sec-websocket-protocol");
    lists.flat_map(|list| list.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// What is wrong with the headers of a request of which one can be taken for another: HTTP/1.1 has to say which host it means
/// (RFC 9112 §3.2), and a page has one origin.
fn ambiguous(minor: u8, needs_host: bool, headers: &Headers<'_>) -> Option<&'static str> {
    if needs_host && minor > 0 && values(headers, "host").count() != 1 {
        return Some("a request of HTTP/1.1 has one Host header");
    }
    (values(headers, "origin").count() > 1).then_some("a request has at most one Origin header")
}

/// The values of all headers of a name.
pub(super) fn values<'a>(
    headers: &Headers<'a>,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> + Clone {
    headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// The value of a header.
pub(super) fn header<'a>(headers: &Headers<'a>, name: &'static str) -> Option<&'a str> {
    values(headers, name).next().and_then(|value| std::str::from_utf8(value).ok())
}
