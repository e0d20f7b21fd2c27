//! Bytes to packets.

use crate::cookie::{COOKIE_BYTES, Cookie};
use crate::packet::{
    ANSWER, CONTROL, Control, DATA, DIRECT, Data, Gone, JOIN, Join, Left, NEWEST, Packet, Refusal, VERSION,
    Welcome,
};
use std::fmt;

/// Why a datagram is no packet. It is the sender's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// It ends before the packet does.
    TooShort,
    /// It goes on behind the packet.
    TooLong,
    /// It begins with a byte that no packet begins with.
    Kind(u8),
    /// Its second byte says nothing that is known.
    Unknown(u8),
    /// A JOIN of a version that is not spoken here. Its nonce stands where that of version 1 does.
    Version {
        /// The version.
        version: u8,
        /// The nonce.
        nonce: u32,
    },
    /// A text is not UTF-8.
    NotUtf8,
    /// A number is 0 that must not be.
    Zero,
    /// There are flags that have no meaning.
    Flags(u8),
    /// The padding of a JOIN is not zeros.
    Padding,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::TooShort => f.write_str("the datagram ends before the packet does"),
            DecodeError::TooLong => f.write_str("the datagram goes on behind the packet"),
            DecodeError::Kind(byte) => write!(f, "no packet of rooms begins with {byte:#04x}"),
            DecodeError::Unknown(byte) => write!(f, "nothing is known by the number {byte:#04x}"),
            DecodeError::Version { version, .. } => {
                write!(f, "version {version} is not spoken here, but {VERSION}")
            }
            DecodeError::NotUtf8 => f.write_str("a text is not UTF-8"),
            DecodeError::Zero => f.write_str("a number is 0 that must not be"),
            DecodeError::Flags(flags) => write!(f, "the flags {flags:#04x} have no meaning"),
            DecodeError::Padding => f.write_str("the padding is not zeros"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads one datagram. Nothing is allocated.
///
/// # Errors
/// When it is no packet.
pub fn decode(datagram: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let mut rest = Rest(datagram);
    match rest.u8()? {
        JOIN => join(rest),
        ANSWER => answer(rest),
        DATA => data(rest),
        CONTROL => control(rest).map(Packet::Control),
        first => Err(DecodeError::Kind(first)),
    }
}

fn join(mut rest: Rest<'_>) -> Result<Packet<'_>, DecodeError> {
    let version = rest.u8()?;
    let nonce = rest.u32()?;
    if version != VERSION {
        return Err(DecodeError::Version { version, nonce });
    }
    let cookie: Cookie = rest.array::<COOKIE_BYTES>()?;
    let room_len = rest.u8()?;
    let room = text(rest.take(room_len.into())?)?;
    if room.is_empty() {
        return Err(DecodeError::Zero);
    }
    let token_len = rest.u16()?;
    let token = rest.take(token_len.into())?;
    if rest.0.iter().any(|&byte| byte != 0) {
        return Err(DecodeError::Padding);
    }
    Ok(Packet::Join(Join { nonce, cookie, room, token }))
}

fn answer(mut rest: Rest<'_>) -> Result<Packet<'_>, DecodeError> {
    let kind = rest.u8()?;
    let nonce = rest.u32()?;
    match kind {
        0 => {
            let cookie = rest.array()?;
            rest.end()?;
            Ok(Packet::Challenge { nonce, cookie })
        }
        1 => {
            let (peer, peers, heartbeat_s) = (rest.u16()?, rest.u16()?, rest.u16()?);
            let payload_bytes_max = rest.u16()?;
            if peer == 0 || heartbeat_s == 0 {
                return Err(DecodeError::Zero);
            }
            let others = rest.0;
            if !others.len().is_multiple_of(2) {
                return Err(DecodeError::TooShort);
            }
            let welcome = Welcome { peer, peers, heartbeat_s, payload_bytes_max, others };
            Ok(Packet::Welcome { nonce, welcome })
        }
        2 => {
            let refusal = Refusal::from_code(rest.u8()?);
            Ok(Packet::Refused { nonce, refusal, text: text(rest.0)? })
        }
        other => Err(DecodeError::Unknown(other)),
    }
}

fn data(mut rest: Rest<'_>) -> Result<Packet<'_>, DecodeError> {
    let flags = rest.u8()?;
    if flags & !(NEWEST | DIRECT) != 0 {
        return Err(DecodeError::Flags(flags));
    }
    let (newest, direct) = (flags & NEWEST != 0, flags & DIRECT != 0);
    let (peer, sequence) = (rest.u16()?, rest.u32()?);
    Ok(Packet::Data(Data { newest, direct, peer, sequence, payload: rest.0 }))
}

fn control(mut rest: Rest<'_>) -> Result<Control, DecodeError> {
    let kind = rest.u8()?;
    let number = rest.u32()?;
    let (peer, peers) = ((number >> 16) as u16, number as u16);
    let control = match kind {
        0 => Control::Reset(number),
        1 => Control::Ping(number),
        2 => Control::Pong(number),
        3 => Control::Leave(number),
        4 => Control::Joined { peer, peers },
        5 => Control::Left { peer, peers, why: Left::from_code(rest.u8()?) },
        6 => Control::Gone { nonce: number, why: Gone::from_code(rest.u8()?) },
        other => return Err(DecodeError::Unknown(other)),
    };
    if peer == 0 && matches!(control, Control::Joined { .. } | Control::Left { .. }) {
        return Err(DecodeError::Zero);
    }
    rest.end()?;
    Ok(control)
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)
}

/// What is left of a datagram.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeError::TooShort)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::TooShort)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TooLong) }
    }
}
