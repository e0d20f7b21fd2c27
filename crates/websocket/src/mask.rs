//! Masking (RFC 6455 §5.3).

/// Masks or unmasks, which is the same: byte `i` is XORed with byte `i mod 4` of the mask.
///
/// Whole words first: the compiler turns that loop into vector instructions, so that unmasking costs little more
/// than reading the bytes.
pub(crate) fn apply(mask: [u8; 4], payload: &mut [u8]) {
    let [a, b, c, d] = mask;
    let word_mask = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ word_mask).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// The mask for what follows after `taken` bytes of a payload.
pub(crate) fn advance(mut mask: [u8; 4], taken: usize) -> [u8; 4] {
    mask.rotate_left(taken % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length around a word and every way to split a payload give what the definition in §5.3 gives.
    #[test]
    fn whole_and_in_pieces_as_defined() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..40usize {
            let plain: Vec<u8> = (0..len).map(|i| (i * 7 + 3) as u8).collect();
            let defined: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            for split in 0..=len {
                let mut masked = plain.clone();
                let (first, second) = masked.split_at_mut(split);
                apply(mask, first);
                apply(advance(mask, split), second);
                assert_eq!(masked, defined, "length {len}, split at {split}");
            }
        }
    }
}
