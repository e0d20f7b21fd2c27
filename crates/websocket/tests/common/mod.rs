//! A connection as a server keeps one: it reads into a scratch buffer and keeps only the unconsumed rest.
#![allow(dead_code, reason = "each test file uses a part of it")]

use trefoil_websocket::{CloseFrame, Event, Limits, Opcode, REST_BYTES_MAX, Receiver, Role, Violation};

pub(crate) const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
pub(crate) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// An [`Event`] that outlives its buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Deflated(bool, Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Owned {
    fn from(event: Event<'_>) -> Owned {
        match event {
            Event::Text(text) => Owned::Text(text.to_owned()),
            Event::Binary(bytes) => Owned::Binary(bytes.to_vec()),
            Event::Ping(payload) => Owned::Ping(payload.to_vec()),
            Event::Pong(payload) => Owned::Pong(payload.to_vec()),
            Event::Deflated { is_text, payload } => Owned::Deflated(is_text, payload.to_vec()),
            Event::Close(close) => {
                Owned::Close(close.map(|CloseFrame { code, reason }| (code.get(), reason.to_owned())))
            }
        }
    }
}

pub(crate) fn text(text: &str) -> Owned {
    Owned::Text(text.to_owned())
}

/// All events in `pieces`, which come one after the other, and the violation that ended them.
pub(crate) fn receive_pieces<'a>(
    receiver: &mut Receiver,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Owned>, Option<Violation>) {
    let (mut events, mut rest) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut scratch = std::mem::take(&mut rest);
        scratch.extend_from_slice(piece);
        let mut taken = 0;
        loop {
            let received = match receiver.receive(&mut scratch[taken..]) {
                Ok(received) => received,
                Err(violation) => return (events, Some(violation)),
            };
            taken += received.consumed;
            match received.event {
                Some(event) => events.push(event.into()),
                None if received.consumed == 0 => break,
                None => {}
            }
        }
        rest = scratch.split_off(taken);
        assert!(rest.len() <= REST_BYTES_MAX, "{} bytes are left to the caller", rest.len());
    }
    (events, None)
}

/// What a server makes of these bytes, which come at once.
pub(crate) fn serve(input: &[u8]) -> (Vec<Owned>, Option<Violation>) {
    receive_pieces(&mut Receiver::new(Role::Server, LIMITS), [input])
}

/// The same when each byte comes alone.
pub(crate) fn serve_bytewise(input: &[u8]) -> (Vec<Owned>, Option<Violation>) {
    receive_pieces(&mut Receiver::new(Role::Server, LIMITS), input.chunks(1))
}

/// A client's frame, built here so that a fault in the encoder cannot hide one in the decoder.
pub(crate) fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ MASK[i % 4]));
    frame
}

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = Opcode::Continuation as u8;
pub(crate) const TEXT: u8 = Opcode::Text as u8;
pub(crate) const BINARY: u8 = Opcode::Binary as u8;
pub(crate) const CLOSE: u8 = Opcode::Close as u8;
pub(crate) const PING: u8 = Opcode::Ping as u8;
pub(crate) const PONG: u8 = Opcode::Pong as u8;
