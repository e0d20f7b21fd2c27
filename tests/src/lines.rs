//! JSON lines over TCP, by hand.

use crate::connect;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// A connection that sends and gets lines.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a port of this machine.
    pub fn new(port: u16) -> Self {
        Self { reader: BufReader::new(connect(port)) }
    }

    /// Sends a line.
    pub fn send(&mut self, line: impl AsRef<[u8]>) {
        let bytes = [line.as_ref(), b"\n"].concat();
        self.reader.get_mut().write_all(&bytes).expect("the hub takes the line");
    }

    /// Sends no more; what comes can still be read.
    pub fn end_input(&mut self) {
        self.reader.get_mut().shutdown(std::net::Shutdown::Write).expect("the connection is open");
    }

    /// The next line as it came; `None` at the end of the connection.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).expect("a line of UTF-8");
        (count > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    /// The next line, which must be JSON.
    pub fn receive(&mut self) -> Value {
        let line = self.line().expect("a line, not the end of the connection");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Sends a line and gives the next one.
    pub fn ask(&mut self, line: impl AsRef<[u8]>) -> Value {
        self.send(line);
        self.receive()
    }
}
