//! Raw byte streams to frames and back.
//!
//! A socket that speaks no protocol of its own still has messages in its stream of bytes; a [`Framing`] says how they
//! are told apart. [`Framing::encode`] puts one frame into a stream. A [`Decoder`] takes them out again: it is shown
//! the bytes that have come and not been consumed, and answers with a [`Step`]: how many bytes are done with, and a
//! frame or a [`FrameError`] if there is one. It holds no bytes of its own and never asks for more than a frame of
//! `frame_bytes_max` needs, so the caller's buffer is bounded too. A frame comes as a slice of the caller's buffer
//! wherever the framing allows it.
//!
//! Where a framing marks the ends of its frames (line, delimiter, SLIP, COBS, idle gap), a frame that is too long or
//! malformed costs that frame only: it is reported once, skipped, and the next one is found. With length prefixes
//! there is no way back after a wrong length, and the error stays ([`FrameError::is_final`]), unless frames begin with a
//! start mark ([`Decoder::starting_with`]): then the next mark is looked for.
//!
//! Terminal servers put the bytes of a serial line into the telnet protocol; [`Telnet`] takes them out of it.
//!
//! ```
//! use std::time::Duration;
//! use trefoil_framing::{Decoder, FrameError, Framing};
//!
//! let mut decoder = Decoder::new(Framing::Line, 8).expect("a line needs no settings");
//! let mut buffer = b"hello\r\nfar too long\nworld\nto be contin".to_vec();
//! let mut frames = Vec::new();
//! loop {
//!     let step = decoder.next(&buffer, Duration::ZERO);
//!     match step.found {
//!         Some(Ok(frame)) => frames.push(String::from_utf8_lossy(&frame).into_owned()),
//!         Some(Err(error)) => assert_eq!(error, FrameError::TooLong { frame_bytes_max: 8 }),
//!         None if step.consumed == 0 => break, // more bytes are needed
//!         None => {}
//!     }
//!     let consumed = step.consumed;
//!     buffer.drain(..consumed);
//! }
//! assert_eq!(frames, ["hello", "world"]);
//!
//! let mut stream = Vec::new();
//! Framing::Slip.encode(b"a frame", &mut stream)?;
//! assert_eq!(stream, b"\xC0a frame\xC0");
//! # Ok::<(), trefoil_framing::EncodeError>(())
//! ```

mod decoder;
mod encode;
mod error;
mod length;
mod start;
mod stuffing;
mod telnet;
mod until;

use std::time::Duration;

pub use decoder::{Decoder, Step};
pub use encode::Encoder;
pub use error::{EncodeError, FrameError, InvalidFraming};
pub use length::{LengthForm, LengthPrefix};
pub use telnet::Telnet;

/// How frames are told apart in a stream of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A frame ends at a line feed; a carriage return before it belongs to the end, not to the frame. What comes
    /// before the end of the stream is a frame even without one.
    Line,
    /// A frame ends at these bytes, which are not part of it: 1 to [`DELIMITER_BYTES_MAX`]. What comes before the end
    /// of the stream is a frame even without them.
    Delimiter(Vec<u8>),
    /// A frame is preceded by its length.
    LengthPrefix(LengthPrefix),
    /// A frame has its own length in it, behind a head of so many bytes; head and length are part of the frame. A length
    /// that includes itself counts the whole frame, another one what follows it. The head has at most
    /// [`HEAD_BYTES_MAX`].
    LengthField {
        /// Bytes before the length.
        head_bytes: usize,
        /// How it is written.
        length: LengthPrefix,
    },
    /// Every frame has this many bytes, at least 1.
    Fixed {
        /// The length of every frame.
        frame_bytes: usize,
    },
    /// A frame ends when nothing came for this long, as on serial lines. Over TCP such gaps are not kept reliably.
    IdleGap {
        /// How long nothing must come; more than zero.
        gap: Duration,
    },
    /// RFC 1055: a frame ends at 0xC0, which is escaped inside. Empty frames do not exist.
    Slip,
    /// Consistent overhead byte stuffing (Cheshire and Baker 1999): a frame ends at 0x00, which does not occur inside.
    Cobs,
}

/// The longest delimiter.
pub const DELIMITER_BYTES_MAX: usize = 16;

/// The longest start mark.
pub const START_BYTES_MAX: usize = 16;

/// The longest head before a length.
pub const HEAD_BYTES_MAX: usize = 64;
