//! Bytes that came in and were not used up yet.

use std::io;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Room that one long message has made is given back when it is this much.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A buffer that grows only as bytes come, and is used up from the front.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// Reads once into the free room behind what is there.
    pub(crate) fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.make_room();
        let count = read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// What is there.
    pub(crate) fn waiting(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Uses up bytes at the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "no more is used up than is there");
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > KEPT_BYTES_MAX {
                self.bytes = Vec::new();
            }
        }
        if self.bytes.len() - self.end >= READ_BYTES / 2 {
            return;
        }
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.bytes.len() - self.end < READ_BYTES / 2 {
            // Doubling keeps the copies of a long packet linear in its length.
            self.bytes.resize((self.bytes.len() * 2).max(READ_BYTES), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(input: &mut Input, count: usize, byte: u8) {
        let mut left = count;
        while left > 0 {
            let read = |room: &mut [u8]| {
                let count = left.min(room.len());
                room[..count].fill(byte);
                Ok(count)
            };
            left -= input.fill(read).expect("it cannot fail");
        }
    }

    #[test]
    fn what_is_not_used_up_stays_and_room_is_given_back() {
        let mut input = Input::default();
        fill(&mut input, 3 << 20, b'a');
        input.consume((3 << 20) - 1);
        fill(&mut input, 2, b'b');
        assert_eq!(input.waiting(), b"abb");
        input.consume(3);
        fill(&mut input, 1, b'c');
        assert_eq!(input.waiting(), b"c");
        assert_eq!(input.bytes.len(), READ_BYTES);
    }
}
