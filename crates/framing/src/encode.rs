//! Frames into streams.

use std::sync::Arc;

use crate::Framing;
use crate::error::EncodeError;
use crate::stuffing::{SLIP_END, cobs_stuff, slip_stuff};

/// Puts frames into a stream as a peer expects them whose frames begin with a mark.
#[derive(Clone, Debug)]
pub struct Encoder {
    framing: Framing,
    frame_bytes_max: usize,
    /// What is put in front of each.
    start: Option<Arc<[u8]>>,
}

impl Encoder {
    /// For frames of at most `frame_bytes_max` bytes, in front of each of which `start` is put. With a
    /// [length prefix](Framing::LengthPrefix) it stands before the length, with any other framing it is part of the
    /// frame, and counted as that.
    pub fn new(framing: Framing, frame_bytes_max: usize, start: Option<Arc<[u8]>>) -> Encoder {
        Encoder { framing, frame_bytes_max, start }
    }

    /// Appends one frame to a stream.
    ///
    /// # Errors
    ///
    /// The frame would not come out the same at the other end. `out` is then as it was.
    pub fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Encoder { framing, frame_bytes_max, start } = self;
        let (before, mark) = (out.len(), start.as_deref().unwrap_or_default());
        let is_before_length = matches!(framing, Framing::LengthPrefix(_));
        let frame_bytes = frame.len() + if is_before_length { 0 } else { mark.len() };
        if frame_bytes > *frame_bytes_max {
            return Err(EncodeError::TooLong { frame_bytes_max: *frame_bytes_max });
        }
        let encoded = if mark.is_empty() {
            framing.encode(frame, out)
        } else if is_before_length {
            out.extend_from_slice(mark);
            framing.encode(frame, out)
        } else {
            framing.encode(&[mark, frame].concat(), out)
        };
        if encoded.is_err() {
            out.truncate(before);
        }
        encoded
    }
}

impl Framing {
    /// Appends one frame to a stream.
    ///
    /// # Errors
    ///
    /// The frame would not come out the same at the other end. `out` is then as it was.
    pub fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Framing::Line => {
                // A carriage return at the end would be taken for a part of the line's end.
                if memchr::memchr(b'\n', frame).is_some() || frame.last() == Some(&b'\r') {
                    return Err(EncodeError::ContainsEnd);
                }
                out.extend_from_slice(frame);
                out.push(b'\n');
            }
            Framing::Delimiter(mark) => {
                let start = out.len();
                out.extend_from_slice(frame);
                out.extend_from_slice(mark);
                // The mark may also come about from the frame's last bytes and its own first ones.
                if memchr::memmem::find(&out[start..], mark) != Some(frame.len()) {
                    out.truncate(start);
                    return Err(EncodeError::ContainsEnd);
                }
            }
            Framing::LengthPrefix(prefix) => {
                prefix.write(frame.len(), out)?;
                out.extend_from_slice(frame);
            }
            Framing::LengthField { head_bytes, length } => {
                let whole = frame.get(*head_bytes..).map(|rest| length.frame_bytes(*head_bytes, rest));
                if !matches!(whole, Some(Ok(Some(bytes))) if bytes == frame.len() as u64) {
                    return Err(EncodeError::WrongLength);
                }
                out.extend_from_slice(frame);
            }
            Framing::Fixed { frame_bytes } => {
                if frame.len() != *frame_bytes {
                    return Err(EncodeError::NotFixedLength { frame_bytes: *frame_bytes });
                }
                out.extend_from_slice(frame);
            }
            Framing::IdleGap { .. } => {
                if frame.is_empty() {
                    return Err(EncodeError::Empty);
                }
                out.extend_from_slice(frame);
            }
            Framing::Slip => {
                if frame.is_empty() {
                    return Err(EncodeError::Empty);
                }
                // RFC 1055 recommends a mark in front too: it ends what noise on the line may have begun.
                out.push(SLIP_END);
                slip_stuff(frame, out);
                out.push(SLIP_END);
            }
            Framing::Cobs => {
                cobs_stuff(frame, out);
                out.push(0);
            }
        }
        Ok(())
    }
}
