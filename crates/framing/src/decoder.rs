//! Streams into frames.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{FrameError, InvalidFraming};
use crate::length::LengthPrefix;
use crate::start::{Begin, begin, cut_start};
use crate::stuffing::{SLIP_END, cobs_stuffed_bytes_max, cobs_unstuff, slip_unstuff};
use crate::until::{Cut, Until};
use crate::{DELIMITER_BYTES_MAX, Framing, HEAD_BYTES_MAX, START_BYTES_MAX};

/// Takes frames out of one stream of bytes.
#[derive(Clone, Debug)]
pub struct Decoder {
    frame_bytes_max: usize,
    /// What frames begin with; shared by all decoders of a kind.
    start: Option<Arc<[u8]>>,
    state: State,
}

/// What [`Decoder::next`] has to say about the bytes it was shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// This many bytes at the beginning are done with; the next call is shown what follows them.
    pub consumed: usize,
    /// So many of them were part of no frame, since frames [begin with a mark](Decoder::starting_with) and there was
    /// none.
    pub skipped: usize,
    /// A frame, or what is wrong with one. `None` with nothing consumed means that more bytes are needed (for an
    /// [idle gap](Framing::IdleGap): or time); `None` with something consumed means to come again with the rest.
    pub found: Option<Result<Cow<'a, [u8]>, FrameError>>,
}

#[derive(Clone, Debug)]
enum State {
    Marked(Until, Marked),
    Length(LengthPrefix),
    Field(usize, LengthPrefix),
    Fixed(usize),
    Gap(Gap),
    /// The place in the stream is lost for good.
    Lost(FrameError),
}

/// What is done with the bytes before an end mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marked {
    Line,
    Delimiter,
    Slip,
    Cobs,
}

#[derive(Clone, Debug)]
struct Gap {
    gap: Duration,
    /// Bytes that came before `last`, or at it.
    seen: usize,
    /// When the last of them came.
    last: Duration,
    /// The frame under way was too long and has been reported; only the gap is still waited for.
    skipping: bool,
}

impl Decoder {
    /// A decoder at the beginning of a stream. No frame that it gives has more than `frame_bytes_max` bytes, not
    /// counting prefixes, marks and escapes.
    ///
    /// # Errors
    ///
    /// The framing contradicts itself or the limit.
    pub fn new(framing: Framing, frame_bytes_max: usize) -> Result<Decoder, InvalidFraming> {
        if frame_bytes_max == 0 {
            return Err(InvalidFraming::NoRoom);
        }
        let marked = |kind, mark: &[u8], raw_bytes_max| State::Marked(Until::new(mark, raw_bytes_max), kind);
        let state = match framing {
            // One more for the carriage return.
            Framing::Line => marked(Marked::Line, b"\n", frame_bytes_max.saturating_add(1)),
            Framing::Delimiter(mark) if (1..=DELIMITER_BYTES_MAX).contains(&mark.len()) => {
                marked(Marked::Delimiter, &mark, frame_bytes_max)
            }
            Framing::Delimiter(_) => return Err(InvalidFraming::Delimiter),
            Framing::LengthPrefix(prefix) => State::Length(prefix),
            Framing::LengthField { head_bytes, length }
                if head_bytes <= HEAD_BYTES_MAX && head_bytes < frame_bytes_max =>
            {
                State::Field(head_bytes, length)
            }
            Framing::LengthField { .. } => return Err(InvalidFraming::Head),
            Framing::Fixed { frame_bytes } if (1..=frame_bytes_max).contains(&frame_bytes) => {
                State::Fixed(frame_bytes)
            }
            Framing::Fixed { .. } => return Err(InvalidFraming::FixedLength),
            Framing::IdleGap { gap } if gap.is_zero() => return Err(InvalidFraming::Gap),
            Framing::IdleGap { gap } => {
                State::Gap(Gap { gap, seen: 0, last: Duration::ZERO, skipping: false })
            }
            // Every byte may have been escaped.
            Framing::Slip => marked(Marked::Slip, &[SLIP_END], frame_bytes_max.saturating_mul(2)),
            Framing::Cobs => marked(Marked::Cobs, &[0], cobs_stuffed_bytes_max(frame_bytes_max)),
        };
        Ok(Decoder { frame_bytes_max, start: None, state })
    }

    /// The same for frames that begin with a mark, of 1 to [`START_BYTES_MAX`] bytes. What comes before it is
    /// [skipped](Step::skipped), and so is what would be a frame and has none. It is part of the frame, except with a
    /// [length prefix](Framing::LengthPrefix): there it stands before the length.
    ///
    /// # Errors
    ///
    /// The mark is no such mark.
    pub fn starting_with(self, mark: Arc<[u8]>) -> Result<Decoder, InvalidFraming> {
        let room = match self.state {
            State::Fixed(len) => len,
            State::Length(_) => usize::MAX,
            _ => self.frame_bytes_max,
        };
        if mark.is_empty() || mark.len() > START_BYTES_MAX || mark.len() > room {
            return Err(InvalidFraming::Start);
        }
        Ok(Decoder { start: Some(mark), ..self })
    }

    /// Looks for the next frame. `buf` is what has come and not been consumed: the same bytes as in the last call
    /// without those it consumed, and any new ones behind them. `now` is the time since any moment that stays the
    /// same; only the [idle gap](Framing::IdleGap) looks at it, and its bytes must be shown as they come.
    pub fn next<'a>(&mut self, buf: &'a [u8], now: Duration) -> Step<'a> {
        let (start, frame_bytes_max) = (self.start.as_deref(), self.frame_bytes_max);
        let step = match &mut self.state {
            State::Marked(until, kind) => {
                let mark_bytes = until.mark_len();
                match until.cut(buf) {
                    Cut::More => Step::more(),
                    Cut::Skip(consumed) => Step { consumed, skipped: 0, found: None },
                    Cut::TooLong(consumed) => Step::error(consumed, FrameError::TooLong { frame_bytes_max }),
                    Cut::Frame(len) => {
                        let found = unpack(*kind, &buf[..len], frame_bytes_max);
                        Step::begun(len + mark_bytes, found, start)
                    }
                }
            }
            State::Length(prefix) => {
                let next = |buf| next_by_length(*prefix, buf, frame_bytes_max);
                match start {
                    None => next(buf),
                    Some(mark) => behind_mark(mark, buf, |buf| next(&buf[mark.len()..]).behind(mark.len())),
                }
            }
            State::Field(head_bytes, length) => {
                let next = |buf| next_by_field(*head_bytes, *length, buf, frame_bytes_max);
                match start {
                    None => next(buf),
                    Some(mark) => behind_mark(mark, buf, next),
                }
            }
            State::Fixed(len) => {
                let next = |buf| next_fixed(*len, buf);
                match start {
                    None => next(buf),
                    Some(mark) => behind_mark(mark, buf, next),
                }
            }
            State::Gap(gap) => {
                let Step { consumed, found, .. } = gap.next(buf, now, frame_bytes_max);
                Step::begun(consumed, found, start)
            }
            State::Lost(error) => Step::error(0, *error),
        };
        if let Some(Err(error)) = step.found
            && error.is_final()
        {
            self.state = State::Lost(error);
        }
        step
    }

    /// When [`next`](Decoder::next) has to be called again even though nothing came: only with an
    /// [idle gap](Framing::IdleGap), while a frame is under way.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Gap(gap) if gap.seen > 0 || gap.skipping => Some(gap.last.saturating_add(gap.gap)),
            _ => None,
        }
    }

    /// The stream has ended and `rest` was not consumed ([`next`](Decoder::next) has asked for more): what that is
    /// worth. The decoder is of no use afterwards.
    pub fn finish<'a>(&mut self, rest: &'a [u8]) -> Option<Result<Cow<'a, [u8]>, FrameError>> {
        let ended = State::Lost(FrameError::Truncated);
        let found = match std::mem::replace(&mut self.state, ended) {
            State::Lost(_) => None,
            State::Marked(until, _) if until.is_skipping() => None,
            State::Gap(gap) if gap.skipping => None,
            _ if rest.is_empty() => None,
            State::Marked(_, kind @ (Marked::Line | Marked::Delimiter)) => {
                unpack(kind, rest, self.frame_bytes_max)
            }
            State::Gap(_) if rest.len() <= self.frame_bytes_max => Some(Ok(Cow::Borrowed(rest))),
            State::Gap(_) => Some(Err(FrameError::TooLong { frame_bytes_max: self.frame_bytes_max })),
            State::Marked(..) | State::Length(_) | State::Field(..) | State::Fixed(_) => {
                Some(Err(FrameError::Truncated))
            }
        };
        Step::begun(0, found, self.start.as_deref()).found
    }
}

impl<'a> Step<'a> {
    fn more() -> Self {
        Step { consumed: 0, skipped: 0, found: None }
    }

    fn frame(consumed: usize, frame: &'a [u8]) -> Self {
        Step { consumed, skipped: 0, found: Some(Ok(Cow::Borrowed(frame))) }
    }

    fn error(consumed: usize, error: FrameError) -> Self {
        Step { consumed, skipped: 0, found: Some(Err(error)) }
    }

    /// One whose frame has yet to be cut to where it begins.
    fn begun(
        consumed: usize,
        found: Option<Result<Cow<'a, [u8]>, FrameError>>,
        start: Option<&[u8]>,
    ) -> Self {
        match (start, found) {
            (Some(mark), Some(Ok(frame))) => {
                let (skipped, frame) = cut_start(mark, frame);
                Step { consumed, skipped, found: frame.map(Ok) }
            }
            (_, found) => Step { consumed, skipped: 0, found },
        }
    }

    /// The same for bytes that stand behind `before` others.
    fn behind(self, before: usize) -> Self {
        let consumed = if self.consumed > 0 { self.consumed + before } else { 0 };
        Step { consumed, ..self }
    }
}

/// What `next` finds at a start mark, which is looked for.
fn behind_mark<'a>(mark: &[u8], buf: &'a [u8], next: impl FnOnce(&'a [u8]) -> Step<'a>) -> Step<'a> {
    match begin(mark, buf) {
        Begin::Skip(0) => Step::more(),
        Begin::Skip(skipped) => Step { consumed: skipped, skipped, found: None },
        Begin::Here => match next(buf) {
            // Without its first byte it is not found again.
            Step { found: Some(Err(_)), .. } => {
                Step { consumed: 1, skipped: 1, found: Some(Err(FrameError::FalseStart)) }
            }
            step => step,
        },
    }
}

/// The frame out of what stood before an end mark, or `None` when that was no frame.
fn unpack(kind: Marked, raw: &[u8], frame_bytes_max: usize) -> Option<Result<Cow<'_, [u8]>, FrameError>> {
    let frame = match kind {
        Marked::Line => Ok(Cow::Borrowed(raw.strip_suffix(b"\r").unwrap_or(raw))),
        Marked::Delimiter => Ok(Cow::Borrowed(raw)),
        // Two marks in a row: the one that ends a frame and the one that begins the next.
        Marked::Slip | Marked::Cobs if raw.is_empty() => return None,
        Marked::Slip => slip_unstuff(raw),
        Marked::Cobs => cobs_unstuff(raw).map(Cow::Owned),
    };
    Some(frame.and_then(|frame| {
        if frame.len() > frame_bytes_max { Err(FrameError::TooLong { frame_bytes_max }) } else { Ok(frame) }
    }))
}

fn next_by_length(prefix: LengthPrefix, buf: &[u8], frame_bytes_max: usize) -> Step<'_> {
    let length = match prefix.read(buf) {
        Ok(Some(length)) => length,
        Ok(None) => return Step::more(),
        Err(error) => return Step::error(0, error),
    };
    // Checked before anything is waited for, so that a large number costs no memory.
    let Some(frame_bytes) =
        usize::try_from(length.frame_bytes).ok().filter(|frame_bytes| *frame_bytes <= frame_bytes_max)
    else {
        let frame_bytes = length.frame_bytes;
        return Step::error(0, FrameError::LengthTooLong { frame_bytes, frame_bytes_max });
    };
    let whole = length.prefix_bytes + frame_bytes;
    match buf.get(length.prefix_bytes..whole) {
        Some(frame) => Step::frame(whole, frame),
        None => Step::more(),
    }
}

fn next_by_field(head_bytes: usize, length: LengthPrefix, buf: &[u8], frame_bytes_max: usize) -> Step<'_> {
    let Some(from_length) = buf.get(head_bytes..) else { return Step::more() };
    match length.frame_bytes(head_bytes, from_length) {
        Ok(None) => Step::more(),
        Err(error) => Step::error(0, error),
        Ok(Some(frame_bytes)) => match usize::try_from(frame_bytes) {
            Ok(whole) if whole <= frame_bytes_max => {
                buf.get(..whole).map_or_else(Step::more, |frame| Step::frame(whole, frame))
            }
            _ => Step::error(0, FrameError::LengthTooLong { frame_bytes, frame_bytes_max }),
        },
    }
}

fn next_fixed(len: usize, buf: &[u8]) -> Step<'_> {
    match buf.split_at_checked(len) {
        Some((frame, _)) => Step::frame(len, frame),
        None => Step::more(),
    }
}

impl Gap {
    fn next<'a>(&mut self, buf: &'a [u8], now: Duration, frame_bytes_max: usize) -> Step<'a> {
        let passed = now.saturating_sub(self.last) >= self.gap;
        if passed && self.seen > 0 {
            let consumed = std::mem::take(&mut self.seen).min(buf.len());
            return Step::frame(consumed, &buf[..consumed]);
        }
        if passed {
            self.skipping = false;
        }
        if buf.len() > self.seen {
            self.last = now;
            self.seen = buf.len();
        }
        if self.skipping {
            return Step { consumed: std::mem::take(&mut self.seen), skipped: 0, found: None };
        }
        if self.seen > frame_bytes_max {
            self.skipping = true;
            return Step::error(std::mem::take(&mut self.seen), FrameError::TooLong { frame_bytes_max });
        }
        Step::more()
    }
}
