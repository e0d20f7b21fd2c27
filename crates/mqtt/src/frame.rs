//! Finding where a packet ends, from its fixed header alone.

use crate::DecodeError;
use crate::wire::VARINT_MAX;

/// The longest packet that the protocol can express: five bytes of fixed header and what they announce.
pub const PACKET_BYTES_MAX: usize = 1 + 4 + VARINT_MAX;

/// What the fixed header of a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Packet type in the upper four bits, flags in the lower four.
    pub first_byte: u8,
    /// Bytes of the fixed header, 2 to 5.
    pub header_len: usize,
    /// Bytes of the whole packet, header included.
    pub len: usize,
}

/// Reads the fixed header at the start of `input`; `None` when it is not all there yet.
///
/// The packet itself need not be there: `Frame::len` says how many bytes to wait for. Nobody has to make room for a
/// packet before this function has compared it with `packet_bytes_max`.
///
/// # Errors
/// When the packet is longer than `packet_bytes_max`, when its type is the forbidden 0, or when its remaining length has
/// more than four bytes or more bytes than its value needs.
#[inline]
pub fn frame(input: &[u8], packet_bytes_max: usize) -> Result<Option<Frame>, DecodeError> {
    let Some(&first_byte) = input.first() else { return Ok(None) };
    if first_byte >> 4 == 0 {
        return Err(DecodeError::UnknownPacketType { packet_type: 0 });
    }
    let mut remaining = 0;
    for (index, &byte) in input[1..].iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // [MQTT-1.5.5-1]: a last byte of zero adds nothing, so it should not be there.
            if byte == 0 && index > 0 {
                return Err(DecodeError::MalformedVariableByteInteger);
            }
            let header_len = 2 + index;
            let len = header_len + remaining;
            if len > packet_bytes_max {
                return Err(DecodeError::PacketTooLarge { packet_bytes: len, packet_bytes_max });
            }
            return Ok(Some(Frame { first_byte, header_len, len }));
        }
    }
    if input.len() > 4 {
        return Err(DecodeError::MalformedVariableByteInteger);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len(input: &[u8]) -> Result<Option<usize>, DecodeError> {
        Ok(frame(input, PACKET_BYTES_MAX)?.map(|frame| frame.len))
    }

    #[test]
    fn waits_for_the_rest_of_the_header() {
        for input in [&b""[..], &[0x30], &[0x30, 0x80], &[0x30, 0x80, 0x80], &[0x30, 0xFF, 0xFF, 0xFF]] {
            assert_eq!(frame(input, PACKET_BYTES_MAX), Ok(None), "{input:?}");
        }
    }

    #[test]
    fn reads_each_length_of_header() {
        assert_eq!(len(&[0xC0, 0x00]), Ok(Some(2)));
        assert_eq!(len(&[0x30, 0x7F]), Ok(Some(2 + 127)));
        assert_eq!(len(&[0x30, 0x80, 0x01]), Ok(Some(3 + 128)));
        assert_eq!(len(&[0x30, 0xFF, 0x7F]), Ok(Some(3 + 16_383)));
        assert_eq!(len(&[0x30, 0x80, 0x80, 0x01]), Ok(Some(4 + 16_384)));
        assert_eq!(len(&[0x30, 0xFF, 0xFF, 0x7F]), Ok(Some(4 + 2_097_151)));
        assert_eq!(len(&[0x30, 0x80, 0x80, 0x80, 0x01]), Ok(Some(5 + 2_097_152)));
        assert_eq!(len(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]), Ok(Some(PACKET_BYTES_MAX)));
    }

    #[test]
    fn refuses_a_length_of_five_bytes() {
        assert_eq!(len(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF]), Err(DecodeError::MalformedVariableByteInteger));
        assert_eq!(
            len(&[0x30, 0x80, 0x80, 0x80, 0x80, 0x01]),
            Err(DecodeError::MalformedVariableByteInteger)
        );
    }

    #[test]
    fn refuses_a_length_with_more_bytes_than_it_needs() {
        assert_eq!(len(&[0x30, 0x80, 0x00]), Err(DecodeError::MalformedVariableByteInteger));
        assert_eq!(len(&[0x30, 0x85, 0x80, 0x00]), Err(DecodeError::MalformedVariableByteInteger));
    }

    #[test]
    fn refuses_type_zero_at_the_first_byte() {
        assert_eq!(len(&[0x0F]), Err(DecodeError::UnknownPacketType { packet_type: 0 }));
    }

    #[test]
    fn compares_the_header_with_the_limit_before_the_packet_is_there() {
        assert_eq!(frame(&[0x30, 98], 100).map(|found| found.map(|frame| frame.len)), Ok(Some(100)));
        assert_eq!(
            frame(&[0x30, 99], 100),
            Err(DecodeError::PacketTooLarge { packet_bytes: 101, packet_bytes_max: 100 })
        );
    }
}
