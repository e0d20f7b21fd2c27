//! Where frames begin that begin with a mark.

use std::borrow::Cow;

/// Where the next frame begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At the beginning of what was shown.
    Here,
    /// Not within so many bytes. None with 0: what there is may be the beginning of a mark.
    Skip(usize),
}

/// Looks for a mark in the bytes of a stream.
pub(crate) fn begin(mark: &[u8], buf: &[u8]) -> Begin {
    if buf.starts_with(mark) {
        return Begin::Here;
    }
    if let Some(at) = memchr::memmem::find(buf, mark) {
        return Begin::Skip(at);
    }
    // The last bytes may be the first ones of a mark.
    let longest = buf.len().min(mark.len() - 1);
    let kept = (1..=longest).rev().find(|&len| buf.ends_with(&mark[..len])).unwrap_or(0);
    Begin::Skip(buf.len() - kept)
}

/// Takes off what stands in a frame before the mark. Returns how much that was, and what is left, if there is a mark.
pub(crate) fn cut_start<'a>(mark: &[u8], frame: Cow<'a, [u8]>) -> (usize, Option<Cow<'a, [u8]>>) {
    if frame.starts_with(mark) {
        return (0, Some(frame));
    }
    match memchr::memmem::find(&frame, mark) {
        None => (frame.len(), None),
        Some(at) => {
            let cut = match frame {
                Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[at..]),
                Cow::Owned(mut bytes) => {
                    bytes.drain(..at);
                    Cow::Owned(bytes)
                }
            };
            (at, Some(cut))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_mark_is_waited_for() {
        assert_eq!(begin(b"aab", b"aabx"), Begin::Here);
        assert_eq!(begin(b"aab", b"xaab"), Begin::Skip(1));
        assert_eq!(begin(b"aab", b"aaa"), Begin::Skip(1));
        assert_eq!(begin(b"aab", b"aa"), Begin::Skip(0));
        assert_eq!(begin(b"aab", b"xxx"), Begin::Skip(3));
        assert_eq!(begin(b"a", b""), Begin::Skip(0));
    }
}
