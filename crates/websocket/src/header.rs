//! The head of a frame as it comes in (RFC 6455 §5.2).

use crate::{Limits, Role, Violation};

/// The most bytes that the payload of a control frame may have (RFC 6455 §5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
/// The reserved bit that says that a message is compressed, where that was agreed on (RFC 7692 §6).
pub(crate) const DEFLATED: u8 = 0x40;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message under way.
    Continuation = 0x0,
    /// A text message or its first fragment.
    Text = 0x1,
    /// A binary message or its first fragment.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// Asks for a [`Opcode::Pong`] with the same payload.
    Ping = 0x9,
    /// Answers a [`Opcode::Ping`], or comes unasked as a sign of life.
    Pong = 0xa,
}

impl Opcode {
    /// Whether frames of this kind may stand between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return None,
        })
    }
}

/// A frame's head, checked against all rules that need no knowledge of the frames before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    /// The message that begins with it is compressed.
    pub(crate) deflated: bool,
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes of the head itself.
    pub(crate) len: usize,
    /// Bytes that follow it.
    pub(crate) payload_len: usize,
}

impl Header {
    /// Reads a head that `role` receives. `None`: more bytes are needed.
    ///
    /// A rule is checked as soon as the byte that breaks it is there.
    pub(crate) fn parse(
        input: &[u8],
        role: Role,
        limits: &Limits,
        may_deflate: bool,
    ) -> Result<Option<Header>, Violation> {
        let Some(&first) = input.first() else { return Ok(None) };
        let deflated = first & RESERVED_BITS == DEFLATED && may_deflate;
        if first & RESERVED_BITS != 0 && !deflated {
            return Err(Violation::ReservedBits);
        }
        let fin = first & FIN != 0;
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::Opcode(first & 0x0f))?;
        // The first frame of a message says it for all of them, and control frames are never compressed (RFC 7692 §6).
        if deflated && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Violation::ReservedBits);
        }
        if opcode.is_control() && !fin {
            return Err(Violation::ControlFragmented);
        }

        let Some(&second) = input.get(1) else { return Ok(None) };
        let masked = second & MASKED != 0;
        match role {
            Role::Server if !masked => return Err(Violation::NotMasked),
            Role::Client if masked => return Err(Violation::Masked),
            _ => {}
        }
        let short_len = second & !MASKED;
        if opcode.is_control() && usize::from(short_len) > CONTROL_BYTES_MAX {
            return Err(Violation::ControlTooLong);
        }

        let Some((payload_len, rest)) = payload_len(short_len, &input[2..])? else { return Ok(None) };
        // Compared before it becomes a `usize`, which may be narrower.
        if payload_len > limits.frame_bytes_max as u64 {
            return Err(Violation::FrameTooLarge);
        }
        let payload_len = payload_len as usize;

        let (mask, rest) = if masked {
            let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (Some(*mask), rest)
        } else {
            (None, rest)
        };
        Ok(Some(Header { fin, opcode, deflated, mask, len: input.len() - rest.len(), payload_len }))
    }
}

/// The payload length and what follows it. `None`: more bytes are needed.
fn payload_len(short_len: u8, input: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (len, minimum, rest) = match short_len {
        126 => {
            let Some((bytes, rest)) = input.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), 126, rest)
        }
        127 => {
            let Some((bytes, rest)) = input.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), 1 << 16, rest)
        }
        short => (u64::from(short), 0, input),
    };
    if len > i64::MAX as u64 {
        return Err(Violation::LengthNegative);
    }
    if len < minimum {
        return Err(Violation::LengthNotMinimal);
    }
    Ok(Some((len, rest)))
}
