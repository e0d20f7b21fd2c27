//! Streams: two connections that are joined by a name.

mod cli;
mod ends;
mod foreign;
mod joining;
mod limits;
mod meeting;
mod websocket;

use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use trefoil_tests::{CONFIG, Hub, connect};

/// A connection that speaks lines until it is an end of a stream. No byte behind a line is read with it.
struct End(TcpStream);

impl End {
    fn new(hub: &Hub) -> End {
        End(connect(hub.tcp_port()))
    }

    fn say(&mut self, request: Value) {
        self.0.write_all(format!("{request}\n").as_bytes()).unwrap();
    }

    fn hear(&mut self) -> Value {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while byte != *b"\n" {
            self.0
                .read_exact(&mut byte)
                .unwrap_or_else(|e| panic!("{e} after {:?}", line.escape_ascii().to_string()));
            line.push(byte[0]);
        }
        serde_json::from_slice(&line).unwrap()
    }

    fn ask(&mut self, request: Value) -> Value {
        self.say(request);
        self.hear()
    }

    /// What the hub refuses, by its code.
    fn refused(&mut self, request: Value) -> String {
        code(&self.ask(request))
    }

    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    #[track_caller]
    fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut room = vec![0; bytes.len()];
        self.0.read_exact(&mut room).unwrap();
        assert!(room == bytes, "{}", room.escape_ascii());
    }

    fn end(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// All that still comes before the end.
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Insists that the connection is reset, whatever comes before that.
    #[track_caller]
    fn is_reset(&mut self) {
        let mut room = [0; 4096];
        loop {
            match self.0.read(&mut room) {
                Ok(0) => panic!("it ends as if all had come"),
                Ok(_) => {}
                Err(error) => return assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
            }
        }
    }

    fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

/// The code of a refusal.
#[track_caller]
fn code(answer: &Value) -> String {
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{answer} is no refusal")).to_owned()
}

/// A hub with further limits.
fn limited(limits: &str) -> Hub {
    Hub::with_config(&format!("{CONFIG}\n[limits]\n{limits}\n"))
}

/// Who listens without becoming a stream itself.
fn listener(hub: &Hub, name: &str) -> End {
    let mut listener = End::new(hub);
    assert_eq!(listener.ask(json!({"listen": name, "id": 1})), json!({"listen": name, "ack": 1}));
    listener
}

/// Both ends of a stream: who called, and who listened.
fn pair(hub: &Hub, name: &str) -> (End, End) {
    let (mut caller, mut listener) = (End::new(hub), End::new(hub));
    assert_eq!(listener.ask(json!({"listen": name, "once": true})), json!({"listen": name}));
    assert_eq!(caller.ask(json!({"connect": name, "id": 7})), json!({"stream": name, "ack": 7}));
    let joined = listener.hear();
    assert_eq!(joined["stream"], name);
    assert_eq!(joined["from"]["peer"], caller.0.local_addr().unwrap().to_string());
    (caller, listener)
}

/// Bytes that are nowhere the same.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
