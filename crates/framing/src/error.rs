//! What can go wrong, by boundary: making a decoder, decoding, encoding.

use std::fmt;

use crate::{DELIMITER_BYTES_MAX, HEAD_BYTES_MAX, START_BYTES_MAX};

/// Why a framing cannot be used: its settings contradict themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidFraming {
    /// A frame could have no byte at all.
    NoRoom,
    /// The delimiter is empty or longer than [`DELIMITER_BYTES_MAX`].
    Delimiter,
    /// Frames of fixed length have no bytes, or more than a frame may have.
    FixedLength,
    /// The gap is zero.
    Gap,
    /// The head before a length is longer than [`HEAD_BYTES_MAX`], or leaves a frame no room for the length.
    Head,
    /// The start mark is empty, longer than [`START_BYTES_MAX`], or longer than a frame may be.
    Start,
}

impl fmt::Display for InvalidFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidFraming::NoRoom => {
                f.write_str("frame_bytes_max is 0; a frame needs room for at least 1 byte")
            }
            InvalidFraming::Delimiter => {
                write!(f, "the delimiter must have 1 to {DELIMITER_BYTES_MAX} bytes")
            }
            InvalidFraming::FixedLength => {
                f.write_str("frames of fixed length must have at least 1 byte and at most frame_bytes_max")
            }
            InvalidFraming::Gap => f.write_str("the idle gap is 0; it must be longer"),
            InvalidFraming::Head => write!(
                f,
                "before the length there may be at most {HEAD_BYTES_MAX} bytes, and fewer than a frame may have"
            ),
            InvalidFraming::Start => write!(
                f,
                "the start mark must have 1 to {START_BYTES_MAX} bytes, and no more than a frame may have"
            ),
        }
    }
}

impl std::error::Error for InvalidFraming {}

/// What is wrong with the bytes of a stream: always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame has more bytes than allowed. It is skipped.
    TooLong {
        /// What is allowed.
        frame_bytes_max: usize,
    },
    /// A length prefix announces more bytes than allowed. There is no way back.
    LengthTooLong {
        /// What is announced, as far as it was read.
        frame_bytes: u64,
        /// What is allowed.
        frame_bytes_max: usize,
    },
    /// A length prefix is none: a varint of more than five bytes, or a length that includes the prefix and is shorter
    /// than it. There is no way back.
    BadLength,
    /// A SLIP frame has an escape before a byte that is never escaped. It is skipped.
    BadEscape,
    /// A COBS frame has a code that points beyond its end. It is skipped.
    BadCode,
    /// What follows a start mark is no length that a frame can have, so that the mark was none. The next one is looked
    /// for.
    FalseStart,
    /// The stream ended inside a frame.
    Truncated,
}

impl FrameError {
    /// Whether the stream is of no use any more: the decoder has lost its place, or there is no more stream.
    pub fn is_final(&self) -> bool {
        match self {
            FrameError::LengthTooLong { .. } | FrameError::BadLength | FrameError::Truncated => true,
            FrameError::TooLong { .. }
            | FrameError::BadEscape
            | FrameError::BadCode
            | FrameError::FalseStart => false,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { frame_bytes_max } => {
                write!(f, "a frame is longer than the {frame_bytes_max} bytes allowed, and was skipped")
            }
            FrameError::LengthTooLong { frame_bytes, frame_bytes_max } => {
                write!(f, "a frame announces {frame_bytes} bytes; {frame_bytes_max} are allowed")
            }
            FrameError::BadLength => f.write_str("the length in front of a frame is malformed"),
            FrameError::BadEscape => f.write_str("a SLIP frame has a bad escape, and was skipped"),
            FrameError::BadCode => {
                f.write_str("a COBS frame has a code that points beyond its end, and was skipped")
            }
            FrameError::FalseStart => f.write_str(
                "what follows a start mark is no length that a frame can have; the next mark is looked for",
            ),
            FrameError::Truncated => f.write_str("the stream ended inside a frame"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Why a frame cannot be put into a stream so that it would come out again the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The frame has in it what ends a frame.
    ContainsEnd,
    /// The framing has no empty frames.
    Empty,
    /// The frame does not have the length that all frames have.
    NotFixedLength {
        /// The length that all frames have.
        frame_bytes: usize,
    },
    /// The frame is longer than its prefix can say.
    TooLongForPrefix,
    /// The frame is longer than frames may be.
    TooLong {
        /// What is allowed.
        frame_bytes_max: usize,
    },
    /// The length that stands in the frame is not the frame's.
    WrongLength,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::ContainsEnd => {
                f.write_str("the frame contains what ends a frame, so it would come out in pieces")
            }
            EncodeError::Empty => f.write_str("the frame is empty, and this framing has no empty frames"),
            EncodeError::NotFixedLength { frame_bytes } => {
                write!(f, "the frame must have exactly {frame_bytes} bytes")
            }
            EncodeError::TooLongForPrefix => {
                f.write_str("the frame is longer than its length prefix can say")
            }
            EncodeError::TooLong { frame_bytes_max } => {
                write!(f, "the frame is longer than the {frame_bytes_max} bytes allowed")
            }
            EncodeError::WrongLength => f.write_str("the length that stands in the frame is not the frame's"),
        }
    }
}

impl std::error::Error for EncodeError {}
