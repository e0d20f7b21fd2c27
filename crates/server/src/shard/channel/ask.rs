//! What a request asks of a channel, and how it is answered.

use super::body::Fault;
use super::kept::Misplaced;
use super::token::Token;
use crate::shard::http::{header, values};
use serde_json::json;

/// How long a page waits before it connects again to a stream that has ended.
const RETRY_MS: u64 = 500;

/// What a request is for.
#[derive(Clone)]
pub(in crate::shard) enum Ask {
    /// A new channel; its first requests may stand in the body.
    Open,
    /// The requests in the body.
    Post(Token),
    Close(Token),
    Read(Read),
}

/// Somebody wants what has come.
#[derive(Clone)]
pub(in crate::shard) struct Read {
    pub(super) token: Token,
    /// All objects below this number have come before; without it nothing is said.
    pub(super) after: Option<u64>,
    /// As server-sent events, and all that comes until one side has enough; otherwise in one answer, soon.
    pub(super) is_stream: bool,
}

impl Ask {
    /// Reads what stands in the head of a request. Its path is `/channel`, or begins with `/channel/`.
    pub(super) fn read(method: &str, target: &str, headers: &[httparse::Header<'_>]) -> Result<Ask, No> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts = path.split('/').skip(2);
        let (token, action, more) = (parts.next(), parts.next(), parts.next());
        let is_post = method == "POST";
        match (token, action, more) {
            (None, ..) if is_post => return Ok(Ask::Open),
            (Some(_), None, _) => {}
            (Some(_), Some("close"), None) if is_post => {}
            (None, ..) | (_, Some("close"), None) => {
                return Err(No::method("only POST is served here").header("Allow: POST\r\n"));
            }
            _ => {
                let why = "what is served is POST /channel, GET and POST /channel/TOKEN, and POST /channel/TOKEN/close";
                return Err(No { status: "404 Not Found", code: "not_found", ..No::new(why) });
            }
        }
        let token = token.and_then(Token::read).ok_or_else(No::gone)?;
        match (action, is_post) {
            (Some(_), _) => Ok(Ask::Close(token)),
            (None, true) => Ok(Ask::Post(token)),
            (None, false) => {
                let accept = header(headers, "accept").unwrap_or_default();
                let is_stream = accept.contains("text/event-stream");
                // A browser that connects again repeats the address and knows better.
                let last = header(headers, "last-event-id").filter(|id| !id.is_empty());
                let after = match last {
                    Some(id) => Some(number("Last-Event-ID", id)?),
                    None => {
                        let mut pairs = form_urlencoded::parse(query.as_bytes());
                        let after = pairs.find(|(name, _)| name == "after").map(|(_, value)| value);
                        after.map(|value| number("after", &value)).transpose()?
                    }
                };
                Ok(Ask::Read(Read { token, after, is_stream }))
            }
        }
    }

    /// The channel that it is for, if that is there already.
    pub(super) fn token(&self) -> Option<&Token> {
        match self {
            Ask::Open => None,
            Ask::Post(token) | Ask::Close(token) | Ask::Read(Read { token, .. }) => Some(token),
        }
    }
}

fn number(field: &'static str, text: &str) -> Result<u64, No> {
    text.parse().map_err(|_| No {
        field: Some(field),
        ..No::new("it must be the number that the last answer gave as next, or that of the last event")
    })
}

/// What of a request decides about its answer.
#[derive(Clone)]
pub(in crate::shard) struct Style {
    keeps_alive: bool,
    is_old: bool,
    /// The page that asks, if one does, and may.
    origin: Option<Box<str>>,
}

impl Style {
    pub(super) fn new(minor: u8, headers: &[httparse::Header<'_>], origin: Option<&str>) -> Style {
        let mut options = values(headers, "connection").flat_map(|value| value.split(|&b| b == b','));
        let is_old = minor == 0;
        let word: &[u8] = if is_old { b"keep-alive" } else { b"close" };
        let is_named = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(word));
        let keeps_alive = is_named == is_old;
        Style { keeps_alive, is_old, origin: origin.map(Box::from) }
    }

    /// Whether the connection serves another request after this one.
    pub(super) fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// The connection ends with the answer.
    pub(super) fn closing(mut self) -> Style {
        self.keeps_alive = false;
        self
    }

    fn head(&self, status: &str, more: &str, out: &mut Vec<u8>) {
        let connection = match (self.keeps_alive, self.is_old) {
            (false, _) => "Connection: close\r\n",
            (true, true) => "Connection: keep-alive\r\n",
            (true, false) => "",
        };
        out.extend_from_slice(
            format!("HTTP/1.1 {status}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nVary: Origin\r\n{connection}{more}")
                .as_bytes(),
        );
        if let Some(origin) = &self.origin {
            out.extend_from_slice(format!("Access-Control-Allow-Origin: {origin}\r\n").as_bytes());
        }
    }

    fn json(&self, status: &str, more: &str, body: &[u8], out: &mut Vec<u8>) {
        self.head(status, more, out);
        let len = body.len();
        out.extend_from_slice(
            format!("Content-Type: application/json\r\nContent-Length: {len}\r\n\r\n").as_bytes(),
        );
        out.extend_from_slice(body);
    }

    /// A channel is there now.
    pub(super) fn opened(&self, token: &Token, poll_s: u32, expires_s: u32, out: &mut Vec<u8>) {
        let body = json!({ "channel": token.text(), "poll_s": poll_s, "expires_s": expires_s });
        self.json("200 OK", "", body.to_string().as_bytes(), out);
    }

    /// It is done; what comes of it comes on the way back.
    pub(super) fn done(&self, out: &mut Vec<u8>) {
        self.head("204 No Content", "", out);
        out.extend_from_slice(b"\r\n");
    }

    /// Objects up to the one before `next`, which stand in lines.
    pub(super) fn objects(&self, next: u64, lines: &[u8], out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(lines.len() + 64);
        body.extend_from_slice(format!("{{\"next\":{next},\"objects\":[").as_bytes());
        let start = body.len();
        body.extend_from_slice(lines.strip_suffix(b"\n").unwrap_or(lines));
        // No object has a line break in it.
        body[start..].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b',');
        body.extend_from_slice(b"]}");
        self.json("200 OK", "", &body, out);
    }

    /// A stream begins, which ends with the connection.
    pub(super) fn stream(&self, out: &mut Vec<u8>) {
        self.head("200 OK", "Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n", out);
        out.extend_from_slice(format!("\r\nretry: {RETRY_MS}\n\n").as_bytes());
    }

    /// Answers a request that is not served.
    pub(super) fn refusal(&self, no: &No, out: &mut Vec<u8>) {
        let mut error = json!({ "code": no.code, "reason": no.reason });
        if let (Some(field), Some(members)) = (no.field, error.as_object_mut()) {
            members.insert("field".into(), field.into());
        }
        self.json(no.status, no.header, json!({ "error": error }).to_string().as_bytes(), out);
    }
}

/// Appends objects as events, each with the number that a reader goes on at.
pub(super) fn events(first: u64, lines: &[u8], out: &mut Vec<u8>) {
    for (line, next) in lines.split_inclusive(|&byte| byte == b'\n').zip(first + 1..) {
        out.extend_from_slice(format!("id: {next}\ndata: ").as_bytes());
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

/// Why a request is not served.
#[derive(Debug)]
pub(in crate::shard) struct No {
    status: &'static str,
    code: &'static str,
    field: Option<&'static str>,
    reason: &'static str,
    header: &'static str,
}

impl No {
    fn new(reason: &'static str) -> No {
        No { status: "400 Bad Request", code: "bad_field", field: None, reason, header: "" }
    }

    fn header(self, header: &'static str) -> No {
        No { header, ..self }
    }

    fn method(reason: &'static str) -> No {
        No { status: "405 Method Not Allowed", code: "method_not_allowed", ..No::new(reason) }
    }

    /// There is no such channel, or none any more.
    pub(super) fn gone() -> No {
        let reason = "there is no such channel, or it has ended; open one with POST /channel, subscribe again, and \
                      resume histories with since";
        No { status: "410 Gone", code: "gone", ..No::new(reason) }
    }

    /// There are as many as there may be of something.
    pub(super) fn overloaded(reason: &'static str) -> No {
        No {
            status: "503 Service Unavailable",
            code: "overloaded",
            header: "Retry-After: 5\r\n",
            ..No::new(reason)
        }
    }

    pub(super) fn not_found(reason: &'static str) -> No {
        No { status: "404 Not Found", code: "not_found", ..No::new(reason) }
    }

    pub(super) fn foreign() -> No {
        let reason = "a page of another origin may not use this";
        No { status: "403 Forbidden", code: "not_authorized", ..No::new(reason) }
    }

    pub(super) fn too_slow() -> No {
        let reason = "the body did not come in time";
        No { status: "408 Request Timeout", code: "bad_json", ..No::new(reason) }
    }

    pub(super) fn unwanted_body() -> No {
        No { code: "bad_json", ..No::new("a GET has no body here") }
    }
}

impl From<Fault> for No {
    fn from(fault: Fault) -> No {
        match fault {
            Fault::TooLarge => No {
                status: "413 Content Too Large",
                code: "too_large",
                ..No::new("the body is larger than limits.json_bytes_max")
            },
            Fault::Malformed => No { code: "bad_json", ..No::new("it cannot be told how long the body is") },
        }
    }
}

impl From<Misplaced> for No {
    fn from(misplaced: Misplaced) -> No {
        match misplaced {
            Misplaced::Gone => No {
                field: Some("after"),
                reason: "the objects from there on have been acknowledged by an earlier request, and are not there any more",
                ..No::gone()
            },
            Misplaced::Unsent => No {
                field: Some("after"),
                ..No::new("so many objects have not been sent; it must be the next of the last answer")
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::channel::token::Secret;

    fn read(method: &str, target: &str, headers: &[(&'static str, &str)]) -> Result<Ask, No> {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        Ask::read(method, target, &headers)
    }

    fn token() -> String {
        Token { shard: 1, place: 2, secret: Secret::new().expect("randomness") }.text()
    }

    #[test]
    fn paths_and_methods_say_what_is_asked() {
        let token = token();
        assert!(matches!(read("POST", "/channel", &[]), Ok(Ask::Open)));
        assert!(matches!(read("POST", "/channel?x=1", &[]), Ok(Ask::Open)));
        assert!(matches!(read("POST", &format!("/channel/{token}"), &[]), Ok(Ask::Post(_))));
        assert!(matches!(read("POST", &format!("/channel/{token}/close"), &[]), Ok(Ask::Close(_))));
        for (method, path, status) in [
            ("GET", "/channel".to_owned(), "405"),
            ("GET", format!("/channel/{token}/close"), "405"),
            ("POST", format!("/channel/{token}/other"), "404"),
            ("POST", format!("/channel/{token}/close/"), "404"),
            ("POST", "/channel/".into(), "410"),
            ("GET", "/channel/x".into(), "410"),
            ("GET", format!("/channel/{token}?after=-1"), "400"),
            ("GET", format!("/channel/{token}?after="), "400"),
        ] {
            let no = read(method, &path, &[]).err().unwrap_or_else(|| panic!("{method} {path} is served"));
            assert!(no.status.starts_with(status), "{method} {path}: {}", no.status);
        }
    }

    #[test]
    fn the_last_event_wins_over_the_address() {
        let target = format!("/channel/{}?x=y&after=7", token());
        let asked = |headers: &[(&'static str, &str)]| match read("GET", &target, headers) {
            Ok(Ask::Read(Read { after, is_stream, .. })) => (after, is_stream),
            other => panic!("{:?}", other.err()),
        };
        assert_eq!(asked(&[]), (Some(7), false));
        assert_eq!(asked(&[("accept", "text/event-stream"), ("last-event-id", "9")]), (Some(9), true));
        assert_eq!(asked(&[("last-event-id", "")]), (Some(7), false));
        assert!(read("GET", &target, &[("last-event-id", "x")]).is_err());
    }

    #[test]
    fn answers_are_what_was_promised() {
        let headers = [httparse::Header { name: "connection", value: b"Keep-Alive" }];
        let mut out = Vec::new();
        Style::new(0, &headers, Some("http://a.example")).objects(3, b"{\"a\":1}\n{\"b\":2}\n", &mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.ends_with("\r\nContent-Length: 38\r\n\r\n{\"next\":3,\"objects\":[{\"a\":1},{\"b\":2}]}"),
            "{text}"
        );
        assert!(text.contains("\r\nConnection: keep-alive\r\n"), "{text}");
        assert!(text.contains("\r\nAccess-Control-Allow-Origin: http://a.example\r\n"), "{text}");

        let mut out = Vec::new();
        Style::new(1, &[], None).objects(0, b"", &mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(text.ends_with("\r\n\r\n{\"next\":0,\"objects\":[]}"), "{text}");
        assert!(!text.contains("Connection:"), "{text}");

        let mut out = Vec::new();
        events(4, b"{\"a\":1}\n{\"b\":2}\n", &mut out);
        assert_eq!(out, b"id: 5\ndata: {\"a\":1}\n\nid: 6\ndata: {\"b\":2}\n\n");
    }
}
