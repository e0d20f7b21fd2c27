//! Compression of messages (RFC 7692, permessage-deflate): what is agreed on in the handshake, and the two halves of
//! the work.
//!
//! A [`Receiver`](crate::Receiver) that was told of it gives compressed messages as they came, as
//! [`Event::Deflated`](crate::Event::Deflated); an [`Inflater`] makes them what they were. So one inflater can serve all
//! connections of a thread, one message after the other, and a connection that waits for the rest of a message holds none.
//! A [`Deflater`] is shared in the same way. Only a connection for which a side keeps its window from message to message
//! needs one of its own there.
//!
//! ```
//! use trefoil_websocket::deflate::{Deflater, Inflater};
//!
//! let (mut deflater, mut inflater) = (Deflater::new(6, 15, false), Inflater::new(15, false));
//! let (mut compressed, mut message) = (Vec::new(), Vec::new());
//! deflater.message(b"to be or not to be or not to be", &mut compressed);
//! assert!(compressed.len() < 25);
//! inflater.message(&compressed, 1024, &mut message)?;
//! assert_eq!(message, b"to be or not to be or not to be");
//!
//! // What would be larger than the bound is refused before it is made.
//! assert!(inflater.message(&compressed, 16, &mut message).is_err());
//! # Ok::<(), trefoil_websocket::Violation>(())
//! ```

mod agreement;
mod inflater;
mod offers;

pub use agreement::{Agreed, Policy, negotiate};
pub use inflater::Inflater;

use flate2::{Compress, Compression, FlushCompress, Status};

/// The fewest bits of a window that a client can ask for: 256 bytes (RFC 7692 §7.1.2.1).
pub const WINDOW_BITS_MIN: u8 = 8;
/// The most, and what holds where nothing is said: 32 KiB.
pub const WINDOW_BITS_MAX: u8 = 15;

/// The end of an empty stored block, with which every flush ends. The sender leaves it out (§7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// zlib has no smaller one. It never refers back by more than its window less 262 bytes, so what it makes with this one
/// fits a window of [`WINDOW_BITS_MIN`], too.
const DEFLATER_BITS_MIN: u8 = 9;

/// Compresses messages.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
    keeps_context: bool,
}

impl Deflater {
    /// One that compresses with `level` from 1 (fast) to 9 (small) into a window of `window_bits` from
    /// [`WINDOW_BITS_MIN`] to [`WINDOW_BITS_MAX`]; others are taken for the nearest of these.
    ///
    /// With `keeps_context` messages refer back to those before them: it is then for one connection, and each message that
    /// it has compressed has to be sent, in that order.
    pub fn new(level: u8, window_bits: u8, keeps_context: bool) -> Deflater {
        let level = Compression::new(u32::from(level.clamp(1, 9)));
        let window_bits = window_bits.clamp(DEFLATER_BITS_MIN, WINDOW_BITS_MAX);
        Deflater { compress: Compress::new_with_window_bits(level, false, window_bits), keeps_context }
    }

    /// Appends the compressed form of a message: the payload of its frame, whose first reserved bit is to be set.
    pub fn message(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if !self.keeps_context {
            self.compress.reset();
        }
        let start = out.len();
        // A little more than what cannot be compressed becomes.
        out.reserve(payload.len() + payload.len() / 8 + 64);
        let taken_before = self.compress.total_in();
        loop {
            let taken = (self.compress.total_in() - taken_before) as usize;
            let status = self
                .compress
                .compress_vec(&payload[taken..], out, FlushCompress::Sync)
                .expect("a deflater fails for wrong parameters only, and these are of its own making");
            if status == Status::BufError || out.len() < out.capacity() {
                break;
            }
            out.reserve(out.len() - start);
        }
        if out[start..].ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        if out.len() == start {
            // Nothing at all, said in the one byte of §7.2.3.6.
            out.push(0);
        }
    }
}
