//! A message that does not come in one piece, and the buffer in which it is joined.

use crate::header::{Header, Opcode};
use crate::{Event, Violation, mask};

/// A frame's length is only a promise: up to this much is allocated on the word of it, beyond that the buffer grows
/// with what has come in.
const RESERVE_BYTES_MAX: usize = 16 * 1024;

/// A message under way: some fragments of it, or some of its only frame.
#[derive(Debug)]
pub(crate) struct Message {
    body: Body,
    /// Whether the frame under way, or else the last one, ends the message.
    fin: bool,
    /// For the next byte of the frame under way.
    mask: Option<[u8; 4]>,
    /// Payload bytes of the frame under way that have yet to come; 0 between frames.
    needed: usize,
}

impl Message {
    /// A message whose first frame has this header.
    pub(crate) fn begin(header: &Header) -> Message {
        let body = match header.opcode {
            opcode if header.deflated => {
                Body::Deflated { is_text: opcode == Opcode::Text, payload: Vec::new() }
            }
            Opcode::Text => Body::Text(Text::default()),
            _ => Body::Binary(Vec::new()),
        };
        Message { body, fin: header.fin, mask: header.mask, needed: header.payload_len }
    }

    /// Goes on with a further fragment.
    pub(crate) fn go_on(&mut self, header: &Header) {
        (self.fin, self.mask, self.needed) = (header.fin, header.mask, header.payload_len);
    }

    /// Takes what belongs to the frame under way from the front of `input` and returns how much that was.
    pub(crate) fn take(&mut self, input: &mut [u8]) -> Result<usize, Violation> {
        let taken = self.needed.min(input.len());
        let piece = &mut input[..taken];
        if let Some(mask) = &mut self.mask {
            mask::apply(*mask, piece);
            *mask = mask::advance(*mask, taken);
        }
        self.body.push(piece, self.needed)?;
        self.needed -= taken;
        if self.is_complete() && !self.body.ends_well() {
            return Err(Violation::NotUtf8);
        }
        Ok(taken)
    }

    pub(crate) fn needed(&self) -> usize {
        self.needed
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.fin && self.needed == 0
    }

    /// Payload bytes that are joined so far.
    pub(crate) fn len(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.whole.len() + text.partial_len,
            Body::Binary(bytes) | Body::Deflated { payload: bytes, .. } => bytes.len(),
        }
    }

    /// The complete message.
    pub(crate) fn event(&self) -> Event<'_> {
        match &self.body {
            Body::Text(text) => Event::Text(&text.whole),
            Body::Binary(bytes) => Event::Binary(bytes),
            Body::Deflated { is_text, payload } => Event::Deflated { is_text: *is_text, payload },
        }
    }
}

#[derive(Debug)]
enum Body {
    Text(Text),
    Binary(Vec<u8>),
    /// Compressed, whatever it is.
    Deflated {
        is_text: bool,
        payload: Vec<u8>,
    },
}

impl Body {
    /// `needed` bounds the room that is made: what of the frame has yet to come, `piece` included.
    fn push(&mut self, piece: &[u8], needed: usize) -> Result<(), Violation> {
        match self {
            Body::Text(text) => {
                text.whole.reserve_exact(growth(
                    text.whole.len(),
                    text.whole.capacity(),
                    piece.len(),
                    needed,
                ));
                text.push(piece)?;
            }
            Body::Binary(bytes) | Body::Deflated { payload: bytes, .. } => {
                bytes.reserve_exact(growth(bytes.len(), bytes.capacity(), piece.len(), needed));
                bytes.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    fn ends_well(&self) -> bool {
        match self {
            Body::Text(text) => text.partial_len == 0,
            Body::Binary(_) | Body::Deflated { .. } => true,
        }
    }
}

/// By how much a buffer is to grow so that `piece_len` bytes fit: doubling, so that joining stays linear, but not
/// beyond what the frame promises.
fn growth(len: usize, capacity: usize, piece_len: usize, needed: usize) -> usize {
    // A text may hold back up to three bytes of a character, which come on top of the piece.
    let (piece_len, needed) =
        (piece_len + Text::PARTIAL_BYTES_MAX, needed.saturating_add(Text::PARTIAL_BYTES_MAX));
    if capacity - len >= piece_len { 0 } else { piece_len.max(len).max(RESERVE_BYTES_MAX).min(needed) }
}

/// Text that is checked as it comes in, so that what is not UTF-8 is refused at the first wrong byte.
#[derive(Debug, Default)]
struct Text {
    whole: String,
    /// A character of which only the first bytes have come.
    partial: [u8; 4],
    partial_len: usize,
}

impl Text {
    const PARTIAL_BYTES_MAX: usize = 3;

    fn push(&mut self, mut piece: &[u8]) -> Result<(), Violation> {
        while self.partial_len > 0
            && let Some((&byte, rest)) = piece.split_first()
        {
            self.partial[self.partial_len] = byte;
            self.partial_len += 1;
            piece = rest;
            match str::from_utf8(&self.partial[..self.partial_len]) {
                Ok(character) => {
                    self.whole.push_str(character);
                    self.partial_len = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(Violation::NotUtf8),
                Err(_) => {}
            }
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(text) => self.whole.push_str(text),
            Err(error) if error.error_len().is_some() => return Err(Violation::NotUtf8),
            Err(error) => {
                let (text, partial) = piece.split_at(error.valid_up_to());
                self.whole
                    .push_str(simdutf8::basic::from_utf8(text).expect("it was checked up to here just now"));
                self.partial[..partial.len()].copy_from_slice(partial);
                self.partial_len = partial.len();
            }
        }
        Ok(())
    }
}
