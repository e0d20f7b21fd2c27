//! Making compressed messages what they were, within bounds.

use flate2::{Decompress, FlushDecompress, Status};

use super::{TAIL, WINDOW_BITS_MAX};
use crate::Violation;

/// A last block without content. Where it is understood as that, what came before it was whole.
const LAST: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// Room that a message gets to begin with.
const ROOM_BYTES_MIN: usize = 1024;

/// zlib reads no smaller window than this.
const INFLATER_BITS_MIN: u8 = 9;

/// Inflates messages.
#[derive(Debug)]
pub struct Inflater {
    decompress: Decompress,
    keeps_context: bool,
}

impl Inflater {
    /// One for messages that were compressed with a window of at most `window_bits`.
    ///
    /// With `keeps_context` messages may refer back to those before them: it is then for one connection, and has to be
    /// given each of its compressed messages.
    pub fn new(window_bits: u8, keeps_context: bool) -> Inflater {
        let window_bits = window_bits.clamp(INFLATER_BITS_MIN, WINDOW_BITS_MAX);
        Inflater { decompress: Decompress::new_with_window_bits(false, window_bits), keeps_context }
    }

    /// Inflates the payload of a message, all its frames joined, into `out`, whose content it replaces. Whether text is
    /// UTF-8 is for the caller to check.
    ///
    /// # Errors
    ///
    /// [`Violation::NotDeflate`] if it is not what a compressor makes of a message; [`Violation::MessageTooLarge`] as soon
    /// as the message turns out to have more than `bytes_max` bytes. No more than about these are ever held.
    pub fn message(&mut self, payload: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), Violation> {
        out.clear();
        if !self.keeps_context {
            self.decompress.reset(false);
        }
        if payload.is_empty() {
            // Nobody has to say nothing in so few bytes, but what it means is plain.
            return Ok(());
        }
        let room = payload.len().saturating_mul(4).clamp(ROOM_BYTES_MIN, bytes_max.max(ROOM_BYTES_MIN));
        out.reserve(room);
        if self.take(payload, bytes_max, out)? {
            // A last block that ends the payload leaves nothing to complete.
            return Ok(());
        }
        let whole_bytes = out.len();
        let is_over = self.take(&TAIL, bytes_max, out)?;
        // A payload that was cut off takes the tail for something else. Where the window is kept nothing more can be asked,
        // since the stream has to go on.
        let is_whole = out.len() == whole_bytes
            && !is_over
            && (self.keeps_context || self.take(&LAST, bytes_max, out)? && out.len() == whole_bytes);
        if is_whole { Ok(()) } else { Err(Violation::NotDeflate) }
    }

    /// Inflates a piece. Returns whether a last block ended with it.
    fn take(&mut self, mut piece: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<bool, Violation> {
        loop {
            if out.len() == out.capacity() {
                let more = out.len().min((bytes_max + 1).saturating_sub(out.len())).max(1);
                out.reserve_exact(more);
            }
            let taken_before = self.decompress.total_in();
            let status = self
                .decompress
                .decompress_vec(piece, out, FlushDecompress::Sync)
                .map_err(|_| Violation::NotDeflate)?;
            piece = &piece[(self.decompress.total_in() - taken_before) as usize..];
            if out.len() > bytes_max {
                return Err(Violation::MessageTooLarge);
            }
            match status {
                Status::StreamEnd => {
                    // Whoever ends a stream within a message begins another one, with an empty window (§7.2.3.4).
                    self.decompress.reset(false);
                    if piece.is_empty() {
                        return Ok(true);
                    }
                }
                // It may have more to say, but found no room.
                _ if out.len() == out.capacity() => {}
                Status::Ok if !piece.is_empty() => {}
                Status::BufError if !piece.is_empty() => return Err(Violation::NotDeflate),
                _ => return Ok(false),
            }
        }
    }
}
