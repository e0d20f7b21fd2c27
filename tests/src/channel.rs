//! A client of channels over plain sockets: one HTTP request after the other, and what comes back.

use crate::socket::or_end;
use crate::{connect, wait_until};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A connection that serves one request after the other.
pub struct Http {
    port: u16,
    stream: BufReader<TcpStream>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The head as it came.
    pub head: String,
    /// What stands behind the head.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The code of the error in the body.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Http {
    /// Connects.
    pub fn new(port: u16) -> Http {
        Http { port, stream: BufReader::new(connect(port)) }
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    /// Sends a request, given as `METHOD PATH`, and more lines of its head, if any.
    pub fn send(&mut self, start: &str, headers: &str, body: &str) -> io::Result<()> {
        let length = match start.starts_with("GET") && body.is_empty() {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let text = format!("{start} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n{body}");
        self.stream.get_mut().write_all(text.as_bytes())
    }

    /// Reads a head; what comes behind it is left.
    pub fn receive_head(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head}"));
        Ok(Answer { status, head, body: Vec::new() })
    }

    /// Reads an answer with its body.
    pub fn receive(&mut self) -> io::Result<Answer> {
        let mut answer = self.receive_head()?;
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// Sends a request and gives its answer, which must come.
    pub fn ask(&mut self, start: &str, headers: &str, body: &str) -> Answer {
        self.send(start, headers, body).unwrap_or_else(|error| panic!("{start}: {error}"));
        self.receive().unwrap_or_else(|error| panic!("{start}: {error}"))
    }

    /// The next event of a stream: its id and what it says. None at the end.
    pub fn event(&mut self) -> Option<(u64, Value)> {
        let (mut id, mut data) = (None, None);
        loop {
            let line = self.line()?;
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse().unwrap());
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).unwrap());
            } else if line.is_empty()
                && let (Some(id), Some(data)) = (id, data.take())
            {
                return Some((id, data));
            }
        }
    }

    /// The next line of a stream, if it comes whole.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        or_end(self.stream.read_line(&mut line))?;
        line.strip_suffix('\n').map(str::to_owned)
    }
}

/// A channel, with a connection for what is said and one for what is heard.
pub struct Channel {
    /// Its name.
    pub token: String,
    /// For requests.
    pub saying: Http,
    /// For what comes.
    pub hearing: Http,
    /// The number of the next object.
    pub after: u64,
    /// Objects that have come and were not asked for.
    waiting: std::collections::VecDeque<Value>,
}

impl Channel {
    /// Opens a channel; `requests` are its first.
    pub fn open(port: u16, headers: &str, requests: &str) -> Channel {
        let mut saying = Http::new(port);
        let answer = saying.ask("POST /channel", headers, requests);
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.json()["channel"].as_str().unwrap().to_owned();
        Channel { token, saying, hearing: Http::new(port), after: 0, waiting: Default::default() }
    }

    /// The path of the channel.
    pub fn path(&self) -> String {
        format!("/channel/{}", self.token)
    }

    /// Sends requests.
    pub fn say(&mut self, requests: &str) {
        let answer = self.saying.ask(&format!("POST {}", self.path()), "", requests);
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    }

    /// What has come since, or comes: one answer.
    pub fn poll(&mut self) -> Answer {
        let start = format!("GET {}?after={}", self.path(), self.after);
        self.hearing.ask(&start, "", "")
    }

    /// The next object.
    pub fn receive(&mut self) -> Value {
        wait_until("an object comes", || {
            if self.waiting.is_empty() {
                let answer = self.poll();
                assert_eq!(answer.status, 200, "{answer:?}");
                let (next, objects) = numbered(&answer.json());
                assert_eq!(next, self.after + objects.len() as u64, "{answer:?}");
                self.after = next;
                self.waiting.extend(objects);
            }
            !self.waiting.is_empty()
        });
        self.waiting.pop_front().unwrap()
    }

    /// Sends a request and gives the object that comes next.
    pub fn ask(&mut self, request: &str) -> Value {
        self.say(request);
        self.receive()
    }

    /// Begins a stream on a connection of its own, behind what has come.
    pub fn stream(&self) -> Http {
        let mut http = Http::new(self.hearing.port);
        let headers = format!("Accept: text/event-stream\r\nLast-Event-ID: {}\r\n", self.after);
        http.send(&format!("GET {}?after=0", self.path()), &headers, "").unwrap();
        let answer = http.receive_head().unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{answer:?}");
        http
    }

    /// Insists that the channel has ended.
    pub fn is_gone(&mut self) {
        let mut http = Http::new(self.hearing.port);
        let answer = http.ask(&format!("GET {}?after={}", self.path(), self.after), "", "");
        assert_eq!((answer.status, answer.code()), (410, "gone".to_owned()), "{answer:?}");
    }
}

/// The number that an answer says is next, and its objects.
pub fn numbered(answer: &Value) -> (u64, Vec<Value>) {
    let next = answer["next"].as_u64().unwrap_or_else(|| panic!("no next: {answer}"));
    let objects = answer["objects"].as_array().cloned().unwrap_or_else(|| panic!("no objects: {answer}"));
    assert_eq!(answer, &json!({ "next": next, "objects": objects }), "nothing else stands there");
    (next, objects)
}
