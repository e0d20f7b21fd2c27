//! BLAKE3 of every chunk, and of the whole made from those.
//!
//! BLAKE3 is a tree. The hash of a chunk is the value of its branch, so the hash of the whole takes no second look at
//! the bytes: it is the one that `b3sum` prints.

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// The size of every chunk but the last. It fits the cache of a core, where it is hashed and encrypted.
pub const CHUNK_BYTES: usize = 256 << 10;

/// The value of a chunk's branch.
pub type Cv = [u8; 32];

/// The hash of a whole file.
pub type Hash = [u8; 32];

/// How many chunks a file of this size has.
#[must_use]
pub fn chunks(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES as u64)
}

/// What is known of a file: the values of its first chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    values: Vec<Cv>,
    /// The hash of the whole if the first chunk is all there is.
    alone: Option<Hash>,
}

/// What [`Sums::of`] computes of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) value: Cv,
    alone: Option<Hash>,
}

impl Sums {
    /// Looks at the bytes of a chunk, of which there is at least one.
    pub(crate) fn of(chunk: u32, bytes: &[u8]) -> Sum {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(u64::from(chunk) * CHUNK_BYTES as u64);
        hasher.update(bytes);
        let alone = (chunk == 0).then(|| *hasher.finalize().as_bytes());
        Sum { value: hasher.finalize_non_root(), alone }
    }

    /// Notes the next chunk, of which there is at least one byte.
    pub fn push(&mut self, bytes: &[u8]) {
        let chunk = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.set(chunk, Sums::of(chunk, bytes));
    }

    /// Notes a chunk that is known already, or the next one.
    pub(crate) fn set(&mut self, chunk: u32, sum: Sum) {
        let chunk = chunk as usize;
        if chunk == 0 {
            self.alone = sum.alone;
        }
        match self.values.get_mut(chunk) {
            Some(value) => *value = sum.value,
            None => {
                assert_eq!(chunk, self.values.len(), "chunks become known in order");
                self.values.push(sum.value);
            }
        }
    }

    /// The values of the chunks, in order.
    #[must_use]
    pub fn values(&self) -> &[Cv] {
        &self.values
    }

    /// Forgets all but the first chunks.
    pub fn truncate(&mut self, chunks: usize) {
        self.values.truncate(chunks);
    }

    /// The hash of the whole that these chunks are.
    #[must_use]
    pub fn whole(&self) -> Hash {
        match self.values.as_slice() {
            [] => *blake3::hash(b"").as_bytes(),
            [_] => self.alone.expect("who sets the first chunk says what it is alone"),
            values => {
                let (left, right) = values.split_at(left_chunks(values.len()));
                *merge_subtrees_root(&branch(left), &branch(right), Mode::Hash).as_bytes()
            }
        }
    }
}

fn branch(values: &[Cv]) -> Cv {
    match values {
        [value] => *value,
        values => {
            let (left, right) = values.split_at(left_chunks(values.len()));
            merge_subtrees_non_root(&branch(left), &branch(right), Mode::Hash)
        }
    }
}

/// The left branch of the tree has the largest power of two of chunks that leaves something to the right one.
fn left_chunks(chunks: usize) -> usize {
    chunks.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_blake3_whatever_its_size() {
        let bytes: Vec<u8> = (0..CHUNK_BYTES * 5 + 17).map(|i| (i % 251) as u8).collect();
        for size in [0, 1, 1024, 1025, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, CHUNK_BYTES * 2]
            .into_iter()
            .chain((2..=5).map(|chunks| CHUNK_BYTES * chunks + 17))
        {
            let mut sums = Sums::default();
            bytes[..size].chunks(CHUNK_BYTES).for_each(|chunk| sums.push(chunk));
            assert_eq!(sums.whole(), *blake3::hash(&bytes[..size]).as_bytes(), "{size}");
            assert_eq!(sums.values().len() as u64, chunks(size as u64));
        }
    }

    #[test]
    fn a_chunk_that_moves_has_another_value() {
        let bytes = [7; CHUNK_BYTES];
        assert_ne!(Sums::of(0, &bytes).value, Sums::of(1, &bytes).value);
    }
}
