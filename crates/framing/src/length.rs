//! Lengths in front of frames.

use crate::error::{EncodeError, FrameError};

/// How the length in front of a frame is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LengthPrefix {
    /// The form of the number.
    pub form: LengthForm,
    /// Whether the number counts its own bytes too.
    pub inclusive: bool,
}

/// The form of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LengthForm {
    /// One byte.
    U8,
    /// Two bytes, the most significant first.
    U16Be,
    /// Two bytes, the least significant first.
    U16Le,
    /// Four bytes, the most significant first.
    U32Be,
    /// Four bytes, the least significant first.
    U32Le,
    /// Seven bits a byte, the least significant first, the top bit set on all but the last; five bytes at most (as
    /// protocol buffers and MQTT write lengths).
    Varint,
}

/// The longest varint: 35 bits hold every length of 32.
const VARINT_BYTES_MAX: usize = 5;

/// A length that was read.
pub(crate) struct Length {
    /// The bytes of the number.
    pub(crate) prefix_bytes: usize,
    /// The bytes of the frame behind it.
    pub(crate) frame_bytes: u64,
}

impl LengthPrefix {
    /// The length at the beginning of `buf`, or `None` when it is not all there.
    pub(crate) fn read(self, buf: &[u8]) -> Result<Option<Length>, FrameError> {
        let Some((prefix_bytes, number)) = self.form.read(buf)? else { return Ok(None) };
        let own = if self.inclusive { prefix_bytes as u64 } else { 0 };
        let frame_bytes = number.checked_sub(own).ok_or(FrameError::BadLength)?;
        Ok(Some(Length { prefix_bytes, frame_bytes }))
    }

    /// The bytes of a whole frame whose length stands at the beginning of `from_length`, behind a head of `head_bytes`; or
    /// `None` when it is not all there.
    pub(crate) fn frame_bytes(
        self,
        head_bytes: usize,
        from_length: &[u8],
    ) -> Result<Option<u64>, FrameError> {
        let Some((length_bytes, number)) = self.form.read(from_length)? else { return Ok(None) };
        let before = (head_bytes + length_bytes) as u64;
        match self.inclusive {
            true if number < before => Err(FrameError::BadLength),
            true => Ok(Some(number)),
            false => Ok(Some(before + number)),
        }
    }

    /// Writes the length of a frame.
    pub(crate) fn write(self, frame_bytes: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let number = |prefix_bytes: usize| {
            let own = if self.inclusive { prefix_bytes } else { 0 };
            frame_bytes
                .checked_add(own)
                .and_then(|n| u32::try_from(n).ok())
                .ok_or(EncodeError::TooLongForPrefix)
        };
        let too_long = |_| EncodeError::TooLongForPrefix;
        match self.form {
            LengthForm::U8 => out.push(u8::try_from(number(1)?).map_err(too_long)?),
            LengthForm::U16Be => out.extend(u16::try_from(number(2)?).map_err(too_long)?.to_be_bytes()),
            LengthForm::U16Le => out.extend(u16::try_from(number(2)?).map_err(too_long)?.to_le_bytes()),
            LengthForm::U32Be => out.extend(number(4)?.to_be_bytes()),
            LengthForm::U32Le => out.extend(number(4)?.to_le_bytes()),
            LengthForm::Varint => {
                // A length that counts itself may grow by a byte through it; the first size that fits is the shortest.
                for size in 1..=VARINT_BYTES_MAX {
                    let number = number(size)?;
                    if varint_len(number) <= size {
                        write_varint(number, out);
                        return Ok(());
                    }
                }
                return Err(EncodeError::TooLongForPrefix);
            }
        }
        Ok(())
    }
}

impl LengthForm {
    /// The bytes of the number, and the number.
    fn read(self, buf: &[u8]) -> Result<Option<(usize, u64)>, FrameError> {
        Ok(match self {
            LengthForm::U8 => buf.first().map(|byte| (1, u64::from(*byte))),
            LengthForm::U16Be => buf.first_chunk().map(|bytes| (2, u64::from(u16::from_be_bytes(*bytes)))),
            LengthForm::U16Le => buf.first_chunk().map(|bytes| (2, u64::from(u16::from_le_bytes(*bytes)))),
            LengthForm::U32Be => buf.first_chunk().map(|bytes| (4, u64::from(u32::from_be_bytes(*bytes)))),
            LengthForm::U32Le => buf.first_chunk().map(|bytes| (4, u64::from(u32::from_le_bytes(*bytes)))),
            LengthForm::Varint => {
                let mut number = 0;
                for (i, byte) in buf.iter().take(VARINT_BYTES_MAX).enumerate() {
                    number |= u64::from(byte & 0x7F) << (7 * i);
                    if byte & 0x80 == 0 {
                        return Ok(Some((i + 1, number)));
                    }
                }
                if buf.len() >= VARINT_BYTES_MAX {
                    return Err(FrameError::BadLength);
                }
                None
            }
        })
    }
}

fn varint_len(number: u32) -> usize {
    (32 - number.leading_zeros()).div_ceil(7).max(1) as usize
}

fn write_varint(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
