//! Frames into streams.

use crate::Framing;
use crate::error::EncodeError;
use crate::stuffing::{SLIP_END, cobs_stuff, slip_stuff};

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
