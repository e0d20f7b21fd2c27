//! SLIP and COBS: what is done to the bytes of a frame so that its end mark does not occur in it.

use std::borrow::Cow;

use crate::error::FrameError;

pub(crate) const SLIP_END: u8 = 0xC0;
const SLIP_ESC: u8 = 0xDB;
const SLIP_ESC_END: u8 = 0xDC;
const SLIP_ESC_ESC: u8 = 0xDD;

/// Appends the escaped bytes of a frame, without the marks around it.
pub(crate) fn slip_stuff(frame: &[u8], out: &mut Vec<u8>) {
    for byte in frame {
        match *byte {
            SLIP_END => out.extend([SLIP_ESC, SLIP_ESC_END]),
            SLIP_ESC => out.extend([SLIP_ESC, SLIP_ESC_ESC]),
            plain => out.push(plain),
        }
    }
}

/// The bytes of a frame out of what stood between two marks.
pub(crate) fn slip_unstuff(raw: &[u8]) -> Result<Cow<'_, [u8]>, FrameError> {
    let Some(first) = memchr::memchr(SLIP_ESC, raw) else { return Ok(Cow::Borrowed(raw)) };
    let mut frame = Vec::with_capacity(raw.len());
    frame.extend_from_slice(&raw[..first]);
    let mut bytes = raw[first..].iter();
    while let Some(byte) = bytes.next() {
        frame.push(match (*byte, *byte == SLIP_ESC) {
            (plain, false) => plain,
            (_, true) => match bytes.next() {
                Some(&SLIP_ESC_END) => SLIP_END,
                Some(&SLIP_ESC_ESC) => SLIP_ESC,
                _ => return Err(FrameError::BadEscape),
            },
        });
    }
    Ok(Cow::Owned(frame))
}

/// Most bytes that follow one code.
const COBS_RUN_BYTES_MAX: usize = 254;

/// How many bytes a frame of so many can have between two marks.
pub(crate) fn cobs_stuffed_bytes_max(frame_bytes: usize) -> usize {
    frame_bytes.saturating_add(frame_bytes / COBS_RUN_BYTES_MAX).saturating_add(1)
}

/// Appends the bytes of a frame as runs, each behind a code that is one more than its length: a run is followed by a
/// zero of the frame, unless its code is 0xFF or it is the last.
pub(crate) fn cobs_stuff(frame: &[u8], out: &mut Vec<u8>) {
    let mut rest = frame;
    loop {
        let zero = memchr::memchr(0, rest);
        let run = zero.unwrap_or(rest.len());
        if run >= COBS_RUN_BYTES_MAX {
            out.push(0xFF);
            out.extend_from_slice(&rest[..COBS_RUN_BYTES_MAX]);
            rest = &rest[COBS_RUN_BYTES_MAX..];
            // A frame that ends with a full run needs no empty one behind it.
            if rest.is_empty() {
                return;
            }
            continue;
        }
        out.push(run as u8 + 1);
        out.extend_from_slice(&rest[..run]);
        match zero {
            Some(_) => rest = &rest[run + 1..],
            None => return,
        }
    }
}

/// The bytes of a frame out of what stood between two marks (so that it has no zero).
pub(crate) fn cobs_unstuff(raw: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((code, behind)) = rest.split_first() {
        let run = usize::from(*code).checked_sub(1).ok_or(FrameError::BadCode)?;
        let (bytes, next) = behind.split_at_checked(run).ok_or(FrameError::BadCode)?;
        frame.extend_from_slice(bytes);
        if run < COBS_RUN_BYTES_MAX && !next.is_empty() {
            frame.push(0);
        }
        rest = next;
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slip_escapes_its_two_bytes_and_no_other() {
        let mut out = Vec::new();
        slip_stuff(&[1, SLIP_END, 2, SLIP_ESC, 3], &mut out);
        assert_eq!(out, [1, 0xDB, 0xDC, 2, 0xDB, 0xDD, 3]);
        assert_eq!(slip_unstuff(&out).as_deref(), Ok(&[1, SLIP_END, 2, SLIP_ESC, 3][..]));
        assert_eq!(slip_unstuff(&[1, 0xDB]), Err(FrameError::BadEscape));
        assert_eq!(slip_unstuff(&[1, 0xDB, 7]), Err(FrameError::BadEscape));
    }

    /// The examples that are handed around with the algorithm.
    #[test]
    fn cobs_agrees_with_its_published_examples() {
        let ascending = |from: u16, to: u16| (from..=to).map(|n| n as u8).collect::<Vec<u8>>();
        let long = ascending(1, 254);
        let longer = ascending(1, 255);
        let cases: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (vec![], vec![1]),
            (vec![0], vec![1, 1]),
            (vec![0, 0], vec![1, 1, 1]),
            (vec![0, 0x11, 0], vec![1, 2, 0x11, 1]),
            (vec![0x11, 0x22, 0, 0x33], vec![3, 0x11, 0x22, 2, 0x33]),
            (vec![0x11, 0, 0, 0], vec![2, 0x11, 1, 1, 1]),
            (long.clone(), [vec![0xFF], long.clone()].concat()),
            ([vec![0], long.clone()].concat(), [vec![1, 0xFF], long.clone()].concat()),
            (longer, [vec![0xFF], long, vec![2, 0xFF]].concat()),
        ];
        for (frame, stuffed) in cases {
            let mut out = Vec::new();
            cobs_stuff(&frame, &mut out);
            assert_eq!(out, stuffed);
            assert!(out.len() <= cobs_stuffed_bytes_max(frame.len()));
            assert_eq!(cobs_unstuff(&stuffed), Ok(frame));
        }
        assert_eq!(cobs_unstuff(&[3, 1]), Err(FrameError::BadCode));
    }
}
