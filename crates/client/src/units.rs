//! What a protocol wants sent.

/// Packets or texts that wait to be handed to the transport, one behind the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Units {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Units {
    /// Adds what `write` appends.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        // An encoder that cannot express a packet appends nothing; there is nothing to send then.
        if self.bytes.len() > self.ends.last().copied().unwrap_or(0) {
            self.ends.push(self.bytes.len());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Gives them in their order and forgets them. The buffer stays for the next ones.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        let mut start = 0;
        for end in self.ends.drain(..) {
            each(&self.bytes[start..end]);
            start = end;
        }
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_out_as_they_were_added() {
        let mut units = Units::default();
        for unit in [&b"one"[..], b"", b"two"] {
            units.add(|out| out.extend_from_slice(unit));
        }
        let mut seen = Vec::new();
        units.drain(|unit| seen.push(unit.to_vec()));
        assert_eq!(seen, [b"one", b"two"]);
        assert!(units.is_empty());
    }
}
