//! WebSocket by hand: frames written byte for byte.

use crate::connect;
use crate::socket::or_end;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The key of a handshake, and what must come back for it (RFC 6455, section 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The request of a handshake.
pub fn handshake(path: &str, more_headers: &str) -> Vec<u8> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more_headers}\r\n"
    );
    request.into_bytes()
}

/// A frame with its first byte (FIN, reserved bits, opcode), masked as clients must.
pub fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first_byte];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => bytes.extend([0x80 | 126, (length >> 8) as u8, length as u8]),
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A connection after the handshake.
pub struct Connection {
    /// The socket, for bytes that are no frames.
    pub stream: TcpStream,
    /// The subprotocol that the hub has chosen; empty for none.
    pub protocol: String,
    /// The extensions that the hub has agreed to; empty for none.
    pub extensions: String,
}

impl Connection {
    /// Connects and shakes hands; for `/mqtt` with the subprotocol that MQTT asks for.
    pub fn new(port: u16, path: &str) -> Self {
        Self::offering(port, path, if path == "/mqtt" { &["mqtt"] } else { &[] })
    }

    /// Connects and shakes hands, offering subprotocols.
    pub fn offering(port: u16, path: &str, protocols: &[&str]) -> Self {
        let offer = format!("Sec-WebSocket-Protocol: {}\r\n", protocols.join(", "));
        Self::with_headers(port, path, if protocols.is_empty() { "" } else { &offer })
    }

    /// Connects and shakes hands, with more headers, each with its line end.
    pub fn with_headers(port: u16, path: &str, more_headers: &str) -> Self {
        let mut stream = connect(port);
        stream.write_all(&handshake(path, more_headers)).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}; the hub said {head:?}"));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        let header = |name: &str| {
            let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.unwrap_or_default().to_owned()
        };
        let (protocol, extensions) = (header("Sec-WebSocket-Protocol"), header("Sec-WebSocket-Extensions"));
        Self { stream, protocol, extensions }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the hub takes what is sent");
    }

    /// Sends text in one frame.
    pub fn send_text(&mut self, text: &str) {
        self.send(&frame(0x81, text.as_bytes()));
    }

    /// The next frame: first byte and payload. `None` at the end of the connection, which must come if no frame does.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        or_end(self.stream.read_exact(&mut head))?;
        let mut length = u64::from(head[1]);
        assert!(length < 128, "frames of a server are not masked");
        let extended: usize = if length == 126 { 2 } else { 8 * usize::from(length == 127) };
        if extended > 0 {
            let mut bytes = [0; 8];
            or_end(self.stream.read_exact(&mut bytes[8 - extended..]))?;
            length = u64::from_be_bytes(bytes);
        }
        let mut payload = vec![0; length as usize];
        or_end(self.stream.read_exact(&mut payload))?;
        Some((head[0], payload))
    }

    /// The code of the close frame that comes before the end of the connection, which is answered as it has to be; other
    /// frames are passed over.
    pub fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some((first_byte, payload)) = self.receive() {
            if first_byte == 0x88 {
                // Without it the hub would wait for as long as it waits for anybody. It may have closed already.
                let _ = self.stream.write_all(&frame(0x88, &payload));
                code = payload.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
            }
        }
        code
    }
}
