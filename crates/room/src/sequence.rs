//! Which of two sequence numbers is the newer one.

/// Whether `sequence` is newer than `than`, in the arithmetic of RFC 1982: numbers go round, and the half before a
/// number is older than it.
pub fn is_newer(sequence: u32, than: u32) -> bool {
    (sequence.wrapping_sub(than) as i32) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_round() {
        assert!(is_newer(1, 0) && is_newer(5, 3) && is_newer(0, u32::MAX) && is_newer(7, u32::MAX - 7));
        assert!(!is_newer(0, 0) && !is_newer(3, 5) && !is_newer(u32::MAX, 0));
    }
}
