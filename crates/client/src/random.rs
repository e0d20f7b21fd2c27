//! Random bytes for WebSocket masks and keys.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Unpredictable to whoever does not know the state, which the system seeds. It is a keyed hash of a counter: what a
/// page in a browser must not guess (RFC 6455 §10.3) is no secret of greater worth.
#[derive(Debug)]
pub(crate) struct Random {
    state: RandomState,
    counter: u64,
}

impl Random {
    pub(crate) fn new() -> Random {
        Random { state: RandomState::new(), counter: 0 }
    }

    /// The next eight bytes.
    pub(crate) fn next(&mut self) -> [u8; 8] {
        self.counter += 1;
        self.state.hash_one(self.counter).to_ne_bytes()
    }

    /// A mask for one frame.
    pub(crate) fn mask(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.next();
        [a, b, c, d]
    }

    /// A nonce for one handshake.
    pub(crate) fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.next());
        nonce[8..].copy_from_slice(&self.next());
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        let (mut one, mut other) = (Random::new(), Random::new());
        let mut seen: Vec<_> = (0..100).flat_map(|_| [one.nonce(), other.nonce()]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 200);
        assert_ne!(one.mask(), one.mask());
    }
}
