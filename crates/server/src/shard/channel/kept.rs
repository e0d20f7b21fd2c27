//! The objects of a channel that have been given to a reader and of which nobody has said yet that they came: a lost answer
//! loses nothing.

/// Objects with their numbers, which rise by one from each to the next.
#[derive(Default)]
pub(super) struct Kept {
    /// The number of the first.
    first: u64,
    count: u64,
    /// The objects, each with a line break behind it; there is none inside of one.
    lines: Vec<u8>,
    /// Bytes of `lines` that the reader of this moment has been given.
    given: usize,
}

/// A reader says that it wants to go on where it cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Misplaced {
    /// What it wants has been acknowledged, and is gone.
    Gone,
    /// So many objects have not been given to anybody.
    Unsent,
}

impl Kept {
    /// The number of the first object that is there, or would be.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the object that comes next.
    pub(super) fn next(&self) -> u64 {
        self.first + self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// Takes in whole lines.
    pub(super) fn push(&mut self, lines: &[u8]) {
        debug_assert!(lines.ends_with(b"\n"), "objects come as whole lines");
        self.lines.extend_from_slice(lines);
        self.count += memchr::memchr_iter(b'\n', lines).count() as u64;
    }

    /// A reader has come that has all objects below `after`: they are forgotten, and it is to be given the others.
    pub(super) fn acknowledge(&mut self, after: u64) -> Result<(), Misplaced> {
        if after < self.first {
            return Err(Misplaced::Gone);
        }
        if after > self.next() {
            return Err(Misplaced::Unsent);
        }
        self.given = 0;
        let had = after - self.first;
        if after == self.next() {
            self.lines.clear();
            // An idle channel owns no memory for it.
            self.lines.shrink_to(SPARE_BYTES);
        } else if let Some(last) = had.checked_sub(1) {
            let end = memchr::memchr_iter(b'\n', &self.lines).nth(last as usize).map_or(0, |at| at + 1);
            self.lines.drain(..end);
        }
        (self.first, self.count) = (after, self.count - had);
        Ok(())
    }

    /// The lines that the reader has not been given, with the number of the first. From now on it has been given them.
    pub(super) fn give(&mut self) -> (u64, &[u8]) {
        let lines = &self.lines[std::mem::replace(&mut self.given, self.lines.len())..];
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        (self.first + self.count - count, lines)
    }

    /// Whether there is something that the reader has not been given.
    pub(super) fn has_more(&self) -> bool {
        self.given < self.lines.len()
    }
}

/// What is not given back for the next objects.
const SPARE_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn given(kept: &mut Kept) -> (u64, String) {
        let (first, lines) = kept.give();
        (first, String::from_utf8_lossy(lines).replace('\n', " "))
    }

    #[test]
    fn what_was_given_comes_again_until_it_is_acknowledged() {
        let mut kept = Kept::default();
        kept.push(b"a\nb\n");
        kept.push(b"c\n");
        assert_eq!(given(&mut kept), (0, "a b c ".into()));
        assert_eq!((given(&mut kept), kept.has_more()), ((3, String::new()), false));
        kept.acknowledge(0).expect("nothing has come");
        assert_eq!(given(&mut kept), (0, "a b c ".into()));
        kept.push(b"d\n");
        assert_eq!(given(&mut kept), (3, "d ".into()));
        kept.acknowledge(2).expect("some have come");
        assert_eq!(given(&mut kept), (2, "c d ".into()));
        kept.acknowledge(4).expect("all have come");
        assert_eq!((kept.first(), kept.next(), kept.bytes()), (4, 4, 0));
        kept.push(b"e\n");
        assert_eq!(given(&mut kept), (4, "e ".into()));
    }

    #[test]
    fn nobody_goes_on_where_nothing_is() {
        let mut kept = Kept::default();
        kept.push(b"a\nb\n");
        assert_eq!(kept.acknowledge(3), Err(Misplaced::Unsent));
        kept.acknowledge(1).expect("one has come");
        assert_eq!(kept.acknowledge(0), Err(Misplaced::Gone));
        assert_eq!(kept.acknowledge(u64::MAX), Err(Misplaced::Unsent));
        assert_eq!(given(&mut kept), (1, "b ".into()));
    }

    #[test]
    fn an_idle_channel_owns_little() {
        let mut kept = Kept::default();
        kept.push(&[vec![b'x'; 1 << 20], b"\n".to_vec()].concat());
        kept.acknowledge(1).expect("it has come");
        assert!(kept.lines.capacity() <= 2 * SPARE_BYTES);
    }
}
