//! What a peer can do wrong on an open connection.

use std::fmt;

use crate::CloseCode;

/// A rule that the peer broke. The connection is to be closed with [`Violation::close_code`] (RFC 6455 §7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit is set to which nothing that was agreed on gives a meaning there (§5.2).
    ReservedBits,
    /// The opcode (given) is one of the reserved ones (§5.2).
    Opcode(u8),
    /// A client's frame is not masked (§5.1).
    NotMasked,
    /// A server's frame is masked (§5.1).
    Masked,
    /// A payload length is not in its shortest form (§5.2).
    LengthNotMinimal,
    /// A payload length has its most significant bit set (§5.2).
    LengthNegative,
    /// A control frame is fragmented (§5.5).
    ControlFragmented,
    /// A control frame has a payload of more than 125 bytes (§5.5).
    ControlTooLong,
    /// A continuation came with no message under way (§5.4).
    ContinuationUnexpected,
    /// A new message began before the last one was complete (§5.4).
    MessageInterrupted,
    /// The body of a close frame is a single byte (§5.5.1).
    CloseBodyTooShort,
    /// A close code (given) must not appear in a frame (§7.4).
    CloseCodeInvalid(u16),
    /// A text message or a close reason is not UTF-8 (§8.1).
    NotUtf8,
    /// A compressed message is not what a compressor makes of one (RFC 7692 §7.2).
    NotDeflate,
    /// A frame's payload is larger than [`Limits::frame_bytes_max`](crate::Limits::frame_bytes_max) (§10.4).
    FrameTooLarge,
    /// A message is larger than [`Limits::message_bytes_max`](crate::Limits::message_bytes_max) (§10.4).
    MessageTooLarge,
}

impl Violation {
    /// The code to close the connection with: 1002, 1007 or 1009.
    pub fn close_code(self) -> CloseCode {
        match self {
            Violation::NotUtf8 | Violation::NotDeflate => CloseCode::INVALID_PAYLOAD,
            Violation::FrameTooLarge | Violation::MessageTooLarge => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::ReservedBits => f.write_str("a reserved bit is set that means nothing here"),
            Violation::Opcode(opcode) => write!(f, "opcode {opcode:#x} is reserved"),
            Violation::NotMasked => f.write_str("a client must mask its frames"),
            Violation::Masked => f.write_str("a server must not mask its frames"),
            Violation::LengthNotMinimal => f.write_str("a payload length is not in its shortest form"),
            Violation::LengthNegative => f.write_str("a payload length has its most significant bit set"),
            Violation::ControlFragmented => f.write_str("a control frame must not be fragmented"),
            Violation::ControlTooLong => f.write_str("a control frame has more than 125 bytes of payload"),
            Violation::ContinuationUnexpected => {
                f.write_str("a continuation came, but no message is under way")
            }
            Violation::MessageInterrupted => {
                f.write_str("a new message began before the last one was complete")
            }
            Violation::CloseBodyTooShort => f.write_str("a close frame has half a close code"),
            Violation::CloseCodeInvalid(code) => write!(f, "close code {code} must not be sent"),
            Violation::NotUtf8 => f.write_str("text is not valid UTF-8"),
            Violation::NotDeflate => f.write_str("a compressed message cannot be inflated"),
            Violation::FrameTooLarge => f.write_str("a frame is larger than allowed"),
            Violation::MessageTooLarge => f.write_str("a message is larger than allowed"),
        }
    }
}

impl std::error::Error for Violation {}
