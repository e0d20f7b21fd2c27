//! Finding the end of a frame in bytes that come piece by piece.

use crate::DELIMITER_BYTES_MAX;

/// Looks for an end mark, remembers how far it has looked, and skips a frame that has become too long.
#[derive(Clone, Debug)]
pub(crate) struct Until {
    /// The end mark, in place: a prepared searcher would be larger than all else that a connection holds.
    mark: [u8; DELIMITER_BYTES_MAX],
    mark_len: u8,
    /// More bytes than these before the mark are a frame that is too long.
    raw_bytes_max: usize,
    /// So many bytes of the frame under way have been searched, so that a slow sender does not cost a search of all
    /// of them each time.
    searched: usize,
    /// The frame under way was too long and has been reported; only its end is still waited for.
    skipping: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// No end yet.
    More,
    /// This many bytes belong to a frame that is skipped.
    Skip(usize),
    /// A frame has just become too long; this many bytes of it may be dropped.
    TooLong(usize),
    /// A frame has this many bytes, and the mark follows.
    Frame(usize),
}

impl Until {
    /// `mark` has 1 to [`DELIMITER_BYTES_MAX`] bytes.
    pub(crate) fn new(mark: &[u8], raw_bytes_max: usize) -> Self {
        let mut bytes = [0; DELIMITER_BYTES_MAX];
        bytes[..mark.len()].copy_from_slice(mark);
        let mark_len = mark.len() as u8;
        Until { mark: bytes, mark_len, raw_bytes_max, searched: 0, skipping: false }
    }

    pub(crate) fn mark_len(&self) -> usize {
        usize::from(self.mark_len)
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        match &self.mark[..self.mark_len()] {
            [byte] => memchr::memchr(*byte, bytes),
            mark => memchr::memmem::find(bytes, mark),
        }
    }

    /// `buf` begins where the last answer ended.
    pub(crate) fn cut(&mut self, buf: &[u8]) -> Cut {
        // Of what was searched, the last bytes may be the beginning of a mark.
        let overlap = self.mark_len() - 1;
        let from = self.searched.saturating_sub(overlap).min(buf.len());
        match self.find(&buf[from..]) {
            Some(at) => {
                let len = from + at;
                self.searched = 0;
                if std::mem::take(&mut self.skipping) {
                    Cut::Skip(len + self.mark_len())
                } else if len > self.raw_bytes_max {
                    Cut::TooLong(len + self.mark_len())
                } else {
                    Cut::Frame(len)
                }
            }
            None => {
                let passed = buf.len().saturating_sub(overlap);
                if self.skipping {
                    self.searched = 0;
                    if passed == 0 { Cut::More } else { Cut::Skip(passed) }
                } else if passed > self.raw_bytes_max {
                    self.searched = 0;
                    self.skipping = true;
                    Cut::TooLong(passed)
                } else {
                    self.searched = buf.len();
                    Cut::More
                }
            }
        }
    }

    /// The stream has ended: whether what is left belongs to a frame that was reported already.
    pub(crate) fn is_skipping(&self) -> bool {
        self.skipping
    }
}
