//! Frames to be sent (RFC 6455 §5.2).

use crate::header::{CONTROL_BYTES_MAX, DEFLATED};
use crate::{CloseCode, Opcode, mask};

/// The most bytes that [`encode_header`] writes.
pub const HEADER_BYTES_MAX: usize = 10;

/// Appends the head of a server's (unmasked) frame; the payload is to follow it.
///
/// Keeping the payload out of it lets one payload be sent to many receivers from where it lies.
pub fn encode_header(fin: bool, opcode: Opcode, payload_len: usize, out: &mut Vec<u8>) {
    encode_head(fin, opcode, payload_len, 0x00, out);
}

/// Appends the head of a server's frame that holds a whole message in compressed form (RFC 7692 §6).
pub fn encode_deflated_header(opcode: Opcode, payload_len: usize, out: &mut Vec<u8>) {
    let at = out.len();
    encode_head(true, opcode, payload_len, 0x00, out);
    out[at] |= DEFLATED;
}

/// Appends a whole, unfragmented frame of a server.
pub fn encode_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    encode_header(true, opcode, payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends a server's close frame. The reason is cut to 123 bytes, between two characters.
pub fn encode_close(code: CloseCode, reason: &str, out: &mut Vec<u8>) {
    let reason = cut(reason);
    encode_header(true, Opcode::Close, 2 + reason.len(), out);
    out.extend_from_slice(&code.get().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends a whole, unfragmented frame of a client. The mask must be unpredictable and new for each frame (§5.3).
pub fn encode_masked(opcode: Opcode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    encode_masked_frame(true, opcode, payload, mask, out);
}

/// Appends a frame of a client; `fin` says whether it ends its message.
pub fn encode_masked_frame(fin: bool, opcode: Opcode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    out.reserve(HEADER_BYTES_MAX + mask.len() + payload.len());
    encode_head(fin, opcode, payload.len(), 0x80, out);
    out.extend_from_slice(&mask);
    let payload_at = out.len();
    out.extend_from_slice(payload);
    mask::apply(mask, &mut out[payload_at..]);
}

/// Appends a client's close frame. The reason is cut to 123 bytes, between two characters.
pub fn encode_masked_close(code: CloseCode, reason: &str, mask: [u8; 4], out: &mut Vec<u8>) {
    let mut payload = code.get().to_be_bytes().to_vec();
    payload.extend_from_slice(cut(reason).as_bytes());
    encode_masked(Opcode::Close, &payload, mask, out);
}

fn encode_head(fin: bool, opcode: Opcode, payload_len: usize, mask_bit: u8, out: &mut Vec<u8>) {
    debug_assert!(
        !opcode.is_control() || (fin && payload_len <= CONTROL_BYTES_MAX),
        "control frame out of bounds"
    );
    out.push(u8::from(fin) << 7 | opcode as u8);
    match payload_len {
        0..=125 => out.push(mask_bit | payload_len as u8),
        126..=0xffff => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
}

/// What of a reason fits into a close frame beside its code.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)]
}
