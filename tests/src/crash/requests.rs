//! Publishers that speak JSON over TCP, and HTTP.

use super::players::{DEVICE_TOPICS, JSON_WEBSOCKET, KEPT_TOPICS, LATER_TOPICS, TOPICS};
use super::stage::Stage;
use super::transport::{self, Transport, Way};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use trefoil_model::{Event, Message, Random};

/// Messages that a JSON publisher has under way at most.
const UNDER_WAY_MAX: usize = 8;

/// How the reading of a piece of text ended.
pub(super) enum Came {
    Line(String),
    Nothing,
    TheEnd,
}

/// A connection that is read in lines.
pub(super) struct Lines {
    transport: Transport,
    input: Vec<u8>,
}

impl Lines {
    pub(super) fn open(stage: &Stage, way: Way) -> Option<Lines> {
        Transport::open(stage, way).map(|transport| Lines { transport, input: Vec::new() })
    }

    /// Sends text; whether the system took it.
    pub(super) fn send(&mut self, text: &str) -> bool {
        self.transport.send(text.as_bytes())
    }

    /// The next line, after waiting for a moment at most.
    pub(super) fn line(&mut self) -> Came {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Came::Line(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            match self.transport.receive() {
                transport::Came::Bytes(bytes) => self.input.extend(bytes),
                transport::Came::Nothing => return Came::Nothing,
                transport::Came::TheEnd => return Came::TheEnd,
            }
        }
    }

    /// Ends the connection, and waits until nothing that was sent on it can reach the hub any more.
    pub(super) fn end(mut self) {
        self.transport.shut();
        let deadline = Instant::now() + crate::DEADLINE;
        while Instant::now() < deadline && !matches!(self.line(), Came::TheEnd) {}
    }
}

/// A JSON publisher, over TCP or WebSocket: what is not acknowledged is sent again on the next connection.
pub(super) fn json(stage: &Stage, number: usize, seed: u64) {
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
    let mut pending: VecDeque<Message> = VecDeque::new();
    let way = if number == JSON_WEBSOCKET { Way::WebSocketJson } else { Way::Tcp };
    while !(stage.is_over() || stage.is_settling() && pending.is_empty()) {
        let since = stage.cuts();
        let Some(mut lines) = Lines::open(stage, way) else { continue };
        let mut output = String::new();
        for message in &pending {
            stage.evidence().main.add(number, Event::Resent(message.number));
            put(message, &mut output);
        }
        while !(stage.is_cut(since) || stage.is_settling() && pending.is_empty()) {
            if !stage.is_settling() && pending.len() < UNDER_WAY_MAX && random.chance(60) {
                let message = draw(stage.number(), 1, &mut random);
                stage.evidence().main.add(number, Event::Sent(message.clone()));
                put(&message, &mut output);
                pending.push_back(message);
            }
            if !lines.send(&output) {
                break;
            }
            output.clear();
            match lines.line() {
                Came::Nothing => {}
                Came::TheEnd => break,
                Came::Line(line) => {
                    let first = pending.front().map(|message| format!("{{\"ack\":{}}}", message.number));
                    if first.as_deref() != Some(&*line) {
                        let why = format!("client {number} (JSON) waits for {first:?} and gets {line}");
                        return stage.fail(why);
                    }
                    let message = pending.pop_front().expect("an answer that was waited for");
                    stage.evidence().main.add(number, Event::Acknowledged(message.number));
                    stage.answers.fetch_add(1, SeqCst);
                }
            }
        }
        lines.end();
    }
    stage.is_through(&format!("client {number}"));
}

/// A message for everybody, for MQTT-SN clients, for a history, or for later.
fn draw(number: u64, qos: u8, random: &mut Random) -> Message {
    let (topics, delay_s): (&[&str], _) = match random.below(100) {
        0..6 => (&LATER_TOPICS, Some(random.below(4) as u32)),
        6..10 => (&DEVICE_TOPICS, None),
        10..30 => (&KEPT_TOPICS, None),
        _ => (&TOPICS, None),
    };
    let topic = (*random.one_of(topics)).into();
    let (retain, expiry_s, payload_bytes, clears) = (false, None, 0, false);
    Message { number, topic, qos, retain, expiry_s, payload_bytes, delay_s, clears }
}

/// Where a message is published.
fn place(message: &Message) -> String {
    let topic = &message.topic;
    message.delay_s.map_or_else(|| topic.clone(), |seconds| format!("$delayed/{seconds}/{topic}"))
}

fn put(message: &Message, output: &mut String) {
    let (Message { number, qos, .. }, topic) = (message, place(message));
    output
        .push_str(&format!("{{\"pub\":\"{topic}\",\"data\":\"{number} \",\"qos\":{qos},\"id\":{number}}}\n"));
}

/// An HTTP publisher: what is not answered is sent again at QoS 1, and given up at QoS 2.
pub(super) fn http(stage: &Stage, number: usize, seed: u64) {
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
    let mut pending: Option<Message> = None;
    while !(stage.is_over() || stage.is_settling() && pending.is_none()) {
        let since = stage.cuts();
        let Some(mut lines) = Lines::open(stage, Way::Tcp) else { continue };
        while !(stage.is_cut(since) || stage.is_settling() && pending.is_none()) {
            let message = match &pending {
                Some(message) => {
                    stage.evidence().main.add(number, Event::Resent(message.number));
                    message.clone()
                }
                None => {
                    let qos = 1 + random.below(2) as u8;
                    let message = draw(stage.number(), qos, &mut random);
                    stage.evidence().main.add(number, Event::Sent(message.clone()));
                    message
                }
            };
            let (Message { number: name, qos, .. }, topic) = (&message, place(&message));
            let body = format!("{{\"topic\":\"{topic}\",\"data\":\"{name} \",\"qos\":{qos}}}");
            let answer = exchange(stage, &mut lines, since, &post(&body));
            let is_accepted = answer.as_ref().is_some_and(|(status, _)| *status == 200);
            if let Some((status, body)) = answer.filter(|_| !is_accepted) {
                return stage
                    .fail(format!("client {number} (HTTP): {name} is answered with {status}: {body}"));
            }
            pending = None;
            match is_accepted {
                true => {
                    stage.evidence().main.add(number, Event::Acknowledged(*name));
                    stage.answers.fetch_add(1, SeqCst);
                    std::thread::sleep(Duration::from_millis(random.below(10) as u64));
                }
                false => {
                    match qos {
                        1 => pending = Some(message),
                        _ => stage.evidence().main.add(number, Event::Abandoned(*name)),
                    }
                    break;
                }
            }
        }
        lines.end();
    }
    stage.is_through(&format!("client {number}"));
}

/// Overwrites large retained messages again and again, so that the store soon holds much more than what is live.
pub(super) fn churn(stage: &Stage, number: usize, seed: u64) {
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
    let data = "x".repeat(100_000);
    while !stage.is_over() && !stage.is_settling() {
        let since = stage.cuts();
        let Some(mut lines) = Lines::open(stage, Way::Tcp) else { continue };
        let topic = format!("churn/x{}", random.below(5));
        let body = format!("{{\"topic\":\"{topic}\",\"data\":\"{data}\",\"qos\":1,\"retain\":true}}");
        match exchange(stage, &mut lines, since, &post(&body)) {
            Some((200, _)) | None => {}
            Some((status, body)) => {
                return stage.fail(format!("client {number} (HTTP) is answered with {status}: {body}"));
            }
        }
    }
    stage.is_through(&format!("client {number}"));
}

/// A message that is kept on disk, so that its answer says the same of all that came before. Whether it was answered.
pub(super) fn publish_durably(stage: &Stage, topic: &str, since: usize) -> bool {
    let Some(mut lines) = Lines::open(stage, Way::Tcp) else { return false };
    let body = format!("{{\"topic\":\"{topic}\",\"data\":1,\"qos\":1,\"retain\":true}}");
    let answer = exchange(stage, &mut lines, since, &post(&body));
    answer.is_some_and(|(status, _)| status == 200)
}

/// One of the figures of `/api/v1/stats`.
pub(super) fn figure(stage: &Stage, name: &str) -> Option<u64> {
    let body = get(stage, "/api/v1/stats")?;
    serde_json::from_str::<serde_json::Value>(&body).ok()?[name].as_u64()
}

/// How many checkpoints of the store are complete, and whether one is being made, by `/metrics`.
pub(super) fn checkpoints(stage: &Stage) -> Option<(u64, bool)> {
    let page = get(stage, "/metrics")?;
    let metric =
        |name: &str| page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some((metric("trefoil_store_checkpoints_total ")?, metric("trefoil_store_checkpoint_under_way ")? == 1))
}

/// The body of a page.
pub(super) fn get(stage: &Stage, path: &str) -> Option<String> {
    let mut lines = Lines::open(stage, Way::Tcp)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    exchange(stage, &mut lines, stage.cuts(), &request).map(|(_, body)| body)
}

pub(super) fn post(body: &str) -> String {
    format!(
        "POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request and gives status and body of the answer, if one comes.
pub(super) fn exchange(
    stage: &Stage,
    lines: &mut Lines,
    since: usize,
    request: &str,
) -> Option<(u16, String)> {
    if !lines.send(request) {
        return None;
    }
    let (mut status, mut length) = (None, 0);
    loop {
        match lines.line() {
            _ if stage.is_cut(since) => return None,
            Came::TheEnd => return None,
            Came::Nothing => {}
            Came::Line(line) if line.is_empty() => break,
            Came::Line(line) => {
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().ok()?;
                }
                let first = || line.split(' ').nth(1).and_then(|code| code.parse().ok());
                status = status.or_else(first);
            }
        }
    }
    while lines.input.len() < length {
        match lines.transport.receive() {
            transport::Came::Bytes(bytes) => lines.input.extend(bytes),
            transport::Came::Nothing if !stage.is_cut(since) => {}
            _ => return None,
        }
    }
    let body: Vec<u8> = lines.input.drain(..length).collect();
    Some((status?, String::from_utf8_lossy(&body).into_owned()))
}
