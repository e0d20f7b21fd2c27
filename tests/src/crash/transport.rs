//! A connection of a client: TCP, or WebSocket over it.

use super::stage::Stage;
use crate::DEADLINE;
use crate::websocket::{frame, handshake};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

/// What a client puts its bytes into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// They go as they are.
    Tcp,
    /// `/mqtt`, in binary frames.
    WebSocketMqtt,
    /// `/ws`: each line is a text frame of its own, without its end.
    WebSocketJson,
}

/// What came of waiting for a moment.
pub(super) enum Came {
    Bytes(Vec<u8>),
    Nothing,
    TheEnd,
}

/// A connection that the hub has accepted.
pub(super) struct Transport {
    stream: TcpStream,
    way: Way,
    /// The beginning of a frame.
    input: Vec<u8>,
}

impl Transport {
    /// A connection, if the hub is there.
    pub(super) fn open(stage: &Stage, way: Way) -> Option<Transport> {
        let mut transport = Transport { stream: stage.connect()?, way, input: Vec::new() };
        let request = match way {
            Way::Tcp => return Some(transport),
            Way::WebSocketMqtt => handshake("/mqtt", "Sec-WebSocket-Protocol: mqtt\r\n"),
            Way::WebSocketJson => handshake("/ws", ""),
        };
        transport.stream.write_all(&request).ok()?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(end) = transport.input.windows(4).position(|part| part == b"\r\n\r\n") {
                let head: Vec<u8> = transport.input.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head);
                if !head.starts_with("HTTP/1.1 101 ") {
                    stage.fail(format!("a handshake for {way:?} is answered with {head:?}"));
                    return None;
                }
                return Some(transport);
            }
            assert!(Instant::now() < deadline, "{way:?}: the handshake is not answered");
            if stage.is_over() || matches!(transport.read(), Came::TheEnd) {
                return None;
            }
        }
    }

    /// Sends bytes; whether the system took them.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let framed = match self.way {
            Way::Tcp => return self.stream.write_all(bytes).is_ok(),
            Way::WebSocketMqtt => frame(0x82, bytes),
            Way::WebSocketJson => {
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                lines.flat_map(|line| frame(0x81, line)).collect()
            }
        };
        self.stream.write_all(&framed).is_ok()
    }

    /// What has come, after waiting for a moment at most. Lines of JSON have their ends.
    pub(super) fn receive(&mut self) -> Came {
        if self.way == Way::Tcp {
            let came = self.read();
            return if self.input.is_empty() { came } else { Came::Bytes(std::mem::take(&mut self.input)) };
        }
        loop {
            match self.take_frame() {
                Some((0x81 | 0x82, mut payload)) => {
                    if self.way == Way::WebSocketJson {
                        payload.push(b'\n');
                    }
                    return Came::Bytes(payload);
                }
                Some((0x89, payload)) => drop(self.stream.write_all(&frame(0x8a, &payload))),
                Some((0x88, _)) => return Came::TheEnd,
                Some((first, _)) => panic!("{:?}: a frame that begins with {first:#04x}", self.way),
                None => match self.read() {
                    Came::Bytes(_) => {}
                    other => return other,
                },
            }
        }
    }

    /// Closes this side. What was sent before still arrives.
    pub(super) fn shut(&mut self) {
        if self.way != Way::Tcp {
            let _ = self.stream.write_all(&frame(0x88, &1000_u16.to_be_bytes()));
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Appends what has come to `input`; the bytes that it gives are there.
    fn read(&mut self) -> Came {
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer) {
            Ok(0) => Came::TheEnd,
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Came::Bytes(Vec::new())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Came::Nothing
            }
            Err(_) => Came::TheEnd,
        }
    }

    /// The next frame, if all of it is here: first byte and payload.
    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, length, ..] = self.input[..] else { return None };
        let (head, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes(*self.input.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*self.input.get(2..)?.first_chunk()?) as usize),
            short => (2, usize::from(short)),
        };
        if self.input.len() < head + length {
            return None;
        }
        let payload = self.input[head..head + length].to_vec();
        self.input.drain(..head + length);
        Some((first, payload))
    }
}
