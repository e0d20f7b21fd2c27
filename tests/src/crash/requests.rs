//! Publishers that speak JSON over TCP, and HTTP.

use super::players::TOPICS;
use super::stage::Stage;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use trefoil_model::{Event, Message, Random};

/// Messages that a JSON publisher has under way at most.
const UNDER_WAY_MAX: usize = 8;

/// How the reading of a piece of text ended.
enum Came {
    Line(String),
    Nothing,
    TheEnd,
}

/// A connection that is read in lines.
struct Lines {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Lines {
    fn open(stage: &Stage) -> Option<Lines> {
        stage.connect().map(|stream| Lines { stream, input: Vec::new() })
    }

    /// The next line, after waiting for a moment at most.
    fn line(&mut self) -> Came {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Came::Line(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Came::TheEnd,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Came::Nothing;
                }
                Err(_) => return Came::TheEnd,
            }
        }
    }

    /// Ends the connection, and waits until nothing that was sent on it can reach the hub any more.
    fn end(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let deadline = Instant::now() + crate::DEADLINE;
        while Instant::now() < deadline && !matches!(self.line(), Came::TheEnd) {}
    }
}

/// A JSON publisher: what is not acknowledged is sent again on the next connection.
pub(super) fn json(stage: &Stage, number: usize, seed: u64) {
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
    let mut pending: VecDeque<Message> = VecDeque::new();
    while !(stage.is_over() || stage.is_settling() && pending.is_empty()) {
        let since = stage.cuts();
        let Some(mut lines) = Lines::open(stage) else { continue };
        let mut output = String::new();
        for message in &pending {
            stage.evidence().main.add(number, Event::Resent(message.number));
            put(message, &mut output);
        }
        while !(stage.is_cut(since) || stage.is_settling() && pending.is_empty()) {
            if !stage.is_settling() && pending.len() < UNDER_WAY_MAX && random.chance(60) {
                let message = Message {
                    number: stage.number(),
                    topic: (*random.one_of(&TOPICS)).into(),
                    qos: 1,
                    retain: false,
                    expiry_s: None,
                    payload_bytes: 0,
                    delay_s: None,
                    clears: false,
                };
                stage.evidence().main.add(number, Event::Sent(message.clone()));
                put(&message, &mut output);
                pending.push_back(message);
            }
            if lines.stream.write_all(output.as_bytes()).is_err() {
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
    stage.busy.fetch_sub(1, SeqCst);
}

fn put(message: &Message, output: &mut String) {
    let Message { number, topic, qos, .. } = message;
    output
        .push_str(&format!("{{\"pub\":\"{topic}\",\"data\":\"{number} \",\"qos\":{qos},\"id\":{number}}}\n"));
}

/// An HTTP publisher: what is not answered is sent again at QoS 1, and given up at QoS 2.
pub(super) fn http(stage: &Stage, number: usize, seed: u64) {
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
    let mut pending: Option<Message> = None;
    while !(stage.is_over() || stage.is_settling() && pending.is_none()) {
        let since = stage.cuts();
        let Some(mut lines) = Lines::open(stage) else { continue };
        while !(stage.is_cut(since) || stage.is_settling() && pending.is_none()) {
            let message = match &pending {
                Some(message) => {
                    stage.evidence().main.add(number, Event::Resent(message.number));
                    message.clone()
                }
                None => {
                    let (topic, qos) = ((*random.one_of(&TOPICS)).into(), 1 + random.below(2) as u8);
                    let (retain, expiry_s, payload_bytes) = (false, None, 0);
                    let message = Message {
                        number: stage.number(),
                        topic,
                        qos,
                        retain,
                        expiry_s,
                        payload_bytes,
                        delay_s: None,
                        clears: false,
                    };
                    stage.evidence().main.add(number, Event::Sent(message.clone()));
                    message
                }
            };
            let Message { number: name, topic, qos, .. } = &message;
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
    stage.busy.fetch_sub(1, SeqCst);
}

/// A message that is kept on disk, so that its answer says the same of all that came before. Whether it was answered.
pub(super) fn publish_durably(stage: &Stage, topic: &str, since: usize) -> bool {
    let Some(mut lines) = Lines::open(stage) else { return false };
    let body = format!("{{\"topic\":\"{topic}\",\"data\":1,\"qos\":1,\"retain\":true}}");
    let answer = exchange(stage, &mut lines, since, &post(&body));
    answer.is_some_and(|(status, _)| status == 200)
}

/// One of the figures of `/api/v1/stats`.
pub(super) fn figure(stage: &Stage, name: &str) -> Option<u64> {
    let mut lines = Lines::open(stage)?;
    let request = "GET /api/v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (_, body) = exchange(stage, &mut lines, stage.cuts(), request)?;
    serde_json::from_str::<serde_json::Value>(&body).ok()?[name].as_u64()
}

fn post(body: &str) -> String {
    format!(
        "POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request and gives status and body of the answer, if one comes.
fn exchange(stage: &Stage, lines: &mut Lines, since: usize, request: &str) -> Option<(u16, String)> {
    lines.stream.write_all(request.as_bytes()).ok()?;
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
        let mut buffer = [0; 4096];
        match lines.stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => lines.input.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stage.is_cut(since) {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
    let body: Vec<u8> = lines.input.drain(..length).collect();
    Some((status?, String::from_utf8_lossy(&body).into_owned()))
}
