//! An end of a transfer that says what it likes: the bytes of the protocol by the crate, the rest by a plain socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use trefoil_tests::connect;
use trefoil_transfer::{
    Ciphers, Code, Cv, Handshake, HandshakeError, Hash, Keys, Message, REFUSAL, Role, Step, Sums, body_bytes,
};

pub(super) struct Peer {
    stream: TcpStream,
    keys: Keys,
}

impl Peer {
    /// Waits for a receiver at a code.
    pub(super) fn sender(port: u16, code: &str) -> Peer {
        let mut stream = connect(port);
        let code: Code = code.parse().unwrap();
        let request = format!("{{\"listen\":\"{}\",\"once\":true,\"id\":1}}\n", code.stream());
        stream.write_all(request.as_bytes()).unwrap();
        while !line(&mut stream).contains("\"stream\"") {}
        let keys = greet(&mut stream, Role::Sender, &code).unwrap();
        Peer { stream, keys }
    }

    /// Calls a sender, and gets as far as the codes allow.
    pub(super) fn receiver(port: u16, code: &str) -> Result<Peer, HandshakeError> {
        let mut stream = connect(port);
        let code: Code = code.parse().unwrap();
        let request = format!("{{\"connect\":\"{}\",\"wait_s\":60,\"id\":1}}\n", code.stream());
        stream.write_all(request.as_bytes()).unwrap();
        let answer = line(&mut stream);
        assert!(answer.contains("\"stream\""), "{answer}");
        let keys = greet(&mut stream, Role::Receiver, &code)?;
        Ok(Peer { stream, keys })
    }

    pub(super) fn say(&mut self, message: Message<'_>) {
        let mut record = message.record();
        self.keys.seal.seal(&mut record).unwrap();
        // The other end may have had enough.
        let _ = self.stream.write_all(&record);
    }

    /// Says bytes that are no record.
    pub(super) fn say_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next message but pings, shown as text; `None` at the end.
    pub(super) fn hear(&mut self) -> Option<String> {
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).ok()?;
            let mut body = vec![0; body_bytes(header).unwrap()];
            self.stream.read_exact(&mut body).ok()?;
            let message = Message::decode(self.keys.open.open(header, &mut body).unwrap()).unwrap();
            if message != Message::Ping {
                return Some(format!("{message:.0?}"));
            }
        }
    }

    /// Hears until the other end has accepted an offer. `false` if it did not.
    pub(super) fn is_accepted(&mut self) -> bool {
        while let Some(message) = self.hear() {
            match message.as_str() {
                "Accept" => return true,
                message if message.starts_with("Fail") => return false,
                _ => {}
            }
        }
        false
    }
}

/// A line of the hub, read byte by byte, since the stream follows.
pub(super) fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

fn greet(stream: &mut TcpStream, role: Role, code: &Code) -> Result<Keys, HandshakeError> {
    let (mut handshake, hello) = Handshake::begin(role, code, Ciphers::portable(), [role as u8 + 1; 32]);
    stream.write_all(&hello).unwrap();
    loop {
        let mut bytes = vec![0; handshake.wants_bytes()];
        stream.read_exact(&mut bytes).unwrap();
        match handshake.handle(&bytes) {
            Ok(Step::Wait) => {}
            Ok(Step::Send(bytes)) => stream.write_all(&bytes).unwrap(),
            Ok(Step::Done { send, keys }) => {
                stream.write_all(&send.unwrap_or_default()).unwrap();
                return Ok(*keys);
            }
            Err(error) => {
                let _ = stream.write_all(&REFUSAL);
                return Err(error);
            }
        }
    }
}

/// The value of a file's only chunk, and its hash.
pub(super) fn sums(bytes: &[u8]) -> (Cv, Hash) {
    let mut sums = Sums::default();
    sums.push(bytes);
    (sums.values()[0], sums.whole())
}

/// An entry of a manifest, as its bytes: kind, path, size, and what a link leads to. Nothing is checked.
pub(super) fn entry(kind: u8, path: &[u8], size: u64, target: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0x01, 0xa4];
    bytes.extend_from_slice(&[0; 12]);
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(&(path.len() as u16).to_be_bytes());
    bytes.extend_from_slice(path);
    if kind == 2 {
        bytes.extend_from_slice(&(target.len() as u16).to_be_bytes());
        bytes.extend_from_slice(target);
    }
    bytes
}
